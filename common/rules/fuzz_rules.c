/* SPDX-License-Identifier: Apache-2.0 */
/* A rule file is outside input: it loads, or it is refused with a message. */
#include "common/rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena arena;
	struct ops_error err;
	struct ops_rule_groups groups = {NULL, 0, 0};
	const struct ops_rule_variable variables[] = {{"RULE_WINDOW", "5m"}};
	const struct ops_rules_options opt = {.variables = variables, .nvariables = 1};
	err.message[0] = '\0';
	ops_arena_init(&arena);
	if (ops_rules_load_text(&arena, "f.yml", (const char *)data, size, &opt, &groups, &err) !=
		0) {
		ops_assert(err.message[0] != '\0');
		ops_assert(groups.n == 0);
	}
	free(groups.items);
	ops_arena_done(&arena);
	return 0;
}
