/*
 * http_judge.c - a head that libmicrohttpd has read by itself: the second request on a
 * connection, and those behind it.
 *
 * The rules are http_guard.c's; but what libmicrohttpd leaves of a head is less than what
 * came.  A value that was cut at a NUL, a header that went on in the next line, and lines
 * that ended in LF alone look like any other.  They do show in the size of the head,
 * unless every header is written as all clients and proxies write it, "Name: value".
 * Whatever has another size is answered, and then the connection is closed: no bytes
 * behind it are taken for a request of somebody else's.  The same goes for chunked
 * bodies, where libmicrohttpd takes more than RFC 9112, 7.1 allows.
 */
#include "config.h"

#include <string.h>

#include "http_internal.h"
#include "metrics.h"

struct cut {
	struct guard	*g;
	size_t		 size;		/* of the head, written as usual */
	bool		 refused;
};

static enum MHD_Result
each_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct cut *cut = cls;

	(void)kind;
	cut->size += name_len + value_len + strlen(": \r\n");
	cut->refused = !guard_field(cut->g, name, name_len, value != NULL ? value : "",
	    value_len);
	return cut->refused ? MHD_NO : MHD_YES;
}

static bool
has_usual_size(struct request *rq, size_t size)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(rq->conn,
	    MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info != NULL && info->header_size == size;
}

bool
judge(struct request *rq, const char *version, struct guard *g)
{
	struct cut cut = { .g = g };

	if (rq->judged) {
		rq->last = rq_header(rq, "Transfer-Encoding") != NULL;
		return true;
	}
	rq->judged = true;
	cut.size = strlen(rq->method) + strlen(rq->target) + strlen(version) +
	    strlen("  \r\n\r\n");
	if (guard_begin(g, rq->method, strlen(rq->method), rq->target,
	    strlen(rq->target), version, strlen(version))) {
		(void)MHD_get_connection_values_n(rq->conn, MHD_HEADER_KIND, each_field,
		    &cut);
		if (!cut.refused && guard_end(g)) {
			rq->last = g->chunked || !has_usual_size(rq, cut.size);
			return true;
		}
	}
	rq->last = true;
	metric_add(METRIC_HEADS_REFUSED, 1);
	return false;
}
