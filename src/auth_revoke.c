/*
 * auth_revoke.c - a map from hashes to times, and the list of its entries by age.
 */
#include "config.h"

#include "auth_revoke.h"

#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "map.h"
#include "text.h"

#define KIND_JTI	1	/* else a sub */
#define KIND_ISSUER	2	/* of one issuer, else of all */
#define KINDS		4

struct revoked {
	TAILQ_ENTRY(revoked) age;
	struct store_revocation v;
	uint64_t	 number;	/* the how many-th it was */
};

struct auth_revoked {
	struct map	*map;		/* by key */
	TAILQ_HEAD(, revoked) list;	/* oldest first, but for clocks that went back */
	size_t		 max;
	size_t		 of_kind[KINDS];
	uint64_t	 number;
	int64_t		 forgotten_ms;	/* up to then some were dropped; 0: none */
};

/* The hash of what a revocation of that kind names; iss NULL: of all issuers. */
static int
name_key(unsigned char key[STORE_HASH_BYTES], int kind, const char *iss,
    const char *text, size_t len)
{
	struct digest *d;

	if ((d = digest_new()) == NULL)
		return -1;
	digest_add(d, kind & KIND_JTI ? "jti" : "sub", 3);
	if (iss != NULL)
		digest_add(d, iss, strlen(iss));
	digest_add(d, text, len);
	return digest_end(d, key);
}

int
auth_revocation_name(const struct auth_revocation *v, int64_t time_ms,
    struct store_revocation *out)
{
	*out = (struct store_revocation){
		.kind = (v->is_jti ? KIND_JTI : 0) | (v->iss != NULL ? KIND_ISSUER : 0),
		.time_ms = time_ms,
	};
	return name_key(out->key, out->kind, v->iss, v->text, v->len);
}

struct auth_revoked *
auth_revoked_new(size_t max)
{
	struct auth_revoked *r;

	if ((r = calloc(1, sizeof *r)) == NULL)
		return NULL;
	if ((r->map = map_new()) == NULL) {
		free(r);
		return NULL;
	}
	TAILQ_INIT(&r->list);
	r->max = max;
	return r;
}

static void
drop(struct auth_revoked *r, struct revoked *e)
{
	(void)map_del(r->map, e->v.key, sizeof e->v.key);
	TAILQ_REMOVE(&r->list, e, age);
	r->of_kind[e->v.kind]--;
	free(e);
}

void
auth_revoked_free(struct auth_revoked *r)
{
	struct revoked *e;

	if (r == NULL)
		return;
	while ((e = TAILQ_FIRST(&r->list)) != NULL)
		drop(r, e);
	map_free(r->map);
	free(r);
}

bool
auth_revoked_has_room(const struct auth_revoked *r, const struct store_revocation *v)
{
	return map_count(r->map) < r->max ||
	    map_get(r->map, v->key, sizeof v->key) != NULL;
}

int
auth_revoke(struct auth_revoked *r, const struct store_revocation *v)
{
	struct revoked *e;

	/* Of a newer fanfare, perhaps: it stays in the database. */
	if (v->kind < 0 || v->kind >= KINDS)
		return 0;
	if ((e = map_get(r->map, v->key, sizeof v->key)) != NULL) {
		if (v->time_ms > e->v.time_ms)
			e->v.time_ms = v->time_ms;
		TAILQ_REMOVE(&r->list, e, age);
	} else {
		if ((e = calloc(1, sizeof *e)) == NULL)
			return -1;
		e->v = *v;
		if (map_put(r->map, e->v.key, sizeof e->v.key, e) == -1) {
			free(e);
			return -1;
		}
		r->of_kind[v->kind]++;
	}
	TAILQ_INSERT_TAIL(&r->list, e, age);
	e->number = ++r->number;
	return 0;
}

int
auth_revoked_take(void *arg, const struct store_revocation *v)
{
	return auth_revoke(arg, v);
}

uint64_t
auth_revoked_number(const struct auth_revoked *r)
{
	return r->number;
}

static const struct revoked *
find(const struct auth_revoked *r, const struct auth_identity *id, int kind, bool *failed)
{
	const char *text = kind & KIND_JTI ? id->jti : id->sub;
	unsigned char key[STORE_HASH_BYTES];

	if (r->of_kind[kind] == 0 || text == NULL)
		return NULL;
	if (name_key(key, kind, kind & KIND_ISSUER ? id->iss : NULL, text, strlen(text)) == -1) {
		*failed = true;
		return NULL;
	}
	return map_get(r->map, key, sizeof key);
}

bool
auth_is_revoked(const struct auth_revoked *r, const struct auth_identity *id,
    uint64_t since, char *why, size_t why_size)
{
	const char *none = id->iat_ms == 0 ? "; it has no iat, so it counts as older" : "";
	const struct revoked *e;
	char when[TEXT_TIME_SIZE];
	bool failed = false;
	int kind;

	if (id->is_api_key)
		return false;
	for (kind = 0; kind < KINDS; kind++) {
		if ((e = find(r, id, kind, &failed)) == NULL)
			continue;
		text_format_time(when, e->v.time_ms);
		if (kind & KIND_JTI) {
			(void)snprintf(why, why_size, "the token is revoked: its jti was, "
			    "at %s", when);
			return true;
		}
		if (id->iat_ms > e->v.time_ms && e->number <= since)
			continue;
		(void)snprintf(why, why_size, "the token is revoked: those of its sub "
		    "were that were issued up to %s (claim iat)%s", when, none);
		return true;
	}
	if (failed) {
		(void)snprintf(why, why_size, "out of memory: nobody knows whether the "
		    "token is revoked");
		return true;
	}
	if (id->iat_ms > r->forgotten_ms || r->forgotten_ms == 0)
		return false;
	text_format_time(when, r->forgotten_ms);
	(void)snprintf(why, why_size, "the token may be revoked: it was issued before %s, "
	    "and what was revoked until then is not known any more, as auth.max_life "
	    "was shorter (claim iat)%s", when, none);
	return true;
}

size_t
auth_revoked_count(const struct auth_revoked *r)
{
	return map_count(r->map);
}

int64_t
auth_revoked_oldest(const struct auth_revoked *r)
{
	const struct revoked *e = TAILQ_FIRST(&r->list);

	return e != NULL ? e->v.time_ms : 0;
}

void
auth_revoked_forgot(struct auth_revoked *r, int64_t ms)
{
	if (ms > r->forgotten_ms)
		r->forgotten_ms = ms;
}

size_t
auth_revoked_forget(struct auth_revoked *r, int64_t until_ms, size_t n)
{
	struct revoked *e;
	size_t dropped = 0;

	while (dropped < n && (e = TAILQ_FIRST(&r->list)) != NULL &&
	    e->v.time_ms <= until_ms) {
		auth_revoked_forgot(r, e->v.time_ms);
		drop(r, e);
		dropped++;
	}
	return dropped;
}
