/*
 * check_jwks.c - issuers whose keys come as a JWKS: what a set may hold, and which tokens
 * it opens.  Endpoints that rotate or are ill are in check_jwks_ill.c.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "auth_fetch.h"
#include "auth_internal.h"
#include "issuer.h"
#include "log.h"

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

/* ---- sets ---- */

START_TEST(an_answer_is_good_for_as_long_as_it_says_within_bounds)
{
	static const struct {
		const char	*text;
		long		 seconds;
	} rows[] = {
		{ NULL, 900 }, { "", 900 }, { "public", 900 }, { "max-age", 900 },
		{ "max-age=", 900 }, { "max-age=x", 900 }, { "max-age=-1", 900 },
		{ "max-age=600", 600 }, { " public, max-age=3600, immutable", 3600 },
		{ "MAX-AGE=600", 600 }, { "s-maxage=600", 900 },
		{ "max-age=0", 300 }, { "max-age=299", 300 }, { "max-age=301", 301 },
		{ "max-age=86400", 86400 }, { "max-age=86401", 86400 },
		{ "max-age=99999999999999999999999", 86400 },
		{ "no-store", 300 }, { "no-cache, max-age=3600", 300 },
		{ ",,, ,", 900 },
	};

	for (size_t i = 0; i < N(rows); i++)
		ck_assert_msg(auth_fetch_lifetime(rows[i].text) == rows[i].seconds,
		    "%s: %ld", rows[i].text, auth_fetch_lifetime(rows[i].text));
}
END_TEST

/* How many keys of a set are of use; `err` says why none is. */
static size_t
usable(const char *text, char err[512])
{
	struct auth_keys *keys = auth_jwks_read("set", text, strlen(text), err, 512);
	size_t n = keys == NULL ? 0 : keys->n;

	auth_keys_unref(keys);
	return n;
}

/* The first RSA key with another exponent. */
static char *
rsa_of(const char *e)
{
	char *text = jwk(RSA1, "a", ""), *at = strstr(text, "\"e\":\"");

	return fmt("%.*s\"e\":\"%s\"}", (int)(at - text), text, e);
}

START_TEST(J1_a_set_that_is_none_is_refused_with_the_reason)
{
	const struct {
		const char	*text, *says;
	} rows[] = {
		{ "", "not JSON" }, { "nonsense", "not JSON" }, { "[]", "no list named keys" },
		{ "{}", "no list named keys" }, { "{\"keys\":{}}", "no list named keys" },
		{ " \n<html>", "a page (HTML)" }, { "{\"keys\":[],\"keys\":[]}", "not JSON" },
		{ "{\"issuer\":\"x\",\"jwks_uri\":\"https://x\"}", "discovery document" },
		{ jwk(P256, "a", ""), "a single JWK" },
		{ "{\"keys\":[]}", "no key of the set is of use" },
		{ "{\"keys\":[7,\"x\",null,[]]}", "has no kty" },
		{ set_of("{\"kty\":\"oct\",\"k\":\"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\","
		    "\"kid\":\"a\"}"), "is a secret (oct)" },
		{ set_of(jwk(RSA1, "a", ",\"d\":\"AQAB\"")), "is a private key" },
		{ set_of(jwk(P256, "a", ",\"d\":\"AQAB\"")), "is a private key" },
		{ set_of(jwk(RSA1, "a", ",\"use\":\"enc\"")), "not for verifying" },
		{ set_of(jwk(RSA1, "a", ",\"key_ops\":[\"encrypt\"]")), "not for verifying" },
		{ set_of(jwk(RSA1, "a", ",\"alg\":\"PS256\"")), "is for PS256, which is not" },
		{ set_of(jwk(P256, "a", ",\"alg\":\"EdDSA\"")), "is for EdDSA, which is not" },
		{ set_of(jwk(RSA1, "a", ",\"alg\":[\"RS256\"]")), "alg that is not a string" },
		{ set_of(jwk(RSA1, "a", ",\"use\":[\"sig\"]")), "use that is not a string" },
		{ set_of(jwk(RSA1, "a", ",\"use\":null")), "use that is not a string" },
		{ set_of("{\"kid\":7,\"kty\":\"RSA\"}"), "kid that is not a string" },
		{ set_of("{\"kty\":[\"RSA\"]}"), "kty that is not a string" },
		{ set_of(jwk(RSA1, "a", ",\"key_ops\":\"verify\"")), "not for verifying" },
		{ set_of(jwk(RSA1, "a", ",\"key_ops\":[]")), "not for verifying" },
		{ set_of(jwk(RSA1, "a", ",\"d\":null")), "is a private key" },
		/* Of exponent 1 a signature is its own message. */
		{ set_of(rsa_of("AQ")), "not a sound key" },
		{ set_of(rsa_of("Ag")), "not a sound key" },
		{ set_of(rsa_of("AQAA")), "not a sound key" },
		{ set_of(rsa_of("AA")), "not a sound key" },
		{ set_of(rsa_of(b64(repeat("\377", 9), 9))), "not a sound key" },
		{ set_of(rsa_of("AQAB=")), "a member e that is not base64url" },
		{ set_of(rsa_of("AQ+/")), "a member e that is not base64url" },
		{ set_of(rsa_of("AQAB\\n")), "a member e that is not base64url" },
		{ set_of(rsa_of("")), "a member e that is not base64url" },
		{ set_of(jwk(RSA1, "a", ",\"alg\":\"HS256\"")), "alg that is not known" },
		{ set_of(jwk(RSA1, "a", ",\"alg\":\"ES256\"")), "alg that is not known" },
		{ set_of(jwk(P256, "a", ",\"alg\":\"ES384\"")), "alg that is not known" },
		{ set_of(jwk(RSA1, "a", ",\"alg\":\"none\"")), "alg that is not known" },
		{ set_of(jwk(RSA1024, "a", "")), "1024 bits" },
		{ set_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}"), "EdDSA" },
		{ set_of("{\"kty\":\"new\"}"), "kind (kty) that is not known" },
		{ set_of("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AQAB\",\"y\":\"AQAB\"}"),
		    "other than P-256" },
		{ set_of("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}"),
		    "not a sound key" },
		{ set_of("{\"kty\":\"EC\",\"crv\":\"P-256\"}"), "not a sound key" },
		{ set_of(fmt("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
		    b64(repeat("\1", 32), 32), b64(repeat("\1", 32), 32))),
		    "not a sound key" },
		{ set_of("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), "24 bits|17 bits" },
		{ set_of("{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}"), "member n that is not base64url" },
		{ set_of("{\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"}"), "member n that is not base64url" },
		{ set_of("{\"kty\":\"RSA\",\"n\":\"AQAB\"}"), "not a sound key" },
		{ set_of("{\"kty\":\"RSA\",\"n\":\"!!!!\",\"e\":\"AQAB\"}"), "member n that is not base64url" },
		{ set_of(fmt("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}",
		    b64(repeat("\377", 8192), 8192))), "not a sound key" },
		{ set_of(jwk(P256, repeat("k", 257), "")), "kid that is too long" },
		{ repeat("[", 5000), "not JSON" },
	};
	char err[512];
	const char *bar;

	for (size_t i = 0; i < N(rows); i++) {
		ck_assert_msg(usable(rows[i].text, err) == 0, "%.200s", rows[i].text);
		bar = strchr(rows[i].says, '|');
		ck_assert_msg(strstr(err, bar == NULL ? rows[i].says : fmt("%.*s",
		    (int)(bar - rows[i].says), rows[i].says)) != NULL ||
		    (bar != NULL && strstr(err, bar + 1) != NULL),
		    "%.100s: %s", rows[i].text, err);
	}
}
END_TEST

START_TEST(J1_what_is_of_no_use_does_not_spoil_the_rest)
{
	char err[512], *many = fmt("%s", jwk(P256, "0", ""));
	struct auth_keys *keys;

	/* Of two with the same name and algorithm the first counts. */
	ck_assert_uint_eq(usable(set_of(fmt("%s,%s,%s,{\"kty\":\"oct\"},7,%s",
	    jwk(RSA1, "a", ",\"alg\":\"RS256\",\"use\":\"sig\",\"x5c\":[\"x\"]"),
	    jwk(RSA2, "a", ""), jwk(P256, "a", ",\"key_ops\":[\"verify\"]"),
	    jwk(P384, NULL, ""))), err), 3);
	keys = auth_jwks_read("set", set_of(jwk(RSA1, "a", ",\"alg\":\"RS512\"")),
	    strlen(set_of(jwk(RSA1, "a", ",\"alg\":\"RS512\""))), err, sizeof err);
	ck_assert_ptr_nonnull(keys);
	ck_assert_uint_eq(keys->v[0].algs, 1u << AUTH_RS512);
	auth_keys_unref(keys);
	/* An end to it. */
	for (int i = 1; i < 100; i++)
		many = fmt("%s,%s", many, jwk(P256, fmt("%d", i), ""));
	ck_assert_uint_eq(usable(set_of(many), err), 32);
	ck_assert_uint_eq(usable(set_of(fmt("%s%s", repeat("{\"kty\":\"new\"},", 5000),
	    jwk(P256, "a", ""))), err), 0);
}
END_TEST

START_TEST(J1_a_mutilated_set_does_no_harm)
{
	static const char odd[] = "\"\\{}[]:,=-_\0\377 A9";
	char *good = set_of(fmt("%s,%s", jwk(P256, "a", ",\"use\":\"sig\""),
	    jwk(P384, "b", ",\"alg\":\"ES384\",\"key_ops\":[\"verify\"]"))), *bad, err[512];
	size_t len = strlen(good), n, at, whole = 0;
	struct auth_keys *keys;

	for (int i = size_of_run(2000, 200000); i > 0; i--) {
		/* Exactly as long as it is, so that a byte too far is seen. */
		n = i % 3 == 0 ? dice((uint32_t)len) + 1 : len;
		ck_assert_ptr_nonnull(bad = malloc(n));
		memcpy(bad, good, n);
		for (int k = (int)dice(4); k > 0; k--) {
			at = dice((uint32_t)n);
			bad[at] = odd[dice(sizeof odd)];
		}
		keys = auth_jwks_read("set", bad, n, err, sizeof err);
		for (size_t k = 0; keys != NULL && k < keys->n; k++) {
			ck_assert_ptr_nonnull(keys->v[k].parsed);
			ck_assert_uint_ne(keys->v[k].algs, 0);
			ck_assert_uint_eq(keys->v[k].algs & 7, 0);	/* no HS* */
		}
		whole += keys != NULL && keys->n == 2;
		auth_keys_unref(keys);
		free(bad);
	}
	ck_assert_uint_gt(whole, 0);
}
END_TEST

/* ---- what tokens open ---- */

START_TEST(kid_selects_among_keys_of_all_kinds)
{
	static const enum key_name kinds[] = { RSA1, P256, P384, P521 };
	struct endpoint *e = endpoint(set_of(fmt("%s,%s,%s,%s,%s",
	    jwk(RSA1, "0", ""), jwk(P256, "1", ",\"use\":\"sig\""),
	    jwk(P384, "2", ",\"alg\":\"ES384\""), jwk(P521, "3", ""),
	    jwk(RSA2, "pinned", ",\"alg\":\"RS512\""))));
	struct server *s = server_with(e);
	struct stream *st;

	for (size_t i = 0; i < N(kinds); i++) {
		char *t = bearer(kinds[i], fmt("%zu", i), "https://idp", "ann");

		st = stream_open(s, "/events?topic=user/ann/inbox", t);
		expect_live(st, false);
		ck_assert_int_eq(status_of(s, "/history?topic=a/1", t), 200);
		is_forbidden(get(s, "/history?topic=user/bob/inbox", t),
		    "user/bob/inbox", "another's");
		/* publish = no, whatever the claim says. */
		is_problem(post(s, "/publish?topic=a/1", t, "x"), 403,
		    "topic_forbidden", "", "publish");
	}
	/* The key fixes the algorithm, and kid the key. */
	is_problem(get(s, "/history?topic=a/1", bearer(RSA2, "pinned", "https://idp",
	    "ann")), 401, "token_invalid", "", "RS256 to an RS512 key");
	is_problem(get(s, "/history?topic=a/1", bearer(P256, "0", "https://idp", "ann")),
	    401, "token_invalid", "", "ES256 to an RSA key");
	is_problem(get(s, "/history?topic=a/1", bearer(RSA2, "0", "https://idp", "ann")),
	    401, "token_invalid", "", "another key's kid");
	/* Without one, those of its algorithm are tried. */
	ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P521, NULL,
	    "https://idp", "ann")), 200);
	is_problem(get(s, "/history?topic=a/1", bearer(P256_NEW, NULL, "https://idp",
	    "ann")), 401, "token_invalid", "", "no key of the set");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_token_without_kid_is_refused_when_it_might_mean_many_keys)
{
	struct endpoint *e = endpoint(set_of(fmt("%s,%s,%s,%s", jwk(P256, "1", ""),
	    jwk(P256, "2", ""), jwk(P256, "3", ""), jwk(P256_NEW, "4", ""))));
	struct server *s = server_with(e);

	ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P256_NEW, NULL,
	    "https://idp", "ann")), 200);
	ck_assert_int_eq(server_stop(s), 0);
	endpoint_serve(e, set_of(fmt("%s,%s,%s,%s,%s", jwk(P256, "1", ""),
	    jwk(P256, "2", ""), jwk(P256, "3", ""), jwk(P256, "5", ""),
	    jwk(P256_NEW, "4", ""))));
	s = server_with(e);
	ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P256_NEW, "4",
	    "https://idp", "bob")), 200);
	is_problem(get(s, "/history?topic=a/1", bearer(P256_NEW, NULL, "https://idp",
	    "cleo")), 401, "token_invalid", "", "five keys");
	ck_assert(logged(s, "has no kid, and auth.idp.jwks has 5 keys", SOON));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(J1_an_algorithm_that_is_not_supported_is_named_and_fetches_nothing)
{
	static const struct {
		const char	*alg, *says;
	} rows[] = {
		{ "EdDSA", "is EdDSA, which is not supported: have the issuer sign with" },
		{ "PS256", "is PS256, which is not supported: have the issuer sign with" },
		{ "PS512", "is PS512, which is not supported: have the issuer sign with" },
		{ "ES256K", "is ES256K, which is not supported: have the issuer" },
		{ "none", "kid in the token's header names none of the 1 keys" },
		{ "HS256", "kid in the token's header names none of the 1 keys" },
	};
	struct endpoint *e = endpoint(set_of(fmt("%s,{\"kty\":\"OKP\",\"kid\":\"ed\","
	    "\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
	    jwk(P256, "k", ""))));
	struct server *s = server_with(e);
	int64_t began = now_ms();

	ck_assert(logged(s, "key 2 is for EdDSA (OKP), which is not supported", SOON));
	for (size_t i = 0; i < N(rows); i++) {
		is_problem(get(s, "/history?topic=a/1", fmt(BEARER "%s\r\n", sign_token(P256,
		    fmt("{\"alg\":\"%s\",\"kid\":\"ed\"}", rows[i].alg), fmt("{\"iss\":"
		    "\"https://idp\",\"exp\":%lld}", (long long)wall_s() + 60)))), 401,
		    "token_invalid", "", rows[i].alg);
		ck_assert_msg(logged(s, rows[i].says, SOON), "%s: %s", rows[i].alg,
		    read_whole(s->log));
	}
	ck_assert_msg(e->hits == 1 || now_ms() - began > 100000, "%d", (int)e->hits);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(J1_a_token_is_judged_by_the_section_of_its_issuer_alone)
{
	struct endpoint *e = endpoint(set_of(jwk(P256, "k", ""))),
	    *other = endpoint(set_of(jwk(RSA1, "k", "")));
	struct server *s = server_start("--auth.idp.issuer=https://idp",
	    fmt("--auth.idp.jwks=http://127.0.0.1:%d/jwks", e->port),
	    "--auth.other.issuer=https://other", "--auth.other.publish=yes",
	    "--auth.other.audience=fan",
	    fmt("--auth.other.jwks=http://127.0.0.1:%d/jwks", other->port),
	    "--auth.key=" HOUSE_KEY, NULL);
	char *claims = fmt("{\"iss\":\"https://other\",\"aud\":[\"x\",\"fan\"],"
	    "\"exp\":%lld,\"fanfare\":{\"publish\":[\"**\"]}}", (long long)wall_s() + 60);
	static const char path[] = "/history?topic=a/1";

	ck_assert_int_eq(status_of(s, path, bearer(P256, "k", "https://idp", "a")), 200);
	is_problem(get(s, path, bearer(P256, "k", "https://other", "a")), 401,
	    "token_invalid", "", "signed by another issuer");
	is_problem(get(s, path, bearer(RSA1, "k", "https://idp", "a")), 401,
	    "token_invalid", "", "signed by another issuer");
	is_problem(get(s, path, bearer(RSA1, "k", "https://other", "a")), 401,
	    "token_invalid", "", "audience of its section");
	is_problem(get(s, path, bearer(P256, "k", "https://third", "a")), 401,
	    "token_invalid", "", "nobody's issuer is the house's");
	ck_assert_int_eq(post(s, "/publish?topic=b", fmt(BEARER "%s\r\n", sign_token(RSA1,
	    "{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"at+jwt\"}", claims)), "x")->status,
	    200);
	/* The house's key does not speak for others, nor without an issuer for none. */
	ck_assert_int_eq(status_of(s, path, fmt(BEARER "%s\r\n", token_for(60, NULL,
	    "a/**"))), 200);
	is_problem(get(s, path, fmt(BEARER "%s\r\n", token(HOUSE_KEY, fmt("{\"iss\":"
	    "\"https://idp\",\"exp\":%lld,\"fanfare\":{\"subscribe\":[\"**\"]}}",
	    (long long)wall_s() + 60)))), 401, "token_invalid", "", "HMAC to a JWKS");
	/* Nor do a JWK's own bytes make a secret. */
	is_problem(get(s, path, fmt(BEARER "%s\r\n", token(jwk(P256, "k", ""),
	    fmt("{\"iss\":\"https://idp\",\"exp\":%lld}", (long long)wall_s() + 60)))),
	    401, "token_invalid", "", "HMAC with the JWK");
	ck_assert_int_eq(e->other_hits + other->other_hits, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(what_type_an_endpoint_calls_its_set_does_not_count)
{
	static const char *const types[] = { "text/plain", "text/html",
	    "application/octet-stream", "application/jwk-set+json; charset=utf-8" };

	for (size_t i = 0; i < N(types); i++) {
		struct endpoint *e = endpoint(set_of(jwk(P256, "k", "")));
		struct server *s;

		e->headers = strdup(fmt("Content-Type: %s\r\n", types[i]));
		s = server_with(e);
		ck_assert_msg(status_of(s, "/history?topic=a/1", bearer(P256, "k",
		    "https://idp", "ann")) == 200, "%s", types[i]);
		ck_assert_int_eq(server_stop(s), 0);
	}
}
END_TEST

/* ---- files, and who looks before starting ---- */

START_TEST(a_jwks_may_be_a_file_and_is_read_at_start_and_by_sighup)
{
	char *path = fmt("%s/jwks.json", test_dir()), *said,
	    *set = set_of(jwk(P256, "k", ""));
	struct server *s;

	write_whole(path, set, strlen(set));
	s = server_start("--auth.idp.issuer=https://idp",
	    fmt("--auth.idp.jwks=%s", path), NULL);
	ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P256, "k",
	    "https://idp", "ann")), 200);
	/* Nobody fetches a file: an unknown kid is refused at once. */
	is_problem(get(s, "/history?topic=a/1", bearer(P256_NEW, "new", "https://idp",
	    "ann")), 401, "token_invalid", "", "unknown kid");
	set = set_of(jwk(P256_NEW, "new", ""));
	write_whole(path, set, strlen(set));
	server_signal(s, SIGHUP);
	ck_assert(logged(s, "are reloaded", SOON));
	ck_assert_int_eq(status_of(s, "/history?topic=a/1", bearer(P256_NEW, "new",
	    "https://idp", "ann")), 200);
	ck_assert_int_eq(server_stop(s), 0);
	write_whole(path, "{\"keys\":[]}", 11);
	ck_assert_int_eq(server_refused(&said, "--auth.idp.issuer=https://idp",
	    fmt("--auth.idp.jwks=%s", path), NULL), 2);
	ck_assert_msg(strstr(said, "auth.idp.jwks: no key of the set") != NULL, "%s", said);
	ck_assert_int_eq(server_refused(&said, "--auth.idp.issuer=https://idp",
	    "--auth.idp.jwks=/nowhere", NULL), 2);
	ck_assert_msg(strstr(said, "auth.idp.jwks: /nowhere: No such file") != NULL, "%s",
	    said);
}
END_TEST

/* What a command says, with both outputs together. */
static char *
command(const char *arguments)
{
	const char *bin = getenv("FANFARE_BIN");
	char *text = keep(calloc(1, 65536), free);
	FILE *f = popen(fmt(CLEAN_ENV "%s %s 2>&1",
	    bin != NULL ? bin : "./fanfare", arguments), "r");

	ck_assert_ptr_nonnull(f);
	(void)!fread(text, 1, 65535, f);
	(void)pclose(f);
	return text;
}

START_TEST(explain_and_check_fetch_the_keys_too)
{
	struct endpoint *e = endpoint(set_of(fmt("%s,%s", jwk(P256, "k", ""),
	    jwk(RSA1, "r", ""))));
	char *conf = fmt("%s/fanfare.conf", test_dir()), *text, *said,
	    *t = bearer(P256, "k", "https://idp", "ann") + strlen(BEARER);

	t = fmt("%.*s", (int)strcspn(t, "\r"), t);
	text = fmt("[auth]\nkey = " HOUSE_KEY "\n[auth.idp]\nissuer = https://idp\n"
	    "jwks = http://127.0.0.1:%d/jwks\n[store]\npath = %s/x.db\n", e->port,
	    test_dir());
	write_whole(conf, text, strlen(text));
	said = command(fmt("explain -c %s %s", conf, t));
	ck_assert_msg(strstr(said, "judged by      ok  [auth.idp], whose issuer is the "
	    "claim iss") != NULL, "%s", said);
	ck_assert_msg(strstr(said, "auth.idp.jwks: kid k, an EC public key on P-256") !=
	    NULL, "%s", said);
	ck_assert_msg(strstr(said, "publish nothing: auth.idp.publish is no") != NULL,
	    "%s", said);
	ck_assert_msg(strstr(said, "Accepted") != NULL, "%s", said);
	said = command(fmt("check -c %s", conf));
	ck_assert_msg(strstr(said, "key \"r\": an RSA public key of 2048 bits") != NULL,
	    "%s", said);
	ck_assert_msg(strstr(said, "all is well") != NULL, "%s", said);
	t = bearer(P256_NEW, "new", "https://idp", "ann") + strlen(BEARER);
	said = command(fmt("explain -c %s %.*s", conf, (int)strcspn(t, "\r"), t));
	ck_assert_msg(strstr(said, "kid in the token's header names none of the 2 keys")
	    != NULL, "%s", said);
	e->mood = BROKEN;
	said = command(fmt("check -c %s", conf));
	ck_assert_msg(strstr(said, "auth.idp.jwks: http://127.0.0.1") != NULL &&
	    strstr(said, "the answer is 500") != NULL &&
	    strstr(said, "would start all the same") != NULL, "%s", said);
}
END_TEST

static void
quiet(void)
{
	log_init(LOG_ERROR, false);
}

static Suite *
suite(void)
{
	Suite *s = suite_create("jwks");
	TCase *t = harness_case(s, "sets", 60);

	tcase_add_checked_fixture(t, quiet, NULL);
	tcase_add_test(t, an_answer_is_good_for_as_long_as_it_says_within_bounds);
	tcase_add_test(t, J1_a_set_that_is_none_is_refused_with_the_reason);
	tcase_add_test(t, J1_what_is_of_no_use_does_not_spoil_the_rest);
	tcase_add_test(t, J1_a_mutilated_set_does_no_harm);
	t = harness_case(s, "tokens", 60);
	tcase_add_test(t, kid_selects_among_keys_of_all_kinds);
	tcase_add_test(t, a_token_without_kid_is_refused_when_it_might_mean_many_keys);
	tcase_add_test(t,
	    J1_an_algorithm_that_is_not_supported_is_named_and_fetches_nothing);
	tcase_add_test(t, J1_a_token_is_judged_by_the_section_of_its_issuer_alone);
	tcase_add_test(t, what_type_an_endpoint_calls_its_set_does_not_count);
	tcase_add_test(t, a_jwks_may_be_a_file_and_is_read_at_start_and_by_sighup);
	tcase_add_test(t, explain_and_check_fetch_the_keys_too);
	return s;
}

SUITE_MAIN
