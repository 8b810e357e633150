/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Numbers for people, as Prometheus' template functions of the same names write them
 * (durations of configuration and rules: common/base/clock.h). Pure functions, any thread.
 */
#include "common/base/def.h"

#define OPS_HUMANIZE_MAX 400 /* bytes, enough for each of them */

/* Each writes a NUL-terminated text into buf[OPS_HUMANIZE_MAX] and returns buf. */
char *ops_humanize(double v, char *buf);	    /* 1.235k, 12.35M, 1.2m: SI prefixes */
char *ops_humanize_1024(double v, char *buf);	    /* 1.2ki */
char *ops_humanize_duration(double v, char *buf);   /* seconds to 1d 2h 3m 4s, 123.5ms */
char *ops_humanize_percentage(double v, char *buf); /* 0.1234 to 12.34% */
/* Seconds to "2015-06-23 13:19:44.128 +0000 UTC"; not finite: as %v. -ERANGE outside int64 ns. */
int ops_humanize_timestamp(double v, char *buf) OPS_MUST_CHECK;
/* Seconds as Go prints a duration: 30m0s, 1.5s, 20ms. -ERANGE outside int64 ns. */
int ops_duration_text(double seconds, char *buf) OPS_MUST_CHECK;
/* Go's %.Ng of fmt: shortest exponent form rules with N significant digits. */
char *ops_format_g(double v, int digits, char *buf);
