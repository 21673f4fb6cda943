/*
 * http_guard.h - is this the head of an HTTP/1 request, by the letter of RFC 9112?
 *
 * Where two readers of the same bytes could disagree on where a request ends, whom it is
 * for or who sends it, it is refused: one rule for each such place.  Pure functions over
 * bytes.  The same rules judge a head as it comes from the wire (guard_judge) and one
 * that libmicrohttpd has cut into fields already (guard_begin, guard_field, guard_end).
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

#define GUARD_LINE_MAX		(14u * 1024)	/* a token of 8 kB in the query fits */
#define GUARD_HEAD_MAX		(16u * 1024)
#define GUARD_FIELDS_MAX	100
/* Libmicrohttpd keeps 64 bytes for each header, cookie and parameter, and a copy of the
 * cookies, where http.c's CONNECTION_MEMORY leaves 20 kB beside the head; of these the
 * head of the answer has the rest. */
#define GUARD_PART		64u
#define GUARD_PARTS_MAX		(18u * 1024)

enum guard_verdict {
	GUARD_PASS,		/* the whole head is here, and good */
	GUARD_MORE,		/* nothing wrong so far */
	GUARD_REFUSE,
};

/* What was seen of a head so far.  guard_begin() fills it. */
struct guard {
	enum problem	 problem;	/* when refused, with */
	const char	*detail;	/* what to mend; static text */
	const char	*authority, *host;	/* borrowed from the head */
	size_t		 authority_len, host_len;
	unsigned int	 fields;
	size_t		 parts;		/* bytes, as of GUARD_PARTS_MAX */
	unsigned int	 seen;		/* bits of fields that may come once */
	bool		 http11;
	bool		 chunked;
};

/*
 * Judge what has come of a head.  GUARD_PASS: `*head_len` is its length, with the empty
 * line (and those before it).  GUARD_REFUSE: g->problem and g->detail say why.
 */
enum guard_verdict	 guard_judge(struct guard *g, const char *p, size_t len,
			    size_t *head_len);

/* The same in parts; false when it is refused. */
bool			 guard_begin(struct guard *g, const char *method,
			    size_t method_len, const char *target, size_t target_len,
			    const char *version, size_t version_len);
bool			 guard_field(struct guard *g, const char *name, size_t name_len,
			    const char *value, size_t value_len);
bool			 guard_end(struct guard *g);

#endif
