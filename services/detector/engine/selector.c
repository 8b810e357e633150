/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instant vector selectors: for each step the newest sample in (t - lookback, t], unless that is a
 * staleness marker. A series is decoded once and walked with one index, since steps only go
 * forward. "smoothed" takes the line between the neighbours on both sides instead.
 */
#include "services/detector/engine/plan.h"
#include "services/detector/engine/starts.h"

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
	const struct det_query *q = ev->sh->query;
	if (q->recall != NULL && q->recall(q->recall_arg, selector, range_ms, ret)) {
		return 0;
	}
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

int det_eval_read_all(
	struct det_eval *ev, const struct det_series *series, const int64_t range_ms[2])
{
	struct det_samples *s = &ev->sh->samples;
	det_series_read(series, range_ms[0], range_ms[1], s);
	ev->sh->total += s->n;
	if (s->h != NULL && det_wants_stats(ev)) {
		det_native_stats(ev);
	}
	return det_eval_check(ev);
}

int det_eval_read(struct det_eval *ev, const struct det_series *series, const int64_t range_ms[2])
{
	int rc = det_eval_read_all(ev, series, range_ms);
	if (rc != 0) {
		return rc;
	}
	struct det_samples *s = &ev->sh->samples;
	size_t kept = 0;
	while (kept < s->n && !ops_is_stale(s->v[kept])) {
		kept++;
	}
	for (size_t i = kept; i < s->n; i++) {
		if (!ops_is_stale(s->v[i])) {
			s->t[kept] = s->t[i];
			s->v[kept] = s->v[i];
			if (s->h != NULL) {
				s->h[kept] = s->h[i];
			}
			kept++;
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
	enum det_reading reading;
	bool smoothed;
	const struct ops_promql_expr *e;
	struct det_starts starts; /* for DET_READ_STARTS */
	const int64_t *start;	  /* of the samples; NULL: none */
	size_t next;		  /* first sample after the step */
};

static double newest(const struct walk *w, const struct det_samples *s, size_t next, int64_t t)
{
	if (next == 0 || s->t[next - 1] <= t - w->lookback_ms || ops_is_stale(s->v[next - 1])) {
		return det_absent();
	}
	switch (w->reading) {
	case DET_READ_VALUES:
		break;
	case DET_READ_STARTS:
		return w->start != NULL ? (double)w->start[next - 1] / 1000 : 0;
	case DET_READ_TIMES:
	case DET_READ_INFO_TIMES:
		return (double)s->t[next - 1] / 1000;
	}
	return s->v[next - 1];
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

/* A histogram of the scratch becomes the query's own, once for all steps that see it. */
struct kept {
	const struct ops_histogram *from, *own;
};

static int set_step(
	struct det_eval *ev, const struct walk *w, struct det_col *col, size_t i, struct kept *kept)
{
	const struct det_samples *s = &ev->sh->samples;
	int64_t t = det_reference_time(ev, &w->ref, i);
	size_t next = w->next;
	if (w->smoothed) {
		if (s->h != NULL) {
			return det_native_smooth(ev, w->e, t, next, col, i);
		}
		col->v[i] = between(w, s, next, t);
		return 0;
	}
	col->v[i] = newest(w, s, next, t);
	if (w->reading == DET_READ_INFO_TIMES && s->h != NULL && !det_is_absent(col->v[i]) &&
		s->h[next - 1] != NULL) {
		return det_eval_fail(ev, -EINVAL,
			"this should be an info metric, with float samples: %s",
			det_lset_text(ev->sh->arena, &col->labels));
	}
	if (!det_is_histogram(col->v[i])) {
		return 0;
	}
	ops_assert(s->h != NULL); /* a mark without one is not read */
	const struct ops_histogram *h = s->h[next - 1];
	if (kept->from != h) {
		struct ops_histogram *own;
		int rc = det_histogram_copy(ev, h, &own);
		if (rc != 0) {
			return rc;
		}
		*kept = (struct kept){h, own};
	}
	return det_col_set(ev, col, i, kept->own);
}

static int walk_series(struct det_eval *ev, struct walk *w, struct det_col *col)
{
	const struct det_samples *s = &ev->sh->samples;
	struct kept kept = {NULL, NULL};
	int rc = 0;
	w->next = 0;
	for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
		if (i > 0 && w->ref.fixed) {
			const struct ops_histogram *h = det_col_histogram(col, 0);
			col->v[i] = col->v[0];
			rc = h != NULL ? det_col_set(ev, col, i, h) : 0;
			continue;
		}
		w->next = after(s, w->next, det_reference_time(ev, &w->ref, i));
		rc = set_step(ev, w, col, i, &kept);
	}
	return rc;
}

/* Floats at each step: the last sample of the step's window. */
static int pick_column(struct det_eval *ev, struct det_plan *plan, struct det_col *col)
{
	const struct det_samples *s = &ev->sh->samples;
	(void)det_plan_fit(ev, plan);
	for (size_t i = 0; i < ev->nsteps; i++) {
		uint32_t next = plan->hi[i];
		bool there = plan->lo[i] < next && !ops_is_stale(s->v[next - 1]);
		col->v[i] = there ? s->v[next - 1] : det_absent();
	}
	return det_eval_spend(ev, ev->nsteps);
}

static int fill_column(
	struct det_eval *ev, struct walk *w, struct det_plan *plan, struct det_col *col)
{
	bool floats = ev->sh->samples.h == NULL;
	if (floats && !w->smoothed && w->reading == DET_READ_VALUES) {
		return pick_column(ev, plan, col);
	}
	det_col_clear(ev, col);
	return walk_series(ev, w, col);
}

static int read_series(struct det_eval *ev, struct walk *w, const struct det_series *series,
	const int64_t range_ms[2])
{
	int rc = w->smoothed ? det_eval_read(ev, series, range_ms)
			     : det_eval_read_all(ev, series, range_ms); /* markers must be seen */
	if (rc == 0 && w->starts.n != 0) {
		rc = det_starts_read(ev, &w->starts, series, range_ms);
		w->start = ev->sh->starts;
	}
	return rc;
}

int det_eval_selector(struct det_eval *ev, const struct ops_promql_expr *e,
	enum det_reading reading, struct det_vec *ret)
{
	struct walk w = {.lookback_ms = ev->sh->options.lookback_ms,
		.reading = reading,
		.smoothed = e->vector.smoothed,
		.e = e};
	struct det_series_list list;
	struct det_plan plan;
	int rc = det_eval_reference(ev, &e->vector.shift, &w.ref);
	if (rc != 0) {
		return rc;
	}
	det_plan_init(ev, &plan, &w.ref, (const int64_t[2]){w.lookback_ms, 0});
	int64_t range_ms[2] = {det_reference_time(ev, &w.ref, 0) - w.lookback_ms + 1,
		det_reference_time(ev, &w.ref, ev->nsteps - 1)};
	range_ms[1] += w.smoothed ? w.lookback_ms : 0;
	rc = det_eval_select(ev, e, range_ms, &list);
	if (rc == 0) {
		rc = det_vec_init(ev, ret, list.n);
	}
	if (rc == 0 && reading == DET_READ_STARTS) {
		rc = det_starts_open(ev, e, range_ms, &w.starts);
	}
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		rc = read_series(ev, &w, list.items[i], range_ms);
		if (rc != 0 || ev->sh->samples.n == 0) {
			continue;
		}
		const struct ops_labels *ls = list.items[i]->labels;
		struct det_lset labels = det_lset_of(ls->items, ls->n);
		struct det_col *col = det_vec_add_unset(ev, ret, &labels);
		rc = fill_column(ev, &w, &plan, col);
		if (det_col_empty(ev, col)) {
			det_vec_drop_last(ev, ret);
		}
	}
	return rc;
}
