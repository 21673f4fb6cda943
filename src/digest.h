/*
 * digest.h - SHA-256 of several pieces, each with its length, cut to 16 bytes.
 *
 * Pure; OpenSSL's.  Lengths go in too, so that ("ab","c") and ("a","bc") differ.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include <stddef.h>

#define DIGEST_BYTES	16

struct digest;

struct digest	*digest_new(void);	/* NULL: no memory */
void		 digest_add(struct digest *d, const void *p, size_t len);
/* Frees it.  0; or -1 when anything failed on the way. */
int		 digest_end(struct digest *d, unsigned char out[DIGEST_BYTES]);
/* The same as a weak entity tag. */
#define DIGEST_ETAG_SIZE	(2 * 12 + 5)
int		 digest_end_etag(struct digest *d, char out[DIGEST_ETAG_SIZE]);
/* Plain SHA-256 of a script or style as a Content-Security-Policy names it, with its
 * quotes.  0 or -1. */
#define DIGEST_CSP_SIZE		(44 + 9 + 1)
int		 digest_csp(const void *p, size_t len, char out[DIGEST_CSP_SIZE]);

#endif
