/*
 * http_page.c - what a browser loads: the client (/fanfare.js) and the demo page.
 */
#include "config.h"

#include <string.h>

#include "digest.h"
#include "http_internal.h"
#include "page_text.h"

enum answer
demo_run(struct request *rq)
{
	static const char *const headers[] = {
		"Content-Security-Policy", "default-src 'none'; "
		    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
		    "connect-src 'self'; img-src data:; base-uri 'none'; "
		    "frame-ancestors 'none'",
		NULL
	};
	struct buf b = { 0 };

	buf_adds(&b, page_index);
	return rq_answer(rq, 200, "text/html; charset=utf-8", &b, headers);
}

/* The browser client that was made with this server. */
enum answer
client_run(struct request *rq)
{
	char etag[DIGEST_ETAG_SIZE];
	const char *headers[] = { "ETag", etag, "Cache-Control", "no-cache", NULL };
	struct digest *d = digest_new();
	struct buf b = { 0 };

	if (d == NULL)
		return ANSWER_FAILED;
	digest_add(d, page_fanfare, strlen(page_fanfare));
	if (digest_end_etag(d, etag) == -1)
		return ANSWER_FAILED;
	if (rq_tag_matches(rq, etag))
		return rq_answer(rq, 304, NULL, &b, headers);
	buf_adds(&b, page_fanfare);
	return rq_answer(rq, 200, "text/javascript; charset=utf-8", &b, headers);
}
