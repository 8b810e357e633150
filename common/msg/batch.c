/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is columns of fixed width behind a header of fixed size, so that reading it is one check
 * of the length and one copy. Values travel as their bits: a staleness marker is a NaN like no
 * other.
 */
#include "common/msg/samples.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/strbuf.h"

enum {
	HEADER_BYTES = 32,
	VERSION = 1,
	FLAG_TIMES = 1
};

static const char magic[4] = {'O', 'P', 'S', 'B'};

double ops_stale_nan(void)
{
	const uint64_t bits = OPS_STALE_NAN_BITS;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* Both columns are eight bytes wide: turned from the wire's order into this machine's in place, or
 * back. */
static void swap_order(char *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = ops_get_u64(cells + i * 8);
		memcpy(cells + i * 8, &v, sizeof(v));
	}
}

static void add_column(struct ops_strbuf *out, const void *cells, size_t n)
{
	if (n == 0)
		return;
	ops_strbuf_add(out, cells, n * 8);
	swap_order(out->data + out->len - n * 8, n);
}

void ops_batch_encode(const struct ops_batch *b, struct ops_strbuf *out)
{
	char header[HEADER_BYTES] = {0};
	ops_assert(b->n <= OPS_LAYOUT_MAX_SERIES);
	memcpy(header, magic, sizeof(magic));
	header[4] = VERSION;
	header[5] = b->times_ms != NULL ? FLAG_TIMES : 0;
	ops_put_u64(header + 8, b->layout_id);
	ops_put_u64(header + 16, (uint64_t)b->time_ms);
	ops_put_u32(header + 24, (uint32_t)b->n);
	ops_strbuf_reserve(out, HEADER_BYTES + b->n * (b->times_ms != NULL ? 16 : 8));
	ops_strbuf_add(out, header, sizeof(header));
	add_column(out, b->values, b->n);
	if (b->times_ms != NULL)
		add_column(out, b->times_ms, b->n);
}

int ops_batch_size(const void *data, size_t len, size_t *ret, struct ops_error *err)
{
	const char *at = data;
	if (len < HEADER_BYTES || memcmp(at, magic, sizeof(magic)) != 0)
		return ops_error_set(err, -EINVAL, "malformed batch: no header");
	size_t n = ops_get_u32(at + 24), cells = at[5] == FLAG_TIMES ? n * 2 : n;
	if ((len - HEADER_BYTES) / 8 < cells)
		return ops_error_set(err, -EINVAL, "malformed batch: cut off");
	*ret = HEADER_BYTES + cells * 8;
	return 0;
}

int ops_batch_decode(const void *data, size_t len, struct ops_strbuf *scratch,
	struct ops_batch *ret, struct ops_error *err)
{
	const char *at = data;
	if (len < HEADER_BYTES || memcmp(at, magic, sizeof(magic)) != 0)
		return ops_error_set(err, -EINVAL, "malformed batch: no header");
	if (at[4] != VERSION)
		return ops_error_set(err, -EINVAL, "malformed batch: unknown version %d", at[4]);
	bool times = at[5] == FLAG_TIMES;
	if ((at[5] != 0 && !times) || at[6] != 0 || at[7] != 0 || ops_get_u32(at + 28) != 0)
		return ops_error_set(err, -EINVAL, "malformed batch: reserved bytes are not zero");
	size_t n = ops_get_u32(at + 24), cells = times ? n * 2 : n;
	if (n > OPS_LAYOUT_MAX_SERIES)
		return ops_error_set(err, -EINVAL, "malformed batch: more than %u values",
			OPS_LAYOUT_MAX_SERIES);
	if (len != HEADER_BYTES + cells * 8)
		return ops_error_set(
			err, -EINVAL, "malformed batch: %zu bytes for %zu values", len, n);
	ops_strbuf_reset(scratch);
	ops_strbuf_add(scratch, at + HEADER_BYTES, cells * 8);
	swap_order(scratch->data, cells);
	const void *columns = scratch->data;
	*ret = (struct ops_batch){
		.layout_id = ops_get_u64(at + 8),
		.time_ms = (int64_t)ops_get_u64(at + 16),
		.values = columns,
		.n = n,
		.times_ms = times ? (const int64_t *)columns + n : NULL,
	};
	return 0;
}

/* ---- released ---- */

void ops_released_add(struct ops_strbuf *out, uint64_t layout_id)
{
	char id[8];
	ops_put_u64(id, layout_id);
	ops_strbuf_add(out, id, sizeof(id));
}

int ops_released_decode(const void *data, size_t len, void (*fn)(void *arg, uint64_t layout_id),
	void *arg, struct ops_error *err)
{
	const char *at = data;
	if (len == 0 || len % 8 != 0) {
		return ops_error_set(err, -EINVAL, "%zu bytes are no list of layout ids", len);
	}
	for (size_t i = 0; i < len; i += 8) {
		fn(arg, ops_get_u64(at + i));
	}
	return 0;
}
