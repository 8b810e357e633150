/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of all values in a window: sums, extremes, spread, trends. Sums are compensated
 * (det_kahan_add), the variance is Welford's with compensation, as the language asks for.
 */
#include "services/detector/engine/range_functions.h"

#include <math.h>
#include <string.h>

double det_fn_sum(const struct det_window *w)
{
	struct det_kahan k = {0, 0};
	for (size_t i = 0; i < w->n; i++) {
		det_kahan_add(&k, w->v[i]);
	}
	return isinf(k.sum) ? k.sum : k.sum + k.c;
}

/* The mean of what would overflow a sum: moved by each value's share. */
static double moving_mean(const struct det_window *w, size_t from, struct det_kahan mean)
{
	for (size_t i = from; i < w->n; i++) {
		double count = (double)(i + 1), q = (count - 1) / count;
		mean.sum *= q;
		mean.c *= q;
		det_kahan_add(&mean, w->v[i] / count);
	}
	return mean.sum + mean.c;
}

double det_fn_avg(const struct det_window *w)
{
	struct det_kahan k = {w->v[0], 0};
	for (size_t i = 1; i < w->n; i++) {
		struct det_kahan next = k;
		det_kahan_add(&next, w->v[i]);
		if (isinf(next.sum)) {
			k.sum /= (double)i;
			k.c /= (double)i;
			return moving_mean(w, i, k);
		}
		k = next;
	}
	return k.sum / (double)w->n + k.c / (double)w->n;
}

double det_fn_count(const struct det_window *w)
{
	return (double)w->n;
}

double det_fn_present(const struct det_window *w)
{
	(void)w;
	return 1;
}

double det_fn_first(const struct det_window *w)
{
	return w->v[0];
}

double det_fn_last(const struct det_window *w)
{
	return w->v[w->n - 1];
}

double det_fn_ts_first(const struct det_window *w)
{
	return (double)w->t[0] / 1000;
}

double det_fn_ts_last(const struct det_window *w)
{
	return (double)w->t[w->n - 1] / 1000;
}

double det_fn_min(const struct det_window *w)
{
	double min = w->v[0];
	for (size_t i = 1; i < w->n; i++) {
		min = w->v[i] < min || isnan(min) ? w->v[i] : min;
	}
	return min;
}

double det_fn_max(const struct det_window *w)
{
	double max = w->v[0];
	for (size_t i = 1; i < w->n; i++) {
		max = w->v[i] > max || isnan(max) ? w->v[i] : max;
	}
	return max;
}

/* The latest of the least (greatest). */
double det_fn_ts_min(const struct det_window *w)
{
	size_t at = 0;
	for (size_t i = 1; i < w->n; i++) {
		at = w->v[i] <= w->v[at] || isnan(w->v[at]) ? i : at;
	}
	return (double)w->t[at] / 1000;
}

double det_fn_ts_max(const struct det_window *w)
{
	size_t at = 0;
	for (size_t i = 1; i < w->n; i++) {
		at = w->v[i] >= w->v[at] || isnan(w->v[at]) ? i : at;
	}
	return (double)w->t[at] / 1000;
}

double det_fn_stdvar(const struct det_window *w)
{
	struct det_kahan mean = {0, 0}, aux = {0, 0};
	double count = 0;
	for (size_t i = 0; i < w->n; i++) {
		count++;
		double delta = w->v[i] - (mean.sum + mean.c);
		det_kahan_add(&mean, delta / count);
		det_kahan_add(&aux, delta * (w->v[i] - (mean.sum + mean.c)));
	}
	return (aux.sum + aux.c) / count;
}

double det_fn_stddev(const struct det_window *w)
{
	return sqrt(det_fn_stdvar(w));
}

static double *copy_values(const struct det_window *w)
{
	double *values = ops_xcalloc(w->n, sizeof(double));
	memcpy(values, w->v, w->n * sizeof(double));
	return values;
}

double det_fn_quantile(const struct det_window *w)
{
	double *values = copy_values(w);
	double result = det_quantile(w->args[0], values, w->n);
	free(values);
	return result;
}

double det_fn_mad(const struct det_window *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (isnan(w->v[i])) {
			return NAN;
		}
	}
	double *values = copy_values(w);
	double median = det_quantile(0.5, values, w->n);
	for (size_t i = 0; i < w->n; i++) {
		values[i] = fabs(values[i] - median);
	}
	double result = det_quantile(0.5, values, w->n);
	free(values);
	return result;
}

struct line {
	double slope, intercept;
};

/* Least squares over the window; x is seconds from origin_ms. */
static struct line fit(const struct det_window *w, int64_t origin_ms)
{
	struct det_kahan sx = {0, 0}, sy = {0, 0}, sxy = {0, 0}, sx2 = {0, 0};
	bool constant = true;
	for (size_t i = 0; i < w->n; i++) {
		constant = constant && w->v[i] == w->v[0];
		double x = (double)(w->t[i] - origin_ms) / 1e3;
		det_kahan_add(&sx, x);
		det_kahan_add(&sy, w->v[i]);
		det_kahan_add(&sxy, x * w->v[i]);
		det_kahan_add(&sx2, x * x);
	}
	if (constant) {
		return isinf(w->v[0]) ? (struct line){NAN, NAN} : (struct line){0, w->v[0]};
	}
	double n = (double)w->n;
	double x = sx.sum + sx.c, y = sy.sum + sy.c;
	double cov = (sxy.sum + sxy.c) - x * y / n;
	double var = (sx2.sum + sx2.c) - x * x / n;
	double slope = cov / var;
	return (struct line){slope, y / n - slope * x / n};
}

double det_fn_deriv(const struct det_window *w)
{
	return w->n < 2 ? det_absent() : fit(w, w->t[0]).slope;
}

double det_fn_predict_linear(const struct det_window *w)
{
	if (w->n < 2) {
		return det_absent();
	}
	struct line l = fit(w, w->eval_ms);
	return l.slope * w->args[0] + l.intercept;
}

/* Holt's method: args are the smoothing and the trend factor, both checked by the caller. */
double det_fn_double_exponential_smoothing(const struct det_window *w)
{
	if (w->n < 2) {
		return det_absent();
	}
	double sf = w->args[0], tf = w->args[1];
	double before = 0, level = w->v[0], trend = w->v[1] - w->v[0];
	for (size_t i = 1; i < w->n; i++) {
		if (i > 1) {
			trend = tf * (level - before) + (1 - tf) * trend;
		}
		double next = sf * w->v[i] + (1 - sf) * (level + trend);
		before = level;
		level = next;
	}
	return level;
}
