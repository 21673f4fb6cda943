/*
 * json.c - a validator of RFC 8259 that hands out slices of the text it read.
 *
 * No recursion: a stack of one bit per level tells objects from arrays, so
 * hostile nesting costs nothing.  Strings, where nearly all bytes are, are read
 * eight at a time up to the next byte that means something.
 *
 * The second half (json_next_*, json_unescape, json_compact) trusts that the
 * text was accepted and looks for ends only; on other text it may say anything,
 * but it never reads outside.
 */
#include "config.h"

#include "json.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define ONES		UINT64_C(0x0101010101010101)
#define HIGH_BITS	UINT64_C(0x8080808080808080)

/* Nonzero if any byte of `x` is zero. */
#define HAS_ZERO(x)	(((x) - ONES) & ~(x) & HIGH_BITS)
/* Nonzero if any byte of `x` is below 0x20. */
#define HAS_CONTROL(x)	(((x) - ONES * 0x20) & ~(x) & HIGH_BITS)

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

/* Step over bytes that stand for themselves in a string; sets `*high` if one of
 * them is not ASCII. */
static const char *
skip_plain(const char *p, const char *end, bool *high)
{
	uint64_t w, hit = 0, all = 0;
	unsigned char c;
	int bits;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		w = le64toh(w);		/* the first byte is the lowest */
		hit = HAS_ZERO(w ^ ONES * '"') | HAS_ZERO(w ^ ONES * '\\') |
		    HAS_CONTROL(w);
		if (hit != 0)
			break;
		all |= w;
	}
	if (hit != 0) {
		/* Borrows may mark too much, but only above a true hit. */
		bits = __builtin_ctzll(hit) & ~7;
		all |= w & ((UINT64_C(1) << bits) - 1);
		p += bits / 8;
	} else {
		for (; p < end; p++) {
			c = (unsigned char)*p;
			if (c == '"' || c == '\\' || c < 0x20)
				break;
			all |= c;
		}
	}
	if ((all & HIGH_BITS) != 0)
		*high = true;
	return p;
}

static int
fail_at(struct json_cursor *c, const char *p, const char *error)
{
	c->p = p;
	c->error = error;
	return -1;
}

/* c->p is at a backslash. */
static int
read_escape(struct json_cursor *c)
{
	const char *p = c->p + 1;
	int i;

	if (p == c->end)
		return fail_at(c, p, "a string has no end");
	if (*p != 'u') {
		if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL)
			return fail_at(c, p, "an escape is unknown");
		c->p = p + 1;
		return 0;
	}
	p++;
	for (i = 0; i < 4; i++, p++) {
		if (p == c->end)
			return fail_at(c, p, "a string has no end");
		if (hex_value(*p) == -1)
			return fail_at(c, p, "\\u needs four hex digits");
	}
	c->p = p;
	return 0;
}

/* c->p is at the opening quote. */
static int
read_string(struct json_cursor *c)
{
	const char *body = c->p + 1;
	bool high = false;
	size_t len, good;

	c->p = body;
	for (;;) {
		c->p = skip_plain(c->p, c->end, &high);
		if (c->p == c->end)
			return fail_at(c, c->p, "a string has no end");
		if (*c->p == '"')
			break;
		if (*c->p != '\\')
			return fail_at(c, c->p,
			    "a string holds a raw control character");
		if (read_escape(c) == -1)
			return -1;
	}
	if (high) {
		len = (size_t)(c->p - body);
		if ((good = text_utf8_prefix(body, len)) < len)
			return fail_at(c, body + good,
			    "a string is not UTF-8");
	}
	c->p++;
	return 0;
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* What may follow a number or a literal: not more of one, as in 01 or nullx. */
static bool
is_wordlike(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '.' || c == '+' || c == '-' ||
	    c == '_';
}

/* c->p is at a minus or a digit. */
static int
read_number(struct json_cursor *c)
{
	const char *p = c->p, *end = c->end, *from;

	if (*p == '-')
		p++;
	from = p;
	if (p < end && *p == '0')
		p++;
	else if ((p = skip_digits(from, end)) == from)
		return fail_at(c, p, "a number lacks digits");
	if (p < end && *p == '.') {
		from = p + 1;
		if ((p = skip_digits(from, end)) == from)
			return fail_at(c, p, "a number lacks digits");
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		from = p + 1;
		if (from < end && (*from == '+' || *from == '-'))
			from++;
		if ((p = skip_digits(from, end)) == from)
			return fail_at(c, p, "a number lacks digits");
	}
	if (p < end && is_wordlike(*p))
		return fail_at(c, p, "a number is malformed");
	c->p = p;
	return 0;
}

static int
read_word(struct json_cursor *c, const char *word)
{
	size_t len = strlen(word), left = (size_t)(c->end - c->p);

	if (left < len || memcmp(c->p, word, len) != 0 ||
	    (left > len && is_wordlike(c->p[len])))
		return fail_at(c, c->p, "a word is not true, false or null");
	c->p += len;
	return 0;
}

static int
read_scalar(struct json_cursor *c)
{
	switch (*c->p) {
	case '"':
		return read_string(c);
	case 't':
		return read_word(c, "true");
	case 'f':
		return read_word(c, "false");
	case 'n':
		return read_word(c, "null");
	default:
		if (*c->p == '-' || is_digit(*c->p))
			return read_number(c);
		return fail_at(c, c->p, "a value is missing");
	}
}

/* A member's key and colon; c->p is where the key should be. */
static int
read_key(struct json_cursor *c)
{
	if (c->p == c->end || *c->p != '"')
		return fail_at(c, c->p, "a name in quotes is missing");
	if (read_string(c) == -1)
		return -1;
	c->p = skip_space(c->p, c->end);
	if (c->p == c->end || *c->p != ':')
		return fail_at(c, c->p, "a colon is missing");
	c->p = skip_space(c->p + 1, c->end);
	return 0;
}

void
json_open(struct json_cursor *c, const char *p, size_t len)
{
	/* A pointer to nothing would not do for arithmetic. */
	c->p = c->start = len == 0 ? "" : p;
	c->end = c->p + len;
	c->error = NULL;
}

int
json_more(struct json_cursor *c)
{
	c->p = skip_space(c->p, c->end);
	return c->p < c->end;
}

int
json_value(struct json_cursor *c, struct json_slice *value)
{
	uint64_t objects = 0;	/* bit n: level n is an object, not an array */
	unsigned int depth = 0;
	const char *start;
	bool object;
	char close;

	c->error = NULL;
	c->p = start = skip_space(c->p, c->end);
	for (;;) {
		/* A value is due here. */
		if (c->p == c->end)
			return fail_at(c, c->p, "a value is missing");
		if (*c->p == '{' || *c->p == '[') {
			if (depth == JSON_MAX_DEPTH)
				return fail_at(c, c->p,
				    "the nesting is deeper than 64 levels");
			object = *c->p == '{';
			objects = objects << 1 | object;
			depth++;
			c->p = skip_space(c->p + 1, c->end);
			close = object ? '}' : ']';
			if (c->p == c->end || *c->p != close) {
				if (object && read_key(c) == -1)
					return -1;
				continue;
			}
			/* Empty: the loop below steps over its end. */
		} else if (read_scalar(c) == -1)
			return -1;

		/* Behind a value: close what ends here. */
		for (;;) {
			if (depth == 0) {
				value->p = start;
				value->len = (size_t)(c->p - start);
				return 0;
			}
			object = objects & 1;
			close = object ? '}' : ']';
			c->p = skip_space(c->p, c->end);
			if (c->p == c->end || *c->p != close)
				break;
			c->p++;
			objects >>= 1;
			depth--;
		}
		if (c->p == c->end)
			return fail_at(c, c->p, object ?
			    "an object has no end" : "an array has no end");
		if (*c->p != ',')
			return fail_at(c, c->p, "a comma is missing");
		c->p = skip_space(c->p + 1, c->end);
		if (object && read_key(c) == -1)
			return -1;
	}
}

enum json_type
json_typeof(struct json_slice value)
{
	switch (value.len == 0 ? 'n' : value.p[0]) {
	case '"':
		return JSON_TYPE_STRING;
	case '{':
		return JSON_TYPE_OBJECT;
	case '[':
		return JSON_TYPE_ARRAY;
	case 't':
		return JSON_TYPE_TRUE;
	case 'f':
		return JSON_TYPE_FALSE;
	case 'n':
		return JSON_TYPE_NULL;
	default:
		return JSON_TYPE_NUMBER;
	}
}

/* From here on the text was accepted by json_value(). */

/* `p` is at an opening quote; returns the place behind the closing one. */
static const char *
string_end(const char *p, const char *end)
{
	bool high;

	for (p++; (p = skip_plain(p, end, &high)) < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\' && ++p == end)
			break;
	}
	return end;
}

/* The place behind the value at `p`. */
static const char *
value_end(const char *p, const char *end)
{
	size_t depth = 0;

	for (; p < end; p++) {
		switch (*p) {
		case '"':
			p = string_end(p, end);
			if (depth == 0)
				return p;
			p--;
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (depth == 0)
				return p;	/* behind a number or word */
			if (--depth == 0)
				return p + 1;
			break;
		case ',':
		case ' ':
		case '\n':
		case '\r':
		case '\t':
			if (depth == 0)
				return p;
			break;
		}
	}
	return end;
}

/* Step to the next member or element; false when there is none. */
static bool
step_inside(struct json_cursor *c)
{
	if (c->p == c->start && c->p < c->end)
		c->p++;			/* the opening bracket */
	c->p = skip_space(c->p, c->end);
	if (c->p < c->end && *c->p == ',')
		c->p = skip_space(c->p + 1, c->end);
	return c->p < c->end && *c->p != '}' && *c->p != ']';
}

static void
cut_value(struct json_cursor *c, struct json_slice *value)
{
	value->p = c->p;
	c->p = value_end(c->p, c->end);
	value->len = (size_t)(c->p - value->p);
}

int
json_next_member(struct json_cursor *c, struct json_slice *key,
    struct json_slice *value)
{
	if (!step_inside(c))
		return 0;
	key->p = c->p;
	c->p = string_end(c->p, c->end);
	key->len = (size_t)(c->p - key->p);
	c->p = skip_space(c->p, c->end);
	if (c->p < c->end)
		c->p = skip_space(c->p + 1, c->end);	/* the colon */
	cut_value(c, value);
	return 1;
}

int
json_next_element(struct json_cursor *c, struct json_slice *value)
{
	if (!step_inside(c))
		return 0;
	cut_value(c, value);
	return 1;
}

static void
add_utf8(struct buf *b, unsigned int code)
{
	char out[4];
	size_t n = 0;

	if (code < 0x80)
		out[n++] = (char)code;
	else if (code < 0x800) {
		out[n++] = (char)(0xc0 | code >> 6);
		out[n++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		out[n++] = (char)(0xe0 | code >> 12);
		out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (code & 0x3f));
	} else {
		out[n++] = (char)(0xf0 | code >> 18);
		out[n++] = (char)(0x80 | (code >> 12 & 0x3f));
		out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (code & 0x3f));
	}
	buf_add(b, out, n);
}

/* Is there \uXXXX at `p`?  Then its number, else -1. */
static int
unicode_escape(const char *p, const char *end)
{
	int i, digit, code = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (i = 2; i < 6; i++) {
		if ((digit = hex_value(p[i])) == -1)
			return -1;
		code = code << 4 | digit;
	}
	return code;
}

/* Resolve the escape at `*p` and step behind it; -1 for a lone surrogate. */
static int
add_escape(struct buf *b, const char **p, const char *end)
{
	static const char *const from = "bfnrt", *const to = "\b\f\n\r\t";
	const char *hit;
	int code, low;

	if ((code = unicode_escape(*p, end)) == -1) {
		if (end - *p < 2)
			return -1;
		hit = (*p)[1] == '\0' ? NULL : strchr(from, (*p)[1]);
		buf_addc(b, hit == NULL ? (*p)[1] : to[hit - from]);
		*p += 2;
		return 0;
	}
	*p += 6;
	if (code >= 0xd800 && code <= 0xdfff) {
		low = unicode_escape(*p, end);
		if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
			return -1;
		*p += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	add_utf8(b, (unsigned int)code);
	return 0;
}

int
json_unescape(struct json_slice value, struct buf *b)
{
	const char *p, *end, *run;
	size_t before = b->len;

	if (value.len < 2)
		return -1;
	p = value.p + 1;
	end = value.p + value.len - 1;
	while (p < end) {
		run = memchr(p, '\\', (size_t)(end - p));
		if (run == NULL)
			run = end;
		buf_add(b, p, (size_t)(run - p));
		p = run;
		if (p < end && add_escape(b, &p, end) == -1) {
			b->len = before;
			return -1;
		}
	}
	return 0;
}

void
json_compact(struct json_slice value, struct buf *b)
{
	const char *p = value.p, *end, *run = p;

	if (value.len == 0)
		return;
	end = p + value.len;
	while (p < end) {
		if (*p == '"')
			p = string_end(p, end);
		else if (!is_space(*p))
			p++;
		else {
			buf_add(b, run, (size_t)(p - run));
			run = p = skip_space(p, end);
		}
	}
	buf_add(b, run, (size_t)(end - run));
}
