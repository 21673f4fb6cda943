/*
 * check_http_publish_bad.c - what POST /publish must refuse: a table of
 * requests with the exact status, the exact code, and a word that the detail
 * must hold so that its reader knows what to mend.  After each row nothing is
 * stored and the server still answers.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

#define FORM	"Content-Type: application/x-www-form-urlencoded\r\n"
#define NDJSON	"Content-Type: application/x-ndjson\r\n"
#define TEXT	"Content-Type: text/plain\r\n"
#define NARROW_KEY "ffk_narrow0123456789abcdefghijklmnopqrstuvwxyzAB"
#define NARROW	BEARER NARROW_KEY "\r\n"
#define ONE	"{\"topic\":\"a\",\"data\":1}"

struct row {
	const char *headers, *body;
	const char *word;	/* in the detail; alternatives by | */
};

struct request {
	const char *method, *path, *headers, *body;
	int status;
	const char *code, *word;
};

/* POST /publish with the API key, 400 malformed. */
static const struct row malformed[] = {
	/* what is missing */
	{ AS_JSON, "{\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"a\"}", "data" },
	{ AS_JSON, "{}", "topic|data" },
	{ AS_JSON, "", "empty|no event|body" },
	{ AS_JSON, "  \r\n ", "empty|no event|body" },
	{ AS_JSON, "[]", "empty|no event|at least" },
	{ NDJSON, "\n\n", "empty|no event|body" },
	{ FORM, "data=x", "topic" },
	{ FORM, "topic=a", "data" },
	{ FORM, "topic=a&event=x", "data" },
	/* fields that are not, or not yet */
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"id\":\"x\"}",
	    "idempotency_key" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"titel\":\"x\"}", "titel" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"Topic\":\"b\"}", "Topic" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"\":2}", "field" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"key\":\"x\"}",
	    "'key'|\"key\"|`key`|key is" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"version\":1}", "version" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"ttl\":5}", "ttl" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"retry\":5}", "retry" },
	{ FORM, "topic=a&data=x&titel=y", "titel" },
	{ FORM, "topic=a&data=x&id=y", "idempotency_key" },
	/* wrong types */
	{ AS_JSON, "{\"topic\":1,\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":null,\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":[\"a\"],\"data\":1}", "topic" },
	{ AS_JSON, "{\"topics\":\"a\",\"data\":1}", "topics" },
	{ AS_JSON, "{\"topics\":[],\"data\":1}", "topics" },
	{ AS_JSON, "{\"topics\":[\"a\",2],\"data\":1}", "topics" },
	{ AS_JSON, "{\"topics\":{\"a\":1},\"data\":1}", "topics" },
	{ AS_JSON, "{\"topic\":\"a\",\"topics\":[\"b\"],\"data\":1}",
	    "topics" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":7}", "event" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":[\"x\"]}", "event" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"idempotency_key\":7}",
	    "idempotency_key" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"idempotency_key\":{}}",
	    "idempotency_key" },
	{ AS_JSON, "\"hello\"", "object" },
	{ AS_JSON, "17", "object" },
	{ AS_JSON, "null", "object" },
	{ AS_JSON, "[1]", "object" },
	{ AS_JSON, "[[" ONE "]]", "object" },
	{ NDJSON, ONE "\n17\n", "object" },
	/* topics that are none */
	{ AS_JSON, "{\"topic\":\"\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"scores/*\",\"data\":1}", "pattern" },
	{ AS_JSON, "{\"topic\":\"scores/**\",\"data\":1}", "pattern" },
	{ AS_JSON, "{\"topic\":\"*\",\"data\":1}", "pattern" },
	{ AS_JSON, "{\"topic\":\"a/*/b\",\"data\":1}", "pattern" },
	{ AS_JSON, "{\"topic\":\"a/**/b\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topics\":[\"a\",\"b/*\"],\"data\":1}", "pattern" },
	{ AS_JSON, "{\"topic\":\"a\\u0001\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"a\\n\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"a\\u0000b\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"a\x7f\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"\\ud800\",\"data\":1}",
	    "surrogate|JSON|topic" },
	{ FORM, "topic=a%00b&data=x", "NUL" },
	{ FORM, "topic=a%0ab&data=x", "topic" },
	{ FORM, "topic=b/*&data=x", "pattern" },
	/* names of events */
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"fanfare.live\"}",
	    "fanfare." },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"fanfare.\"}",
	    "fanfare." },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"open\"}", "open" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"error\"}",
	    "error" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"a\\nb\"}",
	    "event" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"a\\rb\"}",
	    "event" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"event\":\"a\\u0000b\"}",
	    "event" },
	{ FORM, "topic=a&data=x&event=error", "error" },
	{ FORM, "topic=a&data=x&event=a%0D%0Adata:+y", "event" },
	/* data that cannot travel */
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"a\\u0000b\"}", "NUL" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\\ud83d\"}",
	    "surrogate|JSON|data" },
	{ FORM, "topic=a&data=%00", "NUL" },
	{ FORM, "topic=a&data=%ff", "UTF-8" },
	{ FORM, "topic=a&data=%zz", "escape|%" },
	{ FORM, "topic=a&data=%4", "escape|%" },
	/* JSON that is none */
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":01}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1.}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":+1}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":NaN}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":'x'}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,}", "JSON" },
	{ AS_JSON, "{topic:\"a\",\"data\":1}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\" \"data\":1}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"a\nb\"}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\\x\"}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\\u12g4\"}", "JSON" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\xff\"}", "UTF-8" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\xc0\x80\"}", "UTF-8" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\xed\xa0\x80\"}", "UTF-8" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":\"\xf4\x90\x80\x80\"}", "UTF-8" },
	{ AS_JSON, "{\"topic\":\"a\xff\",\"data\":1}", "UTF-8" },
	{ AS_JSON, ONE " x", "JSON|follows" },
	{ AS_JSON, ONE ",", "JSON|follows" },
	{ AS_JSON, "[" ONE "]]", "JSON|follows" },
	{ AS_JSON, "[" ONE "]" ONE, "JSON|follows" },
	{ AS_JSON, "[" ONE "," ONE, "JSON" },
	{ AS_JSON, "[" ONE ",]", "JSON" },
	{ NDJSON, ONE "\n{\"topic\":\"a\",\n", "JSON" },
	{ AS_JSON, "\xef\xbb\xbf" ONE, "JSON|byte order" },
	/* the same field twice */
	{ AS_JSON, "{\"topic\":\"a\",\"topic\":\"b\",\"data\":1}", "topic" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"data\":2}", "data" },
	{ AS_JSON, "{\"topic\":\"a\",\"data\":1,\"d\\u0061ta\":2}", "data" },
	/* keys */
	{ AS_JSON "Idempotency-Key: a\r\n",
	    "{\"topic\":\"a\",\"data\":1,\"idempotency_key\":\"b\"}",
	    "idempotency" },
	{ AS_JSON, "[{\"topic\":\"a\",\"data\":1,\"idempotency_key\":\"x\"}]",
	    "Idempotency-Key" },
};

/* Everything else. */
static const struct request requests[] = {
	/* the query */
	{ "POST", "/publish?topic=", AUTH TEXT, "x", 400, "malformed",
	    "topic" },
	{ "POST", "/publish?topic=a/*", AUTH TEXT, "x", 400, "malformed",
	    "pattern" },
	{ "POST", "/publish?topic=%00", AUTH TEXT, "x", 400, "malformed",
	    "NUL" },
	{ "POST", "/publish?topic=a%0a", AUTH TEXT, "x", 400, "malformed",
	    "topic" },
	{ "POST", "/publish?topic=%ff", AUTH TEXT, "x", 400, "malformed",
	    "UTF-8" },
	{ "POST", "/publish?topic=%c0%af", AUTH TEXT, "x", 400, "malformed",
	    "UTF-8" },
	{ "POST", "/publish?topic=%zz", AUTH TEXT, "x", 400, "malformed",
	    "escape|%" },
	{ "POST", "/publish?topic=a&event=error", AUTH TEXT, "x", 400,
	    "malformed", "error" },
	{ "POST", "/publish?topic=a&event=fanfare.x", AUTH TEXT, "x", 400,
	    "malformed", "fanfare." },
	{ "POST", "/publish?topic=a&event=a%0Ab", AUTH TEXT, "x", 400,
	    "malformed", "event" },
	{ "POST", "/publish?topic=a", AUTH TEXT, "a\xff", 400, "malformed",
	    "UTF-8" },
	{ "POST", "/publish?topic=a", AUTH TEXT, "\xed\xb0\x80", 400,
	    "malformed", "UTF-8" },
	/* types */
	{ "POST", "/publish", AUTH TEXT, "hello", 415,
	    "unsupported_media_type", "application/json" },
	{ "POST", "/publish", AUTH "Content-Type: image/png\r\n", "hello", 415,
	    "unsupported_media_type", "application/json" },
	{ "POST", "/publish", AUTH, "hello", 415, "unsupported_media_type",
	    "application/json" },
	{ "POST", "/publish", AUTH "Content-Type: multipart/form-data; "
	    "boundary=x\r\n", "--x\r\n", 415, "unsupported_media_type",
	    "application/json" },
	{ "POST", "/publish", AUTH "Content-Type: application/jsonx\r\n",
	    "hello", 415, "unsupported_media_type", "application/json" },
	/* nobody */
	{ "POST", "/publish", AS_JSON, ONE, 401, "token_missing",
	    "Authorization" },
	{ "POST", "/publish", AS_JSON BEARER "\r\n", ONE, 401, "token_missing",
	    "Authorization" },
	{ "POST", "/publish", AS_JSON "Authorization: Basic eDp5\r\n", ONE, 401,
	    "token_missing", "Authorization" },
	{ "POST", "/publish", AS_JSON "X-Api-Key: " API_KEY "\r\n", ONE, 401,
	    "token_missing", "Authorization" },
	{ "POST", "/publish?topic=a", TEXT, "x", 401, "token_missing",
	    "Authorization" },
	{ "POST", "/publish", TEXT, "hello", 401, "token_missing",
	    "Authorization" },
	/* somebody wrong */
	{ "POST", "/publish", AS_JSON BEARER "x\r\n", ONE, 401,
	    "token_invalid", "token|key|credential" },
	{ "POST", "/publish", AS_JSON BEARER "a.b.c\r\n", ONE, 401,
	    "token_invalid", "token|key|credential" },
	{ "POST", "/publish", AS_JSON BEARER API_KEY "x\r\n", ONE, 401,
	    "token_invalid", "token|key|credential" },
	{ "POST", "/publish", AS_JSON BEARER "ffk_\r\n", ONE, 401,
	    "token_invalid", "token|key|credential" },
	{ "POST", "/publish", AS_JSON BEARER "test\r\n", ONE, 401,
	    "token_invalid", "token|key|credential" },
	/* nowhere */
	{ "POST", "/", AUTH AS_JSON, ONE, 404, "not_found", "" },
	{ "POST", "/publish/", AUTH AS_JSON, ONE, 404, "not_found", "" },
	{ "POST", "/Publish", AUTH AS_JSON, ONE, 404, "not_found", "" },
	{ "POST", "//publish", AUTH AS_JSON, ONE, 404, "not_found", "" },
	{ "POST", "/publish%00", AUTH AS_JSON, ONE, 404, "not_found", "" },
	{ "GET", "/metrics", AUTH, NULL, 404, "not_found", "" },
	{ "GET", "/stats", "", NULL, 401, "token_missing", "" },
	{ "GET", "/../etc/passwd", AUTH, NULL, 404, "not_found", "" },
};

/* Method, path, and what Allow must name. */
static const struct { const char *method, *path, *allow; } methods[] = {
	{ "GET", "/publish", "POST" }, { "PUT", "/publish", "POST" },
	{ "DELETE", "/publish", "POST" }, { "PATCH", "/publish", "POST" },
	{ "HEAD", "/publish", "POST" }, { "POST", "/events", "GET" },
	{ "HEAD", "/events", "GET" }, { "PUT", "/events", "GET" },
	{ "POST", "/history", "GET" }, { "DELETE", "/history", "GET" },
	{ "POST", "/healthz", "GET" },
};

static struct server *s;
static char *head;

/* Nothing was stored, and it is alive. */
static void
nothing_happened(const char *what)
{
	json_t *j = history(s, "topic=**");

	ck_assert_msg(json_array_size(json_object_get(j, "events")) == 0 &&
	    strcmp(text_at(j, "cursor"), head) == 0, "stored by %s", what);
}

static void
begin(const char *option)
{
	s = server_start("--server.cors_origins=https://app.example", option,
	    NULL);
	head = fmt("%s", text_at(history(s, "topic=**"), "cursor"));
}

static void
end(void)
{
	publish(s, "a", "still alive");
	ck_assert_uint_eq(json_array_size(json_object_get(
	    history(s, "topic=**"), "events")), 1);
	ck_assert_int_eq(server_stop(s), 0);
}

/* E4, among others. */
START_TEST(malformed_publishes_are_refused_with_what_to_mend)
{
	begin(NULL);
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
		const struct row *r = &malformed[i];

		is_problem(post(s, "/publish", fmt(AUTH "%s", r->headers),
		    r->body), 400, "malformed", r->word, r->body);
		nothing_happened(r->body);
	}
	end();
}
END_TEST

START_TEST(wrong_requests_are_refused_each_with_its_code)
{
	begin(NULL);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		const struct request *r = &requests[i];
		char *what = fmt("%s %s %s %s", r->method, r->path, r->headers,
		    r->body ? r->body : "");

		is_problem(ask(s, r->method, r->path, r->headers, r->body,
		    r->body ? strlen(r->body) : 0), r->status, r->code, r->word,
		    what);
		nothing_happened(what);
	}
	end();
}
END_TEST

START_TEST(a_wrong_method_is_told_the_right_ones)
{
	begin(NULL);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		char *what = fmt("%s %s", methods[i].method, methods[i].path);
		struct answer *a = ask(s, methods[i].method, methods[i].path,
		    AUTH AS_JSON, ONE, strlen(ONE));

		is_problem(a, 405, "method_not_allowed", methods[i].method,
		    what);
		ck_assert_msg(header_has(a, "Allow", methods[i].allow),
		    "%s: Allow: %s", what, header(a, "Allow"));
		ck_assert_msg(!header_has(a, "Allow", methods[i].method),
		    "%s: Allow: %s", what, header(a, "Allow"));
		nothing_happened(what);
	}
	end();
}
END_TEST

START_TEST(long_bodies_names_and_batches_are_refused)
{
	char *k64 = repeat("x", 65536 + 1024), *nest, *many;
	struct answer *a;

	begin(NULL);
	is_problem(post(s, "/publish?topic=a", AUTH TEXT, k64), 413,
	    "too_large", "event", "an event of 65 kB as text");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topic\":\"a\",\"data\":\"%s\"}", k64)), 413, "too_large",
	    "event", "an event of 65 kB as JSON");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("[" ONE ",{\"topic\":\"a\",\"data\":\"%s\"}]", k64)), 413,
	    "too_large", "event", "an event of 65 kB in a batch");
	nothing_happened("a large event");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("[\"%s\"]", repeat("x", 1 << 20))), 413, "too_large", "body",
	    "a body of 1 MB and four bytes");
	nothing_happened("a large body");
	many = repeat(ONE "\n", 1001);
	is_problem(post(s, "/publish", AUTH NDJSON, many), 400, "malformed",
	    "1000|1,000", "a batch of 1,001");
	nothing_happened("a batch of 1,001");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topics\":[%s\"a\"],\"data\":1}", repeat("\"a\",", 1000))),
	    400, "malformed", "1000|1,000", "1,001 topics");
	nothing_happened("1,001 topics");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topic\":\"%s\",\"data\":1}", repeat("t", 1025))), 400,
	    "malformed", "topic", "a topic of 1,025 bytes");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topic\":\"a\",\"data\":1,\"event\":\"%s\"}",
	    repeat("e", 129))), 400, "malformed", "event",
	    "an event name of 129 bytes");
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topic\":\"a\",\"data\":1,\"idempotency_key\":\"%s\"}",
	    repeat("k", 257))), 400, "malformed", "idempotency",
	    "a key of 257 bytes");
	is_problem(post(s, "/publish",
	    fmt(AUTH AS_JSON "Idempotency-Key: %s\r\n", repeat("k", 257)), ONE),
	    400, "malformed", "idempotency", "a key header of 257 bytes");
	nest = fmt("%s%s", repeat("[", 200), repeat("]", 200));
	is_problem(post(s, "/publish", AUTH AS_JSON,
	    fmt("{\"topic\":\"a\",\"data\":%s}", nest)), 400, "malformed",
	    "deep|nest", "200 levels");
	is_problem(post(s, "/publish", AUTH AS_JSON, repeat("[", 100000)), 400,
	    "malformed", "deep|nest|JSON", "100,000 brackets");
	nothing_happened("deep JSON");
	/* Told by the length alone, before a byte of the body came. */
	a = ask(s, "POST", "/publish?topic=a",
	    AUTH "Content-Length: 99999999999\r\n", NULL, 0);
	is_problem(a, 413, "too_large", "body", "a length of 100 GB");
	nothing_happened("a length of 100 GB");
	end();
}
END_TEST

START_TEST(a_body_that_grows_in_chunks_is_cut_off)
{
	char *piece = fmt("10000\r\n%s\r\n", repeat("x", 65536));
	struct answer *a;
	struct http *h;

	begin(NULL);
	h = http_open(s);
	ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a",
	    AUTH "Transfer-Encoding: chunked\r\n", NULL, 0), 0);
	for (int i = 0; i < 40; i++)
		if (try_http_write(h, piece, strlen(piece)) == -1)
			break;
	(void)try_http_write(h, "0\r\n\r\n", 5);
	a = try_http_receive(h, SOON);
	ck_assert_ptr_nonnull(a);
	is_problem(a, 413, "too_large", "body", "2.5 MB in chunks");
	answer_free(a);
	nothing_happened("2.5 MB in chunks");
	end();
}
END_TEST

static void
refuse_token(const char *jwt, const char *code, const char *what)
{
	is_problem(post(s, "/publish", fmt(AS_JSON BEARER "%s\r\n", jwt), ONE),
	    401, code, "token|key|credential", what);
	nothing_happened(what);
}

START_TEST(wrong_tokens_do_not_publish)
{
	char *good = token_for(600, "**", "**"), *cut, *sig;
	long long now = (long long)wall_s();
	const char *grant = "\"fanfare\":{\"publish\":[\"**\"]}";

	begin("--auth.grace=1h");
	refuse_token(token_for(-60, "**", "**"), "token_expired", "expired");
	refuse_token(token("another-secret-of-32-bytes-or-more",
	    fmt("{\"exp\":%lld,%s}", now + 600, grant)), "token_invalid",
	    "a foreign key");
	refuse_token(token(HOUSE_KEY, fmt("{%s}", grant)), "token_invalid",
	    "no exp");
	refuse_token(token(HOUSE_KEY, fmt("{\"exp\":\"%lld\",%s}", now + 600,
	    grant)), "token_invalid", "exp as text");
	refuse_token(token(HOUSE_KEY, fmt("{\"exp\":%lld,\"nbf\":%lld,%s}",
	    now + 600, now + 300, grant)), "token_invalid", "not yet");
	cut = fmt("%s", good);
	sig = strrchr(cut, '.');
	sig[1] = sig[1] == 'A' ? 'B' : 'A';
	refuse_token(cut, "token_invalid", "a flipped signature");
	sig[1] = '\0';
	refuse_token(cut, "token_invalid", "no signature");
	*sig = '\0';
	refuse_token(cut, "token_invalid", "two segments");
	refuse_token(fmt("eyJhbGciOiJub25lIn0.%s.", strchr(cut, '.') + 1),
	    "token_invalid", "alg none");
	refuse_token(fmt("%s.x", good), "token_invalid", "four segments");
	refuse_token(repeat("x", 9000), "token_invalid", "9 kB of x");
	ck_assert_int_eq(post(s, "/publish", fmt(AS_JSON BEARER "%s\r\n", good),
	    "{\"topic\":\"a\",\"data\":1}")->status, 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(only_the_authorization_header_authorises_a_publish)
{
	static const char *const carriers[] = {
		"Cookie: fanfare_token=%s\r\n", "Cookie: token=%s\r\n",
		"Authorization: Token %s\r\n", "Authorization: Basic %s\r\n",
		"X-Authorization: Bearer %s\r\n",
	};
	char *jwt = token_for(600, "**", "**");
	const char *who[] = { jwt, API_KEY };
	size_t n = sizeof carriers / sizeof *carriers;

	begin(NULL);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < n; i++) {
			const char *pct = strstr(carriers[i], "%s");
			char *h = fmt("%.*s%s\r\n", (int)(pct - carriers[i]),
			    carriers[i], who[k]);

			is_problem(post(s, "/publish", fmt(AS_JSON "%s", h),
			    ONE), 401, "token_missing", "Authorization", h);
			nothing_happened(h);
		}
		is_problem(post(s, fmt("/publish?topic=a&token=%s", who[k]),
		    TEXT, "x"), 401, "token_missing", "Authorization",
		    "a token in the query");
		is_problem(post(s, fmt("/publish?access_token=%s", who[k]),
		    AS_JSON, ONE), 401, "token_missing", "Authorization",
		    "access_token in the query");
		is_problem(post(s, "/publish", FORM,
		    fmt("topic=a&data=x&token=%s", who[k])), 401,
		    "token_missing", "Authorization", "a token in the form");
		nothing_happened("a token in a query or form");
	}
	/* A wrong header is not healed by a good cookie. */
	is_problem(post(s, "/publish", fmt(AS_JSON BEARER "x\r\n"
	    "Cookie: fanfare_token=%s\r\n", jwt), ONE), 401, "token_invalid",
	    "token|key|credential", "a good cookie beside a bad header");
	end();
}
END_TEST

START_TEST(a_topic_that_is_not_granted_is_named)
{
	static const char narrow[] = "# one line each\n"
	    "narrow:" NARROW_KEY ":a/** c/*\n";
	static const struct { const char *grant, *body, *topic; } rows[] = {
		{ "a/*", "{\"topic\":\"b\",\"data\":1}", "b" },
		{ "a/*", "{\"topic\":\"a\",\"data\":1}", "a" },
		{ "a/*", "{\"topic\":\"a/b/c\",\"data\":1}", "a/b/c" },
		{ "a", "{\"topic\":\"a/b\",\"data\":1}", "a/b" },
		{ "a", "{\"topic\":\"A\",\"data\":1}", "A" },
		{ "a/**", "{\"topic\":\"ab\",\"data\":1}", "ab" },
		{ "a/**", "[{\"topic\":\"a/1\",\"data\":1},"
		    "{\"topic\":\"forbidden\",\"data\":1}]", "forbidden" },
		{ "a/**", "{\"topics\":[\"a/1\",\"forbidden\"],\"data\":1}",
		    "forbidden" },
		{ "", "{\"topic\":\"a\",\"data\":1}", "a" },
	};

	char *keys = fmt("%s/keys", test_dir());

	write_whole(keys, narrow, strlen(narrow));
	begin(fmt("--auth.api_keys_file=%s", keys));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *jwt = token_for(600, *rows[i].grant ? rows[i].grant :
		    NULL, "**");

		is_forbidden(post(s, "/publish", fmt(AS_JSON BEARER "%s\r\n",
		    jwt), rows[i].body), rows[i].topic, rows[i].body);
		nothing_happened(rows[i].body);
	}
	is_forbidden(post(s, "/publish", AS_JSON NARROW,
	    "{\"topic\":\"b/1\",\"data\":1}"), "b/1",
	    "an API key with patterns");
	nothing_happened("an API key with patterns");
	ck_assert_int_eq(post(s, "/publish", AS_JSON NARROW,
	    "{\"topic\":\"c/1\",\"data\":1}")->status, 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_publish_bad");
	TCase *tc = harness_case(su, "bad", 60);

	tcase_add_test(tc, malformed_publishes_are_refused_with_what_to_mend);
	tcase_add_test(tc, wrong_requests_are_refused_each_with_its_code);
	tcase_add_test(tc, a_wrong_method_is_told_the_right_ones);
	tcase_add_test(tc, long_bodies_names_and_batches_are_refused);
	tcase_add_test(tc, a_body_that_grows_in_chunks_is_cut_off);
	tcase_add_test(tc, wrong_tokens_do_not_publish);
	tcase_add_test(tc, only_the_authorization_header_authorises_a_publish);
	tcase_add_test(tc, a_topic_that_is_not_granted_is_named);
	return su;
}

SUITE_MAIN
