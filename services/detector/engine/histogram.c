/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic histograms: series that differ in their label le only are one histogram. The grouping,
 * the parsed bounds and their order are made once per query; each step then reads an array of
 * counts. Native ones (native_quantile.c) are computed after them into the same columns; where a
 * histogram has both forms at a step it has no result.
 *
 * Counts must not fall with the bound. Differences within rounding are ignored, larger ones are
 * levelled out and reported. Equal bounds (le="1" and le="1.0") are added up.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "common/base/number.h"

#define SMALL_DELTA 1e-12 /* relative difference that is rounding */

struct bound {
	double le;
	uint32_t group, column;
};

struct bucket {
	double le, count;
};

struct native { /* a column with native histograms */
	uint32_t group, column;
};

struct histograms {
	struct det_vec in;
	struct det_lset_map map; /* labels without le; then those of native ones */
	struct bound *bounds;	 /* by group, then le */
	size_t nbounds, nclassic;
	struct native *natives;
	size_t nnatives;
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

static void group_natives(struct histograms *h)
{
	h->nclassic = h->map.n;
	for (uint32_t c = 0; c < h->in.n; c++) {
		if (h->in.cols[c].h != NULL) {
			size_t at = det_lset_map_add(&h->map, &h->in.cols[c].labels);
			h->natives[h->nnatives++] = (struct native){(uint32_t)at, c};
		}
	}
}

static void group_columns(
	struct det_eval *ev, const struct ops_promql_expr *arg, struct histograms *h)
{
	static struct ops_promql_string le_name[] = {{"le", 2}};
	static const struct ops_promql_strings le = {le_name, 1};
	for (uint32_t c = 0; c < h->in.n; c++) {
		const struct det_lset *ls = &h->in.cols[c].labels;
		const char *text = det_lset_get(ls, "le");
		if (!det_col_any_float(ev, &h->in.cols[c])) {
			continue;
		}
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
	h->natives = det_scratch(ev, h->in.n, sizeof(struct native));
	group_columns(ev, arg, h);
	group_natives(h);
	h->begin = det_scratch(ev, h->map.n + 1, sizeof(size_t));
	for (size_t i = 0; i < h->nbounds; i++) {
		h->begin[h->bounds[i].group + 1] = i + 1;
	}
	return 0;
}

/* The histogram's buckets at a step, equal bounds added up. */
static size_t buckets_at(const struct histograms *h, size_t group, size_t step)
{
	size_t n = 0, end = group < h->nclassic ? h->begin[group + 1] : 0;
	for (size_t i = group < h->nclassic ? h->begin[group] : 0; i < end; i++) {
		const struct det_col *col = &h->in.cols[h->bounds[i].column];
		double v = col->v[step];
		if (det_is_absent(v) || det_col_histogram(col, step) != NULL) {
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

/* What was levelled during a call, by metric name. */
struct report {
	const char *name;
	struct levelled all;
	int64_t first_ms, last_ms;
	size_t n;
	struct report *next;
};

static void report_add(struct det_eval *ev, struct report **list, const struct det_lset *ls,
	const struct levelled *l, size_t step)
{
	const char *name = det_lset_get(ls, OPS_LABEL_NAME);
	int64_t t = det_step_time(ev, step);
	struct report *r = *list;
	while (r != NULL && strcmp(r->name, name) != 0) {
		r = r->next;
	}
	if (r == NULL) {
		r = det_scratch(ev, 1, sizeof(*r));
		*r = (struct report){name, *l, t, t, 0, *list};
		*list = r;
	}
	r->all.min_le = OPS_MIN(r->all.min_le, l->min_le);
	r->all.max_le = OPS_MAX(r->all.max_le, l->max_le);
	r->all.max_diff = OPS_MAX(r->all.max_diff, l->max_diff);
	r->first_ms = OPS_MIN(r->first_ms, t);
	r->last_ms = OPS_MAX(r->last_ms, t);
	r->n++;
}

static void format_time(int64_t ms, char ret[static 32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	ret[0] = '\0';
	if (gmtime_r(&seconds, &tm) != NULL) {
		(void)strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	}
}

static void report_all(
	struct det_eval *ev, const struct ops_promql_expr *arg, const struct report *list)
{
	for (const struct report *r = list; r != NULL; r = r->next) {
		char min[32], max[32], from[32], to[32];
		(void)ops_format_double(r->all.min_le, min);
		(void)ops_format_double(r->all.max_le, max);
		format_time(r->first_ms, from);
		format_time(r->last_ms, to);
		det_info(ev, arg,
			"input to histogram_quantile needed to be fixed for monotonicity (see "
			"https://prometheus.io/docs/prometheus/latest/querying/functions/"
			"#histogram_quantile)"
			"%s%s%s, from buckets %s to %s, with a max diff of %.2g, over %zu samples "
			"from %s to %s",
			*r->name != '\0' ? " for metric name \"" : "", r->name,
			*r->name != '\0' ? "\"" : "", min, max, r->all.max_diff, r->n, from, to);
	}
}

static void remark_nan(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct det_lset *ls, const char *what)
{
	const char *name = det_lset_get(ls, OPS_LABEL_NAME);
	det_info(ev, arg, "%s%s%s%s", what, *name != '\0' ? " for metric name \"" : "", name,
		*name != '\0' ? "\"" : "");
}

/* The native histogram of a column at a step; a classic one of the same labels spoils both. */
static const struct ops_histogram *native_at(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct histograms *h, const struct native *native, size_t step)
{
	const struct det_col *col = &h->in.cols[native->column];
	const struct ops_histogram *found = det_col_histogram(col, step);
	if (found == NULL || buckets_at(h, native->group, step) == 0) {
		return found;
	}
	const char *name = det_lset_get(&col->labels, OPS_LABEL_NAME);
	det_warn(ev, arg, "vector contains a mix of classic and native histograms%s%s%s",
		*name != '\0' ? " for metric name \"" : "", name, *name != '\0' ? "\"" : "");
	return NULL;
}

static void native_quantiles(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct histograms *h, const double *q, struct det_col *cols)
{
	for (size_t k = 0; k < h->nnatives; k++) {
		const struct native *native = &h->natives[k];
		const struct det_col *in = &h->in.cols[native->column];
		double *out = cols[native->group].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			const struct ops_histogram *found = native_at(ev, arg, h, native, i);
			enum det_nan_note note = DET_NAN_NONE;
			if (found != NULL) {
				out[i] = det_native_quantile(q[i], found, &note);
			} else if (det_col_histogram(in, i) != NULL) {
				out[i] = det_absent();
			}
			if (note != DET_NAN_NONE) {
				remark_nan(ev, arg, &in->labels,
					note == DET_NAN_SKEWED
						? "input to histogram_quantile has NaN "
						  "observations, result is skewed higher"
						: "input to histogram_quantile has NaN "
						  "observations, result is NaN");
			}
		}
	}
}

static void native_fractions(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct histograms *h, double *const range[2], struct det_col *cols)
{
	for (size_t k = 0; k < h->nnatives; k++) {
		const struct native *native = &h->natives[k];
		const struct det_col *in = &h->in.cols[native->column];
		double *out = cols[native->group].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			const struct ops_histogram *found = native_at(ev, arg, h, native, i);
			bool nan = false;
			if (found != NULL) {
				const double at[2] = {range[0][i], range[1][i]};
				out[i] = det_native_fraction(at, found, &nan);
			} else if (det_col_histogram(in, i) != NULL) {
				out[i] = det_absent();
			}
			if (nan) {
				remark_nan(ev, arg, &in->labels,
					"input to histogram_fraction has NaN observations, which "
					"are excluded from all fractions");
			}
		}
	}
}

static void quantile_group(struct det_eval *ev, struct histograms *h, size_t group, const double *q,
	struct det_col *out, struct report **reports)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		struct levelled l = {0};
		size_t n = buckets_at(h, group, i);
		if (n != 0) {
			out->v[i] = quantile_of(q[i], h->buckets, n, &l);
		}
		if (l.forced) {
			report_add(ev, reports, &h->map.sets[group], &l, i);
		}
	}
}

/* One column a group, in cols. */
static void quantile_columns(struct det_eval *ev, const struct ops_promql_expr *arg,
	struct histograms *h, const double *q, struct det_col *cols)
{
	struct report *reports = NULL;
	for (size_t group = 0; group < h->nclassic; group++) {
		quantile_group(ev, h, group, q, &cols[group], &reports);
	}
	native_quantiles(ev, arg, h, q, cols);
	report_all(ev, arg, reports);
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
		det_vec_add(ev, &ret->vec, &h.map.sets[g])->drop_name = true;
	}
	quantile_columns(ev, e->call.args[1], &h, q, ret->vec.cols);
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
			det_vec_add(ev, &ret->vec, &ls)->drop_name = true;
		}
		if (rc == 0) {
			struct det_col *cols = ret->vec.cols + k * h.map.n;
			quantile_columns(ev, e->call.args[0], &h, q, cols);
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
	double *range[2];
	int rc = det_eval_scalar(ev, e->call.args[0], &range[0]);
	if (rc == 0) {
		rc = det_eval_scalar(ev, e->call.args[1], &range[1]);
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
				col->v[i] = fraction_of(range[0][i], range[1][i], h.buckets, n);
			}
		}
	}
	native_fractions(ev, e->call.args[2], &h, range, ret->vec.cols);
	det_vec_done(ev, &h.in);
	det_vec_trim(ev, &ret->vec);
	return 0;
}
