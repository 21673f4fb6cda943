/*
 * cli_internal.h - what cli*.c share: a command, and how it was called.
 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

#define CLI_OK		0
#define CLI_FAILED	1
#define CLI_USAGE	2

struct cli_option {
	const char	*name;		/* no dashes; NULL ends a list */
	const char	*value;		/* its name in the help; or NULL */
	const char	*help;
	const char	*same_as;	/* which it spells anew, or NULL */
	char		 letter;	/* -c, or 0 */
};

struct cli_call;

struct cli_command {
	const char	*name, *synopsis, *help;
	const struct cli_option *options;
	bool		 takes_conf;	/* --section.key too */
	size_t		 min_operands, max_operands;
	int		(*run)(const struct cli_call *call);
};

struct cli_given {
	const char	*name, *value;	/* value "" for a switch */
	char		*hidden;	/* that value, when it is a secret; else NULL */
};

/* One call: its options in order, and what is left. */
struct cli_call {
	const struct cli_command *command;
	struct cli_given *given;
	size_t		  n_given;
	char		**operands;
	size_t		  n_operands;
};

/* The last value given for an option, or NULL. */
const char	*cli_value(const struct cli_call *call, const char *name);
bool		 cli_has(const struct cli_call *call, const char *name);

/* "fanfare COMMAND: ..." on standard error; returns `code`.  cli_usage adds
 * where the help is, and returns CLI_USAGE. */
int	cli_fail(const struct cli_call *call, int code, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
int	cli_usage(const struct cli_call *call, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* Room for any message about a configuration. */
#define CLI_ERR_SIZE	1024

/* File, environment, options: all but conf_finish().  NULL: see err. */
struct conf	*cli_load_conf(const struct cli_call *call, char *err,
		    size_t size);

/* That and conf_finish(); NULL: told, and the exit code is CLI_USAGE. */
struct conf	*cli_finish_conf(const struct cli_call *call);

/* Returns new all of standard input, NUL-terminated, at most `max` bytes; NULL
 * has told why. */
char	*cli_read_stdin(const struct cli_call *call, size_t max, size_t *len);

/* What says where the log is; no key need be there.  NULL: told. */
struct conf	*cli_store_conf(const struct cli_call *call);

/* How far long work is, on a terminal; store_tools.h knows the call. */
void	cli_show_progress(void *arg, const char *what, uint64_t done, uint64_t of);
void	cli_end_progress(void);

/* A log that events are stored into while no server runs, many in one commit. */
struct importer;
struct store_event;
/* Borrows the path.  NULL has told why. */
struct importer	*importer_open(const struct cli_call *call, const char *path);
/* Borrows the event; its id counts for nothing.  0; -1: told. */
int	importer_add(struct importer *im, const struct store_event *e);
/* See store_import_revocations().  0; -1: told. */
struct store_revocation;
int	importer_revoke(struct importer *im, const struct store_revocation *v, size_t n,
	    int64_t forgotten_ms);
int	importer_flush(struct importer *im);	/* all are durable; 0 or -1: told */
uint64_t importer_stored(const struct importer *im);	/* durable */
int	importer_close(struct importer *im);	/* as store_close_alone() */

int	cli_key(const struct cli_call *call);
int	cli_token(const struct cli_call *call);
int	cli_explain(const struct cli_call *call);
int	cli_backup(const struct cli_call *call);
int	cli_export(const struct cli_call *call);
int	cli_import(const struct cli_call *call);
int	cli_recover(const struct cli_call *call);
int	cli_verify(const struct cli_call *call);
int	cli_serve(const struct cli_call *call);
int	cli_check(const struct cli_call *call);
int	cli_publish(const struct cli_call *call);
int	cli_tail(const struct cli_call *call);

#endif
