/*
 * ledger.h - publishers under load, and what became of each of their publishes.
 *
 * Publishers ask one after the other, each on a connection of its own; a subscriber
 * follows and resumes; the log is read back.  The judge compares: what was acked or
 * seen stands in the log under that id, what was refused does not, nothing twice.
 * One thread plays all parts, so that the order in which it saw things is certain.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "harness.h"

#define PUBLISHERS_MAX	16

/* What became of one publish. */
struct fate {
	int64_t	acked;		/* the seq in the answer; 0: there was none */
	int64_t	streamed;	/* the seq the subscriber saw; 0: it did not */
	int64_t	logged;		/* the seq in the log; 0: not there */
	bool	refused;	/* the answer said that nothing was stored */
};

struct publisher {
	struct http	*h;		/* NULL: not connected */
	bool		 waits;		/* for an answer */
	int64_t		 sent_ms, pause_ms;	/* until when it pauses */
	int		 n, cap, judged;	/* publishes so far */
	struct fate	*fates;
};

/* One more than the longest that is told apart. */
#define LATENCIES	60001

struct ledger {
	struct server	*s;
	struct publisher pub[PUBLISHERS_MAX];
	int		 publishers;
	size_t		 pad;		/* bytes of data beside the number */
	bool		 may_refuse;	/* 503 store_* is an answer */
	bool		 stopping;	/* so are a 503 of any kind and the end */
	bool		 may_prune;	/* gaps are told, then */
	struct stream	*st;		/* NULL: no subscriber */
	int64_t		 seen;		/* the last seq it saw */
	char		*cursor;	/* how far the log was read */
	int64_t		 last;		/* and the last seq there */
	int64_t		 pruned;	/* what is below may be gone */
	int		 stored;	/* answers of 200 */
	int		 acked, unknown, refused;	/* so far */
	int		 full, busy, vague;	/* refused: by code */
	char		 last_code[32];
	int		 latency[LATENCIES];	/* answers by ms */
};

/* A ledger of this server's topics load/0, load/1, ...: none is connected yet. */
struct ledger	*ledger_new(struct server *s, int publishers, size_t pad);
/* The subscriber comes (back), each publisher connects and asks. */
void	 ledger_connect(struct ledger *l);
/* Go on for so long, or until `publishes` more were answered (0: no limit). */
void	 ledger_run(struct ledger *l, int64_t ms, int publishes);
/* The server ends or has ended: take what is on its way. */
void	 ledger_disconnect(struct ledger *l);
/* Ask nothing more, take the answers that are due, and what the stream owes. */
void	 ledger_quiesce(struct ledger *l);
/* Read the log on from where it was read to, then judge all publishes since the last
 * judgement; counts them. */
void	 ledger_judge(struct ledger *l);
/* The longest of the quickest `percent` of the answers, in ms; clears them. */
int	 ledger_latency(struct ledger *l, int percent);

/* Is the log in order?  Asked of the sqlite3 program, which leaves the log behind the
 * database alone, and of `fanfare verify`. */
void	 store_is_whole(const char *path);
/* Any line of SQL with that program; what it said, and its exit code in *code. */
char	*sqlite_cli(const char *path, const char *sql, int *code);

#endif
