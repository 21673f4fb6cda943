/*
 * limit.c - buckets as moments, and a heap that knows which of them is full next.
 *
 * Numbers: a bucket is never more than WINDOW_MAX_NS from full, and a clock that began
 * with the machine stays far below 2^62 ns, so no sum of the two overflows.
 */
#include "config.h"

#include "limit.h"

#include <assert.h>
#include <stdlib.h>

#include "map.h"

#define WINDOW_MAX_NS	(INT64_C(1) << 60)	/* 36 years */
#define IDLE_DROPS	2			/* for each that is taken */

/* What a bucket is found by: the same one under another rule is another bucket. */
struct key {
	uint64_t	 who;
	int64_t		 each_ns;
};

struct place {
	struct key	 key;
	struct limit_bucket bucket;
	size_t		 at;		/* in the heap */
};

/* Invariants: (1) map and heap hold the same places, at most `max`.  (2) No place is full
 * later than those below it, at 2i+1 and 2i+2. */
struct limit {
	struct map	*map;
	struct place	**heap;
	size_t		 n, cap, max;
};

struct limit_rule
limit_rule(double rate, uint64_t burst)
{
	struct limit_rule r;
	uint64_t most;
	double each;

	assert(rate > 0);
	each = rate < LIMIT_RATE_MIN ? 1e9 / LIMIT_RATE_MIN : 1e9 / rate;
	r.each_ns = each < 1 ? 1 : (int64_t)each;
	if ((double)r.each_ns < each)
		r.each_ns++;		/* rather slower than faster */
	most = (uint64_t)(WINDOW_MAX_NS / r.each_ns);
	r.burst = burst < 1 ? 1 : burst < most ? burst : most;
	return r;
}

/* What is owed: how far it is from full. */
static int64_t
debt(const struct limit_bucket *b, int64_t now_ns)
{
	return b->full_ns > now_ns ? b->full_ns - now_ns : 0;
}

int64_t
limit_wait(const struct limit_bucket *b, const struct limit_rule *r, uint64_t n,
    int64_t now_us)
{
	int64_t over;

	if (n > r->burst)
		return -1;
	over = debt(b, now_us * 1000) - (int64_t)(r->burst - n) * r->each_ns;
	return over <= 0 ? 0 : (over + 999) / 1000;
}

void
limit_spend(struct limit_bucket *b, const struct limit_rule *r, uint64_t n,
    int64_t now_us)
{
	b->full_ns = now_us * 1000 + debt(b, now_us * 1000) + (int64_t)n * r->each_ns;
}

void
limit_return(struct limit_bucket *b, const struct limit_rule *r, uint64_t n)
{
	b->full_ns -= (int64_t)n * r->each_ns;
}

/* --- the heap --- */

static void
put(struct limit *l, size_t at, struct place *p)
{
	l->heap[at] = p;
	p->at = at;
}

static void
rise(struct limit *l, struct place *p)
{
	size_t at = p->at, up;

	for (; at > 0; at = up) {
		up = (at - 1) / 2;
		if (l->heap[up]->bucket.full_ns <= p->bucket.full_ns)
			break;
		put(l, at, l->heap[up]);
	}
	put(l, at, p);
}

static void
sink(struct limit *l, struct place *p)
{
	size_t at = p->at, down;

	for (; (down = 2 * at + 1) < l->n; at = down) {
		if (down + 1 < l->n && l->heap[down + 1]->bucket.full_ns <
		    l->heap[down]->bucket.full_ns)
			down++;
		if (p->bucket.full_ns <= l->heap[down]->bucket.full_ns)
			break;
		put(l, at, l->heap[down]);
	}
	put(l, at, p);
}

static void
drop_first(struct limit *l)
{
	struct place *p = l->heap[0], *last = l->heap[--l->n];

	(void)map_del(l->map, &p->key, sizeof(p->key));
	free(p);
	if (l->n > 0) {
		last->at = 0;
		sink(l, last);
	}
}

/* --- many --- */

struct limit *
limit_new(size_t max)
{
	struct limit *l;

	assert(max > 0);
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	if ((l->map = map_new()) == NULL) {
		free(l);
		return NULL;
	}
	l->max = max;
	return l;
}

void
limit_free(struct limit *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->heap[i]);
	free(l->heap);
	map_free(l->map);
	free(l);
}

size_t
limit_count(const struct limit *l)
{
	return l->n;
}

static struct place *
find(const struct limit *l, uint64_t who, const struct limit_rule *r)
{
	struct key key = { who, r->each_ns };

	return map_get(l->map, &key, sizeof(key));
}

/* What a newcomer begins with. */
static struct limit_bucket
inherited(const struct limit *l)
{
	static const struct limit_bucket full;

	return l->n < l->max ? full : l->heap[0]->bucket;
}

int64_t
limit_ask(const struct limit *l, uint64_t who, const struct limit_rule *r, uint64_t n,
    int64_t now_us)
{
	const struct place *p = find(l, who, r);
	struct limit_bucket b = p != NULL ? p->bucket : inherited(l);

	return limit_wait(&b, r, n, now_us);
}

static int
grow(struct limit *l)
{
	size_t cap = l->cap == 0 ? 16 : l->cap * 2;
	struct place **heap;

	if (l->n < l->cap)
		return 0;
	if ((heap = reallocarray(l->heap, cap, sizeof(struct place *))) == NULL)
		return -1;
	l->heap = heap;
	l->cap = cap;
	return 0;
}

static struct place *
add(struct limit *l, uint64_t who, const struct limit_rule *r)
{
	struct place *p;

	if (grow(l) == -1 || (p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	p->key = (struct key){ who, r->each_ns };
	if (map_put(l->map, &p->key, sizeof(p->key), p) == -1) {
		free(p);
		return NULL;
	}
	p->bucket = inherited(l);
	if (l->n == l->max)
		drop_first(l);
	p->at = l->n++;
	rise(l, p);
	return p;
}

int
limit_take(struct limit *l, uint64_t who, const struct limit_rule *r, uint64_t n,
    int64_t now_us)
{
	struct place *p = find(l, who, r);

	if (p == NULL && (p = add(l, who, r)) == NULL)
		return -1;
	limit_spend(&p->bucket, r, n, now_us);
	sink(l, p);
	/* Those that are full say nothing.  (Nor does this one, if it was none that was
	 * taken.) */
	for (int i = 0; i < IDLE_DROPS && l->n > 0 &&
	    debt(&l->heap[0]->bucket, now_us * 1000) == 0; i++)
		drop_first(l);
	return 0;
}

void
limit_give(struct limit *l, uint64_t who, const struct limit_rule *r, uint64_t n)
{
	struct place *p = find(l, who, r);

	if (p == NULL)
		return;
	limit_return(&p->bucket, r, n);
	rise(l, p);
}
