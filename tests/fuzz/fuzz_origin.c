/*
 * fuzz_origin.c - which pages may read an answer: an origin passes only when it is the
 * configured one to the last byte, or differs from it inside one label alone.
 *
 * Input: two lines, what is configured and what a browser says.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_internal.h"
#include "fuzz.h"
#include "http.h"
#include "http_internal.h"

static bool
in(const char *set, char c)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* By trying every length for the star. */
static bool
plain_match(const char *pattern, const char *origin)
{
	const char *star = strchr(pattern, '*');
	size_t head, n;

	if (strcmp(pattern, "*") == 0)
		return true;
	if (star == NULL)
		return strcmp(pattern, origin) == 0;
	head = (size_t)(star - pattern);
	if (strncmp(pattern, origin, head) != 0)
		return false;
	for (n = 0; in("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-", origin[head + n]);)
		if (strcmp(origin + head + ++n, star + 1) == 0)
			return true;
	return false;
}

FUZZ(origin)
{
	struct input input = { bytes, size };
	char *pattern = fuzz_string(&input), *origin = fuzz_string(&input), why[256];
	const char *list[] = { pattern, NULL }, *dot;
	const struct http_conf c = { .cors_origins = list };
	bool allowed;

	/* Only what `fanfare check` lets through ever gets there. */
	if (conf_check_origin(pattern, why, sizeof(why))) {
		allowed = access_origin_allowed(&c, origin);
		MUST(allowed == plain_match(pattern, origin));
		/* Whoever registers a name gets no further than that name. */
		if (allowed && strchr(pattern, '*') != NULL &&
		    strcmp(pattern, "*") != 0) {
			MUST((dot = strchr(pattern, '.')) != NULL);
			MUST(strchr(origin, '.') != NULL &&
			    strcmp(dot, strchr(origin, '.')) == 0);
			MUST(strpbrk(origin, "@#?\\ %") == NULL);
			MUST(strchr(strstr(origin, "://") + 3, '/') == NULL);
		}
	} else
		MUST(why[0] != '\0');
	free(pattern);
	free(origin);
	return 0;
}
