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

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <linux/sockios.h>
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
#define SLACK_MS	50		/* between the kernel's clock and ours */
#define SLOW_BYTES	(32u << 20)	/* above it the oldest answers go */
#define EVICT_MS	2000		/* slow ones are left alone for so long */
#define EVICT_IDLE_MS	10000		/* and those between two requests, */
#define EVICT_STRANGER_MS 500		/* unless nothing good came on them yet */

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

/* So many bytes of memory are held for it. */
static void
hold(struct link *k, size_t bytes)
{
	k->listener->http->answer_bytes += bytes - k->bytes;
	k->bytes = bytes;
}

void
deadline_notify(void *cls, struct MHD_Connection *c, void **context,
    enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	struct listener *l = cls;
	struct link *k;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if ((k = *context) != NULL) {
			request_forget(k);
			hold(k, 0);
			TAILQ_REMOVE(&l->http->links, k, next);
		}
		free(k);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	/* Without memory there is none: request_begin() refuses it. */
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
	k->since = k->looked = clock_mono_ms();
	k->begun = k->owing = 0;
	k->rq = phase == PHASE_BODY ? rq : NULL;
	hold(k, phase == PHASE_ANSWER && rq->answer_len > LARGE ? rq->answer_len : 0);
	k->seen = k->bytes > 0 && acknowledged(k->fd, &k->at_first);
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
		if (k->bytes == 0 || clock_mono_ms() < k->since + h->conf.body_timeout_ms)
			break;
		if (!k->seen || !acknowledged(k->fd, &bytes))
			bytes = UNSEEN;
		else
			bytes -= k->at_first;
		break;
	}
	return k->since + h->conf.body_timeout_ms + (int64_t)(bytes * 1000 / PACE);
}

/* An answer that libmicrohttpd is done with can lie in the kernel, a few MB of it. */
static bool
reads_too_slowly(const struct http *h, struct link *k, int64_t now)
{
	int owed;

	if (ioctl(k->fd, SIOCOUTQ, &owed) == -1 || owed <= 0) {
		k->owing = 0;
		return false;
	}
	if (k->owing == 0) {
		k->owing = now;
		k->owed = owed;
	}
	return now - k->owing >= h->conf.body_timeout_ms +
	    (int64_t)(k->owed > owed ? k->owed - owed : 0) * 1000 / PACE;
}

/*
 * Between two requests: is the peer gone, or is it taking its time over the answer or the
 * next request's first line?  libmicrohttpd says none of it, and an end that comes
 * together with half a line it does not see at all.
 */
static bool
waits_no_more(const struct http *h, struct link *k, int64_t now)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);
	ssize_t n;
	char c;

	if (k->phase != PHASE_NONE || now - k->looked < h->conf.head_timeout_ms / 2)
		return false;
	k->looked = now;
	if (reads_too_slowly(h, k, now))
		return true;
	n = recv(k->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0)
		return false;			/* it has only just come */
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		return true;
	if (getsockopt(k->fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1 ||
	    now - (int64_t)ti.tcpi_last_data_recv < k->since + SLACK_MS)
		return false;
	if (k->begun == 0)
		k->begun = now;
	return now - k->begun >= h->conf.head_timeout_ms;
}

/* libmicrohttpd sees the end, and closes it. */
static void
cut(struct link *k)
{
	const struct linger now = { .l_onoff = 1 };

	/* Nothing of the answer was written yet. */
	if (k->phase == PHASE_BODY)
		lobby_tell(k->listener->http, k->fd, access_peer(k->rq), PROBLEM_TIMEOUT,
		    "the body did not come in time; server.body_timeout says how long "
		    "it may take");
	else if (k->phase == PHASE_ANSWER || k->owing != 0)
		/* Nor does the kernel go on trying. */
		(void)setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)shutdown(k->fd, SHUT_RDWR);
	hold(k, 0);
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
		if (now >= deadline(h, k) || waits_no_more(h, k, now) ||
		    (h->answer_bytes > SLOW_BYTES && k->bytes > 0 &&
		    now - k->since >= EVICT_MS))
			cut(k);
}

/* Between two requests, and the next one has not begun to come. */
static bool
is_idle(const struct link *k)
{
	char c;

	return k->phase == PHASE_NONE &&
	    recv(k->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void
deadline_evict(struct listener *l)
{
	size_t most = l->max_connections / 4 + 1;
	int64_t now = clock_mono_ms();
	struct link *k;

	/* A request under way is slow by its peer's doing; a publisher's connection that
	 * is kept is not, and who uses it just then cannot tell whether he published. */
	TAILQ_FOREACH(k, &l->http->links, next) {
		if (now - k->since < EVICT_MS)
			break;
		if (k->listener == l && (k->phase == PHASE_HEAD ||
		    k->phase == PHASE_BODY || k->phase == PHASE_ANSWER)) {
			cut(k);
			if (--most == 0)
				return;
		}
	}
	TAILQ_FOREACH(k, &l->http->links, next) {
		if (now - k->since < EVICT_STRANGER_MS)
			break;
		if (k->listener == l && (!k->known || now - k->since >= EVICT_IDLE_MS) &&
		    is_idle(k)) {
			cut(k);
			if (--most == 0)
				return;
		}
	}
}
