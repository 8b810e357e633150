/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The dispatcher: puts alerts into aggregation groups by route and group labels, flushes each group
 * on its timers (group_wait once, then group_interval), and hands what must be told to senders.
 */
#include "common/loop/loop.h"
#include "common/net/oauth2.h"
#include "services/alertmanager/alerts.h"
#include "services/alertmanager/config.h"
#include "services/alertmanager/nflog.h"
#include "services/alertmanager/send.h"
#include "services/alertmanager/silences.h"

struct alm_dispatch; /* opaque */

struct alm_dispatch_config {
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	struct alm_alerts *alerts;
	struct alm_silences *silences;
	struct alm_nflog *nflog;
	const char *external_url; /* outlives it */
	void (*on_outcome)(
		void *arg, const struct alm_outcome *o); /* each notification, sent or failed */
	void *arg;
};

struct alm_group { /* read by the API */
	const struct alm_route *route;
	struct ops_labels *labels;
	char *key; /* "{}:{alertname=\"x\"}" */
	struct alm_alert **alerts;
	size_t n;
	const char *muted_by; /* time interval, at the last flush; NULL = none */
	int64_t next_flush_ms;
};

/* Takes a reference of cfg and dispatches every alert of the store. */
struct alm_dispatch *alm_dispatch_new(
	const struct alm_dispatch_config *conf, struct alm_config *cfg);
void alm_dispatch_free(struct alm_dispatch *d); /* cancels what is under way */
/* New or changed alert: into its groups. */
void alm_dispatch_alert(struct alm_dispatch *d, struct alm_alert *a);
/* New routes: groups are rebuilt from the store; sends under way end as they began. */
void alm_dispatch_reload(struct alm_dispatch *d, struct alm_config *cfg);
struct alm_config *alm_dispatch_config_now(const struct alm_dispatch *d); /* borrowed */
/* No further flushes; true when nothing is under way any more. */
bool alm_dispatch_drain(struct alm_dispatch *d);
bool alm_dispatch_idle(const struct alm_dispatch *d);

size_t alm_dispatch_groups(const struct alm_dispatch *d); /* count */
/* for (size_t at = 0; (g = alm_dispatch_next(d, &at)) != NULL;) */
const struct alm_group *alm_dispatch_next(const struct alm_dispatch *d, size_t *at);

/* Why an alert is not told to anyone now; counts are 0 when it is not muted. */
struct alm_suppression {
	const char *silences[16];
	size_t nsilences;
	uint64_t inhibited_by;
	bool inhibited;
};
void alm_suppression(
	const struct alm_dispatch *d, const struct alm_alert *a, struct alm_suppression *ret);
