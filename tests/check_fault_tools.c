/*
 * check_fault_tools.c - operators' tools where it takes a while: beside a server whose
 * write-ahead log is full, on logs that retention and kills have shaped, on long ones.
 *
 * FANFARE_TEST_EVENTS: how long a log is exported and imported, when not as long as
 * size_of_run() says.
 */
#include "config.h"

#include "harness.h"
#include "lines.h"

#include <sys/resource.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A reader that stays for long, as a backup of a large log does, must not make publishers
 * wait for it each time the write-ahead log is full. */
START_TEST(S5_a_long_read_beside_the_server_does_not_hold_up_publishers)
{
	struct server *s = server_start(NULL, NULL);
	char *data = repeat("x", 60000), *body;
	int64_t worst = 0, begun;
	struct http *h;
	sqlite3 *db;
	int n = 0;

	publish(s, "a", "x");
	ck_assert_int_eq(sqlite3_open_v2(s->store, &db, SQLITE_OPEN_READONLY, NULL),
	    SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM event", NULL,
	    NULL, NULL), SQLITE_OK);
	h = http_open(s);
	body = fmt("{\"topic\":\"a\",\"data\":\"%s\"}", data);
	/* 12,000 pages until the server waits for readers at all, then some more. */
	for (n = 0; n < 1100; n++) {
		struct answer *a;

		begun = now_ms();
		ck_assert_int_eq(try_http_send(h, "POST", "/publish", AUTH AS_JSON, body,
		    strlen(body)), 0);
		a = try_http_receive(h, 4 * SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		if (now_ms() - begun > worst)
			worst = now_ms() - begun;
	}
	printf("the slowest publish beside a long read: %d ms\n", (int)worst);
	ck_assert_int_lt(worst, patience(1500));
	sqlite3_close(db);
	http_close(h);
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(verify_finds_nothing_in_logs_that_retention_and_kills_have_shaped)
{
	struct server *s = server_start("--store.retain_events_per_topic=5",
	    "--store.retain_bytes=1M", NULL);
	char *data = repeat("y", 2000);

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 300; i++) {
			char *body = fmt("[{\"topic\":\"t/%d\",\"data\":\"%s\"},"
			    "{\"topic\":\"u/%d\",\"data\":%d}]", (i * 7 + round) % 40,
			    data, i % 250, i);
			struct answer *a = post(s, "/publish", fmt(AUTH AS_JSON
			    "Idempotency-Key: %d-%d\r\n", round, i), body);

			ck_assert_msg(a->status == 200, "%s", a->body);
		}
		log_is_whole(s);
		if (round % 2)
			server_kill(s);
		else
			ck_assert_int_eq(server_stop(s), 0);
		log_is_whole(s);
		server_restart(s);
	}
	log_is_whole(s);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Of all children so far, in kB. */
static long
memory_of_children(void)
{
	struct rusage ru;

	ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &ru), 0);
	return ru.ru_maxrss;
}

START_TEST(a_long_log_is_exported_imported_and_checked_in_little_memory)
{
	int n = setting("FANFARE_TEST_EVENTS", size_of_run(100000, 1000000));
	char *db = fmt("%s/long.db", test_dir()), *said, *err;
	int64_t begun = now_ms(), imported, exported, backed_up, verified;
	long small, large;

	/* What the program takes for few. */
	ck_assert_int_eq(program_run(NULL, &err, lines_file(1000), "import", "--db",
	    fmt("%s/short.db", test_dir()), NULL), 0);
	small = memory_of_children();
	begun = now_ms();
	ck_assert_msg(program_run(NULL, &err, lines_file(n), "import", "--db", db,
	    NULL) == 0, "%s", err);
	imported = now_ms();
	ck_assert_int_eq(system(fmt(CLEAN_ENV "%s export --db %s > %s/out && "
	    "test $(wc -l < %s/out) = %d",
	    getenv("FANFARE_BIN"), db, test_dir(), test_dir(), n)), 0);
	exported = now_ms();
	ck_assert_int_eq(program_run(NULL, NULL, NULL, "backup", "--db", db,
	    fmt("%s/backup", test_dir()), NULL), 0);
	backed_up = now_ms();
	ck_assert_msg(program_run(&said, NULL, NULL, "verify", db, NULL) == 0, "%s",
	    said);
	verified = now_ms();
	large = memory_of_children();
	printf("%d events: import %d ms, export %d ms, backup %d ms, verify %d ms; "
	    "%ld kB (%ld kB for 1,000)\n", n, (int)(imported - begun),
	    (int)(exported - imported), (int)(backed_up - exported),
	    (int)(verified - backed_up), large, small);
	/* The database's cache, not the log: 32 MB and some. */
	ck_assert_int_lt(large, small + 64 * 1024 + (patience(1) > 1 ? 256 * 1024 : 0));
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_tools");
	TCase *tc = harness_case(su, "tools", size_of_run(120, 600));

	tcase_add_test(tc, S5_a_long_read_beside_the_server_does_not_hold_up_publishers);
	tcase_add_test(tc,
	    verify_finds_nothing_in_logs_that_retention_and_kills_have_shaped);
	tcase_add_test(tc, a_long_log_is_exported_imported_and_checked_in_little_memory);
	return su;
}

SUITE_MAIN
