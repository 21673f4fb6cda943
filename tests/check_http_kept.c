/*
 * check_http_kept.c - listening sockets that somebody else opens and keeps, as
 * systemd does: here the test itself.  They outlive the server, so that a restart
 * refuses nobody.
 */
#include "config.h"

#include "harness.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";

static void
close_fd(void *p)
{
	close(*(int *)p);
	free(p);
}

/* Closed behind the test. */
static int
kept_fd(int fd)
{
	int *p = malloc(sizeof *p);

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	ck_assert_ptr_nonnull(p);
	*p = fd;
	keep(p, close_fd);
	return fd;
}

static int
bound_socket(int type, in_addr_t address)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = kept_fd(socket(AF_INET, type, 0)), one = 1;

	sa.sin_addr.s_addr = htonl(address);
	sa.sin_port = htons((uint16_t)free_port());
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static int
tcp_socket(void)
{
	int fd = bound_socket(SOCK_STREAM, INADDR_LOOPBACK);

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

static struct sockaddr_un
unix_address(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	ck_assert_uint_lt((size_t)snprintf(sa.sun_path, sizeof sa.sun_path,
	    "%s/kept.sock", test_dir()), sizeof sa.sun_path);
	return sa;
}

static int
unix_socket(void)
{
	struct sockaddr_un sa = unix_address();
	int fd = kept_fd(socket(AF_UNIX, SOCK_STREAM, 0));

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

#define MANY	200

/* A health check, a publish, a page: sent, not yet answered. */
static struct http *
send_some_request(struct server *s, int i)
{
	struct http *h = http_open(s);
	int rc;

	if (i % 3 == 0)
		rc = try_http_send(h, "GET", "/healthz?live", "", NULL, 0);
	else if (i % 3 == 1)
		rc = try_http_send(h, "POST", "/publish?topic=a", AUTH, "x", 1);
	else
		rc = try_http_send(h, "GET", "/history?topic=a", "", NULL, 0);
	ck_assert_int_eq(rc, 0);
	return h;
}

static void
is_answered(struct http *h, int i)
{
	struct answer *a = try_http_receive(h, SOON);

	ck_assert_msg(a != NULL, "request %d of %d is not answered", i, MANY);
	ck_assert_msg(a->status == 200, "request %d of %d: %s %s", i, MANY,
	    a->head, a->body);
	answer_free(a);
	http_close(h);
}

static const char health[] =
	"GET /healthz?live HTTP/1.1\r\nHost: x\r\n\r\n";
#define HALF	20

/* A connection in the middle of its request. */
static struct http *
send_half(struct server *s)
{
	struct http *h = http_open(s);

	ck_assert_int_eq(try_http_write(h, health, HALF), 0);
	return h;
}

static void
send_other_half(struct http *h)
{
	ck_assert_int_eq(try_http_write(h, health + HALF,
	    sizeof health - 1 - HALF), 0);
}

START_TEST(two_hundred_requests_during_a_restart_are_all_answered_200)
{
	struct http *h[MANY], *half;
	struct server *s;
	int fd = tcp_socket(), sent = 0;

	servers_given(&fd, 1, "fanfare.socket");
	s = server_start(all_public, "--server.drain_time=0", NULL);
	ck_assert_int_eq(s->port, port_of(fd));
	half = send_half(s);
	/* Behind it in the queue: when they are answered, it was taken too. */
	for (int i = 0; i < 3; i++)
		is_answered(send_some_request(s, i), i);
	for (; sent < 20; sent++)
		h[sent] = send_some_request(s, sent);
	server_signal(s, SIGTERM);
	while (sent < MANY - 30 && server_alive(s)) {
		h[sent] = send_some_request(s, sent);
		sent++;
		if (sent == 100)
			send_other_half(half);
		poll(NULL, 0, sent > 100 ? 20 : 1);
	}
	ck_assert_msg(!server_alive(s) || server_wait(s, 5000) == 0,
	    "it goes on");
	ck_assert_int_eq((int)s->pid, 0);
	for (; sent < MANY; sent++)		/* while there is nobody */
		h[sent] = send_some_request(s, sent);
	server_restart(s);
	is_answered(half, -1);
	for (int i = 0; i < MANY; i++)
		is_answered(h[i], i);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(so_they_are_when_the_server_takes_its_time_to_go)
{
	struct stream *st;
	struct http *h, *half;
	struct answer *a;
	struct server *s;
	int fd = tcp_socket();

	servers_given(&fd, 1, NULL);
	s = server_start(all_public, "--server.drain_time=1s", NULL);
	st = stream_open(s, "/events?topic=a", "");
	expect_live(st, false);
	/* One that is kept alive, and one in the middle of its request. */
	h = http_open(s);
	half = send_half(s);
	for (int i = 0; i < 2; i++) {
		if (i == 1) {
			server_signal(s, SIGTERM);
			poll(NULL, 0, 50);
		}
		ck_assert_int_eq(try_http_send(h, "GET", "/healthz?live", "",
		    NULL, 0), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		ck_assert_msg(header_has(a, "Connection", "close") == (i == 1),
		    "%s", a->head);
		answer_free(a);
	}
	expect_close(st, "drain", 3000);
	send_other_half(half);
	is_answered(half, 0);
	ck_assert_int_eq(server_wait(s, 5000), 0);
}
END_TEST

/* Connections one after the other, at once given up, until it is killed. */
static pid_t
crowd_begin(struct server *s)
{
	pid_t pid = fork();
	int fd;

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		alarm(10);	/* should nobody come to kill it */
	while (pid == 0) {
		struct sockaddr_in sa = { .sin_family = AF_INET };

		sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sa.sin_port = htons((uint16_t)s->port);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		/* When the queue is full it goes nowhere: so be it. */
		(void)connect(fd, (struct sockaddr *)&sa, sizeof sa);
		close(fd);
	}
	return pid;
}

START_TEST(a_server_that_leaves_a_crowd_to_its_successor_warns_of_nothing)
{
	struct server *s;
	int fd = tcp_socket();
	pid_t crowd;

	servers_given(&fd, 1, NULL);
	s = server_start(all_public, NULL);
	for (int i = 0; i < 5; i++) {
		if (i > 0)
			(void)server_restart(s);
		crowd = crowd_begin(s);
		poll(NULL, 0, 100);
		server_signal(s, SIGTERM);
		poll(NULL, 0, 50);
		kill(crowd, SIGKILL);
		(void)waitpid(crowd, NULL, 0);
		ck_assert_int_eq(server_wait(s, 5000), 0);
		ck_assert_msg(strstr(read_whole(s->log), "warning: http") == NULL, "%s",
		    strstr(read_whole(s->log), "warning: http"));
	}
}
END_TEST

START_TEST(who_connects_while_a_killed_server_is_away_is_answered_by_the_next)
{
	struct http *h[MANY];
	struct server *s;
	int fd = tcp_socket();

	servers_given(&fd, 1, NULL);
	s = server_start(all_public, NULL);
	server_kill(s);
	for (int i = 0; i < MANY; i++)
		h[i] = send_some_request(s, i);
	server_restart(s);
	for (int i = 0; i < MANY; i++)
		is_answered(h[i], i);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static int
status_at(struct server *s, int port, const char *path)
{
	struct server there = *s;
	struct answer *a;

	there.port = port;
	a = get(&there, path, "");
	return a->status;
}

START_TEST(the_socket_named_admin_is_the_admin_listener)
{
	int fds[] = { tcp_socket(), tcp_socket(), tcp_socket() };
	struct server *s;

	servers_given(fds, 3, "fanfare.socket:admin:administrators");
	/* Its own address too: systemd has it, so it is not opened again. */
	s = server_start(fmt("--server.admin_listen=127.0.0.1:%d",
	    port_of(fds[1])), NULL);
	ck_assert_int_eq(status_at(s, port_of(fds[0]), "/metrics"), 404);
	ck_assert_int_eq(status_at(s, port_of(fds[1]), "/metrics"), 200);
	ck_assert_int_eq(status_at(s, port_of(fds[1]), "/history?topic=a"),
	    404);
	ck_assert_int_eq(status_at(s, port_of(fds[2]), "/metrics"), 404);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(the_listener_that_systemd_does_not_keep_is_opened_as_configured)
{
	int fd = tcp_socket(), listen_port;
	struct server *s;

	/* Only the public one is given. */
	servers_given(&fd, 1, NULL);
	s = server_start(NULL, NULL);
	ck_assert_int_eq(status_at(s, s->admin_port, "/metrics"), 200);
	ck_assert_int_eq(server_stop(s), 0);
	/* Only the admin's. */
	listen_port = free_port();
	servers_given(&fd, 1, "admin");
	s = server_start(fmt("--server.listen=127.0.0.1:%d", listen_port),
	    fmt("--store.path=%s/other.db", test_dir()), NULL);
	ck_assert_int_eq(status_at(s, port_of(fd), "/metrics"), 200);
	ck_assert_int_eq(status_at(s, listen_port, "/healthz"), 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_unix_and_a_tcp_socket_are_served_and_left_in_place)
{
	int fds[] = { tcp_socket(), unix_socket() }, fd;
	struct sockaddr_un sa = unix_address();
	static const char rq[] = "GET /healthz HTTP/1.0\r\n\r\n";
	struct server *s;
	char text[512];
	ssize_t n;

	servers_given(fds, 2, "web:local");
	s = server_start(NULL, NULL);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(status_at(s, port_of(fds[0]), "/healthz"),
		    200);
		fd = kept_fd(socket(AF_UNIX, SOCK_STREAM, 0));
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa,
		    sizeof sa), 0);
		ck_assert_int_eq(write(fd, rq, sizeof rq - 1), sizeof rq - 1);
		n = recv(fd, text, sizeof text - 1, MSG_WAITALL);
		ck_assert_int_gt(n, 0);
		text[n] = '\0';
		ck_assert_msg(strstr(text, " 200 ") != NULL, "%s", text);
		ck_assert_int_eq(server_stop(s), 0);
		ck_assert_int_eq(access(sa.sun_path, F_OK), 0);
		if (i == 0)
			server_restart(s);
	}
}
END_TEST

static void
is_refused(int fd, const char *what)
{
	int fds[] = { tcp_socket(), fd }, code;
	char *said;

	servers_given(fds, 2, "fanfare.socket:other.socket");
	code = server_refused(&said, NULL, NULL);
	ck_assert_msg(code == 2 && strstr(said, "descriptor 4") != NULL &&
	    strstr(said, "other.socket") != NULL &&
	    strstr(said, "Accept=no") != NULL, "%s: exit code %d: %s", what,
	    code, said);
}

START_TEST(a_descriptor_that_is_no_listening_socket_is_named)
{
	int pair[2];

	is_refused(-1, "closed");
	is_refused(kept_fd(open("/dev/null", O_RDWR)), "a file");
	is_refused(bound_socket(SOCK_DGRAM, INADDR_LOOPBACK), "datagrams");
	is_refused(bound_socket(SOCK_STREAM, INADDR_LOOPBACK), "not listening");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	kept_fd(pair[1]);
	is_refused(kept_fd(pair[0]), "a connection");
}
END_TEST

START_TEST(a_wrong_LISTEN_FDS_is_named)
{
	static const char *const wrong[] = { "many", "-1", "17", "1x",
		"99999999999999999999" };
	char *said;
	int code;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		servers_told(NULL, wrong[i]);
		code = server_refused(&said, NULL, NULL);
		ck_assert_msg(code == 2 && strstr(said, fmt("LISTEN_FDS=%s",
		    wrong[i])) != NULL, "%s: exit code %d: %s", wrong[i], code,
		    said);
	}
}
END_TEST

START_TEST(sockets_meant_for_another_process_are_not_touched)
{
	struct server *s;

	servers_told("1", "1");
	s = server_start(NULL, NULL);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_server_for_development_refuses_a_socket_open_to_the_world)
{
	int fd = bound_socket(SOCK_STREAM, INADDR_ANY), code;
	char *said;

	ck_assert_int_eq(listen(fd, 16), 0);
	servers_given(&fd, 1, NULL);
	code = server_refused(&said, "--dev", NULL);
	ck_assert_msg(code == 2 && strstr(said, "loopback") != NULL,
	    "exit code %d: %s", code, said);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_kept");
	TCase *tc = harness_case(su, "kept", 40);

	tcase_add_test(tc,
	    two_hundred_requests_during_a_restart_are_all_answered_200);
	tcase_add_test(tc, so_they_are_when_the_server_takes_its_time_to_go);
	tcase_add_test(tc,
	    a_server_that_leaves_a_crowd_to_its_successor_warns_of_nothing);
	tcase_add_test(tc,
	    who_connects_while_a_killed_server_is_away_is_answered_by_the_next);
	tcase_add_test(tc, the_socket_named_admin_is_the_admin_listener);
	tcase_add_test(tc,
	    the_listener_that_systemd_does_not_keep_is_opened_as_configured);
	tcase_add_test(tc, a_unix_and_a_tcp_socket_are_served_and_left_in_place);
	tcase_add_test(tc, a_descriptor_that_is_no_listening_socket_is_named);
	tcase_add_test(tc, a_wrong_LISTEN_FDS_is_named);
	tcase_add_test(tc, sockets_meant_for_another_process_are_not_touched);
	tcase_add_test(tc,
	    a_server_for_development_refuses_a_socket_open_to_the_world);
	return su;
}

SUITE_MAIN
