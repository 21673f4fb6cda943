/*
 * conf.h - the configuration: one table of options, and where values come from.
 *
 * Every option stands once in the table in conf_table.c: name, type, default,
 * unit, range, help.  The file parser, the environment (FANFARE_STORE_PATH),
 * the command line (--store.path=...), `fanfare serve --help`, the sample file
 * and the manual page all come from it.  Later sources win: default, file,
 * environment, option; a list is replaced as a whole.
 *
 * [auth] is the house's issuer of tokens; each [auth.NAME] adds one, with those
 * keys of [auth] that say who signs tokens: auth.NAME.issuer,
 * FANFARE_AUTH_NAME_ISSUER, --auth.NAME.issuer.
 *
 * Lists are separated by white space and commas.  In lists of topics a
 * backslash makes a comma, a space or a backslash behind it part of the
 * pattern.  Entries of auth.api_keys hold spaces, so they are separated by
 * commas alone.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A list of words: NULL-ended, n counted without the NULL. */
struct conf_list {
	char	**v;		/* never NULL after conf_new() */
	size_t	  n;
};

enum conf_durability { CONF_FULL, CONF_NORMAL };

/* Who signs tokens, and what is asked of them. */
struct conf_issuer {
	char		*name;			/* NULL: [auth] itself */
	char		*key, *key_file, *jwks;	/* one of them; or NULL, as below */
	char		*key_before, *key_before_file;	/* one, beside key or key_file */
	char		*issuer, *audience, *grants_claim;
	int64_t		 leeway_ms, grace_ms;
	int64_t		 max_life_ms;		/* 0 = no limit */
	bool		 publish;
	struct conf_list topics;		/* empty: topics.authenticated; "none" */
	char	       **where;			/* as that of struct conf */
};

struct conf {
	/* server */
	struct conf_list listen, admin_listen;	/* "off" alone: empty */
	struct conf_list cors_origins, trusted_proxies;
	uint64_t	 max_streams;		/* 0 = as descriptors allow */
	uint64_t	 max_streams_per_ip;	/* 0 = no limit */
	uint64_t	 max_streams_per_token;	/* the same */
	uint64_t	 publish_rate;		/* events a second; 0 = no limit */
	uint64_t	 publish_burst;		/* 0 = by the rate */
	uint64_t	 max_event_bytes, max_body_bytes;
	uint64_t	 threads;		/* 0 = one per core */
	int64_t		 head_timeout_ms, body_timeout_ms;
	int64_t		 drain_time_ms;
	/* store */
	char		*store_path;
	enum conf_durability durability;
	int64_t		 retain_age_ms;		/* 0 = no limit, as below */
	uint64_t	 retain_events_per_topic, retain_bytes;
	uint64_t	 tail_bytes;
	/* auth, topics */
	struct conf_list api_keys;
	char		*api_keys_file, *cookie;	/* or NULL */
	struct conf_issuer house;
	struct conf_issuer *issuers;		/* the [auth.NAME], as they came */
	size_t		 n_issuers;
	struct conf_list public_topics, authenticated_topics;
	/* stream */
	int64_t		 heartbeat_ms, retry_ms, stall_ms;
	uint64_t	 queue_bytes, max_replay;
	/* log */
	int		 log_level;		/* enum log_level */
	bool		 log_json;
	/* command line alone */
	bool		 dev, demo;
	char		*file;			/* what was read, or NULL */
	bool		 file_is_open, file_tells;	/* to everybody; a secret */
	/* made by conf_finish() for --dev: the secret of the API key named dev,
	 * and the token key when no other is configured.  Set both before it to
	 * keep them over a reload. */
	char		*dev_secret, *dev_token_key;
	/* conf.c alone */
	char	       **where;			/* who set each one, or NULL */
	bool		 listen_is_port;	/* it came from $PORT */
};

struct conf	*conf_new(void);		/* defaults; NULL: no memory */
void		 conf_free(struct conf *c);

/* Each returns 0, or -1 with a message in `err` that names the place (file and
 * line, variable or option), the key, and what is wrong and what would be
 * right.  Never the value of a secret. */
int	conf_load_file(struct conf *c, const char *path, char *err,
    size_t size);
/* FANFARE_*, and PORT as 0.0.0.0:$PORT (with --dev 127.0.0.1).  An empty
 * variable is not set.  FANFARE_URL and FANFARE_API_KEY are the clients';
 * FANFARE_PORT* and FANFARE_SERVICE_* are what Kubernetes sets beside a service
 * of our name. */
int	conf_load_env(struct conf *c, char *err, size_t size);
/* `name` as in the file ("store.path", "auth.clerk.issuer"). */
int	conf_set(struct conf *c, const char *name, const char *value,
	    const char *where, char *err, size_t size);
/* Rules between options, and what --dev implies; call last. */
int	conf_finish(struct conf *c, char *err, size_t size);
/* Only where store.path lies: for those who need no key. */
int	conf_finish_path(struct conf *c, char *err, size_t size);
/* Is there such an option, or might it be an issuer's?  For the command line. */
bool	conf_known(const char *name);
/* The option that a short form stands for: "db" is "store.path"; NULL: none. */
const char	*conf_alias(const char *name);
/* Is its value a secret, which a command line would show in ps(1)? */
bool	conf_is_secret(const char *name);
/* The option that `name` was meant for, or NULL when none looks like it. */
const char	*conf_nearest(const char *name);
/* How many single edits (swapped neighbours count as one) part two words. */
size_t	conf_distance(const char *a, const char *b);

/* One of server.listen or server.admin_listen, taken apart. */
struct conf_listen {
	bool		is_unix;
	char		host[256];	/* name or address, no brackets */
	char		port[6];	/* decimal; "0": any */
	char		path[108];	/* of a unix socket */
	unsigned int	mode;		/* of its file */
	char		group[64];	/* "" = as it comes */
};
/* 0, or -1 and `why` completes "... "TEXT" ". */
int	conf_parse_listen(const char *text, struct conf_listen *out, char *why,
	    size_t size);
bool	conf_listen_is_loopback(const struct conf_listen *l);

void	conf_print_help(FILE *f);	/* the options of `serve`, wrapped */
void	conf_print_sample(FILE *f);	/* a commented configuration file */
void	conf_print_manual(FILE *f);	/* OPTIONS of fanfare.conf(5), mdoc */

#endif
