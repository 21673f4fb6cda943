/*
 * metrics.c - an array of atomic numbers.
 */
#include "config.h"

#include "metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

static const struct {
	const char	*type, *name, *help;
} table[METRIC_COUNT] = {
#define X(id, type, name, help) [METRIC_##id] = { #type, name, help },
	METRICS(X)
#undef X
};

static _Atomic(int64_t) values[METRIC_COUNT];

void
metric_add(enum metric m, int64_t n)
{
	atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

int64_t
metric_get(enum metric m)
{
	return atomic_load_explicit(&values[m], memory_order_relaxed);
}

void
metrics_render_one(struct buf *b, const char *type, const char *name,
    const char *help, double value)
{
	const char *suffix = type[0] == 'c' ? "_total" : "";

	buf_addf(b, "# HELP fanfare_%s%s %s\n# TYPE fanfare_%s%s %s\n"
	    "fanfare_%s%s %.17g\n", name, suffix, help, name, suffix, type, name,
	    suffix, value);
}

void
metrics_render(struct buf *b)
{
	for (size_t i = 0; i < METRIC_COUNT; i++)
		metrics_render_one(b, table[i].type, table[i].name,
		    table[i].help, (double)metric_get((enum metric)i));
}

void
metrics_render_json(struct buf *b)
{
	for (size_t i = 0; i < METRIC_COUNT; i++)
		buf_addf(b, "%s\"%s\":%" PRId64, i > 0 ? "," : "",
		    table[i].name, metric_get((enum metric)i));
}
