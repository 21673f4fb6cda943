/*
 * tail.h - the newest events, in memory, as one shard sees them.
 *
 * Entries are a shard's own handles on shared frames, counted without atomics; one
 * thread.  The tail holds every event that still exists with floor < seq <= position,
 * in a ring and chained back per topic.  An event's chain goes on in here if and only if
 * its frame's prev is above the floor and the older entry is there: if not, the older
 * one was pruned before it was loaded.
 */
#ifndef TAIL_H
#define TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "index.h"

struct stream;

/* Why a frame is queued: an event, or which control event. */
enum entry_kind {
	ENTRY_EVENT, ENTRY_PREAMBLE, ENTRY_LIVE, ENTRY_PING, ENTRY_EXPIRING,
	ENTRY_CLOSE, ENTRY_GAP,
};

struct entry {
	struct frame	*frame;		/* one reference */
	struct entry	*older;		/* of the same topic; see above when valid */
	struct node	*node;		/* while in the tail */
	uint32_t	 refs;		/* queues, and the tail */
	uint8_t		 kind;		/* enum entry_kind */
};

/* Heap bytes: with its place in a ring that has just grown, and what malloc() adds to it
 * and to its frame. */
#define ENTRY_BYTES	(sizeof(struct entry) + 2 * sizeof(struct entry *) + 32)

/* One name that a stream listens to; lives in the stream. */
struct sub {
	struct node	*node;
	uint32_t	 at;		/* its place in node->subs */
};

struct sub_ref {
	struct stream	*stream;
	uint32_t	 i;		/* its place in the stream's subs */
};

/* A topic or pattern that some stream listens to or some entry has. */
struct node {
	struct index_node index;
	struct sub_ref	*subs;
	uint32_t	 nsubs, subs_cap;
	uint32_t	 nentries;
	/* Whether the stream that is just being served asked for it; good while
	 * `stamp` is that of the step. */
	uint64_t	 stamp;
	bool		 wanted;
	struct entry	*newest;	/* NULL when nentries is 0 */
};

struct tail {
	struct index	*index;		/* the shard's; of struct node */
	struct entry	**ring;		/* ascending seq */
	size_t		 cap, head, count;	/* cap is a power of two */
	size_t		 threads;	/* that keep one: each entry costs that often */
	bool		 envelopes;	/* are counted */
	size_t		 bytes, max_bytes;	/* heap, of all threads */
	uint64_t	 floor;
	uint64_t	 hole;		/* highest seq known to be lost from a loaded
					 * tail; who scans from below cannot see it */
	uint64_t	 position;	/* everything up to here was seen */
};

/* Takes the frame reference.  NULL: no memory, and the frame is let go. */
struct entry	*entry_new(struct frame *f, enum entry_kind kind);
void		 entry_unref(struct entry *e);

/* One of `threads` alike, which together may take `max_bytes`. */
void		 tail_init(struct tail *t, struct index *ix, size_t max_bytes,
		    size_t threads);
void		 tail_fini(struct tail *t);
/* Add the next event (takes the frame reference) and move the position.  Returns the
 * entry, good until the next call, or NULL when memory ran out: the floor has risen
 * past it then, and streams must read it from the log. */
struct entry	*tail_add(struct tail *t, struct frame *f);
/* Forget everything; the tail now begins after `seq`. */
void		 tail_skip_to(struct tail *t, uint64_t seq);
static inline struct entry *
tail_at(const struct tail *t, size_t i)		/* 0 is the oldest */
{
	return t->ring[(t->head + i) & (t->cap - 1)];
}
/* Index of the first entry with a seq above `seq` (count if none). */
size_t		 tail_find(const struct tail *t, uint64_t seq);
/* The older entry of the topic if it is in here.  *lost is raised to its seq if it
 * should be in here and is not. */
struct entry	*tail_older(const struct tail *t, const struct entry *e,
		    uint64_t *lost);

#endif
