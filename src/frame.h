/*
 * frame.h - one event, rendered once, shared by every stream it goes to.
 *
 * Made by whoever receives the event (frame_new), numbered once by the store's
 * writer (frame_stamp), immutable from then on and passed between threads by
 * reference.  A frame without a seq can also carry bytes alone (frame_new_bytes):
 * control events of one stream.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

/* Bytes held by a set of frames; whoever gave it to them outlives them. */
struct frame_budget {
	_Atomic(size_t)	bytes;
};

struct frame {
	_Atomic(unsigned int)	 refs;
	unsigned int		 flags;		/* EVENT_* */
	struct event_id		 id;		/* seq 0: not an event */
	uint64_t		 prev;		/* seq of the topic's event before
						 * this one, or 0; see store.h */
	uint64_t		 nth;		/* this is its topic's nth event */
	int64_t			 wall_ms;	/* when it was committed */
	const char		*topic, *name, *data, *raw;
	uint32_t		 topic_len;
	uint32_t		 name_len;	/* 0: no name */
	uint32_t		 data_len;
	uint32_t		 raw_len;	/* text/event-stream bytes */
	_Atomic(struct frame_text *) envelope;	/* made when first asked for */
	_Atomic(struct frame_budget *) budget;
	size_t			 bytes;		/* heap bytes of all this */
	char			 mem[];
};

struct frame_text {
	_Atomic(struct frame_budget *) budget;
	size_t	len;
	char	p[];
};

/* Copies everything.  NULL when memory ran out. */
struct frame	*frame_new(const char *topic, size_t topic_len, const char *name,
		    size_t name_len, const char *data, size_t data_len,
		    unsigned int flags);
/* Number it; before anybody else sees it.  Also fills in the `id:` line. */
void		 frame_stamp(struct frame *f, struct event_id id, uint64_t prev,
		    uint64_t nth, int64_t wall_ms);
struct frame	*frame_new_bytes(const char *p, size_t len);
/* Count its bytes, and those of an envelope, against a budget until it is freed... */
void		 frame_charge(struct frame *f, struct frame_budget *b);
/* ...or is whoever's who holds it.  Any thread. */
void		 frame_uncharge(struct frame *f);
bool		 frame_is_charged(const struct frame *f);

struct frame	*frame_ref(struct frame *f);
void		 frame_ref_many(struct frame *f, unsigned int n);
void		 frame_unref(struct frame *f);		/* NULL does nothing */

/* The block in envelope format; NULL when memory ran out.  Any thread. */
const struct frame_text	*frame_envelope(struct frame *f);
/* Has any been made since the process began?  Whoever keeps frames for long then counts
 * one with each: about so many heap bytes.  Any thread. */
bool			 frame_has_envelopes(void);
size_t			 frame_envelope_bytes(const struct frame *f);

#endif
