/*
 * cases.h - requests as bytes, from tables in tests/data that a reader can check, and
 * what comes back over a socket.
 */
#ifndef CASES_H
#define CASES_H

#include <stdbool.h>
#include <stddef.h>

#include "harness.h"

#define CASE_FIELDS	8

struct wire_case {
	char	*name;		/* the first field's value */
	char	*bytes;		/* of `send`, unescaped */
	size_t	 len;
	struct { char *key, *value; } field[CASE_FIELDS];
	int	 fields;
};

/* All of tests/data/`file`; the number in *n. */
struct wire_case	*cases_read(const char *file, int *n);
/* A field, or `otherwise`. */
const char		*case_field(const struct wire_case *c, const char *key,
			    const char *otherwise);

/* Connect, send `first` (or NULL) and wait for its answer, send the bytes.  Then what
 * came back, in the words of the tables: "200 open", "400 close", "- open".  `want` tells
 * what to wait for. */
char			*case_run(int port, const char *first,
			    const struct wire_case *c, const char *want);
/* The statuses in what came; "-" for none. */
char			*statuses_of(const char *text);
/* All that comes until the end, `ms` have passed, or there are `enough` statuses.  True:
 * it ended. */
bool			 read_until(int fd, char **text, int enough, int ms);

/* nginx before a server, with connections that are kept. */
struct front {
	pid_t	 pid;
	int	 port;
};
bool			 front_start(struct front *f, struct server *s);  /* or no nginx */
void			 front_stop(struct front *f);

#endif
