/* check_topic.c - topic.h: what is legal, what matches, what covers. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topic.h"

#include "suite.h"

#define ADD_ROWS(tc, test, rows) tcase_add_loop_test((tc), test, 0,	\
	(int)(sizeof(rows) / sizeof((rows)[0])))

static const struct {
	const char	*text;
	enum topic_kind	 kind;
} legal_rows[] = {
	{ "scores/7", TOPIC_PLAIN },
	{ "a", TOPIC_PLAIN },
	{ "/", TOPIC_PLAIN },			/* two empty segments */
	{ "//", TOPIC_PLAIN },
	{ "a/", TOPIC_PLAIN },
	{ "https://example.com/books/1", TOPIC_PLAIN },
	{ "t\xc3\xb6re/\xe6\x97\xa5\xe6\x9c\xac", TOPIC_PLAIN },
	{ "with space/and {braces}?#%", TOPIC_PLAIN },
	{ "a*b", TOPIC_PLAIN },
	{ "a*/*b", TOPIC_PLAIN },
	{ "***", TOPIC_PLAIN },
	{ "a**/b", TOPIC_PLAIN },
	{ "a/***/b", TOPIC_PLAIN },
	{ "*", TOPIC_PATTERN },
	{ "**", TOPIC_PATTERN },
	{ "*/", TOPIC_PATTERN },
	{ "/*", TOPIC_PATTERN },
	{ "/**", TOPIC_PATTERN },
	{ "*/**", TOPIC_PATTERN },
	{ "scores/*/goals", TOPIC_PATTERN },
	{ "user/42/**", TOPIC_PATTERN },
	{ "a*b/*", TOPIC_PATTERN },
	{ "", TOPIC_INVALID },
	{ "**/", TOPIC_INVALID },
	{ "**/a", TOPIC_INVALID },
	{ "a/**/b", TOPIC_INVALID },
	{ "**/**", TOPIC_INVALID },
	{ "*/**/*", TOPIC_INVALID },
	{ "a\nb", TOPIC_INVALID },
	{ "a\tb", TOPIC_INVALID },
	{ "a\x7f", TOPIC_INVALID },
	{ "a\xc2\x85", TOPIC_INVALID },
	{ "a\xff", TOPIC_INVALID },
	{ "\xed\xa0\x80", TOPIC_INVALID },
	{ "*/\x01", TOPIC_INVALID },
};

START_TEST(only_whole_segments_of_asterisks_make_a_pattern)
{
	const char *text = legal_rows[_i].text, *why = NULL;

	ck_assert_int_eq(topic_classify(text, strlen(text), &why),
	    legal_rows[_i].kind);
	ck_assert((why != NULL) == (legal_rows[_i].kind == TOPIC_INVALID));
	ck_assert_int_eq(topic_classify(text, strlen(text), NULL),
	    legal_rows[_i].kind);
}
END_TEST

START_TEST(a_topic_is_at_most_1024_bytes_and_holds_no_nul)
{
	char text[TOPIC_MAX_BYTES + 1];
	const char *why;

	memset(text, 'a', sizeof(text));
	ck_assert_int_eq(topic_classify(text, TOPIC_MAX_BYTES, &why),
	    TOPIC_PLAIN);
	ck_assert_int_eq(topic_classify(text, TOPIC_MAX_BYTES + 1, &why),
	    TOPIC_INVALID);
	ck_assert_str_eq(why, "is longer than 1024 bytes");
	ck_assert_int_eq(topic_classify("a\0b", 3, &why), TOPIC_INVALID);
}
END_TEST

static const struct {
	const char	*pattern, *topic;
	bool		 matches;
} match_rows[] = {
	{ "a", "a", true },
	{ "a", "b", false },
	{ "a", "a/b", false },
	{ "a/b", "a", false },
	{ "a", "A", false },
	{ "a", "a/", false },
	{ "a/", "a/", true },
	{ "*", "a", true },
	{ "*", "a/b", false },
	{ "*", "/", false },
	{ "*/*", "/", true },
	{ "*/", "a/", true },
	{ "*/", "a/b", false },
	{ "**", "a", true },
	{ "**", "a/b/c", true },
	{ "**", "/", true },
	{ "scores/*/goals", "scores/7/goals", true },
	{ "scores/*/goals", "scores//goals", true },
	{ "scores/*/goals", "scores/goals", false },
	{ "scores/*/goals", "scores/7/8/goals", false },
	{ "scores/*/goals", "scores/7/goals/x", false },
	{ "user/42/**", "user/42", true },
	{ "user/42/**", "user/42/", true },
	{ "user/42/**", "user/42/a/b", true },
	{ "user/42/**", "user/421", false },
	{ "user/42/**", "user", false },
	{ "user/42/**", "user/4", false },
	{ "user/*/**", "user/1", true },
	{ "user/*/**", "user", false },
	{ "/**", "/", true },
	{ "/**", "/a", true },
	{ "/**", "a", false },
	{ "a*b", "a*b", true },
	{ "a*b", "axb", false },
	{ "***", "a", false },
	{ "**", "", false },		/* an empty topic is none */
	{ "*", "", false },
	{ "a/**/c", "a/b/c", false },	/* illegal: stands for nothing */
	{ "a/**/c", "a/b/d", false },
};

START_TEST(a_pattern_matches_segment_by_segment)
{
	ck_assert(topic_match(match_rows[_i].pattern,
	    strlen(match_rows[_i].pattern), match_rows[_i].topic,
	    strlen(match_rows[_i].topic)) == match_rows[_i].matches);
}
END_TEST

static const struct {
	const char	*grant, *asked;
	bool		 covers;
} cover_rows[] = {
	{ "a", "a", true },
	{ "a", "*", false },
	{ "a", "**", false },
	{ "*", "a", true },
	{ "*", "*", true },
	{ "*", "**", false },
	{ "*", "a/b", false },
	{ "**", "**", true },
	{ "**", "*/a", true },
	{ "user/42/**", "user/42", true },
	{ "user/42/**", "user/42/**", true },
	{ "user/42/**", "user/42/*/x", true },
	{ "user/42/**", "user/*/**", false },
	{ "user/42/**", "user/42*", false },
	{ "user/42/**", "user/**", false },
	{ "user/*", "user/**", false },
	{ "user/*/**", "user/**", false },	/* user itself */
	{ "user/**", "user/*/**", true },
	{ "scores/*/goals", "scores/7/goals", true },
	{ "scores/*/goals", "scores/*/goals", true },
	{ "scores/*/goals", "scores/*/*", false },
	{ "scores/*/*", "scores/*/goals", true },
	{ "scores/*/goals", "scores/**", false },
	/* what lies in there never being an empty topic */
	{ "*/**", "**", true },
	{ "*/*/**", "**", false },
	{ "/*/**", "/**", true },
	{ "*/*/**", "/**", true },
	{ "/*/*/**", "/**", false },
	{ "/*/**", "**", false },
	{ "//*/**", "//**", false },		/* the topic of one slash */
	{ "**", "", false },
	{ "a/**/c", "a/b/c", false },
	{ "a*", "ab", false },
};

START_TEST(a_grant_covers_no_more_than_it_says)
{
	ck_assert(topic_covers(cover_rows[_i].grant,
	    strlen(cover_rows[_i].grant), cover_rows[_i].asked,
	    strlen(cover_rows[_i].asked)) == cover_rows[_i].covers);
}
END_TEST

/*
 * All topics of one to four segments over {"", a, b, z} and all patterns of one
 * to three over {"", a, b, *} with and without a final `**`.  No pattern says
 * z, and topics are longer than patterns: so whatever `asked` could match
 * beyond the grant shows in one of these topics, and both directions can be
 * judged.
 */
#define MAX_NAMES	512
#define NAME_BYTES	16

struct names {
	size_t	n;
	char	v[MAX_NAMES][NAME_BYTES];
};

static void
enumerate(struct names *out, const char *const alphabet[4], size_t depth,
    bool with_rest)
{
	size_t segments, total, i, code, s;
	char text[NAME_BYTES];

	out->n = 0;
	for (segments = 1, total = 4; segments <= depth;
	    segments++, total *= 4) {
		for (i = 0; i < total; i++) {
			text[0] = '\0';
			for (s = 0, code = i; s < segments; s++, code /= 4) {
				if (s > 0)
					strcat(text, "/");
				strcat(text, alphabet[code % 4]);
			}
			if (text[0] != '\0')
				strcpy(out->v[out->n++], text);
			if (!with_rest)
				continue;
			strcat(text, "/**");
			strcpy(out->v[out->n++], text);
		}
	}
	if (with_rest)
		strcpy(out->v[out->n++], "**");
	ck_assert_uint_le(out->n, MAX_NAMES);
}

START_TEST(covering_is_matching_whatever_the_other_matches)
{
	static const char *const topic_words[4] = { "", "a", "b", "z" };
	static const char *const pattern_words[4] = { "", "a", "b", "*" };
	static struct names topics, patterns;
	static bool hit[MAX_NAMES][MAX_NAMES];
	const char *grant, *asked;
	size_t g, a, t, covered = 0;
	bool subset;

	enumerate(&topics, topic_words, 4, false);
	enumerate(&patterns, pattern_words, 3, true);
	for (a = 0; a < patterns.n; a++) {
		ck_assert_int_ne(topic_classify(patterns.v[a],
		    strlen(patterns.v[a]), NULL), TOPIC_INVALID);
		for (t = 0; t < topics.n; t++)
			hit[a][t] = topic_match(patterns.v[a],
			    strlen(patterns.v[a]), topics.v[t],
			    strlen(topics.v[t]));
	}
	for (g = 0; g < patterns.n; g++)
		for (a = 0; a < patterns.n; a++) {
			subset = true;
			for (t = 0; t < topics.n && subset; t++)
				subset = !hit[a][t] || hit[g][t];
			grant = patterns.v[g];
			asked = patterns.v[a];
			if (topic_covers(grant, strlen(grant), asked,
			    strlen(asked)) != subset)
				ck_abort_msg("%s %s %s", grant, subset ?
				    "should cover" : "should not cover", asked);
			covered += subset;
		}
	/* Neither answer is rare. */
	ck_assert_uint_gt(covered, patterns.n);
	ck_assert_uint_lt(covered, patterns.n * patterns.n / 2);
}
END_TEST

/* The definition, by recursion over text: nothing shared with topic.c. */
static bool
match_by_definition(const char *p, const char *t)
{
	size_t plen = strcspn(p, "/"), tlen = strcspn(t, "/");

	if (strcmp(p, "**") == 0)
		return true;
	if (!(plen == 1 && p[0] == '*') &&
	    (plen != tlen || memcmp(p, t, plen) != 0))
		return false;
	if (p[plen] == '\0')
		return t[tlen] == '\0';
	if (t[tlen] == '\0')		/* a final ** may stand for nothing */
		return strcmp(p + plen, "/**") == 0;
	return match_by_definition(p + plen + 1, t + tlen + 1);
}

static uint64_t
draw(uint64_t *state, uint64_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (*state >> 33) % below;
}

static void
random_name(uint64_t *state, char out[64], bool pattern)
{
	static const char *const words[] = { "", "a", "b", "ab", "a*", "***",
	    "\xc3\xa9", "*" };
	size_t i, n = 1 + draw(state, 6);

	do {
		out[0] = '\0';
		for (i = 0; i < n; i++) {
			if (i > 0)
				strcat(out, "/");
			strcat(out, words[draw(state, pattern ? 8 : 7)]);
		}
		if (pattern && draw(state, 3) == 0)
			strcat(out, "/**");
	} while (out[0] == '\0');
}

/* A topic that `pattern` matches more often than not. */
static void
random_topic_like(uint64_t *state, char out[64], const char *pattern)
{
	const char *p = pattern;
	char tail[64] = "";

	for (out[0] = '\0'; *p != '\0' && strlen(out) < 24; p++) {
		if (*p == '*') {
			random_name(state, tail, false);
			tail[*p == '*' && p[1] != '*' && draw(state, 8) != 0 ?
			    strcspn(tail, "/") : 20] = '\0';
			strcat(out, tail);
			p += strspn(p, "*") - 1;
		} else
			strcat(out, (const char[]){ *p, '\0' });
	}
	if (out[0] == '\0')
		strcpy(out, "a");
}

START_TEST(random_grants_never_let_through_what_they_do_not_match)
{
	char grant[64], asked[64], topic[64];
	uint64_t state = 20260611;
	size_t i, j, covers = 0, witnessed = 0;
	bool covered;

	for (i = 0; i < 200000; i++) {
		random_name(&state, grant, true);
		/* Related more often than chance would have it. */
		if (draw(&state, 2) == 0)
			random_name(&state, asked, true);
		else
			snprintf(asked, sizeof(asked), "%.*s/%s",
			    (int)strcspn(grant, "*"), grant,
			    draw(&state, 2) == 0 ? "a" : "*");
		if (topic_classify(asked, strlen(asked), NULL) ==
		    TOPIC_INVALID)
			continue;
		covered = topic_covers(grant, strlen(grant), asked,
		    strlen(asked));
		covers += covered;
		for (j = 0; j < 4; j++) {
			random_topic_like(&state, topic, asked);
			if (topic_match(asked, strlen(asked), topic,
			    strlen(topic)) != match_by_definition(asked, topic))
				ck_abort_msg("%s on %s", asked, topic);
			if (!match_by_definition(asked, topic))
				continue;
			witnessed += covered;
			if (covered && !match_by_definition(grant, topic))
				ck_abort_msg("%s covers %s, but not %s",
				    grant, asked, topic);
		}
	}
	ck_assert_uint_gt(covers, 1000);
	ck_assert_uint_gt(witnessed, 1000);
}
END_TEST

/* topics_new borrows: names are cast, never written. */
static struct topic_name
named(char *p)
{
	struct topic_name n = { p, strlen(p), false };

	return n;
}

START_TEST(a_subscription_keeps_each_name_once_in_order)
{
	char a[] = "scores/7", b[] = "user/*", c[] = "scores/7", d[] = "z";
	struct topic_name names[4];
	struct topics *t;

	names[0] = named(a);
	names[1] = named(b);
	names[2] = named(c);
	names[3] = named(d);
	t = topics_new(names, 4);
	ck_assert_ptr_nonnull(t);
	memset(a, 'x', strlen(a));	/* it has its own copy */
	ck_assert_uint_eq(t->n, 3);
	ck_assert_str_eq(t->v[0].p, "scores/7");
	ck_assert_str_eq(t->v[1].p, "user/*");
	ck_assert_str_eq(t->v[2].p, "z");
	ck_assert_uint_eq(t->v[0].len, 8);
	ck_assert(!t->v[0].is_pattern);
	ck_assert(t->v[1].is_pattern);
	ck_assert(t->has_pattern);
	ck_assert(topics_match(t, "scores/7", 8));
	ck_assert(topics_match(t, "user/1", 6));
	ck_assert(topics_match(t, "z", 1));
	ck_assert(!topics_match(t, "scores/8", 8));
	ck_assert(!topics_match(t, "user/*/1", 8));
	ck_assert(!topics_match(t, "", 0));
	ck_assert_ptr_eq(topics_ref(t), t);
	topics_unref(t);
	ck_assert_uint_eq(t->n, 3);	/* the last reference is still ours */
	topics_unref(t);
	topics_unref(NULL);
}
END_TEST

START_TEST(a_subscription_without_patterns_says_so)
{
	char a[] = "a*b";
	struct topic_name name = named(a);
	struct topics *t = topics_new(&name, 1);

	ck_assert_ptr_nonnull(t);
	ck_assert(!t->has_pattern);
	ck_assert(topics_match(t, "a*b", 3));
	ck_assert(!topics_match(t, "axb", 3));
	topics_unref(t);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("topic");
	TCase *tc = tcase_create("topic");

	tcase_set_timeout(tc, 60);
	ADD_ROWS(tc, only_whole_segments_of_asterisks_make_a_pattern,
	    legal_rows);
	tcase_add_test(tc, a_topic_is_at_most_1024_bytes_and_holds_no_nul);
	ADD_ROWS(tc, a_pattern_matches_segment_by_segment, match_rows);
	ADD_ROWS(tc, a_grant_covers_no_more_than_it_says, cover_rows);
	tcase_add_test(tc, covering_is_matching_whatever_the_other_matches);
	tcase_add_test(tc,
	    random_grants_never_let_through_what_they_do_not_match);
	tcase_add_test(tc, a_subscription_keeps_each_name_once_in_order);
	tcase_add_test(tc, a_subscription_without_patterns_says_so);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
