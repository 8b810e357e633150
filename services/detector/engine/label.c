/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of labels: label_replace, label_join, the sorts, absent. They look at each series once;
 * the values are not touched.
 */
#include "services/detector/engine/eval.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/strbuf.h"

static const struct ops_promql_string *text_arg(const struct ops_promql_expr *e, size_t i)
{
	return &ops_promql_unparen(e->call.args[i])->string;
}

static void set_label(
	struct det_eval *ev, struct det_col *col, const char *name, const struct ops_strbuf *value)
{
	const char *text = ops_arena_strdup(ev->sh->arena, ops_strbuf_text(value));
	col->labels = det_lset_set(ev->sh->arena, &col->labels, name, text);
	if (strcmp(name, OPS_LABEL_NAME) == 0) {
		col->drop_name = false;
	}
}

static void replace_all(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct ops_regex *re, struct det_vec *vec)
{
	const char *dst = text_arg(e, 1)->text, *replacement = text_arg(e, 2)->text;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (size_t c = 0; c < vec->n; c++) {
		const char *src = det_lset_get(&vec->cols[c].labels, text_arg(e, 3)->text);
		ops_strbuf_reset(&out);
		if (ops_regex_expand(re, src, strlen(src), replacement, &out) == 0) {
			set_label(ev, &vec->cols[c], dst, &out);
		}
	}
	ops_strbuf_done(&out);
}

int det_call_label_replace(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	const struct ops_promql_string *dst = text_arg(e, 1), *pattern = text_arg(e, 4);
	struct ops_regex *re = NULL;
	struct ops_error err;
	if (ops_regex_new(pattern->text, pattern->len, &re, &err) != 0) {
		return det_eval_fail(ev, -EINVAL,
			"invalid regular expression in label_replace(): %s", pattern->text);
	}
	int rc = 0;
	if (!ops_label_name_valid(dst->text, dst->len)) {
		rc = det_eval_fail(ev, -EINVAL,
			"invalid destination label name in label_replace(): %s", dst->text);
	}
	if (rc == 0) {
		rc = det_eval_vector(ev, e->call.args[0], &ret->vec);
	}
	if (rc == 0) {
		replace_all(ev, e, re, &ret->vec);
		rc = det_vec_merge(ev, &ret->vec);
	}
	ops_regex_free(re);
	return rc;
}

int det_call_label_join(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	const struct ops_promql_string *dst = text_arg(e, 1), *sep = text_arg(e, 2);
	for (size_t a = 3; a < e->call.nargs; a++) {
		if (!ops_label_name_valid(text_arg(e, a)->text, text_arg(e, a)->len)) {
			return det_eval_fail(ev, -EINVAL,
				"invalid source label name in label_join(): %s",
				text_arg(e, a)->text);
		}
	}
	if (!ops_label_name_valid(dst->text, dst->len)) {
		return det_eval_fail(ev, -EINVAL,
			"invalid destination label name in label_join(): %s", dst->text);
	}
	int rc = det_eval_vector(ev, e->call.args[0], &ret->vec);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (size_t c = 0; rc == 0 && c < ret->vec.n; c++) {
		ops_strbuf_reset(&out);
		for (size_t a = 3; a < e->call.nargs; a++) {
			if (a > 3) {
				ops_strbuf_add(&out, sep->text, sep->len);
			}
			ops_strbuf_adds(
				&out, det_lset_get(&ret->vec.cols[c].labels, text_arg(e, a)->text));
		}
		set_label(ev, &ret->vec.cols[c], dst->text, &out);
	}
	ops_strbuf_done(&out);
	return rc == 0 ? det_vec_merge(ev, &ret->vec) : rc;
}

/* Numbers inside text compare as numbers: web2 before web10. */
static int compare_natural(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0') {
		if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
			a += strspn(a, "0");
			b += strspn(b, "0");
			size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
			int c = na != nb ? (na > nb) - (na < nb) : memcmp(a, b, na);
			if (c != 0) {
				return c;
			}
			a += na;
			b += nb;
		} else if (*a != *b) {
			return (unsigned char)*a > (unsigned char)*b ? 1 : -1;
		} else {
			a++;
			b++;
		}
	}
	return (*a != '\0') - (*b != '\0');
}

struct order {
	bool descending, by_label;
	const struct ops_promql_expr *e;
};

static int compare_columns(const struct det_col *a, const struct det_col *b, const struct order *o)
{
	if (!o->by_label) {
		double x = a->v[0], y = b->v[0];
		if (isnan(x) || isnan(y)) {
			return isnan(x) - isnan(y); /* NaN last, both ways */
		}
		int c = (x > y) - (x < y);
		return o->descending ? -c : c;
	}
	int c = 0;
	for (size_t i = 1; c == 0 && i < o->e->call.nargs; i++) {
		const char *name = text_arg(o->e, i)->text;
		const char *x = det_lset_get(&a->labels, name), *y = det_lset_get(&b->labels, name);
		c = strcmp(x, y) == 0 ? 0 : compare_natural(x, y);
	}
	c = c != 0 ? c : det_lset_compare(&a->labels, &b->labels);
	return o->descending ? -c : c;
}

/* Merge sort: stable, and the order is an argument. */
static void sort_columns(
	struct det_col *cols, size_t n, struct det_col *scratch, const struct order *o)
{
	if (n < 2) {
		return;
	}
	size_t mid = n / 2;
	sort_columns(cols, mid, scratch, o);
	sort_columns(cols + mid, n - mid, scratch, o);
	size_t a = 0, b = mid;
	for (size_t i = 0; i < n; i++) {
		bool first = b == n || (a < mid && compare_columns(&cols[a], &cols[b], o) <= 0);
		scratch[i] = cols[first ? a++ : b++];
	}
	memcpy(cols, scratch, n * sizeof(*cols));
}

static int call_sort(struct det_eval *ev, const struct ops_promql_expr *e, const struct order *o,
	struct det_vec *ret)
{
	int rc = det_eval_vector(ev, e->call.args[0], ret);
	if (rc != 0) {
		return rc;
	}
	if (!o->by_label && det_vec_floats(ev, ret)) {
		det_vec_trim(ev, ret);
	}
	if (ev->sh->query->range) {
		det_warn(ev, e,
			"sort is ineffective for range queries since results are always ordered by "
			"labels");
	} else if (ev->nsteps == 1) {
		struct det_col *scratch = det_scratch(ev, ret->n, sizeof(*scratch));
		sort_columns(ret->cols, ret->n, scratch, o);
	}
	return 0;
}

int det_call_sort(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct order o = {.descending = e->call.function->id == OPS_PROMQL_FN_SORT_DESC, .e = e};
	return call_sort(ev, e, &o, &ret->vec);
}

int det_call_sort_by_label(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct order o = {.descending = e->call.function->id == OPS_PROMQL_FN_SORT_BY_LABEL_DESC,
		.by_label = true,
		.e = e};
	return call_sort(ev, e, &o, &ret->vec);
}

/* The labels that the selector's equalities name; one that is named twice is left out. */
struct det_lset det_absent_labels(struct det_eval *ev, const struct ops_promql_expr *e)
{
	struct det_lset out = det_lset_of(NULL, 0);
	e = ops_promql_unparen(e);
	if (e->kind == OPS_PROMQL_MATRIX_SELECTOR) {
		e = ops_promql_unparen(e->matrix.vector);
	}
	if (e->kind != OPS_PROMQL_VECTOR_SELECTOR) {
		return out;
	}
	const struct ops_promql_vector_selector *vs = &e->vector;
	for (size_t i = 0; i < vs->nmatchers; i++) {
		const struct ops_promql_matcher *m = &vs->matchers[i];
		if (strcmp(m->name.text, OPS_LABEL_NAME) == 0) {
			continue;
		}
		bool again = false;
		for (size_t k = 0; k < i && !again; k++) {
			again = vs->matchers[k].op == OPS_MATCH_EQ &&
				strcmp(vs->matchers[k].name.text, m->name.text) == 0;
		}
		const char *value = m->op == OPS_MATCH_EQ && !again ? m->value.text : "";
		out = det_lset_set(ev->sh->arena, &out, m->name.text, value);
	}
	return out;
}

int det_call_absent(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct det_vec in;
	int rc = det_eval_vector(ev, e->call.args[0], &in);
	if (rc == 0) {
		rc = det_vec_init(ev, &ret->vec, 1);
	}
	if (rc != 0) {
		return rc;
	}
	struct det_lset labels = det_absent_labels(ev, e->call.args[0]);
	struct det_col *col = det_vec_add(ev, &ret->vec, &labels);
	for (size_t i = 0; i < ev->nsteps; i++) {
		bool present = false;
		for (size_t c = 0; c < in.n && !present; c++) {
			present = !det_is_absent(in.cols[c].v[i]);
		}
		col->v[i] = present ? det_absent() : 1;
	}
	det_vec_done(ev, &in);
	det_vec_trim(ev, &ret->vec);
	return 0;
}
