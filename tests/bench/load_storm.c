/*
 * load_storm.c - storm: all streams drop at once and come back with their cursors,
 * some events behind, while publishing goes on.
 */
#include "config.h"

#include "load.h"

#define QUIET_SECONDS	3	/* of publishing at the rate, for comparison */
#define RATE		100	/* events a second when none is given */

enum { BEFORE, AWAY, BACK };	/* phases of events */

static bool
all_gone(struct load *l)
{
	return server_descriptors(&l->o) <= l->descriptors +
	    (long)l->publisher.n + (long)l->streams.n / 50;
}

/* Until the server has noticed, or it would accept and let go at the same time. */
static void
drop_all(struct load *l)
{
	l->doing = "dropping";
	for (size_t i = 0; i < l->streams.n; i++)
		stream_drop(l, &l->streams.all[i]);
	if (l->o.pids_n > 0 && !loop_until(l, all_gone, l->o.timeout_s))
		say("the server keeps %ld descriptors though all streams are "
		    "gone", server_descriptors(&l->o));
	loop_quiet(l);
}

static bool
all_open(struct load *l)
{
	return l->streams.open == l->streams.n;
}

static bool
all_caught_up(struct load *l)
{
	return l->streams.live == l->streams.n && l->ledger.owed[AWAY][0] <= 0;
}

/* The second time the server has its memory, as it has when they come back. */
static int
connect_plainly(struct load *l, json_t *to)
{
	int64_t began_ns;

	if (scenario_open(l) == -1)
		return -1;
	drop_all(l);
	began_ns = clock_ns();
	if (scenario_open_rest(l) == -1)
		return -1;
	report_number(to, "plain_seconds", (double)(clock_ns() - began_ns) / 1e9);
	return 0;
}

/* Everybody needs a cursor: fanfare gave one, others only with an event. */
static int
give_cursors(struct load *l)
{
	size_t without = 0, lanes = scenario_lanes(l, 64);

	for (size_t i = 0; i < l->streams.n; i++)
		without += l->streams.all[i].id == NULL;
	l->publisher.until_answer = false;
	if (scenario_warm_up(l, lanes) == -1)
		return -1;
	if (without > 0)
		scenario_publish_all(l, "giving cursors", (uint64_t)l->o.topics,
		    0, 0, lanes);
	return 0;
}

static void
miss_events(struct load *l)
{
	uint64_t events = (uint64_t)l->o.missed * (uint64_t)l->o.topics;

	l->ledger.phase = AWAY;
	if (events == 0)
		return;
	l->doing = "publishing what is missed";
	publish_start(l, events, 0, 0, scenario_lanes(l, 64));
	(void)loop_until(l, publish_is_over, 1e6);	/* it ends by itself */
}

/* With so few in a storm, a percentile wants those of several together. */
static json_t *
answers_json(const struct histogram *h)
{
	json_t *j = histogram_json(h);

	json_object_set_new(j, "buckets", histogram_buckets_json(h));
	return j;
}

static int
come_back(struct load *l, json_t *to, double rate)
{
	struct measure m;
	bool caught_up;

	l->doing = "coming back";
	l->ledger.phase = BACK;
	measure_begin(l, &m);
	publish_start(l, 0, 0, rate, 64);
	for (size_t i = 0; i < l->streams.n; i++)
		stream_open(l, &l->streams.all[i], true);
	if (!loop_until(l, all_open, l->o.timeout_s)) {
		say("only %zu of %zu streams came back within %g s",
		    l->streams.open, l->streams.n, l->o.timeout_s);
		return -1;
	}
	report_number(to, "connected_s", (double)(clock_ns() - m.began_ns) / 1e9);
	caught_up = loop_until(l, all_caught_up, l->o.timeout_s);
	report_number(to, "caught_up_s", (double)(clock_ns() - m.began_ns) / 1e9);
	json_object_set_new(to, "caught_up", json_boolean(caught_up));
	measure_report(l, &m, to);
	report_number(to, "storm_bytes", (double)(l->ledger.bytes - m.bytes));
	json_object_set_new(to, "answer_storm_us",
	    answers_json(&l->publisher.answer));
	publish_stop(l);
	return 0;
}

int
scenario_storm(struct load *l, json_t *to)
{
	double rate = l->o.rate > 0 ? l->o.rate : RATE;

	l->descriptors = server_descriptors(&l->o);
	if (connect_plainly(l, to) == -1 || give_cursors(l) == -1)
		return -1;
	loop_quiet(l);
	publish_clear(l);
	l->publisher.until_answer = true;
	scenario_publish_all(l, "publishing in quiet", 0, QUIET_SECONDS, rate, 64);
	json_object_set_new(to, "answer_quiet_us",
	    answers_json(&l->publisher.answer));
	drop_all(l);
	miss_events(l);
	loop_quiet(l);
	if (come_back(l, to, rate) == -1)
		return -1;
	scenario_settle(l);
	return 0;
}
