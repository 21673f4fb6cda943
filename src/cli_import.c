/*
 * cli_import.c - `import`: lines as `export` prints them become events of a log that no
 * server has open.
 *
 * Events get the ids that come next and keep their times; an old id is read over, since
 * it belongs to another log, whose cursors must not fit here.  A line that is wrong ends
 * it: everything before it is stored, nothing from it on.  So does a disk or a lock, and
 * then it says from which line on.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_internal.h"
#include "clock.h"
#include "frame.h"
#include "json.h"
#include "log.h"
#include "store.h"
#include "store_tools.h"

#define BATCH_EVENTS	4096
#define BATCH_BYTES	(8 * 1024 * 1024)
#define PAGE_BYTES	1		/* nobody reads pages here */

struct importer {
	const struct cli_call *call;
	const char	*path;
	struct store	*st;
	struct frame	*frames[BATCH_EVENTS];
	int64_t		 times[BATCH_EVENTS];
	size_t		 n, bytes;
	uint64_t	 stored;
	bool		 unknown;	/* the batch that failed may be, too */
};

struct importer *
importer_open(const struct cli_call *call, const char *path)
{
	struct store_conf sc = {
		.path = path, .sync_full = true, .max_page_bytes_total = PAGE_BYTES,
	};
	struct importer *im;
	char err[CLI_ERR_SIZE];

	if ((im = calloc(1, sizeof *im)) == NULL) {
		(void)cli_fail(call, 0, "out of memory");
		return NULL;
	}
	im->call = call;
	im->path = path;
	if ((im->st = store_open(&sc, err, sizeof err)) == NULL) {
		(void)cli_fail(call, 0, "%s", err);
		free(im);
		return NULL;
	}
	return im;
}

int
importer_flush(struct importer *im)
{
	enum append_result result = APPEND_OK;
	char err[CLI_ERR_SIZE];

	if (im->n > 0 && (result = store_import(im->st, im->frames, im->times, im->n,
	    err, sizeof err)) != APPEND_OK) {
		cli_end_progress();
		(void)cli_fail(im->call, 0, "%s", err);
	}
	for (size_t i = 0; i < im->n; i++)
		frame_unref(im->frames[i]);
	if (result == APPEND_OK)
		im->stored += im->n;
	im->unknown = result == APPEND_UNKNOWN;
	im->n = im->bytes = 0;
	return result == APPEND_OK ? 0 : -1;
}

int
importer_add(struct importer *im, const struct store_event *e)
{
	struct frame *f;

	if ((f = frame_new(e->topic, e->topic_len, e->name, e->name_len, e->data,
	    e->data_len, e->flags)) == NULL)
		return cli_fail(im->call, -1, "out of memory");
	im->frames[im->n] = f;
	im->times[im->n++] = e->time_ms;
	im->bytes += f->bytes;
	return im->n < BATCH_EVENTS && im->bytes < BATCH_BYTES ? 0 :
	    importer_flush(im);
}

int
importer_revoke(struct importer *im, const struct store_revocation *v, size_t n,
    int64_t forgotten_ms)
{
	char err[CLI_ERR_SIZE];

	if (store_import_revocations(im->st, v, n, forgotten_ms, err, sizeof err) == 0)
		return 0;
	cli_end_progress();
	return cli_fail(im->call, -1, "%s", err);
}

uint64_t
importer_stored(const struct importer *im)
{
	return im->stored;
}

int
importer_close(struct importer *im)
{
	int rc = store_close_alone(im->st);

	for (size_t i = 0; i < im->n; i++)
		frame_unref(im->frames[i]);
	free(im);
	return rc;
}

/*
 * A line.
 */

/* The fields, in the order of `seen` bits. */
enum field { F_ID, F_TOPIC, F_EVENT, F_TIME, F_DATA, F_JSON, F_COUNT };
static const char *const field_names[F_COUNT] = {
	"id", "topic", "event", "time", "data", "json"
};

struct line {
	struct buf	 text[F_COUNT];
	struct store_event e;
	size_t		 max_data;
	char		 why[256];	/* what is wrong with it */
};

static int
bad(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
bad(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(l->why, sizeof l->why, fmt, ap);
	va_end(ap);
	return -1;
}

/* RFC 3339, in UTC, as text_format_time() writes it; fractions beyond ms are cut. */
static int
parse_time(const char *p, size_t len, int64_t *ms)
{
	char text[40], *end, again[TEXT_TIME_SIZE];
	struct tm tm = { .tm_isdst = 0 };
	int fraction = 0, scale = 100;

	if (len >= sizeof text)
		return -1;
	memcpy(text, p, len);
	text[len] = '\0';
	if ((end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) == NULL ||
	    tm.tm_year < 70 || tm.tm_year > 9999 - 1900)
		return -1;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
			fraction += (*end - '0') * scale;
	if (strcmp(end, "Z") != 0)
		return -1;
	*ms = (int64_t)timegm(&tm) * 1000 + fraction;
	/* The 31st of June is no time. */
	text_format_time(again, *ms);
	return memcmp(again, text, 19) == 0 ? 0 : -1;
}

static enum field
field_of(const char *name, size_t len)
{
	int f;

	for (f = 0; f < F_COUNT; f++)
		if (strlen(field_names[f]) == len &&
		    memcmp(field_names[f], name, len) == 0)
			break;
	return (enum field)f;
}

/* A member of the line into its text; JSON data as it stands. */
static int
take_member(struct line *l, enum field f, struct json_slice v, unsigned int *seen)
{
	enum json_type type = json_typeof(v);

	if (*seen & 1u << f)
		return bad(l, "the field \"%s\" stands there twice", field_names[f]);
	*seen |= 1u << f;
	if (f == F_JSON) {
		if (type != JSON_TYPE_TRUE && type != JSON_TYPE_FALSE)
			return bad(l, "json must be true or false");
		if (type == JSON_TYPE_FALSE)
			*seen &= ~(1u << f);
		return 0;
	}
	if (f == F_DATA) {
		buf_add(&l->text[f], v.p, v.len);
		return 0;
	}
	if (f == F_EVENT && type == JSON_TYPE_NULL) {
		*seen &= ~(1u << f);
		return 0;
	}
	if (type != JSON_TYPE_STRING)
		return bad(l, "%s must be a string", field_names[f]);
	if (json_unescape(v, &l->text[f]) == -1)
		return bad(l, "%s holds half of a surrogate pair", field_names[f]);
	return 0;
}

/* What the members say, as an event. */
static int
check_line(struct line *l, unsigned int seen)
{
	const struct buf *topic = &l->text[F_TOPIC], *name = &l->text[F_EVENT],
	    *when = &l->text[F_TIME];
	struct buf *data = &l->text[F_DATA], plain = { 0 };
	struct json_slice v = { data->p, data->len };
	const char *why;
	bool is_text;

	if (!(seen & 1u << F_TOPIC))
		return bad(l, "the topic is missing");
	if (!(seen & 1u << F_DATA))
		return bad(l, "the data is missing (an empty string will do)");
	is_text = json_typeof(v) == JSON_TYPE_STRING && !(seen & 1u << F_JSON);
	if (is_text) {
		if (json_unescape(v, &plain) == -1)
			return bad(l, "data holds half of a surrogate pair");
		buf_fini(data);
		*data = plain;
	}
	l->e = (struct store_event){
		.flags = is_text ? 0 : EVENT_JSON, .time_ms = clock_wall_ms(),
		.topic = topic->p, .topic_len = topic->len,
		.name = seen & 1u << F_EVENT ? name->p : NULL, .name_len = name->len,
		.data = data->p != NULL ? data->p : "", .data_len = data->len,
	};
	switch (topic_classify(topic->len > 0 ? topic->p : "", topic->len, &why)) {
	case TOPIC_INVALID:
		return bad(l, "the topic %s", why);
	case TOPIC_PATTERN:
		return bad(l, "the topic is a pattern; events are in plain topics");
	case TOPIC_PLAIN:
		break;
	}
	if (seen & 1u << F_EVENT &&
	    (why = event_check_name(name->len > 0 ? name->p : "", name->len)) != NULL)
		return bad(l, "the event name %s", why);
	if ((why = event_check_data(l->e.data, l->e.data_len)) != NULL)
		return bad(l, "the data %s", why);
	if (l->e.data_len > l->max_data)
		return bad(l, "the data has %zu bytes; server.max_event allows %zu",
		    l->e.data_len, l->max_data);
	if (seen & 1u << F_TIME &&
	    parse_time(when->p, when->len, &l->e.time_ms) == -1)
		return bad(l, "the time is not one such as 2026-06-11T19:00:00.000Z");
	return 0;
}

static int
read_line(struct line *l, const char *p, size_t len)
{
	struct json_slice k, v, whole;
	struct json_cursor c;
	struct buf key = { 0 };
	unsigned int seen = 0;
	enum field f;
	int rc = 0;

	for (int i = 0; i < F_COUNT; i++)
		l->text[i].len = 0;
	json_open(&c, p, len);
	if (json_more(&c) == 0 || json_value(&c, &whole) == -1)
		return bad(l, "not valid JSON at byte %zu: %s",
		    (size_t)(c.p - c.start) + 1, c.error);
	if (json_more(&c) == 1)
		return bad(l, "something follows the object");
	if (json_typeof(whole) != JSON_TYPE_OBJECT)
		return bad(l, "a line is an object such as "
		    "{\"topic\":\"scores/7\",\"data\":\"Goal!\"}");
	json_open(&c, whole.p, whole.len);
	while (rc == 0 && json_next_member(&c, &k, &v) == 1) {
		key.len = 0;
		if (json_unescape(k, &key) == -1 ||
		    (f = field_of(key.p != NULL ? key.p : "", key.len)) == F_COUNT)
			rc = bad(l, "there is no field %.*s; there are topic, event, "
			    "time, data, id and json", (int)(k.len < 64 ? k.len : 64),
			    k.p);
		else
			rc = take_member(l, f, v, &seen);
	}
	buf_fini(&key);
	return rc == 0 ? check_line(l, seen) : rc;
}

/* Where it ended and how to go on. */
static int
end_early(const struct importer *im, const char *file, uint64_t next)
{
	if (im->unknown)
		fprintf(stderr, "%" PRIu64 " events of the lines before line %" PRIu64
		    " are stored; of the next nobody knows.\nLook for the line of\n"
		    "    fanfare export --db %s | tail -n 1\nand go on behind it.\n",
		    im->stored, next, im->path);
	else
		fprintf(stderr, "%" PRIu64 " events of the lines before line %" PRIu64
		    " are stored, nothing from it on.\nMend that and go on with\n"
		    "    tail -n +%" PRIu64 " %s | fanfare import --db %s\n", im->stored,
		    next, next, file != NULL ? file : "FILE", im->path);
	return CLI_FAILED;
}

static int
import_lines(struct importer *im, FILE *f, const char *file, size_t max_data)
{
	struct line l = { .max_data = max_data };
	uint64_t at = 0, next = 1;	/* the first line that is not stored */
	const char *why = NULL;
	char *p = NULL;
	size_t cap = 0;
	ssize_t len;
	int rc = 0;

	while (rc == 0 && (len = getline(&p, &cap, f)) > 0) {
		at++;
		if (strspn(p, " \t\r\n") == (size_t)len)
			continue;
		if (read_line(&l, p, (size_t)len) == -1) {
			why = l.why;
			break;
		}
		if ((rc = importer_add(im, &l.e)) == 0 && im->n == 0)
			next = at + 1;
		if (at % 1024 == 0)
			cli_show_progress(NULL, "importing events", at, 0);
	}
	if (rc == 0 && why == NULL && ferror(f)) {
		why = strerror(errno);
		at++;
	}
	if (rc == 0)
		rc = importer_flush(im);
	cli_end_progress();
	if (rc == 0 && why != NULL) {
		next = at;
		rc = cli_fail(im->call, -1, "line %" PRIu64 ": %s", at, why);
	}
	for (int i = 0; i < F_COUNT; i++)
		buf_fini(&l.text[i]);
	free(p);
	return rc == 0 ? CLI_OK : end_early(im, file, next);
}

int
cli_import(const struct cli_call *call)
{
	const char *file = call->n_operands > 0 &&
	    strcmp(call->operands[0], "-") != 0 ? call->operands[0] : NULL;
	char first[EVENT_ID_SIZE], last[EVENT_ID_SIZE];
	struct importer *im;
	struct event_id id;
	struct conf *c;
	FILE *f = stdin;
	int code;

	log_init(LOG_WARN, false);
	if ((c = cli_store_conf(call)) == NULL)
		return CLI_USAGE;
	if (file != NULL && (f = fopen(file, "re")) == NULL) {
		conf_free(c);
		return cli_fail(call, CLI_FAILED, "%s: %s", file, strerror(errno));
	}
	if ((im = importer_open(call, c->store_path)) == NULL)
		code = CLI_FAILED;
	else {
		code = import_lines(im, f, file, (size_t)c->max_event_bytes);
		if (code == CLI_OK)
			printf("%s: %" PRIu64 " events stored", c->store_path,
			    im->stored);
		if (code == CLI_OK && im->stored > 0) {
			id = store_head(im->st);
			(void)event_id_format(last, id);
			id.seq -= im->stored - 1;
			(void)event_id_format(first, id);
			printf(", %s to %s", first, last);
		}
		if (code == CLI_OK)
			printf("\n");
		/* Stored they are, and the next start reads them where they stand. */
		(void)importer_close(im);
	}
	if (file != NULL)
		fclose(f);
	conf_free(c);
	return fflush(stdout) == 0 ? code : CLI_FAILED;
}
