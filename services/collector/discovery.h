/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Target groups from file_sd files. A file that cannot be read or parsed keeps its last good
 * groups. Files are looked at when asked; who asks does it every few seconds.
 */
#include "services/collector/config.h"

struct col_discovery; /* opaque */

struct col_discovery *col_discovery_new(void);
void col_discovery_free(struct col_discovery *d);
/* Looks at all files of the configuration; true when the groups changed. */
bool col_discovery_refresh(struct col_discovery *d, const struct col_config *config);
/* Calls fn for each group of the job's files; path is the file's. */
void col_discovery_each(struct col_discovery *d, const struct col_job *job,
	void (*fn)(void *arg, const struct col_static_group *group, const char *path), void *arg);
