/*
 * http_deadline.c - how long a connection of libmicrohttpd's may take over each part of
 * a request.
 *
 * libmicrohttpd's own timeout begins anew with each byte: one a minute would hold a
 * connection for ever.  Here a body, and an answer that is read, have a time to begin
 * with, and a second more for each 4 kB that went through; a slow line does, one that
 * only pretends to be does not.  Nobody is cut while it is us whom he waits for.
 *
 * The list is kept in the order of `since`: whoever begins a new part goes to its end.
 */
#include "config.h"

#include <sys/socket.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "clock.h"
#include "http_internal.h"
#include "metrics.h"

#define LOOK_MS		500
#define PACE		4096		/* bytes a second */
#define LARGE		16384		/* more than a socket's buffers take at once */
#define UNSEEN		(1u << 20)	/* on unix sockets: as if it had gone through */
#define EVICT_MS	2000		/* slow ones are left alone for so long */
#define EVICT_IDLE_MS	10000		/* and those between two requests */

/* Bytes that the peer has acknowledged so far.  False: nobody knows. */
static bool
acknowledged(int fd, uint64_t *bytes)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1)
		return false;
	*bytes = ti.tcpi_bytes_acked;
	return true;
}

void
deadline_notify(void *cls, struct MHD_Connection *c, void **context,
    enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	struct listener *l = cls;
	struct link *k;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if ((k = *context) != NULL)
			TAILQ_REMOVE(&l->http->links, k, next);
		free(k);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	/* Without memory there is none: begin_request() refuses it. */
	if (info == NULL || (k = calloc(1, sizeof(*k))) == NULL)
		return;
	k->listener = l;
	k->fd = info->connect_fd;
	k->phase = PHASE_HEAD;
	k->since = clock_mono_ms();
	TAILQ_INSERT_TAIL(&l->http->links, k, next);
	*context = k;
}

struct link *
deadline_link(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c,
	    MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

void
deadline_begin(struct request *rq, enum phase phase)
{
	struct link *k = rq->link;

	if (k->phase == phase || k->phase == PHASE_GONE)
		return;
	k->phase = phase;
	k->since = clock_mono_ms();
	k->rq = phase == PHASE_BODY ? rq : NULL;
	k->seen = phase == PHASE_ANSWER && rq->answer_len > LARGE &&
	    acknowledged(k->fd, &k->at_first);
	k->large = phase == PHASE_ANSWER && rq->answer_len > LARGE;
	TAILQ_REMOVE(&rq->http->links, k, next);
	TAILQ_INSERT_TAIL(&rq->http->links, k, next);
}

/* When it must be over; INT64_MAX: no matter. */
static int64_t
deadline(const struct http *h, const struct link *k)
{
	uint64_t bytes = 0;

	switch (k->phase) {
	case PHASE_GONE:
	case PHASE_OURS:
		return INT64_MAX;
	case PHASE_NONE:
		return k->since + HANDOFF_DAEMON_TIMEOUT_S * 1000 +
		    h->conf.head_timeout_ms;
	case PHASE_HEAD:
		return k->since + h->conf.head_timeout_ms;
	case PHASE_BODY:
		bytes = k->rq->received;
		break;
	case PHASE_ANSWER:
		/* Asked of the kernel when it matters only. */
		if (!k->large || clock_mono_ms() < k->since + h->conf.body_timeout_ms)
			break;
		if (!k->seen || !acknowledged(k->fd, &bytes))
			bytes = UNSEEN;
		else
			bytes -= k->at_first;
		break;
	}
	return k->since + h->conf.body_timeout_ms + (int64_t)(bytes * 1000 / PACE);
}

/* libmicrohttpd sees the end, and closes it. */
static void
cut(struct link *k)
{
	if (k->phase == PHASE_BODY)
		lobby_tell(k->fd, NULL, 0, PROBLEM_TIMEOUT, "the body did not come in "
		    "time; server.body_timeout says how long it may take");
	(void)shutdown(k->fd, SHUT_RDWR);
	k->phase = PHASE_GONE;
	k->rq = NULL;
	k->listener->due = true;
	metric_add(METRIC_CONNECTIONS_CUT, 1);
}

void
deadline_tick(struct http *h)
{
	int64_t now = clock_mono_ms();
	struct link *k;

	if (now - h->links_looked < LOOK_MS)
		return;
	h->links_looked = now;
	TAILQ_FOREACH(k, &h->links, next)
		if (now >= deadline(h, k))
			cut(k);
}

bool
deadline_evict(struct listener *l)
{
	int64_t now = clock_mono_ms();
	struct link *k;

	/* A request under way is slow by its peer's doing; a publisher's connection that
	 * is kept is not, and who uses it just then cannot tell whether he published. */
	TAILQ_FOREACH(k, &l->http->links, next) {
		if (now - k->since < EVICT_MS)
			break;
		if (k->listener == l && (k->phase == PHASE_HEAD ||
		    k->phase == PHASE_BODY || k->phase == PHASE_ANSWER))
			goto found;
	}
	TAILQ_FOREACH(k, &l->http->links, next) {
		if (now - k->since < EVICT_IDLE_MS)
			break;
		if (k->listener == l && k->phase == PHASE_NONE)
			goto found;
	}
	return false;

found:
	cut(k);
	return true;
}
