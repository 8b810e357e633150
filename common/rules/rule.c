/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule. The short form is spelled out as the rule it stands for - `(metric) > threshold` - and
 * then goes the same way as every other. Checks are those of Prometheus' rulefmt: exactly one of
 * alert and record, names valid, no `for`, keep_firing_for or annotations on a recording rule.
 */
#include "common/rules/load.h"

#include <errno.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/model/labels.h"
#include "common/promql/parse.h"

#define NODE(name_, member, doc_)                                                                  \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_NODE,                                          \
		.offset = offsetof(struct ops_rule_keys, member), .doc = (doc_)                    \
	}

#define RULE_KEYS                                                                                  \
	NODE("alert", alert, "name of the alert"),                                                 \
		NODE("record", record, "name of the recorded metric"),                             \
		NODE("expr", expr, "PromQL expression"),                                           \
		NODE("for", for_, "how long the breach lasts before the alert fires"),             \
		NODE("keep_firing_for", keep_firing_for, "how long it goes on firing afterwards"), \
		NODE("labels", labels, "labels to add; templates"),                                \
		NODE("annotations", annotations, "texts for people; templates"),                   \
		NODE("playbook", playbook, "file in the playbook folder that runs when it fires"), \
		NODE("no_data", no_data, "what missing data does to an alert"),                    \
		NODE("resolve_when", resolve_when, "what must hold for an alert to be over"),      \
		NODE("fire_after", fire_after, "breaches among the last evaluations"),             \
		NODE("flapping", flapping, "how many firings in what time are one alert")

static const struct ops_conf_key rule_keys[] = {RULE_KEYS, OPS_CONF_END};

static const struct ops_conf_key short_keys[] = {
	RULE_KEYS,
	NODE("dashboard", dashboard, "where people look"),
	NODE("metric", metric, "PromQL expression that is compared"),
	NODE("threshold", threshold, "the alert fires above this"),
	OPS_CONF_END,
};

static void add_missing(const struct ops_rule_load *l, struct ops_rule_pairs *pairs,
	const char *name, const char *value, const struct ops_rule *rule)
{
	if (!ops_rule_pair_exists(pairs, name)) {
		const struct ops_rule_pair pair = {name, value, rule->line, rule->column};
		ops_rule_add_pair(l, pairs, &pair);
	}
}

/* ---- expressions ---- */

static int take_expr(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule *rule)
{
	int rc = ops_rule_text(l, n, "expr", &rule->expr_text);
	if (rc != 0) {
		return rc;
	}
	ops_rule_text_position(n, rule);
	if (rule->expr_text[strspn(rule->expr_text, " \t\r\n")] == '\0') {
		return ops_conf_error(n, l->err, "rule '%s': expr is empty", rule->name);
	}
	return ops_rule_parse_expr(l, rule, rule->expr_text, &rule->expr);
}

/* metric and threshold become (metric) > threshold. The metric is parsed alone first, for its
 * positions. */
static int take_threshold(
	const struct ops_rule_load *l, const struct ops_rule_keys *keys, struct ops_rule *rule)
{
	double threshold = 0;
	int rc = take_expr(l, keys->metric, rule);
	if (rc == 0) {
		rc = ops_conf_double(keys->threshold, "threshold", &threshold, l->err);
	}
	if (rc != 0) {
		return rc;
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_printf(&text, "(%s) > ", rule->expr_text);
	ops_strbuf_add_double(&text, threshold);
	rule->expr_text = ops_arena_strdup(l->arena, ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	return ops_rule_parse_expr(l, rule, rule->expr_text, &rule->expr);
}

/* ---- rules ---- */

static int playbook_of(
	const struct ops_rule_load *l, const struct ops_conf_node *n, struct ops_rule *rule)
{
	for (size_t i = 0; n == NULL && i < rule->annotations.n; i++) {
		if (strcmp(rule->annotations.items[i].name, "playbook") == 0 &&
			strstr(rule->annotations.items[i].value, "{{") == NULL) {
			rule->playbook = rule->annotations.items[i].value;
		}
	}
	int rc = n != NULL ? ops_rule_text(l, n, "playbook", &rule->playbook) : 0;
	if (rc == 0 && n != NULL &&
		(strchr(rule->playbook, '/') != NULL || rule->playbook[0] == '.' ||
			rule->playbook[0] == '\0')) {
		ops_conf_error(n, l->err, "playbook '%s' is not a plain file name", rule->playbook);
		ops_error_hint(l->err, "playbooks are files in the playbook folder");
		rc = -EINVAL;
	}
	return rc;
}

static int check_recording(const struct ops_rule_load *l, const struct ops_rule_keys *keys,
	const struct ops_rule *rule)
{
	const struct {
		const struct ops_conf_node *node;
		const char *name;
	} forbidden[] = {{keys->for_, "for"}, {keys->keep_firing_for, "keep_firing_for"},
		{keys->annotations, "annotations"}, {keys->playbook, "playbook"},
		{keys->no_data, "no_data"}, {keys->resolve_when, "resolve_when"},
		{keys->fire_after, "fire_after"}, {keys->flapping, "flapping"}};
	for (size_t i = 0; i < OPS_LENGTH(forbidden); i++) {
		if (forbidden[i].node != NULL) {
			return ops_conf_error(forbidden[i].node, l->err,
				"'%s' cannot stand in a recording rule", forbidden[i].name);
		}
	}
	if (!ops_label_name_valid(rule->name, strlen(rule->name)) ||
		strchr(rule->name, '{') != NULL) {
		return ops_conf_error(
			keys->record, l->err, "'%s' is not a metric name", rule->name);
	}
	return 0;
}

static int take_name(const struct ops_rule_load *l, const struct ops_conf_node *map,
	const struct ops_rule_keys *keys, struct ops_rule *rule)
{
	if (keys->alert != NULL && keys->record != NULL) {
		return ops_conf_error(map, l->err, "a rule has either alert or record, not both");
	}
	if (keys->alert == NULL && keys->record == NULL) {
		return ops_conf_error(map, l->err, "a rule needs alert or record");
	}
	const struct ops_conf_node *name = keys->alert != NULL ? keys->alert : keys->record;
	rule->kind = keys->alert != NULL ? OPS_RULE_ALERTING : OPS_RULE_RECORDING;
	int rc = ops_rule_text(l, name, keys->alert != NULL ? "alert" : "record", &rule->name);
	if (rc == 0 && rule->name[0] == '\0') {
		return ops_conf_error(name, l->err, "the rule's name is empty");
	}
	return rc;
}

static int take_body(const struct ops_rule_load *l, const struct ops_conf_node *map,
	const struct ops_rule_keys *keys, struct ops_rule *rule)
{
	bool brief = keys->metric != NULL || keys->threshold != NULL;
	if (brief && (keys->metric == NULL || keys->threshold == NULL || keys->expr != NULL)) {
		return ops_conf_error(
			map, l->err, "the short form has metric and threshold, and no expr");
	}
	if (!brief && keys->expr == NULL) {
		return ops_conf_error(map, l->err, "rule '%s' has no expr", rule->name);
	}
	int rc = brief ? take_threshold(l, keys, rule) : take_expr(l, keys->expr, rule);
	if (rc == 0) {
		rc = ops_rule_duration(l, keys->for_, "for", &rule->for_ms);
	}
	if (rc == 0) {
		rc = ops_rule_duration(
			l, keys->keep_firing_for, "keep_firing_for", &rule->keep_firing_for_ms);
	}
	if (rc == 0) {
		rc = ops_rule_add_pairs(l, keys->labels, "labels", true, &rule->labels);
	}
	if (rc == 0) {
		rc = ops_rule_add_pairs(
			l, keys->annotations, "annotations", false, &rule->annotations);
	}
	return rc;
}

/* "P1_Claims_Errors": the prefix is the priority, and a P1 is critical unless the rule says
 * otherwise. */
static void add_priority(const struct ops_rule_load *l, struct ops_rule *rule)
{
	if (rule->name[0] != 'P' || rule->name[1] < '1' || rule->name[1] > '5' ||
		rule->name[2] != '_') {
		return;
	}
	static const char *const severities[] = {"critical", "warning", "info", "info", "info"};
	add_missing(l, &rule->labels, "severity", severities[rule->name[1] - '1'], rule);
}

static void add_dashboard(
	const struct ops_rule_load *l, const struct ops_rule_keys *keys, struct ops_rule *rule)
{
	if (keys->metric == NULL) {
		return;
	}
	if (keys->dashboard != NULL && keys->dashboard->type == OPS_CONF_SCALAR) {
		add_missing(l, &rule->annotations, "dashboard", keys->dashboard->text, rule);
	}
	add_missing(l, &rule->annotations, "summary",
		ops_arena_printf(l->arena, "%s is above %s", ops_rule_expand(l, keys->metric->text),
			keys->threshold->text),
		rule);
	add_priority(l, rule);
}

int ops_rule_take(const struct ops_rule_load *l, const struct ops_conf_node *map,
	bool brief_allowed, const struct ops_rule_pairs *group_labels, struct ops_rule *rule)
{
	struct ops_rule_keys keys;
	memset(&keys, 0, sizeof(keys));
	memset(rule, 0, sizeof(*rule));
	rule->file = l->file;
	rule->line = map->line;
	rule->column = map->column;
	int rc = ops_conf_decode(
		l->arena, map, brief_allowed ? short_keys : rule_keys, &keys, NULL, l->err);
	if (rc == 0) {
		rc = take_name(l, map, &keys, rule);
	}
	if (rc == 0) {
		rc = take_body(l, map, &keys, rule);
	}
	if (rc == 0) {
		rc = rule->kind == OPS_RULE_RECORDING ? check_recording(l, &keys, rule)
						      : playbook_of(l, keys.playbook, rule);
	}
	if (rc == 0) {
		rc = ops_rule_take_policy(l, &keys, rule);
	}
	if (rc != 0) {
		return rc;
	}
	add_dashboard(l, &keys, rule);
	for (size_t i = 0; group_labels != NULL && i < group_labels->n; i++) {
		if (!ops_rule_pair_exists(&rule->labels, group_labels->items[i].name)) {
			ops_rule_add_pair(l, &rule->labels, &group_labels->items[i]);
		}
	}
	if (l->opt->check != NULL) {
		rc = l->opt->check(l->opt->arg, rule, l->err);
	}
	return rc;
}
