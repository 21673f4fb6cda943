/*
 * stream_control.c - the control events: their words are an interface (fanfare.*).
 */
#include "config.h"

#include <string.h>

#include "clock.h"
#include "sse.h"
#include "stream_internal.h"

static const char *const gap_names[] = {
	[GAP_NONE] = "", [GAP_EXPIRED] = "expired", [GAP_RESET] = "reset",
	[GAP_UNKNOWN] = "unknown", [GAP_TOO_FAR] = "too_far",
};

static const char *const close_names[] = {
	[CLOSE_EXPIRED] = "expired", [CLOSE_REVOKED] = "revoked",
	[CLOSE_UNAUTHORIZED] = "unauthorized", [CLOSE_FORBIDDEN] = "forbidden",
	[CLOSE_OVERLOAD] = "overload", [CLOSE_DRAIN] = "drain",
};

int64_t
stream_jitter(int64_t ms)
{
	/* Below a second some browsers clamp, and a stampede is near.  The spread stays as
	 * wide: half of them at just one second would be one too. */
	int64_t least = ms / 2 < 1000 ? 1000 : ms / 2;

	return least + (int64_t)clock_random((uint64_t)ms + 1);
}

int64_t
stream_return_ms(int64_t drain_until, int64_t now_ms, int64_t retry_ms)
{
	int64_t spread = retry_ms > 4000 ? retry_ms : 4000;

	return (drain_until > now_ms ? drain_until - now_ms : 0) + 1000 +
	    (int64_t)clock_random((uint64_t)spread + 1);
}

void
stream_add_topics(struct buf *b, const struct topics *t)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < t->n; i++) {
		if (i > 0)
			buf_addc(b, ',');
		buf_add_json(b, t->v[i].p, t->v[i].len);
	}
	buf_addc(b, ']');
}

void
stream_add_gap(struct buf *b, enum gap_reason why, const struct topics *topics,
    const char *requested, struct event_id oldest)
{
	char id[EVENT_ID_SIZE];

	buf_addf(b, "{\"reason\":\"%s\",\"topics\":", gap_names[why]);
	stream_add_topics(b, topics);
	buf_adds(b, ",\"requested\":");
	if (requested[0] != '\0')
		buf_add_json(b, requested, strlen(requested));
	else
		buf_adds(b, "null");
	(void)event_id_format(id, oldest);
	buf_addf(b, ",\"oldest\":\"%s\"}", id);
}

void
stream_add_close(struct buf *b, enum close_reason why, const char *detail,
    const char *topic, int64_t retry_ms)
{
	struct buf data = { 0 };

	buf_addf(&data, "{\"reason\":\"%s\",\"detail\":", close_names[why]);
	buf_add_json(&data, detail, strlen(detail));
	if (topic != NULL) {
		buf_adds(&data, ",\"topic\":");
		buf_add_json(&data, topic, strlen(topic));
	}
	buf_addf(&data, ",\"retry\":%lld}", (long long)retry_ms);
	buf_addf(b, "retry: %lld\n", (long long)retry_ms);
	if (data.failed)
		b->failed = true;
	else
		sse_add_event(b, NULL, "fanfare.close", 13, data.p, data.len);
	buf_fini(&data);
}
