/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An HTTP/1.x response as it lies in one flat buffer: head, then body. Pure functions; every byte
 * comes from a target and is not trusted.
 */
#include "common/base/def.h"

enum {
	COL_HEAD_MAX_BYTES = 64 * 1024
};

enum col_framing {
	COL_FRAMING_NONE,   /* no body */
	COL_FRAMING_LENGTH, /* content_length bytes */
	COL_FRAMING_CHUNKED,
	COL_FRAMING_CLOSE /* until the target hangs up */
};

struct col_head {
	int code;
	size_t len; /* of the head, its blank line included */
	enum col_framing framing;
	uint64_t content_length;
	bool keep_alive;
	bool gzip;		/* Content-Encoding */
	char content_type[256]; /* "" when absent */
};

/*
 * 0: *ret is set. -EAGAIN: not all of it is there yet. -EBADMSG: *ret_what says what is wrong
 * (constant text). Interim (1xx) responses are skipped: they count into ret->len.
 */
int col_head_parse(
	const char *data, size_t len, struct col_head *ret, const char **ret_what) OPS_MUST_CHECK;

struct col_chunks {	/* {0} to begin */
	size_t in, out; /* next byte to look at, end of the decoded body; offsets in the buffer */
	uint64_t left;	/* of the chunk under way */
	bool inside, trailer; /* in a chunk; behind the last one */
};
/*
 * Decodes what there is of a chunked body in place: decoded bytes move down to out. 0: the body is
 * complete and in is behind it. -EAGAIN, -EBADMSG as above. From `from` on, data belongs to the
 * body.
 */
int col_chunks_decode(
	struct col_chunks *c, char *data, size_t len, const char **ret_what) OPS_MUST_CHECK;
