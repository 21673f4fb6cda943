/*
 * check_auth_revoke.c - which tokens a revocation means, and what is dropped when.
 */
#include "config.h"

#include "auth_revoke.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"

#define NOW	INT64_C(1750000000500)

static void
add(struct auth_revoked *r, bool jti, const char *text, const char *iss, int64_t ms)
{
	struct auth_revocation v = { jti, text, strlen(text), iss };
	struct store_revocation s;

	ck_assert_int_eq(auth_revocation_name(&v, ms, &s), 0);
	ck_assert_int_eq(auth_revoke(r, &s), 0);
}

/* Verified just now, or (`since`) before. */
static bool
hit(const struct auth_revoked *r, const char *iss, const char *sub, const char *jti,
    int64_t iat_ms, uint64_t since)
{
	struct auth_identity id = { .sub = (char *)(uintptr_t)sub, .jti = jti, .iss = iss,
	    .iat_ms = iat_ms };
	char why[256] = "";
	bool revoked = auth_is_revoked(r, &id, since, why, sizeof why);

	ck_assert(revoked == (why[0] != '\0'));
	ck_assert(sub == NULL || strstr(why, sub) == NULL);
	return revoked;
}

START_TEST(a_sub_is_revoked_up_to_its_time_and_no_further)
{
	struct auth_revoked *r = auth_revoked_new(10);
	uint64_t before = auth_revoked_number(r), now;

	ck_assert(!hit(r, "", "sub-42", NULL, 1, before));
	add(r, false, "sub-42", NULL, NOW);
	now = auth_revoked_number(r);
	ck_assert(now > before);
	ck_assert(hit(r, "", "sub-42", NULL, NOW, now));
	ck_assert(hit(r, "", "sub-42", NULL, NOW - 500, now));
	ck_assert(hit(r, "https://a", "sub-42", "j", 0, now));
	ck_assert(!hit(r, "", "sub-42", NULL, NOW + 1, now));
	/* One that was good before it is none now, whatever it says. */
	ck_assert(hit(r, "", "sub-42", NULL, NOW + 4000, before));
	ck_assert(!hit(r, "", "sub-4", NULL, 0, before));
	ck_assert(!hit(r, "", "sub-422", NULL, 0, before));
	ck_assert(!hit(r, "", NULL, "sub-42", 0, before));
	/* An earlier one takes nothing back, a later one goes further. */
	add(r, false, "sub-42", NULL, NOW - 1000);
	now = auth_revoked_number(r);
	ck_assert(hit(r, "", "sub-42", NULL, NOW, now));
	add(r, false, "sub-42", NULL, NOW + 1000);
	ck_assert(hit(r, "", "sub-42", NULL, NOW + 1, auth_revoked_number(r)));
	ck_assert_uint_eq(auth_revoked_count(r), 1);
	auth_revoked_free(r);
}
END_TEST

START_TEST(an_issuer_narrows_it_and_a_jti_is_for_ever)
{
	struct auth_revoked *r = auth_revoked_new(10);
	uint64_t n;

	add(r, false, "7", "https://a", NOW);
	add(r, true, "j", NULL, NOW);
	add(r, true, "k", "", NOW);
	n = auth_revoked_number(r);
	ck_assert(hit(r, "https://a", "7", NULL, NOW, n));
	ck_assert(!hit(r, "https://b", "7", NULL, NOW, n));
	ck_assert(!hit(r, "", "7", NULL, NOW, n));
	ck_assert(hit(r, "https://b", "8", "j", NOW + 100000, n));
	ck_assert(hit(r, "", NULL, "k", NOW + 100000, n));
	ck_assert(!hit(r, "https://a", NULL, "k", 0, n));
	auth_revoked_free(r);
}
END_TEST

START_TEST(there_is_room_for_so_many_and_for_those_that_are_there)
{
	struct auth_revoked *r = auth_revoked_new(2);
	struct auth_revocation v = { false, "<a>", 3, NULL }, w = { false, "<c>", 3, NULL };
	struct store_revocation s;

	add(r, false, "<a>", NULL, NOW);
	add(r, false, "<b>", NULL, NOW);
	ck_assert_int_eq(auth_revocation_name(&v, NOW, &s), 0);
	ck_assert(auth_revoked_has_room(r, &s));
	ck_assert_int_eq(auth_revocation_name(&w, NOW, &s), 0);
	ck_assert(!auth_revoked_has_room(r, &s));
	auth_revoked_free(r);
}
END_TEST

START_TEST(what_is_dropped_leaves_no_token_of_its_time_alive)
{
	struct auth_revoked *r = auth_revoked_new(10);
	uint64_t n;

	add(r, false, "<a>", NULL, NOW);
	add(r, false, "<b>", NULL, NOW + 10);
	add(r, false, "<c>", NULL, NOW + 20);
	ck_assert_int_eq(auth_revoked_oldest(r), NOW);
	ck_assert_uint_eq(auth_revoked_forget(r, NOW - 1, 10), 0);
	ck_assert_uint_eq(auth_revoked_forget(r, NOW + 15, 1), 1);
	ck_assert_uint_eq(auth_revoked_forget(r, NOW + 15, 10), 1);
	n = auth_revoked_number(r);
	ck_assert_uint_eq(auth_revoked_count(r), 1);
	ck_assert(hit(r, "", "<a>", NULL, NOW, n));
	ck_assert(hit(r, "", "<b>", NULL, NOW + 10, n));
	ck_assert(hit(r, "", NULL, NULL, 0, n));
	ck_assert(!hit(r, "", "<a>", NULL, NOW + 11, n));
	ck_assert(hit(r, "", "<c>", NULL, NOW + 11, n));
	auth_revoked_free(r);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_revoke");
	TCase *tc = tcase_create("revoke");

	tcase_add_test(tc, a_sub_is_revoked_up_to_its_time_and_no_further);
	tcase_add_test(tc, an_issuer_narrows_it_and_a_jti_is_for_ever);
	tcase_add_test(tc, there_is_room_for_so_many_and_for_those_that_are_there);
	tcase_add_test(tc, what_is_dropped_leaves_no_token_of_its_time_alive);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
