/*
 * cli_token.c - the commands key, token and explain: credentials made and told about.
 *
 * The one secret that is printed is one just made.
 */
#include "config.h"

#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "auth_fetch.h"
#include "auth_revoke.h"
#include "cli_internal.h"
#include "clock.h"
#include "log.h"
#include "server.h"
#include "store_tools.h"
#include "text.h"
#include "topic.h"

int
cli_key(const struct cli_call *call)
{
	char *secret;

	if ((secret = auth_make_secret()) == NULL)
		return cli_fail(call, CLI_FAILED, "no random numbers");
	printf("%s\n", secret);
	free(secret);
	if (isatty(STDERR_FILENO))
		fputs("\nA new secret; nothing knows it yet.  Give it to the "
		    "server, with a name of yours:\n"
		    "    [auth]\n"
		    "    api_keys = backend:SECRET\n"
		    "and to whatever publishes, as the environment variable "
		    "FANFARE_API_KEY.\n", stderr);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* These two see tokens as the server does, which is somewhere else. */
static struct conf *
servers_conf(const struct cli_call *call)
{
	struct conf *c = cli_finish_conf(call);

	if (c == NULL)
		fprintf(stderr, "(fanfare %s reads the configuration of the server: give "
		    "it the same -c FILE, variables or options.\nA server with --dev "
		    "has keys of that run alone; its answers name the check that "
		    "failed.)\n", call->command->name);
	return c;
}

/* The values given for one option, NULL-ended, into `out`, which has room for
 * all; each must be a topic or pattern. */
static int
collect_patterns(const struct cli_call *call, const char *name,
    const char **out)
{
	const char *value, *why;
	size_t i, n = 0;

	for (i = 0; i < call->n_given; i++) {
		value = call->given[i].value;
		if (strcmp(call->given[i].name, name) != 0)
			continue;
		if (topic_classify(value, strlen(value), &why) == TOPIC_INVALID)
			return cli_usage(call, "--%s: the pattern %s", name,
			    why);
		out[n++] = value;
	}
	out[n] = NULL;
	return 0;
}

/* Digits, perhaps with a point among them; more than 0. */
static bool
parse_rate(const char *text, double *rate)
{
	char *end;

	if (text[strspn(text, "0123456789.")] != '\0')
		return false;
	*rate = strtod(text, &end);
	return end != text && *end == '\0' && *rate > 0 && *rate <= 1e12;
}

int
cli_token(const struct cli_call *call)
{
	const char *expires = cli_value(call, "expires"),
	    *rate = cli_value(call, "rate"), **publish, **subscribe;
	struct auth_mint mint = { .sub = cli_value(call, "sub"),
	    .lifetime_ms = 3600 * 1000 };
	struct auth *auth = NULL;
	struct conf *c = NULL;
	char err[CLI_ERR_SIZE], *token;
	int code = CLI_USAGE;

	publish = calloc(call->n_given + 1, sizeof *publish);
	subscribe = calloc(call->n_given + 1, sizeof *subscribe);
	if (publish == NULL || subscribe == NULL) {
		code = cli_fail(call, CLI_FAILED, "out of memory");
		goto done;
	}
	if (collect_patterns(call, "publish", publish) != 0 ||
	    collect_patterns(call, "subscribe", subscribe) != 0)
		goto done;
	if (publish[0] == NULL && subscribe[0] == NULL && mint.sub == NULL) {
		(void)cli_usage(call, "such a token would allow nothing; give "
		    "it --publish, --subscribe or --sub");
		goto done;
	}
	if (expires != NULL && (text_parse_duration_ms(expires, strlen(expires),
	    &mint.lifetime_ms) == -1 || mint.lifetime_ms < 1000)) {
		(void)cli_usage(call, "--expires: \"%s\" is not a time of at "
		    "least 1s, such as 15m, 1h or 30d", expires);
		goto done;
	}
	if (rate != NULL && !parse_rate(rate, &mint.rate)) {
		(void)cli_usage(call, "--rate: \"%s\" is not a number of events a "
		    "second, more than 0, such as 5 or 0.5", rate);
		goto done;
	}
	mint.publish = publish;
	mint.subscribe = subscribe;
	log_init(LOG_WARN, false);
	if ((c = servers_conf(call)) == NULL)
		goto done;
	if ((auth = server_auth(c, err, sizeof err)) == NULL ||
	    (token = auth_mint_token(auth, &mint, clock_wall_ms(), err,
	    sizeof err)) == NULL) {
		(void)cli_fail(call, 0, "%s", err);
		goto done;
	}
	printf("%s\n", token);
	free(token);
	code = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;

done:
	auth_free(auth);
	conf_free(c);
	free(publish);
	free(subscribe);
	return code;
}

/* What the server keeps of them.  NULL and `err`: it cannot be read. */
static struct auth_revoked *
read_revoked(const char *path, char *err, size_t size)
{
	struct auth_revoked *r;
	int64_t forgotten;

	(void)snprintf(err, size, "out of memory");
	if ((r = auth_revoked_new(AUTH_REVOKED_MAX)) == NULL)
		return NULL;
	if (store_read_revocations(path, auth_revoked_take, r, &forgotten, err, size) ==
	    -1) {
		auth_revoked_free(r);
		return NULL;
	}
	auth_revoked_forgot(r, forgotten);
	return r;
}

int
cli_explain(const struct cli_call *call)
{
	const char *token = call->operands[0];
	struct auth_revoked *revoked = NULL;
	struct auth *auth = NULL;
	struct conf *c;
	char err[CLI_ERR_SIZE], *input = NULL;
	size_t len;
	int code = CLI_USAGE;

	log_init(LOG_WARN, false);
	if ((c = servers_conf(call)) == NULL)
		return CLI_USAGE;
	if (strcmp(token, "-") == 0) {
		if ((input = cli_read_stdin(call, 65536, &len)) == NULL) {
			code = CLI_FAILED;
			goto done;
		}
		token = input;
	}
	if ((auth = server_auth(c, err, sizeof err)) == NULL) {
		(void)cli_fail(call, 0, "%s", err);
		goto done;
	}
	(void)auth_fetch_now(auth);	/* told what fails */
	revoked = read_revoked(c->store_path, err, sizeof err);
	code = auth_explain(auth, revoked, err, token, clock_wall_ms()) ? CLI_OK :
	    CLI_FAILED;
	if (fflush(stdout) != 0)
		code = CLI_FAILED;

done:
	free(input);
	auth_revoked_free(revoked);
	auth_free(auth);
	conf_free(c);
	return code;
}
