/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The two readers behind matcher.h's text form. Both append, and leave what they appended when they
 * fail. */
#include "common/model/matcher.h"

struct ops_matcher_text {
	const char *text;
	size_t len;
	struct ops_matchers *out;
	struct ops_error *err;
};

int ops_matchers_parse_classic(const struct ops_matcher_text *t) OPS_MUST_CHECK;
int ops_matchers_parse_utf8(const struct ops_matcher_text *t) OPS_MUST_CHECK;
/* Exactly one, without braces and commas. */
int ops_matcher_parse_classic(const struct ops_matcher_text *t) OPS_MUST_CHECK;

/* -EINVAL with the column of byte at (0-based). */
int ops_matcher_refuse(const struct ops_matcher_text *t, size_t at, const char *message);
/* name and value need not end in NUL; a NUL inside is refused. */
struct ops_matcher_part {
	const char *text;
	size_t len;
};
int ops_matcher_accept(const struct ops_matcher_text *t, size_t at, enum ops_match_op op,
	const struct ops_matcher_part *name, const struct ops_matcher_part *value) OPS_MUST_CHECK;
