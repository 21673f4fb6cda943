/*
 * fuzz_text.c - ids, numbers, sizes, durations, UTF-8, controls, JSON strings: what is
 * read can be printed again, and what is printed is read as it was.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "event.h"
#include "fuzz.h"
#include "text.h"

__extension__ typedef unsigned __int128 wide;

/* An id is eight digits, a dash and a number: there is one way only to write it. */
static void
ids(const char *p, size_t len)
{
	char out[EVENT_ID_SIZE], plain[64];
	struct event_id id, back;

	if (event_id_parse(p, len, &id) == 0) {
		MUST(event_id_format(out, id) == len && strlen(out) == len);
		MUST(memcmp(out, p, len) == 0);
		(void)snprintf(plain, sizeof(plain), "%08x-%llu",
		    (unsigned int)id.epoch, (unsigned long long)id.seq);
		MUST(strcmp(out, plain) == 0);
	}
	if (len >= 12) {
		memcpy(&id.epoch, p, 4);
		memcpy(&id.seq, p + 4, 8);
		id.seq &= INT64_MAX;
		len = event_id_format(out, id);
		MUST(len < EVENT_ID_SIZE && event_id_parse(out, len, &back) == 0);
		MUST(back.epoch == id.epoch && back.seq == id.seq);
	}
}

/* Digits and a unit, in arithmetic that does not overflow. */
static bool
plain_number(const char *p, size_t len, const char *const *units,
    const uint64_t *worth, bool zero_alone, uint64_t max, uint64_t *out)
{
	wide v = 0;
	size_t i;

	for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++)
		if ((v = v * 10u + (unsigned char)(p[i] - '0')) > UINT64_MAX)
			return false;
	if (i == 0)
		return false;
	for (size_t k = 0; units[k] != NULL; k++)
		if (strlen(units[k]) == len - i &&
		    memcmp(units[k], p + i, len - i) == 0) {
			*out = (uint64_t)(v * worth[k]);
			return v * worth[k] <= max;
		}
	*out = 0;
	return zero_alone && i == len && v == 0;
}

static void
numbers(const char *p, size_t len)
{
	static const char *const none[] = { "", NULL };
	static const char *const sizes[] = { "", "k", "M", "G", NULL };
	static const char *const times[] = { "ms", "s", "m", "h", "d", NULL };
	static const uint64_t one[] = { 1 };
	static const uint64_t bytes_in[] = { 1, 1024, 1048576, 1073741824 };
	static const uint64_t ms_in[] = { 1, 1000, 60000, 3600000, 86400000 };
	uint64_t want, got;
	int64_t ms;
	bool ok;

	ok = plain_number(p, len, none, one, false, UINT64_MAX, &want);
	MUST(ok == (text_parse_u64(p, len, &got) == 0) && (!ok || got == want));
	ok = plain_number(p, len, sizes, bytes_in, false, UINT64_MAX, &want);
	MUST(ok == (text_parse_size(p, len, &got) == 0) && (!ok || got == want));
	ok = plain_number(p, len, times, ms_in, true, INT64_MAX, &want);
	MUST(ok == (text_parse_duration_ms(p, len, &ms) == 0) &&
	    (!ok || ms == (int64_t)want));
}

/* jansson reads back what buf_add_json wrote; no line end of any kind is left in it. */
static void
json_strings(const char *p, size_t len)
{
	static const char *const ends[] = { "\n", "\r", "\xc2\x85", "\xe2\x80\xa8",
	    "\xe2\x80\xa9" };
	struct buf b = { 0 };
	json_t *j;

	buf_add_json(&b, p, len);
	j = json_loadb(b.p, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	MUST(json_is_string(j) && json_string_length(j) == len);
	MUST(memcmp(json_string_value(j), p, len) == 0);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		MUST(memmem(b.p, b.len, ends[i], strlen(ends[i])) == NULL);
	json_decref(j);
	buf_fini(&b);
}

static void
utf8(const char *p, size_t len)
{
	size_t good = text_utf8_prefix(p, len);

	MUST(text_is_utf8(p, len) == (plain_utf8(p, len, NULL) >= 0));
	MUST(good <= len && plain_utf8(p, good, NULL) >= 0);
	for (size_t more = 1; more <= 4 && good + more <= len; more++)
		MUST(plain_utf8(p, good + more, NULL) < 0);
	if (good == len) {
		MUST(text_has_control(p, len) == plain_control(p, len));
		json_strings(p, len);
	}
	if (event_check_name(p, len) == NULL)
		MUST(len >= 1 && len <= 128 && good == len &&
		    !plain_control(p, len));
	MUST((event_check_data(p, len) == NULL) ==
	    (good == len && memchr(p, '\0', len) == NULL));
}

/* The date, counted day by day from 1970 in steps of whole years. */
static void
times(const char *p, size_t len)
{
	char out[TEXT_TIME_SIZE], plain[64];
	int64_t ms;
	int days, year = 1970, month = 0, in_month;
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (len < 8)
		return;
	memcpy(&ms, p, 8);
	ms &= ((int64_t)1 << 48) - 1;
	if (ms > INT64_C(253402300799999))
		ms = INT64_C(253402300799999);
	text_format_time(out, ms);
	days = (int)(ms / 86400000);
#define LEAP(y)	((y) % 4 == 0 && ((y) % 100 != 0 || (y) % 400 == 0))
	for (; days >= (LEAP(year) ? 366 : 365); year++)
		days -= LEAP(year) ? 366 : 365;
	for (;; month++) {
		in_month = lengths[month] + (month == 1 && LEAP(year));
		if (days < in_month)
			break;
		days -= in_month;
	}
	ms %= 86400000;
	(void)snprintf(plain, sizeof(plain), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year,
	    month + 1, days + 1, (int)(ms / 3600000), (int)(ms / 60000 % 60),
	    (int)(ms / 1000 % 60), (int)(ms % 1000));
	MUST(strcmp(out, plain) == 0);
}

FUZZ(text)
{
	struct part text = fuzz_copy(bytes, size);

	ids(text.p, text.len);
	numbers(text.p, text.len);
	utf8(text.p, text.len);
	times(text.p, text.len);
	free(text.p);
	return 0;
}
