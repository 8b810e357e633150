/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an alerting rule that Prometheus does not have.
 *
 *	no_data: resolve | keep | fire	what missing data does to an alert
 *	resolve_when: EXPR | NUMBER	what must hold for it to be over (hysteresis)
 *	fire_after: N of M		N breaches among the last M evaluations by interval
 *	flapping: N in DURATION | true	N firings within that time are one alert
 *
 * A number for resolve_when stands for the rule's own comparison turned round: `x > 5` with
 * `resolve_when: 3` is over when `(x) <= 3`. It must lie on the calm side of the rule's threshold.
 */
#include "common/rules/load.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	FLAP_CHANGES = 4,
	FLAP_WITHIN_MS = 15 * 60 * 1000
};

static const char *const no_data_texts[] = {"resolve", "keep", "fire"};

const char *ops_rule_no_data_text(enum ops_rule_no_data v)
{
	return no_data_texts[v];
}

static int take_no_data(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule_policy *p)
{
	const char *text = "";
	int rc = ops_rule_text(l, n, "no_data", &text);
	if (rc != 0) {
		return rc;
	}
	for (size_t i = 0; i < OPS_LENGTH(no_data_texts); i++) {
		if (strcmp(text, no_data_texts[i]) == 0) {
			p->no_data = (enum ops_rule_no_data)i;
			return 0;
		}
	}
	ops_conf_error(n, l->err, "no_data: '%s' is none of resolve, keep, fire", text);
	return -EINVAL;
}

/* "N WORD REST": the number, and where the rest begins. */
static int take_count(const char *text, const char *word, uint64_t *ret, const char **ret_rest)
{
	size_t digits = strspn(text, "0123456789");
	const char *at = text + digits + strspn(text + digits, " ");
	if (ops_parse_u64(text, digits, ret) != 0 || !ops_str_starts(at, word)) {
		return -EINVAL;
	}
	*ret_rest = at + strlen(word);
	*ret_rest += strspn(*ret_rest, " ");
	return 0;
}

static int take_fire_after(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule_policy *p)
{
	const char *text = "", *rest = "";
	uint64_t breaches = 0, window = 0;
	int rc = ops_rule_text(l, n, "fire_after", &text);
	if (rc != 0) {
		return rc;
	}
	rc = take_count(text, "of ", &breaches, &rest);
	if (rc != 0 || ops_parse_u64(rest, strlen(rest), &window) != 0 || breaches == 0 ||
		breaches > window || window > OPS_RULE_WINDOW_MAX) {
		ops_conf_error(n, l->err, "fire_after: '%s' is not N of M", text);
		ops_error_hint(l->err, "as in 3 of 5; at most the last %d evaluations",
			OPS_RULE_WINDOW_MAX);
		return -EINVAL;
	}
	p->fire_n = (unsigned)breaches;
	p->fire_m = (unsigned)window;
	return 0;
}

static int take_flapping(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule_policy *p)
{
	const char *text = "", *rest = "";
	uint64_t changes = FLAP_CHANGES;
	int64_t within_ms = FLAP_WITHIN_MS;
	int rc = ops_rule_text(l, n, "flapping", &text);
	if (rc != 0) {
		return rc;
	}
	if (strcmp(text, "false") == 0) {
		return 0;
	}
	if (strcmp(text, "true") != 0) {
		rc = take_count(text, "in ", &changes, &rest);
		if (rc != 0 || ops_duration_parse(rest, strlen(rest), &within_ms) != 0 ||
			changes < 2 || changes > OPS_RULE_CHANGES_MAX || within_ms <= 0) {
			ops_conf_error(n, l->err, "flapping: '%s' is not N in DURATION", text);
			ops_error_hint(l->err,
				"as in 4 in 15m, which is what true means; N from 2 to %d",
				OPS_RULE_CHANGES_MAX);
			return -EINVAL;
		}
	}
	p->flap_changes = (unsigned)changes;
	p->flap_within_ms = within_ms;
	return 0;
}

/* ---- resolve_when ---- */

/* The comparison that holds exactly when the given one does not; NULL: none that has a calm side.
 */
static const char *turned_round(enum ops_promql_op op)
{
	static const struct {
		enum ops_promql_op op;
		const char *text;
	} table[] = {{OPS_PROMQL_OP_GTR, "<="}, {OPS_PROMQL_OP_GTE, "<"}, {OPS_PROMQL_OP_LSS, ">="},
		{OPS_PROMQL_OP_LTE, ">"}};
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		if (table[i].op == op) {
			return table[i].text;
		}
	}
	return NULL;
}

/* A number, or a minus before one. */
static bool literal(const struct ops_promql_expr *e, double *ret)
{
	e = ops_promql_unparen(e);
	double sign = 1;
	if (e->kind == OPS_PROMQL_UNARY) {
		sign = e->unary.op == OPS_PROMQL_OP_SUB ? -1 : 1;
		e = ops_promql_unparen(e->unary.expr);
	}
	*ret = e->kind == OPS_PROMQL_NUMBER ? sign * e->number.value : 0;
	return e->kind == OPS_PROMQL_NUMBER;
}

static int spell_out(const struct ops_rule_load *l, const struct ops_conf_node *n,
	const struct ops_rule *rule, double threshold, const char **ret)
{
	const struct ops_promql_expr *e = ops_promql_unparen(rule->expr);
	double limit = 0;
	bool compares = e->kind == OPS_PROMQL_BINARY && turned_round(e->binary.op) != NULL &&
			!e->binary.return_bool && literal(e->binary.rhs, &limit);
	if (!compares) {
		ops_conf_error(n, l->err,
			"resolve_when: a number needs an expr that compares with a number");
		ops_error_hint(l->err, "as in expr: x > 5; or write an expression here");
		return -EINVAL;
	}
	bool above = e->binary.op == OPS_PROMQL_OP_GTR || e->binary.op == OPS_PROMQL_OP_GTE;
	if (above ? threshold > limit : threshold < limit) {
		return ops_conf_error(n, l->err,
			"resolve_when: %g is on the wrong side of the rule's %g", threshold, limit);
	}
	const struct ops_promql_expr *lhs = e->binary.lhs;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_printf(&text, "(%.*s) %s ", (int)(lhs->end - lhs->start),
		rule->expr_text + lhs->start, turned_round(e->binary.op));
	ops_strbuf_add_double(&text, threshold);
	*ret = ops_arena_strdup(l->arena, ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	return 0;
}

static int take_resolve_when(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule *rule)
{
	const char *text = "";
	double threshold = 0;
	int rc = ops_rule_text(l, n, "resolve_when", &text);
	if (rc == 0 && ops_parse_double(text, strlen(text), &threshold) == 0) {
		rc = spell_out(l, n, rule, threshold, &text);
	}
	if (rc != 0) {
		return rc;
	}
	struct ops_rule at = *rule; /* its name, and where this expression stands */
	ops_rule_text_position(n, &at);
	rc = ops_rule_parse_expr(l, &at, text, &rule->policy.resolve);
	if (rc == 0 && rule->policy.resolve->type != OPS_PROMQL_INSTANT) {
		return ops_conf_error(
			n, l->err, "resolve_when must be an instant vector or a number");
	}
	rule->policy.resolve_text = text;
	return rc;
}

int ops_rule_take_policy(
	const struct ops_rule_load *l, const struct ops_rule_keys *keys, struct ops_rule *rule)
{
	int rc = 0;
	if (keys->no_data != NULL) {
		rc = take_no_data(l, keys->no_data, &rule->policy);
	}
	if (rc == 0 && keys->resolve_when != NULL) {
		rc = take_resolve_when(l, keys->resolve_when, rule);
	}
	if (rc == 0 && keys->fire_after != NULL) {
		rc = take_fire_after(l, keys->fire_after, &rule->policy);
	}
	if (rc == 0 && keys->flapping != NULL) {
		rc = take_flapping(l, keys->flapping, &rule->policy);
	}
	return rc;
}
