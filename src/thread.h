/*
 * thread.h - what a thread of ours says of itself to the kernel.
 */
#ifndef THREAD_H
#define THREAD_H

enum thread_kind {
	THREAD_PROMPT,		/* short work that others wait for */
	THREAD_STEADY,		/* work in bulk */
	THREAD_BACKGROUND,	/* a tenth of the processor when others want it all */
};

/* By the thread itself, first of all.  The name has at most 15 characters and is seen in
 * top and in debuggers. */
void	thread_begin(const char *name, enum thread_kind kind);

#endif
