/*
 * harness.c - directories, processes and clocks for the black-box tests.
 *
 * Check runs each test in a child that is gone at the first failed assertion,
 * so whatever must happen after a failure happens in the parent: a directory
 * that is still there when a case ends belongs to a test that failed; its logs
 * are printed and it is removed then.  Servers left behind are killed by Check
 * with the child's process group.
 */
#include "config.h"

#include "harness.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct kept {
	void		*p;
	void		(*release)(void *);
	struct kept	*next;
};

static struct kept *kept;
static char base_dir[64], own_dir[96];

int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
wall_s(void)
{
	struct timespec ts;

	/* time() reads a coarser clock, which lags the one of the server. */
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec;
}

int
setting(const char *name, int otherwise)
{
	const char *v = getenv(name);

	return v == NULL || *v == '\0' ? otherwise : atoi(v);
}

int
size_of_run(int every, int release)
{
	return setting("FANFARE_TEST_RELEASE", 0) != 0 ? release : every;
}

void
left_out(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("left out: ", stdout);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

char *
have_program(const char *name)
{
	const char *path = getenv("PATH");
	char *dirs = fmt("%s:/usr/sbin:/sbin", path != NULL ? path : "/usr/bin"), *dir, *p;

	while ((dir = strsep(&dirs, ":")) != NULL)
		if (access(p = fmt("%s/%s", dir, name), X_OK) == 0)
			return p;
	ck_assert_msg(setting("FANFARE_TEST_ALL", 0) == 0, "there is no %s here", name);
	left_out("there is no %s here", name);
	return NULL;
}

/* The server is built as we are. */
#ifndef __has_feature
#define __has_feature(x)	0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define SLOW	6
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SLOW	3
#else
#define SLOW	1
#endif

int
patience(int ms)
{
	int n = setting("FANFARE_TEST_SLOW", SLOW);

	return n > 1 ? ms * n : ms;
}

uint32_t
dice(uint32_t sides)
{
	static uint64_t x;

	if (x == 0) {
		x = suite_seed();
		fprintf(stderr, "FANFARE_TEST_SEED=%u\n", (unsigned int)x);
		x = x * 2654435761u + 88172645463325252u;
	}
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16) % sides;
}

void *
keep(void *p, void (*release)(void *))
{
	struct kept *k;

	ck_assert_ptr_nonnull(p);
	k = malloc(sizeof *k);
	ck_assert_ptr_nonnull(k);
	k->p = p;
	k->release = release;
	k->next = kept;
	kept = k;
	return p;
}

char *
fmt(const char *f, ...)
{
	va_list ap;
	char *s;

	va_start(ap, f);
	ck_assert_int_ge(vasprintf(&s, f, ap), 0);
	va_end(ap);
	return keep(s, free);
}

char *
repeat(const char *s, size_t times)
{
	size_t len = strlen(s);
	char *r = keep(malloc(len * times + 1), free);

	for (size_t i = 0; i < times; i++)
		memcpy(r + i * len, s, len);
	r[len * times] = '\0';
	return r;
}

char *
read_whole(const char *path)
{
	FILE *f = fopen(path, "r");
	char *s = NULL;
	size_t cap = 0;
	ssize_t n;

	if (f == NULL)
		return fmt("%s", "");
	n = getdelim(&s, &cap, '\0', f);
	fclose(f);
	if (n < 0) {
		free(s);
		return fmt("%s", "");
	}
	return keep(s, free);
}

void
write_whole(const char *path, const void *p, size_t len)
{
	FILE *f;

	umask(077);		/* keys must be nobody else's */
	f = fopen(path, "w");
	ck_assert_msg(f != NULL, "cannot write %s", path);
	ck_assert_uint_eq(fwrite(p, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* ---- directories ---- */

static int
remove_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	(void)sb, (void)flag, (void)ftw;
	return remove(path);
}

static void
remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
show_log(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[2100];

	if (f == NULL)
		return;
	fprintf(stderr, "---- %s\n", path);
	while (fgets(line, sizeof line, f) != NULL)
		fputs(line, stderr);
	fclose(f);
}

static int
show_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	size_t len = strlen(path);

	(void)sb, (void)ftw;
	if (flag == FTW_F && len > 7 && strcmp(path + len - 7, ".stderr") == 0)
		show_log(path);
	return 0;
}

static void
case_setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(base_dir, sizeof base_dir, "%s/fanfare-test-XXXXXX",
	    tmp == NULL || strlen(tmp) > 30 ? "/tmp" : tmp);
	ck_assert_msg(mkdtemp(base_dir) != NULL, "cannot make %s", base_dir);
}

static void
case_teardown(void)
{
	nftw(base_dir, show_one, 16, FTW_PHYS);
	remove_tree(base_dir);
}

static void
test_setup(void)
{
	static int n;

	snprintf(own_dir, sizeof own_dir, "%s/%d-%d", base_dir, (int)getpid(),
	    n++);
	ck_assert_msg(mkdir(own_dir, 0700) == 0, "cannot make %s", own_dir);
	signal(SIGPIPE, SIG_IGN);
}

static void
test_teardown(void)
{
	struct kept *k;

	servers_given(NULL, 0, NULL);
	servers_told(NULL, NULL);
	servers_limited(0);
	while ((k = kept) != NULL) {
		kept = k->next;
		k->release(k->p);
		free(k);
	}
	if (getenv("CK_FORK") != NULL && strcmp(getenv("CK_FORK"), "no") == 0)
		nftw(own_dir, show_one, 16, FTW_PHYS);
	remove_tree(own_dir);
}

char *
test_dir(void)
{
	return own_dir;
}

TCase *
harness_case(Suite *s, const char *name, int seconds)
{
	TCase *tc = tcase_create(name);

	/* Check ends the whole program when a message is longer than this, and
	 * ours hold answers and logs.  (Its own buffer cuts them at 8 kB.) */
	check_set_max_msg_size(65536);
	tcase_add_unchecked_fixture(tc, case_setup, case_teardown);
	tcase_add_checked_fixture(tc, test_setup, test_teardown);
	tcase_set_timeout(tc, patience(seconds * 1000) / 1000);
	suite_add_tcase(s, tc);
	return tc;
}

/* ---- the server ---- */

/* Ports below the range that the kernel takes for outgoing connections, or a
 * client of ours could sit on the port while the server restarts.  None comes twice:
 * nobody listens on the last one yet. */
int
free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd, one = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int tries = 0; tries < 1000; tries++) {
		static uint32_t x;
		int port;

		if (x == 0)
			x = ((uint32_t)getpid() * 2654435761u) >> 1 | 1;
		x += 7919;		/* and 20000 have no divisor in common */
		port = 10000 + (int)(x % 20000);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_ge(fd, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		sa.sin_port = htons((uint16_t)port);
		if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0) {
			close(fd);
			return port;
		}
		close(fd);
	}
	ck_abort_msg("no free port");
	return -1;
}

static const char *
program(void)
{
	const char *p = getenv("FANFARE_BIN");

	return p == NULL || *p == '\0' ? "./fanfare" : p;
}

/* Only what a process needs and what steers sanitizers: the server reads
 * FANFARE_* and PORT. */
static void
clean_environment(void)
{
	static const char *const names[] = { "PATH", "HOME", "TMPDIR",
		"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
		"LSAN_OPTIONS", "LD_PRELOAD", "FAULT_CONTROL", "GCOV_PREFIX",
		"CREDENTIALS_DIRECTORY" };
	const char *v[sizeof names / sizeof *names];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		v[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
	clearenv();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (v[i] != NULL)
			setenv(names[i], v[i], 1);
}

static int given_fds[16], ngiven_fds;
static const char *given_names, *told_pid, *told_fds;

void
servers_given(const int *fds, int n, const char *names)
{
	for (int i = 0; i < n; i++)
		given_fds[i] = fds[i];
	ngiven_fds = n;
	given_names = names;
}

void
servers_told(const char *pid, const char *fds)
{
	told_pid = pid;
	told_fds = fds;
}

static int descriptors_limit;

void
servers_limited(int descriptors)
{
	descriptors_limit = descriptors;
}

/* In the child. */
static void
limit(void)
{
	struct rlimit rl;

	if (descriptors_limit == 0)
		return;
	rl.rlim_cur = rl.rlim_max = (rlim_t)descriptors_limit;
	setrlimit(RLIMIT_NOFILE, &rl);
}

/* The port of the first one, or 0. */
static int
given_port(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;

	if (ngiven_fds == 0 || getsockname(given_fds[0],
	    (struct sockaddr *)&sa, &len) == -1 || sa.sin_family != AF_INET)
		return 0;
	return ntohs(sa.sin_port);
}

/* In the child: they become 3, 4, ... */
static void
give(void)
{
	int high[16];

	for (int i = 0; i < ngiven_fds; i++)
		high[i] = fcntl(given_fds[i], F_DUPFD, 100);
	for (int i = 0; i < ngiven_fds; i++) {
		close(3 + i);
		if (high[i] != -1)
			dup2(high[i], 3 + i);
	}
	close_range((unsigned int)(3 + ngiven_fds), ~0u, 0);
}

static void
tell_given(void)
{
	char pid[24], n[24];

	if (ngiven_fds == 0 && told_fds == NULL)
		return;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	snprintf(n, sizeof n, "%d", ngiven_fds);
	setenv("LISTEN_PID", told_pid != NULL ? told_pid : pid, 1);
	setenv("LISTEN_FDS", told_fds != NULL ? told_fds : n, 1);
	if (given_names != NULL)
		setenv("LISTEN_FDNAMES", given_names, 1);
}

static pid_t
launch(char *const *args, const char *log)
{
	sigset_t all, before;
	pid_t pid;

	/* Check ends the whole group of processes from its handlers: none of them may
	 * run in the child before it is another program. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		int null = open("/dev/null", O_RDONLY);

		dup2(null, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		/* Nothing of the test's own may be counted as the server's. */
		give();
		limit();
		clean_environment();
		tell_given();
		signal(SIGPIPE, SIG_DFL);
		execv(args[0], args);
		fprintf(stderr, "cannot run %s: %s\n", args[0],
		    strerror(errno));
		_exit(127);
	}
	return pid;
}

static void
server_release(void *p)
{
	struct server *s = p;

	if (s->pid != 0)
		server_kill(s);
	free(s);
}

static bool
same_key(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && (b[n] == '=' || b[n] == '\0');
}

static bool
is_given(const char *key, const char *const *given, int ngiven)
{
	for (int i = 0; i < ngiven; i++)
		if (same_key(key, given[i]))
			return true;
	return false;
}

static void
add_default(struct server *s, const char *const *given, int ngiven, char *arg)
{
	if (is_given(arg, given, ngiven))
		return;
	ck_assert_int_lt(s->nargs, SERVER_ARGS - 1);
	s->args[s->nargs++] = arg;
}

static struct server *
server_describe(const char *option, va_list ap)
{
	static int n;
	struct server *s = keep(calloc(1, sizeof *s), server_release);
	const char *given[SERVER_ARGS / 2];
	int ngiven = 0;

	for (; option != NULL; option = va_arg(ap, const char *)) {
		ck_assert_int_lt(ngiven, SERVER_ARGS / 2);
		given[ngiven++] = option;
	}
	n++;
	s->port = given_port() != 0 ? given_port() : free_port();
	s->admin_port = free_port();
	s->dir = own_dir;
	s->store = fmt("%s/fanfare.db", own_dir);
	s->log = fmt("%s/server-%d.stderr", own_dir, n);
	s->args[s->nargs++] = fmt("%s", program());
	s->args[s->nargs++] = fmt("serve");
	add_default(s, given, ngiven, fmt("--server.listen=127.0.0.1:%d",
	    s->port));
	add_default(s, given, ngiven, fmt("--server.admin_listen=127.0.0.1:%d",
	    s->admin_port));
	add_default(s, given, ngiven, fmt("--store.path=%s", s->store));
	add_default(s, given, ngiven, fmt("--auth.api_keys=test:%s", API_KEY));
	if (!is_given("--auth.key_file=", given, ngiven) &&
	    !is_given("--auth.jwks=", given, ngiven))
		add_default(s, given, ngiven, fmt("--auth.key=%s", HOUSE_KEY));
	add_default(s, given, ngiven, fmt("--server.drain_time=100ms"));
	for (int i = 0; i < ngiven; i++)
		if (strcmp(given[i], "--auth.key=") != 0)
			s->args[s->nargs++] = fmt("%s", given[i]);
	return s;
}

bool
server_alive(struct server *s)
{
	if (s->pid == 0 || waitpid(s->pid, &s->status, WNOHANG) == s->pid) {
		s->pid = 0;
		return false;
	}
	return true;
}

/* Started just now: wait until it serves.  Returns ms, or -1 when it ended. */
static int64_t
wait_ready(struct server *s)
{
	int64_t begun = now_ms(), end = begun + patience(10000);

	while (now_ms() < end) {
		struct http *h;
		struct answer *a = NULL;
		int status = 0;

		if (!server_alive(s))
			return -1;
		if ((h = try_http_open(s)) != NULL) {
			if (try_http_send(h, "GET", "/healthz", "", NULL,
			    0) == 0)
				a = try_http_receive(h, 2000);
			if (a != NULL)
				status = a->status;
			answer_free(a);
			http_close(h);
		}
		if (status == 200)
			return now_ms() - begun;
		poll(NULL, 0, 5);
	}
	ck_abort_msg("the server was not ready within %d ms", patience(10000));
	return -1;
}

struct server *
server_start(const char *option, ...)
{
	struct server *s;
	va_list ap;

	va_start(ap, option);
	s = server_describe(option, ap);
	va_end(ap);
	s->pid = launch(s->args, s->log);
	ck_assert_msg(wait_ready(s) >= 0, "the server did not start: %s",
	    read_whole(s->log));
	return s;
}

void
server_launch(struct server *s)
{
	ck_assert_msg(s->pid == 0, "it still runs");
	s->pid = launch(s->args, s->log);
}

int64_t
try_server_restart(struct server *s)
{
	server_launch(s);
	return wait_ready(s);
}

int64_t
server_restart(struct server *s)
{
	int64_t ms = try_server_restart(s);

	ck_assert_msg(ms >= 0, "the server did not start again: %s",
	    read_whole(s->log));
	return ms;
}

void
server_signal(struct server *s, int sig)
{
	ck_assert_int_ne(s->pid, 0);
	kill(s->pid, sig);
}

int
server_attempt(struct server *s)
{
	int64_t end = now_ms() + patience(5000);
	int status;

	ck_assert_msg(s->pid == 0, "it still runs");
	s->pid = launch(s->args, s->log);
	while (now_ms() < end) {
		struct http *h = try_http_open(s);
		struct answer *a = NULL;

		if (h != NULL && try_http_send(h, "GET", "/healthz?live", "", NULL,
		    0) == 0)
			a = try_http_receive(h, 2000);
		if (h != NULL)
			http_close(h);
		status = a != NULL ? a->status : 0;
		answer_free(a);
		if (status == 200)
			return 0;
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
		poll(NULL, 0, 2);
	}
	return -1;
}

void
server_kill(struct server *s)
{
	int status;

	if (s->pid == 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, &status, 0);
	s->pid = 0;
}

int
server_wait(struct server *s, int ms)
{
	int64_t end = now_ms() + patience(ms);

	while (s->pid != 0) {
		if (waitpid(s->pid, &s->status, WNOHANG) == s->pid) {
			s->pid = 0;
			return WIFEXITED(s->status) ? WEXITSTATUS(s->status) : -1;
		}
		if (now_ms() > end)
			return -1;
		poll(NULL, 0, 2);
	}
	return -1;
}

int
server_stop(struct server *s)
{
	server_signal(s, SIGTERM);
	return server_wait(s, 10000);
}

int
server_refused(char **said, const char *option, ...)
{
	struct server *s;
	va_list ap;
	int code;

	va_start(ap, option);
	s = server_describe(option, ap);
	va_end(ap);
	s->pid = launch(s->args, s->log);
	code = server_wait(s, 5000);
	server_kill(s);
	*said = read_whole(s->log);
	return code;
}

int
program_run(char **out, char **err, const char *input, const char *arg, ...)
{
	struct server child = { .pid = 0 };
	char *args[SERVER_ARGS], *files[3];
	static int count;
	int n = 0;
	va_list ap;

	args[n++] = fmt("%s", program());
	va_start(ap, arg);
	for (; arg != NULL; arg = va_arg(ap, const char *)) {
		ck_assert_int_lt(n, SERVER_ARGS - 1);
		args[n++] = fmt("%s", arg);
	}
	va_end(ap);
	args[n] = NULL;
	files[0] = fmt("%s", input != NULL ? input : "/dev/null");
	files[1] = fmt("%s/program-%d.out", own_dir, count);
	files[2] = fmt("%s/program-%d.stderr", own_dir, count++);
	child.pid = fork();
	ck_assert_int_ge(child.pid, 0);
	if (child.pid == 0) {
		for (int i = 0; i < 3; i++)
			dup2(open(files[i], i == 0 ? O_RDONLY :
			    O_WRONLY | O_CREAT | O_TRUNC, 0600), i);
		clean_environment();
		signal(SIGPIPE, SIG_DFL);
		execv(args[0], args);
		_exit(127);
	}
	n = server_wait(&child, 120000);
	server_kill(&child);
	if (out != NULL)
		*out = read_whole(files[1]);
	if (err != NULL)
		*err = read_whole(files[2]);
	return n;
}

void
file_is_whole(const char *path)
{
	char *out, *err;
	int code = program_run(&out, &err, NULL, "verify", path, NULL);

	ck_assert_msg(code == 0, "verify exits with %d and says: %s%s", code, out, err);
}

void
log_is_whole(struct server *s)
{
	file_is_whole(s->store);
}

int
server_descriptors(struct server *s)
{
	char path[64];
	struct dirent *de;
	DIR *d;
	int n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->pid);
	d = opendir(path);
	ck_assert_msg(d != NULL, "cannot read %s", path);
	while ((de = readdir(d)) != NULL)
		if (de->d_name[0] != '.')
			n++;
	closedir(d);
	return n;
}

void
server_show_descriptors(struct server *s)
{
	char to[256], *path;
	ssize_t len;

	for (int fd = 0; fd < 1000; fd++) {
		path = fmt("/proc/%d/fd/%d", (int)s->pid, fd);
		if ((len = readlink(path, to, sizeof to)) != -1)
			printf("descriptor %d: %.*s\n", fd, (int)len, to);
	}
}

long
server_memory_kb(struct server *s)
{
	char *status = read_whole(fmt("/proc/%d/status", (int)s->pid));
	char *p = strstr(status, "VmRSS:");

	return p == NULL ? 0 : strtol(p + 6, NULL, 10);
}

int64_t
server_cpu_ms(struct server *s)
{
	char *stat = read_whole(fmt("/proc/%d/stat", (int)s->pid));
	char *p = strrchr(stat, ')');		/* the name may hold anything */
	unsigned long long user, kernel;

	ck_assert_msg(p != NULL && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u"
	    " %*u %*u %llu %llu", &user, &kernel) == 2, "no CPU time in %s", stat);
	return (int64_t)(user + kernel) * 1000 / sysconf(_SC_CLK_TCK);
}
