/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP/1.x message syntax (RFC 9112), pure: bytes in, verdict out. Strict on purpose: every shape
 * that two parsers could read differently is refused. Internal to common/net. A verdict is 0 or the
 * HTTP status to answer with; the reason is a constant text that also labels
 * ops_http_refused_total.
 */
#include "common/base/arena.h"
#include "common/base/strbuf.h"

enum {
	OPS_HTTP_MAX_FIELDS = 100
};

struct ops_http_field {
	const char *name, *value;
};

struct ops_http_head { /* strings live in the arena given to the parser */
	const char *method;
	const char *path;  /* raw, starts with '/', or "*" */
	const char *query; /* raw, behind '?'; "" when there is none */
	int minor;	   /* HTTP/1.minor */
	struct ops_http_field *fields;
	size_t nfields;
	bool keep_alive, chunked, expect_continue;
	uint64_t content_length; /* 0 when absent */
};

/*
 * Looks for the empty line that ends a head. *scan is where to go on (0 at first); *ret_len is the
 * length of the head with its empty line. 0 = complete or not yet (*ret_len == 0), else 400.
 */
int ops_http_head_scan(const char *data, size_t len, size_t *scan, size_t *ret_len,
	const char **ret_reason) OPS_MUST_CHECK;
/* data[0..len) is a whole head as found by ops_http_head_scan. 0, 400, 417, 431, 501 or 505. */
int ops_http_head_parse(struct ops_arena *a, const char *data, size_t len,
	struct ops_http_head *ret, const char **ret_reason) OPS_MUST_CHECK;
const char *ops_http_head_get(
	const struct ops_http_head *h, const char *name); /* first value, or NULL */
bool ops_http_is_token(const char *s, size_t len);

enum ops_http_chunk_state {
	OPS_CHUNK_SIZE,
	OPS_CHUNK_EXT,
	OPS_CHUNK_SIZE_LF,
	OPS_CHUNK_DATA,
	OPS_CHUNK_CR,
	OPS_CHUNK_LF,
	OPS_CHUNK_TRAILER,
	OPS_CHUNK_TRAILER_LF,
	OPS_CHUNK_END_LF,
	OPS_CHUNK_DONE
};

struct ops_http_chunked { /* zero is the start */
	enum ops_http_chunk_state state;
	uint64_t left;	   /* of this chunk */
	unsigned digits;   /* of the size line */
	size_t line_bytes; /* extension or trailer bytes so far, bounded */
	bool in_line;	   /* trailer: the line is not empty */
};
/*
 * Decodes what there is; *ret_used bytes were consumed; c->state is OPS_CHUNK_DONE at the end of
 * the body. 0, 400, or 413 when out would grow over limit_bytes.
 */
int ops_http_chunked_feed(struct ops_http_chunked *c, const char *data, size_t len,
	size_t limit_bytes, struct ops_strbuf *out, size_t *ret_used) OPS_MUST_CHECK;
