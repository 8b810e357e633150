/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When rules are evaluated. Arrival: a batch marks the rules that read it, a zero timer runs them
 * at the start of the next turn, so that a burst of batches costs one evaluation. A rule whose
 * evaluation took c is not run on arrival again before 20 c have passed (it then stays dirty and
 * the interval takes it), which bounds arrival work at a few per cent of a core per rule whatever
 * comes in; a round of arrivals that took r is followed by a rest of 4 r, which bounds that of all
 * rules at a fifth of a core, and a round is not longer than some milliseconds. Time: each group
 * has a timer at its interval, shortened to the next end of a `for`.
 *
 * Within a group rules run in order, a few milliseconds at a time (pass.c); a recording rule's
 * samples mark the rules that read it dirty through the store's listener, so a chain of rules
 * settles in one turn, across groups too.
 *
 * After a restart nothing is evaluated until the collectors' rings were read, or some seconds are
 * over: half of the past is worse than none.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	COST_SHARE = 20,
	ROUND_SHARE = 4,
	ROUND_MAX_NS = 5000000,
	TELL_AGAIN_MS = 1000,
	SETTLE_POLL_MS = 100,
	SETTLE_MIN_MS =
		2000, /* collectors dial again within a second and then say where they are */
	SETTLE_MAX_MS = 5000
};

static struct ops_metric evaluations =
	OPS_COUNTER("ops_detector_rule_evaluations_total", "Rule evaluations.", "trigger");
static struct ops_metric failures = OPS_COUNTER(
	"ops_detector_rule_evaluation_failures_total", "Rule evaluations that failed.", "reason");
static const double cost_buckets[] = {1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
static struct ops_metric cost_seconds =
	OPS_HISTOGRAM("ops_detector_rule_evaluation_duration_seconds", "Time of a rule evaluation.",
		cost_buckets);

int det_rule_apply(struct det_rule *r, const struct det_outcome *out, struct ops_error *err)
{
	int64_t limit = r->group->def->limit;
	if (limit > 0 && out->result->n > (size_t)limit) {
		if (r->rule->kind == OPS_RULE_ALERTING) {
			det_alerting_resolve_all(r, out->now_ms);
		}
		return ops_error_set(err, -E2BIG, "exceeded limit of %lld with %zu %s",
			(long long)limit, out->result->n,
			r->rule->kind == OPS_RULE_ALERTING ? "alerts" : "series");
	}
	return r->rule->kind == OPS_RULE_ALERTING
		       ? det_alerting_apply(r, out, err)
		       : det_recording_apply(r, out->result, out->now_ms, err);
}

static void fail(struct det_rule *r, int rc, const struct ops_error *err)
{
	const char *reason = rc == -ETIMEDOUT ? "timeout" : rc == -E2BIG ? "limit" : "error";
	r->failures++;
	r->deadline_ms = 0; /* the interval tries again; a deadline in the past would never rest */
	snprintf(r->error, sizeof(r->error), "%s", err->message);
	ops_metric_add(&failures, 1, reason);
	log_warn("could not evaluate a rule", F_STR("rule", r->key), F_STR("error", err->message));
}

int64_t det_group_offset(const struct det_rule_group *g)
{
	int64_t own = g->def->query_offset_ms;
	return own >= 0 ? own : g->owner->gen->query_offset_ms;
}

/* One expression of the rule at one time, into the scratch arena. */
static int query(struct det_rule *r, const struct ops_promql_expr *expr, int64_t now_ms,
	struct det_result *ret, struct ops_error *err)
{
	struct det_rules *owner = r->group->owner;
	const struct det_query q = {.expr = expr,
		.text = expr == r->rule->expr ? r->rule->expr_text : r->rule->policy.resolve_text,
		.start_ms = now_ms - det_group_offset(r->group),
		.recall = det_recall,
		.recall_arg = r};
	return det_engine_eval(owner->cfg.store, owner->cfg.engine, &q, &owner->scratch, ret, err);
}

static int evaluate(struct det_rule *r, int64_t now_ms, struct ops_error *err)
{
	struct det_result result, recovered;
	struct det_outcome out = {now_ms, &result, NULL};
	int rc = query(r, r->rule->expr, now_ms, &result, err);
	if (rc == 0 && r->rule->policy.resolve != NULL && det_alerting_firing(r)) {
		out.recovered = &recovered;
		rc = query(r, r->rule->policy.resolve, now_ms, &recovered, err);
	}
	return rc == 0 ? det_rule_apply(r, &out, err) : rc;
}

void det_rule_evaluated(
	struct det_rule *r, int64_t now_ms, int64_t cost_ns, int rc, const struct ops_error *err)
{
	r->last_eval_ms = now_ms;
	r->last_cost_ns = cost_ns;
	r->evaluations++;
	ops_metric_observe(&cost_seconds, (double)cost_ns / 1e9);
	r->error[0] = '\0';
	if (rc != 0) {
		fail(r, rc, err);
	}
}

void det_rule_evaluate(struct det_rule *r, bool by_interval, int64_t now_ms)
{
	struct ops_error err;
	int64_t start = ops_mono_ns();
	ops_arena_reset(&r->group->owner->scratch);
	r->dirty = false;
	int rc = evaluate(r, now_ms, &err);
	int64_t cost_ns = ops_mono_ns() - start;
	r->not_before_ns = start + cost_ns * (COST_SHARE + 1);
	det_rule_evaluated(r, now_ms, cost_ns, rc, &err);
	ops_metric_add(&evaluations, 1, by_interval ? "interval" : "arrival");
	if (r->rule->kind == OPS_RULE_ALERTING) {
		det_alerting_write_series(r, now_ms);
	}
}

/* Only by interval: because the configuration says so, or since the rule counts evaluations, which
 * must come at a steady pace then. */
static bool steady(const struct det_rule *r)
{
	return r->rule->policy.fire_m != 0 || r->group->owner->gen->trigger == DET_RULES_INTERVAL;
}

bool det_rule_due(const struct det_rule *r, bool all, int64_t now_ms)
{
	if (r->last_eval_ms >= now_ms) {
		return false; /* one evaluation a millisecond: its samples need a time of their own
			       */
	}
	if (all && !r->fresh) {
		return true;
	}
	if (steady(r)) {
		return false;
	}
	if (r->deadline_ms != 0 && now_ms >= r->deadline_ms) {
		return true;
	}
	return r->dirty && ops_mono_ns() >= r->not_before_ns;
}

/* The state file is written before anybody is told; without it nobody is told yet. */
void det_group_tell(struct det_rule_group *g)
{
	if (g->owner->cfg.publish == NULL) {
		return;
	}
	int rc = det_state_save(g->owner);
	if (rc != 0) {
		g->untold = true;
		log_error("could not save the state of rules; alerts wait", F_ERR(rc));
		return;
	}
	det_publish_group(g);
	if (!det_publish_leftovers(g->owner)) {
		g->untold = true;
	}
}

/* When the last group has gone nobody else tells that its alerts are over. */
void det_leftovers_tell(struct det_rules *r)
{
	int rc = det_state_save(r);
	if (rc != 0) {
		log_error("could not save the state of rules; alerts wait", F_ERR(rc));
	}
	if (rc != 0 || !det_publish_leftovers(r)) {
		ops_timer_start(r->arrival, TELL_AGAIN_MS);
	}
}

/* ---- timers ---- */

void det_group_arm(struct det_rule_group *g)
{
	int64_t now = ops_now_ms();
	/* A pass that is under way arms again at its end. */
	int64_t wait = g->pass.on ? g->interval_ms : g->interval_ms - (now - g->last_eval_ms);
	for (size_t i = 0; i < g->n; i++) {
		if (g->rules[i].deadline_ms != 0 && !steady(&g->rules[i])) {
			wait = OPS_MIN(wait, g->rules[i].deadline_ms - now);
		}
	}
	if (g->untold) {
		wait = OPS_MIN(wait, (int64_t)TELL_AGAIN_MS);
	}
	ops_timer_start(g->timer, OPS_MAX(wait, 1));
}

static bool settled(struct det_rules *r)
{
	if (!r->settled) {
		int64_t up_ms = ops_mono_ms() - r->started_mono_ms;
		r->settled = r->cfg.source != NULL || r->cfg.caught_up == NULL ||
			     up_ms >= SETTLE_MAX_MS ||
			     (up_ms >= SETTLE_MIN_MS && r->cfg.caught_up(r->cfg.arg));
	}
	return r->settled;
}

static void wake(struct det_rules *r)
{
	bool waits = r->arrival == NULL || r->gen->trigger == DET_RULES_INTERVAL;
	if (!waits && !ops_timer_pending(r->arrival)) {
		ops_timer_start(r->arrival, 0);
	}
}

static bool any_dirty(const struct det_rule_group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->rules[i].dirty) {
			return true;
		}
	}
	return false;
}

void det_rules_wake_dirty(struct det_rules *r)
{
	for (size_t i = 0; i < r->gen->n; i++) {
		if (any_dirty(&r->gen->groups[i])) {
			wake(r);
			return;
		}
	}
}

/* What was evaluated on arrival just now need not be again, so that a rule whose samples come once
 * an interval is evaluated once an interval. */
static void mark_fresh(struct det_rule_group *g, int64_t now_ms)
{
	for (size_t i = 0; i < g->n; i++) {
		struct det_rule *r = &g->rules[i];
		r->fresh = g->ticked && !steady(r) && r->evaluations > 0 &&
			   now_ms - r->last_eval_ms < g->interval_ms / 2;
	}
}

static void on_group_timer(void *arg)
{
	struct det_rule_group *g = arg;
	struct det_rules *r = g->owner;
	int64_t now = ops_now_ms();
	if (!settled(r)) {
		ops_timer_start(g->timer, SETTLE_POLL_MS);
		return;
	}
	bool all = !g->pass.on && now - g->last_eval_ms >= g->interval_ms;
	if (r->cfg.source == NULL && all) {
		mark_fresh(g, now);
		det_pass_start(g, now);
	} else if (r->cfg.source == NULL) {
		(void)det_group_catch_up(g, now, ops_mono_ns() + ROUND_MAX_NS);
	} else if (all && g->round == NULL) {
		det_away_start(g, now);
	}
	if (g->untold) {
		det_group_tell(g);
	}
	det_group_arm(g);
	det_rules_wake_dirty(r);
}

void det_group_start(struct det_rule_group *g)
{
	if (g->owner->cfg.loop == NULL) {
		return;
	}
	g->timer = ops_timer_new(g->owner->cfg.loop, on_group_timer, g);
	/* Groups start spread over their interval, each always at the same place, so that they do
	 * not run at once. */
	int64_t phase = (int64_t)(ops_hash64(g->def->name, strlen(g->def->name), 0) %
				  (uint64_t)g->interval_ms);
	g->last_eval_ms = ops_now_ms() - g->interval_ms + OPS_MIN(phase, 1000);
	det_group_arm(g);
}

static bool evaluate_dirty(struct det_rule_group *g, int64_t now_ms, int64_t until_ns)
{
	bool any = any_dirty(g) && det_group_catch_up(g, now_ms, until_ns);
	if (any) {
		det_group_arm(g);
	}
	return any;
}

/* All groups once, from where the round before stopped; false: the round is over its time. */
static bool one_pass(struct det_rules *r, int64_t now_ms, int64_t until_ns, bool *ret_any)
{
	size_t n = r->gen->n;
	for (size_t i = 0; i < n; i++) {
		size_t at = (r->arrival_at + i) % n;
		*ret_any = evaluate_dirty(&r->gen->groups[at], now_ms, until_ns) || *ret_any;
		if (*ret_any && ops_mono_ns() > until_ns) {
			r->arrival_at = at + 1;
			return false;
		}
	}
	return true;
}

/* Again until nothing is left: a group may record what one before it reads. It ends because a rule
 * is due once a millisecond and the clock is read once. */
static void arrival_round(struct det_rules *r)
{
	int64_t now_ms = ops_now_ms(), start = ops_mono_ns();
	bool any = true, whole = true;
	while (any && whole) {
		any = false;
		whole = one_pass(r, now_ms, start + ROUND_MAX_NS, &any);
	}
	int64_t end = ops_mono_ns();
	r->rest_until_ns = end + (end - start) * ROUND_SHARE;
	if (!whole) {
		ops_timer_start(r->arrival, (end - start) * ROUND_SHARE / 1000000 + 1);
	}
}

static void on_arrival(void *arg)
{
	struct det_rules *r = arg;
	int64_t rest_ms = (r->rest_until_ns - ops_mono_ns()) / 1000000;
	if (!settled(r) || rest_ms > 0) {
		ops_timer_start(r->arrival, rest_ms > 0 ? rest_ms : SETTLE_POLL_MS);
		return;
	}
	if (r->gen != NULL && r->gen->n == 0) {
		det_leftovers_tell(r);
	}
	if (r->gen != NULL && r->gen->n > 0) {
		arrival_round(r);
	}
}

/* ---- the store's news ---- */

static void on_layout(void *arg, uint64_t id, struct det_series *const *series, size_t n)
{
	struct det_rules *r = arg;
	if (r->gen != NULL) {
		det_index_layout(r->gen, id, series, n);
	}
}

static void on_layout_gone(void *arg, uint64_t id)
{
	struct det_rules *r = arg;
	if (r->gen != NULL) {
		det_index_forget_layout(r->gen, id);
	}
}

static void on_batch(void *arg, uint64_t id, int64_t time_ms)
{
	struct det_rules *r = arg;
	(void)time_ms;
	if (r->gen != NULL) {
		det_index_mark_layout(r->gen, id);
		wake(r);
	}
}

static void on_sample(void *arg, const struct det_series *series, int64_t time_ms)
{
	struct det_rules *r = arg;
	(void)time_ms;
	if (r->gen != NULL && det_index_mark_series(r->gen, series) && !r->evaluating) {
		wake(r);
	}
}

/* ---- the whole ---- */

int det_rules_new(const struct det_rules_config *cfg, struct det_rules **ret, struct ops_error *err)
{
	struct det_rules *r = ops_xcalloc(1, sizeof(*r));
	r->cfg = *cfg;
	r->saved = ops_map_new();
	r->started_ms = ops_now_ms();
	r->started_mono_ms = ops_mono_ms();
	ops_arena_init(&r->scratch);
	TAILQ_INIT(&r->passes);
	r->arrival = cfg->loop != NULL ? ops_timer_new(cfg->loop, on_arrival, r) : NULL;
	r->slice = cfg->loop != NULL ? ops_timer_new(cfg->loop, det_pass_on_turn, r) : NULL;
	int rc = det_state_load(r, err);
	if (rc != 0) {
		det_rules_free(r);
		return rc;
	}
	const struct det_store_listener listener = {
		on_layout, on_batch, on_sample, on_layout_gone, r};
	det_store_listen(cfg->store, &listener);
	*ret = r;
	return 0;
}

static void drop_json(void *j)
{
	json_decref(j);
}

void det_rules_free(struct det_rules *r)
{
	if (r == NULL) {
		return;
	}
	const struct det_store_listener nobody = {.arg = NULL};
	det_store_listen(r->cfg.store, &nobody);
	if (r->gen != NULL && det_state_save(r) != 0) {
		log_error("could not save the state of rules");
	}
	ops_timer_free(r->arrival);
	ops_timer_free(r->slice);
	det_generation_free(r->gen);
	ops_map_free(r->saved, drop_json);
	ops_arena_done(&r->scratch);
	free(r);
}

size_t det_rules_firing(const struct det_rules *r)
{
	size_t n = 0;
	for (size_t i = 0; r->gen != NULL && i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			size_t at = 0;
			struct ops_map_entry e;
			while (ops_map_next(r->gen->groups[i].rules[k].instances, &at, &e)) {
				n += ((const struct det_instance *)e.value)->state == DET_FIRING;
			}
		}
	}
	return n;
}
