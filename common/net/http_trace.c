/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version "-" trace-id "-" parent-id "-" flags. A later version may append fields behind another
 * dash; what is before is read as version 00. Upper-case hex, all-zero ids and version ff are
 * malformed, and a malformed header starts a new trace instead of failing the request, as the
 * recommendation says.
 */
#include "common/net/http_trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"

enum {
	LENGTH = 55,
	TRACE_AT = 3,
	SPAN_AT = 36,
	FLAGS_AT = 53,
};

static bool lower_hex(const char *s, size_t len)
{
	return strspn(s, "0123456789abcdef") >= len;
}

static bool all_zero(const char *s, size_t len)
{
	return strspn(s, "0") >= len;
}

int ops_trace_parse(const char *header, char *ret_trace_id, unsigned *ret_flags)
{
	uint64_t flags = 0;

	if (strlen(header) < LENGTH || !lower_hex(header, 2) || header[2] != '-')
		return -EINVAL;
	if (!lower_hex(header + TRACE_AT, 32) || header[SPAN_AT - 1] != '-')
		return -EINVAL;
	if (!lower_hex(header + SPAN_AT, 16) || header[FLAGS_AT - 1] != '-' ||
		!lower_hex(header + FLAGS_AT, 2))
		return -EINVAL;
	bool version_0 = header[0] == '0' && header[1] == '0';
	if ((header[0] == 'f' && header[1] == 'f') || (version_0 && header[LENGTH] != '\0'))
		return -EINVAL;
	if (header[LENGTH] != '\0' && header[LENGTH] != '-')
		return -EINVAL;
	if (all_zero(header + TRACE_AT, 32) || all_zero(header + SPAN_AT, 16))
		return -EINVAL;
	if (ops_parse_hex_u64(header + FLAGS_AT, 2, &flags) != 0)
		return -EINVAL;
	memcpy(ret_trace_id, header + TRACE_AT, 32);
	ret_trace_id[32] = '\0';
	*ret_flags = (unsigned)flags & 1U; /* only "sampled" is known to version 00 */
	return 0;
}

void ops_trace_init(struct ops_trace *t, const char *header)
{
	unsigned flags = 1;
	uint64_t bytes[3] = {ops_random_u64(), ops_random_u64() | 1, ops_random_u64() | 1};

	if (header == NULL || ops_trace_parse(header, t->trace_id, &flags) != 0)
		ops_hex_encode(bytes, 16, t->trace_id);
	ops_hex_encode(&bytes[2], 8, t->span_id);
	snprintf(t->traceparent, sizeof(t->traceparent), "00-%s-%s-%02x", t->trace_id, t->span_id,
		flags);
}
