/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsnappy behind two functions. The library checks every reference of a block against its output,
 * but trusts its caller with the room: so the promised length is read first and compared with the
 * limit. A block cannot be longer than about 21 times its bytes say (a copy of 64 bytes takes
 * three), so a promise beyond that is a lie, and a cheap way to make us reserve memory for nothing.
 */
#include "common/remote/snappy.h"

#include <snappy-c.h>

#include <errno.h>
#include <string.h>

enum {
	MOST_PER_BYTE = 24
};

static bool is_framed(const void *data, size_t len)
{
	static const char begin[] = "\xff\x06\0\0sNaPpY";

	return len >= sizeof(begin) - 1 && memcmp(data, begin, sizeof(begin) - 1) == 0;
}

int ops_snappy_decode(const void *data, size_t len, size_t max_bytes, struct ops_strbuf *out,
	struct ops_error *err)
{
	size_t size = 0;

	if (is_framed(data, len)) {
		(void)ops_error_set(err, -EBADMSG, "the body is in snappy's framed format");
		ops_error_hint(err, "remote write and read use the block format");
		return -EBADMSG;
	}
	if (len == 0 || snappy_uncompressed_length(data, len, &size) != SNAPPY_OK ||
		size / MOST_PER_BYTE > len)
		return ops_error_set(err, -EBADMSG, "the body is no snappy block");
	if (size > max_bytes)
		return ops_error_set(err, -EMSGSIZE,
			"the body has %zu bytes decompressed, more than the %zu allowed", size,
			max_bytes);
	ops_strbuf_reserve(out, size + 1);
	if (snappy_uncompress(data, len, out->data + out->len, &size) != SNAPPY_OK)
		return ops_error_set(err, -EBADMSG, "the body is a damaged snappy block");
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
}

void ops_snappy_encode(const void *data, size_t len, struct ops_strbuf *out)
{
	size_t size = snappy_max_compressed_length(len);

	ops_strbuf_reserve(out, size + 1);
	ops_assert(snappy_compress(len > 0 ? data : "", len, out->data + out->len, &size) ==
		   SNAPPY_OK);
	out->len += size;
	out->data[out->len] = '\0';
}
