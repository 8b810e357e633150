/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/feed.h"

#include <string.h>

#include "services/collector/rows.h"

struct col_feed {
	struct col_series_rules rules;
	char *instance;
	struct col_layout *layout; /* of the row that went out last */
	struct col_rows rows;
};

struct col_feed *col_feed_new(struct col_publisher *publisher, struct ops_labels *labels,
	const char *instance, const struct col_limits *limits)
{
	struct col_feed *f = ops_xcalloc(1, sizeof(*f));
	f->rows.to = publisher;
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
	col_rows_done(&f->rows);
	col_layout_free(f->layout);
	ops_labels_unref(f->rules.labels);
	free(f->instance);
	free(f);
}

/* *ret is NULL when the body has the layout of the one before. */
static int read_body(struct col_feed *f, struct ops_exposition_text body, struct col_layout **ret,
	struct ops_error *err)
{
	*ret = NULL;
	if (f->layout != NULL &&
		col_layout_read(f->layout, &f->rules, OPS_EXPOSITION_TEXT, body, &f->rows.now)) {
		return 0;
	}
	return col_layout_parse(&f->rules, OPS_EXPOSITION_TEXT, body, &f->rows.now, ret, err);
}

int col_feed_publish(
	struct col_feed *f, struct ops_exposition_text body, int64_t time_ms, struct ops_error *err)
{
	struct col_layout *fresh, *next;
	int r = read_body(f, body, &fresh, err);
	if (r != 0) {
		return r;
	}
	next = fresh != NULL ? fresh : f->layout;
	r = col_rows_publish(&f->rows, next, OPS_MAX(time_ms, f->rows.last_ms + 1), true);
	if (r != 0) {
		col_layout_free(fresh);
		return ops_error_set(err, r, "could not publish the samples: %s", strerror(-r));
	}
	if (fresh != NULL) {
		col_layout_free(f->layout);
		f->layout = fresh;
	}
	return 0;
}

static void forget_layout(struct col_feed *f)
{
	col_layout_free(f->layout);
	f->layout = NULL;
}

void col_feed_end(struct col_feed *f, int64_t time_ms)
{
	col_rows_end(&f->rows, time_ms);
	forget_layout(f);
}

void col_feed_release(struct col_feed *f)
{
	col_rows_release(&f->rows);
	forget_layout(f);
}
