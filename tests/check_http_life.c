/*
 * check_http_life.c - the life of a token on a stream: what of the past it may see, when it
 * ends, and what becomes of one that is revoked while it is judged.
 */
#include "config.h"

#include "issuer.h"

#include <sys/socket.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IDP		"https://idp.example.com"

/* A header line: this sub reads what `subscribe` says, `seconds` long. */
static char *
reader(const char *sub, const char *subscribe, int64_t seconds)
{
	return fmt(BEARER "%s\r\n", token(HOUSE_KEY, fmt("{\"exp\":%lld,\"iat\":%lld,"
	    "\"sub\":\"%s\",\"fanfare\":{\"subscribe\":[\"%s\"]}}",
	    (long long)(wall_s() + seconds), (long long)wall_s() - 1, sub, subscribe)));
}

/* However a stream comes by what is past, each event of it is one that its token covers. */
START_TEST(every_replayed_event_is_one_that_the_token_covers)
{
	static const char *const topics[] = { "user/42", "user/42/a", "user/43/a",
	    "user/4", "user", "user/42/a/b" };
	static const char *const ways[] = { "&replay=1000", "&since=1h", "&after=%s" };
	struct server *s = server_start("--store.tail=64k", NULL);
	char *as = reader("42", "user/42/**", 600), *first;

	first = publish(s, "user/43/a", "43");
	for (int i = 0; i < 900; i++)
		publish(s, topics[i % 6], topics[i % 6]);
	for (int i = 0; i < 3; i++) {
		struct stream *st = stream_open(s, fmt("/events?topic=user/42/**%s",
		    i == 2 ? fmt("&after=%s", first) : ways[i]), as);
		struct event *e;
		int n = 0;

		while ((e = stream_next(st, SOON)) != NULL &&
		    strcmp(e->name, "message") == 0) {
			ck_assert_msg(strncmp(e->data, "user/42", 7) == 0, "%s",
			    e->data);
			n++;
		}
		ck_assert_ptr_nonnull(e);
		ck_assert_str_eq(e->name, "fanfare.live");
		ck_assert_int_eq(n, 450);
		is_forbidden(get(s, fmt("/events?topic=user/**%s", i == 2 ?
		    fmt("&after=%s", first) : ways[i]), as), "user/**", ways[i]);
		stream_close(st);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* A reader who takes his time over the past gets nothing of it behind exp. */
START_TEST(no_event_is_replayed_on_a_stream_past_its_expiry)
{
	int narrow = narrow_socket();
	char *big = repeat("0123456789", 5000), *first;
	struct stream *st;
	struct server *s;
	int64_t exp, sent, end;
	struct event *e;
	bool closed = false;
	int n = 0;

	servers_given(&narrow, 1, NULL);
	s = server_start("--auth.leeway=0", "--stream.queue=1M", NULL);
	first = publish(s, "a", "first");
	for (int i = 0; i < 400; i++)
		publish(s, "a", big);		/* 20 MB */
	exp = wall_s() + 3;
	st = try_stream(s, fmt("/events?topic=a&after=%s", first), reader("1", "a", 3),
	    4096);
	ck_assert_ptr_nonnull(st);
	/* He takes an event and then waits until it is over. */
	while ((e = stream_next(st, SOON)) != NULL && strcmp(e->name, "message") != 0)
		;
	ck_assert_ptr_nonnull(e);
	while (wall_s() <= exp)
		poll(NULL, 0, 50);
	poll(NULL, 0, 300);
	sent = server_metric(s, "sent_bytes_total");
	for (end = now_ms() + patience(SOON); !st->eof && now_ms() < end;)
		while ((e = stream_next(st, 50)) != NULL) {
			ck_assert_msg(!closed, "%s behind fanfare.close", e->name);
			closed = strcmp(e->name, "fanfare.close") == 0;
			n += strcmp(e->name, "message") == 0;
		}
	ck_assert(st->eof);
	ck_assert_msg(n < 100, "%d events", n);
	/* The rest of the event that was half sent, and fanfare.close, at most. */
	ck_assert_int_le(server_metric(s, "sent_bytes_total") - sent, 51000);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* RS256 tokens are judged by a thread of their own: those that wait there when their sub
 * is revoked come to nothing. */
START_TEST(a_token_that_is_judged_while_it_is_revoked_opens_nothing)
{
	enum { CROWD = 30 };
	char *set = fmt("%s/jwks", test_dir()), *keys = set_of(jwk(RSA1, "k", ""));
	char *as[CROWD];
	struct http *h[CROWD / 10];
	struct stream *st[CROWD];
	struct server *s;

	write_whole(set, keys, strlen(keys));
	s = server_start(fmt("--auth.idp.jwks=%s", set), "--auth.idp.issuer=" IDP, NULL);
	for (int i = 0; i < CROWD; i++)
		as[i] = fmt(BEARER "%s\r\n", sign_token(RSA1, "{\"alg\":\"RS256\","
		    "\"kid\":\"k\"}", fmt("{\"iss\":\"" IDP "\",\"sub\":\"s%d\",\"n\":%d,\"exp\":%lld,"
		    "\"fanfare\":{\"subscribe\":[\"a/**\"]}}", i % (CROWD / 10), i,
		    (long long)wall_s() + 600)));
	for (int i = 0; i < CROWD / 10; i++)
		h[i] = http_open(s);
	for (int i = 0; i < CROWD; i++) {
		st[i] = try_stream(s, "/events?topic=a/1", as[i], 0);
		ck_assert_ptr_nonnull(st[i]);
	}
	for (int i = 0; i < CROWD / 10; i++) {
		char *body = fmt("{\"sub\":\"s%d\"}", i);

		ck_assert_int_eq(try_http_send(h[i], "POST", "/revoke", AUTH, body,
		    strlen(body)), 0);
	}
	for (int i = 0; i < CROWD / 10; i++) {
		struct answer *a = try_http_receive(h[i], SOON);

		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
	}
	for (int i = 0; i < CROWD; i++) {
		int64_t end = now_ms() + patience(SOON);

		/* A refusal is an answer that ends, not its connection. */
		while (!st[i]->eof && !(stream_head(st[i], 50) &&
		    st[i]->head.status == 401)) {
			ck_assert_msg(now_ms() < end, "stream %d lives", i);
			(void)stream_next(st[i], 20);
		}
	}
	ck_assert_int_eq(server_metric(s, "streams"), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("http_life");
	TCase *tc = harness_case(s, "past", 90);

	tcase_add_test(tc, every_replayed_event_is_one_that_the_token_covers);
	tcase_add_test(tc, no_event_is_replayed_on_a_stream_past_its_expiry);
	tc = harness_case(s, "revoked", 90);
	tcase_add_test(tc, a_token_that_is_judged_while_it_is_revoked_opens_nothing);
	return s;
}

SUITE_MAIN
