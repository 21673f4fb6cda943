/*
 * text.c - bytes: a growing buffer, UTF-8, JSON escapes, numbers people write.
 *
 * Publishing a message passes through here several times, so the questions that
 * are asked of every payload look at eight bytes at once while these are ASCII.
 */
#include "config.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONES		UINT64_C(0x0101010101010101)
#define HIGH_BITS	UINT64_C(0x8080808080808080)

/* Nonzero if any byte of `x` is zero; if any is below 0x20. */
#define HAS_ZERO(x)	(((x) - ONES) & ~(x) & HIGH_BITS)
#define HAS_CONTROL(x)	(((x) - ONES * 0x20) & ~(x) & HIGH_BITS)

#define BUF_MIN_BYTES	256

/* The last millisecond of the year 9999, the last that RFC 3339 can say. */
#define LAST_MS		INT64_C(253402300799999)
#define DAY_MS		INT64_C(86400000)

/* Make room for `len` more bytes.  Doubling keeps many appends linear. */
static bool
buf_reserve(struct buf *b, size_t len)
{
	size_t cap;
	char *p;

	if (b->failed)
		return false;
	if (b->cap - b->len >= len)
		return true;
	if (len > SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	cap = b->cap < BUF_MIN_BYTES ? BUF_MIN_BYTES : b->cap;
	while (cap < b->len + len)
		cap *= 2;
	if ((p = realloc(b->p, cap)) == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void
buf_add(struct buf *b, const void *p, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

void
buf_addc(struct buf *b, char c)
{
	if (!buf_reserve(b, 1))
		return;
	b->p[b->len++] = c;
}

void
buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t need;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	need = (size_t)n + 1;		/* vsnprintf writes a NUL too */
	if (!buf_reserve(b, need))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->p + b->len, need, fmt, ap);	/* as long as before */
	va_end(ap);
	b->len += (size_t)n;
}

/*
 * If an escape is due at `p`, which has `left` bytes, write it to `out`.
 * Returns how many bytes of the text it stands for, or 0: nothing to escape
 * here.
 */
static size_t
json_escape(char out[8], const unsigned char *p, size_t left)
{
	static const char *const digits = "0123456789abcdef";
	unsigned int code;
	size_t used;

	if (p[0] == 0xc2 && left >= 2 && p[1] == 0x85) {
		code = 0x0085;
		used = 2;
	} else if (p[0] == 0xe2 && left >= 3 && p[1] == 0x80 &&
	    (p[2] == 0xa8 || p[2] == 0xa9)) {
		code = 0x2000u + (p[2] & 0x3fu);
		used = 3;
	} else if (p[0] < 0x20 || p[0] == '"' || p[0] == '\\') {
		code = p[0];
		used = 1;
	} else
		return 0;

	out[0] = '\\';
	out[2] = '\0';
	switch (code) {
	case '"':	out[1] = '"'; break;
	case '\\':	out[1] = '\\'; break;
	case '\b':	out[1] = 'b'; break;
	case '\f':	out[1] = 'f'; break;
	case '\n':	out[1] = 'n'; break;
	case '\r':	out[1] = 'r'; break;
	case '\t':	out[1] = 't'; break;
	default:
		out[1] = 'u';
		out[2] = digits[code >> 12];
		out[3] = digits[code >> 8 & 15];
		out[4] = digits[code >> 4 & 15];
		out[5] = digits[code & 15];
		out[6] = '\0';
	}
	return used;
}

/* Step over bytes that json_escape() would have nothing to say to. */
static size_t
skip_plain(const unsigned char *p, size_t i, size_t len)
{
	uint64_t w;

	for (; len - i >= 8; i += 8) {
		memcpy(&w, p + i, 8);
		if (((w & HIGH_BITS) | HAS_ZERO(w ^ ONES * '"') |
		    HAS_ZERO(w ^ ONES * '\\') | HAS_CONTROL(w)) != 0)
			break;
	}
	while (i < len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' &&
	    p[i] != 0xc2 && p[i] != 0xe2)
		i++;
	return i;
}

void
buf_add_json(struct buf *b, const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t i = 0, run = 0, used;
	char esc[8];

	(void)buf_reserve(b, len + 2);	/* failing is noted in b */
	buf_addc(b, '"');
	while ((i = skip_plain(u, i, len)) < len) {
		if ((used = json_escape(esc, u + i, len - i)) == 0) {
			i++;
			continue;
		}
		buf_add(b, p + run, i - run);
		buf_adds(b, esc);
		i += used;
		run = i;
	}
	if (run < len)
		buf_add(b, p + run, len - run);
	buf_addc(b, '"');
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

/* Length of the well-formed sequence that begins with the byte `p[0]` >=
 * 0x80; 0 if there is none.  The ranges are those of RFC 3629, section 4. */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t i, n;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		n = 3;
		if (p[0] == 0xe0)
			lo = 0xa0;	/* below: overlong */
		else if (p[0] == 0xed)
			hi = 0x9f;	/* above: surrogates */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		if (p[0] == 0xf0)
			lo = 0x90;	/* below: overlong */
		else if (p[0] == 0xf4)
			hi = 0x8f;	/* above: past U+10FFFF */
	} else
		return 0;
	if (left < n || p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

size_t
text_utf8_prefix(const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t i = 0, n;
	uint64_t word;

	while (i < len) {
		if (u[i] >= 0x80) {
			if ((n = utf8_sequence(u + i, len - i)) == 0)
				break;
			i += n;
			continue;
		}
		for (; len - i >= 8; i += 8) {
			memcpy(&word, u + i, 8);
			if ((word & HIGH_BITS) != 0)
				break;
		}
		while (i < len && u[i] < 0x80)
			i++;
	}
	return i;
}

bool
text_is_utf8(const char *p, size_t len)
{
	return text_utf8_prefix(p, len) == len;
}

bool
text_has_control(const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t i;

	for (i = 0; i < len; i++) {
		if (u[i] < 0x20 || u[i] == 0x7f)
			return true;
		/* U+0080 to U+009F are C2 80 to C2 9F. */
		if (u[i] == 0xc2 && i + 1 < len && u[i + 1] >= 0x80 &&
		    u[i + 1] <= 0x9f)
			return true;
	}
	return false;
}

/* Does the well-formed character turn the line round, end it for some reader, or hide
 * in it?  Bidirectional controls, U+2028 and U+2029, what has no width, tags. */
static bool
is_disguise(const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;

	if (len == 2)			/* U+061C, U+00AD */
		return (u[0] == 0xd8 && u[1] == 0x9c) || (u[0] == 0xc2 && u[1] == 0xad);
	if (len == 3 && u[0] == 0xe2)	/* U+200B to 200F, 2028 to 202E, 2060 to 206F */
		return (u[1] == 0x80 && ((u[2] >= 0x8b && u[2] <= 0x8f) ||
		    (u[2] >= 0xa8 && u[2] <= 0xae))) ||
		    (u[1] == 0x81 && u[2] >= 0xa0 && u[2] <= 0xaf);
	if (len == 3)			/* U+FEFF, U+FFF9 to FFFB */
		return u[0] == 0xef && ((u[1] == 0xbb && u[2] == 0xbf) ||
		    (u[1] == 0xbf && u[2] >= 0xb9 && u[2] <= 0xbb));
	return len == 4 && u[0] == 0xf3 && u[1] == 0xa0;	/* U+E0000 to E0FFF */
}

size_t
text_harmless(const char *p, size_t len)
{
	size_t n = 1;

	if (len > 0 && (unsigned char)*p >= 0xc2)
		for (n = 2; n < 4 && n < len && !text_is_utf8(p, n); n++)
			;
	return n > len || !text_is_utf8(p, n) || text_has_control(p, n) ||
	    is_disguise(p, n) ? 0 : n;
}

bool
text_is_token(const char *p, size_t len)
{
	size_t i;
	char c;

	for (i = 0; i < len; i++) {
		c = p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		    (c >= 'a' && c <= 'z') || c == '.' || c == '_' ||
		    c == ':' || c == '-'))
			return false;
	}
	return true;
}

bool
text_equal_secret(const char *a, size_t alen, const char *b, size_t blen)
{
	/* volatile: else the compiler may stop at the first difference. */
	volatile unsigned char diff = 0;
	size_t i;

	if (alen != blen)
		return false;
	for (i = 0; i < alen; i++)
		diff = (unsigned char)(diff |
		    ((unsigned char)a[i] ^ (unsigned char)b[i]));
	return diff == 0;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static char *
put_digits(char *out, int value, int width)
{
	int i;

	for (i = width - 1; i >= 0; i--, value /= 10)
		out[i] = (char)('0' + value % 10);
	return out + width;
}

/* Ours because gmtime_r takes a lock that all threads share. */
void
text_format_time(char out[TEXT_TIME_SIZE], int64_t wall_ms)
{
	static const int month_days[12] =
	    { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int day, ms, year, month, n, leap_days;
	char *o = out;

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > LAST_MS)
		wall_ms = LAST_MS;
	day = (int)(wall_ms / DAY_MS);
	ms = (int)(wall_ms % DAY_MS);

	/* The mean length of a year gives the right one, or a neighbour: begin
	 * above them and come down to the first that starts in time. */
	year = 1970 + (int)((int64_t)day * 400 / 146097) + 2;
	do {
		year--;
		n = year - 1;		/* whole years before this one */
		leap_days = n / 4 - n / 100 + n / 400 - 477;
		n = (year - 1970) * 365 + leap_days;
	} while (n > day);
	day -= n;
	for (month = 0; ; month++) {
		n = month_days[month] + (month == 1 && is_leap(year) ? 1 : 0);
		if (day < n)
			break;
		day -= n;
	}

	o = put_digits(o, year, 4);
	*o++ = '-';
	o = put_digits(o, month + 1, 2);
	*o++ = '-';
	o = put_digits(o, day + 1, 2);
	*o++ = 'T';
	o = put_digits(o, ms / 3600000, 2);
	*o++ = ':';
	o = put_digits(o, ms / 60000 % 60, 2);
	*o++ = ':';
	o = put_digits(o, ms / 1000 % 60, 2);
	*o++ = '.';
	o = put_digits(o, ms % 1000, 3);
	*o++ = 'Z';
	*o = '\0';
}

/* Read the digits at the front; returns how many there were, 0 also when the
 * number does not fit. */
static size_t
read_digits(const char *p, size_t len, uint64_t *out)
{
	uint64_t v = 0, digit;
	size_t i;

	for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
		digit = (uint64_t)(p[i] - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return 0;
		v = v * 10 + digit;
	}
	*out = v;
	return i;
}

int
text_parse_u64(const char *p, size_t len, uint64_t *out)
{
	uint64_t v;

	if (len == 0 || read_digits(p, len, &v) != len)
		return -1;
	*out = v;
	return 0;
}

static bool
is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(p, word, len) == 0;
}

int
text_parse_size(const char *p, size_t len, uint64_t *out)
{
	uint64_t v, unit;
	size_t n;

	if ((n = read_digits(p, len, &v)) == 0)
		return -1;
	p += n;
	len -= n;
	if (len == 0)
		unit = 1;
	else if (is_word(p, len, "k"))
		unit = 1u << 10;
	else if (is_word(p, len, "M"))
		unit = 1u << 20;
	else if (is_word(p, len, "G"))
		unit = 1u << 30;
	else
		return -1;
	if (v > UINT64_MAX / unit)
		return -1;
	*out = v * unit;
	return 0;
}

int
text_parse_duration_ms(const char *p, size_t len, int64_t *out)
{
	uint64_t v, unit;
	size_t n;

	if ((n = read_digits(p, len, &v)) == 0)
		return -1;
	p += n;
	len -= n;
	if (is_word(p, len, "ms") || (len == 0 && v == 0))
		unit = 1;
	else if (is_word(p, len, "s"))
		unit = 1000;
	else if (is_word(p, len, "m"))
		unit = 60 * 1000;
	else if (is_word(p, len, "h"))
		unit = 3600 * 1000;
	else if (is_word(p, len, "d"))
		unit = (uint64_t)DAY_MS;
	else
		return -1;
	if (v > INT64_MAX / unit)
		return -1;
	*out = (int64_t)(v * unit);
	return 0;
}
