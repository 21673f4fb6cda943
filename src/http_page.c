/*
 * http_page.c - what a browser loads: the client (/fanfare.js) and the demo page.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "http_internal.h"
#include "page_text.h"

/* A word of a Content-Security-Policy that allows what stands between two tags of the
 * page, and nothing else. */
static int
allow_inline(const char *open, const char *close, char out[DIGEST_CSP_SIZE])
{
	const char *p = strstr(page_index, open), *end;

	if (p == NULL || (end = strstr(p, close)) == NULL)
		return -1;
	p += strlen(open);
	return digest_csp(p, (size_t)(end - p), out);
}

enum answer
demo_run(struct request *rq)
{
	char script[DIGEST_CSP_SIZE], style[DIGEST_CSP_SIZE], policy[512];
	const char *headers[] = { "Content-Security-Policy", policy,
		"X-Frame-Options", "DENY", NULL };
	struct buf b = { 0 };

	if (allow_inline("<script>", "</script>", script) == -1 ||
	    allow_inline("<style>", "</style>", style) == -1)
		return ANSWER_FAILED;
	(void)snprintf(policy, sizeof(policy), "default-src 'none'; script-src %s; "
	    "style-src %s; connect-src 'self'; img-src data:; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'", script, style);
	buf_adds(&b, page_index);
	return rq_answer(rq, 200, "text/html; charset=utf-8", &b, headers);
}

/* The browser client that was made with this server. */
enum answer
client_run(struct request *rq)
{
	char etag[DIGEST_ETAG_SIZE];
	/* Pages of other origins load it. */
	const char *headers[] = { "ETag", etag, "Cache-Control", "no-cache",
		"Cross-Origin-Resource-Policy", "cross-origin", NULL };
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
