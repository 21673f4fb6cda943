/*
 * tail.c - a ring of entries, evicted oldest first when the bytes are used up.
 */
#include "config.h"

#include "tail.h"

#include <assert.h>
#include <stdlib.h>

#define RING_MIN	1024
/* Its name beside, and its place in a map at three eighths; with what malloc() adds. */
#define NODE_BYTES	(sizeof(struct node) + 2 * 16 + 86)

struct entry *
entry_new(struct frame *f, enum entry_kind kind)
{
	struct entry *e;

	if (f == NULL)
		return NULL;
	if ((e = calloc(1, sizeof(*e))) == NULL) {
		frame_unref(f);
		return NULL;
	}
	e->frame = f;
	e->refs = 1;
	e->kind = (uint8_t)kind;
	return e;
}

void
entry_unref(struct entry *e)
{
	assert(e->refs > 0);
	if (--e->refs > 0)
		return;
	frame_unref(e->frame);
	free(e);
}

void
tail_init(struct tail *t, struct index *ix, size_t max_bytes, size_t threads)
{
	*t = (struct tail){ .index = ix, .max_bytes = max_bytes, .threads = threads };
}

/* The frame is shared with the other threads, the entry is not. */
static size_t
entry_bytes(const struct tail *t, const struct entry *e)
{
	return e->frame->bytes + (t->envelopes ? frame_envelope_bytes(e->frame) : 0) +
	    t->threads * ENTRY_BYTES;
}

static size_t
node_bytes(const struct tail *t, const struct node *n)
{
	return t->threads * (NODE_BYTES + n->index.len);
}

static void
count_envelopes(struct tail *t)
{
	t->envelopes = true;
	for (size_t i = 0; i < t->count; i++)
		t->bytes += frame_envelope_bytes(tail_at(t, i)->frame);
}

static void
drop_oldest(struct tail *t)
{
	struct entry *e = tail_at(t, 0);
	struct node *n = e->node;

	assert(n != NULL);
	t->head = (t->head + 1) & (t->cap - 1);
	t->count--;
	t->bytes -= entry_bytes(t, e);
	t->floor = e->frame->id.seq;
	e->node = NULL;
	if (--n->nentries == 0) {
		t->bytes -= node_bytes(t, n);
		n->newest = NULL;
		if (n->nsubs == 0) {
			free(n->subs);
			index_drop(t->index, n);
		}
	}
	entry_unref(e);
}

void
tail_fini(struct tail *t)
{
	while (t->count > 0)
		drop_oldest(t);
	free(t->ring);
	t->ring = NULL;
	t->cap = 0;
}

void
tail_skip_to(struct tail *t, uint64_t seq)
{
	while (t->count > 0)
		drop_oldest(t);
	t->floor = t->position = seq;
}

static int
grow(struct tail *t)
{
	size_t cap = t->cap == 0 ? RING_MIN : t->cap * 2;
	struct entry **ring;

	if ((ring = malloc(cap * sizeof(struct entry *))) == NULL)
		return -1;
	for (size_t i = 0; i < t->count; i++)
		ring[i] = tail_at(t, i);
	free(t->ring);
	t->ring = ring;
	t->cap = cap;
	t->head = 0;
	return 0;
}

struct entry *
tail_add(struct tail *t, struct frame *f)
{
	struct node *n;
	struct entry *e;
	uint64_t seq = f->id.seq;

	assert(seq > t->position);
	n = index_get(t->index, f->topic, f->topic_len, false, true);
	if (n == NULL || (t->count == t->cap && grow(t) == -1)) {
		if (n != NULL && n->nsubs == 0 && n->nentries == 0)
			index_drop(t->index, n);
		frame_unref(f);
		tail_skip_to(t, seq);
		return NULL;
	}
	if ((e = entry_new(f, ENTRY_EVENT)) == NULL) {
		if (n->nsubs == 0 && n->nentries == 0)
			index_drop(t->index, n);
		tail_skip_to(t, seq);
		return NULL;
	}
	if (!t->envelopes && frame_has_envelopes())
		count_envelopes(t);
	e->node = n;
	e->older = n->newest;
	if (f->prev > t->floor && (e->older == NULL ||
	    e->older->frame->id.seq != f->prev) && t->hole < f->prev)
		t->hole = f->prev;
	n->newest = e;
	if (n->nentries++ == 0)
		t->bytes += node_bytes(t, n);
	t->ring[(t->head + t->count) & (t->cap - 1)] = e;
	t->count++;
	t->bytes += entry_bytes(t, e);
	t->position = seq;
	/* Never the newest: it is on its way to the streams. */
	while (t->bytes > t->max_bytes && t->count > 1)
		drop_oldest(t);
	return e;
}

size_t
tail_find(const struct tail *t, uint64_t seq)
{
	size_t lo = 0, hi = t->count, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (tail_at(t, mid)->frame->id.seq <= seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct entry *
tail_older(const struct tail *t, const struct entry *e, uint64_t *lost)
{
	uint64_t prev = e->frame->prev;

	if (prev <= t->floor)
		return NULL;
	/* `older` may point to an evicted entry only if prev is at or below the floor;
	 * it is NULL when the tail began with this one. */
	if (e->older == NULL || e->older->frame->id.seq != prev) {
		if (*lost < prev)
			*lost = prev;
		return NULL;
	}
	return e->older;
}
