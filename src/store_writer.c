/*
 * store_writer.c - the only thread that writes: group commit, retention, checkpoints.
 *
 * While one commit waits for the disk, appends gather; the next transaction takes all
 * of them.  Nothing is answered or shown before the commit that holds it.
 *
 * A failure before COMMIT was asked for stores nothing.  A failure of COMMIT itself may
 * have stored everything: those appends are answered "unknown", nothing more is accepted
 * on that connection, and a new one finds out what stands (store_reopen.c).  So it is when a
 * checkpoint fails: the disk that did not take those pages is not to be trusted with
 * more, and a sync that failed is never just asked for again.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"
#include "thread.h"

#define MAX_EVENTS_PER_COMMIT	8192
#define TICK_MS			1000
#define PRUNE_IDLE_ROWS		512
#define PRUNE_EVENTS		256	/* retention has a look after so many events */
#define PRUNE_COMMITS		16	/* or commits */
#define ROOM_MS			100	/* between two tries to make room */

/* What one transaction holds, until it is answered. */
struct batch {
	struct append	 *appends, **tail;
	struct frame	**frames;	/* of all appends that stored something */
	unsigned int	 *subscribers;
	size_t		  n, cap;
};

/* This function alone gives out seqs. */
static uint64_t
next_seq(struct store *st)
{
	return st->next_seq++;
}

static int
insert_event(struct store *st, struct frame *f, const struct mark *m)
{
	sqlite3_stmt *q;
	struct row r;
	int rc;

	if ((q = db_stmt(&st->w, S_event_insert)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_int64(q, 1, (int64_t)f->id.seq);
	(void)sqlite3_bind_int64(q, 2, m->id);
	(void)sqlite3_bind_int64(q, 3, (int64_t)f->prev);
	(void)sqlite3_bind_int64(q, 4, (int64_t)f->nth);
	(void)sqlite3_bind_int64(q, 5, f->wall_ms);
	(void)sqlite3_bind_int64(q, 6, f->flags);
	if (f->name_len > 0)
		(void)sqlite3_bind_text(q, 7, f->name, (int)f->name_len,
		    SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(q, 7);
	(void)sqlite3_bind_blob(q, 8, f->data, (int)f->data_len, SQLITE_STATIC);
	row_of_frame(f, &r);
	(void)sqlite3_bind_int64(q, 9, row_sum(&r));
	rc = sqlite3_step(q);
	(void)sqlite3_reset(q);
	return rc;
}

static int
stage_event(struct store *st, struct frame *f, int64_t now_ms)
{
	struct segment *s;
	struct mark *m;
	struct event_id id;
	int rc;

	if ((m = marks_get(st, f->topic, f->topic_len)) == NULL)
		return sqlite3_errcode(st->w.h) == SQLITE_DONE ||
		    sqlite3_errcode(st->w.h) == SQLITE_OK ? SQLITE_NOMEM :
		    sqlite3_errcode(st->w.h);
	marks_touch(st, m);
	id.epoch = st->epochs[st->nepochs - 1].epoch;
	id.seq = next_seq(st);
	frame_stamp(f, id, m->w_newest, m->w_nth + 1, now_ms);
	store_note_stamp(st, id.seq, now_ms);
	if ((rc = insert_event(st, f, m)) != SQLITE_DONE)
		return rc;
	m->w_newest = id.seq;
	m->w_nth++;
	if (m->w_empty) {
		m->w_empty = false;
		st->empty_topics--;
		if ((rc = marks_flush(st, m)) != SQLITE_DONE)
			return rc;
	}
	marks_set_late(st, m);
	if ((s = segment_of(st, id.seq >> SEGMENT_SHIFT, true, now_ms)) == NULL)
		return SQLITE_NOMEM;
	s->events++;
	s->bytes += f->data_len + f->name_len + EVENT_OVERHEAD;
	s->changed = true;
	st->n_events++;
	st->n_bytes += f->data_len + f->name_len + EVENT_OVERHEAD;
	return prune_topic(st, m);
}

static int
stage_key(struct store *st, const struct append *a, uint64_t seq, int64_t now_ms)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_idem_insert)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_int64(q, 1, (int64_t)seq);
	(void)sqlite3_bind_int64(q, 2, (int64_t)a->n);
	(void)sqlite3_bind_int64(q, 3, now_ms);
	(void)sqlite3_bind_blob(q, 4, a->key, STORE_HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_blob(q, 5, a->content, STORE_HASH_BYTES, SQLITE_STATIC);
	rc = sqlite3_step(q);
	(void)sqlite3_reset(q);
	if (rc == SQLITE_DONE && idem_add(st, a->key, a->content, seq,
	    (uint32_t)a->n, now_ms, true) == -1)
		return SQLITE_NOMEM;
	return rc;
}

static int
stage(struct store *st, struct batch *b, struct append *a, int64_t now_ms)
{
	struct idem *e;
	uint64_t first;
	int rc;

	a->result = APPEND_OK;
	if (a->n == 0)
		return revoke_stage(st, a);
	if (a->has_key &&
	    (e = map_get(st->idem, a->key, STORE_HASH_BYTES)) != NULL &&
	    e->time > store_age_ms(st) - IDEM_TTL_MS) {
		if (memcmp(e->content, a->content, STORE_HASH_BYTES) != 0 ||
		    e->events != a->n)
			a->result = APPEND_CONFLICT;
		else {
			a->result = APPEND_DUPLICATE;
			a->first = store_id_of(st, e->seq);
			a->subscribers = e->subscribers;
			st->n_dups++;
		}
		return SQLITE_DONE;
	}
	first = st->next_seq;
	for (size_t i = 0; i < a->n; i++) {
		if ((rc = stage_event(st, a->frames[i], now_ms)) != SQLITE_DONE)
			return rc;
		b->frames[b->n++] = a->frames[i];
	}
	a->first = store_id_of(st, first);
	return a->has_key ? stage_key(st, a, first, store_age_ms(st)) : SQLITE_DONE;
}

/* Everything waiting, up to a limit, in order.  NULL when stopping and nothing waits. */
static struct append *
take_queue(struct store *st, int64_t wait_ms, bool *stop)
{
	struct append *head, *a, *last = NULL;
	struct timespec until;
	size_t events = 0;
	int64_t at = clock_mono_ms() + wait_ms;

	until.tv_sec = (time_t)(at / 1000);
	until.tv_nsec = (long)(at % 1000) * 1000000;
	pthread_mutex_lock(&st->queue_lock);
	if (st->queue == NULL && !st->stopping && wait_ms > 0)
		(void)pthread_cond_clockwait(&st->queue_cond, &st->queue_lock,
		    CLOCK_MONOTONIC, &until);
	head = st->queue;
	for (a = head; a != NULL && events + a->n <= MAX_EVENTS_PER_COMMIT;
	    a = a->next) {
		events += a->n;
		last = a;
	}
	if (last == NULL)
		head = NULL;
	else {
		last->next = NULL;
		if ((st->queue = a) == NULL)
			st->queue_tail = &st->queue;
	}
	*stop = st->stopping && st->queue == NULL;
	pthread_mutex_unlock(&st->queue_lock);
	return head;
}

static void
answer(struct store *st, struct append *a)
{
	size_t bytes = a->bytes;

	a->done(a);		/* may free it */
	atomic_fetch_sub(&st->queue_bytes, bytes);
}

static enum append_result
result_of(int rc, bool committing)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return APPEND_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return APPEND_BUSY;
	default:
		return committing ? APPEND_UNKNOWN : APPEND_BUSY;
	}
}

const char full_trouble[] = "the disk is full";
const char write_trouble[] = "writing to the database fails";
const char busy_trouble[] = "another program holds the database's lock";

/* Nothing more on this connection: see store_reopen.c. */
static void
writer_break(struct store *st)
{
	st->trouble = write_trouble;
	st->broken_since = clock_mono_ms();
}

static void
take_back(struct store *st)
{
	if (st->prune_clock & 1)
		st->prune_clock++;
	if (sqlite3_get_autocommit(st->w.h) == 0)
		(void)db_exec(&st->w, "ROLLBACK");
	idem_settle(st, false);
	marks_rolled_back(st);
	prune_rolled_back(st);
}

/* The transaction was taken back: tell its publishers. */
static void
writer_fail(struct store *st, struct batch *b, int rc, bool committing)
{
	enum append_result result = result_of(rc, committing);
	struct append *a, *next;

	/* A full disk was told by who made room; it may stay so for days. */
	if (result != APPEND_FULL)
		log_warnx("store: %s: %s failed: %s", st->path,
		    committing ? "commit" : "write", sqlite3_errstr(rc));
	if (result == APPEND_FULL)
		st->trouble = full_trouble;
	else if (db_is_busy(rc))
		st->trouble = busy_trouble;
	else
		writer_break(st);
	if (st->broken_since == 0 && store_recount(st) == -1) {
		log_warnx("store: %s: %s", st->path, sqlite3_errmsg(st->w.h));
		writer_break(st);
	}
	for (a = b->appends; a != NULL; a = next) {
		next = a->next;
		a->result = result;
		for (size_t i = 0; i < a->n; i++)
			frame_unref(a->frames[i]);
		answer(st, a);
	}
}

static void
publish_batch(struct store *st, struct batch *b)
{
	struct append *a, *next;
	struct idem *e;
	size_t at = 0, n = b->n;

	if (n > 0) {
		st->stored = b->frames[n - 1]->id.seq;
		atomic_store_explicit(&st->head, st->stored, memory_order_release);
		st->n_rows += n;
		st->hooks.committed(st->hooks.arg, b->frames, n, b->subscribers);
	}
	for (a = b->appends; a != NULL; a = next) {
		next = a->next;
		if (a->result == APPEND_OK && a->n > 0) {
			/* NOLINTNEXTLINE(clang-analyzer-core*): committed() fills it */
			a->subscribers = b->subscribers[at];
			at += a->n;
			if (a->has_key && (e = map_get(st->idem, a->key,
			    STORE_HASH_BYTES)) != NULL)
				e->subscribers = a->subscribers;
		} else {
			for (size_t i = 0; i < a->n; i++)
				frame_unref(a->frames[i]);
		}
		answer(st, a);
	}
	assert(at == n);
}

/* Not with each small commit: whatever goes dirties pages of its own. */
static int
retain(struct store *st, const struct batch *b, int64_t now_ms)
{
	size_t rows;
	int rc;

	st->unpruned += b->n;
	if (b->n > 0 && st->unpruned < PRUNE_EVENTS &&
	    ++st->unpruned_commits < PRUNE_COMMITS)
		return SQLITE_DONE;
	/* Twice what came in, so that a log over its limit shrinks while it is fed. */
	rows = b->n > 0 ? 2 * st->unpruned + 16 : PRUNE_IDLE_ROWS;
	st->unpruned = st->unpruned_commits = 0;
	if ((rc = prune_step(st, now_ms, rows)) != SQLITE_DONE)
		return rc;
	return idem_trim(st, rows + 64);
}

static int
commit_batch(struct store *st, struct batch *b, int64_t now_ms, bool *committing)
{
	struct append *a;
	int rc;

	*committing = false;
	if ((rc = db_run(&st->w, S_begin_write, 0)) != SQLITE_DONE)
		return rc;
	for (a = b->appends; a != NULL; a = a->next)
		if ((rc = stage(st, b, a, now_ms)) != SQLITE_DONE)
			return rc;
	if ((rc = retain(st, b, store_age_ms(st))) != SQLITE_DONE ||
	    (rc = marks_forget(st, b->n)) != SQLITE_DONE ||
	    (rc = marks_flush_late(st, false)) != SQLITE_DONE ||
	    (rc = segments_write(st)) != SQLITE_DONE)
		return rc;
	/* In trouble, find out with a real write whether it is over. */
	if ((st->state_changed || st->trouble != NULL) &&
	    (rc = db_run(&st->w, S_state_put, 3, (int64_t)st->pruned,
	    (int64_t)st->forgotten, (int64_t)st->settled)) != SQLITE_DONE)
		return rc;
	*committing = true;
	if ((rc = db_run(&st->w, S_commit, 0)) != SQLITE_DONE)
		return rc;
	st->state_changed = false;
	st->n_commits++;
	return SQLITE_OK;
}

/* Room for every frame, so that nothing can fail for memory after the commit. */
static int
reserve(struct batch *b)
{
	struct append *a;
	struct frame **frames;
	unsigned int *subscribers;
	size_t n = 0;

	for (a = b->appends; a != NULL; a = a->next)
		n += a->n;
	b->n = 0;
	if (n <= b->cap)
		return 0;
	if ((frames = realloc(b->frames, n * sizeof(struct frame *))) == NULL)
		return -1;
	b->frames = frames;
	if ((subscribers = realloc(b->subscribers,
	    n * sizeof(*subscribers))) == NULL)
		return -1;
	b->subscribers = subscribers;
	b->cap = n;
	return 0;
}

/* What follows every commit. */
static void
committed(struct store *st)
{
	if (st->prune_clock & 1)
		st->prune_clock++;
	idem_settle(st, true);
	marks_committed(st);
	segments_drop_empty(st);
	prune_committed(st, clock_wall_ms());
}

static int
try_batch(struct store *st, struct batch *b, bool *committing)
{
	int rc = reserve(b) == -1 ? SQLITE_NOMEM :
	    commit_batch(st, b, clock_wall_ms(), committing);

	if (rc == SQLITE_OK)
		committed(st);
	else
		take_back(st);
	return rc;
}

int
writer_checkpoint(struct store *st, int mode)
{
	int rc;

	(void)sqlite3_busy_timeout(st->w.h, CHECKPOINT_BUSY_MS);
	rc = sqlite3_wal_checkpoint_v2(st->w.h, NULL, mode, NULL, NULL);
	(void)sqlite3_busy_timeout(st->w.h, BUSY_MS);
	return rc;
}

/*
 * The disk is full.  Use the WAL's room again, and let go what retention has done with:
 * SQLITE_OK when the transaction that failed, taken back by now, is worth another try.
 */
static int
make_room(struct store *st)
{
	struct batch none = { 0 };
	bool committing = false;
	int rc;

	if (clock_mono_ms() - st->room_tried < ROOM_MS)
		return SQLITE_FULL;
	st->room_tried = clock_mono_ms();
	space_release(st);
	if (store_recount(st) == -1)
		return SQLITE_IOERR;
	(void)writer_checkpoint(st, SQLITE_CHECKPOINT_RESTART);
	space_reserve(st);
	if ((rc = try_batch(st, &none, &committing)) != SQLITE_OK)
		return rc;
	/* What was freed is to be had again at once. */
	(void)writer_checkpoint(st, SQLITE_CHECKPOINT_RESTART);
	st->wal_checked = 0;
	return SQLITE_OK;
}

static void
run_batch(struct store *st, struct batch *b)
{
	bool committing = false;
	int rc = try_batch(st, b, &committing);

	if ((rc & 0xff) == SQLITE_FULL) {
		committing = false;
		if ((rc = make_room(st)) == SQLITE_OK)
			rc = try_batch(st, b, &committing);
		if (rc == SQLITE_OK)
			st->room_tried = 0;
	}
	if (rc != SQLITE_OK) {
		writer_fail(st, b, rc, committing);
		return;
	}
	/* An empty transaction finds room where no event does. */
	if (st->trouble != NULL && (b->n > 0 || !st->is_full)) {
		if (!st->is_full)
			log_info("store: %s: commits work again", st->path);
		st->trouble = NULL;
	}
	publish_batch(st, b);
	marks_evict(st, b->n);
	idem_expire(st, store_age_ms(st));
}

static void
checkpoint(struct store *st)
{
	int rc, mode;

	if (st->n_wal < st->wal_checked)
		st->wal_checked = 0;		/* it began anew */
	if (st->n_wal < st->wal_checked + st->conf.checkpoint_pages)
		return;
	st->wal_checked = st->n_wal;
	mode = st->n_wal < WAL_PAGES_RESTART ? SQLITE_CHECKPOINT_PASSIVE :
	    SQLITE_CHECKPOINT_RESTART;
	rc = writer_checkpoint(st, mode);
	if ((rc & 0xff) == SQLITE_FULL && st->has_reserve) {
		space_release(st);
		rc = writer_checkpoint(st, mode);
	}
	if (rc == SQLITE_OK || db_is_busy(rc))
		return;
	log_warnx("store: %s: checkpoint: %s", st->path, sqlite3_errmsg(st->w.h));
	/* Without room the log goes on where it is, until it is full itself. */
	if ((rc & 0xff) != SQLITE_FULL)
		writer_break(st);
}

enum append_result
store_import(struct store *st, struct frame **frames, const int64_t *times_ms,
    size_t n, char *err, size_t err_size)
{
	enum append_result result;
	bool committing = false;
	int rc;

	assert(!st->started);
	if (st->broken_since != 0) {
		snprintf(err, err_size, "%s: %s", st->path, st->trouble);
		return APPEND_BUSY;
	}
	if ((rc = db_run(&st->w, S_begin_write, 0)) != SQLITE_DONE)
		goto fail;
	for (size_t i = 0; i < n; i++)
		if ((rc = stage_event(st, frames[i], times_ms[i])) != SQLITE_DONE)
			goto fail;
	if ((rc = marks_flush_late(st, false)) != SQLITE_DONE ||
	    (rc = segments_write(st)) != SQLITE_DONE ||
	    (rc = db_run(&st->w, S_state_put, 3, (int64_t)st->pruned,
	    (int64_t)st->forgotten, (int64_t)st->settled)) != SQLITE_DONE)
		goto fail;
	committing = true;
	if ((rc = db_run(&st->w, S_commit, 0)) != SQLITE_DONE)
		goto fail;
	st->state_changed = false;
	marks_committed(st);
	if (n > 0)
		st->head = frames[n - 1]->id.seq;
	marks_evict(st, n);
	checkpoint(st);
	return APPEND_OK;

fail:
	snprintf(err, err_size, "%s: %s", st->path, sqlite3_errstr(rc));
	if ((result = result_of(rc, committing)) == APPEND_UNKNOWN)
		writer_break(st);	/* nor does the end ask that disk again */
	if (sqlite3_get_autocommit(st->w.h) == 0)
		(void)db_exec(&st->w, "ROLLBACK");
	marks_rolled_back(st);
	return result;
}

void *
writer_main(void *arg)
{
	struct store *st = arg;
	struct batch b = { 0 };
	struct append *a, *next;
	int64_t tick = clock_mono_ms(), now;
	bool stop = false;

	thread_begin("fanfare-writer", THREAD_PROMPT);
	while (!stop) {
		b.appends = take_queue(st, st->broken_since != 0 ?
		    st->conf.retry_ms : st->prune_more ? 1 : TICK_MS, &stop);
		if (st->broken_since != 0) {
			for (a = b.appends; a != NULL; a = next) {
				next = a->next;
				a->result = st->trouble == full_trouble ?
				    APPEND_FULL : APPEND_BUSY;
				for (size_t i = 0; i < a->n; i++)
					frame_unref(a->frames[i]);
				answer(st, a);
			}
			store_reopen(st);
			continue;
		}
		now = clock_mono_ms();
		if (now - tick >= TICK_MS)
			space_reserve(st);
		/* An idle second, or retention in arrears: a transaction of its own. */
		if (b.appends != NULL || st->prune_more || now - tick >= TICK_MS)
			run_batch(st, &b);
		if (now - tick >= TICK_MS)
			tick = now;
		if (st->broken_since == 0)
			checkpoint(st);
	}
	/* A clean stop leaves nothing to catch up with. */
	if (st->broken_since == 0 &&
	    db_run(&st->w, S_begin_write, 0) == SQLITE_DONE) {
		if (marks_flush_late(st, true) != SQLITE_DONE ||
		    db_run(&st->w, S_state_put, 3, (int64_t)st->pruned,
		    (int64_t)st->forgotten, (int64_t)st->settled) != SQLITE_DONE ||
		    db_run(&st->w, S_commit, 0) != SQLITE_DONE) {
			log_warnx("store: %s: the last commit: %s", st->path,
			    sqlite3_errmsg(st->w.h));
			(void)db_exec(&st->w, "ROLLBACK");
			writer_break(st);	/* nor a checkpoint, then */
		}
	}
	free(b.frames);
	free(b.subscribers);
	return NULL;
}

int
store_append(struct store *st, struct append *a)
{
	bool wake;

	if (atomic_fetch_add(&st->queue_bytes, a->bytes) + a->bytes >
	    st->conf.max_queue_bytes) {
		atomic_fetch_sub(&st->queue_bytes, a->bytes);
		a->result = APPEND_BUSY;
		for (size_t i = 0; i < a->n; i++)
			frame_unref(a->frames[i]);
		return -1;
	}
	a->next = NULL;
	pthread_mutex_lock(&st->queue_lock);
	wake = st->queue == NULL;
	*st->queue_tail = a;
	st->queue_tail = &a->next;
	pthread_mutex_unlock(&st->queue_lock);
	if (wake)
		pthread_cond_signal(&st->queue_cond);
	return 0;
}
