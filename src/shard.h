/*
 * shard.h - one thread, one epoll set, the streams in it, its own tail and index.
 *
 * Nothing about a stream is shared with other threads.  They reach a shard through the
 * functions below, all of which post to its mailbox and return at once.
 */
#ifndef SHARD_H
#define SHARD_H

#include "frame.h"
#include "store.h"
#include "stream.h"

struct shard;

/* What the machine fixes for itself; 0 is the usual.  Small ones make what is rare on a
 * busy day common in a test. */
struct shard_limits {
	size_t		 page_bytes;	/* of history, at a time */
	size_t		 mailbox_bytes;	/* of news not yet taken */
	int		 send_bytes;	/* of a socket's buffer; the kernel doubles it */
	int64_t		 hold_ms;	/* pages held without progress go back */
};

struct shard_conf {
	int		 number;	/* 0, 1, ... */
	struct store	*store;
	size_t		 threads;	/* shards alike */
	size_t		 tail_bytes;	/* for the tails of all of them */
	size_t		 queue_bytes, max_replay;
	int64_t		 heartbeat_ms, retry_ms, stall_ms;
	struct shard_limits limits;
	/* On the shard's thread: a stream now listens (+1) or no longer does (-1). */
	void		*arg;
	void		(*interest)(void *arg, int number,
			    const struct topics *t, int delta);
	/* On the shard's thread: a stream is gone.  Borrows. */
	void		(*closed)(void *arg, const struct stream_ask *ask);
};

struct shard	*shard_new(const struct shard_conf *c);
int		 shard_start(struct shard *sh);
/* Ends the thread, closing what is left without a word. */
void		 shard_stop(struct shard *sh);
void		 shard_free(struct shard *sh);

/*
 * Committed events, ascending.  Takes one reference of each frame.  Any thread, but one
 * at a time, in commit order.  `wake`: somebody listens.  Posting is bounded: a shard
 * too far behind is told only how far the news goes, and reads on from the log.
 */
void	shard_news(struct shard *sh, struct frame **frames, size_t n, bool wake);
/* Before shard_start(): what the tail begins with. */
void	shard_load(struct shard *sh, struct frame **frames, size_t n,
	    uint64_t floor);
/* Takes the stream, its socket in it. */
void	shard_adopt(struct shard *sh, struct stream *s);
/* Tell all streams to go, spread over so long; later ones at once.  Once. */
void	shard_drain(struct shard *sh, int64_t over_ms);
/* End streams that rest on a key or on rules which are none of these.  Copies.  0 or -1
 * (no memory). */
int	shard_keep_grounds(struct shard *sh, const uint64_t *ids, size_t n);

/* Its part of a walk (walk.h), which it takes until that is done. */
struct walk_part;
void	shard_walk(struct shard *sh, struct walk_part *p);

/* Any thread: how many streams; when its thread last turned (monotonic ms). */
size_t	shard_streams(const struct shard *sh);
int64_t	shard_turned_at(const struct shard *sh);

#endif
