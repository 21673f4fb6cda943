/*
 * cli_tail.c - follow a stream as a browser would, and print it.
 *
 * Gives up only when that is certain to be right: the first connection fails,
 * the server refuses the request, or says that the credential has ended.  After
 * any other end it comes back with Last-Event-ID, when the server wants it to.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "cli_client.h"
#include "clock.h"
#include "event.h"
#include "json.h"
#include "sse.h"
#include "text.h"
#include "topic.h"

#define MAX_BLOCK_BYTES	((size_t)256 << 20)	/* one event */
#define MAX_WAIT_MS	(60 * 60 * 1000)	/* whatever the server says */
/* No heartbeat is rarer than 5 minutes and its jitter. */
#define SILENCE_MS	(8 * 60 * 1000)

enum form { FORM_FIELDS, FORM_JSON, FORM_RAW };

struct tail {
	struct cli_client	 cl;
	struct sse_reader reader;
	enum form	 form;
	bool		 is_counted;	/* --once */
	uint64_t	 left;		/* of it */
	bool		 was_open;	/* ever: then we do not give up */
	bool		 is_stream;	/* this answer is one */
	bool		 is_over;	/* leave with `code` */
	int		 code;
	struct buf	 body;		/* of an answer that is no stream */
	int64_t		 heard_ms;	/* when the last bytes came */
	bool		 is_silent;	/* gave this connection up */
	int64_t		 close_retry_ms; /* by fanfare.close, or -1 */
};

static void
stop(struct tail *t, int code)
{
	t->is_over = true;
	t->code = code;
}

static void
print_event(struct tail *t, const char *data, size_t len)
{
	struct buf topic = { 0 }, event = { 0 }, text = { 0 };
	struct json_slice value;
	bool is_text;

	if (t->form == FORM_JSON) {
		cli_print_visibly(stdout, data, len, false);
		goto done;
	}
	if (!cli_member_text(data, len, "topic", &topic) ||
	    !cli_member(data, len, "data", &value)) {
		(void)cli_fail(t->cl.call, 0, "this is not a fanfare server: "
		    "an event came without its envelope");
		stop(t, CLI_FAILED);
		goto done_buffers;
	}
	is_text = json_typeof(value) == JSON_TYPE_STRING &&
	    json_unescape(value, &text) == 0 && !text.failed;
	if (is_text) {
		value.p = text.p;
		value.len = text.len;
	}
	if (t->form == FORM_RAW) {
		if (value.len > 0)
			fwrite(value.p, 1, value.len, stdout);
		goto done;
	}
	if (!cli_member_text(data, len, "event", &event))
		buf_adds(&event, "message");
	cli_print_visibly(stdout, topic.p, topic.len, true);
	putchar('\t');
	cli_print_visibly(stdout, event.p, event.len, true);
	putchar('\t');
	cli_print_visibly(stdout, value.p, value.len, is_text);

done:
	putchar('\n');
	if (fflush(stdout) != 0) {
		/* Nobody reads on: that is no error of ours, but the end. */
		stop(t, CLI_FAILED);
	} else if (t->is_counted && --t->left == 0)
		stop(t, CLI_OK);
done_buffers:
	buf_fini(&topic);
	buf_fini(&event);
	buf_fini(&text);
}

static void
on_close(struct tail *t, const char *data, size_t len, struct buf *reason_text)
{
	static const char *const final[] = { "expired", "revoked",
	    "unauthorized", "forbidden" };
	struct buf detail = { 0 };
	struct json_slice retry;
	uint64_t ms;
	size_t i;

	(void)cli_member_text(data, len, "detail", &detail);
	fprintf(stderr, "fanfare tail: the server ends the stream: ");
	cli_print_visibly(stderr, reason_text->p, reason_text->len, false);
	if (detail.len > 0) {
		fputs(": ", stderr);
		cli_print_visibly(stderr, detail.p, detail.len, false);
	}
	fputc('\n', stderr);
	buf_fini(&detail);
	if (cli_member(data, len, "retry", &retry) &&
	    text_parse_u64(retry.p, retry.len, &ms) == 0 && ms <= MAX_WAIT_MS)
		t->close_retry_ms = (int64_t)ms;
	for (i = 0; i < sizeof final / sizeof final[0]; i++)
		if (reason_text->len == strlen(final[i]) &&
		    memcmp(reason_text->p, final[i], reason_text->len) == 0)
			stop(t, CLI_FAILED);
}

static void
on_gap(const char *data, size_t len, const struct buf *reason_text)
{
	struct buf requested = { 0 }, oldest = { 0 };

	fprintf(stderr, "fanfare tail: events are missing here: ");
	cli_print_visibly(stderr, reason_text->p, reason_text->len, false);
	if (cli_member_text(data, len, "requested", &requested)) {
		fprintf(stderr, ", asked for what follows ");
		cli_print_visibly(stderr, requested.p, requested.len, false);
	}
	if (cli_member_text(data, len, "oldest", &oldest)) {
		fprintf(stderr, ", the oldest is ");
		cli_print_visibly(stderr, oldest.p, oldest.len, false);
	}
	fputc('\n', stderr);
	buf_fini(&requested);
	buf_fini(&oldest);
}

/* What the server says itself. */
static void
on_control(struct tail *t, const char *name, const char *data, size_t len,
    const char *id)
{
	struct buf reason_text = { 0 };

	(void)cli_member_text(data, len, "reason", &reason_text);
	if (strcmp(name, "fanfare.close") == 0)
		on_close(t, data, len, &reason_text);
	else if (strcmp(name, "fanfare.gap") == 0)
		on_gap(data, len, &reason_text);
	else if (strcmp(name, "fanfare.live") == 0)
		fprintf(stderr, "fanfare tail: live%s%s\n",
		    *id != '\0' ? " after " : "", id);
	else if (strcmp(name, "fanfare.expiring") == 0)
		fprintf(stderr, "fanfare tail: the credential is about to "
		    "expire\n");
	buf_fini(&reason_text);
}

static void
on_event(void *arg, const char *name, const char *data, size_t data_len,
    const char *id)
{
	struct tail *t = arg;

	if (t->is_over)
		return;
	if (strncmp(name, "fanfare.", 8) == 0)
		on_control(t, name, data, data_len, id == NULL ? "" : id);
	else
		print_event(t, data, data_len);
}

/* Is this answer an event stream?  Looked at when its first bytes come. */
static bool
is_stream(CURL *h)
{
	const char *type = NULL;
	long status = 0;

	return curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE,
	    &status) == CURLE_OK && status == 200 &&
	    curl_easy_getinfo(h, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK &&
	    type != NULL && strncmp(type, "text/event-stream", 17) == 0;
}

static size_t
take_stream(char *p, size_t size, size_t n, void *arg)
{
	struct tail *t = arg;

	t->heard_ms = clock_mono_ms();
	if (!t->is_stream && t->body.len == 0)
		t->is_stream = is_stream(t->cl.curl);
	if (!t->is_stream)
		return cli_take_answer(p, size, n, &t->body);
	t->was_open = true;
	if (sse_reader_feed(&t->reader, p, size * n) == -1 && !t->is_over) {
		(void)cli_fail(t->cl.call, 0, "an event is larger than this "
		    "can take");
		stop(t, CLI_FAILED);
	}
	return t->is_over ? 0 : size * n;
}

/* Called about once a second: a server that fell silent is gone. */
static int
watch(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct tail *t = arg;

	(void)a, (void)b, (void)c, (void)d;
	if (clock_mono_ms() - t->heard_ms < SILENCE_MS)
		return 0;
	t->is_silent = true;
	return 1;
}

/* The request's URL, which stays the same over all connections: the
 * Last-Event-ID header wins over what it says. */
static int
make_url(const struct tail *t, struct buf *url)
{
	static const char *const names[] = { "after", "replay", "since" };
	const struct cli_call *call = t->cl.call;
	const char *value;
	char *escaped;
	size_t i;

	buf_adds(url, t->cl.base);
	buf_adds(url, "/events?format=envelope");
	for (i = 0; i < call->n_operands; i++) {
		if ((escaped = curl_easy_escape(t->cl.curl, call->operands[i],
		    0)) == NULL)
			return -1;
		buf_addf(url, "&topic=%s", escaped);
		curl_free(escaped);
	}
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if ((value = cli_value(call, names[i])) != NULL)
			buf_addf(url, "&%s=%s", names[i], value);
	buf_addc(url, '\0');
	return url->failed ? -1 : 0;
}

static struct curl_slist *
make_headers(const struct tail *t)
{
	struct curl_slist *l;

	l = cli_add_header(NULL, "Accept", "text/event-stream");
	if (l != NULL)
		l = cli_add_header(l, "Cache-Control", "no-cache");
	if (l != NULL && t->cl.secret != NULL)
		l = cli_add_credential(l, &t->cl);
	/* It ends in NUL once there is one, and an empty one is none. */
	if (l != NULL && t->reader.id.p != NULL && *t->reader.id.p != '\0' &&
	    !text_has_control(t->reader.id.p, strlen(t->reader.id.p)))
		l = cli_add_header(l, "Last-Event-ID", t->reader.id.p);
	return l;
}

/* One connection, until it ends.  Says what is to be said of its end; returns how
 * long to stay away. */
static int64_t
follow(struct tail *t, const char *url)
{
	struct curl_slist *headers;
	struct buf code = { 0 };
	CURL *h = t->cl.curl;
	curl_off_t after = 0;
	int64_t wait_ms;
	long status = 0;
	CURLcode rc;

	t->is_stream = t->is_silent = false;
	t->close_retry_ms = -1;
	t->body.len = 0;
	t->heard_ms = clock_mono_ms();
	sse_reader_reset(&t->reader);
	headers = make_headers(t);
	if (headers == NULL || cli_set_common(&t->cl, url, headers) == -1 ||
	    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION,
	    take_stream) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_WRITEDATA, t) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, watch) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_XFERINFODATA, t) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L) != CURLE_OK) {
		stop(t, cli_fail(t->cl.call, CLI_FAILED,
		    "libcurl refuses an option"));
		curl_slist_free_all(headers);
		return 0;
	}
	rc = curl_easy_perform(h);
	curl_slist_free_all(headers);
	(void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	wait_ms = t->close_retry_ms >= 0 ? t->close_retry_ms :
	    t->reader.retry_ms >= 0 ? t->reader.retry_ms : 3000;
	if (wait_ms > MAX_WAIT_MS)
		wait_ms = MAX_WAIT_MS;
	if (t->is_over)
		return 0;
	if (t->is_silent || (rc != CURLE_OK && !t->is_stream)) {
		(void)cli_fail(t->cl.call, 0, "%s: %s", t->cl.base,
		    t->is_silent ?
		    "no sign of life for eight minutes" : cli_reason(&t->cl,
		    rc));
	} else if (!t->is_stream) {
		if (status == 200)
			(void)cli_fail(t->cl.call, 0, "%s answers, but with no "
			    "event stream", t->cl.base);
		else
			(void)cli_tell_problem(&t->cl, status, &t->body, &code);
		/* Only load and trouble pass by themselves. */
		if (status != 429 && status < 500)
			stop(t, CLI_FAILED);
		if (curl_easy_getinfo(h, CURLINFO_RETRY_AFTER,
		    &after) == CURLE_OK &&
		    after > 0 && after <= MAX_WAIT_MS / 1000)
			wait_ms = (int64_t)after * 1000;
	} else if (t->close_retry_ms < 0)
		(void)cli_fail(t->cl.call, 0, "the connection ended: %s",
		    rc == CURLE_OK ? "closed by the server" : cli_reason(&t->cl,
		    rc));
	buf_fini(&code);
	if (!t->was_open)
		stop(t, CLI_FAILED);
	return wait_ms;
}

static void
wait_a_while(int64_t ms)
{
	struct timespec ts;

	/* The server spreads its `retry:`; we spread what it did not ask
	 * for. */
	ms += (int64_t)clock_random(500);
	ts.tv_sec = ms / 1000;
	ts.tv_nsec = ms % 1000 * 1000000;
	(void)nanosleep(&ts, NULL);	/* woken early: try early */
}

/* Options with a form of their own.  0 or an exit code. */
static int
check_tail_options(struct tail *t, const struct cli_call *call)
{
	const char *after = cli_value(call, "after"), *since = cli_value(call,
	    "since"), *replay = cli_value(call, "replay"),
	    *once = cli_value(call,
	    "once"), *why;
	struct event_id id;
	uint64_t n;
	int64_t ms;
	size_t i;

	for (i = 0; i < call->n_operands; i++)
		if (topic_classify(call->operands[i], strlen(call->operands[i]),
		    &why) == TOPIC_INVALID)
			return cli_usage(call, "the pattern %s", why);
	if (after != NULL && event_id_parse(after, strlen(after), &id) == -1)
		return cli_usage(call, "--after: \"%s\" is no id of an event, "
		    "such as 6f3a9c2e-1042", after);
	if (replay != NULL && (text_parse_u64(replay, strlen(replay),
	    &n) == -1 || n > 1000))
		return cli_usage(call, "--replay: \"%s\" is not a number up to "
		    "1000", replay);
	if (since != NULL && (text_parse_duration_ms(since, strlen(since),
	    &ms) == -1 || ms < 1))
		return cli_usage(call, "--since: \"%s\" is not a time such as "
		    "15m", since);
	if (once != NULL) {
		if (text_parse_u64(once, strlen(once), &t->left) == -1 ||
		    t->left == 0)
			return cli_usage(call, "--once: \"%s\" is not a number "
			    "of events", once);
		t->is_counted = true;
	}
	if (cli_has(call, "json") && cli_has(call, "raw"))
		return cli_usage(call, "--json and --raw exclude each other");
	t->form = cli_has(call, "json") ? FORM_JSON : cli_has(call, "raw") ?
	    FORM_RAW : FORM_FIELDS;
	return 0;
}

int
cli_tail(const struct cli_call *call)
{
	struct tail t = { .code = CLI_FAILED };
	struct buf url = { 0 };
	int64_t wait_ms;
	int code;

	if ((code = check_tail_options(&t, call)) != 0)
		return code;
	if ((code = cli_client_init(&t.cl, call)) != 0) {
		cli_client_fini(&t.cl);
		return code;
	}
	t.reader.max_bytes = MAX_BLOCK_BYTES;
	t.reader.arg = &t;
	t.reader.on_event = on_event;
	if (make_url(&t, &url) == -1)
		stop(&t, cli_fail(call, CLI_FAILED, "out of memory"));
	while (!t.is_over) {
		wait_ms = follow(&t, url.p);
		if (!t.is_over)
			wait_a_while(wait_ms);
	}
	sse_reader_fini(&t.reader);
	buf_fini(&t.body);
	buf_fini(&url);
	cli_client_fini(&t.cl);
	return t.code;
}
