/*
 * hub.c - one post per commit and shard, waking only shards where somebody listens.
 *
 * The counts of who listens change under the same lock under which news is posted: a
 * shard that has just added a stream either sees the news posted before in its mailbox,
 * or is woken for it.
 */
#include "config.h"

#include "hub.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "index.h"
#include "log.h"
#include "shard.h"
#include "walk.h"

#define SHARDS_MAX	256
#define TURN_MS		10000	/* a thread that has not turned for so long hangs */

/* Who listens to one topic or pattern. */
struct interest {
	struct index_node index;
	unsigned int	 total;
	unsigned int	 per_shard[];
};

struct hub {
	struct hub_conf	 conf;
	struct shard	*shards[SHARDS_MAX];
	size_t		 n;
	pthread_mutex_t	 lock;		/* interests; taken before mailboxes */
	struct index	*interests;
	struct admission *admission;
	_Atomic(int64_t) drain_until;	/* monotonic; 0: not draining */
	/* while matching, under lock */
	unsigned int	 count;
	unsigned char	 wake[SHARDS_MAX];
};

static void
hub_interest(void *arg, int number, const struct topics *t, int delta)
{
	struct hub *h = arg;
	struct interest *in;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < t->n; i++) {
		in = index_get(h->interests, t->v[i].p, t->v[i].len,
		    t->v[i].is_pattern, delta > 0);
		if (in == NULL) {
			/* No memory: the shard still turns ten times a second. */
			log_warnx("hub: out of memory");
			continue;
		}
		if (delta < 0 && in->per_shard[number] == 0)
			continue;	/* was not counted in */
		in->total += (unsigned int)delta;
		in->per_shard[number] += (unsigned int)delta;
		if (in->total == 0)
			index_drop(h->interests, in);
	}
	pthread_mutex_unlock(&h->lock);
}

static void
hub_closed(void *arg, const struct stream_ask *ask)
{
	hub_leave(arg, &ask->guest);
}

struct hub *
hub_new(const struct hub_conf *c)
{
	struct shard_conf sc = {
		.store = c->store,
		.threads = (size_t)c->threads,
		.tail_bytes = c->tail_bytes,
		.queue_bytes = c->queue_bytes,
		.max_replay = c->max_replay,
		.heartbeat_ms = c->heartbeat_ms,
		.retry_ms = c->retry_ms,
		.stall_ms = c->stall_ms,
		.limits = c->limits,
		.interest = hub_interest,
		.closed = hub_closed,
	};
	struct hub *h;

	assert(c->threads > 0 && c->threads <= SHARDS_MAX);
	if ((h = calloc(1, sizeof(*h))) == NULL) {
		log_warn("hub");
		return NULL;
	}
	h->conf = *c;
	(void)pthread_mutex_init(&h->lock, NULL);
	h->interests = index_new(sizeof(struct interest) +
	    (size_t)c->threads * sizeof(unsigned int));
	h->admission = admission_new(&c->admission);
	if (h->interests == NULL || h->admission == NULL) {
		log_warn("hub");
		hub_free(h);
		return NULL;
	}
	sc.arg = h;
	for (; h->n < (size_t)c->threads; h->n++) {
		sc.number = (int)h->n;
		if ((h->shards[h->n] = shard_new(&sc)) == NULL) {
			hub_free(h);
			return NULL;
		}
	}
	return h;
}

static void
load_tails(void *arg, struct frame **frames, size_t n, uint64_t floor)
{
	struct hub *h = arg;

	for (size_t i = 0; i < n; i++)
		if (h->n > 1)
			frame_ref_many(frames[i], (unsigned int)h->n - 1);
	for (size_t i = 0; i < h->n; i++)
		shard_load(h->shards[i], frames, n, floor);
}

int
hub_start(struct hub *h)
{
	/* What cannot be loaded is read from the log. */
	if (store_load_tail(h->conf.store, h->conf.tail_bytes, load_tails, h) == -1)
		log_warnx("hub: the tail is incomplete");
	for (size_t i = 0; i < h->n; i++)
		if (shard_start(h->shards[i]) == -1) {
			hub_stop(h);
			return -1;
		}
	return 0;
}

void
hub_stop(struct hub *h)
{
	for (size_t i = 0; i < h->n; i++)
		shard_stop(h->shards[i]);
}

void
hub_free(struct hub *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->n; i++)
		shard_free(h->shards[i]);
	index_free(h->interests, NULL);
	admission_free(h->admission);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

static void
count_interest(void *arg, void *node)
{
	struct hub *h = arg;
	struct interest *in = node;

	h->count += in->total;
	for (size_t i = 0; i < h->n; i++)
		h->wake[i] |= in->per_shard[i] > 0;
}

/* Under the lock. */
static unsigned int
count_topic(struct hub *h, const char *topic, size_t len)
{
	struct interest *in;

	h->count = 0;
	if ((in = index_get(h->interests, topic, len, false, false)) != NULL)
		count_interest(h, in);
	index_match(h->interests, topic, len, count_interest, h);
	return h->count;
}

void
hub_publish(void *arg, struct frame **frames, size_t n,
    unsigned int *subscribers)
{
	struct hub *h = arg;

	/* One atomic reference per frame and shard. */
	for (size_t i = 0; i < n; i++)
		if (h->n > 1)
			frame_ref_many(frames[i], (unsigned int)h->n - 1);
	pthread_mutex_lock(&h->lock);
	memset(h->wake, 0, h->n);
	for (size_t i = 0; i < n; i++)
		subscribers[i] = count_topic(h, frames[i]->topic,
		    frames[i]->topic_len);
	for (size_t i = 0; i < h->n; i++)
		shard_news(h->shards[i], frames, n, h->wake[i] != 0);
	pthread_mutex_unlock(&h->lock);
}

enum admitted
hub_admit(struct hub *h, const struct guest *g)
{
	return hub_is_draining(h) ? ADMITTED_NOT : admission_enter(h->admission, g);
}

void
hub_leave(struct hub *h, const struct guest *g)
{
	admission_leave(h->admission, g);
}

void
hub_adopt(struct hub *h, struct stream *s)
{
	size_t best = 0;

	for (size_t i = 1; i < h->n; i++)
		if (shard_streams(h->shards[i]) < shard_streams(h->shards[best]))
			best = i;
	shard_adopt(h->shards[best], s);
}

void
hub_drain(struct hub *h, int64_t over_ms)
{
	h->drain_until = clock_mono_ms() + over_ms;
	for (size_t i = 0; i < h->n; i++)
		shard_drain(h->shards[i], over_ms);
}

bool
hub_is_draining(const struct hub *h)
{
	return h->drain_until != 0;
}

int64_t
hub_return_ms(const struct hub *h)
{
	return stream_return_ms(h->drain_until, clock_mono_ms(), h->conf.retry_ms);
}

int
hub_keep_grounds(struct hub *h, const uint64_t *ids, size_t n)
{
	for (size_t i = 0; i < h->n; i++)
		if (shard_keep_grounds(h->shards[i], ids, n) == -1)
			return -1;
	return 0;
}

void
hub_walk(struct hub *h, struct walk *w)
{
	for (size_t i = 0; i < h->n; i++)
		shard_walk(h->shards[i], walk_part_of(w, i));
}

size_t
hub_streams(const struct hub *h)
{
	return admission_count(h->admission);
}

const char *
hub_trouble(const struct hub *h)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < h->n; i++)
		if (now - shard_turned_at(h->shards[i]) > TURN_MS)
			return "a stream thread hangs";
	return NULL;
}

size_t
hub_shard_streams(const struct hub *h, size_t shard)
{
	return shard_streams(h->shards[shard]);
}

size_t
hub_shards(const struct hub *h)
{
	return h->n;
}
