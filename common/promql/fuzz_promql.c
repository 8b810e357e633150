/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes: as an expression, a selector and a series. What is accepted must print, its text must
 * be accepted, and print the same again.
 */
#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/promql/parse.h"
#include "common/promql/series.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ops_promql_options all = {.features = OPS_PROMQL_ALL_FEATURES};

static void round_trip(struct ops_arena *arena, const struct ops_promql_expr *e, bool pretty)
{
	struct ops_strbuf first = OPS_STRBUF_INIT, text = OPS_STRBUF_INIT, again = OPS_STRBUF_INIT;
	struct ops_promql_expr *reread = NULL;
	struct ops_error err;

	ops_promql_print(e, &first);
	if (pretty) {
		ops_promql_pretty(e, 20, &text);
	} else {
		ops_promql_print(e, &text);
	}
	struct ops_promql_source src = {
		.text = ops_strbuf_text(&text), .len = text.len, .options = &all};
	/* The printed text may be longer than the limit (numbers are written out). */
	if (text.len <= OPS_PROMQL_MAX_BYTES) {
		ops_assert(ops_promql_parse(arena, &src, &reread, &err) == 0);
		ops_promql_print(reread, &again);
		ops_assert(first.len == again.len &&
			   (first.len == 0 || memcmp(first.data, again.data, first.len) == 0));
	}
	ops_strbuf_done(&first);
	ops_strbuf_done(&text);
	ops_strbuf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena arena;
	struct ops_promql_expr *e = NULL;
	struct ops_promql_series series;
	struct ops_error err;
	struct ops_promql_source src = {.text = (const char *)data, .len = size, .options = &all};

	ops_arena_init(&arena);
	if (ops_promql_parse(&arena, &src, &e, &err) == 0) {
		round_trip(&arena, e, false);
		round_trip(&arena, e, true);
	} else {
		ops_assert(err.message[0] != '\0');
	}
	if (ops_promql_parse_selector(&arena, &src, &e, &err) == 0) {
		round_trip(&arena, e, false);
	}
	if (size < 4096) { /* repetition makes much of little */
		int rc = ops_promql_series_parse(&arena, &src, &series, &err);
		for (size_t i = 0; rc == 0 && i < series.nvalues && i < 64; i++) {
			if (series.values[i].histogram != NULL) {
				(void)!ops_promql_series_histogram_of(&arena, &series.values[i]);
			}
		}
	}
	ops_arena_done(&arena);
	return 0;
}
