/*
 * fuzz.c - what the harnesses share: taking bytes apart, and a plain reader of UTF-8 and
 * of text/event-stream.  Nothing of the server's is used here.
 */
#include "config.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

struct part
fuzz_copy(const void *p, size_t len)
{
	struct part out = { malloc(len), len };

	MUST(out.p != NULL);
	if (len > 0)
		memcpy(out.p, p, len);
	return out;
}

struct part
fuzz_line(struct input *in)
{
	const uint8_t *lf = in->len == 0 ? NULL : memchr(in->p, '\n', in->len);
	size_t n = lf == NULL ? in->len : (size_t)(lf - in->p);
	struct part out = fuzz_copy(in->p, n);

	n += lf != NULL;
	in->p += n;
	in->len -= n;
	return out;
}

struct part
fuzz_rest(struct input *in)
{
	struct part out = fuzz_copy(in->p, in->len);

	in->p += in->len;
	in->len = 0;
	return out;
}

char *
fuzz_string(struct input *in)
{
	struct part line = fuzz_line(in);
	size_t n = strnlen(line.p, line.len);
	char *s = strndup(line.p, n);

	MUST(s != NULL);
	free(line.p);
	return s;
}

unsigned int
fuzz_byte(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

static size_t
encode(uint32_t c, unsigned char out[4])
{
	if (c < 0x80) {
		out[0] = (unsigned char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (unsigned char)(0xc0 | c >> 6);
		out[1] = (unsigned char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (unsigned char)(0xe0 | c >> 12);
		out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (unsigned char)(0xf0 | c >> 18);
	out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (unsigned char)(0x80 | (c & 0x3f));
	return 4;
}

long
plain_utf8(const char *p, size_t len, uint32_t *out)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned char again[4];
	size_t i = 0, k, n;
	uint32_t c;
	long count = 0;

	while (i < len) {
		n = u[i] < 0x80 ? 1 : u[i] < 0xc0 ? 0 : u[i] < 0xe0 ? 2 :
		    u[i] < 0xf0 ? 3 : u[i] < 0xf8 ? 4 : 0;
		if (n == 0 || len - i < n)
			return -1;
		c = n == 1 ? u[i] : (uint32_t)(u[i] & (0x7f >> n));
		for (k = 1; k < n; k++)
			c = c << 6 | (u[i + k] & 0x3f);
		if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ||
		    encode(c, again) != n || memcmp(again, u + i, n) != 0)
			return -1;
		if (out != NULL)
			out[count] = c;
		count++;
		i += n;
	}
	return count;
}

bool
plain_control(const char *p, size_t len)
{
	uint32_t *c = malloc((len + 1) * sizeof(*c));
	long n = plain_utf8(p, len, c);
	bool found = false;

	for (long i = 0; i < n; i++)
		if (c[i] < 0x20 || (c[i] >= 0x7f && c[i] < 0xa0))
			found = true;
	free(c);
	return found;
}

struct part
plain_lines(const char *p, size_t len)
{
	struct part out = { malloc(len + 1), 0 };

	for (size_t i = 0; i < len; i++) {
		if (p[i] != '\r')
			out.p[out.len++] = p[i];
		else if (i + 1 == len || p[i + 1] != '\n')
			out.p[out.len++] = '\n';
	}
	out.p[out.len] = '\0';
	return out;
}

/* --- text/event-stream --- */

/* A buffer of the specification: room for all of the stream. */
struct heap {
	char	*p;
	size_t	 len;
};

static void
append(struct heap *h, const char *p, size_t len)
{
	if (len > 0)
		memcpy(h->p + h->len, p, len);
	h->len += len;
	h->p[h->len] = '\0';
}

static bool
is(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(p, word, len) == 0;
}

void
plain_events(const char *stream, size_t stream_len,
    bool (*each)(void *arg, const struct plain_event *e), void *arg)
{
	struct part text = plain_lines(stream, stream_len);
	struct heap data = { malloc(text.len + 2), 0 };
	struct heap name = { malloc(text.len + 2), 0 };
	struct heap id = { malloc(text.len + 2), 0 };
	struct heap next_id = { malloc(text.len + 2), 0 };
	bool has_id = false, go_on = true;
	const char *line = text.p, *eol, *colon, *value;
	const char *end = text.p + text.len;
	size_t field_len, value_len;

	append(&data, "", 0), append(&name, "", 0), append(&id, "", 0);
	if (text.len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3;
	for (; go_on && line < end; line = eol + 1) {
		if ((eol = memchr(line, '\n', (size_t)(end - line))) == NULL)
			break;			/* no whole line: not seen */
		if (eol == line) {
			if (has_id) {
				id.len = 0;
				append(&id, next_id.p, next_id.len);
			}
			if (data.len > 0)
				go_on = each(arg, &(struct plain_event){
				    .name = name.len > 0 ? name.p : "message",
				    .name_len = name.len > 0 ? name.len : 7,
				    .data = data.p, .data_len = data.len - 1,
				    .id = id.p, .id_len = id.len,
				    .has_id = has_id });
			data.len = name.len = 0;
			has_id = false;
			continue;
		}
		colon = memchr(line, ':', (size_t)(eol - line));
		if (colon == line)
			continue;
		field_len = colon == NULL ? (size_t)(eol - line) :
		    (size_t)(colon - line);
		value = colon == NULL ? eol : colon + 1;
		if (value < eol && *value == ' ')
			value++;
		value_len = (size_t)(eol - value);
		if (is(line, field_len, "data")) {
			append(&data, value, value_len);
			append(&data, "\n", 1);
		} else if (is(line, field_len, "event")) {
			name.len = 0;
			append(&name, value, value_len);
		} else if (is(line, field_len, "id") &&
		    memchr(value, '\0', value_len) == NULL) {
			next_id.len = 0;
			append(&next_id, value, value_len);
			has_id = true;
		}
	}
	free(data.p), free(name.p), free(id.p), free(next_id.p), free(text.p);
}
