/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of the usual size are unpacked at once by libdeflate, which is three times as fast as zlib
 * because it sees all input and has room for all output. How much room that is must be known: who
 * calls remembers it, the length that the gzip trailer promises is not believed. What does not fit,
 * and what libdeflate cannot read or does not check (a checksum of the header), is left to zlib's
 * inflate, which works in slices of any size: it alone decides what is damaged.
 *
 * Members may follow each other (RFC 1952, section 2.2); what is
 * no member behind the last one is refused, since a body that was cut and joined must not look
 * complete.
 */
#include "services/collector/gunzip.h"

#include <errno.h>
#include <string.h>

#include <libdeflate.h>
#include <zlib.h>

enum {
	GZIP_WINDOW = 15 + 16,
	GZIP_FLAGS_AT = 3,
	GZIP_FLAG_HEADER_CRC = 2
};

struct libdeflate_decompressor *col_gunzip_whole_new(void)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	ops_assert(d != NULL);
	return d;
}

void col_gunzip_whole_free(struct libdeflate_decompressor *d)
{
	libdeflate_free_decompressor(d);
}

bool col_gunzip_whole(struct libdeflate_decompressor *d, struct col_packed from, char *out,
	size_t room, size_t *ret)
{
	const unsigned char *at = from.data, *end = at + from.len;
	size_t all = 0;
	do { /* each member */
		size_t used = 0, n = 0;
		if (end - at <= GZIP_FLAGS_AT || (at[GZIP_FLAGS_AT] & GZIP_FLAG_HEADER_CRC) != 0 ||
			libdeflate_gzip_decompress_ex(d, at, (size_t)(end - at), out + all,
				room - all, &used, &n) != LIBDEFLATE_SUCCESS) {
			return false;
		}
		at += used;
		all += n;
	} while (at < end);
	*ret = all;
	return true;
}

void col_gunzip_start(struct col_gunzip *g, const void *data, size_t len)
{
	g->z = ops_xcalloc(1, sizeof(*g->z));
	g->finished = false;
	ops_assert(inflateInit2(g->z, GZIP_WINDOW) == Z_OK);
	g->z->next_in = (Bytef *)(uintptr_t)data;
	g->z->avail_in = (uInt)OPS_MIN(len, (size_t)UINT32_MAX);
}

void col_gunzip_done(struct col_gunzip *g)
{
	if (g->z != NULL) {
		(void)inflateEnd(g->z);
		free(g->z);
		g->z = NULL;
	}
}

int col_gunzip_step(struct col_gunzip *g, void *out, size_t room, size_t *ret_n)
{
	size_t want = OPS_MIN(room, (size_t)UINT32_MAX);
	g->z->next_out = out;
	g->z->avail_out = (uInt)want;
	*ret_n = 0;
	while (g->z->avail_out > 0) {
		if (g->finished) {
			if (g->z->avail_in == 0) {
				*ret_n = want - g->z->avail_out;
				return 0;
			}
			if (inflateReset(g->z) != Z_OK) {
				return -EBADMSG;
			}
			g->finished = false;
		}
		int r = inflate(g->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END) {
			g->finished = true;
		} else if (r != Z_OK) {
			return -EBADMSG; /* Z_BUF_ERROR: the input is cut off */
		}
	}
	*ret_n = want;
	return -EAGAIN;
}
