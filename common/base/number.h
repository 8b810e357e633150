/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The only place that turns text into numbers. All parse the whole of s[0..len) or fail with
 * -EINVAL / -ERANGE. */
#include "common/base/def.h"

int ops_parse_i64(
	const char *s, size_t len, int64_t *ret) OPS_MUST_CHECK; /* decimal, optional sign */
int ops_parse_u64(const char *s, size_t len, uint64_t *ret) OPS_MUST_CHECK;
int ops_parse_hex_u64(
	const char *s, size_t len, uint64_t *ret) OPS_MUST_CHECK; /* no 0x, 1..16 digits */
/*
 * Go's strconv.ParseFloat without underscores: decimal, exponent, 0x hex floats, Inf/Infinity/NaN
 * in any case with sign. Exact fast path up to 19 digits, then strtod in the C locale. Overflow
 * gives +-Inf and -ERANGE.
 */
int ops_parse_double(const char *s, size_t len, double *ret) OPS_MUST_CHECK;
/* "512", "64KB", "10MB", "1GiB": units B KB KiB MB MiB GB GiB TB TiB, all powers of 1024 as
 * Prometheus' units.Base2Bytes. */
int ops_parse_size(const char *s, size_t len, uint64_t *ret_bytes) OPS_MUST_CHECK;
/* Shortest round-trip text of v; buf >= 32 bytes; returns its length. 'g' form of Go's
 * FormatFloat(v,'f',-1) is ops_format_double_f (never an exponent; buf >= 352 bytes). */
size_t ops_format_double(double v, char *buf);
size_t ops_format_double_f(double v, char *buf);
size_t ops_format_u64(uint64_t v, char *buf); /* buf >= 21 bytes */
