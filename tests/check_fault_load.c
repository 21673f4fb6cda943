/*
 * check_fault_load.c - the running server and many at once, from outside.  Names as in
 * the list of faults: D6 cursors at random, D7 one order for all, D8 answers cut off,
 * R6 a crowd that comes back, O2 signals at any moment.
 */
#include "config.h"

#include "ledger.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a crowd on one topic, whose events are numbered ---- */

#define EVENTS_MAX	200000

struct client {
	struct stream	*st;		/* NULL: away */
	int		 next;		/* the number that must come next */
	bool		 live;		/* on this connection */
	int64_t		 turn_ms;	/* when it comes or goes; 0: it stays */
};

struct crowd {
	struct server	*s;
	struct client	*c;
	int		 n;
	struct http	*h;		/* the publisher */
	char		**ids;		/* by number */
	int		 sent, events;	/* asked for, acked */
	int64_t		 asked_ms;
	int64_t		 delivered;
	int		 connections, refused;
	char		*start;		/* a cursor before all events */
};

static void
crowd_release(void *p)
{
	struct crowd *cr = p;

	for (int i = 0; i < cr->events; i++)
		free(cr->ids[i]);
	free(cr->ids);
	free(cr->c);
	free(cr);
}

static struct crowd *
crowd_new(struct server *s, int n)
{
	struct crowd *cr = keep(calloc(1, sizeof *cr), crowd_release);

	cr->s = s;
	cr->n = n;
	cr->c = calloc((size_t)n, sizeof *cr->c);
	cr->ids = calloc(EVENTS_MAX, sizeof *cr->ids);
	cr->h = http_open(s);
	cr->start = publish(s, "before", "x");
	return cr;
}

/* Come (back) with the cursor before number c->next. */
static void
client_come(struct crowd *cr, struct client *c)
{
	c->st = try_stream(cr->s, "/events?topic=news", fmt("Last-Event-ID: %s\r\n",
	    c->next == 0 ? cr->start : cr->ids[c->next - 1]), 0);
	ck_assert_msg(c->st != NULL, "the server takes no connection");
	c->live = false;
	cr->connections++;
}

static void
client_take(struct crowd *cr, struct client *c)
{
	struct event *e;

	stream_feed(c->st);
	while ((e = stream_pop(c->st)) != NULL) {
		if (strcmp(e->name, "fanfare.live") == 0) {
			ck_assert_msg(!c->live, "live twice");
			c->live = true;
			continue;
		}
		if (strcmp(e->name, "fanfare.close") == 0 &&
		    strstr(e->data, "\"overload\"") != NULL) {
			/* The old ones' descriptors are still to be closed. */
			stream_close(c->st);
			c->st = NULL;
			c->turn_ms = now_ms() + 500 + dice(500);
			cr->refused++;
			return;
		}
		ck_assert_msg(!is_control(e), "%s %s", e->name, e->data);
		ck_assert_msg(atoi(e->data) == c->next, "%s instead of %d", e->data,
		    c->next);
		c->next++;
		cr->delivered++;
	}
	if (!c->st->eof)
		return;
	/* What the server counts says why. */
	cr->s->port = cr->s->admin_port;
	ck_abort_msg("a stream ended, at %d of %d, live %d: %.1000s", c->next, cr->events,
	    c->live, strstr(get(cr->s, "/metrics", "")->body, "fanfare_streams"));
}

/* Ask for `n` more events at once. */
static void
crowd_publish(struct crowd *cr, int n)
{
	static char body[65536];
	char *p = body;

	ck_assert_int_le(cr->sent + n, EVENTS_MAX);
	for (int i = 0; i < n; i++)
		p += sprintf(p, "%c{\"topic\":\"news\",\"data\":\"%d\"}", i == 0 ? '[' :
		    ',', cr->sent++);
	*p++ = ']';
	cr->asked_ms = now_ms();
	ck_assert_int_eq(try_http_send(cr->h, "POST", "/publish", AUTH AS_JSON, body,
	    (size_t)(p - body)), 0);
}

/* Take the answer, if it stands. */
static void
crowd_answer(struct crowd *cr)
{
	struct answer *a;
	const char *p;

	if (cr->events == cr->sent || try_http_feed(cr->h) == 0)
		return;
	a = try_http_receive(cr->h, 0);
	ck_assert_msg(a != NULL && a->status == 200, "publish: %d %s", a == NULL ? 0 :
	    a->status, a == NULL ? "" : a->body);
	for (p = strchr(a->body, '['); *p != ']'; p += 1 + strcspn(p + 1, ",]")) {
		ck_assert_int_lt(cr->events, cr->sent);
		cr->ids[cr->events++] = strndup(p + 2, strcspn(p + 2, "\""));
	}
	ck_assert_int_eq(cr->events, cr->sent);
	answer_free(a);
}

static void
crowd_take(struct crowd *cr, int ms)
{
	static struct pollfd *pfd;
	int n = 0;

	pfd = realloc(pfd, ((size_t)cr->n + 1) * sizeof *pfd);
	for (int i = 0; i < cr->n; i++)
		pfd[n++] = (struct pollfd){ cr->c[i].st == NULL ? -1 : cr->c[i].st->fd,
		    POLLIN, 0 };
	pfd[n++] = (struct pollfd){ http_fd(cr->h), POLLIN, 0 };
	poll(pfd, (nfds_t)n, ms);
	for (int i = 0; i < cr->n; i++)
		if (pfd[i].revents != 0)
			client_take(cr, &cr->c[i]);
	crowd_answer(cr);
}

static int
crowd_behind(const struct crowd *cr)
{
	int n = 0;

	for (int i = 0; i < cr->n; i++)
		n += cr->c[i].st == NULL || !cr->c[i].live || cr->c[i].next < cr->events;
	return n;
}

/* Until everybody is there, live, and has all. */
static int64_t
crowd_settle(struct crowd *cr, int ms)
{
	int64_t begun = now_ms(), end = begun + patience(ms);

	for (int i = 0; i < cr->n; i++)
		if (cr->c[i].st == NULL)
			client_come(cr, &cr->c[i]);
	while ((cr->events < cr->sent || crowd_behind(cr) > 0) && now_ms() < end) {
		crowd_take(cr, 20);
		for (int i = 0; i < cr->n; i++)
			if (cr->c[i].st == NULL && now_ms() >= cr->c[i].turn_ms &&
			    cr->c[i].next <= cr->events)
				client_come(cr, &cr->c[i]);
	}
	ck_assert_msg(crowd_behind(cr) == 0, "%d of %d are not live or lack events",
	    crowd_behind(cr), cr->n);
	return now_ms() - begun;
}

/* A publisher of its own, twenty times a second: what it waits is not ours.  It writes
 * that to a file, in ms. */
static pid_t
metronome(struct server *s, const char *file)
{
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		struct http *h;
		FILE *f;

		/* Or the crowd could not hang up. */
		close_range(3, ~0u, 0);
		f = fopen(file, "w");
		h = http_open(s);
		for (;;) {
			int64_t at = now_ms();
			struct answer *a;

			(void)try_http_send(h, "POST", "/publish?topic=tick", AUTH, "x", 1);
			a = try_http_receive(h, 60000);
			if (a == NULL || a->status != 200)
				_exit(1);
			answer_free(a);
			fprintf(f, "%d\n", (int)(now_ms() - at));
			fflush(f);
			poll(NULL, 0, 50);
		}
	}
	return pid;
}

static int
by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* It ends: the longest of the quickest `percent`. */
static int
metronome_stop(pid_t pid, const char *file, int percent)
{
	static int ms[100000];
	char *p = read_whole(file), *end;
	int n = 0, status;

	ck_assert_msg(waitpid(pid, &status, WNOHANG) == 0, "a publish was not answered");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	for (; n < 100000 && *p != '\0'; p = end + (*end == '\n'))
		ms[n++] = (int)strtol(p, &end, 10);
	ck_assert_int_gt(n, 0);
	qsort(ms, (size_t)n, sizeof *ms, by_size);
	return ms[(n - 1) * percent / 100];
}

static const char *const tails[] = { "--store.tail=64M", "--store.tail=64k" };

START_TEST(D6_random_cursors_during_a_thousand_events_a_second)
{
	struct server *s = server_start("--topics.public=**",
	    "--stream.max_replay=1000000", tails[_i], NULL);
	int64_t wanted = size_of_run(500000, 10000000) / patience(1), begun, paced;
	/* Who plays more readers than it can read for is cut off, and rightly so. */
	struct crowd *cr = crowd_new(s, 200 / patience(1));
	int turns = size_of_run(500, 10000);

	for (int i = 0; i < cr->n; i++)
		client_come(cr, &cr->c[i]);
	(void)crowd_settle(cr, 4 * SOON);
	begun = now_ms();
	while (cr->delivered < wanted || cr->connections < cr->n + turns) {
		/* As many as are due: ten in each hundredth of a second. */
		paced = (now_ms() - begun) - cr->sent;
		if (cr->events == cr->sent && paced >= 10)
			crowd_publish(cr, paced > 1000 ? 1000 : (int)paced);
		crowd_take(cr, 2);
		for (int i = 0; i < cr->n; i++) {
			struct client *c = &cr->c[i];

			if (now_ms() < c->turn_ms)
				continue;
			if (c->st == NULL) {
				/* Not always from where it was. */
				if (dice(2) == 0 && c->next > 0)
					c->next -= (int)dice(c->next < 2000 ?
					    (uint32_t)c->next : 2000);
				client_come(cr, c);
				c->turn_ms = now_ms() + 1 + dice(3000);
				continue;
			}
			if (c->turn_ms != 0) {
				stream_close(c->st);
				c->st = NULL;
			}
			c->turn_ms = now_ms() + 1 + dice(500);
			if (c->next > cr->events)	/* its id is not known yet */
				c->next = cr->events;
		}
		ck_assert_msg(now_ms() - begun < patience(size_of_run(60000, 600000)),
		    "%lld of %lld", (long long)cr->delivered, (long long)wanted);
	}
	begun = now_ms() - begun;
	(void)crowd_settle(cr, 4 * SOON);
	printf("%d events (%d/s), %lld deliveries to %d readers over %d connections, "
	    "%s\n", cr->events, (int)(cr->events * (int64_t)1000 / begun),
	    (long long)cr->delivered, cr->n, cr->connections, tails[_i]);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

START_TEST(R6_a_crowd_that_comes_back_is_live_soon_and_lacks_nothing)
{
	int n = size_of_run(2000, 10000), rounds = size_of_run(2, 5);
	struct server *s;
	struct crowd *cr;
	struct rlimit rl;
	int64_t begun, live, next;
	char *file = fmt("%s/ticks", test_dir());
	int quiet, busy;
	pid_t ticks;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max < 20000 ? rl.rlim_max : 20000;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (rl.rlim_cur < (rlim_t)n * 3 / 2) {
		left_out("only %d descriptors: R6 with fewer", (int)rl.rlim_cur);
		n = (int)rl.rlim_cur / 2;
	}
	s = server_start("--topics.public=**", NULL);
	cr = crowd_new(s, n);
	(void)crowd_settle(cr, 15000);
	ticks = metronome(s, file);
	for (begun = now_ms(); now_ms() < begun + 2000;) {
		crowd_take(cr, 10);
		if (cr->events == cr->sent && now_ms() - cr->asked_ms >= 50)
			crowd_publish(cr, 1);
	}
	(void)crowd_settle(cr, 15000);
	quiet = metronome_stop(ticks, file, 99);
	for (int r = 0; r < rounds; r++) {
		begun = now_ms();
		ticks = metronome(s, file);
		for (int i = 0; i < n; i++) {
			stream_close(cr->c[i].st);
			cr->c[i].st = NULL;
			cr->c[i].turn_ms = begun + 100 + dice(4900);
		}
		for (next = 0; next != INT64_MAX;) {
			if (cr->events == cr->sent && now_ms() - cr->asked_ms >= 50)
				crowd_publish(cr, 1);
			crowd_take(cr, 5);
			ck_assert_msg(now_ms() - begun < patience(30000), "not all are "
			    "let in");
			next = INT64_MAX;
			for (int i = 0; i < n; i++) {
				if (cr->c[i].st != NULL)
					continue;
				next = 0;
				if (now_ms() >= cr->c[i].turn_ms) {
					if (cr->c[i].next > cr->events)
						cr->c[i].next = cr->events;
					client_come(cr, &cr->c[i]);
				}
			}
		}
		(void)crowd_settle(cr, 15000);
		live = now_ms() - begun;
		busy = metronome_stop(ticks, file, 99);
		printf("%d came back within 5 s: all live after %d ms, %d told to wait; p99 "
		    "of publishes %d ms, %d ms before\n", n, (int)live, cr->refused,
		    busy, quiet);
		ck_assert_int_le(live, patience(15000));
		ck_assert_int_le(busy, patience(1000) + 4 * quiet);
	}
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* ---- one order ---- */

#define READERS		200
#define EACH_MAX	5000

START_TEST(D7_two_hundred_see_one_order_and_it_is_that_of_the_ids)
{
	struct server *s = server_start("--stream.max_replay=1000000", NULL);
	int each = size_of_run(125, EACH_MAX), total = each * PUBLISHERS_MAX;
	int64_t *order = keep(calloc((size_t)total, sizeof *order), free), seq;
	int64_t before[PUBLISHERS_MAX] = { 0 };
	struct http *h[PUBLISHERS_MAX];
	struct stream *st[READERS];
	int left = PUBLISHERS_MAX, done[PUBLISHERS_MAX] = { 0 }, seen[READERS] = { 0 };
	int64_t end = now_ms() + patience(size_of_run(60000, 600000));

	for (int i = 0; i < READERS; i++) {
		st[i] = stream_open(s, i % 2 ? "/events?topic=load/**" :
		    "/events?topic=load/one&topic=x", AUTH);
		expect_live(st[i], false);
	}
	for (int k = 0; k < PUBLISHERS_MAX; k++) {
		h[k] = http_open(s);
		ck_assert_int_eq(try_http_send(h[k], "POST", "/publish?topic=load/one",
		    AUTH, "x", 1), 0);
	}
	while (left > 0 || seen[0] < total) {
		ck_assert(now_ms() < end);
		for (int k = 0; k < PUBLISHERS_MAX; k++) {
			struct answer *a;

			if (done[k] == each || try_http_feed(h[k]) == 0)
				continue;
			a = try_http_receive(h[k], 0);
			ck_assert_msg(a != NULL && a->status == 200, "%s", a == NULL ?
			    "no answer" : a->body);
			/* A publisher's own answers rise. */
			seq = strtoll(strstr(a->body, "\"id\":\"") + 15, NULL, 10);
			ck_assert_int_gt(seq, before[k]);
			before[k] = seq;
			answer_free(a);
			if (++done[k] == each)
				left--;
			else
				ck_assert_int_eq(try_http_send(h[k], "POST",
				    "/publish?topic=load/one", AUTH, "x", 1), 0);
		}
		for (int i = 0; i < READERS; i++) {
			struct event *e;

			stream_feed(st[i]);
			while ((e = stream_pop(st[i])) != NULL) {
				ck_assert_msg(!is_control(e), "%s", e->data);
				ck_assert_int_lt(seen[i], total);
				seq = id_seq(e->id);
				if (order[seen[i]] == 0) {
					ck_assert(seen[i] == 0 ||
					    seq > order[seen[i] - 1]);
					order[seen[i]] = seq;
				}
				ck_assert_int_eq(seq, order[seen[i]]);
				seen[i]++;
			}
		}
	}
	for (int i = 0; i < READERS; i++)
		for (; seen[i] < total; seen[i]++)
			ck_assert_int_eq(id_seq(expect_event(st[i], "message", "x")->id),
			    order[seen[i]]);
	printf("%d readers and %d publishers: one order of %d events\n", READERS,
	    PUBLISHERS_MAX, total);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- answers cut off ---- */

/* Cut when a subscriber shows that it is committed, before the answer is read; now and
 * then the server is killed at that moment. */
START_TEST(D8_a_publish_cut_after_its_commit_is_stored_once)
{
	struct server *s = server_start(NULL, NULL);
	int cuts = size_of_run(1000, 10000), kills = 0;
	char *cursor = fmt("%s", text_at(history(s, "topic=a"), "cursor"));
	struct stream *st = stream_open(s, "/events?topic=a", AUTH);
	static const struct linger at_once = { 1, 0 };
	json_t *page, *e;
	size_t n, k;

	expect_live(st, false);
	for (int i = 0; i < cuts; i++) {
		struct http *h = http_open(s);
		char body[96];
		int len = snprintf(body, sizeof body, "{\"topic\":\"a\",\"data\":%d,"
		    "\"idempotency_key\":\"k%d\"}", i, i);
		struct event *seen;
		struct answer *a;
		char id[64];

		ck_assert_int_eq(try_http_send(h, "POST", "/publish", AUTH AS_JSON, body,
		    (size_t)len), 0);
		seen = stream_next(st, SOON);
		ck_assert_msg(seen != NULL && atoi(seen->data) == i, "%d is not shown",
		    i);
		snprintf(id, sizeof id, "%s", seen->id);
		if (dice(2) == 0)
			setsockopt(http_fd(h), SOL_SOCKET, SO_LINGER, &at_once,
			    sizeof at_once);
		if (i % 100 == 50) {
			server_kill(s);
			kills++;
			server_restart(s);
			stream_close(st);
			st = stream_open(s, "/events?topic=a", fmt(AUTH
			    "Last-Event-ID: %s\r\n", id));
			expect_live(st, true);
		}
		http_close(h);
		a = post(s, "/publish", AUTH AS_JSON, body);
		ck_assert_msg(a->status == 200 && strstr(a->body, "\"duplicate\":true") !=
		    NULL && strstr(a->body, id) != NULL, "%d, shown as %s: %s", i, id,
		    a->body);
	}
	for (int i = 0; i < cuts;) {
		page = history(s, fmt("topic=a&limit=1000&after=%s", cursor));
		n = json_array_size(json_object_get(page, "events"));
		ck_assert_msg(n > 0, "only %d are stored", i);
		json_array_foreach(json_object_get(page, "events"), k, e)
			ck_assert_int_eq(json_integer_value(json_object_get(e, "data")),
			    i++);
		cursor = fmt("%s", text_at(page, "cursor"));
	}
	page = history(s, fmt("topic=a&after=%s", cursor));
	ck_assert_uint_eq(json_array_size(json_object_get(page, "events")), 0);
	printf("%d publishes cut after their commit, %d with a kill -9: each stored "
	    "once\n", cuts, kills);
	ck_assert_int_eq(server_stop(s), 0);
	store_is_whole(s->store);
}
END_TEST

/* ---- signals ---- */

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
#define SIGNALS	((int)(sizeof signals / sizeof *signals))

START_TEST(O2_a_signal_under_load_is_an_end_in_time_or_no_end)
{
	struct server *s = server_start("--server.drain_time=500ms",
	    "--stream.max_replay=1000000", NULL);
	struct ledger *l = ledger_new(s, 8, 100);
	int rounds = size_of_run(10, 200), slowest = 0, ends = 0;

	ledger_connect(l);
	for (int r = 0; r < rounds; r++) {
		int sig = signals[r % SIGNALS], code = -1;
		bool ends_it = sig == SIGTERM || sig == SIGINT;
		int64_t begun;

		ledger_run(l, 20 + dice(150), 0);
		l->stopping = ends_it;
		/* Again and again, so that one meets the handling of the other. */
		for (int i = ends_it ? 1 : 1 + (int)dice(10); i > 0; i--) {
			server_signal(s, sig);
			ledger_run(l, dice(20), 0);
		}
		if (!ends_it) {
			ledger_run(l, 100, 0);
			continue;
		}
		begun = now_ms();
		while (s->pid != 0 && now_ms() < begun + patience(10000)) {
			ledger_run(l, 10, 0);
			code = server_wait(s, 1);
		}
		ck_assert_msg(s->pid == 0, "%s and it runs on", strsignal(sig));
		ck_assert_int_eq(code, 0);
		slowest = (int)(now_ms() - begun) > slowest ? (int)(now_ms() - begun) :
		    slowest;
		ledger_disconnect(l);
		ck_assert_msg(strstr(l->st->trace, "fanfare.close") != NULL ||
		    l->st->trace_len >= 65536, "no goodbye");
		ends++;
		l->stopping = false;
		store_is_whole(s->store);
		server_restart(s);
		ledger_judge(l);
		ledger_connect(l);
	}
	ledger_quiesce(l);
	ledger_judge(l);
	printf("%d signals under load, %d of them ends, in %d ms at most (drain 500): %d "
	    "acked\n", rounds, ends, slowest, l->acked);
	ck_assert_int_le(slowest, patience(3000));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(O2_a_second_signal_ends_it_at_once)
{
	for (int i = 0; i < 4; i++) {
		struct server *s = server_start("--server.drain_time=60s",
		    "--stream.max_replay=1000000", NULL);
		struct ledger *l = ledger_new(s, 4, 100);
		int64_t begun;

		ledger_connect(l);
		ledger_run(l, 100, 0);
		l->stopping = true;
		server_signal(s, i % 2 == 0 ? SIGTERM : SIGINT);
		ledger_run(l, 100, 0);
		ck_assert_msg(server_alive(s), "it has not waited for its streams");
		begun = now_ms();
		server_signal(s, i / 2 == 0 ? SIGTERM : SIGINT);
		ck_assert_int_eq(server_wait(s, SOON), 0);
		ck_assert_int_le(now_ms() - begun, patience(SOON));
		ledger_disconnect(l);
		store_is_whole(s->store);
		server_restart(s);
		ledger_judge(l);
		ck_assert_int_eq(server_stop(s), 0);
	}
}
END_TEST

/* Before its first word a program is the loader's; from there on it must not die. */
START_TEST(O2_a_signal_while_it_starts_is_neither_lost_nor_deadly)
{
	struct server *s = server_start(NULL, NULL);
	int rounds = size_of_run(60, 1000), early = 0, ends = 0;
	struct crowd *cr = crowd_new(s, 0);
	size_t said = 0;

	/* So that there is something to be read. */
	for (int i = 0; i < 50; i++) {
		crowd_publish(cr, 1000);
		while (cr->events < cr->sent)
			crowd_take(cr, 1000);
	}
	server_kill(s);
	for (int r = 0; r < rounds; r++) {
		int sig = signals[r % SIGNALS];
		int64_t until;

		said = strlen(read_whole(s->log));
		server_launch(s);
		/* A few ms, or once it has spoken. */
		until = now_ms() + (int64_t)dice((uint32_t)patience(80));
		while (now_ms() < until)
			poll(NULL, 0, 1);
		server_signal(s, sig);
		if (sig == SIGTERM || sig == SIGINT) {
			if (server_wait(s, 2 * SOON) == 0) {
				ends++;
				continue;
			}
		} else {
			until = now_ms() + patience(2 * SOON);
			while (server_alive(s) && now_ms() < until && strstr(
			    read_whole(s->log) + said, "server: ready") == NULL)
				poll(NULL, 0, 2);
			if (server_alive(s)) {
				ck_assert_int_eq(get(s, "/healthz", "")->status, 200);
				server_kill(s);
				continue;
			}
		}
		/* Killed. */
		ck_assert_msg(!server_alive(s), "%s and it runs on", strsignal(sig));
		ck_assert_msg(strlen(read_whole(s->log)) == said, "%s killed it after it "
		    "said: %s", strsignal(sig), read_whole(s->log) + said);
		early++;
	}
	printf("%d signals during the start: %d ends with 0, %d before its first word\n",
	    rounds, ends, early);
	ck_assert_int_lt(early, rounds);
	store_is_whole(s->store);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_load");
	TCase *tc = harness_case(su, "readers", size_of_run(120, 1200));

	tcase_add_loop_test(tc, D6_random_cursors_during_a_thousand_events_a_second, 0,
	    2);
	tcase_add_test(tc, D7_two_hundred_see_one_order_and_it_is_that_of_the_ids);
	tcase_add_test(tc, D8_a_publish_cut_after_its_commit_is_stored_once);
	tc = harness_case(su, "crowd", size_of_run(120, 600));
	tcase_add_test(tc, R6_a_crowd_that_comes_back_is_live_soon_and_lacks_nothing);
	tc = harness_case(su, "signals", size_of_run(90, 900));
	tcase_add_test(tc, O2_a_signal_under_load_is_an_end_in_time_or_no_end);
	tcase_add_test(tc, O2_a_second_signal_ends_it_at_once);
	tcase_add_test(tc, O2_a_signal_while_it_starts_is_neither_lost_nor_deadly);
	return su;
}

SUITE_MAIN
