/*
 * store_prune.c - retention: what goes, in small steps, inside publishing transactions.
 *
 * By age and by bytes events go in seq order, from the oldest segment, whose rows are
 * listed once and then taken one by one.  By count they go per topic, oldest first,
 * when the topic gets a new event: its mark keeps the list of what is there, eight
 * bytes an event.  Either way a topic loses a prefix of its events, so
 * its chain breaks once (store.h, rule 3).
 *
 * Counters of a transaction that fails are put right by store_recount().
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"
#include "text.h"

#define TELL_MS		3600000		/* between two lines about what was pruned */
#define LOOK_MS		1000		/* between two looks at the oldest event */

#define JUMP_MS		(60 * 1000)	/* forward, more than time that passed */
#define BELIEVE_MS	(10 * 60 * 1000)	/* such a jump that lasts is the truth */

int64_t
store_age_ms(struct store *st)
{
	int64_t wall = clock_wall_ms(), mono = clock_mono_ms();
	int64_t expected = st->aged_ms + (mono - st->aged_at);

	if (st->aged_at == 0 || wall <= expected + JUMP_MS)
		st->jumped_at = 0;
	else if (st->jumped_at == 0)
		st->jumped_at = mono;
	st->aged_ms = st->jumped_at != 0 && mono - st->jumped_at < BELIEVE_MS ?
	    expected : wall;
	st->aged_at = mono;
	return st->aged_ms;
}

void
store_note_stamp(struct store *st, uint64_t seq, int64_t ms)
{
	if (ms < st->stamped_ms) {
		st->back_seq = seq - 1;
		st->back_at = clock_mono_ms();
	}
	st->stamped_ms = ms;
}

/* When an event was stored, at the latest: what a clock ahead of time has stamped would
 * hold up all that follows.  Counted back from now, since the clock that went back may
 * have been the wrong one. */
static int64_t
stored_ms(const struct store *st, uint64_t seq, int64_t stamp)
{
	int64_t back_ms = st->aged_ms - (st->aged_at - st->back_at);

	return st->back_seq > 0 && seq <= st->back_seq && back_ms < stamp ?
	    back_ms : stamp;
}

/* The same of the oldest segment's first. */
static int64_t
oldest_ms(const struct store *st, int64_t now_ms)
{
	int64_t ms = stored_ms(st, st->segs[0].segment << SEGMENT_SHIFT,
	    st->segs[0].first_ms);

	for (size_t i = 1; ms > now_ms && i < st->nsegs; i++)
		if (st->segs[i].first_ms < ms)
			ms = st->segs[i].first_ms;
	return ms;
}

/* The segment's counters; with `make` appended when it is new and the highest. */
struct segment *
segment_of(struct store *st, uint64_t segment, bool make, int64_t now_ms)
{
	struct segment *grown;
	size_t lo = 0, hi = st->nsegs, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (st->segs[mid].segment < segment)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < st->nsegs && st->segs[lo].segment == segment)
		return &st->segs[lo];
	if (!make)
		return NULL;
	assert(lo == st->nsegs);
	if (st->nsegs == st->segs_cap) {
		mid = st->segs_cap == 0 ? 64 : st->segs_cap * 2;
		if ((grown = realloc(st->segs, mid * sizeof(*grown))) == NULL)
			return NULL;
		st->segs = grown;
		st->segs_cap = mid;
	}
	st->segs[lo] = (struct segment){
		.segment = segment, .first_ms = now_ms, .changed = true
	};
	st->nsegs++;
	return &st->segs[lo];
}

/*
 * Write the counters that changed; rows of emptied segments go.  Those of the newest
 * segment change with every commit: its row is made with it and then left alone, and
 * who loads the log counts that segment anew.
 */
int
segments_write(struct store *st)
{
	struct segment *s;
	int rc;

	for (size_t i = 0; i < st->nsegs; i++) {
		s = &st->segs[i];
		if (!s->changed ||
		    (i == st->nsegs - 1 && s->has_row && s->events > 0))
			continue;
		if (s->events == 0)
			rc = db_run(&st->w, S_segment_delete, 1,
			    (int64_t)s->segment);
		else
			rc = db_run(&st->w, S_segment_put, 4,
			    (int64_t)s->segment, (int64_t)s->events,
			    (int64_t)s->bytes, s->first_ms);
		if (rc != SQLITE_DONE)
			return rc;
		s->changed = false;
		s->has_row = true;
	}
	return SQLITE_DONE;
}

void
segments_drop_empty(struct store *st)
{
	size_t n = 0;

	for (size_t i = 0; i < st->nsegs; i++)
		if (st->segs[i].events > 0)
			st->segs[n++] = st->segs[i];
	st->nsegs = n;
	st->n_segments = n;
}

static void
kept_shift(struct mark *m)
{
	m->kept_head = (m->kept_head + 1) % m->kept_cap;
	m->kept_n--;
}

/* Delete one event and count it out. */
static int
delete_event(struct store *st, uint64_t seq, int64_t topic, uint64_t bytes,
    struct mark *m, enum prune_reason why)
{
	struct segment *s;
	int rc;

	if ((st->prune_clock & 1) == 0)
		st->prune_clock++;	/* even again once the outcome is known */
	rc = db_run(&st->w, S_event_delete, 1, (int64_t)seq);
	if (rc != SQLITE_DONE || sqlite3_changes(st->w.h) == 0)
		return rc;	/* gone already: the other rule had it */
	if ((s = segment_of(st, seq >> SEGMENT_SHIFT, false, 0)) != NULL &&
	    s->events > 0) {
		s->events--;
		s->bytes -= bytes + EVENT_OVERHEAD < s->bytes ?
		    bytes + EVENT_OVERHEAD : s->bytes;
		s->changed = true;
	}
	st->n_events--;
	st->n_bytes -= bytes + EVENT_OVERHEAD < st->n_bytes ?
	    bytes + EVENT_OVERHEAD : st->n_bytes;
	st->pruning[why]++;
	if (seq > st->pruned)
		st->pruned = seq;
	st->state_changed = true;
	if (m == NULL)
		m = map_get(st->marks_by_id, &topic, sizeof(topic));
	/* Was it the topic's last?  Then only its row remembers it: write it now. */
	if (m != NULL) {
		if (m->kept_n > 0 && m->kept[m->kept_head] == seq) {
			marks_touch(st, m);
			kept_shift(m);
		}
		if (m->w_newest == seq && !m->w_empty) {
			marks_touch(st, m);
			m->w_empty = true;
			st->empty_topics++;
			return marks_flush(st, m);
		}
		return SQLITE_DONE;
	}
	rc = db_run(&st->w, S_topic_emptied, 2, topic, (int64_t)seq);
	if (rc == SQLITE_DONE && sqlite3_changes(st->w.h) > 0)
		st->empty_topics++;
	return rc;
}

/* List the rows of the oldest segment. */
static int
load_front(struct store *st, int64_t now_ms)
{
	int64_t least = INT64_MAX;
	sqlite3_stmt *q;
	struct front_row *r;
	int rc;

	if (st->front_cap < ((size_t)1 << SEGMENT_SHIFT)) {
		free(st->front);
		st->front_cap = (size_t)1 << SEGMENT_SHIFT;
		if ((st->front = calloc(st->front_cap, sizeof(*r))) == NULL) {
			st->front_cap = 0;
			return SQLITE_NOMEM;
		}
	}
	st->front_n = st->front_at = 0;
	st->front_segment = st->segs[0].segment;
	if ((q = db_stmt(&st->w, S_event_range)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_int64(q, 1,
	    (int64_t)(st->front_segment << SEGMENT_SHIFT));
	(void)sqlite3_bind_int64(q, 2,
	    (int64_t)((st->front_segment + 1) << SEGMENT_SHIFT));
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (st->front_n == st->front_cap)
			return SQLITE_CORRUPT;	/* seqs that do not rise */
		r = &st->front[st->front_n++];
		r->seq = (uint64_t)sqlite3_column_int64(q, 0);
		r->topic = sqlite3_column_int64(q, 1);
		r->time = sqlite3_column_int64(q, 3);
		r->bytes = (uint64_t)sqlite3_column_int64(q, 4);
	}
	(void)sqlite3_reset(q);
	/* None is younger than one that follows it: see stored_ms().  That is for those of
	 * the future alone: one stamp that is too old, for a clock that was behind or for
	 * damage, does not age all that stands before it. */
	for (size_t i = 1; i < st->nsegs; i++)
		if (st->segs[i].first_ms < least)
			least = st->segs[i].first_ms;
	for (size_t i = st->front_n; i-- > 0;) {
		if (st->front[i].time > now_ms && st->front[i].time > least)
			st->front[i].time = least;
		if (st->front[i].time < least)
			least = st->front[i].time;
	}
	return rc;
}

/* Prune at most max_rows by age and bytes; st->prune_more tells whether to go on. */
int
prune_step(struct store *st, int64_t now_ms, size_t max_rows)
{
	struct front_row *r;
	size_t i = 0;
	int rc;

	st->prune_more = false;
	while (st->nsegs > 0) {
		/* Emptied in this very transaction: it leaves after the commit. */
		while (i < st->nsegs && st->segs[i].events == 0)
			i++;
		if (i > 0) {
			st->prune_more = true;
			break;
		}
		if (st->front_at == st->front_n ||
		    st->front_segment != st->segs[0].segment) {
			/* Nothing in it can be due before its first event is. */
			if (!(st->conf.retain_bytes > 0 &&
			    st->n_bytes > st->conf.retain_bytes) &&
			    !(st->conf.retain_age_ms > 0 && oldest_ms(st, now_ms) <
			    now_ms - st->conf.retain_age_ms))
				break;
			if ((rc = load_front(st, now_ms)) != SQLITE_DONE)
				return rc;
			if (st->front_n == 0) {
				/* Counters that disagree with the rows heal here. */
				st->segs[0].events = 0;
				st->segs[0].changed = true;
				continue;
			}
		}
		r = &st->front[st->front_at];
		if (!(st->conf.retain_bytes > 0 &&
		    st->n_bytes > st->conf.retain_bytes) &&
		    !(st->conf.retain_age_ms > 0 &&
		    stored_ms(st, r->seq, r->time) <
		    now_ms - st->conf.retain_age_ms))
			break;
		if (max_rows-- == 0) {
			st->prune_more = true;
			break;
		}
		rc = delete_event(st, r->seq, r->topic, r->bytes, NULL,
		    st->conf.retain_age_ms > 0 &&
		    r->time < now_ms - st->conf.retain_age_ms ? PRUNE_AGE :
		    PRUNE_BYTES);
		if (rc != SQLITE_DONE)
			return rc;
		st->front_at++;
		st->oldest = r->seq + 1;
	}
	return SQLITE_DONE;
}

static int
kept_push(struct mark *m, uint64_t seq)
{
	uint64_t *grown;
	size_t cap = m->kept_cap == 0 ? 8 : m->kept_cap * 2;

	assert(m->kept_n == 0 || m->kept != NULL);
	if (m->kept_n == m->kept_cap) {
		if ((grown = malloc(cap * sizeof(*grown))) == NULL)
			return -1;
		for (size_t i = 0; i < m->kept_n; i++)
			grown[i] = m->kept[(m->kept_head + i) % m->kept_cap];
		free(m->kept);
		m->kept = grown;
		m->kept_cap = cap;
		m->kept_head = 0;
	}
	assert(m->kept != NULL && m->kept_cap > 0);
	m->kept[(m->kept_head + m->kept_n++) % m->kept_cap] = seq;
	return 0;
}

/* Which of its events are there: once walked back to, then kept up to date. */
static int
kept_find(struct store *st, struct mark *m)
{
	uint64_t seq, swap;
	sqlite3_stmt *q;
	int rc = SQLITE_ROW;

	for (seq = m->w_newest; rc == SQLITE_ROW;) {
		if ((q = db_stmt(&st->w, S_event_link)) == NULL)
			return SQLITE_ERROR;
		(void)sqlite3_bind_int64(q, 1, (int64_t)seq);
		(void)sqlite3_bind_int64(q, 2, m->id);
		if ((rc = sqlite3_step(q)) == SQLITE_ROW) {
			if (kept_push(m, seq) == -1)
				rc = SQLITE_NOMEM;
			/* A link that leads forth is damage, and would never end; what
			 * stands before it goes by age and bytes alone. */
			else if ((uint64_t)sqlite3_column_int64(q, 0) >= seq)
				rc = SQLITE_DONE;
			seq = (uint64_t)sqlite3_column_int64(q, 0);
		}
		(void)sqlite3_reset(q);
	}
	for (size_t i = 0; i < m->kept_n / 2; i++) {
		assert(m->kept != NULL);
		swap = m->kept[i];
		m->kept[i] = m->kept[m->kept_n - 1 - i];
		m->kept[m->kept_n - 1 - i] = swap;
	}
	return rc;
}

/* Keep the newest retain_events_per_topic of a topic that has just had another. */
int
prune_topic(struct store *st, struct mark *m)
{
	uint64_t limit = st->conf.retain_events_per_topic, seq;
	sqlite3_stmt *q;
	int rc;

	if (limit == 0 || m->w_nth <= limit)
		return SQLITE_DONE;
	if (m->kept == NULL) {
		if ((rc = kept_find(st, m)) != SQLITE_DONE)
			return rc;
	} else if (kept_push(m, m->w_newest) == -1)
		return SQLITE_NOMEM;
	while (m->kept_n > limit) {
		assert(m->kept != NULL);
		seq = m->kept[m->kept_head];
		if ((q = db_stmt(&st->w, S_event_size)) == NULL)
			return SQLITE_ERROR;
		(void)sqlite3_bind_int64(q, 1, (int64_t)seq);
		rc = sqlite3_step(q);
		if (rc == SQLITE_ROW)
			rc = delete_event(st, seq, m->id,
			    (uint64_t)sqlite3_column_int64(q, 0), m, PRUNE_TOPIC);
		(void)sqlite3_reset(q);
		if (rc != SQLITE_DONE)
			return rc;
		/* Also when it was gone already. */
		if (m->kept_n > 0 && m->kept[m->kept_head] == seq)
			kept_shift(m);
	}
	return SQLITE_DONE;
}

void
prune_look(struct store *st)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_event_oldest)) == NULL)
		return;
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		st->oldest_ms = rc == SQLITE_ROW ? sqlite3_column_int64(q, 1) : 0;
		st->oldest_event = rc == SQLITE_ROW ?
		    (uint64_t)sqlite3_column_int64(q, 0) : 0;
		st->oldest_stale = false;
	}
	(void)sqlite3_reset(q);
}

/* That retention bites is news once; after that it is a figure now and then. */
static void
tell_pruned(struct store *st)
{
	char id[EVENT_ID_SIZE], when[TEXT_TIME_SIZE], oldest[128] = "nothing is left";
	uint64_t n[PRUNE_REASONS], all = 0;

	for (int i = 0; i < PRUNE_REASONS; i++) {
		n[i] = st->n_pruned[i] - st->told_pruned[i];
		st->told_pruned[i] = st->n_pruned[i];
		all += n[i];
	}
	if (st->oldest_event > 0) {
		(void)event_id_format(id, store_id_of(st, st->oldest_event));
		text_format_time(when, st->oldest_ms);
		(void)snprintf(oldest, sizeof(oldest), "the oldest now is %s of %s", id,
		    when);
	}
	log_info("store: retention has pruned %llu events (%llu for their age, %llu for "
	    "the number per topic, %llu for bytes); %s", (unsigned long long)all,
	    (unsigned long long)n[PRUNE_AGE], (unsigned long long)n[PRUNE_TOPIC],
	    (unsigned long long)n[PRUNE_BYTES], oldest);
}

void
prune_committed(struct store *st, int64_t now_ms)
{
	int64_t now = clock_mono_ms();
	bool untold = false;

	for (int i = 0; i < PRUNE_REASONS; i++) {
		if (st->pruning[i] > 0) {
			st->n_pruned[i] += st->pruning[i];
			st->last_prune_ms = now_ms;
			st->oldest_stale = true;
		}
		st->pruning[i] = 0;
		untold |= st->n_pruned[i] > st->told_pruned[i];
	}
	if (st->oldest_event == 0 && st->n_events > 0)
		st->oldest_stale = true;
	if (st->oldest_stale && now - st->oldest_looked >= LOOK_MS) {
		st->oldest_looked = now;
		prune_look(st);
	}
	if (untold && !st->oldest_stale &&
	    (st->prune_told == 0 || now - st->prune_told >= TELL_MS)) {
		st->prune_told = now;
		tell_pruned(st);
	}
}

void
prune_rolled_back(struct store *st)
{
	memset(st->pruning, 0, sizeof(st->pruning));
}
