/*
 * stream.c - the queue, the writing, the way from the past to live.
 *
 * See stream.h for the rules.
 */
#include "config.h"

#include "stream.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "sse.h"
#include "stream_internal.h"

#define STREAM_MAGIC	0x73747265u
#define IOV_MAX_ENTRIES	64
#define SHARE_BYTES	(256 * 1024)	/* one stream's share of a pass */
#define EXPIRING_MS	30000
#define CUT_MS		800		/* for fanfare.close to leave, when revoked */
#define LOOKS		4		/* in stream.stall */

struct stream *
stream_new(const struct stream_ask *ask)
{
	struct stream *s;

	if ((s = calloc(1, sizeof(*s) + ask->topics->n * sizeof(s->subs[0]))) ==
	    NULL) {
		topics_unref(ask->topics);
		return NULL;
	}
	s->magic = STREAM_MAGIC;
	s->fd = -1;
	s->ask = *ask;
	s->q = s->q_inline;
	s->q_cap = STREAM_INLINE;
	return s;
}

static const char *
keep(char **at, const char *text)
{
	const char *kept = *at;

	if (text == NULL)
		return NULL;
	*at = stpcpy(*at, text) + 1;
	return kept;
}

struct stream_who *
stream_who_new(const char *sub, const char *jti, const char *issuer)
{
	struct stream_who *w;
	char *at;

	if ((w = malloc(sizeof(*w) + (sub != NULL ? strlen(sub) + 1 : 0) +
	    (jti != NULL ? strlen(jti) + 1 : 0) + strlen(issuer) + 1)) == NULL)
		return NULL;
	at = w->text;
	w->sub = keep(&at, sub);
	w->jti = keep(&at, jti);
	w->issuer = keep(&at, issuer);
	return w;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	assert(s->magic == STREAM_MAGIC);
	assert(s->q_len == 0 && !s->job_running);
	if (s->fd != -1)
		close(s->fd);
	if (s->q != s->q_inline)
		free(s->q);
	page_job_free(s->job);
	topics_unref(s->ask.topics);
	free(s->who);
	s->magic = 0;
	free(s);
}

static void
set_cursor(struct stream *s, uint64_t seq)
{
	if (seq > s->cursor) {
		s->cursor = seq;
		s->moved = true;
	}
}

/* More than it may owe: it drops what can be had again, and catches up.  `next` is the
 * seq of an event that is not queued for it, or 0. */
static void
overrun(struct stream_env *env, struct stream *s, uint64_t next)
{
	metric_add(METRIC_STREAMS_OVERRUN, 1);
	stream_unqueue(s, next);
	s->state = STREAM_CATCHING_UP;
	s->want = WANT_AFTER;
	stream_set_ready(env, s);
}

/* A small event holds many times its bytes.  That counts against who is blocked and may
 * keep them for long; a burst for a healthy reader is gone at the end of the pass. */
static bool
has_room(const struct stream_env *env, const struct stream *s, const struct entry *e,
    size_t len)
{
	return s->q_bytes - s->q_sent + len <= env->queue_bytes && (!s->blocked ||
	    s->q_held + stream_entry_held(s, e, len) <= env->queue_bytes);
}

void
stream_offer(struct stream_env *env, struct stream *s, struct entry *e)
{
	uint64_t seq = e->frame->id.seq;
	size_t len;

	if (s->state != STREAM_LIVE || seq <= s->cursor)
		return;
	if (stream_entry_bytes(s, e, &len) == NULL)
		len = env->queue_bytes;		/* no memory: from the log, later */
	if (s->q_len > 0 && !has_room(env, s, e, len)) {
		overrun(env, s, seq);
		return;
	}
	stream_queue(env, s, e);
	set_cursor(s, seq);
}

void
stream_fall_back(struct stream_env *env, struct stream *s)
{
	if (s->state != STREAM_LIVE)
		return;
	s->state = STREAM_CATCHING_UP;
	s->want = WANT_AFTER;
	s->counted = false;
	stream_set_ready(env, s);
}

/* A gap, and what follows from it. */
static void
tell_gap(struct stream_env *env, struct stream *s, enum gap_reason why,
    uint64_t oldest)
{
	struct buf b = { 0 };
	char at[EVENT_ID_SIZE];
	const char *requested = s->ask.requested;

	if (s->moved) {
		(void)event_id_format(at, store_id_of(env->store, s->cursor));
		requested = at;
	}
	stream_add_gap(&b, why, s->ask.topics, requested,
	    store_id_of(env->store, oldest));
	stream_queue_control(env, s, ENTRY_GAP, "fanfare.gap", NULL, &b);
	buf_fini(&b);
	s->gapped = true;
	metric_add(METRIC_GAPS, 1);
}

static void
begin_anew(struct stream_env *env, struct stream *s)
{
	s->want = s->ask.replay > 0 ? WANT_REPLAY :
	    s->ask.since_ms > 0 ? WANT_SINCE : s->gapped ? WANT_AFTER : WANT_LIVE;
	/* Who was told of a hole may fill it from elsewhere, up to now: nothing may be
	 * missing behind that. */
	if (s->want == WANT_LIVE || s->want == WANT_AFTER)
		set_cursor(s, env->tail.position);
}

/* Caught up: everything to the position was queued. */
static void
go_live(struct stream_env *env, struct stream *s)
{
	struct event_id id;
	struct buf b = { 0 };

	s->state = STREAM_LIVE;
	if (s->cursor < env->tail.position)
		set_cursor(s, env->tail.position);
	page_job_free(s->job);
	s->job = NULL;
	if (s->live_told)
		return;
	s->live_told = true;
	id.epoch = store_head(env->store).epoch;
	id.seq = s->cursor;
	buf_addf(&b, "{\"resumed\":%s,\"topics\":",
	    s->ask.has_cursor && s->ask.cursor_is_good && !s->gapped ?
	    "true" : "false");
	stream_add_topics(&b, s->ask.topics);
	/* For a watchdog: how long silence is no bad sign. */
	if (s->ask.visible_heartbeat)
		buf_addf(&b, ",\"heartbeat\":%lld", (long long)env->heartbeat_ms);
	buf_addc(&b, '}');
	stream_queue_control(env, s, ENTRY_LIVE, "fanfare.live", &id, &b);
	buf_fini(&b);
}

static void
submit(struct stream_env *env, struct stream *s, enum page_kind kind)
{
	struct page_job *j = s->job;

	if (kind != PAGE_PLAN) {
		page_job_free(j);
		if ((j = s->job = page_job_new(kind, s->ask.topics)) == NULL) {
			stream_kill(env, s);
			return;
		}
	}
	j->kind = kind;
	j->cursor = s->cursor;
	j->since_ms = s->ask.since_ms;
	j->per_topic = s->ask.replay;
	/* Behind after it was served: twice as patient, as it may be catching up with
	 * a whole page of the past while more comes in. */
	j->max_events = kind == PAGE_REPLAY ? 1000 :
	    s->moved ? 2 * env->max_replay : env->max_replay;
	j->counted = s->counted;
	j->max_bytes = env->page_bytes;
	j->charge = true;
	j->owner = s;
	s->job_running = true;
	metric_add(METRIC_LOG_PAGES, 1);
	env->read(env, j);
}

void
stream_page(struct stream_env *env, struct stream *s, struct page_job *j)
{
	struct entry *e;
	uint64_t oldest;

	assert(s->job == j);
	s->job_running = false;
	if (s->state != STREAM_CATCHING_UP)
		return;
	if (j->failed) {
		/* It comes back with its cursor, to a log that works again perhaps. */
		stream_end(env, s, CLOSE_OVERLOAD, "the log cannot be read now", 0);
		return;
	}
	/* In mid-stream, after too_far, it may be past that time. */
	if (j->kind == PAGE_SINCE && s->cursor < j->cursor)
		s->cursor = j->cursor;
	if (j->too_far) {
		tell_gap(env, s, GAP_TOO_FAR, j->n > 0 ? j->frames[0]->id.seq :
		    env->tail.position);
		if (j->kind != PAGE_SINCE) {
			begin_anew(env, s);
			stream_set_ready(env, s);
			return;
		}
	} else if (j->lost > s->cursor && (j->lost > s->told_lost ||
	    j->pruned_after != s->told_pruned)) {
		/* Told again on a later page if pruning has gone on meanwhile: what
		 * was lost since was not told of, even if it lies below. */
		oldest = j->n > 0 ? j->frames[0]->id.seq : j->through;
		tell_gap(env, s, GAP_EXPIRED, oldest);
		s->told_lost = j->lost;
		s->told_pruned = j->pruned_before & 1 ? UINT64_MAX :
		    j->pruned_before;
	}
	if (j->kind == PAGE_AFTER)
		s->counted = true;
	if (j->kind == PAGE_REPLAY)
		s->replay_through = j->plan_head;
	for (size_t i = 0; i < j->n && s->state == STREAM_CATCHING_UP; i++) {
		if (j->frames[i]->id.seq <= s->cursor)
			continue;	/* a replay in mid-stream: it had this one */
		if ((e = entry_new(j->frames[i], ENTRY_EVENT)) == NULL) {
			j->frames[i] = NULL;
			stream_kill(env, s);
			break;
		}
		j->frames[i] = NULL;
		stream_queue(env, s, e);
		set_cursor(s, e->frame->id.seq);
		entry_unref(e);
	}
	for (size_t i = 0; i < j->n; i++)
		frame_unref(j->frames[i]);
	free(j->frames);
	j->frames = NULL;
	j->n = 0;
	if (s->state == STREAM_DEAD)
		return;
	if (j->more)
		s->want = WANT_PLAN;
	else {
		/* Complete up to there, also where nothing was for this stream. */
		set_cursor(s, j->through);
		s->want = WANT_AFTER;
	}
	if (s->blocked)
		env->retime(env, s);	/* pages are not held for ever */
	stream_set_ready(env, s);
}

static void
step(struct stream_env *env, struct stream *s)
{
	env->stamp++;
	if (s->want != WANT_PLAN && s->cursor >= s->replay_through)
		s->replay_through = 0;		/* all of it is sent */
	switch (s->want) {
	case WANT_LIVE:
		go_live(env, s);
		return;
	case WANT_PLAN:
		submit(env, s, PAGE_PLAN);
		return;
	case WANT_REPLAY:
		if (!catch_up_replay(env, s))
			submit(env, s, PAGE_REPLAY);
		break;
	case WANT_SINCE:
		if (!catch_up_since(env, s)) {
			submit(env, s, PAGE_SINCE);
			break;
		}
		/* FALLTHROUGH */
	case WANT_AFTER:
		if (!catch_up_after(env, s)) {
			submit(env, s, PAGE_AFTER);
			return;
		}
		break;
	}
	if (s->state == STREAM_CATCHING_UP && !s->job_running &&
	    s->want == WANT_AFTER && s->cursor >= env->tail.position)
		go_live(env, s);
	stream_set_ready(env, s);
}

void
stream_step(struct stream_env *env, struct stream *s)
{
	if (!stream_may_step(s))
		return;
	step(env, s);
	if (s->q_len > 0)
		stream_set_dirty(env, s);	/* the preamble, if nothing else */
}

void
catch_up_queue(struct stream_env *env, struct stream *s, struct entry *e)
{
	stream_queue(env, s, e);
	set_cursor(s, e->frame->id.seq);
}

void
catch_up_gap(struct stream_env *env, struct stream *s, enum gap_reason why,
    uint64_t oldest, uint64_t lost)
{
	tell_gap(env, s, why, oldest);
	if (why == GAP_TOO_FAR)
		begin_anew(env, s);
	else {
		/* Lost before this process began, so told of for good here; but says
		 * nothing of what pages from the log will find lost. */
		s->told_lost = lost;
		s->told_pruned = UINT64_MAX;
	}
}

/*
 * Everything was sent: close both ways at once.  MHD's own descriptor is gone by now, so
 * close() reaches the client.
 */
static void
finish(struct stream_env *env, struct stream *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);	/* it may have left already */
	stream_kill(env, s);
}

/* Bytes that the socket took and the peer has not. */
static int
unacked_bytes(const struct stream *s)
{
	int n;

	return ioctl(s->fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* A socket that was full takes more when a third of it is free, and with a slow peer
 * that can be long after the peer took a byte: so it is the peer that is looked at. */
static void
block(struct stream_env *env, struct stream *s)
{
	s->blocked = true;
	if (s->state == STREAM_LIVE && s->q_len > 1 && s->q_held > env->queue_bytes)
		overrun(env, s, 0);
	s->unacked = unacked_bytes(s);
	s->acked_at = env->now_ms;
	s->look_at = env->now_ms + env->stall_ms / LOOKS;
	env->arm(env, s, true);
	env->retime(env, s);
}

static void
look(struct stream_env *env, struct stream *s)
{
	int n = unacked_bytes(s);

	if (n < s->unacked)
		s->acked_at = env->now_ms;
	s->unacked = n;
	s->look_at = env->now_ms + env->stall_ms / LOOKS;
}

static int64_t
stalled_at(const struct stream_env *env, const struct stream *s)
{
	return (s->blocked ? s->acked_at : s->progress_at) + env->stall_ms;
}

/* Its peer takes nothing, so what the kernel still has for it is not kept either. */
static void
reset(struct stream_env *env, struct stream *s)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	stream_kill(env, s);
}

static void
abandon(struct stream_env *env, struct stream *s)
{
	metric_add(METRIC_STREAMS_STALLED, 1);
	reset(env, s);
}

void
stream_fail(struct stream_env *env, struct stream *s, int error)
{
	/* The kernel's patience may end before ours: it counts from when the peer took
	 * nothing, we from when the socket was full. */
	if (s->state != STREAM_DEAD && error == ETIMEDOUT)
		metric_add(METRIC_STREAMS_STALLED, 1);
	stream_kill(env, s);
}

void
stream_write(struct stream_env *env, struct stream *s)
{
	struct iovec iov[IOV_MAX_ENTRIES];
	struct msghdr m = { .msg_iov = iov };
	size_t share = SHARE_BYTES, len, asked, left;
	const char *p;
	ssize_t n;

	if (s->ask.expires_ms != 0 && env->wall_ms >= s->ask.expires_ms &&
	    s->state != STREAM_ENDING && s->state != STREAM_DEAD) {
		stream_end(env, s, CLOSE_EXPIRED, "the token has expired", 0);
		metric_add(METRIC_STREAMS_EXPIRED, 1);
	}
	while (s->state != STREAM_DEAD && s->q_len > 0) {
		if (share == 0) {
			stream_set_dirty(env, s);	/* the rest in the next pass */
			return;
		}
		asked = 0;
		for (m.msg_iovlen = 0; m.msg_iovlen < s->q_len &&
		    m.msg_iovlen < IOV_MAX_ENTRIES && asked < share;
		    m.msg_iovlen++) {
			p = stream_entry_bytes(s, stream_queue_at(s, (uint32_t)m.msg_iovlen), &len);
			left = m.msg_iovlen == 0 ? s->q_sent : 0;
			iov[m.msg_iovlen].iov_base = (void *)(uintptr_t)(p + left);
			iov[m.msg_iovlen].iov_len = len - left;
			asked += len - left;
		}
		/* One piece is the rule, and cheaper without the vector. */
		n = m.msg_iovlen == 1 ? send(s->fd, iov[0].iov_base,
		    iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT) :
		    sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		env->writes++;
		if (n == -1) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				stream_fail(env, s, errno);	/* the client has left */
				return;
			}
			n = 0;
		}
		if (n > 0)
			s->progress_at = env->now_ms;
		env->sent_bytes += n;
		share -= (size_t)n < share ? (size_t)n : share;
		for (left = (size_t)n; left > 0;) {
			(void)stream_entry_bytes(s, stream_queue_at(s, 0), &len);
			if (left < len - s->q_sent) {
				s->q_sent += (uint32_t)left;
				break;
			}
			left -= len - s->q_sent;
			if (stream_queue_at(s, 0)->kind == ENTRY_EVENT)
				env->deliveries++;
			stream_queue_shift(s);
		}
		if ((size_t)n < asked) {
			block(env, s);
			return;
		}
	}
	if (s->state == STREAM_DEAD)
		return;
	stream_queue_shrink(s);
	if (s->state == STREAM_ENDING)
		finish(env, s);
	else
		stream_set_ready(env, s);
}

void
stream_writable(struct stream_env *env, struct stream *s)
{
	if (!s->blocked)
		return;
	s->blocked = false;
	env->arm(env, s, false);
	if (s->q_len > 0 || s->state == STREAM_ENDING)
		stream_set_dirty(env, s);
	else
		stream_set_ready(env, s);
}

void
stream_end(struct stream_env *env, struct stream *s, enum close_reason why,
    const char *detail, int64_t retry_ms)
{
	struct buf b = { 0 };

	if (s->state == STREAM_ENDING || s->state == STREAM_DEAD)
		return;
	if (retry_ms == 0)
		retry_ms = stream_jitter(env->retry_ms);
	stream_unqueue(s, 0);
	stream_add_close(&b, why, detail, NULL, retry_ms);
	stream_queue_bytes(env, s, &b, ENTRY_CLOSE);
	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_ENDING;
	stream_set_dirty(env, s);
	if (why != CLOSE_REVOKED)
		return;
	/* Who does not read must not hold on to what was taken from him. */
	metric_add(METRIC_REVOKED_STREAMS, 1);
	s->cut = true;
	s->end_at = env->now_ms + CUT_MS;
	env->retime(env, s);
}

void
stream_lose(struct stream_env *env, struct stream *s, enum stream_loss what)
{
	switch (what) {
	case LOST_NOTHING:
		break;
	case LOST_KEY:
		stream_end(env, s, CLOSE_REVOKED, "the key that vouched for it is gone", 0);
		break;
	case LOST_TOKEN:
		stream_end(env, s, CLOSE_REVOKED, "the token was revoked", 0);
		break;
	case LOST_RULES:
		stream_end(env, s, CLOSE_DRAIN, "the rules for topics have changed",
		    stream_return_ms(env->drain_until, env->now_ms, env->retry_ms));
		break;
	}
}

/* 30 s before the end, or a tenth of what was left when it came. */
static int64_t
expiring_ms(const struct stream_env *env, const struct stream *s)
{
	int64_t life = s->ask.expires_ms - (env->wall_ms - (env->now_ms -
	    s->opened_at));

	return s->ask.expires_ms -
	    (life / 10 < EXPIRING_MS ? life / 10 : EXPIRING_MS);
}

/* Does it keep a page, or most of one, that could be asked for again? */
static bool
can_drop_page(const struct stream *s)
{
	return s->state == STREAM_CATCHING_UP && s->q_len > 1 &&
	    s->replay_through == 0 &&
	    stream_queue_at(s, s->q_len - 1)->kind == ENTRY_EVENT;
}

/* Does it keep memory that others wait for?  What is half sent and what is a replay
 * stays, and would be all there is if enough of them stop in the middle of an event. */
static bool
holds_page(const struct stream *s)
{
	return s->blocked && s->q_len > 0 && (can_drop_page(s) ||
	    frame_is_charged(stream_queue_at(s, 0)->frame) ||
	    frame_is_charged(stream_queue_at(s, s->q_len - 1)->frame));
}

/* Others want the memory: what can be asked for again goes, the rest is the stream's. */
static void
let_page_go(struct stream *s)
{
	if (can_drop_page(s))
		stream_unqueue(s, 0);
	for (uint32_t i = 0; i < s->q_len; i++)
		frame_uncharge(stream_queue_at(s, i)->frame);
}

int64_t
stream_due(const struct stream_env *env, const struct stream *s)
{
	int64_t due = s->beat_at, at;

	if (s->end_at != 0 && s->end_at < due)
		due = s->end_at;
	if (s->q_len > 0) {
		at = stalled_at(env, s);
		if (at < due)
			due = at;
		if (s->blocked && s->look_at < due)
			due = s->look_at;
		at = s->progress_at + env->hold_ms;
		if (holds_page(s) && at < due)
			due = at;
	}
	if (s->ask.expires_ms != 0) {
		at = (s->expiring_told ? s->ask.expires_ms : expiring_ms(env, s)) -
		    env->wall_ms + env->now_ms;
		if (at < due)
			due = at;
	}
	return due;
}

static void
beat(struct stream_env *env, struct stream *s)
{
	struct event_id id = store_id_of(env->store, s->cursor);
	struct buf b = { 0 };
	int64_t fifth = env->heartbeat_ms / 5;

	s->beat_at = env->now_ms + env->heartbeat_ms - fifth +
	    (int64_t)clock_random((uint64_t)fifth * 2 + 1);
	/* Bytes that wait already say all that a heartbeat would. */
	if (s->q_len > 0 || s->state == STREAM_ENDING)
		return;
	if (!s->ask.visible_heartbeat || s->state != STREAM_LIVE) {
		buf_adds(&b, ": hb\n");
		stream_queue_bytes(env, s, &b, ENTRY_PING);
		return;
	}
	if (s->cursor < env->tail.position)
		set_cursor(s, env->tail.position);
	id.seq = s->cursor;
	id.epoch = store_head(env->store).epoch;
	buf_adds(&b, "{}");
	stream_queue_control(env, s, ENTRY_PING, "fanfare.ping", &id, &b);
	buf_fini(&b);
}

void
stream_timer(struct stream_env *env, struct stream *s)
{
	struct buf b = { 0 };

	if (s->state == STREAM_DEAD)
		return;
	if (s->blocked && env->now_ms >= s->look_at)
		look(env, s);
	if (s->q_len > 0 && env->now_ms >= stalled_at(env, s)) {
		abandon(env, s);
		return;
	}
	if (holds_page(s) && env->now_ms >= s->progress_at + env->hold_ms)
		let_page_go(s);
	if (s->ask.expires_ms != 0 && env->wall_ms >= s->ask.expires_ms) {
		if (s->state != STREAM_ENDING)
			metric_add(METRIC_STREAMS_EXPIRED, 1);
		stream_end(env, s, CLOSE_EXPIRED, "the token has expired", 0);
	} else if (s->ask.expires_ms != 0 && !s->expiring_told &&
	    env->wall_ms >= expiring_ms(env, s)) {
		s->expiring_told = true;
		buf_addf(&b, "{\"expires_in\":%lld}",
		    (long long)(s->ask.expires_ms - env->wall_ms));
		stream_queue_control(env, s, ENTRY_EXPIRING, "fanfare.expiring", NULL, &b);
		buf_fini(&b);
	}
	if (s->cut && env->now_ms >= s->end_at) {
		reset(env, s);
		return;
	}
	if (s->end_at != 0 && env->now_ms >= s->end_at)
		stream_end(env, s, CLOSE_DRAIN, "the server is restarting",
		    stream_return_ms(env->drain_until, env->now_ms, env->retry_ms));
	if (env->now_ms >= s->beat_at)
		beat(env, s);
}

int
stream_init(struct stream_env *env, struct stream *s)
{
	struct sub_ref *grown;
	struct topic_name *t;
	struct node *n;
	struct buf b = { 0 };
	uint32_t cap;

	for (size_t i = 0; i < s->ask.topics->n; i++) {
		t = &s->ask.topics->v[i];
		n = index_get(env->index, t->p, t->len, t->is_pattern, true);
		if (n == NULL)
			return -1;
		if (n->nsubs == n->subs_cap) {
			cap = n->subs_cap == 0 ? 1 : n->subs_cap * 2;
			grown = realloc(n->subs, cap * sizeof(*grown));
			if (grown == NULL) {
				if (n->nsubs == 0 && n->nentries == 0)
					index_drop(env->index, n);
				return -1;
			}
			n->subs = grown;
			n->subs_cap = cap;
		}
		s->subs[i].node = n;
		s->subs[i].at = n->nsubs;
		n->subs[n->nsubs++] = (struct sub_ref){ s, (uint32_t)i };
		s->nsubs++;
	}
	s->opened_at = s->progress_at = env->now_ms;
	s->beat_at = env->now_ms + env->heartbeat_ms / 2 +
	    (int64_t)clock_random((uint64_t)env->heartbeat_ms / 2 + 1);
	buf_addf(&b, "retry: %lld\n: fanfare\n",
	    (long long)stream_jitter(env->retry_ms));
	stream_queue_bytes(env, s, &b, ENTRY_PREAMBLE);
	if (s->ask.cursor_is_good) {
		s->cursor = s->ask.cursor;
		s->want = WANT_AFTER;
	} else {
		if (s->ask.has_cursor)
			tell_gap(env, s, s->ask.cursor_fault,
			    store_oldest(env->store));
		begin_anew(env, s);
	}
	if (stream_may_step(s)) {
		/* The preamble leaves with what the first step finds. */
		TAILQ_REMOVE(&env->dirty, s, dirty);
		s->is_dirty = false;
		stream_set_ready(env, s);
	}
	return 0;
}

void
stream_fini(struct stream_env *env, struct stream *s)
{
	struct sub_ref *last;
	struct node *n;

	for (size_t i = s->nsubs; i-- > 0;) {
		n = s->subs[i].node;
		last = &n->subs[--n->nsubs];
		n->subs[s->subs[i].at] = *last;
		last->stream->subs[last->i].at = s->subs[i].at;
		if (n->nsubs == 0) {
			free(n->subs);
			n->subs = NULL;
			n->subs_cap = 0;
			if (n->nentries == 0)
				index_drop(env->index, n);
		}
	}
	s->nsubs = 0;
	stream_queue_clear(s);
	if (s->is_dirty)
		TAILQ_REMOVE(&env->dirty, s, dirty);
	if (s->is_ready)
		TAILQ_REMOVE(&env->ready, s, ready);
	if (s->state == STREAM_DEAD)
		TAILQ_REMOVE(&env->dead, s, dead);
	s->is_dirty = s->is_ready = false;
	if (s->job_running) {
		s->job->owner = NULL;	/* whoever gets it back frees it */
		s->job->abandoned = true;
		s->job = NULL;
		s->job_running = false;
	}
}
