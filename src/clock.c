/*
 * clock.c - the two clocks and a random number.
 */
#include "config.h"

#include "clock.h"

#include <sys/random.h>

#include <assert.h>
#include <stdlib.h>
#include <time.h>

static int64_t
clock_read_ms(clockid_t which)
{
	struct timespec ts;

	/* Fails for an unknown clock only. */
	if (clock_gettime(which, &ts) == -1)
		abort();
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_mono_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_mono_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		abort();
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	return clock_read_ms(CLOCK_REALTIME);
}

uint64_t
clock_random(uint64_t n)
{
	uint64_t r;

	assert(n > 0);
	/* Eight bytes never come in part, and after boot never block. */
	if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		abort();
	return r % n;
}
