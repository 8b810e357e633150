/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body in protobuf becomes text and native histograms first. Its text, or that which the target
 * sent, is read as last time or anew; then histograms that are to be converted join the native
 * ones. All of it is read before anything is published, so that a limit refuses the whole scrape.
 */
#include "services/collector/scrape_read.h"

#include <errno.h>

#include "common/metrics/metrics.h"
#include "services/collector/classics.h"

static struct ops_metric bucket_limit_total =
	OPS_COUNTER("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
		"Scrapes refused by native_histogram_bucket_limit.");

/* *body becomes the text of a body in protobuf. */
static int unpack_protobuf(
	struct col_scraper *s, struct ops_exposition_text *body, struct ops_error *err)
{
	struct ops_protobuf_body *to = &s->owner->protobuf;
	const struct col_job *job = s->target->job;
	unsigned flags = (job->native_histograms ? OPS_PROTOBUF_NATIVE : 0U) |
			 (job->classic_histograms ? OPS_PROTOBUF_CLASSIC_TOO : 0U) |
			 (job->honor_timestamps ? OPS_PROTOBUF_HONOR_TIMES : 0U);
	int r = ops_protobuf_read(to, body->data, body->len, flags, s->time_ms, err);
	*body = (struct ops_exposition_text){ops_strbuf_text(&to->text), to->text.len};
	return r;
}

/* Native histograms of a body whose row, of the layout l, was read. */
static int read_natives(struct col_scraper *s, const struct col_layout *l, struct ops_error *err)
{
	struct ops_protobuf_body *body = &s->owner->protobuf;
	const struct col_job *job = s->target->job;
	int64_t limit = job->limits.samples;
	if (l->classics != NULL) {
		col_classics_convert(
			l->classics, &s->rows.now, s->time_ms, &s->owner->scratch, body);
	}
	int r = col_native_read(&s->native, &s->rules, body, s->reparse, err);
	if (r == 0) {
		r = col_native_limit(&s->native, job, body, &s->owner->scratch, err);
		ops_metric_add(&bucket_limit_total, r == -E2BIG);
	}
	if (r == 0 && limit > 0 && (int64_t)(l->nseries + col_native_count(&s->native)) > limit) {
		r = ops_error_set(err, -E2BIG, "sample_limit exceeded: more than %lld samples",
			(long long)limit);
	}
	return r;
}

/* *ret_fresh is NULL when the body has the layout of the one before. */
static int read_text(struct col_scraper *s, enum ops_exposition_format format,
	struct ops_exposition_text body, struct col_layout **ret_fresh, struct ops_error *err)
{
	if (s->cache != NULL && !s->reparse &&
		col_layout_read(s->cache, &s->rules, format, body, &s->rows.now)) {
		return 0;
	}
	return col_layout_parse(&s->rules, format, body, &s->rows.now, ret_fresh, err);
}

int col_scrape_read(struct col_scraper *s, enum ops_exposition_format format,
	struct ops_exposition_text body, struct col_layout **ret_fresh, struct ops_error *err)
{
	struct col_layout *fresh = NULL;
	int r = 0;
	if (format == OPS_EXPOSITION_PROTO) {
		r = unpack_protobuf(s, &body, err);
	} else {
		ops_protobuf_body_reset(&s->owner->protobuf);
	}
	if (r == 0) {
		r = read_text(s, format, body, &fresh, err);
	}
	if (r == 0) {
		r = read_natives(s, fresh != NULL ? fresh : s->cache, err);
	}
	if (r != 0) {
		col_layout_free(fresh);
		return r;
	}
	s->reparse = false;
	*ret_fresh = fresh;
	return 0;
}
