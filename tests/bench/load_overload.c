/*
 * load_overload.c - slow: some streams do not read; flood: more is published than can
 * be delivered.
 */
#include "config.h"

#include "load.h"

#define RATE		200	/* of slow, events a second when none is given */
#define PROBES		3	/* in a row that have to be as fast as before */

/* The most that was held at any time, and the least that was delivered. */
static struct extremes {
	int64_t rss_bytes, tcp_bytes;
	int64_t second_ns;		/* when the current second began */
	uint64_t deliveries;		/* until then */
	double least_per_s;		/* -1: not a second yet */
} most;

static void
watch(struct load *l)
{
	int64_t rss_bytes = server_rss_quick_bytes(&l->o), now = clock_ns();
	int64_t tcp_bytes = kernel_tcp_bytes();
	double per_s;

	if (rss_bytes > most.rss_bytes)
		most.rss_bytes = rss_bytes;
	if (tcp_bytes > most.tcp_bytes)
		most.tcp_bytes = tcp_bytes;
	if (now - most.second_ns < SECOND_NS)
		return;
	per_s = (double)(l->deliveries - most.deliveries) * 1e9 /
	    (double)(now - most.second_ns);
	if (most.least_per_s < 0 || per_s < most.least_per_s)
		most.least_per_s = per_s;
	most.second_ns = now;
	most.deliveries = l->deliveries;
}

static void
watch_begin(struct load *l)
{
	most = (struct extremes){ .second_ns = clock_ns(), .least_per_s = -1,
		.deliveries = l->deliveries };
	l->every = watch;
	watch(l);
}

static void
watch_end(struct load *l, json_t *to)
{
	watch(l);
	l->every = NULL;
	report_number(to, "rss_max_bytes", (double)most.rss_bytes);
	report_number(to, "tcp_max_bytes", (double)most.tcp_bytes);
}

static void
before(struct load *l, json_t *to)
{
	report_number(to, "rss_before_bytes",
	    (double)server_rss_quick_bytes(&l->o));
	report_number(to, "tcp_before_bytes", (double)kernel_tcp_bytes());
}

/* --- slow --- */

static size_t
choose_slow(struct load *l)
{
	double part = l->o.slow_percent / 100, due = 0;
	size_t n = 0;

	for (size_t i = 0; i < l->streams.n; i++) {
		due += part;
		if (due < 1)
			continue;
		due -= 1;
		l->streams.all[i].kind = 1;
		n++;
	}
	ledger_listen(l);
	return n;
}

static bool
healthy_have_all(struct load *l)
{
	return publish_is_over(l) && ledger_owed_kind(l, 0) <= 0;
}

static bool
slow_have_all(struct load *l)
{
	return ledger_owed_kind(l, 1) <= 0;
}

static void
wake_slow(struct load *l, json_t *to)
{
	int64_t began_ns = clock_ns();

	l->doing = "slow ones read";
	report_number(to, "slow_owed", (double)ledger_owed_kind(l, 1));
	for (size_t i = 0; i < l->streams.n; i++)
		if (l->streams.all[i].stalled &&
		    stream_wake(l, &l->streams.all[i]) == -1)
			say("a slow stream cannot be read again");
	(void)loop_until(l, slow_have_all, l->o.timeout_s);
	report_number(to, "slow_caught_up_s",
	    (double)(clock_ns() - began_ns) / 1e9);
}

int
scenario_slow(struct load *l, json_t *to)
{
	struct measure m;
	size_t slow;

	slow = choose_slow(l);
	l->publisher.until_answer = true;
	if (scenario_open(l) == -1 || scenario_warm_up(l, 64) == -1)
		return -1;
	loop_quiet(l);
	before(l, to);
	for (size_t i = 0; i < l->streams.n; i++)
		if (l->streams.all[i].kind == 1)
			stream_stall(l, &l->streams.all[i]);
	measure_begin(l, &m);
	watch_begin(l);
	l->doing = "measuring";
	publish_start(l, (uint64_t)l->o.events,
	    l->o.events > 0 ? 0 : l->o.seconds,
	    l->o.rate > 0 ? l->o.rate : RATE, 64);
	(void)loop_until(l, publish_is_over, 1e6);	/* it ends by itself */
	(void)loop_until(l, healthy_have_all, l->o.timeout_s);
	measure_report(l, &m, to);
	report_number(to, "slow_streams", (double)slow);
	wake_slow(l, to);
	watch_end(l, to);
	scenario_settle(l);
	return 0;
}

/* --- flood --- */

/* Each event alone, again and again: until all have it, in ns. */
static void
probe(struct load *l, uint64_t events, double rate)
{
	publish_clear(l);
	l->publisher.until_answer = false;
	publish_start(l, events, 0, rate, 1);
	(void)loop_until(l, publish_is_over, l->o.timeout_s * 2);
}

static void
recover(struct load *l, json_t *to, int64_t limit_ns)
{
	int64_t ended_ns = clock_ns(), good_ns = ended_ns;
	int good = 0;

	l->doing = "recovering";
	while (good < PROBES &&
	    clock_ns() - ended_ns < (int64_t)(l->o.timeout_s * 1e9)) {
		int64_t sent_ns = clock_ns();

		probe(l, 1, 0);
		if (l->publisher.whole.n == 1 &&
		    l->publisher.whole.max_ns <= limit_ns) {
			if (good++ == 0)
				good_ns = sent_ns;
		} else
			good = 0;
		loop_for(l, 0.02);
	}
	report_number(to, "recovered_s",
	    (double)((good == PROBES ? good_ns : clock_ns()) - ended_ns) / 1e9);
	json_object_set_new(to, "recovered", json_boolean(good == PROBES));
}

static void
flood(struct load *l, json_t *to)
{
	struct measure m;

	l->doing = "flooding";
	l->publisher.until_answer = true;
	measure_begin(l, &m);
	watch_begin(l);
	publish_start(l, (uint64_t)l->o.events,
	    l->o.events > 0 ? 0 : l->o.seconds, l->o.rate,
	    scenario_lanes(l, 64));
	/* What is due but not sent at the end is not sent any more. */
	(void)loop_until(l, publish_is_over,
	    l->o.events > 0 ? 1e6 : l->o.seconds);
	publish_stop(l);
	(void)loop_until(l, publish_is_over, l->o.timeout_s * 2);
	measure_report(l, &m, to);
	report_number(to, "deliveries_per_s_least",
	    most.least_per_s >= 0 ? most.least_per_s : 0);
	report_number(to, "owed_at_end", (double)ledger_owed(l));
}

int
scenario_flood(struct load *l, json_t *to)
{
	int64_t limit_ns;

	if (scenario_open(l) == -1 ||
	    scenario_warm_up(l, scenario_lanes(l, 64)) == -1)
		return -1;
	loop_quiet(l);
	before(l, to);
	l->doing = "probing in quiet";
	probe(l, 100, 50);
	limit_ns = 2 * histogram_at(&l->publisher.whole, 0.99);
	json_object_set_new(to, "quiet_us", histogram_json(&l->publisher.whole));
	flood(l, to);
	recover(l, to, limit_ns);
	scenario_settle(l);
	watch_end(l, to);
	return 0;
}
