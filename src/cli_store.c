/*
 * cli_store.c - `backup`, `verify`, `export`, `recover`: the log as a file.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_internal.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "sse.h"
#include "store.h"
#include "store_tools.h"

#define SHOW_MS		200
#define SAVE_REVOCATIONS	256

static int64_t shown_ms;

void
cli_show_progress(void *arg, const char *what, uint64_t done, uint64_t of)
{
	int64_t now = clock_mono_ms();

	(void)arg;
	if (now - shown_ms < SHOW_MS || !isatty(STDERR_FILENO))
		return;
	shown_ms = now;
	if (of > 0)
		fprintf(stderr, "\r%s: %d %%\033[K", what, (int)(done * 100 / of));
	else if (done > 0)
		fprintf(stderr, "\r%s: %" PRIu64 "\033[K", what, done);
	else
		fprintf(stderr, "\r%s\033[K", what);
}

void
cli_end_progress(void)
{
	if (shown_ms != 0)
		fputs("\r\033[K", stderr);
	shown_ms = 0;
}

static const struct store_progress progress = { NULL, cli_show_progress };

struct conf *
cli_store_conf(const struct cli_call *call)
{
	char err[CLI_ERR_SIZE];
	struct conf *c;

	if ((c = cli_load_conf(call, err, sizeof err)) == NULL ||
	    conf_finish_path(c, err, sizeof err) == -1) {
		fprintf(stderr, "%s\n", err);
		conf_free(c);
		return NULL;
	}
	return c;
}

/* "id to id, time to time", or that there is nothing. */
static void
print_range(const struct store_extent *e)
{
	char from[EVENT_ID_SIZE], to[EVENT_ID_SIZE];
	char begun[TEXT_TIME_SIZE], ended[TEXT_TIME_SIZE];

	if (e->oldest.seq == 0) {
		printf("no events");
		return;
	}
	(void)event_id_format(from, e->oldest);
	(void)event_id_format(to, e->newest);
	text_format_time(begun, e->oldest_ms);
	text_format_time(ended, e->newest_ms);
	printf("%s to %s, %s to %s", from, to, begun, ended);
}

int
cli_backup(const struct cli_call *call)
{
	const char *to = call->operands[0];
	struct store_extent e;
	char err[CLI_ERR_SIZE];
	struct conf *c;
	int rc;

	log_init(LOG_WARN, false);
	if ((c = cli_store_conf(call)) == NULL)
		return CLI_USAGE;
	rc = store_backup(c->store_path, to, &progress, &e, err, sizeof err);
	cli_end_progress();
	conf_free(c);
	if (rc == -1)
		return cli_fail(call, CLI_FAILED, "%s", err);
	printf("%s: ", to);
	print_range(&e);
	printf(", %" PRIu64 " bytes\n", e.file_bytes);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static void
print_fault(void *arg, const char *text)
{
	cli_end_progress();
	printf("%s: %s\n", (const char *)arg, text);
}

int
cli_verify(const struct cli_call *call)
{
	char err[CLI_ERR_SIZE], *path;
	struct store_extent e;
	uint64_t faults;
	struct conf *c;
	int rc;

	log_init(LOG_WARN, false);
	if ((c = cli_store_conf(call)) == NULL)
		return CLI_USAGE;
	path = call->n_operands > 0 ? call->operands[0] : c->store_path;
	rc = store_verify(path, &progress, print_fault, path, &faults, &e, err,
	    sizeof err);
	cli_end_progress();
	if (rc == -1) {
		(void)cli_fail(call, 0, "%s", err);
		conf_free(c);
		return CLI_FAILED;
	}
	printf("%s: %" PRIu64 " events (", path, e.events);
	print_range(&e);
	printf("), %" PRIu64 " bytes in a file of %" PRIu64 "; %" PRIu64 " topics, %"
	    PRIu64 " of them empty; %" PRIu64 " segments, %" PRIu64 " epochs, %" PRIu64
	    " idempotency keys", e.bytes, e.file_bytes, e.topics, e.topics_empty,
	    e.segments, e.epochs, e.keys);
	if (e.revocations > 0)
		printf(", %" PRIu64 " revocations", e.revocations);
	if (e.pruned > 0)
		printf("; pruned up to seq %" PRIu64, e.pruned);
	printf(faults == 0 ? ": all is well\n" : ": %" PRIu64 " faults; restore a "
	    "backup, or save what can be read with \"fanfare recover\"\n", faults);
	conf_free(c);
	return fflush(stdout) == 0 && faults == 0 ? CLI_OK : CLI_FAILED;
}

/*
 * export
 */

struct printing {
	struct buf	line, data;
	bool		failed;
};

/* As in the envelope, on one line.  JSON that is a string would read as text, so that is
 * said. */
static bool
print_event(void *arg, const struct store_event *e)
{
	struct printing *p = arg;
	struct json_slice v = { e->data, e->data_len };
	const char *data = e->data;
	size_t len = e->data_len;
	char id[EVENT_ID_SIZE];
	struct json_cursor c;

	p->line.len = p->data.len = 0;
	if (e->flags & EVENT_JSON) {
		json_open(&c, data, len);
		if (json_more(&c) == 1 && json_value(&c, &v) == 0)
			json_compact(v, &p->data);
		data = p->data.p;
		len = p->data.len;
	}
	(void)event_id_format(id, e->id);
	sse_add_envelope(&p->line, id, e->topic, e->topic_len, e->name, e->name_len,
	    e->time_ms, e->flags, data, len);
	if (e->flags & EVENT_JSON && len > 0 && *data == '"') {
		p->line.len--;
		buf_adds(&p->line, ",\"json\":true}");
	}
	buf_addc(&p->line, '\n');
	p->failed = p->line.failed || p->data.failed ||
	    fwrite(p->line.p, 1, p->line.len, stdout) != p->line.len;
	return !p->failed;
}

/* The operands as topics.  0 or an exit code. */
static int
take_patterns(const struct cli_call *call, struct topics **t)
{
	struct topic_name *v;
	const char *why;
	size_t i;
	int code = 0;

	*t = NULL;
	if (call->n_operands == 0)
		return 0;
	if ((v = calloc(call->n_operands, sizeof *v)) == NULL)
		return cli_fail(call, CLI_FAILED, "out of memory");
	for (i = 0; i < call->n_operands && code == 0; i++) {
		v[i].p = call->operands[i];
		v[i].len = strlen(v[i].p);
		if (topic_classify(v[i].p, v[i].len, &why) == TOPIC_INVALID)
			code = cli_usage(call, "\"%s\": the pattern %s", v[i].p, why);
	}
	if (code == 0 && (*t = topics_new(v, i)) == NULL)
		code = cli_fail(call, CLI_FAILED, "out of memory");
	free(v);
	return code;
}

int
cli_export(const struct cli_call *call)
{
	const char *after = cli_value(call, "after");
	struct printing p = { .failed = false };
	struct store_export x = { .take = print_event, .arg = &p };
	struct topics *t = NULL;
	char err[CLI_ERR_SIZE];
	struct conf *c;
	int code;

	log_init(LOG_WARN, false);
	if (after != NULL && event_id_parse(after, strlen(after), &x.after) == -1)
		return cli_usage(call, "--after: \"%s\" is not an id, such as "
		    "6f3a9c2e-1042", after);
	x.has_after = after != NULL;
	if ((c = cli_store_conf(call)) == NULL)
		return CLI_USAGE;
	if ((code = take_patterns(call, &t)) != 0)
		goto out;
	x.topics = t;
	code = CLI_FAILED;
	if (store_export(c->store_path, &x, isatty(STDOUT_FILENO) ? NULL : &progress,
	    err, sizeof err) == -1)
		(void)cli_fail(call, 0, "%s", err);
	else if (p.failed || fflush(stdout) != 0)
		(void)cli_fail(call, 0, "the output cannot be written");
	else
		code = CLI_OK;
	cli_end_progress();
	if (code == CLI_OK && x.gap)
		(void)cli_fail(call, 0, "some events behind %s may have been pruned",
		    after);
out:
	topics_unref(t);
	buf_fini(&p.line);
	buf_fini(&p.data);
	conf_free(c);
	return code;
}

/*
 * recover
 */

struct saving {
	struct importer	*im;
	uint64_t	 refused;	/* read, but no event */
	bool		 failed;
	struct store_revocation revocations[SAVE_REVOCATIONS];
	size_t		 n_revocations;
};

static void
save_revocations(struct saving *s, int64_t forgotten_ms)
{
	if (!s->failed && importer_revoke(s->im, s->revocations, s->n_revocations,
	    forgotten_ms) == -1)
		s->failed = true;
	s->n_revocations = 0;
}

static void
save_revocation(void *arg, const struct store_revocation *r)
{
	struct saving *s = arg;

	s->revocations[s->n_revocations++] = *r;
	if (s->n_revocations == SAVE_REVOCATIONS)
		save_revocations(s, 0);
}

static bool
save_event(void *arg, const struct store_event *e)
{
	struct saving *s = arg;
	const char *why;

	/* Rows without a sum may be anything. */
	if (topic_classify(e->topic, e->topic_len, &why) != TOPIC_PLAIN ||
	    (e->name != NULL && event_check_name(e->name, e->name_len) != NULL) ||
	    event_check_data(e->data, e->data_len) != NULL) {
		s->refused++;
		return true;
	}
	s->failed = importer_add(s->im, e) == -1;
	return !s->failed;
}

int
cli_recover(const struct cli_call *call)
{
	const char *path = call->operands[0], *to = call->operands[1];
	struct saving s = { .im = NULL };
	struct store_export x = { .salvage = true, .take = save_event,
	    .revoked = save_revocation, .arg = &s };
	char err[CLI_ERR_SIZE];
	long pid;

	log_init(LOG_WARN, false);
	if (store_is_held(path, &pid))
		return cli_fail(call, CLI_FAILED, "%s: in use by process %ld; stop that "
		    "server first", path, pid);
	if (access(path, R_OK) == -1)
		return cli_fail(call, CLI_FAILED, "%s: there is no such file that may "
		    "be read", path);
	if (access(to, F_OK) == 0)
		return cli_fail(call, CLI_FAILED, "%s: is there already; give it "
		    "another name", to);
	if ((s.im = importer_open(call, to)) == NULL)
		return CLI_FAILED;
	if (store_export(path, &x, &progress, err, sizeof err) == -1) {
		cli_end_progress();
		(void)cli_fail(call, 0, "%s", err);
		s.failed = true;
	}
	cli_end_progress();
	save_revocations(&s, x.forgotten_ms);
	if (s.failed || importer_flush(s.im) == -1) {
		(void)importer_close(s.im);
		return CLI_FAILED;
	}
	printf("%s: %" PRIu64 " events saved", to, importer_stored(s.im));
	if (x.expected > 0)
		printf(" of about %" PRIu64, x.expected);
	printf("; %" PRIu64 " were damaged and are left out, %" PRIu64
	    " places could not be read\n", x.damaged + s.refused, x.unreadable);
	if (x.unchecked)
		printf("their sums could not be checked: the epochs are damaged\n");
	if (x.revocations_lost)
		printf("some revocations of tokens could not be read: revoke those tokens "
		    "again, or change\nthe keys they are signed with, before you start the "
		    "server\n");
	if (importer_close(s.im) == -1)
		return cli_fail(call, CLI_FAILED, "%s: is not whole without %s-wal; start "
		    "a server on it and stop that, and put it in its place then", to,
		    to);
	fprintf(stderr, "Put it in the place of %s (and of its -wal and -shm), keep that "
	    "one aside, and start the\nserver: every page that comes back gets a "
	    "fanfare.gap, \"reset\".\n", path);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
