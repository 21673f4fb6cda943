/*
 * http_access.c - who asks: the credential.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "http_internal.h"

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

struct auth_credential
access_cookie(struct request *rq)
{
	struct auth_credential none = { NULL, 0 };
	const char *h = rq_header(rq, "Cookie");

	return h == NULL || rq->http->conf.cookie == NULL ? none :
	    find_cookie(h, rq->http->conf.cookie);
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
	return origin_vouches(rq) ? access_cookie(rq) : none;
}
