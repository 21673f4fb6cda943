/*
 * check_jwks_ill.c - a real server, and endpoints that rotate, fail, hang, redirect and
 * lie.  Each costs seconds, since nobody is asked more often than every three.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "issuer.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static struct server *
server_with(struct endpoint *e)
{
	return server_start("--auth.idp.issuer=https://idp",
	    fmt("--auth.idp.jwks=http://127.0.0.1:%d/jwks", e->port),
	    "--auth.idp.topics=user/{sub}/**", NULL);
}

static int
status_of(struct server *s, const char *path, const char *header)
{
	return get(s, path, header)->status;
}

static char *
metrics(struct server *s)
{
	struct server admin = *s;

	admin.port = s->admin_port;
	return get(&admin, "/metrics", "")->body;
}

static bool
logged(struct server *s, const char *text, int ms)
{
	int64_t end = now_ms() + patience(ms);

	while (strstr(read_whole(s->log), text) == NULL) {
		if (now_ms() > end)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

static const struct {
	const char	*said;		/* in the log */
} moods[MOODS] = {
	[DOWN] = { "" },
	[MISSING] = { "the answer is 404, not 200" },
	[BROKEN] = { "the answer is 500, not 200" },
	[HANGS] = { "no whole answer within" },
	[DRIBBLES] = { "no whole answer within" },
	[REDIRECTS] = { "the answer is 302, not 200; redirects are not" },
	[HTML] = { "this is a page (HTML)" },
	[HUGE_BODY] = { "more than 262144 bytes" },
	[NOTHING_OF_USE] = { "no key of the set is of use" },
	[EMPTY] = { "no key of the set is of use" },
	[HUGE_HEAD] = { "more than 65536 bytes came as headers" },
	[CONTINUES] = { "more than 65536 bytes came as headers" },
	[DRIPS] = { "no whole answer within" },
	[GZIP] = { "this is not JSON" },
	[TO_FILE] = { "the answer is 302, not 200; redirects are not followed: configure "
	    "the address itself, if you trust file:///etc/passwd" },
	[CUT] = { "transfer closed with" },
	[SECRETS] = { "no key of the set is of use here: the last one is a secret (oct)" },
};

/* Of one who may have to wait until an attempt to fetch is given up. */
static int
late_status_of(struct server *s, const char *header)
{
	struct http *h = http_open(s);
	struct answer *a;
	int status;

	ck_assert_int_eq(try_http_send(h, "GET", "/history?topic=a/1", header, NULL, 0), 0);
	ck_assert_ptr_nonnull(a = try_http_receive(h, 4 * SOON));
	status = a->status;
	answer_free(a);
	http_close(h);
	return status;
}

/* ---- rotation ---- */

START_TEST(J6_a_key_counts_the_moment_it_is_published)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "old", "")));
	struct server *s = server_with(e);
	struct stream *old, *st[20];
	int i;

	old = stream_open(s, "/events?topic=a/1", bearer(P256, "old", "https://idp",
	    "ann"));
	expect_live(old, false);
	ck_assert_int_eq(e->hits, 1);
	endpoint_serve(e, set_of(fmt("%s,%s", jwk(P256, "old", ""), jwk(P256_NEW, "new", ""))));
	for (i = 0; i < 20; i++) {
		st[i] = try_stream(s, "/events?topic=a/1", bearer(P256_NEW, "new",
		    "https://idp", fmt("u%d", i)), 0);
		ck_assert_ptr_nonnull(st[i]);
	}
	for (i = 0; i < 20; i++) {
		ck_assert(stream_head(st[i], 2 * SOON));
		ck_assert_int_eq(st[i]->head.status, 200);
		expect_live(st[i], false);
	}
	ck_assert_int_eq(e->hits, 2);
	publish(s, "a/1", "to all");
	expect_event(old, "message", "to all");
	for (i = 0; i < 20; i++)
		expect_event(st[i], "message", "to all");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(J6_a_key_that_is_withdrawn_ends_its_streams_and_no_others)
{
	struct endpoint *e = endpoint(set_of(fmt("%s,%s", jwk(P256, "gone", ""),
	    jwk(RSA1, "stays", ""))));
	struct server *s = server_with(e);
	char *gone = bearer(P256, "gone", "https://idp", "ann"),
	    *stays = bearer(RSA1, "stays", "https://idp", "bob");
	struct stream *a = stream_open(s, "/events?topic=a/1", gone),
	    *b = stream_open(s, "/events?topic=a/1", stays),
	    *c = stream_open(s, "/events?topic=a/1", AUTH);

	expect_live(a, false);
	expect_live(b, false);
	expect_live(c, false);
	/* By SIGHUP; or on the way, while somebody's new key is looked for. */
	endpoint_serve(e, set_of(fmt("%s,%s", jwk(RSA1, "stays", ""),
	    jwk(P256_NEW, "new", ""))));
	if (_i == 0)
		server_signal(s, SIGHUP);
	else
		ck_assert_int_eq(late_status_of(s, bearer(P256_NEW, "new",
		    "https://idp", "cleo")), 200);
	expect_close(a, "revoked", 2 * SOON);
	is_problem(get(s, "/history?topic=a/1", gone), 401, "token_invalid", "",
	    "a key that has gone");
	publish(s, "a/1", "x");
	expect_event(b, "message", "x");
	expect_event(c, "message", "x");
	ck_assert(logged(s, "key \"gone\" has gone", SOON));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(unknown_kids_cost_the_endpoint_little_and_others_nothing)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	struct server *s = server_with(e);
	struct stream *st[200];
	int64_t began = now_ms(), took;
	int i;

	for (i = 0; i < 200; i++) {
		st[i] = try_stream(s, "/events?topic=a/1", bearer(P256,
		    fmt("../../etc/passwd' OR %d", i), "https://idp", "x"), 0);
		ck_assert_ptr_nonnull(st[i]);
		if (i % 20 == 0)
			ck_assert_int_eq(status_of(s, "/history?topic=a/1",
			    bearer(P256, "k", "https://idp", fmt("%d", i))), 200);
	}
	for (i = 0; i < 200; i++) {
		ck_assert(stream_head(st[i], 3 * SOON));
		ck_assert_int_eq(st[i]->head.status, 401);
	}
	took = now_ms() - began;
	ck_assert_msg(e->hits <= 2 + took / 3000, "%d fetches in %lld ms",
	    (int)e->hits, (long long)took);
	ck_assert(logged(s, "names none of the 1 keys of auth.idp.jwks", SOON));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* More of them than there is room for connections, each with a kid of its own or all with
 * the same token; nobody can say yet that they are strangers. */
START_TEST(R9_unknown_kids_hold_no_connections_that_a_publish_needs)
{
	enum { ASKING = 80 };
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	struct http *h[ASKING];
	struct server *s;
	int64_t began, took, longest = 0;
	int i;

	servers_limited(256);		/* an eighth of it: 32 */
	s = server_with(e);
	servers_limited(0);
	ck_assert_int_eq(late_status_of(s, bearer(P256, "k", "https://idp", "ann")), 200);
	e->mood = HANGS;
	for (i = 0; i < ASKING; i++) {
		h[i] = http_open(s);
		ck_assert_int_eq(try_http_send(h[i], "GET", "/history?topic=a/1",
		    bearer(P256, fmt("x%d", _i == 0 ? i : 0), "https://idp",
		    fmt("%d", _i == 0 ? i : 0)), NULL, 0), 0);
	}
	for (i = 0; i < 10; i++) {
		began = now_ms();
		publish(s, "a/1", "x");
		if ((took = now_ms() - began) > longest)
			longest = took;
	}
	printf("%lld ms\n", (long long)longest);
	ck_assert_int_lt(longest, patience(2000));
	ck_assert_int_gt(server_metric(s, "auth_busy_total"), ASKING / 2);
	for (i = 0; i < ASKING; i++)
		http_close(h[i]);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- an endpoint that is ill ---- */

/* All at once: an endpoint that hangs must not keep others from being asked. */
START_TEST(the_last_good_set_stays_while_endpoints_are_ill)
{
	struct endpoint *e[MOODS];
	struct stream *st[MOODS];
	struct http *h[MOODS];
	struct server *s;
	struct answer *a;
	char *options[2 * MOODS + 1], *iss, *text;
	int64_t end;
	int i, n = 0;

	for (i = DOWN; i < MOODS; i++) {
		e[i] = endpoint(set_of(jwk(P256, "k", "")));
		options[n++] = fmt("[auth.m%d]\nissuer = https://m%d\n", i, i);
		options[n++] = fmt("jwks = http://127.0.0.1:%d/jwks\n", e[i]->port);
	}
	for (text = fmt("[auth]\nkey = " HOUSE_KEY "\n"), i = 0; i < n; i++)
		text = fmt("%s%s", text, options[i]);
	iss = fmt("%s/fanfare.conf", test_dir());
	write_whole(iss, text, strlen(text));
	s = server_start(fmt("-c%s", iss), NULL);
	for (i = DOWN; i < MOODS; i++) {
		st[i] = stream_open(s, "/events?topic=a/1", bearer(P256, "k",
		    fmt("https://m%d", i), "ann"));
		expect_live(st[i], false);
		e[i]->mood = i;
		h[i] = http_open(s);
		ck_assert_int_eq(try_http_send(h[i], "GET", "/history?topic=a/1",
		    bearer(P256_NEW, "new", fmt("https://m%d", i), "bob"), NULL, 0), 0);
	}
	for (i = DOWN; i < MOODS; i++) {
		ck_assert_ptr_nonnull(a = try_http_receive(h[i], 4 * SOON));
		is_problem(a, 503, "overload", "keys of this token's issuer", "no keys");
		ck_assert_ptr_nonnull(header(a, "Retry-After"));
		answer_free(a);
		ck_assert_msg(logged(s, fmt("%d/jwks: %s", e[i]->port, moods[i].said),
		    SOON), "mood %d: %s", i, read_whole(s->log));
		ck_assert_int_eq(e[i]->other_hits, 0);
		ck_assert_ptr_nonnull(strstr(metrics(s), fmt("fanfare_jwks_keys{"
		    "section=\"auth.m%d\"} 1", i)));
		ck_assert_ptr_null(strstr(metrics(s), fmt("fanfare_jwks_failures_total{"
		    "section=\"auth.m%d\"} 0", i)));
	}
	ck_assert(logged(s, "the keys fetched before stay", SOON));
	/* Reloads do not lose them either. */
	server_signal(s, SIGHUP);
	ck_assert(logged(s, "are reloaded", SOON));
	publish(s, "a/1", "x");
	for (i = DOWN; i < MOODS; i++) {
		ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P256, "k",
		    fmt("https://m%d", i), "cleo")), 200);
		expect_event(st[i], "message", "x");
	}
	/* And when they are well again, they are asked again. */
	for (i = DOWN; i < MOODS; i++) {
		endpoint_serve(e[i], set_of(fmt("%s,%s", jwk(P256, "k", ""),
		    jwk(P256_NEW, "new", ""))));
		e[i]->mood = GOOD;
	}
	end = now_ms() + patience(4 * SOON);
	for (i = DOWN; i < MOODS; i++)
		while (late_status_of(s, bearer(P256_NEW, "new", fmt("https://m%d", i),
		    "dora")) != 200)
			ck_assert_msg(now_ms() < end, "%s", read_whole(s->log));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_server_starts_without_its_endpoint_and_finds_it_later)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	char *t = bearer(P256, "k", "https://idp", "ann");
	struct server *s;
	struct stream *st;

	e->mood = HANGS;
	s = server_with(e);
	st = try_stream(s, "/events?topic=a/1", fmt("%s" ACCEPT_SSE, t), 0);
	ck_assert_ptr_nonnull(st);
	ck_assert(stream_head(st, 4 * SOON));
	ck_assert_int_eq(st->head.status, 200);
	expect_close(st, "overload", SOON);
	ck_assert_int_eq(late_status_of(s, t), 503);
	ck_assert(logged(s, "tokens of this issuer have to wait", SOON));
	/* Who has nothing to do with it does not notice. */
	publish(s, "a/1", "x");
	e->mood = GOOD;
	for (int64_t end = now_ms() + patience(4 * SOON); late_status_of(s, t) != 200;)
		ck_assert_msg(now_ms() < end, "%s", read_whole(s->log));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(keys_are_fetched_while_streams_hold_every_descriptor_they_may)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	char *path = fmt("%s/fanfare.conf", test_dir()), *text =
	    fmt("[auth]\nkey = " HOUSE_KEY "\n[topics]\npublic = a/1\n"),
	    *wait;
	enum { SECTIONS = 80, ASKING = 200, LIMIT = 1400 };
	struct http *h[ASKING];
	struct event *ev;
	struct server *s;
	struct stream *st;
	int i, n = 0;

	for (i = 0; i < SECTIONS; i++)
		text = fmt("%s[auth.m%d]\nissuer = https://m%d\njwks = "
		    "http://127.0.0.1:%d/%d\n", text, i, i, e->port, i);
	write_whole(path, text, strlen(text));
	servers_limited(LIMIT);
	s = server_start(fmt("-c%s", path), NULL);
	servers_limited(0);
	for (int64_t end = now_ms() + patience(SOON); e->other_hits < SECTIONS;)
		ck_assert(now_ms() < end);
	/* Until one is told to go. */
	do {
		ck_assert_int_lt(n++, LIMIT);
		st = stream_open(s, "/events?topic=a/1", ACCEPT_SSE);
		ck_assert_ptr_nonnull(ev = stream_next(st, SOON));
	} while (strcmp(ev->name, "fanfare.close") != 0);
	ck_assert_int_gt(n, 50);
	/* As many requests under way as there may be; some wait at the door. */
	for (i = 0; i < ASKING; i++)
		h[i] = http_open(s);
	e->mood = HANGS;
	server_signal(s, SIGHUP);
	for (i = 0; i < SECTIONS; i++) {
		wait = fmt("%d/%d: no whole answer within", e->port, i);
		ck_assert_msg(logged(s, wait, 3 * SOON), "%s: %s", wait,
		    read_whole(s->log));
	}
	ck_assert_int_ge(e->other_hits, 2 * SECTIONS);
	for (i = 0; i < ASKING; i++)
		http_close(h[i]);
	publish(s, "a/1", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(O2_sigterm_answers_those_who_wait_for_keys)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	struct server *s;
	struct stream *st[50];
	int64_t began;
	int i;

	e->mood = HANGS;
	s = server_with(e);
	for (i = 0; i < 50; i++)
		st[i] = try_stream(s, "/events?topic=a/1", fmt("%s" ACCEPT_SSE,
		    bearer(P256, "k", "https://idp", fmt("%d", i))), 0);
	/* Some leave. */
	for (i = 40; i < 50; i++)
		stream_close(st[i]);
	began = now_ms();
	ck_assert_int_eq(server_stop(s), 0);
	ck_assert_int_lt(now_ms() - began, patience(4 * SOON));
	for (i = 0; i < 40; i++) {
		ck_assert(stream_head(st[i], SOON));
		ck_assert_int_eq(st[i]->head.status, 200);
		/* "drain", or "overload" of one who had waited for long already. */
		ck_assert_ptr_nonnull(stream_next(st[i], SOON));
		ck_assert(stream_ended(st[i], SOON));
	}
}
END_TEST

START_TEST(O2_a_reload_takes_sections_away_and_brings_them)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
	char *path = fmt("%s/fanfare.conf", test_dir()), *t = bearer(P256, "k",
	    "https://idp", "ann"), *with, *without = fmt("[auth]\nkey = " HOUSE_KEY "\n");
	struct server *s;
	struct stream *st, *house;

	with = fmt("%s[auth.idp]\nissuer = https://idp\njwks = "
	    "http://127.0.0.1:%d/jwks\n", without, e->port);
	write_whole(path, with, strlen(with));
	s = server_start(fmt("-c%s", path), NULL);
	st = stream_open(s, "/events?topic=a/1", t);
	house = stream_open(s, "/events?topic=a/1", fmt(BEARER "%s\r\n",
	    token_for(600, NULL, "a/**")));
	expect_live(st, false);
	expect_live(house, false);
	write_whole(path, without, strlen(without));
	server_signal(s, SIGHUP);
	expect_close(st, "revoked", SOON);
	is_problem(get(s, "/history?topic=a/1", t), 401, "token_invalid", "", "no section");
	ck_assert_ptr_null(strstr(metrics(s), "fanfare_jwks"));
	write_whole(path, with, strlen(with));
	server_signal(s, SIGHUP);
	for (int64_t end = now_ms() + patience(2 * SOON); status_of(s,
	    "/history?topic=a/1", t) != 200;)
		ck_assert_msg(now_ms() < end, "%s", read_whole(s->log));
	/* A mistake changes nothing. */
	write_whole(path, "[auth.idp]\n", 11);
	server_signal(s, SIGHUP);
	ck_assert(logged(s, "[auth.idp]: issuer is missing", SOON));
	ck_assert_int_eq(status_of(s, "/history?topic=a/1", t), 200);
	publish(s, "a/1", "x");
	expect_event(house, "message", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("jwks ill");
	TCase *t = harness_case(s, "rotation", 60);

	tcase_add_test(t, J6_a_key_counts_the_moment_it_is_published);
	tcase_add_loop_test(t,
	    J6_a_key_that_is_withdrawn_ends_its_streams_and_no_others, 0, 2);
	tcase_add_test(t, unknown_kids_cost_the_endpoint_little_and_others_nothing);
	tcase_add_loop_test(t, R9_unknown_kids_hold_no_connections_that_a_publish_needs, 0,
	    2);
	tcase_add_test(t, O2_a_reload_takes_sections_away_and_brings_them);
	t = harness_case(s, "ill", 120);
	tcase_add_test(t, the_last_good_set_stays_while_endpoints_are_ill);
	tcase_add_test(t, a_server_starts_without_its_endpoint_and_finds_it_later);
	tcase_add_test(t, O2_sigterm_answers_those_who_wait_for_keys);
	tcase_add_test(t,
	    keys_are_fetched_while_streams_hold_every_descriptor_they_may);
	return s;
}

SUITE_MAIN
