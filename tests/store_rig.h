/*
 * store_rig.h - a store in this process, publishers, and a ledger of what each was told.
 *
 * Every event has data of its own, from which it is known again wherever it turns up.
 * The ledger outlives the store: rig_check() holds the log that was found on the disk
 * against all that was ever answered or announced.  One log at a time.
 */
#ifndef STORE_RIG_H
#define STORE_RIG_H

#include "harness.h"
#include "store.h"

#define RIG_TOPICS	5
#define RIG_APPENDS	20000		/* on one log */
#define RIG_EVENTS	60000

struct rig_event {
	size_t		append;
	bool		announced;	/* handed to `committed`, or found at a start */
	bool		gone;		/* lost where that is allowed */
	bool		there;		/* in the log, at the last check */
	struct event_id	id;
};

struct rig_append {
	enum append_result result;
	bool		answered, keyed;
	int		topic;
	size_t		first, n;	/* its events */
	struct event_id	id;		/* as answered */
};

struct rig {
	struct store	*st;
	struct store_conf conf;
	char		 path[128];
	struct rig_append appends[RIG_APPENDS];
	size_t		 nappends;
	struct rig_event events[RIG_EVENTS];
	size_t		 nevents;
	size_t		 order[RIG_EVENTS];	/* of announcement */
	size_t		 norder;
	uint64_t	 opened_at;	/* the head of the log that was found */
	char		 wrong[512];	/* what a thread found wrong first */
};
extern struct rig rig;

/* A new log, in the test's directory, with an empty ledger. */
void	 rig_new(void);
/* Open and start; false: `rig_error` says why. */
bool	 rig_open(void);
extern char rig_error[512];
void	 rig_close(void);
/* Publish n events and wait for the answer. */
struct rig_append *rig_publish(int topic, size_t n, bool keyed);
/* The same again, with its key. */
enum append_result rig_repeat(size_t append, struct event_id *first);
/* So many threads publish at random; until each did so many appends or the power went. */
void	 rig_publishers(int threads, int appends);
/* Wait until commits work: an append is acknowledged. */
struct rig_append *rig_recover(void);
bool	 rig_wait_trouble(bool trouble, int ms);	/* until there is, or none */

/* The first page of that; `topic` is "**" or rig_topic(0..RIG_TOPICS - 1). */
struct page_job *rig_page(enum page_kind kind, const char *topic, uint64_t cursor);
const char *rig_topic(int i);
/* Is everything in the page an event that it may hold, and is nothing missing that was
 * announced, between the cursor and `through`, but what it says is lost? */
void	 rig_check_page(const struct page_job *j, const char *topic, uint64_t cursor);

enum rig_loss {
	RIG_NOTHING,		/* all that was announced is there */
	RIG_SUFFIX,		/* or a last part of it is gone */
	RIG_PRUNED,		/* what pruning took is told as lost */
};
/* The whole log against the ledger. */
void	 rig_check(enum rig_loss loss);

#endif
