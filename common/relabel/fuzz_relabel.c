/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of rules in YAML, applied to a fixed label set: whatever loads must run, and what comes
 * out must be a label set.
 */
#include <stdint.h>
#include <string.h>

#include "common/base/text.h"
#include "common/relabel/relabel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct ops_relabel *rules)
{
	struct ops_labels *input = ops_labels_of("__address__", "10.0.0.1:9100", "__meta_role",
		"node", "__tmp_port", "9100", "Job", "A;b", "job", "Node", NULL);
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, input);
	bool keep = ops_relabel_apply(rules, &b);
	struct ops_labels *output = ops_labels_builder_build(&b);
	for (uint32_t i = 0; keep && i < output->n; i++) {
		const struct ops_label *l = &output->items[i];
		ops_assert(ops_label_name_valid(l->name, l->name_len));
		ops_assert(l->value_len > 0 && strlen(l->value) == l->value_len);
		ops_assert(i == 0 || strcmp(output->items[i - 1].name, l->name) < 0);
	}
	ops_labels_builder_done(&b);
	ops_labels_unref(input);
	ops_labels_unref(output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena a;
	struct ops_conf_node *node = NULL;
	struct ops_relabel rules;
	struct ops_error err;
	ops_arena_init(&a);
	bool legacy = size % 2 == 1;
	if (ops_conf_load_text(&a, "rules", (const char *)data, size, NULL, &node, &err) == 0 &&
		ops_relabel_load(&a, node, legacy, &rules, &err) == 0) {
		apply(&rules);
		ops_relabel_done(&rules);
	}
	ops_arena_done(&a);
	return 0;
}
