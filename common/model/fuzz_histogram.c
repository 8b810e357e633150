/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as histograms: what decodes and is valid encodes to the same again, and a valid pair
 * goes through every operation. The first byte says how long the first of two is, the second byte
 * which operation.
 */
#include "common/model/histogram.h"

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bytes(struct ops_arena *arena, const struct ops_histogram *h)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_histogram back;
	ops_histogram_encode(h, &out);
	int rc = ops_histogram_decode(out.data, out.len, arena, &back);
	ops_assert(rc == 0 && ops_histogram_equal(h, &back) && back.hint == h->hint);
	ops_strbuf_done(&out);
}

static void check_texts(const struct ops_histogram *h)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_histogram_print(h, &out);
	ops_histogram_print_notation(h, &out);
	ops_histogram_json(h, &out);
	ops_strbuf_done(&out);
}

static void check_order(const struct ops_histogram_buckets *side)
{
	for (uint32_t i = 1; i < side->n; i++) {
		ops_assert(side->items[i - 1].index < side->items[i].index);
	}
}

static void operate(struct ops_arena *arena, const struct ops_histogram *a,
	const struct ops_histogram *b, uint8_t how)
{
	struct ops_histogram *h = ops_histogram_copy(arena, a);
	(void)ops_histogram_reset_since(a, b);
	ops_assert(ops_histogram_equal(h, a));
	int rc = ops_histogram_apply(
		arena, h, b, (enum ops_histogram_op)(how % (OPS_HISTOGRAM_SUM + 1)), NULL);
	ops_assert(rc == 0 || ops_histogram_is_custom(a) != ops_histogram_is_custom(b));
	check_order(&h->positive);
	check_order(&h->negative);
	ops_histogram_settle(h);
	ops_histogram_trim(h, b->sum, (how & 0x80) != 0);
	ops_histogram_mul(h, a->sum);
	ops_histogram_div(h, b->zero_count);
	ops_histogram_compact(h);
	check_texts(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena arena;
	struct ops_histogram pair[2];
	if (size < 2 || size > 4096) {
		return 0;
	}
	size_t first = OPS_MIN((size_t)data[0], size - 2);
	ops_arena_init(&arena);
	bool valid = ops_histogram_decode(data + 2, first, &arena, &pair[0]) == 0;
	if (valid && ops_histogram_validate(&pair[0], NULL) == 0) {
		check_bytes(&arena, &pair[0]);
	}
	valid = valid &&
		ops_histogram_decode(data + 2 + first, size - 2 - first, &arena, &pair[1]) == 0;
	for (size_t i = 0; valid && i < 2; i++) {
		valid = ops_histogram_validate(&pair[i], NULL) == 0;
	}
	if (valid) {
		operate(&arena, &pair[0], &pair[1], data[1]);
	}
	ops_arena_done(&arena);
	return 0;
}
