/*
 * fuzz_sse.c - text/event-stream: a plain reader gets what was written and nothing else,
 * and our own reader sees in any bytes, however cut, what the plain one sees.
 *
 * Input: a byte; 0 mod 2: a stream for the reader, cut by the byte; else events to be
 * written, fields separated by 0x1f.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "event.h"
#include "fuzz.h"
#include "sse.h"

#define EVENTS	8

/* --- the reader --- */

static void
note(struct buf *b, const char *name, size_t name_len, const char *data,
    size_t data_len, const char *id, size_t id_len)
{
	buf_addf(b, "%zu:", name_len);
	buf_add(b, name, name_len);
	buf_addf(b, "|%zu:", data_len);
	buf_add(b, data, data_len);
	buf_addf(b, "|%zu:", id_len);
	buf_add(b, id, id_len);
	buf_addc(b, ';');
}

static bool
note_plain(void *arg, const struct plain_event *e)
{
	/* Ours are strings: a NUL ends them. */
	note(arg, e->name, strnlen(e->name, e->name_len), e->data, e->data_len, e->id,
	    e->id_len);
	return true;
}

static void
note_ours(void *arg, const char *name, const char *data, size_t data_len,
    const char *id)
{
	MUST(data[data_len] == '\0');
	note(arg, name, strlen(name), data, data_len, id, strlen(id));
}

static void
reads(struct input *in, unsigned int step)
{
	struct part text = fuzz_rest(in), piece;
	struct buf plain = { 0 }, ours = { 0 };
	struct sse_reader r = { .arg = &ours, .on_event = note_ours };
	size_t n;

	plain_events(text.p, text.len, note_plain, &plain);
	for (size_t at = 0; at < text.len; at += n) {
		n = step == 0 || step > text.len - at ? text.len - at : step;
		piece = fuzz_copy(text.p + at, n);
		MUST(sse_reader_feed(&r, piece.p, n) == 0);
		free(piece.p);
	}
	MUST(plain.len == ours.len);
	MUST(plain.len == 0 || memcmp(plain.p, ours.p, plain.len) == 0);
	sse_reader_fini(&r);
	buf_fini(&plain);
	buf_fini(&ours);
	free(text.p);
}

/* --- the writer --- */

struct written {
	struct part	name, data, lines;
	char		id[EVENT_ID_SIZE];
	bool		has_id, has_name;
};

struct wanted {
	struct written	v[EVENTS];
	size_t		n, seen;
};

static bool
is_wanted(void *arg, const struct plain_event *e)
{
	struct wanted *w = arg;
	const struct written *x = &w->v[w->seen++];

	MUST(w->seen <= w->n);
	MUST(e->data_len == x->lines.len &&
	    memcmp(e->data, x->lines.p, e->data_len) == 0);
	if (x->has_name)
		MUST(e->name_len == x->name.len &&
		    memcmp(e->name, x->name.p, e->name_len) == 0);
	else
		MUST(strcmp(e->name, "message") == 0);
	MUST(e->has_id == x->has_id);
	MUST(!e->has_id || strcmp(e->id, x->id) == 0);
	return true;
}

static struct part
field(struct input *in)
{
	const uint8_t *mark = in->len == 0 ? NULL : memchr(in->p, 0x1f, in->len);
	size_t n = mark == NULL ? in->len : (size_t)(mark - in->p);
	struct part out = fuzz_copy(in->p, n);

	n += mark != NULL;
	in->p += n;
	in->len -= n;
	return out;
}

/* The envelope is JSON on one line that says the same. */
static void
envelops(const struct written *x)
{
	static const char *const keys[] = { "id", "topic", "event", "time", "data" };
	struct buf b = { 0 };
	const char *s;
	json_t *j;

	sse_add_envelope(&b, x->id, x->name.p, x->has_name ? x->name.len : 0,
	    x->has_name ? x->name.p : NULL, x->name.len, 0, 0, x->data.p,
	    x->data.len);
	MUST(memchr(b.p, '\n', b.len) == NULL && memchr(b.p, '\r', b.len) == NULL);
	MUST((j = json_loadb(b.p, b.len, 0, NULL)) != NULL);
	MUST(json_object_size(j) == 5);
	for (size_t i = 0; i < 5; i++)
		MUST(json_object_get(j, keys[i]) != NULL);
	s = json_string_value(json_object_get(j, "data"));
	MUST(strlen(s) == x->data.len && memcmp(s, x->data.p, x->data.len) == 0);
	s = json_string_value(json_object_get(j, "event"));
	MUST((s != NULL) == x->has_name);
	if (x->has_name)
		MUST(strlen(s) == x->name.len &&
		    memcmp(s, x->name.p, x->name.len) == 0);
	MUST(strcmp(json_string_value(json_object_get(j, "id")), x->id) == 0);
	json_decref(j);
	buf_fini(&b);
}

static void
writes(struct input *in)
{
	struct wanted w = { .n = 0 };
	struct buf b = { 0 };
	struct written *x;

	while (w.n < EVENTS && in->len > 0) {
		x = &w.v[w.n];
		x->name = field(in);
		x->data = field(in);
		if (event_check_data(x->data.p, x->data.len) != NULL) {
			free(x->name.p);
			free(x->data.p);
			continue;
		}
		x->has_name = event_check_name(x->name.p, x->name.len) == NULL;
		x->has_id = x->data.len % 3 != 0;
		(void)event_id_format(x->id, (struct event_id){
		    (uint32_t)x->data.len * 2654435761u, w.n });
		x->lines = plain_lines(x->data.p, x->data.len);
		sse_add_event(&b, x->has_id ? x->id : NULL,
		    x->has_name ? x->name.p : NULL, x->has_name ? x->name.len : 0,
		    x->data.p, x->data.len);
		envelops(x);
		w.n++;
	}
	plain_events(b.p, b.len, is_wanted, &w);
	MUST(w.seen == w.n);
	for (size_t i = 0; i < w.n; i++) {
		free(w.v[i].name.p);
		free(w.v[i].data.p);
		free(w.v[i].lines.p);
	}
	buf_fini(&b);
}

FUZZ(sse)
{
	struct input in = { bytes, size };
	unsigned int first = fuzz_byte(&in);

	if (first % 2 == 0)
		reads(&in, first / 2);
	else
		writes(&in);
	return 0;
}
