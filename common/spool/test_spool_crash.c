/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer that is killed at any time: what it reported as synced is there, whole and in order, and
 * numbering goes on behind it. The child tells through a pipe, one byte per sync.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/spool/spool.h"
#include "common/base/test_tempdir.h"

enum {
	ROUNDS = 40,
	BATCH = 20,
	LEAST_LEN = 20,
	SPREAD = 400
};

static size_t record_text(uint64_t number, char *buf)
{
	size_t len = LEAST_LEN + (size_t)(number * 7919 % SPREAD);

	memset(buf, 'a' + (int)(number % 26), len);
	snprintf(buf, LEAST_LEN, "%llu", (unsigned long long)number);
	return len;
}

static void write_until_killed(struct ops_spool *s, int tell)
{
	char buf[LEAST_LEN + SPREAD];

	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			size_t len = record_text(ops_spool_next(s), buf);
			ops_assert(ops_spool_append(s, buf, len, NULL) == 0);
		}
		ops_assert(ops_spool_sync(s) == 0);
		ops_assert(write(tell, "s", 1) == 1);
		/* Now and then the reader's part, so that a kill meets it as well. */
		if (ops_spool_next(s) % 7 == 0)
			ops_assert(ops_spool_ack(s, ops_spool_next(s) - 1 - BATCH) == 0);
	}
}

static uint64_t run_and_kill(const struct ops_spool_config *cfg, uint64_t first_unsynced)
{
	int pipe_fds[2] = {-1, -1};
	char bytes[4096];
	ssize_t n = 0;

	assert_int_equal(pipe(pipe_fds), 0);
	pid_t child = fork();
	if (child == 0) {
		struct ops_spool *s = NULL;
		ops_assert(ops_spool_open(cfg, &s, NULL, NULL) == 0);
		write_until_killed(s, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], bytes, 1), 1);
	usleep((useconds_t)(ops_random_u64() % 4000));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	uint64_t syncs = 1;
	while ((n = read(pipe_fds[0], bytes, sizeof(bytes))) > 0)
		syncs += (uint64_t)n;
	close(pipe_fds[0]);
	return first_unsynced + syncs * BATCH;
}

static int check_record(uint64_t number, const void *data, size_t len, void *arg)
{
	uint64_t *next = arg;
	char buf[LEAST_LEN + SPREAD];

	assert_int_equal(number, *next);
	assert_int_equal(len, record_text(number, buf));
	assert_memory_equal(data, buf, len);
	(*next)++;
	return 0;
}

static void nothing_synced_is_lost_when_the_writer_is_killed(void **state)
{
	char *dir = tempdir_make();
	struct ops_spool_config cfg = {.dir = dir, .segment_bytes = 20000};
	uint64_t next = 1;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t promised = run_and_kill(&cfg, next);
		struct ops_spool *s = NULL;
		struct ops_spool_report report;
		assert_int_equal(ops_spool_open(&cfg, &s, &report, NULL), 0);
		assert_int_equal(report.lost_records, 0);
		assert_true(ops_spool_next(s) >= promised);
		uint64_t at = ops_spool_first(s);
		assert_true(at <= ops_spool_acked(s) + 1);
		assert_int_equal(ops_spool_read(s, at, SIZE_MAX, check_record, &at), 0);
		assert_int_equal(at, ops_spool_next(s));
		next = ops_spool_next(s);
		ops_spool_close(s);
	}
	assert_true(next > ROUNDS * BATCH);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_synced_is_lost_when_the_writer_is_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
