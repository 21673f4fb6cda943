/*
 * store_rig.c - see store_rig.h.
 */
#include "config.h"

#include "store_rig.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fault_vfs.h"
#include "log.h"

#define BATCH_MAX	8
#define DATA_MAX	9000

struct rig rig;
char rig_error[512];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* the ledger's */
static const char *const topics[RIG_TOPICS] = { "a", "b/1", "b/2", "c/d/e", "f" };

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
wrong(const char *fmt, ...)
{
	va_list ap;

	if (rig.wrong[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(rig.wrong, sizeof(rig.wrong), fmt, ap);
	va_end(ap);
}

const char *
rig_topic(int i)
{
	return topics[i];
}

/* "INDEX " and then as many letters as the index says: most are short, some need pages
 * of their own. */
static size_t
data_of(size_t event, char out[DATA_MAX])
{
	size_t len = event % 29 == 7 ? 7000 : event % 5 * 40;
	size_t n = (size_t)snprintf(out, DATA_MAX, "%zu ", event);

	memset(out + n, (int)('a' + event % 26), len);
	return n + len;
}

/* Which event is this?  NULL: none of ours, or not as it was published. */
static struct rig_event *
event_of(const struct frame *f)
{
	char want[DATA_MAX];
	const struct rig_event *e;
	const char *topic;
	size_t i;

	i = (size_t)strtoull(f->data, NULL, 10);
	if (i >= rig.nevents)
		return NULL;
	e = &rig.events[i];
	topic = topics[rig.appends[e->append].topic];
	if (data_of(i, want) != f->data_len || memcmp(want, f->data, f->data_len) != 0 ||
	    f->topic_len != strlen(topic) || memcmp(topic, f->topic, f->topic_len) != 0)
		return NULL;
	return &rig.events[i];
}

static void
committed(void *arg, struct frame **frames, size_t n, unsigned int *subscribers)
{
	const struct rig_event *newest;
	struct rig_event *e;
	uint64_t last;

	(void)arg;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n; i++) {
		subscribers[i] = 1;
		newest = rig.norder > 0 ? &rig.events[rig.order[rig.norder - 1]] : NULL;
		last = newest != NULL && !newest->gone ? newest->id.seq : 0;
		if ((e = event_of(frames[i])) == NULL)
			wrong("seq %" PRIu64 " was announced with other bytes",
			    frames[i]->id.seq);
		else if (e->announced)
			wrong("event %zu was announced twice: seqs %" PRIu64
			    " and %" PRIu64, (size_t)(e - rig.events), e->id.seq,
			    frames[i]->id.seq);
		else {
			if (frames[i]->id.seq <= last)
				wrong("seq %" PRIu64 " was announced after %" PRIu64,
				    frames[i]->id.seq, last);
			if (store_head(rig.st).seq < frames[i]->id.seq)
				wrong("seq %" PRIu64 " was announced above the head",
				    frames[i]->id.seq);
			e->announced = true;
			e->id = frames[i]->id;
			rig.order[rig.norder++] = (size_t)(e - rig.events);
		}
		frame_unref(frames[i]);
	}
	pthread_mutex_unlock(&lock);
}

void
rig_new(void)
{
	static int nth;

	log_init(LOG_ERROR, false);
	memset(&rig, 0, sizeof(rig));
	snprintf(rig.path, sizeof(rig.path), "%s/log%d.db", test_dir(), nth++);
	rig.conf = (struct store_conf){
		.path = rig.path, .sync_full = true,
		.max_queue_bytes = 64 << 20, .max_page_bytes_total = 64 << 20,
		.retry_ms = 5,
	};
}

/* All above the floor is in the tail, as it was announced. */
static void
take_tail(void *arg, struct frame **frames, size_t n, uint64_t floor)
{
	size_t due = 0;
	const struct rig_event *e;

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		if ((e = event_of(frames[i])) == NULL || frames[i]->id.seq <= floor ||
		    (e->announced && e->id.seq != frames[i]->id.seq))
			wrong("the tail holds seq %" PRIu64 ", which is not so",
			    frames[i]->id.seq);
		frame_unref(frames[i]);
	}
	for (size_t i = 0; i < rig.nevents; i++)
		due += rig.events[i].announced && rig.events[i].id.seq > floor;
	if (rig.conf.sync_full && rig.conf.retain_events_per_topic == 0 &&
	    rig.conf.retain_bytes == 0 && due > n)
		wrong("the tail holds %zu events above %" PRIu64 ", not %zu", n,
		    floor, due);
}

bool
rig_open(void)
{
	struct store_hooks hooks = { .committed = committed };

	rig_error[0] = '\0';
	rig.st = store_open(&rig.conf, rig_error, sizeof(rig_error));
	if (rig.st == NULL) {
		ck_assert_str_ne(rig_error, "");
		return false;
	}
	rig.opened_at = store_head(rig.st).seq;
	/* What cannot be loaded is read from the log. */
	(void)store_load_tail(rig.st, 1 << 16, take_tail, NULL);
	ck_assert_int_eq(store_start(rig.st, &hooks), 0);
	return true;
}

void
rig_close(void)
{
	store_stop(rig.st);
	store_close(rig.st);
	rig.st = NULL;
}

/* --- publishers --- */

static void
answered(struct append *a)
{
	sem_post(a->owner);
}

static void
wait_for(sem_t *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += patience(30000) / 1000;
	while (sem_timedwait(s, &until) == -1)
		if (errno == ETIMEDOUT) {
			fprintf(stderr, "an append or a page is stuck\n");
			abort();
		}
}

/* Publish the events of an entry of the ledger, which stays. */
static enum append_result
send_append(size_t index, struct event_id *first)
{
	struct rig_append *r = &rig.appends[index];
	struct frame *frames[BATCH_MAX];
	struct append a = { .frames = frames, .n = r->n, .has_key = r->keyed,
		.done = answered };
	char data[DATA_MAX];
	sem_t done;

	sem_init(&done, 0, 0);
	a.owner = &done;
	for (size_t i = 0; i < r->n; i++) {
		frames[i] = frame_new(topics[r->topic], strlen(topics[r->topic]), NULL,
		    0, data, data_of(r->first + i, data), 0);
		a.bytes += frames[i]->bytes;
	}
	memcpy(a.key, &index, sizeof(index));
	memcpy(a.content, &index, sizeof(index));
	if (store_append(rig.st, &a) == 0)
		wait_for(&done);
	sem_destroy(&done);
	*first = a.first;
	return a.result;
}

struct rig_append *
rig_publish(int topic, size_t n, bool keyed)
{
	struct rig_append *r;
	enum append_result result;
	struct event_id first;
	size_t index;

	pthread_mutex_lock(&lock);
	index = rig.nappends++;
	if (rig.nappends > RIG_APPENDS || rig.nevents + n > RIG_EVENTS)
		abort();
	r = &rig.appends[index];
	*r = (struct rig_append){ .topic = topic, .n = n, .first = rig.nevents,
		.keyed = keyed };
	for (size_t i = 0; i < n; i++)
		rig.events[rig.nevents++].append = index;
	pthread_mutex_unlock(&lock);
	result = send_append(index, &first);
	pthread_mutex_lock(&lock);
	r->result = result;
	r->id = first;
	r->answered = true;
	for (size_t i = 0; i < n && result == APPEND_OK; i++)
		if (!rig.events[r->first + i].announced ||
		    rig.events[r->first + i].id.seq != first.seq + i ||
		    rig.events[r->first + i].id.epoch != first.epoch)
			wrong("seq %" PRIu64 " was acknowledged and not announced",
			    first.seq + i);
	pthread_mutex_unlock(&lock);
	return r;
}

enum append_result
rig_repeat(size_t append, struct event_id *first)
{
	return send_append(append, first);
}

struct crowd {
	pthread_t	thread;
	int		appends;
	uint32_t	seed;
};

static uint32_t
roll(struct crowd *c, uint32_t n)
{
	c->seed = c->seed * 1664525u + 1013904223u;
	return (c->seed >> 10) % n;
}

static void *
publisher(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < c->appends && !vfs_power_is_cut(); i++)
		(void)rig_publish((int)roll(c, RIG_TOPICS), roll(c, 3) == 0 ?
		    1 + roll(c, BATCH_MAX) : 1, roll(c, 3) == 0);
	return NULL;
}

void
rig_publishers(int threads, int appends)
{
	struct crowd crowd[8];

	for (int i = 0; i < threads; i++) {
		crowd[i] = (struct crowd){ .appends = appends, .seed = dice(1000000) };
		if (pthread_create(&crowd[i].thread, NULL, publisher, &crowd[i]) != 0)
			abort();
	}
	for (int i = 0; i < threads; i++)
		pthread_join(crowd[i].thread, NULL);
}

struct rig_append *
rig_recover(void)
{
	int64_t end = now_ms() + patience(10000);
	const struct timespec nap = { .tv_nsec = 2000000 };
	struct rig_append *r;

	while ((r = rig_publish(0, 1, false))->result != APPEND_OK) {
		ck_assert_msg(now_ms() < end, "no append is acknowledged any more: %s",
		    store_trouble(rig.st));
		nanosleep(&nap, NULL);
	}
	ck_assert(rig_wait_trouble(false, 0));
	return r;
}

bool
rig_wait_trouble(bool trouble, int ms)
{
	int64_t end = now_ms() + ms;
	const struct timespec nap = { .tv_nsec = 2000000 };

	while ((store_trouble(rig.st) != NULL) != trouble) {
		if (now_ms() >= end)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

/* --- pages --- */

static void
page_done(struct page_job *j)
{
	sem_post(j->reply_to);
}

static void
run_page(struct page_job *j)
{
	sem_t done;

	sem_init(&done, 0, 0);
	j->done = page_done;
	j->reply_to = &done;
	store_read(rig.st, j);
	wait_for(&done);
	sem_destroy(&done);
}

struct page_job *
rig_page(enum page_kind kind, const char *topic, uint64_t cursor)
{
	char copy[64];
	struct topic_name name = { copy, strlen(topic), strchr(topic, '*') != NULL };
	struct topics *t;
	struct page_job *j;

	snprintf(copy, sizeof(copy), "%s", topic);
	t = topics_new(&name, 1);
	j = page_job_new(kind, t);
	topics_unref(t);
	j->cursor = cursor;
	j->per_topic = 1000;
	j->max_events = 1000000;
	j->max_bytes = 256 << 10;
	run_page(j);
	return j;
}

/* It stands in a log that was opened, though nobody was told that it would: nobody may
 * have been told that it would not. */
static void
note_found(struct rig_event *e, struct event_id id)
{
	const struct rig_append *a = &rig.appends[e->append];

	if (!a->answered || a->result != APPEND_UNKNOWN)
		wrong("seq %" PRIu64 " is stored, the answer was %d", id.seq,
		    (int)a->result);
	e->announced = true;
	e->id = id;
	rig.order[rig.norder++] = (size_t)(e - rig.events);
}

void
rig_check_page(const struct page_job *j, const char *topic, uint64_t cursor)
{
	struct rig_event *e;
	uint64_t last = cursor;
	size_t found = 0, due = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < j->n; i++) {
		e = event_of(j->frames[i]);
		if (e != NULL && !e->announced && j->frames[i]->id.seq <= rig.opened_at)
			note_found(e, j->frames[i]->id);
		if (e == NULL || !e->announced || e->id.seq != j->frames[i]->id.seq)
			wrong("a page holds seq %" PRIu64 ", which was never announced",
			    j->frames[i]->id.seq);
		if (j->frames[i]->id.seq <= last)
			wrong("a page is not in order");
		last = j->frames[i]->id.seq;
		found += last > j->lost;
	}
	for (size_t i = 0; i < rig.nevents; i++) {
		e = &rig.events[i];
		due += e->announced && !e->gone && e->id.seq > cursor &&
		    e->id.seq > j->lost && e->id.seq <= j->through &&
		    (topic[0] == '*' ||
		    strcmp(topics[rig.appends[e->append].topic], topic) == 0);
	}
	if (found < due)
		wrong("a page of %s after %" PRIu64 " to %" PRIu64 " (lost %" PRIu64
		    ") says nothing of %zu events", topic, cursor, j->through, j->lost,
		    due - found);
	pthread_mutex_unlock(&lock);
	ck_assert_msg(rig.wrong[0] == '\0', "%s", rig.wrong);
}

/* --- the whole log --- */

/* Events that stand in the log though nobody was told so. */
static size_t found[RIG_EVENTS], nfound;

/* One event of the log, in its place: `last` is the one before it in its topic. */
static void
check_event(const struct frame *f, const struct frame *last, enum rig_loss loss)
{
	struct rig_event *e = event_of(f), *newest;

	ck_assert_msg(e != NULL, "the log holds seq %" PRIu64 " with other bytes",
	    f->id.seq);
	ck_assert_msg(!e->there, "event %zu stands in the log twice",
	    (size_t)(e - rig.events));
	e->there = true;
	ck_assert_msg(!e->gone, "event %zu was lost and is back",
	    (size_t)(e - rig.events));
	if (!e->announced) {
		/* Above all that was announced before; noted below, in order. */
		newest = rig.norder == 0 ? NULL :
		    &rig.events[rig.order[rig.norder - 1]];
		ck_assert_msg(newest == NULL || newest->gone ||
		    f->id.seq > newest->id.seq, "seq %" PRIu64
		    " comes up after %" PRIu64, f->id.seq, newest->id.seq);
		e->id = f->id;
		found[nfound++] = (size_t)(e - rig.events);
	}
	ck_assert_uint_eq(e->id.seq, f->id.seq);
	ck_assert_msg(e->id.epoch == f->id.epoch, "seq %" PRIu64 " has another epoch",
	    f->id.seq);
	ck_assert(store_cursor_is_good(rig.st, f->id));
	if (last != NULL) {
		ck_assert_uint_eq(f->prev, last->id.seq);
		ck_assert_uint_eq(f->nth, last->nth + 1);
	} else if (loss != RIG_PRUNED) {
		ck_assert_uint_eq(f->prev, 0);
		ck_assert_uint_eq(f->nth, 1);
	}
}

/* Everything a topic has; returns what the log says is lost of it. */
static uint64_t
check_topic(int topic, enum rig_loss loss)
{
	struct page_job *j;
	struct frame *last = NULL;
	size_t n = 0;
	struct topic_name name = { (char *)(uintptr_t)topics[topic],
		strlen(topics[topic]), false };
	struct topics *t = topics_new(&name, 1);
	uint64_t lost, upto;

	j = rig_page(PAGE_AFTER, topics[topic], 0);
	for (lost = j->lost;;) {
		ck_assert(!j->failed);
		for (size_t i = 0; i < j->n; i++) {
			check_event(j->frames[i], last, loss);
			frame_unref(last);
			last = frame_ref(j->frames[i]);
			n++;
			frame_unref(j->frames[i]);
		}
		free(j->frames);
		j->frames = NULL;
		j->n = 0;
		/* A long way is cut into several plans. */
		if (!j->more && j->through >= store_head(rig.st).seq)
			break;
		j->kind = j->more ? PAGE_PLAN : PAGE_AFTER;
		j->cursor = j->through;
		run_page(j);
	}
	if (loss != RIG_PRUNED)
		ck_assert_uint_eq(lost, 0);
	else if (lost > 0 && rig.conf.retain_bytes == 0)
		ck_assert_uint_eq(n, rig.conf.retain_events_per_topic);
	if (last != NULL) {
		ck_assert(store_missed_nothing(rig.st, t, last->id.seq, &upto));
		ck_assert(!store_missed_nothing(rig.st, t, last->id.seq - 1, &upto));
	}
	frame_unref(last);
	topics_unref(t);
	page_job_free(j);
	return lost;
}

static int
by_seq(const void *x, const void *y)
{
	uint64_t a = rig.events[*(const size_t *)x].id.seq;
	uint64_t b = rig.events[*(const size_t *)y].id.seq;

	return a < b ? -1 : a > b;
}

void
rig_check(enum rig_loss loss)
{
	uint64_t lost[RIG_TOPICS];
	struct rig_event *e, *other;
	struct rig_append *a;
	struct event_id first;
	size_t there, tail, in_all = 0, repeated = 0;
	struct store_stats stats;

	file_is_whole(rig.path);
	for (size_t i = 0; i < rig.nevents; i++)
		rig.events[i].there = false;
	nfound = 0;
	for (int i = 0; i < RIG_TOPICS; i++)
		lost[i] = check_topic(i, loss);
	qsort(found, nfound, sizeof(found[0]), by_seq);
	for (size_t i = 0; i < nfound; i++)
		note_found(&rig.events[found[i]], rig.events[found[i]].id);
	/* Nor is a seq given out again where nothing may be lost, not a pruned one. */
	for (size_t i = 0; i < rig.norder && loss != RIG_SUFFIX; i++) {
		e = &rig.events[rig.order[i]];
		ck_assert_uint_ge(store_head(rig.st).seq, e->id.seq);
		ck_assert(store_cursor_is_good(rig.st, e->id));
	}
	/* In the order of announcement: all there, then (if that may be) none. */
	tail = rig.norder;
	for (size_t i = 0; i < rig.norder; i++) {
		e = &rig.events[rig.order[i]];
		a = &rig.appends[e->append];
		if (e->gone || (loss == RIG_PRUNED && !e->there &&
		    e->id.seq <= lost[a->topic]))
			continue;
		if (e->there) {
			ck_assert_msg(tail == rig.norder, "seq %" PRIu64
			    " is there, one announced before it is not", e->id.seq);
			continue;
		}
		ck_assert_msg(loss == RIG_SUFFIX, "seq %" PRIu64 " was announced (answer"
		    " %d) and is lost", e->id.seq, (int)a->result);
		e->gone = true;
		tail = i;
	}
	for (size_t i = 0; i < rig.nappends; i++) {
		a = &rig.appends[i];
		there = 0;
		for (size_t k = 0; k < a->n; k++)
			there += rig.events[a->first + k].there;
		in_all += there;
		ck_assert_msg(loss == RIG_PRUNED || there == 0 || there == a->n,
		    "%zu of a batch of %zu are there", there, a->n);
		/* Acknowledged means announced. */
		ck_assert(a->result != APPEND_OK || !a->answered ||
		    rig.events[a->first].announced);
	}
	/* While nothing is pruned, the log knows how much it holds. */
	store_stats(rig.st, &stats);
	ck_assert(loss == RIG_PRUNED || stats.events == in_all);
	/* An id that was given out names those bytes for ever, or nothing. */
	for (size_t i = 0; i < rig.norder; i++) {
		e = &rig.events[rig.order[i]];
		if (!e->gone)
			continue;
		ck_assert_msg(!store_cursor_is_good(rig.st, e->id), "the cursor %08x-%"
		    PRIu64 ", which is lost, passes for good", e->id.epoch, e->id.seq);
		for (size_t k = i + 1; k < rig.norder; k++) {
			other = &rig.events[rig.order[k]];
			ck_assert(other->id.seq != e->id.seq ||
			    other->id.epoch != e->id.epoch);
		}
	}
	/* Keys know their events. */
	for (size_t i = rig.nappends; i-- > 0 && repeated < 3;) {
		a = &rig.appends[i];
		if (!a->keyed || !rig.events[a->first].there ||
		    rig.nappends - i > 1000)
			continue;
		ck_assert_int_eq(rig_repeat(i, &first), APPEND_DUPLICATE);
		ck_assert_uint_eq(first.seq, rig.events[a->first].id.seq);
		ck_assert_uint_eq(first.epoch, rig.events[a->first].id.epoch);
		repeated++;
	}
	ck_assert_msg(rig.wrong[0] == '\0', "%s", rig.wrong);
}
