/*
 * http_request.c - the life of a request: libmicrohttpd's calls to our handlers, by route.
 *
 * A handler answers, or has the request wait (rq_suspend, rq_append) and is called again
 * when what it waits for is there.  The query is parsed by us from the raw address: see
 * query.h.
 */
#include "config.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http_internal.h"
#include "metrics.h"

#define DISCARD_TIMES	4	/* server.max_body, of a body not wanted */

static const struct route public_routes[] = {
	{ "/events", METHOD_GET, "GET, OPTIONS", false, NULL, subscribe_run },
	{ "/history", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", true, NULL,
	    history_run },
	{ "/publish", METHOD_POST, "POST, OPTIONS", true, publish_begin, publish_run },
	{ "/healthz", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    health_run },
	{ "/fanfare.js", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    client_run },
	{ "/stats", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false,
	    control_begin, stats_run },
	{ "/streams", METHOD_GET, "GET, OPTIONS", true, control_begin, streams_run },
	{ "/revoke", METHOD_POST, "POST, OPTIONS", true, control_begin, revoke_run },
	{ NULL, 0, NULL, false, NULL, NULL }
};

static const struct route admin_routes[] = {
	{ "/metrics", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    metrics_run },
	{ "/stats", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    stats_run },
	{ "/healthz", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	    health_run },
	{ NULL, 0, NULL, false, NULL, NULL }
};

/* OPTIONS * is about the server. */
static const struct route star_route = {
	"*", 0, "GET, HEAD, POST, OPTIONS", false, NULL, NULL
};

static const struct route demo_route = {
	"/", METHOD_GET | METHOD_HEAD, "GET, HEAD, OPTIONS", false, NULL,
	demo_run
};

/* libmicrohttpd calls it with the request line's target, first of all. */
void *
request_begin(void *cls, const char *uri, struct MHD_Connection *c)
{
	struct listener *l = cls;
	struct request *rq;
	const char *mark;

	if ((rq = calloc(1, sizeof(*rq))) == NULL)
		return NULL;
	if ((rq->link = deadline_link(c)) == NULL) {
		free(rq);
		return NULL;
	}
	rq->judged = rq->link->requests++ == 0;		/* in the lobby */
	rq->http = l->http;
	rq->listener = l;
	rq->conn = c;
	rq->wait.owner = rq;
	rq->handoff.fd = -1;
	if ((rq->target = strdup(uri)) == NULL) {
		free(rq);
		return NULL;
	}
	rq->uri = rq->target;
	/* A proxy may send the absolute form. */
	if (*uri != '/' && (mark = strstr(uri, "://")) != NULL) {
		mark += 3 + strcspn(mark + 3, "/?");
		rq->uri = *mark == '\0' ? "/" : rq->target + (mark - uri);
	}
	rq->path_len = strcspn(rq->uri, "?");
	mark = rq->uri + rq->path_len;
	rq->query = *mark == '?' ? mark + 1 : mark;
	rq->link->unread = rq;
	deadline_begin(rq, PHASE_HEAD);
	metric_add(METRIC_REQUESTS, 1);
	return rq;
}

/* A head that libmicrohttpd would not read, behind another request: it closes the connection
 * or sends a page of its own, and says no more than that. */
static void
tell_unread(struct request *rq)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(rq->conn,
	    MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	metric_add(METRIC_HEADS_REFUSED, 1);
	/* Its headers may be gone. */
	access_name_peer(&rq->http->conf, info != NULL ? info->client_addr : NULL, NULL,
	    0, rq->peer);
	rq->method = "-";
	refusal_log(rq, problem_status(PROBLEM_HEAD_TOO_LARGE),
	    problem_code(PROBLEM_HEAD_TOO_LARGE), "a later request of its connection has "
	    "too many cookies, headers and parameters, or is not understood");
}

void
request_forget(struct link *k)
{
	char c;

	if (k->unread == NULL)
		return;
	/* The peer is still there. */
	if (k->phase != PHASE_GONE && recv(k->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		tell_unread(k->unread);
	free(k->unread->target);
	free(k->unread);
	k->unread = NULL;
}

void
request_end(void *cls, struct MHD_Connection *c, void **req,
    enum MHD_RequestTerminationCode why)
{
	struct request *rq = *req;

	(void)cls, (void)c;
	*req = NULL;
	if (rq == NULL)
		return;
	assert(!rq->waiting);
	if (rq->link->unread == rq && rq->link->phase != PHASE_GONE &&
	    why == MHD_REQUEST_TERMINATED_WITH_ERROR)
		tell_unread(rq);
	rq->link->unread = NULL;
	deadline_begin(rq, PHASE_NONE);
	rq->link->known |= rq->has_id;
	(void)handoff_end(&rq->handoff);
	if (rq->stream != NULL) {		/* never passed on */
		hub_leave(rq->http->conf.hub, &rq->stream->ask.guest);
		stream_free(rq->stream);
	}
	if (rq->append != NULL) {
		free(rq->append->frames);
		free(rq->append);
	}
	page_job_free(rq->job);
	rq->http->page_bytes -= rq->page_bytes;
	control_end(rq);
	if (rq->deferred != NULL)
		MHD_destroy_response(rq->deferred);
	auth_wait_fini(&rq->wait);
	if (rq->has_id)
		auth_identity_fini(&rq->id);
	if (rq->has_q)
		query_fini(&rq->q);
	buf_fini(&rq->body);
	free(rq->target);
	free(rq);
}

static const struct route *
find_route(const struct request *rq)
{
	const struct route *r;

	for (r = rq->listener->admin ? admin_routes : public_routes;
	    r->path != NULL; r++)
		if (strlen(r->path) == rq->path_len &&
		    memcmp(r->path, rq->uri, rq->path_len) == 0)
			return r;
	if (rq->path_len == 1 && rq->uri[0] == '*')
		return &star_route;
	if (!rq->listener->admin && rq->http->conf.demo && rq->path_len == 1 &&
	    rq->uri[0] == '/')
		return &demo_route;
	return NULL;
}

static unsigned int
method_bit(const char *method)
{
	return strcmp(method, "GET") == 0 ? METHOD_GET :
	    strcmp(method, "HEAD") == 0 ? METHOD_HEAD :
	    strcmp(method, "POST") == 0 ? METHOD_POST :
	    strcmp(method, "OPTIONS") == 0 ? METHOD_OPTIONS : 0;
}

/* What is asked for, and how: ANSWER_NOT_YET, or refused. */
static enum answer
read_head(struct request *rq)
{
	const char *why;
	unsigned int bit = method_bit(rq->method);

	if (!origin_host_is_ours(rq))
		return rq_problemf(rq, PROBLEM_NOT_FOUND, "what listens on this machine "
		    "alone is asked for by its address or as localhost");
	if ((rq->route = find_route(rq)) == NULL)
		return rq_problemf(rq, PROBLEM_NOT_FOUND, "there is no %.*s%s here; "
		    "fanfare serves %s", (int)rq_path_shown(rq), rq->uri,
		    rq_path_shown(rq) < rq->path_len ? "..." : "",
		    rq->listener->admin ? "/metrics, /stats, /healthz" :
		    "/events, /history, /publish, /fanfare.js, /healthz, /stats, "
		    "/streams, /revoke");
	if (bit == METHOD_OPTIONS)
		return origin_preflight(rq);
	if (!(rq->route->methods & bit))
		return rq_problemf(rq, PROBLEM_METHOD, "use %s on %s, not %.20s",
		    rq->route->allow, rq->route->path, rq->method);
	if (query_parse(&rq->q, rq->query, strlen(rq->query), &why) == -1)
		return rq_problemf(rq, PROBLEM_MALFORMED, "the query %s", why);
	rq->has_q = true;
	return ANSWER_NOT_YET;
}

/* The head is here: what can be refused without the body. */
static enum answer
begin(struct request *rq)
{
	enum answer a = ANSWER_NOT_YET;

	if (!rq->has_q)
		a = read_head(rq);
	if (a == ANSWER_NOT_YET && rq->route->begin != NULL)
		a = rq->route->begin(rq);
	return a;
}

static uint64_t
declared_length(struct request *rq)
{
	const char *text = rq_header(rq, "Content-Length");
	uint64_t n;

	return text != NULL && text_parse_u64(text, strlen(text), &n) == 0 ? n : 0;
}

enum MHD_Result
request_handle(void *cls, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *body, size_t *body_len, void **req)
{
	struct request *rq = *req;
	struct guard g;
	enum answer a;

	(void)cls, (void)c, (void)url;
	if (rq == NULL)
		return MHD_NO;		/* no memory in request_begin() */
	if (rq->method == NULL) {
		rq->method = method;
		rq->link->unread = NULL;
		/* Where it ends is not certain: nothing behind it is read. */
		if (!judge(rq, version, &g))
			return rq_problem(rq, g.problem, g.detail, NULL, NULL) ==
			    ANSWERED ? MHD_YES : MHD_NO;
	}
	if (!rq->begun) {
		/*
		 * What is refused here is answered when the body has come: answered
		 * before, libmicrohttpd would close the connection with the body
		 * unread, and a proxy would make a 502 of our 401.
		 */
		rq->deferring = true;
		a = begin(rq);
		rq->deferring = false;
		if (a == ANSWER_FAILED)
			return MHD_NO;
		/* Suspended with the head alone, libmicrohttpd repeats this call. */
		if (a == ANSWER_LATER) {
			deadline_begin(rq, PHASE_OURS);
			return MHD_YES;
		}
		rq->begun = true;
		deadline_begin(rq, PHASE_BODY);
		/* A body that would be cut off is not waited for. */
		if (rq->deferred != NULL && declared_length(rq) >
		    DISCARD_TIMES * (uint64_t)rq->http->conf.max_body_bytes)
			return MHD_queue_response(c, rq->deferred_status,
			    rq->deferred);
		return MHD_YES;
	}
	if (*body_len > 0) {
		rq->received += *body_len;
		if (rq->received > rq->http->conf.max_body_bytes) {
			/* It cannot be answered before it ends; an endless one is
			 * cut off. */
			rq->too_large = true;
			buf_fini(&rq->body);
			if (rq->received > DISCARD_TIMES *
			    rq->http->conf.max_body_bytes)
				return MHD_NO;
		} else if (rq->deferred == NULL)
			buf_add(&rq->body, body, *body_len);
		*body_len = 0;
		return MHD_YES;
	}
	deadline_begin(rq, rq->deferred != NULL ? PHASE_ANSWER : PHASE_OURS);
	if (rq->deferred != NULL)
		return MHD_queue_response(c, rq->deferred_status, rq->deferred);
	/* Nobody may begin to wait once the thread is on its way out. */
	if (rq->http->stopping && rq->route->waits && rq->append == NULL &&
	    rq->job == NULL && rq->control == NULL)
		a = rq_problem(rq, PROBLEM_DRAIN, "the server is stopping", NULL, NULL);
	else
		a = rq->route->run(rq);
	if (a == ANSWERED)
		deadline_begin(rq, PHASE_ANSWER);
	return a == ANSWER_FAILED ? MHD_NO : MHD_YES;
}
