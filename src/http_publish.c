/*
 * http_publish.c - POST /publish: check, append, wait for the commit, answer.
 *
 * Only the Authorization header counts here: a cookie or a token in the address never
 * publishes, so no stranger's page can.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "digest.h"
#include "event.h"
#include "http_internal.h"
#include "metrics.h"

enum answer
publish_begin(struct request *rq)
{
	const char *length = rq_header(rq, "Content-Length");
	uint64_t n;
	enum answer a;

	if (!rq_verify(rq, AUTH_PUBLISH, &a)) {
		if (a != ANSWER_LATER)
			metric_add(METRIC_PUBLISHES_REFUSED, 1);
		return a;
	}
	if (length != NULL && text_parse_u64(length, strlen(length), &n) == 0 &&
	    n > rq->http->conf.max_body_bytes) {
		metric_add(METRIC_PUBLISHES_REFUSED, 1);
		return rq_problemf(rq, PROBLEM_TOO_LARGE, "the body has %llu bytes; "
		    "server.max_body allows %zu", (unsigned long long)n,
		    rq->http->conf.max_body_bytes);
	}
	return ANSWER_NOT_YET;
}

void
rq_appended(struct append *a)
{
	a->msg.kind = HTTP_APPENDED;
	mailbox_post(a->reply_to, &a->msg, true);
}

/* What was published, and by whom under which key. */
static int
hash_publish(struct append *ap, const struct request *rq, const char *key,
    size_t key_len)
{
	struct digest *d;
	const struct frame *f;

	if ((d = digest_new()) == NULL)
		return -1;
	digest_add(d, &rq->id.principal, sizeof(rq->id.principal));
	digest_add(d, key, key_len);
	if (digest_end(d, ap->key) == -1 || (d = digest_new()) == NULL)
		return -1;
	for (size_t i = 0; i < ap->n; i++) {
		f = ap->frames[i];
		digest_add(d, f->topic, f->topic_len);
		digest_add(d, f->name, f->name_len);
		digest_add(d, &f->flags, sizeof(f->flags));
		digest_add(d, f->data, f->data_len);
	}
	ap->has_key = true;
	return digest_end(d, ap->content);
}

/* The key of the header or the body; both must agree.  0, or -1 answered. */
static int
find_key(struct request *rq, const struct draft *d, const char **key,
    size_t *len, enum answer *a)
{
	const char *header = rq_header(rq, "Idempotency-Key"), *why;

	*key = NULL;
	if (header != NULL) {
		*key = header;
		*len = strlen(header);
		if ((why = event_check_key(header, *len)) != NULL) {
			*a = rq_problemf(rq, PROBLEM_MALFORMED,
			    "the Idempotency-Key header %s", why);
			return -1;
		}
	}
	if (d->key.len == 0)
		return 0;
	if (*key != NULL && (*len != d->key.len ||
	    memcmp(*key, d->key.p, *len) != 0)) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "the Idempotency-Key header "
		    "and idempotency_key differ; send one of them");
		return -1;
	}
	*key = d->key.p;
	*len = d->key.len;
	return 0;
}

static enum answer
append_draft(struct request *rq, struct draft *d)
{
	struct append *ap;
	const char *key;
	size_t key_len = 0;
	enum answer a;

	if (find_key(rq, d, &key, &key_len, &a) == -1 || !rate_take(rq, d->n, &a))
		return a;
	if ((ap = calloc(1, sizeof(*ap))) == NULL)
		return ANSWER_FAILED;
	rq->append = ap;
	rq->batch = d->batch;
	ap->n = d->n;
	ap->bytes = d->bytes + sizeof(*ap);
	ap->frames = d->frames;
	if (key != NULL && hash_publish(ap, rq, key, key_len) == -1) {
		ap->frames = NULL;
		return ANSWER_FAILED;
	}
	/* The frames' references are the store's now, the array stays ours. */
	d->frames = NULL;
	d->n = 0;
	ap->done = rq_appended;
	ap->owner = rq;
	ap->reply_to = rq->http->box;
	return rq_append(rq);
}

static enum answer
refuse_append(struct request *rq, enum append_result why)
{
	metric_add(METRIC_PUBLISHES_REFUSED, 1);
	switch (why) {
	case APPEND_CONFLICT:
		return rq_problemf(rq, PROBLEM_KEY_CONFLICT, "this idempotency key was "
		    "used within 24 hours for a publish with other content; use a "
		    "new key for a new event");
	case APPEND_FULL:
		rate_give_back(rq, rq->append->n);
		return rq_problemf(rq, PROBLEM_STORE_FULL, "the disk of store.path is "
		    "full; nothing was stored");
	case APPEND_BUSY:
		rate_give_back(rq, rq->append->n);
		return rq_problemf(rq, PROBLEM_STORE_BUSY, "the log cannot take more "
		    "now; nothing was stored, try again soon");
	case APPEND_UNKNOWN:
	case APPEND_OK:
	case APPEND_DUPLICATE:
		break;
	}
	return rq_problemf(rq, PROBLEM_STORE_UNKNOWN, "the commit failed in a way "
	    "that leaves open whether it was stored; repeat it with the same "
	    "idempotency key");
}

static enum answer
answer_append(struct request *rq)
{
	struct append *ap = rq->append;
	struct event_id id = ap->first;
	struct buf b = { 0 };
	char text[EVENT_ID_SIZE];

	if (ap->result != APPEND_OK && ap->result != APPEND_DUPLICATE)
		return refuse_append(rq, ap->result);
	metric_add(METRIC_PUBLISHES, 1);
	if (rq->batch) {
		buf_adds(&b, "{\"ids\":[");
		for (size_t i = 0; i < ap->n; i++, id.seq++) {
			(void)event_id_format(text, id);
			buf_addf(&b, "%s\"%s\"", i > 0 ? "," : "", text);
		}
		buf_addc(&b, ']');
	} else {
		(void)event_id_format(text, id);
		buf_addf(&b, "{\"id\":\"%s\",\"subscribers\":%u", text,
		    ap->subscribers);
	}
	if (ap->result == APPEND_DUPLICATE)
		buf_adds(&b, ",\"duplicate\":true");
	buf_adds(&b, "}\n");
	return rq_answer(rq, 200, "application/json", &b, NULL);
}

/* A body can take its time, and whoever sends it may have lost the right meanwhile.
 * False: as rq_verify(). */
static bool
still_may(struct request *rq, enum answer *a)
{
	if (rq->has_id && rq->grounds_told == rq->http->grounds_told &&
	    (rq->id.exp_ms == 0 || clock_wall_ms() < rq->id.exp_ms))
		return true;
	auth_identity_fini(&rq->id);
	rq->has_id = false;
	return rq_verify(rq, AUTH_PUBLISH, a);
}

enum answer
publish_run(struct request *rq)
{
	struct draft d = { 0 };
	enum answer a;

	if (rq->append != NULL)
		return answer_append(rq);
	if (!still_may(rq, &a)) {
		if (a != ANSWER_LATER)
			metric_add(METRIC_PUBLISHES_REFUSED, 1);
		return a;
	}
	if (rq->too_large) {
		metric_add(METRIC_PUBLISHES_REFUSED, 1);
		return rq_problemf(rq, PROBLEM_TOO_LARGE, "the body has more than %zu "
		    "bytes, which server.max_body allows",
		    rq->http->conf.max_body_bytes);
	}
	if (rq->body.failed)
		return ANSWER_FAILED;
	if (rate_is_worth_reading(rq, &a) &&
	    body_parse(rq, rq_header(rq, "Content-Type"), &d, &a) == 0)
		a = append_draft(rq, &d);
	if (rq->append == NULL)
		metric_add(METRIC_PUBLISHES_REFUSED, 1);
	draft_fini(&d);
	return a;
}
