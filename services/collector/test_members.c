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
	col_roster_init(&r, "a", GRACE, 1000);
	assert_int_equal(col_roster_share(&r, 1000), COL_SHARE_WAIT);
	assert_int_equal(col_roster_share(&r, 1299), COL_SHARE_WAIT);
	assert_int_equal(col_roster_share(&r, 1300), COL_SHARE_ALL);
	col_roster_done(&r);
}

static void test_list(void **state)
{
	(void)state;
	static const char *const both[] = {"a", "b"}, *const turned[] = {"b", "a"},
				 *const other[] = {"b"};
	struct col_roster r;
	col_roster_init(&r, "a", GRACE, 1000);
	assert_true(col_roster_hear(&r, both, 2, 1050));
	assert_int_equal(col_roster_share(&r, 1050), COL_SHARE_HASHED);
	assert_false(col_roster_hear(&r, turned, 2, 1150));
	assert_int_equal(col_roster_share(&r, 1451), COL_SHARE_ALL); /* the list fell silent */
	/* left out: the last list that had it holds at first, then it counts itself in */
	assert_false(col_roster_hear(&r, other, 1, 1500));
	assert_int_equal(col_roster_share(&r, 1500), COL_SHARE_HASHED);
	assert_int_equal(r.n, 2);
	assert_false(col_roster_hear(&r, other, 1, 1700));
	assert_true(col_roster_hear(&r, other, 1, 1801));
	assert_int_equal(col_roster_share(&r, 1801), COL_SHARE_HASHED);
	assert_int_equal(r.n, 1);
	assert_true(col_roster_hear(&r, both, 2, 1900));
	assert_false(col_roster_hear(&r, other, 1, 2000));
	assert_int_equal(r.n, 2);
	col_roster_done(&r);
	/* never listed: waits when it has just started, else goes on with everything */
	col_roster_init(&r, "a", GRACE, 1000);
	assert_true(col_roster_hear(&r, other, 1, 1200));
	assert_int_equal(col_roster_share(&r, 1299), COL_SHARE_WAIT);
	assert_int_equal(col_roster_share(&r, 1300), COL_SHARE_ALL);
	assert_int_equal(col_roster_share(&r, 1500), COL_SHARE_ALL);
	assert_false(col_roster_hear(&r, other, 1, 1501));
	assert_int_equal(col_roster_share(&r, 1501), COL_SHARE_HASHED);
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
		if (col_roster_owns(&rosters[i], hash, 1)) {
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
		col_roster_init(&three[i], names[i], GRACE, 0);
		col_roster_hear(&three[i], names, 3, 1);
	}
	for (size_t i = 0; i < 2; i++) {
		col_roster_init(&two[i], names[i], GRACE, 0);
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

/* Two collectors have each target; when one of them goes, the other keeps it. */
static void test_replicas(void **state)
{
	(void)state;
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	struct col_roster all[5], few[5];
	for (size_t i = 0; i < 5; i++) {
		col_roster_init(&all[i], names[i], GRACE, 0);
		col_roster_hear(&all[i], names, 5, 1);
		col_roster_init(&few[i], names[i], GRACE, 0);
		col_roster_hear(&few[i], names, 4, 1);
	}
	for (uint32_t i = 0; i < 500; i++) {
		const char *ranked[5] = {NULL}, *two[2] = {NULL};
		size_t owners = 0;
		assert_int_equal(col_roster_ranking(&all[2], target(i), 5, ranked), 5);
		assert_int_equal(col_roster_ranking(&all[0], target(i), 2, two), 2);
		assert_string_equal(two[0], ranked[0]);
		assert_string_equal(two[1], ranked[1]);
		for (size_t k = 0; k < 5; k++) {
			bool owns = col_roster_owns(&all[k], target(i), 2);
			bool ranks = strcmp(names[k], two[0]) == 0 || strcmp(names[k], two[1]) == 0;
			owners += owns;
			assert_int_equal(owns, ranks);
			assert_true(k == 4 || !owns || col_roster_owns(&few[k], target(i), 2));
		}
		assert_int_equal(owners, 2);
	}
	/* more replicas than collectors: all of them; one that is not listed counts itself in */
	const char *ranked[5] = {NULL};
	assert_true(col_roster_owns(&all[3], target(1), 9));
	assert_int_equal(col_roster_ranking(&few[4], target(1), 5, ranked), 5);
	for (size_t i = 0; i < 5; i++) {
		col_roster_done(&all[i]);
		col_roster_done(&few[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_rendezvous),
		cmocka_unit_test(test_replicas),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
