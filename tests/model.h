/*
 * model.h - what each client of the stream machine is owed, in the plainest words.
 *
 * The truth is a list of the events that were acknowledged, by seq, with what is needed
 * to tell which of them may be pruned by now, and the epochs.  A client judges each byte
 * it is given by that list.  Nothing here knows the server's sources but the shape of an
 * id, so that no mistake of theirs is repeated.
 *
 * What holds is what fanfare-promises(7) says: every event that matches, once, in order,
 * byte for byte, unless a gap was told before and the event is gone; no gap when nothing is
 * missing; fanfare.live once, behind everything up to its id; no id ahead of what was
 * given.  What may differ from run to run (how far a stream was when it began anew) is
 * left open until the stream says it.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MODEL_TOPICS	20
#define MODEL_EVENTS	60000
#define MODEL_NAMES	12
#define MODEL_EPOCHS	256
#define MODEL_GIVEN	64
#define MODEL_BLOCK	(256 * 1024)

struct id {
	uint32_t	 epoch;
	uint64_t	 seq;
};

/* An event that was acknowledged.  Its data follows from salt and size. */
struct fact {
	uint32_t	 epoch, salt, size;
	int		 topic;
	bool		 named, json;
	uint64_t	 nth;		/* of its topic */
	int64_t		 wall_ms;
};

/* A copy of this struct is a point to go back to: facts only grow behind it. */
struct truth {
	struct fact	*facts;		/* by seq */
	uint64_t	 head;
	uint64_t	 pruned_below;	/* of these some may be there still */
	uint64_t	 per_topic;	/* kept of each topic; 0: all */
	uint64_t	 nth[MODEL_TOPICS];
	struct id	 epochs[MODEL_EPOCHS];	/* each with its first seq */
	size_t		 nepochs;
	size_t		 max_replay;
	int64_t		 heartbeat_ms;
};

extern const char *const model_topics[MODEL_TOPICS];

const char	*fact_data(const struct fact *f, size_t *len);	/* until the next call */
bool		 truth_is_good(const struct truth *t, struct id id);
bool		 truth_is_gone(const struct truth *t, uint64_t seq);	/* perhaps */

enum fault { FAULT_NONE, FAULT_RESET, FAULT_UNKNOWN };

/* How what comes next is judged. */
enum mode {
	EXACT,		/* all that follows pos */
	FROM_NOW,	/* nothing of the past: from the first that comes, or live */
	REPLAY,		/* the newest few of each topic, as of some moment from now on,
			 * and all that follows; each topic without a hole */
	JUMP,		/* since=, cut short: from anywhere, but all behind `bound` */
};

struct client {
	int		 number;
	/* the page: the same on each connection */
	const char	*names[MODEL_NAMES];
	size_t		 nnames;
	uint32_t	 topics;	/* a bit for each it wants */
	size_t		 replay;
	int64_t		 since_ms;	/* before now; 0: none */
	bool		 envelope, beats;
	struct id	 given[MODEL_GIVEN];	/* ids that it was ever given */
	size_t		 ngiven;

	/* the connection */
	int		 fd;		/* -1: none */
	bool		 stalled;
	size_t		 speed;		/* bytes it reads in a turn */
	bool		 expires, draining;	/* then a close is no surprise */
	bool		 has_cursor, resumed, began, live, closed;
	enum fault	 fault;		/* to be told first of all */
	char		 cursor[80];	/* as sent */
	enum mode	 mode;
	bool		 by_time;	/* what is gone may be missing without a word */
	uint64_t	 had;		/* what its cursor stands for */
	uint64_t	 pos;		/* all up to here is accounted for */
	uint64_t	 bound;		/* 0: not known before live */
	uint64_t	 head0;		/* when it connected */
	uint64_t	 oldest;	/* of a gap: nothing below may follow */
	size_t		 gaps;
	size_t		 phase_n[MODEL_TOPICS];	/* REPLAY: how many came, */
	uint64_t	 phase_last[MODEL_TOPICS];	/* and the last of them */
	unsigned char	*marks;		/* by seq */
	char		*in;
	size_t		 in_len;
	uint64_t	 events, blocks;
};

void	client_init(struct client *c, int number);
void	client_fini(struct client *c);
/* Which topics do its names match? */
void	client_sets_topics(struct client *c);
/* It connects now; the cursor's text or NULL, and what is wrong with it. */
void	client_begin(const struct truth *t, struct client *c, const char *text,
	    enum fault fault, struct id cursor, int64_t since_wall_ms);
/* Judge what came. */
void	client_feed(const struct truth *t, struct client *c, const char *p, size_t len);
/* It has come to rest: what is judged only then. */
void	client_settle(const struct truth *t, struct client *c);
/* Must something still come, if nobody publishes any more? */
bool	client_is_owed(const struct truth *t, const struct client *c);

/* The trace: the last steps, for whoever reads of a failure. */
void	trace(int client, const char *f, ...) __attribute__((format(printf, 2, 3)));
void	trace_begin(const char *f, ...) __attribute__((format(printf, 1, 2)));
/* The test fails: show what happened to this client (-1: to all). */
void	wrong(int client, const char *f, ...)
	    __attribute__((format(printf, 2, 3), noreturn));

#endif
