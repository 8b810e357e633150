/* SPDX-License-Identifier: Apache-2.0 */
/* gzip of an answer in pieces, on the worker that makes it: the loop should only copy bytes. */
#include "services/detector/api/job.h"

#include <zlib.h>

struct det_packer {
	z_stream z;
};

struct det_packer *det_packer_new(bool much)
{
	struct det_packer *p = ops_xcalloc(1, sizeof(*p));
	int level = much ? 1 : 6;
	ops_assert(deflateInit2(&p->z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	return p;
}

void det_packer_free(struct det_packer *p)
{
	if (p != NULL) {
		deflateEnd(&p->z);
		free(p);
	}
}

void det_packer_add(
	struct det_packer *p, const struct ops_strbuf *in, bool last, struct ops_strbuf *out)
{
	size_t at = 0;
	int rc = Z_OK;
	while (at < in->len || (last && rc != Z_STREAM_END)) {
		size_t n = OPS_MIN(in->len - at, (size_t)1 << 30);
		ops_strbuf_reserve(out, 65536);
		size_t room = OPS_MIN(out->cap - out->len - 1, (size_t)1 << 30);
		p->z.next_in = (z_const Bytef *)(uintptr_t)(ops_strbuf_text(in) + at);
		p->z.avail_in = (uInt)n;
		p->z.next_out = (Bytef *)out->data + out->len;
		p->z.avail_out = (uInt)room;
		rc = deflate(&p->z, last && at + n == in->len ? Z_FINISH : Z_NO_FLUSH);
		ops_assert(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
		at += n - p->z.avail_in;
		out->len += room - p->z.avail_out;
	}
}
