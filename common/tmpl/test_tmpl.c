/* SPDX-License-Identifier: Apache-2.0 */
/* The language as Go's documentation defines it: a table of templates over one small set of data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/tmpl/tmpl.h"

static const struct {
	const char *text, *want; /* want NULL: must fail */
} cases[] = {
	{"plain", "plain"},
	{"a {{- 1 -}} b", "a1b"},
	{"a {{/* note */}}b", "a b"},
	{"a {{- /* note */ -}} b", "ab"},
	{"{{ \"x\\ty\\u00e9\" }}", "x\ty\xc3\xa9"},
	{"{{ `raw\\n` }}", "raw\\n"},
	{"{{ 'a' }}", "97"},
	{"{{ 0x10 }} {{ 1_000 }} {{ -3 }} {{ 1.5e3 }}", "16 1000 -3 1500"},
	{"{{ .name }} {{ .missing }} {{ .labels.job }}[{{ .labels.nope }}]",
		"Ann <no value> api[]"},
	{"{{ $x := 1 }}{{ $x = 2 }}{{ $x }}{{ $.name }}", "2Ann"},
	{"{{ $severity }}", "page"},
	{"{{ if .name }}y{{ else }}n{{ end }}", "y"},
	{"{{ if .missing }}a{{ else if eq 1 1 }}b{{ else }}c{{ end }}", "b"},
	{"{{ with .labels }}{{ .job }}{{ end }}{{ with .missing }}x{{ else }}z{{ end }}", "apiz"},
	{"{{ range .list }}<{{ . }}>{{ end }}", "<1><2><3>"},
	{"{{ range $i, $v := .list }}{{ $i }}={{ $v }} {{ end }}", "0=1 1=2 2=3 "},
	{"{{ range $k, $v := .labels }}{{ $k }}={{ $v }},{{ end }}", "env=prod,job=api,"},
	{"{{ range .empty }}x{{ else }}none{{ end }}", "none"},
	{"{{ range .list }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "13"},
	{"{{ range .list }}{{ if eq . 2 }}{{ break }}{{ end }}{{ . }}{{ end }}", "1"},
	{"{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" .name }}", "[Ann]"},
	{"{{ block \"b\" 7 }}<{{ . }}>{{ end }}", "<7>"},
	{"{{ .list }} {{ .labels }}", "[1 2 3] map[env:prod job:api]"},
	{"{{ len .list }} {{ index .list 1 }} {{ index .labels \"job\" }} {{ slice \"abcd\" 1 3 }}",
		"3 2 api bc"},
	{"{{ and 1 0 }} {{ or 0 \"x\" }} {{ not true }}", "0 x false"},
	{"{{ and false (index .list 99) }}", "false"},
	{"{{ eq 1 2 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ ge \"b\" \"a\" }}", "true true true true"},
	{"{{ printf \"%d|%5.2f|%-4s|%q|%v|%%|%05d|%x\" 7 1.5 \"a\" \"b\" true 42 255 }}",
		"7| 1.50|a   |\"b\"|true|%|00042|ff"},
	{"{{ printf \"%d\" \"x\" }} {{ printf \"%s\" }}", "%!d(string=x) %!s(MISSING)"},
	{"{{ 1000000.0 }} {{ 123456.5 }} {{ 0.00001 }}", "1e+06 123456.5 1e-05"},
	{"{{ \"abc\" | toUpper | printf \"%s-%s\" \"x\" }}", "x-ABC"},
	{"{{ (index .list 0) }} {{ (.labels).job }}", "1 api"},
	{"{{ reReplaceAll \"(a)(b)?\" \"<$1>\" \"xabay\" }}", "x<a><a>y"},
	{"{{ match \"^b\" \"abc\" }} {{ match \"b\" \"abc\" }}", "false true"},
	{"{{ title \"aa bB\" }} {{ trimSpace \" x \" }} {{ join \"-\" (stringSlice \"a\" \"b\") }}",
		"Aa Bb x a-b"},
	{"{{ toJson (dict \"b\" 1 \"a\" (list true nil \"<\")) }}",
		"{\"a\":[true,null,\"<\"],\"b\":1}"},
	{"{{ .when.Format \"2006-01-02 15:04:05 Mon Jan _2\" }}", "2020-02-29 12:30:05 Sat Feb 29"},
	{"{{ .when.Unix }} {{ .when }}", "1582979405 2020-02-29 12:30:05 +0000 UTC"},
	{"{{ html \"<a b='c'>\" }} {{ urlquery \"a b&c\" }}", "&lt;a b=&#39;c&#39;&gt; a+b%26c"},
	/* errors */
	{"{{", NULL},
	{"{{ .name", NULL},
	{"{{ if 1 }}x", NULL},
	{"{{ end }}", NULL},
	{"{{ else }}", NULL},
	{"{{ nofunc 1 }}", NULL},
	{"{{ $nope }}", NULL},
	{"{{ if true }}{{ $y := 1 }}{{ end }}{{ $y }}", NULL},
	{"{{ \"open }}", NULL},
	{"{{ template \"none\" }}", NULL},
	{"{{ index .list 9 }}", NULL},
	{"{{ lt 1 \"a\" }}", NULL},
	{"{{ .name.first }}", NULL},
	{"{{ 1 2 }}", NULL},
	{"{{ break }}", NULL},
	{"{{ reReplaceAll \"(\" \"\" \"x\" }}", NULL},
	{"{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}", NULL},
};

static struct ops_tmpl_value sample(struct ops_arena *a)
{
	struct ops_tmpl_value dot = ops_tmpl_map(a), labels = ops_tmpl_map(a),
			      list = ops_tmpl_list(a);

	ops_tmpl_map_set(a, labels.u.map, "job", ops_tmpl_string("api"));
	ops_tmpl_map_set(a, labels.u.map, "env", ops_tmpl_string("prod"));
	labels.u.map->strings = true;
	for (int i = 1; i <= 3; i++)
		ops_tmpl_list_add(a, list.u.list, ops_tmpl_int(i));
	ops_tmpl_map_set(a, dot.u.map, "name", ops_tmpl_string("Ann"));
	ops_tmpl_map_set(a, dot.u.map, "labels", labels);
	ops_tmpl_map_set(a, dot.u.map, "list", list);
	ops_tmpl_map_set(a, dot.u.map, "empty", ops_tmpl_list(a));
	ops_tmpl_map_set(a, dot.u.map, "when", ops_tmpl_time(1582979405000));
	return dot;
}

static int expand(const char *text, struct ops_strbuf *out, struct ops_error *err)
{
	static const char *const vars[] = {"severity", NULL};
	const struct ops_tmpl_config cfg = {.vars = vars};
	struct ops_tmpl_set *set = ops_tmpl_set_new(&cfg);
	const struct ops_tmpl_value values[] = {ops_tmpl_string("page")};
	struct ops_arena a;

	ops_arena_init(&a);
	const struct ops_tmpl_env env = {.arena = &a, .dot = sample(&a), .vars = values};
	int rc = ops_tmpl_expand(set, "test", text, &env, out, err);
	ops_arena_done(&a);
	ops_tmpl_set_free(set);
	return rc;
}

static void test_language(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
		struct ops_error err = {0};
		int rc = expand(cases[i].text, &out, &err);
		if ((rc == 0) != (cases[i].want != NULL))
			fail_msg("%s: %s", cases[i].text,
				rc == 0 ? ops_strbuf_text(&out) : err.message);
		if (rc == 0)
			assert_string_equal(ops_strbuf_text(&out), cases[i].want);
		else
			assert_true(err.line > 0 && err.message[0] != '\0');
	}
}

static void test_error_position(void **state)
{
	struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	(void)state;
	assert_int_not_equal(expand("one\ntwo {{ nofunc }}", &out, &err), 0);
	assert_string_equal(err.file, "test");
	assert_int_equal(err.line, 2);
	assert_int_equal(err.column, 8);
	assert_int_not_equal(expand("{{ 1 }}\n\n  {{ index .list 7 }}", &out, &err), 0);
	assert_int_equal(err.line, 3);
	assert_int_equal(err.column, 6);
}

static void test_html(void **state)
{
	struct ops_tmpl_set *set = ops_tmpl_set_new(NULL);
	struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_arena a;
	(void)state;
	ops_arena_init(&a);
	const struct ops_tmpl_env env = {.arena = &a, .html = true};
	assert_int_equal(ops_tmpl_expand(set, "t", "<b>{{ \"<i>\" }}{{ safeHtml \"<u>\" }}{{ .x }}",
				 &env, &out, NULL),
		0);
	assert_string_equal(ops_strbuf_text(&out), "<b>&lt;i&gt;<u>");
	ops_arena_done(&a);
	ops_tmpl_set_free(set);
}

static void test_limits(void **state)
{
	struct ops_tmpl_set *set = ops_tmpl_set_new(NULL);
	struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	struct ops_arena a;
	(void)state;
	ops_arena_init(&a);
	struct ops_tmpl_env env = {.arena = &a, .max_output_bytes = 10};
	assert_int_not_equal(
		ops_tmpl_expand(set, "t", "{{ range 99 }}abc{{ end }}", &env, &out, &err), 0);
	assert_non_null(strstr(err.message, "longer than 10 bytes"));
	env = (struct ops_tmpl_env){.arena = &a, .max_steps = 100};
	assert_int_not_equal(
		ops_tmpl_expand(set, "t", "{{ range 99999 }}{{ 1 }}{{ end }}", &env, &out, &err),
		0);
	struct ops_strbuf deep OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	for (int i = 0; i < 5000; i++)
		ops_strbuf_adds(&deep, "{{ if 1 }}");
	assert_int_not_equal(
		ops_tmpl_expand(set, "t", ops_strbuf_text(&deep), &env, &out, &err), 0);
	ops_arena_done(&a);
	ops_tmpl_set_free(set);
}

static void test_time_parse(void **state)
{
	struct ops_tmpl_time t;
	(void)state;
	assert_int_equal(
		ops_tmpl_time_parse("2006-01-02T15:04:05Z07:00", "2020-02-29T13:30:05+01:00", &t),
		0);
	assert_true(t.ms == 1582979405000);
	assert_int_equal(ops_tmpl_time_parse("Jan _2 2006 3:04PM", "Feb 29 2020 1:05PM", &t), 0);
	assert_true(t.ms == 1582981500000);
	assert_int_not_equal(ops_tmpl_time_parse("2006-01-02", "2021-02-29", &t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_language),
		cmocka_unit_test(test_error_position),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_time_parse),
	};
	return cmocka_run_group_tests_name("tmpl", tests, NULL, NULL);
}
