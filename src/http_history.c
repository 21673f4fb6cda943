/*
 * http_history.c - GET /history: a page of the log as JSON.
 *
 * The page is read by the store's reader while the connection is suspended.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "event.h"
#include "frame.h"
#include "http_internal.h"
#include "metrics.h"
#include "sse.h"

#define LIMIT_DEFAULT	100
#define LIMIT_MAX	1000
#define ANSWER_BYTES	(1024 * 1024)
#define UNSENT_BYTES	(64u * 1024 * 1024)	/* of all answers */

/* However slowly they are read: answers hold no more memory than that, and one more. */
static bool
is_full(const struct http *h)
{
	return h->page_bytes >= UNSENT_BYTES;
}

static enum answer
refuse_full(struct request *rq)
{
	rq->last = true;	/* it may be one of those who read nothing */
	return rq_problemf(rq, PROBLEM_OVERLOAD, "too many answers to others are on "
	    "their way; try again soon");
}

/* The reader's thread. */
static void
page_read(struct page_job *j)
{
	j->msg.kind = HTTP_PAGE;
	mailbox_post(j->reply_to, &j->msg, true);
}

static enum answer
begin_page(struct request *rq)
{
	struct stream_ask *ask;
	struct page_job *j;
	uint64_t replay = 0, limit = LIMIT_DEFAULT;
	struct topics *t;
	enum answer a;

	if (!rq_number(rq, "replay", LIMIT_MAX, &replay, &a) ||
	    !rq_number(rq, "limit", LIMIT_MAX, &limit, &a))
		return a;
	if ((t = rq_topics(rq, &a)) == NULL)
		return a;
	if (!rq_may_read(rq, t, &a)) {
		topics_unref(t);
		return a;
	}
	if (is_full(rq->http)) {
		topics_unref(t);
		return refuse_full(rq);
	}
	ask = &rq->ask;
	rq_ask_cursor(rq, ask);
	j = page_job_new(ask->cursor_is_good ? PAGE_AFTER : PAGE_REPLAY, t);
	topics_unref(t);
	if (j == NULL)
		return ANSWER_FAILED;
	rq->job = j;
	rq->page_limit = limit;
	rq->page_replay = replay;
	j->cursor = ask->cursor;
	j->per_topic = replay > 0 ? replay : limit;
	j->max_events = ask->cursor_is_good ? rq->http->conf.max_replay :
	    replay > 0 ? LIMIT_MAX : limit;
	j->max_page = ask->cursor_is_good ? limit : 0;
	/* An event is longer in JSON than in its frame by its escapes only. */
	j->max_bytes = ANSWER_BYTES;
	j->owner = rq;
	j->reply_to = rq->http->box;
	j->done = page_read;
	a = rq_suspend(rq);
	store_read(rq->http->conf.store, j);
	return a;
}

/* Too far behind: the page that a first request would get. */
static enum answer
begin_anew(struct request *rq)
{
	struct page_job *old = rq->job, *j;
	enum answer a;

	if ((j = page_job_new(PAGE_REPLAY, old->topics)) == NULL)
		return ANSWER_FAILED;
	j->per_topic = rq->page_replay > 0 ? rq->page_replay : rq->page_limit;
	j->max_events = rq->page_replay > 0 ? LIMIT_MAX : rq->page_limit;
	j->max_bytes = ANSWER_BYTES;
	j->owner = rq;
	j->reply_to = rq->http->box;
	j->done = page_read;
	page_job_free(old);
	rq->job = j;
	rq->too_far = true;
	a = rq_suspend(rq);
	store_read(rq->http->conf.store, j);
	return a;
}

/* The tag covers the query, the page's ends and the gap, not the cursor. */
static void
make_etag(char out[DIGEST_ETAG_SIZE], const struct request *rq, const char *gap, size_t gap_len)
{
	const struct page_job *j = rq->job;
	struct digest *d;
	struct event_id none = { 0, 0 };
	struct event_id first = j->n > 0 ? j->frames[0]->id : none;
	struct event_id last = j->n > 0 ? j->frames[j->n - 1]->id : none;

	out[0] = '\0';
	if ((d = digest_new()) == NULL)
		return;
	digest_add(d, rq->query, strlen(rq->query));
	digest_add(d, rq->ask.requested, strlen(rq->ask.requested));
	digest_add(d, &first.epoch, sizeof(first.epoch));
	digest_add(d, &first.seq, sizeof(first.seq));
	digest_add(d, &last.epoch, sizeof(last.epoch));
	digest_add(d, &last.seq, sizeof(last.seq));
	digest_add(d, gap, gap_len);
	(void)digest_end_etag(d, out);
}

static enum gap_reason
gap_of(const struct request *rq)
{
	const struct page_job *j = rq->job;

	if (rq->ask.has_cursor && !rq->ask.cursor_is_good)
		return rq->ask.cursor_fault;
	if (rq->too_far)
		return GAP_TOO_FAR;
	return j->kind == PAGE_AFTER && j->lost > j->cursor ? GAP_EXPIRED : GAP_NONE;
}

static enum answer
answer_page(struct request *rq)
{
	struct page_job *j = rq->job;
	struct store *st = rq->http->conf.store;
	struct buf b = { 0 }, gap = { 0 };
	struct event_id cursor = store_head(st);
	const struct frame *f;
	char id[EVENT_ID_SIZE], etag[DIGEST_ETAG_SIZE];
	/* What a credential opened is for no cache that others share. */
	const char *headers[] = { "ETag", etag, "Cache-Control", rq->has_id ?
		"private, no-cache, no-transform" : "no-cache, no-transform", NULL };
	size_t before, n = 0;

	if (j->failed)
		return rq_problemf(rq, PROBLEM_STORE_BUSY,
		    "the log cannot be read now; try again soon");
	if (is_full(rq->http))
		return refuse_full(rq);
	if (j->too_far)
		return begin_anew(rq);
	metric_add(METRIC_HISTORIES, 1);
	if (gap_of(rq) == GAP_NONE)
		buf_adds(&gap, "null");
	else
		stream_add_gap(&gap, gap_of(rq), j->topics, rq->ask.requested,
		    store_id_of(st, j->n > 0 ? j->frames[0]->id.seq :
		    store_oldest(st)));
	make_etag(etag, rq, gap.p != NULL ? gap.p : "", gap.len);
	buf_adds(&b, "{\"events\":[");
	for (; n < j->n; n++) {
		f = j->frames[n];
		before = b.len;
		if (n > 0)
			buf_addc(&b, ',');
		(void)event_id_format(id, f->id);
		sse_add_envelope(&b, id, f->topic, f->topic_len, f->name,
		    f->name_len, f->wall_ms, f->flags, f->data, f->data_len);
		if (n > 0 && b.len > ANSWER_BYTES) {
			b.len = before;
			break;
		}
	}
	/* Where to go on: behind the last event if the page was cut short. */
	if (n < j->n || j->more) {
		if (n > 0)
			cursor = j->frames[n - 1]->id;
	} else
		cursor.seq = j->kind == PAGE_AFTER ? j->through : j->plan_head;
	if (cursor.seq < rq->ask.cursor)
		cursor = store_id_of(st, rq->ask.cursor);	/* never back */
	/* However slowly the answer is read, streams do not wait for its frames. */
	page_job_free(j);
	rq->job = NULL;
	(void)event_id_format(id, cursor);
	buf_addf(&b, "],\"cursor\":\"%s\",\"gap\":", id);
	buf_add(&b, gap.p, gap.len);
	buf_adds(&b, "}\n");
	if (gap.failed)
		b.failed = true;
	buf_fini(&gap);
	if (rq_tag_matches(rq, etag)) {
		buf_fini(&b);
		b = (struct buf){ 0 };
		return rq_answer(rq, 304, NULL, &b, headers);
	}
	rq->page_bytes = b.len;
	rq->http->page_bytes += b.len;
	return rq_answer(rq, 200, "application/json", &b, headers);
}

enum answer
history_run(struct request *rq)
{
	if (rq->job == NULL)
		return begin_page(rq);
	/* While the page was read. */
	if (rq->grounds_told != rq->http->grounds_told && rq_is_revoked(rq))
		return rq_problem(rq, PROBLEM_TOKEN_INVALID, "the token was revoked",
		    NULL, NULL);
	return answer_page(rq);
}
