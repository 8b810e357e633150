/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series in the notation of tests. The parser is common/promql's; this turns what it read into
 * samples: histograms with the increments added up, and counted as gauges or counters by the hint
 * that was written.
 */
#include <errno.h>
#include <string.h>

#include "common/promql/series.h"
#include "services/detector/ruletest/internal.h"

static void take_buckets(struct ops_arena *a, const struct ops_promql_buckets *from,
	struct ops_histogram_buckets *to)
{
	for (size_t i = 0; i < from->n; i++) {
		ops_histogram_push(a, to, from->offset + (int32_t)i, from->counts[i]);
	}
}

static struct ops_histogram *histogram_of(
	struct ops_arena *a, const struct ops_promql_histogram *from)
{
	static const enum ops_reset_hint hints[] = {[OPS_PROMQL_RESET_UNKNOWN] = OPS_RESET_UNKNOWN,
		[OPS_PROMQL_RESET] = OPS_RESET_YES,
		[OPS_PROMQL_NOT_RESET] = OPS_RESET_NO,
		[OPS_PROMQL_GAUGE] = OPS_RESET_GAUGE};
	struct ops_histogram *h = ops_arena_new(a, struct ops_histogram);
	*h = (struct ops_histogram){.schema = from->schema};
	h->hint = hints[from->hint];
	h->zero_threshold = from->zero_threshold;
	h->zero_count = from->zero_count;
	h->count = from->count;
	h->sum = from->sum;
	h->custom = from->custom_values;
	h->ncustom = (uint32_t)from->ncustom_values;
	take_buckets(a, &from->positive, &h->positive);
	take_buckets(a, &from->negative, &h->negative);
	return h;
}

static int take_histogram(struct ops_arena *a, const struct ops_promql_series_value *v,
	const struct ops_histogram **ret, struct ops_error *err)
{
	struct ops_histogram *h = histogram_of(a, v->histogram);
	if (v->increment != NULL && v->steps != 0) {
		struct ops_histogram *step = histogram_of(a, v->increment);
		ops_histogram_mul(step, (double)v->steps);
		step->hint = h->hint;
		if (ops_histogram_apply(a, h, step, OPS_HISTOGRAM_ADD, NULL) != 0) {
			return ops_error_set(err, -EINVAL,
				"a histogram and its increment have different kinds of buckets");
		}
		h->hint = step->hint;
	}
	*ret = h;
	return 0;
}

int det_ruletest_series(struct ops_arena *a, const char *text, struct det_ruletest_series *ret,
	struct ops_error *err)
{
	static const struct ops_promql_options options = {OPS_PROMQL_ALL_FEATURES};
	const struct ops_promql_source src = {text, strlen(text), &options};
	struct ops_promql_series series;
	int rc = ops_promql_series_parse(a, &src, &series, err);
	if (rc != 0) {
		return rc;
	}
	struct det_ruletest_value *values =
		ops_arena_array(a, struct det_ruletest_value, OPS_MAX(series.nvalues, (size_t)1));
	for (size_t i = 0; i < series.nvalues; i++) {
		const struct ops_promql_series_value *v = &series.values[i];
		values[i] = (struct det_ruletest_value){v->omitted, v->value, NULL};
		if (v->histogram != NULL && take_histogram(a, v, &values[i].h, err) != 0) {
			return -EINVAL;
		}
	}
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < series.nlabels; i++) {
		ops_labels_builder_set(&b, series.labels[i].name.text, series.labels[i].value.text);
	}
	*ret = (struct det_ruletest_series){
		ops_labels_builder_build(&b), values, series.nvalues, 0};
	ops_labels_builder_done(&b);
	return 0;
}
