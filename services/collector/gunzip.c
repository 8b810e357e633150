/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlib's inflate on a whole input. Members may follow each other (RFC 1952, section 2.2); what is
 * no member behind the last one is refused, since a body that was cut and joined must not look
 * complete.
 */
#include "services/collector/gunzip.h"

#include <errno.h>
#include <string.h>

#include <zlib.h>

enum {
	GZIP_WINDOW = 15 + 16
};

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
