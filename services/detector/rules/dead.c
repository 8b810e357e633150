/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead rules: a selector that matches no series makes a rule that can never say anything, and looks
 * like one that has nothing to say. Looked for after the evaluation by interval; once a minute
 * while all is well, since that is when it costs most and changes least.
 *
 * Not dead are selectors below absent() and those of ALERTS: to be empty is their normal state.
 */
#include "services/detector/rules/internal.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/log/log.h"

enum {
	LOOK_EVERY_MS = 60000
};

bool det_expects_nothing(const struct ops_promql_expr *e)
{
	if (e->kind != OPS_PROMQL_CALL) {
		return false;
	}
	const char *name = e->call.function->name;
	return strcmp(name, "absent") == 0 || strcmp(name, "absent_over_time") == 0;
}

/* Marks the selectors of the rule that stand below e. */
static void may_be_empty(struct det_rule *r, const struct ops_promql_expr *e)
{
	for (size_t i = 0; i < r->nselectors; i++) {
		if (r->selectors[i].expr == e) {
			r->selectors[i].may_be_empty = true;
		}
	}
	const struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		may_be_empty(r, c);
	}
}

static void find_absent(struct det_rule *r, const struct ops_promql_expr *e)
{
	if (det_expects_nothing(e)) {
		may_be_empty(r, e);
		return;
	}
	const struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		find_absent(r, c);
	}
}

void det_dead_init(struct det_rule *r)
{
	r->looked_ms = INT64_MIN;
	find_absent(r, r->rule->expr);
	if (r->rule->policy.resolve != NULL) {
		find_absent(r, r->rule->policy.resolve);
	}
	for (size_t i = 0; i < r->nselectors; i++) {
		const char *name = r->selectors[i].name;
		if (name != NULL &&
			(strcmp(name, "ALERTS") == 0 || strcmp(name, "ALERTS_FOR_STATE") == 0)) {
			r->selectors[i].may_be_empty = true;
		}
	}
}

static bool matches_any(const struct det_rule *r, const struct det_selector *s, int64_t now_ms)
{
	int64_t at = now_ms - det_group_offset(r->group);
	const int64_t range_ms[2] = {at - s->reach_ms, at};
	struct det_series_list list = {NULL, 0};
	struct ops_arena arena;
	ops_arena_init(&arena);
	det_store_select(r->group->owner->cfg.store, &s->matchers, range_ms, &arena, &list);
	ops_arena_done(&arena);
	return list.n > 0;
}

void det_dead_look(struct det_rule *r, int64_t now_ms)
{
	bool first = r->looked_ms == INT64_MIN, before = det_dead_rule(r);
	if (!first && !before && now_ms - r->looked_ms < LOOK_EVERY_MS) {
		return;
	}
	r->looked_ms = now_ms;
	for (size_t i = 0; i < r->nselectors; i++) {
		struct det_selector *s = &r->selectors[i];
		if (s->may_be_empty || matches_any(r, s, now_ms)) {
			s->dead_since_ms = 0;
		} else if (s->dead_since_ms == 0) {
			s->dead_since_ms = OPS_MAX(now_ms, 1);
		}
	}
	if (!first && !before && det_dead_rule(r)) {
		log_warn("a rule reads series that are not there any more", F_STR("rule", r->key));
	}
}

bool det_dead_rule(const struct det_rule *r)
{
	for (size_t i = 0; i < r->nselectors; i++) {
		if (r->selectors[i].dead_since_ms != 0) {
			return true;
		}
	}
	return false;
}

void det_dead_json(const struct det_rule *r, struct ops_strbuf *out)
{
	bool first = true;
	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < r->nselectors; i++) {
		const struct det_selector *s = &r->selectors[i];
		if (s->dead_since_ms == 0) {
			continue;
		}
		struct ops_strbuf text = OPS_STRBUF_INIT;
		char since[32];
		ops_promql_print(s->expr, &text);
		ops_strbuf_adds(out, first ? "{\"selector\":" : ",{\"selector\":");
		ops_strbuf_add_json(out, ops_strbuf_text(&text), text.len);
		ops_strbuf_printf(out, ",\"since\":\"%s\"}",
			ops_time_format(s->dead_since_ms, since, sizeof(since)));
		ops_strbuf_done(&text);
		first = false;
	}
	ops_strbuf_addc(out, ']');
}

size_t det_rules_dead(const struct det_rules *r)
{
	size_t n = 0;
	for (size_t i = 0; r->gen != NULL && i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			n += det_dead_rule(&r->gen->groups[i].rules[k]);
		}
	}
	return n;
}
