/*
 * check_fault_damage.c - S4: a log that a disk has damaged, or that is not what it should
 * be, is refused by name or served truly; and `fanfare verify` tells.
 *
 * A log is made once by a server that is killed, so that part of it lies in the
 * write-ahead log.  Each round damages a copy of one of its files at random.  Then the
 * server ends within five seconds and names the file, or runs, and each event that it
 * shows is one that it was given.  Events may be missing without a gap only when verify
 * said so before; and if verify found nothing, nothing may be missing at all.
 *
 * FANFARE_TEST_ROUNDS: how many, when not as many as size_of_run() says.
 */
#include "config.h"

#include "harness.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define EVENTS	1500
#define TOPICS	23

/* What was published, by seq, from 1. */
static struct {
	char	id[32], topic[16];
	char	*data;
} given[EVENTS + 1];
static bool shown[EVENTS + 1];

static const char *const ends[] = { "", "-wal", "-shm" };

static char *
letters(uint32_t n)
{
	char *s = keep(malloc(n + 1), free);

	for (uint32_t i = 0; i < n; i++)
		s[i] = (char)('a' + dice(26));
	s[n] = '\0';
	return s;
}

/* In batches of `each`. */
static void
give(struct server *s, int from, int to, int each)
{
	for (int i = from; i <= to; i += each) {
		char *body = fmt("[");
		json_t *o, *id;
		size_t at;

		for (int k = i; k < i + each && k <= to; k++) {
			snprintf(given[k].topic, sizeof given[k].topic, "t/%d",
			    (int)dice(TOPICS));
			given[k].data = letters(20 + dice(dice(10) == 0 ? 3000 : 300));
			body = fmt("%s%s{\"topic\":\"%s\",\"data\":\"%s\"}", body,
			    k > i ? "," : "", given[k].topic, given[k].data);
		}
		o = publish_json(s, fmt("%s]", body));
		json_array_foreach(json_object_get(o, "ids"), at, id)
			snprintf(given[i + (int)at].id, sizeof given[0].id, "%s",
			    json_string_value(id));
	}
}

static void
copy_files(const char *from, const char *to)
{
	for (size_t i = 0; i < N(ends); i++)
		ck_assert_int_eq(system(fmt("cp %s%s %s%s", from, ends[i], to,
		    ends[i])), 0);
}

/* The pristine files; the server is dead. */
static char *
make_log(struct server *s)
{
	char *to = fmt("%s/pristine.db", test_dir());

	give(s, 1, 900, 30);
	ck_assert_int_eq(server_stop(s), 0);
	server_restart(s);
	give(s, 901, 1200, 20);
	server_kill(s);
	server_restart(s);
	give(s, 1201, EVENTS, 3);
	server_kill(s);
	copy_files(s->store, to);
	return to;
}

/* ---- damage ---- */

/* Do something to one of the files; says what. */
static char *
damage(const char *store)
{
	uint32_t which = dice(10), kind = dice(6), n, at;
	char *path = fmt("%s%s", store, ends[which < 5 ? 0 : which < 9 ? 1 : 2]), *what;
	unsigned char bytes[8192];
	int fd = open(path, O_RDWR);
	struct stat sb;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &sb), 0);
	ck_assert_int_gt((int)sb.st_size, 0);
	at = dice((uint32_t)sb.st_size);
	n = 1 + dice(kind < 4 ? 4096 : 8);
	switch (kind) {
	case 0:
		what = fmt("%s cut off at %u of %d", path, at, (int)sb.st_size);
		ck_assert_int_eq(ftruncate(fd, at), 0);
		break;
	case 1:
	case 2:
	case 3:
		if (kind == 3) {		/* a whole page */
			at -= at % 4096;
			n = 4096;
		}
		what = fmt("%s: %u bytes at %u are %s", path, n, at,
		    kind == 1 ? "zero" : "noise");
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = kind == 1 ? 0 : (unsigned char)dice(256);
		if (at + n > sb.st_size)
			n = (uint32_t)sb.st_size - at;
		ck_assert_int_eq(pwrite(fd, bytes, n, at), n);
		break;
	default:
		what = fmt("%s: bits flip at", path);
		/* Where much hangs on each: the beginning, often. */
		for (; n > 0; n--) {
			at = dice(3) == 0 ? dice(4096) : dice((uint32_t)sb.st_size);
			if (at >= sb.st_size || pread(fd, bytes, 1, at) != 1)
				continue;
			bytes[0] ^= (unsigned char)(1u << dice(8));
			ck_assert_int_eq(pwrite(fd, bytes, 1, at), 1);
			what = fmt("%s %u", what, at);
		}
	}
	close(fd);
	return what;
}

/* ---- what the server says ---- */

/* The outcome of one question. */
struct told {
	bool	 refused;	/* not answered: an error, which tells */
	bool	 gap;
};

static void
check_event(json_t *e, int64_t *last, const char *what)
{
	int64_t seq = id_seq(text_at(e, "id"));

	ck_assert_msg(seq > *last, "%s: %s follows %d", what, text_at(e, "id"),
	    (int)*last);
	*last = seq;
	ck_assert_msg(seq >= 1 && seq <= EVENTS &&
	    strcmp(text_at(e, "id"), given[seq].id) == 0, "%s: the id %s was never given",
	    what, text_at(e, "id"));
	ck_assert_msg(strcmp(text_at(e, "topic"), given[seq].topic) == 0 &&
	    strcmp(text_at(e, "data"), given[seq].data) == 0,
	    "%s: %s says %s in %s", what, text_at(e, "id"), text_at(e, "data"),
	    text_at(e, "topic"));
	shown[seq] = true;
}

/* One page; its cursor, or NULL. */
static char *
page(struct server *s, const char *query, int64_t *last, size_t *n, struct told *t,
    const char *what)
{
	struct answer *a = get(s, fmt("/history?%s", query), AUTH);
	char *cursor;
	json_t *o, *e;
	size_t i;

	ck_assert_msg(a->status == 200 || a->status >= 500, "%s: %d %s", what, a->status,
	    a->body);
	if (a->status != 200) {
		t->refused = true;
		return NULL;
	}
	o = body_json(a);
	if (!json_is_null(json_object_get(o, "gap")))
		t->gap = true;
	*n = json_array_size(json_object_get(o, "events"));
	json_array_foreach(json_object_get(o, "events"), i, e)
		check_event(e, last, what);
	cursor = fmt("%s", text_at(o, "cursor"));
	return cursor;
}

/* All behind the first event, as a page that comes back would get it. */
static struct told
walk(struct server *s, const char *what)
{
	struct told t = { .gap = false };
	char *cursor = given[1].id;
	int64_t last = 0;
	size_t n = 1;

	memset(shown, 0, sizeof shown);
	while (n > 0 && cursor != NULL)
		cursor = page(s, fmt("topic=t/**&limit=1000&after=%s", cursor), &last,
		    &n, &t, what);
	return t;
}

static int
missing(int from, const char *topic)
{
	int n = 0;

	for (int i = from; i <= EVENTS; i++)
		n += !shown[i] && (topic == NULL || strcmp(topic, given[i].topic) == 0);
	return n;
}

static int rounds_refused, rounds_gap, rounds_told, rounds_silent;

/* It runs. */
static void
question(struct server *s, bool verified, const char *what)
{
	struct told t = walk(s, what);
	int lost = missing(2, NULL);
	struct answer *a;
	char *topic;
	int64_t last = 0;
	size_t n;

	ck_assert_msg(t.refused || t.gap || lost == 0 || !verified,
	    "%s: %d events are missing, without a gap, and verify was content", what,
	    lost);
	ck_assert_msg(!verified || (lost == 0 && !t.gap && !t.refused), "%s: verify was "
	    "content, but %d are missing, gap %d, refused %d", what, lost, t.gap,
	    t.refused);
	rounds_gap += t.gap;
	rounds_silent += !t.refused && !t.gap && lost > 0;
	/* A page opened for the first time: it is told of no gap. */
	memset(shown, 0, sizeof shown);
	topic = fmt("t/%d", (int)dice(TOPICS));
	(void)page(s, fmt("topic=%s&replay=1000", topic), &last, &n, &t, what);
	ck_assert_msg(!verified || missing(1, topic) == 0, "%s: %s lacks events, and "
	    "verify was content", what, topic);
	a = post(s, "/publish?topic=new", AUTH, "x");
	ck_assert_msg(a->status == 200 || a->status >= 500, "%s: %d %s", what, a->status,
	    a->body);
	ck_assert_msg(!verified || a->status == 200, "%s: verify was content: %s", what,
	    a->body);
	for (int i = 1; a->status == 200 && i <= EVENTS; i++)
		ck_assert_msg(strstr(a->body, fmt("\"%s\"", given[i].id)) == NULL,
		    "%s: %s is given out again", what, given[i].id);
	ck_assert_msg(server_alive(s), "%s: the server died", what);
}

static void
look_for_crashes(const char *said, const char *what)
{
	ck_assert_msg(strstr(said, "Sanitizer") == NULL &&
	    strstr(said, "runtime error") == NULL && strstr(said, "ssertion") == NULL,
	    "%s: %s", what, said);
}

START_TEST(S4_a_damaged_log_is_refused_by_name_or_served_truly)
{
	struct server *s = server_start("--store.retain_age=0", NULL);
	int rounds = setting("FANFARE_TEST_ROUNDS", size_of_run(100, 1000));
	char *pristine = make_log(s), *what, *out, *err;
	bool verified;
	int code;

	for (int i = 0; i < rounds; i++) {
		copy_files(pristine, s->store);
		unlink(s->log);
		what = fmt("round %d: %s", i, damage(s->store));
		code = program_run(&out, &err, NULL, "verify", s->store, NULL);
		ck_assert_msg(code == 0 || code == 1, "%s: verify ended with %d: %s%s",
		    what, code, out, err);
		ck_assert_msg(code == 0 || strstr(out, s->store) != NULL ||
		    strstr(err, s->store) != NULL, "%s: verify says %s%s", what, out,
		    err);
		look_for_crashes(err, what);
		verified = code == 0;
		rounds_told += !verified;
		if ((code = server_attempt(s)) != 0) {
			rounds_refused++;
			ck_assert_msg(code > 0, "%s: ended with %d: %s", what, code,
			    read_whole(s->log));
			ck_assert_msg(strstr(read_whole(s->log), s->store) != NULL,
			    "%s: no word of the file: %s", what, read_whole(s->log));
			ck_assert_msg(!verified, "%s: verify was content; the server: %s",
			    what, read_whole(s->log));
		} else
			question(s, verified, what);
		server_kill(s);
		look_for_crashes(read_whole(s->log), what);
	}
	printf("%d rounds of damage: verify told of %d; the server refused %d, told "
	    "streams of a gap in %d, and served %d shorter without a word\n", rounds,
	    rounds_told, rounds_refused, rounds_gap, rounds_silent);
	copy_files(pristine, s->store);
	server_restart(s);
	log_is_whole(s);
	(void)walk(s, "pristine");
	ck_assert_int_eq(missing(2, NULL), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Each round of recovery: what comes out was put in, and is a log. */
START_TEST(S4_what_is_recovered_from_a_damaged_log_was_in_it)
{
	struct server *s = server_start("--store.retain_age=0", NULL);
	int rounds = setting("FANFARE_TEST_ROUNDS", size_of_run(30, 300));
	char *pristine = make_log(s), *to = fmt("%s/saved.db", test_dir());
	int none = 0;
	long saved = 0;

	for (int i = 0; i < rounds; i++) {
		char *what, *out, *err, *line;
		int code, n = 0, at = 1;

		copy_files(pristine, s->store);
		what = fmt("round %d: %s", i, damage(s->store));
		code = program_run(&out, &err, NULL, "recover", s->store, to, NULL);
		look_for_crashes(err, what);
		ck_assert_msg(code == 0 || (code == 1 &&
		    strstr(err, s->store) != NULL), "%s: %d: %s", what, code, err);
		if (code == 0) {
			ck_assert_msg(program_run(&out, &err, NULL, "verify", to,
			    NULL) == 0, "%s: %s%s", what, out, err);
			ck_assert_int_eq(program_run(&out, NULL, NULL, "export", "--db",
			    to, NULL), 0);
			/* In the old order. */
			for (line = out; *line != '\0'; line = strchr(line, '\n') + 1) {
				json_t *e = json_loads(line, JSON_DISABLE_EOF_CHECK,
				    NULL);

				ck_assert_ptr_nonnull(e);
				while (at <= EVENTS && (strcmp(given[at].data,
				    text_at(e, "data")) != 0 || strcmp(given[at].topic,
				    text_at(e, "topic")) != 0))
					at++;
				ck_assert_msg(at <= EVENTS, "%s: never given: %.200s",
				    what, line);
				json_decref(e);
				n++;
			}
			saved += n;
		} else
			none++;
		for (size_t k = 0; k < N(ends); k++)
			unlink(fmt("%s%s", to, ends[k]));
		unlink(fmt("%s.lock", to));
	}
	printf("%d rounds of recovery: %d could not be opened; from the others %ld of %d "
	    "events\n", rounds, none, saved, (rounds - none) * EVENTS);
	ck_assert_int_lt(none, rounds);
}
END_TEST

/* Spoil the first page of the last commit, as if the power had failed before its sync,
 * and forget what only memory knew. */
static void
tear_last_commit(const char *store)
{
	char *shm = fmt("%s-shm", store);
	unsigned char head[24];
	off_t at = 32, begun = 32, last = 32, end;
	int fd = open(shm, O_RDONLY);
	uint32_t pages;

	/* How far it goes, whatever stands behind that. */
	ck_assert_int_eq(pread(fd, &pages, sizeof pages, 16), sizeof pages);
	close(fd);
	unlink(shm);
	end = 32 + (off_t)pages * (24 + 4096);
	fd = open(fmt("%s-wal", store), O_RDWR);
	ck_assert_int_ne(fd, -1);
	for (; at < end && pread(fd, head, 24, at) == 24; at += 24 + 4096)
		if (memcmp(head + 4, "\0\0\0", 4) != 0) {
			last = begun;
			begun = at + 24 + 4096;
		}
	ck_assert_int_eq((int)begun, (int)at);
	ck_assert_int_gt((int)(begun - last), 24 + 4096);
	ck_assert_int_eq(pwrite(fd, "torn", 4, last + 100), 4);
	close(fd);
}

START_TEST(S4_the_torn_ends_of_several_crashes_are_no_damage)
{
	struct server *s = server_start("--store.retain_age=0", NULL);

	/* Each leaves its end behind that of the next. */
	for (int n = 8; n > 0; n /= 2) {
		char *one = fmt("{\"topic\":\"large\",\"data\":\"%s\"}",
		    repeat("x", 60000)), *all = one;

		for (int i = 1; i < n; i++)
			all = fmt("%s,%s", all, one);
		publish(s, "small", "x");
		publish_json(s, fmt("[%s]", all));
		server_kill(s);
		tear_last_commit(s->store);
		log_is_whole(s);
		server_restart(s);
		log_is_whole(s);
	}
	ck_assert_int_eq((int)json_array_size(json_object_get(history(s, "topic=small"),
	    "events")), 4);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- files that are not what they should be ---- */

/* The program, run by way of a shell line that ends in "$@". */
static bool
run_by_way_of(const char *how)
{
	static char bin[4096];
	char *script = fmt("%s/way", test_dir());
	FILE *f;

	if (*bin == '\0')
		ck_assert_ptr_nonnull(realpath(getenv("FANFARE_BIN") != NULL ?
		    getenv("FANFARE_BIN") : "./fanfare", bin));
	if (how == NULL) {
		setenv("FANFARE_BIN", bin, 1);
		return true;
	}
	f = fopen(script, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\nset -- %s \"$@\"\n%s\n", bin, how);
	fclose(f);
	chmod(script, 0755);
	setenv("FANFARE_BIN", script, 1);
	if (program_run(NULL, NULL, NULL, "version", NULL) == 0)
		return true;
	setenv("FANFARE_BIN", bin, 1);
	return false;
}

static void
is_refused(const char *store, const char *what)
{
	char *said;
	int64_t begun = now_ms();
	int code = server_refused(&said, fmt("--store.path=%s", store), NULL);

	ck_assert_msg(code == 1 || code == 2, "%s: exits with %d: %s", what, code, said);
	ck_assert_msg(strstr(said, store) != NULL, "%s: %s", what, said);
	ck_assert_msg(now_ms() - begun < patience(5000), "%s: too late", what);
	look_for_crashes(said, what);
	unlink(fmt("%s/way.log", test_dir()));
}

static const char *const senseless[] = {
	"INSERT INTO segment VALUES (-5, 1, 1, 1)",
	"INSERT INTO segment VALUES (99999999, 1, 1, 1)",
	"UPDATE segment SET events = 5000", "UPDATE segment SET bytes = -1",
	"DELETE FROM state", "UPDATE state SET pruned = -1",
	"UPDATE state SET settled = 1 << 61", "UPDATE topic SET name = 'a' || char(10)",
	"UPDATE topic SET newest = 1 << 61", "UPDATE topic SET id = 1 << 61",
	"UPDATE event SET seq = 1 << 61", "UPDATE epoch SET first_seq = 0",
	"UPDATE epoch SET epoch = 1 << 32", "DROP TABLE idempotency",
};

START_TEST(S4_counters_and_marks_that_make_no_sense_are_refused)
{
	struct server *s = server_start("--store.retain_age=0", NULL);
	char *good = fmt("%s/good.db", test_dir());
	sqlite3 *db;

	publish(s, "a", "x");
	ck_assert_int_eq(server_stop(s), 0);
	ck_assert_int_eq(system(fmt("cp %s %s", s->store, good)), 0);
	for (size_t i = 0; i < N(senseless); i++) {
		ck_assert_int_eq(system(fmt("cp %s %s; rm -f %s-*", good, s->store,
		    s->store)), 0);
		ck_assert_int_eq(sqlite3_open(s->store, &db), SQLITE_OK);
		ck_assert_msg(sqlite3_exec(db, senseless[i], NULL, NULL, NULL) ==
		    SQLITE_OK, "%s: %s", senseless[i], sqlite3_errmsg(db));
		sqlite3_close(db);
		is_refused(s->store, senseless[i]);
		ck_assert_msg(program_run(NULL, NULL, NULL, "verify", s->store,
		    NULL) == 1, "verify is content: %s", senseless[i]);
	}
}
END_TEST

#define AS_NOBODY	"exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\""

START_TEST(S4_a_file_or_folder_of_somebody_else_is_named)
{
	char *dir = fmt("%s/theirs", test_dir()), *db = fmt("%s/log.db", dir), *err;

	ck_assert_int_eq(mkdir(dir, 0755), 0);
	ck_assert_int_eq(system(fmt("chmod 755 %s %s/..", test_dir(), test_dir())), 0);
	if (geteuid() != 0 || !run_by_way_of(AS_NOBODY)) {
		left_out("only root can be somebody else");
		return;
	}
	/* A folder that may not be written, with no log in it. */
	is_refused(db, "somebody's folder");
	/* Made by its owner; then somebody comes who may only read, or not even that. */
	run_by_way_of(NULL);
	write_whole(fmt("%s/in", test_dir()), "{\"topic\":\"a\",\"data\":1}\n", 23);
	ck_assert_int_eq(program_run(NULL, NULL, fmt("%s/in", test_dir()), "import",
	    "--db", db, NULL), 0);
	for (int mode = 0644; mode >= 0600; mode -= 044) {
		ck_assert_int_eq(chmod(db, (mode_t)mode), 0);
		ck_assert_int_eq(chmod(dir, 0777), 0);
		unlink(fmt("%s.lock", db));
		ck_assert(run_by_way_of(AS_NOBODY));
		is_refused(db, fmt("mode %o", (unsigned int)mode));
		if (mode == 0600) {
			ck_assert_int_eq(program_run(NULL, &err, NULL, "verify", db,
			    NULL), 1);
			ck_assert_ptr_nonnull(strstr(err, db));
		}
		run_by_way_of(NULL);
	}
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "verify", db, NULL), 0);
}
END_TEST

START_TEST(S4_a_read_only_file_system_is_named_and_can_be_verified)
{
	char *dir = fmt("%s/still", test_dir()), *db = fmt("%s/log.db", dir), *how, *err;

	ck_assert_int_eq(mkdir(dir, 0755), 0);
	write_whole(fmt("%s/in", test_dir()), "{\"topic\":\"a\",\"data\":1}\n", 23);
	ck_assert_int_eq(program_run(NULL, NULL, fmt("%s/in", test_dir()), "import",
	    "--db", db, NULL), 0);
	how = fmt("exec unshare %s sh -c 'mount --bind %s %s && mount -o "
	    "remount,bind,ro %s %s && exec \"$@\"' sh \"$@\"",
	    geteuid() == 0 ? "-m" : "-Urm", dir, dir, dir, dir);
	if (!run_by_way_of(how)) {
		left_out("nothing may be mounted here");
		return;
	}
	is_refused(db, "a read-only file system");
	ck_assert_msg(program_run(NULL, &err, NULL, "verify", db, NULL) == 0, "%s", err);
	unlink(fmt("%s-wal", db));
	unlink(fmt("%s-shm", db));
	ck_assert_msg(program_run(NULL, &err, NULL, "verify", db, NULL) == 0, "%s", err);
	run_by_way_of(NULL);
}
END_TEST

static const struct {
	const char	*what, *make;
	int		 serves;	/* 1: it is as good as none */
} strangers[] = {
	{ "an empty file", ": > $DB", 1 },
	{ "a text", "echo 'Dear diary' > $DB", 0 },
	{ "a long text", "seq 100000 > $DB", 0 },
	{ "a folder", "mkdir $DB", 0 },
	{ "a link to nowhere", "ln -s /no/such/place $DB", 0 },
	{ "a pipe", "mkfifo $DB", 0 },
	{ "a device", "ln -s /dev/zero $DB", 0 },
	{ "somebody's database", "sqlite3 $DB 'CREATE TABLE customer (name)'", 0 },
	{ "somebody's database with our numbers", "sqlite3 $DB 'CREATE TABLE "
	    "event (name); PRAGMA user_version = 2; "
	    "PRAGMA application_id = 1717661286'", 0 },
	{ "our first half", "sqlite3 $DB 'CREATE TABLE event (name);"
	    "PRAGMA user_version = 1; PRAGMA application_id = 1717661286'", 0 },
	{ "a newer release's", "sqlite3 $DB 'CREATE TABLE event (name);"
	    "PRAGMA user_version = 99; PRAGMA application_id = 1717661286'", 0 },
	{ "a header alone", "printf 'SQLite format 3\\000' > $DB", 0 },
};

START_TEST(S4_what_is_no_log_is_named_and_left_alone)
{
	for (size_t i = 0; i < N(strangers); i++) {
		char *db = fmt("%s/%d.db", test_dir(), (int)i), *out, *err, *sum;
		bool plain = i != 3 && i != 5 && i != 6 && i != 4;
		int code;

		ck_assert_int_eq(system(fmt("DB=%s; %s", db, strangers[i].make)), 0);
		sum = fmt("cksum < %s > %s/sum", db, test_dir());
		if (plain)
			ck_assert_int_eq(system(sum), 0);
		code = program_run(&out, &err, NULL, "verify", db, NULL);
		ck_assert_msg(code == 1 && (strstr(err, db) != NULL ||
		    strstr(out, db) != NULL), "%s: verify: %d %s%s",
		    strangers[i].what, code, out, err);
		if (!strangers[i].serves)
			is_refused(db, strangers[i].what);
		if (plain)
			ck_assert_msg(system(fmt("cksum < %s | cmp - %s/sum", db,
			    test_dir())) == 0, "%s was changed", strangers[i].what);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_damage");
	int rounds = setting("FANFARE_TEST_ROUNDS", size_of_run(100, 1000));
	TCase *tc = harness_case(su, "damage", 120 + rounds * 4);

	tcase_add_test(tc, S4_a_damaged_log_is_refused_by_name_or_served_truly);
	tcase_add_test(tc, S4_what_is_recovered_from_a_damaged_log_was_in_it);
	tcase_add_test(tc, S4_the_torn_ends_of_several_crashes_are_no_damage);
	tc = harness_case(su, "strangers", 120);
	tcase_add_test(tc, S4_counters_and_marks_that_make_no_sense_are_refused);
	tcase_add_test(tc, S4_a_file_or_folder_of_somebody_else_is_named);
	tcase_add_test(tc, S4_a_read_only_file_system_is_named_and_can_be_verified);
	tcase_add_test(tc, S4_what_is_no_log_is_named_and_left_alone);
	return su;
}

SUITE_MAIN
