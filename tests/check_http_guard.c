/*
 * check_http_guard.c - requests from strangers: wrong by the letter of HTTP, cut off
 * anywhere, or endless.
 */
#include "config.h"

#include "cases.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";
static const char good[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/* Behind `first` on the same connection, if there is one. */
static int
begin(struct server *s, const char *first, const char *rq, size_t k)
{
	int fd = dial(s->port, 0);
	char *text;

	ck_assert_int_ne(fd, -1);
	if (first != NULL) {
		(void)!write(fd, first, strlen(first));
		ck_assert(!read_until(fd, &text, 1, SOON));
	}
	if (k > 0)
		ck_assert_int_eq(send(fd, rq, k, MSG_NOSIGNAL), (int)k);
	return fd;
}

static const struct {
	int	 cookies, each, params;		/* how many, bytes of each, how many */
	int	 status;
} heads[] = {
	{ 0, 0, 1, 200 }, { 180, 33, 1, 200 }, { 1, 13000, 1, 200 }, { 1, 16300, 1, 200 },
	{ 150, 50, 1, 200 }, { 0, 0, 250, 200 }, { 20, 200, 100, 200 },
	{ 310, 8, 1, 431 }, { 150, 90, 1, 431 }, { 700, 1, 1, 431 }, { 5000, 1, 1, 431 },
	{ 0, 0, 500, 431 }, { 0, 0, 6000, 431 }, { 100, 20, 250, 431 },
};
#define HEADS	(sizeof heads / sizeof heads[0])

static char *
head_of(size_t i)
{
	char *cookie = repeat("c", (size_t)heads[i].each);

	return fmt("GET /healthz?x%s HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n",
	    repeat("&x", (size_t)heads[i].params - 1), heads[i].cookies > 0 ? "Cookie: " : "",
	    heads[i].cookies > 1 ? repeat(fmt("%s;", cookie),
	    (size_t)heads[i].cookies - 1) : "", heads[i].cookies > 0 ? cookie : "",
	    heads[i].cookies > 0 ? "\r\n" : "");
}

/* Libmicrohttpd keeps more of it than came. */
START_TEST(H1_a_head_has_an_answer_whatever_it_is_full_of)
{
	struct server *s = server_start(NULL, NULL);
	const char *ref;
	struct answer *a;
	struct http *h;
	char *rq;
	int64_t refused = 0;

	for (size_t i = 0; i < HEADS; i++) {
		rq = head_of(i);
		h = http_open(s);
		ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
		a = try_http_receive(h, SOON);
		ck_assert_msg(a != NULL, "%zu: no answer", i);
		ck_assert_msg(a->status == heads[i].status, "%zu: %d", i, a->status);
		if (a->status != 200) {
			is_problem(a, 431, "head_too_large", "cookies|16 kB", "a head");
			ref = text_at(body_json(a), "ref");
			ck_assert_ptr_nonnull(strstr(read_whole(s->log), ref));
			refused++;
		}
		answer_free(a);
		http_close(h);
	}
	ck_assert_int_eq(server_metric(s, "heads_refused_total"), refused);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* There libmicrohttpd reads it by itself. */
START_TEST(H1_behind_another_request_it_works_as_well_or_is_counted)
{
	struct server *s = server_start(NULL, NULL);
	int64_t refused = 0;
	struct answer *a;
	struct http *h;
	char *rq;

	for (size_t i = 0; i < HEADS; i++) {
		h = http_open(s);
		ck_assert_int_eq(try_http_write(h, good, sizeof good - 1), 0);
		ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
		answer_free(a);
		rq = head_of(i);
		ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
		a = try_http_receive(h, SOON);
		ck_assert_msg((a != NULL ? a->status : 431) == heads[i].status, "%zu", i);
		if (heads[i].status != 200)
			refused++;
		ck_assert_int_eq(server_metric(s, "heads_refused_total"), refused);
		answer_free(a);
		http_close(h);
	}
	ck_assert_ptr_nonnull(strstr(read_whole(s->log),
	    "a later request of its connection has too many cookies"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Of such a request libmicrohttpd does not tell the end. */
START_TEST(H3_a_head_that_is_not_read_leaves_no_memory_behind)
{
	enum { TIMES = 2000, AT_ONCE = 100 };
	struct server *s = server_start(NULL, NULL);
	char *rq = fmt("%sGET /healthz?%s HTTP/1.1\r\nHost: x\r\n\r\n", good,
	    repeat("xxxxxxxxxxxxxxxxxxxxx&", 500)), *text;
	long before = 0;
	int fd[AT_ONCE];

	for (int i = 0; i < TIMES; i += AT_ONCE) {
		for (int k = 0; k < AT_ONCE; k++)
			fd[k] = begin(s, NULL, rq, strlen(rq));
		for (int k = 0; k < AT_ONCE; k++) {
			ck_assert(read_until(fd[k], &text, 0, SOON));
			ck_assert_str_eq(statuses_of(text), "200");
			close(fd[k]);
		}
		if (i == TIMES / 4)
			before = server_memory_kb(s);
	}
	printf("%ld kB\n", server_memory_kb(s) - before);
	/* Sanitizers keep what was freed, and see for themselves what was not. */
	if (patience(1) == 1)
		ck_assert_int_lt(server_memory_kb(s) - before, 8000);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
try_all(const char *file, bool second)
{
	struct server *s = server_start(all_public, NULL);
	const char *want, *direct, *got;
	struct wire_case *c;
	int n, wrong = 0;

	c = cases_read(file, &n);
	for (int i = 0; i < n; i++) {
		direct = case_field(&c[i], "direct", "");
		want = second ? case_field(&c[i], "second", direct) : direct;
		got = case_run(s->port, second ? good : NULL, &c[i], want);
		if (strcmp(got, want) != 0) {
			printf("%s: \"%s\", not \"%s\"\n", c[i].name, got, want);
			wrong++;
		}
		/* Leniency has its reason written beside it. */
		if (second && *direct >= '4' && *want == '2')
			ck_assert_msg(case_field(&c[i], "why", NULL) != NULL &&
			    strstr(want, "close") != NULL, "%s", c[i].name);
	}
	printf("%s: %d requests\n", file, n);
	ck_assert_int_eq(wrong, 0);
	ck_assert_int_eq(server_stop(s), 0);
}

START_TEST(H1_each_request_is_answered_by_the_letter_of_HTTP)
{
	try_all("http-requests.txt", false);
}
END_TEST

START_TEST(H1_nor_is_a_later_request_on_a_connection_mistaken_for_another)
{
	try_all("http-requests.txt", true);
}
END_TEST

START_TEST(H4_each_odd_address_has_its_fixed_answer)
{
	try_all("http-addresses.txt", _i == 1);
}
END_TEST

START_TEST(H4_a_topic_is_the_same_however_it_is_spelled)
{
	struct server *s = server_start(all_public, NULL);
	struct wire_case *c;
	const char *topic, *got;
	int n, checked = 0;

	c = cases_read("http-addresses.txt", &n);
	for (int i = 0; i < n; i++) {
		if ((topic = case_field(&c[i], "topic", NULL)) == NULL)
			continue;
		ck_assert_str_eq(case_run(s->port, NULL, &c[i], "200 open"), "200 open");
		got = text_at(json_array_get(json_object_get(history(s,
		    "topic=**&limit=1000"), "events"), (size_t)checked), "topic");
		ck_assert_msg(strcmp(got, topic) == 0, "%s: %s", c[i].name, got);
		checked++;
	}
	ck_assert_int_gt(checked, 4);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- H3 ---- */

#define EVENTS_RQ	"GET /events?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH ACCEPT_SSE "\r\n"
#define HISTORY_RQ	"GET /history?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH "\r\n"
#define PUBLISH_RQ	"POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH	\
	"Content-Length: 12\r\n\r\nhello, world"
#define CHUNKED_RQ	"POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH	\
	"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"

static const char *const whole[] = { EVENTS_RQ, HISTORY_RQ, PUBLISH_RQ, CHUNKED_RQ };

enum manner { RESET, FINISH, STALL };

static int
descriptors_fall_to(struct server *s, int most, int ms)
{
	int64_t end = now_ms() + patience(ms);
	int n;

	while ((n = server_descriptors(s)) > most && now_ms() < end)
		poll(NULL, 0, 20);
	if (n > most)
		server_show_descriptors(s);
	return n;
}

START_TEST(H3_a_request_cut_off_at_any_byte_leaves_nothing_behind)
{
	struct server *s = server_start("--server.head_timeout=1s",
	    "--server.body_timeout=1s", NULL);
	struct linger now = { 1, 0 };
	int base, n = 0, *fd, tries = 0;
	enum manner how = (enum manner)_i;
	int64_t began;

	publish(s, "a", "warm");
	history(s, "topic=a");
	stream_close(stream_open(s, "/events?topic=a", AUTH));
	poll(NULL, 0, 200);
	base = server_descriptors(s);
	fd = keep(calloc(4096, sizeof *fd), free);
	for (int second = 0; second < (how == STALL ? 1 : 2); second++)
		for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
			for (size_t k = 0; k < strlen(whole[i]); k++) {
				fd[n] = begin(s, second ? good : NULL, whole[i], k);
				tries++;
				if (how == STALL) {
					n++;
					continue;
				}
				if (how == RESET)
					setsockopt(fd[n], SOL_SOCKET, SO_LINGER, &now,
					    sizeof now);
				else
					shutdown(fd[n], SHUT_WR);
				close(fd[n]);
			}
	began = now_ms();
	/* A deadline, half a second between two looks, two to read why. */
	ck_assert_int_le(descriptors_fall_to(s, base + 1, 6000), base + 1);
	printf("%d requests cut off: all gone after %d ms\n", tries,
	    (int)(now_ms() - began));
	while (n > 0)
		close(fd[--n]);
	ck_assert_int_eq((int)json_array_size(json_object_get(history(s, "topic=a"),
	    "events")), 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Its random bytes may look like line ends. */
START_TEST(who_speaks_tls_is_told_so_whatever_its_bytes)
{
	static const char *const hello[] = { "\x16\x03\x01 xy", "\x16\x03\x01\nx",
	    "\x16\x03\x01\rx", "\x16\x03\x01\r\nx" };
	struct server *s = server_start(all_public, NULL);
	char *text;
	int fd;

	for (size_t i = 0; i < sizeof(hello) / sizeof(hello[0]); i++) {
		fd = begin(s, NULL, hello[i], strlen(hello[i]));
		ck_assert(read_until(fd, &text, 0, SOON));
		ck_assert_str_eq(statuses_of(text), "400");
		ck_assert_msg(strstr(text, "is it TLS?") != NULL, "%zu: %s", i, text);
		close(fd);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- time ---- */

START_TEST(R9_a_head_that_trickles_in_is_cut_off_in_time)
{
	struct server *s = server_start("--server.head_timeout=1s", NULL);
	static const char line[] = "GET /healthz HTTP/1.1\r\n";
	int64_t began = now_ms();
	int fd = begin(s, _i > 0 ? good : NULL, line, _i == 2 ? 2 : sizeof line - 1);
	struct pollfd p = { fd, POLLIN, 0 };
	char *text;

	/* Never idle, never at its end. */
	while (poll(&p, 1, 50) == 0) {
		ck_assert_msg(now_ms() - began < patience(5000), "it goes on");
		(void)!send(fd, "X", 1, MSG_NOSIGNAL);
	}
	ck_assert(read_until(fd, &text, 0, SOON));
	ck_assert_int_ge(now_ms() - began, 900);
	if (_i == 0) {
		ck_assert_str_eq(statuses_of(text), "408");
		ck_assert_ptr_nonnull(strstr(text, "request_timeout"));
		ck_assert_ptr_nonnull(strstr(text, "server.head_timeout"));
	}
	ck_assert_int_eq(server_metric(s, "connections_cut_total"), 1);
	ck_assert_int_eq(server_metric(s, "heads_waiting"), 0);
	close(fd);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(R9_a_body_that_trickles_in_is_cut_off_and_a_slow_one_is_not)
{
	struct server *s = server_start("--server.body_timeout=1s", NULL);
	static const char head[] = "POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH
	    "Content-Length: 20000\r\n\r\n";
	bool slow = _i == 1;
	int64_t began = now_ms();
	int fd = begin(s, NULL, head, sizeof head - 1);
	size_t piece = slow ? 1500 : 1, sent = 0;
	struct pollfd p = { fd, POLLIN, 0 };
	char *text, *some = repeat("x", 2000);

	/* 12 kB a second, so that one that is twice as slow for a while does too. */
	while (sent < 20000 && poll(&p, 1, 125) == 0) {
		ck_assert_msg(now_ms() - began < patience(15000), "it goes on");
		if (piece > 20000 - sent)
			piece = 20000 - sent;
		ck_assert_int_eq(send(fd, some, piece, MSG_NOSIGNAL), (int)piece);
		sent += piece;
	}
	(void)read_until(fd, &text, 1, SOON);
	printf("%zu bytes in %d ms\n", sent, (int)(now_ms() - began));
	ck_assert_str_eq(statuses_of(text), slow ? "200" : "408");
	ck_assert_int_ge(now_ms() - began, 900);
	if (!slow)
		ck_assert(read_until(fd, &text, 0, SOON));
	close(fd);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Whether it waits in the server, or all of it in the kernel. */
START_TEST(R9_an_answer_that_nobody_reads_is_given_up)
{
	int narrow = narrow_socket(), fd, base;
	struct server *s;
	static const char rq[] = "GET /history?topic=a&limit=1000 HTTP/1.1\r\nHost: x\r\n"
	    "\r\n";
	int64_t began;
	char c;

	if (_i == 0)
		servers_given(&narrow, 1, NULL);
	s = server_start(all_public, "--server.body_timeout=1s",
	    "--server.head_timeout=1s", NULL);
	for (int i = 0; i < 20; i++)
		publish(s, "a", repeat("x", 50000));
	history(s, "topic=b");
	poll(NULL, 0, 200);
	base = server_descriptors(s);
	began = now_ms();
	fd = dial(s->port, 1024);
	ck_assert_int_eq(send(fd, rq, sizeof rq - 1, MSG_NOSIGNAL), (int)sizeof rq - 1);
	while (server_metric(s, "connections_cut_total") == 0) {
		ck_assert_msg(now_ms() - began < patience(20000), "it is held");
		poll(NULL, 0, 200);
		(void)!recv(fd, &c, 1, 0);	/* five bytes a second */
	}
	printf("an answer read at a byte at a time: %d ms\n", (int)(now_ms() - began));
	ck_assert_int_le(descriptors_fall_to(s, base, SOON), base + 1);
	ck_assert_int_ge(now_ms() - began, 900);
	close(fd);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* A page of a megabyte, at 20 kB a second or more: several times the timeout. */
START_TEST(R9_an_answer_that_is_read_slowly_comes_whole)
{
	int narrow = narrow_socket(), fd;
	struct server *s;
	static const char rq[] = "GET /history?topic=a&limit=1000 HTTP/1.1\r\nHost: x\r\n"
	    "\r\n";
	char piece[4096];
	int64_t began;
	size_t got = 0;
	ssize_t n;

	servers_given(&narrow, 1, NULL);
	s = server_start(all_public, "--server.body_timeout=500ms", NULL);
	for (int i = 0; i < 3; i++)
		publish(s, "a", repeat("x", 30000));
	began = now_ms();
	fd = dial(s->port, 1024);
	ck_assert_int_eq(send(fd, rq, sizeof rq - 1, MSG_NOSIGNAL), (int)sizeof rq - 1);
	while (got < 90000) {
		ck_assert_msg(now_ms() - began < patience(20000), "%zu bytes", got);
		n = recv(fd, piece, 1000, 0);
		ck_assert_msg(n != 0, "it ended after %zu bytes, %d ms", got,
		    (int)(now_ms() - began));
		got += n > 0 ? (size_t)n : 0;
		poll(NULL, 0, 25);
	}
	ck_assert_int_ge(now_ms() - began, 1500);
	ck_assert_int_eq(server_metric(s, "connections_cut_total"), 0);
	close(fd);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Answers of which nobody takes a byte do not add up. */
START_TEST(R9_answers_that_nobody_reads_have_a_bounded_sum)
{
	enum { ASKERS = 150 };
	int narrow = narrow_socket(), fd[ASKERS];
	struct server *s;
	static const char rq[] = "GET /history?topic=a&limit=1000 HTTP/1.1\r\nHost: x\r\n"
	    "\r\n";
	int64_t end;

	servers_given(&narrow, 1, NULL);
	s = server_start(all_public, NULL);
	for (int i = 0; i < 20; i++)
		publish(s, "a", repeat("x", 50000));
	for (int i = 0; i < ASKERS; i++) {
		fd[i] = dial(s->port, 1024);
		ck_assert_int_eq(send(fd[i], rq, sizeof rq - 1, MSG_NOSIGNAL),
		    (int)sizeof rq - 1);
	}
	/* No more than 64 MB are begun; and long before server.body_timeout all above
	 * 32 MB go, so that others are answered. */
	for (end = now_ms() + patience(12000);
	    server_metric(s, "connections_cut_total") < 20; poll(NULL, 0, 100))
		ck_assert_msg(now_ms() < end, "%d are cut",
		    (int)server_metric(s, "connections_cut_total"));
	ck_assert_int_lt(server_metric(s, "connections_cut_total"), 75);
	ck_assert_int_eq(get(s, "/history?topic=a&limit=1000", "")->status, 200);
	for (int i = 0; i < ASKERS; i++)
		close(fd[i]);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const char publishing[] = "POST /publish?topic=a HTTP/1.1\r\nHost: x\r\n" AUTH
    "Content-Length: 1\r\n\r\nx";

/* Of the answer on a connection that is kept, or -1: it was cut off. */
static int
status_on(struct http *h, const char *rq)
{
	struct answer *a;
	int status;

	ck_assert_int_eq(try_http_write(h, rq, strlen(rq)), 0);
	a = try_http_receive(h, patience(SOON));
	status = a != NULL ? a->status : -1;
	answer_free(a);
	return status;
}

/* As many as there is room for, and more: each of a kind that would hold it for long. */
START_TEST(R9_slow_ones_who_take_all_the_room_make_way_for_others)
{
	enum { SLOW = 80 };
	static const char *const begun[] = { "GET /", PUBLISH_RQ, "" };
	const size_t part = _i == 1 ? sizeof PUBLISH_RQ - 6 : strlen(begun[_i]);
	struct server *s;
	int fd[SLOW];

	servers_limited(256);		/* an eighth of it: 32 */
	s = server_start("--server.max_streams=20", NULL);
	for (int i = 0; i < SLOW; i++)
		fd[i] = begin(s, NULL, begun[_i], part);
	for (int i = 0; i < 10; i++) {
		struct answer *a = post(s, "/publish?topic=a", AUTH, "x");

		ck_assert_msg(a->status == 200, "%d: %s", i, a->body);
	}
	for (int i = 0; i < SLOW; i++)
		close(fd[i]);
	servers_limited(0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Strangers' connections that are kept take all the room, whether each is used now and then
 * or all the time; who has published before keeps his. */
START_TEST(R9_strangers_make_way_between_two_requests_and_publishers_do_not)
{
	enum { KNOWN = 8, STRANGERS = 80 };
	bool busy = _i == 1;
	struct server *s;
	struct http *known[KNOWN], *h[STRANGERS], *late;
	struct answer *a = NULL;
	int64_t began;

	servers_limited(256);		/* an eighth of it: 32 */
	s = server_start("--server.max_streams=20", NULL);
	for (int i = 0; i < KNOWN; i++)
		ck_assert_int_eq(status_on(known[i] = http_open(s), publishing), 200);
	for (int i = 0; i < STRANGERS; i++)
		ck_assert_int_eq(try_http_write(h[i] = http_open(s), good,
		    sizeof good - 1), 0);
	ck_assert_ptr_nonnull(late = http_open(s));
	ck_assert_int_eq(try_http_write(late, publishing, strlen(publishing)), 0);
	for (began = now_ms(); a == NULL; a = try_http_receive(late, busy ? 0 : 100)) {
		ck_assert_msg(now_ms() - began < patience(5000), "no room");
		for (int i = 0; busy && i < STRANGERS; i++) {
			struct answer *b = try_http_receive(h[i], i == 0 ? 20 : 0);

			if (b == NULL && try_http_feed(h[i]) != -1)
				continue;
			if (b == NULL || header_has(b, "Connection", "close") ||
			    try_http_write(h[i], good, sizeof good - 1) == -1) {
				http_close(h[i]);
				h[i] = http_open(s);
				(void)try_http_write(h[i], good, sizeof good - 1);
			}
			answer_free(b);
		}
	}
	printf("%d ms\n", (int)(now_ms() - began));
	ck_assert_int_eq(a->status, 200);
	answer_free(a);
	for (int i = 0; i < KNOWN; i++) {
		ck_assert_int_eq(status_on(known[i], publishing), 200);
		http_close(known[i]);
	}
	for (int i = 0; i < STRANGERS; i++)
		http_close(h[i]);
	http_close(late);
	servers_limited(0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Connections that are kept take all the room; nobody asks for more, and all stay.  Then,
 * while the server does not get to run, they are used again, and others knock: those in
 * use do not make way. */
START_TEST(R9_a_kept_connection_whose_next_request_is_there_does_not_make_way)
{
	enum { ROOM = 32 };		/* an eighth of 256 */
	const char *rq = _i == 0 ? publishing : good;
	struct server *s;
	struct http *kept[ROOM];
	int refused, knock[4];

	servers_limited(256);
	s = server_start("--server.max_streams=20", NULL);
	for (int i = 0; i < ROOM - 1; i++) {
		kept[i] = http_open(s);
		ck_assert_int_eq(status_on(kept[i], rq), 200);
	}
	sleep(_i == 0 ? 10 : 1);	/* so long are they left alone */
	/* Told off, and waited for: the thread's next sleep is not a whole second, behind
	 * which it looks at all connections first. */
	refused = begin(s, NULL, "\026\003\001\r\n\r\n", 7);
	poll(NULL, 0, 1300);
	ck_assert_int_eq(server_metric(s, "connections_cut_total"), 0);
	server_signal(s, SIGSTOP);
	ck_assert_int_eq(waitpid(s->pid, &s->status, WUNTRACED), s->pid);
	for (int i = 0; i < 4; i++)
		knock[i] = begin(s, NULL, "", 0);
	for (int i = 0; i < ROOM - 1; i++)
		ck_assert_int_eq(try_http_write(kept[i], rq, strlen(rq)), 0);
	server_signal(s, SIGCONT);
	for (int i = 0; i < ROOM - 1; i++) {
		ck_assert_int_eq(status_on(kept[i], ""), 200);
		http_close(kept[i]);
	}
	for (int i = 0; i < 4; i++)
		close(knock[i]);
	close(refused);
	servers_limited(0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Where descriptors run out before the room does. */
START_TEST(R9_those_who_only_wait_give_their_descriptors_to_others)
{
	enum { IDLE = 16 };
	struct server *s = server_start("--server.max_streams=20", NULL);
	rlim_t few = (rlim_t)server_descriptors(s) + 8;
	struct rlimit rl = { few, few };
	int fd[IDLE];

	ck_assert_int_eq(prlimit(s->pid, RLIMIT_NOFILE, &rl, NULL), 0);
	for (int i = 0; i < IDLE; i++)
		fd[i] = begin(s, NULL, "", 0);
	/* Without, each eight of them wait for server.head_timeout. */
	ck_assert_int_eq(post(s, "/publish?topic=a", AUTH, "x")->status, 200);
	for (int i = 0; i < IDLE; i++)
		close(fd[i]);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_guard");
	TCase *tc = harness_case(su, "tables", 120);

	tcase_add_test(tc, H1_each_request_is_answered_by_the_letter_of_HTTP);
	tcase_add_test(tc,
	    H1_nor_is_a_later_request_on_a_connection_mistaken_for_another);
	tcase_add_test(tc, H1_a_head_has_an_answer_whatever_it_is_full_of);
	tcase_add_test(tc, H1_behind_another_request_it_works_as_well_or_is_counted);
	tcase_add_test(tc, H3_a_head_that_is_not_read_leaves_no_memory_behind);
	tcase_add_loop_test(tc, H4_each_odd_address_has_its_fixed_answer, 0, 2);
	tcase_add_test(tc, H4_a_topic_is_the_same_however_it_is_spelled);
	tcase_add_test(tc, who_speaks_tls_is_told_so_whatever_its_bytes);
	tc = harness_case(su, "time", 60);
	tcase_add_loop_test(tc, H3_a_request_cut_off_at_any_byte_leaves_nothing_behind,
	    0, 3);
	tcase_add_loop_test(tc, R9_a_head_that_trickles_in_is_cut_off_in_time, 0, 3);
	tcase_add_loop_test(tc, R9_a_body_that_trickles_in_is_cut_off_and_a_slow_one_is_not,
	    0, 2);
	tcase_add_loop_test(tc, R9_an_answer_that_nobody_reads_is_given_up, 0, 2);
	tcase_add_test(tc, R9_an_answer_that_is_read_slowly_comes_whole);
	tcase_add_test(tc, R9_answers_that_nobody_reads_have_a_bounded_sum);
	tcase_add_loop_test(tc, R9_slow_ones_who_take_all_the_room_make_way_for_others, 0,
	    3);
	tcase_add_test(tc, R9_those_who_only_wait_give_their_descriptors_to_others);
	tcase_add_loop_test(tc,
	    R9_strangers_make_way_between_two_requests_and_publishers_do_not, 0, 2);
	tcase_add_loop_test(tc,
	    R9_a_kept_connection_whose_next_request_is_there_does_not_make_way, 0, 2);
	return su;
}

SUITE_MAIN
