/*
 * check_http_rules.c - what browsers go by: which page may read an answer (I4), whose
 * cookies count (I3), the headers of everything, and what the log says of a refusal (I2).
 */
#include "config.h"

#include "harness.h"
#include "rows.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ALLOWED		"https://app.example"
#define MAY_SEND	"authorization, content-type, cache-control, last-event-id, " \
    "idempotency-key"
#define MAY_READ	"ETag, Retry-After, WWW-Authenticate"

/* ---- I4 ---- */

enum kind { ANSWER, QUIET, STREAM, PREFLIGHT };	/* QUIET: nothing is exposed there */

/* Each way to be answered. */
static const struct way {
	const char	*method, *path, *headers, *body;
	int		 status;
	enum kind	 kind;
} ways[] = {
	{ "GET", "/events?topic=public/a", ACCEPT_SSE, NULL, 200, STREAM },
	{ "GET", "/events?topic=a&errors=event", ACCEPT_SSE, NULL, 200, STREAM },
	{ "GET", "/events?topic=a", ACCEPT_SSE, NULL, 401, ANSWER },
	{ "GET", "/events?topic=a", ACCEPT_SSE BEARER "ffk_x\r\n", NULL, 401, ANSWER },
	{ "GET", "/events", ACCEPT_SSE, NULL, 400, ANSWER },
	{ "GET", "/events?topic=%zz", ACCEPT_SSE, NULL, 400, ANSWER },
	{ "PUT", "/events?topic=public/a", "", "", 405, ANSWER },
	{ "GET", "/history?topic=public/a", "", NULL, 200, ANSWER },
	{ "HEAD", "/history?topic=public/a", "", NULL, 200, ANSWER },
	{ "GET", "/history?topic=public/a", "If-None-Match: *\r\n", NULL, 304, ANSWER },
	{ "GET", "/history?topic=a", AUTH, NULL, 200, ANSWER },
	{ "GET", "/history?topic=a", "", NULL, 401, ANSWER },
	{ "GET", "/history?topic=public/a&limit=x", "", NULL, 400, ANSWER },
	{ "POST", "/history?topic=public/a", "", "", 405, ANSWER },
	{ "POST", "/publish?topic=b", AUTH, "x", 200, QUIET },
	{ "POST", "/publish?topic=b", "", "x", 401, ANSWER },
	{ "POST", "/publish?topic=*", AUTH, "x", 400, ANSWER },
	{ "GET", "/publish?topic=b", AUTH, NULL, 405, ANSWER },
	{ "GET", "/healthz", "", NULL, 200, ANSWER },
	{ "GET", "/fanfare.js", "", NULL, 200, ANSWER },
	{ "GET", "/nowhere", "", NULL, 404, ANSWER },
	{ "OPTIONS", "/nowhere", "Access-Control-Request-Method: GET\r\n", NULL, 404,
	    ANSWER },
	{ "OPTIONS", "/events?topic=a", "Access-Control-Request-Method: GET\r\n"
	    "Access-Control-Request-Headers: authorization,last-event-id\r\n", NULL,
	    204, PREFLIGHT },
	{ "OPTIONS", "/history?topic=a", "Access-Control-Request-Method: GET\r\n"
	    "Access-Control-Request-Private-Network: true\r\n", NULL, 204, PREFLIGHT },
	{ "OPTIONS", "/publish", "Access-Control-Request-Method: POST\r\n"
	    "Access-Control-Request-Headers: content-type\r\n", NULL, 204, PREFLIGHT },
};

static char *
origin_header(const char *cell)
{
	const char *two;

	if (strcmp(cell, "-") == 0)
		return fmt("%s", "");
	if (strcmp(cell, "(empty)") == 0)
		return fmt("Origin:\r\n");
	if ((two = strstr(cell, " ++ ")) != NULL)
		return fmt("Origin: %.*s\r\nOrigin: %s\r\n", (int)(two - cell), cell,
		    two + 4);
	if ((two = strstr(cell, "(long)")) != NULL)
		return fmt("Origin: %.*s%s%s\r\n", (int)(two - cell), cell,
		    repeat("a", 4000), two + 6);
	return fmt("Origin: %s\r\n", cell);
}

/* Exactly this, once; or nothing of the name. */
static void
must_say(const struct answer *a, const char *name, const char *want, const char *what)
{
	const char *p = a->head, *at = NULL, *eol;
	size_t len = strlen(name);
	int n = 0;

	for (; (p = strstr(p, "\r\n")) != NULL && p[2] != '\r'; ) {
		p += 2;
		if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
			at = p + len + 1 + strspn(p + len + 1, " ");
			n++;
		}
	}
	if (want == NULL) {
		ck_assert_msg(n == 0, "%s: says %s", what, name);
		return;
	}
	ck_assert_msg(n == 1, "%s: %s stands there %d times: %s", what, name, n, a->head);
	eol = strstr(at, "\r\n");
	ck_assert_msg((size_t)(eol - at) == strlen(want) &&
	    memcmp(at, want, strlen(want)) == 0, "%s: %s is %.*s, not %s", what, name,
	    (int)(eol - at), at, want);
}

/* How many headers that begin so. */
static int
count_headers(const struct answer *a, const char *prefix)
{
	const char *p = a->head;
	int n = 0;

	for (; (p = strstr(p, "\r\n")) != NULL; p += 2)
		n += strncasecmp(p + 2, prefix, strlen(prefix)) == 0;
	return n;
}

static void
check_verdict(const struct answer *a, const struct way *w, const struct row *r)
{
	const char *verdict = r->cell[2];
	bool yes = strcmp(verdict, "yes") == 0, any = strcmp(verdict, "*") == 0;
	bool varies = !any && strcmp(verdict, "none") != 0;
	bool is_client = strcmp(w->path, "/fanfare.js") == 0;
	bool asks_private = strstr(w->headers, "Private-Network") != NULL;
	char *what = fmt("line %u: %s for %.80s, %s %s", r->line, r->cell[0], r->cell[1],
	    w->method, w->path);
	int n = 0;

	ck_assert_msg(a->status == w->status, "%s: %d", what, a->status);
	must_say(a, "Vary", varies ? is_client ? "Accept-Encoding, Origin" : "Origin" :
	    is_client ? "Accept-Encoding" : NULL, what);
	if (yes || any) {
		must_say(a, "Access-Control-Allow-Origin", any ? "*" : r->cell[1], what);
		must_say(a, "Access-Control-Allow-Credentials", any ? NULL : "true",
		    what);
		n = any ? 1 : 2;
		if (w->kind == ANSWER || w->kind == PREFLIGHT) {
			must_say(a, "Access-Control-Expose-Headers", MAY_READ, what);
			n++;
		}
		if (w->kind == PREFLIGHT) {
			must_say(a, "Access-Control-Allow-Methods",
			    header(a, "Allow"), what);
			must_say(a, "Access-Control-Allow-Headers", MAY_SEND, what);
			must_say(a, "Access-Control-Max-Age", "600", what);
			must_say(a, "Access-Control-Allow-Private-Network",
			    asks_private && !any ? "true" : NULL, what);
			n += asks_private && !any ? 4 : 3;
		}
	}
	ck_assert_msg(count_headers(a, "Access-Control-") == n, "%s: more than that: %s",
	    what, a->head);
}

START_TEST(I4_an_answer_is_for_the_origins_that_are_configured_and_no_other)
{
	struct server *s = NULL;
	const char *conf = "";
	struct row *rows, *r;
	const struct way *w;
	size_t n;

	rows = rows_read("origins.txt", 3, &n);
	for (r = rows; r < rows + n; r++) {
		char *origin = origin_header(r->cell[1]);

		if (strcmp(conf, r->cell[0]) != 0) {
			if (s != NULL)
				ck_assert_int_eq(server_stop(s), 0);
			conf = r->cell[0];
			s = server_start("--topics.public=public/**",
			    strcmp(conf, "(none)") == 0 ? "--server.cors_origins=" :
			    fmt("--server.cors_origins=%s", conf), NULL);
			(void)publish(s, "public/a", "x");
		}
		for (w = ways; w < ways + sizeof(ways) / sizeof(ways[0]); w++) {
			char *headers = fmt("%s%s", origin, w->headers);
			struct stream *st;

			if (w->kind == STREAM) {
				st = stream_open(s, w->path, headers);
				check_verdict(&st->head, w, r);
				stream_close(st);
			} else
				check_verdict(ask(s, w->method, w->path, headers,
				    w->body, w->body != NULL ? strlen(w->body) : 0),
				    w, r);
		}
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The refusals that take some doing. */
START_TEST(I4_a_page_may_read_why_there_is_no_room_and_what_is_forbidden)
{
	static const struct way full = { "GET", "/events?topic=public/a", ACCEPT_SSE,
		NULL, 200, STREAM };
	static const struct way busy = { "GET", "/events?topic=public/a", "", NULL, 503,
		ANSWER };
	static const struct way large = { "POST", "/publish?topic=a", AUTH, NULL, 413,
		ANSWER };
	static const struct way often = { "POST", "/publish?topic=a", AUTH, "x", 429,
		ANSWER };
	static const struct way forbidden = { "GET", "/history?topic=b", "", NULL, 403,
		ANSWER };
	char *cells[] = { (char *)(uintptr_t)ALLOWED, (char *)(uintptr_t)ALLOWED,
		(char *)(uintptr_t)"yes" };
	struct row r = { .n = 3, .cell = { cells[0], cells[1], cells[2] } };
	struct server *s = server_start("--topics.public=public/**",
	    "--server.max_streams=1", "--server.cors_origins=" ALLOWED,
	    "--server.publish_rate=1", "--server.publish_burst=1", NULL);
	struct stream *one = stream_open(s, "/events?topic=public/a", "");
	char *body = repeat("x", 2 * 65536), *o = fmt("Origin: %s\r\n", ALLOWED);
	struct answer *a = NULL;

	expect_live(one, false);
	check_verdict(&stream_open(s, full.path, fmt("%s%s", full.headers, o))->head,
	    &full, &r);
	check_verdict(get(s, busy.path, o), &busy, &r);
	check_verdict(post(s, large.path, fmt(AUTH "%s", o), body), &large, &r);
	for (int i = 0; i < 1000; i++) {
		a = post(s, often.path, fmt(AUTH "%s", o), "x");
		if (a->status == 429)
			break;
		ck_assert_int_eq(a->status, 200);
	}
	check_verdict(a, &often, &r);
	ck_assert_ptr_nonnull(header(a, "Retry-After"));
	check_verdict(get(s, forbidden.path, fmt("%s" BEARER "%s\r\n", o,
	    token_for(600, NULL, "a"))), &forbidden, &r);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(I4_the_admin_listener_is_for_no_page)
{
	static const char *const paths[] = { "/metrics", "/stats", "/healthz", "/nope" };
	static const char *const conf[] = { "*", ALLOWED };

	for (size_t i = 0; i < 2; i++) {
		struct server *s = server_start(fmt("--server.cors_origins=%s", conf[i]),
		    NULL);
		int port = s->port;

		s->port = s->admin_port;
		for (size_t k = 0; k < 4; k++) {
			struct answer *a = get(s, paths[k], "Origin: " ALLOWED "\r\n");

			ck_assert_int_eq(count_headers(a, "Access-Control-"), 0);
			a = ask(s, "OPTIONS", paths[k], "Origin: " ALLOWED "\r\n"
			    "Access-Control-Request-Method: GET\r\n", NULL, 0);
			ck_assert_int_eq(count_headers(a, "Access-Control-"), 0);
		}
		s->port = port;
		ck_assert_int_eq(server_stop(s), 0);
	}
}
END_TEST

/* A page of a name that is made to lead here (DNS rebinding). */
START_TEST(I5_the_admin_listener_on_loopback_has_no_name_that_a_page_could_have)
{
	static const struct { const char *host; int status; } rows[] = {
		{ "127.0.0.1", 200 }, { "127.0.0.1:8081", 200 }, { "127.1.2.3:1", 200 },
		{ "localhost", 200 }, { "LOCALHOST:8081", 200 }, { "localhost.", 200 },
		{ "a.localhost:8081", 200 }, { "[::1]:8081", 200 }, { "fanfare", 200 },
		{ "metrics:8081", 200 }, { "127.0.0.1.", 200 },
		{ "evil.test", 404 }, { "evil.test:8081", 404 }, { "evil.test.", 404 },
		{ "127.0.0.1.evil.test", 404 }, { "localhost.evil.test:8081", 404 },
		{ "xlocalhost.test", 404 }, { "evil.xlocalhost", 404 },
		{ "127.0.0.1.1", 404 }, { "0x7f.1", 404 },
	};
	struct server *s = server_start("--topics.public=a", NULL);
	int port = s->port;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int admin = 0; admin < 2; admin++) {
			char *rq = fmt("GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n",
			    rows[i].host);
			struct http *h;
			struct answer *a;
			/* Behind a proxy the public one has whatever name. */
			int want = admin ? rows[i].status : 200;

			s->port = admin ? s->admin_port : port;
			h = http_open(s);
			ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
			ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
			ck_assert_msg(a->status == want, "%s: %d", rows[i].host,
			    a->status);
			answer_free(a);
			http_close(h);
		}
	s->port = port;
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- the headers of everything ---- */

START_TEST(every_answer_says_how_it_may_be_used)
{
	/* Of a 401 and 403: `challenge` completes WWW-Authenticate. */
	static const struct { const char *method, *path, *headers, *body; int status;
	    const char *cache, *policy, *challenge; } rows[] = {
		{ "GET", "/events?topic=public/a", "", NULL, 200,
		    "no-store, no-transform", NULL, NULL },
		{ "GET", "/events?topic=a&errors=event", "", NULL, 200,
		    "no-store, no-transform", NULL, NULL },
		{ "GET", "/events?topic=a", "", NULL, 401, "no-store", "same-origin", "" },
		{ "GET", "/events?topic=a&token=x", "", NULL, 401, "no-store",
		    "same-origin", ", error=\"invalid_token\"" },
		{ "GET", "/history?topic=b", BEARER "%s\r\n", NULL, 403, "no-store",
		    "same-origin", ", error=\"insufficient_scope\"" },
		{ "POST", "/publish?topic=a", BEARER "%s\r\n", "x", 403, "no-store",
		    "same-origin", ", error=\"insufficient_scope\"" },
		{ "POST", "/publish?topic=a", "", "x", 401, "no-store", "same-origin", "" },
		{ "GET", "/history?topic=public/a", "", NULL, 200,
		    "no-cache, no-transform", "same-origin", NULL },
		{ "GET", "/history?topic=a", BEARER "%s\r\n", NULL, 200,
		    "private, no-cache, no-transform", "same-origin", NULL },
		{ "GET", "/history?topic=a", BEARER "%s\r\nIf-None-Match: *\r\n", NULL,
		    304, "private, no-cache, no-transform", "same-origin", NULL },
		{ "GET", "/history", "", NULL, 400, "no-store", "same-origin", NULL },
		{ "GET", "/nowhere", "", NULL, 404, "no-store", "same-origin", NULL },
		{ "PUT", "/publish", "", "", 405, "no-store", "same-origin", NULL },
		{ "GET", "/healthz", "", NULL, 200, "no-store", "same-origin", NULL },
		{ "GET", "/fanfare.js", "", NULL, 200, "no-cache", "cross-origin", NULL },
		{ "OPTIONS", "/publish", "", NULL, 204, "no-store", "same-origin", NULL },
	};
	struct server *s = server_start("--topics.public=public/**", NULL);
	char *jwt = token_for(600, NULL, "a"), *what, *at, *headers;
	struct answer *a;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		what = fmt("%s %s", rows[i].method, rows[i].path);
		headers = fmt("%s", rows[i].headers);
		if ((at = strstr(headers, "%s")) != NULL)
			headers = fmt("%.*s%s%s", (int)(at - headers), headers, jwt,
			    at + 2);
		if (rows[i].status == 200 && strstr(rows[i].path, "/events") != NULL)
			a = &stream_open(s, rows[i].path, headers)->head;
		else
			a = ask(s, rows[i].method, rows[i].path, headers, rows[i].body,
			    rows[i].body != NULL ? strlen(rows[i].body) : 0);
		ck_assert_msg(a->status == rows[i].status, "%s: %d", what, a->status);
		must_say(a, "X-Content-Type-Options", "nosniff", what);
		must_say(a, "Referrer-Policy", "no-referrer", what);
		must_say(a, "Cache-Control", rows[i].cache, what);
		must_say(a, "Cross-Origin-Resource-Policy", rows[i].policy, what);
		must_say(a, "WWW-Authenticate", rows[i].challenge == NULL ? NULL :
		    fmt("Bearer realm=\"fanfare\"%s", rows[i].challenge), what);
		/* No versions: neither ours nor the library's. */
		must_say(a, "Server", NULL, what);
	}
	a = post(s, "/publish?topic=a", AUTH, "x");
	must_say(a, "X-Content-Type-Options", "nosniff", "a publish");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- I3 ---- */

/* What a page of a stranger's can have a browser send, with everything it may add. */
START_TEST(I3_neither_a_cookie_nor_a_token_in_an_address_publishes)
{
	static const char *const types[] = { "", "Content-Type: text/plain\r\n",
	    "Content-Type: text/plain;charset=UTF-8\r\n",
	    "Content-Type: application/x-www-form-urlencoded\r\n",
	    "Content-Type: multipart/form-data; boundary=x\r\n", AS_JSON,
	    "Content-Type: application/x-ndjson\r\n" };
	static const char *const bodies[] = { "{\"topic\":\"a\",\"data\":\"evil\"}",
	    "topic=a&data=evil", "[{\"topic\":\"a\",\"data\":\"evil\"}]",
	    "{\"topic\":\"a\",\"data\":\"evil\",\"x=\":\"\"}", "" };
	static const char *const from[] = { "", "Origin: " ALLOWED "\r\n",
	    "Origin: null\r\n", ("Origin: https://evil.test\r\n"
	    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
	    "Sec-Fetch-Site: same-origin\r\n",
	    "Authorization: Basic ZmZrX3g6\r\n", "Authorization: \r\n",
	    "X-HTTP-Method-Override: POST\r\n" };
	struct server *s = server_start("--server.cors_origins=" ALLOWED,
	    "--topics.public=a", NULL);
	char *jwt = token_for(600, "**", "**"), *paths[6], *cookies[4];
	json_t *j;

	paths[0] = fmt("/publish");
	paths[1] = fmt("/publish?topic=a");
	paths[2] = fmt("/publish?topic=a&token=%s", jwt);
	paths[3] = fmt("/publish?topic=a&token=%s", API_KEY);
	paths[4] = fmt("/publish?topic=a&access_token=%s&authorization=Bearer+%s", jwt,
	    jwt);
	paths[5] = fmt("/publish?token=%s", jwt);
	cookies[0] = fmt("%s", "");
	cookies[1] = fmt("Cookie: fanfare_token=%s\r\n", jwt);
	cookies[2] = fmt("Cookie: fanfare_token=%s; Authorization=Bearer %s\r\n",
	    API_KEY, API_KEY);
	cookies[3] = fmt("Cookie: x=1\r\nCookie: fanfare_token=\"%s\"\r\n", jwt);
	for (size_t p = 0; p < 6; p++)
		for (size_t c = 0; c < 4; c++)
			for (size_t f = 0; f < sizeof from / sizeof *from; f++)
				for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
					const char *body = bodies[(f + t) % 5];

					is_problem(post(s, paths[p], fmt("%s%s%s",
					    cookies[c], from[f], types[t]), body), 401,
					    "token_missing", "", fmt("%s %s%s%s",
					    paths[p], cookies[c], from[f], types[t]));
				}
	/* In the body it is no field, whoever sends it. */
	is_problem(post(s, "/publish", "Content-Type: application/x-www-form-urlencoded"
	    "\r\n", fmt("topic=a&data=evil&token=%s", jwt)), 401, "token_missing", "",
	    "a token in a form");
	is_problem(post(s, "/publish", AUTH "Content-Type: "
	    "application/x-www-form-urlencoded\r\n", fmt("topic=a&data=x&token=%s",
	    jwt)), 400, "malformed", "token", "a token in a form");
	j = history(s, "topic=a");
	ck_assert_uint_eq(json_array_size(json_object_get(j, "events")), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Whose cookie counts for reading. */
START_TEST(I3_a_cookie_counts_for_pages_of_ours_and_of_configured_origins)
{
	struct row *rows, *r;
	size_t n;
	struct server *s = NULL;
	const char *conf = "";
	char *cookie = fmt("Cookie: fanfare_token=%s\r\n", token_for(600, NULL, "a"));

	rows = rows_read("cookies.txt", 5, &n);
	for (r = rows; r < rows + n; r++) {
		bool welcome = strcmp(r->cell[4], "yes") == 0;
		char *headers = fmt("%s", cookie), *what, *request;
		static const char *const names[] = { "Origin", "Sec-Fetch-Site", "Host" };
		struct http *h;
		struct answer *a;

		if (strcmp(conf, r->cell[0]) != 0) {
			if (s != NULL)
				ck_assert_int_eq(server_stop(s), 0);
			conf = r->cell[0];
			s = server_start(fmt("--server.cors_origins=%s", conf), NULL);
		}
		h = http_open(s);
		for (int i = 0; i < 3; i++)
			if (strcmp(r->cell[1 + i], "-") != 0)
				headers = fmt("%s%s: %s\r\n", headers, names[i],
				    r->cell[1 + i]);
		what = fmt("line %u: %s", r->line, headers);
		request = fmt("GET /history?topic=a HTTP/1.1\r\n%s\r\n", headers);
		ck_assert_int_eq(try_http_write(h, request, strlen(request)), 0);
		ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
		ck_assert_msg(a->status == (welcome ? 200 : 401), "%s: %d", what,
		    a->status);
		answer_free(a);
		http_close(h);
	}
	ck_assert_int_eq(server_stop(s), 0);
	s = server_start("--server.cors_origins=" ALLOWED, NULL);
	/* On streams too, and where it does not count a good token does. */
	is_problem(get(s, "/events?topic=a", fmt("%sOrigin: https://evil.test\r\n",
	    cookie)), 401, "token_missing", "", "a stream for a stranger's page");
	expect_live(stream_open(s, "/events?topic=a", fmt("%sOrigin: " ALLOWED "\r\n",
	    cookie)), false);
	expect_live(stream_open(s, "/events?topic=a", fmt("%sOrigin: https://evil.test\r\n"
	    BEARER "%s\r\n", cookie, token_for(600, NULL, "a"))), false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_rules");
	TCase *tc = harness_case(su, "origins", 120);

	tcase_add_test(tc,
	    I4_an_answer_is_for_the_origins_that_are_configured_and_no_other);
	tcase_add_test(tc, I4_a_page_may_read_why_there_is_no_room_and_what_is_forbidden);
	tcase_add_test(tc, I4_the_admin_listener_is_for_no_page);
	tcase_add_test(tc,
	    I5_the_admin_listener_on_loopback_has_no_name_that_a_page_could_have);
	tc = harness_case(su, "headers", 40);
	tcase_add_test(tc, every_answer_says_how_it_may_be_used);
	tc = harness_case(su, "cookies", 60);
	tcase_add_test(tc, I3_neither_a_cookie_nor_a_token_in_an_address_publishes);
	tcase_add_test(tc,
	    I3_a_cookie_counts_for_pages_of_ours_and_of_configured_origins);
	return su;
}

SUITE_MAIN
