/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /federate as messages MetricFamily, each with its length before it, for who asks for them: the
 * one format in which native histograms with exponential buckets can leave. Counts are doubles, as
 * they are here. Custom buckets become classic ones, as in text: who federates knows these.
 */
#include "services/detector/api/federate.h"

#include <math.h>
#include <string.h>

#include "common/proto/proto.h"
#include "common/remote/histogram.h"

enum { /* the numbers of io.prometheus.client */
	FAMILY_NAME = 1,
	FAMILY_TYPE = 3,
	FAMILY_METRIC = 4,
	METRIC_LABEL = 1,
	METRIC_UNTYPED = 5,
	METRIC_TIME = 6,
	METRIC_HISTOGRAM = 7,
	HISTOGRAM_SUM = 2,
	HISTOGRAM_BUCKET = 3,
	HISTOGRAM_COUNT = 4,
	HISTOGRAM_SCHEMA = 5,
	HISTOGRAM_ZERO_THRESHOLD = 6,
	HISTOGRAM_ZERO_COUNT = 8,
	HISTOGRAM_NEGATIVE = 9,
	HISTOGRAM_POSITIVE = 12,
	BUCKET_BOUND = 2,
	BUCKET_COUNT = 4,
	TYPE_UNTYPED = 3,
	TYPE_HISTOGRAM = 4,
	TYPE_GAUGE_HISTOGRAM = 5
};

static void put_text(struct ops_strbuf *out, uint32_t number, const char *text)
{
	ops_proto_put_bytes(out, number, text, strlen(text));
}

static unsigned type_of(const struct ops_histogram *h)
{
	if (h == NULL) {
		return TYPE_UNTYPED;
	}
	return h->hint == OPS_RESET_GAUGE ? TYPE_GAUGE_HISTOGRAM : TYPE_HISTOGRAM;
}

void det_family_flush(struct det_family *f, struct ops_strbuf *out)
{
	if (f->body.len != 0) {
		ops_proto_put_raw(out, f->body.len);
		ops_strbuf_add(out, f->body.data, f->body.len);
	}
	ops_strbuf_reset(&f->body);
}

static void put_label(struct ops_strbuf *out, const char *name, const char *value)
{
	size_t mark = ops_proto_begin(out, METRIC_LABEL);
	put_text(out, 1, name);
	put_text(out, 2, value);
	ops_proto_end(out, mark);
}

static void put_labels(struct ops_strbuf *out, const struct det_family_metric *m)
{
	bool instance = ops_labels_get(m->labels, "instance") != NULL;
	for (uint32_t i = 0; i < m->labels->n; i++) {
		const struct ops_label *l = &m->labels->items[i];
		if (strcmp(l->name, OPS_LABEL_NAME) != 0) {
			put_label(out, l->name, l->value);
		}
	}
	for (uint32_t i = 0; m->external != NULL && i < m->external->n; i++) {
		const struct ops_label *l = &m->external->items[i];
		instance = instance || strcmp(l->name, "instance") == 0;
		if (ops_labels_get(m->labels, l->name) == NULL) {
			put_label(out, l->name, l->value);
		}
	}
	if (!instance) {
		put_label(out, "instance", "");
	}
}

static void put_bucket(struct ops_strbuf *out, double bound, double cumulative)
{
	size_t mark = ops_proto_begin(out, HISTOGRAM_BUCKET);
	ops_proto_put_double(out, BUCKET_BOUND, bound);
	ops_proto_put_double(out, BUCKET_COUNT, cumulative);
	ops_proto_end(out, mark);
}

static void put_classic(struct ops_strbuf *out, const struct ops_histogram *h)
{
	double cumulative = 0;
	size_t k = 0;
	for (uint32_t i = 0; i < h->ncustom; i++) {
		for (; k < h->positive.n && h->positive.items[k].index <= (int64_t)i; k++) {
			cumulative += h->positive.items[k].count;
		}
		put_bucket(out, h->custom[i], cumulative);
	}
	put_bucket(out, INFINITY, h->count);
}

static void put_exponential(struct ops_strbuf *out, const struct ops_histogram *h)
{
	ops_proto_put_sint(out, HISTOGRAM_SCHEMA, h->schema);
	ops_proto_put_double(out, HISTOGRAM_ZERO_THRESHOLD, h->zero_threshold);
	ops_proto_put_double(out, HISTOGRAM_ZERO_COUNT, h->zero_count);
	ops_remote_put_buckets(out, HISTOGRAM_NEGATIVE, &h->negative, false);
	ops_remote_put_buckets(out, HISTOGRAM_POSITIVE, &h->positive, false);
	if (h->positive.n == 0 && h->negative.n == 0) { /* an empty span says that it is native */
		size_t mark = ops_proto_begin(out, HISTOGRAM_POSITIVE);
		ops_proto_put_sint(out, 1, 0);
		ops_proto_put_varint(out, 2, 0);
		ops_proto_end(out, mark);
	}
}

static void put_histogram(struct ops_strbuf *out, const struct ops_histogram *h)
{
	size_t mark = ops_proto_begin(out, METRIC_HISTOGRAM);
	ops_proto_put_double(out, HISTOGRAM_SUM, h->sum);
	ops_proto_put_double(out, HISTOGRAM_COUNT, h->count);
	if (ops_histogram_is_custom(h)) {
		put_classic(out, h);
	} else {
		put_exponential(out, h);
	}
	ops_proto_end(out, mark);
}

void det_family_add(struct det_family *f, const struct det_family_metric *m, struct ops_strbuf *out)
{
	const char *name = ops_labels_get(m->labels, OPS_LABEL_NAME);
	unsigned type = type_of(m->h);
	if (f->body.len == 0 || f->type != type || strcmp(f->name, name) != 0) {
		det_family_flush(f, out);
		f->name = name;
		f->type = type;
		put_text(&f->body, FAMILY_NAME, name);
		ops_proto_put_varint(&f->body, FAMILY_TYPE, type);
	}
	size_t metric = ops_proto_begin(&f->body, FAMILY_METRIC);
	put_labels(&f->body, m);
	if (m->h != NULL) {
		put_histogram(&f->body, m->h);
	} else {
		size_t mark = ops_proto_begin(&f->body, METRIC_UNTYPED);
		ops_proto_put_double(&f->body, 1, m->value);
		ops_proto_end(&f->body, mark);
	}
	ops_proto_put_varint(&f->body, METRIC_TIME, (uint64_t)m->time_ms);
	ops_proto_end(&f->body, metric);
}
