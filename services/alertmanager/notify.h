/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From a notification to one request on the wire, and from the answer to "done, try again, or
 * never": one file a kind (notify_webhook.c, notify_slack.c, notify_pagerduty.c, notify_email.c).
 */
#include "common/base/arena.h"
#include "common/net/http_client.h"
#include "services/alertmanager/notification.h"

/* Either mail or request; memory is the arena's. A request with a bearer of its own has no use for
 * the credentials of http_config. */
struct alm_outgoing {
	bool is_mail;
	struct ops_http_request request;
	struct ops_mail mail;
};

struct alm_verdict {
	bool ok, retry;
	char error[256]; /* "" when ok */
};

/* -EINVAL with err: cannot be built (template, secret file); not worth another attempt with the
 * same data. */
int alm_notify_build(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err) OPS_MUST_CHECK;
void alm_notify_judge(const struct alm_notification *n, const struct ops_http_response *res,
	struct alm_verdict *ret);

/* ---- shared by the kinds ---- */
int alm_build_webhook(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err) OPS_MUST_CHECK;
int alm_build_slack(const struct alm_notification *n, struct ops_arena *a, struct alm_outgoing *ret,
	struct ops_error *err) OPS_MUST_CHECK;
int alm_build_pagerduty(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err) OPS_MUST_CHECK;
int alm_build_email(const struct alm_notification *n, struct ops_arena *a, struct alm_outgoing *ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* Slack says "no" inside of a 200. */
void alm_judge_slack(const struct ops_http_response *res, struct alm_verdict *v);

/* POST of JSON, without what http_config adds. */
void alm_http_post_json(
	struct ops_arena *a, const char *url, json_t *body_taken, struct alm_outgoing *ret);
/* value, or the content of file; "" when neither is given. */
int alm_secret(struct ops_arena *a, const char *value, const char *file, const char **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* Sets a text that is not empty. */
static inline void alm_json_text(json_t *j, const char *key, const char *text)
{
	if (text[0] != '\0')
		ops_json_set_string(j, key, text);
}
