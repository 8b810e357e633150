/* SPDX-License-Identifier: Apache-2.0 */
/* What was committed is there after a reopen, exactly, whatever was confirmed or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/test_tempdir.h"
#include "common/base/text.h"
#include "services/freeze/journal.h"

static void count_event(void *arg, const struct frz_event *e)
{
	(void)e;
	(*(size_t *)arg)++;
}

static struct frz_journal *open_journal(const char *dir, struct frz_set *set, size_t *told)
{
	struct frz_journal *j = NULL;
	struct ops_error err;
	*told = 0;
	int rc = frz_journal_open(dir, set, count_event, told, &j, &err);
	if (rc != 0) {
		fail_msg("%s", err.message);
	}
	return j;
}

static struct frz_record *new_record(int i)
{
	struct frz_record *r = ops_xcalloc(1, sizeof(*r));
	ops_uuid4(r->id);
	r->scope = ops_xasprintf("scope%d", i);
	r->reason = ops_xstrdup("because");
	r->actor = ops_xstrdup("ann");
	r->from_ms = ops_now_ms();
	return r;
}

static void commit(struct frz_journal *j, struct frz_set *set, int i)
{
	struct frz_event e = {.kind = FRZ_SET,
		.at_ms = ops_now_ms(),
		.record = new_record(i),
		.actor = "ann",
		.reason = "because"};
	assert_int_equal(frz_journal_commit(j, &e), 0);
	frz_set_add(set, e.record);
}

static void test_reopen(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	size_t told = 0, total = 0;
	for (int round = 0; round < 6; round++) {
		struct frz_set set = {NULL, 0, 0};
		struct frz_journal *j = open_journal(dir, &set, &told);
		assert_int_equal(set.n, total);
		assert_true(told <= total);
		for (int i = 0; i < 30; i++) {
			commit(j, &set, i);
			total++;
		}
		if (round % 2 == 1) {
			assert_int_equal(frz_journal_confirm(j, &set), 0);
		}
		frz_journal_close(j);
		frz_set_done(&set);
	}
	struct frz_set set = {NULL, 0, 0};
	struct frz_journal *j = open_journal(dir, &set, &told);
	assert_int_equal(set.n, total);
	assert_true(told < total); /* confirmed ones are not told again */
	frz_journal_close(j);
	frz_set_done(&set);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reopen)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
