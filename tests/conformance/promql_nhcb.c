/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_with_nhcb: the classic histograms of a load (series _bucket, _count, _sum that differ in
 * nothing else but le) are stored once more under the base name, as native ones.
 */
#include "tests/conformance/promql_script.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"

enum part {
	PART_BUCKET,
	PART_COUNT,
	PART_SUM,
	PART_NONE
};

struct component {
	const struct ops_promql_series *series;
	enum part part;
	double le;
	struct ops_labels *base;
};

static const char *label(const struct ops_promql_series *s, const char *name)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		if (strcmp(s->labels[i].name.text, name) == 0) {
			return s->labels[i].value.text;
		}
	}
	return "";
}

static enum part part_of(const char *name, size_t *ret_base_len)
{
	static const char *const endings[] = {
		[PART_BUCKET] = "_bucket", [PART_COUNT] = "_count", [PART_SUM] = "_sum"};
	size_t len = strlen(name);
	for (size_t i = 0; i < OPS_LENGTH(endings); i++) {
		size_t n = strlen(endings[i]);
		if (len > n && strcmp(name + len - n, endings[i]) == 0) {
			*ret_base_len = len - n;
			return (enum part)i;
		}
	}
	return PART_NONE;
}

static bool component_of(const struct ops_promql_series *s, struct component *ret)
{
	const char *name = label(s, OPS_LABEL_NAME), *le = label(s, "le");
	size_t len = 0;
	*ret = (struct component){.series = s, .part = part_of(name, &len)};
	if (ret->part == PART_NONE ||
		(ret->part == PART_BUCKET &&
			(ops_parse_double(le, strlen(le), &ret->le) != 0 || isnan(ret->le)))) {
		return false;
	}
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct ops_promql_matcher *l = &s->labels[i];
		if (strcmp(l->name.text, OPS_LABEL_NAME) == 0) {
			ops_labels_builder_setn(
				&b, OPS_LABEL_NAME, strlen(OPS_LABEL_NAME), name, len);
		} else if (strcmp(l->name.text, "le") != 0) {
			ops_labels_builder_set(&b, l->name.text, l->value.text);
		}
	}
	ret->base = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return true;
}

/* Of two with the same bound the first stays. */
static void insert(struct ops_classic_bucket *list, size_t *n, double le, double count)
{
	size_t at = *n;
	for (size_t i = 0; i < *n; i++) {
		if (list[i].le == le) {
			return;
		}
	}
	while (at > 0 && list[at - 1].le > le) {
		list[at] = list[at - 1];
		at--;
	}
	list[at] = (struct ops_classic_bucket){le, count};
	(*n)++;
}

/* The histogram with these labels at a step. */
static void store_step(struct det_store *store, struct ops_arena *arena,
	const struct component *parts, size_t n, const size_t at[2], int64_t step_ms)
{
	struct ops_classic_histogram c = {0};
	struct ops_classic_bucket *buckets = ops_arena_array(arena, struct ops_classic_bucket, n);
	double count;
	bool any = false;
	for (size_t i = at[0]; i < n; i++) {
		const struct ops_promql_series *s = parts[i].series;
		if (!ops_labels_equal(parts[i].base, parts[at[0]].base) || at[1] >= s->nvalues ||
			s->values[at[1]].omitted || s->values[at[1]].histogram != NULL) {
			continue;
		}
		double v = s->values[at[1]].value;
		any = true;
		if (parts[i].part == PART_BUCKET) {
			insert(buckets, &c.n, parts[i].le, v);
		} else if (parts[i].part == PART_SUM) {
			c.sum = v;
		} else {
			count = v;
			c.count = &count;
		}
	}
	c.buckets = buckets;
	struct ops_histogram h;
	if (any && ops_histogram_from_classic(arena, &c, &h) == 0) {
		int rc = det_store_append_histogram(
			store, parts[at[0]].base, (int64_t)at[1] * step_ms, &h);
		(void)rc;
	}
}

static bool seen_before(const struct component *parts, size_t at)
{
	size_t i = 0;
	while (i < at && !ops_labels_equal(parts[i].base, parts[at].base)) {
		i++;
	}
	return i < at;
}

void script_store_nhcb(struct det_store *store, struct ops_arena *arena,
	const struct ops_promql_series *list, size_t n, int64_t step_ms)
{
	struct component *parts = ops_arena_array(arena, struct component, n + 1);
	size_t nparts = 0, steps = 0;
	for (size_t i = 0; i < n; i++) {
		nparts += component_of(&list[i], &parts[nparts]);
		steps = OPS_MAX(steps, list[i].nvalues);
	}
	for (size_t g = 0; g < nparts; g++) {
		for (size_t i = 0; !seen_before(parts, g) && i < steps; i++) {
			const size_t at[2] = {g, i};
			store_step(store, arena, parts, nparts, at, step_ms);
		}
	}
	for (size_t i = 0; i < nparts; i++) {
		ops_labels_unref(parts[i].base);
	}
}
