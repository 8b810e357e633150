/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loader for three file forms. The form is told by the top of the document: `groups` is
 * Prometheus', `alert` + `expr` (or `record`) a single rule, `metric` + `threshold` the short form,
 * a sequence a list of any of the single ones. Whatever has no group gets one named after its file,
 * so that order and names in the API are the same for all.
 * Groups are unique within a file, as Prometheus' rulefmt has it.
 */
#include "common/rules/load.h"

#include <errno.h>
#include <string.h>

struct group_keys {
	const char *name;
	const struct ops_conf_node *interval, *query_offset, *labels, *rules;
	int64_t limit;
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

/* ---- groups and files ---- */

static int take_rules(const struct ops_rule_load *l, const struct ops_conf_node *list,
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
		int rc = ops_rule_take(l, list->items[i], brief_allowed, labels, &g->rules[i]);
		if (rc != 0) {
			return rc;
		}
		g->n++;
	}
	return 0;
}

static int take_group(
	const struct ops_rule_load *l, const struct ops_conf_node *map, struct ops_rule_group *g)
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
	rc = ops_rule_duration(l, keys.interval, "interval", &g->interval_ms);
	if (rc == 0) {
		rc = ops_rule_duration(l, keys.query_offset, "query_offset", &g->query_offset_ms);
	}
	if (rc == 0) {
		rc = ops_rule_add_pairs(l, keys.labels, "labels", true, &labels);
	}
	return rc != 0 ? rc : take_rules(l, keys.rules, &labels, false, g);
}

static int take_groups(const struct ops_rule_load *l, const struct ops_conf_node *root,
	struct ops_rule_groups *out)
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
	const struct ops_rule_load *l, struct ops_conf_node *root, struct ops_rule_groups *out)
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
	const struct ops_rule_load *l, struct ops_conf_node *root, struct ops_rule_groups *groups)
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
	bool more = false;
	const struct ops_conf_options yaml = {.ret_more = &more};
	int rc = ops_conf_load_file(a, path, &yaml, &root, err);
	if (rc != 0) {
		return rc;
	}
	size_t before = groups->n;
	const struct ops_rule_load l = {
		a, opt != NULL ? opt : &no_options, err, ops_arena_strdup(a, path)};
	rc = take_file(&l, root, groups);
	size_t rules = 0;
	for (size_t i = before; rc == 0 && i < groups->n; i++) {
		rules += groups->items[i].n;
	}
	if (rc == 0 && more) {
		ops_conf_warn(warnings, root,
			"only the first YAML document of this file is read, as Prometheus does");
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
	bool more = false;
	const struct ops_conf_options yaml = {.ret_more = &more};
	int rc = ops_conf_load_text(a, name, text, len, &yaml, &root, err);
	if (rc != 0) {
		return rc;
	}
	const struct ops_rule_load l = {
		a, opt != NULL ? opt : &no_options, err, ops_arena_strdup(a, name)};
	return take_file(&l, root, groups);
}
