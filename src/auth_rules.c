/*
 * auth_rules.c - the rules that let people read: topics.public, and those of each section
 * with {claim} in them; and what becomes of them in a reload.
 */
#include "config.h"

#include "auth_internal.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "topic.h"

static const char *
claim_value(const struct auth_grants *g, const char *name, size_t len)
{
	size_t i;

	if (g == NULL)
		return "x";
	for (i = 0; i < g->n_claims; i++)
		if (strlen(g->claims[i].name) == len &&
		    memcmp(g->claims[i].name, name, len) == 0)
			return g->claims[i].value;
	return NULL;
}

bool
auth_rule_expand(const struct auth_pattern *rule, const struct auth_grants *g,
    char out[TOPIC_MAX_BYTES], size_t *len)
{
	const char *p = rule->p, *end = rule->p + rule->len, *piece;
	size_t n, at = 0;

	/* rule_check() saw to it that braces come in pairs. */
	while (p < end) {
		if (*p == '{') {
			n = strcspn(p + 1, "}");
			if ((piece = claim_value(g, p + 1, n)) == NULL)
				return false;
			p += n + 2;
			n = strlen(piece);
		} else {
			piece = p;
			n = strcspn(p, "{");
			p += n;
		}
		if (n > TOPIC_MAX_BYTES - at)
			return false;
		memcpy(out + at, piece, n);
		at += n;
	}
	*len = at;
	return true;
}

static bool
list_has(const struct auth_patterns *l, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->v[i].len == len && memcmp(l->v[i].p, p, len) == 0)
			return true;
	return false;
}

/* Is this rule sound?  Remembers the claims it names. */
static int
rule_check(struct auth *a, const char *from, const struct auth_pattern *rule, char *err,
    size_t size)
{
	char sample[TOPIC_MAX_BYTES];
	const char *p, *why;
	size_t len;

	for (p = rule->p; (p += strcspn(p, "{}"))[0] != '\0'; p += len + 2) {
		len = strcspn(p + 1, "{}");
		if (p[0] != '{' || len == 0 || p[len + 1] != '}' ||
		    (p > rule->p && p[-1] != '/') ||
		    (p[len + 2] != '/' && p[len + 2] != '\0'))
			return auth_say(err, size, "%s: \"%s\": {claim} must be a "
			    "whole segment, as in user/{sub}/**", from, rule->p);
		if (!list_has(&a->claim_names, p + 1, len) &&
		    auth_patterns_add(&a->claim_names, p + 1, len) == -1)
			return auth_say(err, size, "%s: out of memory", from);
	}
	why = "is too long";
	if (!auth_rule_expand(rule, NULL, sample, &len) ||
	    topic_classify(sample, len, &why) == TOPIC_INVALID)
		return auth_say(err, size, "%s: the topic \"%s\" %s", from,
		    rule->p, why);
	return 0;
}

static int
public_check(const struct auth_pattern *rule, char *err, size_t size)
{
	const char *p, *end, *why;

	if (topic_classify(rule->p, rule->len, &why) == TOPIC_INVALID)
		return auth_say(err, size, "topics.public: the topic \"%s\" %s",
		    rule->p, why);
	/* It would be legal, and stand for the braces themselves. */
	for (p = rule->p; p != NULL; p = end == NULL ? NULL : end + 1) {
		end = strchr(p, '/');
		if (p[0] == '{' && (end != NULL ? end[-1] :
		    p[strlen(p) - 1]) == '}')
			return auth_say(err, size, "topics.public: \"%s\" names a "
			    "claim, but readers without a token have none: it "
			    "belongs into topics.authenticated", rule->p);
	}
	return 0;
}

static int
load_rule_list(struct auth *a, const char *from, struct auth_patterns *out,
    const char *const *list, char *err, size_t size)
{
	const char *const *s;

	for (s = list; s != NULL && *s != NULL; s++)
		if (auth_patterns_add(out, *s, strlen(*s)) == -1)
			return auth_say(err, size, "%s: out of memory", from);
		else if (rule_check(a, from, &out->v[out->n - 1], err, size) == -1)
			return -1;
	return 0;
}

/* Never 0. */
static uint64_t
new_id(void)
{
	return 1 + clock_random(UINT64_MAX);
}

int
auth_load_rules(struct auth *a, const struct auth_conf *c, char *err, size_t size)
{
	const char *const *s;
	char from[64];
	size_t i;

	a->public_id = new_id();
	for (s = c->public_topics; s != NULL && *s != NULL; s++)
		if (auth_patterns_add(&a->public, *s, strlen(*s)) == -1)
			return auth_say(err, size, "topics.public: out of memory");
		else if (public_check(&a->public.v[a->public.n - 1], err, size) ==
		    -1)
			return -1;
	for (i = 0; i < a->n_issuers; i++) {
		s = i == 0 ? c->house.topics : c->issuers[i - 1].topics;
		a->issuers[i].has_rules = s != NULL;
		a->issuers[i].rules_id = new_id();
		(void)snprintf(from, sizeof from, "%s.topics",
		    a->issuers[i].section);
		if (load_rule_list(a, from, &a->issuers[i].rules, s, err, size) ==
		    -1)
			return -1;
	}
	return load_rule_list(a, "topics.authenticated", &a->rules,
	    c->authenticated_topics, err, size);
}

const struct auth_patterns *
auth_rules_of(const struct auth *a, const struct auth_issuer *is)
{
	return is->has_rules ? &is->rules : &a->rules;
}

const struct auth_issuer *
auth_find_section(const struct auth *a, const char *section)
{
	size_t i;

	for (i = 0; i < a->n_issuers; i++)
		if (strcmp(a->issuers[i].section, section) == 0)
			return &a->issuers[i];
	return NULL;
}

/* Ids */

/* Does `now` open all that `old` did?  {claim} is a segment like any other here: it is
 * covered by itself and by `*`. */
static bool
opens_all(const struct auth_patterns *now, const struct auth_patterns *old)
{
	size_t i;

	for (i = 0; i < old->n; i++)
		if (!auth_patterns_cover(now, old->v[i].p, old->v[i].len))
			return false;
	return true;
}

bool
auth_inherit_rules(struct auth *a, const struct auth *old)
{
	bool all = opens_all(&a->public, &old->public);
	const struct auth_issuer *was;
	struct auth_issuer *is;
	size_t i;

	if (all)
		a->public_id = old->public_id;
	for (i = 0; i < a->n_issuers; i++) {
		is = &a->issuers[i];
		if ((was = auth_find_section(old, is->section)) == NULL)
			continue;
		if (opens_all(auth_rules_of(a, is), auth_rules_of(old, was)))
			is->rules_id = was->rules_id;
		else
			all = false;
	}
	return all;
}

size_t
auth_rule_ids(const struct auth *a, uint64_t *out, size_t max)
{
	size_t i;

	if (max > 0)
		out[0] = a->public_id;
	for (i = 0; i < a->n_issuers; i++)
		if (1 + i < max)
			out[1 + i] = a->issuers[i].rules_id;
	return 1 + a->n_issuers;
}

bool
auth_has_rules(const struct auth *a, uint64_t rules_id)
{
	size_t i;

	for (i = 0; i < a->n_issuers; i++)
		if (a->issuers[i].rules_id == rules_id)
			return true;
	return a->public_id == rules_id;
}

void
auth_grounds(const struct auth *a, const struct auth_identity *id,
    const struct topics *t, uint64_t out[AUTH_GROUNDS])
{
	const struct auth_grants *g = id != NULL ? id->grants : NULL;
	const struct auth_issuer *is;
	size_t i;

	memset(out, 0, AUTH_GROUNDS * sizeof out[0]);
	if (g != NULL)
		out[0] = g->key_id;
	for (i = 0; i < t->n; i++) {
		if (g != NULL && auth_patterns_cover(&g->subscribe, t->v[i].p, t->v[i].len))
			continue;
		if (auth_is_public(a, t->v[i].p, t->v[i].len))
			out[1] = a->public_id;
		else if (g != NULL && g->issuer != NULL &&
		    (is = auth_find_section(a, g->issuer)) != NULL)
			out[2] = is->rules_id;
	}
}
