/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As Prometheus converts: only families of the type histogram, before relabelling, so that rules
 * and limits see one series with the family's name and without le. A bucket that comes twice keeps
 * its first line, a bound that is no number leaves its line the series that it is. Lines of one
 * histogram need not stand together.
 *
 * The converted histogram goes the way of those that come native (native.c): a line that names the
 * series, with the place of its message as the value. Both are the same from scrape to scrape, so
 * what is paid for each is reading its numbers and writing its message.
 */
#include "services/collector/classics.h"

#include <math.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/exposition/protobuf.h"
#include "common/metrics/metrics.h"
#include "common/remote/histogram.h"
#include "services/collector/layout.h"

static struct ops_metric failed_total = OPS_COUNTER("ops_scrape_histograms_not_converted_total",
	"Classic histograms without cumulative buckets, or with another count, that were left "
	"out.");

struct col_classics *col_classics_new(void)
{
	struct col_classics *c = ops_xcalloc(1, sizeof(*c));
	c->by_series = ops_map_new();
	return c;
}

void col_classics_free(struct col_classics *c)
{
	if (c == NULL) {
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		free(c->items[i].buckets);
		free(c->items[i].series);
	}
	free(c->items);
	free(c->owner);
	ops_map_free(c->by_series, NULL);
	ops_strbuf_done(&c->scratch);
	free(c);
}

static bool is(struct ops_exposition_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool is_le(const struct ops_label *l)
{
	return l->name_len == 2 && memcmp(l->name, "le", 2) == 0;
}

static struct ops_exposition_text suffix_of(
	const struct ops_exposition *p, const struct ops_layout_family *family)
{
	size_t len = strlen(family->name);
	return len < p->name.len
		       ? (struct ops_exposition_text){p->name.data + len, p->name.len - len}
		       : (struct ops_exposition_text){"", 0};
}

bool col_classics_has(
	const struct ops_exposition *p, const struct ops_layout_family *family, double *ret_le)
{
	*ret_le = 0;
	if (family == NULL || family->type != OPS_T_HISTOGRAM) {
		return false;
	}
	struct ops_exposition_text suffix = suffix_of(p, family);
	if (is(suffix, "_sum") || is(suffix, "_count")) {
		return true;
	}
	for (size_t i = 0; is(suffix, "_bucket") && i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		if (is_le(l)) {
			return ops_parse_double(l->value, l->value_len, ret_le) == 0 &&
			       !isnan(*ret_le);
		}
	}
	return false;
}

/* {"family",label="value",...} and a blank. An empty label is the same as none. */
static void name_series(struct col_classics *c, const struct ops_exposition *p, const char *family)
{
	ops_strbuf_reset(&c->scratch);
	ops_strbuf_addc(&c->scratch, '{');
	ops_strbuf_add_quoted(&c->scratch, family, strlen(family));
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		if (!is_le(l) && l->value_len > 0) {
			ops_protobuf_put_label(&c->scratch,
				(struct ops_exposition_text){l->name, l->name_len},
				(struct ops_exposition_text){l->value, l->value_len});
		}
	}
	ops_strbuf_adds(&c->scratch, "} ");
}

static struct col_classic *find_or_add(struct col_classics *c)
{
	uintptr_t at = (uintptr_t)ops_map_get(c->by_series, c->scratch.data, c->scratch.len);
	if (at != 0) {
		return &c->items[at - 1];
	}
	OPS_GROW(c->items, c->n, c->cap);
	c->items[c->n] = (struct col_classic){.sum = COL_CLASSIC_NONE,
		.count = COL_CLASSIC_NONE,
		.series = ops_xstrndup(c->scratch.data, c->scratch.len),
		.series_len = c->scratch.len,
		.place = SIZE_MAX};
	(void)ops_map_put(
		c->by_series, c->scratch.data, c->scratch.len, (void *)(uintptr_t)(c->n + 1));
	return &c->items[c->n++];
}

uint32_t col_classics_take(struct col_classics *c, const struct ops_exposition *p,
	const struct ops_layout_family *family, double le, uint32_t column)
{
	struct ops_exposition_text suffix = suffix_of(p, family);
	name_series(c, p, family->name);
	struct col_classic *h = find_or_add(c);
	if (column == COL_CLASSIC_NONE) {
		OPS_GROW(c->owner, c->nhidden, c->cap_hidden);
		c->owner[c->nhidden] = (uint32_t)(h - c->items);
		column = COL_CLASSIC_HIDDEN + (uint32_t)c->nhidden++;
	}
	if (is(suffix, "_bucket")) {
		OPS_GROW(h->buckets, h->n, h->cap);
		h->buckets[h->n++] = (struct col_classic_bucket){le, column};
	} else {
		uint32_t *to = is(suffix, "_sum") ? &h->sum : &h->count;
		*to = *to == COL_CLASSIC_NONE ? column : *to;
	}
	return column;
}

static int by_bound(const void *a, const void *b)
{
	const struct col_classic_bucket *x = a, *y = b;
	if (x->le != y->le) {
		return x->le < y->le ? -1 : 1;
	}
	return (x->column > y->column) - (x->column < y->column);
}

void col_classics_finish(struct col_classics *c, uint32_t first)
{
	for (size_t i = 0; i < c->n; i++) {
		struct col_classic *h = &c->items[i];
		size_t n = 0;
		if (h->n > 0) {
			qsort(h->buckets, h->n, sizeof(*h->buckets), by_bound);
		}
		for (size_t k = 0; k < h->n; k++) {
			if (n > 0 && h->buckets[n - 1].le == h->buckets[k].le) {
				continue;
			}
			h->buckets[n] = h->buckets[k];
			h->buckets[n].column = col_classic_column(h->buckets[n].column, first);
			n++;
		}
		h->n = n;
		h->sum = col_classic_column(h->sum, first);
		h->count = col_classic_column(h->count, first);
	}
	ops_map_free(c->by_series, NULL);
	c->by_series = NULL;
	ops_strbuf_done(&c->scratch);
}

/* ---- a scrape ---- */

static int64_t time_of(const struct col_classic *h, const struct col_values *v)
{
	uint32_t at = h->count != COL_CLASSIC_NONE ? h->count
		      : h->n > 0		   ? h->buckets[0].column
						   : h->sum;
	return col_values_time(v, at);
}

static int convert(const struct col_classic *h, const struct col_values *v,
	struct ops_arena *scratch, struct ops_histogram *ret)
{
	struct ops_classic_bucket *buckets =
		ops_arena_array(scratch, struct ops_classic_bucket, h->n + 1);
	for (size_t i = 0; i < h->n; i++) {
		buckets[i] = (struct ops_classic_bucket){
			h->buckets[i].le, v->values[h->buckets[i].column]};
	}
	const struct ops_classic_histogram from = {.buckets = buckets,
		.n = h->n,
		.count = h->count != COL_CLASSIC_NONE ? &v->values[h->count] : NULL,
		.sum = h->sum != COL_CLASSIC_NONE ? v->values[h->sum] : 0};
	return ops_histogram_from_classic(scratch, &from, ret);
}

void col_classics_convert(struct col_classics *c, const struct col_values *values, int64_t time_ms,
	struct ops_arena *scratch, struct ops_protobuf_body *body)
{
	struct ops_error err;
	for (size_t i = 0; i < c->n; i++) {
		struct col_classic *h = &c->items[i];
		struct ops_histogram native;
		ops_arena_reset(scratch);
		h->place = SIZE_MAX;
		if (convert(h, values, scratch, &native) != 0 ||
			ops_histogram_validate(&native, &err) != 0) {
			ops_metric_add(&failed_total, 1);
			continue;
		}
		int64_t own_ms = time_of(h, values);
		int64_t at_ms = own_ms != 0 ? own_ms : time_ms;
		size_t from = body->messages.len;
		ops_remote_histogram_encode(&native, at_ms, &body->messages);
		h->place = body->n;
		ops_protobuf_add_native(
			body, (struct ops_exposition_text){h->series, h->series_len}, from, at_ms);
	}
}
