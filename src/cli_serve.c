/*
 * cli_serve.c - `serve` and `check`: hand a configuration to the server, again
 * on SIGHUP, and tell whoever tries it out what to type.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_internal.h"
#include "log.h"
#include "server.h"

/* What a person would type to reach the first address: the part before a path,
 * and what curl needs before that. */
static void
describe_server(const struct conf *c, char *url, size_t url_size, char *curl,
    size_t curl_size)
{
	struct conf_listen l;
	const char *host;
	char why[256];

	(void)snprintf(curl, curl_size, "curl");
	(void)snprintf(url, url_size, "http://localhost:8080");
	if (c->listen.n == 0 ||
	    conf_parse_listen(c->listen.v[0], &l, why, sizeof why) == -1)
		return;
	if (l.is_unix) {
		(void)snprintf(curl, curl_size, "curl --unix-socket %s",
		    l.path);
		(void)snprintf(url, url_size, "http://localhost");
		return;
	}
	host = l.host;
	if (strcmp(host, "127.0.0.1") == 0 || strcmp(host, "0.0.0.0") == 0 ||
	    strcmp(host, "::") == 0)
		host = "localhost";
	(void)snprintf(url, url_size, strchr(host, ':') != NULL ?
	    "http://[%s]:%s" : "http://%s:%s", host,
	    strcmp(l.port, "0") == 0 ? "PORT" : l.port);
}

static void
print_welcome(const struct conf *c)
{
	const char *quote = c->dev ? "'" : "\"", *key;
	char url[320], curl[160];

	describe_server(c, url, sizeof url, curl, sizeof curl);
	if (c->dev)
		printf("For development: everybody on this machine may read "
		    "every topic.\nKeys are made for this run.\n\n");
	printf("demo page  %s/\n", url);
	if (c->dev)
		printf("API key    %s\n", c->dev_secret);
	key = c->dev ? c->dev_secret : "$FANFARE_API_KEY";
	printf("publish    %s -H %sAuthorization: Bearer %s%s -d 'Goal!' "
	    "'%s/publish?topic=scores/7&event=goal'\n", curl, quote, key, quote,
	    url);
	if (c->dev)
		printf("subscribe  %s -N '%s/events?topic=scores/**'\n", curl,
		    url);
	putchar('\n');
	fflush(stdout);
}

/* A secret among the options of a process is no secret, nor is one in a file for
 * everybody. */
static void
warn_of_secrets(const struct cli_call *call, const struct conf *c)
{
	size_t i;

	for (i = 0; i < call->n_given; i++)
		if (conf_is_secret(call->given[i].name))
			log_warnx("--%s: every user of this machine can read "
			    "the options of a process; better a file or the "
			    "environment", call->given[i].name);
	if (c->file_tells)
		log_warnx("%s: every user of this machine can read the secrets in it: "
		    "chmod o-rwx %s", c->file, c->file);
}

struct reloading {
	const struct cli_call	*call;
	const struct conf	*first;		/* for its --dev keys */
};

static struct conf *
reload(void *arg)
{
	const struct reloading *r = arg;
	char err[CLI_ERR_SIZE];
	struct conf *c;

	if ((c = cli_load_conf(r->call, err, sizeof err)) == NULL)
		goto fail_c;
	if (c->dev && ((c->dev_secret = strdup(r->first->dev_secret)) == NULL ||
	    (r->first->dev_token_key != NULL &&
	    (c->dev_token_key = strdup(r->first->dev_token_key)) == NULL))) {
		(void)snprintf(err, sizeof err, "out of memory");
		goto fail_c;
	}
	if (conf_finish(c, err, sizeof err) == -1)
		goto fail_c;
	return c;

fail_c:
	log_warnx("reload: %s; going on as before", err);
	conf_free(c);
	return NULL;
}

int
cli_serve(const struct cli_call *call)
{
	struct reloading again = { .call = call };
	struct conf *c;
	int code;

	server_hold_signals();
	if ((c = cli_finish_conf(call)) == NULL)
		return CLI_USAGE;
	again.first = c;
	log_init((enum log_level)c->log_level, c->log_json);
	warn_of_secrets(call, c);
	if (c->demo)
		print_welcome(c);
	code = server_run(c, reload, &again);
	conf_free(c);
	return code;
}

int
cli_check(const struct cli_call *call)
{
	struct conf *c;
	int code;

	if ((c = cli_finish_conf(call)) == NULL)
		return CLI_USAGE;
	log_init((enum log_level)c->log_level, c->log_json);
	warn_of_secrets(call, c);
	code = server_check(c);
	if (code == 0)
		printf("%s: all is well\n", c->file != NULL ? c->file :
		    "configuration");
	conf_free(c);
	return code;
}
