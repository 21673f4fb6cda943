/*
 * check_http_limits.c - the running server: how fast one may publish, how many streams an
 * address and a token may have, whose address counts (I5), and what a crowd of refusals
 * and of answers that nobody reads may cost.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "harness.h"

#define OTHER_KEY	"ffk_other123456789abcdefghijklmnopqrstuvwxyzABC"

static const char *
bearer(const char *credential)
{
	return fmt(BEARER "%s\r\n", credential);
}

/* A token that may do anything below a/, with more members in its grants. */
static char *
token_of(const char *sub, const char *more)
{
	return token(HOUSE_KEY, fmt("{\"exp\":%lld,\"sub\":\"%s\",\"fanfare\":{\"publish\":"
	    "[\"a/**\"],\"subscribe\":[\"a/**\"]%s%s}}", (long long)(wall_s() + 600), sub,
	    *more != '\0' ? "," : "", more));
}

/* ---- publishes a second ---- */

static struct answer *
publish_as(struct server *s, const char *credential, int events)
{
	char *body = fmt("[%s{\"topic\":\"a/x\",\"data\":\"x\"}]",
	    repeat("{\"topic\":\"a/x\",\"data\":\"x\"},", (size_t)events - 1));

	return post(s, "/publish", fmt(AS_JSON "%s", bearer(credential)), body);
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
	char *ann = token_of("ann", ""), *bob = token_of("bob", ""), *again;
	int n = 0;

	is_problem(drain(s, API_KEY, 20, &n), 429, "rate_limited", "", "one");
	ck_assert_int_eq(publish_as(s, OTHER_KEY, 20)->status, 200);
	is_problem(drain(s, ann, 20, &n), 429, "rate_limited", "", "ann");
	ck_assert_int_eq(publish_as(s, bob, 20)->status, 200);
	/* Another token of the same subject is the same publisher. */
	again = token_of("ann", "\"more\":1");
	ck_assert_str_ne(again, ann);
	is_problem(publish_as(s, again, 20), 429, "rate_limited", "", "ann again");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_rate_claim_lowers_the_rate_and_never_raises_it)
{
	struct server *s = server_start("--server.publish_rate=5",
	    "--server.publish_burst=20", NULL);
	char *slow = token_of("ann", "\"rate\":0.25"), *full = token_of("ann", ""),
	    *greedy = token_of("bob", "\"rate\":1000000");
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
		a = publish_as(s, token_of("ann", fmt("\"rate\":%s", bad[i])), 1);
		is_problem(a, 401, "token_invalid", "", bad[i]);
		ck_assert_msg(strstr(read_whole(s->log), fmt("ref=%s", text_at(body_json(a),
		    "ref"))) != NULL, "%s: no line", bad[i]);
	}
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "rate in claim fanfare is not a "
	    "number of events a second"));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		a = publish_as(s, token_of(good[i], fmt("\"rate\":%s", good[i])), 1);
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
	    token_of("ann", "\"rate\":\"fast\""), NULL), 1);
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
	char *slow = token_of("ann", "\"rate\":0.001");
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

/* ---- streams ---- */

static const char events[] = "/events?topic=a/x";

/* Open one, as soon as there is room: it is live, and not told to go. */
static struct stream *
open_soon(struct server *s, const char *headers)
{
	int64_t end = now_ms() + patience(SOON);
	struct stream *st;
	struct event *e;

	for (;; poll(NULL, 0, 20)) {
		st = stream_open(s, events, headers);
		ck_assert_ptr_nonnull(e = stream_next(st, SOON));
		if (strcmp(e->name, "fanfare.live") == 0)
			return st;
		ck_assert_msg(now_ms() < end, "no room: %s", e->data);
	}
}

static void
is_full(struct server *s, const char *headers, const char *option)
{
	json_t *j = expect_close(stream_open(s, events, headers), "overload", SOON);
	struct answer *a;

	ck_assert_msg(strstr(text_at(j, "detail"), option) != NULL, "%s",
	    text_at(j, "detail"));
	ck_assert_int_ge(json_integer_value(json_object_get(j, "retry")), 1000);
	a = get(s, events, headers);
	is_problem(a, 429, "too_many_streams", option, "no EventSource");
	ck_assert_int_ge(atoi(header(a, "Retry-After")), 1);
}

START_TEST(a_subject_has_as_many_streams_as_its_tokens_may_and_others_theirs)
{
	struct server *s = server_start("--server.max_streams_per_token=3",
	    "--topics.public=public", NULL);
	const char *ann = bearer(token_of("ann", "")), *bob = bearer(token_of("bob", "")),
	    *again = bearer(token_of("ann", "\"more\":1"));
	struct stream *st[3];

	st[0] = open_soon(s, ann);
	st[1] = open_soon(s, again);
	st[2] = open_soon(s, ann);
	is_full(s, ann, "server.max_streams_per_token");
	is_full(s, again, "server.max_streams_per_token");
	ck_assert_int_eq(server_metric(s, "streams_limited_total"), 4);
	ck_assert_int_eq(server_metric(s, "streams_refused_total"), 4);
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "429 too_many_streams"));
	/* Neither is another subject concerned, nor a server with its key, nor who needs
	 * no token. */
	for (int i = 0; i < 3; i++)
		open_soon(s, bob);
	for (int i = 0; i < 10; i++)
		open_soon(s, AUTH);
	for (int i = 0; i < 10; i++)
		expect_live(stream_open(s, "/events?topic=public", ann), false);
	stream_close(st[1]);
	st[1] = open_soon(s, ann);
	is_full(s, ann, "server.max_streams_per_token");
	publish(s, "a/x", "still here");
	for (int i = 0; i < 3; i++)
		expect_event(st[i], "message", "still here");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const char *
from(const char *address)
{
	return fmt(AUTH "X-Forwarded-For: %s\r\n", address);
}

START_TEST(I5_an_address_has_its_streams_and_of_IPv6_the_64_bits_that_a_client_has)
{
	struct server *s = server_start("--server.max_streams_per_ip=2", NULL);

	open_soon(s, from("192.0.2.1"));
	open_soon(s, from("6.6.6.6, 192.0.2.1"));
	is_full(s, from("192.0.2.1"), "server.max_streams_per_ip");
	is_full(s, from("192.0.2.77, 192.0.2.1"), "server.max_streams_per_ip");
	open_soon(s, from("192.0.2.2"));
	open_soon(s, from("2001:db8:1:2::1"));
	open_soon(s, from("2001:db8:1:2:ffff::1"));
	is_full(s, from("[2001:db8:1:2:3:4:5:6]:443"), "server.max_streams_per_ip");
	open_soon(s, from("2001:db8:1:3::1"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(one_topic_more_than_a_hundred_is_a_400_that_says_so)
{
	struct server *s = server_start("--topics.public=**", NULL);
	char *many = fmt("/events?topic=t%s", repeat("&topic=t0", 99)), *p = many;

	/* Each another one. */
	for (int i = 10; (p = strstr(p, "t0")) != NULL; i++, p += 2)
		memcpy(p, (char[]){ (char)('a' + i / 26), (char)('a' + i % 26) }, 2);
	expect_live(stream_open(s, many, ""), false);
	is_problem(get(s, fmt("%s&topic=more", many), ACCEPT_SSE), 400, "malformed", "100",
	    "101 topics");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define ROOM	8
#define TURNS	400

/* Ask for a stream and go, at some moment or other. */
static void
come_and_go(struct server *s, const char *headers, struct stream *held[ROOM])
{
	char *head = fmt("GET %s HTTP/1.1\r\nHost: x\r\n" ACCEPT_SSE "%s\r\n", events,
	    headers);
	size_t len = strlen(head);
	int i = (int)dice(ROOM), fd;

	switch (dice(6)) {
	case 0:			/* in the middle of the head */
		len = 1 + dice((uint32_t)len - 1);
		/* FALLTHROUGH */
	case 1:			/* behind it, before the answer */
	case 2:			/* two at once on one connection, and gone */
		ck_assert_int_ne(fd = dial(s->port, 1024), -1);
		(void)send(fd, head, len, MSG_NOSIGNAL);
		if (dice(2) == 0)
			(void)send(fd, head, len, MSG_NOSIGNAL);
		if (dice(2) == 0) {
			/* With a reset. */
			struct linger now = { 1, 0 };

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		}
		close(fd);
		return;
	case 3:			/* one that waited, or one more */
	case 4:
		if (held[i] != NULL)
			stream_close(held[i]);
		held[i] = try_stream(s, events, headers, 0);
		return;
	case 5:			/* not even an EventSource */
		(void)ask(s, "HEAD", events, headers, NULL, 0);
		return;
	}
}

START_TEST(whoever_comes_and_goes_leaves_no_place_taken)
{
	static const char key[] = "the-key-of-an-issuer-of-tokens-0123456789",
	    other[] = "another-key-of-that-issuer-of-tokens-0123456789",
	    claims[] = "{\"iss\":\"two\",\"exp\":%lld,\"sub\":\"ann\",\"fanfare\":"
	    "{\"subscribe\":[\"a/x\"]}}";
	char *file = fmt("%s/key", test_dir());
	struct stream *held[ROOM] = { NULL };
	const char *headers;
	struct server *s;

	write_whole(file, key, sizeof key - 1);
	s = server_start("--auth.two.issuer=two", fmt("--auth.two.key_file=%s", file),
	    fmt("--server.max_streams_per_token=%d", ROOM),
	    fmt("--server.max_streams_per_ip=%d", ROOM), "--server.threads=2", NULL);
	headers = fmt("%sX-Forwarded-For: 2001:db8::7\r\n", bearer(token(key, fmt(claims,
	    (long long)wall_s() + 600))));
	for (int i = 0; i < TURNS; i++) {
		come_and_go(s, headers, held);
		/* Now and then the key goes, with all streams, and comes back. */
		if (i % 100 == 50) {
			write_whole(file, other, sizeof other - 1);
			server_signal(s, SIGHUP);
		} else if (i % 100 == 70) {
			write_whole(file, key, sizeof key - 1);
			server_signal(s, SIGHUP);
		}
		ck_assert(server_alive(s));
	}
	/* Streams that their token ends. */
	for (int i = 0; i < ROOM; i++) {
		if (held[i] != NULL)
			stream_close(held[i]);
		held[i] = NULL;
	}
	for (int i = 0; i < ROOM; i++)
		(void)open_soon(s, bearer(token(key, fmt(claims,
		    (long long)wall_s() + 8))));
	for (int64_t end = now_ms() + patience(15000); server_metric(s, "streams") > 0;
	    poll(NULL, 0, 100))
		ck_assert_int_lt(now_ms(), end);
	/* All of the room is there again, and no more than that. */
	for (int i = 0; i < ROOM; i++)
		held[i] = open_soon(s, headers);
	is_full(s, headers, "server.max_streams_per_");
	ck_assert_int_eq(server_metric(s, "streams"), ROOM);
	/* It waits for the places that are taken, so one that is lost would take its
	 * time; one that is given back twice is an abort. */
	ck_assert_int_eq(server_stop(s), 0);
	for (int i = 0; i < ROOM; i++)
		expect_close(held[i], "drain", SOON);
}
END_TEST

/* ---- I5 ---- */

START_TEST(I5_what_the_admin_listener_has_is_not_on_the_public_one)
{
	static const char *const targets[] = { "/metrics", "/stats", "//metrics",
	    "/./metrics", "/../metrics", "/x/../metrics", "/%6detrics", "/%2fmetrics",
	    "%2fmetrics", "/metrics/", "/metrics?x", "/metrics%00", "/metrics#", "/METRICS",
	    "/metrics;x", "/\\metrics", "\\metrics", "/stats?x", "//stats", "/./stats",
	    "/%73tats", "metrics", "*", "/events/../metrics", "/healthz/../metrics",
	    "http://127.0.0.1:%d/metrics", "http://127.0.0.1:%d/stats",
	    "http://localhost/metrics", "HTTP://127.0.0.1:%d/metrics",
	    "https://127.0.0.1:%d/metrics", "http://127.0.0.1:%d//metrics",
	    "http:///metrics", "http://metrics", "//127.0.0.1:%d/metrics" };
	static const char *const heads[] = { "Host: x\r\n", "Host: 127.0.0.1:%d\r\n",
	    "Host: localhost\r\nX-Forwarded-Host: 127.0.0.1:%d\r\n",
	    "Host: x\r\nX-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n",
	    "Host: x\r\nX-Forwarded-For: 127.0.0.1\r\n",
	    "Host: x\r\nX-Forwarded-Port: %d\r\nForwarded: for=127.0.0.1\r\n" };
	static const char *const methods[] = { "GET", "HEAD", "POST", "get" };
	struct server *s = server_start(NULL, NULL);
	struct answer *a;
	int answered = 0;

	ck_assert_int_gt(server_metric(s, "requests_total"), 0);
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		for (size_t k = 0; k < sizeof heads / sizeof *heads; k++)
			for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
				struct http *h = http_open(s);
				char port[8], *rq = fmt("%s %s HTTP/1.1\r\n%s"
				    "Content-Length: 0\r\nConnection: close\r\n\r\n",
				    methods[m], targets[i], heads[k]), *at;

				snprintf(port, sizeof port, "%d", s->admin_port);
				while ((at = strstr(rq, "%d")) != NULL)
					rq = fmt("%.*s%s%s", (int)(at - rq), rq, port,
					    at + 2);
				ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
				if ((a = try_http_receive(h, SOON)) != NULL) {
					ck_assert_msg(a->status >= 400, "%d for %s",
					    a->status, rq);
					ck_assert_msg(strstr(a->body, "fanfare_") ==
					    NULL && strstr(a->body, "\"head\"") == NULL,
					    "%s: %s", rq, a->body);
					answered++;
				}
				answer_free(a);
				http_close(h);
			}
	ck_assert_int_gt(answered, 100);
	/* And its own listener has nothing of the public one. */
	s->port = s->admin_port;
	is_problem(get(s, events, AUTH), 404, "not_found", "", "a stream");
	is_problem(post(s, "/publish?topic=a", AUTH, "x"), 404, "not_found", "", "publish");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (write(fd, text, strlen(text)) == -1)
		printf("%s: %s\n", path, strerror(errno));
	close(fd);
}

/* A network of our own, where 203.0.113.0/24 is this machine.  False: we may not. */
static bool
own_network(void)
{
	unsigned int uid = getuid(), gid = getgid();
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWNET) == -1) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1)
			return false;
		write_map("/proc/self/setgroups", "deny");
		write_map("/proc/self/uid_map", fmt("%u %u 1", uid, uid));
		write_map("/proc/self/gid_map", fmt("%u %u 1", gid, gid));
	}
	ck_assert_int_ne(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -1);
	r.ifr_flags = IFF_UP;
	ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	snprintf(r.ifr_name, sizeof r.ifr_name, "lo:1");
	sa.sin_addr.s_addr = inet_addr("203.0.113.1");
	memcpy(&r.ifr_addr, &sa, sizeof sa);
	ck_assert_int_eq(ioctl(fd, SIOCSIFADDR, &r), 0);
	sa.sin_addr.s_addr = inet_addr("255.255.255.0");
	memcpy(&r.ifr_netmask, &sa, sizeof sa);
	ck_assert_int_eq(ioctl(fd, SIOCSIFNETMASK, &r), 0);
	close(fd);
	return true;
}

/* A connection from one address of that network to the server. */
static int
dial_from(const char *address, const char *to, int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	sa.sin_addr.s_addr = inet_addr(address);
	ck_assert_msg(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "%s: %s", address,
	    strerror(errno));
	sa.sin_addr.s_addr = inet_addr(to);
	sa.sin_port = htons((uint16_t)port);
	ck_assert_msg(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "%s: %s", to,
	    strerror(errno));
	return fd;
}

/* Is a stream from there let in?  It stays open. */
static bool
let_in(struct server *s, const char *address, const char *forwarded)
{
	char *rq = fmt("GET /events?topic=a HTTP/1.1\r\nHost: x\r\n" ACCEPT_SSE "%s\r\n",
	    forwarded), got[4096];
	int fd = dial_from(address, "203.0.113.1", s->port);
	int64_t end = now_ms() + patience(SOON);
	size_t len = 0;
	ssize_t n;

	ck_assert_int_eq(send(fd, rq, strlen(rq), MSG_NOSIGNAL), (int)strlen(rq));
	while (now_ms() < end && len < sizeof got - 1) {
		struct pollfd pfd = { fd, POLLIN, 0 };

		if (poll(&pfd, 1, 100) < 1)
			continue;
		if ((n = recv(fd, got + len, sizeof got - 1 - len, 0)) <= 0)
			break;
		got[len += (size_t)n] = '\0';
		if (strstr(got, "fanfare.live") != NULL)
			return true;
		if (strstr(got, "max_streams_per_ip") != NULL)
			return false;
	}
	ck_abort_msg("neither let in nor refused");
	return false;
}

START_TEST(I5_what_a_stranger_forges_counts_for_nothing)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct server *s;
	int fd;

	if (!own_network()) {
		printf("no network of our own, so no stranger: %s\n", strerror(errno));
		return;
	}
	ck_assert_int_ne(fd = socket(AF_INET, SOCK_STREAM, 0), -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	servers_given(&fd, 1, NULL);
	s = server_start("--topics.public=**", "--server.max_streams_per_ip=2",
	    "--server.trusted_proxies=203.0.113.9", NULL);
	/* A stranger is one address, whatever it says. */
	ck_assert(let_in(s, "203.0.113.7", "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.7", "X-Forwarded-For: 198.51.100.2\r\n"));
	for (int i = 3; i < 20; i++)
		ck_assert(!let_in(s, "203.0.113.7", fmt("X-Forwarded-For: 198.51.100.%d\r\n",
		    i)));
	ck_assert(!let_in(s, "203.0.113.7", "X-Forwarded-For: 127.0.0.1\r\n"));
	ck_assert(!let_in(s, "203.0.113.7", "X-Forwarded-For: 203.0.113.9\r\n"));
	ck_assert(!let_in(s, "203.0.113.7", "X-Real-IP: 198.51.100.1\r\n"
	    "Forwarded: for=198.51.100.1\r\nClient-IP: 198.51.100.1\r\n"
	    "True-Client-IP: 198.51.100.1\r\nCF-Connecting-IP: 198.51.100.1\r\n"));
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "from 203.0.113.7: this address"));
	ck_assert_ptr_null(strstr(read_whole(s->log), "from 198.51.100."));
	/* Nor does it take the places of those it names; its neighbour is another. */
	ck_assert(let_in(s, "203.0.113.8", ""));
	/* The proxy that is trusted is believed, also when it is forged at. */
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n"));
	ck_assert(!let_in(s, "203.0.113.9", "X-Forwarded-For: 7.7.7.7\r\n"
	    "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 198.51.100.2\r\n"));
	/* So is loopback, always. */
	ck_assert(let_in(s, "127.0.0.5", "X-Forwarded-For: 198.51.100.3\r\n"));
	close(fd);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- crowds ---- */

static int
count_lines(const char *text, const char *word)
{
	int n = 0;

	while ((text = strstr(text, word)) != NULL) {
		text += strlen(word);
		n++;
	}
	return n;
}

#define REFUSALS	3000

START_TEST(a_flood_of_refusals_does_not_fill_the_log_and_none_is_uncounted)
{
	static const char one[] = "GET /events?topic=a HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server *s = server_start(NULL, NULL);
	struct http *h = http_open(s);
	int64_t began = now_ms(), end, unlogged;
	int lines, more = 0;
	struct answer *a;
	char *log, *p;

	for (int i = 0; i < REFUSALS; i += 50) {
		char *many = repeat(one, 50);

		ck_assert_int_eq(try_http_write(h, many, strlen(many)), 0);
		for (int k = 0; k < 50; k++) {
			ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
			ck_assert_int_eq(a->status, 401);
			answer_free(a);
		}
	}
	unlogged = server_metric(s, "refusals_unlogged_total");
	/* When they have stopped, all of them are accounted for within seconds. */
	for (end = now_ms() + patience(SOON);; poll(NULL, 0, 50)) {
		log = read_whole(s->log);
		lines = count_lines(log, " token_missing ref=");
		for (more = 0, p = log; (p = strstr(p, " more refusals")) != NULL; p++) {
			char *digits = p;

			while (digits[-1] >= '0' && digits[-1] <= '9')
				digits--;
			more += atoi(digits);
		}
		if (lines + more == REFUSALS)
			break;
		ck_assert_msg(now_ms() < end, "%d lines and %d more of %d", lines, more,
		    REFUSALS);
	}
	ck_assert_int_eq(unlogged, more);
	/* A thousand, and twenty for each second that it took. */
	ck_assert_int_ge(lines, 1000);
	ck_assert_int_le(lines, 1000 + (int)(20 * (now_ms() - began) / 1000) + 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define READERS		150
#define PAGE_EVENTS	16
#define PAGE_KB		60

START_TEST(answers_that_nobody_reads_are_bounded_in_memory)
{
	static const char rq[] = "GET /history?topic=a HTTP/1.1\r\nHost: x\r\n"
	    "Connection: close\r\n\r\n";
	int narrow = narrow_socket(), fd[READERS], refused = 0, waiting = 0;
	char *data = repeat("0123456789abcdef", PAGE_KB * 64), got[512];
	struct server *s;
	struct answer *a;
	int64_t end;
	long before;

	servers_given(&narrow, 1, NULL);
	s = server_start("--topics.public=**", "--store.tail=64k", NULL);
	for (int i = 0; i < PAGE_EVENTS; i++)
		publish(s, "a", data);
	a = get(s, "/history?topic=a", "");
	ck_assert_uint_gt(a->len, 900 * 1024);
	before = server_memory_kb(s);
	for (int i = 0; i < READERS; i++) {
		ck_assert_int_ne(fd[i] = dial(s->port, 4096), -1);
		ck_assert_int_eq(send(fd[i], rq, sizeof rq - 1, MSG_NOSIGNAL),
		    (int)sizeof rq - 1);
	}
	/* Each is answered, if with no more than a beginning. */
	for (int i = 0; i < READERS; i++) {
		struct pollfd pfd = { fd[i], POLLIN, 0 };

		ck_assert_int_eq(poll(&pfd, 1, patience(20000)), 1);
		ck_assert_int_gt(recv(fd[i], got, sizeof got - 1, MSG_PEEK), 12);
		refused += strncmp(got, "HTTP/1.1 503", 12) == 0;
		waiting += strncmp(got, "HTTP/1.1 200", 12) == 0;
	}
	printf("%d wait, %d were refused, %ld kB more\n", waiting, refused,
	    server_memory_kb(s) - before);
	ck_assert_int_eq(refused + waiting, READERS);
	/* 64 MB, one more, and what the kernel has of each. */
	ck_assert_int_ge(waiting, 64);
	ck_assert_int_le(waiting, 85);
	is_problem(get(s, "/history?topic=a", ""), 503, "overload", "try again", "one more");
	/* Streams and publishes go on; when readers leave there is room. */
	expect_live(stream_open(s, "/events?topic=a", ""), false);
	publish(s, "b", "x");
	for (int i = 0; i < READERS; i++)
		close(fd[i]);
	for (end = now_ms() + patience(SOON); get(s, "/history?topic=a", "")->status != 200;
	    poll(NULL, 0, 50))
		ck_assert_int_lt(now_ms(), end);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_limits");
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
	tc = harness_case(su, "streams", 60);
	tcase_add_test(tc,
	    a_subject_has_as_many_streams_as_its_tokens_may_and_others_theirs);
	tcase_add_test(tc,
	    I5_an_address_has_its_streams_and_of_IPv6_the_64_bits_that_a_client_has);
	tcase_add_test(tc, one_topic_more_than_a_hundred_is_a_400_that_says_so);
	tcase_add_test(tc, whoever_comes_and_goes_leaves_no_place_taken);
	tc = harness_case(su, "crowds", 60);
	tcase_add_test(tc,
	    a_flood_of_refusals_does_not_fill_the_log_and_none_is_uncounted);
	tcase_add_test(tc, answers_that_nobody_reads_are_bounded_in_memory);
	/* Last: with CK_FORK=no its network stays. */
	tc = harness_case(su, "strangers", 60);
	tcase_add_test(tc, I5_what_the_admin_listener_has_is_not_on_the_public_one);
	tcase_add_test(tc, I5_what_a_stranger_forges_counts_for_nothing);
	return su;
}

SUITE_MAIN
