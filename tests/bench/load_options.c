/*
 * load_options.c - the command line of the load generator: one table.
 */
#include "config.h"

#include "load.h"

#include <arpa/inet.h>

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, WHOLE, REAL, SWITCH, PIDS, UNTIL };

#define AT(member)	offsetof(struct options, member)
static const struct option_row {
	const char *name;
	enum kind kind;
	size_t at;
	double least, most;
	const char *value, *help;
} table[] = {
	{ "host", TEXT, AT(host), 0, 0, "ADDRESS", "of the server (127.0.0.1)" },
	{ "port", WHOLE, AT(port), 1, 65535, "N", "of the server" },
	{ "pids", PIDS, 0, 0, 0, "PID,...",
	    "its processes: their CPU and memory are read" },
	{ "key", TEXT, AT(key), 0, 0, "KEY", "Bearer of publishers" },
	{ "tokens", TEXT, AT(tokens_file), 0, 0, "FILE",
	    "stream i of N sends line i as Bearer, and line i + N,\n"
	    "i + 2N ... when it connects again; modulo lines" },
	{ "prefix", TEXT, AT(prefix), 0, 0, "TEXT", "of topics (b/)" },
	{ "join", TEXT, AT(join), 0, 0, "TEXT",
	    "several topics in one parameter, with this between" },
	{ "query", TEXT, AT(query), 0, 0, "TEXT",
	    "of each stream's address, behind its topics" },
	{ "patterns", SWITCH, AT(patterns), 0, 0, NULL,
	    "topics are PREFIXg/m, m below --per-stream, and a stream\n"
	    "subscribes to PREFIXg/* or, every other one, PREFIXg/**" },
	{ "streams", WHOLE, AT(streams), 0, 1000000, "N", "subscribers (100)" },
	{ "topics", WHOLE, AT(topics), 1, 10000000, "N",
	    "stream i listens to topic i mod N (1)" },
	{ "per-stream", WHOLE, AT(per_stream), 1, 100, "K",
	    "or to K of them from i * K on (1)" },
	{ "random", SWITCH, AT(random), 0, 0, NULL,
	    "publish to topics at random, not in turn" },
	{ "seed", WHOLE, AT(seed), 0, 1e15, "N", "of --random (1)" },
	{ "size", WHOLE, AT(size), 48, 65536, "BYTES",
	    "of an event's data (100)" },
	{ "events", WHOLE, AT(events), 1, 1e12, "N", "how many to publish" },
	{ "seconds", REAL, AT(seconds), 0.01, 86400, "S",
	    "or for how long (5)" },
	{ "in-flight", WHOLE, AT(in_flight), 1, 4096, "N",
	    "requests under way, each on its connection (1;\n"
	    "64 with --rate; 8 of fill and missed events)" },
	{ "until", UNTIL, 0, 0, 0, "delivery|answer",
	    "when one is done: all streams have it, or it is answered" },
	{ "rate", REAL, AT(rate), 0.001, 1e7, "N",
	    "events a second, whatever the answers" },
	{ "batch", WHOLE, AT(batch), 1, 1000, "N",
	    "events in one request, of fanfare (1)" },
	{ "warmup", WHOLE, AT(warmup), 0, 1e9, "N",
	    "events before measuring (half a second)" },
	{ "timeout", REAL, AT(timeout_s), 0.1, 86400, "S",
	    "what is not delivered then is lost (30)" },
	{ "addresses", WHOLE, AT(addresses), 1, 250, "N",
	    "connect from 127.0.0.1 to 127.0.0.N in turn (4)" },
	{ "connecting", WHOLE, AT(connecting), 1, 100000, "N",
	    "connections being opened at once (64)" },
	{ "missed", WHOLE, AT(missed), 0, 1e7, "N",
	    "of storm: events per topic while away (100)" },
	{ "slow", REAL, AT(slow_percent), 0, 90, "PERCENT",
	    "of slow: streams that do not read (5)" },
};
#define ROWS	(sizeof table / sizeof table[0])

static void __attribute__((noreturn))
help(void)
{
	printf("usage: load SCENARIO --port N [options]\n"
	       "One scenario against one server; its numbers as JSON.\n"
	       "Scenarios: fanout publish connect idle storm slow flood fill\n\n");
	for (size_t i = 0; i < ROWS; i++) {
		char left[64];
		const char *p = table[i].help, *lf;

		snprintf(left, sizeof left, "--%s %s", table[i].name,
		    table[i].value != NULL ? table[i].value : "");
		for (; (lf = strchr(p, '\n')) != NULL; p = lf + 1, left[0] = '\0')
			printf("  %-26s %.*s\n", left, (int)(lf - p), p);
		printf("  %-26s %s\n", left, p);
	}
	exit(0);
}

static void __attribute__((noreturn))
wrong(const char *name, const char *value, const char *wanted)
{
	fprintf(stderr, "load: --%s %s: %s (see load --help)\n", name,
	    value != NULL ? value : "", wanted);
	exit(2);
}

static double
number(const struct option_row *row, const char *value)
{
	char *end, wanted[80];
	double d = strtod(value, &end);

	if (end != value && *end == '\0' && d >= row->least && d <= row->most &&
	    (row->kind == REAL || d == floor(d)))
		return d;
	snprintf(wanted, sizeof wanted, "give a %s from %.12g to %.12g",
	    row->kind == WHOLE ? "whole number" : "number", row->least,
	    row->most);
	wrong(row->name, value, wanted);
}

static void
pids(struct options *o, const char *value)
{
	const char *p = value;

	for (;;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p || pid < 1 || pid > INT32_MAX)
			wrong("pids", value, "give process ids, with commas");
		if (o->pids_n == sizeof o->pids / sizeof o->pids[0])
			wrong("pids", value, "these are too many");
		o->pids[o->pids_n++] = (int)pid;
		if (*end == '\0')
			return;
		p = end + 1;
	}
}

static void
take(struct options *o, const struct option_row *row, const char *value)
{
	char *member = (char *)o + row->at;

	switch (row->kind) {
	case TEXT:
		*(const char **)(void *)member = value;
		break;
	case WHOLE:
		*(long *)(void *)member = (long)number(row, value);
		break;
	case REAL:
		*(double *)(void *)member = number(row, value);
		break;
	case SWITCH:
		*(bool *)member = true;
		break;
	case PIDS:
		pids(o, value);
		break;
	case UNTIL:
		o->until_answer = strcmp(value, "answer") == 0;
		if (!o->until_answer && strcmp(value, "delivery") != 0)
			wrong("until", value, "give delivery or answer");
		break;
	}
}

static void
check(const struct options *o)
{
	struct in_addr in;

	if (o->port == 0)
		wrong("port", NULL, "name the server's port");
	if (inet_pton(AF_INET, o->host, &in) != 1)
		wrong("host", o->host, "give an IPv4 address");
	if (o->per_stream > o->topics)
		wrong("per-stream", NULL, "there are not so many --topics");
	if (o->patterns && o->topics % o->per_stream != 0)
		wrong("patterns", NULL,
		    "--topics has to be a multiple of --per-stream");
	if (o->topics > 0xffffff)
		wrong("topics", NULL, "at most 16,777,215");
}

void
options_parse(struct options *o, int argc, char **argv)
{
	struct option longs[ROWS + 2];
	int i;

	*o = (struct options){ .host = "127.0.0.1", .prefix = "b/", .seed = 1,
		.streams = -1, .topics = 1, .per_stream = 1, .size = 100,
		.batch = 1, .warmup = -1, .timeout_s = 30, .addresses = 4,
		.connecting = 64, .missed = 100, .slow_percent = 5 };
	memset(longs, 0, sizeof longs);
	for (size_t k = 0; k < ROWS; k++)
		longs[k] = (struct option){ .name = table[k].name,
			.has_arg = table[k].kind != SWITCH, .val = (int)k };
	longs[ROWS] = (struct option){ .name = "help", .val = (int)ROWS };
	while ((i = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (i == (int)ROWS)
			help();
		if (i == '?')
			exit(2);
		take(o, &table[i], optarg);
	}
	if (argc - optind != 1) {
		fprintf(stderr, "load: name one scenario (see load --help)\n");
		exit(2);
	}
	o->scenario = argv[optind];
	if (o->streams < 0)
		o->streams = strcmp(o->scenario, "publish") == 0 ||
		    strcmp(o->scenario, "fill") == 0 ? 0 : 100;
	if (o->events == 0 && o->seconds == 0)
		o->seconds = 5;
	check(o);
}

/* All but the key: what somebody needs to do it again. */
json_t *
options_json(const struct options *o)
{
	json_t *all = json_object();

	for (size_t i = 0; i < ROWS; i++) {
		const char *member = (const char *)o + table[i].at;
		const char *text;
		json_t *value = NULL;

		switch (table[i].kind) {
		case TEXT:
			memcpy(&text, member, sizeof text);
			if (text != NULL && strcmp(table[i].name, "key") != 0)
				value = json_string(text);
			break;
		case WHOLE:
			value = json_integer(*(const long *)(const void *)member);
			break;
		case REAL:
			value = json_real(*(const double *)(const void *)member);
			break;
		case SWITCH:
			value = json_boolean(*(const bool *)member);
			break;
		case UNTIL:
			value = json_string(o->until_answer ? "answer" : "delivery");
			break;
		case PIDS:
			break;
		}
		if (value != NULL)
			json_object_set_new(all, table[i].name, value);
	}
	return all;
}
