/* SPDX-License-Identifier: Apache-2.0 */
/* What holds bytes: checked allocation, arena, string buffer, and the error that is a value. */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_alloc(void **state)
{
	OPS_CLEANUP(ops_freep) char *text = ops_xasprintf("%s-%d", "a", 7);
	OPS_CLEANUP(ops_freep) char *part = ops_xstrndup("abcdef", 3);
	OPS_CLEANUP(ops_freep) int *zero = ops_xcalloc(0, 0);
	int *items = NULL;
	size_t n = 0, cap = 0;

	(void)state;
	assert_string_equal(text, "a-7");
	assert_string_equal(part, "abc");
	assert_non_null(zero);
	assert_null(ops_xstrdup(NULL));
	for (int i = 0; i < 100; i++) {
		OPS_GROW(items, n, cap);
		items[n++] = i;
	}
	assert_int_equal(items[99], 99);
	assert_int_equal(cap, 128);
	free(items);
}

/* Runs fn in a child and tells whether it died by SIGABRT. */
static bool aborts(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		close(STDERR_FILENO);
		fn();
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void overflow_realloc(void)
{
	free(ops_xrealloc(NULL, SIZE_MAX / 2, 3));
}

static void overflow_arena(void)
{
	struct ops_arena a;

	ops_arena_init(&a);
	uint64_t *p = ops_arena_array(&a, uint64_t, SIZE_MAX / 4);
	(void)p;
}

static void false_assert(void)
{
	ops_assert(1 + 1 == 3);
}

static void true_assert(void)
{
	ops_assert(1 + 1 == 2);
}

static void test_aborts(void **state)
{
	(void)state;
	assert_true(aborts(overflow_realloc));
	assert_true(aborts(overflow_arena));
	assert_true(aborts(false_assert));
	assert_false(aborts(true_assert));
}

static void test_arena(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 5000, 100000, 1000000, 3};
	struct ops_arena a;
	char *at[OPS_LENGTH(sizes)];

	(void)state;
	ops_arena_init(&a);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < OPS_LENGTH(sizes); i++) {
			at[i] = ops_arena_alloc(&a, sizes[i]);
			assert_int_equal((uintptr_t)at[i] % 16, 0);
			for (size_t k = 0; k < sizes[i]; k += 7)
				assert_int_equal(at[i][k], 0);
			memset(at[i], (int)i + 1, sizes[i]);
		}
		for (size_t i = 0; i < OPS_LENGTH(sizes); i++) {
			if (sizes[i] != 0)
				assert_int_equal(at[i][sizes[i] - 1], i + 1);
		}
		assert_true(a.used_bytes >= 1109000);
		ops_arena_reset(&a);
		assert_int_equal(a.used_bytes, 0);
	}
	assert_string_equal(ops_arena_strdup(&a, "text"), "text");
	assert_string_equal(ops_arena_strndup(&a, "text", 2), "te");
	assert_string_equal(ops_arena_printf(&a, "%d/%s", 5, "x"), "5/x");
	assert_memory_equal(ops_arena_dup(&a, "a\0b", 3), "a\0b", 3);
	assert_int_equal(ops_arena_array(&a, uint32_t, 10)[9], 0);
	ops_arena_done(&a);
	ops_arena_done(&a);
}

static void test_strbuf(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;

	(void)state;
	assert_string_equal(ops_strbuf_text(&b), "");
	ops_strbuf_adds(&b, "abc");
	ops_strbuf_addc(&b, '-');
	ops_strbuf_printf(&b, "%05d", 42);
	ops_strbuf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "abc-00042\0x", 12);
	ops_strbuf_reset(&b);
	for (int i = 0; i < 1000; i++)
		ops_strbuf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	assert_string_equal(b.data + b.len - 4, "999,");
	ops_strbuf_reset(&b);
	ops_strbuf_add_double(&b, 0.1);
	char *text = ops_strbuf_take(&b);
	assert_string_equal(text, "0.1");
	free(text);
	assert_null(b.data);
	text = ops_strbuf_take(&b);
	assert_string_equal(text, "");
	free(text);
	ops_strbuf_done(&b);
}

static void test_strbuf_text(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *json, *utf8;
	} rows[] = {
		{"", 0, "\"\"", ""},
		{"plain", 5, "\"plain\"", "plain"},
		{"q\"b\\", 4, "\"q\\\"b\\\\\"", "q\"b\\"},
		{"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t"},
		{"\x01\x1f\x7f", 3, "\"\\u0001\\u001f\\u007f\"", "\x01\x1f\x7f"},
		{"a\0b", 3, "\"a\\u0000b\"", "a"},
		{"\xc3\xa9", 2, "\"\xc3\xa9\"", "\xc3\xa9"},
		{"a\xffz", 3, "\"a\xef\xbf\xbdz\"", "a\xef\xbf\xbdz"},
		{"\xc3", 1, "\"\xef\xbf\xbd\"", "\xef\xbf\xbd"},
		{"\xe2\x82z", 3, "\"\xef\xbf\xbd\xef\xbf\xbdz\"", "\xef\xbf\xbd\xef\xbf\xbdz"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		ops_strbuf_add_json(&b, rows[i].in, rows[i].len);
		assert_string_equal(ops_strbuf_text(&b), rows[i].json);
		ops_strbuf_reset(&b);
		ops_strbuf_add_utf8(&b, rows[i].in, rows[i].len);
		assert_string_equal(ops_strbuf_text(&b), rows[i].utf8);
		ops_strbuf_done(&b);
	}
}

static void test_strbuf_escaped(void **state)
{
	static const struct {
		const char *in, *plain, *quoted;
	} rows[] = {
		{"", "", "\"\""},
		{"up", "up", "\"up\""},
		{"a\\b\"c\nd", "a\\\\b\"c\\nd", "\"a\\\\b\\\"c\\nd\""},
		{"\xe2\x82\xac\t", "\xe2\x82\xac\t", "\"\xe2\x82\xac\t\""},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;

		ops_strbuf_add_escaped(&b, rows[i].in, strlen(rows[i].in), false);
		assert_string_equal(ops_strbuf_text(&b), rows[i].plain);
		ops_strbuf_reset(&b);
		ops_strbuf_add_quoted(&b, rows[i].in, strlen(rows[i].in));
		assert_string_equal(ops_strbuf_text(&b), rows[i].quoted);
		ops_strbuf_done(&b);
	}
}

static void test_strbuf_url(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	(void)state;
	ops_strbuf_add_url(&b, "aZ09-_.~ +/%\xe2\x82\xac", 15);
	assert_string_equal(ops_strbuf_text(&b), "aZ09-_.~%20%2B%2F%25%E2%82%AC");
	ops_strbuf_done(&b);
}

static void test_error(void **state)
{
	struct ops_error e;
	char text[1024], longer[2000];

	(void)state;
	assert_int_equal(ops_error_set(&e, -EINVAL, "no %s", "luck"), -EINVAL);
	assert_string_equal(ops_error_text(&e, text, sizeof(text)), "no luck");
	ops_error_set_at(&e, -EINVAL, "a.yml", 3, 7, "unknown key \"%s\"", "x");
	ops_error_hint(&e, "did you mean \"%s\"?", "y");
	assert_string_equal(ops_error_text(&e, text, sizeof(text)),
		"a.yml:3:7: unknown key \"x\" (did you mean \"y\"?)");
	ops_error_prefix(&e, "group %d", 2);
	assert_string_equal(ops_error_text(&e, text, sizeof(text)),
		"a.yml:3:7: group 2: unknown key \"x\" (did you mean \"y\"?)");
	ops_error_set_at(&e, -EINVAL, "a.yml", 3, 0, "m");
	assert_string_equal(ops_error_text(&e, text, sizeof(text)), "a.yml:3: m");
	ops_error_set_at(&e, -EINVAL, "a.yml", 0, 0, "m");
	assert_string_equal(ops_error_text(&e, text, sizeof(text)), "a.yml: m");
	ops_error_set_at(&e, -EINVAL, NULL, 1, 2, "m");
	assert_string_equal(ops_error_text(&e, text, sizeof(text)), "1:2: m");
	/* Its own text as argument, NULL, and text that does not fit. */
	ops_error_set(&e, -EIO, "again: %s", e.message);
	assert_string_equal(e.message, "again: m");
	assert_int_equal(ops_error_set(NULL, -EIO, "x"), -EIO);
	ops_error_hint(NULL, "x");
	ops_error_prefix(NULL, "x");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ops_error_set(&e, -EIO, "%s", longer);
	ops_error_prefix(&e, "%s", longer);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_aborts),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_strbuf),
		cmocka_unit_test(test_strbuf_text),
		cmocka_unit_test(test_strbuf_escaped),
		cmocka_unit_test(test_strbuf_url),
		cmocka_unit_test(test_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
