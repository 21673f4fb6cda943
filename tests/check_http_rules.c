/*
 * check_http_rules.c - what browsers go by: which page may read an answer (I4), whose
 * cookies count (I3), the headers of everything, and what the log says of a refusal (I2).
 */
#include "config.h"

#include "harness.h"
#include "table.h"

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
	bool asks_private = strstr(w->headers, "Private-Network") != NULL;
	char *what = fmt("line %u: %s for %.80s, %s %s", r->line, r->cell[0], r->cell[1],
	    w->method, w->path);
	int n = 0;

	ck_assert_msg(a->status == w->status, "%s: %d", what, a->status);
	must_say(a, "Vary", any || strcmp(verdict, "none") == 0 ? NULL : "Origin", what);
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

	rows = table_read("origins.txt", 3, &n);
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
	static const struct way forbidden = { "GET", "/history?topic=b", "", NULL, 403,
		ANSWER };
	char *cells[] = { (char *)(uintptr_t)ALLOWED, (char *)(uintptr_t)ALLOWED,
		(char *)(uintptr_t)"yes" };
	struct row r = { .n = 3, .cell = { cells[0], cells[1], cells[2] } };
	struct server *s = server_start("--topics.public=public/**",
	    "--server.max_streams=1", "--server.cors_origins=" ALLOWED, NULL);
	struct stream *one = stream_open(s, "/events?topic=public/a", "");
	char *body = repeat("x", 2 * 65536), *o = fmt("Origin: %s\r\n", ALLOWED);

	expect_live(one, false);
	check_verdict(&stream_open(s, full.path, fmt("%s%s", full.headers, o))->head,
	    &full, &r);
	check_verdict(get(s, busy.path, o), &busy, &r);
	check_verdict(post(s, large.path, fmt(AUTH "%s", o), body), &large, &r);
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

static Suite *
suite(void)
{
	Suite *su = suite_create("http_rules");
	TCase *tc = harness_case(su, "origins", 120);

	tcase_add_test(tc,
	    I4_an_answer_is_for_the_origins_that_are_configured_and_no_other);
	tcase_add_test(tc, I4_a_page_may_read_why_there_is_no_room_and_what_is_forbidden);
	tcase_add_test(tc, I4_the_admin_listener_is_for_no_page);
	return su;
}

SUITE_MAIN
