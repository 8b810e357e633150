/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording rule's result becomes samples at the evaluation's time; a series that was in the last
 * result and is not in this one gets a staleness marker, so that it disappears from queries at
 * once.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <string.h>

static struct ops_labels *recorded_labels(
	const struct ops_rule *rule, const struct det_result_series *series)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (uint32_t i = 0; i < series->nlabels; i++) {
		ops_labels_builder_set(&b, series->labels[i].name, series->labels[i].value);
	}
	for (size_t i = 0; i < rule->labels.n; i++) {
		ops_labels_builder_set(&b, rule->labels.items[i].name, rule->labels.items[i].value);
	}
	ops_labels_builder_set(&b, OPS_LABEL_NAME, rule->name);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return labels;
}

static void free_labels(void *labels)
{
	ops_labels_unref(labels);
}

/* All label sets first: a duplicate refuses the whole result before anything was stored. */
static int collect(const struct det_rule *r, const struct det_result *result, struct ops_map *ret,
	struct ops_error *err)
{
	for (size_t i = 0; i < result->n; i++) {
		struct ops_labels *labels = recorded_labels(r->rule, &result->series[i]);
		struct ops_labels *old =
			ops_map_put(ret, &labels->hash, sizeof(labels->hash), labels);
		if (old != NULL) {
			ops_labels_unref(old);
			return ops_error_set(err, -EINVAL,
				"vector contains metrics with the same labelset after applying "
				"rule labels");
		}
	}
	return 0;
}

static int append(struct det_store *store, struct ops_labels *labels, int64_t now_ms, double v)
{
	return det_store_append(store, labels, now_ms, v); /* 1 = refused: the store counts it */
}

static int append_point(struct det_store *store, struct ops_labels *labels, int64_t now_ms,
	const struct det_point *p)
{
	if (p->h == NULL) {
		return append(store, labels, now_ms, p->v);
	}
	/* Also refused: what a store cannot hold, such as counts below zero. */
	return det_store_append_histogram(store, labels, now_ms, p->h) != 0;
}

static int store_result(struct det_rule *r, const struct det_result *result, int64_t now_ms)
{
	int refused = 0;
	struct det_store *store = r->group->owner->cfg.store;
	for (size_t i = 0; i < result->n; i++) {
		struct ops_labels *labels = recorded_labels(r->rule, &result->series[i]);
		if (result->series[i].npoints > 0) {
			refused +=
				append_point(store, labels, now_ms, &result->series[i].points[0]);
		}
		ops_labels_unref(labels);
	}
	return refused;
}

/* Markers for what was recorded last and is not in next. Returns how many the store refused. */
static int end_series(const struct det_rule *r, const struct ops_map *next, int64_t now_ms)
{
	int refused = 0;
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->recorded, &at, &e)) {
		if (next == NULL || ops_map_get(next, e.key, e.len) == NULL) {
			refused += append(
				r->group->owner->cfg.store, e.value, now_ms, ops_stale_nan());
		}
	}
	return refused;
}

void det_recording_end(const struct det_rule *r, int64_t now_ms)
{
	(void)end_series(r, NULL, now_ms); /* the store counts what it refuses */
}

int det_recording_apply(
	struct det_rule *r, const struct det_result *result, int64_t now_ms, struct ops_error *err)
{
	struct ops_map *next = ops_map_new();
	int rc = collect(r, result, next, err);
	if (rc != 0) {
		ops_map_free(next, free_labels);
		return rc;
	}
	int refused = store_result(r, result, now_ms);
	refused += end_series(r, next, now_ms);
	ops_map_free(r->recorded, free_labels);
	r->recorded = next;
	return refused > 0 ? ops_error_set(err, -ENOSPC, "the store refused %d samples", refused)
			   : 0;
}
