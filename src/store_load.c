/*
 * store_load.c - what is kept in memory of a log, read from it: epochs, segments, marks,
 * keys, counters; at the start and after a failure.
 *
 * Nothing is taken on trust: numbers that make no sense are a damaged log.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store_internal.h"

/* What was read is no row that we have written.  Returns -1. */
static int
senseless(struct store *st, const char *what)
{
	st->senseless = what;
	return -1;
}

/* Bring topic rows up to date with the events above `settled`: after a clean stop there
 * are none. */
static int
settle(struct store *st, uint64_t last)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_event_range)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)st->settled + 1);
	(void)sqlite3_bind_int64(q, 2, (int64_t)last + 1);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW)
		if (db_run(&st->w, S_topic_settle, 3, sqlite3_column_int64(q, 1),
		    sqlite3_column_int64(q, 0),
		    sqlite3_column_int64(q, 2)) != SQLITE_DONE)
			return -1;
	(void)sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return -1;
	st->settled = last;
	return db_run(&st->w, S_state_put, 3, (int64_t)st->pruned,
	    (int64_t)st->forgotten, (int64_t)st->settled) == SQLITE_DONE ? 0 : -1;
}

/* The newest one's row is as old as the segment: see segments_write(). */
static int
recount_newest(struct store *st)
{
	struct segment *s = &st->segs[st->nsegs - 1];
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_event_range)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)(s->segment << SEGMENT_SHIFT));
	(void)sqlite3_bind_int64(q, 2,
	    (int64_t)((s->segment + 1) << SEGMENT_SHIFT));
	s->events = s->bytes = 0;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		s->events++;
		s->bytes += (uint64_t)sqlite3_column_int64(q, 4) + EVENT_OVERHEAD;
		st->stamped_ms = sqlite3_column_int64(q, 3);
		if (st->stamped_ms < s->first_ms)
			s->first_ms = st->stamped_ms;
	}
	(void)sqlite3_reset(q);
	s->changed = true;
	return rc == SQLITE_DONE ? 0 : -1;
}

static int
load_segments(struct store *st)
{
	sqlite3_stmt *q;
	struct segment *s;
	int64_t last = -1;
	int rc;

	st->nsegs = 0;
	if ((q = db_stmt(&st->w, S_segment_all)) == NULL)
		return -1;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (sqlite3_column_int64(q, 0) <= last ||
		    sqlite3_column_int64(q, 0) > SEQ_MAX >> SEGMENT_SHIFT ||
		    sqlite3_column_int64(q, 1) < 0 ||
		    sqlite3_column_int64(q, 1) > 1 << SEGMENT_SHIFT ||
		    sqlite3_column_int64(q, 2) < 0)
			return senseless(st, "its segments make no sense");
		last = sqlite3_column_int64(q, 0);
		if ((s = segment_of(st, (uint64_t)last, true, 0)) == NULL)
			return -1;
		s->events = (uint64_t)sqlite3_column_int64(q, 1);
		s->bytes = (uint64_t)sqlite3_column_int64(q, 2);
		s->first_ms = sqlite3_column_int64(q, 3);
		s->changed = false;
		s->has_row = true;
	}
	(void)sqlite3_reset(q);
	if (rc != SQLITE_DONE || (st->nsegs > 0 && recount_newest(st) == -1))
		return -1;
	st->n_events = st->n_bytes = 0;
	for (size_t i = 0; i < st->nsegs; i++) {
		st->n_events += st->segs[i].events;
		st->n_bytes += st->segs[i].bytes;
	}
	st->n_segments = st->nsegs;
	st->front_n = st->front_at = 0;
	return 0;
}

int
store_recount(struct store *st)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_state_get)) == NULL ||
	    (rc = sqlite3_step(q)) == SQLITE_ERROR)
		return -1;
	if (rc == SQLITE_DONE)
		return senseless(st, "its state is missing");
	if (rc != SQLITE_ROW)
		return -1;
	for (int i = 0; i < 4; i++)
		if (sqlite3_column_int64(q, i) < 0 ||
		    sqlite3_column_int64(q, i) > SEQ_MAX)
			return senseless(st, "its state makes no sense");
	st->pruned = (uint64_t)sqlite3_column_int64(q, 0);
	/* Never lowered, though a transaction failed: see marks_forget(). */
	if (st->forgotten < (uint64_t)sqlite3_column_int64(q, 1))
		st->forgotten = (uint64_t)sqlite3_column_int64(q, 1);
	st->settled = (uint64_t)sqlite3_column_int64(q, 2);
	st->state_changed = false;
	(void)sqlite3_reset(q);
	if ((q = db_stmt(&st->w, S_topic_empty_count)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		return -1;
	st->empty_topics = (uint64_t)sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	return load_segments(st);
}

static int
load_marks(struct store *st)
{
	const char *name, *why;
	sqlite3_stmt *q;
	size_t len;
	int rc;

	if ((q = db_stmt(&st->w, S_topic_last_id)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		return -1;
	st->last_topic_id = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	if (st->last_topic_id > SEQ_MAX)
		return senseless(st, "its topics make no sense");
	if ((q = db_stmt(&st->w, S_topic_all)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, MARKS_MAX);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		name = (const char *)sqlite3_column_text(q, 1);
		len = (size_t)sqlite3_column_bytes(q, 1);
		if (name == NULL || topic_classify(name, len, &why) != TOPIC_PLAIN ||
		    map_get(st->marks, name, len) != NULL ||
		    (uint64_t)sqlite3_column_int64(q, 2) > st->settled)
			return senseless(st, "its topics make no sense");
		if (marks_load(st, name, len, sqlite3_column_int64(q, 0),
		    (uint64_t)sqlite3_column_int64(q, 2),
		    (uint64_t)sqlite3_column_int64(q, 3),
		    sqlite3_column_int(q, 4) != 0) == NULL)
			return -1;
	}
	(void)sqlite3_reset(q);
	if ((q = db_stmt(&st->w, S_topic_count)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		return -1;
	pthread_mutex_lock(&st->lock);
	st->marks_complete = st->nmarks == (size_t)sqlite3_column_int64(q, 0);
	pthread_mutex_unlock(&st->lock);
	(void)sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int
load_idem(struct store *st)
{
	sqlite3_stmt *q;
	int rc;

	idem_clear(st);
	if ((q = db_stmt(&st->w, S_idem_all)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, store_age_ms(st) - IDEM_TTL_MS);
	(void)sqlite3_bind_int64(q, 2, IDEM_MAX);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (sqlite3_column_bytes(q, 3) != STORE_HASH_BYTES ||
		    sqlite3_column_bytes(q, 4) != STORE_HASH_BYTES)
			continue;
		if (idem_add(st, sqlite3_column_blob(q, 3),
		    sqlite3_column_blob(q, 4),
		    (uint64_t)sqlite3_column_int64(q, 0),
		    (uint32_t)sqlite3_column_int64(q, 1),
		    sqlite3_column_int64(q, 2), false) == -1)
			return -1;
	}
	(void)sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

struct epoch *
store_epochs(struct db *db, size_t *n, bool *damaged)
{
	struct epoch *v = NULL, *grown;
	size_t cap = 0;
	sqlite3_stmt *q;
	int64_t epoch, first, last = 0;
	int rc;

	*n = 0;
	*damaged = false;
	if ((q = db_stmt(db, S_epoch_all)) == NULL)
		return NULL;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		epoch = sqlite3_column_int64(q, 0);
		first = sqlite3_column_int64(q, 1);
		if (epoch < 1 || epoch > UINT32_MAX || first < 1 || first < last ||
		    first > SEQ_MAX) {
			*damaged = true;
			break;
		}
		last = first;
		if (*n + 1 >= cap) {
			cap = cap == 0 ? 64 : cap * 2;
			if ((grown = realloc(v, cap * sizeof(*grown))) == NULL)
				break;
			v = grown;
		}
		v[*n].epoch = (uint32_t)epoch;
		v[(*n)++].first_seq = (uint64_t)first;
	}
	(void)sqlite3_reset(q);
	/* Room even for none, so that NULL means one thing. */
	if (rc == SQLITE_DONE && v == NULL)
		v = calloc(1, sizeof(*v));
	if (rc != SQLITE_DONE) {
		free(v);
		*n = 0;
		return NULL;
	}
	return v;
}

int
store_load(struct store *st, char *err, size_t err_size)
{
	sqlite3_stmt *q;
	uint64_t last;
	int64_t summed;

	st->senseless = NULL;
	if (store_recount(st) == -1 ||
	    (summed = db_int(&st->w, "SELECT summed FROM state", -1)) == -1)
		goto fail;
	st->summed = (uint64_t)summed;
	if ((q = db_stmt(&st->w, S_event_last_seq)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		goto fail;
	last = (uint64_t)sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	/* Rule 1: what was pruned was given out too, and so was an epoch's start. */
	if (last < st->pruned)
		last = st->pruned;
	for (size_t i = 0; i < st->nepochs; i++)
		if (last + 1 < st->epochs[i].first_seq)
			last = st->epochs[i].first_seq - 1;
	/* Neither a seq out of this world, nor counters of what is to come. */
	if (last > SEQ_MAX || (st->nsegs > 0 &&
	    st->segs[st->nsegs - 1].segment > (last + 1) >> SEGMENT_SHIFT)) {
		(void)senseless(st, "its newest events make no sense");
		goto fail;
	}
	if (db_exec(&st->w, "BEGIN IMMEDIATE") != SQLITE_OK ||
	    settle(st, last) == -1 ||
	    db_exec(&st->w, "COMMIT") != SQLITE_OK)
		goto fail;
	/* Rows are right now, so memory may forget: until all is loaded again, whoever
	 * asks is sent to the rows. */
	pthread_mutex_lock(&st->lock);
	st->marks_complete = false;
	pthread_mutex_unlock(&st->lock);
	marks_clear(st);
	if (load_marks(st) == -1 || load_idem(st) == -1)
		goto fail;
	if (st->next_seq <= last)
		st->next_seq = last + 1;
	store_note_stamp(st, st->next_seq, clock_wall_ms());
	prune_look(st);
	st->oldest = st->nsegs > 0 ? st->segs[0].segment << SEGMENT_SHIFT : last + 1;
	return 0;

fail:
	snprintf(err, err_size, "%s: %s%s", st->path, st->senseless != NULL ?
	    st->senseless : db_why(&st->w), st->senseless != NULL ||
	    db_is_damaged(&st->w) ? DAMAGED : "");
	if (sqlite3_get_autocommit(st->w.h) == 0)
		(void)db_exec(&st->w, "ROLLBACK");
	return -1;
}
