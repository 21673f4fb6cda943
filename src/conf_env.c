/*
 * conf_env.c - values from the environment: FANFARE_SECTION_KEY,
 * FANFARE_AUTH_NAME_KEY for an issuer, and PORT.
 */
#include "config.h"

#include "conf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_internal.h"
#include "text.h"

extern char **environ;

/* FANFARE_STORE_RETAIN_AGE */
static void
env_name(char out[96], const struct conf_option *o)
{
	size_t n;
	char *p;

	n = (size_t)snprintf(out, 96, "FANFARE_%s", o->name);
	for (p = out; p < out + n; p++)
		*p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

/* "auth.clerk.issuer" for FANFARE_AUTH_CLERK_ISSUER; false when no issuer has such a
 * key.  No key ends like another behind a _, so there is one way to read it. */
static bool
issuer_name(char out[160], const char *env)
{
	char key[96];
	size_t i, n, len = strlen(env);
	const char *p;

	if (strncmp(env, "FANFARE_AUTH_", 13) != 0 || len > 120)
		return false;
	for (i = 0; i < conf_table_n; i++) {
		env_name(key, &conf_table[i]);
		p = key + 12;		/* _KEY_FILE */
		n = strlen(p);
		if (!conf_table[i].issuers || len <= 13 + n ||
		    strcmp(env + len - n, p) != 0)
			continue;
		(void)snprintf(out, 160, "auth.%.*s.%s", (int)(len - 13 - n),
		    env + 13, strchr(conf_table[i].name, '.') + 1);
		for (n = 5; out[n] != '.'; n++)
			out[n] = (char)tolower((unsigned char)out[n]);
		return true;
	}
	return false;
}

static int
load_variable(struct conf *c, const char *name, const char *value, char *err,
    size_t size)
{
	const struct conf_option *found = NULL;
	char env[96], shown[CONF_SHOWN_SIZE], issuer[160];
	size_t i, d, best = 4;

	for (i = 0; i < conf_table_n; i++) {
		env_name(env, &conf_table[i]);
		if ((d = conf_distance(env, name)) < best) {
			best = d;
			found = &conf_table[i];
		}
		if (d == 0 && strcmp(env, name) == 0)
			return *value == '\0' ? 0 :
			    conf_set(c, conf_table[i].name, value, name,
			    err, size);
	}
	if (strcmp(name, "FANFARE_URL") == 0 ||
	    strcmp(name, "FANFARE_API_KEY") == 0 ||
	    strcmp(name, "FANFARE_PORT") == 0 ||
	    strncmp(name, "FANFARE_PORT_", 13) == 0 ||
	    strncmp(name, "FANFARE_SERVICE_", 16) == 0)
		return 0;
	if (best > 1 && issuer_name(issuer, name))
		return *value == '\0' ? 0 : conf_set(c, issuer, value, name, err,
		    size);
	if (found == NULL)
		return conf_fail(err, size, "%s: no option has this "
		    "variable; \"fanfare serve --help\" lists the options",
		    conf_show(shown, name));
	env_name(env, found);
	return conf_fail(err, size, "%s: no option has this variable; did you "
	    "mean %s?", conf_show(shown, name), env);
}

static int
load_port(struct conf *c, char *err, size_t size)
{
	const char *port = getenv("PORT");
	char address[32];
	uint64_t n;

	if (port == NULL || *port == '\0')
		return 0;
	if (text_parse_u64(port, strlen(port), &n) == -1 || n > 65535)
		return conf_fail(err, size, "PORT: server.listen: it is not a "
		    "port, 0 to 65535");
	(void)snprintf(address, sizeof address, "0.0.0.0:%u",
	    (unsigned int)n);	/* fits: five digits */
	if (conf_set(c, "server.listen", address, "PORT", err, size) == -1)
		return -1;
	c->listen_is_port = true;
	return 0;
}

int
conf_load_env(struct conf *c, char *err, size_t size)
{
	char name[128];
	char **e;
	size_t len;

	/* First, so that FANFARE_SERVER_LISTEN, which was meant for us,
	 * wins. */
	if (load_port(c, err, size) == -1)
		return -1;
	for (e = environ; e != NULL && *e != NULL; e++) {
		len = strcspn(*e, "=");
		if (strncmp(*e, "FANFARE_", 8) != 0 || (*e)[len] != '=')
			continue;
		(void)snprintf(name, sizeof name, "%.*s", (int)len, *e);
		if (load_variable(c, name, *e + len + 1, err, size) == -1)
			return -1;
	}
	return 0;
}
