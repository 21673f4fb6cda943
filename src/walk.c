/*
 * walk.c - the pieces of a walk, and what it writes down of a stream.
 */
#include "config.h"

#include "walk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "stream_internal.h"

/* What it costs, about: to come to a stream, to ask whether a walk means it, and to write
 * it down or end it; and how much there is for a pass: some 0.2 ms. */
#define COST_STREAM	16
#define COST_ASK	1
#define COST_ROW	256
#define COST_STEP	8192

struct walk *
walk_new(size_t shards)
{
	struct walk *w;

	if ((w = calloc(1, sizeof(*w) + shards * sizeof(w->parts[0]))) == NULL)
		return NULL;
	w->n = shards;
	w->left = shards;
	for (size_t i = 0; i < shards; i++)
		w->parts[i].walk = w;
	return w;
}

void
walk_free(struct walk *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->n; i++) {
		buf_fini(&w->parts[i].rows);
		free(w->parts[i].ends);
	}
	free(w);
}

struct walk_part *
walk_part_of(struct walk *w, size_t shard)
{
	assert(shard < w->n);
	return &w->parts[shard];
}

size_t
walk_count(const struct walk *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->parts[i].count;
	return n;
}

void
walks_init(struct walks *ws)
{
	ws->at = NULL;
	STAILQ_INIT(&ws->now);
	STAILQ_INIT(&ws->next);
}

void
walk_drop(struct walk_part *p)
{
	struct walk *w = p->walk;

	if (atomic_fetch_sub(&w->left, 1) == 1)
		walk_free(w);
}

void
walks_fini(struct walks *ws)
{
	struct walk_part *p;

	STAILQ_CONCAT(&ws->now, &ws->next);
	while ((p = STAILQ_FIRST(&ws->now)) != NULL) {
		STAILQ_REMOVE_HEAD(&ws->now, link);
		walk_drop(p);
	}
}

bool
walks_idle(const struct walks *ws)
{
	return STAILQ_EMPTY(&ws->now) && STAILQ_EMPTY(&ws->next);
}

void
walks_begin(struct walks *ws, struct walk_part *p, uint64_t newest)
{
	p->upto = newest;
	STAILQ_INSERT_TAIL(&ws->next, p, link);
}

void
walks_skip(struct walks *ws, const struct stream *s)
{
	if (ws->at == s)
		ws->at = TAILQ_NEXT(s, all);
}

static bool
same(const char *asked, const char *has)
{
	return asked == NULL || (has != NULL && strcmp(asked, has) == 0);
}

static bool
asked_for(const struct stream *s, const char *topic, size_t len)
{
	const struct topics *t = s->ask.topics;

	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].len == len && memcmp(t->v[i].p, topic, len) == 0)
			return true;
	return false;
}

static bool
is_meant(const struct walk *w, const struct stream *s)
{
	/* Cheapest first: most of the time goes to memory that no cache holds. */
	if (w->sub != NULL || w->jti != NULL || w->issuer != NULL)
		if (s->who == NULL || !same(w->sub, s->who->sub) ||
		    !same(w->jti, s->who->jti) || !same(w->issuer, s->who->issuer))
			return false;
	return s->state != STREAM_ENDING && s->state != STREAM_DEAD &&
	    (w->topic == NULL || asked_for(s, w->topic, w->topic_len));
}

static void
add_text(struct buf *b, const char *name, const char *text)
{
	buf_addf(b, "\"%s\":", name);
	if (text != NULL)
		buf_add_json(b, text, strlen(text));
	else
		buf_adds(b, "null");
	buf_addc(b, ',');
}

/* Events that are not on their way to it yet: those that wait in its queue, and while it
 * catches up those of all topics between its cursor and the newest. */
static uint64_t
lag_of(const struct stream_env *env, const struct stream *s)
{
	uint64_t lag = s->q_len;

	if (s->state == STREAM_CATCHING_UP && s->cursor < env->tail.position)
		lag += env->tail.position - s->cursor;
	return lag;
}

/* Returns what it cost. */
static size_t
write_down(struct walk_part *p, const struct stream_env *env, const struct stream *s)
{
	const struct walk *w = p->walk;
	int64_t age = env->now_ms - s->opened_at;
	char opened[TEXT_TIME_SIZE];
	struct buf *b = &p->rows;
	size_t *grown, cap;

	if (p->n == w->max_rows || b->len > w->max_bytes) {
		p->cut = true;
		return COST_ASK;
	}
	if (p->n == p->cap) {
		cap = p->cap == 0 ? 16 : p->cap * 2;
		if ((grown = realloc(p->ends, cap * sizeof(*grown))) == NULL) {
			p->cut = true;
			return COST_ASK;
		}
		p->ends = grown;
		p->cap = cap;
	}
	buf_addc(b, '{');
	add_text(b, "sub", s->who != NULL ? s->who->sub : NULL);
	add_text(b, "jti", s->who != NULL ? s->who->jti : NULL);
	add_text(b, "issuer", s->who != NULL ? s->who->issuer : NULL);
	buf_adds(b, "\"topics\":");
	stream_add_topics(b, s->ask.topics);
	buf_addc(b, ',');
	add_text(b, "address", s->ask.guest.address);
	text_format_time(opened, env->wall_ms - age);
	buf_addf(b, "\"opened\":\"%s\",\"age_ms\":%lld,\"lag\":%llu}", opened,
	    (long long)age, (unsigned long long)lag_of(env, s));
	p->ends[p->n++] = b->len;
	return COST_ROW;
}

/* Returns what it cost. */
static size_t
look(struct walk_part *p, struct stream_env *env, struct stream *s)
{
	if (s->number > p->upto || !is_meant(p->walk, s))
		return COST_ASK;
	p->count++;
	if (!p->walk->end)
		return write_down(p, env, s);
	stream_lose(env, s, LOST_TOKEN);
	return COST_ROW;
}

static void
finish(struct walk_part *p)
{
	struct walk *w = p->walk;

	if (atomic_fetch_sub(&w->left, 1) == 1)
		w->done(w);
}

void
walks_step(struct walks *ws, struct stream_env *env, struct stream_list *all)
{
	struct walk_part *p;
	size_t cost = 0;

	if (STAILQ_EMPTY(&ws->now)) {
		if (STAILQ_EMPTY(&ws->next))
			return;
		STAILQ_CONCAT(&ws->now, &ws->next);
		ws->at = TAILQ_FIRST(all);
	}
	for (; ws->at != NULL && cost < COST_STEP; ws->at = TAILQ_NEXT(ws->at, all)) {
		cost += COST_STREAM;
		STAILQ_FOREACH(p, &ws->now, link)
			cost += look(p, env, ws->at);
	}
	if (ws->at != NULL)
		return;
	while ((p = STAILQ_FIRST(&ws->now)) != NULL) {
		STAILQ_REMOVE_HEAD(&ws->now, link);
		finish(p);
	}
}
