/*
 * http_hint.c - credentials that came to the wrong place, and what to say to that.
 *
 * A hint repeats nothing of the request, and tells a stranger no more than the manual
 * does, so it may stand in an answer.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "http_internal.h"
#include "log.h"

const char *
hint_misplaced(struct request *rq, enum auth_use use)
{
	static const char *const wrong[] = { "X-API-Key", "Api-Key", "X-Auth-Token",
	    "X-Access-Token", "Token", "Bearer" };
	const struct query_pair *token;
	const char *h = rq_header(rq, "Authorization");

	if (h != NULL && strncasecmp(h, "Bearer", 6) == 0)
		return h[6 + strspn(h + 6, " ")] == '\0' ?
		    "the Authorization header says Bearer and nothing behind it: is "
		    "the variable empty?" : "one space, and nothing else, belongs "
		    "behind the word Bearer: Authorization: Bearer ...";
	if (h != NULL && (strncmp(h, "ffk_", 4) == 0 || strncmp(h, "eyJ", 3) == 0))
		return "the word Bearer is missing: Authorization: Bearer ...";
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (rq_header(rq, wrong[i]) != NULL)
			return "the credential stands in another header: it belongs into "
			    "Authorization: Bearer ...";
	if (h != NULL && strncasecmp(h, "Basic", 5) != 0)
		return "the Authorization header is not of the form Authorization: "
		    "Bearer ...";
	token = query_get(&rq->q, "token");
	if (token != NULL && token->value_len == 0)
		return "token= in the address is empty: did the page have a token yet?";
	if (token != NULL && use == AUTH_PUBLISH)
		return "token= in the address is for subscribing; for the rest, "
		    "publishing too, send Authorization: Bearer ...";
	if (access_cookie(rq).len == 0)
		return NULL;
	return use == AUTH_PUBLISH ? "a cookie is for subscribing; for the rest, "
	    "publishing too, send Authorization: Bearer ..." :
	    "the cookie does not count: it came with a page of another origin, which "
	    "server.cors_origins does not name";
}

void
hint_key_in_address(struct request *rq, struct auth_credential cred)
{
	const struct query_pair *token = query_get(&rq->q, "token");

	if (rq->http->told_of_key || token == NULL || cred.text != token->value)
		return;
	rq->http->told_of_key = true;
	log_warnx("http: an API key came as token= in an address, from %s: whoever sees "
	    "the page can publish with it; give pages tokens, and make a new key",
	    access_peer(rq));
}
