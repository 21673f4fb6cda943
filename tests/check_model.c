/*
 * check_model.c - rounds of dice: the stream machine against a model of what is owed.
 *
 * FANFARE_TEST_SEED=N plays round N alone, again and again: the engine's threads run as
 * they like, so the first time need not fail.  A failure names its round.
 * Built twice: check_model_long takes the time that make check has not.
 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "harness.h"
#include "model_engine.h"

#define STEPS		1000
#ifdef MODEL_LONG
#define SECONDS		size_of_run(40, 7200)
#define MANY_STEPS	(4 * STEPS)
#else
#define SECONDS		4
#define MANY_STEPS	STEPS
#endif

START_TEST(D6_whoever_connects_stalls_and_returns_gets_what_is_owed)
{
	int given = setting("FANFARE_TEST_SEED", 0), n = 0;
	unsigned int seed = given != 0 ? (unsigned int)given : suite_seed() * 1000;
	int64_t until = now_ms() + SECONDS * 1000;

	printf("rounds from FANFARE_TEST_SEED=%u\n", seed);
	fflush(stdout);
	for (; n == 0 || now_ms() < until; n++, seed += given == 0)
		engine_round(seed, seed % 4 == 3 ? MANY_STEPS : STEPS, patience(20000));
	printf("%d rounds: ", n);
	/* A short run may be poor. */
	engine_report(n >= 40 && given == 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("model");
	TCase *t = tcase_create("rounds");

	tcase_add_checked_fixture(t, NULL, engine_clean);
	tcase_set_timeout(t, 2 * SECONDS + 200);
	tcase_add_test(t, D6_whoever_connects_stalls_and_returns_gets_what_is_owed);
	suite_add_tcase(s, t);
	return s;
}

SUITE_MAIN
