/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers, and what is in them when an answer is complete. Buffers belong to the puller and are
 * lent for one answer: the one that was given back last is lent first, since it is in the cache.
 * A packed body is unpacked at once when it becomes about as long as the last one of its target;
 * others in slices, so that a large one does not hold up other targets.
 */
#include <errno.h>

#include "services/collector/pull_internal.h"

enum {
	BUFFER_LEAST = 64 * 1024,
	WHOLE_MOST = 4 << 20, /* unpacked at once, which takes some milliseconds at most */
	USUAL_RATIO = 12,
	IDLE_BUFFERS_BYTES = 8 << 20
};

/* ---- buffers ---- */

struct col_buffer *col_buffer_take(struct col_puller *p)
{
	struct col_buffer *b = p->idle;
	if (b == NULL) {
		return ops_xcalloc(1, sizeof(*b));
	}
	p->idle = b->next;
	p->idle_bytes -= b->cap;
	b->len = 0;
	return b;
}

void col_buffer_give(struct col_puller *p, struct col_buffer **slot)
{
	struct col_buffer *b = *slot;
	*slot = NULL;
	if (b == NULL) {
		return;
	}
	if (p->idle_bytes + b->cap > IDLE_BUFFERS_BYTES) {
		free(b->data);
		free(b);
		return;
	}
	b->next = p->idle;
	p->idle = b;
	p->idle_bytes += b->cap;
}

/* Room for n bytes behind what is there. */
void col_buffer_reserve(struct col_buffer *b, size_t n)
{
	if (b->cap - b->len >= n) {
		return;
	}
	b->cap = OPS_MAX(OPS_MAX(b->len + n, (size_t)BUFFER_LEAST), b->cap + b->cap / 2);
	b->data = ops_xrealloc(b->data, b->cap, 1);
}

/* ---- unpacking ---- */

void col_connection_unpack(struct col_connection *c)
{
	for (size_t turn = 0; turn < COL_TURN_BYTES;) {
		size_t n = 0;
		col_buffer_reserve(c->plain, BUFFER_LEAST);
		int r = col_gunzip_step(&c->gunzip, c->plain->data + c->plain->len,
			c->plain->cap - c->plain->len, &n);
		c->plain->len += n;
		turn += n;
		if (r == -EBADMSG) {
			col_connection_fail(
				c, OPS_HTTP_FAILED, "the answer's gzip body is damaged");
			return;
		}
		if (c->plain->len > c->pull.max_body_bytes) {
			col_connection_fail(c, OPS_HTTP_TOO_BIG, "the answer is too large");
			return;
		}
		if (r == 0) {
			c->last_plain_len = c->plain->len;
			col_connection_tell_body(c, c->plain->data, c->plain->len);
			return;
		}
	}
	ops_timer_start(c->again, 0);
}

/* How much to make room for: no more than asked for, and not by what the sender says. */
static size_t room_for(const struct col_connection *c, size_t packed)
{
	size_t expected = c->last_plain_len + c->last_plain_len / 8;
	if (c->last_plain_len == 0) {
		expected = OPS_MIN(packed, (size_t)WHOLE_MOST / USUAL_RATIO) * USUAL_RATIO;
	}
	expected = OPS_MAX(expected, (size_t)BUFFER_LEAST);
	return OPS_MIN(expected, c->pull.max_body_bytes);
}

static bool unpack_whole(struct col_connection *c, const char *from, size_t len)
{
	size_t room = room_for(c, len), n = 0;
	if (room > WHOLE_MOST) {
		return false;
	}
	col_buffer_reserve(c->plain, room);
	const struct col_packed packed = {from, len};
	if (!col_gunzip_whole(c->owner->gunzip, packed, c->plain->data, room, &n)) {
		return false;
	}
	c->plain->len = c->last_plain_len = n;
	return true;
}

/* The body is there, from `from` on. */
void col_connection_unpack_or_tell(struct col_connection *c, const char *from, size_t len)
{
	if (!c->head.gzip || len == 0) {
		col_connection_tell_body(c, from, len);
		return;
	}
	c->state = COL_UNPACKING;
	c->plain = col_buffer_take(c->owner);
	if (unpack_whole(c, from, len)) {
		col_connection_tell_body(c, c->plain->data, c->plain->len);
		return;
	}
	col_buffer_reserve(c->plain, len * 4);
	col_gunzip_start(&c->gunzip, from, len);
	col_connection_unpack(c);
}
