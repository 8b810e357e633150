/* SPDX-License-Identifier: Apache-2.0 */
#include "common/model/matcher.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

struct parse_case {
	const char *text;
	const char *printed; /* NULL: refused */
	const char *message;
	int column;
};

static void check(const struct parse_case *c, enum ops_matcher_syntax syntax, bool one)
{
	struct ops_matchers ms;
	struct ops_error err = {0};
	ops_matchers_init(&ms);
	const struct ops_matchers_source src = {c->text, strlen(c->text), syntax};
	int r = one ? ops_matcher_parse_as(&ms, &src, &err)
		    : ops_matchers_parse_as(&ms, &src, &err);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	if (r == 0)
		ops_matchers_print(&ms, &out);
	if (c->printed != NULL && (r != 0 || strcmp(out.data, c->printed) != 0))
		fail_msg("%s: %s %s", c->text, ops_strbuf_text(&out), err.message);
	if (c->printed == NULL) {
		if (r != -EINVAL || strcmp(err.message, c->message) != 0 || err.column != c->column)
			fail_msg("%s: %d %s at %d", c->text, r, err.message, err.column);
		assert_int_equal(ms.n, 0);
	}
	assert_int_equal(ms.regex_flags, 0);
	ops_strbuf_done(&out);
	ops_matchers_done(&ms);
}

static void test_classic(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{"", "{}", NULL, 0},
		{"{}", "{}", NULL, 0},
		{"{ }", "{}", NULL, 0},
		{"a=b", "{a=\"b\"}", NULL, 0},
		{" a = b ", "{a=\"b\"}", NULL, 0},
		{"{a=b,c!=d,e=~f.*,g!~\"h\",}", "{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h\"}", NULL, 0},
		{"a==~b", "{a=\"=~b\"}", NULL, 0},
		{"a=", "{a=\"\"}", NULL, 0},
		{"a=\"x,y\"", "{a=\"x,y\"}", NULL, 0},
		{"a=\"x\\\",y\"", "{a=\"x\\\",y\"}", NULL, 0},
		{"a=\\n\\x", "{a=\"\\n\\\\x\"}", NULL, 0},
		{"a:b=c", "{\"a:b\"=\"c\"}", NULL, 0},
		{",", NULL, "expected a label name", 1},
		{"a=b,,", NULL, "expected a label name", 5},
		{"a", NULL, "expected one of = != =~ !~", 2},
		{"a!b", NULL, "expected one of = != =~ !~", 2},
		{"0a=b", NULL, "expected a label name", 1},
		{"a-b=c", NULL, "expected one of = != =~ !~", 2},
		{"a=\"b", NULL, "value contains an unescaped double quote", 3},
		{"a=b\"", NULL, "value contains an unescaped double quote", 4},
		{"a=\"b\"c", NULL, "value contains an unescaped double quote", 5},
		{"a=b,c=~(", NULL, "regular expression for \"c\": missing closing )", 5},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++)
		check(&cases[i], OPS_MATCHER_CLASSIC, false);
}

static void test_utf8(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{"", "{}", NULL, 0},
		{" { } ", "{}", NULL, 0},
		{"{a=b,}", "{a=\"b\"}", NULL, 0},
		{"a=b,c!=d,e=~[f]+,g!~h", "{a=\"b\",c!=\"d\",e=~\"[f]+\",g!~\"h\"}", NULL, 0},
		{"\"a b\"=\"c\\t\\x41\\101\\u00e9\\U0001f642\"",
			"{\"a b\"=\"c\tAA\xc3\xa9\xf0\x9f\x99\x82\"}", NULL, 0},
		{"\xc3\xa9\xc2\xa0=x", "{\"\xc3\xa9\"=\"x\"}", NULL, 0},
		{"a-b=c:d", "{\"a-b\"=\"c:d\"}", NULL, 0},
		{"{,}", NULL, "expected a label name", 2},
		{",", NULL, "expected a label name", 1},
		{"{a=b", NULL, "expected a closing brace", 5},
		{"a=b}", NULL, "closing brace without an opening one", 4},
		{"{a=b}}", NULL, "expected the end", 6},
		{"{a=b} c", NULL, "expected the end", 7},
		{"a", NULL, "expected one of = != =~ !~", 2},
		{"a=", NULL, "expected a label value", 3},
		{"a!b", NULL, "expected = or ~ after !", 2},
		{"a=b c", NULL, "expected a comma or a closing brace", 5},
		{"a=\"b", NULL, "closing quote is missing", 3},
		{"a=\"b\\\"", NULL, "closing quote is missing", 3},
		{"a=\"b\\w\"", NULL, "invalid escape sequence", 5},
		{"a=\"\\xf0\"", NULL, "quoted text is not UTF-8", 3},
		{"a=\"\\ud800\"", NULL, "invalid escape sequence", 4},
		{"a=\"\\400\"", NULL, "invalid escape sequence", 4},
		{"a=\"\\x00\"", NULL, "a NUL byte is not allowed", 1},
		{"a=\"x\ny\"", NULL, "a quoted text must not span lines", 5},
		{"a=b'c", NULL, "unexpected character", 4},
		{"a=`b`", NULL, "unexpected character", 3},
		{"\"\"=a", NULL, "\"\" is not a valid label name", 1},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++)
		check(&cases[i], OPS_MATCHER_UTF8, false);
}

static void test_fallback(void **state)
{
	(void)state;
	static const struct parse_case lists[] = {
		{"{foo=\"\\xf0\"}", "{foo=\"\\\\xf0\"}", NULL,
			0}, /* both accept or only classic: classic's reading */
		{"{\"a b\"=c}", "{\"a b\"=\"c\"}", NULL, 0},
		{"{a=}", "{a=\"\"}", NULL, 0},
		{"{a!b}", NULL, "expected one of = != =~ !~", 3},
	};
	static const struct parse_case single[] = {
		{"a=b", "{a=\"b\"}", NULL, 0},
		{"a=b,c=d", "{a=\"b,c=d\"}", NULL, 0},
		{"\xc3\xa9=b", "{\"\xc3\xa9\"=\"b\"}", NULL, 0},
		{"{a=b}", NULL, "a single matcher has no braces", 1},
		{"a=b}", NULL, "a single matcher has no braces", 1},
		{"", NULL, "expected a label name", 1},
		{"\xc3\xa9=b,\xc3\xa9=c", NULL, "expected a label name", 1},
	};
	for (size_t i = 0; i < OPS_LENGTH(lists); i++)
		check(&lists[i], OPS_MATCHER_FALLBACK, false);
	for (size_t i = 0; i < OPS_LENGTH(single); i++)
		check(&single[i], OPS_MATCHER_FALLBACK, true);
}

static void test_bad_bytes_and_sizes(void **state)
{
	(void)state;
	struct ops_matchers ms;
	struct ops_error err;
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_parse(&ms, "a=b\xff", 4, &err), -EINVAL);
	assert_string_equal(err.message, "matchers are not valid UTF-8");
	assert_int_equal(ops_matchers_parse(&ms, "a=b\0", 4, &err), -EINVAL);
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (int i = 0; i < 1001; i++)
		ops_strbuf_adds(&text, "a=b,");
	assert_int_equal(ops_matchers_parse(&ms, text.data, text.len, &err), -EINVAL);
	assert_string_equal(err.message, "too many matchers");
	assert_int_equal(ms.n, 0);
	assert_int_equal(ops_matchers_parse(&ms, text.data, text.len - 4, &err), 0);
	assert_int_equal(ms.n, 1000);
	ops_matchers_done(&ms);
	for (int i = 0; i < 16000; i++)
		ops_strbuf_adds(&text, "a=b,");
	assert_int_equal(ops_matchers_parse(&ms, text.data, text.len, &err), -EINVAL);
	assert_string_equal(err.message, "matchers are longer than 65536 bytes");
	ops_strbuf_done(&text);
}

static void test_match(void **state)
{
	(void)state;
	static const struct {
		const char *matchers;
		bool matches;
	} cases[] = {
		{"{}", true},
		{"job=portal", true},
		{"job=other", false},
		{"job!=other", true},
		{"absent=", true},
		{"absent!=", false},
		{"absent=~.*", true},
		{"absent=~.+", false},
		{"absent!~.+", true},
		{"job=~port.*,path=/a", true},
		{"job=~port.*,path=/b", false},
		{"job=~port", false},
		{"text=~a.b", false}, /* a line feed between them */
		{"text=~(?s)a.b", true},
		{"job=portal,job!=portal", false},
	};
	struct ops_labels *ls = ops_labels_of("job", "portal", "path", "/a", "text", "a\nb", NULL);
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_matchers ms;
		struct ops_error err;
		ops_matchers_init(&ms);
		assert_int_equal(
			ops_matchers_parse(&ms, cases[i].matchers, strlen(cases[i].matchers), &err),
			0);
		if (ops_matchers_match(&ms, ls) != cases[i].matches)
			fail_msg("%s", cases[i].matchers);
		ops_matchers_done(&ms);
	}
	struct ops_matchers ms;
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_add(&ms, OPS_MATCH_RE, "text", "a.b", NULL), 0);
	assert_true(ops_matchers_match(&ms, ls));
	ops_matchers_done(&ms);
	ops_labels_unref(ls);
}

static void test_equal_and_truncate(void **state)
{
	(void)state;
	struct ops_matchers a, b;
	ops_matchers_init(&a);
	ops_matchers_init(&b);
	assert_int_equal(ops_matchers_parse(&a, "x=1,y=~2", 8, NULL), 0);
	assert_int_equal(ops_matchers_parse(&b, "x=1,y=~2", 8, NULL), 0);
	assert_true(ops_matchers_equal(&a, &b));
	ops_matchers_truncate(&b, 1);
	assert_int_equal(b.n, 1);
	assert_false(ops_matchers_equal(&a, &b));
	assert_int_equal(ops_matchers_parse(&b, "y=2", 3, NULL), 0);
	assert_false(ops_matchers_equal(&a, &b));
	assert_int_equal(ops_matchers_add(&a, OPS_MATCH_EQ, "", "x", NULL), -EINVAL);
	assert_int_equal(ops_matchers_add(&a, OPS_MATCH_RE, "x", "(", NULL), -EINVAL);
	assert_int_equal(a.n, 2);
	ops_matchers_done(&a);
	ops_matchers_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classic),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_bad_bytes_and_sizes),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_equal_and_truncate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
