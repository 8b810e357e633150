/* SPDX-License-Identifier: Apache-2.0 */
/* list, verify, analyze: what blocks there are, whether they are whole, and what makes them large.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/detector/tsdb/internal.h"

void det_tsdb_print_json(json_t *taken)
{
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(taken);
	puts(text);
	json_decref(taken);
}

/* ---- list -------------------------------------------------------------------------------------
 */

static double bytes_per_sample(const struct det_block_meta *m)
{
	return m->samples != 0 ? (double)m->bytes / (double)m->samples : 0;
}

json_t *det_tsdb_meta_json(const struct det_block_meta *m)
{
	json_t *one = json_object();
	ops_json_set_string(one, "ulid", m->ulid);
	ops_json_set_i64(one, "minTime", m->mint_ms);
	ops_json_set_i64(one, "maxTime", m->maxt_ms);
	ops_json_set_i64(one, "samples", (int64_t)m->samples);
	ops_json_set_i64(one, "series", (int64_t)m->series);
	ops_json_set_i64(one, "segments", (int64_t)m->segments);
	ops_json_set_i64(one, "bytes", (int64_t)m->bytes);
	ops_json_set_i64(one, "level", m->level);
	return one;
}

static json_t *block_json(const struct det_block *b)
{
	json_t *one = det_tsdb_meta_json(det_block_meta(b));
	ops_json_set_i64(one, "indexBytes", (int64_t)det_block_index_bytes(b));
	ops_json_set_i64(one, "tombstones", (int64_t)det_block_tombstone_count(b));
	return one;
}

static void print_block(const struct det_block *b)
{
	const struct det_block_meta *m = det_block_meta(b);
	char from[32], duration[32];
	ops_time_format(m->mint_ms, from, sizeof(from));
	ops_duration_format(m->maxt_ms - m->mint_ms, duration, sizeof(duration));
	printf("%s  %-24s  %-12s %5u  %12" PRIu64 "  %9" PRIu64 "  %8" PRIu64 "  %12" PRIu64
	       "  %6.2f\n",
		m->ulid, from, duration, m->level, m->samples, m->series, m->segments, m->bytes,
		bytes_per_sample(m));
}

static void print_heading(void)
{
	printf("%-26s  %-24s  %-12s %5s  %12s  %9s  %8s  %12s  %6s\n", "BLOCK", "FROM", "DURATION",
		"LEVEL", "SAMPLES", "SERIES", "SEGMENTS", "BYTES", "B/SMPL");
}

static const char *folder(const struct det_tsdb_options *o)
{
	return o->nargs > 0 ? o->args[0] : ".";
}

int det_tsdb_list(const struct det_tsdb_options *o)
{
	struct det_tsdb_set set;
	int rc = det_tsdb_set_open(folder(o), &set);
	if (rc != TSDB_OK) {
		return rc;
	}
	json_t *list = json_array();
	if (!o->json) {
		print_heading();
	}
	for (size_t i = 0; i < set.n; i++) {
		if (o->json) {
			json_array_append_new(list, block_json(set.blocks[i]));
		} else {
			print_block(set.blocks[i]);
		}
	}
	if (o->json) {
		det_tsdb_print_json(json_incref(list));
	} else if (set.n == 0) {
		fprintf(stderr, "ops-detector: there are no blocks in %s\n", folder(o));
	}
	json_decref(list);
	rc = set.findings != 0 ? TSDB_FAILED : TSDB_OK;
	det_tsdb_set_close(&set);
	return rc;
}

/* ---- verify -----------------------------------------------------------------------------------
 */

struct verdict {
	json_t *findings;
	bool quiet;
};

static void on_finding(void *arg, const char *finding)
{
	struct verdict *v = arg;
	json_array_append_new(v->findings, json_string(finding));
	if (!v->quiet) {
		printf("  %s\n", finding);
	}
}

int det_tsdb_verify(const struct det_tsdb_options *o)
{
	struct det_tsdb_set set;
	int rc = det_tsdb_set_open(folder(o), &set);
	if (rc != TSDB_OK) {
		return rc;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < set.n; i++) {
		struct verdict v = {.findings = json_array(), .quiet = o->json};
		if (!o->json) {
			printf("%s\n", det_block_meta(set.blocks[i])->ulid);
		}
		int bad = det_block_verify(set.blocks[i], on_finding, &v);
		if (bad == 0 && !o->json) {
			printf("  good\n");
		}
		rc = bad != 0 ? TSDB_FAILED : rc;
		json_t *one = block_json(set.blocks[i]);
		ops_json_set_bool(one, "good", bad == 0);
		ops_json_set(one, "findings", v.findings);
		json_array_append_new(list, one);
	}
	if (o->json) {
		det_tsdb_print_json(json_incref(list));
	} else if (set.n == 0) {
		fprintf(stderr, "ops-detector: there are no blocks in %s\n", folder(o));
	}
	json_decref(list);
	rc = set.findings != 0 ? TSDB_FAILED : rc;
	det_tsdb_set_close(&set);
	return rc;
}

/* ---- analyze ----------------------------------------------------------------------------------
 */

struct top { /* of one kind, greatest first */
	struct top_item {
		const char *name, *value; /* value may be NULL */
		uint64_t n;
	} * items;
	size_t n, cap;
};

struct analysis {
	struct top pairs, names, metrics, bytes;
	uint64_t npairs, entries;
};

static void add_top(struct top *t, const char *name, const char *value, uint64_t n)
{
	OPS_GROW(t->items, t->n, t->cap);
	t->items[t->n++] = (struct top_item){.name = name, .value = value, .n = n};
}

/* Pairs come by name: the last item is that of the name or there is none yet. */
static void count_name(struct top *t, const char *name, uint64_t n)
{
	if (t->n == 0 || strcmp(t->items[t->n - 1].name, name) != 0) {
		add_top(t, name, NULL, 0);
	}
	t->items[t->n - 1].n += n;
}

static void on_pair(void *arg, const char *name, const char *value, uint64_t series)
{
	struct analysis *a = arg;
	a->npairs++;
	a->entries += series;
	count_name(&a->names, name, 1);
	count_name(&a->bytes, name, strlen(value));
	if (strcmp(name, OPS_LABEL_NAME) == 0) {
		add_top(&a->metrics, value, NULL, series);
	} else {
		add_top(&a->pairs, name, value, series);
	}
}

static int compare_items(const void *a, const void *b)
{
	const struct top_item *x = a, *y = b;
	if (x->n != y->n) {
		return x->n > y->n ? -1 : 1;
	}
	return strcmp(x->name, y->name);
}

static json_t *show_top(const struct det_tsdb_options *o, struct top *t, const char *heading)
{
	json_t *list = json_array();
	if (t->n != 0) {
		qsort(t->items, t->n, sizeof(*t->items), compare_items);
	}
	if (!o->json) {
		printf("\n%s:\n", heading);
	}
	for (size_t i = 0; i < OPS_MIN(t->n, o->limit); i++) {
		const struct top_item *item = &t->items[i];
		if (o->json) {
			json_t *one = json_object();
			ops_json_set_string(one, "name", item->name);
			if (item->value != NULL) {
				ops_json_set_string(one, "value", item->value);
			}
			ops_json_set_i64(one, "n", (int64_t)item->n);
			json_array_append_new(list, one);
		} else if (item->value != NULL) {
			printf("%12" PRIu64 "  %s=%s\n", item->n, item->name, item->value);
		} else {
			printf("%12" PRIu64 "  %s\n", item->n, item->name);
		}
	}
	free(t->items);
	return list;
}

static void analyze_block(const struct det_tsdb_options *o, const struct det_block *b)
{
	struct analysis a = {.npairs = 0};
	const struct det_block_meta *m = det_block_meta(b);
	json_t *doc = block_json(b);
	det_block_each_pair(b, on_pair, &a);
	ops_json_set_i64(doc, "labelNames", (int64_t)a.names.n);
	ops_json_set_i64(doc, "labelPairs", (int64_t)a.npairs);
	ops_json_set_i64(doc, "labelEntries", (int64_t)a.entries);
	if (!o->json) {
		print_heading();
		print_block(b);
		printf("\nindex: %zu bytes, %.1f bytes a series; %zu label names, %" PRIu64
		       " pairs, %" PRIu64 " entries\n",
			det_block_index_bytes(b),
			(double)det_block_index_bytes(b) / (double)OPS_MAX(m->series, 1u),
			a.names.n, a.npairs, a.entries);
		printf("segments: %.2f bytes a sample without the index\n",
			(double)(m->bytes - det_block_index_bytes(b)) /
				(double)OPS_MAX(m->samples, 1u));
	}
	ops_json_set(doc, "seriesByMetric", show_top(o, &a.metrics, "series by metric name"));
	ops_json_set(doc, "valuesByName", show_top(o, &a.names, "values by label name"));
	ops_json_set(doc, "seriesByPair", show_top(o, &a.pairs, "series by label pair"));
	ops_json_set(doc, "bytesByName", show_top(o, &a.bytes, "bytes of values by label name"));
	if (o->json) {
		det_tsdb_print_json(json_incref(doc));
	}
	json_decref(doc);
}

int det_tsdb_analyze(const struct det_tsdb_options *o)
{
	struct det_tsdb_set set;
	const struct det_block *found = NULL;
	int rc = det_tsdb_set_open(folder(o), &set);
	if (rc != TSDB_OK) {
		return rc;
	}
	for (size_t i = 0; i < set.n; i++) { /* the newest, or the one that is named */
		if (o->nargs < 2 || strcmp(det_block_meta(set.blocks[i])->ulid, o->args[1]) == 0) {
			found = set.blocks[i];
		}
	}
	if (found != NULL) {
		analyze_block(o, found);
	} else {
		rc = det_tsdb_fail(TSDB_FAILED, "there is no such block in %s", set.dir);
	}
	det_tsdb_set_close(&set);
	return rc;
}
