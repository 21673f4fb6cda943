/*
 * index.h - who listens to what: plain topics in a map, patterns in a trie.
 *
 * Nodes are the caller's structs, which begin with a struct index_node.  Finding what
 * matches a topic takes a way for each choice of `*` that some pattern has, and a step on it
 * for each segment: 2^TOPIC_STARS ways at most, as long as patterns are cheap (topic.h),
 * however many other topics and patterns there are.  One thread at a time.
 */
#ifndef INDEX_H
#define INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index;

/* The first member of a caller's struct; zero but for these after index_get(). */
struct index_node {
	struct trie	*trie;		/* the index's; NULL for a plain topic */
	bool		 is_pattern;
	uint16_t	 len;
	char		*name;		/* NUL-terminated, owned by the node */
};

/* `node_size` is the size of the caller's struct.  NULL: no memory. */
struct index	*index_new(size_t node_size);
/* Calls `each` (may be NULL) on every node left, then frees everything. */
void		 index_free(struct index *ix, void (*each)(void *node));
/* The node of that topic or pattern; made, zeroed, if `make` and missing.  NULL: not
 * there, or no memory. */
void		*index_get(struct index *ix, const char *name, size_t len,
		    bool is_pattern, bool make);
/* The caller has no more use for the node: it is freed. */
void		 index_drop(struct index *ix, void *node);
/* Call `hit` for each pattern node that matches the plain topic.  The plain topic's own
 * node is index_get()'s.  The index must not change meanwhile. */
void		 index_match(struct index *ix, const char *topic, size_t len,
		    void (*hit)(void *arg, void *node), void *arg);
size_t		 index_patterns(const struct index *ix);	/* how many */
size_t		 index_count(const struct index *ix);		/* of all nodes */

#endif
