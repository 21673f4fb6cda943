/*
 * auth_pool.c - jobs, the threads that do them, and two queues in between.
 *
 * A job under way is found by its token's hash in the struct auth that asked, so those
 * who bring the same token wait for the same job, and a reload, which brings another
 * struct auth, begins anew.  References are counted by the owner alone: a worker is
 * handed a job and hands it back.
 *
 * A job that waits for keys is in a list of the owner's; it goes into a queue, or ends,
 * in auth_pool_look().
 *
 * Workers run at a lower priority than the threads that carry events, and nothing
 * waits for them but those whose token they judge.
 */
#include "config.h"

#include "auth_pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth_internal.h"
#include "clock.h"
#include "log.h"
#include "map.h"
#include "metrics.h"
#include "thread.h"

#define THREADS_MAX	64
#define MAX_WAITING	8192	/* tokens for each thread: half a second's work of it */
#define WHY_SIZE	256

struct auth_job {
	struct msg	 msg;		/* first: it goes to the owner's mailbox */
	STAILQ_ENTRY(auth_job) link;	/* in a queue; by the pool's lock */
	/* the owner's */
	unsigned int	 refs;		/* of those who wait, and one until it ends */
	STAILQ_HEAD(, auth_wait) waits;
	bool		 ended;
	bool		 no_keys;	/* they did not come */
	TAILQ_ENTRY(auth_job) parked;	/* while it waits for keys */
	int64_t		 parked_ms;	/* monotonic; 0: it does not wait for keys */
	/* fixed */
	struct auth	*auth;		/* one reference */
	const struct auth_issuer *issuer;	/* of it */
	enum auth_use	 use;
	struct auth_keys *keys;		/* one reference; set when it is queued */
	unsigned char	 hash[AUTH_HASH_SIZE];
	/* the worker's, until it hands it back */
	bool		 judged;
	struct auth_grants *grants;	/* NULL: refused */
	enum problem	 problem;
	char		 why[WHY_SIZE];
	size_t		 len;
	char		 token[];
};

STAILQ_HEAD(job_queue, auth_job);

struct auth_pool {
	struct auth_pool_conf conf;
	pthread_mutex_t	 lock;		/* innermost */
	pthread_cond_t	 more;
	/* by lock */
	struct job_queue queue[2];	/* by enum auth_use */
	size_t		 waiting[2];
	unsigned int	 turn;		/* the queue to look at first */
	bool		 stopping;
	/* the owner's */
	pthread_t	 threads[THREADS_MAX];
	unsigned int	 running;
	TAILQ_HEAD(, auth_job) parked;	/* oldest first */
	size_t		 n_parked[2];	/* who wait for them, by their job's use */
};

struct auth_pool *
auth_pool_new(const struct auth_pool_conf *c)
{
	struct auth_pool *p;
	long cores;

	if ((p = calloc(1, sizeof *p)) == NULL) {
		log_warn("auth: pool");
		return NULL;
	}
	p->conf = *c;
	/*
	 * One core is left to the others.  On two cores a second thread opened no more
	 * streams a second, and nine of ten publishes took 0.7 ms instead of 0.4.
	 */
	if (p->conf.threads == 0) {
		cores = sysconf(_SC_NPROCESSORS_ONLN);
		p->conf.threads = cores < 3 ? 1 : (unsigned int)cores - 1;
	}
	if (p->conf.threads > THREADS_MAX)
		p->conf.threads = THREADS_MAX;
	if (p->conf.max_waiting == 0)
		p->conf.max_waiting = MAX_WAITING * (size_t)p->conf.threads;
	if (p->conf.max_parked == 0)
		p->conf.max_parked = p->conf.max_waiting;
	(void)pthread_mutex_init(&p->lock, NULL);	/* cannot fail on Linux */
	(void)pthread_cond_init(&p->more, NULL);
	STAILQ_INIT(&p->queue[AUTH_PUBLISH]);
	STAILQ_INIT(&p->queue[AUTH_SUBSCRIBE]);
	TAILQ_INIT(&p->parked);
	return p;
}

void
auth_pool_free(struct auth_pool *p)
{
	if (p == NULL)
		return;
	assert(p->running == 0);
	(void)pthread_cond_destroy(&p->more);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The next job, or NULL.  Under the lock. */
static struct auth_job *
take(struct auth_pool *p)
{
	unsigned int use = p->turn;
	struct auth_job *j;

	if (STAILQ_EMPTY(&p->queue[use]))
		use = !use;
	if ((j = STAILQ_FIRST(&p->queue[use])) == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&p->queue[use], link);
	p->waiting[use]--;
	p->turn = !use;
	metric_add(METRIC_AUTH_WAITING, -1);
	return j;
}

static void
judge(struct auth_job *j)
{
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, j->why, sizeof j->why };

	j->grants = auth_token_read(j->issuer, j->keys, &j->auth->claim_names,
	    j->token, j->len, &r);
	j->problem = r.problem;
	j->judged = true;
	metric_add(METRIC_AUTH_CHECKS, 1);
}

static void *
worker_main(void *arg)
{
	struct auth_pool *p = arg;
	struct auth_job *j;

	thread_begin("fanfare-tokens", THREAD_BACKGROUND);
	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		if ((j = take(p)) == NULL) {
			pthread_cond_wait(&p->more, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		judge(j);
		p->conf.done(p->conf.arg, &j->msg);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int
auth_pool_start(struct auth_pool *p)
{
	for (; p->running < p->conf.threads; p->running++)
		if ((errno = pthread_create(&p->threads[p->running], NULL,
		    worker_main, p)) != 0) {
			log_warn("auth: start a thread");
			auth_pool_stop(p);
			return -1;
		}
	return 0;
}

static void
unpark(struct auth_pool *p, struct auth_job *j)
{
	TAILQ_REMOVE(&p->parked, j, parked);
	j->parked_ms = 0;
	p->n_parked[j->use] -= j->refs - 1;
	metric_add(METRIC_AUTH_WAITING, -1);
}

void
auth_pool_stop(struct auth_pool *p)
{
	struct auth_job *j;

	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	while (p->running > 0)
		(void)pthread_join(p->threads[--p->running], NULL);
	/* Nobody else is left to need the lock. */
	while ((j = take(p)) != NULL)
		p->conf.done(p->conf.arg, &j->msg);
	while ((j = TAILQ_FIRST(&p->parked)) != NULL) {
		unpark(p, j);
		p->conf.done(p->conf.arg, &j->msg);
	}
}

/* The owner's side */

static void
job_unref(struct auth_job *j)
{
	if (--j->refs > 0)
		return;
	auth_grants_unref(j->grants);
	auth_keys_unref(j->keys);
	auth_free(j->auth);
	free(j);
}

void
auth_wait_fini(struct auth_wait *w)
{
	if (w->job == NULL)
		return;
	assert(w->job->ended);
	job_unref(w->job);
	w->job = NULL;
}

/* Who judges this, if it takes long?  NULL: it does not.  Its parts and hash too. */
static const struct auth_issuer *
slow_issuer(const struct auth *a, struct auth_credential cred, struct auth_token *t,
    unsigned char hash[AUTH_HASH_SIZE])
{
	char why[WHY_SIZE];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const struct auth_issuer *is;

	if (cred.text == NULL || cred.len == 0 || a->n_issuers == 0 ||
	    auth_is_api_key(cred) ||
	    auth_token_split(cred.text, cred.len, t, &r) == -1 ||
	    auth_hash(hash, cred.text, cred.len) == -1 ||
	    auth_is_cached(a, hash) ||
	    (is = auth_route(a, t->part[1], &r)) == NULL ||
	    auth_is_fast(is))
		return NULL;
	return is;
}

/* To be judged by the keys there are now. */
static int
enqueue(struct auth_pool *p, struct auth_job *j)
{
	bool full;

	j->keys = auth_keys_ref(j->issuer->source->keys);
	pthread_mutex_lock(&p->lock);
	full = p->stopping || p->waiting[j->use] >= p->conf.max_waiting;
	if (!full) {
		STAILQ_INSERT_TAIL(&p->queue[j->use], j, link);
		p->waiting[j->use]++;
		metric_add(METRIC_AUTH_WAITING, 1);
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	return full ? -1 : 0;
}

static int
park(struct auth_pool *p, struct auth_job *j)
{
	/* Stopped by this thread, if at all. */
	if (p->stopping || p->n_parked[j->use] >= p->conf.max_parked)
		return -1;
	j->parked_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&p->parked, j, parked);
	metric_add(METRIC_AUTH_WAITING, 1);
	p->conf.fetch(p->conf.arg, j->issuer->source->url);
	return 0;
}

/* NULL: no room. */
static struct auth_job *
job_begin(struct auth_pool *p, struct auth *a, const struct auth_issuer *is,
    struct auth_credential cred, enum auth_use use, bool lacks_key,
    const unsigned char hash[AUTH_HASH_SIZE])
{
	struct auth_job *j;

	if ((j = calloc(1, sizeof *j + cred.len)) == NULL)
		return NULL;
	j->refs = 1;
	j->auth = a;
	a->refs++;
	j->issuer = is;
	j->use = use;
	STAILQ_INIT(&j->waits);
	memcpy(j->hash, hash, sizeof j->hash);
	/* The asker's copy may go first when several wait. */
	memcpy(j->token, cred.text, cred.len);
	j->len = cred.len;
	if (map_put(a->jobs, j->hash, sizeof j->hash, j) == -1)
		goto fail;
	if ((lacks_key ? park(p, j) : enqueue(p, j)) == -1) {
		(void)map_del(a->jobs, j->hash, sizeof j->hash);
		goto fail;
	}
	return j;

fail:
	job_unref(j);
	return NULL;
}

/* One more for a job that is under way.  False: no room. */
static bool
may_join(const struct auth_pool *p, const struct auth_job *j)
{
	return j->parked_ms == 0 || p->n_parked[j->use] < p->conf.max_parked;
}

/* What came of it, for one who asks again. */
static enum auth_ask
outcome(const struct auth_job *j)
{
	return j->no_keys ? AUTH_ASK_NO_KEYS : j->judged ? AUTH_ASK_JUDGED :
	    AUTH_ASK_BUSY;
}

enum auth_ask
auth_pool_ask(struct auth_pool *p, struct auth *a, struct auth_credential cred,
    enum auth_use use, struct auth_wait *w)
{
	unsigned char hash[AUTH_HASH_SIZE];
	const struct auth_issuer *is;
	struct auth_job *j = w->job;
	struct auth_token t;

	assert(j == NULL || j->ended);
	if (j != NULL && j->auth == a && (!j->judged ||
	    j->keys == j->issuer->source->keys))
		return outcome(j);
	/* Other keys than those that judged it: they may see it differently. */
	auth_wait_fini(w);
	if ((is = slow_issuer(a, cred, &t, hash)) == NULL)
		return AUTH_ASK_NOW;
	if ((j = map_get(a->jobs, hash, sizeof hash)) == NULL)
		j = job_begin(p, a, is, cred, use, auth_lacks_key(is, t.part[0]),
		    hash);
	else if (!may_join(p, j))
		j = NULL;
	if (j == NULL) {
		metric_add(METRIC_AUTH_BUSY, 1);
		return AUTH_ASK_BUSY;
	}
	j->refs++;
	if (j->parked_ms != 0)
		p->n_parked[j->use]++;
	w->job = j;
	STAILQ_INSERT_TAIL(&j->waits, w, link);
	return AUTH_ASK_LATER;
}

/* True: it may be judged now; false: it waits on, or has ended without keys. */
static bool
may_judge(struct auth_job *j)
{
	const struct auth_source *so = j->issuer->source;
	char why[WHY_SIZE];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	struct auth_token t;
	bool late = clock_mono_ms() - j->parked_ms >= AUTH_POOL_KEYS_MS;

	if (auth_token_split(j->token, j->len, &t, &r) == -1 ||
	    !auth_lacks_key(j->issuer, t.part[0]))
		return true;
	/* An attempt that began before it came may have seen the set before. */
	if (so->tried_ms < j->parked_ms && !late)
		return false;
	if (so->keys != NULL && !so->failing && so->tried_ms >= j->parked_ms)
		return true;
	j->no_keys = true;
	return false;
}

void
auth_pool_look(struct auth_pool *p, const struct auth *a)
{
	struct auth_job *j, *next;

	for (j = TAILQ_FIRST(&p->parked); j != NULL; j = next) {
		next = TAILQ_NEXT(j, parked);
		/* After a reload they ask anew. */
		if (j->auth == a && !may_judge(j) && !j->no_keys) {
			p->conf.fetch(p->conf.arg, j->issuer->source->url);
			continue;
		}
		unpark(p, j);
		if (j->auth != a || j->no_keys || enqueue(p, j) == -1)
			p->conf.done(p->conf.arg, &j->msg);
	}
}

void
auth_pool_tick(struct auth_pool *p, const struct auth *a)
{
	const struct auth_job *j = TAILQ_FIRST(&p->parked);

	if (j != NULL && clock_mono_ms() - j->parked_ms >= AUTH_POOL_KEYS_MS)
		auth_pool_look(p, a);
}

void
auth_job_end(struct msg *m, int64_t now_ms, void (*wake)(void *owner))
{
	struct auth_job *j = (struct auth_job *)m;
	char why[WHY_SIZE];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	struct auth_wait *w;

	j->ended = true;
	(void)map_del(j->auth->jobs, j->hash, sizeof j->hash);
	/* Before anybody else asks for it; but what keys said that have changed meanwhile
	 * counts no more. */
	if (j->grants != NULL && j->keys == j->issuer->source->keys &&
	    !auth_is_cached(j->auth, j->hash) &&
	    auth_judge_time(j->issuer, j->grants, j->use, now_ms, &r) == 0)
		auth_cache_put(&j->auth->cache, j->hash, j->issuer, j->grants);
	while ((w = STAILQ_FIRST(&j->waits)) != NULL) {
		STAILQ_REMOVE_HEAD(&j->waits, link);
		wake(w->owner);
	}
	job_unref(j);
}

int
auth_verify_judged(const struct auth_wait *w, enum auth_use use, int64_t now_ms,
    struct auth_identity *id, enum problem *problem, char *why, size_t why_size)
{
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, why_size };
	const struct auth_job *j = w->job;

	memset(id, 0, sizeof *id);
	if (j->grants == NULL)
		(void)auth_refuse(&r, j->problem, "%s", j->why);
	else if (auth_judge_time(j->issuer, j->grants, use, now_ms, &r) == 0 &&
	    auth_identify(id, auth_grants_ref(j->grants), j->issuer, use, &r) == 0)
		return 0;
	*problem = r.problem;
	return -1;
}
