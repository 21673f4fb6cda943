/*
 * auth_signature.c - signatures made with RSA and EC keys, checked by OpenSSL.
 *
 * libjwt parses the PEM anew for every token, which is three quarters of what a check
 * costs; here the key stays as it was loaded.  HMAC is libjwt's: auth_token.c.
 */
#include "config.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "auth_internal.h"

static const EVP_MD *
digest_of(enum auth_alg alg)
{
	switch (alg) {
	case AUTH_RS256:
	case AUTH_ES256:
		return EVP_sha256();
	case AUTH_RS384:
	case AUTH_ES384:
		return EVP_sha384();
	case AUTH_RS512:
	case AUTH_ES512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

/* A token has r and s side by side (RFC 7518, 3.4), OpenSSL wants them in DER.  Freed
 * with OPENSSL_free(); NULL when memory ran out. */
static unsigned char *
der_of(const unsigned char *sig, size_t len, size_t *der_len)
{
	BIGNUM *r = BN_bin2bn(sig, (int)(len / 2), NULL);
	BIGNUM *s = BN_bin2bn(sig + len / 2, (int)(len / 2), NULL);
	ECDSA_SIG *pair = ECDSA_SIG_new();
	unsigned char *der = NULL;
	int n = -1;

	if (pair != NULL && r != NULL && s != NULL &&
	    ECDSA_SIG_set0(pair, r, s) == 1)
		n = i2d_ECDSA_SIG(pair, &der);
	else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(pair);
	if (n <= 0)
		return NULL;
	*der_len = (size_t)n;
	return der;
}

bool
auth_signature_matches(const struct auth_key *k, enum auth_alg alg,
    struct auth_bytes text, const unsigned char *sig, size_t len)
{
	const bool is_ec = alg == AUTH_ES256 || alg == AUTH_ES384 ||
	    alg == AUTH_ES512;
	const EVP_MD *md = digest_of(alg);
	unsigned char *der = NULL;
	EVP_MD_CTX *ctx;
	bool ok = false;

	if (k->parsed == NULL || md == NULL || (ctx = EVP_MD_CTX_new()) == NULL)
		return false;
	if (is_ec && (der = der_of(sig, len, &len)) == NULL)
		goto done;
	ok = EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->parsed) == 1 &&
	    EVP_DigestVerify(ctx, is_ec ? der : sig, len,
	    (const unsigned char *)text.p, text.len) == 1;
done:
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}
