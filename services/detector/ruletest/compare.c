/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was expected against what was got, and how promtool writes both. fuzzy_compare takes the
 * neighbouring doubles for equal, no more. Unlike promtool NaN equals NaN: a test that cannot pass
 * helps nobody.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "services/detector/ruletest/internal.h"

static bool same_double(double a, double b, bool fuzzy)
{
	if (a == b || (isnan(a) && isnan(b))) {
		return true;
	}
	return fuzzy && (nextafter(a, -INFINITY) == b || nextafter(a, INFINITY) == b);
}

bool det_ruletest_value_equal(
	const struct det_ruletest_value *a, const struct det_ruletest_value *b, bool fuzzy)
{
	if (a->h == NULL || b->h == NULL) {
		return a->h == b->h && same_double(a->v, b->v, fuzzy);
	}
	struct ops_strbuf x = OPS_STRBUF_INIT, y = OPS_STRBUF_INIT;
	ops_histogram_print_notation(a->h, &x);
	ops_histogram_print_notation(b->h, &y);
	bool same = strcmp(ops_strbuf_text(&x), ops_strbuf_text(&y)) == 0;
	ops_strbuf_done(&x);
	ops_strbuf_done(&y);
	return same;
}

static int compare_samples(const void *a, const void *b)
{
	return ops_labels_compare(((const struct det_ruletest_sample *)a)->labels,
		((const struct det_ruletest_sample *)b)->labels);
}

void det_ruletest_sort_samples(struct det_ruletest_sample *list, size_t n)
{
	if (n > 1) {
		qsort(list, n, sizeof(*list), compare_samples);
	}
}

static int compare_alerts(const void *a, const void *b)
{
	const struct det_ruletest_alert *x = a, *y = b;
	int rc = ops_labels_compare(x->labels, y->labels);
	return rc != 0 ? rc : ops_labels_compare(x->annotations, y->annotations);
}

void det_ruletest_sort_alerts(struct det_ruletest_alert *list, size_t n)
{
	if (n > 1) {
		qsort(list, n, sizeof(*list), compare_alerts);
	}
}

/* ---- texts ---- */

static void print_labels(const struct ops_labels *ls, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '{');
	for (uint32_t i = 0; i < ls->n; i++) {
		const struct ops_label *l = &ls->items[i];
		ops_strbuf_adds(out, i > 0 ? ", " : "");
		if (ops_label_name_classic(l->name, l->name_len)) {
			ops_strbuf_adds(out, l->name);
		} else {
			ops_strbuf_add_json(out, l->name, l->name_len);
		}
		ops_strbuf_addc(out, '=');
		ops_strbuf_add_json(out, l->value, l->value_len);
	}
	ops_strbuf_addc(out, '}');
}

/* The fewest digits that read back as the same number, always with an exponent: 6.1E+01. */
static void print_number(double v, struct ops_strbuf *out)
{
	char text[40] = "";
	double back = 0;
	if (!isfinite(v)) {
		ops_strbuf_add_double(out, v);
		return;
	}
	for (int digits = 0; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*E", digits, v);
		if (ops_parse_double(text, strlen(text), &back) == 0 && back == v) {
			break;
		}
	}
	ops_strbuf_adds(out, text);
}

void det_ruletest_print_samples(
	const struct det_ruletest_sample *list, size_t n, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, n == 0 ? "nil" : "");
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? ", " : "");
		print_labels(list[i].labels, out);
		ops_strbuf_addc(out, ' ');
		if (list[i].value.h != NULL) {
			ops_histogram_print_notation(list[i].value.h, out);
		} else {
			print_number(list[i].value.v, out);
		}
	}
}

void det_ruletest_print_alerts(
	const struct det_ruletest_alert *list, size_t n, struct ops_strbuf *out)
{
	if (n == 0) {
		ops_strbuf_adds(out, "[]");
		return;
	}
	ops_strbuf_adds(out, "[");
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_printf(
			out, "%s\n            %zu:\n              Labels:", i > 0 ? "," : "", i);
		print_labels(list[i].labels, out);
		ops_strbuf_adds(out, "\n              Annotations:");
		print_labels(list[i].annotations, out);
	}
	ops_strbuf_adds(out, "\n            ]");
}
