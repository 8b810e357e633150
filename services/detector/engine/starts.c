/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start timestamps of what a selector selects, as rates and start_timestamp() want them: the store
 * has them as series beside the others, which are found by their labels here and joined sample by
 * sample. Where nothing has starts, and where they are not to be used, a query pays for nothing.
 */
#include "services/detector/engine/starts.h"

#include <errno.h>
#include <string.h>

struct det_start_column {
	uint64_t hash; /* of the labels that it belongs to */
	const struct det_series *series;
};

static int compare_hash(const void *a, const void *b)
{
	const struct det_start_column *x = a, *y = b;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Labels without the one that makes it a column of starts. */
static struct ops_labels *owner_of(struct det_eval *ev, const struct ops_labels *ls)
{
	struct ops_label *items = det_scratch(ev, ls->n, sizeof(*items));
	size_t n = 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		if (strcmp(ls->items[i].name, DET_START_LABEL) != 0) {
			items[n++] = ls->items[i];
		}
	}
	return ops_labels_from_sorted(items, n);
}

int det_starts_open(struct det_eval *ev, const struct ops_promql_expr *selector,
	const int64_t range_ms[2], struct det_starts *ret)
{
	*ret = (struct det_starts){.n = 0};
	if (!ev->sh->options.use_start_timestamps) {
		return 0;
	}
	struct ops_error err = {0};
	struct ops_matchers ms;
	struct det_series_list list;
	if (det_engine_matchers(selector, &ms, &err) != 0) {
		return det_eval_fail(ev, -EINVAL, "%s", err.message);
	}
	det_store_select_starts(ev->sh->store, &ms, range_ms, ev->sh->arena, &list);
	ops_matchers_done(&ms);
	ret->columns = det_scratch(ev, list.n, sizeof(*ret->columns));
	for (size_t i = 0; i < list.n; i++) {
		struct ops_labels *owner = owner_of(ev, list.items[i]->labels);
		ret->columns[ret->n++] = (struct det_start_column){owner->hash, list.items[i]};
		ops_labels_unref(owner);
	}
	if (ret->n > 1) {
		qsort(ret->columns, ret->n, sizeof(*ret->columns), compare_hash);
	}
	return 0;
}

static const struct det_series *column_of(
	struct det_eval *ev, const struct det_starts *starts, const struct ops_labels *labels)
{
	const struct det_start_column key = {.hash = labels->hash};
	const struct det_start_column *c =
		starts->n > 0 ? bsearch(&key, starts->columns, starts->n, sizeof(key), compare_hash)
			      : NULL;
	if (c == NULL) {
		return NULL;
	}
	struct ops_labels *owner = owner_of(ev, c->series->labels);
	bool same = ops_labels_equal(owner, labels);
	ops_labels_unref(owner);
	return same ? c->series : NULL;
}

int det_starts_read(struct det_eval *ev, const struct det_starts *starts,
	const struct det_series *series, const int64_t range_ms[2])
{
	struct det_shared *sh = ev->sh;
	const struct det_samples *s = &sh->samples, *at = &sh->start_samples;
	sh->starts = NULL;
	const struct det_series *column = column_of(ev, starts, series->labels);
	if (column == NULL) {
		return 0;
	}
	det_series_read(column, range_ms[0], range_ms[1], &sh->start_samples);
	sh->total += at->n;
	if (sh->starts_cap < s->n) {
		sh->starts_cap = s->cap;
		sh->starts_room = ops_xrealloc(sh->starts_room, s->cap, sizeof(int64_t));
	}
	size_t k = 0;
	for (size_t i = 0; i < s->n; i++) {
		while (k < at->n && at->t[k] < s->t[i]) {
			k++;
		}
		bool there = k < at->n && at->t[k] == s->t[i] && fabs(at->v[k]) < 9e15;
		sh->starts_room[i] = there ? (int64_t)at->v[k] : 0;
	}
	sh->starts = sh->starts_room;
	return det_eval_check(ev);
}

/*
 * Did the counter begin anew between two samples? A start at or after its own sample says nothing
 * (some write that when they do not know). One that points at the sample before is what deltas
 * have, and what a cumulative counter has whose first start was not known.
 */
bool det_starts_anew(const int64_t t[2], const int64_t start[2])
{
	if (start[1] == 0 || start[1] >= t[1] || start[1] < t[0]) {
		return false;
	}
	return start[1] > t[0] || (start[0] != 0 && start[0] < t[0]);
}

bool det_window_anew(const struct det_window *w, size_t i)
{
	return w->starts != NULL && det_starts_anew(&w->t[i - 1], &w->starts[i - 1]);
}

bool det_window_born(const struct det_window *w)
{
	return w->starts != NULL && w->starts[0] != 0 && w->starts[0] > w->start_ms &&
	       w->starts[0] < w->t[0];
}

double det_growth_since_start(const struct det_window *w)
{
	int64_t last = w->t[w->n - 1];
	double sampled = (double)(last - w->starts[0]), to_end = (double)(w->end_ms - last);
	double average = w->n > 1 ? (double)(last - w->t[0]) / (double)(w->n - 1) : 0;
	to_end = to_end >= average * 1.1 ? average / 2 : to_end;
	return (sampled + to_end) / sampled;
}

void det_starts_warn(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct det_window *w, const char *metric)
{
	for (size_t i = 1; w->starts != NULL && i < w->n; i++) {
		int64_t start = w->starts[i];
		if (start != 0 && start < w->t[i - 1] && start != w->starts[i - 1]) {
			det_warn(ev, arg,
				"sample has start time that overlaps with previous sample "
				"timestamp for metric \"%s\"",
				metric);
			return;
		}
	}
}
