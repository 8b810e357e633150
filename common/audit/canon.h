/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Canonical JSON (RFC 8785): one value has one text, so that its hash means something. Members
 * sorted by UTF-16 code units, no white space, the shortest escapes, numbers as ECMAScript prints
 * them.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/json/json.h"

struct ops_strbuf;

/*
 * Appends the canonical text of j. -ERANGE (err names the number) for an integer that a double
 * cannot hold exactly: RFC 8785 would round it, and an audit record must not say something else
 * than was written; the caller's way out is a string. out is unchanged on failure.
 */
int ops_canon_json(const json_t *j, struct ops_strbuf *out, struct ops_error *err) OPS_MUST_CHECK;
/*
 * Parses as RFC 8785 reads: every number is a double, so that canonical text comes back as itself
 * (295147905179352830000 has no place in an int64). Otherwise like ops_json_parse.
 */
int ops_canon_parse(const char *s, size_t len, size_t limit_bytes, json_t **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* ECMAScript's Number::toString; v must be finite. */
void ops_canon_number(double v, struct ops_strbuf *out);
