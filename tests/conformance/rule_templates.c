/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of rules: the function set of the detector over a store that holds what every query of
 * the case is to return.
 */
#include "tests/conformance/conformance.h"

#include <string.h>

#include "common/base/strbuf.h"
#include "services/detector/rules/internal.h"

#define NOW_MS 1353755652000LL /* of the case with "now" */

static struct ops_tmpl_value value_of(struct ops_arena *a, const json_t *v)
{
	double number;
	if (json_is_array(v)) {
		struct ops_tmpl_value list = ops_tmpl_list(a);
		for (size_t i = 0; i < json_array_size(v); i++) {
			ops_tmpl_list_add(a, list.u.list, value_of(a, json_array_get(v, i)));
		}
		return list;
	}
	if (json_is_string(v)) {
		return ops_tmpl_string(json_string_value(v));
	}
	return v != NULL && conformance_number(v, &number) ? ops_tmpl_float(number)
							   : ops_tmpl_map(a);
}

static void store_result(struct det_store *store, const json_t *result)
{
	size_t i;
	const json_t *sample;
	json_array_foreach(result, i, sample)
	{
		struct ops_labels_builder b;
		const char *name;
		json_t *value;
		double v = 0;
		ops_labels_builder_init(&b);
		json_object_foreach(json_object_get(sample, "labels"), name, value)
		{
			ops_labels_builder_set(&b, name, json_string_value(value));
		}
		struct ops_labels *labels = ops_labels_builder_build(&b);
		ops_labels_builder_done(&b);
		bool stored = conformance_number(json_object_get(sample, "value"), &v) &&
			      det_store_append(store, labels, NOW_MS, v) == 0;
		ops_assert(stored);
		ops_labels_unref(labels);
	}
}

static void expand(struct conformance_run *run, const json_t *c, struct det_expand_context *context)
{
	struct ops_arena arena;
	struct ops_error err = {.line = 0};
	struct ops_strbuf text = OPS_STRBUF_INIT, got = OPS_STRBUF_INIT;
	struct ops_tmpl_set *set = det_expand_set();
	struct ops_tmpl_value vars[8];
	ops_arena_init(&arena);
	for (size_t i = 0; i < OPS_LENGTH(vars); i++) {
		vars[i] = ops_tmpl_nil();
	}
	const struct ops_tmpl_env env = {.arena = &arena,
		.dot = value_of(&arena, json_object_get(c, "input")),
		.vars = vars,
		.user = context,
		.html = json_is_true(json_object_get(c, "html"))};
	if (env.dot.kind == OPS_TMPL_MAP) {
		/* the option missingkey=error */
		env.dot.u.map->strict = json_array_size(json_object_get(c, "options")) > 0;
	}
	conformance_text(c, "template", &text);
	int rc = ops_tmpl_expand(set, "test", ops_strbuf_text(&text), &env, &got, &err);
	const char *output = json_string_value(json_object_get(c, "output"));
	if (output == NULL) {
		conformance_equal(run, c, rc != 0 ? "error" : ops_strbuf_text(&got), "error");
	} else {
		conformance_equal(run, c, rc == 0 ? ops_strbuf_text(&got) : err.message, output);
	}
	ops_tmpl_set_free(set);
	ops_strbuf_done(&text);
	ops_strbuf_done(&got);
	ops_arena_done(&arena);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	static char external_url[] = "http://testhost:9090/path/prefix";
	const struct det_store_options options = {.retention_ms = 3600000};
	const struct det_engine_options engine = {.lookback_ms = 0};
	struct det_rules rules = {.cfg = {.store = det_store_new(&options), .engine = &engine}};
	struct det_generation generation = {.external_url = external_url};
	struct det_expand_context context = {.owner = &rules, .gen = &generation, .now_ms = NOW_MS};
	det_store_maintain(rules.cfg.store, NOW_MS);
	store_result(rules.cfg.store, json_object_get(c, "query_result"));
	expand(run, c, &context);
	det_store_free(rules.cfg.store);
}

const struct conformance_kind conformance_templates = {
	.name = "templates", .run_case = run_case, .json_flags = JSON_DECODE_INT_AS_REAL};
