/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One query: sets up the grid and the limits, evaluates the tree, drops the metric names that are
 * to be dropped (only now, so that label functions above a rate still see them), and turns columns
 * into a result. Everything temporary is freed here, whatever happened.
 */
#include "services/detector/engine/engine.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/detector/engine/eval.h"

#define DEFAULT_LOOKBACK_MS (5 * 60 * (int64_t)1000)
#define DEFAULT_TIMEOUT_MS (2 * 60 * (int64_t)1000)
#define DEFAULT_MAX_SAMPLES 50000000u
#define DEFAULT_STEP_MS (60 * (int64_t)1000)

static struct det_engine_options resolved(const struct det_engine_options *options)
{
	struct det_engine_options o = options != NULL ? *options : (struct det_engine_options){0};
	o.lookback_ms = o.lookback_ms != 0 ? o.lookback_ms : DEFAULT_LOOKBACK_MS;
	o.timeout_ms = o.timeout_ms != 0 ? o.timeout_ms : DEFAULT_TIMEOUT_MS;
	o.max_samples = o.max_samples != 0 ? o.max_samples : DEFAULT_MAX_SAMPLES;
	o.default_step_ms = o.default_step_ms != 0 ? o.default_step_ms : DEFAULT_STEP_MS;
	return o;
}

static int make_grid(struct det_eval *ev, const struct det_query *q)
{
	*ev = (struct det_eval){ev->sh, q->start_ms, 1, 1};
	if (!q->range) {
		return 0;
	}
	if (q->step_ms <= 0 || q->end_ms < q->start_ms) {
		return det_eval_fail(ev, -EINVAL,
			"a range query needs a step above zero and an end not before its start");
	}
	uint64_t steps = (uint64_t)(q->end_ms - q->start_ms) / (uint64_t)q->step_ms + 1;
	if (steps > DET_QUERY_MAX_STEPS + 1) {
		return det_eval_fail(ev, -ERANGE,
			"exceeded maximum resolution of %d points per timeseries",
			DET_QUERY_MAX_STEPS);
	}
	ev->step = q->step_ms;
	ev->nsteps = (size_t)steps;
	return 0;
}

/* Names go, empty columns go, and what is left must be distinct. */
static int clean(struct det_eval *ev, struct det_vec *vec)
{
	det_vec_trim(ev, vec);
	struct det_lset_map map;
	det_lset_map_init(&map, ev->sh->arena, vec->n);
	for (size_t c = 0; c < vec->n; c++) {
		struct det_col *col = &vec->cols[c];
		if (col->drop_name) {
			col->labels = det_lset_drop_metadata(ev->sh->arena, &col->labels);
		}
		if (det_lset_map_add(&map, &col->labels) != c) {
			return det_eval_fail(ev, -EINVAL,
				"vector cannot contain metrics with the same labelset: %s",
				det_lset_text(ev->sh->arena, &col->labels));
		}
	}
	return 0;
}

static void column_result(
	struct det_eval *ev, const struct det_col *col, struct det_result_series *ret)
{
	const double *v = col->v;
	size_t n = 0;
	for (size_t i = 0; i < ev->nsteps; i++) {
		n += !det_is_absent(v[i]);
	}
	ret->labels = col->labels.items;
	ret->nlabels = col->labels.n;
	ret->points = det_scratch(ev, n, sizeof(struct det_point));
	for (size_t i = 0; i < ev->nsteps; i++) {
		if (!det_is_absent(v[i])) {
			ret->points[ret->npoints++] = (struct det_point){
				det_step_time(ev, i), v[i], det_col_histogram(col, i)};
		}
	}
}

static int compare_series(const void *a, const void *b)
{
	const struct det_result_series *x = a, *y = b;
	const struct det_lset l = {.items = x->labels, .n = x->nlabels};
	const struct det_lset r = {.items = y->labels, .n = y->nlabels};
	return det_lset_compare(&l, &r);
}

static int vector_result(struct det_eval *ev, struct det_vec *vec, struct det_result *ret)
{
	int rc = clean(ev, vec);
	if (rc != 0) {
		return rc;
	}
	ret->series = det_scratch(ev, vec->n, sizeof(struct det_result_series));
	ret->n = vec->n;
	for (size_t c = 0; c < vec->n; c++) {
		column_result(ev, &vec->cols[c], &ret->series[c]);
	}
	det_vec_done(ev, vec);
	if (ev->sh->query->range && ret->n > 1) {
		qsort(ret->series, ret->n, sizeof(ret->series[0]), compare_series);
	}
	return 0;
}

static void scalar_result(struct det_eval *ev, double *v, struct det_result *ret)
{
	const struct det_col col = {.labels = det_lset_of(NULL, 0), .v = v};
	ops_assert(v != NULL);
	ret->series = det_scratch(ev, 1, sizeof(struct det_result_series));
	ret->n = 1;
	column_result(ev, &col, &ret->series[0]);
}

static int evaluate(struct det_eval *ev, struct det_result *ret)
{
	const struct det_query *q = ev->sh->query;
	const struct ops_promql_expr *e = ops_promql_unparen(q->expr);
	ret->type = q->range ? OPS_PROMQL_RANGE : e->type;
	if (e->type == OPS_PROMQL_RANGE) {
		if (q->range) {
			return det_eval_fail(ev, -EINVAL,
				"invalid expression type \"range vector\" for range query, must be "
				"scalar or instant vector");
		}
		int rc = det_eval_matrix(ev, e, ret);
		if (rc == 0 && ret->n > 1) {
			qsort(ret->series, ret->n, sizeof(ret->series[0]), compare_series);
		}
		return rc;
	}
	struct det_value value;
	int rc = det_eval_expr(ev, e, &value);
	if (rc != 0) {
		return rc;
	}
	if (value.type == OPS_PROMQL_STRING_VALUE) {
		if (q->range) {
			return det_eval_fail(ev, -EINVAL,
				"invalid expression type \"string\" for range query, must be "
				"scalar "
				"or instant vector");
		}
		ret->string = value.string;
		return 0;
	}
	if (value.type == OPS_PROMQL_SCALAR) {
		scalar_result(ev, value.scalar, ret);
		return 0;
	}
	return vector_result(ev, &value.vec, ret);
}

int det_engine_eval(struct det_store *store, const struct det_engine_options *options,
	const struct det_query *query, struct ops_arena *arena, struct det_result *ret,
	struct ops_error *err)
{
	struct ops_error unused;
	struct det_shared sh = {.store = store,
		.arena = arena,
		.err = err != NULL ? err : &unused,
		.query = query,
		.options = resolved(options),
		.end_ms = query->range ? query->end_ms : query->start_ms};
	sh.deadline_ms = ops_mono_ms() + sh.options.timeout_ms;
	struct det_eval ev = {.sh = &sh};
	struct det_result result = {0};
	int rc = make_grid(&ev, query);
	if (rc == 0) {
		rc = evaluate(&ev, &result);
	}
	det_blocks_free(&sh);
	det_samples_done(&sh.samples);
	det_samples_done(&sh.start_samples);
	free(sh.resets);
	free(sh.starts_room);
	if (rc == 0) {
		result.annotations = sh.annotations;
		result.samples = sh.total;
		result.peak_samples = sh.peak;
		*ret = result;
	}
	return rc;
}

int det_engine_instant(struct det_store *store, const char *text, int64_t time_ms,
	struct ops_arena *arena, struct det_result *ret, struct ops_error *err)
{
	struct ops_promql_expr *expr;
	int rc = ops_promql_parse_text(arena, text, &expr, err);
	if (rc != 0) {
		return rc;
	}
	struct det_query q = {.expr = expr, .text = text, .start_ms = time_ms};
	return det_engine_eval(store, NULL, &q, arena, ret, err);
}

struct ops_labels *det_result_labels(const struct det_result_series *series)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (uint32_t i = 0; i < series->nlabels; i++) {
		const struct ops_label *l = &series->labels[i];
		ops_labels_builder_setn(&b, l->name, l->name_len, l->value, l->value_len);
	}
	struct ops_labels *out = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return out;
}
