/*
 * store.h - the log: events on disk, in order, once.
 *
 * A store has two threads.  The writer owns the only connection that writes or
 * checkpoints; it takes whatever appends wait, gives them seqs, commits them together
 * and then, in this order: publishes the head, hands the frames to `committed`, and
 * calls each append's `done`.  The reader runs page jobs on a read-only connection,
 * one snapshot each, oldest job first.
 *
 * Rules that others build on:
 * 1. seq rises by commit order and is never given out twice, not even by a store whose
 *    events were all pruned; it may have holes.
 * 2. `prev` chains the events of a topic: an event's prev is the seq of its topic's
 *    event before it.  So a reader at cursor c has missed nothing before event e if and
 *    only if e.prev <= c or the event e.prev is still there.  The first event of a topic
 *    that is new here has prev = the forgotten mark (0 in a young store).
 * 3. Events of one topic are pruned oldest first, so a chain walked back from the newest
 *    breaks once, at what was lost.
 * 4. Whoever reads the head first and the marks or a snapshot after it has seen all that
 *    was committed up to that head.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "mailbox.h"
#include "topic.h"

struct store;

struct store_conf {
	const char	*path;
	bool		 sync_full;		/* fsync each commit */
	int64_t		 retain_age_ms;		/* 0 = no limit */
	uint64_t	 retain_events_per_topic; /* 0 = no limit */
	uint64_t	 retain_bytes;		/* 0 = no limit; payload, about */
	uint64_t	 max_queue_bytes;	/* waiting appends; beyond: busy */
	uint64_t	 max_page_bytes_total;	/* pages not yet sent, all streams */
	uint64_t	 checkpoint_pages;	/* new pages of WAL; 0 = 1000 */
	int64_t		 retry_ms;		/* between reopenings; 0 = 1000 */
};

struct store_revocation;

/* News for the upper rooms, called on the writer's thread. */
struct store_hooks {
	void	*arg;
	/* These are durable and below the head now.  Borrows the array; takes one
	 * reference of each frame.  `subscribers[i]` is to be set to how many streams
	 * each goes to. */
	void	(*committed)(void *arg, struct frame **frames, size_t n,
		    unsigned int *subscribers);
	/* The writer thread, once: the disk has lost events that were announced.
	 * Nothing is served or stored any more until the log is opened anew, with
	 * another epoch, which tells every reader.  May be NULL. */
	void	(*lost)(void *arg);
};

/*
 * Open or create the database at conf->path, lock it against a second process, bring
 * the schema up to date, open a new epoch.  NULL: `err` names the file and says what to
 * mend.
 */
struct store	*store_open(const struct store_conf *conf, char *err,
		    size_t err_size);
/* Give the newest events, oldest first, up to `max_bytes` of frames, to `sink`, which
 * takes the references; `floor` is the seq before the first of them: everything above
 * it is given.  Before store_start().  0 or -1 (logged). */
int		 store_load_tail(struct store *st, size_t max_bytes,
		    void (*sink)(void *arg, struct frame **frames, size_t n,
		    uint64_t floor), void *arg);
/* Append events with times of their own, in one transaction that prunes nothing, before
 * store_start() or instead of it.  Borrows the frames and gives them their ids.  Other
 * than APPEND_OK: `err` says why, and only a close may follow. */
enum append_result store_import(struct store *st, struct frame **frames,
		    const int64_t *times_ms, size_t n, char *err, size_t err_size);
/*
 * Before store_start(): all revocations, oldest first, to `take`, and the time of the newest that was
 * dropped (0: none).  0; -1: `err` says what is wrong.
 */
int		 store_load_revocations(struct store *st, int (*take)(void *arg,
		    const struct store_revocation *r), void *arg,
		    int64_t *forgotten_ms, char *err, size_t err_size);
/* The same as store_import(), for what another log said of revocations. */
int		 store_import_revocations(struct store *st,
		    const struct store_revocation *v, size_t n, int64_t forgotten_ms,
		    char *err, size_t err_size);
int		 store_start(struct store *st, const struct store_hooks *hooks);
/* No append may come after store_stop(); those waiting are answered, then both threads
 * are gone. */
void		 store_stop(struct store *st);
void		 store_close(struct store *st);
/* The same for a log that was never started: as a file alone, with nothing beside it that
 * it needs, so that it may be put in another's place (store_copy.c).  0; -1 (logged): it
 * still needs the write-ahead log beside it. */
int		 store_close_alone(struct store *st);

/* Any thread: the last committed position, in the epoch of this run. */
struct event_id	 store_head(const struct store *st);
/* Any thread: may a stream go on from here?  The epoch is known, the seq below the next
 * epoch's first and not above the head. */
bool		 store_cursor_is_good(const struct store *st, struct event_id id);
/* Any thread: no event below this seq is there any more, about. */
uint64_t	 store_oldest(const struct store *st);
/* Any thread: the id that an event of that seq has (its own epoch). */
struct event_id	 store_id_of(const struct store *st, uint64_t seq);
/*
 * Any thread.  Has none of the plain topics in `t` had an event after `cursor`?  A true
 * answer holds for everything up to `*upto`, and then a stream may skip to there.  False
 * also when it cannot be told without the disk (patterns, topics not in memory).
 */
bool		 store_missed_nothing(struct store *st, const struct topics *t,
		    uint64_t cursor, uint64_t *upto);
/* Any thread: NULL when commits work, else a static phrase that says what does not. */
const char	*store_trouble(const struct store *st);

enum append_result {
	APPEND_OK,
	APPEND_DUPLICATE,	/* same key, same content: first_seq is the first's */
	APPEND_CONFLICT,	/* same key, other content */
	APPEND_FULL,		/* no space; nothing stored */
	APPEND_BUSY,		/* nothing stored */
	APPEND_UNKNOWN,		/* may or may not have been stored */
};

#define STORE_HASH_BYTES	16

/* Tokens that are good no more.  What the key is a hash of is the asker's business. */
struct store_revocation {
	unsigned char	 key[STORE_HASH_BYTES];
	int		 kind;		/* 0 to 15 */
	int64_t		 time_ms;	/* wall clock, above 0; a later one replaces */
};

/* One publish: all of its events or none. */
struct append {
	struct msg	  msg;		/* free for `done` to post it onwards */
	struct append	 *next;		/* the store's */
	struct frame	**frames;	/* the store takes one reference of each */
	size_t		  n;		/* 1 to 1000; with what follows here, 0 */
	const struct store_revocation *revocation;	/* or NULL; kept until `done` */
	int64_t		  forget_ms;	/* or 0: drop revocations of then and before */
	size_t		  bytes;	/* of all frames */
	bool		  has_key;
	unsigned char	  key[STORE_HASH_BYTES];
	unsigned char	  content[STORE_HASH_BYTES];
	/* On the writer's thread, exactly once. */
	void		(*done)(struct append *a);
	void		 *owner, *reply_to;	/* the asker's */
	/* The answer: events have the ids first..first + n - 1. */
	enum append_result result;
	struct event_id	  first;
	unsigned int	  subscribers;	/* of the first event */
};

/* Any thread; never blocks.  0: `done` will be called.  -1: the queue is full or the
 * log broken (a->result tells), nothing was taken but the frames' references. */
int		 store_append(struct store *st, struct append *a);

enum page_kind {
	PAGE_AFTER,	/* what follows `cursor` */
	PAGE_SINCE,	/* what was committed at or after `since_ms`: at most max_events,
			 * the newest; sets `cursor` and goes on as PAGE_AFTER */
	PAGE_REPLAY,	/* the newest `per_topic` of each topic, max_events in all;
			 * leaves the rest of the work in `plan` */
	PAGE_PLAN,	/* go on with a plan from plan_at */
};

struct page_ref {
	uint64_t	seq;
	int64_t		topic;
};

/* One piece of history to be read, and then the piece itself. */
struct page_job {
	struct msg	  msg;		/* free for `done` to post it onwards */
	struct page_job	 *next;		/* the store's */
	/* asked */
	enum page_kind	  kind;
	struct topics	 *topics;	/* one reference held by the job */
	uint64_t	  cursor;	/* PAGE_AFTER */
	int64_t		  since_ms;	/* PAGE_SINCE */
	size_t		  per_topic;	/* PAGE_REPLAY */
	size_t		  max_events;	/* PAGE_AFTER: more missed is too_far */
	bool		  counted;	/* PAGE_AFTER: asked before and was not too far */
	size_t		  max_page;	/* events in this page; 0 = no limit */
	size_t		  max_bytes;	/* of this page's frames; one always fits */
	bool		  charge;	/* against max_page_bytes_total, waiting for room */
	void		(*done)(struct page_job *j);	/* reader's thread */
	void		 *owner, *reply_to;	/* the asker's */
	_Atomic(bool)	  abandoned;	/* nobody wants the page any more */
	/* answered */
	bool		  failed;	/* the disk; logged */
	bool		  too_far;	/* and then no frames */
	uint64_t	  lost;		/* highest seq > cursor known to be pruned or
					 * damaged; else 0 */
	/* The pruning clock before and after the page: if both are even and equal (one
	 * page's before, a later one's after), nothing was pruned in between. */
	uint64_t	  pruned_before, pruned_after;
	struct frame	**frames;	/* ascending; one reference each */
	size_t		  n;
	uint64_t	  through;	/* complete up to here */
	bool		  more;		/* the page was cut short */
	/* What is to come, ascending: run the job again as PAGE_PLAN while `more`. */
	struct page_ref	 *plan;
	size_t		  plan_n, plan_at;
	uint64_t	  plan_head;	/* what `through` is after its last page */
};

struct page_job	*page_job_new(enum page_kind kind, struct topics *topics);
void		 page_job_free(struct page_job *j);	/* unrefs what it still holds */
/* Any thread. */
void		 store_read(struct store *st, struct page_job *j);

/* For /stats and /metrics; any thread, about now. */
struct store_stats {
	uint64_t	events, bytes, segments;
	uint64_t	oldest_seq, pruned_seq, forgotten_seq;
	uint64_t	commits, rows, duplicates, pages, wal_pages;
	/* by retention since the start, for each reason; wall ms of the last time */
	uint64_t	pruned_age, pruned_topic, pruned_bytes;
	int64_t		last_prune_ms;
	uint64_t	oldest_event;		/* seq of what is there; 0: nothing */
	int64_t		oldest_ms;		/* its time */
	size_t		queued_bytes, page_bytes, topics_in_memory;
};
void		 store_stats(struct store *st, struct store_stats *out);

#endif
