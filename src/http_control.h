/*
 * http_control.h - between http_control.c and http_revoke.c alone: a request that waits
 * for a walk over all streams, and perhaps for more.
 */
#ifndef HTTP_CONTROL_H
#define HTTP_CONTROL_H

#include "http_internal.h"
#include "walk.h"

/* What is under way for a request; it may outlive that. */
struct control {
	struct request	*rq;		/* NULL: it has gone */
	struct walk	*walk;
	bool		 lists, walked;
	bool		 expected;	/* the request waits for the walk */
	struct store_revocation v;
	struct buf	 text[3];	/* that the walk looks for */
	bool		 resting;	/* in http->resting */
	int64_t		 until_ms;	/* monotonic */
	TAILQ_ENTRY(control) link;
};

/* For one that lists streams, or revokes.  Its walk has not begun.  NULL: answered. */
struct control	*control_new(struct request *rq, bool lists, enum answer *a);
/* Give the walk to the hub. */
void		 control_walk(struct control *c, struct http *h);
enum answer	 control_await_walk(struct request *rq);
/* Wait until c->until_ms. */
enum answer	 control_rest(struct request *rq);

/* http_revoke.c: let go what was revoked so long ago that no token lives any more. */
void		 revoke_forget(struct http *h);

#endif
