/*
 * check_json.c - json.h: slices of JSON, byte for byte.
 *
 * jansson, which shares no line with it, is the second opinion: see the last
 * tests.
 */
#include "config.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#undef json_typeof			/* jansson's is a macro */
#include "json.h"

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

static void
assert_slice(struct json_slice s, const char *want)
{
	ck_assert_uint_eq(s.len, strlen(want));
	ck_assert_mem_eq(s.p, want, s.len);
}

static const struct {
	const char	*text;
	size_t		 used;		/* bytes of the value, from its start */
	enum json_type	 type;
} good_rows[] = {
	{ "null", 4, JSON_TYPE_NULL },
	{ "true", 4, JSON_TYPE_TRUE },
	{ "false", 5, JSON_TYPE_FALSE },
	{ "0", 1, JSON_TYPE_NUMBER },
	{ "-0", 2, JSON_TYPE_NUMBER },
	{ "10", 2, JSON_TYPE_NUMBER },
	{ "-12.50e+007", 11, JSON_TYPE_NUMBER },
	{ "0.0E-0", 6, JSON_TYPE_NUMBER },
	{ "1e400", 5, JSON_TYPE_NUMBER },
	{ "123456789012345678901234567890", 30, JSON_TYPE_NUMBER },
	{ "\"\"", 2, JSON_TYPE_STRING },
	{ "\"plain text, longer than a word\"", 32, JSON_TYPE_STRING },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABCD\"", 30,
	    JSON_TYPE_STRING },
	{ "\"\\ud800\"", 8, JSON_TYPE_STRING },		/* grammar allows */
	{ "\"\\u0000\"", 8, JSON_TYPE_STRING },
	{ "\"\x7f\"", 3, JSON_TYPE_STRING },
	{ "\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x8e\x89\"", 11, JSON_TYPE_STRING },
	{ "[]", 2, JSON_TYPE_ARRAY },
	{ "{}", 2, JSON_TYPE_OBJECT },
	{ "[ ]", 3, JSON_TYPE_ARRAY },
	{ "{\t}", 3, JSON_TYPE_OBJECT },
	{ "[[],{},[[]]]", 12, JSON_TYPE_ARRAY },
	{ "[1,\"]\",{\"}\":[true]}]", 20, JSON_TYPE_ARRAY },
	{ "{\"a\":1,\"a\":2,\"\":{\"b\":[]}}", 25, JSON_TYPE_OBJECT },
	{ "{ \"a\" : [ 1 , 2 ] , \"b\" : null }", 32, JSON_TYPE_OBJECT },
	/* what follows is another's business */
	{ "1 2", 1, JSON_TYPE_NUMBER },
	{ "{}{}", 2, JSON_TYPE_OBJECT },
	{ "[]x", 2, JSON_TYPE_ARRAY },
	{ "\"a\"\"b\"", 3, JSON_TYPE_STRING },
	{ "1,", 1, JSON_TYPE_NUMBER },
	{ "true]", 4, JSON_TYPE_TRUE },
	{ "1{", 1, JSON_TYPE_NUMBER },
};

START_TEST(a_value_ends_where_its_grammar_ends)
{
	size_t len = strlen(good_rows[_i].text);
	char *p = exact(good_rows[_i].text, len);
	struct json_cursor c;
	struct json_slice v;

	json_open(&c, p, len);
	ck_assert_int_eq(json_value(&c, &v), 0);
	ck_assert_ptr_eq(v.p, p);
	ck_assert_uint_eq(v.len, good_rows[_i].used);
	ck_assert_ptr_eq(c.p, p + v.len);
	ck_assert_int_eq(json_typeof(v), good_rows[_i].type);
	free(p);
}
END_TEST

static const struct {
	const char	*text;
	size_t		 at;		/* the offending byte */
	const char	*error;
} bad_rows[] = {
	{ "", 0, "a value is missing" },
	{ " \n", 2, "a value is missing" },
	{ "]", 0, "a value is missing" },
	{ ",", 0, "a value is missing" },
	{ "'a'", 0, "a value is missing" },
	{ "+1", 0, "a value is missing" },
	{ ".5", 0, "a value is missing" },
	{ "NaN", 0, "a value is missing" },
	{ "\xef\xbb\xbf{}", 0, "a value is missing" },
	{ "/**/1", 0, "a value is missing" },
	{ "\f1", 0, "a value is missing" },
	{ "tru", 0, "a word is not true, false or null" },
	{ "True", 0, "a value is missing" },
	{ "nul", 0, "a word is not true, false or null" },
	{ "nulll", 0, "a word is not true, false or null" },
	{ "truefalse", 0, "a word is not true, false or null" },
	{ "-", 1, "a number lacks digits" },
	{ "-a", 1, "a number lacks digits" },
	{ "1.", 2, "a number lacks digits" },
	{ "1.e5", 2, "a number lacks digits" },
	{ "1e", 2, "a number lacks digits" },
	{ "1e+", 3, "a number lacks digits" },
	{ "01", 1, "a number is malformed" },
	{ "-01", 2, "a number is malformed" },
	{ "1.2.3", 3, "a number is malformed" },
	{ "0x10", 1, "a number is malformed" },
	{ "1a", 1, "a number is malformed" },
	{ "1-2", 1, "a number is malformed" },
	{ "\"", 1, "a string has no end" },
	{ "\"abcdefghijk", 12, "a string has no end" },
	{ "\"a\\", 3, "a string has no end" },
	{ "\"a\\\"", 4, "a string has no end" },
	{ "\"\\u00", 5, "a string has no end" },
	{ "\"\\x\"", 2, "an escape is unknown" },
	{ "\"\\U0041\"", 2, "an escape is unknown" },
	{ "\"\\u00g0\"", 5, "\\u needs four hex digits" },
	{ "\"\\u\"", 3, "\\u needs four hex digits" },
	{ "\"12345678\n\"", 9, "a string holds a raw control character" },
	{ "\"\t\"", 1, "a string holds a raw control character" },
	{ "\"\x1f\"", 1, "a string holds a raw control character" },
	{ "\"ab\xff\"", 3, "a string is not UTF-8" },
	{ "\"\xe2\x82\"", 1, "a string is not UTF-8" },
	{ "\"\xc3\xa9\xc0\x80\"", 3, "a string is not UTF-8" },
	{ "\"\xed\xa0\x80\"", 1, "a string is not UTF-8" },
	{ "\"\xc3\\n\"", 1, "a string is not UTF-8" },
	{ "[1 2]", 3, "a comma is missing" },
	{ "[1}", 2, "a comma is missing" },
	{ "{\"a\":1]", 6, "a comma is missing" },
	{ "[1:2]", 2, "a comma is missing" },
	{ "[\"a\"\"b\"]", 4, "a comma is missing" },
	{ "[", 1, "a value is missing" },
	{ "[1", 2, "an array has no end" },
	{ "[1,", 3, "a value is missing" },
	{ "[1,]", 3, "a value is missing" },
	{ "[,1]", 1, "a value is missing" },
	{ "[[1]", 4, "an array has no end" },
	{ "{", 1, "a name in quotes is missing" },
	{ "{a:1}", 1, "a name in quotes is missing" },
	{ "{1:1}", 1, "a name in quotes is missing" },
	{ "{\"a\":1,}", 7, "a name in quotes is missing" },
	{ "{,}", 1, "a name in quotes is missing" },
	{ "{]", 1, "a name in quotes is missing" },
	{ "{\"a\"}", 4, "a colon is missing" },
	{ "{\"a\"", 4, "a colon is missing" },
	{ "{\"a\" 1}", 5, "a colon is missing" },
	{ "{\"a\":}", 5, "a value is missing" },
	{ "{\"a\"::1}", 5, "a value is missing" },
	{ "{\"a\":1", 6, "an object has no end" },
	{ "{\"a\":1 \"b\":2}", 7, "a comma is missing" },
	{ "{\"\xff\":1}", 2, "a string is not UTF-8" },
};

START_TEST(a_fault_is_named_where_it_is)
{
	size_t len = strlen(bad_rows[_i].text);
	char *p = exact(bad_rows[_i].text, len);
	struct json_cursor c;
	struct json_slice v;

	json_open(&c, p, len);
	ck_assert_int_eq(json_value(&c, &v), -1);
	ck_assert_str_eq(c.error, bad_rows[_i].error);
	ck_assert_uint_eq((size_t)(c.p - c.start), bad_rows[_i].at);
	free(p);
}
END_TEST

START_TEST(a_nul_is_no_white_space_and_no_end)
{
	static const char *const texts[] = { "\0001", "[1\0]", "\"a\0\"",
	    "\"\\\0\"", "{\0}" };
	static const size_t lens[] = { 2, 4, 4, 4, 3 };
	struct json_cursor c;
	struct json_slice v;
	size_t i;

	for (i = 0; i < 5; i++) {
		json_open(&c, texts[i], lens[i]);
		ck_assert_int_eq(json_value(&c, &v), -1);
	}
}
END_TEST

START_TEST(nesting_ends_at_its_limit)
{
	struct buf b = { 0 };
	struct json_cursor c;
	struct json_slice v;
	int depth, i;

	for (depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
		b.len = 0;
		for (i = 0; i < depth; i++)
			buf_adds(&b, i % 2 == 0 ? "[" : "{\"a\":");
		buf_addc(&b, '1');
		while (i-- > 0)
			buf_addc(&b, i % 2 == 0 ? ']' : '}');
		json_open(&c, b.p, b.len);
		ck_assert_int_eq(json_value(&c, &v),
		    depth <= JSON_MAX_DEPTH ? 0 : -1);
	}
	ck_assert_str_eq(c.error, "the nesting is deeper than 64 levels");

	b.len = 0;			/* depth, not the number of brackets */
	buf_addc(&b, '[');
	for (i = 0; i < 1000; i++)
		buf_adds(&b, "[],{},");
	buf_adds(&b, "0]");
	json_open(&c, b.p, b.len);
	ck_assert_int_eq(json_value(&c, &v), 0);

	b.len = 0;			/* and hostile depth is cheap */
	for (i = 0; i < 1000000; i++)
		buf_addc(&b, '[');
	json_open(&c, b.p, b.len);
	ck_assert_int_eq(json_value(&c, &v), -1);
	ck_assert_uint_eq((size_t)(c.p - c.start), JSON_MAX_DEPTH);
	buf_fini(&b);
}
END_TEST

START_TEST(values_may_follow_one_another)
{
	static const char text[] = " {\"a\":1}{\"a\":2}\n[3] 4\r\n\"5\" ";
	static const char *const want[] = { "{\"a\":1}", "{\"a\":2}", "[3]",
	    "4", "\"5\"" };
	struct json_cursor c;
	struct json_slice v;
	size_t n = 0;

	json_open(&c, text, strlen(text));
	while (json_more(&c)) {
		ck_assert_int_eq(json_value(&c, &v), 0);
		ck_assert_uint_lt(n, 5);
		assert_slice(v, want[n++]);
	}
	ck_assert_uint_eq(n, 5);
	json_open(&c, NULL, 0);
	ck_assert_int_eq(json_more(&c), 0);
	ck_assert_int_eq(json_value(&c, &v), -1);
}
END_TEST

START_TEST(members_are_walked_without_touching_them)
{
	static const char text[] = "{ \"a\" : 1.50 , \"b,}\":\"x\\\"}\","
	    "\"c\":{\"d\":[1,{}]}, \"\":[] ,\"n\\u0061\":null}";
	static const char *const keys[] = { "\"a\"", "\"b,}\"", "\"c\"",
	    "\"\"", "\"n\\u0061\"" };
	static const char *const values[] = { "1.50", "\"x\\\"}\"",
	    "{\"d\":[1,{}]}", "[]", "null" };
	size_t len = strlen(text), n = 0;
	char *p = exact(text, len);
	struct json_slice all, key, value;
	struct json_cursor c;

	json_open(&c, p, len);
	ck_assert_int_eq(json_value(&c, &all), 0);
	json_open(&c, all.p, all.len);
	while (json_next_member(&c, &key, &value)) {
		ck_assert_uint_lt(n, 5);
		assert_slice(key, keys[n]);
		assert_slice(value, values[n++]);
	}
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq(json_next_member(&c, &key, &value), 0);
	free(p);

	json_open(&c, "{ }", 3);
	ck_assert_int_eq(json_next_member(&c, &key, &value), 0);
}
END_TEST

START_TEST(elements_are_walked_without_touching_them)
{
	static const char text[] =
	    "[1 , \"],\" ,[2,[3]],{\"a\":[]},true\t,-0.5]";
	static const char *const want[] = { "1", "\"],\"", "[2,[3]]",
	    "{\"a\":[]}", "true", "-0.5" };
	size_t len = strlen(text), n = 0;
	char *p = exact(text, len);
	struct json_slice all, value;
	struct json_cursor c;

	json_open(&c, p, len);
	ck_assert_int_eq(json_value(&c, &all), 0);
	json_open(&c, all.p, all.len);
	while (json_next_element(&c, &value)) {
		ck_assert_uint_lt(n, 6);
		assert_slice(value, want[n++]);
	}
	ck_assert_uint_eq(n, 6);
	free(p);

	json_open(&c, "[]", 2);
	ck_assert_int_eq(json_next_element(&c, &value), 0);
}
END_TEST

static const struct {
	const char	*text;
	const char	*want;		/* NULL: refused */
	size_t		 len;
} unescape_rows[] = {
	{ "\"\"", "", 0 },
	{ "\"plain\"", "plain", 5 },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
	{ "\"a\\u0041\\u00e9\\u20AC\\uffffz\"",
	    "aA\xc3\xa9\xe2\x82\xac\xef\xbf\xbfz", 11 },
	{ "\"\\u0000\"", "\0", 1 },
	{ "\"\\u007f\\u0080\\u07ff\\u0800\"",
	    "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80", 8 },
	{ "\"\\ud83c\\udf89\\ud800\\udc00\\udbff\\udfff\"",
	    "\xf0\x9f\x8e\x89\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 12 },
	{ "\"\\\\u0041\"", "\\u0041", 6 },
	{ "\"\xc3\xa9\\n\"", "\xc3\xa9\n", 3 },
	{ "\"a\\ud800\"", NULL, 0 },
	{ "\"\\ud800x\"", NULL, 0 },
	{ "\"\\ud800\\n\"", NULL, 0 },
	{ "\"\\udc00\"", NULL, 0 },
	{ "\"\\udc00\\ud800\"", NULL, 0 },
	{ "\"\\udc00\\udc00\"", NULL, 0 },
	{ "\"\\ud800\\uffff\"", NULL, 0 },
	{ "\"\\ud800\\ud800\"", NULL, 0 },
	{ "\"\\ud800\\u0041\"", NULL, 0 },
	{ "\"\\ud83c\\\\udf89\"", NULL, 0 },
};

START_TEST(escapes_are_resolved_and_lone_surrogates_refused)
{
	size_t len = strlen(unescape_rows[_i].text);
	char *p = exact(unescape_rows[_i].text, len);
	struct buf b = { 0 };
	struct json_cursor c;
	struct json_slice v;

	buf_adds(&b, "kept");
	json_open(&c, p, len);
	ck_assert_int_eq(json_value(&c, &v), 0);
	ck_assert_int_eq(json_unescape(v, &b),
	    unescape_rows[_i].want == NULL ? -1 : 0);
	ck_assert_uint_eq(b.len, 4 + unescape_rows[_i].len);
	ck_assert_mem_eq(b.p, "kept", 4);
	if (unescape_rows[_i].len > 0)
		ck_assert_mem_eq(b.p + 4, unescape_rows[_i].want,
		    unescape_rows[_i].len);
	buf_fini(&b);
	free(p);
}
END_TEST

static const struct {
	const char	*text, *want;
} compact_rows[] = {
	{ "{}", "{}" },
	{ "1.50", "1.50" },
	{ "\" a \\\" b \"", "\" a \\\" b \"" },
	{ "{ \"a b\" : [ 1 , 2.0e1 , \"x  y\" ] ,\r\n\t\"c\" : null }",
	    "{\"a b\":[1,2.0e1,\"x  y\"],\"c\":null}" },
	{ "[\n]", "[]" },
	{ "[ 12345678901234567890123 , -0 ]", "[12345678901234567890123,-0]" },
	{ "[\"\\\\\" , \" \"]", "[\"\\\\\",\" \"]" },
};

START_TEST(compacting_drops_space_between_tokens_only)
{
	size_t len = strlen(compact_rows[_i].text);
	char *p = exact(compact_rows[_i].text, len);
	struct json_slice v = { p, len };
	struct buf b = { 0 };

	json_compact(v, &b);
	ck_assert_uint_eq(b.len, strlen(compact_rows[_i].want));
	ck_assert_mem_eq(b.p, compact_rows[_i].want, b.len);
	buf_fini(&b);
	free(p);
}
END_TEST

static uint64_t
draw(uint64_t *state, uint64_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (*state >> 33) % below;
}

/* Random JSON, with white space anywhere it may be. */
static void
add_random(struct buf *b, uint64_t *state, int depth)
{
	static const char *const scalars[] = { "null", "true", "false", "0",
	    "-1.5", "2e3", "1E-2", "9007199254740993", "\"\"", "\"a b\"",
	    "\"\\u00e9\\n\"", "\"\xc3\xa9\xf0\x9f\x8e\x89\"",
	    "\"long enough for a word \\\\\"", "\"{[\\\",]}\"" };
	static const char *const spaces[] = { "", "", "", " ", "\n", "\t \r" };
	size_t i, n = draw(state, 4);
	bool object = draw(state, 2) == 0;

#define SPACE()	buf_adds(b, spaces[draw(state, 6)])
	if (depth == 0 || draw(state, 3) == 0) {
		buf_adds(b, scalars[draw(state, 14)]);
		return;
	}
	buf_addc(b, object ? '{' : '[');
	SPACE();
	for (i = 0; i < n; i++) {
		if (i > 0) {
			buf_addc(b, ',');
			SPACE();
		}
		if (object) {
			buf_addf(b, "\"k%zu\"", i);
			SPACE();
			buf_addc(b, ':');
			SPACE();
		}
		add_random(b, state, depth - 1);
		SPACE();
	}
	buf_addc(b, object ? '}' : ']');
#undef SPACE
}

/* Our verdict on a whole text. */
static bool
accepts(const char *p, size_t len)
{
	struct json_cursor c;
	struct json_slice v;

	json_open(&c, p, len);
	return json_value(&c, &v) == 0 && !json_more(&c);
}

/* jansson's; a number too large for a double is our one difference, and then
 * it is taken to agree. */
static bool
jansson_agrees(bool ours, const char *p, size_t len)
{
	json_error_t e;
	json_t *o = json_loadb(p, len, JSON_DECODE_ANY | JSON_ALLOW_NUL |
	    JSON_DECODE_INT_AS_REAL, &e);

	json_decref(o);
	if (o == NULL && json_error_code(&e) == json_error_numeric_overflow)
		return true;
	return ours == (o != NULL);
}

START_TEST(another_parser_agrees_on_random_texts_sound_and_broken)
{
	static const char bytes[] = "{}[]:,\"\\ \n01-+.eEtfnul\x01\x7f\xc3\xa9";
	size_t i, j, sound = 0, broken = 0;
	uint64_t state = 7;
	bool ours;
	char *p;

	for (i = 0; i < 30000; i++) {
		struct buf b = { 0 };

		add_random(&b, &state, 4);
		ck_assert(!b.failed);
		for (j = draw(&state, 3); j > 0; j--)
			b.p[draw(&state, b.len)] =
			    bytes[draw(&state, sizeof(bytes) - 1)];
		if (draw(&state, 4) == 0)
			b.len = draw(&state, b.len + 1);
		p = exact(b.p, b.len);
		ours = accepts(p, b.len);
		if (!jansson_agrees(ours, p, b.len))
			ck_abort_msg("we %s: %.*s", ours ? "accept" : "refuse",
			    (int)b.len, p);
		sound += ours;
		broken += !ours;
		free(p);
		buf_fini(&b);
	}
	ck_assert_uint_gt(sound, 5000);
	ck_assert_uint_gt(broken, 5000);
}
END_TEST

START_TEST(compacting_keeps_the_meaning_and_is_final)
{
	struct buf b = { 0 }, once = { 0 }, twice = { 0 };
	struct json_slice v;
	uint64_t state = 11;
	json_t *before, *after;
	size_t i;

	for (i = 0; i < 5000; i++) {
		b.len = once.len = twice.len = 0;
		add_random(&b, &state, 4);
		v.p = b.p;
		v.len = b.len;
		json_compact(v, &once);
		v.p = once.p;
		v.len = once.len;
		json_compact(v, &twice);
		ck_assert_uint_eq(once.len, twice.len);
		ck_assert_mem_eq(once.p, twice.p, once.len);
		before = json_loadb(b.p, b.len, JSON_DECODE_ANY, NULL);
		after = json_loadb(once.p, once.len, JSON_DECODE_ANY, NULL);
		ck_assert_ptr_nonnull(before);
		ck_assert(json_equal(before, after));
		json_decref(before);
		json_decref(after);
	}
	buf_fini(&b);
	buf_fini(&once);
	buf_fini(&twice);
}
END_TEST

/* Walkers promise no sense for text that was never accepted, but no harm
 * either. */
START_TEST(walking_what_was_never_checked_stays_inside)
{
	static const char bytes[] = "{}[]:,\"\\ 1u\xff";
	struct json_slice key, value;
	struct json_cursor c;
	uint64_t state = 3;
	size_t i, j, len, steps;
	char *p;

	for (i = 0; i < 50000; i++) {
		struct buf b = { 0 };

		len = draw(&state, 14);
		p = malloc(len + 1);
		ck_assert_ptr_nonnull(p);
		for (j = 0; j < len; j++)
			p[j] = bytes[draw(&state, sizeof(bytes) - 1)];
		p = realloc(p, len == 0 ? 1 : len);
		ck_assert_ptr_nonnull(p);
		json_open(&c, p, len);
		for (steps = 0; json_next_member(&c, &key, &value); steps++)
			if (steps > len)
				ck_abort_msg("members without end");
		json_open(&c, p, len);
		for (steps = 0; json_next_element(&c, &value); steps++)
			if (steps > len)
				ck_abort_msg("elements without end");
		value.p = p;
		value.len = len;
		(void)json_unescape(value, &b);
		json_compact(value, &b);
		(void)json_typeof(value);
		buf_fini(&b);
		free(p);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("json");
	TCase *tc = tcase_create("json");

	tcase_set_timeout(tc, 60);
	ADD_ROWS(tc, a_value_ends_where_its_grammar_ends, good_rows);
	ADD_ROWS(tc, a_fault_is_named_where_it_is, bad_rows);
	tcase_add_test(tc, a_nul_is_no_white_space_and_no_end);
	tcase_add_test(tc, nesting_ends_at_its_limit);
	tcase_add_test(tc, values_may_follow_one_another);
	tcase_add_test(tc, members_are_walked_without_touching_them);
	tcase_add_test(tc, elements_are_walked_without_touching_them);
	ADD_ROWS(tc, escapes_are_resolved_and_lone_surrogates_refused,
	    unescape_rows);
	ADD_ROWS(tc, compacting_drops_space_between_tokens_only, compact_rows);
	tcase_add_test(tc,
	    another_parser_agrees_on_random_texts_sound_and_broken);
	tcase_add_test(tc, compacting_keeps_the_meaning_and_is_final);
	tcase_add_test(tc, walking_what_was_never_checked_stays_inside);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
