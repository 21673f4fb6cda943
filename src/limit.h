/*
 * limit.h - how fast each of many may go: token buckets, kept as moments.
 *
 * A bucket that holds `burst` and gains `rate` a second is one number: the moment when
 * it will be full again.  Taking n moves that moment by as long as n take to come back,
 * and is allowed while it stays within one full bucket of now.  So nothing has to tick,
 * nothing is rounded twice, and a bucket that is full again says no more than none.
 *
 * In any span of T seconds nobody takes more than burst + rate * T.
 *
 * Time is the caller's: a monotonic clock in microseconds, never before an earlier call.
 * One thread at a time.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include <stddef.h>
#include <stdint.h>

/* Made by limit_rule() alone. */
struct limit_rule {
	int64_t		 each_ns;	/* until one taken is back */
	uint64_t	 burst;		/* what a full bucket holds: the most at once */
};

struct limit_bucket {
	int64_t		 full_ns;	/* when it is full; 0: always was */
};

#define LIMIT_RATE_MIN	1e-6		/* a second; what is less counts as that */

/* `rate` a second, more than 0; `burst` 1 or more (less when that is years' worth). */
struct limit_rule limit_rule(double rate, uint64_t burst);

/* How long, in microseconds, until n may be taken, if nobody takes any meanwhile: 0: now;
 * -1: never, for n is more than the burst. */
int64_t	limit_wait(const struct limit_bucket *b, const struct limit_rule *r, uint64_t n,
	    int64_t now_us);
/* Take them; limit_wait() said 0. */
void	limit_spend(struct limit_bucket *b, const struct limit_rule *r, uint64_t n,
	    int64_t now_us);
/* They were not used after all. */
void	limit_return(struct limit_bucket *b, const struct limit_rule *r, uint64_t n);

/*
 * Buckets by number, `max` of them at most.  For one more the bucket that is nearest to
 * full makes room.  If it is full nothing is lost; if it is not (`max` are in use at
 * once), the newcomer takes over what it owes.  So the least that anybody owes never
 * sinks, and who is put out and comes back owes as much as before, or more: being many
 * gains nobody anything, and costs a newcomer no more than the least of all debts.
 */
struct limit;

struct limit	*limit_new(size_t max);		/* NULL: no memory */
void		 limit_free(struct limit *l);
size_t		 limit_count(const struct limit *l);
/* As those above, for the bucket of `who` under this rule. */
int64_t		 limit_ask(const struct limit *l, uint64_t who,
		    const struct limit_rule *r, uint64_t n, int64_t now_us);
/* 0; or -1: no memory, and nothing is taken. */
int		 limit_take(struct limit *l, uint64_t who, const struct limit_rule *r,
		    uint64_t n, int64_t now_us);
void		 limit_give(struct limit *l, uint64_t who, const struct limit_rule *r,
		    uint64_t n);

#endif
