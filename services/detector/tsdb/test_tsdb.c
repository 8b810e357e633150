/* SPDX-License-Identifier: Apache-2.0 */
/* A document becomes blocks, and blocks become the same document again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "services/detector/tsdb/internal.h"

static void count_block(void *arg, const struct det_block_meta *meta)
{
	assert_true(meta->samples > 0);
	++*(unsigned *)arg;
}

static int import_text(const char *dir, const char *text, unsigned *ret_blocks,
	struct det_tsdb_import *ret, struct ops_error *err)
{
	*ret_blocks = 0;
	*ret = (struct det_tsdb_import){.data = text,
		.len = strlen(text),
		.blocks_dir = dir,
		.block_ms = 7200 * 1000,
		.on_block = count_block,
		.arg = ret_blocks};
	return det_tsdb_import(ret, err);
}

static char *dump(const char *dir, const struct det_tsdb_options *o)
{
	struct det_tsdb_set set;
	struct ops_error err;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	FILE *file = tmpfile();
	char piece[4096];
	size_t n;
	assert_int_equal(det_tsdb_set_open(dir, &set), TSDB_OK);
	assert_int_equal(set.findings, 0);
	for (size_t i = 0; i < set.n; i++) {
		assert_int_equal(det_block_verify(set.blocks[i], NULL, NULL), 0);
	}
	assert_int_equal(det_tsdb_dump_to(&set, o, fileno(file), &err), 0);
	det_tsdb_set_close(&set);
	rewind(file);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
		ops_strbuf_add(&out, piece, n);
	}
	fclose(file);
	return ops_strbuf_take(&out);
}

static const char document[] = "# TYPE a counter\n"
			       "a_total{x=\"1\"} 1 0\n"
			       "a_total{x=\"1\"} 2.5 15\n"
			       "a_total{x=\"1\"} 3 7200\n"
			       "a_total{x=\"2\"} 5 0\n"
			       "a_total{x=\"2\"} 5 15.25\n"
			       "# TYPE b gauge\n"
			       "b NaN 30\n"
			       "b +Inf 90000\n"
			       "# EOF\n";

static void test_round_trip(void **state)
{
	struct det_tsdb_options all = {.range_ms = {INT64_MIN, INT64_MAX}, .openmetrics = true};
	struct det_tsdb_import im;
	struct ops_error err;
	unsigned blocks;
	char *dir = tempdir_make();
	(void)state;
	assert_int_equal(import_text(dir, document, &blocks, &im, &err), 0);
	assert_int_equal(blocks, 3);
	assert_int_equal(im.samples, 7);
	assert_int_equal(im.duplicates, 0);
	char *text = dump(dir, &all);
	assert_string_equal(text, "a_total{x=\"1\"} 1 0\n"
				  "a_total{x=\"1\"} 2.5 15\n"
				  "a_total{x=\"1\"} 3 7200\n"
				  "a_total{x=\"2\"} 5 0\n"
				  "a_total{x=\"2\"} 5 15.250\n"
				  "b NaN 30\n"
				  "b +Inf 90000\n"
				  "# EOF\n");
	free(text);
	all.openmetrics = false;
	all.matches[0] = "{x=\"2\"}";
	all.matches[1] = "b";
	all.nmatches = 2;
	all.range_ms[0] = 15000;
	all.range_ms[1] = 89000000;
	text = dump(dir, &all);
	assert_string_equal(text, "a_total{x=\"2\"} 5 15250\nb NaN 30000\n");
	free(text);
	tempdir_remove(dir);
}

/* The same once more: blocks that overlap, and of equal times one. */
static void test_twice(void **state)
{
	struct det_tsdb_options all = {.range_ms = {INT64_MIN, INT64_MAX}, .openmetrics = true};
	struct det_tsdb_import im;
	struct ops_error err;
	unsigned blocks;
	char *dir = tempdir_make();
	(void)state;
	assert_int_equal(import_text(dir, document, &blocks, &im, &err), 0);
	char *once = dump(dir, &all);
	assert_int_equal(import_text(dir, document, &blocks, &im, &err), 0);
	char *twice = dump(dir, &all);
	assert_string_equal(once, twice);
	free(once);
	free(twice);
	tempdir_remove(dir);
}

/* Rows by time, as scrapes follow each other; and one by one. */
static void test_many(void **state)
{
	struct det_tsdb_options all = {.range_ms = {INT64_MIN, INT64_MAX}, .openmetrics = true};
	struct ops_strbuf in = OPS_STRBUF_INIT, wanted = OPS_STRBUF_INIT;
	struct det_tsdb_import im;
	struct ops_error err;
	unsigned blocks;
	char *dir = tempdir_make();
	(void)state;
	for (int s = 10; s < 30; s++) {
		for (int t = 0; t < 1500; t++) {
			/* Every third series starts later. */
			if (s % 3 == 0 && t < 100) {
				continue;
			}
			int value = s * 100000 + t;
			ops_strbuf_printf(&in, "m{s=\"%d\"} %d %d\n", s, value, t * 10);
			ops_strbuf_printf(&wanted, "m{s=\"%d\"} %d %d\n", s, value, t * 10);
		}
	}
	ops_strbuf_adds(&in, "# EOF\n");
	ops_strbuf_adds(&wanted, "# EOF\n");
	assert_int_equal(import_text(dir, in.data, &blocks, &im, &err), 0);
	assert_int_equal(blocks, 3);
	char *text = dump(dir, &all);
	assert_string_equal(text, wanted.data);
	free(text);
	ops_strbuf_done(&in);
	ops_strbuf_done(&wanted);
	tempdir_remove(dir);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
		int line;
	} cases[] = {
		{"a 1\n# EOF\n", "no time", 1},
		{"# EOF\n", "no samples", 0},
		{"a 1 1\nb 1 2\n", "EOF", 0},
		{"a 1 1\nb{ 1 2\n# EOF\n", "", 2},
	};
	struct det_tsdb_import im;
	struct ops_error err;
	unsigned blocks;
	char *dir = tempdir_make();
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		assert_true(import_text(dir, cases[i].text, &blocks, &im, &err) < 0);
		assert_int_equal(blocks, 0);
		assert_non_null(strstr(err.message, cases[i].says));
		assert_true(cases[i].line == 0 || err.line == cases[i].line);
	}
	struct det_tsdb_set set;
	assert_int_equal(det_tsdb_set_open(dir, &set), TSDB_OK);
	assert_int_equal(set.n, 0);
	det_tsdb_set_close(&set);
	tempdir_remove(dir);
}

static void test_duplicates(void **state)
{
	struct det_tsdb_options all = {.range_ms = {INT64_MIN, INT64_MAX}};
	struct det_tsdb_import im;
	struct ops_error err;
	unsigned blocks;
	char *dir = tempdir_make();
	(void)state;
	assert_int_equal(import_text(dir, "a 1 1\na 2 1\na 3 0\n# EOF\n", &blocks, &im, &err), 0);
	assert_int_equal(im.duplicates, 1);
	char *text = dump(dir, &all);
	assert_string_equal(text, "a 3 0\na 1 1000\n");
	free(text);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_duplicates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
