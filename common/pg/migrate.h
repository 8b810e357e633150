/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Applies numbered SQL files (NNNN_name.sql) forward, each in one transaction, under an advisory
 * lock; blocking (used by the command line only). Applied files are kept with their SHA-256 in
 * ops.schema_migrations; a changed or missing applied file is refused.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_migration {
	int number;
	char name[128];
	bool applied; /* before this run */
};

/* on_step is called for every file in order. dry_run only reports. -EINVAL, -ENOTCONN with err. */
int ops_migrate(const char *conninfo, const char *dir, bool dry_run,
	void (*on_step)(void *arg, const struct ops_migration *m), void *arg,
	struct ops_error *err) OPS_MUST_CHECK;
