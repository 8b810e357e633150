/* SPDX-License-Identifier: Apache-2.0 */
/* Counting, the bound on label combinations, and the exposition text line by line. */
#include "common/metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"

static const double bounds[] = {0.1, 1, 10};

static struct ops_metric plain = OPS_COUNTER("test_plain_total", "A back\\slash and\na line.");
static struct ops_metric labelled = OPS_GAUGE("test_labelled", "Two labels.", "first", "second");
static struct ops_metric duration =
	OPS_HISTOGRAM("test_duration_seconds", "Buckets.", bounds, "code");
static struct ops_metric crowded = OPS_COUNTER("test_crowded_total", "Many.", "id");
static struct ops_metric hooked = OPS_GAUGE("test_hooked", "Set by a hook.");
static struct ops_metric untouched = OPS_COUNTER("test_untouched_total", "Registered only.");

static char *expose(void)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_metrics_expose(&out);
	return ops_strbuf_take(&out);
}

static void assert_page_has(const char *text)
{
	OPS_CLEANUP(ops_freep) char *page = expose();

	if (strstr(page, text) == NULL)
		fail_msg("\"%s\" is not in\n%s", text, page);
}

static void test_counter(void **state)
{
	(void)state;
	ops_metric_add(&plain, 2);
	ops_metric_add(&plain, 0.5);
	assert_true(ops_metric_value(&plain) == 2.5);
	assert_page_has("# HELP test_plain_total A back\\\\slash and\\na line.\n"
			"# TYPE test_plain_total counter\ntest_plain_total 2.5\n");
	ops_metric_register(&untouched);
	assert_page_has("\ntest_untouched_total 0\n");
}

static void test_labels(void **state)
{
	(void)state;
	ops_metric_set(&labelled, 3, "b", "");
	ops_metric_set(&labelled, (double)-INFINITY, "a", "q\"\\\n\xff");
	ops_metric_add(&labelled, -4, "b", "");
	assert_true(ops_metric_value(&labelled, "b", "") == -1);
	assert_true(ops_metric_value(&labelled, "", "b") == 0);
	assert_page_has("# TYPE test_labelled gauge\n"
			"test_labelled{first=\"a\",second=\"q\\\"\\\\\\n\xef\xbf\xbd\"} -Inf\n"
			"test_labelled{first=\"b\",second=\"\"} -1\n#");
	ops_metric_forget(&labelled, "b", "");
	assert_page_has("\\n\xef\xbf\xbd\"} -Inf\n#");
	ops_metric_forget(&labelled, "b", "");
}

static void test_histogram(void **state)
{
	static const double values[] = {0.1, 0.05, 0.5, 10, 11, 100};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(values); i++)
		ops_metric_observe(&duration, values[i], "200");
	assert_true(ops_metric_value(&duration, "200") == 6);
	assert_page_has("# TYPE test_duration_seconds histogram\n"
			"test_duration_seconds_bucket{code=\"200\",le=\"0.1\"} 2\n"
			"test_duration_seconds_bucket{code=\"200\",le=\"1\"} 3\n"
			"test_duration_seconds_bucket{code=\"200\",le=\"10\"} 4\n"
			"test_duration_seconds_bucket{code=\"200\",le=\"+Inf\"} 6\n"
			"test_duration_seconds_sum{code=\"200\"} 121.65\n"
			"test_duration_seconds_count{code=\"200\"} 6\n#");
}

static void test_bound(void **state)
{
	char id[16];

	(void)state;
	for (int i = 0; i < 1010; i++) {
		snprintf(id, sizeof(id), "%d", i);
		ops_metric_add(&crowded, 1, id);
	}
	ops_metric_add(&crowded, 1, "999");
	assert_true(ops_metric_value(&crowded, "999") == 2);
	assert_true(ops_metric_value(&crowded, "1000") == 0);
	assert_page_has("\nops_metrics_dropped_total{metric=\"test_crowded_total\"} 10\n");
	/* One that goes makes room for one. */
	ops_metric_forget(&crowded, "5");
	ops_metric_add(&crowded, 1, "new");
	assert_true(ops_metric_value(&crowded, "new") == 1);
}

static int hook_calls;

static void hook(void *arg)
{
	ops_metric_set(&hooked, *(const double *)arg);
	hook_calls++;
}

static void test_hook(void **state)
{
	static double value = 12;

	(void)state;
	ops_metrics_on_collect(hook, &value);
	assert_page_has("\ntest_hooked 12\n");
	assert_int_equal(hook_calls, 1);
}

static double value_on_page(const char *page, const char *name)
{
	char start[100];
	double v = 0;

	snprintf(start, sizeof(start), "\n%s ", name);
	const char *line = strstr(page, start);
	assert_non_null(line);
	line += strlen(start);
	assert_int_equal(ops_parse_double(line, strcspn(line, "\n"), &v), 0);
	return v;
}

static void test_process(void **state)
{
	OPS_CLEANUP(ops_freep) char *page = expose();
	int fds[2];

	(void)state;
	assert_true(value_on_page(page, "process_resident_memory_bytes") > 100000);
	assert_true(value_on_page(page, "process_virtual_memory_bytes") > 100000);
	assert_true(value_on_page(page, "process_max_fds") > 3);
	assert_true(value_on_page(page, "process_start_time_seconds") > 1.7e9);
	assert_true(value_on_page(page, "process_cpu_seconds_total") >= 0);
	assert_non_null(strstr(page, "\nops_build_info{version=\""));
	assert_non_null(strstr(page, "\nops_log_lines_total{level=\"warn\"} 0\n"));
	assert_non_null(strstr(page, "\nops_log_suppressed_total 0\n"));
	double before = value_on_page(page, "process_open_fds");
	assert_int_equal(pipe(fds), 0);
	OPS_CLEANUP(ops_freep) char *again = expose();
	assert_true(value_on_page(again, "process_open_fds") == before + 2);
	close(fds[0]);
	close(fds[1]);
	assert_true(value_on_page(again, "process_start_time_seconds") ==
		    value_on_page(page, "process_start_time_seconds"));
}

static void test_sorted(void **state)
{
	OPS_CLEANUP(ops_freep) char *page = expose();
	char before[200] = "";
	int families = 0;

	(void)state;
	for (const char *at = page; (at = strstr(at, "# TYPE ")) != NULL; families++) {
		char name[200];
		at += strlen("# TYPE ");
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, " "), at);
		assert_true(strcmp(before, name) < 0);
		memcpy(before, name, sizeof(before));
	}
	assert_true(families >= 14);
}

static void falling_counter(void)
{
	ops_metric_add(&plain, -1);
}

static void missing_label(void)
{
	ops_metric_set(&labelled, 1, "only one");
}

static void surplus_label(void)
{
	ops_metric_add(&plain, 1, "x");
}

static void same_name(void)
{
	static struct ops_metric twin = OPS_COUNTER("test_plain_total", "Twin.");

	ops_metric_register(&twin);
}

static void test_misuse(void **state)
{
	static void (*const misuses[])(void) = {
		falling_counter, missing_label, surplus_label, same_name};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(misuses); i++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			close(STDERR_FILENO);
			misuses[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_hook),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_sorted),
		cmocka_unit_test(test_misuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
