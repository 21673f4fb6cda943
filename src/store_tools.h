/*
 * store_tools.h - a log looked at from outside: copied, checked, read from end to end.
 *
 * Everything here reads the database file only, beside a running server or without one;
 * nothing writes to it and nothing checkpoints it.  Functions return 0; or -1 and `err`
 * names the file and what to mend.  One thread.
 */
#ifndef STORE_TOOLS_H
#define STORE_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "topic.h"

/* Told now and then how far long work is; `of` is 0 when nobody knows. */
struct store_progress {
	void	*arg;
	void	(*show)(void *arg, const char *what, uint64_t done, uint64_t of);
};

struct store_revocation;

/* What a log holds. */
struct store_extent {
	uint64_t	 events, bytes;		/* of payload, as retention counts them */
	uint64_t	 topics, topics_empty, epochs, segments, keys, revocations;
	struct event_id	 oldest, newest;	/* seq 0: no events */
	int64_t		 oldest_ms, newest_ms;
	uint64_t	 pruned;		/* highest seq that ever was */
	uint64_t	 file_bytes;
};

/*
 * Copy the log as it stands at one moment into a new file, which is synced and has its
 * name only when it is whole.  `to` must not exist.
 */
int	store_backup(const char *path, const char *to, const struct store_progress *p,
	    struct store_extent *out, char *err, size_t err_size);

/*
 * Check all there is to check; each fault is told as one line of text.  -1: it could not
 * be looked at (and no fault was told).  `faults`: how many; 100 are told at most.
 */
int	store_verify(const char *path, const struct store_progress *p,
	    void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults,
	    struct store_extent *out, char *err, size_t err_size);

/* One event, borrowed for the call. */
struct store_event {
	struct event_id	 id;
	int64_t		 time_ms;
	unsigned int	 flags;		/* EVENT_* */
	const char	*topic, *name, *data;	/* name NULL: none */
	size_t		 topic_len, name_len, data_len;
};

struct store_export {
	const struct topics *topics;	/* NULL: all */
	bool		 has_after;
	struct event_id	 after;		/* begin behind it */
	bool		 salvage;	/* a damaged log: go on behind the damage */
	/* false stops, and that is no failure. */
	bool		(*take)(void *arg, const struct store_event *e);
	/* Salvage: the revocations, before the events; or NULL. */
	void		(*revoked)(void *arg, const struct store_revocation *r);
	void		*arg;
	/* answered */
	int64_t		 forgotten_ms;	/* salvage: store_load_revocations() has it */
	bool		 revocations_lost;	/* salvage: some could not be read */
	uint64_t	 taken;		/* events */
	bool		 gap;		/* some behind `after` were pruned */
	uint64_t	 damaged;	/* salvage: rows whose sums are wrong: left out */
	uint64_t	 unreadable;	/* salvage: places where reading failed */
	bool		 unchecked;	/* salvage: without epochs no sum can be */
	uint64_t	 expected;	/* salvage: events there should be, about */
};

/* The events that are there when it begins, in order, in little memory. */
int	store_export(const char *path, struct store_export *x,
	    const struct store_progress *p, char *err, size_t err_size);

/* As store_load_revocations(), of a log that a server may have open. */
int	store_read_revocations(const char *path, int (*take)(void *arg,
	    const struct store_revocation *r), void *arg, int64_t *forgotten_ms,
	    char *err, size_t err_size);

/* Does a process hold the log?  Its id in `*pid` (0: unknown). */
bool	store_is_held(const char *path, long *pid);

#endif
