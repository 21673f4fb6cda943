/*
 * sse.h - the wire format: one event as text/event-stream bytes, and back.
 *
 * Writes LF only, always a space behind the colon, data split at LF, CRLF and lone
 * CR (which is what a browser would do to them), no byte order mark.  Pure.
 */
#ifndef SSE_H
#define SSE_H

#include <stddef.h>

#include "event.h"
#include "text.h"

/* Append a whole block with its blank line.  `id` and `name` may be NULL (no such
 * line).  `data` is checked already (event_check_data). */
void	sse_add_event(struct buf *b, const char *id, const char *name,
	    size_t name_len, const char *data, size_t data_len);

/* The lines of `data` alone, "data: ...\n" each; at least one. */
void	sse_add_data(struct buf *b, const char *data, size_t data_len);

/*
 * Append {"id":..,"topic":..,"event":..,"time":..,"data":..}: "event" is null when
 * the publisher gave no name; `data` is embedded as it is when `flags` say
 * EVENT_JSON, else as a JSON string.
 */
void	sse_add_envelope(struct buf *b, const char *id, const char *topic,
	    size_t topic_len, const char *name, size_t name_len,
	    int64_t wall_ms, unsigned int flags, const char *data,
	    size_t data_len);

/*
 * A reader of such a stream, for our own clients (fanfare tail).  Follows the HTML
 * specification: CR, LF, CRLF; comments and unknown fields ignored; `id` with NUL
 * ignored; what follows the last blank line is discarded, and an id
 * counts only with the blank line behind it.  Zero-initialise all but max_bytes,
 * arg and the calls.
 */
struct sse_reader {
	struct buf	line, data, name, id;	/* id persists over events;
						 * ends in NUL once it is set */
	struct buf	next_id;		/* of the block being read */
	int64_t		retry_ms;		/* last retry: seen, else -1; set
						 * by the first feed or reset */
	size_t		max_bytes;		/* of one block; 0 = no limit */
	int		last_cr, started, has_next_id;
	void		*arg;
	/* One event; name is "message" when none was given.  Strings end in NUL. */
	void		(*on_event)(void *arg, const char *name,
			    const char *data, size_t data_len, const char *id);
	/* One comment line, without its colon; may be NULL. */
	void		(*on_comment)(void *arg, const char *text);
};
/* 0; or -1 with errno EMSGSIZE (a block passes max_bytes) or ENOMEM, and then
 * only sse_reader_reset() or sse_reader_fini() may follow. */
int	sse_reader_feed(struct sse_reader *r, const char *p, size_t len);
void	sse_reader_reset(struct sse_reader *r);	/* a new connection: keeps id */
void	sse_reader_fini(struct sse_reader *r);

#endif
