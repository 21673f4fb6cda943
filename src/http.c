/*
 * http.c - the http thread: libmicrohttpd in our own loop, and requests to handlers.
 *
 * Each listening socket has a daemon without a thread; its epoll descriptor stands in
 * ours beside the mailbox, the socket (http_accept.c) and the lobby, where those wait
 * whose request has not come whole (http_lobby.c).  A request that waits for a
 * commit or a page is suspended, and resumed here when the message comes.
 * (libmicrohttpd's own thread would wait without limit when exactly 128 events are
 * ready.)
 *
 * The query is parsed by us from the raw address: see query.h.
 */
#include "config.h"

#include "http.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"
#include "thread.h"

#define CONNECTION_MEMORY	(24u * 1024)	/* head of a request, with 8 kB tokens */
#define WAIT_MS			1000
#define STOP_MS			10000
#define LINGER_MS		500	/* for what is on its way to us */
#define LINGER_LOOK_MS		10
#define GATHER_US		500	/* publishes for one commit */
#define HEAD_TIMEOUT_MS		10000
#define BODY_TIMEOUT_MS		30000
#define SEND_BUFFER		(128 * 1024)	/* the kernel doubles it */
#define SEND_BUFFER_DEFAULT	(16 * 1024)	/* tcp(7): it grows from there */
#define DISCARD_TIMES		4	/* server.max_body, of a body not wanted */

/* What an event of the thread's epoll set is about: the mailbox, a daemon, a socket. */
#define WATCH_MAIL		0u
#define WATCH_DAEMON(i)		(1u + (uint32_t)(i))
#define WATCH_SOCKET(i)		(1u + LISTENERS_MAX + (uint32_t)(i))
#define WATCH_LOBBY		WATCH_SOCKET(LISTENERS_MAX)
#define EVENTS_MAX		(2 + 2 * LISTENERS_MAX)

struct reload {
	struct msg	 msg;
	struct auth	*auth;
};

static const struct route public_routes[] = {
	{ "/events", METHOD_GET, "GET, OPTIONS", false, NULL, subscribe_run },
	{ "/history", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", true, NULL,
	    history_run },
	{ "/publish", METHOD_POST, "POST, OPTIONS", true, publish_begin, publish_run },
	{ "/healthz", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    health_run },
	{ "/fanfare.js", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    client_run },
	{ "/stats", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false,
	    control_begin, stats_run },
	{ "/streams", METHOD_GET, "GET, OPTIONS", true, control_begin, streams_run },
	{ "/revoke", METHOD_POST, "POST, OPTIONS", true, control_begin, revoke_run },
	{ NULL, 0, NULL, false, NULL, NULL }
};

static const struct route admin_routes[] = {
	{ "/metrics", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    metrics_run },
	{ "/stats", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    stats_run },
	{ "/healthz", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    health_run },
	{ NULL, 0, NULL, false, NULL, NULL }
};

/* OPTIONS * is about the server. */
static const struct route star_route = {
	"*", 0, "GET, HEAD, POST, OPTIONS", false, NULL, NULL
};

static const struct route demo_route = {
	"/", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	demo_run
};

enum answer
rq_suspend(struct request *rq)
{
	rq->waiting = true;
	rq->http->waiting++;
	MHD_suspend_connection(rq->conn);
	return ANSWER_LATER;
}

enum answer
rq_append(struct request *rq)
{
	if (rq->http->appends_tail == &rq->http->appends)
		rq->http->appends_at = clock_mono_us();
	*rq->http->appends_tail = rq->append;
	rq->http->appends_tail = &rq->append->next;
	return rq_suspend(rq);
}

/* What came in goes to the store when nothing more is ready, and not much later while
 * there always is: one wakeup and one commit for all of it. */
static void
pass_on_appends(struct http *h, bool idle)
{
	struct append *a, *next;

	if (h->appends_tail == &h->appends ||
	    (!idle && clock_mono_us() - h->appends_at < GATHER_US))
		return;
	*h->appends_tail = NULL;
	for (a = h->appends; a != NULL; a = next) {
		next = a->next;
		if (store_append(h->conf.store, a) == -1)
			a->done(a);
	}
	h->appends_tail = &h->appends;
}

void
rq_resume(struct request *rq)
{
	assert(rq->waiting);
	rq->waiting = false;
	rq->http->waiting--;
	rq->listener->due = true;
	MHD_resume_connection(rq->conn);
}

static void
resume(void *owner)
{
	rq_resume(owner);
}

/* libmicrohttpd calls it with the request line's target, first of all. */
static void *
begin_request(void *cls, const char *uri, struct MHD_Connection *c)
{
	struct listener *l = cls;
	struct request *rq;
	const char *mark;

	if ((rq = calloc(1, sizeof(*rq))) == NULL)
		return NULL;
	if ((rq->link = deadline_link(c)) == NULL) {
		free(rq);
		return NULL;
	}
	rq->judged = rq->link->requests++ == 0;		/* in the lobby */
	rq->http = l->http;
	rq->listener = l;
	rq->conn = c;
	rq->wait.owner = rq;
	rq->handoff.fd = -1;
	if ((rq->target = strdup(uri)) == NULL) {
		free(rq);
		return NULL;
	}
	rq->uri = rq->target;
	/* A proxy may send the absolute form. */
	if (*uri != '/' && (mark = strstr(uri, "://")) != NULL) {
		mark += 3 + strcspn(mark + 3, "/?");
		rq->uri = *mark == '\0' ? "/" : rq->target + (mark - uri);
	}
	rq->path_len = strcspn(rq->uri, "?");
	mark = rq->uri + rq->path_len;
	rq->query = *mark == '?' ? mark + 1 : mark;
	deadline_begin(rq, PHASE_HEAD);
	metric_add(METRIC_REQUESTS, 1);
	return rq;
}

static void
end_request(void *cls, struct MHD_Connection *c, void **req,
    enum MHD_RequestTerminationCode why)
{
	struct request *rq = *req;

	(void)cls, (void)c, (void)why;
	*req = NULL;
	if (rq == NULL)
		return;
	assert(!rq->waiting);
	deadline_begin(rq, PHASE_NONE);
	(void)handoff_end(&rq->handoff);
	if (rq->stream != NULL) {		/* never passed on */
		hub_leave(rq->http->conf.hub, &rq->stream->ask.guest);
		stream_free(rq->stream);
	}
	if (rq->append != NULL) {
		free(rq->append->frames);
		free(rq->append);
	}
	page_job_free(rq->job);
	rq->http->page_bytes -= rq->page_bytes;
	control_end(rq);
	if (rq->deferred != NULL)
		MHD_destroy_response(rq->deferred);
	auth_wait_fini(&rq->wait);
	if (rq->has_id)
		auth_identity_fini(&rq->id);
	if (rq->has_q)
		query_fini(&rq->q);
	buf_fini(&rq->body);
	free(rq->target);
	free(rq);
}

static const struct route *
find_route(const struct request *rq)
{
	const struct route *r;

	for (r = rq->listener->admin ? admin_routes : public_routes;
	    r->path != NULL; r++)
		if (strlen(r->path) == rq->path_len &&
		    memcmp(r->path, rq->uri, rq->path_len) == 0)
			return r;
	if (rq->path_len == 1 && rq->uri[0] == '*')
		return &star_route;
	if (!rq->listener->admin && rq->http->conf.demo && rq->path_len == 1 &&
	    rq->uri[0] == '/')
		return &demo_route;
	return NULL;
}

static unsigned int
method_bit(const char *method)
{
	return strcmp(method, "GET") == 0 ? METHOD_GET :
	    strcmp(method, "HEAD") == 0 ? METHOD_HEAD :
	    strcmp(method, "POST") == 0 ? METHOD_POST :
	    strcmp(method, "OPTIONS") == 0 ? METHOD_OPTIONS : 0;
}

/* What is asked for, and how: ANSWER_NOT_YET, or refused. */
static enum answer
read_head(struct request *rq)
{
	const char *why;
	unsigned int bit = method_bit(rq->method);

	if (!origin_host_is_ours(rq))
		return rq_problemf(rq, PROBLEM_NOT_FOUND, "what listens on this machine "
		    "alone is asked for by its address or as localhost");
	if ((rq->route = find_route(rq)) == NULL)
		return rq_problemf(rq, PROBLEM_NOT_FOUND, "there is no %.*s%s here; "
		    "fanfare serves %s", (int)rq_path_shown(rq), rq->uri,
		    rq_path_shown(rq) < rq->path_len ? "..." : "",
		    rq->listener->admin ? "/metrics, /stats, /healthz" :
		    "/events, /history, /publish, /fanfare.js, /healthz, /stats, "
		    "/streams, /revoke");
	if (bit == METHOD_OPTIONS)
		return origin_preflight(rq);
	if (!(rq->route->methods & bit))
		return rq_problemf(rq, PROBLEM_METHOD, "use %s on %s, not %.20s",
		    rq->route->allow, rq->route->path, rq->method);
	if (query_parse(&rq->q, rq->query, strlen(rq->query), &why) == -1)
		return rq_problemf(rq, PROBLEM_MALFORMED, "the query %s", why);
	rq->has_q = true;
	return ANSWER_NOT_YET;
}

/* The head is here: what can be refused without the body. */
static enum answer
begin(struct request *rq)
{
	enum answer a = ANSWER_NOT_YET;

	if (!rq->has_q)
		a = read_head(rq);
	if (a == ANSWER_NOT_YET && rq->route->begin != NULL)
		a = rq->route->begin(rq);
	return a;
}

static uint64_t
declared_length(struct request *rq)
{
	const char *text = rq_header(rq, "Content-Length");
	uint64_t n;

	return text != NULL && text_parse_u64(text, strlen(text), &n) == 0 ? n : 0;
}

static enum MHD_Result
handle(void *cls, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *body, size_t *body_len, void **req)
{
	struct request *rq = *req;
	struct guard g;
	enum answer a;

	(void)cls, (void)c, (void)url;
	if (rq == NULL)
		return MHD_NO;		/* no memory in begin_request() */
	if (rq->method == NULL) {
		rq->method = method;
		/* Where it ends is not certain: nothing behind it is read. */
		if (!judge(rq, version, &g))
			return rq_problem(rq, g.problem, g.detail, NULL, NULL) ==
			    ANSWERED ? MHD_YES : MHD_NO;
	}
	if (!rq->begun) {
		/*
		 * What is refused here is answered when the body has come: answered
		 * before, libmicrohttpd would close the connection with the body
		 * unread, and a proxy would make a 502 of our 401.
		 */
		rq->deferring = true;
		a = begin(rq);
		rq->deferring = false;
		if (a == ANSWER_FAILED)
			return MHD_NO;
		/* Suspended with the head alone, libmicrohttpd repeats this call. */
		if (a == ANSWER_LATER) {
			deadline_begin(rq, PHASE_OURS);
			return MHD_YES;
		}
		rq->begun = true;
		deadline_begin(rq, PHASE_BODY);
		/* A body that would be cut off is not waited for. */
		if (rq->deferred != NULL && declared_length(rq) >
		    DISCARD_TIMES * (uint64_t)rq->http->conf.max_body_bytes)
			return MHD_queue_response(c, rq->deferred_status,
			    rq->deferred);
		return MHD_YES;
	}
	if (*body_len > 0) {
		rq->received += *body_len;
		if (rq->received > rq->http->conf.max_body_bytes) {
			/* It cannot be answered before it ends; an endless one is
			 * cut off. */
			rq->too_large = true;
			buf_fini(&rq->body);
			if (rq->received > DISCARD_TIMES *
			    rq->http->conf.max_body_bytes)
				return MHD_NO;
		} else if (rq->deferred == NULL)
			buf_add(&rq->body, body, *body_len);
		*body_len = 0;
		return MHD_YES;
	}
	deadline_begin(rq, rq->deferred != NULL ? PHASE_ANSWER : PHASE_OURS);
	if (rq->deferred != NULL)
		return MHD_queue_response(c, rq->deferred_status, rq->deferred);
	/* Nobody may begin to wait once the thread is on its way out. */
	if (rq->http->stopping && rq->route->waits && rq->append == NULL &&
	    rq->job == NULL && rq->control == NULL)
		a = rq_problem(rq, PROBLEM_DRAIN, "the server is stopping", NULL, NULL);
	else
		a = rq->route->run(rq);
	if (a == ANSWERED)
		deadline_begin(rq, PHASE_ANSWER);
	return a == ANSWER_FAILED ? MHD_NO : MHD_YES;
}

/* A thread of the pool. */
static void
judged(void *arg, struct msg *m)
{
	struct http *h = arg;

	m->kind = HTTP_JUDGED;
	mailbox_post(h->box, m, true);
}

/* The thread that fetches. */
static void
fetched(void *arg, struct msg *m)
{
	struct http *h = arg;

	m->kind = HTTP_FETCHED;
	mailbox_post(h->box, m, true);
}

static void
fetch(void *arg, const char *url)
{
	struct http *h = arg;

	auth_fetch_want(h->fetch, url);
}

struct http *
http_new(const struct http_conf *c, struct auth *auth)
{
	struct auth_pool_conf pc = { .done = judged, .fetch = fetch,
	    .max_waiting = c->max_checks };
	struct auth_fetch_conf fc = { .done = fetched };
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = WATCH_MAIL };
	struct http *h;

	if ((h = calloc(1, sizeof(*h))) == NULL) {
		log_warn("http");
		auth_free(auth);
		auth_revoked_free(c->revoked);
		return NULL;
	}
	h->conf = *c;
	h->auth = auth;
	if (h->conf.head_timeout_ms == 0)
		h->conf.head_timeout_ms = HEAD_TIMEOUT_MS;
	if (h->conf.body_timeout_ms == 0)
		h->conf.body_timeout_ms = BODY_TIMEOUT_MS;
	TAILQ_INIT(&h->links);
	h->appends_tail = &h->appends;
	TAILQ_INIT(&h->resting);
	h->revoked = c->revoked;
	if (h->revoked == NULL &&
	    (h->revoked = auth_revoked_new(AUTH_REVOKED_MAX)) == NULL) {
		log_warn("http");
		goto fail_h;
	}
	if ((h->epfd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		log_warn("http: epoll_create1");
		goto fail_h;
	}
	if (lobby_open(&h->lobby) == -1)
		goto fail_epfd;
	if ((h->box = mailbox_new()) == NULL)
		goto fail_lobby;
	if (epoll_ctl(h->epfd, EPOLL_CTL_ADD, mailbox_fd(h->box), &ev) == -1) {
		log_warn("http: epoll_ctl");
		goto fail_box;
	}
	ev.data.u32 = WATCH_LOBBY;
	if (epoll_ctl(h->epfd, EPOLL_CTL_ADD, h->lobby.epfd, &ev) == -1) {
		log_warn("http: epoll_ctl");
		goto fail_box;
	}
	pc.arg = h;
	if ((h->pool = auth_pool_new(&pc)) == NULL)
		goto fail_box;
	fc.arg = h;
	if ((h->fetch = auth_fetch_new(&fc)) == NULL)
		goto fail_pool;
	if ((h->rates = rates_new(c)) == NULL)
		goto fail_fetch;
	return h;

fail_fetch:
	auth_fetch_free(h->fetch);
fail_pool:
	auth_pool_free(h->pool);
fail_box:
	mailbox_free(h->box);
fail_lobby:
	lobby_close(&h->lobby);
fail_epfd:
	close(h->epfd);
fail_h:
	auth_free(auth);
	auth_revoked_free(h->revoked);
	free(h);
	return NULL;
}

/* Will somebody post a message yet? */
static bool
is_awaited(const struct http *h)
{
	return h->waiting > 0 || h->nwalks > 0 || h->forgetting != NULL;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	assert(!h->started);
	for (size_t i = 0; i < h->nlisteners; i++) {
		if (h->listeners[i].daemon != NULL && h->waiting == 0)
			MHD_stop_daemon(h->listeners[i].daemon);
		if (h->listeners[i].fd != -1)
			close(h->listeners[i].fd);
	}
	rates_free(h->rates);
	auth_fetch_free(h->fetch);
	auth_pool_free(h->pool);
	/* A commit that took longer than STOP_MS is told to nobody. */
	if (is_awaited(h))
		(void)mailbox_take(h->box);
	mailbox_free(h->box);
	lobby_close(&h->lobby);
	close(h->epfd);
	auth_free(h->auth);
	auth_revoked_free(h->revoked);
	free(h);
}

static void
mhd_log(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void
mhd_log(void *cls, const char *fmt, va_list ap)
{
	char line[512];

	(void)cls;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("http: %s", line);
}

/*
 * Of an answer that is not read the kernel would take 4 MB for each connection, and a
 * thousand of those have everybody's on the machine wait for memory.  Nobody's smaller
 * choice is changed.
 */
static void
bound_answers(int fd)
{
	int bytes = SEND_BUFFER, now;
	socklen_t len = sizeof(now);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &len) == 0 &&
	    now >= SEND_BUFFER_DEFAULT)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int
http_serve(struct http *h, int fd, bool admin, bool kept)
{
	struct epoll_event ev = { .events = EPOLLIN };
	const union MHD_DaemonInfo *info;
	struct listener *l;
	int one = 1;

	if (h->nlisteners == LISTENERS_MAX) {
		log_warnx("http: more than %d listening sockets", LISTENERS_MAX);
		close(fd);
		return -1;
	}
	l = &h->listeners[h->nlisteners];
	l->http = h;
	l->fd = fd;
	l->admin = admin;
	l->kept = kept;
	l->watched_as = WATCH_SOCKET(h->nlisteners);
	l->max_connections = admin ? HTTP_ADMIN_CONNECTIONS :
	    h->conf.max_connections;
	l->daemon = MHD_start_daemon(HANDOFF_DAEMON_FLAGS | MHD_USE_ERROR_LOG |
	    MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
	    handle, NULL,
	    MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned int)l->max_connections,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
	    MHD_OPTION_CONNECTION_TIMEOUT, HANDOFF_DAEMON_TIMEOUT_S,
	    MHD_OPTION_URI_LOG_CALLBACK, begin_request, l,
	    MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL,
	    MHD_OPTION_NOTIFY_CONNECTION, deadline_notify, l,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1,
	    MHD_OPTION_END);
	if (l->daemon == NULL) {
		log_warnx("http: libmicrohttpd does not start");
		close(fd);
		return -1;
	}
	h->nlisteners++;		/* http_free() closes both from now on */
	info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	l->epfd = info->epoll_fd;
	ev.data.u32 = WATCH_DAEMON(h->nlisteners - 1);
	if (epoll_ctl(h->epfd, EPOLL_CTL_ADD, l->epfd, &ev) == -1) {
		log_warn("http: epoll_ctl");
		return -1;
	}
	listen_notice_the_dead(fd);
	/* What is accepted there has it too: see http_lobby.c. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	bound_answers(fd);
	ev.data.u32 = l->watched_as;
	if (epoll_ctl(h->epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		log_warn("http: epoll_ctl");
		return -1;
	}
	return 0;
}

/* End streams whose key `a` does not have.  0, or -1: no memory. */
static int
keep_keys(struct http *h, const struct auth *a)
{
	size_t n = auth_key_ids(a, NULL, 0);
	uint64_t *ids = calloc(n > 0 ? n : 1, sizeof(*ids));
	int r;

	if (ids == NULL)
		return -1;
	(void)auth_key_ids(a, ids, n);
	r = hub_keep_keys(h->conf.hub, ids, n);
	h->keys_told += r == 0;
	free(ids);
	return r;
}

/* Keys came or went: nothing may rest on those that went.  Tried until there is memory
 * for it. */
static void
follow_keys(struct http *h)
{
	if (!h->keys_changed || auth_cache_keep(h->auth) == -1 ||
	    keep_keys(h, h->auth) == -1)
		return;
	h->keys_changed = false;
}

static void
take_reload(struct http *h, struct auth *auth)
{
	auth_inherit(auth, h->auth);
	/* First, for a key that is gone must not leave streams behind. */
	if (keep_keys(h, auth) == -1) {
		log_warnx("http: reload: no memory; the old keys stay");
		auth_free(auth);
		return;
	}
	auth_free(h->auth);
	h->auth = auth;
	auth_fetch_watch(h->fetch, auth);
	auth_pool_look(h->pool, auth);
	log_info("http: keys and topic rules are reloaded");
}

static void
leave_queue(struct http *h)
{
	struct listener *l;

	for (size_t i = 0; i < h->nlisteners; i++) {
		l = &h->listeners[i];
		if (!l->kept || l->left)
			continue;
		(void)epoll_ctl(h->epfd, EPOLL_CTL_DEL, l->fd, NULL);
		close(l->fd);
		l->fd = -1;
		/* Who knocked just now is the successor's too. */
		l->knocked = l->resting = false;
		l->left = h->leaving = true;
	}
}

static void
begin_stop(struct http *h)
{
	h->ending = false;
	h->stopping = true;
	h->stop_by = clock_mono_ms() + STOP_MS;
	/* Who waits for a token comes back with the next mail. */
	auth_pool_stop(h->pool);
	auth_fetch_stop(h->fetch);
}

/* The last requests taken from a queue that a successor serves are answered too,
 * though they may be on their way still. */
static void
end_when_idle(struct http *h)
{
	const union MHD_DaemonInfo *info;
	unsigned int open = 0;

	for (size_t i = 0; i < h->nlisteners; i++)
		if (h->listeners[i].left &&
		    (info = MHD_get_daemon_info(h->listeners[i].daemon,
		    MHD_DAEMON_INFO_CURRENT_CONNECTIONS)) != NULL)
			open += info->num_connections +
			    (unsigned int)h->listeners[i].arrivals;
	if (open == 0 || clock_mono_ms() >= h->stop_by)
		begin_stop(h);
}

static void
take_mail(struct http *h)
{
	struct msg *m, *next;
	struct append *ap;

	for (m = mailbox_take(h->box); m != NULL; m = next) {
		next = m->next;
		switch ((enum http_msg)m->kind) {
		case HTTP_APPENDED:
			ap = (struct append *)m;
			resume(ap->owner);
			break;
		case HTTP_PAGE:
			resume(((struct page_job *)m)->owner);
			break;
		case HTTP_JUDGED:
			auth_job_end(m, clock_wall_ms(), resume);
			break;
		case HTTP_FETCHED:
			if (auth_take_fetched(h->auth, m))
				h->keys_changed = true;
			follow_keys(h);
			auth_pool_look(h->pool, h->auth);
			break;
		case HTTP_WALKED:
			control_walked(h, m);
			break;
		case HTTP_FORGOT:
			control_forgot(h, m);
			break;
		case HTTP_RELOAD:
			take_reload(h, ((struct reload *)m)->auth);
			free(m);
			break;
		case HTTP_LEAVE:
			leave_queue(h);
			break;
		case HTTP_STOP:
			h->ending = true;
			h->stop_by = clock_mono_ms() + LINGER_MS;
			break;
		}
	}
}

/* How long to sleep: until libmicrohttpd's next timeout, a second at most. */
static int
wait_time(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int wait = control_wait_ms(h, lobby_wait_ms(h, h->ending ? LINGER_LOOK_MS :
	    WAIT_MS));

	for (size_t i = 0; i < h->nlisteners; i++) {
		wait = accept_wait_ms(&h->listeners[i], wait);
		if (MHD_get_timeout(h->listeners[i].daemon, &ms) == MHD_YES &&
		    ms <= (MHD_UNSIGNED_LONG_LONG)wait) {
			wait = (int)ms;
			h->listeners[i].due = true;
		}
	}
	return wait;
}

static void
run_daemon(struct http *h, struct listener *l)
{
	l->ready = l->due = false;
	h->handed_off = false;
	(void)MHD_run(l->daemon);
	/* Once more, so that what was handed off is let go: handoff.c. */
	if (h->handed_off)
		(void)MHD_run(l->daemon);
}

static void
run_daemons(struct http *h, bool all)
{
	struct listener *l;

	for (size_t i = 0; i < h->nlisteners; i++) {
		l = &h->listeners[i];
		if (l->knocked)
			accept_some(l);
		l->knocked = false;
		if (all || l->ready || l->due)
			run_daemon(h, l);
		if (l->resting)
			accept_again(l);	/* there may be room now */
	}
}

static void
note_event(struct http *h, uint32_t what)
{
	if (what == WATCH_LOBBY)
		lobby_run(h);
	else if (what >= WATCH_SOCKET(0))
		h->listeners[what - WATCH_SOCKET(0)].knocked = true;
	else if (what >= WATCH_DAEMON(0))
		h->listeners[what - WATCH_DAEMON(0)].ready = true;
}

static void *
http_main(void *arg)
{
	struct http *h = arg;
	struct epoll_event evs[EVENTS_MAX];
	int n, wait;

	thread_begin("fanfare-http", THREAD_PROMPT);
	auth_fetch_watch(h->fetch, h->auth);
	/* When stopping, whoever waits for a commit is still answered; the store answers
	 * all of them, but nothing may keep the process for ever. */
	while (!h->stopping || (is_awaited(h) && clock_mono_ms() < h->stop_by)) {
		wait = wait_time(h);
		pass_on_appends(h, false);
		n = epoll_wait(h->epfd, evs, EVENTS_MAX,
		    h->appends_tail == &h->appends ? wait : 0);
		pass_on_appends(h, n <= 0 && wait > 0);
		if (n == -1 && errno != EINTR)
			log_warn("http: epoll_wait");
		for (int i = 0; i < n; i++)
			note_event(h, evs[i].data.u32);
		take_mail(h);
		follow_keys(h);
		auth_pool_tick(h->pool, h->auth);
		control_tick(h);
		lobby_tick(h);
		run_daemons(h, n <= 0 && wait == WAIT_MS);
		deadline_tick(h);	/* what has come is read */
		log_tell_dropped();
		refusals_tell(h, false);
		if (h->ending)
			end_when_idle(h);
	}
	pass_on_appends(h, true);
	take_mail(h);
	refusals_tell(h, true);
	/* The answers just queued go out before the daemons stop. */
	run_daemons(h, true);
	if (h->waiting > 0)
		/* libmicrohttpd would abort; the process is ending anyway. */
		log_error("http: %zu requests were never answered", h->waiting);
	for (size_t i = 0; i < h->nlisteners && h->waiting == 0; i++) {
		MHD_stop_daemon(h->listeners[i].daemon);
		h->listeners[i].daemon = NULL;
	}
	return NULL;
}

int
http_start(struct http *h)
{
	if (auth_pool_start(h->pool) == -1)
		return -1;
	if ((errno = pthread_create(&h->thread, NULL, http_main, h)) != 0) {
		log_warn("http: start");
		auth_pool_stop(h->pool);
		return -1;
	}
	h->started = true;
	return 0;
}

void
http_leave_queue(struct http *h)
{
	h->leave.kind = HTTP_LEAVE;
	mailbox_post(h->box, &h->leave, true);
}

void
http_stop(struct http *h)
{
	if (!h->started)
		return;
	h->stop.kind = HTTP_STOP;
	mailbox_post(h->box, &h->stop, true);
	(void)pthread_join(h->thread, NULL);
	h->started = false;
}

void
http_reload(struct http *h, struct auth *auth)
{
	struct reload *m;

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		log_warn("http: reload");
		auth_free(auth);
		return;
	}
	m->msg.kind = HTTP_RELOAD;
	m->auth = auth;
	mailbox_post(h->box, &m->msg, true);
}
