/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw rows become segments. Segments are immutable; whoever reads them outside of the lock (the
 * block cut) is a reader like a query, so what holds them is buried, not freed.
 */
#include <string.h>

#include "common/base/strbuf.h"
#include "services/detector/store/state.h"

static void free_data(void *p)
{
	free(p);
}

void det_store_seal(struct det_store *s, struct det_group *g)
{
	if (g->nrows == 0) {
		return;
	}
	size_t before = g->bytes;
	struct ops_strbuf *out = &s->scratch;
	ops_strbuf_reset(out);
	int rc = det_group_encode(g, out);
	ops_assert(rc == 0); /* rows and columns are bounded: 1M x 32 x 9 bytes */
	uint8_t *data = ops_xmalloc(out->len);
	memcpy(data, out->data, out->len);
	const struct det_sealed b = {.data = data,
		.serial = ++s->serial,
		.first_ms = g->times[0],
		.last_ms = g->last_ms,
		.bytes = (uint32_t)out->len,
		.nrows = g->nrows};
	det_write_lock(s);
	det_group_sealed(g, &b);
	det_write_unlock(s);
	det_store_account(s, g, before);
}

void det_store_drop_segments(struct det_store *s, struct det_group *g, uint32_t n)
{
	size_t before = g->bytes;
	for (uint32_t i = 0; i < n; i++) {
		const struct det_sealed *b = &g->sealed[i];
		g->bytes -= sizeof(*b) + (b->file == NULL ? b->bytes : 0);
		if (b->file == NULL) {
			void *data;
			memcpy(&data, &b->data, sizeof(data));
			det_store_grave(s, free_data, data);
		}
	}
	if (n != 0) {
		g->nsealed -= n;
		memmove(g->sealed, g->sealed + n, g->nsealed * sizeof(g->sealed[0]));
	}
	det_store_account(s, g, before);
}
