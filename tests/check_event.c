/* check_event.c - event.h: ids, names, data, idempotency keys. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "event.h"

#include "suite.h"

#define ADD_ROWS(tc, test, rows) tcase_add_loop_test((tc), test, 0,	\
	(int)(sizeof(rows) / sizeof((rows)[0])))

static const struct {
	struct event_id	 id;
	const char	*text;
} id_rows[] = {
	{ { 0x6f3a9c2e, 1042 }, "6f3a9c2e-1042" },
	{ { 0, 0 }, "00000000-0" },
	{ { 1, 1 }, "00000001-1" },
	{ { 0xffffffff, INT64_MAX }, "ffffffff-9223372036854775807" },
	{ { 0xabcdef01, 10 }, "abcdef01-10" },
	{ { 0x0a0b0c0d, 1000000 }, "0a0b0c0d-1000000" },
};

START_TEST(an_id_reads_back_as_it_was_written)
{
	struct event_id id = { 7, 7 };
	char out[EVENT_ID_SIZE];

	ck_assert_uint_eq(event_id_format(out, id_rows[_i].id),
	    strlen(id_rows[_i].text));
	ck_assert_str_eq(out, id_rows[_i].text);
	ck_assert_int_eq(event_id_parse(out, strlen(out), &id), 0);
	ck_assert_uint_eq(id.epoch, id_rows[_i].id.epoch);
	ck_assert_uint_eq(id.seq, id_rows[_i].id.seq);
}
END_TEST

static const char *const bad_ids[] = {
	"", "-", "6f3a9c2e", "6f3a9c2e-", "-1042", "6f3a9c2-1042",
	"6f3a9c2e0-1042", "6F3A9C2E-1042", "6f3a9c2g-1042", "6f3a9c2e_1042",
	"6f3a9c2e-01", "6f3a9c2e-00", "6f3a9c2e--1", "6f3a9c2e-+1",
	"6f3a9c2e- 1", "6f3a9c2e-1 ", " 6f3a9c2e-1", "6f3a9c2e-1x",
	"6f3a9c2e-0x1", "6f3a9c2e-9223372036854775808",
	"6f3a9c2e-18446744073709551616", "6f3a9c2e-99999999999999999999999999",
	"6f3a9c2e-1042\n", "6f3a9c2e:1042", "0x3a9c2e-1042",
};

START_TEST(an_id_that_we_could_not_have_made_is_refused)
{
	const char *text = bad_ids[_i];
	struct event_id id = { 7, 7 };
	size_t len = strlen(text);
	char *p = malloc(len + 1);	/* exact: no NUL to lean on */

	ck_assert_ptr_nonnull(p);
	memcpy(p, text, len);
	p = realloc(p, len == 0 ? 1 : len);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(event_id_parse(p, len, &id), -1);
	ck_assert_uint_eq(id.epoch, 7);
	ck_assert_uint_eq(id.seq, 7);
	free(p);
}
END_TEST

START_TEST(an_id_ends_where_its_length_says)
{
	struct event_id id;

	ck_assert_int_eq(event_id_parse("6f3a9c2e-1042", 11, &id), 0);
	ck_assert_uint_eq(id.seq, 10);
	ck_assert_int_eq(event_id_parse("6f3a9c2e-1\0", 11, &id), -1);
}
END_TEST

static const struct {
	const char	*text;
	size_t		 len;
	const char	*why;		/* part of it; NULL: fine */
} name_rows[] = {
	{ "goal", 4, NULL },
	{ "message", 7, NULL },
	{ "t\xc3\xb6r", 4, NULL },
	{ " with spaces ", 13, NULL },
	{ "data: x", 7, NULL },
	{ "Open", 4, NULL },
	{ "opened", 6, NULL },
	{ "errors", 6, NULL },
	{ "fanfare", 7, NULL },
	{ "fanfares.x", 10, NULL },
	{ "", 0, "empty" },
	{ "open", 4, "EventSource" },
	{ "error", 5, "EventSource" },
	{ "fanfare.", 8, "reserved" },
	{ "fanfare.gap", 11, "reserved" },
	{ "a\nb", 3, "control" },
	{ "a\rb", 3, "control" },
	{ "a\0b", 3, "control" },
	{ "a\tb", 3, "control" },
	{ "a\x7f", 2, "control" },
	{ "a\xc2\x85", 3, "control" },
	{ "a\xff", 2, "UTF-8" },
};

START_TEST(a_name_stays_on_its_line_and_off_reserved_ones)
{
	const char *why = event_check_name(name_rows[_i].text,
	    name_rows[_i].len);

	if (name_rows[_i].why == NULL)
		ck_assert_ptr_null(why);
	else {
		ck_assert_ptr_nonnull(why);
		ck_assert_ptr_nonnull(strstr(why, name_rows[_i].why));
	}
}
END_TEST

START_TEST(names_and_keys_are_bounded)
{
	char text[EVENT_KEY_MAX_BYTES + 1];

	memset(text, 'a', sizeof(text));
	ck_assert_ptr_null(event_check_name(text, EVENT_NAME_MAX_BYTES));
	ck_assert_str_eq(event_check_name(text, EVENT_NAME_MAX_BYTES + 1),
	    "is longer than 128 bytes");
	ck_assert_ptr_null(event_check_key(text, EVENT_KEY_MAX_BYTES));
	ck_assert_str_eq(event_check_key(text, EVENT_KEY_MAX_BYTES + 1),
	    "is longer than 256 bytes");
}
END_TEST

START_TEST(data_is_any_utf8_without_nul)
{
	ck_assert_ptr_null(event_check_data("", 0));
	ck_assert_ptr_null(event_check_data(NULL, 0));
	ck_assert_ptr_null(event_check_data("a\r\nb\tc\x1b\x7f", 8));
	ck_assert_ptr_null(event_check_data("\xef\xbb\xbf\xe2\x80\xa8", 6));
	ck_assert_str_eq(event_check_data("a\0b", 3), "holds a NUL");
	ck_assert_str_eq(event_check_data("\0", 1), "holds a NUL");
	ck_assert_str_eq(event_check_data("a\xe2\x80", 3), "is not UTF-8");
}
END_TEST

START_TEST(a_key_is_one_line_of_utf8)
{
	ck_assert_ptr_null(event_check_key("order-42 \xe2\x82\xac", 12));
	ck_assert_str_eq(event_check_key("", 0), "is empty");
	ck_assert_str_eq(event_check_key("a\nb", 3),
	    "holds a control character");
	ck_assert_str_eq(event_check_key("a\0b", 3),
	    "holds a control character");
	ck_assert_str_eq(event_check_key("\xff", 1), "is not UTF-8");
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("event");
	TCase *tc = tcase_create("event");

	ADD_ROWS(tc, an_id_reads_back_as_it_was_written, id_rows);
	ADD_ROWS(tc, an_id_that_we_could_not_have_made_is_refused, bad_ids);
	tcase_add_test(tc, an_id_ends_where_its_length_says);
	ADD_ROWS(tc, a_name_stays_on_its_line_and_off_reserved_ones,
	    name_rows);
	tcase_add_test(tc, names_and_keys_are_bounded);
	tcase_add_test(tc, data_is_any_utf8_without_nul);
	tcase_add_test(tc, a_key_is_one_line_of_utf8);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
