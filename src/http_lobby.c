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

struct guest {
	TAILQ_ENTRY(guest) next;
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
leave(struct lobby *lb, struct guest *gu)
{
	if (gu->leaving)
		TAILQ_REMOVE(&lb->leaving, gu, next);
	else {
		TAILQ_REMOVE(&lb->waiting, gu, next);
		metric_add(METRIC_HEADS_WAITING, -1);
	}
	gu->listener->guests--;
}

static void
drop(struct lobby *lb, struct guest *gu)
{
	leave(lb, gu);
	close(gu->fd);
	free(gu);
}

void
lobby_close(struct lobby *lb)
{
	struct guest *gu;

	while ((gu = TAILQ_FIRST(&lb->waiting)) != NULL ||
	    (gu = TAILQ_FIRST(&lb->leaving)) != NULL)
		drop(lb, gu);
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
	    "X-Content-Type-Options: nosniff\r\n\r\n", problem_status(p),
	    MHD_get_reason_phrase_for(problem_status(p)), date, body.len);
	buf_add(out, body.p, body.len);
	out->failed |= body.failed;
	buf_fini(&body);
}

void
lobby_tell(int fd, const char *peer, enum problem p, const char *detail)
{
	struct buf out = { 0 };
	char ref[12];

	(void)snprintf(ref, sizeof(ref), "%08x", (unsigned int)clock_random(UINT32_MAX));
	/* Those who trickle come in thousands; the counter tells. */
	if (p == PROBLEM_TIMEOUT)
		log_debug("http: %u %s ref=%s from %s: %s", problem_status(p),
		    problem_code(p), ref, peer, detail);
	else
		log_info("http: %u %s ref=%s from %s: %s", problem_status(p),
		    problem_code(p), ref, peer, detail);
	render(&out, p, detail, ref);
	/* To whom it does not reach at once it is not told. */
	if (!out.failed)
		(void)send(fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&out);
}

static void
send_away(struct lobby *lb, struct guest *gu, enum problem p, const char *detail)
{
	char peer[ACCESS_PEER_SIZE];

	if (gu->from.ss_family == AF_UNIX || getnameinfo((struct sockaddr *)&gu->from,
	    gu->from_len, peer, sizeof(peer), NULL, 0, NI_NUMERICHOST) != 0)
		(void)snprintf(peer, sizeof(peer), "unix");
	lobby_tell(gu->fd, peer, p, detail);
	(void)shutdown(gu->fd, SHUT_WR);
	leave(lb, gu);
	gu->leaving = true;
	gu->listener->guests++;
	gu->since = clock_mono_ms();
	TAILQ_INSERT_TAIL(&lb->leaving, gu, next);
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
static struct guest *
seat(struct listener *l, int fd, const struct sockaddr_storage *from, socklen_t from_len)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	struct lobby *lb = &l->http->lobby;
	struct guest *gu;

	if ((gu = calloc(1, sizeof(*gu))) == NULL)
		return NULL;
	gu->listener = l;
	gu->fd = fd;
	gu->from = *from;
	gu->from_len = from_len;
	gu->since = clock_mono_ms();
	ev.data.ptr = gu;
	if (epoll_ctl(lb->epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		log_warn("http: epoll_ctl");
		free(gu);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&lb->waiting, gu, next);
	l->guests++;
	metric_add(METRIC_HEADS_WAITING, 1);
	return gu;
}

void
lobby_enter(struct listener *l, int fd, const struct sockaddr_storage *from,
    socklen_t from_len)
{
	struct guest *gu;
	struct guard g;
	bool spoke = false;
	enum look seen = look(l->http, fd, &g, &spoke);

	if (seen == LOOK_PASS) {
		pass_on(l, fd, (const struct sockaddr *)from, from_len);
		return;
	}
	if (seen == LOOK_GONE || (gu = seat(l, fd, from, from_len)) == NULL) {
		close(fd);
		return;
	}
	gu->spoke = spoke;
	if (seen == LOOK_REFUSE)
		send_away(&l->http->lobby, gu, g.problem, g.detail);
}

static void
throw_away(struct http *h, struct guest *gu)
{
	ssize_t n;

	do {
		n = recv(gu->fd, h->peeked, sizeof(h->peeked), 0);
		gu->thrown += n > 0 ? (size_t)n : 0;
	} while (n > 0 && gu->thrown < LEAVE_BYTES);
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		drop(&h->lobby, gu);
}

static void
look_again(struct http *h, struct guest *gu, uint32_t events)
{
	struct lobby *lb = &h->lobby;
	struct guard g;

	if (gu->leaving) {
		throw_away(h, gu);
		return;
	}
	switch (look(h, gu->fd, &g, &gu->spoke)) {
	case LOOK_PASS:
		(void)epoll_ctl(lb->epfd, EPOLL_CTL_DEL, gu->fd, NULL);
		leave(lb, gu);
		pass_on(gu->listener, gu->fd, (struct sockaddr *)&gu->from,
		    gu->from_len);
		free(gu);
		break;
	case LOOK_REFUSE:
		send_away(lb, gu, g.problem, g.detail);
		break;
	case LOOK_WAIT:
		if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			break;
		if (gu->spoke && !(events & (EPOLLHUP | EPOLLERR))) {
			send_away(lb, gu, PROBLEM_MALFORMED, "the request ended before "
			    "the empty line behind its headers");
			break;
		}
		/* FALLTHROUGH */
	case LOOK_GONE:
		drop(lb, gu);
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
	struct guest *gu;

	while ((gu = TAILQ_FIRST(&lb->leaving)) != NULL && now - gu->since >= LEAVE_MS)
		drop(lb, gu);
	while ((gu = TAILQ_FIRST(&lb->waiting)) != NULL &&
	    now - gu->since >= h->conf.head_timeout_ms) {
		metric_add(METRIC_CONNECTIONS_CUT, 1);
		/* A browser that only connected in advance asked for nothing. */
		if (gu->spoke)
			send_away(lb, gu, PROBLEM_TIMEOUT, "the request did not come in "
			    "time; server.head_timeout says how long it may take");
		else
			drop(lb, gu);
	}
}

int
lobby_wait_ms(const struct http *h, int wait_ms)
{
	const struct guest *gu;
	int64_t now, left = wait_ms;

	if (TAILQ_EMPTY(&h->lobby.waiting) && TAILQ_EMPTY(&h->lobby.leaving))
		return wait_ms;
	now = clock_mono_ms();
	if ((gu = TAILQ_FIRST(&h->lobby.waiting)) != NULL &&
	    gu->since + h->conf.head_timeout_ms - now < left)
		left = gu->since + h->conf.head_timeout_ms - now;
	if ((gu = TAILQ_FIRST(&h->lobby.leaving)) != NULL &&
	    gu->since + LEAVE_MS - now < left)
		left = gu->since + LEAVE_MS - now;
	return left > 0 ? (int)left : 0;
}

bool
lobby_evict(struct listener *l)
{
	struct lobby *lb = &l->http->lobby;
	int64_t now = clock_mono_ms();
	struct guest *gu;

	TAILQ_FOREACH(gu, &lb->leaving, next)
		if (gu->listener == l) {
			drop(lb, gu);
			return true;
		}
	TAILQ_FOREACH(gu, &lb->waiting, next) {
		if (now - gu->since < EVICT_MS)
			break;
		if (gu->listener != l)
			continue;
		metric_add(METRIC_CONNECTIONS_CUT, 1);
		drop(lb, gu);
		return true;
	}
	return false;
}
