/*
 * event.c - ids, and what may stand in an event.
 */
#include "config.h"

#include "event.h"

#include <string.h>

#include "text.h"

#define EPOCH_DIGITS	8

size_t
event_id_format(char out[EVENT_ID_SIZE], struct event_id id)
{
	static const char *const hex = "0123456789abcdef";
	char digits[20];
	size_t n = 0, len = 0;
	int shift;

	for (shift = 28; shift >= 0; shift -= 4)
		out[len++] = hex[id.epoch >> shift & 15];
	out[len++] = '-';
	do {
		digits[n++] = (char)('0' + id.seq % 10);
		id.seq /= 10;
	} while (id.seq != 0);
	while (n > 0)
		out[len++] = digits[--n];
	out[len] = '\0';
	return len;
}

int
event_id_parse(const char *p, size_t len, struct event_id *id)
{
	const char *seq = p + EPOCH_DIGITS + 1;
	uint32_t epoch = 0;
	uint64_t v;
	size_t i;

	if (len < EPOCH_DIGITS + 2 || p[EPOCH_DIGITS] != '-')
		return -1;
	for (i = 0; i < EPOCH_DIGITS; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			epoch = epoch << 4 | (uint32_t)(p[i] - '0');
		else if (p[i] >= 'a' && p[i] <= 'f')
			epoch = epoch << 4 | (uint32_t)(p[i] - 'a' + 10);
		else
			return -1;
	}
	len -= EPOCH_DIGITS + 1;
	if (seq[0] == '0' && len > 1)
		return -1;
	if (text_parse_u64(seq, len, &v) == -1 || v > INT64_MAX)
		return -1;
	id->epoch = epoch;
	id->seq = v;
	return 0;
}

static bool
is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(p, word, len) == 0;
}

const char *
event_check_name(const char *p, size_t len)
{
	static const char prefix[] = "fanfare.";
	size_t plen = sizeof(prefix) - 1;

	if (len == 0)
		return "is empty";
	if (len > EVENT_NAME_MAX_BYTES)
		return "is longer than 128 bytes";
	if (!text_is_utf8(p, len))
		return "is not UTF-8";
	if (text_has_control(p, len))
		return "holds a line break or another control character";
	if (is_word(p, len, "open") || is_word(p, len, "error"))
		return "is one that EventSource uses itself (open, error)";
	if (len >= plen && memcmp(p, prefix, plen) == 0)
		return "begins with \"fanfare.\", which is reserved";
	return NULL;
}

const char *
event_check_data(const char *p, size_t len)
{
	if (len == 0)
		return NULL;
	if (memchr(p, '\0', len) != NULL)
		return "holds a NUL";
	if (!text_is_utf8(p, len))
		return "is not UTF-8";
	return NULL;
}

const char *
event_check_key(const char *p, size_t len)
{
	if (len == 0)
		return "is empty";
	if (len > EVENT_KEY_MAX_BYTES)
		return "is longer than 256 bytes";
	if (!text_is_utf8(p, len))
		return "is not UTF-8";
	if (text_has_control(p, len))
		return "holds a control character";
	return NULL;
}
