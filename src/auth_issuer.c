/*
 * auth_issuer.c - who signs tokens, with which keys, and who judges which token.
 *
 * A token is judged by the section whose `issuer` is its claim iss, else by [auth], the
 * house.  The claim is read before anything vouches for it, and that is safe because it
 * only chooses who is to judge: whoever that is asks for a signature of its own keys.
 * In the same way `kid` chooses among the keys of a JWKS.
 *
 * The keys of a JWKS that has a URL change while the server runs: they hang on a struct
 * auth_source, which the owner of the struct auth alone touches.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth_internal.h"
#include "clock.h"
#include "log.h"

/* Keys */

struct auth_keys *
auth_keys_new(void)
{
	struct auth_keys *keys;

	if ((keys = calloc(1, sizeof *keys)) != NULL)
		keys->refs = 1;
	return keys;
}

struct auth_keys *
auth_keys_ref(struct auth_keys *keys)
{
	if (keys != NULL)
		keys->refs++;
	return keys;
}

void
auth_keys_unref(struct auth_keys *keys)
{
	size_t i;

	if (keys == NULL || --keys->refs > 0)
		return;
	for (i = 0; i < keys->n; i++)
		auth_key_fini(&keys->v[i]);
	free(keys->v);
	free(keys);
}

/* A token for the old issuer or audience is no longer good, so it counts as another
 * key.  And a stream is revoked by its section's name, so it must not outlive that. */
uint64_t
auth_key_id(const struct auth_issuer *is, const struct auth_key *k)
{
	const char *iss = is->issuer != NULL ? is->issuer : "";
	const char *aud = is->audience != NULL ? is->audience : "";
	struct auth_bytes parts[] = {
		{ "token key", 9 }, { k->p, k->len }, { iss, strlen(iss) },
		{ aud, strlen(aud) }, { is->section, strlen(is->section) },
	};
	uint64_t id;

	return auth_hash_parts(&id, parts, 5) == -1 ? 0 : id;
}

const char *
auth_key_from(const struct auth_issuer *is, const struct auth_key *k)
{
	return k->is_before ? is->before : is->from;
}

bool
auth_is_fast(const struct auth_issuer *is)
{
	const struct auth_keys *keys = is->source->keys;
	size_t i;

	for (i = 0; !is->is_jwks && i < keys->n; i++)
		if (!keys->v[i].is_secret)
			return false;
	return !is->is_jwks;
}

/* Sources */

static struct auth_source *
source_new(const char *url)
{
	struct auth_source *so;

	if ((so = calloc(1, sizeof *so)) == NULL)
		return NULL;
	so->refs = 1;
	if (url != NULL && (so->url = strdup(url)) == NULL) {
		free(so);
		return NULL;
	}
	return so;
}

static void
source_unref(struct auth_source *so)
{
	if (so == NULL || --so->refs > 0)
		return;
	auth_keys_unref(so->keys);
	free(so->url);
	free(so);
}

static struct auth_source *
find_source(const struct auth *a, const char *url)
{
	struct auth_source *so;
	size_t i;

	for (i = 0; i < a->n_issuers; i++)
		if ((so = a->issuers[i].source) != NULL && so->url != NULL &&
		    strcmp(so->url, url) == 0)
			return so;
	return NULL;
}

bool
auth_inherit(struct auth *a, const struct auth *old)
{
	struct auth_source *so, *theirs;
	size_t i;

	for (i = 0; i < a->n_issuers; i++) {
		so = a->issuers[i].source;
		if (so == NULL || so->url == NULL ||
		    (theirs = find_source(old, so->url)) == NULL)
			continue;
		theirs->refs++;
		a->issuers[i].source = theirs;
		source_unref(so);
	}
	return auth_inherit_rules(a, old);
}

/* Loading */

static int
copy_option(char **out, const char *value, char *err, size_t size)
{
	if (value == NULL || value[0] == '\0')
		return 0;
	if ((*out = strdup(value)) == NULL)
		return auth_say(err, size, "auth: out of memory");
	return 0;
}

static int64_t
clamp_span(int64_t ms)
{
	if (ms < 0)
		return 0;
	return ms > AUTH_TIME_MAX_MS ? AUTH_TIME_MAX_MS : ms;
}

static bool
is_set(const char *value)
{
	return value != NULL && value[0] != '\0';
}

static int
check_grants_claim(const struct auth_issuer *is, char *err, size_t size)
{
	static const char *const taken[] = {
		"iss", "aud", "sub", "exp", "nbf", "iat", "jti",
	};
	/* Supabase and Auth0; Clerk. */
	static const char *const own[] = { "user_metadata", "unsafe_metadata" };
	const char *claim = is->grants_claim;
	size_t i;

	for (i = 0; i < sizeof taken / sizeof taken[0]; i++)
		if (strcmp(claim, taken[i]) == 0)
			return auth_say(err, size, "%s.grants_claim: claim %s "
			    "has another meaning: choose another name",
			    is->section, claim);
	for (i = 0; i < sizeof own / sizeof own[0]; i++)
		if (strncmp(claim, own[i], strlen(own[i])) == 0 &&
		    (claim[strlen(own[i])] == '\0' || claim[strlen(own[i])] == '.'))
			return auth_say(err, size, "%s.grants_claim: %s is what "
			    "users write about themselves, and would let them grant "
			    "themselves everything: choose one that only the "
			    "application writes, such as app_metadata.fanfare",
			    is->section, own[i]);
	if (!text_is_utf8(claim, strlen(claim)) ||
	    text_has_control(claim, strlen(claim)))
		return auth_say(err, size, "%s.grants_claim: not UTF-8 text",
		    is->section);
	return 0;
}

/* Where its keys are; those that are fetched come later. */
static int
load_source(struct auth *a, struct auth_issuer *is,
    const struct auth_issuer_conf *c, char *err, size_t size)
{
	const char *const values[] = { c->key, c->key_file, c->jwks };
	static const char *const names[] = { "key", "key_file", "jwks" };
	const char *found = NULL, *url = NULL, *why_not = NULL;
	char why[256];
	size_t i;

	for (i = 0; i < 3; i++) {
		if (!is_set(values[i]))
			continue;
		if (found != NULL)
			return auth_say(err, size, "%s.%s and %s.%s are both set: "
			    "keep one", is->section, found, is->section,
			    names[i]);
		found = names[i];
	}
	if (found == NULL)
		return 0;
	(void)snprintf(is->from, sizeof is->from, "%s.%s", is->section, found);
	if (is_set(c->key_before) || is_set(c->key_before_file))
		(void)snprintf(is->before, sizeof is->before, "%s.key_before%s",
		    is->section, is_set(c->key_before) ? "" : "_file");
	is->is_jwks = is_set(c->jwks);
	if (is->is_jwks && auth_is_url(c->jwks)) {
		url = c->jwks;
		if (!auth_url_is_good(url, why, sizeof why))
			why_not = why;
	}
	if (why_not != NULL)
		return auth_say(err, size, "%s: %s", is->from, why_not);
	if (url != NULL && (is->source = find_source(a, url)) != NULL) {
		is->source->refs++;
		return 0;
	}
	if ((is->source = source_new(url)) == NULL)
		return auth_say(err, size, "auth: out of memory");
	if (url != NULL)
		log_info("auth: %s: keys are fetched from %s", is->from, url);
	if (url == NULL &&
	    (is->source->keys = auth_load_keys(is, c, err, size)) == NULL)
		return -1;
	return 0;
}

static int
load_issuer(struct auth *a, struct auth_issuer *is,
    const struct auth_issuer_conf *c, char *err, size_t size)
{
	if ((c->name == NULL ? (is->section = strdup("auth")) == NULL :
	    asprintf(&is->section, "auth.%s", c->name) == -1)) {
		is->section = NULL;
		return auth_say(err, size, "auth: out of memory");
	}
	if (copy_option(&is->grants_claim, is_set(c->grants_claim) ?
	    c->grants_claim : "fanfare", err, size) == -1 ||
	    check_grants_claim(is, err, size) == -1 ||
	    copy_option(&is->issuer, c->issuer, err, size) == -1 ||
	    copy_option(&is->audience, c->audience, err, size) == -1 ||
	    load_source(a, is, c, err, size) == -1)
		return -1;
	is->leeway_ms = clamp_span(c->leeway_ms);
	is->grace_ms = clamp_span(c->grace_ms);
	is->max_life_ms = clamp_span(c->max_life_ms);
	is->reads_only = c->reads_only;
	return 0;
}

static void
issuer_fini(struct auth_issuer *is)
{
	source_unref(is->source);
	free(is->section);
	free(is->issuer);
	free(is->audience);
	free(is->grants_claim);
	auth_patterns_fini(&is->rules);
}

void
auth_issuers_fini(struct auth *a)
{
	size_t i;

	for (i = 0; i < a->n_issuers; i++)
		issuer_fini(&a->issuers[i]);
	free(a->issuers);
	a->issuers = NULL;
	a->n_issuers = 0;
}

int
auth_load_issuers(struct auth *a, const struct auth_conf *c, char *err, size_t size)
{
	struct auth_issuer *is;
	size_t i, j;

	if ((a->issuers = calloc(c->n_issuers + 1, sizeof *a->issuers)) == NULL)
		return auth_say(err, size, "auth: out of memory");
	for (i = 0; i <= c->n_issuers; i++) {
		is = &a->issuers[a->n_issuers++];
		if (load_issuer(a, is, i == 0 ? &c->house : &c->issuers[i - 1],
		    err, size) == -1)
			return -1;
		if (i > 0 && (is->issuer == NULL || is->source == NULL))
			return auth_say(err, size, "%s: it needs an issuer and a "
			    "key", is->section);
		for (j = 0; i > 0 && j < i; j++)
			if (a->issuers[j].issuer != NULL &&
			    strcmp(a->issuers[j].issuer, is->issuer) == 0)
				return auth_say(err, size, "%s.issuer is that of "
				    "%s too", is->section,
				    a->issuers[j].section);
	}
	if (c->n_issuers == 0 && a->issuers[0].source == NULL)
		auth_issuers_fini(a);
	return 0;
}

/* Naming */

bool
auth_is_house(const struct auth_issuer *is)
{
	return strcmp(is->section, "auth") == 0;
}

const char *
auth_issuer_name(const struct auth_issuer *is)
{
	const char *name = strchr(is->section, '.');

	/* An [auth.auth] is told from [auth]. */
	return name == NULL || strcmp(name, ".auth") == 0 ? is->section : name + 1;
}

const char *
auth_find_issuer(const struct auth *a, const char *name)
{
	size_t i;

	for (i = 0; i < a->n_issuers; i++)
		if (strcmp(auth_issuer_name(&a->issuers[i]), name) == 0)
			return i == 0 ? "" : a->issuers[i].issuer;
	return NULL;
}

int64_t
auth_longest_life(const struct auth *a)
{
	const struct auth_issuer *is;
	int64_t longest = 0, life;
	size_t i;

	for (i = 0; i < a->n_issuers; i++) {
		is = &a->issuers[i];
		if (is->source == NULL)
			continue;
		if (is->max_life_ms == 0)
			return 0;
		life = is->max_life_ms + is->grace_ms + 2 * is->leeway_ms;
		if (life > longest)
			longest = life;
	}
	return longest;
}

/* Choosing */

const struct auth_issuer *
auth_route(const struct auth *a, struct auth_bytes payload, struct auth_refusal *r)
{
	const struct auth_issuer *house = &a->issuers[0];
	json_t *claims;
	const char *iss;
	size_t i;

	if (a->n_issuers == 1)
		return house;
	if ((claims = auth_token_object(payload, "payload", r)) == NULL)
		return NULL;
	iss = json_string_value(json_object_get(claims, "iss"));
	for (i = 1; i < a->n_issuers && iss != NULL; i++)
		if (strcmp(a->issuers[i].issuer, iss) == 0) {
			json_decref(claims);
			return &a->issuers[i];
		}
	json_decref(claims);
	if (house->source != NULL)
		return house;
	(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim iss is %s, and [auth] "
	    "has no key", iss == NULL ? "missing" : "that of none of the sections "
	    "[auth.NAME] (each letter and slash of issuer counts)");
	return NULL;
}

/* "RS256" and the like among ours? */
static bool
accepts(const struct auth_key *k, const char *alg)
{
	size_t i;

	for (i = 0; i < AUTH_ALGS; i++)
		if ((k->algs & 1u << i) != 0 &&
		    strcmp(auth_alg_name((enum auth_alg)i), alg) == 0)
			return true;
	return false;
}

/* The name of a public key's algorithm? */
static bool
is_ours(const char *alg)
{
	size_t i;

	for (i = AUTH_RS256; i < AUTH_ALGS; i++)
		if (strcmp(auth_alg_name((enum auth_alg)i), alg) == 0)
			return true;
	return false;
}

/* A token without a kid: any key of its algorithm, if they are few. */
static size_t
pick_by_alg(const struct auth_issuer *is, const struct auth_keys *keys,
    const char *alg, const struct auth_key *out[AUTH_TRIES], struct auth_refusal *r)
{
	size_t i, n = 0;

	for (i = 0; i < keys->n; i++) {
		if (!accepts(&keys->v[i], alg))
			continue;
		if (n < AUTH_TRIES)
			out[n] = &keys->v[i];
		n++;
	}
	if (n > AUTH_TRIES) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token's header has "
		    "no kid, and %s has %zu keys that it might mean: %d are "
		    "tried at most", is->from, n, AUTH_TRIES);
		return 0;
	}
	/* None: let one of them say which algorithms there are. */
	if (n == 0)
		out[n++] = &keys->v[0];
	return n;
}

size_t
auth_pick_keys(const struct auth_issuer *is, const struct auth_keys *keys,
    const json_t *header, const struct auth_key *out[AUTH_TRIES],
    struct auth_refusal *r)
{
	const json_t *kid = json_object_get(header, "kid");
	const char *alg = json_string_value(json_object_get(header, "alg"));
	size_t i, n = 0;

	/* Its key is none of ours, whatever kid says. */
	if (alg != NULL && auth_alg_foreign(alg) != NULL) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg in the token's "
		    "header is %s, which is not supported" AUTH_INSTEAD,
		    auth_alg_foreign(alg));
		return 0;
	}
	if (keys == NULL || keys->n == 0) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s could not be "
		    "fetched yet", is->from);
		return 0;
	}
	if (!is->is_jwks) {
		for (; n < keys->n; n++)
			out[n] = &keys->v[n];
		return n;
	}
	if (kid == NULL)
		return pick_by_alg(is, keys, alg != NULL ? alg : "", out, r);
	for (i = 0; i < keys->n && n < AUTH_TRIES; i++)
		if (keys->v[i].kid != NULL && json_is_string(kid) &&
		    strcmp(keys->v[i].kid, json_string_value(kid)) == 0)
			out[n++] = &keys->v[i];
	if (n == 0)
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID, "kid in the token's "
		    "header names none of the %zu keys of %s", keys->n, is->from);
	return n;
}

bool
auth_lacks_key(const struct auth_issuer *is, struct auth_bytes header)
{
	const struct auth_key *may[AUTH_TRIES];
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const char *alg;
	bool lacks;
	json_t *h;

	if (is->source->url == NULL)
		return false;
	if ((h = auth_token_object(header, "header", &r)) == NULL)
		return false;
	/* No key that comes can be for an algorithm that is not ours. */
	alg = json_string_value(json_object_get(h, "alg"));
	lacks = alg != NULL && is_ours(alg) && (is->source->keys == NULL ||
	    (json_is_string(json_object_get(h, "kid")) &&
	    auth_pick_keys(is, is->source->keys, h, may, &r) == 0));
	json_decref(h);
	return lacks;
}

/* What is told of it */

void
auth_render_metrics(const struct auth *a, struct buf *b)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
		{ "jwks_keys", "gauge", "Keys of a JWKS" },
		{ "jwks_age_seconds", "gauge", "Since a JWKS was last fetched" },
		{ "jwks_refreshes_total", "counter", "Times a JWKS was fetched" },
		{ "jwks_failures_total", "counter",
		    "Times a JWKS could not be fetched" },
	};
	const struct auth_source *so;
	int64_t now = clock_mono_ms();
	double value;
	size_t i, j;
	bool first;

	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		first = true;
		for (j = 0; j < a->n_issuers; j++) {
			so = a->issuers[j].source;
			if (so == NULL || so->url == NULL)
				continue;
			if (i == 1 && so->keys == NULL)
				continue;
			value = i == 0 ? (so->keys != NULL ?
			    (double)so->keys->n : 0) :
			    i == 1 ? (double)(now - so->fetched_ms) / 1000 :
			    i == 2 ? (double)so->refreshes :
			    (double)so->failures;
			if (first)
				buf_addf(b, "# HELP fanfare_%s %s\n"
				    "# TYPE fanfare_%s %s\n", rows[i].name,
				    rows[i].help, rows[i].name, rows[i].type);
			first = false;
			buf_addf(b, "fanfare_%s{section=\"%s\"} %.17g\n",
			    rows[i].name, a->issuers[j].section, value);
		}
	}
}
