/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The rows that one source of samples has on the bus, a target that is scraped or a group that was
 * pushed: which layout the last one had, and what changes when the next has another. Layouts are
 * the source's; the one in `published` must live as long as it stands there. Loop thread only.
 */
#include "services/collector/publish.h"

struct col_rows {
	struct col_publisher *to;
	struct col_layout *published; /* whose row was the last to go out; NULL: none was */
	struct col_values now, last;  /* the row that is being made; the one that is out */
	int64_t last_ms;
};

/*
 * Sends r->now, a row of next, which is r->last afterwards. When the layout is another than that of
 * the row before, that one gets a final row, in which what next does not have is stale (with
 * timestamps of its own only when track_timestamps is set). -EMSGSIZE: next is too large for a
 * message; nothing was sent.
 */
int col_rows_publish(struct col_rows *r, struct col_layout *next, int64_t time_ms,
	bool track_timestamps) OPS_MUST_CHECK;
/* A final row with everything stale, not before time_ms; nothing when there was none. */
void col_rows_end(struct col_rows *r, int64_t time_ms);
/* The source lives on at another collector: no final row, and the detector is told. */
void col_rows_release(struct col_rows *r);
void col_rows_done(struct col_rows *r); /* without a word on the bus */
