/*
 * store_verify.c - does a log hold what a log must hold?
 *
 * Everything is looked at in one read transaction: SQLite's own check of the pages; that
 * the schema is ours; then each row once, in order, against its sum, its topic's chain
 * (store.h, rules 2 and 3), its segment's counters and the marks; then the keys and the revocations.  A row
 * that is damaged is told once: what follows in its topic is not blamed for it.
 */
#include "config.h"

#include "store_tools.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "store_internal.h"

#define TOLD_MAX	100
#define SHOW_ROWS	4096
#define BATCH_MAX	1000		/* events under one key */

/* A row of the topic table, and what its events said. */
struct topic_seen {
	int64_t		id;
	uint64_t	newest, nth;
	bool		empty;
	bool		damaged;	/* its last row was */
	uint64_t	seen, seen_nth;
};

struct check {
	struct db	*db;
	const struct store_progress *p;
	void		(*fault)(void *arg, const char *text);
	void		*arg;
	uint64_t	 faults;
	struct store_extent *out;
	struct epoch	*epochs;
	size_t		 nepochs;
	struct topic_seen *topics;	/* by id */
	size_t		 ntopics;
	uint64_t	 pruned, forgotten, settled, summed;
	uint64_t	 head;		/* highest seq given out, as far as is known */
	uint64_t	 last;		/* seq of the last row */
	/* the segment under way */
	int64_t		 segment;
	uint64_t	 events, bytes;
	int64_t		 newest_segment;
};

static void
tell(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
tell(struct check *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (++c->faults > TOLD_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->fault(c->arg, text);
}

static void
show(const struct check *c, const char *what, uint64_t done, uint64_t of)
{
	if (c->p != NULL)
		c->p->show(c->p->arg, what, done, of);
}

/* A query of one value per row. */
static sqlite3_stmt *
ask(struct check *c, const char *sql)
{
	sqlite3_stmt *q;

	if (sqlite3_prepare_v2(c->db->h, sql, -1, &q, NULL) == SQLITE_OK)
		return q;
	tell(c, "database: %s", sqlite3_errmsg(c->db->h));
	return NULL;
}

static void
check_end(struct check *c, sqlite3_stmt *q, int rc, const char *what)
{
	if (rc != SQLITE_DONE)
		tell(c, "%s: cannot be read to the end: %s", what,
		    sqlite3_errmsg(c->db->h));
	(void)sqlite3_finalize(q);
}

/* --- the file --- */

static int
turn(void *arg)
{
	const struct check *c = arg;

	show(c, "checking the database's pages", 0, 0);
	return 0;
}

static void
check_pages(struct check *c)
{
	sqlite3_stmt *q;
	const char *text;
	int rc;

	show(c, "checking the database's pages", 0, 0);
	if ((q = ask(c, "PRAGMA integrity_check(100)")) == NULL)
		return;
	sqlite3_progress_handler(c->db->h, 1000000, turn, c);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(q, 0);
		if (text == NULL || strcmp(text, "ok") != 0)
			tell(c, "database: %s", text != NULL ? text : "no memory");
	}
	sqlite3_progress_handler(c->db->h, 0, NULL, NULL);
	check_end(c, q, rc, "database");
}

static void
note_fault(void *arg, const char *text)
{
	tell(arg, "%s", text);
}

/* --- marks --- */

static void
check_epochs(struct check *c)
{
	bool damaged;

	c->epochs = store_epochs(c->db, &c->nepochs, &damaged);
	if (c->epochs == NULL)
		tell(c, "epochs: %s", damaged ? "they do not rise" :
		    sqlite3_errmsg(c->db->h));
	else if (c->nepochs == 0)
		tell(c, "epochs: there is none");
	else if (c->head + 1 < c->epochs[c->nepochs - 1].first_seq)
		c->head = c->epochs[c->nepochs - 1].first_seq - 1;
	if (db_int(c->db, "SELECT count(DISTINCT epoch) FROM epoch", -1) !=
	    (int64_t)c->nepochs)
		tell(c, "epochs: one stands there twice");
}

static void
check_state(struct check *c)
{
	sqlite3_stmt *q;

	if ((q = db_stmt(c->db, S_state_get)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW) {
		tell(c, "state: cannot be read: %s", sqlite3_errmsg(c->db->h));
		return;
	}
	c->pruned = (uint64_t)sqlite3_column_int64(q, 0);
	c->forgotten = (uint64_t)sqlite3_column_int64(q, 1);
	c->settled = (uint64_t)sqlite3_column_int64(q, 2);
	c->summed = (uint64_t)sqlite3_column_int64(q, 3);
	(void)sqlite3_reset(q);
	c->head = (uint64_t)db_int(c->db, "SELECT coalesce(max(seq), 0) FROM event", 0);
	if (c->head < c->pruned)
		c->head = c->pruned;
}

/* Now that everything that gives out a seq was seen. */
static void
check_marks(struct check *c)
{
	if (c->head > SEQ_MAX)
		tell(c, "state: a seq of %" PRIu64 " was never given out", c->head);
	if (c->forgotten > c->head)
		tell(c, "state: the forgotten mark %" PRIu64 " lies above everything",
		    c->forgotten);
	if (c->settled > c->head)
		tell(c, "state: topics are settled up to %" PRIu64 ", above everything",
		    c->settled);
	if (c->summed > c->head)
		tell(c, "state: sums begin behind %" PRIu64 ", above everything",
		    c->summed);
}

/* --- topics --- */

static struct topic_seen *
find_topic(const struct check *c, int64_t id)
{
	size_t lo = 0, hi = c->ntopics, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (c->topics[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->ntopics && c->topics[lo].id == id ? &c->topics[lo] : NULL;
}

/* 0; -1: no memory. */
static int
load_topics(struct check *c)
{
	struct topic_seen *grown, *t;
	const char *name, *why;
	size_t cap = 0;
	sqlite3_stmt *q;
	int rc;

	if ((q = ask(c, "SELECT id, newest, nth, empty, name FROM topic ORDER BY id"))
	    == NULL)
		return 0;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (c->ntopics == cap) {
			cap = cap == 0 ? 1024 : cap * 2;
			if ((grown = realloc(c->topics, cap * sizeof(*grown))) == NULL)
				break;
			c->topics = grown;
		}
		t = &c->topics[c->ntopics];
		*t = (struct topic_seen){
			.id = sqlite3_column_int64(q, 0),
			.newest = (uint64_t)sqlite3_column_int64(q, 1),
			.nth = (uint64_t)sqlite3_column_int64(q, 2),
			.empty = sqlite3_column_int(q, 3) != 0,
		};
		if (c->ntopics > 0 && t[-1].id >= t->id) {
			tell(c, "topics: their numbers do not rise at %" PRId64, t->id);
			continue;
		}
		c->ntopics++;
		name = (const char *)sqlite3_column_text(q, 4);
		if (name == NULL || topic_classify(name,
		    (size_t)sqlite3_column_bytes(q, 4), &why) != TOPIC_PLAIN)
			tell(c, "topics: number %" PRId64 " has no name that a topic "
			    "can have", t->id);
	}
	if (rc == SQLITE_ROW) {
		(void)sqlite3_finalize(q);
		return -1;
	}
	check_end(c, q, rc, "topics");
	return 0;
}

/* After all rows: does each topic's own agree with them?  It may lag behind by what lies
 * above `settled`. */
static void
check_topics(struct check *c)
{
	const struct topic_seen *t;

	for (size_t i = 0; i < c->ntopics; i++) {
		t = &c->topics[i];
		if (t->damaged)
			continue;	/* told */
		if (t->seen == 0) {
			if (!t->empty)
				tell(c, "topics: number %" PRId64 " has no events and "
				    "does not say so", t->id);
			if (t->newest > c->pruned)
				tell(c, "topics: the newest event of number %" PRId64
				    ", %" PRIu64 ", is missing", t->id, t->newest);
			continue;
		}
		if (t->empty)
			tell(c, "topics: number %" PRId64 " has events and says that it "
			    "has none", t->id);
		if (t->newest > t->seen)
			tell(c, "topics: the newest event of number %" PRId64 ", %" PRIu64
			    ", is missing", t->id, t->newest);
		else if (t->newest < t->seen && t->seen <= c->settled)
			tell(c, "topics: number %" PRId64 " does not know of its newest "
			    "event, %" PRIu64, t->id, t->seen);
		else if (t->newest == t->seen && t->nth != t->seen_nth)
			tell(c, "topics: number %" PRId64 " has miscounted its events",
			    t->id);
	}
}

/* --- events --- */

/* The counters of the segment that is complete now.  Those of the newest lag behind by
 * design (store_prune.c). */
static void
end_segment(struct check *c)
{
	sqlite3_stmt *q;

	if (c->segment < 0)
		return;
	if ((q = ask(c, "SELECT events, bytes FROM segment WHERE segment = ?1")) == NULL)
		return;
	(void)sqlite3_bind_int64(q, 1, c->segment);
	if (sqlite3_step(q) != SQLITE_ROW)
		tell(c, "segments: %" PRId64 " is missing", c->segment);
	else if (sqlite3_column_int64(q, 0) < 0 || sqlite3_column_int64(q, 1) < 0 ||
	    sqlite3_column_int64(q, 0) > 1 << SEGMENT_SHIFT)
		tell(c, "segments: the counters of %" PRId64 " make no sense",
		    c->segment);
	else if (c->segment != c->newest_segment &&
	    ((uint64_t)sqlite3_column_int64(q, 0) != c->events ||
	    (uint64_t)sqlite3_column_int64(q, 1) != c->bytes))
		tell(c, "segments: %" PRId64 " says %lld events, %lld bytes, and has %"
		    PRIu64 " and %" PRIu64, c->segment,
		    (long long)sqlite3_column_int64(q, 0),
		    (long long)sqlite3_column_int64(q, 1), c->events, c->bytes);
	(void)sqlite3_finalize(q);
	c->out->segments++;
}

static const char *
row_fault(const struct check *c, const struct row *r)
{
	struct json_cursor j;
	struct json_slice v;

	if (r->topic == NULL)
		return "belongs to no topic";
	/* Its epoch is part of the sum. */
	if (c->nepochs > 0 && !row_is_whole(r, c->summed))
		return "is damaged: its sum is wrong";
	if (r->has_sum && r->id.seq <= c->summed)
		return "has a sum, and the state says that there are none yet";
	if ((r->flags & ~(int64_t)EVENT_JSON) != 0)
		return "has flags that this fanfare does not know";
	if (r->name != NULL && event_check_name(r->name, r->name_len) != NULL)
		return "has a name that no event can have";
	if (event_check_data(r->data, r->data_len) != NULL)
		return "has data that no event can have";
	if (r->flags & EVENT_JSON) {
		json_open(&j, r->data, r->data_len);
		if (json_more(&j) == 0 || json_value(&j, &v) == -1 || json_more(&j) == 1)
			return "has data that should be JSON and is not";
	}
	return NULL;
}

/* Its place in its topic's chain. */
static void
check_chain(struct check *c, struct topic_seen *t, const struct row *r)
{
	uint64_t seq = r->id.seq;

	if (t->seen > 0) {
		if (!t->damaged && (r->prev != t->seen || r->nth != t->seen_nth + 1))
			tell(c, "events: %" PRIu64 " follows %" PRIu64 " in its topic "
			    "and not %" PRIu64 ": some between are missing", seq, t->seen,
			    r->prev);
	} else if (!t->damaged) {
		if (r->nth < 1 || (r->nth == 1 && r->prev > c->forgotten))
			tell(c, "events: %" PRIu64 " is its topic's first and says that %"
			    PRIu64 " came before", seq, r->prev);
		else if (r->nth > 1 && (r->prev == 0 || r->prev > c->pruned))
			tell(c, "events: %" PRIu64 ", before %" PRIu64 " in its topic, "
			    "is missing and was not pruned", r->prev, seq);
	}
	t->damaged = false;
	t->seen = seq;
	t->seen_nth = r->nth;
}

static void
check_row(struct check *c, sqlite3_stmt *q)
{
	struct topic_seen *t;
	const char *what;
	struct row r;
	int64_t seq = sqlite3_column_int64(q, 7);

	row_read(q, &r);
	r.id.seq = (uint64_t)seq;
	if (c->nepochs > 0)
		r.id.epoch = epoch_of(c->epochs, c->nepochs, r.id.seq);
	r.topic = (const char *)sqlite3_column_text(q, 8);
	r.topic_len = (size_t)sqlite3_column_bytes(q, 8);
	if (seq < 1 || (uint64_t)seq <= c->last || seq > SEQ_MAX) {
		tell(c, "events: %" PRId64 " stands behind %" PRIu64, seq, c->last);
		return;
	}
	if (c->nepochs > 0 && (uint64_t)seq < c->epochs[0].first_seq)
		tell(c, "events: %" PRId64 " is older than all epochs", seq);
	c->last = (uint64_t)seq;
	if (seq >> SEGMENT_SHIFT != c->segment) {
		end_segment(c);
		c->segment = seq >> SEGMENT_SHIFT;
		c->events = c->bytes = 0;
	}
	c->events++;
	c->bytes += r.data_len + r.name_len + EVENT_OVERHEAD;
	c->out->events++;
	c->out->bytes += r.data_len + r.name_len + EVENT_OVERHEAD;
	t = find_topic(c, sqlite3_column_int64(q, 9));
	if ((what = row_fault(c, &r)) != NULL) {
		tell(c, "events: %" PRId64 " %s", seq, what);
		if (t != NULL)
			t->damaged = true;
		return;
	}
	if (t != NULL)
		check_chain(c, t, &r);
	if (c->out->events % SHOW_ROWS == 0)
		show(c, "checking events", (uint64_t)seq - c->out->oldest.seq,
		    c->out->newest.seq - c->out->oldest.seq + 1);
}

static void
check_events(struct check *c)
{
	sqlite3_stmt *q;
	int64_t rows;
	int rc;

	c->segment = -1;
	c->newest_segment = db_int(c->db, "SELECT max(segment) FROM segment", -1);
	if ((q = ask(c, "SELECT prev, event.nth, time, flags, event.name, data, sum, "
	    "seq, topic.name, topic FROM event LEFT JOIN topic ON topic.id = event.topic "
	    "ORDER BY seq")) == NULL)
		return;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW)
		check_row(c, q);
	if (rc != SQLITE_DONE)
		tell(c, "events: nothing behind %" PRIu64 " can be read: %s", c->last,
		    sqlite3_errmsg(c->db->h));
	(void)sqlite3_finalize(q);
	if (rc == SQLITE_DONE) {
		end_segment(c);
		rows = db_int(c->db, "SELECT count(*) FROM segment", -1);
		if ((uint64_t)rows != c->out->segments)
			tell(c, "segments: there are %" PRId64 ", and events in %" PRIu64,
			    rows, c->out->segments);
		check_topics(c);
	}
}

/* --- idempotency keys --- */

static void
check_keys(struct check *c)
{
	sqlite3_stmt *q, *events;
	int64_t seq, n, last = 0;
	int rc;

	show(c, "checking idempotency keys", 0, 0);
	if ((q = ask(c, "SELECT seq, events, key, content FROM idempotency "
	    "ORDER BY seq")) == NULL)
		return;
	if ((events = ask(c, "SELECT count(*) FROM event WHERE seq >= ?1 AND seq < ?2"))
	    == NULL) {
		(void)sqlite3_finalize(q);
		return;
	}
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		seq = sqlite3_column_int64(q, 0);
		n = sqlite3_column_int64(q, 1);
		c->out->keys++;
		if (seq <= last || n < 1 || n > BATCH_MAX ||
		    (uint64_t)(seq + n - 1) > c->head ||
		    sqlite3_column_bytes(q, 2) != STORE_HASH_BYTES ||
		    sqlite3_column_bytes(q, 3) != STORE_HASH_BYTES) {
			tell(c, "keys: that of event %" PRId64 " makes no sense", seq);
			continue;
		}
		last = seq + n - 1;
		if ((uint64_t)seq <= c->pruned)
			continue;	/* they may be gone */
		(void)sqlite3_bind_int64(events, 1, seq);
		(void)sqlite3_bind_int64(events, 2, seq + n);
		if (sqlite3_step(events) != SQLITE_ROW ||
		    sqlite3_column_int64(events, 0) != n)
			tell(c, "keys: that of event %" PRId64 " stands for events that "
			    "are missing", seq);
		(void)sqlite3_reset(events);
	}
	(void)sqlite3_finalize(events);
	check_end(c, q, rc, "keys");
}

/* --- revocations --- */

static void
check_revocations(struct check *c)
{
	struct store_revocation r;
	uint64_t bad = 0;
	sqlite3_stmt *q;
	int rc;

	if ((q = ask(c, "SELECT key, kind, time, sum FROM revocation")) == NULL)
		return;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		bad += !revoke_read(q, &r);
		c->out->revocations++;
	}
	if (bad > 0)
		tell(c, "revocations: %" PRIu64 " are damaged", bad);
	check_end(c, q, rc, "revocations");
}

int
store_verify(const char *path, const struct store_progress *p,
    void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults,
    struct store_extent *out, char *err, size_t err_size)
{
	struct check c = { .p = p, .fault = fault, .arg = arg, .out = out };
	const char *why;
	struct db db;
	int rc = -1;

	*faults = 0;
	if (tool_open(&db, path, false, err, err_size) == -1)
		return -1;
	c.db = &db;
	if (db_run(&db, S_begin_read, 0) != SQLITE_DONE) {
		snprintf(err, err_size, "%s: %s", path, sqlite3_errmsg(db.h));
		goto out;
	}
	if (tool_extent(&db, out, &why) == -1)	/* check_epochs() tells */
		*out = (struct store_extent){ .events = 0 };
	out->segments = out->keys = out->revocations = 0;		/* counted here */
	check_pages(&c);
	(void)store_compare(&db, note_fault, &c);
	check_state(&c);
	check_epochs(&c);
	check_marks(&c);
	if (load_topics(&c) == -1) {
		snprintf(err, err_size, "out of memory");
		goto out;
	}
	check_events(&c);
	check_keys(&c);
	check_revocations(&c);
	*faults = c.faults;
	rc = 0;
out:
	free(c.epochs);
	free(c.topics);
	db_close(&db);
	return rc;
}
