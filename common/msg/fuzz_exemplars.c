/* SPDX-License-Identifier: Apache-2.0 */
/* What is accepted encodes to the same bytes. */
#include <stdint.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/msg/exemplars.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_exemplar(void *arg, const struct ops_exemplar *e)
{
	int r = ops_exemplars_add(arg, e);
	ops_assert(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err;
	ops_exemplars_begin(&out);
	if (ops_exemplars_decode(data, size, on_exemplar, &out, &err) == 0) {
		ops_assert(out.len == size && memcmp(out.data, data, size) == 0);
	}
	ops_strbuf_done(&out);
	return 0;
}
