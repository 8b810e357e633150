/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and annotations that all alerts share are computed once here, for templates and payloads.
 */
#include "services/alertmanager/notification.h"

#include <string.h>

#include "common/base/text.h"

static struct ops_labels *common_of(struct alm_alert *const *alerts, size_t n, bool annotations)
{
	struct ops_labels_builder b;
	const struct ops_labels *first = n == 0	       ? NULL
					 : annotations ? alerts[0]->annotations
						       : alerts[0]->labels;

	ops_labels_builder_init(&b);
	for (uint32_t i = 0; first != NULL && i < first->n; i++) {
		const struct ops_label *l = &first->items[i];
		size_t same = 1;
		for (; same < n; same++) {
			const struct ops_labels *other =
				annotations ? alerts[same]->annotations : alerts[same]->labels;
			const char *v = other != NULL ? ops_labels_get(other, l->name) : NULL;
			if (v == NULL || strcmp(v, l->value) != 0)
				break;
		}
		if (same == n)
			ops_labels_builder_set(&b, l->name, l->value);
	}
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return ls;
}

struct alm_notification *alm_notification_new(struct alm_config *cfg,
	const struct alm_receiver *receiver, const struct alm_integration *integration,
	struct alm_alert **alerts, size_t n)
{
	struct alm_notification *x = ops_xcalloc(1, sizeof *x);

	x->cfg = alm_config_ref(cfg);
	x->receiver = receiver;
	x->integration = integration;
	x->alerts = alerts;
	x->n = n;
	x->common_labels = common_of(alerts, n, false);
	x->common_annotations = common_of(alerts, n, true);
	return x;
}

void alm_notification_free(struct alm_notification *x)
{
	if (x == NULL)
		return;
	for (size_t i = 0; i < x->n; i++)
		alm_alert_free(x->alerts[i]);
	free(x->alerts);
	free(x->group_key);
	ops_labels_unref(x->group_labels);
	ops_labels_unref(x->common_labels);
	ops_labels_unref(x->common_annotations);
	alm_config_unref(x->cfg);
	free(x);
}

bool alm_notification_firing(const struct alm_notification *x)
{
	for (size_t i = 0; i < x->n; i++) {
		if (!alm_alert_resolved(x->alerts[i], x->at_ms))
			return true;
	}
	return false;
}
