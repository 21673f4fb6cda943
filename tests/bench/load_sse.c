/*
 * load_sse.c - the head of an HTTP answer, its chunks, and frames of an event stream.
 *
 * Written for speed over whole buffers: a frame that is cut off is kept by the caller
 * and read again from its beginning, so nothing here remembers half a line.
 */
#include "config.h"

#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum chunk_at { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER };

/* One header line [p, end) without its CR LF. */
static void
header(struct answer *a, const char *p, const char *end)
{
	size_t len = (size_t)(end - p);

	if (len > 15 && strncasecmp(p, "content-length:", 15) == 0) {
		a->left = strtoull(p + 15, NULL, 10);
		a->closes = false;
	} else if (len > 18 && strncasecmp(p, "transfer-encoding:", 18) == 0) {
		a->chunked = memmem(p, len, "chunked", 7) != NULL;
		a->closes = !a->chunked;
	}
}

const char *
answer_head(struct answer *a, const char *p, const char *end)
{
	const char *stop = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);

	if (stop == NULL)
		return NULL;
	*a = (struct answer){ .status = -1, .closes = true };
	if (stop - p >= 12 && memcmp(p, "HTTP/1.1 ", 9) == 0)
		a->status = atoi(p + 9);
	while (p < stop) {
		const char *cr = memmem(p, (size_t)(stop + 2 - p), "\r\n", 2);
		header(a, p, cr);
		p = cr + 2;
	}
	if (a->status == 204 || a->status == 304) {
		a->closes = a->chunked = false;
		a->left = 0;
	}
	return stop + 4;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Every byte between the chunks' data; `left` counts a trailer line's bytes. */
static bool
chunk_byte(struct answer *a, char c)
{
	switch ((enum chunk_at)a->chunk_at) {
	case CHUNK_SIZE:
		if (hex(c) >= 0)
			a->left = a->left * 16 + (uint64_t)hex(c);
		else
			a->chunk_at = CHUNK_EXTENSION;
		break;
	case CHUNK_EXTENSION:
		if (c == '\n')
			a->chunk_at = a->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
		break;
	case CHUNK_END:
		if (c == '\n')
			a->chunk_at = CHUNK_SIZE;
		break;
	case CHUNK_TRAILER:
		if (c == '\n' && a->left == 0)
			return true;
		a->left = c == '\n' ? 0 : a->left + (c != '\r');
		break;
	case CHUNK_DATA:
		break;
	}
	return false;
}

static size_t
unchunk(struct answer *a, char *p, size_t len, bool *ended, char **rest)
{
	char *to = p, *end = p + len;

	while (p < end) {
		size_t n = (size_t)(end - p);

		if (a->chunk_at != CHUNK_DATA) {
			if (chunk_byte(a, *p++)) {
				*ended = true;
				*rest = p;
				break;
			}
			continue;
		}
		if (n > a->left)
			n = (size_t)a->left;
		memmove(to, p, n);
		to += n;
		p += n;
		a->left -= n;
		if (a->left == 0)
			a->chunk_at = CHUNK_END;
	}
	return (size_t)(to - (end - len));
}

size_t
answer_body(struct answer *a, char *p, size_t len, bool *ended, char **rest)
{
	*ended = false;
	*rest = p + len;
	if (a->closes)
		return len;
	if (a->chunked)
		return unchunk(a, p, len, ended, rest);
	if (len >= a->left) {
		len = (size_t)a->left;
		*ended = true;
		*rest = p + len;
	}
	a->left -= len;
	return len;
}

static void
field(const char *p, size_t len, size_t name_len,
    const char **to, size_t *to_len)
{
	if (name_len < len && p[name_len] == ' ')
		name_len++;
	*to = p + name_len;
	*to_len = len - name_len;
}

/* One line of a frame, not empty. */
static void
line_of(struct sse_frame *f, const char *p, size_t len)
{
	if (len >= 5 && memcmp(p, "data:", 5) == 0) {
		field(p, len, 5, &f->data, &f->data_len);
		f->data_lines++;
	} else if (len >= 3 && memcmp(p, "id:", 3) == 0)
		field(p, len, 3, &f->id, &f->id_len);
	else if (len >= 6 && memcmp(p, "event:", 6) == 0)
		field(p, len, 6, &f->name, &f->name_len);
}

const char *
sse_take(struct sse_frame *f, const char *p, const char *end, const char **keep)
{
	bool begun = false;

	*f = (struct sse_frame){ .id = NULL };
	*keep = p;
	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		size_t len;

		if (lf == NULL)
			return NULL;
		len = (size_t)(lf - p);
		if (len > 0 && p[len - 1] == '\r')
			len--;
		if (len == 0 && begun)
			return lf + 1;
		if (len > 0 && *p != ':' && *p != 'r') {
			line_of(f, p, len);
			begun = true;
		}
		p = lf + 1;
		if (!begun)
			*keep = p;	/* comments, retry, blank lines */
	}
	return NULL;
}
