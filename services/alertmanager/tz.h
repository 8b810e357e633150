/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * IANA time zones without the process-wide TZ: one compiled TZif file (RFC 9636) per zone, read
 * once. Immutable after loading.
 */
#include "common/base/def.h"

struct alm_tz; /* opaque */

/* name: "Europe/Berlin", "UTC" or "Local" (/etc/localtime). -ENOENT unknown, -EINVAL malformed file
 * or name. */
int alm_tz_load(const char *name, struct alm_tz **ret) OPS_MUST_CHECK;
void alm_tz_free(struct alm_tz *tz);
/* Seconds east of UTC at the instant; ret_abbreviation (may be NULL) lives as long as tz. */
int32_t alm_tz_offset(const struct alm_tz *tz, int64_t ms, const char **ret_abbreviation);
