/*
 * check_http_history.c - GET /history from outside: the same events as JSON,
 * pages and their cursors, the idle poll as a 304, gaps, and what is refused.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

static const char *const all_public = "--topics.public=**";

static size_t
count(json_t *page)
{
	return json_array_size(json_object_get(page, "events"));
}

static json_t *
nth(json_t *page, size_t i)
{
	json_t *e = json_array_get(json_object_get(page, "events"), i);

	ck_assert_ptr_nonnull(e);
	return e;
}

static long long
number(json_t *page, size_t i)
{
	json_t *d = json_object_get(nth(page, i), "data");

	ck_assert(json_is_integer(d));
	return json_integer_value(d);
}

/* n events with the data from, from + 1, ...; the last id. */
static char *
publish_numbers(struct server *s, const char *topic, int from, int n)
{
	char *body = keep(malloc((size_t)n * 100 + 2), free), *p = body;
	struct answer *a;

	for (int i = 0; i < n; i++)
		p += sprintf(p, "%c{\"topic\":\"%s\",\"data\":%d}",
		    i == 0 ? '[' : ',', topic, from + i);
	strcpy(p, "]");
	a = post(s, "/publish", AUTH AS_JSON, body);
	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	return fmt("%s", json_string_value(json_array_get(json_object_get(
	    body_json(a), "ids"), (size_t)n - 1)));
}

START_TEST(a_page_holds_the_events_as_in_the_envelope)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = stream_open(s, "/events?topic=**&format=envelope",
	    "");
	struct answer *a;
	json_t *page;

	expect_live(st, false);
	publish_json(s,
	    "{\"topic\":\"a\",\"event\":\"goal\",\"data\":\"Goal!\"}");
	publish_json(s, "{\"topic\":\"b\",\"data\":{ \"n\" : 1.0e5 }}");
	a = get(s, "/history?topic=**", "");
	ck_assert_int_eq(a->status, 200);
	ck_assert(header_has(a, "Content-Type", "application/json"));
	ck_assert_msg(strstr(a->body, "\"data\":{\"n\":1.0e5}") != NULL, "%s",
	    a->body);
	page = body_json(a);
	ck_assert_uint_eq(json_object_size(page), 3);
	ck_assert_uint_eq(count(page), 2);
	ck_assert(json_is_null(json_object_get(page, "gap")));
	for (size_t i = 0; i < 2; i++) {
		struct event *e = stream_next(st, SOON);

		ck_assert_ptr_nonnull(e);
		/* The very same bytes. */
		ck_assert_msg(strstr(a->body, e->data) != NULL, "%s lacks %s",
		    a->body, e->data);
		ck_assert_str_eq(text_at(nth(page, i), "id"), e->id);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(an_empty_page_still_has_a_cursor)
{
	struct server *s = server_start(all_public, NULL);
	json_t *page = history(s, "topic=a");
	char *cursor = fmt("%s", text_at(page, "cursor"));

	ck_assert_uint_eq(count(page), 0);
	ck_assert(json_is_null(json_object_get(page, "gap")));
	id_seq(cursor);
	publish_numbers(s, "a", 1, 2);
	page = history(s, fmt("topic=a&after=%s", cursor));
	ck_assert_uint_eq(count(page), 2);
	ck_assert(json_is_null(json_object_get(page, "gap")));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(pages_are_the_newest_oldest_first)
{
	struct server *s = server_start(all_public, NULL);
	json_t *page;
	char *head;

	publish_numbers(s, "a", 0, 150);
	head = publish_numbers(s, "b", 1000, 10);
	page = history(s, "topic=a");
	ck_assert_uint_eq(count(page), 100);
	for (size_t i = 0; i < 100; i++)
		ck_assert_int_eq(number(page, i), 50 + (long long)i);
	/* The log's head, also when its event is not ours. */
	ck_assert_str_eq(text_at(page, "cursor"), head);
	page = history(s, "topic=a&limit=3");
	ck_assert_uint_eq(count(page), 3);
	ck_assert_int_eq(number(page, 0), 147);
	page = history(s, "topic=a&topic=b&limit=1000");
	ck_assert_uint_eq(count(page), 160);
	ck_assert_int_eq(number(page, 159), 1009);
	page = history(s, "topic=*&limit=12");
	ck_assert_int_eq(number(page, 0), 148);
	page = history(s, "topic=c");
	ck_assert_uint_eq(count(page), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(replay_gives_the_newest_of_each_topic)
{
	struct server *s = server_start(all_public, NULL);
	json_t *page;

	publish_numbers(s, "a/1", 0, 5);
	publish_numbers(s, "a/2", 10, 2);
	publish_numbers(s, "a/3", 20, 5);
	page = history(s, "topic=a/*&replay=1");
	ck_assert_uint_eq(count(page), 3);
	ck_assert_int_eq(number(page, 0), 4);
	ck_assert_int_eq(number(page, 1), 11);
	ck_assert_int_eq(number(page, 2), 24);
	page = history(s, "topic=a/1&topic=a/2&replay=3");
	ck_assert_uint_eq(count(page), 5);
	ck_assert_int_eq(number(page, 0), 2);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(after_walks_the_log_page_by_page)
{
	struct server *s = server_start(all_public, NULL);
	char *start = fmt("%s", text_at(history(s, "topic=a"), "cursor"));
	char *cursor = start, *head;
	int seen = 0;

	for (int i = 0; i < 25; i++) {
		publish_numbers(s, "a", i * 10, 10);
		publish_numbers(s, "b", 0, 3);
	}
	head = fmt("%s", text_at(history(s, "topic=a"), "cursor"));
	for (int pages = 0; strcmp(cursor, head) != 0; pages++) {
		json_t *page = history(s, fmt("topic=a&limit=7&after=%s",
		    cursor));

		ck_assert_int_lt(pages, 100);
		ck_assert_uint_le(count(page), 7);
		for (size_t i = 0; i < count(page); i++)
			ck_assert_int_eq(number(page, i), seen++);
		ck_assert(json_is_null(json_object_get(page, "gap")));
		cursor = fmt("%s", text_at(page, "cursor"));
	}
	ck_assert_int_eq(seen, 250);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_cursor_leads_from_history_to_a_stream_and_back)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st;
	json_t *page;

	publish_numbers(s, "a", 1, 3);
	publish_numbers(s, "b", 1, 3);
	page = history(s, "topic=a");
	publish_numbers(s, "a", 4, 1);
	st = stream_open(s, fmt("/events?topic=a&after=%s",
	    text_at(page, "cursor")), "");
	expect_event(st, "message", "4");
	expect_live(st, true);
	publish_numbers(s, "a", 5, 2);
	page = history(s, fmt("topic=a&after=%s",
	    expect_event(st, "message", "5")->id));
	ck_assert_uint_eq(count(page), 1);
	ck_assert_int_eq(number(page, 0), 6);
	/* A page that was cut short: the stream gives the rest. */
	page = history(s, fmt("topic=a&limit=2&after=%s",
	    text_at(nth(history(s, "topic=a"), 0), "id")));
	ck_assert_int_eq(number(page, 1), 3);
	st = stream_open(s, "/events?topic=a", fmt("Last-Event-ID: %s\r\n",
	    text_at(page, "cursor")));
	expect_event(st, "message", "4");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(answers_stop_at_a_megabyte_and_the_cursor_goes_on)
{
	struct server *s = server_start(all_public, NULL);
	char *cursor = publish(s, "start", "0"), *pad = repeat("x", 60000);
	int seen = 0, pages = 0;

	for (int i = 0; i < 40; i++)
		publish(s, "a", fmt("%d %s", i, pad));
	for (; seen < 40; pages++) {
		struct answer *a = get(s, fmt("/history?topic=a&limit=1000&"
		    "after=%s", cursor), "");
		json_t *page;

		ck_assert_int_eq(a->status, 200);
		ck_assert_msg(a->len <= (1 << 20) + 1000, "%zu bytes", a->len);
		page = body_json(a);
		ck_assert_uint_gt(count(page), 0);
		for (size_t i = 0; i < count(page); i++)
			ck_assert_int_eq(atoi(text_at(nth(page, i), "data")),
			    seen++);
		cursor = fmt("%s", text_at(page, "cursor"));
	}
	ck_assert_int_eq(pages, 3);
	/* Asked for the newest: whatever is cut, the cursor misses nothing. */
	seen = -1;
	for (const char *q = "topic=a&limit=40"; seen < 39;) {
		json_t *page = history(s, q);

		ck_assert_uint_gt(count(page), 0);
		for (size_t i = 0; i < count(page); i++) {
			int n = atoi(text_at(nth(page, i), "data"));

			ck_assert(seen == -1 || n == seen + 1);
			seen = n;
		}
		q = fmt("topic=a&limit=40&after=%s", text_at(page, "cursor"));
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static struct answer *
get_if_new(struct server *s, const char *query, const char *etag)
{
	return get(s, fmt("/history?%s", query),
	    fmt("If-None-Match: %s\r\n", etag));
}

START_TEST(an_idle_poll_is_a_304)
{
	struct server *s = server_start(all_public, NULL);
	struct answer *a;
	char *etag, *cursor;

	publish_numbers(s, "a", 1, 3);
	a = get(s, "/history?topic=a", "");
	cursor = fmt("%s", text_at(body_json(a), "cursor"));
	ck_assert_ptr_nonnull(header(a, "ETag"));
	etag = fmt("%s", header(a, "ETag"));
	ck_assert_msg(strncmp(etag, "W/\"", 3) == 0, "%s", etag);
	a = get_if_new(s, "topic=a", etag);
	ck_assert_int_eq(a->status, 304);
	ck_assert_uint_eq(a->len, 0);
	ck_assert_str_eq(header(a, "ETag"), etag);
	ck_assert_int_eq(get_if_new(s, "topic=a", fmt("\"x\", %s", etag))
	    ->status, 304);
	ck_assert_int_eq(get_if_new(s, "topic=a", "W/\"x\"")->status, 200);
	/* Others' events change the head, not the page. */
	publish_numbers(s, "b", 1, 1);
	ck_assert_int_eq(get_if_new(s, "topic=a", etag)->status, 304);
	ck_assert_uint_eq(count(history(s, fmt("topic=a&after=%s", cursor))),
	    0);
	/* Another query is another page. */
	ck_assert_int_eq(get_if_new(s, "topic=a&limit=50", etag)->status, 200);
	ck_assert_int_eq(get_if_new(s, "topic=b", etag)->status, 200);
	publish_numbers(s, "a", 4, 1);
	ck_assert_int_eq(get_if_new(s, "topic=a", etag)->status, 200);
	/* The poll that asks for news. */
	a = get(s, fmt("/history?topic=a&after=%s", text_at(history(s,
	    "topic=a"), "cursor")), "");
	ck_assert_int_eq(a->status, 200);
	ck_assert_ptr_nonnull(header(a, "ETag"));
	a = get_if_new(s, fmt("topic=a&after=%s", text_at(history(s, "topic=a"),
	    "cursor")), fmt("%s", header(a, "ETag")));
	ck_assert_int_eq(a->status, 304);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_head_request_has_the_head_alone)
{
	struct server *s = server_start(all_public, NULL);
	struct answer *a, *b;

	publish_numbers(s, "a", 1, 3);
	a = get(s, "/history?topic=a", "");
	b = ask(s, "HEAD", "/history?topic=a", "", NULL, 0);
	ck_assert_int_eq(b->status, 200);
	ck_assert_uint_eq(b->len, 0);
	ck_assert_str_eq(fmt("%s", header(b, "ETag")), header(a, "ETag"));
	ck_assert_int_eq(atoi(header(b, "Content-Length")), (int)a->len);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(gaps_are_told_as_on_a_stream)
{
	struct server *s = server_start(all_public,
	    "--store.retain_events_per_topic=20", "--store.tail=64k", NULL);
	char *cursor = publish(s, "start", "0"), *foreign;
	json_t *page, *gap = NULL;

	foreign = fmt("%08x-1", (unsigned)strtoul(cursor, NULL, 16) ^ 0x5u);
	page = history(s, fmt("topic=a&after=%s", foreign));
	gap = json_object_get(page, "gap");
	ck_assert_str_eq(text_at(gap, "reason"), "reset");
	ck_assert_str_eq(text_at(gap, "requested"), foreign);
	id_seq(text_at(page, "cursor"));
	page = history(s, "topic=a&after=banana");
	ck_assert_str_eq(text_at(json_object_get(page, "gap"), "reason"),
	    "unknown");
	/* After such a gap the page is what a first visit would get. */
	ck_assert_uint_eq(count(history(s, "topic=start&after=banana")), 1);
	for (int n = 0; n < 40000; n += 1000) {
		publish_numbers(s, "a", n, 1000);
		page = history(s, fmt("topic=a&after=%s", cursor));
		gap = json_object_get(page, "gap");
		if (json_is_object(gap))
			break;
	}
	ck_assert_str_eq(text_at(gap, "reason"), "expired");
	ck_assert_str_eq(text_at(gap, "requested"), cursor);
	ck_assert_str_eq(text_at(gap, "oldest"), text_at(nth(page, 0), "id"));
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(gap,
	    "topics"), 0)), "a");
	page = history(s, fmt("topic=b&after=%s", cursor));
	ck_assert(json_is_null(json_object_get(page, "gap")));
	/* A first visit has no gap, whatever is gone. */
	page = history(s, "topic=a&limit=1000");
	ck_assert(json_is_null(json_object_get(page, "gap")));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(history_is_authorised_like_a_subscription)
{
	struct server *s = server_start("--topics.public=public/**",
	    "--topics.authenticated=user/{sub}/**", NULL);
	char *jwt = token_for(600, "**", "a/**");
	char *h = fmt(BEARER "%s\r\n", jwt);

	publish(s, "a/1", "x");
	ck_assert_int_eq(get(s, "/history?topic=public/x", "")->status, 200);
	ck_assert_int_eq(get(s, "/history?topic=a/1", h)->status, 200);
	ck_assert_int_eq(get(s, "/history?topic=user/anna/x", h)->status, 200);
	ck_assert_int_eq(get(s, fmt("/history?topic=a/1&token=%s", jwt), "")
	    ->status, 200);
	ck_assert_int_eq(get(s, "/history?topic=a/1",
	    fmt("Cookie: fanfare_token=%s\r\n", jwt))->status, 200);
	is_problem(get(s, "/history?topic=a/1", ""), 401, "token_missing", "",
	    "nobody");
	is_problem(get(s, "/history?topic=a/1&errors=event", ACCEPT_SSE), 401,
	    "token_missing", "", "history has no soft refusal");
	is_forbidden(get(s, "/history?topic=b", h), "b", "another topic");
	is_forbidden(get(s, "/history?topic=**", h), "**", "a wider pattern");
	is_problem(get(s, "/history?topic=a/1",
	    fmt(BEARER "%s\r\n", token_for(-60, NULL, "**"))), 401,
	    "token_expired", "", "an expired token");
	/* An ETag is no way in. */
	is_problem(get(s, "/history?topic=a/1", "If-None-Match: *\r\n"), 401,
	    "token_missing", "", "an ETag and no token");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const struct { const char *query, *word; } bad[] = {
	{ "", "topic" }, { "limit=5", "topic" }, { "topic=", "topic" },
	{ "topic=a/**/b", "**" }, { "topic=%00", "NUL" },
	{ "topic=%ff", "UTF-8" }, { "topic=%zz", "escape|%" },
	{ "topic=a%0a", "topic" }, { "topic=a&limit=0", "limit" },
	{ "topic=a&limit=-1", "limit" }, { "topic=a&limit=x", "limit" },
	{ "topic=a&limit=1001", "limit" }, { "topic=a&limit=1.5", "limit" },
	{ "topic=a&limit=99999999999999999999", "limit" },
	{ "topic=a&replay=x", "replay" }, { "topic=a&replay=-1", "replay" },
	{ "topic=a&replay=99999999999999999999", "replay" },
};

START_TEST(bad_queries_are_refused_by_name)
{
	struct server *s = server_start(all_public, NULL);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_problem(get(s, fmt("/history?%s", bad[i].query), ""), 400,
		    "malformed", bad[i].word, bad[i].query);
	is_problem(get(s, "/history", ""), 400, "malformed", "topic",
	    "no query");
	is_problem(get(s, "/history/", ""), 404, "not_found", "", "a slash");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_history");
	TCase *tc = harness_case(su, "history", 40);

	tcase_add_test(tc, a_page_holds_the_events_as_in_the_envelope);
	tcase_add_test(tc, an_empty_page_still_has_a_cursor);
	tcase_add_test(tc, pages_are_the_newest_oldest_first);
	tcase_add_test(tc, replay_gives_the_newest_of_each_topic);
	tcase_add_test(tc, after_walks_the_log_page_by_page);
	tcase_add_test(tc, a_cursor_leads_from_history_to_a_stream_and_back);
	tcase_add_test(tc, answers_stop_at_a_megabyte_and_the_cursor_goes_on);
	tcase_add_test(tc, an_idle_poll_is_a_304);
	tcase_add_test(tc, a_head_request_has_the_head_alone);
	tcase_add_test(tc, gaps_are_told_as_on_a_stream);
	tcase_add_test(tc, history_is_authorised_like_a_subscription);
	tcase_add_test(tc, bad_queries_are_refused_by_name);
	return su;
}

SUITE_MAIN
