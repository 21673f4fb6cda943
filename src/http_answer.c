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

const char *
rq_header(struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

void
rq_add_headers(struct request *rq, struct MHD_Response *r)
{
	/* Failures mean no memory; the response then goes without. */
	(void)MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	(void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	access_cors(rq, r);
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
	/* What only matters to a browser that reads; each header costs a publish. */
	if (status == 200 && rq->append != NULL)
		access_cors(rq, r);
	else {
		if (MHD_get_response_header(r, "Cache-Control") == NULL)
			(void)MHD_add_response_header(r, "Cache-Control",
			    "no-store");
		rq_add_headers(rq, r);
	}
	if (rq->http->leaving || rq->last)
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
	struct buf b = { 0 }, said = { 0 };
	unsigned int status = problem_status(p);
	enum answer a;
	size_t n = 0;

	draw_ref(rq);
	log_info("http: %u %s ref=%s %s %.*s from %s%s%s", status,
	    problem_code(p), rq->ref, rq->method, (int)rq->path_len, rq->uri,
	    access_peer(rq), why != NULL || detail != NULL ? ": " : "",
	    why != NULL ? why : detail != NULL ? detail : "");
	if (status == 401 || status == 403) {
		metric_add(METRIC_AUTH_REFUSED, 1);
		headers[n++] = "WWW-Authenticate";
		headers[n++] = p == PROBLEM_TOKEN_MISSING ? challenge :
		    status == 403 ? challenge_scope : challenge_invalid;
	} else if (status == 405) {
		headers[n++] = "Allow";
		headers[n++] = rq->route->allow;
	} else if (status == 503 || status == 429) {
		headers[n++] = "Retry-After";
		headers[n++] = "2";
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
