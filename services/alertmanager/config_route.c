/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing tree and the inhibition rules. Children inherit what they do not set; the tree is
 * flattened into one allocation per level, with a parent pointer for printing. The key of a route
 * is stable across reloads as long as its own path does not change: notification log entries are
 * filed by it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

enum {
	ROUTE_DEPTH_MAX = 32
};

struct raw_route {
	const char *receiver;
	const struct ops_conf_node *group_by, *group_wait, *group_interval, *repeat_interval,
		*routes;
	const struct ops_conf_node *match, *match_re, *matchers, *labels;
	struct ops_conf_strings mute, active;
	bool continues;
};

#define NODE(key)                                                                                  \
	{                                                                                          \
		.name = #key, .kind = OPS_CONF_K_NODE, .offset = offsetof(struct raw_route, key)   \
	}
static const struct ops_conf_key route_keys[] = {
	{.name = "receiver",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct raw_route, receiver)},
	NODE(group_by),
	NODE(group_wait),
	NODE(group_interval),
	NODE(repeat_interval),
	NODE(routes),
	NODE(match),
	NODE(match_re),
	NODE(matchers),
	NODE(labels),
	{.name = "mute_time_intervals",
		.kind = OPS_CONF_K_STRINGS,
		.offset = offsetof(struct raw_route, mute)},
	{.name = "active_time_intervals",
		.kind = OPS_CONF_K_STRINGS,
		.offset = offsetof(struct raw_route, active)},
	{.name = "continue",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct raw_route, continues)},
	OPS_CONF_END,
};

static int add_map(struct alm_parse *p, const struct ops_conf_node *map, enum ops_match_op op,
	const char *what, struct ops_matchers *ms)
{
	if (ops_conf_is_null(map))
		return 0;
	if (map->type != OPS_CONF_MAPPING)
		return ops_conf_error(
			map, p->err, "%s must be a mapping of label names to values", what);
	for (size_t i = 0; i < map->n; i++) {
		const char *name = map->keys[i]->text, *value = NULL;
		struct ops_error err = {0};
		if (!ops_label_name_valid(name, strlen(name)))
			return ops_conf_error(
				map->keys[i], p->err, "invalid label name \"%s\"", name);
		if (op == OPS_MATCH_RE && ops_conf_is_null(map->items[i]))
			return ops_conf_error(map->items[i], p->err,
				"%s: no regular expression for \"%s\"", what, name);
		int rc = ops_conf_string(map->items[i], name, &value, p->err);
		if (rc != 0)
			return rc;
		if (op == OPS_MATCH_RE) /* as upstream writes it into the keys of groups */
			value = ops_arena_printf(p->a, "^(?:%s)$", value);
		rc = ops_matchers_add(ms, op, name, value, &err);
		if (rc != 0)
			return ops_conf_error(map->items[i], p->err, "%s: %s", name, err.message);
	}
	return 0;
}

int alm_parse_matchers(struct alm_parse *p, const struct ops_conf_node *match,
	const struct ops_conf_node *match_re, const struct ops_conf_node *matchers,
	struct ops_matchers *ms)
{
	int rc = add_map(p, match, OPS_MATCH_EQ, "match", ms);
	if (rc == 0)
		rc = add_map(p, match_re, OPS_MATCH_RE, "match_re", ms);
	if (rc != 0 || ops_conf_is_null(matchers))
		return rc;
	if (matchers->type != OPS_CONF_SEQUENCE) {
		ops_conf_error(matchers, p->err, "matchers must be a list");
		ops_error_hint(p->err, "- severity=\"critical\"");
		return -EINVAL;
	}
	for (size_t i = 0; i < matchers->n; i++) {
		const char *text = NULL;
		struct ops_error err = {0};
		rc = ops_conf_string(matchers->items[i], "matchers", &text, p->err);
		if (rc != 0)
			return rc;
		if (ops_matchers_parse(ms, text, strlen(text), &err) != 0) {
			ops_conf_error(matchers->items[i], p->err, "matcher \"%s\": %s", text,
				err.message);
			ops_error_hint(p->err, "%s",
				err.hint[0] != '\0' ? err.hint : "name=\"value\", !=, =~ or !~");
			return -EINVAL;
		}
	}
	return 0;
}

/* As upstream sorts them: keys of routes do not depend on how the file writes them. */
static int compare_matchers(const void *x, const void *y)
{
	const struct ops_matcher *a = x, *b = y;
	int c = strcmp(a->name, b->name);
	c = c != 0 ? c : strcmp(a->value, b->value);
	return c != 0 ? c : (int)a->op - (int)b->op;
}

/* ---- routes ---- */

static int parse_group_by(
	struct alm_parse *p, const struct ops_conf_node *node, struct alm_route *r)
{
	if (node == NULL)
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, p->err, "group_by must be a list of label names");
	r->group_by = ops_arena_array(p->a, const char *, node->n + 1);
	r->ngroup_by = 0;
	r->group_by_all = false;
	for (size_t i = 0; i < node->n; i++) {
		const char *name = NULL;
		int rc = ops_conf_string(node->items[i], "group_by", &name, p->err);
		if (rc != 0)
			return rc;
		if (ops_str_eq(name, "...")) {
			r->group_by_all = true;
			continue;
		}
		if (!ops_label_name_valid(name, strlen(name)))
			return ops_conf_error(node->items[i], p->err,
				"group_by: invalid label name \"%s\"", name);
		size_t at = r->ngroup_by++;
		for (; at > 0 && strcmp(r->group_by[at - 1], name) > 0; at--)
			r->group_by[at] = r->group_by[at - 1];
		if (at > 0 && strcmp(r->group_by[at - 1], name) == 0)
			return ops_conf_error(node->items[i], p->err,
				"group_by: label \"%s\" is given twice", name);
		r->group_by[at] = name;
	}
	if (r->group_by_all && r->ngroup_by > 0)
		return ops_conf_error(
			node, p->err, "group_by: \"...\" (all labels) must stand alone");
	return 0;
}

static int parse_timer(struct alm_parse *p, const struct ops_conf_node *node, const char *key,
	bool zero_ok, int64_t *ret_ms)
{
	if (node == NULL)
		return 0;
	int rc = ops_conf_duration(node, key, ret_ms, p->err);
	if (rc == 0 && *ret_ms == 0 && !zero_ok)
		return ops_conf_error(node, p->err, "%s must not be zero", key);
	return rc;
}

static int find_intervals(struct alm_parse *p, const struct ops_conf_node *at,
	const struct ops_conf_strings *names, const struct alm_intervals ***ret, size_t *ret_n)
{
	*ret = ops_arena_array(p->a, const struct alm_intervals *, names->n + 1);
	for (size_t i = 0; i < names->n; i++) {
		const struct alm_intervals *hit = NULL;
		for (size_t k = 0; k < p->cfg->nintervals && hit == NULL; k++) {
			if (ops_str_eq(p->cfg->intervals[k].name, names->items[i]))
				hit = &p->cfg->intervals[k];
		}
		if (hit == NULL)
			return ops_conf_error(
				at, p->err, "time interval \"%s\" is not defined", names->items[i]);
		(*ret)[(*ret_n)++] = hit;
	}
	return 0;
}

static int set_receiver(struct alm_parse *p, const struct ops_conf_node *node, const char *name,
	struct alm_route *r)
{
	if (!alm_given(name)) {
		if (r->receiver != NULL)
			return 0;
		ops_conf_error(node, p->err, "the root route must name a receiver");
		return -EINVAL;
	}
	r->receiver = alm_config_receiver(p->cfg, name);
	if (r->receiver == NULL)
		return ops_conf_error(ops_conf_get(node, "receiver"), p->err,
			"receiver \"%s\" used in a route is not defined", name);
	return 0;
}

/* Labels of the parents too, the nearest wins. */
static int parse_labels(struct alm_parse *p, const struct ops_conf_node *node, struct alm_route *r)
{
	struct alm_headers own = {0};
	int rc = alm_parse_map(p, node, "labels", false, &own);

	if (rc != 0 || own.n == 0)
		return rc;
	struct alm_header *all = ops_arena_array(p->a, struct alm_header, r->labels.n + own.n);
	size_t n = own.n;
	memcpy(all, own.items, own.n * sizeof all[0]);
	for (size_t i = 0; i < own.n; i++) {
		if (!ops_label_name_classic(own.items[i].name, strlen(own.items[i].name)))
			return ops_conf_error(node->keys[i], p->err,
				"invalid label name \"%s\" in route labels", own.items[i].name);
	}
	for (size_t i = 0; i < r->labels.n; i++) {
		size_t k = 0;
		while (k < own.n && strcmp(own.items[k].name, r->labels.items[i].name) != 0)
			k++;
		if (k == own.n)
			all[n++] = r->labels.items[i];
	}
	r->labels = (struct alm_headers){all, n};
	return 0;
}

static int check_root(
	struct alm_parse *p, const struct ops_conf_node *node, const struct raw_route *raw)
{
	if (raw->match != NULL || raw->match_re != NULL || raw->matchers != NULL)
		return ops_conf_error(node, p->err,
			"the root route must not have matchers: it takes every alert");
	if (raw->continues)
		return ops_conf_error(node, p->err, "the root route must not have \"continue\"");
	if (raw->mute.n > 0)
		return ops_conf_error(
			node, p->err, "the root route must not have mute_time_intervals");
	if (raw->active.n > 0)
		return ops_conf_error(
			node, p->err, "the root route must not have active_time_intervals");
	return 0;
}

static int fill_route(struct alm_parse *p, const struct ops_conf_node *node,
	const struct raw_route *raw, struct alm_route *r)
{
	int rc = set_receiver(p, node, raw->receiver, r);
	if (rc == 0)
		rc = parse_group_by(p, raw->group_by, r);
	if (rc == 0)
		rc = parse_timer(p, raw->group_wait, "group_wait", true, &r->group_wait_ms);
	if (rc == 0)
		rc = parse_timer(
			p, raw->group_interval, "group_interval", false, &r->group_interval_ms);
	if (rc == 0)
		rc = parse_timer(
			p, raw->repeat_interval, "repeat_interval", false, &r->repeat_interval_ms);
	if (rc == 0)
		rc = alm_parse_matchers(p, raw->match, raw->match_re, raw->matchers, &r->matchers);
	if (rc == 0 && r->matchers.n > 1)
		qsort(r->matchers.items, r->matchers.n, sizeof r->matchers.items[0],
			compare_matchers);
	if (rc == 0)
		rc = find_intervals(p, node, &raw->mute, &r->mute, &r->nmute);
	if (rc == 0)
		rc = find_intervals(p, node, &raw->active, &r->active, &r->nactive);
	if (rc == 0)
		rc = parse_labels(p, raw->labels, r);
	if (rc == 0 && r->repeat_interval_ms < r->group_interval_ms)
		ops_conf_warn(p->warnings, node,
			"repeat_interval is shorter than group_interval and will be rounded up");
	return rc;
}

static const char *route_key(struct alm_parse *p, const struct alm_route *r)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	if (r->parent != NULL)
		ops_strbuf_printf(&b, "%s/", r->parent->key);
	ops_matchers_print(&r->matchers, &b);
	return ops_arena_strndup(p->a, ops_strbuf_text(&b), b.len);
}

static int parse_route(struct alm_parse *p, const struct ops_conf_node *node,
	struct alm_route *parent, int depth, struct alm_route *r)
{
	struct raw_route raw = {0};

	if (depth > ROUTE_DEPTH_MAX)
		return ops_conf_error(
			node, p->err, "routes are nested more than %d deep", ROUTE_DEPTH_MAX);
	int rc = ops_conf_decode(p->a, node, route_keys, &raw, p->warnings, p->err);
	if (rc != 0)
		return rc;
	if (parent != NULL)
		*r = *parent;
	*r = (struct alm_route){
		.parent = parent,
		.receiver = r->receiver,
		.group_by = r->group_by,
		.ngroup_by = r->ngroup_by,
		.group_by_all = r->group_by_all,
		.labels = r->labels,
		.group_wait_ms = parent != NULL ? r->group_wait_ms : 30000,
		.group_interval_ms = parent != NULL ? r->group_interval_ms : 300000,
		.repeat_interval_ms = parent != NULL ? r->repeat_interval_ms : 4 * 3600000,
		.continues = raw.continues,
		.id = p->cfg->nroutes++,
	};
	ops_matchers_init(&r->matchers);
	rc = parent == NULL ? check_root(p, node, &raw) : 0;
	if (rc == 0)
		rc = fill_route(p, node, &raw, r);
	if (rc != 0)
		return rc;
	r->key = route_key(p, r);
	if (raw.routes == NULL)
		return 0;
	if (raw.routes->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(raw.routes, p->err, "routes must be a list");
	r->children = ops_arena_array(p->a, struct alm_route, raw.routes->n + 1);
	for (size_t i = 0; rc == 0 && i < raw.routes->n; i++) {
		ops_matchers_init(&r->children[i].matchers);
		r->nchildren = i + 1;
		rc = parse_route(p, raw.routes->items[i], r, depth + 1, &r->children[i]);
	}
	return rc;
}

int alm_parse_routes(struct alm_parse *p, const struct ops_conf_node *node)
{
	p->cfg->route = ops_arena_new(p->a, struct alm_route);
	return parse_route(p, node, NULL, 0, p->cfg->route);
}

/* ---- inhibition ---- */

struct raw_inhibit {
	const char *name;
	const struct ops_conf_node *source_match, *source_match_re, *source_matchers;
	const struct ops_conf_node *target_match, *target_match_re, *target_matchers;
	struct ops_conf_strings equal;
};

#define INHIBIT(key)                                                                               \
	{                                                                                          \
		.name = #key, .kind = OPS_CONF_K_NODE, .offset = offsetof(struct raw_inhibit, key) \
	}
static const struct ops_conf_key inhibit_keys[] = {
	{.name = "name", .kind = OPS_CONF_K_STRING, .offset = offsetof(struct raw_inhibit, name)},
	INHIBIT(source_match),
	INHIBIT(source_match_re),
	INHIBIT(source_matchers),
	INHIBIT(target_match),
	INHIBIT(target_match_re),
	INHIBIT(target_matchers),
	{.name = "equal",
		.kind = OPS_CONF_K_STRINGS,
		.offset = offsetof(struct raw_inhibit, equal)},
	OPS_CONF_END,
};

static int parse_rule(
	struct alm_parse *p, const struct ops_conf_node *node, struct alm_inhibit_rule *rule)
{
	struct raw_inhibit raw = {0};
	int rc = ops_conf_decode(p->a, node, inhibit_keys, &raw, p->warnings, p->err);
	if (rc != 0)
		return rc;
	rule->name = raw.name;
	rule->equal = raw.equal;
	for (size_t i = 0; i < raw.equal.n; i++) {
		if (!ops_label_name_valid(raw.equal.items[i], strlen(raw.equal.items[i])))
			return ops_conf_error(node, p->err, "equal: invalid label name \"%s\"",
				raw.equal.items[i]);
	}
	rc = alm_parse_matchers(
		p, raw.source_match, raw.source_match_re, raw.source_matchers, &rule->source);
	if (rc == 0)
		rc = alm_parse_matchers(p, raw.target_match, raw.target_match_re,
			raw.target_matchers, &rule->target);
	return rc;
}

int alm_parse_inhibit(struct alm_parse *p, const struct ops_conf_node *node)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, p->err, "inhibit_rules must be a list");
	p->cfg->inhibit = ops_arena_array(p->a, struct alm_inhibit_rule, node->n + 1);
	for (size_t i = 0; i < node->n; i++) {
		struct alm_inhibit_rule *rule = &p->cfg->inhibit[p->cfg->ninhibit++];
		ops_matchers_init(&rule->source);
		ops_matchers_init(&rule->target);
		int rc = parse_rule(p, node->items[i], rule);
		if (rc != 0)
			return rc;
	}
	return 0;
}
