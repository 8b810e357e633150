/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kinds share: the table, the http_config, and the rule which failures are worth another
 * try: no answer, 429 and 5xx are; any other refusal will be the same next time. Secrets in files
 * are read for every notification, so that a rotated one is used without a reload.
 */
#include "services/alertmanager/notify.h"

#include <errno.h>
#include <stdio.h>

typedef int build_fn(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err);

static build_fn *const builders[] = {
	[ALM_WEBHOOK] = alm_build_webhook,
	[ALM_SLACK] = alm_build_slack,
	[ALM_PAGERDUTY] = alm_build_pagerduty,
	[ALM_EMAIL] = alm_build_email,
};

int alm_notify_build(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err)
{
	if (n->integration->kind == ALM_UNSENT)
		return ops_error_set(err, -EINVAL, "notifications of kind %s are not sent yet",
			n->integration->name);
	return builders[n->integration->kind](n, a, ret, err);
}

static void judge_code(const struct ops_http_response *res, bool mail, struct alm_verdict *v)
{
	v->ok = res->code >= 200 && res->code < 300;
	/* SMTP: 4xx is temporary, 5xx final; HTTP the other way round. */
	v->retry =
		mail ? res->code >= 400 && res->code < 500 : res->code == 429 || res->code >= 500;
	if (!v->ok)
		snprintf(v->error, sizeof v->error, "unexpected status %d%s%.160s", res->code,
			res->len > 0 ? ": " : "", res->len > 0 ? res->body : "");
}

void alm_notify_judge(const struct alm_notification *n, const struct ops_http_response *res,
	struct alm_verdict *ret)
{
	*ret = (struct alm_verdict){0};
	if (res->outcome != OPS_HTTP_DONE) {
		ret->retry = true;
		snprintf(ret->error, sizeof ret->error, "%s",
			res->error != NULL ? res->error : "no answer");
		return;
	}
	judge_code(res, n->integration->kind == ALM_EMAIL, ret);
	if (n->integration->kind == ALM_SLACK)
		alm_judge_slack(res, ret);
}
