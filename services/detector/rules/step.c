/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules without a loop: whoever tests rules says when they are evaluated and looks at the alerts
 * afterwards. The evaluation is the service's.
 */
#include "services/detector/rules/internal.h"

#include <string.h>

static size_t step_group(struct det_rule_group *g, int64_t now_ms,
	void (*on_failure)(void *arg, const char *rule, const char *error), void *arg)
{
	size_t failed = 0;
	det_group_evaluate(g, now_ms);
	for (size_t i = 0; i < g->n; i++) {
		if (g->rules[i].error[0] != '\0') {
			failed++;
			if (on_failure != NULL) {
				on_failure(arg, g->rules[i].rule->name, g->rules[i].error);
			}
		}
	}
	return failed;
}

static bool is_named(const struct det_rules_order *order, const char *group)
{
	for (size_t i = 0; i < order->n; i++) {
		if (strcmp(order->groups[i], group) == 0) {
			return true;
		}
	}
	return false;
}

size_t det_rules_step(struct det_rules *r, const struct det_rules_order *order, int64_t now_ms,
	void (*on_failure)(void *arg, const char *rule, const char *error), void *arg)
{
	size_t failed = 0;
	for (size_t o = 0; o <= order->n; o++) {
		for (size_t i = 0; i < r->gen->n; i++) {
			struct det_rule_group *g = &r->gen->groups[i];
			bool its_turn = o < order->n ? strcmp(order->groups[o], g->def->name) == 0
						     : !is_named(order, g->def->name);
			failed += its_turn ? step_group(g, now_ms, on_failure, arg) : 0;
		}
	}
	return failed;
}

static void each_alert_of(const struct det_rule *rule,
	void (*fn)(void *arg, const struct det_rules_alert *alert), void *arg)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(rule->instances, &at, &e)) {
		const struct det_instance *a = e.value;
		const struct det_rules_alert alert = {rule->rule->name, a->state == DET_FIRING,
			a->labels, a->annotations, a->value};
		if (a->state != DET_INACTIVE) {
			fn(arg, &alert);
		}
	}
}

void det_rules_each_alert(const struct det_rules *r,
	void (*fn)(void *arg, const struct det_rules_alert *alert), void *arg)
{
	for (size_t i = 0; i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			each_alert_of(&r->gen->groups[i].rules[k], fn, arg);
		}
	}
}
