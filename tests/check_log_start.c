/*
 * check_log_start.c - starts that must be refused: exit code 2, a message that
 * names what is in the way, and nothing touched.
 */
#include "config.h"

#include "harness.h"

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

static void
is_refused(int code, const char *said, const char *word)
{
	ck_assert_msg(code == 2, "exit code %d: %s", code, said);
	ck_assert_msg(strstr(said, word) != NULL, "it does not name %s: %s",
	    word, said);
}

START_TEST(a_second_process_on_the_store_names_the_first)
{
	struct server *s = server_start(NULL, NULL);
	char *said, *id = publish(s, "a", "1");
	int code;

	for (int i = 0; i < 3; i++) {
		code = server_refused(&said, fmt("--store.path=%s", s->store),
		    NULL);
		is_refused(code, said, s->store);
		is_refused(code, said, fmt("%d", (int)s->pid));
	}
	/* The first has not noticed. */
	ck_assert_int_gt(id_seq(publish(s, "a", "2")), id_seq(id));
	ck_assert_uint_eq(json_array_size(json_object_get(history(s,
	    "topic=a"), "events")), 2);
	/* A killed one leaves nothing that must be cleared away. */
	server_kill(s);
	server_restart(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_file_that_is_no_store_is_left_alone)
{
	char *path = fmt("%s/letters.db", test_dir()), *said;
	char *text = repeat("Dear reader, this is no database. ", 300);
	int code;

	write_whole(path, text, strlen(text));
	code = server_refused(&said, fmt("--store.path=%s", path), NULL);
	is_refused(code, said, path);
	ck_assert_str_eq(read_whole(path), text);
}
END_TEST

/* A database made by these statements must be refused and keep its table. */
static void
refuse_database(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *q;
	char *said;
	int code;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK,
	    "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
	code = server_refused(&said, fmt("--store.path=%s", path), NULL);
	is_refused(code, said, path);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT count(*) FROM "
	    "sqlite_master WHERE type = 'table'", -1, &q, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_int(q, 0), 1);
	sqlite3_finalize(q);
	sqlite3_close(db);
}

START_TEST(somebody_elses_database_is_left_alone)
{
	refuse_database(fmt("%s/shop.db", test_dir()),
	    "CREATE TABLE customer (name TEXT);");
	refuse_database(fmt("%s/shop2.db", test_dir()),
	    "CREATE TABLE event (seq INTEGER);");
	refuse_database(fmt("%s/shop3.db", test_dir()),
	    "CREATE TABLE customer (name TEXT); PRAGMA user_version = 1;");
}
END_TEST

START_TEST(a_store_of_a_newer_release_is_left_alone)
{
	struct server *s = server_start(NULL, NULL);
	sqlite3 *db;
	char *said;
	int code;

	publish(s, "a", "1");
	ck_assert_int_eq(server_stop(s), 0);
	ck_assert_int_eq(sqlite3_open(s->store, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 9999", NULL,
	    NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	code = server_refused(&said, fmt("--store.path=%s", s->store), NULL);
	is_refused(code, said, s->store);
	ck_assert_int_eq(sqlite3_open(s->store, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 1", NULL,
	    NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}
END_TEST

START_TEST(places_where_no_store_can_be_are_named)
{
	char *dir = fmt("%s/dir.db", test_dir()), *said;
	char *gone = fmt("%s/no/such/place/fanfare.db", test_dir());
	int code;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	code = server_refused(&said, fmt("--store.path=%s", dir), NULL);
	is_refused(code, said, dir);
	code = server_refused(&said, fmt("--store.path=%s", gone), NULL);
	is_refused(code, said, gone);
	code = server_refused(&said, "--store.path=/proc/fanfare.db", NULL);
	is_refused(code, said, "/proc/fanfare.db");
	if (geteuid() != 0) {
		char *shut = fmt("%s/shut.db", test_dir());

		write_whole(shut, "", 0);
		ck_assert_int_eq(chmod(shut, 0), 0);
		code = server_refused(&said, fmt("--store.path=%s", shut),
		    NULL);
		is_refused(code, said, shut);
	}
}
END_TEST

START_TEST(a_damaged_store_is_named_and_not_served)
{
	struct server *s = server_start(NULL, NULL);
	char *said, *junk = repeat("\xde\xad\xbe\xef", 1024);
	FILE *f;
	int code;

	for (int i = 0; i < 50; i++)
		publish(s, "a", repeat("x", 3000));
	ck_assert_int_eq(server_stop(s), 0);
	/* The schema's own page, behind the header. */
	f = fopen(s->store, "r+");
	ck_assert_ptr_nonnull(f);
	fseek(f, 100, SEEK_SET);
	fwrite(junk, 1, 3900, f);
	fclose(f);
	code = server_refused(&said, fmt("--store.path=%s", s->store), NULL);
	is_refused(code, said, s->store);
}
END_TEST

START_TEST(a_port_in_use_is_named)
{
	struct server *s = server_start(NULL, NULL);
	char *own = fmt("--store.path=%s/other.db", test_dir()), *said;
	int code;

	code = server_refused(&said, fmt("--server.listen=127.0.0.1:%d",
	    s->port), own, NULL);
	is_refused(code, said, fmt("127.0.0.1:%d", s->port));
	code = server_refused(&said, fmt("--server.admin_listen=127.0.0.1:%d",
	    s->admin_port), own, NULL);
	is_refused(code, said, fmt("127.0.0.1:%d", s->admin_port));
	publish(s, "a", "undisturbed");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(wrong_options_are_named)
{
	static const struct { const char *option, *word; } rows[] = {
		{ "--store.durability=maybe", "store.durability" },
		{ "--server.max_event=lots", "server.max_event" },
		{ "--stream.heartbeat=15", "stream.heartbeat" },
		{ "--stream.hartbeat=15s", "hartbeat" },
		{ "--topics.public=a/**/b", "topics.public" },
		{ "--auth.key=short", "auth.key" },
		{ "--auth.api_keys=test:nokey", "auth.api_keys" },
		{ "--server.listen=here", "server.listen" },
		{ "--server.cors_origins=app.example", "server.cors_origins" },
	};
	char *said;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int code = server_refused(&said, rows[i].option, NULL);

		is_refused(code, said, rows[i].word);
		ck_assert_msg(strstr(said, API_KEY) == NULL,
		    "a secret in the message: %s", said);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("log_start");
	TCase *tc = harness_case(su, "start", 40);

	tcase_add_test(tc, a_second_process_on_the_store_names_the_first);
	tcase_add_test(tc, a_file_that_is_no_store_is_left_alone);
	tcase_add_test(tc, somebody_elses_database_is_left_alone);
	tcase_add_test(tc, a_store_of_a_newer_release_is_left_alone);
	tcase_add_test(tc, places_where_no_store_can_be_are_named);
	tcase_add_test(tc, a_damaged_store_is_named_and_not_served);
	tcase_add_test(tc, a_port_in_use_is_named);
	tcase_add_test(tc, wrong_options_are_named);
	return su;
}

SUITE_MAIN
