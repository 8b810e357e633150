/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group whose rules somebody else evaluates. A round asks one rule after the other, as a rule may
 * read what the one before it recorded (which must have reached the engine by then: we hand it to
 * remote_write, and see it in the next round at the latest). All rules of a round have its time.
 * Groups run beside each other; the source bounds how many queries there are at once.
 *
 * An interval that ends while the round is still going is left out. A round dies with its group:
 * what is asked is cancelled, what was applied stays.
 */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "services/detector/rules/internal.h"

static struct ops_metric rounds = OPS_COUNTER(
	"ops_detector_datasource_rounds_total", "Evaluations of rule groups by the datasource.");

struct det_round {
	struct det_rule_group *group;
	size_t at; /* rule */
	int64_t now_ms, start_ns, rule_ns;
	void *handle;		  /* what is asked now; NULL: nothing */
	struct ops_arena arena;	  /* results of the rule */
	struct det_result result; /* of its expression, while resolve_when is asked */
	bool resolving;
};

static void go_on(struct det_round *round);

static struct det_rule *rule_of(const struct det_round *round)
{
	return &round->group->rules[round->at];
}

static void next_rule(struct det_round *round)
{
	ops_arena_reset(&round->arena);
	round->at++;
	round->resolving = false;
}

static void conclude(struct det_round *round, int rc, const struct ops_error *err)
{
	struct det_rule *r = rule_of(round);

	det_rule_evaluated(r, round->now_ms, ops_mono_ns() - round->rule_ns, rc, err);
	if (r->rule->kind == OPS_RULE_ALERTING)
		det_alerting_write_series(r, round->now_ms);
	next_rule(round);
}

static void take(struct det_round *round, const struct det_result *recovered)
{
	const struct det_outcome out = {round->now_ms, &round->result, recovered};
	struct ops_error err;
	int rc = det_rule_apply(rule_of(round), &out, &err);

	conclude(round, rc, &err);
}

static void on_answer(
	void *arg, int rc, const struct det_result *result, const struct ops_error *err)
{
	struct det_round *round = arg;
	struct det_rule *r = rule_of(round);

	round->handle = NULL;
	if (rc != 0) {
		conclude(round, rc, err);
	} else if (round->resolving) {
		take(round, result);
	} else {
		round->result = *result;
		round->resolving = r->rule->policy.resolve != NULL && det_alerting_firing(r);
		if (!round->resolving)
			take(round, NULL);
	}
	go_on(round);
}

static void finish(struct det_round *round)
{
	struct det_rule_group *g = round->group;

	g->round = NULL;
	g->last_cost_ns = ops_mono_ns() - round->start_ns;
	ops_arena_done(&round->arena);
	free(round);
	ops_metric_add(&rounds, 1);
	det_group_tell(g);
	det_group_arm(g);
}

/* Asks what is next, until something is asked or nothing is left. */
static void go_on(struct det_round *round)
{
	struct det_rule_group *g = round->group;
	const struct det_rules_source *source = g->owner->cfg.source;

	while (round->handle == NULL && round->at < g->n) {
		const struct ops_rule *rule = rule_of(round)->rule;
		const struct det_rules_ask ask = {
			.expr = round->resolving ? rule->policy.resolve_text : rule->expr_text,
			.time_ms = round->now_ms - det_group_offset(g),
			.arena = &round->arena,
			.fn = on_answer,
			.arg = round};
		if (!round->resolving)
			round->rule_ns = ops_mono_ns();
		int rc = source->ask(source->arg, &ask, &round->handle);
		if (rc != 0) {
			struct ops_error err;
			(void)ops_error_set(
				&err, rc, "could not ask the datasource: %s", strerror(-rc));
			conclude(round, rc, &err);
		}
	}
	if (round->handle == NULL)
		finish(round);
}

void det_away_start(struct det_rule_group *g, int64_t now_ms)
{
	struct det_round *round = ops_xcalloc(1, sizeof(*round));

	round->group = g;
	round->now_ms = now_ms;
	round->start_ns = ops_mono_ns();
	ops_arena_init(&round->arena);
	g->round = round;
	g->last_eval_ms = now_ms;
	go_on(round);
}

void det_away_cancel(struct det_rule_group *g)
{
	struct det_round *round = g->round;

	if (round == NULL)
		return;
	if (round->handle != NULL)
		g->owner->cfg.source->cancel(round->handle);
	ops_arena_done(&round->arena);
	free(round);
	g->round = NULL;
}
