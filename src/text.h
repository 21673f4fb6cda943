/*
 * text.h - questions about bytes: UTF-8, control characters, escapes.
 *
 * Pure functions over (pointer, length); nothing here needs a terminating NUL.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing byte string.  Zero-initialise; after a failed append `failed` stays
 * set and further appends do nothing, so that one test at the end is enough. */
struct buf {
	char	*p;		/* heap; not NUL-terminated */
	size_t	 len;		/* bytes used */
	size_t	 cap;		/* bytes allocated */
	bool	 failed;	/* memory ran out */
};

void	buf_add(struct buf *b, const void *p, size_t len);
void	buf_addc(struct buf *b, char c);
void	buf_adds(struct buf *b, const char *s);
void	buf_addf(struct buf *b, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Append `p` as a JSON string with its quotes.  `p` is valid UTF-8.  Besides what
 * JSON demands, U+0085, U+2028 and U+2029 are escaped: some stream readers take
 * them for line ends. */
void	buf_add_json(struct buf *b, const char *p, size_t len);
void	buf_fini(struct buf *b);

/* Well-formed UTF-8 as RFC 3629 has it: no overlong form, no surrogate. */
bool	text_is_utf8(const char *p, size_t len);
/* How many bytes at the front are well-formed: `len`, or where the fault is. */
size_t	text_utf8_prefix(const char *p, size_t len);
/* Is there a byte below 0x20, a DEL or an encoded C1 control (U+0080-9F)? */
bool	text_has_control(const char *p, size_t len);
/* The bytes of the character at the front, if it may be shown as it is; 0: it could start a
 * line, steer a terminal or deceive a reader, or is no UTF-8. */
size_t	text_harmless(const char *p, size_t len);
/* Does every byte belong to [0-9A-Za-z._:-]? */
bool	text_is_token(const char *p, size_t len);

/* Equal, in a time that depends on the lengths alone. */
bool	text_equal_secret(const char *a, size_t alen, const char *b, size_t blen);

/* RFC 3339, UTC, milliseconds, e.g. 2026-06-11T19:00:00.000Z; needs 25 bytes.
 * Times before 1970 or after 9999 come out as the nearest it can say. */
#define TEXT_TIME_SIZE	32
void	text_format_time(char out[TEXT_TIME_SIZE], int64_t wall_ms);

/*
 * Parse what a person writes in a configuration or a query.  The whole text must
 * be used.  Return 0, or -1 when it is malformed or out of range.
 * Sizes: digits with k, M or G (powers of 1024).  Durations: digits with ms, s, m,
 * h or d; a bare 0 needs no unit, any other number does.
 */
int	text_parse_u64(const char *p, size_t len, uint64_t *out);
int	text_parse_size(const char *p, size_t len, uint64_t *out);
int	text_parse_duration_ms(const char *p, size_t len, int64_t *out);

#endif
