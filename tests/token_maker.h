/*
 * token_maker.h - keys and tokens for tests, good ones and others.
 *
 * All of it is OpenSSL's work alone: libjwt, which the server verifies with, must not
 * be its own witness.  Keys are made once in a process and have names: the secrets
 * HS32, HS48, HS64 (so many bytes), HS-OTHER, HS-EMPTY; and the pairs RSA, RSA-OTHER,
 * RSA1024, RSA3072, P256, P256-OTHER, P384, P521, P224, SECP256K1, ED25519.
 */
#ifndef TOKEN_MAKER_H
#define TOKEN_MAKER_H

#include <stddef.h>

#include <openssl/evp.h>

/* 64 bytes, the secret HS64; HS32 and HS48 are its beginnings. */
#define SECRET64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

void		 maker_fini(void);		/* at the end: keys and all */
EVP_PKEY	*maker_pair(const char *name);
/* The secret, or the public key in PEM: what a server is given as its key. */
const char	*maker_key(const char *name, size_t *len);
const char	*maker_public(const char *name);	/* PEM */
const char	*maker_private(const char *name);	/* PEM */
/* Returns new a JWKS of these pairs (NAME=KID ..., apart by spaces). */
char		*maker_jwks(const char *pairs);

char		*maker_base64url(const void *p, size_t len);	/* returns new */
/* Returns new the bytes; NULL: it is not base64url. */
unsigned char	*maker_decode(const char *text, size_t *len);

/*
 * Returns new the signature over `text` as `signer` says: ALG/KEY, of which ALG names
 * the digest and padding (HS, RS, ES or PS and 256, 384 or 512; EdDSA; none).  KEY may
 * end in .pem, .pem-nl (without its last line end), .der or .bare (base64 without
 * frame): then the public key in that form is the HMAC secret; an ES signature with
 * .der is not made raw.
 */
unsigned char	*maker_sign(const char *signer, const char *text, size_t *len);
/* Returns new the token over these texts. */
char		*maker_token_bytes(const void *header, size_t header_len,
		    const void *claims, size_t claims_len, const char *signer);
char		*maker_token(const char *header, const char *claims,
		    const char *signer);

#endif
