/*
 * clock.h - what time it is.  Any thread.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

int64_t	clock_mono_ms(void);	/* never jumps; for intervals */
int64_t	clock_mono_us(void);
int64_t	clock_wall_ms(void);	/* since 1970; for tokens, retention, stamps */

/* A random number below `n` (n > 0); good enough for jitter and epochs, from the
 * kernel's generator. */
uint64_t clock_random(uint64_t n);

#endif
