/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregations with a parameter: those that choose among the members of a group (topk, bottomk,
 * limitk, limit_ratio), quantile, and count_values. They need all values of a group at a step, so
 * they go step by step over the members, listed group after group.
 *
 * limit_ratio keeps a series when the hash of its labels, as a fraction of the hash's range, is
 * below the ratio; -r keeps exactly the others. The hash is Prometheus' (XXH64 of the labels in its
 * own encoding), so that both keep the same series.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/xxhash.h"

struct member {
	uint32_t column;
	double v;
};

struct members {		   /* columns, group after group */
	uint32_t *columns, *begin; /* begin[g] .. begin[g + 1] */
	struct member *scratch;
};

static void list_members(struct det_eval *ev, const struct det_vec *in,
	const struct det_groups *groups, struct members *ret)
{
	size_t n = groups->map.n;
	ret->begin = det_scratch(ev, n + 2, sizeof(uint32_t));
	ret->columns = det_scratch(ev, in->n, sizeof(uint32_t));
	ret->scratch = det_scratch(ev, in->n, sizeof(struct member));
	for (size_t c = 0; c < in->n; c++) {
		ret->begin[groups->of[c] + 2]++;
	}
	for (size_t g = 2; g < n + 2; g++) {
		ret->begin[g] += ret->begin[g - 1];
	}
	for (uint32_t c = 0; c < in->n; c++) {
		ret->columns[ret->begin[groups->of[c] + 1]++] = c;
	}
}

/* The group's samples at a step go to scratch; returns how many. */
static size_t present(const struct det_vec *in, const struct members *m, size_t group, size_t step)
{
	size_t n = 0;
	for (uint32_t i = m->begin[group]; i < m->begin[group + 1]; i++) {
		double v = in->cols[m->columns[i]].v[step];
		if (!det_is_absent(v)) {
			m->scratch[n++] = (struct member){m->columns[i], v};
		}
	}
	return n;
}

static int by_value(const struct member *a, const struct member *b, bool descending)
{
	if (isnan(a->v) || isnan(b->v)) {
		int nan_last = isnan(a->v) - isnan(b->v);
		return nan_last != 0 ? nan_last : (a->column > b->column) - (a->column < b->column);
	}
	if (a->v != b->v) {
		return (a->v < b->v) == descending ? 1 : -1;
	}
	return (a->column > b->column) - (a->column < b->column);
}

static int descending(const void *a, const void *b)
{
	return by_value(a, b, true);
}

static int ascending(const void *a, const void *b)
{
	return by_value(a, b, false);
}

static bool ratio_keeps(double ratio, uint64_t hash)
{
	double at = (double)hash / 18446744073709551616.0;
	return ratio >= 0 ? at < ratio : at >= 1 + ratio;
}

static void put_text(struct ops_strbuf *out, const char *text, size_t len)
{
	const char size[] = {(char)255, (char)(uint8_t)len, (char)(uint8_t)(len >> 8),
		(char)(uint8_t)(len >> 16)};
	if (len < 255) {
		ops_strbuf_addc(out, (char)(uint8_t)len);
	} else {
		ops_strbuf_add(out, size, sizeof(size));
	}
	ops_strbuf_add(out, text, len);
}

/* Per column; NULL unless limit_ratio asks. */
static uint64_t *hash_columns(struct det_eval *ev, const struct det_vec *in)
{
	uint64_t *hashes = det_scratch(ev, in->n, sizeof(uint64_t));
	struct ops_strbuf bytes = OPS_STRBUF_INIT;
	for (size_t c = 0; c < in->n; c++) {
		const struct det_lset *ls = &in->cols[c].labels;
		ops_strbuf_reset(&bytes);
		for (uint32_t i = 0; i < ls->n; i++) {
			put_text(&bytes, ls->items[i].name, ls->items[i].name_len);
			put_text(&bytes, ls->items[i].value, ls->items[i].value_len);
		}
		hashes[c] = ops_xxh64(bytes.data, bytes.len);
	}
	ops_strbuf_done(&bytes);
	return hashes;
}

struct choice {
	const uint64_t *hashes;
	const struct ops_promql_aggregate *a;
	struct det_vec *in;
	const struct det_groups *groups;
	struct members members;
	const double *param;
	bool any; /* some step chooses at all */
};

/* Moves what stays to the front of scratch; returns how many. */
static size_t choose(const struct choice *x, size_t n, double param)
{
	struct member *m = x->members.scratch;
	if (x->a->op == OPS_PROMQL_AGGR_LIMIT_RATIO) {
		double ratio = OPS_MAX(-1.0, OPS_MIN(1.0, param));
		size_t kept = 0;
		for (size_t i = 0; i < n && ratio != 0; i++) {
			if (ratio_keeps(ratio, x->hashes[m[i].column])) {
				m[kept++] = m[i];
			}
		}
		return kept;
	}
	if (param < 1) {
		return 0;
	}
	if (x->a->op == OPS_PROMQL_AGGR_TOPK) {
		qsort(m, n, sizeof(*m), descending);
	} else if (x->a->op == OPS_PROMQL_AGGR_BOTTOMK) {
		qsort(m, n, sizeof(*m), ascending);
	}
	return param >= (double)n ? n : (size_t)param;
}

static int check_param(struct det_eval *ev, const struct ops_promql_expr *e, struct choice *x)
{
	bool ratio = x->a->op == OPS_PROMQL_AGGR_LIMIT_RATIO;
	double min = INFINITY, max = -INFINITY;
	bool nan = false;
	for (size_t i = 0; i < ev->nsteps; i++) {
		nan = nan || isnan(x->param[i]);
		min = x->param[i] < min ? x->param[i] : min;
		max = x->param[i] > max ? x->param[i] : max;
	}
	x->any = ratio ? nan || max != 0 || min != 0 : nan || max >= 1;
	if (nan) {
		return det_eval_fail(
			ev, -EINVAL, ratio ? "Ratio value is NaN" : "Parameter value is NaN");
	}
	if (!ratio && x->any && min <= -9223372036854775808.0) {
		return det_eval_fail(ev, -EINVAL, "Scalar value %g underflows int64", min);
	}
	if (!ratio && max >= 9223372036854775807.0) {
		return det_eval_fail(ev, -EINVAL, "Scalar value %g overflows int64", max);
	}
	if (ratio && max > 1) {
		det_warn(ev, e->aggregate.param,
			"ratio value should be between -1 and 1, got %g, capping to 1", max);
	}
	if (ratio && min < -1) {
		det_warn(ev, e->aggregate.param,
			"ratio value should be between -1 and 1, got %g, capping to -1", min);
	}
	return 0;
}

/* Output column of an input column, made when first chosen. */
static struct det_col *output(struct det_eval *ev, const struct choice *x, uint32_t *col_of,
	uint32_t c, struct det_vec *ret)
{
	if (col_of[c] == 0) {
		struct det_col *out = det_vec_add(ev, ret, &x->in->cols[c].labels);
		out->drop_name = x->in->cols[c].drop_name;
		col_of[c] = (uint32_t)ret->n;
	}
	return &ret->cols[col_of[c] - 1];
}

int det_aggregate_k(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret)
{
	struct choice x = {.a = &e->aggregate, .in = in, .groups = groups};
	double *param;
	int rc = det_eval_scalar(ev, e->aggregate.param, &param);
	x.param = param;
	if (rc == 0) {
		rc = check_param(ev, e, &x);
	}
	if (rc == 0) {
		rc = det_vec_init(ev, ret, x.any ? in->n : 0);
	}
	if (rc != 0 || !x.any) {
		return rc;
	}
	bool by_value = x.a->op == OPS_PROMQL_AGGR_TOPK || x.a->op == OPS_PROMQL_AGGR_BOTTOMK;
	if (by_value && det_vec_floats(ev, in)) {
		det_remark(ev, e, DET_IGNORED_IN_AGGREGATE, ops_promql_aggr_text(x.a->op));
	}
	if (x.a->op == OPS_PROMQL_AGGR_LIMIT_RATIO) {
		x.hashes = hash_columns(ev, in);
	}
	list_members(ev, in, groups, &x.members);
	uint32_t *col_of = det_scratch(ev, in->n, sizeof(uint32_t));
	for (size_t i = 0; i < ev->nsteps; i++) {
		for (size_t g = 0; g < groups->map.n; g++) {
			size_t n = choose(&x, present(in, &x.members, g, i), x.param[i]);
			for (size_t k = 0; rc == 0 && k < n; k++) {
				uint32_t c = x.members.scratch[k].column;
				rc = det_col_copy(
					ev, output(ev, &x, col_of, c, ret), &in->cols[c], i);
			}
		}
		rc = rc == 0 ? det_eval_check(ev) : rc;
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

void det_warn_quantile(struct det_eval *ev, const struct ops_promql_expr *at, double q)
{
	if (isnan(q) || q < 0 || q > 1) {
		char text[32];
		(void)ops_format_double(q, text);
		det_warn(ev, at, "quantile value should be between 0 and 1, got %s", text);
	}
}

int det_aggregate_quantile(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret)
{
	double *q;
	int rc = det_eval_scalar(ev, e->aggregate.param, &q);
	if (rc == 0) {
		rc = det_vec_init(ev, ret, groups->map.n);
	}
	if (rc != 0) {
		return rc;
	}
	struct members members;
	list_members(ev, in, groups, &members);
	double *values = det_scratch(ev, in->n, sizeof(double));
	for (size_t i = 0; i < ev->nsteps; i++) {
		det_warn_quantile(ev, e->aggregate.param, q[i]);
	}
	for (size_t g = 0; g < groups->map.n; g++) {
		struct det_col *out = det_vec_add(ev, ret, &groups->map.sets[g]);
		out->drop_name = in->cols[members.columns[members.begin[g]]].drop_name;
		for (size_t i = 0; i < ev->nsteps; i++) {
			size_t n = present(in, &members, g, i);
			for (size_t k = 0; k < n; k++) {
				values[k] = members.scratch[k].v;
			}
			if (n != 0) {
				out->v[i] = det_quantile(q[i], values, n);
			}
		}
	}
	det_vec_trim(ev, ret);
	return 0;
}

struct counting {
	const struct ops_promql_aggregate *a;
	const char *label;
	struct det_lset_map map;
	/* What the last value of each column was counted as: values repeat. */
	double *last;
	uint32_t *last_at;
};

/* The value as a label's value. */
static const char *text_of(struct ops_arena *arena, const struct det_col *col, size_t step)
{
	const struct ops_histogram *h = det_col_histogram(col, step);
	if (h == NULL) {
		char text[352];
		size_t len = ops_format_double_f(col->v[step], text);
		return ops_arena_strndup(arena, text, len);
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_histogram_print(h, &text);
	const char *out = ops_arena_strndup(arena, text.data, text.len);
	ops_strbuf_done(&text);
	return out;
}

static size_t counted_as(
	struct det_eval *ev, struct counting *x, const struct det_vec *in, size_t c, size_t step)
{
	double v = in->cols[c].v[step];
	if (x->last_at[c] != 0 && ops_double_same(x->last[c], v) && !det_is_histogram(v)) {
		return x->last_at[c] - 1;
	}
	struct ops_arena *arena = ev->sh->arena;
	const struct det_lset *ls = &in->cols[c].labels;
	struct det_lset set = x->a->without ? det_lset_drop(arena, ls, &x->a->grouping, true)
					    : det_lset_keep(arena, ls, &x->a->grouping);
	set = det_lset_set(arena, &set, x->label, text_of(arena, &in->cols[c], step));
	size_t at = det_lset_map_add(&x->map, &set);
	x->last[c] = v;
	x->last_at[c] = (uint32_t)at + 1;
	return at;
}

/* Numbers every (group, value) that occurs, or counts them into ret. */
static int count_pass(
	struct det_eval *ev, struct counting *x, const struct det_vec *in, struct det_vec *ret)
{
	for (size_t c = 0; c < in->n; c++) {
		for (size_t i = 0; i < ev->nsteps; i++) {
			if (det_is_absent(in->cols[c].v[i])) {
				continue;
			}
			size_t at = counted_as(ev, x, in, c, i);
			if (ret != NULL) {
				double *to = &ret->cols[at].v[i];
				*to = det_is_absent(*to) ? 1 : *to + 1;
			}
		}
		if (x->map.n * ev->nsteps > ev->sh->options.max_samples) {
			return det_eval_fail(ev, -E2BIG, "count_values makes too many series");
		}
		int rc = det_eval_check(ev);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int det_aggregate_count_values(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_vec *in, struct det_vec *ret)
{
	const struct ops_promql_expr *param = ops_promql_unparen(e->aggregate.param);
	struct counting x = {.a = &e->aggregate, .label = param->string.text};
	if (!ops_label_name_valid(param->string.text, param->string.len)) {
		return det_eval_fail(ev, -EINVAL, "invalid label name \"%s\"", x.label);
	}
	det_lset_map_init(&x.map, ev->sh->arena, in->n);
	x.last = det_scratch(ev, in->n, sizeof(double));
	x.last_at = det_scratch(ev, in->n, sizeof(uint32_t));
	int rc = count_pass(ev, &x, in, NULL);
	if (rc == 0) {
		rc = det_vec_init(ev, ret, x.map.n);
	}
	for (size_t g = 0; rc == 0 && g < x.map.n; g++) {
		(void)det_vec_add(ev, ret, &x.map.sets[g]);
	}
	return rc == 0 ? count_pass(ev, &x, in, ret) : rc;
}
