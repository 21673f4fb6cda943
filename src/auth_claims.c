/*
 * auth_claims.c - what is asked of each claim, and what is kept of it.
 *
 * One table, auth_checks, is read by who judges a token and by who explains one.  Times
 * are judged elsewhere, again on each use (auth_judge_time).  Pure.
 */
#include "config.h"

#include "auth_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "log.h"
#include "text.h"
#include "topic.h"

/* A time in milliseconds since 1970, of this century and the next. */
#define MILLISECONDS_MIN	946684800000.0
#define MILLISECONDS_MAX	7258118400000.0

/* Seconds since 1970 as claims have them, to milliseconds from 1 to year 9999. */
static int
claim_time(const json_t *v, int64_t *ms)
{
	double d;

	if (json_is_integer(v))
		d = (double)json_integer_value(v);
	else if (json_is_real(v))
		d = json_real_value(v);
	else
		return -1;
	if (!isfinite(d))
		return -1;
	if (d >= (double)(AUTH_TIME_MAX_MS / 1000))
		*ms = AUTH_TIME_MAX_MS;
	else if (d <= 0.001)
		*ms = 1;
	else
		*ms = (int64_t)(d * 1000);
	return 0;
}

/* A claim that is a string, if it is there; kept when it is not empty. */
static int
keep_string(const char *name, const json_t *v, char **out, struct auth_refusal *r)
{
	if (v == NULL)
		return 0;
	if (!json_is_string(v))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim %s is not a string",
		    name);
	if (json_string_length(v) == 0)
		return 0;
	if ((*out = strdup(json_string_value(v))) == NULL)
		return auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
	return 0;
}

static int
check_iss(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	if (keep_string("iss", v, &g->iss, r) == -1)
		return -1;
	if (is->issuer != NULL && v == NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim iss is missing, but %s.issuer is set", is->section);
	if (is->issuer != NULL && strcmp(is->issuer, json_string_value(v)) != 0)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim iss differs from %s.issuer", is->section);
	return 0;
}

static int
check_aud(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	bool found = false;
	const json_t *e;
	size_t i;

	(void)g;
	if (v != NULL && !json_is_string(v) && !json_is_array(v))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim aud is neither a string nor a list of strings");
	json_array_foreach(v, i, e) {
		if (!json_is_string(e))
			return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim aud "
			    "is neither a string nor a list of strings");
		if (is->audience != NULL &&
		    strcmp(is->audience, json_string_value(e)) == 0)
			found = true;
	}
	if (is->audience == NULL)
		return 0;
	if (v == NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim aud is missing, but %s.audience is set", is->section);
	if (json_is_string(v))
		found = strcmp(is->audience, json_string_value(v)) == 0;
	if (!found)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim aud does not name %s.audience", is->section);
	return 0;
}

static int
check_sub(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	(void)is;
	return keep_string("sub", v, &g->sub, r);
}

static int
check_exp(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	(void)is;
	if (v == NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim exp is "
		    "missing: every token must say when it ends");
	if (claim_time(v, &g->exp_ms) == -1)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim exp is not a number of seconds since 1970");
	/* It would be good for fifty thousand years. */
	if (json_number_value(v) >= MILLISECONDS_MIN &&
	    json_number_value(v) < MILLISECONDS_MAX)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim exp is beyond the "
		    "year 9999: it counts seconds, and this was written in "
		    "milliseconds");
	return 0;
}

static int
check_nbf(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	(void)is;
	if (v != NULL && claim_time(v, &g->nbf_ms) == -1)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim nbf is not a number");
	return 0;
}

static int
check_iat(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	char span[AUTH_SPAN_SIZE];

	if (v != NULL && claim_time(v, &g->iat_ms) == -1)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "claim iat is not a number");
	if (is->max_life_ms == 0)
		return 0;
	if (v == NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim iat is missing, "
		    "but %s.max_life is set", is->section);
	if (g->exp_ms - g->iat_ms <= is->max_life_ms)
		return 0;
	auth_format_span(span, g->exp_ms - g->iat_ms);
	return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token lives %s, from claim "
	    "iat to exp, which is more than %s.max_life", span, is->section);
}

static int
check_jti(const struct auth_issuer *is, const json_t *v, struct auth_grants *g,
    struct auth_refusal *r)
{
	(void)is;
	return keep_string("jti", v, &g->jti, r);
}

static int
read_patterns(const struct auth_issuer *is, const json_t *grants,
    const char *name, struct auth_patterns *out, struct auth_refusal *r)
{
	const json_t *list, *e;
	const char *why;
	size_t i;

	if ((list = json_object_get(grants, name)) == NULL)
		return 0;
	if (!json_is_array(list))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s in claim %s is "
		    "not a list of topics: write \"%s\": [\"scores/**\"]", name,
		    is->grants_claim, name);
	json_array_foreach(list, i, e) {
		if (!json_is_string(e))
			return auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s in claim "
			    "%s holds something that is not a string", name,
			    is->grants_claim);
		if (topic_classify(json_string_value(e), json_string_length(e),
		    &why) == TOPIC_INVALID) {
			log_debug("auth: a %s pattern in a token grants nothing: "
			    "it %s", name, why);
			continue;
		}
		if (auth_patterns_add(out, json_string_value(e),
		    json_string_length(e)) == -1)
			return auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
	}
	return 0;
}

/* How fast it may publish, where the grants say so. */
static int
read_rate(const struct auth_issuer *is, const json_t *grants, double *rate,
    struct auth_refusal *r)
{
	const json_t *v = json_object_get(grants, "rate");

	if (v == NULL)
		return 0;
	*rate = json_number_value(v);	/* 0 when it is none */
	if (!(*rate > 0 && isfinite(*rate)))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "rate in claim %s is not "
		    "a number of events a second, more than 0", is->grants_claim);
	return 0;
}

static int
check_grants(const struct auth_issuer *is, const json_t *v,
    struct auth_grants *g, struct auth_refusal *r)
{
	if (v == NULL)
		return 0;
	if (!json_is_object(v))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "claim %s is not an "
		    "object {\"publish\":[...],\"subscribe\":[...]}",
		    is->grants_claim);
	if (read_rate(is, v, &g->rate, r) == -1 ||
	    read_patterns(is, v, "publish", &g->publish, r) == -1)
		return -1;
	if (is->reads_only) {
		auth_patterns_fini(&g->publish);
		g->publish = (struct auth_patterns){ NULL, 0 };
	}
	return read_patterns(is, v, "subscribe", &g->subscribe, r);
}

const struct auth_check auth_checks[] = {
	{ "iss", check_iss },
	{ "aud", check_aud },
	{ "sub", check_sub },
	{ "exp", check_exp },
	{ "nbf", check_nbf },
	{ "iat", check_iat },
	{ "jti", check_jti },
	{ NULL, check_grants },
};
const size_t auth_n_checks = sizeof auth_checks / sizeof auth_checks[0];

const char *
auth_check_name(const struct auth_issuer *is, const struct auth_check *c)
{
	return c->name != NULL ? c->name : is->grants_claim;
}

/*
 * grants_claim as a path, app_metadata.fanfare: the member that the parts between its
 * dots lead to.  An address has dots in it and is never a path.
 */
static const json_t *
follow_path(const json_t *claims, const char *path)
{
	const json_t *at = claims;
	size_t len;

	if (strchr(path, '.') == NULL || strstr(path, "://") != NULL)
		return NULL;
	for (;; path += len + 1) {
		if ((len = strcspn(path, ".")) == 0)
			return NULL;
		at = json_object_getn(at, path, len);
		if (at == NULL || path[len] == '\0')
			return at;
	}
}

size_t
auth_grants_holder(const struct auth_issuer *is, const json_t *claims)
{
	return json_object_get(claims, is->grants_claim) == NULL &&
	    follow_path(claims, is->grants_claim) != NULL ?
	    strcspn(is->grants_claim, ".") : 0;
}

int
auth_check_claim(const struct auth_issuer *is, const struct auth_check *c,
    const json_t *claims, struct auth_grants *g, const json_t **v,
    struct auth_refusal *r)
{
	const json_t *deep = NULL;

	*v = json_object_get(claims, auth_check_name(is, c));
	if (c->name == NULL)
		deep = follow_path(claims, is->grants_claim);
	/* Whoever can add one of them must not outvote the other. */
	if (*v != NULL && deep != NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s.grants_claim is "
		    "%s, and the token has both a claim of that name and one at that "
		    "path", is->section, is->grants_claim);
	if (*v == NULL)
		*v = deep;
	return c->check(is, *v, g, r);
}

/* Can this stand as one segment, meaning itself? */
static bool
is_segment(const char *p, size_t len)
{
	return len > 0 && len <= TOPIC_MAX_BYTES && strcmp(p, "*") != 0 &&
	    strcmp(p, "**") != 0 && strchr(p, '/') == NULL &&
	    !text_has_control(p, len);
}

int
auth_token_claims(const struct auth_patterns *names, const json_t *claims,
    struct auth_grants *g)
{
	const json_t *v;
	size_t i;

	if (names->n == 0)
		return 0;
	if ((g->claims = calloc(names->n, sizeof *g->claims)) == NULL)
		return -1;
	for (i = 0; i < names->n; i++) {
		v = json_object_get(claims, names->v[i].p);
		if (!json_is_string(v) ||
		    !is_segment(json_string_value(v), json_string_length(v)))
			continue;
		g->claims[g->n_claims].name = strdup(names->v[i].p);
		g->claims[g->n_claims].value = strdup(json_string_value(v));
		g->n_claims++;
		if (g->claims[g->n_claims - 1].name == NULL ||
		    g->claims[g->n_claims - 1].value == NULL)
			return -1;
	}
	return 0;
}
