/*
 * load_loop.c - one epoll set, and waiting for something to hold.
 *
 * Publishers have a set of their own inside it, which is asked between streams: an
 * answer must not wait for hundreds of streams that were ready before it.
 */
#include "config.h"

#include "load.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS		256
#define STREAMS_BETWEEN	16	/* looks at publishers */

int
loop_init(struct load *l)
{
	struct epoll_event ev = { .events = EPOLLIN };

	l->buffer_size = READ_SIZE;
	l->buffer = malloc(l->buffer_size);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->publish_epfd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->buffer == NULL || l->epfd == -1 || l->publish_epfd == -1 ||
	    l->timer_fd == -1)
		return -1;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->publish_epfd, &ev) == -1)
		return -1;
	return epoll_ctl(l->publish_epfd, EPOLL_CTL_ADD, l->timer_fd, &ev);
}

void
loop_fini(struct load *l)
{
	free(l->buffer);
	close(l->timer_fd);
	close(l->publish_epfd);
	close(l->epfd);
}

void
loop_tick(struct load *l, int64_t interval_ns)
{
	struct itimerspec when = { .it_interval.tv_sec = interval_ns / SECOND_NS,
		.it_interval.tv_nsec = interval_ns % SECOND_NS };

	when.it_value = when.it_interval;
	(void)timerfd_settime(l->timer_fd, 0, &when, NULL);	/* cannot fail */
}

int
loop_connect(struct load *l, size_t nth, int receive_bytes)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)l->o.port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd, on = 1;

	(void)inet_pton(AF_INET, l->o.host, &to.sin_addr);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK +
	    (uint32_t)(nth % (size_t)l->o.addresses));
	if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0)) == -1)
		return -1;
	if (receive_bytes > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes,
		    sizeof receive_bytes);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* The port is then chosen with the address it goes to: more are free. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (strncmp(l->o.host, "127.", 4) == 0 &&
	    bind(fd, (struct sockaddr *)&from, sizeof from) == -1)
		goto fail;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == -1 &&
	    errno != EINPROGRESS)
		goto fail;
	return fd;

fail:
	close(fd);
	return -1;
}

static void
pass(struct load *l)
{
	struct epoll_event ev[EVENTS];
	int n;

	streams_turn(l);
	publish_turn(l);
	n = epoll_wait(l->epfd, ev, EVENTS, 20);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr != NULL)
			stream_ready(l, ev[i].data.ptr, ev[i].events);
		if (i % STREAMS_BETWEEN == STREAMS_BETWEEN - 1)
			publish_turn(l);
	}
}

static void
progress(struct load *l)
{
	say("%s: %zu of %zu streams, %llu events, %llu deliveries, %lld owed",
	    l->doing, l->streams.live, l->streams.n,
	    (unsigned long long)l->ledger.events,
	    (unsigned long long)l->ledger.received, (long long)ledger_owed(l));
}

static void
now_and_then(struct load *l, int64_t now)
{
	if (l->every != NULL && now - l->every_ns >= 100 * MILLI_NS) {
		l->every(l);
		l->every_ns = now;
	}
	if (now - l->progress_ns >= 5 * SECOND_NS) {
		if (l->progress_ns > 0)
			progress(l);
		l->progress_ns = now;
	}
}

bool
loop_until(struct load *l, bool (*holds)(struct load *), double seconds)
{
	int64_t end_ns = clock_ns() + (int64_t)(seconds * 1e9);

	while (!holds(l)) {
		int64_t now = clock_ns();

		if (now > end_ns)
			return false;
		now_and_then(l, now);
		pass(l);
	}
	return true;
}

static bool
never(struct load *l)
{
	(void)l;
	return false;
}

void
loop_for(struct load *l, double seconds)
{
	(void)loop_until(l, never, seconds);
}

/* Less than 3 % of a core in three tenths of a second, one after the other. */
void
loop_quiet(struct load *l)
{
	int quiet = 0;

	if (l->o.pids_n == 0) {
		loop_for(l, 0.5);
		return;
	}
	for (int i = 0; i < 100 && quiet < 3; i++) {
		int64_t cpu_ns = server_cpu_ns(&l->o);

		loop_for(l, 0.1);
		cpu_ns = server_cpu_ns(&l->o) - cpu_ns;
		quiet = cpu_ns < 3 * MILLI_NS ? quiet + 1 : 0;
	}
}
