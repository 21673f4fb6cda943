/*
 * fault_control.c - the page that test and server share, and the way to the library.
 */
#include "config.h"

#include "fault_control.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

struct fault_control *faults;

static const char *const names[FAULT_COUNT] = {
#define X(id, name, err) [FAULT_##id] = name,
	FAULT_CLASSES(X)
#undef X
};

const char *
fault_name(enum fault_class class)
{
	return names[class];
}

/* It is built beside the programs of the tests. */
static char *
library(void)
{
	const char *bin = getenv("FANFARE_BIN"), *slash;
	char *path, *whole;

	if (bin == NULL || *bin == '\0')
		bin = "./fanfare";
	slash = strrchr(bin, '/');
	path = fmt("%.*s/tests/fault_preload.so", slash == NULL ? 1 :
	    (int)(slash - bin), slash == NULL ? "." : bin);
	if ((whole = realpath(path, NULL)) == NULL)
		return NULL;
	return keep(whole, free);
}

#ifndef __has_feature
#define __has_feature(x)	0
#endif

bool
faults_possible(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	left_out("a sanitizer has the memory and the calls that would fail");
	return false;
#else
	if (library() == NULL) {
		ck_assert_msg(setting("FANFARE_TEST_ALL", 0) == 0,
		    "tests/fault_preload.so is not built");
		left_out("tests/fault_preload.so is not built");
		return false;
	}
	return true;
#endif
}

static void
faults_end(void *p)
{
	unsetenv("LD_PRELOAD");
	unsetenv("FAULT_CONTROL");
	munmap(p, sizeof *faults);
	faults = NULL;
}

void
faults_begin(void)
{
	char *path = fmt("%s/faults", test_dir());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof *faults), 0);
	p = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	close(fd);
	faults = keep(p, faults_end);
	faults->armed = -1;
	setenv("LD_PRELOAD", library(), 1);
	setenv("FAULT_CONTROL", path, 1);
}

void
faults_arm(enum fault_class class, int64_t nth, int64_t times)
{
	faults->armed = -1;
	faults->fired = 0;
	faults->times = times;
	faults->left = nth;
	faults->site[0] = '\0';
	faults->armed = (int)class;
}

int64_t
faults_disarm(void)
{
	faults->armed = -1;
	return faults->fired;
}
