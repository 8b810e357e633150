/* SPDX-License-Identifier: Apache-2.0 */
/* What is computed for whole columns has the bits of what is computed window by window and value by
 * value: resets, gaps, counters that begin inside of a window, zeros with a sign, overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "services/detector/engine/plan.h"
#include "services/detector/engine/range_functions.h"

enum {
	SAMPLES = 300,
	STEPS = 90,
	SERIES = 12,
	GROUPS = 3
};

struct world {
	struct ops_arena arena;
	struct ops_error err;
	struct det_query query;
	struct det_shared sh;
	struct det_eval ev;
	uint64_t random;
};

static uint64_t next(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void world_init(struct world *w)
{
	*w = (struct world){.random = 88172645463325252ULL};
	ops_arena_init(&w->arena);
	w->sh = (struct det_shared){.arena = &w->arena, .err = &w->err, .query = &w->query};
	w->sh.options.max_samples = 1000000;
	w->sh.deadline_ms = INT64_MAX;
	w->ev = (struct det_eval){&w->sh, 600000, 17000, STEPS};
	w->sh.samples.t = ops_xcalloc(SAMPLES, sizeof(int64_t));
	w->sh.samples.v = ops_xcalloc(SAMPLES, sizeof(double));
	w->sh.samples.cap = SAMPLES;
}

static void world_done(struct world *w)
{
	det_blocks_free(&w->sh);
	det_samples_done(&w->sh.samples);
	ops_arena_done(&w->arena);
}

/* A counter with resets now and then, from zero; sometimes with a gap. */
static void make_series(struct world *w, bool gaps)
{
	struct det_samples *s = &w->sh.samples;
	double v = 0;
	s->n = 0;
	for (int i = 0; i < SAMPLES; i++) {
		v = next(w) % 40 == 0 ? 0 : v + (double)(next(w) % 1000) / 7;
		if (gaps && next(w) % 5 < 2) {
			continue;
		}
		s->t[s->n] = 15000 * (int64_t)i + (gaps ? (int64_t)(next(w) % 5000) : 0);
		s->v[s->n++] = v;
	}
}

static void count_resets(const struct det_samples *s, uint32_t *ret)
{
	ret[0] = 0;
	for (size_t i = 1; i < s->n; i++) {
		ret[i] = ret[i - 1] + (s->v[i] < s->v[i - 1]);
	}
}

static void assert_same_bits(double a, double b)
{
	assert_true(det_value_bits(a) == det_value_bits(b));
}

static void check_rates(struct world *w, enum ops_promql_function_id id, int64_t range_ms)
{
	const struct det_samples *s = &w->sh.samples;
	struct det_reference ref = {.offset_ms = 3000};
	struct det_plan plan;
	struct det_rate_plan rates;
	uint32_t resets[SAMPLES];
	double got[STEPS];
	det_plan_init(&w->ev, &plan, &ref, (const int64_t[2]){range_ms, 0});
	assert_true(det_rate_plan_init(&w->ev, &rates, id, &plan));
	for (int round = 0; round < 8; round++) {
		make_series(w, round >= 4);
		count_resets(s, resets);
		if (det_plan_fit(&w->ev, &plan)) {
			det_rate_plan_fit(&w->ev, &rates);
		}
		det_rate_column(&w->ev, &rates, resets, got);
		for (size_t i = 0; i < STEPS; i++) {
			int64_t end = det_step_time(&w->ev, i) - 3000;
			size_t lo = 0, hi = 0;
			while (hi < s->n && s->t[hi] <= end) {
				hi++;
			}
			while (lo < hi && s->t[lo] <= end - range_ms) {
				lo++;
			}
			struct det_window win = {.t = s->t + lo,
				.v = s->v + lo,
				.n = hi - lo,
				.start_ms = end - range_ms,
				.end_ms = end,
				.range_ms = range_ms,
				.eval_ms = end + 3000,
				.resets = resets + lo};
			double want = lo == hi ? det_absent() : det_range_function(id)->fn(&win);
			assert_same_bits(got[i], want);
		}
	}
}

static void test_rates(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	static const enum ops_promql_function_id ids[] = {
		OPS_PROMQL_FN_RATE, OPS_PROMQL_FN_INCREASE, OPS_PROMQL_FN_DELTA};
	for (size_t i = 0; i < OPS_LENGTH(ids); i++) {
		check_rates(&w, ids[i], 300000);
		check_rates(&w, ids[i], 20000);
		check_rates(&w, ids[i], 14000); /* never two samples */
	}
	world_done(&w);
}

static void test_plan_is_kept(void **state)
{
	struct world w;
	struct det_plan plan;
	struct det_reference ref = {.fixed = false};
	(void)state;
	world_init(&w);
	det_plan_init(&w.ev, &plan, &ref, (const int64_t[2]){300000, 0});
	make_series(&w, false);
	assert_true(det_plan_fit(&w.ev, &plan));
	make_series(&w, false); /* other values, the same times */
	assert_false(det_plan_fit(&w.ev, &plan));
	w.sh.samples.t[SAMPLES - 1]++;
	assert_true(det_plan_fit(&w.ev, &plan));
	w.sh.samples.n--;
	assert_true(det_plan_fit(&w.ev, &plan));
	world_done(&w);
}

static double value_of(struct world *w, int kind)
{
	static const double odd[] = {0.0, -0.0, 1e300, -1e300, 1e-300, 1};
	uint64_t r = next(w);
	if (r % 4 == 0) {
		return det_absent();
	}
	double usual = (double)(r >> 11) / 1e9 - 1e6;
	return kind == 0 ? usual : kind == 1 ? odd[r / 4 % OPS_LENGTH(odd)] : (double)NAN;
}

/* The same as text that the language's definition gives: in the order of the columns. */
static double fold(enum ops_promql_aggr op, const double *v, size_t n)
{
	struct det_kahan k = {0, 0};
	double count = 0;
	for (size_t i = 0; i < n; i++) {
		if (!det_is_absent(v[i])) {
			if (count == 0) {
				k = (struct det_kahan){v[i], 0};
			} else {
				det_kahan_add(&k, v[i]);
			}
			count++;
		}
	}
	if (count == 0) {
		return det_absent();
	}
	if (op == OPS_PROMQL_AGGR_COUNT) {
		return count;
	}
	if (op == OPS_PROMQL_AGGR_AVG) {
		return k.sum / count + k.c / count;
	}
	return isinf(k.sum) ? k.sum : k.sum + k.c;
}

static void check_sum(struct world *w, enum ops_promql_aggr op, int kind)
{
	struct det_vec in, out;
	struct det_groups groups;
	uint32_t of[SERIES];
	struct det_lset none = det_lset_of(NULL, 0);
	assert_int_equal(det_vec_init(&w->ev, &in, SERIES), 0);
	assert_int_equal(det_vec_init(&w->ev, &out, GROUPS), 0);
	det_lset_map_init(&groups.map, &w->arena, GROUPS);
	groups.of = of;
	groups.map.n = GROUPS;
	for (uint32_t c = 0; c < SERIES; c++) {
		struct det_col *col = det_vec_add(&w->ev, &in, &none);
		of[c] = c % GROUPS;
		for (size_t i = 0; i < STEPS; i++) {
			col->v[i] = value_of(w, kind);
		}
	}
	for (size_t g = 0; g < GROUPS; g++) {
		(void)det_vec_add(&w->ev, &out, &none);
	}
	assert_int_equal(det_aggregate_sum(&w->ev, op, &in, &groups, &out),
		kind == 2 && op == OPS_PROMQL_AGGR_AVG ? DET_SUM_NOT_HERE : 0);
	for (size_t g = 0; kind != 2 && g < GROUPS; g++) {
		for (size_t i = 0; i < STEPS; i++) {
			double v[SERIES];
			size_t n = 0;
			for (size_t c = g; c < SERIES; c += GROUPS) {
				v[n++] = in.cols[c].v[i];
			}
			assert_same_bits(out.cols[g].v[i], fold(op, v, n));
		}
	}
	det_vec_done(&w->ev, &in);
	det_vec_done(&w->ev, &out);
}

static void test_sums(void **state)
{
	struct world w;
	(void)state;
	world_init(&w);
	static const enum ops_promql_aggr ops[] = {
		OPS_PROMQL_AGGR_SUM, OPS_PROMQL_AGGR_AVG, OPS_PROMQL_AGGR_COUNT};
	for (size_t i = 0; i < OPS_LENGTH(ops); i++) {
		check_sum(&w, ops[i], 0);
		check_sum(&w, ops[i], 1);
		check_sum(&w, ops[i], 2);
	}
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_plan_is_kept),
		cmocka_unit_test(test_sums),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
