/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* W3C Trace Context: the traceparent field (https://www.w3.org/TR/trace-context/, level 1).
 * Internal to common/net. */
#include "common/base/def.h"

struct ops_trace {
	char trace_id[33]; /* lower-case hex */
	char span_id[17];  /* ours */
	char traceparent[56];
};

/* Continues the caller's trace with a span of ours, or starts one when header is NULL or malformed.
 */
void ops_trace_init(struct ops_trace *t, const char *header);
/* -EINVAL: not a traceparent; ret_trace_id has 33 bytes. */
int ops_trace_parse(const char *header, char *ret_trace_id, unsigned *ret_flags) OPS_MUST_CHECK;
