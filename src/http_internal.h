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
#include "auth_revoke.h"
#include "handoff.h"
#include "http.h"
#include "http_guard.h"
#include "hub.h"
#include "limit.h"
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
	size_t			 arrivals;	/* not libmicrohttpd's: http_lobby.c */
	int64_t			 rest_until;	/* monotonic: see http_accept.c */
	bool			 admin, kept, ready, due;
	bool			 knocked;	/* somebody is in the socket's queue */
	bool			 resting;	/* the socket is not watched */
	bool			 left;		/* its queue is a successor's */
};

struct rates;

/* What http_refusals.c keeps. */
struct refusals {
	struct limit_bucket lines;
	uint64_t	 unsaid;	/* refusals without a line */
	int64_t		 tell_us;	/* monotonic: when to say how many */
};

struct arrival;
TAILQ_HEAD(arrivals, arrival);

struct lobby {
	int		 epfd;
	struct arrivals	 waiting, leaving;	/* in the order of their coming */
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
	struct request	*unread;	/* its head is not whole; libmicrohttpd forgets some */
	int		 fd;		/* libmicrohttpd's */
	enum phase	 phase;
	int64_t		 since;		/* monotonic ms, of that part */
	uint64_t	 at_first;	/* bytes acknowledged before the answer */
	int64_t		 looked, begun, owing;	/* monotonic ms: waits_no_more() */
	int		 owed;		/* bytes that the kernel kept, as of `owing` */
	unsigned int	 requests;	/* begun on it */
	size_t		 bytes;		/* of an answer that is large */
	bool		 seen;		/* at_first is known */
	bool		 known;		/* a good credential came on it */
};
TAILQ_HEAD(links, link);

struct http {
	struct http_conf conf;
	struct auth	*auth;
	struct auth_pool *pool;
	struct auth_fetch *fetch;
	bool		 keys_changed;	/* and streams have not been told yet */
	struct rates	*rates;
	struct refusals	 refusals;
	size_t		 page_bytes;	/* of /history, not yet sent */
	uint64_t	 grounds_told;	/* how often they were; also of revocations */
	struct auth_revoked *revoked;
	TAILQ_HEAD(, control) resting;	/* until their time has come */
	size_t		 ncontrols[2];	/* of http_control.c: who revoke; who list */
	size_t		 nwalks;	/* under way for them, or for those that left */
	struct append	*forgetting;	/* of revocations, under way; or NULL */
	int64_t		 forgot_at;	/* monotonic: the last look; 0: none */
	bool		 told_of_key;	/* an API key in an address was warned of */
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
	uint64_t		 retry_after;	/* s, of a 429 or 503; 0: the usual */
	struct auth_identity	 id;
	bool			 has_id;
	uint64_t		 grounds_told;	/* as of when `id` was verified */
	uint64_t		 revoked_number;	/* the same */
	struct auth_wait	 wait;		/* for a token to be judged */
	/* publish */
	struct append		*append;	/* under way, or answered */
	bool			 batch;		/* answer with ids */
	/* history */
	struct page_job		*job;
	struct stream_ask	 ask;		/* the cursor's part of it */
	size_t			 page_limit, page_replay;
	bool			 too_far;
	size_t			 page_bytes;	/* its part of the http thread's */
	struct control		*control;	/* http_control.c's */
	/* subscribe */
	struct handoff		 handoff;
	struct stream		*stream;	/* admitted; until its socket is passed on */
	bool			 in_stream;	/* errors=event: tell 401, 403 there */
	bool			 waiting;
};

enum http_msg {
	HTTP_APPENDED, HTTP_PAGE, HTTP_JUDGED, HTTP_FETCHED, HTTP_WALKED, HTTP_FORGOT,
	HTTP_RELOAD, HTTP_LEAVE, HTTP_STOP
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

/* http_request.c: libmicrohttpd's callbacks; `cls` of the first is the listener. */
void		*request_begin(void *cls, const char *uri, struct MHD_Connection *c);
void		 request_end(void *cls, struct MHD_Connection *c, void **req,
		    enum MHD_RequestTerminationCode why);
/* The connection ends, and with it the request whose end libmicrohttpd did not tell. */
void		 request_forget(struct link *k);
enum MHD_Result	 request_handle(void *cls, struct MHD_Connection *c, const char *url,
		    const char *method, const char *version, const char *body,
		    size_t *body_len, void **req);

/* http.c */
/* Wait for a message: suspend until rq_resume(). */
enum answer	 rq_suspend(struct request *rq);
/* It has come. */
void		 rq_resume(struct request *rq);
/* Wait for rq->append to be committed: it goes to the store with all others that came
 * with it. */
enum answer	 rq_append(struct request *rq);

/* http_answer.c */
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
/* How many bytes of the path may stand in a message, and of the method. */
#define METHOD_SHOWN	20
size_t		 rq_path_shown(const struct request *rq);
/* What browsers go by; true: the page that asks may read it. */
bool		 rq_add_headers(struct request *rq, struct MHD_Response *r);

/* http_params.c */
/* 403: `fmt` has one %s, where the topic goes. */
enum answer	 rq_forbidden(struct request *rq, const char *topic,
		    const char *fmt);
/* Verify what the request brought.  True: rq->id is filled.  False: answered, or it has
 * to wait (ANSWER_LATER) and to ask again then; *a tells. */
bool		 rq_verify(struct request *rq, enum auth_use use, enum answer *a);
/* Parse the `topic` parameters.  NULL: answered. */
struct topics	*rq_topics(struct request *rq, enum answer *a);
/* Was its credential revoked since it was verified?  Other keys aside. */
bool		 rq_is_revoked(const struct request *rq);
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

/* http_publish.c */
/* The writer's thread: an append's `done`, for rq_append(). */
void		 rq_appended(struct append *a);

/* http_origin.c */
bool		 access_origin_allowed(const struct http_conf *c,
		    const char *origin);
/* What lets the asking page read the answer; false: nothing does. */
bool		 origin_add_headers(struct request *rq, struct MHD_Response *r);
/* OPTIONS, of a route. */
enum answer	 origin_preflight(struct request *rq);
/* False: an admin listener on loopback is asked for by a name that a page could have. */
bool		 origin_host_is_ours(struct request *rq);
/* May a cookie count, that the browser sent along for whichever page asks? */
bool		 origin_vouches(struct request *rq);

/* http_access.c */
/* The credential: Authorization, else the parameter `token`, else the cookie; the last two
 * never publish.  The text is borrowed from the request. */
struct auth_credential access_credential(struct request *rq, bool publish);
/* What its cookie holds, whoever had it sent. */
struct auth_credential access_cookie(struct request *rq);

/* http_peer.c */
/* The client's address, or what a trusted proxy says it is; found when first asked. */
const char	*access_peer(struct request *rq);
/* The same from the socket's address (NULL: a unix socket) and the X-Forwarded-For
 * headers in their order. */
void		 access_name_peer(const struct http_conf *c, const struct sockaddr *sa,
		    const char *const *lists, size_t n, char peer[ACCESS_PEER_SIZE]);
/* Put the nearest untrusted address of an X-Forwarded-For that a trusted peer sent into
 * `peer`, else the farthest trusted one; `peer` stays as it is when there is none.  True:
 * all are trusted, so an earlier header counts too. */
bool		 access_forwarded(const struct http_conf *c, const char *list,
		    char peer[ACCESS_PEER_SIZE]);
/* What a limit for each address goes by: of IPv6 the /64, as a client has all of it. */
void		 access_block(const char *peer, char out[ACCESS_PEER_SIZE]);

/* http_rate.c */
struct rates	*rates_new(const struct http_conf *c);	/* NULL: logged */
void		 rates_free(struct rates *rs);
/* Is it worth the time to take the body apart?  Not a large one, when not even one event
 * may be published now: false then, and answered. */
bool		 rate_is_worth_reading(struct request *rq, enum answer *a);
/* May it publish `n` events now?  Then they count.  False: answered, and they do not. */
bool		 rate_take(struct request *rq, size_t n, enum answer *a);
/* The log has not taken them. */
void		 rate_give_back(struct request *rq, size_t n);

/* http_refusals.c */
/* May one more line about a refusal be written?  If not, it is counted. */
bool		 refusal_may_be_told(struct http *h);
/* The line of a refusal, with its ref if it has one; `text` may be "". */
void		 refusal_log(struct request *rq, unsigned int status, const char *code,
		    const char *text);
/* Say how many had no line, when it is time, or now. */
void		 refusals_tell(struct http *h, bool now);

/* http_control.c, http_revoke.c: who may, then what they may. */
enum answer	 control_begin(struct request *rq);
enum answer	 streams_run(struct request *rq);
enum answer	 revoke_run(struct request *rq);
/* The request goes, whatever is under way for it. */
void		 control_end(struct request *rq);
void		 control_walked(struct http *h, struct msg *m);
void		 control_forgot(struct http *h, struct msg *m);
/* How long may the thread sleep?  And resume those whose time has come. */
int		 control_wait_ms(const struct http *h, int wait_ms);
void		 control_tick(struct http *h);

/* http_hint.c */
/* Nothing that counts as a credential came, but perhaps something that was meant as one:
 * what to mend, or NULL. */
const char	*hint_misplaced(struct request *rq, enum auth_use use);
/* This API key is good.  If it came in an address, a page has it, and so has everybody:
 * warn, once. */
void		 hint_key_in_address(struct request *rq, struct auth_credential cred);

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
void		 lobby_tell(struct http *h, int fd, const char *peer, enum problem p,
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
