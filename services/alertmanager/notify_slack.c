/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slack: one message with one attachment, to an incoming webhook or, with a bot token, to
 * chat.postMessage. The Web API answers 200 with {"ok": false, "error": "..."} when it refuses.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/notify.h"
#include "services/alertmanager/template.h"

enum {
	TITLE_MAX = 1024
};

static json_t *fields_json(struct alm_expander *x, const struct alm_slack *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->nfields; i++) {
		const struct alm_slack_field *f = &s->fields[i];
		json_t *j = json_object();
		ops_json_set_string(j, "title", alm_expand(x, f->title));
		ops_json_set_string(j, "value", alm_expand(x, f->value));
		ops_json_set_bool(j, "short", f->short_set ? f->is_short : s->short_fields);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *confirm_json(struct alm_expander *x, const struct alm_slack_action *a)
{
	json_t *j = json_object();
	alm_json_text(j, "title", alm_expand(x, a->confirm_title));
	alm_json_text(j, "text", alm_expand(x, a->confirm_text));
	alm_json_text(j, "ok_text", alm_expand(x, a->confirm_ok));
	alm_json_text(j, "dismiss_text", alm_expand(x, a->confirm_dismiss));
	return j;
}

static json_t *actions_json(struct alm_expander *x, const struct alm_slack *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->nactions; i++) {
		const struct alm_slack_action *a = &s->actions[i];
		json_t *j = json_object();
		ops_json_set_string(j, "type", alm_expand(x, a->type));
		ops_json_set_string(j, "text", alm_expand(x, a->text));
		alm_json_text(j, "url", alm_expand(x, a->url));
		alm_json_text(j, "style", alm_expand(x, a->style));
		alm_json_text(j, "name", alm_expand(x, a->name));
		alm_json_text(j, "value", alm_expand(x, a->value));
		if (a->confirm_text != NULL && a->confirm_text[0] != '\0')
			ops_json_set(j, "confirm", confirm_json(x, a));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *mrkdwn_json(const struct alm_slack *s)
{
	static const char *const defaults[] = {"fallback", "pretext", "text"};
	json_t *list = json_array();
	size_t n = s->mrkdwn_set ? s->mrkdwn_in.n : OPS_LENGTH(defaults);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_string(s->mrkdwn_set ? s->mrkdwn_in.items[i] : defaults[i]));
	return list;
}

static json_t *attachment_json(struct alm_expander *x, const struct alm_slack *s)
{
	json_t *j = json_object();
	char title[TITLE_MAX + 1];

	snprintf(title, sizeof title, "%s", alm_expand(x, s->title));
	ops_json_set_string(j, "title", title);
	alm_json_text(j, "title_link", alm_expand(x, s->title_link));
	alm_json_text(j, "pretext", alm_expand(x, s->pretext));
	ops_json_set_string(j, "text", alm_expand(x, s->text));
	ops_json_set_string(j, "fallback", alm_expand(x, s->fallback));
	alm_json_text(j, "callback_id", alm_expand(x, s->callback_id));
	alm_json_text(j, "image_url", alm_expand(x, s->image_url));
	alm_json_text(j, "thumb_url", alm_expand(x, s->thumb_url));
	ops_json_set_string(j, "footer", alm_expand(x, s->footer));
	ops_json_set_string(j, "color", alm_expand(x, s->color));
	ops_json_set(j, "mrkdwn_in", mrkdwn_json(s));
	if (s->nfields > 0)
		ops_json_set(j, "fields", fields_json(x, s));
	if (s->nactions > 0)
		ops_json_set(j, "actions", actions_json(x, s));
	return j;
}

int alm_build_slack(const struct alm_notification *n, struct ops_arena *a, struct alm_outgoing *ret,
	struct ops_error *err)
{
	const struct alm_slack *s = &n->integration->u.slack;
	const char *url = NULL, *token = NULL;
	struct alm_expander x;

	int rc = alm_secret(a, s->app_token, s->app_token_file, &token, err);
	if (rc == 0)
		rc = alm_secret(a, s->api_url, s->api_url_file, &url, err);
	if (rc != 0)
		return rc;
	alm_expander_init(&x, a, n->cfg->tmpl, n);
	json_t *body = json_object(), *attachments = json_array();
	alm_json_text(body, "channel", alm_expand(&x, s->channel));
	alm_json_text(body, "username", alm_expand(&x, s->username));
	alm_json_text(body, "icon_emoji", alm_expand(&x, s->icon_emoji));
	alm_json_text(body, "icon_url", alm_expand(&x, s->icon_url));
	alm_json_text(body, "text", alm_expand(&x, s->message_text));
	if (s->link_names)
		ops_json_set_bool(body, "link_names", true);
	json_array_append_new(attachments, attachment_json(&x, s));
	ops_json_set(body, "attachments", attachments);
	if (x.failed) {
		json_decref(body);
		*err = x.err;
		return -EINVAL;
	}
	alm_http_post_json(a, url[0] != '\0' ? url : s->app_url, body, ret);
	if (token[0] != '\0')
		ret->request.bearer = token;
	return 0;
}

void alm_judge_slack(const struct ops_http_response *res, struct alm_verdict *v)
{
	OPS_JSON_AUTO *body = NULL;
	const char *why = NULL;
	bool ok = true;

	if (!v->ok || res->len == 0 || res->body[0] != '{' ||
		ops_json_parse(res->body, res->len, 1 << 20, &body, NULL) != 0)
		return;
	if (ops_json_get_bool(body, "ok", &ok, NULL) != 0 || ok)
		return;
	(void)!ops_json_get_string(body, "error", &why, NULL);
	v->ok = false;
	v->retry = ops_str_eq(why, "rate_limited") || ops_str_eq(why, "ratelimited") ||
		   ops_str_eq(why, "internal_error");
	snprintf(v->error, sizeof v->error, "slack refused: %s",
		why != NULL ? why : "no reason given");
}
