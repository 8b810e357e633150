/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group is evaluated in slices. Its rules run in their order and all have the time of the pass,
 * but after a few milliseconds the rest waits for another turn of the loop, so that samples are
 * taken in, requests answered and other groups' alerts told however many rules one group has.
 * Passes that are under way take turns, one slice a turn of the loop, first come first served.
 *
 * Whoever is told is told at the end of each slice. In between, arrivals go on: a rule that was
 * evaluated on arrival since the pass began is newer than the pass and left out by it. What a rule
 * records marks its readers, so one that was left out that way comes again.
 *
 * A pass dies with its group: what was evaluated stays. While one is under way its group's interval
 * rests; it is left out where the pass takes longer.
 */
#include "services/detector/rules/internal.h"

#include "common/base/clock.h"
#include "common/metrics/metrics.h"

enum {
	SLICE_NS = 2000000
};

static struct ops_metric slices = OPS_COUNTER("ops_detector_rule_slices_total",
	"Slices of evaluations of rule groups by interval; more than groups evaluated: some needed "
	"more than one.");
static struct ops_metric under_way = OPS_GAUGE("ops_detector_rule_groups_under_way",
	"Rule groups whose evaluation by interval waits for its next turn.");

static void evaluate_one(struct det_rule *r, bool all, int64_t now_ms, bool *ret_any)
{
	if (det_rule_due(r, all, now_ms)) {
		*ret_any = true;
		det_rule_evaluate(r, all, now_ms);
	}
	if (all) {
		det_dead_look(r, now_ms);
	}
}

/* From rule *at on, until the end of the group or the time; true: the end. One rule at least. */
static bool run(struct det_rule_group *g, size_t *at, int64_t until_ns)
{
	bool any = false, begun = false;
	g->owner->evaluating = true;
	while (*at < g->n && (!begun || ops_mono_ns() < until_ns)) {
		evaluate_one(&g->rules[(*at)++], true, g->pass.now_ms, &any);
		begun = true;
	}
	g->owner->evaluating = false;
	if (any) {
		det_group_tell(g);
	}
	return *at == g->n;
}

static int64_t slice_end(const struct det_rules *r)
{
	return ops_mono_ns() + (r->cfg.slice_ns > 0 ? r->cfg.slice_ns : SLICE_NS);
}

static void wait_for_turn(struct det_rule_group *g)
{
	struct det_rules *r = g->owner;
	TAILQ_INSERT_TAIL(&r->passes, g, in_passes);
	ops_metric_add(&under_way, 1);
	if (!ops_timer_pending(r->slice)) {
		ops_timer_start(r->slice, 0);
	}
}

static void leave_line(struct det_rule_group *g)
{
	TAILQ_REMOVE(&g->owner->passes, g, in_passes);
	ops_metric_add(&under_way, -1);
}

/* One slice; the pass goes on in another turn or is over. */
static void go_on(struct det_rule_group *g)
{
	int64_t start_ns = ops_mono_ns();
	bool through = run(g, &g->pass.at, slice_end(g->owner));
	g->pass.cost_ns += ops_mono_ns() - start_ns;
	ops_metric_add(&slices, 1);
	if (!through) {
		wait_for_turn(g);
		return;
	}
	g->pass.on = false;
	g->ticked = true;
	g->last_cost_ns = g->pass.cost_ns;
}

void det_pass_start(struct det_rule_group *g, int64_t now_ms)
{
	g->pass = (struct det_pass){.on = true, .now_ms = now_ms};
	g->last_eval_ms = now_ms;
	go_on(g);
}

void det_pass_cancel(struct det_rule_group *g)
{
	if (g->pass.on) {
		leave_line(g);
		g->pass.on = false;
	}
}

void det_pass_on_turn(void *arg)
{
	struct det_rules *r = arg;
	struct det_rule_group *g = TAILQ_FIRST(&r->passes);
	if (g == NULL) {
		return; /* its groups are gone */
	}
	leave_line(g);
	go_on(g);
	if (!g->pass.on) {
		det_group_arm(g);
	}
	if (TAILQ_FIRST(&r->passes) != NULL) {
		ops_timer_start(r->slice, 0);
	}
	det_rules_wake_dirty(r);
}

void det_group_evaluate(struct det_rule_group *g, int64_t now_ms)
{
	size_t at = 0;
	int64_t start_ns = ops_mono_ns();
	g->pass.now_ms = now_ms;
	(void)run(g, &at, INT64_MAX);
	g->ticked = true;
	g->last_eval_ms = now_ms;
	g->last_cost_ns = ops_mono_ns() - start_ns;
}

bool det_group_catch_up(struct det_rule_group *g, int64_t now_ms, int64_t until_ns)
{
	bool any = false;
	size_t i = 0;
	g->owner->evaluating = true;
	for (; i < g->n && (!any || ops_mono_ns() < until_ns); i++) {
		evaluate_one(&g->rules[(g->caught_up_to + i) % g->n], false, now_ms, &any);
	}
	g->owner->evaluating = false;
	/* In the rules' own order, unless the time was over in the middle. */
	g->caught_up_to = i < g->n ? (g->caught_up_to + i) % g->n : 0;
	if (any) {
		det_group_tell(g);
	}
	return any;
}
