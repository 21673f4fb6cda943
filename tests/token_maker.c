/*
 * token_maker.c - keys and tokens for tests: see token_maker.h.
 */
#include "config.h"

#include "token_maker.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "suite.h"

static const struct {
	const char	*name, *secret;
	size_t		 len;
} secrets[] = {
	{ "HS64", SECRET64, 64 },
	{ "HS48", SECRET64, 48 },
	{ "HS32", SECRET64, 32 },
	{ "HS-OTHER", "another secret that is long enough for every HMAC there is, "
	    "all three", 69 },
	{ "HS-EMPTY", "", 0 },
};

static struct pair {
	const char	*name, *curve;
	unsigned int	 rsa_bits;
	EVP_PKEY	*pair;
	char		*public, *private;
} pairs[] = {
	{ .name = "RSA", .rsa_bits = 2048 },
	{ .name = "RSA-OTHER", .rsa_bits = 2048 },
	{ .name = "RSA1024", .rsa_bits = 1024 },
	{ .name = "RSA3072", .rsa_bits = 3072 },
	{ .name = "P256", .curve = "P-256" },
	{ .name = "P256-OTHER", .curve = "P-256" },
	{ .name = "P384", .curve = "P-384" },
	{ .name = "P521", .curve = "P-521" },
	{ .name = "P224", .curve = "P-224" },
	{ .name = "SECP256K1", .curve = "secp256k1" },
	{ .name = "ED25519" },
};

#define N(v)	(sizeof(v) / sizeof((v)[0]))

void
maker_fini(void)
{
	for (size_t i = 0; i < N(pairs); i++) {
		EVP_PKEY_free(pairs[i].pair);
		free(pairs[i].public);
		free(pairs[i].private);
		pairs[i].pair = NULL;
		pairs[i].public = pairs[i].private = NULL;
	}
}

static char *
bio_text(BIO *b)
{
	char *p, *copy;
	long n = BIO_get_mem_data(b, &p);

	ck_assert(n > 0);
	copy = strndup(p, (size_t)n);
	ck_assert_ptr_nonnull(copy);
	BIO_free(b);
	return copy;
}

/* A key is made when it is first asked for: RSA keys take their time. */
static struct pair *
find_pair(const char *name)
{
	struct pair *k = NULL;
	BIO *b;

	for (size_t i = 0; i < N(pairs); i++)
		if (strcmp(pairs[i].name, name) == 0)
			k = &pairs[i];
	ck_assert_msg(k != NULL, "no pair of keys is called %s", name);
	if (k->pair != NULL)
		return k;
	if (k->rsa_bits != 0)
		k->pair = EVP_RSA_gen(k->rsa_bits);
	else if (k->curve != NULL)
		k->pair = EVP_EC_gen(k->curve);
	else
		k->pair = EVP_PKEY_Q_keygen(NULL, NULL, k->name);
	ck_assert_ptr_nonnull(k->pair);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PUBKEY(b, k->pair), 1);
	k->public = bio_text(b);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PrivateKey(b, k->pair, NULL, NULL, 0, NULL,
	    NULL), 1);
	k->private = bio_text(b);
	return k;
}

EVP_PKEY *
maker_pair(const char *name)
{
	return find_pair(name)->pair;
}

const char *
maker_public(const char *name)
{
	return find_pair(name)->public;
}

const char *
maker_private(const char *name)
{
	return find_pair(name)->private;
}

const char *
maker_key(const char *name, size_t *len)
{
	for (size_t i = 0; i < N(secrets); i++)
		if (strcmp(secrets[i].name, name) == 0) {
			*len = secrets[i].len;
			return secrets[i].secret;
		}
	*len = strlen(maker_public(name));
	return maker_public(name);
}

char *
maker_base64url(const void *p, size_t len)
{
	char *out = malloc(len * 4 / 3 + 8), *s;
	int n;

	ck_assert_ptr_nonnull(out);
	n = EVP_EncodeBlock((unsigned char *)out, p, (int)len);
	while (n > 0 && out[n - 1] == '=')
		out[--n] = '\0';
	for (s = out; *s != '\0'; s++)
		*s = *s == '+' ? '-' : *s == '/' ? '_' : *s;
	return out;
}

unsigned char *
maker_decode(const char *text, size_t *len)
{
	size_t n = strlen(text), pad = (4 - n % 4) % 4;
	char *copy = calloc(1, n + 5), *s;
	unsigned char *out = malloc(n + 8);
	int got;

	ck_assert(copy != NULL && out != NULL);
	memcpy(copy, text, n);
	memset(copy + n, '=', pad);
	for (s = copy; *s != '\0'; s++)
		*s = *s == '-' ? '+' : *s == '_' ? '/' : *s;
	got = EVP_DecodeBlock(out, (unsigned char *)copy, (int)(n + pad));
	free(copy);
	if (got < 0 || (size_t)got < pad) {
		free(out);
		return NULL;
	}
	*len = (size_t)got - pad;
	return out;
}

/* One number of a key as a JWK has it: big-endian, of `len` bytes (0: as many as it
 * takes). */
static char *
number(EVP_PKEY *pk, const char *param, int len)
{
	unsigned char bytes[2048];
	BIGNUM *bn = NULL;
	char *text;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(pk, param, &bn), 1);
	if (len == 0)
		len = BN_num_bytes(bn);
	ck_assert_int_eq(BN_bn2binpad(bn, bytes, len), len);
	text = maker_base64url(bytes, (size_t)len);
	BN_free(bn);
	return text;
}

/* Returns new the JWK. */
static char *
jwk_of(const char *name, const char *kid)
{
	struct pair *k = find_pair(name);
	int len = (EVP_PKEY_get_bits(k->pair) + 7) / 8;
	char *a, *b, *jwk;

	if (k->rsa_bits != 0) {
		a = number(k->pair, OSSL_PKEY_PARAM_RSA_N, 0);
		b = number(k->pair, OSSL_PKEY_PARAM_RSA_E, 0);
		ck_assert_int_ge(asprintf(&jwk, "{\"kty\":\"RSA\",\"kid\":\"%s\","
		    "\"n\":\"%s\",\"e\":\"%s\"}", kid, a, b), 0);
	} else {
		a = number(k->pair, OSSL_PKEY_PARAM_EC_PUB_X, len);
		b = number(k->pair, OSSL_PKEY_PARAM_EC_PUB_Y, len);
		ck_assert_int_ge(asprintf(&jwk, "{\"kty\":\"EC\",\"kid\":\"%s\","
		    "\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}", kid, k->curve, a,
		    b), 0);
	}
	free(a);
	free(b);
	return jwk;
}

char *
maker_jwks(const char *list)
{
	char *copy = strdup(list), *set = strdup("{\"keys\":["), *rest = copy, *word;
	char *eq, *jwk, *more;
	int n = 0;

	while ((word = strsep(&rest, " ")) != NULL) {
		ck_assert_ptr_nonnull(eq = strchr(word, '='));
		*eq = '\0';
		jwk = jwk_of(word, eq + 1);
		ck_assert_int_ge(asprintf(&more, "%s%s%s", set, n++ > 0 ? "," : "",
		    jwk), 0);
		free(jwk);
		free(set);
		set = more;
	}
	ck_assert_int_ge(asprintf(&more, "%s]}", set), 0);
	free(set);
	free(copy);
	return more;
}

/* --- signatures --- */

static const EVP_MD *
digest_of(const char *alg)
{
	return strstr(alg, "384") != NULL ? EVP_sha384() :
	    strstr(alg, "512") != NULL ? EVP_sha512() : EVP_sha256();
}

/* r and s side by side, as RFC 7518 3.4 wants them, instead of DER. */
static size_t
raw_signature(EVP_PKEY *pk, unsigned char *sig, size_t len)
{
	const unsigned char *p = sig;
	int half = (EVP_PKEY_get_bits(pk) + 7) / 8;
	ECDSA_SIG *es = d2i_ECDSA_SIG(NULL, &p, (long)len);

	ck_assert_ptr_nonnull(es);
	ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_r(es), sig, half), half);
	ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_s(es), sig + half, half),
	    half);
	ECDSA_SIG_free(es);
	return (size_t)half * 2;
}

/* The old trick: a public key is known to all, so sign with it.  Returns new. */
static unsigned char *
public_bytes(const char *name, const char *form, size_t *len)
{
	unsigned char *der = NULL, *copy;
	const char *pem = maker_public(name), *start;
	char *bare;
	int n;

	if (strcmp(form, "der") == 0) {
		ck_assert_int_gt(n = i2d_PUBKEY(maker_pair(name), &der), 0);
		ck_assert_ptr_nonnull(copy = malloc((size_t)n));
		memcpy(copy, der, (size_t)n);
		OPENSSL_free(der);
		*len = (size_t)n;
		return copy;
	}
	if (strcmp(form, "bare") == 0) {
		start = strchr(pem, '\n') + 1;
		ck_assert_ptr_nonnull(bare = calloc(1, strlen(pem)));
		*len = 0;
		for (; *start != '-'; start++)
			if (*start != '\n')
				bare[(*len)++] = *start;
		return (unsigned char *)bare;
	}
	*len = strlen(pem);
	if (strcmp(form, "pem-nl") == 0)
		(*len)--;
	else
		ck_assert_msg(strcmp(form, "pem") == 0, "no form %s", form);
	return (unsigned char *)strndup(pem, *len);
}

static unsigned char *
sign_hmac(const char *alg, const char *name, const char *form, const char *text,
    size_t *len)
{
	unsigned char *key, *sig = malloc(EVP_MAX_MD_SIZE);
	const char *secret;
	unsigned int n;
	size_t key_len;

	if (form == NULL) {
		secret = maker_key(name, &key_len);
		ck_assert_ptr_nonnull(key = malloc(key_len + 1));
		memcpy(key, secret, key_len);
	} else
		key = public_bytes(name, form, &key_len);
	ck_assert_ptr_nonnull(HMAC(digest_of(alg), key, (int)key_len,
	    (const unsigned char *)text, strlen(text), sig, &n));
	free(key);
	*len = n;
	return sig;
}

static unsigned char *
sign_pair(const char *alg, const char *name, const char *form, const char *text,
    size_t *len)
{
	unsigned char *sig = malloc(1024);
	EVP_PKEY *pk = maker_pair(name);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool is_eddsa = strcmp(alg, "EdDSA") == 0;

	ck_assert(sig != NULL && ctx != NULL);
	*len = 1024;
	ck_assert_int_eq(EVP_DigestSignInit(ctx, &pctx, is_eddsa ? NULL :
	    digest_of(alg), NULL, pk), 1);
	if (strncmp(alg, "PS", 2) == 0) {
		ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(pctx,
		    RSA_PKCS1_PSS_PADDING), 1);
		ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST), 1);
	}
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, len, (const unsigned char *)text,
	    strlen(text)), 1);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_get_base_id(pk) == EVP_PKEY_EC && form == NULL)
		*len = raw_signature(pk, sig, *len);
	return sig;
}

unsigned char *
maker_sign(const char *signer, const char *text, size_t *len)
{
	char alg[16], name[32], *form;
	unsigned char *sig;

	if (strcmp(signer, "none") == 0) {
		*len = 0;
		return calloc(1, 1);
	}
	ck_assert_msg(sscanf(signer, "%15[A-Za-z0-9]/%31s", alg, name) == 2,
	    "\"%s\" is not ALG/KEY", signer);
	if ((form = strchr(name, '.')) != NULL)
		*form++ = '\0';
	if (strncmp(alg, "HS", 2) == 0)
		sig = sign_hmac(alg, name, form, text, len);
	else
		sig = sign_pair(alg, name, form, text, len);
	return sig;
}

char *
maker_token_bytes(const void *header, size_t header_len, const void *claims,
    size_t claims_len, const char *signer)
{
	char *h = maker_base64url(header, header_len), *input, *s, *token;
	char *c = maker_base64url(claims, claims_len);
	unsigned char *sig;
	size_t len;

	ck_assert_int_ge(asprintf(&input, "%s.%s", h, c), 0);
	sig = maker_sign(signer, input, &len);
	s = maker_base64url(sig, len);
	ck_assert_int_ge(asprintf(&token, "%s.%s", input, s), 0);
	free(sig);
	free(h);
	free(c);
	free(s);
	free(input);
	return token;
}

char *
maker_token(const char *header, const char *claims, const char *signer)
{
	return maker_token_bytes(header, strlen(header), claims, strlen(claims),
	    signer);
}
