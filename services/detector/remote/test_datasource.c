/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a datasource, and which shard a rule group belongs to. */
#include "services/detector/remote/datasource.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

#define VECTOR(result)                                                                             \
	"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" result "]}}"

static void describe(const struct det_result *r, struct ops_strbuf *b)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct det_result_series *s = &r->series[i];
		ops_strbuf_addc(b, '{');
		for (uint32_t k = 0; k < s->nlabels; k++)
			ops_strbuf_printf(b, "%s=%s,", s->labels[k].name, s->labels[k].value);
		ops_strbuf_printf(b, "} %g@%lld;", s->points[0].v, (long long)s->points[0].t);
	}
}

static void answers_are_decoded(void **state)
{
	static const struct {
		const char *body, *expect; /* NULL: refused */
	} cases[] = {
		{VECTOR(""), ""},
		{VECTOR("{\"metric\":{\"z\":\"1\",\"__name__\":\"m\",\"e\":\"\"},\"value\":["
			"1435781451.781,"
			"\"2.5\"]}"),
			"{__name__=m,z=1,} 2.5@1435781451781;"},
		{VECTOR("{\"metric\":{},\"value\":[1,\"NaN\"]},{\"metric\":{\"a\":\"b\"},\"value\":"
			"[1,"
			"\"+Inf\"]}"),
			"{} nan@1000;{a=b,} inf@1000;"},
		{"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[3,\"7\"]}"
		 "}",
			"{} 7@3000;"},
		{"", NULL},
		{"[]", NULL},
		{"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"no such thing\"}",
			NULL},
		{"{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[3,\"x\"]}"
		 "}",
			NULL},
		{"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
			NULL},
		{"{\"status\":\"success\",\"data\":{\"result\":[]}}", NULL},
		{VECTOR("{\"metric\":{},\"histogram\":[1,{}]}"), NULL},
		{VECTOR("{\"metric\":{\"a\":1},\"value\":[1,\"1\"]}"), NULL},
		{VECTOR("{\"metric\":{\"\":\"x\"},\"value\":[1,\"1\"]}"), NULL},
		{VECTOR("{\"metric\":[],\"value\":[1,\"1\"]}"), NULL},
		{VECTOR("{\"metric\":{},\"value\":[1,\"one\"]}"), NULL},
		{VECTOR("{\"metric\":{},\"value\":[1e300,\"1\"]}"), NULL},
		{VECTOR("{\"metric\":{},\"value\":[1,1]}"), NULL},
		{VECTOR("{\"metric\":{},\"value\":[1]}"), NULL},
		{VECTOR("7"), NULL},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_strbuf text = OPS_STRBUF_INIT;
		struct ops_error err = {0};
		struct det_result result;
		struct ops_arena a;
		ops_arena_init(&a);
		int rc = det_datasource_decode(
			cases[i].body, strlen(cases[i].body), &a, &result, &err);
		if (rc != (cases[i].expect != NULL ? 0 : -EINVAL))
			fail_msg("case %zu: %d %s", i, rc, err.message);
		if (rc == 0) {
			describe(&result, &text);
			assert_string_equal(ops_strbuf_text(&text), cases[i].expect);
		} else {
			assert_true(err.message[0] != '\0');
		}
		ops_strbuf_done(&text);
		ops_arena_done(&a);
	}
}

static void shards_are_parsed(void **state)
{
	static const char *const bad[] = {
		"", "1", "/", "0/3", "4/3", "1/", "/3", "-1/3", "1/1001", "1/3/5"};
	unsigned shard, shards;

	(void)state;
	assert_int_equal(det_rules_shard_parse("2/3", &shard, &shards), 0);
	assert_true(shard == 1 && shards == 3);
	for (size_t i = 0; i < OPS_LENGTH(bad); i++)
		assert_int_equal(det_rules_shard_parse(bad[i], &shard, &shards), -EINVAL);
}

/* All get about their share, and one shard more takes groups without moving others. */
static void groups_spread_and_stay(void **state)
{
	enum {
		GROUPS = 3000
	};
	unsigned counts[4] = {0, 0, 0, 0};

	(void)state;
	for (int i = 0; i < GROUPS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "group %d", i);
		unsigned of_three = det_rules_shard_of(name, 3),
			 of_four = det_rules_shard_of(name, 4);
		counts[of_three]++;
		assert_true(of_four == of_three || of_four == 3);
		assert_int_equal(det_rules_shard_of(name, 1), 0);
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(counts[i], GROUPS / 4, GROUPS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_decoded),
		cmocka_unit_test(shards_are_parsed),
		cmocka_unit_test(groups_spread_and_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
