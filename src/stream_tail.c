/*
 * stream_tail.c - catching up from memory: what a stream missed, found in the tail.
 *
 * For plain topics the topics' chains are walked back from the newest, so the cost is
 * what was missed.  With patterns, and for who is far behind, the ring is scanned from
 * the cursor on, a bounded piece at a time: a chain would be walked anew for each page.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "stream_internal.h"

#define SCAN_MAX	4096		/* entries looked at one by one in a step */
#define WALK_MAX	1024		/* of a topic's chain, likewise */
#define REPLAY_MAX	1000

/* Entries found, in no order yet. */
struct found {
	struct entry	**v;
	size_t		  n, cap;
	uint64_t	  lost;
	bool		  failed;
};

static void
found_add(struct found *f, struct entry *e)
{
	struct entry **grown;
	size_t cap;

	if (f->n == f->cap) {
		cap = f->cap == 0 ? 64 : f->cap * 2;
		if ((grown = realloc(f->v, cap * sizeof(struct entry *))) == NULL) {
			f->failed = true;
			return;
		}
		f->v = grown;
		f->cap = cap;
	}
	f->v[f->n++] = e;
}

static int
by_seq(const void *a, const void *b)
{
	uint64_t x = (*(struct entry *const *)a)->frame->id.seq;
	uint64_t y = (*(struct entry *const *)b)->frame->id.seq;

	return x < y ? -1 : x > y;
}

static size_t
entry_size(const struct stream *s, const struct entry *e)
{
	return s->ask.envelope ? frame_envelope_bytes(e->frame) : e->frame->raw_len;
}

/* Queue the found, oldest first, until a page is full; returns whether all went. */
static bool
queue_page(struct stream_env *env, struct stream *s, const struct found *f)
{
	size_t bytes = 0;

	for (size_t i = 0; i < f->n; i++) {
		bytes += entry_size(s, f->v[i]);
		if (i > 0 && bytes > env->page_bytes)
			return false;
		catch_up_queue(env, s, f->v[i]);
		if (s->state == STREAM_DEAD)
			return false;
	}
	return true;
}

/* The missed of all chains, `max` at most; returns whether these are all. */
static bool
walk_chains(struct stream_env *env, const struct stream *s, size_t max,
    struct found *f)
{
	struct entry *e;
	uint64_t lost;

	for (size_t i = 0; i < s->nsubs; i++) {
		e = s->subs[i].node->newest;
		while (e != NULL && e->frame->id.seq > s->cursor && !f->failed) {
			if (f->n == max)
				return false;
			found_add(f, e);
			if (e->frame->prev <= s->cursor)
				break;
			lost = 0;
			e = tail_older(&env->tail, e, &lost);
			if (lost > f->lost)
				f->lost = lost;
		}
	}
	return true;
}

/* Each topic is matched once a step, however many events it has. */
static bool
wants(struct stream_env *env, const struct stream *s, const struct entry *e)
{
	struct node *n = e->node;

	if (n->stamp != env->stamp) {
		n->stamp = env->stamp;
		n->wanted = topics_match(s->ask.topics, e->frame->topic,
		    e->frame->topic_len);
	}
	return n->wanted;
}

/* How many it may be behind. */
static size_t
limit_of(const struct stream_env *env, const struct stream *s)
{
	return s->moved ? 2 * env->max_replay : env->max_replay;
}

/* Is it behind by more?  Asked once on a way back to live. */
static bool
too_far(struct stream_env *env, struct stream *s, size_t missed)
{
	size_t limit = limit_of(env, s), n = 0;

	if (s->counted || missed <= limit) {
		s->counted = true;
		return false;
	}
	for (size_t i = env->tail.count - missed; i < env->tail.count &&
	    n <= limit; i++)
		n += wants(env, s, tail_at(&env->tail, i));
	s->counted = n <= limit;
	if (n > limit)
		catch_up_gap(env, s, GAP_TOO_FAR, env->tail.position, 0);
	return n > limit;
}

static void
after_scan(struct stream_env *env, struct stream *s, size_t from)
{
	size_t i = from, bytes = 0;
	struct entry *e;
	uint64_t seq;

	for (; i < env->tail.count && i - from < SCAN_MAX; i++) {
		e = tail_at(&env->tail, i);
		seq = e->frame->id.seq;
		if (wants(env, s, e)) {
			bytes += entry_size(s, e);
			if (s->q_len > 0 && bytes > env->page_bytes)
				return;
			catch_up_queue(env, s, e);
			if (s->state == STREAM_DEAD)
				return;
		} else if (s->cursor < seq)
			s->cursor = seq;
	}
	if (i == env->tail.count && s->cursor < env->tail.position)
		s->cursor = env->tail.position;
}

/* False: too much to do it this way. */
static bool
after_walk(struct stream_env *env, struct stream *s)
{
	struct found f = { 0 };
	uint64_t upto = env->tail.position, oldest;
	size_t max = limit_of(env, s);
	bool all;

	if (s->counted || max > WALK_MAX)
		max = WALK_MAX;
	all = walk_chains(env, s, max, &f);
	if (f.failed)
		stream_kill(env, s);
	if (!all || f.failed) {
		free(f.v);
		return f.failed;
	}
	if (f.n > 1)
		qsort(f.v, f.n, sizeof(struct entry *), by_seq);
	if (f.lost > s->cursor && f.lost > s->told_lost) {
		oldest = f.n > 0 ? f.v[0]->frame->id.seq : upto;
		catch_up_gap(env, s, GAP_EXPIRED, oldest, f.lost);
	}
	if (queue_page(env, s, &f) && s->cursor < upto)
		s->cursor = upto;
	free(f.v);
	return true;
}

bool
catch_up_after(struct stream_env *env, struct stream *s)
{
	size_t from;

	if (s->cursor >= env->tail.position)
		return true;
	if (s->cursor < env->tail.floor)
		return false;
	if (s->ask.topics->has_pattern || !after_walk(env, s)) {
		/* Once past a hole, nothing in the ring speaks of it. */
		if (s->cursor < env->tail.hole)
			return false;
		from = tail_find(&env->tail, s->cursor);
		if (!too_far(env, s, env->tail.count - from))
			after_scan(env, s, from);
	}
	metric_add(METRIC_TAIL_PAGES, 1);
	return true;
}

/* The newest `replay` of each topic, if memory holds them all and they are few. */
bool
catch_up_replay(struct stream_env *env, struct stream *s)
{
	struct found f = { 0 };
	struct entry *e;
	uint64_t head, lost;
	size_t n, bytes = 0, at = 0;
	bool all = true;

	if (s->ask.topics->has_pattern)
		return false;
	for (size_t i = 0; i < s->nsubs && all; i++) {
		e = s->subs[i].node->newest;
		if (e == NULL) {
			struct topics *one = topics_new(&s->ask.topics->v[i], 1);

			/* Nothing since ever is all there is. */
			all = one != NULL && store_missed_nothing(env->store, one,
			    0, &head);
			topics_unref(one);
			continue;
		}
		for (n = 0; n < s->ask.replay && e != NULL && !f.failed; n++) {
			found_add(&f, e);
			bytes += entry_size(s, e);
			lost = 0;
			if (e->frame->prev == 0)
				e = NULL;
			else if ((e = tail_older(&env->tail, e, &lost)) == NULL &&
			    lost == 0 && n + 1 < s->ask.replay)
				all = false;	/* older ones are in the log alone */
		}
	}
	/* Large ones come in pages, from the log. */
	if (f.failed || !all || bytes > env->queue_bytes) {
		free(f.v);
		return false;
	}
	if (f.n > 1)
		qsort(f.v, f.n, sizeof(struct entry *), by_seq);
	if (f.n > REPLAY_MAX)
		at = f.n - REPLAY_MAX;
	/* In mid-stream, after too_far, it has had some of them. */
	for (; at < f.n && s->state != STREAM_DEAD; at++)
		if (f.v[at]->frame->id.seq > s->cursor)
			catch_up_queue(env, s, f.v[at]);
	free(f.v);
	s->replay_through = env->tail.position;
	if (s->cursor < env->tail.position)
		s->cursor = env->tail.position;
	s->want = WANT_AFTER;
	return true;
}

bool
catch_up_since(struct stream_env *env, struct stream *s)
{
	struct tail *t = &env->tail;
	size_t lo = 0, hi = t->count, mid;
	uint64_t seq;

	/* Only if the time lies inside, for what is older may be in the log. */
	if (t->count == 0 || tail_at(t, 0)->frame->wall_ms >= s->ask.since_ms)
		return false;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (tail_at(t, mid)->frame->wall_ms < s->ask.since_ms)
			lo = mid + 1;
		else
			hi = mid;
	}
	seq = lo < t->count ? tail_at(t, lo)->frame->id.seq - 1 : t->position;
	if (s->cursor < seq)
		s->cursor = seq;	/* not back, in mid-stream after too_far */
	/* More than fit are the log's business: it knows the newest of them. */
	if (t->count - lo > env->max_replay)
		return false;
	s->want = WANT_AFTER;
	return true;
}
