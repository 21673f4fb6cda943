/*
 * http_internal.h - what the http files share: the request and how to answer it.
 *
 * All of it belongs to the http thread.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <sys/queue.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "auth.h"
#include "auth_fetch.h"
#include "auth_pool.h"
#include "handoff.h"
#include "http.h"
#include "http_guard.h"
#include "hub.h"
#include "mailbox.h"
#include "problem.h"
#include "query.h"
#include "store.h"
#include "stream.h"
#include "text.h"

#define LISTENERS_MAX	16
#define ACCESS_PEER_SIZE	48	/* an address, with its NUL */

struct listener {
	struct http		*http;
	struct MHD_Daemon	*daemon;
	int			 epfd;		/* libmicrohttpd's */
	int			 fd;		/* the socket */
	uint32_t		 watched_as;	/* in the thread's epoll set */
	size_t			 max_connections;
	size_t			 guests;	/* not libmicrohttpd's: http_lobby.c */
	int64_t			 rest_until;	/* monotonic: see http_accept.c */
	bool			 admin, kept, ready, due;
	bool			 knocked;	/* somebody is in the socket's queue */
	bool			 resting;	/* the socket is not watched */
	bool			 left;		/* its queue is a successor's */
};

struct guest;
TAILQ_HEAD(guests, guest);

struct lobby {
	int		 epfd;
	struct guests	 waiting, leaving;	/* in the order of their coming */
};

/* What a connection of libmicrohttpd's is about: http_deadline.c. */
enum phase {
	PHASE_NONE,		/* between requests */
	PHASE_HEAD, PHASE_BODY,
	PHASE_OURS,		/* it waits for us */
	PHASE_ANSWER,
	PHASE_GONE,		/* cut, or a stream's */
};

struct link {
	TAILQ_ENTRY(link) next;
	struct listener	*listener;
	struct request	*rq;		/* PHASE_BODY's */
	int		 fd;		/* libmicrohttpd's */
	enum phase	 phase;
	int64_t		 since;		/* monotonic ms, of that part */
	uint64_t	 at_first;	/* bytes acknowledged before the answer */
	int64_t		 looked, begun, owing;	/* monotonic ms: waits_no_more() */
	int		 owed;		/* bytes that the kernel kept, as of `owing` */
	unsigned int	 requests;	/* begun on it */
	size_t		 bytes;		/* of an answer that is large */
	bool		 seen;		/* at_first is known */
};
TAILQ_HEAD(links, link);

struct http {
	struct http_conf conf;
	struct auth	*auth;
	struct auth_pool *pool;
	struct auth_fetch *fetch;
	bool		 keys_changed;	/* and streams have not been told yet */
	uint64_t	 keys_told;	/* how often they were */
	struct mailbox	*box;
	int		 epfd;
	struct listener	 listeners[LISTENERS_MAX];
	size_t		 nlisteners;
	size_t		 waiting;	/* suspended connections */
	struct lobby	 lobby;
	char		 peeked[GUARD_HEAD_MAX + 1];	/* what was looked at just now */
	struct links	 links;
	int64_t		 links_looked;	/* monotonic ms */
	size_t		 answer_bytes;	/* of all large answers under way */
	struct append	*appends, **appends_tail;	/* not yet the store's */
	int64_t		 appends_at;	/* monotonic us, of the first of them */
	bool		 handed_off;	/* a reader ran in this pass */
	bool		 leaving;	/* connections are not kept alive */
	bool		 ending;	/* those that are open may finish first */
	bool		 stopping;
	int64_t		 stop_by;	/* monotonic ms: ending, then stopping */
	struct msg	 leave, stop;	/* made beforehand: the end needs no memory */
	bool		 started;
	pthread_t	 thread;
};

/* What a handler says. */
enum answer {
	ANSWERED,		/* a response was queued */
	ANSWER_LATER,		/* the connection is suspended; called again */
	ANSWER_NOT_YET,		/* begin() alone: the rest of the request may come */
	ANSWER_FAILED,		/* memory ran out: close the connection */
};

struct route;

struct request {
	struct http		*http;
	struct listener		*listener;
	struct MHD_Connection	*conn;
	struct link		*link;		/* the connection's */
	const struct route	*route;
	char			*target;	/* as it came */
	const char		*uri;		/* of it: path, then query */
	size_t			 path_len;
	const char		*query;		/* behind the `?`; "" if none */
	const char		*method;	/* libmicrohttpd's */
	struct query		 q;
	bool			 has_q;
	bool			 judged;	/* by the guard */
	bool			 last;		/* no other on this connection */
	bool			 begun;		/* the head was not refused */
	bool			 deferring;	/* keep the answer for later: */
	struct MHD_Response	*deferred;
	unsigned int		 deferred_status;
	struct buf		 body;
	size_t			 answer_len;
	bool			 too_large;
	size_t			 received;
	char			 peer[ACCESS_PEER_SIZE];	/* access_peer()'s */
	char			 ref[12];	/* in problems and the log */
	struct auth_identity	 id;
	bool			 has_id;
	uint64_t		 keys_told;	/* as of when `id` was verified */
	struct auth_wait	 wait;		/* for a token to be judged */
	/* publish */
	struct append		*append;	/* under way, or answered */
	bool			 batch;		/* answer with ids */
	/* history */
	struct page_job		*job;
	struct stream_ask	 ask;		/* the cursor's part of it */
	size_t			 page_limit, page_replay;
	bool			 too_far;
	/* subscribe */
	struct handoff		 handoff;
	struct stream		*stream;	/* admitted; until its socket is passed on */
	bool			 in_stream;	/* errors=event: tell 401, 403 there */
	bool			 waiting;
};

enum http_msg {
	HTTP_APPENDED, HTTP_PAGE, HTTP_JUDGED, HTTP_FETCHED, HTTP_RELOAD, HTTP_LEAVE, HTTP_STOP
};

struct route {
	const char	*path;
	unsigned int	 methods;	/* of METHOD_* */
	const char	*allow;		/* for 405 */
	bool		 waits;		/* it may suspend */
	/* Before the body: NULL when there is nothing to check.  Called again after
	 * ANSWER_LATER. */
	enum answer	(*begin)(struct request *rq);
	/* The whole request is here; called again after ANSWER_LATER. */
	enum answer	(*run)(struct request *rq);
};

#define METHOD_GET	0x1u
#define METHOD_HEAD	0x2u
#define METHOD_POST	0x4u
#define METHOD_OPTIONS	0x8u

/* http.c */
const char	*rq_header(struct request *rq, const char *name);	/* or NULL */
/* Queue `body` (takes its memory) with CORS headers.  `headers` are name, value pairs
 * ending in NULL. */
enum answer	 rq_answer(struct request *rq, unsigned int status,
		    const char *type, struct buf *body,
		    const char *const *headers);
/* Queue a problem and log it.  `why` (or NULL) is for the log alone unless --dev.
 * `topic` (or NULL) is named in it. */
enum answer	 rq_problem(struct request *rq, enum problem p,
		    const char *detail, const char *why, const char *topic);
enum answer	 rq_problemf(struct request *rq, enum problem p,
		    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* 403: `fmt` has one %s, where the topic goes. */
enum answer	 rq_forbidden(struct request *rq, const char *topic,
		    const char *fmt);
/* Wait for a message: suspend until rq_resume(). */
enum answer	 rq_suspend(struct request *rq);
/* Wait for rq->append to be committed: it goes to the store with all others that came
 * with it. */
enum answer	 rq_append(struct request *rq);
/* Add CORS and the like to a response. */
void		 rq_add_headers(struct request *rq, struct MHD_Response *r);
/* Verify what the request brought.  True: rq->id is filled.  False: answered, or it has
 * to wait (ANSWER_LATER) and to ask again then; *a tells. */
bool		 rq_verify(struct request *rq, enum auth_use use, enum answer *a);
/* Parse the `topic` parameters.  NULL: answered. */
struct topics	*rq_topics(struct request *rq, enum answer *a);
/* May it read all of them?  True with rq->id filled (key_id 0 when all are public);
 * false: as rq_verify(). */
bool		 rq_may_read(struct request *rq, const struct topics *t,
		    enum answer *a);
/* Does it hold this entity tag already?  Then it is answered 304. */
bool		 rq_tag_matches(struct request *rq, const char *etag);
/* The resume cursor, from the header or whichever parameter; NULL if none. */
const char	*rq_cursor(struct request *rq);
/* Fill the cursor's part of `ask`. */
void		 rq_ask_cursor(struct request *rq, struct stream_ask *ask);
/* A number or duration parameter; false: answered. */
bool		 rq_number(struct request *rq, const char *name, uint64_t max,
		    uint64_t *out, enum answer *a);
bool		 rq_duration(struct request *rq, const char *name, int64_t *out,
		    enum answer *a);
/* A parameter that must be one of the words (NULL-ended); its place, 0 if absent. */
bool		 rq_choice(struct request *rq, const char *name,
		    const char *const *words, int *out, enum answer *a);

/* http_access.c */
void		 access_cors(struct request *rq, struct MHD_Response *r);
bool		 access_origin_allowed(const struct http_conf *c,
		    const char *origin);
/* The client's address, or what a trusted proxy says it is; found when first asked. */
const char	*access_peer(struct request *rq);
/* Put the nearest untrusted address of an X-Forwarded-For that a trusted peer sent into
 * `peer`, which stays as it is when there is none. */
void		 access_forwarded(const struct http_conf *c, const char *list,
		    char peer[ACCESS_PEER_SIZE]);
/* The credential, looked for where DESIGN says; the text is borrowed from the request.
 * `buf` is room for a cookie's value. */
struct auth_credential access_credential(struct request *rq, bool publish);

/* http_accept.c */
void		 accept_some(struct listener *l);
/* It rests: is there room again? */
void		 accept_again(struct listener *l);
/* How long may the thread sleep, for this one and no longer than `wait_ms`? */
int		 accept_wait_ms(const struct listener *l, int wait_ms);

/* http_lobby.c */
int		 lobby_open(struct lobby *lb);		/* -1: logged */
void		 lobby_close(struct lobby *lb);
/* Somebody came (takes the descriptor). */
void		 lobby_enter(struct listener *l, int fd,
		    const struct sockaddr_storage *from, socklen_t from_len);
void		 lobby_run(struct http *h);		/* its sockets are ready */
void		 lobby_tick(struct http *h);
int		 lobby_wait_ms(const struct http *h, int wait_ms);
/* Is there room for another, now that whoever took longest was sent away? */
bool		 lobby_evict(struct listener *l);
/* Answer with a problem, by ourselves, and say so in the log. */
void		 lobby_tell(int fd, const char *peer, enum problem p,
		    const char *detail);

/* http_judge.c: may it be handled?  False: `g` says why not.  rq->last is set. */
bool		 judge(struct request *rq, const char *version, struct guard *g);

/* http_deadline.c */
void		 deadline_notify(void *cls, struct MHD_Connection *c, void **context,
		    enum MHD_ConnectionNotificationCode what);
struct link	*deadline_link(struct MHD_Connection *c);
void		 deadline_begin(struct request *rq, enum phase phase);
void		 deadline_tick(struct http *h);
/* Some that took long end with the daemon's next run. */
void		 deadline_evict(struct listener *l);

/* the handlers */
enum answer	 subscribe_run(struct request *rq);
enum answer	 subscribe_refuse(struct request *rq, enum problem p,
		    const char *detail, const char *topic);
enum answer	 subscribe_refuse_load(struct request *rq, enum close_reason why,
		    const char *detail);
enum answer	 publish_begin(struct request *rq);
enum answer	 publish_run(struct request *rq);
enum answer	 history_run(struct request *rq);
enum answer	 health_run(struct request *rq);
enum answer	 metrics_run(struct request *rq);
enum answer	 stats_run(struct request *rq);
enum answer	 demo_run(struct request *rq);
enum answer	 client_run(struct request *rq);

/* http_publish_body.c: a body becomes frames. */
struct draft {
	struct frame	**frames;
	size_t		  n, cap;
	size_t		  bytes;
	bool		  batch;
	struct buf	  key;		/* idempotency key in the body */
};
/* `type` is the Content-Type or NULL.  0; or -1 with *a answered. */
int		 body_parse(struct request *rq, const char *type, struct draft *d,
		    enum answer *a);
void		 draft_fini(struct draft *d);

#endif
