/*
 * check_store.c - the log alone, in this process: order, keys, retention, pages.
 *
 * The last test plays thousands of random steps against a plain model of what a log
 * is; suite_seed() says which.
 */
#include "config.h"

#include <sys/stat.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "clock.h"
#include "log.h"
#include "log_folder.h"
#include "store.h"
#include "suite.h"

static char dir[LOG_FOLDER_SIZE], path[LOG_PATH_SIZE];
static struct store *st;
static struct store_conf conf;

/* What was announced, in order. */
static uint64_t announced[200000];
static size_t nannounced;

static void
committed(void *arg, struct frame **frames, size_t n, unsigned int *subscribers)
{
	(void)arg;
	for (size_t i = 0; i < n; i++) {
		subscribers[i] = 7;
		/* Nothing is shown that the head does not cover. */
		ck_assert_uint_ge(store_head(st).seq, frames[i]->id.seq);
		announced[nannounced++] = frames[i]->id.seq;
		frame_unref(frames[i]);
	}
}

static void
open_store(void)
{
	struct store_hooks hooks = { .committed = committed };
	char err[512] = "";

	st = store_open(&conf, err, sizeof(err));
	ck_assert_msg(st != NULL, "%s", err);
	ck_assert_int_eq(store_start(st, &hooks), 0);
}

static void
close_store(void)
{
	store_stop(st);
	store_close(st);
	st = NULL;
}

static void
set_up(void)
{
	log_init(LOG_ERROR, false);
	log_folder_make(dir, path);
	conf = (struct store_conf){
		.path = path, .sync_full = false,
		.max_queue_bytes = 64 << 20, .max_page_bytes_total = 64 << 20,
	};
	nannounced = 0;
}

static void
tear_down(void)
{
	if (st != NULL)
		close_store();
	log_folder_remove(dir, path);
}

/* --- publish and wait --- */

static void
wake(struct append *a)
{
	sem_post(a->owner);
}

/* Publish n events to one topic, data "PREFIX i"; returns the append (static). */
static struct append *
publish_n(const char *topic, const char *data, size_t n, const char *key)
{
	static struct append a;
	static struct frame *frames[1000];
	sem_t done;
	char text[64];

	memset(&a, 0, sizeof(a));
	sem_init(&done, 0, 0);
	for (size_t i = 0; i < n; i++) {
		if (n > 1)
			snprintf(text, sizeof(text), "%s %zu", data, i);
		else
			snprintf(text, sizeof(text), "%s", data);
		frames[i] = frame_new(topic, strlen(topic), NULL, 0, text,
		    strlen(text), 0);
		a.bytes += frames[i]->bytes;
	}
	a.frames = frames;
	a.n = n;
	if (key != NULL) {
		a.has_key = true;
		snprintf((char *)a.key, sizeof(a.key), "%s", key);
		snprintf((char *)a.content, sizeof(a.content), "%s", data);
	}
	a.done = wake;
	a.owner = &done;
	if (store_append(st, &a) == 0)
		while (sem_wait(&done) == -1)
			;
	sem_destroy(&done);
	return &a;
}

static uint64_t
publish(const char *topic, const char *data)
{
	struct append *a = publish_n(topic, data, 1, NULL);

	ck_assert_int_eq(a->result, APPEND_OK);
	return a->first.seq;
}

/* --- read and wait --- */

static void
read_done(struct page_job *j)
{
	sem_post(j->reply_to);
}

static struct topics *
topics_of(const char *list)
{
	struct topic_name names[8];
	char copy[256], *save, *w;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	for (w = strtok_r(copy, " ", &save); w != NULL;
	    w = strtok_r(NULL, " ", &save))
		names[n++] = (struct topic_name){ w, strlen(w),
		    topic_classify(w, strlen(w), NULL) == TOPIC_PATTERN };
	return topics_new(names, n);
}

static void
run_page(struct page_job *j)
{
	sem_t done;

	sem_init(&done, 0, 0);
	j->done = read_done;
	j->reply_to = &done;
	store_read(st, j);
	while (sem_wait(&done) == -1)
		;
	sem_destroy(&done);
	ck_assert(!j->failed);
}

static struct page_job *
page(enum page_kind kind, const char *topics)
{
	struct topics *t = topics_of(topics);
	struct page_job *j = page_job_new(kind, t);

	topics_unref(t);
	j->max_events = 10000;
	j->max_bytes = 1 << 20;
	return j;
}

/* The data of a page's events, joined with commas. */
static const char *
said(const struct page_job *j)
{
	static char out[4096];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < j->n && n < sizeof(out) - 64; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s",
		    i > 0 ? "," : "", (int)j->frames[i]->data_len,
		    j->frames[i]->data);
	return out;
}

static struct page_job *
after(const char *topics, uint64_t cursor)
{
	struct page_job *j = page(PAGE_AFTER, topics);

	j->cursor = cursor;
	run_page(j);
	return j;
}

/* --- tests --- */

START_TEST(seqs_rise_by_one_and_are_announced_in_order_before_the_answer)
{
	open_store();
	for (uint64_t i = 1; i <= 100; i++) {
		ck_assert_uint_eq(publish(i % 2 ? "a" : "b", "x"), i);
		ck_assert_uint_eq(nannounced, i);
		ck_assert_uint_eq(announced[i - 1], i);
	}
	ck_assert_uint_eq(publish_n("a", "batch", 50, NULL)->first.seq, 101);
	ck_assert_uint_eq(store_head(st).seq, 150);
}
END_TEST

START_TEST(a_page_holds_what_follows_the_cursor_of_its_topics_alone)
{
	struct page_job *j;

	open_store();
	publish("a/1", "1");
	publish("b", "2");
	publish("a/2", "3");
	publish("a/1", "4");
	publish("a", "5");
	static const struct {
		const char *topics; uint64_t cursor; const char *want;
	} rows[] = {
		{ "a/1", 0, "1,4" }, { "a/1", 1, "4" }, { "a/1", 4, "" },
		{ "a/1 b", 0, "1,2,4" }, { "a/*", 0, "1,3,4" },
		{ "a/**", 0, "1,3,4,5" }, { "a/** b a/1", 1, "2,3,4,5" },
		{ "**", 2, "3,4,5" }, { "nothing", 0, "" }, { "*/2", 0, "3" },
		{ "*", 0, "2,5" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		j = after(rows[i].topics, rows[i].cursor);
		ck_assert_str_eq(said(j), rows[i].want);
		ck_assert_uint_eq(j->through, 5);
		ck_assert_uint_eq(j->lost, 0);
		ck_assert(!j->more && !j->too_far);
		page_job_free(j);
	}
}
END_TEST

START_TEST(a_page_is_cut_by_bytes_or_count_and_can_be_gone_on_with)
{
	struct page_job *j;
	uint64_t cursor = 0;
	size_t got = 0;

	open_store();
	publish_n("a", "0123456789", 500, NULL);
	for (int pages = 0; got < 500; pages++) {
		ck_assert_int_lt(pages, 100);
		j = page(PAGE_AFTER, "a");
		j->cursor = cursor;
		if (pages % 2)
			j->max_bytes = 5000;
		else
			j->max_page = 7;
		run_page(j);
		ck_assert_uint_gt(j->n, 0);
		for (size_t i = 0; i < j->n; i++)
			ck_assert_uint_eq(j->frames[i]->id.seq, ++got);
		ck_assert(j->more == (got < 500));
		cursor = j->through;
		ck_assert_uint_eq(cursor, got);
		page_job_free(j);
	}
}
END_TEST

START_TEST(a_replay_is_the_newest_few_of_each_topic_oldest_first)
{
	struct page_job *j;

	open_store();
	publish_n("a", "a", 5, NULL);
	publish_n("b", "b", 5, NULL);
	publish("c", "c");
	j = page(PAGE_REPLAY, "a b c d");
	j->per_topic = 2;
	j->max_events = 1000;
	run_page(j);
	ck_assert_str_eq(said(j), "a 3,a 4,b 3,b 4,c");
	page_job_free(j);
	/* At most so many in all: the newest. */
	j = page(PAGE_REPLAY, "*");
	j->per_topic = 2;
	j->max_events = 3;
	run_page(j);
	ck_assert_str_eq(said(j), "b 3,b 4,c");
	page_job_free(j);
	/* In pieces: the plan goes on where the page ended. */
	j = page(PAGE_REPLAY, "*");
	j->per_topic = 2;
	j->max_events = 1000;
	j->max_page = 2;
	run_page(j);
	ck_assert_str_eq(said(j), "a 3,a 4");
	ck_assert(j->more);
	publish("a", "later");		/* does not come into it */
	for (size_t i = 0; i < j->n; i++)
		frame_unref(j->frames[i]);
	free(j->frames);
	j->frames = NULL;
	j->n = 0;
	j->kind = PAGE_PLAN;
	j->max_page = 0;
	run_page(j);
	ck_assert_str_eq(said(j), "b 3,b 4,c");
	ck_assert(!j->more);
	ck_assert_uint_eq(j->through, 11);
	page_job_free(j);
}
END_TEST

START_TEST(a_time_stands_for_the_first_event_at_or_after_it)
{
	struct page_job *j;
	struct timespec nap = { .tv_nsec = 20000000 };
	int64_t between;

	open_store();
	publish("a", "1");
	publish("a", "2");
	nanosleep(&nap, NULL);
	between = clock_wall_ms();
	nanosleep(&nap, NULL);
	publish("b", "3");
	publish("a", "4");
	j = page(PAGE_SINCE, "a b");
	j->since_ms = between;
	run_page(j);
	ck_assert_str_eq(said(j), "3,4");
	page_job_free(j);
	j = page(PAGE_SINCE, "a");
	j->since_ms = 1;
	run_page(j);
	ck_assert_str_eq(said(j), "1,2,4");
	page_job_free(j);
	j = page(PAGE_SINCE, "a");
	j->since_ms = 1;
	j->max_events = 2;
	run_page(j);
	ck_assert_str_eq(said(j), "2,4");
	ck_assert(j->too_far);
	page_job_free(j);
	j = page(PAGE_SINCE, "a");
	j->since_ms = clock_wall_ms() + 60000;
	run_page(j);
	ck_assert_str_eq(said(j), "");
	ck_assert_uint_eq(j->cursor, store_head(st).seq);	/* never beyond */
	page_job_free(j);
}
END_TEST

START_TEST(a_time_finds_what_stands_before_events_of_an_older_time)
{
	static struct frame *frames[5000];
	static int64_t times[5000];
	struct store_hooks hooks = { .committed = committed };
	int64_t now = clock_wall_ms();
	char err[512] = "";
	struct page_job *j;

	conf.retain_age_ms = 0;
	st = store_open(&conf, err, sizeof(err));
	ck_assert_msg(st != NULL, "%s", err);
	for (size_t i = 0; i < 5000; i++) {
		frames[i] = frame_new(i < 10 ? "live" : "old", i < 10 ? 4 : 3, NULL, 0,
		    "x", 1, 0);
		times[i] = i < 10 ? now : now - 1000000000;
	}
	ck_assert_int_eq(store_import(st, frames, times, 5000, err, sizeof(err)), 0);
	for (size_t i = 0; i < 5000; i++)
		frame_unref(frames[i]);
	ck_assert_int_eq(store_start(st, &hooks), 0);
	j = page(PAGE_SINCE, "live");
	j->since_ms = now - 60000;
	run_page(j);
	ck_assert_uint_eq(j->n, 10);
	page_job_free(j);
}
END_TEST

START_TEST(more_than_the_limit_behind_is_too_far)
{
	struct page_job *j;

	open_store();
	publish_n("a", "x", 20, NULL);
	publish_n("b", "x", 20, NULL);
	j = page(PAGE_AFTER, "a");
	j->max_events = 20;
	run_page(j);
	ck_assert(!j->too_far);
	ck_assert_uint_eq(j->n, 20);
	page_job_free(j);
	j = page(PAGE_AFTER, "a b");
	j->max_events = 39;
	run_page(j);
	ck_assert(j->too_far);
	ck_assert_uint_eq(j->n, 0);
	page_job_free(j);
}
END_TEST

START_TEST(a_topic_keeps_its_newest_and_tells_what_it_lost_exactly)
{
	struct page_job *j;

	conf.retain_events_per_topic = 3;
	open_store();
	for (int i = 1; i <= 10; i++) {
		publish("busy", "x");		/* odd seqs */
		if (i == 1)
			publish("quiet", "q");	/* seq 2 */
	}
	j = after("busy", 0);			/* seqs 1, 3..11 */
	ck_assert_uint_eq(j->n, 3);
	ck_assert_uint_eq(j->frames[0]->id.seq, 9);
	ck_assert_uint_eq(j->lost, 8);
	page_job_free(j);
	j = after("busy", 7);
	ck_assert_uint_eq(j->lost, 8);
	page_job_free(j);
	j = after("busy", 8);
	ck_assert_uint_eq(j->lost, 0);
	ck_assert_uint_eq(j->n, 3);
	page_job_free(j);
	j = after("quiet", 0);
	ck_assert_uint_eq(j->lost, 0);
	ck_assert_str_eq(said(j), "q");
	page_job_free(j);
	j = after("quiet busy", 1);
	ck_assert_uint_eq(j->lost, 8);
	ck_assert_uint_eq(j->n, 4);
	page_job_free(j);
	j = after("quiet", 2);
	ck_assert_uint_eq(j->lost, 0);
	page_job_free(j);
}
END_TEST

static void
wait_until_empty(void)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	int64_t until = clock_mono_ms() + 10000;
	struct store_stats s;
	struct page_job *j;
	size_t n;

	do {
		nanosleep(&nap, NULL);
		ck_assert_int_lt(clock_mono_ms(), until);
		store_stats(st, &s);
		j = after("a", 10);	/* the statistics run ahead of the commit */
		n = j->n;
		page_job_free(j);
	} while (s.events > 0 || n > 0);
}

START_TEST(D5_a_log_pruned_empty_goes_on_counting_after_a_restart)
{
	struct page_job *j;
	struct event_id seen;

	conf.retain_age_ms = 1;
	open_store();
	publish_n("a", "x", 30, NULL);
	seen = store_head(st);
	wait_until_empty();
	j = after("a", 10);
	ck_assert_uint_eq(j->n, 0);
	ck_assert_uint_eq(j->lost, 30);	/* told though nothing is there */
	page_job_free(j);
	close_store();
	conf.retain_age_ms = 0;
	open_store();
	ck_assert(store_cursor_is_good(st, seen));
	j = after("a", 10);
	ck_assert_uint_eq(j->lost, 30);
	page_job_free(j);
	ck_assert_uint_eq(publish("a", "x"), 31);
	j = after("a", 30);
	ck_assert_uint_eq(j->lost, 0);
	ck_assert_uint_eq(j->n, 1);
	page_job_free(j);
	j = after("a", 29);
	ck_assert_uint_eq(j->lost, 30);
	ck_assert_uint_eq(j->n, 1);
	page_job_free(j);
}
END_TEST

START_TEST(D5_a_wiped_log_knows_no_cursor_of_the_old_one)
{
	struct event_id old;

	open_store();
	publish("a", "x");
	old = store_head(st);
	ck_assert(store_cursor_is_good(st, old));
	close_store();
	log_remove(path);
	open_store();
	publish("a", "x");
	publish("a", "x");
	ck_assert(!store_cursor_is_good(st, old));
}
END_TEST

START_TEST(D5_a_log_rolled_back_to_a_copy_refuses_cursors_from_after_the_copy)
{
	char cmd[512];
	struct event_id before, later;

	open_store();
	publish_n("a", "x", 50, NULL);
	before = store_head(st);
	close_store();
	snprintf(cmd, sizeof(cmd), "cp %s %s.copy", path, path);
	ck_assert_int_eq(system(cmd), 0);
	open_store();
	/* The epoch that the copy does not know, and the one it does, further on. */
	publish_n("a", "x", 30, NULL);
	later = store_head(st);
	close_store();
	log_remove(path);
	snprintf(cmd, sizeof(cmd), "mv %s.copy %s", path, path);
	ck_assert_int_eq(system(cmd), 0);
	open_store();
	publish_n("a", "other", 40, NULL);
	ck_assert(store_cursor_is_good(st, before));
	ck_assert(!store_cursor_is_good(st, later));
	later.epoch = before.epoch;
	ck_assert(!store_cursor_is_good(st, later));
	/* Beyond the head of this epoch nothing was ever given out. */
	later = store_head(st);
	later.seq++;
	ck_assert(!store_cursor_is_good(st, later));
}
END_TEST

START_TEST(bytes_are_bounded_and_the_oldest_go_first)
{
	struct store_stats s;
	struct page_job *j;
	char data[1001];

	conf.retain_bytes = 200000;
	open_store();
	memset(data, 'x', 1000);
	data[1000] = '\0';
	for (int i = 0; i < 1000; i++)
		publish_n("a", data, 1, NULL);
	store_stats(st, &s);
	ck_assert_uint_le(s.bytes, 210000);
	ck_assert_uint_ge(s.events, 150);
	j = after("a", 0);
	ck_assert_uint_eq(j->frames[j->n - 1]->id.seq, 1000);
	ck_assert_uint_eq(j->frames[0]->id.seq, j->lost + 1);
	page_job_free(j);
}
END_TEST

START_TEST(a_key_stores_once_and_answers_the_first_id_also_after_a_restart)
{
	struct append *a;

	open_store();
	a = publish_n("a", "one", 1, "k1");
	ck_assert_int_eq(a->result, APPEND_OK);
	ck_assert_uint_eq(a->first.seq, 1);
	ck_assert_uint_eq(a->subscribers, 7);
	struct event_id first = a->first;
	a = publish_n("a", "batch", 3, "k2");
	ck_assert_uint_eq(a->first.seq, 2);
	for (int again = 0; again < 2; again++) {
		a = publish_n("a", "one", 1, "k1");
		ck_assert_int_eq(a->result, APPEND_DUPLICATE);
		ck_assert_uint_eq(a->first.seq, 1);
		ck_assert_uint_eq(a->first.epoch, first.epoch);
		ck_assert_int_eq(publish_n("a", "two", 1, "k1")->result,
		    APPEND_CONFLICT);
		ck_assert_int_eq(publish_n("a", "batch", 2, "k2")->result,
		    APPEND_CONFLICT);
		a = publish_n("a", "batch", 3, "k2");
		ck_assert_int_eq(a->result, APPEND_DUPLICATE);
		ck_assert_uint_eq(a->first.seq, 2);
		ck_assert_uint_eq(store_head(st).seq, 4);
		close_store();
		open_store();
	}
}
END_TEST

START_TEST(quiet_topics_are_known_to_have_missed_nothing_without_the_disk)
{
	struct topics *t = topics_of("a b"), *p = topics_of("a/*");
	uint64_t upto;

	open_store();
	publish("a", "1");
	publish("b", "2");
	for (int restart = 0; restart < 2; restart++) {
		uint64_t head = store_head(st).seq;

		ck_assert(!store_missed_nothing(st, t, 1, &upto));
		ck_assert(store_missed_nothing(st, t, 2, &upto));
		ck_assert_uint_eq(upto, head);
		publish("c", "3");
		ck_assert(store_missed_nothing(st, t, 2, &upto));
		ck_assert_uint_eq(upto, head + 1);
		ck_assert(!store_missed_nothing(st, p, 2, &upto));
		close_store();
		open_store();
	}
	topics_unref(t);
	topics_unref(p);
}
END_TEST

/* The tail as a start would load it. */
static uint64_t tail_seqs[1000], tail_floor;
static size_t tail_n;

static void
take_tail(void *arg, struct frame **frames, size_t n, uint64_t floor)
{
	(void)arg;
	tail_n = n;
	tail_floor = floor;
	for (size_t i = 0; i < n; i++) {
		tail_seqs[i] = frames[i]->id.seq;
		frame_unref(frames[i]);
	}
}

START_TEST(the_tail_is_the_newest_events_without_a_hole)
{
	char err[512];

	open_store();
	publish_n("a", "0123456789", 300, NULL);
	close_store();
	st = store_open(&conf, err, sizeof(err));
	ck_assert_int_eq(store_load_tail(st, 1 << 20, take_tail, NULL), 0);
	ck_assert_uint_eq(tail_n, 300);
	ck_assert_uint_eq(tail_floor, 0);
	ck_assert_int_eq(store_load_tail(st, 20000, take_tail, NULL), 0);
	ck_assert_uint_gt(tail_n, 10);
	ck_assert_uint_lt(tail_n, 200);
	for (size_t i = 0; i < tail_n; i++)
		ck_assert_uint_eq(tail_seqs[i], tail_floor + 1 + i);
	ck_assert_uint_eq(tail_seqs[tail_n - 1], 300);
}
END_TEST

START_TEST(a_second_store_on_the_same_file_names_the_first)
{
	char err[512], pid[32];

	open_store();
	ck_assert_ptr_null(store_open(&conf, err, sizeof(err)));
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	ck_assert_ptr_nonnull(strstr(err, pid));
	ck_assert_ptr_nonnull(strstr(err, path));
}
END_TEST

/* --- the model --- */

#define MODEL_TOPICS	12
#define MODEL_EVENTS	60000

struct model_event {
	int	topic;
	bool	there;
};

static struct model_event model[MODEL_EVENTS + 1];	/* by seq */
static uint64_t model_head;
static unsigned int rnd_state;

static unsigned int
rnd(unsigned int n)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (rnd_state >> 10) % n;
}

static const char *const model_names[MODEL_TOPICS] = { "a", "b", "a/1", "a/2",
	"a/b/c", "x", "x/", "/", "user/1/in", "user/2/in", "user/1", "z/z/z/z" };
static const char *const model_asks[] = { "a", "b", "a/1 a/2", "a/*", "a/**", "**",
	"x x/", "user/*/in", "user/1/**", "*", "/ z/z/z/z", "none", "*/*", "b x **" };

static bool
asked(const struct topics *t, int topic)
{
	return topics_match(t, model_names[topic], strlen(model_names[topic]));
}

static void
model_publish(uint64_t limit)
{
	size_t n = rnd(4) == 0 ? 1 + rnd(40) : 1;
	int topic = (int)(rnd(3) == 0 ? rnd(MODEL_TOPICS) : rnd(3));
	uint64_t first = publish_n(model_names[topic], "d", n, NULL)->first.seq;
	uint64_t kept = 0;

	ck_assert_uint_gt(first, model_head);
	for (size_t i = 0; i < n; i++)
		model[first + i] = (struct model_event){ topic, true };
	model_head = first + n - 1;
	for (uint64_t s = model_head; s > 0 && limit > 0; s--)
		if (model[s].there && model[s].topic == topic && ++kept > limit)
			model[s].there = false;
}

/* One page from a random cursor, compared with what the model says. */
static void
model_read(void)
{
	const char *ask = model_asks[rnd(sizeof(model_asks) / sizeof(char *))];
	struct page_job *j = page(PAGE_AFTER, ask);
	uint64_t cursor = rnd(3) == 0 ? 0 : model_head - rnd((unsigned int)
	    (model_head > 200 ? 200 : model_head + 1));
	uint64_t lost = 0, s;
	size_t i = 0;

	j->cursor = cursor;
	j->max_events = 100000;
	if (rnd(2))
		j->max_page = 1 + rnd(30);
	run_page(j);
	for (s = cursor + 1; s <= model_head; s++) {
		if (model[s].topic < 0 || !asked(j->topics, model[s].topic))
			continue;
		if (!model[s].there) {
			lost = s;
			continue;
		}
		if (i == j->n) {
			ck_assert_msg(j->more || j->through < s, "seq %llu of %s is missing",
			    (unsigned long long)s, ask);
			break;
		}
		ck_assert_uint_eq(j->frames[i++]->id.seq, s);
	}
	ck_assert_uint_eq(i, j->n);
	/* Lost ones beyond a page that was cut may be told already. */
	for (; s <= model_head; s++)
		if (model[s].topic >= 0 && !model[s].there &&
		    asked(j->topics, model[s].topic))
			lost = s;
	ck_assert_uint_eq(j->lost, lost);
	/* A long way is cut into plans of 4,096. */
	if (!j->more && j->n < 4096)
		ck_assert_uint_eq(j->through, model_head);
	else
		ck_assert_uint_ge(j->through, j->frames[j->n - 1]->id.seq);
	page_job_free(j);
}

START_TEST(random_steps_agree_with_the_model)
{
	unsigned int seed = suite_seed();
	static const uint64_t limits[] = { 0, 1, 3, 25 };

	rnd_state = seed + (unsigned int)_i;
	printf("random_steps_agree_with_the_model: FANFARE_TEST_SEED=%u\n", seed);
	for (size_t i = 0; i <= MODEL_EVENTS; i++)
		model[i].topic = -1;
	model_head = 0;
	conf.retain_events_per_topic = limits[_i];
	open_store();
	for (int step = 0; step < 1500 && model_head < MODEL_EVENTS - 100; step++) {
		switch (rnd(12)) {
		case 0:
			if (rnd(8) == 0) {
				close_store();
				open_store();
			}
			break;
		case 1: case 2: case 3:
			model_read();
			break;
		default:
			model_publish(limits[_i]);
		}
	}
	ck_assert_uint_gt(model_head, 1000);
}
END_TEST

/* Beside the closed log, as damage would. */
static void
spoil(const char *sql)
{
	sqlite3 *h;

	ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

START_TEST(S4_a_link_that_leads_forth_is_a_loss_and_stops_nobody)
{
	struct page_job *j;

	open_store();
	ck_assert_int_eq(publish_n("a", "x", 500, NULL)->result, APPEND_OK);
	close_store();
	spoil("UPDATE event SET prev = prev + 64 WHERE seq = 100");
	conf.retain_events_per_topic = 450;
	open_store();
	j = after("a", 0);
	ck_assert_uint_eq(j->n, 400);
	ck_assert_uint_eq(j->lost, 100);
	page_job_free(j);
	/* The number of its events is found by its links. */
	for (int i = 0; i < 100; i++)
		(void)publish("a", "x");
	ck_assert_ptr_null(store_trouble(st));
	j = after("a", 0);
	ck_assert_uint_eq(j->n, 450);
	page_job_free(j);
}
END_TEST

START_TEST(a_log_that_needs_what_stands_beside_it_is_not_closed_as_a_file_alone)
{
	char err[512] = "";
	struct frame *f;
	sqlite3 *h;
	int64_t ms = 1;

	for (int held = 1; held >= 0; held--) {
		ck_assert_ptr_nonnull(st = store_open(&conf, err, sizeof(err)));
		f = frame_new("a", 1, NULL, 0, "x", 1, 0);
		ck_assert_int_eq(store_import(st, &f, &ms, 1, err, sizeof(err)), 0);
		frame_unref(f);
		ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
		if (held)
			ck_assert_int_eq(sqlite3_exec(h, "BEGIN; SELECT * FROM event",
			    NULL, NULL, NULL), SQLITE_OK);
		ck_assert_int_eq(store_close_alone(st), held ? -1 : 0);
		ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
	}
	st = NULL;
}
END_TEST

START_TEST(S4_an_event_whose_topic_is_damaged_is_a_loss_far_behind_too)
{
	static const int events[] = { 200, 9000 };	/* walked to, and scanned */
	uint64_t lost = 0, cursor = 0;
	struct page_job *j;
	size_t n = 0;

	open_store();
	(void)publish("b", "x");
	for (int i = 0; i < events[_i]; i += 100)
		ck_assert_int_eq(publish_n("a", "x", 100, NULL)->result, APPEND_OK);
	close_store();
	spoil("UPDATE event SET topic = (SELECT id FROM topic WHERE name = 'b') "
	    "WHERE seq = 100");
	open_store();
	for (bool more = true; more; page_job_free(j)) {
		j = page(PAGE_AFTER, "a");
		j->cursor = cursor;
		j->max_events = 1000000;
		run_page(j);
		lost = j->lost > lost ? j->lost : lost;
		n += j->n;
		more = (cursor = j->through) < store_head(st).seq;
	}
	ck_assert_uint_eq(lost, 100);
	ck_assert_uint_eq(n, (size_t)events[_i] - 1);
}
END_TEST

/* The newest, two in a row, and one that lies deep. */
START_TEST(S4_a_damaged_event_hides_none_of_those_before_it)
{
	struct page_job *j;

	open_store();
	ck_assert_int_eq(publish_n("a", "x", 500, NULL)->result, APPEND_OK);
	close_store();
	spoil("UPDATE event SET data = 'y' WHERE seq IN (100, 400, 401, 500)");
	open_store();
	j = after("a", 0);
	ck_assert_uint_eq(j->n, 496);
	ck_assert_uint_eq(j->lost, 500);
	page_job_free(j);
	j = after("a", 200);
	ck_assert_uint_eq(j->n, 297);
	page_job_free(j);
	j = page(PAGE_REPLAY, "a");
	j->per_topic = 1;
	run_page(j);
	ck_assert_uint_eq(j->n, 1);
	ck_assert_uint_eq(j->frames[0]->id.seq, 499);
	page_job_free(j);
	j = page(PAGE_REPLAY, "a");
	j->per_topic = 200;
	run_page(j);
	ck_assert_uint_eq(j->n, 200);
	ck_assert_uint_eq(j->frames[0]->id.seq, 298);
	page_job_free(j);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("log");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t,
	    seqs_rise_by_one_and_are_announced_in_order_before_the_answer);
	tcase_add_test(t, a_key_stores_once_and_answers_the_first_id_also_after_a_restart);
	tcase_add_test(t, a_second_store_on_the_same_file_names_the_first);
	tcase_add_test(t,
	    a_log_that_needs_what_stands_beside_it_is_not_closed_as_a_file_alone);
	suite_add_tcase(s, t);
	t = tcase_create("pages");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_page_holds_what_follows_the_cursor_of_its_topics_alone);
	tcase_add_test(t, a_page_is_cut_by_bytes_or_count_and_can_be_gone_on_with);
	tcase_add_test(t, a_replay_is_the_newest_few_of_each_topic_oldest_first);
	tcase_add_test(t, a_time_stands_for_the_first_event_at_or_after_it);
	tcase_add_test(t, a_time_finds_what_stands_before_events_of_an_older_time);
	tcase_add_test(t, more_than_the_limit_behind_is_too_far);
	tcase_add_test(t,
	    quiet_topics_are_known_to_have_missed_nothing_without_the_disk);
	tcase_add_test(t, the_tail_is_the_newest_events_without_a_hole);
	suite_add_tcase(s, t);
	t = tcase_create("retention");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_topic_keeps_its_newest_and_tells_what_it_lost_exactly);
	tcase_add_test(t, D5_a_log_pruned_empty_goes_on_counting_after_a_restart);
	tcase_add_test(t, D5_a_wiped_log_knows_no_cursor_of_the_old_one);
	tcase_add_test(t,
	    D5_a_log_rolled_back_to_a_copy_refuses_cursors_from_after_the_copy);
	tcase_add_test(t, bytes_are_bounded_and_the_oldest_go_first);
	tcase_add_test(t, S4_a_link_that_leads_forth_is_a_loss_and_stops_nobody);
	tcase_add_test(t, S4_a_damaged_event_hides_none_of_those_before_it);
	tcase_add_loop_test(t,
	    S4_an_event_whose_topic_is_damaged_is_a_loss_far_behind_too, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("model");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, random_steps_agree_with_the_model, 0, 4);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
