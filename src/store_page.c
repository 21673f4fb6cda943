/*
 * store_page.c - what is in a page of history, and what comes after it.
 *
 * A page is found by walking the topics' chains back from their newest events, all of
 * them merged through a heap, until the cursor: the cost is what was missed, however
 * much the log holds.  Rows are then fetched oldest first until the page is full.
 * Who is so far behind that every plan would walk a long way again is given a scan
 * from the cursor on, if nothing has been pruned there.
 *
 * Order matters (store.h, rule 4): the head is read first, then the topics, then their
 * marks, then the snapshot is opened.  A page is complete up to that head, no further.
 *
 * The reader's thread alone.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"

#define PLAN_MAX	4096		/* refs kept for the pages to come */
#define NEAR		(2 * PLAN_MAX)	/* events that are walked back to for each plan */
#define COUNT_MAX	65536		/* and to count what was missed, once */
#define SCAN_ROWS	65536		/* rows looked at in a scan */
#define WHOLE_MAX	256		/* of a walk's events are read whole */

/* A topic that the job asks for. */
struct chain {
	int64_t		 id;
	uint64_t	 seq;		/* next to look at, going back */
	uint64_t	 scanned;	/* the last that a scan has met, going forth */
	size_t		 taken;
	char		*name;
	size_t		 len;
};

/* What one job needs while it runs. */
struct walk {
	struct store	*st;
	struct db	*db;
	struct page_job	*job;
	uint64_t	 head;
	struct chain	*chains;
	size_t		 n, cap;
	size_t		*heap;		/* indexes of chains, newest on top */
	size_t		 heap_n;
	struct page_ref	*refs;		/* found, newest first */
	size_t		 refs_n, refs_cap;
	struct frame	*whole[WHOLE_MAX];	/* of the first refs, a reference each */
	size_t		 whole_n;
};

static int
add_chain(struct walk *w, int64_t id, uint64_t newest, const char *name,
    size_t len)
{
	struct chain *grown, *c;
	size_t cap;

	if (w->n == w->cap) {
		cap = w->cap == 0 ? 16 : w->cap * 2;
		if ((grown = realloc(w->chains, cap * sizeof(*grown))) == NULL)
			return -1;
		w->chains = grown;
		w->cap = cap;
	}
	c = &w->chains[w->n];
	memset(c, 0, sizeof(*c));
	c->id = id;
	c->seq = newest;
	c->len = len;
	if ((c->name = malloc(len + 1)) == NULL)
		return -1;
	memcpy(c->name, name, len);
	c->name[len] = '\0';
	w->n++;
	return 0;
}

/* A plain topic that memory does not know: its row is right (store_marks.c). */
static int
find_topic(struct walk *w, const struct topic_name *t)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(w->db, S_topic_find)) == NULL)
		return -1;
	(void)sqlite3_bind_text(q, 1, t->p, (int)t->len, SQLITE_STATIC);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && add_chain(w, sqlite3_column_int64(q, 0),
	    (uint64_t)sqlite3_column_int64(q, 1), t->p, t->len) == -1)
		rc = SQLITE_NOMEM;
	(void)sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Every topic of the table that the pattern matches; a literal beginning narrows the
 * range. */
static int
find_pattern(struct walk *w, const struct topic_name *t)
{
	char high[TOPIC_MAX_BYTES + 1];
	const char *star = strchr(t->p, '*'), *name;
	size_t prefix, len;
	sqlite3_stmt *q;
	int rc;

	/* Up to the slash before the first segment that holds an asterisk, and without
	 * that slash: a final double asterisk stands for no segment, too. */
	for (prefix = (size_t)(star - t->p); prefix > 0 && t->p[prefix] != '/';
	    prefix--)
		;
	if ((q = db_stmt(w->db, prefix > 0 ? S_topic_range : S_topic_from)) == NULL)
		return -1;
	(void)sqlite3_bind_text(q, 1, t->p, (int)prefix, SQLITE_STATIC);
	if (prefix > 0) {
		memcpy(high, t->p, prefix);
		high[prefix] = '/' + 1;
		(void)sqlite3_bind_text(q, 2, high, (int)prefix + 1,
		    SQLITE_TRANSIENT);
	}
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		name = (const char *)sqlite3_column_text(q, 1);
		len = (size_t)sqlite3_column_bytes(q, 1);
		if (name != NULL && !topic_match(t->p, t->len, name, len))
			continue;
		if (name == NULL || add_chain(w, sqlite3_column_int64(q, 0),
		    (uint64_t)sqlite3_column_int64(q, 2), name, len) == -1) {
			rc = SQLITE_NOMEM;
			break;
		}
	}
	(void)sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

static void
lose(struct page_job *j, uint64_t seq)
{
	if (j->lost < seq)
		j->lost = seq;
}

static int
by_id(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int
reread_topic(struct walk *w, struct chain *c)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(w->db, S_topic_find)) == NULL)
		return -1;
	(void)sqlite3_bind_text(q, 1, c->name, (int)c->len, SQLITE_STATIC);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		c->seq = (uint64_t)sqlite3_column_int64(q, 1);
	else
		c->seq = w->st->forgotten;	/* then its chain breaks at once */
	(void)sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Which topics, and where their chains begin. */
static int
find_chains(struct walk *w)
{
	const struct topics *t = w->job->topics;
	uint64_t newest;
	int64_t id;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if ((t->v[i].is_pattern ? find_pattern(w, &t->v[i]) :
		    find_topic(w, &t->v[i])) == -1)
			return -1;
	/* The same topic may have matched twice. */
	if (w->n > 1)
		qsort(w->chains, w->n, sizeof(*w->chains), by_id);
	for (size_t i = 0; i < w->n; i++) {
		if (n > 0 && w->chains[n - 1].id == w->chains[i].id) {
			free(w->chains[i].name);
			continue;
		}
		w->chains[n++] = w->chains[i];
	}
	w->n = n;
	/* Rows may lag; memory does not.  What memory has let go since we looked has a
	 * row that is right now, or was forgotten. */
	for (size_t i = 0; i < w->n; i++) {
		if (marks_peek(w->st, w->chains[i].name, w->chains[i].len, &id,
		    &newest) == 1)
			w->chains[i].seq = newest;
		else if (reread_topic(w, &w->chains[i]) == -1)
			return -1;
	}
	return 0;
}

/* Binary heap of chain indexes, largest seq on top. */
static void
sift_down(struct walk *w, size_t i)
{
	size_t kid, swap;

	for (; (kid = 2 * i + 1) < w->heap_n; i = kid) {
		if (kid + 1 < w->heap_n && w->chains[w->heap[kid + 1]].seq >
		    w->chains[w->heap[kid]].seq)
			kid++;
		if (w->chains[w->heap[i]].seq >= w->chains[w->heap[kid]].seq)
			return;
		swap = w->heap[i];
		w->heap[i] = w->heap[kid];
		w->heap[kid] = swap;
	}
}

static int
add_ref(struct walk *w, uint64_t seq, int64_t topic)
{
	struct page_ref *grown;
	size_t cap;

	if (w->refs_n == w->refs_cap) {
		cap = w->refs_cap == 0 ? 128 : w->refs_cap * 2;
		if ((grown = realloc(w->refs, cap * sizeof(*grown))) == NULL)
			return -1;
		w->refs = grown;
		w->refs_cap = cap;
	}
	w->refs[w->refs_n].seq = seq;
	w->refs[w->refs_n++].topic = topic;
	return 0;
}

/* One event, from the cache or the log; a reference.  *rc is SQLITE_DONE when it is not
 * there, SQLITE_ROW when it is or memory ran out. */
static struct frame *
read_event(struct walk *w, const struct chain *c, uint64_t seq, int *rc)
{
	struct frame *f = NULL;
	sqlite3_stmt *q;

	bool damaged = false;

	*rc = SQLITE_ROW;
	if (seq > w->st->pruned && (f = cache_get(w->st->cache, seq)) != NULL &&
	    f->topic_len == c->len && memcmp(f->topic, c->name, c->len) == 0)
		return frame_ref(f);
	if ((q = db_stmt(w->db, S_event_get)) == NULL) {
		*rc = SQLITE_ERROR;
		return NULL;
	}
	(void)sqlite3_bind_int64(q, 1, (int64_t)seq);
	(void)sqlite3_bind_int64(q, 2, c->id);
	f = NULL;
	if ((*rc = sqlite3_step(q)) == SQLITE_ROW)
		f = store_row_frame(w->st, q, seq, c->name, c->len, &damaged);
	(void)sqlite3_reset(q);
	if (damaged)
		*rc = SQLITE_DONE;	/* as lost as one that is not there */
	if (f != NULL) {
		frame_charge(f, &w->st->page_budget);
		cache_put(w->st->cache, f);
	}
	return f;
}

/* The seq before this one in the topic: SQLITE_ROW and *prev, or SQLITE_DONE when this
 * one is not there.  The first ones are likely to be sent, so they are read whole: *f is
 * a reference then, else NULL. */
static int
read_link(struct walk *w, const struct chain *c, uint64_t *prev, struct frame **f)
{
	sqlite3_stmt *q;
	int rc;

	*f = NULL;
	if (w->refs_n < WHOLE_MAX) {
		if ((*f = read_event(w, c, c->seq, &rc)) == NULL)
			return rc == SQLITE_ROW ? SQLITE_NOMEM : rc;
		*prev = (*f)->prev;
		return SQLITE_ROW;
	}
	if ((q = db_stmt(w->db, S_event_link)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_int64(q, 1, (int64_t)c->seq);
	(void)sqlite3_bind_int64(q, 2, c->id);
	if ((rc = sqlite3_step(q)) == SQLITE_ROW)
		*prev = (uint64_t)sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	return rc;
}

/* From a damaged event to the one before it in the topic, if its link leads to one; 0 if
 * not, as when it is not there.  That is by its place, for its topic may be what is
 * damaged. */
static int
step_over(struct walk *w, struct chain *c)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(w->db, S_event_step_over)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)c->seq);
	(void)sqlite3_bind_int64(q, 2, c->id);
	rc = sqlite3_step(q);
	c->seq = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
	(void)sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/*
 * Collect what lies in (cursor, head], newest first: at most max_events, at most
 * per_topic of each topic (0: no limit).  *more tells that the limit stopped it.
 */
static int
walk_back(struct walk *w, uint64_t cursor, size_t max_events, size_t per_topic,
    bool *more)
{
	struct chain *c;
	struct frame *f;
	uint64_t prev;
	int rc;

	*more = false;
	if ((w->heap = calloc(w->n > 0 ? w->n : 1, sizeof(*w->heap))) == NULL)
		return -1;
	w->heap_n = 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->chains[i].seq > cursor)
			w->heap[w->heap_n++] = i;
	for (size_t i = w->heap_n; i-- > 0;)
		sift_down(w, i);
	while (w->heap_n > 0) {
		c = &w->chains[w->heap[0]];
		rc = read_link(w, c, &prev, &f);
		if (rc == SQLITE_ROW && prev >= c->seq) {
			/* Damage, and no way to walk: as lost as if it were not there. */
			log_warnx("store: %s: the links of %s lead forth",
			    w->st->path, c->name);
			frame_unref(f);
			rc = SQLITE_DONE;
		}
		if (rc == SQLITE_DONE) {
			lose(w->job, c->seq);
			if (step_over(w, c) == -1)
				return -1;
		} else if (rc == SQLITE_ROW) {
			if (c->seq <= w->head) {
				if (w->refs_n == max_events) {
					*more = true;
					frame_unref(f);
					return 0;
				}
				if (add_ref(w, c->seq, c->id) == -1) {
					frame_unref(f);
					return -1;
				}
				if (f != NULL)
					w->whole[w->whole_n++] = f;
				c->taken++;
			} else
				frame_unref(f);
			c->seq = prev;
			if (per_topic > 0 && c->taken == per_topic)
				c->seq = 0;
		} else
			return -1;
		if (c->seq <= cursor)
			w->heap[0] = w->heap[--w->heap_n];
		sift_down(w, 0);
	}
	return 0;
}

/* Oldest first from here on. */
static void
turn_refs(struct walk *w)
{
	struct page_ref swap;

	for (size_t i = 0; i < w->refs_n / 2; i++) {
		swap = w->refs[i];
		w->refs[i] = w->refs[w->refs_n - 1 - i];
		w->refs[w->refs_n - 1 - i] = swap;
	}
}

static struct chain *
chain_of(const struct walk *w, int64_t id)
{
	struct chain key = { .id = id };

	return w->n == 0 ? NULL :
	    bsearch(&key, w->chains, w->n, sizeof(*w->chains), by_id);
}

/* Fetch refs[*at..] until the page is full; rows pruned meanwhile are told as lost. */
static int
fetch(struct walk *w, const struct page_ref *refs, size_t n, size_t *at)
{
	struct page_job *j = w->job;
	const struct chain *c;
	struct frame *f;
	size_t bytes = 0, room = n - *at;
	int rc;

	if (j->max_page > 0 && room > j->max_page)
		room = j->max_page;
	if ((j->frames = calloc(room > 0 ? room : 1,
	    sizeof(struct frame *))) == NULL)
		return -1;
	for (; *at < n && j->n < room; (*at)++) {
		if ((c = chain_of(w, refs[*at].topic)) == NULL) {
			lose(j, refs[*at].seq);	/* forgotten meanwhile */
			continue;
		}
		/* The walk went the other way. */
		if (w->whole_n == n) {
			f = frame_ref(w->whole[n - 1 - *at]);
			rc = SQLITE_ROW;
		} else
			f = read_event(w, c, refs[*at].seq, &rc);
		if (rc == SQLITE_DONE) {
			lose(j, refs[*at].seq);	/* damaged, or pruned meanwhile */
			continue;
		}
		if (f == NULL)
			return -1;
		if (j->n > 0 && bytes + f->bytes > j->max_bytes) {
			frame_unref(f);
			break;
		}
		bytes += f->bytes;
		j->frames[j->n++] = f;
	}
	j->more = *at < n;
	j->through = j->more ? refs[*at].seq - 1 : j->plan_head;
	return 0;
}

/* The seq before the first event at or after a time.  Times rise with the seqs but where a
 * clock was wrong or something was imported: then more is given, not less.  A stamp of the
 * future says nothing. */
static int
find_time(struct walk *w, int64_t ms, uint64_t *cursor)
{
	uint64_t segment = 0;
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(w->db, S_segment_at_time)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, ms);
	(void)sqlite3_bind_int64(q, 2, clock_wall_ms());
	(void)sqlite3_bind_int64(q, 3, SEQ_MAX);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && sqlite3_column_type(q, 0) == SQLITE_NULL) {
		(void)sqlite3_reset(q);
		*cursor = 0;		/* the whole log is younger */
		return 0;
	}
	if (rc == SQLITE_ROW)
		segment = (uint64_t)sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	if (rc != SQLITE_ROW || (q = db_stmt(w->db, S_event_time)) == NULL)
		return -1;
	*cursor = ((segment + 1) << SEGMENT_SHIFT) - 1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)(segment << SEGMENT_SHIFT));
	(void)sqlite3_bind_int64(q, 2, (int64_t)*cursor + 1);
	(void)sqlite3_bind_int64(q, 3, ms);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL)
		*cursor = (uint64_t)sqlite3_column_int64(q, 0) - 1;
	if (*cursor > w->head)
		*cursor = w->head;
	(void)sqlite3_reset(q);
	return rc == SQLITE_ROW ? 0 : -1;
}

static void
forget_walk(struct walk *w)
{
	for (size_t i = 0; i < w->whole_n; i++)
		frame_unref(w->whole[i]);
	w->whole_n = w->refs_n = 0;
}

/* The next of the chains' events after the cursor, found in the order of the log.  Only
 * while nothing behind the cursor was ever pruned: a scan sees what is missing by what
 * follows it in the topic alone. */
static int
scan(struct walk *w, uint64_t cursor, uint64_t *through)
{
	struct chain *c;
	sqlite3_stmt *q;
	uint64_t prev;
	size_t rows = 0;
	int rc = SQLITE_DONE;

	for (size_t i = 0; i < w->n; i++)
		w->chains[i].scanned = cursor;
	*through = w->head;
	if ((q = db_stmt(w->db, S_event_scan)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)cursor);
	(void)sqlite3_bind_int64(q, 2, (int64_t)w->head);
	(void)sqlite3_bind_int64(q, 3, SCAN_ROWS);
	while (w->refs_n < PLAN_MAX && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		cursor = (uint64_t)sqlite3_column_int64(q, 0);
		rows++;
		if ((c = chain_of(w, sqlite3_column_int64(q, 1))) == NULL)
			continue;
		if (add_ref(w, cursor, c->id) == -1)
			return -1;
		prev = (uint64_t)sqlite3_column_int64(q, 2);
		if (prev > c->scanned && prev < cursor)
			lose(w->job, prev);
		c->scanned = cursor;
	}
	if (w->refs_n == PLAN_MAX || rows == SCAN_ROWS)
		*through = cursor;
	else if (rc != SQLITE_DONE)
		return -1;
	(void)sqlite3_reset(q);
	return 0;
}

/* Oldest first from here on; returns how far a plan of it goes. */
static uint64_t
end_of_walk(struct walk *w)
{
	turn_refs(w);
	return w->refs_n > PLAN_MAX ? w->refs[PLAN_MAX].seq - 1 : w->head;
}

/* A plan of what follows the cursor, or too_far. */
static int
plan_after(struct walk *w)
{
	struct page_job *j = w->job;
	size_t max = j->max_events;
	sqlite3_stmt *q;
	bool may_scan, more;

	/* What is pruned after this first look is still in the snapshot. */
	if ((q = db_stmt(w->db, S_event_last_seq)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		return -1;
	(void)sqlite3_reset(q);
	may_scan = w->st->pruned <= j->cursor;
	if (may_scan && max > NEAR && (j->counted || max > COUNT_MAX))
		max = NEAR;
	if (walk_back(w, j->cursor, max, 0, &more) == -1)
		return -1;
	if (more && max == j->max_events) {
		j->too_far = true;
		return 0;
	}
	if (!may_scan || (!more && w->refs_n <= NEAR)) {
		j->plan_head = end_of_walk(w);
		return 0;
	}
	forget_walk(w);
	return scan(w, j->cursor, &j->plan_head);
}

static int
run_walk(struct walk *w)
{
	struct page_job *j = w->job;
	struct page_ref *shrunk;
	uint64_t forgotten;
	bool more;

	if (find_chains(w) == -1)
		return -1;
	if (db_run(w->db, S_begin_read, 0) != SQLITE_DONE)
		return -1;
	switch (j->kind) {
	case PAGE_AFTER:
		/* A plain topic that is not there may be one of the forgotten. */
		forgotten = w->st->forgotten;
		if (j->cursor < forgotten && (j->topics->has_pattern ||
		    w->n < j->topics->n))
			j->lost = forgotten;
		if (plan_after(w) == -1)
			return -1;
		if (j->too_far)
			return 0;
		break;
	case PAGE_SINCE:
		if (find_time(w, j->since_ms, &j->cursor) == -1 ||
		    walk_back(w, j->cursor, j->max_events, 0, &more) == -1)
			return -1;
		j->lost = 0;	/* whoever asks by time has missed nothing */
		if (more) {
			j->too_far = true;
			assert(w->refs_n > 0);	/* stream.max_replay is 1 or more */
			j->cursor = w->refs[w->refs_n - 1].seq - 1;
		}
		j->plan_head = end_of_walk(w);
		break;
	case PAGE_REPLAY:
		if (walk_back(w, 0, j->max_events, j->per_topic, &more) == -1)
			return -1;
		j->lost = 0;
		turn_refs(w);
		j->plan = w->refs;
		j->plan_n = w->refs_n;
		j->plan_head = w->head;
		w->refs = NULL;
		w->refs_n = 0;
		return fetch(w, j->plan, j->plan_n, &j->plan_at);
	case PAGE_PLAN:
		j->lost = 0;
		j->too_far = false;	/* told with the first page */
		return fetch(w, j->plan, j->plan_n, &j->plan_at);
	}
	/* The next pages need not walk again; a long way is cut into several plans. */
	free(j->plan);
	j->plan = w->refs;
	j->plan_n = w->refs_n < PLAN_MAX ? w->refs_n : PLAN_MAX;
	j->plan_at = 0;
	/* Streams far behind keep their plans for long. */
	if (w->refs_n > PLAN_MAX && (shrunk = realloc(j->plan,
	    PLAN_MAX * sizeof(*shrunk))) != NULL)
		j->plan = shrunk;
	w->refs = NULL;
	w->refs_n = 0;
	return fetch(w, j->plan, j->plan_n, &j->plan_at);
}

int
page_find(struct store *st, struct db *db, struct page_job *j, uint64_t head)
{
	struct walk w = { .st = st, .db = db, .job = j, .head = head };
	int rc = run_walk(&w);

	for (size_t i = 0; i < w.whole_n; i++)
		frame_unref(w.whole[i]);
	for (size_t i = 0; i < w.n; i++)
		free(w.chains[i].name);
	free(w.chains);
	free(w.heap);
	free(w.refs);
	return rc;
}
