/*
 * store_export.c - a log read from its beginning to its end, a page at a time.
 *
 * Each page is a snapshot of its own, so that a slow reader of the output does not keep
 * the server from checkpointing; what is there when it begins is what is given, less
 * what is pruned meanwhile.
 *
 * Salvage goes on behind rows that cannot be read: seq by seq until one can be again.
 */
#include "config.h"

#include "store_tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define PAGE_ROWS	1000
#define BEYOND		65536		/* salvage: when nobody knows the last seq */
#define STEPS_MAX	10000000	/* salvage: seqs that are tried one by one */

/* One reading. */
struct reading {
	struct store_export *x;
	struct db	 db;
	struct epoch	*epochs;
	size_t		 nepochs;
	uint64_t	 summed;
	uint64_t	 at, head;	/* done up to; up to where it goes */
	uint64_t	 uncounted;	/* the newest segment begins here: its row lags */
	bool		 stopped;
};

/* Does anybody want it? */
static bool
is_asked(const struct store_export *x, const char *name, size_t len)
{
	const struct topics *t = x->topics;

	if (t == NULL)
		return true;
	for (size_t i = 0; i < t->n; i++)
		if (topic_match(t->v[i].p, t->v[i].len, name, len))
			return true;
	return false;
}

/* SQLITE_ROW: go on; SQLITE_DONE: enough; SQLITE_CORRUPT: this row is damaged. */
static int
give(struct reading *rd, sqlite3_stmt *q, uint64_t seq)
{
	struct store_export *x = rd->x;
	struct store_event e;
	struct row r;

	row_read(q, &r);
	r.id.seq = seq;
	r.id.epoch = rd->epochs != NULL && rd->nepochs > 0 ?
	    epoch_of(rd->epochs, rd->nepochs, seq) : 0;
	r.topic = (const char *)sqlite3_column_text(q, 8);
	r.topic_len = (size_t)sqlite3_column_bytes(q, 8);
	/* Its epoch is part of the sum. */
	if (r.topic == NULL || (rd->epochs != NULL && !row_is_whole(&r, rd->summed)))
		return SQLITE_CORRUPT;
	if (!is_asked(x, r.topic, r.topic_len))
		return SQLITE_ROW;
	e = (struct store_event){
		.id = r.id, .time_ms = r.time, .flags = (unsigned int)r.flags,
		.topic = r.topic, .topic_len = r.topic_len,
		.name = r.name_len > 0 ? r.name : NULL, .name_len = r.name_len,
		.data = r.data, .data_len = r.data_len,
	};
	if (!x->take(x->arg, &e))
		return SQLITE_DONE;
	x->taken++;
	return SQLITE_ROW;
}

/* What follows `at`, PAGE_ROWS at most: *n rows.  SQLITE_DONE or an error. */
static int
read_page(struct reading *rd, sqlite3_stmt *q, size_t *n)
{
	uint64_t seq;
	int rc, given;

	*n = 0;
	(void)sqlite3_bind_int64(q, 1, (int64_t)rd->at);
	(void)sqlite3_bind_int64(q, 2, (int64_t)rd->head);
	(void)sqlite3_bind_int64(q, 3, PAGE_ROWS);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		seq = (uint64_t)sqlite3_column_int64(q, 7);
		if (seq <= rd->at) {
			rc = SQLITE_CORRUPT;	/* it would never end */
			break;
		}
		given = give(rd, q, seq);
		if (given == SQLITE_CORRUPT && !rd->x->salvage) {
			rc = given;
			break;
		}
		rd->x->damaged += given == SQLITE_CORRUPT;
		rd->x->expected += seq >= rd->uncounted;
		rd->at = seq;
		(*n)++;
		if (given == SQLITE_DONE) {
			rd->stopped = true;
			rc = given;
			break;
		}
	}
	(void)sqlite3_reset(q);
	return rc;
}

/* Step over what cannot be read: the next seq that can. */
static void
step_over(struct reading *rd)
{
	sqlite3_stmt *one;
	uint64_t seq, n = 0;
	int rc = SQLITE_DONE;

	if (sqlite3_prepare_v2(rd->db.h, "SELECT data, sum FROM event WHERE seq = ?1", -1,
	    &one, NULL) != SQLITE_OK) {
		rd->at = rd->head;
		return;
	}
	for (seq = rd->at + 1; seq <= rd->head && rc != SQLITE_ROW && n++ < STEPS_MAX;
	    seq++) {
		(void)sqlite3_bind_int64(one, 1, (int64_t)seq);
		rc = sqlite3_step(one);
		(void)sqlite3_reset(one);
	}
	rd->at = rc == SQLITE_ROW ? seq - 2 : rd->head;
	(void)sqlite3_finalize(one);
}

static int
read_all(struct reading *rd, const struct store_progress *p, char *err,
    size_t err_size)
{
	uint64_t first = rd->at, tried = UINT64_MAX;
	char id[EVENT_ID_SIZE] = "the beginning";
	struct event_id last;
	sqlite3_stmt *q;
	size_t n = PAGE_ROWS;
	int rc = SQLITE_DONE;

	if (sqlite3_prepare_v3(rd->db.h, "SELECT prev, event.nth, time, flags, "
	    "event.name, data, sum, seq, topic.name FROM event LEFT JOIN topic "
	    "ON topic.id = event.topic WHERE seq > ?1 AND seq <= ?2 ORDER BY seq "
	    "LIMIT ?3", -1, SQLITE_PREPARE_PERSISTENT, &q, NULL) != SQLITE_OK) {
		snprintf(err, err_size, "%s", sqlite3_errmsg(rd->db.h));
		return -1;
	}
	while (rd->at < rd->head && n > 0 && !rd->stopped) {
		rc = read_page(rd, q, &n);
		if (rc != SQLITE_DONE) {
			if (!rd->x->salvage)
				break;
			rd->x->unreadable++;
			/* Where it cannot be read although its row can: no third try. */
			if (rd->at == tried)
				rd->at++;
			step_over(rd);
			tried = rd->at;
			n = 1;
		}
		if (p != NULL)
			p->show(p->arg, "reading", rd->at - first, rd->head - first);
	}
	(void)sqlite3_finalize(q);
	if (rc == SQLITE_DONE || rd->x->salvage)
		return 0;
	if (rd->at > 0) {
		last.seq = rd->at;
		last.epoch = epoch_of(rd->epochs, rd->nepochs, rd->at);
		(void)event_id_format(id, last);
	}
	snprintf(err, err_size, "the event behind %s cannot be read: %s", id,
	    rc == SQLITE_CORRUPT ? "it is damaged; \"fanfare verify\" says more" :
	    sqlite3_errmsg(rd->db.h));
	return -1;
}

/* How far it goes: to the newest event, or as far as a damaged log lets us find out.  A
 * segment's row is made with its first event, so none lies above them. */
static void
find_ends(struct reading *rd)
{
	int64_t head = db_int(&rd->db, "SELECT max(seq) FROM event", -1), v;

	v = db_int(&rd->db, "SELECT max(segment) * 4096 + 4095 FROM segment", -1);
	if (rd->x->salvage && v > 0)
		head = v;
	v = db_int(&rd->db, "SELECT min(seq) FROM event", 0);
	if (head < 0 || head > SEQ_MAX || v > head)
		head = v + BEYOND;
	rd->head = (uint64_t)head;
	rd->summed = (uint64_t)db_int(&rd->db, "SELECT summed FROM state", 0);
	rd->x->unchecked = rd->epochs == NULL;
	rd->uncounted = (uint64_t)db_int(&rd->db,
	    "SELECT max(segment) * 4096 FROM segment", 0);
	rd->x->expected = (uint64_t)db_int(&rd->db,
	    "SELECT coalesce(sum(events), 0) FROM segment "
	    "WHERE segment < (SELECT max(segment) FROM segment)", 0);
}

/* Where to begin, as a stream that resumes would. */
static int
find_begin(struct reading *rd, char *err, size_t err_size)
{
	struct store_export *x = rd->x;
	size_t i = rd->nepochs;

	while (i > 0 && rd->epochs[i - 1].epoch != x->after.epoch)
		i--;
	if (i == 0 || (i < rd->nepochs && x->after.seq >= rd->epochs[i].first_seq) ||
	    x->after.seq > rd->head) {
		snprintf(err, err_size, "that id is not one of this log");
		return -1;
	}
	rd->at = x->after.seq;
	x->gap = x->after.seq < (uint64_t)db_int(&rd->db, "SELECT pruned FROM state", 0);
	return 0;
}

int
store_export(const char *path, struct store_export *x, const struct store_progress *p,
    char *err, size_t err_size)
{
	struct reading rd = { .x = x };
	bool damaged;
	char why[400];
	int rc = -1;

	if (tool_open(&rd.db, path, x->salvage, err, err_size) == -1)
		return -1;
	rd.epochs = store_epochs(&rd.db, &rd.nepochs, &damaged);
	if (rd.epochs == NULL && !x->salvage)
		snprintf(why, sizeof(why), "%s", damaged ? "its epochs do not rise" :
		    sqlite3_errmsg(rd.db.h));
	else {
		find_ends(&rd);
		if (x->revoked != NULL)
			x->revocations_lost = !revoke_salvage(&rd.db, x->revoked,
			    x->arg, &x->forgotten_ms);
		if (!x->has_after || find_begin(&rd, why, sizeof(why)) == 0)
			rc = read_all(&rd, p, why, sizeof(why));
	}
	if (rc == -1)
		snprintf(err, err_size, "%s: %s", path, why);
	free(rd.epochs);
	db_close(&rd.db);
	return rc;
}
