/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generation is one loaded configuration, whole in one arena: rules refer to it and it goes when
 * the next one has taken over. Alerts are moved over by the rule's key (file, group, name, and
 * which of that name), so an edit of an expression or a threshold does not restart `for`.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	DEFAULT_INTERVAL_MS = 60000
};

static struct ops_metric rules_loaded =
	OPS_GAUGE("ops_detector_rules", "Rules loaded, by kind.", "kind");

void det_rule_list_add(struct det_rule_list *l, struct det_rule *rule)
{
	for (size_t i = l->n; i > 0; i--) {
		if (l->items[i - 1] == rule) {
			return;
		}
	}
	OPS_GROW(l->items, l->n, l->cap);
	l->items[l->n++] = rule;
}

static void rule_list_free(void *list)
{
	struct det_rule_list *l = list;
	if (l != NULL) {
		free(l->items);
		free(l);
	}
}

static void labels_unref(void *labels)
{
	ops_labels_unref(labels);
}

static void rule_done(struct det_rule *r)
{
	for (size_t i = 0; i < r->nselectors; i++) {
		det_recall_forget(r->group->owner, &r->selectors[i]);
		ops_matchers_done(&r->selectors[i].matchers);
	}
	free(r->selectors);
	free(r->key);
	ops_map_free(r->instances, det_instance_free);
	ops_map_free(r->recorded, labels_unref);
}

void det_generation_free(struct det_generation *g)
{
	if (g == NULL) {
		return;
	}
	for (size_t i = 0; i < g->n; i++) {
		for (size_t k = 0; k < g->groups[i].n; k++) {
			rule_done(&g->groups[i].rules[k]);
		}
		det_away_cancel(&g->groups[i]);
		det_pass_cancel(&g->groups[i]);
		ops_timer_free(g->groups[i].timer);
		free(g->groups[i].rules);
	}
	free(g->groups);
	free(g->defs.items);
	ops_map_free(g->by_metric, rule_list_free);
	ops_map_free(g->by_layout, rule_list_free);
	rule_list_free(g->nameless);
	ops_labels_unref(g->external_labels);
	ops_tmpl_set_free(g->templates);
	free(g->external_url);
	ops_arena_done(&g->arena);
	free(g);
}

struct det_rule *det_rule_find(const struct det_generation *g, const char *key)
{
	for (size_t i = 0; g != NULL && i < g->n; i++) {
		for (size_t k = 0; k < g->groups[i].n; k++) {
			if (strcmp(g->groups[i].rules[k].key, key) == 0) {
				return &g->groups[i].rules[k];
			}
		}
	}
	return NULL;
}

/* ---- building ---- */

/* Loaded rules are checked for templates that cannot work. */
static int check_rule(void *arg, const struct ops_rule *rule, struct ops_error *err)
{
	const struct det_generation *g = arg;
	return det_expand_check(g->templates, rule, err);
}

struct selectors {
	struct det_rule *rule;
	struct ops_error *err;
	int rc;
};

static void on_selector(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms)
{
	struct selectors *s = arg;
	struct det_rule *r = s->rule;
	if (s->rc != 0) {
		return;
	}
	OPS_GROW(r->selectors, r->nselectors, r->selectors_cap);
	struct det_selector *to = &r->selectors[r->nselectors];
	memset(to, 0, sizeof(*to));
	to->expr = selector;
	to->reach_ms = reach_ms;
	ops_arena_init(&to->arena);
	s->rc = det_engine_matchers(selector, &to->matchers, s->err);
	if (s->rc != 0) {
		return;
	}
	r->nselectors++;
	for (size_t i = 0; i < to->matchers.n; i++) {
		const struct ops_matcher *m = &to->matchers.items[i];
		if (m->op == OPS_MATCH_EQ && strcmp(m->name, OPS_LABEL_NAME) == 0 &&
			m->value[0] != '\0') {
			to->name = m->value;
		}
	}
}

static size_t nth_of_name(const struct ops_rule_group *def, size_t index)
{
	size_t nth = 0;
	for (size_t i = 0; i < index; i++) {
		nth += strcmp(def->rules[i].name, def->rules[index].name) == 0;
	}
	return nth;
}

static int init_rule(struct det_rule *r, struct det_rule_group *group, size_t index,
	const struct det_engine_options *engine, struct ops_error *err)
{
	const struct ops_rule *def = &group->def->rules[index];
	r->rule = def;
	r->group = group;
	r->key = ops_xasprintf("%s;%s;%s;%zu", group->def->file, group->def->name, def->name,
		nth_of_name(group->def, index));
	r->instances = ops_map_new();
	r->recorded = ops_map_new();
	r->last_eval_ms = INT64_MIN;
	struct selectors s = {r, err, 0};
	det_engine_selectors(def->expr, engine, on_selector, &s);
	if (def->policy.resolve != NULL) {
		det_engine_selectors(def->policy.resolve, engine, on_selector, &s);
	}
	if (s.rc != 0) {
		ops_rule_expr_position(def, err);
		return s.rc;
	}
	det_dead_init(r);
	return 0;
}

static int build_groups(struct det_generation *g, struct det_rules *owner,
	const struct det_engine_options *engine, struct ops_error *err)
{
	g->n = g->defs.n;
	g->groups = ops_xcalloc(OPS_MAX(g->n, 1), sizeof(*g->groups));
	for (size_t i = 0; i < g->n; i++) {
		struct det_rule_group *group = &g->groups[i];
		group->owner = owner;
		group->def = &g->defs.items[i];
		group->interval_ms =
			group->def->interval_ms != 0 ? group->def->interval_ms : g->interval_ms;
		group->rules = ops_xcalloc(OPS_MAX(group->def->n, 1), sizeof(*group->rules));
		for (size_t k = 0; k < group->def->n; k++) {
			group->n = k + 1;
			int rc = init_rule(&group->rules[k], group, k, engine, err);
			if (rc != 0) {
				return rc;
			}
		}
	}
	return 0;
}

static struct det_generation *new_generation(const struct det_rules_set *set)
{
	struct det_generation *g = ops_xcalloc(1, sizeof(*g));
	ops_arena_init(&g->arena);
	g->by_metric = ops_map_new();
	g->by_layout = ops_map_new();
	g->nameless = ops_xcalloc(1, sizeof(*g->nameless));
	g->external_url = ops_xstrdup(set->external_url != NULL ? set->external_url : "");
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; set->external_labels != NULL && i < set->external_labels->n; i++) {
		const struct ops_label *l = &set->external_labels->items[i];
		ops_labels_builder_set(&b, l->name, l->value);
	}
	g->external_labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	g->templates = det_expand_set();
	g->interval_ms = set->interval_ms > 0 ? set->interval_ms : DEFAULT_INTERVAL_MS;
	g->query_offset_ms = set->query_offset_ms;
	g->trigger = set->trigger;
	return g;
}

/* Only the groups of our shard. The others were read as well, so that a mistake is found wherever
 * it is. */
static void keep_shard(struct det_generation *g, const struct det_rules_set *set)
{
	size_t kept = 0;
	for (size_t i = 0; set->shards > 1 && i < g->defs.n; i++) {
		if (det_rules_shard_of(g->defs.items[i].name, set->shards) == set->shard) {
			g->defs.items[kept++] = g->defs.items[i];
		}
	}
	g->defs.n = set->shards > 1 ? kept : g->defs.n;
}

static void warn_of_source(
	struct det_generation *g, const struct det_rules *owner, struct ops_conf_warnings *warnings)
{
	if (owner == NULL || owner->cfg.source == NULL) {
		return;
	}
	g->trigger = DET_RULES_INTERVAL; /* we do not see what arrives there */
	for (size_t i = 0; i < g->defs.n; i++) {
		for (size_t k = 0; k < g->defs.items[i].n; k++) {
			const struct ops_rule *rule = &g->defs.items[i].rules[k];
			if (rule->policy.no_data != OPS_RULE_NO_DATA_RESOLVE) {
				ops_conf_warn(warnings, NULL,
					"%s: no_data of %s has no effect: the rules are evaluated "
					"by a datasource",
					g->defs.items[i].file, rule->name);
			}
		}
	}
}

/* owner NULL: only to be checked. */
static int load_generation(const struct det_rules_set *set, struct det_rules *owner,
	struct ops_conf_warnings *warnings, struct det_generation **ret, struct ops_error *err)
{
	static const struct det_engine_options no_engine = {.lookback_ms = 0};
	struct det_generation *g = new_generation(set);
	const struct ops_rules_options opt = {.variables = set->variables,
		.nvariables = set->nvariables,
		.promql_features = set->promql_features,
		.check = check_rule,
		.arg = g};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < set->nfiles; i++) {
		rc = ops_rules_load_file(&g->arena, set->files[i], &opt, &g->defs, warnings, err);
	}
	if (rc == 0) {
		keep_shard(g, set);
		warn_of_source(g, owner, warnings);
		rc = build_groups(g, owner, owner != NULL ? owner->cfg.engine : &no_engine, err);
	}
	if (rc != 0) {
		det_generation_free(g);
		return rc;
	}
	det_index_build(g);
	*ret = g;
	return 0;
}

int det_rules_check(
	const struct det_rules_set *set, struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct det_generation *g = NULL;
	int rc = load_generation(set, NULL, warnings, &g, err);
	det_generation_free(rc == 0 ? g : NULL);
	return rc;
}

/* ---- swapping ---- */

static void move_alerts(struct det_rule *from, struct det_rule *to)
{
	struct ops_map *instances = to->instances;
	to->instances = from->instances;
	from->instances = instances;
	struct ops_map *recorded = to->recorded;
	to->recorded = from->recorded;
	from->recorded = recorded;
	to->deadline_ms = from->deadline_ms;
}

static void take_over(struct det_rules *r, struct det_generation *old, struct det_generation *next)
{
	for (size_t i = 0; i < next->n; i++) {
		for (size_t k = 0; k < next->groups[i].n; k++) {
			struct det_rule *rule = &next->groups[i].rules[k];
			struct det_rule *before = det_rule_find(old, rule->key);
			if (before != NULL && before->rule->kind == rule->rule->kind) {
				move_alerts(before, rule);
			}
			det_state_adopt(r, rule);
			rule->dirty = true;
		}
	}
}

/* Alerts of rules that are not in the new generation. */
static void leave_over(struct det_rules *r, struct det_generation *old)
{
	int64_t now_ms = ops_now_ms();
	for (size_t i = 0; old != NULL && i < old->n; i++) {
		for (size_t k = 0; k < old->groups[i].n; k++) {
			struct det_rule *rule = &old->groups[i].rules[k];
			det_alerting_resolve_all(rule, now_ms);
			det_alerting_write_series(rule, now_ms);
			det_recording_end(rule, now_ms);
			det_leftover_take(r, rule);
		}
	}
	det_leftover_resolve(r, now_ms);
}

static void count_rules(const struct det_generation *g)
{
	size_t counts[2] = {0, 0};
	for (size_t i = 0; i < g->n; i++) {
		for (size_t k = 0; k < g->groups[i].n; k++) {
			counts[g->groups[i].rules[k].rule->kind]++;
		}
	}
	ops_metric_set(&rules_loaded, (double)counts[OPS_RULE_ALERTING], "alerting");
	ops_metric_set(&rules_loaded, (double)counts[OPS_RULE_RECORDING], "recording");
}

int det_rules_load(struct det_rules *r, const struct det_rules_set *set,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct det_generation *next = NULL;
	int rc = load_generation(set, r, warnings, &next, err);
	if (rc != 0) {
		return rc;
	}
	struct det_generation *old = r->gen;
	take_over(r, old, next);
	r->gen = next;
	leave_over(r, old);
	det_generation_free(old);
	det_store_announce(r->cfg.store); /* its layouts, to the new index */
	count_rules(next);
	for (size_t i = 0; i < next->n; i++) {
		det_group_start(&next->groups[i]);
		det_group_tell(&next->groups[i]);
	}
	if (next->n == 0) {
		det_leftovers_tell(r);
	}
	return 0;
}
