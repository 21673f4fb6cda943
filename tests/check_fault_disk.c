/*
 * check_fault_disk.c - the running server and its disk, from outside.  Names as in
 * the list of faults: S1 a full disk, S5 other programs on the database, S6 slow
 * readers of a long log, S8 long logs at start; D5 files that were put back.
 */
#include "config.h"

#include "ledger.h"

#include <sys/mount.h>
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
		printf("no small disk can be mounted here (%s): S1 not tested\n",
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
	ck_assert_int_eq(l->full, full);
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
	return su;
}

SUITE_MAIN
