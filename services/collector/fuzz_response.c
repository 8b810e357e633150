/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target's answer as the scrape client reads it. Head and chunks arrive in two pieces, cut where
 * the first byte says, and must give what they give in one; gzip bodies are unpacked in small
 * steps and at once, with the same result.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "services/collector/gunzip.h"
#include "services/collector/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	UNPACK_MAX = 1 << 20
};

/* Decodes the chunks of data in two pieces; *ret_out is the length of the body. */
static int decode(char *data, size_t len, size_t cut, size_t *ret_out)
{
	struct col_chunks c = {.in = 0};
	const char *what = NULL;
	int r = col_chunks_decode(&c, data, cut, &what);
	if (r == -EAGAIN) {
		ops_assert(c.in <= cut && c.out <= c.in);
		memmove(data + c.out, data + c.in, len - c.in);
		len = c.out + len - c.in;
		c.in = c.out;
		r = col_chunks_decode(&c, data, len, &what);
	}
	ops_assert((what != NULL) == (r == -EBADMSG));
	*ret_out = c.out;
	return r;
}

static void check_chunks(const char *body, size_t len, size_t cut)
{
	char *whole = ops_xmalloc(len + 1), *pieces = ops_xmalloc(len + 1);
	size_t whole_len = 0, pieces_len = 0;
	memcpy(whole, body, len);
	memcpy(pieces, body, len);
	int r = decode(whole, len, len, &whole_len);
	int q = decode(pieces, len, OPS_MIN(cut, len), &pieces_len);
	ops_assert(r == q);
	ops_assert(r != 0 || (whole_len == pieces_len && memcmp(whole, pieces, whole_len) == 0));
	free(whole);
	free(pieces);
}

static void check_gunzip(const char *body, size_t len)
{
	static char whole[UNPACK_MAX], sliced[UNPACK_MAX];
	static struct libdeflate_decompressor *d;
	struct col_gunzip g = {.z = NULL};
	size_t all = 0, whole_len = 0;
	int r = -EAGAIN;
	col_gunzip_start(&g, body, len);
	while (r == -EAGAIN && all < UNPACK_MAX) {
		size_t n = 0, room = OPS_MIN((size_t)4096, UNPACK_MAX - all);
		r = col_gunzip_step(&g, sliced + all, room, &n);
		ops_assert(n <= room);
		all += n;
	}
	col_gunzip_done(&g);
	d = d != NULL ? d : col_gunzip_whole_new();
	if (col_gunzip_whole(d, (struct col_packed){body, len}, whole, UNPACK_MAX, &whole_len)) {
		ops_assert((r == 0 || all == UNPACK_MAX) && whole_len == all);
		ops_assert(memcmp(whole, sliced, all) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	struct col_head h;
	const char *what = NULL;
	size_t len = size - 1;
	char *text = ops_xmalloc(len > 0 ? len : 1); /* exact: one byte too far must be seen */
	memcpy(text, data + 1, len);
	int r = col_head_parse(text, len, &h, &what);
	ops_assert((what != NULL) == (r == -EBADMSG));
	if (r == 0) {
		ops_assert(h.len <= len && h.code >= 200 && h.code <= 999);
		check_chunks(text + h.len, len - h.len, data[0]);
		check_gunzip(text + h.len, len - h.len);
	}
	free(text);
	return 0;
}
