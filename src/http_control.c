/*
 * http_control.c - what an application may ask: who may, GET /streams, and what a request
 * waits for here: a walk over all streams, and its time.
 *
 * For API keys that reach every topic alone, in the Authorization header: so no page and
 * no token can.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_control.h"

#define WAITING_MAX	1000		/* requests that revoke, at a time */
#define LISTS_MAX	16		/* those that list */
#define ROWS_MAX	1000		/* streams listed */
#define ROWS_BYTES	(1024 * 1024)

enum answer
control_begin(struct request *rq)
{
	enum answer a;

	if (!rq_verify(rq, AUTH_PUBLISH, &a))
		return a;
	if (auth_reaches_all(&rq->id))
		return ANSWER_NOT_YET;
	return rq_problemf(rq, PROBLEM_KEY_REQUIRED, rq->id.is_api_key ?
	    "this API key has patterns; %s is for one that has none and so reaches every "
	    "topic" : "%s is for API keys, not for tokens", rq->route->path);
}

/* --- walks --- */

static void
control_free(struct control *c)
{
	walk_free(c->walk);
	for (size_t i = 0; i < sizeof(c->text) / sizeof(c->text[0]); i++)
		buf_fini(&c->text[i]);
	free(c);
}

struct control *
control_new(struct request *rq, bool lists, enum answer *a)
{
	struct http *h = rq->http;
	size_t *n = &h->ncontrols[lists];
	struct control *c;

	if (*n >= (lists ? LISTS_MAX : WAITING_MAX)) {
		*a = rq_problemf(rq, PROBLEM_OVERLOAD, "%zu such requests are under way; "
		    "try again soon", *n);
		return NULL;
	}
	*a = ANSWER_FAILED;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	if ((c->walk = walk_new(hub_shards(h->conf.hub))) == NULL) {
		free(c);
		return NULL;
	}
	c->rq = rq;
	rq->control = c;
	c->walked = true;		/* until it begins */
	c->lists = lists;
	(*n)++;
	return c;
}

void
control_end(struct request *rq)
{
	struct control *c = rq->control;

	if (c == NULL)
		return;
	assert(!c->resting);
	rq->http->ncontrols[c->lists]--;
	rq->control = NULL;
	c->rq = NULL;
	if (c->walked)
		control_free(c);
}

/* The thread of a shard. */
static void
walked(struct walk *w)
{
	w->msg.kind = HTTP_WALKED;
	w->msg.bytes = 0;
	mailbox_post(w->reply_to, &w->msg, true);
}

void
control_walked(struct http *h, struct msg *m)
{
	struct control *c = ((struct walk *)m)->owner;

	c->walked = true;
	h->nwalks--;
	if (c->rq == NULL) {
		control_free(c);
		return;
	}
	if (c->expected)
		rq_resume(c->rq);
	c->expected = false;
}

void
control_walk(struct control *c, struct http *h)
{
	c->walked = false;
	h->nwalks++;
	c->walk->owner = c;
	c->walk->reply_to = h->box;
	c->walk->done = walked;
	hub_walk(h->conf.hub, c->walk);
}

enum answer
control_await_walk(struct request *rq)
{
	rq->control->expected = true;
	return rq_suspend(rq);
}

/* --- GET /streams --- */

/* One of the parameters, none twice and none empty; NULL in *out when it is not there. */
static bool
take_filter(struct request *rq, const char *name, struct buf *copy, const char **out,
    enum answer *a)
{
	const struct query_pair *p = query_get(&rq->q, name);

	*out = NULL;
	if (p == NULL)
		return true;
	if (query_count(&rq->q, name) > 1 || p->value_len == 0) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s must stand there once, and "
		    "not be empty", name);
		return false;
	}
	buf_add(copy, p->value, p->value_len + 1);	/* its NUL too */
	*out = copy->p;
	*a = ANSWER_FAILED;
	return !copy->failed;
}

static enum answer
begin_streams(struct request *rq)
{
	const struct query_pair *p;
	struct control *c;
	enum answer a;

	for (size_t i = 0; i < rq->q.n; i++) {
		p = &rq->q.v[i];
		if (strcmp(p->name, "sub") != 0 && strcmp(p->name, "jti") != 0 &&
		    strcmp(p->name, "topic") != 0)
			return rq_problemf(rq, PROBLEM_MALFORMED, "there is no parameter "
			    "%.40s; use sub, jti, topic, or none for all streams",
			    p->name);
	}
	if ((c = control_new(rq, true, &a)) == NULL)
		return a;
	if (!take_filter(rq, "sub", &c->text[0], &c->walk->sub, &a) ||
	    !take_filter(rq, "jti", &c->text[1], &c->walk->jti, &a) ||
	    !take_filter(rq, "topic", &c->text[2], &c->walk->topic, &a))
		return a;
	if (c->walk->topic != NULL)
		c->walk->topic_len = c->text[2].len - 1;
	c->walk->max_rows = ROWS_MAX;
	c->walk->max_bytes = ROWS_BYTES;
	control_walk(c, rq->http);
	return control_await_walk(rq);
}

/* Rows of all shards, while there is room. */
static bool
add_rows(struct buf *b, const struct walk *w)
{
	size_t rows = 0, from;
	bool cut = false;

	for (size_t i = 0; i < w->n; i++) {
		const struct walk_part *p = &w->parts[i];

		from = 0;
		cut = cut || p->cut;
		b->failed = b->failed || p->rows.failed;
		for (size_t k = 0; k < p->n && !p->rows.failed; k++) {
			if (rows == ROWS_MAX || b->len > ROWS_BYTES) {
				cut = true;
				break;
			}
			buf_adds(b, rows++ > 0 ? ",\n" : "\n");
			buf_add(b, p->rows.p + from, p->ends[k] - from);
			from = p->ends[k];
		}
	}
	return cut;
}

enum answer
streams_run(struct request *rq)
{
	struct buf b = { 0 };
	bool cut;

	if (rq->control == NULL)
		return begin_streams(rq);
	buf_addf(&b, "{\"count\":%zu,\"streams\":[", walk_count(rq->control->walk));
	cut = add_rows(&b, rq->control->walk);
	buf_addf(&b, "],\"truncated\":%s}\n", cut ? "true" : "false");
	return rq_answer(rq, 200, "application/json", &b, NULL);
}

/* --- time --- */

enum answer
control_rest(struct request *rq)
{
	struct control *c = rq->control;

	c->resting = true;
	TAILQ_INSERT_TAIL(&rq->http->resting, c, link);
	return rq_suspend(rq);
}

int
control_wait_ms(const struct http *h, int wait_ms)
{
	int64_t now = clock_mono_ms();
	const struct control *c;

	TAILQ_FOREACH(c, &h->resting, link)
		if (c->until_ms - now < wait_ms)
			wait_ms = c->until_ms > now ? (int)(c->until_ms - now) : 0;
	return wait_ms;
}

void
control_tick(struct http *h)
{
	int64_t now = clock_mono_ms();
	struct control *c, *next;

	for (c = TAILQ_FIRST(&h->resting); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->until_ms > now)
			continue;
		c->resting = false;
		TAILQ_REMOVE(&h->resting, c, link);
		rq_resume(c->rq);
	}
	revoke_forget(h);
}
