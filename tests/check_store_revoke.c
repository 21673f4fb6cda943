/*
 * check_store_revoke.c - revocations in the log's database: kept with the log, read again,
 * dropped, and told of when they are damaged.
 */
#include "config.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "log.h"
#include "log_folder.h"
#include "sql_text.h"
#include "store.h"
#include "store_tools.h"
#include "suite.h"

#define NOW	INT64_C(1750000000000)

static char dir[LOG_FOLDER_SIZE], path[LOG_PATH_SIZE];
static struct store *st;
static struct store_conf conf;

/* What was read. */
static struct store_revocation got[64];
static size_t ngot;
static int64_t forgotten;

static int
take(void *arg, const struct store_revocation *r)
{
	(void)arg;
	got[ngot++] = *r;
	return 0;
}

static void
committed(void *arg, struct frame **frames, size_t n, unsigned int *subscribers)
{
	(void)arg;
	for (size_t i = 0; i < n; i++) {
		subscribers[i] = 1;
		frame_unref(frames[i]);
	}
}

/* Open, read, start. */
static void
open_store(void)
{
	struct store_hooks hooks = { .committed = committed };
	char err[512] = "";

	ck_assert_msg((st = store_open(&conf, err, sizeof(err))) != NULL, "%s", err);
	ngot = 0;
	ck_assert_msg(store_load_revocations(st, take, NULL, &forgotten, err,
	    sizeof(err)) == 0, "%s", err);
	ck_assert_int_eq(store_start(st, &hooks), 0);
}

static void
close_store(void)
{
	store_stop(st);
	store_close(st);
	st = NULL;
}

static void
set_up(void)
{
	log_init(LOG_ERROR, false);
	log_folder_make(dir, path);
	conf = (struct store_conf){
		.path = path, .sync_full = false,
		.max_queue_bytes = 64 << 20, .max_page_bytes_total = 64 << 20,
	};
}

static void
tear_down(void)
{
	if (st != NULL)
		close_store();
	log_folder_remove(dir, path);
}

static void
wake(struct append *a)
{
	sem_post(a->owner);
}

static enum append_result
run(struct append *a)
{
	sem_t done;

	sem_init(&done, 0, 0);
	a->bytes = sizeof(*a);
	a->done = wake;
	a->owner = &done;
	if (store_append(st, a) == 0)
		while (sem_wait(&done) == -1)
			;
	sem_destroy(&done);
	return a->result;
}

static struct store_revocation
named(int name, int64_t ms)
{
	struct store_revocation r = { .kind = name & 3, .time_ms = ms };

	memset(r.key, name, sizeof(r.key));
	return r;
}

static void
revoke_it(int name, int64_t ms)
{
	struct store_revocation r = named(name, ms);
	struct append a = { .revocation = &r };

	ck_assert_int_eq(run(&a), APPEND_OK);
}

static void
publish(const char *text)
{
	struct frame *f = frame_new("a", 1, NULL, 0, text, strlen(text), 0);
	struct append a = { .frames = &f, .n = 1 };

	ck_assert_int_eq(run(&a), APPEND_OK);
	ck_assert_uint_eq(a.subscribers, 1);
}

static void
spoil(const char *sql)
{
	sqlite3 *h;

	ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(h, sql, NULL, NULL, NULL) == SQLITE_OK, "%s",
	    sqlite3_errmsg(h));
	ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

START_TEST(revocations_are_read_again_oldest_first_with_the_latest_time)
{
	open_store();
	ck_assert_uint_eq(ngot, 0);
	revoke_it(2, NOW + 2);
	publish("x");
	revoke_it(1, NOW + 1);
	revoke_it(3, NOW + 9);
	revoke_it(3, NOW + 3);		/* takes nothing back */
	revoke_it(2, NOW + 20);
	close_store();
	open_store();
	ck_assert_uint_eq(ngot, 3);
	ck_assert_int_eq(forgotten, 0);
	ck_assert_int_eq(got[0].key[0], 1);
	ck_assert_int_eq(got[1].key[0], 3);
	ck_assert_int_eq(got[1].time_ms, NOW + 9);
	ck_assert_int_eq(got[1].kind, 3);
	ck_assert_int_eq(got[2].key[0], 2);
	ck_assert_int_eq(got[2].time_ms, NOW + 20);
	ck_assert_uint_eq(store_head(st).seq, 1);
}
END_TEST

START_TEST(what_is_dropped_leaves_its_newest_time_behind)
{
	struct append a = { .forget_ms = NOW + 5 };

	open_store();
	for (int i = 0; i < 10; i += 2)
		revoke_it(i, NOW + i);
	ck_assert_int_eq(run(&a), APPEND_OK);
	close_store();
	open_store();
	ck_assert_uint_eq(ngot, 2);
	ck_assert_int_eq(forgotten, NOW + 4);
	/* Nothing to drop changes nothing. */
	a.forget_ms = NOW;
	ck_assert_int_eq(run(&a), APPEND_OK);
	close_store();
	open_store();
	ck_assert_uint_eq(ngot, 2);
	ck_assert_int_eq(forgotten, NOW + 4);
}
END_TEST

START_TEST(a_log_from_before_there_were_revocations_is_brought_up_to_date)
{
	spoil(sql_0001_log);
	spoil(sql_0002_sum);
	spoil("INSERT INTO epoch VALUES (1, 42, 1, 1)");
	spoil("PRAGMA application_id = 0x66616e66; PRAGMA user_version = 2");
	open_store();
	ck_assert_uint_eq(ngot, 0);
	revoke_it(1, NOW);
	publish("x");
	close_store();
	open_store();
	ck_assert_uint_eq(ngot, 1);
}
END_TEST

static void
take_fault(void *arg, const char *text)
{
	ck_assert_msg(strstr(text, "revocation") != NULL, "%s", text);
	(*(int *)arg)++;
}

static size_t saved;

static void
save(void *arg, const struct store_revocation *r)
{
	(void)arg;
	ck_assert_int_ge(r->time_ms, NOW);
	saved++;
}

static bool
skip(void *arg, const struct store_event *e)
{
	(void)arg, (void)e;
	return true;
}

/* It would let a token live: no start, a fault, and the others saved. */
START_TEST(a_damaged_revocation_is_told_of_and_never_passed_over)
{
	static const char *const damage[] = {
		("UPDATE revocation SET time = time - 1 WHERE key = x'"
		    "03030303030303030303030303030303'"),
		"UPDATE revocation SET kind = 1 WHERE kind = 3",
		"UPDATE revocation SET key = x'33' WHERE kind = 3",
		"UPDATE revocation SET sum = 0 WHERE kind = 3",
	};
	struct store_export x = { .salvage = true, .take = skip, .revoked = save };
	struct store_extent e;
	char err[512] = "";
	uint64_t faults;
	int told = 0;

	open_store();
	for (int i = 0; i < 4; i++)
		revoke_it(i, NOW + i);
	publish("x");
	close_store();
	spoil(damage[_i]);
	ck_assert_ptr_nonnull(st = store_open(&conf, err, sizeof(err)));
	ck_assert_int_eq(store_load_revocations(st, take, NULL, &forgotten, err,
	    sizeof(err)), -1);
	ck_assert_msg(strstr(err, "revocation is damaged") != NULL &&
	    strstr(err, "fanfare recover") != NULL, "%s", err);
	store_close(st);
	st = NULL;
	ck_assert_int_eq(store_verify(path, NULL, take_fault, &told, &faults, &e, err,
	    sizeof(err)), 0);
	ck_assert_uint_eq(faults, 1);
	ck_assert_int_eq(told, 1);
	ck_assert_int_eq(store_export(path, &x, NULL, err, sizeof(err)), 0);
	ck_assert(x.revocations_lost);
	ck_assert_uint_ge(saved, 3);
	saved = 0;
}
END_TEST

START_TEST(what_was_saved_is_stored_again_with_what_was_dropped)
{
	struct store_revocation v[] = { named(1, NOW), named(2, NOW + 1), named(1, NOW) };
	char err[512] = "";

	ck_assert_ptr_nonnull(st = store_open(&conf, err, sizeof(err)));
	ck_assert_int_eq(store_import_revocations(st, v, 3, NOW - 7, err, sizeof(err)),
	    0);
	store_close(st);
	open_store();
	ck_assert_uint_eq(ngot, 2);
	ck_assert_int_eq(forgotten, NOW - 7);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("store_revoke");
	TCase *tc = tcase_create("revoke");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, revocations_are_read_again_oldest_first_with_the_latest_time);
	tcase_add_test(tc, what_is_dropped_leaves_its_newest_time_behind);
	tcase_add_test(tc, a_log_from_before_there_were_revocations_is_brought_up_to_date);
	tcase_add_loop_test(tc, a_damaged_revocation_is_told_of_and_never_passed_over, 0,
	    4);
	tcase_add_test(tc, what_was_saved_is_stored_again_with_what_was_dropped);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
