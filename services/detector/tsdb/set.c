/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a folder, opened for the commands behind --tsdb, and how these fail. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "services/detector/tsdb/internal.h"

int det_tsdb_fail(int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("ops-detector: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

char *det_tsdb_blocks_dir(const char *dir)
{
	char *below = ops_path_join(dir, "blocks");
	struct stat st;
	if (stat(below, &st) == 0 && S_ISDIR(st.st_mode)) {
		return below;
	}
	free(below);
	return ops_xstrdup(dir);
}

static void on_finding(void *arg, const char *finding)
{
	struct det_tsdb_set *set = arg;
	set->findings++;
	(void)det_tsdb_fail(0, "%s", finding);
}

int det_tsdb_set_open(const char *dir, struct det_tsdb_set *ret)
{
	struct det_tsdb_set set = {.dir = det_tsdb_blocks_dir(dir)};
	int rc = det_blocks_load(set.dir, false, &set.blocks, &set.n, on_finding, &set);
	if (rc != 0) {
		rc = det_tsdb_fail(TSDB_FAILED, "could not read %s: %s", set.dir, strerror(-rc));
		free(set.dir);
		return rc;
	}
	*ret = set;
	return TSDB_OK;
}

void det_tsdb_set_close(struct det_tsdb_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		det_block_unref(set->blocks[i]);
	}
	free(set->blocks);
	free(set->dir);
}
