/* SPDX-License-Identifier: Apache-2.0 */
#include "common/msg/samples.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"

static struct ops_layout_family families[] = {
	{.name = "requests_total", .help = "Requests.", .unit = "", .type = OPS_T_COUNTER},
	{.name = "up_seconds", .help = "", .unit = "seconds", .type = OPS_T_GAUGE},
};

static void encode_small(struct ops_strbuf *out, uint64_t *ret_id)
{
	struct ops_labels *series[] = {
		ops_labels_of("__name__", "requests_total", "job", "portal", "path", "/a", NULL),
		ops_labels_of("__name__", "requests_total", "job", "portal", "path", "/b", NULL),
		ops_labels_of("__name__", "up_seconds", "job", "portal", NULL),
		ops_labels_of("__name__", "scrape_x", NULL),
	};
	uint32_t family[] = {0, 0, 1, UINT32_MAX};
	struct ops_layout l = {.job = "portal",
		.instance = "h:1",
		.series = series,
		.family = family,
		.n = 4,
		.families = families,
		.nfamilies = 2};
	assert_int_equal(ops_layout_encode(&l, out), 0);
	*ret_id = l.id;
	for (size_t i = 0; i < OPS_LENGTH(series); i++)
		ops_labels_unref(series[i]);
}

static void test_layout_round_trip(void **state)
{
	(void)state;
	struct ops_strbuf out = OPS_STRBUF_INIT, again = OPS_STRBUF_INIT;
	uint64_t id = 0;
	encode_small(&out, &id);
	assert_true(id != 0);
	struct ops_layout *l = NULL;
	struct ops_error err;
	assert_int_equal(ops_layout_decode(out.data, out.len, &l, &err), 0);
	assert_true(l->id == id);
	assert_string_equal(l->job, "portal");
	assert_string_equal(l->instance, "h:1");
	assert_int_equal(l->nfamilies, 2);
	assert_string_equal(l->families[0].help, "Requests.");
	assert_string_equal(l->families[1].unit, "seconds");
	assert_int_equal(l->families[1].type, OPS_T_GAUGE);
	assert_int_equal(l->n, 4);
	assert_string_equal(ops_labels_get(l->series[1], "path"), "/b");
	assert_int_equal(l->series[2]->n, 2);
	assert_int_equal(l->family[1], 0);
	assert_int_equal(l->family[3], UINT32_MAX);
	assert_int_equal(ops_layout_encode(l, &again), 0);
	assert_int_equal(again.len, out.len);
	assert_memory_equal(again.data, out.data, out.len);
	ops_layout_free(l);
	ops_strbuf_done(&out);
	ops_strbuf_done(&again);
}

/* The bytes are a promise to other implementations. */
static void test_layout_bytes(void **state)
{
	(void)state;
	struct ops_labels *series[] = {ops_labels_of("__name__", "up", NULL)};
	uint32_t family[] = {UINT32_MAX};
	struct ops_layout l = {
		.job = "j", .instance = "i", .series = series, .family = family, .n = 1};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	assert_int_equal(ops_layout_encode(&l, &out), 0);
	static const char body[] = "\x04\x01j\x01i\x08__name__\x02up"
				   "\x00\x01"
				   "\x00"
				   "\x01"
				   "\x00\x01\x02\x03";
	assert_int_equal(out.len, 16 + sizeof(body) - 1);
	assert_memory_equal(out.data, "OPSL\x01\0\0\0", 8);
	assert_true(ops_get_u64(out.data + 8) == l.id);
	assert_memory_equal(out.data + 16, body, sizeof(body) - 1);
	ops_labels_unref(series[0]);
	ops_strbuf_done(&out);
}

/* Puts a body behind a header whose id is right, so that the body is what is refused. */
static int decode_body(const char *body, size_t len, struct ops_error *err)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	char header[16] = "OPSL\x01";
	ops_put_u64(header + 8, ops_hash64(body, len, 0x6c61796f75743031ULL));
	ops_strbuf_add(&out, header, sizeof(header));
	ops_strbuf_add(&out, body, len);
	struct ops_layout *l = NULL;
	int r = ops_layout_decode(out.data, out.len, &l, err);
	if (r == 0)
		ops_layout_free(l);
	else
		assert_null(l);
	ops_strbuf_done(&out);
	return r;
}

#define BODY(text) text, sizeof(text) - 1

static void test_layout_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		size_t len;
		const char *what; /* NULL: accepted */
	} cases[] = {
		{BODY("\x02\x01j\x01i"
		      "\x00\x01"
		      "\x00"
		      "\x00"),
			NULL},
		{BODY("\x02\x01j\x01i"
		      "\x00\x01"
		      "\x00"
		      "\x01\x00\x00"),
			NULL},
		{BODY(""), "cut off"},
		{BODY("\xff\xff\xff\xff\xff\x01"), "number too long"},
		{BODY("\xff\xff\xff\xff\x7f"), "number too large"},
		{BODY("\xff\xff\xff\xff\x0f"), "more items announced than there are bytes"},
		{BODY("\x01\x05j"), "string cut off"},
		{BODY("\x01\xff\xff\x7fj"), "number too large"},
		{BODY("\x01\x01\xff"), "string that is not UTF-8"},
		{BODY("\x01\x01\x00"), "string that is not UTF-8"},
		{BODY("\x01\x01j\x00\x01"), "string number out of range"},
		{BODY("\x02\x01j\x01i\x00\x01\x05"), "more items announced than there are bytes"},
		{BODY("\x02\x01j\x01i\x00\x01\x01\x00\x00\x00\x08\x00"), "number too large"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x05\x00"),
			"more items announced than there are bytes"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x01\x01\x00"), "number too large"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x01\x00\x01\x00\x01"), NULL},
		{BODY("\x02\x01j\x00\x00\x00\x00\x01\x00\x01\x00\x01"), "empty label"},
		{BODY("\x02\x01j\x00\x00\x00\x00\x01\x00\x01\x01\x00"), "empty label"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x01\x00\x02\x00\x01\x00\x01"),
			"labels out of order"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x01\x00\x02\x00\x01\x01\x01"),
			"labels out of order"},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x01\x00\x02\x01\x01\x00\x01"), NULL},
		{BODY("\x02\x01j\x01i\x00\x01\x00\x00\x00"), "bytes left over"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_error err = {0};
		int r = decode_body(cases[i].body, cases[i].len, &err);
		bool expected =
			cases[i].what == NULL
				? r == 0
				: r == -EINVAL && strstr(err.message, cases[i].what) != NULL;
		if (!expected)
			fail_msg("case %zu: %d %s", i, r, err.message);
	}
}

static void test_layout_header_and_cuts(void **state)
{
	(void)state;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	uint64_t id;
	encode_small(&out, &id);
	struct ops_layout *l = NULL;
	struct ops_error err;
	for (size_t len = 0; len < out.len; len++) {
		char *exact = ops_xmalloc(len + 1);
		memcpy(exact, out.data, len);
		assert_int_equal(ops_layout_decode(exact, len, &l, &err), -EINVAL);
		free(exact);
	}
	for (size_t i = 0; i < out.len; i++) {
		out.data[i] ^= 1;
		assert_int_equal(ops_layout_decode(out.data, out.len, &l, &err), -EINVAL);
		out.data[i] ^= 1;
	}
	assert_null(l);
	ops_strbuf_done(&out);
}

/* A long text that many series name takes little on the wire and much memory. */
static void test_layout_bomb(void **state)
{
	(void)state;
	struct ops_strbuf body = OPS_STRBUF_INIT;
	ops_strbuf_add(&body, "\x02\x01j\xff\xff\x03", 6);
	for (int i = 0; i < 65535; i++)
		ops_strbuf_addc(&body, 'x');
	ops_strbuf_add(&body, "\x00\x00\x00\x88\x27", 5); /* 5,000 series */
	for (int i = 0; i < 5000; i++)
		ops_strbuf_add(&body, "\x00\x01\x00\x01", 4);
	struct ops_error err;
	assert_int_equal(decode_body(body.data, body.len, &err), -EINVAL);
	assert_non_null(strstr(err.message, "too much text"));
	ops_strbuf_done(&body);
}

static void test_layout_too_big_to_encode(void **state)
{
	(void)state;
	char *text = ops_xmalloc(65538);
	memset(text, 'x', 65537);
	text[65537] = '\0';
	struct ops_labels *series[] = {ops_labels_of("__name__", text, NULL)};
	uint32_t family[] = {UINT32_MAX};
	struct ops_layout l = {
		.job = "j", .instance = "i", .series = series, .family = family, .n = 1};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	assert_int_equal(ops_layout_encode(&l, &out), -E2BIG);
	assert_int_equal(out.len, 0);
	l.n = 0;
	l.instance = text;
	assert_int_equal(ops_layout_encode(&l, &out), -E2BIG);
	text[65536] = '\0';
	assert_int_equal(ops_layout_encode(&l, &out), 0);
	ops_labels_unref(series[0]);
	free(text);
	ops_strbuf_done(&out);
}

/* ---- batches ---- */

static void test_batch_round_trip(void **state)
{
	(void)state;
	const double values[] = {1.5, -0.0, ops_stale_nan(), 1e308};
	const int64_t times[] = {0, 5, -7, 0};
	for (int with_times = 0; with_times < 2; with_times++) {
		struct ops_batch b = {.layout_id = 0x123456789abcdef0ULL,
			.time_ms = -5,
			.values = values,
			.n = 4,
			.times_ms = with_times != 0 ? times : NULL};
		struct ops_strbuf out = OPS_STRBUF_INIT, scratch = OPS_STRBUF_INIT;
		ops_batch_encode(&b, &out);
		assert_int_equal(out.len, 32 + 8 * 4 * (1 + with_times));
		struct ops_batch back;
		struct ops_error err;
		assert_int_equal(ops_batch_decode(out.data, out.len, &scratch, &back, &err), 0);
		assert_true(back.layout_id == b.layout_id && back.time_ms == -5);
		assert_int_equal(back.n, 4);
		assert_memory_equal(back.values, values, sizeof(values));
		assert_true(ops_is_stale(back.values[2]));
		if (with_times != 0)
			assert_memory_equal(back.times_ms, times, sizeof(times));
		else
			assert_null(back.times_ms);
		ops_strbuf_done(&out);
		ops_strbuf_done(&scratch);
	}
	assert_false(ops_is_stale(__builtin_nan("")));
	assert_false(ops_is_stale(0));
}

static void test_batch_refusals(void **state)
{
	(void)state;
	const double values[] = {1, 2};
	struct ops_strbuf out = OPS_STRBUF_INIT, scratch = OPS_STRBUF_INIT;
	ops_batch_encode(
		&(struct ops_batch){.layout_id = 1, .time_ms = 2, .values = values, .n = 2}, &out);
	static const struct {
		size_t at;
		char to;
		const char *message;
	} cases[] = {
		{0, 'X', "malformed batch: no header"},
		{4, 2, "malformed batch: unknown version 2"},
		{5, 1, "malformed batch: 48 bytes for 2 values"},
		{5, 2, "malformed batch: reserved bytes are not zero"},
		{6, 1, "malformed batch: reserved bytes are not zero"},
		{24, 3, "malformed batch: 48 bytes for 3 values"},
		{27, 1, "malformed batch: more than 1000000 values"},
		{28, 1, "malformed batch: reserved bytes are not zero"},
	};
	struct ops_batch b;
	struct ops_error err;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		char before = out.data[cases[i].at];
		out.data[cases[i].at] = cases[i].to;
		assert_int_equal(ops_batch_decode(out.data, out.len, &scratch, &b, &err), -EINVAL);
		assert_string_equal(err.message, cases[i].message);
		out.data[cases[i].at] = before;
	}
	for (size_t len = 0; len < out.len; len++)
		assert_int_equal(ops_batch_decode(out.data, len, &scratch, &b, &err), -EINVAL);
	assert_int_equal(ops_batch_decode(out.data, out.len, &scratch, &b, &err), 0);

	ops_strbuf_reset(&out);
	ops_batch_encode(&(struct ops_batch){.layout_id = 1}, &out);
	assert_int_equal(ops_batch_decode(out.data, out.len, &scratch, &b, &err), 0);
	assert_int_equal(b.n, 0);
	ops_strbuf_done(&out);
	ops_strbuf_done(&scratch);
}

static void test_batches(void **state)
{
	(void)state;
	const double values[] = {1, 2, 3};
	const int64_t times[] = {4, 5};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err;
	ops_batch_encode(&(struct ops_batch){.layout_id = 1, .values = values, .n = 3}, &out);
	ops_batch_encode(
		&(struct ops_batch){.layout_id = 2, .values = values, .n = 2, .times_ms = times},
		&out);
	size_t first = 0, second = 0, none = 0;
	assert_int_equal(ops_batch_size(out.data, out.len, &first, &err), 0);
	assert_int_equal(first, 32 + 3 * 8);
	assert_int_equal(ops_batch_size(out.data + first, out.len - first, &second, &err), 0);
	assert_int_equal(first + second, out.len);
	for (size_t len = 0; len < second; len++)
		assert_int_equal(ops_batch_size(out.data + first, len, &none, &err), -EINVAL);
	assert_int_equal(ops_batch_size(out.data + 1, out.len - 1, &none, &err), -EINVAL);
	ops_strbuf_done(&out);
}

/* ---- the rest ---- */

static void test_types(void **state)
{
	(void)state;
	assert_string_equal(ops_series_type_text(OPS_T_UNKNOWN), "unknown");
	assert_string_equal(ops_series_type_text(OPS_T_COUNTER), "counter");
	assert_string_equal(ops_series_type_text(OPS_T_STATESET), "stateset");
	assert_string_equal(ops_series_type_text(OPS_T_GAUGEHISTOGRAM), "gaugehistogram");
}

static void collect_id(void *arg, uint64_t layout_id)
{
	struct ops_strbuf *out = arg;
	ops_strbuf_printf(out, "%llx ", (unsigned long long)layout_id);
}

static void test_released(void **state)
{
	(void)state;
	struct ops_strbuf message = OPS_STRBUF_INIT, seen = OPS_STRBUF_INIT;
	struct ops_error err;
	ops_released_add(&message, 0x4711);
	ops_released_add(&message, UINT64_MAX);
	assert_int_equal(
		ops_released_decode(message.data, message.len, collect_id, &seen, &err), 0);
	assert_string_equal(ops_strbuf_text(&seen), "4711 ffffffffffffffff ");
	for (size_t len = 0; len < message.len; len++) {
		int wanted = len == 8 ? 0 : -EINVAL;
		assert_int_equal(
			ops_released_decode(message.data, len, collect_id, &seen, &err), wanted);
	}
	ops_strbuf_done(&message);
	ops_strbuf_done(&seen);
}

static void test_members(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"members\":[]}", NULL},
		{"{\"members\":[{\"instance\":\"a\",\"replay_url\":\"tcp://x:1\",\"started_ms\":5},"
		 "{\"instance\":\"b\",\"replay_url\":\"tcp://y:1\",\"url\":\"http://"
		 "y:9091\",\"started_ms\":6}]}",
			NULL},
		{"{}", "member \"members\" is missing"},
		{"{\"members\":[5]}", "a member must be a JSON object"},
		{"{\"members\":[{\"instance\":\"a\",\"replay_url\":\"tcp://"
		 "x:1\",\"started_ms\":5},{}]}",
			"member \"instance\" is missing or too short"},
		{"{\"members\":[{\"instance\":\"a\",\"replay_url\":\"t\"}]}",
			"member \"started_ms\" is missing"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		json_t *j = NULL;
		struct ops_error err = {0};
		struct ops_members ms = {0};
		assert_int_equal(
			ops_json_parse(cases[i].text, strlen(cases[i].text), 4096, &j, &err), 0);
		int r = ops_members_from_json(j, &ms, &err);
		json_decref(j);
		if (cases[i].message != NULL) {
			assert_int_equal(r, -EINVAL);
			assert_string_equal(err.message, cases[i].message);
			continue;
		}
		assert_int_equal(r, 0);
		j = ops_members_to_json(&ms);
		char *text = ops_json_text(j);
		assert_string_equal(text, cases[i].text);
		free(text);
		json_decref(j);
		ops_members_done(&ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_round_trip),
		cmocka_unit_test(test_layout_bytes),
		cmocka_unit_test(test_layout_refusals),
		cmocka_unit_test(test_layout_header_and_cuts),
		cmocka_unit_test(test_layout_bomb),
		cmocka_unit_test(test_layout_too_big_to_encode),
		cmocka_unit_test(test_batch_round_trip),
		cmocka_unit_test(test_batch_refusals),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_released),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
