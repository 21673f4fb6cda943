/*
 * http_lobby.c - connections that libmicrohttpd does not have yet, or never gets.
 *
 * A new connection is looked at first, and nothing taken from it: when the head of its
 * request is there, as it nearly always is, and good (http_guard.h), libmicrohttpd gets
 * it.  When there is more to come it waits here, where it costs a descriptor and two
 * hundred bytes, until server.head_timeout.  When it is refused it is told so by us, and
 * stays for a moment, since closing a socket with unread bytes would take back the answer.
 *
 * The same bytes are judged here and read by libmicrohttpd: they lie in the kernel, where
 * the peer can add to them and change none.  (It could hide one with urgent data, so
 * these are read in line: SO_OOBINLINE, in http.c.)
 *
 * Sockets are watched edge-triggered: bytes that are only looked at stay readable.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

#define EVENTS_MAX	64
#define LEAVE_MS	2000		/* to read what we said */
#define LEAVE_BYTES	(256u * 1024)	/* thrown away meanwhile */
#define EVICT_MS	1000		/* nobody is sent away before */

struct arrival {
	TAILQ_ENTRY(arrival) next;
	struct listener	*listener;
	int		 fd;
	bool		 leaving;	/* refused: its bytes are thrown away */
	bool		 spoke;		/* a byte of it was seen */
	int64_t		 since;		/* monotonic ms: came, or was refused */
	size_t		 thrown;	/* bytes */
	socklen_t	 from_len;
	struct sockaddr_storage from;
};

int
lobby_open(struct lobby *lb)
{
	TAILQ_INIT(&lb->waiting);
	TAILQ_INIT(&lb->leaving);
	if ((lb->epfd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		log_warn("http: epoll_create1");
		return -1;
	}
	return 0;
}

/* Out of the lobby; the socket stays open. */
static void
leave(struct lobby *lb, struct arrival *ar)
{
	if (ar->leaving)
		TAILQ_REMOVE(&lb->leaving, ar, next);
	else {
		TAILQ_REMOVE(&lb->waiting, ar, next);
		metric_add(METRIC_HEADS_WAITING, -1);
	}
	ar->listener->arrivals--;
}

static void
drop(struct lobby *lb, struct arrival *ar)
{
	leave(lb, ar);
	close(ar->fd);
	free(ar);
}

void
lobby_close(struct lobby *lb)
{
	struct arrival *ar;

	while ((ar = TAILQ_FIRST(&lb->waiting)) != NULL ||
	    (ar = TAILQ_FIRST(&lb->leaving)) != NULL)
		drop(lb, ar);
	close(lb->epfd);
}

/* --- refusals --- */

static void
render(struct buf *out, enum problem p, const char *detail, const char *ref)
{
	struct buf body = { 0 };
	char date[64];
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	problem_render(&body, p, detail, ref, NULL);
	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		date[0] = '\0';
	buf_addf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
	    "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n"
	    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Cross-Origin-Resource-Policy: same-origin\r\n\r\n", problem_status(p),
	    MHD_get_reason_phrase_for(problem_status(p)), date, body.len);
	buf_add(out, body.p, body.len);
	out->failed |= body.failed;
	buf_fini(&body);
}

void
lobby_tell(struct http *h, int fd, const char *peer, enum problem p,
    const char *detail)
{
	struct buf out = { 0 };
	char ref[12];

	(void)snprintf(ref, sizeof(ref), "%08x", (unsigned int)clock_random(UINT32_MAX));
	/* Those who trickle come in thousands; the counter tells. */
	if (p == PROBLEM_TIMEOUT)
		log_debug("http: %u %s ref=%s from %s: %s", problem_status(p),
		    problem_code(p), ref, peer, detail);
	else if (log_enabled(LOG_INFO) && refusal_may_be_told(h))
		log_info("http: %u %s ref=%s from %s: %s", problem_status(p),
		    problem_code(p), ref, peer, detail);
	render(&out, p, detail, ref);
	/* To whom it does not reach at once it is not told. */
	if (!out.failed)
		(void)send(fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&out);
}

static void
send_away(struct lobby *lb, struct arrival *ar, enum problem p, const char *detail)
{
	char peer[ACCESS_PEER_SIZE];

	if (ar->from.ss_family == AF_UNIX || getnameinfo((struct sockaddr *)&ar->from,
	    ar->from_len, peer, sizeof(peer), NULL, 0, NI_NUMERICHOST) != 0)
		(void)snprintf(peer, sizeof(peer), "unix");
	lobby_tell(ar->listener->http, ar->fd, peer, p, detail);
	(void)shutdown(ar->fd, SHUT_WR);
	leave(lb, ar);
	ar->leaving = true;
	ar->listener->arrivals++;
	ar->since = clock_mono_ms();
	TAILQ_INSERT_TAIL(&lb->leaving, ar, next);
}

/* --- looking --- */

enum look {
	LOOK_PASS, LOOK_WAIT, LOOK_REFUSE, LOOK_GONE
};

static enum look
look(struct http *h, int fd, struct guard *g, bool *spoke)
{
	ssize_t n = recv(fd, h->peeked, sizeof(h->peeked), MSG_PEEK);
	size_t head_len;

	if (n == -1)
		return errno == EAGAIN || errno == EINTR ? LOOK_WAIT : LOOK_GONE;
	if (n == 0)
		return LOOK_GONE;
	*spoke = true;
	switch (guard_judge(g, h->peeked, (size_t)n, &head_len)) {
	case GUARD_PASS:
		return LOOK_PASS;
	case GUARD_MORE:
		return LOOK_WAIT;
	case GUARD_REFUSE:
		break;
	}
	metric_add(METRIC_HEADS_REFUSED, 1);
	return LOOK_REFUSE;
}

static void
pass_on(struct listener *l, int fd, const struct sockaddr *from, socklen_t from_len)
{
	/* Closed by libmicrohttpd if it cannot. */
	(void)MHD_add_connection(l->daemon, fd, from, from_len);
	l->due = true;
}

/* It has to stay for a while.  NULL: no memory. */
static struct arrival *
seat(struct listener *l, int fd, const struct sockaddr_storage *from, socklen_t from_len)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	struct lobby *lb = &l->http->lobby;
	struct arrival *ar;

	if ((ar = calloc(1, sizeof(*ar))) == NULL)
		return NULL;
	ar->listener = l;
	ar->fd = fd;
	ar->from = *from;
	ar->from_len = from_len;
	ar->since = clock_mono_ms();
	ev.data.ptr = ar;
	if (epoll_ctl(lb->epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		log_warn("http: epoll_ctl");
		free(ar);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&lb->waiting, ar, next);
	l->arrivals++;
	metric_add(METRIC_HEADS_WAITING, 1);
	return ar;
}

void
lobby_enter(struct listener *l, int fd, const struct sockaddr_storage *from,
    socklen_t from_len)
{
	struct arrival *ar;
	struct guard g;
	bool spoke = false;
	enum look seen = look(l->http, fd, &g, &spoke);

	if (seen == LOOK_PASS) {
		pass_on(l, fd, (const struct sockaddr *)from, from_len);
		return;
	}
	if (seen == LOOK_GONE || (ar = seat(l, fd, from, from_len)) == NULL) {
		close(fd);
		return;
	}
	ar->spoke = spoke;
	if (seen == LOOK_REFUSE)
		send_away(&l->http->lobby, ar, g.problem, g.detail);
}

static void
throw_away(struct http *h, struct arrival *ar)
{
	ssize_t n;

	do {
		n = recv(ar->fd, h->peeked, sizeof(h->peeked), 0);
		ar->thrown += n > 0 ? (size_t)n : 0;
	} while (n > 0 && ar->thrown < LEAVE_BYTES);
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		drop(&h->lobby, ar);
}

static void
look_again(struct http *h, struct arrival *ar, uint32_t events)
{
	struct lobby *lb = &h->lobby;
	struct guard g;

	if (ar->leaving) {
		throw_away(h, ar);
		return;
	}
	switch (look(h, ar->fd, &g, &ar->spoke)) {
	case LOOK_PASS:
		(void)epoll_ctl(lb->epfd, EPOLL_CTL_DEL, ar->fd, NULL);
		leave(lb, ar);
		pass_on(ar->listener, ar->fd, (struct sockaddr *)&ar->from,
		    ar->from_len);
		free(ar);
		break;
	case LOOK_REFUSE:
		send_away(lb, ar, g.problem, g.detail);
		break;
	case LOOK_WAIT:
		if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			break;
		if (ar->spoke && !(events & (EPOLLHUP | EPOLLERR))) {
			send_away(lb, ar, PROBLEM_MALFORMED, "the request ended before "
			    "the empty line behind its headers");
			break;
		}
		/* FALLTHROUGH */
	case LOOK_GONE:
		drop(lb, ar);
		break;
	}
}

void
lobby_run(struct http *h)
{
	struct epoll_event evs[EVENTS_MAX];
	int n;

	/* Each has one event in a round, so that none is freed before its own. */
	n = epoll_wait(h->lobby.epfd, evs, EVENTS_MAX, 0);
	for (int i = 0; i < n; i++)
		look_again(h, evs[i].data.ptr, evs[i].events);
}

/* --- time and room --- */

void
lobby_tick(struct http *h)
{
	struct lobby *lb = &h->lobby;
	int64_t now = clock_mono_ms();
	struct arrival *ar;

	while ((ar = TAILQ_FIRST(&lb->leaving)) != NULL && now - ar->since >= LEAVE_MS)
		drop(lb, ar);
	while ((ar = TAILQ_FIRST(&lb->waiting)) != NULL &&
	    now - ar->since >= h->conf.head_timeout_ms) {
		metric_add(METRIC_CONNECTIONS_CUT, 1);
		/* A browser that only connected in advance asked for nothing. */
		if (ar->spoke)
			send_away(lb, ar, PROBLEM_TIMEOUT, "the request did not come in "
			    "time; server.head_timeout says how long it may take");
		else
			drop(lb, ar);
	}
}

int
lobby_wait_ms(const struct http *h, int wait_ms)
{
	const struct arrival *ar;
	int64_t now, left = wait_ms;

	if (TAILQ_EMPTY(&h->lobby.waiting) && TAILQ_EMPTY(&h->lobby.leaving))
		return wait_ms;
	now = clock_mono_ms();
	if ((ar = TAILQ_FIRST(&h->lobby.waiting)) != NULL &&
	    ar->since + h->conf.head_timeout_ms - now < left)
		left = ar->since + h->conf.head_timeout_ms - now;
	if ((ar = TAILQ_FIRST(&h->lobby.leaving)) != NULL &&
	    ar->since + LEAVE_MS - now < left)
		left = ar->since + LEAVE_MS - now;
	return left > 0 ? (int)left : 0;
}

bool
lobby_evict(struct listener *l)
{
	struct lobby *lb = &l->http->lobby;
	int64_t now = clock_mono_ms();
	struct arrival *ar;

	TAILQ_FOREACH(ar, &lb->leaving, next)
		if (ar->listener == l) {
			drop(lb, ar);
			return true;
		}
	TAILQ_FOREACH(ar, &lb->waiting, next) {
		if (now - ar->since < EVICT_MS)
			break;
		if (ar->listener != l)
			continue;
		metric_add(METRIC_CONNECTIONS_CUT, 1);
		drop(lb, ar);
		return true;
	}
	return false;
}
