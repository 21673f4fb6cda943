/*
 * check_index.c - who listens to what, against topic_match() by brute force.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "index.h"
#include "suite.h"
#include "topic.h"

struct mine {
	struct index_node index;
	int		  hits;
};

static unsigned int state = 12345;

static unsigned int
rnd(unsigned int n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 10) % n;
}

/* A topic, or a pattern, of up to five segments over a small alphabet. */
static bool
make_name(char *out, bool pattern)
{
	static const char *const plain[] = { "a", "b", "", "ab" };
	unsigned int n = 1 + rnd(5);
	bool wild = false;

	out[0] = '\0';
	for (unsigned int i = 0; i < n; i++) {
		if (i > 0)
			strcat(out, "/");
		if (pattern && rnd(3) == 0) {
			strcat(out, i == n - 1 && rnd(2) ? "**" : "*");
			wild = true;
		} else
			strcat(out, plain[rnd(4)]);
	}
	return out[0] != '\0' && wild == pattern;
}

static void
hit(void *arg, void *node)
{
	(void)arg;
	((struct mine *)node)->hits++;
}

START_TEST(patterns_are_found_exactly_when_they_match_and_once)
{
	enum { N = 400 };
	static char names[N][64];
	static struct mine *nodes[N];
	struct index *ix = index_new(sizeof(struct mine));
	char topic[64];
	int n = 0, matches = 0;

	while (n < N) {
		if (!make_name(names[n], true))
			continue;
		nodes[n] = index_get(ix, names[n], strlen(names[n]), true, true);
		ck_assert_ptr_nonnull(nodes[n]);
		n++;
	}
	for (int round = 0; round < 3000; round++) {
		if (!make_name(topic, false))
			continue;
		for (int i = 0; i < N; i++)
			if (nodes[i] != NULL)
				nodes[i]->hits = 0;
		index_match(ix, topic, strlen(topic), hit, NULL);
		for (int i = 0; i < N; i++) {
			bool want;

			if (nodes[i] == NULL)
				continue;
			want = topic_match(names[i], strlen(names[i]), topic,
			    strlen(topic));
			ck_assert_msg(nodes[i]->hits == want, "%s and %s: %d",
			    names[i], topic, nodes[i]->hits);
			matches += want;
		}
		/* Now and then one goes; its name may stand for several here. */
		if (round % 8 == 0) {
			int gone = (int)rnd(N);
			struct mine *m = nodes[gone];

			if (m != NULL) {
				for (int i = 0; i < N; i++)
					if (nodes[i] == m)
						nodes[i] = NULL;
				index_drop(ix, m);
			}
		}
	}
	ck_assert_int_gt(matches, 1000);
	for (int i = 0; i < N; i++)
		for (int k = i; nodes[i] != NULL && k < N; k++)
			if (k != i && nodes[k] == nodes[i])
				nodes[k] = NULL;
	for (int i = 0; i < N; i++)
		if (nodes[i] != NULL)
			index_drop(ix, nodes[i]);
	ck_assert_uint_eq(index_count(ix), 0);
	index_match(ix, "a/b", 3, hit, NULL);
	index_free(ix, NULL);
}
END_TEST

START_TEST(a_plain_topic_has_one_node_for_all_who_ask)
{
	struct index *ix = index_new(sizeof(struct mine));
	struct mine *a = index_get(ix, "a/b", 3, false, true);

	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(a->index.name, "a/b");
	ck_assert_ptr_eq(index_get(ix, "a/b", 3, false, true), a);
	ck_assert_ptr_eq(index_get(ix, "a/b", 3, false, false), a);
	ck_assert_ptr_null(index_get(ix, "a/", 2, false, false));
	ck_assert_ptr_null(index_get(ix, "a/*", 3, true, false));
	ck_assert_uint_eq(index_patterns(ix), 0);
	index_drop(ix, a);
	ck_assert_ptr_null(index_get(ix, "a/b", 3, false, false));
	index_free(ix, NULL);
}
END_TEST

/* Whoever may read a topic of 14 segments asks for all patterns that lead nearly there. */
START_TEST(what_streams_may_ask_makes_a_topic_cost_256_ways_at_most)
{
	enum { DEEP = 14 };
	struct index *ix = index_new(sizeof(struct mine));
	char name[3 * DEEP];

	for (unsigned int stars = 1; stars < 1u << DEEP; stars++) {
		char *at = name;

		for (int i = 0; i < DEEP; i++)
			at += sprintf(at, "%c/", stars >> i & 1 ? '*' : 'a' + i);
		strcpy(at, "z");
		if (topic_is_cheap(name, strlen(name)))
			ck_assert_ptr_nonnull(index_get(ix, name, strlen(name), true, true));
	}
	ck_assert_uint_eq(index_patterns(ix), (1u << TOPIC_STARS) - 1);
	index_free(ix, NULL);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("index");
	TCase *t = tcase_create("index");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, patterns_are_found_exactly_when_they_match_and_once);
	tcase_add_test(t, a_plain_topic_has_one_node_for_all_who_ask);
	tcase_add_test(t, what_streams_may_ask_makes_a_topic_cost_256_ways_at_most);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
