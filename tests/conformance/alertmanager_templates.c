/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of notification templates: JSON data becomes the values that Go would have handed over. */
#include "tests/conformance/conformance.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/alertmanager/alert.h"
#include "services/alertmanager/template.h"

static struct ops_tmpl_value value_of(struct ops_arena *a, const json_t *j);

static struct ops_tmpl_value object_of(struct ops_arena *a, const json_t *j)
{
	const json_t *time = json_object_get(j, "$time");
	struct ops_tmpl_value v = ops_tmpl_map(a);
	const char *key;
	json_t *member;
	int64_t ms = 0;

	if (json_is_string(time) &&
		ops_time_parse(json_string_value(time), json_string_length(time), &ms) == 0)
		return ops_tmpl_time(ms);
	json_object_foreach((json_t *)(uintptr_t)j, key, member)
		ops_tmpl_map_set(a, v.u.map, ops_arena_strdup(a, key), value_of(a, member));
	return v;
}

static struct ops_tmpl_value value_of(struct ops_arena *a, const json_t *j)
{
	struct ops_tmpl_value v;

	if (json_is_string(j))
		return ops_tmpl_stringn(a, json_string_value(j), json_string_length(j));
	if (json_is_integer(j))
		return ops_tmpl_int(json_integer_value(j));
	if (json_is_real(j))
		return ops_tmpl_float(json_real_value(j));
	if (json_is_boolean(j))
		return ops_tmpl_bool(json_is_true(j));
	if (json_is_object(j))
		return object_of(a, j);
	if (!json_is_array(j))
		return ops_tmpl_nil();
	v = ops_tmpl_list(a);
	for (size_t i = 0; i < json_array_size(j); i++)
		ops_tmpl_list_add(a, v.u.list, value_of(a, json_array_get(j, i)));
	return v;
}

/* A map that Go's literal leaves out is nil. */
static struct ops_tmpl_value kv_of(struct ops_arena *a, const json_t *j)
{
	struct ops_labels *ls = NULL;
	struct ops_tmpl_value v;

	if (j == NULL || alm_labels_from_json(j, &ls, NULL) != 0) {
		v = alm_template_kv(a, NULL);
		v.u.map->is_nil = true;
		return v;
	}
	v = alm_template_kv(a, ls);
	for (size_t i = 0; i < v.u.map->n; i++) { /* the labels do not outlive this function */
		v.u.map->keys[i] = ops_arena_strdup(a, v.u.map->keys[i]);
		v.u.map->values[i] = ops_tmpl_stringn(
			a, v.u.map->values[i].u.str.s, v.u.map->values[i].u.str.len);
	}
	ops_labels_unref(ls);
	return v;
}

static struct ops_tmpl_value alert_of(struct ops_arena *a, const json_t *j)
{
	struct ops_tmpl_value v = ops_tmpl_map(a);
	const char *status = json_string_value(json_object_get(j, "Status"));

	v.u.map->strict = true;
	ops_tmpl_map_set(a, v.u.map, "Status", ops_tmpl_string(status));
	ops_tmpl_map_set(a, v.u.map, "Labels", kv_of(a, json_object_get(j, "Labels")));
	ops_tmpl_map_set(a, v.u.map, "Annotations", kv_of(a, json_object_get(j, "Annotations")));
	ops_tmpl_map_set(a, v.u.map, "StartsAt", ops_tmpl_time(OPS_TMPL_TIME_ZERO));
	ops_tmpl_map_set(a, v.u.map, "EndsAt", ops_tmpl_time(OPS_TMPL_TIME_ZERO));
	ops_tmpl_map_set(a, v.u.map, "GeneratorURL", ops_tmpl_string(""));
	ops_tmpl_map_set(a, v.u.map, "Fingerprint", ops_tmpl_string(""));
	return v;
}

static struct ops_tmpl_value data_of(struct ops_arena *a, const json_t *j)
{
	static const char *const maps[] = {
		"GroupLabels", "CommonLabels", "CommonAnnotations", "RouteLabels"};
	static const char *const texts[] = {"Receiver", "Status", "ExternalURL"};
	struct ops_tmpl_value v = ops_tmpl_map(a), alerts = ops_tmpl_list(a);
	const json_t *list = json_object_get(j, "Alerts");

	v.u.map->strict = true;
	for (size_t i = 0; i < OPS_LENGTH(texts); i++)
		ops_tmpl_map_set(a, v.u.map, texts[i],
			ops_tmpl_string(json_string_value(json_object_get(j, texts[i]))));
	for (size_t i = 0; i < OPS_LENGTH(maps); i++)
		ops_tmpl_map_set(a, v.u.map, maps[i], kv_of(a, json_object_get(j, maps[i])));
	for (size_t i = 0; i < json_array_size(list); i++)
		ops_tmpl_list_add(a, alerts.u.list, alert_of(a, json_array_get(list, i)));
	alerts.u.list->methods = alm_template_alerts_methods;
	ops_tmpl_map_set(a, v.u.map, "Alerts", alerts);
	return v;
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	const json_t *data = json_object_get(c, "data"), *error = json_object_get(c, "error");
	struct ops_tmpl_set *set = alm_template_set_new();
	struct ops_arena a;
	(void)file;

	ops_arena_init(&a);
	struct alm_expander x = {.arena = &a, .set = set};
	bool typed = ops_str_eq(json_string_value(json_object_get(c, "data_go_type")), "Data");
	x.data = typed ? data_of(&a, data) : value_of(&a, data);
	if (!conformance_text(c, "template", &text)) {
		conformance_fail(run, c, "unknown form", "");
	} else {
		bool html = json_is_true(json_object_get(c, "html"));
		const char *got = html ? alm_expand_html(&x, ops_strbuf_text(&text))
				       : alm_expand(&x, ops_strbuf_text(&text));
		const char *wanted = json_string_value(json_object_get(c, "output"));
		if (error != NULL)
			conformance_equal(run, c, x.failed ? "refused" : got, "refused");
		else
			conformance_equal(run, c, x.failed ? x.err.message : got, wanted);
	}
	ops_arena_done(&a);
	ops_tmpl_set_free(set);
}

const struct conformance_kind conformance_am_templates = {
	.name = "am_templates", .run_case = run_case};
