/*
 * auth.h - who may publish and who may subscribe.
 *
 * Holds API keys, the issuers of tokens with their keys, and the topic rules of
 * fanfare.conf(5).  One struct auth is immutable but for its cache of verified tokens and
 * the keys that are fetched (auth_fetch.h), and belongs to the thread that uses it (the
 * http thread); a reload makes a new one.  What takes long to verify is left to the
 * threads of auth_pool.h.  jwt.h stays in auth*.c.
 *
 * Never is a token, a secret or a claim's value logged from here.
 */
#ifndef AUTH_H
#define AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"
#include "topic.h"

#define AUTH_ISSUER_SIZE	48

struct auth;
struct auth_revoked;

/* Who signs tokens: [auth], the house, or an [auth.NAME]. */
struct auth_issuer_conf {
	const char		*name;		/* NULL: the house */
	const char		*key;		/* HMAC secret or PEM public key */
	const char		*key_file;
	const char		*jwks;		/* a file, or a URL */
	const char		*key_before;	/* beside key or key_file: checks tokens, */
	const char		*key_before_file;	/* and makes none */
	const char		*issuer, *audience;
	const char		*grants_claim;	/* "fanfare" */
	int64_t			 leeway_ms, grace_ms;
	int64_t			 max_life_ms;	/* 0: no limit */
	bool			 reads_only;	/* its tokens never publish */
	const char *const	*topics;	/* in place of authenticated_topics, even
						 * when it is empty; NULL: those */
};

/* All strings are borrowed during auth_new() alone.  Lists end in NULL; NULL and ""
 * both stand for "not set". */
struct auth_conf {
	const char *const	*api_keys;	/* NAME:SECRET[:PATTERN ...] */
	const char		*api_keys_file;	/* one such line each; # comments */
	struct auth_issuer_conf	 house;		/* judges what no other does */
	const struct auth_issuer_conf *issuers;	/* each has name, key, issuer */
	size_t			 n_issuers;
	const char *const	*public_topics;		/* patterns */
	const char *const	*authenticated_topics;	/* patterns with {claim}; for
							 * issuers without topics */
	bool			 allow_none;	/* no key at all is no error */
};

/*
 * Check and load everything.  NULL with a message in `err` that names the key of
 * the configuration (auth.key, auth.api_keys_file line 3, ...) and what to mend:
 * empty or short HMAC secrets, private keys, RSA below 2048 bits, EC curves other
 * than P-256/384/521, unreadable files, malformed keys and patterns, no key at all.
 * A file with a secret must have no permission bit for others, a file with a public
 * key must not be writable by others.  One line end (LF or CRLF) at the end of a key
 * file is dropped.
 * Logs each key's type and fingerprint at info level.  A JWKS that has a URL is not
 * fetched here.
 */
struct auth	*auth_new(const struct auth_conf *c, char *err, size_t err_size);
/* Its owner lets go of it: the keys stay while a check under way reads them. */
void		 auth_free(struct auth *a);

/* What a request brought.  NULL = not there. */
struct auth_credential {
	const char	*text;		/* the key or token itself */
	size_t		 len;
};

enum auth_use { AUTH_PUBLISH, AUTH_SUBSCRIBE };

/* Who it turned out to be.  Plain data; end with auth_identity_fini(). */
struct auth_identity {
	uint64_t	 key_id;	/* of the key that vouches; 0 = nobody.  Equal
					 * after a reload iff that key is still there
					 * (an API key's also covers name and patterns,
					 * a token key's section, issuer and
					 * audience).  A JWKS has one for each key */
	bool		 is_api_key;
	enum auth_use	 use;		/* what it was verified for */
	char		*sub;		/* claim `sub`; NULL when none or empty */
	const char	*jti;		/* the same; of the grants */
	int64_t		 iat_ms;	/* wall clock: claim `iat`; 0: none, the oldest */
	char		 issuer[AUTH_ISSUER_SIZE];	/* "auth", NAME of [auth.NAME];
					 * "": none, an API key */
	const char	*iss;		/* as auth_find_issuer() has it; of the grants */
	int64_t		 expires_ms;	/* wall clock: exp + grace; 0 = never.  May
					 * lie up to leeway in the past */
	int64_t		 exp_ms;	/* wall clock: exp itself; 0 = never */
	uint64_t	 principal;	/* hash of who this is, for idempotency keys:
					 * same key name, or same issuer and sub, or the
					 * same token when there is no sub */
	double		 rate;		/* events a second it may publish, as its
					 * grants say; 0: they say nothing */
	struct auth_grants *grants;	/* opaque; shared */
};
void	auth_identity_fini(struct auth_identity *id);

/*
 * Verify a credential at wall-clock time `now_ms`.  Returns 0 and fills *id (end it
 * with auth_identity_fini()); or -1 with nothing to end, *problem (TOKEN_MISSING when
 * text is NULL or empty, TOKEN_EXPIRED, TOKEN_INVALID; INTERNAL: no memory) and in
 * `why` the exact failing check, for the log, without any part of the token but the
 * name of a well-known alg and how far exp or nbf are.  TOKEN_EXPIRED means that
 * all else is right.
 *
 * A token is good from nbf - leeway; for AUTH_PUBLISH until exp + leeway, for
 * AUTH_SUBSCRIBE until exp + grace + leeway.  Leeway forgives two clocks their
 * difference when a request comes in; it does not prolong a stream: expires_ms has
 * no leeway in it, so a stream opened within it has no time left.
 */
int	auth_verify(struct auth *a, struct auth_credential cred,
	    enum auth_use use, int64_t now_ms, struct auth_identity *id,
	    enum problem *problem, char *why, size_t why_size);

/* May `id` publish to this plain topic?  Never when it was verified for
 * AUTH_SUBSCRIBE: it may be past exp. */
bool	auth_may_publish(const struct auth *a, const struct auth_identity *id,
	    const char *topic, size_t len);
/* Is this topic or pattern covered by topics.public alone? */
bool	auth_is_public(const struct auth *a, const char *topic, size_t len);
/* May `id` subscribe to this topic or pattern (rules and grants; public too)?  One
 * rule or grant must cover all of it.  `id` may be NULL: nobody.  It may come from
 * the struct auth before a reload: rules are the new ones, grants those it had. */
bool	auth_may_subscribe(const struct auth *a,
	    const struct auth_identity *id, const char *topic, size_t len);

/* Is it an API key to which no topic is closed? */
bool	auth_reaches_all(const struct auth_identity *id);

/* What tokens of that section ("auth", or NAME) hold as iss, "" for the house; NULL:
 * there is no such section.  Lasts as long as `a`. */
const char *auth_find_issuer(const struct auth *a, const char *name);
/* How long ago a token can have been issued and still be good; 0: no limit. */
int64_t	auth_longest_life(const struct auth *a);

/* The ids of all keys held (see key_id); returns how many, writes at most `max`. */
size_t	auth_key_ids(const struct auth *a, uint64_t *out, size_t max);
/* Is this key_id one of those? */
bool		 auth_has_key(const struct auth *a, uint64_t key_id);
/*
 * Rules that let somebody read have ids too: topics.public has one, and the rules of each
 * section.  After a reload (auth_inherit()) an id is the same iff the new rules open all
 * that the old ones did; it never equals another.
 */
size_t	auth_rule_ids(const struct auth *a, uint64_t *out, size_t max);
bool	auth_has_rules(const struct auth *a, uint64_t rules_id);
/* What it takes that `id` (NULL: nobody) may read these, which it may: a key_id, and two
 * ids of rules; 0: not needed. */
#define AUTH_GROUNDS	3
void	auth_grounds(const struct auth *a, const struct auth_identity *id,
	    const struct topics *t, uint64_t out[AUTH_GROUNDS]);
/* Forget tokens that a key vouched for which is gone.  0, or -1: no memory. */
int	auth_cache_keep(struct auth *a);
/* What was fetched for `old` counts for `a` too, where both name the same URL; and rules
 * that open all that its did have the same id; false: some open less. */
bool	auth_inherit(struct auth *a, const struct auth *old);
/* The state of each JWKS that is fetched, as lines of /metrics. */
void	auth_render_metrics(const struct auth *a, struct buf *b);

/* A JWKS is a URL when it begins with http:// or https://. */
bool	auth_is_url(const char *text);
/* May keys be fetched from there?  https, or http on this machine.  False: `why`
 * completes "URL ...". */
bool	auth_url_is_good(const char *url, char *why, size_t size);

/* For the command line: tokens and keys made and explained. */
struct auth_mint {
	const char *const	*publish;	/* patterns; NULL-ended, or NULL */
	const char *const	*subscribe;
	const char		*sub;			/* or NULL */
	int64_t			 lifetime_ms;
	double			 rate;			/* events a second; 0: any */
};
/* Returns new the token signed with the house key, issuer and audience set as
 * configured; NULL with `err` when the house key cannot sign (a public key). */
char	*auth_mint_token(const struct auth *a, const struct auth_mint *m,
	    int64_t now_ms, char *err, size_t err_size);
/* Returns new a secret `ffk_...` of 256 random bits. */
char	*auth_make_secret(void);
/* Write to stdout, claim by claim, what the server makes of a token or API key;
 * returns true when it is good and opens more than the public topics.  Claims are
 * shown, signatures and secrets are not.  revoked == NULL: they could not be read, and
 * `unread` says why. */
bool	auth_explain(struct auth *a, const struct auth_revoked *revoked,
	    const char *unread, const char *token, int64_t now_ms);

#endif
