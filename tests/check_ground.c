/*
 * check_ground.c - map, mailbox, frame: what everything else stands on.
 */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "mailbox.h"
#include "map.h"
#include "suite.h"

/* --- map --- */

START_TEST(a_map_holds_what_was_put_and_not_deleted)
{
	enum { N = 5000 };
	static char keys[N][24];
	static int values[N];
	struct map *m = map_new();
	unsigned int state = 1;
	char there[N] = { 0 };
	size_t count = 0;

	for (int i = 0; i < N; i++)
		snprintf(keys[i], sizeof(keys[i]), "topic/%d", i);
	/* A random walk of puts and deletes, checked against an array. */
	for (int step = 0; step < 100000; step++) {
		state = state * 1103515245u + 12345u;
		int i = (int)((state >> 8) % N);

		if (state & 0x4000) {
			ck_assert_int_eq(map_put(m, keys[i], strlen(keys[i]),
			    &values[i]), 0);
			count += !there[i];
			there[i] = 1;
		} else {
			ck_assert_ptr_eq(map_del(m, keys[i], strlen(keys[i])),
			    there[i] ? &values[i] : NULL);
			count -= (size_t)there[i];
			there[i] = 0;
		}
		ck_assert_uint_eq(map_count(m), count);
	}
	for (int i = 0; i < N; i++)
		ck_assert_ptr_eq(map_get(m, keys[i], strlen(keys[i])),
		    there[i] ? &values[i] : NULL);
	size_t walked = 0;
	for (size_t pos = 0; map_next(m, &pos) != NULL;)
		walked++;
	ck_assert_uint_eq(walked, count);
	map_free(m);
}
END_TEST

START_TEST(keys_that_differ_in_length_or_a_nul_are_different_keys)
{
	struct map *m = map_new();
	int a, b, c;

	ck_assert_int_eq(map_put(m, "ab", 2, &a), 0);
	ck_assert_int_eq(map_put(m, "ab\0", 3, &b), 0);
	ck_assert_int_eq(map_put(m, "", 0, &c), 0);
	ck_assert_ptr_eq(map_get(m, "ab", 2), &a);
	ck_assert_ptr_eq(map_get(m, "ab\0", 3), &b);
	ck_assert_ptr_eq(map_get(m, "", 0), &c);
	ck_assert_ptr_null(map_get(m, "a", 1));
	map_free(m);
}
END_TEST

/* --- mailbox --- */

struct numbered {
	struct msg	msg;
	int		from, n;
};

enum { POSTERS = 4, EACH = 20000 };

struct poster {
	struct mailbox	*box;
	struct numbered	*mail;
};

static void *
post_all(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < EACH; i++)
		mailbox_post(p->box, &p->mail[i].msg, i % 3 == 0 || i == EACH - 1);
	return NULL;
}

START_TEST(nothing_posted_is_lost_and_each_sender_keeps_its_order)
{
	struct mailbox *box = mailbox_new();
	static struct numbered mail[POSTERS][EACH];
	struct poster posters[POSTERS];
	pthread_t threads[POSTERS];
	int next[POSTERS] = { 0 }, got = 0;

	for (int t = 0; t < POSTERS; t++) {
		posters[t] = (struct poster){ box, mail[t] };
		for (int i = 0; i < EACH; i++) {
			mail[t][i].from = t;
			mail[t][i].n = i;
			mail[t][i].msg.bytes = 10;
		}
		ck_assert_int_eq(pthread_create(&threads[t], NULL, post_all,
		    &posters[t]), 0);
	}
	while (got < POSTERS * EACH) {
		struct pollfd pfd = { .fd = mailbox_fd(box), .events = POLLIN };
		struct msg *next_msg;

		/* The owner sleeps until woken: a lost wake-up ends here. */
		ck_assert_int_eq(poll(&pfd, 1, 5000), 1);
		for (struct msg *m = mailbox_take(box); m != NULL; m = next_msg) {
			struct numbered *n = (struct numbered *)m;

			next_msg = m->next;
			ck_assert_int_eq(n->n, next[n->from]++);
			got++;
		}
	}
	for (int t = 0; t < POSTERS; t++)
		pthread_join(threads[t], NULL);
	(void)mailbox_take(box);
	ck_assert_uint_eq(mailbox_bytes(box), 0);
	mailbox_free(box);
}
END_TEST

START_TEST(a_quiet_post_waits_and_a_loud_one_wakes_for_both)
{
	struct mailbox *box = mailbox_new();
	struct pollfd pfd = { .fd = mailbox_fd(box), .events = POLLIN };
	struct numbered a = { 0 }, b = { 0 };

	mailbox_post(box, &a.msg, false);
	ck_assert_int_eq(poll(&pfd, 1, 0), 0);
	mailbox_post(box, &b.msg, true);
	ck_assert_int_eq(poll(&pfd, 1, 0), 1);
	struct msg *m = mailbox_take(box);
	ck_assert_ptr_eq(m, &a.msg);
	ck_assert_ptr_eq(m->next, &b.msg);
	ck_assert_int_eq(poll(&pfd, 1, 0), 0);
	mailbox_free(box);
}
END_TEST

/* --- frame --- */

static const struct {
	const char	*name, *data;
	unsigned int	 flags;
	const char	*raw, *envelope;
} frames[] = {
	{ NULL, "Goal!", 0,
	  "id: 0000002a-7\ndata: Goal!\n\n",
	  "id: 0000002a-7\ndata: {\"id\":\"0000002a-7\",\"topic\":\"a/b\","
	  "\"event\":null,\"time\":\"1970-01-01T00:00:01.234Z\","
	  "\"data\":\"Goal!\"}\n\n" },
	{ "goal", "{\"n\":1.0e5}", EVENT_JSON,
	  "id: 0000002a-7\nevent: goal\ndata: {\"n\":1.0e5}\n\n",
	  "id: 0000002a-7\ndata: {\"id\":\"0000002a-7\",\"topic\":\"a/b\","
	  "\"event\":\"goal\",\"time\":\"1970-01-01T00:00:01.234Z\","
	  "\"data\":{\"n\":1.0e5}}\n\n" },
	{ NULL, "one\r\ntwo\rthree\n", 0,
	  "id: 0000002a-7\ndata: one\ndata: two\ndata: three\ndata: \n\n",
	  "id: 0000002a-7\ndata: {\"id\":\"0000002a-7\",\"topic\":\"a/b\","
	  "\"event\":null,\"time\":\"1970-01-01T00:00:01.234Z\","
	  "\"data\":\"one\\r\\ntwo\\rthree\\n\"}\n\n" },
	{ NULL, "", 0, "id: 0000002a-7\ndata: \n\n",
	  "id: 0000002a-7\ndata: {\"id\":\"0000002a-7\",\"topic\":\"a/b\","
	  "\"event\":null,\"time\":\"1970-01-01T00:00:01.234Z\",\"data\":\"\"}\n\n" },
};

START_TEST(a_frame_is_the_event_in_both_formats_and_keeps_what_was_published)
{
	const char *name = frames[_i].name, *data = frames[_i].data;
	struct frame *f = frame_new("a/b", 3, name, name ? strlen(name) : 0, data,
	    strlen(data), frames[_i].flags);
	const struct frame_text *t;

	/* Numbered in vain first, as when a commit fails. */
	frame_stamp(f, (struct event_id){ 0xffffffff, 123456789 }, 5, 1, 1);
	frame_stamp(f, (struct event_id){ 0x2a, 7 }, 6, 2, 1234);
	ck_assert_uint_eq(f->raw_len, strlen(frames[_i].raw));
	ck_assert_mem_eq(f->raw, frames[_i].raw, f->raw_len);
	ck_assert_uint_eq(f->data_len, strlen(data));
	if (f->data_len > 0)
		ck_assert_mem_eq(f->data, data, f->data_len);
	ck_assert_str_eq(f->topic, "a/b");
	ck_assert_uint_eq(f->prev, 6);
	t = frame_envelope(f);
	ck_assert_uint_eq(t->len, strlen(frames[_i].envelope));
	ck_assert_mem_eq(t->p, frames[_i].envelope, t->len);
	ck_assert_ptr_eq(frame_envelope(f), t);
	frame_unref(f);
}
END_TEST

START_TEST(a_charged_frame_pays_for_its_envelope_too)
{
	struct frame_budget b = { 0 };
	struct frame *f = frame_new("t", 1, NULL, 0, "x", 1, 0);
	size_t bytes = f->bytes, len;

	frame_stamp(f, (struct event_id){ 1, 1 }, 0, 1, 0);
	frame_charge(f, &b);
	ck_assert_uint_eq(b.bytes, bytes);
	len = frame_envelope(f)->len;
	ck_assert_uint_eq(b.bytes, bytes + len);
	if (_i == 1) {
		frame_uncharge(f);
		ck_assert_uint_eq(b.bytes, 0);
	}
	frame_unref(f);
	ck_assert_uint_eq(b.bytes, 0);
}
END_TEST

START_TEST(the_longest_id_fits_in_front_of_a_frame)
{
	struct frame *f = frame_new("t", 1, NULL, 0, "x", 1, 0);
	const char *want = "id: ffffffff-9223372036854775807\ndata: x\n\n";

	frame_stamp(f, (struct event_id){ 0xffffffff, INT64_MAX }, 0, 1, 0);
	ck_assert_uint_eq(f->raw_len, strlen(want));
	ck_assert_mem_eq(f->raw, want, f->raw_len);
	frame_unref(f);
}
END_TEST

START_TEST(a_budget_counts_frames_until_the_last_reference_goes)
{
	struct frame_budget b = { 0 };
	struct frame *f = frame_new("t", 1, NULL, 0, "x", 1, 0);

	frame_charge(f, &b);
	ck_assert_uint_eq(b.bytes, f->bytes);
	frame_ref(f);
	frame_unref(f);
	ck_assert_uint_gt(b.bytes, 0);
	frame_unref(f);
	ck_assert_uint_eq(b.bytes, 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("ground");
	TCase *t = tcase_create("map");

	tcase_add_test(t, a_map_holds_what_was_put_and_not_deleted);
	tcase_add_test(t, keys_that_differ_in_length_or_a_nul_are_different_keys);
	suite_add_tcase(s, t);
	t = tcase_create("mailbox");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, nothing_posted_is_lost_and_each_sender_keeps_its_order);
	tcase_add_test(t, a_quiet_post_waits_and_a_loud_one_wakes_for_both);
	suite_add_tcase(s, t);
	t = tcase_create("frame");
	tcase_add_loop_test(t,
	    a_frame_is_the_event_in_both_formats_and_keeps_what_was_published, 0,
	    (int)(sizeof(frames) / sizeof(frames[0])));
	tcase_add_loop_test(t, a_charged_frame_pays_for_its_envelope_too, 0, 2);
	tcase_add_test(t, the_longest_id_fits_in_front_of_a_frame);
	tcase_add_test(t, a_budget_counts_frames_until_the_last_reference_goes);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
