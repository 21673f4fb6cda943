/*
 * check_http_strangers.c - I5 on the running server: what a stranger forges about its
 * address, and what it tries to see of the admin listener.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

START_TEST(I5_what_the_admin_listener_has_is_not_on_the_public_one)
{
	static const char *const targets[] = { "/metrics", "/stats", "//metrics",
	    "/./metrics", "/../metrics", "/x/../metrics", "/%6detrics", "/%2fmetrics",
	    "%2fmetrics", "/metrics/", "/metrics?x", "/metrics%00", "/metrics#", "/METRICS",
	    "/metrics;x", "/\\metrics", "\\metrics", "/stats?x", "//stats", "/./stats",
	    "/%73tats", "metrics", "*", "/events/../metrics", "/healthz/../metrics",
	    "http://127.0.0.1:%d/metrics", "http://127.0.0.1:%d/stats",
	    "http://localhost/metrics", "HTTP://127.0.0.1:%d/metrics",
	    "https://127.0.0.1:%d/metrics", "http://127.0.0.1:%d//metrics",
	    "http:///metrics", "http://metrics", "//127.0.0.1:%d/metrics" };
	static const char *const heads[] = { "Host: x\r\n", "Host: 127.0.0.1:%d\r\n",
	    "Host: localhost\r\nX-Forwarded-Host: 127.0.0.1:%d\r\n",
	    "Host: x\r\nX-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n",
	    "Host: x\r\nX-Forwarded-For: 127.0.0.1\r\n",
	    "Host: x\r\nX-Forwarded-Port: %d\r\nForwarded: for=127.0.0.1\r\n" };
	static const char *const methods[] = { "GET", "HEAD", "POST", "get" };
	struct server *s = server_start(NULL, NULL);
	struct answer *a;
	int answered = 0;

	ck_assert_int_gt(server_metric(s, "requests_total"), 0);
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		for (size_t k = 0; k < sizeof heads / sizeof *heads; k++)
			for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
				struct http *h = http_open(s);
				char port[8], *rq = fmt("%s %s HTTP/1.1\r\n%s"
				    "Content-Length: 0\r\nConnection: close\r\n\r\n",
				    methods[m], targets[i], heads[k]), *at;

				snprintf(port, sizeof port, "%d", s->admin_port);
				while ((at = strstr(rq, "%d")) != NULL)
					rq = fmt("%.*s%s%s", (int)(at - rq), rq, port,
					    at + 2);
				ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
				if ((a = try_http_receive(h, SOON)) != NULL) {
					ck_assert_msg(a->status >= 400, "%d for %s",
					    a->status, rq);
					ck_assert_msg(strstr(a->body, "fanfare_") ==
					    NULL && strstr(a->body, "\"head\"") == NULL,
					    "%s: %s", rq, a->body);
					answered++;
				}
				answer_free(a);
				http_close(h);
			}
	ck_assert_int_gt(answered, 100);
	/* And its own listener has nothing of the public one. */
	s->port = s->admin_port;
	is_problem(get(s, "/events?topic=a", AUTH), 404, "not_found", "", "a stream");
	is_problem(post(s, "/publish?topic=a", AUTH, "x"), 404, "not_found", "", "publish");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (write(fd, text, strlen(text)) == -1)
		printf("%s: %s\n", path, strerror(errno));
	close(fd);
}

/* A network of our own, where 203.0.113.0/24 is this machine.  False: we may not. */
static bool
own_network(void)
{
	unsigned int uid = getuid(), gid = getgid();
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWNET) == -1) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1)
			return false;
		write_map("/proc/self/setgroups", "deny");
		write_map("/proc/self/uid_map", fmt("%u %u 1", uid, uid));
		write_map("/proc/self/gid_map", fmt("%u %u 1", gid, gid));
	}
	ck_assert_int_ne(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -1);
	r.ifr_flags = IFF_UP;
	/* Some give us a network and no right in it. */
	if (ioctl(fd, SIOCSIFFLAGS, &r) == -1 && errno == EPERM) {
		close(fd);
		return false;
	}
	snprintf(r.ifr_name, sizeof r.ifr_name, "lo:1");
	sa.sin_addr.s_addr = inet_addr("203.0.113.1");
	memcpy(&r.ifr_addr, &sa, sizeof sa);
	ck_assert_int_eq(ioctl(fd, SIOCSIFADDR, &r), 0);
	sa.sin_addr.s_addr = inet_addr("255.255.255.0");
	memcpy(&r.ifr_netmask, &sa, sizeof sa);
	ck_assert_int_eq(ioctl(fd, SIOCSIFNETMASK, &r), 0);
	close(fd);
	return true;
}

/* A connection from one address of that network to the server. */
static int
dial_from(const char *address, const char *to, int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	sa.sin_addr.s_addr = inet_addr(address);
	ck_assert_msg(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "%s: %s", address,
	    strerror(errno));
	sa.sin_addr.s_addr = inet_addr(to);
	sa.sin_port = htons((uint16_t)port);
	ck_assert_msg(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "%s: %s", to,
	    strerror(errno));
	return fd;
}

/* Is a stream from there let in?  It stays open. */
static bool
let_in(struct server *s, const char *address, const char *forwarded)
{
	char *rq = fmt("GET /events?topic=a HTTP/1.1\r\nHost: x\r\n" ACCEPT_SSE "%s\r\n",
	    forwarded), got[4096];
	int fd = dial_from(address, "203.0.113.1", s->port);
	int64_t end = now_ms() + patience(SOON);
	size_t len = 0;
	ssize_t n;

	ck_assert_int_eq(send(fd, rq, strlen(rq), MSG_NOSIGNAL), (int)strlen(rq));
	while (now_ms() < end && len < sizeof got - 1) {
		struct pollfd pfd = { fd, POLLIN, 0 };

		if (poll(&pfd, 1, 100) < 1)
			continue;
		if ((n = recv(fd, got + len, sizeof got - 1 - len, 0)) <= 0)
			break;
		got[len += (size_t)n] = '\0';
		if (strstr(got, "fanfare.live") != NULL)
			return true;
		if (strstr(got, "max_streams_per_ip") != NULL)
			return false;
	}
	ck_abort_msg("neither let in nor refused");
	return false;
}

START_TEST(I5_what_a_stranger_forges_counts_for_nothing)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct server *s;
	int fd;

	if (!own_network()) {
		left_out("no network of our own, so no stranger: %s", strerror(errno));
		return;
	}
	ck_assert_int_ne(fd = socket(AF_INET, SOCK_STREAM, 0), -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	servers_given(&fd, 1, NULL);
	s = server_start("--topics.public=**", "--server.max_streams_per_ip=2",
	    "--server.trusted_proxies=203.0.113.9", NULL);
	/* A stranger is one address, whatever it says. */
	ck_assert(let_in(s, "203.0.113.7", "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.7", "X-Forwarded-For: 198.51.100.2\r\n"));
	for (int i = 3; i < 20; i++)
		ck_assert(!let_in(s, "203.0.113.7", fmt("X-Forwarded-For: 198.51.100.%d\r\n",
		    i)));
	ck_assert(!let_in(s, "203.0.113.7", "X-Forwarded-For: 127.0.0.1\r\n"));
	ck_assert(!let_in(s, "203.0.113.7", "X-Forwarded-For: 203.0.113.9\r\n"));
	ck_assert(!let_in(s, "203.0.113.7", "X-Real-IP: 198.51.100.1\r\n"
	    "Forwarded: for=198.51.100.1\r\nClient-IP: 198.51.100.1\r\n"
	    "True-Client-IP: 198.51.100.1\r\nCF-Connecting-IP: 198.51.100.1\r\n"));
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "from 203.0.113.7: this address"));
	ck_assert_ptr_null(strstr(read_whole(s->log), "from 198.51.100."));
	/* Nor does it take the places of those it names; its neighbour is another. */
	ck_assert(let_in(s, "203.0.113.8", ""));
	/* The proxy that is trusted is believed, also when it is forged at. */
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n"));
	ck_assert(!let_in(s, "203.0.113.9", "X-Forwarded-For: 7.7.7.7\r\n"
	    "X-Forwarded-For: 198.51.100.1\r\n"));
	ck_assert(let_in(s, "203.0.113.9", "X-Forwarded-For: 198.51.100.2\r\n"));
	/* So is loopback, always. */
	ck_assert(let_in(s, "127.0.0.5", "X-Forwarded-For: 198.51.100.3\r\n"));
	close(fd);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_strangers");
	TCase *tc = harness_case(su, "strangers", 60);

	tcase_add_test(tc, I5_what_the_admin_listener_has_is_not_on_the_public_one);
	/* Last: with CK_FORK=no its network stays. */
	tcase_add_test(tc, I5_what_a_stranger_forges_counts_for_nothing);
	return su;
}

SUITE_MAIN
