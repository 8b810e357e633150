/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/rules and /api/v1/alerts, in Prometheus' JSON shape. */
#include "services/detector/rules/internal.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "services/detector/api/api.h"

static void add_string(struct ops_strbuf *out, const char *key, const char *value)
{
	ops_strbuf_printf(out, "\"%s\":", key);
	ops_strbuf_add_json(out, value, strlen(value));
}

static void add_time(struct ops_strbuf *out, const char *key, int64_t ms)
{
	char text[32];
	if (ms == 0 || ms == INT64_MIN) {
		ops_strbuf_printf(out, "\"%s\":\"0001-01-01T00:00:00Z\"", key);
	} else {
		ops_strbuf_printf(
			out, "\"%s\":\"%s\"", key, ops_time_format(ms, text, sizeof(text)));
	}
}

static void add_pairs(struct ops_strbuf *out, const char *key, const struct ops_rule_pairs *pairs)
{
	ops_strbuf_printf(out, "\"%s\":{", key);
	for (size_t i = 0; i < pairs->n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		ops_strbuf_add_json(out, pairs->items[i].name, strlen(pairs->items[i].name));
		ops_strbuf_addc(out, ':');
		ops_strbuf_add_json(out, pairs->items[i].value, strlen(pairs->items[i].value));
	}
	ops_strbuf_adds(out, "}");
}

static void add_alert(struct ops_strbuf *out, const struct det_instance *a)
{
	ops_strbuf_adds(out, "{\"labels\":");
	ops_labels_json(a->labels, out);
	ops_strbuf_adds(out, ",\"annotations\":");
	if (a->annotations != NULL) {
		ops_labels_json(a->annotations, out);
	} else {
		ops_strbuf_adds(out, "{}");
	}
	ops_strbuf_printf(out, ",\"state\":\"%s\",", det_alert_state_text(a->state));
	add_time(out, "activeAt", a->active_ms);
	if (a->keep_since_ms != 0) {
		ops_strbuf_addc(out, ',');
		add_time(out, "keepFiringSince", a->keep_since_ms);
	}
	ops_strbuf_adds(out, ",\"value\":\"");
	ops_strbuf_add_double(out, a->value);
	ops_strbuf_adds(out, a->flapping ? "\",\"flapping\":true}" : "\"}");
}

/* Appends the rule's pending and firing alerts; returns the worst state. */
static enum det_alert_state add_alerts(
	struct ops_strbuf *out, const struct det_rule *r, bool *first)
{
	enum det_alert_state worst = DET_INACTIVE;
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		const struct det_instance *a = e.value;
		if (a->state == DET_INACTIVE) {
			continue;
		}
		ops_strbuf_adds(out, *first ? "" : ",");
		*first = false;
		add_alert(out, a);
		worst = OPS_MAX(worst, a->state);
	}
	return worst;
}

static void add_rule(struct ops_strbuf *out, const struct det_rule *r)
{
	const struct ops_rule *def = r->rule;
	bool alerting = def->kind == OPS_RULE_ALERTING, first = true;
	ops_strbuf_addc(out, '{');
	struct ops_strbuf alerts = OPS_STRBUF_INIT;
	enum det_alert_state worst = alerting ? add_alerts(&alerts, r, &first) : DET_INACTIVE;
	if (alerting) {
		ops_strbuf_printf(out, "\"state\":\"%s\",", det_alert_state_text(worst));
	}
	add_string(out, "name", def->name);
	ops_strbuf_addc(out, ',');
	add_string(out, "query", def->expr_text);
	ops_strbuf_addc(out, ',');
	if (alerting) {
		ops_strbuf_printf(out, "\"duration\":%g,\"keepFiringFor\":%g,",
			(double)def->for_ms / 1000, (double)def->keep_firing_for_ms / 1000);
	}
	add_pairs(out, "labels", &def->labels);
	ops_strbuf_addc(out, ',');
	if (alerting) {
		add_pairs(out, "annotations", &def->annotations);
		ops_strbuf_printf(out, ",\"alerts\":[%s],", ops_strbuf_text(&alerts));
	}
	ops_strbuf_done(&alerts);
	if (det_dead_rule(r)) {
		ops_strbuf_adds(out, "\"deadSelectors\":");
		det_dead_json(r, out);
		ops_strbuf_addc(out, ',');
	}
	const char *health = r->evaluations == 0 ? "unknown" : r->error[0] != '\0' ? "err" : "ok";
	ops_strbuf_printf(out, "\"health\":\"%s\",", health);
	if (r->error[0] != '\0') {
		add_string(out, "lastError", r->error);
		ops_strbuf_addc(out, ',');
	}
	ops_strbuf_printf(out, "\"evaluationTime\":%.9f,", (double)r->last_cost_ns / 1e9);
	add_time(out, "lastEvaluation", r->last_eval_ms);
	ops_strbuf_printf(out, ",\"type\":\"%s\"}", alerting ? "alerting" : "recording");
}

struct filter { /* of GET /api/v1/rules */
	const char *type;
	const char *names[64], *groups[64], *files[64];
	size_t nnames, ngroups, nfiles;
};

static bool listed(const char *const *items, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(items[i], text) == 0) {
			return true;
		}
	}
	return n == 0;
}

static bool rule_wanted(const struct filter *f, const struct ops_rule *rule)
{
	if (f->type != NULL &&
		strcmp(f->type, rule->kind == OPS_RULE_ALERTING ? "alert" : "record") != 0) {
		return false;
	}
	return listed(f->names, f->nnames, rule->name);
}

static bool add_group(
	struct ops_strbuf *out, const struct det_rule_group *g, const struct filter *f, bool first)
{
	if (!listed(f->groups, f->ngroups, g->def->name) ||
		!listed(f->files, f->nfiles, g->def->file)) {
		return false;
	}
	struct ops_strbuf rules = OPS_STRBUF_INIT;
	for (size_t i = 0; i < g->n; i++) {
		if (rule_wanted(f, g->rules[i].rule)) {
			ops_strbuf_adds(&rules, rules.len > 0 ? "," : "");
			add_rule(&rules, &g->rules[i]);
		}
	}
	bool filtered = f->type != NULL || f->nnames > 0;
	bool shown = rules.len > 0 || !filtered;
	if (shown) {
		ops_strbuf_adds(out, first ? "{" : ",{");
		add_string(out, "name", g->def->name);
		ops_strbuf_addc(out, ',');
		add_string(out, "file", g->def->file);
		ops_strbuf_printf(out,
			",\"rules\":[%s],\"interval\":%g,\"limit\":%lld,\"evaluationTime\":%.9f,",
			ops_strbuf_text(&rules), (double)g->interval_ms / 1000,
			(long long)g->def->limit, (double)g->last_cost_ns / 1e9);
		add_time(out, "lastEvaluation", g->last_eval_ms);
		ops_strbuf_addc(out, '}');
	}
	ops_strbuf_done(&rules);
	return shown;
}

static void on_rules(struct ops_http_req *req, void *arg)
{
	const struct det_rules *r = arg;
	struct filter f = {.type = ops_http_param(req, "type")};
	if (f.type != NULL && strcmp(f.type, "alert") != 0 && strcmp(f.type, "record") != 0) {
		det_api_reply_error(req, "bad_data", "type is alert or record");
		return;
	}
	f.nnames = OPS_MIN(ops_http_params(req, "rule_name[]", f.names, OPS_LENGTH(f.names)),
		OPS_LENGTH(f.names));
	f.ngroups = OPS_MIN(ops_http_params(req, "rule_group[]", f.groups, OPS_LENGTH(f.groups)),
		OPS_LENGTH(f.groups));
	f.nfiles = OPS_MIN(
		ops_http_params(req, "file[]", f.files, OPS_LENGTH(f.files)), OPS_LENGTH(f.files));
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "{\"groups\":[");
	bool first = true;
	for (size_t i = 0; r->gen != NULL && i < r->gen->n; i++) {
		first = !add_group(&out, &r->gen->groups[i], &f, first) && first;
	}
	ops_strbuf_adds(&out, "]}");
	det_api_reply_data(req, &out);
	ops_strbuf_done(&out);
}

static void on_alerts(struct ops_http_req *req, void *arg)
{
	const struct det_rules *r = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	bool first = true;
	ops_strbuf_adds(&out, "{\"alerts\":[");
	for (size_t i = 0; r->gen != NULL && i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			add_alerts(&out, &r->gen->groups[i].rules[k], &first);
		}
	}
	ops_strbuf_adds(&out, "]}");
	det_api_reply_data(req, &out);
	ops_strbuf_done(&out);
}

static void add_dead(struct ops_strbuf *out, const struct det_rule *r)
{
	const struct ops_rule *def = r->rule;
	ops_strbuf_addc(out, '{');
	add_string(out, "file", def->file);
	ops_strbuf_addc(out, ',');
	add_string(out, "group", r->group->def->name);
	ops_strbuf_addc(out, ',');
	add_string(out, "name", def->name);
	ops_strbuf_printf(out, ",\"type\":\"%s\",\"line\":%d,\"selectors\":",
		def->kind == OPS_RULE_ALERTING ? "alerting" : "recording", def->line);
	det_dead_json(r, out);
	ops_strbuf_addc(out, '}');
}

static void on_dead(struct ops_http_req *req, void *arg)
{
	const struct det_rules *r = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	bool first = true;
	ops_strbuf_adds(&out, "{\"rules\":[");
	for (size_t i = 0; r->gen != NULL && i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			const struct det_rule *rule = &r->gen->groups[i].rules[k];
			if (det_dead_rule(rule)) {
				ops_strbuf_adds(&out, first ? "" : ",");
				add_dead(&out, rule);
				first = false;
			}
		}
	}
	ops_strbuf_adds(&out, "]}");
	det_api_reply_data(req, &out);
	ops_strbuf_done(&out);
}

void det_rules_api(struct det_rules *r, struct ops_http_server *http)
{
	ops_http_route(http, OPS_GET, "/api/v1/rules", OPS_ROLE_VIEWER, on_rules, r);
	ops_http_route(http, OPS_GET, "/api/v1/rules/dead", OPS_ROLE_VIEWER, on_dead, r);
	ops_http_route(http, OPS_GET, "/api/v1/alerts", OPS_ROLE_VIEWER, on_alerts, r);
}
