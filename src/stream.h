/*
 * stream.h - what one socket is owed.
 *
 * A stream is either live (a short queue of frame references, in seq order) or catching
 * up (a cursor: pages come from the tail or from the log until the cursor meets the
 * position; then it is live).  A live stream whose queue passes its byte limit drops the
 * queue and goes back to catching up.  That one rule is resume, replay, slow readers and
 * reconnect storms.
 *
 * Invariants:
 * 1. Everything with seq <= cursor that the stream may see was queued or is known to the
 *    client; what is queued is in seq order; nothing with seq <= cursor is queued again.
 * 2. While live, cursor may lag the shard's position only by events not for it.
 * 3. A queue is dropped behind the entry whose first byte is sent, never inside it.
 * 4. Once it is ending, nothing is queued behind fanfare.close.
 *
 * Made by the http thread, then owned by one shard's thread for life: no lock.
 */
#ifndef STREAM_H
#define STREAM_H

#include <sys/queue.h>

#include "admission.h"
#include "mailbox.h"
#include "store.h"
#include "tail.h"
#include "text.h"
#include "topic.h"

enum stream_state {
	STREAM_CATCHING_UP,
	STREAM_LIVE,
	STREAM_ENDING,		/* fanfare.close is queued; closed when it is sent */
	STREAM_DEAD,		/* to be reaped */
};

/* What a connection begins with. */
enum stream_want {
	WANT_LIVE,		/* nothing of the past, from whenever it is served on */
	WANT_AFTER,		/* what follows the cursor */
	WANT_REPLAY,		/* the newest few of each topic */
	WANT_SINCE,
	WANT_PLAN,		/* the rest of a replay, from the log */
};

enum gap_reason { GAP_NONE, GAP_EXPIRED, GAP_RESET, GAP_UNKNOWN, GAP_TOO_FAR };

enum close_reason {
	CLOSE_EXPIRED, CLOSE_REVOKED, CLOSE_UNAUTHORIZED, CLOSE_FORBIDDEN,
	CLOSE_OVERLOAD, CLOSE_DRAIN,
};

#define STREAM_GROUNDS	3

/* What can be taken from an open stream. */
enum stream_loss {
	LOST_NOTHING,
	LOST_KEY,		/* that vouched for it */
	LOST_TOKEN,		/* was revoked */
	LOST_RULES,		/* open less now: it comes back, to be judged by the new */
};

/* What the http thread fills in.  What every write looks at stands first. */
struct stream_ask {
	int64_t		 expires_ms;	/* wall clock; 0 = never */
	bool		 envelope, visible_heartbeat;
	bool		 has_cursor, cursor_is_good;
	struct topics	*topics;	/* one reference */
	enum gap_reason	 cursor_fault;	/* when it is not good */
	uint64_t	 cursor;	/* seq, when good */
	size_t		 replay;	/* 0: none */
	int64_t		 since_ms;	/* wall clock; 0: none */
	/* What it rests on: ids of a key and of rules (auth.h has them); 0: not needed. */
	uint64_t	 grounds[STREAM_GROUNDS];
	enum stream_loss lost;		/* of them, before it had a shard */
	char		 requested[64];	/* the cursor as sent, if it is printable */
	struct guest	 guest;		/* whose limits it counts against */
};

/* Whose token opened it, for those who ask or revoke. */
struct stream_who {
	const char	*sub, *jti;	/* NULL: none */
	const char	*issuer;	/* the section's name */
	char		 text[];
};

#define STREAM_INLINE	4

/* In order of how often it is used: an event for a quiet stream touches what comes
 * before `topics` and little else, and there are thousands of streams. */
struct stream {
	struct msg	 msg;		/* first: it travels to its shard */
	unsigned int	 magic;
	int		 fd;
	enum stream_state state;
	enum stream_want want;
	bool		 is_dirty, is_ready, armed;
	bool		 blocked;	/* the socket is full; EPOLLOUT is armed */
	bool		 job_running;
	bool		 moved;		/* the cursor is no longer what was asked */
	bool		 gapped;	/* some gap was announced */
	bool		 live_told, expiring_told;
	bool		 cut;		/* revoked: at end_at it has gone, told or not */
	bool		 counted;	/* not too far behind, as of this catching up */
	uint64_t	 cursor;

	/* the queue: a ring, inline while it is short */
	struct entry	**q, *q_inline[STREAM_INLINE];
	uint32_t	 q_cap, q_head, q_len;
	uint32_t	 q_sent;	/* bytes of the first entry already sent */
	size_t		 q_bytes;	/* of all entries, in this stream's format */
	size_t		 q_held;	/* of memory; others may hold it as well */
	int64_t		 progress_at;	/* monotonic: when the socket last took a byte */
	TAILQ_ENTRY(stream) dirty;
	struct stream_ask ask;

	uint64_t	 told_lost;	/* a gap told of what was lost up to here... */
	uint64_t	 told_pruned;	/* ...when so much had been pruned */
	uint64_t	 replay_through; /* up to here what is queued is a replay: not
					 * all there is, so it cannot be asked for again */
	struct page_job	*job;		/* under way, or (PAGE_PLAN) to go on with */

	/* timers, on the monotonic clock */
	int64_t		 beat_at;	/* next heartbeat */
	int64_t		 end_at;	/* draining: when to go; 0: not */
	int64_t		 opened_at;
	TAILQ_ENTRY(stream) wheel;
	uint32_t	 slot;

	/* while it is blocked: what its peer has not acknowledged, as of a look */
	int		 unacked;	/* bytes */
	int64_t		 look_at, acked_at;	/* the next look; when some were */

	TAILQ_ENTRY(stream) all;
	uint64_t	 number;	/* of its shard's, rising */
	struct stream_who *who;		/* NULL: opened without a token */
	TAILQ_ENTRY(stream) ready, dead;
	size_t		 nsubs;
	struct sub	 subs[];	/* one for each name asked for */
};
TAILQ_HEAD(stream_list, stream);

/* What the shard lends its streams. */
struct stream_env {
	struct tail	 tail;
	struct index	*index;
	struct store	*store;
	int64_t		 now_ms, wall_ms;	/* as of this pass */
	/* limits and intervals */
	uint64_t	 stamp;		/* of the step under way: see struct node */
	int64_t		 drain_until;	/* 0: not draining */
	size_t		 queue_bytes, max_replay, page_bytes;
	int64_t		 heartbeat_ms, retry_ms, stall_ms;
	int64_t		 hold_ms;	/* pages held without progress go back */
	/* streams that owe something, that want a page, that are to be reaped */
	struct stream_list dirty, ready, dead;
	/* Hand a job to the store; it comes back through stream_page(). */
	void		(*read)(struct stream_env *env, struct page_job *j);
	/* Watch, or no longer watch, for the socket to take more. */
	void		(*arm)(struct stream_env *env, struct stream *s, bool on);
	/* Counted here, added to the metrics once a pass. */
	int64_t		 deliveries, sent_bytes, writes;
	/* Its next timer may be sooner now. */
	void		(*retime)(struct stream_env *env, struct stream *s);
};

/* Takes the reference in ask->topics, also on failure.  NULL: no memory. */
struct stream	*stream_new(const struct stream_ask *ask);
/* Returns new; NULL: no memory. */
struct stream_who *stream_who_new(const char *sub, const char *jti, const char *issuer);
/* Before it has a shard, or after stream_fini(). */
void		 stream_free(struct stream *s);

/* The shard's thread, from here on. */
int		 stream_init(struct stream_env *env, struct stream *s);
void		 stream_fini(struct stream_env *env, struct stream *s);
/* A committed event that matches one of its names. */
void		 stream_offer(struct stream_env *env, struct stream *s,
		    struct entry *e);
/* The tail has a hole after s->cursor: read on from the log. */
void		 stream_fall_back(struct stream_env *env, struct stream *s);
/* It is ready: give it one page, or make it live. */
void		 stream_step(struct stream_env *env, struct stream *s);
/* Its job is done. */
void		 stream_page(struct stream_env *env, struct stream *s,
		    struct page_job *j);
/* Write what is owed, as much as the socket takes. */
void		 stream_write(struct stream_env *env, struct stream *s);
/* Its socket has ended with that errno, or 0; reaped at the end of the pass. */
void		 stream_fail(struct stream_env *env, struct stream *s, int error);
/* The socket takes bytes again. */
void		 stream_writable(struct stream_env *env, struct stream *s);
/* End it, for it has lost what it rested on. */
void		 stream_lose(struct stream_env *env, struct stream *s,
		    enum stream_loss what);
/* Say why and end it.  `retry_ms` 0: the usual. */
void		 stream_end(struct stream_env *env, struct stream *s,
		    enum close_reason why, const char *detail, int64_t retry_ms);
/* When stream_timer() wants to be called next. */
int64_t		 stream_due(const struct stream_env *env, const struct stream *s);
void		 stream_timer(struct stream_env *env, struct stream *s);

/* For refusals too: the block that ends a stream, with the topic that was forbidden or
 * NULL; and a jittered retry. */
void		 stream_add_close(struct buf *b, enum close_reason why,
		    const char *detail, const char *topic, int64_t retry_ms);
int64_t		 stream_jitter(int64_t ms);	/* 0.5 to 1.5 times; 1 s or more */
/* When many are sent away at once: a second after the drain, and up to stream.retry (or
 * 4 s) more.  `drain_until` 0: none. */
int64_t		 stream_return_ms(int64_t drain_until, int64_t now_ms,
		    int64_t retry_ms);
/* {"reason":..,"topics":..,"requested":..,"oldest":..}; requested "" gives null. */
void		 stream_add_gap(struct buf *b, enum gap_reason why,
		    const struct topics *topics, const char *requested,
		    struct event_id oldest);

#endif
