/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The series of native histograms are found as others are: their text (ops_protobuf_body) has a
 * line for each, read by the same layouts, so labels are merged, relabelled and limited once as
 * long as the series stay the same. The value of a line is the place of its histogram.
 */
#include "services/collector/native.h"

#include "common/proto/proto.h"
#include "common/remote/write.h"
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
	own.honor_timestamps = false;
	col_layout_free(n->fresh);
	n->fresh = NULL;
	if (n->layout == NULL && body->n == 0) {
		return 0;
	}
	if (n->layout != NULL && !again &&
		col_layout_read(n->layout, &own, OPS_EXPOSITION_PROTO, text, &n->values)) {
		return 0;
	}
	return col_layout_parse(&own, OPS_EXPOSITION_PROTO, text, &n->values, &n->fresh, err);
}

size_t col_native_count(const struct col_native *n)
{
	const struct col_layout *l = n->fresh != NULL ? n->fresh : n->layout;
	return l != NULL ? l->nseries : 0;
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
