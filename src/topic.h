/*
 * topic.h - topics and patterns: what is legal, what matches, what covers.
 *
 * A topic is UTF-8, 1 to 1,024 bytes, without control characters; `/` separates
 * segments, and empty segments are legal.  A segment `*` or a final segment `**`
 * makes it a pattern: `*` stands for exactly one segment, `**` for zero or more.
 * A `**` anywhere but at the end is illegal in both.  Compared byte for byte.
 * A segment that merely holds an asterisk (a*b, ***) is a plain one.  An empty
 * topic is never legal and never matched, not by `**` either.
 *
 * Pure functions; struct topics is immutable once made, and shared.
 */
#ifndef TOPIC_H
#define TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#define TOPIC_MAX_BYTES		1024
#define TOPICS_MAX		100	/* in one subscription */
#define TOPIC_STARS		8	/* segments in which a stream may have a `*` */

enum topic_kind {
	TOPIC_INVALID,		/* neither */
	TOPIC_PLAIN,
	TOPIC_PATTERN,
};

/* What is it?  For TOPIC_INVALID `*why` (when not NULL) is a static phrase that
 * completes "the topic ...", e.g. "is longer than 1024 bytes". */
enum topic_kind	 topic_classify(const char *p, size_t len, const char **why);

/* Is no `*` of this pattern behind segment TOPIC_STARS?  Each segment where some stream has
 * a `*` and another has none can double what it costs to find who listens to a topic. */
bool	topic_is_cheap(const char *p, size_t len);

/* Does the plain topic match the pattern?  A pattern without wildcards matches
 * itself alone.  Both are legal. */
bool	topic_match(const char *pattern, size_t plen, const char *topic,
	    size_t tlen);

/* Does `grant` cover all that `asked` (a topic or a pattern) could ever match?
 * True if (but for the limit on length) and only if every topic that `asked`
 * matches is matched by `grant`. */
bool	topic_covers(const char *grant, size_t glen, const char *asked,
	    size_t alen);

struct topic_name {
	char	*p;		/* NUL-terminated for convenience; holds no NUL */
	size_t	 len;
	bool	 is_pattern;
};

/* What one subscription asks for: 1 to TOPICS_MAX names in the order given,
 * each once. */
struct topics {
	unsigned int		refs;	/* atomic; by topics_ref, topics_unref */
	size_t			n;
	bool			has_pattern;
	struct topic_name	v[];
};

/* A shared copy of `n` legal names (borrows `names`, does not read
 * is_pattern); duplicates are dropped.
 * NULL when memory ran out. */
struct topics	*topics_new(const struct topic_name *names, size_t n);
struct topics	*topics_ref(struct topics *t);
void		 topics_unref(struct topics *t);	/* NULL does nothing */
/* Does any of them match this plain topic? */
bool		 topics_match(const struct topics *t, const char *topic,
		    size_t len);

#endif
