/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this module share: one file being loaded, and the keys of a rule. */
#include "common/rules/rules.h"

struct ops_rule_load {
	struct ops_arena *arena;
	const struct ops_rules_options *opt;
	struct ops_error *err;
	const char *file;
};

struct ops_rule_keys {
	const struct ops_conf_node *alert, *record, *expr, *labels, *annotations, *playbook;
	const struct ops_conf_node *for_, *keep_firing_for;
	const struct ops_conf_node *no_data, *resolve_when, *fire_after, *flapping;
	const struct ops_conf_node *dashboard, *metric, *threshold; /* short form only */
};

/* rule.c */
int ops_rule_take(const struct ops_rule_load *l, const struct ops_conf_node *map,
	bool brief_allowed, const struct ops_rule_pairs *group_labels,
	struct ops_rule *rule) OPS_MUST_CHECK;

/* policy.c: the keys that Prometheus does not have */
int ops_rule_take_policy(const struct ops_rule_load *l, const struct ops_rule_keys *keys,
	struct ops_rule *rule) OPS_MUST_CHECK;

/* values.c; what: names the key in messages */
/* ${NAME} replaced, in the arena. */
const char *ops_rule_expand(const struct ops_rule_load *l, const char *text);
int ops_rule_text(const struct ops_rule_load *l, const struct ops_conf_node *n, const char *what,
	const char **ret) OPS_MUST_CHECK;
int ops_rule_duration(const struct ops_rule_load *l, const struct ops_conf_node *n,
	const char *what, int64_t *ret_ms) OPS_MUST_CHECK;
int ops_rule_add_pairs(const struct ops_rule_load *l, const struct ops_conf_node *map,
	const char *what, bool labels, struct ops_rule_pairs *pairs) OPS_MUST_CHECK;
void ops_rule_add_pair(const struct ops_rule_load *l, struct ops_rule_pairs *pairs,
	const struct ops_rule_pair *pair);
bool ops_rule_pair_exists(const struct ops_rule_pairs *pairs, const char *name);
int ops_rule_parse_expr(const struct ops_rule_load *l, const struct ops_rule *rule,
	const char *text, struct ops_promql_expr **ret) OPS_MUST_CHECK;
/* Expressions of that node get its position. */
void ops_rule_text_position(const struct ops_conf_node *n, struct ops_rule *rule);
