/* check_text.c - text.h: buffers, UTF-8, escapes, times, numbers. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text.h"

#include "suite.h"

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
assert_buf(const struct buf *b, const char *want)
{
	ck_assert(!b->failed);
	ck_assert_uint_eq(b->len, strlen(want));
	ck_assert_mem_eq(b->p, want, b->len);
}

START_TEST(a_buffer_keeps_what_was_added_in_order)
{
	struct buf b = { 0 };

	buf_add(&b, NULL, 0);
	ck_assert_ptr_null(b.p);
	buf_add(&b, "one", 3);
	buf_addc(&b, ' ');
	buf_adds(&b, "two");
	buf_addf(&b, " %d%s", 3, "");
	assert_buf(&b, "one two 3");
	buf_fini(&b);
	ck_assert_ptr_null(b.p);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(a_buffer_grows_by_one_byte_or_by_many)
{
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < 100000; i++)
		buf_addc(&b, (char)('a' + i % 26));
	for (i = 0; i < 20; i++)
		buf_addf(&b, "%01000d", 7);
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.len, 120000);
	for (i = 0; i < 100000; i++)
		if (b.p[i] != (char)('a' + i % 26))
			ck_abort_msg("byte %zu differs", i);
	ck_assert_int_eq(b.p[119999], '7');
	ck_assert_uint_lt(b.cap, 2 * 120000 + 1);
	buf_fini(&b);
}
END_TEST

START_TEST(a_buffer_that_failed_stays_failed_and_unchanged)
{
	struct buf b = { 0 };

	buf_adds(&b, "kept");
	buf_add(&b, "x", SIZE_MAX - 2);		/* refused before it is read */
	ck_assert(b.failed);
	buf_adds(&b, "more");
	buf_addc(&b, 'c');
	buf_addf(&b, "%d", 1);
	buf_add_json(&b, "j", 1);
	ck_assert(b.failed);
	ck_assert_uint_eq(b.len, 4);
	ck_assert_mem_eq(b.p, "kept", 4);
	buf_fini(&b);
	ck_assert(!b.failed);
}
END_TEST

static const struct {
	const char	*in;
	size_t		 len;
	const char	*out;
} json_rows[] = {
	{ "", 0, "\"\"" },
	{ "plain", 5, "\"plain\"" },
	{ "a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"" },
	{ "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"" },
	{ "a line\nand another", 18, "\"a line\\nand another\"" },
	{ "\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"" },
	/* U+0085, U+2028, U+2029, and their neighbours as they are */
	{ "\xc2\x85", 2, "\"\\u0085\"" },
	{ "\xc2\x84\xc2\x86", 4, "\"\xc2\x84\xc2\x86\"" },
	{ "\xe2\x80\xa8 \xe2\x80\xa9", 7, "\"\\u2028 \\u2029\"" },
	{ "\xe2\x80\xa7\xe2\x80\xaa", 6, "\"\xe2\x80\xa7\xe2\x80\xaa\"" },
	{ "\xe2\x82\xac\xf0\x9f\x8e\x89", 7,
	    "\"\xe2\x82\xac\xf0\x9f\x8e\x89\"" },
	/* not UTF-8, but no reason to read on behind the end */
	{ "\xe2\x80", 2, "\"\xe2\x80\"" },
	{ "\xc2", 1, "\"\xc2\"" },
};

START_TEST(a_json_string_escapes_what_may_end_a_line)
{
	struct buf b = { 0 };
	char *in = exact(json_rows[_i].in, json_rows[_i].len);

	buf_add_json(&b, in, json_rows[_i].len);
	assert_buf(&b, json_rows[_i].out);
	buf_fini(&b);
	free(in);
}
END_TEST

static const struct {
	const char	*text;
	size_t		 len;
	size_t		 good;		/* bytes before the fault */
} utf8_rows[] = {
	{ "", 0, 0 },
	{ "ascii only, and more than eight", 31, 31 },
	{ "nul\0inside", 10, 10 },
	{ "\x7f", 1, 1 },
	{ "\x80", 1, 0 },		/* a continuation alone */
	{ "\xbf", 1, 0 },
	{ "\xc0\x80", 2, 0 },		/* overlong NUL */
	{ "\xc1\xbf", 2, 0 },
	{ "\xc2\x80", 2, 2 },		/* U+0080 */
	{ "\xdf\xbf", 2, 2 },		/* U+07FF */
	{ "\xc2", 1, 0 },
	{ "\xc2\x7f", 2, 0 },
	{ "\xc2\xc0", 2, 0 },
	{ "\xe0\x9f\xbf", 3, 0 },	/* overlong */
	{ "\xe0\xa0\x80", 3, 3 },	/* U+0800 */
	{ "\xed\x9f\xbf", 3, 3 },	/* U+D7FF */
	{ "\xed\xa0\x80", 3, 0 },	/* U+D800: a surrogate */
	{ "\xed\xbf\xbf", 3, 0 },	/* U+DFFF */
	{ "\xee\x80\x80", 3, 3 },	/* U+E000 */
	{ "\xef\xbf\xbf", 3, 3 },	/* U+FFFF */
	{ "\xe2\x82", 2, 0 },
	{ "\xe2\x82 ", 3, 0 },
	{ "\xf0\x8f\xbf\xbf", 4, 0 },	/* overlong */
	{ "\xf0\x90\x80\x80", 4, 4 },	/* U+10000 */
	{ "\xf4\x8f\xbf\xbf", 4, 4 },	/* U+10FFFF */
	{ "\xf4\x90\x80\x80", 4, 0 },	/* U+110000 */
	{ "\xf5\x80\x80\x80", 4, 0 },
	{ "\xff", 1, 0 },
	{ "\xf0\x9f\x8e", 3, 0 },
	{ "\xf0\x9f\x8e\x20", 4, 0 },
	{ "twelve bytes\xff and on", 20, 12 },
	{ "0123456\xe2\x82\xac" "0123456789\xe2\x82", 22, 20 },
};

START_TEST(utf8_is_what_rfc_3629_says)
{
	size_t len = utf8_rows[_i].len;
	char *p = exact(utf8_rows[_i].text, len);

	ck_assert_uint_eq(text_utf8_prefix(p, len), utf8_rows[_i].good);
	ck_assert(text_is_utf8(p, len) == (utf8_rows[_i].good == len));
	free(p);
}
END_TEST

/* By decoding and encoding again: slow, and quite unlike the code under
 * test. */
static bool
utf8_by_the_book(const unsigned char *p, size_t len)
{
	static const unsigned int least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int code;
	size_t i, j, n;

	for (i = 0; i < len; i += n) {
		if (p[i] < 0x80)
			n = 1;
		else if ((p[i] & 0xe0) == 0xc0)
			n = 2;
		else if ((p[i] & 0xf0) == 0xe0)
			n = 3;
		else if ((p[i] & 0xf8) == 0xf0)
			n = 4;
		else
			return false;
		if (n == 1)
			continue;
		if (n > len - i)
			return false;
		code = p[i] & (0xffu >> (n + 1));
		for (j = 1; j < n; j++) {
			if ((p[i + j] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (p[i + j] & 0x3fu);
		}
		if (code < least[n] || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

START_TEST(utf8_agrees_with_a_decoder_on_every_short_text)
{
	static const unsigned char edge[] = { 'a', 0x7f, 0x80, 0x8f, 0x90,
	    0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
	    0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff };
	unsigned char text[9] = "aaaaaaaaa";
	size_t n = sizeof(edge), a, b, c, d;

	/* Four edge bytes, at the front and behind a whole word of ASCII. */
	for (a = 0; a < n; a++)
		for (b = 0; b < n; b++)
			for (c = 0; c < n; c++)
				for (d = 0; d < n; d++) {
					text[5] = edge[a];
					text[6] = edge[b];
					text[7] = edge[c];
					text[8] = edge[d];
					if (text_is_utf8((char *)text, 9) !=
					    utf8_by_the_book(text, 9) ||
					    text_is_utf8((char *)text + 5, 4)
					    != utf8_by_the_book(text + 5, 4))
						ck_abort_msg("%02x %02x %02x "
						    "%02x", text[5], text[6],
						    text[7], text[8]);
				}
}
END_TEST

START_TEST(controls_are_c0_del_and_c1)
{
	char text[8];
	size_t n;
	unsigned int c;

	for (c = 0; c < 0x800; c++) {
		if (c < 0x80) {
			text[0] = (char)c;
			n = 1;
		} else {
			text[0] = (char)(0xc0 | c >> 6);
			text[1] = (char)(0x80 | (c & 0x3f));
			n = 2;
		}
		ck_assert_msg(text_has_control(text, n) ==
		    (c < 0x20 || (c >= 0x7f && c <= 0x9f)), "U+%04X", c);
	}
	ck_assert(!text_has_control("", 0));
	ck_assert(!text_has_control("\xe2\x80\xa8", 3));
	ck_assert(!text_has_control("\xc3\x80", 2));
	ck_assert(text_has_control("good until here\n", 16));
	ck_assert(text_has_control("nul\0", 4));
}
END_TEST

START_TEST(a_harmless_character_is_seen_and_deceives_nobody)
{
	static const struct { const char *text; size_t n; } rows[] = {
		{ "a", 1 }, { "ab", 1 }, { "\xc3\xa9z", 2 }, { "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x98\x80!", 4 }, { " ", 1 }, { "\n", 0 }, { "\x7f", 0 },
		{ "\xc2\x9b" "2J", 0 }, { "\xc2\xad", 0 }, { "\xd8\x9c", 0 },
		{ "\xe2\x80\xae", 0 }, { "\xe2\x80\x8b", 0 }, { "\xe2\x81\xa9", 0 },
		{ "\xef\xbb\xbf", 0 }, { "\xf3\xa0\x81\x81", 0 }, { "\xff", 0 },
		{ "\xe2\x82", 0 }, { "\xc0\x80", 0 }, { "\xc3", 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(text_harmless(rows[i].text, strlen(rows[i].text)) ==
		    rows[i].n, "row %zu", i);
	ck_assert_uint_eq(text_harmless("", 0), 0);
}
END_TEST

START_TEST(a_token_has_no_other_bytes)
{
	const char *good = "0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ._:-";
	unsigned int c;
	char ch;

	ck_assert(text_is_token(good, strlen(good)));
	for (c = 0; c < 256; c++) {
		ch = (char)c;
		ck_assert_msg(text_is_token(&ch, 1) ==
		    (c != 0 && strchr(good, (int)c) != NULL), "byte %u", c);
	}
	ck_assert(!text_is_token("a b", 3));
}
END_TEST

START_TEST(secrets_are_equal_byte_for_byte_or_not)
{
	ck_assert(text_equal_secret("", 0, "", 0));
	ck_assert(text_equal_secret("ffk_abc", 7, "ffk_abc", 7));
	ck_assert(!text_equal_secret("ffk_abc", 7, "ffk_abd", 7));
	ck_assert(!text_equal_secret("xfk_abc", 7, "ffk_abc", 7));
	ck_assert(!text_equal_secret("ffk_abc", 7, "ffk_abc", 6));
	ck_assert(!text_equal_secret("", 0, "f", 1));
	ck_assert(text_equal_secret("a\0b", 3, "a\0b", 3));
	ck_assert(!text_equal_secret("a\0b", 3, "a\0c", 3));
	/* Differences that would cancel out in a sum or an xor of sums. */
	ck_assert(!text_equal_secret("ab", 2, "ba", 2));
	ck_assert(!text_equal_secret("\x01\x01", 2, "\x02\x02", 2));
}
END_TEST

static const struct {
	int64_t		 ms;
	const char	*text;
} time_rows[] = {
	{ 0, "1970-01-01T00:00:00.000Z" },
	{ 1, "1970-01-01T00:00:00.001Z" },
	{ -1, "1970-01-01T00:00:00.000Z" },
	{ INT64_MIN, "1970-01-01T00:00:00.000Z" },
	{ 951782399999, "2000-02-28T23:59:59.999Z" },
	{ 951782400000, "2000-02-29T00:00:00.000Z" },
	{ 951868800000, "2000-03-01T00:00:00.000Z" },
	{ 1781204400000, "2026-06-11T19:00:00.000Z" },
	{ 2147483647999, "2038-01-19T03:14:07.999Z" },
	{ 4107542400000, "2100-03-01T00:00:00.000Z" },
	{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	{ 253402300800000, "9999-12-31T23:59:59.999Z" },
	{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
};

START_TEST(a_time_is_written_as_rfc_3339_has_it)
{
	char out[TEXT_TIME_SIZE];

	text_format_time(out, time_rows[_i].ms);
	ck_assert_str_eq(out, time_rows[_i].text);
}
END_TEST

START_TEST(every_day_until_2250_is_the_one_that_libc_names)
{
	char out[TEXT_TIME_SIZE], want[64];
	struct tm tm;
	time_t day;
	int i;

	for (i = 0; i < 102269; i++) {
		day = (time_t)i * 86400 + i % 86400;
		ck_assert_ptr_nonnull(gmtime_r(&day, &tm));
		ck_assert_uint_ne(strftime(want, sizeof(want),
		    "%Y-%m-%dT%H:%M:%S.000Z", &tm), 0);
		text_format_time(out, (int64_t)day * 1000);
		if (strcmp(out, want) != 0)
			ck_assert_str_eq(out, want);
	}
}
END_TEST

#define BAD	UINT64_MAX

static const struct {
	const char	*text;
	uint64_t	 number, size;	/* BAD: refused */
	uint64_t	 duration_ms;
} number_rows[] = {
	{ "",			BAD, BAD, BAD },
	{ "0",			0, 0, 0 },
	{ "00",			0, 0, 0 },
	{ "1",			1, 1, BAD },
	{ "007",		7, 7, BAD },
	{ "18446744073709551614", BAD - 1, BAD - 1, BAD },
	{ "18446744073709551616", BAD, BAD, BAD },
	{ "99999999999999999999999", BAD, BAD, BAD },
	{ "+1",			BAD, BAD, BAD },
	{ "-1",			BAD, BAD, BAD },
	{ " 1",			BAD, BAD, BAD },
	{ "1 ",			BAD, BAD, BAD },
	{ "1.5s",		BAD, BAD, BAD },
	{ "0x10",		BAD, BAD, BAD },
	{ "64k",		BAD, 65536, BAD },
	{ "64M",		BAD, 67108864, BAD },
	{ "1G",			BAD, 1073741824, BAD },
	{ "17179869183G",	BAD, UINT64_C(17179869183) << 30, BAD },
	{ "17179869184G",	BAD, BAD, BAD },	/* 2^64 */
	{ "1kB",		BAD, BAD, BAD },
	{ "1T",			BAD, BAD, BAD },
	{ "k",			BAD, BAD, BAD },
	{ "1 k",		BAD, BAD, BAD },
	{ "250ms",		BAD, BAD, 250 },
	{ "0s",			BAD, BAD, 0 },
	{ "15s",		BAD, BAD, 15000 },
	{ "15m",		BAD, BAD, 900000 },
	{ "24h",		BAD, BAD, 86400000 },
	{ "7d",			BAD, BAD, 604800000 },
	{ "1h30m",		BAD, BAD, BAD },
	{ "5S",			BAD, BAD, BAD },
	{ "ms",			BAD, BAD, BAD },
	{ "5sec",		BAD, BAD, BAD },
	{ "9223372036854775807ms", BAD, BAD, INT64_MAX },
	{ "9223372036854775808ms", BAD, BAD, BAD },
	{ "106751991167d",	BAD, BAD, UINT64_C(106751991167) * 86400000 },
	{ "106751991168d",	BAD, BAD, BAD },
};

START_TEST(numbers_are_taken_whole_or_not_at_all)
{
	size_t len = strlen(number_rows[_i].text);
	char *p = exact(number_rows[_i].text, len);
	uint64_t u = 12345;
	int64_t ms = 12345;

	ck_assert_int_eq(text_parse_u64(p, len, &u),
	    number_rows[_i].number == BAD ? -1 : 0);
	ck_assert_uint_eq(u, number_rows[_i].number == BAD ? 12345 :
	    number_rows[_i].number);
	u = 12345;
	ck_assert_int_eq(text_parse_size(p, len, &u),
	    number_rows[_i].size == BAD ? -1 : 0);
	ck_assert_uint_eq(u, number_rows[_i].size == BAD ? 12345 :
	    number_rows[_i].size);
	ck_assert_int_eq(text_parse_duration_ms(p, len, &ms),
	    number_rows[_i].duration_ms == BAD ? -1 : 0);
	ck_assert_int_eq(ms, number_rows[_i].duration_ms == BAD ? 12345 :
	    (int64_t)number_rows[_i].duration_ms);
	free(p);
}
END_TEST

START_TEST(the_largest_number_still_fits)
{
	uint64_t u;

	ck_assert_int_eq(text_parse_u64("18446744073709551615", 20, &u), 0);
	ck_assert_uint_eq(u, UINT64_MAX);
	ck_assert_int_eq(text_parse_u64("1\0", 2, &u), -1);
}
END_TEST

#define ADD_ROWS(tc, test, rows) tcase_add_loop_test((tc), test, 0,	\
	(int)(sizeof(rows) / sizeof((rows)[0])))

static Suite *
suite(void)
{
	Suite *s = suite_create("text");
	TCase *tc = tcase_create("text");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_buffer_keeps_what_was_added_in_order);
	tcase_add_test(tc, a_buffer_grows_by_one_byte_or_by_many);
	tcase_add_test(tc, a_buffer_that_failed_stays_failed_and_unchanged);
	ADD_ROWS(tc, a_json_string_escapes_what_may_end_a_line, json_rows);
	ADD_ROWS(tc, utf8_is_what_rfc_3629_says, utf8_rows);
	tcase_add_test(tc, utf8_agrees_with_a_decoder_on_every_short_text);
	tcase_add_test(tc, controls_are_c0_del_and_c1);
	tcase_add_test(tc, a_harmless_character_is_seen_and_deceives_nobody);
	tcase_add_test(tc, a_token_has_no_other_bytes);
	tcase_add_test(tc, secrets_are_equal_byte_for_byte_or_not);
	ADD_ROWS(tc, a_time_is_written_as_rfc_3339_has_it, time_rows);
	tcase_add_test(tc, every_day_until_2250_is_the_one_that_libc_names);
	ADD_ROWS(tc, numbers_are_taken_whole_or_not_at_all, number_rows);
	tcase_add_test(tc, the_largest_number_still_fits);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
