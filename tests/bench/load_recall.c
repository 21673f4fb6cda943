/*
 * load_recall.c - frames that were read before.
 *
 * An event reaches thousands of streams as the same bytes, and mostly behind the same
 * event.  Comparing with the frame that is expected next costs a tenth of reading it;
 * what differs by one byte is read.
 */
#include "config.h"

#include "load.h"

#include <stdlib.h>
#include <string.h>

#define REMEMBERED	1024	/* frames: a power of two */
#define FRAME_MAX	512	/* bytes; what is longer is read each time */

struct remembered {
	uint32_t len;		/* 0: none */
	uint32_t next;		/* what came behind it */
	struct sse_frame frame;	/* into `text` */
	struct mark mark;
	char text[FRAME_MAX];
};

struct recall {
	uint32_t first;		/* of the last buffer */
	uint32_t expected;
	uint32_t last;		/* the frame before; REMEMBERED: none */
	struct remembered all[REMEMBERED];
};

int
recall_init(struct load *l)
{
	l->recall = calloc(1, sizeof *l->recall);
	return l->recall != NULL ? 0 : -1;
}

void
recall_fini(struct load *l)
{
	free(l->recall);
}

void
recall_begin(struct load *l)
{
	l->recall->expected = l->recall->first;
	l->recall->last = REMEMBERED;
}

static uint32_t
place_of(const struct mark *m)
{
	uint64_t key = (uint64_t)m->lane << 32 | m->count;

	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & (REMEMBERED - 1);
}

/* The same part, as it stands in another copy of the frame. */
static const char *
moved(const char *part, const char *from, const char *to)
{
	return part != NULL ? to + (part - from) : NULL;
}

static void
move_frame(struct sse_frame *f, const char *from, const char *to)
{
	f->id = moved(f->id, from, to);
	f->name = moved(f->name, from, to);
	f->data = moved(f->data, from, to);
}

/* `at` has come: expect what came behind it the last time. */
static void
follow(struct recall *r, uint32_t at)
{
	if (r->last == REMEMBERED)
		r->first = at;
	else
		r->all[r->last].next = at;
	r->last = at;
	r->expected = r->all[at].next;
}

static void
remember(struct recall *r, const struct sse_frame *f, const struct mark *m,
    const char *p, const char *after)
{
	uint32_t at = place_of(m);
	struct remembered *k = &r->all[at];
	size_t len = (size_t)(after - p);

	if (len > FRAME_MAX)
		return;
	memcpy(k->text, p, len);
	k->len = (uint32_t)len;
	k->frame = *f;
	move_frame(&k->frame, p, k->text);
	k->mark = *m;
	follow(r, at);
}

const char *
recall_take(struct load *l, struct sse_frame *f, struct mark *m, bool *ours,
    const char *p, const char *end, const char **keep)
{
	struct recall *r = l->recall;
	const struct remembered *k = &r->all[r->expected];
	const char *after;

	if (k->len > 0 && (size_t)(end - p) >= k->len &&
	    memcmp(p, k->text, k->len) == 0) {
		*f = k->frame;
		move_frame(f, k->text, p);
		*m = k->mark;
		*ours = true;
		*keep = p + k->len;
		follow(r, r->expected);
		return p + k->len;
	}
	if ((after = sse_take(f, p, end, keep)) == NULL)
		return NULL;
	*ours = f->data != NULL && f->data_len >= MARK_LEN &&
	    mark_read(l, f->data, m);
	if (*ours)
		remember(r, f, m, p, after);
	return after;
}
