/*
 * conf.h - the configuration: one table of options, and where values come from.
 *
 * Every option stands once in the table in conf_table.c: name, type, default, unit,
 * range, help.  The file parser, the environment (FANFARE_STORE_PATH), the command
 * line (--store.path=...), `fanfare serve --help`, the sample file and the manual
 * page all come from it.  Later sources win: default, file, environment, option.
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

struct conf {
	/* server */
	struct conf_list listen, admin_listen;	/* "off" alone: empty */
	struct conf_list cors_origins, trusted_proxies;
	uint64_t	 max_streams;		/* 0 = as descriptors allow */
	uint64_t	 max_streams_per_ip;	/* 0 = no limit */
	uint64_t	 max_event_bytes, max_body_bytes;
	uint64_t	 threads;		/* 0 = one per core */
	int64_t		 drain_time_ms;
	/* store */
	char		*store_path;
	enum conf_durability durability;
	int64_t		 retain_age_ms;		/* 0 = no limit, like the two below */
	uint64_t	 retain_events_per_topic, retain_bytes;
	uint64_t	 tail_bytes;
	/* auth, topics */
	struct conf_list api_keys;
	char		*api_keys_file, *auth_key, *auth_key_file;	/* or NULL */
	char		*issuer, *audience, *grants_claim, *cookie;
	int64_t		 leeway_ms, grace_ms;
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
};

struct conf	*conf_new(void);		/* all defaults; NULL: no memory */
void		 conf_free(struct conf *c);

/* Each returns 0, or -1 with a message in `err` that names the place (file and line,
 * variable or option), the key, and what is wrong and what would be right. */
int	conf_load_file(struct conf *c, const char *path, char *err, size_t size);
int	conf_load_env(struct conf *c, char *err, size_t size);
/* `name` as in the file ("store.path"). */
int	conf_set(struct conf *c, const char *name, const char *value,
	    const char *where, char *err, size_t size);
/* Rules between options, and what --dev implies; call last. */
int	conf_finish(struct conf *c, char *err, size_t size);
/* Is there such an option?  For the command line. */
bool	conf_known(const char *name);

void	conf_print_help(FILE *f);	/* the options of `serve`, wrapped */
void	conf_print_sample(FILE *f);	/* a commented configuration file */
void	conf_print_manual(FILE *f);	/* the OPTIONS part of fanfare.conf(5), mdoc */

#endif
