/*
 * check_http_publish.c - POST /publish from outside: every form it takes, what
 * a subscriber then sees byte for byte, batches, and idempotency keys.  What
 * it must refuse is in check_http_publish_bad.c.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

#define FORM	"Content-Type: application/x-www-form-urlencoded\r\n"
#define NDJSON	"Content-Type: application/x-ndjson\r\n"
#define TEXT	"Content-Type: text/plain;charset=UTF-8\r\n"

static const char *const all_public = "--topics.public=**";

/* A live stream of everything, envelope or raw. */
static struct stream *
listen_to(struct server *s, const char *query)
{
	struct stream *st = stream_open(s, fmt("/events?%s", query), "");

	expect_live(st, false);
	return st;
}

/* ---- the forms ---- */

/* One request; then what each subscriber sees: name, data, in this order. */
static const struct form {
	const char *path, *headers, *body;
	struct { const char *name, *data; } see[4];
} forms[] = {
	/* JSON objects */
	{ "/publish", AS_JSON, "{\"topic\":\"a\",\"data\":\"Goal!\"}",
	    { { "message", "Goal!" } } },
	{ "/publish", "Content-Type: Application/JSON; charset=UTF-8\r\n",
	    " \r\n{ \"event\" : \"goal\" , \"topic\" : \"a\" , "
	    "\"data\" : 7 }\n ",
	    { { "goal", "7" } } },
	{ "/publish", AS_JSON, "{\"topic\":\"a\",\"data\":null}",
	    { { "message", "null" } } },
	{ "/publish", AS_JSON, "{\"topic\":\"a\",\"data\":false}",
	    { { "message", "false" } } },
	{ "/publish", AS_JSON, "{\"topic\":\"a\",\"data\":\"\"}",
	    { { "message", "" } } },
	{ "/publish", AS_JSON, "{\"topic\":\"a\",\"data\":{}}",
	    { { "message", "{}" } } },
	/* a name that only looks like a reserved one */
	{ "/publish", AS_JSON,
	    "{\"topic\":\"a\",\"event\":\"Open\",\"data\":\"x\"}",
	    { { "Open", "x" } } },
	{ "/publish", AS_JSON,
	    "{\"topic\":\"a\",\"event\":\"fanfares\",\"data\":\"x\"}",
	    { { "fanfares", "x" } } },
	/* escapes in names of fields */
	{ "/publish", AS_JSON, "{\"t\\u006fpic\":\"a\",\"data\":\"x\"}",
	    { { "message", "x" } } },
	/* arrays */
	{ "/publish", AS_JSON,
	    "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":2,"
	    "\"event\":\"e\"}]",
	    { { "message", "1" }, { "e", "2" } } },
	/* NDJSON, with and without a last newline, CR LF, empty lines */
	{ "/publish", NDJSON,
	    "{\"topic\":\"a\",\"data\":1}\n{\"topic\":\"a\",\"data\":2}\n",
	    { { "message", "1" }, { "message", "2" } } },
	{ "/publish", NDJSON,
	    "{\"topic\":\"a\",\"data\":1}\r\n\r\n{\"topic\":\"a\",\"data\":2}",
	    { { "message", "1" }, { "message", "2" } } },
	/* values that follow one another, whatever the label */
	{ "/publish", AS_JSON,
	    "{\"topic\":\"a\",\"data\":1}{\"topic\":\"a\",\"data\":2}",
	    { { "message", "1" }, { "message", "2" } } },
	{ "/publish", FORM, "{\"topic\":\"a\",\"data\":\"curl -d\"}",
	    { { "message", "curl -d" } } },
	{ "/publish", TEXT, "[{\"topic\":\"a\",\"data\":\"fetch\"}]",
	    { { "message", "fetch" } } },
	{ "/publish", "", "{\"topic\":\"a\",\"data\":\"no label\"}",
	    { { "message", "no label" } } },
	/* forms */
	{ "/publish", FORM, "topic=a&data=Goal%21+2%3A1&event=goal",
	    { { "goal", "Goal! 2:1" } } },
	{ "/publish", FORM, "data=%7B%22a%22%3A1%7D&topic=a",
	    { { "message", "{\"a\":1}" } } },
	{ "/publish", FORM, "topic=a&data=",
	    { { "message", "" } } },
	/* the topic in the query: the whole body is the data */
	{ "/publish?topic=a", FORM, "Goal! a=b&c=%41",
	    { { "message", "Goal! a=b&c=%41" } } },
	{ "/publish?topic=a&event=goal", TEXT, "Goal!",
	    { { "goal", "Goal!" } } },
	{ "/publish?event=goal&topic=a", "", "Goal!",
	    { { "goal", "Goal!" } } },
	{ "/publish?topic=a", "Content-Type: image/png\r\n", "not a picture",
	    { { "message", "not a picture" } } },
	{ "/publish?topic=a", AS_JSON, "{\"topic\":\"b\",\"data\":1}",
	    { { "message", "{\"topic\":\"b\",\"data\":1}" } } },
	{ "/publish?topic=a", TEXT, " two\nlines ",
	    { { "message", " two\nlines " } } },
	{ "/publish?topic=a", TEXT, "a\r\nb\rc\n",
	    { { "message", "a\nb\nc\n" } } },
	{ "/publish?topic=a", TEXT, "data: x\n\nevent: evil\ndata: y",
	    { { "message", "data: x\n\nevent: evil\ndata: y" } } },
	{ "/publish?topic=a", TEXT, "\xef\xbb\xbf" "BOM",
	    { { "message", "\xef\xbb\xbf" "BOM" } } },
	{ "/publish?topic=%61%2Fb+c", TEXT, "decoded",
	    { { "message", "decoded" } } },
	/* topics, the shorthand */
	{ "/publish", AS_JSON,
	    "{\"topics\":[\"a\",\"b\",\"c/d\"],\"data\":\"x\",\"event\":\"e\"}",
	    { { "e", "x" }, { "e", "x" }, { "e", "x" } } },
	{ "/publish", AS_JSON,
	    "[{\"topics\":[\"a\",\"b\"],\"data\":1},"
	    "{\"topic\":\"c\",\"data\":2}]",
	    { { "message", "1" }, { "message", "1" }, { "message", "2" } } },
};

START_TEST(every_form_of_publish_reaches_a_subscriber)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=**");

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const struct form *f = &forms[i];
		struct answer *a = post(s, f->path,
		    fmt(AUTH "%s", f->headers), f->body);
		int64_t before = 0;

		ck_assert_msg(a->status == 200, "%s: %d %s", f->body, a->status,
		    a->body);
		ck_assert(header_has(a, "Content-Type", "application/json"));
		for (size_t k = 0; k < 4 && f->see[k].name != NULL; k++) {
			struct event *e = expect_event(st, f->see[k].name,
			    f->see[k].data);

			ck_assert_int_gt(id_seq(e->id), before);
			before = id_seq(e->id);
		}
	}
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* `data` in the request -> the bytes on the stream. */
static const struct { const char *sent, *seen; } spellings[] = {
	{ "1.0e5", "1.0e5" },
	{ "1E+05", "1E+05" },
	{ "1e400", "1e400" },
	{ "-0", "-0" },
	{ "-0.0", "-0.0" },
	{ "123456789012345678901234567890", "123456789012345678901234567890" },
	{ "0.1000000000000000055511151231257827",
	    "0.1000000000000000055511151231257827" },
	{ "{\"z\":1,\"a\":2,\"m\":3}", "{\"z\":1,\"a\":2,\"m\":3}" },
	{ "{ \"b\" : [ 1 ,\t2.50 , { } , [ ] ] ,\r\n \"a\" : \" k e p t \" }",
	    "{\"b\":[1,2.50,{},[]],\"a\":\" k e p t \"}" },
	/* within JSON nothing is decoded ... */
	{ "[\"\\u00e9\\/\\ud83d\\ude00\\u2028\"]",
	    "[\"\\u00e9\\/\\ud83d\\ude00\\u2028\"]" },
	{ "[\"\\\\ \\\" x\"]", "[\"\\\\ \\\" x\"]" },
	{ "[\"a\\nb\"]", "[\"a\\nb\"]" },
	/* ... and a string goes out as its text */
	{ "\"\\u00e9 \\/ \\ud83d\\ude00\"", "\xc3\xa9 / \xf0\x9f\x98\x80" },
	{ "\"tab\\tquote\\\"back\\\\\"", "tab\tquote\"back\\" },
	{ "\"one\\ntwo\\r\\nthree\\rfour\"", "one\ntwo\nthree\nfour" },
	{ "\"\\n\"", "\n" },
	{ "\"{\\\"a\\\": 1}\"", "{\"a\": 1}" },
	{ "\"\xe2\x80\xa8\"", "\xe2\x80\xa8" },
	{ "true", "true" },
	{ "[]", "[]" },
};

START_TEST(data_goes_out_as_it_was_published)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=a");

	for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
		publish_json(s, fmt("{\"topic\":\"a\",\"data\": %s }",
		    spellings[i].sent));
		expect_event(st, "message", spellings[i].seen);
	}
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(an_envelope_keeps_the_type_and_the_spelling)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=a/**&format=envelope");
	struct event *e;
	const char *id;

	id = text_at(publish_json(s, "{\"topic\":\"a/\\\"\",\"event\":\"goal\","
	    "\"data\":{ \"n\": 1.0e5, \"big\":"
	    "123456789012345678901234567890 }}"), "id");
	e = stream_next(st, SOON);
	ck_assert_ptr_nonnull(e);
	ck_assert_str_eq(e->id, id);
	ck_assert_msg(!e->named, "an event: line in the envelope format");
	ck_assert_msg(strstr(e->data, fmt("{\"id\":\"%s\",\"topic\":"
	    "\"a/\\\"\",\"event\":\"goal\",\"time\":\"2", id)) == e->data,
	    "%s", e->data);
	ck_assert_msg(strstr(e->data, "\"data\":{\"n\":1.0e5,\"big\":"
	    "123456789012345678901234567890}}") != NULL, "%s", e->data);
	publish_json(s, "{\"topic\":\"a\",\"data\":\"5\"}");
	e = stream_next(st, SOON);
	ck_assert_ptr_nonnull(e);
	ck_assert_msg(strstr(e->data, "\"data\":\"5\"") != NULL, "%s", e->data);
	ck_assert_msg(strstr(e->data, "\"event\":null") != NULL, "%s", e->data);
	publish_json(s, "{\"topic\":\"a\",\"data\":5}");
	e = stream_next(st, SOON);
	ck_assert_ptr_nonnull(e);
	ck_assert_msg(strstr(e->data, "\"data\":5}") != NULL, "%s", e->data);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(the_answer_has_the_id_and_counts_the_streams)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *one = listen_to(s, "topic=a");
	json_t *j, *ids;

	listen_to(s, "topic=*");
	listen_to(s, "topic=b");
	j = publish_json(s, "{\"topic\":\"a\",\"data\":1}");
	ck_assert_str_eq(expect_event(one, "message", "1")->id,
	    text_at(j, "id"));
	ck_assert_int_eq(json_integer_value(json_object_get(j, "subscribers")),
	    2);
	ck_assert_ptr_null(json_object_get(j, "duplicate"));
	/* An array is a batch, also when it holds one. */
	j = publish_json(s, "[{\"topic\":\"a\",\"data\":2}]");
	ids = json_object_get(j, "ids");
	ck_assert_uint_eq(json_array_size(ids), 1);
	ck_assert_str_eq(expect_event(one, "message", "2")->id,
	    json_string_value(json_array_get(ids, 0)));
	j = publish_json(s, "{\"topics\":[\"a\",\"x\"],\"data\":3}");
	ck_assert_uint_eq(json_array_size(json_object_get(j, "ids")), 2);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_batch_of_a_thousand_is_one_answer_in_order)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=a");
	char *body = keep(malloc(64000), free), *p = body;
	json_t *ids;

	for (int i = 0; i < 1000; i++)
		p += sprintf(p, "{\"topic\":\"a\",\"data\":%d}\n", i);
	ids = json_object_get(body_json(post(s, "/publish", AUTH NDJSON, body)),
	    "ids");
	ck_assert_uint_eq(json_array_size(ids), 1000);
	for (int i = 0; i < 1000; i++)
		ck_assert_str_eq(expect_event(st, "message", fmt("%d", i))->id,
		    json_string_value(json_array_get(ids, (size_t)i)));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(one_bad_event_in_a_batch_stores_none)
{
	static const char *const bad[] = {
		"{\"topic\":\"a/*\",\"data\":1}", "{\"topic\":\"a\"}",
		"{\"data\":1}", "{\"topic\":\"a\",\"data\":1,\"x\":1}", "17",
		"{\"topic\":\"a\",\"data\":1,\"event\":\"error\"}",
		"{\"topic\":\"a\",\"data\":tru}",
	};
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=**");
	char *before = fmt("%s", text_at(history(s, "topic=**"), "cursor"));

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct answer *a = post(s, "/publish", AUTH AS_JSON,
		    fmt("[{\"topic\":\"a\",\"data\":0},%s,"
		    "{\"topic\":\"a\",\"data\":2}]", bad[i]));
		ck_assert_msg(a->status == 400, "%s: %d", bad[i], a->status);
		a = post(s, "/publish", AUTH NDJSON,
		    fmt("{\"topic\":\"a\",\"data\":0}\n%s\n"
		    "{\"topic\":\"a\",\"data\":2}\n", bad[i]));
		ck_assert_msg(a->status == 400, "%s: %d", bad[i], a->status);
	}
	ck_assert_str_eq(text_at(history(s, "topic=**"), "cursor"), before);
	publish(s, "a", "the first");
	expect_event(st, "message", "the first");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_body_in_chunks_and_a_kept_connection_work)
{
	static const char chunked[] =
	    "POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH
	    "Transfer-Encoding: chunked\r\n\r\n"
	    "3\r\nGoa\r\n2;x=y\r\nl!\r\n0\r\n\r\n";
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=a");
	struct http *h = http_open(s);

	for (int i = 0; i < 3; i++) {
		struct answer *a;

		/* The last on its connection: see http_judge.c. */
		if (i < 2)
			ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a",
			    AUTH, "Goal!", 5), 0);
		else
			ck_assert_int_eq(try_http_write(h, chunked,
			    sizeof chunked - 1), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		ck_assert_int_eq(header_has(a, "Connection", "close"), i == 2);
		answer_free(a);
		expect_event(st, "message", "Goal!");
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(events_up_to_the_limit_are_taken)
{
	struct server *s = server_start(all_public, "--server.max_event=4k",
	    "--server.max_body=16k", NULL);
	struct stream *st = listen_to(s, "topic=a");
	char *big = repeat("x", 3900);

	publish(s, "a", big);
	expect_event(st, "message", big);
	is_problem(post(s, "/publish?topic=a", AUTH, repeat("x", 4200)), 413,
	    "too_large", "event", "an event beyond max_event");
	is_problem(post(s, "/publish?topic=a", AUTH, repeat("x", 17000)), 413,
	    "too_large", "body", "a body beyond max_body");
	ck_assert(stream_quiet(st, 200));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- idempotency ---- */

#define KEYED(key, data) "{\"topic\":\"a\",\"data\":" data \
	",\"idempotency_key\":\"" key "\"}"

static bool
is_duplicate(json_t *j)
{
	return json_is_true(json_object_get(j, "duplicate"));
}

START_TEST(the_same_key_and_content_store_once)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = listen_to(s, "topic=**");
	json_t *first, *again;
	struct answer *a;

	/* in the field */
	first = publish_json(s, KEYED("k1", "1"));
	again = publish_json(s, KEYED("k1", "1"));
	ck_assert(!is_duplicate(first));
	ck_assert(is_duplicate(again));
	ck_assert_str_eq(text_at(first, "id"), text_at(again, "id"));
	expect_event(st, "message", "1");
	/* in the header; and the two are the same key */
	a = post(s, "/publish", AUTH AS_JSON "Idempotency-Key: k1\r\n",
	    "{\"topic\":\"a\",\"data\":1}");
	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(text_at(body_json(a), "id"), text_at(first, "id"));
	a = post(s, "/publish?topic=b", AUTH "Idempotency-Key: k2\r\n", "x");
	ck_assert_int_eq(a->status, 200);
	ck_assert(!is_duplicate(body_json(a)));
	ck_assert(is_duplicate(body_json(post(s, "/publish?topic=b",
	    AUTH "Idempotency-Key: k2\r\n", "x"))));
	expect_event(st, "message", "x");
	ck_assert(stream_quiet(st, 200));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(the_same_key_with_other_content_is_a_conflict)
{
	static const char *const other[] = {
		KEYED("k", "2"), KEYED("k", "\"1\""),
		"{\"topic\":\"b\",\"data\":1,\"idempotency_key\":\"k\"}",
		("{\"topic\":\"a\",\"data\":1,\"event\":\"e\","
		    "\"idempotency_key\":\"k\"}"),
	};
	struct server *s = server_start(all_public, NULL);
	char *head;

	publish_json(s, KEYED("k", "1"));
	head = fmt("%s", text_at(history(s, "topic=**"), "cursor"));
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		is_problem(post(s, "/publish", AUTH AS_JSON, other[i]), 409,
		    "idempotency_conflict", "key", other[i]);
	ck_assert_str_eq(text_at(history(s, "topic=**"), "cursor"), head);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(another_credential_has_its_own_keys)
{
	struct server *s = server_start(all_public, NULL);
	char *jwt = token_for(600, "**", NULL);
	json_t *one = publish_json(s, KEYED("k", "1")), *two;
	struct answer *a = post(s, "/publish",
	    fmt(BEARER "%s\r\n" AS_JSON, jwt), KEYED("k", "2"));

	ck_assert_int_eq(a->status, 200);
	two = body_json(a);
	ck_assert(!is_duplicate(two));
	ck_assert_str_ne(text_at(one, "id"), text_at(two, "id"));
	/* A fresh token of the same subject is the same credential. */
	jwt = token_for(700, "**", NULL);
	a = post(s, "/publish", fmt(BEARER "%s\r\n" AS_JSON, jwt),
	    KEYED("k", "2"));
	ck_assert_int_eq(a->status, 200);
	ck_assert(is_duplicate(body_json(a)));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const struct { const char *headers, *body; size_t n; } batches[] = {
	{ "Idempotency-Key: b1\r\n",
	    "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":2}]", 2 },
	{ "Idempotency-Key: b2\r\n",
	    "{\"topic\":\"a\",\"data\":1}\n{\"topic\":\"b\",\"data\":2}", 2 },
	{ "Idempotency-Key: b3\r\n",
	    "{\"topics\":[\"a\",\"b\",\"c\"],\"data\":1}", 3 },
	{ "", "{\"topics\":[\"a\",\"b\",\"c\"],\"data\":1,"
	    "\"idempotency_key\":\"b4\"}", 3 },
};

START_TEST(a_key_on_a_batch_covers_the_batch)
{
	struct server *s = server_start(all_public, NULL);

	for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
		char *headers = fmt(AUTH AS_JSON "%s", batches[i].headers);
		struct answer *one = post(s, "/publish", headers,
		    batches[i].body);
		struct answer *two;
		char *head = fmt("%s", text_at(history(s, "topic=**"),
		    "cursor"));

		ck_assert_msg(one->status == 200, "%s: %s", batches[i].body,
		    one->body);
		two = post(s, "/publish", headers, batches[i].body);
		ck_assert_msg(two->status == 200, "%s: %s", batches[i].body,
		    two->body);
		ck_assert_uint_eq(json_array_size(json_object_get(
		    body_json(one), "ids")), batches[i].n);
		ck_assert_msg(json_equal(json_object_get(body_json(one), "ids"),
		    json_object_get(body_json(two), "ids")), "%s then %s",
		    one->body, two->body);
		ck_assert_msg(is_duplicate(body_json(two)), "%s", two->body);
		ck_assert_str_eq(text_at(history(s, "topic=**"), "cursor"),
		    head);
	}
	is_problem(post(s, "/publish", AUTH AS_JSON "Idempotency-Key: b1\r\n",
	    "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":3}]"), 409,
	    "idempotency_conflict", "key", "another batch");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(keys_survive_kill_and_restart)
{
	struct server *s = server_start(all_public, NULL);
	char *id = fmt("%s", text_at(publish_json(s, KEYED("k", "1")), "id"));
	struct answer *a;
	json_t *j;

	server_kill(s);
	server_restart(s);
	j = publish_json(s, KEYED("k", "1"));
	ck_assert(is_duplicate(j));
	ck_assert_str_eq(text_at(j, "id"), id);
	a = post(s, "/publish", AUTH AS_JSON, KEYED("k", "3"));
	ck_assert_int_eq(a->status, 409);
	ck_assert_uint_eq(json_array_size(json_object_get(
	    history(s, "topic=a"), "events")), 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The answer is lost on the way; the key makes the repetition safe. */
START_TEST(D8_a_repeated_publish_after_a_cut_connection_stores_once)
{
	struct server *s = server_start(all_public, NULL);
	int cuts = 200;
	json_t *events;

	for (int i = 0; i < cuts; i++) {
		struct http *h = http_open(s);
		char *body = fmt("{\"topic\":\"a\",\"data\":%d,"
		    "\"idempotency_key\":\"k%d\"}", i, i);
		struct answer *a = NULL;

		ck_assert_int_eq(try_http_send(h, "POST", "/publish",
		    AUTH AS_JSON, body, strlen(body)), 0);
		if (dice(2))
			a = try_http_receive(h, (int)dice(2));
		answer_free(a);
		http_close(h);
		publish_json(s, body);
	}
	events = json_object_get(history(s, "topic=a&limit=1000"), "events");
	ck_assert_int_eq((int)json_array_size(events), cuts);
	for (int i = 0; i < cuts; i++)
		ck_assert_int_eq(json_integer_value(json_object_get(
		    json_array_get(events, (size_t)i), "data")), i);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_publish");
	TCase *tc = harness_case(su, "forms", 30);

	tcase_add_test(tc, every_form_of_publish_reaches_a_subscriber);
	tcase_add_test(tc, data_goes_out_as_it_was_published);
	tcase_add_test(tc, an_envelope_keeps_the_type_and_the_spelling);
	tcase_add_test(tc, the_answer_has_the_id_and_counts_the_streams);
	tcase_add_test(tc, a_batch_of_a_thousand_is_one_answer_in_order);
	tcase_add_test(tc, one_bad_event_in_a_batch_stores_none);
	tcase_add_test(tc, a_body_in_chunks_and_a_kept_connection_work);
	tcase_add_test(tc, events_up_to_the_limit_are_taken);
	tc = harness_case(su, "idempotency", 60);
	tcase_add_test(tc, the_same_key_and_content_store_once);
	tcase_add_test(tc, the_same_key_with_other_content_is_a_conflict);
	tcase_add_test(tc, another_credential_has_its_own_keys);
	tcase_add_test(tc, a_key_on_a_batch_covers_the_batch);
	tcase_add_test(tc, keys_survive_kill_and_restart);
	tcase_add_test(tc,
	    D8_a_repeated_publish_after_a_cut_connection_stores_once);
	return su;
}

SUITE_MAIN
