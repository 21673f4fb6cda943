/*
 * harness_sse.c - text/event-stream read as the HTML specification says.
 *
 * Written from the specification and not from src/sse.c, so that the two check
 * each other.  `odd` counts what is legal to a parser but never ours to write:
 * a byte order mark, CR, an empty id, unknown fields, no space behind the
 * colon.
 */
#include "config.h"

#include "harness.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define TRACE_MAX	65536

static void
append(char **to, size_t *to_len, const char *p, size_t len)
{
	/* Grow in powers of two: events of 64 kB come byte by byte. */
	size_t need = *to_len + len + 1, cap = 64;

	while (cap < need)
		cap *= 2;
	if (*to == NULL || *to_len + 1 <= cap / 2) {
		*to = realloc(*to, cap);
		ck_assert_ptr_nonnull(*to);
	}
	memcpy(*to + *to_len, p, len);
	*to_len += len;
	(*to)[*to_len] = '\0';
}

static void
event_free(struct event *e)
{
	if (e == NULL)
		return;
	free(e->id);
	free(e->name);
	free(e->data);
	free(e);
}

static char *
copy(const char *p, size_t len)
{
	char *s = malloc(len + 1);

	ck_assert_ptr_nonnull(s);
	memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

static void
dispatch(struct stream *st)
{
	struct event *e;

	if (st->has_id) {
		free(st->last_id);
		st->last_id = strdup(st->id);
	}
	if (!st->has_data) {
		/* An id or a name without data is lost in some browsers. */
		st->odd += st->has_id || st->has_name;
		goto reset;
	}
	e = calloc(1, sizeof *e);
	ck_assert_ptr_nonnull(e);
	e->id = st->has_id ? strdup(st->id) : NULL;
	e->named = st->has_name;
	e->name = strdup(st->has_name && *st->name ? st->name : "message");
	e->len = st->data_len - 1;	/* the last LF goes */
	e->data = copy(st->data, e->len);
	e->at_ms = now_ms();
	*st->last = e;
	st->last = &e->next;
reset:
	st->has_data = st->has_name = st->has_id = false;
	st->data_len = 0;
}

static void
field(struct stream *st, const char *name, const char *value, size_t len)
{
	if (strcmp(name, "data") == 0) {
		append(&st->data, &st->data_len, value, len);
		append(&st->data, &st->data_len, "\n", 1);
		st->has_data = true;
	} else if (strcmp(name, "event") == 0) {
		free(st->name);
		st->name = copy(value, len);
		st->has_name = true;
	} else if (strcmp(name, "id") == 0) {
		if (memchr(value, '\0', len) != NULL || len == 0) {
			st->odd++;
			return;
		}
		free(st->id);
		st->id = copy(value, len);
		st->has_id = true;
	} else if (strcmp(name, "retry") == 0) {
		if (len == 0 || strspn(value, "0123456789") != len)
			st->odd++;
		else
			st->retry_ms = strtoll(value, NULL, 10);
	} else {
		st->odd++;
	}
}

static void
line(struct stream *st)
{
	char *s = st->line == NULL ? NULL : st->line, *colon;
	size_t len = st->line_len, n;

	st->line_len = 0;
	if (len == 0) {
		dispatch(st);
		return;
	}
	if (s[0] == ':') {
		st->comments++;
		return;
	}
	if ((colon = memchr(s, ':', len)) == NULL) {
		st->odd++;
		field(st, s, "", 0);
		return;
	}
	*colon++ = '\0';
	n = len - (size_t)(colon - s);
	if (n > 0 && *colon == ' ') {
		colon++;
		n--;
	} else {
		st->odd++;
	}
	field(st, s, colon, n);
}

static void
parse(struct stream *st, const char *p, size_t len)
{
	const char *end = p + len;

	st->total += len;
	if (st->trace_len < TRACE_MAX)
		append(&st->trace, &st->trace_len, p,
		    len < TRACE_MAX - st->trace_len ? len :
		    TRACE_MAX - st->trace_len);
	if (!st->started && len > 0) {
		st->started = true;
		if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
			p += 3;
			st->odd++;
		}
	}
	while (p < end) {
		const char *e;

		if (st->after_cr) {
			st->after_cr = false;
			if (*p == '\n') {
				p++;
				continue;
			}
		}
		for (e = p; e < end && *e != '\n' && *e != '\r'; e++)
			;
		append(&st->line, &st->line_len, p, (size_t)(e - p));
		if (e == end)
			break;
		if (*e == '\r') {
			st->after_cr = true;
			st->odd++;
		}
		line(st);
		p = e + 1;
	}
}

static void
take_head(struct stream *st)
{
	char *body = st->in == NULL ? NULL : strstr(st->in, "\r\n\r\n");

	if (body == NULL)
		return;
	body += 4;
	st->have_head = true;
	st->head.head = copy(st->in, (size_t)(body - st->in) - 2);
	st->head.body = copy("", 0);
	sscanf(st->head.head, "HTTP/1.%*1d %3d", &st->head.status);
	if (header(&st->head, "Content-Length") != NULL)
		st->whole = strtoul(header(&st->head, "Content-Length"), NULL,
		    10);
	parse(st, body, st->in_len - (size_t)(body - st->in));
	free(st->in);
	st->in = NULL;
}

void
stream_feed(struct stream *st)
{
	char piece[65536];
	size_t most = 1 << 20;	/* then somebody else's turn */
	ssize_t n;

	while (!st->eof && most > sizeof piece) {
		n = recv(st->fd, piece, sizeof piece, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			st->eof = true;
			st->eof_ms = now_ms();
			return;
		}
		most -= (size_t)n;
		if (st->have_head) {
			parse(st, piece, (size_t)n);
		} else {
			append(&st->in, &st->in_len, piece, (size_t)n);
			take_head(st);
		}
		/* Streams end with the connection; a refusal may end before. */
		if (st->whole != 0 && st->total >= st->whole) {
			st->eof = true;
			st->eof_ms = now_ms();
		}
	}
}

struct event *
stream_pop(struct stream *st)
{
	event_free(st->held);
	if ((st->held = st->first) == NULL)
		return NULL;
	if ((st->first = st->held->next) == NULL)
		st->last = &st->first;
	return st->held;
}

/* Wait for bytes; false at the deadline. */
static bool
wait_bytes(struct stream *st, int64_t end)
{
	struct pollfd pfd = { st->fd, POLLIN, 0 };
	int64_t left = end - now_ms();

	if (left <= 0)
		return false;
	poll(&pfd, 1, (int)left);
	stream_feed(st);
	return true;
}

struct event *
stream_next(struct stream *st, int ms)
{
	int64_t end = now_ms() + patience(ms);

	stream_feed(st);
	while (st->first == NULL && !st->eof)
		if (!wait_bytes(st, end))
			break;
	return stream_pop(st);
}

bool
stream_ended(struct stream *st, int ms)
{
	int64_t end = now_ms() + patience(ms);

	while (!st->eof)
		if (!wait_bytes(st, end))
			return false;
	return true;
}

bool
stream_head(struct stream *st, int ms)
{
	int64_t end = now_ms() + patience(ms);

	stream_feed(st);
	while (!st->have_head && !st->eof)
		if (!wait_bytes(st, end))
			break;
	return st->have_head;
}

bool
stream_quiet(struct stream *st, int ms)
{
	int64_t end = now_ms() + ms;	/* not more under a slow server */

	stream_feed(st);
	while (st->first == NULL && !st->eof)
		if (!wait_bytes(st, end))
			return true;
	return false;
}

/* The struct itself stays until the test ends: tests look at it later. */
void
stream_close(struct stream *st)
{
	struct event *e;

	if (st->fd != -1)
		close(st->fd);
	st->fd = -1;
	st->eof = true;
	while ((e = st->first) != NULL) {
		st->first = e->next;
		event_free(e);
	}
	st->last = &st->first;
	event_free(st->held);
	st->held = NULL;
	free(st->in);
	free(st->line);
	free(st->data);
	free(st->name);
	free(st->id);
	st->in = st->line = st->data = st->name = st->id = NULL;
}

static void
stream_release(void *p)
{
	struct stream *st = p;

	stream_close(st);
	free(st->head.head);
	free(st->head.body);
	free(st->last_id);
	free(st->trace);
	free(st);
}

struct stream *
try_stream(struct server *s, const char *path, const char *headers, int rcvbuf)
{
	struct stream *st;
	int fd = dial(s->port, rcvbuf);
	char *rq;
	ssize_t n;
	int len;

	if (fd == -1)
		return NULL;
	st = keep(calloc(1, sizeof *st), stream_release);
	st->fd = fd;
	st->retry_ms = -1;
	st->last = &st->first;
	st->last_id = strdup("");
	len = asprintf(&rq, "GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Accept: text/event-stream\r\nCache-Control: no-cache\r\n%s\r\n",
	    path, headers == NULL ? "" : headers);
	ck_assert_int_gt(len, 0);
	n = send(fd, rq, (size_t)len, MSG_NOSIGNAL);
	free(rq);
	ck_assert_msg(n == len || n == -1, "a request that long?");
	if (n == -1) {
		stream_close(st);
		return NULL;
	}
	return st;
}

struct stream *
stream_open(struct server *s, const char *path, const char *headers)
{
	struct stream *st = try_stream(s, path, headers, 0);

	ck_assert_msg(st != NULL, "the server takes no connection");
	ck_assert_msg(stream_head(st, SOON), "no answer to GET %.200s", path);
	ck_assert_msg(st->head.status == 200 && header_has(&st->head,
	    "Content-Type", "text/event-stream"), "GET %.200s: %.400s%.400s",
	    path, st->head.head, st->trace == NULL ? "" : st->trace);
	return st;
}

bool
is_control(const struct event *e)
{
	return strncmp(e->name, "fanfare.", 8) == 0;
}

static struct event *
next_or_fail(struct stream *st, const char *wanted)
{
	struct event *e = stream_next(st, SOON);

	ck_assert_msg(e != NULL, "%s instead of %s; so far:\n%.2000s",
	    st->eof ? "the end" : "nothing", wanted,
	    st->trace == NULL ? "" : st->trace);
	return e;
}

struct event *
expect_event(struct stream *st, const char *name, const char *data)
{
	struct event *e = next_or_fail(st, data);

	ck_assert_msg(strcmp(e->name, name) == 0 && strcmp(e->data, data) == 0,
	    "%s '%.200s' instead of %s '%.200s'", e->name, e->data, name,
	    data);
	ck_assert_msg(e->id != NULL, "a published event without an id");
	id_seq(e->id);
	return e;
}

static void
json_release(void *p)
{
	json_decref(p);
}

json_t *
expect_control(struct stream *st, const char *name)
{
	struct event *e = next_or_fail(st, name);
	json_t *j;

	ck_assert_msg(strcmp(e->name, name) == 0, "%s '%.300s' instead of %s",
	    e->name, e->data, name);
	j = json_loadb(e->data, e->len, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(json_is_object(j), "%s: no JSON object: %s", name,
	    e->data);
	return keep(j, json_release);
}

json_t *
expect_live(struct stream *st, bool resumed)
{
	json_t *j = expect_control(st, "fanfare.live");

	ck_assert_msg(st->held->id != NULL, "fanfare.live without an id");
	id_seq(st->held->id);
	ck_assert_msg(json_is_boolean(json_object_get(j, "resumed")) &&
	    json_is_true(json_object_get(j, "resumed")) == resumed,
	    "fanfare.live says %s", st->held->data);
	ck_assert(json_is_array(json_object_get(j, "topics")));
	return j;
}

json_t *
expect_gap(struct stream *st, const char *reason)
{
	json_t *j = expect_control(st, "fanfare.gap");

	ck_assert_msg(st->held->id == NULL, "fanfare.gap has an id");
	ck_assert_msg(strcmp(text_at(j, "reason"), reason) == 0,
	    "gap '%s' instead of %s", st->held->data, reason);
	ck_assert(json_is_array(json_object_get(j, "topics")));
	return j;
}

json_t *
expect_close(struct stream *st, const char *reason, int ms)
{
	json_t *j;
	struct event *e = stream_next(st, ms);

	ck_assert_msg(e != NULL && strcmp(e->name, "fanfare.close") == 0,
	    "%s instead of fanfare.close", e == NULL ? "nothing" : e->name);
	ck_assert_msg(e->id == NULL, "fanfare.close has an id");
	j = keep(json_loadb(e->data, e->len, 0, NULL), json_release);
	ck_assert_msg(strcmp(text_at(j, "reason"), reason) == 0,
	    "close '%s' instead of %s", e->data, reason);
	ck_assert_msg(json_is_integer(json_object_get(j, "retry")),
	    "no retry in %s", e->data);
	text_at(j, "detail");
	ck_assert_msg(stream_next(st, SOON) == NULL && st->eof,
	    "the stream goes on after fanfare.close");
	return j;
}
