/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metric is a static struct with a map from label values to cells. The key is the values, each
 * with its NUL: unambiguous without escaping, and the values can be read back from it. The bound on
 * cells per metric is what keeps a label that a peer influences from eating the process.
 * Misuse (wrong number of label values, a counter that falls) is a broken invariant: abort.
 */
#include "common/metrics/metrics.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/metrics/registry.h"

enum {
	MAX_CELLS = 1000,
	MAX_LABELS = 4
};

static struct ops_metric dropped = OPS_COUNTER("ops_metrics_dropped_total",
	"Updates of label combinations beyond the limit of their metric.", "metric");

static struct ops_metric *registry;

struct ops_metric *ops_metric_first(void)
{
	return registry;
}

size_t ops_metric_label_count(const struct ops_metric *m)
{
	size_t n = 0;

	while (n < MAX_LABELS && m->labels[n] != NULL)
		n++;
	return n;
}

static struct ops_metric_cell *find_cell(struct ops_metric *m, const struct ops_strbuf *key)
{
	struct ops_metric_cell *cell = ops_map_get(m->cells, key->data, key->len);

	if (cell != NULL)
		return cell;
	if (ops_map_count(m->cells) >= MAX_CELLS) {
		if (m != &dropped)
			ops_metric_add(&dropped, 1, m->name);
		return NULL;
	}
	cell = ops_xcalloc(1, sizeof(*cell) + sizeof(cell->buckets[0]) * m->nbuckets);
	ops_map_put(m->cells, key->data, key->len, cell);
	return cell;
}

void ops_metric_register(struct ops_metric *m)
{
	struct ops_strbuf none = OPS_STRBUF_INIT;

	if (m->registered)
		return;
	for (const struct ops_metric *other = registry; other != NULL; other = other->next)
		ops_assert(strcmp(other->name, m->name) != 0);
	m->registered = true;
	m->cells = ops_map_new();
	m->next = registry;
	registry = m;
	if (ops_metric_label_count(m) == 0) {
		ops_strbuf_adds(&none, "");
		find_cell(m, &none);
		ops_strbuf_done(&none);
	}
}

static void read_key(struct ops_metric *m, va_list ap, struct ops_strbuf *ret)
{
	size_t n = ops_metric_label_count(m);

	ops_metric_register(m);
	ops_strbuf_adds(ret, "");
	for (size_t i = 0; i < n; i++) {
		const char *value = va_arg(ap, const char *);
		ops_assert(value != NULL);
		ops_strbuf_add(ret, value, strlen(value) + 1);
	}
	ops_assert(va_arg(ap, const char *) == NULL);
}

/* The cell for the label values in ap; NULL when the metric is full. */
static struct ops_metric_cell *cell_for(struct ops_metric *m, va_list ap)
{
	struct ops_strbuf key = OPS_STRBUF_INIT;

	read_key(m, ap, &key);
	struct ops_metric_cell *cell = find_cell(m, &key);
	ops_strbuf_done(&key);
	return cell;
}

void ops_metric_add_(struct ops_metric *m, double by, ...)
{
	va_list ap;

	ops_assert(m->type == OPS_METRIC_GAUGE || (m->type == OPS_METRIC_COUNTER && by >= 0));
	va_start(ap, by);
	struct ops_metric_cell *cell = cell_for(m, ap);
	va_end(ap);
	if (cell != NULL)
		cell->value += by;
}

void ops_metric_set_(struct ops_metric *m, double to, ...)
{
	va_list ap;

	ops_assert(m->type != OPS_METRIC_HISTOGRAM);
	va_start(ap, to);
	struct ops_metric_cell *cell = cell_for(m, ap);
	va_end(ap);
	if (cell != NULL)
		cell->value = to;
}

void ops_metric_observe_(struct ops_metric *m, double value, ...)
{
	va_list ap;
	size_t bucket = 0;

	ops_assert(m->type == OPS_METRIC_HISTOGRAM);
	va_start(ap, value);
	struct ops_metric_cell *cell = cell_for(m, ap);
	va_end(ap);
	if (cell == NULL)
		return;
	cell->value += value;
	cell->count++;
	/* Written so that NaN falls into +Inf. */
	while (bucket < m->nbuckets && !(value <= m->buckets[bucket]))
		bucket++;
	if (bucket < m->nbuckets)
		cell->buckets[bucket]++;
}

void ops_metric_forget_(struct ops_metric *m, ...)
{
	struct ops_strbuf key = OPS_STRBUF_INIT;
	va_list ap;

	va_start(ap, m);
	read_key(m, ap, &key);
	va_end(ap);
	free(ops_map_remove(m->cells, key.data, key.len));
	ops_strbuf_done(&key);
}

double ops_metric_value_(struct ops_metric *m, ...)
{
	struct ops_strbuf key = OPS_STRBUF_INIT;
	va_list ap;

	va_start(ap, m);
	read_key(m, ap, &key);
	va_end(ap);
	const struct ops_metric_cell *cell = ops_map_get(m->cells, key.data, key.len);
	ops_strbuf_done(&key);
	if (cell == NULL)
		return 0;
	return m->type == OPS_METRIC_HISTOGRAM ? (double)cell->count : cell->value;
}
