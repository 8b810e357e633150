/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiver kinds of Alertmanager that this service validates but does not send to yet: one table
 * row a kind with its keys, what it needs, and which key may come from the global section instead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

#define COMMON " send_resolved http_config timeout "

struct need { /* one of key, key_file, or the global key of the same meaning */
	const char *key, *global;
};

static const struct {
	const char *section, *name, *keys;
	struct need needs[3];
} kinds[] = {
	{"discord_configs", "discord",
		COMMON "webhook_url webhook_url_file content title message username avatar_url ",
		{{"webhook_url", NULL}}},
	{"incidentio_configs", "incidentio",
		COMMON
		"url url_file alert_source_token alert_source_token_file max_alerts metadata ",
		{{"url", NULL}}},
	{"jira_configs", "jira",
		COMMON
		"api_url api_type project summary description labels priority issue_type "
		"reopen_transition "
		"resolve_transition wont_fix_resolution reopen_duration fields custom_fields ",
		{{"project", NULL}, {"issue_type", NULL}, {"api_url", "jira_api_url"}}},
	{"mattermost_configs", "mattermost",
		COMMON "webhook_url webhook_url_file channel username text fallback color pretext "
		       "author_name author_link "
		       "author_icon title title_link fields thumb_url footer footer_icon image_url "
		       "icon_url icon_emoji "
		       "attachments type props priority ",
		{{"webhook_url", "mattermost_webhook_url"}}},
	{"msteams_configs", "msteams", COMMON "webhook_url webhook_url_file title summary text ",
		{{"webhook_url", NULL}}},
	{"msteamsv2_configs", "msteamsv2", COMMON "webhook_url webhook_url_file title text ",
		{{"webhook_url", NULL}}},
	{"opsgenie_configs", "opsgenie",
		COMMON "api_key api_key_file api_url message description source details entity "
		       "responders actions tags "
		       "note priority update_alerts ",
		{{"api_key", "opsgenie_api_key"}}},
	{"pushover_configs", "pushover",
		COMMON "user_key user_key_file token token_file title message url url_title device "
		       "sound priority retry "
		       "expire ttl html monospace ",
		{{"user_key", NULL}, {"token", NULL}}},
	{"rocketchat_configs", "rocketchat",
		COMMON "api_url token_id token_id_file token token_file channel color title "
		       "title_link text fields "
		       "short_fields emoji icon_url image_url thumb_url link_names actions ",
		{{"token", "rocketchat_token"}, {"token_id", "rocketchat_token_id"}}},
	{"sns_configs", "sns",
		COMMON "api_url sigv4 topic_arn phone_number target_arn subject message attributes "
		       "use_aws_http_client ",
		{{NULL, NULL}}},
	{"telegram_configs", "telegram",
		COMMON
		"api_url bot_token bot_token_file chat_id chat_id_file message_thread_id message "
		"disable_notifications parse_mode ",
		{{"bot_token", "telegram_bot_token"}, {"chat_id", NULL}}},
	{"victorops_configs", "victorops",
		COMMON "api_key api_key_file api_url routing_key message_type state_message "
		       "entity_display_name "
		       "monitoring_tool custom_fields ",
		{{"routing_key", NULL}, {"api_key", "victorops_api_key"}}},
	{"webex_configs", "webex", COMMON "api_url message room_id ", {{"room_id", NULL}}},
	{"wechat_configs", "wechat",
		COMMON "api_secret api_secret_file corp_id message api_url to_user to_party to_tag "
		       "agent_id message_type ",
		{{"api_secret", "wechat_api_secret"}, {"corp_id", "wechat_api_corp_id"}}},
};

static size_t kind_of(const char *section)
{
	size_t i = 0;
	while (i < OPS_LENGTH(kinds) && strcmp(kinds[i].section, section) != 0)
		i++;
	return i;
}

bool alm_is_unsent_section(const char *section)
{
	return kind_of(section) < OPS_LENGTH(kinds);
}

static bool in_list(const char *list, const char *word)
{
	char buf[96];
	int n = snprintf(buf, sizeof buf, " %s ", word);
	return n > 0 && (size_t)n < sizeof buf && strstr(list, buf) != NULL;
}

static bool has(const struct ops_conf_node *n, const char *key)
{
	const struct ops_conf_node *v = ops_conf_get(n, key);
	return !ops_conf_is_null(v) && (v->type != OPS_CONF_SCALAR || v->len > 0);
}

static bool has_file(const struct ops_conf_node *n, const char *key)
{
	char file[96];
	(void)snprintf(file, sizeof file, "%s_file", key);
	return has(n, file);
}

static int refuse_pair(struct alm_parse *p, const struct ops_conf_node *n, const char *key)
{
	if (!has(n, key) || !has_file(n, key))
		return 0;
	return ops_conf_error(n, p->err, "at most one of %s and %s_file", key, key);
}

static int check_need(struct alm_parse *p, const char *kind, const struct ops_conf_node *n,
	const struct need *need)
{
	const struct ops_conf_node *global = p->cfg->global.node;
	int rc = refuse_pair(p, n, need->key);

	if (rc != 0 || has(n, need->key) || has_file(n, need->key))
		return rc;
	if (need->global != NULL && (has(global, need->global) || has_file(global, need->global)))
		return 0;
	return ops_conf_error(n, p->err, "%s: %s is missing%s%s", kind, need->key,
		need->global != NULL ? ", here or in global as " : "",
		need->global != NULL ? need->global : "");
}

static int check_sns(struct alm_parse *p, const struct ops_conf_node *n)
{
	int given = has(n, "topic_arn") + has(n, "phone_number") + has(n, "target_arn");
	return given == 1 ? 0
			  : ops_conf_error(n, p->err,
				    "sns: exactly one of topic_arn, phone_number and target_arn");
}

static int check_victorops(struct alm_parse *p, const struct ops_conf_node *n)
{
	static const char reserved[] =
		" routing_key message_type state_message entity_display_name monitoring_tool "
		"entity_id entity_state ";
	const struct ops_conf_node *fields = ops_conf_get(n, "custom_fields");

	for (size_t i = 0; fields != NULL && fields->type == OPS_CONF_MAPPING && i < fields->n;
		i++) {
		if (in_list(reserved, fields->keys[i]->text))
			return ops_conf_error(fields->keys[i], p->err,
				"victorops: custom field \"%s\" is a fixed field",
				fields->keys[i]->text);
	}
	return 0;
}

int alm_parse_unsent(struct alm_parse *p, const char *section, const struct ops_conf_node *n,
	struct alm_integration *ret)
{
	size_t k = kind_of(section);
	int rc = 0;

	if (n->type != OPS_CONF_MAPPING)
		return ops_conf_error(n, p->err, "%s: an entry must be a mapping", section);
	for (size_t i = 0; i < n->n; i++) {
		if (!in_list(kinds[k].keys, n->keys[i]->text))
			return ops_conf_error(n->keys[i], p->err, "unknown key \"%s\" in %s",
				n->keys[i]->text, section);
	}
	for (size_t i = 0;
		rc == 0 && i < OPS_LENGTH(kinds[k].needs) && kinds[k].needs[i].key != NULL; i++)
		rc = check_need(p, kinds[k].name, n, &kinds[k].needs[i]);
	if (rc == 0 && strcmp(kinds[k].name, "sns") == 0)
		rc = check_sns(p, n);
	if (rc == 0 && strcmp(kinds[k].name, "victorops") == 0)
		rc = check_victorops(p, n);
	if (rc == 0 && has(n, "http_config"))
		rc = alm_parse_http_or_global(p, ops_conf_get(n, "http_config"), &ret->http);
	if (rc != 0)
		return rc;
	ops_conf_warn(p->warnings, n, "%s: notifications of this kind are not sent yet", section);
	ret->name = kinds[k].name;
	ret->send_resolved = true;
	return 0;
}

int alm_check_unsent_global(struct alm_parse *p, const struct ops_conf_node *global)
{
	static const char *const pairs[] = {"opsgenie_api_key", "victorops_api_key",
		"wechat_api_secret", "telegram_bot_token", "rocketchat_token",
		"rocketchat_token_id", "mattermost_webhook_url"};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < OPS_LENGTH(pairs); i++)
		rc = refuse_pair(p, global, pairs[i]);
	return rc;
}
