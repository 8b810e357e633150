/* SPDX-License-Identifier: Apache-2.0 */
/* The global section. The old spellings (bearer_token beside authorization) end in the same fields.
 */
#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

struct raw_global {
	struct alm_global g;
	struct ops_tls_options smtp_tls;
	const struct ops_conf_node *http_config, *ignored;
};

#define G(key, kind_, member, default_)                                                            \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_global, member),         \
		.fallback = default_                                                               \
	}
#define IGNORED(key)                                                                               \
	{                                                                                          \
		.name = key, .kind = OPS_CONF_K_NODE,                                              \
		.offset = offsetof(struct raw_global, ignored)                                     \
	}
static const struct ops_conf_key global_keys[] = {
	G("resolve_timeout", OPS_CONF_K_DURATION, g.resolve_timeout_ms, "5m"),
	G("http_config", OPS_CONF_K_NODE, http_config, NULL),
	G("smtp_from", OPS_CONF_K_STRING, g.smtp_from, NULL),
	G("smtp_hello", OPS_CONF_K_STRING, g.smtp_hello, "localhost"),
	G("smtp_smarthost", OPS_CONF_K_STRING, g.smtp_smarthost, NULL),
	G("smtp_auth_username", OPS_CONF_K_STRING, g.smtp_auth_username, NULL),
	G("smtp_auth_password", OPS_CONF_K_SECRET, g.smtp_auth_password, NULL),
	G("smtp_auth_password_file", OPS_CONF_K_PATH, g.smtp_auth_password_file, NULL),
	G("smtp_auth_secret", OPS_CONF_K_SECRET, g.smtp_auth_secret, NULL),
	G("smtp_auth_secret_file", OPS_CONF_K_PATH, g.smtp_auth_secret_file, NULL),
	G("smtp_auth_identity", OPS_CONF_K_STRING, g.smtp_auth_identity, NULL),
	G("smtp_require_tls", OPS_CONF_K_BOOL, g.smtp_require_tls, "true"),
	G("smtp_force_implicit_tls", OPS_CONF_K_BOOL, g.smtp_force_implicit_tls, NULL),
	{.name = "smtp_tls_config",
		.kind = OPS_CONF_K_MAPPING,
		.offset = offsetof(struct raw_global, smtp_tls),
		.sub = ops_tls_keys},
	G("slack_api_url", OPS_CONF_K_SECRET, g.slack_api_url, NULL),
	G("slack_api_url_file", OPS_CONF_K_PATH, g.slack_api_url_file, NULL),
	G("slack_app_token", OPS_CONF_K_SECRET, g.slack_app_token, NULL),
	G("slack_app_token_file", OPS_CONF_K_PATH, g.slack_app_token_file, NULL),
	G("slack_app_url", OPS_CONF_K_STRING, g.slack_app_url,
		"https://slack.com/api/chat.postMessage"),
	G("pagerduty_url", OPS_CONF_K_STRING, g.pagerduty_url,
		"https://events.pagerduty.com/v2/enqueue"),
	IGNORED("opsgenie_api_url"),
	IGNORED("opsgenie_api_key"),
	IGNORED("opsgenie_api_key_file"),
	IGNORED("telegram_api_url"),
	IGNORED("telegram_bot_token"),
	IGNORED("telegram_bot_token_file"),
	IGNORED("victorops_api_url"),
	IGNORED("victorops_api_key"),
	IGNORED("victorops_api_key_file"),
	IGNORED("wechat_api_url"),
	IGNORED("wechat_api_secret"),
	IGNORED("wechat_api_secret_file"),
	IGNORED("wechat_api_corp_id"),
	IGNORED("webex_api_url"),
	IGNORED("jira_api_url"),
	IGNORED("rocketchat_api_url"),
	IGNORED("rocketchat_token"),
	IGNORED("rocketchat_token_file"),
	IGNORED("rocketchat_token_id"),
	IGNORED("rocketchat_token_id_file"),
	IGNORED("mattermost_webhook_url"),
	IGNORED("mattermost_webhook_url_file"),
	OPS_CONF_END,
};

static int check_global(
	struct alm_parse *p, const struct ops_conf_node *n, const struct alm_global *g)
{
	int rc = alm_refuse_both(p, n, "smtp_auth_password", g->smtp_auth_password,
		"smtp_auth_password_file", g->smtp_auth_password_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "smtp_auth_secret", g->smtp_auth_secret,
			"smtp_auth_secret_file", g->smtp_auth_secret_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "slack_api_url", g->slack_api_url, "slack_api_url_file",
			g->slack_api_url_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "slack_app_token", g->slack_app_token,
			"slack_app_token_file", g->slack_app_token_file);
	bool token = alm_given(g->slack_app_token) || alm_given(g->slack_app_token_file);
	bool url = alm_given(g->slack_api_url) || alm_given(g->slack_api_url_file);
	/* Both may stand in one file only when the URL is the one that takes tokens. */
	if (rc == 0 && token && url && !ops_str_eq(g->slack_api_url, g->slack_app_url))
		rc = ops_conf_error(n, p->err,
			"at most one of slack_app_token(_file) and slack_api_url(_file)");
	return rc;
}

int alm_parse_global(struct alm_parse *p, const struct ops_conf_node *node)
{
	struct raw_global raw = {0};
	int rc = ops_conf_decode(p->a, node, global_keys, &raw, p->warnings, p->err);

	if (rc == 0)
		rc = alm_parse_http(p, raw.http_config, &raw.g.http);
	if (rc == 0)
		rc = ops_tls_options_finish(ops_conf_get(node, "smtp_tls_config"), &raw.smtp_tls,
			&raw.g.smtp_tls, p->err);
	if (rc == 0)
		rc = check_global(p, node, &raw.g);
	if (rc == 0)
		rc = alm_check_unsent_global(p, node);
	if (rc != 0)
		return rc;
	p->cfg->global = raw.g;
	p->cfg->global.node = node;
	return 0;
}
