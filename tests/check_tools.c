/*
 * check_tools.c - operators' tools, from outside: backup, verify, export, import,
 * recover, and what /stats says of retention.  What takes longer is in
 * check_fault_tools.c.
 */
#include "config.h"

#include "harness.h"
#include "lines.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static char *
new_log(int n)
{
	char *db = fmt("%s/new.db", test_dir()), *err;

	ck_assert_msg(program_run(NULL, &err, lines_file(n), "import", "--db", db,
	    NULL) == 0, "%s", err);
	return db;
}

static char *
export(const char *db)
{
	char *out, *err;

	ck_assert_msg(program_run(&out, &err, NULL, "export", "--db", db, NULL) == 0,
	    "%s", err);
	return out;
}

/* Without the ids, which an import gives anew. */
static char *
without_ids(const char *lines)
{
	char *out = fmt("%s", lines), *to = out;

	for (const char *p = lines, *end; *p != '\0'; p = end) {
		end = strchr(p, '\n') + 1;
		p = strchr(p, ',');
		memmove(to, p, (size_t)(end - p));
		to += end - p;
	}
	*to = '\0';
	return out;
}

static int
count_lines(const char *p)
{
	int n = 0;

	for (; (p = strchr(p, '\n')) != NULL; p++)
		n++;
	return n;
}

static void
copy_file(const char *from, const char *to)
{
	ck_assert_int_eq(system(fmt("cp %s %s", from, to)), 0);
}

static void
remove_beside(const char *db)
{
	unlink(fmt("%s-wal", db));
	unlink(fmt("%s-shm", db));
}

static int
verify(const char *db, char **said)
{
	char *err;
	int code = program_run(said, &err, NULL, "verify", db, NULL);

	*said = fmt("%s%s", *said, err);
	return code;
}

/* ---- backup ---- */

/* Starts the tool while `h` publishes on; its exit code.  *n counts the events. */
static int
backup_while_publishing(struct server *s, const char *to, int *n, int *least)
{
	struct http *h = http_open(s);
	int status, acked = *n;
	pid_t pid;

	*least = -1;
	if ((pid = fork()) == 0)
		_exit(program_run(NULL, NULL, NULL, "backup", "--db", s->store, to,
		    NULL) & 0xff);
	ck_assert_int_gt(pid, 0);
	do {
		struct answer *a;
		char *body = fmt("%d", acked + 1);

		ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a", AUTH,
		    body, strlen(body)), 0);
		a = try_http_receive(h, 4 * SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		acked++;
	} while (waitpid(pid, &status, WNOHANG) == 0);
	http_close(h);
	*least = *n;
	*n = acked;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(a_backup_beside_a_busy_server_is_its_log_at_one_moment)
{
	struct server *s = server_start(NULL, NULL);
	int n = 0, least;

	publish(s, "a", "0");
	for (int round = 0; round < 3; round++) {
		char *to = fmt("%s/backup-%d", test_dir(), round), *said, *was, *is;

		ck_assert_int_eq(backup_while_publishing(s, to, &n, &least), 0);
		ck_assert_msg(verify(to, &said) == 0, "%s", said);
		was = export(to);
		is = export(s->store);
		/* All that was acknowledged before it began, and nothing by half. */
		ck_assert_int_gt(count_lines(was), least);
		ck_assert_int_le(count_lines(was), count_lines(is));
		ck_assert_int_eq(strncmp(was, is, strlen(was)), 0);
	}
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
	log_is_whole(s);
}
END_TEST

START_TEST(a_backup_of_a_killed_server_has_what_lay_in_its_write_ahead_log)
{
	struct server *s = server_start(NULL, NULL);
	char *to = fmt("%s/backup", test_dir()), *wal = fmt("%s-wal", s->store);
	struct stat before, after;

	for (int i = 0; i < 20; i++)
		publish(s, "a", "x");
	server_kill(s);
	ck_assert_int_eq(stat(wal, &before), 0);
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "backup", "--db", s->store, to,
	    NULL), 0);
	ck_assert_int_eq(count_lines(export(to)), 20);
	/* And nothing was moved from there into the database. */
	ck_assert_int_eq(stat(wal, &after), 0);
	ck_assert_int_eq(before.st_size, after.st_size);
	ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	server_restart(s);
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Beside the closed log, as damage would. */
static void
spoil(const char *db, const char *sql)
{
	sqlite3 *h;

	ck_assert_int_eq(sqlite3_open(db, &h), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

START_TEST(a_log_whose_epochs_are_damaged_is_not_backed_up_and_why_is_said)
{
	char *db = new_log(10), *err;

	spoil(db, "UPDATE epoch SET first_seq = -1");
	ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "--db", db,
	    fmt("%s/to", test_dir()), NULL), 1);
	ck_assert_msg(strstr(err, "its epochs do not rise; \"fanfare verify\"") != NULL, "%s",
	    err);
}
END_TEST

START_TEST(a_log_that_a_tool_made_keeps_no_room_back)
{
	char *db = new_log(10), *to = fmt("%s/saved.db", test_dir());
	struct stat sb;

	ck_assert_int_eq(stat(fmt("%s.lock", db), &sb), 0);
	ck_assert_int_lt(sb.st_size, 100);
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "recover", db, to, NULL), 0);
	ck_assert_int_eq(stat(fmt("%s.lock", to), &sb), 0);
	ck_assert_int_lt(sb.st_size, 100);
}
END_TEST

START_TEST(whoever_misses_the_log_is_told_where_systemd_has_it)
{
	char *conf = fmt("%s/fanfare.conf", test_dir()), *err;
	FILE *f = fopen(conf, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "[store]\npath = nowhere.db\n");
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "-c", conf,
	    fmt("%s/to", test_dir()), NULL), 1);
	ck_assert_msg(strstr(err, "nowhere.db: No such file or directory; a server that "
	    "systemd starts has its log in /var/lib/fanfare: name it with --db\n") != NULL,
	    "%s", err);
	ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "--db", "/nowhere.db",
	    fmt("%s/to", test_dir()), NULL), 1);
	ck_assert_msg(strstr(err, "systemd") == NULL, "%s", err);
}
END_TEST

START_TEST(a_backup_overwrites_nothing_and_leaves_nothing_half_done)
{
	char *db = new_log(10), *to = fmt("%s/there", test_dir()), *err;
	static const char *const nowhere[] = { "%s/no/such/folder", "%s" };

	write_whole(to, "mine", 4);
	ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "--db", db, to, NULL),
	    1);
	ck_assert_ptr_nonnull(strstr(err, to));
	ck_assert_str_eq(read_whole(to), "mine");
	for (size_t i = 0; i < N(nowhere); i++) {
		to = i == 0 ? fmt("%s/no/such/folder", test_dir()) : test_dir();
		ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "--db", db, to,
		    NULL), 1);
		ck_assert_ptr_nonnull(strstr(err, to));
	}
	to = fmt("%s/from-nothing", test_dir());
	ck_assert_int_eq(program_run(NULL, &err, NULL, "backup", "--db",
	    fmt("%s/absent.db", test_dir()), to, NULL), 1);
	ck_assert_ptr_nonnull(strstr(err, "absent.db"));
	ck_assert_int_ne(access(to, F_OK), 0);
	ck_assert_int_ne(access(fmt("%s/absent.db", test_dir()), F_OK), 0);
	ck_assert_int_eq(system(fmt("ls %s | grep -q part", test_dir())) == 0, 0);
}
END_TEST

START_TEST(D5_after_a_restored_backup_lost_cursors_get_a_gap_and_no_id_comes_again)
{
	struct server *s = server_start(NULL, NULL);
	char *to = fmt("%s/backup", test_dir()), *kept[20], *lost[40], *id;
	struct stream *st;

	for (int i = 0; i < 20; i++)
		kept[i] = publish(s, "a", fmt("kept %d", i));
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "backup", "--db", s->store, to,
	    NULL), 0);
	for (int i = 0; i < 40; i++) {
		/* Of the epoch that the backup knows, and of one that it does not. */
		if (i == 20) {
			server_kill(s);
			server_restart(s);
		}
		lost[i] = publish(s, "a", fmt("lost %d", i));
	}
	ck_assert_int_eq(server_stop(s), 0);
	remove_beside(s->store);
	copy_file(to, s->store);
	server_restart(s);
	for (int i = 0; i < 60; i++) {
		id = publish(s, "a", fmt("new %d", i));
		for (int k = 0; k < 40; k++)
			ck_assert_str_ne(id, lost[k]);
	}
	for (int k = 0; k < 40; k += 13) {
		st = stream_open(s, "/events?topic=a&replay=2", fmt(AUTH
		    "Last-Event-ID: %s\r\n", lost[k]));
		expect_gap(st, "reset");
		expect_event(st, "message", "new 58");
		expect_event(st, "message", "new 59");
		stream_close(st);
	}
	/* Who saw nothing of what is lost goes on without a word. */
	st = stream_open(s, "/events?topic=a", fmt(AUTH "Last-Event-ID: %s\r\n",
	    kept[18]));
	expect_event(st, "message", "kept 19");
	expect_event(st, "message", "new 0");
	stream_close(st);
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_backup_put_beside_a_left_over_write_ahead_log_is_not_served)
{
	struct server *s = server_start(NULL, NULL);
	char *to = fmt("%s/backup", test_dir()), *said;

	publish(s, "a", "old");
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "backup", "--db", s->store, to,
	    NULL), 0);
	for (int i = 0; i < 50; i++)
		publish(s, "b", "more");
	server_kill(s);
	copy_file(to, s->store);
	ck_assert_int_eq(server_refused(&said, fmt("--store.path=%s", s->store), NULL),
	    2);
	ck_assert_msg(strstr(said, fmt("%s-wal", s->store)) != NULL &&
	    strstr(said, "remove") != NULL, "%s", said);
	ck_assert_int_eq(verify(s->store, &said), 1);
	ck_assert_ptr_nonnull(strstr(said, "-wal"));
	remove_beside(s->store);
	server_restart(s);
	ck_assert_int_eq(count_lines(export(s->store)), 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- verify ---- */

static const struct {
	const char	*sql, *word;
} faults[] = {
	{ "UPDATE event SET data = 'number 9' WHERE seq = 8", "event" },
	{ "UPDATE event SET time = time + 1 WHERE seq = 8", "8 is damaged" },
	{ "UPDATE event SET name = 'other' WHERE seq = 8", "8 is damaged" },
	{ "UPDATE event SET flags = 0 WHERE seq = 9", "9 is damaged" },
	{ "UPDATE event SET seq = 9000 WHERE seq = 8", "9000 is damaged" },
	{ "UPDATE event SET topic = 1 + topic % 7 WHERE seq = 8", "8 is damaged" },
	{ "UPDATE event SET sum = NULL WHERE seq = 8", "8 is damaged" },
	{ "UPDATE event SET prev = 0 WHERE seq = 100", "100 is damaged" },
	{ "DELETE FROM event WHERE seq = 2000", "missing" },
	{ "DELETE FROM event WHERE seq = 3", "missing" },
	{ "DELETE FROM event WHERE seq = 5000", "missing" },
	{ "DELETE FROM event WHERE seq > 4990", "newest event" },
	{ "DELETE FROM event", "no events" },
	{ "UPDATE topic SET name = 't/9' WHERE name = 't/3'", "damaged" },
	{ "UPDATE topic SET name = 'a*' || char(10) WHERE name = 't/3'", "no name" },
	{ "UPDATE topic SET newest = 4000 WHERE name = 't/3'", "newest" },
	{ "UPDATE topic SET newest = 6000 WHERE name = 't/3'", "newest" },
	{ "UPDATE topic SET nth = nth + 1 WHERE name = 't/3'", "miscounted" },
	{ "UPDATE topic SET empty = 1 WHERE name = 't/3'", "has none" },
	{ "DELETE FROM topic WHERE name = 't/3'", "no topic" },
	{ "UPDATE segment SET events = events - 1 WHERE segment = 0", "segments" },
	{ "UPDATE segment SET bytes = bytes + 1 WHERE segment = 0", "segments" },
	{ "DELETE FROM segment WHERE segment = 1", "segments" },
	{ "INSERT INTO segment VALUES (9, 1, 1, 1)", "segments" },
	{ "UPDATE epoch SET first_seq = 10 WHERE n = 1", "older than all epochs" },
	{ "INSERT INTO epoch (epoch, first_seq, opened_ms) VALUES (7, 3000, 1), "
	    "(8, 100, 1)",
	    "do not rise" },
	{ "UPDATE epoch SET epoch = 0 WHERE n = 1", "epochs" },
	{ "UPDATE epoch SET epoch = epoch - 1 WHERE n = 1", "damaged" },
	{ "DELETE FROM epoch", "epochs" },
	{ "DELETE FROM state", "state" },
	{ "UPDATE state SET settled = 999999", "settled" },
	{ "UPDATE state SET forgotten = 999999", "forgotten" },
	{ "UPDATE state SET summed = 999999", "sums" },
	{ "UPDATE state SET summed = 100", "has a sum" },
	{ "INSERT INTO idempotency VALUES (6000, 1, 1, zeroblob(16), zeroblob(16))",
	    "keys" },
	{ "INSERT INTO idempotency VALUES (6, 1, 1, x'00', zeroblob(16))", "keys" },
	{ "INSERT INTO idempotency VALUES (6, 0, 1, zeroblob(16), zeroblob(16))",
	    "keys" },
	{ "INSERT INTO revocation VALUES (zeroblob(16), 0, 1, 5)", "revocations" },
	{ "CREATE TABLE mine (x)", "schema" },
	{ "DROP INDEX topic_empty", "schema" },
	{ "DROP TABLE idempotency; CREATE TABLE idempotency (seq INTEGER PRIMARY KEY, "
	    "events, key, content)", "schema" },
	{ "PRAGMA user_version = 9999", "newer" },
	{ "PRAGMA application_id = 1", "another" },
};

START_TEST(verify_names_each_fault_that_a_log_can_have)
{
	char *good = new_log(5000), *bad = fmt("%s/bad.db", test_dir()), *said;
	sqlite3 *db;

	/* So that topics' rows do not lag. */
	ck_assert_int_eq(sqlite3_open(good, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "UPDATE state SET settled = 5000; "
	    "UPDATE topic SET newest = (SELECT max(seq) FROM event WHERE "
	    "event.topic = topic.id), nth = (SELECT count(*) FROM event WHERE "
	    "event.topic = topic.id)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	ck_assert_msg(verify(good, &said) == 0, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "5000 events"));
	for (size_t i = 0; i < N(faults); i++) {
		copy_file(good, bad);
		ck_assert_int_eq(sqlite3_open(bad, &db), SQLITE_OK);
		ck_assert_msg(sqlite3_exec(db, faults[i].sql, NULL, NULL, NULL) ==
		    SQLITE_OK, "%s: %s", faults[i].sql, sqlite3_errmsg(db));
		sqlite3_close(db);
		ck_assert_msg(verify(bad, &said) == 1 &&
		    strstr(said, faults[i].word) != NULL, "%s: %s", faults[i].sql, said);
		unlink(bad);
		remove_beside(bad);
	}
}
END_TEST

START_TEST(verify_changes_nothing_and_reads_where_nothing_may_be_written)
{
	char *db = new_log(100), *dir = fmt("%s/shut", test_dir()), *said;
	char *copy = fmt("%s/log.db", dir), *sum;
	FILE *p;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	copy_file(db, copy);
	ck_assert_int_eq(chmod(copy, 0400), 0);
	ck_assert_int_eq(chmod(dir, 0500), 0);
	sum = fmt("cksum < %s > %s/sum", copy, test_dir());
	ck_assert_int_eq(system(sum), 0);
	/* Root may write anywhere; somebody else may not, nor come into root's house. */
	if (geteuid() == 0) {
		ck_assert_int_eq(system(fmt("chmod 755 %s %s/.. && chown -R 65534 %s && "
		    "install -m 755 %s %s/fanfare", test_dir(), test_dir(), dir,
		    getenv("FANFARE_BIN"), test_dir())), 0);
		p = popen(fmt("cd / && setpriv --reuid 65534 --clear-groups " CLEAN_ENV
		    "%s/fanfare verify %s 2>&1", test_dir(), copy), "r");
		ck_assert_ptr_nonnull(p);
		said = fmt("%500s", "");
		said[fread(said, 1, 500, p)] = '\0';
		ck_assert_msg(pclose(p) == 0, "%s", said);
	} else
		ck_assert_msg(verify(copy, &said) == 0, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "100 events"));
	ck_assert_int_eq(system(fmt("cksum < %s | cmp - %s/sum", copy, test_dir())), 0);
	chmod(dir, 0700);
}
END_TEST

START_TEST(usage_is_said_and_exits_with_2)
{
	static const char *const wrong[][3] = {
		{ "backup" }, { "verify", "a", "b" }, { "recover", "a" },
		{ "export", "--after=x" }, { "export", "a\n" }, { "import", "a", "b" },
		{ "verify", "--nonsense" },
	};
	char *out, *err;

	for (size_t i = 0; i < N(wrong); i++) {
		ck_assert_msg(program_run(&out, &err, NULL, wrong[i][0], wrong[i][1],
		    wrong[i][2], NULL) == 2, "%s: %s", wrong[i][0], err);
		ck_assert_str_eq(out, "");
	}
	ck_assert_int_eq(program_run(&out, NULL, NULL, "help", NULL), 0);
	for (size_t i = 0; i < 6; i++)
		ck_assert_ptr_nonnull(strstr(out, fmt("\n  %s ", wrong[i][0])));
}
END_TEST

/* ---- export and import ---- */

START_TEST(what_is_exported_imported_and_exported_is_the_same)
{
	static const char *const bodies[] = {
		"{\"topic\":\"a\",\"data\":\"line\\nbreak \\u2028 \\\"quoted\\\" \\\\\"}",
		"{\"topic\":\"a/b\",\"event\":\"goal\",\"data\":{\"b\":1,\"a\":1.50}}",
		"{\"topic\":\"a\",\"data\":\"\"}", "{\"topic\":\"a\",\"data\":null}",
		"{\"topic\":\"a\",\"data\":[1,[2,{}],\"x\"]}",
		("{\"topic\":\"\xc3\xa9/\xf0\x9f\x8e\x89\",\"event\":\"\xc3\xa9\","
		    "\"data\":\"\xf0\x9f\x8e\x89\"}"),
		"{\"topic\":\"a\",\"data\":\"{\\\"looks\\\":\\\"like JSON\\\"}\"}",
		"{\"topic\":\"a\",\"data\":0}", "{\"topic\":\"a\",\"data\":true}",
	};
	struct server *s = server_start(NULL, NULL);
	char *first, *second, *db = fmt("%s/second.db", test_dir()), *err;
	char *file = fmt("%s/first", test_dir());
	json_t *page, *e;
	const char *line;
	size_t i;

	for (i = 0; i < N(bodies); i++)
		publish_json(s, bodies[i]);
	publish(s, repeat("x", 1024), "long topic");
	/* JSON that is a string is not text: a stream shows its quotes. */
	ck_assert_int_eq(post(s, "/publish?topic=a", AUTH AS_JSON, "\"quoted\"")->status,
	    200);
	ck_assert_int_eq(post(s, "/publish?topic=a", AUTH AS_JSON,
	    "{ \"pretty\" :\n 1 }\n")->status, 200);
	first = export(s->store);
	/* The envelope, but for the mark of a JSON string and JSON's white space. */
	page = history(s, "topic=**");
	line = first;
	json_array_foreach(json_object_get(page, "events"), i, e) {
		json_t *got = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);

		ck_assert_msg(got != NULL, "%s", line);
		json_object_del(got, "json");
		ck_assert_msg(json_equal(got, e), "%s", line);
		json_decref(got);
		line = strchr(line, '\n') + 1;
	}
	ck_assert_int_eq(count_lines(first), (int)i);
	/* Which jansson cannot read. */
	publish_json(s, "{\"topic\":\"a\",\"data\":123456789012345678901234567890}");
	first = export(s->store);
	write_whole(file, first, strlen(first));
	ck_assert_msg(program_run(NULL, &err, file, "import", "--db", db, NULL) == 0,
	    "%s", err);
	second = export(db);
	ck_assert_str_eq(without_ids(second), without_ids(first));
	ck_assert_ptr_nonnull(strstr(second, "\"data\":\"quoted\",\"json\":true}"));
	ck_assert_ptr_nonnull(strstr(second, "123456789012345678901234567890"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(export_gives_the_topics_asked_for_behind_the_id_asked_for)
{
	struct server *s = server_start("--store.retain_events_per_topic=3", NULL);
	char *ids[10], *out, *err;

	for (int i = 0; i < 10; i++)
		ids[i] = publish(s, i % 2 ? "a/b" : "a/c", fmt("%d", i));
	ck_assert_int_eq(program_run(&out, &err, NULL, "export", "--db", s->store,
	    "a/*", "--after", ids[6], NULL), 0);
	ck_assert_int_eq(count_lines(out), 3);
	ck_assert_ptr_nonnull(strstr(out, ids[7]));
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(program_run(&out, &err, NULL, "export", "--db", s->store,
	    "a/b", "x", NULL), 0);
	ck_assert_int_eq(count_lines(out), 3);
	ck_assert_ptr_null(strstr(out, "a/c"));
	/* What is gone is said. */
	ck_assert_int_eq(program_run(&out, &err, NULL, "export", "--db", s->store,
	    "--after", ids[0], NULL), 0);
	ck_assert_int_eq(count_lines(out), 6);
	ck_assert_ptr_nonnull(strstr(err, "pruned"));
	ck_assert_int_eq(program_run(&out, &err, NULL, "export", "--db", s->store,
	    "--after", "00000001-5", NULL), 1);
	ck_assert_ptr_nonnull(strstr(err, "not one of this log"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const struct {
	const char	*line, *word;
} bad_lines[] = {
	{ "{\"topic\":\"a\",\"data\":1", "JSON" },
	{ "nonsense", "JSON" },
	{ "[1]", "object" },
	{ "{\"topic\":\"a\",\"data\":1} x", "follows" },
	{ "{\"data\":1}", "topic is missing" },
	{ "{\"topic\":\"a\"}", "data is missing" },
	{ "{\"topic\":\"\",\"data\":1}", "topic" },
	{ "{\"topic\":\"a/*\",\"data\":1}", "pattern" },
	{ "{\"topic\":7,\"data\":1}", "topic must be a string" },
	{ "{\"topic\":\"a\",\"event\":\"\",\"data\":1}", "event name is empty" },
	{ "{\"topic\":\"a\",\"event\":\"open\",\"data\":1}", "event name" },
	{ "{\"topic\":\"a\",\"event\":\"fanfare.gap\",\"data\":1}", "reserved" },
	{ "{\"topic\":\"a\",\"data\":\"\\u0000\"}", "NUL" },
	{ "{\"topic\":\"a\",\"data\":\"\\ud800\"}", "surrogate" },
	{ "{\"topic\":\"a\",\"data\":1,\"time\":\"yesterday\"}", "time" },
	{ "{\"topic\":\"a\",\"data\":1,\"time\":\"2026-02-30T00:00:00Z\"}", "time" },
	{ "{\"topic\":\"a\",\"data\":1,\"time\":5}", "time" },
	{ "{\"topic\":\"a\",\"data\":1,\"data\":2}", "twice" },
	{ "{\"topic\":\"a\",\"data\":1,\"colour\":2}", "colour" },
	{ "{\"topic\":\"a\",\"data\":1,\"json\":2}", "json" },
};

START_TEST(a_bad_line_is_named_and_all_before_it_is_stored)
{
	char *db, *file = fmt("%s/file", test_dir()), *err, *out;
	FILE *f;

	for (size_t i = 0; i < N(bad_lines); i++) {
		db = fmt("%s/%d.db", test_dir(), (int)i);
		f = fopen(file, "w");
		ck_assert_ptr_nonnull(f);
		fprintf(f, "{\"topic\":\"a\",\"data\":1}\n\n{\"topic\":\"a\",\"data\":2}"
		    "\n%s\n{\"topic\":\"a\",\"data\":3}\n", bad_lines[i].line);
		fclose(f);
		ck_assert_int_eq(program_run(&out, &err, NULL, "import", "--db", db,
		    file, NULL), 1);
		ck_assert_msg(strstr(err, "line 4") != NULL &&
		    strstr(err, bad_lines[i].word) != NULL &&
		    strstr(err, "2 events") != NULL &&
		    strstr(err, fmt("tail -n +4 %s | fanfare import --db %s\n", file,
		    db)) != NULL, "%s: %s",
		    bad_lines[i].line, err);
		ck_assert_int_eq(count_lines(export(db)), 2);
	}
	/* Mended, it goes on as it says. */
	ck_assert_int_eq(system(fmt("tail -n +5 %s > %s.rest", file, file)), 0);
	ck_assert_int_eq(program_run(&out, &err, fmt("%s.rest", file), "import", "--db",
	    db, NULL), 0);
	ck_assert_int_eq(count_lines(export(db)), 3);
	ck_assert_msg(verify(db, &out) == 0, "%s", out);
}
END_TEST

/* Runs `fanfare import` of what comes through a FIFO; the end to write to in *fd. */
static pid_t
import_from_fifo(const char *db, const char *fifo, const char *said, int *fd)
{
	char *err;
	FILE *f;
	pid_t pid;
	int code;

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	if ((pid = fork()) == 0) {
		code = program_run(NULL, &err, fifo, "import", "--db", db, NULL);
		if ((f = fopen(said, "w")) == NULL || fputs(err, f) == EOF ||
		    fclose(f) != 0)
			_exit(99);
		_exit(code);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_ge(*fd = open(fifo, O_WRONLY), 0);
	return pid;
}

START_TEST(S5_an_import_that_a_lock_ends_says_how_to_go_on)
{
	char *db = new_log(0), *file = lines_file(5000), *fifo, *said, *rest;
	int fd, status, n = 0;
	int64_t end = now_ms() + patience(4 * SOON);
	sqlite3_stmt *q;
	sqlite3 *h;
	pid_t pid;

	fifo = fmt("%s/fifo", test_dir());
	said = fmt("%s/said", test_dir());
	rest = fmt("%s/rest", test_dir());
	pid = import_from_fifo(db, fifo, said, &fd);
	ck_assert_int_eq(system(fmt("head -n 4500 %s > %s", file, fifo)), 0);
	ck_assert_int_eq(sqlite3_open(db, &h), SQLITE_OK);
	for (; n == 0; poll(NULL, 0, 10)) {
		ck_assert_int_lt(now_ms(), end);
		ck_assert_int_eq(sqlite3_prepare_v2(h, "SELECT count(*) FROM event", -1,
		    &q, NULL), SQLITE_OK);
		if (sqlite3_step(q) == SQLITE_ROW)
			n = sqlite3_column_int(q, 0);
		sqlite3_finalize(q);
	}
	ck_assert_int_eq(n, 4096);
	ck_assert_int_eq(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	close(fd);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	said = read_whole(said);
	ck_assert_msg(strstr(said, "locked") != NULL && strstr(said, "4096 events") != NULL &&
	    strstr(said, fmt("tail -n +4097 FILE | fanfare import --db %s\n", db)) != NULL,
	    "%s", said);
	ck_assert_int_eq(system(fmt("tail -n +4097 %s > %s", file, rest)), 0);
	ck_assert_int_eq(program_run(NULL, NULL, rest, "import", "--db", db, NULL), 0);
	ck_assert_int_eq(count_lines(export(db)), 5000);
}
END_TEST

START_TEST(S3_an_import_that_the_disk_ends_in_a_commit_says_that_nobody_knows)
{
	char *db = fmt("%s/new.db", test_dir()), *file = lines_file(4096), *said;
	char *much = repeat("x", 3000);
	FILE *f = fopen(file, "a");

	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 4096; i++)
		fprintf(f, "{\"topic\":\"a\",\"data\":\"%s\"}\n", much);
	ck_assert_int_eq(fclose(f), 0);
	/* No file may grow beyond what is kept back and a little. */
	ck_assert_int_ne(system(fmt("trap '' XFSZ; ulimit -f 16512; " CLEAN_ENV
	    "%s import --db %s %s 2> %s/said", getenv("FANFARE_BIN"), db, file,
	    test_dir())), 0);
	said = read_whole(fmt("%s/said", test_dir()));
	ck_assert_msg(strstr(said, "4096 events of the lines before line 4097 are stored; "
	    "of the next nobody knows") != NULL, "%s", said);
	ck_assert_int_eq(count_lines(export(db)), 4096);
}
END_TEST

START_TEST(imported_events_follow_those_that_are_there)
{
	struct server *s = server_start("--store.retain_age=0", NULL);
	char *id = publish(s, "t/3", "before"), *err, *lines = lines_file(20);
	struct stream *st;

	ck_assert_int_eq(program_run(NULL, &err, lines, "import", "--db", s->store,
	    NULL), 1);
	ck_assert_msg(strstr(err, fmt("process %d", (int)s->pid)) != NULL, "%s", err);
	ck_assert_int_eq(server_stop(s), 0);
	ck_assert_msg(program_run(NULL, &err, lines, "import", "--db", s->store,
	    NULL) == 0, "%s", err);
	log_is_whole(s);
	server_restart(s);
	publish(s, "t/3", "after");
	/* A page that comes back sees them as it would have seen them live. */
	st = stream_open(s, "/events?topic=t/3", fmt(AUTH "Last-Event-ID: %s\r\n", id));
	expect_event(st, "tick", "{\"n\":3}");
	expect_event(st, "message", "number 10");
	expect_event(st, "message", "number 17");
	expect_event(st, "message", "after");
	stream_close(st);
	ck_assert_ptr_nonnull(strstr(export(s->store), "\"2026-06-11T19:00:00.017Z\""));
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- recover ---- */

START_TEST(recover_saves_what_can_be_read_and_pages_are_told)
{
	struct server *s = server_start(NULL, NULL);
	char *to = fmt("%s/saved.db", test_dir()), *was, *is, *out, *err, *id;
	char *junk = repeat("\xde\xad\xbe\xef", 1024), *before;
	struct stream *st;
	FILE *f;
	int n;

	for (int i = 0; i < 300; i++)
		id = publish(s, fmt("t/%d", i % 5), fmt("%d %s", i, repeat("z", 500)));
	ck_assert_int_eq(program_run(NULL, &err, NULL, "recover", s->store, to, NULL), 1);
	ck_assert_ptr_nonnull(strstr(err, "in use"));
	ck_assert_int_eq(server_stop(s), 0);
	was = without_ids(export(s->store));
	f = fopen(s->store, "r+");
	ck_assert_ptr_nonnull(f);
	fseek(f, 20 * 4096, SEEK_SET);
	fwrite(junk, 1, 4096, f);
	fseek(f, 30 * 4096 + 2048, SEEK_SET);
	fwrite(junk, 1, 100, f);
	fclose(f);
	ck_assert_int_eq(verify(s->store, &out), 1);
	ck_assert_int_eq(program_run(&out, NULL, NULL, "export", "--db", s->store, NULL),
	    1);
	ck_assert_int_eq(system(fmt("cksum < %s > %s/sum", s->store, test_dir())), 0);
	before = read_whole(fmt("%s/sum", test_dir()));
	ck_assert_msg(program_run(&out, &err, NULL, "recover", s->store, to, NULL) == 0,
	    "%s", err);
	ck_assert_int_eq(system(fmt("cksum < %s > %s/sum", s->store, test_dir())), 0);
	ck_assert_str_eq(read_whole(fmt("%s/sum", test_dir())), before);
	/* A file alone, which a write-ahead log left beside it cannot spoil. */
	ck_assert_int_ne(access(fmt("%s-wal", to), F_OK), 0);
	ck_assert_int_eq(system(fmt("test $(od -An -tu1 -j18 -N1 %s) = 1", to)), 0);
	ck_assert_msg(verify(to, &err) == 0, "%s", err);
	is = without_ids(export(to));
	n = count_lines(is);
	ck_assert_msg(n < 300 && n > 250, "%d of 300 saved", n);
	ck_assert_ptr_nonnull(strstr(out, fmt("%d events saved of about", n)));
	/* Each of them is one that was there. */
	for (char *p = is, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		*end = '\0';
		ck_assert_msg(strstr(was, p) != NULL, "%s", p);
	}
	ck_assert_int_eq(program_run(NULL, &err, NULL, "recover", s->store, to, NULL), 1);
	ck_assert_ptr_nonnull(strstr(err, "there already"));
	remove_beside(s->store);
	copy_file(to, s->store);
	server_restart(s);
	st = stream_open(s, "/events?topic=t/1", fmt(AUTH "Last-Event-ID: %s\r\n", id));
	expect_gap(st, "reset");
	stream_close(st);
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- retention ---- */

static json_t *
stats(struct server *s)
{
	struct server admin = *s;

	admin.port = s->admin_port;
	return body_json(get(&admin, "/stats", ""));
}

static int
number_at(json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	ck_assert_msg(json_is_integer(v), "no number %s", name);
	return (int)json_integer_value(v);
}

START_TEST(what_retention_takes_is_told_with_its_reason)
{
	struct server *s = server_start("--store.retain_events_per_topic=3",
	    "--store.retain_age=1s", NULL);
	struct server admin = *s;
	char *id, *metrics, *log;
	int64_t end;
	json_t *o;

	o = stats(s);
	ck_assert(json_is_null(json_object_get(o, "oldest")));
	ck_assert(json_is_null(json_object_get(o, "last_prune_time")));
	ck_assert_int_eq(number_at(o, "log_pruned"), 0);
	id = publish(s, "a", "x");
	for (end = now_ms() + patience(SOON);; poll(NULL, 0, 50)) {
		o = stats(s);
		if (json_is_string(json_object_get(o, "oldest")))
			break;
		ck_assert_int_lt(now_ms(), end);
	}
	ck_assert_str_eq(text_at(o, "oldest"), id);
	for (int i = 0; i < 4; i++)
		publish(s, "a", "x");
	for (end = now_ms() + patience(2 * SOON);; poll(NULL, 0, 50)) {
		o = stats(s);
		if (number_at(o, "log_pruned") == 5)
			break;
		ck_assert_int_lt(now_ms(), end);
	}
	/* Two for the number, if age had not taken them first; the rest for age. */
	ck_assert_int_eq(number_at(o, "log_events"), 0);
	ck_assert_int_eq(number_at(o, "log_pruned_topic") + number_at(o,
	    "log_pruned_age"), 5);
	ck_assert_int_gt(number_at(o, "log_pruned_age"), 0);
	ck_assert_int_eq(number_at(o, "log_pruned_bytes"), 0);
	ck_assert(json_is_string(json_object_get(o, "last_prune_time")));
	ck_assert_int_ge(number_at(o, "log_last_prune_seconds"), (int)wall_s() - 60);
	admin.port = s->admin_port;
	metrics = get(&admin, "/metrics", "")->body;
	ck_assert_ptr_nonnull(strstr(metrics, "\nfanfare_log_pruned_total 5\n"));
	ck_assert_ptr_nonnull(strstr(metrics, "\nfanfare_log_oldest_event_seconds "));
	/* Once: the next line comes after an hour. */
	for (end = now_ms() + patience(SOON);; poll(NULL, 0, 50)) {
		log = read_whole(s->log);
		if (strstr(log, "retention has pruned") != NULL)
			break;
		ck_assert_int_lt(now_ms(), end);
	}
	ck_assert_ptr_null(strstr(strstr(log, "retention has pruned") + 1,
	    "retention has pruned"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("tools");
	TCase *tc = harness_case(su, "backup", 60);

	tcase_add_test(tc, a_backup_beside_a_busy_server_is_its_log_at_one_moment);
	tcase_add_test(tc,
	    a_backup_of_a_killed_server_has_what_lay_in_its_write_ahead_log);
	tcase_add_test(tc,
	    a_log_whose_epochs_are_damaged_is_not_backed_up_and_why_is_said);
	tcase_add_test(tc, a_log_that_a_tool_made_keeps_no_room_back);
	tcase_add_test(tc, whoever_misses_the_log_is_told_where_systemd_has_it);
	tcase_add_test(tc, a_backup_overwrites_nothing_and_leaves_nothing_half_done);
	tcase_add_test(tc,
	    D5_after_a_restored_backup_lost_cursors_get_a_gap_and_no_id_comes_again);
	tcase_add_test(tc,
	    a_backup_put_beside_a_left_over_write_ahead_log_is_not_served);
	tc = harness_case(su, "verify", 60);
	tcase_add_test(tc, verify_names_each_fault_that_a_log_can_have);
	tcase_add_test(tc, verify_changes_nothing_and_reads_where_nothing_may_be_written);
	tcase_add_test(tc, usage_is_said_and_exits_with_2);
	tc = harness_case(su, "export", 120);
	tcase_add_test(tc, what_is_exported_imported_and_exported_is_the_same);
	tcase_add_test(tc, export_gives_the_topics_asked_for_behind_the_id_asked_for);
	tcase_add_test(tc, a_bad_line_is_named_and_all_before_it_is_stored);
	tcase_add_test(tc, S5_an_import_that_a_lock_ends_says_how_to_go_on);
	tcase_add_test(tc,
	    S3_an_import_that_the_disk_ends_in_a_commit_says_that_nobody_knows);
	tcase_add_test(tc, imported_events_follow_those_that_are_there);
	tc = harness_case(su, "recover", 60);
	tcase_add_test(tc, recover_saves_what_can_be_read_and_pages_are_told);
	tc = harness_case(su, "retention", 60);
	tcase_add_test(tc, what_retention_takes_is_told_with_its_reason);
	return su;
}

SUITE_MAIN
