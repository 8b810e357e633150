/* SPDX-License-Identifier: Apache-2.0 */
/* A native histogram from remote write: what is read and valid comes back from the wire the same.
 */
#include "services/detector/api/wire_histogram.h"

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena arena;
	struct ops_histogram h, back;
	ops_arena_init(&arena);
	if (det_histogram_from_wire(data, size, &arena, &h) == 0 &&
		ops_histogram_validate(&h, NULL) == 0) {
		struct ops_strbuf wire = OPS_STRBUF_INIT;
		det_histogram_to_wire(&h, 1, &wire);
		ops_assert(det_histogram_from_wire(wire.data, wire.len, &arena, &back) == 0);
		ops_assert(ops_histogram_equal(&h, &back));
		ops_strbuf_done(&wire);
	}
	ops_arena_done(&arena);
	return 0;
}
