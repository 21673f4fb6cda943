/*
 * check_walk.c - walk.h: streams that leave while a walk is under way, wherever it stands,
 * and those that come.  Whoever has left is overwritten, so that a walk that still holds
 * on to one fails without a sanitizer too.
 */
#include "config.h"

#include "walk.h"

#include <string.h>

#include "suite.h"

#define CROWD	3000		/* several pieces */

struct rig {
	struct walks		 walks;
	struct stream_env	 env;
	struct stream_list	 all;
	uint64_t		 number;
	size_t			 left;		/* streams that are there */
};

static void
come(struct rig *r, size_t n)
{
	struct stream *s;

	for (size_t i = 0; i < n; i++) {
		s = calloc(1, sizeof(*s));
		ck_assert_ptr_nonnull(s);
		s->state = STREAM_LIVE;
		s->number = ++r->number;
		s->who = stream_who_new("42", NULL, "auth");
		ck_assert_ptr_nonnull(s->who);
		TAILQ_INSERT_TAIL(&r->all, s, all);
		r->left++;
	}
}

/* As the shard does it. */
static void
leave(struct rig *r, struct stream *s)
{
	walks_skip(&r->walks, s);
	TAILQ_REMOVE(&r->all, s, all);
	free(s->who);
	memset(s, 0xff, sizeof(*s));
	free(s);
	r->left--;
}

/* In place: the heads of its lists point into it. */
static void
begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	walks_init(&r->walks);
	TAILQ_INIT(&r->all);
}

static void
end(struct rig *r)
{
	while (!TAILQ_EMPTY(&r->all))
		leave(r, TAILQ_FIRST(&r->all));
	walks_fini(&r->walks);
}

static void
done(struct walk *w)
{
	*(bool *)w->owner = true;
}

/* It only counts: there is no room for rows. */
static struct walk *
walk_for(struct rig *r, bool *is_done, const char *sub)
{
	struct walk *w = walk_new(1);

	ck_assert_ptr_nonnull(w);
	w->sub = sub;
	w->owner = is_done;
	w->done = done;
	*is_done = false;
	walks_begin(&r->walks, walk_part_of(w, 0), r->number);
	return w;
}

static void
step(struct rig *r)
{
	walks_step(&r->walks, &r->env, &r->all);
}

START_TEST(streams_leave_where_the_walk_stands_before_it_and_behind_it)
{
	struct rig r;
	size_t behind = 0, gone = 0;
	struct stream *s, *next;
	struct walk *w;
	bool is_done;

	begin(&r);
	come(&r, CROWD);
	w = walk_for(&r, &is_done, "42");
	while (!is_done) {
		step(&r);
		if (r.walks.at == NULL)
			continue;
		/* Those that it comes to next, the last of all, the first of all. */
		for (int i = 0; i < 3 && (s = r.walks.at) != NULL; i++) {
			next = TAILQ_NEXT(s, all);
			leave(&r, s);
			ck_assert_ptr_eq(r.walks.at, next);
			gone++;
		}
		if (r.walks.at != NULL) {
			s = TAILQ_LAST(&r.all, stream_list);
			gone += s->number <= CROWD;
			leave(&r, s);
		}
		if (TAILQ_FIRST(&r.all) != r.walks.at) {
			leave(&r, TAILQ_FIRST(&r.all));
			behind++;
		}
		come(&r, 2);			/* which it must not see */
	}
	ck_assert_uint_ge(behind, 2);
	ck_assert_uint_eq(walk_count(w), CROWD - gone);
	walk_free(w);
	end(&r);
}
END_TEST

START_TEST(all_streams_leave_while_a_walk_is_under_way)
{
	struct rig r;
	struct walk *w;
	bool is_done;

	begin(&r);
	come(&r, CROWD);
	w = walk_for(&r, &is_done, "42");
	step(&r);
	ck_assert(!is_done && r.walks.at != NULL);
	while (!TAILQ_EMPTY(&r.all))
		leave(&r, TAILQ_FIRST(&r.all));
	ck_assert_ptr_null(r.walks.at);
	come(&r, 10);
	step(&r);
	ck_assert(is_done);
	ck_assert_uint_gt(walk_count(w), 0);
	ck_assert_uint_lt(walk_count(w), CROWD);
	walk_free(w);
	end(&r);
}
END_TEST

START_TEST(walks_gather_while_one_is_under_way_and_each_sees_its_own)
{
	struct rig r;
	struct walk *w[3];
	bool is_done[3];

	begin(&r);
	come(&r, CROWD);
	w[0] = walk_for(&r, &is_done[0], "42");
	step(&r);
	come(&r, 5);
	w[1] = walk_for(&r, &is_done[1], "42");
	w[2] = walk_for(&r, &is_done[2], "4");
	come(&r, 7);
	while (!is_done[0]) {
		ck_assert(!is_done[1] && !is_done[2]);
		step(&r);
	}
	while (!is_done[1])
		step(&r);
	ck_assert(is_done[2] && walks_idle(&r.walks));
	ck_assert_uint_eq(walk_count(w[0]), CROWD);
	ck_assert_uint_eq(walk_count(w[1]), CROWD + 5);
	ck_assert_uint_eq(walk_count(w[2]), 0);
	for (int i = 0; i < 3; i++)
		walk_free(w[i]);
	/* One that its shard does not live to make is freed, and told to nobody. */
	(void)walk_for(&r, &is_done[0], "42");
	step(&r);
	(void)walk_for(&r, &is_done[1], "42");
	end(&r);
	ck_assert(!is_done[0] && !is_done[1]);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("walk");
	TCase *tc = tcase_create("walk");

	tcase_add_test(tc, streams_leave_where_the_walk_stands_before_it_and_behind_it);
	tcase_add_test(tc, all_streams_leave_while_a_walk_is_under_way);
	tcase_add_test(tc, walks_gather_while_one_is_under_way_and_each_sees_its_own);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
