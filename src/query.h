/*
 * query.h - cut `a=b&c=d` (a query string, or a form body) into decoded pairs.
 *
 * Ours because libmicrohttpd hands values out as C strings, in which %00 cuts a
 * topic short; here it is an error.  Pure functions.
 */
#ifndef QUERY_H
#define QUERY_H

#include <stddef.h>

#define QUERY_MAX_PAIRS	1200	/* 1,000 topics of a batch and then some */

struct query_pair {
	const char	*name, *value;	/* into the struct; NUL-terminated too */
	size_t		 name_len, value_len;
};

struct query {
	size_t			 n;
	struct query_pair	*v;	/* in the order given */
	char			*mem;
};

/*
 * Decode `+` and %XX, and split.  A name without `=` has an empty value; empty
 * pairs (`&&`) are skipped.  Fails on a broken escape, a NUL, text that is not
 * UTF-8, or too many pairs, with `*why` a static phrase that completes
 * "the query ..." (or "the form ...").  0 or -1; on 0 end with query_fini().
 */
int	query_parse(struct query *q, const char *p, size_t len,
	    const char **why);
void	query_fini(struct query *q);

/* The first pair of that name, or NULL; and how many have it. */
const struct query_pair	*query_get(const struct query *q, const char *name);
size_t			 query_count(const struct query *q, const char *name);

#endif
