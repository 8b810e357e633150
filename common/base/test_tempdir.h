/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A directory of a test's own: made under $TMPDIR or /tmp, removed with all that is in it. */
#include "common/base/def.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static inline char *tempdir_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = ops_xasprintf("%s/ops-test-XXXXXX", base != NULL ? base : "/tmp");

	ops_assert(mkdtemp(path) != NULL);
	return path;
}

static inline int tempdir_remove_one(
	const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

/* Removes and frees. */
static inline void tempdir_remove(char *path)
{
	ops_assert(nftw(path, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free(path);
}
