/*
 * rows.c - a table of tests/data, found through $srcdir.
 */
#include "config.h"

#include "rows.h"

#include <string.h>

#include "harness.h"

static char *
trim(char *p)
{
	size_t n;

	p += strspn(p, " \t");
	for (n = strlen(p); n > 0 && strchr(" \t\r", p[n - 1]) != NULL; n--)
		p[n - 1] = '\0';
	return p;
}

struct row *
rows_read(const char *name, size_t cells, size_t *rows)
{
	const char *src = getenv("srcdir");
	char *path = fmt("%s/tests/data/%s", src != NULL ? src : "..", name), *next;
	char *p = read_whole(path), *bar, *end;
	struct row *all, *r;
	unsigned int line = 0;
	size_t most = 1;

	for (const char *q = p; (q = strchr(q, '\n')) != NULL; q++)
		most++;
	ck_assert_ptr_nonnull(all = keep(calloc(most, sizeof(*all)), free));
	*rows = 0;
	for (; p != NULL; p = next) {
		line++;
		if ((next = strchr(p, '\n')) != NULL)
			*next++ = '\0';
		if (*(p = trim(p)) == '\0' || *p == '#')
			continue;
		r = &all[(*rows)++];
		r->line = line;
		for (; p != NULL; p = bar) {
			/* A bar within a cell has no blanks around it. */
			if ((bar = strstr(p, " | ")) != NULL) {
				end = bar;
				bar += 3;
				*end = '\0';
			}
			ck_assert_msg(r->n < ROW_CELLS, "%s:%u", path, line);
			r->cell[r->n++] = trim(p);
		}
		ck_assert_msg(r->n == cells, "%s:%u has %zu cells, not %zu", path, line,
		    r->n, cells);
	}
	ck_assert_msg(*rows > 0, "%s has no rows", path);
	return all;
}
