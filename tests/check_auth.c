/*
 * check_auth.c - who may publish, who may subscribe, and why not.
 *
 * Tokens are made here, by OpenSSL alone: libjwt, which the server verifies with,
 * must not be its own witness.
 */
#include "config.h"

#include "auth.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth_internal.h"
#include "log.h"
#include "suite.h"

#define NOW_S	1750000000
#define NOW	(NOW_S * INT64_C(1000))
#define LEEWAY	INT64_C(5000)

/* 64 bytes, and its beginnings. */
#define SECRET64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
#define API_KEY	"ffk_5Nd8sKw0tPq2vRz7yBxLcMf3"
#define API_KEY2 "ffk_QhT6uJg1eWm4aZoXi9rVkDpY"

/* Keys: made once, before the tests. */
enum key_name {
	K_HS64, K_HS48, K_HS32, K_HS_OTHER,	/* HMAC secrets */
	K_RSA, K_RSA_OTHER, K_RSA1024, K_P256, K_P256_OTHER, K_P384, K_P521,
	K_SECP256K1, K_ED25519, K_NAMES
};
static EVP_PKEY *keys[K_NAMES];
static char *publics[K_NAMES], *privates[K_NAMES];
static char dir[PATH_MAX];

static const char *
secret_of(enum key_name k, size_t *len)
{
	static const char other[] = "another secret that is long enough for "
	    "every HMAC there is, all three";

	*len = k == K_HS64 ? 64 : k == K_HS48 ? 48 : k == K_HS32 ? 32 :
	    strlen(other);
	return k == K_HS_OTHER ? other : SECRET64;
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

static void
keep_key(enum key_name name, EVP_PKEY *pk)
{
	BIO *b;

	ck_assert_ptr_nonnull(pk);
	keys[name] = pk;
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PUBKEY(b, pk), 1);
	publics[name] = bio_text(b);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PrivateKey(b, pk, NULL, NULL, 0, NULL,
	    NULL), 1);
	privates[name] = bio_text(b);
}

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(dir, sizeof dir, "%s/check_auth.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	log_init(LOG_ERROR, false);
	keep_key(K_RSA, EVP_RSA_gen(2048));
	keep_key(K_RSA_OTHER, EVP_RSA_gen(2048));
	keep_key(K_RSA1024, EVP_RSA_gen(1024));
	keep_key(K_P256, EVP_EC_gen("P-256"));
	keep_key(K_P256_OTHER, EVP_EC_gen("P-256"));
	keep_key(K_P384, EVP_EC_gen("P-384"));
	keep_key(K_P521, EVP_EC_gen("P-521"));
	keep_key(K_SECP256K1, EVP_EC_gen("secp256k1"));
	keep_key(K_ED25519, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

static void
teardown(void)
{
	size_t i;

	for (i = 0; i < K_NAMES; i++) {
		EVP_PKEY_free(keys[i]);
		free(publics[i]);
		free(privates[i]);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Making tokens */

static char *
base64url(const void *p, size_t len)
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

/* The token over these texts; `how` says the digest (and "DER" to keep that). */
static char *
token_bytes(const char *header, const void *claims, size_t claims_len,
    enum key_name key, const char *how)
{
	char *h = base64url(header, strlen(header));
	char *c = base64url(claims, claims_len), *s, *input, *token;
	unsigned char sig[1024];
	size_t len = sizeof sig, secret_len;
	unsigned int hmac_len;
	const char *secret;
	EVP_MD_CTX *ctx;

	ck_assert_int_ge(asprintf(&input, "%s.%s", h, c), 0);
	if (key <= K_HS_OTHER) {
		secret = secret_of(key, &secret_len);
		ck_assert_ptr_nonnull(HMAC(digest_of(how), secret,
		    (int)secret_len, (unsigned char *)input, strlen(input), sig,
		    &hmac_len));
		len = hmac_len;
	} else if (strncmp(how, "HS", 2) == 0) {
		/* The old trick: a public key is known to all, sign with it. */
		ck_assert_ptr_nonnull(HMAC(digest_of(how), publics[key],
		    (int)strlen(publics[key]), (unsigned char *)input,
		    strlen(input), sig, &hmac_len));
		len = hmac_len;
	} else {
		ctx = EVP_MD_CTX_new();
		ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, digest_of(how),
		    NULL, keys[key]), 1);
		ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len,
		    (unsigned char *)input, strlen(input)), 1);
		EVP_MD_CTX_free(ctx);
		if (EVP_PKEY_get_base_id(keys[key]) == EVP_PKEY_EC &&
		    strstr(how, "DER") == NULL)
			len = raw_signature(keys[key], sig, len);
	}
	s = base64url(sig, len);
	ck_assert_int_ge(asprintf(&token, "%s.%s", input, s), 0);
	free(h);
	free(c);
	free(s);
	free(input);
	return token;
}

static char *
token(const char *header, const char *claims, enum key_name key, const char *how)
{
	return token_bytes(header, claims, strlen(claims), key, how);
}

/* An ordinary HS256 token with these claims. */
static char *
hs256(const char *claims)
{
	return token("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims, K_HS64,
	    "HS256");
}

/* Making a struct auth */

static struct auth *
auth_of(const struct auth_conf *c)
{
	char err[512] = "";
	struct auth *a = auth_new(c, err, sizeof err);

	ck_assert_msg(a != NULL, "auth_new: %s", err);
	return a;
}

static void
key_text(enum key_name k, char out[4096])
{
	const char *p;
	size_t len;

	if (k <= K_HS_OTHER) {
		p = secret_of(k, &len);
		memcpy(out, p, len);
		out[len] = '\0';
	} else
		(void)snprintf(out, 4096, "%s", publics[k]);
}

static struct auth *
auth_with_key(enum key_name k)
{
	char text[4096];
	struct auth_conf c = { .house.key = text, .house.leeway_ms = LEEWAY };

	key_text(k, text);
	return auth_of(&c);
}

static int
verify(struct auth *a, const char *text, enum auth_use use, int64_t now,
    struct auth_identity *id, enum problem *problem, char why[512])
{
	struct auth_credential cred = { text, text == NULL ? 0 : strlen(text) };

	*problem = PROBLEM_INTERNAL;
	(void)snprintf(why, 512, "(nothing)");
	return auth_verify(a, cred, use, now, id, problem, why, 512);
}

/* 0 when good, else the problem. */
static int
outcome(struct auth *a, const char *text, enum auth_use use, int64_t now)
{
	struct auth_identity id;
	enum problem problem;
	char why[512];

	if (verify(a, text, use, now, &id, &problem, why) == -1)
		return (int)problem;
	auth_identity_fini(&id);
	return 0;
}

static struct auth_identity
identity(struct auth *a, const char *text, enum auth_use use)
{
	struct auth_identity id;
	enum problem problem;
	char why[512];

	ck_assert_msg(verify(a, text, use, NOW, &id, &problem, why) == 0,
	    "refused: %s", why);
	return id;
}

static struct auth_identity
identity_of_claims(struct auth *a, const char *claims, enum auth_use use)
{
	char *t = hs256(claims);
	struct auth_identity id = identity(a, t, use);

	free(t);
	return id;
}

static bool
publishes(const struct auth *a, const struct auth_identity *id, const char *t)
{
	return auth_may_publish(a, id, t, strlen(t));
}

static bool
subscribes(const struct auth *a, const struct auth_identity *id, const char *t)
{
	return auth_may_subscribe(a, id, t, strlen(t));
}

/* The big table */

static void	replace(char **t, const char *fmt, ...)
		    __attribute__((format(printf, 2, 3)));

static void
replace(char **t, const char *fmt, ...)
{
	va_list ap;
	char *out;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&out, fmt, ap), 0);
	va_end(ap);
	free(*t);
	*t = out;
}

static size_t
signature_at(const char *t)
{
	return (size_t)(strrchr(t, '.') - t) + 1;
}

/* What is done to a token after it was signed. */
static void m_strip(char **t) { (*t)[signature_at(*t)] = '\0'; }
static void m_two(char **t) { (*t)[signature_at(*t) - 1] = '\0'; }
static void m_four(char **t) { replace(t, "%s.AAAA", *t); }
static void m_dot(char **t) { replace(t, "%s.", *t); }
static void m_front_dot(char **t) { replace(t, ".%s", *t); }
static void m_jwe(char **t) { replace(t, "%s.AAAA.AAAA", *t); }
static void m_pad(char **t) { replace(t, "%s=", *t); }
static void m_pad2(char **t) { replace(t, "%s==", *t); }
static void m_space(char **t) { replace(t, "%s ", *t); }
static void m_front_space(char **t) { replace(t, " %s", *t); }
static void m_newline(char **t) { replace(t, "%s\n", *t); }
static void m_quotes(char **t) { replace(t, "\"%s\"", *t); }
static void m_bearer(char **t) { replace(t, "Bearer %s", *t); }
static void m_junk(char **t) { replace(t, "%s!junk", *t); }
static void m_json(char **t) { replace(t, "{\"payload\":\"%s\"}", *t); }
static void m_dots(char **t) { replace(t, ".."); }
static void m_word(char **t) { replace(t, "letmein"); }
static void m_high(char **t) { replace(t, "%s\xc3\xa9", *t); }
static void m_cut(char **t) { (*t)[strlen(*t) - 4] = '\0'; }
static void m_cut1(char **t) { (*t)[strlen(*t) - 1] = '\0'; }
static void m_longer(char **t) { replace(t, "%sAAAA", *t); }
static void
m_flip_first(char **t)
{
	char *c = &(*t)[signature_at(*t)];

	*c = *c == 'A' ? 'B' : 'A';
}
static void
m_flip_last(char **t)
{
	char *c = &(*t)[strlen(*t) - 3];

	*c = *c == 'A' ? 'B' : 'A';
}
/* The two lowest bits of a last digit that has two or four to spare. */
static void
m_loose(char **t)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	char *c = &(*t)[strlen(*t) - 1];

	*c = digits[(strchr(digits, *c) - digits) | 1];
}
static void
m_flip_claims(char **t)
{
	char *c = strchr(*t, '.') + 9;

	*c = *c == 'A' ? 'B' : 'A';
}
static void
m_swap_case(char **t)
{
	char *c;

	for (c = &(*t)[signature_at(*t)]; *c != '\0'; c++)
		if (*c >= 'a' && *c <= 'z') {
			*c = (char)(*c - 32);
			return;
		}
}
static void
m_plus(char **t)
{
	(*t)[signature_at(*t) + 2] = '+';
}
static void
m_zero(char **t)
{
	char *c;

	for (c = &(*t)[signature_at(*t)]; *c != '\0'; c++)
		*c = 'A';
}

#define H(alg)	"{\"alg\":\"" alg "\",\"typ\":\"JWT\"}"
#define EXP	"\"exp\":1750003600"
#define GOOD	"{\"sub\":\"u\"," EXP "}"

static const struct row {
	const char	*what;
	enum key_name	 server;	/* the key that the server has */
	const char	*header, *claims;
	enum key_name	 signer;
	const char	*how;
	void		(*mangle)(char **);
	const char	*why;		/* NULL: it is good */
} rows[] = {
/* good ones */
{ "HS256", K_HS32, H("HS256"), GOOD, K_HS32, "HS256", NULL, NULL },
{ "HS256, long secret", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", NULL, NULL },
{ "HS384", K_HS48, H("HS384"), GOOD, K_HS48, "HS384", NULL, NULL },
{ "HS512", K_HS64, H("HS512"), GOOD, K_HS64, "HS512", NULL, NULL },
{ "RS256", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", NULL, NULL },
{ "RS384", K_RSA, H("RS384"), GOOD, K_RSA, "RS384", NULL, NULL },
{ "RS512", K_RSA, H("RS512"), GOOD, K_RSA, "RS512", NULL, NULL },
{ "ES256", K_P256, H("ES256"), GOOD, K_P256, "ES256", NULL, NULL },
{ "ES384", K_P384, H("ES384"), GOOD, K_P384, "ES384", NULL, NULL },
{ "ES512", K_P521, H("ES512"), GOOD, K_P521, "ES512", NULL, NULL },
{ "no typ", K_HS64, "{\"alg\":\"HS256\"}", GOOD, K_HS64, "HS256", NULL, NULL },
{ "typ jwt", K_HS64, "{\"typ\":\"jwt\",\"alg\":\"HS256\"}", GOOD, K_HS64, "HS256", NULL, NULL },
{ "kid of any kind", K_HS64, "{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\"}", GOOD, K_HS64, "HS256", NULL, NULL },
{ "jku, jwk, x5u", K_HS64, "{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/\",\"x5u\":\"http://127.0.0.1:1/\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", GOOD, K_HS64, "HS256", NULL, NULL },
{ "white space in JSON", K_HS64, " { \"alg\" : \"HS256\" } ", " { " EXP " } \n", K_HS64, "HS256", NULL, NULL },

/* the algorithm is the key's choice */
{ "none", K_HS64, H("none"), GOOD, K_HS64, "HS256", m_strip, "signature of the token is empty" },
{ "none with a signature", K_HS64, H("none"), GOOD, K_HS64, "HS256", NULL, "alg in the token's header is none" },
{ "None", K_HS64, H("None"), GOOD, K_HS64, "HS256", NULL, "none in the wrong case" },
{ "nOnE, two segments", K_HS64, H("nOnE"), GOOD, K_HS64, "HS256", m_two, "2 segments" },
{ "none against RSA", K_RSA, H("none"), GOOD, K_RSA, "RS256", NULL, "is none" },
{ "hs256", K_HS64, H("hs256"), GOOD, K_HS64, "HS256", NULL, "HS256 in the wrong case" },
{ "Hs256", K_HS64, H("Hs256"), GOOD, K_HS64, "HS256", NULL, "wrong case" },
{ "empty alg", K_HS64, H(""), GOOD, K_HS64, "HS256", NULL, "unknown" },
{ "no alg", K_HS64, "{\"typ\":\"JWT\"}", GOOD, K_HS64, "HS256", NULL, "no alg" },
{ "alg 256", K_HS64, "{\"alg\":256}", GOOD, K_HS64, "HS256", NULL, "no alg" },
{ "alg null", K_HS64, "{\"alg\":null}", GOOD, K_HS64, "HS256", NULL, "no alg" },
{ "alg list", K_HS64, "{\"alg\":[\"HS256\"]}", GOOD, K_HS64, "HS256", NULL, "no alg" },
{ "two algs", K_HS64, "{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, K_HS64, "HS256", NULL, "names something twice" },
{ "HS384 with 32 bytes", K_HS32, H("HS384"), GOOD, K_HS32, "HS384", NULL, "accepts HS256" },
{ "HS512 with 48 bytes", K_HS48, H("HS512"), GOOD, K_HS48, "HS512", NULL, "accepts HS256, HS384" },
{ "HS384 signed with SHA-256", K_HS64, H("HS384"), GOOD, K_HS64, "HS256", NULL, "length" },
{ "RS256 to a secret", K_HS64, H("RS256"), GOOD, K_RSA, "RS256", NULL, "RS256, but auth.key holds an HMAC secret" },
{ "RSA PEM as HMAC secret", K_RSA, H("HS256"), GOOD, K_RSA, "HS256", NULL, "HS256, but auth.key holds an RSA public key" },
{ "RSA PEM as HS512 secret", K_RSA, H("HS512"), GOOD, K_RSA, "HS512", NULL, "accepts RS256, RS384, RS512" },
{ "EC PEM as HMAC secret", K_P256, H("HS256"), GOOD, K_P256, "HS256", NULL, "accepts ES256" },
{ "ES256 says RS256", K_P256, H("RS256"), GOOD, K_P256, "ES256", NULL, "accepts ES256" },
{ "RS256 says RS512", K_RSA, H("RS512"), GOOD, K_RSA, "RS256", NULL, "does not match" },
{ "PS256", K_RSA, H("PS256"), GOOD, K_RSA, "RS256", NULL, "is PS256" },
{ "EdDSA", K_P256, H("EdDSA"), GOOD, K_P256, "ES256", NULL, "is EdDSA" },
{ "P-384 says ES256", K_P384, H("ES256"), GOOD, K_P384, "ES256", NULL, "accepts ES384" },
{ "P-384 token to P-256", K_P256, H("ES256"), GOOD, K_P384, "ES256", NULL, "length" },
{ "ES384 to P-256", K_P256, H("ES384"), GOOD, K_P384, "ES384", NULL, "accepts ES256" },
{ "ES256K curve to P-256", K_P256, H("ES256"), GOOD, K_SECP256K1, "ES256", NULL, "does not match" },
{ "RSA-1024 token", K_RSA, H("RS256"), GOOD, K_RSA1024, "RS256", NULL, "does not match" },

/* the rest of the header */
{ "crit", K_HS64, "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD, K_HS64, "HS256", NULL, "crit" },
{ "crit, empty", K_HS64, "{\"alg\":\"HS256\",\"crit\":[]}", GOOD, K_HS64, "HS256", NULL, "crit" },
{ "b64", K_HS64, "{\"alg\":\"HS256\",\"b64\":false}", GOOD, K_HS64, "HS256", NULL, "b64" },
{ "typ at+jwt", K_HS64, "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", GOOD, K_HS64, "HS256", NULL, "typ" },
{ "typ 1", K_HS64, "{\"alg\":\"HS256\",\"typ\":1}", GOOD, K_HS64, "HS256", NULL, "typ" },
{ "header list", K_HS64, "[\"HS256\"]", GOOD, K_HS64, "HS256", NULL, "header of the token is not a JSON object" },
{ "header text", K_HS64, "HS256", GOOD, K_HS64, "HS256", NULL, "header of the token is not JSON" },
{ "header with an escaped NUL", K_HS64, "{\"alg\":\"HS256\",\"x\":\"\\u0000\"}", GOOD, K_HS64, "HS256", NULL, "holds a NUL" },

/* the signature */
{ "other secret", K_HS64, H("HS256"), GOOD, K_HS_OTHER, "HS256", NULL, "does not match auth.key" },
{ "other RSA key", K_RSA, H("RS256"), GOOD, K_RSA_OTHER, "RS256", NULL, "does not match" },
{ "other EC key", K_P256, H("ES256"), GOOD, K_P256_OTHER, "ES256", NULL, "does not match" },
{ "stripped", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_strip, "signature of the token is empty" },
{ "stripped RS256", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_strip, "empty" },
{ "first bits flipped", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_flip_first, "does not match" },
{ "last bits flipped", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_flip_last, "does not match" },
{ "flipped RS256", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_flip_last, "does not match" },
{ "flipped ES256", K_P256, H("ES256"), GOOD, K_P256, "ES256", m_flip_first, "does not match" },
{ "claims changed", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_flip_claims, "" },
{ "claims changed, ES256", K_P256, H("ES256"), GOOD, K_P256, "ES256", m_flip_claims, "" },
{ "case changed", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_swap_case, "does not match" },
{ "zero r and s", K_P256, H("ES256"), GOOD, K_P256, "ES256", m_zero, "does not match" },
{ "zero RSA signature", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_zero, "does not match" },
{ "ES256 in DER", K_P256, H("ES256"), GOOD, K_P256, "ES256 DER", NULL, "" },
{ "three bytes short", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_cut, "" },
{ "one digit short", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_cut1, "" },
{ "three bytes long", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_longer, "length" },
{ "three bytes long, RSA", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_longer, "" },
{ "three bytes long, EC", K_P256, H("ES256"), GOOD, K_P256, "ES256", m_longer, "length" },
{ "loose last bits", K_P256, H("ES256"), GOOD, K_P256, "ES256", m_loose, "not base64url" },
{ "loose last bits, RSA", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_loose, "not base64url" },

/* the shape */
{ "two segments", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_two, "2 segments" },
{ "four segments", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_four, "4 segments" },
{ "four segments, RSA", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_four, "4 segments" },
{ "a dot behind", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_dot, "4 segments" },
{ "a dot in front", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_front_dot, "4 segments" },
{ "dots alone", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_dots, "header of the token is empty" },
{ "five segments", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_jwe, "JWE" },
{ "padded", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_pad, "padding" },
{ "padded, RSA", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_pad2, "padding" },
{ "plain base64", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_plus, "plain base64" },
{ "a space behind", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_space, "white space" },
{ "a space in front", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_front_space, "white space" },
{ "a newline behind", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_newline, "white space" },
{ "quoted", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_quotes, "quotation" },
{ "Bearer twice", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_bearer, "white space" },
{ "junk behind", K_RSA, H("RS256"), GOOD, K_RSA, "RS256", m_junk, "character" },
{ "JSON form", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_json, "JSON form" },
{ "not ASCII", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_high, "character" },
{ "a word", K_HS64, H("HS256"), GOOD, K_HS64, "HS256", m_word, "neither a token" },

/* the claims */
{ "claims list", K_HS64, H("HS256"), "[" EXP "]", K_HS64, "HS256", NULL, "payload of the token is not JSON" },
{ "claims in a list", K_HS64, H("HS256"), "[{" EXP "}]", K_HS64, "HS256", NULL, "not a JSON object" },
{ "claims text", K_HS64, H("HS256"), "exp", K_HS64, "HS256", NULL, "not JSON" },
{ "claims null", K_HS64, H("HS256"), "null", K_HS64, "HS256", NULL, "" },
{ "empty claims", K_HS64, H("HS256"), "{}", K_HS64, "HS256", NULL, "exp is missing" },
{ "two exps", K_HS64, H("HS256"), "{\"exp\":1," EXP "}", K_HS64, "HS256", NULL, "names something twice" },
{ "two subs", K_HS64, H("HS256"), "{\"sub\":\"a\",\"sub\":\"b\"," EXP "}", K_HS64, "HS256", NULL, "twice" },
{ "two grants, one escaped", K_HS64, H("HS256"), "{\"fanfare\":{},\"f\\u0061nfare\":{\"publish\":[\"**\"]}," EXP "}", K_HS64, "HS256", NULL, "twice" },
{ "two lists within", K_HS64, H("HS256"), "{\"fanfare\":{\"publish\":[],\"publish\":[\"**\"]}," EXP "}", K_HS64, "HS256", NULL, "twice" },
{ "something behind", K_HS64, H("HS256"), GOOD "{}", K_HS64, "HS256", NULL, "not JSON" },
{ "an escaped NUL", K_HS64, H("HS256"), "{\"sub\":\"a\\u0000b\"," EXP "}", K_HS64, "HS256", NULL, "NUL" },
{ "invalid UTF-8", K_HS64, H("HS256"), "{\"sub\":\"\xff\"," EXP "}", K_HS64, "HS256", NULL, "UTF-8" },
{ "lone surrogate", K_HS64, H("HS256"), "{\"sub\":\"\\ud800\"," EXP "}", K_HS64, "HS256", NULL, "" },
{ "depth 32", K_HS64, H("HS256"), "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "depth 33", K_HS64, H("HS256"), "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]," EXP "}", K_HS64, "HS256", NULL, "nested too deep" },
{ "brackets in a string", K_HS64, H("HS256"), "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "exp in a string", K_HS64, H("HS256"), "{\"exp\":\"1750003600\"}", K_HS64, "HS256", NULL, "exp is not a number" },
{ "exp true", K_HS64, H("HS256"), "{\"exp\":true}", K_HS64, "HS256", NULL, "exp is not a number" },
{ "exp null", K_HS64, H("HS256"), "{\"exp\":null}", K_HS64, "HS256", NULL, "exp is not a number" },
{ "exp list", K_HS64, H("HS256"), "{\"exp\":[1750003600]}", K_HS64, "HS256", NULL, "exp is not a number" },
{ "exp real", K_HS64, H("HS256"), "{\"exp\":1.7500036e9}", K_HS64, "HS256", NULL, NULL },
{ "exp 1750000000.5", K_HS64, H("HS256"), "{\"exp\":1750000000.5}", K_HS64, "HS256", NULL, NULL },
{ "exp 1e300", K_HS64, H("HS256"), "{\"exp\":1e300}", K_HS64, "HS256", NULL, NULL },
{ "exp 1e999", K_HS64, H("HS256"), "{\"exp\":1e999}", K_HS64, "HS256", NULL, "too large" },
{ "exp beyond 64 bits", K_HS64, H("HS256"), "{\"exp\":99999999999999999999}", K_HS64, "HS256", NULL, "too large" },
{ "exp NaN", K_HS64, H("HS256"), "{\"exp\":NaN}", K_HS64, "HS256", NULL, "not JSON" },
{ "exp 64 bits", K_HS64, H("HS256"), "{\"exp\":9223372036854775807}", K_HS64, "HS256", NULL, NULL },
{ "exp 0", K_HS64, H("HS256"), "{\"exp\":0}", K_HS64, "HS256", NULL, "expired" },
{ "exp -1", K_HS64, H("HS256"), "{\"exp\":-1}", K_HS64, "HS256", NULL, "expired" },
{ "exp least of 64 bits", K_HS64, H("HS256"), "{\"exp\":-9223372036854775808}", K_HS64, "HS256", NULL, "expired" },
{ "exp 6 s ago", K_HS64, H("HS256"), "{\"exp\":1749999994}", K_HS64, "HS256", NULL, "expired 6 seconds ago" },
{ "exp 5 s ago", K_HS64, H("HS256"), "{\"exp\":1749999995}", K_HS64, "HS256", NULL, "expired 5 seconds ago" },
{ "exp 4 s ago, in leeway", K_HS64, H("HS256"), "{\"exp\":1749999996}", K_HS64, "HS256", NULL, NULL },
{ "exp 3 minutes ago", K_HS64, H("HS256"), "{\"exp\":1749999820}", K_HS64, "HS256", NULL, "expired 3 minutes ago" },
{ "nbf past", K_HS64, H("HS256"), "{\"nbf\":1749999999," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "nbf in 5 s", K_HS64, H("HS256"), "{\"nbf\":1750000005," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "nbf in 6 s", K_HS64, H("HS256"), "{\"nbf\":1750000006," EXP "}", K_HS64, "HS256", NULL, "nbf is 6 seconds ahead" },
{ "nbf real, in an hour", K_HS64, H("HS256"), "{\"nbf\":1750003600.25," EXP "}", K_HS64, "HS256", NULL, "nbf is 60 minutes ahead" },
{ "nbf in a string", K_HS64, H("HS256"), "{\"nbf\":\"0\"," EXP "}", K_HS64, "HS256", NULL, "nbf is not a number" },
{ "nbf null", K_HS64, H("HS256"), "{\"nbf\":null," EXP "}", K_HS64, "HS256", NULL, "nbf is not a number" },
{ "sub number", K_HS64, H("HS256"), "{\"sub\":42," EXP "}", K_HS64, "HS256", NULL, "sub is not a string" },
{ "sub null", K_HS64, H("HS256"), "{\"sub\":null," EXP "}", K_HS64, "HS256", NULL, "sub is not a string" },
{ "sub empty", K_HS64, H("HS256"), "{\"sub\":\"\"," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "iss not asked for", K_HS64, H("HS256"), "{\"iss\":\"a\"," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "iss number", K_HS64, H("HS256"), "{\"iss\":1," EXP "}", K_HS64, "HS256", NULL, "iss is not a string" },
{ "aud not asked for", K_HS64, H("HS256"), "{\"aud\":[\"a\",\"b\"]," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "aud object", K_HS64, H("HS256"), "{\"aud\":{}," EXP "}", K_HS64, "HS256", NULL, "aud is neither" },
{ "aud list of numbers", K_HS64, H("HS256"), "{\"aud\":[1]," EXP "}", K_HS64, "HS256", NULL, "aud is neither" },
{ "grants a list", K_HS64, H("HS256"), "{\"fanfare\":[\"a\"]," EXP "}", K_HS64, "HS256", NULL, "fanfare is not an object" },
{ "grants null", K_HS64, H("HS256"), "{\"fanfare\":null," EXP "}", K_HS64, "HS256", NULL, "fanfare is not an object" },
{ "publish a string", K_HS64, H("HS256"), "{\"fanfare\":{\"publish\":\"a\"}," EXP "}", K_HS64, "HS256", NULL, "publish in claim fanfare is not a list" },
{ "subscribe an object", K_HS64, H("HS256"), "{\"fanfare\":{\"subscribe\":{}}," EXP "}", K_HS64, "HS256", NULL, "subscribe in claim fanfare is not a list" },
{ "subscribe with a number", K_HS64, H("HS256"), "{\"fanfare\":{\"subscribe\":[\"a\",1]}," EXP "}", K_HS64, "HS256", NULL, "not a string" },
{ "an unknown member", K_HS64, H("HS256"), "{\"fanfare\":{\"presence\":1}," EXP "}", K_HS64, "HS256", NULL, NULL },
{ "an illegal pattern", K_HS64, H("HS256"), "{\"fanfare\":{\"publish\":[\"**/a\",\"\"]}," EXP "}", K_HS64, "HS256", NULL, NULL },
};

START_TEST(a_token_is_judged_by_the_key_alone)
{
	const struct row *r = &rows[_i];
	struct auth *a = auth_with_key(r->server);
	struct auth_identity id;
	enum problem problem;
	char why[512];
	int pass, got;
	char *t;

	t = token(r->header, r->claims, r->signer, r->how);
	if (r->mangle != NULL)
		r->mangle(&t);
	/* Twice: what the cache says must be what was found. */
	for (pass = 0; pass < 2; pass++) {
		got = verify(a, t, AUTH_PUBLISH, NOW, &id, &problem, why);
		if (r->why == NULL) {
			ck_assert_msg(got == 0, "%s: refused: %s", r->what, why);
			ck_assert(id.expires_ms > 0 && id.key_id != 0);
			ck_assert(id.exp_ms == id.expires_ms);
			auth_identity_fini(&id);
			continue;
		}
		ck_assert_msg(got == -1, "%s: accepted", r->what);
		ck_assert_msg(strstr(why, r->why) != NULL, "%s: %s", r->what,
		    why);
		ck_assert_msg(problem == (strstr(why, "expired") != NULL ?
		    PROBLEM_TOKEN_EXPIRED : PROBLEM_TOKEN_INVALID), "%s: %d",
		    r->what, (int)problem);
		ck_assert_uint_eq(auth_cache_count(a), 0);
	}
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(a_nul_inside_never_hides_the_rest)
{
	struct auth *a = auth_with_key(K_HS64);
	char *t = hs256(GOOD), *longer;
	struct auth_credential cred;
	struct auth_identity id;
	enum problem problem;
	char why[512];
	size_t n = strlen(t);
	static const char claims[] = "{\"exp\":1750003600}\0,\"x\":1}";
	static const char in_name[] = "{\"exp\0\":1," EXP "}";

	ck_assert_ptr_nonnull(longer = calloc(1, n + 16));
	memcpy(longer, t, n);
	memcpy(longer + n + 1, "junk", 4);
	cred = (struct auth_credential){ longer, n + 1 };
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), -1);
	cred.len = n + 5;
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), -1);
	cred.len = n;		/* and what follows the length is not read */
	longer[n] = 'x';
	ck_assert_int_eq(auth_verify(a, cred, AUTH_SUBSCRIBE, NOW, &id, &problem,
	    why, sizeof why), 0);
	auth_identity_fini(&id);
	free(longer);
	free(t);

	t = token_bytes(H("HS256"), claims, sizeof claims - 1, K_HS64, "HS256");
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	free(t);
	t = token_bytes(H("HS256"), in_name, sizeof in_name - 1, K_HS64,
	    "HS256");
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(a_token_may_be_8192_bytes_long_and_no_longer)
{
	struct auth *a = auth_with_key(K_HS64);
	size_t pad, longest = 0;
	char fill[8192], *t = NULL, *claims;

	memset(fill, 'x', sizeof fill);
	for (pad = 6040; pad < 6120; pad++) {
		ck_assert_int_ge(asprintf(&claims, "{\"x\":\"%.*s\"," EXP "}",
		    (int)pad, fill), 0);
		free(t);
		t = hs256(claims);
		free(claims);
		if (strlen(t) <= 8192) {
			ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
			longest = strlen(t);
		} else
			ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW),
			    PROBLEM_TOKEN_INVALID);
	}
	ck_assert_uint_ge(longest, 8190);
	ck_assert_uint_gt(strlen(t), 8192);
	free(t);
	auth_free(a);
}
END_TEST

/* The same numbers in every run. */
static unsigned int
dice(unsigned int *state, unsigned int n)
{
	*state = *state * 1103515245u + 12345u;
	return (*state >> 16) % n;
}

/* Spoil up to four bytes, half of them with digits a token may have. */
static void
spoil(char *p, size_t len, unsigned int *state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_.=";
	unsigned int n = 1 + dice(state, 4);
	char *at;

	while (n-- > 0) {
		at = p + dice(state, (unsigned int)len);
		*at = dice(state, 2) == 0 ? digits[dice(state, 66)] :
		    (char)(1 + dice(state, 255));
	}
}

START_TEST(no_spoilt_token_is_good)
{
	static const struct {
		enum key_name	 key;
		const char	*header, *how;
	} kinds[] = {
		{ K_HS64, H("HS256"), "HS256" },
		{ K_RSA, H("RS256"), "RS256" },
		{ K_P256, H("ES256"), "ES256" },
	};
	unsigned int state = 1, i;
	char *good, *t;
	struct auth *a;
	size_t k;

	for (k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		a = auth_with_key(kinds[k].key);
		good = token(kinds[k].header, GOOD, kinds[k].key, kinds[k].how);
		for (i = 0; i < 3000; i++) {
			ck_assert_ptr_nonnull(t = strdup(good));
			spoil(t, strlen(t), &state);
			if (strcmp(t, good) != 0)
				ck_assert_msg(outcome(a, t, AUTH_SUBSCRIBE, NOW)
				    == PROBLEM_TOKEN_INVALID, "%s", t);
			free(t);
		}
		ck_assert_int_eq(outcome(a, good, AUTH_SUBSCRIBE, NOW), 0);
		free(good);
		auth_free(a);
	}
}
END_TEST

/* A signature vouches for who wrote the claims, not for their sense. */
START_TEST(spoilt_claims_well_signed_do_no_harm)
{
	static const char claims[] = "{\"iss\":\"a\",\"aud\":[\"b\"],\"sub\":\"u\","
	    "\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"b/**\"]}," EXP "}";
	const char *rules[] = { "user/{sub}", "{iss}/{aud}", NULL };
	struct auth_conf c = { .house.key = SECRET64, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	unsigned int state = 7, i, good = 0;
	struct auth_identity id;
	enum problem problem;
	char text[sizeof claims], why[512], *t;

	for (i = 0; i < 5000; i++) {
		memcpy(text, claims, sizeof claims);
		spoil(text, sizeof claims - 1, &state);
		t = hs256(text);
		if (verify(a, t, AUTH_PUBLISH, NOW, &id, &problem, why) == 0) {
			good++;
			ck_assert(id.expires_ms > NOW - LEEWAY);
			(void)subscribes(a, &id, "user/u");
			auth_identity_fini(&id);
		}
		free(t);
	}
	ck_assert(good > 0 && good < 5000);
	auth_free(a);
}
END_TEST

START_TEST(nothing_brought_is_token_missing)
{
	struct auth *a = auth_with_key(K_HS64);

	ck_assert_int_eq(outcome(a, NULL, AUTH_PUBLISH, NOW),
	    PROBLEM_TOKEN_MISSING);
	ck_assert_int_eq(outcome(a, "", AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_MISSING);
	auth_free(a);
}
END_TEST

START_TEST(issuer_and_audience_must_match_when_set)
{
	static const struct {
		const char *claims, *why;
	} cases[] = {
		{ "{\"iss\":\"https://a\",\"aud\":\"fan\"," EXP "}", NULL },
		{ "{\"iss\":\"https://a\",\"aud\":[\"x\",\"fan\"]," EXP "}", NULL },
		{ "{\"aud\":\"fan\"," EXP "}", "iss is missing" },
		{ "{\"iss\":\"https://a/\",\"aud\":\"fan\"," EXP "}", "iss differs" },
		{ "{\"iss\":\"HTTPS://A\",\"aud\":\"fan\"," EXP "}", "iss differs" },
		{ "{\"iss\":[\"https://a\"],\"aud\":\"fan\"," EXP "}", "iss is not" },
		{ "{\"iss\":\"https://a\"," EXP "}", "aud is missing" },
		{ "{\"iss\":\"https://a\",\"aud\":\"fanfare\"," EXP "}", "aud does not" },
		{ "{\"iss\":\"https://a\",\"aud\":[]," EXP "}", "aud does not" },
		{ "{\"iss\":\"https://a\",\"aud\":[\"x\"]," EXP "}", "aud does not" },
		{ "{\"iss\":\"https://a\",\"aud\":[\"fan\",1]," EXP "}", "aud is neither" },
		{ "{\"iss\":\"https://a\",\"aud\":null," EXP "}", "aud is neither" },
	};
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a",
	    .house.audience = "fan" };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	enum problem problem;
	char why[512], *t;
	size_t i;
	int got;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		t = hs256(cases[i].claims);
		got = verify(a, t, AUTH_SUBSCRIBE, NOW, &id, &problem, why);
		free(t);
		if (cases[i].why == NULL) {
			ck_assert_msg(got == 0, "%s: %s", cases[i].claims, why);
			auth_identity_fini(&id);
			continue;
		}
		ck_assert_msg(got == -1, "%s: accepted", cases[i].claims);
		ck_assert_msg(strstr(why, cases[i].why) != NULL, "%s: %s",
		    cases[i].claims, why);
	}
	auth_free(a);
}
END_TEST

START_TEST(a_reason_repeats_nothing_of_the_token)
{
	static const char *const claims[] = {
		"{\"sub\":\"CANARY\",\"iss\":\"CANARY\"}",
		"{\"exp\":\"CANARY\"}",
		"{\"CANARY\":1,\"CANARY\":2," EXP "}",
		"{\"aud\":{\"CANARY\":1}," EXP "}",
		"{\"sub\":[\"CANARY\"]," EXP "}",
		"{\"iss\":\"CANARY\"," EXP "}",
		"CANARY", "{\"a\":CANARY}",
	};
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a" };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	enum problem problem;
	char why[512], *t;
	size_t i;

	for (i = 0; i < sizeof claims / sizeof claims[0]; i++) {
		t = hs256(claims[i]);
		ck_assert_int_eq(verify(a, t, AUTH_SUBSCRIBE, NOW, &id, &problem,
		    why), -1);
		ck_assert_msg(strstr(why, "CANARY") == NULL, "%s", why);
		free(t);
	}
	t = token(H("CANARY"), GOOD, K_HS64, "HS256");
	ck_assert_int_eq(verify(a, t, AUTH_SUBSCRIBE, NOW, &id, &problem, why),
	    -1);
	ck_assert_ptr_null(strstr(why, "CANARY"));
	free(t);
	ck_assert_int_eq(verify(a, "ffk_CANARYCANARYCANARY", AUTH_PUBLISH, NOW,
	    &id, &problem, why), -1);
	ck_assert_ptr_null(strstr(why, "CANARY"));
	auth_free(a);
}
END_TEST

/* Times */

START_TEST(grace_is_for_subscribing_alone)
{
	static const struct {
		int64_t		 after_exp_ms;
		int		 publish, subscribe;
	} cases[] = {
		{ -1, 0, 0 },
		{ 0, 0, 0 },				/* leeway */
		{ 4999, 0, 0 },
		{ 5000, PROBLEM_TOKEN_EXPIRED, 0 },	/* grace */
		{ 60000, PROBLEM_TOKEN_EXPIRED, 0 },
		{ 64999, PROBLEM_TOKEN_EXPIRED, 0 },	/* grace and leeway */
		{ 65000, PROBLEM_TOKEN_EXPIRED, PROBLEM_TOKEN_EXPIRED },
	};
	struct auth_conf c = { .house.key = SECRET64, .house.leeway_ms = LEEWAY,
	    .house.grace_ms = 60000 };
	int64_t exp = NOW + 3600000, now;
	char *t = hs256("{\"sub\":\"u\"," EXP
	    ",\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"a\"]}}");
	struct auth *fresh, *warm = auth_of(&c);
	struct auth_identity id;
	size_t i;

	id = identity(warm, t, AUTH_SUBSCRIBE);
	ck_assert_int_eq(id.exp_ms, exp);
	ck_assert_int_eq(id.expires_ms, exp + 60000);
	ck_assert(auth_may_subscribe(warm, &id, "a", 1));
	/* Verified for subscribing: no right to publish comes with it. */
	ck_assert(!auth_may_publish(warm, &id, "a", 1));
	auth_identity_fini(&id);
	ck_assert_uint_eq(auth_cache_count(warm), 1);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		now = exp + cases[i].after_exp_ms;
		fresh = auth_of(&c);
		ck_assert_int_eq(outcome(fresh, t, AUTH_PUBLISH, now),
		    cases[i].publish);
		ck_assert_int_eq(outcome(fresh, t, AUTH_SUBSCRIBE, now),
		    cases[i].subscribe);
		auth_free(fresh);
		ck_assert_int_eq(outcome(warm, t, AUTH_PUBLISH, now),
		    cases[i].publish);
		ck_assert_int_eq(outcome(warm, t, AUTH_SUBSCRIBE, now),
		    cases[i].subscribe);
	}
	auth_free(warm);
	free(t);
}
END_TEST

START_TEST(the_cache_does_not_outlive_exp)
{
	struct auth *a = auth_with_key(K_HS64);
	char *t = hs256(GOOD);
	int64_t exp = NOW + 3600000;

	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(auth_cache_count(a), 1);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, exp + LEEWAY - 1), 0);
	ck_assert_uint_eq(a->cache.hits, 1);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, exp + LEEWAY),
	    PROBLEM_TOKEN_EXPIRED);
	ck_assert_uint_eq(auth_cache_count(a), 0);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(the_cache_asks_nbf_again_when_the_clock_goes_back)
{
	struct auth *a = auth_with_key(K_HS64);
	char *t = hs256("{\"nbf\":1750000000," EXP "}");

	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW - 60000),
	    PROBLEM_TOKEN_INVALID);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(a->cache.misses, 1);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(a_token_is_checked_once_and_a_bad_one_always)
{
	struct auth *a = auth_with_key(K_P256);
	char *good = token(H("ES256"), GOOD, K_P256, "ES256");
	char *bad = token(H("ES256"), GOOD, K_P256_OTHER, "ES256");
	int i;

	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(outcome(a, good, AUTH_SUBSCRIBE, NOW), 0);
		ck_assert_int_eq(outcome(a, bad, AUTH_SUBSCRIBE, NOW),
		    PROBLEM_TOKEN_INVALID);
	}
	ck_assert_uint_eq(a->cache.hits, 2);
	ck_assert_uint_eq(a->cache.misses, 4);
	ck_assert_uint_eq(auth_cache_count(a), 1);
	free(good);
	free(bad);
	auth_free(a);
}
END_TEST

START_TEST(the_cache_is_bounded_and_keeps_what_is_used)
{
	struct auth *a = auth_with_key(K_HS64);
	char *kept = hs256(GOOD), *t, claims[64];
	uint64_t misses;
	int i;

	ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	for (i = 0; i < AUTH_CACHE_MAX + 100; i++) {
		(void)snprintf(claims, sizeof claims, "{\"sub\":\"%d\"," EXP "}",
		    i);
		t = hs256(claims);
		ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW), 0);
		free(t);
		if (i % 1000 == 0)
			ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	}
	ck_assert_uint_eq(auth_cache_count(a), AUTH_CACHE_MAX);
	misses = a->cache.misses;
	ck_assert_int_eq(outcome(a, kept, AUTH_PUBLISH, NOW), 0);
	ck_assert_uint_eq(a->cache.misses, misses);
	free(kept);
	auth_free(a);
}
END_TEST

START_TEST(an_identity_outlives_the_auth_it_came_from)
{
	struct auth *a = auth_with_key(K_HS64), *b;
	struct auth_identity id = identity_of_claims(a,
	    "{\"sub\":\"u\"," EXP ",\"fanfare\":{\"subscribe\":[\"a/**\"]}}",
	    AUTH_SUBSCRIBE);

	auth_free(a);
	b = auth_with_key(K_HS64);
	ck_assert_uint_eq(auth_cache_count(b), 0);
	ck_assert(auth_may_subscribe(b, &id, "a/b", 3));
	ck_assert(!auth_may_subscribe(b, &id, "b", 1));
	ck_assert_str_eq(id.sub, "u");
	auth_identity_fini(&id);
	auth_free(b);
}
END_TEST

/* Who may what */

START_TEST(an_api_key_holds_for_its_patterns)
{
	const char *list[] = { "all:" API_KEY,
	    "news:" API_KEY2 ":news/**  https://x/1 a/*", NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	struct auth_identity all = identity(a, API_KEY, AUTH_PUBLISH);
	struct auth_identity news = identity(a, API_KEY2, AUTH_PUBLISH);

	ck_assert(all.is_api_key && all.sub == NULL);
	ck_assert(all.expires_ms == 0 && all.exp_ms == 0 && all.key_id != 0);
	ck_assert(publishes(a, &all, "any/thing"));
	ck_assert(subscribes(a, &all, "**"));
	ck_assert(publishes(a, &news, "news"));
	ck_assert(publishes(a, &news, "news/a/b"));
	ck_assert(publishes(a, &news, "https://x/1"));
	ck_assert(publishes(a, &news, "a/b"));
	ck_assert(!publishes(a, &news, "a/b/c"));
	ck_assert(!publishes(a, &news, "newsletter"));
	ck_assert(!publishes(a, &news, "a/*"));		/* not a topic */
	ck_assert(subscribes(a, &news, "a/*"));
	ck_assert(!subscribes(a, &news, "**"));
	ck_assert(!subscribes(a, &news, "other"));
	ck_assert(all.key_id != news.key_id && all.principal != news.principal);
	auth_identity_fini(&all);
	auth_identity_fini(&news);
	auth_free(a);
}
END_TEST

START_TEST(an_api_key_is_matched_whole)
{
	static const char *const wrong[] = {
		"ffk_", "ffk_5Nd8sKw0tPq2vRz7yBxLcMf", API_KEY "x", API_KEY " ",
		"ffk_5Nd8sKw0tPq2vRz7yBxLcMf4", "FFK_5Nd8sKw0tPq2vRz7yBxLcMf3",
		"all", ("all:" API_KEY),
	};
	const char *list[] = { "all:" API_KEY, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	size_t i;

	for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		ck_assert_int_eq(outcome(a, wrong[i], AUTH_PUBLISH, NOW),
		    PROBLEM_TOKEN_INVALID);
	ck_assert_int_eq(outcome(a, API_KEY, AUTH_PUBLISH, NOW), 0);
	auth_free(a);
}
END_TEST

START_TEST(keys_of_one_name_are_one_publisher_for_rotation)
{
	const char *list[] = { "web:" API_KEY, "web:" API_KEY2, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	struct auth_identity old = identity(a, API_KEY, AUTH_PUBLISH);
	struct auth_identity new = identity(a, API_KEY2, AUTH_PUBLISH);
	uint64_t ids[4] = { 0 };

	ck_assert(old.principal == new.principal);
	ck_assert(old.key_id != new.key_id);
	ck_assert_uint_eq(auth_key_ids(a, ids, 4), 2);
	ck_assert(ids[0] == old.key_id && ids[1] == new.key_id && ids[2] == 0);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 2);
	auth_identity_fini(&old);
	auth_identity_fini(&new);
	auth_free(a);
}
END_TEST

START_TEST(grants_cover_what_they_name_and_no_more)
{
	static const struct {
		const char *asked;
		bool publish, subscribe;
	} cases[] = {
		{ "out/a", true, false },	/* publish and subscribe are two */
		{ "in/a", false, true },
		{ "in/a/b", false, true },
		{ "in", false, true },
		{ "in/**", false, true },
		{ "in/*", false, true },
		{ "in/*/x", false, true },
		{ "inn/a", false, false },	/* a prefix is no segment */
		{ "in/../x", false, true },	/* two dots are only a name */
		{ "IN/a", false, false },
		{ "in%2fa", false, false },
		{ "in\xef\xbc\x8f" "a", false, false },	/* a wide slash */
		{ "/in/a", false, false },
		{ "*", false, false },
		{ "**", false, false },
		{ "*/a", false, false },
		{ "out/*", false, false },
		{ "out/**", false, false },
		{ "one/x", false, true },
		{ "one/*", false, true },
		{ "one/x/y", false, false },
		{ "one/**", false, false },
		{ "one", false, false },
		{ "both/x", false, true },
		{ "both/**", false, false },	/* no single grant covers it */
		{ "in/**/a", false, false },	/* illegal */
		{ "", false, false },
	};
	struct auth *a = auth_with_key(K_HS64);
	char *t = hs256("{" EXP ",\"fanfare\":{\"publish\":[\"out/a\"],"
	    "\"subscribe\":[\"in/**\",\"one/*\",\"both/*\",\"both/*/**\","
	    "\"**/bad\",\"\"],\"more\":1}}");
	struct auth_identity p = identity(a, t, AUTH_PUBLISH);
	struct auth_identity s = identity(a, t, AUTH_SUBSCRIBE);
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(publishes(a, &p, cases[i].asked) ==
		    cases[i].publish, "publish %s", cases[i].asked);
		ck_assert_msg(subscribes(a, &s, cases[i].asked) ==
		    cases[i].subscribe, "subscribe %s", cases[i].asked);
		ck_assert(!publishes(a, NULL, cases[i].asked));
		ck_assert(!subscribes(a, NULL, cases[i].asked));
	}
	auth_identity_fini(&p);
	auth_identity_fini(&s);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(grants_claim_may_have_another_name)
{
	struct auth_conf c = { .house.key = SECRET64,
	    .house.grants_claim = "https://example.com/fanfare" };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity_of_claims(a, "{" EXP
	    ",\"fanfare\":{\"publish\":[\"no\"]},"
	    "\"https://example.com/fanfare\":{\"publish\":[\"yes\"]}}",
	    AUTH_PUBLISH);

	ck_assert(publishes(a, &id, "yes") && !publishes(a, &id, "no"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(public_topics_need_nobody_and_never_publish)
{
	const char *public[] = { "news/**", "scores/*", NULL };
	const char *list[] = { "other:" API_KEY ":other", NULL };
	struct auth_conf c = { .api_keys = list, .public_topics = public };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity(a, API_KEY, AUTH_PUBLISH);

	ck_assert(subscribes(a, NULL, "news") && subscribes(a, NULL, "news/a/b"));
	ck_assert(subscribes(a, NULL, "news/**") && subscribes(a, NULL, "scores/*"));
	ck_assert(!subscribes(a, NULL, "scores/**"));
	ck_assert(!subscribes(a, NULL, "**"));
	ck_assert(!subscribes(a, NULL, "newsroom"));
	ck_assert(auth_is_public(a, "scores/1", 8));
	ck_assert(!auth_is_public(a, "other", 5));
	ck_assert(subscribes(a, &id, "news/a") && subscribes(a, &id, "other"));
	ck_assert(!publishes(a, &id, "news/a"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(a_claim_in_a_rule_is_one_literal_segment)
{
	static const struct {
		const char *claims, *asked;
		bool may;
	} cases[] = {
		{ "\"sub\":\"42\"", "user/42", true },
		{ "\"sub\":\"42\"", "user/42/mail", true },
		{ "\"sub\":\"42\"", "user/42/**", true },
		{ "\"sub\":\"42\"", "user/4", false },
		{ "\"sub\":\"42\"", "user/421", false },
		{ "\"sub\":\"42\"", "user/*", false },
		{ "\"sub\":\"42\"", "user/**", false },
		{ "\"sub\":\"42\"", "user/{sub}/x", false },
		{ "\"sub\":\"42\"", "app/anything", true },
		{ "\"sub\":\"42\"", "app/**", true },
		{ "\"sub\":\"a|b@c\"", "user/a|b@c/x", true },
		{ "\"sub\":\"\xc3\xa9\"", "user/\xc3\xa9", true },
		{ "\"sub\":\"A\"", "user/a", false },
		{ "\"sub\":\"{sub}\"", "user/{sub}/x", true },
		{ "\"sub\":\"**\"", "user/1", false },
		{ "\"sub\":\"**\"", "own/1", false },
		{ "\"sub\":\"**\"", "own/**", false },
		{ "\"sub\":\"*\"", "own/1", false },
		{ "\"sub\":\"*\"", "own/*", false },
		{ "\"sub\":\"1\"", "own/1", true },
		{ "\"sub\":\"1\"", "own/1/2", false },
		{ "\"sub\":\"1\",\"org\":\"\"", "org//all", false },
		{ "\"sub\":\"1\",\"org\":\"**\"", "org/o/all", false },
		{ "\"sub\":\"**\"", "user/**", false },
		{ "\"sub\":\"*\"", "user/1", false },
		{ "\"sub\":\"*\"", "user/*", false },
		{ "\"sub\":\"*\"", "user/*/x", false },
		{ "\"sub\":\"*\"", "app/x", true },	/* it is a sub */
		{ "\"sub\":\"***\"", "user/***", true },	/* a plain name */
		{ "\"sub\":\"a/b\"", "user/a/b", false },
		{ "\"sub\":\"a/b\"", "user/a", false },
		{ "\"sub\":\"..\"", "user/42", false },
		{ "\"sub\":\"a\\nb\"", "user/a", false },
		{ "\"sub\":\"a\\u0085b\"", "user/a", false },
		{ "\"sub\":\"\"", "user/", false },
		{ "\"sub\":\"\"", "user//x", false },
		{ "\"sub\":\"\"", "app/x", false },
		{ "\"org\":\"o\"", "app/x", false },		/* no sub at all */
		{ "\"org\":\"o\"", "org/o/all", false },
		{ "\"sub\":\"1\",\"org\":\"o\"", "org/o/all", true },
		{ "\"sub\":\"1\",\"org\":\"o\"", "org/o/members/1", true },
		{ "\"sub\":\"1\",\"org\":\"o\"", "org/o/members/2", false },
		{ "\"sub\":\"1\",\"org\":\"o\"", "org/p/all", false },
		{ "\"sub\":\"1\"", "org/o/all", false },
		{ "\"sub\":\"1\"", "org//all", false },
		{ "\"sub\":\"1\",\"org\":7", "org/7/all", false },
		{ "\"sub\":\"1\",\"org\":[\"o\"]", "org/o/all", false },
		{ "\"sub\":\"1\",\"org\":null", "org/null/all", false },
		{ "\"sub\":\"1\",\"https://x.org/id\":\"i\"", "x/i", true },
		{ "\"sub\":\"1\",\"https://x.org/id\":\"i\"", "x/j", false },
	};
	const char *rules[] = { "user/{sub}/**", "app/**", "org/{org}/all",
	    "org/{org}/members/{sub}", "own/{sub}", "x/{https://x.org/id}", NULL };
	struct auth_conf c = { .house.key = SECRET64, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	char claims[256];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		(void)snprintf(claims, sizeof claims, "{%s," EXP "}",
		    cases[i].claims);
		id = identity_of_claims(a, claims, AUTH_SUBSCRIBE);
		ck_assert_msg(subscribes(a, &id, cases[i].asked) == cases[i].may,
		    "%s: %s", cases[i].claims, cases[i].asked);
		ck_assert(!publishes(a, &id, cases[i].asked));
		auth_identity_fini(&id);
		ck_assert(!subscribes(a, NULL, cases[i].asked));
	}
	auth_free(a);
}
END_TEST

START_TEST(a_claim_may_not_make_a_topic_too_long)
{
	const char *rules[] = { "user/{sub}", NULL };
	struct auth_conf c = { .house.key = SECRET64, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	char topic[1100], claims[1200];
	int n;

	for (n = 1010; n < 1030; n++) {
		memset(topic, 'x', sizeof topic);
		memcpy(topic, "user/", 5);
		topic[5 + n] = '\0';
		(void)snprintf(claims, sizeof claims, "{\"sub\":\"%s\"," EXP "}",
		    topic + 5);
		id = identity_of_claims(a, claims, AUTH_SUBSCRIBE);
		ck_assert_int_eq(subscribes(a, &id, topic), 5 + n <= 1024);
		auth_identity_fini(&id);
	}
	auth_free(a);
}
END_TEST

START_TEST(rules_are_not_for_api_keys)
{
	const char *rules[] = { "app/**", NULL };
	const char *list[] = { "web:" API_KEY ":web/**", NULL };
	struct auth_conf c = { .api_keys = list, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity(a, API_KEY, AUTH_SUBSCRIBE);

	ck_assert(subscribes(a, &id, "web/1") && !subscribes(a, &id, "app/1"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(a_principal_is_issuer_and_sub_or_the_token)
{
	struct auth *a = auth_with_key(K_HS64);
	static const char *const claims[] = {
		"{\"sub\":\"u\"," EXP "}",
		"{\"sub\":\"u\",\"exp\":1750003601}",	/* same person */
		"{\"sub\":\"v\"," EXP "}",
		"{\"iss\":\"i\",\"sub\":\"u\"," EXP "}",
		"{\"iss\":\"iu\",\"sub\":\"\"," EXP "}",
		"{" EXP "}",
		"{\"exp\":1750003601}",
	};
	uint64_t p[7];
	struct auth_identity id;
	size_t i, j;

	for (i = 0; i < 7; i++) {
		id = identity_of_claims(a, claims[i], AUTH_PUBLISH);
		p[i] = id.principal;
		auth_identity_fini(&id);
	}
	for (i = 0; i < 7; i++)
		for (j = 0; j < i; j++)
			ck_assert_msg((p[i] == p[j]) == (i == 1 && j == 0),
			    "%zu and %zu", i, j);
	auth_free(a);
}
END_TEST

/* Reloads */

/* The one id that this configuration holds. */
static uint64_t
only_id(const struct auth_conf *c)
{
	struct auth *a = auth_of(c);
	uint64_t id;

	ck_assert_uint_eq(auth_key_ids(a, &id, 1), 1);
	auth_free(a);
	return id;
}

static uint64_t
api_id(const char *line)
{
	const char *list[] = { line, NULL };
	struct auth_conf c = { .api_keys = list };

	return only_id(&c);
}

START_TEST(a_key_id_is_stable_over_reloads_iff_the_key_is_the_same)
{
	struct auth_conf c = { .house.key = SECRET64 }, d;
	char extra[4200];
	struct auth *a;
	struct auth_identity id;
	uint64_t one = only_id(&c);

	a = auth_of(&c);
	id = identity_of_claims(a, GOOD, AUTH_SUBSCRIBE);
	ck_assert(id.key_id == one);
	auth_identity_fini(&id);
	auth_free(a);

	d = c;
	d.house.grace_ms = d.house.leeway_ms = 7000;	/* not the key's matter */
	ck_assert(only_id(&d) == one);
	d = c;
	d.house.key = SECRET64 "x";
	ck_assert(only_id(&d) != one);
	d = c;
	d.house.issuer = "https://a";
	ck_assert(only_id(&d) != one);
	d.house.issuer = NULL;
	d.house.audience = "https://a";
	ck_assert(only_id(&d) != one);

	d = (struct auth_conf){ .house.key = publics[K_P256] };
	one = only_id(&d);
	(void)snprintf(extra, sizeof extra, "%s\n\n", publics[K_P256]);
	d.house.key = extra;			/* other bytes, the same key */
	ck_assert(only_id(&d) == one);
	d.house.key = publics[K_P256_OTHER];
	ck_assert(only_id(&d) != one);

	one = api_id("web:" API_KEY ":a b/** c");
	ck_assert(api_id("web:" API_KEY ":c  a b/** a") == one);
	ck_assert(api_id("web:" API_KEY ":a b/**") != one);
	ck_assert(api_id("web:" API_KEY ":a b/** c d") != one);
	ck_assert(api_id("webs:" API_KEY ":a b/** c") != one);
	ck_assert(api_id("web:" API_KEY2 ":a b/** c") != one);
	ck_assert(api_id("web:" API_KEY) == api_id("web:" API_KEY ":**"));
}
END_TEST

/* Bad configuration */

/* The message that this configuration is refused with. */
static const char *
refusal(const struct auth_conf *c)
{
	static char err[1024];
	struct auth *a;

	(void)snprintf(err, sizeof err, "(nothing)");
	a = auth_new(c, err, sizeof err);
	if (a != NULL) {
		auth_free(a);
		return "(accepted)";
	}
	return err;
}

#define ck_says(text, part) do {					\
	const char *said_ = (text);					\
	ck_assert_msg(strstr(said_, (part)) != NULL, "\"%s\" does not "	\
	    "say \"%s\"", said_, (part));				\
} while (0)

START_TEST(a_bad_key_is_refused_by_name)
{
	static const char rsa_private[] = "-----BEGIN RSA PRIVATE KEY-----\nAA==\n"
	    "-----END RSA PRIVATE KEY-----\n";
	const struct {
		const char *key, *says;
	} cases[] = {
		{ "short", "the secret has 5 bytes, but 32 or more" },
		{ "0123456789abcdef0123456789abcde", "31 bytes" },
		{ privates[K_RSA], "private key" },
		{ privates[K_P256], "private key" },
		{ rsa_private, "private key" },
		{ "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
		    "certificate" },
		{ "-----BEGIN RSA PUBLIC KEY-----\nAA==\n"
		    "-----END RSA PUBLIC KEY-----", "RSAPublicKey_in" },
		{ "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
		    "can't be read" },
		{ "-----BEGIN PUBLIC KEY-----\\nAAAA\\n"
		    "-----END PUBLIC KEY-----", "written as \\n" },
		{ "-----BEGIN", "must begin with" },
		{ "-----BEGIN PUBLIC KEY-----", "can't be read" },
		{ publics[K_RSA1024], "1024 bits, but 2048" },
		{ publics[K_SECP256K1], "curve secp256k1" },
		{ publics[K_ED25519], "type ED25519" },
		{ "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		    "JWK" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAA x",
		    "not in PEM form" },
	};
	struct auth_conf c = { .house.key = NULL };
	const char *said;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		c.house.key = cases[i].key;
		said = refusal(&c);
		ck_says(said, cases[i].says);
		ck_assert_msg(strncmp(said, "auth.key: ", 10) == 0, "%s", said);
		ck_assert(strlen(said) < 300);
	}
}
END_TEST

/* If such a thing were taken for an HMAC secret, all who know the public key could
 * sign. */
START_TEST(a_public_key_is_never_an_hmac_secret)
{
	static const enum key_name names[] = { K_RSA, K_P256, K_P384, K_P521 };
	char text[4096], *s, *d;
	struct auth_conf c = { .house.key = text };
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(text, sizeof text, "\n%s", publics[names[i]]);
		ck_says(refusal(&c), "before -----BEGIN");
		(void)snprintf(text, sizeof text, "\xef\xbb\xbf%s",
		    publics[names[i]]);
		ck_says(refusal(&c), "before -----BEGIN");
		(void)snprintf(text, sizeof text, "%s%s", publics[names[i]],
		    publics[K_P256]);
		ck_says(refusal(&c), "more than one key");
		(void)snprintf(text, sizeof text, "%s%s", publics[names[i]],
		    privates[K_P256]);
		ck_says(refusal(&c), "private key");
		/* Its inside alone, in lines and in one line. */
		s = strchr(publics[names[i]], '\n') + 1;
		(void)snprintf(text, sizeof text, "%.*s",
		    (int)(strstr(s, "-----END") - s), s);
		ck_says(refusal(&c), "not in PEM form");
		for (s = d = text; *s != '\0'; s++)
			if (*s != '\n' && *s != '=')
				*d++ = *s;
		*d = '\0';
		ck_says(refusal(&c), "not in PEM form");
	}
}
END_TEST

START_TEST(a_bad_api_key_is_refused_by_place_and_not_repeated)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ API_KEY, "no colon" },
		{ "web", "no colon" },
		{ "", "no colon" },
		{ ":" API_KEY, "name" },
		{ API_KEY ":web", "does not begin with ffk_" },
		{ "web:" , "does not begin with ffk_" },
		{ "web:secretsecretsecretsecret", "does not begin with ffk_" },
		{ "web:FFK_5Nd8sKw0tPq2vRz7yBxLcMf3", "does not begin with ffk_" },
		{ "web:ffk_5Nd8sKw0tPq2vRz", "19 characters" },
		{ "web:ffk_5Nd8sKw0 tPq2vRz7yBx", "space" },
		{ "web:\"" API_KEY "\"", "does not begin" },
		{ "we b:" API_KEY, "name" },
		{ "w\xc3\xa9" "b:" API_KEY, "name" },
		{ "web:" API_KEY ":", "no pattern" },
		{ "web:" API_KEY ":  ", "no pattern" },
		{ "web:" API_KEY ":a/**/b", "a pattern of key web has a segment" },
		{ "web:" API_KEY ":a \xff", "not UTF-8" },
	};
	const char *list[] = { "ok:" API_KEY2, NULL, NULL };
	struct auth_conf c = { .api_keys = list };
	const char *said;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		list[1] = cases[i].line;
		said = refusal(&c);
		ck_says(said, cases[i].says);
		ck_says(said, "auth.api_keys entry 2: ");
		ck_assert_ptr_null(strstr(said, "5Nd8"));
		ck_assert_ptr_null(strstr(said, "secretsecret"));
	}
	list[1] = "other:" API_KEY2;
	ck_says(refusal(&c), "key other has the same secret as key ok");
}
END_TEST

START_TEST(a_bad_rule_is_refused_by_name)
{
	static const struct {
		const char *public, *authenticated, *says;
	} cases[] = {
		{ "a/**/b", NULL, "topics.public: the topic \"a/**/b\" has" },
		{ "a\nb", NULL, "control character" },
		{ "user/{sub}", NULL, "topics.public: \"user/{sub}\" names a claim" },
		{ "{sub}", NULL, "names a claim" },
		{ "{sub}/x", NULL, "names a claim" },
		{ NULL, "a/**/b", "topics.authenticated: the topic" },
		{ NULL, "user/{sub", "whole segment" },
		{ NULL, "user/sub}", "whole segment" },
		{ NULL, "user/{}", "whole segment" },
		{ NULL, "user/x{sub}", "whole segment" },
		{ NULL, "user/{sub}x", "whole segment" },
		{ NULL, "user/{sub}{org}", "whole segment" },
		{ NULL, "user/{{sub}}", "whole segment" },
		{ NULL, "user/**/{sub}", "topics.authenticated: the topic" },
		{ NULL, "\xff/{sub}", "not UTF-8" },
	};
	const char *public[2] = { NULL, NULL }, *authenticated[2] = { NULL, NULL };
	struct auth_conf c = { .house.key = SECRET64, .public_topics = public,
	    .authenticated_topics = authenticated };
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		public[0] = cases[i].public;
		authenticated[0] = cases[i].authenticated;
		ck_says(refusal(&c), cases[i].says);
	}
	public[0] = "a{b}c";		/* odd, but a topic */
	authenticated[0] = "{sub}";
	ck_says(refusal(&c), "(accepted)");
	c.house.grants_claim = "sub";
	ck_says(refusal(&c), "auth.grants_claim");
}
END_TEST

START_TEST(no_key_at_all_is_refused_unless_allowed)
{
	const char *none[] = { NULL };
	struct auth_conf c = { .api_keys = none, .house.key = "", .house.key_file = "" };
	struct auth *a;

	ck_says(refusal(&c), "no key at all");
	ck_says(refusal(&c), "fanfare key");
	c.allow_none = true;
	a = auth_of(&c);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 0);
	ck_assert_int_eq(outcome(a, "a.b.c", AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	auth_free(a);
	c.house.key = SECRET64;
	c.house.key_file = "/nowhere";
	ck_says(refusal(&c), "auth.key and auth.key_file are both set");
}
END_TEST

/* Files */

static const char *
file_with(const void *p, size_t len, mode_t mode)
{
	static char path[PATH_MAX];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof path, "%s/key", dir),
	    (int)sizeof path);
	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	ck_assert_uint_eq(fwrite(p, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	return path;
}

static const char *
text_file(const char *text, mode_t mode)
{
	return file_with(text, strlen(text), mode);
}

START_TEST(one_line_end_of_a_key_file_is_dropped)
{
	static const struct {
		const char *text, *key;
	} cases[] = {
		{ SECRET64, SECRET64 },
		{ SECRET64 "\n", SECRET64 },
		{ SECRET64 "\r\n", SECRET64 },
		{ SECRET64 "\n\n", SECRET64 "\n" },
		{ SECRET64 "\r", SECRET64 "\r" },
		{ SECRET64 " \n", SECRET64 " " },
		{ "\n" SECRET64 "\n", "\n" SECRET64 },
	};
	struct auth_conf inl = { .house.key = NULL }, file = { .house.key = NULL };
	char binary[64];
	struct auth *a;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		inl.house.key = cases[i].key;
		file.house.key_file = text_file(cases[i].text, 0600);
		ck_assert_msg(only_id(&file) == only_id(&inl), "case %zu", i);
	}
	memset(binary, 0, sizeof binary);	/* NULs are bytes like others */
	binary[62] = 1;
	file.house.key_file = file_with(binary, sizeof binary, 0600);
	a = auth_of(&file);
	ck_assert_uint_eq(a->issuers[0].source->keys->v[0].len, 64);
	auth_free(a);
	ck_assert_int_eq(unlink(file.house.key_file), 0);
}
END_TEST

START_TEST(a_secret_file_open_to_others_is_refused)
{
	static const struct {
		mode_t mode;
		bool secret, public;	/* is it accepted? */
	} cases[] = {
		{ 0400, true, true }, { 0600, true, true }, { 0640, true, true },
		{ 0660, true, true }, { 0644, false, true },
		{ 0604, false, true }, { 0601, false, true },
		{ 0602, false, false }, { 0666, false, false },
	};
	struct auth_conf key = { .house.key = NULL }, list = { .house.key = NULL };
	const char *said;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		key.house.key_file = text_file(SECRET64, cases[i].mode);
		said = refusal(&key);
		ck_says(said, cases[i].secret ? "(accepted)" : "chmod o-rwx");
		if (!cases[i].secret)
			ck_says(said, "auth.key_file: ");
		ck_assert_int_eq(unlink(key.house.key_file), 0);
		key.house.key_file = text_file(publics[K_RSA], cases[i].mode);
		ck_says(refusal(&key), cases[i].public ? "(accepted)" : "chmod");
		ck_assert_int_eq(unlink(key.house.key_file), 0);
		list.api_keys_file = text_file("web:" API_KEY, cases[i].mode);
		said = refusal(&list);
		ck_says(said, cases[i].secret ? "(accepted)" : "chmod o-rwx");
		if (!cases[i].secret)
			ck_says(said, "auth.api_keys_file: ");
		ck_assert_int_eq(unlink(list.api_keys_file), 0);
	}
}
END_TEST

START_TEST(a_bad_file_is_refused_by_name)
{
	struct auth_conf key = { .house.key = NULL }, list = { .house.key = NULL };
	char path[PATH_MAX + 16], *big;

	(void)snprintf(path, sizeof path, "%s/nowhere", dir);
	key.house.key_file = list.api_keys_file = path;
	ck_says(refusal(&key), "auth.key_file: ");
	ck_says(refusal(&key), "nowhere: No such file");
	list.house.key_file = NULL;
	ck_says(refusal(&list), "auth.api_keys_file: ");
	key.house.key_file = dir;
	ck_says(refusal(&key), "Is a directory");
	key.house.key_file = text_file("", 0600);
	ck_says(refusal(&key), "auth.key_file: the key is empty");
	key.house.key_file = text_file("\n", 0600);
	ck_says(refusal(&key), "the key is empty");
	key.house.key_file = text_file("short\n", 0600);
	ck_says(refusal(&key), "auth.key_file: the secret has 5 bytes");
	ck_assert_ptr_nonnull(big = calloc(1, 100000));
	key.house.key_file = file_with(big, 100000, 0600);
	ck_says(refusal(&key), "larger than 65536 bytes");
	free(big);
	list.api_keys_file = text_file("# keys\n\n  web:" API_KEY "\r\n\n"
	    "app:nonsense\n", 0600);
	ck_says(refusal(&list), "auth.api_keys_file line 5: ");
	list.api_keys_file = file_with("a\0b", 3, 0600);
	ck_says(refusal(&list), "not a text file");
	list.api_keys_file = text_file("# none\n", 0600);
	ck_says(refusal(&list), "no key at all");
	ck_assert_int_eq(unlink(list.api_keys_file), 0);
}
END_TEST

START_TEST(a_file_of_api_keys_adds_to_the_list)
{
	const char *inl[] = { "one:" API_KEY, NULL };
	struct auth_conf c = { .api_keys = inl };
	struct auth_identity id;
	struct auth *a;

	c.api_keys_file = text_file("# comment\n\t # another\n\n"
	    " \ttwo:" API_KEY2 ":a b \r\n"
	    "three:ffk_00000000000000000000", 0600);
	a = auth_of(&c);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 3);
	id = identity(a, API_KEY2, AUTH_PUBLISH);
	ck_assert(publishes(a, &id, "b") && !publishes(a, &id, "c"));
	auth_identity_fini(&id);
	ck_assert_int_eq(outcome(a, "ffk_00000000000000000000", AUTH_PUBLISH,
	    NOW), 0);
	auth_free(a);
	c.api_keys_file = text_file("one:" API_KEY, 0600);
	ck_says(refusal(&c), "auth.api_keys_file line 1: key one has the same");
	ck_assert_int_eq(unlink(c.api_keys_file), 0);
}
END_TEST

/* The command line's part */

START_TEST(a_minted_token_is_good_here)
{
	const char *publish[] = { "out/**", NULL };
	const char *subscribe[] = { "in/*", "x", NULL };
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a",
	    .house.audience = "fan", .house.grants_claim = "rights" };
	struct auth_mint m = { publish, subscribe, "42", 60000, 0.5 };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	char err[512], *t;

	t = auth_mint_token(a, &m, NOW, err, sizeof err);
	ck_assert_msg(t != NULL, "%s", err);
	id = identity(a, t, AUTH_PUBLISH);
	ck_assert_str_eq(id.sub, "42");
	ck_assert(id.rate > 0.49 && id.rate < 0.51);
	ck_assert_int_eq(id.exp_ms, NOW + 60000);
	ck_assert(publishes(a, &id, "out/1") && !publishes(a, &id, "x"));
	ck_assert(subscribes(a, &id, "in/1") && subscribes(a, &id, "x"));
	ck_assert(!subscribes(a, &id, "out/1"));
	auth_identity_fini(&id);
	ck_assert_int_eq(outcome(a, t, AUTH_PUBLISH, NOW + 60000),
	    PROBLEM_TOKEN_EXPIRED);
	free(t);
	m = (struct auth_mint){ .lifetime_ms = 1 };
	t = auth_mint_token(a, &m, NOW, err, sizeof err);
	ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW), 0);
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(minting_says_what_it_cannot_do)
{
	const char *bad[] = { "a/**/b", NULL };
	const char *list[] = { "web:" API_KEY, NULL };
	struct auth_conf none = { .api_keys = list };
	struct auth_mint m = { .lifetime_ms = 1000 };
	struct auth *a;
	char err[512] = "";

	a = auth_with_key(K_RSA);
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "auth.key is a public key");
	auth_free(a);
	a = auth_of(&none);
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "no key to sign with");
	auth_free(a);
	a = auth_with_key(K_HS64);
	m.subscribe = bad;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "subscribe: the topic \"a/**/b\" has");
	m.subscribe = NULL;
	m.sub = "\xff";
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "UTF-8");
	m.sub = NULL;
	m.lifetime_ms = 0;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_says(err, "lifetime");
	m.lifetime_ms = INT64_MAX;
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	auth_free(a);
}
END_TEST

START_TEST(a_made_secret_is_new_and_accepted)
{
	char *one = auth_make_secret(), *two = auth_make_secret(), line[128];
	const char *list[] = { line, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a;

	ck_assert_ptr_nonnull(one);
	ck_assert_ptr_nonnull(two);
	ck_assert_str_ne(one, two);
	ck_assert_uint_eq(strlen(one), 4 + 43);
	ck_assert_uint_eq(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_"), 4 + 43);
	(void)snprintf(line, sizeof line, "web:%s", one);
	a = auth_of(&c);
	ck_assert_int_eq(outcome(a, one, AUTH_PUBLISH, NOW), 0);
	ck_assert_int_eq(outcome(a, two, AUTH_PUBLISH, NOW),
	    PROBLEM_TOKEN_INVALID);
	auth_free(a);
	free(one);
	free(two);
}
END_TEST

/* What auth_explain() prints. */
static const char *
explained(struct auth *a, const char *text, int64_t now, bool *good)
{
	static char out[16384];
	FILE *f = tmpfile();
	int saved;
	size_t n;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fflush(stdout), 0);
	ck_assert_int_ge(saved = dup(STDOUT_FILENO), 0);
	ck_assert_int_ge(dup2(fileno(f), STDOUT_FILENO), 0);
	*good = auth_explain(a, text, now);
	(void)fflush(stdout);
	ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
	close(saved);
	rewind(f);
	n = fread(out, 1, sizeof out - 1, f);
	out[n] = '\0';
	(void)fclose(f);
	if (getenv("CHECK_AUTH_SHOW") != NULL)
		(void)fprintf(stderr, "----\n%s", out);
	return out;
}

START_TEST(explain_names_what_is_wrong)
{
	static const struct {
		enum key_name	 server, signer;
		const char	*header, *claims, *how;
		bool		 good;
		const char	*says[4];
	} cases[] = {
		{ K_HS64, K_HS64, H("HS256"),
		    "{\"sub\":\"42\"," EXP ",\"fanfare\":{\"subscribe\":[\"a/*\"]}}",
		    "HS256", true, { "Accepted", "a/*", "in 60 minutes",
		    "user/42/**   from user/{sub}/**" } },
		{ K_HS64, K_HS64, H("HS256"), "{\"exp\":1749999820}", "HS256",
		    false, { "Refused with 401 token_expired", "3 minutes ago",
		    "2025-06-15T15:03:40.000Z" } },
		{ K_HS64, K_HS64, H("HS256"), "{\"sub\":\"42\"}", "HS256", false,
		    { "Refused with 401 token_invalid", "exp is missing" } },
		{ K_HS64, K_HS64, H("HS256"), "{\"exp\":1750003600000}", "HS256",
		    false, { "written in milliseconds?", "grants nothing of its own" } },
		{ K_HS64, K_HS64, H("HS256"), "{" EXP ",\"topics\":[\"a\"]}",
		    "HS256", false, { "topics", "not used", "no sub",
		    "\"fanfare\": {\"subscribe\": " } },
		{ K_HS64, K_HS64, H("HS256"), "{" EXP ",\"sub\":\"a/b\"}",
		    "HS256", false, { "user/{sub}/**   no: a claim it names" } },
		{ K_HS64, K_HS64, H("HS256"),
		    "{" EXP ",\"sub\":\"1\",\"iss\":\"https://b\"}", "HS256", true,
		    { "\"https://b\"; not compared: auth.issuer is not set" } },
		{ K_HS64, K_HS_OTHER, H("HS256"), GOOD, "HS256", false,
		    { "made with another key", "nobody vouches",
		    "If that were mended" } },
		{ K_HS64, K_RSA, H("RS256"), GOOD, "RS256", false,
		    { "alg in the token's header is RS256, but auth.key holds an "
		    "HMAC secret of 64 bytes", "not checked" } },
		{ K_RSA, K_HS64, H("HS256"), GOOD, "HS256", false,
		    { "RSA public key of 2048 bits, which accepts RS256" } },
		{ K_HS64, K_HS64, H("HS256"),
		    "{" EXP ",\"nbf\":1750000600,\"sub\":\"1\"}", "HS256", false,
		    { "nbf is 10 minutes ahead", "in 10 minutes" } },
		{ K_HS64, K_HS64, H("HS256"), "[]", "HS256", false,
		    { "payload of the token is not a JSON object" } },
	};
	const char *rules[] = { "user/{sub}/**", NULL };
	char key[4096], *t;
	struct auth_conf c = { .house.key = key, .house.leeway_ms = LEEWAY,
	    .authenticated_topics = rules };
	const char *said;
	struct auth *a;
	size_t i, j;
	bool good;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		key_text(cases[i].server, key);
		a = auth_of(&c);
		t = token(cases[i].header, cases[i].claims, cases[i].signer,
		    cases[i].how);
		said = explained(a, t, NOW, &good);
		ck_assert_msg(good == cases[i].good, "%s:\n%s", cases[i].claims,
		    said);
		for (j = 0; j < 4 && cases[i].says[j] != NULL; j++)
			ck_says(said, cases[i].says[j]);
		/* Never the signature, however short a piece of it. */
		t[signature_at(t) + 12] = '\0';
		ck_assert_ptr_null(strstr(said, t + signature_at(t)));
		free(t);
		auth_free(a);
	}
}
END_TEST

START_TEST(explain_compares_issuer_audience_and_grace)
{
	struct auth_conf c = { .house.key = SECRET64, .house.issuer = "https://a",
	    .house.audience = "fan", .house.grace_ms = 7200000 };
	struct auth *a = auth_of(&c);
	char *t = hs256("{\"iss\":\"https://b\",\"aud\":[\"x\"]," EXP "}");
	const char *said;
	bool good;

	said = explained(a, t, NOW, &good);
	ck_assert(!good);
	ck_says(said, "claim iss differs from auth.issuer: \"https://b\"; "
	    "auth.issuer is \"https://a\"");
	ck_says(said, "[\"x\"]; auth.audience is \"fan\"");
	ck_says(said, "Refused with 401 token_invalid: claim iss differs");
	free(t);

	t = hs256("{\"iss\":\"https://a\",\"aud\":[\"fan\"],\"exp\":1749999000,"
	    "\"fanfare\":{\"subscribe\":[\"a\"],\"publish\":[\"a\"]}}");
	said = explained(a, t, NOW, &good);
	ck_assert(good);
	ck_says(said, "Accepted, but for subscribing alone");
	ck_says(said, "2 hours longer (auth.grace)");
	ck_says(said, "auth.grace is not for publishing");
	free(t);
	auth_free(a);
}
END_TEST

START_TEST(explain_takes_what_people_paste)
{
	const char *list[] = { "web:" API_KEY ":a/**", NULL };
	struct auth_conf c = { .house.key = SECRET64, .api_keys = list };
	struct auth *a = auth_of(&c);
	const char *said;
	char *t = hs256("{" EXP ",\"fanfare\":{\"publish\":[\"\\u009b2Jx\","
	    "\"ok\"]},\"note\":\"\\u009b2J\\u007f\\u001b[2J\xc3\xa9\"}");
	char longest[8194];
	bool good;

	said = explained(a, API_KEY "\n", NOW, &good);
	ck_assert(good);
	ck_says(said, "web, fingerprint");
	ck_says(said, "a/**");
	ck_assert_ptr_null(strstr(said, "5Nd8"));
	said = explained(a, API_KEY2, NOW, &good);
	ck_assert(!good);
	ck_says(said, "none of the 1");
	(void)explained(a, "", NOW, &good);
	ck_assert(!good);
	said = explained(a, "letmein", NOW, &good);
	ck_assert(!good);
	ck_says(said, "neither a token");
	memset(longest, 'a', sizeof longest - 1);
	memcpy(longest, "a.b.", 4);
	longest[sizeof longest - 1] = '\0';
	said = explained(a, longest, NOW, &good);
	ck_assert(!good);
	ck_says(said, "longer than 8192 bytes");

	replace(&t, "  Bearer %s\n", t);
	said = explained(a, t, NOW, &good);
	ck_assert(good);
	ck_says(said, "\xc3\xa9");		/* text stays text */
	/* but no terminal is told what to do */
	ck_assert_ptr_null(strstr(said, "\xc2\x9b"));
	ck_assert_ptr_null(strchr(said, '\x1b'));
	ck_assert_ptr_null(strchr(said, '\x7f'));
	free(t);
	auth_free(a);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth");
	TCase *tc;

	tc = tcase_create("tokens");
	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_token_is_judged_by_the_key_alone, 0,
	    (int)(sizeof rows / sizeof rows[0]));
	tcase_add_test(tc, a_nul_inside_never_hides_the_rest);
	tcase_add_test(tc, a_token_may_be_8192_bytes_long_and_no_longer);
	tcase_add_test(tc, no_spoilt_token_is_good);
	tcase_add_test(tc, spoilt_claims_well_signed_do_no_harm);
	tcase_add_test(tc, nothing_brought_is_token_missing);
	tcase_add_test(tc, issuer_and_audience_must_match_when_set);
	tcase_add_test(tc, a_reason_repeats_nothing_of_the_token);
	tcase_add_test(tc, grace_is_for_subscribing_alone);
	tcase_add_test(tc, the_cache_does_not_outlive_exp);
	tcase_add_test(tc, the_cache_asks_nbf_again_when_the_clock_goes_back);
	tcase_add_test(tc, a_token_is_checked_once_and_a_bad_one_always);
	tcase_add_test(tc, the_cache_is_bounded_and_keeps_what_is_used);
	tcase_add_test(tc, an_identity_outlives_the_auth_it_came_from);
	tcase_add_test(tc, an_api_key_holds_for_its_patterns);
	tcase_add_test(tc, an_api_key_is_matched_whole);
	tcase_add_test(tc, keys_of_one_name_are_one_publisher_for_rotation);
	tcase_add_test(tc, grants_cover_what_they_name_and_no_more);
	tcase_add_test(tc, grants_claim_may_have_another_name);
	tcase_add_test(tc, public_topics_need_nobody_and_never_publish);
	tcase_add_test(tc, a_claim_in_a_rule_is_one_literal_segment);
	tcase_add_test(tc, a_claim_may_not_make_a_topic_too_long);
	tcase_add_test(tc, rules_are_not_for_api_keys);
	tcase_add_test(tc, a_principal_is_issuer_and_sub_or_the_token);
	tcase_add_test(tc,
	    a_key_id_is_stable_over_reloads_iff_the_key_is_the_same);
	tcase_add_test(tc, a_bad_key_is_refused_by_name);
	tcase_add_test(tc, a_public_key_is_never_an_hmac_secret);
	tcase_add_test(tc, a_bad_api_key_is_refused_by_place_and_not_repeated);
	tcase_add_test(tc, a_bad_rule_is_refused_by_name);
	tcase_add_test(tc, no_key_at_all_is_refused_unless_allowed);
	tcase_add_test(tc, one_line_end_of_a_key_file_is_dropped);
	tcase_add_test(tc, a_secret_file_open_to_others_is_refused);
	tcase_add_test(tc, a_bad_file_is_refused_by_name);
	tcase_add_test(tc, a_file_of_api_keys_adds_to_the_list);
	tcase_add_test(tc, a_minted_token_is_good_here);
	tcase_add_test(tc, minting_says_what_it_cannot_do);
	tcase_add_test(tc, a_made_secret_is_new_and_accepted);
	tcase_add_test(tc, explain_names_what_is_wrong);
	tcase_add_test(tc, explain_compares_issuer_audience_and_grace);
	tcase_add_test(tc, explain_takes_what_people_paste);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
