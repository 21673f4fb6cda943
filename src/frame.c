/*
 * frame.c - lay an event out once so that it can be sent without touching it again.
 *
 * One allocation: the topic; a gap for the longest `id:` line; the rest of the block,
 * ready rendered; and the data once more only if rendering changed it (line breaks).
 * frame_stamp() writes the id right-aligned into the gap, so that the block becomes
 * contiguous without moving the payload.
 */
#include "config.h"

#include "frame.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"

#define ID_GAP		(4 + EVENT_ID_SIZE + 1)		/* "id: " id LF */
#define ENVELOPE_WORDS	150	/* names, id and time of one, and what holds it */

static _Atomic(bool) has_envelopes;

static struct frame *
alloc(size_t mem)
{
	struct frame *f;

	if ((f = malloc(sizeof(*f) + mem)) == NULL)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->refs = 1;
	f->bytes = sizeof(*f) + mem;
	return f;
}

static char *
put(char *at, const char *p, size_t len)
{
	if (len > 0)
		memcpy(at, p, len);
	return at + len;
}

struct frame *
frame_new(const char *topic, size_t topic_len, const char *name,
    size_t name_len, const char *data, size_t data_len, unsigned int flags)
{
	struct frame *f;
	struct buf lines = { 0 };
	bool plain = memchr(data, '\n', data_len) == NULL &&
	    memchr(data, '\r', data_len) == NULL;
	size_t mem;
	char *at;

	mem = topic_len + 1 + ID_GAP + 1;
	if (name_len > 0)
		mem += 7 + name_len + 1;
	if (plain)
		mem += 6 + data_len + 1;
	else {
		sse_add_data(&lines, data, data_len);
		if (lines.failed) {
			buf_fini(&lines);
			return NULL;
		}
		mem += lines.len + data_len;
	}
	if ((f = alloc(mem)) == NULL) {
		buf_fini(&lines);
		return NULL;
	}
	f->flags = flags;
	f->topic = f->mem;
	f->topic_len = (uint32_t)topic_len;
	at = put(f->mem, topic, topic_len);
	*at++ = '\0';
	at += ID_GAP;
	f->raw = at;
	if (name_len > 0) {
		at = put(at, "event: ", 7);
		f->name = at;
		f->name_len = (uint32_t)name_len;
		at = put(at, name, name_len);
		*at++ = '\n';
	}
	f->data_len = (uint32_t)data_len;
	if (plain) {
		at = put(at, "data: ", 6);
		f->data = at;
		at = put(at, data, data_len);
		*at++ = '\n';
	} else
		at = put(at, lines.p, lines.len);
	*at++ = '\n';
	f->raw_len = (uint32_t)(at - f->raw);
	if (!plain) {
		f->data = at;
		at = put(at, data, data_len);
		buf_fini(&lines);
	}
	assert(at <= f->mem + mem);
	return f;
}

void
frame_stamp(struct frame *f, struct event_id id, uint64_t prev, uint64_t nth,
    int64_t wall_ms)
{
	char text[EVENT_ID_SIZE];
	size_t len;
	char *at;

	assert(f->topic_len > 0);
	if (f->id.seq != 0) {		/* numbered before, in vain: take it off */
		len = event_id_format(text, f->id) + 5;
		f->raw += len;
		f->raw_len -= (uint32_t)len;
	}
	f->id = id;
	f->prev = prev;
	f->nth = nth;
	f->wall_ms = wall_ms;
	len = event_id_format(text, id);
	/* The gap lies in mem[], which is ours to write. */
	at = f->mem + (f->raw - f->mem) - (len + 5);
	f->raw = at;
	f->raw_len += (uint32_t)(len + 5);
	at = put(at, "id: ", 4);
	at = put(at, text, len);
	*at = '\n';
}

struct frame *
frame_new_bytes(const char *p, size_t len)
{
	struct frame *f;

	if ((f = alloc(len)) == NULL)
		return NULL;
	(void)put(f->mem, p, len);
	f->raw = f->mem;
	f->raw_len = (uint32_t)len;
	return f;
}

void
frame_charge(struct frame *f, struct frame_budget *b)
{
	assert(f->budget == NULL);
	f->budget = b;
	atomic_fetch_add_explicit(&b->bytes, f->bytes, memory_order_relaxed);
}

static void
give_back(_Atomic(struct frame_budget *) *from, size_t bytes)
{
	struct frame_budget *b = atomic_exchange(from, NULL);

	if (b != NULL)
		atomic_fetch_sub_explicit(&b->bytes, bytes, memory_order_relaxed);
}

/* An envelope that is being made meanwhile stays charged until the frame is freed. */
void
frame_uncharge(struct frame *f)
{
	struct frame_text *t = atomic_load_explicit(&f->envelope, memory_order_acquire);

	give_back(&f->budget, f->bytes);
	if (t != NULL)
		give_back(&t->budget, t->len);
}

bool
frame_is_charged(const struct frame *f)
{
	return f->budget != NULL;
}

struct frame *
frame_ref(struct frame *f)
{
	frame_ref_many(f, 1);
	return f;
}

void
frame_ref_many(struct frame *f, unsigned int n)
{
	atomic_fetch_add_explicit(&f->refs, n, memory_order_relaxed);
}

void
frame_unref(struct frame *f)
{
	if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1,
	    memory_order_acq_rel) != 1)
		return;
	if (frame_is_charged(f) || f->envelope != NULL)
		frame_uncharge(f);
	free(f->envelope);
	free(f);
}

bool
frame_has_envelopes(void)
{
	return atomic_load_explicit(&has_envelopes, memory_order_relaxed);
}

size_t
frame_envelope_bytes(const struct frame *f)
{
	return f->raw_len + f->topic_len + ENVELOPE_WORDS;
}

/* Several threads may make it at once; one copy wins, the others are freed. */
const struct frame_text *
frame_envelope(struct frame *f)
{
	struct frame_text *t, *seen;
	struct frame_budget *b;
	struct buf json = { 0 }, block = { 0 };
	char id[EVENT_ID_SIZE];

	t = atomic_load_explicit(&f->envelope, memory_order_acquire);
	if (t != NULL)
		return t;
	(void)event_id_format(id, f->id);
	sse_add_envelope(&json, id, f->topic, f->topic_len, f->name,
	    f->name_len, f->wall_ms, f->flags, f->data, f->data_len);
	if (!json.failed)
		sse_add_event(&block, id, NULL, 0, json.p, json.len);
	if (json.failed || block.failed ||
	    (t = malloc(sizeof(*t) + block.len)) == NULL) {
		buf_fini(&json);
		buf_fini(&block);
		return NULL;
	}
	t->len = block.len;
	atomic_store_explicit(&has_envelopes, true, memory_order_relaxed);
	if ((b = f->budget) != NULL)
		atomic_fetch_add_explicit(&b->bytes, t->len, memory_order_relaxed);
	t->budget = b;
	(void)put(t->p, block.p, block.len);
	buf_fini(&json);
	buf_fini(&block);
	seen = NULL;
	if (!atomic_compare_exchange_strong_explicit(&f->envelope, &seen, t,
	    memory_order_acq_rel, memory_order_acquire)) {
		give_back(&t->budget, t->len);
		free(t);
		return seen;
	}
	return t;
}
