/*
 * problem.c - problem+json bodies (RFC 9457) from the table in problem.h.
 *
 * Without a `type` member: that means about:blank, and `code` tells errors
 * apart.
 */
#include "config.h"

#include "problem.h"

#include <assert.h>
#include <string.h>

static const struct {
	unsigned int	 status;
	const char	*code;
	const char	*title;
} table[] = {
#define X(name, status, code, title) { status, code, title },
	PROBLEMS(X)
#undef X
};

unsigned int
problem_status(enum problem p)
{
	assert((size_t)p < sizeof(table) / sizeof(table[0]));
	return table[p].status;
}

const char *
problem_code(enum problem p)
{
	assert((size_t)p < sizeof(table) / sizeof(table[0]));
	return table[p].code;
}

const char *
problem_title(enum problem p)
{
	assert((size_t)p < sizeof(table) / sizeof(table[0]));
	return table[p].title;
}

/* A detail may quote what a client sent, and that may be anything. */
static void
add_member(struct buf *b, const char *name, const char *value)
{
	struct buf clean = { 0 };
	size_t len, n;

	if (value == NULL)
		return;
	buf_addf(b, ",\"%s\":", name);
	len = strlen(value);
	while ((n = text_utf8_prefix(value, len)) < len) {
		buf_add(&clean, value, n);
		buf_adds(&clean, "\xef\xbf\xbd");	/* U+FFFD */
		value += n + 1;
		len -= n + 1;
	}
	buf_add(&clean, value, len);
	if (clean.failed)
		b->failed = true;
	buf_add_json(b, clean.p, clean.len);
	buf_fini(&clean);
}

void
problem_render(struct buf *b, enum problem p, const char *detail,
    const char *ref, const char *topic)
{
	buf_addf(b, "{\"status\":%u", problem_status(p));
	add_member(b, "code", problem_code(p));
	add_member(b, "title", problem_title(p));
	add_member(b, "detail", detail);
	add_member(b, "topic", topic);
	add_member(b, "ref", ref);
	buf_adds(b, "}\n");
}
