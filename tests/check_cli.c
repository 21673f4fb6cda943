/*
 * check_cli.c - the command line, from outside: the program named by FANFARE_BIN
 * (default ./fanfare) is run, and its two outputs and exit code are looked at.
 *
 * No server of ours runs here: publish and tail meet one that answers what the test
 * wants, which a real one does not always.
 */
#include "config.h"

#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N(a)		(sizeof(a) / sizeof((a)[0]))
#define KEY		"ffk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
#define HOUSE_KEY	"0123456789abcdef0123456789abcdef"
#define TIMEOUT_S	20
#define MAX_TEXT	65536

static char program[4096];
static char dir[64];
static char out[MAX_TEXT], err[MAX_TEXT];

/* ---- running it ---- */

static void
set_up(void)
{
	const char *p = getenv("FANFARE_BIN");

	ck_assert_msg(realpath(p != NULL && *p != '\0' ? p : "./fanfare",
	    program) != NULL, "no program; name it in FANFARE_BIN");
	strcpy(dir, "/tmp/check_cli.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
tear_down(void)
{
	static const char *const files[] = { "out", "err", "in", "f.conf", "keys",
	    "socket", "public.pem" };
	char path[128];
	size_t i;

	for (i = 0; i < N(files); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
read_file(const char *name, char *text)
{
	char path[128];
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	ck_assert_ptr_nonnull(f = fopen(path, "r"));
	n = fread(text, 1, MAX_TEXT - 1, f);
	text[n] = '\0';
	fclose(f);
}

static void
open_as(int fd, const char *name, int flags)
{
	int from = open(name, flags, 0600);

	if (from == -1 || dup2(from, fd) == -1)
		_exit(126);
	close(from);
}

/* Start with the words of `line` (parted by spaces; _ alone is an empty word) in the
 * test's directory, with `env` ("A=b", ..., NULL) as all its environment. */
static pid_t
start(const char *line, const char *const *env, const char *input)
{
	static const char *const kept[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS",
	    "LSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH" };
	char *copy, *args[64], *p;
	size_t i, n = 0;
	pid_t pid;

	write_file("in", input != NULL ? input : "");
	if ((pid = fork()) != 0) {
		ck_assert_int_gt(pid, 0);
		return pid;
	}
	copy = strdup(line);
	args[n++] = program;
	for (p = strtok(copy, " "); p != NULL && n < N(args) - 1;
	    p = strtok(NULL, " "))
		args[n++] = strcmp(p, "_") == 0 ? p + 1 : p;
	args[n] = NULL;
	if (chdir(dir) == -1)
		_exit(126);
	open_as(0, "in", O_RDONLY);
	open_as(1, "out", O_WRONLY | O_CREAT | O_TRUNC);
	open_as(2, "err", O_WRONLY | O_CREAT | O_TRUNC);
	char *saved[N(kept)];
	for (i = 0; i < N(kept); i++)
		saved[i] = getenv(kept[i]) != NULL ? strdup(getenv(kept[i])) :
		    NULL;
	clearenv();
	for (i = 0; i < N(kept); i++)
		if (saved[i] != NULL)
			setenv(kept[i], saved[i], 1);
	for (i = 0; env != NULL && env[i] != NULL; i++)
		putenv(strdup(env[i]));
	signal(SIGPIPE, SIG_DFL);
	alarm(TIMEOUT_S);
	execv(program, args);
	_exit(127);
}

/* Its exit code, when it is over; `out` and `err` are what it said. */
static int
finish(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	read_file("out", out);
	read_file("err", err);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d: %s",
	    WTERMSIG(status), err);
	return WEXITSTATUS(status);
}

static int
run(const char *line)
{
	return finish(start(line, NULL, NULL));
}

static int
run_with(const char *line, const char *variable, const char *input)
{
	const char *env[] = { variable, NULL };

	return finish(start(line, env, input));
}

static void
says(const char *what, const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "%s: \"%s\" does not hold \"%s\"",
	    what, text, part);
}

/* ---- without a server ---- */

static const struct {
	const char	*line, *says;
} usage_errors[] = {
	{ "publsh", "there is no command \"publsh\"; did you mean publish?" },
	{ "Serve", "did you mean serve?" },
	{ "nonsense", "\"fanfare help\" lists them" },
	{ "help publsh", "did you mean publish?" },
	{ "help a b", "does not know what \"b\" is" },
	{ "serve", "no key is configured" },
	{ "", "no key is configured" },
	{ "check", "no key is configured" },
	{ "serve fanfare.conf", "a configuration file is given as -c FILE" },
	{ "serve -x", "there is no option -x" },
	{ "serve --stor.path x", "there is no option --stor.path; did you mean --store.path?" },
	{ "--listne :80", "there is no option --listne; did you mean --server.listen?" },
	{ "serve --dve", "did you mean --dev?" },
	{ "serve --dev=1", "--dev takes no value" },
	{ "serve --listen", "--server.listen needs a value" },
	{ "serve -c", "--config needs a value" },
	{ "serve -c none.conf", "none.conf: cannot be read: No such file" },
	{ "serve -c .", ".: is a directory, not a file" },
	{ "serve --listen 80", "--server.listen: \"80\" is a port alone" },
	{ "serve --server.threads=x", "--server.threads: \"x\" is not a whole number" },
	{ "serve --dev --listen 0.0.0.0:80", "--server.listen: with --dev" },
	{ "key x", "does not know what \"x\" is" },
	{ "token", "such a token would allow nothing" },
	{ "token --publish a/**/b", "--publish: the pattern " },
	{ "token --subscribe _", "--subscribe: the pattern " },
	{ "token --sub x --expires 1", "--expires: \"1\" is not a time" },
	{ "token --sub x --expires 10ms", "not a time of at least 1s" },
	{ "token --sub x", "no key is configured" },
	{ "explain", "wants [-c FILE] TOKEN|-" },
	{ "explain a b", "does not know what \"b\" is" },
	{ "publish", "wants TOPIC [DATA|-]" },
	{ "publish a b c", "does not know what \"c\" is" },
	{ "publish a b", "no key: set FANFARE_API_KEY" },
	{ "publish a b --timeout 5", "--timeout: \"5\" is not a time" },
	{ "publish a b --store.path x", "there is no option --store.path" },
	{ "publish a b --api-key ffk_x", "did you mean --api-key-file?" },
	{ "publish a b --url localhost:8080", "is no URL of a server" },
	{ "publish a b --url http://", "is no URL of a server" },
	{ "publish a b --url http://h/?x", "the URL of the server ends before the path" },
	{ "publish a b --api-key-file none", "none: No such file" },
	{ "publish a b -c none", "none: cannot be read" },
	{ "tail", "wants PATTERN" },
	{ "tail a/**/b", "the pattern " },
	{ "tail a --after 17", "--after: \"17\" is no id of an event" },
	{ "tail a --replay 1001", "is not a number up to 1000" },
	{ "tail a --since yesterday", "is not a time such as 15m" },
	{ "tail a --once 0", "is not a number of events" },
	{ "tail a --raw --json", "--json and --raw exclude each other" },
	{ "conf x", "does not know what \"x\" is" },
	{ "version --verbose", "there is no option --verbose" },
};

START_TEST(a_wrong_call_exits_2_and_says_why_on_standard_error)
{
	size_t i;

	for (i = 0; i < N(usage_errors); i++) {
		ck_assert_msg(run(usage_errors[i].line) == 2, "fanfare %s: %s",
		    usage_errors[i].line, err);
		says(usage_errors[i].line, err, usage_errors[i].says);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(help_is_everywhere_and_goes_to_standard_output)
{
	static const struct {
		const char	*line, *says;
	} rows[] = {
		{ "help", "usage: fanfare [COMMAND]" },
		{ "--help", "Commands:" }, { "-h", "Commands:" },
		{ "serve --help", "--stream.heartbeat TIME" },
		{ "serve -h", "usage: fanfare serve" },
		{ "check --help", "usage: fanfare check" },
		{ "key --help", "usage: fanfare key" },
		{ "token --help", "--expires TIME" },
		{ "explain --help", "TOKEN|-" },
		{ "publish --help", "FANFARE_API_KEY" },
		{ "publish a b c d --help", "usage: fanfare publish" },
		{ "tail --help", "--once N" },
		{ "conf --help", "usage: fanfare conf" },
		{ "version --help", "usage: fanfare version" },
		{ "help --help", "usage: fanfare help" },
		{ "help tail", "usage: fanfare tail" },
		{ "version", "fanfare " PACKAGE_VERSION "\n" },
		{ "--version", "fanfare " PACKAGE_VERSION "\n" },
		{ "-V", "fanfare " PACKAGE_VERSION "\n" },
	};
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_msg(run(rows[i].line) == 0, "fanfare %s: %s",
		    rows[i].line, err);
		says(rows[i].line, out, rows[i].says);
		ck_assert_str_eq(err, "");
	}
}
END_TEST

START_TEST(key_prints_one_new_secret_alone)
{
	char first[128];

	ck_assert_int_eq(run("key"), 0);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(strncmp(out, "ffk_", 4), 0);
	ck_assert_uint_ge(strlen(out), 4 + 43 + 1);
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
	ck_assert_uint_lt(strlen(out), sizeof first);
	strcpy(first, out);
	ck_assert_int_eq(run("key"), 0);
	ck_assert_str_ne(first, out);
}
END_TEST

START_TEST(a_printed_key_is_one_that_check_accepts)
{
	char variable[256];

	ck_assert_int_eq(run("key"), 0);
	snprintf(variable, sizeof variable, "FANFARE_AUTH_API_KEYS=backend:%.*s",
	    (int)strcspn(out, "\n"), out);
	ck_assert_msg(run_with("check --store.path=/tmp/none.db", variable,
	    NULL) == 0, "%s", err);
	says("check", out, "configuration: all is well");
}
END_TEST

START_TEST(a_minted_token_is_one_that_explain_accepts)
{
	char token[4096], line[5000];

	ck_assert_msg(run_with("token --publish a/** --subscribe b --subscribe c "
	    "--sub bob --expires 5m", "FANFARE_AUTH_KEY=" HOUSE_KEY, NULL) == 0,
	    "%s", err);
	ck_assert_str_eq(err, "");
	ck_assert_uint_lt(strlen(out), sizeof token);
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
	strcpy(token, out);
	ck_assert_msg(run_with("explain -", "FANFARE_AUTH_KEY=" HOUSE_KEY,
	    token) == 0, "%s%s", out, err);
	says("explain", out, "bob");
	says("explain", out, "a/**");
	snprintf(line, sizeof line, "explain %s", token);
	line[strcspn(line, "\n")] = '\0';
	ck_assert_int_eq(run_with(line, "FANFARE_AUTH_KEY=" HOUSE_KEY, NULL), 0);
	/* Another key, or another token, is told from it. */
	ck_assert_int_eq(run_with("explain -",
	    "FANFARE_AUTH_KEY=another-key-of-32-bytes-or-more-x", token), 1);
	ck_assert_int_eq(run_with("explain nonsense", "FANFARE_AUTH_KEY=" HOUSE_KEY,
	    NULL), 1);
	ck_assert_int_eq(run_with("explain -", "FANFARE_AUTH_KEY=" HOUSE_KEY,
	    "\n"), 1);
}
END_TEST

START_TEST(without_a_signing_key_there_is_no_token)
{
	ck_assert_int_eq(run_with("token --sub x", "FANFARE_AUTH_API_KEYS=a:" KEY,
	    NULL), 2);
	ck_assert_str_eq(out, "");
	ck_assert_str_ne(err, "");
}
END_TEST

START_TEST(check_tells_file_and_line)
{
	static const struct {
		const char	*text, *says;
	} rows[] = {
		{ "[store]\nretain_agee = 1h\n",
		    "f.conf:2: store.retain_agee: no such option; did you mean "
		    "store.retain_age?\n" },
		{ "[auth]\nkey = short\n", "auth.key" },
		{ "[auth]\napi_keys = a:nonsense\n", "auth.api_keys" },
		{ "[auth]\napi_keys_file = none\n", "auth.api_keys_file" },
		{ "[auth]\nkey_file = none\n", "auth.key_file" },
		{ "[auth]\nkey = " HOUSE_KEY "\nkey_file = x\n", "keep one of them" },
		{ "listen\n", "f.conf:1: this is no \"key = value\"" },
		{ "\xff", "f.conf:1: is not UTF-8" },
	};
	size_t i;

	for (i = 0; i < N(rows); i++) {
		write_file("f.conf", rows[i].text);
		ck_assert_msg(run("check -c f.conf") == 2, "%s", rows[i].text);
		says(rows[i].text, err, rows[i].says);
		ck_assert_str_eq(out, "");
	}
	write_file("f.conf", "[auth]\nkey = " HOUSE_KEY "\n[store]\npath = "
	    "/tmp/none.db\n");
	ck_assert_msg(run("check -cf.conf") == 0, "%s", err);
	says("check", out, "f.conf: all is well");
	ck_assert_ptr_null(strstr(err, HOUSE_KEY));
}
END_TEST

START_TEST(options_beat_the_environment_and_that_the_file)
{
	write_file("f.conf", "[log]\nlevel = file\n");
	ck_assert_int_eq(run("check -c f.conf"), 2);
	says("file", err, "f.conf:2: log.level: \"file\"");
	write_file("f.conf", "[log]\nlevel = info\n[auth]\nkey = " HOUSE_KEY "\n");
	ck_assert_int_eq(run_with("check -c f.conf", "FANFARE_LOG_LEVEL=env", NULL),
	    2);
	says("environment", err, "FANFARE_LOG_LEVEL: log.level: \"env\"");
	ck_assert_int_eq(run_with("check -c f.conf --log.level opt",
	    "FANFARE_LOG_LEVEL=warn", NULL), 2);
	says("option", err, "--log.level: \"opt\" is none of its values");
}
END_TEST

START_TEST(a_secret_among_the_options_is_warned_of_but_not_shown)
{
	ck_assert_msg(run("check --store.path=/tmp/none.db --auth.key=" HOUSE_KEY)
	    == 0, "%s", err);
	says("check", err, "--auth.key: every user of this machine can read");
	ck_assert_ptr_null(strstr(err, HOUSE_KEY));
}
END_TEST

START_TEST(the_printed_configuration_can_be_read_back)
{
	ck_assert_int_eq(run("conf"), 0);
	says("conf", out, "\n[server]\n");
	says("conf", out, "\n#listen = 127.0.0.1:8080\n");
	write_file("f.conf", out);
	ck_assert_msg(run_with("check -c f.conf --store.path=/tmp/none.db",
	    "FANFARE_AUTH_KEY=" HOUSE_KEY, NULL) == 0, "%s", err);
	ck_assert_int_eq(run("conf --manual"), 0);
	ck_assert_int_eq(strncmp(out, ".Ss Section [server]\n", 21), 0);
}
END_TEST

/* ---- with a server ---- */

#define MAX_REQUESTS	8

/* Answers the nth connection with the nth text, and ends it. */
struct fake {
	const char	*answers[MAX_REQUESTS];
	char		 requests[MAX_REQUESTS][8192];
	int		 n_answers, n_requests;
	int		 fd, port;
	pthread_t	 thread;
	char		 url[128];
};

/* Has the whole request come?  Content-Length is all we are sent. */
static bool
is_whole(const char *request)
{
	const char *body = strstr(request, "\r\n\r\n"),
	    *length = strstr(request, "Content-Length: ");

	if (body == NULL)
		return false;
	return length == NULL || length > body ||
	    strlen(body + 4) >= strtoul(length + 16, NULL, 10);
}

static void *
serve(void *arg)
{
	struct fake *f = arg;
	size_t n;
	ssize_t r;
	int i, fd;

	for (i = 0; i < f->n_answers; i++) {
		if ((fd = accept(f->fd, NULL, NULL)) == -1)
			return NULL;
		for (n = 0; n < sizeof f->requests[i] - 1 &&
		    !is_whole(f->requests[i]); n += (size_t)r)
			if ((r = read(fd, f->requests[i] + n,
			    sizeof f->requests[i] - 1 - n)) <= 0)
				break;
		f->n_requests = i + 1;
		if (f->answers[i] != NULL) {
			n = strlen(f->answers[i]);
			r = send(fd, f->answers[i], n, MSG_NOSIGNAL);
			(void)r;	/* the client may be gone */
		} else
			poll(NULL, 0, 1000);	/* let it wait */
		shutdown(fd, SHUT_WR);
		/* Until the client has seen it: a close would be a reset. */
		while (read(fd, (char[256]){ 0 }, 256) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void
fake_begin(struct fake *f, bool is_unix)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof in;

	f->fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(f->fd, 0);
	if (is_unix) {
		snprintf(un.sun_path, sizeof un.sun_path, "%s/socket", dir);
		ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&un, sizeof un), 0);
		snprintf(f->url, sizeof f->url, "unix:%s", un.sun_path);
	} else {
		ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&in, sizeof in), 0);
		ck_assert_int_eq(getsockname(f->fd, (struct sockaddr *)&in, &len),
		    0);
		f->port = ntohs(in.sin_port);
		snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", f->port);
	}
	ck_assert_int_eq(listen(f->fd, 8), 0);
	while (f->n_answers < MAX_REQUESTS && f->answers[f->n_answers] != NULL)
		f->n_answers++;
	ck_assert_int_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void
fake_end(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
}

/* Run against it, with `KEY` in the environment; %s in `line` is its URL. */
static int
run_at(struct fake *f, const char *line, const char *input)
{
	const char *env[] = { "FANFARE_API_KEY=" KEY, NULL, NULL };
	char text[8192], variable[160];

	fake_begin(f, false);
	snprintf(variable, sizeof variable, "FANFARE_URL=%s/", f->url);
	env[1] = variable;
	snprintf(text, sizeof text, "%s", line);
	return finish(start(text, env, input));
}

#define JSON_HEAD(status) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\n" \
	"Connection: close\r\n\r\n"
#define PROBLEM_HEAD(status) "HTTP/1.1 " status "\r\nContent-Type: " \
	"application/problem+json\r\nConnection: close\r\n\r\n"
#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" \
	"Connection: close\r\n\r\n"
#define PUBLISHED	JSON_HEAD("200 OK") "{\"id\":\"6f3a9c2e-1\",\"subscribers\":2}"

static const char *
body_of(const struct fake *f, int i)
{
	const char *p = strstr(f->requests[i], "\r\n\r\n");

	ck_assert_ptr_nonnull(p);
	return p + 4;
}

static const struct {
	const char	*line, *input, *body;
} publishes[] = {
	{ "publish scores/7 Goal!", NULL,
	    "{\"topic\":\"scores/7\",\"data\":\"Goal!\"}" },
	{ "publish scores/7", "Goal!\n", "{\"topic\":\"scores/7\",\"data\":\"Goal!\"}" },
	{ "publish scores/7 -", "a\n\nb\n\n", "{\"topic\":\"scores/7\","
	    "\"data\":\"a\\n\\nb\\n\"}" },
	{ "publish a _", NULL, "{\"topic\":\"a\",\"data\":\"\"}" },
	{ "publish a -- -5", NULL, "{\"topic\":\"a\",\"data\":\"-5\"}" },
	{ "publish a \"\\ --event goal --key k1", NULL, "{\"topic\":\"a\","
	    "\"event\":\"goal\",\"idempotency_key\":\"k1\",\"data\":\"\\\"\\\\\"}" },
	{ "publish --idempotency-key=k2 a b", NULL, "{\"topic\":\"a\","
	    "\"idempotency_key\":\"k2\",\"data\":\"b\"}" },
	{ "publish a --json {\"x\":1.0,\"y\":[12345678901234567890]}", NULL,
	    "{\"topic\":\"a\",\"data\":{\"x\":1.0,\"y\":[12345678901234567890]}}" },
	{ "publish a --json -", "null\n", "{\"topic\":\"a\",\"data\":null}" },
};

START_TEST(publish_sends_what_was_asked_and_prints_the_answer)
{
	struct fake f;
	size_t i;

	for (i = 0; i < N(publishes); i++) {
		memset(&f, 0, sizeof f);
		f.answers[0] = PUBLISHED;
		ck_assert_msg(run_at(&f, publishes[i].line, publishes[i].input) ==
		    0, "%s: %s", publishes[i].line, err);
		fake_end(&f);
		ck_assert_str_eq(out, "{\"id\":\"6f3a9c2e-1\",\"subscribers\":2}\n");
		ck_assert_str_eq(err, "");
		ck_assert_str_eq(body_of(&f, 0), publishes[i].body);
		ck_assert_int_eq(strncmp(f.requests[0], "POST /publish HTTP/1.1",
		    22), 0);
		says("request", f.requests[0], "Authorization: Bearer " KEY "\r\n");
		says("request", f.requests[0], "Content-Type: application/json\r\n");
	}
}
END_TEST

START_TEST(publish_refuses_what_the_server_would)
{
	static const struct {
		const char	*line, *says;
	} rows[] = {
		{ "publish a/* x", "is a pattern; an event goes to one topic" },
		{ "publish a/**/b x", "the topic " },
		{ "publish _ x", "the topic " },
		{ "publish a \xff", "the data " },
		{ "publish a x --event fanfare.live", "the event name " },
		{ "publish a x --event open", "the event name " },
		{ "publish a x --key _", "the idempotency key " },
		{ "publish a x --key " KEY, "--key is for an idempotency key" },
		{ "publish a {\"x\":} --json", "the data is not JSON: " },
		{ "publish a {}{} --json", "there is more behind the value, at byte 3" },
		{ "publish a _ --json", "the data is not JSON" },
	};
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_msg(run_with(rows[i].line, "FANFARE_API_KEY=" KEY, NULL)
		    == 2, "%s: %s", rows[i].line, err);
		says(rows[i].line, err, rows[i].says);
		ck_assert_ptr_null(strstr(err, KEY));
	}
}
END_TEST

static const struct {
	const char	*answer, *says;
	bool		 is_unknown;
} failures[] = {
	{ PROBLEM_HEAD("403 Forbidden") "{\"title\":\"t\",\"code\":\"topic_forbidden\","
	    "\"detail\":\"the key does not cover \\\"a\\\"\"}",
	    "fanfare publish: the key does not cover \"a\" (403 topic_forbidden)\n",
	    false },
	{ PROBLEM_HEAD("409 Conflict") "{\"code\":\"c\",\"title\":\"Used before\"}",
	    "Used before (409 c)", false },
	{ PROBLEM_HEAD("503 Busy") "{\"code\":\"store_busy\",\"detail\":\"later\"}",
	    "later (503 store_busy)", false },
	{ PROBLEM_HEAD("503 Busy") "{\"code\":\"store_unknown\",\"detail\":\"d\"}",
	    "d (503 store_unknown)", true },
	{ JSON_HEAD("502 Bad Gateway") "<html>", " answered 502\n", true },
	{ JSON_HEAD("413 Large") "<html>", " answered 413\n", false },
	{ "HTTP/1.1 301 Moved\r\nLocation: https://other.example/publish\r\n"
	    "Content-Length: 0\r\n\r\n", "points to https://other.example/publish",
	    false },
	{ PROBLEM_HEAD("400 No") "{\"code\":\"c\",\"detail\":\"a\\u001b[31mb\\nc\"}",
	    "a\\u001b[31mb\\nc (400 c)", false },
	{ "", "127.0.0.1", true },	/* the connection ends without an answer */
};

START_TEST(a_failed_publish_exits_1_and_says_whether_it_may_have_happened)
{
	struct fake f;
	size_t i;

	for (i = 0; i < N(failures); i++) {
		memset(&f, 0, sizeof f);
		f.answers[0] = failures[i].answer;
		ck_assert_int_eq(run_at(&f, "publish a b", NULL), 1);
		fake_end(&f);
		says("publish", err, failures[i].says);
		ck_assert_msg((strstr(err, "is unknown") != NULL) ==
		    failures[i].is_unknown, "%s", err);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(an_answer_that_does_not_come_is_waited_for_as_long_as_said)
{
	struct fake f = { .n_answers = 1 };

	ck_assert_int_eq(run_at(&f, "publish a b --timeout 300ms --key k", NULL), 1);
	fake_end(&f);
	says("publish", err, "whether it was published is unknown; repeat it with "
	    "the same --key");
	ck_assert_int_eq(f.n_requests, 1);	/* never repeated by itself */
}
END_TEST

START_TEST(nothing_was_published_where_nobody_listens)
{
	struct fake f = { 0 };

	fake_begin(&f, false);
	fake_end(&f);		/* its port is free again */
	char line[256];

	snprintf(line, sizeof line, "publish a b --url %s", f.url);
	ck_assert_int_eq(run_with(line, "FANFARE_API_KEY=" KEY, NULL), 1);
	says("publish", err, "; nothing was published");
	ck_assert_ptr_null(strstr(err, "unknown"));
	snprintf(line, sizeof line, "tail a --url %s", f.url);
	ck_assert_int_eq(run_with(line, "FANFARE_API_KEY=" KEY, NULL), 1);
}
END_TEST

START_TEST(the_key_comes_from_file_environment_or_configuration)
{
	static const struct {
		const char	*line, *variable, *bearer;
	} rows[] = {
		{ "publish a b --api-key-file keys", "FANFARE_API_KEY=ffk_env",
		    "Bearer ffk_file\r\n" },
		{ "publish a b -c f.conf", "FANFARE_API_KEY=ffk_env",
		    "Bearer ffk_env\r\n" },
		{ "publish a b -c f.conf", "A=b", "Bearer ffk_conf\r\n" },
		{ "publish a b", "FANFARE_AUTH_API_KEYS=x:ffk_variable:a b",
		    "Bearer ffk_variable\r\n" },
		{ "publish a b", "FANFARE_AUTH_API_KEYS_FILE=keys",
		    "Bearer ffk_file\r\n" },
		{ "publish a b", "FANFARE_API_KEY=aaa.bbb.ccc",
		    "Bearer aaa.bbb.ccc\r\n" },
		{ "publish a b", "FANFARE_API_KEY=backend:ffk_named",
		    "Bearer ffk_named\r\n" },
	};
	const char *env[] = { NULL, NULL, NULL };
	char variable[160];
	size_t i;

	write_file("keys", "# keys\n\n  backend:ffk_file:a/** b/**\nx:ffk_other\n");
	write_file("f.conf", "[auth]\napi_keys = one:ffk_conf, two:ffk_2\n");
	for (i = 0; i < N(rows); i++) {
		struct fake f = { .answers = { PUBLISHED } };

		fake_begin(&f, false);
		snprintf(variable, sizeof variable, "FANFARE_URL=%s", f.url);
		env[0] = variable;
		env[1] = rows[i].variable;
		ck_assert_msg(finish(start(rows[i].line, env, NULL)) == 0, "%s",
		    err);
		fake_end(&f);
		says(rows[i].line, f.requests[0], rows[i].bearer);
	}
	write_file("keys", "# nothing\n");
	ck_assert_int_eq(run("publish a b --api-key-file keys"), 2);
	says("empty file", err, "keys: holds no key");
	ck_assert_int_eq(run_with("publish a b", "FANFARE_API_KEY=ffk_\001", NULL), 2);
	says("bad key", err, "FANFARE_API_KEY: holds no key");
}
END_TEST

START_TEST(the_server_is_found_by_the_configuration)
{
	struct fake f = { .answers = { PUBLISHED } },
	    g = { .answers = { PUBLISHED } };
	char text[512];

	fake_begin(&f, false);
	snprintf(text, sizeof text, "[server]\nlisten = 0.0.0.0:%d [::1]:1\n"
	    "[auth]\napi_keys = a:" KEY "\n", f.port);
	write_file("f.conf", text);
	ck_assert_msg(run("publish a b -c f.conf") == 0, "%s", err);
	fake_end(&f);
	fake_begin(&g, true);
	snprintf(text, sizeof text, "[server]\nlisten = %s?mode=0600\n"
	    "[auth]\napi_keys = a:" KEY "\n", g.url);
	write_file("f.conf", text);
	ck_assert_msg(run("publish a b -c f.conf") == 0, "%s", err);
	fake_end(&g);
	says("unix", g.requests[0], "POST /publish HTTP/1.1\r\nHost: localhost\r\n");
}
END_TEST

#define EVENT(id, topic, event, data) "id: " id "\ndata: {\"id\":\"" id "\",\"topic\":\"" \
	topic "\",\"event\":" event ",\"time\":\"2026-06-11T19:00:00.000Z\",\"data\":" \
	data "}\n\n"
#define LIVE(id) "id: " id "\nevent: fanfare.live\ndata: {\"resumed\":false," \
	"\"topics\":[\"a\"]}\n\n"

START_TEST(tail_prints_an_event_a_line)
{
	static const char stream[] = STREAM_HEAD "retry: 1000\n: hi\n" LIVE("aaaaaaaa-1")
	    EVENT("aaaaaaaa-2", "a", "\"goal\"", "\"Goal!\"") ": hb\n"
	    EVENT("aaaaaaaa-3", "a/\xc3\xa9", "null", "{\"x\":[1,\"\\n\"]}")
	    EVENT("aaaaaaaa-4", "a", "null", "\"a\\nb\\tc\\\\d\\u001b[0m\\u0085\"")
	    EVENT("aaaaaaaa-5", "a", "null", "\"\"");
	static const struct {
		const char	*line, *out;
	} rows[] = {
		{ "tail a --once 4",
		    "a\tgoal\tGoal!\n"
		    "a/\xc3\xa9\tmessage\t{\"x\":[1,\"\\n\"]}\n"
		    "a\tmessage\ta\\nb\\tc\\\\d\\u001b[0m\\u0085\n"
		    "a\tmessage\t\n" },
		{ "tail a --once 2 --raw", "Goal!\n{\"x\":[1,\"\\n\"]}\n" },
		{ "tail a --once 1 --json", "{\"id\":\"aaaaaaaa-2\",\"topic\":\"a\","
		    "\"event\":\"goal\",\"time\":\"2026-06-11T19:00:00.000Z\","
		    "\"data\":\"Goal!\"}\n" },
		{ "tail a --once=1 --envelope", "{\"id\":\"aaaaaaaa-2\",\"topic\":"
		    "\"a\",\"event\":\"goal\",\"time\":\"2026-06-11T19:00:00.000Z\","
		    "\"data\":\"Goal!\"}\n" },
	};
	struct fake f;
	size_t i;

	for (i = 0; i < N(rows); i++) {
		memset(&f, 0, sizeof f);
		f.answers[0] = stream;
		ck_assert_msg(run_at(&f, rows[i].line, NULL) == 0, "%s: %s",
		    rows[i].line, err);
		fake_end(&f);
		ck_assert_str_eq(out, rows[i].out);
		ck_assert_str_eq(err, "fanfare tail: live after aaaaaaaa-1\n");
	}
}
END_TEST

START_TEST(tail_asks_for_what_was_said)
{
	struct fake f = { .answers = { STREAM_HEAD
	    EVENT("aaaaaaaa-2", "a", "null", "1") } };

	ck_assert_int_eq(run_at(&f, "tail scores/** a&b=c --after 6f3a9c2e-1042 "
	    "--replay 10 --since 15m --once 1", NULL), 0);
	fake_end(&f);
	says("request", f.requests[0], "GET /events?format=envelope&topic=scores%2F%2A%2A"
	    "&topic=a%26b%3Dc&after=6f3a9c2e-1042&replay=10&since=15m HTTP/1.1\r\n");
	says("request", f.requests[0], "Accept: text/event-stream\r\n");
	says("request", f.requests[0], "Authorization: Bearer " KEY "\r\n");
	ck_assert_ptr_null(strstr(f.requests[0], "Last-Event-ID"));
}
END_TEST

START_TEST(tail_comes_back_where_it_ended)
{
	struct fake f = { .answers = {
	    STREAM_HEAD "retry: 1\n" LIVE("aaaaaaaa-1")
	    EVENT("aaaaaaaa-2", "a", "null", "1")
	    "id: aaaaaaaa-9\ndata: cut off",
	    JSON_HEAD("502 Bad Gateway") "x",
	    STREAM_HEAD "event: fanfare.close\ndata: {\"reason\":\"drain\",\"detail\":"
	    "\"restarting\",\"retry\":5}\n\n",
	    STREAM_HEAD EVENT("aaaaaaaa-3", "a", "null", "2") } };

	ck_assert_msg(run_at(&f, "tail a --once 2 --replay 1", NULL) == 0, "%s", err);
	fake_end(&f);
	ck_assert_str_eq(out, "a\tmessage\t1\na\tmessage\t2\n");
	ck_assert_int_eq(f.n_requests, 4);
	for (int i = 1; i < 4; i++) {
		says("again", f.requests[i], "Last-Event-ID: aaaaaaaa-2\r\n");
		says("again", f.requests[i], "&replay=1 ");
	}
	says("tail", err, "the connection ended: closed by the server");
	says("tail", err, "answered 502");
	says("tail", err, "the server ends the stream: drain: restarting");
}
END_TEST

START_TEST(tail_waits_as_long_as_it_was_told)
{
	static const char *const ends[] = {
		STREAM_HEAD "retry: 700\n" LIVE("aaaaaaaa-1"),
		STREAM_HEAD "retry: 1\nevent: fanfare.close\ndata: {\"reason\":"
		    "\"overload\",\"retry\":700}\n\n",
	};
	struct timespec begun, ended;
	size_t i;

	for (i = 0; i < N(ends); i++) {
		struct fake f = { .answers = { ends[i], STREAM_HEAD
		    EVENT("aaaaaaaa-2", "a", "null", "1") } };

		clock_gettime(CLOCK_MONOTONIC, &begun);
		ck_assert_int_eq(run_at(&f, "tail a --once 1", NULL), 0);
		clock_gettime(CLOCK_MONOTONIC, &ended);
		fake_end(&f);
		ck_assert_int_ge((ended.tv_sec - begun.tv_sec) * 1000 +
		    (ended.tv_nsec - begun.tv_nsec) / 1000000, 700);
	}
}
END_TEST

START_TEST(tail_tells_of_gaps)
{
	struct fake f = { .answers = { STREAM_HEAD
	    "event: fanfare.gap\ndata: {\"reason\":\"expired\",\"topics\":[\"a\"],"
	    "\"requested\":\"aaaaaaaa-1\",\"oldest\":\"aaaaaaaa-7\"}\n\n"
	    "event: fanfare.ping\nid: aaaaaaaa-7\ndata: {}\n\n"
	    EVENT("aaaaaaaa-8", "a", "null", "1") } };

	ck_assert_int_eq(run_at(&f, "tail a --once 1", NULL), 0);
	fake_end(&f);
	ck_assert_str_eq(err, "fanfare tail: events are missing here: expired, asked for "
	    "what follows aaaaaaaa-1, the oldest is aaaaaaaa-7\n");
	ck_assert_str_eq(out, "a\tmessage\t1\n");
}
END_TEST

static const struct {
	const char	*answer, *says;
} endings[] = {
	{ PROBLEM_HEAD("401 Unauthorized") "{\"code\":\"token_missing\",\"detail\":"
	    "\"no credential\"}", "no credential (401 token_missing)" },
	{ PROBLEM_HEAD("403 Forbidden") "{\"code\":\"topic_forbidden\",\"detail\":"
	    "\"not yours\"}", "not yours (403 topic_forbidden)" },
	{ JSON_HEAD("404 Not Found") "x", "answered 404" },
	{ JSON_HEAD("502 Bad Gateway") "x", "answered 502" },	/* never open */
	{ JSON_HEAD("200 OK") "{}", "answers, but with no event stream" },
	{ STREAM_HEAD "event: fanfare.close\ndata: {\"reason\":\"revoked\",\"detail\":"
	    "\"the key is gone\",\"retry\":5}\n\n",
	    "the server ends the stream: revoked: the key is gone" },
	{ STREAM_HEAD "event: fanfare.close\ndata: {\"reason\":\"expired\"}\n\n",
	    "the server ends the stream: expired" },
	{ STREAM_HEAD "data: hello\n\n", "this is not a fanfare server" },
};

START_TEST(tail_gives_up_when_that_is_final)
{
	struct fake f;
	size_t i;

	for (i = 0; i < N(endings); i++) {
		memset(&f, 0, sizeof f);
		f.answers[0] = endings[i].answer;
		ck_assert_int_eq(run_at(&f, "tail a", NULL), 1);
		fake_end(&f);
		says("tail", err, endings[i].says);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("cli");
	TCase *t = tcase_create("alone");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_wrong_call_exits_2_and_says_why_on_standard_error);
	tcase_add_test(t, help_is_everywhere_and_goes_to_standard_output);
	tcase_add_test(t, key_prints_one_new_secret_alone);
	tcase_add_test(t, a_printed_key_is_one_that_check_accepts);
	tcase_add_test(t, a_minted_token_is_one_that_explain_accepts);
	tcase_add_test(t, without_a_signing_key_there_is_no_token);
	tcase_add_test(t, check_tells_file_and_line);
	tcase_add_test(t, options_beat_the_environment_and_that_the_file);
	tcase_add_test(t, a_secret_among_the_options_is_warned_of_but_not_shown);
	tcase_add_test(t, the_printed_configuration_can_be_read_back);
	suite_add_tcase(s, t);

	t = tcase_create("clients");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, publish_sends_what_was_asked_and_prints_the_answer);
	tcase_add_test(t, publish_refuses_what_the_server_would);
	tcase_add_test(t,
	    a_failed_publish_exits_1_and_says_whether_it_may_have_happened);
	tcase_add_test(t,
	    an_answer_that_does_not_come_is_waited_for_as_long_as_said);
	tcase_add_test(t, nothing_was_published_where_nobody_listens);
	tcase_add_test(t, the_key_comes_from_file_environment_or_configuration);
	tcase_add_test(t, the_server_is_found_by_the_configuration);
	tcase_add_test(t, tail_prints_an_event_a_line);
	tcase_add_test(t, tail_asks_for_what_was_said);
	tcase_add_test(t, tail_comes_back_where_it_ended);
	tcase_add_test(t, tail_waits_as_long_as_it_was_told);
	tcase_add_test(t, tail_tells_of_gaps);
	tcase_add_test(t, tail_gives_up_when_that_is_final);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
