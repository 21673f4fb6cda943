/*
 * hub.h - from one commit to every shard, and the count of who listens.
 *
 * Owns the shards.  Also says whether one more stream may come in.
 */
#ifndef HUB_H
#define HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admission.h"
#include "frame.h"
#include "shard.h"
#include "store.h"
#include "stream.h"

struct hub;

struct hub_conf {
	struct store	*store;
	int		 threads;	/* shards */
	size_t		 tail_bytes, queue_bytes, max_replay;
	int64_t		 heartbeat_ms, retry_ms, stall_ms;
	struct admission_limits admission;
	struct shard_limits limits;
};

struct hub	*hub_new(const struct hub_conf *c);
/* Fill the tails and start the threads.  0 or -1 (logged). */
int		 hub_start(struct hub *h);
void		 hub_stop(struct hub *h);	/* threads gone, streams closed */
void		 hub_free(struct hub *h);	/* after store_stop() */

/* store_hooks.committed: the writer's thread. */
void		 hub_publish(void *arg, struct frame **frames, size_t n,
		    unsigned int *subscribers);
/*
 * Any thread: may one more stream come?  ADMITTED takes a place, which the stream (its
 * ask holds the guest) gives back when it ends, and hub_leave() if it never came to be.
 * While draining nobody may.
 */
enum admitted	 hub_admit(struct hub *h, const struct guest *g);
void		 hub_leave(struct hub *h, const struct guest *g);
/* Any thread: takes an admitted stream with its socket. */
void		 hub_adopt(struct hub *h, struct stream *s);

void		 hub_drain(struct hub *h, int64_t over_ms);
bool		 hub_is_draining(const struct hub *h);
/* Any thread: in how long those who are turned away meanwhile shall come back. */
int64_t		 hub_return_ms(const struct hub *h);
/* End the streams that rest on other keys or rules.  0; or -1 (no memory): some may
 * stay. */
int		 hub_keep_grounds(struct hub *h, const uint64_t *ids, size_t n);

/* Takes a walk over the streams of all shards, made for hub_shards() of them. */
struct walk;
void		 hub_walk(struct hub *h, struct walk *w);

size_t		 hub_streams(const struct hub *h);
/* NULL when every thread has turned lately; else a static phrase. */
const char	*hub_trouble(const struct hub *h);
size_t		 hub_shard_streams(const struct hub *h, size_t shard);	/* /stats */
size_t		 hub_shards(const struct hub *h);

#endif
