/* SPDX-License-Identifier: Apache-2.0 */
/* create-blocks-from openmetrics: where the document comes from, and telling what was made. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "services/detector/tsdb/internal.h"

struct telling {
	json_t *blocks;
	bool json, terminal;
};

static void on_block(void *arg, const struct det_block_meta *m)
{
	struct telling *t = arg;
	char from[32], to[32];
	ops_time_format(m->mint_ms, from, sizeof(from));
	ops_time_format(m->maxt_ms - 1, to, sizeof(to));
	if (!t->json) {
		printf("%s  %-24s  %-24s  %12" PRIu64 "  %9" PRIu64 "  %12" PRIu64 "\n", m->ulid,
			from, to, m->samples, m->series, m->bytes);
		return;
	}
	json_array_append_new(t->blocks, det_tsdb_meta_json(m));
}

static void on_progress(void *arg, double done)
{
	const struct telling *t = arg;
	if (t->terminal) {
		fprintf(stderr, "\r%3.0f %%%s", done * 100, done >= 1 ? "\n" : "");
	}
}

/* What cannot be mapped (a pipe) goes through a file without a name. */
static int spool(int from, const char *dir, int *ret)
{
	static char buffer[1 << 16];
	ssize_t n;
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "import.XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || unlink(path) != 0) {
		int rc = -errno;
		ops_closep(&fd);
		return rc;
	}
	while ((n = read(from, buffer, sizeof(buffer))) != 0) {
		int rc = n < 0 ? (errno == EINTR ? 0 : -errno)
			       : ops_write_all(fd, buffer, (size_t)n);
		if (rc != 0) {
			close(fd);
			return rc;
		}
	}
	*ret = fd;
	return 0;
}

static int map_input(const char *file, const char *dir, struct det_tsdb_import *im)
{
	OPS_CLEANUP(ops_closep) int opened = -1;
	OPS_CLEANUP(ops_closep) int spooled = -1;
	struct stat st;
	int fd = STDIN_FILENO, rc;
	if (strcmp(file, "-") != 0) {
		opened = open(file, O_RDONLY | O_CLOEXEC);
		fd = opened;
	}
	if (fd < 0 || fstat(fd, &st) != 0) {
		return -errno;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = spool(fd, dir, &spooled);
		if (rc != 0) {
			return rc;
		}
		fd = spooled;
		if (fstat(fd, &st) != 0) {
			return -errno;
		}
	}
	if (st.st_size == 0) {
		return -ENODATA;
	}
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		return -errno;
	}
	im->data = map;
	im->len = (size_t)st.st_size;
	return 0;
}

static int import_into(const struct det_tsdb_options *o, const char *dir, struct telling *t)
{
	struct det_tsdb_import im = {.blocks_dir = dir,
		.block_ms = o->block_ms,
		.on_block = on_block,
		.on_progress = on_progress,
		.arg = t};
	struct ops_error err = {.line = 0};
	char text[1200];
	int rc = map_input(o->args[1], dir, &im);
	if (rc != 0) {
		return det_tsdb_fail(TSDB_INPUT, "could not read %s: %s", o->args[1],
			rc == -ENODATA ? "it is empty" : strerror(-rc));
	}
	rc = det_tsdb_import(&im, &err);
	munmap((void *)(uintptr_t)im.data, im.len);
	if (rc != 0) {
		if (rc == -EINVAL) {
			(void)snprintf(err.file, sizeof(err.file), "%s", o->args[1]);
		}
		return det_tsdb_fail(rc == -EINVAL ? TSDB_INPUT : TSDB_FAILED, "%s",
			ops_error_text(&err, text, sizeof(text)));
	}
	if (im.duplicates != 0) {
		fprintf(stderr, "%" PRIu64 " samples had a time that their series had already\n",
			im.duplicates);
	}
	return TSDB_OK;
}

int det_tsdb_create(const struct det_tsdb_options *o)
{
	if (o->nargs < 2 || strcmp(o->args[0], "openmetrics") != 0) {
		return det_tsdb_fail(TSDB_USAGE,
			"create-blocks-from openmetrics FILE [DIR] (FILE -: standard input)");
	}
	OPS_CLEANUP(ops_freep) char *dir = NULL;
	const char *wanted = o->nargs > 2 ? o->args[2] : "data";
	int rc = ops_mkdir_p(wanted, 0750);
	if (rc != 0) {
		return det_tsdb_fail(TSDB_FAILED, "could not make %s: %s", wanted, strerror(-rc));
	}
	dir = det_tsdb_blocks_dir(wanted);
	struct telling t = {
		.blocks = json_array(), .json = o->json, .terminal = isatty(STDERR_FILENO) == 1};
	if (!o->json) {
		printf("%-26s  %-24s  %-24s  %12s  %9s  %12s\n", "BLOCK", "FIRST", "LAST",
			"SAMPLES", "SERIES", "BYTES");
	}
	rc = import_into(o, dir, &t);
	if (o->json) {
		det_tsdb_print_json(json_incref(t.blocks));
	}
	json_decref(t.blocks);
	return rc;
}
