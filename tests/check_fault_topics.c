/*
 * check_fault_topics.c - too many topics, too long, or chosen to collide.
 *
 * Whoever may publish may invent topics, and whoever may subscribe may ask for them: it
 * costs bounded memory, and a lookup costs what it did.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map.h"

#define BATCH	1000

static const char *const all_public = "--topics.public=**";

/* Publish `n` events to the topics that `name` makes of from, from + 1, ...; what the
 * server used for it, in ms of CPU. */
static int64_t
publish_to(struct server *s, struct http *h, void (*name)(char *to, int i), int from,
    int n)
{
	int64_t used = server_cpu_ms(s);
	char *body = malloc(BATCH * 200), *at, topic[128];
	struct answer *a;

	ck_assert_ptr_nonnull(body);
	for (int i = 0; i < n; i += BATCH) {
		at = body;
		for (int k = i; k < i + BATCH && k < n; k++) {
			name(topic, from + k);
			at += sprintf(at, "{\"topic\":\"%s\",\"data\":\"x\"}\n", topic);
		}
		ck_assert_int_eq(try_http_send(h, "POST", "/publish", AUTH
		    "Content-Type: application/x-ndjson\r\n", body,
		    (size_t)(at - body)), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
		answer_free(a);
	}
	free(body);
	return server_cpu_ms(s) - used;
}

static void
plain_name(char *to, int i)
{
	sprintf(to, "plain/%d/name/of/a/topic", i);
}

static void
one_name(char *to, int i)
{
	(void)i;
	sprintf(to, "always/the/same");
}

/* All of them have one hash where a string is hashed as h * 31 + c, from whatever. */
static void
java_name(char *to, int i)
{
	for (int bit = 0; bit < 15; bit++)
		memcpy(to + 2 * bit, i >> bit & 1 ? "Aa" : "BB", 2);
	to[30] = '\0';
}

/* The same for h * 33 + c. */
static void
times_33_name(char *to, int i)
{
	for (int bit = 0; bit < 15; bit++)
		memcpy(to + 2 * bit, i >> bit & 1 ? "Ab" : "BA", 2);
	to[30] = '\0';
}

START_TEST(R11_with_a_million_topics_memory_is_bounded_and_a_lookup_costs_the_same)
{
	int n = size_of_run(100000, 1000000), tenth = n / 10;
	struct server *s = server_start(all_public, "--store.tail=4M",
	    "--store.retain_age=0", NULL);
	struct http *h = http_open(s);
	int64_t first, last, known, known_later;
	long before, half = 0, full;

	(void)publish_to(s, h, one_name, 0, 10000);
	known = publish_to(s, h, one_name, 0, 40000);
	before = server_memory_kb(s);
	first = publish_to(s, h, plain_name, 0, tenth);
	for (int i = 1; i < 9; i++) {
		(void)publish_to(s, h, plain_name, i * tenth, tenth);
		if (i == 4)
			half = server_memory_kb(s);
	}
	last = publish_to(s, h, plain_name, 9 * tenth, tenth);
	full = server_memory_kb(s);
	known_later = publish_to(s, h, one_name, 0, 40000);
	printf("%d topics: %ld bytes each; %ld ns of CPU for a new one at first, %ld at "
	    "last; a known one %ld among few, %ld among all\n", n,
	    (full - before) * 1024 / n, (long)(first * 1000000 / tenth),
	    (long)(last * 1000000 / tenth), (long)(known * 1000000 / 40000),
	    (long)(known_later * 1000000 / 40000));
	if (patience(1) == 1) {
		/* A quarter of a million are known by heart, and no more. */
		ck_assert_msg(full - before < 40000 + (n < 262144 ? n : 262144) * 2 / 5,
		    "+%ld kB", full - before);
		if (n >= 1000000)
			ck_assert_msg(full < half + half / 4, "%ld kB, then %ld", half,
			    full);
	}
	ck_assert_msg(last <= 3 * first + 100, "%ld ms, then %ld", (long)first,
	    (long)last);
	ck_assert_msg(known_later <= 3 * known + 100, "%ld ms, then %ld", (long)known,
	    (long)known_later);
	/* Each of them is there. */
	for (int i = 0; i < 50; i++) {
		char topic[128];
		json_t *j;

		plain_name(topic, (int)dice((uint32_t)n));
		j = history(s, fmt("topic=%s", topic));
		ck_assert_msg(json_array_size(json_object_get(j, "events")) == 1,
		    "%s is not there", topic);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(R11_names_made_to_collide_cost_what_others_do)
{
	enum { NAMES = 1 << 15 };
	struct server *s = server_start(all_public, NULL);
	struct http *h = http_open(s);
	int64_t plain, java, times_33;

	(void)publish_to(s, h, one_name, 0, 10000);
	plain = publish_to(s, h, plain_name, 0, NAMES);
	java = publish_to(s, h, java_name, 0, NAMES);
	times_33 = publish_to(s, h, times_33_name, 0, NAMES);
	printf("%d topics: %ld ms of CPU; made to collide: %ld and %ld\n", NAMES,
	    (long)plain, (long)java, (long)times_33);
	ck_assert_int_le(java, 2 * plain + 200);
	ck_assert_int_le(times_33, 2 * plain + 200);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Nobody can work out names that collide in a server elsewhere. */
START_TEST(R11_names_are_hashed_with_a_secret_of_the_process)
{
	enum { PROCESSES = 8 };
	uint64_t hash[PROCESSES];
	int fd[2], status;

	ck_assert_int_eq(pipe(fd), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		ck_assert_int_ne(pid, -1);
		if (pid == 0) {
			uint64_t x = map_hash("topic", 5);

			_exit(write(fd[1], &x, sizeof x) == sizeof x &&
			    map_hash("topic", 5) == x ? 0 : 1);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		ck_assert_int_eq(read(fd[0], &hash[i], sizeof hash[i]),
		    (int)sizeof hash[i]);
		for (int k = 0; k < i; k++)
			ck_assert(hash[k] != hash[i]);
	}
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* `n` parameters, each a topic of `len` bytes or a little more. */
static char *
many_topics(int n, size_t len, int from)
{
	char *path = keep(malloc((size_t)n * (len + 32) + 16), free), *at = path,
	    *pad = repeat("x", len > 8 ? len - 8 : 1);

	at += sprintf(at, "/events?");
	for (int i = 0; i < n; i++)
		at += sprintf(at, "%stopic=%07d/%s", i > 0 ? "&" : "", from + i, pad);
	return path;
}

static void
is_refused(struct server *s, const char *method, const char *path, const char *body,
    const char *what)
{
	struct http *h = http_open(s);
	struct answer *a;

	(void)try_http_send(h, method, path, AUTH AS_JSON, body,
	    body != NULL ? strlen(body) : 0);
	a = try_http_receive(h, SOON);
	ck_assert_msg(a != NULL, "%s: no answer", what);
	ck_assert_msg(a->status >= 400 && a->status < 500, "%s: %d", what, a->status);
	answer_free(a);
	http_close(h);
}

START_TEST(R11_too_many_topics_and_too_long_ones_are_refused)
{
	struct server *s = server_start(all_public, NULL);
	char *long_name = repeat("x", 8192);
	struct stream *st = stream_open(s, many_topics(100, 10, 0), "");

	expect_live(st, false);
	is_refused(s, "GET", many_topics(101, 10, 0), NULL, "101 topics");
	is_refused(s, "GET", many_topics(10000, 10, 0), NULL, "10,000 topics");
	is_refused(s, "GET", fmt("/events?topic=%s", long_name), NULL,
	    "a subscription to 8 KB");
	is_refused(s, "GET", fmt("/events?topic=%s/**", repeat("a/", 4000)), NULL,
	    "a pattern of 4,000 segments");
	is_refused(s, "POST", fmt("/publish?topic=%s", long_name), "x",
	    "8 KB in the query");
	is_refused(s, "POST", "/publish", fmt("{\"topic\":\"%s\",\"data\":1}", long_name),
	    "8 KB in the body");
	is_refused(s, "GET", fmt("/history?topic=%s", long_name), NULL,
	    "history of 8 KB");
	publish(s, fmt("0000042/xx"), "x");
	expect_event(st, "message", "x");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

#define STREAMS	100
#define ASKED	12

START_TEST(R11_topics_that_were_asked_for_are_forgotten_with_the_stream)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st[STREAMS];
	long after[6];

	for (int round = 0; round < 6; round++) {
		int64_t end = now_ms() + patience(SOON);

		for (int i = 0; i < STREAMS; i++)
			st[i] = stream_open(s, many_topics(ASKED, 1000,
			    (round * STREAMS + i) * ASKED), "");
		for (int i = 0; i < STREAMS; i++) {
			expect_live(st[i], false);
			stream_close(st[i]);
		}
		while (server_metric(s, "streams") > 0)
			ck_assert_msg(now_ms() < end, "streams stay");
		after[round] = server_memory_kb(s);
	}
	printf("%d names of 1 KB asked for, %d times: %ld kB, %ld at last\n",
	    STREAMS * ASKED, 6, after[1], after[5]);
	/* Four rounds of it would be 6 MB, three times over. */
	if (patience(1) == 1)
		ck_assert_int_lt(after[5] - after[1], 4000);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("fault_topics");
	TCase *tc = harness_case(su, "topics", size_of_run(90, 300));

	tcase_add_test(tc,
	    R11_with_a_million_topics_memory_is_bounded_and_a_lookup_costs_the_same);
	tcase_add_test(tc, R11_names_made_to_collide_cost_what_others_do);
	tcase_add_test(tc, R11_names_are_hashed_with_a_secret_of_the_process);
	tcase_add_test(tc, R11_too_many_topics_and_too_long_ones_are_refused);
	tcase_add_test(tc, R11_topics_that_were_asked_for_are_forgotten_with_the_stream);
	return su;
}

SUITE_MAIN
