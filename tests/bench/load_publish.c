/*
 * load_publish.c - publishers: lanes, each one request under way on its connection.
 *
 * Closed loop: a lane sends again when its request is done.  Open loop: events are due
 * at a fixed rate and are counted from then, so a server that stalls is charged for
 * all that had to wait meanwhile.
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

#define LANES_LEAST	64
#define PAUSE_NS	(20 * MILLI_NS)		/* after a failed connection */
#define READY		64			/* lanes looked at in one go */
#define OVERHEAD	(2 * TOPIC_MAX + 64)	/* of an event in a batch */

int
publish_init(struct load *l)
{
	struct publisher *pub = &l->publisher;

	pub->n = (size_t)l->o.in_flight;
	if (pub->n < LANES_LEAST)
		pub->n = LANES_LEAST;
	pub->random = (uint64_t)l->o.seed * 2 + 1;
	pub->batch = (size_t)l->o.batch;
	if ((pub->lanes = calloc(pub->n, sizeof *pub->lanes)) == NULL)
		return -1;
	for (size_t i = 0; i < pub->n; i++) {
		pub->lanes[i].fd = -1;
		pub->lanes[i].index = (uint32_t)i;
	}
	return 0;
}

static void
disconnect(struct lane *la)
{
	if (la->fd != -1)
		close(la->fd);
	la->fd = -1;
	la->head_len = 0;
	la->answer = (struct answer){ .status = 0 };
}

void
publish_fini(struct load *l)
{
	for (size_t i = 0; i < l->publisher.n; i++) {
		disconnect(&l->publisher.lanes[i]);
		free(l->publisher.lanes[i].request);
	}
	free(l->publisher.lanes);
}

void
publish_clear(struct load *l)
{
	struct publisher *pub = &l->publisher;

	pub->requests = pub->events = 0;
	histogram_clear(&pub->answer);
	histogram_clear(&pub->whole);
}

/* --- a request --- */

static uint32_t
next_topic(struct load *l)
{
	struct publisher *pub = &l->publisher;
	uint32_t topics = (uint32_t)l->o.topics, topic = pub->topic;

	if (l->o.random) {
		/* Knuth's linear congruential generator: its high bits will do. */
		pub->random = pub->random * 6364136223846793005u +
		    1442695040888963407u;
		return (uint32_t)(pub->random >> 33) % topics;
	}
	pub->topic = topic + 1 < topics ? topic + 1 : 0;
	return topic;
}

static size_t
data_print(struct load *l, char *to, const struct mark *m)
{
	size_t size = (size_t)l->o.size;

	mark_print(l, to, m);
	memset(to + MARK_LEN, 'x', size - MARK_LEN);
	to[size - 1] = '.';
	return size;
}

static size_t
text_print(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len);
	return len;
}

/* The body of a batch; the events' counts follow each other. */
static size_t
batch_print(struct load *l, struct lane *la, char *to)
{
	char *p = to;

	*p++ = '[';
	for (uint32_t i = 0; i < la->n; i++) {
		struct mark m = { .lane = la->index, .topic = next_topic(l),
			.sent_ns = la->sent_ns };

		m.count = ledger_sent(l, la->index, m.topic);
		if (i == 0)
			la->first = m.count;
		la->undelivered += l->ledger.listeners[m.topic][0] +
		    l->ledger.listeners[m.topic][1] > 0;
		p += text_print(p, i == 0 ? "{\"topic\":\"" : ",{\"topic\":\"");
		p += topic_print(l, p, m.topic);
		p += text_print(p, "\",\"data\":\"");
		p += data_print(l, p, &m);
		p += text_print(p, "\"}");
	}
	*p++ = ']';
	return (size_t)(p - to);
}

static size_t
single_print(struct load *l, struct lane *la, char *to, uint32_t topic)
{
	struct mark m = { .lane = la->index, .topic = topic,
		.sent_ns = la->sent_ns };

	la->first = m.count = ledger_sent(l, la->index, topic);
	la->undelivered = l->ledger.listeners[topic][0] +
	    l->ledger.listeners[topic][1] > 0;
	return data_print(l, to, &m);
}

static void
reserve(struct load *l, struct lane *la)
{
	size_t wanted = (size_t)l->o.batch * ((size_t)l->o.size + OVERHEAD) +
	    2048;

	if (la->request_cap >= wanted)
		return;
	free(la->request);
	if ((la->request = malloc(wanted)) == NULL) {
		say("out of memory for a request of %zu bytes", wanted);
		abort();
	}
	la->request_cap = wanted;
}

/* The head goes right before the body, which is printed first, for its length. */
static void
request_print(struct load *l, struct lane *la)
{
	char head[1536], topic[TOPIC_MAX] = "";
	size_t body_len, head_len;
	bool single = la->n == 1;

	reserve(l, la);
	la->undelivered = 0;
	if (single) {
		uint32_t t = next_topic(l);
		topic_print(l, topic, t);
		body_len = single_print(l, la, la->request + sizeof head, t);
	} else
		body_len = batch_print(l, la, la->request + sizeof head);
	head_len = (size_t)snprintf(head, sizeof head,
	    "POST /publish%s%s HTTP/1.1\r\nHost: localhost\r\n%s%s%s"
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
	    single ? "?topic=" : "", topic,
	    l->o.key != NULL ? "Authorization: Bearer " : "",
	    l->o.key != NULL ? l->o.key : "", l->o.key != NULL ? "\r\n" : "",
	    single ? "text/plain" : "application/json", body_len);
	la->request_sent = sizeof head - head_len;
	la->request_len = sizeof head + body_len;
	memcpy(la->request + la->request_sent, head, head_len);
}

/* --- a lane --- */

static void
rest(struct load *l, struct lane *la)
{
	la->busy = false;
	l->publisher.busy--;
	la->next = l->publisher.idle;
	l->publisher.idle = la;
}

static void
rest_if_done(struct load *l, struct lane *la)
{
	if (la->busy && la->answered &&
	    (l->publisher.until_answer || la->undelivered == 0))
		rest(l, la);
}

static void
answered(struct load *l, struct lane *la, int status)
{
	struct publisher *pub = &l->publisher;
	bool ok = status >= 200 && status <= 299;

	if (ok) {
		pub->requests++;
		pub->events += la->n;
		histogram_add(&pub->answer, clock_ns() - la->sent_ns);
	} else {
		pub->failed[status > 0 && status < STATUSES ? status : 0]++;
		la->undelivered = 0;	/* nobody has to wait for it */
	}
	la->answered = true;
	for (uint32_t i = 0; i < la->n; i++)
		ledger_answered(l, la->index, la->first + i, ok);
	rest_if_done(l, la);
}

/* The connection failed; whether the server took the request is not known. */
static void
failed(struct load *l, struct lane *la)
{
	disconnect(la);
	if (la->busy && !la->answered) {
		l->publisher.paused_until_ns = clock_ns() + PAUSE_NS;
		answered(l, la, 0);
	}
}

static bool
connect_lane(struct load *l, struct lane *la)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.ptr = la };

	la->fd = loop_connect(l, la->index, 0);
	if (la->fd == -1)
		return false;
	la->wants_out = true;
	return epoll_ctl(l->publish_epfd, EPOLL_CTL_ADD, la->fd, &ev) == 0;
}

static void
send_rest(struct load *l, struct lane *la)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = la };
	size_t len = la->request_len - la->request_sent;
	ssize_t n = send(la->fd, la->request + la->request_sent, len,
	    MSG_NOSIGNAL);
	bool wants_out;

	if (n == -1 && errno != EAGAIN && errno != ENOTCONN) {
		failed(l, la);
		return;
	}
	if (n > 0)
		la->request_sent += (size_t)n;
	wants_out = la->request_sent < la->request_len;
	if (wants_out == la->wants_out)
		return;
	la->wants_out = wants_out;
	ev.events |= wants_out ? EPOLLOUT : 0;
	(void)epoll_ctl(l->publish_epfd, EPOLL_CTL_MOD, la->fd, &ev);
}

/* Send `n` events with an idle lane, due at `due_ns`; 0: now. */
static void
send_request(struct load *l, size_t n, int64_t due_ns)
{
	struct publisher *pub = &l->publisher;
	struct lane *la = pub->idle;

	pub->idle = la->next;
	pub->busy++;
	la->busy = true;
	la->answered = false;
	la->n = (uint32_t)n;
	la->began_ns = clock_ns();
	la->sent_ns = due_ns > 0 ? due_ns : la->began_ns;
	request_print(l, la);
	if (la->fd == -1 && !connect_lane(l, la))
		failed(l, la);
	else
		send_rest(l, la);
}

void
publish_delivered(struct load *l, const struct mark *m, int64_t now)
{
	struct lane *la = &l->publisher.lanes[m->lane];

	if (!la->busy || m->count - la->first >= la->n)
		return;
	if (--la->undelivered > 0)
		return;
	histogram_add(&l->publisher.whole, now - la->sent_ns);
	rest_if_done(l, la);
}

/* --- answers --- */

/* What was read, [p, end): heads whole, bodies skipped.  False: close. */
static bool
take(struct load *l, struct lane *la, char *p, char *end)
{
	while (p < end) {
		bool ended;
		char *after;

		if (la->answer.status == 0) {
			const char *body = answer_head(&la->answer, p, end);
			if (body == NULL) {
				la->answer.status = 0;
				la->head_len = (size_t)(end - p);
				if (la->head_len >= sizeof la->head)
					return false;
				memcpy(la->head, p, la->head_len);
				return true;
			}
			p += body - p;
		}
		(void)answer_body(&la->answer, p, (size_t)(end - p), &ended,
		    &after);
		p = after;
		if (ended) {
			int status = la->answer.status;
			la->answer.status = 0;
			if (la->busy && !la->answered)
				answered(l, la, status);
		}
	}
	return true;
}

static void
lane_ready(struct load *l, struct lane *la)
{
	size_t kept = la->head_len;
	ssize_t n;

	if (la->fd == -1)
		return;
	if (la->wants_out && la->busy)
		send_rest(l, la);
	if (la->fd == -1)
		return;
	memcpy(l->buffer, la->head, kept);
	n = recv(la->fd, l->buffer + kept, l->buffer_size - kept, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
		return;
	la->head_len = 0;
	if (n <= 0 || !take(l, la, l->buffer, l->buffer + kept + (size_t)n))
		failed(l, la);
}

/* --- publishing --- */

void
publish_start(struct load *l, uint64_t events, double seconds, double rate,
    size_t lanes)
{
	struct publisher *pub = &l->publisher;
	int64_t now = clock_ns();

	pub->idle = NULL;
	for (size_t i = lanes < pub->n ? lanes : pub->n; i > 0; i--) {
		if (pub->lanes[i - 1].busy)
			continue;	/* given up on, and not answered yet */
		pub->lanes[i - 1].next = pub->idle;
		pub->idle = &pub->lanes[i - 1];
	}
	pub->left = events > 0 ? events : UINT64_MAX;
	pub->end_ns = seconds > 0 ? now + (int64_t)(seconds * 1e9) : INT64_MAX;
	pub->rate = rate;
	pub->rate_from_ns = now;
	pub->rate_done = 0;
	pub->on = true;
	pub->gave_up = false;
	if (rate > 0) {
		double interval_ns = 1e9 * (double)pub->batch / rate;
		loop_tick(l, interval_ns > 50000 ? (int64_t)interval_ns : 50000);
	}
}

void
publish_stop(struct load *l)
{
	l->publisher.on = false;
	if (l->publisher.rate > 0)
		loop_tick(l, 0);
}

bool
publish_is_over(struct load *l)
{
	return !l->publisher.on && l->publisher.busy == 0;
}

/* Also a rate is kept until its end: what was due then is sent, late. */
static void
send_due(struct load *l)
{
	struct publisher *pub = &l->publisher;
	int64_t now = clock_ns(), until = now < pub->end_ns ? now : pub->end_ns;

	while (pub->idle != NULL && pub->left > 0 &&
	    now >= pub->paused_until_ns) {
		size_t n = pub->batch < pub->left ? pub->batch : (size_t)pub->left;
		int64_t due_ns = 0;

		if (pub->rate > 0) {
			due_ns = pub->rate_from_ns + (int64_t)((double)
			    pub->rate_done * 1e9 / pub->rate);
			if (due_ns >= until)
				break;
			pub->rate_done += n;
		} else if (clock_ns() >= pub->end_ns)
			break;
		if (pub->left != UINT64_MAX)
			pub->left -= n;
		send_request(l, n, due_ns);
	}
	/* Over: nothing is left, or what was due until the end is sent. */
	if (pub->left == 0 || (now >= pub->end_ns && pub->idle != NULL))
		publish_stop(l);
}

static void
check_timeouts(struct load *l)
{
	struct publisher *pub = &l->publisher;
	int64_t now = clock_ns();

	if (now - pub->checked_ns < 100 * MILLI_NS)
		return;
	pub->checked_ns = now;
	for (size_t i = 0; i < pub->n; i++) {
		struct lane *la = &pub->lanes[i];

		if (!la->busy ||
		    now - la->began_ns < (int64_t)(l->o.timeout_s * 1e9))
			continue;
		if (!la->answered)
			failed(l, la);
		else {
			pub->gave_up = true;
			publish_stop(l);
			rest(l, la);
		}
	}
}

void
publish_turn(struct load *l)
{
	struct publisher *pub = &l->publisher;
	struct epoll_event ev[READY];
	uint64_t ticks;
	int n;

	n = epoll_wait(l->publish_epfd, ev, READY, 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr != NULL)
			lane_ready(l, ev[i].data.ptr);
		else if (read(l->timer_fd, &ticks, sizeof ticks) == -1)
			continue;	/* taken already */
	}
	if (pub->on)
		send_due(l);
	if (pub->busy > 0)
		check_timeouts(l);
}
