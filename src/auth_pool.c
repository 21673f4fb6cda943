/*
 * auth_pool.c - jobs, the threads that do them, and two queues in between.
 *
 * A job under way is found by its token's hash in the struct auth that asked, so those
 * who bring the same token wait for the same job, and a reload, which brings another
 * struct auth, begins anew.  References are counted by the owner alone: a worker is
 * handed a job and hands it back.
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
	/* fixed */
	struct auth	*auth;		/* one reference */
	const struct auth_issuer *issuer;	/* of it */
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
	(void)pthread_mutex_init(&p->lock, NULL);	/* cannot fail on Linux */
	(void)pthread_cond_init(&p->more, NULL);
	STAILQ_INIT(&p->queue[AUTH_PUBLISH]);
	STAILQ_INIT(&p->queue[AUTH_SUBSCRIBE]);
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

	j->grants = auth_token_read(j->issuer, &j->auth->claim_names, j->token,
	    j->len, &r);
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
}

/* The owner's side */

static void
job_unref(struct auth_job *j)
{
	if (--j->refs > 0)
		return;
	auth_grants_unref(j->grants);
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

/* Does it take long to judge this?  Then its hash too. */
static bool
is_slow(const struct auth *a, struct auth_credential cred,
    unsigned char hash[AUTH_HASH_SIZE])
{
	char why[WHY_SIZE];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	struct auth_token t;

	return cred.text != NULL && cred.len > 0 && a->n_issuers > 0 &&
	    !a->issuers[0].key.is_secret && !auth_is_api_key(cred) &&
	    auth_token_split(cred.text, cred.len, &t, &r) == 0 &&
	    auth_hash(hash, cred.text, cred.len) == 0 &&
	    !auth_is_cached(a, hash);
}

static int
enqueue(struct auth_pool *p, struct auth_job *j, enum auth_use use)
{
	bool full;

	pthread_mutex_lock(&p->lock);
	full = p->stopping || p->waiting[use] >= p->conf.max_waiting;
	if (!full) {
		STAILQ_INSERT_TAIL(&p->queue[use], j, link);
		p->waiting[use]++;
		metric_add(METRIC_AUTH_WAITING, 1);
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	return full ? -1 : 0;
}

/* NULL: no room. */
static struct auth_job *
job_begin(struct auth_pool *p, struct auth *a, struct auth_credential cred,
    enum auth_use use, const unsigned char hash[AUTH_HASH_SIZE])
{
	struct auth_job *j;

	if ((j = calloc(1, sizeof *j + cred.len)) == NULL)
		return NULL;
	j->refs = 1;
	j->auth = a;
	a->refs++;
	j->issuer = &a->issuers[0];
	STAILQ_INIT(&j->waits);
	memcpy(j->hash, hash, sizeof j->hash);
	/* The asker's copy may go first when several wait. */
	memcpy(j->token, cred.text, cred.len);
	j->len = cred.len;
	if (map_put(a->jobs, j->hash, sizeof j->hash, j) == -1)
		goto fail;
	if (enqueue(p, j, use) == -1) {
		(void)map_del(a->jobs, j->hash, sizeof j->hash);
		goto fail;
	}
	return j;

fail:
	job_unref(j);
	return NULL;
}

enum auth_ask
auth_pool_ask(struct auth_pool *p, struct auth *a, struct auth_credential cred,
    enum auth_use use, struct auth_wait *w)
{
	unsigned char hash[AUTH_HASH_SIZE];
	struct auth_job *j = w->job;

	assert(j == NULL || j->ended);
	if (j != NULL && j->auth == a)
		return j->judged ? AUTH_ASK_JUDGED : AUTH_ASK_BUSY;
	/* Other keys than those that judged it: they may see it differently. */
	auth_wait_fini(w);
	if (!is_slow(a, cred, hash))
		return AUTH_ASK_NOW;
	if ((j = map_get(a->jobs, hash, sizeof hash)) == NULL &&
	    (j = job_begin(p, a, cred, use, hash)) == NULL) {
		metric_add(METRIC_AUTH_BUSY, 1);
		return AUTH_ASK_BUSY;
	}
	j->refs++;
	w->job = j;
	STAILQ_INSERT_TAIL(&j->waits, w, link);
	return AUTH_ASK_LATER;
}

void
auth_job_end(struct msg *m, void (*wake)(void *owner))
{
	struct auth_job *j = (struct auth_job *)m;
	struct auth_wait *w;

	j->ended = true;
	(void)map_del(j->auth->jobs, j->hash, sizeof j->hash);
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
	else if (auth_judge_time(j->issuer, j->grants, use, now_ms, &r) == 0) {
		if (!auth_is_cached(j->auth, j->hash))
			auth_cache_put(&j->auth->cache, j->hash, j->issuer,
			    j->grants);
		if (auth_identify(id, auth_grants_ref(j->grants), j->issuer, use,
		    &r) == 0)
			return 0;
	}
	*problem = r.problem;
	return -1;
}
