/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The new layout is sent before the old one's final row, because it may be refused; a reader lets
 * go of the old one when the first row of the new one comes.
 */
#include "services/collector/rows.h"

int col_rows_publish(
	struct col_rows *r, struct col_layout *next, int64_t time_ms, bool track_timestamps)
{
	bool switched = r->published != next;
	int rc = col_publish_layout(r->to, next, switched);
	if (rc != 0) {
		return rc;
	}
	if (r->published != NULL && switched) {
		col_layout_retire(r->published, &r->last, next, &r->now, track_timestamps);
		col_publish_row(r->to, r->published, time_ms, &r->last);
	}
	col_publish_row(r->to, next, time_ms, &r->now);
	struct col_values swap = r->last;
	r->last = r->now;
	r->now = swap;
	r->published = next;
	r->last_ms = time_ms;
	return 0;
}

void col_rows_end(struct col_rows *r, int64_t time_ms)
{
	if (r->published == NULL) {
		return;
	}
	col_layout_retire(r->published, &r->last, NULL, NULL, true);
	r->last_ms = OPS_MAX(time_ms, r->last_ms + 1);
	col_publish_row(r->to, r->published, r->last_ms, &r->last);
	r->published = NULL;
}

void col_rows_release(struct col_rows *r)
{
	if (r->published != NULL) {
		col_publish_release(r->to, r->published);
		r->published = NULL;
	}
}

void col_rows_done(struct col_rows *r)
{
	col_values_done(&r->now);
	col_values_done(&r->last);
	r->published = NULL;
}
