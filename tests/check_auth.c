/*
 * check_auth.c - who a credential turns out to be, for how long, and what the cache
 * remembers of it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth_internal.h"
#include "auth_rig.h"

START_TEST(nothing_brought_is_token_missing)
{
	struct auth *a = auth_with_key("HS64");

	ck_assert_int_eq(outcome(a, NULL, AUTH_PUBLISH, NOW),
	    PROBLEM_TOKEN_MISSING);
	ck_assert_int_eq(outcome(a, "", AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_MISSING);
	auth_free(a);
}
END_TEST

START_TEST(grace_is_for_subscribing_alone)
{
	static const struct {
		int64_t		 after_exp_ms;
		int		 publish, subscribe;
	} cases[] = {
		{ -1, 0, 0 },
		{ 0, 0, 0 },				/* leeway */
		{ 4999, 0, 0 },
		{ 5000, PROBLEM_TOKEN_EXPIRED, 0 },	/* grace */
		{ 60000, PROBLEM_TOKEN_EXPIRED, 0 },
		{ 64999, PROBLEM_TOKEN_EXPIRED, 0 },	/* grace and leeway */
		{ 65000, PROBLEM_TOKEN_EXPIRED, PROBLEM_TOKEN_EXPIRED },
	};
	struct auth_conf c = { .house.key = SECRET64, .house.leeway_ms = LEEWAY,
	    .house.grace_ms = 60000 };
	int64_t exp = NOW + 3600000, now;
	char *t = hs256("{\"sub\":\"u\"," EXP
	    ",\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"a\"]}}");
	struct auth *fresh, *warm = auth_of(&c);
	struct auth_identity id;
	size_t i;

	id = identity(warm, t, AUTH_SUBSCRIBE);
	ck_assert_int_eq(id.exp_ms, exp);
	ck_assert_int_eq(id.expires_ms, exp + 60000);
	ck_assert(auth_may_subscribe(warm, &id, "a", 1));
	/* Verified for subscribing: no right to publish comes with it. */
	ck_assert(!auth_may_publish(warm, &id, "a", 1));
	auth_identity_fini(&id);
	ck_assert_uint_eq(auth_cache_count(warm), 1);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		now = exp + cases[i].after_exp_ms;
		fresh = auth_of(&c);
		ck_assert_int_eq(outcome(fresh, t, AUTH_PUBLISH, now),
		    cases[i].publish);
		ck_assert_int_eq(outcome(fresh, t, AUTH_SUBSCRIBE, now),
		    cases[i].subscribe);
		auth_free(fresh);
		ck_assert_int_eq(outcome(warm, t, AUTH_PUBLISH, now),
		    cases[i].publish);
		ck_assert_int_eq(outcome(warm, t, AUTH_SUBSCRIBE, now),
		    cases[i].subscribe);
	}
	auth_free(warm);
	free(t);
}
END_TEST

START_TEST(the_cache_does_not_outlive_exp)
{
	struct auth *a = auth_with_key("HS64");
	char *t = hs256(GOOD);
	int64_t exp = NOW + 3600000;

	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(auth_cache_count(a), 1);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, exp + LEEWAY - 1), 0);
	ck_assert_uint_eq(a->cache.hits, 1);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, exp + LEEWAY),
	    PROBLEM_TOKEN_EXPIRED);
	ck_assert_uint_eq(auth_cache_count(a), 0);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(the_cache_asks_nbf_again_when_the_clock_goes_back)
{
	struct auth *a = auth_with_key("HS64");
	char *t = hs256("{\"nbf\":1750000000," EXP "}");

	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW - 60000),
	    PROBLEM_TOKEN_INVALID);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(a->cache.misses, 1);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(a_token_is_checked_once_and_a_bad_one_always)
{
	struct auth *a = auth_with_key("P256");
	char *good = maker_token(H("ES256"), GOOD, "ES256/P256");
	char *bad = maker_token(H("ES256"), GOOD, "ES256/P256-OTHER");
	int i;

	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(outcome(a, good, AUTH_SUBSCRIBE, NOW), 0);
		ck_assert_int_eq(outcome(a, bad, AUTH_SUBSCRIBE, NOW),
		    PROBLEM_TOKEN_INVALID);
	}
	ck_assert_uint_eq(a->cache.hits, 2);
	ck_assert_uint_eq(a->cache.misses, 4);
	ck_assert_uint_eq(auth_cache_count(a), 1);
	free(good);
	free(bad);
	auth_free(a);
}
END_TEST

START_TEST(the_cache_is_bounded_and_keeps_what_is_used)
{
	struct auth *a = auth_with_key("HS64");
	char *kept = hs256(GOOD), *t, claims[64];
	uint64_t misses;
	int i;

	ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	for (i = 0; i < AUTH_CACHE_MAX + 100; i++) {
		(void)snprintf(claims, sizeof claims, "{\"sub\":\"%d\"," EXP "}",
		    i);
		t = hs256(claims);
		ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
		free(t);
		if (i % 1000 == 0)
			ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	}
	ck_assert_uint_eq(auth_cache_count(a), AUTH_CACHE_MAX);
	misses = a->cache.misses;
	ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(a->cache.misses, misses);
	free(kept);
	auth_free(a);
}
END_TEST

START_TEST(an_identity_outlives_the_auth_it_came_from)
{
	struct auth *a = auth_with_key("HS64"), *b;
	struct auth_identity id = identity_of_claims(a,
	    "{\"sub\":\"u\"," EXP ",\"fanfare\":{\"subscribe\":[\"a/**\"]}}",
	    AUTH_SUBSCRIBE);

	auth_free(a);
	b = auth_with_key("HS64");
	ck_assert_uint_eq(auth_cache_count(b), 0);
	ck_assert(auth_may_subscribe(b, &id, "a/b", 3));
	ck_assert(!auth_may_subscribe(b, &id, "b", 1));
	ck_assert_str_eq(id.sub, "u");
	auth_identity_fini(&id);
	auth_free(b);
}
END_TEST

START_TEST(a_principal_is_issuer_and_sub_or_the_token)
{
	struct auth *a = auth_with_key("HS64");
	static const char *const claims[] = {
		"{\"sub\":\"u\"," EXP "}",
		"{\"sub\":\"u\",\"exp\":1750003601}",	/* same person */
		"{\"sub\":\"v\"," EXP "}",
		"{\"iss\":\"i\",\"sub\":\"u\"," EXP "}",
		"{\"iss\":\"iu\",\"sub\":\"\"," EXP "}",
		"{" EXP "}",
		"{\"exp\":1750003601}",
	};
	uint64_t p[7];
	struct auth_identity id;
	size_t i, j;

	for (i = 0; i < 7; i++) {
		id = identity_of_claims(a, claims[i], AUTH_PUBLISH);
		p[i] = id.principal;
		auth_identity_fini(&id);
	}
	for (i = 0; i < 7; i++)
		for (j = 0; j < i; j++)
			ck_assert_msg((p[i] == p[j]) == (i == 1 && j == 0),
			    "%zu and %zu", i, j);
	auth_free(a);
}
END_TEST

START_TEST(keys_of_one_name_are_one_publisher_for_rotation)
{
	const char *list[] = { "web:" API_KEY, "web:" API_KEY2, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	struct auth_identity old = identity(a, API_KEY, AUTH_PUBLISH);
	struct auth_identity new = identity(a, API_KEY2, AUTH_PUBLISH);
	uint64_t ids[4] = { 0 };

	ck_assert(old.principal == new.principal);
	ck_assert(old.key_id != new.key_id);
	ck_assert_uint_eq(auth_key_ids(a, ids, 4), 2);
	ck_assert(ids[0] == old.key_id && ids[1] == new.key_id && ids[2] == 0);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 2);
	auth_identity_fini(&old);
	auth_identity_fini(&new);
	auth_free(a);
}
END_TEST

static uint64_t
api_id(const char *line)
{
	const char *list[] = { line, NULL };
	struct auth_conf c = { .api_keys = list };

	return only_id(&c);
}

START_TEST(a_key_id_is_stable_over_reloads_iff_the_key_is_the_same)
{
	struct auth_conf c = { .house.key = SECRET64 }, d;
	char extra[4200];
	struct auth *a;
	struct auth_identity id;
	uint64_t one = only_id(&c);

	a = auth_of(&c);
	id = identity_of_claims(a, GOOD, AUTH_SUBSCRIBE);
	ck_assert(id.key_id == one);
	auth_identity_fini(&id);
	auth_free(a);

	d = c;
	d.house.grace_ms = d.house.leeway_ms = 7000;	/* not the key's matter */
	ck_assert(only_id(&d) == one);
	d = c;
	d.house.key = SECRET64 "x";
	ck_assert(only_id(&d) != one);
	d = c;
	d.house.issuer = "https://a";
	ck_assert(only_id(&d) != one);
	d.house.issuer = NULL;
	d.house.audience = "https://a";
	ck_assert(only_id(&d) != one);

	d = (struct auth_conf){ .house.key = maker_public("P256") };
	one = only_id(&d);
	(void)snprintf(extra, sizeof extra, "%s\n\n", maker_public("P256"));
	d.house.key = extra;			/* other bytes, the same key */
	ck_assert(only_id(&d) == one);
	d.house.key = maker_public("P256-OTHER");
	ck_assert(only_id(&d) != one);

	one = api_id("web:" API_KEY ":a b/** c");
	ck_assert(api_id("web:" API_KEY ":c  a b/** a") == one);
	ck_assert(api_id("web:" API_KEY ":a b/**") != one);
	ck_assert(api_id("web:" API_KEY ":a b/** c d") != one);
	ck_assert(api_id("webs:" API_KEY ":a b/** c") != one);
	ck_assert(api_id("web:" API_KEY2 ":a b/** c") != one);
	ck_assert(api_id("web:" API_KEY) == api_id("web:" API_KEY ":**"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth");
	TCase *tc = rig_case(s, "auth");

	tcase_add_test(tc, nothing_brought_is_token_missing);
	tcase_add_test(tc, grace_is_for_subscribing_alone);
	tcase_add_test(tc, the_cache_does_not_outlive_exp);
	tcase_add_test(tc, the_cache_asks_nbf_again_when_the_clock_goes_back);
	tcase_add_test(tc, a_token_is_checked_once_and_a_bad_one_always);
	tcase_add_test(tc, the_cache_is_bounded_and_keeps_what_is_used);
	tcase_add_test(tc, an_identity_outlives_the_auth_it_came_from);
	tcase_add_test(tc, a_principal_is_issuer_and_sub_or_the_token);
	tcase_add_test(tc, keys_of_one_name_are_one_publisher_for_rotation);
	tcase_add_test(tc, a_key_id_is_stable_over_reloads_iff_the_key_is_the_same);
	return s;
}

SUITE_MAIN
