/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two documents, divided by a byte 0xff, the first byte says which format. Reading the second by
 * the layout of the first must give what parsing it gives, value by value, with histograms that
 * are converted or not; a layout must survive the wire; what is converted must be series with valid
 * histograms; and a line is the same whether or not it is like the one before.
 */
#include <stdint.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/exposition/protobuf.h"
#include "common/remote/histogram.h"
#include "services/collector/classics.h"
#include "services/collector/config.h"
#include "services/collector/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct col_limits limits = {.samples = 1000};

static void check_wire(struct col_layout *l)
{
	struct ops_strbuf bytes = OPS_STRBUF_INIT;
	struct ops_layout *back = NULL;
	struct ops_error err;
	ops_layout_encode(&l->wire, &bytes);
	int r = ops_layout_decode(bytes.data, bytes.len, &back, &err);
	ops_assert(r == 0 && back->id == l->wire.id && back->n == l->wire.n);
	for (size_t i = 0; i < back->n; i++) {
		ops_assert(ops_labels_equal(back->series[i], l->wire.series[i]));
	}
	ops_layout_free(back);
	ops_strbuf_done(&bytes);
}

/* What the short way reads must be what the whole way reads. */
static void check_second(const struct col_series_rules *rules, const struct col_layout *first,
	enum ops_exposition_format format, struct ops_exposition_text body)
{
	struct col_values fast = {.n = 0}, slow = {.n = 0};
	struct col_layout *l = NULL;
	struct ops_error err;
	if (col_layout_read(first, rules, format, body, &fast)) {
		int r = col_layout_parse(rules, format, body, &slow, &l, &err);
		ops_assert(r == 0 && l->nseries == first->nseries && fast.n == slow.n);
		size_t n = col_layout_columns(l);
		ops_assert(n == col_layout_columns(first));
		memset(fast.values + l->nseries, 0, (l->wire.n - l->nseries) * sizeof(double));
		memset(slow.values + l->nseries, 0, (l->wire.n - l->nseries) * sizeof(double));
		ops_assert(fast.has_times == slow.has_times);
		if (n > 0) {
			ops_assert(memcmp(fast.values, slow.values, n * sizeof(double)) == 0);
			ops_assert(!fast.has_times ||
				   memcmp(fast.times_ms, slow.times_ms, n * sizeof(int64_t)) == 0);
		}
		for (size_t i = 0; i < l->nseries; i++) {
			ops_assert(ops_labels_equal(l->wire.series[i], first->wire.series[i]));
			ops_assert(!ops_is_stale(fast.values[i]));
		}
		col_layout_free(l);
	}
	col_values_done(&fast);
	col_values_done(&slow);
}

/* The line from `from` on, which p has read behind others, is read or refused by itself. */
static void check_line(const struct ops_exposition *p, const char *from, int kind)
{
	struct ops_exposition alone;
	struct ops_error err;
	ops_exposition_init(&alone);
	ops_exposition_start(&alone, p->format, from, (size_t)(p->end - from));
	ops_assert(ops_exposition_next(&alone, &err) == kind);
	if (kind != OPS_ENTRY_SAMPLE) {
		ops_exposition_done(&alone);
		return;
	}
	ops_assert(alone.at == p->at);
	ops_assert(alone.series_end == p->series_end && alone.nlabels == p->nlabels);
	ops_assert(alone.name.len == p->name.len &&
		   memcmp(alone.name.data, p->name.data, p->name.len) == 0);
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *x = &p->labels[i], *y = &alone.labels[i];
		ops_assert(x->name_len == y->name_len && x->value_len == y->value_len);
		ops_assert(memcmp(x->name, y->name, x->name_len) == 0);
		ops_assert(memcmp(x->value, y->value, x->value_len) == 0);
	}
	ops_exposition_done(&alone);
}

static void check_lines(enum ops_exposition_format format, struct ops_exposition_text body)
{
	struct ops_exposition p;
	struct ops_error err;
	ops_exposition_init(&p);
	ops_exposition_start(&p, format, body.data, body.len);
	for (;;) {
		const char *from = p.at;
		int kind = ops_exposition_next(&p, &err);
		if (kind == OPS_ENTRY_SAMPLE || kind < 0) {
			check_line(&p, from, kind);
		}
		if (kind <= 0) {
			break;
		}
	}
	ops_exposition_done(&p);
}

/* Each line of the natives names a series, and its message is a histogram. */
static void check_classics(const struct col_series_rules *rules, const struct col_layout *l,
	const struct col_values *values)
{
	struct ops_protobuf_body body = {.n = 0};
	struct col_series_rules own = *rules;
	struct col_values places = {.n = 0};
	struct col_layout *natives = NULL;
	struct ops_arena scratch;
	struct ops_error err;
	ops_arena_init(&scratch);
	col_classics_convert(l->classics, values, 1000, &scratch, &body);
	own.convert_classic = false;
	const struct ops_exposition_text text = {ops_strbuf_text(&body.natives), body.natives.len};
	int r = col_layout_parse(&own, OPS_EXPOSITION_PROTO, text, &places, &natives, &err);
	ops_assert(r == 0 && natives->nseries == body.n);
	for (size_t i = 0; i < body.n; i++) {
		const struct ops_protobuf_native *at = &body.items[(size_t)places.values[i]];
		const struct ops_remote_histogram message = {
			.data = (const uint8_t *)body.messages.data + at->from,
			.len = at->len,
			.time_ms = at->time_ms};
		struct ops_histogram h;
		ops_arena_reset(&scratch);
		r = ops_remote_histogram_decode(&message, &scratch, &h);
		ops_assert(r == 0 && ops_histogram_validate(&h, &err) == 0);
	}
	col_layout_free(natives);
	col_values_done(&places);
	ops_protobuf_body_done(&body);
	ops_arena_done(&scratch);
}

static void run(enum ops_exposition_format format, bool convert, struct ops_exposition_text first,
	struct ops_exposition_text second)
{
	struct col_series_rules rules = {
		.labels = ops_labels_of("instance", "x:1", "job", "fuzz", NULL),
		.instance = "h:1",
		.honor_timestamps = true,
		.convert_classic = convert,
		.limits = &limits};
	struct col_values values = {.n = 0};
	struct col_layout *l = NULL;
	struct ops_error err;
	col_reports_build(rules.labels, false, rules.reports);
	check_lines(format, first);
	int r = col_layout_parse(&rules, format, first, &values, &l, &err);
	if (r == 0) {
		check_wire(l);
		check_second(&rules, l, format, first);
		check_second(&rules, l, format, second);
		if (l->classics != NULL) {
			check_classics(&rules, l, &values);
		}
		col_layout_free(l);
	} else {
		ops_assert(err.line > 0 && err.column > 0 && err.message[0] != '\0');
	}
	col_values_done(&values);
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(rules.reports[i]);
	}
	ops_labels_unref(rules.labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	enum ops_exposition_format format =
		data[0] == 'o' ? OPS_EXPOSITION_OPENMETRICS : OPS_EXPOSITION_TEXT;
	const char *text = (const char *)data + 1;
	const char *split = memchr(text, 0xff, size - 1);
	size_t first = split != NULL ? (size_t)(split - text) : size - 1;
	/* exact copies: reading one byte too far must be seen */
	char *a = ops_xmalloc(first + 1), *b = ops_xmalloc(size - first);
	size_t rest = split != NULL ? size - 2 - first : 0;
	memcpy(a, text, first);
	if (rest > 0) {
		memcpy(b, split + 1, rest);
	}
	a = ops_xrealloc(a, first > 0 ? first : 1, 1);
	b = ops_xrealloc(b, rest > 0 ? rest : 1, 1);
	for (int convert = 0; convert < 2; convert++) {
		run(format, convert != 0, (struct ops_exposition_text){a, first},
			(struct ops_exposition_text){b, rest});
	}
	free(a);
	free(b);
	return 0;
}
