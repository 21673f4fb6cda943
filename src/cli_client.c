/*
 * cli_client.c - being a client of a running server: whom to ask, as whom, and
 * `publish`.  `tail` is in cli_tail.c.
 *
 * Everything that comes from the server is shown with its control characters
 * made visible, because events are written by others.  A publish is never
 * repeated by itself: when its outcome is unknown, that is said, and how to
 * repeat it safely.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "cli_client.h"
#include "event.h"
#include "text.h"
#include "topic.h"

#define MAX_DATA_BYTES		((size_t)64 << 20)	/* what publish reads */
#define MAX_ANSWER_BYTES	((size_t)1 << 20)
#define CONNECT_TIMEOUT_MS	10000L

/*
 * Whom to ask, and as whom.
 */

static char *
copy(const char *p, size_t len)
{
	return strndup(p, len);
}

/* http://..., https://... or unix:/path.  0, or -1 and told. */
static int
set_url(struct cli_client *cl, const char *url)
{
	size_t len = strlen(url);

	if (strncmp(url, "unix:/", 6) == 0) {
		cl->socket = strdup(url + 5);
		cl->base = strdup("http://localhost");
	} else if ((strncmp(url, "http://", 7) == 0 && len > 7) ||
	    (strncmp(url, "https://", 8) == 0 && len > 8)) {
		if (strpbrk(url, "?#") != NULL || text_has_control(url, len) ||
		    strchr(url, ' ') != NULL)
			return cli_usage(cl->call, "the URL of the server ends "
			    "before the path: http://localhost:8080"), -1;
		while (url[len - 1] == '/')
			len--;
		cl->base = copy(url, len);
	} else
		return cli_usage(cl->call, "\"%s\" is no URL of a server; "
		    "write http://..., https://... or unix:/path", url), -1;
	if (cl->base == NULL)
		return cli_fail(cl->call, -1, "out of memory");
	return 0;
}

/* The URL of the first address that a server with this configuration has. */
static int
set_url_of_conf(struct cli_client *cl, const struct conf *c)
{
	struct conf_listen l;
	char url[320], why[256];
	const char *host;

	if (conf_parse_listen(c->listen.v[0], &l, why, sizeof why) == -1)
		return cli_fail(cl->call, -1, "server.listen %s", why);
	host = l.host;
	/* "Every address" is nobody's: ask this machine. */
	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	if (l.is_unix)
		(void)snprintf(url, sizeof url, "unix:%s", l.path);
	else
		(void)snprintf(url, sizeof url, strchr(host, ':') != NULL ?
		    "http://[%s]:%s" : "http://%s:%s", host, l.port);
	return set_url(cl, url);
}

/* Take the secret out of `text`: a bare key or token, or NAME:SECRET[:PATTERN
 * ...]. A token has no colon, nor has a secret.  0, or -1 and told. */
static int
set_secret(struct cli_client *cl, const char *text, const char *where)
{
	const char *p = text + strspn(text, " \t\r\n");
	size_t len = strcspn(p, "\r\n"), i;
	const char *colon = memchr(p, ':', len);

	if (colon != NULL) {
		len -= (size_t)(colon + 1 - p);
		p = colon + 1;
		if ((colon = memchr(p, ':', len)) != NULL)
			len = (size_t)(colon - p);
	}
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	for (i = 0; i < len && isgraph((unsigned char)p[i]); i++)
		;
	if (len == 0 || i < len)
		return cli_fail(cl->call, -1, "%s: holds no key; "
		    "\"fanfare key\" makes them", where);
	if ((cl->secret = copy(p, len)) == NULL)
		return cli_fail(cl->call, -1, "out of memory");
	return 0;
}

/* The first line of a file that is neither empty nor a comment. */
static int
set_secret_of_file(struct cli_client *cl, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	FILE *f;
	int r;

	if ((f = fopen(path, "re")) == NULL)
		return cli_fail(cl->call, -1, "%s: %s", path, strerror(errno));
	for (;;) {
		errno = 0;
		if (getline(&line, &cap, f) == -1) {
			r = cli_fail(cl->call, -1, "%s: %s", path, errno != 0 ?
			    strerror(errno) : "holds no key");
			break;
		}
		if (*line == '#' || line[strspn(line, " \t\r\n")] == '\0')
			continue;
		r = set_secret(cl, line, path);
		break;
	}
	free(line);
	fclose(f);
	return r;
}

int
cli_client_init(struct cli_client *cl, const struct cli_call *call)
{
	const char *url = cli_value(call, "url"), *key = getenv(
	    "FANFARE_API_KEY"), *file = cli_value(call, "api-key-file");
	struct conf *c = NULL;
	char err[CLI_ERR_SIZE];
	int r = 0;

	memset(cl, 0, sizeof *cl);
	cl->call = call;
	if (url == NULL || *url == '\0')
		url = getenv("FANFARE_URL");
	if (url != NULL && *url != '\0')
		r = set_url(cl, url);
	if (r == 0 && file != NULL)
		r = set_secret_of_file(cl, file);
	else if (r == 0 && key != NULL && *key != '\0')
		r = set_secret(cl, key, "FANFARE_API_KEY");
	if (r == 0 && (cl->base == NULL || cl->secret == NULL)) {
		if ((c = cli_load_conf(call, err, sizeof err)) == NULL) {
			fprintf(stderr, "%s\n", err);
			r = -1;
		}
		if (r == 0 && cl->base == NULL)
			r = set_url_of_conf(cl, c);
		if (r == 0 && cl->secret == NULL && c->api_keys.n > 0)
			r = set_secret(cl, c->api_keys.v[0], "auth.api_keys");
		else if (r == 0 && cl->secret == NULL &&
		    c->api_keys_file != NULL)
			r = set_secret_of_file(cl, c->api_keys_file);
		conf_free(c);
	}
	if (r == -1)
		return CLI_USAGE;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (cl->curl = curl_easy_init()) == NULL)
		return cli_fail(call, CLI_FAILED, "libcurl does not start");
	return 0;
}

void
cli_client_fini(struct cli_client *cl)
{
	curl_easy_cleanup(cl->curl);
	free(cl->base);
	free(cl->socket);
	free(cl->secret);
}

struct curl_slist *
cli_add_header(struct curl_slist *list, const char *name, const char *value)
{
	struct buf b = { 0 };
	struct curl_slist *longer;

	buf_adds(&b, name);
	buf_adds(&b, ": ");
	buf_adds(&b, value);
	buf_addc(&b, '\0');
	longer = b.failed ? NULL : curl_slist_append(list, b.p);
	buf_fini(&b);
	if (longer == NULL)
		curl_slist_free_all(list);
	return longer;
}

struct curl_slist *
cli_add_credential(struct curl_slist *list, const struct cli_client *cl)
{
	struct buf bearer = { 0 };

	buf_adds(&bearer, "Bearer ");
	buf_adds(&bearer, cl->secret);
	buf_addc(&bearer, '\0');
	if (bearer.failed) {
		curl_slist_free_all(list);
		list = NULL;
	} else
		list = cli_add_header(list, "Authorization", bearer.p);
	buf_fini(&bearer);
	return list;
}

int
cli_set_common(struct cli_client *cl, const char *url,
    struct curl_slist *headers)
{
	static const char agent[] = "fanfare/" PACKAGE_VERSION;
	const char *host = strstr(cl->base, "://") + 3;
	CURL *h = cl->curl;

	/* What a proxy of the environment is for never is this machine. */
	if ((strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
	    strncmp(host, "localhost", 9) == 0) &&
	    curl_easy_setopt(h, CURLOPT_PROXY, "") != CURLE_OK)
		return -1;
	if (cl->socket != NULL && curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH,
	    cl->socket) != CURLE_OK)
		return -1;
	if (curl_easy_setopt(h, CURLOPT_URL, url) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_USERAGENT, agent) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, cl->error) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS,
	    CONNECT_TIMEOUT_MS) != CURLE_OK)
		return -1;
	cl->error[0] = '\0';
	return 0;
}

const char *
cli_reason(const struct cli_client *cl, CURLcode rc)
{
	return cl->error[0] != '\0' ? cl->error : curl_easy_strerror(rc);
}

void
cli_print_visibly(FILE *f, const char *p, size_t len, bool is_text)
{
	unsigned char c;
	size_t i;

	for (i = 0; i < len; i++) {
		c = (unsigned char)p[i];
		if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c == '\r')
			fputs("\\r", f);
		else if (c == '\\' && is_text)
			fputs("\\\\", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else if (c == 0xc2 && i + 1 < len &&
		    (unsigned char)p[i + 1] < 0xa0)
			fprintf(f, "\\u%04x", (unsigned char)p[++i]);
		else
			fputc(c, f);
	}
}

bool
cli_member(const char *p, size_t len, const char *name,
    struct json_slice *value)
{
	struct json_slice all, key;
	struct json_cursor c;

	json_open(&c, p, len);
	if (json_value(&c, &all) == -1 || json_typeof(all) != JSON_TYPE_OBJECT)
		return false;
	json_open(&c, all.p, all.len);
	while (json_next_member(&c, &key, value) == 1)
		if (key.len == strlen(name) + 2 &&
		    memcmp(key.p + 1, name, key.len - 2) == 0)
			return true;
	return false;
}

bool
cli_member_text(const char *p, size_t len, const char *name, struct buf *b)
{
	struct json_slice value;

	return cli_member(p, len, name, &value) &&
	    json_typeof(value) == JSON_TYPE_STRING &&
	    json_unescape(value, b) == 0 && !b->failed;
}

bool
cli_tell_problem(const struct cli_client *cl, long status,
    const struct buf *body, struct buf *code)
{
	struct buf detail = { 0 };
	char *location = NULL;
	bool ours;

	ours = cli_member_text(body->p, body->len, "code", code);
	fprintf(stderr, "fanfare %s: ", cl->call->command->name);
	if (ours && (cli_member_text(body->p, body->len, "detail", &detail) ||
	    cli_member_text(body->p, body->len, "title", &detail))) {
		cli_print_visibly(stderr, detail.p, detail.len, false);
		fprintf(stderr, " (%ld ", status);
		cli_print_visibly(stderr, code->p, code->len, false);
		fputs(")\n", stderr);
	} else if (curl_easy_getinfo(cl->curl, CURLINFO_REDIRECT_URL,
	    &location) == CURLE_OK && location != NULL) {
		fprintf(stderr, "%s answered %ld and points to ", cl->base,
		    status);
		cli_print_visibly(stderr, location, strlen(location), false);
		fputs("; give that as --url\n", stderr);
	} else
		fprintf(stderr, "%s answered %ld\n", cl->base, status);
	buf_fini(&detail);
	return ours;
}

/*
 * publish
 */

size_t
cli_take_answer(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;

	if (b->len + size * n > MAX_ANSWER_BYTES)
		return 0;
	buf_add(b, p, size * n);
	return b->failed ? 0 : size * n;
}

/* Is `data` one JSON value and nothing else?  0, or -1 and told. */
static int
check_json(const struct cli_call *call, const char *data, size_t len)
{
	struct json_slice value;
	struct json_cursor c;

	json_open(&c, data, len);
	if (json_value(&c, &value) == -1)
		return cli_fail(call, -1, "the data is not JSON: %s, at byte "
		    "%zu", c.error, (size_t)(c.p - c.start) + 1);
	if (json_more(&c))
		return cli_fail(call, -1, "the data is not JSON: there is more "
		    "behind the value, at byte %zu",
		    (size_t)(c.p - c.start) + 1);
	return 0;
}

/* Refuse here what the server would refuse, with less ado.  0, or -1 and
 * told. */
static int
check_event(const struct cli_call *call, const char *topic, const char *data,
    size_t len)
{
	const char *why, *event = cli_value(call, "event"),
	    *key = cli_value(call, "key");

	switch (topic_classify(topic, strlen(topic), &why)) {
	case TOPIC_INVALID:
		return cli_fail(call, -1, "the topic %s", why);
	case TOPIC_PATTERN:
		return cli_fail(call, -1, "\"%s\" is a pattern; an event goes "
		    "to one topic", topic);
	case TOPIC_PLAIN:
		break;
	}
	if (event != NULL &&
	    (why = event_check_name(event, strlen(event))) != NULL)
		return cli_fail(call, -1, "the event name %s", why);
	if (key != NULL && strncmp(key, "ffk_", 4) == 0)
		return cli_fail(call, -1, "--key is for an idempotency key; an "
		    "API key goes into FANFARE_API_KEY or a file");
	if (key != NULL && (why = event_check_key(key, strlen(key))) != NULL)
		return cli_fail(call, -1, "the idempotency key %s", why);
	if (cli_has(call, "json"))
		return check_json(call, data, len);
	if ((why = event_check_data(data, len)) != NULL)
		return cli_fail(call, -1, "the data %s", why);
	return 0;
}

static void
add_member(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_addf(b, ",\"%s\":", name);
	buf_add_json(b, value, strlen(value));
}

/* The request's body. */
static void
render(struct buf *b, const struct cli_call *call, const char *data, size_t len)
{
	buf_adds(b, "{\"topic\":");
	buf_add_json(b, call->operands[0], strlen(call->operands[0]));
	add_member(b, "event", cli_value(call, "event"));
	add_member(b, "idempotency_key", cli_value(call, "key"));
	buf_adds(b, ",\"data\":");
	if (cli_has(call, "json"))
		buf_add(b, data, len);
	else
		buf_add_json(b, data, len);
	buf_addc(b, '}');
}

static void
tell_unknown(const struct cli_call *call)
{
	const char *key = cli_value(call, "key");

	if (key != NULL)
		(void)cli_fail(call, 0, "whether it was published is unknown; "
		    "repeat it with the same --key, and it is stored once");
	else
		(void)cli_fail(call, 0, "whether it was published is unknown; "
		    "had it a --key, it could be repeated without doing it "
		    "twice");
}

/* Send it and tell how it went; the exit code. */
static int
send_event(struct cli_client *cl, const struct buf *body, long timeout_ms)
{
	struct buf answer = { 0 }, url = { 0 }, code = { 0 };
	struct curl_slist *headers;
	CURL *h = cl->curl;
	long status = 0, sent = 0;
	int exit_code = CLI_FAILED;
	CURLcode rc;

	buf_adds(&url, cl->base);
	buf_adds(&url, "/publish");
	buf_addc(&url, '\0');
	headers = cli_add_header(NULL, "Content-Type", "application/json");
	if (headers != NULL)	/* we wait for no 100, whatever the size */
		headers = cli_add_header(headers, "Expect", "");
	if (headers != NULL)
		headers = cli_add_credential(headers, cl);
	if (url.failed || headers == NULL ||
	    cli_set_common(cl, url.p, headers) == -1 ||
	    curl_easy_setopt(h, CURLOPT_POSTFIELDS, body->p) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)body->len) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, timeout_ms) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION,
	    cli_take_answer) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_WRITEDATA, &answer) != CURLE_OK) {
		(void)cli_fail(cl->call, 0, "libcurl refuses an option");
		goto done;
	}
	rc = curl_easy_perform(h);
	(void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(h, CURLINFO_REQUEST_SIZE, &sent);
	if (rc != CURLE_OK) {
		(void)cli_fail(cl->call, 0, "%s: %s%s", cl->base, cli_reason(cl,
		    rc), sent == 0 ? "; nothing was published" : "");
		if (sent > 0)
			tell_unknown(cl->call);
	} else if (status == 200) {
		fwrite(answer.p, 1, answer.len, stdout);
		if (answer.len == 0 || answer.p[answer.len - 1] != '\n')
			putchar('\n');
		exit_code = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	} else if (!cli_tell_problem(cl, status, &answer, &code)) {
		/* A proxy's 502 or 504 says nothing about what is behind it. */
		if (status >= 500)
			tell_unknown(cl->call);
	} else if (code.len == strlen("store_unknown") &&
	    memcmp(code.p, "store_unknown", code.len) == 0)
		tell_unknown(cl->call);

done:
	curl_slist_free_all(headers);
	buf_fini(&answer);
	buf_fini(&url);
	buf_fini(&code);
	return exit_code;
}

int
cli_publish(const struct cli_call *call)
{
	const char *timeout = cli_value(call, "timeout"), *data;
	char *input = NULL;
	struct buf body = { 0 };
	struct cli_client cl;
	int64_t timeout_ms = 10000;
	size_t len;
	int code;

	if (timeout != NULL && (text_parse_duration_ms(timeout, strlen(timeout),
	    &timeout_ms) == -1 || timeout_ms < 1 || timeout_ms > 86400000))
		return cli_usage(call, "--timeout: \"%s\" is not a time from "
		    "1ms to 1d, such as 10s", timeout);
	if ((code = cli_client_init(&cl, call)) != 0)
		goto done;
	if (cl.secret == NULL) {
		code = cli_usage(call, "no key: set FANFARE_API_KEY, or give "
		    "--api-key-file or -c");
		goto done;
	}
	if (call->n_operands == 2 && strcmp(call->operands[1], "-") != 0) {
		data = call->operands[1];
		len = strlen(data);
	} else {
		if (isatty(STDIN_FILENO))
			(void)cli_fail(call, 0, "reading the data from the "
			    "terminal; end it with Ctrl-D");
		if ((input = cli_read_stdin(call, MAX_DATA_BYTES,
		    &len)) == NULL) {
			code = CLI_FAILED;
			goto done;
		}
		data = input;
		if (len > 0 && data[len - 1] == '\n')
			len--;
	}
	code = CLI_USAGE;
	if (check_event(call, call->operands[0], data, len) == -1)
		goto done;
	render(&body, call, data, len);
	code = body.failed ? cli_fail(call, CLI_FAILED, "out of memory") :
	    send_event(&cl, &body, (long)timeout_ms);

done:
	buf_fini(&body);
	free(input);
	cli_client_fini(&cl);
	return code;
}
