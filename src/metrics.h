/*
 * metrics.h - what the server counts: one table of names, types and help.
 *
 * Any thread may add.  Counters that only ever rise end in _total when shown; gauges go
 * both ways.  /metrics and /stats walk this table.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdint.h>

#include "text.h"

#define METRICS(X)							\
	X(STREAMS, gauge, "streams", "Open event streams")		\
	X(STREAMS_OPENED, counter, "streams_opened",			\
	    "Streams that were ever opened")				\
	X(STREAMS_RESUMED, counter, "streams_resumed",			\
	    "Streams that brought a good cursor")			\
	X(STREAMS_REFUSED, counter, "streams_refused",			\
	    "Streams refused for load or drain")			\
	X(STREAMS_LIMITED, counter, "streams_limited",			\
	    "Streams refused for those their address or token has already") \
	X(STREAMS_OVERRUN, counter, "streams_overrun",			\
	    "Times a slow stream lost its queue and went back to the log") \
	X(STREAMS_STALLED, counter, "streams_stalled",			\
	    "Streams ended because they took no byte for too long")	\
	X(STREAMS_EXPIRED, counter, "streams_expired",			\
	    "Streams ended with their credential")			\
	X(GAPS, counter, "gaps", "Gaps announced to streams")		\
	X(DELIVERIES, counter, "deliveries",				\
	    "Events handed to streams' sockets")			\
	X(SENT_BYTES, counter, "sent_bytes", "Bytes written to streams")	\
	X(WRITES, counter, "writes", "System calls that wrote to streams")	\
	X(TAIL_PAGES, counter, "tail_pages",				\
	    "Pages of history served from memory")			\
	X(LOG_PAGES, counter, "log_pages",				\
	    "Pages of history read from the log")			\
	X(NEWS_SKIPPED, counter, "news_skipped",			\
	    "Times a busy stream thread was sent to the log instead of being posted to") \
	X(PUBLISHES, counter, "publishes", "Publish requests answered 200")	\
	X(PUBLISHES_REFUSED, counter, "publishes_refused",		\
	    "Publish requests answered otherwise")			\
	X(PUBLISHES_LIMITED, counter, "publishes_limited",		\
	    "Publish requests refused for the rate of their key or token") \
	X(HISTORIES, counter, "histories", "History requests answered")	\
	X(AUTH_REFUSED, counter, "auth_refused",			\
	    "Requests refused for their credential or topic")		\
	X(REFUSALS_UNLOGGED, counter, "refusals_unlogged",		\
	    "Refusals without a line in the log, as there were too many") \
	X(REVOCATIONS, counter, "revocations", "Revocations of tokens")	\
	X(REVOKED_STREAMS, counter, "streams_revoked",			\
	    "Streams ended because their token or its key was revoked")	\
	X(REVOKED_REFUSED, counter, "auth_revoked",			\
	    "Requests refused because their token was revoked")		\
	X(AUTH_CHECKS, counter, "auth_checks",				\
	    "RS* and ES* tokens judged by threads of their own")	\
	X(AUTH_WAITING, gauge, "auth_waiting",				\
	    "RS* and ES* tokens waiting to be judged")			\
	X(AUTH_BUSY, counter, "auth_busy",				\
	    "Requests refused because too many tokens waited to be judged") \
	X(HEADS_WAITING, gauge, "heads_waiting",			\
	    "Connections whose first request has not come whole")	\
	X(HEADS_REFUSED, counter, "heads_refused",			\
	    "Requests refused because they break the rules of HTTP")	\
	X(CONNECTIONS_CUT, counter, "connections_cut",			\
	    "Connections ended because a request or reading its answer took too long") \
	X(REQUESTS, counter, "requests", "HTTP requests")

enum metric {
#define X(id, type, name, help) METRIC_##id,
	METRICS(X)
#undef X
	METRIC_COUNT
};

void	metric_add(enum metric m, int64_t n);
int64_t	metric_get(enum metric m);

/* One number in Prometheus text, with its HELP and TYPE lines. */
void	metrics_render_one(struct buf *b, const char *type, const char *name,
	    const char *help, double value);
void	metrics_render(struct buf *b);		/* Prometheus text */
/* "name":value, for a JSON object; no braces. */
void	metrics_render_json(struct buf *b);

#endif
