/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of relabelling: lists applied to a label set, and which rules are legal. */
#include "tests/conformance/conformance.h"

#include <string.h>

#include "common/base/strbuf.h"
#include "common/relabel/relabel.h"

/* Rules as JSON, read as the YAML that it also is. */
static int load(struct ops_arena *a, const json_t *rules, bool legacy, struct ops_relabel *ret,
	struct ops_error *err)
{
	char *text = json_dumps(rules, 0);
	struct ops_conf_node *node = NULL;
	int r = ops_conf_load_text(a, "rules", text, strlen(text), NULL, &node, err);
	free(text);
	return r != 0 ? r : ops_relabel_load(a, node, legacy, ret, err);
}

static struct ops_labels *labels_of(const json_t *object)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	const char *key;
	const json_t *value;
	json_t *copy = json_deep_copy(object);
	json_object_foreach(copy, key, value)
	{
		ops_labels_builder_set(&b, key, json_string_value(value));
	}
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	json_decref(copy);
	return ls;
}

static void run_apply(struct conformance_run *run, const json_t *c)
{
	struct ops_arena a;
	struct ops_relabel rules;
	struct ops_error err;
	struct ops_strbuf got = OPS_STRBUF_INIT, wanted = OPS_STRBUF_INIT;
	ops_arena_init(&a);
	if (load(&a, json_object_get(c, "relabel_configs"), false, &rules, &err) != 0) {
		ops_strbuf_adds(&got, err.message);
	} else {
		struct ops_labels *input = labels_of(json_object_get(c, "input"));
		struct ops_labels_builder b;
		ops_labels_builder_from(&b, input);
		bool keep = ops_relabel_apply(&rules, &b);
		struct ops_labels *output = ops_labels_builder_build(&b);
		ops_labels_builder_done(&b);
		if (keep) {
			ops_labels_json(output, &got);
		} else {
			ops_strbuf_adds(&got, "dropped");
		}
		ops_labels_unref(input);
		ops_labels_unref(output);
		ops_relabel_done(&rules);
	}
	if (json_is_true(json_object_get(c, "dropped"))) {
		ops_strbuf_adds(&wanted, "dropped");
	} else {
		struct ops_labels *output = labels_of(json_object_get(c, "output"));
		ops_labels_json(output, &wanted);
		ops_labels_unref(output);
	}
	conformance_equal(run, c, ops_strbuf_text(&got), ops_strbuf_text(&wanted));
	ops_strbuf_done(&got);
	ops_strbuf_done(&wanted);
	ops_arena_done(&a);
}

static void run_validate(struct conformance_run *run, const json_t *c)
{
	struct ops_arena a;
	struct ops_relabel rules;
	struct ops_error err;
	json_t *config = json_deep_copy(json_object_get(c, "config"));
	const char *scheme = json_string_value(json_object_get(config, "name_validation_scheme"));
	bool legacy = scheme != NULL && strcmp(scheme, "legacy") == 0;
	json_object_del(config, "name_validation_scheme"); /* a key of the job, in a file */
	json_t *list = json_array();
	json_array_append_new(list, config);
	ops_arena_init(&a);
	bool ok = load(&a, list, legacy, &rules, &err) == 0;
	conformance_equal(run, c, ok ? "legal" : "refused",
		json_is_true(json_object_get(c, "ok")) ? "legal" : "refused");
	if (ok) {
		ops_relabel_done(&rules);
	}
	ops_arena_done(&a);
	json_decref(list);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	const char *target = json_string_value(json_object_get(c, "target_label"));
	if (json_object_get(c, "relabel_configs") != NULL) {
		run_apply(run, c);
	} else if (json_object_get(c, "config") != NULL) {
		run_validate(run, c);
	} else if (target != NULL) {
		bool wanted = json_is_true(json_object_get(c, "valid_legacy"));
		conformance_equal(run, c, ops_relabel_target_legacy(target) ? "valid" : "invalid",
			wanted ? "valid" : "invalid");
	} else {
		conformance_fail(run, c, "unknown form", "");
	}
}

const struct conformance_kind conformance_relabel = {.name = "relabel", .run_case = run_case};
