/*
 * http_publish_body.c - the forms a publish may have, all turned into frames.
 *
 * With `topic` in the query the whole body is the data, whatever its label.  Without, a
 * body that begins with { or [ is JSON whatever its label; else the label decides.
 * Every refusal says which event (counted from 1) and what to mend.
 */
#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "event.h"
#include "frame.h"
#include "http_internal.h"
#include "json.h"

#define BATCH_MAX	1000

/* The fields of one event, in the order of `seen` bits. */
enum field { F_TOPIC, F_TOPICS, F_DATA, F_EVENT, F_KEY, F_COUNT };
static const char *const field_names[F_COUNT] = { "topic", "topics", "data",
	"event", "idempotency_key" };

/* One event being read. */
struct piece {
	size_t		  at;		/* which, from 1; 0: there is one only */
	unsigned int	  flags;
	const char	 *name;
	size_t		  name_len;
	const char	 *data;
	size_t		  data_len;
};

void
draft_fini(struct draft *d)
{
	for (size_t i = 0; i < d->n; i++)
		frame_unref(d->frames[i]);
	free(d->frames);
	buf_fini(&d->key);
	*d = (struct draft){ 0 };
}

/* A 400 that names the event. */
static int
bad(struct request *rq, size_t at, enum answer *a, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int
bad(struct request *rq, size_t at, enum answer *a, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (at > 0)
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "event %zu: %s", at, text);
	else
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s", text);
	return -1;
}

/* Check a topic and its event, and add the frame. */
static int
add_event(struct request *rq, struct draft *d, const struct piece *p,
    const char *topic, size_t topic_len, enum answer *a)
{
	struct frame **grown, *f;
	const char *why;
	size_t cap;

	switch (topic_classify(topic, topic_len, &why)) {
	case TOPIC_INVALID:
		return bad(rq, p->at, a, "the topic %s", why);
	case TOPIC_PATTERN:
		return bad(rq, p->at, a, "the topic is a pattern; events go to plain "
		    "topics, so take the * out");
	case TOPIC_PLAIN:
		break;
	}
	if (p->name != NULL &&
	    (why = event_check_name(p->name, p->name_len)) != NULL)
		return bad(rq, p->at, a, "the event name %s", why);
	if ((why = event_check_data(p->data, p->data_len)) != NULL)
		return bad(rq, p->at, a, "the data %s", why);
	if (p->data_len > rq->http->conf.max_event_bytes) {
		*a = rq_problemf(rq, PROBLEM_TOO_LARGE, "%s%.0zu%sthe data has %zu "
		    "bytes; server.max_event allows %zu", p->at > 0 ? "event " : "",
		    p->at, p->at > 0 ? ": " : "", p->data_len,
		    rq->http->conf.max_event_bytes);
		return -1;
	}
	if (d->n == BATCH_MAX)
		return bad(rq, 0, a, "more than %d events in one request; send "
		    "several", BATCH_MAX);
	if (!auth_may_publish(rq->http->auth, &rq->id, topic, topic_len)) {
		char *copy = strndup(topic, topic_len);

		*a = copy == NULL ? ANSWER_FAILED : rq_forbidden(rq, copy,
		    "the credential does not allow publishing to the topic %s");
		free(copy);
		return -1;
	}
	if (d->n == d->cap) {
		cap = d->cap == 0 ? 4 : d->cap * 4;
		if ((grown = realloc(d->frames,
		    cap * sizeof(struct frame *))) == NULL)
			goto nomem;
		d->frames = grown;
		d->cap = cap;
	}
	if ((f = frame_new(topic, topic_len, p->name, p->name_len, p->data,
	    p->data_len, p->flags)) == NULL)
		goto nomem;
	d->frames[d->n++] = f;
	d->bytes += f->bytes;
	return 0;

nomem:
	*a = ANSWER_FAILED;
	return -1;
}

static int
take_key(struct request *rq, struct draft *d, size_t at, const char *p,
    size_t len, enum answer *a)
{
	const char *why;

	if (at > 0)
		return bad(rq, at, a, "idempotency_key covers a whole request; in a "
		    "batch send it as the Idempotency-Key header");
	if ((why = event_check_key(p, len)) != NULL)
		return bad(rq, at, a, "the idempotency key %s", why);
	buf_add(&d->key, p, len);
	return 0;
}

/* --- JSON --- */

/* Which field a key names; F_COUNT: none, and told. */
static enum field
field_of(struct request *rq, size_t at, const char *key, size_t len,
    enum answer *a)
{
	for (int f = 0; f < F_COUNT; f++)
		if (strlen(field_names[f]) == len &&
		    memcmp(field_names[f], key, len) == 0)
			return (enum field)f;
	if (len == 2 && memcmp(key, "id", 2) == 0)
		(void)bad(rq, at, a, "there is no field \"id\": the server gives ids; "
		    "to publish once only, send idempotency_key");
	else if ((len == 3 && (memcmp(key, "key", 3) == 0 ||
	    memcmp(key, "ttl", 3) == 0)) ||
	    (len == 7 && memcmp(key, "version", 7) == 0))
		(void)bad(rq, at, a, "the field \"%.*s\" is reserved for later; leave "
		    "it out", (int)len, key);
	else
		(void)bad(rq, at, a, "there is no field \"%.*s\"; there are topic, "
		    "topics, data, event and idempotency_key",
		    (int)(len < 64 && text_is_utf8(key, len) ? len : 0), key);
	return F_COUNT;
}

/* The string of a field, decoded into `b`. */
static int
get_string(struct request *rq, size_t at, struct json_slice v, const char *what,
    struct buf *b, enum answer *a)
{
	if (json_typeof(v) != JSON_TYPE_STRING)
		return bad(rq, at, a, "%s must be a string", what);
	if (json_unescape(v, b) == -1)
		return bad(rq, at, a, "%s holds half of a surrogate pair", what);
	if (b->failed) {
		*a = ANSWER_FAILED;
		return -1;
	}
	if (b->p == NULL)
		buf_addc(b, '\0'), b->len = 0;	/* empty, but not NULL */
	return b->failed ? (*a = ANSWER_FAILED, -1) : 0;
}

static int
add_topics(struct request *rq, struct draft *d, const struct piece *p,
    struct json_slice list, enum answer *a)
{
	struct json_cursor c;
	struct json_slice v;
	struct buf b = { 0 };
	size_t n = 0;
	int rc = 0;

	if (json_typeof(list) != JSON_TYPE_ARRAY)
		return bad(rq, p->at, a, "topics must be an array of strings");
	json_open(&c, list.p, list.len);
	while (rc == 0 && json_next_element(&c, &v) == 1) {
		b.len = 0;
		n++;
		rc = get_string(rq, p->at, v, "each of topics", &b, a);
		if (rc == 0)
			rc = add_event(rq, d, p, b.p, b.len, a);
	}
	buf_fini(&b);
	if (rc == 0 && n == 0)
		return bad(rq, p->at, a, "topics is empty");
	d->batch = true;
	return rc;
}

static int
add_object(struct request *rq, struct draft *d, struct json_slice obj, size_t at,
    enum answer *a)
{
	struct buf text[F_COUNT] = { 0 }, key = { 0 };
	struct json_slice k, v, topics = { NULL, 0 };
	struct json_cursor c;
	struct piece p = { .at = at };
	unsigned int seen = 0;
	enum field f;
	int rc = -1;

	if (json_typeof(obj) != JSON_TYPE_OBJECT)
		return bad(rq, at, a, "an event is an object such as "
		    "{\"topic\":\"scores/7\",\"data\":\"Goal!\"}");
	json_open(&c, obj.p, obj.len);
	while (json_next_member(&c, &k, &v) == 1) {
		key.len = 0;
		if (get_string(rq, at, k, "a field name", &key, a) == -1)
			goto out;
		if ((f = field_of(rq, at, key.p, key.len, a)) == F_COUNT)
			goto out;
		if (seen & 1u << f) {
			(void)bad(rq, at, a, "the field \"%s\" stands there twice",
			    field_names[f]);
			goto out;
		}
		seen |= 1u << f;
		if (f == F_TOPICS)
			topics = v;
		else if (f == F_DATA && json_typeof(v) != JSON_TYPE_STRING) {
			p.flags = EVENT_JSON;
			json_compact(v, &text[f]);
			if (text[f].failed) {
				*a = ANSWER_FAILED;
				goto out;
			}
		} else if (get_string(rq, at, v, field_names[f], &text[f], a) == -1)
			goto out;
	}
	if (!(seen & 1u << F_TOPIC) == !(seen & 1u << F_TOPICS)) {
		(void)bad(rq, at, a, seen & 1u << F_TOPIC ?
		    "give topic or topics, not both" : "the topic is missing");
		goto out;
	}
	if (!(seen & 1u << F_DATA)) {
		(void)bad(rq, at, a, "the data is missing (an empty string will do)");
		goto out;
	}
	if (seen & 1u << F_KEY && take_key(rq, d, at, text[F_KEY].p,
	    text[F_KEY].len, a) == -1)
		goto out;
	p.data = text[F_DATA].p;
	p.data_len = text[F_DATA].len;
	if (seen & 1u << F_EVENT) {
		p.name = text[F_EVENT].p;
		p.name_len = text[F_EVENT].len;
	}
	rc = seen & 1u << F_TOPIC ? add_event(rq, d, &p, text[F_TOPIC].p,
	    text[F_TOPIC].len, a) : add_topics(rq, d, &p, topics, a);
out:
	for (int i = 0; i < F_COUNT; i++)
		buf_fini(&text[i]);
	buf_fini(&key);
	return rc;
}

static int
bad_json(struct request *rq, const struct json_cursor *c, enum answer *a)
{
	return bad(rq, 0, a, "the JSON is not valid at byte %zu: %s",
	    (size_t)(c->p - c->start) + 1, c->error);
}

static int
add_array(struct request *rq, struct draft *d, struct json_slice list,
    enum answer *a)
{
	struct json_cursor c;
	struct json_slice v;
	size_t at = 0;

	d->batch = true;
	json_open(&c, list.p, list.len);
	while (json_next_element(&c, &v) == 1)
		if (add_object(rq, d, v, ++at, a) == -1)
			return -1;
	if (at == 0)
		return bad(rq, 0, a, "the batch is empty");
	return 0;
}

/* An object, an array, or objects one after the other. */
static int
parse_json(struct request *rq, struct draft *d, bool lines, enum answer *a)
{
	struct json_cursor c;
	struct json_slice first, v;
	size_t at;

	json_open(&c, rq->body.p, rq->body.len);
	if (json_more(&c) == 0)
		return bad(rq, 0, a, "the body is empty");
	if (json_value(&c, &first) == -1)
		return bad_json(rq, &c, a);
	if (json_more(&c) == 0 && !lines)
		return json_typeof(first) == JSON_TYPE_ARRAY ?
		    add_array(rq, d, first, a) : add_object(rq, d, first, 0, a);
	if (json_typeof(first) == JSON_TYPE_ARRAY)
		return lines && json_more(&c) == 0 ? add_array(rq, d, first, a) :
		    bad(rq, 0, a, "something follows the array");
	d->batch = true;
	if (add_object(rq, d, first, 1, a) == -1)
		return -1;
	for (at = 2; json_more(&c) == 1; at++) {
		if (json_value(&c, &v) == -1)
			return bad_json(rq, &c, a);
		if (add_object(rq, d, v, at, a) == -1)
			return -1;
	}
	return 0;
}

/* --- forms --- */

static int
parse_form(struct request *rq, struct draft *d, enum answer *a)
{
	const struct query_pair *one[F_COUNT] = { NULL }, *q;
	struct piece p = { 0 };
	struct query form;
	const char *why;
	enum field f;
	size_t topics = 0;
	int rc = -1;

	if (query_parse(&form, rq->body.p, rq->body.len, &why) == -1)
		return bad(rq, 0, a, "the form %s", why);
	for (size_t i = 0; i < form.n; i++) {
		q = &form.v[i];
		if ((f = field_of(rq, 0, q->name, q->name_len, a)) == F_COUNT)
			goto out;
		if (f == F_TOPICS)
			topics++;
		else if (one[f] != NULL) {
			(void)bad(rq, 0, a, "the field \"%s\" stands there twice%s",
			    field_names[f], f == F_TOPIC ?
			    "; use topics for several" : "");
			goto out;
		}
		one[f] = q;
	}
	if ((one[F_TOPIC] == NULL) == (topics == 0)) {
		(void)bad(rq, 0, a, topics > 0 ? "give topic or topics, not both" :
		    "the topic is missing; a form needs topic=...&data=..., or put "
		    "?topic=... in the address and only the data in the body");
		goto out;
	}
	if (one[F_DATA] == NULL) {
		(void)bad(rq, 0, a, "the data is missing");
		goto out;
	}
	if (one[F_KEY] != NULL && take_key(rq, d, 0, one[F_KEY]->value,
	    one[F_KEY]->value_len, a) == -1)
		goto out;
	p.data = one[F_DATA]->value;
	p.data_len = one[F_DATA]->value_len;
	if (one[F_EVENT] != NULL) {
		p.name = one[F_EVENT]->value;
		p.name_len = one[F_EVENT]->value_len;
	}
	rc = 0;
	d->batch = topics > 0;
	if (topics == 0)
		rc = add_event(rq, d, &p, one[F_TOPIC]->value,
		    one[F_TOPIC]->value_len, a);
	for (size_t i = 0; i < form.n && rc == 0 && topics > 0; i++)
		if (strcmp(form.v[i].name, "topics") == 0)
			rc = add_event(rq, d, &p, form.v[i].value,
			    form.v[i].value_len, a);
out:
	query_fini(&form);
	return rc;
}

/* --- the whole body --- */

static bool
type_is(const char *type, const char *want)
{
	size_t n = strlen(want);

	return type != NULL && strncasecmp(type, want, n) == 0 &&
	    (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static int
parse_plain(struct request *rq, struct draft *d, const struct query_pair *topic,
    const char *type, enum answer *a)
{
	const struct query_pair *event = query_get(&rq->q, "event");
	struct piece p = { 0 };
	struct json_cursor c;
	struct json_slice v;

	if (query_count(&rq->q, "topic") > 1)
		return bad(rq, 0, a, "one topic in the address; for several send JSON "
		    "with topics");
	if (rq->body.len == 0)
		return bad(rq, 0, a, "the body is empty: it is the data (to publish "
		    "empty data, send {\"topic\":...,\"data\":\"\"})");
	p.data = rq->body.p;
	p.data_len = rq->body.len;
	if (event != NULL) {
		p.name = event->value;
		p.name_len = event->value_len;
	}
	/* Labelled JSON that is JSON stays JSON in an envelope. */
	if (type_is(type, "application/json")) {
		json_open(&c, p.data, p.data_len);
		if (json_more(&c) == 1 && json_value(&c, &v) == 0 &&
		    json_more(&c) == 0)
			p.flags = EVENT_JSON;
	}
	return add_event(rq, d, &p, topic->value, topic->value_len, a);
}

int
body_parse(struct request *rq, const char *type, struct draft *d, enum answer *a)
{
	const struct query_pair *topic = query_get(&rq->q, "topic");
	const char *p;
	size_t i = 0;

	if (topic != NULL)
		return parse_plain(rq, d, topic, type, a);
	for (p = rq->body.p; i < rq->body.len && (p[i] == ' ' || p[i] == '\t' ||
	    p[i] == '\r' || p[i] == '\n'); i++)
		;
	if (i == rq->body.len)
		return bad(rq, 0, a, "the body is empty; send {\"topic\":\"scores/7\","
		    "\"data\":\"Goal!\"}, or the data alone to /publish?topic=scores/7");
	if (p[i] == '{' || p[i] == '[' || type_is(type, "application/json") ||
	    type_is(type, "application/x-ndjson"))
		return parse_json(rq, d, type_is(type, "application/x-ndjson"), a);
	if (type_is(type, "application/x-www-form-urlencoded"))
		return parse_form(rq, d, a);
	*a = rq_problem(rq, PROBLEM_MEDIA_TYPE, "send application/json, "
	    "application/x-ndjson or application/x-www-form-urlencoded, or put "
	    "?topic=... in the address: then the body may be anything", NULL, NULL);
	return -1;
}
