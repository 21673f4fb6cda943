/*
 * handoff.h - take a stream's socket out of libmicrohttpd once the head is sent.
 *
 * libmicrohttpd parses the request and writes the response's head; then the socket is
 * ours and libmicrohttpd has forgotten it.  All there is to know about that stands in
 * handoff.c.  The http thread.
 */
#ifndef HANDOFF_H
#define HANDOFF_H

#include <microhttpd.h>

/* Seconds; a stream's must differ from the daemon's: see handoff.c. */
#define HANDOFF_DAEMON_TIMEOUT_S	75u
#define HANDOFF_STREAM_TIMEOUT_S	20u

/* What MHD_start_daemon() must be given. */
#define HANDOFF_DAEMON_FLAGS	(MHD_USE_EPOLL | MHD_USE_TURBO)

/* Part of a request; zero-initialise and set fd to -1. */
struct handoff {
	int	 fd;		/* our duplicate, until it is passed on */
	void	*arg;
	/* The head is on the wire: takes the descriptor. */
	void	(*take)(void *arg, int fd);
};

/* In the access handler, where a refusal can still be said: take the duplicate.
 * -1 with errno when there is no descriptor left. */
int	handoff_begin(struct handoff *ho, struct MHD_Connection *c);
/* The response that calls ho->take.  Add headers, queue with 200, destroy.  NULL: no
 * memory. */
struct MHD_Response	*handoff_response(struct handoff *ho);
/* In the completed callback: true when the reader never ran; the descriptor is closed
 * then and whatever was admitted must be given back. */
int	handoff_end(struct handoff *ho);

#endif
