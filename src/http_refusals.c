/*
 * http_refusals.c - the line that each refusal has in the log, and no more of them than a
 * disk can take: a thousand at once, then twenty a second.  What is left out is counted,
 * and a line a second says how many.
 */
#include "config.h"

#include <inttypes.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

#define LINES_AT_ONCE	1000
#define LINES_A_SECOND	20
#define TELL_US		INT64_C(1000000)

bool
refusal_may_be_told(struct http *h)
{
	struct limit_rule rule = limit_rule(LINES_A_SECOND, LINES_AT_ONCE);
	struct refusals *rs = &h->refusals;
	int64_t now = clock_mono_us();

	if (limit_wait(&rs->lines, &rule, 1, now) == 0) {
		limit_spend(&rs->lines, &rule, 1, now);
		return true;
	}
	metric_add(METRIC_REFUSALS_UNLOGGED, 1);
	if (rs->unsaid++ == 0)
		rs->tell_us = now + TELL_US;
	return false;
}

void
refusal_log(struct request *rq, unsigned int status, const char *code, const char *text)
{
	size_t shown = rq_path_shown(rq);

	if (!log_enabled(LOG_INFO) || !refusal_may_be_told(rq->http))
		return;
	log_info("http: %u %s%s%s %.*s %.*s%s from %s%s%s", status, code,
	    rq->ref[0] != '\0' ? " ref=" : "", rq->ref, METHOD_SHOWN, rq->method,
	    (int)shown, rq->uri, shown < rq->path_len ? "..." : "", access_peer(rq),
	    text[0] != '\0' ? ": " : "", text);
}

void
refusals_tell(struct http *h, bool now)
{
	struct refusals *rs = &h->refusals;

	if (rs->unsaid == 0 || (!now && clock_mono_us() < rs->tell_us))
		return;
	log_warnx("http: %" PRIu64 " more refusals were not written", rs->unsaid);
	rs->unsaid = 0;
}
