/*
 * fuzz_guard.c - heads of requests: what is let through is cut as a plain reader cuts it,
 * has one host, one length and one end, and none of the bytes that hide another; and how
 * the bytes come makes no difference.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "http_guard.h"

/* What the lines of a head say, one after the other, without a thought for rules. */
struct plain {
	int	hosts, lengths, codings, fields;
	bool	chunked, http11, digits;
};

static bool
named(const char *p, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(p, name, len) == 0;
}

static void
read_field(struct plain *s, const char *p, const char *end)
{
	const char *colon = p;

	while (colon < end && *colon != ':') {
		MUST(*colon > ' ' && *colon < 0x7f && strchr("()<>@,;\\\"/[]?={}",
		    *colon) == NULL);
		colon++;
	}
	MUST(colon < end && colon > p);
	s->fields++;
	s->hosts += named(p, (size_t)(colon - p), "host");
	if (named(p, (size_t)(colon - p), "content-length")) {
		s->lengths++;
		s->digits = true;
		for (const char *d = colon + 1; d < end; d++)
			s->digits = s->digits && (strchr("0123456789 \t", *d) != NULL);
	}
	if (named(p, (size_t)(colon - p), "transfer-encoding")) {
		s->codings++;
		for (const char *d = colon + 1; d < end; d++)
			s->chunked |= strncasecmp(d, "chunked", 7) == 0;
	}
}

static void
read_head(struct plain *s, const char *p, size_t len)
{
	const char *end = p + len, *cr, *line = p;
	bool first = true;

	for (; line < end; line = cr + 2) {
		cr = line;
		while (cr < end && *cr != '\r')
			MUST(*cr != '\n' && *cr != '\0'), cr++;
		MUST(cr + 1 < end && cr[1] == '\n');
		if (cr == line && first)
			continue;
		if (cr == line) {
			MUST(cr + 2 == end);
			return;
		}
		if (first) {
			MUST(cr - line >= 12 && cr[-9] == ' ');
			MUST(memcmp(cr - 8, "HTTP/1.", 7) == 0);
			MUST(cr[-1] == '0' || cr[-1] == '1');
			s->http11 = cr[-1] == '1';
			MUST(memchr(line, ' ', (size_t)(cr - 9 - line)) ==
			    memrchr(line, ' ', (size_t)(cr - 9 - line)));
		} else
			read_field(s, line, cr);
		first = false;
	}
	MUST(false);			/* no empty line */
}

FUZZ(guard)
{
	struct part text = fuzz_copy(bytes, size);
	struct plain s = { 0 };
	struct guard g, again;
	enum guard_verdict v, w;
	size_t head = 0, head_again = 0;

	v = guard_judge(&g, text.p, text.len, &head);
	if (v == GUARD_REFUSE) {
		MUST(g.detail != NULL && problem_status(g.problem) >= 400);
	} else if (v == GUARD_PASS) {
		MUST(head > 0 && head <= text.len && head <= GUARD_HEAD_MAX);
		read_head(&s, text.p, head);
		MUST(s.hosts == 1 || (s.hosts == 0 && !s.http11));
		MUST(s.lengths + s.codings <= 1);
		MUST(s.lengths == 0 || s.digits);
		MUST(s.codings == 0 || (s.chunked && s.http11));
		MUST(s.fields <= (int)GUARD_FIELDS_MAX);
	}
	/* In two pieces: nothing is let through before its end, and nobody refused whom
	 * the rest would have saved. */
	if (text.len > 1) {
		struct part some = fuzz_copy(text.p, size / 2 + bytes[0] % (size / 2 + 1) / 2);

		w = guard_judge(&again, some.p, some.len, &head_again);
		if (v == GUARD_PASS)
			MUST(some.len < head ? w == GUARD_MORE : w == GUARD_PASS &&
			    head_again == head);
		else if (v == GUARD_MORE)
			MUST(w == GUARD_MORE);
		else
			MUST(w != GUARD_PASS);
		free(some.p);
	}
	free(text.p);
	return 0;
}
