/* SPDX-License-Identifier: Apache-2.0 */
/* The spool on real files: numbers, rolling, damage of every kind, limits, full disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/spool/segment.h"
#include "common/spool/spool.h"
#include "common/base/test_tempdir.h"

static int setup(void **state)
{
	*state = tempdir_make();
	return 0;
}

static int teardown(void **state)
{
	tempdir_remove(*state);
	return 0;
}

static struct ops_spool *open_with(
	const struct ops_spool_config *cfg, struct ops_spool_report *report)
{
	struct ops_spool *s = NULL;
	struct ops_error err;

	assert_int_equal(ops_spool_open(cfg, &s, report, &err), 0);
	return s;
}

static struct ops_spool *open_small(const char *dir, struct ops_spool_report *report)
{
	struct ops_spool_config cfg = {.dir = dir, .segment_bytes = 4096};
	return open_with(&cfg, report);
}

/* Record n is "record N" padded to 100 bytes, so that each has content of its own. */
static void content(uint64_t number, char ret[101])
{
	snprintf(ret, 101, "record %-93llu", (unsigned long long)number);
}

static void append_records(struct ops_spool *s, size_t n)
{
	char text[101];

	for (size_t i = 0; i < n; i++) {
		uint64_t number = 0, expected = ops_spool_next(s);
		content(expected, text);
		assert_int_equal(ops_spool_append(s, text, 100, &number), 0);
		assert_int_equal(number, expected);
	}
}

struct reading {
	uint64_t next, holes;
	size_t n, stop_after;
};

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct reading *r = arg;
	char text[101];

	content(number, text);
	assert_int_equal(len, 100);
	assert_memory_equal(data, text, 100);
	assert_true(number >= r->next);
	r->holes += number - r->next;
	r->next = number + 1;
	return ++r->n == r->stop_after ? 7 : 0;
}

static struct reading read_all(struct ops_spool *s, uint64_t from)
{
	struct reading r = {.next = from};

	assert_int_equal(ops_spool_read(s, from, SIZE_MAX, on_record, &r), 0);
	return r;
}

static void numbers_and_content_survive_reopening(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, &report);
	uint64_t epoch = ops_spool_epoch(s);

	assert_int_equal(ops_spool_first(s), 1);
	assert_int_equal(ops_spool_next(s), 1);
	append_records(s, 500);
	assert_int_equal(read_all(s, 1).n, 500);
	ops_spool_close(s);
	s = open_small(*state, &report);
	assert_int_equal(report.torn_bytes, 0);
	assert_int_equal(report.lost_records, 0);
	assert_int_equal(ops_spool_epoch(s), epoch);
	assert_int_equal(ops_spool_next(s), 501);
	append_records(s, 100);
	for (uint64_t from = 1; from <= 601; from += 7)
		assert_int_equal(read_all(s, from).n, 601 - from);
	assert_int_equal(read_all(s, 10000).n, 0);
	ops_spool_close(s);
	ops_spool_close(NULL);
}

static void a_reader_can_stop_and_limit(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);
	struct reading r = {.next = 10, .stop_after = 70};

	append_records(s, 200);
	assert_int_equal(ops_spool_read(s, 10, SIZE_MAX, on_record, &r), 7);
	assert_int_equal(r.next, 80);
	r = (struct reading){.next = 1};
	assert_int_equal(ops_spool_read(s, 0, 50, on_record, &r), 0);
	assert_int_equal(r.next, 51);
	ops_spool_close(s);
}

static void records_of_every_size_come_back(void **state)
{
	struct ops_spool_config cfg = {.dir = *state, .max_record_bytes = 300000};
	struct ops_spool *s = open_with(&cfg, NULL);
	char *big = ops_xcalloc(1, 300001);
	uint64_t number = 0;

	assert_int_equal(ops_spool_append(s, NULL, 0, &number), 0);
	assert_int_equal(ops_spool_append(s, big, 300000, &number), 0);
	assert_int_equal(ops_spool_append(s, big, 300001, &number), -EMSGSIZE);
	assert_int_equal(number, 2);
	ops_spool_close(s);
	s = open_with(&cfg, NULL);
	assert_int_equal(ops_spool_next(s), 3);
	ops_spool_close(s);
	free(big);
}

static void the_directory_is_locked(void **state)
{
	struct ops_spool *s = open_small(*state, NULL), *second = NULL;
	struct ops_spool_config cfg = {.dir = *state};
	struct ops_error err;

	assert_int_equal(ops_spool_open(&cfg, &second, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.hint, "another process"));
	ops_spool_close(s);
}

static void an_acknowledgement_lasts_and_frees_segments(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 400);
	uint64_t before = ops_spool_bytes(s);
	assert_int_equal(ops_spool_ack(s, 401), -EINVAL);
	assert_int_equal(ops_spool_ack(s, 200), 0);
	assert_int_equal(ops_spool_ack(s, 100), 0);
	assert_int_equal(ops_spool_acked(s), 200);
	assert_true(ops_spool_bytes(s) < before);
	assert_true(ops_spool_first(s) > 150 && ops_spool_first(s) <= 201);
	ops_spool_close(s);
	s = open_small(*state, NULL);
	assert_int_equal(ops_spool_acked(s), 200);
	assert_int_equal(read_all(s, 201).n, 200);
	assert_int_equal(ops_spool_ack(s, 400), 0);
	assert_int_equal(ops_spool_dropped(s), 0);
	ops_spool_close(s);
	s = open_small(*state, NULL);
	assert_int_equal(ops_spool_next(s), 401);
	ops_spool_close(s);
}

static void trimming_keeps_the_numbering(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 300);
	assert_int_equal(ops_spool_trim(s, 302), -EINVAL);
	assert_int_equal(ops_spool_trim(s, 301), 0);
	assert_true(ops_spool_first(s) > 200);
	assert_int_equal(ops_spool_acked(s), 0);
	assert_int_equal(ops_spool_dropped(s), 0);
	ops_spool_close(s);
	s = open_small(*state, NULL);
	assert_int_equal(ops_spool_next(s), 301);
	ops_spool_close(s);
}

static void the_size_limit_drops_the_oldest_and_counts(void **state)
{
	struct ops_spool_config cfg = {.dir = *state, .max_bytes = 40000};
	struct ops_spool *s = open_with(&cfg, NULL);

	append_records(s, 200);
	assert_int_equal(ops_spool_ack(s, 100), 0);
	append_records(s, 1000);
	assert_true(ops_spool_bytes(s) <= 40000);
	assert_int_equal(ops_spool_dropped(s), ops_spool_first(s) - 101);
	assert_int_equal(read_all(s, ops_spool_first(s)).next, 1201);
	ops_spool_close(s);
}

/* Path of the segment number `index`, oldest first. */
static char *segment_path(const char *dir, size_t index)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);
	char *found = NULL;
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		if (ops_str_starts(names[i]->d_name, "segment.") && at++ == index)
			found = ops_xasprintf("%s/%s", dir, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	assert_non_null(found);
	return found;
}

static void flip_byte(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	unsigned char byte = 0;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

enum {
	RECORD = 108
}; /* bytes of a test record with its header */

static void a_torn_tail_is_cut_at_every_length(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 10);
	ops_spool_close(s);
	for (unsigned cut = 1; cut < 9; cut++) {
		OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 0);
		/* The tail loses cut * 12 bytes of its last record. */
		assert_int_equal(
			truncate(path, OPS_SEGMENT_HEADER_BYTES + 10 * RECORD - cut * 12), 0);
		s = open_small(*state, &report);
		assert_int_equal(report.torn_bytes, RECORD - cut * 12);
		assert_int_equal(report.lost_records, 0);
		assert_int_equal(ops_spool_next(s), 10);
		append_records(s, 1);
		assert_int_equal(read_all(s, 1).n, 10);
		ops_spool_close(s);
	}
}

static void a_tail_of_zeros_is_cut(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 5);
	ops_spool_close(s);
	OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 0);
	assert_int_equal(truncate(path, OPS_SEGMENT_HEADER_BYTES + 5 * RECORD + 2000), 0);
	s = open_small(*state, &report);
	assert_int_equal(report.torn_bytes, 2000);
	assert_int_equal(ops_spool_next(s), 6);
	ops_spool_close(s);
}

/* Damage in the middle: the segment ends there, the numbers behind it are lost but never given out
 * again. */
static void damage_in_the_middle_is_reported_and_skipped(void **state)
{
	static const struct {
		off_t offset_in_record;
	} cases[] = {{0}, {2}, {3}, {5}, {8}, {60}};

	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_spool_report report;
		OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/%zu", (char *)*state, i);
		struct ops_spool *s = open_small(dir, NULL);
		append_records(s, 20);
		ops_spool_close(s);
		OPS_CLEANUP(ops_freep) char *path = segment_path(dir, 0);
		flip_byte(path, OPS_SEGMENT_HEADER_BYTES + 5 * RECORD + cases[i].offset_in_record);
		s = open_small(dir, &report);
		assert_int_equal(report.lost_records, 15);
		assert_int_equal(report.torn_bytes, 0);
		assert_int_equal(ops_spool_dropped(s), 15);
		assert_int_equal(ops_spool_next(s), 21);
		append_records(s, 10);
		struct reading r = read_all(s, 1);
		assert_int_equal(r.n, 15);
		assert_int_equal(r.holes, 15);
		ops_spool_close(s);
		s = open_small(dir, &report);
		assert_int_equal(ops_spool_next(s), 31);
		ops_spool_close(s);
	}
}

static void damage_in_an_old_segment_costs_its_rest_only(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 120);
	ops_spool_close(s);
	OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 1);
	flip_byte(path, OPS_SEGMENT_HEADER_BYTES + 20);
	s = open_small(*state, &report);
	struct reading r = read_all(s, 1);
	assert_true(report.lost_records > 30);
	assert_int_equal(r.holes, report.lost_records);
	assert_int_equal(r.next, 121);
	ops_spool_close(s);
}

static void a_damaged_header_sets_the_file_aside(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, NULL);
	uint64_t epoch = ops_spool_epoch(s);

	append_records(s, 60);
	ops_spool_close(s);
	OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 1);
	flip_byte(path, 10);
	s = open_small(*state, &report);
	/* How many it held is not known, only how many at most. */
	assert_true(report.lost_records >= 22);
	assert_true(ops_spool_next(s) >= 61);
	assert_int_equal(ops_spool_epoch(s), epoch);
	OPS_CLEANUP(ops_freep) char *aside = ops_xasprintf("%s.damaged", path);
	assert_int_equal(access(aside, F_OK), 0);
	append_records(s, 1);
	assert_int_equal(read_all(s, 1).n, 38);
	ops_spool_close(s);
}

static void a_lost_log_is_a_new_epoch(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);
	uint64_t epoch = ops_spool_epoch(s);

	append_records(s, 5);
	ops_spool_close(s);
	OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 0);
	assert_int_equal(unlink(path), 0);
	s = open_small(*state, NULL);
	assert_int_not_equal(ops_spool_epoch(s), epoch);
	assert_int_equal(ops_spool_next(s), 1);
	ops_spool_close(s);
}

static void a_damaged_acknowledgement_drains_again(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/acked", (char *)*state);

	append_records(s, 5);
	assert_int_equal(ops_spool_ack(s, 3), 0);
	ops_spool_close(s);
	flip_byte(path, 16);
	s = open_small(*state, NULL);
	assert_int_equal(ops_spool_acked(s), 0);
	ops_spool_close(s);
}

static void numbers_drained_are_not_given_out_again(void **state)
{
	struct ops_spool_report report;
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 10);
	assert_int_equal(ops_spool_ack(s, 10), 0);
	ops_spool_close(s);
	OPS_CLEANUP(ops_freep) char *path = segment_path(*state, 0);
	assert_int_equal(truncate(path, OPS_SEGMENT_HEADER_BYTES + 4 * RECORD), 0);
	s = open_small(*state, &report);
	assert_int_equal(ops_spool_next(s), 11);
	assert_int_equal(report.lost_records, 6);
	ops_spool_close(s);
}

static void damage_found_while_reading_is_skipped(void **state)
{
	struct ops_spool *s = open_small(*state, NULL);

	append_records(s, 100);
	OPS_CLEANUP(ops_freep) char *old = segment_path(*state, 0);
	OPS_CLEANUP(ops_freep) char *last = segment_path(*state, 2);
	flip_byte(old, OPS_SEGMENT_HEADER_BYTES + 3 * RECORD + 50);
	flip_byte(last, OPS_SEGMENT_HEADER_BYTES + 50);
	struct reading r = read_all(s, 1);
	uint64_t lost = ops_spool_dropped(s);
	assert_int_equal(r.n + lost, 100);
	append_records(s, 10);
	r = read_all(s, 1);
	assert_int_equal(r.n + lost, 110);
	assert_int_equal(r.next, 111);
	assert_int_equal(ops_spool_dropped(s), lost);
	ops_spool_close(s);
}

/* The child's file size limit stands for a full disk: pwrite fails half-way. */
static void a_full_disk_appends_nothing(void **state)
{
	struct ops_spool_config cfg = {.dir = *state};
	pid_t child = fork();

	if (child == 0) {
		struct rlimit limit = {2000, 2000};
		struct sigaction ignore = {.sa_handler = SIG_IGN};
		struct ops_spool *s = open_with(&cfg, NULL);
		char text[101];
		int r = 0, n = 0;
		sigaction(SIGXFSZ, &ignore, NULL);
		ops_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		for (; r == 0; n++) {
			content(ops_spool_next(s), text);
			r = ops_spool_append(s, text, 100, NULL);
		}
		bool good =
			r == -EFBIG && ops_spool_next(s) == (uint64_t)n && ops_spool_sync(s) == 0;
		content(0, text);
		good = good && ops_spool_append(s, text, 2, NULL) == 0;
		_exit(good ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct ops_spool_report report;
	struct ops_spool *s = open_with(&cfg, &report);
	assert_int_equal(report.torn_bytes, 0);
	assert_int_equal(ops_spool_next(s), 20);
	ops_spool_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			numbers_and_content_survive_reopening, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_can_stop_and_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(records_of_every_size_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(the_directory_is_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_acknowledgement_lasts_and_frees_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(trimming_keeps_the_numbering, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_size_limit_drops_the_oldest_and_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_torn_tail_is_cut_at_every_length, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tail_of_zeros_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(
			damage_in_the_middle_is_reported_and_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(
			damage_in_an_old_segment_costs_its_rest_only, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_damaged_header_sets_the_file_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_log_is_a_new_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_damaged_acknowledgement_drains_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			numbers_drained_are_not_given_out_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			damage_found_while_reading_is_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_appends_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
