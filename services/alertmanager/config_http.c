/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_config and tls_config, which every receiver and the global section share, and the global
 * section itself. The old spellings (bearer_token beside authorization) end in the same fields.
 */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

#define TLS(key, kind_, member)                                                                    \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct alm_tls_config, member)      \
	}
const struct ops_conf_key alm_tls_keys[] = {
	TLS("ca_file", OPS_CONF_K_PATH, ca_file),
	TLS("cert_file", OPS_CONF_K_PATH, cert_file),
	TLS("key_file", OPS_CONF_K_PATH, key_file),
	TLS("server_name", OPS_CONF_K_STRING, server_name),
	TLS("insecure_skip_verify", OPS_CONF_K_BOOL, insecure_skip_verify),
	{.name = "min_version", .kind = OPS_CONF_K_STRING, .offset = sizeof(struct alm_tls_config)},
	{.name = "max_version", .kind = OPS_CONF_K_STRING, .offset = sizeof(struct alm_tls_config)},
	OPS_CONF_END,
};

struct raw_tls { /* the versions are read and not kept: the library's floor (TLS 1.2) applies */
	struct alm_tls_config tls;
	const char *version;
};

struct raw_http {
	const char *user, *user_file, *password, *password_file;
	const char *auth_type, *credentials, *credentials_file;
	const char *bearer_token, *bearer_token_file;
	const char *proxy_url, *no_proxy;
	bool follow_redirects, enable_http2, proxy_env;
	const struct ops_conf_node *oauth2, *http_headers, *proxy_headers, *basic, *authorization;
	struct raw_tls tls;
};

#define HTTP(key, kind_, member)                                                                   \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_http, member)            \
	}
static const struct ops_conf_key basic_keys[] = {
	HTTP("username", OPS_CONF_K_STRING, user),
	HTTP("username_file", OPS_CONF_K_PATH, user_file),
	HTTP("password", OPS_CONF_K_SECRET, password),
	HTTP("password_file", OPS_CONF_K_PATH, password_file),
	OPS_CONF_END,
};
static const struct ops_conf_key authorization_keys[] = {
	HTTP("type", OPS_CONF_K_STRING, auth_type),
	HTTP("credentials", OPS_CONF_K_SECRET, credentials),
	HTTP("credentials_file", OPS_CONF_K_PATH, credentials_file),
	OPS_CONF_END,
};
static const struct ops_conf_key http_keys[] = {
	HTTP("basic_auth", OPS_CONF_K_NODE, basic),
	HTTP("authorization", OPS_CONF_K_NODE, authorization),
	HTTP("oauth2", OPS_CONF_K_NODE, oauth2),
	HTTP("bearer_token", OPS_CONF_K_SECRET, bearer_token),
	HTTP("bearer_token_file", OPS_CONF_K_PATH, bearer_token_file),
	HTTP("proxy_url", OPS_CONF_K_STRING, proxy_url),
	HTTP("no_proxy", OPS_CONF_K_STRING, no_proxy),
	HTTP("proxy_from_environment", OPS_CONF_K_BOOL, proxy_env),
	HTTP("proxy_connect_header", OPS_CONF_K_NODE, proxy_headers),
	{.name = "follow_redirects",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct raw_http, follow_redirects),
		.fallback = "true"},
	{.name = "enable_http2",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct raw_http, enable_http2),
		.fallback = "true"},
	HTTP("http_headers", OPS_CONF_K_NODE, http_headers),
	{.name = "tls_config",
		.kind = OPS_CONF_K_MAPPING,
		.offset = offsetof(struct raw_http, tls),
		.sub = alm_tls_keys},
	OPS_CONF_END,
};

static int check_credentials(
	struct alm_parse *p, const struct ops_conf_node *n, const struct raw_http *raw)
{
	bool basic = raw->basic != NULL, authorization = raw->authorization != NULL,
	     oauth2 = raw->oauth2 != NULL;
	bool bearer = alm_given(raw->bearer_token) || alm_given(raw->bearer_token_file);
	int rc = alm_refuse_both(p, n, "bearer_token", raw->bearer_token, "bearer_token_file",
		raw->bearer_token_file);

	if (rc == 0)
		rc = alm_refuse_both(
			p, n, "password", raw->password, "password_file", raw->password_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "username", raw->user, "username_file", raw->user_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "credentials", raw->credentials, "credentials_file",
			raw->credentials_file);
	if (rc == 0 && basic + authorization + oauth2 + bearer > 1)
		rc = ops_conf_error(n, p->err,
			"at most one of basic_auth, authorization, oauth2 and bearer_token");
	if (rc == 0 && authorization && ops_str_eq(raw->auth_type, "Basic"))
		rc = ops_conf_error(raw->authorization, p->err,
			"authorization type cannot be Basic: use basic_auth");
	return rc;
}

/* http_headers: {Name: {values: [...], secrets: [...], files: [...]}}; the first value of each is
 * sent. */
static int parse_headers(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_headers *ret)
{
	struct kinds {
		struct ops_conf_strings values, secrets, files;
	};
	static const struct ops_conf_key keys[] = {
		{.name = "values",
			.kind = OPS_CONF_K_STRINGS,
			.offset = offsetof(struct kinds, values)},
		{.name = "secrets",
			.kind = OPS_CONF_K_STRINGS,
			.offset = offsetof(struct kinds, secrets)},
		{.name = "files",
			.kind = OPS_CONF_K_PATHS,
			.offset = offsetof(struct kinds, files)},
		OPS_CONF_END,
	};
	if (n == NULL)
		return 0;
	if (n->type != OPS_CONF_MAPPING)
		return ops_conf_error(n, p->err, "http_headers must be a mapping");
	ret->items = ops_arena_array(p->a, struct alm_header, n->n + 1);
	for (size_t i = 0; i < n->n; i++) {
		struct kinds k = {0};
		int rc = ops_conf_decode(p->a, n->items[i], keys, &k, NULL, p->err);
		if (rc != 0)
			return rc;
		const char *value = k.values.n > 0    ? k.values.items[0]
				    : k.secrets.n > 0 ? k.secrets.items[0]
						      : NULL;
		if (value == NULL) {
			ops_conf_warn(p->warnings, n->items[i],
				"header %s has no value and is not sent", n->keys[i]->text);
			continue;
		}
		ret->items[ret->n++] = (struct alm_header){n->keys[i]->text, value};
	}
	return 0;
}

static int parse_proxy(
	struct alm_parse *p, const struct ops_conf_node *n, const struct raw_http *raw)
{
	if (raw->proxy_env && (alm_given(raw->proxy_url) || alm_given(raw->no_proxy)))
		return ops_conf_error(
			n, p->err, "proxy_from_environment excludes proxy_url and no_proxy");
	if (alm_given(raw->no_proxy) && !alm_given(raw->proxy_url))
		return ops_conf_error(n, p->err, "no_proxy needs proxy_url");
	if (alm_given(raw->no_proxy) || raw->proxy_headers != NULL)
		ops_conf_warn(p->warnings, n,
			"no_proxy and proxy_connect_header are accepted and have no effect");
	return 0;
}

int alm_parse_http(
	struct alm_parse *p, const struct ops_conf_node *node, struct alm_http_config *ret)
{
	struct raw_http raw = {0};

	if (node == NULL) { /* the global one applies */
		*ret = p->cfg->global.http;
		return 0;
	}
	int rc = ops_conf_decode(p->a, node, http_keys, &raw, p->warnings, p->err);
	if (rc == 0 && raw.basic != NULL)
		rc = ops_conf_decode(p->a, raw.basic, basic_keys, &raw, p->warnings, p->err);
	if (rc == 0 && raw.authorization != NULL)
		rc = ops_conf_decode(
			p->a, raw.authorization, authorization_keys, &raw, p->warnings, p->err);
	if (rc == 0)
		rc = check_credentials(p, node, &raw);
	if (rc == 0)
		rc = parse_proxy(p, node, &raw);
	if (rc == 0)
		rc = parse_headers(p, raw.http_headers, &ret->headers);
	if (rc != 0)
		return rc;
	if (raw.oauth2 != NULL)
		ops_conf_warn(p->warnings, raw.oauth2,
			"oauth2 is not supported yet: requests go out without a token");
	if (alm_given(raw.user_file))
		ops_conf_warn(
			p->warnings, node, "username_file is not supported yet: give username");
	ret->basic_user = raw.user;
	ret->basic_password = raw.password;
	ret->basic_password_file = raw.password_file;
	ret->bearer_token = alm_given(raw.credentials) ? raw.credentials : raw.bearer_token;
	ret->bearer_token_file =
		alm_given(raw.credentials_file) ? raw.credentials_file : raw.bearer_token_file;
	ret->auth_type = alm_given(raw.auth_type) && strcmp(raw.auth_type, "Bearer") != 0
				 ? raw.auth_type
				 : NULL;
	ret->proxy_url = raw.proxy_url;
	ret->no_redirects = !raw.follow_redirects;
	ret->tls = raw.tls.tls;
	return 0;
}

/* ---- global ---- */

struct raw_global {
	struct alm_global g;
	struct raw_tls smtp_tls;
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
		.sub = alm_tls_keys},
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
		rc = check_global(p, node, &raw.g);
	if (rc == 0)
		rc = alm_check_unsent_global(p, node);
	if (rc != 0)
		return rc;
	p->cfg->global = raw.g;
	p->cfg->global.smtp_tls = raw.smtp_tls.tls;
	p->cfg->global.node = node;
	return 0;
}
