/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Percent-decoding, query strings and form bodies (WHATWG application/x-www-form-urlencoded).
 * Internal to common/net. */
#include "common/base/arena.h"

enum {
	OPS_HTTP_MAX_PARAMS = 2048
};

struct ops_http_param {
	const char *name, *value;
};

struct ops_http_params {
	struct ops_http_param *items;
	size_t n, cap; /* items is heap memory: ops_http_params_done */
};

/* Decoded copy in the arena, or NULL: malformed escape or an encoded NUL. plus: '+' is a blank. */
char *ops_http_percent_decode(struct ops_arena *a, const char *s, size_t len, bool plus);
/* Appends the pairs of "a=1&b=2". -EINVAL malformed escape, -E2BIG too many. */
int ops_http_params_parse(
	struct ops_arena *a, const char *s, size_t len, struct ops_http_params *p) OPS_MUST_CHECK;
void ops_http_params_done(struct ops_http_params *p);
