/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of the encoding's specification, and everything that must be refused. */
#include "common/proto/proto.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"

static size_t from_hex(const char *hex, uint8_t *out)
{
	assert_int_equal(ops_hex_decode(hex, strlen(hex), out), 0);
	return strlen(hex) / 2;
}

static void fields_are_read(void **state)
{
	static const struct {
		const char *hex;
		uint32_t number;
		enum ops_proto_wire wire;
		uint64_t value;
		const char *text;
	} cases[] = {
		{"089601", 1, OPS_PROTO_VARINT, 150, NULL},
		{"120774657374696e67", 2, OPS_PROTO_LEN, 0, "testing"},
		{"1a00", 3, OPS_PROTO_LEN, 0, ""},
		{"08ffffffffffffffffff01", 1, OPS_PROTO_VARINT, UINT64_MAX, NULL},
		{"f8ffffff0f01", 536870911, OPS_PROTO_VARINT, 1, NULL},
		{"0d78563412", 1, OPS_PROTO_FIXED32, 0x12345678, NULL},
		{"09000000000000f03f", 1, OPS_PROTO_FIXED64, 0x3ff0000000000000, NULL},
		{"1380010114089601", 1, OPS_PROTO_VARINT, 150, NULL}, /* behind a group */
		{"131b1c14089601", 1, OPS_PROTO_VARINT, 150, NULL},   /* behind nested ones */
		{"88000b", 1, OPS_PROTO_VARINT, 11, NULL},	      /* tag longer than needed */
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		uint8_t bytes[64];
		struct ops_proto_reader r;
		struct ops_proto_field f;
		ops_proto_read(&r, bytes, from_hex(cases[i].hex, bytes));
		assert_int_equal(ops_proto_next(&r, &f), 1);
		assert_int_equal(f.number, cases[i].number);
		assert_int_equal(f.wire, cases[i].wire);
		assert_true(f.value == cases[i].value);
		if (cases[i].text != NULL) {
			assert_int_equal(f.len, strlen(cases[i].text));
			assert_memory_equal(f.data, cases[i].text, f.len);
		}
		assert_int_equal(ops_proto_next(&r, &f), 0);
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const cases[] = {
		"08",			    /* no value */
		"0880",			    /* cut in a varint */
		"08ffffffffffffffffff02",   /* 65 bits */
		"08ffffffffffffffffffff01", /* eleven bytes */
		"0001",			    /* field 0 */
		"f8ffffff1f01",		    /* field 2^29 + ... */
		"0901020304050607",	    /* seven of eight bytes */
		"0d010203",		    /* three of four */
		"120574657374",		    /* one byte short */
		"12ffffffffffffffffff01",   /* length near 2^64 */
		"0e",			    /* wire type 6 */
		"0f",			    /* wire type 7 */
		"0c",			    /* end of a group that never began */
		"0b08960114",		    /* other group's end */
		"0b0896",		    /* group without end */
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		uint8_t bytes[64];
		struct ops_proto_reader r;
		struct ops_proto_field f;
		ops_proto_read(&r, bytes, from_hex(cases[i], bytes));
		assert_int_equal(ops_proto_next(&r, &f), -EBADMSG);
	}
}

static void groups_nest_so_deep_and_no_deeper(void **state)
{
	uint8_t bytes[66];
	struct ops_proto_reader r;
	struct ops_proto_field f;

	(void)state;
	memset(bytes, 0x0b, 32);
	memset(bytes + 32, 0x0c, 32);
	ops_proto_read(&r, bytes, 64);
	assert_int_equal(ops_proto_next(&r, &f), 0);
	memset(bytes, 0x0b, 33);
	memset(bytes + 33, 0x0c, 33);
	ops_proto_read(&r, bytes, 66);
	assert_int_equal(ops_proto_next(&r, &f), -EBADMSG);
}

static void elements_come_packed_or_alone(void **state)
{
	uint8_t bytes[64];
	struct ops_proto_reader r, elements;
	struct ops_proto_field f;
	uint64_t v, sum = 0;
	double d = 0;

	(void)state;
	ops_proto_read(&r, bytes,
		from_hex("3206038e029ea705"
			 "3005"
			 "3a09000000000000f03f00",
			bytes));
	while (ops_proto_next(&r, &f) == 1 && f.number == 6) {
		ops_proto_elements(&elements, &f);
		while (ops_proto_next_varint(&elements, &v) == 1)
			sum += v;
	}
	assert_int_equal(sum, 3 + 270 + 86942 + 5);
	ops_proto_elements(&elements, &f);
	assert_int_equal(ops_proto_next_double(&elements, &d), 1);
	assert_true(d == 1.0);
	assert_int_equal(ops_proto_next_double(&elements, &d), -EBADMSG); /* one byte left */
	assert_int_equal(ops_proto_next(&r, &f), 0);
}

static void zigzag_goes_both_ways(void **state)
{
	static const int64_t values[] = {0, -1, 1, -2, 2147483647, INT64_MIN, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(values); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		struct ops_proto_reader r;
		struct ops_proto_field f;
		ops_proto_put_sint(&b, 4, values[i]);
		ops_proto_read(&r, b.data, b.len);
		assert_int_equal(ops_proto_next(&r, &f), 1);
		assert_true(ops_proto_zigzag(f.value) == values[i]);
		ops_strbuf_done(&b);
	}
}

static void nested_messages_of_any_length(void **state)
{
	static const size_t lengths[] = {0, 1, 127, 128, 16383, 16384, 100000};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(lengths); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		struct ops_proto_reader r;
		struct ops_proto_field f, inner;
		size_t outside = ops_proto_begin(&b, 7);
		ops_proto_put_double(&b, 1, NAN);
		size_t inside = ops_proto_begin(&b, 2);
		for (size_t k = 0; k < lengths[i]; k++)
			ops_strbuf_addc(&b, (char)k);
		ops_proto_end(&b, inside);
		ops_proto_put_varint(&b, 3, 99);
		ops_proto_end(&b, outside);

		ops_proto_read(&r, b.data, b.len);
		assert_int_equal(ops_proto_next(&r, &f), 1);
		assert_int_equal(f.number, 7);
		assert_int_equal(ops_proto_next(&r, &inner), 0);
		ops_proto_read(&r, f.data, f.len);
		assert_int_equal(ops_proto_next(&r, &inner), 1);
		assert_true(isnan(ops_proto_double(&inner)));
		assert_int_equal(ops_proto_next(&r, &inner), 1);
		assert_int_equal(inner.len, lengths[i]);
		for (size_t k = 0; k < lengths[i]; k++)
			assert_true(inner.data[k] == (uint8_t)k);
		assert_int_equal(ops_proto_next(&r, &inner), 1);
		assert_int_equal(inner.value, 99);
		assert_int_equal(ops_proto_next(&r, &inner), 0);
		ops_strbuf_done(&b);
	}
}

static int collect(void *arg, const struct ops_proto_field *part)
{
	uint64_t *sum = arg;

	*sum = *sum * 10 + part->value;
	return part->value == 7 ? 42 : 0;
}

static void each_field_is_given(void **state)
{
	static const struct {
		const char *hex;
		int rc;
		uint64_t seen;
	} cases[] = {
		{"", 0, 0},
		{"080108021003", 0, 123},
		{"080108071003", 42, 17}, /* ended by the function */
		{"08010880", -EBADMSG, 1},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		uint8_t bytes[16];
		uint64_t seen = 0;
		struct ops_proto_field f = ops_proto_whole(bytes, from_hex(cases[i].hex, bytes));
		assert_int_equal(ops_proto_each(&f, collect, &seen), cases[i].rc);
		assert_true(seen == cases[i].seen);
		f.wire = OPS_PROTO_VARINT;
		assert_int_equal(ops_proto_each(&f, collect, &seen), -EBADMSG);
		assert_true(seen == cases[i].seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(groups_nest_so_deep_and_no_deeper),
		cmocka_unit_test(elements_come_packed_or_alone),
		cmocka_unit_test(zigzag_goes_both_ways),
		cmocka_unit_test(nested_messages_of_any_length),
		cmocka_unit_test(each_field_is_given),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
