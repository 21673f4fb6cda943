/*
 * check_engine.c - log, hub, shards and streams together, in this process, with socket
 * pairs in place of browsers.
 *
 * The promise under test is one: what a stream is shown, event by event, is what was
 * published to its topics after its cursor, in order, each once; and where something is
 * missing, a fanfare.gap came before.
 */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "hub.h"
#include "log.h"
#include "log_folder.h"
#include "metrics.h"
#include "shard.h"
#include "store.h"
#include "suite.h"

static char dir[LOG_FOLDER_SIZE], path[LOG_PATH_SIZE];
static struct store *st;
static struct hub *hub;
static struct store_conf sconf;
static struct hub_conf hconf;
static unsigned int rnd_state;
static int64_t since_ms;		/* what the next to come ask for; 0: nothing */
static bool envelope;			/* what they want */
static uint64_t rules;			/* that the next to come rest on; 0: none */

static unsigned int
rnd(unsigned int n)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (rnd_state >> 10) % n;
}

static void
open_engine(void)
{
	struct store_hooks hooks = { .committed = hub_publish };
	char err[512] = "";

	st = store_open(&sconf, err, sizeof(err));
	ck_assert_msg(st != NULL, "%s", err);
	hconf.store = st;
	hub = hub_new(&hconf);
	ck_assert_ptr_nonnull(hub);
	hooks.arg = hub;
	ck_assert_int_eq(hub_start(hub), 0);
	ck_assert_int_eq(store_start(st, &hooks), 0);
}

static void
close_engine(void)
{
	hub_stop(hub);
	store_stop(st);
	hub_free(hub);
	store_close(st);
	hub = NULL;
	st = NULL;
}

static void
set_up(void)
{
	log_init(LOG_ERROR, false);
	log_folder_make(dir, path);
	sconf = (struct store_conf){
		.path = path, .max_queue_bytes = 64 << 20,
		.max_page_bytes_total = 64 << 20,
	};
	hconf = (struct hub_conf){
		.threads = 2, .tail_bytes = 64 << 20, .queue_bytes = 256 << 10,
		.max_replay = 10000, .heartbeat_ms = 15000, .retry_ms = 3000,
		.stall_ms = 30000,
	};
	rnd_state = 1;
	since_ms = 0;
	envelope = false;
	rules = 0;
}

static void
tear_down(void)
{
	if (st != NULL)
		close_engine();
	log_folder_remove(dir, path);
}

/* --- publishing --- */

static void
wake(struct append *a)
{
	sem_post(a->owner);
}

static void
page_is_done(struct page_job *j)
{
	sem_post(j->owner);
}

/* n events, the data "TOPIC x..." of about `size` bytes.  Returns the first seq. */
static uint64_t
publish(const char *topic, size_t n, size_t size)
{
	struct append a = { 0 };
	struct frame *frames[1000];
	char *data = malloc(size + 64);
	sem_t done;
	int len;

	sem_init(&done, 0, 0);
	len = snprintf(data, 64, "%s ", topic);
	memset(data + len, 'x', size);
	for (size_t i = 0; i < n; i++) {
		frames[i] = frame_new(topic, strlen(topic), NULL, 0, data,
		    (size_t)len + size, 0);
		a.bytes += frames[i]->bytes;
	}
	free(data);
	a.frames = frames;
	a.n = n;
	a.done = wake;
	a.owner = &done;
	ck_assert_int_eq(store_append(st, &a), 0);
	while (sem_wait(&done) == -1)
		;
	sem_destroy(&done);
	ck_assert_int_eq(a.result, APPEND_OK);
	return a.first.seq;
}

/* --- subscribing --- */

struct client {
	int		 fd;
	char		 buf[65536];
	size_t		 len;
	bool		 live, resumed, ended;
	long long	 retry_ms;		/* as fanfare.close had it */
	int		 gaps;
	char		 reason[16];		/* of the last gap */
	uint64_t	 last;			/* seq last seen */
	void		(*on_event)(struct client *c, uint64_t seq,
			    const char *data);
	void		(*on_gap)(struct client *c);
	void		*arg;
	size_t		 events;
};

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
subscribe(struct client *c, const char *topics, const uint64_t *cursor,
    size_t replay, int buffer)
{
	struct stream_ask ask = { .topics = topics_of(topics), .replay = replay,
		.since_ms = since_ms, .envelope = envelope,
		.grounds = { 0, rules } };
	struct stream *s;
	uint64_t upto;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (buffer > 0) {
		ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer,
		    sizeof(buffer)), 0);
		ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &buffer,
		    sizeof(buffer)), 0);
	}
	if (cursor != NULL) {
		ask.has_cursor = ask.cursor_is_good = true;
		ask.cursor = *cursor;
		c->last = *cursor;
		if (store_missed_nothing(st, ask.topics, ask.cursor, &upto))
			ask.cursor = upto;
	}
	if (!hub_is_draining(hub))	/* else it was let in before */
		ck_assert_int_eq(hub_admit(hub, &(struct guest){ 0 }), ADMITTED);
	s = stream_new(&ask);
	s->fd = fds[0];
	hub_adopt(hub, s);
	c->fd = fds[1];
}

/* One whole block. */
static void
take_block(struct client *c, char *block)
{
	char *line, *save, id[64] = "", name[64] = "", *data = NULL;
	uint64_t seq;

	for (line = strtok_r(block, "\n", &save); line != NULL;
	    line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "id: ", 4) == 0)
			snprintf(id, sizeof(id), "%s", line + 4);
		else if (strncmp(line, "event: ", 7) == 0)
			snprintf(name, sizeof(name), "%s", line + 7);
		else if (strncmp(line, "data: ", 6) == 0)
			data = line + 6;
	}
	if (data == NULL)
		return;
	if (strcmp(name, "fanfare.live") == 0) {
		ck_assert(!c->live);	/* once per connection */
		c->live = true;
		c->resumed = strstr(data, "\"resumed\":true") != NULL;
	} else if (strcmp(name, "fanfare.gap") == 0) {
		c->gaps++;
		sscanf(data, "{\"reason\":\"%15[a-z_]", c->reason);
		if (c->on_gap != NULL)
			c->on_gap(c);
	} else if (strcmp(name, "fanfare.close") == 0) {
		c->ended = true;
		sscanf(strstr(data, "\"retry\":"), "\"retry\":%lld", &c->retry_ms);
	} else {
		ck_assert_str_eq(name, "");
		seq = strtoull(strchr(id, '-') + 1, NULL, 10);
		ck_assert_msg(seq > c->last, "%llu after %llu",
		    (unsigned long long)seq, (unsigned long long)c->last);
		if (c->on_event != NULL)
			c->on_event(c, seq, data);
		c->last = seq;
		c->events++;
	}
}

/* Read at most `max` bytes of what is there; returns how many. */
static size_t
pump(struct client *c, size_t max)
{
	size_t got = 0, room;
	ssize_t n;
	char *end;

	while (got < max) {
		room = sizeof(c->buf) - 1 - c->len;
		if (room > max - got)
			room = max - got;
		ck_assert_uint_gt(room, 0);
		n = recv(c->fd, c->buf + c->len, room, MSG_DONTWAIT);
		if (n == 0)
			c->ended = true;
		if (n <= 0)
			break;
		got += (size_t)n;
		c->len += (size_t)n;
		c->buf[c->len] = '\0';
		while ((end = strstr(c->buf, "\n\n")) != NULL) {
			*end = '\0';
			take_block(c, c->buf);
			c->len -= (size_t)(end + 2 - c->buf);
			memmove(c->buf, end + 2, c->len + 1);
		}
	}
	return got;
}

#define UNTIL(c, condition)						\
	do {								\
		int64_t until_ = clock_mono_ms() + 20000;		\
		while (!(condition)) {					\
			struct pollfd p_ = { (c)->fd, POLLIN, 0 };	\
			(void)poll(&p_, 1, 50);				\
			(void)pump((c), SIZE_MAX / 2);			\
			ck_assert_msg(clock_mono_ms() < until_ &&	\
			    !(c)->ended, "waited for " #condition);	\
		}							\
	} while (0)

static void
leave(struct client *c)
{
	close(c->fd);
	memset(c, 0, sizeof(*c));
}

/* --- tests --- */

START_TEST(an_event_matched_twice_is_shown_once)
{
	static struct client c;

	open_engine();
	subscribe(&c, "a/1 a/* ** a/1", NULL, 0, 0);
	UNTIL(&c, c.live);
	for (int i = 0; i < 20; i++)
		publish(i % 2 ? "a/1" : "b", 1, 10);
	UNTIL(&c, c.last == 20);
	ck_assert_uint_eq(c.events, 20);
	leave(&c);
}
END_TEST

START_TEST(a_slow_reader_gets_everything_and_costs_only_itself)
{
	static struct client slow, fast;

	open_engine();
	subscribe(&slow, "a", NULL, 0, 4096);
	subscribe(&fast, "a", NULL, 0, 0);
	UNTIL(&slow, slow.live);
	UNTIL(&fast, fast.live);
	/* Five times what its queue may hold; it reads nothing. */
	for (int i = 1; i <= 1300; i++) {
		publish("a", 1, 1000);
		if (i % 50 == 0)
			UNTIL(&fast, fast.last == (uint64_t)i);
	}
	ck_assert_uint_eq(fast.events, 1300);
	UNTIL(&slow, slow.last == 1300);
	ck_assert_uint_eq(slow.events, 1300);
	ck_assert_int_eq(slow.gaps + fast.gaps, 0);
	/* And it is live again. */
	publish("a", 1, 10);
	UNTIL(&slow, slow.last == 1301);
	leave(&slow);
	leave(&fast);
}
END_TEST

/* Small events hold more memory than bytes: that must not count against who reads. */
START_TEST(a_burst_of_small_events_is_no_overrun_for_who_reads)
{
	static struct client c;
	int64_t overruns = metric_get(METRIC_STREAMS_OVERRUN);

	open_engine();
	subscribe(&c, "a", NULL, 0, 0);
	UNTIL(&c, c.live);
	for (int i = 1; i <= 20; i++) {
		publish("a", 1000, 40);
		UNTIL(&c, c.last == (uint64_t)i * 1000);
	}
	ck_assert_int_eq(metric_get(METRIC_STREAMS_OVERRUN), overruns);
	leave(&c);
}
END_TEST

START_TEST(who_does_not_read_holds_no_more_memory_than_stream_queue)
{
	static struct client c;
	int64_t overruns = metric_get(METRIC_STREAMS_OVERRUN);
	size_t n = 0, held;
	struct frame *f = frame_new("a", 1, NULL, 0, "a x", 3, 0);

	hconf.limits.send_bytes = 4096;
	envelope = _i == 1;
	held = f->bytes + sizeof(struct entry) + (envelope ? 128 : 0);
	frame_unref(f);
	open_engine();
	subscribe(&c, "a", NULL, 0, 4096);
	UNTIL(&c, c.live);
	while (metric_get(METRIC_STREAMS_OVERRUN) == overruns) {
		publish("a", 10, 1);
		n += 10;
		ck_assert_uint_lt(n, 100000);
	}
	/* The sockets took some; it was nine times as much once. */
	ck_assert_msg(n * held < 2 * hconf.queue_bytes, "%zu events, %zu bytes", n, n * held);
	ck_assert_uint_gt(n * held, hconf.queue_bytes / 2);
	leave(&c);
}
END_TEST

START_TEST(a_slow_reader_is_caught_up_from_disk_when_memory_has_moved_on)
{
	static struct client slow;

	hconf.tail_bytes = 64 << 10;
	open_engine();
	subscribe(&slow, "a b", NULL, 0, 4096);
	UNTIL(&slow, slow.live);
	for (int i = 1; i <= 800; i++)
		publish(i % 3 ? "a" : i % 2 ? "b" : "c", 1, 1000);
	UNTIL(&slow, slow.last >= 799);
	ck_assert_uint_eq(slow.events, 800 - 800 / 6);
	ck_assert_int_eq(slow.gaps, 0);
	leave(&slow);
}
END_TEST

START_TEST(more_behind_than_allowed_is_told_and_begins_anew)
{
	static struct client c;
	uint64_t zero = 0;

	hconf.max_replay = 100;
	open_engine();
	publish("a", 101, 10);
	subscribe(&c, "a", &zero, 2, 0);
	UNTIL(&c, c.live);
	ck_assert_int_eq(c.gaps, 1);
	ck_assert_str_eq(c.reason, "too_far");
	ck_assert_uint_eq(c.events, 2);		/* replay=2 restores the state */
	ck_assert(!c.resumed);
	leave(&c);
	zero = 1;
	subscribe(&c, "a", &zero, 2, 0);
	UNTIL(&c, c.live);
	ck_assert_int_eq(c.gaps, 0);
	ck_assert_uint_eq(c.events, 100);
	ck_assert(c.resumed);
	leave(&c);
}
END_TEST

START_TEST(a_replay_in_pages_tells_what_was_pruned_meanwhile)
{
	static struct client c;

	hconf.tail_bytes = 32 << 10;
	sconf.retain_events_per_topic = 300;
	open_engine();
	publish("a", 300, 1000);
	subscribe(&c, "a", NULL, 300, 4096);
	/* The first page has come; it reads no more for now. */
	for (int64_t until = clock_mono_ms() + 20000; c.events == 0;) {
		struct pollfd p = { c.fd, POLLIN, 0 };

		(void)poll(&p, 1, 50);
		(void)pump(&c, 500);
		ck_assert_int_lt(clock_mono_ms(), until);
	}
	publish("a", 280, 1000);
	UNTIL(&c, c.live);
	UNTIL(&c, c.last == 580);
	ck_assert_int_ge(c.gaps, 1);
	ck_assert_str_eq(c.reason, "expired");
	ck_assert_uint_lt(c.events, 580);
	leave(&c);
}
END_TEST

START_TEST(beginning_anew_in_mid_stream_repeats_nothing)
{
	static struct client c;

	/* A short queue and a short way allowed: it falls too far behind, and its
	 * replay=3 would show the quiet topic's again; take_block() refuses that. */
	hconf.max_replay = 50;
	hconf.queue_bytes = 32 << 10;
	hconf.tail_bytes = _i == 0 ? 32 << 10 : 64 << 20;	/* from the log, or not */
	open_engine();
	publish("quiet", 3, 10);
	subscribe(&c, "quiet busy", NULL, 3, 4096);
	UNTIL(&c, c.live);
	ck_assert_uint_eq(c.events, 3);
	publish("busy", 400, 1000);
	UNTIL(&c, c.last == 403);
	ck_assert_int_eq(c.gaps, 1);
	ck_assert_str_eq(c.reason, "too_far");
	leave(&c);
}
END_TEST

START_TEST(D9_since_in_mid_stream_goes_on_where_it_is)
{
	static struct client c;

	/* Memory holds all that made it fall too far behind, the log but twenty: few
	 * enough to go back to the time asked for. */
	hconf.max_replay = 50;
	hconf.queue_bytes = 32 << 10;
	sconf.retain_events_per_topic = 20;
	since_ms = clock_wall_ms() - 60000;
	open_engine();
	publish("quiet", 3, 10);
	subscribe(&c, "quiet busy", NULL, 0, 4096);
	UNTIL(&c, c.live);
	ck_assert_uint_eq(c.events, 3);
	publish("busy", 400, 1000);
	UNTIL(&c, c.last == 403);
	ck_assert_int_ge(c.gaps, 1);
	ck_assert_str_eq(c.reason, "too_far");
	leave(&c);
}
END_TEST

#define FILLS		16

START_TEST(D9_a_gap_that_waits_for_its_reader_is_not_dropped)
{
	static struct client cs[FILLS];
	char x[16], a[16], ask[40], all[1 << 16];
	uint64_t zero = 0;
	int64_t pages;
	int gaps = 0;

	/* Pages of one event, sockets that take a few, pages that go back soon.  After
	 * what the socket takes twice comes an event that was pruned meanwhile: where
	 * that is depends on the kernel, so each stream has it elsewhere. */
	hconf.threads = 1;
	hconf.tail_bytes = 1;
	hconf.limits = (struct shard_limits){ .page_bytes = 1, .send_bytes = 2048,
		.hold_ms = 300 };
	sconf.retain_events_per_topic = 40;
	open_engine();
	for (size_t i = 0; i < FILLS; i++) {
		snprintf(x, sizeof(x), "x/%zu", i);
		snprintf(a, sizeof(a), "a/%zu", i);
		snprintf(ask, sizeof(ask), "%s %s", x, a);
		publish(x, 5 + i, 10);
		publish(a, 1, 10);
		publish(x, 30 - i, 10);
		subscribe(&cs[i], ask, &zero, 0, 0);
	}
	do {
		pages = metric_get(METRIC_LOG_PAGES);
		usleep(50000);
	} while (pages == 0 || pages != metric_get(METRIC_LOG_PAGES));
	for (size_t i = 0; i < FILLS; i++) {
		snprintf(a, sizeof(a), "a/%zu", i);
		publish(a, 40, 10);
	}
	/* Take what is there, so that the sockets fill up once more; then let the pages
	 * go back, and only then read on. */
	for (size_t i = 0; i < FILLS; i++)
		(void)pump(&cs[i], (size_t)recv(cs[i].fd, all, sizeof(all),
		    MSG_PEEK | MSG_DONTWAIT));
	usleep(500000);
	for (size_t i = 0; i < FILLS; i++) {
		UNTIL(&cs[i], cs[i].live);
		/* Some had it before it went. */
		ck_assert_uint_eq(cs[i].events, 35 + 40 + (cs[i].gaps == 0));
		gaps += cs[i].gaps;
		leave(&cs[i]);
	}
	ck_assert_int_gt(gaps, 0);
}
END_TEST

START_TEST(a_replay_that_waits_for_its_reader_stays_what_was_asked)
{
	static struct client c;
	char name[16];

	/* The kernel takes about 128 kB of the 240; the rest waits in the queue. */
	open_engine();
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "t/%d", i);
		publish(name, 50, 30000);	/* of which one each is wanted */
	}
	subscribe(&c, "t/0 t/1 t/2 t/3 t/4 t/5 t/6 t/7", NULL, 1, 4096);
	/* Until its queue has run over, it reads next to nothing. */
	for (int64_t until = clock_mono_ms() + 20000; c.len == 0;) {
		(void)pump(&c, 1);
		ck_assert_int_lt(clock_mono_ms(), until);
	}
	publish("t/0", 100, 30000);
	UNTIL(&c, c.last == 500);
	ck_assert_uint_eq(c.events, 108);
	ck_assert_int_eq(c.gaps, 0);
	leave(&c);
}
END_TEST

START_TEST(many_patterns_far_behind_do_not_hold_up_a_neighbour)
{
	static struct client patterns[8], c;
	uint64_t zero = 0;
	int64_t began;

	hconf.threads = 1;
	hconf.max_replay = 1000000;
	open_engine();
	for (int i = 0; i < 60; i++)
		publish(i % 2 ? "x/y/z" : "a/b/c", 1000, 20);
	subscribe(&c, "c", NULL, 0, 0);
	UNTIL(&c, c.live);
	for (int i = 0; i < 8; i++)
		subscribe(&patterns[i], "p/*/1 p/*/2 p/*/3 p/*/4 p/*/5 p/**", &zero,
		    0, 0);
	began = clock_mono_ms();
	publish("c", 1, 10);
	UNTIL(&c, c.last == 60001);
	/* Tens of milliseconds; minutes when each step looked at everything again. */
	ck_assert_int_lt(clock_mono_ms() - began, 5000);
	for (int i = 0; i < 8; i++) {
		UNTIL(&patterns[i], patterns[i].live);
		leave(&patterns[i]);
	}
	leave(&c);
}
END_TEST

START_TEST(D9_a_hole_in_what_a_restart_loads_is_told_to_a_pattern)
{
	static struct client c;
	uint64_t one = 1;

	sconf.retain_events_per_topic = 2;
	open_engine();
	publish("x", 1, 10);
	publish("b", 1, 10);			/* 2: pruned by 5 */
	publish("a", 1, 10);
	publish("b", 2, 10);
	close_engine();
	open_engine();
	/* When the scan comes to 4, whose topic lost 2, it has come past 3. */
	subscribe(&c, "**", &one, 0, 0);
	UNTIL(&c, c.live);
	ck_assert_uint_eq(c.events, 3);
	ck_assert_int_eq(c.gaps, 1);
	ck_assert_str_eq(c.reason, "expired");
	leave(&c);
}
END_TEST

#define ABREAST		60

static _Atomic(bool) enough;

/* A batch with one event for each of the topics, again and again. */
static void *
publish_abreast(void *arg)
{
	struct topics *t = arg;
	struct append a;
	struct frame *frames[ABREAST];
	sem_t done;

	sem_init(&done, 0, 0);
	while (!enough) {
		memset(&a, 0, sizeof(a));
		for (size_t i = 0; i < ABREAST; i++) {
			frames[i] = frame_new(t->v[i].p, t->v[i].len, NULL, 0, "x", 1, 0);
			a.bytes += frames[i]->bytes;
		}
		a.frames = frames;
		a.n = ABREAST;
		a.done = wake;
		a.owner = &done;
		if (store_append(st, &a) == -1)
			break;
		while (sem_wait(&done) == -1)
			;
		usleep(200);		/* or the reader never comes near the head */
	}
	sem_destroy(&done);
	return NULL;
}

START_TEST(D6_a_page_holds_all_up_to_where_it_says_while_more_comes)
{
	struct topic_name wanted[ABREAST];
	char text[ABREAST][8];
	struct topics *t;
	struct page_job *j;
	pthread_t publisher;
	uint64_t cursor = 0, head;
	int64_t until = clock_mono_ms() + 700;
	sem_t done;

	for (size_t i = 0; i < ABREAST; i++) {
		snprintf(text[i], sizeof(text[i]), "t/%zu", i);
		wanted[i] = (struct topic_name){ text[i], strlen(text[i]), false };
	}
	t = topics_new(wanted, ABREAST);
	open_engine();
	sem_init(&done, 0, 0);
	enough = false;
	ck_assert_int_eq(pthread_create(&publisher, NULL, publish_abreast, t), 0);
	while (clock_mono_ms() < until) {
		j = page_job_new(PAGE_AFTER, t);
		j->cursor = cursor;
		j->max_events = 1000000;
		j->max_bytes = 64 << 20;
		j->done = page_is_done;
		j->owner = &done;
		head = store_head(st).seq;
		store_read(st, j);
		while (sem_wait(&done) == -1)
			;
		ck_assert(!j->failed && !j->too_far && j->lost == 0);
		ck_assert(j->n > 0 || j->through >= head);
		/* Every event is of one of the topics. */
		for (size_t i = 0; i < j->n; i++)
			ck_assert_uint_eq(j->frames[i]->id.seq, ++cursor);
		ck_assert_uint_eq(cursor, j->through);
		page_job_free(j);
	}
	enough = true;
	(void)pthread_join(publisher, NULL);
	sem_destroy(&done);
	topics_unref(t);
}
END_TEST

static void
no_interest(void *arg, int number, const struct topics *t, int delta)
{
	(void)arg, (void)number, (void)t, (void)delta;
}

static void
not_closed(void *arg, const struct stream_ask *ask)
{
	(void)arg, (void)ask;
}

static struct shard *lone;

static void
to_lone(void *arg, struct frame **frames, size_t n, unsigned int *subscribers)
{
	(void)arg;
	memset(subscribers, 0, n * sizeof(*subscribers));
	shard_news(lone, frames, n, true);
}

START_TEST(a_shard_too_far_behind_is_only_told_how_far_and_reads_the_log)
{
	static struct client c;
	struct stream_ask ask = { .topics = topics_of("a") };
	struct store_hooks hooks = { .committed = to_lone };
	struct shard_conf sc = { .tail_bytes = 1 << 20, .queue_bytes = 256 << 10,
		.max_replay = 100000, .heartbeat_ms = 15000, .retry_ms = 3000,
		.stall_ms = 30000, .interest = no_interest, .closed = not_closed };
	char err[512];
	struct stream *s;
	int fds[2];

	sc.store = st = store_open(&sconf, err, sizeof(err));
	lone = shard_new(&sc);
	ck_assert_int_eq(store_start(st, &hooks), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ask.has_cursor = ask.cursor_is_good = true;
	s = stream_new(&ask);
	s->fd = fds[0];
	c.fd = fds[1];
	shard_adopt(lone, s);
	/* 40 MB while its thread does not turn: more than a mailbox may hold. */
	for (int i = 0; i < 40; i++)
		publish("a", 20, 50000);
	ck_assert_int_eq(shard_start(lone), 0);
	publish("a", 1, 10);
	UNTIL(&c, c.last == 801);
	ck_assert_uint_eq(c.events, 801);
	ck_assert_int_eq(c.gaps, 0);
	publish("a", 1, 10);
	UNTIL(&c, c.last == 802);
	leave(&c);
	shard_stop(lone);
	store_stop(st);
	shard_free(lone);
	store_close(st);
	st = NULL;
}
END_TEST

/* --- the walk --- */

#define TOPICS		6
#define WALKERS		12
#define EVENTS_MAX	20000

static const char *const names[TOPICS] = { "a", "b", "a/1", "a/2", "c", "a/1/x" };
static const char *const asks[] = { "a", "b", "a/1 a/2", "a/*", "a/**", "**",
	"c b", "a/1/x a", "*", "c" };
static int published[EVENTS_MAX + 1];		/* topic by seq; -1: none */

struct walker {
	struct client	 c;
	struct topics	*t;
	const char	*ask;
	uint64_t	 checked;	/* up to here all is accounted for */
	uint64_t	 excused[TOPICS];	/* lost up to here when a gap was told */
	bool		 on, stalled;
};

static uint64_t seqs_of[TOPICS][EVENTS_MAX];	/* what each topic had, in order */
static size_t n_of[TOPICS];
static size_t keep;				/* of each topic; 0: all */

/* Everything of its topics between the last event seen and this one must have been
 * seen, or a gap told when it was lost. */
static void
account(struct walker *w, uint64_t upto)
{
	for (uint64_t s = w->checked + 1; s < upto; s++)
		if (published[s] >= 0 && topics_match(w->t, names[published[s]],
		    strlen(names[published[s]])))
			ck_assert_msg(s <= w->excused[published[s]], "%s: %llu is "
			    "missing without a word", w->ask,
			    (unsigned long long)s);
	w->checked = upto;
}

static void
walker_event(struct client *c, uint64_t seq, const char *data)
{
	struct walker *w = c->arg;
	size_t len = strcspn(data, " ");

	ck_assert(topics_match(w->t, data, len));
	account(w, seq);
}

static void
walker_gap(struct client *c)
{
	struct walker *w = c->arg;

	/* One gap stands for all that was lost by then. */
	for (size_t i = 0; i < TOPICS; i++)
		if (keep > 0 && n_of[i] > keep)
			w->excused[i] = seqs_of[i][n_of[i] - keep - 1];
}

static void
walker_join(struct walker *w, bool resume)
{
	uint64_t cursor = w->checked;

	memset(&w->c, 0, sizeof(w->c));
	if (!resume) {
		w->ask = asks[rnd(sizeof(asks) / sizeof(asks[0]))];
		topics_unref(w->t);
		w->t = topics_of(w->ask);
		/* From a random place of the past, or from the head. */
		cursor = rnd(2) ? store_head(st).seq : rnd((unsigned int)
		    store_head(st).seq + 1);
		w->checked = cursor;
	}
	memset(w->excused, 0, sizeof(w->excused));
	w->c.arg = w;
	w->c.on_event = walker_event;
	w->c.on_gap = walker_gap;
	subscribe(&w->c, w->ask, &cursor, 0, rnd(2) ? 4096 : 0);
	w->on = true;
	w->stalled = false;
}

START_TEST(whoever_comes_goes_and_stalls_misses_nothing_without_a_word)
{
	static struct walker walkers[WALKERS];
	static const uint64_t limits[] = { 0, 0, 40 };
	static const size_t tails[] = { 64 << 20, 32 << 10, 32 << 10 };
	unsigned int seed = suite_seed();
	uint64_t first;
	size_t n, topic;

	printf("whoever_comes_goes: FANFARE_TEST_SEED=%u\n", seed);
	rnd_state = seed + (unsigned int)_i;
	memset(published, -1, sizeof(published));
	memset(walkers, 0, sizeof(walkers));
	memset(n_of, 0, sizeof(n_of));
	keep = limits[_i];
	sconf.retain_events_per_topic = keep;
	hconf.tail_bytes = tails[_i];
	hconf.queue_bytes = 16 << 10;
	hconf.max_replay = 100000;
	open_engine();
	for (int step = 0; step < 4000; step++) {
		struct walker *w = &walkers[rnd(WALKERS)];

		switch (rnd(10)) {
		case 0: case 1: case 2: case 3:
			n = rnd(5) == 0 ? 1 + rnd(20) : 1;
			topic = rnd(TOPICS);
			if (store_head(st).seq + n > EVENTS_MAX)
				break;
			first = publish(names[topic], n, rnd(4) == 0 ? 2000 : 20);
			for (size_t i = 0; i < n; i++) {
				published[first + i] = (int)topic;
				seqs_of[topic][n_of[topic]++] = first + i;
			}
			break;
		case 4:
			if (!w->on)
				walker_join(w, w->t != NULL && rnd(3) != 0);
			else if (rnd(3) == 0) {
				close(w->c.fd);		/* mid-event, often */
				w->on = false;
			}
			break;
		case 5:
			w->stalled = !w->stalled;
			break;
		default:
			if (w->on && !w->stalled)
				(void)pump(&w->c, 1 + rnd(20000));
			if (w->on && w->c.ended) {
				close(w->c.fd);
				w->on = false;
			}
		}
	}
	/* At the end everybody catches up to the head, with a mark for all. */
	for (size_t i = 0; i < TOPICS; i++) {
		first = publish(names[i], 1, 20);
		published[first] = (int)i;
		seqs_of[i][n_of[i]++] = first;
	}
	for (size_t i = 0; i < WALKERS; i++) {
		struct walker *w = &walkers[i];
		uint64_t last = 0;

		if (w->t == NULL)
			continue;
		if (!w->on)
			walker_join(w, true);
		for (uint64_t s = 1; s <= store_head(st).seq; s++)
			if (published[s] >= 0 && topics_match(w->t,
			    names[published[s]], strlen(names[published[s]])))
				last = s;
		UNTIL(&w->c, w->c.last >= last);
		close(w->c.fd);
		topics_unref(w->t);
		w->t = NULL;
	}
}
END_TEST

#define SENT_AWAY	40
#define DRAIN_MS	1000

/* When each comes back, counted from `begun`: not before `least`, over stream.retry. */
static void
come_back_spread(const int64_t *at, int64_t least, const char *who)
{
	int64_t first = at[0], last = at[0];

	for (int i = 1; i < SENT_AWAY; i++) {
		first = at[i] < first ? at[i] : first;
		last = at[i] > last ? at[i] : last;
	}
	ck_assert_msg(first >= least && last <= least + hconf.retry_ms + 2000 &&
	    last - first > hconf.retry_ms / 2, "%s: after %d to %d ms", who,
	    (int)first, (int)last);
}

START_TEST(whoever_is_sent_away_comes_back_over_stream_retry)
{
	enum { OPEN, LATE, RULES };
	static struct client c[SENT_AWAY];
	int64_t begun, back[SENT_AWAY], refused[SENT_AWAY];
	int open = SENT_AWAY;

	hconf.retry_ms = 30000;
	open_engine();
	memset(c, 0, sizeof(c));
	memset(back, 0, sizeof(back));
	rules = 7;
	for (int i = 0; i < SENT_AWAY; i++)
		if (_i == LATE)
			ck_assert_int_eq(hub_admit(hub, &(struct guest){ 0 }), ADMITTED);
		else {
			subscribe(&c[i], "a", NULL, 0, 0);
			UNTIL(&c[i], c[i].live);
		}
	begun = clock_mono_ms();
	if (_i == RULES)
		ck_assert_int_eq(hub_keep_grounds(hub, NULL, 0), 0);
	else
		hub_drain(hub, DRAIN_MS);
	for (int i = 0; i < SENT_AWAY && _i != RULES; i++) {
		if (_i == LATE)
			subscribe(&c[i], "a", NULL, 0, 0);
		refused[i] = clock_mono_ms() - begun + hub_return_ms(hub);
	}
	while (open > 0) {
		ck_assert_int_lt(clock_mono_ms(), begun + 20000);
		(void)poll(NULL, 0, 10);
		for (int i = 0; i < SENT_AWAY; i++) {
			if (c[i].ended)
				continue;
			(void)pump(&c[i], SIZE_MAX / 2);
			if (!c[i].ended)
				continue;
			back[i] = clock_mono_ms() - begun + c[i].retry_ms;
			open--;
		}
	}
	come_back_spread(back, (_i == RULES ? 0 : DRAIN_MS) + 1000, "told to go");
	if (_i != RULES)
		come_back_spread(refused, DRAIN_MS + 1000, "refused");
	for (int i = 0; i < SENT_AWAY; i++)
		leave(&c[i]);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("engine");
	TCase *t = tcase_create("streams");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, an_event_matched_twice_is_shown_once);
	tcase_add_test(t, a_slow_reader_gets_everything_and_costs_only_itself);
	tcase_add_test(t, a_burst_of_small_events_is_no_overrun_for_who_reads);
	tcase_add_loop_test(t, who_does_not_read_holds_no_more_memory_than_stream_queue, 0,
	    2);
	tcase_add_test(t,
	    a_slow_reader_is_caught_up_from_disk_when_memory_has_moved_on);
	tcase_add_test(t, more_behind_than_allowed_is_told_and_begins_anew);
	tcase_add_test(t, a_replay_in_pages_tells_what_was_pruned_meanwhile);
	tcase_add_loop_test(t, beginning_anew_in_mid_stream_repeats_nothing, 0, 2);
	tcase_add_test(t, D9_since_in_mid_stream_goes_on_where_it_is);
	tcase_add_test(t, D9_a_gap_that_waits_for_its_reader_is_not_dropped);
	tcase_add_test(t, a_replay_that_waits_for_its_reader_stays_what_was_asked);
	tcase_add_test(t, many_patterns_far_behind_do_not_hold_up_a_neighbour);
	tcase_add_test(t, D9_a_hole_in_what_a_restart_loads_is_told_to_a_pattern);
	tcase_add_test(t, D6_a_page_holds_all_up_to_where_it_says_while_more_comes);
	tcase_add_test(t,
	    a_shard_too_far_behind_is_only_told_how_far_and_reads_the_log);
	tcase_add_loop_test(t,
	    whoever_comes_goes_and_stalls_misses_nothing_without_a_word, 0, 3);
	tcase_add_loop_test(t, whoever_is_sent_away_comes_back_over_stream_retry, 0, 3);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
