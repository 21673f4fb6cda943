/*
 * check_http_limits.c - the running server: how many streams an address and a token may
 * have, and what a crowd of refusals and of answers that nobody reads may cost.
 */
#include "config.h"

#include <sys/socket.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* ---- streams ---- */

static const char events[] = "/events?topic=a/x";

/* Open one, as soon as there is room: it is live, and not told to go. */
static struct stream *
open_soon(struct server *s, const char *headers)
{
	int64_t end = now_ms() + patience(SOON);
	struct stream *st;
	struct event *e;

	for (;; poll(NULL, 0, 20)) {
		st = stream_open(s, events, headers);
		ck_assert_ptr_nonnull(e = stream_next(st, SOON));
		if (strcmp(e->name, "fanfare.live") == 0)
			return st;
		ck_assert_msg(now_ms() < end, "no room: %s", e->data);
	}
}

static void
is_full(struct server *s, const char *headers, const char *option)
{
	json_t *j = expect_close(stream_open(s, events, headers), "overload", SOON);
	struct answer *a;

	ck_assert_msg(strstr(text_at(j, "detail"), option) != NULL, "%s",
	    text_at(j, "detail"));
	ck_assert_int_ge(json_integer_value(json_object_get(j, "retry")), 1000);
	a = get(s, events, headers);
	is_problem(a, 429, "too_many_streams", option, "no EventSource");
	ck_assert_int_ge(atoi(header(a, "Retry-After")), 1);
}

START_TEST(a_subject_has_as_many_streams_as_its_tokens_may_and_others_theirs)
{
	struct server *s = server_start("--server.max_streams_per_token=3",
	    "--topics.public=public", NULL);
	const char *ann = bearing(token_below_a("ann", "")), *bob = bearing(token_below_a("bob", "")),
	    *again = bearing(token_below_a("ann", "\"more\":1"));
	struct stream *st[3];

	st[0] = open_soon(s, ann);
	st[1] = open_soon(s, again);
	st[2] = open_soon(s, ann);
	is_full(s, ann, "server.max_streams_per_token");
	is_full(s, again, "server.max_streams_per_token");
	ck_assert_int_eq(server_metric(s, "streams_limited_total"), 4);
	ck_assert_int_eq(server_metric(s, "streams_refused_total"), 4);
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "429 too_many_streams"));
	/* Neither is another subject concerned, nor a server with its key, nor who needs
	 * no token. */
	for (int i = 0; i < 3; i++)
		open_soon(s, bob);
	for (int i = 0; i < 10; i++)
		open_soon(s, AUTH);
	for (int i = 0; i < 10; i++)
		expect_live(stream_open(s, "/events?topic=public", ann), false);
	stream_close(st[1]);
	st[1] = open_soon(s, ann);
	is_full(s, ann, "server.max_streams_per_token");
	publish(s, "a/x", "still here");
	for (int i = 0; i < 3; i++)
		expect_event(st[i], "message", "still here");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const char *
from(const char *address)
{
	return fmt(AUTH "X-Forwarded-For: %s\r\n", address);
}

START_TEST(I5_an_address_has_its_streams_and_of_IPv6_the_64_bits_that_a_client_has)
{
	struct server *s = server_start("--server.max_streams_per_ip=2", NULL);

	open_soon(s, from("192.0.2.1"));
	open_soon(s, from("6.6.6.6, 192.0.2.1"));
	is_full(s, from("192.0.2.1"), "server.max_streams_per_ip");
	is_full(s, from("192.0.2.77, 192.0.2.1"), "server.max_streams_per_ip");
	open_soon(s, from("192.0.2.2"));
	open_soon(s, from("2001:db8:1:2::1"));
	open_soon(s, from("2001:db8:1:2:ffff::1"));
	is_full(s, from("[2001:db8:1:2:3:4:5:6]:443"), "server.max_streams_per_ip");
	open_soon(s, from("2001:db8:1:3::1"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(one_topic_more_than_a_hundred_is_a_400_that_says_so)
{
	struct server *s = server_start("--topics.public=**", NULL);
	char *many = fmt("/events?topic=t%s", repeat("&topic=t0", 99)), *p = many;

	/* Each another one. */
	for (int i = 10; (p = strstr(p, "t0")) != NULL; i++, p += 2)
		memcpy(p, (char[]){ (char)('a' + i / 26), (char)('a' + i % 26) }, 2);
	expect_live(stream_open(s, many, ""), false);
	is_problem(get(s, fmt("%s&topic=more", many), ACCEPT_SSE), 400, "malformed", "100",
	    "101 topics");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define ROOM	8
#define TURNS	400

/* Ask for a stream and go, at some moment or other. */
static void
come_and_go(struct server *s, const char *headers, struct stream *held[ROOM])
{
	char *head = fmt("GET %s HTTP/1.1\r\nHost: x\r\n" ACCEPT_SSE "%s\r\n", events,
	    headers);
	size_t len = strlen(head);
	int i = (int)dice(ROOM), fd;

	switch (dice(6)) {
	case 0:			/* in the middle of the head */
		len = 1 + dice((uint32_t)len - 1);
		/* FALLTHROUGH */
	case 1:			/* behind it, before the answer */
	case 2:			/* two at once on one connection, and gone */
		ck_assert_int_ne(fd = dial(s->port, 1024), -1);
		(void)send(fd, head, len, MSG_NOSIGNAL);
		if (dice(2) == 0)
			(void)send(fd, head, len, MSG_NOSIGNAL);
		if (dice(2) == 0) {
			/* With a reset. */
			struct linger now = { 1, 0 };

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		}
		close(fd);
		return;
	case 3:			/* one that waited, or one more */
	case 4:
		if (held[i] != NULL)
			stream_close(held[i]);
		held[i] = try_stream(s, events, headers, 0);
		return;
	case 5:			/* not even an EventSource */
		(void)ask(s, "HEAD", events, headers, NULL, 0);
		return;
	}
}

START_TEST(whoever_comes_and_goes_leaves_no_place_taken)
{
	static const char key[] = "the-key-of-an-issuer-of-tokens-0123456789",
	    other[] = "another-key-of-that-issuer-of-tokens-0123456789",
	    claims[] = "{\"iss\":\"two\",\"exp\":%lld,\"sub\":\"ann\",\"fanfare\":"
	    "{\"subscribe\":[\"a/x\"]}}";
	char *file = fmt("%s/key", test_dir());
	struct stream *held[ROOM] = { NULL };
	const char *headers;
	struct server *s;

	write_whole(file, key, sizeof key - 1);
	s = server_start("--auth.two.issuer=two", fmt("--auth.two.key_file=%s", file),
	    fmt("--server.max_streams_per_token=%d", ROOM),
	    fmt("--server.max_streams_per_ip=%d", ROOM), "--server.threads=2", NULL);
	headers = fmt("%sX-Forwarded-For: 2001:db8::7\r\n", bearing(token(key, fmt(claims,
	    (long long)wall_s() + 600))));
	for (int i = 0; i < TURNS; i++) {
		come_and_go(s, headers, held);
		/* Now and then the key goes, with all streams, and comes back. */
		if (i % 100 == 50) {
			write_whole(file, other, sizeof other - 1);
			server_signal(s, SIGHUP);
		} else if (i % 100 == 70) {
			write_whole(file, key, sizeof key - 1);
			server_signal(s, SIGHUP);
		}
		ck_assert(server_alive(s));
	}
	/* Streams that their token ends. */
	for (int i = 0; i < ROOM; i++) {
		if (held[i] != NULL)
			stream_close(held[i]);
		held[i] = NULL;
	}
	for (int i = 0; i < ROOM; i++)
		(void)open_soon(s, bearing(token(key, fmt(claims,
		    (long long)wall_s() + 8))));
	for (int64_t end = now_ms() + patience(15000); server_metric(s, "streams") > 0;
	    poll(NULL, 0, 100))
		ck_assert_int_lt(now_ms(), end);
	/* All of the room is there again, and no more than that. */
	for (int i = 0; i < ROOM; i++)
		held[i] = open_soon(s, headers);
	is_full(s, headers, "server.max_streams_per_");
	ck_assert_int_eq(server_metric(s, "streams"), ROOM);
	/* It waits for the places that are taken, so one that is lost would take its
	 * time; one that is given back twice is an abort. */
	ck_assert_int_eq(server_stop(s), 0);
	for (int i = 0; i < ROOM; i++)
		expect_close(held[i], "drain", SOON);
}
END_TEST

/* ---- crowds ---- */

static int
count_lines(const char *text, const char *word)
{
	int n = 0;

	while ((text = strstr(text, word)) != NULL) {
		text += strlen(word);
		n++;
	}
	return n;
}

#define REFUSALS	3000

START_TEST(a_flood_of_refusals_does_not_fill_the_log_and_none_is_uncounted)
{
	static const char one[] = "GET /events?topic=a HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server *s = server_start(NULL, NULL);
	struct http *h = http_open(s);
	int64_t began = now_ms(), end, unlogged;
	int lines, more = 0;
	struct answer *a;
	char *log, *p;

	for (int i = 0; i < REFUSALS; i += 50) {
		char *many = repeat(one, 50);

		ck_assert_int_eq(try_http_write(h, many, strlen(many)), 0);
		for (int k = 0; k < 50; k++) {
			ck_assert_ptr_nonnull(a = try_http_receive(h, SOON));
			ck_assert_int_eq(a->status, 401);
			answer_free(a);
		}
	}
	unlogged = server_metric(s, "refusals_unlogged_total");
	/* When they have stopped, all of them are accounted for within seconds. */
	for (end = now_ms() + patience(SOON);; poll(NULL, 0, 50)) {
		log = read_whole(s->log);
		lines = count_lines(log, " token_missing ref=");
		for (more = 0, p = log; (p = strstr(p, " more refusals")) != NULL; p++) {
			char *digits = p;

			while (digits[-1] >= '0' && digits[-1] <= '9')
				digits--;
			more += atoi(digits);
		}
		if (lines + more == REFUSALS)
			break;
		ck_assert_msg(now_ms() < end, "%d lines and %d more of %d", lines, more,
		    REFUSALS);
	}
	ck_assert_int_eq(unlogged, more);
	/* A thousand, and twenty for each second that it took. */
	ck_assert_int_ge(lines, 1000);
	ck_assert_int_le(lines, 1000 + (int)(20 * (now_ms() - began) / 1000) + 1);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define READERS		150
#define PAGE_EVENTS	16
#define PAGE_KB		60

START_TEST(answers_that_nobody_reads_are_bounded_in_memory)
{
	static const char rq[] = "GET /history?topic=a HTTP/1.1\r\nHost: x\r\n"
	    "Connection: close\r\n\r\n";
	int narrow = narrow_socket(), fd[READERS], refused = 0, waiting = 0, cut = 0;
	char *data = repeat("0123456789abcdef", PAGE_KB * 64), got[512];
	struct server *s;
	struct answer *a;
	int64_t end;
	long before;

	servers_given(&narrow, 1, NULL);
	s = server_start("--topics.public=**", "--store.tail=64k", NULL);
	for (int i = 0; i < PAGE_EVENTS; i++)
		publish(s, "a", data);
	a = get(s, "/history?topic=a", "");
	ck_assert_uint_gt(a->len, 900 * 1024);
	before = server_memory_kb(s);
	for (int i = 0; i < READERS; i++) {
		ck_assert_int_ne(fd[i] = dial(s->port, 4096), -1);
		ck_assert_int_eq(send(fd[i], rq, sizeof rq - 1, MSG_NOSIGNAL),
		    (int)sizeof rq - 1);
	}
	/* Each is answered, if with no more than a beginning. */
	for (int i = 0; i < READERS; i++) {
		struct pollfd pfd = { fd[i], POLLIN, 0 };

		ck_assert_int_eq(poll(&pfd, 1, patience(20000)), 1);
		if (recv(fd[i], got, sizeof got - 1, MSG_PEEK) <= 12) {
			cut++;			/* two seconds have passed here */
			continue;
		}
		refused += strncmp(got, "HTTP/1.1 503", 12) == 0;
		waiting += strncmp(got, "HTTP/1.1 200", 12) == 0;
	}
	printf("%d wait, %d were refused, %ld kB more\n", waiting, refused,
	    server_memory_kb(s) - before);
	ck_assert_int_eq(refused + waiting + cut, READERS);
	a = get(s, "/history?topic=a", "");
	/* 64 MB, one more, and what the kernel has of each; after two seconds of a slow
	 * machine the oldest of them have made way for others (http_deadline.c). */
	cut = (int)server_metric(s, "connections_cut_total");
	ck_assert_int_le(waiting, 85 + cut);
	if (cut == 0) {
		ck_assert_int_ge(waiting, 64);
		is_problem(a, 503, "overload", "try again", "one more");
	}
	/* Streams and publishes go on; when readers leave there is room. */
	expect_live(stream_open(s, "/events?topic=a", ""), false);
	publish(s, "b", "x");
	for (int i = 0; i < READERS; i++)
		close(fd[i]);
	for (end = now_ms() + patience(SOON); get(s, "/history?topic=a", "")->status != 200;
	    poll(NULL, 0, 50))
		ck_assert_int_lt(now_ms(), end);
	close(narrow);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_limits");
	TCase *tc = harness_case(su, "streams", 60);

	tcase_add_test(tc,
	    a_subject_has_as_many_streams_as_its_tokens_may_and_others_theirs);
	tcase_add_test(tc,
	    I5_an_address_has_its_streams_and_of_IPv6_the_64_bits_that_a_client_has);
	tcase_add_test(tc, one_topic_more_than_a_hundred_is_a_400_that_says_so);
	tcase_add_test(tc, whoever_comes_and_goes_leaves_no_place_taken);
	tc = harness_case(su, "crowds", 60);
	tcase_add_test(tc,
	    a_flood_of_refusals_does_not_fill_the_log_and_none_is_uncounted);
	tcase_add_test(tc, answers_that_nobody_reads_are_bounded_in_memory);
	return su;
}

SUITE_MAIN
