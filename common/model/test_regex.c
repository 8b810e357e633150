/* SPDX-License-Identifier: Apache-2.0 */
#include "common/model/regex.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static struct ops_regex *compile(const char *pattern)
{
	struct ops_regex *re = NULL;
	struct ops_error err = {0};
	if (ops_regex_new(pattern, strlen(pattern), &re, &err) != 0)
		fail_msg("%s: %s", pattern, err.message);
	return re;
}

/* The same expression in a form that is never matched without the engine. */
static struct ops_regex *compile_slow(const char *pattern)
{
	char *slow = ops_xasprintf("(?:\\b|)(?:%s)", pattern);
	struct ops_regex *re = compile(slow);
	free(slow);
	return re;
}

static void test_match(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *yes[4], *no[4];
	} cases[] = {
		{"", {""}, {"a"}},
		{"foo", {"foo"}, {"fo", "fooo", "xfoo", "Foo"}},
		{"foo|bar|", {"foo", "bar", ""}, {"foobar", "f"}},
		{"foo.*", {"foo", "foox", "foo\nx"}, {"fo", "xfoo"}},
		{"foo.+", {"foox", "foo\n"}, {"foo", "xfoo"}},
		{".*foo", {"foo", "xfoo", "\nfoo"}, {"foox"}},
		{".+foo", {"xfoo", "foofoo"}, {"foo", "foox"}},
		{".*foo.*", {"foo", "xfoox"}, {"fo", ""}},
		{".+foo.+", {"xfoox", "foofoofoo"}, {"foo", "xfoo", "foox"}},
		{".*", {"", "x", "\n"}, {NULL}},
		{".+", {"x", "\xc3\xa9"}, {""}},
		{".+.+", {"xy", "\xc3\xa9x"}, {"x", "\xc3\xa9", ""}},
		{".*.+", {"x"}, {""}},
		{"foo.*|.*bar|baz", {"foox", "xbar", "baz"}, {"xfoo", "barx", "bazz"}},
		{"a(b|c)?d", {"abd", "acd", "ad"}, {"abcd", "a"}},
		{"(a|b)(c|d)(e|f)", {"ace", "bdf"}, {"abc", "acef"}},
		{"http_requests(_histogram)?", {"http_requests", "http_requests_histogram"},
			{"http_requests_"}},
		{"[ab][.]x", {"a.x", "b.x"}, {"c.x", "axx"}},
		{"foo[.]bar", {"foo.bar"}, {"fooxbar"}},
		{"^foo$", {"foo"}, {"foo\n", "xfoo"}},
		{"^foo.*$", {"foo", "foox"}, {"xfoo"}},
		{"(^foo$)", {"foo"}, {"foo\n"}},
		{"a$b", {NULL}, {"ab", "a"}},
		{"(?i)foo", {"foo", "FOO", "fOo"}, {"fo"}},
		{"(?i:f)oo", {"foo", "Foo"}, {"FOO"}},
		{"((?i)f)oo", {"Foo"}, {"FOO"}},
		{"a(?i)b|c", {"aB", "C"}, {"AB"}},
		{"(?i)\xc3\xa9", {"\xc3\xa9", "\xc3\x89"}, {"e"}},
		{"(?-s).*", {"foo"}, {"foo\n"}},
		{"(?-s:.)(?s:.)", {"x\n"}, {"\nx"}},
		{"(?m)a$\n^b", {"a\nb"}, {"ab"}},
		{"(?U)a+(b+)?", {"aab"}, {"b"}},
		{"\\d+\\D\\w\\W\\s\\S", {"12x_-\tq"}, {"12x_-\vq"}},
		{"[\\s]", {" ", "\f"}, {"\v", "x"}},
		{"[^\\s]", {"\v", "x", "\xc3\xa9"}, {" ", ""}},
		{"[\\S]", {"\v", "x", "\xc3\xa9"}, {" ", "\n"}},
		{"\\w", {"a", "_"}, {"\xc3\xa9"}},
		{"[[:alpha:]]+[[:^digit:][:punct:]]", {"ab!", "abc"}, {"ab1"}},
		{"[a-c\\-x\\]]+", {"a-x]c"}, {"d", "y"}},
		{"[]a]+", {"]a"}, {"b"}},
		{"[^]a]", {"b", "\n"}, {"]", "a"}},
		{"[\\d-z]+", {"1-z"}, {"a"}},
		{"[a\\x{e9}-\\x{eb}]", {"\xc3\xaa"}, {"\xc3\xac"}},
		{"\\pL\\p{Lu}\\P{Greek}\\p{^Lu}\\p{Greek}",
			{"\xc3\xb9"
			 "Aaa\xce\xb1"},
			{NULL}},
		{"\\p{Greek}", {"\xce\xb1"}, {"a"}},
		{"[\\p{Greek}x]", {"\xce\xb1", "x"}, {"a"}},
		{"\\Qa.b*\\E+", {"a.b*", "a.b**"}, {"axb", "a.b"}},
		{"\\Qa|b\\E", {"a|b"}, {"a"}},
		{"\\Aa\\z", {"a"}, {"a\n"}},
		{"\\ba\\b.*\\Bc", {"a bc"}, {"a c"}},
		{"(?:^)*a\\b+", {"a"}, {"aa"}},
		{"^*a", {"a"}, {"b"}},
		{"a{2}b{1,}c{0,1}", {"aab", "aabbc"}, {"ab", "aabcc"}},
		{"a{,2}", {"a{,2}"}, {"aa"}},
		{"a{x}{", {"a{x}{"}, {"a"}},
		{"a{01}", {"a{01}"}, {"a"}},
		{"a}]", {"a}]"}, {"a"}},
		{"\\x41\\x{42}\\103\\n\\t\\.\\_\\-", {"ABC\n\t._-"}, {"ABC"}},
		{"\\07", {"\a"}, {"7"}},
		{".", {"x", "\n", "\xf0\x9f\x99\x82"}, {"", "xx"}},
		{"(?P<name>a)(?<other>b)", {"ab"}, {"a"}},
		{"(?:)", {""}, {"a"}},
		{"()", {""}, {"a"}},
		{"a|b|c|d|e|f|g|h|i|j|aa", {"a", "j", "aa", "e"}, {"k", "", "ab", "aaa"}},
		{"\xf0\x9f\x99\x82?", {"", "\xf0\x9f\x99\x82"}, {"\xf0\x9f"}},
		{"(api|web)-.+", {"api-1", "web-x"}, {"api-", "db-1"}},
		{".*?(?i:PRO).*", {"production", "PROD"}, {"dev"}},
		{"5..", {"500", "5\nx"}, {"50"}},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_regex *re = compile(cases[i].pattern),
				 *slow = compile_slow(cases[i].pattern);
		assert_string_equal(ops_regex_pattern(re), cases[i].pattern);
		for (size_t j = 0; j < 4 && cases[i].yes[j] != NULL; j++) {
			const char *s = cases[i].yes[j];
			if (!ops_regex_match(re, s, strlen(s)) ||
				!ops_regex_match(slow, s, strlen(s)))
				fail_msg("%s should match \"%s\"", cases[i].pattern, s);
		}
		for (size_t j = 0; j < 4 && cases[i].no[j] != NULL; j++) {
			const char *s = cases[i].no[j];
			if (ops_regex_match(re, s, strlen(s)) ||
				ops_regex_match(slow, s, strlen(s)))
				fail_msg("%s should not match \"%s\"", cases[i].pattern, s);
		}
		ops_regex_free(re);
		ops_regex_free(slow);
	}
	assert_int_equal(ops_regex_limit_total(), 0);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *message;
		int column;
	} cases[] = {
		{"a(b", "missing closing )", 2},
		{"a)b", "unexpected )", 2},
		{"x[a", "missing closing ]", 2},
		{"[]", "missing closing ]", 1},
		{"[b-a]", "invalid character class range", 1},
		{"[[:foo:]]", "invalid character class range", 1},
		{"[a-\\d]", "invalid escape sequence", 1},
		{"[\\b]", "invalid escape sequence", 1},
		{"*", "missing argument to repetition operator", 1},
		{"a|+", "missing argument to repetition operator", 3},
		{"(?i)*", "missing argument to repetition operator", 5},
		{"(*UTF)a", "missing argument to repetition operator", 2},
		{"a**", "invalid nested repetition operator", 3},
		{"a++", "invalid nested repetition operator", 3},
		{"a+?+", "invalid nested repetition operator", 4},
		{"a{2}{3}", "invalid nested repetition operator", 5},
		{"a{1001}", "invalid repeat count", 2},
		{"a{3,2}", "invalid repeat count", 2},
		{"a{99999999999999999999}", "invalid repeat count", 2},
		{"((a{10}){10}b{3}){11}", "invalid repeat count", 18},
		{"(?=a)", "invalid or unsupported Perl syntax", 1},
		{"(?!a)", "invalid or unsupported Perl syntax", 1},
		{"(?<=a)", "invalid or unsupported Perl syntax", 1},
		{"(?<!a)", "invalid or unsupported Perl syntax", 1},
		{"(?>a)", "invalid or unsupported Perl syntax", 1},
		{"(?|a)", "invalid or unsupported Perl syntax", 1},
		{"(?R)", "invalid or unsupported Perl syntax", 1},
		{"(?1)", "invalid or unsupported Perl syntax", 1},
		{"(?(1)a)", "invalid or unsupported Perl syntax", 1},
		{"(?#a)", "invalid or unsupported Perl syntax", 1},
		{"(?x)a", "invalid or unsupported Perl syntax", 1},
		{"(?i-)a", "invalid or unsupported Perl syntax", 1},
		{"(?i", "missing closing )", 1},
		{"(?P<a b>c)", "invalid name of a group", 1},
		{"(?P<>c)", "invalid name of a group", 1},
		{"(?P<a>b)(?P<a>c)", "duplicate name of a group", 9},
		{"(?P=a)", "invalid or unsupported Perl syntax", 1},
		{"(a)\\1", "back-references are not part of the language", 4},
		{"\\8", "back-references are not part of the language", 1},
		{"\\C", "\\C is not part of the language", 1},
		{"a\\Z", "invalid escape sequence \\Z, use \\z", 2},
		{"\\K", "invalid escape sequence", 1},
		{"\\R", "invalid escape sequence", 1},
		{"\\E", "invalid escape sequence", 1},
		{"\\k<a>", "invalid escape sequence", 1},
		{"\\x{110000}", "invalid escape sequence", 1},
		{"\\x{d800}", "invalid escape sequence", 1},
		{"\\xg0", "invalid escape sequence", 1},
		{"\\p{Xan}x", NULL, 1},
		{"\\p{L", "invalid character class range", 1},
		{"\\p{greek}", "invalid character class range", 1},
		{"\\p{L&}", "invalid character class range", 1},
		{"a\\", "trailing backslash at end of expression", 2},
		{"a\xff", "invalid UTF-8", 2},
		{"[\xff]", "invalid UTF-8", 1},
		{"some-label=~)(", "unexpected )", 13},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_error err = {0};
		struct ops_regex *re = NULL;
		size_t len = strlen(cases[i].pattern);
		int r = ops_regex_new(cases[i].pattern, len, &re, &err);
		if (r != -EINVAL ||
			(cases[i].message != NULL && strcmp(err.message, cases[i].message) != 0))
			fail_msg("%s: %d %s", cases[i].pattern, r, err.message);
		assert_null(re);
		assert_int_equal(err.column, cases[i].column);
		assert_int_equal(ops_regex_check(cases[i].pattern, len, &err), -EINVAL);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	struct ops_error err;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (int i = 0; i < 8000; i++)
		ops_strbuf_printf(&text, "%shost-%d", i > 0 ? "|" : "", i);
	ops_strbuf_adds(&text, "|");
	assert_true(text.len > 65536);
	assert_int_equal(ops_regex_check(text.data, text.len, &err), -EINVAL);
	assert_string_equal(err.message, "expression is longer than 65536 bytes");

	text.len = 65536;
	text.data[65536] = '\0';
	struct ops_regex *re = NULL;
	assert_int_equal(ops_regex_new(text.data, text.len, &re, &err), 0);
	assert_true(ops_regex_match(re, "host-4711", 9));
	assert_false(ops_regex_match(re, "host-", 5));
	const char *const *items;
	size_t n;
	assert_true(ops_regex_literals(re, &items, &n));
	assert_true(n > 6000);
	ops_regex_free(re);

	ops_strbuf_reset(&text);
	for (int i = 0; i < 300; i++)
		ops_strbuf_adds(&text, "(");
	assert_int_equal(ops_regex_check(text.data, text.len, &err), -EINVAL);
	assert_string_equal(err.message, "groups are nested too deep");
	ops_strbuf_reset(&text);
	for (int i = 0; i < 20000; i++)
		ops_strbuf_adds(&text, "a?");
	assert_int_equal(ops_regex_check(text.data, text.len, &err), 0);
	ops_strbuf_done(&text);
}

static void test_limit_is_counted(void **state)
{
	(void)state;
	struct ops_regex *re = compile("(x+x+)+[yz]");
	char subject[41];
	memset(subject, 'x', 40);
	subject[40] = '\0';
	uint64_t before = ops_regex_limit_total();
	assert_false(ops_regex_match(re, subject, 40));
	assert_int_equal(ops_regex_limit_total(), before + 1);
	ops_regex_free(re);
}

static void test_dot_and_newline(void **state)
{
	(void)state;
	struct ops_error err;
	struct ops_regex *re = NULL;
	assert_int_equal(ops_regex_compile("foo.*", 5, OPS_REGEX_NO_DOT_NEWLINE, &re, &err), 0);
	assert_true(ops_regex_match(re, "foox", 4));
	assert_false(ops_regex_match(re, "foo\n", 4));
	ops_regex_free(re);
	assert_int_equal(ops_regex_compile("(?s)foo.*", 9, OPS_REGEX_NO_DOT_NEWLINE, &re, &err), 0);
	assert_true(ops_regex_match(re, "foo\n", 4));
	ops_regex_free(re);
}

static void test_expand(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *s, *replacement, *out; /* NULL: no match */
	} cases[] = {
		{"(.*)", "a", "$1", "a"},
		{"(.*)", "", "x${1}y", "xy"},
		{"(.*):(\\d+)", "host:80", "${2}-$1", "80-host"},
		{"(.*):(\\d+)", "host:80", "$1x", ""},
		{"(.*):(\\d+)", "host:80", "$0 $$1 $ ${1", "host:80 $1 $ ${1"},
		{"(?P<h>.*):(?P<p>\\d+)", "host:80", "$p/${h}/$q/$3/$01", "80/host///"},
		{"(?P<9a>x)", "x", "${9a}", "x"},
		{"foo", "foo", "<$0>$1", "<foo>"},
		{"foo|bar", "baz", "$0", NULL},
		{"(a)|(b)", "b", "[$1$2]", "[b]"},
		{"(a)|(b)", "a", "[$1$2]", "[a]"},
		{"(foo|foob).*", "foobar", "$1", "foo"},
		{"(a+?)(a*)", "aaa", "$1,$2", "a,aa"},
		{"(?U)(a+)(a*)", "aaa", "$1,$2", "a,aa"},
		{"x(\xc3\xa9)", "x\xc3\xa9", "$1", "\xc3\xa9"},
		{"(a)", "a", "$\xc3\xa9x.", "."},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_regex *re = compile(cases[i].pattern);
		struct ops_strbuf out = OPS_STRBUF_INIT;
		int r = ops_regex_expand(
			re, cases[i].s, strlen(cases[i].s), cases[i].replacement, &out);
		assert_int_equal(r, cases[i].out == NULL);
		assert_string_equal(
			ops_strbuf_text(&out), cases[i].out != NULL ? cases[i].out : "");
		ops_strbuf_done(&out);
		ops_regex_free(re);
	}
}

static void test_literals(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *joined; /* sorted; NULL: not a choice of literals */
	} cases[] = {
		{"foo", "foo"},
		{"", ""},
		{"b|a|b", "a,b"},
		{"x(a|b)y?", "xa,xay,xb,xby"},
		{"(?:(?:a))", "a"},
		{"a\\.b", "a.b"},
		{"[ab]c", "ac,bc"},
		{"^(a|b)$", "a,b"},
		{"foo.*", NULL},
		{"(?i)a", NULL},
		{"(?i)1", "1"},
		{"a+", NULL},
		{"a.b", NULL},
		{"[^a]", NULL},
		{"[a-c]", NULL},
		{"a|b.*", NULL},
		{"\\d", NULL},
		{"\\Qa.b\\E", "a.b"},
		{"\\Qa|b", "a|b"},
		{"[ab][ab][ab][ab][ab][ab][ab][ab][ab][ab][ab]", NULL},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_regex *re = compile(cases[i].pattern);
		const char *const *items;
		size_t n;
		bool known = ops_regex_literals(re, &items, &n);
		assert_int_equal(known, cases[i].joined != NULL);
		struct ops_strbuf joined = OPS_STRBUF_INIT;
		for (size_t j = 0; known && j < n; j++) {
			ops_strbuf_adds(&joined, j > 0 ? "," : "");
			ops_strbuf_adds(&joined, items[j]);
		}
		if (known)
			assert_string_equal(ops_strbuf_text(&joined), cases[i].joined);
		ops_strbuf_done(&joined);
		ops_regex_free(re);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_limit_is_counted),
		cmocka_unit_test(test_dot_and_newline),
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_literals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
