/*
 * conf_name.c - names of options, right and nearly right.
 */
#include "config.h"

#include "conf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "conf_internal.h"

const char *
conf_issuer_key(const char *name)
{
	const char *last = strrchr(name, '.');

	return strncmp(name, "auth.", 5) == 0 && last > name + 5 ? last + 1 : NULL;
}

bool
conf_known(const char *name)
{
	return conf_find(name) != NULL || conf_issuer_key(name) != NULL;
}

bool
conf_is_secret(const char *name)
{
	const char *key = conf_issuer_key(name);
	const struct conf_option *o = key != NULL ? conf_find_issuer_key(key) :
	    conf_find(name);

	return o != NULL && o->secret;
}

const char *
conf_alias(const char *name)
{
	size_t i;

	for (i = 0; i < conf_table_n; i++)
		if (conf_table[i].alias != NULL &&
		    strcmp(conf_table[i].alias, name) == 0)
			return conf_table[i].name;
	return NULL;
}

#define MAX_WORD	64

size_t
conf_distance(const char *a, const char *b)
{
	size_t row[3][MAX_WORD + 1], *before = row[0], *last = row[1],
	    *now = row[2], *t, alen = strlen(a), blen = strlen(b), i, j, best;

	if (alen > MAX_WORD || blen > MAX_WORD)
		return MAX_WORD;
	for (j = 0; j <= blen; j++) {
		before[j] = 0;
		last[j] = j;
	}
	for (i = 1; i <= alen; i++) {
		now[0] = i;
		for (j = 1; j <= blen; j++) {
			best =
			    last[j - 1] + (tolower((unsigned char)a[i - 1]) !=
			    tolower((unsigned char)b[j - 1]));
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		t = before;
		before = last;
		last = now;
		now = t;
	}
	return last[blen];
}

const struct conf_option *
conf_nearest_option(const char *name)
{
	const struct conf_option *found = NULL;
	const char *key, *dot = strchr(name, '.');
	size_t i, d, best = 3;

	for (i = 0; i < conf_table_n; i++) {
		key = strchr(conf_table[i].name, '.') + 1;
		if (strcasecmp(key, dot != NULL ? dot + 1 : name) == 0)
			return &conf_table[i];
		d = conf_distance(dot != NULL ? conf_table[i].name : key, name);
		if (d < best) {
			best = d;
			found = &conf_table[i];
		}
	}
	return found;
}

const char *
conf_nearest(const char *name)
{
	const struct conf_option *o = conf_nearest_option(name);

	return o != NULL ? o->name : NULL;
}
