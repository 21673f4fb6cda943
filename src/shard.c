/*
 * shard.c - the loop of one stream thread.
 *
 * A pass: take the mailbox (events are matched and queued as references), do the ready
 * sockets, write once to each stream that owes anything, give pages to some of those
 * that catch up, run timers, reap.  Nothing blocks: a socket that is full leaves its
 * bytes in the stream.
 *
 * A stream that dies stays in its lists until the end of the pass.
 */
#include "config.h"

#include "shard.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mailbox.h"
#include "metrics.h"
#include "thread.h"
#include "walk.h"

#define WHEEL_SLOTS	512		/* of TICK_MS each */
#define TICK_MS		100
#define EVENTS_MAX	256
#define STEPS_MAX	64		/* pages given in one pass */
#define MAILBOX_MAX	(16u * 1024 * 1024)
#define NEWS_OVERHEAD	256
#define PAGE_BYTES	(64 * 1024)
#define HOLD_MS		2000
#define SEND_BUFFER	(64 * 1024)	/* the kernel doubles it; else it grows to 4 MB
					 * for each slow reader */

enum shard_msg { SHARD_NEWS, SHARD_SKIP, SHARD_ADOPT, SHARD_PAGE, SHARD_DRAIN,
	SHARD_GROUNDS, SHARD_WALK, SHARD_STOP };

struct news {
	struct msg	 msg;
	size_t		 n;
	struct frame	*frames[];
};

struct grounds {
	struct msg	 msg;
	size_t		 n;
	uint64_t	 ids[];
};

struct drain {
	struct msg	 msg;
	int64_t		 over_ms;
};

struct shard {
	struct shard_conf conf;
	struct stream_env env;		/* must be reachable from it: see env_shard */
	struct mailbox	*box;
	int		 epfd;
	pthread_t	 thread;
	bool		 started, stop;
	/* Made beforehand: the end must not hang on memory. */
	struct msg	 stop_msg;
	struct drain	 drain;
	struct stream_list all, wheel[WHEEL_SLOTS];
	int64_t		 wheel_at;	/* the tick the wheel stands at */
	size_t		 nstreams, njobs;
	uint64_t	 adopted;	/* streams, ever */
	struct walks	 walks;
	struct entry	*offering;	/* the event being matched */

	/* of whoever posts news */
	struct msg	 skip_msg;
	pthread_mutex_t	 skip_lock;	/* after mailbox order: see shard_news */
	uint64_t	 skip_to;	/* skip_lock; 0: no SHARD_SKIP is under way */

	_Atomic(size_t)	 shown_streams;
	_Atomic(int64_t) turned_at;
};

static struct shard *
env_shard(struct stream_env *env)
{
	return (struct shard *)((char *)env - offsetof(struct shard, env));
}

static void
page_done(struct page_job *j)
{
	/* The reader's thread; owner is the stream's thread's to look at, so the way
	 * back is kept beside it. */
	struct shard *sh = j->reply_to;

	j->msg.kind = SHARD_PAGE;
	j->msg.bytes = 0;
	mailbox_post(sh->box, &j->msg, true);
}

static void
read_page(struct stream_env *env, struct page_job *j)
{
	struct shard *sh = env_shard(env);

	j->reply_to = sh;
	j->done = page_done;
	sh->njobs++;
	store_read(sh->conf.store, j);
}

static void
arm(struct stream_env *env, struct stream *s, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };

	if (s->armed == on)
		return;
	s->armed = on;
	if (on)
		ev.events |= EPOLLOUT;
	ev.data.ptr = s;
	if (epoll_ctl(env_shard(env)->epfd, EPOLL_CTL_MOD, s->fd, &ev) == -1)
		log_warn("shard: epoll_ctl");
}

static void
retime(struct stream_env *env, struct stream *s)
{
	struct shard *sh = env_shard(env);
	int64_t ticks;

	if (s->state == STREAM_DEAD)
		return;
	TAILQ_REMOVE(&sh->wheel[s->slot], s, wheel);
	/* Never the slot the wheel stands at: it is being walked. */
	ticks = (stream_due(env, s) - env->now_ms) / TICK_MS + 1;
	if (ticks < 1)
		ticks = 1;
	if (ticks > WHEEL_SLOTS - 1)
		ticks = WHEEL_SLOTS - 1;
	s->slot = (uint32_t)((sh->wheel_at + ticks) % WHEEL_SLOTS);
	TAILQ_INSERT_TAIL(&sh->wheel[s->slot], s, wheel);
}

struct shard *
shard_new(const struct shard_conf *c)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct shard *sh;

	if ((sh = calloc(1, sizeof(*sh))) == NULL) {
		log_warn("shard");
		return NULL;
	}
	sh->conf = *c;
	if (sh->conf.limits.mailbox_bytes == 0)
		sh->conf.limits.mailbox_bytes = MAILBOX_MAX;
	sh->skip_msg.kind = SHARD_SKIP;
	(void)pthread_mutex_init(&sh->skip_lock, NULL);
	TAILQ_INIT(&sh->all);
	walks_init(&sh->walks);
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		TAILQ_INIT(&sh->wheel[i]);
	TAILQ_INIT(&sh->env.dirty);
	TAILQ_INIT(&sh->env.ready);
	TAILQ_INIT(&sh->env.dead);
	sh->env.store = c->store;
	sh->env.queue_bytes = c->queue_bytes;
	sh->env.max_replay = c->max_replay;
	sh->env.page_bytes = c->limits.page_bytes > 0 ? c->limits.page_bytes :
	    PAGE_BYTES;
	sh->env.hold_ms = c->limits.hold_ms > 0 ? c->limits.hold_ms : HOLD_MS;
	sh->env.heartbeat_ms = c->heartbeat_ms;
	sh->env.retry_ms = c->retry_ms;
	sh->env.stall_ms = c->stall_ms;
	sh->env.read = read_page;
	sh->env.arm = arm;
	sh->env.retime = retime;
	if ((sh->epfd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		log_warn("shard: epoll_create1");
		goto fail_sh;
	}
	if ((sh->box = mailbox_new()) == NULL)
		goto fail_epfd;
	if (epoll_ctl(sh->epfd, EPOLL_CTL_ADD, mailbox_fd(sh->box), &ev) == -1) {
		log_warn("shard: epoll_ctl");
		goto fail_box;
	}
	if ((sh->env.index = index_new(sizeof(struct node))) == NULL) {
		log_warn("shard: index");
		goto fail_box;
	}
	tail_init(&sh->env.tail, sh->env.index, c->tail_bytes, c->threads);
	return sh;

fail_box:
	mailbox_free(sh->box);
fail_epfd:
	close(sh->epfd);
fail_sh:
	free(sh);
	return NULL;
}

static void
offer_node(void *arg, void *node)
{
	struct shard *sh = arg;
	struct node *n = node;

	for (uint32_t i = 0; i < n->nsubs; i++)
		stream_offer(&sh->env, n->subs[i].stream, sh->offering);
}

static void
take_news(struct shard *sh, struct news *m)
{
	struct tail *t = &sh->env.tail;
	struct stream *s;
	struct entry *e;
	uint64_t before;

	for (size_t i = 0; i < m->n; i++) {
		before = t->position;
		if (m->frames[i]->id.seq <= before) {	/* skipped past it */
			frame_unref(m->frames[i]);
			continue;
		}
		if ((e = tail_add(t, m->frames[i])) == NULL) {
			log_warnx("shard: out of memory; streams read the log");
			TAILQ_FOREACH(s, &sh->all, all) {
				if (s->state == STREAM_LIVE && s->cursor < before)
					s->cursor = before;
				stream_fall_back(&sh->env, s);
			}
			continue;
		}
		sh->offering = e;
		offer_node(sh, e->node);
		index_match(sh->env.index, e->frame->topic, e->frame->topic_len,
		    offer_node, sh);
	}
	free(m);
}

/* The hub gave up posting: go on from the log. */
static void
take_skip(struct shard *sh)
{
	uint64_t to, before = sh->env.tail.position;
	struct stream *s;

	pthread_mutex_lock(&sh->skip_lock);
	to = sh->skip_to;
	sh->skip_to = 0;
	pthread_mutex_unlock(&sh->skip_lock);
	if (to <= before)
		return;
	TAILQ_FOREACH(s, &sh->all, all) {
		/* A live stream has had everything up to here. */
		if (s->state == STREAM_LIVE && s->cursor < before)
			s->cursor = before;
		stream_fall_back(&sh->env, s);
	}
	tail_skip_to(&sh->env.tail, to);
}

/* A peer that vanished is noticed when heartbeats stay unacknowledged; one that is only
 * slow must live for stream.stall, so the kernel's patience is a little longer. */
static void
tune_socket(const struct shard *sh, int fd)
{
	const int one = 1, dead_ms = (int)(sh->conf.stall_ms + 10000);
	const int sndbuf = sh->conf.limits.send_bytes > 0 ?
	    sh->conf.limits.send_bytes : SEND_BUFFER;

	/* All of them are improvements only; on a unix socket those of TCP fail. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms,
	    sizeof(dead_ms));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

static void
close_stream(struct shard *sh, struct stream *s)
{
	/* libmicrohttpd may still have its own descriptor of this socket: closing ours
	 * alone would leave the socket, and this pointer, in the epoll set.  (It is not
	 * in there when adopt() failed.) */
	(void)epoll_ctl(sh->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	stream_fini(&sh->env, s);
	walks_skip(&sh->walks, s);
	TAILQ_REMOVE(&sh->all, s, all);
	TAILQ_REMOVE(&sh->wheel[s->slot], s, wheel);
	sh->nstreams--;
	atomic_store_explicit(&sh->shown_streams, sh->nstreams,
	    memory_order_relaxed);
	metric_add(METRIC_STREAMS, -1);
	sh->conf.interest(sh->conf.arg, sh->conf.number, s->ask.topics, -1);
	sh->conf.closed(sh->conf.arg, &s->ask);
	stream_free(s);
}

static void
adopt(struct shard *sh, struct stream *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };

	s->number = ++sh->adopted;
	TAILQ_INSERT_TAIL(&sh->all, s, all);
	s->slot = (uint32_t)(sh->wheel_at % WHEEL_SLOTS);
	TAILQ_INSERT_TAIL(&sh->wheel[s->slot], s, wheel);
	sh->nstreams++;
	atomic_store_explicit(&sh->shown_streams, sh->nstreams,
	    memory_order_relaxed);
	metric_add(METRIC_STREAMS, 1);
	metric_add(METRIC_STREAMS_OPENED, 1);
	sh->conf.interest(sh->conf.arg, sh->conf.number, s->ask.topics, 1);
	tune_socket(sh, s->fd);
	ev.data.ptr = s;
	if (epoll_ctl(sh->epfd, EPOLL_CTL_ADD, s->fd, &ev) == -1) {
		log_warn("shard: epoll_ctl");
		close_stream(sh, s);
		return;
	}
	if (stream_init(&sh->env, s) == -1) {
		log_warnx("shard: out of memory; one stream is dropped");
		close_stream(sh, s);
		return;
	}
	if (sh->env.drain_until != 0)
		stream_end(&sh->env, s, CLOSE_DRAIN, "the server is restarting",
		    stream_return_ms(sh->env.drain_until, sh->env.now_ms,
		    sh->env.retry_ms));
	else
		stream_lose(&sh->env, s, s->ask.lost);
	retime(&sh->env, s);
}

static void
take_page(struct shard *sh, struct page_job *j)
{
	struct stream *s = j->owner;

	sh->njobs--;
	if (s == NULL)
		page_job_free(j);	/* the stream has left meanwhile */
	else
		stream_page(&sh->env, s, j);
}

static void
take_drain(struct shard *sh, int64_t over_ms)
{
	struct stream *s;

	sh->env.drain_until = sh->env.now_ms + over_ms;
	TAILQ_FOREACH(s, &sh->all, all) {
		if (s->cut)
			continue;
		s->end_at = sh->env.now_ms + (int64_t)clock_random(
		    (uint64_t)over_ms + 1);
		retime(&sh->env, s);
	}
}

static bool
still_there(const struct grounds *g, uint64_t id)
{
	size_t i;

	for (i = 0; i < g->n && g->ids[i] != id; i++)
		;
	return id == 0 || i < g->n;
}

static void
take_grounds(struct shard *sh, const struct grounds *g)
{
	struct stream *s;

	TAILQ_FOREACH(s, &sh->all, all)
		if (!still_there(g, s->ask.grounds[0]))
			stream_lose(&sh->env, s, LOST_KEY);
		else if (!still_there(g, s->ask.grounds[1]) ||
		    !still_there(g, s->ask.grounds[2]))
			stream_lose(&sh->env, s, LOST_RULES);
}

static void
take_mail(struct shard *sh)
{
	struct msg *m, *next;

	for (m = mailbox_take(sh->box); m != NULL; m = next) {
		next = m->next;
		switch ((enum shard_msg)m->kind) {
		case SHARD_NEWS:
			take_news(sh, (struct news *)m);
			break;
		case SHARD_SKIP:
			take_skip(sh);
			break;
		case SHARD_ADOPT:
			adopt(sh, (struct stream *)m);
			break;
		case SHARD_PAGE:
			take_page(sh, (struct page_job *)m);
			break;
		case SHARD_DRAIN:
			take_drain(sh, sh->drain.over_ms);
			break;
		case SHARD_GROUNDS:
			take_grounds(sh, (struct grounds *)m);
			free(m);
			break;
		case SHARD_WALK:
			walks_begin(&sh->walks, (struct walk_part *)m, sh->adopted);
			break;
		case SHARD_STOP:
			sh->stop = true;
			break;
		}
	}
}

/* Whatever a subscriber sends after its request is of no use; its end is. */
static void
read_socket(struct shard *sh, struct stream *s)
{
	char junk[1024];
	ssize_t n;

	n = recv(s->fd, junk, sizeof(junk), MSG_DONTWAIT);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		stream_fail(&sh->env, s, n == 0 ? 0 : errno);
}

static int
socket_error(int fd)
{
	socklen_t len;
	int error;

	len = sizeof(error);
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : 0;
}

static void
do_sockets(struct shard *sh, const struct epoll_event *evs, int n)
{
	struct stream *s;

	for (int i = 0; i < n; i++) {
		if ((s = evs[i].data.ptr) == NULL)
			continue;		/* the mailbox: taken each pass */
		if (evs[i].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
			stream_fail(&sh->env, s, evs[i].events & EPOLLERR ?
			    socket_error(s->fd) : 0);
			continue;
		}
		if (evs[i].events & EPOLLIN)
			read_socket(sh, s);
		if (evs[i].events & EPOLLOUT)
			stream_writable(&sh->env, s);
	}
}

static void
write_dirty(struct shard *sh)
{
	struct stream *s, *last = TAILQ_LAST(&sh->env.dirty, stream_list);

	/* Those that come back in for their next share wait for the next pass. */
	while (last != NULL && (s = TAILQ_FIRST(&sh->env.dirty)) != NULL) {
		TAILQ_REMOVE(&sh->env.dirty, s, dirty);
		s->is_dirty = false;
		stream_write(&sh->env, s);
		if (s == last)
			break;
	}
}

static void
step_ready(struct shard *sh)
{
	struct stream *s, *last = TAILQ_LAST(&sh->env.ready, stream_list);

	/* Each at most once: who wants more waits for the next pass. */
	for (int i = 0; last != NULL && i < STEPS_MAX &&
	    (s = TAILQ_FIRST(&sh->env.ready)) != NULL; i++) {
		TAILQ_REMOVE(&sh->env.ready, s, ready);
		s->is_ready = false;
		stream_step(&sh->env, s);
		if (s == last)
			break;
	}
}

static void
run_timers(struct shard *sh)
{
	struct stream_list due;
	struct stream *s;
	int64_t tick = sh->env.now_ms / TICK_MS;
	uint32_t slot;

	while (sh->wheel_at < tick) {
		sh->wheel_at++;
		slot = (uint32_t)(sh->wheel_at % WHEEL_SLOTS);
		TAILQ_INIT(&due);
		TAILQ_CONCAT(&due, &sh->wheel[slot], wheel);
		while ((s = TAILQ_FIRST(&due)) != NULL) {
			/* Back into its slot first, where retime() looks for it. */
			TAILQ_REMOVE(&due, s, wheel);
			TAILQ_INSERT_TAIL(&sh->wheel[slot], s, wheel);
			if (stream_due(&sh->env, s) <= sh->env.now_ms)
				stream_timer(&sh->env, s);
			retime(&sh->env, s);
		}
	}
}

static void
reap(struct shard *sh)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&sh->env.dead)) != NULL)
		close_stream(sh, s);
}

static void
tally(struct shard *sh)
{
	if (sh->env.writes == 0)
		return;
	metric_add(METRIC_DELIVERIES, sh->env.deliveries);
	metric_add(METRIC_SENT_BYTES, sh->env.sent_bytes);
	metric_add(METRIC_WRITES, sh->env.writes);
	sh->env.deliveries = sh->env.sent_bytes = sh->env.writes = 0;
}

static void
set_clocks(struct shard *sh)
{
	sh->env.now_ms = clock_mono_ms();
	sh->env.wall_ms = clock_wall_ms();
	atomic_store_explicit(&sh->turned_at, sh->env.now_ms,
	    memory_order_relaxed);
}

static void *
shard_main(void *arg)
{
	struct shard *sh = arg;
	struct epoll_event evs[EVENTS_MAX];
	int n, wait_ms;

	thread_begin("fanfare-stream", THREAD_STEADY);
	set_clocks(sh);
	sh->wheel_at = sh->env.now_ms / TICK_MS;
	while (!sh->stop) {
		wait_ms = TAILQ_EMPTY(&sh->env.dirty) &&
		    TAILQ_EMPTY(&sh->env.ready) && walks_idle(&sh->walks) ?
		    TICK_MS : 0;
		if (wait_ms > 0 && sh->nstreams == 0)
			wait_ms = 1000;
		n = epoll_wait(sh->epfd, evs, EVENTS_MAX, wait_ms);
		if (n == -1 && errno != EINTR)
			log_warn("shard: epoll_wait");
		set_clocks(sh);
		take_mail(sh);
		walks_step(&sh->walks, &sh->env, &sh->all);
		do_sockets(sh, evs, n);
		write_dirty(sh);
		step_ready(sh);
		write_dirty(sh);
		run_timers(sh);
		reap(sh);
		tally(sh);
	}
	/* Jobs under way come back to the mailbox: sweep(). */
	while (!TAILQ_EMPTY(&sh->all))
		close_stream(sh, TAILQ_FIRST(&sh->all));
	walks_fini(&sh->walks);
	return NULL;
}

int
shard_start(struct shard *sh)
{
	sh->turned_at = clock_mono_ms();
	if ((errno = pthread_create(&sh->thread, NULL, shard_main, sh)) != 0) {
		log_warn("shard: start");
		return -1;
	}
	sh->started = true;
	return 0;
}

static void
post(struct shard *sh, struct msg *m, enum shard_msg kind)
{
	m->kind = (int)kind;
	mailbox_post(sh->box, m, true);
}

void
shard_stop(struct shard *sh)
{
	if (!sh->started)
		return;
	post(sh, &sh->stop_msg, SHARD_STOP);
	(void)pthread_join(sh->thread, NULL);
	sh->started = false;
}

/* What came too late for the thread. */
static void
sweep(struct shard *sh)
{
	struct msg *m, *next;
	struct stream *s;

	for (m = mailbox_take(sh->box); m != NULL; m = next) {
		next = m->next;
		switch ((enum shard_msg)m->kind) {
		case SHARD_NEWS:
			take_news(sh, (struct news *)m);
			break;
		case SHARD_SKIP:
			break;
		case SHARD_ADOPT:
			s = (struct stream *)m;
			sh->conf.closed(sh->conf.arg, &s->ask);
			stream_free(s);
			break;
		case SHARD_PAGE:
			page_job_free((struct page_job *)m);
			break;
		case SHARD_GROUNDS:
			free(m);
			break;
		case SHARD_WALK:
			walk_drop((struct walk_part *)m);
			break;
		case SHARD_DRAIN:
		case SHARD_STOP:
			break;
		}
	}
}

void
shard_free(struct shard *sh)
{
	if (sh == NULL)
		return;
	assert(!sh->started);
	sweep(sh);
	tail_fini(&sh->env.tail);
	index_free(sh->env.index, NULL);
	mailbox_free(sh->box);
	close(sh->epfd);
	(void)pthread_mutex_destroy(&sh->skip_lock);
	free(sh);
}

void
shard_news(struct shard *sh, struct frame **frames, size_t n, bool wake)
{
	struct news *m = NULL;
	bool first;

	pthread_mutex_lock(&sh->skip_lock);
	if (sh->skip_to == 0 &&
	    mailbox_bytes(sh->box) <= sh->conf.limits.mailbox_bytes)
		m = malloc(sizeof(*m) + n * sizeof(struct frame *));
	if (m == NULL) {
		/* While a SHARD_SKIP is under way it carries this along. */
		first = sh->skip_to == 0;
		sh->skip_to = frames[n - 1]->id.seq;
		pthread_mutex_unlock(&sh->skip_lock);
		for (size_t i = 0; i < n; i++)
			frame_unref(frames[i]);
		if (first) {
			metric_add(METRIC_NEWS_SKIPPED, 1);
			mailbox_post(sh->box, &sh->skip_msg, true);
		}
		return;
	}
	pthread_mutex_unlock(&sh->skip_lock);
	m->msg.kind = SHARD_NEWS;
	m->msg.bytes = NEWS_OVERHEAD;
	m->n = n;
	for (size_t i = 0; i < n; i++) {
		m->frames[i] = frames[i];
		m->msg.bytes += frames[i]->bytes;
	}
	mailbox_post(sh->box, &m->msg, wake ||
	    mailbox_bytes(sh->box) > sh->conf.limits.mailbox_bytes / 16);
}

void
shard_load(struct shard *sh, struct frame **frames, size_t n, uint64_t floor)
{
	tail_skip_to(&sh->env.tail, floor);
	for (size_t i = 0; i < n; i++)
		(void)tail_add(&sh->env.tail, frames[i]);	/* or the log has it */
}

void
shard_adopt(struct shard *sh, struct stream *s)
{
	s->msg.bytes = 0;
	post(sh, &s->msg, SHARD_ADOPT);
}

void
shard_drain(struct shard *sh, int64_t over_ms)
{
	sh->drain.over_ms = over_ms;
	post(sh, &sh->drain.msg, SHARD_DRAIN);
}

int
shard_keep_grounds(struct shard *sh, const uint64_t *ids, size_t n)
{
	struct grounds *g = calloc(1, sizeof(*g) + n * sizeof(ids[0]));

	if (g == NULL)
		return -1;
	g->n = n;
	if (n > 0)
		memcpy(g->ids, ids, n * sizeof(ids[0]));
	post(sh, &g->msg, SHARD_GROUNDS);
	return 0;
}

void
shard_walk(struct shard *sh, struct walk_part *p)
{
	p->msg.bytes = 0;
	post(sh, &p->msg, SHARD_WALK);
}

size_t
shard_streams(const struct shard *sh)
{
	return atomic_load_explicit(&sh->shown_streams, memory_order_relaxed);
}

int64_t
shard_turned_at(const struct shard *sh)
{
	return atomic_load_explicit(&sh->turned_at, memory_order_relaxed);
}
