/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Time. Wall time is int64_t milliseconds since 1970 UTC (suffix _ms), monotonic time is for
 * durations and timers. Tests install a fake clock for the wall time.
 * Durations as text are Prometheus': 1h30m, 15s, 250ms, 1d, 2w, 1y (units descending, each once).
 */
#include "common/base/def.h"

struct ops_strbuf;

int64_t ops_now_ms(void);
int64_t ops_now_us(void);
int64_t ops_mono_ms(void);
int64_t ops_mono_ns(void);
/* now == NULL: back to the real clock. */
void ops_clock_fake(int64_t (*now_ms)(void));

/* RFC 3339 in UTC: 2026-11-20T21:00:00.123Z; size >= 32. ops_time_parse accepts any offset and up
 * to 9 digits. */
char *ops_time_format(int64_t ms, char *buf, size_t size);
int ops_time_parse(const char *s, size_t len, int64_t *ret_ms) OPS_MUST_CHECK; /* -EINVAL */

/* "0" is allowed. -EINVAL malformed, -ERANGE over int64 nanoseconds. */
int ops_duration_parse(const char *s, size_t len, int64_t *ret_ms) OPS_MUST_CHECK;
/* 5400000 -> "1h30m"; 0 -> "0s". As Prometheus' model.Duration prints. */
char *ops_duration_format(int64_t ms, char *buf, size_t size);
