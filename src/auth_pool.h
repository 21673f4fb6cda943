/*
 * auth_pool.h - threads that judge the tokens whose signature takes long: RS*, ES*.
 *
 * All of this belongs to the one thread that owns the struct auth (the http thread),
 * but for auth_pool_conf.done.  Keys under which a token is being judged live until
 * that is done, whatever a reload does; what the old keys said counts no more then.
 *
 * Tokens for publishing wait in one queue, those for subscribing in another, and the
 * two take turns: publishers do not wait for a crowd of browsers.  Each is bounded;
 * beyond that, whoever asks is told that we are busy.
 *
 * A token whose key is not there, but may come with the next fetch of its JWKS, waits
 * for that fetch: so an issuer may sign with a new key the moment it is published.  One
 * attempt that began after the token came decides; when it fails, or takes longer than
 * AUTH_POOL_KEYS_MS, nobody knows whether the token is good.  Whoever waits for that
 * holds a connection, and has not been vouched for: of them there are few.
 */
#ifndef AUTH_POOL_H
#define AUTH_POOL_H

#include <sys/queue.h>

#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "mailbox.h"

struct auth_job;		/* one token, and all who wait for it */
struct auth_pool;

struct auth_pool_conf {
	unsigned int	 threads;	/* 0: one for each core but one */
	size_t		 max_waiting;	/* tokens for each use; 0: 8,192 for each thread */
	size_t		 max_parked;	/* who wait for keys, of each use; 0: max_waiting */
	/* A worker's thread, or that of auth_pool_stop(): hand `m` to the owner, who
	 * calls auth_job_end() with it. */
	void		(*done)(void *arg, struct msg *m);
	/* The owner's: fetch this JWKS (then call auth_pool_look()). */
	void		(*fetch)(void *arg, const char *url);
	void		*arg;
};

#define AUTH_POOL_KEYS_MS	10000

/* NULL: logged. */
struct auth_pool *auth_pool_new(const struct auth_pool_conf *c);
void		 auth_pool_free(struct auth_pool *p);	/* stopped */
int		 auth_pool_start(struct auth_pool *p);	/* 0 or -1 (logged) */
/* Ends the threads; what was not judged by then goes to `done` unjudged, and whoever
 * waits for it will be told that we are busy. */
void		 auth_pool_stop(struct auth_pool *p);

/* One who waits; inside the asker's struct.  All zero at first, and then nobody else's
 * business but `owner`. */
struct auth_wait {
	void		*owner;		/* the asker's */
	struct auth_job *job;	/* one reference */
	STAILQ_ENTRY(auth_wait) link;	/* until the job has ended */
};
/* Not while the job is under way. */
void		 auth_wait_fini(struct auth_wait *w);

enum auth_ask {
	AUTH_ASK_NOW,		/* auth_verify() is quick: a key, HMAC, cached, no token */
	AUTH_ASK_LATER,		/* `w` will be woken: ask again then */
	AUTH_ASK_JUDGED,	/* auth_verify_judged() knows */
	AUTH_ASK_BUSY,		/* too many wait, or the pool was stopped */
	AUTH_ASK_NO_KEYS,	/* the issuer's keys can't be fetched */
};
/* How to verify this credential?  Those who ask for the same token share a job. */
enum auth_ask	 auth_pool_ask(struct auth_pool *p, struct auth *a,
		    struct auth_credential cred, enum auth_use use,
		    struct auth_wait *w);
/* Keys came or did not come, or `a` is a new one: judge those who waited for it. */
void		 auth_pool_look(struct auth_pool *p, const struct auth *a);
/* Every second or so: the same for those who have waited too long. */
void		 auth_pool_tick(struct auth_pool *p, const struct auth *a);
/* `m` came back: remember the token if it is good at `now_ms`, and wake() each who waits. */
void		 auth_job_end(struct msg *m, int64_t now_ms,
		    void (*wake)(void *owner));
/* auth_verify() for one who was told AUTH_ASK_JUDGED just now. */
int		 auth_verify_judged(const struct auth_wait *w, enum auth_use use,
		    int64_t now_ms, struct auth_identity *id,
		    enum problem *problem, char *why, size_t why_size);

#endif
