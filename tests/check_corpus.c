/*
 * check_corpus.c - everything that the fuzzers have found worth keeping, once more:
 * tests/fuzz/corpus/NAME through fuzz_NAME.c.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "suite.h"

#define HARNESSES(X)							\
	X(conf) X(forwarded) X(guard) X(json) X(jwks) X(origin) X(publish)	\
	X(query)								\
	X(request) X(sse) X(text) X(token) X(topic)

#define X(name)	int fuzz_##name(const uint8_t *, size_t);
HARNESSES(X)
#undef X

static const struct harness {
	const char	*name;
	int		(*run)(const uint8_t *, size_t);
} harnesses[] = {
#define X(name)	{ #name, fuzz_##name },
	HARNESSES(X)
#undef X
};

/* Inputs are small: see contrib/test. */
static size_t
slurp(const char *path, uint8_t *p, size_t size)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	n = fread(p, 1, size, f);
	ck_assert_msg(n < size, "%s is too large", path);
	(void)fclose(f);
	return n;
}

START_TEST(F1_no_input_that_was_ever_kept_finds_a_fault)
{
	static uint8_t bytes[1 << 20];
	const struct harness *h = &harnesses[_i];
	const char *src = getenv("srcdir");
	char dir[1024], path[2048];
	struct dirent *e;
	size_t len;
	int n = 0;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s",
	    src != NULL ? src : "..", h->name);
	ck_assert_msg((d = opendir(dir)) != NULL, "%s: %s", dir, strerror(errno));
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		len = slurp(path, bytes, sizeof(bytes));
		(void)h->run(bytes, len);
		n++;
	}
	(void)closedir(d);
	ck_assert_msg(n > 0, "%s is empty", dir);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("corpus");
	TCase *tc = tcase_create("corpus");

	log_init(LOG_ERROR, false);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, F1_no_input_that_was_ever_kept_finds_a_fault, 0,
	    (int)(sizeof(harnesses) / sizeof(harnesses[0])));
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
