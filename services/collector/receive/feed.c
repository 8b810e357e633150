/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/feed.h"

#include <string.h>

struct col_feed {
	struct col_publisher *publisher;
	struct col_series_rules rules;
	char *instance;
	struct col_layout *layout; /* of the row that went out last */
	struct col_values now, last;
	int64_t last_ms;
};

struct col_feed *col_feed_new(struct col_publisher *publisher, struct ops_labels *labels,
	const char *instance, const struct col_limits *limits)
{
	struct col_feed *f = ops_xcalloc(1, sizeof(*f));
	f->publisher = publisher;
	f->instance = ops_xstrdup(instance);
	f->rules = (struct col_series_rules){
		.labels = ops_labels_ref(labels), .instance = f->instance, .limits = limits};
	return f;
}

void col_feed_free(struct col_feed *f)
{
	if (f == NULL) {
		return;
	}
	col_layout_free(f->layout);
	col_values_done(&f->now);
	col_values_done(&f->last);
	ops_labels_unref(f->rules.labels);
	free(f->instance);
	free(f);
}

/* The new layout is sent before the old one ends, because it may be refused. */
static int change_layout(struct col_feed *f, struct col_layout *fresh, int64_t time_ms)
{
	int r = col_publish_layout(f->publisher, fresh, true);
	if (r != 0) {
		return r;
	}
	if (f->layout != NULL) {
		col_layout_retire(f->layout, &f->last, fresh, &f->now, true);
		col_publish_row(f->publisher, f->layout, time_ms, &f->last);
		col_layout_free(f->layout);
	}
	f->layout = fresh;
	return 0;
}

int col_feed_publish(
	struct col_feed *f, struct ops_exposition_text body, int64_t time_ms, struct ops_error *err)
{
	struct col_layout *fresh = NULL;
	int r = 0;

	time_ms = OPS_MAX(time_ms, f->last_ms + 1);
	if (f->layout != NULL &&
		col_layout_read(f->layout, &f->rules, OPS_EXPOSITION_TEXT, body, &f->now)) {
		r = col_publish_layout(f->publisher, f->layout, false);
	} else {
		r = col_layout_parse(&f->rules, OPS_EXPOSITION_TEXT, body, &f->now, &fresh, err);
		if (r != 0) {
			return r;
		}
		r = change_layout(f, fresh, time_ms);
	}
	if (r != 0) {
		if (fresh != f->layout) {
			col_layout_free(fresh);
		}
		return ops_error_set(err, r, "could not publish the samples: %s", strerror(-r));
	}
	col_publish_row(f->publisher, f->layout, time_ms, &f->now);
	struct col_values swap = f->last;
	f->last = f->now;
	f->now = swap;
	f->last_ms = time_ms;
	return 0;
}

void col_feed_end(struct col_feed *f, int64_t time_ms)
{
	if (f->layout == NULL) {
		return;
	}
	col_layout_retire(f->layout, &f->last, NULL, NULL, true);
	f->last_ms = OPS_MAX(time_ms, f->last_ms + 1);
	col_publish_row(f->publisher, f->layout, f->last_ms, &f->last);
	col_layout_free(f->layout);
	f->layout = NULL;
}
