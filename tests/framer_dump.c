/*
 * framer_dump.c - random events and the blocks that sse.c makes of them, for a
 * parser that is not ours to read back (js/framer.mjs).
 *
 * usage: framer_dump SEED COUNT
 *
 * Writes records: a length (four bytes, little endian) and a line of JSON that
 * says what must arrive, then a length and the block.  One in four is an
 * envelope.
 */
#include "config.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "sse.h"
#include "text.h"

static uint64_t state;

/* splitmix64 */
static uint64_t
draw(uint64_t below)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

/* What a stream parser may trip over; the first are not legal in a name. */
static const char *const pieces[] = {
	"\n", "\r", "\r\n", "\n\n", "\r\r", "\n\r", "\r\n\r\n", "\t", "\x01",
	"\x0b", "\x0c", "\x1b[2J", "\x7f", "\xc2\x85",
#define NAME_PIECES	14
	" ", "  ", ":", ": ", "\xef\xbb\xbf", "\xe2\x80\xa8", "\xe2\x80\xa9",
	"id: 1", "id:", "event: x", "data: y", "data:", "data", "retry: 1",
	": hb", "a", "0", "{\"a\":1}", "\"", "\\", "\\n", "goal", "\xc3\xa9",
	"\xc3\xa4\xc3\xb6", "\xe2\x82\xac", "\xe6\x97\xa5\xe6\x9c\xac",
	"\xf0\x9f\x8e\x89", "\xf4\x8f\xbf\xbf", "\xef\xbf\xbf", "\xc2\xa0",
};
#define PIECES		(sizeof(pieces) / sizeof(pieces[0]))

static void
random_text(struct buf *b, size_t first, size_t max_pieces)
{
	size_t n = draw(max_pieces + 1);

	while (n-- > 0)
		buf_adds(b, pieces[first + draw(PIECES - first)]);
}

static void
random_data(struct buf *b)
{
	size_t n;

	switch (draw(64)) {
	case 0:			/* one long line, or two */
		n = draw(20000);
		while (n-- > 0)
			buf_addc(b, (char)('a' + draw(26)));
		random_text(b, 0, 1);
		/* FALLTHROUGH */
	case 1:
		random_text(b, 0, 400);
		break;
	default:
		random_text(b, 0, 12);
	}
}

/* What the format makes of line ends: each becomes LF. */
static void
add_normalised(struct buf *b, const struct buf *data)
{
	size_t i;

	for (i = 0; i < data->len; i++) {
		if (data->p[i] != '\r')
			buf_addc(b, data->p[i]);
		else if (i + 1 == data->len || data->p[i + 1] != '\n')
			buf_addc(b, '\n');
	}
}

static void
add_json_or_null(struct buf *b, const char *label, const char *p, size_t len)
{
	buf_addf(b, "\"%s\":", label);
	if (p == NULL)
		buf_adds(b, "null");
	else
		buf_add_json(b, p, len);
}

static void
put_record(const struct buf *b)
{
	unsigned char head[4];
	size_t i;

	if (b->failed || b->len > UINT32_MAX)
		abort();
	for (i = 0; i < 4; i++)
		head[i] = (unsigned char)(b->len >> (8 * i) & 0xff);
	if (fwrite(head, 1, 4, stdout) != 4 ||
	    fwrite(b->p, 1, b->len, stdout) != b->len)
		exit(1);
}

static void
one_event(void)
{
	struct buf data = { 0 }, plain = { 0 }, name = { 0 }, block = { 0 };
	struct buf expected = { 0 }, envelope = { 0 };
	char id_text[EVENT_ID_SIZE];
	const char *id = NULL, *n = NULL;
	struct event_id where;
	int64_t wall_ms;

	where.epoch = (uint32_t)draw(UINT64_C(1) << 32);
	where.seq = draw(UINT64_C(1) << (1 + draw(63)));
	(void)event_id_format(id_text, where);
	random_data(&data);
	if (event_check_data(data.p, data.len) != NULL)
		abort();
	if (draw(2) == 0) {
		random_text(&name, NAME_PIECES, 6);
		if (event_check_name(name.p, name.len) == NULL)
			n = name.p;
	}

	buf_addc(&expected, '{');
	if (draw(4) == 0) {
		wall_ms = (int64_t)draw(UINT64_C(253402300800000));
		sse_add_envelope(&envelope, id_text, name.p, name.len, n,
		    name.len, wall_ms, 0, data.p, data.len);
		sse_add_event(&block, id_text, NULL, 0, envelope.p,
		    envelope.len);
		add_json_or_null(&expected, "id", id_text, strlen(id_text));
		buf_adds(&expected, ",\"name\":null,");
		add_json_or_null(&expected, "topic", name.len == 0 ? "" :
		    name.p, name.len);
		buf_addc(&expected, ',');
		add_json_or_null(&expected, "event", n, name.len);
		buf_addf(&expected, ",\"ms\":%" PRId64 ",", wall_ms);
		add_json_or_null(&expected, "data", data.len == 0 ? "" :
		    data.p, data.len);
	} else {
		if (draw(4) != 0)
			id = id_text;
		sse_add_event(&block, id, n, name.len, data.p, data.len);
		add_normalised(&plain, &data);
		add_json_or_null(&expected, "id", id, strlen(id_text));
		buf_addc(&expected, ',');
		add_json_or_null(&expected, "name", n, name.len);
		buf_addc(&expected, ',');
		add_json_or_null(&expected, "data", plain.len == 0 ? "" :
		    plain.p, plain.len);
	}
	buf_adds(&expected, "}\n");
	put_record(&expected);
	put_record(&block);

	buf_fini(&data);
	buf_fini(&plain);
	buf_fini(&name);
	buf_fini(&block);
	buf_fini(&expected);
	buf_fini(&envelope);
}

int
main(int argc, char **argv)
{
	uint64_t seed, count;

	if (argc != 3 ||
	    text_parse_u64(argv[1], strlen(argv[1]), &seed) == -1 ||
	    text_parse_u64(argv[2], strlen(argv[2]), &count) == -1) {
		fprintf(stderr, "usage: framer_dump SEED COUNT\n");
		return 2;
	}
	state = seed;
	while (count-- > 0)
		one_event();
	return fflush(stdout) == 0 ? 0 : 1;
}
