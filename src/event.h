/*
 * event.h - what an event and an id may look like.
 *
 * An id is `epoch-seq`: eight hex digits, a dash, a decimal number without leading
 * zeros: 6f3a9c2e-1042.  A seq of 0 stands for "before the first event" and is
 * legal in a cursor.  Pure functions.
 */
#ifndef EVENT_H
#define EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_ID_SIZE		32	/* room for an id and its NUL */
#define EVENT_NAME_MAX_BYTES	128
#define EVENT_KEY_MAX_BYTES	256	/* an idempotency key */

/* A place in the log. */
struct event_id {
	uint32_t	epoch;
	uint64_t	seq;		/* up to 2^63 - 1 */
};

/* Flags of an event, stored with it. */
#define EVENT_JSON	0x1u		/* data is JSON, compacted; else text */

/* Write the id; returns its length. */
size_t	event_id_format(char out[EVENT_ID_SIZE], struct event_id id);
/* 0, or -1 when this is not an id that we could have made. */
int	event_id_parse(const char *p, size_t len, struct event_id *id);

/* Each returns NULL when all is well, or a static phrase that completes
 * "the event name ...", "the data ...", "the idempotency key ...".
 * An event name: 1-128 bytes of UTF-8 without CR, LF, NUL or other controls, not
 * `open` or `error` (EventSource fires those itself), not `fanfare.*`.
 * Data: UTF-8 without NUL (Firefox drops NULs silently); may be empty. */
const char	*event_check_name(const char *p, size_t len);
const char	*event_check_data(const char *p, size_t len);
const char	*event_check_key(const char *p, size_t len);

#endif
