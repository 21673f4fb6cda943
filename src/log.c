/*
 * log.c - format a line, escape it, write it if somebody takes it.
 *
 * The level and the form are set once, before threads start.  A line is at most
 * LINE_MAX_BYTES, below PIPE_BUF, so that a pipe which poll(2) calls writable takes
 * it whole and write(2) cannot block: one thread at a time, or another would find full
 * what was free when it asked.
 */
#include "config.h"

#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"

#define LINE_MAX_BYTES	2048

static enum log_level	 log_max = LOG_INFO;
static bool		 log_as_json;
static _Atomic(unsigned long) log_ndropped;
static pthread_mutex_t	 log_lock = PTHREAD_MUTEX_INITIALIZER;	/* innermost */
static unsigned long	 log_ntold;	/* by log_lock: of those dropped */

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void
log_init(enum log_level level, bool json)
{
	log_max = level;
	log_as_json = json;
}

bool
log_enabled(enum log_level level)
{
	return level <= log_max;
}

unsigned long
log_dropped(void)
{
	return log_ndropped;
}

/* Copy `msg`, with everything that could start a line, steer a terminal or deceive a
 * reader made visible: it and bytes that are no UTF-8 as \xNN. */
static size_t
escape(char *out, size_t cap, const char *msg)
{
	size_t n = 0, len = strlen(msg), i = 0, step;

	while (i < len && n + 5 < cap) {
		if ((step = text_harmless(msg + i, len - i)) == 0) {
			n += (size_t)snprintf(out + n, cap - n, "\\x%02x",
			    (unsigned int)(unsigned char)msg[i++]);
			continue;
		}
		if (n + step + 5 >= cap)
			break;
		memcpy(out + n, msg + i, step);
		n += step;
		i += step;
	}
	out[n] = '\0';
	return n;
}

/* Did somebody take it?  Under the lock. */
static bool
put_line(enum log_level level, const char *msg)
{
	char line[LINE_MAX_BYTES], clean[LINE_MAX_BYTES - 256];
	char when[TEXT_TIME_SIZE];
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct buf b = { 0 };
	size_t len;
	int n;

	text_format_time(when, clock_wall_ms());
	if (log_as_json) {
		/* buf_add_json wants UTF-8; the escaped text is. */
		(void)escape(clean, sizeof(clean) / 2, msg);
		buf_addf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":",
		    when, level_names[level]);
		buf_add_json(&b, clean, strlen(clean));
		buf_adds(&b, "}\n");
		len = b.failed || b.len > sizeof(line) ? 0 : b.len;
		if (len > 0)
			memcpy(line, b.p, len);
		buf_fini(&b);
	} else {
		(void)escape(clean, sizeof(clean), msg);
		n = snprintf(line, sizeof(line), "%s %s: %s\n", when,
		    level_names[level], clean);
		len = n > 0 ? (size_t)n : 0;
	}
	return len > 0 && poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) &&
	    write(STDERR_FILENO, line, len) == (ssize_t)len;
}

/* Under the lock. */
static void
tell_dropped(void)
{
	unsigned long n = log_ndropped - log_ntold;
	char msg[80];

	if (n == 0)
		return;
	(void)snprintf(msg, sizeof(msg), "log: %lu lines were dropped, as nobody took "
	    "them", n);
	if (put_line(LOG_WARN, msg))
		log_ntold += n;
}

void
log_tell_dropped(void)
{
	pthread_mutex_lock(&log_lock);
	tell_dropped();
	pthread_mutex_unlock(&log_lock);
}

static void
emit(enum log_level level, const char *msg)
{
	pthread_mutex_lock(&log_lock);
	tell_dropped();
	if (!put_line(level, msg))
		log_ndropped++;
	pthread_mutex_unlock(&log_lock);
}

static void
vlog(enum log_level level, int err, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void
vlog(enum log_level level, int err, const char *fmt, va_list ap)
{
	char msg[LINE_MAX_BYTES];
	size_t n;

	if (!log_enabled(level))
		return;
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	n = strlen(msg);
	if (err != 0)
		(void)snprintf(msg + n, sizeof(msg) - n, ": %s", strerror(err));
	emit(level, msg);
}

#define LOG_BODY(level, err)			\
	do {					\
		int saved = errno;		\
		va_list ap;			\
						\
		va_start(ap, fmt);		\
		vlog(level, err, fmt, ap);	\
		va_end(ap);			\
		errno = saved;			\
	} while (0)

void
log_warn(const char *fmt, ...)
{
	LOG_BODY(LOG_WARN, errno);
}

void
log_warnx(const char *fmt, ...)
{
	LOG_BODY(LOG_WARN, 0);
}

void
log_error(const char *fmt, ...)
{
	LOG_BODY(LOG_ERROR, 0);
}

void
log_info(const char *fmt, ...)
{
	LOG_BODY(LOG_INFO, 0);
}

void
log_debug(const char *fmt, ...)
{
	LOG_BODY(LOG_DEBUG, 0);
}

void
fatal(const char *fmt, ...)
{
	LOG_BODY(LOG_ERROR, errno);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	LOG_BODY(LOG_ERROR, 0);
	exit(1);
}
