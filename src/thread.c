/*
 * thread.c - a name, a short time slice for prompt threads, niceness for the rest.
 *
 * Where more threads want to run than there are cores, Linux (6.12 and later) lets the
 * one with the shorter slice go first when it wakes, and takes as much from it in the
 * end as from the others: a publish that comes while thousands of streams are caught up
 * need not wait until a stream thread has had its three milliseconds.  Older kernels
 * ignore it.
 */
#include "config.h"

#include "thread.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#define SLICE_NS	500000
#define NICENESS	10

/* As sched_setattr(2) has it; the C library has no name for it. */
struct attributes {
	uint32_t	size, policy;
	uint64_t	flags;
	int32_t		nice;
	uint32_t	priority;
	uint64_t	runtime, deadline, period;
};

void
thread_begin(const char *name, enum thread_kind kind)
{
	struct attributes a = {
		.size = sizeof(a), .policy = SCHED_OTHER, .runtime = SLICE_NS
	};

	(void)pthread_setname_np(pthread_self(), name);
	/* Improvements only: without them all works, less evenly.  To Linux a thread is
	 * a process here. */
	a.nice = getpriority(PRIO_PROCESS, 0);
	if (kind == THREAD_PROMPT)
		(void)syscall(SYS_sched_setattr, 0, &a, 0);
	else if (kind == THREAD_BACKGROUND)
		(void)setpriority(PRIO_PROCESS, 0, a.nice + NICENESS);
}
