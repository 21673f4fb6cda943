/*
 * check_http_rate.c - the running server: how fast a key, or a token's subject, may
 * publish, and what it is told when it is too fast.
 */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "harness.h"

#define OTHER_KEY	"ffk_other123456789abcdefghijklmnopqrstuvwxyzABC"

static struct answer *
publish_as(struct server *s, const char *credential, int events)
{
	char *body = fmt("[%s{\"topic\":\"a/x\",\"data\":\"x\"}]",
	    repeat("{\"topic\":\"a/x\",\"data\":\"x\"},", (size_t)events - 1));

	return post(s, "/publish", fmt(AS_JSON "%s", bearing(credential)), body);
}

/* Publish until it is refused; the refusal, and how many events were taken. */
static struct answer *
drain(struct server *s, const char *credential, int at_once, int *taken)
{
	struct answer *a;

	/* Slower than the rate no machine is: this would take minutes. */
	for (int i = 0; i < 500; i++) {
		a = publish_as(s, credential, at_once);
		if (a->status != 200)
			return a;
		*taken += at_once;
	}
	ck_abort_msg("500 were not too many");
	return NULL;
}

static int
retry_after(const struct answer *a)
{
	const char *v = header(a, "Retry-After");
	int n;

	ck_assert_msg(v != NULL && v[strspn(v, "0123456789")] == '\0' && *v != '\0',
	    "Retry-After: %s", v);
	n = atoi(v);
	ck_assert_int_ge(n, 1);
	ck_assert_msg(strstr(a->body, fmt("in %d s", n)) != NULL, "%s", a->body);
	return n;
}

static size_t
count_stored(struct server *s)
{
	return json_array_size(json_object_get(history(s, "topic=a/x&limit=1000"),
	    "events"));
}

START_TEST(too_fast_is_a_429_and_after_its_retry_after_the_same_publish_succeeds)
{
	static const int sizes[] = { 1, 3, 5 };
	struct server *s = server_start("--server.publish_rate=2",
	    "--server.publish_burst=5", NULL);
	int taken = 0, refused = 0, wait;
	struct answer *a;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		a = drain(s, API_KEY, sizes[i], &taken);
		refused++;
		is_problem(a, 429, "rate_limited", "2 events a second", "too fast");
		ck_assert_ptr_nonnull(strstr(a->body, "server.publish_rate"));
		ck_assert_ptr_nonnull(strstr(a->body, "nothing was stored"));
		wait = retry_after(a);
		ck_assert_int_le(wait, 3);	/* five, at two a second */
		poll(NULL, 0, wait * 1000);
		a = publish_as(s, API_KEY, sizes[i]);
		ck_assert_msg(a->status == 200, "%d after %d s: %s", sizes[i], wait,
		    a->body);
		taken += sizes[i];
	}
	/* What was refused is nowhere. */
	ck_assert_uint_eq(count_stored(s), (size_t)taken);
	ck_assert_int_eq(server_metric(s, "publishes_limited_total"), refused);
	ck_assert_int_eq(server_metric(s, "publishes_refused_total"), refused);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* It is not even looked into: what is wrong with it is told when it is its turn. */
START_TEST(a_large_body_that_comes_too_soon_is_told_when_any_would_do)
{
	struct server *s = server_start("--server.publish_rate=2",
	    "--server.publish_burst=6", NULL);
	char *event = fmt("{\"topic\":\"a/x\",\"data\":\"%s\"}", repeat("0123456789", 1000)),
	    *large = fmt("[%s,%s,%s,%s,%s,%s]", event, event, event, event, event, event),
	    *wrong = fmt("%s,", large);
	int taken = 0, wait;
	struct answer *a;

	is_problem(post(s, "/publish", AUTH AS_JSON, wrong), 400, "malformed", "", "wrong");
	/* Half a second later one may be published, and it is looked into. */
	for (int64_t end = now_ms() + patience(20000);;) {
		(void)drain(s, API_KEY, 1, &taken);
		a = post(s, "/publish", AUTH AS_JSON, wrong);
		if (a->status != 400 || now_ms() > end)
			break;
	}
	is_problem(a, 429, "rate_limited", "2 events a second", "large and wrong");
	wait = retry_after(a);
	ck_assert_int_le(wait, 3);
	poll(NULL, 0, wait * 1000);
	a = post(s, "/publish", AUTH AS_JSON, large);
	ck_assert_msg(a->status == 200, "after %d s: %s", wait, a->body);
	ck_assert_uint_eq(count_stored(s), (size_t)taken + 6);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_refused_publish_costs_nothing)
{
	struct server *s = server_start("--server.publish_rate=1",
	    "--server.publish_burst=4", NULL);
	int taken = 0, wait;
	int64_t at;
	struct answer *a = drain(s, API_KEY, 4, &taken);

	at = now_ms();
	wait = retry_after(a);
	/* Others meanwhile, for every reason there is. */
	for (int i = 0; i < 20; i++) {
		(void)publish_as(s, API_KEY, 4);
		is_problem(publish_as(s, API_KEY, 5), 413, "too_large", "", "too many");
		is_problem(post(s, "/publish?topic=**", AUTH, "x"), 400, "malformed", "",
		    "a pattern");
		is_problem(post(s, "/publish", AUTH AS_JSON, "["), 400, "malformed", "",
		    "no JSON");
	}
	if (now_ms() < at + wait * 1000)
		poll(NULL, 0, (int)(at + wait * 1000 - now_ms()));
	/* Unless one of those that were sent meanwhile went through, on a slow machine. */
	a = publish_as(s, API_KEY, 4);
	ck_assert_msg(a->status == 200 || count_stored(s) > (size_t)taken, "%s", a->body);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_batch_larger_than_the_burst_is_told_the_largest)
{
	struct server *s = server_start("--server.publish_rate=1",
	    "--server.publish_burst=7", NULL);
	struct answer *a = publish_as(s, API_KEY, 8);

	is_problem(a, 413, "too_large", "7 at once", "eight");
	ck_assert_ptr_nonnull(strstr(a->body, "server.publish_burst"));
	ck_assert_ptr_null(header(a, "Retry-After"));
	ck_assert_int_eq(publish_as(s, API_KEY, 7)->status, 200);
	ck_assert_uint_eq(count_stored(s), 7);
	/* "topics" is short for a batch, and counts as one. */
	is_problem(post(s, "/publish", AUTH AS_JSON, "{\"topics\":[\"a\",\"b\",\"c\",\"d\","
	    "\"e\",\"f\",\"g\",\"h\"],\"data\":1}"), 413, "too_large", "8 events",
	    "eight topics");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(without_a_burst_it_is_two_seconds_worth_and_ten_at_least)
{
	struct server *s = server_start("--server.publish_rate=1", NULL);

	is_problem(publish_as(s, API_KEY, 11), 413, "too_large", "10 at once", "11 of 10");
	ck_assert_int_eq(publish_as(s, API_KEY, 10)->status, 200);
	ck_assert_int_eq(server_stop(s), 0);
	s = server_start("--server.publish_rate=50", NULL);
	is_problem(publish_as(s, API_KEY, 101), 413, "too_large", "100 at once", "101");
	ck_assert_int_eq(publish_as(s, API_KEY, 100)->status, 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(each_key_and_each_subject_has_its_own_rate)
{
	struct server *s = server_start("--server.publish_rate=1",
	    "--server.publish_burst=20", "--auth.api_keys=one:" API_KEY ",two:" OTHER_KEY,
	    NULL);
	char *ann = token_below_a("ann", ""), *bob = token_below_a("bob", ""), *again;
	int n = 0;

	is_problem(drain(s, API_KEY, 20, &n), 429, "rate_limited", "", "one");
	ck_assert_int_eq(publish_as(s, OTHER_KEY, 20)->status, 200);
	is_problem(drain(s, ann, 20, &n), 429, "rate_limited", "", "ann");
	ck_assert_int_eq(publish_as(s, bob, 20)->status, 200);
	/* Another token of the same subject is the same publisher. */
	again = token_below_a("ann", "\"more\":1");
	ck_assert_str_ne(again, ann);
	is_problem(publish_as(s, again, 20), 429, "rate_limited", "", "ann again");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_rate_claim_lowers_the_rate_and_never_raises_it)
{
	struct server *s = server_start("--server.publish_rate=5",
	    "--server.publish_burst=20", NULL);
	char *slow = token_below_a("ann", "\"rate\":0.25"), *full = token_below_a("ann", ""),
	    *greedy = token_below_a("bob", "\"rate\":1000000");
	struct answer *a;
	int taken = 0;

	a = drain(s, slow, 10, &taken);
	is_problem(a, 429, "rate_limited", "0.25 events a second for this token", "slow");
	ck_assert_int_eq(taken, 20);
	/* Ten at a quarter a second: forty, but for what has passed. */
	ck_assert_int_gt(retry_after(a), 10);
	ck_assert_int_le(retry_after(a), 40);
	/* The subject's other token is as fast as the server allows, in all. */
	poll(NULL, 0, 1200);
	ck_assert_int_eq(publish_as(s, full, 5)->status, 200);
	is_problem(publish_as(s, slow, 10), 429, "rate_limited", "this token",
	    "still slow");
	a = drain(s, greedy, 20, &taken);
	is_problem(a, 429, "rate_limited", "5 events a second for each key", "greedy");
	ck_assert_int_eq(server_stop(s), 0);
	/* Where the server sets no limit the token's holds. */
	s = server_start(NULL, NULL);
	taken = 0;
	is_problem(drain(s, slow, 10, &taken), 429, "rate_limited", "0.25 events", "alone");
	ck_assert_int_eq(taken, 10);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(publish_as(s, API_KEY, 10)->status, 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_rate_that_is_no_number_above_0_is_a_token_that_is_refused)
{
	static const char *const bad[] = { "0", "-1", "0.0", "-0.5", "\"5\"", "true",
	    "null", "[5]", "{}", "1e999" };
	static const char *const good[] = { "1", "0.5", "1e-300", "1e300", "1000000",
	    "9223372036854775807", "0.000001" };
	struct server *s = server_start(NULL, NULL);
	struct answer *a;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		/* libjwt does not sign what it cannot read. */
		if (strcmp(bad[i], "1e999") == 0)
			continue;
		a = publish_as(s, token_below_a("ann", fmt("\"rate\":%s", bad[i])), 1);
		is_problem(a, 401, "token_invalid", "", bad[i]);
		ck_assert_msg(strstr(read_whole(s->log), fmt("ref=%s", text_at(body_json(a),
		    "ref"))) != NULL, "%s: no line", bad[i]);
	}
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "rate in claim fanfare is not a "
	    "number of events a second"));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		a = publish_as(s, token_below_a(good[i], fmt("\"rate\":%s", good[i])), 1);
		ck_assert_msg(a->status == 200, "%s: %s", good[i], a->body);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_rate_is_minted_and_explained)
{
	static const char *const bad[] = { "0", "-1", "x", "", "1e3", "0x10", "5/s", "." };
	static const char text[] = "[auth]\nkey = " HOUSE_KEY "\n";
	char *conf = fmt("%s/conf", test_dir()), *minted, *said;

	write_whole(conf, text, sizeof text - 1);
	ck_assert_int_eq(program_run(&minted, NULL, NULL, "token", "-c", conf, "--publish",
	    "a/**", "--rate", "0.5", NULL), 0);
	minted[strcspn(minted, "\n")] = '\0';
	ck_assert_int_eq(program_run(&said, NULL, NULL, "explain", "-c", conf, minted,
	    NULL), 0);
	ck_assert_msg(strstr(said, "\"rate\":0.5") != NULL, "%s", said);
	ck_assert_msg(strstr(said, "publish 0.5 events a second") != NULL, "%s", said);
	ck_assert_int_eq(program_run(&said, NULL, NULL, "explain", "-c", conf,
	    token_below_a("ann", "\"rate\":\"fast\""), NULL), 1);
	ck_assert_msg(strstr(said, "rate in claim fanfare is not a number") != NULL, "%s",
	    said);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_int_eq(program_run(NULL, &said, NULL, "token", "-c", conf,
		    "--publish", "a/**", fmt("--rate=%s", bad[i]), NULL), 2);
		ck_assert_msg(strstr(said, "--rate") != NULL, "%s: %s", bad[i], said);
	}
}
END_TEST

START_TEST(a_repeated_publish_counts_too)
{
	struct server *s = server_start("--server.publish_rate=1",
	    "--server.publish_burst=3", NULL);
	struct answer *a = NULL;

	for (int i = 0; i < 500; i++) {
		a = post(s, "/publish?topic=a/x", AUTH "Idempotency-Key: k\r\n", "x");
		if (a->status != 200)
			break;
	}
	is_problem(a, 429, "rate_limited", "", "the same again and again");
	ck_assert_uint_eq(count_stored(s), 1);
	poll(NULL, 0, retry_after(a) * 1000);
	a = post(s, "/publish?topic=a/x", AUTH "Idempotency-Key: k\r\n", "x");
	ck_assert_int_eq(a->status, 200);
	ck_assert_ptr_nonnull(strstr(a->body, "\"duplicate\":true"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The log is somebody else's for a while: what it has not taken may be sent again. */
START_TEST(what_the_log_did_not_take_costs_nothing)
{
	struct server *s = server_start(NULL, NULL);
	char *slow = token_below_a("ann", "\"rate\":0.001");
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(s->store, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	is_problem(publish_as(s, slow, 10), 503, "store_busy", "", "a log that is locked");
	ck_assert_int_eq(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	for (int64_t end = now_ms() + patience(10000);
	    get(s, "/healthz", "")->status != 200; poll(NULL, 0, 50))
		ck_assert_int_lt(now_ms(), end);
	ck_assert_int_eq(publish_as(s, slow, 10)->status, 200);
	is_problem(publish_as(s, slow, 1), 429, "rate_limited", "this token", "now it has");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_rate");
	TCase *tc = harness_case(su, "rates", 60);

	tcase_add_test(tc,
	    too_fast_is_a_429_and_after_its_retry_after_the_same_publish_succeeds);
	tcase_add_test(tc,
	    a_large_body_that_comes_too_soon_is_told_when_any_would_do);
	tcase_add_test(tc, a_refused_publish_costs_nothing);
	tcase_add_test(tc, a_batch_larger_than_the_burst_is_told_the_largest);
	tcase_add_test(tc, without_a_burst_it_is_two_seconds_worth_and_ten_at_least);
	tcase_add_test(tc, each_key_and_each_subject_has_its_own_rate);
	tcase_add_test(tc, a_rate_claim_lowers_the_rate_and_never_raises_it);
	tcase_add_test(tc, a_rate_that_is_no_number_above_0_is_a_token_that_is_refused);
	tcase_add_test(tc, a_rate_is_minted_and_explained);
	tcase_add_test(tc, a_repeated_publish_counts_too);
	tcase_add_test(tc, what_the_log_did_not_take_costs_nothing);
	return su;
}

SUITE_MAIN
