/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one integration is told about one group at one time: a snapshot, independent of the stores,
 * so that attempts minutes later say the same. Owned by the send that delivers it.
 */
#include "services/alertmanager/alert.h"
#include "services/alertmanager/config.h"

struct alm_notification {
	struct alm_config *cfg; /* a reference */
	const struct alm_receiver *receiver;
	const struct alm_integration *integration;
	char *group_key;
	struct ops_labels *group_labels, *common_labels, *common_annotations;
	struct alm_alert **alerts; /* copies, by labels */
	size_t n;
	int64_t at_ms;		  /* when the group was flushed: decides firing or resolved */
	const char *external_url; /* of this service; outlives the notification */
	const char *reason; /* constant text: first, new-alerts, all-resolved, resolved, repeat */
	int64_t repeat_ms;
	const struct alm_headers *route_labels; /* of cfg */
};

/* Takes copies of alerts (their array too) and references of the rest. */
struct alm_notification *alm_notification_new(struct alm_config *cfg,
	const struct alm_receiver *receiver, const struct alm_integration *integration,
	struct alm_alert **alerts_taken, size_t n);
void alm_notification_free(struct alm_notification *n);
bool alm_notification_firing(const struct alm_notification *n); /* any alert of it */
