/*
 * check_auth_explain.c - tokens and keys as the command line makes and explains them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth_rig.h"

START_TEST(a_minted_token_is_good_here)
{
	const char *publish[] = { "out/**", NULL };
	const char *subscribe[] = { "in/*", "x", NULL };
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a",
	    .house.audience = "fan", .house.grants_claim = "rights" };
	struct auth_mint m = { publish, subscribe, "42", 60000, 0.5 };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	char err[512], *t;

	t = auth_mint_token(a, &m, NOW, err, sizeof err);
	ck_assert_msg(t != NULL, "%s", err);
	id = identity(a, t, AUTH_PUBLISH);
	ck_assert_str_eq(id.sub, "42");
	ck_assert(id.rate > 0.49 && id.rate < 0.51);
	ck_assert_int_eq(id.exp_ms, NOW + 60000);
	ck_assert(publishes(a, &id, "out/1") && !publishes(a, &id, "x"));
	ck_assert(subscribes(a, &id, "in/1") && subscribes(a, &id, "x"));
	ck_assert(!subscribes(a, &id, "out/1"));
	auth_identity_fini(&id);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW + 60000),
	    PROBLEM_TOKEN_EXPIRED);
	free(t);
	m = (struct auth_mint){ .lifetime_ms = 1 };
	t = auth_mint_token(a, &m, NOW, err, sizeof err);
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW), 0);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(minting_says_what_it_cannot_do)
{
	const char *bad[] = { "a/**/b", NULL };
	const char *list[] = { "web:" API_KEY, NULL };
	struct auth_conf none = { .api_keys = list };
	struct auth_mint m = { .lifetime_ms = 1000 };
	struct auth *a;
	char err[512] = "";

	a = auth_with_key("RSA");
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "auth.key is a public key");
	auth_free(a);
	a = auth_of(&none);
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "no key to sign with");
	auth_free(a);
	a = auth_with_key("HS64");
	m.subscribe = bad;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "subscribe: the topic \"a/**/b\" has");
	m.subscribe = NULL;
	m.sub = "\xff";
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "UTF-8");
	m.sub = NULL;
	m.lifetime_ms = 0;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "lifetime");
	m.lifetime_ms = INT64_MAX;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	auth_free(a);
}
END_TEST

START_TEST(a_made_secret_is_new_and_accepted)
{
	char *one = auth_make_secret(), *two = auth_make_secret(), line[128];
	const char *list[] = { line, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a;

	ck_assert_ptr_nonnull(one);
	ck_assert_ptr_nonnull(two);
	ck_assert_str_ne(one, two);
	ck_assert_uint_eq(strlen(one), 4 + 43);
	ck_assert_uint_eq(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_"), 4 + 43);
	(void)snprintf(line, sizeof line, "web:%s", one);
	a = auth_of(&c);
	ck_assert_int_eq(outcome(a, one, AUTH_PUBLISH, NOW), 0);
	ck_assert_int_eq(outcome(a, two, AUTH_PUBLISH, NOW),
	    PROBLEM_TOKEN_INVALID);
	auth_free(a);
	free(one);
	free(two);
}
END_TEST

static struct token_table *tokens, *claims;

/* What auth_explain() prints. */
static const char *
explained(struct auth *a, const char *text, int64_t now, bool *good)
{
	static char out[16384];
	FILE *f = tmpfile();
	int saved;
	size_t n;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fflush(stdout), 0);
	ck_assert_int_ge(saved = dup(STDOUT_FILENO), 0);
	ck_assert_int_ge(dup2(fileno(f), STDOUT_FILENO), 0);
	*good = auth_explain(a, NULL, "no log here", text, now);
	(void)fflush(stdout);
	ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
	close(saved);
	rewind(f);
	n = fread(out, 1, sizeof out - 1, f);
	out[n] = '\0';
	(void)fclose(f);
	if (getenv("CHECK_AUTH_SHOW") != NULL)
		(void)fprintf(stderr, "----\n%s", out);
	return out;
}

START_TEST(explain_names_what_is_wrong)
{
	static const struct {
		const char	*server, *signer, *header, *claims;
		bool		 good;
		const char	*says[4];
	} cases[] = {
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{\"sub\":\"42\"," EXP ",\"fanfare\":{\"subscribe\":[\"a/*\"]}}",
		    true, { "Accepted", "a/*", "in 60 minutes",
		    "user/42/**   from user/{sub}/**" } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{\"exp\":1749999820}", false,
		    { "Refused with 401 token_expired", "3 minutes ago",
		    "2025-06-15T15:03:40.000Z" } },
		{ "HS64", "HS256/HS64", H("HS256"), "{\"sub\":\"42\"}", false,
		    { "Refused with 401 token_invalid", "exp is missing" } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{\"exp\":1750003600000}", false,
		    { "written in milliseconds?", "grants nothing of its own" } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{" EXP ",\"topics\":[\"a\"]}", false,
		    { "topics", "not used", "no sub",
		    "\"fanfare\": {\"subscribe\": " } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{" EXP ",\"sub\":\"a/b\"}", false,
		    { "user/{sub}/**   no: a claim it names" } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{" EXP ",\"sub\":\"1\",\"iss\":\"https://b\"}", true,
		    { "\"https://b\"; not compared: auth.issuer is not set" } },
		{ "HS64", "HS256/HS-OTHER", H("HS256"), GOOD, false,
		    { "made with another key", "nobody vouches",
		    "If that were mended" } },
		{ "HS64", "RS256/RSA", H("RS256"), GOOD, false,
		    { "alg in the token's header is RS256, but auth.key holds an "
		    "HMAC secret of 64 bytes", "not checked" } },
		{ "RSA", "HS256/HS64", H("HS256"), GOOD, false,
		    { "RSA public key of 2048 bits, which accepts RS256" } },
		{ "HS64", "HS256/HS64", H("HS256"),
		    "{" EXP ",\"nbf\":1750000600,\"sub\":\"1\"}", false,
		    { "nbf is 10 minutes ahead", "in 10 minutes" } },
		{ "HS64", "HS256/HS64", H("HS256"), "[]", false,
		    { "payload of the token is not a JSON object" } },
	};
	const char *rules[] = { "user/{sub}/**", NULL };
	char *t, *sig;
	struct auth_conf c = { .house.leeway_ms = LEEWAY,
	    .authenticated_topics = rules };
	const char *said;
	struct auth *a;
	size_t i, j, len;
	bool good;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		c.house.key = maker_key(cases[i].server, &len);
		a = auth_of(&c);
		t = maker_token(cases[i].header, cases[i].claims,
		    cases[i].signer);
		said = explained(a, t, NOW, &good);
		ck_assert_msg(good == cases[i].good, "%s:\n%s", cases[i].claims,
		    said);
		for (j = 0; j < 4 && cases[i].says[j] != NULL; j++)
			ck_says(said, cases[i].says[j]);
		/* Never the signature, however short a piece of it. */
		sig = strrchr(t, '.') + 1;
		sig[12] = '\0';
		ck_assert_ptr_null(strstr(said, sig));
		free(t);
		auth_free(a);
	}
}
END_TEST

START_TEST(explain_compares_issuer_audience_and_grace)
{
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a",
	    .house.audience = "fan", .house.grace_ms = 7200000 };
	struct auth *a = auth_of(&c);
	char *t = hs256("{\"iss\":\"https://b\",\"aud\":[\"x\"]," EXP "}");
	const char *said;
	bool good;

	said = explained(a, t, NOW, &good);
	ck_assert(!good);
	ck_says(said, "claim iss differs from auth.issuer: \"https://b\"; "
	    "auth.issuer is \"https://a\"");
	ck_says(said, "[\"x\"]; auth.audience is \"fan\"");
	ck_says(said, "Refused with 401 token_invalid: claim iss differs");
	free(t);

	t = hs256("{\"iss\":\"https://a\",\"aud\":[\"fan\"],\"exp\":1749999000,"
	    "\"fanfare\":{\"subscribe\":[\"a\"],\"publish\":[\"a\"]}}");
	said = explained(a, t, NOW, &good);
	ck_assert(good);
	ck_says(said, "Accepted, but for subscribing alone");
	ck_says(said, "2 hours longer (auth.grace)");
	ck_says(said, "auth.grace is not for publishing");
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(explain_tells_the_key_before_from_the_key)
{
	struct auth_conf c = { .house.key_before = SECRET64 };
	char *old = hs256(GOOD), *rsa = maker_token(H("RS256"), GOOD, "RS256/RSA");
	const char *said;
	struct auth *a;
	size_t len;
	bool good;

	c.house.key = maker_key("HS-OTHER", &len);
	a = auth_of(&c);
	said = explained(a, old, NOW, &good);
	ck_says(said, "\nkey            ok  auth.key: an HMAC secret of ");
	ck_says(said, "\nkey            ok  auth.key_before: an HMAC secret of 64 ");
	ck_says(said, "made with the key that auth.key_before names");
	ck_says(said, "\nAccepted");
	said = explained(a, rsa, NOW, &good);
	ck_says(said, "alg in the token's header is RS256, but auth.key_before holds");
	free(rsa);
	auth_free(a);
	/* Near it, too. */
	c.house.key_before = SECRET64 "\n";
	a = auth_of(&c);
	said = explained(a, old, NOW, &good);
	ck_assert(!good);
	ck_says(said, "does not match auth.key, nor auth.key_before: the token was");
	ck_says(said, "It was made with auth.key_before but for white space");
	free(old);
	auth_free(a);
}
END_TEST

/* Where leeway alone lets it in, the server opens no stream. */
START_TEST(explain_tells_what_leeway_forgives)
{
	struct auth *a = auth_with_key("HS64");
	char *t = hs256("{\"sub\":\"u\",\"exp\":1749999998}");
	const char *said;
	bool good;

	said = explained(a, t, NOW, &good);
	ck_says(said, "exp            ok");
	ck_says(said, "opens no stream");
	ck_assert_ptr_null(strstr(said, "streams it opens end"));
	free(t);
	t = hs256("{\"iat\":1750000060," EXP "}");
	said = explained(a, t, NOW, &good);
	ck_says(said, "iat            NO");
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(explain_takes_what_people_paste)
{
	const char *list[] = { "web:" API_KEY ":a/**", NULL };
	struct auth_conf c = { .house.key = SECRET64, .api_keys = list };
	struct auth *a = auth_of(&c);
	const char *said;
	char *t = hs256("{" EXP ",\"sub\":\"user\\u202enimda\\u200b\","
	    "\"fanfare\":{\"publish\":[\"\\u009b2Jx\","
	    "\"ok\"]},\"note\":\"\\u009b2J\\u007f\\u001b[2J\xc3\xa9\"}");
	char longest[8194], *pasted;
	bool good;

	said = explained(a, API_KEY "\n", NOW, &good);
	ck_assert(good);
	ck_says(said, "web, fingerprint");
	ck_says(said, "a/**");
	ck_assert_ptr_null(strstr(said, "5Nd8"));
	said = explained(a, API_KEY2, NOW, &good);
	ck_assert(!good);
	ck_says(said, "none of the 1");
	(void)explained(a, "", NOW, &good);
	ck_assert(!good);
	said = explained(a, "letmein", NOW, &good);
	ck_assert(!good);
	ck_says(said, "neither a token");
	memset(longest, 'a', sizeof longest - 1);
	memcpy(longest, "a.b.", 4);
	longest[sizeof longest - 1] = '\0';
	said = explained(a, longest, NOW, &good);
	ck_assert(!good);
	ck_says(said, "longer than 8192 bytes");

	ck_assert_int_ge(asprintf(&pasted, "  Bearer %s\n", t), 0);
	free(t);
	said = explained(a, pasted, NOW, &good);
	ck_assert(good);
	ck_says(said, "\xc3\xa9");		/* text stays text */
	/* but no terminal is told what to do */
	ck_assert_ptr_null(strstr(said, "\xc2\x9b"));
	ck_assert_ptr_null(strchr(said, '\x1b'));
	ck_assert_ptr_null(strchr(said, '\x7f'));
	/* and nobody is shown another text than there is */
	ck_says(said, "user\\xe2\\x80\\xaenimda\\xe2\\x80\\x8b");
	ck_assert_ptr_null(strstr(said, "\xe2\x80"));
	free(pasted);
	auth_free(a);
}
END_TEST

/* What people paste has blanks around it, quotes, and a Bearer in front. */
static bool
is_pasted(const char *text, size_t len)
{
	return strlen(text) != len || strpbrk(text, " \t\r\n\"'") != NULL;
}

/* Whoever asks why is told what the server's log says. */
static void
explain_agrees(const struct token_table *table)
{
	const struct table_case *c;
	const char *said;
	struct auth *a;
	size_t i, len;
	char *text;
	bool good;

	for (i = 0; i < table->n_cases; i++) {
		c = &table->cases[i];
		text = table_make(c, NOW_S, &len);
		if (len > 0 && !is_pasted(text, len)) {
			a = auth_of_server(c->server);
			said = explained(a, text, NOW, &good);
			if (strcmp(c->code, "accept") == 0)
				ck_assert_msg(good || strcmp(c->claims, "good") != 0,
				    "line %d, %s: %s", c->line, c->name, said);
			else		/* of API keys it has words of its own */
				ck_assert_msg(!good && (strstr(said, c->says) != NULL ||
				    c->server->api_keys != NULL),
				    "line %d, %s: %s", c->line, c->name, said);
			auth_free(a);
		}
		free(text);
	}
}

START_TEST(J1_explain_says_of_each_credential_what_the_table_says)
{
	explain_agrees(tokens);
}
END_TEST

START_TEST(J2_explain_says_of_each_claim_what_the_table_says)
{
	explain_agrees(claims);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_explain");
	TCase *tc = rig_case(s, "explain");

	tcase_add_test(tc, a_minted_token_is_good_here);
	tcase_add_test(tc, minting_says_what_it_cannot_do);
	tcase_add_test(tc, a_made_secret_is_new_and_accepted);
	tcase_add_test(tc, explain_names_what_is_wrong);
	tcase_add_test(tc, explain_compares_issuer_audience_and_grace);
	tcase_add_test(tc, explain_tells_the_key_before_from_the_key);
	tcase_add_test(tc, explain_tells_what_leeway_forgives);
	tcase_add_test(tc, explain_takes_what_people_paste);
	tokens = table_read("tokens.txt");
	claims = table_read("claims.txt");
	tcase_add_test(tc, J1_explain_says_of_each_credential_what_the_table_says);
	tcase_add_test(tc, J2_explain_says_of_each_claim_what_the_table_says);
	return s;
}

SUITE_MAIN
