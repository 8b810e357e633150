/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks come back bit by bit, whatever is in them; and they are as small as they should be. */
#include "services/detector/store/block.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "services/detector/store/group.h"

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double from_bits(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static size_t round_trip(const double *values, size_t n)
{
	uint8_t data[DET_BLOCK_MAX_BYTES(DET_BLOCK_ROWS)];
	double back[DET_BLOCK_ROWS];
	size_t len = det_block_encode(values, n, data);
	assert_true(len <= DET_BLOCK_MAX_BYTES(n));
	uint8_t *exact = ops_xmalloc(len != 0 ? len : 1);
	memcpy(exact, data, len);
	assert_int_equal(det_block_decode(exact, len, n, back), 0);
	assert_memory_equal(back, values, n * sizeof(double));
	/* Cut short it must be refused or give something, never read past its end. */
	for (size_t cut = 0; cut < len; cut += 1 + len / 16) {
		uint8_t *shorter = ops_xmalloc(cut != 0 ? cut : 1);
		memcpy(shorter, data, cut);
		int rc = det_block_decode(shorter, cut, n, back);
		assert_true(rc == 0 || rc < 0);
		free(shorter);
	}
	free(exact);
	return len;
}

static double make(int kind, size_t i, double before)
{
	switch (kind) {
	case 0:
		return 42;
	case 1:
		return before + (double)(next_random() % 50);
	case 2:
		return (double)(int64_t)(next_random() % 2000000) / 1000 - 1000;
	case 3:
		return from_bits(next_random());
	case 4:
		return i % 7 == 3 ? ops_stale_nan() : before + 1;
	case 5:
		return i % 3 == 0 ? -0.0 : i % 3 == 1 ? INFINITY : -INFINITY;
	case 6:
		return sin((double)i / 10) * 1e-9;
	case 7:
		return i % 2 == 0 ? 9007199254740991.0 : -9007199254740991.0;
	case 8:
		return 0.1 * (double)(next_random() % 100);
	default:
		return 1e300 * (double)(i + 1);
	}
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int kind = 0; kind < 10; kind++) {
		for (size_t n = 0; n <= DET_BLOCK_ROWS; n += n < 5 ? 1 : 23) {
			double values[DET_BLOCK_ROWS] = {0};
			for (size_t i = 0; i < n; i++) {
				values[i] = make(kind, i, i > 0 ? values[i - 1] : 0);
			}
			(void)round_trip(values, n);
		}
	}
}

static void test_mixed_kinds(void **state)
{
	(void)state;
	for (int turn = 0; turn < 300; turn++) {
		double values[DET_BLOCK_ROWS];
		size_t n = 1 + next_random() % DET_BLOCK_ROWS;
		for (size_t i = 0; i < n; i++) {
			values[i] = make((int)(next_random() % 10), i, i > 0 ? values[i - 1] : 0);
		}
		(void)round_trip(values, n);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	double constant[DET_BLOCK_ROWS], regular[DET_BLOCK_ROWS], decimal[DET_BLOCK_ROWS];
	for (size_t i = 0; i < DET_BLOCK_ROWS; i++) {
		constant[i] = 17;
		regular[i] = 1795208400123.0 + 15000.0 * (double)i;
		decimal[i] = 20 + (double)(i % 8) / 10;
	}
	assert_true(round_trip(constant, DET_BLOCK_ROWS) <= 8);
	assert_true(round_trip(regular, DET_BLOCK_ROWS) <= 20);
	assert_true(round_trip(decimal, DET_BLOCK_ROWS) <= DET_BLOCK_ROWS / 2);
}

static void test_garbage(void **state)
{
	(void)state;
	double back[DET_BLOCK_ROWS];
	for (int turn = 0; turn < 2000; turn++) {
		uint8_t data[64];
		size_t len = next_random() % sizeof(data);
		for (size_t i = 0; i < len; i++) {
			data[i] = (uint8_t)next_random();
		}
		if (len > 0) {
			data[0] = (uint8_t)(next_random() % 6);
		}
		uint8_t *exact = ops_xmalloc(len != 0 ? len : 1);
		memcpy(exact, data, len);
		int rc = det_block_decode(exact, len, DET_BLOCK_ROWS, back);
		assert_true(rc <= 0);
		free(exact);
	}
	assert_true(det_block_decode(NULL, 0, 1, back) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_mixed_kinds),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_garbage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
