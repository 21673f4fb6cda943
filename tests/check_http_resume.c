/*
 * check_http_resume.c - coming back: cursors in every spelling, replay, since,
 * and the four reasons for which a hole is announced.  Never silence, and
 * never a gap without need.
 */
#include "config.h"

#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const all_public = "--topics.public=**";

static char *
last_event_id(const char *id)
{
	return fmt("Last-Event-ID: %s\r\n", id);
}

static struct stream *
resume(struct server *s, const char *query, const char *id)
{
	return stream_open(s, fmt("/events?%s", query), last_event_id(id));
}

/* n events "from", "from+1", ... of about 200 bytes to `topic`; the last id. */
static char *
publish_many(struct server *s, const char *topic, int from, int n)
{
	char *body = keep(malloc((size_t)n * 300 + 2), free), *p = body;
	struct answer *a;
	json_t *ids;

	for (int i = 0; i < n; i++)
		p += sprintf(p, "%c{\"topic\":\"%s\",\"data\":\"%d %0150d\"}",
		    i == 0 ? '[' : ',', topic, from + i, 0);
	strcpy(p, "]");
	a = post(s, "/publish", AUTH AS_JSON, body);
	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	ids = json_object_get(body_json(a), "ids");
	ck_assert_uint_eq(json_array_size(ids), (size_t)n);
	return fmt("%s", json_string_value(json_array_get(ids,
	    (size_t)n - 1)));
}

/* The next event must be number n of publish_many(). */
static struct event *
expect_number(struct stream *st, int n)
{
	struct event *e = stream_next(st, SOON);

	ck_assert_msg(e != NULL, "nothing instead of %d", n);
	ck_assert_msg(!is_control(e) && atoi(e->data) == n, "%s %.80s instead "
	    "of %d", e->name, e->data, n);
	return e;
}

static void
no_more(struct stream *st)
{
	ck_assert_msg(stream_quiet(st, 150), "more than expected: %s",
	    st->first == NULL ? "the end" : st->first->data);
}

/* ---- cursors ---- */

START_TEST(a_cursor_is_taken_in_every_spelling)
{
	static const char *const names[] = { "after", "last_event_id",
		"lastEventId", "lastEventID" };
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1");
	struct stream *st;

	publish(s, "a", "2");
	publish(s, "b", "not mine");
	publish(s, "a", "3");
	for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
		if (i < sizeof names / sizeof *names)
			st = stream_open(s, fmt("/events?%s=%s&topic=a",
			    names[i], one), "");
		else
			st = resume(s, "topic=a", one);
		expect_event(st, "message", "2");
		expect_event(st, "message", "3");
		expect_live(st, true);
		no_more(st);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* E7 */
START_TEST(the_header_wins_over_the_query)
{
	static const char *const names[] = { "after", "last_event_id",
		"lastEventId", "lastEventID" };
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1"), *two = publish(s, "a", "2");

	publish(s, "a", "3");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct stream *st = resume(s, fmt("topic=a&%s=%s", names[i],
		    one), two);

		expect_event(st, "message", "3");
		expect_live(st, true);
		st = resume(s, fmt("topic=a&%s=deadbeef-1", names[i]), two);
		expect_event(st, "message", "3");
		expect_live(st, true);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* E7.  A library that appends the newest to the page's address, at each return. */
START_TEST(what_a_client_appends_wins_over_what_its_page_wrote)
{
	static const char *const names[] = { "after", "last_event_id",
		"lastEventID", "lastEventId" };
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1"), *two = publish(s, "a", "2");

	publish(s, "a", "3");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct stream *st = stream_open(s, fmt("/events?topic=a&%s=%s"
		    "&lastEventId=%s", names[i], one, two), "");

		expect_event(st, "message", "3");
		expect_live(st, true);
		st = stream_open(s, fmt("/events?lastEventId=%s&topic=a&%s=%s"
		    "&lastEventId=", two, names[i], i < 3 ? one : two), "");
		expect_event(st, "message", "3");
		expect_live(st, true);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(an_empty_cursor_counts_as_absent)
{
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1");
	struct stream *st;

	publish(s, "a", "2");
	st = stream_open(s, fmt("/events?topic=a&after=%s", one),
	    "Last-Event-ID:\r\n");
	expect_event(st, "message", "2");
	expect_live(st, true);
	st = stream_open(s, fmt("/events?topic=a&after=&lastEventId=%s", one),
	    "Last-Event-ID: \r\n");
	expect_event(st, "message", "2");
	expect_live(st, true);
	st = stream_open(s, "/events?topic=a&after=&last_event_id=",
	    "Last-Event-ID: \r\n");
	expect_live(st, false);
	no_more(st);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(who_saw_no_event_resumes_from_the_live_event)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st = stream_open(s, "/events?topic=a", "");
	char *cursor;

	expect_live(st, false);
	cursor = fmt("%s", st->last_id);
	stream_close(st);
	publish(s, "a", "missed");
	st = resume(s, "topic=a", cursor);
	expect_event(st, "message", "missed");
	expect_live(st, true);
	/* And again from there, with nothing missed. */
	cursor = fmt("%s", st->last_id);
	st = resume(s, "topic=a", cursor);
	expect_live(st, true);
	publish(s, "a", "next");
	expect_event(st, "message", "next");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_cursor_survives_kill_and_restart_without_a_gap)
{
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1");
	struct stream *st;

	publish(s, "a", "2");
	for (int i = 0; i < 3; i++) {
		if (i % 2 == 0)
			server_kill(s);
		else
			ck_assert_int_eq(server_stop(s), 0);
		server_restart(s);
		publish(s, "a", fmt("%d", 3 + i));
		st = resume(s, "topic=a", one);
		for (int k = 2; k <= 3 + i; k++)
			expect_event(st, "message", fmt("%d", k));
		expect_live(st, true);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_long_absence_is_caught_up_from_the_disk)
{
	struct server *s = server_start(all_public, "--store.tail=64k",
	    "--stream.max_replay=20000", NULL);
	char *cursor = publish(s, "a", "0");
	struct stream *st;

	for (int i = 0; i < 9; i++) {
		publish_many(s, "a", 1 + i * 1000, 1000);
		publish_many(s, "b", 1 + i * 1000, 1000);
	}
	st = resume(s, "topic=a", cursor);
	for (int i = 1; i <= 9000; i++)
		expect_number(st, i);
	expect_live(st, true);
	st = resume(s, "topic=*", cursor);
	for (int i = 0; i < 18000; i++)
		expect_number(st, i % 1000 + 1 + i / 2000 * 1000);
	expect_live(st, true);
	no_more(st);
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_long_absence_is_caught_up_from_memory)
{
	struct server *s = server_start(all_public, NULL);
	char *cursor = publish(s, "a", "0");
	struct stream *st;

	for (int i = 0; i < 4; i++) {
		publish_many(s, "a", 1 + i * 1000, 1000);
		publish_many(s, "noise", 1, 1000);
		publish_many(s, "b", 1 + i * 1000, 1000);
	}
	/* Also while more comes in, and for topics that nobody else missed. */
	st = resume(s, "topic=a&topic=quiet", cursor);
	publish_many(s, "a", 4001, 500);
	for (int i = 1; i <= 4500; i++)
		expect_number(st, i);
	st = resume(s, "topic=b&topic=a", cursor);
	for (int i = 0; i < 8000; i++)
		expect_number(st, i % 1000 + 1 + i / 2000 * 1000);
	for (int i = 4001; i <= 4500; i++)
		expect_number(st, i);
	expect_live(st, true);
	no_more(st);
	ck_assert_int_eq(st->odd, 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- replay and since ---- */

START_TEST(replay_gives_the_last_events_of_each_topic)
{
	struct server *s = server_start(all_public, NULL);
	char *cursor = publish(s, "a/1", "old");
	struct stream *st;

	publish_many(s, "a/1", 1, 5);
	publish_many(s, "a/2", 11, 2);
	publish_many(s, "b", 21, 5);
	publish_many(s, "a/1", 6, 1);
	st = stream_open(s, "/events?topic=a/*&replay=3", "");
	for (int i = 4; i <= 5; i++)
		expect_number(st, i);
	for (int i = 11; i <= 12; i++)
		expect_number(st, i);
	expect_number(st, 6);
	expect_live(st, false);
	publish_many(s, "a/2", 13, 1);
	expect_number(st, 13);
	st = stream_open(s, "/events?topic=a/1&topic=b&replay=1", "");
	expect_number(st, 25);
	expect_number(st, 6);
	expect_live(st, false);
	/* A cursor makes it a resumption. */
	st = resume(s, "topic=a/1&replay=1", cursor);
	for (int i = 1; i <= 6; i++)
		expect_number(st, i);
	expect_live(st, true);
	st = stream_open(s, "/events?topic=nothing/here&replay=5", "");
	expect_live(st, false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(replay_gives_a_thousand_events_at_most)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st;
	int64_t before = 0;
	int n = 0;

	for (int t = 0; t < 3; t++)
		publish_many(s, fmt("t/%d", t), t * 1000, 600);
	st = stream_open(s, "/events?topic=t/*&replay=500", "");
	for (struct event *e; (e = stream_next(st, SOON)) != NULL &&
	    !is_control(e); n++) {
		ck_assert_int_gt(id_seq(e->id), before);
		before = id_seq(e->id);
		if (n == 999)
			ck_assert_int_eq(atoi(e->data), 2599);
	}
	ck_assert_int_eq(n, 1000);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(since_gives_what_is_younger)
{
	struct server *s = server_start(all_public, NULL);
	struct stream *st;
	int64_t end;

	publish(s, "a", "old");
	for (end = now_ms() + 3100; now_ms() < end;)
		poll(NULL, 0, (int)(end - now_ms()) + 1);
	publish(s, "a", "young");
	publish(s, "b", "not mine");
	st = stream_open(s, "/events?topic=a&since=3s", "");
	expect_event(st, "message", "young");
	expect_live(st, false);
	st = stream_open(s, "/events?topic=a&since=15m", "");
	expect_event(st, "message", "old");
	expect_event(st, "message", "young");
	expect_live(st, false);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- gaps (E8; in browsers: tests/js/events.mjs) ---- */

static void
asked_for(json_t *gap, const char *topics)
{
	char *got = keep(json_dumps(json_object_get(gap, "topics"),
	    JSON_COMPACT), free);

	ck_assert_str_eq(got, topics);
}

START_TEST(a_malformed_cursor_is_a_gap_unknown)
{
	static const char *const bad[] = { "banana", "6f3a9c2e", "6f3a9c2e-",
		"6f3a9c2e-x", "-5", "5", "6f3a9c2e-1-2", "6F3A9C2E-1",
		"6f3a9c2-1", "6f3a9c2e1-1", "6f3a9c2e--1", "6f3a9c2e-1 2",
		"6f3a9c2e-99999999999999999999", "6f3a9c2e-1;", "\xc3\xa9-1",
		"null", "undefined", "\xff\xfe" };
	struct server *s = server_start(all_public, NULL);
	struct stream *st;
	json_t *gap;

	publish(s, "a", "1");
	publish(s, "a", "2");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		st = resume(s, "topic=a&replay=1", bad[i]);
		gap = expect_gap(st, "unknown");
		asked_for(gap, "[\"a\"]");
		ck_assert_ptr_nonnull(json_object_get(gap, "requested"));
		ck_assert_ptr_nonnull(json_object_get(gap, "oldest"));
		/* Then as a first connection with the same URL. */
		expect_event(st, "message", "2");
		expect_control(st, "fanfare.live");
	}
	st = resume(s, "topic=a", repeat("x", 4000));
	expect_gap(st, "unknown");
	expect_control(st, "fanfare.live");
	publish(s, "a", "3");
	expect_event(st, "message", "3");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(a_cursor_of_another_log_is_a_gap_reset)
{
	struct server *s = server_start(all_public, NULL);
	char *one = publish(s, "a", "1"), *foreign, *future;
	struct stream *st;
	json_t *gap;

	publish(s, "a", "2");
	foreign = fmt("%08x-1", (unsigned)strtoul(one, NULL, 16) ^ 0x5u);
	st = resume(s, "topic=a&topic=b", foreign);
	gap = expect_gap(st, "reset");
	asked_for(gap, "[\"a\",\"b\"]");
	ck_assert_str_eq(text_at(gap, "requested"), foreign);
	expect_control(st, "fanfare.live");
	no_more(st);
	/* Never given out: this log never knew it. */
	future = fmt("%.9s%lld", one, (long long)id_seq(one) + 1000000);
	st = resume(s, "topic=a&replay=1", future);
	expect_gap(st, "reset");
	expect_event(st, "message", "2");
	expect_control(st, "fanfare.live");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
wipe(struct server *s)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		unlink(fmt("%s%s", s->store, ends[i]));
}

START_TEST(a_wiped_store_is_a_gap_reset)
{
	struct server *s = server_start(all_public, NULL);
	char *cursor = publish(s, "a", "1");
	struct stream *st;

	ck_assert_int_eq(server_stop(s), 0);
	wipe(s);
	server_restart(s);
	st = resume(s, "topic=a&replay=1", cursor);
	expect_gap(st, "reset");
	expect_control(st, "fanfare.live");
	ck_assert_str_ne(publish(s, "a", "1"), cursor);
	expect_event(st, "message", "1");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static void
copy_file(const char *from, const char *to)
{
	char piece[65536];
	int in = open(from, O_RDONLY), out;
	ssize_t n;

	if (in == -1)
		return;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(out, 0);
	while ((n = read(in, piece, sizeof piece)) > 0)
		ck_assert_int_eq(write(out, piece, (size_t)n), n);
	close(in);
	close(out);
}

/* The browser knows more than a restored backup does: in the same epoch, above
 * what the backup holds. */
START_TEST(a_restored_backup_is_a_gap_reset)
{
	struct server *s = server_start(all_public, NULL);
	char *early = publish(s, "a", "1"), *late;
	char *db = fmt("%s/backup", test_dir());
	char *wal = fmt("%s/backup-wal", test_dir());
	struct stream *st;

	/* Nothing is being written while this copies. */
	copy_file(s->store, db);
	copy_file(fmt("%s-wal", s->store), wal);
	publish(s, "a", "2");
	late = publish(s, "a", "3");
	server_kill(s);
	wipe(s);
	copy_file(db, s->store);
	copy_file(wal, fmt("%s-wal", s->store));
	server_restart(s);
	for (int i = 0; i < 5; i++)
		publish(s, "a", "new");
	st = resume(s, "topic=a&replay=1", late);
	expect_gap(st, "reset");
	expect_event(st, "message", "new");
	expect_control(st, "fanfare.live");
	/* What both know is no gap. */
	st = resume(s, "topic=a", early);
	for (int i = 0; i < 5; i++)
		expect_event(st, "message", "new");
	expect_live(st, true);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(too_far_behind_is_a_gap_too_far)
{
	struct server *s = server_start(all_public, "--stream.max_replay=10",
	    NULL);
	char *cursor = publish(s, "a", "start"), *ids[40];
	struct stream *st;
	json_t *gap;

	publish_many(s, "b", 1, 100);
	for (int i = 0; i < 30; i++)
		ids[i] = publish_many(s, "a", i, 1);
	st = resume(s, "topic=a&replay=1", cursor);
	gap = expect_gap(st, "too_far");
	ck_assert_str_eq(text_at(gap, "requested"), cursor);
	asked_for(gap, "[\"a\"]");
	expect_number(st, 29);
	expect_control(st, "fanfare.live");
	/* Ten behind is not too far, eleven are; others' do not count. */
	st = resume(s, "topic=a", ids[19]);
	for (int i = 20; i < 30; i++)
		expect_number(st, i);
	expect_live(st, true);
	st = resume(s, "topic=a", ids[18]);
	expect_gap(st, "too_far");
	expect_control(st, "fanfare.live");
	st = resume(s, "topic=c", cursor);
	expect_live(st, true);
	no_more(st);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* Publish to "a" until its oldest events are gone: how many there were. */
static int
until_pruned(struct server *s, const char *cursor)
{
	for (int n = 0; n < 40000; n += 500) {
		publish_many(s, "a", n, 500);
		if (json_is_object(json_object_get(history(s,
		    fmt("topic=a&after=%s&limit=1", cursor)), "gap")))
			return n + 500;
	}
	ck_abort_msg("40,000 events and none was pruned");
	return 0;
}

static void
goes_on_to(struct stream *st, int first, int last)
{
	for (int i = first; i < last; i++)
		expect_number(st, i);
}

START_TEST(pruned_events_are_a_gap_expired_and_only_theirs)
{
	struct server *s = server_start(all_public,
	    "--store.retain_events_per_topic=20", "--store.tail=64k",
	    "--stream.max_replay=1000000", NULL);
	char *cursor = publish(s, "start", "0"), *late;
	struct stream *st;
	struct event *e;
	json_t *gap;
	int total, first, gaps = 0, others = 0;

	publish(s, "b", "from b");
	total = until_pruned(s, cursor);
	late = publish_many(s, "a", total, 1);
	publish_many(s, "a", total + 1, 5);
	total += 6;
	/* Its own topic's events are gone. */
	st = resume(s, "topic=a", cursor);
	gap = expect_gap(st, "expired");
	asked_for(gap, "[\"a\"]");
	ck_assert_str_eq(text_at(gap, "requested"), cursor);
	e = stream_next(st, SOON);
	ck_assert_ptr_nonnull(e);
	ck_assert_str_eq(e->id, text_at(gap, "oldest"));
	first = atoi(e->data);
	ck_assert_int_gt(first, 0);
	ck_assert_int_le(first, total - 20);
	goes_on_to(st, first + 1, total);
	expect_control(st, "fanfare.live");
	/* Other topics' are not. */
	st = resume(s, "topic=b", cursor);
	expect_event(st, "message", "from b");
	expect_live(st, true);
	st = resume(s, "topic=c", cursor);
	expect_live(st, true);
	/* Nor what this one missed since. */
	st = resume(s, "topic=a", late);
	goes_on_to(st, total - 5, total);
	expect_live(st, true);
	/* Both: one gap, before the first event after the hole. */
	st = resume(s, "topic=a&topic=b", cursor);
	while ((e = stream_next(st, SOON)) != NULL &&
	    strcmp(e->name, "fanfare.live") != 0) {
		if (strcmp(e->name, "fanfare.gap") == 0)
			gaps++;
		else if (strcmp(e->data, "from b") == 0)
			others++;
		else
			ck_assert_int_eq(gaps, 1);
	}
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(gaps, 1);
	ck_assert_int_eq(others, 1);
	/* A pattern sees it too; and so does a restarted server. */
	st = resume(s, "topic=**", cursor);
	while ((e = stream_next(st, SOON)) != NULL && !is_control(e))
		;
	ck_assert_msg(e != NULL && strcmp(e->name, "fanfare.gap") == 0, "%s",
	    e == NULL ? "nothing" : e->data);
	server_kill(s);
	server_restart(s);
	st = resume(s, "topic=a", cursor);
	expect_gap(st, "expired");
	st = resume(s, "topic=b", cursor);
	expect_event(st, "message", "from b");
	expect_live(st, true);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static const char *const limits[] = { "--store.retain_events_per_topic=200",
	"--store.retain_bytes=1M", "--store.retain_age=1s" };

/* Pruning overtakes readers that are catching up, and the tail is far too small for
 * them. */
START_TEST(D9_no_hole_is_silent_while_pruning_overtakes_readers)
{
	struct server *s = server_start(all_public, limits[_i], "--store.tail=64k",
	    "--stream.max_replay=1000000", NULL);
	char *cursor = publish(s, "start", "0");
	struct stream *st[8];
	int seen[8] = { 0 }, gaps = 0, n = 4000;
	int64_t end = now_ms() + patience(40000);
	bool gap[8] = { false };

	for (int i = 0; i < n; i += 500)
		publish_many(s, "a", i, 500);
	for (int k = 0; k < 8; k++) {
		st[k] = try_stream(s, "/events?topic=a", last_event_id(cursor),
		    4096);
		ck_assert_ptr_nonnull(st[k]);
		seen[k] = -1;
	}
	for (; n < 40000; n += 500)
		publish_many(s, "a", n, 500);
	for (int k = 0; k < 8; k++)
		while (seen[k] != n - 1) {
			struct event *e = stream_next(st[k], 500);

			/* A hole is told before what follows it. */
			if (e == NULL && !st[k]->eof && now_ms() < end) {
				publish_many(s, "a", n++, 1);
				continue;
			}
			ck_assert_msg(e != NULL, "reader %d ends at %d", k,
			    seen[k]);
			if (strcmp(e->name, "fanfare.gap") == 0) {
				gap[k] = true;
				gaps++;
			}
			if (is_control(e))
				continue;
			ck_assert_msg(gap[k] ? atoi(e->data) > seen[k] :
			    atoi(e->data) == seen[k] + 1,
			    "reader %d: %d after %d without a gap", k,
			    atoi(e->data), seen[k]);
			seen[k] = atoi(e->data);
			gap[k] = false;
		}
	printf("readers overtaken by pruning, %s: %d gaps\n", limits[_i], gaps);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_resume");
	TCase *tc = harness_case(su, "cursors", 60);

	tcase_add_test(tc, a_cursor_is_taken_in_every_spelling);
	tcase_add_test(tc, the_header_wins_over_the_query);
	tcase_add_test(tc,
	    what_a_client_appends_wins_over_what_its_page_wrote);
	tcase_add_test(tc, an_empty_cursor_counts_as_absent);
	tcase_add_test(tc, who_saw_no_event_resumes_from_the_live_event);
	tcase_add_test(tc, a_cursor_survives_kill_and_restart_without_a_gap);
	tcase_add_test(tc, a_long_absence_is_caught_up_from_the_disk);
	tcase_add_test(tc, a_long_absence_is_caught_up_from_memory);
	tcase_add_test(tc, replay_gives_the_last_events_of_each_topic);
	tcase_add_test(tc, replay_gives_a_thousand_events_at_most);
	tcase_add_test(tc, since_gives_what_is_younger);
	tc = harness_case(su, "gaps", 60);
	tcase_add_test(tc, a_malformed_cursor_is_a_gap_unknown);
	tcase_add_test(tc, a_cursor_of_another_log_is_a_gap_reset);
	tcase_add_test(tc, a_wiped_store_is_a_gap_reset);
	tcase_add_test(tc, a_restored_backup_is_a_gap_reset);
	tcase_add_test(tc, too_far_behind_is_a_gap_too_far);
	tcase_add_test(tc, pruned_events_are_a_gap_expired_and_only_theirs);
	tcase_add_loop_test(tc, D9_no_hole_is_silent_while_pruning_overtakes_readers, 0,
	    3);
	return su;
}

SUITE_MAIN
