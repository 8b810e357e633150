/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field numbers: opentelemetry/proto/metrics/v1/metrics.proto and common/v1/common.proto. Each
 * message is a function that is told of its fields one by one; unknown fields are skipped, as the
 * encoding wants it.
 */
#include "services/collector/receive/otlp_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/proto/proto.h"

struct decoder {
	struct col_otlp_request *request;
	struct ops_arena *arena;
	struct ops_error *err;
};

typedef int field_fn(struct decoder *d, const struct ops_proto_field *f, void *into);

static int malformed(const struct decoder *d, const char *what)
{
	return ops_error_set(d->err, -EBADMSG, "the request is malformed: %s", what);
}

struct walk {
	struct decoder *d;
	field_fn *fn;
	void *into;
	int rc; /* of fn, which has said what is wrong */
};

static int step(void *arg, const struct ops_proto_field *f)
{
	struct walk *w = arg;
	w->rc = w->fn(w->d, f, w->into);
	return w->rc;
}

static int nested(struct decoder *d, const struct ops_proto_field *f, field_fn *fn, void *into)
{
	struct walk w = {d, fn, into, 0};
	int rc = ops_proto_each(f, step, &w);
	if (rc == 0 || w.rc != 0) {
		return rc;
	}
	return malformed(d, f->wire != OPS_PROTO_LEN ? "a message was expected"
						     : "it is no Protocol Buffers message");
}

static int text(struct decoder *d, const struct ops_proto_field *f, const char **ret)
{
	if (f->wire != OPS_PROTO_LEN || !ops_utf8_valid((const char *)f->data, f->len) ||
		memchr(f->data, '\0', f->len) != NULL) {
		return malformed(d, "a text is not UTF-8, or has a NUL");
	}
	*ret = ops_arena_strndup(d->arena, (const char *)f->data, f->len);
	return 0;
}

static double as_double(const struct ops_proto_field *f)
{
	return f->wire == OPS_PROTO_FIXED64 ? ops_proto_double(f) : 0;
}

/* ---- attributes ---- */

struct any {
	struct ops_strbuf *out;
	bool inner; /* in a list or map: texts are quoted */
	int depth;
};

static int any_field(struct decoder *d, const struct ops_proto_field *f, void *into);

static int list_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	const struct any *list = into;
	struct any item = {list->out, true, list->depth + 1};
	if (f->number != 1) {
		return 0;
	}
	char last = list->out->data[list->out->len - 1];
	if (last != '[') {
		ops_strbuf_addc(list->out, ',');
	}
	size_t at = list->out->len;
	int r = nested(d, f, any_field, &item);
	if (r == 0 && list->out->len == at) {
		ops_strbuf_adds(list->out, "null");
	}
	return r;
}

static int pair_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	const struct any *map = into;
	struct any item = {map->out, true, map->depth + 1};
	if (f->number == 1 && f->wire == OPS_PROTO_LEN) {
		ops_strbuf_add_json(map->out, (const char *)f->data, f->len);
		ops_strbuf_addc(map->out, ':');
		return 0;
	}
	return f->number == 2 ? nested(d, f, any_field, &item) : 0;
}

static int map_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct any *map = into;
	if (f->number != 1) {
		return 0;
	}
	if (map->out->data[map->out->len - 1] != '{') {
		ops_strbuf_addc(map->out, ',');
	}
	int r = nested(d, f, pair_field, map);
	if (r == 0 && map->out->data[map->out->len - 1] == ':') {
		ops_strbuf_adds(map->out, "null");
	}
	return r;
}

static int composite(struct decoder *d, const struct ops_proto_field *f, struct any *into)
{
	bool list = f->number == 5;
	ops_strbuf_addc(into->out, list ? '[' : '{');
	int r = nested(d, f, list ? list_field : map_field, into);
	ops_strbuf_addc(into->out, list ? ']' : '}');
	return r;
}

static int any_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct any *any = into;
	if (any->depth > COL_OTLP_MAX_DEPTH) {
		return malformed(d, "an attribute is nested too deeply");
	}
	switch (f->number) {
	case 1: /* string */
	case 7: /* bytes */
		if (f->wire != OPS_PROTO_LEN) {
			return malformed(d, "an attribute is of the wrong type");
		}
		if (any->inner) {
			ops_strbuf_add_json(any->out, (const char *)f->data, f->len);
		} else if (memchr(f->data, '\0', f->len) == NULL || f->len == 0) {
			ops_strbuf_add_utf8(any->out, (const char *)f->data, f->len);
		}
		return 0;
	case 2:
		ops_strbuf_adds(any->out, f->value != 0 ? "true" : "false");
		return 0;
	case 3:
		ops_strbuf_printf(any->out, "%lld", (long long)f->value);
		return 0;
	case 4:
		ops_strbuf_add_double(any->out, as_double(f));
		return 0;
	case 5:
	case 6:
		return composite(d, f, any);
	default:
		return 0;
	}
}

static int attribute_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_attribute *a = into;
	if (f->number == 1) {
		return text(d, f, &a->key);
	}
	if (f->number != 2) {
		return 0;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct any any = {&out, false, 0};
	int r = nested(d, f, any_field, &any);
	a->value = ops_arena_strndup(d->arena, ops_strbuf_text(&out), out.len);
	ops_strbuf_done(&out);
	return r;
}

static int attribute(
	struct decoder *d, const struct ops_proto_field *f, struct col_otlp_attributes *into)
{
	struct col_otlp_attribute *a = COL_OTLP_ADD(d->arena, into->items, into->n, into->cap);
	a->key = a->value = "";
	return nested(d, f, attribute_field, a);
}

/* ---- points ---- */

static int exemplar_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_exemplar *x = into;
	switch (f->number) {
	case 2:
		x->time_ns = f->value;
		return 0;
	case 3:
		x->value = as_double(f);
		return 0;
	case 4:
		if (f->wire == OPS_PROTO_LEN && f->len == 8) {
			ops_hex_encode(f->data, f->len, x->span_id);
		}
		return 0;
	case 5:
		if (f->wire == OPS_PROTO_LEN && f->len == 16) {
			ops_hex_encode(f->data, f->len, x->trace_id);
		}
		return 0;
	case 6:
		x->value = (double)(int64_t)f->value;
		return 0;
	case 7:
		return attribute(d, f, &x->attributes);
	default:
		return 0;
	}
}

static int exemplar(struct decoder *d, const struct ops_proto_field *f, struct col_otlp_point *p)
{
	return nested(d, f, exemplar_field,
		COL_OTLP_ADD(d->arena, p->exemplars, p->nexemplars, p->exemplars_cap));
}

/* Repeated numbers, packed or not; fixed64, or double in the same bits, or varints. */
static int numbers(struct decoder *d, const struct ops_proto_field *f, bool varints,
	void (*add)(struct decoder *d, void *into, uint64_t bits), void *into)
{
	struct ops_proto_reader r;
	uint64_t v = 0;
	int rc;
	size_t n = 0;
	ops_proto_elements(&r, f);
	do {
		double fixed = 0;
		rc = varints ? ops_proto_next_varint(&r, &v) : ops_proto_next_double(&r, &fixed);
		if (!varints) {
			memcpy(&v, &fixed, sizeof(v));
		}
		if (rc > 0) {
			if (++n > COL_OTLP_MAX_BUCKETS) {
				return ops_error_set(d->err, -E2BIG,
					"a histogram has more than %d buckets",
					COL_OTLP_MAX_BUCKETS);
			}
			add(d, into, v);
		}
	} while (rc > 0);
	return rc == 0 ? 0 : malformed(d, "a list of numbers is cut off");
}

static void add_count(struct decoder *d, void *into, uint64_t bits)
{
	struct col_otlp_point *p = into;
	*COL_OTLP_ADD(d->arena, p->counts, p->ncounts, p->counts_cap) = bits;
}

static void add_bound(struct decoder *d, void *into, uint64_t bits)
{
	struct col_otlp_point *p = into;
	double v;
	memcpy(&v, &bits, sizeof(v));
	*COL_OTLP_ADD(d->arena, p->bounds, p->nbounds, p->bounds_cap) = v;
}

static void add_bucket(struct decoder *d, void *into, uint64_t v)
{
	struct col_otlp_buckets *b = into;
	*COL_OTLP_ADD(d->arena, b->counts, b->n, b->cap) = v;
}

static int buckets_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_buckets *b = into;
	if (f->number == 1) {
		b->offset = (int32_t)ops_proto_zigzag(f->value);
		return 0;
	}
	return f->number == 2 ? numbers(d, f, true, add_bucket, b) : 0;
}

static int quantile_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_quantile *q = into;
	(void)d;
	if (f->number == 1) {
		q->quantile = as_double(f);
	} else if (f->number == 2) {
		q->value = as_double(f);
	}
	return 0;
}

/* The parts of points. Which number a part has depends on the kind of point. */
enum part {
	NO_PART,
	START,
	TIME,
	DOUBLE,
	INTEGER,
	COUNT,
	SUM,
	SCALE,
	ZERO_COUNT,
	ZERO_THRESHOLD,
	FLAGS,
	ATTRIBUTE,
	EXEMPLAR,
	COUNTS,
	BOUNDS,
	POSITIVE,
	NEGATIVE,
	QUANTILE
};

enum {
	POINT_FIELDS = 15
};

/* clang-format off */
static const enum part number_parts[POINT_FIELDS] = {[2] = START, [3] = TIME, [4] = DOUBLE,
	[5] = EXEMPLAR, [6] = INTEGER, [7] = ATTRIBUTE, [8] = FLAGS};
static const enum part histogram_parts[POINT_FIELDS] = {[2] = START, [3] = TIME, [4] = COUNT,
	[5] = SUM, [6] = COUNTS, [7] = BOUNDS, [8] = EXEMPLAR, [9] = ATTRIBUTE, [10] = FLAGS};
static const enum part exponential_parts[POINT_FIELDS] = {[1] = ATTRIBUTE, [2] = START, [3] = TIME,
	[4] = COUNT, [5] = SUM, [6] = SCALE, [7] = ZERO_COUNT, [8] = POSITIVE, [9] = NEGATIVE,
	[10] = FLAGS, [11] = EXEMPLAR, [14] = ZERO_THRESHOLD};
static const enum part summary_parts[POINT_FIELDS] = {[2] = START, [3] = TIME, [4] = COUNT,
	[5] = SUM, [6] = QUANTILE, [7] = ATTRIBUTE, [8] = FLAGS};
/* clang-format on */

static const enum part *const parts_of[] = {[COL_OTLP_GAUGE] = number_parts,
	[COL_OTLP_SUM] = number_parts,
	[COL_OTLP_HISTOGRAM] = histogram_parts,
	[COL_OTLP_EXPONENTIAL] = exponential_parts,
	[COL_OTLP_SUMMARY] = summary_parts};

struct point {
	struct col_otlp_point *p;
	const enum part *parts; /* by number */
};

static int point_list(struct decoder *d, const struct ops_proto_field *f, enum part part,
	struct col_otlp_point *p)
{
	switch ((int)part) {
	case ATTRIBUTE:
		return attribute(d, f, &p->attributes);
	case EXEMPLAR:
		return exemplar(d, f, p);
	case COUNTS:
		return numbers(d, f, false, add_count, p);
	case BOUNDS:
		return numbers(d, f, false, add_bound, p);
	case POSITIVE:
		return nested(d, f, buckets_field, &p->positive);
	case NEGATIVE:
		return nested(d, f, buckets_field, &p->negative);
	case QUANTILE:
		return nested(d, f, quantile_field,
			COL_OTLP_ADD(d->arena, p->quantiles, p->nquantiles, p->quantiles_cap));
	default:
		return 0;
	}
}

static int point_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	const struct point *to = into;
	struct col_otlp_point *p = to->p;
	enum part part = f->number < POINT_FIELDS ? to->parts[f->number] : NO_PART;
	switch ((int)part) {
	case START:
		p->start_ns = f->value;
		return 0;
	case TIME:
		p->time_ns = f->value;
		return 0;
	case DOUBLE:
		p->value = as_double(f);
		return 0;
	case INTEGER:
		p->value = (double)(int64_t)f->value;
		return 0;
	case COUNT:
		p->count = f->value;
		return 0;
	case SUM:
		p->sum = as_double(f);
		p->has_sum = true;
		return 0;
	case SCALE:
		p->scale = (int32_t)ops_proto_zigzag(f->value);
		return 0;
	case ZERO_COUNT:
		p->zero_count = f->value;
		return 0;
	case ZERO_THRESHOLD:
		p->zero_threshold = as_double(f);
		return 0;
	case FLAGS:
		p->flags = (uint32_t)f->value;
		return 0;
	default:
		return point_list(d, f, part, p);
	}
}

/* ---- metrics ---- */

/* Gauge, Sum, Histogram, ExponentialHistogram and Summary have the same fields. */
static int data_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_metric *m = into;
	if (f->number == 1) {
		if (++d->request->npoints > COL_OTLP_MAX_POINTS) {
			return ops_error_set(d->err, -E2BIG, "the request has more than %d points",
				COL_OTLP_MAX_POINTS);
		}
		struct point to = {COL_OTLP_ADD(d->arena, m->points, m->npoints, m->points_cap),
			parts_of[m->kind]};
		return nested(d, f, point_field, &to);
	}
	if (f->number == 2 && f->value <= COL_OTLP_CUMULATIVE) {
		m->temporality = (enum col_otlp_temporality)f->value;
	} else if (f->number == 3) {
		m->monotonic = f->value != 0;
	}
	return 0;
}

static int metric_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	static const struct {
		uint32_t number;
		enum col_otlp_kind kind;
	} kinds[] = {{5, COL_OTLP_GAUGE}, {7, COL_OTLP_SUM}, {9, COL_OTLP_HISTOGRAM},
		{10, COL_OTLP_EXPONENTIAL}, {11, COL_OTLP_SUMMARY}};
	struct col_otlp_metric *m = into;
	switch (f->number) {
	case 1:
		return text(d, f, &m->name);
	case 2:
		return text(d, f, &m->description);
	case 3:
		return text(d, f, &m->unit);
	default:
		break;
	}
	for (size_t i = 0; i < OPS_LENGTH(kinds); i++) {
		if (kinds[i].number == f->number) {
			m->kind = kinds[i].kind;
			return nested(d, f, data_field, m);
		}
	}
	return 0;
}

static int scope_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_resource *r = into;
	if (f->number != 2) {
		return 0;
	}
	struct col_otlp_metric *m = COL_OTLP_ADD(d->arena, r->metrics, r->nmetrics, r->metrics_cap);
	m->name = m->description = m->unit = "";
	return nested(d, f, metric_field, m);
}

static int resource_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_attributes *attributes = into;
	return f->number == 1 ? attribute(d, f, attributes) : 0;
}

static int resource_metrics_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_resource *r = into;
	if (f->number == 1) {
		return nested(d, f, resource_field, &r->attributes);
	}
	return f->number == 2 ? nested(d, f, scope_field, r) : 0;
}

static int request_field(struct decoder *d, const struct ops_proto_field *f, void *into)
{
	struct col_otlp_request *q = into;
	return f->number == 1 ? nested(d, f, resource_metrics_field,
					COL_OTLP_ADD(d->arena, q->resources, q->nresources,
						q->resources_cap))
			      : 0;
}

int col_otlp_from_proto(
	struct col_otlp_request *ret, const void *data, size_t len, struct ops_error *err)
{
	struct decoder d = {ret, ret->arena, err};
	const struct ops_proto_field whole = ops_proto_whole(data, len);
	return nested(&d, &whole, request_field, ret);
}
