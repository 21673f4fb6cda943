/*
 * http_origin.c - from which page: CORS, preflights, and whose cookies count.
 *
 * A browser lets a page read what another origin answers only where the answer names
 * that page's origin, and sends cookies along even where it does not.  So the answer
 * names an origin that is configured, to the last byte, and a cookie counts only with a
 * page of such an origin or of our own.  An origin given twice is nobody's.  And what
 * listens for this machine alone is not reached by a name that somebody made up.
 */
#include "config.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"

/* `pattern` is exact, or has one * inside the leftmost host label (which stands for
 * letters, digits and dashes), or, for --dev, ends in :* for any port. */
static bool
origin_matches(const char *pattern, const char *origin)
{
	const char *star = strchr(pattern, '*'), *rest;
	size_t head, tail, len = strlen(origin);

	if (star == NULL)
		return strcmp(pattern, origin) == 0;
	head = (size_t)(star - pattern);
	rest = star + 1;
	tail = strlen(rest);
	if (len <= head + tail || memcmp(pattern, origin, head) != 0 ||
	    strcmp(origin + len - tail, rest) != 0)
		return false;
	for (size_t i = head; i < len - tail; i++) {
		if (head > 0 && pattern[head - 1] == ':' && *rest == '\0') {
			if (!isdigit((unsigned char)origin[i]))
				return false;
		} else if (!isalnum((unsigned char)origin[i]) && origin[i] != '-')
			return false;
	}
	return true;
}

bool
access_origin_allowed(const struct http_conf *c, const char *origin)
{
	for (const char *const *p = c->cors_origins; *p != NULL; p++)
		if (strcmp(*p, "*") == 0 || origin_matches(*p, origin))
			return true;
	return false;
}

static bool
any_origin(const struct http_conf *c)
{
	for (const char *const *p = c->cors_origins; *p != NULL; p++)
		if (strcmp(*p, "*") == 0)
			return true;
	return false;
}

struct one_header {
	const char	*name, *value;
	unsigned int	 n;
};

static enum MHD_Result
count_value(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct one_header *h = cls;

	(void)kind;
	if (strcasecmp(key, h->name) == 0) {
		h->value = value != NULL ? value : "";
		h->n++;
	}
	return MHD_YES;
}

/* What the browser says of itself.  NULL: nothing; "": twice, which none does. */
static const char *
said_once(struct request *rq, const char *name)
{
	struct one_header h = { .name = name };

	if (rq_header(rq, name) == NULL)
		return NULL;
	(void)MHD_get_connection_values(rq->conn, MHD_HEADER_KIND, count_value, &h);
	return h.n == 1 ? h.value : "";
}

/* The origin asking, if the configuration names it or "*"; else NULL. */
static const char *
allowed_origin(struct request *rq)
{
	const struct http_conf *c = &rq->http->conf;
	const char *origin;

	if (c->cors_origins[0] == NULL || rq->listener->admin)
		return NULL;
	/* Anybody's: then without credentials, as browsers demand. */
	if (any_origin(c))
		return "*";
	origin = said_once(rq, "Origin");
	return origin != NULL && access_origin_allowed(c, origin) ? origin : NULL;
}

bool
origin_add_headers(struct request *rq, struct MHD_Response *r)
{
	const struct http_conf *c = &rq->http->conf;
	const char *origin = allowed_origin(rq);

	/* Whatever came of it: the next asker's answer may be another.  In one line: of
	 * several, nginx before 1.23 goes by one when it caches. */
	if (c->cors_origins[0] != NULL && !rq->listener->admin && !any_origin(c))
		(void)MHD_add_response_header(r, "Vary", MHD_del_response_header(r,
		    "Vary", "Accept-Encoding") == MHD_YES ?
		    "Accept-Encoding, Origin" : "Origin");
	if (origin == NULL)
		return false;
	(void)MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
	if (strcmp(origin, "*") != 0)
		(void)MHD_add_response_header(r,
		    "Access-Control-Allow-Credentials", "true");
	return true;
}

enum answer
origin_preflight(struct request *rq)
{
	const char *origin = allowed_origin(rq), *headers[13] = { NULL };
	struct buf none = { 0 };
	size_t n = 0;

	headers[n++] = "Allow";
	headers[n++] = rq->route->allow;
	if (origin != NULL) {
		headers[n++] = "Access-Control-Allow-Methods";
		headers[n++] = rq->route->allow;
		headers[n++] = "Access-Control-Allow-Headers";
		headers[n++] = "authorization, content-type, cache-control, "
		    "last-event-id, idempotency-key";
		headers[n++] = "Access-Control-Max-Age";
		headers[n++] = "600";
		/* A public page, and a server on a private address: only for those
		 * named. */
		if (strcmp(origin, "*") != 0 && rq_header(rq,
		    "Access-Control-Request-Private-Network") != NULL) {
			headers[n++] = "Access-Control-Allow-Private-Network";
			headers[n++] = "true";
		}
	}
	return rq_answer(rq, 204, NULL, &none, headers);
}

/* Browsers send cookies with what any page asks for.  Sec-Fetch-Site tells where it
 * comes from, and no page can write it; older browsers leave it out. */
bool
origin_vouches(struct request *rq)
{
	const char *origin = said_once(rq, "Origin"), *host, *authority;
	const char *site = said_once(rq, "Sec-Fetch-Site");

	if (origin != NULL && !any_origin(&rq->http->conf) &&
	    access_origin_allowed(&rq->http->conf, origin))
		return true;
	/* Without an origin a page cannot read the answer, only cause it. */
	if (site != NULL)
		return strcmp(site, "same-origin") == 0 ||
		    (origin == NULL && strcmp(site, "none") == 0);
	if (origin == NULL)
		return true;
	authority = strstr(origin, "://");
	host = rq_header(rq, "Host");
	return authority != NULL && host != NULL &&
	    strcasecmp(authority + 3, host) == 0;
}

/* A page whose name is made to lead to 127.0.0.1 is of the same origin as what listens
 * there, for a browser.  The admin listener asks for no credential, so it has no names:
 * an address, localhost, or what has no dot. */
bool
origin_host_is_ours(struct request *rq)
{
	static const char local[] = "localhost";
	const char *host = rq_header(rq, "Host");
	unsigned char a[sizeof(struct in6_addr)];
	char name[INET6_ADDRSTRLEN];
	const union MHD_ConnectionInfo *info;
	size_t len;

	if (!rq->listener->admin || host == NULL || *host == '[' ||
	    !listen_is_local(rq->listener->fd))
		return true;
	/* No browser reaches a unix socket. */
	info = MHD_get_connection_info(rq->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (info == NULL || info->client_addr == NULL ||
	    info->client_addr->sa_family == AF_UNIX)
		return true;
	len = strcspn(host, ":");
	if (len > 0 && host[len - 1] == '.')
		len--;
	if (memchr(host, '.', len) == NULL)
		return true;
	if (len > sizeof(local) && host[len - sizeof(local)] == '.' &&
	    strncasecmp(host + len - sizeof(local) + 1, local, sizeof(local) - 1) == 0)
		return true;
	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return inet_pton(AF_INET, name, a) == 1;
}
