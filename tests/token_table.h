/*
 * token_table.h - the tables tests/data/tokens.txt and claims.txt: credentials, and what
 * is to become of each.  The tables tell how they are written.
 */
#ifndef TOKEN_TABLE_H
#define TOKEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A server as a table wants it: options that are NULL are not set. */
struct table_server {
	char	*name;
	char	*key;		/* of token_maker.h */
	char	*jwks;		/* as maker_jwks() takes it */
	char	*api_keys;	/* one */
	char	*issuer, *audience;
};

struct table_case {
	int	 line;
	char	*name;
	struct table_server *server;
	char	*signer, *header, *claims, *done;
	char	*code;		/* "accept", or the problem's */
	char	*says;		/* a piece of the reason; "" with accept */
	bool	 is_exact;	/* it is a matter of less than a minute */
};

struct token_table {
	struct table_server	*servers;
	size_t			 n_servers;
	struct table_case	*cases;
	size_t			 n_cases;
};

/* The table in tests/data, kept to the end; exits with a message when it is not well
 * written. */
struct token_table	*table_read(const char *file);
/* Returns new the case's bytes at this time, with a NUL behind them. */
char			*table_make(const struct table_case *c, int64_t now_s,
			    size_t *len);
/* Returns new a text of a table: ${+60} is now and 60 s, ${3*ab} is ababab, ${} is
 * nothing, \xHH is a byte. */
char			*table_expand(const char *text, int64_t now_s, size_t *len);
/* A line's next field, blanks around it cut off; NULL: it has no more. */
char			*table_field(char **rest);
/* A line of a table that holds something, or NULL at the end. */
char			*table_line(char **rest, int *number);
/* Returns new the file's text. */
char			*table_text(const char *file);

#endif
