/*
 * auth_keys.c - from configuration to keys that can be trusted.
 *
 * What is wrong with a key is found here, at start, and told by the key's name in
 * the configuration: later it could only be a silent hole or a puzzling 401.  The
 * worst of them is a public key taken for an HMAC secret, since then everybody who
 * can read it can sign; so whatever looks like a public key and is not clean PEM is
 * refused.  No message repeats any part of a key.
 */
#include "config.h"

#include "auth_internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "log.h"
#include "text.h"
#include "topic.h"

#define KEY_FILE_MAX	(64 * 1024)
#define RSA_BITS_MIN	2048
#define RSA_BITS_MAX	16384		/* OpenSSL verifies no larger */

#define ALL_RS	(1u << AUTH_RS256 | 1u << AUTH_RS384 | 1u << AUTH_RS512)
#define JWKS_FILE_MAX	(256 * 1024)

static const struct {
	const char	*name;
	size_t		 secret_min;	/* bytes; 0: not HMAC */
} algs[AUTH_ALGS] = {
	[AUTH_HS256] = { "HS256", 32 },
	[AUTH_HS384] = { "HS384", 48 },
	[AUTH_HS512] = { "HS512", 64 },
	[AUTH_RS256] = { "RS256", 0 },
	[AUTH_RS384] = { "RS384", 0 },
	[AUTH_RS512] = { "RS512", 0 },
	[AUTH_ES256] = { "ES256", 0 },
	[AUTH_ES384] = { "ES384", 0 },
	[AUTH_ES512] = { "ES512", 0 },
};

static const struct {
	const char	*group;
	const char	*what;
	enum auth_alg	 alg;
} curves[] = {
	{ "prime256v1", "an EC public key on P-256", AUTH_ES256 },
	{ "secp384r1", "an EC public key on P-384", AUTH_ES384 },
	{ "secp521r1", "an EC public key on P-521", AUTH_ES512 },
};

const char *
auth_alg_name(enum auth_alg alg)
{
	return algs[alg].name;
}

void
auth_format_algs(char *out, size_t size, unsigned int set)
{
	size_t i, at = 0;
	int n;

	out[0] = '\0';
	for (i = 0; i < AUTH_ALGS; i++) {
		if ((set & (1u << i)) == 0)
			continue;
		n = snprintf(out + at, size - at, "%s%s", at == 0 ? "" : ", ",
		    algs[i].name);
		if (n < 0 || (size_t)n >= size - at)
			return;
		at += (size_t)n;
	}
}

int
auth_hash(unsigned char out[AUTH_HASH_SIZE], const void *p, size_t len)
{
	return EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

/* Each part goes in behind its length, so "ab","c" is not "a","bc".  Not keyed:
 * ids must be the same after a restart. */
int
auth_hash_parts(uint64_t *out, const struct auth_bytes *v, size_t n)
{
	unsigned char md[AUTH_HASH_SIZE];
	EVP_MD_CTX *ctx;
	uint64_t len;
	size_t i;
	int ok;

	if ((ctx = EVP_MD_CTX_new()) == NULL)
		return -1;
	ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	for (i = 0; ok && i < n; i++) {
		len = v[i].len;
		ok = EVP_DigestUpdate(ctx, &len, sizeof len) == 1 &&
		    EVP_DigestUpdate(ctx, v[i].p, v[i].len) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return -1;
	memcpy(out, md, sizeof *out);
	if (*out == 0)
		*out = 1;	/* 0 means nobody */
	return 0;
}

int
auth_fingerprint(char out[9], const char *kind, const void *p, size_t len)
{
	struct auth_bytes v[] = { { kind, strlen(kind) }, { p, len } };
	uint64_t h;

	if (auth_hash_parts(&h, v, 2) == -1)
		return -1;
	(void)snprintf(out, 9, "%08x", (unsigned int)(h & 0xffffffff));
	return 0;
}

/* OpenSSL would ask the terminal. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static bool
is_der_public_key(const unsigned char *p, size_t len)
{
	const unsigned char *at = p;
	EVP_PKEY *pk;

	if (len < 2 || p[0] != 0x30 || len > LONG_MAX)
		return false;
	pk = d2i_PUBKEY(NULL, &at, (long)len);
	if (pk == NULL) {
		at = p;
		pk = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)len);
	}
	ERR_clear_error();
	EVP_PKEY_free(pk);
	return pk != NULL;
}

/* The inside of a PEM file, without its first and last line? */
static bool
is_bare_base64_key(const unsigned char *p, size_t len)
{
	unsigned char *text, *der;
	size_t i, n = 0;
	bool is_key = false;
	int got;

	text = malloc(len + 4);
	der = malloc(len + 4);
	if (text == NULL || der == NULL)
		goto done;
	for (i = 0; i < len; i++)
		if (strchr(" \t\r\n", p[i]) == NULL || p[i] == '\0')
			text[n++] = p[i];
	while (n % 4 != 0)
		text[n++] = '=';
	if (n > 0 && (got = EVP_DecodeBlock(der, text, (int)n)) > 0)
		is_key = is_der_public_key(der, (size_t)got);
done:
	auth_wipe_free(text, len + 4);
	auth_wipe_free(der, len + 4);
	ERR_clear_error();
	return is_key;
}

/* What an env file or Windows has put there counts, and is hard to see. */
static void
warn_of_ends(const char *from, const char *p, size_t len)
{
	if (isspace((unsigned char)p[0]) || isspace((unsigned char)p[len - 1]))
		log_warnx("auth: %s: the secret begins or ends with white space, which "
		    "counts: was that meant?", from);
	else if ((p[0] == '"' || p[0] == '\'') && p[len - 1] == p[0])
		log_warnx("auth: %s: the secret stands in quotation marks, which count: "
		    "was that meant?", from);
}

static int
key_from_secret(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t i, at = 0;

	while (at < len && strchr(" \t\r\n", p[at]) != NULL && p[at] != '\0')
		at++;
	if (is_der_public_key(u, len) || is_bare_base64_key(u, len) ||
	    (len > 4 && memcmp(p, "ssh-", 4) == 0) ||
	    (len > 6 && memcmp(p, "ecdsa-", 6) == 0))
		return auth_say(err, size, "%s: this is a public key, but not in "
		    "PEM form: it must begin with -----BEGIN PUBLIC KEY-----",
		    from);
	if (at < len && p[at] == '{' && memmem(p, len, "\"kty\"", 5) != NULL)
		return auth_say(err, size, "%s: this is a JWK: a set of them goes "
		    "into jwks; this is for an HMAC secret or a public key in PEM "
		    "form", from);
	if (len < algs[AUTH_HS256].secret_min)
		return auth_say(err, size, "%s: the secret has %zu bytes, but %zu "
		    "or more are needed: openssl rand -hex 32 prints a good one",
		    from, len, algs[AUTH_HS256].secret_min);
	/* The long enough mistakes: a file of blanks, or of zeros. */
	for (i = 1; i < len && p[i] == p[0]; i++)
		;
	if (at == len || i == len)
		return auth_say(err, size, "%s: the secret is %s: openssl rand "
		    "-hex 32 prints a good one", from, at == len ?
		    "nothing but white space" : "one character over and over");
	if ((k->p = malloc(len + 1)) == NULL ||
	    auth_fingerprint(k->print, "token key", p, len) == -1)
		return auth_say(err, size, "%s: out of memory", from);
	memcpy(k->p, p, len);
	k->p[len] = '\0';
	k->len = len;
	k->is_secret = true;
	warn_of_ends(from, p, len);
	for (i = 0; i < AUTH_ALGS; i++)
		if (algs[i].secret_min != 0 && len >= algs[i].secret_min)
			k->algs |= 1u << i;
	(void)snprintf(k->what, sizeof k->what, "an HMAC secret of %zu bytes",
	    len);
	return 0;
}

/* Which algorithms does this public key stand for?  0 and `k`, or -1. */
static int
pin_algorithm(struct auth_key *k, EVP_PKEY *pk, const char *from, char *err,
    size_t size)
{
	EVP_PKEY_CTX *ctx;
	char group[64];
	const char *type;
	size_t i, len;
	int bits, ok;

	bits = EVP_PKEY_get_bits(pk);
	switch (EVP_PKEY_get_base_id(pk)) {
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
			return auth_say(err, size, "%s: the RSA key has %d bits, "
			    "but %d to %d are needed", from, bits, RSA_BITS_MIN,
			    RSA_BITS_MAX);
		k->algs = ALL_RS;
		(void)snprintf(k->what, sizeof k->what,
		    "an RSA public key of %d bits", bits);
		break;
	case EVP_PKEY_EC:
		if (EVP_PKEY_get_group_name(pk, group, sizeof group, &len) != 1)
			(void)snprintf(group, sizeof group, "without a name");
		for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
			if (strcmp(group, curves[i].group) == 0) {
				k->algs = 1u << curves[i].alg;
				(void)snprintf(k->what, sizeof k->what, "%s",
				    curves[i].what);
			}
		if (k->algs == 0)
			return auth_say(err, size, "%s: the EC key is on curve %s, "
			    "but P-256, P-384 or P-521 is needed", from, group);
		break;
	default:
		if ((type = EVP_PKEY_get0_type_name(pk)) == NULL)
			type = "unknown";
		return auth_say(err, size, "%s: a key of type %s can't be used: "
		    "RSA or EC (P-256, P-384, P-521) is needed", from, type);
	}
	/* A point beside the curve, an even modulus: no honest key has that. */
	if ((ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pk, NULL)) == NULL)
		return auth_say(err, size, "%s: out of memory", from);
	ok = EVP_PKEY_public_check(ctx);
	EVP_PKEY_CTX_free(ctx);
	if (ok != 1)
		return auth_say(err, size, "%s: the public key is not a sound key",
		    from);
	return 0;
}

int
auth_key_from_public(struct auth_key *k, EVP_PKEY *pk, const char *from, char *err,
    size_t size)
{
	BIO *out = NULL;
	char *pem;
	long n;

	if (pin_algorithm(k, pk, from, err, size) == -1)
		goto fail;
	/* Its print names it: fingerprints, and which tokens it vouched for. */
	if ((out = BIO_new(BIO_s_mem())) == NULL ||
	    PEM_write_bio_PUBKEY(out, pk) != 1 ||
	    (n = BIO_get_mem_data(out, &pem)) <= 0 ||
	    (k->p = malloc((size_t)n + 1)) == NULL ||
	    auth_fingerprint(k->print, "token key", pem, (size_t)n) == -1) {
		(void)auth_say(err, size, "%s: out of memory", from);
		goto fail;
	}
	memcpy(k->p, pem, (size_t)n);
	k->p[n] = '\0';
	k->len = (size_t)n;
	k->parsed = pk;
	BIO_free(out);
	return 0;

fail:
	ERR_clear_error();
	EVP_PKEY_free(pk);
	BIO_free(out);
	return -1;
}

static int
key_from_pem(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	static const char begin[] = "-----BEGIN ";
	static const char spki[] = "-----BEGIN PUBLIC KEY-----";
	EVP_PKEY *pk;
	BIO *in;

	if (memmem(p, len, "PRIVATE KEY", 11) != NULL)
		return auth_say(err, size, "%s: this is a private key: keep it "
		    "where tokens are made, and give the server the public one "
		    "(openssl pkey -in FILE -pubout)", from);
	if (len < sizeof spki - 1 || memcmp(p, spki, sizeof spki - 1) != 0) {
		if (memmem(p, len, "CERTIFICATE", 11) != NULL)
			return auth_say(err, size, "%s: this is a certificate: "
			    "give its key (openssl x509 -in FILE -noout -pubkey)",
			    from);
		if (memmem(p, len, "RSA PUBLIC KEY", 14) != NULL)
			return auth_say(err, size, "%s: this PEM form is not "
			    "read: convert it (openssl rsa -RSAPublicKey_in -in "
			    "FILE -pubout)", from);
		return auth_say(err, size, "%s: a PEM key must begin with %s",
		    from, spki);
	}
	if (memmem(p + 1, len - 1, begin, sizeof begin - 1) != NULL)
		return auth_say(err, size, "%s: there is more than one key: give "
		    "one", from);
	if (memmem(p, len, "\\n", 2) != NULL)
		return auth_say(err, size, "%s: the line breaks of the PEM key "
		    "are written as \\n: they must be real ones, or use "
		    "auth.key_file", from);

	if ((in = BIO_new_mem_buf(p, (int)len)) == NULL)
		return auth_say(err, size, "%s: out of memory", from);
	pk = PEM_read_bio_PUBKEY(in, NULL, no_password, NULL);
	BIO_free(in);
	ERR_clear_error();
	if (pk == NULL)
		return auth_say(err, size, "%s: the PEM key can't be read: is it "
		    "whole?", from);
	return auth_key_from_public(k, pk, from, err, size);
}

static int
key_from_bytes(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	const char *begin;
	int ret;

	if (len == 0)
		return auth_say(err, size, "%s: the key is empty", from);
	begin = memmem(p, len, "-----BEGIN", 10);
	if (begin != NULL && begin != p)
		return auth_say(err, size, "%s: something stands before "
		    "-----BEGIN: a PEM key must begin with it", from);
	if (begin != NULL)
		ret = key_from_pem(k, from, p, len, err, size);
	else
		ret = key_from_secret(k, from, p, len, err, size);
	if (ret == -1)
		return -1;
	log_info("auth: %s: %s, fingerprint %s", from, k->what, k->print);
	return 0;
}

static int
load_key_file(struct auth_key *k, const char *from, const char *path, char *err,
    size_t size)
{
	struct auth_file f;
	size_t len;
	int ret;

	if (auth_read_file(&f, from, path, KEY_FILE_MAX, err, size) == -1)
		return -1;
	len = f.len;
	if (len > 0 && f.p[len - 1] == '\n')
		len--;
	if (len > 0 && len < f.len && f.p[len - 1] == '\r')
		len--;
	ret = key_from_bytes(k, from, f.p, len, err, size);
	/* A public key may be read by everybody, but written by no stranger. */
	if (ret == 0)
		ret = auth_check_mode(&f, k->is_secret ? 007 : 002, from, path, err,
		    size);
	auth_wipe_free(f.p, f.len);
	return ret;
}

static struct auth_keys *
load_jwks_file(const char *from, const char *path, char *err, size_t size)
{
	struct auth_keys *keys = NULL;
	struct auth_file f;
	size_t i;

	if (auth_read_file(&f, from, path, JWKS_FILE_MAX, err, size) == -1)
		return NULL;
	if (auth_check_mode(&f, 002, from, path, err, size) == 0)
		keys = auth_jwks_read(from, f.p, f.len, err, size);
	auth_wipe_free(f.p, f.len);
	for (i = 0; keys != NULL && i < keys->n; i++)
		log_info("auth: %s: key \"%s\": %s, fingerprint %s", from,
		    keys->v[i].kid != NULL ? keys->v[i].kid : "",
		    keys->v[i].what, keys->v[i].print);
	return keys;
}

/* From an option's text, or else from the file that another names. */
static int
load_key(struct auth_key *k, const char *from, const char *text, const char *path,
    char *err, size_t size)
{
	if (text != NULL && text[0] != '\0')
		return key_from_bytes(k, from, text, strlen(text), err, size);
	return load_key_file(k, from, path, err, size);
}

static bool
same_key(const struct auth_key *a, const struct auth_key *b)
{
	return a->p != NULL && b->p != NULL && a->len == b->len &&
	    memcmp(a->p, b->p, a->len) == 0;
}

struct auth_keys *
auth_load_keys(struct auth_issuer *is, const struct auth_issuer_conf *c, char *err,
    size_t size)
{
	struct auth_keys *keys;
	struct auth_key *k;

	if (is->is_jwks)
		return load_jwks_file(is->from, c->jwks, err, size);
	if ((keys = auth_keys_new()) == NULL ||
	    (keys->v = calloc(2, sizeof *keys->v)) == NULL) {
		(void)auth_say(err, size, "%s: out of memory", is->from);
		goto fail;
	}
	k = keys->v;
	keys->n = is->before[0] != '\0' ? 2 : 1;
	k[1].is_before = true;
	if (load_key(&k[0], is->from, c->key, c->key_file, err, size) == -1 ||
	    (keys->n == 2 && load_key(&k[1], is->before, c->key_before,
	    c->key_before_file, err, size) == -1))
		goto fail;
	if (keys->n == 1 || !same_key(&k[0], &k[1]))
		return keys;
	(void)auth_say(err, size, "%s: it is the same key as %s: put the new one there",
	    is->before, is->from);
fail:
	auth_keys_unref(keys);
	return NULL;
}

void
auth_key_fini(struct auth_key *k)
{
	auth_wipe_free(k->p, k->len);
	k->p = NULL;
	EVP_PKEY_free(k->parsed);
	k->parsed = NULL;
	free(k->kid);
	k->kid = NULL;
}
