/*
 * http_answer.c - what a request is answered with: headers, a body, or a problem that
 * says what to mend and stands in the log under the same ref.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

#define PATH_SHOWN	120		/* bytes of it in a message */
#define RETRY_AFTER_S	2ull		/* when nobody knows better */

const char *
rq_header(struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

bool
rq_add_headers(struct request *rq, struct MHD_Response *r)
{
	/* Failures mean no memory; the response then goes without. */
	(void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	(void)MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	return origin_add_headers(rq, r);
}

/* What stands on everything but a stream and a publish that went well. */
static void
add_page_headers(struct request *rq, struct MHD_Response *r)
{
	if (MHD_get_response_header(r, "Cache-Control") == NULL)
		(void)MHD_add_response_header(r, "Cache-Control", "no-store");
	/* No other page may so much as have it in its process. */
	if (MHD_get_response_header(r, "Cross-Origin-Resource-Policy") == NULL)
		(void)MHD_add_response_header(r, "Cross-Origin-Resource-Policy",
		    "same-origin");
	if (rq_add_headers(rq, r))
		(void)MHD_add_response_header(r, "Access-Control-Expose-Headers",
		    "ETag, Retry-After, WWW-Authenticate");
}

/* Others wait at the door; however often a stranger asks, he is to queue with them. */
static bool
makes_way(const struct request *rq)
{
	return rq->listener->resting && !rq->has_id && !rq->link->known;
}

enum answer
rq_answer(struct request *rq, unsigned int status, const char *type,
    struct buf *body, const char *const *headers)
{
	struct MHD_Response *r;
	enum MHD_Result ok;

	if (body->failed) {
		buf_fini(body);
		return ANSWER_FAILED;
	}
	if (body->len == 0) {
		buf_fini(body);
		r = MHD_create_response_from_buffer(0, NULL,
		    MHD_RESPMEM_PERSISTENT);
	} else
		r = MHD_create_response_from_buffer(body->len, body->p,
		    MHD_RESPMEM_MUST_FREE);
	if (r == NULL) {
		buf_fini(body);
		return ANSWER_FAILED;
	}
	rq->answer_len = body->len;
	*body = (struct buf){ 0 };
	if (type != NULL)
		(void)MHD_add_response_header(r, "Content-Type", type);
	for (; headers != NULL && headers[0] != NULL; headers += 2)
		(void)MHD_add_response_header(r, headers[0], headers[1]);
	/* Each header costs a publish, and an EventSource cannot read any. */
	if (status == 200 && rq->append != NULL) {
		(void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
		(void)origin_add_headers(rq, r);
	} else if (type != NULL && strcmp(type, "text/event-stream") == 0)
		(void)rq_add_headers(rq, r);
	else
		add_page_headers(rq, r);
	if (rq->http->leaving || rq->last || makes_way(rq))
		(void)MHD_add_response_header(r, "Connection", "close");
	if (rq->deferring) {
		rq->deferred = r;
		rq->deferred_status = status;
		return ANSWERED;
	}
	ok = MHD_queue_response(rq->conn, status, r);
	MHD_destroy_response(r);
	return ok == MHD_YES ? ANSWERED : ANSWER_FAILED;
}

/* How much of the path may be told: not all of a long one, and nothing from where a
 * credential seems to begin, put there by mistake. */
size_t
rq_path_shown(const struct request *rq)
{
	static const char *const marks[] = { "ffk_", "eyJ", "token" };
	size_t len = rq->path_len < PATH_SHOWN ? rq->path_len : PATH_SHOWN;
	const char *at;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if ((at = memmem(rq->uri, len, marks[i], strlen(marks[i]))) != NULL)
			len = (size_t)(at - rq->uri);
	return len;
}

/* Drawn for a problem only: random bytes are a system call. */
static void
draw_ref(struct request *rq)
{
	(void)snprintf(rq->ref, sizeof(rq->ref), "%08x",
	    (unsigned int)clock_random(UINT32_MAX));
}

enum answer
rq_problem(struct request *rq, enum problem p, const char *detail,
    const char *why, const char *topic)
{
	static const char challenge[] = "Bearer realm=\"fanfare\"";
	static const char challenge_invalid[] =
	    "Bearer realm=\"fanfare\", error=\"invalid_token\"";
	static const char challenge_scope[] =
	    "Bearer realm=\"fanfare\", error=\"insufficient_scope\"";
	const char *headers[7] = { NULL };
	char after[24];
	struct buf b = { 0 }, said = { 0 };
	unsigned int status = problem_status(p);
	enum answer a;
	size_t n = 0;

	draw_ref(rq);
	refusal_log(rq, status, problem_code(p), why != NULL ? why :
	    detail != NULL ? detail : "");
	if (status == 401 || status == 403) {
		metric_add(METRIC_AUTH_REFUSED, 1);
		headers[n++] = "WWW-Authenticate";
		headers[n++] = p == PROBLEM_TOKEN_MISSING ? challenge :
		    status == 403 ? challenge_scope : challenge_invalid;
	} else if (status == 405) {
		headers[n++] = "Allow";
		headers[n++] = rq->route->allow;
	} else if (status == 503 || status == 429) {
		(void)snprintf(after, sizeof(after), "%llu", rq->retry_after > 0 ?
		    (unsigned long long)rq->retry_after : RETRY_AFTER_S);
		headers[n++] = "Retry-After";
		headers[n++] = after;
	}
	if (why != NULL && rq->http->conf.dev) {
		buf_adds(&said, detail);
		buf_adds(&said, ": ");
		buf_adds(&said, why);
		buf_addc(&said, '\0');
		if (!said.failed)
			detail = said.p;
	}
	if (rq->in_stream && (status == 401 || status == 403)) {
		a = subscribe_refuse(rq, p, detail != NULL ? detail : "", topic);
		buf_fini(&said);
		return a;
	}
	problem_render(&b, p, detail, rq->ref, topic);
	buf_fini(&said);
	a = rq_answer(rq, status, "application/problem+json", &b, headers);
	return a;
}

enum answer
rq_problemf(struct request *rq, enum problem p, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	return rq_problem(rq, p, detail, NULL, NULL);
}
