/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a number, a size, a time, a duration: what is accepted must print and read back as
 * itself. */
#include "common/base/number.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_double(const char *s, size_t len)
{
	double v = 0, back = 0;
	char buf[352];

	int r = ops_parse_double(s, len, &v);
	if (r != 0)
		return;
	size_t n = ops_format_double(v, buf);
	ops_assert(n < 32 && strlen(buf) == n);
	ops_assert(ops_parse_double(buf, n, &back) == 0);
	ops_assert(memcmp(&v, &back, sizeof(v)) == 0 || (isnan(v) && isnan(back)));
	n = ops_format_double_f(v, buf);
	ops_assert(n < sizeof(buf) && ops_parse_double(buf, n, &back) == 0);
	ops_assert(memcmp(&v, &back, sizeof(v)) == 0 || (isnan(v) && isnan(back)));
}

static void try_duration(const char *s, size_t len)
{
	int64_t ms = 0, back = 0;
	char buf[96];

	if (ops_duration_parse(s, len, &ms) != 0)
		return;
	ops_duration_format(ms, buf, sizeof(buf));
	ops_assert(ops_duration_parse(buf, strlen(buf), &back) == 0 && back == ms);
}

static void try_time(const char *s, size_t len)
{
	int64_t ms = 0, back = 0;
	char buf[48];

	if (ops_time_parse(s, len, &ms) != 0)
		return;
	ops_time_format(ms, buf, sizeof(buf));
	/* An offset may carry the instant out of the four-digit years. */
	if (strlen(buf) == strlen("2026-11-20T21:00:00.123Z") && buf[0] != '-')
		ops_assert(ops_time_parse(buf, strlen(buf), &back) == 0 && back == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	int64_t i = 0;
	uint64_t u = 0;

	int refused = ops_parse_i64(s, size, &i) + ops_parse_u64(s, size, &u) +
		      ops_parse_hex_u64(s, size, &u) + ops_parse_size(s, size, &u);
	ops_assert(refused <= 0);
	try_double(s, size);
	try_duration(s, size);
	try_time(s, size);
	return 0;
}
