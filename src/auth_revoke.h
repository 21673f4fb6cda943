/*
 * auth_revoke.h - tokens that were good and are no more: whose, and since when.
 *
 * A revocation names a sub or a jti, of one issuer or of all.  Of a sub it refuses the
 * tokens issued up to then (a token without iat counts as the oldest there can be), of a
 * jti the token, for ever.  Names are kept as hashes, so each takes the same room.
 *
 * One thread at a time: the http thread's.  What must survive is the store's to keep.
 */
#ifndef AUTH_REVOKE_H
#define AUTH_REVOKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "store.h"

#define AUTH_REVOKED_MAX	1000000

struct auth_revoked;

struct auth_revocation {
	bool		 is_jti;
	const char	*text;		/* the sub or jti */
	size_t		 len;
	const char	*iss;		/* auth_find_issuer()'s; NULL: of all issuers */
};

/* As the store keeps it.  0; -1: no memory. */
int	auth_revocation_name(const struct auth_revocation *v, int64_t time_ms,
	    struct store_revocation *out);

struct auth_revoked *auth_revoked_new(size_t max);	/* NULL: no memory */
void	auth_revoked_free(struct auth_revoked *r);
/* Is there room for it?  Also when it is there already. */
bool	auth_revoked_has_room(const struct auth_revoked *r,
	    const struct store_revocation *v);
/* From now on.  One that is there stays with the later time.  0; -1: no memory. */
int	auth_revoke(struct auth_revoked *r, const struct store_revocation *v);
/* For store_load_revocations(). */
int	auth_revoked_take(void *arg, const struct store_revocation *v);

/* Rises with each revocation. */
uint64_t auth_revoked_number(const struct auth_revoked *r);
/*
 * Must it be refused?  `since` is auth_revoked_number() when the token was verified: what
 * was revoked since then is revoked whatever its iat says; for one that was verified just
 * now it is the number of now.  True: `why` is for the log and names no claim's value.
 */
bool	auth_is_revoked(const struct auth_revoked *r, const struct auth_identity *id,
	    uint64_t since, char *why, size_t why_size);

size_t	auth_revoked_count(const struct auth_revoked *r);
/* When the oldest was made; 0: there is none. */
int64_t	auth_revoked_oldest(const struct auth_revoked *r);
/* Some of then and before are not known any more: tokens issued up to then are refused. */
void	auth_revoked_forgot(struct auth_revoked *r, int64_t ms);
/* Drop those of then and before, at most `n`, oldest first.  Returns how many. */
size_t	auth_revoked_forget(struct auth_revoked *r, int64_t until_ms, size_t n);

#endif
