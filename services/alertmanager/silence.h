/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One silence: matchers, a time, an author. Pure functions: validation, state, what an update may
 * change. */
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/model/matcher.h"

enum alm_silence_state {
	ALM_SILENCE_PENDING,
	ALM_SILENCE_ACTIVE,
	ALM_SILENCE_EXPIRED
};

struct alm_silence {
	char id[37]; /* "" = not stored yet */
	unsigned revision;
	struct ops_matchers matchers;
	int64_t starts_at_ms, ends_at_ms, updated_at_ms;
	char *created_by, *comment; /* owned */
};

struct alm_silence *alm_silence_new(void) OPS_MUST_CHECK;
void alm_silence_free(struct alm_silence *s); /* NULL is fine */
enum alm_silence_state alm_silence_state(const struct alm_silence *s, int64_t now_ms);
const char *alm_silence_state_text(enum alm_silence_state state); /* pending, active, expired */
int alm_silence_validate(const struct alm_silence *s, struct ops_error *err) OPS_MUST_CHECK;
/* May `fresh` replace `old` under the same id? Otherwise old is expired and fresh gets an id of its
 * own. */
bool alm_silence_can_update(
	const struct alm_silence *old, const struct alm_silence *fresh, int64_t now_ms);
/* As API v2 writes it (gettableSilence) and reads it (postableSilence). */
json_t *alm_silence_to_json(const struct alm_silence *s, int64_t now_ms) OPS_MUST_CHECK;
int alm_silence_from_json(
	const json_t *j, struct alm_silence **ret, struct ops_error *err) OPS_MUST_CHECK;
json_t *alm_silence_matchers_json(const struct alm_silence *s) OPS_MUST_CHECK;
