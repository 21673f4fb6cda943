/*
 * digest.c - a thin layer over EVP.
 */
#include "config.h"

#include "digest.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digest {
	EVP_MD_CTX	*ctx;
	bool		 failed;
};

struct digest *
digest_new(void)
{
	struct digest *d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return NULL;
	if ((d->ctx = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(d->ctx);
		free(d);
		return NULL;
	}
	return d;
}

void
digest_add(struct digest *d, const void *p, size_t len)
{
	uint64_t n = len;

	if (EVP_DigestUpdate(d->ctx, &n, sizeof(n)) != 1 ||
	    (len > 0 && EVP_DigestUpdate(d->ctx, p, len) != 1))
		d->failed = true;
}

int
digest_end(struct digest *d, unsigned char out[DIGEST_BYTES])
{
	unsigned char full[EVP_MAX_MD_SIZE];
	bool failed = d->failed;

	if (EVP_DigestFinal_ex(d->ctx, full, NULL) != 1)
		failed = true;
	else
		memcpy(out, full, DIGEST_BYTES);
	EVP_MD_CTX_free(d->ctx);
	free(d);
	return failed ? -1 : 0;
}

int
digest_end_etag(struct digest *d, char out[DIGEST_ETAG_SIZE])
{
	unsigned char sum[DIGEST_BYTES];

	out[0] = '\0';
	if (digest_end(d, sum) == -1)
		return -1;
	(void)memcpy(out, "W/\"", 3);
	for (size_t i = 0; i < 12; i++) {
		out[3 + 2 * i] = "0123456789abcdef"[sum[i] >> 4];
		out[4 + 2 * i] = "0123456789abcdef"[sum[i] & 15];
	}
	(void)memcpy(out + 27, "\"", 2);
	return 0;
}

int
digest_csp(const void *p, size_t len, char out[DIGEST_CSP_SIZE])
{
	unsigned char md[32], text[45];

	if (EVP_Digest(p, len, md, NULL, EVP_sha256(), NULL) != 1 ||
	    EVP_EncodeBlock(text, md, sizeof(md)) != 44)
		return -1;
	(void)snprintf(out, DIGEST_CSP_SIZE, "'sha256-%.44s'", (const char *)text);
	return 0;
}
