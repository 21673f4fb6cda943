/*
 * fuzz_jwks.c - sets of keys from strangers: what is taken is a public key that the set
 * really offers for signatures, and verifies nothing else.
 *
 * Input: a line, the Cache-Control that came with it, then the set.  In the set $R, $E
 * and $S stand for the rest of a sound RSA, P-256 or P-384 key, so that chance gets
 * further than a number that is no key.
 */
#include "config.h"

#include "fuzz.h"

#include <string.h>

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "auth_fetch.h"
#include "auth_internal.h"
#include "log.h"

/* Made once, by `openssl genpkey`: public keys, of nobody. */
static const char *const sound[] = {
	"\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
	    "swnhDMt-LrU-k5U8SuoWIe4Guwoo7Z5gRqm2zSzZudgXBTjBCuijhBWkhRrJWS0tVofLAN"
	    "VWKKfr0NlgY1WCxkS2bl-2FgIAKqXegPTQpSSPJf4PjdVUhxigcaXH3F-iKTKlvLBNk5sl"
	    "XLDs3ivzATfozQCLblFwjFmIH7q1epu4HUfFq9ElbeyNFaPPw39UKSncb5wu5L5Jon7Gkz"
	    "iT2O7QVjsCOMTwXetfE4Q35HGIZxqhsOGqnS6XQCJciCLs11t1_wdLQoTT8rXKt9Gl0UoQ"
	    "o-WbVzY-GXF0Gh0S-gUCm0GgdrilxrX11lYhFFte7tYo4sKwooXYIwYhfEEaLw"
	    "\"",
	"\"kty\":\"EC\",\"crv\":\"P-256\","
	    "\"x\":\"z6Uyh-b4Nfrwt3ML-zf1-2M6NCGOxhV4w_jbGQDs0jo\","
	    "\"y\":\"zNdBlJxTW0zk85WMI5ohZuLlo7yEUw_k3wdtUiL7zOo\"",
	"\"kty\":\"EC\",\"crv\":\"P-384\","
	    "\"x\":\"to0CSAJ3EVmoTS15Mk1PpbNq0f2KNmorin1LDzDiZhK7vHSVMLKVmZEjn1poBf5K\","
	    "\"y\":\"gZZfXmerN-qORzsDZ4yTPyuDgYikK_l7wuOiXlRU5l9bbrTpL6VOOkxBM7o1eFhP\"",
};

/* The set with $R, $E and $S filled in, on the heap in just its size. */
static struct part
fill_in(struct part text)
{
	static const char names[] = "RES";
	struct part out = { NULL, 0 };
	const char *at;
	size_t room = text.len, len;

	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.p[i] == '$' && (at = strchr(names, text.p[i + 1])) != NULL &&
		    *at != '\0')
			room += strlen(sound[at - names]);
	MUST((out.p = malloc(room > 0 ? room : 1)) != NULL);
	for (size_t i = 0; i < text.len; i++) {
		at = text.p[i] == '$' && i + 1 < text.len && text.p[i + 1] != '\0' ?
		    strchr(names, text.p[i + 1]) : NULL;
		len = at != NULL ? strlen(sound[at - names]) : 1;
		memcpy(out.p + out.len, at != NULL ? sound[at - names] : text.p + i, len);
		out.len += len;
		i += at != NULL;
	}
	out.p = realloc(out.p, out.len > 0 ? out.len : 1);
	MUST(out.p != NULL);
	return out;
}

static const char *
text_of(const json_t *jwk, const char *name)
{
	return json_string_value(json_object_get(jwk, name));
}

/* Would a careful reader take this one for signatures by `k`? */
static bool
offers(const json_t *jwk, const struct auth_key *k)
{
	const char *kty = text_of(jwk, "kty"), *kid = text_of(jwk, "kid");
	const json_t *ops = json_object_get(jwk, "key_ops"), *op;
	const char *use = text_of(jwk, "use"), *alg = text_of(jwk, "alg");
	bool rsa = EVP_PKEY_get_base_id(k->parsed) == EVP_PKEY_RSA, verify = ops == NULL;
	char algs[64];
	size_t i;

	json_array_foreach(ops, i, op)
		verify = verify || (json_is_string(op) &&
		    strcmp(json_string_value(op), "verify") == 0);
	auth_format_algs(algs, sizeof(algs), k->algs);
	return kty != NULL && strcmp(kty, rsa ? "RSA" : "EC") == 0 &&
	    json_object_get(jwk, "d") == NULL && verify &&
	    (json_object_get(jwk, "use") == NULL ||
	    (use != NULL && strcmp(use, "sig") == 0)) &&
	    (json_object_get(jwk, "alg") == NULL ||
	    (alg != NULL && strcmp(alg, algs) == 0)) &&
	    ((kid == NULL && k->kid == NULL) ||
	    (kid != NULL && k->kid != NULL && strcmp(kid, k->kid) == 0));
}

static void
check_numbers(const struct auth_key *k)
{
	int bits = EVP_PKEY_get_bits(k->parsed);
	BIGNUM *e = NULL;

	if (EVP_PKEY_get_base_id(k->parsed) == EVP_PKEY_RSA) {
		MUST(bits >= 2048 && bits <= 8192);
		MUST(EVP_PKEY_get_bn_param(k->parsed, OSSL_PKEY_PARAM_RSA_E, &e) == 1);
		MUST(BN_is_odd(e) && !BN_is_one(e));
		BN_free(e);
		MUST((k->algs & ~(1u << AUTH_RS256 | 1u << AUTH_RS384 |
		    1u << AUTH_RS512)) == 0);
	} else {
		MUST(EVP_PKEY_get_base_id(k->parsed) == EVP_PKEY_EC);
		MUST(k->algs == 1u << (bits == 256 ? AUTH_ES256 : bits == 384 ?
		    AUTH_ES384 : AUTH_ES512));
	}
}

static void
check_set(const struct auth_keys *keys, struct part text)
{
	json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL), *jwk;
	const json_t *list = json_object_get(root, "keys");
	bool offered;
	size_t i;

	MUST(keys->n > 0 && keys->n <= 32 && keys->n <= json_array_size(list));
	for (size_t n = 0; n < keys->n; n++) {
		const struct auth_key *k = &keys->v[n];

		MUST(k->parsed != NULL && !k->is_secret && k->algs != 0);
		MUST(k->len > 0 && memmem(k->p, k->len, "PRIVATE", 7) == NULL);
		check_numbers(k);
		offered = false;
		json_array_foreach(list, i, jwk)
			offered = offered || offers(jwk, k);
		MUST(offered);
		/* No two that one token could mean. */
		for (size_t m = 0; m < n; m++)
			MUST(k->kid == NULL || keys->v[m].kid == NULL ||
			    strcmp(k->kid, keys->v[m].kid) != 0 ||
			    (k->algs & keys->v[m].algs) == 0);
	}
	json_decref(root);
}

FUZZ(jwks)
{
	struct input in = { bytes, size };
	char *cache = fuzz_string(&in), err[512] = "";
	struct part rest = fuzz_rest(&in), text = fill_in(rest);
	struct auth_keys *keys;
	long s = auth_fetch_lifetime(cache);

	log_init(LOG_ERROR, false);
	MUST(s >= AUTH_FETCH_MIN_S && s <= AUTH_FETCH_MAX_S);
	keys = auth_jwks_read("set", text.p, text.len, err, sizeof(err));
	if (keys != NULL)
		check_set(keys, text);
	else
		MUST(strncmp(err, "set: ", 5) == 0 && err[5] != '\0' &&
		    !plain_control(err, strlen(err)));
	auth_keys_unref(keys);
	free(cache);
	free(rest.p);
	free(text.p);
	return 0;
}
