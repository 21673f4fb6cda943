/*
 * check_log_resume.c - D6: readers that come and go at random while events are
 * published to several topics.  Each must see every event of its topics once,
 * in order, without a gap announced, over all its connections.
 *
 * One thread plays all parts, so that the order in which it saw things is
 * certain. FANFARE_TEST_RESUMES: connections in all (600).
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define TOPICS		6
#define READERS		12
#define PUBLISHERS	2

struct reader {
	const char	*query;
	unsigned int	 mine;		/* bit per topic */
	struct stream	*st;		/* NULL: away */
	char		*cursor;	/* NULL: never connected */
	int		 next[TOPICS];
	int64_t		 last_seq;
	int64_t		 turn_ms;	/* when it comes or goes */
	int		 live;		/* fanfare.live on this connection */
};

static struct reader readers[READERS];
static int sent[TOPICS];
static int connections;

static const struct { const char *query; unsigned int mine; } wants[] = {
	{ "topic=t/0", 1 }, { "topic=t/1&topic=t/4", 2 + 16 },
	{ "topic=t/*", 63 }, { "topic=t/**", 63 }, { "topic=t/5", 32 },
	{ "topic=t/2&topic=t/3&topic=none", 4 + 8 },
};

static void
publisher_send(struct http *h, int p)
{
	/* Each topic has one publisher, so its numbers are in order. */
	int t = (int)dice(TOPICS / PUBLISHERS) * PUBLISHERS + p;
	int n, pad = (int)(dice(20) == 0 ? dice(2500) : dice(100));
	char path[32], body[3000];

	n = snprintf(body, sizeof body, "%d ", sent[t]++);
	memset(body + n, '.', (size_t)pad);
	snprintf(path, sizeof path, "/publish?topic=t/%d", t);
	ck_assert_int_eq(try_http_send(h, "POST", path, AUTH, body,
	    (size_t)(n + pad)), 0);
}

static void
reader_take(struct reader *r)
{
	struct event *e;

	while ((e = stream_pop(r->st)) != NULL) {
		int t = -1, n;
		int64_t seq;

		if (strcmp(e->name, "fanfare.live") == 0) {
			ck_assert_int_eq(r->live++, 0);
			ck_assert_int_ge(id_seq(e->id), r->last_seq);
			r->last_seq = id_seq(e->id);
			continue;
		}
		ck_assert_msg(!is_control(e), "%s: %s", e->name, e->data);
		ck_assert_msg(sscanf(e->data, "{\"id\":\"%*8[0-9a-f]-%*d\","
		    "\"topic\":\"t/%d\"", &t) == 1 && t >= 0 && t < TOPICS,
		    "%.100s", e->data);
		n = atoi(strstr(e->data, "\"data\":\"") + 8);
		seq = id_seq(e->id);
		ck_assert_msg((r->mine & 1u << t) != 0, "topic %d for %s", t,
		    r->query);
		ck_assert_msg(n == r->next[t], "%s: %d instead of %d on t/%d "
		    "(%s, connection of a reader at %s)", r->query, n,
		    r->next[t], t, n > r->next[t] ? "a hole" : "a repeat",
		    r->cursor == NULL ? "first" : r->cursor);
		ck_assert_msg(seq > r->last_seq, "%s: id %s after %lld",
		    r->query, e->id, (long long)r->last_seq);
		r->last_seq = seq;
		r->next[t]++;
	}
}

static void
reader_come(struct server *s, struct reader *r)
{
	r->st = try_stream(s, fmt("/events?format=envelope&%s", r->query),
	    r->cursor == NULL ? AUTH : fmt(AUTH "Last-Event-ID: %s\r\n",
	    r->cursor), dice(3) == 0 ? 4096 : 0);
	ck_assert_ptr_nonnull(r->st);
	r->live = 0;
	r->turn_ms = now_ms() + 1 + dice(dice(4) == 0 ? 200 : 30);
	connections++;
}

static void
reader_go(struct reader *r)
{
	if (dice(2) == 0) {
		stream_feed(r->st);
		reader_take(r);
	}
	/* Else with bytes unread: the server meets a reset. */
	if (*r->st->last_id != '\0')
		r->cursor = fmt("%s", r->st->last_id);
	ck_assert_int_eq(r->st->odd, 0);
	ck_assert(!r->st->have_head || r->st->head.status == 200);
	stream_close(r->st);
	r->st = NULL;
	r->turn_ms = now_ms() + dice(40);
}

static bool
reader_has_all(const struct reader *r)
{
	for (int t = 0; t < TOPICS; t++)
		if ((r->mine & 1u << t) != 0 && r->next[t] != sent[t])
			return false;
	return true;
}

static const char *const tails[] = { "--store.tail=64M", "--store.tail=64k" };

START_TEST(D6_no_hole_and_no_repeat_over_many_connections)
{
	struct server *s = server_start(tails[_i], NULL);
	int wanted = setting("FANFARE_TEST_RESUMES", 600), total = 0;
	struct http *h[PUBLISHERS];
	bool busy[PUBLISHERS] = { false }, done = false;
	int64_t end = now_ms() + patience(60000 + wanted * 20);

	connections = 0;
	memset(sent, 0, sizeof sent);
	memset(readers, 0, sizeof readers);
	for (int i = 0; i < READERS; i++) {
		size_t w = (size_t)i % (sizeof wants / sizeof *wants);

		readers[i].query = wants[w].query;
		readers[i].mine = wants[w].mine;
		reader_come(s, &readers[i]);
		/* Before the first publish, so that all begin at zero. */
		ck_assert(stream_head(readers[i].st, SOON));
		expect_live(readers[i].st, false);
		readers[i].live = 1;
		readers[i].cursor = fmt("%s", readers[i].st->last_id);
	}
	for (int p = 0; p < PUBLISHERS; p++)
		h[p] = http_open(s);
	while (!done) {
		struct pollfd pfd[READERS + PUBLISHERS];
		bool enough = connections >= wanted;

		ck_assert_msg(now_ms() < end, "not done: %d connections",
		    connections);
		for (int i = 0; i < READERS; i++)
			pfd[i] = (struct pollfd){ readers[i].st == NULL ? -1 :
			    readers[i].st->fd, POLLIN, 0 };
		for (int p = 0; p < PUBLISHERS; p++) {
			if (!busy[p] && !enough) {
				publisher_send(h[p], p);
				busy[p] = true;
			}
			pfd[READERS + p] = (struct pollfd){ http_fd(h[p]),
			    POLLIN, 0 };
		}
		poll(pfd, READERS + PUBLISHERS, 2);
		for (int p = 0; p < PUBLISHERS; p++) {
			struct answer *a;

			if (!busy[p] || try_http_feed(h[p]) == 0)
				continue;
			a = try_http_receive(h[p], 0);
			ck_assert_msg(a != NULL && a->status == 200, "%s",
			    a == NULL ? "no answer" : a->body);
			answer_free(a);
			busy[p] = false;
			total++;
		}
		done = enough && !busy[0] && !busy[1];
		for (int i = 0; i < READERS; i++) {
			struct reader *r = &readers[i];

			if (r->st != NULL && pfd[i].revents != 0) {
				stream_feed(r->st);
				reader_take(r);
				ck_assert_msg(!r->st->eof, "%s ended: %s",
				    r->query, r->st->head.head == NULL ? "" :
				    r->st->head.head);
			}
			if (r->st == NULL && now_ms() >= r->turn_ms)
				reader_come(s, r);
			else if (r->st != NULL && !enough &&
			    now_ms() >= r->turn_ms)
				reader_go(r);
			done = done && reader_has_all(r);
		}
	}
	printf("%d connections of %d readers, %d events, %s\n", connections,
	    READERS, total, tails[_i]);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("log_resume");
	TCase *tc = harness_case(su, "resume",
	    90 + setting("FANFARE_TEST_RESUMES", 600) / 20);

	tcase_add_loop_test(tc,
	    D6_no_hole_and_no_repeat_over_many_connections, 0, 2);
	return su;
}

SUITE_MAIN
