/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Notification log: what each integration of each receiver was last told about a group. Durable;
 * entries outlive two rounds of repeating. "Twice is better than never": an entry follows the
 * receiver's answer, so a crash between the two repeats the notification.
 */
#include "common/base/error.h"

struct alm_nflog; /* opaque */

struct alm_nflog_entry {
	int64_t at_ms, expires_ms;
	uint64_t *firing, *resolved; /* fingerprints, sorted */
	size_t nfiring, nresolved;
};

int alm_nflog_open(const char *dir, struct alm_nflog **ret, struct ops_error *err) OPS_MUST_CHECK;
void alm_nflog_close(struct alm_nflog *l);
/* Key of an integration of a group: "receiver/integration/index" and the group's key. Release with
 * free(). */
char *alm_nflog_key(const char *group_key, const char *receiver, const char *integration,
	size_t index) OPS_MUST_CHECK;
const struct alm_nflog_entry *alm_nflog_get(
	const struct alm_nflog *l, const char *key, int64_t now_ms); /* or NULL */
/* Copies entry (its sets are sorted by alm_fingerprints_sort). Durable when this returns 0. */
int alm_nflog_put(
	struct alm_nflog *l, const char *key, const struct alm_nflog_entry *entry) OPS_MUST_CHECK;
void alm_fingerprints_sort(uint64_t *fps, size_t n);
size_t alm_nflog_count(const struct alm_nflog *l);
void alm_nflog_sweep(struct alm_nflog *l, int64_t now_ms);

/*
 * Must this integration be told now? Alertmanager's rules: a group that was never notified needs a
 * firing alert; later, a firing alert that the last notification did not name, all resolved, a
 * newly resolved one when resolutions are sent, or the repeat interval. last may be NULL;
 * now->at_ms is the clock, its sets are sorted. Returns the reason (first, new-alerts,
 * all-resolved, resolved, repeat) or NULL.
 */
const char *alm_nflog_needed(const struct alm_nflog_entry *last, const struct alm_nflog_entry *now,
	bool send_resolved, int64_t repeat_ms);
