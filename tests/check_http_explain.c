/*
 * check_http_explain.c - `fanfare explain` and the server say the same of a token: thrown
 * together from claims that are right, wrong, of another type or not there, in a sample
 * that FANFARE_TEST_SEED chooses.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

#define LOGIN_KEY	"login-key-of-the-tests-0123456789abcdef"
#define LOGIN		"https://login.example.com"

static const char config[] =
    "[auth]\nkey = " HOUSE_KEY "\naudience = fan\ngrace = 10m\nmax_life = 2h\n"
    "topics = user/{sub}/**, of/{org}/**\n"
    "[topics]\npublic = pub/**\n"
    "[auth.login]\nkey = " LOGIN_KEY "\nissuer = " LOGIN "\npublish = no\n"
    "grants_claim = app.fanfare\ntopics = login/{sub}/**\n";

/* What is asked for, and the line of `explain` that opens it. */
static const struct { const char *topic, *line; } topics[] = {
	{ "a", "    a\n" },
	{ "b/1", "    b/**\n" },
	{ "user/ann/x", "    user/ann/**   " },
	{ "login/ann/x", "    login/ann/**   " },
	{ "of/x y/1", "    of/x y/**   " },
	{ "pub/1", "    pub/**\n" },
	{ "none", "    none\n" },
};

/* A claim of these, which the first is most often; %lld is so many seconds from now. */
static const struct {
	const char	*format;
	long long	 from_now;
} pool[][8] = {
	{ { ",\"exp\":%lld", 1000 }, { ",\"exp\":%lld.5", 900 },
	    { ",\"exp\":%lld", -100 }, { ",\"exp\":%lld", -1000 },
	    { ",\"exp\":\"%lld\"", 1000 }, { ",\"exp\":%lld000", 1000 }, { "", 0 },
	    { ",\"exp\":%lld", 90000 } },
	{ { ",\"iat\":%lld", -300 }, { ",\"iat\":%lld", 500 }, { "", 0 },
	    { ",\"iat\":null", 0 }, { ",\"iat\":%lld", -7000 }, { ",\"iat\":0", 0 } },
	{ { ",\"sub\":\"ann\"", 0 }, { "", 0 }, { ",\"sub\":\"\"", 0 },
	    { ",\"sub\":\"*\"", 0 }, { ",\"sub\":42", 0 }, { ",\"sub\":\"a/n\"", 0 },
	    { ",\"sub\":\"Ann\"", 0 } },
	{ { ",\"aud\":\"fan\"", 0 }, { ",\"aud\":[\"x\",\"fan\"]", 0 },
	    { ",\"aud\":\"Fan\"", 0 }, { ",\"aud\":[]", 0 }, { "", 0 } },
	{ { ",\"fanfare\":{\"subscribe\":[\"a\"],\"publish\":[\"a\"]}", 0 },
	    { ",\"fanfare\":{\"subscribe\":[\"b/**\",\"\"],\"publish\":[\"a\"]}", 0 },
	    { ",\"fanfare\":{\"rate\":0,\"publish\":[\"a\"]}", 0 },
	    { ",\"fanfare\":{\"publish\":\"a\"}", 0 }, { ",\"fanfare\":[]", 0 },
	    { ",\"app\":{\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"a\"]}}", 0 },
	    { ",\"app\":{\"fanfare\":{\"subscribe\":[\"b/**\"]}},\"app.fanfare\":{}", 0 } },
	{ { "", 0 }, { ",\"nbf\":%lld", 500 }, { ",\"nbf\":%lld", -5 },
	    { ",\"nbf\":[]", 0 } },
	{ { "", 0 }, { ",\"jti\":\"j\"", 0 }, { ",\"jti\":1", 0 } },
	{ { "", 0 }, { ",\"org\":\"x y\"", 0 }, { ",\"org\":\"**\"", 0 },
	    { ",\"org\":\"a/b\"", 0 } },
};

static char *
throw_claims(void)
{
	const char *who = dice(2) == 0 ? "\"iss\":\"" LOGIN "\"" : dice(4) == 0 ?
	    "\"iss\":\"" LOGIN "/\"" : "\"n\":1";
	char *text = fmt("{%s", who);
	const char *f;
	size_t i, k, n;

	for (i = 0; i < sizeof pool / sizeof *pool; i++) {
		for (n = 1; n < 8 && pool[i][n].format != NULL; n++)
			;
		/* One thing wrong in many tokens, or they would all be refused. */
		k = dice(4) == 0 || i == 4 ? dice((uint32_t)n) : 0;
		f = pool[i][k].format;
		if (strstr(f, "%lld") != NULL) {
			char claim[128];
			const char *at = strstr(f, "%lld");

			(void)snprintf(claim, sizeof claim, "%.*s%lld%s", (int)(at - f),
			    f, (long long)wall_s() + pool[i][k].from_now, at + 4);
			text = fmt("%s%s", text, claim);
		} else
			text = fmt("%s%s", text, f);
	}
	return fmt("%s}", text);
}

/* The part of what is said that begins with `from`, up to `to`. */
static bool
lists(const char *said, const char *from, const char *to, const char *line)
{
	const char *begin = strstr(said, from), *end, *at;

	if (begin == NULL)
		return false;
	end = to != NULL ? strstr(begin, to) : NULL;
	at = strstr(begin, line);
	return at != NULL && (end == NULL || at < end);
}

static void
compare(struct server *s, const char *jwt, const char *claims, const char *said)
{
	const char *refused = strstr(said, "Refused with 401 ");
	const char *head = fmt(BEARER "%s\r\n", jwt);
	bool marked = strstr(said, " NO  ") != NULL, alone = strstr(said,
	    "for subscribing alone") != NULL, opens, may;
	struct answer *a;

	/* Whoever nobody judges is told so in the first lines. */
	ck_assert_msg((refused != NULL || strstr(said, "Accepted") == NULL) ? marked :
	    marked == alone, "%s\n%s", claims, said);
	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
		a = get(s, fmt("/history?topic=%s", url_encode(topics[i].topic)), head);
		may = strncmp(topics[i].topic, "pub/", 4) == 0 ||
		    (strstr(said, "Accepted") != NULL &&
		    lists(said, "  subscribe to:", NULL, topics[i].line));
		ck_assert_msg((a->status == 200) == may, "%s: %d\n%s\n%s",
		    topics[i].topic, a->status, claims, said);
		if (a->status != 200 && strstr(said, "Accepted") == NULL)
			ck_assert_msg(a->status == 401 && (refused == NULL ||
			    strncmp(refused + 17, text_at(body_json(a), "code"),
			    strlen(text_at(body_json(a), "code"))) == 0), "%s: %s\n%s\n%s",
			    topics[i].topic, a->body, claims, said);
		else if (a->status != 200)
			ck_assert_int_eq(a->status, 403);
	}
	opens = strstr(said, "Accepted") != NULL && !alone &&
	    lists(said, "  publish to:", "  subscribe to:", "    a\n");
	a = post(s, "/publish?topic=a", head, "x");
	ck_assert_msg((a->status == 200) == opens, "publish: %d\n%s\n%s", a->status,
	    claims, said);
	if (a->status != 200)
		ck_assert_int_eq(a->status, strstr(said, "Accepted") != NULL && !alone ?
		    403 : 401);
}

START_TEST(explain_and_the_server_say_the_same_of_a_token)
{
	char *conf = fmt("%s/fanfare.conf", test_dir()), *claims, *jwt, *said;
	struct server *s;
	int accepted = 0, n = size_of_run(150, 2000);

	write_whole(conf, config, sizeof config - 1);
	s = server_start(fmt("-c%s", conf), "--auth.key=", NULL);
	for (int i = 0; i < n; i++) {
		claims = throw_claims();
		jwt = token(dice(8) == 0 ? "another-key-of-the-tests-0123456789abcd" :
		    strstr(claims, "\"" LOGIN "\"") != NULL ? LOGIN_KEY : HOUSE_KEY,
		    claims);
		(void)program_run(&said, NULL, NULL, "explain", "-c", conf, jwt, NULL);
		accepted += strstr(said, "Accepted") != NULL;
		compare(s, jwt, claims, said);
	}
	/* Or it proves nothing. */
	ck_assert_int_gt(accepted, n / 20);
	ck_assert_int_lt(accepted, n - n / 20);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("http_explain");

	tcase_add_test(harness_case(s, "sample", size_of_run(60, 600)),
	    explain_and_the_server_say_the_same_of_a_token);
	return s;
}

SUITE_MAIN
