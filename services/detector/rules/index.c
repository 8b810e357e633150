/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules read which samples. Selectors with a fixed metric name - nearly all - hang under that
 * name; the rest is tried for every series. A layout is matched once, when it becomes known, and a
 * batch then marks its rules without looking at a single label.
 *
 * Matching a layout would cost series times rules of the metric. Most series of a layout have the
 * same job, instance and whatever else names the target, and most rules want one job: a rule that
 * no such label fits is left out for the layout at once, and one that reads a series is not tried
 * on the others.
 */
#include "services/detector/rules/internal.h"

#include <string.h>

static struct det_rule_list *list_of(struct ops_map *map, const void *key, size_t len)
{
	struct det_rule_list *l = ops_map_get(map, key, len);
	if (l == NULL) {
		l = ops_xcalloc(1, sizeof(*l));
		ops_map_put(map, key, len, l);
	}
	return l;
}

void det_index_build(struct det_generation *g)
{
	for (size_t i = 0; i < g->n; i++) {
		for (size_t k = 0; k < g->groups[i].n; k++) {
			struct det_rule *r = &g->groups[i].rules[k];
			for (size_t s = 0; s < r->nselectors; s++) {
				const char *name = r->selectors[s].name;
				det_rule_list_add(
					name != NULL ? list_of(g->by_metric, name, strlen(name))
						     : g->nameless,
					r);
			}
		}
	}
}

static bool reads(const struct det_rule *r, const struct ops_labels *labels)
{
	for (size_t i = 0; i < r->nselectors; i++) {
		if (ops_matchers_match(&r->selectors[i].matchers, labels)) {
			return true;
		}
	}
	return false;
}

/* Calls fn for every rule of the list that reads the series. */
static bool each_reader(const struct det_rule_list *l, const struct ops_labels *labels,
	void (*fn)(void *arg, struct det_rule *r), void *arg)
{
	bool any = false;
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		if (reads(l->items[i], labels)) {
			fn(arg, l->items[i]);
			any = true;
		}
	}
	return any;
}

static bool each_rule_of(const struct det_generation *g, const struct ops_labels *labels,
	void (*fn)(void *arg, struct det_rule *r), void *arg)
{
	const char *name = ops_labels_get(labels, OPS_LABEL_NAME);
	bool any = false;
	if (name != NULL) {
		any = each_reader(ops_map_gets(g->by_metric, name), labels, fn, arg);
	}
	return each_reader(g->nameless, labels, fn, arg) || any;
}

static void mark(void *arg, struct det_rule *r)
{
	(void)arg;
	r->dirty = true;
}

/* ---- layouts ---- */

struct matching { /* of one layout */
	struct det_generation *g;
	struct ops_labels *same; /* labels that all its series have, with one value */
	struct det_rule_list *readers;
};

static bool all_have(struct det_series *const *series, size_t n, const struct ops_label *l)
{
	for (size_t i = 0; i < n; i++) {
		const char *value =
			series[i] != NULL ? ops_labels_get(series[i]->labels, l->name) : l->value;
		if (value == NULL || strcmp(value, l->value) != 0) {
			return false;
		}
	}
	return true;
}

static struct ops_labels *same_labels(struct det_series *const *series, size_t n)
{
	struct ops_labels_builder b;
	size_t first = 0;
	ops_labels_builder_init(&b);
	while (first < n && series[first] == NULL) {
		first++;
	}
	for (uint32_t i = 0; first < n && i < series[first]->labels->n; i++) {
		const struct ops_label *l = &series[first]->labels->items[i];
		if (all_have(series, n, l)) {
			ops_labels_builder_set(&b, l->name, l->value);
		}
	}
	struct ops_labels *same = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return same;
}

static bool may_read(const struct det_rule *r, const struct ops_labels *same)
{
	for (size_t i = 0; i < r->nselectors; i++) {
		const struct ops_matchers *ms = &r->selectors[i].matchers;
		bool fits = true;
		for (size_t k = 0; fits && k < ms->n; k++) {
			const char *value = ops_labels_get(same, ms->items[k].name);
			fits = value == NULL || ops_matcher_match_value(&ms->items[k], value);
		}
		if (fits) {
			return true;
		}
	}
	return false;
}

static void try_rules(
	const struct matching *m, const struct det_rule_list *l, const struct ops_labels *labels)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		struct det_rule *r = l->items[i];
		if (r->tried != m->g->tried) {
			r->tried = m->g->tried;
			r->open = may_read(r, m->same);
		}
		if (r->open && reads(r, labels)) {
			r->open = false;
			OPS_GROW(m->readers->items, m->readers->n, m->readers->cap);
			m->readers->items[m->readers->n++] = r;
		}
	}
}

void det_index_layout(
	struct det_generation *g, uint64_t id, struct det_series *const *series, size_t n)
{
	det_index_forget_layout(g, id);
	const struct matching m = {
		g, same_labels(series, n), list_of(g->by_layout, &id, sizeof(id))};
	g->tried++;
	for (size_t i = 0; i < n; i++) {
		if (series[i] == NULL) {
			continue;
		}
		const char *name = ops_labels_get(series[i]->labels, OPS_LABEL_NAME);
		if (name != NULL) {
			try_rules(&m, ops_map_gets(g->by_metric, name), series[i]->labels);
		}
		try_rules(&m, g->nameless, series[i]->labels);
	}
	ops_labels_unref(m.same);
}

void det_index_forget_layout(struct det_generation *g, uint64_t id)
{
	struct det_rule_list *l = ops_map_remove(g->by_layout, &id, sizeof(id));
	if (l != NULL) {
		free(l->items);
		free(l);
	}
}

void det_index_mark_layout(struct det_generation *g, uint64_t id)
{
	const struct det_rule_list *l = ops_map_get(g->by_layout, &id, sizeof(id));
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		l->items[i]->dirty = true;
	}
}

bool det_index_mark_series(struct det_generation *g, const struct det_series *series)
{
	return each_rule_of(g, series->labels, mark, NULL);
}
