/*
 * store_row.c - a row of the log outside of frames: its columns, and the sum over them.
 *
 * The sum is written with the row and looked at whenever the row is read: a page of the
 * database has none, and a bit that flips in a text is still a text.  It covers the id
 * and the topic's name, so that a row is not taken for another's either.
 */
#include "config.h"

#include <endian.h>
#include <string.h>

#include "store_internal.h"

/* Both steps can be undone, so two words that differ never end alike. */
static uint64_t
mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t
mix_bytes(uint64_t h, const char *p, size_t len)
{
	uint64_t word;

	h = mix(h, len);
	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = mix(h, le64toh(word));
	}
	if (len > 0) {
		word = 0;
		memcpy(&word, p, len);
		h = mix(h, le64toh(word));
	}
	return h;
}

int64_t
row_sum(const struct row *r)
{
	uint64_t h = 0x66616e6661726531u, sum;
	int64_t out;

	h = mix(h, r->id.epoch);
	h = mix(h, r->id.seq);
	h = mix(h, r->prev);
	h = mix(h, r->nth);
	h = mix(h, (uint64_t)r->time);
	h = mix(h, (uint64_t)r->flags);
	h = mix_bytes(h, r->topic, r->topic_len);
	h = mix_bytes(h, r->name, r->name_len);
	sum = mix_bytes(h, r->data, r->data_len);
	memcpy(&out, &sum, sizeof(out));
	return out;
}

int64_t
revocation_sum(const struct store_revocation *r)
{
	uint64_t h = 0x66616e6661726532u, sum;
	int64_t out;

	h = mix(h, (uint64_t)r->kind);
	h = mix(h, (uint64_t)r->time_ms);
	sum = mix_bytes(h, (const char *)r->key, sizeof(r->key));
	memcpy(&out, &sum, sizeof(out));
	return out;
}

void
row_of_frame(const struct frame *f, struct row *r)
{
	*r = (struct row){
		.id = f->id, .prev = f->prev, .nth = f->nth, .time = f->wall_ms,
		.flags = f->flags, .topic = f->topic, .topic_len = f->topic_len,
		.name = f->name, .name_len = f->name_len,
		.data = f->data, .data_len = f->data_len,
	};
}

void
row_read(sqlite3_stmt *s, struct row *r)
{
	*r = (struct row){
		.prev = (uint64_t)sqlite3_column_int64(s, 0),
		.nth = (uint64_t)sqlite3_column_int64(s, 1),
		.time = sqlite3_column_int64(s, 2),
		.flags = sqlite3_column_int64(s, 3),
		.name = (const char *)sqlite3_column_text(s, 4),
		.name_len = (size_t)sqlite3_column_bytes(s, 4),
		.data = sqlite3_column_blob(s, 5),
		.data_len = (size_t)sqlite3_column_bytes(s, 5),
		.has_sum = sqlite3_column_type(s, 6) != SQLITE_NULL,
		.sum = sqlite3_column_int64(s, 6),
	};
	if (r->data == NULL)
		r->data = "";		/* SQLite's way to say empty */
}

bool
row_is_whole(const struct row *r, uint64_t summed)
{
	return r->has_sum ? r->sum == row_sum(r) : r->id.seq <= summed;
}

uint32_t
epoch_of(const struct epoch *epochs, size_t n, uint64_t seq)
{
	size_t lo = 0, hi = n, mid;

	/* The last epoch that began at or before seq: one that began there and then
	 * gave out nothing has a successor with the same first seq. */
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (epochs[mid].first_seq <= seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return epochs[lo > 0 ? lo - 1 : 0].epoch;
}
