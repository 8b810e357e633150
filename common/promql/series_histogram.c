/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native histogram literals: {{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05
 * buckets:[5.1 10 7] offset:-3 n_buckets:[4.1 5] n_offset:-5 custom_values:[1 2]
 * counter_reset_hint:gauge}}. Keys in any order, each once, divided by blanks.
 */
#include "common/promql/series_parse.h"

#include <string.h>

#include "common/base/number.h"

#define KEY "histogram description key, e.g. buckets:[5 10 7]"

bool ops_promql_series_stop(
	struct ops_promql_series_parser *sp, const char *context, const char *expected)
{
	if (ops_promql_unexpected(&sp->p, context, expected)) {
		sp->p.aborted = true;
	}
	return false;
}

bool ops_promql_series_number(struct ops_promql_series_parser *sp, bool is_signed, double *ret)
{
	struct ops_promql_parser *p = &sp->p;
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	bool negative = t == TOK_OP_SUB;
	if (is_signed && (negative || t == TOK_OP_ADD)) {
		(void)ops_promql_take(p);
	}
	if (ops_promql_peek_type(p) != TOK_NUMBER) {
		return ops_promql_series_stop(sp, "series values", NULL);
	}
	struct ops_promql_token number = ops_promql_take(p);
	double value = ops_promql_token_number(p, &number);
	*ret = is_signed && negative ? -value : value;
	return p->problems->n == 0;
}

/* A whole number with an optional minus, within int32. */
static bool parse_int(struct ops_promql_series_parser *sp, int32_t *ret)
{
	struct ops_promql_parser *p = &sp->p;
	bool negative = ops_promql_accept(p, TOK_OP_SUB);
	int64_t v = 0;
	if (ops_promql_peek_type(p) != TOK_NUMBER) {
		return ops_promql_series_stop(sp, "histogram description", KEY);
	}
	struct ops_promql_token t = ops_promql_take(p);
	if (ops_parse_i64(p->lexer.input + t.start, t.end - t.start, &v) != 0 || v > INT32_MAX) {
		ops_promql_problem_add(
			p, t.start, t.end, "invalid whole number in histogram description");
		return false;
	}
	*ret = (int32_t)(negative ? -v : v);
	return true;
}

/* [1 2 3] */
static bool parse_set(struct ops_promql_series_parser *sp, double **ret, size_t *ret_n)
{
	struct ops_promql_parser *p = &sp->p;
	double *items = NULL;
	size_t n = 0, cap = 0;
	if (!ops_promql_accept(p, TOK_LEFT_BRACKET)) {
		return ops_promql_series_stop(sp, "histogram description", KEY);
	}
	for (;;) {
		if (n == cap) {
			cap = cap != 0 ? cap * 2 : 8;
			double *more = ops_arena_array(p->arena, double, cap);
			if (n > 0) {
				memcpy(more, items, n * sizeof(*items));
			}
			items = more;
		}
		if (!ops_promql_series_number(sp, true, &items[n++])) {
			return false;
		}
		bool space = ops_promql_accept(p, TOK_SPACE);
		if (ops_promql_accept(p, TOK_RIGHT_BRACKET)) {
			break;
		}
		if (!space) {
			return ops_promql_series_stop(sp, "histogram description", KEY);
		}
	}
	*ret = items;
	*ret_n = n;
	return true;
}

static bool parse_hint(struct ops_promql_series_parser *sp, struct ops_promql_histogram *h)
{
	enum ops_promql_token_type t = ops_promql_peek_type(&sp->p);
	if (t < TOK_HINT_UNKNOWN || t > TOK_HINT_GAUGE) {
		return ops_promql_series_stop(sp, "histogram description", KEY);
	}
	(void)ops_promql_take(&sp->p);
	h->has_hint = true;
	h->hint = (enum ops_promql_reset_hint)(t - TOK_HINT_UNKNOWN);
	return true;
}

static bool parse_value(struct ops_promql_series_parser *sp, enum ops_promql_token_type key,
	struct ops_promql_histogram *h)
{
	if (key == TOK_HIST_SUM) {
		return ops_promql_series_number(sp, true, &h->sum);
	}
	if (key == TOK_HIST_COUNT) {
		return ops_promql_series_number(sp, true, &h->count);
	}
	if (key == TOK_HIST_Z_BUCKET) {
		return ops_promql_series_number(sp, true, &h->zero_count);
	}
	if (key == TOK_HIST_Z_BUCKET_W) {
		return ops_promql_series_number(sp, false, &h->zero_threshold);
	}
	if (key == TOK_HIST_SCHEMA) {
		return parse_int(sp, &h->schema);
	}
	if (key == TOK_HIST_OFFSET || key == TOK_HIST_N_OFFSET) {
		return parse_int(
			sp, key == TOK_HIST_OFFSET ? &h->positive.offset : &h->negative.offset);
	}
	if (key == TOK_HIST_BUCKETS) {
		return parse_set(sp, &h->positive.counts, &h->positive.n);
	}
	if (key == TOK_HIST_N_BUCKETS) {
		return parse_set(sp, &h->negative.counts, &h->negative.n);
	}
	if (key == TOK_HIST_CUSTOM_VALUES) {
		return parse_set(sp, &h->custom_values, &h->ncustom_values);
	}
	return parse_hint(sp, h);
}

/* key:value, each key once: seen has a bit per key. */
static bool parse_entry(
	struct ops_promql_series_parser *sp, struct ops_promql_histogram *h, unsigned *seen)
{
	struct ops_promql_parser *p = &sp->p;
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t < TOK_HIST_SUM || t > TOK_HIST_COUNTER_RESET_HINT) {
		return ops_promql_series_stop(sp, "histogram description", KEY);
	}
	struct ops_promql_token key = ops_promql_take(p);
	unsigned bit = 1U << (t - TOK_HIST_SUM);
	if ((*seen & bit) != 0) {
		ops_promql_problem_add(p, key.start, key.end, "duplicate key %s in histogram",
			ops_promql_text_quoted(
				p->arena, p->lexer.input + key.start, key.end - key.start));
		return false;
	}
	*seen |= bit;
	if (!ops_promql_accept(p, TOK_COLON)) {
		return ops_promql_series_stop(sp, "histogram description", KEY);
	}
	return parse_value(sp, t, h);
}

bool ops_promql_series_histogram(
	struct ops_promql_series_parser *sp, struct ops_promql_histogram **ret)
{
	struct ops_promql_parser *p = &sp->p;
	struct ops_promql_histogram *h = ops_arena_new(p->arena, struct ops_promql_histogram);
	unsigned seen = 0;

	*ret = h;
	if (!ops_promql_accept(p, TOK_OPEN_HIST)) {
		return ops_promql_series_stop(sp, "series values", NULL);
	}
	if (ops_promql_accept(p, TOK_SPACE)) { /* blanks may only lead when nothing follows them */
		return ops_promql_accept(p, TOK_CLOSE_HIST) ||
		       ops_promql_series_stop(sp, "histogram description", KEY);
	}
	while (!ops_promql_accept(p, TOK_CLOSE_HIST)) {
		if (!parse_entry(sp, h, &seen)) {
			return false;
		}
		if (!ops_promql_accept(p, TOK_SPACE) && ops_promql_peek_type(p) != TOK_CLOSE_HIST) {
			return ops_promql_series_stop(sp, "histogram description", KEY);
		}
	}
	return true;
}
