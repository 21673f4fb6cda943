/*
 * check_model.c - rounds of dice: the stream machine against a model of what is owed.
 *
 * FANFARE_TEST_SEED=N plays the rounds N, N + 1, ...; a failure names its own, so that
 * it comes first.  Built twice: check_model_long takes the time that make check has not.
 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "harness.h"
#include "model_engine.h"

#ifdef MODEL_LONG
#define SECONDS		size_of_run(40, 7200)
#define LONG_ROUND	10000
#else
#define SECONDS		4
#define LONG_ROUND	1000
#endif

START_TEST(D6_whoever_connects_stalls_and_returns_gets_what_is_owed)
{
	unsigned int seed = (unsigned int)setting("FANFARE_TEST_SEED",
	    (int)(time(NULL) % 1000000) * 1000);
	int64_t until = now_ms() + SECONDS * 1000;
	int n = 0;

	printf("rounds from FANFARE_TEST_SEED=%u\n", seed);
	fflush(stdout);
	for (; n == 0 || now_ms() < until; n++)
		engine_round(seed + (unsigned int)n,
		    (seed + (unsigned int)n) % 4 == 3 ? LONG_ROUND : 1000, patience(20000));
	printf("%d rounds: ", n);
	/* A short run may be poor. */
	engine_report(n >= 40);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("model");
	TCase *t = tcase_create("rounds");

	tcase_add_checked_fixture(t, NULL, engine_clean);
	tcase_set_timeout(t, 10800);
	tcase_add_test(t, D6_whoever_connects_stalls_and_returns_gets_what_is_owed);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
