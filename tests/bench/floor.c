/*
 * floor.c - the least that a server on sockets can do: accept, and send() one frame
 * to every stream of a topic.
 *
 *     floor --port N
 *
 * No log, no resuming, no slow readers: a stream that does not take a whole frame at
 * once is closed and counted.  What this costs, every server pays.  HTTP is taken as
 * the load generator writes it, one request in one piece or several.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS		256
#define READ_MAX	(128 * 1024)	/* one request */
#define BUCKETS		(1 << 17)	/* of topics */
#define TOPICS_MAX	100		/* of one stream */

/* A stream in a topic: it stands in the topic's array, and knows where. */
struct place {
	struct topic *topic;
	uint32_t at;
};

struct client {
	int fd;
	char *begun;		/* a request that is not complete; NULL: none */
	size_t begun_len;
	struct place *places;	/* of a stream */
	uint32_t places_n;
	bool is_stream;
	struct client *dead;	/* to be freed behind this pass */
};

struct entry {
	struct client *client;
	uint32_t place;		/* index in the client's places */
};

struct topic {
	char *name;
	struct entry *entries;
	uint32_t n, cap;
	struct topic *next;	/* in the bucket */
};

static struct topic *buckets[BUCKETS];
static struct client *dead;
static char buffer[READ_MAX], frame[READ_MAX];
static uint64_t last_id, lost;
static volatile sig_atomic_t stopping;
static int epfd;

static void __attribute__((noreturn))
die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *
memory(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (p == NULL)
		die("memory");
	return p;
}

/* --- topics --- */

/* FNV-1a */
static uint32_t
hash(const char *p, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h % BUCKETS;
}

static struct topic *
topic_find(const char *name, size_t len, bool make)
{
	struct topic **bucket = &buckets[hash(name, len)], *t;

	for (t = *bucket; t != NULL; t = t->next)
		if (strncmp(t->name, name, len) == 0 && t->name[len] == '\0')
			return t;
	if (!make)
		return NULL;
	t = memory(NULL, sizeof *t);
	*t = (struct topic){ .name = strndup(name, len), .next = *bucket };
	if (t->name == NULL)
		die("memory");
	*bucket = t;
	return t;
}

static void
join(struct client *c, struct topic *t)
{
	if (t->n == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 4;
		t->entries = memory(t->entries, t->cap * sizeof *t->entries);
	}
	c->places[c->places_n] = (struct place){ t, t->n };
	t->entries[t->n++] = (struct entry){ c, c->places_n++ };
}

/* The last of the topic takes the place that falls free. */
static void
leave(const struct place *p)
{
	struct topic *t = p->topic;
	struct entry *moved = &t->entries[--t->n];

	t->entries[p->at] = *moved;
	moved->client->places[moved->place].at = p->at;
}

/* --- clients --- */

/* Events of this pass may still name it: it is freed behind them. */
static void
client_close(struct client *c)
{
	if (c->fd == -1)
		return;
	for (uint32_t i = 0; i < c->places_n; i++)
		leave(&c->places[i]);
	c->places_n = 0;
	close(c->fd);
	c->fd = -1;
	c->dead = dead;
	dead = c;
}

static void
clients_reap(void)
{
	while (dead != NULL) {
		struct client *c = dead;

		dead = c->dead;
		free(c->begun);
		free(c->places);
		free(c);
	}
}

static void
answer(struct client *c, const char *text)
{
	size_t len = strlen(text);

	if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		client_close(c);
}

/* The value of the next topic=, or NULL; `*p` goes on behind it. */
static const char *
next_topic(const char **p, const char *end, size_t *len)
{
	const char *name = memmem(*p, (size_t)(end - *p), "topic=", 6);

	if (name == NULL)
		return NULL;
	name += 6;
	for (*len = 0; name + *len < end && name[*len] != '&'; ++*len)
		;
	*p = name + *len;
	return name;
}

static void
subscribe(struct client *c, const char *query, const char *end)
{
	struct place places[TOPICS_MAX];
	const char *name;
	size_t len;

	c->places = places;
	while (c->places_n < TOPICS_MAX &&
	    (name = next_topic(&query, end, &len)) != NULL)
		join(c, topic_find(name, len, true));
	c->places = memory(NULL, (c->places_n + 1) * sizeof *c->places);
	memcpy(c->places, places, c->places_n * sizeof *places);
	c->is_stream = true;
	answer(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	    "Connection: close\r\n\r\n");
}

static void
publish(struct client *c, const char *query, const char *end, const char *data,
    size_t data_len)
{
	struct topic *t;
	size_t name_len, len;
	const char *name = next_topic(&query, end, &name_len);

	if (name == NULL || data_len > sizeof frame - 64) {
		answer(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
		return;
	}
	answer(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	if ((t = topic_find(name, name_len, false)) == NULL)
		return;
	len = (size_t)snprintf(frame, sizeof frame, "id: %llu\ndata: %.*s\n\n",
	    (unsigned long long)++last_id, (int)data_len, data);
	for (uint32_t i = t->n; i > 0; i--) {
		struct client *to = t->entries[i - 1].client;

		if (send(to->fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
		    (ssize_t)len)
			continue;
		lost++;
		client_close(to);
	}
}

/* --- requests --- */

/* The first request of [p, end).  Returns the byte behind it; NULL: incomplete. */
static const char *
request(struct client *c, const char *p, const char *end)
{
	const char *head_end = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
	const char *line_end, *length, *body;
	size_t body_len;

	if (head_end == NULL)
		return NULL;
	line_end = memchr(p, '\r', (size_t)(end - p));
	while (line_end > p && *line_end != ' ')
		line_end--;
	body = head_end + 4;
	if (p[0] == 'G') {
		subscribe(c, p, line_end);
		return body;
	}
	length = memmem(p, (size_t)(head_end - p), "Content-Length: ", 16);
	body_len = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
	if ((size_t)(end - body) < body_len)
		return NULL;
	publish(c, p, line_end, body, body_len);
	return body + body_len;
}

static void
client_ready(struct client *c)
{
	const char *p = buffer, *end, *after;
	ssize_t n;

	if (c->fd == -1)
		return;
	if (c->begun_len > 0)
		memcpy(buffer, c->begun, c->begun_len);
	n = recv(c->fd, buffer + c->begun_len, sizeof buffer - c->begun_len, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	end = buffer + c->begun_len + n;
	while (c->fd != -1 && p < end && (after = request(c, p, end)) != NULL)
		p = after;
	if (c->fd == -1)
		return;
	c->begun_len = (size_t)(end - p);
	if (c->begun_len > 0) {
		c->begun = memory(c->begun, c->begun_len);
		memcpy(c->begun, p, c->begun_len);
	}
}

static void
accept_all(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct client *c = memory(NULL, sizeof *c);
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		*c = (struct client){ .fd = fd };
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == -1)
			client_close(c);
	}
}

static int
listen_on(long port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    bind(fd, (struct sockaddr *)&in, sizeof in) == -1 ||
	    listen(fd, 4096) == -1)
		die("listen");
	return fd;
}

static void
stop(int sig)
{
	(void)sig;
	stopping = 1;
}

static void
serve(int listener)
{
	struct epoll_event ev[EVENTS];

	while (!stopping) {
		int n = epoll_wait(epfd, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				accept_all(listener);
			else
				client_ready(ev[i].data.ptr);
		}
		clients_reap();
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct sigaction sa = { .sa_handler = stop };
	struct rlimit rl;
	int listener;
	long port;

	if (argc != 3 || strcmp(argv[1], "--port") != 0 ||
	    (port = strtol(argv[2], NULL, 10)) < 1 || port > 65535) {
		fprintf(stderr, "usage: floor --port N\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	listener = listen_on(port);
	if ((epfd = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev) == -1)
		die("epoll");
	serve(listener);
	if (lost > 0)
		fprintf(stderr, "floor: %llu streams did not take a whole frame "
		    "and were closed\n", (unsigned long long)lost);
	return 0;
}
