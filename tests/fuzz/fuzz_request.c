/*
 * fuzz_request.c - whatever comes over a socket to the whole server: it is answered, or
 * the connection ends; no answer is one that we never give, no header is one that we
 * never send, and what was acknowledged is the newest event of the log.
 *
 * The rooms are the real ones, with their threads, beside the fuzzer's.  Input: the
 * bytes that a client sends.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <jansson.h>

#include "auth.h"
#include "fuzz.h"
#include "http.h"
#include "hub.h"
#include "log.h"
#include "store.h"
#include "text.h"

#define KEY	"ffk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
#define ANSWER_MS	20000		/* no request may wait as long */
#define QUIET_MS	2
#define LINGER_MS	200

static struct sockaddr_un address;
static socklen_t address_len;

static int
listening(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	MUST(fd != -1);
	address.sun_family = AF_UNIX;
	/* The kernel finds an abstract name. */
	MUST(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	MUST(listen(fd, 16) == 0);
	address_len = sizeof(address);
	MUST(getsockname(fd, (struct sockaddr *)&address, &address_len) == 0);
	return fd;
}

/* A stream does not end by itself: its head and first lines are enough. */
static bool
is_stream(const struct buf *b)
{
	return b->len > 0 &&
	    memmem(b->p, b->len, "Content-Type: text/event-stream", 31) != NULL &&
	    memmem(b->p, b->len, "\r\n\r\nretry: ", 11) != NULL;
}

/* One head without a body: there must be an answer, or an end. */
static bool
is_whole(const char *p, size_t len)
{
	const char *end = len == 0 ? NULL : memmem(p, len, "\r\n\r\n", 4);

	/* (A line that begins with a NUL is an empty one to libmicrohttpd.) */
	return end != NULL && end + 4 == p + len && isupper((unsigned char)p[0]) &&
	    memmem(p, len, "ontent-", 7) == NULL &&
	    memmem(p, len, "ransfer-", 8) == NULL;
}

/*
 * Send all, shut down when nothing more seems to come, and read to the end.  (An end that
 * reaches libmicrohttpd 0.9.75 together with half a request is not seen by it, and the
 * connection stays for some seconds: not waited for.)
 */
static void
talk(const void *p, size_t len, struct buf *out)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd pfd = { .fd = fd };
	char chunk[65536];
	bool shut = false, whole = is_whole(p, len);
	size_t at = 0;
	ssize_t n;
	int wait, ready;

	MUST(fd != -1);
	MUST(connect(fd, (struct sockaddr *)&address, address_len) == 0);
	for (;;) {
		pfd.events = POLLIN;
		if (at < len)
			pfd.events |= POLLOUT;
		wait = at < len || (whole && out->len == 0) ? ANSWER_MS :
		    shut ? LINGER_MS : QUIET_MS;
		if ((ready = poll(&pfd, 1, wait)) == 0) {
			MUST(wait != ANSWER_MS);
			if (shut)
				break;
			(void)shutdown(fd, SHUT_WR);
			shut = true;
			continue;
		}
		if (ready == -1 && errno == EINTR)
			continue;
		MUST(ready == 1);
		if (at < len && (pfd.revents & POLLOUT) != 0) {
			n = write(fd, (const char *)p + at, len - at);
			/* It may have hung up: what it said is still to be read. */
			at = n > 0 ? at + (size_t)n : n == -1 && errno == EAGAIN ?
			    at : len;
		}
		if ((pfd.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
			n = read(fd, chunk, sizeof(chunk));
			if (n == -1 && errno == EAGAIN)
				continue;
			if (n <= 0)
				break;
			buf_add(out, chunk, (size_t)n);
			if (is_stream(out))
				break;
		}
	}
	close(fd);
}

/* --- what may come back --- */

static bool
is_known(int status)
{
	static const int known[] = { 100, 200, 204, 304, 400, 401, 403, 404, 405, 408, 409,
	    413, 414, 415, 417, 431, 501, 505 };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == status)
			return true;
	return false;
}

static bool
is_header(const char *line, size_t len)
{
	static const char *const names[] = { "Date", "Connection", "Content-Length",
	    "Content-Type", "Cache-Control", "Vary", "ETag", "Allow", "Retry-After",
	    "WWW-Authenticate", "Access-Control-Allow-Origin",
	    "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
	    "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
	    "Access-Control-Max-Age", "Access-Control-Allow-Private-Network",
	    "Cross-Origin-Resource-Policy", "Referrer-Policy", "X-Content-Type-Options",
	    "X-Accel-Buffering", "Content-Encoding", "Last-Modified" };
	const char *colon = memchr(line, ':', len);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (colon != NULL && strlen(names[i]) == (size_t)(colon - line) &&
		    strncasecmp(names[i], line, strlen(names[i])) == 0)
			return true;
	return false;
}

/* The id of the last event that this answer acknowledges, if it does. */
static void
acknowledged(const char *body, size_t len, char id[64])
{
	json_t *j = json_loadb(body, len, 0, NULL), *ids;
	const char *text;

	MUST(j != NULL);
	ids = json_object_get(j, "ids");
	text = json_string_value(ids != NULL ? json_array_get(ids,
	    json_array_size(ids) - 1) : json_object_get(j, "id"));
	if (text != NULL && json_object_get(j, "duplicate") == NULL)
		(void)snprintf(id, 64, "%s", text);
	json_decref(j);
}

/* One answer; how long it is, 0 when it is not whole (the connection was cut). */
static size_t
look_at(const char *p, size_t len, char id[64])
{
	const char *end = memmem(p, len, "\r\n\r\n", 4), *line, *eol;
	size_t body = 0, head;
	int status;

	MUST(len < 9 || strncmp(p, "HTTP/1.", 7) == 0);
	if (end == NULL)
		return 0;
	head = (size_t)(end + 4 - p);
	MUST(p[8] == ' ');
	status = atoi(p + 9);
	if (!is_known(status))
		(void)fprintf(stderr, "%.*s\n", (int)head, p);
	MUST(is_known(status));
	eol = memmem(p, head, "\r\n", 2);
	for (line = eol + 2; line < end; line = eol + 2) {
		eol = memmem(line, (size_t)(end + 4 - line), "\r\n", 2);
		if (!is_header(line, (size_t)(eol - line)))
			(void)fprintf(stderr, "%.*s\n", (int)(eol - line), line);
		MUST(is_header(line, (size_t)(eol - line)));
		for (const char *c = line; c < eol; c++)
			MUST(*c >= ' ' && *c != 0x7f);
		if (strncasecmp(line, "Content-Length: ", 16) == 0)
			body = (size_t)strtoul(line + 16, NULL, 10);
	}
	if (memmem(p, head, "application/problem+json", 24) != NULL && status >= 400 &&
	    len >= head + body && p[head] == '{') {
		json_t *j = json_loadb(p + head, body, 0, NULL);

		MUST(json_integer_value(json_object_get(j, "status")) == status);
		MUST(json_is_string(json_object_get(j, "code")));
		json_decref(j);
	}
	if (status == 200 && len - head > 7 && len >= head + body &&
	    (strncmp(p + head, "{\"id\":", 6) == 0 ||
	    strncmp(p + head, "{\"ids\":", 7) == 0))
		acknowledged(p + head, body, id);
	/* The answer to HEAD has a length and no body. */
	if (len >= head + 9 && strncmp(p + head, "HTTP/1.", 7) == 0)
		return head;
	return status == 204 || status == 304 ? head :
	    len >= head + body ? head + body : 0;
}

/* It is the last one in the log; NULL: there is none. */
static void
is_newest(const char *id)
{
	static const char ask[] = "GET /history?topic=**&limit=1 HTTP/1.1\r\n"
	    "Host: x\r\nAuthorization: Bearer " KEY "\r\nConnection: close\r\n\r\n";
	struct buf b = { 0 };
	const char *body, *newest;
	json_t *j;

	talk(ask, sizeof(ask) - 1, &b);
	body = memmem(b.p, b.len, "\r\n\r\n", 4);
	MUST(body != NULL);
	j = json_loadb(body + 4, b.len - (size_t)(body + 4 - b.p),
	    JSON_DECODE_INT_AS_REAL, NULL);
	/* Numbers that jansson cannot hold pass through. */
	if (j != NULL) {
		newest = json_string_value(json_object_get(json_array_get(
		    json_object_get(j, "events"), 0), "id"));
		MUST(id == NULL ? newest == NULL :
		    newest != NULL && strcmp(newest, id) == 0);
	}
	json_decref(j);
	buf_fini(&b);
}

static void
start(void)
{
	static const char *const keys[] = { "fuzz:" KEY, NULL };
	static const char *const public[] = { "pub/**", NULL };
	static const char *const rules[] = { "user/{sub}/**", NULL };
	static const char *const origins[] = { "https://app-*.example.com", NULL };
	static const char *const proxies[] = { "private", NULL };
	struct auth_conf ac = { .api_keys = keys,
	    .house.key = "a secret of the fuzzers, 32 bytes and more",
	    .public_topics = public,
	    .authenticated_topics = rules };
	char dir[] = "/tmp/fanfare-fuzz.XXXXXX", path[64], file[80], err[512] = "";
	static const char *const files[] = { "", "-wal", "-shm", "-lock", ".lock" };
	struct store_conf sc = { .path = path, .retain_bytes = 1 << 20,
	    .max_queue_bytes = 1 << 24, .max_page_bytes_total = 1 << 24 };
	struct hub_conf hc = { .threads = 1, .tail_bytes = 1 << 18,
	    .queue_bytes = 1 << 17, .max_replay = 100, .heartbeat_ms = 15000,
	    .retry_ms = 3000, .stall_ms = 30000, .admission.streams = 1000 };
	struct http_conf pc = { .max_event_bytes = 4096, .max_body_bytes = 16384,
	    .max_replay = 100, .max_connections = 100,
	    .cors_origins = origins, .trusted_proxies = proxies, .cookie = "fanfare_token" };
	struct store_hooks hooks = { .committed = hub_publish };
	struct hub *hub;
	struct http *http;
	struct auth *auth;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init(LOG_ERROR, false);
	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/log.db", dir);
	MUST((auth = auth_new(&ac, err, sizeof(err))) != NULL);
	MUST((hc.store = pc.store = store_open(&sc, err, sizeof(err))) != NULL);
	MUST((hooks.arg = hub = pc.hub = hub_new(&hc)) != NULL);
	MUST((http = http_new(&pc, auth)) != NULL);
	MUST(http_serve(http, listening(), false, false) == 0);
	MUST(hub_start(hub) == 0 && store_start(hc.store, &hooks) == 0);
	MUST(http_start(http) == 0);
	/* All of it is open once a page was read, and runs until the process ends:
	 * nothing is left behind. */
	is_newest(NULL);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(file, sizeof(file), "%s%s", path, files[i]);
		(void)unlink(file);
	}
	(void)rmdir(dir);
}

FUZZ(request)
{
	static bool started;
	struct buf out = { 0 };
	char id[64] = "";
	size_t at = 0, n;

	if (!started)
		start();
	started = true;
	talk(bytes, size, &out);
	if (!is_stream(&out))
		for (; at < out.len; at += n)
			if ((n = look_at(out.p + at, out.len - at, id)) == 0)
				break;
	if (id[0] != '\0')
		is_newest(id);
	buf_fini(&out);
	return 0;
}
