/*
 * auth.c - what an identity may do, and the cache of tokens that were good.
 *
 * A struct auth is built from the configuration and then immutable but for its
 * cache; grants are shared and immutable, so an identity outlives a reload.  Rules
 * with {claim} are expanded for every question: an expansion is a copy of some tens
 * of bytes, and so an old identity meets the new rules.
 */
#include "config.h"

#include "auth_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "map.h"
#include "text.h"
#include "topic.h"

#define MINUTE_MS	(60 * INT64_C(1000))
#define HOUR_MS		(60 * MINUTE_MS)
#define DAY_MS		(24 * HOUR_MS)

int
auth_say(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return -1;
}

int
auth_refuse(struct auth_refusal *r, enum problem problem, const char *fmt, ...)
{
	va_list ap;

	r->problem = problem;
	va_start(ap, fmt);
	(void)vsnprintf(r->why, r->why_size, fmt, ap);
	va_end(ap);
	return -1;
}

void
auth_format_span(char out[AUTH_SPAN_SIZE], int64_t ms)
{
	static const struct {
		int64_t		 ms;
		const char	*name;
	} units[] = {
		{ DAY_MS, "day" }, { HOUR_MS, "hour" }, { MINUTE_MS, "minute" },
		{ 1000, "second" }, { 1, "millisecond" },
	};
	size_t i;

	/* The largest unit that it has two of; below that "90 minutes" says more
	 * than "1 hour". */
	for (i = 0; i < 4 && ms < 2 * units[i].ms; i++)
		;
	(void)snprintf(out, AUTH_SPAN_SIZE, "%lld %s%s",
	    (long long)(ms / units[i].ms), units[i].name,
	    ms / units[i].ms == 1 ? "" : "s");
}

/* Lists, grants */

int
auth_patterns_add(struct auth_patterns *l, const char *p, size_t len)
{
	struct auth_pattern *v;

	/* Full at every power of two: then double. */
	if ((l->n & (l->n - 1)) == 0) {
		v = reallocarray(l->v, l->n == 0 ? 1 : l->n * 2, sizeof *v);
		if (v == NULL)
			return -1;
		l->v = v;
	}
	if ((l->v[l->n].p = strndup(p, len)) == NULL)
		return -1;
	l->v[l->n++].len = len;
	return 0;
}

void
auth_patterns_fini(struct auth_patterns *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i].p);
	free(l->v);
}

bool
auth_patterns_cover(const struct auth_patterns *l, const char *asked, size_t len)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (topic_covers(l->v[i].p, l->v[i].len, asked, len))
			return true;
	return false;
}

struct auth_grants *
auth_grants_new(void)
{
	struct auth_grants *g;

	if ((g = calloc(1, sizeof *g)) != NULL)
		g->refs = 1;
	return g;
}

struct auth_grants *
auth_grants_ref(struct auth_grants *g)
{
	(void)__atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
	return g;
}

void
auth_grants_unref(struct auth_grants *g)
{
	size_t i;

	if (g == NULL || __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	free(g->issuer);
	free(g->sub);
	free(g->jti);
	free(g->iss);
	auth_patterns_fini(&g->publish);
	auth_patterns_fini(&g->subscribe);
	for (i = 0; i < g->n_claims; i++) {
		free(g->claims[i].name);
		free(g->claims[i].value);
	}
	free(g->claims);
	free(g);
}

/* Building */

struct auth *
auth_new(const struct auth_conf *c, char *err, size_t err_size)
{
	struct auth *a;

	if ((a = calloc(1, sizeof *a)) == NULL) {
		(void)auth_say(err, err_size, "auth: out of memory");
		return NULL;
	}
	a->refs = 1;
	TAILQ_INIT(&a->cache.list);
	if ((a->cache.map = map_new()) == NULL ||
	    (a->jobs = map_new()) == NULL) {
		(void)auth_say(err, err_size, "auth: out of memory");
		goto fail;
	}
	if (auth_load_api_keys(a, c, err, err_size) == -1 ||
	    auth_load_issuers(a, c, err, err_size) == -1 ||
	    auth_load_rules(a, c, err, err_size) == -1)
		goto fail;
	if (a->n_api_keys == 0 && a->n_issuers == 0 && !c->allow_none) {
		(void)auth_say(err, err_size, "no key at all, so nobody could "
		    "publish: set auth.api_keys to NAME:SECRET with a secret that "
		    "`fanfare key` prints, or auth.key for tokens");
		goto fail;
	}
	return a;

fail:
	auth_free(a);
	return NULL;
}

static void
cache_drop(struct auth_cache *c, struct auth_cached *e)
{
	(void)map_del(c->map, e->hash, sizeof e->hash);
	TAILQ_REMOVE(&c->list, e, link);
	auth_grants_unref(e->grants);
	free(e);
}

void
auth_free(struct auth *a)
{
	struct auth_cached *e;

	if (a == NULL || --a->refs > 0)
		return;
	while ((e = TAILQ_FIRST(&a->cache.list)) != NULL)
		cache_drop(&a->cache, e);
	if (a->cache.map != NULL)
		map_free(a->cache.map);
	if (a->jobs != NULL)
		map_free(a->jobs);
	auth_api_keys_fini(a);
	auth_issuers_fini(a);
	auth_patterns_fini(&a->public);
	auth_patterns_fini(&a->rules);
	auth_patterns_fini(&a->claim_names);
	free(a);
}

size_t
auth_cache_count(const struct auth *a)
{
	return map_count(a->cache.map);
}

bool
auth_is_cached(const struct auth *a, const unsigned char hash[AUTH_HASH_SIZE])
{
	return map_get(a->cache.map, hash, AUTH_HASH_SIZE) != NULL;
}

size_t
auth_key_ids(const struct auth *a, uint64_t *out, size_t max)
{
	const struct auth_keys *keys;
	size_t i, j, n = 0;

	for (i = 0; i < a->n_api_keys; i++, n++)
		if (n < max)
			out[n] = a->api_keys[i].grants->key_id;
	for (i = 0; i < a->n_issuers; i++) {
		if (a->issuers[i].source == NULL ||
		    (keys = a->issuers[i].source->keys) == NULL)
			continue;
		for (j = 0; j < keys->n; j++, n++)
			if (n < max)
				out[n] = auth_key_id(&a->issuers[i],
				    &keys->v[j]);
	}
	return n;
}

bool
auth_has_key(const struct auth *a, uint64_t key_id)
{
	const struct auth_keys *keys;
	size_t i, j;

	for (i = 0; i < a->n_api_keys; i++)
		if (a->api_keys[i].grants->key_id == key_id)
			return true;
	for (i = 0; i < a->n_issuers; i++) {
		if (a->issuers[i].source == NULL ||
		    (keys = a->issuers[i].source->keys) == NULL)
			continue;
		for (j = 0; j < keys->n; j++)
			if (auth_key_id(&a->issuers[i], &keys->v[j]) == key_id)
				return true;
	}
	return false;
}

int
auth_cache_keep(struct auth *a)
{
	size_t i, n = auth_key_ids(a, NULL, 0);
	uint64_t *ids = calloc(n > 0 ? n : 1, sizeof *ids);
	struct auth_cached *e, *next;

	if (ids == NULL)
		return -1;
	(void)auth_key_ids(a, ids, n);
	for (e = TAILQ_FIRST(&a->cache.list); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		for (i = 0; i < n && ids[i] != e->grants->key_id; i++)
			;
		if (i == n)
			cache_drop(&a->cache, e);
	}
	free(ids);
	return 0;
}

/* Verifying */

const struct auth_api_key *
auth_find_api_key(const struct auth *a, const char *secret, size_t len)
{
	const struct auth_api_key *found = NULL;
	size_t i;

	/* All of them, always: how long it takes tells nothing. */
	for (i = 0; i < a->n_api_keys; i++)
		if (text_equal_secret(a->api_keys[i].secret,
		    a->api_keys[i].secret_len, secret, len))
			found = &a->api_keys[i];
	return found;
}

int
auth_judge_time(const struct auth_issuer *is, const struct auth_grants *g,
    enum auth_use use, int64_t now_ms, struct auth_refusal *r)
{
	char span[AUTH_SPAN_SIZE];
	int64_t end_ms = g->exp_ms + is->leeway_ms;

	if (g->nbf_ms != 0 && now_ms < g->nbf_ms - is->leeway_ms) {
		auth_format_span(span, g->nbf_ms - now_ms);
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token is not "
		    "valid yet: claim nbf is %s ahead (are both clocks right?)",
		    span);
	}
	/* Or a token from tomorrow would outlive every revocation until then. */
	if (g->iat_ms > now_ms + is->leeway_ms) {
		auth_format_span(span, g->iat_ms - now_ms);
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token was issued "
		    "in the future: claim iat is %s ahead (are both clocks right?)",
		    span);
	}
	if (use == AUTH_SUBSCRIBE)
		end_ms += is->grace_ms;
	if (now_ms >= end_ms) {
		auth_format_span(span, now_ms - g->exp_ms);
		if (use == AUTH_PUBLISH && is->grace_ms > 0)
			return auth_refuse(r, PROBLEM_TOKEN_EXPIRED, "the token "
			    "expired %s ago (claim exp); %s.grace is not for "
			    "publishing", span, is->section);
		return auth_refuse(r, PROBLEM_TOKEN_EXPIRED,
		    "the token expired %s ago (claim exp)", span);
	}
	return 0;
}

void
auth_cache_put(struct auth_cache *c, const unsigned char hash[AUTH_HASH_SIZE],
    const struct auth_issuer *is, struct auth_grants *g)
{
	struct auth_cached *e;

	if (map_count(c->map) >= AUTH_CACHE_MAX)
		cache_drop(c, TAILQ_LAST(&c->list, auth_cached_list));
	if ((e = calloc(1, sizeof *e)) == NULL)
		return;		/* then it is checked again next time */
	memcpy(e->hash, hash, sizeof e->hash);
	if (map_put(c->map, e->hash, sizeof e->hash, e) == -1) {
		free(e);
		return;
	}
	e->issuer = is;
	e->grants = auth_grants_ref(g);
	TAILQ_INSERT_HEAD(&c->list, e, link);
}

/* The grants of a token that is good now, one reference for the caller. */
static struct auth_grants *
verify_token(struct auth *a, const char *p, size_t len, enum auth_use use,
    int64_t now_ms, const struct auth_issuer **issuer, struct auth_refusal *r)
{
	unsigned char hash[AUTH_HASH_SIZE];
	struct auth_cache *c = &a->cache;
	struct auth_cached *e;
	struct auth_grants *g;
	struct auth_token t;
	bool over;

	if (a->n_issuers == 0) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "this is no API key, "
		    "and no key for tokens is configured (auth.key)");
		return NULL;
	}
	if (len > AUTH_TOKEN_MAX || auth_hash(hash, p, len) == -1) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token is longer "
		    "than %d bytes", AUTH_TOKEN_MAX);
		return NULL;
	}
	if ((e = map_get(c->map, hash, sizeof hash)) != NULL) {
		c->hits++;
		*issuer = e->issuer;
		if (auth_judge_time(e->issuer, e->grants, use, now_ms, r) == 0) {
			TAILQ_REMOVE(&c->list, e, link);
			TAILQ_INSERT_HEAD(&c->list, e, link);
			return auth_grants_ref(e->grants);
		}
		over = now_ms >= e->grants->exp_ms + e->issuer->grace_ms +
		    e->issuer->leeway_ms;
		if (over)
			cache_drop(c, e);
		return NULL;
	}
	c->misses++;
	if (auth_token_split(p, len, &t, r) == -1 ||
	    (*issuer = auth_route(a, t.part[1], r)) == NULL ||
	    (g = auth_token_read(*issuer, (*issuer)->source->keys,
	    &a->claim_names, p, len, r)) == NULL)
		return NULL;
	if (auth_judge_time(*issuer, g, use, now_ms, r) == -1) {
		auth_grants_unref(g);
		return NULL;
	}
	auth_cache_put(c, hash, *issuer, g);
	return g;
}

bool
auth_is_api_key(struct auth_credential cred)
{
	return cred.len >= 4 && memcmp(cred.text, AUTH_SECRET_PREFIX, 4) == 0;
}

int
auth_identify(struct auth_identity *id, struct auth_grants *g,
    const struct auth_issuer *is, enum auth_use use, struct auth_refusal *r)
{
	if (!g->is_api_key) {
		assert(is != NULL);
		if (g->sub != NULL && (id->sub = strdup(g->sub)) == NULL) {
			auth_grants_unref(g);
			return auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
		}
		id->exp_ms = g->exp_ms;
		id->expires_ms = g->exp_ms + is->grace_ms;
		id->iat_ms = g->iat_ms;
		id->jti = g->jti;
		id->iss = auth_is_house(is) ? "" : g->iss;
		(void)snprintf(id->issuer, sizeof id->issuer, "%s",
		    auth_issuer_name(is));
	}
	id->key_id = g->key_id;
	id->is_api_key = g->is_api_key;
	id->use = use;
	id->principal = g->principal;
	id->rate = g->rate;
	id->grants = g;
	return 0;
}

int
auth_verify(struct auth *a, struct auth_credential cred, enum auth_use use,
    int64_t now_ms, struct auth_identity *id, enum problem *problem, char *why,
    size_t why_size)
{
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, why_size };
	const struct auth_issuer *is = NULL;
	const struct auth_api_key *k;
	struct auth_grants *g;

	memset(id, 0, sizeof *id);
	if (cred.text == NULL || cred.len == 0) {
		(void)auth_refuse(&r, PROBLEM_TOKEN_MISSING, "there is no "
		    "credential");
		goto refused;
	}
	if (auth_is_api_key(cred)) {
		k = auth_find_api_key(a, cred.text, cred.len);
		if (k == NULL) {
			(void)auth_refuse(&r, PROBLEM_TOKEN_INVALID, "the API key "
			    "is none of those in auth.api_keys");
			goto refused;
		}
		g = auth_grants_ref(k->grants);
	} else {
		g = verify_token(a, cred.text, cred.len, use, now_ms, &is, &r);
		if (g == NULL)
			goto refused;
	}
	if (auth_identify(id, g, is, use, &r) == 0)
		return 0;

refused:
	*problem = r.problem;
	return -1;
}

void
auth_identity_fini(struct auth_identity *id)
{
	auth_grants_unref(id->grants);
	free(id->sub);
	memset(id, 0, sizeof *id);
}

/* Questions */

bool
auth_reaches_all(const struct auth_identity *id)
{
	return id->is_api_key && auth_patterns_cover(&id->grants->publish, "**", 2) &&
	    auth_patterns_cover(&id->grants->subscribe, "**", 2);
}

bool
auth_may_publish(const struct auth *a, const struct auth_identity *id,
    const char *topic, size_t len)
{
	const struct auth_patterns *l;
	size_t i;

	(void)a;
	/* A token read within its grace must never publish, whoever asks. */
	if (id == NULL || id->grants == NULL || id->use != AUTH_PUBLISH ||
	    topic_classify(topic, len, NULL) != TOPIC_PLAIN)
		return false;
	l = &id->grants->publish;
	for (i = 0; i < l->n; i++)
		if (topic_match(l->v[i].p, l->v[i].len, topic, len))
			return true;
	return false;
}

bool
auth_is_public(const struct auth *a, const char *topic, size_t len)
{
	return topic_classify(topic, len, NULL) != TOPIC_INVALID &&
	    auth_patterns_cover(&a->public, topic, len);
}

/* The rules of its section: for those with a token that says who they are. */
static bool
rules_cover(const struct auth *a, const struct auth_grants *g, const char *asked,
    size_t len)
{
	const struct auth_issuer *is;
	const struct auth_patterns *rules;
	char pattern[TOPIC_MAX_BYTES];
	size_t i, n;

	if (g->is_api_key || g->sub == NULL || g->issuer == NULL ||
	    (is = auth_find_section(a, g->issuer)) == NULL)
		return false;
	rules = auth_rules_of(a, is);
	for (i = 0; i < rules->n; i++)
		if (auth_rule_expand(&rules->v[i], g, pattern, &n) &&
		    topic_covers(pattern, n, asked, len))
			return true;
	return false;
}

bool
auth_may_subscribe(const struct auth *a, const struct auth_identity *id,
    const char *topic, size_t len)
{
	if (topic_classify(topic, len, NULL) == TOPIC_INVALID)
		return false;
	if (auth_patterns_cover(&a->public, topic, len))
		return true;
	if (id == NULL || id->grants == NULL)
		return false;
	return auth_patterns_cover(&id->grants->subscribe, topic, len) ||
	    rules_cover(a, id->grants, topic, len);
}
