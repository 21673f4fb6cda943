/*
 * load.c - the load generator: one scenario against one running server.
 *
 * It measures, so it has to be cheap and honest: it counts every event that was lost,
 * repeated or damaged, and says how much CPU it took itself.  load.h draws its parts.
 */
#include "config.h"

#include "load.h"

#include <sys/resource.h>

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS	32

static const struct scenario {
	const char *name;
	int (*run)(struct load *, json_t *);
} scenarios[] = {
	{ "fanout", scenario_fanout }, { "publish", scenario_publish },
	{ "connect", scenario_connect }, { "idle", scenario_idle },
	{ "storm", scenario_storm }, { "slow", scenario_slow },
	{ "flood", scenario_flood }, { "fill", scenario_fill },
};

void
say(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "load: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
}

static const struct scenario *
scenario_named(const char *name)
{
	for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	fprintf(stderr, "load: there is no scenario %s (see load --help)\n", name);
	exit(2);
}

static int
take_descriptors(const struct load *l)
{
	struct rlimit rl;
	rlim_t wanted = (rlim_t)l->streams.n + l->publisher.n + SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return -1;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_max >= wanted)
		return 0;
	say("%zu streams take %llu descriptors; ulimit -H -n says %llu",
	    l->streams.n, (unsigned long long)wanted,
	    (unsigned long long)rl.rlim_max);
	return -1;
}

static int
init(struct load *l)
{
	if (publish_init(l) == -1 || streams_init(l) == -1 ||
	    ledger_init(l) == -1 || recall_init(l) == -1 ||
	    loop_init(l) == -1) {
		say("it could not start: no memory, descriptors or tokens");
		return -1;
	}
	return take_descriptors(l);
}

int
main(int argc, char **argv)
{
	static struct load l;	/* of hundreds of kilobytes */
	const struct scenario *sc;
	json_t *to;
	int status;

	options_parse(&l.o, argc, argv);
	sc = scenario_named(l.o.scenario);
	signal(SIGPIPE, SIG_IGN);
	l.run = ((uint32_t)getpid() * 2654435761u >> 16) ^
	    ((uint32_t)clock_ns() & 0xffff);
	l.doing = "starting";
	to = json_object();
	if (init(&l) == -1)
		return 1;
	status = sc->run(&l, to);
	if (status == 0) {
		report_counts(&l, to);
		json_dumpf(to, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
		printf("\n");
	}
	streams_fini(&l);
	publish_fini(&l);
	recall_fini(&l);
	ledger_fini(&l);
	loop_fini(&l);
	json_decref(to);
	return status == 0 ? 0 : 1;
}
