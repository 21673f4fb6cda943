/*
 * load.h - what the files of the load generator share.
 *
 * One thread, one struct load.  A scenario (load_scenarios, _storm, _overload) is
 * written as straight code that opens streams, publishes, and turns the loop until
 * something holds; nothing below it knows which scenario it serves.
 *
 *     load            main: options, one scenario, its JSON
 *     load_options    the command line
 *     load_loop       one epoll set; sockets; waiting
 *     load_stream     subscribers: connecting, reading, dropping, coming back
 *     load_sse        the head of an answer, chunks, and frames in them
 *     load_recall     frames that were read before
 *     load_publish    publishers: one request under way on each connection
 *     load_ledger     what was published, who is owed it, what was lost
 *     load_stats      histograms, and what /proc says of the server
 *     load_report     numbers as JSON
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define SECOND_NS	1000000000LL
#define MILLI_NS	1000000LL

struct load;

/* --- load_options --- */

struct options {
	const char *scenario;
	const char *host;	/* an IPv4 address */
	long port;
	int pids[64];		/* the server's processes */
	size_t pids_n;
	const char *key;	/* API key of publishers; NULL: none */
	const char *tokens_file;
	const char *prefix;	/* of topics */
	const char *join;	/* one topic= with this between; NULL: repeat */
	const char *query;	/* more of a stream's address; NULL: none */
	bool patterns;		/* subscribe to patterns */
	bool random;		/* topics at random, not in turn */
	long seed;
	long streams, topics, per_stream;
	long size;		/* bytes of data of an event */
	long events;		/* 0: publish for `seconds` */
	double seconds;
	long in_flight;		/* requests under way */
	bool until_answer;	/* answered counts as done, not delivered */
	double rate;		/* events a second; 0: closed loop */
	long batch;
	long warmup;		/* events; -1: half a second */
	double timeout_s;
	long addresses, connecting;
	long missed;		/* events per topic, of storm */
	double slow_percent;
};

/* Exits with status 2 and a message when they are wrong, 0 for --help. */
void	options_parse(struct options *o, int argc, char **argv);
json_t	*options_json(const struct options *o);

/* --- load_stats --- */

/*
 * Durations in ns, counted in buckets that are 1/64 of a power of two wide: what is
 * read back is at most 1.6 % too low.  The maximum is exact.
 */
#define HISTOGRAM_BUCKETS	(64 * 40)
struct histogram {
	uint64_t n;
	int64_t max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void	histogram_clear(struct histogram *h);
void	histogram_add(struct histogram *h, int64_t ns);
/* The value that `part` (0 to 1) of all stay at or below; 0 of none. */
int64_t	histogram_at(const struct histogram *h, double part);
/* {"p50","p99","max","n"}, µs. */
json_t	*histogram_json(const struct histogram *h);
/* [[µs, how many], ...]: what several runs can be put together from. */
json_t	*histogram_buckets_json(const struct histogram *h);

int64_t	clock_ns(void);		/* CLOCK_MONOTONIC */
int64_t	own_cpu_ns(void);	/* of this process so far */

/* The server's processes together; 0 when no --pids were given. */
int64_t	server_cpu_ns(const struct options *o);
/* Resident memory, with what processes share counted once (Pss). */
int64_t	server_rss_bytes(const struct options *o);
/* The same, cheap to ask: what processes share is counted for each. */
int64_t	server_rss_quick_bytes(const struct options *o);
long	server_descriptors(const struct options *o);
/* Of the whole machine: both ends of every connection. */
int64_t	kernel_tcp_bytes(void);		/* in buffers of sockets */
int64_t	kernel_slab_bytes(void);	/* sockets themselves among others */

/* --- load_sse --- */

/* The head and the framing of one HTTP answer, as far as it was read. */
struct answer {
	int status;		/* 0 until the head is complete */
	bool chunked;
	bool closes;		/* ends with the connection */
	uint8_t chunk_at;	/* enum chunk_at */
	uint64_t left;		/* bytes of the body or the chunk to come */
};

/*
 * Read a head at [p, end).  Returns the byte behind it; NULL if it is not complete.
 * A head that makes no sense gets status -1.
 */
const char	*answer_head(struct answer *a, const char *p, const char *end);
/*
 * Unpack, in place, the `len` bytes of body at `p`: what chunks hold is moved
 * together.  Returns how many bytes of body there are; sets `*ended` when the last
 * one was seen, and `*rest` to where the next answer begins.
 */
size_t	answer_body(struct answer *a, char *p, size_t len, bool *ended, char **rest);

/* One event of a stream; the parts lie in the buffer. */
struct sse_frame {
	const char *id, *name, *data;	/* NULL: not there */
	size_t id_len, name_len, data_len;
	unsigned data_lines;
};

/*
 * Take the next frame of [p, end).  Returns the byte behind its blank line, with
 * `f->data` NULL for a frame without data; or NULL when it is not complete.
 * `*keep` is then where what has to be kept begins: comments are done with.
 */
const char	*sse_take(struct sse_frame *f, const char *p, const char *end,
    const char **keep);

/* --- load_ledger --- */

/* What the data of each event begins with: fixed-width hexadecimal numbers. */
#define MARK_LEN	43
struct mark {
	uint32_t lane;		/* of the publisher */
	uint32_t count;		/* of the event in its lane, from 1 */
	uint32_t topic;
	int64_t sent_ns;	/* or when it was due */
};

void	mark_print(const struct load *l, char *to, const struct mark *m);
/* False unless this process has printed it. */
bool	mark_read(const struct load *l, const char *p, struct mark *m);

/*
 * Every event from sending it until all who listen to it have it.  Streams are of
 * two kinds, 0 and, slow, 1, and an event counts for the phase it was sent in, so
 * that a scenario can wait for a part of what is owed.
 */
#define PHASES	4
struct ledger {
	struct lane_book *books;	/* one a lane */
	size_t books_n;
	unsigned phase;			/* of the events to come */
	int64_t owed[PHASES][2];	/* deliveries still to come */
	/* over the whole run */
	uint64_t events, expected, received, repeated, corrupt, gaps, closed;
	uint64_t late;			/* deliveries of publishes that failed */
	uint64_t bytes;			/* read by streams */
	uint32_t (*listeners)[2];	/* of each topic, by kind */
};

int	ledger_init(struct load *l);
void	ledger_fini(struct load *l);
/* Count who listens to what; again when the kind of a stream has changed. */
void	ledger_listen(struct load *l);
/* The next event of `lane` is sent; returns its count. */
uint32_t	ledger_sent(struct load *l, uint32_t lane, uint32_t topic);
/* It was answered with success, or not: then nobody is owed it. */
void	ledger_answered(struct load *l, uint32_t lane, uint32_t count, bool ok);
/*
 * A stream of this kind has read it for the first time.  Returns true when with this
 * one all have.
 */
bool	ledger_received(struct load *l, const struct mark *m, unsigned kind);
/* Deliveries still to come, to streams of all kinds or of one, for all phases. */
int64_t	ledger_owed(const struct load *l);
int64_t	ledger_owed_kind(const struct load *l, unsigned kind);
/* Deliveries that never came, of what was answered with success. */
uint64_t	ledger_lost(const struct load *l);

/* --- load_recall --- */

int	recall_init(struct load *l);
void	recall_fini(struct load *l);
/* A stream's buffer begins. */
void	recall_begin(struct load *l);
/*
 * sse_take(), and what mark the frame has: `*ours` is false if it has none that this
 * process printed.
 */
const char	*recall_take(struct load *l, struct sse_frame *f, struct mark *m,
    bool *ours, const char *p, const char *end, const char **keep);

/* --- load_stream --- */

/* `to` has room for TOPIC_MAX; returns the length. */
#define TOPIC_MAX	256
size_t	topic_print(const struct load *l, char *to, uint32_t topic);

enum stream_state {
	STREAM_CLOSED,
	STREAM_WAITING,		/* for its turn to connect */
	STREAM_CONNECTING,
	STREAM_HEAD,		/* the request is sent */
	STREAM_OPENING,		/* the head is here, fanfare.live to come */
	STREAM_LIVE,
};

struct stream {
	int fd;
	uint8_t state;		/* enum stream_state */
	uint8_t kind;		/* 1: slow */
	bool resumes;		/* sends its cursor */
	bool stalled;		/* does not read */
	uint32_t index;
	uint32_t begun;		/* connections before this one */
	struct answer answer;
	char *kept;		/* begun frame or head; NULL: none */
	uint32_t kept_len;
	uint32_t id_cap;
	char *id;		/* cursor; NULL: none yet */
	uint64_t seq;		/* of fanfare's last id */
	int64_t since_ns;	/* connecting since; waiting until */
	struct stream *next;	/* waiting for its turn */
};

/* All streams, and how they fare. */
struct streams {
	struct stream *all;
	size_t n;
	uint32_t *counts;	/* the last of each lane, lanes_max a stream */
	struct stream *first, *last;	/* waiting for their turn */
	size_t connecting;	/* and no head yet */
	size_t open;		/* the head is here */
	size_t live;
	bool is_fanfare;	/* fanfare.live is to be waited for */
	char **tokens;
	size_t tokens_n;
	uint64_t refused;	/* connections that got no stream */
	int refused_status;	/* of the last; 0: the connection failed */
	struct histogram connect;
};

int	streams_init(struct load *l);
void	streams_fini(struct load *l);
/* Let `s` connect when it is its turn; it sends its cursor if `resumes`. */
void	stream_open(struct load *l, struct stream *s, bool resumes);
/* Reset its connection. */
void	stream_drop(struct load *l, struct stream *s);
/* Read no more, until stream_wake(). */
void	stream_stall(struct load *l, struct stream *s);
int	stream_wake(struct load *l, struct stream *s);
/* Its socket has these epoll events. */
void	stream_ready(struct load *l, struct stream *s, uint32_t events);
/* Connect those whose turn it is. */
void	streams_turn(struct load *l);

/* --- load_publish --- */

struct lane {
	int fd;			/* -1: not connected */
	uint32_t index;
	bool busy;		/* a request is under way */
	bool answered;
	bool wants_out;		/* the socket was full */
	char *request;
	size_t request_len, request_sent, request_cap;
	uint32_t first, n;	/* counts of its events */
	uint32_t undelivered;
	int64_t sent_ns;	/* or due */
	int64_t began_ns;	/* really sent: for the timeout */
	struct answer answer;
	char head[2048];	/* of an answer, begun */
	size_t head_len;
	struct lane *next;	/* of the idle ones */
};

#define STATUSES	600
struct publisher {
	struct lane *lanes;
	size_t n;
	struct lane *idle;
	size_t busy;
	bool on;		/* go on publishing */
	bool until_answer;
	size_t batch;		/* events in a request */
	int64_t paused_until_ns;	/* the server does not take connections */
	bool gave_up;		/* something was not delivered in time */
	uint64_t left;		/* events to go; UINT64_MAX: until `end_ns` */
	int64_t end_ns;		/* of publishing; INT64_MAX: none */
	double rate;		/* 0: closed loop */
	int64_t rate_from_ns;
	uint64_t rate_done;
	uint32_t topic;		/* next in turn */
	uint64_t random;	/* state of the generator */
	int64_t checked_ns;	/* timeouts */
	uint64_t failed[STATUSES];	/* by status; 0: no answer */
	/* since publish_clear() */
	uint64_t requests, events;	/* that succeeded */
	struct histogram answer;
	struct histogram whole;	/* from publishing until all have it */
};

int	publish_init(struct load *l);
void	publish_fini(struct load *l);
/* Forget what was counted. */
void	publish_clear(struct load *l);
/*
 * Publish until `events` (0: no limit) are sent or `seconds` (0: no limit) are over:
 * `rate` events a second, or (0) as fast as `lanes` connections go.
 */
void	publish_start(struct load *l, uint64_t events, double seconds, double rate,
    size_t lanes);
void	publish_stop(struct load *l);
bool	publish_is_over(struct load *l);
/* Send what is due, read answers. */
void	publish_turn(struct load *l);
/* An event of this lane has been delivered to all. */
void	publish_delivered(struct load *l, const struct mark *m, int64_t now);

/* --- load_loop --- */

#define READ_SIZE	(256 * 1024)

struct load {
	struct options o;
	int epfd;		/* streams, and the next one in it */
	int publish_epfd;	/* publishers, the rate's timer */
	int timer_fd;
	char *buffer;		/* READ_SIZE, and a kept frame in front */
	size_t buffer_size;
	uint32_t run;		/* stands in each mark: not of an earlier run */
	struct streams streams;
	struct ledger ledger;
	struct recall *recall;
	struct publisher publisher;
	struct histogram latency;	/* of healthy streams */
	uint64_t deliveries;		/* since measuring began */
	int64_t last_ns;		/* when the last one was read */
	int64_t progress_ns;
	const char *doing;		/* for the progress line */
	long descriptors;		/* of the server, without streams */
	void (*every)(struct load *);	/* called about every 100 ms; or NULL */
	int64_t every_ns;
};

int	loop_init(struct load *l);
void	loop_fini(struct load *l);
/* Turn until `holds` does.  Returns false when it does not within `seconds`. */
bool	loop_until(struct load *l, bool (*holds)(struct load *), double seconds);
void	loop_for(struct load *l, double seconds);
/* Turn until the server has used no CPU worth mentioning for a while. */
void	loop_quiet(struct load *l);
/* A socket that is connecting to the server from one of our addresses. */
int	loop_connect(struct load *l, size_t nth, int receive_bytes);
/* Take the rate's timer into use: a wake-up every `interval_ns`; 0 ends that. */
void	loop_tick(struct load *l, int64_t interval_ns);

/* --- load_report --- */

/* What is compared: taken when measuring begins. */
struct measure {
	int64_t began_ns, own_cpu_ns, server_cpu_ns;
	uint64_t bytes;		/* that streams had read */
};

void	measure_begin(struct load *l, struct measure *m);
/*
 * Sets "seconds", "server_cpu_s", "client_cpu", "deliveries", "latency_us",
 * "publishes_per_s" and so on: all since measure_begin().
 */
void	measure_report(struct load *l, const struct measure *m, json_t *to);
/* The counts that every scenario has. */
void	report_counts(struct load *l, json_t *to);
void	report_number(json_t *to, const char *name, double value);

/* --- load_scenarios, load_storm, load_overload --- */

/* Each returns 0 with its numbers in `to`; -1 when it said why it could not run. */
int	scenario_fanout(struct load *l, json_t *to);
int	scenario_publish(struct load *l, json_t *to);
int	scenario_connect(struct load *l, json_t *to);
int	scenario_idle(struct load *l, json_t *to);
int	scenario_fill(struct load *l, json_t *to);
int	scenario_storm(struct load *l, json_t *to);
int	scenario_slow(struct load *l, json_t *to);
int	scenario_flood(struct load *l, json_t *to);

/*
 * Shared by them.  The first stream is opened alone: it tells whether this is fanfare,
 * and begins what a server does but once.
 */
int	scenario_open_first(struct load *l);
int	scenario_open_rest(struct load *l);
int	scenario_open(struct load *l);	/* both, and until it is quiet */
/* As --warmup says, over `lanes` connections; -1 when the server takes nothing. */
int	scenario_warm_up(struct load *l, size_t lanes);
/* publish_start(), and until all of it is done with. */
void	scenario_publish_all(struct load *l, const char *doing, uint64_t events,
    double seconds, double rate, size_t lanes);
/* Wait for what is under way and owed; what is missing after the timeout is lost. */
void	scenario_settle(struct load *l);
/* --in-flight, or what it is when not given. */
size_t	scenario_lanes(const struct load *l, size_t otherwise);

/* A line on stderr. */
void	say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
