/* SPDX-License-Identifier: Apache-2.0 */
/* Exemplars: what is kept, what is refused, and the answer to a query; native histograms on the
 * wire. */
#include "services/detector/api/exemplars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/proto/proto.h"
#include "common/remote/histogram.h"

static enum det_exemplar_outcome add(
	struct det_exemplars *x, const char *instance, const char *trace, double value, int64_t t)
{
	struct det_exemplar e = {
		.series = ops_labels_of("__name__", "hits", "instance", instance, NULL),
		.labels = ops_labels_of("trace_id", trace, NULL),
		.value = value,
		.time_ms = t};
	enum det_exemplar_outcome outcome = det_exemplars_add(x, &e);
	ops_labels_unref(e.series);
	ops_labels_unref(e.labels);
	return outcome;
}

static void expect(const struct det_exemplars *x, const char *instance, int64_t from, int64_t to,
	const char *want)
{
	struct ops_matchers ms;
	struct ops_error err;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const int64_t range_ms[2] = {from, to};
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_add(&ms, OPS_MATCH_RE, "instance", instance, &err), 0);
	det_exemplars_query(x, &ms, 1, range_ms, &out);
	assert_string_equal(ops_strbuf_text(&out), want);
	ops_strbuf_done(&out);
	ops_matchers_done(&ms);
}

#define SERIES(i) "{\"seriesLabels\":{\"__name__\":\"hits\",\"instance\":\"" i "\"},\"exemplars\":["
#define POINT(id, v, t)                                                                            \
	"{\"labels\":{\"trace_id\":\"" id "\"},\"value\":\"" v "\",\"timestamp\":" t "}"

static void test_query(void **state)
{
	struct det_exemplars *x = det_exemplars_new(100);
	(void)state;
	expect(x, ".*", 0, 9000, "[]");
	assert_int_equal(add(x, "b", "t1", 1, 1000), DET_EXEMPLAR_STORED);
	assert_int_equal(add(x, "a", "t2", 2.5, 1500), DET_EXEMPLAR_STORED);
	assert_int_equal(add(x, "b", "t3", 3, 2000), DET_EXEMPLAR_STORED);
	expect(x, ".*", 0, 9000,
		"[" SERIES("a") POINT("t2", "2.5", "1.500") "]}," SERIES("b")
			POINT("t1", "1", "1") "," POINT("t3", "3", "2") "]}]");
	expect(x, "b", 1001, 2000, "[" SERIES("b") POINT("t3", "3", "2") "]}]");
	expect(x, ".*", 1200, 1700, "[" SERIES("a") POINT("t2", "2.5", "1.500") "]}]");
	expect(x, "nobody", 0, 9000, "[]");
	det_exemplars_free(x);
}

static void test_refusals(void **state)
{
	struct det_exemplars *x = det_exemplars_new(4);
	char longer[200];
	(void)state;
	assert_int_equal(add(x, "a", "t", 1, 1000), DET_EXEMPLAR_STORED);
	assert_int_equal(add(x, "a", "t", 1, 1000), DET_EXEMPLAR_DUPLICATE);
	assert_int_equal(add(x, "a", "u", 1, 1000), DET_EXEMPLAR_OUT_OF_ORDER);
	assert_int_equal(add(x, "a", "t", 1, 999), DET_EXEMPLAR_OUT_OF_ORDER);
	memset(longer, 'x', sizeof(longer));
	longer[120] = '\0'; /* with trace_id: 128 */
	assert_int_equal(add(x, "b", longer, 1, 1), DET_EXEMPLAR_STORED);
	longer[120] = 'x';
	longer[121] = '\0';
	assert_int_equal(add(x, "b", longer, 1, 2), DET_EXEMPLAR_TOO_LONG);
	assert_int_equal(det_exemplars_count(x), 2);
	det_exemplars_free(x);
	x = det_exemplars_new(0);
	assert_int_equal(add(x, "a", "t", 1, 1000), DET_EXEMPLAR_STORED);
	assert_int_equal(det_exemplars_count(x), 0);
	det_exemplars_free(x);
}

/* The oldest of all makes room; a series without exemplars is forgotten. */
static void test_ring(void **state)
{
	struct det_exemplars *x = det_exemplars_new(3);
	(void)state;
	for (int i = 0; i < 1000; i++) {
		char instance[16];
		snprintf(instance, sizeof(instance), "i%d", i % 7);
		assert_int_equal(add(x, instance, "t", i, 1000 * (i + 1)), DET_EXEMPLAR_STORED);
		assert_int_equal(det_exemplars_count(x), OPS_MIN(i + 1, 3));
	}
	expect(x, ".*", 0, INT64_MAX,
		"[" SERIES("i3") POINT("t", "997", "998") "]}," SERIES("i4") POINT(
			"t", "998", "999") "]}," SERIES("i5") POINT("t", "999", "1000") "]}]");
	assert_int_equal(add(x, "i5", "t", 5, 2000000), DET_EXEMPLAR_STORED);
	assert_int_equal(add(x, "i5", "t", 6, 2001000), DET_EXEMPLAR_STORED);
	expect(x, ".*", 0, INT64_MAX,
		"[" SERIES("i5") POINT("t", "999", "1000") "," POINT("t", "5", "2000") "," POINT(
			"t", "6", "2001") "]}]");
	det_exemplars_free(x);
}

/* ---- native histograms ---- */

static void put_span(struct ops_strbuf *b, uint32_t number, int64_t offset, uint64_t length)
{
	size_t mark = ops_proto_begin(b, number);
	ops_proto_put_sint(b, 1, offset);
	ops_proto_put_varint(b, 2, length);
	ops_proto_end(b, mark);
}

/* As Prometheus sends it: integer counts as packed differences. */
static void integer_histogram(struct ops_strbuf *b, int64_t third_delta)
{
	const int64_t deltas[] = {1, 1, third_delta};
	ops_proto_put_varint(b, 1, 7);
	ops_proto_put_double(b, 3, 18.5);
	ops_proto_put_sint(b, 4, 1);
	ops_proto_put_double(b, 5, 0.001);
	ops_proto_put_varint(b, 6, 1);
	put_span(b, 11, 0, 2);
	put_span(b, 11, 3, 1);
	size_t mark = ops_proto_begin(b, 12);
	for (size_t i = 0; i < OPS_LENGTH(deltas); i++) {
		ops_proto_put_raw(b, (uint64_t)(deltas[i] << 1) ^ (uint64_t)(deltas[i] >> 63));
	}
	ops_proto_end(b, mark);
	ops_proto_put_varint(b, 14, 2);
	ops_proto_put_varint(b, 15, 12345);
}

static int decode(const void *data, size_t len, struct ops_arena *arena, struct ops_histogram *ret)
{
	const struct ops_remote_histogram message = {.data = data, .len = len};
	return ops_remote_histogram_decode(&message, arena, ret);
}

static void test_histogram(void **state)
{
	struct ops_arena arena;
	struct ops_strbuf wire = OPS_STRBUF_INIT, again = OPS_STRBUF_INIT;
	struct ops_histogram h, back;
	(void)state;
	ops_arena_init(&arena);
	integer_histogram(&wire, 1);
	assert_int_equal(decode(wire.data, wire.len, &arena, &h), 0);
	assert_int_equal(ops_histogram_validate(&h, NULL), 0);
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_histogram_print_notation(&h, &text);
	assert_string_equal(ops_strbuf_text(&text),
		"{{schema:1 count:7 sum:18.5 z_bucket:1 z_bucket_w:0.001 "
		"counter_reset_hint:not_reset buckets:[1 2 0 0 0 3]}}");
	ops_strbuf_done(&text);
	ops_remote_histogram_encode(&h, 12345, &again);
	assert_int_equal(decode(again.data, again.len, &arena, &back), 0);
	assert_true(ops_histogram_equal(&h, &back));
	/* cut off anywhere, it is refused or has lost whole fields: never read beyond */
	for (size_t len = 0; len < wire.len; len++) {
		void *copy = ops_xmalloc(len + 1);
		memcpy(copy, wire.data, len);
		int rc = decode(copy, len, &arena, &h);
		assert_true(rc == 0 || rc == -EBADMSG);
		free(copy);
	}
	ops_strbuf_done(&wire);
	ops_strbuf_done(&again);
	ops_arena_done(&arena);
}

static void test_bad_histograms(void **state)
{
	struct ops_arena arena;
	struct ops_histogram h;
	(void)state;
	ops_arena_init(&arena);
	for (int i = 0; i < 4; i++) {
		struct ops_strbuf wire = OPS_STRBUF_INIT;
		if (i == 0) { /* more buckets than counts */
			put_span(&wire, 11, 0, 1000000);
		} else if (i == 1) { /* counts without a bucket */
			ops_proto_put_double(&wire, 13, 1);
		} else if (i == 2) { /* backwards */
			put_span(&wire, 11, 0, 1);
			put_span(&wire, 11, -3, 1);
			ops_proto_put_double(&wire, 13, 1);
			ops_proto_put_double(&wire, 13, 1);
		} else { /* the sum as a varint */
			ops_proto_put_varint(&wire, 3, 1);
		}
		assert_int_equal(decode(wire.data, wire.len, &arena, &h), -EBADMSG);
		ops_strbuf_done(&wire);
	}
	ops_arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_bad_histograms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
