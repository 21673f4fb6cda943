/*
 * check_http_reload.c - keys and rules that are taken away by a reload, and tokens that are
 * revoked: what becomes of those who are there, and of those who are on their way.
 */
#include "config.h"

#include "harness.h"

#include <sys/socket.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NARROW_KEY "ffk_narrow0123456789abcdefghijklmnopqrstuvwxyzAB"
#define BOTH "one:" NARROW_KEY "1\ntwo:" NARROW_KEY "2\n"
#define ONE "one:" NARROW_KEY "1\n"

/* Write the file that the server reads, and have it read. */
static void
reload(struct server *s, const char *path, const char *text)
{
	int64_t end = now_ms() + patience(SOON);
	size_t before = strlen(read_whole(s->log));

	write_whole(path, text, strlen(text));
	server_signal(s, SIGHUP);
	for (; strstr(read_whole(s->log) + before, "are reloaded") == NULL;
	    poll(NULL, 0, 20))
		ck_assert_int_lt(now_ms(), end);
}

/* ---- those who are there ---- */

START_TEST(a_reload_ends_the_streams_whose_key_is_gone)
{
	char *keys = fmt("%s/keys", test_dir());
	struct stream *kept, *gone, *jwt;
	struct server *s;

	write_whole(keys, BOTH, strlen(BOTH));
	s = server_start(fmt("--auth.api_keys_file=%s", keys), NULL);
	kept = stream_open(s, "/events?topic=a", bearing(NARROW_KEY "1"));
	gone = stream_open(s, "/events?topic=a", bearing(NARROW_KEY "2"));
	jwt = stream_open(s, "/events?topic=a",
	    bearing(token_for(600, NULL, "a")));
	expect_live(kept, false);
	expect_live(gone, false);
	expect_live(jwt, false);
	reload(s, keys, ONE);
	expect_close(gone, "revoked", SOON);
	is_problem(get(s, "/events?topic=a", bearing(NARROW_KEY "2")), 401,
	    "token_invalid", "", "a key that is gone");
	publish(s, "a", "still here");
	expect_event(kept, "message", "still here");
	expect_event(jwt, "message", "still here");
	/* A broken file changes nothing. */
	write_whole(keys, "one\n", 4);
	server_signal(s, SIGHUP);
	ck_assert(stream_quiet(kept, 300));
	expect_live(stream_open(s, "/events?topic=a", bearing(NARROW_KEY "1")),
	    false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* A token of the house for this sub, with a grant or (NULL) none. */
static char *
reader(const char *sub, const char *grant)
{
	return bearing(token(HOUSE_KEY, fmt("{\"exp\":%lld,\"iat\":%lld,\"sub\":\"%s\"%s}",
	    (long long)wall_s() + 600, (long long)wall_s(), sub, grant == NULL ? "" :
	    fmt(",\"fanfare\":{\"subscribe\":[\"%s\"]}", grant))));
}

#define RULES(public, authenticated)					\
	"[topics]\npublic = " public "\nauthenticated = " authenticated "\n"

/* Whose rules open less now: away, back within seconds, and judged like anybody who is
 * new.  Who needs none of them does not notice. */
START_TEST(a_reload_that_closes_topics_sends_their_readers_back_to_be_judged)
{
	static const struct {
		const char	*topics, *sub, *grant;	/* sub NULL: no token */
		const char	*rules;			/* these now, instead of the first */
		bool		 goes;
		int		 status;		/* when it is back */
	} rows[] = {
#define FIRST RULES("news open/**", "user/{sub}/**")
		/* closed to it */
		{ "topic=open/1", NULL, NULL, RULES("news", "user/{sub}/**"), true, 401 },
		{ "topic=open/1", NULL, NULL, RULES("news open/2", ""), true, 401 },
		{ "topic=news&topic=open/*", NULL, NULL, RULES("news", ""), true, 401 },
		{ "topic=user/42/a", "42", NULL, RULES("news open/**", ""), true, 403 },
		{ "topic=user/42/a", "42", NULL, RULES("news open/**", "u/{sub}"), true,
		    403 },
		{ "topic=user/42/a&topic=x", "42", "x", RULES("news open/**", ""), true,
		    403 },
		{ "topic=open/1&topic=x", "42", "x", RULES("news", ""), true, 403 },
		/* closed to others, who rest on the same list */
		{ "topic=news", NULL, NULL, RULES("news", "user/{sub}/**"), true, 200 },
		{ "topic=user/42/a", "42", NULL, RULES("news open/**", "user/{sub}/a"),
		    true, 200 },
		/* as open as before, or opener */
		{ "topic=open/1", NULL, NULL, FIRST, false, 200 },
		{ "topic=open/1", NULL, NULL, RULES("open/** x news", "user/{sub}/**"),
		    false, 200 },
		{ "topic=open/1", NULL, NULL, RULES("**", "user/{sub}/**"), false, 200 },
		{ "topic=open/1", NULL, NULL, RULES("news open/**", ""), false, 200 },
		{ "topic=user/42/a", "42", NULL, RULES("news", "user/{sub}/**"), false,
		    200 },
		{ "topic=user/42/a", "42", NULL, RULES("news open/**", "user/*/**"),
		    false, 200 },
		/* its grants or its key open it */
		{ "topic=open/1", "42", "open/*", RULES("", ""), true, 200 },
		{ "topic=x", "42", "x", RULES("", ""), false, 200 },
		{ "topic=user/42/a", "42", "user/42/*", RULES("", ""), false, 200 },
	};
	char *conf = fmt("%s/fanfare.conf", test_dir());
	struct server *s;

	write_whole(conf, FIRST, strlen(FIRST));
	s = server_start(fmt("-c%s", conf), "--log.level=info", NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *path = fmt("/events?%s", rows[i].topics), *about = fmt("row %zu", i);
		const char *as = rows[i].sub == NULL ? "" : reader(rows[i].sub, rows[i].grant);
		struct stream *st;
		struct answer *a;
		json_t *why;

		reload(s, conf, FIRST);
		st = stream_open(s, path, as);
		expect_live(st, false);
		reload(s, conf, rows[i].rules);
		if (rows[i].goes) {
			why = expect_close(st, "drain", SOON);
			ck_assert_str_eq(json_string_value(json_object_get(why, "detail")),
			    "the rules for topics have changed");
			ck_assert_int_ge(json_integer_value(json_object_get(why,
			    "retry")), 1000);
		} else
			ck_assert_msg(stream_quiet(st, 200), "%s", about);
		if (rows[i].status == 200) {
			st = rows[i].goes ? stream_open(s, path, as) : st;
			if (rows[i].goes)
				expect_live(st, false);
		} else {
			a = get(s, path, as);
			ck_assert_msg(a->status == rows[i].status, "%s: %d", about,
			    a->status);
		}
		stream_close(st);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* What was open, closed, and is open again lets in anew: nobody stays who came before. */
START_TEST(rules_that_come_back_are_no_home_for_those_who_had_to_go)
{
	static const char wide[] = RULES("open/**", ""), wider[] = RULES("open/** b", "");
	char *conf = fmt("%s/fanfare.conf", test_dir());
	struct stream *a, *b;
	struct server *s;

	write_whole(conf, wide, strlen(wide));
	s = server_start(fmt("-c%s", conf), "--log.level=info", NULL);
	a = stream_open(s, "/events?topic=open/1", "");
	expect_live(a, false);
	reload(s, conf, wider);
	b = stream_open(s, "/events?topic=b", "");
	expect_live(b, false);
	reload(s, conf, wide);
	expect_close(b, "drain", SOON);
	expect_close(a, "drain", SOON);
	is_problem(get(s, "/events?topic=b", ""), 401, "token_missing", "", "b is closed");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- those who are on their way ---- */

#define CROWDED	60

static void
take_key(struct server *s, const char *path)
{
	reload(s, path, ONE);
}

static void
take_rules(struct server *s, const char *path)
{
	reload(s, path, RULES("b", ""));
}

static void
take_token(struct server *s, const char *path)
{
	struct answer *a = post(s, "/revoke", AUTH, "{\"sub\":\"42\"}");

	(void)path;
	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
}

/* A head waits behind answers that its client does not read, and what would let it in is
 * taken away: wherever the head stood, no stream comes of it. */
static void
take_while_heads_wait(struct server *s, const char *path, const char *credential,
    void (*take)(struct server *, const char *), const char *told_so, const char *refused)
{
	static const char before[] = "GET /healthz?live HTTP/1.1\r\nHost: x\r\n\r\n";
	char *last = fmt("GET /events?topic=a HTTP/1.1\r\nHost: x\r\n%s\r\n", credential);
	char *got[CROWDED];
	size_t len[CROWDED] = { 0 }, size = 64 * 1024;
	int64_t requests, seen = -1, end;
	int fd[CROWDED], told = 0;
	ssize_t n;

	for (int i = 0; i < CROWDED; i++) {
		char *rq = fmt("%s%s", repeat(before, 5 + (size_t)i), last);

		got[i] = keep(calloc(1, size), free);
		ck_assert_int_ne(fd[i] = dial(s->port, 1024), -1);
		ck_assert_int_eq(send(fd[i], rq, strlen(rq), MSG_NOSIGNAL),
		    (int)strlen(rq));
	}
	/* Until all are stuck; each look is a request itself. */
	while ((requests = server_metric(s, "requests_total")) != seen + 1) {
		seen = requests;
		poll(NULL, 0, 100);
	}
	take(s, path);
	for (end = now_ms() + patience(SOON); told < CROWDED; poll(NULL, 0, 5))
		for (int i = 0; i < CROWDED; i++) {
			if (fd[i] == -1)
				continue;
			ck_assert_msg(now_ms() < end, "%d were told; then came %s",
			    told, got[i] + (len[i] > 100 ? len[i] - 100 : 0));
			if ((n = recv(fd[i], got[i] + len[i], size - 1 - len[i],
			    MSG_DONTWAIT)) > 0)
				len[i] += (size_t)n;
			/* One that was stuck as a stream may have been cut off. */
			if (n != 0 && strstr(got[i], told_so) == NULL &&
			    strstr(got[i], refused) == NULL)
				continue;
			ck_assert_ptr_null(strstr(got[i], "fanfare.live\n\n"));
			close(fd[i]);
			fd[i] = -1;
			told++;
		}
}

static struct server *
server_with_narrow_sockets(const char *option)
{
	int narrow = narrow_socket();
	struct server *s;

	servers_given(&narrow, 1, NULL);
	s = server_start(option, "--log.level=info", NULL);
	close(narrow);
	return s;
}

START_TEST(a_stream_whose_head_is_still_under_way_ends_with_its_key_too)
{
	char *path = fmt("%s/keys", test_dir());
	struct server *s;

	write_whole(path, BOTH, strlen(BOTH));
	s = server_with_narrow_sockets(fmt("--auth.api_keys_file=%s", path));
	take_while_heads_wait(s, path, bearing(NARROW_KEY "2"), take_key, "\"revoked\"",
	    "token_invalid");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_stream_whose_head_is_still_under_way_ends_when_its_token_is_revoked)
{
	struct server *s = server_with_narrow_sockets("--log.level=info");

	take_while_heads_wait(s, NULL, reader("42", "a"), take_token, "\"revoked\"",
	    "token_invalid");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_stream_whose_head_is_still_under_way_is_judged_by_the_rules_that_hold_then)
{
	char *path = fmt("%s/fanfare.conf", test_dir());
	struct server *s;

	write_whole(path, RULES("a b", ""), strlen(RULES("a b", "")));
	s = server_with_narrow_sockets(fmt("-c%s", path));
	take_while_heads_wait(s, path, "", take_rules, "\"drain\"", "token_missing");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The head of a publish alone, taken by the server. */
static struct http *
publish_head(struct server *s, const char *credential)
{
	struct http *h = http_open(s);
	char *head = fmt("POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n%s"
	    "Content-Length: 4\r\n\r\n", credential);
	int64_t before = server_metric(s, "requests_total"), now = before,
	    looks = 0, end = now_ms() + patience(SOON);

	ck_assert_int_eq(try_http_write(h, head, strlen(head)), 0);
	/* Each look is a request itself. */
	while (now <= before + looks) {
		ck_assert_int_lt(now_ms(), end);
		now = server_metric(s, "requests_total");
		looks++;
	}
	return h;
}

static void
publish_body(struct http *h, int status, const char *code)
{
	struct answer *a;

	ck_assert_int_eq(try_http_write(h, "late", 4), 0);
	ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
	if (status == 200)
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	else
		is_problem(a, status, code, "", "a body that came late");
	answer_free(a);
}

START_TEST(a_publish_is_judged_when_its_body_is_here)
{
	char *keys = fmt("%s/keys", test_dir());
	struct http *kept, *gone, *token, *over;
	struct server *s;

	write_whole(keys, BOTH, strlen(BOTH));
	s = server_start(fmt("--auth.api_keys_file=%s", keys), "--auth.leeway=0", NULL);
	kept = publish_head(s, bearing(NARROW_KEY "1"));
	gone = publish_head(s, bearing(NARROW_KEY "2"));
	token = publish_head(s, bearing(token_for(600, "a", NULL)));
	over = publish_head(s, bearing(token_for(2, "a", NULL)));
	reload(s, keys, ONE);
	publish_body(kept, 200, NULL);
	publish_body(gone, 401, "token_invalid");
	publish_body(token, 200, NULL);
	poll(NULL, 0, 3100);
	publish_body(over, 401, "token_expired");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_reload");
	TCase *tc = harness_case(su, "open", 60);

	tcase_add_test(tc, a_reload_ends_the_streams_whose_key_is_gone);
	tcase_add_test(tc,
	    a_reload_that_closes_topics_sends_their_readers_back_to_be_judged);
	tcase_add_test(tc, rules_that_come_back_are_no_home_for_those_who_had_to_go);
	tc = harness_case(su, "under way", 40);
	tcase_add_test(tc,
	    a_stream_whose_head_is_still_under_way_ends_with_its_key_too);
	tcase_add_test(tc,
	    a_stream_whose_head_is_still_under_way_ends_when_its_token_is_revoked);
	tcase_add_test(tc,
	    a_stream_whose_head_is_still_under_way_is_judged_by_the_rules_that_hold_then);
	tcase_add_test(tc, a_publish_is_judged_when_its_body_is_here);
	return su;
}

SUITE_MAIN
