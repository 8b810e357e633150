/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a histogram, as Prometheus writes them: label values and messages, tests, HTTP API. */
#include "common/model/histogram.h"

#include <math.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"

void ops_histogram_print(const struct ops_histogram *h, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, "{count:");
	ops_strbuf_add_double(out, h->count);
	ops_strbuf_adds(out, ", sum:");
	ops_strbuf_add_double(out, h->sum);
	/* Unlike the buckets' intervals, the text shows bounds inside the zero bucket too. */
	struct ops_histogram plain = *h;
	plain.zero_threshold = 0;
	for (size_t i = 0; i < ops_histogram_nintervals(h); i++) {
		bool zero = i == h->negative.n && h->zero_count > 0;
		struct ops_histogram_interval b = ops_histogram_at(zero ? h : &plain, i);
		if (b.count == 0) {
			continue;
		}
		ops_strbuf_adds(out, b.lower_inclusive ? ", [" : ", (");
		ops_strbuf_add_double(out, b.lower);
		ops_strbuf_addc(out, ',');
		ops_strbuf_add_double(out, b.upper);
		ops_strbuf_adds(out, b.upper_inclusive ? "]:" : "):");
		ops_strbuf_add_double(out, b.count);
	}
	ops_strbuf_addc(out, '}');
}

static void add_key(struct ops_strbuf *out, const char *key, double v)
{
	if (v != 0) {
		ops_strbuf_printf(out, " %s:", key);
		ops_strbuf_add_double(out, v);
	}
}

static void add_side(
	struct ops_strbuf *out, const char *prefix, const struct ops_histogram_buckets *side)
{
	uint32_t i = 0, end = side->n;
	while (i < end && side->items[i].count == 0) {
		i++;
	}
	while (end > i && side->items[end - 1].count == 0) {
		end--;
	}
	if (i == end) {
		return;
	}
	if (side->items[i].index != 0) {
		ops_strbuf_printf(out, " %soffset:%d", prefix, side->items[i].index);
	}
	/* The notation has one run of buckets: a wide gap would be all zeros. */
	int64_t last = (int64_t)side->items[i].index + OPS_HISTOGRAM_MAX_BUCKETS;
	ops_strbuf_printf(out, " %sbuckets:[", prefix);
	for (int64_t index = side->items[i].index; i < end && index < last; index++) {
		ops_strbuf_adds(out, out->data[out->len - 1] != '[' ? " " : "");
		bool listed = side->items[i].index == index;
		ops_strbuf_add_double(out, listed ? side->items[i].count : 0);
		i += listed;
	}
	ops_strbuf_addc(out, ']');
}

void ops_histogram_print_notation(const struct ops_histogram *h, struct ops_strbuf *out)
{
	static const char *const hints[] = {
		[OPS_RESET_UNKNOWN] = "",
		[OPS_RESET_YES] = " counter_reset_hint:reset",
		[OPS_RESET_NO] = " counter_reset_hint:not_reset",
		[OPS_RESET_GAUGE] = " counter_reset_hint:gauge",
	};
	struct ops_strbuf in = OPS_STRBUF_INIT;
	if (h->schema != 0) {
		ops_strbuf_printf(&in, " schema:%d", h->schema);
	}
	add_key(&in, "count", h->count);
	add_key(&in, "sum", h->sum);
	add_key(&in, "z_bucket", h->zero_count);
	add_key(&in, "z_bucket_w", h->zero_threshold);
	if (ops_histogram_is_custom(h)) {
		ops_strbuf_adds(&in, " custom_values:[");
		for (uint32_t i = 0; i < h->ncustom; i++) {
			ops_strbuf_adds(&in, i > 0 ? " " : "");
			ops_strbuf_add_double(&in, h->custom[i]);
		}
		ops_strbuf_addc(&in, ']');
	}
	ops_strbuf_adds(&in, hints[h->hint]);
	add_side(&in, "", &h->positive);
	add_side(&in, "n_", &h->negative);
	ops_strbuf_adds(out, "{{");
	ops_strbuf_adds(out, in.len > 0 ? in.data + 1 : "");
	ops_strbuf_adds(out, "}}");
	ops_strbuf_done(&in);
}

/* The API writes an exponent only for the very small and the very large. */
static void add_json_number(struct ops_strbuf *out, double v)
{
	char text[352];
	double size = fabs(v);
	bool plain = !isfinite(v) || v == 0 || (size >= 1e-6 && size < 1e21);
	size_t len = plain ? ops_format_double_f(v, text) : ops_format_double(v, text);
	ops_strbuf_addc(out, '"');
	ops_strbuf_add(out, text, len);
	ops_strbuf_addc(out, '"');
}

void ops_histogram_json(const struct ops_histogram *h, struct ops_strbuf *out)
{
	bool any = false;
	ops_strbuf_adds(out, "{\"count\":");
	add_json_number(out, h->count);
	ops_strbuf_adds(out, ",\"sum\":");
	add_json_number(out, h->sum);
	for (size_t i = 0; i < ops_histogram_nintervals(h); i++) {
		struct ops_histogram_interval b = ops_histogram_at(h, i);
		if (b.count == 0) {
			continue;
		}
		/* Which ends belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both. */
		int ends = b.lower_inclusive ? (b.upper_inclusive ? 3 : 1)
					     : (b.upper_inclusive ? 0 : 2);
		ops_strbuf_printf(out, "%s[%d,", any ? "," : ",\"buckets\":[", ends);
		add_json_number(out, b.lower);
		ops_strbuf_addc(out, ',');
		add_json_number(out, b.upper);
		ops_strbuf_addc(out, ',');
		add_json_number(out, b.count);
		ops_strbuf_addc(out, ']');
		any = true;
	}
	ops_strbuf_adds(out, any ? "]}" : "}");
}
