/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules against a server that has the data: every selector of every rule is asked for series with a
 * sample in the last hour. Selectors below absent() are expected to match nothing. Any server that
 * answers Prometheus' query API will do.
 */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/promql/parse.h"
#include "common/rules/rules.h"

struct hunt {
	struct ctl ctl; /* with the server's URL */
	json_t *dead;
	struct ops_map *known; /* selector -> "alive" or "dead" */
	const struct ops_rule *rule;
	int code;
	size_t found;
};

static const char alive[] = "alive", dead[] = "dead";

/* NULL when the server did not say. */
static const char *ask(struct hunt *h, const char *selector)
{
	struct ops_strbuf path = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_freep)
	char *query = ops_xasprintf("count(last_over_time(%s[1h]))", selector);
	struct ctl_reply reply;
	ops_strbuf_adds(&path, "/api/v1/query");
	ctl_url_add(&path, "query", query);
	h->code = ctl_request(&h->ctl, CTL_DETECTOR, "GET", ops_strbuf_text(&path), NULL, &reply);
	const json_t *data = json_object_get(reply.json, "data");
	bool any = json_array_size(json_object_get(data, "result")) > 0;
	ctl_reply_done(&reply);
	ops_strbuf_done(&path);
	return h->code != 0 ? NULL : any ? alive : dead;
}

static void tell(struct hunt *h, const char *selector)
{
	const struct ops_rule *r = h->rule;
	json_t *one = json_object();
	ops_json_set_string(one, "rule", r->name);
	ops_json_set_i64(one, "line", r->line);
	ops_json_set_string(one, "selector", selector);
	json_array_append_new(h->dead, one);
	h->found++;
	if (!h->ctl.json) {
		printf("%s:%d:%d: '%s' is dead: %s matches no series\n", r->file, r->expr_line,
			r->expr_column, r->name, selector);
	}
}

static void on_selector(struct hunt *h, const struct ops_promql_expr *e)
{
	struct ops_promql_expr plain = *e;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	plain.vector.shift = (struct ops_promql_shift){.offset_ms = 0};
	plain.vector.anchored = plain.vector.smoothed = false;
	ops_promql_print(&plain, &text);
	const char *verdict = ops_map_gets(h->known, ops_strbuf_text(&text));
	if (verdict == NULL) {
		verdict = ask(h, ops_strbuf_text(&text));
		if (verdict != NULL) {
			ops_map_puts(h->known, text.data, (void *)(uintptr_t)verdict);
		}
	}
	if (verdict == dead) {
		tell(h, ops_strbuf_text(&text));
	}
	ops_strbuf_done(&text);
}

static bool is_absent(const struct ops_promql_expr *e)
{
	return e->kind == OPS_PROMQL_CALL &&
	       (strcmp(e->call.function->name, "absent") == 0 ||
		       strcmp(e->call.function->name, "absent_over_time") == 0);
}

static void walk(struct hunt *h, const struct ops_promql_expr *e)
{
	const struct ops_promql_expr *c;
	if (h->code != 0 || is_absent(e)) {
		return;
	}
	if (e->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		on_selector(h, e);
	}
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		walk(h, c);
	}
}

int ctl_dead_rules(const struct ctl *c, const char *url, const char *file, json_t *dead_list)
{
	const struct ops_rule_variable variables[] = {{"RULE_WINDOW", "5m"}, {"RULE_FOR", "3m"}};
	const struct ops_rules_options opt = {
		.variables = variables, .nvariables = OPS_LENGTH(variables)};
	struct hunt h = {.ctl = *c, .dead = dead_list, .known = ops_map_new()};
	struct ops_rule_groups groups = {NULL, 0, 0};
	struct ops_arena arena;
	struct ops_error err;
	h.ctl.url = url;
	ops_arena_init(&arena);
	if (ops_rules_load_file(&arena, file, &opt, &groups, NULL, &err) != 0) {
		h.code = ctl_fail_error(CTL_CONFIG, &err);
	}
	for (size_t i = 0; i < groups.n; i++) {
		for (size_t k = 0; k < groups.items[i].n; k++) {
			h.rule = &groups.items[i].rules[k];
			walk(&h, h.rule->expr);
			if (h.rule->policy.resolve != NULL) {
				walk(&h, h.rule->policy.resolve);
			}
		}
	}
	free(groups.items);
	ops_arena_done(&arena);
	ops_map_free(h.known, NULL);
	return h.code != 0 ? h.code : h.found > 0 ? CTL_FAILED : CTL_OK;
}
