/*
 * auth_explain.c - the checks of auth_token.c, told to a person.
 *
 * Written for whoever meets the first 401: every claim with its value, what it was
 * held against, and what to mend.  The verdict comes from auth_verify() itself, so
 * that this page cannot disagree with the server.  The rest goes on after the first
 * failure, for a token often has more than one.
 *
 * Claims are printed, since who asks holds the token; the signature and the token
 * itself are not, and no byte that a terminal would obey.
 */
#include "config.h"

#include "auth_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth_revoke.h"
#include "text.h"
#include "topic.h"

#define VALUE_MAX	160	/* bytes of a claim that are shown */
#define LABEL_WIDTH	14
#define SHORT_LIFE_MS	(5 * 60 * INT64_C(1000))

enum mark { MARK_OK, MARK_NO, MARK_NONE };

static const char *const marks[] = {
	[MARK_OK] = "ok", [MARK_NO] = "NO", [MARK_NONE] = "-",
};

/* As the log has it. */
static void
put_safe(const char *p, size_t len)
{
	size_t i = 0, n;

	while (i < len)
		if ((n = text_harmless(p + i, len - i)) > 0) {
			(void)fwrite(p + i, 1, n, stdout);
			i += n;
		} else
			(void)printf("\\x%02x", (unsigned int)(unsigned char)p[i++]);
}

static void
put_label(const char *label, enum mark mark)
{
	size_t n = strlen(label);

	put_safe(label, n);
	(void)printf("%*s %-4s", n < LABEL_WIDTH ? (int)(LABEL_WIDTH - n) : 0, "",
	    marks[mark]);
}

static void
put_value(const json_t *v)
{
	char *text;
	size_t len;

	if ((text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)) == NULL) {
		(void)fputs("(not printable)", stdout);
		return;
	}
	len = strlen(text);
	if (len > VALUE_MAX) {
		/* Not in the middle of a character. */
		for (len = VALUE_MAX; ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
		put_safe(text, len);
		(void)fputs("...", stdout);
	} else
		put_safe(text, len);
	free(text);
}

static void
put_list(const char *title, const struct auth_patterns *l, const char *none)
{
	size_t i;

	(void)printf("  %s\n", title);
	for (i = 0; i < l->n; i++) {
		(void)fputs("    ", stdout);
		put_safe(l->v[i].p, l->v[i].len);
		(void)putchar('\n');
	}
	if (l->n == 0)
		(void)printf("    %s\n", none);
}

/* What a time claim says in words: ", 2026-06-11T19:00:00.000Z, 3 minutes ago". */
static void
put_time(int64_t ms, int64_t now_ms)
{
	char stamp[TEXT_TIME_SIZE], span[AUTH_SPAN_SIZE];

	if (ms >= AUTH_TIME_MAX_MS) {
		(void)fputs(", beyond the year 9999: these are seconds, was it "
		    "written in milliseconds?", stdout);
		return;
	}
	text_format_time(stamp, ms);
	auth_format_span(span, ms > now_ms ? ms - now_ms : now_ms - ms);
	if (ms > now_ms)
		(void)printf(", %s, in %s", stamp, span);
	else
		(void)printf(", %s, %s ago", stamp, span);
}

/* The time that claim iat says, in ms; 0: none. */
static int64_t
issued_ms(const json_t *claims)
{
	double s = json_number_value(json_object_get(claims, "iat"));

	return s > 0 && s < (double)(AUTH_TIME_MAX_MS / 1000) ? (int64_t)(s * 1000) : 0;
}

static void
put_issued(const struct auth_issuer *is, const json_t *claims, int64_t now_ms)
{
	int64_t ms = issued_ms(claims);

	if (ms == 0)
		return;
	put_time(ms, now_ms);
	if (ms > now_ms + is->leeway_ms)
		(void)fputs(": are both clocks right?", stdout);
}

/* Of one that has expired: was it made to live so short, or is a clock wrong? */
static void
put_life(const struct auth_issuer *is, const json_t *claims, int64_t exp_ms,
    int64_t now_ms)
{
	int64_t iat_ms = issued_ms(claims);
	char span[AUTH_SPAN_SIZE];

	if (iat_ms == 0 || now_ms < exp_ms || exp_ms < iat_ms)
		return;
	auth_format_span(span, exp_ms - iat_ms);
	(void)printf("; it lived for %s (iat to exp)", span);
	if (exp_ms - iat_ms <= SHORT_LIFE_MS && is->grace_ms == 0)
		(void)printf(": fetch a fresh one for each connection, or set "
		    "%s.grace (12h) so that streams outlive it", is->section);
}

/* What stands among the grants and grants nothing. */
static void
put_lost_grants(const json_t *grants)
{
	const char *name, *why;
	const json_t *list, *e;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)grants, name, list) {
		if (strcmp(name, "rate") == 0)
			continue;
		if (strcmp(name, "publish") != 0 && strcmp(name, "subscribe") != 0) {
			(void)fputs("; \"", stdout);
			put_safe(name, strlen(name));
			(void)fputs("\" in it is not known: only publish, subscribe "
			    "and rate are", stdout);
			continue;
		}
		json_array_foreach(list, i, e)
			if (json_is_string(e) && topic_classify(json_string_value(e),
			    json_string_length(e), &why) == TOPIC_INVALID)
				(void)printf("; number %zu of %s grants nothing: it %s",
				    i + 1, name, why);
	}
}

/* What else there is to say about a claim, behind its value. */
static void
put_note(const struct auth_issuer *is, const char *name, const json_t *claims,
    const json_t *v, const struct auth_grants *g, int64_t now_ms)
{
	char span[AUTH_SPAN_SIZE];

	if (strcmp(name, "exp") == 0 && g->exp_ms != 0) {
		put_time(g->exp_ms, now_ms);
		put_life(is, claims, g->exp_ms, now_ms);
		if (is->grace_ms > 0) {
			auth_format_span(span, is->grace_ms);
			(void)printf("; for subscribing %s longer (%s.grace)",
			    span, is->section);
		}
	} else if (strcmp(name, "nbf") == 0 && g->nbf_ms != 0)
		put_time(g->nbf_ms, now_ms);
	else if (strcmp(name, "iat") == 0)
		put_issued(is, claims, now_ms);
	else if (strcmp(name, "iss") == 0 && is->issuer != NULL)
		(void)printf("; %s.issuer is \"%s\"", is->section, is->issuer);
	else if (strcmp(name, "aud") == 0 && is->audience != NULL)
		(void)printf("; %s.audience is \"%s\"", is->section,
		    is->audience);
	else if (strcmp(name, "iss") == 0 && v != NULL)
		(void)printf("; not compared: %s.issuer is not set", is->section);
	else if (strcmp(name, "aud") == 0 && v != NULL)
		(void)printf("; not compared: %s.audience is not set",
		    is->section);
	else if (strcmp(name, "sub") == 0 && g->sub == NULL)
		(void)fputs("; topics.authenticated needs it", stdout);
}

static void
explain_check(const struct auth_issuer *is, const struct auth_check *c,
    const json_t *claims, struct auth_grants *g, int64_t now_ms)
{
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const char *name = auth_check_name(is, c);
	const json_t *v;
	enum mark mark;

	why[0] = '\0';
	mark = auth_check_claim(is, c, claims, g, &v, &r) == -1 ? MARK_NO :
	    v == NULL ? MARK_NONE : MARK_OK;
	/* Times are judged apart, since they depend on the use. */
	if (mark == MARK_OK && strcmp(name, "exp") == 0 &&
	    now_ms >= g->exp_ms + is->leeway_ms)
		mark = MARK_NO;
	if (mark == MARK_OK && strcmp(name, "nbf") == 0 &&
	    now_ms < g->nbf_ms - is->leeway_ms)
		mark = MARK_NO;
	if (mark == MARK_OK && strcmp(name, "iat") == 0 &&
	    g->iat_ms > now_ms + is->leeway_ms)
		mark = MARK_NO;
	put_label(name, mark);
	if (why[0] != '\0')
		(void)fputs(why, stdout);
	if (v != NULL) {
		if (why[0] != '\0')
			(void)fputs(": ", stdout);
		put_value(v);
	} else if (why[0] == '\0')
		(void)fputs("not there", stdout);
	put_note(is, name, claims, v, g, now_ms);
	if (c->name == NULL)
		put_lost_grants(v);
	(void)putchar('\n');
}

static const char key_of_supabase[] = "; this is a key of the project, which says "
    "nothing of a user: send session.access_token of supabase.auth.getSession()";

/* The keys that it calls anon and service_role are tokens, too. */
static bool
is_key_of_supabase(const json_t *claims)
{
	const char *iss = json_string_value(json_object_get(claims, "iss"));

	return iss != NULL && strcmp(iss, "supabase") == 0 &&
	    json_is_string(json_object_get(claims, "role")) &&
	    json_object_get(claims, "sub") == NULL;
}

/* Claims that decide nothing here, but may be misspelt ones that should. */
static void
explain_others(const struct auth *a, const struct auth_issuer *is,
    json_t *claims, int64_t now_ms)
{
	const char *name;
	size_t i, holder = auth_grants_holder(is, claims);
	json_t *v;
	bool known;

	json_object_foreach(claims, name, v) {
		known = false;
		for (i = 0; i < auth_n_checks; i++)
			if (strcmp(name, auth_check_name(is, &auth_checks[i])) == 0)
				known = true;
		if (known)
			continue;
		put_label(name, MARK_NONE);
		put_value(v);
		for (i = 0; i < a->claim_names.n; i++)
			if (strcmp(name, a->claim_names.v[i].p) == 0)
				known = true;
		if (strlen(name) == holder &&
		    strncmp(name, is->grants_claim, holder) == 0)
			(void)printf("; %s is in it\n", is->grants_claim);
		else if (strcmp(name, "iat") == 0) {
			put_issued(is, claims, now_ms);
			(void)putchar('\n');
		} else if (strcmp(name, "role") == 0 && is_key_of_supabase(claims))
			(void)puts(key_of_supabase);
		else if (!known && (strcmp(name, "publish") == 0 ||
		    strcmp(name, "subscribe") == 0))
			(void)printf("; not used here: it belongs into \"%s\": {...}\n",
			    is->grants_claim);
		else
			(void)puts(known ? "; named by a rule" : "; not used");
	}
}

static void
put_key(const struct auth_issuer *is, const struct auth_key *k, const char *after)
{
	char accepted[64];

	auth_format_algs(accepted, sizeof accepted, k->algs);
	(void)printf("%s: ", auth_key_from(is, k));
	if (k->kid != NULL) {
		(void)fputs("kid ", stdout);
		put_safe(k->kid, strlen(k->kid));
		(void)fputs(", ", stdout);
	}
	(void)printf("%s, fingerprint %s, accepts %s%s\n", k->what, k->print,
	    accepted, after);
}

/* The keys that may have signed it: how many; 0: told. */
static size_t
explain_keys(const struct auth_issuer *is, const json_t *header,
    const struct auth_key *may[AUTH_TRIES])
{
	const struct auth_keys *keys = is->source->keys;
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	size_t i, n;

	n = auth_pick_keys(is, keys, header, may, &r);
	if (n == 0) {
		put_label("key", MARK_NO);
		(void)printf("%s\n", why);
		for (i = 0; keys != NULL && i < keys->n; i++) {
			put_label("", MARK_NONE);
			put_key(is, &keys->v[i], "");
		}
	}
	for (i = 0; i < n; i++) {
		put_label("key", MARK_OK);
		put_key(is, may[i], is->is_jwks && n > 1 ? "; the token names none, so "
		    "each is tried" : "");
	}
	return n;
}

/* The header and the signature; false when the signature is not good. */
static bool
explain_signature(const struct auth *a, const struct auth_issuer *is, const char *p,
    size_t len, const struct auth_token *t, const json_t *header)
{
	char why[512];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const struct auth_key *may[AUTH_TRIES];
	size_t i, n, fit = 0;
	enum auth_alg alg;

	n = explain_keys(is, header, may);
	(void)snprintf(why, sizeof why, "not looked at, for there is no key");
	for (i = 0; i < n; i++)
		if (auth_token_header(is, may[i], header, &alg, &r) == 0)
			may[fit++] = may[i];
	put_label("header", fit > 0 ? MARK_OK : MARK_NO);
	if (fit == 0) {
		(void)printf("%s\n", why);
		put_label("signature", MARK_NO);
		(void)puts(n == 0 ? "not checked, for there is no key" :
		    "not checked, for the header is not accepted");
		return false;
	}
	(void)printf("alg %s\n", auth_alg_name(alg));
	for (i = 0; i < fit; i++)
		if (auth_token_signature(is, may[i], alg, p, len, t, &r) == 0)
			break;
	put_label("signature", i < fit ? MARK_OK : MARK_NO);
	if (i == fit) {
		(void)printf("the signature does not match %s%s%s: the token was "
		    "changed, or made with another key\n", is->from,
		    is->before[0] != '\0' ? ", nor " : "", is->before);
		for (i = 0; i < fit; i++)
			if (auth_near_miss(a, is, may[i], alg, p, len, t, why,
			    sizeof why)) {
				put_label("", MARK_NONE);
				(void)printf("%s\n", why);
				break;
			}
		return false;
	}
	(void)printf("made with the key that %s names%s%s\n", auth_key_from(is, may[i]),
	    fit > 1 ? ", fingerprint " : "", fit > 1 ? may[i]->print : "");
	return true;
}

/* Whose it says it is, and whose would be judged. */
static void
explain_nobody(const struct auth *a, const json_t *claims)
{
	const json_t *iss = json_object_get(claims, "iss");
	size_t i;

	if (iss != NULL) {
		put_label("iss", MARK_NO);
		put_value(iss);
		(void)putchar('\n');
	}
	for (i = 1; i < a->n_issuers; i++) {
		put_label("", MARK_NONE);
		(void)printf("%s.issuer is \"%s\"\n", a->issuers[i].section,
		    a->issuers[i].issuer);
	}
	if (is_key_of_supabase(claims)) {
		put_label("role", MARK_NO);
		put_value(json_object_get(claims, "role"));
		(void)puts(key_of_supabase);
	}
}

/* Who judges it; NULL: nobody, and told. */
static const struct auth_issuer *
explain_judge(const struct auth *a, struct auth_bytes payload, const json_t *claims)
{
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const struct auth_issuer *is = NULL;

	if (a->n_issuers > 0)
		is = auth_route(a, payload, &r);
	if (is == NULL) {
		put_label("key", MARK_NO);
		(void)printf("%s\n", a->n_issuers == 0 ? "there is none to check "
		    "tokens with: set auth.key" : why);
		explain_nobody(a, claims);
	} else if (a->n_issuers > 1) {
		put_label("judged by", MARK_OK);
		(void)printf("[%s]%s\n", is->section, is != &a->issuers[0] ?
		    ", whose issuer is the claim iss" :
		    ": no [auth.NAME] has the claim iss as its issuer");
	}
	return is;
}

/* The name of the rules for this issuer's tokens, for a message. */
static void
put_rules_name(const struct auth_issuer *is)
{
	if (is->has_rules)
		(void)printf("%s.topics", is->section);
	else
		(void)fputs("topics.authenticated", stdout);
}

/* The rules that this token opens, and those that it does not, and why. */
static size_t
explain_rules(const struct auth *a, const struct auth_issuer *is,
    const struct auth_grants *g)
{
	const struct auth_patterns *rules = auth_rules_of(a, is);
	char pattern[TOPIC_MAX_BYTES];
	size_t i, n, open = 0;

	if (rules->n == 0 && !(is->has_rules && a->rules.n > 0))
		return 0;
	(void)fputs("  subscribe to, by ", stdout);
	put_rules_name(is);
	(void)puts(":");
	if (rules->n == 0)
		(void)puts("    (nothing: this section has no rules)");
	for (i = 0; i < rules->n; i++) {
		(void)fputs("    ", stdout);
		if (g->sub == NULL) {
			put_safe(rules->v[i].p, rules->v[i].len);
			(void)puts("   no: the token has no sub");
		} else if (!auth_rule_expand(&rules->v[i], g, pattern, &n)) {
			put_safe(rules->v[i].p, rules->v[i].len);
			(void)puts("   no: a claim it names is missing, or can't "
			    "be one segment of a topic");
		} else {
			put_safe(pattern, n);
			if (strchr(rules->v[i].p, '{') != NULL) {
				(void)fputs("   from ", stdout);
				put_safe(rules->v[i].p, rules->v[i].len);
			}
			(void)putchar('\n');
			open++;
		}
	}
	return open;
}

/* What it opens; how many things beside public topics. */
static size_t
explain_grants(const struct auth *a, const struct auth_grants *g,
    const struct auth_issuer *is)
{
	size_t open;

	if (is != NULL && is->reads_only)
		(void)printf("  publish nothing: %s.publish is no\n", is->section);
	else
		put_list("publish to:", &g->publish, "(nothing)");
	if (g->rate > 0 && g->publish.n > 0)
		(void)printf("  publish %.9g events a second, or fewer if "
		    "server.publish_rate says so\n", g->rate);
	put_list("subscribe to:", &g->subscribe, "(nothing)");
	open = g->publish.n + g->subscribe.n;
	if (is != NULL)
		open += explain_rules(a, is, g);
	put_list("subscribe to, by topics.public, even without it:", &a->public,
	    "(nothing)");
	if (open == 0)
		(void)printf("It grants nothing of its own.  To open a topic, the "
		    "token needs a claim like\n  \"%s\": {\"subscribe\": "
		    "[\"scores/**\"]}\nor a sub and a rule in "
		    "topics.authenticated, like user/{sub}/**\n",
		    is != NULL ? is->grants_claim : "fanfare");
	return open;
}

static bool
explain_api_key(const struct auth *a, const char *p, size_t len)
{
	const struct auth_api_key *k = auth_find_api_key(a, p, len);

	if (k == NULL) {
		put_label("API key", MARK_NO);
		(void)printf("none of the %zu in auth.api_keys\n",
		    a->n_api_keys);
		return false;
	}
	put_label("API key", MARK_OK);
	(void)printf("%s, fingerprint %s; never expires\n", k->name, k->print);
	(void)puts("\nIt may");
	(void)explain_grants(a, k->grants, NULL);
	return true;
}

/* The last word is the server's own. */
static bool
explain_verdict(struct auth *a, const struct auth_revoked *revoked, const char *unread,
    const char *p, size_t len, int64_t now_ms)
{
	struct auth_credential cred = { p, len };
	struct auth_identity id;
	enum problem problem;
	char why[256], stamp[TEXT_TIME_SIZE];
	bool over, bad;

	(void)putchar('\n');
	bad = auth_verify(a, cred, AUTH_SUBSCRIBE, now_ms, &id, &problem, why,
	    sizeof why) == -1;
	if (!bad && revoked != NULL && auth_is_revoked(revoked, &id,
	    auth_revoked_number(revoked), why, sizeof why)) {
		auth_identity_fini(&id);
		problem = PROBLEM_TOKEN_INVALID;
		bad = true;
	}
	if (bad) {
		(void)printf("Refused with %u %s: %s\n", problem_status(problem),
		    problem_code(problem), why);
		return false;
	}
	text_format_time(stamp, id.expires_ms);
	over = id.expires_ms <= now_ms;
	auth_identity_fini(&id);
	if (over)
		(void)printf("Accepted for some seconds yet, as leeway forgives clocks, "
		    "but it opens no stream:\nit has expired, at %s\n", stamp);
	else if (auth_verify(a, cred, AUTH_PUBLISH, now_ms, &id, &problem, why,
	    sizeof why) == -1)
		(void)printf("Accepted, but for subscribing alone, until %s; for "
		    "publishing:\n%s\n", stamp, why);
	else {
		auth_identity_fini(&id);
		(void)printf("Accepted; streams it opens end at %s\n", stamp);
	}
	if (revoked == NULL)
		(void)printf("Whether it was revoked is not known: %s\n", unread);
	return true;
}

static bool
explain_token(struct auth *a, const struct auth_revoked *revoked, const char *unread,
    const char *p, size_t len, int64_t now_ms)
{
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const struct auth_issuer *is;
	json_t *header = NULL, *claims = NULL;
	struct auth_grants *g = NULL;
	struct auth_token t;
	size_t i, open = 0;
	bool good;

	if (auth_token_split(p, len, &t, &r) == -1 ||
	    (header = auth_token_object(t.part[0], "header", &r)) == NULL ||
	    (claims = auth_token_object(t.part[1], "payload", &r)) == NULL) {
		put_label("format", MARK_NO);
		(void)printf("%s\n", why);
		goto done;
	}
	put_label("format", MARK_OK);
	(void)printf("a signed token of %zu bytes\n", len);
	if ((is = explain_judge(a, t.part[1], claims)) == NULL)
		goto done;
	good = explain_signature(a, is, p, len, &t, header);
	if (!good)
		(void)puts("The claims below are what the token says; nobody vouches "
		    "for them.");
	if ((g = auth_grants_new()) == NULL)
		goto done;
	for (i = 0; i < auth_n_checks; i++)
		explain_check(is, &auth_checks[i], claims, g, now_ms);
	explain_others(a, is, claims, now_ms);
	if (auth_token_claims(&a->claim_names, claims, g) == -1)
		goto done;
	good = explain_verdict(a, revoked, unread, p, len, now_ms);
	(void)printf("\n%s\n", good ? "It may" : "If that were mended, it could");
	open = explain_grants(a, g, is);
	if (!good)
		open = 0;
done:
	auth_grants_unref(g);
	json_decref(header);
	json_decref(claims);
	return open > 0;
}

/* What was taken off, which the server itself would not forgive. */
static void
explain_wrapping(unsigned int seen, bool is_api_key)
{
	if ((seen & AUTH_PASTED_QUOTES) != 0) {
		put_label("pasted", MARK_NONE);
		(void)puts("without the quotation marks around it, which the server "
		    "would refuse");
	}
	if ((seen & AUTH_PASTED_TWICE) != 0) {
		put_label("pasted", MARK_NONE);
		(void)puts("the word Bearer stands twice, which the server would "
		    "refuse");
	}
	if ((seen & AUTH_PASTED_JOINED) != 0) {
		put_label("pasted", MARK_NONE);
		(void)puts("behind the word Bearer belongs one space, or the server "
		    "refuses it");
	}
	if ((seen & AUTH_PASTED_ADDRESS) == 0)
		return;
	put_label("pasted", MARK_NONE);
	(void)puts(is_api_key ? "the token= of an address.  An API key in an address "
	    "can be read, and published with, by everybody who sees the page: give "
	    "pages tokens" : "the token= of an address");
}

bool
auth_explain(struct auth *a, const struct auth_revoked *revoked, const char *unread,
    const char *token, int64_t now_ms)
{
	size_t len = strlen(token);
	unsigned int seen = auth_unwrap(&token, &len);
	bool good, is_api_key = auth_is_api_key((struct auth_credential){ token, len });

	explain_wrapping(seen, is_api_key);
	if (len == 0) {
		(void)puts("There is no token to explain.");
		good = false;
	} else if (is_api_key)
		good = explain_api_key(a, token, len);
	else
		good = explain_token(a, revoked, unread, token, len, now_ms);
	(void)fflush(stdout);
	return good;
}
