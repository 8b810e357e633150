/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the bytes as YAML, walks the tree (a cycle would not end), and loads what is printed of it
 * again. */
#include "common/conf/conf.h"

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct whole {
	const struct ops_conf_node *any;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ops_conf_key keys[] = {
		{.name = "any", .kind = OPS_CONF_K_NODE, .offset = offsetof(struct whole, any)},
		OPS_CONF_END,
	};
	struct ops_arena a;
	ops_arena_init(&a);
	struct ops_error err;
	const struct ops_conf_options options = {.expand_env = size % 2 == 1};
	struct ops_conf_node *root = NULL, *again = NULL;
	if (ops_conf_load_text(&a, "fuzz.yml", (const char *)data, size, &options, &root, &err) ==
		0) {
		struct whole w = {.any = root};
		struct ops_strbuf text = OPS_STRBUF_INIT;
		ops_conf_dump(keys, &w, 0, &text);
		if (text.len < (size_t)1 << 20)
			ops_assert(ops_conf_load_text(&a, "again.yml", text.data, text.len, NULL,
					   &again, &err) == 0);
		ops_strbuf_done(&text);
		if (ops_conf_decode(&a, root, keys, &w, NULL, &err) != 0)
			ops_assert(err.message[0] != '\0');
	} else {
		ops_assert(err.message[0] != '\0');
	}
	ops_arena_done(&a);
	return 0;
}
