/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Jansson with our rules: bounded, duplicate keys refused, errors with position, typed getters
 * that say what they wanted, and one way to print. Includes <jansson.h> on purpose: its json_t is
 * the JSON value of the whole code base.
 */
#include "common/base/def.h"
#include "common/base/error.h"

#include <jansson.h>

struct ops_strbuf;

static inline void ops_json_decrefp(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}
#define OPS_JSON_AUTO OPS_CLEANUP(ops_json_decrefp) json_t

/* Parses one document of at most limit_bytes. -EINVAL (err has line and column), -EFBIG. Owned
 * result. */
int ops_json_parse(const char *s, size_t len, size_t limit_bytes, json_t **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* Compact text, reals shortest round-trip and always with a point or exponent, appended to out. */
void ops_json_dump(const json_t *j, struct ops_strbuf *out);
char *ops_json_text(const json_t *j) OPS_MUST_CHECK; /* owned */

/*
 * Member getters: 0 found, 1 absent or null (ret_* untouched), -EINVAL wrong type with err naming
 * the member. Strings are borrowed from the object.
 */
int ops_json_get_string(
	const json_t *obj, const char *key, const char **ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_json_get_i64(
	const json_t *obj, const char *key, int64_t *ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_json_get_double(
	const json_t *obj, const char *key, double *ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_json_get_bool(
	const json_t *obj, const char *key, bool *ret, struct ops_error *err) OPS_MUST_CHECK;
/* RFC 3339 text or a number of seconds; the year 1 ("0001-01-01T00:00:00Z", not set) gives 0. */
int ops_json_get_time(
	const json_t *obj, const char *key, int64_t *ret_ms, struct ops_error *err) OPS_MUST_CHECK;
int ops_json_get_object(
	const json_t *obj, const char *key, json_t **ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_json_get_array(
	const json_t *obj, const char *key, json_t **ret, struct ops_error *err) OPS_MUST_CHECK;
/* Refuses members that are not in the NULL-terminated list: -EINVAL naming the first. */
int ops_json_only(
	const json_t *obj, const char *const *allowed, struct ops_error *err) OPS_MUST_CHECK;

/* Setters that cannot fail quietly: json_object_set_new with an assert. */
void ops_json_set(json_t *obj, const char *key, json_t *value_taken);
void ops_json_set_string(
	json_t *obj, const char *key, const char *s); /* NULL sets null; bad UTF-8 is replaced */
void ops_json_set_i64(json_t *obj, const char *key, int64_t v);
void ops_json_set_bool(json_t *obj, const char *key, bool v);
void ops_json_set_time(
	json_t *obj, const char *key, int64_t ms); /* RFC 3339, ms; 0 sets "0001-01-01T00:00:00Z" */
