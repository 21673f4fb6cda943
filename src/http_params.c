/*
 * http_params.c - what /events and /history ask for: topics, cursor, numbers, and
 * whether the asker may.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "metrics.h"

struct topics *
rq_topics(struct request *rq, enum answer *a)
{
	struct topic_name names[TOPICS_MAX];
	const struct query_pair *p;
	struct topics *t;
	const char *why;
	size_t n = 0;

	for (size_t i = 0; i < rq->q.n; i++) {
		p = &rq->q.v[i];
		if (strcmp(p->name, "topic") != 0)
			continue;
		if (n == TOPICS_MAX) {
			*a = rq_problemf(rq, PROBLEM_MALFORMED, "more than %d topics "
			    "in one request; use a pattern or a second stream",
			    TOPICS_MAX);
			return NULL;
		}
		names[n].p = (char *)(uintptr_t)p->value;
		names[n].len = p->value_len;
		switch (topic_classify(p->value, p->value_len, &why)) {
		case TOPIC_INVALID:
			*a = rq_problemf(rq, PROBLEM_MALFORMED, "the topic %s", why);
			return NULL;
		case TOPIC_PLAIN:
			names[n++].is_pattern = false;
			break;
		case TOPIC_PATTERN:
			if (!topic_is_cheap(p->value, p->value_len)) {
				*a = rq_problemf(rq, PROBLEM_MALFORMED, "the topic has a "
				    "* behind its segment %d; end it with ** there",
				    TOPIC_STARS);
				return NULL;
			}
			names[n++].is_pattern = true;
			break;
		}
	}
	if (n == 0) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "the topic is missing: %s"
		    "?topic=scores/7 (repeat it for more)", rq->route->path);
		return NULL;
	}
	if ((t = topics_new(names, n)) == NULL)
		*a = ANSWER_FAILED;
	return t;
}

/* Whether the token is good can't be told now, for `reason`, or because the server is on
 * its way out. */
static enum answer
refuse_busy(struct request *rq, const char *reason)
{
	bool drain = rq->http->stopping;
	const char *detail = drain ? "the server is restarting" : reason;

	if (rq->route->run == subscribe_run)
		return subscribe_refuse_load(rq, drain ? CLOSE_DRAIN :
		    CLOSE_OVERLOAD, detail);
	return rq_problem(rq, drain ? PROBLEM_DRAIN : PROBLEM_OVERLOAD, detail,
	    NULL, NULL);
}

bool
rq_verify(struct request *rq, enum auth_use use, enum answer *a)
{
	struct auth_credential cred = access_credential(rq, use == AUTH_PUBLISH);
	struct http *h = rq->http;
	enum problem p;
	char why[256] = "";
	const char *detail;
	int bad = -1;

	switch (auth_pool_ask(h->pool, h->auth, cred, use, &rq->wait)) {
	case AUTH_ASK_NOW:
		bad = auth_verify(h->auth, cred, use, clock_wall_ms(), &rq->id, &p,
		    why, sizeof(why));
		break;
	case AUTH_ASK_JUDGED:
		bad = auth_verify_judged(&rq->wait, use, clock_wall_ms(), &rq->id,
		    &p, why, sizeof(why));
		break;
	case AUTH_ASK_LATER:
		*a = rq_suspend(rq);
		return false;
	case AUTH_ASK_BUSY:
		*a = refuse_busy(rq, "too many tokens wait to be checked");
		return false;
	case AUTH_ASK_NO_KEYS:
		*a = refuse_busy(rq, "the keys of this token's issuer can't be "
		    "fetched now");
		return false;
	}
	rq->revoked_number = auth_revoked_number(h->revoked);
	if (bad == 0 && auth_is_revoked(h->revoked, &rq->id, rq->revoked_number, why,
	    sizeof(why))) {
		auth_identity_fini(&rq->id);
		metric_add(METRIC_REVOKED_REFUSED, 1);
		p = PROBLEM_TOKEN_INVALID;
		bad = -1;
	}
	if (bad == 0) {
		if (rq->id.is_api_key)
			hint_key_in_address(rq, cred);
		rq->has_id = true;
		rq->grounds_told = h->grounds_told;
		return true;
	}
	switch (p) {
	case PROBLEM_TOKEN_MISSING:
		/* Then there is no more to say in the log either. */
		if ((detail = hint_misplaced(rq, use)) != NULL) {
			*a = rq_problem(rq, p, detail, NULL, NULL);
			return false;
		}
		detail = rq->route->begin == control_begin ?
		    "send an API key: Authorization: Bearer ffk_..." :
		    use == AUTH_PUBLISH ?
		    "send an API key or a token: Authorization: Bearer ffk_..." :
		    "these topics are not public: send a token as Authorization: "
		    "Bearer, as token= in the address, or as a cookie";
		break;
	case PROBLEM_TOKEN_EXPIRED:
		detail = "the token has expired; get a new one";
		break;
	case PROBLEM_INTERNAL:
		detail = "the credential could not be checked; try again";
		break;
	default:
		detail = "the credential is not one of ours; the server's log says "
		    "which check failed (see ref), and so does `fanfare explain`";
		break;
	}
	*a = rq_problem(rq, p, detail, why, NULL);
	return false;
}

bool
rq_is_revoked(const struct request *rq)
{
	char why[256];

	return rq->has_id && auth_is_revoked(rq->http->revoked, &rq->id,
	    rq->revoked_number, why, sizeof(why));
}

enum answer
rq_forbidden(struct request *rq, const char *topic, const char *fmt)
{
	struct buf b = { 0 };
	const char *at = strstr(fmt, "%s");
	size_t len = text_utf8_prefix(topic, strnlen(topic, 120));
	enum answer a;

	buf_add(&b, fmt, (size_t)(at - fmt));
	buf_add(&b, topic, len);
	buf_adds(&b, topic[len] != '\0' ? "..." : "");
	buf_adds(&b, at + 2);
	buf_addc(&b, '\0');
	a = b.failed ? ANSWER_FAILED : rq_problem(rq, PROBLEM_TOPIC_FORBIDDEN, b.p,
	    NULL, topic);
	buf_fini(&b);
	return a;
}

bool
rq_may_read(struct request *rq, const struct topics *t, enum answer *a)
{
	bool all_public = true;

	for (size_t i = 0; i < t->n && all_public; i++)
		all_public = auth_is_public(rq->http->auth, t->v[i].p, t->v[i].len);
	/* Then no credential matters, good or bad. */
	if (all_public)
		return true;
	if (!rq_verify(rq, AUTH_SUBSCRIBE, a))
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (!auth_may_subscribe(rq->http->auth, &rq->id, t->v[i].p,
		    t->v[i].len)) {
			*a = rq_forbidden(rq, t->v[i].p, t->v[i].is_pattern ?
			    "the credential does not allow subscribing to all of the "
			    "pattern %s; one grant or rule must cover it" :
			    "the credential does not allow subscribing to the topic %s");
			return false;
		}
	return true;
}

/* The newest that is given.  The header is; then the name that client libraries append
 * to an address when they come back, so the last of it; then those that pages write into
 * the address, where they stay as they are. */
const char *
rq_cursor(struct request *rq)
{
	static const char *const names[] = { "lastEventId", "last_event_id",
	    "lastEventID", "after" };
	const char *v = rq_header(rq, "Last-Event-ID");

	if (v != NULL && v[0] != '\0')
		return v;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t k = rq->q.n; k-- > 0;)
			if (strcmp(rq->q.v[k].name, names[i]) == 0 &&
			    rq->q.v[k].value_len > 0)
				return rq->q.v[k].value;
	return NULL;
}

void
rq_ask_cursor(struct request *rq, struct stream_ask *ask)
{
	const char *text = rq_cursor(rq);
	struct event_id id;
	size_t len;

	if (text == NULL)
		return;
	ask->has_cursor = true;
	len = strlen(text);
	/* It comes back in fanfare.gap: only what is harmless there. */
	if (len < sizeof(ask->requested) && text_is_token(text, len))
		memcpy(ask->requested, text, len + 1);
	if (event_id_parse(text, len, &id) == -1)
		ask->cursor_fault = GAP_UNKNOWN;
	else if (!store_cursor_is_good(rq->http->conf.store, id))
		ask->cursor_fault = GAP_RESET;
	else {
		ask->cursor_is_good = true;
		ask->cursor = id.seq;
	}
}

bool
rq_number(struct request *rq, const char *name, uint64_t max, uint64_t *out,
    enum answer *a)
{
	const struct query_pair *p = query_get(&rq->q, name);
	const char *v = p != NULL ? p->value : NULL;

	if (v == NULL)
		return true;
	if (text_parse_u64(v, strlen(v), out) == 0 && *out >= 1 && *out <= max)
		return true;
	*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s must be a number from 1 to %llu",
	    name, (unsigned long long)max);
	return false;
}

bool
rq_duration(struct request *rq, const char *name, int64_t *out, enum answer *a)
{
	const struct query_pair *p = query_get(&rq->q, name);
	const char *v = p != NULL ? p->value : NULL;

	if (v == NULL)
		return true;
	if (text_parse_duration_ms(v, strlen(v), out) == 0 && *out > 0)
		return true;
	*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s must be a duration such as 30s, "
	    "15m or 2h", name);
	return false;
}

bool
rq_choice(struct request *rq, const char *name, const char *const *words,
    int *out, enum answer *a)
{
	const struct query_pair *p = query_get(&rq->q, name);
	const char *v = p != NULL ? p->value : NULL;
	struct buf b = { 0 };

	*out = 0;
	if (v == NULL)
		return true;
	for (int i = 0; words[i] != NULL; i++)
		if (words[i][0] != '\0' && strcmp(words[i], v) == 0) {
			*out = i;
			return true;
		}
	for (int i = 0; words[i] != NULL; i++)
		if (words[i][0] != '\0')
			buf_addf(&b, "%s%s", b.len > 0 ? " or " : "", words[i]);
	buf_addc(&b, '\0');
	*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s must be %s", name,
	    b.failed ? "another word" : b.p);
	buf_fini(&b);
	return false;
}

bool
rq_tag_matches(struct request *rq, const char *etag)
{
	const char *held = rq_header(rq, "If-None-Match");

	/* Weak comparison: behind a W/ that a proxy may have dropped. */
	return held != NULL && etag[0] != '\0' &&
	    (strcmp(held, "*") == 0 || strstr(held, etag + 2) != NULL);
}
