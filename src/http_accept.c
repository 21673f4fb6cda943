/*
 * http_accept.c - connections taken from the kernel's queues, and room for them.
 *
 * By us, as libmicrohttpd cannot do without descriptors: it spins when there are none
 * left for its first connection, and after that takes no more until one of its own ends,
 * though others have given theirs back long ago.  A listening socket that has no room,
 * or that the system gives no descriptor for, rests: it is not watched, whoever connects
 * waits in the kernel's queue, and it is tried again soon.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"

#define ACCEPTS_MAX	64		/* of one listener in one pass */
#define REST_MS		100
#define TELL_MS		10000		/* the log hears of it this often */

/* How many more it may have. */
static size_t
room(const struct listener *l)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon,
	    MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	size_t used = info == NULL ? l->max_connections :
	    info->num_connections + l->arrivals;

	return used >= l->max_connections ? 0 : l->max_connections - used;
}

/* Does anybody wait in the socket's queue? */
static bool
is_asked(const struct listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* Those who are slow, or only wait, go before those who have not come in yet. */
static bool
make_room(struct listener *l)
{
	if (lobby_evict(l))
		return true;
	deadline_evict(l);
	l->rest_until = clock_mono_ms() + REST_MS;
	return false;
}

static void
watch(struct listener *l, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLIN : 0 };

	ev.data.u32 = l->watched_as;
	if (epoll_ctl(l->http->epfd, EPOLL_CTL_MOD, l->fd, &ev) == -1)
		log_warn("http: epoll_ctl");
	l->resting = !on;
}

/* No more descriptors, or no memory for a socket. */
static void
rest(struct listener *l)
{
	static int64_t told_at;		/* the http thread's alone */
	int64_t now = clock_mono_ms();

	if (told_at == 0 || now - told_at >= TELL_MS) {
		log_warn("http: a connection cannot be accepted; it waits");
		told_at = now;
	}
	l->rest_until = now + REST_MS;
	watch(l, false);
}

void
accept_some(struct listener *l)
{
	struct sockaddr_storage from;
	socklen_t len;
	size_t left = room(l);
	int fd;

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		if (left == 0 && !is_asked(l))
			return;
		if (left == 0 && !make_room(l)) {
			watch(l, false);
			return;
		}
		len = sizeof(from);
		fd = accept4(l->fd, (struct sockaddr *)&from, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			switch (errno) {
			case EAGAIN:
				return;
			case EINTR:
			case ECONNABORTED:
			/* What befell the connection itself: accept(2). */
			case ENETDOWN:
			case EPROTO:
			case ENOPROTOOPT:
			case EHOSTDOWN:
			case ENONET:
			case EHOSTUNREACH:
			case EOPNOTSUPP:
			case ENETUNREACH:
			case EPERM:
				continue;
			case EMFILE:
			case ENFILE:
				if (lobby_evict(l))
					continue;
				/* FALLTHROUGH */
			default:
				rest(l);
				return;
			}
		}
		lobby_enter(l, fd, &from, len);
		left = room(l);
	}
}

void
accept_again(struct listener *l)
{
	if (l->fd != -1 && clock_mono_ms() >= l->rest_until &&
	    (room(l) > 0 || !is_asked(l) || make_room(l)))
		watch(l, true);
}

int
accept_wait_ms(const struct listener *l, int wait_ms)
{
	int64_t left = l->rest_until - clock_mono_ms();

	if (!l->resting || left >= wait_ms)
		return wait_ms;
	/* Without room it is the end of a connection that wakes the thread. */
	return left > 0 ? (int)left : wait_ms;
}
