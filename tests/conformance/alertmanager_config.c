/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of Alertmanager's configuration: whole files, whole texts, and single receiver entries in a
 * frame. */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/alertmanager/config.h"

/* What an entry may take from the global section, so that only the entry itself is judged. */
static const char frame[] =
	"global:\n  smtp_smarthost: 'localhost:25'\n  smtp_from: 'a@example.org'\n"
	"  slack_api_url: 'http://slack.example.org'\n  opsgenie_api_key: x\n  victorops_api_key: "
	"x\n"
	"  telegram_bot_token: x\n  wechat_api_secret: x\n  wechat_api_corp_id: x\n"
	"route:\n  receiver: r\nreceivers:\n- name: r\n";

void conformance_indent(struct ops_strbuf *out, const char *text, const char *by)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		if (len > 0 && strncmp(text, "---", 3) != 0) {
			ops_strbuf_adds(out, by);
			ops_strbuf_add(out, text, len);
			ops_strbuf_addc(out, '\n');
		}
		text += len + (text[len] == '\n');
	}
}

static bool text_of(struct conformance_run *run, const json_t *c, struct ops_strbuf *out)
{
	const char *file = json_string_value(json_object_get(c, "file"));
	const char *section = json_string_value(json_object_get(c, "section"));
	const char *yaml = json_string_value(json_object_get(c, "yaml"));

	if (file != NULL) {
		char *dir OPS_CLEANUP(ops_freep) = ops_path_dir(run->path);
		char *path OPS_CLEANUP(ops_freep) = ops_path_join(dir, file);
		return ops_file_read(path, 1 << 20, out) == 0;
	}
	if (section != NULL && yaml != NULL) {
		ops_strbuf_adds(out, frame);
		ops_strbuf_printf(out, "  %s:\n  -\n", section);
		conformance_indent(out, yaml, "    ");
		return true;
	}
	return conformance_text(c, "config_yaml", out);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct alm_config *cfg = NULL;
	struct ops_error err = {0};
	char why[1200];
	(void)file;

	if (!text_of(run, c, &text)) {
		conformance_fail(run, c, "unknown form", "");
		return;
	}
	int rc = alm_config_parse(
		"alertmanager.yml", ops_strbuf_text(&text), text.len, NULL, &cfg, &err);
	bool wanted = json_is_true(json_object_get(c, "ok"));
	if ((rc == 0) == wanted && (rc == 0 || err.line > 0))
		conformance_pass(run);
	else
		conformance_fail(run, c,
			rc == 0 ? "accepted" : ops_error_text(&err, why, sizeof why),
			wanted ? "accepted" : "refused, with its line");
	alm_config_unref(cfg);
}

const struct conformance_kind conformance_am_config = {.name = "am_config", .run_case = run_case};
