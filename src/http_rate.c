/*
 * http_rate.c - how fast each key and token may publish.
 *
 * Two buckets where two limits hold: one of the principal for server.publish_rate, and
 * one for the `rate` of the token's grants when that is lower.  So a token that is
 * slower than others of its subject is held to its own rate, and all of them together to
 * the server's.  Tokens with a rate have a table of their own: however many of them owe
 * for however long, who has none is not put out by them.
 *
 * An event costs one, repeated or new: it is the server's work that is limited.
 */
#include "config.h"

#include <stdlib.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

#define PRINCIPALS_MAX	65536		/* in each table */
#define BURST_MIN	10
#define BURST_MAX	1000000
#define BODY_LARGE	(32u * 1024)	/* takes its time to be taken apart */
#define SECOND_US	INT64_C(1000000)

enum { BY_SERVER, BY_TOKEN, TABLES };

struct rates {
	double		 rate;		/* server.publish_rate; 0: no limit */
	uint64_t	 burst;		/* server.publish_burst; 0: by the rate */
	struct limit	*tables[TABLES];
};

struct rates *
rates_new(const struct http_conf *c)
{
	struct rates *rs;

	if ((rs = calloc(1, sizeof(*rs))) == NULL)
		goto fail;
	rs->rate = (double)c->publish_rate;
	rs->burst = c->publish_burst;
	for (int i = 0; i < TABLES; i++)
		if ((rs->tables[i] = limit_new(PRINCIPALS_MAX)) == NULL)
			goto fail;
	return rs;

fail:
	log_warn("http: rates");
	rates_free(rs);
	return NULL;
}

void
rates_free(struct rates *rs)
{
	if (rs == NULL)
		return;
	for (int i = 0; i < TABLES; i++)
		limit_free(rs->tables[i]);
	free(rs);
}

/* What holds for this one in that table: its rate, or 0 for no limit. */
static double
rate_of(const struct request *rq, int table)
{
	double server = rq->http->rates->rate, own = rq->id.rate;

	if (table == BY_SERVER)
		return server;
	return server > 0 && own >= server ? 0 : own;
}

static struct limit_rule
rule_of(const struct request *rq, double rate)
{
	uint64_t burst = rq->http->rates->burst;

	if (burst == 0)
		burst = rate * 2 < BURST_MIN ? BURST_MIN :
		    rate * 2 > BURST_MAX ? BURST_MAX : (uint64_t)(rate * 2);
	return limit_rule(rate, burst);
}

static void
refuse(struct request *rq, int table, const struct limit_rule *rule, size_t n,
    int64_t wait_us, enum answer *a)
{
	const char *whose = table == BY_SERVER ?
	    "each key and each subject of tokens (server.publish_rate)" :
	    "this token (rate in its grants)";
	double rate = rate_of(rq, table);

	metric_add(METRIC_PUBLISHES_LIMITED, 1);
	if (wait_us < 0) {
		*a = rq_problemf(rq, PROBLEM_TOO_LARGE, "these are %zu events; %s may "
		    "publish %llu at once (server.publish_burst), and %.9g a second; "
		    "nothing was stored, send smaller batches", n, whose,
		    (unsigned long long)rule->burst, rate);
		return;
	}
	/* Up to the whole second: who waits for so long is not too early. */
	rq->retry_after = (uint64_t)((wait_us + SECOND_US - 1) / SECOND_US);
	*a = rq_problemf(rq, PROBLEM_RATE_LIMITED, "the limit is %.9g events a second "
	    "for %s, %llu at once; nothing was stored, try again in %llu s", rate, whose,
	    (unsigned long long)rule->burst, (unsigned long long)rq->retry_after);
}

static int64_t
ask(const struct request *rq, int table, const struct limit_rule *rule, uint64_t n,
    int64_t now_us)
{
	return limit_ask(rq->http->rates->tables[table], rq->id.principal, rule, n,
	    now_us);
}

bool
rate_is_worth_reading(struct request *rq, enum answer *a)
{
	int64_t now = clock_mono_us();
	struct limit_rule rule;

	for (int i = 0; i < TABLES && rq->body.len > BODY_LARGE; i++) {
		if (rate_of(rq, i) <= 0)
			continue;
		rule = rule_of(rq, rate_of(rq, i));
		if (ask(rq, i, &rule, 1, now) == 0)
			continue;
		/* Nobody knows how many it holds: until the most may come at once. */
		refuse(rq, i, &rule, 1, ask(rq, i, &rule, rule.burst, now), a);
		return false;
	}
	return true;
}

bool
rate_take(struct request *rq, size_t n, enum answer *a)
{
	struct limit_rule rules[TABLES];
	int64_t now = clock_mono_us(), wait, longest = 0;
	int slowest = -1;

	for (int i = 0; i < TABLES; i++) {
		if (rate_of(rq, i) <= 0)
			continue;
		rules[i] = rule_of(rq, rate_of(rq, i));
		wait = ask(rq, i, &rules[i], n, now);
		if (wait != 0 && longest >= 0 && (wait < 0 || wait > longest)) {
			longest = wait;
			slowest = i;
		}
	}
	if (slowest != -1) {
		refuse(rq, slowest, &rules[slowest], n, longest, a);
		return false;
	}
	for (int i = 0; i < TABLES; i++)
		if (rate_of(rq, i) > 0 && limit_take(rq->http->rates->tables[i],
		    rq->id.principal, &rules[i], n, now) == -1) {
			*a = ANSWER_FAILED;
			return false;
		}
	return true;
}

void
rate_give_back(struct request *rq, size_t n)
{
	struct limit_rule rule;

	for (int i = 0; i < TABLES; i++) {
		if (rate_of(rq, i) <= 0)
			continue;
		rule = rule_of(rq, rate_of(rq, i));
		limit_give(rq->http->rates->tables[i], rq->id.principal, &rule, n);
	}
}
