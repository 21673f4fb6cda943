/*
 * cli.c - from argv to a command: dispatch, options, help, conf and version.
 * cli_serve.c has serve and check, cli_token.c key, token and explain,
 * cli_client.c publish, cli_tail.c tail, cli_store.c backup, verify, export and
 * recover, cli_import.c import.
 *
 * Results go to standard output and nothing else does; all talk goes to
 * standard error.  The one secret that is printed is one just made.
 */
#include "config.h"

#include "cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "auth_fetch.h"
#include "cli_internal.h"
#include "clock.h"
#include "log.h"
#include "server.h"
#include "text.h"
#include "topic.h"

static int run_conf(const struct cli_call *call);
static int run_version(const struct cli_call *call);
static int run_help(const struct cli_call *call);

#define OPTION(name, value, help)	{ name, value, help, NULL, 0 }
#define FILE_OPTION \
	{ "config", "FILE", "read this configuration file", NULL, 'c' }
#define HELP_OPTION	{ "help", NULL, "show this", NULL, 'h' }
#define END_OF_OPTIONS	OPTION(NULL, NULL, NULL)
#define URL_OPTION	OPTION("url", "URL", "the server; also unix:/path")
#define KEY_OPTION	OPTION("api-key-file", "FILE", \
	"whose first line is the key or a token")

static const struct cli_option serve_options[] = {
	FILE_OPTION,
	OPTION("dev", NULL, "try things out: keys for this run, open topics"),
	OPTION("demo", NULL, "serve the demo page at /"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option conf_only_options[] = {
	FILE_OPTION, HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option token_options[] = {
	FILE_OPTION,
	OPTION("publish", "PATTERN", "may publish there; may be repeated"),
	OPTION("subscribe", "PATTERN", "may subscribe there; may be repeated"),
	OPTION("sub", "NAME", "whose it is: the claim sub"),
	OPTION("expires", "TIME", "how long it is good for (1h)"),
	OPTION("rate", "N", "may publish so many events a second, such as 0.5"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option publish_options[] = {
	URL_OPTION, KEY_OPTION, FILE_OPTION,
	OPTION("event", "NAME", "the event's name"),
	OPTION("key", "KEY", "idempotency key: the same key is stored once"),
	{ "idempotency-key", "KEY", "the same", "key", 0 },
	OPTION("json", NULL, "DATA is JSON, and goes out as such"),
	OPTION("timeout", "TIME", "how long to wait for the answer (10s)"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option tail_options[] = {
	URL_OPTION, KEY_OPTION, FILE_OPTION,
	OPTION("after", "ID", "begin with what follows this event"),
	OPTION("replay", "N", "begin with the last N events of each topic"),
	OPTION("since", "TIME", "begin with what is not older: 15m"),
	OPTION("json", NULL, "print each event as one JSON object"),
	{ "envelope", NULL, "the same", "json", 0 },
	OPTION("raw", NULL, "print the data alone, as it came"),
	OPTION("once", "N", "stop after N events"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option export_options[] = {
	FILE_OPTION,
	OPTION("after", "ID", "begin with what follows this event"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option conf_options[] = {
	OPTION("manual", NULL, "print the options in mdoc for the manual"),
	HELP_OPTION, END_OF_OPTIONS
};
static const struct cli_option help_options[] = {
	HELP_OPTION, END_OF_OPTIONS
};

#define KEY_HELP \
	"The key comes from --api-key-file, else the environment variable\n" \
	"FANFARE_API_KEY, else it is the first one of the configuration.\n" \
	"There is no option for the key itself: every user of the machine\n" \
	"can read the options of a process.\n" \
	"The server is --url, else FANFARE_URL, else the first server.listen\n" \
	"of the configuration; http://127.0.0.1:8080 when nothing is set.\n"

static const struct cli_command commands[] = {
	{ "serve", "[-c FILE] [--dev] [--demo] [--section.key=value ...]",
	  "Run the server (the default command).\n"
	  "Values come from the file, then the environment, then options;\n"
	  "later ones win.  SIGHUP reads keys and topic rules again, SIGTERM\n"
	  "ends streams gently and stops.\n",
	  serve_options, true, 0, 0, cli_serve },
	{ "check", "[-c FILE] [--section.key=value ...]",
	  "Say whether the server would start with this configuration.\n",
	  serve_options, true, 0, 0, cli_check },
	{ "key", "",
	  "Print a new secret for auth.api_keys.\n",
	  help_options, false, 0, 0, cli_key },
	{ "token", "[-c FILE] [--publish P ...] [--subscribe P ...] [--sub S] "
	  "[--expires TIME] [--rate N]",
	  "Print a token signed with auth.key of the configuration.\n",
	  token_options, true, 0, 0, cli_token },
	{ "explain", "[-c FILE] TOKEN|-",
	  "Say claim by claim what the server makes of a token or API key.\n"
	  "- reads it from standard input, so that it shows neither in the\n"
	  "list of processes nor in the shell's history.  A whole line\n"
	  "\"Authorization: Bearer ...\" will do, or an address with token=.\n"
	  "Exits 0 when it opens something, 1 when it does not, 2 when the\n"
	  "configuration is at fault.\n",
	  conf_only_options, true, 1, 1, cli_explain },
	{ "publish", "TOPIC [DATA|-]",
	  "Publish one event and print the server's answer.\n"
	  "Without DATA, or with -, the data is standard input, without its\n"
	  "last newline.\n" KEY_HELP,
	  publish_options, false, 1, 2, cli_publish },
	{ "tail", "PATTERN ...",
	  "Print events as they come, one a line.\n"
	  "A line is topic, event and data, parted by tabs.  Controls are\n"
	  "shown as \\n, \\t or \\u0000, and a backslash in text as \\\\.\n"
	  "An event without a name is a \"message\".\n"
	  "A lost connection is taken up again where it ended.\n" KEY_HELP,
	  tail_options, false, 1, 100, cli_tail },
	{ "backup", "[-c FILE] [--db FILE] FILE",
	  "Copy the log into a new file, beside a running server or without.\n"
	  "The copy is the log of one moment, synced, and overwrites nothing.\n"
	  "To restore it: stop the server, remove the log and what lies beside\n"
	  "it (-wal, -shm), put the copy in its place, start the server.\n",
	  conf_only_options, true, 1, 1, cli_backup },
	{ "verify", "[-c FILE] [--db FILE] [FILE]",
	  "Check a log or a backup, beside a running server or without.\n"
	  "Exits 0 when all is well, 1 when not, and then says what.\n",
	  conf_only_options, true, 0, 1, cli_verify },
	{ "export", "[-c FILE] [--db FILE] [--after ID] [PATTERN ...]",
	  "Print the log's events, oldest first, one JSON object a line.\n"
	  "Reads the file, beside a running server or without.\n",
	  export_options, true, 0, 100, cli_export },
	{ "import", "[-c FILE] [--db FILE] [FILE|-]",
	  "Store events as export prints them, while no server runs.\n"
	  "They get new ids and keep their times.  The log is made if it is\n"
	  "not there.\n",
	  conf_only_options, true, 0, 1, cli_import },
	{ "recover", "FILE NEWFILE",
	  "Save what can be read of a damaged log into a new one.\n"
	  "FILE stays as it is.  Events get new ids, so every page is told\n"
	  "that it has missed something.\n",
	  help_options, false, 2, 2, cli_recover },
	{ "conf", "[--manual]",
	  "Print a configuration file with every option and its default.\n",
	  conf_options, false, 0, 0, run_conf },
	{ "version", "", "Print the version.\n",
	  help_options, false, 0, 0, run_version },
	{ "help", "[COMMAND]", "Say how a command is used.\n",
	  help_options, false, 0, 1, run_help },
};
#define N_COMMANDS	(sizeof commands / sizeof commands[0])

/*
 * What was said wrongly.
 */

static void say(const struct cli_call *call, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
say(const struct cli_call *call, const char *fmt, va_list ap)
{
	fputs("fanfare", stderr);
	if (call != NULL)
		fprintf(stderr, " %s", call->command->name);
	fputs(": ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int
cli_fail(const struct cli_call *call, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, fmt, ap);
	va_end(ap);
	return code;
}

int
cli_usage(const struct cli_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, fmt, ap);
	va_end(ap);
	fprintf(stderr, "fanfare %s --help says how it is used\n",
	    call->command->name);
	return CLI_USAGE;
}

/*
 * Options.
 */

const char *
cli_value(const struct cli_call *call, const char *name)
{
	size_t i;

	for (i = call->n_given; i > 0; i--)
		if (strcmp(call->given[i - 1].name, name) == 0)
			return call->given[i - 1].value;
	return NULL;
}

bool
cli_has(const struct cli_call *call, const char *name)
{
	return cli_value(call, name) != NULL;
}

static const struct cli_option *
find_option(const struct cli_command *command, const char *name)
{
	const struct cli_option *o, *other;

	for (o = command->options; o->name != NULL; o++) {
		if (strcmp(o->name, name) != 0)
			continue;
		for (other = command->options; o->same_as != NULL; other++)
			if (strcmp(other->name, o->same_as) == 0)
				return other;
		return o;
	}
	return NULL;
}

static int
unknown_option(const struct cli_call *call, const char *name)
{
	const struct cli_option *o, *found = NULL;
	size_t d, best = 3;
	const char *conf = NULL;

	for (o = call->command->options; o->name != NULL; o++) {
		d = conf_distance(o->name, name);
		if (strlen(name) > 2 && strncmp(o->name, name,
		    strlen(name)) == 0)
			d = 1;		/* its beginning */
		if (d < best) {
			best = d;
			found = o;
		}
	}
	if (found == NULL && call->command->takes_conf)
		conf = conf_nearest(name);
	if (found == NULL && conf == NULL)
		return cli_usage(call, "there is no option --%s", name);
	return cli_usage(call, "there is no option --%s; did you mean --%s?",
	    name, found != NULL ? found->name : conf);
}

/* What one argument that begins with a dash names: an option of the command, or
 * one of the configuration.  `*takes_value` says what follows.  NULL: told. */
static const char *
recognise(const struct cli_call *call, const char *name, bool *takes_value)
{
	const struct cli_option *o;
	const char *alias;

	if ((o = find_option(call->command, name)) != NULL) {
		*takes_value = o->value != NULL;
		return o->name;
	}
	*takes_value = true;
	if (call->command->takes_conf) {
		if ((alias = conf_alias(name)) != NULL)
			return alias;
		if (conf_known(name))
			return name;
	}
	(void)unknown_option(call, name);
	return NULL;
}

static const char *
name_of_letter(const struct cli_call *call, char letter)
{
	const struct cli_option *o;

	for (o = call->command->options; o->name != NULL; o++)
		if (o->letter == letter)
			return o->name;
	(void)cli_usage(call, "there is no option -%c", letter);
	return NULL;
}

/* Sort `argv` into options and operands.  `call` has room for all.  0 or an
 * exit code.  Names are cut out of argv in place. */
static int
parse(struct cli_call *call, int argc, char **argv)
{
	const char *name, *value;
	bool takes_value;
	char *equals, *arg;
	int i;

	for (i = 0; i < argc; i++) {
		arg = argv[i];
		value = NULL;
		if (strcmp(arg, "--") == 0) {
			while (++i < argc)
				call->operands[call->n_operands++] = argv[i];
			break;
		}
		if (*arg != '-' || arg[1] == '\0') {
			call->operands[call->n_operands++] = arg;
			continue;
		}
		if (arg[1] != '-') {
			if ((name = name_of_letter(call, arg[1])) == NULL)
				return CLI_USAGE;
			if (arg[2] != '\0')
				value = arg + 2 + (arg[2] == '=');
		} else {
			if ((equals = strchr(arg, '=')) != NULL) {
				*equals = '\0';
				value = equals + 1;
			}
			name = arg + 2;
		}
		if ((name = recognise(call, name, &takes_value)) == NULL)
			return CLI_USAGE;
		if (!takes_value && value != NULL)
			return cli_usage(call, "--%s takes no value", name);
		if (takes_value && value == NULL) {
			if (++i == argc)
				return cli_usage(call, "--%s needs a value",
				    name);
			value = argv[i];
		}
		call->given[call->n_given].name = name;
		call->given[call->n_given++].value = value != NULL ? value : "";
	}
	return 0;
}

struct conf *
cli_load_conf(const struct cli_call *call, char *err, size_t size)
{
	const char *file = cli_value(call, "config");
	const struct cli_given *g;
	struct conf *c;
	char where[128];
	size_t i;

	if ((c = conf_new()) == NULL) {
		(void)snprintf(err, size, "out of memory");
		return NULL;
	}
	if (file != NULL && conf_load_file(c, file, err, size) == -1)
		goto fail_c;
	if (conf_load_env(c, err, size) == -1)
		goto fail_c;
	for (i = 0; i < call->n_given; i++) {
		g = &call->given[i];
		if (!call->command->takes_conf || !conf_known(g->name))
			continue;
		(void)snprintf(where, sizeof where, "--%s", g->name);
		if (conf_set(c, g->name, g->value, where, err, size) == -1)
			goto fail_c;
	}
	c->dev = cli_has(call, "dev");
	c->demo = cli_has(call, "demo");
	return c;

fail_c:
	conf_free(c);
	return NULL;
}

struct conf *
cli_finish_conf(const struct cli_call *call)
{
	char err[CLI_ERR_SIZE];
	struct conf *c;

	if ((c = cli_load_conf(call, err, sizeof err)) == NULL ||
	    conf_finish(c, err, sizeof err) == -1) {
		fprintf(stderr, "%s\n", err);
		conf_free(c);
		return NULL;
	}
	return c;
}

char *
cli_read_stdin(const struct cli_call *call, size_t max, size_t *len)
{
	struct buf b = { 0 };
	char chunk[16384];
	size_t n;

	while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0 && b.len <= max)
		buf_add(&b, chunk, n);
	if (ferror(stdin))
		(void)cli_fail(call, 0, "standard input cannot be read");
	else if (b.len > max)
		(void)cli_fail(call, 0, "standard input is larger than %zu "
		    "bytes", max);
	else {
		*len = b.len;
		buf_addc(&b, '\0');
		if (!b.failed)
			return b.p;
		(void)cli_fail(call, 0, "out of memory");
	}
	buf_fini(&b);
	return NULL;
}

/*
 * conf, version, help
 */

static int
run_conf(const struct cli_call *call)
{
	if (cli_has(call, "manual"))
		conf_print_manual(stdout);
	else
		conf_print_sample(stdout);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int
run_version(const struct cli_call *call)
{
	(void)call;
	printf("fanfare %s\n", PACKAGE_VERSION);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static const struct cli_command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int
unknown_command(const char *name)
{
	const struct cli_command *found = NULL;
	size_t i, d, best = 3;

	for (i = 0; i < N_COMMANDS; i++)
		if ((d = conf_distance(commands[i].name, name)) < best) {
			best = d;
			found = &commands[i];
		}
	if (found != NULL)
		fprintf(stderr, "fanfare: there is no command \"%s\"; did you "
		    "mean %s?\n", name, found->name);
	else
		fprintf(stderr, "fanfare: there is no command \"%s\"; "
		    "\"fanfare help\" lists them\n", name);
	return CLI_USAGE;
}

static void
print_options(const struct cli_option *o)
{
	char left[64], letter[8];

	for (; o->name != NULL; o++) {
		*letter = '\0';
		if (o->letter != 0)
			(void)snprintf(letter, sizeof letter, "-%c, ",
			    o->letter);
		(void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name,
		    o->value != NULL ? " " : "",
		    o->value != NULL ? o->value : "");
		printf("  %-24s %s\n", left, o->help);
	}
}

static int
print_command_help(const struct cli_command *command)
{
	printf("usage: fanfare %s%s%s\n\n%s\n", command->name,
	    *command->synopsis != '\0' ? " " : "", command->synopsis,
	    command->help);
	print_options(command->options);
	if (command->run == cli_serve) {
		printf("\nOptions of the configuration.  Each is also a key of "
		    "the file, under\n[section], and a variable: "
		    "FANFARE_SERVER_LISTEN.  Sizes take k, M or G; times\nms, "
		    "s, m, h or d.\n\n");
		conf_print_help(stdout);
	} else if (command->takes_conf)
		printf("\nand every --section.key=value of \"fanfare serve "
		    "--help\".\n");
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int
print_overview(void)
{
	size_t i, len;

	printf("usage: fanfare [COMMAND] [OPTION ...]\n\n"
	    "A Server-Sent Events broadcast server.  Commands:\n\n");
	for (i = 0; i < N_COMMANDS; i++) {
		/* The first line says enough here, without its full stop. */
		len = strcspn(commands[i].help, "\n") - 1;
		printf("  %-9s %.*s\n", commands[i].name, (int)len,
		    commands[i].help);
	}
	printf("\n\"fanfare COMMAND --help\" says more.  To try it: fanfare "
	    "serve --dev\n");
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int
run_help(const struct cli_call *call)
{
	const struct cli_command *command;

	if (call->n_operands == 0)
		return print_overview();
	if ((command = find_command(call->operands[0])) == NULL)
		return unknown_command(call->operands[0]);
	return print_command_help(command);
}

static int
check_operands(const struct cli_call *call)
{
	const struct cli_command *cmd = call->command;
	const char *first;

	if (call->n_operands < cmd->min_operands)
		return cli_usage(call, "wants %s", cmd->synopsis);
	if (call->n_operands <= cmd->max_operands)
		return 0;
	first = call->operands[cmd->max_operands];
	if (cmd->takes_conf && cmd->max_operands == 0)
		return cli_usage(call, "does not know what \"%s\" is; a "
		    "configuration file is given as -c FILE", first);
	return cli_usage(call, "does not know what \"%s\" is", first);
}

/* Secrets leave the arguments of the process, which ps(1) shows to everybody. */
static int
hide_secrets(struct cli_call *call)
{
	struct cli_given *g;

	for (size_t i = 0; i < call->n_given; i++) {
		g = &call->given[i];
		if (!conf_is_secret(g->name) || g->value[0] == '\0')
			continue;
		if ((g->hidden = strdup(g->value)) == NULL)
			return cli_fail(call, CLI_FAILED, "out of memory");
		/* It stands in argv, which is ours to write. */
		memset((char *)(uintptr_t)g->value, '*', strlen(g->value));
		g->value = g->hidden;
	}
	return 0;
}

static void
forget_secrets(struct cli_call *call)
{
	for (size_t i = 0; i < call->n_given; i++) {
		if (call->given[i].hidden == NULL)
			continue;
		explicit_bzero(call->given[i].hidden, strlen(call->given[i].hidden));
		free(call->given[i].hidden);
	}
}

static int
run_command(const struct cli_command *command, int argc, char **argv)
{
	struct cli_call call = { .command = command };
	int code;

	assert(command != NULL);
	call.given = calloc((size_t)argc + 1, sizeof *call.given);
	call.operands = calloc((size_t)argc + 1, sizeof *call.operands);
	if (call.given == NULL || call.operands == NULL)
		code = cli_fail(&call, CLI_FAILED, "out of memory");
	else if ((code = parse(&call, argc, argv)) == 0 &&
	    (code = hide_secrets(&call)) == 0) {
		if (cli_has(&call, "help"))
			code = print_command_help(command);
		else if ((code = check_operands(&call)) == 0)
			code = command->run(&call);
	}
	if (call.given != NULL)
		forget_secrets(&call);
	free(call.given);
	free(call.operands);
	return code;
}

int
cli_main(int argc, char **argv)
{
	const struct cli_command *command;
	const char *first = argc > 1 ? argv[1] : "serve";

	if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
		return print_overview();
	if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0)
		return run_version(NULL);
	if (*first == '-')
		return run_command(find_command("serve"), argc - 1, argv + 1);
	if ((command = find_command(first)) == NULL)
		return unknown_command(first);
	return argc > 1 ? run_command(command, argc - 2, argv + 2) :
	    run_command(command, 0, argv);
}
