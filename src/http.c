/*
 * http.c - the http thread: libmicrohttpd in our own loop.
 *
 * Each listening socket has a daemon without a thread; its epoll descriptor stands in
 * ours beside the mailbox, the socket (http_accept.c) and the lobby, where those wait
 * whose request has not come whole (http_lobby.c).  A request that waits for a
 * commit or a page is suspended, and resumed here when the message comes.
 * (libmicrohttpd's own thread would wait without limit when exactly 128 events are
 * ready.)
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

#define CONNECTION_MEMORY	(40u * 1024)	/* half for the head: http_guard.h */
#define WAIT_MS			1000
#define STOP_MS			10000
#define LINGER_MS		500	/* for what is on its way to us */
#define LINGER_LOOK_MS		10
#define GATHER_US		500	/* publishes for one commit */
#define HEAD_TIMEOUT_MS		10000
#define BODY_TIMEOUT_MS		30000
#define SEND_BUFFER		(128 * 1024)	/* the kernel doubles it */
#define SEND_BUFFER_DEFAULT	(16 * 1024)	/* tcp(7): it grows from there */

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
	    .max_waiting = c->max_checks,
	    .max_parked = c->max_connections / 8 };
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
	    request_handle, NULL,
	    MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned int)l->max_connections,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
	    MHD_OPTION_CONNECTION_TIMEOUT, HANDOFF_DAEMON_TIMEOUT_S,
	    MHD_OPTION_URI_LOG_CALLBACK, request_begin, l,
	    MHD_OPTION_NOTIFY_COMPLETED, request_end, NULL,
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

/* End streams that rest on a key or on rules that `a` does not have.  0, or -1: no
 * memory. */
static int
keep_grounds(struct http *h, const struct auth *a)
{
	size_t keys = auth_key_ids(a, NULL, 0), rules = auth_rule_ids(a, NULL, 0);
	uint64_t *ids = calloc(keys + rules, sizeof(*ids));
	int r;

	if (ids == NULL)
		return -1;
	(void)auth_key_ids(a, ids, keys);
	(void)auth_rule_ids(a, ids + keys, rules);
	r = hub_keep_grounds(h->conf.hub, ids, keys + rules);
	h->grounds_told += r == 0;
	free(ids);
	return r;
}

/* Keys came or went: nothing may rest on those that went.  Tried until there is memory
 * for it. */
static void
follow_keys(struct http *h)
{
	if (!h->keys_changed || auth_cache_keep(h->auth) == -1 ||
	    keep_grounds(h, h->auth) == -1)
		return;
	h->keys_changed = false;
}

static void
take_reload(struct http *h, struct auth *auth)
{
	bool open_less = !auth_inherit(auth, h->auth);

	/* First, for a key that is gone must not leave streams behind. */
	if (keep_grounds(h, auth) == -1) {
		log_warnx("http: reload: no memory; the old keys stay");
		auth_free(auth);
		return;
	}
	auth_free(h->auth);
	h->auth = auth;
	auth_fetch_watch(h->fetch, auth);
	auth_pool_look(h->pool, auth);
	log_info("http: keys and topic rules are reloaded%s", open_less ?
	    "; streams that rest on rules which open less now come back to be judged anew" :
	    "");
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
