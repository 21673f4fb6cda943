/*
 * map.h - a hash map from byte strings to pointers.
 *
 * Keys are hashed with SipHash-1-3 under a key drawn at start, so that strangers
 * who choose topics cannot choose collisions.  The map borrows keys: they must stay
 * where they are while in the map (usually inside the value).  One thread at a time.
 */
#ifndef MAP_H
#define MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

struct map	*map_new(void);		/* NULL: no memory */
void		 map_free(struct map *m);	/* values are the caller's */
size_t		 map_count(const struct map *m);
void		*map_get(const struct map *m, const void *key, size_t len);
/* 0, or -1 when memory ran out.  An equal key is replaced. */
int		 map_put(struct map *m, const void *key, size_t len, void *value);
/* Returns the value taken out, or NULL. */
void		*map_del(struct map *m, const void *key, size_t len);
/* Walk: start with *pos = 0; returns values until NULL.  The map must not change
 * meanwhile. */
void		*map_next(const struct map *m, size_t *pos);

uint64_t	 map_hash(const void *p, size_t len);	/* the keyed hash itself */

#endif
