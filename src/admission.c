/*
 * admission.c - an atomic count of all streams, and one by name for each limit.
 *
 * A name is an address or a principal; it is forgotten with its last stream, so there are
 * never more names than twice the streams.
 */
#include "config.h"

#include "admission.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

#define KINDS		2		/* address, token */

/* Written as "a" and the address, or "t" and the principal's bytes. */
struct name {
	size_t	 streams;
	size_t	 len;
	char	 text[1 + 48];
};

struct admission {
	struct admission_limits limits;
	_Atomic(size_t)	 streams;
	pthread_mutex_t	 lock;		/* names; innermost */
	struct map	*names;
};

struct admission *
admission_new(const struct admission_limits *l)
{
	struct admission *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	if ((a->names = map_new()) == NULL) {
		free(a);
		return NULL;
	}
	a->limits = *l;
	(void)pthread_mutex_init(&a->lock, NULL);
	return a;
}

void
admission_free(struct admission *a)
{
	struct name *n;
	size_t pos = 0;

	if (a == NULL)
		return;
	while ((n = map_next(a->names, &pos)) != NULL)
		free(n);
	map_free(a->names);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* The names that count for this guest, where there is a limit: how many. */
static size_t
names_of(const struct admission *a, const struct guest *g, struct name out[KINDS],
    size_t limits[KINDS], enum admitted refusals[KINDS])
{
	size_t n = 0, len = strlen(g->address);

	if (a->limits.per_address > 0 && len > 0) {
		out[n] = (struct name){ .len = 1 + len, .text = "a" };
		memcpy(out[n].text + 1, g->address, len);
		limits[n] = a->limits.per_address;
		refusals[n++] = ADMITTED_NOT_ADDRESS;
	}
	if (a->limits.per_token > 0 && g->principal != 0) {
		out[n] = (struct name){ .len = 1 + sizeof(g->principal), .text = "t" };
		memcpy(out[n].text + 1, &g->principal, sizeof(g->principal));
		limits[n] = a->limits.per_token;
		refusals[n++] = ADMITTED_NOT_TOKEN;
	}
	return n;
}

/* Under the lock, as the next one. */
static void
leave_name(struct admission *a, const struct name *which)
{
	struct name *n = map_get(a->names, which->text, which->len);

	assert(n != NULL && n->streams > 0);
	if (--n->streams > 0)
		return;
	(void)map_del(a->names, n->text, n->len);
	free(n);
}

static enum admitted
enter_name(struct admission *a, const struct name *which, size_t limit,
    enum admitted refusal)
{
	struct name *n = map_get(a->names, which->text, which->len);

	if (n != NULL) {
		if (n->streams >= limit)
			return refusal;
		n->streams++;
		return ADMITTED;
	}
	if ((n = malloc(sizeof(*n))) == NULL)
		return ADMITTED_NOT;
	*n = *which;
	n->streams = 1;
	if (map_put(a->names, n->text, n->len, n) == -1) {
		free(n);
		return ADMITTED_NOT;
	}
	return ADMITTED;
}

enum admitted
admission_enter(struct admission *a, const struct guest *g)
{
	enum admitted r = ADMITTED, refusals[KINDS];
	struct name names[KINDS];
	size_t limits[KINDS], n = names_of(a, g, names, limits, refusals), i = 0;

	if (atomic_fetch_add(&a->streams, 1) >= a->limits.streams &&
	    a->limits.streams > 0)
		r = ADMITTED_NOT;
	if (n > 0 && r == ADMITTED) {
		pthread_mutex_lock(&a->lock);
		while (i < n && r == ADMITTED) {
			r = enter_name(a, &names[i], limits[i], refusals[i]);
			i += r == ADMITTED;
		}
		/* All of its places or none. */
		while (r != ADMITTED && i > 0)
			leave_name(a, &names[--i]);
		pthread_mutex_unlock(&a->lock);
	}
	if (r != ADMITTED)
		atomic_fetch_sub(&a->streams, 1);
	return r;
}

void
admission_leave(struct admission *a, const struct guest *g)
{
	enum admitted refusals[KINDS];
	struct name names[KINDS];
	size_t limits[KINDS], n = names_of(a, g, names, limits, refusals);

	if (n > 0) {
		pthread_mutex_lock(&a->lock);
		for (size_t i = 0; i < n; i++)
			leave_name(a, &names[i]);
		pthread_mutex_unlock(&a->lock);
	}
	atomic_fetch_sub(&a->streams, 1);
}

size_t
admission_count(const struct admission *a)
{
	return a->streams;
}

size_t
admission_names(struct admission *a)
{
	size_t n;

	pthread_mutex_lock(&a->lock);
	n = map_count(a->names);
	pthread_mutex_unlock(&a->lock);
	return n;
}
