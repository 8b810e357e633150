/* SPDX-License-Identifier: Apache-2.0 */
/* What is due: together, in order of time, once; moved and dropped, also while others are told. */
#include "services/collector/agenda.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"

enum {
	ENTRIES = 4
};

static struct ops_loop *loop;
static struct col_agenda agenda;
static struct col_entry entries[ENTRIES];
static char told[32];
static int64_t again_ms; /* "a" is put back for then, once */
static bool drops_next;
static size_t stop_after;

/* Delays count from here however long a test is held up: what is put later is not due earlier. */
static int64_t clock_stands(void)
{
	return 1000000;
}

static void on_due(void *arg)
{
	const char *name = arg;
	strncat(told, name, sizeof(told) - strlen(told) - 1);
	if (again_ms != 0 && *name == 'a') {
		col_agenda_put(&agenda, &entries[0], again_ms);
		again_ms = 0;
	}
	if (drops_next && *name == 'b') {
		col_agenda_drop(&entries[0]);
	}
	if (strlen(told) == stop_after) {
		ops_loop_stop(loop);
	}
}

static int setup(void **state)
{
	static char names[ENTRIES][2] = {"a", "b", "c", "d"};
	(void)state;
	ops_clock_fake(clock_stands);
	loop = ops_loop_new();
	col_agenda_init(&agenda, loop, on_due);
	memset(entries, 0, sizeof(entries));
	for (size_t i = 0; i < ENTRIES; i++) {
		entries[i].arg = names[i];
	}
	told[0] = '\0';
	again_ms = 0;
	drops_next = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	col_agenda_done(&agenda);
	assert_null(entries[ENTRIES - 1].moment);
	ops_loop_free(loop);
	ops_clock_fake(NULL);
	return 0;
}

static void put(size_t i, int64_t due_ms)
{
	col_agenda_put(&agenda, &entries[i], due_ms);
}

static void test_order(void **state)
{
	(void)state;
	int64_t now = ops_now_ms();
	put(0, now + 30); /* moved below */
	put(1, now - 5);
	put(2, now + 20);
	put(0, now + 20);
	put(3, now + 40);
	stop_after = 4;
	ops_loop_run(loop);
	assert_string_equal(told, "bacd"); /* the last to be put is told first */
}

static void test_put_again_for_the_same_time(void **state)
{
	(void)state;
	int64_t now = ops_now_ms();
	again_ms = now;
	put(0, now);
	stop_after = 2;
	ops_loop_run(loop);
	assert_string_equal(told, "aa");
}

static void test_dropped_while_others_are_told(void **state)
{
	(void)state;
	int64_t now = ops_now_ms();
	drops_next = true;
	put(0, now);
	put(1, now); /* told first, and drops the other */
	put(2, now + 10);
	col_agenda_drop(&entries[2]);
	col_agenda_drop(&entries[2]);
	put(3, now + 30);
	stop_after = 2;
	ops_loop_run(loop);
	assert_string_equal(told, "bd");
	put(3, now + 60000); /* is forgotten */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_again_for_the_same_time, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_dropped_while_others_are_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
