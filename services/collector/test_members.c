/* SPDX-License-Identifier: Apache-2.0 */
/* Who scrapes what: the rules around the list, and rendezvous hashing. */
#include "services/collector/members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"

enum {
	GRACE = 300
};

static void test_alone(void **state)
{
	(void)state;
	struct col_roster r;
	col_roster_init(&r, "a", 1000);
	assert_int_equal(col_roster_share(&r, GRACE, 1000), COL_SHARE_WAIT);
	assert_int_equal(col_roster_share(&r, GRACE, 1299), COL_SHARE_WAIT);
	assert_int_equal(col_roster_share(&r, GRACE, 1300), COL_SHARE_ALL);
	col_roster_done(&r);
}

static void test_list(void **state)
{
	(void)state;
	static const char *const both[] = {"a", "b"}, *const turned[] = {"b", "a"},
				 *const other[] = {"b"};
	struct col_roster r;
	col_roster_init(&r, "a", 1000);
	assert_true(col_roster_hear(&r, both, 2, 1050));
	assert_int_equal(col_roster_share(&r, GRACE, 1050), COL_SHARE_HASHED);
	assert_false(col_roster_hear(&r, turned, 2, 1150));
	assert_int_equal(
		col_roster_share(&r, GRACE, 1451), COL_SHARE_ALL); /* the list fell silent */
	/* left out: nothing at first, then counts itself in */
	assert_true(col_roster_hear(&r, other, 1, 1500));
	assert_int_equal(col_roster_share(&r, GRACE, 1500), COL_SHARE_WAIT);
	assert_false(col_roster_hear(&r, other, 1, 1700));
	assert_int_equal(col_roster_share(&r, GRACE, 1700), COL_SHARE_WAIT);
	assert_false(col_roster_hear(&r, other, 1, 1801));
	assert_int_equal(col_roster_share(&r, GRACE, 1801), COL_SHARE_HASHED);
	assert_true(col_roster_hear(&r, both, 2, 1900));
	assert_int_equal(col_roster_share(&r, GRACE, 1900), COL_SHARE_HASHED);
	assert_true(col_roster_hear(&r, other, 1, 2000));
	assert_int_equal(col_roster_share(&r, GRACE, 2000), COL_SHARE_WAIT);
	col_roster_done(&r);
}

static uint64_t target(uint32_t i)
{
	return ops_hash64(&i, sizeof(i), 0);
}

/* Owner of a target among names[0..n), which must be exactly one. */
static size_t owner(struct col_roster *rosters, size_t n, uint64_t hash)
{
	size_t found = 0, at = 0;
	for (size_t i = 0; i < n; i++) {
		if (col_roster_owns(&rosters[i], hash)) {
			found++;
			at = i;
		}
	}
	assert_int_equal(found, 1);
	return at;
}

static void test_rendezvous(void **state)
{
	(void)state;
	static const char *const names[] = {"host-1", "host-2", "host-3"};
	struct col_roster three[3], two[2];
	size_t counts[3] = {0}, moved = 0;
	for (size_t i = 0; i < 3; i++) {
		col_roster_init(&three[i], names[i], 0);
		col_roster_hear(&three[i], names, 3, 1);
	}
	for (size_t i = 0; i < 2; i++) {
		col_roster_init(&two[i], names[i], 0);
		col_roster_hear(&two[i], names, 2, 1);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		size_t before = owner(three, 3, target(i)), after = owner(two, 2, target(i));
		counts[before]++;
		moved += before != after;
		assert_true(before == 2 || before == after); /* only the lost one's targets move */
	}
	for (size_t i = 0; i < 3; i++) {
		assert_in_range(counts[i], 850, 1150);
	}
	assert_int_equal(moved, counts[2]);
	for (size_t i = 0; i < 3; i++) {
		col_roster_done(&three[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		col_roster_done(&two[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_rendezvous),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
