/*
 * cli_client.h - what publish and tail share: a server, a credential, libcurl.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <curl/curl.h>

#include "cli_internal.h"
#include "json.h"
#include "text.h"

struct cli_client {
	const struct cli_call	*call;
	CURL			*curl;
	char			*base;		/* http://host:port, no / */
	char			*socket;	/* a unix one, or NULL */
	char			*secret;	/* API key or token, or NULL */
	char			 error[CURL_ERROR_SIZE];
};

/* 0; or an exit code, and it is told.  End with cli_client_fini() either
 * way. */
int	cli_client_init(struct cli_client *cl, const struct cli_call *call);
void	cli_client_fini(struct cli_client *cl);

/* Append "Name: value" to a list of headers, which is freed when that fails:
 * NULL. */
struct curl_slist *cli_add_header(struct curl_slist *list, const char *name,
	    const char *value);
/* The same for "Authorization: Bearer SECRET". */
struct curl_slist *cli_add_credential(struct curl_slist *list,
	    const struct cli_client *cl);
/* What both commands ask of libcurl.  0, or -1 when it would not. */
int	cli_set_common(struct cli_client *cl, const char *url,
	    struct curl_slist *headers);
/* libcurl's own words about `rc`. */
const char *cli_reason(const struct cli_client *cl, CURLcode rc);
/* A write function that collects an answer in a struct buf. */
size_t	cli_take_answer(char *p, size_t size, size_t n, void *arg);

/* Show text from elsewhere: controls as \n, \t, \u0000; when it is text and not
 * JSON, a backslash as \\, so that it can be told from those. */
void	cli_print_visibly(FILE *f, const char *p, size_t len, bool is_text);
/* The member of a JSON object: true, and its slice; or, for a string, its text
 * appended to `b`. */
bool	cli_member(const char *p, size_t len, const char *name,
	    struct json_slice *value);
bool	cli_member_text(const char *p, size_t len, const char *name,
	    struct buf *b);
/* Tell of an answer that was no success: the problem's detail if it has one.
 * True when it is a problem of our server's, whose code goes to `code`. */
bool	cli_tell_problem(const struct cli_client *cl, long status,
	    const struct buf *body, struct buf *code);

#endif
