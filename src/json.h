/*
 * json.h - cut JSON text into slices without changing a byte of them.
 *
 * jansson parses and prints again, which loses the spelling of numbers and large
 * integers altogether; what a publisher sent must reach the page as it was.  So
 * this room only finds where values begin and end.  It accepts exactly RFC 8259:
 * every slice it returns is one complete, valid value in well-formed UTF-8,
 * nested at most JSON_MAX_DEPTH deep.
 *
 * Pure functions over (pointer, end).  Nothing is allocated but by growing a buf.
 *
 * Mind jansson's names, which begin alike: with a json_string here the linker
 * would hand ours to libjwt.
 */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>

#include "text.h"

#define JSON_MAX_DEPTH	64

struct json_slice {
	const char	*p;
	size_t		 len;
};

enum json_type {
	JSON_TYPE_STRING, JSON_TYPE_NUMBER, JSON_TYPE_OBJECT, JSON_TYPE_ARRAY,
	JSON_TYPE_TRUE, JSON_TYPE_FALSE, JSON_TYPE_NULL,
};

/* A place in a text, and what went wrong there. */
struct json_cursor {
	const char	*p;	/* next byte to look at */
	const char	*end;
	const char	*start;	/* for positions in messages */
	const char	*error;	/* static phrase after a -1, e.g. "a comma is missing" */
};

void	json_open(struct json_cursor *c, const char *p, size_t len);
/* Skip white space; 1 if anything follows, else 0. */
int	json_more(struct json_cursor *c);
/* Read one value and step behind it; white space before it is skipped, what
 * follows is not looked at (but 01 is an error, not two values).  0, or -1 with
 * c->error and c->p at the offending byte, which may be the end. */
int	json_value(struct json_cursor *c, struct json_slice *value);

enum json_type	json_typeof(struct json_slice value);	/* by its first byte */

/*
 * Walk an object or an array that json_value() has accepted.  Begin with a cursor
 * from json_open() over the slice; each call yields the next member (its key still
 * quoted) or element: 1, or 0 at the end.
 */
int	json_next_member(struct json_cursor *c, struct json_slice *key,
	    struct json_slice *value);
int	json_next_element(struct json_cursor *c, struct json_slice *value);

/* Append the text of a string slice (quotes and escapes resolved, \u pairs joined)
 * to `b`.  0; or -1 for a lone surrogate, which has no UTF-8 form, and then `b` is
 * as it was.  An escaped NUL becomes a NUL byte: the caller decides. */
int	json_unescape(struct json_slice value, struct buf *b);

/* Append `value` without the white space between its tokens. */
void	json_compact(struct json_slice value, struct buf *b);

#endif
