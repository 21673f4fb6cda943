/*
 * check_sse.c - sse.h: the wire format, written and read.
 *
 * The writer is also read back by a parser that is not ours: see framer_dump.c.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"

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
assert_buf(struct buf *b, const char *want)
{
	buf_addc(b, '\0');
	ck_assert(!b->failed);
	ck_assert_str_eq(b->p, want);
	buf_fini(b);
}

static const struct {
	const char	*data;
	const char	*lines;
} data_rows[] = {
	{ "", "data: \n" },
	{ "a", "data: a\n" },
	{ " a", "data:  a\n" },
	{ "\n", "data: \ndata: \n" },
	{ "\r", "data: \ndata: \n" },
	{ "\r\n", "data: \ndata: \n" },
	{ "\n\r", "data: \ndata: \ndata: \n" },
	{ "\r\r", "data: \ndata: \ndata: \n" },
	{ "\r\r\n", "data: \ndata: \ndata: \n" },
	{ "\r\n\r\n", "data: \ndata: \ndata: \n" },
	{ "\r\n\n", "data: \ndata: \ndata: \n" },
	{ "a\nb\rc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n" },
	{ "a\rb\nc", "data: a\ndata: b\ndata: c\n" },
	{ "a\n", "data: a\ndata: \n" },
	{ "a\r", "data: a\ndata: \n" },
	{ "a\r\n", "data: a\ndata: \n" },
	{ "x\n\nevent: goal\ndata: y",
	    "data: x\ndata: \ndata: event: goal\ndata: data: y\n" },
	{ "id: 9\rretry: 0", "data: id: 9\ndata: retry: 0\n" },
	{ "\xef\xbb\xbf:", "data: \xef\xbb\xbf:\n" },
	{ "\xe2\x80\xa8\x0b\x0c\xc2\x85",
	    "data: \xe2\x80\xa8\x0b\x0c\xc2\x85\n" },
};

/* E3; in browsers: tests/js/events.mjs. */
START_TEST(every_line_of_a_payload_begins_with_data)
{
	size_t len = strlen(data_rows[_i].data);
	char *data = exact(data_rows[_i].data, len);
	struct buf b = { 0 };

	sse_add_data(&b, data, len);
	assert_buf(&b, data_rows[_i].lines);
	free(data);
}
END_TEST

START_TEST(a_block_is_id_event_data_and_a_blank_line)
{
	struct buf b = { 0 };

	sse_add_event(&b, "6f3a9c2e-1", "goal", 4, "1:0", 3);
	sse_add_event(&b, NULL, NULL, 0, "", 0);
	sse_add_event(&b, "6f3a9c2e-2", NULL, 0, "a\nb", 3);
	sse_add_event(&b, NULL, "names", 4, NULL, 0);
	sse_add_event(&b, NULL, "", 0, "x", 1);
	assert_buf(&b,
	    "id: 6f3a9c2e-1\nevent: goal\ndata: 1:0\n\n"
	    "data: \n\n"
	    "id: 6f3a9c2e-2\ndata: a\ndata: b\n\n"
	    "event: name\ndata: \n\n"
	    "data: x\n\n");
}
END_TEST

START_TEST(an_envelope_is_one_line_of_json)
{
	struct buf b = { 0 };

	sse_add_envelope(&b, "6f3a9c2e-1", "scores/\"7\"", 10, "goal", 4,
	    1781204400000, 0, "a\nb\"", 4);
	assert_buf(&b, "{\"id\":\"6f3a9c2e-1\",\"topic\":\"scores/\\\"7\\\"\","
	    "\"event\":\"goal\",\"time\":\"2026-06-11T19:00:00.000Z\","
	    "\"data\":\"a\\nb\\\"\"}");
	sse_add_envelope(&b, "6f3a9c2e-1", "t", 1, NULL, 0, 0, EVENT_JSON,
	    "{\"n\":1.0e5}", 11);
	assert_buf(&b, "{\"id\":\"6f3a9c2e-1\",\"topic\":\"t\","
	    "\"event\":null,\"time\":\"1970-01-01T00:00:00.000Z\","
	    "\"data\":{\"n\":1.0e5}}");
	sse_add_envelope(&b, "6f3a9c2e-1", "t", 1, NULL, 0, 0, 0, NULL, 0);
	assert_buf(&b, "{\"id\":\"6f3a9c2e-1\",\"topic\":\"t\","
	    "\"event\":null,\"time\":\"1970-01-01T00:00:00.000Z\","
	    "\"data\":\"\"}");
}
END_TEST

/* What the reader reports, as text: name|data|id; and comments in brackets. */
static void
note_event(void *arg, const char *name, const char *data, size_t data_len,
    const char *id)
{
	struct buf *b = arg;

	ck_assert_int_eq(data[data_len], '\0');
	buf_adds(b, name);
	buf_addc(b, '|');
	buf_add(b, data, data_len);
	buf_addc(b, '|');
	buf_adds(b, id);
	buf_addc(b, ';');
}

static void
note_comment(void *arg, const char *text)
{
	buf_addf(arg, "[%s]", text);
}

static const struct {
	const char	*stream, *events;
	long		 retry_ms;
} read_rows[] = {
	{ "data: a\n\n", "message|a|;", -1 },
	{ "data:a\r\rdata:b\r\n\r\n", "message|a|;message|b|;", -1 },
	{ "data\n\ndata\ndata\n\ndata:", "message||;message|\n|;", -1 },
	{ "data:  two\n\n", "message| two|;", -1 },
	{ "data: a\ndata: b\n\n", "message|a\nb|;", -1 },
	{ "data: a\r\ndata: b\r\n\r\n", "message|a\nb|;", -1 },
	{ "event: goal\ndata: a\n\ndata: b\n\n", "goal|a|;message|b|;", -1 },
	{ "event:\ndata: a\n\n", "message|a|;", -1 },
	{ "event: goal\n\ndata: a\n\n", "message|a|;", -1 },
	{ "event: x\nevent: y\ndata: a\n\n", "y|a|;", -1 },
	{ "id: 1\ndata: a\n\ndata: b\n\n", "message|a|1;message|b|1;", -1 },
	{ "id: 1\n\ndata: b\n\n", "message|b|1;", -1 },
	{ "id: 1\ndata: a\n\nid\ndata: b\n\n", "message|a|1;message|b|;", -1 },
	{ "id: 1\nid: 2\ndata: a\n\n", "message|a|2;", -1 },
	{ ": hb\ndata: a\n:x\n\n", "[ hb][x]message|a|;", -1 },
	{ ":\n\n\n", "[]", -1 },
	{ "retry: 1500\n", "", 1500 },
	{ "retry: 1500\nretry: 15x\nretry\nretry: -1\n", "", 1500 },
	{ "retry: 99999999999999999999\n", "", -1 },
	{ "Data: a\ndat: b\ndata : c\nfoo\n\n", "", -1 },
	{ "\xef\xbb\xbf" "data: a\n\n", "message|a|;", -1 },
	{ "\xef\xbb\xbf\xef\xbb\xbf" "data: a\n\n", "", -1 },
	{ "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "message|a|;", -1 },
	{ "data: a\n\nid: 2\ndata: cut off", "message|a|;", -1 },
	{ "data: a\n\ndata: cut off\n", "message|a|;", -1 },
	{ "data: \xe2\x80\xa8\xc2\x85\x0b\n\n",
	    "message|\xe2\x80\xa8\xc2\x85\x0b|;", -1 },
};

START_TEST(a_stream_reads_the_same_wherever_it_is_cut)
{
	size_t len = strlen(read_rows[_i].stream), at, n, step, first;
	char *chunk;

	for (first = 0; first <= len; first++) {
		for (step = 1; step <= len; step += step < 4 ? 1 : len) {
			struct buf seen = { 0 };
			struct sse_reader r = { .arg = &seen,
			    .on_event = note_event,
			    .on_comment = note_comment };

			for (at = 0; at < len; at += n) {
				n = at == 0 && first > 0 ? first : step;
				if (n > len - at)
					n = len - at;
				chunk = exact(read_rows[_i].stream + at, n);
				ck_assert_int_eq(sse_reader_feed(&r, chunk, n),
				    0);
				ck_assert_int_eq(sse_reader_feed(&r, NULL, 0),
				    0);
				free(chunk);
			}
			assert_buf(&seen, read_rows[_i].events);
			ck_assert_int_eq(r.retry_ms, read_rows[_i].retry_ms);
			sse_reader_fini(&r);
		}
	}
}
END_TEST

START_TEST(an_id_with_a_nul_is_ignored)
{
	static const char stream[] = "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n";
	struct buf seen = { 0 };
	struct sse_reader r = { .arg = &seen, .on_event = note_event };

	ck_assert_int_eq(sse_reader_feed(&r, stream, sizeof(stream) - 1), 0);
	assert_buf(&seen, "message|a|1;message|b|1;");
	sse_reader_fini(&r);
}
END_TEST

START_TEST(a_block_cut_off_does_not_move_the_id)
{
	static const char before[] =
	    ": hb\nretry: 100\nid: 1\ndata: a\n\nid: 2\ndata: cut\nevent: x";
	static const char after[] = "\xef\xbb\xbf" "data: b\n\n";
	struct buf seen = { 0 };
	struct sse_reader r = { .arg = &seen, .on_event = note_event };

	ck_assert_int_eq(sse_reader_feed(&r, before, sizeof(before) - 1), 0);
	ck_assert_str_eq(r.id.p, "1");
	sse_reader_reset(&r);
	ck_assert_str_eq(r.id.p, "1");
	ck_assert_int_eq(r.retry_ms, 100);
	ck_assert_int_eq(sse_reader_feed(&r, after, sizeof(after) - 1), 0);
	assert_buf(&seen, "message|a|1;message|b|1;");
	sse_reader_fini(&r);
}
END_TEST

START_TEST(a_cr_at_the_end_of_a_connection_is_forgotten)
{
	struct buf seen = { 0 };
	struct sse_reader r = { .arg = &seen, .on_event = note_event };

	sse_reader_reset(&r);		/* before the first byte, too */
	ck_assert_int_eq(r.retry_ms, -1);
	ck_assert_int_eq(sse_reader_feed(&r, "data: a\r", 8), 0);
	sse_reader_reset(&r);
	ck_assert_int_eq(sse_reader_feed(&r, "\ndata: b\n\n", 10), 0);
	assert_buf(&seen, "message|b|;");

	/* That LF was the first line, so what follows is no byte order mark. */
	ck_assert_int_eq(sse_reader_feed(&r, "\r", 1), 0);
	sse_reader_reset(&r);
	ck_assert_int_eq(sse_reader_feed(&r, "\n\xef\xbb\xbf" "data: b\n\n",
	    13), 0);
	assert_buf(&seen, "");
	sse_reader_fini(&r);
}
END_TEST

START_TEST(a_block_larger_than_the_limit_ends_the_reading)
{
	struct buf seen = { 0 };
	struct sse_reader r = { .arg = &seen, .on_event = note_event,
	    .max_bytes = 20 };
	int i;

	/* Many blocks below it, and comments without end, are fine. */
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(sse_reader_feed(&r, "data: 12345\n\n:hb\n",
		    17), 0);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(sse_reader_feed(&r, "data:", 5), 0);
	errno = 0;
	ck_assert_int_eq(sse_reader_feed(&r, "1", 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	sse_reader_fini(&r);

	r.started = 0;
	for (i = 0; i < 9; i++)		/* or by lines: each leaves one byte */
		if (sse_reader_feed(&r, "data: 1234\n", 11) == -1)
			break;
	ck_assert_int_lt(i, 9);
	sse_reader_fini(&r);
	buf_fini(&seen);
}
END_TEST

/* All texts of up to seven of these bytes. */
START_TEST(what_is_written_reads_back_with_line_ends_made_lf)
{
	static const char bytes[] = "\n\r a:";
	char data[8], want[8];
	size_t len, total, code, c, i, n;

	for (len = 0, total = 1; len <= 7; len++, total *= 5) {
		for (code = 0; code < total; code++) {
			struct buf block = { 0 }, seen = { 0 };
			struct sse_reader r = { .arg = &seen,
			    .on_event = note_event };

			for (i = 0, c = code; i < len; i++, c /= 5)
				data[i] = bytes[c % 5];
			for (i = n = 0; i < len; i++) {
				if (data[i] == '\n' && i > 0 &&
				    data[i - 1] == '\r')
					continue;
				want[n++] = data[i] == '\r' ? '\n' : data[i];
			}
			sse_add_event(&block, "1", "n", 1, data, len);
			ck_assert_int_eq(sse_reader_feed(&r, block.p,
			    block.len), 0);
			if (seen.len != n + 5 ||
			    memcmp(seen.p, "n|", 2) != 0 ||
			    memcmp(seen.p + 2, want, n) != 0 ||
			    memcmp(seen.p + 2 + n, "|1;", 3) != 0)
				ck_abort_msg("length %zu, text %zu", len, code);
			buf_fini(&block);
			buf_fini(&seen);
			sse_reader_fini(&r);
		}
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("sse");
	TCase *tc = tcase_create("sse");

	tcase_set_timeout(tc, 60);
	ADD_ROWS(tc, every_line_of_a_payload_begins_with_data, data_rows);
	tcase_add_test(tc, a_block_is_id_event_data_and_a_blank_line);
	tcase_add_test(tc, an_envelope_is_one_line_of_json);
	ADD_ROWS(tc, a_stream_reads_the_same_wherever_it_is_cut, read_rows);
	tcase_add_test(tc, an_id_with_a_nul_is_ignored);
	tcase_add_test(tc, a_block_cut_off_does_not_move_the_id);
	tcase_add_test(tc, a_cr_at_the_end_of_a_connection_is_forgotten);
	tcase_add_test(tc, a_block_larger_than_the_limit_ends_the_reading);
	tcase_add_test(tc, what_is_written_reads_back_with_line_ends_made_lf);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
