/*
 * auth_internal.h - what the files of this room share.
 *
 * auth.c		what an identity may do; the cache; the public face
 * auth_rules.c		the rules that let people read
 * auth_keys.c		from configuration to keys that can be trusted
 * auth_api_keys.c	API keys
 * auth_file.c		files that hold keys
 * auth_issuer.c	who signs tokens, with which keys; who judges which token
 * auth_jwks.c		from a JWKS to keys
 * auth_fetch.c		JWKS that have a URL, on a thread of its own
 * auth_token.c		from a token to grants, or the reason why not
 * auth_claims.c	what is asked of each claim
 * auth_signature.c	RSA and EC signatures
 * auth_pool.c		the same, for slow signatures, on threads of their own
 * auth_revoke.c		tokens that were good and are no more
 * auth_mint.c		tokens and API keys made for the command line
 * auth_explain.c	the same checks, told to a person
 * auth_pasted.c	what people hand over where a token should be
 * auth_near.c		what a token with a wrong signature was made with
 *
 * Two rules keep this room safe.  The key pins the algorithm, so a token never
 * chooses how it is judged.  And libjwt is asked one thing only, whether an HMAC
 * is right: it looks at no claim, takes a repeated one, reads exp "9" as 0
 * and cuts strings at NUL, so header and claims are read here, strictly, from the
 * very bytes that were signed.  (RSA and EC signatures are OpenSSL's to check.)
 */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <openssl/types.h>

#include "auth.h"
#include "text.h"

#define AUTH_TOKEN_MAX		8192	/* bytes; libjwt copies it to the stack */
#define AUTH_JSON_DEPTH		32	/* jansson recurses, up to 2,048 deep */
#define AUTH_CACHE_MAX		16384	/* tokens */
#define AUTH_HASH_SIZE		32	/* SHA-256 */
#define AUTH_TIME_MAX_MS	INT64_C(253402300799000)	/* year 9999 */
#define AUTH_SECRET_PREFIX	"ffk_"

enum auth_alg {
	AUTH_HS256, AUTH_HS384, AUTH_HS512,
	AUTH_RS256, AUTH_RS384, AUTH_RS512,
	AUTH_ES256, AUTH_ES384, AUTH_ES512,
	AUTH_ALGS
};

/* A key that signs or verifies tokens.  p == NULL: there is none. */
struct auth_key {
	unsigned char	*p;		/* secret, or our own PEM print of the key */
	size_t		 len;
	EVP_PKEY	*parsed;	/* of a public key, else NULL */
	bool		 is_secret;
	bool		 is_before;	/* is->before has it: it never signs */
	unsigned int	 algs;		/* those it accepts, 1 << enum auth_alg */
	char		*kid;		/* its name in a JWKS; NULL: none */
	char		 what[48];	/* "an HMAC secret of 43 bytes" */
	char		 print[9];	/* fingerprint */
};

/* The keys of an issuer: one, and the one before it; or a JWKS.  Immutable once made;
 * refs are the owner's. */
struct auth_keys {
	unsigned int	 refs;
	struct auth_key	*v;
	size_t		 n;
};

/*
 * Where they come from.  All of it is the owner's; a job that is judged elsewhere has
 * its own reference of the keys.  Shared by issuers with the same URL, and by the
 * struct auth before a reload.
 */
struct auth_source {
	unsigned int	 refs;
	char		*url;		/* NULL: they never change */
	struct auth_keys *keys;		/* NULL: never fetched */
	int64_t		 fetched_ms;	/* monotonic: when those keys came */
	int64_t		 tried_ms;	/* monotonic: the last attempt began; 0: none */
	bool		 failing;	/* that one failed */
	uint64_t	 refreshes, failures;
};

struct auth_pattern {
	char		*p;		/* NUL-terminated; holds no NUL */
	size_t		 len;
};

struct auth_patterns {
	struct auth_pattern *v;
	size_t		 n;
};

/* Who signs tokens, and what we ask of them.  Immutable but for *source. */
struct auth_issuer {
	char		*section;	/* "auth" or "auth.NAME" */
	char		 from[64];	/* "auth.NAME.key_file" */
	char		 before[64];	/* "auth.NAME.key_before"; "": none */
	bool		 is_jwks;	/* kid selects among the keys */
	struct auth_source *source;	/* NULL: it has no key */
	char		*issuer;	/* NULL: claim iss is not looked at */
	char		*audience;	/* NULL: claim aud is not looked at */
	char		*grants_claim;
	int64_t		 leeway_ms, grace_ms, max_life_ms;
	bool		 reads_only;
	bool		 has_rules;	/* its own; else those of struct auth */
	struct auth_patterns rules;
	uint64_t	 rules_id;	/* of those that count for it */
};

struct auth_claim {
	char		*name;
	char		*value;		/* one legal plain segment, not empty */
};

/* What a verified credential says.  Immutable and shared once made; it outlives the
 * struct auth it came from. */
struct auth_grants {
	unsigned int	 refs;		/* atomic */
	bool		 is_api_key;
	char		*issuer;	/* the section that judged it; NULL: API key */
	uint64_t	 key_id, principal;
	int64_t		 exp_ms;	/* 1 to AUTH_TIME_MAX_MS; 0: API key */
	int64_t		 nbf_ms;	/* 0: none */
	int64_t		 iat_ms;	/* 0: none */
	char		*sub, *jti;	/* not empty; NULL: none */
	char		*iss;		/* while reading; NULL: none */
	struct auth_patterns publish, subscribe;
	double		 rate;		/* events a second to publish; 0: not said */
	struct auth_claim *claims;	/* those that rules name */
	size_t		 n_claims;
};

struct auth_api_key {
	char		*name;
	char		*secret;
	size_t		 secret_len;
	char		 print[9];
	struct auth_grants *grants;
};

/* A token that was good once.  Owned by the cache. */
struct auth_cached {
	TAILQ_ENTRY(auth_cached) link;	/* by last use, newest first */
	unsigned char	 hash[AUTH_HASH_SIZE];
	const struct auth_issuer *issuer;
	struct auth_grants *grants;
};

/*
 * Invariants of the cache: (1) what is in it had a good signature and passed every
 * check once; times are judged again on every use.  (2) map and list hold the same
 * entries, at most AUTH_CACHE_MAX; the least recently used goes first.
 */
struct auth_cache {
	struct map	*map;		/* hash -> struct auth_cached */
	TAILQ_HEAD(auth_cached_list, auth_cached) list;
	uint64_t	 hits, misses;
};

/*
 * Invariant: all but refs, cache, jobs and what sources hold is read by workers
 * (auth_pool.c) and never changes; those are the owner's.
 */
struct auth {
	unsigned int	 refs;		/* its owner's, and one for each job */
	struct auth_api_key *api_keys;
	size_t		 n_api_keys;
	struct auth_issuer *issuers;	/* [0] is the house, `[auth]` */
	size_t		 n_issuers;	/* 0: no tokens at all */
	struct auth_patterns public;
	uint64_t	 public_id;
	struct auth_patterns rules;	/* topics.authenticated, with {claim} */
	struct auth_patterns claim_names;	/* named by any rule, each once */
	struct auth_cache cache;
	struct map	*jobs;		/* under way: hash -> struct auth_job */
};

struct auth_bytes {
	const void	*p;
	size_t		 len;
};

/* Where a refusal goes. */
struct auth_refusal {
	enum problem	 problem;
	char		*why;
	size_t		 why_size;
};

/* Fill in the refusal; -1. */
int	auth_refuse(struct auth_refusal *r, enum problem problem,
	    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Write a message to `err`; -1. */
int	auth_say(char *err, size_t size, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/* auth.c */
int	auth_patterns_add(struct auth_patterns *l, const char *p, size_t len);
void	auth_patterns_fini(struct auth_patterns *l);
/* Does one of them cover all of this topic or pattern? */
bool	auth_patterns_cover(const struct auth_patterns *l, const char *asked,
	    size_t len);
struct auth_grants	*auth_grants_new(void);
struct auth_grants	*auth_grants_ref(struct auth_grants *g);
void	auth_grants_unref(struct auth_grants *g);
/* May `g` still be used so at now_ms?  0, or -1 and *r. */
int	auth_judge_time(const struct auth_issuer *is, const struct auth_grants *g,
	    enum auth_use use, int64_t now_ms, struct auth_refusal *r);
const struct auth_api_key *auth_find_api_key(const struct auth *a,
	    const char *secret, size_t len);
bool	auth_is_api_key(struct auth_credential cred);
bool	auth_is_cached(const struct auth *a,
	    const unsigned char hash[AUTH_HASH_SIZE]);
void	auth_cache_put(struct auth_cache *c,
	    const unsigned char hash[AUTH_HASH_SIZE],
	    const struct auth_issuer *is, struct auth_grants *g);
size_t	auth_cache_count(const struct auth *a);
/* Fill in a zeroed `id` from one reference of `g`, which it takes.  0, or -1 and *r. */
int	auth_identify(struct auth_identity *id, struct auth_grants *g,
	    const struct auth_issuer *is, enum auth_use use,
	    struct auth_refusal *r);
/* "3 minutes", for a time that is not negative. */
#define AUTH_SPAN_SIZE	48
void	auth_format_span(char out[AUTH_SPAN_SIZE], int64_t ms);

/* auth_rules.c */
/* The rules of `c`, into `a`, which has its issuers.  0, or -1 and `err`. */
int	auth_load_rules(struct auth *a, const struct auth_conf *c, char *err,
	    size_t size);
/* Put the claims of `g` into a rule, as bytes of `out`; g == NULL puts an "x" for
 * each.  False when a claim is not there or the result is too long. */
bool	auth_rule_expand(const struct auth_pattern *rule,
	    const struct auth_grants *g, char out[TOPIC_MAX_BYTES], size_t *len);
/* The rules for tokens of this issuer. */
const struct auth_patterns *auth_rules_of(const struct auth *a,
	    const struct auth_issuer *is);
/* The section of that name, of grants that may come from an older struct auth.  NULL:
 * it is gone. */
const struct auth_issuer *auth_find_section(const struct auth *a,
	    const char *section);
/* See auth_rule_ids().  False: some id is another one, for rules were taken away. */
bool	auth_inherit_rules(struct auth *a, const struct auth *old);

/* auth_keys.c */
const char *auth_alg_name(enum auth_alg alg);
void	auth_format_algs(char *out, size_t size, unsigned int algs);
/* SHA-256 of bytes, and of parts that cannot run into each other.  0 or -1. */
int	auth_hash(unsigned char out[AUTH_HASH_SIZE], const void *p, size_t len);
int	auth_hash_parts(uint64_t *out, const struct auth_bytes *v, size_t n);
/* 32 bits: enough to tell two keys apart by eye, too few to guess a key from. */
int	auth_fingerprint(char out[9], const char *kind, const void *p, size_t len);
/* The keys of is->from, whichever of key, key_file and (a file) jwks `c` has, and of
 * is->before.  NULL: `err`. */
struct auth_keys *auth_load_keys(struct auth_issuer *is,
	    const struct auth_issuer_conf *c, char *err, size_t size);
/* Fill in a zeroed `k` from a public key, which it takes; `from` is for `err`. */
int	auth_key_from_public(struct auth_key *k, EVP_PKEY *pk, const char *from,
	    char *err, size_t size);
void	auth_key_fini(struct auth_key *k);

/* auth_api_keys.c */
int	auth_load_api_keys(struct auth *a, const struct auth_conf *c, char *err,
	    size_t size);
void	auth_api_keys_fini(struct auth *a);

/* auth_file.c; `from` is the option, for `err` */
struct auth_file {
	char		*p;		/* NUL-terminated; end with auth_wipe_free() */
	size_t		 len;
	unsigned int	 mode;		/* permission bits */
};
/* A regular file of at most `max` bytes.  0, or -1 and `err`. */
int	auth_read_file(struct auth_file *f, const char *from, const char *path,
	    size_t max, char *err, size_t size);
/* None of the `forbidden` bits?  0, or -1 and `err`. */
int	auth_check_mode(const struct auth_file *f, unsigned int forbidden,
	    const char *from, const char *path, char *err, size_t size);
void	auth_wipe_free(void *p, size_t len);		/* NULL stays NULL */

/* auth_issuer.c */
/* The issuers of `c`, the house first; none at all when nobody has a key. */
int	auth_load_issuers(struct auth *a, const struct auth_conf *c, char *err,
	    size_t size);
void	auth_issuers_fini(struct auth *a);
struct auth_keys *auth_keys_new(void);		/* no key yet, one reference */
struct auth_keys *auth_keys_ref(struct auth_keys *keys);	/* NULL stays NULL */
void	auth_keys_unref(struct auth_keys *keys);
/* Who judges a token with this payload?  NULL and *r: nobody does. */
const struct auth_issuer *auth_route(const struct auth *a,
	    struct auth_bytes payload, struct auth_refusal *r);
/* Does the header name a key that is not there, but might be on the next fetch? */
bool	auth_lacks_key(const struct auth_issuer *is, struct auth_bytes header);
/* The keys that may have signed a token with this header: how many.  0 and *r: none. */
#define AUTH_TRIES	4
size_t	auth_pick_keys(const struct auth_issuer *is, const struct auth_keys *keys,
	    const json_t *header, const struct auth_key *out[AUTH_TRIES],
	    struct auth_refusal *r);
/* Which option names this key. */
const char *auth_key_from(const struct auth_issuer *is, const struct auth_key *k);
/* Are all of its keys secrets, so that none takes long to check with? */
bool	auth_is_fast(const struct auth_issuer *is);
/* The id of grants that this key vouches for.  0: no memory. */
uint64_t auth_key_id(const struct auth_issuer *is, const struct auth_key *k);

bool	auth_is_house(const struct auth_issuer *is);
const char *auth_issuer_name(const struct auth_issuer *is);

/* auth_jwks.c: any thread */
/* The keys of a JWKS that are of use; what is not is logged.  NULL and `err`: there is
 * none.  `from` is where it came from. */
struct auth_keys *auth_jwks_read(const char *from, const char *p, size_t len,
	    char *err, size_t size);

/* The name of an algorithm that we know and do not accept (EdDSA, PS256 ...); NULL: it is
 * none of those.  What to do instead, to end a message. */
const char *auth_alg_foreign(const char *name);
#define AUTH_INSTEAD							\
	": have the issuer sign with ES256 or RS256, or mint a short token "	\
	"of your own from its session, see fanfare-tokens(7)"

/* auth_token.c: pure but for debug lines, so any thread may */
struct auth_token {
	struct auth_bytes part[3];	/* header, claims, signature: still base64 */
};
int	auth_token_split(const char *p, size_t len, struct auth_token *t,
	    struct auth_refusal *r);
/* Not nested deeper than AUTH_JSON_DEPTH? */
bool	auth_json_is_shallow(const char *p, size_t len);
/* Returns new the object in a segment; `what` names it in the refusal. */
json_t	*auth_token_object(struct auth_bytes part, const char *what,
	    struct auth_refusal *r);
int	auth_token_header(const struct auth_issuer *is, const struct auth_key *k,
	    const json_t *header, enum auth_alg *alg, struct auth_refusal *r);
int	auth_token_signature(const struct auth_issuer *is, const struct auth_key *k,
	    enum auth_alg alg, const char *p, size_t len,
	    const struct auth_token *t, struct auth_refusal *r);
/* Returns new the bytes of base64url text, with a NUL behind them; NULL: it is none. */
char	*auth_base64url(const char *p, size_t len, size_t *out_len);

/* auth_pasted.c: pure */
/* What this text is that is no token: it says what to mend; NULL: nothing known. */
const char *auth_pasted_fault(const char *p, size_t len);
/* Take off what people paste around a token; what there was. */
#define AUTH_PASTED_QUOTES	1u
#define AUTH_PASTED_TWICE	2u	/* Bearer Bearer */
#define AUTH_PASTED_ADDRESS	4u	/* it was token= of an address or cookie */
#define AUTH_PASTED_JOINED	8u	/* Bearer:KEY, BearerKEY */
unsigned int auth_unwrap(const char **p, size_t *len);

/* auth_near.c: the command line's */
/* Of a signature that `k` did not make: true and `out` when it is clear what did. */
bool	auth_near_miss(const struct auth *a, const struct auth_issuer *is,
	    const struct auth_key *k, enum auth_alg alg, const char *p, size_t len,
	    const struct auth_token *t, char *out, size_t size);

/* auth_signature.c: did the public key sign this text?  Also false without memory.  Any
 * thread. */
bool	auth_signature_matches(const struct auth_key *k, enum auth_alg alg,
	    struct auth_bytes text, const unsigned char *sig, size_t len);

/* auth_claims.c */
/* What we ask of each claim; the last has the name of the grants claim instead. */
struct auth_check {
	const char	*name;
	int		(*check)(const struct auth_issuer *is, const json_t *v,
			    struct auth_grants *g, struct auth_refusal *r);
};
extern const struct auth_check auth_checks[];
extern const size_t auth_n_checks;
const char *auth_check_name(const struct auth_issuer *is,
	    const struct auth_check *c);
/* Find the claim (*v; NULL: not there) and check it.  0, or -1 and *r. */
int	auth_check_claim(const struct auth_issuer *is, const struct auth_check *c,
	    const json_t *claims, struct auth_grants *g, const json_t **v,
	    struct auth_refusal *r);
/* The claim that holds the one named by grants_claim, when that is a path: its name's
 * length; else 0. */
size_t	auth_grants_holder(const struct auth_issuer *is, const json_t *claims);
/* Keep those claims that rules name and that can stand in a topic. */
int	auth_token_claims(const struct auth_patterns *names, const json_t *claims,
	    struct auth_grants *g);

/* auth_token.c */
/* All of it but the times, by these keys of the issuer.  Returns new the grants, or NULL
 * and *r. */
struct auth_grants *auth_token_read(const struct auth_issuer *is,
	    const struct auth_keys *keys, const struct auth_patterns *names,
	    const char *p, size_t len, struct auth_refusal *r);

#endif
