/*
 * stream_internal.h - between stream.c, stream_tail.c and stream_control.c alone.
 */
#ifndef STREAM_INTERNAL_H
#define STREAM_INTERNAL_H

#include "stream.h"

/*
 * stream_tail.c: catching up from memory.  The first two return false when the tail
 * does not hold what is asked for; a true from catch_up_since leaves a cursor for
 * catch_up_after.
 */
bool	catch_up_replay(struct stream_env *env, struct stream *s);
bool	catch_up_since(struct stream_env *env, struct stream *s);
/* The cursor is at or above the floor: one page of what follows. */
void	catch_up_after(struct stream_env *env, struct stream *s);

/* stream_control.c: what was asked for, as a JSON array. */
void	stream_add_topics(struct buf *b, const struct topics *t);

/* stream.c: queue an event that follows the cursor, and move the cursor. */
void	catch_up_queue(struct stream_env *env, struct stream *s, struct entry *e);
/* Announce a gap; after too_far the stream begins as a first connection would. */
void	catch_up_gap(struct stream_env *env, struct stream *s,
	    enum gap_reason why, uint64_t oldest, uint64_t lost);

#endif
