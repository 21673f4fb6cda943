/*
 * server.h - build the rooms, start them, stop them in order.
 */
#ifndef SERVER_H
#define SERVER_H

#include "conf.h"

/* From here on signals wait for server_run(): before anything that takes time, so that
 * one which comes early neither kills nor gets lost. */
void	server_hold_signals(void);

/* Run until SIGTERM or SIGINT.  Borrows `c`.  Returns the exit code: 0 after a drain, 1 when
 * something failed while running, 2 when it could not start (already told on
 * standard error, naming what to mend).  `reload` is called on SIGHUP and returns
 * new a fresh configuration, or NULL with the reason logged. */
int	server_run(struct conf *c, struct conf *(*reload)(void *arg), void *arg);

/* `fanfare check`: all that start-up would refuse, without starting.  0 or 2. */
int	server_check(struct conf *c);

/* Turn a configuration into what auth_new() takes and build it.  NULL: see err. */
struct auth	*server_auth(const struct conf *c, char *err, size_t size);

#endif
