/*
 * suite.h - what every Check program here begins with.
 *
 * A program defines `static Suite *suite(void)` and ends with SUITE_MAIN.  Check's
 * own variables work: CK_FORK=no, CK_VERBOSITY, CK_RUN_CASE.
 */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/*
 * What random tests begin with: FANFARE_TEST_SEED when it is set.  Else always the
 * same, so that a run says whether the code is right and not what luck it had; before a
 * release (FANFARE_TEST_RELEASE) another each time.
 */
static inline unsigned int
suite_seed(void)
{
	const char *given = getenv("FANFARE_TEST_SEED");

	if (given != NULL)
		return (unsigned int)strtoul(given, NULL, 10);
	return getenv("FANFARE_TEST_RELEASE") == NULL ? 1 :
	    (unsigned int)(time(NULL) % 1000000);
}

/*
 * Check tells its parent of every assertion that holds, and takes time that grows with
 * their square when a test makes millions.  Ours speak up only when they fail.  (All
 * ck_assert_* end in this one.)
 */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...)					\
	((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__,	\
	    "Assertion '" #expr "' failed", ## __VA_ARGS__))

#define SUITE_MAIN							\
	int								\
	main(void)							\
	{								\
		SRunner *sr = srunner_create(suite());			\
		int failed;						\
									\
		signal(SIGPIPE, SIG_IGN);				\
		srunner_run_all(sr, CK_ENV);				\
		failed = srunner_ntests_failed(sr);			\
		srunner_free(sr);					\
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;	\
	}

#endif
