/*
 * fuzz_publish.c - the bodies of a publish: what is taken is, event by event, what
 * jansson or a plain reader finds in them, and a page gets it so; the rest is refused
 * with a problem of 4xx.
 *
 * Input: a line with the Content-Type, one with the query, then the body.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "frame.h"
#include "fuzz.h"
#include "http_internal.h"

#define KEY	"ffk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"

static struct auth *
new_auth(void)
{
	static const char *const keys[] = { "fuzz:" KEY ":** ", NULL };
	struct auth_conf c = { .api_keys = keys };
	char err[512] = "";
	struct auth *a = auth_new(&c, err, sizeof(err));

	if (a == NULL)
		(void)fprintf(stderr, "%s\n", err);
	MUST(a != NULL);
	return a;
}

/* --- what a page gets of it --- */

struct seen {
	const struct frame	*f;
	int			 n;
	bool			 envelope;
};

static void
in_envelope(const struct frame *f, const struct plain_event *e)
{
	json_t *j = json_loadb(e->data, e->data_len, JSON_DECODE_INT_AS_REAL, NULL);
	const json_t *data, *v;
	json_t *whole;

	/* Numbers that jansson cannot hold pass through. */
	if (j == NULL) {
		MUST((f->flags & EVENT_JSON) != 0);
		return;
	}
	v = json_object_get(j, "topic");
	MUST(json_string_length(v) == f->topic_len &&
	    memcmp(json_string_value(v), f->topic, f->topic_len) == 0);
	data = json_object_get(j, "data");
	if ((f->flags & EVENT_JSON) == 0)
		MUST(json_string_length(data) == f->data_len &&
		    memcmp(json_string_value(data), f->data, f->data_len) == 0);
	else {
		whole = json_loadb(f->data, f->data_len, JSON_DECODE_ANY |
		    JSON_DECODE_INT_AS_REAL, NULL);
		MUST(whole == NULL || json_equal(whole, data));
		json_decref(whole);
	}
	json_decref(j);
}

static bool
is_seen(void *arg, const struct plain_event *e)
{
	struct seen *s = arg;
	struct part lines;
	char id[EVENT_ID_SIZE];

	s->n++;
	(void)event_id_format(id, s->f->id);
	MUST(e->has_id && strcmp(e->id, id) == 0);
	if (s->envelope) {
		in_envelope(s->f, e);
		return true;
	}
	lines = plain_lines(s->f->data, s->f->data_len);
	MUST(lines.len == e->data_len &&
	    memcmp(lines.p, e->data, lines.len) == 0);
	free(lines.p);
	if (s->f->name_len > 0)
		MUST(e->name_len == s->f->name_len &&
		    memcmp(e->name, s->f->name, e->name_len) == 0);
	else
		MUST(strcmp(e->name, "message") == 0);
	return true;
}

static void
show(struct frame *f, uint64_t seq)
{
	struct seen s = { f, 0, false };
	const struct frame_text *t;

	frame_stamp(f, (struct event_id){ 0x6f3a9c2e, seq }, 0, 1, 1);
	plain_events(f->raw, f->raw_len, is_seen, &s);
	MUST(s.n == 1);
	s.envelope = true;
	MUST((t = frame_envelope(f)) != NULL);
	plain_events(t->p, t->len, is_seen, &s);
	MUST(s.n == 2);
}

/* --- what was asked for --- */

static bool
is_text(const json_t *j, const char *p, size_t len)
{
	return json_is_string(j) && json_string_length(j) == len &&
	    (len == 0 || memcmp(json_string_value(j), p, len) == 0);
}

/* One object is these frames: how many. */
static size_t
matches(const json_t *event, struct frame *const *f)
{
	const json_t *topics = json_object_get(event, "topics");
	const json_t *data = json_object_get(event, "data"), *name, *t;
	json_t *whole;
	size_t n = topics != NULL ? json_array_size(topics) : 1;

	for (size_t i = 0; i < n; i++) {
		t = topics != NULL ? json_array_get(topics, i) :
		    json_object_get(event, "topic");
		MUST(is_text(t, f[i]->topic, f[i]->topic_len));
		if ((name = json_object_get(event, "event")) != NULL)
			MUST(is_text(name, f[i]->name, f[i]->name_len));
		else
			MUST(f[i]->name_len == 0);
		if (json_is_string(data)) {
			MUST((f[i]->flags & EVENT_JSON) == 0);
			MUST(is_text(data, f[i]->data, f[i]->data_len));
			continue;
		}
		MUST((f[i]->flags & EVENT_JSON) != 0);
		whole = json_loadb(f[i]->data, f[i]->data_len, JSON_DECODE_ANY |
		    JSON_DECODE_INT_AS_REAL, NULL);
		MUST(whole != NULL && json_equal(whole, data));
		json_decref(whole);
	}
	return n;
}

/* The same body, by jansson: one value after the other. */
static void
as_json(const struct part *body, const struct draft *d)
{
	const char *p = body->p, *end = p + body->len;
	json_error_t error;
	json_t *j, *e;
	size_t n = 0, i;

	for (;; p += error.position) {
		while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' ||
		    *p == '\n'))
			p++;
		if (p == end)
			break;
		j = json_loadb(p, (size_t)(end - p), JSON_DISABLE_EOF_CHECK |
		    JSON_DECODE_INT_AS_REAL, &error);
		if (j == NULL)
			return;		/* too large a number: fuzz_json.c */
		if (json_is_array(j)) {
			json_array_foreach(j, i, e)
				n += matches(e, d->frames + n);
		} else
			n += matches(j, d->frames + n);
		json_decref(j);
	}
	MUST(n == d->n);
}

/* A publish with its topic in the address is its body. */
static void
as_data(const struct query *q, const struct part *body, const struct draft *d)
{
	const struct query_pair *topic = query_get(q, "topic");
	const struct query_pair *event = query_get(q, "event");

	MUST(d->n == 1 && !d->batch);
	MUST(d->frames[0]->data_len == body->len &&
	    memcmp(d->frames[0]->data, body->p, body->len) == 0);
	MUST(d->frames[0]->topic_len == topic->value_len &&
	    memcmp(d->frames[0]->topic, topic->value, topic->value_len) == 0);
	MUST(d->frames[0]->name_len == (event != NULL ? event->value_len : 0));
}

/* As in: forms say topic=, topics=, data=, event=. */
static void
as_form(const struct part *body, const struct draft *d)
{
	const struct query_pair *data;
	struct query q;
	const char *why;
	size_t n = 0;

	MUST(query_parse(&q, body->p, body->len, &why) == 0);
	MUST((data = query_get(&q, "data")) != NULL);
	for (size_t i = 0; i < q.n; i++) {
		if (strcmp(q.v[i].name, "topic") != 0 &&
		    strcmp(q.v[i].name, "topics") != 0)
			continue;
		MUST(n < d->n);
		MUST(d->frames[n]->topic_len == q.v[i].value_len &&
		    strcmp(d->frames[n]->topic, q.v[i].value) == 0);
		MUST(d->frames[n]->data_len == data->value_len &&
		    memcmp(d->frames[n]->data, data->value, data->value_len) == 0);
		n++;
	}
	MUST(n == d->n);
	query_fini(&q);
}

static bool
begins_as_json(const struct part *body)
{
	size_t i = 0;

	while (i < body->len && (body->p[i] == ' ' || body->p[i] == '\t' ||
	    body->p[i] == '\r' || body->p[i] == '\n'))
		i++;
	return i < body->len && (body->p[i] == '{' || body->p[i] == '[');
}

FUZZ(publish)
{
	static const char *const none[] = { NULL };
	static struct auth *auth;
	struct http h = { .conf = { .max_event_bytes = 4096, .max_body_bytes = 65536,
	    .cors_origins = none, .trusted_proxies = none } };
	struct listener l = { .http = &h };
	struct request rq = { .http = &h, .listener = &l, .deferring = true,
	    .method = "POST", .peer = "127.0.0.1" };
	struct input in = { bytes, size };
	char *type = fuzz_string(&in), *query = fuzz_string(&in);
	struct part body = fuzz_rest(&in);
	struct draft d = { 0 };
	enum problem p;
	enum answer a;
	const char *why;
	char text[256];

	if (auth == NULL)
		auth = new_auth();
	h.auth = auth;
	rq.uri = (char *)(uintptr_t)"/publish";
	rq.path_len = 8;
	MUST(auth_verify(auth, (struct auth_credential){ KEY, strlen(KEY) },
	    AUTH_PUBLISH, 1, &rq.id, &p, text, sizeof(text)) == 0);
	buf_add(&rq.body, body.p, body.len);
	if (query_parse(&rq.q, query, strlen(query), &why) == -1)
		goto out;
	if (body_parse(&rq, type[0] != '\0' ? type : NULL, &d, &a) == -1) {
		MUST(a == ANSWERED && rq.deferred != NULL);
		MUST(rq.deferred_status == 400 || rq.deferred_status == 413 ||
		    rq.deferred_status == 415);
	} else {
		MUST(rq.deferred == NULL && d.n >= 1 && d.n <= 1000);
		MUST(d.batch || d.n == 1);
		for (size_t i = 0; i < d.n; i++) {
			MUST(topic_classify(d.frames[i]->topic,
			    d.frames[i]->topic_len, NULL) == TOPIC_PLAIN);
			MUST(d.frames[i]->data_len <= h.conf.max_event_bytes);
			MUST(event_check_data(d.frames[i]->data,
			    d.frames[i]->data_len) == NULL);
		}
		if (query_get(&rq.q, "topic") != NULL)
			as_data(&rq.q, &body, &d);
		else if (begins_as_json(&body))
			as_json(&body, &d);
		else
			as_form(&body, &d);
		for (size_t i = 0; i < d.n; i++)
			show(d.frames[i], i + 1);
	}
	if (rq.deferred != NULL)
		MHD_destroy_response(rq.deferred);
out:
	draft_fini(&d);
	query_fini(&rq.q);
	buf_fini(&rq.body);
	auth_identity_fini(&rq.id);
	free(body.p);
	free(query);
	free(type);
	return 0;
}
