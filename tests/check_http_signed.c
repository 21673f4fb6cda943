/*
 * check_http_signed.c - tokens signed with RS256 and ES256: their check takes long, so
 * the server makes it beside everything else, and a request waits for it.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum key_name { K_EC, K_EC_OTHER, K_RSA, K_RSA_OTHER, K_NAMES };

static const struct { const char *name; jwt_alg_t alg; } kinds[K_NAMES] = {
	{ "ES256", JWT_ALG_ES256 }, { "ES256", JWT_ALG_ES256 },
	{ "RS256", JWT_ALG_RS256 }, { "RS256", JWT_ALG_RS256 },
};

/* ---- keys and tokens ---- */

static EVP_PKEY *
key_of(enum key_name name)
{
	static EVP_PKEY *keys[K_NAMES];

	if (keys[name] == NULL)
		keys[name] = kinds[name].alg == JWT_ALG_ES256 ?
		    EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
	ck_assert_ptr_nonnull(keys[name]);
	return keys[name];
}

static char *
pem_of(enum key_name name, bool private)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	ck_assert_int_eq(private ? PEM_write_bio_PrivateKey(b, key_of(name), NULL,
	    NULL, 0, NULL, NULL) : PEM_write_bio_PUBKEY(b, key_of(name)), 1);
	n = BIO_get_mem_data(b, &p);
	text = fmt("%.*s", (int)n, p);
	BIO_free(b);
	return text;
}

static void
write_key(const char *path, enum key_name name)
{
	char *pem = pem_of(name, false);

	write_whole(path, pem, strlen(pem));
}

/* A header line; a token of its own for each number. */
static char *
signed_by(enum key_name name, int number)
{
	char *pem = pem_of(name, true), *claims, *s;
	jwt_t *jwt;

	claims = fmt("{\"exp\":%lld,\"sub\":\"%d\",\"fanfare\":{"
	    "\"publish\":[\"**\"],\"subscribe\":[\"a/**\"]}}",
	    (long long)wall_s() + 600, number);
	ck_assert_int_eq(jwt_new(&jwt), 0);
	ck_assert_int_eq(jwt_add_grants_json(jwt, claims), 0);
	ck_assert_int_eq(jwt_set_alg(jwt, kinds[name].alg,
	    (const unsigned char *)pem, (int)strlen(pem)), 0);
	s = keep(jwt_encode_str(jwt), free);
	jwt_free(jwt);
	return fmt(BEARER "%s\r\n", s);
}

/* A server that trusts this key, in a file which *path names. */
static struct server *
server_with(enum key_name name, char **path)
{
	*path = fmt("%s/token-key", test_dir());
	write_key(*path, name);
	return server_start(fmt("--auth.key_file=%s", *path), NULL);
}

static int64_t
metric(struct server *s, const char *name)
{
	struct server admin = *s;
	json_t *v;

	admin.port = s->admin_port;
	v = json_object_get(body_json(get(&admin, "/stats", "")), name);
	ck_assert_msg(json_is_integer(v), "no %s", name);
	return json_integer_value(v);
}

/* ---- what they open ---- */

START_TEST(es256_and_rs256_tokens_read_and_publish)
{
	static const enum key_name rows[] = { K_EC, K_RSA };
	char *path, *big = repeat("0123456789", 5000);
	struct stream *st;
	struct server *s;
	struct answer *a;
	struct http *h;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum key_name k = rows[i];

		s = server_with(k, &path);
		st = stream_open(s, "/events?topic=a/1", signed_by(k, 1));
		expect_live(st, false);
		a = post(s, "/publish?topic=a/1", signed_by(k, 2), "one");
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		expect_event(st, "message", "one");
		/* On one connection, each with a token never seen: whole, in
		 * pieces, and by somebody who asks first. */
		h = http_open(s);
		for (int n = 10; n < 14; n++) {
			ck_assert_int_eq(try_http_send(h, "POST",
			    "/publish?topic=a/1", signed_by(k, n), big,
			    strlen(big)), 0);
			a = try_http_receive(h, SOON);
			ck_assert_ptr_nonnull(a);
			ck_assert_int_eq(a->status, 200);
			answer_free(a);
			expect_event(st, "message", big);
		}
		ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a/1",
		    fmt("Transfer-Encoding: chunked\r\n%s", signed_by(k, 20)),
		    NULL, 0), 0);
		ck_assert_int_eq(try_http_write(h, "3\r\ntwo\r\n", 8), 0);
		ck_assert_int_eq(try_http_write(h, "0\r\n\r\n", 5), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		expect_event(st, "message", "two");
		a = get(s, "/history?topic=a/1&limit=1", signed_by(k, 30));
		ck_assert_int_eq(a->status, 200);
		ck_assert_ptr_nonnull(strstr(a->body, "\"two\""));
		is_forbidden(get(s, "/history?topic=b", signed_by(k, 31)), "b",
		    "no grant");
		is_forbidden(get(s, "/events?topic=b", signed_by(k, 32)), "b",
		    "no grant");
		ck_assert_int_eq(st->odd, 0);
		ck_assert_int_eq(server_stop(s), 0);
	}
}
END_TEST

/* A problem document without its ref. */
static char *
without_ref(const struct answer *a)
{
	json_t *j = body_json(a);

	json_object_del(j, "ref");
	return keep(json_dumps(j, JSON_SORT_KEYS), free);
}

START_TEST(a_wrong_signature_is_the_401_that_it_always_was)
{
	static const struct { enum key_name trusted, other; } rows[] = {
		{ K_EC, K_EC_OTHER }, { K_RSA, K_RSA_OTHER },
	};
	static const char path[] = "/events?topic=a/1";
	char *file, *plain, *wrong, *log;
	struct server *s = server_start(NULL, NULL);
	struct answer *a;
	struct stream *st;
	struct http *h;

	/* By HMAC nothing waits: that is the answer to compare with. */
	plain = without_ref(get(s, path, fmt(BEARER "%s\r\n",
	    token("another-secret-of-32-bytes-or-more", fmt("{\"exp\":%lld}",
	    (long long)wall_s() + 600)))));
	ck_assert_int_eq(server_stop(s), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		s = server_with(rows[i].trusted, &file);
		wrong = signed_by(rows[i].other, 1);
		a = get(s, path, wrong);
		is_problem(a, 401, "token_invalid", "", kinds[rows[i].other].name);
		ck_assert(header_has(a, "WWW-Authenticate", "invalid_token"));
		ck_assert_str_eq(without_ref(a), plain);
		a = get(s, "/history?topic=a/1", wrong);
		ck_assert_str_eq(without_ref(a), plain);
		/* A refused publish leaves its connection to the next one. */
		h = http_open(s);
		for (int n = 0; n < 2; n++) {
			ck_assert_int_eq(try_http_send(h, "POST",
			    "/publish?topic=a/1", n == 0 ? wrong :
			    signed_by(rows[i].trusted, 2), "body", 4), 0);
			a = try_http_receive(h, SOON);
			ck_assert_ptr_nonnull(a);
			ck_assert_int_eq(a->status, n == 0 ? 401 : 200);
			if (n == 0)
				ck_assert_str_eq(without_ref(a), plain);
			answer_free(a);
		}
		st = stream_open(s, "/events?topic=a/1&errors=event", wrong);
		expect_close(st, "unauthorized", SOON);
		ck_assert_int_eq(server_stop(s), 0);
		log = read_whole(s->log);
		ck_assert_msg(strstr(log, "the signature does not match "
		    "auth.key_file") != NULL, "%s", log);
	}
}
END_TEST

START_TEST(the_same_token_is_checked_once)
{
	char *path, *t = signed_by(K_EC, 1);
	struct server *s = server_with(K_EC, &path);
	struct stream *st[50];

	for (int i = 0; i < 50; i++) {
		st[i] = try_stream(s, "/events?topic=a/1", t, 0);
		ck_assert_ptr_nonnull(st[i]);
	}
	for (int i = 0; i < 50; i++)
		expect_live(st[i], false);
	ck_assert_int_eq(get(s, "/history?topic=a/1", t)->status, 200);
	ck_assert_int_eq(post(s, "/publish?topic=a/1", t, "x")->status, 200);
	ck_assert_int_eq(metric(s, "auth_checks"), 1);
	/* A bad one is not remembered. */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(get(s, "/history?topic=a/1",
		    signed_by(K_EC_OTHER, 1))->status, 401);
	ck_assert_int_eq(metric(s, "auth_checks"), 4);
	ck_assert_int_eq(metric(s, "auth_waiting"), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- crowds ---- */

#define CROWD	500

/* Signed before they are needed: that takes about as long as checking them. */
static char **
crowd_of(enum key_name name, int n)
{
	char **headers = keep(calloc((size_t)n, sizeof *headers), free);

	for (int i = 0; i < n; i++)
		headers[i] = signed_by(name, 1000 + i);
	return headers;
}

/* All of them at once. */
static void
come(struct server *s, struct stream **st, char **headers, int n)
{
	for (int i = 0; i < n; i++) {
		st[i] = try_stream(s, "/events?topic=a/1", headers[i], 0);
		ck_assert_ptr_nonnull(st[i]);
	}
}

START_TEST(a_crowd_comes_in_while_publishes_go_on)
{
	static struct stream *st[CROWD];
	char *path;
	struct server *s = server_with(K_EC, &path);
	struct http *h;
	int open = 0, published = 0;
	struct answer *a;

	come(s, st, crowd_of(K_EC, CROWD), CROWD);
	h = http_open(s);
	while (open < CROWD) {
		ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=b",
		    AUTH, "x", 1), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		published++;
		stream_feed(st[open]);
		ck_assert_msg(!st[open]->eof, "stream %d has ended", open);
		while (open < CROWD && st[open]->first != NULL) {
			expect_live(st[open], false);
			if (++open < CROWD)
				stream_feed(st[open]);
		}
	}
	ck_assert_int_gt(published, 0);
	ck_assert_int_eq(metric(s, "auth_checks"), CROWD);
	publish(s, "a/1", "for all");
	for (int i = 0; i < CROWD; i++)
		expect_event(st[i], "message", "for all");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(clients_that_leave_during_their_check_do_no_harm)
{
	static struct stream *st[CROWD];
	char *path, *rq, **crowd = crowd_of(K_EC, CROWD + 50);
	struct server *s = server_with(K_EC, &path);
	struct http *h[50];
	int before = server_descriptors(s);
	int64_t end;

	come(s, st, crowd, CROWD);
	/* Publishers too, with half of the body sent. */
	for (int i = 0; i < 50; i++) {
		h[i] = http_open(s);
		rq = fmt("POST /publish?topic=a/1 HTTP/1.1\r\nHost: x\r\n"
		    "Content-Length: 10\r\n%s\r\nhalf", crowd[CROWD + i]);
		ck_assert_int_eq(try_http_write(h[i], rq, strlen(rq)), 0);
		http_close(h[i]);
	}
	for (int i = CROWD - 1; i >= 0; i--)
		stream_close(st[i]);
	st[0] = stream_open(s, "/events?topic=a/1", signed_by(K_EC, 1));
	expect_live(st[0], false);
	publish(s, "a/1", "x");
	expect_event(st[0], "message", "x");
	for (end = now_ms() + patience(2 * SOON); server_descriptors(s) >
	    before + 1 && now_ms() < end;)
		poll(NULL, 0, 20);
	ck_assert_int_le(server_descriptors(s), before + 1);
	ck_assert_int_eq(metric(s, "streams"), 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- changes in the middle ---- */

/* How a stream went on: it lives, or was refused or ended as it must be. */
static bool
is_open(struct stream *st)
{
	struct event *e;

	ck_assert_msg(stream_head(st, SOON), "no answer");
	if (st->head.status != 200) {
		ck_assert_int_eq(st->head.status, 401);
		return false;
	}
	while ((e = stream_pop(st)) != NULL)
		if (strcmp(e->name, "fanfare.close") == 0) {
			ck_assert_ptr_nonnull(strstr(e->data, "\"revoked\""));
			return false;
		}
	return !st->eof;
}

START_TEST(a_reload_during_checks_leaves_the_old_key_no_stream)
{
	static struct stream *st[CROWD];
	char *path, *new, **crowd = crowd_of(K_EC, CROWD);
	struct server *s = server_with(K_EC, &path);
	struct stream *one;
	int64_t end;
	int open;

	new = signed_by(K_EC_OTHER, 1);
	end = now_ms() + patience(2 * SOON);
	come(s, st, crowd, CROWD);
	write_key(path, K_EC_OTHER);
	server_signal(s, SIGHUP);
	while (get(s, "/history?topic=a/1", new)->status != 200)
		ck_assert_msg(now_ms() < end, "the new key is not taken");
	/* Whatever is answered from now on is answered by the new key. */
	do {
		open = 0;
		for (int i = 0; i < CROWD; i++) {
			stream_feed(st[i]);
			open += is_open(st[i]);
		}
		ck_assert_msg(now_ms() < end, "%d streams of the old key", open);
	} while (open > 0);
	is_problem(get(s, "/history?topic=a/1", crowd[0]), 401,
	    "token_invalid", "", "a token that the old key knew");
	one = stream_open(s, "/events?topic=a/1", new);
	expect_live(one, false);
	ck_assert_int_eq(metric(s, "streams"), 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(reloads_that_change_nothing_are_not_noticed)
{
	static struct stream *st[CROWD];
	char *path, **crowd = crowd_of(K_RSA, CROWD / 5);
	struct server *s = server_with(K_RSA, &path);

	come(s, st, crowd, CROWD / 5);
	for (int i = 0; i < 20; i++) {
		server_signal(s, SIGHUP);
		poll(NULL, 0, 2);
	}
	for (int i = 0; i < CROWD / 5; i++)
		expect_live(st[i], false);
	publish(s, "a/1", "x");
	for (int i = 0; i < CROWD / 5; i++)
		expect_event(st[i], "message", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(sigterm_during_checks_answers_everybody)
{
	static struct stream *st[CROWD];
	char *path, **crowd = crowd_of(K_EC, CROWD + 50);
	struct http *h[50];
	struct answer *a;
	struct event *e;
	struct server *s;
	int late = 0;

	/* With a drain and without: then the checks are cut off. */
	for (int signals = 1; signals <= 2; signals++) {
		s = server_with(K_EC, &path);
		come(s, st, crowd, CROWD);
		for (int i = 0; i < 50; i++) {
			h[i] = http_open(s);
			if (i % 2 == 0)
				ck_assert_int_eq(try_http_send(h[i], "GET",
				    "/history?topic=a/1", crowd[CROWD + i],
				    NULL, 0), 0);
			else
				ck_assert_int_eq(try_http_send(h[i], "POST",
				    "/publish?topic=a/1", crowd[CROWD + i],
				    "x", 1), 0);
		}
		for (int i = 0; i < signals; i++) {
			server_signal(s, SIGTERM);
			poll(NULL, 0, 5);
		}
		ck_assert_int_eq(server_wait(s, 2 * SOON), 0);
		for (int i = 0; i < 50; i++) {
			/* Nothing at all only for who had not come in yet. */
			if ((a = try_http_receive(h[i], SOON)) == NULL)
				continue;
			if (a->status != 200)
				is_problem(a, 503, "drain", "", "waiting");
			answer_free(a);
			http_close(h[i]);
		}
		for (int i = 0; i < CROWD; i++) {
			if (!stream_head(st[i], SOON))
				continue;
			ck_assert_int_eq(st[i]->head.status, 200);
			while ((e = stream_next(st[i], SOON)) != NULL)
				if (strcmp(e->name, "fanfare.close") == 0)
					late += strstr(e->data,
					    "\"drain\"") != NULL;
			ck_assert(st[i]->eof);
		}
	}
	ck_assert_int_gt(late, 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_signed");
	TCase *tc = harness_case(su, "tokens", 60);

	tcase_add_test(tc, es256_and_rs256_tokens_read_and_publish);
	tcase_add_test(tc, a_wrong_signature_is_the_401_that_it_always_was);
	tcase_add_test(tc, the_same_token_is_checked_once);
	tc = harness_case(su, "crowds", 60);
	tcase_add_test(tc, a_crowd_comes_in_while_publishes_go_on);
	tcase_add_test(tc, clients_that_leave_during_their_check_do_no_harm);
	tc = harness_case(su, "changes", 60);
	tcase_add_test(tc, a_reload_during_checks_leaves_the_old_key_no_stream);
	tcase_add_test(tc, reloads_that_change_nothing_are_not_noticed);
	tcase_add_test(tc, sigterm_during_checks_answers_everybody);
	return su;
}

SUITE_MAIN
