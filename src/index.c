/*
 * index.c - the trie of patterns lives in one map, keyed by (parent's number, segment).
 *
 * So a trie of any width costs one lookup a step.  A trie place is freed when nothing
 * ends there and nothing goes on from there.
 */
#include "config.h"

#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "topic.h"


struct trie {
	struct trie	*parent;
	uint32_t	 number;	/* its children's keys begin with it */
	uint32_t	 kids;
	struct index_node *here;	/* a pattern that ends with this segment */
	struct index_node *deep;	/* a pattern that ends in ** after it */
	size_t		 key_len;
	char		 key[];		/* parent's number, then the segment */
};

struct index {
	size_t		 node_size;
	struct map	*plain, *tries;
	struct trie	*root;
	uint32_t	 last_number;
	size_t		 npatterns;
};

struct index *
index_new(size_t node_size)
{
	struct index *ix;

	if ((ix = calloc(1, sizeof(*ix))) == NULL)
		return NULL;
	ix->node_size = node_size;
	if ((ix->plain = map_new()) == NULL ||
	    (ix->tries = map_new()) == NULL ||
	    (ix->root = calloc(1, sizeof(*ix->root))) == NULL) {
		index_free(ix, NULL);
		return NULL;
	}
	return ix;
}

static void
free_node(struct index_node *n, void (*each)(void *node))
{
	if (n == NULL)
		return;
	if (each != NULL)
		each(n);
	free(n->name);
	free(n);
}

void
index_free(struct index *ix, void (*each)(void *node))
{
	struct index_node *n;
	struct trie *t;
	size_t pos;

	if (ix == NULL)
		return;
	if (ix->plain != NULL)
		for (pos = 0; (n = map_next(ix->plain, &pos)) != NULL;)
			free_node(n, each);
	if (ix->tries != NULL)
		for (pos = 0; (t = map_next(ix->tries, &pos)) != NULL;) {
			free_node(t->here, each);
			free_node(t->deep, each);
			free(t);
		}
	if (ix->root != NULL)
		free_node(ix->root->deep, each);
	free(ix->root);
	map_free(ix->plain);
	map_free(ix->tries);
	free(ix);
}

static struct trie *
step(const struct index *ix, const struct trie *from, const char *seg, size_t len)
{
	char key[sizeof(uint32_t) + TOPIC_MAX_BYTES];

	memcpy(key, &from->number, sizeof(from->number));
	if (len > 0)
		memcpy(key + sizeof(from->number), seg, len);
	return map_get(ix->tries, key, sizeof(from->number) + len);
}

static struct trie *
step_or_make(struct index *ix, struct trie *from, const char *seg, size_t len)
{
	struct trie *t;

	if ((t = step(ix, from, seg, len)) != NULL)
		return t;
	if ((t = calloc(1, sizeof(*t) + sizeof(uint32_t) + len)) == NULL)
		return NULL;
	t->parent = from;
	t->number = ++ix->last_number;
	t->key_len = sizeof(uint32_t) + len;
	memcpy(t->key, &from->number, sizeof(uint32_t));
	if (len > 0)
		memcpy(t->key + sizeof(uint32_t), seg, len);
	if (map_put(ix->tries, t->key, t->key_len, t) == -1) {
		free(t);
		return NULL;
	}
	from->kids++;
	return t;
}

/* Free the places on the way up that lead nowhere any more. */
static void
trim(struct index *ix, struct trie *t)
{
	struct trie *up;

	while (t->parent != NULL && t->kids == 0 && t->here == NULL &&
	    t->deep == NULL) {
		up = t->parent;
		(void)map_del(ix->tries, t->key, t->key_len);
		free(t);
		up->kids--;
		t = up;
	}
}

/* Where a pattern's node hangs: the place, and which of its two hooks. */
static struct index_node **
hook_of(struct index *ix, const char *name, size_t len, bool make,
    struct trie **place)
{
	struct trie *t = ix->root, *next;
	const char *end = name + len, *seg = name, *slash;
	size_t n;

	for (;;) {
		slash = memchr(seg, '/', (size_t)(end - seg));
		n = (size_t)((slash != NULL ? slash : end) - seg);
		if (slash == NULL && n == 2 && memcmp(seg, "**", 2) == 0) {
			*place = t;
			return &t->deep;
		}
		next = make ? step_or_make(ix, t, seg, n) : step(ix, t, seg, n);
		if (next == NULL) {
			if (make)
				trim(ix, t);
			return NULL;
		}
		t = next;
		if (slash == NULL) {
			*place = t;
			return &t->here;
		}
		seg = slash + 1;
	}
}

static struct index_node *
make_node(struct index *ix, const char *name, size_t len, bool is_pattern)
{
	struct index_node *n;

	if ((n = calloc(1, ix->node_size)) == NULL)
		return NULL;
	if ((n->name = malloc(len + 1)) == NULL) {
		free(n);
		return NULL;
	}
	memcpy(n->name, name, len);
	n->name[len] = '\0';
	n->len = (uint16_t)len;
	n->is_pattern = is_pattern;
	return n;
}

void *
index_get(struct index *ix, const char *name, size_t len, bool is_pattern,
    bool make)
{
	struct index_node *n, **hook;
	struct trie *place;

	if (!is_pattern) {
		if ((n = map_get(ix->plain, name, len)) != NULL || !make)
			return n;
		if ((n = make_node(ix, name, len, false)) == NULL)
			return NULL;
		if (map_put(ix->plain, n->name, len, n) == -1) {
			free_node(n, NULL);
			return NULL;
		}
		return n;
	}
	if ((hook = hook_of(ix, name, len, make, &place)) == NULL)
		return NULL;
	if (*hook != NULL || !make)
		return *hook;
	if ((n = make_node(ix, name, len, true)) == NULL) {
		trim(ix, place);
		return NULL;
	}
	n->trie = place;
	*hook = n;
	ix->npatterns++;
	return n;
}

void
index_drop(struct index *ix, void *node)
{
	struct index_node *n = node;
	struct trie *t = n->trie;

	if (!n->is_pattern)
		(void)map_del(ix->plain, n->name, n->len);
	else {
		if (t->here == n)
			t->here = NULL;
		else
			t->deep = NULL;
		trim(ix, t);
		ix->npatterns--;
	}
	free_node(n, NULL);
}

struct search {
	const struct index	*ix;
	const char		*end;
	void			(*hit)(void *arg, void *node);
	void			*arg;
};

/* `seg` is where the rest of the topic begins; NULL when nothing is left. */
static void
search(const struct search *s, const struct trie *t, const char *seg)
{
	const struct trie *next;
	const char *slash;
	size_t n;

	if (t->deep != NULL)
		s->hit(s->arg, t->deep);
	if (seg == NULL) {
		if (t->here != NULL)
			s->hit(s->arg, t->here);
		return;
	}
	if (t->kids == 0)
		return;
	slash = memchr(seg, '/', (size_t)(s->end - seg));
	n = (size_t)((slash != NULL ? slash : s->end) - seg);
	if ((next = step(s->ix, t, seg, n)) != NULL)
		search(s, next, slash != NULL ? slash + 1 : NULL);
	if ((next = step(s->ix, t, "*", 1)) != NULL)
		search(s, next, slash != NULL ? slash + 1 : NULL);
}

void
index_match(struct index *ix, const char *topic, size_t len,
    void (*hit)(void *arg, void *node), void *arg)
{
	struct search s = { ix, topic + len, hit, arg };

	if (ix->npatterns > 0)
		search(&s, ix->root, topic);
}

size_t
index_patterns(const struct index *ix)
{
	return ix->npatterns;
}

size_t
index_count(const struct index *ix)
{
	return map_count(ix->plain) + ix->npatterns;
}
