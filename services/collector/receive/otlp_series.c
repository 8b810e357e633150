/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One point becomes one or several series; what they have in common (resource and attributes) is
 * worked out once per point, and each series adds its name and maybe one label.
 *
 * Exponential buckets are brought to scale 2 at most (bounds grow by 19 %), so that different
 * senders meet at the same `le` and a latency has some seventy buckets, not thousands.
 */
#include "services/collector/receive/otlp_series.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "services/collector/receive/otlp_sums.h"
#include "services/collector/receive/statsd_mapping.h"

enum {
	SCALE_MAX = 2,
	SCALE_MIN = -10,
	NO_RECORDED_VALUE = 1
};
#define DOOR "otlp"

struct col_otlp_series {
	struct col_otlp_sums *sums;
};

struct translator {
	struct col_otlp_series *state;
	struct col_outlet *outlet;
	struct ops_arena arena; /* of one resource */
	int64_t now_ms;
	struct col_otlp_outcome *outcome;
	const char *job, *instance;
	/* the metric and the point */
	const struct col_otlp_metric *metric;
	const struct col_otlp_point *point;
	const char *family;
	int64_t time_ms;
	bool stale;
	struct ops_label *common; /* sorted, without __name__ */
	size_t ncommon;
	const char *refused; /* why the point is not taken, or NULL */
};

struct col_otlp_series *col_otlp_series_new(const struct col_otlp_limits *limits)
{
	struct col_otlp_series *s = ops_xcalloc(1, sizeof(*s));
	s->sums = col_otlp_sums_new(limits->delta_series, limits->delta_ttl_ms);
	return s;
}

void col_otlp_series_free(struct col_otlp_series *s)
{
	if (s != NULL) {
		col_otlp_sums_free(s->sums);
		free(s);
	}
}

/* ---- labels ---- */

static int compare_labels(const void *a, const void *b)
{
	const struct ops_label *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static void set_label(struct ops_label *l, const char *name, const char *value)
{
	*l = (struct ops_label){.name = name,
		.value = value,
		.name_len = (uint32_t)strlen(name),
		.value_len = (uint32_t)strlen(value)};
}

static const char *label_name(struct translator *t, const char *key)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	if (key[0] >= '0' && key[0] <= '9') {
		ops_strbuf_adds(&out, "key");
	}
	col_statsd_clean_name(&out, key, strlen(key), true);
	const char *name = ops_arena_strndup(&t->arena, ops_strbuf_text(&out), out.len);
	ops_strbuf_done(&out);
	return name;
}

/* Sorts; labels whose names became the same have their values joined, empty ones go. */
static size_t settle(struct translator *t, struct ops_label *labels, size_t n)
{
	size_t kept = 0;
	qsort(labels, n, sizeof(*labels), compare_labels);
	for (size_t i = 0; i < n; i++) {
		struct ops_label *before = kept > 0 ? &labels[kept - 1] : NULL;
		if (labels[i].value_len == 0 || labels[i].name_len == 0) {
			continue;
		}
		if (before != NULL && strcmp(before->name, labels[i].name) == 0) {
			set_label(before, before->name,
				ops_arena_printf(
					&t->arena, "%s;%s", before->value, labels[i].value));
			continue;
		}
		labels[kept++] = labels[i];
	}
	return kept;
}

static const char *attribute_of(const struct col_otlp_attributes *list, const char *key)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->items[i].key, key) == 0) {
			return list->items[i].value;
		}
	}
	return "";
}

static void take_resource(struct translator *t, const struct col_otlp_attributes *a)
{
	const char *space = attribute_of(a, "service.namespace");
	const char *name = attribute_of(a, "service.name");
	t->job = space[0] != '\0' ? ops_arena_printf(&t->arena, "%s/%s", space, name) : name;
	t->instance = attribute_of(a, "service.instance.id");
}

static bool own_label(const char *key)
{
	return strcmp(key, "service.namespace") == 0 || strcmp(key, "service.name") == 0 ||
	       strcmp(key, "service.instance.id") == 0;
}

static size_t put_attributes(struct translator *t, const struct col_otlp_attributes *a,
	bool of_resource, struct ops_label *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < a->n; i++) {
		if (!of_resource || !own_label(a->items[i].key)) {
			set_label(&ret[n++], label_name(t, a->items[i].key), a->items[i].value);
		}
	}
	return n;
}

/* job and instance win over attributes of these names. */
static void set_common(struct translator *t, const struct col_otlp_attributes *a, bool of_resource)
{
	struct ops_label *all = ops_arena_array(&t->arena, struct ops_label, a->n + 2);
	size_t n = put_attributes(t, a, of_resource, all), kept = 0;
	for (size_t i = 0; i < n; i++) {
		bool own = (strcmp(all[i].name, "job") == 0 && t->job[0] != '\0') ||
			   (strcmp(all[i].name, "instance") == 0 && t->instance[0] != '\0') ||
			   strcmp(all[i].name, OPS_LABEL_NAME) == 0;
		if (!own) {
			all[kept++] = all[i];
		}
	}
	set_label(&all[kept++], "job", t->job);
	set_label(&all[kept++], "instance", t->instance);
	t->common = all;
	t->ncommon = settle(t, all, kept);
}

/* ---- one series ---- */

static void refuse(struct translator *t, const char *why)
{
	if (t->refused == NULL) {
		t->refused = why;
	}
}

struct extra { /* a label beside the common ones; name NULL: none */
	const char *name, *value;
};

static size_t series_labels(
	struct translator *t, const char *suffix, struct extra extra, struct ops_label *ret)
{
	size_t n = t->ncommon;
	memcpy(ret, t->common, n * sizeof(*ret));
	set_label(&ret[n++], OPS_LABEL_NAME,
		suffix[0] != '\0' ? ops_arena_printf(&t->arena, "%s%s", t->family, suffix)
				  : t->family);
	if (extra.name != NULL) {
		set_label(&ret[n++], extra.name, extra.value);
	}
	qsort(ret, n, sizeof(*ret), compare_labels);
	return n;
}

static enum ops_series_type type_of(const struct col_otlp_metric *m)
{
	switch (m->kind) {
	case COL_OTLP_SUM:
		return m->monotonic ? OPS_T_COUNTER : OPS_T_GAUGE;
	case COL_OTLP_HISTOGRAM:
	case COL_OTLP_EXPONENTIAL:
		return OPS_T_HISTOGRAM;
	case COL_OTLP_SUMMARY:
		return OPS_T_SUMMARY;
	case COL_OTLP_GAUGE:
		return OPS_T_GAUGE;
	case COL_OTLP_NONE:
		break;
	}
	return OPS_T_UNKNOWN;
}

/* A value of delta temporality becomes the running sum. False: it is refused. */
static bool add_up(struct translator *t, const struct ops_label *labels, size_t n, double *value)
{
	struct col_otlp_sum *sum = col_otlp_sums_of(t->state->sums, labels, n, t->now_ms);
	if (sum == NULL) {
		refuse(t, "too many delta series");
		return false;
	}
	if (t->time_ms <= sum->time_ms) {
		refuse(t, "a delta point is not newer than the one before");
		return false;
	}
	sum->time_ms = t->time_ms;
	sum->value += *value;
	*value = sum->value;
	return true;
}

static size_t put_exemplars(struct translator *t, double above, double upto,
	struct ops_remote_exemplar *ret, size_t max)
{
	const struct col_otlp_point *p = t->point;
	size_t n = 0;
	for (size_t i = 0; p != NULL && i < p->nexemplars && n < max; i++) {
		const struct col_otlp_exemplar *x = &p->exemplars[i];
		if (!(x->value > above && x->value <= upto)) {
			continue;
		}
		struct ops_label *labels =
			ops_arena_array(&t->arena, struct ops_label, x->attributes.n + 2);
		size_t k = put_attributes(t, &x->attributes, false, labels);
		set_label(&labels[k++], "trace_id", x->trace_id);
		set_label(&labels[k++], "span_id", x->span_id);
		ret[n++] = (struct ops_remote_exemplar){.labels = labels,
			.nlabels = settle(t, labels, k),
			.value = x->value,
			.time_ms = (int64_t)(x->time_ns / 1000000)};
	}
	return n;
}

struct emission {
	const char *suffix;
	struct extra extra;
	double value;
	double above, upto; /* exemplars in between go with it; above == upto: none */
	bool sum;	    /* deltas are added up */
};

static void emit(struct translator *t, const struct emission *e)
{
	struct ops_label *labels = ops_arena_array(&t->arena, struct ops_label, t->ncommon + 2);
	struct ops_remote_exemplar exemplars[4];
	size_t n = series_labels(t, e->suffix, e->extra, labels);
	double value = e->value;
	if (e->sum && t->metric->temporality == COL_OTLP_DELTA && !t->stale &&
		!add_up(t, labels, n, &value)) {
		return;
	}
	const struct ops_remote_metadata metadata = {.family = {t->family, strlen(t->family)},
		.help = {t->metric->description, strlen(t->metric->description)},
		.unit = {t->metric->unit, strlen(t->metric->unit)},
		.type = type_of(t->metric)};
	const struct ops_remote_sample sample = {
		.time_ms = t->time_ms, .value = t->stale ? ops_stale_nan() : value};
	const struct ops_remote_series s = {.labels = labels,
		.nlabels = n,
		.samples = &sample,
		.nsamples = 1,
		.exemplars = exemplars,
		.nexemplars = put_exemplars(t, e->above, e->upto, exemplars,
			e->above < e->upto ? OPS_LENGTH(exemplars) : 0),
		.metadata = &metadata};
	enum col_outlet_refusal why = col_outlet_series(t->outlet, DOOR, &s);
	if (why != COL_OUTLET_TAKEN) {
		t->outcome->bus |= why == COL_OUTLET_BUS;
		refuse(t, why == COL_OUTLET_SERIES ? "too many different series"
						   : "the samples could not be passed on");
	}
}

/* le and quantile as OpenMetrics writes them: 1.0, not 1. */
static const char *bound_text(struct translator *t, double v)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_add_double(&out, v);
	if (isfinite(v) && strpbrk(out.data, ".e") == NULL) {
		ops_strbuf_adds(&out, ".0");
	}
	const char *text = ops_arena_strndup(&t->arena, out.data, out.len);
	ops_strbuf_done(&out);
	return text;
}

static void emit_bucket(struct translator *t, double above, double upto, uint64_t below)
{
	const struct emission e = {.suffix = "_bucket",
		.extra = {"le", bound_text(t, upto)},
		.value = (double)below,
		.above = above,
		.upto = upto,
		.sum = true};
	emit(t, &e);
}

static void emit_totals(struct translator *t, uint64_t count, double sum)
{
	const struct emission counted = {.suffix = "_count", .value = (double)count, .sum = true};
	const struct emission summed = {.suffix = "_sum", .value = sum, .sum = true};
	emit(t, &counted);
	if (t->point->has_sum || t->stale) {
		emit(t, &summed);
	}
}

/* ---- points ---- */

static void number(struct translator *t)
{
	const struct emission e = {.suffix = "",
		.value = t->point->value,
		.above = t->metric->kind == COL_OTLP_SUM ? -INFINITY : 0,
		.upto = t->metric->kind == COL_OTLP_SUM ? INFINITY : 0,
		.sum = t->metric->kind == COL_OTLP_SUM};
	emit(t, &e);
}

static void histogram(struct translator *t)
{
	const struct col_otlp_point *p = t->point;
	if (p->ncounts != 0 && p->ncounts != p->nbounds + 1) {
		refuse(t, "a histogram needs one count more than bounds");
		return;
	}
	uint64_t below = 0;
	double above = -INFINITY;
	for (size_t i = 0; i < p->nbounds; i++) {
		if (!(p->bounds[i] > above) || isinf(p->bounds[i])) {
			refuse(t, "the bounds of a histogram must ascend");
			return;
		}
		below += p->ncounts != 0 ? p->counts[i] : 0;
		if (p->ncounts != 0) {
			emit_bucket(t, above, p->bounds[i], below);
		}
		above = p->bounds[i];
	}
	emit_bucket(t, above, INFINITY, p->count);
	emit_totals(t, p->count, p->sum);
}

/* Buckets from the most negative one up; each upper bound with the count below it. */
static void emit_exponential(struct translator *t, const struct col_otlp_sum *h, double zero)
{
	double step = exp2(-(double)h->scale);
	double above = -INFINITY;
	uint64_t below = 0;
	for (size_t i = h->negative.n; i-- > 0;) {
		double upto = -exp2((double)(h->negative.lo + (int64_t)i) * step);
		below += h->negative.counts[i];
		emit_bucket(t, above, upto, below);
		above = upto;
	}
	below += h->zero_count;
	if (h->zero_count > 0 || h->negative.n > 0) {
		emit_bucket(t, above, zero, below);
		above = zero;
	}
	for (size_t i = 0; i < h->positive.n; i++) {
		double upto = exp2((double)(h->positive.lo + (int64_t)i + 1) * step);
		below += h->positive.counts[i];
		if (upto > above && isfinite(upto)) {
			emit_bucket(t, above, upto, below);
			above = upto;
		}
	}
	emit_bucket(t, above, INFINITY, h->count);
	emit_totals(t, h->count, h->sum);
}

static bool add_exponential(
	struct translator *t, struct col_otlp_sum *into, const struct col_otlp_point *p)
{
	int32_t scale = OPS_MIN(OPS_MIN(p->scale, (int32_t)SCALE_MAX), into->scale);
	if (scale < SCALE_MIN || p->scale > 20) {
		refuse(t, "the scale of an exponential histogram is out of range");
		return false;
	}
	if (into->scale != INT32_MAX) {
		col_otlp_counts_coarsen(&into->positive, into->scale - scale);
		col_otlp_counts_coarsen(&into->negative, into->scale - scale);
	}
	into->scale = scale;
	if (!col_otlp_counts_add(&into->positive, &p->positive, p->scale - scale) ||
		!col_otlp_counts_add(&into->negative, &p->negative, p->scale - scale)) {
		refuse(t, "an exponential histogram has too many buckets");
		return false;
	}
	into->zero_count += p->zero_count;
	into->count += p->count;
	into->sum += p->sum;
	return true;
}

static void exponential(struct translator *t)
{
	const struct col_otlp_point *p = t->point;
	struct col_otlp_sum once = {.scale = INT32_MAX}, *sum = &once;
	if (t->metric->temporality == COL_OTLP_DELTA) {
		struct ops_label *labels =
			ops_arena_array(&t->arena, struct ops_label, t->ncommon + 2);
		size_t n = series_labels(t, "", (struct extra){NULL, NULL}, labels);
		sum = col_otlp_sums_of(t->state->sums, labels, n, t->now_ms);
		if (sum == NULL || t->time_ms <= sum->time_ms) {
			refuse(t, sum == NULL ? "too many delta series"
					      : "a delta point is not newer than the one before");
			return;
		}
		sum->time_ms = t->time_ms;
		struct col_otlp_metric *whole = ops_arena_new(&t->arena, struct col_otlp_metric);
		*whole = *t->metric;
		whole->temporality = COL_OTLP_CUMULATIVE; /* it is added up here */
		t->metric = whole;
	}
	if (add_exponential(t, sum, p)) {
		emit_exponential(t, sum, p->zero_threshold);
	}
	col_otlp_counts_done(&once.positive);
	col_otlp_counts_done(&once.negative);
}

static void summary(struct translator *t)
{
	const struct col_otlp_point *p = t->point;
	for (size_t i = 0; i < p->nquantiles; i++) {
		const struct emission e = {.suffix = "",
			.extra = {"quantile", bound_text(t, p->quantiles[i].quantile)},
			.value = p->quantiles[i].value};
		emit(t, &e);
	}
	emit_totals(t, p->count, p->sum);
}

static void translate_point(struct translator *t)
{
	static void (*const kinds[])(struct translator *) = {[COL_OTLP_GAUGE] = number,
		[COL_OTLP_SUM] = number,
		[COL_OTLP_HISTOGRAM] = histogram,
		[COL_OTLP_EXPONENTIAL] = exponential,
		[COL_OTLP_SUMMARY] = summary};
	const struct col_otlp_metric *m = t->metric;
	bool cumulates = m->kind == COL_OTLP_SUM || m->kind == COL_OTLP_HISTOGRAM ||
			 m->kind == COL_OTLP_EXPONENTIAL;
	t->refused = NULL;
	t->time_ms = t->point->time_ns != 0 ? (int64_t)(t->point->time_ns / 1000000) : t->now_ms;
	t->stale = (t->point->flags & NO_RECORDED_VALUE) != 0;
	if (cumulates && m->temporality == COL_OTLP_UNSPECIFIED) {
		refuse(t, "the aggregation temporality is missing");
	} else {
		set_common(t, &t->point->attributes, false);
		kinds[m->kind](t);
	}
	t->metric = m;
	if (t->refused == NULL) {
		t->outcome->taken++;
		return;
	}
	t->outcome->rejected++;
	if (t->outcome->why[0] == '\0') {
		snprintf(t->outcome->why, sizeof(t->outcome->why), "%s: %.120s", t->refused,
			m->name);
	}
}

/* ---- resources ---- */

static void target_info(struct translator *t, const struct col_otlp_resource *r, int64_t newest_ms)
{
	static const struct col_otlp_metric info = {.name = "target",
		.description = "Target metadata",
		.unit = "",
		.kind = COL_OTLP_GAUGE};
	bool more = false;
	for (size_t i = 0; i < r->attributes.n; i++) {
		more |= !own_label(r->attributes.items[i].key);
	}
	if (!more || (t->job[0] == '\0' && t->instance[0] == '\0')) {
		return;
	}
	t->metric = &info;
	t->point = NULL;
	t->family = "target_info";
	t->time_ms = newest_ms;
	t->stale = false;
	set_common(t, &r->attributes, true);
	const struct emission e = {.suffix = "", .value = 1};
	emit(t, &e);
}

static void translate_resource(struct translator *t, const struct col_otlp_resource *r)
{
	int64_t newest_ms = 0;
	take_resource(t, &r->attributes);
	for (size_t i = 0; i < r->nmetrics; i++) {
		struct ops_strbuf name = OPS_STRBUF_INIT;
		t->metric = &r->metrics[i];
		col_otlp_name(t->metric, &name);
		t->family = ops_arena_strndup(&t->arena, ops_strbuf_text(&name), name.len);
		ops_strbuf_done(&name);
		for (size_t k = 0; k < t->metric->npoints; k++) {
			t->point = &t->metric->points[k];
			translate_point(t);
			newest_ms = OPS_MAX(newest_ms, t->time_ms);
		}
	}
	if (newest_ms > 0) {
		target_info(t, r, newest_ms);
	}
}

void col_otlp_translate(struct col_otlp_series *s, struct col_outlet *outlet,
	const struct col_otlp_request *request, int64_t now_ms, struct col_otlp_outcome *ret)
{
	struct translator t = {.state = s, .outlet = outlet, .now_ms = now_ms, .outcome = ret};
	*ret = (struct col_otlp_outcome){.taken = 0};
	ops_arena_init(&t.arena);
	for (size_t i = 0; i < request->nresources; i++) {
		translate_resource(&t, &request->resources[i]);
		ops_arena_reset(&t.arena);
	}
	if (col_outlet_flush(outlet, DOOR) != 0) {
		ret->bus = true;
	}
	ops_arena_done(&t.arena);
}
