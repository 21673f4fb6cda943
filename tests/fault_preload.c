/*
 * fault_preload.c - for LD_PRELOAD: system calls and allocations of the real server that
 * fail when a test says so, disks that are slow, a wall clock that jumps.
 *
 * It stands before the C library, so calls of libmicrohttpd, SQLite, jansson and OpenSSL
 * come by here too; those that the C library makes of itself do not, but for its
 * allocations.  Without FAULT_CONTROL, or unarmed, everything goes through.
 */
#undef _FILE_OFFSET_BITS
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fault_preload.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the C library calls its own. */
extern void	*__libc_malloc(size_t);
extern void	*__libc_calloc(size_t, size_t);
extern void	*__libc_realloc(void *, size_t);

static struct fault_control *control;

static const int errors[FAULT_COUNT] = {
#define X(id, name, err) [FAULT_##id] = err,
	FAULT_CLASSES(X)
#undef X
};

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("FAULT_CONTROL");
	void *p;
	int fd;

	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		control = p;
}

static void
note_site(void *caller)
{
	static __thread bool busy;
	const char *file;
	Dl_info at;

	if (busy)
		return;
	busy = true;
	if (dladdr(caller, &at) != 0 && at.dli_fname != NULL) {
		file = strrchr(at.dli_fname, '/');
		snprintf(control->site, sizeof(control->site), "%s+0x%lx %s",
		    file != NULL ? file + 1 : at.dli_fname,
		    (unsigned long)((char *)caller - (char *)at.dli_fbase),
		    at.dli_sname != NULL ? at.dli_sname : "");
	}
	busy = false;
}

/* Is it this call's turn to fail?  Sets errno then. */
static bool
fails(enum fault_class class, void *caller)
{
	int64_t left;

	if (control == NULL)
		return false;
	atomic_fetch_add_explicit(&control->calls[class], 1, memory_order_relaxed);
	if (control->armed != (int)class)
		return false;
	left = atomic_fetch_sub(&control->left, 1);
	if (left > 1 || left <= 1 - control->times)
		return false;
	control->fired++;
	note_site(caller);
	errno = errors[class];
	return true;
}

#define FAILS(class)	fails(FAULT_##class, __builtin_return_address(0))

/* The real one, looked up once. */
#define REAL(name)							\
	static __typeof__(name) *_Atomic real_##name;			\
	__typeof__(name) *real = real_##name;				\
									\
	if (real == NULL) {						\
		*(void **)&real = dlsym(RTLD_NEXT, #name);		\
		real_##name = real;					\
	}

/* A call that returns -1 when it fails. */
#define CALL(class, type, name, params, args)				\
	type								\
	name params							\
	{								\
		REAL(name)						\
		return FAILS(class) ? -1 : real args;			\
	}

void *
malloc(size_t size)
{
	return FAILS(MEMORY) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return FAILS(MEMORY) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return FAILS(MEMORY) ? NULL : __libc_realloc(p, size);
}

CALL(EPOLL_CREATE, int, epoll_create1, (int flags), (flags))
CALL(EPOLL_WAIT, int, epoll_wait, (int ep, struct epoll_event *evs, int max, int ms),
    (ep, evs, max, ms))
CALL(ACCEPT, int, accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags),
    (fd, sa, len, flags))
CALL(EVENTFD, int, eventfd, (unsigned int n, int flags), (n, flags))
CALL(SOCKET, int, socket, (int domain, int type, int protocol),
    (domain, type, protocol))
CALL(SOCKET, int, bind, (int fd, const struct sockaddr *sa, socklen_t len),
    (fd, sa, len))
CALL(SOCKET, int, listen, (int fd, int n), (fd, n))
CALL(SEND, ssize_t, send, (int fd, const void *p, size_t len, int flags),
    (fd, p, len, flags))
CALL(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags),
    (fd, m, flags))
CALL(RECV, ssize_t, recv, (int fd, void *p, size_t len, int flags),
    (fd, p, len, flags))
CALL(OPEN, int, openat, (int at, const char *path, int flags, ...),
    (at, path, flags, 0640))
CALL(STAT, int, stat, (const char *path, struct stat *sb), (path, sb))
CALL(STAT, int, fstat, (int fd, struct stat *sb), (fd, sb))
CALL(STAT, int, lstat, (const char *path, struct stat *sb), (path, sb))
CALL(STAT, int, stat64, (const char *path, struct stat64 *sb), (path, sb))
CALL(STAT, int, fstat64, (int fd, struct stat64 *sb), (fd, sb))
CALL(STAT, int, lstat64, (const char *path, struct stat64 *sb), (path, sb))
CALL(READ, ssize_t, read, (int fd, void *p, size_t len), (fd, p, len))
CALL(WRITE, ssize_t, write, (int fd, const void *p, size_t len), (fd, p, len))
CALL(PREAD, ssize_t, pread, (int fd, void *p, size_t len, off_t at), (fd, p, len, at))
CALL(PREAD, ssize_t, pread64, (int fd, void *p, size_t len, off64_t at),
    (fd, p, len, at))
CALL(PWRITE, ssize_t, pwrite, (int fd, const void *p, size_t len, off_t at),
    (fd, p, len, at))
CALL(PWRITE, ssize_t, pwrite64, (int fd, const void *p, size_t len, off64_t at),
    (fd, p, len, at))
CALL(TRUNCATE, int, ftruncate, (int fd, off_t len), (fd, len))
CALL(TRUNCATE, int, ftruncate64, (int fd, off64_t len), (fd, len))
CALL(RANDOM, ssize_t, getrandom, (void *p, size_t len, unsigned int flags),
    (p, len, flags))
CALL(POLL, int, poll, (struct pollfd *v, nfds_t n, int ms), (v, n, ms))

/* To take something out of a set needs nothing, so that cannot fail. */
int
epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	REAL(epoll_ctl)

	return op != EPOLL_CTL_DEL && FAILS(EPOLL_CTL) ? -1 : real(ep, op, fd, ev);
}

/* Those that make a file have a third argument; the others do not look at it. */
#define OPENS(name)							\
	int								\
	name(const char *path, int flags, ...)				\
	{								\
		mode_t mode = 0;					\
		va_list ap;						\
		REAL(name)						\
		if (flags & O_CREAT) {					\
			va_start(ap, flags);				\
			mode = va_arg(ap, mode_t);			\
			va_end(ap);					\
		}							\
		return FAILS(OPEN) ? -1 : real(path, flags, mode);	\
	}
OPENS(open)
OPENS(open64)

/* The C library opens the file by a way of its own. */
#define FOPENS(name)							\
	FILE *								\
	name(const char *path, const char *mode)			\
	{								\
		REAL(name)						\
		return FAILS(OPEN) ? NULL : real(path, mode);		\
	}
FOPENS(fopen)
FOPENS(fopen64)

/* To let a lock go needs nothing either. */
#define FCNTL(name)							\
	int								\
	name(int fd, int cmd, ...)					\
	{								\
		va_list ap;						\
		void *arg;						\
		REAL(name)						\
		va_start(ap, cmd);					\
		arg = va_arg(ap, void *);				\
		va_end(ap);						\
		if ((cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) && FAILS(DUP)) \
			return -1;					\
		if (cmd == F_SETLK && ((struct flock *)arg)->l_type != F_UNLCK && \
		    FAILS(LOCK))					\
			return -1;					\
		return real(fd, cmd, arg);				\
	}
FCNTL(fcntl)
FCNTL(fcntl64)

#define MAPS(name, off)							\
	void *								\
	name(void *p, size_t len, int prot, int flags, int fd, off at)	\
	{								\
		REAL(name)						\
		return FAILS(MMAP) ? MAP_FAILED :			\
		    real(p, len, prot, flags, fd, at);			\
	}
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)

static void
slow_disk(void)
{
	struct timespec ts;
	int64_t us;

	if (control == NULL || (us = control->sync_us) == 0)
		return;
	ts.tv_sec = us / 1000000;
	ts.tv_nsec = us % 1000000 * 1000;
	(void)nanosleep(&ts, NULL);
}

#define SYNCS(name)							\
	int								\
	name(int fd)							\
	{								\
		REAL(name)						\
		slow_disk();						\
		return FAILS(SYNC) ? -1 : real(fd);			\
	}
SYNCS(fsync)
SYNCS(fdatasync)

int
pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*main)(void *),
    void *arg)
{
	REAL(pthread_create)

	return FAILS(THREAD) ? errno : real(t, attr, main, arg);
}

/* ---- the wall clock ---- */

static int64_t
offset_s(void)
{
	return control == NULL ? 0 : control->clock_s;
}

int
clock_gettime(clockid_t which, struct timespec *ts)
{
	REAL(clock_gettime)
	int rc = real(which, ts);

	if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
		ts->tv_sec += offset_s();
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
