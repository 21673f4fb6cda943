/*
 * load_report.c - numbers as JSON: what is counted the same way in every scenario.
 */
#include "config.h"

#include "load.h"

#include <math.h>
#include <stdio.h>

/* Six digits: more would only look precise. */
void
report_number(json_t *to, const char *name, double value)
{
	double unit;

	if (!isfinite(value))
		value = 0;
	if (value == floor(value) && fabs(value) < 1e15) {
		json_object_set_new(to, name, json_integer((json_int_t)value));
		return;
	}
	unit = pow(10, floor(log10(fabs(value))) - 5);
	json_object_set_new(to, name, json_real(round(value / unit) * unit));
}

static void
report_count(json_t *to, const char *name, uint64_t value)
{
	json_object_set_new(to, name, json_integer((json_int_t)value));
}

void
measure_begin(struct load *l, struct measure *m)
{
	publish_clear(l);
	histogram_clear(&l->latency);
	l->deliveries = 0;
	m->bytes = l->ledger.bytes;
	m->server_cpu_ns = server_cpu_ns(&l->o);
	m->own_cpu_ns = own_cpu_ns();
	m->began_ns = clock_ns();
}

/* The time spent waiting for what is lost does not count. */
static int64_t
ended_ns(const struct load *l)
{
	return ledger_owed(l) > 0 && l->deliveries > 0 ? l->last_ns : clock_ns();
}

void
measure_report(struct load *l, const struct measure *m, json_t *to)
{
	double seconds = (double)(ended_ns(l) - m->began_ns) / 1e9;
	double own_s = (double)(own_cpu_ns() - m->own_cpu_ns) / 1e9;
	double server_ns = (double)(server_cpu_ns(&l->o) - m->server_cpu_ns);
	const struct publisher *pub = &l->publisher;

	report_number(to, "seconds", seconds);
	report_number(to, "server_cpu_s", server_ns / 1e9);
	report_number(to, "client_cpu", own_s / seconds);
	report_count(to, "publishes", pub->requests);
	report_number(to, "publishes_per_s", (double)pub->requests / seconds);
	report_number(to, "events_per_s", (double)pub->events / seconds);
	report_count(to, "deliveries", l->deliveries);
	report_number(to, "deliveries_per_s", (double)l->deliveries / seconds);
	report_number(to, "cpu_ns_per_delivery",
	    server_ns / (double)l->deliveries);
	report_number(to, "cpu_ns_per_publish",
	    server_ns / (double)pub->requests);
	report_number(to, "cpu_ns_per_event", server_ns / (double)pub->events);
	report_number(to, "client_ns_per_delivery",
	    own_s * 1e9 / (double)l->deliveries);
	json_object_set_new(to, "latency_us", histogram_json(&l->latency));
	json_object_set_new(to, "answer_us", histogram_json(&pub->answer));
}

static json_t *
failed_publishes(const struct publisher *pub)
{
	json_t *j = json_object();

	for (int i = 0; i < STATUSES; i++) {
		char name[16];

		if (pub->failed[i] == 0)
			continue;
		snprintf(name, sizeof name, "%d", i);
		report_count(j, i == 0 ? "none" : name, pub->failed[i]);
	}
	return j;
}

void
report_counts(struct load *l, json_t *to)
{
	const struct ledger *g = &l->ledger;

	json_object_set_new(to, "scenario", json_string(l->o.scenario));
	report_count(to, "streams", l->streams.n);
	report_count(to, "topics", (uint64_t)l->o.topics);
	report_count(to, "events", g->events);
	report_count(to, "expected", g->expected);
	report_count(to, "received", g->received);
	report_count(to, "lost", ledger_lost(l));
	report_count(to, "repeated", g->repeated);
	report_count(to, "corrupt", g->corrupt);
	report_count(to, "late", g->late);
	report_count(to, "gaps", g->gaps);
	report_count(to, "closed", g->closed);
	report_count(to, "refused", l->streams.refused);
	report_count(to, "bytes", g->bytes);
	json_object_set_new(to, "failed_publishes",
	    failed_publishes(&l->publisher));
	report_count(to, "server_rss_bytes", (uint64_t)server_rss_bytes(&l->o));
	json_object_set_new(to, "options", options_json(&l->o));
}
