/*
 * check_auth_tokens.c - tokens judged one by one, as tests/data/tokens.txt and claims.txt
 * have them, and thousands that chance has spoilt.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth_internal.h"
#include "auth_rig.h"

static struct token_table *tokens, *claims_table;

static void
judge(const struct token_table *table, size_t n)
{
	const struct table_case *c = &table->cases[n];
	struct auth *a = auth_of_server(c->server);
	struct auth_identity id;
	enum problem problem;
	char why[512];
	size_t len;
	char *bytes = table_make(c, NOW_S, &len);
	struct auth_credential cred = { bytes, len };

	/* Twice: what the cache says must be what was found; and for both uses. */
	for (int pass = 0; pass < 4; pass++) {
		(void)snprintf(why, sizeof why, "(nothing)");
		if (auth_verify(a, cred, pass % 2 == 0 ? AUTH_PUBLISH :
		    AUTH_SUBSCRIBE, NOW, &id, &problem, why, sizeof why) == 0) {
			ck_assert_msg(strcmp(c->code, "accept") == 0,
			    "line %d, %s: accepted", c->line, c->name);
			ck_assert(id.key_id != 0);
			ck_assert(id.is_api_key == (id.exp_ms == 0));
			ck_assert(id.exp_ms == id.expires_ms);
			auth_identity_fini(&id);
			continue;
		}
		ck_assert_msg(strcmp(c->code, problem_code(problem)) == 0,
		    "line %d, %s: %s: %s", c->line, c->name,
		    problem_code(problem), why);
		ck_assert_msg(strstr(why, c->says) != NULL, "line %d, %s: %s",
		    c->line, c->name, why);
		ck_assert_uint_eq(auth_cache_count(a), 0);
	}
	free(bytes);
	auth_free(a);
}

START_TEST(J1_a_credential_is_judged_as_the_table_says)
{
	judge(tokens, (size_t)_i);
}
END_TEST

START_TEST(J2_a_claim_is_judged_as_the_table_says)
{
	judge(claims_table, (size_t)_i);
}
END_TEST

START_TEST(a_nul_inside_never_hides_the_rest)
{
	struct auth *a = auth_with_key("HS64");
	char *t = hs256(GOOD), *longer;
	struct auth_credential cred;
	struct auth_identity id;
	enum problem problem;
	char why[512];
	size_t n = strlen(t);
	static const char claims[] = "{\"exp\":1750003600}\0,\"x\":1}";
	static const char in_name[] = "{\"exp\0\":1," EXP "}";

	ck_assert_ptr_nonnull(longer = calloc(1, n + 16));
	memcpy(longer, t, n);
	memcpy(longer + n + 1, "junk", 4);
	cred = (struct auth_credential){ longer, n + 1 };
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), -1);
	cred.len = n + 5;
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), -1);
	cred.len = n;		/* and what follows the length is not read */
	longer[n] = 'x';
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), 0);
	auth_identity_fini(&id);
	free(longer);
	free(t);

	t = maker_token_bytes(H("HS256"),
	    strlen(H("HS256")), claims, sizeof claims - 1, "HS256/HS64");
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	free(t);
	t = maker_token_bytes(H("HS256"),
	    strlen(H("HS256")), in_name, sizeof in_name - 1, "HS256/HS64");
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(a_token_may_be_8192_bytes_long_and_no_longer)
{
	struct auth *a = auth_with_key("HS64");
	size_t pad, longest = 0;
	char fill[8192], *t = NULL, *claims;

	memset(fill, 'x', sizeof fill);
	for (pad = 6040; pad < 6120; pad++) {
		ck_assert_int_ge(asprintf(&claims, "{\"x\":\"%.*s\"," EXP "}",
		    (int)pad, fill), 0);
		free(t);
		t = hs256(claims);
		free(claims);
		if (strlen(t) <= 8192) {
			ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
			longest = strlen(t);
		} else
			ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW),
			    PROBLEM_TOKEN_INVALID);
	}
	ck_assert_uint_ge(longest, 8190);
	ck_assert_uint_gt(strlen(t), 8192);
	free(t);
	auth_free(a);
}
END_TEST

/* Spoil up to four bytes, half of them with digits a token may have. */
static void
spoil(char *p, size_t len, unsigned int *state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_.=";
	unsigned int n = 1 + dice(state, 4);
	char *at;

	while (n-- > 0) {
		at = p + dice(state, (unsigned int)len);
		*at = dice(state, 2) == 0 ? digits[dice(state, 66)] :
		    (char)(1 + dice(state, 255));
	}
}

START_TEST(no_spoilt_token_is_good)
{
	static const struct {
		const char	*key, *header, *signer;
	} kinds[] = {
		{ "HS64", H("HS256"), "HS256/HS64" },
		{ "RSA", H("RS256"), "RS256/RSA" },
		{ "P256", H("ES256"), "ES256/P256" },
	};
	unsigned int state = 1, i;
	char *good, *t;
	struct auth *a;
	size_t k;

	for (k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		a = auth_with_key(kinds[k].key);
		good = maker_token(kinds[k].header, GOOD, kinds[k].signer);
		for (i = 0; i < 3000; i++) {
			ck_assert_ptr_nonnull(t = strdup(good));
			spoil(t, strlen(t), &state);
			if (strcmp(t, good) != 0)
				ck_assert_msg(outcome(a, t, AUTH_SUBSCRIBE, NOW)
				    == PROBLEM_TOKEN_INVALID, "%s", t);
			free(t);
		}
		ck_assert_int_eq(outcome(a, good, AUTH_SUBSCRIBE, NOW), 0);
		free(good);
		auth_free(a);
	}
}
END_TEST

/* A signature vouches for who wrote the claims, not for their sense. */
START_TEST(spoilt_claims_well_signed_do_no_harm)
{
	static const char claims[] = "{\"iss\":\"a\",\"aud\":[\"b\"],\"sub\":\"u\","
	    "\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"b/**\"]}," EXP "}";
	const char *rules[] = { "user/{sub}", "{iss}/{aud}", NULL };
	struct auth_conf c = { .house.key = SECRET64, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	unsigned int state = 7, i, good = 0;
	struct auth_identity id;
	enum problem problem;
	char text[sizeof claims], why[512], *t;

	for (i = 0; i < 5000; i++) {
		memcpy(text, claims, sizeof claims);
		spoil(text, sizeof claims - 1, &state);
		t = hs256(text);
		if (verify(a, t, AUTH_PUBLISH, NOW, &id, &problem, why) == 0) {
			good++;
			ck_assert(id.expires_ms > NOW - LEEWAY);
			(void)subscribes(a, &id, "user/u");
			auth_identity_fini(&id);
		}
		free(t);
	}
	ck_assert(good > 0 && good < 5000);
	auth_free(a);
}
END_TEST

START_TEST(a_reason_repeats_nothing_of_the_token)
{
	static const char *const claims[] = {
		"{\"sub\":\"CANARY\",\"iss\":\"CANARY\"}",
		"{\"exp\":\"CANARY\"}",
		"{\"CANARY\":1,\"CANARY\":2," EXP "}",
		"{\"aud\":{\"CANARY\":1}," EXP "}",
		"{\"sub\":[\"CANARY\"]," EXP "}",
		"{\"iss\":\"CANARY\"," EXP "}",
		"CANARY", "{\"a\":CANARY}",
	};
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a" };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	enum problem problem;
	char why[512], *t;
	size_t i;

	for (i = 0; i < sizeof claims / sizeof claims[0]; i++) {
		t = hs256(claims[i]);
		ck_assert_int_eq(verify(a, t, AUTH_SUBSCRIBE, NOW, &id, &problem,
		    why), -1);
		ck_assert_msg(strstr(why, "CANARY") == NULL, "%s", why);
		free(t);
	}
	t = maker_token(H("CANARY"), GOOD, "HS256/HS64");
	ck_assert_int_eq(verify(a, t, AUTH_SUBSCRIBE, NOW, &id, &problem, why),
	    -1);
	ck_assert_ptr_null(strstr(why, "CANARY"));
	free(t);
	ck_assert_int_eq(verify(a, "ffk_CANARYCANARYCANARY", AUTH_PUBLISH, NOW,
	    &id, &problem, why), -1);
	ck_assert_ptr_null(strstr(why, "CANARY"));
	auth_free(a);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_tokens");
	TCase *tc = rig_case(s, "tokens");

	tokens = table_read("tokens.txt");
	tcase_add_loop_test(tc, J1_a_credential_is_judged_as_the_table_says, 0,
	    (int)tokens->n_cases);
	claims_table = table_read("claims.txt");
	tcase_add_loop_test(tc, J2_a_claim_is_judged_as_the_table_says, 0,
	    (int)claims_table->n_cases);
	tcase_add_test(tc, a_nul_inside_never_hides_the_rest);
	tcase_add_test(tc, a_token_may_be_8192_bytes_long_and_no_longer);
	tcase_add_test(tc, no_spoilt_token_is_good);
	tcase_add_test(tc, spoilt_claims_well_signed_do_no_harm);
	tcase_add_test(tc, a_reason_repeats_nothing_of_the_token);
	return s;
}

SUITE_MAIN
