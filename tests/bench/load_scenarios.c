/*
 * load_scenarios.c - fanout, publish, connect, idle, fill; and what all begin with.
 */
#include "config.h"

#include "load.h"

static bool
all_live(struct load *l)
{
	return l->streams.live == l->streams.n;
}

static bool
is_known_to_be_fanfare(struct load *l)
{
	return l->streams.is_fanfare;
}

static bool
first_is_live(struct load *l)
{
	return l->streams.live == 1;
}

static bool
is_settled(struct load *l)
{
	return publish_is_over(l) && ledger_owed(l) <= 0;
}

static int
not_open(struct load *l)
{
	const struct streams *ss = &l->streams;

	if (ss->refused_status > 0)
		say("only %zu of %zu streams opened within %g s; the last "
		    "refusal was status %d", ss->live, ss->n, l->o.timeout_s,
		    ss->refused_status);
	else if (ss->refused > 0)
		say("only %zu of %zu streams opened within %g s; connections "
		    "fail (is the server running, has it descriptors?)",
		    ss->live, ss->n, l->o.timeout_s);
	else
		say("only %zu of %zu streams opened within %g s; it answers "
		    "too slowly, or not at all", ss->live, ss->n,
		    l->o.timeout_s);
	return -1;
}

int
scenario_open_first(struct load *l)
{
	if (l->streams.n == 0)
		return 0;
	l->doing = "connecting";
	stream_open(l, &l->streams.all[0], false);
	if (!loop_until(l, first_is_live, l->o.timeout_s))
		return not_open(l);
	(void)loop_until(l, is_known_to_be_fanfare, 0.3);
	return 0;
}

int
scenario_open_rest(struct load *l)
{
	l->doing = "connecting";
	for (size_t i = 0; i < l->streams.n; i++)
		if (l->streams.all[i].state == STREAM_CLOSED)
			stream_open(l, &l->streams.all[i], false);
	return loop_until(l, all_live, l->o.timeout_s) ? 0 : not_open(l);
}

int
scenario_open(struct load *l)
{
	if (scenario_open_first(l) == -1 || scenario_open_rest(l) == -1)
		return -1;
	loop_quiet(l);
	return 0;
}

void
scenario_settle(struct load *l)
{
	double patience_s;

	/* Publishers time out by themselves; who did so has waited already. */
	if (!loop_until(l, publish_is_over, l->o.timeout_s * 2 + 1))
		publish_stop(l);
	patience_s = l->publisher.gave_up ? 1 : l->o.timeout_s;
	if (!loop_until(l, is_settled, patience_s))
		say("%lld deliveries did not come within %g s",
		    (long long)ledger_owed(l), l->o.timeout_s);
}

void
scenario_publish_all(struct load *l, const char *doing, uint64_t events,
    double seconds, double rate, size_t lanes)
{
	l->doing = doing;
	publish_start(l, events, seconds, rate, lanes);
	(void)loop_until(l, publish_is_over, 1e6);	/* it ends by itself */
	scenario_settle(l);
}

size_t
scenario_lanes(const struct load *l, size_t otherwise)
{
	if (l->o.in_flight > 0)
		return (size_t)l->o.in_flight;
	return l->o.rate > 0 ? 64 : otherwise;
}

static int
some_accepted(const struct load *l)
{
	if (l->publisher.requests > 0)
		return 0;
	if (l->publisher.failed[401] + l->publisher.failed[403] > 0)
		say("the server refuses to take events: --key is missing or "
		    "wrong, or may not publish to these topics");
	else
		say("not one event was accepted: does POST /publish?topic= "
		    "work on this server?");
	return -1;
}

int
scenario_warm_up(struct load *l, size_t lanes)
{
	if (l->o.warmup == 0)
		return 0;
	if (l->o.warmup > 0)
		scenario_publish_all(l, "warming up", (uint64_t)l->o.warmup, 0,
		    0, lanes);
	else
		scenario_publish_all(l, "warming up", 0, 0.5, 0, lanes);
	return some_accepted(l);
}

static int
publish_measured(struct load *l, json_t *to, size_t lanes)
{
	struct measure m;

	measure_begin(l, &m);
	scenario_publish_all(l, "measuring", (uint64_t)l->o.events,
	    l->o.events > 0 ? 0 : l->o.seconds, l->o.rate, lanes);
	measure_report(l, &m, to);
	return some_accepted(l);
}

int
scenario_fanout(struct load *l, json_t *to)
{
	l->publisher.until_answer = l->o.until_answer;
	if (scenario_open(l) == -1 ||
	    scenario_warm_up(l, scenario_lanes(l, 1)) == -1)
		return -1;
	return publish_measured(l, to, scenario_lanes(l, 1));
}

int
scenario_publish(struct load *l, json_t *to)
{
	l->publisher.until_answer = true;
	if (scenario_open(l) == -1 ||
	    scenario_warm_up(l, scenario_lanes(l, 1)) == -1)
		return -1;
	return publish_measured(l, to, scenario_lanes(l, 1));
}

int
scenario_fill(struct load *l, json_t *to)
{
	l->publisher.until_answer = true;
	if (l->streams.n > 0 && scenario_open(l) == -1)
		return -1;
	return publish_measured(l, to, scenario_lanes(l, 8));
}

int
scenario_connect(struct load *l, json_t *to)
{
	struct measure m;
	double seconds;

	if (scenario_open_first(l) == -1)
		return -1;
	histogram_clear(&l->streams.connect);
	measure_begin(l, &m);
	if (scenario_open_rest(l) == -1)
		return -1;
	seconds = (double)(clock_ns() - m.began_ns) / 1e9;
	measure_report(l, &m, to);
	report_number(to, "connects_per_s", (double)(l->streams.n - 1) / seconds);
	report_number(to, "cpu_ns_per_connect", (double)(server_cpu_ns(&l->o) -
	    m.server_cpu_ns) / (double)(l->streams.n - 1));
	json_object_set_new(to, "connect_us",
	    histogram_json(&l->streams.connect));
	return 0;
}

/* What the machine and the server hold. */
struct holding {
	int64_t rss_bytes, tcp_bytes, slab_bytes;
};

static struct holding
holding_now(struct load *l)
{
	return (struct holding){ server_rss_bytes(&l->o), kernel_tcp_bytes(),
		kernel_slab_bytes() };
}

static json_t *
holding_json(const struct holding *h)
{
	json_t *j = json_object();

	report_number(j, "rss_bytes", (double)h->rss_bytes);
	report_number(j, "tcp_bytes", (double)h->tcp_bytes);
	report_number(j, "slab_bytes", (double)h->slab_bytes);
	return j;
}

/*
 * Kernel memory is of the whole machine: of both ends of each connection, and of
 * whatever else goes on.
 */
int
scenario_idle(struct load *l, json_t *to)
{
	struct holding before, after;
	struct measure m;
	double others;

	if (l->o.pids_n == 0) {
		say("idle reads the server's memory: name its processes "
		    "with --pids");
		return -1;
	}
	if (scenario_open_first(l) == -1)
		return -1;
	loop_quiet(l);
	others = (double)l->streams.n - 1;
	before = holding_now(l);
	if (scenario_open_rest(l) == -1)
		return -1;
	loop_quiet(l);
	after = holding_now(l);
	l->doing = "idle";
	measure_begin(l, &m);
	loop_for(l, 5);
	measure_report(l, &m, to);
	json_object_set_new(to, "before", holding_json(&before));
	json_object_set_new(to, "after", holding_json(&after));
	report_number(to, "rss_bytes", (double)after.rss_bytes);
	report_number(to, "rss_per_stream",
	    (double)(after.rss_bytes - before.rss_bytes) / others);
	report_number(to, "kernel_per_stream", (double)(after.slab_bytes -
	    before.slab_bytes + after.tcp_bytes - before.tcp_bytes) / others);
	report_number(to, "idle_cpu", (double)(server_cpu_ns(&l->o) -
	    m.server_cpu_ns) / 5e9);
	return 0;
}
