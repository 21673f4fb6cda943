/*
 * check_fault_disk.c - the running server and its disk, from outside.  Names as in
 * the list of faults: S1 a full disk, S5 other programs on the database, S6 slow
 * readers of a long log, S8 long logs at start; D5 files that were put back.
 */
#include "config.h"

#include "ledger.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a small disk ---- */

static void
unmount(void *p)
{
	(void)umount2(p, MNT_DETACH);
}

static bool
write_line(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd != -1 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);

	if (fd != -1)
		close(fd);
	return ok;
}

/* May we mount?  As root in a mount namespace of our own, else in a user namespace. */
static bool
own_mounts(void)
{
	char *uid = fmt("0 %d 1", (int)geteuid()), *gid = fmt("0 %d 1", (int)getegid());

	if (unshare(CLONE_NEWNS) == -1 &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1 ||
	    !write_line("/proc/self/setgroups", "deny") ||
	    !write_line("/proc/self/uid_map", uid) ||
	    !write_line("/proc/self/gid_map", gid)))
		return false;
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* A disk of so many kB in the test's directory; NULL where none can be mounted. */
static char *
small_disk(int kb)
{
	char *dir = fmt("%s/disk", test_dir());

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	if (!own_mounts() || mount("tmpfs", dir, "tmpfs", 0, fmt("size=%dk", kb)) ==
	    -1) {
		left_out("no small disk can be mounted here: %s",
		    strerror(errno));
		return NULL;
	}
	return keep(dir, unmount);
}

/* A file of so many kB, or of all there is if that is less. */
static void
hog(const char *path, long kb)
{
	static char piece[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	ck_assert_int_ge(fd, 0);
	for (; kb > 0; kb -= 4)
		if (write(fd, piece, sizeof piece) != (ssize_t)sizeof piece)
			break;
	close(fd);
}

static struct server *
server_on(const char *disk, const char *option, const char *another)
{
	struct server *s = server_start(fmt("--store.path=%s/fanfare.db", disk),
	    "--stream.heartbeat=1s", "--stream.max_replay=1000000", option, another,
	    NULL);

	s->store = fmt("%s/fanfare.db", disk);
	return s;
}

/* Until a publish is refused because the disk is full. */
static void
fill(struct ledger *l)
{
	int64_t end = now_ms() + patience(30000);
	int before = l->full;

	l->may_refuse = true;
	while (l->full == before && now_ms() < end)
		ledger_run(l, 20, 0);
	ck_assert_msg(l->full > before, "the disk does not get full");
}

/* ms until a publish is answered with 200 again, and again, and again. */
static int64_t
until_publishes_work(struct ledger *l)
{
	int64_t begun = now_ms(), end = begun + patience(20000);
	int good = 0;

	while (good < 3 && now_ms() < end) {
		struct answer *a = post(l->s, "/publish?topic=probe", AUTH, "x");

		good = a->status == 200 ? good + 1 : 0;
		poll(NULL, 0, 20);
	}
	ck_assert_msg(good == 3, "publishes do not work again");
	return now_ms() - begun;
}

/* What holds at every moment: streams live, history and resume work. */
static void
readers_are_served(struct ledger *l)
{
	struct stream *st = stream_open(l->s, "/events?topic=load/*", AUTH);
	int comments = l->st->comments;
	int64_t end = now_ms() + patience(10000);
	char *first;

	expect_live(st, false);
	history(l->s, "topic=load/*&limit=10");
	while (l->st->comments < comments + 2 && now_ms() < end)
		ledger_run(l, 100, 0);
	ck_assert_msg(l->st->comments >= comments + 2, "no heartbeats");
	first = fmt("%s", text_at(json_array_get(json_object_get(history(l->s,
	    "topic=load/0&limit=10"), "events"), 0), "id"));
	stream_close(st);
	st = stream_open(l->s, "/events?topic=load/0", fmt(AUTH
	    "Last-Event-ID: %s\r\n", first));
	for (int i = 0; i < 9; i++)
		ck_assert(!is_control(stream_next(st, SOON)));
	stream_close(st);
}

/* Bytes of data in an event; most of the tests take the second alone, but before a
 * release. */
static const size_t pads[] = { 200, 2000, 30000 };

START_TEST(S1_a_full_disk_refuses_and_loses_nothing)
{
	char *disk = small_disk(16 * 1024), *file;
	struct server *s;
	struct ledger *l;
	int64_t ms;

	if (disk == NULL)
		return;
	file = fmt("%s/hog", disk);
	hog(file, 8 * 1024);
	s = server_on(disk, "--store.durability=full", NULL);
	l = ledger_new(s, 4, pads[_i]);
	ledger_connect(l);
	fill(l);
	readers_are_served(l);
	/* Streams, not publishers, are what /healthz?live asks for. */
	ck_assert_int_eq(get(s, "/healthz", "")->status, 503);
	ck_assert_int_eq(get(s, "/healthz?live", "")->status, 200);
	unlink(file);
	ms = until_publishes_work(l);
	ledger_run(l, 300, 0);
	ledger_quiesce(l);
	ledger_judge(l);
	printf("full with %d bytes an event: %d acked, %d times store_full, %d busy, "
	    "%d unknown; %d ms after there was space publishes worked\n",
	    (int)pads[_i], l->acked, l->full, l->busy, l->vague, (int)ms);
	ck_assert_int_le(ms, patience(5000));
	ck_assert_int_eq(l->vague, 0);
	store_is_whole(s->store);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* Retention frees pages of the database; they are of use only if deleting works on a
 * disk without a free byte. */
START_TEST(S1_what_is_due_goes_and_makes_room_on_a_full_disk)
{
	char *disk = small_disk(16 * 1024);
	struct server *s;
	struct ledger *l;
	int fits, again;

	if (disk == NULL)
		return;
	s = server_on(disk, "--store.retain_age=3s", "--store.tail=64k");
	l = ledger_new(s, 4, pads[_i]);
	l->may_prune = true;
	ledger_connect(l);
	fill(l);
	hog(fmt("%s/hog", disk), 1 << 20);
	fits = l->stored;
	for (int64_t end = now_ms() + patience(20000); l->stored < 3 * fits &&
	    now_ms() < end;)
		ledger_run(l, 100, 0);
	again = l->stored - fits;
	printf("%d events of %d bytes fill the disk; as they expire, %d more are taken\n",
	    fits, (int)pads[_i], again);
	ck_assert_int_ge(again, 2 * fits);
	ledger_quiesce(l);
	ledger_judge(l);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

START_TEST(S1_a_log_at_its_limit_goes_on_when_others_fill_the_disk)
{
	char *disk = small_disk(64 * 1024);
	struct server *s;
	struct ledger *l;
	int before, after, full, some = 4 * 1024 * 1024 / ((int)pads[_i] + 80);

	if (disk == NULL)
		return;
	s = server_on(disk, "--store.retain_bytes=2M", "--store.tail=64k");
	l = ledger_new(s, 4, pads[_i]);
	l->may_prune = true;
	ledger_connect(l);
	/* Until it prunes, and the database has its size. */
	while (l->stored < some)
		ledger_run(l, 100, 0);
	before = l->stored;
	ledger_run(l, 1000, 0);
	before = l->stored - before;
	hog(fmt("%s/hog", disk), 1 << 20);
	l->may_refuse = true;
	ledger_run(l, 1000, 0);
	full = l->full;
	after = l->stored;
	ledger_run(l, 2000, 0);
	after = (l->stored - after) / 2;
	printf("a log at its limit, events of %d bytes: %d/s, on a full disk %d/s, "
	    "%d refused\n", (int)pads[_i], before, after, l->full);
	/* Now and then an event comes before the room for it. */
	ck_assert_int_le((l->full - full) * 10, after * 2);
	ck_assert_int_gt(after, before / 10);
	ledger_quiesce(l);
	ledger_judge(l);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* The last byte is gone just when the pages of the WAL are to go to the database. */
START_TEST(S1_killed_on_a_full_disk_it_starts_there_and_has_all)
{
	char *disk = small_disk(24 * 1024), *file;
	struct server *s;
	struct ledger *l;
	int full;

	if (disk == NULL)
		return;
	file = fmt("%s/hog", disk);
	s = server_on(disk, "--store.tail=64k", NULL);
	l = ledger_new(s, 4, pads[_i]);
	ledger_connect(l);
	/* So that the WAL has its full length, and then some of it to fill. */
	while (l->stored < 5 * 1024 * 1024 / ((int)pads[_i] + 80))
		ledger_run(l, 20, 0);
	hog(file, 1 << 20);
	fill(l);
	full = l->full;
	for (int i = 0; i < 3; i++) {
		server_kill(s);
		l->may_refuse = true;
		ledger_disconnect(l);
		store_is_whole(s->store);
		server_restart(s);
		ledger_judge(l);
		if (i == 1)
			unlink(file);
		ledger_connect(l);
		ledger_run(l, 300, 0);
	}
	/* There was room since. */
	ledger_quiesce(l);
	ledger_judge(l);
	printf("killed on a full disk: %d acked, %d times store_full, then %d\n",
	    l->acked, full, l->full - full);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* `rows` events of so many bytes, a thousand a time.  The longest that one took. */
static int64_t
publish_rows(struct server *s, int rows, int bytes)
{
	char *body = keep(malloc((size_t)bytes * 1000 + 100000), free), *p = body;
	struct http *h = http_open(s);
	int64_t slowest = 0, at;

	for (int i = 0; i < 1000; i++)
		p += sprintf(p, "%c{\"topic\":\"t/%d\",\"data\":\"%0*d\"}",
		    i == 0 ? '[' : ',', i % 8, bytes, i);
	*p++ = ']';
	for (int n = 0; n < rows; n += 1000) {
		struct answer *a;

		at = now_ms();
		ck_assert_int_eq(try_http_send(h, "POST", "/publish", AUTH AS_JSON, body,
		    (size_t)(p - body)), 0);
		a = try_http_receive(h, 4 * SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		answer_free(a);
		slowest = now_ms() - at > slowest ? now_ms() - at : slowest;
	}
	http_close(h);
	return slowest;
}

/* ---- other programs on the database ---- */

struct cli {
	pid_t	pid;
	int	in;
};

static void
cli_end(void *p)
{
	struct cli *c = p;
	int status;

	if (c->in != -1)
		close(c->in);
	if (c->pid != 0)
		waitpid(c->pid, &status, 0);
	free(c);
}

/* A sqlite3 program on the database that is told these lines and then holds on; it has
 * done them when this returns. */
static struct cli *
cli_holds(const char *path, const char *sql)
{
	struct cli *c = keep(calloc(1, sizeof *c), cli_end);
	char *out = fmt("%s/cli.said", test_dir());
	int64_t end = now_ms() + patience(20000);
	int fd[2];

	unlink(out);
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	fflush(NULL);
	if ((c->pid = fork()) == 0) {
		if (dup2(fd[0], STDIN_FILENO) == -1 ||
		    freopen(out, "w", stdout) == NULL ||
		    dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
			_exit(126);
		execlp("sqlite3", "sqlite3", "-batch", "-init", "/dev/null", "-cmd",
		    ".timeout 10000", path, (char *)NULL);
		_exit(127);
	}
	close(fd[0]);
	c->in = fd[1];
	dprintf(c->in, "%s\nSELECT 'held';\n", sql);
	while (strstr(read_whole(out), "held") == NULL && now_ms() < end)
		poll(NULL, 0, 5);
	ck_assert_msg(strstr(read_whole(out), "held") != NULL &&
	    strstr(read_whole(out), "rror") == NULL, "sqlite3: %s", read_whole(out));
	return c;
}

static void
cli_lets_go(struct cli *c)
{
	int status;

	close(c->in);
	c->in = -1;
	waitpid(c->pid, &status, 0);
	c->pid = 0;
}

static long
file_kb(const char *path)
{
	struct stat sb;

	return stat(path, &sb) == -1 ? 0 : (long)(sb.st_size / 1024);
}

START_TEST(S5_while_another_program_holds_the_lock_publishes_are_told_so)
{
	struct server *s = server_start("--stream.heartbeat=1s",
	    "--stream.max_replay=1000000", NULL);
	struct ledger *l = ledger_new(s, 8, 100);
	int held = size_of_run(5000, 30000), before, slowest;
	struct cli *c;
	int64_t ms;

	ledger_connect(l);
	ledger_run(l, 500, 0);
	before = l->stored;
	c = cli_holds(s->store, "BEGIN IMMEDIATE;");
	l->may_refuse = true;
	ledger_latency(l, 100);
	ledger_run(l, held / 2, 0);
	readers_are_served(l);
	ck_assert_int_eq(get(s, "/healthz", "")->status, 503);
	ledger_run(l, held / 2, 0);
	cli_lets_go(c);
	slowest = ledger_latency(l, 100);
	ms = until_publishes_work(l);
	l->may_refuse = false;
	ledger_run(l, 50, 0);
	l->may_refuse = true;
	ledger_run(l, 500, 0);
	ledger_quiesce(l);
	ledger_judge(l);
	printf("a foreign write lock for %d ms: %d times store_busy, answered in %d ms "
	    "at most; %d ms after it publishes worked; %d acked before, %d in all\n",
	    held, l->busy, slowest, (int)ms, before, l->acked);
	ck_assert_int_gt(l->busy, 0);
	ck_assert_int_eq(l->vague + l->full, 0);
	ck_assert_int_le(slowest, patience(5000));
	ck_assert_int_le(ms, patience(5000));
	store_is_whole(s->store);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* Programs that open the database and close it again, as people at a console do. */
static pid_t
console_loop(const char *script)
{
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		setpgid(0, 0);
		execlp("sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	return pid;
}

START_TEST(S5_foreign_checkpoints_and_copies_lose_nothing)
{
	struct server *s = server_start("--stream.max_replay=1000000", NULL);
	struct ledger *l = ledger_new(s, 8, 1000);
	char *tally = fmt("%s/tally", test_dir()), *copy = fmt("%s/copy", test_dir());
	int status, before, code;
	const char *said;
	pid_t pid;

	ledger_connect(l);
	l->may_refuse = true;
	ledger_run(l, 200, 0);
	pid = console_loop(fmt("while :; do for m in PASSIVE FULL RESTART TRUNCATE; do "
	    "sqlite3 -batch -init /dev/null '%s' \"PRAGMA wal_checkpoint($m)\" "
	    ">/dev/null 2>&1; echo x >>'%s'; cp '%s' '%s.db' && cp '%s-wal' '%s.db-wal'; "
	    "done; done", s->store, tally, s->store, copy, s->store, copy));
	ledger_run(l, size_of_run(3000, 60000), 0);
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	ledger_quiesce(l);
	ledger_judge(l);
	store_is_whole(s->store);
	/* The one copy that is right: made by SQLite, while events come. */
	before = l->stored;
	ledger_connect(l);
	ledger_run(l, 100, 0);
	unlink(fmt("%s2.db", copy));
	(void)sqlite_cli(s->store, fmt("VACUUM INTO '%s2.db'", copy), &code);
	ck_assert_int_eq(code, 0);
	ledger_run(l, 100, 0);
	ledger_quiesce(l);
	ledger_judge(l);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
	store_is_whole(fmt("%s2.db", copy));
	said = strstr(sqlite_cli(fmt("%s2.db", copy), "SELECT 'events:' || count(*) "
	    "FROM event", &code), "events:");
	ck_assert_ptr_nonnull(said);
	ck_assert_int_ge(atoi(said + 7), before);
	printf("%ld rounds of foreign checkpoints and copies: %d acked, %d busy, %d "
	    "unknown; %d before the copy\n", (long)strlen(read_whole(tally)) / 2,
	    l->acked, l->busy, l->vague, before);
	ck_assert_int_eq(l->vague, 0);
}
END_TEST

/* A backup program reads one snapshot for as long as it takes; no checkpoint can begin
 * the WAL anew meanwhile, and nobody waits for that. */
START_TEST(S5_a_foreign_reader_does_not_hold_up_publishes)
{
	struct server *s = server_start("--store.retain_bytes=100G", NULL);
	char *wal = fmt("%s-wal", s->store);
	int64_t slowest, then;
	struct cli *c;
	long most;

	(void)publish_rows(s, 1000, 100);
	c = cli_holds(s->store, "BEGIN; SELECT count(*) FROM epoch;");
	slowest = publish_rows(s, 60000, 900);
	most = file_kb(wal);
	cli_lets_go(c);
	then = publish_rows(s, 20000, 900);
	printf("beside a foreign snapshot: WAL %ld MB, slowest publish %d ms; %ld MB and "
	    "%d ms when it was gone\n", most / 1024, (int)slowest, file_kb(wal) / 1024,
	    (int)then);
	/* It must have come to where the WAL is wanted back. */
	ck_assert_int_gt(most, 52 * 1024);
	ck_assert_int_lt(slowest, patience(1000));
	ck_assert_int_le(file_kb(wal), 64 * 1024 + 1024);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* ---- files that are put back, or gone ---- */

static void
move_files(const char *from, const char *to)
{
	static const char *const ends[] = { "", "-wal" };

	for (size_t i = 0; i < 2; i++) {
		char *a = fmt("%s%s", from, ends[i]), *b = fmt("%s%s", to, ends[i]);

		unlink(b);
		if (file_kb(a) > 0)
			ck_assert_int_eq(system(fmt("cp '%s' '%s'", a, b)), 0);
	}
	unlink(fmt("%s-shm", to));		/* a copy has none */
}

#define GIVEN_MAX	20000

/* Whatever becomes of the files between two runs: an id is given out once, and a cursor
 * that the log does not know is told so. */
START_TEST(D5_ids_and_cursors_survive_files_put_back_and_gone)
{
	struct server *s = server_start("--topics.public=**", NULL);
	int rounds = size_of_run(40, 400), given = 0, lived = 0, copied = -1, resets = 0;
	char **ids = keep(calloc(GIVEN_MAX, sizeof *ids), free);
	int *line = keep(calloc(GIVEN_MAX, sizeof *line), free);	/* in the log */
	int *copy_line = keep(calloc(GIVEN_MAX, sizeof *line), free);
	char *copy = fmt("%s/copy.db", test_dir());

	for (int r = 0; r < rounds; r++) {
		int n = 1 + (int)dice(20), at, from;
		struct stream *st;

		/* A copy of a server that runs, with nothing to write just now. */
		if (dice(3) == 0) {
			move_files(s->store, copy);
			memcpy(copy_line, line, (size_t)lived * sizeof *line);
			copied = lived;
		}
		for (int i = 0; i < n; i++) {
			ids[given] = publish(s, "a", fmt("%d", given));
			for (int k = 0; k < given; k++)
				ck_assert_msg(strcmp(ids[k], ids[given]) != 0,
				    "%s was given out twice", ids[given]);
			line[lived++] = given++;
		}
		/* Any id that ever was is a cursor. */
		for (int k = 0; k < 5; k++) {
			at = (int)dice((uint32_t)given);
			for (from = 0; from < lived && line[from] != at; from++)
				;
			st = stream_open(s, "/events?topic=a", fmt("Last-Event-ID: %s"
			    "\r\n", ids[at]));
			if (from == lived) {
				expect_gap(st, "reset");
				expect_live(st, false);
				resets++;
			} else {
				for (from++; from < lived; from++)
					expect_event(st, "message", fmt("%d",
					    line[from]));
				expect_live(st, true);
			}
			stream_close(st);
		}
		if (dice(2) == 0)
			ck_assert_int_eq(server_stop(s), 0);
		else
			server_kill(s);
		store_is_whole(s->store);
		switch (dice(3)) {
		case 0:
			if (copied == -1)
				break;
			move_files(copy, s->store);
			memcpy(line, copy_line, (size_t)copied * sizeof *line);
			lived = copied;
			break;
		case 1:
			if (dice(2) == 0)
				unlink(fmt("%s-wal", s->store));
			unlink(s->store);
			lived = 0;
			break;
		default:
			break;
		}
		server_restart(s);
	}
	printf("%d events over %d starts on files put back and gone: %d of %d cursors "
	    "are of another log\n", given, rounds, resets, rounds * 5);
	ck_assert_int_gt(resets, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- long logs ---- */

START_TEST(S8_a_long_log_with_a_long_wal_starts_soon)
{
	struct server *s = server_start("--store.retain_bytes=100G",
	    "--stream.max_replay=1000000", NULL);
	int rows = size_of_run(300000, 10000000), in_wal = size_of_run(100000, 4000000);
	long fresh = server_memory_kb(s), wal, kb;
	struct stream *st;
	char *last, *first;
	struct cli *c;
	int64_t ms, begun = now_ms();

	(void)publish_rows(s, rows - in_wal, 100);
	/* A snapshot that somebody holds: no checkpoint gets past it. */
	c = cli_holds(s->store, "BEGIN; SELECT count(*) FROM epoch;");
	first = publish(s, "last", "1");
	(void)publish_rows(s, in_wal, 100);
	last = publish(s, "last", "2");
	ms = now_ms() - begun;
	server_kill(s);
	dprintf(c->in, ".dbconfig no_ckpt_on_close on\n");
	cli_lets_go(c);
	wal = file_kb(fmt("%s-wal", s->store));
	printf("%d events in %d ms, %ld MB of them in the WAL: ", rows, (int)ms,
	    wal / 1024);
	fflush(stdout);
	ms = server_restart(s);
	kb = server_memory_kb(s);
	printf("ready in %d ms with %ld MB resident (%ld MB when it was empty)\n",
	    (int)ms, kb / 1024, fresh / 1024);
	ck_assert_int_gt(wal, in_wal / 10);
	ck_assert_int_lt(ms, patience(10000));
	/* The newest 64 MB of it, with its indexes. */
	ck_assert_int_lt(kb, fresh + patience(256 * 1024));
	st = stream_open(s, "/events?topic=last", fmt(AUTH "Last-Event-ID: %s\r\n",
	    first));
	ck_assert_str_eq(expect_event(st, "message", "2")->id, last);
	expect_live(st, true);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

#define SLOW_READERS	1000

START_TEST(S6_slow_replays_of_a_long_log_leave_the_wal_short)
{
	struct server *s = server_start("--store.retain_bytes=100G",
	    "--store.tail=64k", "--stream.max_replay=100000000",
	    "--stream.stall=10m", NULL);
	int readers = size_of_run(200, SLOW_READERS), ended = 0;
	int64_t bytes = 0, end, step;
	struct stream *st[SLOW_READERS];
	char piece[1024], *first = publish(s, "t/0", "first"), *wal;
	long most = 0, kb;
	int base, busy;
	struct ledger *l;

	wal = fmt("%s-wal", s->store);
	(void)publish_rows(s, size_of_run(50000, 1000000), 900);
	l = ledger_new(s, 8, 500);
	ledger_connect(l);
	ledger_run(l, 500, 0);
	ledger_latency(l, 100);
	ledger_run(l, size_of_run(2000, 10000), 0);
	base = ledger_latency(l, 99);
	for (int i = 0; i < readers; i++) {
		st[i] = try_stream(s, "/events?topic=t/*", fmt(AUTH "Last-Event-ID: %s"
		    "\r\n", first), 1024);
		ck_assert_ptr_nonnull(st[i]);
	}
	ledger_run(l, 500, 0);
	ledger_latency(l, 100);
	/* Each reads 1 kB a second. */
	for (end = now_ms() + size_of_run(5000, 60000); now_ms() < end;) {
		step = now_ms() + 250;
		for (int i = 0; i < readers; i++) {
			ssize_t n = recv(st[i]->fd, piece, 256, 0);

			bytes += n > 0 ? n : 0;
			ended += n == 0;
		}
		if (step > now_ms())
			ledger_run(l, step - now_ms(), 0);
		kb = file_kb(wal);
		most = kb > most ? kb : most;
	}
	busy = ledger_latency(l, 99);
	ledger_quiesce(l);
	ledger_judge(l);
	printf("%d readers at 1 kB/s each of a log of %ld MB: WAL %ld MB at most; p99 "
	    "of publishes %d ms, %d ms before; %d acked\n", readers,
	    file_kb(s->store) / 1024, most / 1024, busy, base, l->acked);
	ck_assert_int_eq(ended, 0);
	ck_assert_int_gt(bytes, readers * 256);
	ck_assert_int_le(most, 64 * 1024);
	ck_assert_int_le(busy, 4 * base + patience(100));
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_disk");
	int first = size_of_run(1, 0), end = size_of_run(2, 3);
	TCase *tc = harness_case(su, "full", 60);

	tcase_add_loop_test(tc, S1_a_full_disk_refuses_and_loses_nothing, first, end);
	tcase_add_loop_test(tc, S1_what_is_due_goes_and_makes_room_on_a_full_disk, 1,
	    end);
	tcase_add_loop_test(tc, S1_a_log_at_its_limit_goes_on_when_others_fill_the_disk,
	    first, end);
	tcase_add_loop_test(tc, S1_killed_on_a_full_disk_it_starts_there_and_has_all,
	    first, end);
	tc = harness_case(su, "others", size_of_run(60, 300));
	tcase_add_test(tc,
	    S5_while_another_program_holds_the_lock_publishes_are_told_so);
	tcase_add_test(tc, S5_foreign_checkpoints_and_copies_lose_nothing);
	tc = harness_case(su, "reader", 90);
	tcase_add_test(tc, S5_a_foreign_reader_does_not_hold_up_publishes);
	tc = harness_case(su, "back", size_of_run(60, 300));
	tcase_add_test(tc, D5_ids_and_cursors_survive_files_put_back_and_gone);
	tc = harness_case(su, "long", size_of_run(90, 1200));
	tcase_add_test(tc, S8_a_long_log_with_a_long_wal_starts_soon);
	tcase_add_test(tc, S6_slow_replays_of_a_long_log_leave_the_wal_short);
	return su;
}

SUITE_MAIN
