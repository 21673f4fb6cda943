/*
 * stream_internal.h - between the files of the stream alone.
 */
#ifndef STREAM_INTERNAL_H
#define STREAM_INTERNAL_H

#include "stream.h"

/*
 * stream_queue.c.  Queueing borrows the entry and takes a reference of its own; when
 * memory runs out the stream is killed, and its client comes back with its cursor.
 */
struct entry	*stream_queue_at(const struct stream *s, uint32_t i);
/* The bytes of an entry in this stream's format; NULL (and 0) without memory. */
const char	*stream_entry_bytes(const struct stream *s, const struct entry *e,
		    size_t *len);
/* What it holds in memory, that long in this stream's format, while it is queued. */
size_t	stream_entry_held(const struct stream *s, const struct entry *e, size_t len);
void	stream_queue(struct stream_env *env, struct stream *s, struct entry *e);
/* Takes the buffer's memory. */
void	stream_queue_bytes(struct stream_env *env, struct stream *s, struct buf *b,
	    enum entry_kind kind);
void	stream_queue_control(struct stream_env *env, struct stream *s,
	    enum entry_kind kind, const char *name, struct event_id *id,
	    const struct buf *data);
void	stream_queue_shift(struct stream *s);	/* the first is done with */
void	stream_queue_clear(struct stream *s);
void	stream_queue_shrink(struct stream *s);	/* an idle stream is its struct */
/* Drop what can be asked for again; `next` is the seq of an event that was about to be
 * queued, or 0.  The cursor goes back to before the first event dropped. */
void	stream_unqueue(struct stream *s, uint64_t next);
/* It is of no use any more; reaped at the end of the pass. */
void	stream_kill(struct stream_env *env, struct stream *s);
/* It owes bytes; it wants a step. */
void	stream_set_dirty(struct stream_env *env, struct stream *s);
/* A step may be taken: nothing is queued but an unsent preamble, nothing is asked for,
 * the socket takes bytes. */
bool	stream_may_step(const struct stream *s);
void	stream_set_ready(struct stream_env *env, struct stream *s);

/*
 * stream_tail.c: catching up from memory.  They return false when the tail does not hold
 * what is asked for; a true from catch_up_since leaves a cursor for catch_up_after, which
 * gives one page of what follows.
 */
bool	catch_up_replay(struct stream_env *env, struct stream *s);
bool	catch_up_since(struct stream_env *env, struct stream *s);
bool	catch_up_after(struct stream_env *env, struct stream *s);

/* stream_control.c: what was asked for, as a JSON array. */
void	stream_add_topics(struct buf *b, const struct topics *t);

/* stream.c: queue an event that follows the cursor, and move the cursor. */
void	catch_up_queue(struct stream_env *env, struct stream *s, struct entry *e);
/* Announce a gap; after too_far the stream begins as a first connection would. */
void	catch_up_gap(struct stream_env *env, struct stream *s,
	    enum gap_reason why, uint64_t oldest, uint64_t lost);

#endif
