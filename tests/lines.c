/*
 * lines.c - events as lines of JSON, for import.
 */
#include "config.h"

#include "lines.h"

#include <stdio.h>

#include "harness.h"

char *
lines_file(int n)
{
	char *path = fmt("%s/lines", test_dir());
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	for (int i = 1; i <= n; i++)
		fprintf(f, i % 3 == 0 ? "{\"topic\":\"t/%d\",\"event\":\"tick\",\"time\":"
		    "\"2026-06-11T19:00:%02d.%03dZ\",\"data\":{\"n\":%d}}\n" :
		    "{\"topic\":\"t/%d\",\"event\":null,\"time\":"
		    "\"2026-06-11T19:00:%02d.%03dZ\",\"data\":\"number %d\"}\n", i % 7,
		    i / 1000 % 60, i % 1000, i);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}
