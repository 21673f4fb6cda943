/*
 * check_issuers.c - several issuers side by side: whose rules open what, who is the same
 * person, and where a provider keeps grants.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

#define CLERK_KEY	"clerk-key-of-the-tests-0123456789abcdef"
#define OTHER_KEY	"other-key-of-the-tests-0123456789abcdef"
#define CLERK		"--auth.clerk.issuer=https://clerk", "--auth.clerk.key=" CLERK_KEY
#define OTHER		"--auth.other.issuer=https://other", "--auth.other.key=" OTHER_KEY

/* A header line with a token of this issuer (NULL: the house) over these claims. */
static char *
by(const char *issuer, const char *claims)
{
	const char *key = issuer == NULL ? HOUSE_KEY :
	    strcmp(issuer, "https://clerk") == 0 ? CLERK_KEY : OTHER_KEY;

	return fmt(BEARER "%s\r\n", token(key, fmt("{%s%s%s\"exp\":%lld%s%s}",
	    issuer != NULL ? "\"iss\":\"" : "", issuer != NULL ? issuer : "",
	    issuer != NULL ? "\"," : "", (long long)wall_s() + 600,
	    *claims != '\0' ? "," : "", claims)));
}

static int
reads(struct server *s, const char *topic, const char *header)
{
	return get(s, fmt("/history?topic=%s", url_encode(topic)), header)->status;
}

/* ---- rules ---- */

START_TEST(a_subject_of_one_issuer_is_not_that_of_another)
{
	struct server *s = server_start(CLERK, OTHER, "--auth.clerk.topics=clerk/{sub}/**",
	    "--auth.other.topics=none", "--topics.authenticated=user/{sub}/** all",
	    "--topics.public=open", NULL);
	static const struct {
		const char	*issuer, *topic;
		int		 status;
	} rows[] = {
		{ NULL, "user/ann/x", 200 }, { NULL, "clerk/ann/x", 403 },
		{ NULL, "user/**", 403 }, { NULL, "all", 200 },
		{ "https://clerk", "clerk/ann/x", 200 },
		{ "https://clerk", "clerk/**", 403 },
		{ "https://clerk", "user/ann/x", 403 },
		{ "https://clerk", "all", 403 },
		{ "https://other", "user/ann/x", 403 },
		{ "https://other", "clerk/ann/x", 403 },
		{ "https://other", "none", 403 }, { "https://other", "all", 403 },
		{ "https://other", "open", 200 }, { "https://other", "a/1", 200 },
	};

	for (size_t i = 0; i < N(rows); i++)
		ck_assert_msg(reads(s, rows[i].topic, by(rows[i].issuer, "\"sub\":\"ann\","
		    "\"fanfare\":{\"subscribe\":[\"a/**\"]}")) == rows[i].status,
		    "%s, %s", rows[i].issuer, rows[i].topic);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* What stands in a file, and what is said of it; NULL: it is well. */
static const struct {
	const char	*text, *says;
} shared[] = {
#define KEYS	"[auth]\nkey = " HOUSE_KEY "\n"
#define A	"[auth.a]\nissuer = a\nkey = " CLERK_KEY "\n"
#define B	"[auth.b]\nissuer = b\nkey = " OTHER_KEY "\n"
#define RULES	"[topics]\nauthenticated = all, user/{sub}/**\n"
	{ KEYS A RULES, "\"user/{sub}/**\" is for tokens of [auth] and of [auth.a]" },
	{ KEYS A "topics = a/{sub}/**\n" RULES, NULL },
	{ KEYS A "topics = none\n" RULES, NULL },
	{ KEYS "topics = none\n" A RULES, NULL },
	/* Who writes it twice means it. */
	{ KEYS A "topics = user/{sub}/**\n" RULES, NULL },
	{ KEYS A B RULES, "tokens of [auth] and of [auth.a]" },
	{ KEYS A "topics = x\n" B RULES, "tokens of [auth] and of [auth.b], so that" },
	{ KEYS A B "topics = b/{sub}/**\n" RULES, "Add a line to [auth.a]" },
	{ "[auth]\napi_keys = k:" API_KEY "\n" A RULES, NULL },
	{ "[auth]\napi_keys = k:" API_KEY "\n" A B RULES,
	    "tokens of [auth.a] and of [auth.b]" },
	{ "[auth]\napi_keys = k:" API_KEY "\n" A B "topics = none\n" RULES, NULL },
	/* Without a claim in it nobody is mistaken for anybody. */
	{ KEYS A B "[topics]\nauthenticated = all/**\n", NULL },
	{ KEYS A B, NULL },
	{ KEYS A "topics =\n", "auth.a.topics: names no topic; write none for no rule" },
	{ KEYS "topics =\n" A, "auth.topics: names no topic; write none for no rule" },
	{ KEYS A "topics = a/{sub\n", "auth.a.topics: \"a/{sub\": {claim} must be" },
	{ KEYS A "topics = a/**/b\n", "auth.a.topics: \"a/**/b\" is no pattern" },
};

START_TEST(issuers_that_would_share_a_rule_with_sub_are_refused_at_start)
{
	char *conf = fmt("%s/fanfare.conf", test_dir()), *out, *err;
	int code;

	for (size_t i = 0; i < N(shared); i++) {
		write_whole(conf, shared[i].text, strlen(shared[i].text));
		code = program_run(&out, &err, NULL, "check", "-c", conf,
		    fmt("--store.path=%s/x.db", test_dir()), NULL);
		ck_assert_msg(code == (shared[i].says == NULL ? 0 : 2), "%d: %s%s", code,
		    shared[i].text, err);
		ck_assert_msg(shared[i].says == NULL || strstr(err, shared[i].says) !=
		    NULL, "%s%s", shared[i].text, err);
	}
	code = server_refused(&err, "-c", conf, NULL);
	ck_assert_int_eq(code, 2);
}
END_TEST

START_TEST(a_reload_brings_the_rules_of_a_section)
{
	char *conf = fmt("%s/fanfare.conf", test_dir()), *text = fmt("%s", KEYS A
	    "topics = a/{sub}/**\n" RULES), *t = fmt(BEARER "%s\r\n",
	    token(CLERK_KEY, fmt("{\"iss\":\"a\",\"sub\":\"ann\",\"exp\":%lld}",
	    (long long)wall_s() + 600)));
	struct server *s;
	struct stream *house;
	int64_t end;

	write_whole(conf, text, strlen(text));
	s = server_start(fmt("-c%s", conf), NULL);
	house = stream_open(s, "/events?topic=user/ann/x", by(NULL, "\"sub\":\"ann\""));
	expect_live(house, false);
	ck_assert_int_eq(reads(s, "a/ann/x", t), 200);
	ck_assert_int_eq(reads(s, "new/ann/x", t), 403);
	text = fmt("%s", KEYS A "topics = new/{sub}/**\n" RULES);
	write_whole(conf, text, strlen(text));
	server_signal(s, SIGHUP);
	for (end = now_ms() + patience(SOON); reads(s, "new/ann/x", t) != 200;)
		ck_assert(now_ms() < end);
	ck_assert_int_eq(reads(s, "a/ann/x", t), 403);
	/* One that would mix up people changes nothing. */
	text = fmt("%s", KEYS A RULES);
	write_whole(conf, text, strlen(text));
	server_signal(s, SIGHUP);
	for (end = now_ms() + patience(SOON); strstr(read_whole(s->log),
	    "would be one reader") == NULL;)
		ck_assert(now_ms() < end);
	ck_assert_int_eq(reads(s, "user/ann/x", t), 403);
	publish(s, "user/ann/x", "2");
	expect_event(house, "message", "2");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- who is the same person ---- */

START_TEST(an_idempotency_key_is_one_persons_of_one_issuer)
{
	struct server *s = server_start(CLERK, OTHER, "--auth.clerk.publish=yes",
	    "--auth.other.publish=yes", NULL);
	static const char *const issuers[] = { NULL, "https://clerk", "https://other" };
	char *ids[N(issuers)];
	json_t *a;

	for (size_t i = 0; i < N(issuers); i++) {
		/* Two tokens of one person are one person. */
		for (int again = 0; again < 2; again++) {
			a = body_json(post(s, "/publish?topic=a/1", fmt(
			    "%sIdempotency-Key: k\r\n", by(issuers[i], fmt("\"sub\":\"ann\","
			    "\"n\":%d,\"fanfare\":{\"publish\":[\"a/**\"]}", again))), "x"));
			ck_assert_msg(json_is_true(json_object_get(a, "duplicate")) ==
			    (again == 1), "%s", issuers[i]);
			ids[i] = fmt("%s", text_at(a, "id"));
		}
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(ids[i], ids[k]);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- where grants are ---- */

#define GRANTS	"{\"subscribe\":[\"a/**\"]}"

static const struct {
	const char	*name;		/* auth.clerk.grants_claim */
	const char	*claims;
	int		 status;	/* of a/1 */
} places[] = {
	{ "fanfare", "\"fanfare\":" GRANTS, 200 },
	{ "app_metadata.fanfare", "\"app_metadata\":{\"fanfare\":" GRANTS "}", 200 },
	{ "app_metadata.fanfare", "\"app_metadata\":{\"plan\":1,\"fanfare\":" GRANTS "}", 200 },
	{ "a.b.c.d", "\"a\":{\"b\":{\"c\":{\"d\":" GRANTS "}}}", 200 },
	/* A name with dots is a name first. */
	{ "app_metadata.fanfare", "\"app_metadata.fanfare\":" GRANTS, 200 },
	{ "https://live.example.com/fanfare", "\"https://live.example.com/fanfare\":"
	    GRANTS, 200 },
	/* An address is never a path. */
	{ "https://live.example.com/fanfare",
	    "\"https://live\":{\"example\":{\"com/fanfare\":" GRANTS "}}", 403 },
	/* Which of the two was meant nobody can tell. */
	{ "app_metadata.fanfare", "\"app_metadata.fanfare\":" GRANTS
	    ",\"app_metadata\":{\"fanfare\":{}}", 401 },
	{ "app_metadata.fanfare", "\"app_metadata.fanfare\":{},\"app_metadata\":"
	    "{\"fanfare\":" GRANTS "}", 401 },
	/* Nothing at that place is no grant, and another place is another place. */
	{ "app_metadata.fanfare", "\"fanfare\":" GRANTS, 403 },
	{ "app_metadata.fanfare", "\"user_metadata\":{\"fanfare\":" GRANTS "}", 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":" GRANTS, 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":{}", 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":7", 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":[{\"fanfare\":" GRANTS "}]", 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":{\"app_metadata\":{\"fanfare\":"
	    GRANTS "}}", 403 },
	{ "fanfare", "\"app_metadata\":{\"fanfare\":" GRANTS "}", 403 },
	{ "app_metadata.fanfare", "\"app_metadata\":{\"fanfare\":[\"a/**\"]}", 401 },
	{ "app_metadata.fanfare", "\"app_metadata\":{\"fanfare\":{\"subscribe\":\"a/**\"}}",
	    401 },
	/* Dots without names between them name nothing but themselves. */
	{ "a..b", "\"a\":{\"\":{\"b\":" GRANTS "}}", 403 },
	{ "a..b", "\"a..b\":" GRANTS, 200 },
	{ ".a", "\"\":{\"a\":" GRANTS "}", 403 },
	{ "a.", "\"a\":{\"\":" GRANTS "}", 403 },
	{ "a.", "\"a\":" GRANTS, 403 },
};

START_TEST(grants_claim_is_a_name_or_a_path_and_never_both)
{
	for (size_t i = 0; i < N(places);) {
		const char *name = places[i].name;
		struct server *s = server_start(CLERK, fmt("--auth.clerk.grants_claim=%s",
		    name), NULL);

		/* One server for all rows of one name. */
		for (; i < N(places) && strcmp(places[i].name, name) == 0; i++)
			ck_assert_msg(reads(s, "a/1", by("https://clerk",
			    places[i].claims)) == places[i].status, "%s: %s", name,
			    places[i].claims);
		ck_assert_int_eq(server_stop(s), 0);
	}
}
END_TEST

START_TEST(what_users_write_about_themselves_is_no_grants_claim)
{
	static const char *const bad[] = { "user_metadata", "user_metadata.fanfare",
		"unsafe_metadata.fanfare", "unsafe_metadata", "sub", "aud" };
	char *said;

	for (size_t i = 0; i < N(bad); i++) {
		ck_assert_int_eq(server_refused(&said, CLERK,
		    fmt("--auth.clerk.grants_claim=%s", bad[i]), NULL), 2);
		ck_assert_msg(strstr(said, "auth.clerk.grants_claim") != NULL, "%s", said);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("issuers");
	TCase *t = harness_case(s, "rules", 60);

	tcase_add_test(t, a_subject_of_one_issuer_is_not_that_of_another);
	tcase_add_test(t, issuers_that_would_share_a_rule_with_sub_are_refused_at_start);
	tcase_add_test(t, a_reload_brings_the_rules_of_a_section);
	tcase_add_test(t, an_idempotency_key_is_one_persons_of_one_issuer);
	t = harness_case(s, "grants", 60);
	tcase_add_test(t, grants_claim_is_a_name_or_a_path_and_never_both);
	tcase_add_test(t, what_users_write_about_themselves_is_no_grants_claim);
	return s;
}

SUITE_MAIN
