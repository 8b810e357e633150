/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bounded members of a message's JSON, for the decoders of this folder. */
#include "common/json/json.h"

struct ops_labels;

/* A text of at most max bytes; owned copy. min 0: may be absent (*ret stays NULL) or empty
 * (likewise). */
struct ops_msg_text {
	const char *key;
	size_t min, max;
	char **ret;
};
/* The rows end with a NULL key. On failure what was copied stays for the caller to free. */
int ops_msg_texts(
	const json_t *obj, const struct ops_msg_text *rows, struct ops_error *err) OPS_MUST_CHECK;
/* {"name": "value"}: -EINVAL with err; 1 when absent. */
int ops_msg_labels(const json_t *obj, const char *key, struct ops_labels **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* The way back; NULL is the empty set. */
json_t *ops_msg_labels_json(const struct ops_labels *ls) OPS_MUST_CHECK;
/* Absent, null and year 1 are 0. */
int ops_msg_time(
	const json_t *obj, const char *key, int64_t *ret_ms, struct ops_error *err) OPS_MUST_CHECK;
int ops_msg_one_of(const char *key, const char *value, const char *const *words,
	struct ops_error *err) OPS_MUST_CHECK;
bool ops_msg_uuid(const char *s);
/* Sets the member only when there is something to say. */
void ops_msg_put(json_t *obj, const char *key, const char *text);
void ops_msg_put_time(json_t *obj, const char *key, int64_t ms);
