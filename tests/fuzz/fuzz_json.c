/*
 * fuzz_json.c - the cutter of JSON beside jansson: both take the same texts, a compacted
 * one means the same and is compact already, strings decode alike.
 *
 * They part ways where json.h says so: numbers too large for jansson, names with a NUL,
 * values nested deeper than JSON_MAX_DEPTH, halves of surrogate pairs (refused when
 * decoded).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"	/* first: jansson has a macro json_typeof() */

#include <jansson.h>

#include "fuzz.h"

#define FLAGS	(JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

/* How deep brackets are nested. */
static size_t
depth_of(const char *p, size_t len)
{
	size_t depth = 0, deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			quoted = !quoted;
		else if (!quoted && (p[i] == '[' || p[i] == '{')) {
			if (++depth > deepest)
				deepest = depth;
		} else if (!quoted && (p[i] == ']' || p[i] == '}') && depth > 0)
			depth--;
	}
	return deepest;
}

/* Every string in it, decoded by both.  False: one holds half a pair. */
static bool
strings(struct json_slice v, const json_t *j)
{
	struct json_slice key, value;
	struct json_cursor c;
	struct buf b = { 0 };
	bool whole = true;
	size_t n = 0;

	json_open(&c, v.p, v.len);
	switch ((json_typeof)(v)) {
	case JSON_TYPE_STRING:
		if (json_unescape(v, &b) == -1)
			whole = false;
		else if (j != NULL) {
			MUST(json_is_string(j) && json_string_length(j) == b.len);
			MUST(b.len == 0 ||
			    memcmp(json_string_value(j), b.p, b.len) == 0);
		}
		break;
	case JSON_TYPE_ARRAY:
		for (; json_next_element(&c, &value) == 1; n++)
			whole = strings(value, json_array_get(j, n)) && whole;
		MUST(j == NULL || json_array_size(j) == n);
		break;
	case JSON_TYPE_OBJECT:
		/* jansson keeps the last of a repeated name: not compared. */
		for (; json_next_member(&c, &key, &value) == 1; n++)
			whole = strings(key, NULL) && strings(value, NULL) && whole;
		MUST(j == NULL || json_object_size(j) <= n);
		break;
	case JSON_TYPE_NUMBER:
		MUST(j == NULL || json_is_number(j));
		break;
	case JSON_TYPE_TRUE:
		MUST(j == NULL || json_is_true(j));
		break;
	case JSON_TYPE_FALSE:
		MUST(j == NULL || json_is_false(j));
		break;
	case JSON_TYPE_NULL:
		MUST(j == NULL || json_is_null(j));
		break;
	}
	buf_fini(&b);
	return whole;
}

static void
compacts(struct json_slice v, const json_t *j)
{
	struct buf once = { 0 }, twice = { 0 };
	struct json_cursor c;
	struct json_slice w;
	json_t *k;

	json_compact(v, &once);
	MUST(once.len <= v.len);
	json_open(&c, once.p, once.len);
	MUST(json_value(&c, &w) == 0 && w.len == once.len);
	json_compact(w, &twice);
	MUST(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0);
	if (j != NULL) {
		k = json_loadb(once.p, once.len, FLAGS, NULL);
		MUST(k != NULL && json_equal(k, j));
		json_decref(k);
	}
	buf_fini(&once);
	buf_fini(&twice);
}

FUZZ(json)
{
	struct part text = fuzz_copy(bytes, size);
	json_error_t error;
	struct json_cursor c;
	struct json_slice v;
	json_t *j = json_loadb(text.p, text.len, FLAGS, &error);
	bool ours, whole;

	json_open(&c, text.p, text.len);
	ours = json_value(&c, &v) == 0;
	if (ours) {
		MUST(v.p >= text.p && v.p + v.len <= text.p + text.len);
		MUST(v.len > 0 && c.p == v.p + v.len);
		ours = json_more(&c) == 0;
	} else {
		MUST(c.error != NULL);
		MUST(size == 0 || (c.p >= text.p && c.p <= text.p + text.len));
	}
	/* jansson takes a NUL behind a number for the end. */
	if (size > 0 && memchr(text.p, '\0', size) != NULL)
		MUST(!ours);
	else if (j != NULL)
		MUST(ours || depth_of(text.p, text.len) > JSON_MAX_DEPTH);
	if (ours) {
		MUST(depth_of(text.p, text.len) <= JSON_MAX_DEPTH);
		whole = strings(v, j);
		if (j == NULL)
			MUST(!whole ||
			    json_error_code(&error) == json_error_numeric_overflow ||
			    json_error_code(&error) == json_error_null_byte_in_key);
		else
			MUST(whole);
		compacts(v, j);
	}
	json_decref(j);
	free(text.p);
	return 0;
}
