/* check_problem.c - problem.h: the table of errors, and their bodies. */
#include "config.h"

#include <jansson.h>
#include <string.h>

#include "problem.h"

#include "suite.h"

static const enum problem all[] = {
#define X(name, status, code, title) PROBLEM_##name,
	PROBLEMS(X)
#undef X
};

#define COUNT	(sizeof(all) / sizeof(all[0]))

START_TEST(every_error_has_a_status_a_title_and_a_code_of_its_own)
{
	size_t i, j;

	for (i = 0; i < COUNT; i++) {
		ck_assert_uint_ge(problem_status(all[i]), 400);
		ck_assert_uint_le(problem_status(all[i]), 505);
		ck_assert_uint_gt(strlen(problem_title(all[i])), 0);
		ck_assert_uint_gt(strlen(problem_code(all[i])), 0);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(problem_code(all[i]),
			    problem_code(all[j]));
	}
}
END_TEST

static const struct {
	enum problem	 p;
	unsigned int	 status;
	const char	*code;
} stable_rows[] = {
	{ PROBLEM_MALFORMED,		400, "malformed" },
	{ PROBLEM_TOKEN_MISSING,	401, "token_missing" },
	{ PROBLEM_TOKEN_EXPIRED,	401, "token_expired" },
	{ PROBLEM_TOKEN_INVALID,	401, "token_invalid" },
	{ PROBLEM_TOPIC_FORBIDDEN,	403, "topic_forbidden" },
	{ PROBLEM_NOT_FOUND,		404, "not_found" },
	{ PROBLEM_METHOD,		405, "method_not_allowed" },
	{ PROBLEM_TIMEOUT,		408, "request_timeout" },
	{ PROBLEM_KEY_CONFLICT,		409, "idempotency_conflict" },
	{ PROBLEM_TOO_LARGE,		413, "too_large" },
	{ PROBLEM_URI_TOO_LONG,		414, "uri_too_long" },
	{ PROBLEM_MEDIA_TYPE,		415, "unsupported_media_type" },
	{ PROBLEM_EXPECTATION,		417, "expectation_failed" },
	{ PROBLEM_RATE_LIMITED,		429, "rate_limited" },
	{ PROBLEM_TOO_MANY_STREAMS,	429, "too_many_streams" },
	{ PROBLEM_HEAD_TOO_LARGE,	431, "head_too_large" },
	{ PROBLEM_NOT_IMPLEMENTED,	501, "not_implemented" },
	{ PROBLEM_STORE_FULL,		503, "store_full" },
	{ PROBLEM_STORE_BUSY,		503, "store_busy" },
	{ PROBLEM_STORE_UNKNOWN,	503, "store_unknown" },
	{ PROBLEM_VERSION,		505, "version_not_supported" },
};

START_TEST(the_codes_that_clients_know_stay_as_they_are)
{
	ck_assert_uint_eq(problem_status(stable_rows[_i].p),
	    stable_rows[_i].status);
	ck_assert_str_eq(problem_code(stable_rows[_i].p),
	    stable_rows[_i].code);
}
END_TEST

/* Render and read it with another parser.  The caller frees the object. */
static json_t *
rendered(enum problem p, const char *detail, const char *ref,
    const char *topic)
{
	struct buf b = { 0 };
	json_t *o;

	problem_render(&b, p, detail, ref, topic);
	ck_assert(!b.failed);
	o = json_loadb(b.p, b.len, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(o);
	buf_fini(&b);
	return o;
}

static void
assert_member(json_t *o, const char *name, const char *want)
{
	ck_assert_pstr_eq(json_string_value(json_object_get(o, name)), want);
}

START_TEST(a_body_holds_what_the_table_and_the_caller_say)
{
	json_t *o = rendered(PROBLEM_TOPIC_FORBIDDEN,
	    "no grant covers \"user/7\"\n", "r-1", "user/7");

	ck_assert_int_eq(json_integer_value(json_object_get(o, "status")),
	    403);
	assert_member(o, "code", "topic_forbidden");
	assert_member(o, "title", problem_title(PROBLEM_TOPIC_FORBIDDEN));
	assert_member(o, "detail", "no grant covers \"user/7\"\n");
	assert_member(o, "topic", "user/7");
	assert_member(o, "ref", "r-1");
	ck_assert_uint_eq(json_object_size(o), 6);
	json_decref(o);
}
END_TEST

START_TEST(what_the_caller_does_not_know_is_left_out)
{
	json_t *o = rendered(PROBLEM_NOT_FOUND, NULL, NULL, NULL);

	ck_assert_uint_eq(json_object_size(o), 3);
	json_decref(o);
	o = rendered(PROBLEM_NOT_FOUND, "", "r", NULL);
	assert_member(o, "detail", "");
	ck_assert_uint_eq(json_object_size(o), 5);
	json_decref(o);
}
END_TEST

START_TEST(a_detail_that_is_not_utf8_still_makes_valid_json)
{
	json_t *o = rendered(PROBLEM_MALFORMED, "a\xff\xe2\x80z\xc3\xa9\xf0",
	    "r", "\x80");

	assert_member(o, "detail", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"
	    "\xc3\xa9\xef\xbf\xbd");
	assert_member(o, "topic", "\xef\xbf\xbd");
	json_decref(o);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("problem");
	TCase *tc = tcase_create("problem");

	tcase_add_test(tc,
	    every_error_has_a_status_a_title_and_a_code_of_its_own);
	tcase_add_loop_test(tc, the_codes_that_clients_know_stay_as_they_are,
	    0, (int)(sizeof(stable_rows) / sizeof(stable_rows[0])));
	tcase_add_test(tc, a_body_holds_what_the_table_and_the_caller_say);
	tcase_add_test(tc, what_the_caller_does_not_know_is_left_out);
	tcase_add_test(tc, a_detail_that_is_not_utf8_still_makes_valid_json);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
