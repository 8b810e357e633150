/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body is written as the text format: then names, labels and numbers are checked, compared with
 * the scrape before and limited where those of any other target are, and a series is the same one
 * whichever format it came in. What that costs is paid only by targets that speak this format.
 *
 * A native histogram has no text. Its fields are those of remote write's Histogram under other
 * numbers, so it is renumbered without being understood; who stores it checks it. Its series is a
 * line of a second text, with the place of its message as the value.
 *
 * Bounds: a text of TEXT_MAX whatever labels times buckets come to. Fields that are unknown, start
 * times and exemplars of native histograms are left out.
 */
#include "common/exposition/protobuf.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/model/labels.h"
#include "common/proto/proto.h"

#define TEXT_MAX ((size_t)256 << 20)

enum metric_type { /* of the message MetricFamily */
	COUNTER,
	GAUGE,
	SUMMARY,
	UNTYPED,
	HISTOGRAM,
	GAUGE_HISTOGRAM,
	TYPES
};

enum { /* fields of remote write's Histogram that have no counterpart */
	REMOTE_HINT = 14,
	REMOTE_TIME = 15,
	HINT_GAUGE = 3
};

struct reading {
	struct ops_protobuf_body *to;
	unsigned flags;
	int64_t time_ms;
	struct ops_exposition_text name, help;
	uint64_t type;
	/* the metric */
	bool has_time;
	int64_t metric_ms;
	struct ops_error *err;
};

static int malformed(const struct reading *r, const char *what)
{
	return ops_error_set(r->err, -EINVAL, "%s of \"%.*s\" is malformed", what,
		(int)OPS_MIN(r->name.len, (size_t)100), r->name.data != NULL ? r->name.data : "");
}

static struct ops_exposition_text text_of(const struct ops_proto_field *f)
{
	return (struct ops_exposition_text){(const char *)f->data, f->len};
}

static struct ops_proto_reader inside(const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	ops_proto_read(&r, f->wire == OPS_PROTO_LEN ? f->data : NULL,
		f->wire == OPS_PROTO_LEN ? f->len : 0);
	return r;
}

/* ---- lines ---- */

void ops_protobuf_put_label(
	struct ops_strbuf *out, struct ops_exposition_text name, struct ops_exposition_text value)
{
	if (out->len > 0) {
		ops_strbuf_addc(out, ',');
	}
	if (ops_label_name_classic(name.data, name.len)) {
		ops_strbuf_add(out, name.data, name.len);
	} else {
		ops_strbuf_add_quoted(out, name.data, name.len);
	}
	ops_strbuf_addc(out, '=');
	ops_strbuf_add_quoted(out, value.data, value.len);
}

/* name{labels} and a blank. bound: of le or quantile, with its name; NULL: none. */
static void put_series(struct ops_strbuf *out, const struct reading *r, const char *suffix,
	const char *bound_name, double bound)
{
	const struct ops_strbuf *labels = &r->to->labels;
	bool classic = ops_metric_name_classic(r->name.data, r->name.len);
	bool more = labels->len > 0 || bound_name != NULL;
	if (classic) {
		ops_strbuf_add(out, r->name.data, r->name.len);
		ops_strbuf_adds(out, suffix);
	}
	if (!classic || more) {
		ops_strbuf_addc(out, '{');
	}
	if (!classic) {
		ops_strbuf_addc(out, '"');
		ops_strbuf_add_escaped(out, r->name.data, r->name.len, true);
		ops_strbuf_adds(out, suffix);
		ops_strbuf_adds(out, more ? "\"," : "\"");
	}
	ops_strbuf_add(out, labels->data, labels->len);
	if (bound_name != NULL) {
		ops_strbuf_printf(out, "%s%s=\"", labels->len > 0 ? "," : "", bound_name);
		ops_strbuf_add_double(out, bound);
		ops_strbuf_addc(out, '"');
	}
	ops_strbuf_adds(out, !classic || more ? "} " : " ");
}

static int put_exemplar(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_strbuf labels = OPS_STRBUF_INIT;
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	double value = 0;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 2 && f.wire == OPS_PROTO_FIXED64) {
			value = ops_proto_double(&f);
		} else if (f.number == 1 && f.wire == OPS_PROTO_LEN) {
			struct ops_proto_reader pair = inside(&f);
			struct ops_proto_field part;
			struct ops_exposition_text both[2] = {{"", 0}, {"", 0}};
			while ((code = ops_proto_next(&pair, &part)) > 0) {
				if (part.wire == OPS_PROTO_LEN && part.number <= 2) {
					both[part.number - 1] = text_of(&part);
				}
			}
			ops_protobuf_put_label(&labels, both[0], both[1]);
		}
		if (code < 0) {
			break;
		}
	}
	ops_strbuf_printf(&r->to->text, " # {%s} ", ops_strbuf_text(&labels));
	ops_strbuf_add_double(&r->to->text, value);
	ops_strbuf_done(&labels);
	return code < 0 ? malformed(r, "an exemplar") : 0;
}

/* The line's end; exemplar may be NULL. */
static int put_value(struct reading *r, double value, const struct ops_proto_field *exemplar)
{
	struct ops_strbuf *out = &r->to->text;
	int code = 0;
	ops_strbuf_add_double(out, value);
	if (r->has_time) {
		ops_strbuf_printf(out, " %lld", (long long)r->metric_ms);
	}
	if (exemplar != NULL) {
		code = put_exemplar(r, exemplar);
	}
	ops_strbuf_addc(out, '\n');
	if (code == 0 && out->len > TEXT_MAX) {
		return ops_error_set(
			r->err, -EFBIG, "the body is longer than %zu MiB as text", TEXT_MAX >> 20);
	}
	return code;
}

static int put_sample(struct reading *r, const char *suffix, double value)
{
	put_series(&r->to->text, r, suffix, NULL, 0);
	return put_value(r, value, NULL);
}

/* ---- values ---- */

static double number_of(const struct ops_proto_field *f)
{
	return f->wire == OPS_PROTO_FIXED64 ? ops_proto_double(f) : (double)f->value;
}

/* Gauge, Counter, Untyped: the value is field 1, an exemplar field 2. */
static int read_simple(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f, exemplar = {.number = 0};
	double value = 0;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 1 && f.wire == OPS_PROTO_FIXED64) {
			value = ops_proto_double(&f);
		} else if (f.number == 2 && f.wire == OPS_PROTO_LEN) {
			exemplar = f;
		}
	}
	if (code < 0) {
		return malformed(r, "a value");
	}
	put_series(&r->to->text, r, "", NULL, 0);
	return put_value(r, value, exemplar.number != 0 ? &exemplar : NULL);
}

static int read_quantile(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	double pair[2] = {0, 0};
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number <= 2 && f.wire == OPS_PROTO_FIXED64) {
			pair[f.number - 1] = ops_proto_double(&f);
		}
	}
	if (code < 0) {
		return malformed(r, "a quantile");
	}
	put_series(&r->to->text, r, "", "quantile", pair[0]);
	return put_value(r, pair[1], NULL);
}

static int read_summary(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	double count = 0, sum = 0;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 1) {
			count = number_of(&f);
		} else if (f.number == 2) {
			sum = number_of(&f);
		} else if (f.number == 3 && (code = read_quantile(r, &f)) != 0) {
			return code;
		}
	}
	if (code < 0) {
		return malformed(r, "a summary");
	}
	code = put_sample(r, "_sum", sum);
	return code != 0 ? code : put_sample(r, "_count", count);
}

static int read_bucket(struct reading *r, const struct ops_proto_field *field, bool *ret_infinite)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f, exemplar = {.number = 0};
	double count = 0, bound = 0;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 2 && f.wire == OPS_PROTO_FIXED64) {
			bound = ops_proto_double(&f);
		} else if (f.number == 1 || (f.number == 4 && number_of(&f) > 0)) {
			count = number_of(&f);
		} else if (f.number == 3 && f.wire == OPS_PROTO_LEN) {
			exemplar = f;
		}
	}
	if (code < 0) {
		return malformed(r, "a bucket");
	}
	*ret_infinite |= isinf(bound) && bound > 0;
	put_series(&r->to->text, r, "_bucket", "le", bound);
	return put_value(r, count, exemplar.number != 0 ? &exemplar : NULL);
}

static int read_classic(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	double count = 0, sum = 0;
	bool infinite = false;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 1 || (f.number == 4 && number_of(&f) > 0)) {
			count = number_of(&f);
		} else if (f.number == 2) {
			sum = number_of(&f);
		} else if (f.number == 3 && (code = read_bucket(r, &f, &infinite)) != 0) {
			return code;
		}
	}
	if (code < 0) {
		return malformed(r, "a histogram");
	}
	if (!infinite) {
		put_series(&r->to->text, r, "_bucket", "le", (double)INFINITY);
		code = put_value(r, count, NULL);
	}
	code = code == 0 ? put_sample(r, "_sum", sum) : code;
	return code != 0 ? code : put_sample(r, "_count", count);
}

/* ---- native histograms ---- */

/* As remote write numbers them; 0: it has no such field. */
static const uint8_t remote_number[] = {[1] = 1,
	[4] = 2,
	[2] = 3,
	[5] = 4,
	[6] = 5,
	[7] = 6,
	[8] = 7,
	[9] = 8,
	[10] = 9,
	[11] = 10,
	[12] = 11,
	[13] = 12,
	[14] = 13};

static bool is_native(const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	while (ops_proto_next(&in, &f) > 0) {
		bool spans = f.number == 9 || f.number == 12;
		bool zero = f.number >= 6 && f.number <= 8 && number_of(&f) > 0;
		if (spans || zero) {
			return true;
		}
	}
	return false;
}

/* A field of the value zero says nothing, but of the two counts it would hide the other one. */
static bool says_nothing(const struct ops_proto_field *f)
{
	bool one_of_two = f->number == 1 || f->number == 4 || f->number == 7 || f->number == 8;
	return one_of_two && number_of(f) == 0;
}

static void renumber(struct ops_strbuf *out, const struct ops_proto_field *f)
{
	uint32_t number = f->number < OPS_LENGTH(remote_number) ? remote_number[f->number] : 0;
	if (number == 0 || says_nothing(f)) {
		return;
	}
	if (f->wire == OPS_PROTO_LEN) {
		ops_proto_put_bytes(out, number, f->data, f->len);
	} else if (f->wire == OPS_PROTO_VARINT) {
		ops_proto_put_varint(out, number, f->value);
	} else if (f->wire == OPS_PROTO_FIXED64) {
		ops_proto_put_double(out, number, ops_proto_double(f));
	}
}

static void end_native(struct ops_protobuf_body *b, size_t from, int64_t time_ms)
{
	ops_strbuf_printf(&b->natives, "%zu\n", b->n);
	OPS_GROW(b->items, b->n, b->cap);
	b->items[b->n++] = (struct ops_protobuf_native){
		.from = from, .len = b->messages.len - from, .time_ms = time_ms};
}

void ops_protobuf_add_native(struct ops_protobuf_body *b, struct ops_exposition_text series,
	size_t from, int64_t time_ms)
{
	ops_strbuf_add(&b->natives, series.data, series.len);
	end_native(b, from, time_ms);
}

static int read_native(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_protobuf_body *to = r->to;
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	bool own = r->has_time && (r->flags & OPS_PROTOBUF_HONOR_TIMES) != 0;
	size_t from = to->messages.len;
	int64_t time_ms = own ? r->metric_ms : r->time_ms;
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		renumber(&to->messages, &f);
	}
	if (code < 0) {
		return malformed(r, "a histogram");
	}
	if (r->type == GAUGE_HISTOGRAM) {
		ops_proto_put_varint(&to->messages, REMOTE_HINT, HINT_GAUGE);
	}
	ops_proto_put_varint(&to->messages, REMOTE_TIME, (uint64_t)time_ms);
	put_series(&to->natives, r, "", NULL, 0);
	end_native(to, from, time_ms);
	return to->natives.len > TEXT_MAX
		       ? ops_error_set(r->err, -EFBIG, "the body has too many histograms")
		       : 0;
}

static int read_histogram(struct reading *r, const struct ops_proto_field *field)
{
	bool native = (r->flags & OPS_PROTOBUF_NATIVE) != 0 && is_native(field);
	int code = native ? read_native(r, field) : 0;
	if (code == 0 && (!native || (r->flags & OPS_PROTOBUF_CLASSIC_TOO) != 0)) {
		code = read_classic(r, field);
	}
	return code;
}

/* ---- metrics and families ---- */

static int read_pair(struct reading *r, const struct ops_proto_field *field)
{
	struct ops_proto_reader in = inside(field);
	struct ops_proto_field f;
	struct ops_exposition_text pair[2] = {{"", 0}, {"", 0}};
	int code;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number <= 2 && f.wire == OPS_PROTO_LEN) {
			pair[f.number - 1] = text_of(&f);
		}
	}
	if (code == 0) {
		ops_protobuf_put_label(&r->to->labels, pair[0], pair[1]);
	}
	return code < 0 ? malformed(r, "a label") : 0;
}

/* What all samples of the metric share, wherever in the message it stands. */
static int read_head(struct reading *r, const struct ops_proto_field *metric)
{
	struct ops_proto_reader in = inside(metric);
	struct ops_proto_field f;
	int code;
	ops_strbuf_reset(&r->to->labels);
	r->has_time = false;
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 6 && f.wire == OPS_PROTO_VARINT) {
			r->has_time = f.value != 0;
			r->metric_ms = (int64_t)f.value;
		} else if (f.number == 1 && (code = read_pair(r, &f)) != 0) {
			return code;
		}
	}
	return code < 0 ? malformed(r, "a metric") : 0;
}

static int read_metric(struct reading *r, const struct ops_proto_field *metric)
{
	struct ops_proto_reader in = inside(metric);
	struct ops_proto_field f;
	int code = read_head(r, metric);
	while (code == 0 && (code = ops_proto_next(&in, &f)) > 0) {
		code = 0;
		if (f.wire != OPS_PROTO_LEN) {
			continue;
		}
		if (f.number == 2 || f.number == 3 || f.number == 5) {
			code = read_simple(r, &f);
		} else if (f.number == 4) {
			code = read_summary(r, &f);
		} else if (f.number == 7) {
			code = read_histogram(r, &f);
		}
	}
	return code == -EBADMSG ? malformed(r, "a metric") : code;
}

static void put_metadata(struct reading *r)
{
	static const char *const types[TYPES] = {
		"counter", "gauge", "summary", "untyped", "histogram", "gaugehistogram"};
	struct ops_strbuf *out = &r->to->text;
	const struct {
		const char *word;
		struct ops_exposition_text text;
	} rows[] = {{"HELP", r->help}, {"TYPE", {types[r->type], strlen(types[r->type])}}};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		if (rows[i].text.len == 0) {
			continue;
		}
		ops_strbuf_printf(out, "# %s ", rows[i].word);
		if (ops_metric_name_classic(r->name.data, r->name.len)) {
			ops_strbuf_add(out, r->name.data, r->name.len);
		} else {
			ops_strbuf_add_quoted(out, r->name.data, r->name.len);
		}
		ops_strbuf_addc(out, ' ');
		ops_strbuf_add_escaped(out, rows[i].text.data, rows[i].text.len, false);
		ops_strbuf_addc(out, '\n');
	}
}

static int read_family(struct reading *r, const void *data, size_t len)
{
	struct ops_proto_reader in;
	struct ops_proto_field f;
	int code;
	r->name = r->help = (struct ops_exposition_text){"", 0};
	r->type = COUNTER;
	ops_proto_read(&in, data, len);
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 1 && f.wire == OPS_PROTO_LEN) {
			r->name = text_of(&f);
		} else if (f.number == 2 && f.wire == OPS_PROTO_LEN) {
			r->help = text_of(&f);
		} else if (f.number == 3 && f.wire == OPS_PROTO_VARINT) {
			r->type = f.value;
		}
	}
	if (code < 0 || r->name.len == 0 || r->type >= TYPES) {
		return malformed(r, "the family");
	}
	put_metadata(r);
	ops_proto_read(&in, data, len);
	while ((code = ops_proto_next(&in, &f)) > 0) {
		if (f.number == 4 && f.wire == OPS_PROTO_LEN && (code = read_metric(r, &f)) != 0) {
			return code;
		}
	}
	return code;
}

/* The length in front of a family, as a varint of at most ten bytes. */
static int read_length(const uint8_t **at, const uint8_t *end, size_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (*at == end) {
			return -EINVAL;
		}
		uint8_t byte = *(*at)++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret = (size_t)v;
			return v <= (uint64_t)(end - *at) ? 0 : -EINVAL;
		}
	}
	return -EINVAL;
}

int ops_protobuf_read(struct ops_protobuf_body *b, const void *data, size_t len, unsigned flags,
	int64_t time_ms, struct ops_error *err)
{
	struct reading r = {.to = b, .flags = flags, .time_ms = time_ms, .err = err};
	const uint8_t *at = data, *end = at + len;
	ops_protobuf_body_reset(b);
	while (at < end) {
		size_t n = 0;
		const uint8_t *from = at;
		if (read_length(&at, end, &n) != 0) {
			return ops_error_set(err, -EINVAL,
				"the family at byte %zu is cut off or has no length",
				(size_t)(from - (const uint8_t *)data));
		}
		int code = read_family(&r, at, n);
		if (code != 0) {
			return code;
		}
		at += n;
	}
	return 0;
}

void ops_protobuf_body_reset(struct ops_protobuf_body *b)
{
	ops_strbuf_reset(&b->text);
	ops_strbuf_reset(&b->natives);
	ops_strbuf_reset(&b->messages);
	b->n = 0;
}

void ops_protobuf_body_done(struct ops_protobuf_body *b)
{
	ops_strbuf_done(&b->text);
	ops_strbuf_done(&b->natives);
	ops_strbuf_done(&b->messages);
	ops_strbuf_done(&b->labels);
	free(b->items);
	*b = (struct ops_protobuf_body){.n = 0};
}
