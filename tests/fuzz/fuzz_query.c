/*
 * fuzz_query.c - query strings and form bodies: cut and decoded as a plain second reader
 * does, and the same again when every byte is written as %XX.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "query.h"

static int
hex(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* What stands between two marks, decoded; NULL when it is refused. */
static char *
decode(const char *p, size_t len, size_t *out_len)
{
	char *out = malloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '%') {
			if (i + 2 >= len || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0)
				goto refused;
			out[n++] = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			i += 2;
		} else
			out[n++] = p[i] == '+' ? ' ' : p[i];
	}
	out[n] = '\0';
	*out_len = n;
	if (strlen(out) == n && plain_utf8(out, n, NULL) >= 0)
		return out;
refused:
	free(out);
	return NULL;
}

/* Does the plain reader see what query_parse saw? */
static bool
agrees(const struct query *q, const char *p, size_t len)
{
	size_t n = 0, start = 0, name_len, value_len;
	bool same = true;

	for (size_t i = 0; i <= len; i++) {
		const char *piece = p + start, *eq;
		size_t piece_len = i - start, head;
		char *name, *value;

		if (i < len && p[i] != '&')
			continue;
		start = i + 1;
		if (piece_len == 0)
			continue;
		eq = memchr(piece, '=', piece_len);
		head = eq == NULL ? piece_len : (size_t)(eq - piece);
		name = decode(piece, head, &name_len);
		value = decode(piece + head + (eq != NULL),
		    piece_len - head - (eq != NULL), &value_len);
		same = same && name != NULL && value != NULL;
		if (same && q != NULL)
			same = n < q->n && q->v[n].name_len == name_len &&
			    q->v[n].value_len == value_len &&
			    strcmp(q->v[n].name, name) == 0 &&
			    strcmp(q->v[n].value, value) == 0;
		free(name);
		free(value);
		n++;
	}
	return same && n <= QUERY_MAX_PAIRS && (q == NULL || n == q->n);
}

static void
escape(char **at, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*at += sprintf(*at, "%%%02X", (unsigned char)p[i]);
}

static void
again(const struct query *q, size_t len)
{
	char *text = malloc(3 * len + 2 * q->n + 1), *at = text;
	const char *why;
	struct query r;

	for (size_t i = 0; i < q->n; i++) {
		escape(&at, q->v[i].name, q->v[i].name_len);
		*at++ = '=';
		escape(&at, q->v[i].value, q->v[i].value_len);
		*at++ = '&';
	}
	MUST(query_parse(&r, text, (size_t)(at - text), &why) == 0);
	MUST(r.n == q->n);
	for (size_t i = 0; i < q->n; i++) {
		MUST(strcmp(r.v[i].name, q->v[i].name) == 0);
		MUST(strcmp(r.v[i].value, q->v[i].value) == 0);
		MUST(query_get(q, q->v[i].name) <= &q->v[i]);
		MUST(query_count(q, q->v[i].name) >= 1);
	}
	query_fini(&r);
	free(text);
}

FUZZ(query)
{
	struct part text = fuzz_copy(bytes, size);
	const char *why = NULL;
	struct query q;

	if (query_parse(&q, text.p, text.len, &why) == 0) {
		MUST(agrees(&q, text.p, text.len));
		if (q.n <= 64)			/* the same again is quadratic */
			again(&q, text.len);
		query_fini(&q);
	} else {
		MUST(why != NULL);
		MUST(!agrees(NULL, text.p, text.len));
	}
	free(text.p);
	return 0;
}
