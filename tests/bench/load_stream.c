/*
 * load_stream.c - subscribers: connecting, reading, dropping, coming back.
 *
 * Sockets are edge-triggered and read into one buffer; a read that does not fill it
 * has taken all there was.  A stream keeps bytes of its own only while a frame is cut
 * off.  Who is closed by the server comes back with its cursor, as a browser does.
 */
#include "config.h"

#include "load.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX	65536
#define REST_NS		(100 * MILLI_NS)	/* before trying again */
#define SLOW_RECEIVE	4096			/* bytes, of SO_RCVBUF */
#define AWAKE_RECEIVE	262144

size_t
topic_print(const struct load *l, char *to, uint32_t topic)
{
	uint32_t each = (uint32_t)l->o.per_stream;
	int n = l->o.patterns ?
	    snprintf(to, TOPIC_MAX, "%s%u/%u", l->o.prefix, topic / each,
	    topic % each) :
	    snprintf(to, TOPIC_MAX, "%s%u", l->o.prefix, topic);

	return n < TOPIC_MAX ? (size_t)n : TOPIC_MAX - 1;
}

/* Is topic `t` one of its own? */
static bool
wants(const struct load *l, const struct stream *s, uint32_t t)
{
	uint64_t topics = (uint64_t)l->o.topics, each = (uint64_t)l->o.per_stream;
	uint64_t first = s->index * each % topics;

	return (t + topics - first) % topics < each;
}

/* --- connecting --- */

static int
tokens_read(struct streams *ss, const char *path)
{
	FILE *fp = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	if (fp == NULL) {
		say("--tokens %s: %s", path, strerror(errno));
		return -1;
	}
	while ((len = getline(&line, &cap, fp)) > 0) {
		char **more = realloc(ss->tokens,
		    (ss->tokens_n + 1) * sizeof *more);

		if (more == NULL)
			break;
		ss->tokens = more;
		line[strcspn(line, "\r\n")] = '\0';
		if ((ss->tokens[ss->tokens_n] = strdup(line)) != NULL)
			ss->tokens_n++;
	}
	free(line);
	fclose(fp);
	if (ss->tokens_n == 0)
		say("--tokens %s: there is no token in it", path);
	return ss->tokens_n > 0 ? 0 : -1;
}

int
streams_init(struct load *l)
{
	struct streams *ss = &l->streams;

	ss->n = (size_t)l->o.streams;
	ss->all = calloc(ss->n + 1, sizeof *ss->all);
	ss->counts = calloc(ss->n * l->publisher.n + 1, sizeof *ss->counts);
	if (ss->all == NULL || ss->counts == NULL)
		return -1;
	for (size_t i = 0; i < ss->n; i++) {
		ss->all[i].fd = -1;
		ss->all[i].index = (uint32_t)i;
	}
	return l->o.tokens_file != NULL ? tokens_read(ss, l->o.tokens_file) : 0;
}

void
streams_fini(struct load *l)
{
	struct streams *ss = &l->streams;

	for (size_t i = 0; i < ss->n; i++) {
		stream_drop(l, &ss->all[i]);
		free(ss->all[i].id);
	}
	for (size_t i = 0; i < ss->tokens_n; i++)
		free(ss->tokens[i]);
	free(ss->tokens);
	free(ss->counts);
	free(ss->all);
}

static void
queue(struct load *l, struct stream *s, int64_t rest_ns)
{
	struct streams *ss = &l->streams;

	s->state = STREAM_WAITING;
	s->since_ns = rest_ns > 0 ? clock_ns() + rest_ns : 0;
	s->next = NULL;
	if (ss->first == NULL)
		ss->first = s;
	else
		ss->last->next = s;
	ss->last = s;
}

void
stream_open(struct load *l, struct stream *s, bool resumes)
{
	s->resumes = resumes;
	queue(l, s, 0);
}

static void
shut(struct load *l, struct stream *s)
{
	/* Reset: a connection that waits for its end would keep the port. */
	struct linger at_once = { .l_onoff = 1 };

	l->streams.connecting -= s->state == STREAM_CONNECTING ||
	    s->state == STREAM_HEAD;
	l->streams.open -= s->state == STREAM_OPENING || s->state == STREAM_LIVE;
	l->streams.live -= s->state == STREAM_LIVE;
	s->state = STREAM_CLOSED;
	(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(s->fd);
	s->fd = -1;
	s->begun++;
	free(s->kept);
	s->kept = NULL;
	s->kept_len = 0;
}

void
stream_drop(struct load *l, struct stream *s)
{
	if (s->fd != -1)
		shut(l, s);
}

static void
refused(struct load *l, struct stream *s, int status)
{
	l->streams.refused++;
	l->streams.refused_status = status;
	if (s->fd != -1)
		shut(l, s);
	queue(l, s, REST_NS);
}

static bool
append(char *to, size_t *len, const char *text)
{
	size_t n = strlen(text);

	if (*len + n >= REQUEST_MAX)
		return false;
	memcpy(to + *len, text, n + 1);
	*len += n;
	return true;
}

static bool
append_topics(const struct load *l, const struct stream *s, char *to, size_t *len)
{
	uint64_t topics = (uint64_t)l->o.topics, each = (uint64_t)l->o.per_stream;
	uint64_t first = s->index * each % topics;
	char topic[TOPIC_MAX + 32];

	if (l->o.patterns) {
		snprintf(topic, sizeof topic, "topic=%s%u/%s", l->o.prefix,
		    (unsigned)(first / each), s->index % 2 ? "**" : "*");
		return append(to, len, topic);
	}
	for (uint64_t k = 0; k < each; k++) {
		if (!append(to, len, k == 0 ? "topic=" :
		    l->o.join != NULL ? l->o.join : "&topic="))
			return false;
		topic_print(l, topic, (uint32_t)((first + k) % topics));
		if (!append(to, len, topic))
			return false;
	}
	return true;
}

static size_t
request_print(const struct load *l, const struct stream *s, char *to)
{
	const struct streams *ss = &l->streams;
	size_t len = 0;
	bool ok = append(to, &len, "GET /events?") &&
	    append_topics(l, s, to, &len) &&
	    (l->o.query == NULL || (append(to, &len, "&") &&
	    append(to, &len, l->o.query))) &&
	    append(to, &len, " HTTP/1.1\r\nHost: localhost\r\n"
	    "Accept: text/event-stream\r\nCache-Control: no-cache\r\n");

	if (ss->tokens_n > 0)
		ok = ok && append(to, &len, "Authorization: Bearer ") &&
		    append(to, &len, ss->tokens[(s->index +
		    s->begun * ss->n) % ss->tokens_n]) &&
		    append(to, &len, "\r\n");
	if (s->resumes && s->id != NULL)
		ok = ok && append(to, &len, "Last-Event-ID: ") &&
		    append(to, &len, s->id) && append(to, &len, "\r\n");
	return ok && append(to, &len, "\r\n") ? len : 0;
}

/* The connection stands, or failed. */
static void
request(struct load *l, struct stream *s)
{
	static char text[REQUEST_MAX];
	size_t len = request_print(l, s, text);
	ssize_t n = send(s->fd, text, len, MSG_NOSIGNAL);

	if (n == -1 && (errno == EAGAIN || errno == ENOTCONN))
		return;		/* not yet */
	if (n != (ssize_t)len) {
		refused(l, s, 0);
		return;
	}
	s->state = STREAM_HEAD;
}

static void
begin(struct load *l, struct stream *s)
{
	struct epoll_event ev = { .data.ptr = s,
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	s->since_ns = clock_ns();
	s->answer = (struct answer){ .status = 0 };
	s->fd = loop_connect(l, s->index,
	    s->kind == 1 && !s->resumes ? SLOW_RECEIVE : 0);
	if (s->fd == -1) {
		refused(l, s, 0);
		return;
	}
	s->state = STREAM_CONNECTING;
	l->streams.connecting++;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, s->fd, &ev) == -1)
		refused(l, s, 0);
	else
		request(l, s);	/* over loopback it often stands at once */
}

void
streams_turn(struct load *l)
{
	struct streams *ss = &l->streams;

	while (ss->first != NULL &&
	    ss->connecting < (size_t)l->o.connecting) {
		struct stream *s = ss->first;

		if (s->since_ns > 0 && clock_ns() < s->since_ns)
			return;
		ss->first = s->next;
		begin(l, s);
	}
}

/* --- not reading --- */

void
stream_stall(struct load *l, struct stream *s)
{
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->stalled = true;
}

int
stream_wake(struct load *l, struct stream *s)
{
	struct epoll_event ev = { .data.ptr = s,
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int bytes = AWAKE_RECEIVE;

	s->stalled = false;
	(void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	return epoll_ctl(l->epfd, EPOLL_CTL_ADD, s->fd, &ev);
}

/* --- reading --- */

static void
is_live(struct load *l, struct stream *s)
{
	s->state = STREAM_LIVE;
	l->streams.live++;
	histogram_add(&l->streams.connect, clock_ns() - s->since_ns);
}

/* fanfare's ids end in a number that rises; 0 of others. */
static uint64_t
seq_of(const char *id, size_t len)
{
	const char *dash = memchr(id, '-', len);
	uint64_t seq = 0;

	if (dash == NULL)
		return 0;
	for (const char *p = dash + 1; p < id + len; p++)
		seq = seq * 10 + (uint64_t)(*p - '0');
	return seq;
}

static bool
is_named(const struct sse_frame *f, const char *name)
{
	return f->name_len == strlen(name) && memcmp(f->name, name, f->name_len) == 0;
}

/* True of fanfare's own events. */
static bool
is_control(struct load *l, struct stream *s, const struct sse_frame *f)
{
	if (f->name_len < 8 || memcmp(f->name, "fanfare.", 8) != 0)
		return false;
	if (is_named(f, "fanfare.live")) {
		l->streams.is_fanfare = true;
		if (s->state == STREAM_OPENING)
			is_live(l, s);
	}
	if (is_named(f, "fanfare.gap"))
		l->ledger.gaps++;
	return true;
}

static void
delivered(struct load *l, struct stream *s, const struct sse_frame *f,
    const struct mark *m, int64_t now)
{
	struct ledger *g = &l->ledger;
	uint32_t *count;

	if (m == NULL || f->data_len != (size_t)l->o.size || f->data_lines != 1 ||
	    f->data[f->data_len - 1] != '.' || !wants(l, s, m->topic)) {
		g->corrupt++;
		return;
	}
	count = &l->streams.counts[s->index * l->publisher.n + m->lane];
	if (l->streams.is_fanfare) {
		uint64_t seq = f->id != NULL ? seq_of(f->id, f->id_len) : 0;

		if (seq <= s->seq) {
			g->repeated++;
			return;
		}
		s->seq = seq;
	}
	/* Counts may wrap around. */
	if ((int32_t)(m->count - *count) <= 0) {
		g->repeated++;
		return;
	}
	*count = m->count;
	l->deliveries++;
	l->last_ns = now;
	if (s->kind == 0)
		histogram_add(&l->latency, now - m->sent_ns);
	if (ledger_received(l, m, s->kind))
		publish_delivered(l, m, now);
}

static void
keep_id(struct stream *s, const char *id, size_t len)
{
	if (len >= s->id_cap) {
		char *more = realloc(s->id, len + 16);

		if (more == NULL)
			abort();
		s->id = more;
		s->id_cap = (uint32_t)len + 16;
	}
	memcpy(s->id, id, len);
	s->id[len] = '\0';
}

/* All frames of [p, end).  Returns where what has to be kept begins. */
static const char *
frames(struct load *l, struct stream *s, const char *p, const char *end)
{
	int64_t now = clock_ns();
	const char *keep, *after, *id = NULL;
	size_t id_len = 0;
	struct sse_frame f;
	struct mark m;
	bool ours;

	recall_begin(l);
	while ((after = recall_take(l, &f, &m, &ours, p, end, &keep)) != NULL) {
		p = after;
		if (f.id != NULL) {
			id = f.id;
			id_len = f.id_len;
		}
		if (f.data != NULL &&
		    (f.name == NULL || !is_control(l, s, &f)))
			delivered(l, s, &f, ours ? &m : NULL, now);
	}
	if (id != NULL)
		keep_id(s, id, id_len);
	return keep;
}

static void
keep(struct stream *s, const char *p, const char *end)
{
	size_t len = (size_t)(end - p);
	char *kept = len > 0 ? malloc(len) : NULL;

	if (len > 0) {
		if (kept == NULL)
			abort();
		memcpy(kept, p, len);
	}
	free(s->kept);
	s->kept = kept;
	s->kept_len = (uint32_t)len;
}

/* The body's bytes at `body`, behind what was kept, [p, body). */
static bool
take_body(struct load *l, struct stream *s, char *p, char *body, char *end)
{
	bool ended;
	char *rest;
	size_t n = answer_body(&s->answer, body, (size_t)(end - body), &ended,
	    &rest);

	keep(s, frames(l, s, p, body + n), body + n);
	return !ended;
}

/* The answer's first bytes.  False when the stream is no more. */
static bool
take_head(struct load *l, struct stream *s, char *p, char *end)
{
	const char *after = answer_head(&s->answer, p, end);

	if (after == NULL) {
		s->answer.status = 0;
		keep(s, p, end);
		return true;
	}
	if (s->answer.status != 200) {
		refused(l, s, s->answer.status);
		return false;
	}
	l->streams.connecting--;
	l->streams.open++;
	s->state = STREAM_OPENING;
	if (!l->streams.is_fanfare)
		is_live(l, s);
	p += after - p;
	return take_body(l, s, p, p, end);
}

static void
ended(struct load *l, struct stream *s)
{
	if (s->state == STREAM_CONNECTING || s->state == STREAM_HEAD) {
		refused(l, s, 0);
		return;
	}
	l->ledger.closed++;
	shut(l, s);
	s->resumes = true;
	queue(l, s, REST_NS);
}

/* One read.  False when there is no more to read for now. */
static bool
read_some(struct load *l, struct stream *s, bool ends)
{
	size_t room = l->buffer_size - s->kept_len;
	char *at = l->buffer + s->kept_len;
	ssize_t n = recv(s->fd, at, room, 0);
	bool goes_on;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		ended(l, s);
		return false;
	}
	l->ledger.bytes += (uint64_t)n;
	if (s->kept_len > 0)
		memcpy(l->buffer, s->kept, s->kept_len);
	goes_on = s->state == STREAM_HEAD ?
	    take_head(l, s, l->buffer, at + n) :
	    take_body(l, s, l->buffer, at, at + n);
	if (!goes_on && s->fd != -1)
		ended(l, s);
	return goes_on && (ends || (size_t)n == room);
}

void
stream_ready(struct load *l, struct stream *s, uint32_t events)
{
	bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;

	if (s->fd == -1 || s->stalled)
		return;
	if (s->state == STREAM_CONNECTING) {
		if (ends) {
			refused(l, s, 0);
			return;
		}
		request(l, s);
		return;
	}
	if (ends || (events & EPOLLIN) != 0)
		while (read_some(l, s, ends))
			;
}
