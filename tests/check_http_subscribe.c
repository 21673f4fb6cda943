/*
 * check_http_subscribe.c - GET /events from outside: the head and the first
 * bytes, topics and patterns, formats, heartbeats, bad parameters.  Resuming
 * is in check_http_resume.c, credentials and refusals in check_http_access.c.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <string.h>

static const char *const all_public = "--topics.public=**";

static struct stream *
live(struct server *s, const char *query)
{
	struct stream *st = stream_open(s, fmt("/events?%s", query), "");

	expect_live(st, false);
	return st;
}

START_TEST(the_head_is_exact)
{
	static const char *const never[] = { "Transfer-Encoding",
		"Content-Length", "ETag", "Last-Modified", "Set-Cookie",
		"Content-Encoding" };
	struct server *s = server_start(all_public, NULL);
	struct stream *st = stream_open(s, "/events?topic=a", "");
	struct answer *a = &st->head;

	ck_assert_msg(strncmp(a->head, "HTTP/1.1 200 ", 13) == 0, "%s",
	    a->head);
	ck_assert_str_eq(header(a, "Content-Type"), "text/event-stream");
	ck_assert_str_eq(header(a, "Cache-Control"), "no-store, no-transform");
	ck_assert_str_eq(header(a, "X-Accel-Buffering"), "no");
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		ck_assert_msg(header(a, never[i]) == NULL, "%s: %s", never[i],
		    header(a, never[i]));
	ck_assert(!header_has(a, "Connection", "keep-alive"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(retry_and_a_comment_come_first_without_a_blank_line)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = live(s, "topic=a");
	const char *live_at = strstr(st->trace, "fanfare.live");
	const char *blank = strstr(st->trace, "\n\n");

	const char *retry = strstr(st->trace, "retry: ");
	const char *comment = strchr(st->trace, '\n');

	/* In either order; the rest of the first two lines is theirs. */
	ck_assert_msg(retry == st->trace || (st->trace[0] == ':' &&
	    retry == comment + 1), "%s", st->trace);
	ck_assert_msg(st->trace[0] == ':' || comment[1] == ':', "%s",
	    st->trace);
	ck_assert_msg(blank > live_at, "%s", st->trace);
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(retry_differs_from_stream_to_stream)
{
	struct server *s = server_start(all_public, "--stream.retry=2s", NULL);
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 40; i++) {
		struct stream *st = live(s, "topic=a");

		ck_assert_int_ge(st->retry_ms, 1000);
		ck_assert_int_le(st->retry_ms, 4000);
		least = st->retry_ms < least ? st->retry_ms : least;
		most = st->retry_ms > most ? st->retry_ms : most;
		stream_close(st);
	}
	/* Twice as far apart as any clock would make them; chance: 1e-12. */
	ck_assert_msg(most - least > 500, "%d to %d ms", (int)least, (int)most);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(live_says_what_was_asked_for)
{
	struct server *s = server_start(all_public, NULL);
	char *id = publish(s, "x", "before");
	struct stream *st = stream_open(s,
	    "/events?topic=b&topic=a/%2a%2A&topic=%22%C3%A9", "");
	json_t *j = expect_live(st, false);
	char *got = keep(json_dumps(json_object_get(j, "topics"), JSON_COMPACT),
	    free);

	ck_assert_str_eq(got, "[\"b\",\"a/**\",\"\\\"\xc3\xa9\"]");
	/* Its id is a position: after every event before it. */
	ck_assert_int_ge(id_seq(st->last_id), id_seq(id));
	ck_assert_int_gt(id_seq(publish(s, "x", "after")),
	    id_seq(st->last_id));
	/* Once per connection, and nothing of other topics. */
	publish(s, "b", "mine");
	expect_event(st, "message", "mine");
	ck_assert(stream_quiet(st, 200));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Published in this order; a row names them by their letters. */
static const struct { char letter; const char *topic; } letters[] = {
	{ 'a', "a" }, { 'b', "b" }, { 'c', "c" }, { 'd', "a/b" },
	{ 'e', "a/c" }, { 'f', "a/b/c" }, { 'g', "a/" }, { 'h', "//x" },
	{ 'i', "https://x.example/?q=1" }, { 'j', "\xc3\xa9 +" },
};

static const struct { const char *query, *see; } matches[] = {
	{ "topic=a", "a" },
	{ "topic=a&topic=a", "a" },
	{ "topic=a&topic=*&topic=**", "abcdefghij" },
	{ "topic=**", "abcdefghij" },
	{ "topic=*", "abcj" },
	{ "topic=a/*", "deg" },
	{ "topic=a/**", "adefg" },
	{ "topic=*/b", "d" },
	{ "topic=*/*", "deg" },
	{ "topic=*/*/c", "f" },
	{ "topic=*/*/*", "fh" },
	{ "topic=a/&topic=b", "bg" },
	{ "topic=%2F%2Fx", "h" },
	{ "topic=https://x.example/%3Fq=1", "i" },
	{ "topic=https:/**", "i" },
	{ "topic=b/**&topic=c", "bc" },
	{ "topic=A", "" },
	{ "topic=d", "" },
	{ "topic=%C3%A9%20%2B", "j" },
	{ "topic=%C3%A9+%2B", "j" },
};

START_TEST(a_stream_gets_what_it_asked_for_once_and_in_order)
{
	struct server *s = server_start(all_public, NULL);
	size_t n = sizeof matches / sizeof *matches;
	struct stream *st[sizeof matches / sizeof *matches];

	for (size_t i = 0; i < n; i++)
		st[i] = live(s, matches[i].query);
	for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
		publish(s, letters[k].topic, fmt("%c", letters[k].letter));
	for (size_t i = 0; i < n; i++) {
		int64_t before = 0;

		for (const char *p = matches[i].see; *p != '\0'; p++) {
			struct event *e = expect_event(st[i], "message",
			    fmt("%c", *p));

			ck_assert_int_gt(id_seq(e->id), before);
			before = id_seq(e->id);
		}
	}
	ck_assert(stream_quiet(st[0], 100));
	for (size_t i = 0; i < n; i++) {
		struct event *e = stream_next(st[i], 0);

		ck_assert_msg(e == NULL, "%s also got %s", matches[i].query,
		    e->data);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static char *
many_topics(int n)
{
	char *q = fmt("topic=t0");

	for (int i = 1; i < n; i++)
		q = fmt("%s&topic=t%d", q, i);
	return q;
}

START_TEST(a_hundred_topics_are_taken_and_one_more_is_not)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = live(s, many_topics(100));

	publish(s, "t99", "the last of them");
	expect_event(st, "message", "the last of them");
	is_problem(get(s, fmt("/events?%s", many_topics(101)), ACCEPT_SSE), 400,
	    "malformed", "100", "101 topics");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
is_time(const char *t)
{
	static const char shape[] = "0000-00-00T00:00:00.000Z";

	ck_assert_msg(strlen(t) == sizeof shape - 1, "time %s", t);
	for (size_t i = 0; i < sizeof shape - 1; i++)
		ck_assert_msg(shape[i] == '0' ? t[i] >= '0' && t[i] <= '9' :
		    t[i] == shape[i], "time %s", t);
}

START_TEST(the_envelope_holds_id_topic_event_time_data)
{
	static const char *const order[] = { "id", "topic", "event", "time",
		"data" };
	struct server *s = server_start(all_public, NULL);
	struct stream *st = live(s, "topic=**&format=envelope");
	struct stream *raw = live(s, "topic=**&format=raw");
	struct event *e;
	char *id;
	json_t *j;
	size_t i = 0;
	const char *k;
	json_t *v;

	publish_json(s, "{\"topic\":\"a/b\",\"event\":\"goal\","
	    "\"data\":\"two\\nlines \\u2028\"}");
	id = fmt("%s", expect_event(raw, "goal",
	    "two\nlines \xe2\x80\xa8")->id);
	e = stream_next(st, SOON);
	ck_assert_ptr_nonnull(e);
	ck_assert(!e->named);
	ck_assert_str_eq(e->id, id);
	ck_assert_msg(strchr(e->data, '\n') == NULL, "%s", e->data);
	j = json_loads(e->data, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(j != NULL, "%s", e->data);
	json_object_foreach(j, k, v) {
		ck_assert_uint_lt(i, 5);
		ck_assert_str_eq(k, order[i++]);
	}
	ck_assert_uint_eq(i, 5);
	ck_assert_str_eq(text_at(j, "id"), id);
	ck_assert_str_eq(text_at(j, "topic"), "a/b");
	ck_assert_str_eq(text_at(j, "event"), "goal");
	ck_assert_str_eq(text_at(j, "data"), "two\nlines \xe2\x80\xa8");
	is_time(text_at(j, "time"));
	json_decref(j);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_quiet_stream_gets_heartbeat_comments)
{
	struct server *s = server_start(all_public, "--stream.heartbeat=1s",
	    NULL);
	struct stream *st = live(s, "topic=a");
	int64_t end = now_ms() + patience(6000);
	size_t from = st->trace_len;
	int before = st->comments;

	while (st->comments < before + 3 && now_ms() < end)
		ck_assert(stream_quiet(st, 50));
	ck_assert_int_ge(st->comments, before + 3);
	ck_assert_msg(strncmp(st->trace + from, ": hb\n: hb\n: hb\n", 15) == 0,
	    "%s", st->trace + from);
	/* They disturb nothing. */
	publish(s, "a", "x");
	expect_event(st, "message", "x");
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_visible_heartbeat_keeps_a_quiet_cursor_fresh)
{
	struct server *s = server_start(all_public, "--stream.heartbeat=1s",
	    NULL);
	struct stream *st = live(s, "topic=a&heartbeat=event"), *again;
	char *other = publish(s, "elsewhere", "x");
	struct event *e;
	int64_t seq;

	ck_assert_ptr_nonnull(strstr(st->trace, ",\"heartbeat\":1000}"));
	/* The first one may have been on its way already. */
	do {
		e = stream_next(st, 4000);
		ck_assert_msg(e != NULL, "no fanfare.ping");
		ck_assert_str_eq(e->name, "fanfare.ping");
		ck_assert_msg(e->id != NULL, "fanfare.ping without an id");
		seq = id_seq(e->id);
	} while (seq < id_seq(other));
	ck_assert_msg(strstr(st->trace, ": hb") == NULL, "%s", st->trace);
	publish(s, "a", "after");
	again = stream_open(s, "/events?topic=a",
	    fmt("Last-Event-ID: %s\r\n", st->last_id));
	expect_event(again, "message", "after");
	expect_live(again, true);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const struct { const char *query, *word; } bad[] = {
	{ "", "topic" },
	{ "topics=a", "topic" },
	{ "topic=", "topic" },
	{ "topic", "topic" },
	{ "topic=a&topic=", "topic" },
	{ "topic=a/**/b", "**" },
	{ "topic=**/a", "**" },
	{ "topic=a/b/c/d/e/f/g/h/*", "segment 8" },
	{ "topic=*/*/*/*/*/*/*/*/*/**", "segment 8" },
	{ "topic=a%01", "topic" },
	{ "topic=a%0a", "topic" },
	{ "topic=a%7f", "topic" },
	{ "topic=a%c2%85", "topic" },
	{ "topic=a%00b", "NUL" },
	{ "topic=%ff", "UTF-8" },
	{ "topic=%c0%80", "UTF-8" },
	{ "topic=%ed%a0%80", "UTF-8" },
	{ "topic=%zz", "escape|%" },
	{ "topic=%4", "escape|%" },
	{ "topic=a&format=xml", "format" },
	{ "topic=a&format=RAW", "format" },
	{ "topic=a&heartbeat=1", "heartbeat" },
	{ "topic=a&errors=json", "errors" },
	{ "topic=a&replay=x", "replay" },
	{ "topic=a&replay=-1", "replay" },
	{ "topic=a&replay=1.5", "replay" },
	{ "topic=a&replay=1e2", "replay" },
	{ "topic=a&replay=99999999999999999999", "replay" },
	{ "topic=a&since=x", "since" },
	{ "topic=a&since=15", "since" },
	{ "topic=a&since=-15m", "since" },
	{ "topic=a&since=15mm", "since" },
	{ "topic=a&since=99999999999999999999d", "since" },
};

START_TEST(bad_parameters_are_refused_by_name)
{
	struct server *s = server_start(all_public, NULL);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		is_problem(get(s, fmt("/events?%s", bad[i].query), ACCEPT_SSE),
		    400, "malformed", bad[i].word, bad[i].query);
		/* Nor does asking for errors as events soften these. */
		if (strstr(bad[i].query, "errors") == NULL)
			ck_assert_int_eq(get(s, fmt("/events?%s&errors=event",
			    bad[i].query), ACCEPT_SSE)->status, 400);
	}
	is_problem(get(s, fmt("/events?topic=%s", repeat("t", 1025)), ""), 400,
	    "malformed", "1024|1,024", "a topic of 1,025 bytes");
	is_problem(get(s, "/events", ""), 400, "malformed", "topic",
	    "no query at all");
	publish(s, "a", "alive");
	/* Of many segments as such nothing is bad. */
	expect_live(stream_open(s, "/events?topic=*/*/*/*/*/*/*/*/i/**&topic=a/b/c/d/e/f/g/h/i",
	    ""), false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_topic_of_the_greatest_length_works)
{
	struct server *s = server_start(all_public, NULL);
	char *topic = repeat("\xc3\xa9", 512);
	struct stream *st = live(s, fmt("topic=%s", url_encode(topic)));

	publish(s, topic, "long");
	expect_event(st, "message", "long");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_large_event_arrives_whole)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = live(s, "topic=a");
	char *big = repeat("0123456789abcdef", 4000);

	for (int i = 0; i < 20; i++) {
		publish(s, "a", big);
		publish(s, "a", "small");
	}
	for (int i = 0; i < 20; i++) {
		expect_event(st, "message", big);
		expect_event(st, "message", "small");
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(health_is_told_on_both_listeners)
{
	struct server *s = server_start(all_public, NULL), admin;
	struct answer *a = get(s, "/healthz", "");

	ck_assert_int_eq(a->status, 200);
	ck_assert_msg(strncmp(a->body, "ok", 2) == 0, "%s", a->body);
	ck_assert_int_eq(get(s, "/healthz?live", "")->status, 200);
	a = ask(s, "HEAD", "/healthz", "", NULL, 0);
	ck_assert_int_eq(a->status, 200);
	ck_assert_uint_eq(a->len, 0);
	admin = *s;
	admin.port = s->admin_port;
	ck_assert_int_eq(get(&admin, "/healthz", "")->status, 200);
	a = get(&admin, "/metrics", "");
	ck_assert_int_eq(a->status, 200);
	ck_assert(header_has(a, "Content-Type", "text/plain"));
	a = get(&admin, "/stats", "");
	ck_assert_int_eq(a->status, 200);
	ck_assert(json_is_object(body_json(a)));
	ck_assert_int_eq(get(&admin, "/history?topic=a", "")->status, 404);
	ck_assert_int_eq(post(&admin, "/publish?topic=a", AUTH, "x")->status,
	    404);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(the_browser_client_is_served_and_asked_for_again_for_a_304)
{
	struct server *s = server_start("--server.cors_origins=https://app.example",
	    NULL);
	struct answer *a = get(s, "/fanfare.js", "Origin: https://app.example\r\n");
	char *etag = fmt("%s", header(a, "ETag"));

	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(header(a, "Content-Type"), "text/javascript; charset=utf-8");
	ck_assert_str_eq(header(a, "Cache-Control"), "no-cache");
	ck_assert_str_eq(header(a, "Access-Control-Allow-Origin"),
	    "https://app.example");
	ck_assert_ptr_nonnull(strstr(a->body, "export class Fanfare"));
	a = get(s, "/fanfare.js", fmt("If-None-Match: %s\r\n", etag));
	ck_assert_int_eq(a->status, 304);
	ck_assert_uint_eq(a->len, 0);
	ck_assert_int_eq(get(s, "/fanfare.js", "If-None-Match: W/\"x\"\r\n")->status,
	    200);
	a = ask(s, "HEAD", "/fanfare.js", "", NULL, 0);
	ck_assert_int_eq(a->status, 200);
	ck_assert_uint_eq(a->len, 0);
	ck_assert_int_eq(ask(s, "POST", "/fanfare.js", "", "x", 1)->status, 405);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_subscribe");
	TCase *tc = harness_case(su, "stream", 30);

	tcase_add_test(tc, the_head_is_exact);
	tcase_add_test(tc,
	    retry_and_a_comment_come_first_without_a_blank_line);
	tcase_add_test(tc, retry_differs_from_stream_to_stream);
	tcase_add_test(tc, live_says_what_was_asked_for);
	tcase_add_test(tc, a_stream_gets_what_it_asked_for_once_and_in_order);
	tcase_add_test(tc, a_hundred_topics_are_taken_and_one_more_is_not);
	tcase_add_test(tc, the_envelope_holds_id_topic_event_time_data);
	tcase_add_test(tc, a_quiet_stream_gets_heartbeat_comments);
	tcase_add_test(tc, a_visible_heartbeat_keeps_a_quiet_cursor_fresh);
	tcase_add_test(tc, bad_parameters_are_refused_by_name);
	tcase_add_test(tc, a_topic_of_the_greatest_length_works);
	tcase_add_test(tc, a_large_event_arrives_whole);
	tcase_add_test(tc, health_is_told_on_both_listeners);
	tcase_add_test(tc,
	    the_browser_client_is_served_and_asked_for_again_for_a_304);
	return su;
}

SUITE_MAIN
