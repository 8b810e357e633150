/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The store of silences: durable, by id; expired ones are kept for five days. */
#include "services/alertmanager/silence.h"

struct alm_silences; /* opaque */

enum {
	ALM_SILENCES_UNKNOWN = 1
}; /* positive outcome: no silence with that id */

int alm_silences_open(
	const char *dir, struct alm_silences **ret, struct ops_error *err) OPS_MUST_CHECK;
void alm_silences_close(struct alm_silences *ss);
/*
 * Creates (no id) or updates; takes s and sets its id. An update that may not be made in place
 * expires the old one and creates a new one. Durable when 0. ret points into the store.
 */
int alm_silences_set(struct alm_silences *ss, struct alm_silence *s_taken,
	const struct alm_silence **ret, struct ops_error *err) OPS_MUST_CHECK;
/* Ends it now (a pending one never starts). 0, ALM_SILENCES_UNKNOWN, -EALREADY. */
int alm_silences_expire(
	struct alm_silences *ss, const char *id, const struct alm_silence **ret) OPS_MUST_CHECK;
const struct alm_silence *alm_silences_get(
	const struct alm_silences *ss, const char *id); /* or NULL */
/* for (size_t at = 0; (s = alm_silences_next(ss, &at)) != NULL;) */
const struct alm_silence *alm_silences_next(const struct alm_silences *ss, size_t *at);
/* Ids of the active silences that match, at most max; returns the count. */
size_t alm_silences_match(const struct alm_silences *ss, const struct ops_labels *labels,
	int64_t now_ms, const char **ret_ids, size_t max);
void alm_silences_sweep(struct alm_silences *ss, int64_t now_ms);
