/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A gzip body, unpacked in slices so that a large one does not hold up the loop. Embedded by value.
 */
#include "common/base/def.h"

struct z_stream_s;

struct col_gunzip {
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
