/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Rule files: Prometheus' groups, a single rule at the top of a file, a list of rules, and the
 * short form (dashboard, metric, threshold, for, alert, playbook). All become groups of rules with
 * parsed expressions. Everything lives in the caller's arena. The detector loads with it, `opsctl
 * check` too.
 *
 * Keys of an alerting rule beyond Prometheus': `playbook` (a plain file name in the playbook
 * folder; an annotation of that name means the same), `no_data`, `resolve_when`, `fire_after`,
 * `flapping`.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/conf/conf.h"
#include "common/promql/ast.h"

struct ops_rule_pair { /* a label or annotation; value is a template */
	const char *name, *value;
	int line, column;
};

struct ops_rule_pairs {
	struct ops_rule_pair *items;
	size_t n;
};

enum ops_rule_kind {
	OPS_RULE_ALERTING,
	OPS_RULE_RECORDING
};

enum ops_rule_no_data { /* what happens to an alert whose data is missing */
	OPS_RULE_NO_DATA_RESOLVE,
	OPS_RULE_NO_DATA_KEEP,
	OPS_RULE_NO_DATA_FIRE
};
const char *ops_rule_no_data_text(enum ops_rule_no_data v);

enum {
	OPS_RULE_WINDOW_MAX = 64, /* evaluations that fire_after can look at */
	OPS_RULE_CHANGES_MAX = 16 /* firings that flapping can count */
};

/* What Prometheus' rules cannot say; all zero: nothing of it. */
struct ops_rule_policy {
	enum ops_rule_no_data no_data;
	const char *resolve_text; /* resolve_when; a threshold is spelled out. NULL = none */
	struct ops_promql_expr *resolve;
	unsigned fire_n, fire_m; /* fire_after; 0 = none */
	unsigned flap_changes;	 /* firings within flap_within_ms; 0 = none */
	int64_t flap_within_ms;
};

struct ops_rule {
	enum ops_rule_kind kind;
	const char *name; /* alert name, or name of the recorded metric */
	const char *expr_text;
	struct ops_promql_expr *expr;
	int64_t for_ms, keep_firing_for_ms;
	struct ops_rule_pairs labels; /* group labels merged in */
	struct ops_rule_pairs annotations;
	const char *playbook; /* NULL = none */
	struct ops_rule_policy policy;
	const char *file;
	int line, column;	    /* of the rule */
	int expr_line, expr_column; /* of the first byte of expr_text */
	int expr_indent;	    /* columns before its further lines, in a block scalar */
};

struct ops_rule_group {
	const char *name, *file;
	int64_t interval_ms;	 /* 0 = the global one */
	int64_t query_offset_ms; /* -1 = the global one */
	int64_t limit;
	struct ops_rule *rules;
	size_t n;
	int line, column;
};

struct ops_rule_groups {
	struct ops_rule_group *items;
	size_t n, cap;
};

struct ops_rule_variable { /* ${NAME} in a rule file; only listed names are replaced */
	const char *name, *value;
};

struct ops_rules_options {
	const struct ops_rule_variable *variables;
	size_t nvariables;
	unsigned promql_features;
	/* Further checks of a rule (functions not there yet, templates): 0 or -EINVAL with err set.
	 * May be NULL. */
	int (*check)(void *arg, const struct ops_rule *rule, struct ops_error *err);
	void *arg;
};

/*
 * Appends the groups of a file. -EINVAL with file, line and column of the first mistake (inside an
 * expression: of the byte in the file). On error nothing is appended.
 */
int ops_rules_load_file(struct ops_arena *a, const char *path, const struct ops_rules_options *opt,
	struct ops_rule_groups *groups, struct ops_conf_warnings *warnings,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_rules_load_text(struct ops_arena *a, const char *name, const char *text, size_t len,
	const struct ops_rules_options *opt, struct ops_rule_groups *groups,
	struct ops_error *err) OPS_MUST_CHECK;
/* Puts line and column of a finding inside the expression (1-based, in expr_text) into terms of the
 * file. */
void ops_rule_expr_position(const struct ops_rule *rule, struct ops_error *err);
