/*
 * http_revoke.c - POST /revoke: tokens that were good and are no more.
 *
 * A revocation holds from the moment it was asked for: in memory at once, so that nobody
 * new comes in; then the shards end the streams, while the writer makes it durable.  It is
 * answered when both have, and when the second is over: claim iat has no more than
 * seconds, so a token made after the answer is told from those that were meant.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_control.h"
#include "json.h"
#include "log.h"
#include "metrics.h"

#define NAME_MAX_BYTES	8192		/* no token is longer */
#define SECOND_MS	1000
#define CLOCKS_MS	20		/* some read a clock that lags by a tick */
#define FORGET_MS	(3600 * 1000)	/* between two looks for what is too old */
#define FORGET_TICK	1000		/* dropped from memory at a time */

enum field { F_SUB, F_JTI, F_ISSUER, F_COUNT };
static const char *const field_names[F_COUNT] = { "sub", "jti", "issuer" };

/* One member of the body into its text.  0, or -1 answered. */
static int
take_member(struct request *rq, struct json_slice key, struct json_slice v,
    struct buf text[F_COUNT], enum answer *a)
{
	struct buf name = { 0 };
	const char *what;
	int f;

	if (json_unescape(key, &name) == -1)
		name.len = 0;
	for (f = 0; f < F_COUNT; f++)
		if (name.len == strlen(field_names[f]) &&
		    memcmp(name.p, field_names[f], name.len) == 0)
			break;
	buf_fini(&name);
	if (f == F_COUNT) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "there is no field %.*s; use "
		    "sub or jti, and issuer if you like",
		    (int)text_utf8_prefix(key.p, key.len < 64 ? key.len : 64), key.p);
		return -1;
	}
	what = field_names[f];
	if (text[f].len > 0)
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s stands there twice", what);
	else if (json_typeof(v) != JSON_TYPE_STRING)
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s must be a string in quotes",
		    what);
	else if (json_unescape(v, &text[f]) == -1 ||
	    (text[f].len > 0 && memchr(text[f].p, '\0', text[f].len) != NULL))
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s holds a character that no "
		    "token can hold", what);
	else if (text[f].len == 0)
		*a = text[f].failed ? ANSWER_FAILED : rq_problemf(rq,
		    PROBLEM_MALFORMED, "%s must not be empty", what);
	else if (text[f].len > NAME_MAX_BYTES)
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s has %zu bytes; no token "
		    "holds more than %d", what, text[f].len, NAME_MAX_BYTES);
	else {
		buf_addc(&text[f], '\0');
		*a = ANSWER_FAILED;
		return text[f].failed ? -1 : 0;
	}
	return -1;
}

/* What the body names.  0, or -1 answered. */
static int
read_body(struct request *rq, struct buf text[F_COUNT], enum answer *a)
{
	static const char want[] = "the body is an object such as {\"sub\":\"42\"} or "
	    "{\"jti\":\"...\"}";
	struct json_cursor c;
	struct json_slice k, v, whole;

	json_open(&c, rq->body.p != NULL ? rq->body.p : "", rq->body.len);
	if (json_more(&c) == 0) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "the body is empty; %s", want);
		return -1;
	}
	if (json_value(&c, &whole) == -1) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "the body is not valid JSON at "
		    "byte %zu: %s; %s", (size_t)(c.p - c.start) + 1, c.error, want);
		return -1;
	}
	if (json_more(&c) == 1 || json_typeof(whole) != JSON_TYPE_OBJECT) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "%s, and nothing else", want);
		return -1;
	}
	json_open(&c, whole.p, whole.len);
	while (json_next_member(&c, &k, &v) == 1)
		if (take_member(rq, k, v, text, a) == -1)
			return -1;
	if ((text[F_SUB].len > 0) == (text[F_JTI].len > 0)) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, text[F_SUB].len > 0 ?
		    "give sub or jti, not both" : "sub or jti is missing");
		return -1;
	}
	return 0;
}

/* Into c->v and what the walk looks for.  0, or -1 answered. */
static int
name_it(struct request *rq, struct control *c, int64_t now_ms, enum answer *a)
{
	struct auth_revocation v = { .is_jti = c->text[F_JTI].len > 0 };
	const struct buf *t = &c->text[v.is_jti ? F_JTI : F_SUB];
	const char *section = c->text[F_ISSUER].p;

	v.text = t->p;
	v.len = t->len - 1;
	if (section != NULL &&
	    (v.iss = auth_find_issuer(rq->http->auth, section)) == NULL) {
		*a = rq_problemf(rq, PROBLEM_MALFORMED, "there is no issuer %.40s: it is "
		    "\"auth\", or the NAME of a section [auth.NAME]", section);
		return -1;
	}
	*a = ANSWER_FAILED;
	if (auth_revocation_name(&v, now_ms, &c->v) == -1)
		return -1;
	if (!auth_revoked_has_room(rq->http->revoked, &c->v)) {
		*a = rq_problemf(rq, PROBLEM_REVOCATIONS_FULL, "%zu revocations are kept, "
		    "and no more can be: set auth.max_life, so that old ones can go, or "
		    "change the key that tokens are signed with",
		    auth_revoked_count(rq->http->revoked));
		return -1;
	}
	c->walk->sub = c->text[F_SUB].p;
	c->walk->jti = c->text[F_JTI].p;
	c->walk->issuer = section;
	c->walk->end = true;
	return auth_revoke(rq->http->revoked, &c->v);
}

static enum answer
begin_revoke(struct request *rq)
{
	int64_t now = clock_wall_ms();
	struct append *ap;
	struct control *c;
	enum answer a;

	if ((c = control_new(rq, false, &a)) == NULL)
		return a;
	if (read_body(rq, c->text, &a) == -1)
		return a;
	/* First what can fail: half a revocation would be one that nobody answers for. */
	if ((ap = calloc(1, sizeof(*ap))) == NULL)
		return ANSWER_FAILED;
	if (name_it(rq, c, now, &a) == -1) {
		free(ap);
		return a;
	}
	rq->http->grounds_told++;
	c->until_ms = clock_mono_ms() + SECOND_MS - now % SECOND_MS + CLOCKS_MS;
	control_walk(c, rq->http);
	ap->bytes = sizeof(*ap);
	ap->revocation = &c->v;
	ap->done = rq_appended;
	ap->owner = rq;
	ap->reply_to = rq->http->box;
	rq->append = ap;
	return rq_append(rq);
}

static enum answer
refuse_revoke(struct request *rq, enum append_result why)
{
	static const char until[] = "until the server is restarted the tokens are refused; "
	    "repeat the request, so that they stay so";

	switch (why) {
	case APPEND_FULL:
		return rq_problemf(rq, PROBLEM_STORE_FULL, "the disk of store.path is "
		    "full; %s", until);
	case APPEND_UNKNOWN:
		return rq_problemf(rq, PROBLEM_STORE_UNKNOWN, "the commit failed in a way "
		    "that leaves open whether it was stored; %s", until);
	case APPEND_BUSY:
	case APPEND_CONFLICT:
	case APPEND_DUPLICATE:
	case APPEND_OK:
		break;
	}
	return rq_problemf(rq, PROBLEM_STORE_BUSY, "the log cannot take it now; %s", until);
}

/* The body may have taken its time, and the key may be gone. */
static bool
still_may(struct request *rq, enum answer *a)
{
	if (rq->has_id && rq->grounds_told == rq->http->grounds_told)
		return true;
	if (rq->has_id)
		auth_identity_fini(&rq->id);
	rq->has_id = false;
	*a = control_begin(rq);
	return *a == ANSWER_NOT_YET;
}

enum answer
revoke_run(struct request *rq)
{
	struct buf b = { 0 };
	enum answer a;

	if (rq->append == NULL) {
		if (!still_may(rq, &a))
			return a;
		if (rq->too_large)
			return rq_problemf(rq, PROBLEM_TOO_LARGE, "the body has more than "
			    "%zu bytes, which server.max_body allows",
			    rq->http->conf.max_body_bytes);
		return rq->body.failed ? ANSWER_FAILED : begin_revoke(rq);
	}
	if (rq->append->result != APPEND_OK)
		return refuse_revoke(rq, rq->append->result);
	if (!rq->control->walked)
		return control_await_walk(rq);
	if (clock_mono_ms() < rq->control->until_ms)
		return control_rest(rq);
	metric_add(METRIC_REVOCATIONS, 1);
	log_info("http: revoked by %s: %s, of %s; streams ended: %zu", access_peer(rq),
	    rq->control->walk->sub != NULL ? "a sub" : "a jti",
	    rq->control->walk->issuer != NULL ? rq->control->walk->issuer :
	    "all issuers", walk_count(rq->control->walk));
	buf_addf(&b, "{\"ended\":%zu}\n", walk_count(rq->control->walk));
	return rq_answer(rq, 200, "application/json", &b, NULL);
}

/* The writer's thread. */
static void
forgot(struct append *a)
{
	a->msg.kind = HTTP_FORGOT;
	a->msg.bytes = 0;
	mailbox_post(a->reply_to, &a->msg, true);
}

void
revoke_forget(struct http *h)
{
	int64_t life = auth_longest_life(h->auth), until = clock_wall_ms() - life;
	int64_t oldest = auth_revoked_oldest(h->revoked), now = clock_mono_ms();
	struct append *a;

	if (h->forgetting != NULL || h->ending || h->stopping ||
	    (h->forgot_at != 0 && now - h->forgot_at < FORGET_MS))
		return;
	h->forgot_at = now;
	if (life == 0 || oldest == 0 || oldest > until ||
	    (a = calloc(1, sizeof(*a))) == NULL)
		return;
	a->bytes = sizeof(*a);
	a->forget_ms = until;
	a->done = forgot;
	a->reply_to = h->box;
	h->forgetting = a;
	if (store_append(h->conf.store, a) == -1)
		a->done(a);
}

/* A piece of it in each tick, when it is durable: else they come again. */
void
control_forgot(struct http *h, struct msg *m)
{
	struct append *a = (struct append *)m;

	assert(h->forgetting == a);
	if (a->result == APPEND_OK &&
	    auth_revoked_forget(h->revoked, a->forget_ms, FORGET_TICK) == FORGET_TICK) {
		a->done(a);
		return;
	}
	h->forgetting = NULL;
	free(a);
}
