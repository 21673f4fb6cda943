/*
 * load_ledger.c - what was published, who is owed it, what was lost.
 *
 * Each lane (a publisher's connection) numbers its events, so a stream that reads them
 * in rising order misses none and sees none twice.  An event is kept until it was
 * answered and everybody has it; what is left at the end is lost.
 */
#include "config.h"

#include "load.h"

#include <stdlib.h>
#include <string.h>

enum event_state { EVENT_SENT, EVENT_ACCEPTED, EVENT_FAILED };

struct event {
	uint32_t received[2];	/* by kind of stream */
	uint32_t topic;
	uint8_t state;		/* enum event_state */
	uint8_t phase;
};

/* A ring of the events that are not done with: counts from `first` on. */
struct lane_book {
	struct event *ring;
	uint32_t cap;		/* a power of two */
	uint32_t first, n;
};

static const char digits[] = "0123456789abcdef";

static char *
print_hex(char *to, uint64_t v, int width)
{
	for (int i = width - 1; i >= 0; i--, v >>= 4)
		to[i] = digits[v & 15];
	to[width] = ' ';
	return to + width + 1;
}

static const char *
read_hex(const char *p, uint64_t *v, int width, bool *ok)
{
	*v = 0;
	for (int i = 0; i < width; i++) {
		const char *d = memchr(digits, p[i], 16);

		if (d == NULL) {
			*ok = false;
			return p;
		}
		*v = *v << 4 | (uint64_t)(d - digits);
	}
	*ok = *ok && p[width] == ' ';
	return p + width + 1;
}

void
mark_print(const struct load *l, char *to, const struct mark *m)
{
	to = print_hex(to, l->run, 4);
	to = print_hex(to, m->lane, 4);
	to = print_hex(to, m->count, 8);
	to = print_hex(to, m->topic, 6);
	print_hex(to, (uint64_t)m->sent_ns, 16);
}

bool
mark_read(const struct load *l, const char *p, struct mark *m)
{
	uint64_t run, lane, count, topic, sent_ns;
	bool ok = true;

	p = read_hex(p, &run, 4, &ok);
	if (!ok || run != l->run)
		return false;
	p = read_hex(p, &lane, 4, &ok);
	p = read_hex(p, &count, 8, &ok);
	p = read_hex(p, &topic, 6, &ok);
	read_hex(p, &sent_ns, 16, &ok);
	*m = (struct mark){ .lane = (uint32_t)lane, .count = (uint32_t)count,
		.topic = (uint32_t)topic, .sent_ns = (int64_t)sent_ns };
	return ok && lane < l->ledger.books_n &&
	    topic < (uint64_t)l->o.topics;
}

int
ledger_init(struct load *l)
{
	struct ledger *g = &l->ledger;

	g->books_n = l->publisher.n;
	g->books = calloc(g->books_n, sizeof *g->books);
	g->listeners = calloc((size_t)l->o.topics, sizeof *g->listeners);
	if (g->books == NULL || g->listeners == NULL)
		return -1;
	for (size_t i = 0; i < g->books_n; i++)
		g->books[i].first = 1;
	ledger_listen(l);
	return 0;
}

void
ledger_fini(struct load *l)
{
	for (size_t i = 0; i < l->ledger.books_n; i++)
		free(l->ledger.books[i].ring);
	free(l->ledger.books);
	free(l->ledger.listeners);
}

void
ledger_listen(struct load *l)
{
	uint64_t topics = (uint64_t)l->o.topics, each = (uint64_t)l->o.per_stream;

	memset(l->ledger.listeners, 0,
	    (size_t)topics * sizeof *l->ledger.listeners);
	for (size_t i = 0; i < l->streams.n; i++)
		for (uint64_t k = 0; k < each; k++)
			l->ledger.listeners[(i * each + k) % topics]
			    [l->streams.all[i].kind]++;
}

static struct event *
event_at(struct lane_book *b, uint32_t count)
{
	return &b->ring[count & (b->cap - 1)];
}

static void
grow(struct lane_book *b)
{
	uint32_t cap = b->cap > 0 ? b->cap * 2 : 64;
	struct event *ring = malloc(cap * sizeof *ring);

	if (ring == NULL) {
		say("out of memory for %u events that are under way", cap);
		abort();
	}
	for (uint32_t i = 0; i < b->n; i++)
		ring[(b->first + i) & (cap - 1)] = *event_at(b, b->first + i);
	free(b->ring);
	b->ring = ring;
	b->cap = cap;
}

uint32_t
ledger_sent(struct load *l, uint32_t lane, uint32_t topic)
{
	struct lane_book *b = &l->ledger.books[lane];
	uint32_t count = b->first + b->n;

	if (b->n == b->cap)
		grow(b);
	b->n++;
	*event_at(b, count) = (struct event){ .topic = topic,
		.phase = (uint8_t)l->ledger.phase };
	return count;
}

static bool
all_have(const struct load *l, const struct event *e)
{
	const uint32_t *listeners = l->ledger.listeners[e->topic];

	return e->received[0] >= listeners[0] && e->received[1] >= listeners[1];
}

static void
forget_done(struct load *l, struct lane_book *b)
{
	while (b->n > 0) {
		struct event *e = event_at(b, b->first);

		if (e->state == EVENT_SENT ||
		    (e->state == EVENT_ACCEPTED && !all_have(l, e)))
			return;
		b->first++;
		b->n--;
	}
}

void
ledger_answered(struct load *l, uint32_t lane, uint32_t count, bool ok)
{
	struct ledger *g = &l->ledger;
	struct lane_book *b = &g->books[lane];
	struct event *e = event_at(b, count);
	const uint32_t *listeners = g->listeners[e->topic];

	e->state = ok ? EVENT_ACCEPTED : EVENT_FAILED;
	g->events += ok;
	for (int kind = 0; kind < 2; kind++) {
		if (ok) {
			g->owed[e->phase][kind] += listeners[kind];
			g->expected += listeners[kind];
		} else {
			g->owed[e->phase][kind] += e->received[kind];
			g->received -= e->received[kind];
			g->late += e->received[kind];
		}
	}
	forget_done(l, b);
}

bool
ledger_received(struct load *l, const struct mark *m, unsigned kind)
{
	struct ledger *g = &l->ledger;
	struct lane_book *b = &g->books[m->lane];
	struct event *e;

	/* Counts may wrap around: only differences mean something. */
	if (m->count - b->first >= b->n ||
	    (e = event_at(b, m->count))->state == EVENT_FAILED) {
		g->late++;
		return false;
	}
	e->received[kind]++;
	g->owed[e->phase][kind]--;
	g->received++;
	if (!all_have(l, e))
		return false;
	forget_done(l, b);
	return true;
}

int64_t
ledger_owed_kind(const struct load *l, unsigned kind)
{
	int64_t sum = 0;

	for (int i = 0; i < PHASES; i++)
		sum += l->ledger.owed[i][kind];
	return sum;
}

int64_t
ledger_owed(const struct load *l)
{
	return ledger_owed_kind(l, 0) + ledger_owed_kind(l, 1);
}

uint64_t
ledger_lost(const struct load *l)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < l->ledger.books_n; i++) {
		struct lane_book *b = &l->ledger.books[i];

		for (uint32_t k = 0; k < b->n; k++) {
			const struct event *e = event_at(b, b->first + k);
			const uint32_t *listeners = l->ledger.listeners[e->topic];

			if (e->state != EVENT_ACCEPTED)
				continue;
			for (int kind = 0; kind < 2; kind++)
				lost += listeners[kind] - e->received[kind];
		}
	}
	return lost;
}
