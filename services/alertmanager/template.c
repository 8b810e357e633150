/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alertmanager's data model as template values, and the functions that need more than the engine:
 * time zones and durations for humans. The map of labels behaves as Go's KV does: it prints and
 * iterates in key order, SortedPairs puts alertname first.
 */
#include "services/alertmanager/template.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/promql/humanize.h"
#include "services/alertmanager/notification.h"
#include "services/alertmanager/template_default.h"
#include "services/alertmanager/tz.h"

#define FN(name)                                                                                   \
	static int name(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,   \
		struct ops_tmpl_value *ret)

/* ---- KV and pairs ---- */

static struct ops_tmpl_value kv_new(struct ops_arena *a);

FN(pairs_names)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	(void)n;
	*ret = ops_tmpl_list(a);
	for (size_t i = 0; i < args[0].u.list->n; i++)
		ops_tmpl_list_add(
			a, ret->u.list, *ops_tmpl_map_get(args[0].u.list->items[i].u.map, "Name"));
	return 0;
}

FN(pairs_values)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	(void)n;
	*ret = ops_tmpl_list(a);
	for (size_t i = 0; i < args[0].u.list->n; i++)
		ops_tmpl_list_add(
			a, ret->u.list, *ops_tmpl_map_get(args[0].u.list->items[i].u.map, "Value"));
	return 0;
}

FN(pairs_string)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)n;
	for (size_t i = 0; i < args[0].u.list->n; i++) {
		const struct ops_tmpl_map *pair = args[0].u.list->items[i].u.map;
		ops_strbuf_adds(&b, i > 0 ? ", " : "");
		ops_tmpl_print(ops_tmpl_map_get(pair, "Name"), &b);
		ops_strbuf_addc(&b, '=');
		ops_tmpl_print(ops_tmpl_map_get(pair, "Value"), &b);
	}
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

static const struct ops_tmpl_func pairs_methods[] = {
	{"Names", pairs_names, 0, 0},
	{"Values", pairs_values, 0, 0},
	{"String", pairs_string, 0, 0},
	{NULL, NULL, 0, 0},
};

/* alertname first, then by name. */
static void add_pairs(struct ops_arena *a, const struct ops_tmpl_map *kv, bool alertname,
	struct ops_tmpl_list *out)
{
	for (size_t i = 0; i < kv->n; i++) {
		if ((strcmp(kv->keys[i], "alertname") == 0) != alertname)
			continue;
		struct ops_tmpl_value pair = ops_tmpl_map(a);
		pair.u.map->strict = true;
		ops_tmpl_map_set(a, pair.u.map, "Name", ops_tmpl_string(kv->keys[i]));
		ops_tmpl_map_set(a, pair.u.map, "Value", kv->values[i]);
		ops_tmpl_list_add(a, out, pair);
	}
}

FN(kv_sorted_pairs)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	(void)n;
	*ret = ops_tmpl_list(a);
	ret->u.list->methods = pairs_methods;
	add_pairs(a, args[0].u.map, true, ret->u.list);
	add_pairs(a, args[0].u.map, false, ret->u.list);
	return 0;
}

FN(kv_names)
{
	struct ops_tmpl_value pairs;
	int rc = kv_sorted_pairs(call, args, n, &pairs);
	return rc == 0 ? pairs_names(call, &pairs, 1, ret) : rc;
}

FN(kv_values)
{
	struct ops_tmpl_value pairs;
	int rc = kv_sorted_pairs(call, args, n, &pairs);
	return rc == 0 ? pairs_values(call, &pairs, 1, ret) : rc;
}

FN(kv_string)
{
	struct ops_tmpl_value pairs;
	int rc = kv_sorted_pairs(call, args, n, &pairs);
	return rc == 0 ? pairs_string(call, &pairs, 1, ret) : rc;
}

static bool in_list(const struct ops_tmpl_list *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->items[i].kind == OPS_TMPL_STRING && strcmp(l->items[i].u.str.s, s) == 0)
			return true;
	}
	return false;
}

FN(kv_remove)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	const struct ops_tmpl_map *kv = args[0].u.map;
	(void)n;
	if (args[1].kind != OPS_TMPL_LIST)
		return ops_tmpl_fail(call, "Remove needs a list of names (stringSlice)");
	*ret = kv_new(a);
	for (size_t i = 0; i < kv->n; i++) {
		if (!in_list(args[1].u.list, kv->keys[i]))
			ops_tmpl_map_set(a, ret->u.map, kv->keys[i], kv->values[i]);
	}
	return 0;
}

static const struct ops_tmpl_func kv_methods[] = {
	{"SortedPairs", kv_sorted_pairs, 0, 0},
	{"Names", kv_names, 0, 0},
	{"Values", kv_values, 0, 0},
	{"Remove", kv_remove, 1, 1},
	{"String", kv_string, 0, 0},
	{NULL, NULL, 0, 0},
};

static struct ops_tmpl_value kv_new(struct ops_arena *a)
{
	struct ops_tmpl_value kv = ops_tmpl_map(a);
	kv.u.map->strings = true;
	kv.u.map->methods = kv_methods;
	return kv;
}

struct ops_tmpl_value alm_template_kv(struct ops_arena *a, const struct ops_labels *ls)
{
	struct ops_tmpl_value kv = kv_new(a);
	for (uint32_t i = 0; ls != NULL && i < ls->n; i++)
		ops_tmpl_map_set(
			a, kv.u.map, ls->items[i].name, ops_tmpl_string(ls->items[i].value));
	return kv;
}

/* ---- alerts ---- */

static int with_status(struct ops_tmpl_call *call, const struct ops_tmpl_value *alerts,
	const char *status, struct ops_tmpl_value *ret)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	*ret = ops_tmpl_list(a);
	for (size_t i = 0; i < alerts->u.list->n; i++) {
		const struct ops_tmpl_value *s =
			ops_tmpl_map_get(alerts->u.list->items[i].u.map, "Status");
		if (s != NULL && s->kind == OPS_TMPL_STRING && strcmp(s->u.str.s, status) == 0)
			ops_tmpl_list_add(a, ret->u.list, alerts->u.list->items[i]);
	}
	return 0;
}

FN(alerts_firing)
{
	(void)n;
	return with_status(call, &args[0], "firing", ret);
}

FN(alerts_resolved)
{
	(void)n;
	return with_status(call, &args[0], "resolved", ret);
}

const struct ops_tmpl_func alm_template_alerts_methods[] = {
	{"Firing", alerts_firing, 0, 0},
	{"Resolved", alerts_resolved, 0, 0},
	{NULL, NULL, 0, 0},
};

static struct ops_tmpl_value time_or_zero(int64_t ms)
{
	return ops_tmpl_time(ms != 0 ? ms : OPS_TMPL_TIME_ZERO);
}

static struct ops_tmpl_value alert_value(
	struct ops_arena *a, const struct alm_alert *alert, int64_t at_ms)
{
	struct ops_tmpl_value v = ops_tmpl_map(a);
	struct ops_tmpl_map *m = v.u.map;
	bool resolved = alm_alert_resolved(alert, at_ms);

	m->strict = true;
	ops_tmpl_map_set(a, m, "Status", ops_tmpl_string(resolved ? "resolved" : "firing"));
	ops_tmpl_map_set(a, m, "Labels", alm_template_kv(a, alert->labels));
	ops_tmpl_map_set(a, m, "Annotations", alm_template_kv(a, alert->annotations));
	ops_tmpl_map_set(a, m, "StartsAt", time_or_zero(alert->starts_at_ms));
	ops_tmpl_map_set(a, m, "EndsAt", time_or_zero(resolved ? alert->ends_at_ms : 0));
	ops_tmpl_map_set(a, m, "GeneratorURL", ops_tmpl_string(alert->generator_url));
	ops_tmpl_map_set(a, m, "Fingerprint", ops_tmpl_string(alert->id));
	return v;
}

struct ops_tmpl_value alm_template_data(struct ops_arena *a, const struct alm_notification *n)
{
	struct ops_tmpl_value v = ops_tmpl_map(a), alerts = ops_tmpl_list(a);
	struct ops_tmpl_map *m = v.u.map;

	for (size_t i = 0; i < n->n; i++)
		ops_tmpl_list_add(a, alerts.u.list, alert_value(a, n->alerts[i], n->at_ms));
	alerts.u.list->methods = alm_template_alerts_methods;
	m->strict = true;
	ops_tmpl_map_set(a, m, "Receiver", ops_tmpl_string(n->receiver->name));
	ops_tmpl_map_set(a, m, "Status",
		ops_tmpl_string(alm_notification_firing(n) ? "firing" : "resolved"));
	ops_tmpl_map_set(a, m, "Alerts", alerts);
	ops_tmpl_map_set(a, m, "GroupLabels", alm_template_kv(a, n->group_labels));
	ops_tmpl_map_set(a, m, "CommonLabels", alm_template_kv(a, n->common_labels));
	ops_tmpl_map_set(a, m, "CommonAnnotations", alm_template_kv(a, n->common_annotations));
	ops_tmpl_map_set(a, m, "ExternalURL", ops_tmpl_string(n->external_url));
	ops_tmpl_map_set(a, m, "NotificationReason", ops_tmpl_string(n->reason));
	struct ops_tmpl_value route_labels = kv_new(a);
	for (size_t i = 0; n->route_labels != NULL && i < n->route_labels->n; i++)
		ops_tmpl_map_set(a, route_labels.u.map, n->route_labels->items[i].name,
			ops_tmpl_string(n->route_labels->items[i].value));
	ops_tmpl_map_set(a, m, "RouteLabels", route_labels);
	return v;
}

/* ---- functions ---- */

FN(fn_tz)
{
	struct alm_tz *tz = NULL;
	const char *zone = NULL;
	(void)n;
	if (args[0].kind != OPS_TMPL_STRING || args[1].kind != OPS_TMPL_TIME)
		return ops_tmpl_fail(call, "tz needs a zone and a time");
	if (alm_tz_load(args[0].u.str.s, &tz) != 0)
		return ops_tmpl_fail(call, "unknown time zone %.64s", args[0].u.str.s);
	*ret = args[1];
	ret->u.time.offset_s = alm_tz_offset(tz, args[1].u.time.ms, &zone);
	strncpy(ret->u.time.zone, zone, sizeof ret->u.time.zone - 1);
	ret->u.time.zone[sizeof ret->u.time.zone - 1] = '\0';
	alm_tz_free(tz);
	return 0;
}

FN(fn_since)
{
	(void)n;
	if (args[0].kind != OPS_TMPL_TIME)
		return ops_tmpl_fail(call, "since needs a time");
	*ret = ops_tmpl_float((double)(ops_now_ms() - args[0].u.time.ms) / 1000);
	return 0;
}

FN(fn_humanize_duration)
{
	char buf[OPS_HUMANIZE_MAX];
	double seconds = 0;
	(void)n;
	if (ops_tmpl_number(&args[0], &seconds) != 0)
		return ops_tmpl_fail(call, "humanizeDuration needs a number of seconds");
	ops_humanize_duration(seconds, buf);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), buf, strlen(buf));
	return 0;
}

/* A label of the route, which is a template itself and may use others; what goes in a circle is
 * refused. */
FN(fn_route_labels)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct alm_expander *x = ops_tmpl_user(call);
	const struct ops_tmpl_value *labels, *text = NULL;
	struct ops_error err = {0};
	(void)n;

	if (args[0].kind != OPS_TMPL_STRING || x == NULL || x->data.kind != OPS_TMPL_MAP)
		return ops_tmpl_fail(call, "routeLabels needs the name of a label");
	labels = ops_tmpl_map_get(x->data.u.map, "RouteLabels");
	if (labels != NULL && labels->kind == OPS_TMPL_MAP)
		text = ops_tmpl_map_get(labels->u.map, args[0].u.str.s);
	*ret = ops_tmpl_string("");
	if (text == NULL)
		return 0;
	for (size_t i = 0; i < x->depth; i++) {
		if (strcmp(x->route_labels[i], args[0].u.str.s) == 0)
			return ops_tmpl_fail(
				call, "route label %s refers to itself", args[0].u.str.s);
	}
	if (x->depth == ALM_ROUTE_LABELS_DEPTH)
		return ops_tmpl_fail(call, "route labels refer to each other too deeply");
	x->route_labels[x->depth++] = args[0].u.str.s;
	const struct ops_tmpl_env env = {.arena = ops_tmpl_arena(call), .dot = x->data, .user = x};
	int rc = ops_tmpl_expand(x->set, "route label", text->u.str.s, &env, &b, &err);
	x->depth--;
	if (rc != 0)
		return ops_tmpl_fail(call, "%s", err.message);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

static const struct ops_tmpl_func functions[] = {
	{"routeLabels", fn_route_labels, 1, 1},
	{"tz", fn_tz, 2, 2},
	{"since", fn_since, 1, 1},
	{"humanizeDuration", fn_humanize_duration, 1, 1},
	{NULL, NULL, 0, 0},
};

struct ops_tmpl_set *alm_template_set_new(void)
{
	static const struct ops_tmpl_config cfg = {.funcs = functions};
	struct ops_tmpl_set *set = ops_tmpl_set_new(&cfg);
	struct ops_error err;

	for (const char *const *text = alm_template_default; *text != NULL; text++) {
		int rc = ops_tmpl_set_add(set, "default", *text, strlen(*text), &err);
		ops_assert(rc == 0);
	}
	return set;
}

/* ---- expander ---- */

void alm_expander_init(struct alm_expander *x, struct ops_arena *a, struct ops_tmpl_set *set,
	const struct alm_notification *n)
{
	*x = (struct alm_expander){.arena = a, .set = set, .data = alm_template_data(a, n)};
}

static const char *expand(struct alm_expander *x, const char *text, bool html)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	const struct ops_tmpl_env env = {
		.arena = x->arena, .dot = x->data, .user = x, .html = html};

	if (text == NULL || text[0] == '\0' || x->failed)
		return "";
	if (ops_tmpl_expand(x->set, "notification", text, &env, &b, &x->err) != 0) {
		x->failed = true;
		return "";
	}
	return ops_arena_strndup(x->arena, ops_strbuf_text(&b), b.len);
}

const char *alm_expand(struct alm_expander *x, const char *text)
{
	return expand(x, text, false);
}

const char *alm_expand_html(struct alm_expander *x, const char *text)
{
	return expand(x, text, true);
}
