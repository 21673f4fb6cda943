/*
 * http_access.c - who asks: its origin, its credential.
 */
#include "config.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"

/* --- origins --- */

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

void
access_cors(struct request *rq, struct MHD_Response *r)
{
	const struct http_conf *c = &rq->http->conf;
	const char *origin;

	if (c->cors_origins[0] == NULL || rq->listener->admin)
		return;
	if (any_origin(c)) {
		/* Anybody's: then without credentials, as browsers demand. */
		(void)MHD_add_response_header(r, "Access-Control-Allow-Origin", "*");
	} else {
		(void)MHD_add_response_header(r, "Vary", "Origin");
		if ((origin = rq_header(rq, "Origin")) == NULL ||
		    !access_origin_allowed(c, origin))
			return;
		(void)MHD_add_response_header(r, "Access-Control-Allow-Origin",
		    origin);
		(void)MHD_add_response_header(r,
		    "Access-Control-Allow-Credentials", "true");
	}
	(void)MHD_add_response_header(r, "Access-Control-Expose-Headers",
	    "ETag, Retry-After, WWW-Authenticate");
}

/* --- credentials --- */

/* A cookie's value, in place. */
static struct auth_credential
find_cookie(const char *header, const char *name)
{
	struct auth_credential none = { NULL, 0 };
	size_t name_len = strlen(name), len;
	const char *p = header;

	while (*p != '\0') {
		while (*p == ' ' || *p == ';')
			p++;
		len = strcspn(p, ";");
		if (len > name_len && p[name_len] == '=' &&
		    memcmp(p, name, name_len) == 0) {
			p += name_len + 1;
			len -= name_len + 1;
			while (len > 0 && p[len - 1] == ' ')
				len--;
			if (len > 1 && p[0] == '"' && p[len - 1] == '"') {
				p++;
				len -= 2;
			}
			return (struct auth_credential){ p, len };
		}
		p += len;
	}
	return none;
}

/* A cookie that came with a page of a stranger's is not that stranger's to use. */
static bool
cookie_is_welcome(struct request *rq)
{
	const char *origin = rq_header(rq, "Origin"), *host, *authority;

	if (origin == NULL)
		return true;
	if (!any_origin(&rq->http->conf) &&
	    access_origin_allowed(&rq->http->conf, origin))
		return true;
	authority = strstr(origin, "://");
	host = rq_header(rq, "Host");
	return authority != NULL && host != NULL &&
	    strcasecmp(authority + 3, host) == 0;
}

struct auth_credential
access_credential(struct request *rq, bool publish)
{
	struct auth_credential none = { NULL, 0 };
	const struct query_pair *token;
	const char *h;

	if ((h = rq_header(rq, "Authorization")) != NULL &&
	    strncasecmp(h, "Bearer", 6) == 0 && (h[6] == ' ' || h[6] == '\0')) {
		for (h += 6; *h == ' '; h++)
			;
		if (*h != '\0')
			return (struct auth_credential){ h, strlen(h) };
	}
	if (publish)
		return none;
	if ((token = query_get(&rq->q, "token")) != NULL && token->value_len > 0)
		return (struct auth_credential){ token->value, token->value_len };
	if (rq->http->conf.cookie != NULL &&
	    (h = rq_header(rq, "Cookie")) != NULL && cookie_is_welcome(rq))
		return find_cookie(h, rq->http->conf.cookie);
	return none;
}
