/*
 * check_auth_rules.c - which topics a key, a grant or a rule opens: what
 * tests/data/scopes.txt has no place for.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth_rig.h"

START_TEST(an_api_key_holds_for_its_patterns)
{
	const char *list[] = { "all:" API_KEY,
	    "news:" API_KEY2 ":news/**  https://x/1 a/*", NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	struct auth_identity all = identity(a, API_KEY, AUTH_PUBLISH);
	struct auth_identity news = identity(a, API_KEY2, AUTH_PUBLISH);

	ck_assert(all.is_api_key && all.sub == NULL);
	ck_assert(all.expires_ms == 0 && all.exp_ms == 0 && all.key_id != 0);
	ck_assert(publishes(a, &all, "any/thing"));
	ck_assert(subscribes(a, &all, "**"));
	ck_assert(publishes(a, &news, "news"));
	ck_assert(publishes(a, &news, "news/a/b"));
	ck_assert(publishes(a, &news, "https://x/1"));
	ck_assert(publishes(a, &news, "a/b"));
	ck_assert(!publishes(a, &news, "a/b/c"));
	ck_assert(!publishes(a, &news, "newsletter"));
	ck_assert(!publishes(a, &news, "a/*"));		/* not a topic */
	ck_assert(subscribes(a, &news, "a/*"));
	ck_assert(!subscribes(a, &news, "**"));
	ck_assert(!subscribes(a, &news, "other"));
	ck_assert(all.key_id != news.key_id && all.principal != news.principal);
	auth_identity_fini(&all);
	auth_identity_fini(&news);
	auth_free(a);
}
END_TEST

START_TEST(an_api_key_is_matched_whole)
{
	static const char *const wrong[] = {
		"ffk_", "ffk_5Nd8sKw0tPq2vRz7yBxLcMf", API_KEY "x", API_KEY " ",
		"ffk_5Nd8sKw0tPq2vRz7yBxLcMf4", "FFK_5Nd8sKw0tPq2vRz7yBxLcMf3",
		"all", ("all:" API_KEY),
	};
	const char *list[] = { "all:" API_KEY, NULL };
	struct auth_conf c = { .api_keys = list };
	struct auth *a = auth_of(&c);
	size_t i;

	for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		ck_assert_int_eq(outcome(a, wrong[i], AUTH_PUBLISH, NOW),
		    PROBLEM_TOKEN_INVALID);
	ck_assert_int_eq(outcome(a, API_KEY, AUTH_PUBLISH, NOW), 0);
	auth_free(a);
}
END_TEST

START_TEST(grants_claim_may_have_another_name)
{
	struct auth_conf c = { .house.key = SECRET64,
	    .house.grants_claim = "https://example.com/fanfare" };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity_of_claims(a, "{" EXP
	    ",\"fanfare\":{\"publish\":[\"no\"]},"
	    "\"https://example.com/fanfare\":{\"publish\":[\"yes\"]}}",
	    AUTH_PUBLISH);

	ck_assert(publishes(a, &id, "yes") && !publishes(a, &id, "no"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(public_topics_need_nobody_and_never_publish)
{
	const char *public[] = { "news/**", "scores/*", NULL };
	const char *list[] = { "other:" API_KEY ":other", NULL };
	struct auth_conf c = { .api_keys = list, .public_topics = public };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity(a, API_KEY, AUTH_PUBLISH);

	ck_assert(subscribes(a, NULL, "news") && subscribes(a, NULL, "news/a/b"));
	ck_assert(subscribes(a, NULL, "news/**") && subscribes(a, NULL, "scores/*"));
	ck_assert(!subscribes(a, NULL, "scores/**"));
	ck_assert(!subscribes(a, NULL, "**"));
	ck_assert(!subscribes(a, NULL, "newsroom"));
	ck_assert(auth_is_public(a, "scores/1", 8));
	ck_assert(!auth_is_public(a, "other", 5));
	ck_assert(subscribes(a, &id, "news/a") && subscribes(a, &id, "other"));
	ck_assert(!publishes(a, &id, "news/a"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(a_claim_may_not_make_a_topic_too_long)
{
	const char *rules[] = { "user/{sub}", NULL };
	struct auth_conf c = { .house.key = SECRET64, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	struct auth_identity id;
	char topic[1100], claims[1200];
	int n;

	for (n = 1010; n < 1030; n++) {
		memset(topic, 'x', sizeof topic);
		memcpy(topic, "user/", 5);
		topic[5 + n] = '\0';
		(void)snprintf(claims, sizeof claims, "{\"sub\":\"%s\"," EXP "}",
		    topic + 5);
		id = identity_of_claims(a, claims, AUTH_SUBSCRIBE);
		ck_assert_int_eq(subscribes(a, &id, topic), 5 + n <= 1024);
		auth_identity_fini(&id);
	}
	auth_free(a);
}
END_TEST

START_TEST(rules_are_not_for_api_keys)
{
	const char *rules[] = { "app/**", NULL };
	const char *list[] = { "web:" API_KEY ":web/**", NULL };
	struct auth_conf c = { .api_keys = list, .authenticated_topics = rules };
	struct auth *a = auth_of(&c);
	struct auth_identity id = identity(a, API_KEY, AUTH_SUBSCRIBE);

	ck_assert(subscribes(a, &id, "web/1") && !subscribes(a, &id, "app/1"));
	auth_identity_fini(&id);
	auth_free(a);
}
END_TEST

START_TEST(a_bad_rule_is_refused_by_name)
{
	static const struct {
		const char *public, *authenticated, *says;
	} cases[] = {
		{ "a/**/b", NULL, "topics.public: the topic \"a/**/b\" has" },
		{ "a\nb", NULL, "control character" },
		{ "user/{sub}", NULL, "topics.public: \"user/{sub}\" names a claim" },
		{ "{sub}", NULL, "names a claim" },
		{ "{sub}/x", NULL, "names a claim" },
		{ NULL, "a/**/b", "topics.authenticated: the topic" },
		{ NULL, "user/{sub", "whole segment" },
		{ NULL, "user/sub}", "whole segment" },
		{ NULL, "user/{}", "whole segment" },
		{ NULL, "user/x{sub}", "whole segment" },
		{ NULL, "user/{sub}x", "whole segment" },
		{ NULL, "user/{sub}{org}", "whole segment" },
		{ NULL, "user/{{sub}}", "whole segment" },
		{ NULL, "user/**/{sub}", "topics.authenticated: the topic" },
		{ NULL, "\xff/{sub}", "not UTF-8" },
	};
	const char *public[2] = { NULL, NULL }, *authenticated[2] = { NULL, NULL };
	struct auth_conf c = { .house.key = SECRET64, .public_topics = public,
	    .authenticated_topics = authenticated };
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		public[0] = cases[i].public;
		authenticated[0] = cases[i].authenticated;
		ck_says(refusal(&c), cases[i].says);
	}
	public[0] = "a{b}c";		/* odd, but a topic */
	authenticated[0] = "{sub}";
	ck_says(refusal(&c), "(accepted)");
	c.house.grants_claim = "sub";
	ck_says(refusal(&c), "auth.grants_claim");
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_rules");
	TCase *tc = rig_case(s, "rules");

	tcase_add_test(tc, an_api_key_holds_for_its_patterns);
	tcase_add_test(tc, an_api_key_is_matched_whole);
	tcase_add_test(tc, grants_claim_may_have_another_name);
	tcase_add_test(tc, public_topics_need_nobody_and_never_publish);
	tcase_add_test(tc, a_claim_may_not_make_a_topic_too_long);
	tcase_add_test(tc, rules_are_not_for_api_keys);
	tcase_add_test(tc, a_bad_rule_is_refused_by_name);
	return s;
}

SUITE_MAIN
