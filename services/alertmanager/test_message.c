/* SPDX-License-Identifier: Apache-2.0 */
/* What messages are made of: the default templates, e-mail headers and addresses, the journal
 * behind the state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "services/alertmanager/journal.h"
#include "services/alertmanager/mime.h"
#include "services/alertmanager/notification.h"
#include "services/alertmanager/template.h"

static const char config[] = "route: {receiver: team}\nreceivers: [{name: team, webhook_configs: "
			     "[{url: 'http://x'}]}]\n";

static struct alm_notification *sample(struct alm_config *cfg)
{
	struct alm_alert **alerts = ops_xcalloc(2, sizeof alerts[0]);
	for (size_t i = 0; i < 2; i++) {
		alerts[i] = alm_alert_new(
			ops_labels_of("alertname", "High", "instance", i == 0 ? "a" : "b", NULL),
			ops_labels_of("summary", "too many <errors>", NULL));
		alerts[i]->starts_at_ms = 1000;
	}
	alerts[1]->ends_at_ms = 2000;
	struct alm_notification *n = alm_notification_new(
		cfg, cfg->route->receiver, &cfg->route->receiver->items[0], alerts, 2);
	n->group_key = ops_xstrdup("{}:{alertname=\"High\"}");
	n->group_labels = ops_labels_of("alertname", "High", NULL);
	n->at_ms = 5000;
	n->external_url = "http://am";
	n->reason = "first";
	return n;
}

static const struct {
	const char *text, *want;
} texts[] = {
	{"{{ template \"slack.default.title\" . }}", "FIRING (1) High"},
	{"{{ template \"slack.default.text\" . }}", "too many <errors>"},
	{"{{ template \"slack.default.color\" . }}", "danger"},
	{"{{ .Receiver }} {{ .Status }} {{ len .Alerts }} {{ len .Alerts.Firing }} {{ len "
	 ".Alerts.Resolved }}",
		"team firing 2 1 1"},
	{"{{ .CommonLabels.SortedPairs.Names | join \",\" }} {{ .CommonAnnotations.summary }}",
		"alertname too many <errors>"},
	{"{{ range .Alerts }}{{ .Labels.instance }}:{{ .Status }}:{{ .EndsAt.Unix }} {{ end }}",
		"a:firing:-62135596800 b:resolved:2 "},
	{"{{ (index .Alerts 0).StartsAt.Format \"15:04:05\" }}", "00:00:01"},
	{"{{ .CommonLabels.nothing }}|{{ .ExternalURL }}", "|http://am"},
};

static void test_templates(void **state)
{
	struct alm_config *cfg = NULL;
	struct alm_expander x;
	struct ops_arena a;
	(void)state;

	assert_int_equal(alm_config_parse("t", config, strlen(config), NULL, &cfg, NULL), 0);
	struct alm_notification *n = sample(cfg);
	ops_arena_init(&a);
	alm_expander_init(&x, &a, cfg->tmpl, n);
	for (size_t i = 0; i < OPS_LENGTH(texts); i++)
		assert_string_equal(alm_expand(&x, texts[i].text), texts[i].want);
	assert_non_null(strstr(alm_expand_html(&x, "{{ template \"email.default.html\" . }}"),
		"too many &lt;errors&gt;"));
	assert_false(x.failed);
	assert_string_equal(alm_expand(&x, "{{ .Nothing }}"), "");
	assert_true(x.failed);
	ops_arena_done(&a);
	alm_notification_free(n);
	alm_config_unref(cfg);
}

static void test_headers_cannot_be_broken_out_of(void **state)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)state;
	alm_mime_header(&b, "Subject", "a\r\nBcc: x@y");
	assert_string_equal(ops_strbuf_text(&b), "Subject: a  Bcc: x@y\r\n");
	ops_strbuf_reset(&b);
	alm_mime_header(&b, "X-\nY: z", "v");
	assert_null(strchr(ops_strbuf_text(&b), '\n') + 1 < b.data + b.len ? "second line" : NULL);
	ops_strbuf_reset(&b);
	alm_mime_header(&b, "Subject", "\xc3\xa4");
	assert_string_equal(ops_strbuf_text(&b), "Subject: =?UTF-8?B?w6Q=?=\r\n");
}

static void test_addresses(void **state)
{
	char *to[4] = {0};
	(void)state;
	assert_int_equal(alm_mime_addresses("Ann <a@x>, \"B, C\" <b@y> , bad, c@z", to, 4), 3);
	assert_string_equal(to[0], "a@x");
	assert_string_equal(to[1], "b@y");
	assert_string_equal(to[2], "c@z");
	for (size_t i = 0; i < 3; i++)
		free(to[i]);
	assert_int_equal(alm_mime_addresses("<a@x>\r\nRCPT TO:<b@y>", to, 4), 1);
	free(to[0]);
	assert_int_equal(alm_mime_addresses("a b@x", to, 4), 0);
}

/* ---- journal ---- */

struct memory {
	int64_t values[8];
	size_t applied;
};

static void apply(void *arg, const json_t *record)
{
	struct memory *m = arg;
	m->values[json_integer_value(json_object_get(record, "k"))] =
		json_integer_value(json_object_get(record, "v"));
	m->applied++;
}

static void dump(void *arg, void (*emit)(void *to, json_t *record), void *to)
{
	struct memory *m = arg;
	for (int i = 0; i < 8; i++)
		emit(to, json_pack("{s:i,s:I}", "k", i, "v", (json_int_t)m->values[i]));
}

static void test_journal_compacts_and_comes_back(void **state)
{
	char *dir = tempdir_make();
	struct memory m = {0};
	struct alm_journal *j = NULL;
	(void)state;

	struct alm_journal_config cfg = {
		.dir = dir, .apply = apply, .dump = dump, .arg = &m, .compact_after = 10};
	assert_int_equal(alm_journal_open(&cfg, &j, NULL), 0);
	for (int i = 0; i < 25; i++) {
		m.values[i % 8] = i;
		assert_int_equal(
			alm_journal_append(j, json_pack("{s:i,s:i}", "k", i % 8, "v", i)), 0);
		assert_int_equal(alm_journal_sync(j), 0);
	}
	alm_journal_close(j);
	struct memory again = {0};
	cfg.arg = &again;
	assert_int_equal(alm_journal_open(&cfg, &j, NULL), 0);
	assert_memory_equal(m.values, again.values, sizeof m.values);
	assert_int_equal(again.applied, 8 + 5); /* snapshot at 20, five records since */
	alm_journal_close(j);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_headers_cannot_be_broken_out_of),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_journal_compacts_and_comes_back),
	};
	return cmocka_run_group_tests_name("alertmanager_message", tests, NULL, NULL);
}
