/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instant vector selectors: for each step the newest sample in (t - lookback, t], unless that is a
 * staleness marker. A series is decoded once and walked with one index, since steps only go
 * forward. "smoothed" takes the line between the neighbours on both sides instead.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>

static int add_matcher(
	struct det_eval *ev, const struct ops_promql_matcher *m, struct ops_matchers *ms)
{
	struct ops_error err = {0};
	int rc = ops_matchers_add(ms, m->op, m->name.text, m->value.text, &err);
	return rc != 0 ? det_eval_fail(ev, -EINVAL, "%s", err.message) : 0;
}

int det_eval_select(struct det_eval *ev, const struct ops_promql_expr *selector,
	const int64_t range_ms[2], struct det_series_list *ret)
{
	struct ops_matchers ms;
	ops_matchers_init(&ms);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < selector->vector.nmatchers; i++) {
		rc = add_matcher(ev, &selector->vector.matchers[i], &ms);
	}
	if (rc == 0) {
		det_store_select(ev->sh->store, &ms, range_ms, ev->sh->arena, ret);
	}
	ops_matchers_done(&ms);
	return rc;
}

int det_eval_read(struct det_eval *ev, const struct det_series *series, const int64_t range_ms[2])
{
	int rc = det_eval_check(ev);
	if (rc != 0) {
		return rc;
	}
	struct det_samples *s = &ev->sh->samples;
	det_series_read(series, range_ms[0], range_ms[1], s);
	ev->sh->total += s->n;
	size_t kept = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (!ops_is_stale(s->v[i])) {
			s->t[kept] = s->t[i];
			s->v[kept++] = s->v[i];
		}
	}
	s->n = kept;
	return 0;
}

/* Index of the first sample after t, searched from at on. */
static size_t after(const struct det_samples *s, size_t at, int64_t t)
{
	while (at < s->n && s->t[at] <= t) {
		at++;
	}
	return at;
}

struct walk {
	struct det_reference ref;
	int64_t lookback_ms;
	bool timestamps, smoothed;
};

static double newest(const struct walk *w, const struct det_samples *s, size_t next, int64_t t)
{
	if (next == 0 || s->t[next - 1] <= t - w->lookback_ms || ops_is_stale(s->v[next - 1])) {
		return det_absent();
	}
	return w->timestamps ? (double)s->t[next - 1] / 1000 : s->v[next - 1];
}

/* Between the neighbours of t; samples hold no staleness markers here. */
static double between(const struct walk *w, const struct det_samples *s, size_t next, int64_t t)
{
	if (next == 0 || s->t[next - 1] <= t - w->lookback_ms) {
		return det_absent();
	}
	size_t left = next - 1;
	if (s->t[left] == t || next == s->n || s->t[next] > t + w->lookback_ms) {
		return s->v[left];
	}
	double part = (double)(t - s->t[left]) / (double)(s->t[next] - s->t[left]);
	return s->v[left] + (s->v[next] - s->v[left]) * part;
}

static void walk_series(struct det_eval *ev, const struct walk *w, struct det_col *col)
{
	const struct det_samples *s = &ev->sh->samples;
	size_t next = 0;
	for (size_t i = 0; i < ev->nsteps; i++) {
		if (i > 0 && w->ref.fixed) {
			col->v[i] = col->v[0];
			continue;
		}
		int64_t t = det_reference_time(ev, &w->ref, i);
		next = after(s, next, t);
		col->v[i] = w->smoothed ? between(w, s, next, t) : newest(w, s, next, t);
	}
}

static int read_series(struct det_eval *ev, const struct walk *w, const struct det_series *series,
	const int64_t range_ms[2])
{
	if (w->smoothed) {
		return det_eval_read(ev, series, range_ms);
	}
	/* Staleness markers must be seen. */
	det_series_read(series, range_ms[0], range_ms[1], &ev->sh->samples);
	ev->sh->total += ev->sh->samples.n;
	return det_eval_check(ev);
}

int det_eval_selector(
	struct det_eval *ev, const struct ops_promql_expr *e, bool timestamps, struct det_vec *ret)
{
	struct walk w = {.lookback_ms = ev->sh->options.lookback_ms,
		.timestamps = timestamps,
		.smoothed = e->vector.smoothed};
	struct det_series_list list;
	int rc = det_eval_reference(ev, &e->vector.shift, &w.ref);
	if (rc != 0) {
		return rc;
	}
	int64_t range_ms[2] = {det_reference_time(ev, &w.ref, 0) - w.lookback_ms + 1,
		det_reference_time(ev, &w.ref, ev->nsteps - 1)};
	range_ms[1] += w.smoothed ? w.lookback_ms : 0;
	rc = det_eval_select(ev, e, range_ms, &list);
	if (rc == 0) {
		rc = det_vec_init(ev, ret, list.n);
	}
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		rc = read_series(ev, &w, list.items[i], range_ms);
		if (rc != 0 || ev->sh->samples.n == 0) {
			continue;
		}
		const struct ops_labels *ls = list.items[i]->labels;
		struct det_lset labels = det_lset_of(ls->items, ls->n);
		struct det_col *col = det_vec_add(ev, ret, &labels);
		walk_series(ev, &w, col);
		if (det_col_empty(ev, col)) {
			det_vec_drop_last(ev, ret);
		}
	}
	return rc;
}
