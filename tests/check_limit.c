/*
 * check_limit.c - limit.h: nobody is faster than allowed, or made to wait for longer than
 * said, whatever the clock, the numbers and the crowd.
 */
#include "config.h"

#include <string.h>

#include "limit.h"
#include "suite.h"

#define SECOND	INT64_C(1000000)
#define START	(3600 * SECOND)		/* the machine has been up for an hour */

static uint64_t state = 88172645463325252u;

static uint64_t
rnd(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

/* ---- one bucket ---- */

START_TEST(a_full_bucket_gives_its_burst_and_then_its_rate)
{
	struct limit_rule r = limit_rule(5, 10);
	struct limit_bucket b = { 0 };
	int64_t now = START;

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(limit_wait(&b, &r, 1, now), 0);
		limit_spend(&b, &r, 1, now);
	}
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(limit_wait(&b, &r, 1, now), SECOND / 5);
		ck_assert_int_eq(limit_wait(&b, &r, 1, now + SECOND / 5 - 1), 1);
		now += SECOND / 5;
		ck_assert_int_eq(limit_wait(&b, &r, 1, now), 0);
		limit_spend(&b, &r, 1, now);
	}
	/* Two seconds later it is full, and an hour later no fuller. */
	now += 3600 * SECOND;
	ck_assert_int_eq(limit_wait(&b, &r, 10, now), 0);
	limit_spend(&b, &r, 10, now);
	ck_assert_int_eq(limit_wait(&b, &r, 1, now), SECOND / 5);
	ck_assert_int_eq(limit_wait(&b, &r, 10, now), 2 * SECOND);
}
END_TEST

START_TEST(more_than_the_burst_is_never_possible)
{
	struct limit_rule r = limit_rule(5, 10);
	struct limit_bucket b = { 0 };

	ck_assert_int_eq(limit_wait(&b, &r, 10, START), 0);
	ck_assert_int_eq(limit_wait(&b, &r, 11, START), -1);
	ck_assert_int_eq(limit_wait(&b, &r, UINT64_MAX, START), -1);
	r = limit_rule(5, 0);
	ck_assert_uint_eq(r.burst, 1);
	ck_assert_int_eq(limit_wait(&b, &r, 1, START), 0);
}
END_TEST

/* The rate as it is configured, or a claim has it. */
static const double rates[] = { 1e-9, 1e-6, 0.001, 1.0 / 86400, 0.1, 0.3, 1, 3, 7, 1000,
	300000, 999999, 1e6, 1e9, 1e300 };
#define RATES	(sizeof rates / sizeof *rates)

START_TEST(in_no_span_is_more_taken_than_burst_and_rate_allow)
{
	struct limit_rule r = limit_rule(rates[_i], 50);
	double rate = rates[_i] < LIMIT_RATE_MIN ? LIMIT_RATE_MIN : rates[_i], taken = 0,
	    most;
	struct limit_bucket b = { 0 };
	int64_t now = START, wait;
	uint64_t n;

	for (int i = 0; i < 20000; i++) {
		n = 1 + rnd(50);
		wait = limit_wait(&b, &r, n, now);
		ck_assert_int_ge(wait, 0);
		if (wait > 0 && rnd(2) == 0) {
			/* Not a microsecond sooner. */
			ck_assert_int_gt(limit_wait(&b, &r, n, now + wait - 1), 0);
			now += wait;
			wait = limit_wait(&b, &r, n, now);
			ck_assert_int_eq(wait, 0);
		}
		if (wait == 0) {
			limit_spend(&b, &r, n, now);
			taken += (double)n;
		}
		most = 50 + rate * (double)(now - START) / 1e6;
		ck_assert_msg(taken <= most + 1e-6 * most, "%g taken of %g", taken, most);
		now += (int64_t)rnd(4) * (int64_t)rnd(10000);
		if (now > START + (INT64_C(1) << 50))
			break;		/* 35 years of a slow rate */
	}
}
END_TEST

START_TEST(who_comes_as_soon_as_told_gets_all_of_the_rate)
{
	struct limit_rule r = limit_rule(rates[_i], 4);
	double rate = rates[_i] < LIMIT_RATE_MIN ? LIMIT_RATE_MIN : rates[_i], span;
	struct limit_bucket b = { 0 };
	int64_t now = START, wait;
	int n;

	for (n = 0; n < 100000 && now < START + (INT64_C(1) << 50); n++) {
		wait = limit_wait(&b, &r, 1, now);
		ck_assert_int_ge(wait, 0);
		now += wait;
		limit_spend(&b, &r, 1, now);
	}
	/* A wait is whole microseconds, a cost whole nanoseconds; no drift beside. */
	span = (double)(n - 4) / (rate > 1e6 ? 1e6 : rate);
	ck_assert_msg((double)(now - START) / 1e6 <= span * 1.002 + 1e-6, "%d in %g s "
	    "instead of %g", n, (double)(now - START) / 1e6, span);
}
END_TEST

START_TEST(no_number_overflows)
{
	struct limit_bucket b = { 0 };
	struct limit_rule r = limit_rule(1e-300, UINT64_MAX);
	int64_t late = INT64_C(100) * 365 * 86400 * SECOND;

	ck_assert_uint_ge(r.burst, 1);
	ck_assert_int_eq(limit_wait(&b, &r, r.burst, late), 0);
	limit_spend(&b, &r, r.burst, late);
	ck_assert_int_gt(b.full_ns, 0);
	ck_assert_int_gt(limit_wait(&b, &r, r.burst, late), 0);
	ck_assert_int_gt(limit_wait(&b, &r, 1, late), 0);
	b.full_ns = 0;
	r = limit_rule(1e300, UINT64_MAX);
	limit_spend(&b, &r, r.burst, late);
	ck_assert_int_gt(b.full_ns, 0);
	ck_assert_int_gt(limit_wait(&b, &r, r.burst, late), 0);
}
END_TEST

START_TEST(what_is_given_back_may_be_taken_again_and_no_more)
{
	struct limit_rule r = limit_rule(1, 3);
	struct limit_bucket b = { 0 };

	limit_spend(&b, &r, 3, START);
	limit_return(&b, &r, 2);
	ck_assert_int_eq(limit_wait(&b, &r, 2, START), 0);
	ck_assert_int_gt(limit_wait(&b, &r, 3, START), 0);
	/* Long after: it is full, not fuller. */
	limit_return(&b, &r, 3);
	ck_assert_int_eq(limit_wait(&b, &r, 3, START + SECOND), 0);
	limit_spend(&b, &r, 3, START + SECOND);
	ck_assert_int_eq(limit_wait(&b, &r, 1, START + SECOND), SECOND);
}
END_TEST

/* ---- many ---- */

START_TEST(each_has_a_bucket_of_its_own)
{
	struct limit *l = limit_new(100);
	struct limit_rule r = limit_rule(1, 2), slow = limit_rule(0.5, 2);

	for (uint64_t who = 0; who < 50; who++) {
		ck_assert_int_eq(limit_ask(l, who, &r, 2, START), 0);
		ck_assert_int_eq(limit_take(l, who, &r, 2, START), 0);
		ck_assert_int_eq(limit_ask(l, who, &r, 1, START), SECOND);
	}
	/* One for each rule, too. */
	ck_assert_int_eq(limit_ask(l, 7, &slow, 2, START), 0);
	ck_assert_int_eq(limit_take(l, 7, &slow, 2, START), 0);
	ck_assert_int_eq(limit_ask(l, 7, &slow, 1, START), 2 * SECOND);
	ck_assert_int_eq(limit_ask(l, 7, &r, 1, START), SECOND);
	limit_give(l, 7, &r, 1);
	ck_assert_int_eq(limit_ask(l, 7, &r, 1, START), 0);
	limit_give(l, 1000, &r, 1);	/* nobody's */
	ck_assert_uint_eq(limit_count(l), 51);
	limit_free(l);
}
END_TEST

START_TEST(asking_takes_nothing)
{
	struct limit *l = limit_new(10);
	struct limit_rule r = limit_rule(1, 1);

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(limit_ask(l, (uint64_t)i, &r, 1, START), 0);
	ck_assert_uint_eq(limit_count(l), 0);
	/* Nor does taking none. */
	ck_assert_int_eq(limit_take(l, 7, &r, 0, START), 0);
	ck_assert_uint_eq(limit_count(l), 0);
	ck_assert_int_eq(limit_ask(l, 7, &r, 1, START), 0);
	limit_free(l);
}
END_TEST

START_TEST(full_buckets_make_room_first_and_are_forgotten)
{
	struct limit *l = limit_new(8);
	struct limit_rule r = limit_rule(1, 1000);

	ck_assert_int_eq(limit_take(l, 99, &r, 1000, START), 0);
	for (uint64_t who = 0; who < 7; who++)
		ck_assert_int_eq(limit_take(l, who, &r, 1, START), 0);
	ck_assert_uint_eq(limit_count(l), 8);
	/* 100 s later the seven are full: a thousand others, one after the other, each
	 * of them full soon, put out none but those. */
	for (uint64_t who = 1000; who < 1900; who++) {
		int64_t now = START + (int64_t)(who - 900) * SECOND;

		ck_assert_int_eq(limit_ask(l, who, &r, 1000, now), 0);
		ck_assert_int_eq(limit_take(l, who, &r, 1, now), 0);
		ck_assert_uint_le(limit_count(l), 8);
		ck_assert_int_gt(limit_ask(l, 99, &r, 1000, now), 0);
	}
	/* And a quiet table is a small one. */
	ck_assert_uint_le(limit_count(l), 3);
	limit_free(l);
}
END_TEST

/* Ten thousand names in a table of a hundred, all of them greedy: however they take
 * turns, each one is held to its rate, and the one that is drained stays so. */
START_TEST(a_crowd_of_names_resets_nobodys_bucket)
{
	enum { NAMES = 10000, ROOM = 100 };
	static double taken[NAMES];
	struct limit *l = limit_new(ROOM);
	struct limit_rule r = limit_rule(0.01, 5);
	int64_t now = START;
	uint64_t who, all = 0;

	memset(taken, 0, sizeof(taken));
	for (int i = 0; i < 300000; i++) {
		who = rnd(4) == 0 ? 17 : rnd(NAMES);
		now += (int64_t)rnd(1000);
		if (limit_ask(l, who, &r, 1, now) != 0)
			continue;
		ck_assert_int_eq(limit_take(l, who, &r, 1, now), 0);
		taken[who]++;
		all++;
		ck_assert_uint_le(limit_count(l), ROOM);
		ck_assert_msg(taken[who] <= 5 + 0.01 * (double)(now - START) / 1e6 + 1e-6,
		    "%d has taken %g in %g s", (int)who, taken[who],
		    (double)(now - START) / 1e6);
	}
	ck_assert_uint_gt(all, ROOM * 5);	/* the crowd did press */
	limit_free(l);
}
END_TEST

START_TEST(a_newcomer_in_a_crowd_waits_no_longer_than_the_least_debt)
{
	struct limit *l = limit_new(10);
	struct limit_rule r = limit_rule(1, 10);

	for (uint64_t who = 0; who < 10; who++)
		ck_assert_int_eq(limit_take(l, who, &r, 3 + who % 8, START), 0);
	/* The least is 3 of 10: seven are left, for the eighth a second is to pass. */
	ck_assert_int_eq(limit_ask(l, 77, &r, 7, START), 0);
	ck_assert_int_eq(limit_ask(l, 77, &r, 8, START), SECOND);
	ck_assert_int_eq(limit_take(l, 77, &r, 7, START), 0);
	ck_assert_int_eq(limit_ask(l, 77, &r, 1, START), SECOND);
	ck_assert_uint_eq(limit_count(l), 10);
	limit_free(l);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("limit");
	TCase *tc = tcase_create("limit");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_full_bucket_gives_its_burst_and_then_its_rate);
	tcase_add_test(tc, more_than_the_burst_is_never_possible);
	tcase_add_loop_test(tc, in_no_span_is_more_taken_than_burst_and_rate_allow, 0,
	    RATES);
	tcase_add_loop_test(tc, who_comes_as_soon_as_told_gets_all_of_the_rate, 0, RATES);
	tcase_add_test(tc, no_number_overflows);
	tcase_add_test(tc, what_is_given_back_may_be_taken_again_and_no_more);
	tcase_add_test(tc, each_has_a_bucket_of_its_own);
	tcase_add_test(tc, asking_takes_nothing);
	tcase_add_test(tc, full_buckets_make_room_first_and_are_forgotten);
	tcase_add_test(tc, a_crowd_of_names_resets_nobodys_bucket);
	tcase_add_test(tc, a_newcomer_in_a_crowd_waits_no_longer_than_the_least_debt);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
