/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/rules and /api/v1/alerts, in Prometheus' JSON shape. */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/number.h"
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

/* Seconds as a JSON number. */
static void add_seconds(struct ops_strbuf *out, const char *key, int64_t ms)
{
	char text[352];
	size_t len = ops_format_double_f((double)ms / 1000, text);
	ops_strbuf_printf(out, "\"%s\":", key);
	ops_strbuf_add(out, text, len);
}

/* As Go's %e with the fewest digits: 1.5e+03. */
static void add_scientific(struct ops_strbuf *out, double value)
{
	char text[48], digits[48];
	size_t len = ops_format_double(fabs(value), text), n = 0;
	if (!isfinite(value)) {
		ops_strbuf_add_double(out, value);
		return;
	}
	const char *e = memchr(text, 'e', len);
	const char *end = e != NULL ? e : text + len;
	int64_t exponent = 0;
	if (e != NULL && ops_parse_i64(e + 1 + (e[1] == '+'), strlen(e + 1 + (e[1] == '+')),
				 &exponent) != 0) {
		exponent = 0;
	}
	const char *point = memchr(text, '.', (size_t)(end - text));
	int64_t before = (point != NULL ? point : end) - text, zeros = 0;
	for (const char *at = text; at < end; at++) {
		if (*at == '0' && n == 0) {
			zeros += at != point; /* leading ones do not count */
		} else if (*at != '.') {
			digits[n++] = *at;
		}
	}
	while (n > 1 && digits[n - 1] == '0') {
		n--;
	}
	exponent = n > 0 ? exponent + before - zeros - 1 : 0;
	ops_strbuf_printf(out, "%s%c", signbit(value) ? "-" : "", n > 0 ? digits[0] : '0');
	if (n > 1) {
		ops_strbuf_addc(out, '.');
		ops_strbuf_add(out, digits + 1, n - 1);
	}
	ops_strbuf_printf(out, "e%c%02lld", exponent < 0 ? '-' : '+', llabs((long long)exponent));
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
	add_scientific(out, a->value);
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

static void add_alerting(struct ops_strbuf *out, const struct det_rule *r, bool with_alerts)
{
	const struct ops_rule *def = r->rule;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf alerts = OPS_STRBUF_INIT;
	bool first = true;
	enum det_alert_state worst = add_alerts(&alerts, r, &first);
	ops_strbuf_printf(out, "\"state\":\"%s\",", det_alert_state_text(worst));
	add_string(out, "name", def->name);
	ops_strbuf_addc(out, ',');
	add_string(out, "query", def->expr_text);
	ops_strbuf_addc(out, ',');
	add_seconds(out, "duration", def->for_ms);
	ops_strbuf_addc(out, ',');
	add_seconds(out, "keepFiringFor", def->keep_firing_for_ms);
	ops_strbuf_addc(out, ',');
	add_pairs(out, "labels", &def->labels);
	ops_strbuf_addc(out, ',');
	add_pairs(out, "annotations", &def->annotations);
	if (with_alerts) {
		ops_strbuf_printf(out, ",\"alerts\":[%s],", ops_strbuf_text(&alerts));
	} else {
		ops_strbuf_adds(out, ",\"alerts\":null,");
	}
}

static void add_recording(struct ops_strbuf *out, const struct det_rule *r)
{
	const struct ops_rule *def = r->rule;
	add_string(out, "name", def->name);
	ops_strbuf_addc(out, ',');
	add_string(out, "query", def->expr_text);
	ops_strbuf_addc(out, ',');
	if (def->labels.n > 0) {
		add_pairs(out, "labels", &def->labels);
		ops_strbuf_addc(out, ',');
	}
}

static void add_rule(struct ops_strbuf *out, const struct det_rule *r, bool with_alerts)
{
	bool alerting = r->rule->kind == OPS_RULE_ALERTING;
	ops_strbuf_addc(out, '{');
	if (alerting) {
		add_alerting(out, r, with_alerts);
	} else {
		add_recording(out, r);
	}
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

/* ---- GET /api/v1/rules: what is wanted ---- */

#define FILTER_MAX 256u

struct filter {
	bool alerts, records, exclude_alerts;
	struct {
		const char *items[FILTER_MAX];
		size_t n;
	} names, groups, files;
	struct ops_matchers matches[FILTER_MAX]; /* of a rule's own labels */
	size_t nmatches;
	uint64_t group_limit; /* 0: all */
	const char *next_token;
};

static int read_type(struct filter *f, struct ops_http_req *req)
{
	const char *type = ops_http_param(req, "type");
	bool all = type == NULL || *type == '\0';
	f->alerts = all || strcasecmp(type, "alert") == 0;
	f->records = all || strcasecmp(type, "record") == 0;
	if (f->alerts || f->records) {
		return 0;
	}
	return det_api_bad(req, "type", "not supported value \"%.150s\"", type);
}

static int read_exclude(struct filter *f, struct ops_http_req *req)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"", "0", "f", "F", "FALSE", "false", "False"};
	const char *text = ops_http_param(req, "exclude_alerts");
	bool known = text == NULL;
	for (size_t i = 0; !known && i < OPS_LENGTH(yes); i++) {
		known = f->exclude_alerts = strcmp(text, yes[i]) == 0;
	}
	for (size_t i = 0; !known && i < OPS_LENGTH(no); i++) {
		known = strcmp(text, no[i]) == 0;
	}
	if (known) {
		return 0;
	}
	return det_api_bad(req, "exclude_alerts",
		"error converting exclude_alerts: strconv.ParseBool: parsing \"%.150s\": invalid "
		"syntax",
		text);
}

static int read_pages(struct filter *f, struct ops_http_req *req)
{
	const char *limit = ops_http_param(req, "group_limit");
	const char *token = ops_http_param(req, "group_next_token");
	f->next_token = token != NULL && *token != '\0' ? token : NULL;
	if (limit == NULL || *limit == '\0') {
		if (f->next_token == NULL) {
			return 0;
		}
		return det_api_bad(req, "group_next_token",
			"group_limit needs to be present in order to paginate over the groups");
	}
	int64_t n = 0;
	int rc = ops_parse_i64(limit, strlen(limit), &n);
	if (rc != 0 || n > INT32_MAX || n < INT32_MIN) {
		bool digits = limit[strspn(limit, "-0123456789")] == '\0';
		return det_api_bad(req, "group_limit",
			"group_limit needs to be a valid number: strconv.ParseInt: parsing "
			"\"%.150s\": %s",
			limit, digits ? "value out of range" : "invalid syntax");
	}
	if (n <= 0) {
		return det_api_bad(req, "group_limit", "group_limit needs to be greater than 0");
	}
	f->group_limit = (uint64_t)n;
	return 0;
}

static int read_matches(struct filter *f, struct ops_http_req *req)
{
	const char *texts[FILTER_MAX];
	size_t n = OPS_MIN(ops_http_params(req, "match[]", texts, FILTER_MAX), FILTER_MAX);
	struct ops_arena arena;
	int rc = 0;
	ops_arena_init(&arena);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct ops_promql_source src = {texts[i], strlen(texts[i]), NULL};
		struct ops_promql_expr *selector;
		struct ops_error err = {0};
		rc = ops_promql_parse_selector(&arena, &src, &selector, &err);
		rc = rc == 0 ? det_engine_matchers(selector, &f->matches[f->nmatches], &err) : rc;
		f->nmatches += rc == 0;
		if (rc != 0) {
			/* upstream names no parameter */
			rc = det_api_refuse(req, "%d:%d: %s", err.line, err.column, err.message);
		}
	}
	ops_arena_done(&arena);
	return rc;
}

static int read_filter(struct filter *f, struct ops_http_req *req)
{
	f->names.n = OPS_MIN(
		ops_http_params(req, "rule_name[]", f->names.items, FILTER_MAX), FILTER_MAX);
	f->groups.n = OPS_MIN(
		ops_http_params(req, "rule_group[]", f->groups.items, FILTER_MAX), FILTER_MAX);
	f->files.n =
		OPS_MIN(ops_http_params(req, "file[]", f->files.items, FILTER_MAX), FILTER_MAX);
	int rc = read_matches(f, req);
	rc = rc == 0 ? read_type(f, req) : rc;
	rc = rc == 0 ? read_exclude(f, req) : rc;
	return rc == 0 ? read_pages(f, req) : rc;
}

static bool listed(const char *const *items, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(items[i], text) == 0) {
			return true;
		}
	}
	return n == 0;
}

static bool labels_match(const struct filter *f, const struct ops_rule *rule)
{
	if (f->nmatches == 0) {
		return true;
	}
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < rule->labels.n; i++) {
		ops_labels_builder_set(&b, rule->labels.items[i].name, rule->labels.items[i].value);
	}
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	bool match = false;
	for (size_t i = 0; !match && i < f->nmatches; i++) {
		match = ops_matchers_match(&f->matches[i], labels);
	}
	ops_labels_unref(labels);
	return match;
}

static bool rule_wanted(const struct filter *f, const struct ops_rule *rule)
{
	return (rule->kind == OPS_RULE_ALERTING ? f->alerts : f->records) &&
	       listed(f->names.items, f->names.n, rule->name) && labels_match(f, rule);
}

static void group_token(const struct det_rule_group *g, char ret[17])
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_printf(&text, "%s;%s", g->def->file, g->def->name);
	snprintf(ret, 17, "%016llx", (unsigned long long)ops_hash64(text.data, text.len, 0));
}

/* ---- and what is answered ---- */

/* False: no rule of it is wanted. */
static bool add_group(
	struct ops_strbuf *out, const struct det_rule_group *g, const struct filter *f)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf rules = OPS_STRBUF_INIT;
	for (size_t i = 0; i < g->n; i++) {
		if (rule_wanted(f, g->rules[i].rule)) {
			ops_strbuf_adds(&rules, rules.len > 0 ? "," : "");
			add_rule(&rules, &g->rules[i], !f->exclude_alerts);
		}
	}
	if (rules.len == 0) {
		return false;
	}
	ops_strbuf_addc(out, '{');
	add_string(out, "name", g->def->name);
	ops_strbuf_addc(out, ',');
	add_string(out, "file", g->def->file);
	ops_strbuf_adds(out, ",\"rules\":[");
	ops_strbuf_add(out, rules.data, rules.len);
	ops_strbuf_adds(out, "],");
	add_seconds(out, "interval", g->interval_ms);
	ops_strbuf_printf(out, ",\"limit\":%lld,\"evaluationTime\":%.9f,", (long long)g->def->limit,
		(double)g->last_cost_ns / 1e9);
	add_time(out, "lastEvaluation", g->last_eval_ms);
	ops_strbuf_addc(out, '}');
	return true;
}

/* False: the token is none of a group. */
static bool add_groups(
	struct ops_strbuf *out, const struct det_generation *gen, const struct filter *f)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf one = OPS_STRBUF_INIT;
	bool found = f->next_token == NULL;
	uint64_t n = 0;
	char token[17];
	for (size_t i = 0; gen != NULL && i < gen->n; i++) {
		const struct det_rule_group *g = &gen->groups[i];
		group_token(g, token);
		found = found || strcmp(token, f->next_token) == 0;
		if (!found || !listed(f->groups.items, f->groups.n, g->def->name) ||
			!listed(f->files.items, f->files.n, g->def->file)) {
			continue;
		}
		ops_strbuf_reset(&one);
		if (!add_group(&one, g, f)) {
			continue;
		}
		if (f->group_limit > 0 && n == f->group_limit) {
			ops_strbuf_printf(out, "],\"groupNextToken\":\"%s\"}", token);
			return true;
		}
		ops_strbuf_adds(out, n++ > 0 ? "," : "");
		ops_strbuf_add(out, one.data, one.len);
	}
	ops_strbuf_adds(out, "]}");
	return found;
}

static void on_rules(struct ops_http_req *req, void *arg)
{
	const struct det_rules *r = arg;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	struct filter *f = ops_xcalloc(1, sizeof(*f));
	if (read_filter(f, req) == 0) {
		ops_strbuf_adds(&out, "{\"groups\":[");
		if (add_groups(&out, r->gen, f)) {
			det_api_reply_data(req, &out);
		} else {
			(void)det_api_bad(req, "group_next_token",
				"invalid group_next_token '%.150s'. were rule groups changed?",
				f->next_token);
		}
	}
	for (size_t i = 0; i < f->nmatches; i++) {
		ops_matchers_done(&f->matches[i]);
	}
	free(f);
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
	det_api_route(http, OPS_GET, "/api/v1/rules", on_rules, r);
	det_api_route(http, OPS_GET, "/api/v1/rules/dead", on_dead, r);
	det_api_route(http, OPS_GET, "/api/v1/alerts", on_alerts, r);
}
