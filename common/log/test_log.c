/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines are captured from stderr and read back as JSON, as a log collector would. */
#include "common/log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/clock.h"

static int64_t now = 1700000000000;
static int real_stderr, capture;

static int64_t fake_now(void)
{
	return now;
}

static int set_up(void **state)
{
	(void)state;
	ops_clock_fake(fake_now);
	real_stderr = dup(STDERR_FILENO);
	capture = memfd_create("stderr", MFD_CLOEXEC);
	return real_stderr >= 0 && capture >= 0 ? 0 : -1;
}

static void begin(void)
{
	assert_int_equal(ftruncate(capture, 0), 0);
	assert_int_equal(lseek(capture, 0, SEEK_SET), 0);
	assert_true(dup2(capture, STDERR_FILENO) >= 0);
}

/* The lines since begin() as JSON; owned. */
static json_t *end(void)
{
	static char text[65536];

	assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
	ssize_t n = pread(capture, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	json_t *lines = json_array();
	for (char *line = text, *next; *line != '\0'; line = next) {
		next = strchr(line, '\n');
		assert_non_null(next);
		*next++ = '\0';
		json_error_t why;
		json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &why);
		if (j == NULL)
			fail_msg("%s: %s", why.text, line);
		json_array_append_new(lines, j);
	}
	return lines;
}

static const char *text_of(json_t *lines, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(lines, i), key));
}

static void test_fields(void **state)
{
	(void)state;
	ops_log_init("ops-test", OPS_LOG_INFO);
	begin();
	log_warn("all kinds", F_STR("s", "q\"\n\xff"), F_STR("none", NULL), F_INT("i", INT64_MIN),
		F_UINT("u", 7), F_DOUBLE("d", 0.1), F_DOUBLE("nan", (double)NAN), F_BOOL("b", true),
		F_ERR(-ENOENT));
	log_info("no fields");
	json_t *lines = end(), *first = json_array_get(lines, 0);
	assert_int_equal(json_array_size(lines), 2);
	assert_string_equal(text_of(lines, 0, "timestamp"), "2023-11-14T22:13:20.000Z");
	assert_string_equal(text_of(lines, 0, "level"), "warn");
	assert_string_equal(text_of(lines, 0, "service"), "ops-test");
	assert_string_equal(text_of(lines, 0, "message"), "all kinds");
	assert_string_equal(text_of(lines, 0, "s"), "q\"\n\xef\xbf\xbd");
	assert_true(json_is_null(json_object_get(first, "none")));
	assert_int_equal(json_integer_value(json_object_get(first, "i")), INT64_MIN);
	assert_int_equal(json_integer_value(json_object_get(first, "u")), 7);
	assert_true(json_real_value(json_object_get(first, "d")) == 0.1);
	assert_string_equal(text_of(lines, 0, "nan"), "NaN");
	assert_true(json_is_true(json_object_get(first, "b")));
	assert_string_equal(text_of(lines, 0, "error"), "No such file or directory");
	assert_null(json_object_get(first, "trace_id"));
	assert_null(json_object_get(first, "suppressed"));
	json_decref(lines);
}

static void test_level(void **state)
{
	enum ops_log_level level = OPS_LOG_INFO;
	uint64_t debug = ops_log_count(OPS_LOG_DEBUG), error = ops_log_count(OPS_LOG_ERROR);

	(void)state;
	assert_int_equal(ops_log_level_parse("error", &level), 0);
	assert_int_equal(level, OPS_LOG_ERROR);
	assert_int_equal(ops_log_level_parse("Error", &level), -EINVAL);
	assert_int_equal(ops_log_level_parse("", &level), -EINVAL);
	ops_log_set_level(level);
	begin();
	log_warn("below");
	log_error("at");
	ops_log_set_level(OPS_LOG_DEBUG);
	log_debug("lowest");
	json_t *lines = end();
	assert_int_equal(json_array_size(lines), 2);
	assert_string_equal(text_of(lines, 0, "message"), "at");
	assert_string_equal(text_of(lines, 1, "message"), "lowest");
	assert_int_equal(ops_log_count(OPS_LOG_DEBUG), debug + 1);
	assert_int_equal(ops_log_count(OPS_LOG_ERROR), error + 1);
	json_decref(lines);
}

static void test_trace(void **state)
{
	(void)state;
	begin();
	ops_log_set_trace("4bf92f3577b34da6a3ce929d0e0e4736");
	log_info("with");
	ops_log_set_trace(NULL);
	log_info("without");
	json_t *lines = end();
	assert_string_equal(text_of(lines, 0, "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_null(text_of(lines, 1, "trace_id"));
	json_decref(lines);
}

static void flood(int n)
{
	for (int i = 0; i < n; i++)
		log_info("flood", F_INT("i", i));
}

static void test_rate_limit(void **state)
{
	uint64_t before = ops_log_suppressed();

	(void)state;
	begin();
	flood(25);
	log_info("another site is not held back");
	now += 999;
	flood(1);
	now += 1;
	flood(1);
	flood(1);
	now -= 3600000; /* the clock is set back: the window starts again */
	flood(1);
	json_t *lines = end();
	assert_int_equal(json_array_size(lines), 14);
	assert_string_equal(text_of(lines, 10, "message"), "another site is not held back");
	json_t *after = json_array_get(lines, 11);
	assert_int_equal(json_integer_value(json_object_get(after, "suppressed")), 16);
	assert_null(json_object_get(json_array_get(lines, 12), "suppressed"));
	assert_int_equal(ops_log_suppressed() - before, 16);
	json_decref(lines);
}

static void test_long_field(void **state)
{
	char text[20000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	begin();
	log_info("long", F_STR("text", text));
	json_t *lines = end();
	assert_int_equal(strlen(text_of(lines, 0, "text")), 4096);
	json_decref(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_rate_limit),
		cmocka_unit_test(test_long_field),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
