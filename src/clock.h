/*
 * clock.h - what time it is.  Any thread.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t	clock_mono_ms(void);	/* never jumps; for intervals */
int64_t	clock_mono_us(void);
int64_t	clock_wall_ms(void);	/* since 1970; for tokens, retention, stamps */

/* A random number below `n` (n > 0); good enough for jitter and epochs, from the
 * kernel's generator. */
uint64_t clock_random(uint64_t n);
/* At most 256 random bytes, as good. */
void	clock_draw(void *p, size_t len);

#endif
