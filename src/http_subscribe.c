/*
 * http_subscribe.c - GET /events: from a request to a stream with a socket.
 *
 * Refusals that a browser can hear: any answer but 200 ends EventSource for good, so
 * load and drain, and with errors=event 401 and 403, are told in a stream of one event.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

#define REFUSED_RETRY_MS	10000	/* jittered: 5 to 15 s */
#define FORBIDDEN_RETRY_MS	40000	/* long: nothing will change by itself */
#define REPLAY_MAX		1000

static const char *const stream_headers[] = {
	"Cache-Control", "no-store, no-transform",
	"X-Accel-Buffering", "no",
	NULL
};

/* 200 and a stream that says why it ends. */
static enum answer
refuse_in_stream(struct request *rq, enum close_reason why, const char *detail,
    const char *topic, int64_t retry_ms)
{
	static const char *const headers[] = {
		"Cache-Control", "no-store, no-transform",
		"X-Accel-Buffering", "no",
		"Connection", "close",
		NULL
	};
	struct buf b = { 0 };

	stream_add_close(&b, why, detail, topic, retry_ms);
	return rq_answer(rq, 200, "text/event-stream", &b, headers);
}

static bool
is_event_source(struct request *rq)
{
	const char *accept = rq_header(rq, "Accept");

	return accept != NULL && strstr(accept, "text/event-stream") != NULL;
}

/* For load or drain. */
enum answer
subscribe_refuse_load(struct request *rq, enum close_reason why, const char *detail)
{
	metric_add(METRIC_STREAMS_REFUSED, 1);
	if (is_event_source(rq)) {
		log_debug("http: refused a stream from %s: %s",
		    access_peer(rq), detail);
		return refuse_in_stream(rq, why, detail, NULL,
		    why == CLOSE_DRAIN ? hub_return_ms(rq->http->conf.hub) :
		    stream_jitter(REFUSED_RETRY_MS));
	}
	return rq_problem(rq, why == CLOSE_DRAIN ? PROBLEM_DRAIN :
	    PROBLEM_OVERLOAD, detail, NULL, NULL);
}

static enum answer
refuse_stream(struct request *rq, enum close_reason why)
{
	return subscribe_refuse_load(rq, why, why == CLOSE_DRAIN ?
	    "the server is restarting" : "there is no room for another stream");
}

/* This address or this token has all it may have. */
static enum answer
refuse_guest(struct request *rq, enum admitted why)
{
	static const char address[] = "this address has as many streams as "
	    "server.max_streams_per_ip allows; close one of them",
	    token[] = "this token's owner has as many streams as "
	    "server.max_streams_per_token allows; close one of them";
	const char *detail = why == ADMITTED_NOT_TOKEN ? token : address;

	metric_add(METRIC_STREAMS_REFUSED, 1);
	metric_add(METRIC_STREAMS_LIMITED, 1);
	if (is_event_source(rq)) {
		refusal_log(rq, 429, problem_code(PROBLEM_TOO_MANY_STREAMS), detail);
		return refuse_in_stream(rq, CLOSE_OVERLOAD, detail, NULL,
		    stream_jitter(REFUSED_RETRY_MS));
	}
	rq->retry_after = REFUSED_RETRY_MS / 1000;
	return rq_problem(rq, PROBLEM_TOO_MANY_STREAMS, detail, NULL, NULL);
}

static enum answer
refuse_admission(struct request *rq, enum admitted why)
{
	if (hub_is_draining(rq->http->conf.hub))
		return refuse_stream(rq, CLOSE_DRAIN);
	if (why == ADMITTED_NOT_ADDRESS || why == ADMITTED_NOT_TOKEN)
		return refuse_guest(rq, why);
	return refuse_stream(rq, CLOSE_OVERLOAD);
}

_Static_assert((int)STREAM_GROUNDS == AUTH_GROUNDS, "one for each");

static enum stream_loss
what_is_lost(const struct request *rq, const struct stream_ask *ask)
{
	const struct auth *a = rq->http->auth;

	if (ask->grounds[0] != 0 && !auth_has_key(a, ask->grounds[0]))
		return LOST_KEY;
	if (rq_is_revoked(rq))
		return LOST_TOKEN;
	for (size_t i = 1; i < STREAM_GROUNDS; i++)
		if (ask->grounds[i] != 0 && !auth_has_rules(a, ask->grounds[i]))
			return LOST_RULES;
	return LOST_NOTHING;
}

/* The head is on the wire. */
static void
take_socket(void *arg, int fd)
{
	struct request *rq = arg;
	struct stream *s = rq->stream;

	rq->stream = NULL;
	rq->http->handed_off = true;
	deadline_begin(rq, PHASE_GONE);
	s->fd = fd;
	/* A head can take its time to leave, and the shards have been told already. */
	if (rq->grounds_told != rq->http->grounds_told)
		s->ask.lost = what_is_lost(rq, &s->ask);
	hub_adopt(rq->http->conf.hub, s);
}

static enum answer
open_stream(struct request *rq, struct stream_ask *ask)
{
	struct MHD_Response *r;
	enum admitted in;
	enum MHD_Result ok;

	access_block(access_peer(rq), ask->guest.address);
	if ((in = hub_admit(rq->http->conf.hub, &ask->guest)) != ADMITTED) {
		topics_unref(ask->topics);
		return refuse_admission(rq, in);
	}
	if ((rq->stream = stream_new(ask)) == NULL) {
		hub_leave(rq->http->conf.hub, &ask->guest);
		return ANSWER_FAILED;
	}
	if (rq->has_id && !rq->id.is_api_key && (rq->stream->who = stream_who_new(
	    rq->id.sub, rq->id.jti, rq->id.issuer)) == NULL)
		return ANSWER_FAILED;		/* request_end() cleans up */
	rq->handoff.arg = rq;
	rq->handoff.take = take_socket;
	if (handoff_begin(&rq->handoff, rq->conn) == -1) {
		if (refusal_may_be_told(rq->http))
			log_warn("http: a descriptor for a stream");
		hub_leave(rq->http->conf.hub, &ask->guest);
		stream_free(rq->stream);
		rq->stream = NULL;
		return refuse_stream(rq, CLOSE_OVERLOAD);
	}
	if ((r = handoff_response(&rq->handoff)) == NULL)
		return ANSWER_FAILED;		/* request_end() cleans up */
	(void)MHD_set_connection_option(rq->conn, MHD_CONNECTION_OPTION_TIMEOUT,
	    HANDOFF_STREAM_TIMEOUT_S);
	(void)MHD_add_response_header(r, "Content-Type", "text/event-stream");
	for (const char *const *h = stream_headers; *h != NULL; h += 2)
		(void)MHD_add_response_header(r, h[0], h[1]);
	(void)rq_add_headers(rq, r);
	ok = MHD_queue_response(rq->conn, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	if (ask->cursor_is_good)
		metric_add(METRIC_STREAMS_RESUMED, 1);
	return ok == MHD_YES ? ANSWERED : ANSWER_FAILED;
}

enum answer
subscribe_run(struct request *rq)
{
	static const char *const formats[] = { "raw", "envelope", NULL };
	static const char *const beats[] = { "", "comment", "event", NULL };
	static const char *const errors[] = { "", "status", "event", NULL };
	struct stream_ask ask = { 0 };
	uint64_t replay = 0, upto;
	int64_t since_ms = 0;
	int format, beat, error_form;
	enum answer a;

	if (!rq_choice(rq, "errors", errors, &error_form, &a) ||
	    !rq_choice(rq, "format", formats, &format, &a) ||
	    !rq_choice(rq, "heartbeat", beats, &beat, &a) ||
	    !rq_number(rq, "replay", REPLAY_MAX, &replay, &a) ||
	    !rq_duration(rq, "since", &since_ms, &a))
		return a;
	if (replay > 0 && since_ms > 0)
		return rq_problemf(rq, PROBLEM_MALFORMED,
		    "give replay or since, not both");
	rq->in_stream = error_form == 2;
	if ((ask.topics = rq_topics(rq, &a)) == NULL)
		return a;
	if (!rq_may_read(rq, ask.topics, &a)) {
		topics_unref(ask.topics);
		return a;
	}
	if (rq->has_id) {
		/* auth.leeway forgives clocks that differ, but no stream outlives exp
		 * and grace: one that would end at once is not begun. */
		if (rq->id.expires_ms != 0 && rq->id.expires_ms <= clock_wall_ms()) {
			topics_unref(ask.topics);
			return rq_problem(rq, PROBLEM_TOKEN_EXPIRED,
			    "the token has expired; get a new one", NULL, NULL);
		}
		ask.expires_ms = rq->id.expires_ms;
		/* A server reads as many topics as it likes by one API key. */
		ask.guest.principal = rq->id.is_api_key ? 0 : rq->id.principal;
	}
	auth_grounds(rq->http->auth, rq->has_id ? &rq->id : NULL, ask.topics,
	    ask.grounds);
	ask.envelope = format == 1;
	ask.visible_heartbeat = beat == 2;
	ask.replay = replay;
	ask.since_ms = since_ms > 0 ? clock_wall_ms() - since_ms : 0;
	if (since_ms > 0 && ask.since_ms < 1)
		ask.since_ms = 1;
	rq_ask_cursor(rq, &ask);
	/* Quiet topics need no look into the log, however far the log has gone. */
	if (ask.cursor_is_good && store_missed_nothing(rq->http->conf.store,
	    ask.topics, ask.cursor, &upto))
		ask.cursor = upto;
	return open_stream(rq, &ask);
}

/* 401 and 403 for those who asked to hear them. */
enum answer
subscribe_refuse(struct request *rq, enum problem p, const char *detail,
    const char *topic)
{
	return refuse_in_stream(rq, problem_status(p) == 401 ?
	    CLOSE_UNAUTHORIZED : CLOSE_FORBIDDEN, detail, topic,
	    stream_jitter(FORBIDDEN_RETRY_MS));
}
