/*
 * auth_jwks.c - from a JWKS (RFC 7517) to keys.
 *
 * A set is written by others and may hold anything: keys for encryption, of kinds that we
 * do not know, private ones by mistake.  What can verify tokens is taken, what cannot is
 * named in the log and left out, and a set with nothing of use is no set.  Each key is
 * checked as one from a file is: auth_keys.c.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "auth_internal.h"
#include "clock.h"
#include "log.h"

#define KEYS_MAX	32	/* of a set: no issuer has so many */
#define LINES_MAX	8	/* of the log, on what is ignored */
#define KID_MAX		256	/* bytes */
#define RSA_BYTES_MAX	1024	/* larger ones take seconds to be checked */
#define READ_MS		1000	/* of a set whose keys are costly to check */

static const struct {
	const char	*crv, *group;
	size_t		 bytes;		/* of a coordinate */
} curves[] = {
	{ "P-256", "prime256v1", 32 },
	{ "P-384", "secp384r1", 48 },
	{ "P-521", "secp521r1", 66 },
};

static const char *
text_of(const json_t *jwk, const char *name)
{
	return json_string_value(json_object_get(jwk, name));
}

/* Returns new the bytes of a member in base64url, or NULL. */
static unsigned char *
bytes_of(const json_t *jwk, const char *name, size_t *len)
{
	const char *text = text_of(jwk, name);

	return text == NULL ? NULL :
	    (unsigned char *)auth_base64url(text, strlen(text), len);
}

/* Takes `bld`; NULL: not a key. */
static EVP_PKEY *
key_of(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pk = NULL;

	if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pk, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pk = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return pk;
}

static EVP_PKEY *
rsa_key(const json_t *jwk)
{
	size_t n_len, e_len;
	unsigned char *n = bytes_of(jwk, "n", &n_len);
	unsigned char *e = bytes_of(jwk, "e", &e_len);
	BIGNUM *bn_n = NULL, *bn_e = NULL;
	OSSL_PARAM_BLD *bld = NULL;
	EVP_PKEY *pk = NULL;

	if (n == NULL || e == NULL || n_len > RSA_BYTES_MAX || e_len > 8 ||
	    (bn_n = BN_bin2bn(n, (int)n_len, NULL)) == NULL ||
	    (bn_e = BN_bin2bn(e, (int)e_len, NULL)) == NULL ||
	    (bld = OSSL_PARAM_BLD_new()) == NULL)
		goto done;
	if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
		pk = key_of("RSA", bld);
	else
		OSSL_PARAM_BLD_free(bld);
done:
	BN_free(bn_n);
	BN_free(bn_e);
	free(n);
	free(e);
	return pk;
}

/* Both coordinates have exactly the curve's length: RFC 7518, 6.2.1. */
static EVP_PKEY *
ec_key(const json_t *jwk, size_t curve)
{
	unsigned char point[1 + 2 * 66] = { 4 };
	size_t x_len, y_len, half = curves[curve].bytes;
	unsigned char *x = bytes_of(jwk, "x", &x_len);
	unsigned char *y = bytes_of(jwk, "y", &y_len);
	OSSL_PARAM_BLD *bld = NULL;
	EVP_PKEY *pk = NULL;

	if (x == NULL || y == NULL || x_len != half || y_len != half ||
	    (bld = OSSL_PARAM_BLD_new()) == NULL)
		goto done;
	memcpy(point + 1, x, half);
	memcpy(point + 1 + half, y, half);
	if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
	    curves[curve].group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
	    1 + 2 * half) == 1)
		pk = key_of("EC", bld);
	else
		OSSL_PARAM_BLD_free(bld);
done:
	free(x);
	free(y);
	return pk;
}

/* A member that should be text and is something else is nothing to guess at. */
static const char *
member_that_is_no_text(const json_t *jwk)
{
	static const char *const names[] = { "kty", "use", "alg", "kid", "crv" };
	const json_t *v;
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if ((v = json_object_get(jwk, names[i])) != NULL &&
		    !json_is_string(v))
			return names[i];
	return NULL;
}

/* A number of the key that is there, but not as RFC 7515 writes bytes. */
static const char *
member_not_in_base64url(const json_t *jwk)
{
	static const char *const names[] = { "n", "e", "x", "y" };
	unsigned char *p;
	size_t i, len;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (json_object_get(jwk, names[i]) == NULL)
			continue;
		if ((p = bytes_of(jwk, names[i], &len)) == NULL)
			return names[i];
		free(p);
	}
	return NULL;
}

/* Is it meant for signatures at all?  False: `why`. */
static bool
is_meant_for_us(const json_t *jwk, char *why, size_t size)
{
	const json_t *ops = json_object_get(jwk, "key_ops"), *op;
	const char *use = text_of(jwk, "use"), *kty = text_of(jwk, "kty");
	bool verifies = ops == NULL;
	const char *odd;
	size_t i;

	json_array_foreach(ops, i, op)
		if (json_is_string(op) &&
		    strcmp(json_string_value(op), "verify") == 0)
			verifies = true;
	if (!json_is_object(jwk) || json_object_get(jwk, "kty") == NULL)
		(void)auth_say(why, size, "has no kty");
	else if ((odd = member_that_is_no_text(jwk)) != NULL)
		(void)auth_say(why, size, "has a member %s that is not a string", odd);
	else if (kty != NULL && strcmp(kty, "oct") == 0)
		(void)auth_say(why, size, "is a secret (oct), which has no place in "
		    "a JWKS: a secret goes into key or key_file");
	else if (json_object_get(jwk, "d") != NULL)
		(void)auth_say(why, size, "is a private key, which has no place in "
		    "a JWKS: whoever reads it can sign");
	else if ((use != NULL && strcmp(use, "sig") != 0) || !verifies)
		(void)auth_say(why, size, "is not for verifying signatures (use, "
		    "key_ops)");
	else
		return true;
	return false;
}

/* `alg` of the key, when it has one, narrows what it accepts. */
static int
narrow(struct auth_key *k, const json_t *jwk, char *why, size_t size)
{
	const char *alg = text_of(jwk, "alg");
	char accepted[64];
	size_t i;

	if (alg == NULL)
		return 0;
	for (i = 0; i < AUTH_ALGS; i++)
		if ((k->algs & 1u << i) != 0 &&
		    strcmp(alg, auth_alg_name((enum auth_alg)i)) == 0) {
			k->algs = 1u << i;
			return 0;
		}
	if (auth_alg_foreign(alg) != NULL)
		return auth_say(why, size, "is for %s, which is not supported"
		    AUTH_INSTEAD, auth_alg_foreign(alg));
	auth_format_algs(accepted, sizeof accepted, k->algs);
	return auth_say(why, size, "has an alg that is not known here for %s: %s "
	    "are", k->what, accepted);
}

/* Fill in a zeroed `k`.  0, or -1 and `why` completes "key 3 ...". */
static int
key_from_jwk(struct auth_key *k, const json_t *jwk, char *why, size_t size)
{
	const char *kty, *crv = text_of(jwk, "crv"), *kid = text_of(jwk, "kid"), *odd;
	EVP_PKEY *pk = NULL;
	size_t i;

	if (!is_meant_for_us(jwk, why, size))
		return -1;
	kty = text_of(jwk, "kty");
	if (strcmp(kty, "OKP") == 0)
		return auth_say(why, size, "is for EdDSA (OKP), which is not "
		    "supported" AUTH_INSTEAD);
	if ((odd = member_not_in_base64url(jwk)) != NULL)
		return auth_say(why, size, "has a member %s that is not base64url "
		    "without padding", odd);
	if (strcmp(kty, "RSA") == 0)
		pk = rsa_key(jwk);
	else if (strcmp(kty, "EC") == 0) {
		for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
			if (crv != NULL && strcmp(crv, curves[i].crv) == 0)
				break;
		if (i == sizeof curves / sizeof curves[0])
			return auth_say(why, size, "is on a curve other than P-256, "
			    "P-384 and P-521");
		pk = ec_key(jwk, i);
	} else
		return auth_say(why, size, "is of a kind (kty) that is not known "
		    "here");
	if (pk == NULL)
		return auth_say(why, size, "is not a sound key");
	if (auth_key_from_public(k, pk, "it", why, size) == -1 ||
	    narrow(k, jwk, why, size) == -1)
		return -1;
	if (kid != NULL && strlen(kid) > KID_MAX)
		return auth_say(why, size, "has a kid that is too long");
	if (kid != NULL && (k->kid = strdup(kid)) == NULL)
		return auth_say(why, size, "takes more memory than there is");
	return 0;
}

/* Of two keys with one name, and an algorithm that both accept, the first counts. */
static bool
is_duplicate(const struct auth_keys *keys, const struct auth_key *k)
{
	size_t i;

	for (i = 0; i < keys->n; i++)
		if (k->kid != NULL && keys->v[i].kid != NULL &&
		    strcmp(k->kid, keys->v[i].kid) == 0 &&
		    (k->algs & keys->v[i].algs) != 0)
			return true;
	return false;
}

/* The list of keys, or NULL and `err`. */
static json_t *
parse_set(const char *p, size_t len, json_t **root, char *err, size_t size)
{
	json_error_t error;
	json_t *list;
	size_t at = 0;

	*root = NULL;
	while (at < len && (p[at] == ' ' || (p[at] >= '\t' && p[at] <= '\r')))
		at++;
	if (at < len && p[at] == '<') {
		(void)auth_say(err, size, "this is a page (HTML), not a JWKS");
		return NULL;
	}
	if (!auth_json_is_shallow(p, len) ||
	    (*root = json_loadb(p, len, JSON_REJECT_DUPLICATES, &error)) == NULL) {
		(void)auth_say(err, size, "this is not JSON, and so no JWKS");
		return NULL;
	}
	list = json_object_get(*root, "keys");
	if (!json_is_array(list)) {
		(void)auth_say(err, size, json_object_get(*root, "jwks_uri") !=
		    NULL ? "this is a discovery document: give the address that its "
		    "jwks_uri names" : json_object_get(*root, "kty") != NULL ?
		    "this is a single JWK, not a set: {\"keys\":[...]}" :
		    "this is no JWKS: it has no list named keys");
		return NULL;
	}
	return list;
}

struct auth_keys *
auth_jwks_read(const char *from, const char *p, size_t len, char *err, size_t size)
{
	struct auth_keys *keys = NULL;
	size_t i, ignored = 0;
	json_t *root, *list, *jwk;
	struct auth_key *k;
	int64_t end = clock_mono_ms() + READ_MS;
	char why[256], what[256];

	if ((list = parse_set(p, len, &root, what, sizeof what)) == NULL) {
		(void)auth_say(err, size, "%s: %s", from, what);
		goto done;
	}
	if ((keys = auth_keys_new()) == NULL ||
	    (keys->v = calloc(KEYS_MAX, sizeof *keys->v)) == NULL) {
		(void)auth_say(err, size, "%s: out of memory", from);
		auth_keys_unref(keys);
		keys = NULL;
		goto done;
	}
	why[0] = '\0';
	json_array_foreach(list, i, jwk) {
		/* A modulus of 8192 bits takes a tenth of a second to check. */
		if (keys->n == KEYS_MAX || ignored > 4 * KEYS_MAX ||
		    clock_mono_ms() > end) {
			log_warnx("auth: %s: %zu keys: those after the %zuth are "
			    "ignored", from, json_array_size(list), i);
			break;
		}
		k = &keys->v[keys->n];
		if (key_from_jwk(k, jwk, why, sizeof why) == 0) {
			if (!is_duplicate(keys, k)) {
				keys->n++;
				continue;
			}
			(void)auth_say(why, sizeof why, "has the kid of another "
			    "one");
		}
		auth_key_fini(k);
		memset(k, 0, sizeof *k);
		if (++ignored <= LINES_MAX)
			log_warnx("auth: %s: key %zu %s: ignored", from, i + 1,
			    why);
	}
	if (keys->n == 0) {
		(void)auth_say(err, size, "%s: no key of the set is of use here%s%s",
		    from, ignored > 0 ? ": the last one " : "",
		    ignored > 0 ? why : "");
		auth_keys_unref(keys);
		keys = NULL;
	}
done:
	json_decref(root);
	return keys;
}
