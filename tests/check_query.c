/* check_query.c - query.h: pairs out of query strings and forms. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "query.h"
#include "text.h"

#include "suite.h"

#define ADD_ROWS(tc, test, rows) tcase_add_loop_test((tc), test, 0,	\
	(int)(sizeof(rows) / sizeof((rows)[0])))

/* A heap copy of exact size, so that a sanitizer sees any step outside. */
static char *
exact(const char *p, size_t len)
{
	char *copy = malloc(len == 0 ? 1 : len);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, len);
	return copy;
}

static const struct {
	const char	*text;
	const char	*pairs;		/* each [name|value] */
} good_rows[] = {
	{ "", "" },
	{ "&", "" },
	{ "&&&", "" },
	{ "a=b", "[a|b]" },
	{ "a=b&c=d", "[a|b][c|d]" },
	{ "&a=b&&c=d&", "[a|b][c|d]" },
	{ "a", "[a|]" },
	{ "a&b", "[a|][b|]" },
	{ "a=", "[a|]" },
	{ "=", "[|]" },
	{ "=b", "[|b]" },
	{ "a=b=c", "[a|b=c]" },
	{ "a==", "[a|=]" },
	{ "topic=x&topic=y&topic=x", "[topic|x][topic|y][topic|x]" },
	{ "topic=scores%2F7&topic=scores/*/goals",
	    "[topic|scores/7][topic|scores/*/goals]" },
	{ "d=a+b%20c%2Bd", "[d|a b c+d]" },
	{ "a%3Db=c%26d", "[a=b|c&d]" },
	{ "d=%e2%82%AC", "[d|\xe2\x82\xac]" },
	{ "d=\xe2\x82\xac", "[d|\xe2\x82\xac]" },
	{ "d=%250a", "[d|%0a]" },		/* decoded once */
	{ "d=%0d%0a%7f", "[d|\r\n\x7f]" },
	{ "a;b=c;d", "[a;b|c;d]" },
	{ "?a=b#c", "[?a|b#c]" },
};

START_TEST(pairs_come_decoded_and_in_order)
{
	size_t len = strlen(good_rows[_i].text), i;
	char *p = exact(good_rows[_i].text, len);
	struct buf got = { 0 };
	const char *why = NULL;
	struct query q;

	ck_assert_int_eq(query_parse(&q, p, len, &why), 0);
	free(p);			/* the struct has its own copy */
	for (i = 0; i < q.n; i++) {
		ck_assert_uint_eq(strlen(q.v[i].name), q.v[i].name_len);
		ck_assert_uint_eq(strlen(q.v[i].value), q.v[i].value_len);
		buf_addf(&got, "[%s|%s]", q.v[i].name, q.v[i].value);
	}
	buf_addc(&got, '\0');
	ck_assert_str_eq(got.p, good_rows[_i].pairs);
	buf_fini(&got);
	query_fini(&q);
}
END_TEST

static const struct {
	const char	*text;
	size_t		 len;
	const char	*why;		/* part of it */
} bad_rows[] = {
	{ "a=%", 3, "hex" },
	{ "a=%4", 4, "hex" },
	{ "a=%4&b=c", 8, "hex" },
	{ "a=%&41", 6, "hex" },
	{ "a=%zz", 5, "hex" },
	{ "a=%4g", 5, "hex" },
	{ "a=%%41", 6, "hex" },
	{ "a=%+1", 5, "hex" },
	{ "%=b", 3, "hex" },
	{ "%4=1b", 5, "hex" },
	{ "good=1&a=%u00e9", 15, "hex" },
	{ "a=%00", 5, "NUL" },
	{ "a=b%00c", 7, "NUL" },
	{ "a%00=b", 6, "NUL" },
	{ "a=b\0c", 5, "NUL" },
	{ "a=%ff", 5, "UTF-8" },
	{ "a=%c0%af", 8, "UTF-8" },
	{ "%e2%82=b", 8, "UTF-8" },
	{ "a%e2=%82%ac", 11, "UTF-8" },
	{ "a=\xed\xa0\x80", 5, "UTF-8" },
};

START_TEST(a_broken_query_is_refused_with_its_reason)
{
	char *p = exact(bad_rows[_i].text, bad_rows[_i].len);
	const char *why = NULL;
	struct query q;

	ck_assert_int_eq(query_parse(&q, p, bad_rows[_i].len, &why), -1);
	ck_assert_ptr_nonnull(why);
	ck_assert_ptr_nonnull(strstr(why, bad_rows[_i].why));
	ck_assert_uint_eq(q.n, 0);
	query_fini(&q);			/* allowed, though not needed */
	free(p);
}
END_TEST

START_TEST(no_more_than_1200_pairs_are_taken)
{
	struct buf b = { 0 };
	const char *why = NULL;
	struct query q;
	int i;

	for (i = 0; i < QUERY_MAX_PAIRS; i++)
		buf_adds(&b, "a&&");	/* the empty ones do not count */
	ck_assert_int_eq(query_parse(&q, b.p, b.len, &why), 0);
	ck_assert_uint_eq(q.n, QUERY_MAX_PAIRS);
	ck_assert_uint_eq(query_count(&q, "a"), QUERY_MAX_PAIRS);
	query_fini(&q);
	buf_adds(&b, "a");
	ck_assert_int_eq(query_parse(&q, b.p, b.len, &why), -1);
	ck_assert_str_eq(why, "has more than 1200 fields");
	buf_fini(&b);
}
END_TEST

START_TEST(the_first_of_a_name_is_found_and_all_are_counted)
{
	static const char text[] = "topic=a&TOPIC=x&topic=b&top=c&%74opic=d";
	const char *why = NULL;
	struct query q;

	ck_assert_int_eq(query_parse(&q, text, strlen(text), &why), 0);
	ck_assert_str_eq(query_get(&q, "topic")->value, "a");
	ck_assert_str_eq(query_get(&q, "top")->value, "c");
	ck_assert_ptr_null(query_get(&q, "to"));
	ck_assert_ptr_null(query_get(&q, "topics"));
	ck_assert_uint_eq(query_count(&q, "topic"), 3);
	ck_assert_uint_eq(query_count(&q, "topics"), 0);
	query_fini(&q);
	ck_assert_ptr_null(query_get(&q, "topic"));
}
END_TEST

START_TEST(nothing_at_all_is_an_empty_query)
{
	const char *why = NULL;
	struct query q;

	ck_assert_int_eq(query_parse(&q, NULL, 0, &why), 0);
	ck_assert_uint_eq(q.n, 0);
	ck_assert_ptr_null(query_get(&q, ""));
	query_fini(&q);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("query");
	TCase *tc = tcase_create("query");

	ADD_ROWS(tc, pairs_come_decoded_and_in_order, good_rows);
	ADD_ROWS(tc, a_broken_query_is_refused_with_its_reason, bad_rows);
	tcase_add_test(tc, no_more_than_1200_pairs_are_taken);
	tcase_add_test(tc, the_first_of_a_name_is_found_and_all_are_counted);
	tcase_add_test(tc, nothing_at_all_is_an_empty_query);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
