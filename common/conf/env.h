/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* ${NAME} and ${NAME:-default} in one scalar; used by the loader only. */
#include "common/base/def.h"

struct ops_strbuf;

/*
 * Appends text with its references replaced; $${ becomes ${, any other $ stays. A variable that is
 * set but empty takes the default, as in a shell. -ENOENT not set and no default, -EINVAL
 * malformed: *ret_what is then what a human should read (borrowed from out). With keep_unset both
 * stay in the text as they are.
 */
int ops_conf_env_expand(const char *text, size_t len, bool keep_unset, struct ops_strbuf *out,
	const char **ret_what) OPS_MUST_CHECK;
