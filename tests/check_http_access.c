/*
 * check_http_access.c - who may hold a stream, for how long, from which page,
 * and how a browser is told no.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define NARROW_KEY "ffk_narrow0123456789abcdefghijklmnopqrstuvwxyzAB"

static char *
cookie(const char *jwt)
{
	return fmt("Cookie: x=y; fanfare_token=%s; z=\"1\"\r\n", jwt);
}

/* ---- credentials ---- */

START_TEST(a_stream_needs_a_credential_that_covers_its_topics)
{
	/* The subscribe grant (NULL: none), what is asked, the refusal. */
	static const struct { const char *grant, *ask; bool ok; } rows[] = {
		{ "a", "topic=a", true }, { "a", "topic=A", false },
		{ "a", "topic=a/b", false }, { "a/b", "topic=a", false },
		{ "a/*", "topic=a/b", true }, { "a/*", "topic=a/*", true },
		{ "a/*", "topic=a/**", false }, { "a/*", "topic=a", false },
		{ "a/*", "topic=a/b/c", false }, { "a/**", "topic=a", true },
		{ "a/**", "topic=a/*/c", true }, { "a/**", "topic=a/**", true },
		{ "a/**", "topic=**", false }, { "a/**", "topic=ab", false },
		{ "a/**", "topic=*/b", false }, { "**", "topic=**", true },
		{ "a/**", "topic=a/1&topic=b", false },
		{ "a/**", "topic=a/1&topic=public/x", true },
		{ NULL, "topic=a", false }, { NULL, "topic=public/x", true },
		{ "a/b", "topic=a%2Fb", true }, { "a", "topic=a%2Fb", false },
	};
	struct server *s = server_start("--topics.public=public/**", NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *path = fmt("/events?%s", rows[i].ask);
		char *h = bearing(token_for(600, "**", rows[i].grant));

		if (rows[i].ok)
			expect_live(stream_open(s, path, h), false);
		else
			is_problem(get(s, path, h), 403, "topic_forbidden", "",
			    fmt("%s for %s", rows[i].ask, rows[i].grant));
	}
	is_forbidden(get(s, "/events?topic=public/x&topic=secret/thing",
	    bearing(token_for(600, "**", "a"))), "secret/thing", "two topics");
	expect_live(stream_open(s, "/events?topic=**", AUTH), false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* E13; that nothing is echoed: tests/js/events.mjs. */
START_TEST(a_wrong_credential_is_a_401_with_its_code)
{
	struct server *s = server_start("--topics.public=public/**", NULL);
	char *foreign = token("another-secret-of-32-bytes-or-more",
	    fmt("{\"exp\":%lld,\"fanfare\":{\"subscribe\":[\"**\"]}}",
	    (long long)wall_s() + 600));
	struct { const char *path, *headers, *code; } rows[] = {
		{ "/events?topic=a", "", "token_missing" },
		{ "/events?topic=a&token=", "", "token_missing" },
		{ "/events?topic=a&topic=public/x", "", "token_missing" },
		{ "/events?topic=a", "Cookie: other=x\r\n", "token_missing" },
		{ "/events?topic=a", "Authorization: Basic eDp5\r\n",
		    "token_missing" },
		{ "/events?topic=a", bearing("x"), "token_invalid" },
		{ "/events?topic=a", bearing(foreign), "token_invalid" },
		{ "/events?topic=a", bearing(token_for(-60, NULL, "**")),
		    "token_expired" },
		{ fmt("/events?topic=a&token=%s", token_for(-60, NULL, "**")),
		    "", "token_expired" },
		{ "/events?topic=a", cookie(foreign), "token_invalid" },
		{ "/history?topic=a", "", "token_missing" },
		{ "/history?topic=a", bearing("x"), "token_invalid" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_problem(get(s, rows[i].path, fmt(ACCEPT_SSE "%s",
		    rows[i].headers)), 401, rows[i].code, "", rows[i].path);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_refusal_is_in_the_log_by_its_ref_and_never_with_the_token)
{
	struct server *s = server_start(NULL, NULL);
	char *old = token_for(-60, "**", "**"), *ok = token_for(600, "**", "a");
	char *refs[6], *log, *sig;
	struct answer *a[6];

	a[0] = get(s, "/events?topic=a", bearing(old));
	a[1] = get(s, fmt("/events?topic=a&token=%s", old), "");
	a[2] = get(s, "/events?topic=b", cookie(ok));
	a[3] = get(s, "/history?topic=a", bearing("ffk_wrong-but-secret"));
	a[4] = get(s, "/events?topic=a%0Aevil%1B[31m", "User-Agent: \x1b[31m\r\n"
	    "Last-Event-ID: \x1b[31m\r\nOrigin: \x1b[31m\r\n");
	a[5] = get(s, "/nope%0Aevil%1B[31m", "");
	for (int i = 0; i < 6; i++)
		refs[i] = fmt("%s", text_at(body_json(a[i]), "ref"));
	ck_assert_int_eq(server_stop(s), 0);
	log = read_whole(s->log);
	for (int i = 0; i < 6; i++)
		ck_assert_msg(strstr(log, refs[i]) != NULL, "%s %s", refs[i],
		    log);
	/* Neither a token nor its signature, nor what it was signed with. */
	sig = strrchr(old, '.') + 1;
	ck_assert_ptr_null(strstr(log, sig));
	ck_assert_ptr_null(strstr(log, strrchr(ok, '.') + 1));
	ck_assert_ptr_null(strstr(log, "wrong-but-secret"));
	ck_assert_ptr_null(strstr(log, API_KEY));
	ck_assert_ptr_null(strstr(log, HOUSE_KEY));
	ck_assert_ptr_null(strchr(log, '\x1b'));
	ck_assert_ptr_null(strstr(log, "\nevil"));
}
END_TEST

START_TEST(the_header_comes_before_the_query_before_the_cookie)
{
	struct server *s = server_start(NULL, NULL);
	char *ok = token_for(600, NULL, "a"), *no = token_for(600, NULL, "b");
	char *in_query = fmt("/events?topic=a&token=%s", ok);
	char *bad_query = fmt("/events?topic=a&token=%s", no);

	expect_live(stream_open(s, "/events?topic=a", bearing(ok)), false);
	expect_live(stream_open(s, "/events?topic=a",
	    fmt("authorization:bearer %s\r\n", ok)), false);
	expect_live(stream_open(s, in_query, ""), false);
	expect_live(stream_open(s, "/events?topic=a", cookie(ok)), false);
	expect_live(stream_open(s, bad_query, bearing(ok)), false);
	expect_live(stream_open(s, in_query, cookie(no)), false);
	expect_live(stream_open(s, "/events?topic=a",
	    fmt("%s%s", cookie(no), bearing(ok))), false);
	expect_live(stream_open(s, in_query, "Authorization: Basic eDp5\r\n"),
	    false);
	ck_assert_int_eq(get(s, in_query, bearing(no))->status, 403);
	ck_assert_int_eq(get(s, bad_query, cookie(ok))->status, 403);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_login_token_reads_what_its_sub_stands_for)
{
	static const struct { const char *claims, *ask; bool ok; } rows[] = {
		{ "\"sub\":\"42\"", "user/42", true },
		{ "\"sub\":\"42\"", "user/42/inbox", true },
		{ "\"sub\":\"42\"", "user/42/**", true },
		{ "\"sub\":\"42\"", "user/*/**", false },
		{ "\"sub\":\"42\"", "user/4", false },
		{ "\"sub\":\"42\"", "user/43/inbox", false },
		{ "\"sub\":\"*\"", "user/42", false },
		{ "\"sub\":\"*\"", "user/*", false },
		{ "\"sub\":\"**\"", "user/42", false },
		{ "\"sub\":\"42/inbox\"", "user/42/inbox", false },
		{ "\"sub\":\"\"", "user/", false },
		{ "\"sub\":42", "user/42", false },
		{ "\"x\":\"42\"", "user/42", false },
	};
	struct server *s = server_start("--topics.authenticated=user/{sub}/**",
	    NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *jwt = token(HOUSE_KEY, fmt("{\"exp\":%lld,%s}",
		    (long long)wall_s() + 600, rows[i].claims));
		struct answer *a;
		char *path = fmt("/events?topic=%s", rows[i].ask);

		if (rows[i].ok) {
			expect_live(stream_open(s, path, bearing(jwt)), false);
			continue;
		}
		/* Whether such a token is refused or grants nothing: no. */
		a = get(s, path, bearing(jwt));
		ck_assert_msg(a->status == 403 || a->status == 401,
		    "%s for %s: %d", rows[i].ask, rows[i].claims, a->status);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(public_topics_never_suffer_from_a_credential)
{
	struct server *s = server_start("--topics.public=public/**",
	    "--auth.leeway=0", NULL);
	char *old = token_for(-60, NULL, "a"), *soon = token_for(2, NULL, "a");
	struct stream *st[5];

	st[0] = stream_open(s, "/events?topic=public/a", bearing(old));
	st[1] = stream_open(s, "/events?topic=public/a", bearing("garbage"));
	st[2] = stream_open(s, "/events?topic=public/*&token=x", "");
	st[3] = stream_open(s, "/events?topic=public/a", cookie(old));
	st[4] = stream_open(s, "/events?topic=public/a", bearing(soon));
	for (int i = 0; i < 5; i++)
		expect_live(st[i], false);
	ck_assert(stream_quiet(st[4], 3500));
	publish(s, "public/a", "x");
	for (int i = 0; i < 5; i++)
		expect_event(st[i], "message", "x");
	is_problem(get(s, "/events?topic=public/a&topic=a", bearing(old)), 401,
	    "token_expired", "", "one topic is not public");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- the end of a credential ---- */

/* E12; in browsers: tests/js/events.mjs. */
START_TEST(a_stream_is_warned_and_ends_with_its_token)
{
	struct server *s = server_start("--auth.leeway=0", NULL);
	int64_t exp = wall_s() + 4;
	struct stream *st;
	int64_t warned, left;
	char *id;

	st = stream_open(s, fmt("/events?topic=a&token=%s", token(HOUSE_KEY,
	    fmt("{\"exp\":%lld,\"fanfare\":{\"subscribe\":[\"a\"]}}",
	    (long long)exp))), "");
	expect_live(st, false);
	id = publish(s, "a", "in time");
	expect_event(st, "message", "in time");
	expect_control(st, "fanfare.expiring");
	warned = st->held->at_ms;
	expect_close(st, "expired", SOON);
	left = st->eof_ms - warned;
	ck_assert_msg(left >= 50 && left < 2000, "warned %d ms before",
	    (int)left);
	ck_assert_msg(wall_s() >= exp && wall_s() <= exp + 1,
	    "ended %d s past exp", (int)(wall_s() - exp));
	/* What was missed comes with a new one; the old one is refused. */
	publish(s, "a", "too late");
	st = stream_open(s, "/events?topic=a", fmt("%sLast-Event-ID: %s\r\n",
	    bearing(token_for(600, NULL, "a")), id));
	expect_event(st, "message", "too late");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(grace_holds_and_reopens_streams_but_never_publishes)
{
	struct server *s = server_start("--auth.leeway=0", "--auth.grace=4s",
	    NULL);
	int64_t exp = wall_s() + 1;
	char *jwt = token(HOUSE_KEY, fmt("{\"exp\":%lld,\"fanfare\":"
	    "{\"subscribe\":[\"a\"],\"publish\":[\"a\"]}}", (long long)exp));
	struct stream *held = stream_open(s, "/events?topic=a", bearing(jwt));
	struct stream *opened;

	expect_live(held, false);
	while (wall_s() <= exp)
		poll(NULL, 0, 20);
	opened = stream_open(s, "/events?topic=a", bearing(jwt));
	expect_live(opened, false);
	is_problem(post(s, "/publish?topic=a", bearing(jwt), "x"), 401,
	    "token_expired", "", "publishing within grace");
	publish(s, "a", "within grace");
	expect_event(held, "message", "within grace");
	expect_event(opened, "message", "within grace");
	expect_control(held, "fanfare.expiring");
	expect_close(held, "expired", 8000);
	ck_assert_int_ge(wall_s(), exp + 4);
	ck_assert_int_le(wall_s(), exp + 5);
	is_problem(get(s, "/events?topic=a", bearing(jwt)), 401,
	    "token_expired", "", "after grace");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- refusals that a browser can hear ---- */

START_TEST(errors_as_events_are_heard_by_a_browser)
{
	struct server *s = server_start(NULL, NULL);
	struct stream *st;
	json_t *j;

	st = stream_open(s, "/events?topic=a&errors=event", "");
	j = expect_close(st, "unauthorized", SOON);
	ck_assert_int_ge(st->retry_ms, 10000);
	ck_assert_int_ge(json_integer_value(json_object_get(j, "retry")),
	    10000);
	st = stream_open(s, "/events?topic=a&errors=event&token=x", "");
	expect_close(st, "unauthorized", SOON);
	st = stream_open(s, "/events?topic=hidden&errors=event",
	    bearing(token_for(600, NULL, "a")));
	j = expect_close(st, "forbidden", SOON);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(j, "detail")),
	    "hidden"));
	ck_assert_str_eq(json_string_value(json_object_get(j, "topic")), "hidden");
	ck_assert_int_ge(st->retry_ms, 10000);
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_full_server_tells_browsers_softly_and_others_503)
{
	struct server *s = server_start("--topics.public=**",
	    "--server.max_streams=2", NULL);
	struct stream *one = stream_open(s, "/events?topic=a", "");
	struct stream *two = stream_open(s, "/events?topic=a", ""), *st;
	int64_t retry = 0, end;
	bool differ = false, got = false;

	expect_live(one, false);
	expect_live(two, false);
	for (int i = 0; i < 10; i++) {
		st = stream_open(s, "/events?topic=a", "");
		expect_close(st, "overload", SOON);
		ck_assert_int_ge(st->retry_ms, 1000);
		differ = differ || (retry != 0 && retry != st->retry_ms);
		retry = st->retry_ms;
	}
	ck_assert_msg(differ, "every retry is %d", (int)retry);
	is_problem(get(s, "/events?topic=a", ""), 503, "overload", "",
	    "no EventSource");
	is_problem(get(s, "/events?topic=a", "Accept: */*\r\n"), 503,
	    "overload", "", "curl");
	/* The others work on, and one that goes makes room. */
	publish(s, "a", "x");
	expect_event(one, "message", "x");
	stream_close(two);
	for (end = now_ms() + patience(SOON); !got && now_ms() < end;) {
		struct event *e;

		st = stream_open(s, "/events?topic=a", "");
		e = stream_next(st, SOON);
		ck_assert_ptr_nonnull(e);
		got = strcmp(e->name, "fanfare.live") == 0;
	}
	ck_assert_msg(got, "no room again");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define DRAINED 60

/* Until all have ended, looking at all of them all the time; how many have not. */
static int
watch_drain(struct stream *st[DRAINED], int64_t *retry, int64_t end)
{
	int open = 0;

	for (int i = 0; i < DRAINED; i++)
		open += !st[i]->eof;
	while (open > 0 && now_ms() < end) {
		struct pollfd pfd[DRAINED];
		struct event *e;

		for (int i = 0; i < DRAINED; i++)
			pfd[i] = (struct pollfd){ st[i]->eof ? -1 : st[i]->fd,
			    POLLIN, 0 };
		poll(pfd, DRAINED, 100);
		for (int i = 0; i < DRAINED; i++) {
			if (st[i]->eof)
				continue;
			stream_feed(st[i]);
			while ((e = stream_pop(st[i])) != NULL) {
				json_t *j = json_loads(e->data, 0, NULL);

				ck_assert_str_eq(e->name, "fanfare.close");
				ck_assert_str_eq(text_at(j, "reason"), "drain");
				retry[i] = json_integer_value(json_object_get(
				    j, "retry"));
				json_decref(j);
			}
			open -= st[i]->eof;
		}
	}
	return open;
}

/* After the drain of three seconds and one more, and over stream.retry. */
static void
comes_back_in_time(const char *who, int64_t begun, const struct stream *st, int64_t retry)
{
	int64_t at = st->eof_ms - begun + retry;

	ck_assert_msg(at >= 4000 && at <= 24000 + patience(500), "%s: after %d ms", who,
	    (int)at);
	ck_assert_int_eq(st->retry_ms, retry);
}

START_TEST(sigterm_drains_the_streams_and_exits_0)
{
	struct server *s = server_start("--topics.public=**",
	    "--server.drain_time=3s", "--stream.retry=20s", NULL);
	struct stream *st[DRAINED], *late;
	int64_t begun, first = INT64_MAX, last = 0, retry[DRAINED];
	int64_t soonest = INT64_MAX, latest = 0;
	char *id;

	for (int i = 0; i < DRAINED; i++) {
		st[i] = stream_open(s, "/events?topic=a", "");
		expect_live(st[i], false);
		retry[i] = -1;
	}
	id = publish(s, "a", "before");
	for (int i = 0; i < DRAINED; i++)
		expect_event(st[i], "message", "before");
	begun = now_ms();
	server_signal(s, SIGTERM);
	(void)watch_drain(st, retry, begun + 1500);
	late = try_stream(s, "/events?topic=a", "", 0);
	ck_assert_int_eq(watch_drain(st, retry, begun + patience(8000)), 0);
	for (int i = 0; i < DRAINED; i++) {
		comes_back_in_time(fmt("%d", i), begun, st[i], retry[i]);
		soonest = retry[i] + st[i]->eof_ms < soonest ? retry[i] + st[i]->eof_ms :
		    soonest;
		latest = retry[i] + st[i]->eof_ms > latest ? retry[i] + st[i]->eof_ms :
		    latest;
		first = st[i]->eof_ms < first ? st[i]->eof_ms : first;
		last = st[i]->eof_ms > last ? st[i]->eof_ms : last;
	}
	ck_assert_msg(last - first > 1000, "all within %d ms",
	    (int)(last - first));
	ck_assert_msg(last - begun < patience(4000), "%d ms",
	    (int)(last - begun));
	ck_assert_msg(latest - soonest > 10000, "all come back within %d ms",
	    (int)(latest - soonest));
	/* Who comes meanwhile finds nobody, or is told to wait. */
	if (late != NULL && stream_head(late, SOON)) {
		ck_assert_int_eq(late->head.status, 200);
		retry[0] = json_integer_value(json_object_get(
		    expect_close(late, "drain", SOON), "retry"));
		ck_assert_int_eq(stream_next(late, SOON) == NULL && late->eof, 1);
		comes_back_in_time("late", begun, late, retry[0]);
	}
	ck_assert_int_eq(server_wait(s, 8000), 0);
	server_restart(s);
	st[0] = stream_open(s, "/events?topic=a",
	    fmt("Last-Event-ID: %s\r\n", id));
	expect_live(st[0], true);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- CORS (E11; in browsers: tests/js/events.mjs) ---- */

#define ORIGIN(o) "Origin: " o "\r\n"

/* Configured; what the page is; what must be allowed (NULL: nothing). */
static const struct { const char *conf, *origin, *allow; } origins[] = {
	{ "https://app.example", "https://app.example", "https://app.example" },
	{ "https://app.example", "https://app.example.evil", NULL },
	{ "https://app.example", "https://evil-app.example", NULL },
	{ "https://app.example", "http://app.example", NULL },
	{ "https://app.example", "https://app.example:444", NULL },
	{ "https://app.example", "https://APP.example.", NULL },
	{ "https://app.example", "null", NULL },
	{ "https://app-*-team.vercel.app", "https://app-x1-team.vercel.app",
	    "https://app-x1-team.vercel.app" },
	{ "https://app-*-team.vercel.app", "https://app-a.b-team.vercel.app",
	    NULL },
	{ "https://app-*-team.vercel.app", "https://app-/-team.vercel.app",
	    NULL },
	{ "https://app-*-team.vercel.app", "https://app-x-team.evil.app",
	    NULL },
	{ "*", "https://anybody.example", "*" },
};

static void
check_cors(const struct answer *a, const char *allow, const char *what)
{
	const char *got = header(a, "Access-Control-Allow-Origin");
	bool credentials = header_has(a, "Access-Control-Allow-Credentials",
	    "true");

	if (allow == NULL) {
		ck_assert_msg(header(a, "Access-Control-Allow-Origin") == NULL,
		    "%s: allows %s", what, got);
		ck_assert_msg(!credentials, "%s: credentials", what);
		return;
	}
	got = header(a, "Access-Control-Allow-Origin");
	ck_assert_msg(got != NULL && strcmp(got, allow) == 0,
	    "%s: allows %s instead of %s", what, got, allow);
	ck_assert_msg(credentials == (*allow != '*'), "%s: credentials", what);
	if (*allow != '*')
		ck_assert_msg(header_has(a, "Vary", "Origin"), "%s: no Vary",
		    what);
}

START_TEST(cors_headers_stand_on_answers_and_on_errors)
{
	struct server *s = NULL;
	const char *conf = "";

	for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
		const char *allow = origins[i].allow;
		char *o = fmt("Origin: %s\r\n", origins[i].origin);
		char *what = fmt("%s for %s", origins[i].conf,
		    origins[i].origin);

		if (strcmp(conf, origins[i].conf) != 0) {
			conf = origins[i].conf;
			if (s != NULL)
				ck_assert_int_eq(server_stop(s), 0);
			s = server_start("--topics.public=public/**",
			    fmt("--server.cors_origins=%s", conf), NULL);
		}
		check_cors(&stream_open(s, "/events?topic=public/a", o)->head,
		    allow, what);
		check_cors(get(s, "/history?topic=public/a", o), allow, what);
		check_cors(get(s, "/events?topic=a", o), allow, what);
		check_cors(get(s, "/events?topic=a&errors=event",
		    fmt(ACCEPT_SSE "%s", o)), allow, what);
		check_cors(get(s, "/events", o), allow, what);
		check_cors(get(s, "/nope", o), allow, what);
		check_cors(ask(s, "PUT", "/events?topic=a", o, NULL, 0), allow,
		    what);
		check_cors(post(s, "/publish?topic=a", o, "x"), allow, what);
		check_cors(post(s, "/publish?topic=a", fmt(AUTH "%s", o), "x"),
		    allow, what);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_preflight_is_answered)
{
	static const struct { const char *path, *method, *headers; } rows[] = {
		{ "/events?topic=a", "GET", "last-event-id cache-control "
		    "authorization" },
		{ "/history?topic=a", "GET", "authorization" },
		{ "/publish", "POST", "authorization content-type "
		    "idempotency-key" },
	};
	struct server *s = server_start(
	    "--server.cors_origins=https://app.example", NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct answer *a = ask(s, "OPTIONS", rows[i].path,
		    fmt(ORIGIN("https://app.example")
		    "Access-Control-Request-Method: %s\r\n"
		    "Access-Control-Request-Headers: authorization\r\n",
		    rows[i].method), NULL, 0);
		const char *p = rows[i].headers;
		char one[64];

		ck_assert_msg(a->status == 204 || a->status == 200, "%s: %d",
		    rows[i].path, a->status);
		check_cors(a, "https://app.example", rows[i].path);
		ck_assert_msg(header_has(a, "Access-Control-Allow-Methods",
		    rows[i].method), "%s: %s", rows[i].path, a->head);
		for (int n; sscanf(p, "%63s%n", one, &n) == 1; p += n)
			ck_assert_msg(header_has(a,
			    "Access-Control-Allow-Headers", one), "%s: no %s",
			    rows[i].path, one);
		a = ask(s, "OPTIONS", rows[i].path,
		    ORIGIN("https://evil.example")
		    "Access-Control-Request-Method: GET\r\n", NULL, 0);
		check_cors(a, NULL, rows[i].path);
	}
	ck_assert_int_eq(ask(s, "OPTIONS", "/nope", "", NULL, 0)->status, 404);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_access");
	TCase *tc = harness_case(su, "credentials", 40);

	tcase_add_test(tc, a_stream_needs_a_credential_that_covers_its_topics);
	tcase_add_test(tc, a_wrong_credential_is_a_401_with_its_code);
	tcase_add_test(tc,
	    a_refusal_is_in_the_log_by_its_ref_and_never_with_the_token);
	tcase_add_test(tc, the_header_comes_before_the_query_before_the_cookie);
	tcase_add_test(tc, a_login_token_reads_what_its_sub_stands_for);
	tcase_add_test(tc, public_topics_never_suffer_from_a_credential);
	tcase_add_test(tc, a_stream_is_warned_and_ends_with_its_token);
	tcase_add_test(tc, grace_holds_and_reopens_streams_but_never_publishes);
	tc = harness_case(su, "refusals", 40);
	tcase_add_test(tc, errors_as_events_are_heard_by_a_browser);
	tcase_add_test(tc, a_full_server_tells_browsers_softly_and_others_503);
	tcase_add_test(tc, sigterm_drains_the_streams_and_exits_0);
	tc = harness_case(su, "cors", 40);
	tcase_add_test(tc, cors_headers_stand_on_answers_and_on_errors);
	tcase_add_test(tc, a_preflight_is_answered);
	return su;
}

SUITE_MAIN
