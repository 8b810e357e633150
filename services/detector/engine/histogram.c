/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic histograms: series that differ in their label le only are one histogram. The grouping,
 * the parsed bounds and their order are made once per query; each step then reads an array of
 * counts.
 *
 * Counts must not fall with the bound. Differences within rounding are ignored, larger ones are
 * levelled out and reported. Equal bounds (le="1" and le="1.0") are added up.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/number.h"

#define SMALL_DELTA 1e-12 /* relative difference that is rounding */

struct bound {
	double le;
	uint32_t group, column;
};

struct bucket {
	double le, count;
};

struct histograms {
	struct det_vec in;
	struct det_lset_map map; /* labels without le */
	struct bound *bounds;	 /* by group, then le */
	size_t nbounds;
	size_t *begin;		/* group -> first of its bounds */
	struct bucket *buckets; /* scratch of one histogram at one step */
};

static int compare_bounds(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;
	if (x->group != y->group) {
		return x->group > y->group ? 1 : -1;
	}
	if (x->le != y->le) {
		return x->le > y->le ? 1 : -1;
	}
	return (x->column > y->column) - (x->column < y->column);
}

static void group_columns(
	struct det_eval *ev, const struct ops_promql_expr *arg, struct histograms *h)
{
	static struct ops_promql_string le_name[] = {{"le", 2}};
	static const struct ops_promql_strings le = {le_name, 1};
	for (uint32_t c = 0; c < h->in.n; c++) {
		const struct det_lset *ls = &h->in.cols[c].labels;
		const char *text = det_lset_get(ls, "le");
		struct bound b = {.column = c};
		int rc = ops_parse_double(text, strlen(text), &b.le);
		if (rc != 0) {
			const char *name = det_lset_get(ls, OPS_LABEL_NAME);
			det_warn(ev, arg,
				"bucket label \"le\" is missing or has a malformed value of \"%s\""
				"%s%s%s",
				text, *name != '\0' ? " for metric name \"" : "", name,
				*name != '\0' ? "\"" : "");
			continue;
		}
		struct det_lset rest = det_lset_drop(ev->sh->arena, ls, &le, false);
		b.group = (uint32_t)det_lset_map_add(&h->map, &rest);
		h->bounds[h->nbounds++] = b;
	}
	qsort(h->bounds, h->nbounds, sizeof(h->bounds[0]), compare_bounds);
}

static int histograms_open(
	struct det_eval *ev, const struct ops_promql_expr *arg, struct histograms *h)
{
	*h = (struct histograms){0};
	int rc = det_eval_vector(ev, arg, &h->in);
	if (rc != 0) {
		return rc;
	}
	det_lset_map_init(&h->map, ev->sh->arena, h->in.n / 8);
	h->bounds = det_scratch(ev, h->in.n, sizeof(struct bound));
	h->buckets = det_scratch(ev, h->in.n, sizeof(struct bucket));
	group_columns(ev, arg, h);
	h->begin = det_scratch(ev, h->map.n + 1, sizeof(size_t));
	for (size_t i = 0; i < h->nbounds; i++) {
		h->begin[h->bounds[i].group + 1] = i + 1;
	}
	return 0;
}

/* The histogram's buckets at a step, equal bounds added up. */
static size_t buckets_at(const struct histograms *h, size_t group, size_t step)
{
	size_t n = 0;
	for (size_t i = h->begin[group]; i < h->begin[group + 1]; i++) {
		double v = h->in.cols[h->bounds[i].column].v[step];
		if (det_is_absent(v)) {
			continue;
		}
		if (n != 0 && h->buckets[n - 1].le == h->bounds[i].le) {
			h->buckets[n - 1].count += v;
		} else {
			h->buckets[n++] = (struct bucket){h->bounds[i].le, v};
		}
	}
	return n;
}

struct levelled {
	bool forced;
	double min_le, max_le, max_diff;
};

static bool nearly_equal(double a, double b)
{
	double sum = fabs(a) + fabs(b), diff = fabs(a - b);
	if (a == 0 || b == 0 || sum < 2.2250738585072014e-308) {
		return diff < SMALL_DELTA * 2.2250738585072014e-308;
	}
	return diff / OPS_MIN(sum, 1.7976931348623157e308) < SMALL_DELTA;
}

static struct levelled level(struct bucket *b, size_t n)
{
	struct levelled out = {.min_le = INFINITY, .max_le = -INFINITY};
	double before = b[0].count;
	for (size_t i = 1; i < n; i++) {
		double now = b[i].count;
		if (now == before) {
			continue;
		}
		if (nearly_equal(before, now)) {
			b[i].count = before;
		} else if (now < before) {
			b[i].count = before;
			out.forced = true;
			out.min_le = OPS_MIN(out.min_le, b[i].le);
			out.max_le = OPS_MAX(out.max_le, b[i].le);
			out.max_diff = OPS_MAX(out.max_diff, before - now);
		} else {
			before = now;
		}
	}
	return out;
}

static double quantile_of(double q, struct bucket *b, size_t n, struct levelled *ret_levelled)
{
	if (isnan(q)) {
		return NAN;
	}
	if (q < 0 || q > 1) {
		return q < 0 ? -INFINITY : INFINITY;
	}
	if (!(isinf(b[n - 1].le) && b[n - 1].le > 0)) {
		return NAN;
	}
	*ret_levelled = level(b, n);
	double observations = b[n - 1].count;
	if (n < 2 || observations == 0) {
		return NAN;
	}
	double rank = q * observations;
	size_t at = 0;
	while (at < n - 1 && !(b[at].count >= rank)) {
		at++;
	}
	if (at == n - 1) {
		return b[n - 2].le;
	}
	if (at == 0 && b[0].le <= 0) {
		return b[0].le;
	}
	double start = 0, count = b[at].count;
	if (at > 0) {
		start = b[at - 1].le;
		count -= b[at - 1].count;
		rank -= b[at - 1].count;
	}
	return start + (b[at].le - start) * (rank / count);
}

static void report(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct det_lset *ls, const struct levelled *l, size_t step)
{
	if (!l->forced) {
		return;
	}
	const char *name = det_lset_get(ls, OPS_LABEL_NAME);
	char min[32], max[32], diff[32];
	(void)ops_format_double(l->min_le, min);
	(void)ops_format_double(l->max_le, max);
	(void)ops_format_double(l->max_diff, diff);
	det_info(ev, arg,
		"input to histogram_quantile needed to be fixed for monotonicity (see "
		"https://prometheus.io/docs/prometheus/latest/querying/functions/"
		"#histogram_quantile)"
		"%s%s%s, from buckets %s to %s, with a max diff of %s at step %zu",
		*name != '\0' ? " for metric name \"" : "", name, *name != '\0' ? "\"" : "", min,
		max, diff, step);
}

static void quantile_column(struct det_eval *ev, const struct ops_promql_expr *arg,
	struct histograms *h, size_t group, const double *q, struct det_col *out)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		struct levelled l = {0};
		size_t n = buckets_at(h, group, i);
		if (n != 0) {
			out->v[i] = quantile_of(q[i], h->buckets, n, &l);
			report(ev, arg, &h->map.sets[group], &l, i);
		}
	}
}

int det_call_histogram_quantile(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct histograms h;
	double *q;
	int rc = det_eval_scalar(ev, e->call.args[0], &q);
	if (rc == 0) {
		rc = histograms_open(ev, e->call.args[1], &h);
	}
	if (rc == 0) {
		rc = det_vec_init(ev, &ret->vec, h.map.n);
	}
	if (rc != 0) {
		return rc;
	}
	for (size_t i = 0; i < ev->nsteps; i++) {
		det_warn_quantile(ev, e->call.args[0], q[i]);
	}
	for (size_t g = 0; g < h.map.n; g++) {
		struct det_col *col = det_vec_add(ev, &ret->vec, &h.map.sets[g]);
		col->drop_name = true;
		quantile_column(ev, e->call.args[1], &h, g, q, col);
	}
	det_vec_done(ev, &h.in);
	det_vec_trim(ev, &ret->vec);
	return 0;
}

/* histogram_quantiles(v, "label", q1, q2, ...): one result per quantile, told apart by the label.
 */
int det_call_histogram_quantiles(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct histograms h;
	const char *label = ops_promql_unparen(e->call.args[1])->string.text;
	size_t nq = e->call.nargs - 2;
	int rc = histograms_open(ev, e->call.args[0], &h);
	if (rc == 0) {
		rc = det_vec_init(ev, &ret->vec, h.map.n * nq);
	}
	for (size_t k = 0; rc == 0 && k < nq; k++) {
		double *q;
		rc = det_eval_scalar(ev, e->call.args[2 + k], &q);
		for (size_t g = 0; rc == 0 && g < h.map.n; g++) {
			char text[40];
			size_t len = ops_format_double(q[0], text);
			if (strpbrk(text, ".eNI") == NULL) {
				memcpy(text + len, ".0", 3); /* OpenMetrics writes floats so */
			}
			det_warn_quantile(ev, e->call.args[2 + k], q[0]);
			struct det_lset ls = det_lset_set(ev->sh->arena, &h.map.sets[g], label,
				ops_arena_strdup(ev->sh->arena, text));
			struct det_col *col = det_vec_add(ev, &ret->vec, &ls);
			col->drop_name = true;
			quantile_column(ev, e->call.args[0], &h, g, q, col);
		}
	}
	if (rc == 0) {
		det_vec_done(ev, &h.in);
		det_vec_trim(ev, &ret->vec);
	}
	return rc;
}

struct rank { /* observations up to a value */
	double value, rank;
	bool known;
};

static void find_rank(struct rank *r, const struct bucket *b, double lower, double below)
{
	if (r->known) {
		return;
	}
	if (lower >= r->value) {
		r->rank = below;
		r->known = true;
	} else if (b->le > r->value) {
		/* Inside this bucket: on the line, unless it has no lower end. */
		bool open = isinf(lower);
		r->rank = open ? b->count
			       : below + (b->count - below) * (r->value - lower) / (b->le - lower);
		r->known = true;
	}
}

static double fraction_of(double lower, double upper, const struct bucket *b, size_t n)
{
	double count = b[n - 1].count;
	if (!(isinf(b[n - 1].le) && b[n - 1].le > 0) || count == 0 || isnan(lower) ||
		isnan(upper)) {
		return NAN;
	}
	if (lower >= upper) {
		return 0;
	}
	struct rank from = {.value = lower}, to = {.value = upper};
	double below = 0, bound = b[0].le <= 0 ? -INFINITY : 0;
	for (size_t i = 0; i < n && !(from.known && to.known); i++) {
		bound = i > 0 ? b[i - 1].le : bound;
		find_rank(&from, &b[i], bound, below);
		find_rank(&to, &b[i], bound, below);
		below = b[i].count;
	}
	from.rank = !from.known || from.rank > count ? count : from.rank;
	to.rank = !to.known || to.rank > count ? count : to.rank;
	return (to.rank - from.rank) / count;
}

int det_call_histogram_fraction(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct histograms h;
	double *lower, *upper;
	int rc = det_eval_scalar(ev, e->call.args[0], &lower);
	if (rc == 0) {
		rc = det_eval_scalar(ev, e->call.args[1], &upper);
	}
	if (rc == 0) {
		rc = histograms_open(ev, e->call.args[2], &h);
	}
	if (rc == 0) {
		rc = det_vec_init(ev, &ret->vec, h.map.n);
	}
	if (rc != 0) {
		return rc;
	}
	for (size_t g = 0; g < h.map.n; g++) {
		struct det_col *col = det_vec_add(ev, &ret->vec, &h.map.sets[g]);
		col->drop_name = true;
		for (size_t i = 0; i < ev->nsteps; i++) {
			size_t n = buckets_at(&h, g, i);
			if (n != 0) {
				col->v[i] = fraction_of(lower[i], upper[i], h.buckets, n);
			}
		}
	}
	det_vec_done(ev, &h.in);
	det_vec_trim(ev, &ret->vec);
	return 0;
}
