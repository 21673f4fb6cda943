/*
 * log.h - one line for each thing worth telling, to standard error.
 *
 * Any thread.  A line is written with one write(2) and escaped (controls, invalid
 * UTF-8, characters that turn a line round or hide in it), at most 2 kB; when nobody reads the pipe or the disk is full it is dropped and
 * counted, so a log never blocks the server, and a line says how many were when there is
 * room again.  Context first: log_warn("store: open %s", path).
 * Never a token, never a payload.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void	log_init(enum log_level level, bool json);
bool	log_enabled(enum log_level level);
void	log_warn(const char *fmt, ...)		/* adds strerror(errno) */
	    __attribute__((format(printf, 1, 2)));
void	log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Why the server does not start, or ends. */
void	log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Start-up only: log and exit(1). */
_Noreturn void	fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void	fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned long	log_dropped(void);
/* Say so now, if there is room, rather than before the next line. */
void	log_tell_dropped(void);

#endif
