/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The series of native histograms are found as others are: their text (ops_protobuf_body) has a
 * line for each, read by the same layouts, so labels are merged, relabelled and limited once as
 * long as the series stay the same. The value of a line is the place of its histogram. A series
 * that came native and is converted as well stays the native one: it stands first.
 *
 * A message is understood only where a limit of the job asks for it: resolution is halved until the
 * buckets are few enough, which histograms with custom buckets do not know.
 */
#include "services/collector/native.h"

#include <errno.h>

#include "common/proto/proto.h"
#include "common/remote/histogram.h"
#include "services/collector/config.h"
#include "services/collector/series_set.h"

enum {
	FLUSH_BYTES = 1 << 20,
	SUM = 3, /* fields of remote write's Histogram */
	TIME = 15
};

int col_native_read(struct col_native *n, const struct col_series_rules *rules,
	const struct ops_protobuf_body *body, bool again, struct ops_error *err)
{
	const struct ops_exposition_text text = {
		ops_strbuf_text(&body->natives), body->natives.len};
	struct col_series_rules own = *rules;
	own.reports[0] = NULL;
	own.honor_timestamps = own.convert_classic = false;
	col_layout_free(n->fresh);
	n->fresh = NULL;
	if (body->n == 0 && (n->layout == NULL || n->layout->nlines == 0)) {
		return 0;
	}
	if (n->layout != NULL && !again &&
		col_layout_read(n->layout, &own, OPS_EXPOSITION_PROTO, text, &n->values)) {
		return 0;
	}
	return col_layout_parse(&own, OPS_EXPOSITION_PROTO, text, &n->values, &n->fresh, err);
}

static const struct col_layout *read_layout(const struct col_native *n)
{
	return n->fresh != NULL ? n->fresh : n->layout;
}

size_t col_native_lines(const struct col_native *n)
{
	const struct col_layout *l = read_layout(n);
	return l != NULL ? l->nlines : 0;
}

size_t col_native_count(const struct col_native *n)
{
	const struct col_layout *l = read_layout(n);
	return l != NULL ? l->nseries : 0;
}

struct ops_labels *col_native_series(const struct col_native *n, size_t place)
{
	for (size_t i = 0; n->layout != NULL && i < n->layout->nseries; i++) {
		if ((size_t)n->values.values[i] == place) {
			return n->layout->wire.series[i];
		}
	}
	return NULL;
}

/* ---- resolution ---- */

static size_t buckets_of(const struct ops_histogram *h)
{
	return (size_t)h->positive.n + h->negative.n;
}

/* 1: it is another now. */
static int make_coarser(struct ops_histogram *h, const struct col_job *job)
{
	int32_t before = h->schema;
	bool custom = ops_histogram_is_custom(h);
	if (!custom && h->schema > job->finest_schema) {
		ops_histogram_reduce(h, job->finest_schema);
	}
	while (job->histogram_buckets > 0 && buckets_of(h) > (size_t)job->histogram_buckets) {
		if (custom || h->schema <= OPS_HISTOGRAM_SCHEMA_MIN) {
			return -E2BIG;
		}
		ops_histogram_reduce(h, h->schema - 1);
	}
	return h->schema != before;
}

static int limit_one(const struct col_job *job, struct ops_protobuf_body *body, size_t place,
	struct ops_arena *scratch, struct ops_error *err)
{
	struct ops_protobuf_native *at = &body->items[place];
	const struct ops_remote_histogram message = {
		.data = (const uint8_t *)body->messages.data + at->from,
		.len = at->len,
		.time_ms = at->time_ms};
	struct ops_histogram h;
	ops_arena_reset(scratch);
	if (ops_remote_histogram_decode(&message, scratch, &h) != 0) {
		return ops_error_set(err, -EINVAL, "a native histogram is malformed");
	}
	int r = make_coarser(&h, job);
	if (r < 0) {
		return ops_error_set(err, r,
			"native_histogram_bucket_limit exceeded: a histogram has %zu buckets",
			buckets_of(&h));
	}
	if (r > 0) {
		at->from = body->messages.len;
		ops_remote_histogram_encode(&h, at->time_ms, &body->messages);
		at->len = body->messages.len - at->from;
	}
	return 0;
}

int col_native_limit(const struct col_native *n, const struct col_job *job,
	struct ops_protobuf_body *body, struct ops_arena *scratch, struct ops_error *err)
{
	const struct col_layout *l = read_layout(n);
	bool wanted = job->histogram_buckets > 0 || job->finest_schema < OPS_HISTOGRAM_SCHEMA_MAX;
	int r = 0;
	for (size_t i = 0; r == 0 && wanted && l != NULL && i < l->nseries; i++) {
		r = limit_one(job, body, (size_t)n->values.values[i], scratch, err);
	}
	return r;
}

/* ---- messages ---- */

struct sending {
	struct ops_remote_writer writer;
	struct ops_strbuf message;
	struct col_publisher *to;
	size_t n;
};

static void begin(struct sending *s, struct col_publisher *to)
{
	*s = (struct sending){.to = to};
	ops_remote_writer_init(&s->writer, OPS_REMOTE_2);
}

static void flush(struct sending *s)
{
	if (s->n == 0) {
		return;
	}
	ops_strbuf_reset(&s->message);
	ops_remote_writer_finish(&s->writer, &s->message);
	int r = col_publish_received(s->to, &s->message, s->n);
	(void)r; /* counted and logged there */
	ops_remote_writer_reset(&s->writer);
	s->n = 0;
}

static void send_one(
	struct sending *s, const struct ops_labels *labels, const struct ops_remote_histogram *h)
{
	const struct ops_remote_series series = {
		.labels = labels->items, .nlabels = labels->n, .histograms = h, .nhistograms = 1};
	ops_remote_writer_series(&s->writer, &series);
	s->n++;
	if (ops_remote_writer_bytes(&s->writer) >= FLUSH_BYTES) {
		flush(s);
	}
}

static void end(struct sending *s)
{
	flush(s);
	ops_remote_writer_done(&s->writer);
	ops_strbuf_done(&s->message);
}

/* What before has and next (NULL: nothing) has not gets a staleness marker. */
static void end_missing(struct sending *s, const struct col_layout *before,
	const struct col_layout *next, int64_t time_ms)
{
	struct col_series_set known;
	struct ops_strbuf stale = OPS_STRBUF_INIT;
	ops_proto_put_double(&stale, SUM, ops_stale_nan());
	ops_proto_put_varint(&stale, TIME, (uint64_t)time_ms);
	const struct ops_remote_histogram h = {
		.data = (const uint8_t *)stale.data, .len = stale.len, .time_ms = time_ms};
	col_series_set_init(&known);
	for (size_t i = 0; next != NULL && i < next->nseries; i++) {
		(void)col_series_set_add(&known, next->wire.series, (uint32_t)i);
	}
	for (size_t i = 0; i < before->nseries; i++) {
		if (col_series_set_find(&known, before->wire.series[i]) < 0) {
			send_one(s, before->wire.series[i], &h);
		}
	}
	col_series_set_done(&known);
	ops_strbuf_done(&stale);
}

void col_native_publish(struct col_native *n, struct col_publisher *to,
	const struct ops_protobuf_body *body, int64_t time_ms)
{
	struct sending s;
	if (n->layout == NULL && n->fresh == NULL) {
		return;
	}
	begin(&s, to);
	if (n->fresh != NULL) {
		if (n->layout != NULL) {
			end_missing(&s, n->layout, n->fresh, time_ms);
		}
		col_layout_free(n->layout);
		n->layout = n->fresh;
		n->fresh = NULL;
	}
	for (size_t i = 0; i < n->layout->nseries; i++) {
		size_t place = (size_t)n->values.values[i];
		ops_assert(place < body->n);
		const struct ops_protobuf_native *at = &body->items[place];
		const struct ops_remote_histogram h = {
			.data = (const uint8_t *)body->messages.data + at->from,
			.len = at->len,
			.time_ms = at->time_ms};
		send_one(&s, n->layout->wire.series[i], &h);
	}
	end(&s);
}

void col_native_end(struct col_native *n, struct col_publisher *to, int64_t time_ms)
{
	struct sending s;
	if (n->layout != NULL && n->layout->nseries > 0) {
		begin(&s, to);
		end_missing(&s, n->layout, NULL, time_ms);
		end(&s);
	}
	col_layout_free(n->layout);
	col_layout_free(n->fresh);
	n->layout = n->fresh = NULL;
}

void col_native_done(struct col_native *n)
{
	col_layout_free(n->layout);
	col_layout_free(n->fresh);
	col_values_done(&n->values);
	*n = (struct col_native){.layout = NULL};
}
