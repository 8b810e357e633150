/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/otlp_sums.h"

#include <string.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"

struct col_otlp_sums {
	struct ops_map *by_labels; /* names and values with their NULs -> struct col_otlp_sum */
	struct ops_strbuf key;
	size_t max;
	int64_t ttl_ms, swept_ms;
};

static void sum_free(void *arg)
{
	struct col_otlp_sum *s = arg;
	col_otlp_counts_done(&s->positive);
	col_otlp_counts_done(&s->negative);
	free(s);
}

struct col_otlp_sums *col_otlp_sums_new(size_t max, int64_t ttl_ms)
{
	struct col_otlp_sums *s = ops_xcalloc(1, sizeof(*s));
	s->by_labels = ops_map_new();
	s->max = max;
	s->ttl_ms = ttl_ms;
	return s;
}

void col_otlp_sums_free(struct col_otlp_sums *s)
{
	if (s != NULL) {
		ops_map_free(s->by_labels, sum_free);
		ops_strbuf_done(&s->key);
		free(s);
	}
}

static void sweep(struct col_otlp_sums *s, int64_t now_ms)
{
	struct ops_map_entry e;
	if (now_ms - s->swept_ms < s->ttl_ms / 16) {
		return;
	}
	s->swept_ms = now_ms;
	for (size_t at = 0; ops_map_next(s->by_labels, &at, &e);) {
		struct col_otlp_sum *sum = e.value;
		if (now_ms - sum->heard_ms > s->ttl_ms) {
			(void)ops_map_remove(s->by_labels, e.key, e.len);
			sum_free(sum);
		}
	}
}

struct col_otlp_sum *col_otlp_sums_of(
	struct col_otlp_sums *s, const struct ops_label *labels, size_t nlabels, int64_t now_ms)
{
	sweep(s, now_ms);
	ops_strbuf_reset(&s->key);
	for (size_t i = 0; i < nlabels; i++) {
		ops_strbuf_add(&s->key, labels[i].name, labels[i].name_len);
		ops_strbuf_addc(&s->key, '\0');
		ops_strbuf_add(&s->key, labels[i].value, labels[i].value_len);
		ops_strbuf_addc(&s->key, '\0');
	}
	const char *key = ops_strbuf_text(&s->key);
	struct col_otlp_sum *sum = ops_map_get(s->by_labels, key, s->key.len);
	if (sum == NULL && ops_map_count(s->by_labels) < s->max) {
		sum = ops_xcalloc(1, sizeof(*sum));
		sum->time_ms = INT64_MIN;
		sum->scale = INT32_MAX;
		(void)ops_map_put(s->by_labels, key, s->key.len, sum);
	}
	if (sum != NULL) {
		sum->heard_ms = now_ms;
	}
	return sum;
}

/* ---- buckets ---- */

void col_otlp_counts_done(struct col_otlp_counts *c)
{
	free(c->counts);
	*c = (struct col_otlp_counts){0, NULL, 0};
}

/* Floor of index / 2^shift. */
static int64_t coarse(int64_t index, int32_t shift)
{
	return shift >= 63 ? (index < 0 ? -1 : 0) : index >> shift;
}

static bool reach(struct col_otlp_counts *c, int64_t lo, int64_t hi)
{
	if (c->n > 0) {
		lo = OPS_MIN(lo, c->lo);
		hi = OPS_MAX(hi, c->lo + (int64_t)c->n - 1);
	}
	if (hi - lo >= COL_OTLP_MAX_BUCKETS) {
		return false;
	}
	size_t n = (size_t)(hi - lo) + 1;
	if (n != c->n) {
		uint64_t *counts = ops_xcalloc(n, sizeof(*counts));
		if (c->n > 0) {
			memcpy(counts + (c->lo - lo), c->counts, c->n * sizeof(*counts));
		}
		free(c->counts);
		c->counts = counts;
		c->n = n;
	}
	c->lo = lo;
	return true;
}

bool col_otlp_counts_add(
	struct col_otlp_counts *into, const struct col_otlp_buckets *b, int32_t shift)
{
	if (b->n == 0) {
		return true;
	}
	int64_t last = (int64_t)b->offset + (int64_t)b->n - 1;
	if (!reach(into, coarse(b->offset, shift), coarse(last, shift))) {
		return false;
	}
	for (size_t i = 0; i < b->n; i++) {
		into->counts[coarse((int64_t)b->offset + (int64_t)i, shift) - into->lo] +=
			b->counts[i];
	}
	return true;
}

void col_otlp_counts_coarsen(struct col_otlp_counts *c, int32_t shift)
{
	if (c->n == 0 || shift <= 0) {
		return;
	}
	int64_t lo = coarse(c->lo, shift);
	size_t n = (size_t)(coarse(c->lo + (int64_t)c->n - 1, shift) - lo) + 1;
	uint64_t *counts = ops_xcalloc(n, sizeof(*counts));
	for (size_t i = 0; i < c->n; i++) {
		counts[coarse(c->lo + (int64_t)i, shift) - lo] += c->counts[i];
	}
	free(c->counts);
	*c = (struct col_otlp_counts){lo, counts, n};
}
