/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: what is accepted, what is refused and where, and the shape of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/promql/parse.h"

static const struct ops_promql_options all = {.features = OPS_PROMQL_ALL_FEATURES};
static const struct ops_promql_options none = {.features = 0};

static int parse_with(struct ops_arena *a, const char *text, const struct ops_promql_options *o,
	struct ops_promql_expr **ret, struct ops_error *err)
{
	struct ops_promql_source src = {.text = text, .len = strlen(text), .options = o};
	return ops_promql_parse(a, &src, ret, err);
}

static struct ops_promql_expr *parse(struct ops_arena *a, const char *text)
{
	struct ops_promql_expr *e = NULL;
	struct ops_error err = {0};
	if (parse_with(a, text, &all, &e, &err) != 0) {
		fail_msg("%s: %s", text, err.message);
	}
	return e;
}

/* Fully parenthesised, so that precedence shows. */
static void shape(const struct ops_promql_expr *e, struct ops_strbuf *out)
{
	if (e->kind == OPS_PROMQL_BINARY) {
		ops_strbuf_addc(out, '(');
		shape(e->binary.lhs, out);
		ops_strbuf_adds(out, ops_promql_op_text(e->binary.op));
		shape(e->binary.rhs, out);
		ops_strbuf_addc(out, ')');
	} else if (e->kind == OPS_PROMQL_UNARY) {
		ops_strbuf_addc(out, '(');
		ops_strbuf_adds(out, ops_promql_op_text(e->unary.op));
		shape(e->unary.expr, out);
		ops_strbuf_addc(out, ')');
	} else if (e->kind == OPS_PROMQL_PAREN) {
		shape(e->paren, out);
	} else {
		ops_promql_print(e, out);
	}
}

static void test_precedence(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"a+b*c", "(a+(b*c))"},
		{"a*b+c", "((a*b)+c)"},
		{"a-b-c", "((a-b)-c)"},
		{"a^b^c", "(a^(b^c))"},
		{"-a^b", "(-(a^b))"},
		{"-a*b", "((-a)*b)"},
		{"a*-b*c", "((a*(-b))*c)"},
		{"a^-b*c", "((a^(-b))*c)"},
		{"--a", "(-(-a))"},
		{"- -1", "1"},
		{"a or b and c", "(aor(bandc))"},
		{"a and b unless c or d", "(((aandb)unlessc)ord)"},
		{"a == b + c", "(a==(b+c))"},
		{"a < b == c", "((a<b)==c)"},
		{"a atan2 b * c", "((aatan2b)*c)"},
		{"-a offset 5m", "(-a offset 5m)"},
		{"a + b offset 5m", "(a+b offset 5m)"},
		{"foo offset 5m - 2", "(foo offset 5m-2)"},
		{"foo offset -2^2", "(foo offset -2s^2)"},
		{"foo offset (5m) - 2", "foo offset (5m) - 2"},
		{"foo offset step() * 2", "(foo offset step()*2)"},
		{"(a + b) * c", "((a+b)*c)"},
		{"a </ b", "(a</b)"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_strbuf got = OPS_STRBUF_INIT;
		ops_arena_init(&a);
		shape(parse(&a, rows[i].text), &got);
		assert_string_equal(ops_strbuf_text(&got), rows[i].want);
		ops_strbuf_done(&got);
		ops_arena_done(&a);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		double want;
	} rows[] = {
		{"0755", 493},
		{"0855", 855},
		{"0x1F", 31},
		{"0X_ff", 255},
		{"1_000", 1000},
		{"1_000.5_5", 1000.55},
		{"5m", 300},
		{"1h30m", 5400},
		{"150ms", 0.15},
		{".5", 0.5},
		{"5.", 5},
		{"1e3", 1000},
		{"1E-3", 0.001},
		{"-1e400 * 0 + 1", 0},
		{"iNf", INFINITY},
		{"-Inf", -INFINITY},
		{"9223372036854775808", 9223372036854775808.0},
		{"1e-400", 0},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_expr *e = NULL;
		struct ops_error err = {0};
		ops_arena_init(&a);
		if (strstr(rows[i].text, "400 ") != NULL) {
			assert_int_not_equal(parse_with(&a, rows[i].text, &all, &e, &err), 0);
		} else {
			e = parse(&a, rows[i].text);
			assert_int_equal(e->kind, OPS_PROMQL_NUMBER);
			assert_true(e->number.value == rows[i].want);
		}
		ops_arena_done(&a);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int line, column;
		const char *message;
	} rows[] = {
		{"", 1, 1, "no expression found in input"},
		{"  # only a comment", 1, 1, "no expression found in input"},
		{"foo bar", 1, 5, "unexpected identifier \"bar\""},
		{"1 +\n  *", 2, 3, "unexpected <op:*>"},
		{"sum(foo", 1, 8, "unclosed left parenthesis"},
		{"sum(foo,", 1, 9, "unclosed left parenthesis"},
		{"foo[5m", 1, 7, "unclosed left bracket"},
		{"foo[5m:1m:2m]", 1, 10, "unexpected colon ':'"},
		{"foo[:5m]", 1, 6, "unexpected colon before duration in duration expression"},
		{"foo)", 1, 5, "unexpected right parenthesis ')'"},
		{"rate(foo[5m],)", 1, 13, "trailing commas not allowed in function call args"},
		{"nosuch(foo)", 1, 1, "unknown function with name \"nosuch\""},
		{"RATE(foo[5m])", 1, 1, "unknown function with name \"RATE\""},
		{"rate(foo)", 1, 6,
			"expected type range vector in call to function \"rate\", got instant "
			"vector"},
		{"label_join(foo, \"a\")", 1, 1,
			"expected at least 3 argument(s) in call to \"label_join\", got 2"},
		{"foo{bar=~\"(\"}", 1, 5, NULL},
		{"foo{bar=\"\\xZZ\"}", 1, 9, "illegal character U+005A 'Z' in escape sequence"},
		{"\"\\ud800\"", 1, 1, "escape sequence is an invalid Unicode code point"},
		{"`abc", 1, 1, "unterminated raw string"},
		{"1__0", 1, 1, "bad number or duration syntax: \"1__\""},
		{"1_ + 1", 1, 1,
			"error parsing number: strconv.ParseFloat: parsing \"1_\": invalid "
			"syntax"},
		{"5m1h", 1, 1, "not a valid duration string: \"5m1h\""},
		{"sum by (without) (x)", 1, 9,
			"unexpected <without> in grouping opts, expected label"},
		{"a + on(x) group_left(x) b", 1, 3,
			"label \"x\" must not occur in ON and GROUP clause at once"},
		{"foo and 1", 1, 1, "set operator \"and\" not allowed in binary scalar expression"},
		{"foo offset 5m offset 5m", 1, 1, "offset may not be set multiple times"},
		{"foo @ 5 @ 6", 1, 1, "@ <timestamp> may not be set multiple times"},
		{"foo @ start()[5m]", 1, 14, "no @ modifiers allowed before range"},
		{"foo @ 1e20", 1, 1,
			"timestamp out of bounds for @ modifier: 100000000000000000000.000000"},
		{"sum(foo) offset 5m", 1, 1,
			"offset modifier must be preceded by an instant vector selector or range "
			"vector selector or a subquery"},
		{"topk(foo)", 1, 1,
			"wrong number of arguments for aggregate expression provided, expected 2, "
			"got 1"},
		{"foo anchored smoothed", 1, 1,
			"anchored and smoothed modifiers cannot be used together"},
		{"bool", 1, 1, "unexpected <bool>"},
		{"foo[5m] + 1", 1, 1,
			"binary expression must contain only scalar and instant vector types"},
		{"\xff", 1, 1, NULL},
		{"1 !", 1, 3, "unexpected character after '!': '\xef\xbf\xbd'"},
		{"foo :", 1, 5, "unexpected metric identifier \":\""},
		{":f(x)", 1, 3, "unexpected \"(\""},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_expr *e = NULL;
		struct ops_error err = {0};
		ops_arena_init(&a);
		if (parse_with(&a, rows[i].text, &all, &e, &err) == 0) {
			fail_msg("accepted: %s", rows[i].text);
		}
		assert_null(e);
		assert_memory_equal(err.message, "parse error: ", 13);
		if (rows[i].message != NULL) {
			assert_string_equal(err.message + 13, rows[i].message);
		}
		assert_int_equal(err.line, rows[i].line);
		assert_int_equal(err.column, rows[i].column);
		ops_arena_done(&a);
	}
}

/* Each needs its feature; all are refused without. */
static void test_features(void **state)
{
	static const struct {
		const char *text;
		unsigned feature;
	} rows[] = {
		{"foo anchored", OPS_PROMQL_EXTENDED_RANGE},
		{"rate(foo[5m] smoothed)", OPS_PROMQL_EXTENDED_RANGE},
		{"a + fill(0) b", OPS_PROMQL_FILL},
		{"a + on(x) fill_left(-1) fill_right(2) b", OPS_PROMQL_FILL},
		{"foo[5m*2]", OPS_PROMQL_DURATION_EXPR},
		{"foo offset step()", OPS_PROMQL_DURATION_EXPR},
		{"limitk(5, foo)", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
		{"info(foo)", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
		{"min_of(1, 2)", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
		{"start()", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_options only = {.features = rows[i].feature};
		struct ops_promql_expr *e = NULL;
		struct ops_error err = {0};
		ops_arena_init(&a);
		assert_int_not_equal(parse_with(&a, rows[i].text, &none, &e, &err), 0);
		assert_int_equal(parse_with(&a, rows[i].text, &only, &e, &err), 0);
		ops_arena_done(&a);
	}
}

/* Words that are only special where they can be. */
static void test_words_as_names(void **state)
{
	static const char *const rows[] = {
		"sum",
		"sum + min",
		"offset{by=\"a\", on=\"b\"}",
		"by",
		"fill + fill",
		"fill_left{a=\"b\"}",
		"start + end",
		"step{range=\"1\"}",
		"and",
		"foo * on(bool, and, by, offset, sum, start, atan2) bar",
		"{\"with space\", \"label name\"=\"x\"}",
		"a:b:c",
		":a",
		"x{__name__!=\"\"} ",
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows) - 1; i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		assert_non_null(parse(&a, rows[i]));
		ops_arena_done(&a);
	}
}

static void test_selector_tree(void **state)
{
	struct ops_arena a;
	(void)state;
	ops_arena_init(&a);
	struct ops_promql_expr *e = parse(&a, " foo{a=\"b\",c!~\"d|\"}[5m] @ -1.5 offset -1h ");
	assert_int_equal(e->kind, OPS_PROMQL_MATRIX_SELECTOR);
	assert_int_equal(e->type, OPS_PROMQL_RANGE);
	assert_int_equal(e->start, 1);
	assert_int_equal(e->end, 41);
	assert_int_equal(e->matrix.range_ms, 300000);
	const struct ops_promql_vector_selector *v = &e->matrix.vector->vector;
	assert_int_equal(v->nmatchers, 3);
	assert_false(v->matchers[0].matches_empty);
	assert_false(v->matchers[1].matches_empty);
	assert_string_equal(v->matchers[2].name.text, "__name__");
	assert_string_equal(v->matchers[2].value.text, "foo");
	assert_int_equal(v->shift.at, OPS_PROMQL_AT_TIMESTAMP);
	assert_int_equal(v->shift.at_ms, -1500);
	assert_int_equal(v->shift.offset_ms, -3600000);
	assert_int_equal(e->matrix.vector->id, 0);
	assert_int_equal(e->id, 1);
	ops_arena_done(&a);
}

static void test_binary_tree(void **state)
{
	struct ops_arena a;
	(void)state;
	ops_arena_init(&a);
	struct ops_promql_expr *e =
		parse(&a, "a == bool on(\"x y\") group_right(b,) fill_right(2) fill_left(-Inf) c");
	const struct ops_promql_matching *m = e->binary.matching;
	assert_true(e->binary.return_bool);
	assert_true(m->on);
	assert_int_equal(m->card, OPS_PROMQL_ONE_TO_MANY);
	assert_int_equal(m->labels.n, 1);
	assert_string_equal(m->labels.items[0].text, "x y");
	assert_int_equal(m->include.n, 1);
	assert_true(m->has_fill_left && isinf(m->fill_left));
	assert_true(m->fill_right == 2);
	e = parse(&a, "a and b");
	assert_int_equal(e->binary.matching->card, OPS_PROMQL_MANY_TO_MANY);
	e = parse(&a, "a + on() 1");
	assert_null(e->binary.matching);
	assert_int_equal(e->type, OPS_PROMQL_INSTANT);
	e = parse(&a, "1 + 2");
	assert_int_equal(e->type, OPS_PROMQL_SCALAR);
	ops_arena_done(&a);
}

/* Nesting and chains end in an error, in every construct that recurses. */
static void test_depth(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
		size_t times;
	} rows[] = {
		{"", "(", "1", 100000},
		{"", "-", "x", 100000},
		{"", "abs(", "x", 100000},
		{"", "sum by (a) (", "x", 100000},
		{"1", "+1", "", 100000},
		{"2", "^2", "", 100000},
		{"x", "[5m:]", "", 100000},
		{"x[", "(", "5m", 100000},
		{"x[5m", "+1m", "]", 100000},
		{"x[", "-", "5m]", 100000},
		{"x offset ", "min_of(1,", "5m", 50000},
		{"x", " or x", "", 100000},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_strbuf text = OPS_STRBUF_INIT;
		struct ops_promql_expr *e = NULL;
		struct ops_error err = {0};
		ops_strbuf_adds(&text, rows[i].head);
		for (size_t n = 0; n < rows[i].times; n++) {
			ops_strbuf_adds(&text, rows[i].unit);
		}
		ops_strbuf_adds(&text, rows[i].tail);
		ops_arena_init(&a);
		assert_int_not_equal(parse_with(&a, text.data, &all, &e, &err), 0);
		ops_arena_done(&a);
		ops_strbuf_done(&text);
	}
}

static void test_size_limit(void **state)
{
	struct ops_arena a;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_promql_expr *e = NULL;
	struct ops_error err = {0};
	(void)state;
	ops_arena_init(&a);
	for (size_t i = 0; i <= OPS_PROMQL_MAX_BYTES; i++) {
		ops_strbuf_addc(&text, ' ');
	}
	assert_int_equal(parse_with(&a, text.data, &all, &e, &err), -EFBIG);
	assert_true(strlen(err.message) > 0);
	ops_strbuf_done(&text);
	ops_arena_done(&a);
}

static void test_selector_alone(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"up", true},
		{"{job=~\"a.*\"}", true},
		{"up{job=\"a\"}", true},
		{"{\"a.b\"}", true},
		{"sum", true},
		{"{}", false},
		{"", false},
		{"up[5m]", false},
		{"up offset 5m", false},
		{"1", false},
		{"sum(up)", false},
		{"up{", false},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_expr *e = NULL;
		struct ops_error err = {0};
		struct ops_promql_source src = {.text = rows[i].text, .len = strlen(rows[i].text)};
		ops_arena_init(&a);
		int r = ops_promql_parse_selector(&a, &src, &e, &err);
		assert_int_equal(r, rows[i].ok ? 0 : -EINVAL);
		assert_true((e != NULL) == rows[i].ok);
		assert_true((strlen(err.message) == 0) == rows[i].ok);
		ops_arena_done(&a);
	}
}

static void test_functions_sorted_and_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_PROMQL_FN_COUNT; i++) {
		const struct ops_promql_function *f =
			ops_promql_function_at((enum ops_promql_function_id)i);
		assert_int_equal(f->id, i);
		assert_ptr_equal(ops_promql_function_find(f->name, strlen(f->name)), f);
		for (size_t n = 0; n < f->nargs; n++) {
			assert_int_not_equal(f->args[n], OPS_PROMQL_NONE);
		}
		if (i > 0) {
			assert_true(
				strcmp(ops_promql_function_at((enum ops_promql_function_id)(i - 1))
						->name,
					f->name) < 0);
		}
	}
	assert_null(ops_promql_function_find("rat", 3));
	assert_null(ops_promql_function_find("ratee", 5));
	assert_null(ops_promql_function_find("", 0));
}

static void test_several_findings(void **state)
{
	struct ops_arena a;
	struct ops_promql_problems p;
	struct ops_promql_expr *e = NULL;
	const char *text = "foo[5m1m]";
	struct ops_promql_source src = {.text = text, .len = strlen(text)};
	(void)state;
	ops_arena_init(&a);
	assert_int_equal(ops_promql_parse_all(&a, &src, &e, &p), -EINVAL);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.items[1].message, "duration must be greater than 0");
	assert_int_equal(p.items[1].start, 4);
	assert_int_equal(p.items[1].end, 8);
	ops_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_words_as_names),
		cmocka_unit_test(test_selector_tree),
		cmocka_unit_test(test_binary_tree),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_selector_alone),
		cmocka_unit_test(test_functions_sorted_and_found),
		cmocka_unit_test(test_several_findings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
