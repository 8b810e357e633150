/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label and annotation templates of rules: the engine of common/tmpl with Prometheus' functions and
 * variables ($labels, $value, $externalLabels, $externalURL). A mistake at run time shows in the
 * text and is counted; a mistake that parsing can see refuses the rule when it is loaded.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "common/promql/humanize.h"

static struct ops_metric template_errors = OPS_COUNTER(
	"ops_detector_template_errors_total", "Label and annotation templates that failed.");

/* ---- values ---- */

static struct ops_tmpl_value labels_value(
	struct ops_arena *a, const struct ops_label *labels, size_t n)
{
	struct ops_tmpl_value v = ops_tmpl_map(a);
	v.u.map->strings = true;
	for (size_t i = 0; i < n; i++) {
		ops_tmpl_map_set(a, v.u.map, labels[i].name, ops_tmpl_string(labels[i].value));
	}
	return v;
}

/* A histogram is its text. */
static struct ops_tmpl_value point_value(struct ops_arena *a, const struct det_result_series *s)
{
	if (s->npoints == 0 || s->points[0].h == NULL) {
		return ops_tmpl_float(s->npoints > 0 ? s->points[0].v : NAN);
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_histogram_print(s->points[0].h, &text);
	struct ops_tmpl_value v = ops_tmpl_stringn(a, ops_strbuf_text(&text), text.len);
	ops_strbuf_done(&text);
	return v;
}

static struct ops_tmpl_value sample_value(struct ops_arena *a, const struct det_result_series *s)
{
	struct ops_tmpl_value v = ops_tmpl_map(a);
	v.u.map->strict = true;
	ops_tmpl_map_set(a, v.u.map, "Labels", labels_value(a, s->labels, s->nlabels));
	ops_tmpl_map_set(a, v.u.map, "Value", point_value(a, s));
	return v;
}

static const struct ops_tmpl_value *member(const struct ops_tmpl_value *v, const char *name)
{
	return v->kind == OPS_TMPL_MAP ? ops_tmpl_map_get(v->u.map, name) : NULL;
}

/* ---- functions over query results ---- */

static int fn_query(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	const struct det_expand_context *c = ops_tmpl_user(call);
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *text = ops_tmpl_text(a, &args[0], &len);
	struct det_result result;
	struct ops_error err;
	if (det_engine_instant(c->owner->cfg.store, text, c->now_ms, a, &result, &err) != 0) {
		return ops_tmpl_fail(call, "query: %s", err.message);
	}
	*ret = ops_tmpl_list(a);
	for (size_t i = 0; i < result.n; i++) {
		ops_tmpl_list_add(a, ret->u.list, sample_value(a, &result.series[i]));
	}
	return 0;
}

static int fn_first(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	if (args[0].kind != OPS_TMPL_LIST || args[0].u.list->n == 0) {
		return ops_tmpl_fail(call, "first() called on vector with no elements");
	}
	*ret = args[0].u.list->items[0];
	return 0;
}

static int fn_value(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	const struct ops_tmpl_value *v = member(&args[0], "Value");
	if (v == NULL) {
		return ops_tmpl_fail(call, "value: not a sample");
	}
	*ret = *v;
	return 0;
}

static int label_of(
	const struct ops_tmpl_value *sample, const char *name, struct ops_tmpl_value *ret)
{
	const struct ops_tmpl_value *labels = member(sample, "Labels");
	if (labels == NULL) {
		return -EINVAL;
	}
	const struct ops_tmpl_value *v = member(labels, name);
	*ret = v != NULL ? *v : ops_tmpl_string("");
	return 0;
}

static int fn_label(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	size_t len;
	const char *name = ops_tmpl_text(ops_tmpl_arena(call), &args[0], &len);
	return label_of(&args[1], name, ret) == 0 ? 0 : ops_tmpl_fail(call, "label: not a sample");
}

static int fn_strvalue(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	return label_of(&args[0], "__value__", ret) == 0
		       ? 0
		       : ops_tmpl_fail(call, "strvalue: not a sample");
}

static const char *sort_key(const struct ops_tmpl_value *sample, const char *name)
{
	struct ops_tmpl_value v = ops_tmpl_nil();
	return label_of(sample, name, &v) == 0 && v.kind == OPS_TMPL_STRING ? v.u.str.s : "";
}

static int fn_sort_by_label(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *name = ops_tmpl_text(a, &args[0], &len);
	if (args[1].kind != OPS_TMPL_LIST) {
		return ops_tmpl_fail(call, "sortByLabel: not a query result");
	}
	*ret = ops_tmpl_list(a);
	/* Insertion keeps equal ones in order; results in annotations are short. */
	for (size_t i = 0; i < args[1].u.list->n; i++) {
		struct ops_tmpl_value item = args[1].u.list->items[i];
		ops_tmpl_list_add(a, ret->u.list, item);
		size_t k = ret->u.list->n - 1;
		while (k > 0 && strcmp(sort_key(&ret->u.list->items[k - 1], name),
					sort_key(&item, name)) > 0) {
			ret->u.list->items[k] = ret->u.list->items[k - 1];
			k--;
		}
		ret->u.list->items[k] = item;
	}
	return 0;
}

static int fn_args(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	*ret = ops_tmpl_map(a);
	for (size_t i = 0; i < n; i++) {
		ops_tmpl_map_set(a, ret->u.map, ops_arena_printf(a, "arg%zu", i), args[i]);
	}
	return 0;
}

static int fn_tmpl(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *name = ops_tmpl_text(a, &args[0], &len);
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int rc = ops_tmpl_call_named(call, name, &args[1], &text);
	if (rc == 0) {
		*ret = ops_tmpl_stringn(a, ops_strbuf_text(&text), text.len);
		ret->safe = true;
	}
	ops_strbuf_done(&text);
	return rc;
}

/* ---- numbers for people ---- */

static int humanize_with(struct ops_tmpl_call *call, const struct ops_tmpl_value *arg,
	char *(*fn)(double, char *), struct ops_tmpl_value *ret)
{
	double v;
	char buf[OPS_HUMANIZE_MAX];
	if (ops_tmpl_number(arg, &v) != 0) {
		return ops_tmpl_fail(call, "not a number");
	}
	fn(v, buf);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), buf, strlen(buf));
	return 0;
}

#define HUMANIZE(name, with)                                                                       \
	static int name(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,   \
		struct ops_tmpl_value *ret)                                                        \
	{                                                                                          \
		(void)n;                                                                           \
		return humanize_with(call, &args[0], with, ret);                                   \
	}
HUMANIZE(fn_humanize, ops_humanize)
HUMANIZE(fn_humanize_1024, ops_humanize_1024)
HUMANIZE(fn_humanize_duration, ops_humanize_duration)
HUMANIZE(fn_humanize_percentage, ops_humanize_percentage)

static int fn_humanize_timestamp(struct ops_tmpl_call *call, const struct ops_tmpl_value *args,
	size_t n, struct ops_tmpl_value *ret)
{
	(void)n;
	double v;
	char buf[OPS_HUMANIZE_MAX];
	if (ops_tmpl_number(&args[0], &v) != 0 || ops_humanize_timestamp(v, buf) != 0) {
		return ops_tmpl_fail(call, "not a timestamp");
	}
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), buf, strlen(buf));
	return 0;
}

static int fn_to_time(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	double v;
	if (ops_tmpl_number(&args[0], &v) != 0 || !(fabs(v) < 9e12)) {
		return ops_tmpl_fail(call, "not a timestamp");
	}
	*ret = ops_tmpl_time((int64_t)llround(v * 1000));
	return 0;
}

static int fn_parse_duration(struct ops_tmpl_call *call, const struct ops_tmpl_value *args,
	size_t n, struct ops_tmpl_value *ret)
{
	(void)n;
	size_t len;
	int64_t ms;
	const char *text = ops_tmpl_text(ops_tmpl_arena(call), &args[0], &len);
	size_t sign = text[0] == '-' ? 1 : 0;
	if (ops_duration_parse(text + sign, len - sign, &ms) != 0) {
		return ops_tmpl_fail(call, "'%s' is not a duration", text);
	}
	*ret = ops_tmpl_float((double)(sign != 0 ? -ms : ms) / 1000);
	return 0;
}

/* A struct with what people ask of Go's: its text and the whole of it in a unit. */
static int fn_to_duration(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	double v;
	char buf[OPS_HUMANIZE_MAX];
	if (ops_tmpl_number(&args[0], &v) != 0 || ops_duration_text(v, buf) != 0) {
		return ops_tmpl_fail(call, "not a duration");
	}
	*ret = ops_tmpl_map(a);
	ret->u.map->strict = true;
	ops_tmpl_map_set(a, ret->u.map, "String", ops_tmpl_stringn(a, buf, strlen(buf)));
	ops_tmpl_map_set(a, ret->u.map, "Milliseconds", ops_tmpl_int((int64_t)(v * 1000)));
	ops_tmpl_map_set(a, ret->u.map, "Seconds", ops_tmpl_float(v));
	ops_tmpl_map_set(a, ret->u.map, "Minutes", ops_tmpl_float(v / 60));
	ops_tmpl_map_set(a, ret->u.map, "Hours", ops_tmpl_float(v / 3600));
	return 0;
}

static int fn_now(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)args;
	(void)n;
	const struct det_expand_context *c = ops_tmpl_user(call);
	*ret = ops_tmpl_float((double)c->now_ms / 1000);
	return 0;
}

/* ---- hosts and links ---- */

static int fn_strip_port(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *host = ops_tmpl_text(a, &args[0], &len);
	const char *bracket = strchr(host, ']');
	const char *colon = strrchr(bracket != NULL ? bracket : host, ':');
	bool several =
		bracket == NULL && colon != NULL && strchr(host, ':') != colon; /* bare IPv6 */
	if (colon == NULL || several) {
		*ret = args[0];
	} else if (host[0] == '[' && bracket != NULL) {
		*ret = ops_tmpl_stringn(a, host + 1, (size_t)(bracket - host - 1));
	} else {
		*ret = ops_tmpl_stringn(a, host, (size_t)(colon - host));
	}
	return 0;
}

static int fn_strip_domain(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *host = ops_tmpl_text(a, &args[0], &len);
	const char *colon = strrchr(host, ':');
	const char *dot = strchr(host, '.');
	bool address = host[0] == '[' || strspn(host, "0123456789.:") == len;
	if (dot == NULL || address) {
		*ret = args[0];
		return 0;
	}
	const char *port = colon != NULL && colon > dot ? colon : "";
	const char *text = ops_arena_printf(a, "%.*s%s", (int)(dot - host), host, port);
	*ret = ops_tmpl_string(text);
	return 0;
}

/* As a form does it: a blank is a plus. */
static const char *query_escape(struct ops_arena *a, const char *s)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (const char *part = s;; part++) {
		size_t len = strcspn(part, " ");
		ops_strbuf_add_url(&out, part, len);
		part += len;
		if (*part == '\0') {
			break;
		}
		ops_strbuf_addc(&out, '+');
	}
	const char *text = ops_arena_strdup(a, ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return text;
}

static int link_to(struct ops_tmpl_call *call, const struct ops_tmpl_value *arg, int tab,
	struct ops_tmpl_value *ret)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	const char *expr = ops_tmpl_text(a, arg, &len);
	*ret = ops_tmpl_string(
		ops_arena_printf(a, "/graph?g0.expr=%s&g0.tab=%d", query_escape(a, expr), tab));
	return 0;
}

static int fn_graph_link(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	return link_to(call, &args[0], 0, ret);
}

static int fn_table_link(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	return link_to(call, &args[0], 1, ret);
}

static int fn_url_query_escape(struct ops_tmpl_call *call, const struct ops_tmpl_value *args,
	size_t n, struct ops_tmpl_value *ret)
{
	(void)n;
	struct ops_arena *a = ops_tmpl_arena(call);
	size_t len;
	*ret = ops_tmpl_string(query_escape(a, ops_tmpl_text(a, &args[0], &len)));
	return 0;
}

static int fn_external_url(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)args;
	(void)n;
	const struct det_expand_context *c = ops_tmpl_user(call);
	*ret = ops_tmpl_string(c->gen->external_url);
	return 0;
}

/* The path part of the external URL: what stands behind the host. */
static int fn_path_prefix(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)args;
	(void)n;
	const struct det_expand_context *c = ops_tmpl_user(call);
	const char *host = strstr(c->gen->external_url, "://");
	const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
	*ret = ops_tmpl_string(path != NULL ? path : "");
	return 0;
}

static const struct ops_tmpl_func own_funcs[] = {
	{"query", fn_query, 1, 1},
	{"first", fn_first, 1, 1},
	{"value", fn_value, 1, 1},
	{"label", fn_label, 2, 2},
	{"strvalue", fn_strvalue, 1, 1},
	{"sortByLabel", fn_sort_by_label, 2, 2},
	{"args", fn_args, 0, -1},
	{"tmpl", fn_tmpl, 2, 2},
	{"humanize", fn_humanize, 1, 1},
	{"humanize1024", fn_humanize_1024, 1, 1},
	{"humanizeDuration", fn_humanize_duration, 1, 1},
	{"humanizePercentage", fn_humanize_percentage, 1, 1},
	{"humanizeTimestamp", fn_humanize_timestamp, 1, 1},
	{"toTime", fn_to_time, 1, 1},
	{"toDuration", fn_to_duration, 1, 1},
	{"parseDuration", fn_parse_duration, 1, 1},
	{"now", fn_now, 0, 0},
	{"stripPort", fn_strip_port, 1, 1},
	{"stripDomain", fn_strip_domain, 1, 1},
	{"graphLink", fn_graph_link, 1, 1},
	{"tableLink", fn_table_link, 1, 1},
	{"urlQueryEscape", fn_url_query_escape, 1, 1},
	{"externalURL", fn_external_url, 0, 0},
	{"pathPrefix", fn_path_prefix, 0, 0},
	{NULL, NULL, 0, 0},
};

/* ---- templates ---- */

enum {
	VAR_LABELS,
	VAR_EXTERNAL_LABELS,
	VAR_EXTERNAL_URL,
	VAR_VALUE,
	VARS
};
static const char *const var_names[VARS + 1] = {
	"labels", "externalLabels", "externalURL", "value", NULL};

/* Own functions in front of the shared ones; built once. */
static const struct ops_tmpl_func *all_funcs(void)
{
	static struct ops_tmpl_func *all;
	if (all == NULL) {
		size_t shared = 0;
		while (ops_tmpl_common_funcs[shared].name != NULL) {
			shared++;
		}
		const size_t own = OPS_LENGTH(own_funcs) - 1;
		all = ops_xcalloc(own + shared + 1, sizeof(*all));
		memcpy(all, own_funcs, own * sizeof(*all));
		memcpy(all + own, ops_tmpl_common_funcs, shared * sizeof(*all));
	}
	return all;
}

struct ops_tmpl_set *det_expand_set(void)
{
	const struct ops_tmpl_config cfg = {all_funcs(), var_names};
	return ops_tmpl_set_new(&cfg);
}

static void fill_vars(
	struct ops_arena *a, const struct det_expand_context *c, struct ops_tmpl_value *vars)
{
	const struct ops_labels *external = c->gen->external_labels;
	vars[VAR_LABELS] = labels_value(a, c->series->labels, c->series->nlabels);
	vars[VAR_EXTERNAL_LABELS] = labels_value(a, external->items, external->n);
	vars[VAR_EXTERNAL_URL] = ops_tmpl_string(c->gen->external_url);
	vars[VAR_VALUE] = point_value(a, c->series);
}

int det_expand(const struct det_expand_context *c, const struct ops_rule *rule,
	const struct ops_rule_pair *pair, struct ops_strbuf *out)
{
	if (strstr(pair->value, "{{") == NULL) {
		ops_strbuf_adds(out, pair->value);
		return 0;
	}
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_tmpl_value vars[VARS];
	fill_vars(&arena, c, vars);
	struct ops_tmpl_value dot = ops_tmpl_map(&arena);
	static const char *const fields[VARS] = {
		"Labels", "ExternalLabels", "ExternalURL", "Value"};
	for (size_t i = 0; i < VARS; i++) {
		ops_tmpl_map_set(&arena, dot.u.map, fields[i], vars[i]);
	}
	dot.u.map->strict = true;
	const struct ops_tmpl_env env = {
		.arena = &arena, .dot = dot, .vars = vars, .user = (void *)(uintptr_t)c};
	struct ops_error err;
	int rc = ops_tmpl_expand(c->gen->templates, rule->name, pair->value, &env, out, &err);
	if (rc != 0) {
		ops_metric_add(&template_errors, 1);
		ops_strbuf_reset(out);
		ops_strbuf_printf(out, "<error expanding template: %s>", err.message);
	}
	ops_arena_done(&arena);
	return rc;
}

static int check_pairs(struct ops_tmpl_set *set, const struct ops_rule *rule,
	const struct ops_rule_pairs *pairs, struct ops_error *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const struct ops_rule_pair *p = &pairs->items[i];
		struct ops_tmpl *t = NULL;
		struct ops_error inner;
		int rc = ops_tmpl_parse(set, p->name, p->value, strlen(p->value), &t, &inner);
		ops_tmpl_free(t);
		if (rc != 0) {
			return ops_error_set_at(err, rc, rule->file, p->line, p->column,
				"rule '%s', template of '%s': %s", rule->name, p->name,
				inner.message);
		}
	}
	return 0;
}

int det_expand_check(struct ops_tmpl_set *set, const struct ops_rule *rule, struct ops_error *err)
{
	/* Templates are an alerting rule's; a recording rule's labels are plain text. */
	if (rule->kind != OPS_RULE_ALERTING) {
		return 0;
	}
	int rc = check_pairs(set, rule, &rule->labels, err);
	return rc != 0 ? rc : check_pairs(set, rule, &rule->annotations, err);
}
