/*
 * auth_mint.c - tokens and API keys made here, for the command line.
 *
 * A token is signed with the house key, which must be a secret, and says nothing
 * that auth_token.c would not accept again.
 */
#include "config.h"

#include "auth_internal.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <jwt.h>
#include <openssl/rand.h>

#include "topic.h"

/* The list as JSON, or NULL with `err`. */
static json_t *
mint_patterns(const char *const *list, const char *name, char *err, size_t size)
{
	const char *why;
	json_t *array;
	size_t i;

	if ((array = json_array()) == NULL) {
		(void)auth_say(err, size, "out of memory");
		return NULL;
	}
	for (i = 0; list != NULL && list[i] != NULL; i++) {
		if (topic_classify(list[i], strlen(list[i]), &why) ==
		    TOPIC_INVALID) {
			(void)auth_say(err, size, "%s: the topic \"%s\" %s", name,
			    list[i], why);
			goto fail;
		}
		if (json_array_append_new(array, json_string(list[i])) == -1) {
			(void)auth_say(err, size, "out of memory");
			goto fail;
		}
	}
	return array;
fail:
	json_decref(array);
	return NULL;
}

/* The claims as JSON text, or NULL with `err`. */
static char *
mint_claims(const struct auth_issuer *is, const struct auth_mint *m,
    int64_t now_ms, char *err, size_t size)
{
	json_t *claims, *grants, *publish = NULL, *subscribe = NULL;
	/* Rounded up, or a token for one second might be born dead. */
	int64_t exp = (now_ms + m->lifetime_ms + 999) / 1000;
	char *text = NULL;
	int ret = 0;

	if ((claims = json_object()) == NULL || (grants = json_object()) == NULL) {
		(void)auth_say(err, size, "out of memory");
		json_decref(claims);
		return NULL;
	}
	if ((publish = mint_patterns(m->publish, "publish", err, size)) == NULL ||
	    (subscribe = mint_patterns(m->subscribe, "subscribe", err, size)) ==
	    NULL)
		goto done;
	ret |= json_object_set_new(claims, "iat", json_integer(now_ms / 1000));
	ret |= json_object_set_new(claims, "exp", json_integer(exp));
	if (m->sub != NULL && m->sub[0] != '\0')
		ret |= json_object_set_new(claims, "sub", json_string(m->sub));
	if (is->issuer != NULL)
		ret |= json_object_set_new(claims, "iss",
		    json_string(is->issuer));
	if (is->audience != NULL)
		ret |= json_object_set_new(claims, "aud",
		    json_string(is->audience));
	if (json_array_size(publish) > 0)
		ret |= json_object_set(grants, "publish", publish);
	if (json_array_size(subscribe) > 0)
		ret |= json_object_set(grants, "subscribe", subscribe);
	if (m->rate > 0)
		ret |= json_object_set_new(grants, "rate", json_real(m->rate));
	if (json_object_size(grants) > 0)
		ret |= json_object_set(claims, is->grants_claim, grants);
	/* Memory aside, jansson refuses text that is not UTF-8. */
	if (ret != 0 || (text = json_dumps(claims, JSON_COMPACT)) == NULL)
		(void)auth_say(err, size, "sub, auth.issuer or auth.audience is "
		    "not UTF-8");
done:
	json_decref(claims);
	json_decref(grants);
	json_decref(publish);
	json_decref(subscribe);
	return text;
}

char *
auth_mint_token(const struct auth *a, const struct auth_mint *m, int64_t now_ms,
    char *err, size_t err_size)
{
	const struct auth_issuer *is;
	const struct auth_key *k;
	jwt_t *jwt = NULL;
	char *claims, *token = NULL;

	if (a->n_issuers == 0 || a->issuers[0].source == NULL) {
		(void)auth_say(err, err_size, "no key to sign with: set auth.key "
		    "to a secret (openssl rand -hex 32 prints one)");
		return NULL;
	}
	is = &a->issuers[0];
	k = is->is_jwks ? NULL : &is->source->keys->v[0];
	if (k == NULL || !k->is_secret) {
		(void)auth_say(err, err_size, "%s is a public key, which can only "
		    "verify: sign tokens where the private key is", is->from);
		return NULL;
	}
	if (m->lifetime_ms <= 0 || m->lifetime_ms > AUTH_TIME_MAX_MS - now_ms) {
		(void)auth_say(err, err_size, "the lifetime is out of range");
		return NULL;
	}
	if ((claims = mint_claims(is, m, now_ms, err, err_size)) == NULL)
		return NULL;
	/* HS256: every secret that was accepted is long enough for it. */
	if (jwt_new(&jwt) != 0 ||
	    jwt_add_grants_json(jwt, claims) != 0 ||
	    jwt_set_alg(jwt, JWT_ALG_HS256, k->p, (int)k->len) != 0 ||
	    (token = jwt_encode_str(jwt)) == NULL)
		(void)auth_say(err, err_size, "the token could not be signed");
	else if (strlen(token) > AUTH_TOKEN_MAX) {
		(void)auth_say(err, err_size, "the token would be longer than %d "
		    "bytes: grant fewer topics, or patterns", AUTH_TOKEN_MAX);
		free(token);
		token = NULL;
	}
	jwt_free(jwt);
	free(claims);
	return token;
}

char *
auth_make_secret(void)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char raw[33];
	char out[4 + 44 + 1], *at = out;
	unsigned int acc;
	size_t i;

	raw[32] = 0;
	if (RAND_bytes(raw, 32) != 1)
		return NULL;
	at = stpcpy(at, AUTH_SECRET_PREFIX);
	for (i = 0; i < sizeof raw; i += 3) {
		acc = (unsigned int)raw[i] << 16 | (unsigned int)raw[i + 1] << 8 |
		    raw[i + 2];
		*at++ = digits[acc >> 18];
		*at++ = digits[acc >> 12 & 63];
		*at++ = digits[acc >> 6 & 63];
		*at++ = digits[acc & 63];
	}
	at[-1] = '\0';		/* the 33rd byte was only there to fill up */
	return strdup(out);
}
