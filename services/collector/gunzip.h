/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A gzip body, unpacked at once where there is room for all of it, or in slices so that a large one
 * does not hold up the loop. Loop thread.
 */
#include "common/base/def.h"

struct z_stream_s;
struct libdeflate_decompressor;

struct col_packed {
	const void *data;
	size_t len;
};

struct libdeflate_decompressor *col_gunzip_whole_new(void);
void col_gunzip_whole_free(struct libdeflate_decompressor *d); /* NULL is fine */
/* False: more than room, or something for the slices to judge; out may have been written to. */
bool col_gunzip_whole(struct libdeflate_decompressor *d, struct col_packed from, char *out,
	size_t room, size_t *ret_len) OPS_MUST_CHECK;

struct col_gunzip {	      /* in slices; embedded by value */
	struct z_stream_s *z; /* NULL while not in use */
	bool finished;	      /* the last member ended */
};

void col_gunzip_start(struct col_gunzip *g, const void *data, size_t len);
void col_gunzip_done(struct col_gunzip *g); /* also when not in use */
/*
 * Writes up to room bytes to out, *ret_n of them. 0: that was the end. -EAGAIN: there is more.
 * -EBADMSG: not gzip, damaged or cut off.
 */
int col_gunzip_step(struct col_gunzip *g, void *out, size_t room, size_t *ret_n) OPS_MUST_CHECK;
