/* SPDX-License-Identifier: Apache-2.0 */
/* Native histograms to the message and back, and messages made by hand. */
#include "common/remote/histogram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/msg/samples.h"

static int decode(const struct ops_strbuf *b, struct ops_arena *a, struct ops_histogram *ret)
{
	const struct ops_remote_histogram message = {
		.data = (const uint8_t *)b->data, .len = b->len};

	return ops_remote_histogram_decode(&message, a, ret);
}

static void check(const struct ops_histogram *h, size_t at_most)
{
	struct ops_arena a;
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_histogram back;

	ops_arena_init(&a);
	ops_remote_histogram_encode(h, 123, &b);
	assert_true(b.len <= at_most);
	assert_int_equal(decode(&b, &a, &back), 0);
	assert_true(ops_histogram_equal(h, &back));
	assert_int_equal(back.hint, h->hint);
	ops_strbuf_done(&b);
	ops_arena_done(&a);
}

static void they_come_back(void **state)
{
	static const double bounds[] = {0.5, 1, 2};
	struct ops_arena a;

	(void)state;
	ops_arena_init(&a);
	struct ops_histogram h = {
		.schema = 2, .count = 21, .sum = 4.5, .zero_count = 1, .zero_threshold = 1e-128};
	check(&h, 60);
	for (int32_t i = -3; i < 20; i += i % 4 == 0 ? 5 : 1)
		ops_histogram_push(&a, &h.positive, i, i + 4);
	ops_histogram_push(&a, &h.negative, 7, 3);
	h.hint = OPS_RESET_GAUGE;
	check(&h, 120);
	h.positive.items[0].count = 0.5; /* all become floats */
	check(&h, 300);
	struct ops_histogram custom = {.schema = OPS_HISTOGRAM_CUSTOM,
		.count = 5,
		.sum = 4,
		.custom = bounds,
		.ncustom = 3};
	ops_histogram_push(&a, &custom.positive, 0, 2);
	ops_histogram_push(&a, &custom.positive, 3, 3);
	check(&custom, 120);
	struct ops_histogram stale = {.sum = ops_stale_nan()};
	check(&stale, 60);
	ops_arena_done(&a);
}

static void hand_made_messages(void **state)
{
	static const struct {
		const char *hex;
		bool good;
	} cases[] = {
		{"", true},
		{"0805"
		 "2004"
		 "5a0408021002"
		 "62020202",
			true}, /* two buckets, deltas 1 1 */
		{"5a0408021002"
		 "620102",
			false},	   /* one count for two */
		{"620102", false}, /* a count for none */
		{"5a0408021002"
		 "5a0408011001"
		 "6203020202",
			false}, /* a gap of -1 */
		{"5a0408041001"
		 "6209ffffffffffffffff7f",
			true},
		{"5a0608ffffff7f1001"
		 "620102",
			false},			 /* index out of range */
		{"5a06100010ffff7f", false},	 /* a span of 2^21 */
		{"20feffffff0f", false},	 /* schema out of range */
		{"0900000000000000f8", false},	 /* count_int as fixed64 */
		{"82010801020304050607", false}, /* custom bounds, cut */
		{"7004", true},			 /* an unknown hint of the future */
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		uint8_t bytes[64];
		struct ops_arena a;
		struct ops_histogram h;
		assert_int_equal(ops_hex_decode(cases[i].hex, strlen(cases[i].hex), bytes), 0);
		const struct ops_remote_histogram message = {
			.data = bytes, .len = strlen(cases[i].hex) / 2};
		ops_arena_init(&a);
		int rc = ops_remote_histogram_decode(&message, &a, &h);
		if (rc != (cases[i].good ? 0 : -EBADMSG))
			fail_msg("case %zu: %d", i, rc);
		ops_arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_back),
		cmocka_unit_test(hand_made_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
