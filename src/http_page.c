/*
 * http_page.c - what a browser loads: the client (/fanfare.js) and the demo page.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "digest.h"
#include "http_internal.h"
#include "page_gzip.h"
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

/* The weight that an Accept-Encoding gives to a coding; negative: it does not name it. */
static double
weight(const char *list, const char *coding)
{
	size_t len = strlen(coding);

	for (const char *p = list;; p++) {
		p += strspn(p, " \t");
		if (strncasecmp(p, coding, len) == 0 && strchr(" \t;,", p[len]) != NULL) {
			p += len;
			p += strspn(p, " \t;");
			return strncasecmp(p, "q=", 2) == 0 ? strtod(p + 2, NULL) : 1;
		}
		p += strcspn(p, ",");
		if (*p == '\0')
			return -1;
	}
}

/* RFC 9110, 12.5.3.  Who names no coding might take any, but often reads none. */
static bool
takes_gzip(struct request *rq)
{
	const char *list = rq_header(rq, "Accept-Encoding");
	double gzip;

	if (list == NULL)
		return false;
	if ((gzip = weight(list, "gzip")) < 0)
		gzip = weight(list, "*");
	return gzip > 0 && gzip >= weight(list, "identity");
}

/* The browser client that was made with this server. */
enum answer
client_run(struct request *rq)
{
	bool gzip = takes_gzip(rq);
	const void *text = gzip ? (const void *)page_fanfare_gzip : page_fanfare;
	size_t len = gzip ? sizeof(page_fanfare_gzip) : strlen(page_fanfare);
	char etag[DIGEST_ETAG_SIZE];
	/* Pages of other origins load it. */
	const char *headers[] = { "ETag", etag, "Cache-Control", "no-cache",
		"Cross-Origin-Resource-Policy", "cross-origin",
		"Vary", "Accept-Encoding", NULL, "gzip", NULL };
	struct digest *d = digest_new();
	struct buf b = { 0 };

	if (d == NULL)
		return ANSWER_FAILED;
	digest_add(d, text, len);
	if (digest_end_etag(d, etag) == -1)
		return ANSWER_FAILED;
	if (rq_tag_matches(rq, etag))
		return rq_answer(rq, 304, NULL, &b, headers);
	if (gzip)
		headers[8] = "Content-Encoding";
	buf_add(&b, text, len);
	return rq_answer(rq, 200, "text/javascript; charset=utf-8", &b, headers);
}
