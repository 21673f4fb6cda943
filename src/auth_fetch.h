/*
 * auth_fetch.h - a thread that fetches each JWKS which has a URL.
 *
 * It fetches a set when it is first named, again as often as the answer's Cache-Control
 * says (within AUTH_FETCH_MIN_S and AUTH_FETCH_MAX_S), soon after a failure, and when it
 * is asked to; never more often than every AUTH_FETCH_GAP_MS.  What it finds goes to the
 * owner of the struct auth as a message; a set that is bad or does not come changes
 * nothing, so the last good one stays.
 *
 * It asks the configured address and no other: redirects are not followed, and
 * certificates are verified.
 */
#ifndef AUTH_FETCH_H
#define AUTH_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "auth.h"
#include "mailbox.h"

#define AUTH_FETCH_MIN_S	(5 * 60)
#define AUTH_FETCH_MAX_S	(24 * 60 * 60)
#define AUTH_FETCH_USUAL_S	(15 * 60)	/* when the answer does not say */
#define AUTH_FETCH_GAP_MS	3000
#define AUTH_FETCH_TIMEOUT_MS	5000		/* of one attempt */

struct auth_fetch;

struct auth_fetch_conf {
	/* The thread's own: hand `m` to the owner, who calls auth_take_fetched(). */
	void	(*done)(void *arg, struct msg *m);
	void	*arg;
};

/* NULL: logged.  No thread runs before there is something to fetch. */
struct auth_fetch *auth_fetch_new(const struct auth_fetch_conf *c);
/* Ends the thread; nothing comes after it. */
void		 auth_fetch_stop(struct auth_fetch *f);
void		 auth_fetch_free(struct auth_fetch *f);		/* stopped */

/* The owner: fetch what `a` needs, all of it now, and nothing else from now on. */
void		 auth_fetch_watch(struct auth_fetch *f, const struct auth *a);
/* The owner: fetch this one again. */
void		 auth_fetch_want(struct auth_fetch *f, const char *url);

/* The owner: `m` came from the thread.  Takes it.  Have keys gone or come? */
bool		 auth_take_fetched(struct auth *a, struct msg *m);
/* For the command line: fetch all that `a` needs, here and now.  What fails is logged;
 * how many did. */
unsigned int	 auth_fetch_now(struct auth *a);

/* For how many seconds an answer with this Cache-Control (or NULL) is good. */
long		 auth_fetch_lifetime(const char *cache_control);

#endif
