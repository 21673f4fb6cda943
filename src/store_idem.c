/*
 * store_idem.c - idempotency keys in memory: the newest, no older than a day, and those
 * that the transaction under way has staged.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

int
idem_add(struct store *st, const unsigned char *key,
    const unsigned char *content, uint64_t seq, uint32_t events, int64_t time,
    bool staged)
{
	struct idem *e;

	if ((e = calloc(1, sizeof(*e))) == NULL)
		return -1;
	memcpy(e->key, key, STORE_HASH_BYTES);
	memcpy(e->content, content, STORE_HASH_BYTES);
	e->seq = seq;
	e->events = events;
	e->time = time;
	e->staged = staged;
	if (map_put(st->idem, e->key, STORE_HASH_BYTES, e) == -1) {
		free(e);
		return -1;
	}
	TAILQ_INSERT_TAIL(&st->idems, e, order);
	return 0;
}

static void
idem_drop(struct store *st, struct idem *e)
{
	if (map_get(st->idem, e->key, STORE_HASH_BYTES) == e)
		(void)map_del(st->idem, e->key, STORE_HASH_BYTES);
	TAILQ_REMOVE(&st->idems, e, order);
	free(e);
}

void
idem_clear(struct store *st)
{
	struct idem *e;

	while ((e = TAILQ_FIRST(&st->idems)) != NULL)
		idem_drop(st, e);
}

void
idem_expire(struct store *st, int64_t now_ms)
{
	struct idem *e;

	while ((e = TAILQ_FIRST(&st->idems)) != NULL &&
	    (e->time <= now_ms - IDEM_TTL_MS || map_count(st->idem) > IDEM_MAX))
		idem_drop(st, e);
}

void
idem_settle(struct store *st, bool keep)
{
	struct idem *e, *prev;

	for (e = TAILQ_LAST(&st->idems, idem_list); e != NULL && e->staged;
	    e = prev) {
		prev = TAILQ_PREV(e, idem_list, order);
		if (keep)
			e->staged = false;
		else
			idem_drop(st, e);
	}
}

int
idem_trim(struct store *st, size_t rows)
{
	const struct idem *oldest = TAILQ_FIRST(&st->idems);

	return db_run(&st->w, S_idem_trim, 2, (int64_t)(oldest != NULL ?
	    oldest->seq : st->next_seq), (int64_t)rows);
}
