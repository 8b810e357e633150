/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON: the protobuf JSON mapping with lowerCamelCase names, 64-bit integers as text or
 * number, trace and span ids in hex, enumerations as numbers (their names are taken too). Unknown
 * members are skipped. Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".
 */
#include "services/collector/receive/otlp_model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"

#define LIMIT_BYTES ((size_t)64 << 20)

struct decoder {
	struct col_otlp_request *request;
	struct ops_arena *arena;
	struct ops_error *err;
};

static int wrong(const struct decoder *d, const char *key, const char *wanted)
{
	return ops_error_set(d->err, -EBADMSG, "\"%s\" is not %s", key, wanted);
}

static int get_text(const struct decoder *d, const json_t *o, const char *key, const char **ret)
{
	const json_t *v = json_object_get(o, key);
	if (v == NULL || json_is_null(v)) {
		return 0;
	}
	if (!json_is_string(v)) {
		return wrong(d, key, "a text");
	}
	*ret = ops_arena_strdup(d->arena, json_string_value(v));
	return 0;
}

static int number_of(const struct decoder *d, const json_t *v, const char *key, double *ret)
{
	if (json_is_number(v)) {
		*ret = json_number_value(v);
		return 0;
	}
	const char *text = json_string_value(v);
	if (text == NULL || ops_parse_double(text, strlen(text), ret) != 0) {
		return wrong(d, key, "a number");
	}
	return 0;
}

static int get_number(const struct decoder *d, const json_t *o, const char *key, double *ret)
{
	const json_t *v = json_object_get(o, key);
	return v == NULL || json_is_null(v) ? 0 : number_of(d, v, key, ret);
}

static int u64_of(const struct decoder *d, const json_t *v, const char *key, uint64_t *ret)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		*ret = (uint64_t)json_integer_value(v);
		return 0;
	}
	const char *text = json_string_value(v);
	if (text == NULL || ops_parse_u64(text, strlen(text), ret) != 0) {
		return wrong(d, key, "an unsigned integer");
	}
	return 0;
}

static int get_u64(const struct decoder *d, const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);
	return v == NULL || json_is_null(v) ? 0 : u64_of(d, v, key, ret);
}

static int get_i32(const struct decoder *d, const json_t *o, const char *key, int32_t *ret)
{
	double v = *ret;
	int r = get_number(d, o, key, &v);
	if (r == 0 && (v < INT32_MIN || v > INT32_MAX || v != floor(v))) {
		return wrong(d, key, "a 32-bit integer");
	}
	*ret = r == 0 ? (int32_t)v : *ret;
	return r;
}

/* Calls fn for each item of the list o[key]. */
static int each(struct decoder *d, const json_t *o, const char *key,
	int (*fn)(struct decoder *d, const json_t *item, void *into), void *into)
{
	const json_t *list = json_object_get(o, key);
	if (list == NULL || json_is_null(list)) {
		return 0;
	}
	if (!json_is_array(list)) {
		return wrong(d, key, "a list");
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = fn(d, json_array_get(list, i), into);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

/* ---- attributes ---- */

static void put_any(const json_t *any, bool inner, int depth, struct ops_strbuf *out);

static void put_composite(const json_t *any, int depth, struct ops_strbuf *out)
{
	const json_t *list = json_object_get(json_object_get(any, "arrayValue"), "values");
	const json_t *map = json_object_get(json_object_get(any, "kvlistValue"), "values");
	const json_t *items = list != NULL ? list : map;
	ops_strbuf_addc(out, list != NULL ? '[' : '{');
	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);
		ops_strbuf_adds(out, i > 0 ? "," : "");
		if (list == NULL) {
			const char *key = json_string_value(json_object_get(item, "key"));
			key = key != NULL ? key : "";
			ops_strbuf_add_json(out, key, strlen(key));
			ops_strbuf_addc(out, ':');
			item = json_object_get(item, "value");
		}
		put_any(item, true, depth + 1, out);
	}
	ops_strbuf_addc(out, list != NULL ? ']' : '}');
}

static void put_any(const json_t *any, bool inner, int depth, struct ops_strbuf *out)
{
	const json_t *v;
	if ((v = json_object_get(any, "stringValue")) != NULL ||
		(v = json_object_get(any, "bytesValue")) != NULL) {
		const char *text = json_string_value(v);
		text = text != NULL ? text : "";
		if (inner) {
			ops_strbuf_add_json(out, text, strlen(text));
		} else {
			ops_strbuf_adds(out, text);
		}
	} else if ((v = json_object_get(any, "boolValue")) != NULL) {
		ops_strbuf_adds(out, json_is_true(v) ? "true" : "false");
	} else if ((v = json_object_get(any, "intValue")) != NULL) {
		if (json_is_integer(v)) {
			ops_strbuf_printf(out, "%lld", (long long)json_integer_value(v));
		} else {
			int64_t n = 0;
			const char *text = json_string_value(v);
			bool good = text != NULL && ops_parse_i64(text, strlen(text), &n) == 0;
			ops_strbuf_printf(out, "%lld", good ? (long long)n : 0LL);
		}
	} else if ((v = json_object_get(any, "doubleValue")) != NULL) {
		ops_strbuf_add_double(out, json_number_value(v));
	} else if (depth < COL_OTLP_MAX_DEPTH &&
		   (json_object_get(any, "arrayValue") != NULL ||
			   json_object_get(any, "kvlistValue") != NULL)) {
		put_composite(any, depth, out);
	} else {
		ops_strbuf_adds(out, inner ? "null" : "");
	}
}

static int attribute(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_attributes *list = into;
	struct col_otlp_attribute *a = COL_OTLP_ADD(d->arena, list->items, list->n, list->cap);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	a->key = "";
	int r = get_text(d, item, "key", &a->key);
	put_any(json_object_get(item, "value"), false, 0, &out);
	a->value = ops_arena_strndup(d->arena, ops_strbuf_text(&out), out.len);
	ops_strbuf_done(&out);
	return r;
}

/* ---- points ---- */

static void get_id(const json_t *o, const char *key, char *ret, size_t len)
{
	const char *text = json_string_value(json_object_get(o, key));
	if (text != NULL && strlen(text) == len && strspn(text, "0123456789abcdefABCDEF") == len) {
		memcpy(ret, text, len + 1);
	}
}

static int exemplar(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_point *p = into;
	struct col_otlp_exemplar *x =
		COL_OTLP_ADD(d->arena, p->exemplars, p->nexemplars, p->exemplars_cap);
	int r = get_u64(d, item, "timeUnixNano", &x->time_ns);
	r = r != 0 ? r : get_number(d, item, "asDouble", &x->value);
	r = r != 0 ? r : get_number(d, item, "asInt", &x->value);
	get_id(item, "traceId", x->trace_id, 32);
	get_id(item, "spanId", x->span_id, 16);
	return r != 0 ? r : each(d, item, "filteredAttributes", attribute, &x->attributes);
}

static int too_many(const struct decoder *d, size_t n)
{
	return n <= COL_OTLP_MAX_BUCKETS
		       ? 0
		       : ops_error_set(d->err, -E2BIG, "a histogram has more than %d buckets",
				 COL_OTLP_MAX_BUCKETS);
}

static int count_item(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_point *p = into;
	uint64_t *v = COL_OTLP_ADD(d->arena, p->counts, p->ncounts, p->counts_cap);
	int r = too_many(d, p->ncounts);
	return r != 0 ? r : u64_of(d, item, "bucketCounts", v);
}

static int bound_item(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_point *p = into;
	double *v = COL_OTLP_ADD(d->arena, p->bounds, p->nbounds, p->bounds_cap);
	int r = too_many(d, p->nbounds);
	return r != 0 ? r : number_of(d, item, "explicitBounds", v);
}

static int bucket_item(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_buckets *b = into;
	uint64_t *v = COL_OTLP_ADD(d->arena, b->counts, b->n, b->cap);
	int r = too_many(d, b->n);
	return r != 0 ? r : u64_of(d, item, "bucketCounts", v);
}

static int quantile_item(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_point *p = into;
	struct col_otlp_quantile *q =
		COL_OTLP_ADD(d->arena, p->quantiles, p->nquantiles, p->quantiles_cap);
	int r = get_number(d, item, "quantile", &q->quantile);
	return r != 0 ? r : get_number(d, item, "value", &q->value);
}

static int buckets(
	struct decoder *d, const json_t *o, const char *key, struct col_otlp_buckets *into)
{
	const json_t *b = json_object_get(o, key);
	int r = get_i32(d, b, "offset", &into->offset);
	return r != 0 ? r : each(d, b, "bucketCounts", bucket_item, into);
}

static int distribution(struct decoder *d, const json_t *item, struct col_otlp_point *p)
{
	p->has_sum = json_is_number(json_object_get(item, "sum")) ||
		     json_is_string(json_object_get(item, "sum"));
	int r = get_u64(d, item, "count", &p->count);
	r = r != 0 ? r : get_number(d, item, "sum", &p->sum);
	r = r != 0 ? r : each(d, item, "bucketCounts", count_item, p);
	r = r != 0 ? r : each(d, item, "explicitBounds", bound_item, p);
	r = r != 0 ? r : get_i32(d, item, "scale", &p->scale);
	r = r != 0 ? r : get_u64(d, item, "zeroCount", &p->zero_count);
	r = r != 0 ? r : get_number(d, item, "zeroThreshold", &p->zero_threshold);
	r = r != 0 ? r : buckets(d, item, "positive", &p->positive);
	r = r != 0 ? r : buckets(d, item, "negative", &p->negative);
	return r != 0 ? r : each(d, item, "quantileValues", quantile_item, p);
}

static int point(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_metric *m = into;
	uint64_t flags = 0;
	if (++d->request->npoints > COL_OTLP_MAX_POINTS) {
		return ops_error_set(
			d->err, -E2BIG, "the request has more than %d points", COL_OTLP_MAX_POINTS);
	}
	struct col_otlp_point *p = COL_OTLP_ADD(d->arena, m->points, m->npoints, m->points_cap);
	int r = get_u64(d, item, "startTimeUnixNano", &p->start_ns);
	r = r != 0 ? r : get_u64(d, item, "timeUnixNano", &p->time_ns);
	r = r != 0 ? r : get_u64(d, item, "flags", &flags);
	p->flags = (uint32_t)flags;
	r = r != 0 ? r : each(d, item, "attributes", attribute, &p->attributes);
	r = r != 0 ? r : each(d, item, "exemplars", exemplar, p);
	if (r == 0 && (m->kind == COL_OTLP_GAUGE || m->kind == COL_OTLP_SUM)) {
		r = get_number(d, item, "asDouble", &p->value);
		return r != 0 ? r : get_number(d, item, "asInt", &p->value);
	}
	return r != 0 ? r : distribution(d, item, p);
}

/* ---- metrics ---- */

static void get_temporality(const json_t *data, struct col_otlp_metric *m)
{
	const json_t *v = json_object_get(data, "aggregationTemporality");
	const char *name = json_string_value(v);
	if (json_integer_value(v) == COL_OTLP_DELTA ||
		(name != NULL && strcmp(name, "AGGREGATION_TEMPORALITY_DELTA") == 0)) {
		m->temporality = COL_OTLP_DELTA;
	} else if (json_integer_value(v) == COL_OTLP_CUMULATIVE ||
		   (name != NULL && strcmp(name, "AGGREGATION_TEMPORALITY_CUMULATIVE") == 0)) {
		m->temporality = COL_OTLP_CUMULATIVE;
	}
}

static int metric(struct decoder *d, const json_t *item, void *into)
{
	static const struct {
		const char *key;
		enum col_otlp_kind kind;
	} kinds[] = {{"gauge", COL_OTLP_GAUGE}, {"sum", COL_OTLP_SUM},
		{"histogram", COL_OTLP_HISTOGRAM}, {"exponentialHistogram", COL_OTLP_EXPONENTIAL},
		{"summary", COL_OTLP_SUMMARY}};
	struct col_otlp_resource *res = into;
	struct col_otlp_metric *m =
		COL_OTLP_ADD(d->arena, res->metrics, res->nmetrics, res->metrics_cap);
	m->name = m->description = m->unit = "";
	int r = get_text(d, item, "name", &m->name);
	r = r != 0 ? r : get_text(d, item, "description", &m->description);
	r = r != 0 ? r : get_text(d, item, "unit", &m->unit);
	for (size_t i = 0; r == 0 && i < OPS_LENGTH(kinds); i++) {
		const json_t *data = json_object_get(item, kinds[i].key);
		if (data != NULL) {
			m->kind = kinds[i].kind;
			m->monotonic = json_is_true(json_object_get(data, "isMonotonic"));
			get_temporality(data, m);
			return each(d, data, "dataPoints", point, m);
		}
	}
	return r;
}

static int scope(struct decoder *d, const json_t *item, void *into)
{
	return each(d, item, "metrics", metric, into);
}

static int resource(struct decoder *d, const json_t *item, void *into)
{
	struct col_otlp_request *q = into;
	struct col_otlp_resource *res =
		COL_OTLP_ADD(d->arena, q->resources, q->nresources, q->resources_cap);
	int r = each(
		d, json_object_get(item, "resource"), "attributes", attribute, &res->attributes);
	return r != 0 ? r : each(d, item, "scopeMetrics", scope, res);
}

int col_otlp_from_json(
	struct col_otlp_request *ret, const char *text, size_t len, struct ops_error *err)
{
	struct decoder d = {ret, ret->arena, err};
	OPS_JSON_AUTO *root = NULL;
	int r = ops_json_parse(text, len, LIMIT_BYTES, &root, err);
	if (r != 0) {
		return r == -EFBIG ? -E2BIG : -EBADMSG;
	}
	return each(&d, root, "resourceMetrics", resource, ret);
}
