/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Private to services/detector/tsdb. */
#include "common/base/error.h"
#include "common/json/json.h"
#include "services/detector/store/blocks.h"
#include "services/detector/tsdb/tsdb.h"

enum {
	TSDB_OK = 0,
	TSDB_FAILED = 1,
	TSDB_USAGE = 2,
	TSDB_INPUT = 3
};
enum {
	TSDB_MATCHES_MAX = 32
};

struct det_tsdb_options {
	bool json, openmetrics;
	int64_t range_ms[2];
	size_t limit;
	int64_t block_ms;
	const char *matches[TSDB_MATCHES_MAX]; /* selectors; none: everything */
	size_t nmatches;
	const char *args[3];
	int nargs;
};

/* Prints "ops-detector: ..." on stderr, returns code. */
int det_tsdb_fail(int code, const char *fmt, ...) OPS_PRINTF(2, 3);
/* The folder with blocks in it: dir/blocks where there is one, else dir. */
char *det_tsdb_blocks_dir(const char *dir);

/* What a block says of itself, as JSON. Owned. */
json_t *det_tsdb_meta_json(const struct det_block_meta *m);
/* On a line of stdout; takes it. */
void det_tsdb_print_json(json_t *taken);

struct det_tsdb_set { /* the blocks of a folder, by time */
	char *dir;
	struct det_block **blocks;
	size_t n;
	unsigned findings; /* what could not be opened, told on stderr */
};
/* An exit code. */
int det_tsdb_set_open(const char *dir, struct det_tsdb_set *ret);
void det_tsdb_set_close(struct det_tsdb_set *set);

int det_tsdb_list(const struct det_tsdb_options *o);
int det_tsdb_verify(const struct det_tsdb_options *o);
int det_tsdb_analyze(const struct det_tsdb_options *o);
int det_tsdb_dump(const struct det_tsdb_options *o);
int det_tsdb_create(const struct det_tsdb_options *o);

struct ops_strbuf;
/* Everything of the set that is asked for, written to fd. 0, -errno, or -EINVAL with err when a
 * selector is wrong. */
int det_tsdb_dump_to(const struct det_tsdb_set *set, const struct det_tsdb_options *o, int fd,
	struct ops_error *err) OPS_MUST_CHECK;

/* A document in OpenMetrics with times, as blocks of o->block_ms in blocks_dir. on_block is told of
 * each. 0, or a negative code with err. Bounded memory; bytes is mapped by the caller. */
struct det_tsdb_import {
	const char *data;
	size_t len;
	const char *blocks_dir;
	int64_t block_ms;
	void (*on_block)(void *arg, const struct det_block_meta *meta);
	void (*on_progress)(void *arg, double done);
	void *arg;
	uint64_t samples, duplicates; /* results */
};
int det_tsdb_import(struct det_tsdb_import *im, struct ops_error *err) OPS_MUST_CHECK;
