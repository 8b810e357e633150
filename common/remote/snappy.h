/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Snappy's block format, as remote write and read use it. Pure functions; any thread. */
#include "common/base/error.h"
#include "common/base/strbuf.h"

/*
 * Appends the content. The length that the block promises is checked before anything is allocated.
 * -EMSGSIZE: more than max_bytes; -EBADMSG: damaged, or the framed format, which has no business
 * here. Nothing is appended on error.
 */
int ops_snappy_decode(const void *data, size_t len, size_t max_bytes, struct ops_strbuf *out,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_snappy_encode(const void *data, size_t len, struct ops_strbuf *out); /* appends */
