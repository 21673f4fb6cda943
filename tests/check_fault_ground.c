/*
 * check_fault_ground.c - what a server stands on gives way: no memory beyond a limit
 * (R7), nobody who takes its log lines (R12), a disk that takes half a second for each
 * sync (R13).
 */
#include "config.h"

#include "harness.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault_control.h"

#define EVENTS		15		/* of 64 kB in one publish */
#define HISTORY		"/history?topic=a&limit=10"

static int64_t
metric(struct server *s, const char *name)
{
	struct server admin = *s;
	struct answer *a;
	const char *at;

	admin.port = s->admin_port;
	a = get(&admin, "/metrics", "");
	at = strstr(a->body, fmt("\nfanfare_%s ", name));
	ck_assert_msg(at != NULL, "no metric %s", name);
	return strtoll(at + strlen(name) + 10, NULL, 10);
}

/* ---- R12: the log ---- */

/* Restart it with a pipe of one page for both outputs; the end to read from. */
static int
restart_on_pipe(struct server *s)
{
	int fd;

	ck_assert_int_eq(server_stop(s), 0);
	s->log = fmt("%s/pipe", s->dir);
	ck_assert_int_eq(mkfifo(s->log, 0600), 0);
	fd = open(s->log, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(fcntl(fd, F_SETPIPE_SZ, 4096), 4096);
	server_restart(s);
	return fd;
}

/* What lies in it, with what came before. */
static char *
drain(int fd, char *before)
{
	char piece[65536];
	ssize_t n = read(fd, piece, sizeof piece - 1);

	piece[n > 0 ? n : 0] = '\0';
	return fmt("%s%s", before, piece);
}

START_TEST(R12_a_log_that_nobody_reads_never_holds_up_the_server)
{
	struct server *s = server_start("--log.level=debug", "--stream.heartbeat=1s",
	    NULL);
	int fd = restart_on_pipe(s), comments;
	struct stream *st = stream_open(s, "/events?topic=a", AUTH);
	int64_t dropped, told = 0, end;
	char *text = fmt("%s", ""), *at;

	expect_live(st, false);
	/* Each of them is worth a line. */
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(get(s, "/nothing-of-the-kind", "")->status, 404);
	publish(s, "a", "news");
	expect_event(st, "message", "news");
	ck_assert_int_eq(get(s, HISTORY, AUTH)->status, 200);
	comments = st->comments;
	end = now_ms() + patience(SOON);
	while (st->comments == comments && now_ms() < end)
		(void)stream_next(st, 20);
	ck_assert_msg(st->comments > comments, "no heartbeat any more");
	ck_assert_int_gt(dropped = metric(s, "log_lines_dropped_total"), 100);
	/* There is room again: one line says what was lost, and others follow. */
	end = now_ms() + patience(SOON);
	while ((at = strstr(text, "log: ")) == NULL && now_ms() < end) {
		text = drain(fd, text);
		poll(NULL, 0, 20);
	}
	ck_assert_msg(at != NULL, "nobody says what was dropped: %s", text);
	told = strtoll(at + 5, NULL, 10);
	ck_assert_msg(told >= dropped && told == metric(s, "log_lines_dropped_total"),
	    "%lld lines dropped, %lld told: %s", (long long)dropped, (long long)told,
	    text);
	ck_assert_int_eq(get(s, "/one-more", "")->status, 404);
	text = drain(fd, text);
	ck_assert_msg(strstr(text, "/one-more") != NULL, "no line after it: %s", text);
	ck_assert_ptr_null(strstr(at + 5, "log: "));
	close(fd);
	/* Nor does it end for want of a reader. */
	ck_assert_int_eq(get(s, "/and-another", "")->status, 404);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(R12_a_log_on_a_full_disk_never_holds_up_the_server)
{
	struct server *s = server_start(NULL, NULL);

	ck_assert_int_eq(server_stop(s), 0);
	s->log = fmt("/dev/full");
	server_restart(s);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(get(s, "/nothing-of-the-kind", "")->status, 404);
	publish(s, "a", "1");
	ck_assert_int_gt(metric(s, "log_lines_dropped_total"), 50);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R13: a slow disk ---- */

#define WRITERS		16

struct writer {
	struct http	*h;
	int		 acked;
	int64_t		 since, slowest;
};

static void
writer_send(struct writer *w)
{
	w->since = now_ms();
	ck_assert_int_eq(try_http_send(w->h, "POST", "/publish?topic=a", AUTH, "x", 1),
	    0);
}

static void
writer_feed(struct writer *w)
{
	struct answer *a;

	if (try_http_feed(w->h) == 0)
		return;
	ck_assert_ptr_nonnull(a = try_http_receive(w->h, 0));
	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	answer_free(a);
	w->acked++;
	if (now_ms() - w->since > w->slowest)
		w->slowest = now_ms() - w->since;
	writer_send(w);
}

/* How long that takes, while the writers go on. */
static int64_t
time_of(struct server *s, struct writer *w, const char *path)
{
	struct http *h = http_open(s);
	int64_t begun = now_ms();
	struct answer *a;

	ck_assert_int_eq(try_http_send(h, "GET", path, AUTH, NULL, 0), 0);
	while (try_http_feed(h) == 0 && now_ms() < begun + patience(10000)) {
		for (int i = 0; i < WRITERS; i++)
			writer_feed(&w[i]);
		poll(NULL, 0, 1);
	}
	ck_assert_ptr_nonnull(a = try_http_receive(h, 0));
	ck_assert_msg(a->status == 200, "GET %s: %d %s", path, a->status, a->body);
	answer_free(a);
	http_close(h);
	return now_ms() - begun;
}

/* For so long: readers beside writers.  The longest silence of a quiet stream, with a
 * heartbeat each second, and the mean time of an answer in us. */
static void
read_beside(struct server *s, struct writer *w, int ms, int64_t *silence,
    int64_t *mean)
{
	static const char *const paths[] = { "/healthz", HISTORY,
		"/history?topic=old&replay=5" };
	struct stream *quiet = stream_open(s, "/events?topic=quiet", AUTH);
	struct stream *live = stream_open(s, "/events?topic=a", AUTH), *resumed;
	int64_t end = now_ms() + ms, heard = now_ms(), took, seq = 0;
	int comments = 0, events = 0, n;
	struct event *e;

	*silence = *mean = 0;
	for (n = 0; now_ms() < end; n++) {
		*mean += time_of(s, w, paths[n % 3]);
		/* And a page that opens, and sees what is in the log. */
		took = now_ms();
		resumed = stream_open(s, "/events?topic=old&replay=1", AUTH);
		expect_event(resumed, "message", "old");
		stream_close(resumed);
		*mean += now_ms() - took;
		stream_feed(quiet);
		if (quiet->comments > comments)
			heard = now_ms();
		comments = quiet->comments;
		if (now_ms() - heard > *silence)
			*silence = now_ms() - heard;
		stream_feed(live);
		while ((e = stream_pop(live)) != NULL) {
			ck_assert_str_ne(e->name, "fanfare.gap");
			if (is_control(e))
				continue;
			ck_assert_int_gt(id_seq(e->id), seq);
			seq = id_seq(e->id);
			events++;
		}
	}
	*mean = *mean * 1000 / (2 * n);
	ck_assert_int_gt(events, 0);
	stream_close(quiet);
	stream_close(live);
}

static int
acked(const struct writer *w)
{
	int n = 0;

	for (int i = 0; i < WRITERS; i++)
		n += w[i].acked;
	return n;
}

START_TEST(R13_a_commit_that_takes_half_a_second_holds_up_nobody_else)
{
	struct writer w[WRITERS] = { 0 };
	int64_t silence[2], mean[2], commits, rows;
	int before, ms = size_of_run(2500, 60000);
	struct server *s;

	if (!faults_possible())
		return;
	faults_begin();
	s = server_start("--stream.heartbeat=1s", NULL);
	publish(s, "old", "old");
	for (int i = 0; i < WRITERS; i++) {
		w[i].h = http_open(s);
		writer_send(&w[i]);
	}
	read_beside(s, w, ms, &silence[0], &mean[0]);
	faults->sync_us = 500000;
	poll(NULL, 0, 600);
	before = acked(w);
	commits = metric(s, "log_commits_total");
	rows = metric(s, "log_rows_total");
	for (int i = 0; i < WRITERS; i++)
		w[i].slowest = 0;
	read_beside(s, w, ms, &silence[1], &mean[1]);
	commits = metric(s, "log_commits_total") - commits;
	rows = metric(s, "log_rows_total") - rows;
	printf("R13: heartbeats at most %lld ms apart, %lld with slow commits; an answer "
	    "takes %lld and %lld us; %lld events in %lld commits\n",
	    (long long)silence[0], (long long)silence[1], (long long)mean[0],
	    (long long)mean[1], (long long)rows, (long long)commits);
	ck_assert_int_le(silence[1], silence[0] + patience(1000));
	ck_assert_int_le(mean[1], 3 * mean[0] + 60000);
	/* They share commits, and none waits for more than two of them, about. */
	ck_assert_int_gt(acked(w), before + WRITERS);
	ck_assert_int_gt(rows, commits * WRITERS / 4);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_le(w[i].slowest, 1000 + patience(2000));
	faults->sync_us = 0;
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(R13_publishes_beyond_what_may_wait_are_refused_at_once)
{
	enum { N = 90 };			/* 86 MB, and 64 may wait */
	char *event = fmt("{\"topic\":\"big\",\"data\":\"%s\"}", repeat("x", 65000));
	char *body = keep(malloc(EVENTS * (strlen(event) + 1) + 2), free), *at = body;
	struct http *h[N];
	int busy = 0, ok = 0;
	struct answer *a;
	struct server *s;
	int64_t first;
	long memory;

	if (!faults_possible())
		return;
	faults_begin();
	s = server_start(NULL, NULL);
	publish(s, "a", "1");
	memory = server_memory_kb(s);
	for (int i = 0; i < EVENTS; i++)
		at += sprintf(at, "%c%s", i == 0 ? '[' : ',', event);
	*at++ = ']';
	faults->sync_us = 4000000;
	for (int i = 0; i < N; i++) {
		h[i] = http_open(s);
		ck_assert_int_eq(try_http_send(h[i], "POST", "/publish", AUTH AS_JSON,
		    body, (size_t)(at - body)), 0);
	}
	first = now_ms();
	while (busy == 0 && now_ms() < first + patience(3000)) {
		for (int i = 0; i < N && busy == 0; i++)
			busy += try_http_feed(h[i]) == 1;
		poll(NULL, 0, 2);
	}
	ck_assert_int_eq(get(s, HISTORY, AUTH)->status, 200);
	memory = server_memory_kb(s) - memory;
	faults->sync_us = 0;
	busy = 0;
	for (int i = 0; i < N; i++) {
		ck_assert_ptr_nonnull(a = try_http_receive(h[i], 10000));
		if (a->status == 200)
			ok++;
		else {
			is_problem(a, 503, "store_busy", "", "too much waits");
			ck_assert_ptr_nonnull(header(a, "Retry-After"));
			busy++;
		}
		answer_free(a);
	}
	printf("R13: %d publishes of 1 MB acknowledged, %d refused, %ld MB more memory\n",
	    ok, busy, memory / 1024);
	ck_assert_int_gt(busy, 0);
	ck_assert_int_gt(ok, N / 3);
	/* The refused are not there, the others are. */
	ck_assert_int_eq(metric(s, "log_rows_total"), ok * EVENTS + 1);
	ck_assert_int_lt(memory, 400 * 1024);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(R13_a_commit_that_outlives_the_stop_is_no_crash)
{
	struct server *s;
	struct http *h;
	int64_t begun;

	if (!faults_possible())
		return;
	/* Longer than the http thread waits for a commit when it stops. */
	if (size_of_run(0, 1) == 0) {
		left_out("a quarter of a minute, for FANFARE_TEST_RELEASE=1");
		return;
	}
	faults_begin();
	s = server_start(NULL, NULL);
	publish(s, "a", "1");
	faults->sync_us = 13000000;
	h = http_open(s);
	ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a", AUTH, "2", 1), 0);
	poll(NULL, 0, 200);
	begun = now_ms();
	server_signal(s, SIGTERM);
	poll(NULL, 0, 500);
	/* Only the one that is under way takes so long. */
	faults->sync_us = 0;
	ck_assert_msg(server_wait(s, 30000) >= 0, "it crashed or hangs after %lld ms: %s",
	    (long long)(now_ms() - begun), read_whole(s->log));
	server_restart(s);
	ck_assert_uint_ge(json_array_size(json_object_get(history(s, "topic=a"),
	    "events")), 1);
}
END_TEST

/* ---- R7: no memory beyond a limit ---- */

#define HUNGRY		24		/* publishers of 1 MB each */
#define SLOW_READERS	60

/* Publishers that ask for more than there is, on connections that may be closed. */
struct hungry {
	struct http	*h;
	int64_t		 first[200];	/* seqs acknowledged */
	int		 nfirst, refused, closed;
};

static void
hungry_feed(struct server *s, struct hungry *p, const char *body, size_t len)
{
	struct answer *a;
	const char *id;
	int rc;

	if (p->h == NULL && (p->h = try_http_open(s)) != NULL)
		(void)try_http_send(p->h, "POST", "/publish", AUTH AS_JSON, body, len);
	if (p->h == NULL || (rc = try_http_feed(p->h)) == 0)
		return;
	if (rc == -1) {
		p->closed++;
		http_close(p->h);
		p->h = NULL;
		return;
	}
	ck_assert_ptr_nonnull(a = try_http_receive(p->h, 0));
	if (a->status == 200 && p->nfirst < 200) {
		ck_assert_ptr_nonnull(id = strstr(a->body, "[\""));
		p->first[p->nfirst++] = strtoll(id + 11, NULL, 10);
	} else {
		ck_assert_msg(a->status == 200 || a->status == 503, "%d %s", a->status,
		    a->body);
		p->refused += a->status == 503;
	}
	answer_free(a);
	http_close(p->h);
	p->h = NULL;
}

/* What it has of memory to write to: what allocators keep in reserve does not count. */
static int64_t
data_kb(struct server *s)
{
	char *at = strstr(read_whole(fmt("/proc/%d/status", (int)s->pid)), "VmData:");

	ck_assert_ptr_nonnull(at);
	return strtoll(at + 7, NULL, 10);
}

/* All that was acknowledged is in the log. */
static void
is_logged(struct server *s, const struct hungry *p, const char *epoch)
{
	json_t *e;

	for (int i = 0; i < p->nfirst; i++) {
		e = json_array_get(json_object_get(history(s, fmt("topic=big&limit=1&"
		    "after=%s-%lld", epoch, (long long)p->first[i] - 1)), "events"), 0);
		ck_assert_msg(e != NULL && id_seq(text_at(e, "id")) == p->first[i],
		    "%lld was acknowledged and is not there", (long long)p->first[i]);
	}
}

static void
until_served(struct server *s, const char *method, const char *path, const char *body)
{
	int64_t end = now_ms() + patience(10000);
	struct answer *a;

	while ((a = ask(s, method, path, AUTH, body, body == NULL ? 0 : 1))->status !=
	    200) {
		ck_assert_msg(now_ms() < end, "%s: %d %s", path, a->status, a->body);
		poll(NULL, 0, 100);
	}
}

/* Load for so long, with so much memory more than now; how many it acknowledged. */
static int
starve(struct server *s, int64_t more_kb, const char *body, size_t len)
{
	struct hungry *p = keep(calloc(HUNGRY, sizeof *p), free);
	struct stream *slow[SLOW_READERS], *st = NULL;
	struct rlimit limit;
	static bool had[1000000];
	int acks = 0, refused = 0, closed = 0, resumed = 0;
	int64_t end, seen;
	bool gapped = false;
	struct event *e;
	char *id, *cursor;

	id = publish(s, "small", "before");
	cursor = id;
	seen = id_seq(id);
	for (int i = 0; i < SLOW_READERS; i++)
		slow[i] = try_stream(s, i % 2 == 0 ? "/events?topic=big" :
		    "/events?topic=**&format=envelope", AUTH, 4096);
	limit.rlim_max = RLIM_INFINITY;
	limit.rlim_cur = (rlim_t)(data_kb(s) + more_kb) * 1024;
	ck_assert_int_eq(prlimit(s->pid, RLIMIT_DATA, &limit, NULL), 0);
	for (end = now_ms() + size_of_run(2500, 30000); now_ms() < end;) {
		for (int i = 0; i < HUNGRY; i++)
			hungry_feed(s, &p[i], body, len);
		/* One that reads, and comes back when its stream ends. */
		if (st == NULL) {
			st = try_stream(s, "/events?topic=big", fmt(AUTH
			    "Last-Event-ID: %s\r\n", cursor), 0);
			resumed++;
		}
		if (st != NULL) {
			stream_feed(st);
			while ((e = stream_pop(st)) != NULL) {
				gapped |= strcmp(e->name, "fanfare.gap") == 0;
				if (is_control(e))
					continue;
				ck_assert_int_gt(id_seq(e->id), seen);
				seen = id_seq(e->id);
				had[seen % 1000000] = true;
			}
			if (st->last_id[0] != '\0')
				cursor = fmt("%s", st->last_id);
			if (st->eof) {
				stream_close(st);
				st = NULL;
			}
		}
		ck_assert_msg(server_alive(s), "it ended: %d: %s", s->status,
		    read_whole(s->log));
		poll(NULL, 0, 1);
	}
	for (int i = 0; i < HUNGRY; i++) {
		if (p[i].h != NULL)
			http_close(p[i].h);
		for (int k = 0; k < p[i].nfirst && !gapped; k++)
			ck_assert_msg(p[i].first[k] > seen || had[p[i].first[k]],
			    "a reader had %lld and never %lld", (long long)seen,
			    (long long)p[i].first[k]);
		acks += p[i].nfirst;
		refused += p[i].refused;
		closed += p[i].closed;
	}
	for (int i = 0; i < SLOW_READERS; i++)
		if (slow[i] != NULL)
			stream_close(slow[i]);
	if (st != NULL)
		stream_close(st);
	printf("R7: with %lld MB more than at first: %d publishes acknowledged, %d "
	    "refused, %d connections closed; a reader came %d times\n",
	    (long long)more_kb / 1024, acks, refused, closed, resumed);
	/* When the crowd has gone it serves as before; but what one thread has given back
	 * need not be another's under this limit. */
	until_served(s, "POST", "/publish?topic=small", "x");
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(prlimit(s->pid, RLIMIT_DATA, &limit, NULL), 0);
	until_served(s, "GET", "/history?topic=big&limit=1", NULL);
	for (int i = 0; i < HUNGRY; i++)
		is_logged(s, &p[i], fmt("%.8s", id));
	ck_assert_int_eq(get(s, "/healthz", "")->status, 200);
	return acks;
}

START_TEST(R7_a_server_without_memory_sheds_load_and_loses_nothing)
{
	char *event = fmt("{\"topic\":\"big\",\"data\":\"%s\"}", repeat("x", 65000));
	char *body = keep(malloc(EVENTS * (strlen(event) + 1) + 2), free), *at = body;
	struct server *s;

	if (!faults_possible())
		return;
	for (int i = 0; i < EVENTS; i++)
		at += sprintf(at, "%c%s", i == 0 ? '[' : ',', event);
	*at++ = ']';
	/* What it keeps on purpose must fit; it is full before the limit is set. */
	s = server_start("--stream.heartbeat=1s", "--store.tail=4M", NULL);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(post(s, "/publish", AUTH AS_JSON, fmt("%.*s",
		    (int)(at - body), body))->status, 200);
	ck_assert_int_gt(starve(s, data_kb(s) / 5, body, (size_t)(at - body)), 0);
	(void)starve(s, 1024, body, (size_t)(at - body));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("fault_ground");
	TCase *tc = harness_case(s, "log", 60);

	tcase_add_test(tc, R12_a_log_that_nobody_reads_never_holds_up_the_server);
	tcase_add_test(tc, R12_a_log_on_a_full_disk_never_holds_up_the_server);
	tc = harness_case(s, "memory", size_of_run(90, 300));
	tcase_add_test(tc, R7_a_server_without_memory_sheds_load_and_loses_nothing);
	tc = harness_case(s, "disk", size_of_run(90, 300));
	tcase_add_test(tc, R13_a_commit_that_takes_half_a_second_holds_up_nobody_else);
	tcase_add_test(tc, R13_publishes_beyond_what_may_wait_are_refused_at_once);
	tcase_add_test(tc, R13_a_commit_that_outlives_the_stop_is_no_crash);
	return s;
}
SUITE_MAIN
