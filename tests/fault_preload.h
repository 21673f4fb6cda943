/*
 * fault_preload.h - what a test tells fault_preload.so, and what it hears back.
 *
 * One page of memory that both have mapped from the file that FAULT_CONTROL names.  A
 * test arms one class of calls: the fail_at-th of them from then on fails, and so do the
 * `times` - 1 behind it.
 */
#ifndef FAULT_PRELOAD_H
#define FAULT_PRELOAD_H

#include <stdatomic.h>
#include <stdint.h>

/* How a failure of each looks to who called. */
#define FAULT_CLASSES(X)						\
	X(MEMORY, "malloc", ENOMEM)					\
	X(EPOLL_CREATE, "epoll_create", EMFILE)				\
	X(EPOLL_CTL, "epoll_ctl", ENOMEM)				\
	X(EPOLL_WAIT, "epoll_wait", EINTR)				\
	X(ACCEPT, "accept", EMFILE)					\
	X(EVENTFD, "eventfd", EMFILE)					\
	X(SOCKET, "socket", ENOBUFS)					\
	X(SEND, "send", ENOBUFS)					\
	X(RECV, "recv", ENOMEM)						\
	X(DUP, "fcntl(F_DUPFD)", EMFILE)				\
	X(LOCK, "fcntl(F_SETLK)", ENOLCK)				\
	X(THREAD, "pthread_create", EAGAIN)				\
	X(OPEN, "open", EMFILE)						\
	X(STAT, "stat", EIO)						\
	X(READ, "read", EIO)						\
	X(WRITE, "write", EIO)						\
	X(PREAD, "pread", EIO)						\
	X(PWRITE, "pwrite", ENOSPC)					\
	X(SYNC, "fsync", EIO)						\
	X(TRUNCATE, "ftruncate", EIO)					\
	X(MMAP, "mmap", ENOMEM)						\
	X(RANDOM, "getrandom", ENOSYS)					\
	X(POLL, "poll", ENOMEM)

enum fault_class {
#define X(id, name, err) FAULT_##id,
	FAULT_CLASSES(X)
#undef X
	FAULT_COUNT
};

struct fault_control {
	_Atomic(int)	 armed;		/* enum fault_class; -1: none */
	_Atomic(int64_t) left;		/* calls before the next that fails, and one */
	_Atomic(int64_t) times;		/* how many fail */
	_Atomic(int64_t) fired;		/* how many did */
	_Atomic(int64_t) calls[FAULT_COUNT];
	_Atomic(int64_t) sync_us;	/* each fsync takes so much longer */
	_Atomic(int64_t) clock_s;	/* what the wall clock is off by */
	char		 site[160];	/* who called when the last one fired */
};

#endif
