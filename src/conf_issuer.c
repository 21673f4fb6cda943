/*
 * conf_issuer.c - [auth.NAME]: sections that come as they are named, and the rules that
 * they and [auth] have to follow.
 */
#include "config.h"

#include "conf.h"

#include <stdlib.h>
#include <string.h>

#include "conf_internal.h"

bool
conf_has_key(const struct conf_issuer *is)
{
	return is->key != NULL || is->key_file != NULL || is->jwks != NULL;
}

/* Why not, to follow "[auth.NAME]: ", or NULL.  In the environment a name stands
 * in capitals, and FANFARE_AUTH_API_KEY must be a slip of the pen. */
static const char *
fault_of_issuer_name(const char *name, size_t len)
{
	static const char rule[] = "a name is 1 to 32 small letters, digits and _, "
	    "and begins with a letter";
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (n < len || len < 1 || len > CONF_ISSUER_NAME_MAX || name[0] < 'a')
		return rule;
	if (len == 3 && memcmp(name, "api", 3) == 0)
		return "this name would be taken for api_keys: choose another";
	return NULL;
}

struct conf_issuer *
conf_have_issuer(struct conf *c, const char *name, size_t len, const char *where,
    char *err, size_t size)
{
	char word[CONF_PLACE_SIZE], shown[CONF_SHOWN_SIZE];
	const char *fault = fault_of_issuer_name(name, len);
	struct conf_issuer *is;
	size_t i;

	if (fault != NULL) {
		(void)snprintf(word, sizeof word, "%.*s", (int)(len < 128 ? len :
		    128), name);
		(void)conf_fail(err, size, "%s: [auth.%s]: %s", where,
		    conf_show(shown, word), fault);
		return NULL;
	}
	for (i = 0; i < c->n_issuers; i++)
		if (strlen(c->issuers[i].name) == len &&
		    memcmp(c->issuers[i].name, name, len) == 0)
			return &c->issuers[i];
	is = reallocarray(c->issuers, c->n_issuers + 1, sizeof *is);
	if (is == NULL)
		goto no_memory;
	c->issuers = is;
	is += c->n_issuers;
	memset(is, 0, sizeof *is);
	is->name = strndup(name, len);
	is->where = calloc(conf_table_n, sizeof *is->where);
	if (is->name == NULL || is->where == NULL ||
	    conf_apply_defaults(c, is) == -1) {
		conf_free_fields(c, is);
		free(is->name);
		goto no_memory;
	}
	c->n_issuers++;
	return is;

no_memory:
	(void)conf_fail(err, size, "%s: out of memory", where);
	return NULL;
}

int
conf_set_issuer(struct conf *c, const char *name, const char *key, const char *value,
    const char *where, char *err, size_t size)
{
	const struct conf_option *o = conf_find_issuer_key(key);
	char shown[CONF_SHOWN_SIZE], at[CONF_PLACE_SIZE], word[CONF_PLACE_SIZE];
	struct conf_issuer *is;
	size_t i, d, best = 3, len = (size_t)(key - 1 - (name + 5));
	const char *near = NULL, *other;

	if ((is = conf_have_issuer(c, name + 5, len, where, err, size)) == NULL)
		return -1;
	if (o != NULL)
		return conf_put(c, is, o, value, where, err, size);
	(void)conf_begin(at, where, conf_show(shown, name));
	(void)snprintf(word, sizeof word, "auth.%s", key);
	if (conf_find(word) != NULL)
		return conf_fail(err, size, "%s: %s stands in [auth] alone", at,
		    key);
	for (i = 0; i < conf_table_n; i++) {
		other = strchr(conf_table[i].name, '.') + 1;
		if (conf_table[i].issuers &&
		    (d = conf_distance(other, key)) < best) {
			best = d;
			near = other;
		}
	}
	if (near == NULL)
		return conf_fail(err, size, "%s: no such option", at);
	return conf_fail(err, size, "%s: no such option; did you mean auth.%s.%s?",
	    at, is->name, near);
}

/* Which of these options is set, if any?  -1: two of them are. */
static int
find_only(struct conf *c, struct conf_issuer *is, const char *const *names,
    const struct conf_option **only, char *err, size_t size)
{
	const struct conf_option *o, *before = NULL;
	char at[CONF_PLACE_SIZE], name[CONF_PLACE_SIZE];

	for (; *names != NULL; names++) {
		o = conf_find_issuer_key(*names);
		if (*(char **)conf_field(c, is, o) == NULL)
			continue;
		if (before != NULL)
			return conf_fail(err, size, "%s: %s is set too (%s); "
			    "keep one of them", conf_place(at, c, is, o),
			    conf_full_name(name, is, before),
			    conf_who_set(c, is, before));
		before = o;
	}
	*only = before;
	return 0;
}

/* One key alone, and one before it. */
static int
check_keys(struct conf *c, struct conf_issuer *is, char *err, size_t size)
{
	static const char *const now[] = { "key", "key_file", "jwks", NULL };
	static const char *const then[] = { "key_before", "key_before_file", NULL };
	const struct conf_option *key = NULL, *before = NULL;
	char at[CONF_PLACE_SIZE];

	if (find_only(c, is, now, &key, err, size) == -1 ||
	    find_only(c, is, then, &before, err, size) == -1)
		return -1;
	if (before == NULL || (key != NULL && key != conf_find_issuer_key("jwks")))
		return 0;
	return conf_fail(err, size, "%s: %s", conf_place(at, c, is, before),
	    key == NULL ? "there is no key or key_file that it was before" :
	    "it stands beside key or key_file alone: in a JWKS the old key stays in "
	    "the set");
}

/* Where a section begins, as far as we know: its first key that was set. */
static const char *
place_of_issuer(char out[CONF_PLACE_SIZE], const struct conf *c,
    const struct conf_issuer *is)
{
	const char *where = NULL;
	size_t i;

	for (i = 0; i < conf_table_n && where == NULL; i++)
		where = is->where[i];
	if (where == NULL)
		where = c->file != NULL ? c->file : "default";
	(void)snprintf(out, CONF_PLACE_SIZE, "%s: [auth.%s]", where, is->name);
	return out;
}

/* [auth], or the [auth.NAME] number i - 1. */
static struct conf_issuer *
issuer_at(struct conf *c, size_t i)
{
	return i == 0 ? &c->house : &c->issuers[i - 1];
}

/* No section has an empty list of topics: was "all", or "none" meant? */
static int
check_topics(struct conf *c, char *err, size_t size)
{
	const struct conf_option *o = conf_find_issuer_key("topics");
	char at[CONF_PLACE_SIZE];
	struct conf_issuer *is;
	size_t i;

	for (i = 0; i <= c->n_issuers; i++) {
		is = i == 0 ? NULL : issuer_at(c, i);
		if (issuer_at(c, i)->topics.n == 0 &&
		    strcmp(conf_who_set(c, is, o), "default") != 0)
			return conf_fail(err, size, "%s: names no topic; write "
			    "none for no rule", conf_place(at, c, is, o));
	}
	return 0;
}

/*
 * A {sub} is one issuer's: who is 42 at one may be somebody else at the next, so no two
 * share a rule by default.  Each that has the rule in a list of its own was meant.
 */
static int
check_shared_rules(struct conf *c, char *err, size_t size)
{
	const struct conf_issuer *first = NULL, *is;
	const char *rule = NULL;
	char at[CONF_PLACE_SIZE];
	size_t i;

	for (i = 0; i < c->authenticated_topics.n && rule == NULL; i++)
		if (strchr(c->authenticated_topics.v[i], '{') != NULL)
			rule = c->authenticated_topics.v[i];
	for (i = 0; i <= c->n_issuers && rule != NULL; i++) {
		is = issuer_at(c, i);
		if (!conf_has_key(is) || is->topics.n > 0)
			continue;
		if (first == NULL) {
			first = is;
			continue;
		}
		return conf_fail(err, size, "%s: \"%s\" is for tokens of [auth%s%s] "
		    "and of [auth.%s], so that who has the same claim at both would "
		    "be one reader.  Add a line to [auth.%s]: its own rules, such as "
		    "topics = %s/{sub}/**; or topics = none, if its tokens carry "
		    "grants; or topics = %s, if they are the same people",
		    conf_place(at, c, NULL, conf_find("topics.authenticated")), rule,
		    first->name != NULL ? "." : "",
		    first->name != NULL ? first->name : "", is->name, is->name,
		    is->name, rule);
	}
	return 0;
}

int
conf_check_issuers(struct conf *c, char *err, size_t size)
{
	const struct conf_option *o = conf_find_issuer_key("issuer");
	struct conf_issuer *is, *other;
	char at[CONF_PLACE_SIZE], name[CONF_PLACE_SIZE];
	size_t i, j;

	if (check_keys(c, NULL, err, size) == -1 ||
	    check_topics(c, err, size) == -1)
		return -1;
	for (i = 0; i < c->n_issuers; i++) {
		is = &c->issuers[i];
		if (is->issuer == NULL)
			return conf_fail(err, size, "%s: issuer is missing: the "
			    "claim iss tells whose tokens these are",
			    place_of_issuer(at, c, is));
		if (!conf_has_key(is))
			return conf_fail(err, size, "%s: it has no key: set jwks, "
			    "key or key_file", place_of_issuer(at, c, is));
		if (check_keys(c, is, err, size) == -1)
			return -1;
		for (j = 0; j <= i; j++) {
			other = j == 0 ? &c->house : &c->issuers[j - 1];
			if (other->issuer == NULL ||
			    strcmp(other->issuer, is->issuer) != 0)
				continue;
			other = j == 0 ? NULL : other;
			return conf_fail(err, size, "%s: is the same as %s (%s); "
			    "each section has an issuer of its own",
			    conf_place(at, c, is, o), conf_full_name(name, other, o),
			    conf_who_set(c, other, o));
		}
	}
	return check_shared_rules(c, err, size);
}

bool
conf_has_publisher(const struct conf *c)
{
	size_t i;

	if (c->api_keys.n > 0 || c->api_keys_file != NULL ||
	    (conf_has_key(&c->house) && c->house.publish))
		return true;
	for (i = 0; i < c->n_issuers; i++)
		if (c->issuers[i].publish)
			return true;
	return false;
}

