/*
 * fuzz.h - bytes that nobody chose, and what they are checked against.
 *
 * Each fuzz_NAME.c holds one function, FUZZ(NAME): it takes any bytes, gives them to one
 * parser of the server, and stops the program where the parser does something else than
 * a second one, written here anew, slow and plain.  With --enable-fuzzers each file is a
 * libFuzzer program; without, check_corpus.c runs them all over tests/fuzz/corpus.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef ENABLE_FUZZERS
#define FUZZ(name)							\
	int LLVMFuzzerTestOneInput(const uint8_t *, size_t);		\
	int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
#else
#define FUZZ(name)							\
	int fuzz_##name(const uint8_t *, size_t);			\
	int fuzz_##name(const uint8_t *bytes, size_t size)
#endif

/* An assertion that may do something, too. */
#define MUST(x)								\
	((x) ? (void)0 : ((void)fprintf(stderr, "%s:%d: not so: %s\n",	\
	    __FILE__, __LINE__, #x), abort()))

/* The bytes not yet taken. */
struct input {
	const uint8_t	*p;
	size_t		 len;
};

/* A heap copy of just its size, so that a sanitizer sees any step outside. */
struct part {
	char	*p;
	size_t	 len;
};

struct part	 fuzz_copy(const void *p, size_t len);
struct part	 fuzz_line(struct input *in);	/* up to the next LF, which is dropped */
struct part	 fuzz_rest(struct input *in);
char		*fuzz_string(struct input *in);	/* a line as a string, up to its NUL */
unsigned int	 fuzz_byte(struct input *in);	/* 0 when there is none */

/* UTF-8 by decoding and encoding again: the scalar values, at most len of them in
 * `out` (or NULL); -1 when it is not well-formed. */
long		 plain_utf8(const char *p, size_t len, uint32_t *out);
/* A C0 or C1 control or a DEL, in text that is UTF-8. */
bool		 plain_control(const char *p, size_t len);

/*
 * What a page gets: one event after the other from a whole stream, by a reader that
 * walks it as the HTML specification is worded.  Stops at the first false.
 */
struct plain_event {
	const char	*name, *data, *id;	/* NUL-terminated; data may hold others */
	size_t		 name_len, data_len, id_len;
	bool		 has_id;		/* this block had one that counts */
};
void		 plain_events(const char *p, size_t len,
		    bool (*each)(void *arg, const struct plain_event *e), void *arg);
/* Line ends become LF, as the format makes them. */
struct part	 plain_lines(const char *p, size_t len);

#endif
