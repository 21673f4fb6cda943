/*
 * store_internal.h - what the files of the store share; nobody else includes it.
 *
 * Who may touch what: fields under "writer" belong to the writer's thread (and to
 * store_open before it starts); fields under "lock" need st->lock; atomics say so.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <sys/queue.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "map.h"
#include "store.h"

#define SEGMENT_SHIFT		12		/* as the schema has it */
/* No seq is ever near this: a higher one is damage. */
#define SEQ_MAX			(INT64_C(1) << 60)
#define EVENT_OVERHEAD		64		/* bytes a row costs beside its payload */
#define MARKS_MAX		262144		/* topics in memory */
#define EMPTY_TOPICS_MAX	100000		/* remembered without events */
#define SETTLE_AFTER		65536		/* seqs a topic row may lag behind */
#define CACHE_PART		4	/* of the budget for pages is the cache's */
#define IDEM_MAX		500000		/* keys in memory */
#define IDEM_TTL_MS		(24 * 3600 * 1000LL)
#define EPOCHS_KEPT		1000
#define WAL_PAGES_CHECKPOINT	1000
#define RETRY_MS		1000
#define WAL_PAGES_RESTART	12000	/* readers kept it growing: wait for them */
#define BUSY_MS			2000	/* the writer's patience with other programs */
#define CHECKPOINT_BUSY_MS	50	/* and with their snapshots */

/* Every statement, prepared when first used: name of the SQL constant. */
#define STATEMENTS(X)							\
	X(begin_write) X(begin_read) X(commit)				\
	X(epoch_insert) X(epoch_all) X(epoch_newest) X(epoch_trim)	\
	X(topic_find) X(topic_name) X(topic_insert) X(topic_update)	\
	X(topic_last_id) X(topic_range) X(topic_from) X(topic_all)	\
	X(topic_count) X(topic_emptied) X(topic_empty_count)		\
	X(topic_empty_oldest) X(topic_delete) X(topic_settle)		\
	X(event_insert) X(event_link) X(event_step_over) X(event_get)	\
	X(event_delete)							\
	X(event_range) X(event_size) X(event_newest) X(event_above)	\
	X(event_time) X(event_scan) X(event_oldest) X(event_last_seq)	\
	X(segment_put) X(segment_delete) X(segment_all)			\
	X(segment_at_time) X(idem_insert) X(idem_all) X(idem_trim)	\
	X(state_get) X(state_put)					\
	X(revoke_put) X(revoke_all) X(revoke_state) X(revoke_note) X(revoke_forget)

enum statement {
#define X(name) S_##name,
	STATEMENTS(X)
#undef X
	STATEMENT_COUNT
};

/* What whoever reads "database disk image is malformed" wants to know. */
#define DAMAGED	"; \"fanfare verify\" says more; restore a backup, or save what can be " \
	"read with \"fanfare recover\""

/* A connection and its prepared statements; one thread. */
struct db {
	sqlite3		*h;
	sqlite3_stmt	*stmts[STATEMENT_COUNT];
};

/* The statement, reset and ready to bind; NULL (logged) if it cannot be prepared. */
sqlite3_stmt	*db_stmt(struct db *db, enum statement s);
/* Run a statement that yields no row, binding integers; SQLITE_DONE or an error. */
int		 db_run(struct db *db, enum statement s, int nargs, ...);
int		 db_exec(struct db *db, const char *sql);	/* SQLITE_OK or error */
bool		 db_is_damaged(const struct db *db);	/* by its last error */
/* One integer that a pragma or a query yields, or `missing`. */
int64_t		 db_int(struct db *db, const char *sql, int64_t missing);
void		 db_close(struct db *db);
/* Does the answer mean that another program holds a lock? */
bool		 db_is_busy(int rc);
/* What failed last.  Where that is not SQLite's, it is memory of ours. */
const char	*db_why(const struct db *db);
/*
 * Sync the folder that `path` is in; an error of SQLite's.  SQLite does that in the first
 * sync of a file that it has just made; where that failed, a new connection takes the name
 * for durable that is not.  It also does so, when asked, as a file goes: that is used here.
 */
int		 db_sync_folder(const char *path);
/* Open read-only for a reader.  0 or -1 (logged). */
int		 db_open_reader(struct db *db, const char *path);

/* What is known of a topic.  In memory for the topics used last. */
struct mark {
	TAILQ_ENTRY(mark) lru;		/* writer */
	TAILQ_ENTRY(mark) late;		/* writer: row is behind; by late_since */
	struct mark	*touched;	/* writer: next of this transaction */
	bool		 is_touched, is_late, was_late;
	bool		 is_gone;	/* writer: forgotten by this transaction */
	int64_t		 id;		/* key in marks_by_id */
	bool		 has_row;	/* writer: stands in the topic table */
	uint64_t	 newest, nth;	/* lock to read elsewhere: committed */
	uint64_t	 w_newest, w_nth;	/* writer: with this transaction */
	uint64_t	 late_since;	/* seq that made the row late */
	bool		 empty, w_empty;
	uint64_t	*kept;		/* writer: ring of the seqs that are there,
					 * oldest first; made when retention by count
					 * first needs it, else NULL */
	size_t		 kept_cap, kept_head, kept_n;
	size_t		 len;
	char		 name[];
};
TAILQ_HEAD(mark_list, mark);

struct cache;

struct segment {
	uint64_t	segment;
	uint64_t	events, bytes;
	int64_t		first_ms;
	bool		changed, has_row;
};

enum prune_reason { PRUNE_AGE, PRUNE_TOPIC, PRUNE_BYTES, PRUNE_REASONS };

/* A row of the oldest segment, to be pruned in seq order. */
struct front_row {
	uint64_t	seq;
	int64_t		topic;
	int64_t		time;
	uint64_t	bytes;
};

struct idem {
	TAILQ_ENTRY(idem) order;	/* by age */
	unsigned char	 key[STORE_HASH_BYTES];
	unsigned char	 content[STORE_HASH_BYTES];
	uint64_t	 seq;
	uint32_t	 events;
	unsigned int	 subscribers;	/* as first answered; 0 after a restart */
	bool		 staged;	/* of the transaction under way */
	int64_t		 time;
};
TAILQ_HEAD(idem_list, idem);

struct epoch {
	uint32_t	epoch;
	uint64_t	first_seq;
};

/* What stands in one row of the log.  Borrows its strings; no name is NULL or 0 long. */
struct row {
	struct event_id	 id;
	uint64_t	 prev, nth;
	int64_t		 time, flags;
	const char	*topic, *name, *data;
	size_t		 topic_len, name_len, data_len;
	bool		 has_sum;
	int64_t		 sum;
};

struct store {
	struct store_conf conf;
	char		*path;
	int		 lock_fd;
	struct store_hooks hooks;

	/* constant once open */
	struct epoch	*epochs;
	size_t		 nepochs;

	/* atomics, written by the writer */
	_Atomic(uint64_t) head;
	_Atomic(const char *) trouble;
	_Atomic(bool)	 gone;			/* what was announced: serve nothing */
	_Atomic(uint64_t) forgotten, pruned, oldest;
	_Atomic(uint64_t) n_events, n_bytes, n_segments, n_commits, n_rows, n_dups,
			 n_wal;
	_Atomic(uint64_t) n_pages;		/* written by the reader */
	/* Odd while a transaction that prunes is under way; two equal even readings
	 * mean that nothing was pruned between them. */
	_Atomic(uint64_t) prune_clock;
	/* What retention took since the start, and what is left; for people. */
	_Atomic(uint64_t) n_pruned[PRUNE_REASONS], oldest_event;
	_Atomic(int64_t) oldest_ms, last_prune_ms;

	/* lock: the marks as others see them */
	pthread_mutex_t	 lock;
	struct map	*marks;			/* by name */
	bool		 marks_complete;	/* every topic there is stands in it */

	/* writer */
	struct db	 w;
	struct map	*marks_by_id;
	struct mark_list lru, late;
	size_t		 nmarks;
	struct mark	*touched;
	int64_t		 last_topic_id;
	uint64_t	 empty_topics;
	uint64_t	 next_seq;
	uint64_t	 stored;		/* the last announced by this run; or 0 */
	uint64_t	 settled;
	uint64_t	 summed;	/* rows up to here have no sum; set while no
					 * reader runs */
	bool		 state_changed;
	const char	*senseless;	/* what store_load() read; or NULL */
	struct segment	*segs;			/* ascending */
	size_t		 nsegs, segs_cap;
	struct front_row *front;
	size_t		 front_n, front_at, front_cap;
	uint64_t	 front_segment;
	bool		 prune_more;		/* the last step did not finish */
	size_t		 unpruned, unpruned_commits;	/* events, since that step */
	uint64_t	 pruning[PRUNE_REASONS];	/* in this transaction */
	uint64_t	 told_pruned[PRUNE_REASONS];	/* n_pruned when last told */
	int64_t		 prune_told;	/* mono ms; 0: never */
	bool		 oldest_stale;	/* oldest_event may be gone */
	int64_t		 oldest_looked;	/* mono ms */
	uint64_t	 wal_checked;		/* its pages at the last checkpoint */
	/* The clock of retention: store_age_ms(). */
	int64_t		 aged_ms, aged_at, jumped_at;
	int64_t		 stamped_ms;		/* of the newest event */
	uint64_t	 back_seq;		/* all up to this one were stored ... */
	int64_t		 back_at;		/* ... before this (mono): the clock went back */
	struct map	*idem;
	struct idem_list idems;
	int64_t		 broken_since;		/* 0: not */
	bool		 has_reserve;		/* store_space.c */
	bool		 is_full;		/* the database may not grow */
	int64_t		 room_tried;		/* when a full disk was last dealt with */
	pthread_t	 writer;

	/* queue_lock */
	pthread_mutex_t	 queue_lock;
	pthread_cond_t	 queue_cond;
	struct append	*queue, **queue_tail;
	bool		 stopping;
	_Atomic(uint64_t) queue_bytes;

	/* read_lock */
	pthread_mutex_t	 read_lock;
	pthread_cond_t	 read_cond;
	struct page_job	*jobs, **jobs_tail;
	bool		 read_stopping;
	bool		 hold, held;		/* the reader closes; it has closed */
	pthread_cond_t	 held_cond;
	pthread_t	 reader;
	struct frame_budget page_budget;
	struct cache	*cache;			/* the reader's */
	bool		 started, is_ours;
};

/* store.c */
/* Read everything the writer keeps in memory from its connection; also announces to
 * nobody.  Used at open and after a failure. */
int		 store_load(struct store *st, char *err, size_t err_size);
/* Read the counters again that a failed transaction may have moved.  0 or -1. */
int		 store_recount(struct store *st);
int		 store_open_writer(struct store *st, char *err, size_t err_size);
/* Make a frame of an event_get row.  NULL: no memory; or *damaged (logged): its sum is
 * wrong, and it must be taken for one that is lost. */
struct frame	*store_row_frame(struct store *st, sqlite3_stmt *s, uint64_t seq,
		    const char *topic, size_t topic_len, bool *damaged);
/* Is this database ours, and no newer than we are?  0; -1: `err` says what to mend. */
int		 store_identify(struct db *db, const char *path, char *err,
		    size_t err_size);
/* Bring the schema up to date, or make it.  0; -1: `err` says what failed. */
int		 store_migrate(struct db *db, const char *path, char *err,
		    size_t err_size);
int		 store_schema(void);	/* the user_version that is up to date */
/* Are its tables those of its version?  Tells each fault and returns how many; -1: only
 * that there is more than ours. */
int		 store_compare(struct db *db, void (*fault)(void *arg, const char *text),
		    void *arg);
/* All epochs in order, returned new; NULL: `*damaged`, or an error of the database or
 * of memory. */
struct epoch	*store_epochs(struct db *db, size_t *n, bool *damaged);

/* store_row.c: a row and its sum */
int64_t		 row_sum(const struct row *r);
void		 row_of_frame(const struct frame *f, struct row *r);
void		 row_read(sqlite3_stmt *s, struct row *r); /* all but id and topic */
int64_t		 revocation_sum(const struct store_revocation *r);
bool		 row_is_whole(const struct row *r, uint64_t summed);
uint32_t	 epoch_of(const struct epoch *epochs, size_t n, uint64_t seq);

/* store_copy.c: what tools do first.  Read-only, of this fanfare's schema; 0 or -1.  Who
 * wants the extent has begun a read; -1: the database's error.  Salvage: with a damaged
 * write-ahead log too, which is read as far as it goes. */
struct store_extent;
int		 tool_open(struct db *db, const char *path, bool salvage, char *err,
		    size_t err_size);
int		 tool_extent(struct db *db, struct store_extent *out,
		    const char **why);

/* store_wal.c: is the write-ahead log beside `path` the one that belongs there, and can
 * all of it be read?  Only while nobody has the database open.  0; 1: behind its end stands
 * a torn commit; -1: damaged; -2: not the one that belongs there; `err` tells. */
int		 wal_check(const char *path, char *err, size_t err_size);

/* store_prune.c.  What time it is for all that grows old, which no stamp needs to be: a
 * wall clock that jumps forward for less than ten minutes ages nothing. */
int64_t		 store_age_ms(struct store *st);
/* An event is stamped with this. */
void		 store_note_stamp(struct store *st, uint64_t seq, int64_t ms);

/* store_marks.c: topics in memory; the writer's thread but for store_mark_peek */
struct mark	*marks_get(struct store *st, const char *name, size_t len);
struct mark	*marks_load(struct store *st, const char *name, size_t len,
		    int64_t id, uint64_t newest, uint64_t nth, bool empty);
void		 marks_touch(struct store *st, struct mark *m);
void		 marks_set_late(struct store *st, struct mark *m);
/* Write the topic's row now.  SQLITE_DONE or an error. */
int		 marks_flush(struct store *st, struct mark *m);
int		 marks_flush_late(struct store *st, bool all);
void		 marks_committed(struct store *st);
void		 marks_rolled_back(struct store *st);
/* Both do a bounded piece, for n events appended. */
void		 marks_evict(struct store *st, size_t n);
int		 marks_forget(struct store *st, size_t n); /* topics without events */
void		 marks_clear(struct store *st);
/* Any thread: 1 and id, newest; 0 not in memory; -1 there is no such topic. */
int		 marks_peek(struct store *st, const char *name, size_t len,
		    int64_t *id, uint64_t *newest);

/* store_prune.c: retention; within the writer's transaction.  SQLITE_OK or error. */
int		 prune_step(struct store *st, int64_t now_ms, size_t max_rows);
int		 prune_topic(struct store *st, struct mark *m);
struct segment	*segment_of(struct store *st, uint64_t segment, bool make,
		    int64_t now_ms);
int		 segments_write(struct store *st);
void		 segments_drop_empty(struct store *st);
/* After a commit, or a failure: count what was pruned; now and then tell of it and look
 * which event is the oldest. */
void		 prune_committed(struct store *st, int64_t now_ms);
void		 prune_rolled_back(struct store *st);
void		 prune_look(struct store *st);	/* which event is the oldest */

/* store_space.c: a full disk; the writer's thread.  Keep something back, if there is
 * room for it; then the database may grow again. */
void		 space_reserve(struct store *st);
/* Give it back: from now on the database may not grow. */
void		 space_release(struct store *st);
/* Only that, when no server may come. */
void		 space_free(struct store *st);
/* A new connection has to be told again. */
void		 space_limit(struct store *st);

/* store_writer.c, store_reader.c: the threads */
void		*writer_main(void *arg);
void		*reader_main(void *arg);
/* The reader closes its connection, and opens no other until it is released. */
void		 reader_hold(struct store *st);
void		 reader_release(struct store *st);
/* What the writer says in st->trouble. */
extern const char full_trouble[], write_trouble[], busy_trouble[];
/* A checkpoint of the writer's; SQLite's answer.  Readers of our own leave at once; one of another program may stay for hours, and then
 * the WAL just grows: nobody's publish waits for that. */
int		 writer_checkpoint(struct store *st, int mode);

/* store_reopen.c, in the writer's thread: while st->broken_since is set, now and then. */
void		 store_reopen(struct store *st);

/* store_idem.c, in the writer's thread.  0; -1: no memory. */
int		 idem_add(struct store *st, const unsigned char *key,
		    const unsigned char *content, uint64_t seq, uint32_t events,
		    int64_t time, bool staged);
void		 idem_clear(struct store *st);
/* Forget keys that are too old or too many. */
void		 idem_expire(struct store *st, int64_t now_ms);
/* The transaction is over: keep what it staged, or forget it. */
void		 idem_settle(struct store *st, bool keep);
/* Up to so many rows go, of keys that memory has dropped.  SQLITE_DONE or an error. */
int		 idem_trim(struct store *st, size_t rows);

/* store_revoke.c, within the writer's transaction: what the append says of revocations.
 * SQLITE_DONE or an error. */
int		 revoke_stage(struct store *st, const struct append *a);
/* Salvage: whatever can be read; true: all of it. */
bool		 revoke_salvage(struct db *db, void (*take)(void *arg,
		    const struct store_revocation *r), void *arg, int64_t *forgotten_ms);
/* One row of revoke_all; false: it is damaged. */
bool		 revoke_read(sqlite3_stmt *q, struct store_revocation *r);

/* store_page.c: the reader's thread.  Fill in the job, up to `head`.  0, or -1: the log
 * cannot be read; the transaction may stand open either way. */
int		 page_find(struct store *st, struct db *db, struct page_job *j,
		    uint64_t head);

/* store_cache.c: the reader's thread. */
struct cache	*cache_new(size_t max_bytes);	/* NULL: no memory */
void		 cache_free(struct cache *c);
void		 cache_clear(struct cache *c);
/* Borrowed until the next put or clear; NULL if it is not there. */
struct frame	*cache_get(const struct cache *c, uint64_t seq);
void		 cache_put(struct cache *c, struct frame *f);	/* takes a reference */

#endif
