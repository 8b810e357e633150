/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as an expression over a small store, as an instant and as a range query: it is refused,
 * or evaluated within its limits, and nothing is read or written where it should not be.
 */
#include "services/detector/engine/engine.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP_MS 15000
#define STEPS 40

/* Of every kind: the sample before, the one before that, inside, now, later, none. */
static void add_start(struct det_store *s, const struct ops_labels *ls, int64_t i)
{
	static const int64_t back[] = {STEP_MS, 2 * STEP_MS, STEP_MS / 2, 0, -1};
	if (i % 7 < (int64_t)OPS_LENGTH(back)) {
		int rc = det_store_append_start(s, ls, i * STEP_MS, i * STEP_MS - back[i % 7]);
		ops_assert(rc == 0);
	}
}

/* A series of histograms: exponential, custom in the middle, a float among them. */
static void add_histograms(struct det_store *s, const char *instance, int64_t odd)
{
	struct ops_labels *ls =
		ops_labels_of("__name__", "h", "job", "x", "instance", instance, NULL);
	struct ops_arena arena;
	static const double bounds[] = {1, 2.5};
	ops_arena_init(&arena);
	for (int64_t i = 0; i < STEPS; i++) {
		bool custom = i % 17 == odd;
		struct ops_histogram h = {
			.schema = custom ? OPS_HISTOGRAM_CUSTOM : (int32_t)(i / 20),
			.count = (double)(i % 11 * 3),
			.sum = (double)i,
			.custom = custom ? bounds : NULL,
			.ncustom = custom ? 2 : 0};
		for (int32_t b = 0; b < 3; b++) {
			ops_histogram_push(&arena, &h.positive, b, (double)(i % 11));
		}
		int rc = i % 19 == odd ? det_store_append(s, ls, i * STEP_MS, 1)
				       : det_store_append_histogram(s, ls, i * STEP_MS, &h);
		ops_assert(rc == 0);
		add_start(s, ls, odd > 0 ? i : 5);
	}
	ops_arena_done(&arena);
	ops_labels_unref(ls);
}

static struct det_store *small_store(void)
{
	static struct det_store *s;
	if (s != NULL) {
		return s;
	}
	s = det_store_new(&(struct det_store_options){.retention_ms = INT64_MAX / 4});
	static const char *const names[] = {"a", "b_total", "c_bucket", "target_info"};
	static const char *const les[] = {"1", "2.5", "+Inf", "x"};
	for (size_t n = 0; n < OPS_LENGTH(names); n++) {
		for (size_t l = 0; l < OPS_LENGTH(les); l++) {
			struct ops_labels *ls = ops_labels_of("__name__", names[n], "le", les[l],
				"job", l % 2 == 0 ? "x" : "y", "instance", "i", NULL);
			for (int64_t i = 0; i < STEPS; i++) {
				double v = i % 13 == 7 && n == 0 ? ops_stale_nan()
								 : (double)(i % 11 + (int64_t)l);
				int rc = det_store_append(s, ls, i * STEP_MS, v);
				ops_assert(rc == 0);
				add_start(s, ls, l % 2 == 0 ? i : 5);
			}
			ops_labels_unref(ls);
		}
	}
	add_histograms(s, "i", 5);
	add_histograms(s, "k", -1);
	return s;
}

static void evaluate(const struct ops_promql_expr *expr, const char *text, bool range)
{
	const struct det_engine_options limits = {
		.timeout_ms = 200, .max_samples = 20000, .use_start_timestamps = true};
	struct det_query q = {.expr = expr,
		.text = text,
		.range = range,
		.start_ms = range ? 0 : STEPS * STEP_MS / 2,
		.end_ms = STEPS * STEP_MS,
		.step_ms = 60000};
	struct ops_arena arena;
	struct det_result r;
	struct ops_error err;
	ops_arena_init(&arena);
	int rc = det_engine_eval(small_store(), &limits, &q, &arena, &r, &err);
	for (size_t i = 0; rc == 0 && i < r.n; i++) {
		struct ops_labels *ls = det_result_labels(&r.series[i]);
		ops_labels_unref(ls);
	}
	ops_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	struct ops_promql_options options = {OPS_PROMQL_ALL_FEATURES};
	if (size > 4096) {
		return 0;
	}
	ops_arena_init(&arena);
	char *text = ops_arena_strndup(&arena, size != 0 ? (const char *)data : "", size);
	struct ops_promql_source src = {text, size, &options};
	if (ops_promql_parse(&arena, &src, &expr, NULL) == 0) {
		evaluate(expr, text, false);
		evaluate(expr, text, true);
	}
	ops_arena_done(&arena);
	return 0;
}
