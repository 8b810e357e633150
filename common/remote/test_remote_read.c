/* SPDX-License-Identifier: Apache-2.0 */
/* Remote read: requests made by hand, answers taken apart again, XOR chunks by a decoder of its
 * own. */
#include "common/remote/read.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/proto/proto.h"
#include "common/remote/xor.h"

static void put_matcher(struct ops_strbuf *b, uint64_t op, const char *name, const char *value)
{
	size_t mark = ops_proto_begin(b, 3);

	ops_proto_put_varint(b, 1, op);
	ops_proto_put_bytes(b, 2, name, strlen(name));
	ops_proto_put_bytes(b, 3, value, strlen(value));
	ops_proto_end(b, mark);
}

static void put_query(struct ops_strbuf *b, uint64_t op, const char *pattern)
{
	size_t query = ops_proto_begin(b, 1);

	ops_proto_put_varint(b, 1, (uint64_t)-5);
	ops_proto_put_varint(b, 2, 1000);
	put_matcher(b, OPS_MATCH_EQ, "__name__", "up");
	put_matcher(b, op, "job", pattern);
	size_t hints = ops_proto_begin(b, 4);
	ops_proto_put_varint(b, 1, 15000);
	ops_proto_put_bytes(b, 2, "rate", 4);
	ops_proto_put_bytes(b, 5, "pod", 3); /* grouping: skipped */
	ops_proto_put_varint(b, 6, 1);
	ops_proto_put_varint(b, 7, 300000);
	ops_proto_end(b, hints);
	ops_proto_end(b, query);
}

static void put_types(struct ops_strbuf *b, const char *types)
{
	size_t mark = ops_proto_begin(b, 2);

	for (; *types != '\0'; types++)
		ops_proto_put_raw(b, (uint64_t)(*types - '0'));
	ops_proto_end(b, mark);
}

static void a_request_is_read(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_arena a;
	struct ops_remote_read r;
	struct ops_error err;

	(void)state;
	ops_arena_init(&a);
	put_query(&b, OPS_MATCH_RE, "a.*");
	put_query(&b, OPS_MATCH_NE, "b");
	put_types(&b, "710"); /* 7: from the future */
	assert_int_equal(ops_remote_read_decode(b.data, b.len, &a, &r, &err), 0);
	assert_int_equal(r.n, 2);
	assert_true(r.chunks);
	const struct ops_remote_query *q = &r.queries[0];
	assert_int_equal(q->start_ms, -5);
	assert_int_equal(q->end_ms, 1000);
	assert_int_equal(q->matchers.n, 2);
	assert_int_equal(q->matchers.items[1].op, OPS_MATCH_RE);
	assert_true(ops_matcher_match_value(&q->matchers.items[1], "abc"));
	assert_int_equal(q->hints.step_ms, 15000);
	assert_int_equal(q->hints.range_ms, 300000);
	assert_string_equal(q->hints.func, "rate");
	assert_int_equal(r.queries[1].matchers.items[1].op, OPS_MATCH_NE);
	ops_remote_read_done(&r);
	ops_arena_done(&a);
	ops_strbuf_done(&b);
}

static void the_first_known_type_decides(void **state)
{
	static const struct {
		const char *types;
		bool chunks;
	} cases[] = {
		{"", false}, {"0", false}, {"1", true}, {"01", false}, {"10", true}, {"9", false}};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		struct ops_arena a;
		struct ops_remote_read r;
		struct ops_error err;
		ops_arena_init(&a);
		put_types(&b, cases[i].types);
		assert_int_equal(ops_remote_read_decode(b.data, b.len, &a, &r, &err), 0);
		assert_int_equal(r.chunks, cases[i].chunks);
		ops_remote_read_done(&r);
		ops_arena_done(&a);
		ops_strbuf_done(&b);
	}
}

static void bad_requests_are_refused(void **state)
{
	struct ops_error err;
	struct ops_remote_read r;

	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		struct ops_arena a;
		ops_arena_init(&a);
		if (kind == 0)
			put_query(&b, OPS_MATCH_RE, "(");
		else if (kind == 1)
			put_query(&b, 4, "x"); /* no such operator */
		else if (kind == 2)
			put_query(&b, OPS_MATCH_EQ, "\xff");
		else
			for (unsigned i = 0; i <= OPS_REMOTE_MAX_QUERIES; i++)
				ops_proto_put_bytes(&b, 1, "", 0);
		assert_int_equal(ops_remote_read_decode(b.data, b.len, &a, &r, &err),
			kind == 0 ? -EINVAL : -EBADMSG);
		assert_true(err.message[0] != '\0');
		ops_arena_done(&a);
		ops_strbuf_done(&b);
	}
}

/* ---- XOR ------------------------------------------------------------------------------------ */

struct bit_reader {
	const uint8_t *data;
	size_t len, at; /* at in bits */
};

static uint64_t get_bits(struct bit_reader *b, unsigned n)
{
	uint64_t v = 0;

	for (; n > 0; n--, b->at++) {
		assert_true(b->at / 8 < b->len);
		v = v << 1 | (b->data[b->at / 8] >> (7 - b->at % 8) & 1);
	}
	return v;
}

static uint64_t get_varint(struct bit_reader *b)
{
	uint64_t v = 0, byte;
	unsigned shift = 0;

	do {
		byte = get_bits(b, 8);
		v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte >= 0x80);
	return v;
}

static int64_t get_change(struct bit_reader *b)
{
	static const unsigned sizes[] = {0, 14, 17, 20, 64};
	unsigned class = 0;

	while (class < 4 && get_bits(b, 1) == 1)
		class ++;
	if (class == 0)
		return 0;
	uint64_t v = get_bits(b, sizes[class]);
	if (class < 4 && v > (uint64_t)1 << (sizes[class] - 1))
		v -= (uint64_t)1 << sizes[class];
	return (int64_t)v;
}

static void check_chunk(const struct ops_strbuf *chunk, const int64_t *t, const double *v, size_t n)
{
	struct bit_reader b = {(const uint8_t *)chunk->data, chunk->len, 0};
	uint64_t bits = 0, expect;
	unsigned leading = 0, meaningful = 0;
	int64_t time = 0, delta = 0;

	assert_int_equal(get_bits(&b, 16), n);
	for (size_t i = 0; i < n; i++) {
		if (i == 0) {
			time = ops_proto_zigzag(get_varint(&b));
			bits = get_bits(&b, 64);
		} else {
			delta = i == 1 ? (int64_t)get_varint(&b) : delta + get_change(&b);
			time += delta;
			if (get_bits(&b, 1) == 1) {
				if (get_bits(&b, 1) == 1) {
					leading = (unsigned)get_bits(&b, 5);
					meaningful = (unsigned)get_bits(&b, 6);
					meaningful = meaningful == 0 ? 64 : meaningful;
				}
				bits ^= get_bits(&b, meaningful) << (64 - leading - meaningful);
			}
		}
		memcpy(&expect, &v[i], sizeof(expect));
		assert_true(time == t[i] && bits == expect);
	}
	assert_int_equal((b.at + 7) / 8, chunk->len);
}

static void xor_chunks_come_back(void **state)
{
	static const int64_t steps[] = {15000, 15000, 15001, 14999, 23190, 6809, 80536, 15000,
		15000, 539288, 15000, 15000, 600000, 1, 4000000000000, 15000};
	static const double values[] = {
		0, 0, 1, 1.5, 1e300, -1e-300, 3, 3, 0.1, 0.2, 12345678, -0.0, INFINITY, 7, 8, 9};
	int64_t t[OPS_XOR_MAX_SAMPLES];
	double v[OPS_XOR_MAX_SAMPLES];
	int64_t now = -20000;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(t); i++) {
		now += steps[i % OPS_LENGTH(steps)];
		t[i] = now;
		v[i] = i % 29 == 28 ? ops_stale_nan() : values[i % OPS_LENGTH(values)];
	}
	for (size_t n = 1; n <= OPS_LENGTH(t); n++) {
		struct ops_strbuf chunk = OPS_STRBUF_INIT;
		ops_xor_encode(t, v, n, &chunk);
		check_chunk(&chunk, t, v, n);
		ops_strbuf_done(&chunk);
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

static struct ops_proto_field only_field(const uint8_t *data, size_t len, uint32_t number)
{
	struct ops_proto_reader r;
	struct ops_proto_field f, more;

	ops_proto_read(&r, data, len);
	assert_int_equal(ops_proto_next(&r, &f), 1);
	assert_int_equal(f.number, number);
	assert_int_equal(ops_proto_next(&r, &more), 0);
	return f;
}

static int count_sample(void *arg, const struct ops_remote_series *s)
{
	*(size_t *)arg += s->nsamples;
	assert_null(s->flaw);
	return 0;
}

static void an_answer_of_samples(void **state)
{
	struct ops_labels *labels = ops_labels_of("__name__", "up", "job", "x", NULL);
	const struct ops_remote_sample samples[] = {{1, 0, 1}, {2, 0, 2}};
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_error err;
	size_t n = 0;
	const struct ops_remote_sink sink = {.on_series = count_sample, .arg = &n};

	(void)state;
	size_t mark = ops_remote_result_begin(&b);
	ops_remote_result_series(&b, &(struct ops_remote_series){.labels = labels->items,
					     .nlabels = labels->n,
					     .samples = samples,
					     .nsamples = 2});
	ops_remote_result_end(&b, mark);
	/* A QueryResult is laid out as a WriteRequest is. */
	struct ops_proto_field f = only_field((const uint8_t *)b.data, b.len, 1);
	assert_int_equal(ops_remote_write_decode(OPS_REMOTE_1, f.data, f.len, &sink, &err), 0);
	assert_int_equal(n, 2);
	ops_strbuf_done(&b);
	ops_labels_unref(labels);
}

static void a_frame_carries_its_checksum(void **state)
{
	struct ops_labels *labels = ops_labels_of("__name__", "up", NULL);
	const struct ops_remote_chunk chunks[] = {
		{10, 20, OPS_REMOTE_XOR, "abc", 3}, {21, 30, OPS_REMOTE_XOR, "", 0}};
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_proto_reader r;
	struct ops_proto_field f;
	uint64_t len = 0, index = 0, fields = 0;

	(void)state;
	ops_remote_frame(&b, labels, chunks, 2, 3);
	ops_proto_read(&r, b.data, b.len);
	assert_int_equal(ops_proto_next_varint(&r, &len), 1);
	assert_int_equal((size_t)(r.end - r.at), len + 4);
	assert_int_equal((uint32_t)r.at[0] << 24 | (uint32_t)r.at[1] << 16 |
				 (uint32_t)r.at[2] << 8 | r.at[3],
		ops_crc32c(0, r.at + 4, len));
	ops_proto_read(&r, r.at + 4, len);
	while (ops_proto_next(&r, &f) == 1) {
		fields++;
		if (f.number == 2)
			index = f.value;
	}
	assert_int_equal(fields, 2);
	assert_int_equal(index, 3);
	ops_strbuf_done(&b);
	ops_labels_unref(labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read),
		cmocka_unit_test(the_first_known_type_decides),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(xor_chunks_come_back),
		cmocka_unit_test(an_answer_of_samples),
		cmocka_unit_test(a_frame_carries_its_checksum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
