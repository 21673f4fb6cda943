/*
 * harness_http.c - a small HTTP client for the tests.
 *
 * It says what it is told to say, also when that is wrong, and judges answers
 * strictly: lines end in CR LF, a body is cut by Content-Length, by chunks or
 * by the end of the connection.
 */
#include "config.h"

#include "harness.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <jwt.h>

struct http {
	int	 fd;
	bool	 head_only;	/* the last request was HEAD */
	bool	 ended;
	char	*in;		/* read and not yet taken */
	size_t	 len, cap;
	struct answer *done;
	struct http *next;
};

static void
http_release(void *p)
{
	struct http *h = p;

	http_close(h);
	answer_free(h->done);
	free(h->in);
	free(h);
}

int
dial(int port, int rcvbuf)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	if (rcvbuf > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	sa.sin_port = htons((uint16_t)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

int
narrow_socket(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), bytes = 4096, one = 1;

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)free_port());
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

struct http *
try_http_open(struct server *s)
{
	struct http *h;
	int fd = dial(s->port, 0);

	if (fd == -1)
		return NULL;
	h = keep(calloc(1, sizeof *h), http_release);
	h->fd = fd;
	return h;
}

struct http *
http_open(struct server *s)
{
	struct http *h = try_http_open(s);

	ck_assert_msg(h != NULL, "the server takes no connection");
	return h;
}

void
http_close(struct http *h)
{
	if (h->fd != -1)
		close(h->fd);
	h->fd = -1;
	h->ended = true;
}

int
http_fd(struct http *h)
{
	return h->fd;
}

static void
take(struct http *h)
{
	char piece[65536];
	ssize_t n;

	while (!h->ended) {
		n = recv(h->fd, piece, sizeof piece, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			h->ended = true;
			return;
		}
		if (h->len + (size_t)n + 1 > h->cap) {
			h->cap = (h->len + (size_t)n) * 2 + 1;
			h->in = realloc(h->in, h->cap);
			ck_assert_ptr_nonnull(h->in);
		}
		memcpy(h->in + h->len, piece, (size_t)n);
		h->len += (size_t)n;
		h->in[h->len] = '\0';
	}
}

/* Reads while it writes: a server may refuse a large body before its end. */
int
try_http_write(struct http *h, const void *p, size_t len)
{
	const char *at = p;
	int64_t end = now_ms() + patience(10000);

	while (len > 0) {
		struct pollfd pfd = { h->fd, POLLIN | POLLOUT, 0 };
		ssize_t n;

		if (h->fd == -1 || now_ms() > end)
			return -1;
		n = send(h->fd, at, len, MSG_NOSIGNAL);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		take(h);
		if (h->ended || (errno != EAGAIN && errno != EINTR))
			return -1;
		poll(&pfd, 1, 1000);
	}
	return 0;
}

int
try_http_send(struct http *h, const char *method, const char *path,
    const char *headers, const void *body, size_t len)
{
	char *head;
	int n, rc;

	h->head_only = strcmp(method, "HEAD") == 0;
	n = asprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method,
	    path, headers == NULL ? "" : headers);
	ck_assert_int_gt(n, 0);
	if (body != NULL) {
		/* One write for head and body, as a client would. */
		size_t size = (size_t)n + 64 + len;

		head = realloc(head, size);
		ck_assert_ptr_nonnull(head);
		n += snprintf(head + n, 64, "Content-Length: %zu\r\n\r\n", len);
		memcpy(head + n, body, len);
		rc = try_http_write(h, head, (size_t)n + len);
	} else {
		rc = try_http_write(h, head, (size_t)n);
		if (rc == 0)
			rc = try_http_write(h, "\r\n", 2);
	}
	free(head);
	return rc;
}

/* ---- answers ---- */

const char *
header(const struct answer *a, const char *name)
{
	static char value[8192];
	size_t n = strlen(name), len;
	const char *p = strstr(a->head, "\r\n");

	for (; p != NULL && p[2] != '\0'; p = strstr(p + 2, "\r\n")) {
		if (strncasecmp(p + 2, name, n) != 0 || p[2 + n] != ':')
			continue;
		p += 3 + n;
		p += strspn(p, " \t");
		len = strcspn(p, "\r");
		if (len >= sizeof value)
			len = sizeof value - 1;
		memcpy(value, p, len);
		value[len] = '\0';
		return value;
	}
	return NULL;
}

bool
header_has(const struct answer *a, const char *name, const char *word)
{
	const char *v = header(a, name);

	return v != NULL && strcasestr(v, word) != NULL;
}

void
answer_free(struct answer *a)
{
	if (a == NULL)
		return;
	free(a->head);
	free(a->body);
	free(a);
}

/* Unchunk from `p`: 1 whole (and *used), 0 not yet, -1 nonsense. */
static int
unchunk(const char *p, const char *end, struct answer *a, size_t *used)
{
	const char *start = p;

	a->body = malloc((size_t)(end - p) + 1);
	ck_assert_ptr_nonnull(a->body);
	for (;;) {
		char *after;
		const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		size_t n;

		if (eol == NULL)
			return 0;
		n = strtoul(p, &after, 16);
		if (after == p)
			return -1;
		p = eol + 2;
		if ((size_t)(end - p) < n + 2)
			return 0;
		memcpy(a->body + a->len, p, n);
		a->len += n;
		p += n;
		if (p[0] != '\r' || p[1] != '\n')
			return -1;
		p += 2;
		if (n == 0) {
			a->body[a->len] = '\0';
			*used = (size_t)(p - start);
			return 1;
		}
	}
}

/* Cut one answer from what has come. */
static int
parse(struct http *h)
{
	struct answer *a;
	const char *v;
	char *body;
	size_t used, have;
	int rc;

	if (h->len == 0 || (body = strstr(h->in, "\r\n\r\n")) == NULL)
		return h->ended ? -1 : 0;
	body += 4;
	have = h->len - (size_t)(body - h->in);
	a = calloc(1, sizeof *a);
	ck_assert_ptr_nonnull(a);
	a->head = strndup(h->in, (size_t)(body - h->in) - 2);
	if (sscanf(a->head, "HTTP/1.%*1d %3d", &a->status) != 1) {
		answer_free(a);
		return -1;
	}
	if (h->head_only || a->status == 204 || a->status == 304 ||
	    a->status < 200) {
		used = 0;
		rc = 1;
	} else if (header_has(a, "Transfer-Encoding", "chunked")) {
		rc = unchunk(body, h->in + h->len, a, &used);
	} else if ((v = header(a, "Content-Length")) != NULL) {
		used = strtoul(v, NULL, 10);
		rc = have >= used;
	} else {
		used = have;
		rc = h->ended;
		a->closes = true;
	}
	if (rc != 1) {
		answer_free(a);
		return rc == 0 && h->ended ? -1 : rc;
	}
	if (a->body == NULL) {
		a->body = malloc(used + 1);
		ck_assert_ptr_nonnull(a->body);
		memcpy(a->body, body, used);
		a->body[used] = '\0';
		a->len = used;
	}
	h->len -= (size_t)(body - h->in) + used;
	memmove(h->in, body + used, h->len);
	h->in[h->len] = '\0';
	answer_free(h->done);
	h->done = a;
	return 1;
}

int
try_http_feed(struct http *h)
{
	if (h->done != NULL)
		return 1;
	if (h->fd != -1)
		take(h);
	return parse(h);
}

struct answer *
try_http_receive(struct http *h, int ms)
{
	int64_t end = now_ms() + patience(ms);
	struct answer *a;
	int rc;

	while ((rc = try_http_feed(h)) == 0) {
		struct pollfd pfd = { h->fd, POLLIN, 0 };
		int64_t left = end - now_ms();

		if (left <= 0)
			return NULL;
		poll(&pfd, 1, (int)left);
	}
	if (rc == -1)
		return NULL;
	a = h->done;
	h->done = NULL;
	return a;
}

/* ---- one request ---- */

static void
answer_release(void *p)
{
	answer_free(p);
}

struct answer *
ask(struct server *s, const char *method, const char *path,
    const char *headers, const void *body, size_t len)
{
	struct http *h = http_open(s);
	struct answer *a;

	/* A refusal may come before the body is out: read it all the same. */
	(void)try_http_send(h, method, path, headers, body, len);
	a = try_http_receive(h, SOON);
	ck_assert_msg(a != NULL, "no answer to %s %.200s", method, path);
	http_close(h);
	return keep(a, answer_release);
}

struct answer *
get(struct server *s, const char *path, const char *headers)
{
	return ask(s, "GET", path, headers, NULL, 0);
}

struct answer *
post(struct server *s, const char *path, const char *headers, const char *body)
{
	return ask(s, "POST", path, headers, body, strlen(body));
}

static void
json_release(void *p)
{
	json_decref(p);
}

json_t *
body_json(const struct answer *a)
{
	json_error_t e;
	json_t *j = json_loadb(a->body, a->len, JSON_REJECT_DUPLICATES, &e);

	ck_assert_msg(j != NULL, "not JSON (%s): %.300s", e.text, a->body);
	return keep(j, json_release);
}

static bool
has_word(const char *text, const char *words)
{
	char one[128];

	if (*words == '\0')
		return true;
	while (*words != '\0') {
		size_t n = strcspn(words, "|");

		snprintf(one, sizeof one, "%.*s", (int)n, words);
		if (strcasestr(text, one) != NULL)
			return true;
		words += n + (words[n] == '|');
	}
	return false;
}

void
is_problem(const struct answer *a, int status, const char *code,
    const char *word, const char *what)
{
	const char *got, *detail;
	json_t *j;

	ck_assert_msg(a->status == status, "%s: %d instead of %d: %.300s", what,
	    a->status, status, a->body);
	ck_assert_msg(header_has(a, "Content-Type", "application/problem+json"),
	    "%s: no problem+json", what);
	if (status == 401 || status == 403)
		ck_assert_msg(header(a, "WWW-Authenticate") != NULL,
		    "%s: no WWW-Authenticate", what);
	if (status == 429 || status == 503)
		ck_assert_msg(header(a, "Retry-After") != NULL,
		    "%s: no Retry-After", what);
	if (a->len == 0)
		return;		/* the answer to a HEAD */
	j = body_json(a);
	got = text_at(j, "code");
	detail = text_at(j, "detail");
	ck_assert_msg(strcmp(got, code) == 0, "%s: code %s instead of %s: %s",
	    what, got, code, detail);
	ck_assert_msg(has_word(detail, word), "%s: the detail lacks '%s': %s",
	    what, word, detail);
	ck_assert_msg(*text_at(j, "ref") != '\0', "%s: no ref", what);
}

void
is_forbidden(const struct answer *a, const char *topic, const char *what)
{
	is_problem(a, 403, "topic_forbidden", "", what);
	ck_assert_msg(strcmp(text_at(body_json(a), "topic"), topic) == 0,
	    "%s: %s instead of %s", what, text_at(body_json(a), "topic"),
	    topic);
}

/* ---- what tests do all the time ---- */

char *
url_encode(const char *s)
{
	char *out = keep(malloc(strlen(s) * 3 + 1), free), *o = out;

	for (; *s != '\0'; s++)
		if (isalnum((unsigned char)*s) || strchr("-._~/", *s) != NULL)
			*o++ = *s;
		else
			o += sprintf(o, "%%%02X", (unsigned char)*s);
	*o = '\0';
	return out;
}

char *
publish(struct server *s, const char *topic, const char *data)
{
	struct answer *a = post(s, fmt("/publish?topic=%s", url_encode(topic)),
	    AUTH "Content-Type: text/plain\r\n", data);

	ck_assert_msg(a->status == 200, "publish: %d %s", a->status, a->body);
	return fmt("%s", text_at(body_json(a), "id"));
}

int64_t
server_metric(struct server *s, const char *name)
{
	struct server admin = *s;
	char *line = fmt("\nfanfare_%s ", name), *p;
	struct answer *a;

	admin.port = s->admin_port;
	a = get(&admin, "/metrics", "");
	ck_assert_int_eq(a->status, 200);
	p = strstr(a->body, line);
	ck_assert_msg(p != NULL, "no %s in %s", name, a->body);
	return strtoll(p + strlen(line), NULL, 10);
}

json_t *
publish_json(struct server *s, const char *body)
{
	struct answer *a = post(s, "/publish", AUTH AS_JSON, body);

	ck_assert_msg(a->status == 200, "publish %.200s: %d %s", body,
	    a->status, a->body);
	return body_json(a);
}

json_t *
history(struct server *s, const char *query)
{
	struct answer *a = get(s, fmt("/history?%s", query), AUTH);

	ck_assert_msg(a->status == 200, "history?%s: %d %s", query, a->status,
	    a->body);
	return body_json(a);
}

const char *
text_at(json_t *object, const char *name)
{
	json_t *v = json_object_get(object, name);

	ck_assert_msg(json_is_string(v), "there is no text '%s' in %s", name,
	    (char *)keep(json_dumps(object, JSON_ENCODE_ANY), free));
	return json_string_value(v);
}

int64_t
id_seq(const char *id)
{
	size_t n = strspn(id, "0123456789abcdef");
	char *end;
	long long seq;

	ck_assert_msg(n == 8 && id[8] == '-' && isdigit((unsigned char)id[9]),
	    "this is no id: %s", id);
	seq = strtoll(id + 9, &end, 10);
	ck_assert_msg(*end == '\0', "this is no id: %s", id);
	return seq;
}

char *
token(const char *key, const char *claims)
{
	jwt_t *jwt;
	char *s;

	ck_assert_int_eq(jwt_new(&jwt), 0);
	ck_assert_msg(jwt_add_grants_json(jwt, claims) == 0, "claims: %s",
	    claims);
	ck_assert_int_eq(jwt_set_alg(jwt, JWT_ALG_HS256,
	    (const unsigned char *)key, (int)strlen(key)), 0);
	s = jwt_encode_str(jwt);
	jwt_free(jwt);
	return keep(s, free);
}

char *
token_for(int64_t seconds, const char *pub, const char *sub)
{
	return token(HOUSE_KEY, fmt("{\"exp\":%lld,\"sub\":\"anna\","
	    "\"fanfare\":{\"publish\":[%s%s%s],\"subscribe\":[%s%s%s]}}",
	    (long long)(wall_s() + seconds), pub ? "\"" : "", pub ? pub : "",
	    pub ? "\"" : "", sub ? "\"" : "", sub ? sub : "", sub ? "\"" : ""));
}

char *
token_below_a(const char *sub, const char *more)
{
	return token(HOUSE_KEY, fmt("{\"exp\":%lld,\"sub\":\"%s\",\"fanfare\":{\"publish\":"
	    "[\"a/**\"],\"subscribe\":[\"a/**\"]%s%s}}", (long long)(wall_s() + 600), sub,
	    *more != '\0' ? "," : "", more));
}

char *
bearing(const char *credential)
{
	return fmt(BEARER "%s\r\n", credential);
}
