/*
 * store_cache.c - events that the reader has read lately, by seq.
 *
 * When ten thousand streams come back from the same outage they ask for the same events.
 * Each is read once and its frame shared; the oldest leave first.  What may have been
 * pruned since is not found here, so that pages tell of it.
 *
 * The reader's thread alone.
 */
#include "config.h"

#include <stdlib.h>

#include "store_internal.h"

struct cache {
	struct map	*by_seq;
	struct frame	**ring;		/* a reference each; oldest at head */
	size_t		 cap, head, n;	/* cap: a power of two */
	size_t		 bytes, max_bytes;
};

struct cache *
cache_new(size_t max_bytes)
{
	struct cache *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->max_bytes = max_bytes;
	if ((c->by_seq = map_new()) == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static void
drop_oldest(struct cache *c)
{
	struct frame *f = c->ring[c->head];

	c->head = (c->head + 1) & (c->cap - 1);
	c->n--;
	c->bytes -= f->bytes;
	(void)map_del(c->by_seq, &f->id.seq, sizeof(f->id.seq));
	frame_unref(f);
}

void
cache_clear(struct cache *c)
{
	while (c->n > 0)
		drop_oldest(c);
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	cache_clear(c);
	map_free(c->by_seq);
	free(c->ring);
	free(c);
}

struct frame *
cache_get(const struct cache *c, uint64_t seq)
{
	return map_get(c->by_seq, &seq, sizeof(seq));
}

static int
grow(struct cache *c)
{
	size_t cap = c->cap == 0 ? 1024 : c->cap * 2;
	struct frame **ring;

	if ((ring = malloc(cap * sizeof(struct frame *))) == NULL)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		ring[i] = c->ring[(c->head + i) & (c->cap - 1)];
	free(c->ring);
	c->ring = ring;
	c->cap = cap;
	c->head = 0;
	return 0;
}

void
cache_put(struct cache *c, struct frame *f)
{
	while (c->n > 0 && c->bytes + f->bytes > c->max_bytes)
		drop_oldest(c);
	/* Without memory, or too large: read again, then. */
	if (f->bytes > c->max_bytes || cache_get(c, f->id.seq) != NULL ||
	    (c->n == c->cap && grow(c) == -1) ||
	    map_put(c->by_seq, &f->id.seq, sizeof(f->id.seq), f) == -1)
		return;
	c->ring[(c->head + c->n++) & (c->cap - 1)] = frame_ref(f);
	c->bytes += f->bytes;
}
