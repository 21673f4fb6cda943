/*
 * handoff.c - the one trick all hangs on, with documented calls only.
 *
 * The response has a content reader, an unknown size and MHD_RF_HTTP_1_0_COMPATIBLE_
 * STRICT: the status line stays HTTP/1.1, the body is delimited by the end of the
 * connection, and no chunk frames it.  When the reader is first called the head is on
 * the wire; it passes a duplicate of the descriptor on and says END_OF_STREAM, and
 * libmicrohttpd closes its own.  MHD_USE_TURBO keeps it from calling shutdown(), which
 * would reach through to the duplicate.
 *
 * Without the rest it does not work:
 * - The duplicate is taken before the response is queued.  When descriptors run out the
 *   client can still be told.
 * - A connection that has ended is only reaped when it is visited.  libmicrohttpd walks
 *   connections with the daemon's timeout only as far as the first that still waits, so
 *   one idle keep-alive client would hold every handed-off descriptor open.  Those with
 *   a timeout of their own are visited on every run: so each stream's connection gets
 *   one, different from the daemon's.
 * - MHD_run() must be called once more after a pass in which a reader ran: that is when
 *   those connections are closed.
 * - A client that leaves before its head is written never reaches the reader: the
 *   completed callback cleans up.
 */
#include "config.h"

#include "handoff.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int
handoff_begin(struct handoff *ho, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info;

	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info == NULL)
		return -1;
	ho->fd = fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 3);
	return ho->fd == -1 ? -1 : 0;
}

static ssize_t
pass_on(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct handoff *ho = cls;
	int fd = ho->fd;

	(void)pos, (void)buf, (void)max;
	if (fd != -1) {
		ho->fd = -1;
		ho->take(ho->arg, fd);
	}
	return MHD_CONTENT_READER_END_OF_STREAM;
}

struct MHD_Response *
handoff_response(struct handoff *ho)
{
	struct MHD_Response *r;

	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64, pass_on, ho,
	    NULL);
	if (r == NULL)
		return NULL;
	if (MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
	    MHD_RO_END) != MHD_YES) {
		MHD_destroy_response(r);
		return NULL;
	}
	return r;
}

int
handoff_end(struct handoff *ho)
{
	if (ho->fd == -1)
		return 0;
	close(ho->fd);
	ho->fd = -1;
	return 1;
}
