/*
 * http_admin.c - how it goes: /healthz, /metrics, /stats.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http_internal.h"
#include "log.h"
#include "metrics.h"

enum answer
health_run(struct request *rq)
{
	const char *trouble = NULL;
	struct buf b = { 0 };

	/* Neither of these is mended by a restart, which ?live asks for; a thread that
	 * hangs is by nothing else. */
	if (query_get(&rq->q, "live") == NULL)
		trouble = hub_is_draining(rq->http->conf.hub) ? "draining" :
		    store_trouble(rq->http->conf.store);
	if (trouble == NULL)
		trouble = hub_trouble(rq->http->conf.hub);
	buf_addf(&b, "%s\n", trouble != NULL ? trouble : "ok");
	return rq_answer(rq, trouble != NULL ? 503 : 200, "text/plain", &b, NULL);
}

/* What the store counts, as the table that both forms walk. */
#define STORE_NUMBERS(X)						\
	X(gauge, "log_events", "Events in the log", s.events)		\
	X(gauge, "log_bytes", "Bytes of payload in the log", s.bytes)	\
	X(gauge, "log_segments", "Segments of the log", s.segments)	\
	X(gauge, "log_queued_bytes", "Publishes waiting for a commit",	\
	    s.queued_bytes)						\
	X(gauge, "log_page_bytes", "Pages read and not yet sent", s.page_bytes) \
	X(gauge, "log_wal_pages", "Pages of the write-ahead log", s.wal_pages) \
	X(gauge, "log_topics_in_memory", "Topics kept in memory",	\
	    s.topics_in_memory)						\
	X(counter, "log_commits", "Commits", s.commits)			\
	X(counter, "log_rows", "Events committed", s.rows)		\
	X(counter, "log_duplicates", "Publishes repeated with their key", \
	    s.duplicates)						\
	X(counter, "log_pruned", "Events pruned by retention",		\
	    s.pruned_age + s.pruned_topic + s.pruned_bytes)		\
	X(counter, "log_pruned_age", "Events pruned for their age",	\
	    s.pruned_age)						\
	X(counter, "log_pruned_topic",					\
	    "Events pruned for the number in their topic", s.pruned_topic) \
	X(counter, "log_pruned_bytes", "Events pruned for the bytes of the log", \
	    s.pruned_bytes)						\
	X(gauge, "log_last_prune_seconds",				\
	    "When retention last took an event, since 1970; 0: not yet", \
	    (double)s.last_prune_ms / 1000)					\
	X(gauge, "log_oldest_event_seconds",				\
	    "Time of the oldest event, since 1970; 0: there is none",	\
	    (double)s.oldest_ms / 1000)						\
	X(gauge, "log_oldest_seq", "Oldest seq that may still be there",	\
	    s.oldest_seq)						\
	X(gauge, "log_pruned_seq", "Newest seq that was pruned", s.pruned_seq) \
	X(counter, "log_lines_dropped", "Log lines that nobody took",	\
	    log_dropped())

enum answer
metrics_run(struct request *rq)
{
	struct store_stats s;
	struct buf b = { 0 };

	store_stats(rq->http->conf.store, &s);
	metrics_render(&b);
#define X(type, name, help, value) \
	metrics_render_one(&b, #type, name, help, (double)(value));
	STORE_NUMBERS(X)
#undef X
	auth_render_metrics(rq->http->auth, &b);
	return rq_answer(rq, 200, "text/plain; version=0.0.4", &b, NULL);
}

/* "NAME":"...", or null. */
static void
add_text(struct buf *b, const char *name, const char *text, bool is_there)
{
	buf_addf(b, "\"%s\":%s%s%s,", name, is_there ? "\"" : "",
	    is_there ? text : "null", is_there ? "\"" : "");
}

enum answer
stats_run(struct request *rq)
{
	struct event_id head = store_head(rq->http->conf.store);
	struct store_stats s;
	struct buf b = { 0 };
	char id[EVENT_ID_SIZE], when[TEXT_TIME_SIZE];

	store_stats(rq->http->conf.store, &s);
	(void)event_id_format(id, head);
	buf_addf(&b, "{\"version\":\"%s\",\"head\":\"%s\",", PACKAGE_VERSION, id);
	(void)event_id_format(id, store_id_of(rq->http->conf.store, s.oldest_event));
	add_text(&b, "oldest", id, s.oldest_event > 0);
	text_format_time(when, s.oldest_ms);
	add_text(&b, "oldest_time", when, s.oldest_event > 0);
	text_format_time(when, s.last_prune_ms);
	add_text(&b, "last_prune_time", when, s.last_prune_ms > 0);
	buf_adds(&b, "\"threads\":[");
	for (size_t i = 0; i < hub_shards(rq->http->conf.hub); i++)
		buf_addf(&b, "%s{\"streams\":%zu}", i > 0 ? "," : "",
		    hub_shard_streams(rq->http->conf.hub, i));
	buf_adds(&b, "],");
	metrics_render_json(&b);
#define X(type, name, help, value) \
	buf_addf(&b, ",\"%s\":%" PRIu64, name, (uint64_t)(value));
	STORE_NUMBERS(X)
#undef X
	buf_adds(&b, "}\n");
	return rq_answer(rq, 200, "application/json", &b, NULL);
}
