/*
 * issuer.h - a login provider for tests: keys, sets of them, tokens, and an endpoint.
 *
 * What these return is the test's, and freed behind it.
 */
#ifndef ISSUER_H
#define ISSUER_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/evp.h>

#include "harness.h"

enum key_name { RSA1, RSA2, P256, P256_NEW, P384, P521, RSA1024, KEYS };

EVP_PKEY	*issuer_key(enum key_name name);
char		*b64(const void *p, size_t len);
/* One JWK; `more` is ",\"use\":\"sig\"" and so on. */
char		*jwk(enum key_name name, const char *kid, const char *more);
char		*set_of(const char *keys);
/* A token over these texts. */
char		*sign_token(enum key_name name, const char *header,
		    const char *claims);
/* A header line with a token of this issuer and subject, which reads a/ and below, and
 * would publish everywhere.  kid may be NULL. */
char		*bearer(enum key_name name, const char *kid, const char *iss,
		    const char *sub);

/* In the mood DOWN connections end without an answer. */
enum mood { GOOD, DOWN, MISSING, BROKEN, HANGS, DRIBBLES, REDIRECTS, HTML, HUGE_BODY,
	NOTHING_OF_USE, EMPTY, HUGE_HEAD, CONTINUES, DRIPS, GZIP, TO_FILE, CUT, SECRETS,
	MOODS };

struct endpoint {
	int		 fd, port;
	pthread_t	 thread;
	_Atomic(int)	 mood;
	_Atomic(int)	 hits, other_hits;	/* /jwks; any other path */
	_Atomic(bool)	 stop;
	pthread_mutex_t	 lock;
	char		*body, *headers;	/* by lock; the endpoint's */
	int		 held[1024];
	int		 nheld;
};

/* It serves this at /jwks, until the test is over. */
struct endpoint	*endpoint(const char *body);
void		 endpoint_serve(struct endpoint *e, const char *body);

#endif
