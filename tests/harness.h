/*
 * harness.h - the black box: the real server, real sockets, and patience.
 *
 * Nothing here knows the server's sources.  The program is $FANFARE_BIN
 * (default ./fanfare); it is started on free loopback ports with its store in
 * a directory of its own, which is removed when the test is over.  When a test
 * fails the server's standard error is printed (at the end of its case; with
 * CK_FORK=no after each test).
 *
 * Everything these functions return belongs to the test and is freed behind
 * it, unless said otherwise.  They fail the running test by themselves when
 * the server does something that no test wants; those called try_* tell
 * instead.
 *
 * Waiting is always for a condition with a deadline.  FANFARE_TEST_SLOW=N
 * multiplies every deadline, for valgrind (sanitizers are seen by themselves).
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "suite.h"

#define API_KEY		"ffk_test0123456789abcdefghijklmnopqrstuvwxyzABC"
#define HOUSE_KEY	"house-key-of-the-tests-0123456789abcdef"
#define AUTH		"Authorization: Bearer " API_KEY "\r\n"
#define AS_JSON		"Content-Type: application/json\r\n"
#define BEARER		"Authorization: Bearer "
#define ACCEPT_SSE	"Accept: text/event-stream\r\n"
#define SOON		5000	/* ms; what should come at once and must come */

/* A test case whose tests each have a directory, and `seconds` to run. */
TCase	*harness_case(Suite *s, const char *name, int seconds);

int64_t	 now_ms(void);			/* monotonic */
int64_t	 wall_s(void);
int	 patience(int ms);		/* the same, times FANFARE_TEST_SLOW */
int	 setting(const char *name, int otherwise);	/* from environment */
/* Something cannot be tested here, and why: one line, which make check shows at the end. */
void	 left_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The path of a program that the test needs.  NULL: it is left out; with
 * FANFARE_TEST_ALL=1, as contrib/test has it after it installed them, that is a failure. */
char	*have_program(const char *name);
/* How often, how many: in every run, or with FANFARE_TEST_RELEASE=1. */
int	 size_of_run(int every, int release);
uint32_t dice(uint32_t sides);		/* seeded by suite_seed() */
char	*fmt(const char *f, ...) __attribute__((format(printf, 1, 2)));
char	*repeat(const char *s, size_t times);
char	*test_dir(void);
/* For the program in a shell line: it refuses variables of ours. */
#define CLEAN_ENV	"env -i PATH=\"$PATH\" ASAN_OPTIONS=\"$ASAN_OPTIONS\" "
char	*read_whole(const char *path);	/* "" when there is none */
void	 write_whole(const char *path, const void *p, size_t len);
void	*keep(void *p, void (*release)(void *));	/* to its end */

/* ---- the server ---- */

#define SERVER_ARGS	64

struct server {
	pid_t	 pid;			/* 0: not running */
	int	 status;		/* of its end, as waitpid(2) has it */
	int	 port, admin_port;
	char	*dir, *store, *log;	/* log: its standard error */
	char	*args[SERVER_ARGS];
	int	 nargs;
};

/* Start with the harness's options and those given ("--a.b=c", ..., NULL); one
 * given replaces the harness's ("--auth.key=": there is none).  Returns when /healthz
 * says 200. */
struct server	*server_start(const char *option, ...)
		    __attribute__((sentinel));
/* The same server again: same ports, same store.  Returns ms until ready. */
int64_t	server_restart(struct server *s);
void	server_launch(struct server *s);	/* without waiting */
/* The same, where it may end before: -1 then, and s->status tells how. */
int64_t	try_server_restart(struct server *s);
/* Again, where it may be that it must not start: 0 when it serves streams, though it may
 * not publish; else its exit code, or -1: a signal, or nothing within five seconds. */
int	server_attempt(struct server *s);
void	server_kill(struct server *s);		/* SIGKILL, and reaped */
void	server_signal(struct server *s, int sig);
/* Wait for its end: the exit code, or -1 at the deadline or when a signal
 * killed it. */
int	server_wait(struct server *s, int ms);
int	server_stop(struct server *s);		/* SIGTERM; exit code */
bool	server_alive(struct server *s);
int	server_descriptors(struct server *s);	/* how many it has open */
void	server_show_descriptors(struct server *s);	/* what they are, to stdout */
long	server_memory_kb(struct server *s);	/* VmRSS */
int64_t	server_cpu_ms(struct server *s);	/* used so far, all threads */
/* A number of /metrics ("streams", "streams_stalled_total"), asked for on the admin
 * listener. */
int64_t	server_metric(struct server *s, const char *name);
/* Run it where it must not start: the exit code; -1 when it ran on.  What it
 * said on both outputs in *said. */
int	server_refused(char **said, const char *option, ...)
	    __attribute__((sentinel));
/* Run the program with these arguments (..., NULL) and the file `input` as its standard
 * input (NULL: none): its exit code; -1: a signal killed it, or the deadline passed.
 * What it wrote on its outputs in *out and *err (either may be NULL). */
int	program_run(char **out, char **err, const char *input, const char *arg, ...)
	    __attribute__((sentinel));
/* `fanfare verify` finds nothing wrong with the log, or with the server's, which may run. */
void	file_is_whole(const char *path);
void	log_is_whole(struct server *s);
int	free_port(void);
/* Play systemd: from now on servers are started with these descriptors (borrowed;
 * -1: a closed one) as 3, 4, ..., in LISTEN_FDS, with `names` (or NULL) in
 * LISTEN_FDNAMES.  If the first is a TCP socket, its port is the server's. */
void	servers_given(const int *fds, int n, const char *names);
/* The same, with LISTEN_PID and LISTEN_FDS as they stand here. */
void	servers_told(const char *pid, const char *fds);
/* From now on servers may have no more descriptors than that; 0: as many as we. */
void	servers_limited(int descriptors);

/* ---- HTTP ---- */

struct answer {
	int	 status;
	char	*head;		/* status line and headers, NUL-terminated */
	char	*body;		/* NUL-terminated */
	size_t	 len;		/* of the body */
	bool	 closes;	/* the body ended with the connection */
};

struct http;			/* one connection */

int		 dial(int port, int rcvbuf);	/* a socket, or -1 */
/* One that listens, for servers_given(), with connections that have small buffers. */
int		 narrow_socket(void);
struct http	*http_open(struct server *s);
struct http	*try_http_open(struct server *s);	/* NULL: refused */
void		 http_close(struct http *h);	/* at once */
int		 http_fd(struct http *h);
/* `headers` are whole lines with CR LF; Host and Content-Length are added (the
 * latter when body is not NULL).  0, or -1 when the connection is gone. */
int		 try_http_send(struct http *h, const char *method,
		    const char *path, const char *headers, const void *body,
		    size_t len);
/* Bytes as they are. */
int		 try_http_write(struct http *h, const void *p, size_t len);
/* What came without waiting: 1 when a whole answer stands, 0 not yet, -1 the
 * connection ended before. */
int		 try_http_feed(struct http *h);
/* The next answer; NULL at the deadline or when the connection ended.  To be
 * given back with answer_free(). */
struct answer	*try_http_receive(struct http *h, int ms);
void		 answer_free(struct answer *a);

/* The value of a header, or NULL. */
const char	*header(const struct answer *a, const char *name);
bool		 header_has(const struct answer *a, const char *name,
		    const char *word);	/* case does not count */

/* One request on a connection of its own. */
struct answer	*ask(struct server *s, const char *method, const char *path,
		    const char *headers, const void *body, size_t len);
struct answer	*get(struct server *s, const char *path, const char *headers);
struct answer	*post(struct server *s, const char *path, const char *headers,
		    const char *body);
json_t		*body_json(const struct answer *a);
/* Status, content type, code, and a word of the detail; `word` may hold
 * alternatives: "deep|nest".  `what` names the case in the message. */
void		 is_problem(const struct answer *a, int status,
		    const char *code, const char *word, const char *what);
/* 403 topic_forbidden, and which topic. */
void		 is_forbidden(const struct answer *a, const char *topic,
		    const char *what);

/* ---- what tests do all the time ---- */

char		*url_encode(const char *s);
/* Publish text by ?topic=; the id. */
char		*publish(struct server *s, const char *topic, const char *data);
/* Publish a JSON body; the answer. */
json_t		*publish_json(struct server *s, const char *body);
/* GET /history with the API key; 200. */
json_t		*history(struct server *s, const char *query);
const char	*text_at(json_t *object, const char *name);	/* a string */
int64_t		 id_seq(const char *id);	/* checks the shape of the id */
/* A token signed with `key` by HS256; `claims` is JSON. */
char		*token(const char *key, const char *claims);
/* With exp `seconds` from now and grants for these patterns (NULL = none). */
char		*token_for(int64_t seconds, const char *pub, const char *sub);
/* For ten minutes, of this sub, for all below a/, with more members in its grants. */
char		*token_below_a(const char *sub, const char *more);
char		*bearing(const char *credential);	/* the header's line */

/* ---- text/event-stream ---- */

struct event {
	char	*id;		/* NULL: the block had none */
	char	*name;		/* "message" when none was given */
	bool	 named;		/* had an event: line */
	char	*data;
	size_t	 len;
	int64_t	 at_ms;		/* when it was whole, now_ms() */
	struct event *next;
};

struct stream {
	int	 fd;
	struct answer head;	/* the status and headers */
	bool	 eof;
	int64_t	 eof_ms;
	char	*last_id;	/* as a browser keeps it; "" at first */
	int64_t	 retry_ms;	/* the last retry:, else -1 */
	int	 comments;	/* comment lines seen */
	int	 odd;		/* things that no server should write */
	char	*trace;		/* the first 64 kB of the body as they came */
	size_t	 trace_len;
	size_t	 total;		/* bytes of body */
	size_t	 whole;		/* Content-Length: it ends there; 0: none */
	struct event *first, **last, *held;
	/* the parser's own */
	char	*in, *line, *data, *name, *id;
	size_t	 in_len, line_len, data_len;
	bool	 has_data, has_name, has_id, after_cr, started, have_head;
};

/* Connect and read the head; fails unless it is a 200 text/event-stream. */
struct stream	*stream_open(struct server *s, const char *path,
		    const char *headers);
/* Only connect and ask; with a receive buffer if not 0.  NULL: refused. */
struct stream	*try_stream(struct server *s, const char *path,
		    const char *headers, int rcvbuf);
/* Take what has come, without waiting. */
void		 stream_feed(struct stream *st);
/* The next event already here, or NULL.  It lasts until the next call. */
struct event	*stream_pop(struct stream *st);
/* The next event; NULL at the deadline or the end. */
struct event	*stream_next(struct stream *st, int ms);
bool		 stream_ended(struct stream *st, int ms);	/* by then */
/* Until the head is there; false at the deadline or the end. */
bool		 stream_head(struct stream *st, int ms);
/* Nothing but comments comes for so long. */
bool		 stream_quiet(struct stream *st, int ms);
void		 stream_close(struct stream *st);	/* frees it */

/* The next event must be that. */
struct event	*expect_event(struct stream *st, const char *name,
		    const char *data);
json_t		*expect_control(struct stream *st, const char *name);
json_t		*expect_live(struct stream *st, bool resumed);
/* A gap with that reason; its data. */
json_t		*expect_gap(struct stream *st, const char *reason);
/* fanfare.close with that reason, and then the end. */
json_t		*expect_close(struct stream *st, const char *reason, int ms);
bool		 is_control(const struct event *e);

#endif
