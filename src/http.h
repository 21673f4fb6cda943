/*
 * http.h - the door: listening sockets, requests, answers.
 *
 * One thread runs libmicrohttpd, a daemon for each listening socket, in our own loop
 * beside a mailbox.  Commits and pages reach it as messages, and it resumes the
 * connections that wait for them: nobody else touches a connection.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auth;
struct auth_revoked;
struct hub;
struct store;
struct http;

struct http_conf {
	struct store	*store;
	struct hub	*hub;
	size_t		 max_event_bytes, max_body_bytes, max_replay;
	int64_t		 head_timeout_ms, body_timeout_ms;	/* 0: as by default */
	size_t		 max_connections;	/* of one listener, streams not counted */
	size_t		 max_checks;	/* slow tokens waiting; 0: as auth_pool.h says */
	uint64_t	 publish_rate;	/* events a second of each principal; 0: any */
	uint64_t	 publish_burst;	/* at once; 0: by the rate */
	const char *const *cors_origins;	/* NULL-ended; borrowed for life */
	const char *const *trusted_proxies;	/* the same */
	const char	*cookie;		/* the same */
	struct auth_revoked *revoked;		/* taken; NULL: nothing is, so far */
	bool		 dev;			/* say which check failed */
	bool		 demo;			/* serve the demo page */
};

#define HTTP_ADMIN_CONNECTIONS	16	/* of one admin listener */

/* Takes `auth` and c->revoked.  NULL: logged. */
struct http	*http_new(const struct http_conf *c, struct auth *auth);
void		 http_free(struct http *h);

/*
 * Serve on a listening socket (takes it).  Before http_start().  0 or -1 (logged).
 * `kept`: somebody else keeps it open when we have gone, and a successor serves it.
 */
int		 http_serve(struct http *h, int fd, bool admin, bool kept);
int		 http_start(struct http *h);
/*
 * Any thread: whoever connects from now on waits in the kernel's queue for the
 * successor, where a socket is kept.  Nothing changes elsewhere.
 */
void		 http_leave_queue(struct http *h);
/* Answer what waits, then end the thread.  The store must still run. */
void		 http_stop(struct http *h);

/* Any thread.  Use other keys and rules from now on (takes `auth`); streams whose key
 * is gone are ended. */
void		 http_reload(struct http *h, struct auth *auth);

/*
 * listen.c: a listening, non-blocking socket, or -1 with `err` saying what to mend.
 * Port "0" takes a free one; `group` "" leaves the group as it comes.  A unix socket's
 * file that nobody answers any more is replaced.
 */
int		 listen_open_tcp(const char *host, const char *port, char *err,
		    size_t err_size);
int		 listen_open_unix(const char *path, unsigned int mode,
		    const char *group, char *err, size_t err_size);
/*
 * The sockets that systemd passed to this process (sd_listen_fds(3)), those named
 * "admin" for the admin listener: how many of at most `max`, or -1.
 */
struct listen_given {
	int	fd;
	bool	admin;
};
int		 listen_take_given(struct listen_given *out, size_t max, char *err,
		    size_t err_size);
/* What is accepted there: a peer that vanished is noticed within a minute. */
void		 listen_notice_the_dead(int fd);
bool		 listen_is_local(int fd);	/* loopback or unix */
/* Where a socket listens, for messages: http://127.0.0.1:8080 or unix:/path. */
void		 listen_name(int fd, char *out, size_t size);

#endif
