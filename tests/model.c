/*
 * model.c - the judge: each byte that a client is given, against what it is owed.
 */
#include "config.h"

#include "model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "suite.h"

#define SEEN	1		/* marks */
#define EXCUSED	2		/* gone when a gap was told */

#define TRACE_LINES	2000
#define TRACE_SHOWN	150

const char *const model_topics[MODEL_TOPICS] = {
	"a", "b", "c", "a/1", "a/2", "a/1/x", "a/1/y", "b/1", "b/2",
	"caf\303\251/\303\274", "n/0", "n/1", "n/2",
	"n/3", "n/4", "n/5", "n/6", "n/7", "n/8", "n//9",
};

/* --- the trace --- */

static struct {
	int	client;
	char	text[160];
} lines[TRACE_LINES];
static size_t nlines;
static char title[600];

void
trace_begin(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	vsnprintf(title, sizeof(title), f, ap);
	va_end(ap);
	nlines = 0;
}

void
trace(int client, const char *f, ...)
{
	va_list ap;

	lines[nlines % TRACE_LINES].client = client;
	va_start(ap, f);
	vsnprintf(lines[nlines % TRACE_LINES].text, sizeof(lines[0].text), f, ap);
	va_end(ap);
	nlines++;
}

void
wrong(int client, const char *f, ...)
{
	size_t from = nlines > TRACE_LINES ? nlines - TRACE_LINES : 0, shown = 0;
	char what[500];
	va_list ap;

	va_start(ap, f);
	vsnprintf(what, sizeof(what), f, ap);
	va_end(ap);
	for (size_t i = nlines; i > from && shown < TRACE_SHOWN; i--)
		if (client == -1 || lines[(i - 1) % TRACE_LINES].client == -1 ||
		    lines[(i - 1) % TRACE_LINES].client == client) {
			shown++;
			if (shown == TRACE_SHOWN || i - 1 == from)
				from = i - 1;
		}
	fprintf(stderr, "%s\n", title);
	for (size_t i = from; i < nlines; i++)
		if (client == -1 || lines[i % TRACE_LINES].client == -1 ||
		    lines[i % TRACE_LINES].client == client)
			fprintf(stderr, "  %5zu  %s\n", i, lines[i % TRACE_LINES].text);
	if (client >= 0)
		ck_abort_msg("client %d: %s (%s)", client, what, title);
	ck_abort_msg("%s (%s)", what, title);
}

/* --- the truth --- */

const char *
fact_data(const struct fact *f, size_t *len)
{
	static char text[MODEL_BLOCK];
	uint32_t x = f->salt;
	size_t n, end;

	n = (size_t)sprintf(text, f->json ? "{\"salt\":%" PRIu32 ",\"x\":\"" :
	    "%" PRIu32 " ", f->salt);
	for (end = n + f->size; n < end; n++) {
		x = x * 1664525u + 1013904223u;
		text[n] = (char)('a' + (x >> 24) % 26);
		if (f->json || x >> 27 != 0)
			continue;
		/* Now and then what a framer could stumble over. */
		text[n] = "\n\r\"\\: "[(x >> 8) % 6];
	}
	if (f->json) {
		memcpy(text + n, "\"}", 2);
		n += 2;
	}
	text[n] = '\0';
	*len = n;
	return text;
}

bool
truth_is_gone(const struct truth *t, uint64_t seq)
{
	const struct fact *f = &t->facts[seq];

	return seq < t->pruned_below ||
	    (t->per_topic > 0 && f->nth + t->per_topic <= t->nth[f->topic]);
}

bool
truth_is_good(const struct truth *t, struct id id)
{
	for (size_t i = 0; i < t->nepochs; i++)
		if (t->epochs[i].epoch == id.epoch)
			return i + 1 < t->nepochs ? id.seq < t->epochs[i + 1].seq :
			    id.seq <= t->head;
	return false;
}

static uint32_t
epoch_of(const struct truth *t, uint64_t seq)
{
	size_t i = t->nepochs - 1;

	while (i > 0 && t->epochs[i].seq > seq)
		i--;
	return t->epochs[i].epoch;
}

/* --- a client --- */

static bool
matches(const char *pattern, const char *topic)
{
	size_t p, n;

	for (;;) {
		if (strcmp(pattern, "**") == 0)
			return true;
		p = strcspn(pattern, "/");
		n = strcspn(topic, "/");
		if (!(p == 1 && *pattern == '*') &&
		    (p != n || memcmp(pattern, topic, n) != 0))
			return false;
		pattern += p;
		topic += n;
		if (*topic == '\0')
			return *pattern == '\0' || strcmp(pattern, "/**") == 0;
		if (*pattern == '\0')
			return false;
		pattern++;
		topic++;
	}
}

void
client_init(struct client *c, int number)
{
	memset(c, 0, sizeof(*c));
	c->number = number;
	c->fd = -1;
	c->marks = calloc(MODEL_EVENTS + 1, 1);
	c->in = malloc(MODEL_BLOCK + 1);
}

void
client_fini(struct client *c)
{
	free(c->marks);
	free(c->in);
}

void
client_sets_topics(struct client *c)
{
	c->topics = 0;
	for (int i = 0; i < MODEL_TOPICS; i++)
		for (size_t n = 0; n < c->nnames; n++)
			if (matches(c->names[n], model_topics[i]))
				c->topics |= 1u << i;
}

static bool
wants(const struct truth *t, const struct client *c, uint64_t seq)
{
	return t->facts[seq].topic >= 0 && (c->topics >> t->facts[seq].topic & 1) != 0;
}

static bool
has(const struct client *c, uint64_t seq)
{
	return seq <= c->had || (c->marks[seq] & SEEN) != 0;
}

/* As a first connection with the same URL. */
static void
begin_anew(const struct truth *t, struct client *c, uint64_t bound,
    int64_t since_wall_ms)
{
	uint64_t seq;

	c->bound = bound;
	memset(c->phase_n, 0, sizeof(c->phase_n));
	if (c->replay > 0)
		c->mode = REPLAY;
	else if (since_wall_ms > 0) {
		for (seq = t->head; seq > c->pos &&
		    t->facts[seq].wall_ms >= since_wall_ms; seq--)
			;
		c->pos = seq;
		c->mode = EXACT;
		c->by_time = true;
	} else if (bound > 0) {
		c->mode = EXACT;
		c->pos = bound > c->pos ? bound : c->pos;
	} else
		c->mode = FROM_NOW;
}

void
client_begin(const struct truth *t, struct client *c, const char *text,
    enum fault fault, struct id cursor, int64_t since_wall_ms)
{
	memset(c->marks, 0, MODEL_EVENTS + 1);	/* there was more, before a rollback */
	c->in_len = 0;
	c->has_cursor = text != NULL;
	c->fault = fault;
	c->resumed = text != NULL && fault == FAULT_NONE;
	snprintf(c->cursor, sizeof(c->cursor), "%s", text != NULL ? text : "");
	c->began = c->live = c->closed = c->by_time = false;
	c->draining = false;
	c->had = c->pos = c->resumed ? cursor.seq : 0;
	c->bound = c->oldest = 0;
	c->gaps = 0;
	c->events = c->blocks = 0;
	c->head0 = t->head;
	if (c->resumed)
		c->mode = EXACT;
	else
		begin_anew(t, c, 0, since_wall_ms);
}

static void
given(struct client *c, struct id id)
{
	c->given[c->ngiven++ % MODEL_GIVEN] = id;
}

/* All in (c->pos, upto) must have come, or be told of. */
static void
account(const struct truth *t, struct client *c, uint64_t upto)
{
	for (uint64_t m = c->pos + 1; m < upto; m++) {
		if (!wants(t, c, m) || (c->marks[m] & (SEEN | EXCUSED)) != 0)
			continue;
		if (c->by_time && truth_is_gone(t, m))
			continue;
		wrong(c->number, "%" PRIu64 " (%s) is missing without a word before %"
		    PRIu64 "; it is %s", m, model_topics[t->facts[m].topic], upto,
		    truth_is_gone(t, m) ? "pruned" : "in the log");
	}
}

/* A replay is over: the newest of each topic up to here were in it. */
static void
resolve(const struct truth *t, struct client *c, uint64_t upto)
{
	size_t n[MODEL_TOPICS] = { 0 };

	for (uint64_t m = upto; m > 0; m--) {
		if (!wants(t, c, m) || n[t->facts[m].topic]++ >= c->replay)
			continue;
		if (!has(c, m) && !truth_is_gone(t, m))
			wrong(c->number, "%" PRIu64 " (%s) is missing in a replay of "
			    "%zu up to %" PRIu64, m, model_topics[t->facts[m].topic],
			    c->replay, upto);
	}
	c->mode = EXACT;
	c->pos = upto > c->pos ? upto : c->pos;
}

/* The id of a block, of an event or another, says that all before it was given. */
static void
account_for(const struct truth *t, struct client *c, uint64_t seq, int topic)
{
	uint64_t upto = topic >= 0 ? seq : seq + 1, from, n;

	if (c->fault != FAULT_NONE)
		wrong(c->number, "its cursor was bad, and nobody told it");
	if (seq < c->oldest)
		wrong(c->number, "%" PRIu64 " comes after a gap that began anew at %"
		    PRIu64, seq, c->oldest);
	c->oldest = 0;
	if (seq > t->head)
		wrong(c->number, "%" PRIu64 " is beyond the head %" PRIu64, seq,
		    t->head);
	switch (c->mode) {
	case FROM_NOW:
		if (seq < c->head0 || (topic >= 0 && seq == c->head0))
			wrong(c->number, "%" PRIu64 " is of the past", seq);
		c->mode = EXACT;
		break;
	case JUMP:
		if (seq > c->bound) {
			c->pos = c->bound > c->pos ? c->bound : c->pos;
			account(t, c, upto);
		}
		c->mode = EXACT;
		break;
	case REPLAY:
		if (topic < 0) {		/* live, or a ping behind it */
			resolve(t, c, seq);
			break;
		}
		if (c->phase_n[topic]++ > 0) {
			for (from = c->phase_last[topic] + 1; from < seq; from++)
				if (t->facts[from].topic == topic &&
				    (c->marks[from] & (SEEN | EXCUSED)) == 0)
					wrong(c->number, "%" PRIu64 " is missing "
					    "inside a replay", from);
		}
		c->phase_last[topic] = seq;
		if (!c->live && seq <= c->head0) {
			n = 0;
			for (from = seq; from <= c->head0; from++)
				n += t->facts[from].topic == topic;
			if (n > c->replay)
				wrong(c->number, "%" PRIu64 " is older than replay=%zu "
				    "asked for", seq, c->replay);
		}
		break;
	case EXACT:
		account(t, c, upto);
		break;
	}
	if (seq > c->pos)
		c->pos = seq;
}

/* The block of an event in raw format, as it must be. */
static const char *
raw_block(const struct fact *f, uint64_t seq, size_t *len)
{
	static char text[MODEL_BLOCK];
	size_t n, data_len;
	const char *data = fact_data(f, &data_len);

	n = (size_t)sprintf(text, "id: %08" PRIx32 "-%" PRIu64 "\n%sdata: ", f->epoch,
	    seq, f->named ? "event: goal\n" : "");
	for (size_t i = 0; i < data_len; i++) {
		if (data[i] != '\n' && data[i] != '\r') {
			text[n++] = data[i];
			continue;
		}
		if (data[i] == '\r' && i + 1 < data_len && data[i + 1] == '\n')
			i++;
		n += (size_t)sprintf(text + n, "\ndata: ");
	}
	text[n++] = '\n';
	text[n++] = '\n';
	*len = n;
	return text;
}

static const char *
text_of(json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

static void
judge_envelope(struct client *c, const struct fact *f, const char *id, const char *json,
    size_t len)
{
	json_t *o = json_loadb(json, len, 0, NULL), *data;
	time_t s = (time_t)(f->wall_ms / 1000);
	const char *want;
	char time[64];
	struct tm tm;
	size_t n;

	(void)gmtime_r(&s, &tm);
	n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time + n, sizeof(time) - n, ".%03dZ", (int)(f->wall_ms % 1000));
	want = fact_data(f, &n);
	data = f->json ? json_loadb(want, n, 0, NULL) : json_stringn(want, n);
	if (o == NULL || strcmp(text_of(o, "id"), id) != 0 ||
	    strcmp(text_of(o, "topic"), model_topics[f->topic]) != 0 ||
	    strcmp(text_of(o, "event"), f->named ? "goal" : "") != 0 ||
	    json_is_string(json_object_get(o, "event")) != f->named ||
	    strcmp(text_of(o, "time"), time) != 0 ||
	    !json_equal(json_object_get(o, "data"), data) || json_object_size(o) != 5)
		wrong(c->number, "a wrong envelope: %.200s", json);
	json_decref(data);
	json_decref(o);
}

static void
take_event(const struct truth *t, struct client *c, struct id id, const char *block,
    size_t len)
{
	const struct fact *f = id.seq <= t->head && id.seq > 0 ? &t->facts[id.seq] : NULL;
	const char *want, *data;
	char text[32];
	size_t n;

	if (f == NULL || f->topic < 0 || f->epoch != id.epoch)
		wrong(c->number, "%08" PRIx32 "-%" PRIu64 " was never published",
		    id.epoch, id.seq);
	trace(c->number, "%d: event %" PRIu64 " (%s)", c->number, id.seq,
	    model_topics[f->topic]);
	if (c->envelope) {
		n = (size_t)snprintf(text, sizeof(text), "%08" PRIx32 "-%" PRIu64,
		    id.epoch, id.seq);
		data = block + 4 + n + 1;
		if (strncmp(data, "data: ", 6) != 0 || memchr(data, '\n', len -
		    (size_t)(data - block)) != block + len - 2)
			wrong(c->number, "a wrong block: %.200s", block);
		judge_envelope(c, f, text, data + 6, len - (size_t)(data - block) - 8);
	} else {
		want = raw_block(f, id.seq, &n);
		if (n != len || memcmp(want, block, n) != 0)
			wrong(c->number, "%" PRIu64 " has other bytes: %.200s", id.seq,
			    block);
	}
	if (!wants(t, c, id.seq))
		wrong(c->number, "%" PRIu64 " (%s) is not for it", id.seq,
		    model_topics[f->topic]);
	if (has(c, id.seq))
		wrong(c->number, "%" PRIu64 " comes again", id.seq);
	if (id.seq <= c->pos && c->mode != REPLAY)
		wrong(c->number, "%" PRIu64 " comes after %" PRIu64, id.seq, c->pos);
	if (c->mode == REPLAY && id.seq <= c->pos)
		wrong(c->number, "%" PRIu64 " comes after %" PRIu64 " in a replay",
		    id.seq, c->pos);
	account_for(t, c, id.seq, f->topic);
	c->marks[id.seq] |= SEEN;
	c->events++;
	given(c, id);
}

static bool
names_are(const struct client *c, json_t *list)
{
	if (json_array_size(list) != c->nnames)
		return false;
	for (size_t i = 0; i < c->nnames; i++)
		if (strcmp(json_string_value(json_array_get(list, i)),
		    c->names[i]) != 0)
			return false;
	return true;
}

static bool
parse_id(const char *text, struct id *id)
{
	char again[40];

	if (sscanf(text, "%8" SCNx32 "-%" SCNu64, &id->epoch, &id->seq) != 2)
		return false;
	snprintf(again, sizeof(again), "%08" PRIx32 "-%" PRIu64, id->epoch, id->seq);
	return strncmp(text, again, strlen(again)) == 0 &&
	    strchr("\n", text[strlen(again)]) != NULL;
}

static void
take_live(const struct truth *t, struct client *c, struct id id, json_t *o)
{
	bool resumed = c->resumed && c->gaps == 0;

	trace(c->number, "%d: live at %" PRIu64, c->number, id.seq);
	if (c->live)
		wrong(c->number, "live is told twice");
	if (!names_are(c, json_object_get(o, "topics")) ||
	    json_is_true(json_object_get(o, "resumed")) != resumed ||
	    json_integer_value(json_object_get(o, "heartbeat")) !=
	    (c->beats ? t->heartbeat_ms : 0))
		wrong(c->number, "live does not say what is so");
	if (id.epoch != t->epochs[t->nepochs - 1].epoch)
		wrong(c->number, "live is of another epoch");
	if (id.seq < c->head0 || id.seq < c->pos)
		wrong(c->number, "live at %" PRIu64 ", before %" PRIu64, id.seq,
		    c->head0 > c->pos ? c->head0 : c->pos);
	c->live = true;
	account_for(t, c, id.seq, -1);
	c->by_time = false;
	given(c, id);
}

static void
take_ping(const struct truth *t, struct client *c, struct id id, json_t *o)
{
	trace(c->number, "%d: ping at %" PRIu64, c->number, id.seq);
	if (!c->live || !c->beats || json_object_size(o) != 0 ||
	    id.epoch != t->epochs[t->nepochs - 1].epoch || id.seq < c->pos)
		wrong(c->number, "a ping that should not be, at %" PRIu64, id.seq);
	account_for(t, c, id.seq, -1);
	c->by_time = false;
	given(c, id);
}

/* How many of them is it behind? */
static size_t
behind(const struct truth *t, const struct client *c)
{
	size_t n = 0;

	for (uint64_t m = c->pos + 1; m <= t->head; m++)
		n += wants(t, c, m);
	return n;
}

static void
take_gap(const struct truth *t, struct client *c, json_t *o)
{
	const char *why = text_of(o, "reason"), *requested = text_of(o, "requested");
	struct id oldest, from;
	bool missing = false;

	trace(c->number, "%d: gap %s, requested %s, oldest %s, at %" PRIu64, c->number,
	    why, requested, text_of(o, "oldest"), c->pos);
	if (!names_are(c, json_object_get(o, "topics")) ||
	    !parse_id(text_of(o, "oldest"), &oldest) ||
	    oldest.epoch != epoch_of(t, oldest.seq) || oldest.seq > t->head + 1)
		wrong(c->number, "a gap with wrong fields, oldest %s",
		    text_of(o, "oldest"));
	c->gaps++;
	c->bound = 0;
	if (strcmp(why, "reset") == 0 || strcmp(why, "unknown") == 0) {
		if (c->fault != (*why == 'r' ? FAULT_RESET : FAULT_UNKNOWN) ||
		    strcmp(requested, c->cursor) != 0 || c->blocks > 0)
			wrong(c->number, "a gap without need: %s", why);
		c->fault = FAULT_NONE;
		return;
	}
	/* What was asked for; or, once it has come some way, where it stands. */
	if (!(strcmp(requested, c->cursor) == 0 && c->events == 0) &&
	    !(parse_id(requested, &from) && from.seq >= c->pos &&
	    from.epoch == epoch_of(t, from.seq)))
		if (!(c->mode == REPLAY || c->by_time || c->mode == JUMP))
			wrong(c->number, "a gap for %s, and it stands at %" PRIu64,
			    requested, c->pos);
	if (strcmp(why, "too_far") == 0) {
		if (behind(t, c) <= t->max_replay)
			wrong(c->number, "too_far, but only %zu behind", behind(t, c));
		if (c->since_ms > 0) {
			c->mode = JUMP;
			c->by_time = true;
			c->bound = oldest.seq;
		} else
			begin_anew(t, c, oldest.seq, 0);
		return;
	}
	if (strcmp(why, "expired") != 0)
		wrong(c->number, "a gap for no known reason: %s", why);
	for (uint64_t m = c->pos + 1; m <= t->head; m++)
		if (wants(t, c, m) && truth_is_gone(t, m) &&
		    (c->marks[m] & SEEN) == 0) {
			missing = true;
			c->marks[m] |= EXCUSED;
		}
	if (!missing)
		wrong(c->number, "a gap without need: nothing after %" PRIu64
		    " is gone", c->pos);
	c->oldest = oldest.seq;
}

static void
take_close(struct client *c, const char *block)
{
	trace(c->number, "%d: %s", c->number, block);
	if (!(c->expires && strstr(block, "{\"reason\":\"expired\",") != NULL) &&
	    !(c->draining && strstr(block, "{\"reason\":\"drain\",") != NULL))
		wrong(c->number, "an end that should not be: %s", block);
	c->closed = true;
}

/* A block, with its blank line. */
static void
take_block(const struct truth *t, struct client *c, char *block, size_t len)
{
	struct id id = { 0, 0 };
	char *p = block, *data;
	bool has_id = false;
	json_t *o;

	if (c->closed)
		wrong(c->number, "behind the end: %.200s", block);
	if (strncmp(p, "id: ", 4) == 0) {
		if (!parse_id(p + 4, &id))
			wrong(c->number, "no id: %.100s", block);
		has_id = true;
		p = strchr(p, '\n') + 1;
	}
	if (strncmp(p, "retry: ", 7) == 0 && !has_id) {
		take_close(c, block);
		return;
	}
	if (strncmp(p, "event: fanfare.", 15) != 0) {
		if (!has_id)
			wrong(c->number, "an event without id: %.200s", block);
		take_event(t, c, id, block, len);
		c->blocks++;
		return;
	}
	p += 15;
	data = strchr(p, '\n') + 1;
	o = strncmp(data, "data: ", 6) == 0 ?
	    json_loadb(data + 6, len - (size_t)(data - block) - 8, 0, NULL) : NULL;
	if (o == NULL)
		wrong(c->number, "no JSON: %.300s", block);
	if (strncmp(p, "live\n", 5) == 0 && has_id)
		take_live(t, c, id, o);
	else if (strncmp(p, "ping\n", 5) == 0 && has_id)
		take_ping(t, c, id, o);
	else if (strncmp(p, "gap\n", 4) == 0 && !has_id)
		take_gap(t, c, o);
	else if (strncmp(p, "expiring\n", 9) != 0 || has_id || !c->expires)
		wrong(c->number, "what is this? %.300s", block);
	json_decref(o);
	c->blocks++;
}

void
client_feed(const struct truth *t, struct client *c, const char *p, size_t len)
{
	char *at, *end, kept;
	long retry;
	size_t n;

	if (c->in_len + len > MODEL_BLOCK)
		wrong(c->number, "a block without an end");
	memcpy(c->in + c->in_len, p, len);
	c->in_len += len;
	c->in[c->in_len] = '\0';
	if (strlen(c->in) != c->in_len)
		wrong(c->number, "a NUL");
	at = c->in;
	if (!c->began) {
		if (strstr(at, "\n: fanfare\n") == NULL)
			return;
		if (sscanf(at, "retry: %ld\n: fanfare\n%n", &retry, (int[]){ 0 }) != 1 ||
		    retry < 1000)
			wrong(c->number, "it begins with %.100s", at);
		c->began = true;
		at = strstr(at, "\n: fanfare\n") + strlen("\n: fanfare\n");
	}
	for (;;) {
		if (strncmp(at, ": hb\n", 5) == 0) {
			at += 5;
			continue;
		}
		if (*at == ':' && strlen(at) >= 5)
			wrong(c->number, "a comment: %.100s", at);
		if ((end = strstr(at, "\n\n")) == NULL)
			break;
		kept = end[2];
		end[2] = '\0';
		take_block(t, c, at, (size_t)(end + 2 - at));
		end[2] = kept;
		at = end + 2;
	}
	n = strlen(at);
	memmove(c->in, at, n + 1);
	c->in_len = n;
}

void
client_settle(const struct truth *t, struct client *c)
{
	if (c->mode == REPLAY)
		resolve(t, c, t->head);
	/* After a jump nobody can tell whether what is left of since= still comes. */
	if (c->mode != JUMP)
		c->by_time = false;
}

bool
client_is_owed(const struct truth *t, const struct client *c)
{
	size_t n[MODEL_TOPICS] = { 0 };

	if (!c->live || c->fault != FAULT_NONE)
		return true;
	if (c->mode == REPLAY) {
		for (uint64_t m = t->head; m > 0; m--)
			if (wants(t, c, m) &&
			    n[t->facts[m].topic]++ < c->replay && !has(c, m) &&
			    (c->marks[m] & EXCUSED) == 0 && !truth_is_gone(t, m))
				return true;
		return false;
	}
	for (uint64_t m = (c->mode == JUMP && c->bound > c->pos ? c->bound : c->pos) + 1;
	    m <= t->head; m++)
		if (wants(t, c, m) && (c->marks[m] & (SEEN | EXCUSED)) == 0 &&
		    !(c->by_time && truth_is_gone(t, m)))
			return true;
	return false;
}
