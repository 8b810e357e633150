/* SPDX-License-Identifier: Apache-2.0 */
/* Files in a private directory: limits, atomic replacement, secrets, paths. */
#include "common/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"

static char *dir;

static int enter_dir(void **state)
{
	(void)state;
	dir = tempdir_make();
	return chdir(dir);
}

static int leave_dir(void **state)
{
	(void)state;
	int rc = chdir("/");
	tempdir_remove(dir);
	return rc;
}

static void test_write_and_read(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(ops_file_write_atomic("f", "hello", 5, 0640), 0);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(ops_file_read("f", 5, &b), 0);
	assert_string_equal(b.data, "hello");
	/* Appends, and is back where it was after a refusal. */
	assert_int_equal(ops_file_read("f", 4, &b), -EFBIG);
	assert_string_equal(b.data, "hello");
	assert_int_equal(ops_file_read("f", 100, &b), 0);
	assert_string_equal(b.data, "hellohello");
	/* Replaces; a left-over temporary file is no obstacle. */
	int fd = open("f.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ops_write_all(fd, "a much longer rest", 18), 0);
	ops_closep(&fd);
	assert_int_equal(fd, -1);
	ops_closep(&fd);
	assert_int_equal(ops_file_write_atomic("f", "", 0, 0600), 0);
	assert_int_equal(access("f.tmp", F_OK), -1);
	ops_strbuf_reset(&b);
	assert_int_equal(ops_file_read("f", 0, &b), 0);
	assert_int_equal(b.len, 0);
	ops_strbuf_done(&b);
}

static void test_large(void **state)
{
	enum {
		SIZE = 300000
	};
	struct ops_strbuf b = OPS_STRBUF_INIT;
	char *data = ops_xmalloc(SIZE);

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)(i * 31 >> 3);
	assert_int_equal(ops_file_write_atomic("f", data, SIZE, 0600), 0);
	assert_int_equal(ops_file_read("f", SIZE, &b), 0);
	assert_int_equal(b.len, SIZE);
	assert_memory_equal(b.data, data, SIZE);
	assert_int_equal(ops_file_read("f", SIZE - 1, &b), -EFBIG);
	ops_strbuf_done(&b);
	free(data);
}

static void test_refusals(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;

	(void)state;
	assert_int_equal(ops_file_read("missing", 10, &b), -ENOENT);
	assert_int_equal(ops_file_read("/", 10, &b), -EISDIR);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(ops_file_read("fifo", 10, &b), -EINVAL);
	assert_int_equal(ops_file_write_atomic("none/f", "x", 1, 0600), -ENOENT);
	assert_int_equal(ops_dir_sync("missing"), -ENOENT);
	assert_int_equal(ops_write_all(-1, "x", 1), -EBADF);
	ops_strbuf_done(&b);
}

static void test_secret(void **state)
{
	static const struct {
		const char *content;
		size_t len;
		const char *secret;
	} rows[] = {
		{"s3cret\n", 7, "s3cret"},
		{" lead stays \t\r\n\n", 16, " lead stays"},
		{"\n \n", 3, NULL},
		{"", 0, NULL},
		{"a\0b", 3, NULL},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		char *secret = NULL;
		assert_int_equal(ops_file_write_atomic("f", rows[i].content, rows[i].len, 0600), 0);
		int r = ops_file_read_secret("f", &secret);
		assert_int_equal(r, rows[i].secret != NULL ? 0 : -EINVAL);
		if (rows[i].secret != NULL)
			assert_string_equal(secret, rows[i].secret);
		else
			assert_null(secret);
		free(secret);
	}
}

static void test_directories(void **state)
{
	(void)state;
	assert_int_equal(ops_mkdir_p("a/b/c", 0700), 0);
	assert_int_equal(ops_mkdir_p("a/b/c", 0700), 0);
	assert_int_equal(ops_mkdir_p("a//b/c/", 0700), 0);
	assert_int_equal(ops_mkdir_p("/", 0700), 0);
	assert_int_equal(ops_mkdir_p("", 0700), -EINVAL);
	assert_int_equal(ops_file_write_atomic("f", "x", 1, 0600), 0);
	assert_int_equal(ops_mkdir_p("f", 0700), -ENOTDIR);
	assert_int_equal(ops_mkdir_p("f/x", 0700), -ENOTDIR);
	assert_int_equal(ops_dir_sync("a/b"), 0);
}

static void test_paths(void **state)
{
	static const struct {
		const char *dir, *name, *joined;
	} joins[] = {
		{"a", "b", "a/b"},
		{"a/", "b", "a/b"},
		{"a", "/b", "/b"},
		{"", "b", "b"},
		{"/", "b", "/b"},
	};
	static const struct {
		const char *path, *dir;
	} dirs[] = {{"a", "."}, {"a/b", "a"}, {"/a", "/"}, {"/a/b/c", "/a/b"}, {"", "."}};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(joins); i++) {
		char *path = ops_path_join(joins[i].dir, joins[i].name);
		assert_string_equal(path, joins[i].joined);
		free(path);
	}
	for (size_t i = 0; i < OPS_LENGTH(dirs); i++) {
		char *path = ops_path_dir(dirs[i].path);
		assert_string_equal(path, dirs[i].dir);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
