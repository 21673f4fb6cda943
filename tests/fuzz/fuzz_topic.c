/*
 * fuzz_topic.c - topics and patterns: legal, matching and covering as their definition
 * says, read segment by segment; and the index finds just the patterns that match.
 *
 * Input: lines.  The first is a pattern or grant, the second what is asked for, the
 * others are more of both.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "index.h"
#include "topic.h"

#define LINES		8
#define SEGMENTS	1100		/* more than a topic can have */

struct segments {
	size_t	n;
	struct part v[SEGMENTS];	/* borrowed */
};

static void
cut(struct segments *s, const char *p, size_t len)
{
	const char *end = p + len, *slash;

	for (s->n = 0;; p = slash + 1) {
		slash = p == end ? NULL : memchr(p, '/', (size_t)(end - p));
		s->v[s->n].p = (char *)(uintptr_t)p;
		s->v[s->n++].len = slash == NULL ? (size_t)(end - p) :
		    (size_t)(slash - p);
		if (slash == NULL)
			return;
	}
}

static bool
is(struct part s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.p, word, s.len) == 0;
}

static bool
same(struct part a, struct part b)
{
	return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

static enum topic_kind
plain_classify(const char *p, size_t len)
{
	static struct segments s;
	enum topic_kind kind = TOPIC_PLAIN;

	if (len == 0 || len > 1024 || plain_utf8(p, len, NULL) < 0 ||
	    plain_control(p, len))
		return TOPIC_INVALID;
	cut(&s, p, len);
	for (size_t i = 0; i < s.n; i++) {
		if (is(s.v[i], "**") && i + 1 < s.n)
			return TOPIC_INVALID;
		if (is(s.v[i], "*") || is(s.v[i], "**"))
			kind = TOPIC_PATTERN;
	}
	return kind;
}

static bool
plain_match(const char *pattern, size_t plen, const char *topic, size_t tlen)
{
	static struct segments p, t;
	size_t i;

	cut(&p, pattern, plen);
	cut(&t, topic, tlen);
	for (i = 0; i < p.n; i++) {
		if (is(p.v[i], "**"))
			return true;
		if (i >= t.n || (!is(p.v[i], "*") && !same(p.v[i], t.v[i])))
			return false;
	}
	return i == t.n;
}

/*
 * Does `grant` match every topic that `asked` matches?  Every `*` is tried as a segment
 * that stands nowhere else, `**` as none of them, one, and so on to more than `grant`
 * could know of.
 */
static bool
plain_covers(const char *grant, size_t glen, const char *asked, size_t alen)
{
	static struct segments s;
	static const char fresh[] = "\x01";	/* no legal topic holds it */
	char topic[2 * 1024 + 2 * SEGMENTS + 8];
	size_t n, tries, len, i, k;
	bool rest;

	cut(&s, asked, alen);
	n = s.n;
	rest = is(s.v[n - 1], "**");
	tries = 1;
	if (rest) {
		n--;
		tries = glen + 3;
	}
	for (k = 0; k < tries; k++) {
		len = 0;
		for (i = 0; i < n + (rest ? k : 0); i++) {
			if (i > 0)
				topic[len++] = '/';
			if (i >= n || is(s.v[i], "*")) {
				memcpy(topic + len, fresh, 1);
				len++;
			} else {
				memcpy(topic + len, s.v[i].p, s.v[i].len);
				len += s.v[i].len;
			}
		}
		if (len > 0 && !plain_match(grant, glen, topic, len))
			return false;
	}
	return true;
}

static void
compare(struct part a, struct part b)
{
	enum topic_kind ka = topic_classify(a.p, a.len, NULL);
	enum topic_kind kb = topic_classify(b.p, b.len, NULL);

	if (ka == TOPIC_INVALID || kb == TOPIC_INVALID)
		return;
	if (kb == TOPIC_PLAIN)
		MUST(topic_match(a.p, a.len, b.p, b.len) ==
		    plain_match(a.p, a.len, b.p, b.len));
	if (a.len < 64 && b.len < 64)
		MUST(topic_covers(a.p, a.len, b.p, b.len) ==
		    plain_covers(a.p, a.len, b.p, b.len));
	if (kb == TOPIC_PLAIN)
		MUST(topic_covers(a.p, a.len, b.p, b.len) ==
		    topic_match(a.p, a.len, b.p, b.len));
}

/* What a subscription keeps: each once, in order, and the same when made from that. */
static void
collect(const struct part *v, size_t n)
{
	struct topic_name names[LINES];
	struct topics *t, *u;
	size_t legal = 0;
	bool any;

	for (size_t i = 0; i < n; i++)
		if (topic_classify(v[i].p, v[i].len, NULL) != TOPIC_INVALID)
			names[legal++] = (struct topic_name){ v[i].p, v[i].len, false };
	if (legal == 0)
		return;
	t = topics_new(names, legal);
	u = topics_new(t->v, t->n);
	MUST(t->n == u->n && t->has_pattern == u->has_pattern);
	for (size_t i = 0; i < t->n; i++) {
		MUST(strcmp(t->v[i].p, u->v[i].p) == 0);
		MUST(t->v[i].is_pattern == (plain_classify(t->v[i].p,
		    t->v[i].len) == TOPIC_PATTERN));
		for (size_t k = 0; k < i; k++)
			MUST(strcmp(t->v[i].p, t->v[k].p) != 0);
	}
	for (size_t i = 0; i < n; i++) {
		if (topic_classify(v[i].p, v[i].len, NULL) != TOPIC_PLAIN)
			continue;
		any = false;
		for (size_t k = 0; k < t->n; k++)
			any = any || plain_match(t->v[k].p, t->v[k].len, v[i].p,
			    v[i].len);
		MUST(topics_match(t, v[i].p, v[i].len) == any);
	}
	topics_unref(t);
	topics_unref(u);
}

struct node {
	struct index_node	node;
	unsigned int		hits;
};

static void
hit(void *arg, void *node)
{
	(void)arg;
	((struct node *)node)->hits++;
}

static void
look_up(const struct part *v, size_t n)
{
	struct index *ix = index_new(sizeof(struct node));
	struct node *nodes[LINES] = { NULL };
	enum topic_kind kind;

	for (size_t i = 0; i < n; i++)
		if ((kind = topic_classify(v[i].p, v[i].len, NULL)) !=
		    TOPIC_INVALID)
			nodes[i] = index_get(ix, v[i].p, v[i].len,
			    kind == TOPIC_PATTERN, true);
	for (size_t i = 0; i < n; i++) {
		if (topic_classify(v[i].p, v[i].len, NULL) != TOPIC_PLAIN)
			continue;
		for (size_t k = 0; k < n; k++)
			if (nodes[k] != NULL)
				nodes[k]->hits = 0;
		index_match(ix, v[i].p, v[i].len, hit, NULL);
		for (size_t k = 0; k < n; k++)
			if (nodes[k] != NULL)
				MUST(nodes[k]->hits == (nodes[k]->node.is_pattern &&
				    plain_match(v[k].p, v[k].len, v[i].p, v[i].len)));
	}
	for (size_t i = 0; i < n; i++) {
		if (nodes[i] == NULL)
			continue;
		for (size_t k = i + 1; k < n; k++)
			if (nodes[k] == nodes[i])
				nodes[k] = NULL;
		if (i % 2 == 0)
			index_drop(ix, nodes[i]);
	}
	index_free(ix, NULL);
}

FUZZ(topic)
{
	struct input in = { bytes, size };
	struct part v[LINES];
	const char *why;
	size_t n = 0;

	while (n < LINES && (n < 2 || in.len > 0))
		v[n++] = fuzz_line(&in);
	for (size_t i = 0; i < n; i++) {
		why = NULL;
		MUST(topic_classify(v[i].p, v[i].len, &why) ==
		    plain_classify(v[i].p, v[i].len));
		MUST(topic_classify(v[i].p, v[i].len, &why) != TOPIC_INVALID ||
		    why != NULL);
	}
	compare(v[0], v[1]);
	compare(v[1], v[0]);
	collect(v, n);
	look_up(v, n);
	for (size_t i = 0; i < n; i++)
		free(v[i].p);
	return 0;
}
