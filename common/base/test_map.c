/* SPDX-License-Identifier: Apache-2.0 */
/* The map against a plain array as model, and the hashes against published values. */
#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"

enum {
	KEYS = 700
};

static char *name(int i, char *buf)
{
	snprintf(buf, 16, "key-%d", i);
	return buf;
}

static void check_all(const struct ops_map *m, int *const *model)
{
	size_t live = 0, seen = 0;
	struct ops_map_entry e;
	char buf[16];

	for (int i = 0; i < KEYS; i++) {
		live += model[i] != NULL;
		assert_ptr_equal(ops_map_gets(m, name(i, buf)), model[i]);
	}
	assert_int_equal(ops_map_count(m), live);
	for (size_t at = 0; ops_map_next(m, &at, &e); seen++) {
		const int *value = e.value;
		assert_string_equal(e.key, name(*value, buf));
		assert_int_equal(e.len, strlen(buf));
	}
	assert_int_equal(seen, live);
}

static void test_against_model(void **state)
{
	static int values[KEYS];
	int *model[KEYS] = {0};
	struct ops_map *m = ops_map_new();
	uint32_t random = 1;
	char buf[16];

	(void)state;
	for (int i = 0; i < KEYS; i++)
		values[i] = i;
	for (int step = 0; step < 20000; step++) {
		random = random * 1664525 + 1013904223;
		int i = (int)(random >> 8) % KEYS;
		bool put = (random >> 30) != 0 || step < 2000;
		/* Phases of growth and of shrinking. */
		if ((step / 4000) % 2 == 1)
			put = !put;
		void *before = put ? ops_map_puts(m, name(i, buf), &values[i])
				   : ops_map_removes(m, name(i, buf));
		assert_ptr_equal(before, model[i]);
		model[i] = put ? &values[i] : NULL;
		if (step % 2500 == 0)
			check_all(m, model);
	}
	check_all(m, model);
	ops_map_free(m, NULL);
}

static void test_remove_while_iterating(void **state)
{
	static int values[KEYS];
	struct ops_map *m = ops_map_new();
	struct ops_map_entry e;
	char buf[16];
	int seen = 0;

	(void)state;
	for (int i = 0; i < KEYS; i++)
		ops_map_puts(m, name(i, buf), &values[i]);
	for (size_t at = 0; ops_map_next(m, &at, &e); seen++)
		assert_ptr_equal(ops_map_remove(m, e.key, e.len), e.value);
	assert_int_equal(seen, KEYS);
	assert_int_equal(ops_map_count(m), 0);
	ops_map_free(m, NULL);
}

static int freed;

static void count_free(void *value)
{
	free(value);
	freed++;
}

static void test_binary_keys(void **state)
{
	struct ops_map *m = ops_map_new();

	(void)state;
	assert_null(ops_map_get(m, "", 0));
	assert_null(ops_map_removes(m, "x"));
	assert_null(ops_map_put(m, "a\0b", 3, ops_xstrdup("1")));
	assert_null(ops_map_put(m, "a\0c", 3, ops_xstrdup("2")));
	assert_null(ops_map_put(m, "a", 1, ops_xstrdup("3")));
	assert_null(ops_map_put(m, "", 0, ops_xstrdup("4")));
	assert_string_equal(ops_map_get(m, "a\0b", 3), "1");
	assert_string_equal(ops_map_get(m, "a\0c", 3), "2");
	assert_string_equal(ops_map_gets(m, "a"), "3");
	assert_string_equal(ops_map_gets(m, ""), "4");
	freed = 0;
	ops_map_free(m, count_free);
	assert_int_equal(freed, 4);
	ops_map_free(NULL, count_free);
}

static void test_hash64(void **state)
{
	char bytes[80] = {0};
	uint64_t seen[OPS_LENGTH(bytes) * 9];
	size_t n = 0;

	(void)state;
	/* Every length and every single flipped bit of one byte gives another value. */
	for (size_t len = 0; len < OPS_LENGTH(bytes); len++) {
		seen[n++] = ops_hash64(bytes, len, 1);
		for (int bit = 0; bit < 8 && len > 0; bit++) {
			bytes[len - 1] = (char)(1 << bit);
			seen[n++] = ops_hash64(bytes, len, 1);
			bytes[len - 1] = 0;
		}
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			assert_true(seen[i] != seen[k]);
	}
	assert_true(ops_hash64("abc", 3, 1) == ops_hash64("abcd", 3, 1));
	assert_true(ops_hash64("abc", 3, 1) != ops_hash64("abc", 3, 2));
}

static void test_fnv(void **state)
{
	(void)state;
	/* Values published by the authors of FNV. */
	assert_true(ops_fnv1a64(OPS_FNV1A64_INIT, "", 0) == 0xcbf29ce484222325ULL);
	assert_true(ops_fnv1a64(OPS_FNV1A64_INIT, "a", 1) == 0xaf63dc4c8601ec8cULL);
	assert_true(ops_fnv1a64(OPS_FNV1A64_INIT, "foobar", 6) == 0x85944171f73967e8ULL);
}

static void test_crc32c(void **state)
{
	unsigned char bytes[300];

	(void)state;
	/* RFC 3720 appendix B.4 */
	memset(bytes, 0, 32);
	assert_int_equal(ops_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(ops_crc32c(0, bytes, 32), 0x62a8ab43);
	assert_int_equal(ops_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(ops_crc32c(0, "", 0), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37 + 11);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		uint32_t whole = ops_crc32c(0, bytes, len);
		assert_int_equal(whole, ops_crc32c_software(0, bytes, len));
		uint32_t first = ops_crc32c(0, bytes, len / 3);
		assert_int_equal(whole, ops_crc32c(first, bytes + len / 3, len - len / 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_remove_while_iterating),
		cmocka_unit_test(test_binary_keys),
		cmocka_unit_test(test_hash64),
		cmocka_unit_test(test_fnv),
		cmocka_unit_test(test_crc32c),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
