/*
 * conf_internal.h - what conf*.c share: the table of options.
 */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

enum conf_type {
	CONF_UINT,		/* uint64_t */
	CONF_SIZE,		/* uint64_t, bytes */
	CONF_DURATION,		/* int64_t, ms */
	CONF_TEXT,		/* char *, heap or NULL */
	CONF_WORD,		/* index into `words`: int, enum or bool */
	CONF_LIST,		/* struct conf_list */
	CONF_TOPICS,		/* the same, with backslashes */
	CONF_KEYS,		/* the same, separated by commas alone */
};

struct conf_option {
	const char	*name;		/* section.key */
	const char	*alias;		/* short name as an option, or NULL */
	enum conf_type	 type;
	size_t		 offset, size;	/* of the field in struct conf */
	const char	*def;		/* as one writes it; NULL = none */
	const char	*example;	/* when there is no default */
	const char	*words;		/* CONF_WORD: "full normal" */
	uint64_t	 min, max;	/* numbers */
	bool		 zero;		/* 0 is legal too, whatever `min` */
	bool		 secret;	/* never shown */
	bool		 issuers;	/* [auth.NAME] has it too */
	/* One word of a list, or the text; false with `why` completing
	 * `"WORD" ...`. */
	bool		(*check)(const char *word, char *why, size_t size);
	const char	*help;		/* plain sentences */
};

struct conf_section {
	const char	*name, *help;
};

extern const struct conf_option	 conf_table[];
extern const size_t		 conf_table_n;
extern const struct conf_section conf_sections[];
extern const size_t		 conf_sections_n;

/* NULL: no such option. */
const struct conf_option *conf_find(const char *name);
/* The key that an [auth.NAME] has, or NULL. */
const struct conf_option *conf_find_issuer_key(const char *key);
/* Have a section [auth.NAME], new or not: NULL: told. */
struct conf_issuer *conf_have_issuer(struct conf *c, const char *name, size_t len,
	    const char *where, char *err, size_t size);
#define CONF_ISSUER_NAME_MAX	32
/* The option meant by `name`, or NULL: the same key in another section, else
 * the nearest spelling. */
/* The key in "auth.NAME.KEY", whatever the two are; else NULL. */
const char	*conf_issuer_key(const char *name);
const struct conf_option *conf_nearest_option(const char *name);

/* Put a message down; always -1, so that a caller can end with it. */
int	conf_fail(char *err, size_t size, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Fit a word from outside into a message: cut, and without controls. */
#define CONF_SHOWN_SIZE		80
const char	*conf_show(char out[CONF_SHOWN_SIZE], const char *word);

/* An option's field: of the whole configuration (is == NULL) or of an [auth.NAME]; so it
 * is with `is` below, too. */
void	*conf_field(struct conf *c, struct conf_issuer *is,
	    const struct conf_option *o);
int	 conf_apply_defaults(struct conf *c, struct conf_issuer *is);
void	 conf_free_fields(struct conf *c, struct conf_issuer *is);
int	 conf_put(struct conf *c, struct conf_issuer *is,
	    const struct conf_option *o, const char *value, const char *where,
	    char *err, size_t size);
/* To begin a message: "fanfare.conf:12: store.path"; "--store.path" says it once. */
#define CONF_PLACE_SIZE		256
const char	*conf_begin(char out[CONF_PLACE_SIZE], const char *where,
		    const char *name);
/* The name of an option, "auth.clerk.issuer"; who set it; both. */
const char	*conf_full_name(char out[CONF_PLACE_SIZE],
		    const struct conf_issuer *is, const struct conf_option *o);
const char	*conf_who_set(const struct conf *c, const struct conf_issuer *is,
		    const struct conf_option *o);
const char	*conf_place(char out[CONF_PLACE_SIZE], const struct conf *c,
		    const struct conf_issuer *is, const struct conf_option *o);

/* conf_issuer.c */
/* "auth.NAME.KEY", whose `key` is the end of `name`. */
int	conf_set_issuer(struct conf *c, const char *name, const char *key,
	    const char *value, const char *where, char *err, size_t size);
int	conf_check_issuers(struct conf *c, char *err, size_t size);
bool	conf_has_key(const struct conf_issuer *is);
/* With keys that may only read, nobody could publish. */
bool	conf_has_publisher(const struct conf *c);

/* "64k", "15s", "24h" ... in the largest unit that fits. */
#define CONF_NUMBER_SIZE	32
void	conf_format_number(char out[CONF_NUMBER_SIZE], enum conf_type type,
	    uint64_t n);
/* "1s to 60s", "full or normal"; "" when nothing is to be said. */
void	conf_format_range(char *out, size_t size, const struct conf_option *o);

/* Checks of the table's rows (conf_check.c). */
bool	conf_check_listen(const char *word, char *why, size_t size);
bool	conf_check_net(const char *word, char *why, size_t size);
bool	conf_check_origin(const char *word, char *why, size_t size);
bool	conf_check_topic(const char *word, char *why, size_t size);
bool	conf_check_cookie(const char *word, char *why, size_t size);
bool	conf_check_jwks(const char *word, char *why, size_t size);
bool	conf_check_text(const char *word, char *why, size_t size);

/* Overwrite and free. */
void	conf_forget(char *text);
/* conf_credentials.c: 0; -1: no memory. */
int	conf_find_credentials(struct conf *c, char *err, size_t size);

#endif
