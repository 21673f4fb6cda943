/*
 * query.c - query strings and form bodies, decoded into one block of memory.
 */
#include "config.h"

#include "query.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode into `*out`, add a NUL and step `*out` behind it.  Returns 0, or
 * -1 with `*why` set. */
static int
decode(char **out, const char *p, const char *end, size_t *len,
    const char **why)
{
	char *o = *out;
	int hi, lo;

	while (p < end) {
		if (*p == '+') {
			*o++ = ' ';
			p++;
		} else if (*p != '%')
			*o++ = *p++;
		else if (end - p < 3 || (hi = hex_value(p[1])) == -1 ||
		    (lo = hex_value(p[2])) == -1) {
			*why = "has a % that two hex digits do not follow";
			return -1;
		} else {
			*o++ = (char)(hi << 4 | lo);
			p += 3;
		}
	}
	*len = (size_t)(o - *out);
	if (*len > 0 && memchr(*out, '\0', *len) != NULL) {
		*why = "holds a NUL";
		return -1;
	}
	if (!text_is_utf8(*out, *len)) {
		*why = "is not UTF-8";
		return -1;
	}
	*o++ = '\0';
	*out = o;
	return 0;
}

static const char *
find(const char *p, const char *end, char c)
{
	const char *hit = p == end ? NULL : memchr(p, c, (size_t)(end - p));

	return hit == NULL ? end : hit;
}

int
query_parse(struct query *q, const char *p, size_t len, const char **why)
{
	const char *end, *amp, *equals, *s;
	struct query_pair *pair;
	size_t n = 0;
	char *out;

	memset(q, 0, sizeof(*q));
	if (len == 0)
		return 0;
	end = p + len;
	for (s = p; s < end; s = amp + 1) {
		amp = find(s, end, '&');
		if (amp > s)
			n++;
		if (amp == end)
			break;
	}
	if (n == 0)
		return 0;
	if (n > QUERY_MAX_PAIRS) {
		*why = "has more than 1200 fields";
		return -1;
	}
	/* Decoding never makes longer; each pair adds two NULs. */
	q->v = calloc(n, sizeof(*q->v));
	q->mem = malloc(len + 2 * n);
	if (q->v == NULL || q->mem == NULL) {
		*why = "does not fit into memory";
		goto fail;
	}
	out = q->mem;
	for (s = p; s < end; s = amp + 1) {
		amp = find(s, end, '&');
		if (amp > s) {
			equals = find(s, amp, '=');
			pair = &q->v[q->n++];
			pair->name = out;
			if (decode(&out, s, equals, &pair->name_len, why) == -1)
				goto fail;
			pair->value = out;
			if (decode(&out, equals < amp ? equals + 1 : amp, amp,
			    &pair->value_len, why) == -1)
				goto fail;
		}
		if (amp == end)
			break;
	}
	return 0;

fail:
	query_fini(q);
	return -1;
}

void
query_fini(struct query *q)
{
	free(q->v);
	free(q->mem);
	memset(q, 0, sizeof(*q));
}

const struct query_pair *
query_get(const struct query *q, const char *name)
{
	size_t i;

	for (i = 0; i < q->n; i++)
		if (strcmp(q->v[i].name, name) == 0)
			return &q->v[i];
	return NULL;
}

size_t
query_count(const struct query *q, const char *name)
{
	size_t i, count = 0;

	for (i = 0; i < q->n; i++)
		if (strcmp(q->v[i].name, name) == 0)
			count++;
	return count;
}
