/*
 * store_marks.c - what is known of each topic: its id, its newest event, how many.
 *
 * Up to MARKS_MAX topics are kept in memory, those published to last.  Rows in the
 * database may lag behind ("late", listed by the seq that made them so) by at most
 * SETTLE_AFTER seqs: a start catches up from state.settled.  A late mark is never
 * evicted, so a topic that is not in memory has a row that is right.
 *
 * The writer's thread owns all of it; others look through marks_peek() under the lock,
 * and see committed values only.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store_internal.h"

static void
unlink_mark(struct store *st, struct mark *m)
{
	if (m->is_late)
		TAILQ_REMOVE(&st->late, m, late);
	TAILQ_REMOVE(&st->lru, m, lru);
	pthread_mutex_lock(&st->lock);
	(void)map_del(st->marks, m->name, m->len);
	pthread_mutex_unlock(&st->lock);
	(void)map_del(st->marks_by_id, &m->id, sizeof(m->id));
	st->nmarks--;
	free(m->kept);
	free(m);
}

struct mark *
marks_load(struct store *st, const char *name, size_t len, int64_t id,
    uint64_t newest, uint64_t nth, bool empty)
{
	struct mark *m;
	int rc;

	if ((m = calloc(1, sizeof(*m) + len + 1)) == NULL)
		return NULL;
	memcpy(m->name, name, len);
	m->len = len;
	m->id = id;
	m->has_row = true;
	m->newest = m->w_newest = newest;
	m->nth = m->w_nth = nth;
	m->empty = m->w_empty = empty;
	if (map_put(st->marks_by_id, &m->id, sizeof(m->id), m) == -1) {
		free(m);
		return NULL;
	}
	pthread_mutex_lock(&st->lock);
	rc = map_put(st->marks, m->name, len, m);
	pthread_mutex_unlock(&st->lock);
	if (rc == -1) {
		(void)map_del(st->marks_by_id, &m->id, sizeof(m->id));
		free(m);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&st->lru, m, lru);
	st->nmarks++;
	return m;
}

/* The topic's mark; a new topic gets an id, a row in this transaction, and a newest
 * of what was forgotten, so that its first event's prev says so (store.h, rule 2). */
struct mark *
marks_get(struct store *st, const char *name, size_t len)
{
	struct mark *m;
	sqlite3_stmt *q;
	int rc;

	if ((m = map_get(st->marks, name, len)) == NULL) {
		if ((q = db_stmt(&st->w, S_topic_find)) == NULL)
			return NULL;
		(void)sqlite3_bind_text(q, 1, name, (int)len, SQLITE_STATIC);
		rc = sqlite3_step(q);
		if (rc == SQLITE_ROW)
			m = marks_load(st, name, len, sqlite3_column_int64(q, 0),
			    (uint64_t)sqlite3_column_int64(q, 1),
			    (uint64_t)sqlite3_column_int64(q, 2),
			    sqlite3_column_int(q, 3) != 0);
		else if (rc == SQLITE_DONE &&
		    (m = marks_load(st, name, len, st->last_topic_id + 1,
		    st->forgotten, 0, false)) != NULL) {
			st->last_topic_id++;
			m->has_row = false;
		}
		(void)sqlite3_reset(q);
		if (m == NULL)
			return NULL;
	}
	TAILQ_REMOVE(&st->lru, m, lru);
	TAILQ_INSERT_HEAD(&st->lru, m, lru);
	if (!m->has_row) {
		if ((q = db_stmt(&st->w, S_topic_insert)) == NULL)
			return NULL;
		(void)sqlite3_bind_int64(q, 1, m->id);
		(void)sqlite3_bind_text(q, 2, m->name, (int)m->len,
		    SQLITE_STATIC);
		rc = sqlite3_step(q);
		(void)sqlite3_reset(q);
		if (rc != SQLITE_DONE)
			return NULL;
		marks_touch(st, m);
		m->has_row = true;
	}
	return m;
}

/* It changes in this transaction: remember how to go back. */
void
marks_touch(struct store *st, struct mark *m)
{
	if (m->is_touched)
		return;
	m->is_touched = true;
	m->was_late = m->is_late;
	m->touched = st->touched;
	st->touched = m;
}

/* Its row does not know of w_newest, which is the newest seq of all. */
void
marks_set_late(struct store *st, struct mark *m)
{
	if (m->is_late)
		return;
	m->is_late = true;
	m->late_since = m->w_newest;
	TAILQ_INSERT_TAIL(&st->late, m, late);
}

int
marks_flush(struct store *st, struct mark *m)
{
	int rc;

	marks_touch(st, m);
	rc = db_run(&st->w, S_topic_update, 4, m->id, (int64_t)m->w_newest,
	    (int64_t)m->w_nth, (int64_t)m->w_empty);
	if (rc == SQLITE_DONE && m->is_late) {
		m->is_late = false;
		TAILQ_REMOVE(&st->late, m, late);
	}
	return rc;
}

/* Keep the lag of topic rows, and the list of the late, within bounds. */
int
marks_flush_late(struct store *st, bool all)
{
	struct mark *m;
	uint64_t settled;
	int rc;

	while ((m = TAILQ_FIRST(&st->late)) != NULL && (all ||
	    m->late_since + SETTLE_AFTER < st->next_seq)) {
		if ((rc = marks_flush(st, m)) != SQLITE_DONE)
			return rc;
	}
	/* What this transaction appended is in the list already. */
	settled = m != NULL ? m->late_since - 1 : st->head;
	if (settled > st->settled + SETTLE_AFTER / 2 || (all &&
	    settled > st->settled)) {
		st->settled = settled;
		st->state_changed = true;
	}
	return SQLITE_DONE;
}

void
marks_committed(struct store *st)
{
	struct mark *m, *next;

	pthread_mutex_lock(&st->lock);
	for (m = st->touched; m != NULL; m = m->touched) {
		m->newest = m->w_newest;
		m->nth = m->w_nth;
		m->empty = m->w_empty;
	}
	pthread_mutex_unlock(&st->lock);
	for (m = st->touched; m != NULL; m = next) {
		next = m->touched;
		m->is_touched = false;
		if (m->is_gone)
			unlink_mark(st, m);
	}
	st->touched = NULL;
}

void
marks_rolled_back(struct store *st)
{
	struct mark *m, *next, *at;

	for (m = st->touched; m != NULL; m = next) {
		next = m->touched;
		m->is_touched = m->is_gone = false;
		free(m->kept);		/* found anew when it is needed */
		m->kept = NULL;
		m->kept_cap = m->kept_head = m->kept_n = 0;
		m->w_newest = m->newest;
		m->w_nth = m->nth;
		m->w_empty = m->empty;
		if (m->was_late && !m->is_late) {
			/* Its row went back too; to its old place in line. */
			m->is_late = true;
			TAILQ_FOREACH(at, &st->late, late)
				if (at->late_since > m->late_since)
					break;
			if (at != NULL)
				TAILQ_INSERT_BEFORE(at, m, late);
			else
				TAILQ_INSERT_TAIL(&st->late, m, late);
		} else if (!m->was_late && m->is_late) {
			m->is_late = false;
			TAILQ_REMOVE(&st->late, m, late);
		}
		if (m->nth == 0)	/* born in this transaction */
			unlink_mark(st, m);
	}
	st->touched = NULL;
}

/* Between transactions: drop the topics not used for longest. */
void
marks_evict(struct store *st, size_t n)
{
	struct mark *m, *prev;
	size_t looked = 0;

	for (m = TAILQ_LAST(&st->lru, mark_list); m != NULL &&
	    st->nmarks > MARKS_MAX && looked < 2 * n + 64; m = prev, looked++) {
		prev = TAILQ_PREV(m, mark_list, lru);
		if (m->is_late || m->is_touched)
			continue;
		pthread_mutex_lock(&st->lock);
		st->marks_complete = false;
		pthread_mutex_unlock(&st->lock);
		unlink_mark(st, m);
	}
}

/* Forget a few topics that have had no event for longest, raising the global mark. */
static int
forget_some(struct store *st)
{
	struct { int64_t id; uint64_t newest; } gone[64];
	size_t n = 0;
	struct mark *m;
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_topic_empty_oldest)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_int64(q, 1, sizeof(gone) / sizeof(gone[0]));
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		gone[n].id = sqlite3_column_int64(q, 0);
		gone[n++].newest = (uint64_t)sqlite3_column_int64(q, 2);
	}
	(void)sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return rc;
	for (size_t i = 0; i < n; i++) {
		m = map_get(st->marks_by_id, &gone[i].id, sizeof(gone[i].id));
		if (m != NULL && (m->is_touched || m->is_late))
			continue;
		rc = db_run(&st->w, S_topic_delete, 1, gone[i].id);
		if (rc != SQLITE_DONE)
			return rc;
		/* Raised before the topic goes, and never lowered: if the transaction
		 * fails, a gap may be announced without need, none is hidden. */
		if (gone[i].newest > st->forgotten)
			st->forgotten = gone[i].newest;
		st->state_changed = true;
		st->empty_topics--;
		if (m != NULL) {		/* leaves with the commit */
			marks_touch(st, m);
			m->is_gone = true;
		}
	}
	return SQLITE_DONE;
}

int
marks_forget(struct store *st, size_t n)
{
	size_t before = st->empty_topics + 1;
	int rc = SQLITE_DONE;

	for (size_t done = 0; rc == SQLITE_DONE && done < 3 * n + 64 &&
	    st->empty_topics > EMPTY_TOPICS_MAX && st->empty_topics < before;
	    done += 64) {
		before = st->empty_topics;
		rc = forget_some(st);
	}
	return rc;
}

void
marks_clear(struct store *st)
{
	struct mark *m;

	while ((m = TAILQ_FIRST(&st->lru)) != NULL)
		unlink_mark(st, m);
	st->touched = NULL;
	st->nmarks = 0;
}

int
marks_peek(struct store *st, const char *name, size_t len, int64_t *id,
    uint64_t *newest)
{
	struct mark *m;
	int rc;

	pthread_mutex_lock(&st->lock);
	m = map_get(st->marks, name, len);
	if (m != NULL && m->nth > 0) {
		*id = m->id;
		*newest = m->newest;
		rc = 1;
	} else if (m != NULL || st->marks_complete) {
		/* Never published to, or not yet committed. */
		*id = 0;
		*newest = 0;
		rc = -1;
	} else
		rc = 0;
	pthread_mutex_unlock(&st->lock);
	return rc;
}

bool
store_missed_nothing(struct store *st, const struct topics *t, uint64_t cursor,
    uint64_t *upto)
{
	uint64_t head = store_head(st).seq, newest;
	int64_t id;

	*upto = cursor;
	if (t->has_pattern)
		return cursor >= head;
	for (size_t i = 0; i < t->n; i++) {
		switch (marks_peek(st, t->v[i].p, t->v[i].len, &id, &newest)) {
		case 0:
			return false;
		case -1:
			newest = st->forgotten;
			break;
		}
		if (newest > cursor)
			return false;
	}
	if (*upto < head)
		*upto = head;
	return true;
}
