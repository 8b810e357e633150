/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Target groups as JSON from outside: the form of static_configs and of HTTP discovery. */
#include "common/base/error.h"
#include "services/collector/discovery/sd.h"

/*
 * [{"targets": ["host:port", ...], "labels": {"name": "value"}}, ...] as one group: every target
 * has its labels and, when url is not NULL, __meta_url. -EINVAL: err says what is wrong where.
 */
int col_groups_from_json(const json_t *list, const char *url, struct col_group *to,
	struct ops_error *err) OPS_MUST_CHECK;
