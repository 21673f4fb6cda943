/*
 * check_fault_slow.c - readers that are slow, asleep or only waiting, and publishers that
 * are too many: each costs what it may, and nobody else notices.
 */
#include "config.h"

#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";

#define KERNEL_KB	128	/* for one stream: fanfare-capacity(7) */

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
by_size(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Of the n latencies so far; sorts them. */
static int64_t
median(int64_t *v, int n)
{
	ck_assert_int_gt(n, 0);
	qsort(v, (size_t)n, sizeof *v, by_size);
	return v[n / 2];
}

/* As many descriptors as there may be, less some. */
static int
room_for(int wanted)
{
	struct rlimit rl;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	return (int)rl.rlim_cur / 5 * 4 < wanted ? (int)rl.rlim_cur / 5 * 4 : wanted;
}

/* What the kernel keeps for the server's side of connections, whatever their state. */
struct kernel {
	int	sockets;
	int64_t	sum, most;	/* bytes */
};

static struct kernel
kernel_memory(struct server *s)
{
	struct kernel k = { 0, 0, 0 };
	FILE *f = popen(fmt("ss -tmnOH 'sport = :%d'", s->port), "r");
	char line[1024], *p;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f) != NULL) {
		/* f: allocated and not used; w: waiting to be sent. */
		if ((p = strstr(line, ",f")) == NULL)
			continue;
		int64_t n = strtoll(p + 2, &p, 10);

		ck_assert_int_eq(strncmp(p, ",w", 2), 0);
		n += strtoll(p + 2, NULL, 10);
		k.sockets++;
		k.sum += n;
		if (n > k.most)
			k.most = n;
	}
	ck_assert_msg(pclose(f) == 0, "ss (of iproute2) does not run");
	return k;
}

static void
send_event(struct http *h, const char *topic, const char *body, size_t len)
{
	struct answer *a;

	ck_assert_int_eq(try_http_send(h, "POST", topic, AUTH, body, len), 0);
	a = try_http_receive(h, SOON);
	ck_assert_ptr_nonnull(a);
	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	answer_free(a);
}

#define HEALTHY		10
#define SAMPLE		20

/* Publish the next event; us until all who are healthy had it. */
static int64_t
beat(struct http *h, struct stream **healthy, int number, size_t size)
{
	char body[65536];
	int64_t began = now_us();
	int len;

	len = snprintf(body, sizeof body, "%d ", number);
	memset(body + len, 'x', size);
	send_event(h, "/publish?topic=a", body, (size_t)len + size);
	for (int i = 0; i < HEALTHY; i++) {
		struct event *e = stream_next(healthy[i], SOON);

		ck_assert_msg(e != NULL, "healthy reader %d misses %d", i, number);
		ck_assert_int_eq(atoi(e->data), number);
	}
	return now_us() - began;
}

/* A hundred a second, if it goes that fast. */
static int64_t
paced_beat(struct http *h, struct stream **healthy, int number, size_t size)
{
	int64_t took = beat(h, healthy, number, size);

	if (took < 10000)
		usleep((useconds_t)(10000 - took));
	return took;
}

/* Read on, over as many connections as it takes, until the event `last`; each one comes
 * once and in order. */
static void
reads_everything(struct server *s, struct stream *st, int next, int last)
{
	struct stream *first = st;

	while (next <= last) {
		struct event *e = stream_next(st, SOON);

		if (e == NULL) {
			char *cursor = fmt("Last-Event-ID: %s\r\n", st->last_id);

			ck_assert_msg(st->eof, "nothing at %d", next);
			/* One connection too many is a live lock. */
			ck_assert_msg(st == first, "the end again, at %d", next);
			ck_assert_msg(*st->last_id != '\0', "no cursor");
			stream_close(st);
			st = stream_open(s, "/events?topic=a", cursor);
			continue;
		}
		if (is_control(e)) {
			ck_assert_str_ne(e->name, "fanfare.gap");
			continue;
		}
		ck_assert_int_eq(atoi(e->data), next);
		next++;
	}
	stream_close(st);
}

#define BASELINE	200
#define EVENTS_MAX	20000

START_TEST(R3_readers_that_never_read_cost_what_is_documented_and_nobody_else)
{
	int n = room_for(size_of_run(1500, 10000)), number = 0;
	struct server *s = server_start(all_public, "--server.max_event=16k",
	    "--stream.queue=32k", size_of_run(0, 1) == 1 ? "--stream.stall=15s" :
	    "--stream.stall=4s", NULL);
	struct stream **slow = keep(calloc((size_t)n, sizeof *slow), free);
	struct stream *healthy[HEALTHY];
	struct http *h = http_open(s);
	int64_t *took = keep(calloc(EVENTS_MAX, sizeof *took), free), quiet, loud;
	int64_t end;
	struct kernel k, most = { 0, 0, 0 };
	long before, rss = 0;

	for (int i = 0; i < HEALTHY; i++) {
		healthy[i] = stream_open(s, "/events?topic=a", "");
		expect_live(healthy[i], false);
	}
	for (; number < BASELINE; number++)
		took[number] = paced_beat(h, healthy, number, 1000);
	quiet = median(took, BASELINE);
	for (int i = 0; i < n; i++) {
		slow[i] = try_stream(s, "/events?topic=a", "", 1024);
		ck_assert_ptr_nonnull(slow[i]);
	}
	for (int i = 0; i < n; i++)	/* the cursor in fanfare.live, and no more */
		expect_live(slow[i], false);
	before = server_memory_kb(s);
	end = now_ms() + patience(size_of_run(60000, 180000));
	while (number < EVENTS_MAX) {
		took[number] = paced_beat(h, healthy, number, 1000);
		number++;
		if (number % 100 != 0)
			continue;
		k = kernel_memory(s);
		most = k.sum > most.sum ? k : most;
		if (server_memory_kb(s) > rss)
			rss = server_memory_kb(s);
		if (server_metric(s, "streams_stalled_total") == n)
			break;
		ck_assert_msg(now_ms() < end, "%d of %d are ended",
		    (int)server_metric(s, "streams_stalled_total"), n);
	}
	ck_assert_int_eq(server_metric(s, "streams_stalled_total"), n);
	loud = median(took + BASELINE, number - BASELINE);
	printf("%d that never read: %ld kB resident each, kernel %ld kB each and %ld "
	    "at most; %d healthy: %ld us beside them, %ld alone\n", n,
	    (rss - before) / n, (long)(most.sum / n / 1024), (long)(most.most / 1024),
	    HEALTHY, (long)loud, (long)quiet);
	ck_assert_int_gt(server_metric(s, "streams_overrun_total"), 0);
	/* One buffer is let in beyond the limit. */
	ck_assert_int_le(most.sum / n, (KERNEL_KB + 16) * 1024);
	ck_assert_int_le(most.most, 2 * KERNEL_KB * 1024);
	if (patience(1) == 1) {
		/* The tail and what belongs to it, and a few kB of references. */
		ck_assert_msg(rss - before < 32 * 1024 + n * 8, "+%ld kB",
		    rss - before);
		ck_assert_msg(loud <= 2 * quiet + 20000, "%ld us, %ld alone",
		    (long)loud, (long)quiet);
	}
	/* Nor does the kernel keep what nobody takes. */
	for (end = now_ms() + patience(SOON);
	    (k = kernel_memory(s)).sum > (int64_t)n * 1024; poll(NULL, 0, 100))
		ck_assert_msg(now_ms() < end, "%ld kB for %d sockets are kept",
		    (long)(k.sum / 1024), k.sockets);
	for (int i = 0; i < SAMPLE; i++)
		reads_everything(s, slow[n / SAMPLE * i], BASELINE, number - 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define ALONE		100
#define ALONE_QUEUE_KB	64

/* The same batch again and again; the most memory seen, in kB. */
static long
send_rounds(struct server *s, struct http *h, const char *body, size_t len, int rounds)
{
	long most = 0;
	struct answer *a;

	for (int i = 0; i < rounds; i++) {
		ck_assert_int_eq(try_http_send(h, "POST", "/publish", AUTH
		    "Content-Type: application/json\r\n", body, len), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		answer_free(a);
		if (i % 50 == 0 && server_memory_kb(s) > most)
			most = server_memory_kb(s);
	}
	return most;
}

/* Beside others on the same topic a reader shares what it holds, alone it does not; and a
 * small event is 30 bytes of the stream and 300 of memory. */
START_TEST(R3_readers_of_topics_of_their_own_hold_no_more_than_stream_queue)
{
	static const struct {
		int		 size, rounds;
	} rows[] = { { 1, 9000 }, { 100, 2500 } };
	struct server *s = server_start(all_public, "--store.tail=64k",
	    "--store.durability=normal", "--server.max_event=16k", "--stream.queue=64k",
	    "--stream.stall=10m", NULL);
	struct http *h = http_open(s);
	char data[1001], *body = keep(malloc(ALONE * 1100), free), *at;
	long before, most;
	struct stream *slow;

	memset(data, 'x', sizeof data);
	at = body;
	for (int i = 0; i < ALONE; i++)
		at += sprintf(at, "%c{\"topic\":\"b/%d\",\"data\":\"%.*s\"}",
		    i == 0 ? '[' : ',', i, rows[_i].size, data);
	*at++ = ']';
	/* The log, and what it keeps in memory, is none of theirs. */
	(void)send_rounds(s, h, body, (size_t)(at - body), rows[_i].rounds);
	for (int i = 0; i < ALONE; i++) {
		slow = try_stream(s, fmt("/events?topic=b/%d", i), "", 1024);
		ck_assert_ptr_nonnull(slow);
		expect_live(slow, false);
	}
	before = server_memory_kb(s);
	most = send_rounds(s, h, body, (size_t)(at - body), rows[_i].rounds);
	printf("%d that never read, %d bytes each on topics of their own: %ld kB\n",
	    ALONE, rows[_i].size, (most - before) / ALONE);
	ck_assert_int_ge(server_metric(s, "streams_overrun_total"), ALONE);
	if (patience(1) == 1)
		ck_assert_msg((most - before) / ALONE < 2 * ALONE_QUEUE_KB, "%ld kB",
		    (most - before) / ALONE);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define TOPICS		1200	/* of two events, 120 kB, in the log alone */
#define QUIET_MS	3000	/* longer than pages are left to who takes nothing */

/* Pages out of the log share 64 MB, and here they are all different: who takes none of
 * his must not keep others from theirs. */
START_TEST(R3_readers_that_stop_in_a_replay_hold_up_no_other_replay)
{
	struct server *s = server_start(all_public, "--store.tail=64k",
	    "--stream.stall=10m", NULL);
	struct stream **slow = keep(calloc(TOPICS, sizeof *slow), free), *fine;
	char *pad = repeat("x", 60000), *cursor, *batch, *at;
	int64_t began, quiet_since, writes = -1;
	long before;

	ck_assert_int_eq(room_for(TOPICS), TOPICS);
	cursor = fmt("Last-Event-ID: %s\r\n", publish(s, "a", "first"));
	batch = at = keep(malloc(16 * 60100), free);
	for (int i = 0; i < 2 * TOPICS; i++) {
		at += sprintf(at, "{\"topic\":\"t/%d\",\"data\":\"%d %s\"}\n", i / 2,
		    i % 2, pad);
		if (i % 16 == 15) {
			publish_json(s, batch);
			at = batch;
		}
	}
	before = server_memory_kb(s);
	for (int i = 1; i < TOPICS; i++) {
		slow[i] = try_stream(s, fmt("/events?topic=t/%d", i), cursor, 1024);
		ck_assert_ptr_nonnull(slow[i]);
	}
	for (began = quiet_since = now_ms(); now_ms() - quiet_since < QUIET_MS;
	    poll(NULL, 0, 50)) {
		ck_assert_int_lt(now_ms() - began, patience(60000));
		if (server_metric(s, "writes_total") == writes)
			continue;
		writes = server_metric(s, "writes_total");
		quiet_since = now_ms();
	}
	printf("%d replays that nobody reads: +%ld MB, all stuck after %d ms\n", TOPICS,
	    (server_memory_kb(s) - before) / 1024, (int)(quiet_since - began));
	began = now_ms();
	fine = stream_open(s, "/events?topic=t/0", cursor);
	for (int i = 0; i < 2; i++) {
		struct event *e = stream_next(fine, SOON);

		ck_assert_msg(e != NULL, "nothing at %d", i);
		ck_assert_int_eq(atoi(e->data), i);
	}
	expect_live(fine, true);
	printf("one that reads: %d ms\n", (int)(now_ms() - began));
	if (patience(1) == 1)
		ck_assert_int_le(server_memory_kb(s) - before, 160 * 1024);
	ck_assert_int_eq(server_metric(s, "streams_stalled_total"), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define ASKERS		80	/* for pages of a megabyte */

/* Their answers are theirs, but the 64 MB of pages are for streams. */
START_TEST(R3_readers_that_stop_in_a_page_of_history_hold_up_no_replay)
{
	struct server *s;
	struct stream *fine;
	char *pad = repeat("x", 60000), *cursor, *batch, *at, *rq;
	int slow[ASKERS], narrow = narrow_socket();
	int64_t began;

	servers_given(&narrow, 1, NULL);
	s = server_start(all_public, "--store.tail=64k", NULL);
	cursor = fmt("Last-Event-ID: %s\r\n", publish(s, "a", "first"));
	batch = keep(malloc(16 * 60100), free);
	for (int i = 0; i < ASKERS; i++) {
		at = batch;
		for (int k = 0; k < 16; k++)
			at += sprintf(at, "{\"topic\":\"t/%d\",\"data\":\"%d %s\"}\n", i,
			    k, pad);
		publish_json(s, batch);
	}
	for (int i = 0; i < ASKERS; i++) {
		rq = fmt("GET /history?topic=t/%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
		ck_assert_int_ne(slow[i] = dial(s->port, 1024), -1);
		ck_assert_int_eq(send(slow[i], rq, strlen(rq), MSG_NOSIGNAL),
		    (int)strlen(rq));
	}
	/* Of all that are begun but not taken there are 64 MB; the others are refused. */
	for (began = now_ms(); server_metric(s, "histories_total") < ASKERS * 3 / 4;
	    poll(NULL, 0, 50))
		ck_assert_int_lt(now_ms() - began, patience(20000));
	fine = stream_open(s, "/events?topic=t/0", cursor);
	for (int i = 0; i < 16; i++) {
		struct event *e = stream_next(fine, SOON);

		ck_assert_msg(e != NULL, "nothing at %d", i);
		ck_assert_int_eq(atoi(e->data), i);
	}
	expect_live(fine, true);
	for (int i = 0; i < ASKERS; i++)
		close(slow[i]);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R4 ---- */

#define EACH	10

/* A reader that takes a byte when it is told to. */
struct trickle {
	int	fd;
	char	*text;		/* what it has, the head too */
	size_t	at;
};

#define TRICKLE_MAX	(1 << 20)

static struct trickle *
trickle_open(struct server *s)
{
	static const char rq[] = "GET /events?topic=a HTTP/1.1\r\nHost: x\r\n"
	    "Accept: text/event-stream\r\n\r\n";
	struct trickle *t = keep(calloc(1, sizeof *t), free);

	t->text = keep(calloc(1, TRICKLE_MAX), free);
	t->fd = dial(s->port, 1024);
	ck_assert_int_ne(t->fd, -1);
	ck_assert_int_eq(send(t->fd, rq, sizeof rq - 1, MSG_NOSIGNAL),
	    (int)sizeof rq - 1);
	return t;
}

/* Up to `most` bytes, as many as are here; false when there will be no more. */
static bool
trickle_take(struct trickle *t, size_t most)
{
	ssize_t n;

	if (most > TRICKLE_MAX - 1 - t->at)
		most = TRICKLE_MAX - 1 - t->at;
	n = recv(t->fd, t->text + t->at, most, 0);
	t->at += n > 0 ? (size_t)n : 0;
	return n > 0 || (n == -1 && errno == EAGAIN);
}

/* What it has goes on without a hole where it resumes. */
static void
trickle_resumes(struct server *s, struct trickle *t, int last)
{
	char *at = t->text, *id = NULL, *end;
	int next = 0;

	while (trickle_take(t, TRICKLE_MAX))
		poll(NULL, 0, 1);
	close(t->fd);
	for (; (end = strstr(at, "\n\n")) != NULL; at = end + 2) {
		char *data = strstr(at, "\ndata: ");

		*end = '\0';
		ck_assert_ptr_nonnull(data);
		id = strstr(at, "id: ");
		ck_assert_ptr_nonnull(id);
		id[4 + strcspn(id + 4, "\n")] = '\0';
		if (data[7] != '{')
			ck_assert_int_eq(atoi(data + 7), next++);
	}
	ck_assert_msg(id != NULL, "not even a cursor: %s", t->text);
	reads_everything(s, stream_open(s, "/events?topic=a",
	    fmt("Last-Event-ID: %s\r\n", id + 4)), next, last);
}

/* A process that reads all there is over as many connections as it takes. */
static int
read_to_the_end(struct server *s, int last)
{
	struct stream *st = try_stream(s, "/events?topic=a", "", 0);
	int next = 0, status = 0, ends = 0;

	alarm((unsigned int)patience(60000) / 1000);
	while (next <= last && status == 0) {
		struct event *e = st == NULL ? NULL : stream_next(st, SOON);

		if (e != NULL && strcmp(e->name, "fanfare.gap") == 0)
			status = 2;
		else if (e != NULL && !is_control(e))
			status = atoi(e->data) == next++ ? 0 : 3;
		else if (e == NULL && (st == NULL || st->eof)) {
			if (++ends > 1)
				status = 4;
			else
				st = try_stream(s, "/events?topic=a",
				    fmt("Last-Event-ID: %s\r\n", st->last_id), 0);
		}
	}
	return status;
}

START_TEST(R4_readers_at_a_byte_a_second_or_asleep_hold_up_nobody)
{
	struct server *s = server_start(all_public, "--stream.stall=2s", NULL);
	struct stream *healthy[HEALTHY], *never[EACH];
	struct trickle *slow[EACH];
	struct http *h = http_open(s);
	int number = 0, total = 200, status;
	int64_t end, next_byte = 0, worst = 0, took, before;
	pid_t asleep;

	for (int i = 0; i < HEALTHY; i++) {
		healthy[i] = stream_open(s, "/events?topic=a", "");
		expect_live(healthy[i], false);
	}
	for (int i = 0; i < EACH; i++) {
		slow[i] = trickle_open(s);
		never[i] = try_stream(s, "/events?topic=a", "", 1024);
		ck_assert_ptr_nonnull(never[i]);
		expect_live(never[i], false);
		for (end = now_ms() + patience(SOON); strstr(slow[i]->text,
		    "}\n\n") == NULL; poll(NULL, 0, 5)) {
			ck_assert_msg(now_ms() < end, "no fanfare.live");
			ck_assert(trickle_take(slow[i], 1000));
		}
	}
	before = server_metric(s, "streams");
	asleep = fork();
	ck_assert_int_ne(asleep, -1);
	if (asleep == 0)
		_exit(read_to_the_end(s, total));
	for (end = now_ms() + patience(SOON); server_metric(s, "streams") == before;
	    poll(NULL, 0, 10))
		ck_assert_msg(now_ms() < end, "the process does not read");
	took = beat(h, healthy, number++, 100);
	poll(NULL, 0, 200);		/* it has a cursor */
	ck_assert_int_eq(kill(asleep, SIGSTOP), 0);
	for (end = now_ms() + patience(30000);
	    server_metric(s, "streams_stalled_total") < 2 * EACH + 1;) {
		if (number < total) {
			took = beat(h, healthy, number++, 60000);
			worst = took > worst ? took : worst;
		}
		if (now_ms() >= next_byte) {
			for (int i = 0; i < EACH; i++)
				(void)trickle_take(slow[i], 1);
			next_byte = now_ms() + 1000;
		}
		ck_assert_msg(now_ms() < end, "%d of %d are ended",
		    (int)server_metric(s, "streams_stalled_total"), 2 * EACH + 1);
		poll(NULL, 0, 10);
	}
	while (number <= total)
		beat(h, healthy, number++, 1000);
	printf("%d MB, beside %d that take nothing: %ld us at most\n",
	    total * 60000 / 1000000, 2 * EACH + 1, (long)worst);
	ck_assert_int_eq(server_metric(s, "streams"), HEALTHY);
	ck_assert_int_eq(kill(asleep, SIGCONT), 0);
	for (int i = 0; i < EACH; i += 3) {
		trickle_resumes(s, slow[i], total);
		reads_everything(s, never[i], 0, total);
	}
	ck_assert_int_eq(waitpid(asleep, &status, 0), asleep);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the process that slept: status %x", status);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The kernel says that a socket takes more when a third of its buffer is free: with this
 * reader that is longer than stream.stall, and it reads all the while. */
START_TEST(R4_a_reader_that_is_only_slow_is_not_ended)
{
	struct server *s = server_start(all_public, "--stream.stall=3s",
	    "--store.tail=1M", NULL);
	struct stream *slow = try_stream(s, "/events?topic=a", "", 4096);
	struct stream *healthy[HEALTHY];
	struct http *h = http_open(s);
	char *seen = keep(malloc(1 << 20), free);
	int64_t end;
	size_t at = 0;
	int number = 0;
	ssize_t n;

	ck_assert_ptr_nonnull(slow);
	for (int i = 0; i < HEALTHY; i++) {
		healthy[i] = stream_open(s, "/events?topic=a", "");
		expect_live(healthy[i], false);
	}
	expect_live(slow, false);
	while (number < 10)
		beat(h, healthy, number++, 60000);
	for (end = now_ms() + 8000; now_ms() < end; poll(NULL, 0, 200)) {
		n = recv(slow->fd, seen + at, 2000, 0);
		ck_assert_msg(n != 0, "it was ended after %zu bytes", at);
		at += n > 0 ? (size_t)n : 0;
	}
	printf("%zu bytes in 8 s\n", at);
	ck_assert_int_eq(server_metric(s, "streams_stalled_total"), 0);
	/* Now as fast as it can: every byte of all ten. */
	for (end = now_ms() + patience(20000); at < 10 * 60000;) {
		struct pollfd pfd = { slow->fd, POLLIN, 0 };

		ck_assert_msg(now_ms() < end, "nothing after %zu bytes", at);
		poll(&pfd, 1, 100);
		n = recv(slow->fd, seen + at, (1 << 20) - at - 1, 0);
		ck_assert_msg(n != 0, "the end after %zu bytes", at);
		at += n > 0 ? (size_t)n : 0;
	}
	seen[at] = '\0';
	for (number = 0; number < 10; number++) {
		seen = strstr(seen, fmt("data: %d xxx", number));
		ck_assert_msg(seen != NULL, "event %d is not there", number);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R5 ---- */

#define LOOK_MS	3000

START_TEST(R5_streams_that_wait_cost_a_kilobyte_and_no_time)
{
	int n = room_for(size_of_run(2000, 10000));
	struct server *s = server_start(all_public, "--stream.heartbeat=1s", NULL);
	struct stream **st = keep(calloc((size_t)n, sizeof *st), free);
	int64_t writes, cpu, began;
	struct kernel k;
	long before;

	publish(s, "a", "warm");
	stream_close(stream_open(s, "/events?topic=a", ""));
	before = server_memory_kb(s);
	for (int i = 0; i < n; i++) {
		st[i] = try_stream(s, fmt("/events?topic=user/%d", i), "", 0);
		ck_assert_ptr_nonnull(st[i]);
	}
	for (int i = 0; i < n; i++)
		expect_live(st[i], false);
	poll(NULL, 0, 1200);
	writes = server_metric(s, "writes_total");
	cpu = server_cpu_ms(s);
	began = now_ms();
	poll(NULL, 0, LOOK_MS);
	cpu = server_cpu_ms(s) - cpu;
	writes = server_metric(s, "writes_total") - writes;
	began = now_ms() - began;
	k = kernel_memory(s);
	printf("%d idle streams: %ld bytes resident each, %ld in the kernel's queues; "
	    "%ld us for a heartbeat, of which %ld came a second\n", n,
	    (server_memory_kb(s) - before) * 1024 / n, (long)(k.sum / k.sockets),
	    (long)(cpu * 1000 / (writes > 0 ? writes : 1)),
	    (long)(writes * 1000 / began));
	/* Each has at least most of its heartbeats. */
	ck_assert_int_ge(writes, (int64_t)n * LOOK_MS / 1000 / 2);
	for (int i = 0; i < n; i++) {
		stream_feed(st[i]);
		ck_assert_msg(st[i]->comments >= 2, "stream %d: %d comments", i,
		    st[i]->comments);
		ck_assert_int_eq(st[i]->eof, false);
	}
	if (patience(1) == 1) {
		ck_assert_int_le((server_memory_kb(s) - before) * 1024 / n, 2048);
		/* 30 us each are 2 % of a core for ten thousand every 15 s. */
		ck_assert_int_le(cpu * 1000 / writes, 30);
	}
	ck_assert_int_le(k.sum / k.sockets, 8192);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R8 ---- */

#define FLOOD	120		/* connections that publish a megabyte each, at once */
#define BATCH	15		/* events of one request */
#define BIG	60000		/* bytes of one event */

struct flood {
	struct http	*h[FLOOD];
	char		*body;		/* a batch, the number of its request left open */
	size_t		 len, at;	/* where the number goes: eight digits */
	int		 sent, acked, refused;
	bool		 busy[FLOOD];
	char		**ids;		/* of the first of each batch acknowledged */
	int		 *numbers;
};

static void
flood_init(struct flood *f, struct server *s, int rounds)
{
	char *pad = repeat("x", BIG), *p;

	*f = (struct flood){ .len = 0 };
	f->body = p = keep(malloc(BATCH * (BIG + 100)), free);
	for (int i = 0; i < BATCH; i++)
		p += sprintf(p, "{\"topic\":\"flood\",\"data\":\"00000000 %d %s\"}\n", i,
		    pad);
	f->len = (size_t)(p - f->body);
	f->ids = keep(calloc((size_t)(rounds * FLOOD), sizeof *f->ids), free);
	f->numbers = keep(calloc((size_t)(rounds * FLOOD), sizeof *f->numbers), free);
	for (int i = 0; i < FLOOD; i++)
		f->h[i] = http_open(s);
}

/* Every connection sends one, all at once; then every answer is taken. */
static void
flood_round(struct flood *f)
{
	size_t done[FLOOD] = { 0 };
	char *head = fmt("POST /publish HTTP/1.1\r\nHost: x\r\n" AUTH
	    "Content-Type: application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
	    f->len), number[16], *bodies[FLOOD];
	size_t head_len = strlen(head), len = head_len + f->len;
	int64_t end = now_ms() + patience(60000);
	int open = FLOOD, numbers[FLOOD];

	for (int i = 0; i < FLOOD; i++) {
		char *p;

		bodies[i] = malloc(len + 1);
		ck_assert_ptr_nonnull(bodies[i]);
		memcpy(bodies[i], head, head_len);
		memcpy(bodies[i] + head_len, f->body, f->len + 1);
		numbers[i] = ++f->sent;
		snprintf(number, sizeof number, "%08d", numbers[i]);
		for (p = bodies[i] + head_len;
		    (p = strstr(p, "\"00000000 ")) != NULL;)
			memcpy(p + 1, number, 8);
		f->busy[i] = true;
	}
	while (open > 0) {
		bool moved = false;

		ck_assert_msg(now_ms() < end, "%d are never answered", open);
		for (int i = 0; i < FLOOD; i++) {
			struct answer *a;
			ssize_t n;

			if (!f->busy[i])
				continue;
			n = done[i] == len ? 0 : send(http_fd(f->h[i]),
			    bodies[i] + done[i], len - done[i], MSG_NOSIGNAL);
			if (n > 0) {
				done[i] += (size_t)n;
				moved = true;
			}
			if (try_http_feed(f->h[i]) == 0)
				continue;
			a = try_http_receive(f->h[i], SOON);
			ck_assert_msg(a != NULL, "a connection ended unanswered");
			if (a->status == 200) {
				json_t *j = json_loadb(a->body, a->len, 0, NULL);

				f->numbers[f->acked] = numbers[i];
				f->ids[f->acked++] = fmt("%s", json_string_value(
				    json_array_get(json_object_get(j, "ids"), 0)));
				json_decref(j);
			} else {
				is_problem(a, 503, "store_busy", "try again", "flood");
				f->refused++;
			}
			answer_free(a);
			f->busy[i] = false;
			open--;
			moved = true;
		}
		if (!moved)
			poll(NULL, 0, 1);
	}
	for (int i = 0; i < FLOOD; i++)
		free(bodies[i]);
}

START_TEST(R8_a_flood_of_publishes_is_refused_in_time_and_memory_stays_flat)
{
	int rounds = size_of_run(4, 30);
	struct server *s = server_start(all_public, "--store.retain_bytes=20G",
	    "--store.tail=4M", "--stream.max_replay=1000000", NULL);
	struct flood *f = keep(calloc(1, sizeof *f), free);
	struct stream *fine = stream_open(s, "/events?topic=quiet", "");
	long before, rss, first = 0, later = 0;
	int64_t began;

	expect_live(fine, false);
	flood_init(f, s, rounds);
	before = server_memory_kb(s);
	for (int i = 0; i < rounds; i++) {
		flood_round(f);
		rss = server_memory_kb(s);
		if (i < 3 && rss > first)
			first = rss;	/* until it has what it needs */
		if (i >= 3 && rss > later)
			later = rss;
	}
	printf("%d requests of %zu kB at once, %d times: %d acknowledged, %d refused; "
	    "%ld MB before, %ld in three rounds, %ld after\n", FLOOD, f->len / 1024,
	    rounds, f->acked, f->refused, before / 1024, first / 1024, later / 1024);
	ck_assert_int_gt(f->acked, 0);
	ck_assert_msg(f->refused > 0, "nothing was refused: this is no flood");
	if (patience(1) == 1) {
		ck_assert_msg(later < first + first / 3, "%ld kB, %ld later", first,
		    later);
		/* What is under way three times over (as it came, as events, in the
		 * queue), and no more. */
		ck_assert_msg(later < before + 64 * 1024 + 3 * FLOOD *
		    (long)(f->len / 1024), "%ld kB", later);
	}
	/* Normal again. */
	began = now_ms();
	publish(s, "quiet", "after");
	expect_event(fine, "message", "after");
	ck_assert_msg(now_ms() - began <= patience(3000), "it took %d ms",
	    (int)(now_ms() - began));
	/* Every batch that was acknowledged is there, where its id says, and no other. */
	for (int i = 0; i < f->acked; i += 1 + f->acked / 40) {
		json_t *j = history(s, fmt("topic=flood&after=%.8s-%lld&limit=1",
		    f->ids[i], (long long)id_seq(f->ids[i]) - 1));
		const char *data;

		ck_assert(json_is_null(json_object_get(j, "gap")));
		data = text_at(json_array_get(json_object_get(j, "events"), 0), "data");
		ck_assert_msg(atoi(data) == f->numbers[i], "%.20s at %s, not %d", data,
		    f->ids[i], f->numbers[i]);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Memory, in kB, after so many events in topics of their own. */
static long
memory_with_tail(const char *tail, const char *threads, int topics, int events, int size,
    bool envelope)
{
	struct server *s = server_start(all_public, tail, threads,
	    fmt("--store.path=%s/%s.db", test_dir(), tail), "--store.durability=normal", "--server.max_body=4M", NULL);
	struct http *h = http_open(s);
	char *body = keep(malloc(4 << 20), free), *data = keep(malloc(65536), free), *at;
	struct stream *st = NULL;
	int per = size > 1000 ? 10 : 1000;
	long kb;

	if (envelope) {
		st = stream_open(s, "/events?topic=**&format=envelope", "");
		expect_live(st, false);
	}
	memset(data, 'x', 65536);
	for (int i = 0; i < events; i += per) {
		at = body;
		for (int k = 0; k < per; k++)
			at += sprintf(at, "%c{\"topic\":\"b/%d\",\"data\":\"%.*s\"}",
			    k == 0 ? '[' : ',', (i + k) % topics, size, data);
		*at++ = ']';
		(void)send_rounds(s, h, body, (size_t)(at - body), 1);
		if (envelope)
			for (int k = 0; k < per; k++)
				ck_assert_ptr_nonnull(stream_next(st, SOON));
	}
	/* Threads without streams look at their mail once a second. */
	poll(NULL, 0, 1500);
	kb = server_memory_kb(s);
	ck_assert_int_eq(server_stop(s), 0);
	return kb;
}

#define TAIL_MB		16

/* A tail of next to nothing tells what all else takes. */
START_TEST(store_tail_bounds_the_memory_of_all_threads_together)
{
	static const struct {
		const char	*threads;
		int		 topics, events, size;
		bool		 envelope;
	} rows[] = {
		{ "--server.threads=2", 60000, 60000, 10, false },
		{ "--server.threads=16", 60000, 60000, 10, false },
		{ "--server.threads=16", 1, 60000, 10, false },
		{ "--server.threads=2", 1, 60000, 100, true },
		{ "--server.threads=2", 1, 4000, 10000, true },
	};
	long none = memory_with_tail("--store.tail=64k", rows[_i].threads, rows[_i].topics,
	    rows[_i].events, rows[_i].size, rows[_i].envelope);
	long some = memory_with_tail(fmt("--store.tail=%dM", TAIL_MB), rows[_i].threads,
	    rows[_i].topics, rows[_i].events, rows[_i].size, rows[_i].envelope);

	printf("%s, %d events of %d bytes in %d topics%s: %ld MB without a tail, %ld with one "
	    "of %d\n", rows[_i].threads, rows[_i].events, rows[_i].size, rows[_i].topics,
	    rows[_i].envelope ? ", envelopes" : "", none / 1024, some / 1024, TAIL_MB);
	if (patience(1) == 1) {
		ck_assert_int_le(some - none, TAIL_MB * 1024 * 5 / 4);
		ck_assert_int_ge(some - none, TAIL_MB * 1024 / 2);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_slow");
	TCase *tc = harness_case(su, "readers", size_of_run(90, 400));

	tcase_add_test(tc,
	    R3_readers_that_never_read_cost_what_is_documented_and_nobody_else);
	tcase_add_loop_test(tc,
	    R3_readers_of_topics_of_their_own_hold_no_more_than_stream_queue, 0, 2);
	tcase_add_test(tc, R4_readers_at_a_byte_a_second_or_asleep_hold_up_nobody);
	tcase_add_test(tc, R4_a_reader_that_is_only_slow_is_not_ended);
	tc = harness_case(su, "replays", 120);
	tcase_add_test(tc, R3_readers_that_stop_in_a_replay_hold_up_no_other_replay);
	tcase_add_test(tc,
	    R3_readers_that_stop_in_a_page_of_history_hold_up_no_replay);
	tc = harness_case(su, "idle", size_of_run(60, 120));
	tcase_add_test(tc, R5_streams_that_wait_cost_a_kilobyte_and_no_time);
	tc = harness_case(su, "tail", 120);
	tcase_add_loop_test(tc, store_tail_bounds_the_memory_of_all_threads_together, 0, 5);
	tc = harness_case(su, "flood", size_of_run(120, 600));
	tcase_add_test(tc,
	    R8_a_flood_of_publishes_is_refused_in_time_and_memory_stays_flat);
	return su;
}

SUITE_MAIN
