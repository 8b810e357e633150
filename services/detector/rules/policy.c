/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an alerting rule that Prometheus does not have.
 *
 * no_data asks a question that a result cannot answer: an alert that is not in it may have
 * recovered, or its series may be gone. Its data is missing when a selector that the expression
 * needs has no series with a current sample that agrees with the alert on every label that both
 * have. Which selectors are needed follows the operators: both sides of a comparison, arithmetic
 * and `and`, one side of `or`, the left side of `unless`, none below absent().
 *
 * resolve_when has recovered an alert when its result holds an element all of whose labels the
 * alert's own result had: a sum without labels recovers every alert of the rule.
 *
 * A flapping alert goes on firing until it was calm for the time in which firings are counted.
 */
#include "services/detector/rules/internal.h"

#include <string.h>

/* ---- fire_after ---- */

bool det_policy_breached(const struct det_rule *r, const struct det_instance *a, int64_t now_ms)
{
	const struct ops_rule_policy *p = &r->rule->policy;
	if (p->fire_m == 0) {
		return a->last_seen_ms == now_ms;
	}
	return (unsigned)__builtin_popcountll(a->history) >= p->fire_n;
}

void det_policy_remember(const struct det_rule *r, struct det_instance *a, bool present)
{
	unsigned m = r->rule->policy.fire_m;
	if (m == 0) {
		return;
	}
	uint64_t mask = m >= 64 ? UINT64_MAX : (1ULL << m) - 1;
	uint64_t before = a->history;
	a->history = (a->history << 1 | (present ? 1u : 0u)) & mask;
	if (a->history != before) {
		r->group->owner->changed = true;
	}
}

/* ---- no_data ---- */

struct question {
	const struct det_rule *rule;
	const struct ops_labels *alert; /* NULL: any series will do */
	int64_t at_ms;
	struct ops_arena arena;
	struct det_samples samples;
};

static bool agree(const struct ops_labels *alert, const struct ops_labels *series)
{
	for (uint32_t i = 0; alert != NULL && i < alert->n; i++) {
		const char *value = ops_labels_get(series, alert->items[i].name);
		if (value != NULL && strcmp(value, alert->items[i].value) != 0) {
			return false;
		}
	}
	return true;
}

static bool current(struct question *q, const struct det_series *series, const int64_t range_ms[2])
{
	det_series_read(series, range_ms[0], range_ms[1], &q->samples);
	return q->samples.n > 0 && !ops_is_stale(q->samples.v[q->samples.n - 1]);
}

static bool selector_has_data(struct question *q, const struct ops_promql_expr *e)
{
	const struct det_rule *r = q->rule;
	for (size_t i = 0; i < r->nselectors; i++) {
		const struct det_selector *s = &r->selectors[i];
		if (s->expr != e) {
			continue;
		}
		const int64_t range_ms[2] = {q->at_ms - s->reach_ms, q->at_ms};
		struct det_series_list list = {NULL, 0};
		det_store_select(
			r->group->owner->cfg.store, &s->matchers, range_ms, &q->arena, &list);
		for (size_t k = 0; k < list.n; k++) {
			if (agree(q->alert, list.items[k]->labels) &&
				current(q, list.items[k], range_ms)) {
				return true;
			}
		}
		return false;
	}
	return true;
}

static bool has_data(struct question *q, const struct ops_promql_expr *e);

static bool children_have_data(struct question *q, const struct ops_promql_expr *e)
{
	const struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		if (!has_data(q, c)) {
			return false;
		}
	}
	return true;
}

static bool has_data(struct question *q, const struct ops_promql_expr *e)
{
	if (e->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		return selector_has_data(q, e);
	}
	if (e->kind == OPS_PROMQL_BINARY && e->binary.op == OPS_PROMQL_OP_UNLESS) {
		return has_data(q, e->binary.lhs);
	}
	if (e->kind == OPS_PROMQL_BINARY && e->binary.op == OPS_PROMQL_OP_OR) {
		return has_data(q, e->binary.lhs) || has_data(q, e->binary.rhs);
	}
	if (det_expects_nothing(e)) {
		return true;
	}
	return children_have_data(q, e);
}

bool det_policy_missing(const struct det_rule *r, const struct ops_labels *alert, int64_t now_ms)
{
	if (r->group->owner->cfg.source != NULL) {
		return false; /* the data is elsewhere: nobody can say */
	}
	int64_t offset_ms = det_group_offset(r->group);
	struct question q = {.rule = r, .alert = alert, .at_ms = now_ms - offset_ms};
	ops_arena_init(&q.arena);
	bool found = has_data(&q, r->rule->expr);
	det_samples_done(&q.samples);
	ops_arena_done(&q.arena);
	return !found;
}

/* ---- resolve_when ---- */

static bool covers(const struct ops_labels *alert, const struct det_result_series *element)
{
	for (uint32_t i = 0; i < element->nlabels; i++) {
		const struct ops_label *l = &element->labels[i];
		if (strcmp(l->name, OPS_LABEL_NAME) == 0) {
			continue;
		}
		const char *value = alert != NULL ? ops_labels_get(alert, l->name) : NULL;
		if (value == NULL || strcmp(value, l->value) != 0) {
			return false;
		}
	}
	return true;
}

bool det_policy_recovered(const struct det_instance *a, const struct det_result *recovered)
{
	for (size_t i = 0; i < recovered->n; i++) {
		if (covers(a->source, &recovered->series[i])) {
			return true;
		}
	}
	return false;
}

/* ---- flapping ---- */

void det_policy_fired(const struct det_rule *r, struct det_instance *a, int64_t now_ms)
{
	const struct ops_rule_policy *p = &r->rule->policy;
	if (p->flap_changes == 0) {
		return;
	}
	unsigned old = 0;
	while (old < a->nfired && (a->fired[old] <= now_ms - p->flap_within_ms ||
					  a->nfired - old == OPS_RULE_CHANGES_MAX)) {
		old++;
	}
	a->nfired -= old;
	memmove(a->fired, a->fired + old, a->nfired * sizeof(a->fired[0]));
	a->fired[a->nfired++] = now_ms;
	a->flapping = a->nfired >= p->flap_changes;
}

int64_t det_policy_flaps_until(const struct det_rule *r, const struct det_instance *a)
{
	return a->flapping ? a->last_seen_ms + r->rule->policy.flap_within_ms : 0;
}

void det_policy_resolved(struct det_instance *a)
{
	if (a->flapping) {
		a->flapping = false;
		a->nfired = 0;
	}
}
