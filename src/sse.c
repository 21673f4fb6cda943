/*
 * sse.c - text/event-stream, written and read.
 *
 * The writer's rule: no byte of a payload can begin a line.  Every CR, LF and
 * CRLF in it ends a line here too, and the next one begins with "data: ".
 */
#include "config.h"

#include "sse.h"

#include <errno.h>
#include <string.h>

#define BOM	"\xef\xbb\xbf"

/* Values of sse_reader.started. */
enum {
	READER_NEW,		/* zero-initialised by its owner */
	READER_AT_START,	/* of a connection: a BOM may come */
	READER_INSIDE,
};

/* memchr, but `end` when there is none; the range may be empty. */
static const char *
find(const char *p, const char *end, char c)
{
	const char *hit = p == end ? NULL : memchr(p, c, (size_t)(end - p));

	return hit == NULL ? end : hit;
}

void
sse_add_data(struct buf *b, const char *data, size_t data_len)
{
	const char *p, *end, *lf, *cr, *eol;

	if (data_len == 0) {
		buf_add(b, "data: \n", 7);
		return;
	}
	/* Each mark is looked for again only when passed, so that this stays
	 * linear and a payload of one line costs two memchr. */
	p = data;
	end = data + data_len;
	lf = find(p, end, '\n');
	cr = find(p, end, '\r');
	for (;;) {
		eol = lf < cr ? lf : cr;
		buf_add(b, "data: ", 6);
		buf_add(b, p, (size_t)(eol - p));
		buf_addc(b, '\n');
		if (eol == end)
			return;
		p = eol + 1;
		if (eol == cr) {
			if (p < end && lf == p)
				p++;		/* CRLF is one line end */
			cr = find(p, end, '\r');
		}
		if (lf < p)
			lf = find(p, end, '\n');
	}
}

void
sse_add_event(struct buf *b, const char *id, const char *name, size_t name_len,
    const char *data, size_t data_len)
{
	if (id != NULL) {
		buf_add(b, "id: ", 4);
		buf_adds(b, id);
		buf_addc(b, '\n');
	}
	if (name != NULL && name_len > 0) {
		buf_add(b, "event: ", 7);
		buf_add(b, name, name_len);
		buf_addc(b, '\n');
	}
	sse_add_data(b, data, data_len);
	buf_addc(b, '\n');
}

void
sse_add_envelope(struct buf *b, const char *id, const char *topic,
    size_t topic_len, const char *name, size_t name_len, int64_t wall_ms,
    unsigned int flags, const char *data, size_t data_len)
{
	char when[TEXT_TIME_SIZE];

	text_format_time(when, wall_ms);
	buf_adds(b, "{\"id\":");
	buf_add_json(b, id, strlen(id));
	buf_adds(b, ",\"topic\":");
	buf_add_json(b, topic, topic_len);
	buf_adds(b, ",\"event\":");
	if (name != NULL && name_len > 0)
		buf_add_json(b, name, name_len);
	else
		buf_adds(b, "null");
	buf_adds(b, ",\"time\":\"");
	buf_adds(b, when);
	buf_adds(b, "\",\"data\":");
	if ((flags & EVENT_JSON) != 0)
		buf_add(b, data, data_len);
	else
		buf_add_json(b, data, data_len);
	buf_addc(b, '}');
}

static bool
is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(p, word, len) == 0;
}

/* Replace what is in `b`, and keep a NUL behind it. */
static void
set_string(struct buf *b, const char *p, size_t len)
{
	b->len = 0;
	buf_add(b, p, len);
	buf_addc(b, '\0');
}

static void
dispatch(struct sse_reader *r)
{
	struct buf old;

	/* Only now, with the whole block seen, does its id count: one that
	 * is cut off must come again after the reconnect. */
	if (r->has_next_id) {
		old = r->id;
		r->id = r->next_id;
		r->next_id = old;
		r->has_next_id = 0;
	}
	if (r->data.len > 0) {
		if (r->name.len <= 1)
			set_string(&r->name, "message", 7);
		if (r->id.len == 0)
			buf_addc(&r->id, '\0');
		r->data.p[r->data.len - 1] = '\0';	/* over the last LF */
		if (!r->name.failed && !r->id.failed)
			r->on_event(r->arg, r->name.p, r->data.p,
			    r->data.len - 1, r->id.p);
	}
	r->data.len = 0;
	r->name.len = 0;
}

static void
take_field(struct sse_reader *r, const char *field, size_t flen,
    const char *value, size_t vlen)
{
	uint64_t ms;

	if (is_word(field, flen, "data")) {
		buf_add(&r->data, value, vlen);
		buf_addc(&r->data, '\n');
	} else if (is_word(field, flen, "event"))
		set_string(&r->name, value, vlen);
	else if (is_word(field, flen, "id")) {
		if (find(value, value + vlen, '\0') == value + vlen) {
			set_string(&r->next_id, value, vlen);
			r->has_next_id = 1;
		}
	} else if (is_word(field, flen, "retry")) {
		if (text_parse_u64(value, vlen, &ms) == 0 && ms <= INT64_MAX)
			r->retry_ms = (int64_t)ms;
	}
}

/* One whole line is in r->line, without its end. */
static void
take_line(struct sse_reader *r)
{
	const char *p, *end, *colon, *value;

	buf_addc(&r->line, '\0');
	if (r->line.failed)
		return;
	p = r->line.p;
	end = p + r->line.len - 1;
	if (r->started == READER_AT_START) {
		if (end - p >= 3 && memcmp(p, BOM, 3) == 0)
			p += 3;
		r->started = READER_INSIDE;
	}
	colon = find(p, end, ':');
	if (p == end)
		dispatch(r);
	else if (colon == p) {
		if (r->on_comment != NULL)
			r->on_comment(r->arg, p + 1);
	} else {
		value = colon == end ? end : colon + 1;
		if (value < end && *value == ' ')
			value++;
		take_field(r, p, (size_t)(colon - p), value,
		    (size_t)(end - value));
	}
	r->line.len = 0;
}

static bool
reader_failed(const struct sse_reader *r)
{
	return r->line.failed || r->data.failed || r->name.failed ||
	    r->id.failed || r->next_id.failed;
}

int
sse_reader_feed(struct sse_reader *r, const char *p, size_t len)
{
	const char *end, *lf, *cr, *eol;

	if (len == 0)
		return 0;
	end = p + len;
	if (r->started == READER_NEW)
		sse_reader_reset(r);
	if (r->last_cr && *p == '\n')
		p++;
	r->last_cr = 0;
	lf = find(p, end, '\n');
	cr = find(p, end, '\r');
	while (p < end) {
		eol = lf < cr ? lf : cr;
		if (r->max_bytes != 0 && (size_t)(eol - p) + r->line.len +
		    r->data.len + r->name.len > r->max_bytes) {
			errno = EMSGSIZE;
			return -1;
		}
		buf_add(&r->line, p, (size_t)(eol - p));
		if (eol == end)
			break;
		take_line(r);
		p = eol + 1;
		if (eol == cr) {
			if (p == end)
				r->last_cr = 1;
			else if (lf == p)
				p++;
			cr = find(p, end, '\r');
		}
		if (lf < p)
			lf = find(p, end, '\n');
	}
	if (reader_failed(r)) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

void
sse_reader_reset(struct sse_reader *r)
{
	if (r->started == READER_NEW)
		r->retry_ms = -1;
	r->started = READER_AT_START;
	r->last_cr = 0;
	r->has_next_id = 0;
	r->line.len = r->data.len = r->name.len = 0;
}

void
sse_reader_fini(struct sse_reader *r)
{
	buf_fini(&r->line);
	buf_fini(&r->data);
	buf_fini(&r->name);
	buf_fini(&r->id);
	buf_fini(&r->next_id);
}
