/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the notation of a histogram to a histogram. Increments are multiplied before they are added,
 * which costs the same for the millionth point as for the first.
 */
#include "common/promql/series.h"

static bool convert_side(struct ops_arena *arena, const struct ops_promql_buckets *from,
	struct ops_histogram_buckets *to)
{
	for (size_t i = 0; i < from->n; i++) {
		int64_t index = (int64_t)from->offset + (int64_t)i;
		if (index < -OPS_HISTOGRAM_MAX_INDEX || index >= OPS_HISTOGRAM_MAX_INDEX) {
			return false;
		}
		ops_histogram_push(arena, to, (int32_t)index, from->counts[i]);
	}
	return true;
}

static struct ops_histogram *convert(
	struct ops_arena *arena, const struct ops_promql_histogram *from)
{
	struct ops_histogram *h = ops_arena_new(arena, struct ops_histogram);
	h->hint = (enum ops_reset_hint)from->hint;
	h->schema = from->schema;
	h->sum = from->sum;
	h->count = from->count;
	h->zero_count = from->zero_count;
	h->zero_threshold = from->zero_threshold;
	h->custom = from->custom_values;
	h->ncustom = (uint32_t)from->ncustom_values;
	bool known =
		h->schema == OPS_HISTOGRAM_CUSTOM ||
		(h->schema >= OPS_HISTOGRAM_SCHEMA_MIN && h->schema <= OPS_HISTOGRAM_SCHEMA_MAX);
	return known && convert_side(arena, &from->positive, &h->positive) &&
			       convert_side(arena, &from->negative, &h->negative)
		       ? h
		       : NULL;
}

struct ops_histogram *ops_promql_series_histogram_of(
	struct ops_arena *arena, const struct ops_promql_series_value *value)
{
	struct ops_histogram *h = convert(arena, value->histogram);
	if (h == NULL || value->increment == NULL || value->steps == 0) {
		return h;
	}
	struct ops_histogram *increment = convert(arena, value->increment);
	if (increment == NULL) {
		return NULL;
	}
	enum ops_reset_hint hint = increment->hint;
	bool add = value->steps > 0;
	ops_histogram_mul(increment, add ? (double)value->steps : -(double)value->steps);
	increment->hint = hint;
	enum ops_histogram_op op = add ? OPS_HISTOGRAM_ADD : OPS_HISTOGRAM_SUB;
	return ops_histogram_apply(arena, h, increment, op, NULL) == 0 ? h : NULL;
}
