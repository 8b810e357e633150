/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The store of alerts: one object per fingerprint, durable before its source is answered. The
 * dispatcher holds pointers (alert->groups counts them); an alert is forgotten some time after it
 * is resolved and no group holds it any more.
 */
#include "services/alertmanager/alert.h"

struct alm_alerts; /* opaque */
struct ops_map;

enum alm_change {     /* what a report did; handed to on_change */
	ALM_UPDATED,  /* known and still in the same state */
	ALM_FIRED,    /* started firing: new, or again after it was resolved */
	ALM_RESOLVED, /* was firing, is over */
};

struct alm_alerts_config {
	const char *dir;
	void (*on_change)(void *arg, struct alm_alert *a, enum alm_change change);
	void *arg;
};

int alm_alerts_open(const struct alm_alerts_config *cfg, struct alm_alerts **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void alm_alerts_close(struct alm_alerts *s);
/* Takes fresh (same labels: merged into the known one). Durable after alm_alerts_sync; on error
 * nothing changed. */
int alm_alerts_put(struct alm_alerts *s, struct alm_alert *fresh_taken) OPS_MUST_CHECK;
int alm_alerts_sync(struct alm_alerts *s) OPS_MUST_CHECK;
struct alm_alert *alm_alerts_get(const struct alm_alerts *s, uint64_t fingerprint); /* or NULL */
uint64_t alm_alerts_generation(
	const struct alm_alerts *s); /* never 0; another number after each change */
size_t alm_alerts_count(const struct alm_alerts *s);
/* for (size_t at = 0; (a = alm_alerts_next(s, &at)) != NULL;) - do not put while iterating. */
struct alm_alert *alm_alerts_next(const struct alm_alerts *s, size_t *at);
/* Forgets what is resolved since before_ms and in no group. Returns how many. */
size_t alm_alerts_sweep(struct alm_alerts *s, int64_t before_ms);
