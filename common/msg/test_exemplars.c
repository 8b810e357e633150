/* SPDX-License-Identifier: Apache-2.0 */
/* Exemplars there and back; every cut and every changed byte is refused or harmless. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/msg/exemplars.h"

struct seen {
	size_t n;
	struct ops_labels *series, *labels;
	bool same;
};

static void on_exemplar(void *arg, const struct ops_exemplar *e)
{
	struct seen *s = arg;
	s->same = ops_labels_equal(e->series, s->series) &&
		  ops_labels_equal(e->labels, s->labels) && e->value == 0.25 && e->time_ms == -7;
	s->n++;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct seen seen = {.series = ops_labels_of("__name__", "m", "a", "b", NULL),
		.labels = ops_labels_of("trace_id", "abc", NULL)};
	const struct ops_exemplar e = {
		.series = seen.series, .labels = seen.labels, .value = 0.25, .time_ms = -7};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err;
	ops_exemplars_begin(&out);
	assert_int_equal(ops_exemplars_decode(out.data, out.len, on_exemplar, &seen, &err), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(ops_exemplars_add(&out, &e), 0);
	assert_int_equal(ops_exemplars_add(&out, &e), 0);
	assert_int_equal(ops_exemplars_decode(out.data, out.len, on_exemplar, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
	assert_true(seen.same);
	for (size_t len = 0; len < out.len; len++) {
		assert_int_equal(
			ops_exemplars_decode(out.data, len, on_exemplar, &seen, &err), -EINVAL);
	}
	for (size_t i = 0; i < out.len; i++) {
		out.data[i] = (char)(out.data[i] ^ 0x80);
		int r = ops_exemplars_decode(out.data, out.len, on_exemplar, &seen, &err);
		assert_true(r == -EINVAL || (r == 0 && i >= 8));
		out.data[i] = (char)(out.data[i] ^ 0x80);
	}
	ops_strbuf_done(&out);
	ops_labels_unref(seen.series);
	ops_labels_unref(seen.labels);
}

static void test_bounds(void **state)
{
	(void)state;
	struct ops_labels *ls = ops_labels_of("a", "b", NULL);
	const struct ops_exemplar e = {.series = ls, .labels = ls};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_exemplars_begin(&out);
	for (size_t i = 0; i < OPS_EXEMPLARS_MAX; i++) {
		assert_int_equal(ops_exemplars_add(&out, &e), 0);
	}
	size_t len = out.len;
	assert_int_equal(ops_exemplars_add(&out, &e), -E2BIG);
	assert_int_equal(out.len, len);
	ops_strbuf_done(&out);
	ops_labels_unref(ls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
