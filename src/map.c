/*
 * map.c - open addressing with linear probing and backward-shift deletion.
 *
 * At most three quarters full.  Hashes are kept beside the values, so that a probe
 * touches a key only when all 64 bits agree and growing hashes nothing again.
 */
#include "config.h"

#include "map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define MAP_MIN_SLOTS	16

struct slot {
	uint64_t	 hash;
	const void	*key;
	size_t		 len;
	void		*value;		/* NULL: empty */
};

struct map {
	struct slot	*slots;
	size_t		 nslots;	/* a power of two */
	size_t		 count;
};

static uint64_t		 seed[2];
static pthread_once_t	 seeded = PTHREAD_ONCE_INIT;

static void
draw_seed(void)
{
	clock_draw(seed, sizeof(seed));
}

#define ROTL(x, b)	(((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND							\
	do {								\
		v0 += v1; v1 = ROTL(v1, 13); v1 ^= v0; v0 = ROTL(v0, 32); \
		v2 += v3; v3 = ROTL(v3, 16); v3 ^= v2;			\
		v0 += v3; v3 = ROTL(v3, 21); v3 ^= v0;			\
		v2 += v1; v1 = ROTL(v1, 17); v1 ^= v2; v2 = ROTL(v2, 32); \
	} while (0)

/* SipHash-1-3, as Aumasson and Bernstein define it. */
uint64_t
map_hash(const void *p, size_t len)
{
	const unsigned char *in = p;
	uint64_t v0, v1, v2, v3, m, last = (uint64_t)len << 56;
	size_t i;

	(void)pthread_once(&seeded, draw_seed);
	v0 = seed[0] ^ 0x736f6d6570736575u;
	v1 = seed[1] ^ 0x646f72616e646f6du;
	v2 = seed[0] ^ 0x6c7967656e657261u;
	v3 = seed[1] ^ 0x7465646279746573u;
	for (; len >= 8; len -= 8, in += 8) {
		memcpy(&m, in, 8);
		v3 ^= m;
		SIPROUND;
		v0 ^= m;
	}
	for (i = 0; i < len; i++)
		last |= (uint64_t)in[i] << (8 * i);
	v3 ^= last;
	SIPROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

struct map *
map_new(void)
{
	struct map *m;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		return NULL;
	m->nslots = MAP_MIN_SLOTS;
	if ((m->slots = calloc(m->nslots, sizeof(*m->slots))) == NULL) {
		free(m);
		return NULL;
	}
	return m;
}

void
map_free(struct map *m)
{
	if (m == NULL)
		return;
	free(m->slots);
	free(m);
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

/* The slot that holds the key, or the empty one where it would go. */
static struct slot *
find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
	size_t i = hash & (m->nslots - 1);
	struct slot *s;

	for (;; i = (i + 1) & (m->nslots - 1)) {
		s = &m->slots[i];
		if (s->value == NULL || (s->hash == hash && s->len == len &&
		    memcmp(s->key, key, len) == 0))
			return s;
	}
}

static int
resize(struct map *m, size_t nslots)
{
	struct slot *old = m->slots, *s;
	size_t i, j, nold = m->nslots;

	if ((s = calloc(nslots, sizeof(*s))) == NULL)
		return -1;
	for (i = 0; i < nold; i++) {
		if (old[i].value == NULL)
			continue;
		j = old[i].hash & (nslots - 1);
		while (s[j].value != NULL)
			j = (j + 1) & (nslots - 1);
		s[j] = old[i];
	}
	free(old);
	m->slots = s;
	m->nslots = nslots;
	return 0;
}

void *
map_get(const struct map *m, const void *key, size_t len)
{
	return find(m, map_hash(key, len), key, len)->value;
}

int
map_put(struct map *m, const void *key, size_t len, void *value)
{
	uint64_t hash = map_hash(key, len);
	struct slot *s = find(m, hash, key, len);

	if (s->value == NULL) {
		if ((m->count + 1) * 4 > m->nslots * 3) {
			if (resize(m, m->nslots * 2) == -1)
				return -1;
			s = find(m, hash, key, len);
		}
		m->count++;
	}
	s->hash = hash;
	s->key = key;
	s->len = len;
	s->value = value;
	return 0;
}

void *
map_del(struct map *m, const void *key, size_t len)
{
	struct slot *s = find(m, map_hash(key, len), key, len);
	size_t hole, i, home, mask = m->nslots - 1;
	void *value = s->value;

	if (value == NULL)
		return NULL;
	/* Close the hole: pull back whatever probed past it. */
	hole = (size_t)(s - m->slots);
	for (i = (hole + 1) & mask; m->slots[i].value != NULL;
	    i = (i + 1) & mask) {
		home = m->slots[i].hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].value = NULL;
	m->count--;
	if (m->nslots > MAP_MIN_SLOTS && m->count * 8 < m->nslots)
		(void)resize(m, m->nslots / 2);	/* no memory: stays large */
	return value;
}

void *
map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->nslots)
		if (m->slots[(*pos)++].value != NULL)
			return m->slots[*pos - 1].value;
	return NULL;
}
