/*
 * stream_queue.c - the queue of one stream: a ring of references to entries.
 *
 * Bytes are counted twice: in the stream's own format, and as memory.  A queue is dropped
 * behind the entry whose first byte is sent, never inside it.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sse.h"
#include "stream_internal.h"

struct entry *
stream_queue_at(const struct stream *s, uint32_t i)
{
	return s->q[(s->q_head + i) % s->q_cap];
}

/* The bytes of an entry in this stream's format; NULL when memory ran out. */
const char *
stream_entry_bytes(const struct stream *s, const struct entry *e, size_t *len)
{
	const struct frame_text *t;

	if (!s->ask.envelope || e->kind != ENTRY_EVENT) {
		*len = e->frame->raw_len;
		return e->frame->raw;
	}
	if ((t = frame_envelope(e->frame)) == NULL) {
		*len = 0;
		return NULL;
	}
	*len = t->len;
	return t->p;
}

size_t
stream_entry_held(const struct stream *s, const struct entry *e, size_t len)
{
	return e->frame->bytes + (s->ask.envelope ? len : 0) + ENTRY_BYTES;
}

void
stream_set_dirty(struct stream_env *env, struct stream *s)
{
	if (s->is_dirty || s->blocked || s->state == STREAM_DEAD)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&env->dirty, s, dirty);
}

bool
stream_may_step(const struct stream *s)
{
	if (s->blocked || s->state != STREAM_CATCHING_UP || s->job_running)
		return false;
	return s->q_len == 0 || (s->q_len == 1 && s->q_sent == 0 &&
	    stream_queue_at(s, 0)->kind == ENTRY_PREAMBLE);
}

void
stream_set_ready(struct stream_env *env, struct stream *s)
{
	if (s->is_ready || !stream_may_step(s))
		return;
	s->is_ready = true;
	TAILQ_INSERT_TAIL(&env->ready, s, ready);
}

void
stream_kill(struct stream_env *env, struct stream *s)
{
	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_DEAD;
	TAILQ_INSERT_TAIL(&env->dead, s, dead);
}

/* Borrows the entry: the queue takes a reference of its own. */
void
stream_queue(struct stream_env *env, struct stream *s, struct entry *e)
{
	struct entry **grown;
	uint32_t cap;
	size_t len;

	if (stream_entry_bytes(s, e, &len) == NULL)
		goto nomem;
	if (s->q_len == s->q_cap) {
		cap = s->q_cap * 2;
		if ((grown = malloc(cap * sizeof(struct entry *))) == NULL)
			goto nomem;
		for (uint32_t i = 0; i < s->q_len; i++)
			grown[i] = stream_queue_at(s, i);
		if (s->q != s->q_inline)
			free(s->q);
		s->q = grown;
		s->q_cap = cap;
		s->q_head = 0;
	}
	if (s->q_len == 0)
		s->progress_at = env->now_ms;	/* the clock of a stall starts */
	e->refs++;
	s->q[(s->q_head + s->q_len) % s->q_cap] = e;
	s->q_len++;
	s->q_bytes += len;
	s->q_held += stream_entry_held(s, e, len);
	stream_set_dirty(env, s);
	return;

nomem:
	/* The client will come back with its cursor. */
	log_warnx("stream: out of memory; one stream is dropped");
	stream_kill(env, s);
}

void
stream_queue_bytes(struct stream_env *env, struct stream *s, struct buf *b,
    enum entry_kind kind)
{
	struct entry *e = NULL;

	if (s->state == STREAM_DEAD || s->state == STREAM_ENDING) {
		buf_fini(b);
		return;
	}
	if (!b->failed)
		e = entry_new(frame_new_bytes(b->p, b->len), kind);
	buf_fini(b);
	if (e == NULL) {
		stream_kill(env, s);
		return;
	}
	stream_queue(env, s, e);
	entry_unref(e);
}

void
stream_queue_control(struct stream_env *env, struct stream *s, enum entry_kind kind,
    const char *name, struct event_id *id, const struct buf *data)
{
	struct buf b = { 0 };
	char text[EVENT_ID_SIZE];

	if (id != NULL)
		(void)event_id_format(text, *id);
	if (data->failed)
		b.failed = true;
	else
		sse_add_event(&b, id != NULL ? text : NULL, name, strlen(name),
		    data->p, data->len);
	stream_queue_bytes(env, s, &b, kind);
}

/* The first entry is done with. */
void
stream_queue_shift(struct stream *s)
{
	struct entry *e = stream_queue_at(s, 0);
	size_t len = 0;

	(void)stream_entry_bytes(s, e, &len);
	s->q_head = (s->q_head + 1) % s->q_cap;
	s->q_len--;
	s->q_bytes -= len;
	s->q_held -= stream_entry_held(s, e, len);
	s->q_sent = 0;
	entry_unref(e);
}

void
stream_queue_clear(struct stream *s)
{
	while (s->q_len > 0)
		stream_queue_shift(s);
}

/* A long queue was an exception: an idle stream is its struct. */
void
stream_queue_shrink(struct stream *s)
{
	if (s->q_len > 0 || s->q == s->q_inline)
		return;
	free(s->q);
	s->q = s->q_inline;
	s->q_cap = STREAM_INLINE;
	s->q_head = 0;
}

/*
 * Drop what is queued but the entry under way and what could not be had again: a replay,
 * and gaps, for their holes lie before the place that the cursor goes back to: before the
 * first event dropped.  `next` is the seq of an event that was about to be queued, or 0.
 */
void
stream_unqueue(struct stream *s, uint64_t next)
{
	struct entry *e;
	uint32_t n = s->q_len, kept = 0;
	uint64_t first = next;
	size_t len;
	bool keep;

	for (uint32_t i = 0; i < n; i++) {
		e = stream_queue_at(s, i);
		keep = (i == 0 && s->q_sent > 0) || e->kind == ENTRY_GAP ||
		    e->kind == ENTRY_PREAMBLE || e->kind == ENTRY_EXPIRING ||
		    (e->kind == ENTRY_EVENT &&
		    e->frame->id.seq <= s->replay_through);
		if (keep) {
			s->q[(s->q_head + kept++) % s->q_cap] = e;
			continue;
		}
		if (e->kind == ENTRY_EVENT && (first == 0 ||
		    e->frame->id.seq < first))
			first = e->frame->id.seq;
		if (e->kind == ENTRY_LIVE)
			s->live_told = false;
		(void)stream_entry_bytes(s, e, &len);
		s->q_bytes -= len;
		s->q_held -= stream_entry_held(s, e, len);
		entry_unref(e);
	}
	s->q_len = kept;
	if (first > 0)
		s->cursor = first - 1;
	s->counted = false;
	if (s->want == WANT_PLAN && s->replay_through == 0)
		s->want = WANT_AFTER;	/* the plan has moved past what was dropped */
}
