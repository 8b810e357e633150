/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The series of layouts that rows in the queues name, in memory and one file each, so that a
 * backlog can be read after a restart. A file also remembers up to when rows of its layout were
 * queued. Loop thread only.
 */
#include "common/base/error.h"
#include "services/detector/store/store.h"

struct det_layouts; /* opaque */

struct det_layout {
	uint64_t id;
	struct ops_labels **series; /* NULL: no series in this column */
	size_t n;
	unsigned generation;	 /* changes when a column got its series */
	int64_t queued_ms;	 /* of the newest row */
	int64_t queued_until_ms; /* the same, when this process began; INT64_MIN: nothing */
	int64_t used_ms;	 /* monotonic */
	bool known;		 /* series are loaded */
	bool synced, queued;	 /* the file is durable; queued_ms is to be written */
};

int det_layouts_open(
	const char *dir, struct det_layouts **ret, struct ops_error *err) OPS_MUST_CHECK;
void det_layouts_close(struct det_layouts *ls); /* NULL is fine */
/* The row's layout, made and written when new. NULL: its file could not be written. */
struct det_layout *det_layouts_of_row(struct det_layouts *ls, const struct det_store_row *row);
/* For a reader of the queue; NULL: unknown, and its file is gone or damaged. */
struct det_layout *det_layouts_get(struct det_layouts *ls, uint64_t id);
/* The rows of this turn are in the queues. */
void det_layouts_queued(struct det_layouts *ls);
/* Syncs some files; true when all are durable. Before the queues' own sync. */
bool det_layouts_sync(struct det_layouts *ls);
/* Forgets what was not used since then (monotonic) and removes the files. */
void det_layouts_collect(struct det_layouts *ls, int64_t before_ms);
