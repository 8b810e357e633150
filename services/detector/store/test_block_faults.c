/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage of any file of a block is reported and never answered with a wrong value; what was
 * interrupted or met a full disk leaves nothing or the whole.
 */
#include "services/detector/store/blocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "services/detector/store/blocks_model.h"

struct checking {
	const struct model_series *expected;
	size_t at;
};

/* ---- damage -----------------------------------------------------------------------------------
 */

static const char *const files[] = {"meta.json", "index", "segments", "tombstones"};

static void ignore_finding(void *arg, const char *finding)
{
	(void)finding;
	++*(unsigned *)arg;
}

/* What was read is what was written, or less: nothing else. */
static void check_subset_run(void *arg, const struct det_block_run *run)
{
	struct checking *c = arg;
	for (size_t i = 0; i < run->n; i++) {
		int64_t t = run->blobs != NULL ? run->blobs[i].t : run->t[i];
		while (c->at < c->expected->n && c->expected->samples[c->at].t < t) {
			c->at++;
		}
		assert_true(c->at < c->expected->n);
		const struct model_sample *s = &c->expected->samples[c->at];
		assert_int_equal(s->t, t);
		if (run->blobs != NULL) {
			assert_int_equal(*(const char *)run->blobs[i].data, s->blob);
		} else {
			assert_true(ops_double_same(run->v[i], s->v));
		}
	}
}

static void check_subset(const struct det_block *b, const struct model *m)
{
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_segment_cursor cursor = {.columns = NULL};
	struct ops_label labels[3];
	for (uint32_t i = 0; det_block_labels(b, i, labels, 3, NULL) != 0; i++) {
		struct checking c = {.expected = &m->series[model_series_number(labels)]};
		det_block_read(b, i, always, &cursor, check_subset_run, &c);
	}
	det_segment_cursor_done(&cursor);
}

/* The block as it is now is refused, or verify has findings and reading gives a part at most. */
static void expect_damage(const char *path, const struct model *m)
{
	struct det_block *b;
	struct ops_error err;
	unsigned findings = 0;
	uint64_t before = det_block_corruptions();
	if (det_block_open(path, &b, &err) == 0) {
		check_subset(b, m);
		assert_int_equal(det_block_verify(b, ignore_finding, &findings), -EBADMSG);
		assert_true(findings > 0);
		det_block_unref(b);
	} else {
		assert_true(err.message[0] != '\0');
	}
	assert_true(det_block_corruptions() > before);
}

static void flip(const char *path, off_t at, uint8_t mask)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void test_flipped_bits(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	model_no_conflicts = true;
	char *path = model_block(dir, &m, MODEL_START_MS);
	model_no_conflicts = false;
	struct det_block *b = model_open(path);
	model_delete_some(b, &m);
	det_block_unref(b);
	for (size_t f = 0; f < OPS_LENGTH(files); f++) {
		char *file = ops_path_join(path, files[f]);
		struct stat st;
		assert_int_equal(stat(file, &st), 0);
		for (int turn = 0; turn < 100; turn++) {
			off_t at = (off_t)(model_random() % (uint64_t)st.st_size);
			uint8_t mask = (uint8_t)(1u << (model_random() % 8));
			flip(file, at, mask);
			expect_damage(path, &m);
			flip(file, at, mask);
		}
		free(file);
	}
	b = model_open(path);
	model_check(b, &m);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

static void test_truncated_files(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	model_no_conflicts = true;
	char *path = model_block(dir, &m, MODEL_START_MS);
	model_no_conflicts = false;
	for (size_t f = 0; f < 3; f++) {
		char *file = ops_path_join(path, files[f]);
		struct ops_strbuf whole = OPS_STRBUF_INIT;
		assert_int_equal(ops_file_read(file, 1 << 24, &whole), 0);
		for (int turn = 0; turn < 40; turn++) {
			size_t len = turn == 0 ? 0 : model_random() % whole.len;
			assert_int_equal(truncate(file, (off_t)len), 0);
			expect_damage(path, &m);
			assert_int_equal(
				ops_file_write_atomic(file, whole.data, whole.len, 0640), 0);
		}
		ops_strbuf_done(&whole);
		free(file);
	}
	struct det_block *b = model_open(path);
	model_check(b, &m);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

/* ---- interruption -----------------------------------------------------------------------------
 */

static size_t count_names(const char *path)
{
	size_t n = 0;
	const struct dirent *entry;
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		n += entry->d_name[0] != '.';
	}
	closedir(dir);
	return n;
}

/* Runs fn in a child whose files may have limit bytes at most. */
static int in_limited_child(void (*fn)(const char *dir), const char *dir, rlim_t limit)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit rl = {limit, limit};
		struct sigaction ignore = {.sa_handler = SIG_IGN};
		sigaction(SIGXFSZ, &ignore, NULL);
		setrlimit(RLIMIT_FSIZE, &rl);
		fn(dir);
		_exit(9);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static struct model scratch_model;

static int try_block(const char *dir)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	struct ops_error err;
	int rc = det_block_writer_new(dir, 1, &w, &err);
	if (rc != 0) {
		return rc;
	}
	for (int i = 0; i < 40; i++) {
		memset(&scratch_model, 0, sizeof(scratch_model));
		model_table(w, &scratch_model, MODEL_START_MS + (int64_t)i * 200 * STEP_MS);
	}
	return det_block_writer_finish(w, &meta, &err);
}

static void write_limited(const char *dir)
{
	_exit(try_block(dir) == 0 ? 0 : 1);
}

static void test_full_disk(void **state)
{
	char *dir = tempdir_make();
	size_t whole = 0;
	(void)state;
	for (rlim_t limit = 0; limit < 40000; limit += limit < 1000 ? 250 : 5000) {
		bool written = in_limited_child(write_limited, dir, limit) == 0;
		whole += written;
		assert_int_equal(model_count(dir), whole);
		/* Nothing is left behind: the folder holds whole blocks only. */
		assert_int_equal(count_names(dir), whole);
	}
	assert_true(whole > 0);
	tempdir_remove(dir);
}

/* Writes and compacts until it is killed; a byte on the pipe when it has begun. */
static void work_forever(const char *dir, int tell)
{
	for (;;) {
		struct det_block **blocks;
		struct det_block_meta meta;
		size_t n;
		(void)!write(tell, "x", 1);
		for (int i = 0; i < 2; i++) {
			if (try_block(dir) != 0) {
				_exit(1);
			}
		}
		if (det_blocks_load(dir, false, &blocks, &n, NULL, NULL) != 0 ||
			det_blocks_compact(dir, blocks, n, NULL, NULL, &meta, NULL) != 0) {
			_exit(1);
		}
		for (size_t i = 0; i < n; i++) {
			det_block_remove(blocks[i]);
			det_block_unref(blocks[i]);
		}
		free(blocks);
	}
}

static uint64_t samples_in(const char *dir)
{
	struct det_block **blocks;
	size_t n;
	uint64_t samples = 0;
	assert_int_equal(det_blocks_load(dir, true, &blocks, &n, NULL, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(det_block_verify(blocks[i], model_no_finding, NULL), 0);
		samples += det_block_meta(blocks[i])->samples;
		det_block_unref(blocks[i]);
	}
	free(blocks);
	return samples;
}

static void test_killed(void **state)
{
	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		int pipe_fds[2];
		char byte;
		char *dir = tempdir_make();
		assert_int_equal(pipe(pipe_fds), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(pipe_fds[0]);
			work_forever(dir, pipe_fds[1]);
		}
		close(pipe_fds[1]);
		assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
		usleep((useconds_t)(model_random() % 25000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(pipe_fds[0]);
		uint64_t samples = samples_in(dir);
		assert_int_equal(samples_in(dir), samples);
		/* A leftover that was removed is not there any more. */
		assert_int_equal(count_names(dir), model_count(dir));
		tempdir_remove(dir);
	}
}

static void test_parents_removed(void **state)
{
	char *dir = tempdir_make();
	char *first = model_simple(dir, 1000), *second = model_simple(dir, 5000);
	struct det_block *blocks[2] = {model_open(first), model_open(second)}, **loaded;
	struct det_block_meta meta;
	size_t n;
	(void)state;
	assert_int_equal(det_blocks_compact(dir, blocks, 2, NULL, NULL, &meta, NULL), 0);
	det_block_unref(blocks[0]);
	det_block_unref(blocks[1]);
	assert_int_equal(model_count(dir), 3);
	assert_int_equal(det_blocks_load(dir, true, &loaded, &n, NULL, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(det_block_meta(loaded[0])->ulid, meta.ulid);
	assert_int_equal(det_block_meta(loaded[0])->samples, 4 * SERIES);
	det_block_unref(loaded[0]);
	free(loaded);
	assert_int_equal(access(first, F_OK), -1);
	assert_int_equal(access(second, F_OK), -1);
	free(first);
	free(second);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_truncated_files),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_parents_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
