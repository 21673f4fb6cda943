/*
 * check_fault_clock.c - C1: the wall clock jumps by a day, back, and past 2038, under
 * load; the monotonic clock goes on as it does.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "fault_control.h"

#define DAY		86400
#define WRITERS		4

static struct server *sv;

static int64_t
metric(const char *name)
{
	struct server admin = *sv;
	struct answer *a;
	const char *at;

	admin.port = sv->admin_port;
	a = get(&admin, "/metrics", "");
	at = strstr(a->body, fmt("\nfanfare_%s ", name));
	ck_assert_msg(at != NULL, "no metric %s", name);
	return strtoll(at + strlen(name) + 10, NULL, 10);
}

/* Seconds until the clock shows the beginning of a year. */
static int64_t
until_year(int64_t year)
{
	return (year - 1970) * 31556952 - wall_s() + DAY;
}

/* ---- a stream that is watched ---- */

struct watched {
	struct stream	*st;
	int64_t		 seq;		/* the last that came */
	int		 events, comments;
	int64_t		 heard, silence;	/* the longest between signs of life */
};

static void
watch(struct watched *w)
{
	struct event *e;
	int64_t seq;

	stream_feed(w->st);
	ck_assert_msg(!w->st->eof, "the stream ended: %.500s", w->st->trace);
	while ((e = stream_pop(w->st)) != NULL) {
		ck_assert_msg(strcmp(e->name, "fanfare.gap") != 0 &&
		    strcmp(e->name, "fanfare.close") != 0, "%s: %s", e->name, e->data);
		if (is_control(e))
			continue;
		seq = id_seq(e->id);
		ck_assert_msg(seq > w->seq, "%lld after %lld", (long long)seq,
		    (long long)w->seq);
		w->seq = seq;
		w->events++;
		w->heard = now_ms();
	}
	if (w->st->comments > w->comments)
		w->heard = now_ms();
	w->comments = w->st->comments;
	if (now_ms() - w->heard > w->silence)
		w->silence = now_ms() - w->heard;
}

static struct watched *
watched_open(const char *path, const char *headers)
{
	struct watched *w = keep(calloc(1, sizeof *w), free);

	w->st = stream_open(sv, path, headers);
	expect_live(w->st, false);
	w->heard = now_ms();
	return w;
}

/* ---- load ---- */

static struct http *writers[WRITERS];
static int acked;
static int64_t newest;

static void
writer_send(struct http *h)
{
	ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a", AUTH, "x", 1), 0);
}

static void
writers_feed(void)
{
	struct answer *a;
	int64_t seq;

	for (int i = 0; i < WRITERS; i++) {
		if (try_http_feed(writers[i]) == 0)
			continue;
		ck_assert_ptr_nonnull(a = try_http_receive(writers[i], 0));
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		seq = strtoll(strstr(a->body, "\"id\":\"") + 15, NULL, 10);
		if (seq > newest)
			newest = seq;
		answer_free(a);
		acked++;
		writer_send(writers[i]);
	}
}

START_TEST(C1_jumps_of_the_clock_change_no_order_no_heartbeat_and_lose_nothing)
{
	const int64_t jumps[] = { 0, DAY, -DAY, until_year(2040), 0 };
	enum { N = sizeof jumps / sizeof *jumps };
	int ms = size_of_run(1600, 20000), before;
	struct watched *busy, *quiet;
	int64_t silence[N], end;
	json_t *e;

	faults_begin();
	sv = server_start("--stream.heartbeat=1s", "--store.retain_age=1h", NULL);
	publish(sv, "old", "from before");
	busy = watched_open("/events?topic=a", AUTH);
	quiet = watched_open("/events?topic=quiet", AUTH);
	for (int i = 0; i < WRITERS; i++)
		writer_send(writers[i] = http_open(sv));
	for (int n = 0; n < N; n++) {
		faults->clock_s = jumps[n];
		before = acked;
		quiet->silence = 0;
		for (end = now_ms() + ms; now_ms() < end;) {
			writers_feed();
			watch(busy);
			watch(quiet);
			poll(NULL, 0, 1);
		}
		silence[n] = quiet->silence;
		ck_assert_msg(acked > before, "no publishes at %lld",
		    (long long)jumps[n]);
		ck_assert_int_eq(get(sv, "/healthz", "")->status, 200);
		ck_assert_msg(silence[n] <= silence[0] + patience(1000), "%lld ms with"
		    "out a heartbeat at %lld, %lld ms at first", (long long)silence[n],
		    (long long)jumps[n], (long long)silence[0]);
		e = json_array_get(json_object_get(history(sv, "topic=a&limit=1"),
		    "events"), 0);
		if (jumps[n] > 10 * 365 * DAY)
			ck_assert_msg(strncmp(text_at(e, "time"), "2040-", 5) == 0,
			    "stamped %s", text_at(e, "time"));
	}
	/* All that was acknowledged came, and all is still there. */
	for (end = now_ms() + patience(SOON); busy->seq < newest && now_ms() < end;)
		watch(busy);
	ck_assert_msg(busy->events >= acked, "%d acknowledged up to %lld, %d came up to "
	    "%lld", acked, (long long)newest, busy->events, (long long)busy->seq);
	ck_assert_int_eq(metric("log_pruned_total"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(history(sv, "topic=old"),
	    "events")), 1);
	printf("C1: %d events; heartbeats at most %lld ms apart, %lld in 2040\n", acked,
	    (long long)silence[0], (long long)silence[3]);
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

START_TEST(C1_a_stream_resumes_over_a_jump_without_a_gap)
{
	struct stream *st;
	char *id;

	faults_begin();
	sv = server_start("--store.retain_age=1h", NULL);
	id = publish(sv, "a", "1");
	faults->clock_s = DAY;
	publish(sv, "a", "2");
	faults->clock_s = -DAY;
	publish(sv, "a", "3");
	for (int restart = 0; restart < 2; restart++) {
		st = stream_open(sv, "/events?topic=a", fmt(AUTH "Last-Event-ID: %s\r\n",
		    id));
		expect_event(st, "message", "2");
		expect_event(st, "message", "3");
		expect_live(st, true);
		stream_close(st);
		/* Now they come from the log. */
		ck_assert_int_eq(server_stop(sv), 0);
		faults->clock_s = 0;
		server_restart(sv);
	}
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

/* Wait until so many events are left. */
static void
left(int64_t n, const char *what)
{
	int64_t end = now_ms() + patience(10000);

	while (metric("log_events") > n) {
		ck_assert_msg(now_ms() < end, "%s: %lld events instead of %lld", what,
		    (long long)metric("log_events"), (long long)n);
		poll(NULL, 0, 50);
	}
}

START_TEST(C1_events_of_a_clock_that_was_ahead_are_pruned_with_their_neighbours)
{
	faults_begin();
	sv = server_start("--store.retain_age=2s", NULL);
	publish(sv, "a", "before");
	faults->clock_s = until_year(2040);
	for (int i = 0; i < 10; i++)
		publish(sv, "a", "ahead");
	faults->clock_s = 0;
	publish(sv, "b", "after");
	left(0, "set back while it ran");
	/* The same where the server begins anew: before and after the next event. */
	faults->clock_s = until_year(2040);
	publish(sv, "a", "ahead");
	ck_assert_int_eq(server_stop(sv), 0);
	faults->clock_s = 0;
	server_restart(sv);
	left(0, "set back while it was down");
	faults->clock_s = DAY;
	publish(sv, "a", "ahead");
	faults->clock_s = 0;
	publish(sv, "b", "after");
	ck_assert_int_eq(server_stop(sv), 0);
	server_restart(sv);
	left(0, "down when it was set back already");
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

/* Retention has had a look since: a commit of an idle second. */
static void
looked(void)
{
	int64_t commits = metric("log_commits_total"), end = now_ms() + patience(10000);

	while (metric("log_commits_total") < commits + 2) {
		ck_assert_msg(now_ms() < end, "retention is asleep");
		poll(NULL, 0, 50);
	}
}

START_TEST(C1_an_event_of_a_clock_that_was_behind_ages_none_of_those_before_it)
{
	faults_begin();
	sv = server_start("--store.retain_age=1h", NULL);
	publish(sv, "a", "before");
	faults->clock_s = -DAY;
	publish(sv, "a", "behind");
	faults->clock_s = 0;
	publish(sv, "a", "after");
	looked();
	ck_assert_int_eq(server_stop(sv), 0);
	server_restart(sv);
	looked();
	ck_assert_int_eq(metric("log_pruned_total"), 0);
	ck_assert_int_eq(metric("log_events"), 3);
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

static json_t *
publish_once(void)
{
	return publish_json(sv, "{\"topic\":\"a\",\"data\":1,"
	    "\"idempotency_key\":\"once\"}");
}

START_TEST(C1_a_publish_repeated_over_a_jump_is_stored_once)
{
	json_t *first;

	faults_begin();
	sv = server_start(NULL, NULL);
	first = publish_once();
	for (int i = -2; i <= 2; i++) {
		faults->clock_s = i * (DAY + 60);
		publish(sv, "a", "others");	/* by then keys are looked through */
		poll(NULL, 0, 20);
		ck_assert_str_eq(text_at(publish_once(), "id"), text_at(first, "id"));
	}
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

START_TEST(C1_only_tokens_follow_the_clock)
{
	char *bearer = fmt(BEARER "%s\r\n", token_for(3600, "a", "a"));
	struct stream *by_key, *by_token;

	faults_begin();
	sv = server_start("--stream.heartbeat=1s", NULL);
	by_key = stream_open(sv, "/events?topic=a", AUTH);
	by_token = stream_open(sv, "/events?topic=a", bearer);
	expect_live(by_key, false);
	expect_live(by_token, false);
	ck_assert_int_eq(post(sv, "/publish?topic=a", bearer, "1")->status, 200);
	expect_event(by_key, "message", "1");
	expect_event(by_token, "message", "1");
	faults->clock_s = DAY;
	is_problem(post(sv, "/publish?topic=a", bearer, "2"), 401, "token_expired", "",
	    "a day later");
	/* It hears of it, and nothing more. */
	publish(sv, "a", "3");
	expect_close(by_token, "expired", SOON);
	expect_event(by_key, "message", "3");
	faults->clock_s = 0;
	ck_assert_int_eq(post(sv, "/publish?topic=a", bearer, "4")->status, 200);
	expect_event(by_key, "message", "4");
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("fault_clock");
	TCase *tc;

	if (!faults_possible())
		exit(77);
	tc = harness_case(s, "jumps", size_of_run(60, 400));
	tcase_add_test(tc,
	    C1_jumps_of_the_clock_change_no_order_no_heartbeat_and_lose_nothing);
	tc = harness_case(s, "clock", 60);
	tcase_add_test(tc, C1_a_stream_resumes_over_a_jump_without_a_gap);
	tcase_add_test(tc,
	    C1_events_of_a_clock_that_was_ahead_are_pruned_with_their_neighbours);
	tcase_add_test(tc,
	    C1_an_event_of_a_clock_that_was_behind_ages_none_of_those_before_it);
	tcase_add_test(tc, C1_a_publish_repeated_over_a_jump_is_stored_once);
	tcase_add_test(tc, C1_only_tokens_follow_the_clock);
	return s;
}
SUITE_MAIN
