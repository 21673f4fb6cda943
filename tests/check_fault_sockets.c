/*
 * check_fault_sockets.c - descriptors and streams run out, and peers vanish.
 *
 * What is open goes on working, whoever is refused hears of it, nobody spins, and
 * when there is room again it is used at once.
 */
#include "config.h"

#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";

#define LIMIT		96	/* descriptors that the server has */
#define IDLE		40	/* connections of each kind to each of its sockets */
#define STREAMS		120
#define LOOK_MS		2000	/* CPU is measured for so long */
#define AGAIN_MS	2000	/* a second, and one for a machine that is busy */

/* Of one core, in thousandths, over the next two seconds. */
static int
busy(struct server *s)
{
	int64_t began = now_ms(), used = server_cpu_ms(s);

	poll(NULL, 0, LOOK_MS);
	return (int)((server_cpu_ms(s) - used) * 1000 / (now_ms() - began));
}

static void
is_not_busy(struct server *s, const char *when)
{
	int n = busy(s);

	printf("%s: %d.%d %% of a core\n", when, n / 10, n % 10);
	ck_assert_msg(n <= 50, "%s: %d.%d %% of a core", when, n / 10, n % 10);
}

static int
status_of(struct http *h, const char *method, const char *path, const char *body)
{
	struct answer *a;
	int status;

	if (try_http_send(h, method, path, AUTH, body, body != NULL ? strlen(body) :
	    0) == -1 || (a = try_http_receive(h, SOON)) == NULL)
		return -1;
	status = a->status;
	answer_free(a);
	return status;
}

static int
dial_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static int
listening(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

static int
listening_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

static int
port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

/* The ways in; the first is s->port. */
struct doors {
	int		 fd[3];		/* those that systemd keeps */
	int		 n;
	int		 port;		/* 0: none */
	const char	*path;		/* NULL: none */
};

/* With one listener of its own, or three that systemd keeps. */
static struct server *
start_limited(bool kept, struct doors *d)
{
	*d = (struct doors){ .n = 0 };
	servers_limited(LIMIT);
	if (kept) {
		d->path = fmt("%s/door", test_dir());
		d->fd[d->n++] = listening();
		d->fd[d->n++] = listening();
		d->fd[d->n++] = listening_unix(d->path);
		d->port = port_of(d->fd[1]);
		servers_given(d->fd, d->n, NULL);
	}
	return server_start(all_public, "--server.threads=2", NULL);
}

/* Connections that only wait, and requests that never end, to every way in. */
static int
crowd(struct server *s, const struct doors *d, int *fd)
{
	static const char half[] = "POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n";
	int n = 0;

	for (int i = 0; i < 2 * IDLE; i++) {
		fd[n++] = dial(s->port, 0);
		if (d->port != 0)
			fd[n++] = dial(d->port, 0);
		if (d->path != NULL)
			fd[n++] = dial_unix(d->path);
	}
	for (int i = n / 2; i < n; i++)
		(void)!write(fd[i], half, sizeof half - 1);
	return n;
}

/* Streams until none is let in: how many were; each of the others heard why. */
static int
fill(struct server *s, struct stream **st)
{
	int in = 0, told = 0;

	for (int i = 0; i < STREAMS; i++) {
		struct stream *one = stream_open(s, "/events?topic=a", "");
		struct event *e = stream_next(one, SOON);

		ck_assert_msg(e != NULL, "stream %d hears nothing", i);
		if (strcmp(e->name, "fanfare.live") == 0) {
			ck_assert_int_eq(told, 0);
			st[in++] = one;
			continue;
		}
		ck_assert_str_eq(e->name, "fanfare.close");
		ck_assert_ptr_nonnull(strstr(e->data, "\"overload\""));
		ck_assert_int_ge(one->retry_ms, 1000);
		ck_assert(stream_ended(one, SOON));
		stream_close(one);
		told++;
	}
	ck_assert_int_gt(in, 10);
	ck_assert_int_gt(told, 10);
	return in;
}

static void
all_get(struct stream **st, int n, const char *data)
{
	for (int i = 0; i < n; i++)
		expect_event(st[i], "message", data);
}

static void
answers_at_once(struct server *s, const char *when)
{
	int64_t began = now_ms();
	struct http *h = http_open(s);
	int status = status_of(h, "GET", "/healthz", NULL);

	ck_assert_msg(status == 200, "%s: %d after %d ms", when, status,
	    (int)(now_ms() - began));
	ck_assert_msg(now_ms() - began <= patience(AGAIN_MS), "%s: it took %d ms", when,
	    (int)(now_ms() - began));
	http_close(h);
}

START_TEST(R1_what_is_open_works_when_descriptors_have_run_out)
{
	struct doors d;
	struct server *s = start_limited(_i == 1, &d);
	struct http *h = http_open(s);
	struct stream *st[STREAMS], *again;
	struct answer *a;
	int fd[6 * IDLE], n, in;
	char c;

	ck_assert_int_eq(status_of(h, "POST", "/publish?topic=a", "x"), 200);
	in = fill(s, st);
	/* Others than EventSource are told by the status. */
	a = get(s, "/events?topic=a", "Accept: */*\r\n");
	is_problem(a, 503, "overload", "room", "curl");
	n = crowd(s, &d, fd);
	is_not_busy(s, "without descriptors");
	/* They wait; or, having sent no request for a while, made room for the next. */
	for (int i = 0; i < n; i++)
		ck_assert_int_le(recv(fd[i], &c, 1, 0), 0);
	printf("%d streams, %d connections that wait, %d descriptors of %d\n", in, n,
	    server_descriptors(s), LIMIT);
	ck_assert_int_le(server_descriptors(s), LIMIT);
	/* Never all of them: the log, the store and the streams need some. */
	ck_assert_msg(server_descriptors(s) <= LIMIT - 2, "%d descriptors",
	    server_descriptors(s));
	ck_assert_int_eq(status_of(h, "POST", "/publish?topic=a", "held"), 200);
	all_get(st, in, "held");
	ck_assert_int_eq(status_of(h, "GET", "/history?topic=**", NULL), 200);
	ck_assert_int_gt(server_metric(s, "streams_refused_total"), 0);
	server_signal(s, SIGHUP);
	for (int64_t end = now_ms() + patience(SOON);
	    strstr(read_whole(s->log), "reload") == NULL; poll(NULL, 0, 20))
		ck_assert_msg(now_ms() < end, "nothing is written to the log");
	for (int i = 0; i < n; i++)
		close(fd[i]);
	answers_at_once(s, "when the crowd has gone");
	for (int i = 0; i < in; i++)
		stream_close(st[i]);
	for (int64_t end = now_ms() + patience(AGAIN_MS);; poll(NULL, 0, 10)) {
		struct event *e;

		again = stream_open(s, "/events?topic=a", "");
		e = stream_next(again, SOON);
		ck_assert_ptr_nonnull(e);
		if (strcmp(e->name, "fanfare.live") == 0)
			break;
		ck_assert_msg(now_ms() < end, "no stream is let in: %s", e->data);
		stream_close(again);
	}
	ck_assert_int_eq(status_of(h, "POST", "/publish?topic=a", "after"), 200);
	expect_event(again, "message", "after");
	ck_assert_int_eq(server_stop(s), 0);
	for (int i = 0; i < d.n; i++)
		close(d.fd[i]);
}
END_TEST

/* The limit of the process is lowered to what it has open, as if something else had
 * taken the rest. */
static void
take_descriptors(struct server *s, struct rlimit *before)
{
	struct rlimit rl;

	ck_assert_int_eq(prlimit(s->pid, RLIMIT_NOFILE, NULL, before), 0);
	rl = *before;
	rl.rlim_cur = 4;
	ck_assert_int_eq(prlimit(s->pid, RLIMIT_NOFILE, &rl, NULL), 0);
}

START_TEST(R1_descriptors_that_others_took_are_waited_for_without_haste)
{
	enum { WAITING = 10 };
	bool held = _i == 0;
	struct server *s = server_start(all_public, "--stream.heartbeat=1s", NULL);
	struct stream *fine = stream_open(s, "/events?topic=a", "");
	struct http *h = NULL, *w[WAITING];
	struct rlimit before;
	int64_t began;
	int comments;

	expect_live(fine, false);
	publish(s, "a", "warm");
	expect_event(fine, "message", "warm");
	if (held) {
		h = http_open(s);
		ck_assert_int_eq(status_of(h, "POST", "/publish?topic=a", "x"), 200);
		expect_event(fine, "message", "x");
	}
	poll(NULL, 0, 50);		/* connections of this test are closed by now */
	take_descriptors(s, &before);
	for (int i = 0; i < WAITING; i++) {
		w[i] = http_open(s);
		ck_assert_int_eq(try_http_send(w[i], "GET", "/healthz", "", NULL, 0),
		    0);
	}
	comments = fine->comments;
	is_not_busy(s, held ? "taken, one connection open" : "taken, none open");
	for (int i = 0; i < WAITING; i++)
		ck_assert_int_eq(try_http_feed(w[i]), 0);
	if (held) {
		ck_assert_int_eq(status_of(h, "POST", "/publish?topic=a", "held"),
		    200);
		expect_event(fine, "message", "held");
		/* It has a connection, and a stream cannot be: it hears that. */
		ck_assert_int_eq(status_of(h, "GET", "/events?topic=a", NULL), 503);
	}
	stream_feed(fine);
	ck_assert_msg(fine->comments > comments, "no heartbeat meanwhile");
	ck_assert_msg(strstr(read_whole(s->log), "cannot be accepted") != NULL,
	    "the log does not say so");
	began = now_ms();
	ck_assert_int_eq(prlimit(s->pid, RLIMIT_NOFILE, &before, NULL), 0);
	for (int i = 0; i < WAITING; i++) {
		struct answer *a = try_http_receive(w[i], AGAIN_MS);

		ck_assert_msg(a != NULL, "no answer %d ms after",
		    (int)(now_ms() - began));
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
	}
	printf("%d that waited were answered in %d ms\n", WAITING,
	    (int)(now_ms() - began));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R2 ---- */

#define CLIENTS		8
#define AT_ONCE		4	/* connections of one client at a time */
#define HELD		15	/* of ROOM, for all the while */
#define ROOM		16

struct tally {
	int	let_in, refused, wrong, worst_ms;
};

static int
dial_blocking(int port)
{
	struct timeval tv = { .tv_sec = patience(SOON) / 1000 };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_port = htons((uint16_t)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	if (fd != -1 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What became of it: fanfare.live, or told and ended, or neither in time. */
static void
judge(int fd, struct tally *t, int64_t began)
{
	char text[2048];
	size_t at = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, text + at, sizeof text - 1 - at);
		if (n <= 0)
			break;
		at += (size_t)n;
		text[at] = '\0';
		if (strstr(text, "event: fanfare.live\n") != NULL) {
			t->let_in++;
			return;
		}
		if (strstr(text, "\"reason\":\"overload\"") != NULL &&
		    strstr(text, "\nretry: ") != NULL)
			break;
		if (at > 12 && strncmp(text, "HTTP/1.1 200", 12) != 0)
			break;
	}
	text[at] = '\0';
	if (at > 0 && strncmp(text, "HTTP/1.1 200", 12) == 0 &&
	    strstr(text, "event: fanfare.close\n") != NULL) {
		t->refused++;
		if (now_ms() - began > t->worst_ms)
			t->worst_ms = (int)(now_ms() - began);
	} else
		t->wrong++;
}

/* Until so many were refused. */
static void
race(int port, int refusals, struct tally *t)
{
	static const char rq[] = "GET /events?topic=a HTTP/1.1\r\nHost: x\r\n"
	    "Accept: text/event-stream\r\n\r\n";
	int fd[AT_ONCE];

	while (t->refused < refusals && t->wrong == 0) {
		int64_t began = now_ms();

		for (int k = 0; k < AT_ONCE; k++) {
			fd[k] = dial_blocking(port);
			if (fd[k] == -1 || write(fd[k], rq, sizeof rq - 1) == -1)
				t->wrong++;
		}
		for (int k = 0; k < AT_ONCE; k++) {
			judge(fd[k], t, began);
			close(fd[k]);
		}
	}
}

START_TEST(R2_streams_over_the_limit_are_told_whatever_races)
{
	int refusals = size_of_run(1024, 10240) / CLIENTS, in = 0, refused = 0,
	    worst = 0;
	struct tally *t = mmap(NULL, CLIENTS * sizeof *t, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stream *held[HELD];
	struct server *s;
	pid_t pid[CLIENTS];

	ck_assert_ptr_ne(t, MAP_FAILED);
	servers_limited(LIMIT);		/* so that connections run out too */
	s = server_start(all_public, fmt("--server.max_streams%s=%d",
	    _i == 1 ? "_per_ip" : "", ROOM), "--server.threads=2", NULL);
	for (int i = 0; i < HELD; i++) {
		held[i] = stream_open(s, "/events?topic=a", "");
		expect_live(held[i], false);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pid[i] = fork();
		ck_assert_int_ne(pid[i], -1);
		if (pid[i] == 0) {
			race(s->port, refusals, &t[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < CLIENTS; i++) {
		int status;

		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_int_eq(status, 0);
		ck_assert_msg(t[i].wrong == 0, "client %d: %d heard nothing", i,
		    t[i].wrong);
		in += t[i].let_in;
		refused += t[i].refused;
		worst = t[i].worst_ms > worst ? t[i].worst_ms : worst;
	}
	printf("%d let in, %d refused in %d ms at most\n", in, refused, worst);
	ck_assert_int_gt(in, 0);
	ck_assert_int_ge(refused, CLIENTS * refusals);
	ck_assert_int_eq(server_metric(s, "streams_refused_total"), refused);
	/* Not one place is lost: all of the room is there again. */
	for (int64_t end = now_ms() + patience(SOON);
	    server_metric(s, "streams") > HELD; poll(NULL, 0, 20))
		ck_assert_msg(now_ms() < end, "%d streams",
		    (int)server_metric(s, "streams"));
	for (int i = HELD; i < ROOM; i++)
		expect_live(stream_open(s, "/events?topic=a", ""), false);
	expect_close(stream_open(s, "/events?topic=a", ""), "overload", SOON);
	publish(s, "a", "to all");
	all_get(held, HELD, "to all");
	munmap(t, CLIENTS * sizeof *t);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R10 ---- */

/* From now on it takes no packet, and so acknowledges none, nor says that it ended. */
static void
vanish(int fd)
{
	struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog all = { 1, &drop };

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all,
	    sizeof all), 0);
}

/* With stream.heartbeat and stream.stall as they are, 15 s jittered, and 30 s and ten of
 * the kernel's: 58 s.  With a second each it is twelve. */
START_TEST(R10_peers_that_vanish_give_their_descriptors_back)
{
	bool release = size_of_run(0, 1) == 1;
	int n = size_of_run(400, 5000), owed, left;
	struct server *s = server_start(all_public, release ?
	    "--stream.heartbeat=15s" : "--stream.heartbeat=1s", release ?
	    "--stream.stall=30s" : "--stream.stall=1s", NULL);
	struct stream **gone = keep(calloc((size_t)n, sizeof *gone), free), *fine;
	char *pad = repeat("x", 30000);
	int64_t began, limit = patience(release ? 62000 : 20000);
	int base;

	publish(s, "a", "warm");
	history(s, "topic=**");
	fine = stream_open(s, "/events?topic=a", "");
	expect_live(fine, false);
	poll(NULL, 0, 50);
	base = server_descriptors(s);
	/* Every other one is owed something when it goes. */
	for (int i = 0; i < n; i++)
		gone[i] = stream_open(s, i % 2 == 0 ? "/events?topic=a" :
		    "/events?topic=b", "");
	for (int i = 0; i < n; i++) {
		expect_live(gone[i], false);
		vanish(gone[i]->fd);
	}
	owed = server_descriptors(s) - base;
	ck_assert_int_ge(owed, n);
	began = now_ms();
	for (int i = 0; i < 20; i++) {
		publish(s, "a", pad);
		ck_assert_ptr_nonnull(stream_next(fine, SOON));
	}
	while ((left = server_descriptors(s) - base) > 0 &&
	    now_ms() - began < limit) {
		stream_feed(fine);
		poll(NULL, 0, 20);
	}
	ck_assert_msg(left <= 0, "%d of %d are held after %d ms", left, n,
	    (int)(now_ms() - began));
	printf("%d that vanished were let go in %d ms\n", n, (int)(now_ms() - began));
	ck_assert_int_eq(server_metric(s, "streams_stalled_total"), n);
	publish(s, "a", "x");
	expect_event(fine, "message", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Of a connection to this port, as the kernel shows it to everybody: what timer runs
 * (2: keepalive), and its end from now, in hundredths.  False: there is none. */
static bool
timer_of(int port, int *kind, unsigned int *when)
{
	char *text = read_whole("/proc/net/tcp"), *line, *rest;
	unsigned int local, state;

	for (line = strtok_r(text, "\n", &rest); line != NULL;
	    line = strtok_r(NULL, "\n", &rest))
		if (sscanf(line, " %*d: %*x:%x %*x:%*x %x %*x:%*x %d:%x", &local,
		    &state, kind, when) == 4 && (int)local == port && state == 1)
			return true;
	return false;
}

/* Before or between its requests: libmicrohttpd has no stall, and waits longer than a
 * proxy that keeps connections. */
START_TEST(R10_a_connection_is_asked_whether_it_lives)
{
	struct server *s = server_start(all_public, NULL);
	int64_t end = now_ms() + patience(SOON);
	int fd = dial(s->port, 0), kind = 0, base;
	unsigned int when = 0;

	while (!timer_of(s->port, &kind, &when) || kind == 1) {
		ck_assert_msg(now_ms() < end, "no such connection, or unacknowledged");
		poll(NULL, 0, 20);
	}
	ck_assert_msg(kind == 2, "timer %d", kind);
	ck_assert_uint_le(when, 2000);
	if (size_of_run(0, 1) == 1) {
		base = server_descriptors(s);
		vanish(fd);
		for (end = now_ms() + 60000; server_descriptors(s) > base - 1;
		    poll(NULL, 0, 100))
			ck_assert_msg(now_ms() < end, "held after a minute");
	}
	close(fd);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_sockets");
	TCase *tc = harness_case(su, "descriptors", 60);

	tcase_add_loop_test(tc,
	    R1_what_is_open_works_when_descriptors_have_run_out, 0, 2);
	tcase_add_loop_test(tc,
	    R1_descriptors_that_others_took_are_waited_for_without_haste, 0, 2);
	tc = harness_case(su, "races", size_of_run(60, 600));
	tcase_add_loop_test(tc, R2_streams_over_the_limit_are_told_whatever_races, 0, 2);
	tc = harness_case(su, "vanished", 120);
	tcase_add_test(tc, R10_peers_that_vanish_give_their_descriptors_back);
	tc = harness_case(su, "probed", 120);
	tcase_add_test(tc, R10_a_connection_is_asked_whether_it_lives);
	return su;
}

SUITE_MAIN
