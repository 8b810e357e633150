/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text format 0.0.4. Families and their series are sorted, so that two scrapes of an unchanged
 * process differ in values only: our own collector reuses a page's layout as long as it stays.
 */
#include "common/metrics/metrics.h"

#include <string.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/metrics/registry.h"

struct hook {
	void (*fn)(void *);
	void *arg;
};

static struct hook *hooks;
static size_t nhooks, cap_hooks;

void ops_metrics_on_collect(void (*fn)(void *), void *arg)
{
	OPS_GROW(hooks, nhooks, cap_hooks);
	hooks[nhooks++] = (struct hook){fn, arg};
}

static void add_escaped(struct ops_strbuf *out, const char *s, bool quoted)
{
	struct ops_strbuf clean = OPS_STRBUF_INIT;

	ops_strbuf_add_utf8(&clean, s, strlen(s));
	ops_strbuf_add_escaped(out, ops_strbuf_text(&clean), clean.len, quoted);
	ops_strbuf_done(&clean);
}

static void add_label(struct ops_strbuf *out, const char *name, const char *value, char before)
{
	ops_strbuf_addc(out, before);
	ops_strbuf_adds(out, name);
	ops_strbuf_adds(out, "=\"");
	add_escaped(out, value, true);
	ops_strbuf_addc(out, '"');
}

struct series {
	const struct ops_metric *m;
	const char *values; /* NUL-terminated label values, one after the other */
	size_t len;
	const struct ops_metric_cell *cell;
};

/* name suffix { labels, le } value; le == NULL leaves it out. */
static void add_line(struct ops_strbuf *out, const struct series *s, const char *suffix,
	const char *le, double value)
{
	size_t n = ops_metric_label_count(s->m);
	const char *at = s->values;
	char before = '{';

	ops_strbuf_adds(out, s->m->name);
	ops_strbuf_adds(out, suffix);
	for (size_t i = 0; i < n; i++, at += strlen(at) + 1) {
		add_label(out, s->m->labels[i], at, before);
		before = ',';
	}
	if (le != NULL) {
		add_label(out, "le", le, before);
		before = ',';
	}
	ops_strbuf_adds(out, before == ',' ? "} " : " ");
	ops_strbuf_add_double(out, value);
	ops_strbuf_addc(out, '\n');
}

static void add_histogram(struct ops_strbuf *out, const struct series *s)
{
	struct ops_strbuf le = OPS_STRBUF_INIT;
	uint64_t below = 0;

	for (size_t i = 0; i < s->m->nbuckets; i++) {
		below += s->cell->buckets[i];
		ops_strbuf_reset(&le);
		ops_strbuf_add_double(&le, s->m->buckets[i]);
		add_line(out, s, "_bucket", le.data, (double)below);
	}
	ops_strbuf_done(&le);
	add_line(out, s, "_bucket", "+Inf", (double)s->cell->count);
	add_line(out, s, "_sum", NULL, s->cell->value);
	add_line(out, s, "_count", NULL, (double)s->cell->count);
}

static int by_values(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	int order = memcmp(x->values, y->values, OPS_MIN(x->len, y->len));

	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static void add_family(struct ops_strbuf *out, const struct ops_metric *m)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct series *all = ops_xcalloc(ops_map_count(m->cells), sizeof(*all));
	struct ops_map_entry e;
	size_t n = 0;

	ops_strbuf_printf(out, "# HELP %s ", m->name);
	add_escaped(out, m->help, false);
	ops_strbuf_printf(out, "\n# TYPE %s %s\n", m->name, types[m->type]);
	for (size_t at = 0; ops_map_next(m->cells, &at, &e);)
		all[n++] = (struct series){m, e.key, e.len, e.value};
	qsort(all, n, sizeof(*all), by_values);
	for (size_t i = 0; i < n; i++) {
		if (m->type == OPS_METRIC_HISTOGRAM)
			add_histogram(out, &all[i]);
		else
			add_line(out, &all[i], "", NULL, all[i].cell->value);
	}
	free(all);
}

static int by_name(const void *a, const void *b)
{
	const struct ops_metric *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

void ops_metrics_expose(struct ops_strbuf *out)
{
	const struct ops_metric **families = NULL;
	size_t n = 0, cap = 0;

	ops_metrics_collect_process();
	for (size_t i = 0; i < nhooks; i++)
		hooks[i].fn(hooks[i].arg);
	for (const struct ops_metric *m = ops_metric_first(); m != NULL; m = m->next) {
		OPS_GROW(families, n, cap);
		families[n++] = m;
	}
	if (n > 0)
		qsort(families, n, sizeof(*families), by_name);
	for (size_t i = 0; i < n; i++)
		add_family(out, families[i]);
	free(families);
}
