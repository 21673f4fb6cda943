/*
 * check_fault_front.c - strangers before nginx: whatever one of them sends, nobody else's
 * answer changes; and a thousand slow ones, directly and through nginx.
 */
#include "config.h"

#include "cases.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";

START_TEST(H1_what_nginx_lets_through_does_no_harm)
{
	struct server *s = server_start(all_public, NULL);
	const char *want, *got, *direct;
	struct wire_case *c;
	struct front f;
	int n, wrong = 0;
	char *text;

	if (!front_start(&f, s))
		return;
	c = cases_read(_i == 0 ? "http-requests.txt" : "http-addresses.txt", &n);
	for (int i = 0; i < n; i++) {
		int fd = dial(f.port, 0);

		want = case_field(&c[i], "nginx", "");
		direct = case_field(&c[i], "direct", "");
		ck_assert_int_ne(fd, -1);
		(void)!send(fd, c[i].bytes, c[i].len, MSG_NOSIGNAL);
		(void)read_until(fd, &text, *want == '-' ? 1 : ((int)strlen(want) + 1) / 4,
		    *want == '-' ? 300 : SOON);
		poll(NULL, 0, 5);		/* would there be another? */
		got = statuses_of(text);
		if (strcmp(got, want) != 0) {
			printf("%s: \"%s\", not \"%s\"\n", c[i].name, got, want);
			wrong++;
		}
		ck_assert_msg(*direct < '4' || *want != '2' || case_field(&c[i], "why",
		    NULL) != NULL, "%s: why?", c[i].name);
		close(fd);
	}
	front_stop(&f);
	ck_assert_int_eq(wrong, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- H2 ---- */

/* Attacks by one client, and after each a request of another's over the same connections
 * to the server.  The answer to it is the one that it always has. */
START_TEST(H2_no_answer_is_ever_another_clients)
{
	struct server *s = server_start(all_public, "--server.body_timeout=2s", NULL);
	int rounds = size_of_run(1000, 10000), n, attacks = 0;
	struct wire_case *c;
	struct front f;
	struct http *victim = NULL;
	struct server front;

	if (!front_start(&f, s))
		return;
	front = *s;
	front.port = f.port;
	for (int i = 0; i < 50; i++)
		publish(s, fmt("mark/%d", i), fmt("this is %d", i));
	c = cases_read("http-requests.txt", &n);
	for (int i = 0; i < rounds; i++) {
		const struct wire_case *one = &c[dice((uint32_t)n)];
		struct answer *a;
		int fd, mark = i % 50;

		/* One that nginx waits for the rest of is left hanging. */
		fd = dial(f.port, 0);
		ck_assert_int_ne(fd, -1);
		(void)!send(fd, one->bytes, one->len, MSG_NOSIGNAL);
		attacks++;
		if (victim == NULL)
			victim = http_open(&front);
		if (i % 2 == 0) {
			/* Let it reach the server first. */
			struct pollfd p = { fd, POLLIN, 0 };

			poll(&p, 1, 20);
		}
		ck_assert_int_eq(try_http_send(victim, "GET", fmt("/history?topic=mark/%d",
		    mark), "", NULL, 0), 0);
		a = try_http_receive(victim, SOON);
		ck_assert_msg(a != NULL, "no answer behind %s", one->name);
		ck_assert_msg(a->status == 200 && strstr(a->body,
		    fmt("\"this is %d\"", mark)) != NULL, "behind %s: %d %.300s",
		    one->name, a->status, a->body);
		if (header_has(a, "Connection", "close") || i % 20 == 19) {
			http_close(victim);
			victim = NULL;
		}
		answer_free(a);
		close(fd);
	}
	printf("%d attacks, and %d answers as they should be\n", attacks, rounds);
	ck_assert(server_alive(s));
	front_stop(&f);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The same without nginx's help: a front that writes on one connection whatever anybody
 * sends.  Either the attack is answered once and the connection closed, or what follows
 * has the next answer. */
START_TEST(H2_nor_on_a_connection_that_a_naive_proxy_shares)
{
	struct server *s = server_start(all_public, "--server.body_timeout=2s", NULL);
	int rounds = size_of_run(2000, 10000), n, kept = 0;
	struct wire_case *c;

	publish(s, "mark", "this is it");
	c = cases_read("http-requests.txt", &n);
	for (int i = 0; i < rounds; i++) {
		static const char rq[] = "GET /history?topic=mark HTTP/1.1\r\nHost: x\r\n\r\n";
		const struct wire_case *one = &c[dice((uint32_t)n)];
		const char *want = case_field(one, "direct", "");
		int fd, statuses = ((int)strlen(want) - 5) / 4;
		bool ended;
		char *text;

		if (i % 2 == 1)
			want = case_field(one, "second", want);
		if (*want == '-')
			continue;
		fd = dial(s->port, 0);
		ck_assert_int_ne(fd, -1);
		if (i % 2 == 1) {
			(void)!send(fd, rq, sizeof rq - 1, MSG_NOSIGNAL);
			ended = read_until(fd, &text, 1, SOON);
			ck_assert(!ended);
			poll(NULL, 0, 1);
			while (recv(fd, text, 4096, 0) > 0)
				;
		}
		statuses = ((int)strlen(want) - 4) / 4;
		(void)!send(fd, one->bytes, one->len, MSG_NOSIGNAL);
		(void)!send(fd, rq, sizeof rq - 1, MSG_NOSIGNAL);
		if (strstr(want, "open") != NULL) {
			ended = read_until(fd, &text, statuses + 1, SOON);
			while (!ended && strstr(text, "this is it") == NULL) {
				char *more;

				ended = read_until(fd, &more, 0, 50);
				text = fmt("%s%s", text, more);
			}
			ck_assert_msg(strstr(text, "this is it") != NULL, "%s: %s",
			    one->name, text);
			kept++;
		} else {
			ck_assert_msg(read_until(fd, &text, 0, SOON), "%s", one->name);
			ck_assert_msg(strstr(text, "this is it") == NULL, "%s: %s",
			    one->name, text);
		}
		close(fd);
	}
	printf("%d attacks; the request behind %d of them was answered\n", rounds, kept);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- R9 ---- */

static int
by_size(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

#define ASKED	400

/* Publish for a while over connections of one's own; the 99th percentile, in us. */
static int64_t
p99(struct server *s, int ms)
{
	int64_t took[ASKED], end = now_ms() + ms, began;
	int n = 0;

	while (n < ASKED && (n < 50 || now_ms() < end)) {
		struct timespec a, b;
		struct http *h;
		struct answer *an;

		began = now_ms();
		clock_gettime(CLOCK_MONOTONIC, &a);
		h = http_open(s);
		ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=a", AUTH, "x", 1),
		    0);
		an = try_http_receive(h, 2 * SOON);
		ck_assert_msg(an != NULL, "no answer within %d ms", (int)(now_ms() - began));
		ck_assert_msg(an->status == 200, "%d %s", an->status, an->body);
		clock_gettime(CLOCK_MONOTONIC, &b);
		took[n++] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
		answer_free(an);
		http_close(h);
		poll(NULL, 0, 5);
	}
	qsort(took, (size_t)n, sizeof *took, by_size);
	return took[n * 99 / 100];
}

static const struct attack {
	const char	*name, *args[16];
	const char	*path;
} attacks[] = {
	{ "slow heads", { "-H", "-i", "1" }, "/healthz" },
	{ "slow bodies", { "-B", "-i", "1", "-s", "8192" }, "/publish?topic=a" },
	{ "slow reading", { "-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-k", "1" },
	    "/history?topic=big&limit=1000" },
	{ "ranges", { "-R", "-a", "10", "-b", "3000" }, "/history?topic=big&limit=1000" },
};

START_TEST(R9_a_thousand_slow_ones_hold_up_nobody)
{
	char *program = have_program("slowhttptest");
	const struct attack *at = &attacks[_i % 4];
	bool behind = _i >= 4;
	const char *args[32] = { program };
	int n = 1, status, most = size_of_run(300, 1000);
	int64_t quiet, loud, base, end;
	struct server *s, target;
	struct front f = { 0 };
	struct rlimit rl;
	pid_t pid;

	if (program == NULL)
		return;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	s = server_start(all_public, "--server.head_timeout=2s",
	    "--server.body_timeout=2s", NULL);
	for (int i = 0; i < 16; i++)
		publish(s, "big", repeat("x", 60000));
	target = *s;
	if (behind) {
		if (!front_start(&f, s))
			return;
		target.port = f.port;
	}
	quiet = p99(s, 3000);
	base = server_descriptors(s);
	for (int i = 0; at->args[i] != NULL; i++)
		args[n++] = at->args[i];
	args[n++] = "-c";
	args[n++] = fmt("%d", most);
	args[n++] = "-r";
	args[n++] = fmt("%d", most / 2);
	args[n++] = "-l";
	args[n++] = "20";	/* longer than anybody is waited for */
	args[n++] = "-p";
	args[n++] = "3";
	args[n++] = "-t";
	args[n++] = strcmp(at->args[0], "-B") == 0 ? "POST" : "GET";
	args[n++] = "-u";
	args[n++] = fmt("http://127.0.0.1:%d%s", target.port, at->path);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (freopen("/dev/null", "w", stdout) == NULL ||
		    freopen("/dev/null", "w", stderr) == NULL)
			_exit(126);
		execv(program, (char *const *)(const void *)args);
		_exit(127);
	}
	poll(NULL, 0, 1500);
	loud = p99(s, 3000);
	/* All gone by their deadline, though they go on. */
	for (end = now_ms() + patience(12000); server_descriptors(s) > base + 20;
	    poll(NULL, 0, 100))
		ck_assert_msg(now_ms() < end, "%d descriptors",
		    server_descriptors(s) - (int)base);
	waitpid(pid, &status, 0);
	printf("%d with %s%s: p99 %ld us, %ld alone\n", most, at->name,
	    behind ? " through nginx" : "", (long)loud, (long)quiet);
	/* Twice, and what a loaded machine adds. */
	if (patience(1) == 1)
		/* nginx writes a megabyte for each to the disk that the log is on. */
		ck_assert_int_le(loud, 2 * quiet + (_i == 6 ? 500000 :
		    size_of_run(150000, 50000)));
	if (behind)
		front_stop(&f);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_front");
	TCase *tc = harness_case(su, "nginx", 300);

	tcase_add_loop_test(tc, H1_what_nginx_lets_through_does_no_harm, 0, 2);
	tcase_add_test(tc, H2_no_answer_is_ever_another_clients);
	tcase_add_test(tc, H2_nor_on_a_connection_that_a_naive_proxy_shares);
	tc = harness_case(su, "slow", 120);
	tcase_add_loop_test(tc, R9_a_thousand_slow_ones_hold_up_nobody, 0, 8);
	return su;
}

SUITE_MAIN
