/*
 * check_http_sockets.c - streams as sockets: what they cost in descriptors,
 * how fast an end is seen, and that a slow reader costs only itself and loses
 * nothing.
 */
#include "config.h"

#include "harness.h"

#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static const char *const all_public = "--topics.public=**";

/* Until the server holds at most `most` descriptors. */
static int
descriptors_fall_to(struct server *s, int most, int ms)
{
	int64_t end = now_ms() + patience(ms);
	int n;

	while ((n = server_descriptors(s)) > most && now_ms() < end)
		poll(NULL, 0, 10);
	if (n > most)
		server_show_descriptors(s);
	return n;
}

/* How many it has once those of connections that ended are closed. */
static int
settled_descriptors(struct server *s)
{
	int n = server_descriptors(s), now;

	for (int same = 0; same < 10; n = now) {
		poll(NULL, 0, 20);
		now = server_descriptors(s);
		same = now == n ? same + 1 : 0;
	}
	return n;
}

/* What it opens on demand, to read the store, is open afterwards. */
static void
warm_up(struct server *s)
{
	struct stream *st;

	publish(s, "a", "warm");
	st = stream_open(s, "/events?topic=a&replay=1", "");
	expect_event(st, "message", "warm");
	expect_live(st, false);
	stream_close(st);
	publish(s, "a", "warm");
	history(s, "topic=**&limit=1000");
}

/* A connection that has asked once and then only waits. */
static struct http *
idle_connection(struct server *s)
{
	struct http *h = http_open(s);
	struct answer *a;

	ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=idle", AUTH,
	    "x", 1), 0);
	a = try_http_receive(h, SOON);
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(a->status, 200);
	answer_free(a);
	return h;
}

START_TEST(streams_beside_an_idle_connection_use_one_descriptor_each)
{
	struct rlimit rl;
	struct server *s;
	struct stream **st;
	struct http *idle;
	int base, wanted = 2000, got;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_cur < 2200)
		wanted = (int)rl.rlim_cur / 2;
	st = keep(calloc((size_t)wanted, sizeof *st), free);
	s = server_start(all_public, NULL);
	warm_up(s);
	idle = idle_connection(s);
	base = settled_descriptors(s);
	for (int i = 0; i < wanted; i++) {
		st[i] = try_stream(s, "/events?topic=a", "", 0);
		ck_assert_ptr_nonnull(st[i]);
	}
	for (int i = 0; i < wanted; i++)
		expect_live(st[i], false);
	got = descriptors_fall_to(s, base + wanted, 3000);
	printf("%d streams: %d descriptors\n", wanted, got - base);
	ck_assert_int_le(got, base + wanted);
	ck_assert_int_ge(got, base + wanted - 4);
	/* All of them work, and so does the idle connection. */
	publish(s, "a", "to all");
	for (int i = 0; i < wanted; i++)
		expect_event(st[i], "message", "to all");
	ck_assert_int_eq(try_http_send(idle, "GET", "/healthz", "", NULL, 0),
	    0);
	answer_free(try_http_receive(idle, SOON));
	for (int i = 0; i < wanted; i++)
		stream_close(st[i]);
	got = descriptors_fall_to(s, base, 10000);
	ck_assert_msg(got <= base, "%d descriptors of %d streams that left",
	    got - base, wanted);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define ENDING	20

START_TEST(the_end_of_a_stream_reaches_its_client_in_100_ms)
{
	struct server *s = server_start("--auth.leeway=0", NULL);
	struct http *idle = idle_connection(s);
	struct stream *st[ENDING];
	int64_t closed[ENDING] = { 0 }, worst = 0, end;
	int open = ENDING;

	for (int i = 0; i < ENDING; i++)
		st[i] = stream_open(s, "/events?topic=a",
		    fmt(BEARER "%s\r\n", token_for(2 + i % 2, NULL, "a")));
	end = now_ms() + patience(8000);
	while (open > 0 && now_ms() < end) {
		struct pollfd pfd[ENDING];

		for (int i = 0; i < ENDING; i++)
			pfd[i] = (struct pollfd){ st[i]->eof ? -1 : st[i]->fd,
			    POLLIN, 0 };
		poll(pfd, ENDING, 100);
		for (int i = 0; i < ENDING; i++) {
			struct event *e;

			if (st[i]->eof)
				continue;
			stream_feed(st[i]);
			while ((e = stream_pop(st[i])) != NULL)
				if (strcmp(e->name, "fanfare.close") == 0)
					closed[i] = e->at_ms;
			open -= st[i]->eof;
		}
	}
	ck_assert_msg(open == 0, "%d streams still open", open);
	for (int i = 0; i < ENDING; i++) {
		ck_assert_msg(closed[i] != 0, "no fanfare.close");
		if (st[i]->eof_ms - closed[i] > worst)
			worst = st[i]->eof_ms - closed[i];
	}
	printf("from fanfare.close to the end: %d ms at most\n", (int)worst);
	ck_assert_int_le(worst, patience(100));
	http_close(idle);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_soft_refusal_ends_within_100_ms)
{
	struct server *s = server_start(NULL, NULL);
	struct http *idle = idle_connection(s);

	for (int i = 0; i < 10; i++) {
		int64_t begun = now_ms();
		struct stream *st = stream_open(s,
		    "/events?topic=a&errors=event", "");

		expect_close(st, "unauthorized", SOON);
		ck_assert_int_le(st->eof_ms - begun, patience(100));
	}
	http_close(idle);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(half_a_request_and_a_vanished_client_harm_nobody)
{
	static const char rq[] = "GET /events?topic=a HTTP/1.1\r\nHost: x\r\n"
	    "Accept: text/event-stream\r\n\r\n";
	struct server *s = server_start(all_public, NULL);
	struct stream *st;
	struct linger now = { 1, 0 };
	int base;

	warm_up(s);
	st = stream_open(s, "/events?topic=a", "");
	expect_live(st, false);
	base = settled_descriptors(s);
	for (size_t cut = 0; cut < sizeof rq; cut++) {
		struct http *h = http_open(s);

		ck_assert_int_eq(try_http_write(h, rq, cut), 0);
		if (cut % 2)
			setsockopt(http_fd(h), SOL_SOCKET, SO_LINGER, &now,
			    sizeof now);
		http_close(h);
	}
	/* And without a word after the whole of it. */
	for (int i = 0; i < 50; i++) {
		struct http *h = http_open(s);

		ck_assert_int_eq(try_http_write(h, rq, sizeof rq - 1), 0);
		setsockopt(http_fd(h), SOL_SOCKET, SO_LINGER, &now, sizeof now);
		http_close(h);
	}
	publish(s, "a", "x");
	expect_event(st, "message", "x");
	ck_assert_msg(descriptors_fall_to(s, base + 1, 20000) <= base + 1,
	    "%d descriptors are left", server_descriptors(s) - base);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- slow readers ---- */

#define SLOW	8
#define HEALTHY	4
#define EVENTS	2000

START_TEST(a_slow_reader_gets_everything_and_costs_only_itself)
{
	struct server *s = server_start(all_public, "--store.tail=1M",
	    "--stream.queue=128k", "--stream.stall=10m", NULL);
	struct stream *slow[SLOW], *healthy[HEALTHY];
	char *pad = repeat("x", 8000), *body = malloc(9000);
	struct http *h = http_open(s);
	int64_t worst = 0;
	long before;

	keep(body, free);
	for (int i = 0; i < SLOW; i++) {
		slow[i] = try_stream(s, "/events?topic=a", "", 2048);
		ck_assert_ptr_nonnull(slow[i]);
		ck_assert(stream_head(slow[i], SOON));
	}
	for (int i = 0; i < HEALTHY; i++) {
		healthy[i] = stream_open(s, "/events?topic=a", "");
		expect_live(healthy[i], false);
	}
	before = server_memory_kb(s);
	/* 16 MB, which none of the slow ones reads. */
	for (int n = 0; n < EVENTS; n++) {
		int64_t at = now_ms();
		struct answer *a;
		int len = snprintf(body, 9000, "%d %s", n, pad);

		ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a",
		    AUTH, body, (size_t)len), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		for (int i = 0; i < HEALTHY; i++) {
			struct event *e = stream_next(healthy[i], SOON);

			ck_assert_ptr_nonnull(e);
			ck_assert_int_eq(atoi(e->data), n);
		}
		if (now_ms() - at > worst)
			worst = now_ms() - at;
	}
	printf("%d healthy beside %d that never read: %d ms at most from "
	    "publish to all, memory +%ld kB\n", HEALTHY, SLOW, (int)worst,
	    server_memory_kb(s) - before);
	ck_assert_int_lt(worst, patience(2000));
	/* 8 x 16 MB were owed.  (Sanitizers keep what is freed.) */
	if (patience(1) == 1)
		ck_assert_int_lt(server_memory_kb(s) - before, 40 * 1024);
	for (int i = 0; i < SLOW; i++) {
		for (int n = 0; n < EVENTS;) {
			struct event *e = stream_next(slow[i], SOON);

			ck_assert_msg(e != NULL, "slow reader %d: %s at %d", i,
			    slow[i]->eof ? "the end" : "nothing", n);
			ck_assert_msg(strcmp(e->name, "fanfare.gap") != 0, "%s",
			    e->data);
			if (is_control(e))
				continue;
			ck_assert_int_eq(atoi(e->data), n);
			n++;
		}
		ck_assert_int_eq(slow[i]->odd, 0);
	}
	/* And they are live again. */
	publish(s, "a", "after all");
	for (int i = 0; i < SLOW; i++)
		for (struct event *e = NULL; e == NULL || is_control(e);) {
			e = stream_next(slow[i], SOON);
			ck_assert_ptr_nonnull(e);
			if (!is_control(e))
				ck_assert_str_eq(e->data, "after all");
		}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_reader_that_takes_nothing_is_let_go_and_resumes)
{
	struct server *s = server_start(all_public, "--stream.stall=1s", NULL);
	struct stream *stuck = try_stream(s, "/events?topic=a", "", 2048);
	struct stream *fine = stream_open(s, "/events?topic=a", ""), *again;
	char *pad = repeat("x", 60000);
	int base, n = 0, next = 0;
	struct event *e;

	expect_live(fine, false);
	ck_assert_ptr_nonnull(stuck);
	ck_assert(stream_head(stuck, SOON));
	base = settled_descriptors(s);
	for (; n < 200; n++) {
		publish(s, "a", fmt("%d %s", n, pad));
		ck_assert_ptr_nonnull(stream_next(fine, SOON));
	}
	ck_assert_msg(descriptors_fall_to(s, base - 1, 10000) < base,
	    "it is still held");
	/* What reached it is in order; the rest comes on the next one. */
	for (again = stuck; next < n;) {
		e = stream_next(again, SOON);
		if (e == NULL) {
			ck_assert_msg(again->eof && again == stuck,
			    "the end at %d", next);
			again = stream_open(s, "/events?topic=a",
			    *stuck->last_id == '\0' ? "" :
			    fmt("Last-Event-ID: %s\r\n", stuck->last_id));
			continue;
		}
		if (is_control(e)) {
			ck_assert_str_ne(e->name, "fanfare.gap");
			continue;
		}
		ck_assert_int_eq(atoi(e->data), next);
		next++;
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* E14.  A phone out of reach: from now on it takes no packet, and so acknowledges
 * none.  With stream.heartbeat and stream.stall as they are, 15 s jittered and 30 s and
 * ten of the kernel's: at most 58 s.  Here a second and eleven. */
START_TEST(a_peer_that_fell_silent_is_let_go)
{
	struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog all = { 1, &drop };
	struct server *s = server_start(all_public, "--stream.heartbeat=1s",
	    "--stream.stall=1s", NULL);
	struct stream *fine, *silent;
	int64_t began;
	int held;

	warm_up(s);
	fine = stream_open(s, "/events?topic=a", "");
	expect_live(fine, false);
	silent = stream_open(s, "/events?topic=a", "");
	expect_live(silent, false);
	held = settled_descriptors(s);
	ck_assert_int_eq(setsockopt(silent->fd, SOL_SOCKET, SO_ATTACH_FILTER,
	    &all, sizeof(all)), 0);
	began = now_ms();
	ck_assert_msg(descriptors_fall_to(s, held - 1, 16000) == held - 1,
	    "it is held after %d ms", (int)(now_ms() - began));
	/* And not because its reader was slow for a moment. */
	ck_assert_int_gt(now_ms() - began, 5000);
	publish(s, "a", "x");
	expect_event(fine, "message", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* libmicrohttpd aborts when it is stopped while a connection is suspended. */
START_TEST(a_stop_amid_publishes_answers_them_and_ends_well)
{
	enum { CONNECTIONS = 32 };
	struct server *s = server_start("--server.drain_time=100ms", NULL);
	struct http *h[CONNECTIONS];
	int64_t began = now_ms();
	bool told = false;
	int answered = 0, open = 0;

	for (int i = 0; i < CONNECTIONS; i++) {
		h[i] = http_open(s);
		ck_assert_int_eq(try_http_send(h[i], "POST", "/publish?topic=a",
		    AUTH, "x", 1), 0);
	}
	do {
		open = 0;
		for (int i = 0; i < CONNECTIONS; i++) {
			struct answer *a;

			if (h[i] == NULL)
				continue;
			open++;
			switch (try_http_feed(h[i])) {
			case 1:
				a = try_http_receive(h[i], SOON);
				ck_assert_ptr_nonnull(a);
				ck_assert_msg(a->status == 200 ||
				    (told && a->status == 503), "%d: %s", a->status,
				    a->body);
				answer_free(a);
				answered++;
				if (try_http_send(h[i], "POST", "/publish?topic=a",
				    AUTH, "x", 1) == 0)
					break;
				/* FALLTHROUGH */
			case -1:
				ck_assert(told);
				http_close(h[i]);
				h[i] = NULL;
				break;
			}
		}
		if (!told && now_ms() - began > 300) {
			server_signal(s, SIGTERM);
			told = true;
		}
	} while (open > 0 && now_ms() - began < patience(15000));
	ck_assert_int_gt(answered, CONNECTIONS);
	ck_assert_int_eq(open, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_sockets");
	TCase *tc = harness_case(su, "sockets", 60);

	tcase_add_test(tc,
	    streams_beside_an_idle_connection_use_one_descriptor_each);
	tcase_add_test(tc, the_end_of_a_stream_reaches_its_client_in_100_ms);
	tcase_add_test(tc, a_soft_refusal_ends_within_100_ms);
	tcase_add_test(tc, half_a_request_and_a_vanished_client_harm_nobody);
	tcase_add_test(tc, a_stop_amid_publishes_answers_them_and_ends_well);
	tc = harness_case(su, "slow", 90);
	tcase_add_test(tc, a_slow_reader_gets_everything_and_costs_only_itself);
	tcase_add_test(tc, a_reader_that_takes_nothing_is_let_go_and_resumes);
	tcase_add_test(tc, a_peer_that_fell_silent_is_let_go);
	return su;
}

SUITE_MAIN
