/* SPDX-License-Identifier: Apache-2.0 */
#include "common/conf/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

struct inner {
	const char *cert;
	int64_t tries;
};

struct sample {
	const char *listen, *dir, *password;
	bool on;
	int64_t port, timeout_ms;
	double ratio;
	uint64_t limit_bytes;
	struct ops_conf_strings names, globs;
	struct inner tls;
	const struct ops_conf_node *labels;
	int64_t old;
};

#define AT(field) offsetof(struct sample, field)

static const struct ops_conf_key inner_keys[] = {
	{.name = "cert_file",
		.kind = OPS_CONF_K_PATH,
		.offset = offsetof(struct inner, cert),
		.flags = OPS_CONF_REQUIRED,
		.doc = "certificate"},
	{.name = "tries",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct inner, tries),
		.fallback = "3",
		.flags = OPS_CONF_RESTART},
	OPS_CONF_END,
};

static const struct ops_conf_key keys[] = {
	{.name = "listen",
		.kind = OPS_CONF_K_STRING,
		.offset = AT(listen),
		.flags = OPS_CONF_REQUIRED | OPS_CONF_RESTART,
		.doc = "address | port"},
	{.name = "state_dir", .kind = OPS_CONF_K_PATH, .offset = AT(dir), .fallback = "state"},
	{.name = "password", .kind = OPS_CONF_K_SECRET, .offset = AT(password)},
	{.name = "on", .kind = OPS_CONF_K_BOOL, .offset = AT(on), .fallback = "true"},
	{.name = "port",
		.kind = OPS_CONF_K_INT,
		.offset = AT(port),
		.fallback = "80",
		.min = 1,
		.max = 65535},
	{.name = "timeout",
		.kind = OPS_CONF_K_DURATION,
		.offset = AT(timeout_ms),
		.fallback = "10s",
		.min = 100,
		.max = 3600000},
	{.name = "ratio", .kind = OPS_CONF_K_DOUBLE, .offset = AT(ratio), .fallback = "0.5"},
	{.name = "limit",
		.kind = OPS_CONF_K_SIZE,
		.offset = AT(limit_bytes),
		.fallback = "1MB",
		.min = 1,
		.max = 1 << 30},
	{.name = "names", .kind = OPS_CONF_K_STRINGS, .offset = AT(names)},
	{.name = "rule_files",
		.kind = OPS_CONF_K_PATHS,
		.offset = AT(globs),
		.flags = OPS_CONF_RESTART},
	{.name = "tls", .kind = OPS_CONF_K_MAPPING, .offset = AT(tls), .sub = inner_keys},
	{.name = "labels", .kind = OPS_CONF_K_NODE, .offset = AT(labels)},
	{.name = "old",
		.kind = OPS_CONF_K_INT,
		.offset = AT(old),
		.flags = OPS_CONF_DEPRECATED,
		.doc = "use new"},
	OPS_CONF_END,
};

static int decode_as(struct ops_arena *a, const char *file, const char *text, struct sample *ret,
	struct ops_conf_warnings *w, struct ops_error *err)
{
	struct ops_conf_node *root;
	int r = ops_conf_load_text(a, file, text, strlen(text), NULL, &root, err);
	if (r != 0)
		return r;
	*ret = (struct sample){0};
	return ops_conf_decode(a, root, keys, ret, w, err);
}

static int decode(struct ops_arena *a, const char *text, struct sample *ret, struct ops_error *err)
{
	return decode_as(a, "/etc/ops/t.yml", text, ret, NULL, err);
}

static void test_defaults(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	struct sample s;
	struct ops_error err;
	assert_int_equal(decode(&a, "listen: 127.0.0.1:1\nport:\n", &s, &err), 0);
	assert_string_equal(s.listen, "127.0.0.1:1");
	assert_string_equal(s.dir, "/etc/ops/state");
	assert_null(s.password);
	assert_true(s.on);
	assert_int_equal(s.port, 80);
	assert_int_equal(s.timeout_ms, 10000);
	assert_true(s.ratio > 0.49 && s.ratio < 0.51);
	assert_int_equal(s.limit_bytes, 1 << 20);
	assert_int_equal(s.names.n, 0);
	assert_null(s.tls.cert);
	assert_int_equal(s.tls.tries, 3);
	assert_null(s.labels);

	s = (struct sample){0};
	assert_int_equal(ops_conf_decode(&a, NULL, keys, &s, NULL, &err), 0);
	assert_string_equal(s.dir, "state");
	ops_arena_done(&a);
}

static void test_values(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	struct sample s;
	struct ops_error err;
	assert_int_equal(decode(&a,
				 "listen: 'yes'\n"
				 "state_dir: /var/lib\n"
				 "password: pw\n"
				 "on: no\n"
				 "port: 65535\n"
				 "timeout: \"1m30s\"\n"
				 "ratio: -.inf\n"
				 "limit: 64KB\n"
				 "names: [a, '2', 3]\n"
				 "rule_files: [a/*.yml, /b.yml]\n"
				 "tls: {cert_file: c.pem, tries: 0}\n"
				 "labels: {x: y}\n",
				 &s, &err),
		0);
	assert_string_equal(s.listen, "yes");
	assert_string_equal(s.dir, "/var/lib");
	assert_false(s.on);
	assert_int_equal(s.timeout_ms, 90000);
	assert_true(s.ratio < -1e308);
	assert_int_equal(s.limit_bytes, 65536);
	assert_int_equal(s.names.n, 3);
	assert_string_equal(s.names.items[2], "3");
	assert_string_equal(s.globs.items[0], "/etc/ops/a/*.yml");
	assert_string_equal(s.globs.items[1], "/b.yml");
	assert_string_equal(s.tls.cert, "/etc/ops/c.pem");
	assert_int_equal(s.tls.tries, 0);
	assert_string_equal(ops_conf_get(s.labels, "x")->text, "y");
	ops_arena_done(&a);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"{}", "t.yml:1:1: key \"listen\" is missing"},
		{"~", "t.yml:1:1: key \"listen\" is missing"},
		{"listen: ~", "t.yml:1:1: key \"listen\" is missing"},
		{"[a]", "t.yml:1:1: expected a mapping of keys to values"},
		{"listen: [a]", "t.yml:1:9: listen: expected text, found a list"},
		{"listen: a\nlisten_: b",
			"t.yml:2:1: unknown key \"listen_\" (did you mean \"listen\"?)"},
		{"listen: a\nrulefiles: b",
			"t.yml:2:1: unknown key \"rulefiles\" (did you mean \"rule_files\"?)"},
		{"listen: a\ntimoeut: b",
			"t.yml:2:1: unknown key \"timoeut\" (did you mean \"timeout\"?)"},
		{"listen: a\ntls: {wrong: b}",
			"t.yml:2:7: unknown key \"wrong\" (known here: cert_file, tries)"},
		{"listen: a\ntls: {tries: 1}", "t.yml:2:6: key \"cert_file\" is missing"},
		{"listen: a\ntls: 5", "t.yml:2:6: tls: expected a mapping"},
		{"listen: a\non: maybe", "t.yml:2:5: on: expected true or false, found \"maybe\""},
		{"listen: a\non: 'true'", "t.yml:2:5: on: expected true or false, found \"true\" "
					  "(a value in quotes is text: leave them out)"},
		{"listen: a\nport: 1e3", "t.yml:2:7: port: expected a whole number, found \"1e3\""},
		{"listen: a\nport: 0", "t.yml:2:7: port: \"0\" is out of range (from 1 to 65535)"},
		{"listen: a\ntimeout: 2h",
			"t.yml:2:10: timeout: \"2h\" is out of range (from 100ms to 1h)"},
		{"listen: a\ntimeout: 30", "t.yml:2:10: timeout: expected a duration, found \"30\" "
					   "(a unit is missing: 30s, 30m, 30ms)"},
		{"listen: a\ntimeout: 5 min",
			"t.yml:2:10: timeout: expected a duration, found \"5 min\" "
			"(write it as 30s, 5m, 1h30m)"},
		{"listen: a\nlimit: lots", "t.yml:2:8: limit: expected a size, found \"lots\" "
					   "(write it as 512KB, 10MB, 2GB)"},
		{"listen: a\nlimit: 2GB",
			"t.yml:2:8: limit: \"2GB\" is out of range (from 1B to 1073741824B)"},
		{"listen: a\nratio: half", "t.yml:2:8: ratio: expected a number, found \"half\""},
		{"listen: a\nnames: x", "t.yml:2:8: names: expected a list (one entry per line, "
					"each after \"- \")"},
		{"listen: a\nnames: [x, {a: b}]",
			"t.yml:2:12: names: expected text, found a mapping"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		struct sample s;
		struct ops_error err = {0};
		char shown[1100];
		assert_int_equal(decode_as(&a, "t.yml", cases[i].text, &s, NULL, &err), -EINVAL);
		assert_string_equal(ops_error_text(&err, shown, sizeof(shown)), cases[i].shown);
		ops_arena_done(&a);
	}
}

static void test_warnings(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	struct sample s;
	struct ops_error err;
	struct ops_conf_warnings w = {.arena = &a};
	assert_int_equal(decode_as(&a, "t.yml", "listen: a\nold: 1\n", &s, &w, &err), 0);
	assert_int_equal(s.old, 1);
	assert_int_equal(w.n, 1);
	assert_string_equal(w.items[0], "t.yml:2:1: key \"old\" is deprecated: use new");
	for (int i = 0; i < 20; i++)
		ops_conf_warn(&w, NULL, "number %d", i);
	assert_int_equal(w.n, 21);
	assert_string_equal(w.items[0], "t.yml:2:1: key \"old\" is deprecated: use new");
	assert_string_equal(w.items[20], "number 19");
	ops_arena_done(&a);
}

static void test_dump_loads_again(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	struct sample s, again;
	struct ops_error err;
	assert_int_equal(decode_as(&a, "t.yml",
				 "listen: \"a\\n\\\"b\"\npassword: hush\nnames: [x, 'y z']\n"
				 "labels: {x: 'y', api_key: hush, sub: [1, {}], password_file: p}\n"
				 "tls: {cert_file: c}\n",
				 &s, NULL, &err),
		0);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_conf_dump(keys, &s, 0, &out);
	assert_string_equal(ops_strbuf_text(&out), "listen: \"a\\n\\\"b\"\n"
						   "state_dir: \"state\"\n"
						   "password: <secret>\n"
						   "on: true\n"
						   "port: 80\n"
						   "timeout: 10s\n"
						   "ratio: 0.5\n"
						   "limit: 1048576B\n"
						   "names: [\"x\", \"y z\"]\n"
						   "rule_files: []\n"
						   "tls:\n"
						   "  cert_file: \"c\"\n"
						   "  tries: 3\n"
						   "labels:\n"
						   "  x: \"y\"\n"
						   "  api_key: <secret>\n"
						   "  sub:\n"
						   "    - 1\n"
						   "    - {}\n"
						   "  password_file: p\n"
						   "old: 0\n");
	assert_int_equal(decode_as(&a, "t.yml", ops_strbuf_text(&out), &again, NULL, &err), 0);
	assert_string_equal(again.listen, s.listen);
	assert_null(ops_conf_restart_needed(keys, &s, &again));
	ops_strbuf_done(&out);
	ops_arena_done(&a);
}

static void test_dump_node(void **state)
{
	(void)state;
	static const char text[] =
		"url: http://u@h:1/hush?x\nlist: [{a: 1, 'on': [b, {}]}, [x], {1x: {secrets: "
		"[hush]}}]\n"
		"proxy_url: http://u:hush@p:1/\ntoken_url: hush\nlink: http://u:hush@h/?a@b\n"
		"key: hush\ndb: host=h password='hu\\'sh' user=u\n"
		"dsn: postgres://u:hush@h/db?password=hush&x=y\n'n password=1': 2\n'n "
		"password=2': 2\n";
	static const struct {
		bool origins;
		const char *url, *proxy, *token;
	} cases[] = {
		{true, "\"http://h:1/<secret>\"", "\"http://p:1/\"", "<secret>"},
		{false, "\"http://u@h:1/hush?x\"", "\"http://u:<secret>@p:1/\"", "hush"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		struct ops_conf_node *root = NULL, *again = NULL;
		struct ops_error err;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		ops_arena_init(&a);
		assert_int_equal(
			ops_conf_load_text(&a, "t.yml", text, strlen(text), NULL, &root, &err), 0);
		ops_conf_dump_node(root, cases[i].origins, &out);
		OPS_CLEANUP(ops_freep)
		char *wanted = ops_xasprintf("url: %s\n"
					     "list:\n"
					     "  - a: 1\n"
					     "    \"on\":\n"
					     "      - b\n"
					     "      - {}\n"
					     "  -\n"
					     "    - x\n"
					     "  - \"1x\":\n"
					     "      secrets:\n"
					     "        - <secret>\n"
					     "proxy_url: %s\n"
					     "token_url: %s\n"
					     "link: \"http://u:<secret>@h/?a@b\"\n"
					     "key: <secret>\n"
					     "db: \"host=h password=<secret> user=u\"\n"
					     "dsn: \"postgres://u:<secret>@h/"
					     "db?password=<secret>&x=y\"\n"
					     "\"n password=1\": <secret>\n"
					     "\"n password=2\": <secret>\n",
			cases[i].url, cases[i].proxy, cases[i].token);
		assert_string_equal(ops_strbuf_text(&out), wanted);
		assert_int_equal(
			ops_conf_load_text(&a, "t.yml", out.data, out.len, NULL, &again, &err), 0);
		ops_strbuf_done(&out);
		ops_arena_done(&a);
	}
}

static void test_restart_needed(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *key;
	} cases[] = {
		{"listen: a", "listen: a\nport: 5", NULL},
		{"listen: a", "listen: b", "listen"},
		{"listen: a\nrule_files: [x]", "listen: a\nrule_files: [x, y]", "rule_files"},
		{"listen: a\nrule_files: [x]", "listen: a\nrule_files: [x]", NULL},
		{"listen: a", "listen: a\ntls: {cert_file: x}", NULL},
		{"listen: a", "listen: a\ntls: {cert_file: x, tries: 4}", "tries"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		struct sample before, after;
		struct ops_error err;
		assert_int_equal(decode(&a, cases[i].before, &before, &err), 0);
		assert_int_equal(decode(&a, cases[i].after, &after, &err), 0);
		const char *key = ops_conf_restart_needed(keys, &before, &after);
		if (cases[i].key == NULL)
			assert_null(key);
		else
			assert_string_equal(key, cases[i].key);
		ops_arena_done(&a);
	}
}

static void test_reference(void **state)
{
	(void)state;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_conf_reference(keys, "", &out);
	const char *text = ops_strbuf_text(&out);
	assert_non_null(strstr(text,
		"| `listen` | text | required | address \\| port (a change needs a restart) |\n"));
	assert_non_null(strstr(text, "| `timeout` | duration | `10s` |  |\n"));
	assert_non_null(strstr(text, "| `tls.cert_file` | path | required | certificate |\n"));
	assert_non_null(strstr(text, "| `old` | whole number |  | use new (deprecated) |\n"));
	ops_strbuf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_dump_loads_again),
		cmocka_unit_test(test_dump_node),
		cmocka_unit_test(test_restart_needed),
		cmocka_unit_test(test_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
