/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Durable state of this service's small stores (alerts, silences, notification log, playbook runs):
 * a snapshot file, and a spool of JSON records written since. Opening replays both through `apply`;
 * applying a record twice must be harmless.
 */
#include "common/base/error.h"
#include "common/json/json.h"

struct alm_journal; /* opaque */

struct alm_journal_config {
	const char *dir;
	void (*apply)(void *arg, const json_t *record); /* at open, oldest first */
	/* Calls emit for a record of everything that is to be kept: for the snapshot. */
	void (*dump)(void *arg, void (*emit)(void *to, json_t *record_taken), void *to);
	void *arg;
	uint64_t compact_after; /* records; 0 = 5000 */
};

int alm_journal_open(const struct alm_journal_config *cfg, struct alm_journal **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void alm_journal_close(struct alm_journal *j); /* syncs; NULL is fine */
/* Appends; durable after alm_journal_sync. Takes record. -ENOSPC, -EIO: not appended. */
int alm_journal_append(struct alm_journal *j, json_t *record_taken) OPS_MUST_CHECK;
/* Also compacts when enough has been written since the last snapshot. */
int alm_journal_sync(struct alm_journal *j) OPS_MUST_CHECK;
