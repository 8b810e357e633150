/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes as a layout, as the body of a layout (behind a header whose id is right, which a fuzzer
 * would not find), and as a batch. What is accepted must encode and decode again.
 */
#include "common/msg/samples.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_layout(const void *data, size_t size)
{
	struct ops_layout *l = NULL, *again = NULL;
	struct ops_error err = {0};
	if (ops_layout_decode(data, size, &l, &err) != 0) {
		ops_assert(err.message[0] != '\0');
		return;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_assert(ops_layout_encode(l, &out) == 0);
	ops_assert(ops_layout_decode(out.data, out.len, &again, &err) == 0);
	ops_assert(again->id == l->id && again->n == l->n);
	for (size_t i = 0; i < l->n; i++)
		ops_assert(ops_labels_equal(l->series[i], again->series[i]));
	ops_strbuf_done(&out);
	ops_layout_free(l);
	ops_layout_free(again);
}

static void check_body(const void *data, size_t size)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	char header[16] = "OPSL\x01";
	ops_put_u64(header + 8, ops_hash64(data, size, 0x6c61796f75743031ULL));
	ops_strbuf_add(&out, header, sizeof(header));
	ops_strbuf_add(&out, data, size);
	check_layout(out.data, out.len);
	ops_strbuf_done(&out);
}

static void check_batch(const void *data, size_t size)
{
	struct ops_batch b;
	struct ops_error err;
	struct ops_strbuf scratch = OPS_STRBUF_INIT, out = OPS_STRBUF_INIT;
	if (ops_batch_decode(data, size, &scratch, &b, &err) == 0) {
		ops_batch_encode(&b, &out);
		ops_assert(out.len == size && memcmp(out.data, data, size) == 0);
	}
	ops_strbuf_done(&scratch);
	ops_strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_layout(data, size);
	check_body(data, size);
	check_batch(data, size);
	return 0;
}
