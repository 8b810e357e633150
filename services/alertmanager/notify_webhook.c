/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The webhook payload, version 4, member for member as Alertmanager sends it: receivers out there
 * parse it with fixed structs. An open end is Go's zero time.
 */
#include <errno.h>

#include "common/base/text.h"
#include "services/alertmanager/notify.h"
#include "services/alertmanager/template.h"

static json_t *alert_json(const struct alm_alert *a, int64_t at_ms)
{
	json_t *j = json_object();
	bool resolved = alm_alert_resolved(a, at_ms);

	ops_json_set_string(j, "status", resolved ? "resolved" : "firing");
	ops_json_set(j, "labels", alm_labels_to_json(a->labels));
	ops_json_set(j, "annotations", alm_labels_to_json(a->annotations));
	ops_json_set_time(j, "startsAt", a->starts_at_ms);
	ops_json_set_time(j, "endsAt", resolved ? a->ends_at_ms : 0);
	ops_json_set_string(j, "generatorURL", a->generator_url != NULL ? a->generator_url : "");
	ops_json_set_string(j, "fingerprint", a->id);
	return j;
}

static json_t *payload(const struct alm_notification *n)
{
	json_t *j = json_object(), *alerts = json_array();
	size_t limit = (size_t)n->integration->u.webhook.max_alerts;
	size_t shown = limit != 0 && n->n > limit ? limit : n->n;

	for (size_t i = 0; i < shown; i++)
		json_array_append_new(alerts, alert_json(n->alerts[i], n->at_ms));
	ops_json_set_string(j, "receiver", n->receiver->name);
	ops_json_set_string(j, "status", alm_notification_firing(n) ? "firing" : "resolved");
	ops_json_set(j, "alerts", alerts);
	ops_json_set(j, "groupLabels", alm_labels_to_json(n->group_labels));
	ops_json_set(j, "commonLabels", alm_labels_to_json(n->common_labels));
	ops_json_set(j, "commonAnnotations", alm_labels_to_json(n->common_annotations));
	ops_json_set_string(j, "externalURL", n->external_url);
	ops_json_set_string(j, "version", "4");
	ops_json_set_string(j, "groupKey", n->group_key);
	ops_json_set_i64(j, "truncatedAlerts", (int64_t)(n->n - shown));
	return j;
}

int alm_build_webhook(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err)
{
	const struct alm_webhook *w = &n->integration->u.webhook;
	struct alm_expander x;
	const char *url = NULL;
	int rc = alm_secret(a, w->url, w->url_file, &url, err);

	if (rc != 0)
		return rc;
	alm_expander_init(&x, a, n->cfg->tmpl, n);
	url = alm_expand(&x, url);
	if (x.failed) {
		*err = x.err;
		return -EINVAL;
	}
	alm_http_post_json(a, url, payload(n), ret);
	return 0;
}
