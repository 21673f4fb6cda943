/*
 * topic.c - topics and patterns, compared segment by segment.
 *
 * An empty topic is never legal, so two patterns promise a little more than
 * they seem to: `**` always has at least one segment to stand for, and so has
 * the `**` of the pattern slash-`**`, whose first segment is empty.
 * topic_covers() knows.
 *
 * Only a segment that is nothing but `*` or `**` is special: a*b and *** are
 * plain.
 */
#include "config.h"

#include "topic.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

/* A walk over the segments of a topic or pattern; at least one, maybe empty. */
struct walk {
	const char	*p;		/* the segment in hand */
	size_t		 len;
	const char	*end;		/* of the whole */
	bool		 done;		/* behind the last segment */
};

static void
walk_measure(struct walk *w)
{
	size_t left = (size_t)(w->end - w->p);
	const char *slash = left == 0 ? NULL : memchr(w->p, '/', left);

	w->len = slash == NULL ? left : (size_t)(slash - w->p);
}

static void
walk_begin(struct walk *w, const char *p, size_t len)
{
	w->p = p;
	w->end = p + len;
	w->done = false;
	walk_measure(w);
}

static bool
walk_is_last(const struct walk *w)
{
	return w->p + w->len == w->end;
}

static void
walk_next(struct walk *w)
{
	if (walk_is_last(w)) {
		w->done = true;
		return;
	}
	w->p += w->len + 1;
	walk_measure(w);
}

static bool
walk_at_one(const struct walk *w)
{
	return !w->done && w->len == 1 && w->p[0] == '*';
}

/* A `**` that is not last is illegal and gets no power here. */
static bool
walk_at_rest(const struct walk *w)
{
	return !w->done && w->len == 2 && w->p[0] == '*' && w->p[1] == '*' &&
	    walk_is_last(w);
}

static bool
walk_same(const struct walk *a, const struct walk *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

enum topic_kind
topic_classify(const char *p, size_t len, const char **why)
{
	enum topic_kind kind = TOPIC_PLAIN;
	const char *unused;
	struct walk w;

	if (why == NULL)
		why = &unused;
	if (len == 0) {
		*why = "is empty";
		return TOPIC_INVALID;
	}
	if (len > TOPIC_MAX_BYTES) {
		*why = "is longer than 1024 bytes";
		return TOPIC_INVALID;
	}
	if (!text_is_utf8(p, len)) {
		*why = "is not UTF-8";
		return TOPIC_INVALID;
	}
	if (text_has_control(p, len)) {
		*why = "holds a control character";
		return TOPIC_INVALID;
	}
	if (memchr(p, '*', len) == NULL)
		return TOPIC_PLAIN;
	for (walk_begin(&w, p, len); !w.done; walk_next(&w)) {
		if (walk_at_one(&w) || walk_at_rest(&w))
			kind = TOPIC_PATTERN;
		else if (w.len == 2 && memcmp(w.p, "**", 2) == 0) {
			*why = "has a segment ** that is not its last";
			return TOPIC_INVALID;
		}
	}
	return kind;
}

bool
topic_is_cheap(const char *p, size_t len)
{
	struct walk w;
	int nth = 1;

	for (walk_begin(&w, p, len); !w.done; walk_next(&w))
		if (nth++ > TOPIC_STARS && walk_at_one(&w))
			return false;
	return true;
}

bool
topic_match(const char *pattern, size_t plen, const char *topic, size_t tlen)
{
	struct walk pat, top;

	if (tlen == 0)
		return false;
	walk_begin(&pat, pattern, plen);
	walk_begin(&top, topic, tlen);
	while (!pat.done) {
		if (walk_at_rest(&pat))
			return true;
		if (top.done || (!walk_at_one(&pat) && !walk_same(&pat, &top)))
			return false;
		walk_next(&pat);
		walk_next(&top);
	}
	return top.done;
}

/*
 * Every segment of `asked` is taken as something new under the sun: a `*` of it
 * can only be met by a `*`, and its `**` by a `**`, for any literal of the
 * grant can be missed by choosing another segment.
 */
bool
topic_covers(const char *grant, size_t glen, const char *asked, size_t alen)
{
	struct walk g, a;
	bool empty_so_far = true;	/* zero more would be no topic */

	if (alen == 0)
		return false;
	walk_begin(&g, grant, glen);
	walk_begin(&a, asked, alen);
	while (!g.done) {
		if (walk_at_rest(&g))
			return true;
		if (a.done)
			return false;
		if (walk_at_rest(&a)) {
			/* One segment or more, in these two cases: as if
			 * `asked` had a `*` here, and its `**` after that. */
			if (!empty_so_far || !walk_at_one(&g))
				return false;
			empty_so_far = false;
			walk_next(&g);
			continue;
		}
		if (!walk_at_one(&g) && !walk_same(&g, &a))
			return false;
		empty_so_far = empty_so_far && a.p == asked && a.len == 0;
		walk_next(&g);
		walk_next(&a);
	}
	return a.done;
}

struct topics *
topics_new(const struct topic_name *names, size_t n)
{
	struct topics *t;
	struct topic_name *v;
	size_t bytes = 0, i, j;
	char *p;

	for (i = 0; i < n; i++)
		bytes += names[i].len + 1;
	if ((t = malloc(sizeof(*t) + n * sizeof(t->v[0]) + bytes)) == NULL)
		return NULL;
	t->refs = 1;
	t->n = 0;
	t->has_pattern = false;
	p = (char *)&t->v[n];
	for (i = 0; i < n; i++) {
		for (j = 0; j < t->n; j++)
			if (t->v[j].len == names[i].len && memcmp(t->v[j].p,
			    names[i].p, names[i].len) == 0)
				break;
		if (j < t->n)
			continue;
		v = &t->v[t->n++];
		v->p = p;
		v->len = names[i].len;
		memcpy(v->p, names[i].p, v->len);
		v->p[v->len] = '\0';
		v->is_pattern = topic_classify(v->p, v->len, NULL) ==
		    TOPIC_PATTERN;
		if (v->is_pattern)
			t->has_pattern = true;
		p += v->len + 1;
	}
	return t;
}

struct topics *
topics_ref(struct topics *t)
{
	(void)__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void
topics_unref(struct topics *t)
{
	if (t != NULL && __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(t);
}

bool
topics_match(const struct topics *t, const char *topic, size_t len)
{
	const struct topic_name *v;
	size_t i;

	for (i = 0; i < t->n; i++) {
		v = &t->v[i];
		if (v->is_pattern ? topic_match(v->p, v->len, topic, len) :
		    v->len == len && memcmp(v->p, topic, len) == 0)
			return true;
	}
	return false;
}
