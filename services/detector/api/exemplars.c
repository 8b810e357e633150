/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ring for all series: a new exemplar takes the place of the oldest of all. Those of a series
 * are a chain through the ring from its oldest to its newest, so that what is overwritten is always
 * the head of its chain. A query walks over the series that have exemplars, at most as many as the
 * ring has places.
 */
#include "services/detector/api/exemplars.h"

#include <string.h>

#include "common/base/map.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "services/detector/api/api_internal.h"

static const char *const outcomes[] = {"stored", "duplicate", "out_of_order", "too_long"};
static struct ops_metric exemplars_total = OPS_COUNTER(
	"ops_detector_exemplars_total", "Exemplars, by what became of them.", "outcome");
static struct ops_metric exemplars_kept =
	OPS_GAUGE("ops_detector_exemplars", "Exemplars in memory.");

#define NONE SIZE_MAX

struct series { /* with at least one exemplar */
	struct ops_labels *labels;
	size_t oldest, newest;
};

struct place {
	struct series *series; /* NULL: free */
	struct ops_labels *labels;
	double value;
	int64_t time_ms;
	size_t next; /* of the series */
};

struct det_exemplars {
	struct place *ring;
	size_t max, at, n;
	struct ops_map *series; /* printed labels -> struct series */
};

struct det_exemplars *det_exemplars_new(size_t max)
{
	struct det_exemplars *x = ops_xcalloc(1, sizeof(*x));
	x->ring = ops_xcalloc(OPS_MAX(max, (size_t)1), sizeof(*x->ring));
	x->max = max;
	x->series = ops_map_new();
	ops_metric_register(&exemplars_total);
	return x;
}

static void series_free(void *series)
{
	struct series *s = series;
	ops_labels_unref(s->labels);
	free(s);
}

void det_exemplars_free(struct det_exemplars *x)
{
	if (x == NULL) {
		return;
	}
	for (size_t i = 0; i < x->max; i++) {
		ops_labels_unref(x->ring[i].labels);
	}
	ops_map_free(x->series, series_free);
	free(x->ring);
	free(x);
}

static void key_of(const struct ops_labels *ls, struct ops_strbuf *out)
{
	for (uint32_t i = 0; i < ls->n; i++) {
		ops_strbuf_add(out, ls->items[i].name, ls->items[i].name_len + 1);
		ops_strbuf_add(out, ls->items[i].value, ls->items[i].value_len + 1);
	}
}

/* The oldest of all goes: it is the head of its series' chain. */
static void evict(struct det_exemplars *x, struct place *p)
{
	struct series *s = p->series;
	if (s == NULL) {
		return;
	}
	x->n--;
	ops_labels_unref(p->labels);
	s->oldest = p->next;
	if (s->oldest == NONE) {
		OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf key = OPS_STRBUF_INIT;
		key_of(s->labels, &key);
		ops_map_remove(x->series, key.data, key.len);
		series_free(s);
	}
	*p = (struct place){0};
}

static size_t characters(const struct ops_labels *ls)
{
	size_t n = 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		const char *texts[] = {ls->items[i].name, ls->items[i].value};
		for (size_t t = 0; t < OPS_LENGTH(texts); t++) {
			for (const char *c = texts[t]; *c != '\0'; c++) {
				n += ((unsigned char)*c & 0xc0) != 0x80;
			}
		}
	}
	return n;
}

static enum det_exemplar_outcome judge(
	const struct det_exemplars *x, const struct series *s, const struct det_exemplar *e)
{
	if (characters(e->labels) > DET_EXEMPLAR_LABELS_MAX) {
		return DET_EXEMPLAR_TOO_LONG;
	}
	const struct place *newest = s != NULL ? &x->ring[s->newest] : NULL;
	if (newest == NULL || newest->time_ms < e->time_ms) {
		return DET_EXEMPLAR_STORED;
	}
	bool same = newest->time_ms == e->time_ms && !(newest->value < e->value) &&
		    !(newest->value > e->value) && ops_labels_equal(newest->labels, e->labels);
	return same ? DET_EXEMPLAR_DUPLICATE : DET_EXEMPLAR_OUT_OF_ORDER;
}

static void store(
	struct det_exemplars *x, const struct ops_strbuf *key, const struct det_exemplar *e)
{
	size_t at = x->at;
	x->at = (x->at + 1) % x->max;
	evict(x, &x->ring[at]); /* may end the series: looked up afterwards */
	struct series *s = ops_map_get(x->series, key->data, key->len);
	if (s == NULL) {
		s = ops_xcalloc(1, sizeof(*s));
		s->labels = ops_labels_ref(e->series);
		s->oldest = at;
		ops_map_put(x->series, key->data, key->len, s);
	} else {
		x->ring[s->newest].next = at;
	}
	s->newest = at;
	x->ring[at] = (struct place){s, ops_labels_ref(e->labels), e->value, e->time_ms, NONE};
	x->n++;
}

enum det_exemplar_outcome det_exemplars_add(struct det_exemplars *x, const struct det_exemplar *e)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf key = OPS_STRBUF_INIT;
	key_of(e->series, &key);
	enum det_exemplar_outcome outcome = judge(x, ops_map_get(x->series, key.data, key.len), e);
	if (outcome == DET_EXEMPLAR_STORED && x->max > 0) {
		store(x, &key, e);
	}
	ops_metric_add(&exemplars_total, 1, outcomes[outcome]);
	ops_metric_set(&exemplars_kept, (double)x->n);
	return outcome;
}

size_t det_exemplars_count(const struct det_exemplars *x)
{
	return x->n;
}

static bool wanted(const struct ops_matchers *matchers, size_t n, const struct ops_labels *ls)
{
	for (size_t i = 0; i < n; i++) {
		if (ops_matchers_match(&matchers[i], ls)) {
			return true;
		}
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	return ops_labels_compare(
		(*(struct series *const *)a)->labels, (*(struct series *const *)b)->labels);
}

static void add_exemplar(struct ops_strbuf *out, const struct place *p)
{
	ops_strbuf_adds(out, "{\"labels\":");
	ops_labels_json(p->labels, out);
	ops_strbuf_adds(out, ",\"value\":");
	det_api_value(out, p->value);
	ops_strbuf_adds(out, ",\"timestamp\":");
	det_api_time(out, p->time_ms);
	ops_strbuf_addc(out, '}');
}

static void add_series(const struct det_exemplars *x, const struct series *s,
	const int64_t range_ms[2], struct ops_strbuf *out)
{
	bool any = false;
	for (size_t i = s->oldest; i != NONE; i = x->ring[i].next) {
		const struct place *p = &x->ring[i];
		if (p->time_ms < range_ms[0] || p->time_ms > range_ms[1]) {
			continue;
		}
		if (!any) {
			ops_strbuf_adds(out, out->data[out->len - 1] == '[' ? "" : ",");
			ops_strbuf_adds(out, "{\"seriesLabels\":");
			ops_labels_json(s->labels, out);
			ops_strbuf_adds(out, ",\"exemplars\":");
		}
		ops_strbuf_addc(out, any ? ',' : '[');
		any = true;
		add_exemplar(out, p);
	}
	ops_strbuf_adds(out, any ? "]}" : "");
}

void det_exemplars_query(const struct det_exemplars *x, const struct ops_matchers *matchers,
	size_t n, const int64_t range_ms[2], struct ops_strbuf *out)
{
	struct series **found = ops_xcalloc(ops_map_count(x->series) + 1, sizeof(*found));
	size_t nfound = 0;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(x->series, &at, &e);) {
		struct series *s = e.value;
		if (wanted(matchers, n, s->labels)) {
			found[nfound++] = s;
		}
	}
	if (nfound > 1) {
		qsort(found, nfound, sizeof(*found), compare);
	}
	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < nfound; i++) {
		add_series(x, found[i], range_ms, out);
	}
	ops_strbuf_addc(out, ']');
	free(found);
}
