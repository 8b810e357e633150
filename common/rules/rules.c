/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loader for three file forms. The form is told by the top of the document: `groups` is
 * Prometheus', `alert` + `expr` (or `record`) a single rule, `metric` + `threshold` the short form,
 * a sequence a list of any of the single ones. Whatever has no group gets one named after its file,
 * so that order and names in the API are the same for all. The short form is spelled out as the
 * rule it stands for - `(metric) > threshold` - and then goes the same way as every other.
 *
 * Checks are those of Prometheus' rulefmt: exactly one of alert and record, names valid, no `for`,
 * keep_firing_for or annotations on a recording rule, groups unique within a file.
 */
#include "common/rules/rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/model/labels.h"
#include "common/promql/parse.h"

struct rule_keys {
	const struct ops_conf_node *alert, *record, *expr, *labels, *annotations, *playbook;
	const struct ops_conf_node *for_, *keep_firing_for;
	const struct ops_conf_node *dashboard, *metric, *threshold; /* short form only */
};

struct group_keys {
	const char *name;
	const struct ops_conf_node *interval, *query_offset, *labels, *rules;
	int64_t limit;
};

struct load {
	struct ops_arena *arena;
	const struct ops_rules_options *opt;
	struct ops_error *err;
	const char *file;
};

#define NODE(name_, member, doc_)                                                                  \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_NODE,                                          \
		.offset = offsetof(struct rule_keys, member), .doc = (doc_)                        \
	}

#define RULE_KEYS                                                                                  \
	NODE("alert", alert, "name of the alert"),                                                 \
		NODE("record", record, "name of the recorded metric"),                             \
		NODE("expr", expr, "PromQL expression"),                                           \
		NODE("for", for_, "how long the breach lasts before the alert fires"),             \
		NODE("keep_firing_for", keep_firing_for, "how long it goes on firing afterwards"), \
		NODE("labels", labels, "labels to add; templates"),                                \
		NODE("annotations", annotations, "texts for people; templates"),                   \
		NODE("playbook", playbook, "file in the playbook folder that runs when it fires")

static const struct ops_conf_key rule_keys[] = {RULE_KEYS, OPS_CONF_END};

static const struct ops_conf_key short_keys[] = {
	RULE_KEYS,
	NODE("dashboard", dashboard, "where people look"),
	NODE("metric", metric, "PromQL expression that is compared"),
	NODE("threshold", threshold, "the alert fires above this"),
	OPS_CONF_END,
};

#define GROUP(name_, kind_, member, flags_, doc_)                                                  \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct group_keys, member),   \
		.flags = (flags_), .doc = (doc_)                                                   \
	}

static const struct ops_conf_key group_keys[] = {
	GROUP("name", OPS_CONF_K_STRING, name, OPS_CONF_REQUIRED, "unique in the file"),
	GROUP("interval", OPS_CONF_K_NODE, interval, 0, "how often it is evaluated"),
	GROUP("query_offset", OPS_CONF_K_NODE, query_offset, 0, "evaluate this far in the past"),
	GROUP("limit", OPS_CONF_K_INT, limit, 0, "most alerts or series a rule may make; 0 = any"),
	GROUP("labels", OPS_CONF_K_NODE, labels, 0, "labels for every rule of the group"),
	GROUP("rules", OPS_CONF_K_NODE, rules, 0, "the rules, in order"),
	OPS_CONF_END,
};

/* ---- text with variables ---- */

static const char *variable(const struct load *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->opt->nvariables; i++) {
		const struct ops_rule_variable *v = &l->opt->variables[i];
		if (strlen(v->name) == len && memcmp(v->name, name, len) == 0) {
			return v->value;
		}
	}
	return NULL;
}

/*
 * Only listed names are replaced: "${1}" and "${name}" are everyday text in label_replace. The
 * result lives in the arena; without a variable in it the text is returned as it is.
 */
static const char *expand(const struct load *l, const char *text)
{
	if (l->opt->nvariables == 0 || strstr(text, "${") == NULL) {
		return text;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (const char *at = text; *at != '\0';) {
		const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
		const char *value =
			end != NULL ? variable(l, at + 2, (size_t)(end - at - 2)) : NULL;
		if (value != NULL) {
			ops_strbuf_adds(&out, value);
			at = end + 1;
		} else {
			ops_strbuf_addc(&out, *at++);
		}
	}
	char *copy = ops_arena_strdup(l->arena, ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return copy;
}

static int text_of(
	const struct load *l, const struct ops_conf_node *n, const char *what, const char **ret)
{
	const char *text = NULL;
	int rc = ops_conf_string(n, what, &text, l->err);
	if (rc == 0) {
		*ret = expand(l, text != NULL ? text : "");
	}
	return rc;
}

static int duration_of(
	const struct load *l, const struct ops_conf_node *n, const char *what, int64_t *ret_ms)
{
	const char *text = NULL;
	if (n == NULL || ops_conf_is_null(n)) {
		return 0;
	}
	int rc = text_of(l, n, what, &text);
	if (rc == 0 && ops_duration_parse(text, strlen(text), ret_ms) != 0) {
		ops_conf_error(n, l->err, "%s: '%s' is not a duration", what, text);
		ops_error_hint(l->err, "as in 30s, 5m or 1h30m");
		rc = -EINVAL;
	}
	return rc;
}

/* ---- labels and annotations ---- */

static bool pair_exists(const struct ops_rule_pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->n; i++) {
		if (strcmp(pairs->items[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static void add_pair(
	const struct load *l, struct ops_rule_pairs *pairs, const struct ops_rule_pair *pair)
{
	struct ops_rule_pair *grown = ops_arena_array(l->arena, struct ops_rule_pair, pairs->n + 1);
	if (pairs->n > 0) {
		memcpy(grown, pairs->items, pairs->n * sizeof(*grown));
	}
	grown[pairs->n] = *pair;
	pairs->items = grown;
	pairs->n++;
}

static int add_pairs(const struct load *l, const struct ops_conf_node *map, const char *what,
	bool labels, struct ops_rule_pairs *pairs)
{
	if (map == NULL || ops_conf_is_null(map)) {
		return 0;
	}
	if (map->type != OPS_CONF_MAPPING) {
		return ops_conf_error(map, l->err, "%s must be a mapping of names to texts", what);
	}
	for (size_t i = 0; i < map->n; i++) {
		const struct ops_conf_node *key = map->keys[i], *value = map->items[i];
		bool valid = ops_label_name_valid(key->text, key->len) &&
			     !(labels && strcmp(key->text, OPS_LABEL_NAME) == 0);
		if (!valid) {
			return ops_conf_error(
				key, l->err, "invalid name '%s' in %s", key->text, what);
		}
		struct ops_rule_pair pair = {key->text, "", value->line, value->column};
		if (!ops_conf_is_null(value) && text_of(l, value, key->text, &pair.value) != 0) {
			return -EINVAL;
		}
		add_pair(l, pairs, &pair);
	}
	return 0;
}

static void add_missing(const struct load *l, struct ops_rule_pairs *pairs, const char *name,
	const char *value, const struct ops_rule *rule)
{
	if (!pair_exists(pairs, name)) {
		const struct ops_rule_pair pair = {name, value, rule->line, rule->column};
		add_pair(l, pairs, &pair);
	}
}

/* ---- expressions ---- */

void ops_rule_expr_position(const struct ops_rule *rule, struct ops_error *err)
{
	int line = OPS_MAX(err->line, 1), column = OPS_MAX(err->column, 1);
	snprintf(err->file, sizeof(err->file), "%s", rule->file);
	err->line = rule->expr_line + line - 1;
	err->column = column + (line == 1 ? rule->expr_column - 1 : rule->expr_indent);
}

/* Where the first byte of a scalar's text stands: behind the quote, or on the line below a block's
 * '|', indented. */
static void text_position(const struct ops_conf_node *n, struct ops_rule *rule)
{
	bool block = n->indent > 0;
	rule->expr_line = n->line + (block ? 1 : 0);
	rule->expr_column = block ? n->indent + 1 : n->column + (n->quoted ? 1 : 0);
	rule->expr_indent = n->indent;
}

static int parse_expr(
	const struct load *l, struct ops_rule *rule, const char *text, struct ops_promql_expr **ret)
{
	const struct ops_promql_options options = {l->opt->promql_features != 0
							   ? l->opt->promql_features
							   : OPS_PROMQL_DEFAULT_FEATURES};
	const struct ops_promql_source source = {text, strlen(text), &options};
	int rc = ops_promql_parse(l->arena, &source, ret, l->err);
	if (rc != 0) {
		ops_rule_expr_position(rule, l->err);
		ops_error_prefix(l->err, "rule '%s'", rule->name);
	}
	return rc;
}

static int take_expr(const struct load *l, const struct ops_conf_node *n, struct ops_rule *rule)
{
	int rc = text_of(l, n, "expr", &rule->expr_text);
	if (rc != 0) {
		return rc;
	}
	text_position(n, rule);
	if (rule->expr_text[strspn(rule->expr_text, " \t\r\n")] == '\0') {
		return ops_conf_error(n, l->err, "rule '%s': expr is empty", rule->name);
	}
	return parse_expr(l, rule, rule->expr_text, &rule->expr);
}

/* metric and threshold become (metric) > threshold. The metric is parsed alone first, for its
 * positions. */
static int take_threshold(const struct load *l, const struct rule_keys *keys, struct ops_rule *rule)
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
	return parse_expr(l, rule, rule->expr_text, &rule->expr);
}

/* ---- rules ---- */

static int playbook_of(const struct load *l, const struct ops_conf_node *n, struct ops_rule *rule)
{
	for (size_t i = 0; n == NULL && i < rule->annotations.n; i++) {
		if (strcmp(rule->annotations.items[i].name, "playbook") == 0 &&
			strstr(rule->annotations.items[i].value, "{{") == NULL) {
			rule->playbook = rule->annotations.items[i].value;
		}
	}
	int rc = n != NULL ? text_of(l, n, "playbook", &rule->playbook) : 0;
	if (rc == 0 && n != NULL &&
		(strchr(rule->playbook, '/') != NULL || rule->playbook[0] == '.' ||
			rule->playbook[0] == '\0')) {
		ops_conf_error(n, l->err, "playbook '%s' is not a plain file name", rule->playbook);
		ops_error_hint(l->err, "playbooks are files in the playbook folder");
		rc = -EINVAL;
	}
	return rc;
}

static int check_recording(
	const struct load *l, const struct rule_keys *keys, const struct ops_rule *rule)
{
	const struct {
		const struct ops_conf_node *node;
		const char *name;
	} forbidden[] = {{keys->for_, "for"}, {keys->keep_firing_for, "keep_firing_for"},
		{keys->annotations, "annotations"}, {keys->playbook, "playbook"}};
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

static int take_name(const struct load *l, const struct ops_conf_node *map,
	const struct rule_keys *keys, struct ops_rule *rule)
{
	if (keys->alert != NULL && keys->record != NULL) {
		return ops_conf_error(map, l->err, "a rule has either alert or record, not both");
	}
	if (keys->alert == NULL && keys->record == NULL) {
		return ops_conf_error(map, l->err, "a rule needs alert or record");
	}
	const struct ops_conf_node *name = keys->alert != NULL ? keys->alert : keys->record;
	rule->kind = keys->alert != NULL ? OPS_RULE_ALERTING : OPS_RULE_RECORDING;
	int rc = text_of(l, name, keys->alert != NULL ? "alert" : "record", &rule->name);
	if (rc == 0 && rule->name[0] == '\0') {
		return ops_conf_error(name, l->err, "the rule's name is empty");
	}
	return rc;
}

static int take_body(const struct load *l, const struct ops_conf_node *map,
	const struct rule_keys *keys, struct ops_rule *rule)
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
		rc = duration_of(l, keys->for_, "for", &rule->for_ms);
	}
	if (rc == 0) {
		rc = duration_of(
			l, keys->keep_firing_for, "keep_firing_for", &rule->keep_firing_for_ms);
	}
	if (rc == 0) {
		rc = add_pairs(l, keys->labels, "labels", true, &rule->labels);
	}
	if (rc == 0) {
		rc = add_pairs(l, keys->annotations, "annotations", false, &rule->annotations);
	}
	return rc;
}

/* "P1_Claims_Errors": the prefix is the priority, and a P1 is critical unless the rule says
 * otherwise. */
static void add_priority(const struct load *l, struct ops_rule *rule)
{
	if (rule->name[0] != 'P' || rule->name[1] < '1' || rule->name[1] > '5' ||
		rule->name[2] != '_') {
		return;
	}
	static const char *const severities[] = {"critical", "warning", "info", "info", "info"};
	add_missing(l, &rule->labels, "severity", severities[rule->name[1] - '1'], rule);
}

static void add_dashboard(const struct load *l, const struct rule_keys *keys, struct ops_rule *rule)
{
	if (keys->metric == NULL) {
		return;
	}
	if (keys->dashboard != NULL && keys->dashboard->type == OPS_CONF_SCALAR) {
		add_missing(l, &rule->annotations, "dashboard", keys->dashboard->text, rule);
	}
	add_missing(l, &rule->annotations, "summary",
		ops_arena_printf(l->arena, "%s is above %s", expand(l, keys->metric->text),
			keys->threshold->text),
		rule);
	add_priority(l, rule);
}

static int take_rule(const struct load *l, const struct ops_conf_node *map, bool brief_allowed,
	const struct ops_rule_pairs *group_labels, struct ops_rule *rule)
{
	struct rule_keys keys;
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
	if (rc != 0) {
		return rc;
	}
	add_dashboard(l, &keys, rule);
	for (size_t i = 0; group_labels != NULL && i < group_labels->n; i++) {
		if (!pair_exists(&rule->labels, group_labels->items[i].name)) {
			add_pair(l, &rule->labels, &group_labels->items[i]);
		}
	}
	if (l->opt->check != NULL) {
		rc = l->opt->check(l->opt->arg, rule, l->err);
	}
	return rc;
}

/* ---- groups and files ---- */

static int take_rules(const struct load *l, const struct ops_conf_node *list,
	const struct ops_rule_pairs *labels, bool brief_allowed, struct ops_rule_group *g)
{
	if (list == NULL || ops_conf_is_null(list)) {
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(list, l->err, "rules must be a list");
	}
	g->rules = ops_arena_array(l->arena, struct ops_rule, OPS_MAX(list->n, 1));
	for (size_t i = 0; i < list->n; i++) {
		int rc = take_rule(l, list->items[i], brief_allowed, labels, &g->rules[i]);
		if (rc != 0) {
			return rc;
		}
		g->n++;
	}
	return 0;
}

static int take_group(
	const struct load *l, const struct ops_conf_node *map, struct ops_rule_group *g)
{
	struct group_keys keys;
	struct ops_rule_pairs labels = {NULL, 0};
	memset(&keys, 0, sizeof(keys));
	memset(g, 0, sizeof(*g));
	int rc = ops_conf_decode(l->arena, map, group_keys, &keys, NULL, l->err);
	if (rc != 0) {
		return rc;
	}
	g->name = keys.name;
	g->file = l->file;
	g->limit = keys.limit;
	g->query_offset_ms = -1;
	g->line = map->line;
	g->column = map->column;
	if (g->name == NULL || g->name[0] == '\0') {
		return ops_conf_error(map, l->err, "the group's name is empty");
	}
	rc = duration_of(l, keys.interval, "interval", &g->interval_ms);
	if (rc == 0) {
		rc = duration_of(l, keys.query_offset, "query_offset", &g->query_offset_ms);
	}
	if (rc == 0) {
		rc = add_pairs(l, keys.labels, "labels", true, &labels);
	}
	return rc != 0 ? rc : take_rules(l, keys.rules, &labels, false, g);
}

static int take_groups(
	const struct load *l, const struct ops_conf_node *root, struct ops_rule_groups *out)
{
	const struct ops_conf_node *list = ops_conf_get(root, "groups");
	for (size_t i = 0; i < root->n; i++) {
		if (strcmp(root->keys[i]->text, "groups") != 0) {
			return ops_conf_error(root->keys[i], l->err,
				"unknown key '%s' beside groups", root->keys[i]->text);
		}
	}
	if (ops_conf_is_null(list)) {
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(list, l->err, "groups must be a list");
	}
	size_t before = out->n;
	for (size_t i = 0; i < list->n; i++) {
		struct ops_rule_group g;
		int rc = take_group(l, list->items[i], &g);
		if (rc != 0) {
			return rc;
		}
		for (size_t k = before; k < out->n; k++) {
			if (strcmp(out->items[k].name, g.name) == 0) {
				return ops_conf_error(list->items[i], l->err,
					"group '%s' is repeated in this file", g.name);
			}
		}
		OPS_GROW(out->items, out->n, out->cap);
		out->items[out->n++] = g;
	}
	return 0;
}

/* A file without groups: one rule, or a list of them, in a group named after the file. */
static int take_single(
	const struct load *l, struct ops_conf_node *root, struct ops_rule_groups *out)
{
	const char *slash = strrchr(l->file, '/');
	struct ops_rule_group g = {.name = slash != NULL ? slash + 1 : l->file,
		.file = l->file,
		.query_offset_ms = -1,
		.line = root->line,
		.column = root->column};
	struct ops_conf_node list = {.type = OPS_CONF_SEQUENCE, .items = &root, .n = 1};
	int rc = take_rules(l, root->type == OPS_CONF_SEQUENCE ? root : &list, NULL, true, &g);
	if (rc == 0) {
		OPS_GROW(out->items, out->n, out->cap);
		out->items[out->n++] = g;
	}
	return rc;
}

static int take_file(
	const struct load *l, struct ops_conf_node *root, struct ops_rule_groups *groups)
{
	size_t before = groups->n;
	int rc;
	if (root->type == OPS_CONF_SCALAR) {
		rc = ops_conf_error(
			root, l->err, "a rule file has groups, one rule, or a list of rules");
	} else if (root->type == OPS_CONF_MAPPING &&
		   (root->n == 0 || ops_conf_get(root, "groups") != NULL)) {
		rc = take_groups(l, root, groups);
	} else {
		rc = take_single(l, root, groups);
	}
	if (rc != 0) {
		groups->n = before;
	}
	return rc;
}

static const struct ops_rules_options no_options = {.variables = NULL};

int ops_rules_load_file(struct ops_arena *a, const char *path, const struct ops_rules_options *opt,
	struct ops_rule_groups *groups, struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	int rc = ops_conf_load_file(a, path, NULL, &root, err);
	if (rc != 0) {
		return rc;
	}
	size_t before = groups->n;
	const struct load l = {a, opt != NULL ? opt : &no_options, err, ops_arena_strdup(a, path)};
	rc = take_file(&l, root, groups);
	size_t rules = 0;
	for (size_t i = before; rc == 0 && i < groups->n; i++) {
		rules += groups->items[i].n;
	}
	if (rc == 0 && rules == 0) {
		ops_conf_warn(warnings, root, "no rules in this file");
	}
	return rc;
}

int ops_rules_load_text(struct ops_arena *a, const char *name, const char *text, size_t len,
	const struct ops_rules_options *opt, struct ops_rule_groups *groups, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	int rc = ops_conf_load_text(a, name, text, len, NULL, &root, err);
	if (rc != 0) {
		return rc;
	}
	const struct load l = {a, opt != NULL ? opt : &no_options, err, ops_arena_strdup(a, name)};
	return take_file(&l, root, groups);
}
