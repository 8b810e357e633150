/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates: what happened between the samples of a window, extended to its edges. The rule (as the
 * language documents it): extend to an edge when a sample is close to it, else by half the average
 * interval; a counter is never extended below zero. Two samples are needed.
 *
 * anchored: from the sample before the window's start to the last one inside, nothing extended.
 * smoothed: the values at the edges are those of the line between their neighbours.
 */
#include "services/detector/engine/range_functions.h"
#include "services/detector/engine/starts.h"

#include <math.h>

/* What the counter had reached before a reset is added again; without a reset nothing is walked. */
static double counter_change(const struct det_window *w)
{
	double change = w->v[w->n - 1] - w->v[0];
	if (w->resets[w->n - 1] != w->resets[0]) {
		for (size_t i = 1; i < w->n; i++) {
			bool reset = w->v[i] < w->v[i - 1] || det_window_anew(w, i);
			change += reset ? w->v[i - 1] : 0;
		}
	}
	return change;
}

/* Towards an edge: all of it when a sample is close, else half an average interval. In
 * milliseconds: a ratio has no unit. */
struct det_stretch det_stretch(const struct det_window *w)
{
	struct det_stretch s = {.sampled = (double)(w->t[w->n - 1] - w->t[0]),
		.to_start = (double)(w->t[0] - w->start_ms),
		.to_end = (double)(w->end_ms - w->t[w->n - 1])};
	double average = s.sampled / (double)(w->n - 1);
	double close = average * 1.1;
	s.to_start = s.to_start >= close ? average / 2 : s.to_start;
	s.to_end = s.to_end >= close ? average / 2 : s.to_end;
	return s;
}

double det_extrapolation(const struct det_window *w, double first, double change, bool counter)
{
	struct det_stretch s = det_stretch(w);
	if (counter && change > 0 && first >= 0 && s.sampled * first < s.to_start * change) {
		s.to_start = s.sampled * (first / change);
	}
	return s.sampled != 0 ? (s.sampled + s.to_start + s.to_end) / s.sampled : 1;
}

static double interpolate(const struct det_window *w, size_t left, int64_t t, bool counter)
{
	double y1 = w->v[left], y2 = w->v[left + 1];
	if (counter && y2 < y1) {
		y1 = 0;
	}
	return y1 + (y2 - y1) * (double)(t - w->t[left]) / (double)(w->t[left + 1] - w->t[left]);
}

struct edges {
	size_t first, last; /* samples next to the window's edges */
	double left, right; /* values there */
};

/* First index in [0, n) with t >= (or >) limit; n when there is none. */
static size_t search(const struct det_window *w, size_t n, int64_t limit, bool or_equal)
{
	size_t i = 0;
	while (i < n && (or_equal ? w->t[i] < limit : w->t[i] <= limit)) {
		i++;
	}
	return i;
}

bool det_window_edges(const struct det_window *w, size_t *ret_first, size_t *ret_last)
{
	size_t last = w->n - 1;
	size_t after_start = search(w, last, w->start_ms, false);
	size_t first = after_start > 0 ? after_start - 1 : 0;
	if (w->smoothed) {
		last = search(w, last, w->end_ms, true);
	}
	*ret_first = first;
	*ret_last = last;
	return w->t[last] > w->start_ms && !(w->smoothed && w->t[first] > w->end_ms);
}

static bool find_edges(const struct det_window *w, bool counter, struct edges *e)
{
	if (!det_window_edges(w, &e->first, &e->last)) {
		return false;
	}
	e->left = w->v[e->first];
	if (w->smoothed && w->t[e->first] < w->start_ms && e->first + 1 < w->n) {
		e->left = interpolate(w, e->first, w->start_ms, counter);
	}
	e->right = w->v[e->last];
	if (w->smoothed && e->last > 0 && w->t[e->last] > w->end_ms) {
		e->right = interpolate(w, e->last - 1, w->end_ms, counter);
	}
	return true;
}

static double edge_change(const struct det_window *w, bool counter)
{
	struct edges e;
	if (!find_edges(w, counter, &e)) {
		return det_absent();
	}
	double change = e.right - e.left;
	if (!counter) {
		return change;
	}
	size_t from = e.first + (w->t[e.first] <= w->start_ms);
	size_t to = e.last + 1 - (w->t[e.last] >= w->end_ms);
	double before = e.left, lost = 0;
	for (size_t i = from; i < to; i++) {
		lost += w->v[i] < before ? before : 0;
		before = w->v[i];
	}
	lost += e.right < before ? before : 0;
	return change + lost;
}

size_t det_extend_window(const struct det_window *w, struct det_point *out)
{
	struct edges e;
	if (w->n == 0 || !find_edges(w, false, &e)) {
		return 0;
	}
	size_t from = e.first + (w->t[e.first] <= w->start_ms);
	size_t to = e.last + 1 - (w->t[e.last] >= w->end_ms);
	size_t n = 0;
	out[n++] = (struct det_point){w->start_ms, e.left, NULL};
	for (size_t i = from; i < to; i++) {
		out[n++] = (struct det_point){w->t[i], w->v[i], NULL};
	}
	out[n++] = (struct det_point){w->end_ms, e.right, NULL};
	return n;
}

static double change_of(const struct det_window *w, bool counter, bool per_second)
{
	double seconds = (double)w->range_ms / 1000;
	if (w->anchored || w->smoothed) {
		double change = edge_change(w, counter);
		return per_second && !det_is_absent(change) ? change / seconds : change;
	}
	bool born = counter && det_window_born(w);
	if (w->n < 2 && !born) {
		return det_absent();
	}
	double change = counter ? counter_change(w) : w->v[w->n - 1] - w->v[0];
	double factor =
		born ? det_growth_since_start(w) : det_extrapolation(w, w->v[0], change, counter);
	change += born ? w->v[0] : 0;
	return change * (per_second ? factor / seconds : factor);
}

double det_fn_rate(const struct det_window *w)
{
	return change_of(w, true, true);
}

double det_fn_increase(const struct det_window *w)
{
	return change_of(w, true, false);
}

double det_fn_delta(const struct det_window *w)
{
	return change_of(w, false, false);
}

static double last_two(const struct det_window *w, bool counter)
{
	if (w->n < 2) {
		return det_absent();
	}
	double before = w->v[w->n - 2], last = w->v[w->n - 1];
	bool reset = counter && (last < before || det_window_anew(w, w->n - 1));
	double change = reset ? last : last - before;
	return counter ? change / ((double)(w->t[w->n - 1] - w->t[w->n - 2]) / 1000) : change;
}

double det_fn_irate(const struct det_window *w)
{
	return last_two(w, true);
}

double det_fn_idelta(const struct det_window *w)
{
	return last_two(w, false);
}

/* Where counting starts: anchored windows begin with the sample before them. */
bool det_window_first(const struct det_window *w, size_t *ret)
{
	*ret = 0;
	if (!w->anchored) {
		return true;
	}
	size_t after = search(w, w->n, w->start_ms, false);
	*ret = after > 0 ? after - 1 : 0;
	return after < w->n;
}

double det_fn_resets(const struct det_window *w)
{
	size_t first;
	return det_window_first(w, &first) ? (double)(w->resets[w->n - 1] - w->resets[first])
					   : det_absent();
}

double det_fn_changes(const struct det_window *w)
{
	size_t first;
	if (!det_window_first(w, &first)) {
		return det_absent();
	}
	double changes = 0;
	for (size_t i = first + 1; i < w->n; i++) {
		bool both_nan = isnan(w->v[i]) && isnan(w->v[i - 1]);
		changes += w->v[i] != w->v[i - 1] && !both_nan;
	}
	return changes;
}
