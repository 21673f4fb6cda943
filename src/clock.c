/*
 * clock.c - the two clocks and a random number.
 */
#include "config.h"

#include "clock.h"

#include <sys/auxv.h>
#include <sys/random.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
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
	clock_draw(&r, sizeof(r));
	return r % n;
}

/* Where a sandbox forbids the call there are still the bytes that the kernel gave the
 * process at its start; mixed with the time they are good enough for all but keys. */
void
clock_draw(void *p, size_t len)
{
	static _Atomic(uint64_t) drawn;
	const void *given;
	unsigned char *at = p;
	uint64_t x[2], z;

	/* So few never come in part, and after boot never block. */
	if (getrandom(p, len, 0) == (ssize_t)len)
		return;
	if ((given = (const void *)getauxval(AT_RANDOM)) == NULL)
		abort();
	memcpy(x, given, sizeof(x));
	for (size_t i = 0; i < len; i++) {
		z = x[i & 1] + (uint64_t)clock_mono_us() + ++drawn * 0x9e3779b97f4a7c15u;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		at[i] = (unsigned char)(z >> 56);
	}
}
