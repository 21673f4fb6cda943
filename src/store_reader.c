/*
 * store_reader.c - the thread that reads history: one page a job, oldest job first.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"
#include "thread.h"

#define BUDGET_WAIT_MS	10
#define IDLE_MS		10000		/* then the cache is emptied */

struct page_job *
page_job_new(enum page_kind kind, struct topics *topics)
{
	struct page_job *j;

	if ((j = calloc(1, sizeof(*j))) == NULL)
		return NULL;
	j->kind = kind;
	j->topics = topics_ref(topics);
	return j;
}

void
page_job_free(struct page_job *j)
{
	if (j == NULL)
		return;
	for (size_t i = 0; i < j->n; i++)
		frame_unref(j->frames[i]);
	free(j->frames);
	free(j->plan);
	topics_unref(j->topics);
	free(j);
}

static void
run_job(struct store *st, struct db *db, struct page_job *j, bool stopping)
{
	uint64_t head = store_head(st).seq;	/* first of all: see store_page.c */
	int rc;

	j->pruned_before = st->prune_clock;
	if (j->abandoned || stopping || st->gone) {
		j->failed = true;
		j->done(j);
		return;
	}
	rc = db->h == NULL && db_open_reader(db, st->path) == -1 ? -1 :
	    page_find(st, db, j, head);
	if (rc == -1) {
		j->failed = true;
		log_warnx("store: %s: read: %s", st->path, db->h != NULL ? db_why(db) :
		    "not open");
	}
	/* Short snapshots, so that checkpoints get past them. */
	if (db->h != NULL && sqlite3_get_autocommit(db->h) == 0) {
		for (size_t i = 0; i < STATEMENT_COUNT; i++)
			(void)sqlite3_reset(db->stmts[i]);
		(void)db_run(db, S_commit, 0);
	}
	if (rc == -1)
		db_close(db);		/* the next job opens it anew */
	st->n_pages++;
	j->pruned_after = st->prune_clock;
	j->done(j);
}

static int
wait_read(struct store *st, int64_t ms)
{
	struct timespec until;
	int64_t at = clock_mono_ms() + ms;

	until.tv_sec = (time_t)(at / 1000);
	until.tv_nsec = (long)(at % 1000) * 1000000;
	return pthread_cond_clockwait(&st->read_cond, &st->read_lock,
	    CLOCK_MONOTONIC, &until);
}

/*
 * The oldest job that may run, waiting for one; NULL when stopping.  While streams hold
 * on to more pages than the budget allows, only jobs that are not charged may: memory
 * stays bounded, and streams may keep a page only so long (stream.h).
 */
static struct page_job *
take_job(struct store *st, struct db *db, bool *stopping)
{
	struct page_job *j, **at;
	bool full;

	pthread_mutex_lock(&st->read_lock);
	for (;;) {
		if (st->held != st->hold) {
			if (st->hold)
				db_close(db);
			st->held = st->hold;
			pthread_cond_signal(&st->held_cond);
		}
		if (st->held && !st->read_stopping) {
			(void)wait_read(st, IDLE_MS);
			continue;
		}
		full = st->page_budget.bytes >= st->conf.max_page_bytes_total;
		at = &st->jobs;
		while (*at != NULL && full && (*at)->charge && !st->read_stopping)
			at = &(*at)->next;
		if ((j = *at) != NULL) {
			if ((*at = j->next) == NULL)
				st->jobs_tail = at;
			break;
		}
		if (st->read_stopping)
			break;
		if (wait_read(st, st->jobs == NULL ? IDLE_MS : BUDGET_WAIT_MS) ==
		    ETIMEDOUT && st->jobs == NULL) {
			pthread_mutex_unlock(&st->read_lock);
			cache_clear(st->cache);
			pthread_mutex_lock(&st->read_lock);
		}
	}
	*stopping = st->read_stopping;
	pthread_mutex_unlock(&st->read_lock);
	return j;
}

void *
reader_main(void *arg)
{
	struct store *st = arg;
	struct db db = { 0 };
	struct page_job *j;
	bool stopping;

	thread_begin("fanfare-reader", THREAD_STEADY);
	while ((j = take_job(st, &db, &stopping)) != NULL)
		run_job(st, &db, j, stopping);
	cache_clear(st->cache);
	db_close(&db);
	pthread_mutex_lock(&st->read_lock);
	st->held = st->hold = true;		/* for good */
	pthread_cond_signal(&st->held_cond);
	pthread_mutex_unlock(&st->read_lock);
	return NULL;
}

void
reader_hold(struct store *st)
{
	pthread_mutex_lock(&st->read_lock);
	st->hold = true;
	pthread_cond_signal(&st->read_cond);
	while (!st->held)
		(void)pthread_cond_wait(&st->held_cond, &st->read_lock);
	pthread_mutex_unlock(&st->read_lock);
}

void
reader_release(struct store *st)
{
	pthread_mutex_lock(&st->read_lock);
	st->hold = false;
	pthread_cond_signal(&st->read_cond);
	pthread_mutex_unlock(&st->read_lock);
}

void
store_read(struct store *st, struct page_job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&st->read_lock);
	*st->jobs_tail = j;
	st->jobs_tail = &j->next;
	pthread_cond_signal(&st->read_cond);
	pthread_mutex_unlock(&st->read_lock);
}
