/* SPDX-License-Identifier: Apache-2.0 */
/* slack_configs: incoming webhooks (api_url) or the Web API with a bot token (app_token), as
 * upstream. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

struct raw_slack {
	struct alm_slack s;
	bool send_resolved;
	int64_t timeout_ms;
	const struct ops_conf_node *http_config, *fields, *actions, *mrkdwn;
};

#define S(key, kind_, member, default_)                                                            \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_slack, member),          \
		.fallback = default_                                                               \
	}
static const struct ops_conf_key slack_keys[] = {
	S("send_resolved", OPS_CONF_K_BOOL, send_resolved, "false"),
	S("http_config", OPS_CONF_K_NODE, http_config, NULL),
	S("api_url", OPS_CONF_K_SECRET, s.api_url, NULL),
	S("api_url_file", OPS_CONF_K_PATH, s.api_url_file, NULL),
	S("app_token", OPS_CONF_K_SECRET, s.app_token, NULL),
	S("app_token_file", OPS_CONF_K_PATH, s.app_token_file, NULL),
	S("app_url", OPS_CONF_K_STRING, s.app_url, NULL),
	S("channel", OPS_CONF_K_STRING, s.channel, NULL),
	S("username", OPS_CONF_K_STRING, s.username, "{{ template \"slack.default.username\" . }}"),
	S("color", OPS_CONF_K_STRING, s.color, "{{ template \"slack.default.color\" . }}"),
	S("title", OPS_CONF_K_STRING, s.title, "{{ template \"slack.default.title\" . }}"),
	S("title_link", OPS_CONF_K_STRING, s.title_link,
		"{{ template \"slack.default.titlelink\" . }}"),
	S("pretext", OPS_CONF_K_STRING, s.pretext, "{{ template \"slack.default.pretext\" . }}"),
	S("text", OPS_CONF_K_STRING, s.text, "{{ template \"slack.default.text\" . }}"),
	S("message_text", OPS_CONF_K_STRING, s.message_text, NULL),
	S("footer", OPS_CONF_K_STRING, s.footer, "{{ template \"slack.default.footer\" . }}"),
	S("fallback", OPS_CONF_K_STRING, s.fallback, "{{ template \"slack.default.fallback\" . }}"),
	S("callback_id", OPS_CONF_K_STRING, s.callback_id,
		"{{ template \"slack.default.callbackid\" . }}"),
	S("icon_emoji", OPS_CONF_K_STRING, s.icon_emoji,
		"{{ template \"slack.default.iconemoji\" . }}"),
	S("icon_url", OPS_CONF_K_STRING, s.icon_url, "{{ template \"slack.default.iconurl\" . }}"),
	S("image_url", OPS_CONF_K_STRING, s.image_url, NULL),
	S("thumb_url", OPS_CONF_K_STRING, s.thumb_url, NULL),
	S("short_fields", OPS_CONF_K_BOOL, s.short_fields, NULL),
	S("link_names", OPS_CONF_K_BOOL, s.link_names, NULL),
	S("update_message", OPS_CONF_K_BOOL, s.update_message, NULL),
	S("mrkdwn_in", OPS_CONF_K_NODE, mrkdwn, NULL),
	S("fields", OPS_CONF_K_NODE, fields, NULL),
	S("actions", OPS_CONF_K_NODE, actions, NULL),
	S("timeout", OPS_CONF_K_DURATION, timeout_ms, NULL),
	OPS_CONF_END,
};

struct raw_field {
	const char *title, *value;
	const struct ops_conf_node *is_short;
};

static int parse_field(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_slack_field *ret)
{
	static const struct ops_conf_key keys[] = {
		{.name = "title",
			.kind = OPS_CONF_K_STRING,
			.offset = offsetof(struct raw_field, title)},
		{.name = "value",
			.kind = OPS_CONF_K_STRING,
			.offset = offsetof(struct raw_field, value)},
		{.name = "short",
			.kind = OPS_CONF_K_NODE,
			.offset = offsetof(struct raw_field, is_short)},
		OPS_CONF_END,
	};
	struct raw_field raw = {0};
	int rc = ops_conf_decode(p->a, n, keys, &raw, NULL, p->err);

	if (rc == 0 && !alm_given(raw.title))
		rc = ops_conf_error(n, p->err, "slack: a field has no title");
	if (rc == 0 && !alm_given(raw.value))
		rc = ops_conf_error(n, p->err, "slack: a field has no value");
	ret->title = raw.title;
	ret->value = raw.value;
	ret->short_set = raw.is_short != NULL;
	if (rc == 0 && ret->short_set)
		rc = ops_conf_bool(raw.is_short, "short", &ret->is_short, p->err);
	return rc;
}

#define A(key, member)                                                                             \
	{                                                                                          \
		.name = key, .kind = OPS_CONF_K_STRING,                                            \
		.offset = offsetof(struct alm_slack_action, member)                                \
	}
static const struct ops_conf_key confirm_keys[] = {
	A("title", confirm_title),
	A("text", confirm_text),
	A("ok_text", confirm_ok),
	A("dismiss_text", confirm_dismiss),
	OPS_CONF_END,
};

static int parse_action(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_slack_action *ret)
{
	static const struct ops_conf_key keys[] = {
		A("type", type),
		A("text", text),
		A("url", url),
		A("style", style),
		A("name", name),
		A("value", value),
		{.name = "confirm", .kind = OPS_CONF_K_MAPPING, .offset = 0, .sub = confirm_keys},
		OPS_CONF_END,
	};
	const struct ops_conf_node *confirm = ops_conf_get(n, "confirm");
	int rc = ops_conf_decode(p->a, n, keys, ret, NULL, p->err);

	if (rc == 0 && (!alm_given(ret->type) || !alm_given(ret->text)))
		rc = ops_conf_error(n, p->err, "slack: an action needs type and text");
	if (rc == 0 && !alm_given(ret->url) && !alm_given(ret->name))
		rc = ops_conf_error(n, p->err, "slack: an action needs url or name");
	if (rc == 0 && !ops_conf_is_null(confirm) && !alm_given(ret->confirm_text))
		rc = ops_conf_error(confirm, p->err, "slack: a confirmation needs text");
	return rc;
}

static int parse_lists(struct alm_parse *p, const struct raw_slack *raw, struct alm_slack *s)
{
	int rc = 0;
	if (raw->fields != NULL) {
		if (raw->fields->type != OPS_CONF_SEQUENCE)
			return ops_conf_error(raw->fields, p->err, "fields must be a list");
		s->fields = ops_arena_array(p->a, struct alm_slack_field, raw->fields->n + 1);
		for (; rc == 0 && s->nfields < raw->fields->n; s->nfields++)
			rc = parse_field(p, raw->fields->items[s->nfields], &s->fields[s->nfields]);
	}
	if (rc == 0 && raw->actions != NULL) {
		if (raw->actions->type != OPS_CONF_SEQUENCE)
			return ops_conf_error(raw->actions, p->err, "actions must be a list");
		s->actions = ops_arena_array(p->a, struct alm_slack_action, raw->actions->n + 1);
		for (; rc == 0 && s->nactions < raw->actions->n; s->nactions++)
			rc = parse_action(
				p, raw->actions->items[s->nactions], &s->actions[s->nactions]);
	}
	if (rc == 0 && raw->mrkdwn != NULL) {
		s->mrkdwn_set = true;
		rc = ops_conf_string_list(p->a, raw->mrkdwn, "mrkdwn_in", &s->mrkdwn_in, p->err);
	}
	return rc;
}

/* What a receiver does not say comes from the global section: its token or its URL, never a mix of
 * both levels. */
static void inherit(const struct alm_global *g, struct alm_slack *s)
{
	if (!alm_given(s->app_url))
		s->app_url = g->slack_app_url;
	bool own_token = alm_given(s->app_token) || alm_given(s->app_token_file);
	bool own_url = alm_given(s->api_url) || alm_given(s->api_url_file);
	if (own_token || own_url)
		return;
	s->api_url = g->slack_api_url;
	s->api_url_file = g->slack_api_url_file;
	s->app_token = g->slack_app_token;
	s->app_token_file = g->slack_app_token_file;
}

static int check(struct alm_parse *p, const struct ops_conf_node *n, struct alm_slack *s)
{
	int rc = alm_refuse_both(p, n, "api_url", s->api_url, "api_url_file", s->api_url_file);
	if (rc == 0)
		rc = alm_refuse_both(
			p, n, "app_token", s->app_token, "app_token_file", s->app_token_file);
	bool token = alm_given(s->app_token) || alm_given(s->app_token_file);
	bool url = alm_given(s->api_url) || alm_given(s->api_url_file);
	if (rc == 0 && token && url && !ops_str_eq(s->api_url, s->app_url) &&
		!alm_given(s->api_url_file) &&
		!ops_str_eq(s->api_url, p->cfg->global.slack_app_url))
		rc = ops_conf_error(
			n, p->err, "slack: at most one of app_token(_file) and api_url(_file)");
	if (rc != 0)
		return rc;
	inherit(&p->cfg->global, s);
	token = alm_given(s->app_token) || alm_given(s->app_token_file);
	if (!token && !alm_given(s->api_url) && !alm_given(s->api_url_file))
		return ops_conf_error(
			n, p->err, "slack: neither an api_url nor an app_token, here or in global");
	if (s->update_message && !token &&
		!ops_str_eq(s->api_url, "https://slack.com/api/chat.postMessage"))
		return ops_conf_error(n, p->err, "slack: update_message needs an app_token");
	return 0;
}

int alm_parse_slack(struct alm_parse *p, const struct ops_conf_node *n, struct alm_integration *ret)
{
	struct raw_slack raw = {0};
	int rc = ops_conf_decode(p->a, n, slack_keys, &raw, p->warnings, p->err);

	if (rc == 0)
		rc = check(p, n, &raw.s);
	if (rc == 0)
		rc = parse_lists(p, &raw, &raw.s);
	if (rc == 0)
		rc = alm_parse_http_or_global(p, raw.http_config, &ret->http);
	if (rc != 0)
		return rc;
	if (raw.s.update_message)
		ops_conf_warn(p->warnings, n,
			"update_message is accepted and every notification is a new message");
	ret->u.slack = raw.s;
	ret->send_resolved = raw.send_resolved;
	ret->timeout_ms = raw.timeout_ms;
	return 0;
}
