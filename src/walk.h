/*
 * walk.h - going over all streams: who is there, and who must go.
 *
 * Whoever asks makes a walk, sets what it looks for, and gives it to the hub.  Each shard
 * goes over its own streams, a piece in each pass of its loop, so that events wait for a
 * fraction of a millisecond; the last to end hands the walk back.  A shard whose walk is
 * under way lets others gather, and then makes them all at once.
 *
 * It sees the streams that its shard had when it was asked, those only, and each once.
 */
#ifndef WALK_H
#define WALK_H

#include <sys/queue.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox.h"
#include "stream.h"
#include "text.h"

struct walk;

/* What one shard does of it, and what it found. */
struct walk_part {
	struct msg	 msg;		/* first: it travels to its shard */
	struct walk	*walk;
	STAILQ_ENTRY(walk_part) link;	/* the shard's */
	uint64_t	 upto;		/* streams with a higher number came later */
	size_t		 count;		/* streams that match and are open */
	/* those listed: a JSON object each, one behind the other */
	struct buf	 rows;
	size_t		*ends;		/* where each ends */
	size_t		 n, cap;
	bool		 cut;		/* not all of them are listed */
};
STAILQ_HEAD(walk_list, walk_part);

/* Fixed while it is under way, but for `left` and the parts, which are the shards'. */
struct walk {
	struct msg	 msg;		/* free for `done` to post it onwards */
	/* who is meant: all that are not NULL must fit */
	const char	*sub, *jti, *issuer, *topic;	/* borrowed until done */
	size_t		 topic_len;
	bool		 end;		/* end them as revoked; else list them */
	size_t		 max_rows, max_bytes;	/* listed of one shard */
	/* The thread of the shard that ended last.  Not called when shards stop first:
	 * then the walk is freed. */
	void		(*done)(struct walk *w);
	void		*owner, *reply_to;	/* the asker's */
	_Atomic(size_t)	 left;		/* parts under way */
	size_t		 n;
	struct walk_part parts[];
};

struct walk	*walk_new(size_t shards);	/* NULL: no memory */
void		 walk_free(struct walk *w);
struct walk_part *walk_part_of(struct walk *w, size_t shard);
size_t		 walk_count(const struct walk *w);	/* of all parts; it is done */

/* The shard's: those it makes now, from `at` on, and those that come next. */
struct walks {
	struct walk_list now, next;
	struct stream	*at;		/* the next; NULL: all were seen */
};

void	walks_init(struct walks *ws);
void	walks_fini(struct walks *ws);	/* drops those that are not done */
bool	walks_idle(const struct walks *ws);
/* `newest`: the number of the last stream that came. */
void	walks_begin(struct walks *ws, struct walk_part *p, uint64_t newest);
/* A piece of it. */
void	walks_step(struct walks *ws, struct stream_env *env, struct stream_list *all);
/* This stream leaves the list. */
void	walks_skip(struct walks *ws, const struct stream *s);
/* It will not be made. */
void	walk_drop(struct walk_part *p);

#endif
