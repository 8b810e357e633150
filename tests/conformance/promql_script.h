/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Script tests of PromQL: one eval block with its expectations, and how a result is compared. */
#include "common/promql/series.h"
#include "services/detector/engine/engine.h"

struct script_expectation { /* fail, warn or info */
	bool wanted, unwanted;
	const char *message; /* one of these may be given */
	const char *regex;
};

struct script_eval {
	const char *expr;
	unsigned line;
	bool range, ordered;
	int64_t start_ms, end_ms, step_ms;
	struct script_expectation fail, warn, info;
	bool has_string, has_scalar, has_vector_range;
	struct ops_promql_string string;
	double scalar;
	int64_t vector_start_ms, vector_step_ms; /* expect range vector */
	struct ops_promql_series *series;
	size_t nseries, series_cap;
	const char *unknown; /* why the block was not understood */
};

/* Everything in the arena. Returns NULL when the block passes, else why not. */
const char *script_check(struct det_store *store, const struct script_eval *eval,
	const struct ops_promql_options *options, struct ops_arena *arena);
/* promql_nhcb.c: classic histograms among the series of a load, stored as native ones as well. */
void script_store_nhcb(struct det_store *store, struct ops_arena *arena,
	const struct ops_promql_series *list, size_t n, int64_t step_ms);
struct ops_labels *script_labels(const struct ops_promql_series *series) OPS_MUST_CHECK;
/* promql_starts.c: a line of start timestamps is stored. False: it is none. */
bool script_store_starts(
	struct det_store *store, struct ops_arena *arena, const char *line, int64_t step_ms);
