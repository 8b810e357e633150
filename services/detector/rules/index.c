/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules read which samples. Selectors with a fixed metric name - nearly all - hang under that
 * name; the rest is tried for every series. A layout is matched once, when it becomes known, and a
 * batch then marks its rules without looking at a single label.
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

static void add_to_list(void *arg, struct det_rule *r)
{
	det_rule_list_add(arg, r);
}

static void mark(void *arg, struct det_rule *r)
{
	(void)arg;
	r->dirty = true;
}

void det_index_layout(
	struct det_generation *g, uint64_t id, struct det_series *const *series, size_t n)
{
	det_index_forget_layout(g, id);
	struct det_rule_list *l = list_of(g->by_layout, &id, sizeof(id));
	for (size_t i = 0; i < n; i++) {
		if (series[i] != NULL) {
			each_rule_of(g, series[i]->labels, add_to_list, l);
		}
	}
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
