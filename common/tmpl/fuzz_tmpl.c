/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a template: parse, run over a small map, stay inside the limits. */
#include <stddef.h>
#include <stdint.h>

#include "common/base/strbuf.h"
#include "common/tmpl/tmpl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_tmpl_set *set = ops_tmpl_set_new(NULL);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	struct ops_tmpl *t = NULL;
	struct ops_arena a;

	ops_arena_init(&a);
	struct ops_tmpl_env env = {
		.arena = &a, .dot = ops_tmpl_map(&a), .max_output_bytes = 4096, .max_steps = 2000};
	ops_tmpl_map_set(&a, env.dot.u.map, "x", ops_tmpl_string("y"));
	if (ops_tmpl_parse(set, "fuzz", (const char *)data, size, &t, &err) == 0) {
		if (ops_tmpl_exec(t, &env, &out, &err) != 0) {
			ops_assert(err.message[0] != '\0');
		}
		ops_tmpl_free(t);
	}
	ops_arena_done(&a);
	ops_strbuf_done(&out);
	ops_tmpl_set_free(set);
	return 0;
}
