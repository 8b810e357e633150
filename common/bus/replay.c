/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed heads, then what varies, little-endian. Everything a peer chooses is checked against the
 * bytes that are there before it is used; numbers must ascend, so that a subscriber needs no
 * further check.
 */
#include "common/bus/replay.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/strbuf.h"

enum {
	REQUEST_HEAD =
		40, /* version, name length, max_records, epoch, from, acked, max_bytes, zero */
	ANSWER_HEAD = 48, /* version, name length, count, epoch, first, head, upto, zero */
	RECORD_HEAD = 12, /* seq, length */
	VERSION = 1,
	COUNT_AT = 4,
	UPTO_AT = 32
};

bool ops_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > OPS_NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr("_.:/-", c) == NULL))
			return false;
	}
	return true;
}

static int copy_name(const unsigned char *p, size_t len, char ret[OPS_NAME_MAX_BYTES + 1])
{
	if (!ops_name_valid((const char *)p, len))
		return -EBADMSG;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return 0;
}

void ops_replay_request_encode(const struct ops_replay_request *q, struct ops_strbuf *out)
{
	unsigned char head[REQUEST_HEAD] = {0};
	size_t name_len = strlen(q->consumer);

	ops_put_u16(head, VERSION);
	ops_put_u16(head + 2, (uint16_t)name_len);
	ops_put_u32(head + 4, q->max_records);
	ops_put_u64(head + 8, q->epoch);
	ops_put_u64(head + 16, q->from);
	ops_put_u64(head + 24, q->acked);
	ops_put_u32(head + 32, q->max_bytes);
	ops_strbuf_add(out, head, sizeof(head));
	ops_strbuf_add(out, q->consumer, name_len);
}

int ops_replay_request_decode(const void *data, size_t len, struct ops_replay_request *ret)
{
	const unsigned char *p = data;
	struct ops_replay_request q;

	if (len < REQUEST_HEAD || ops_get_u16(p) != VERSION ||
		ops_get_u16(p + 2) != len - REQUEST_HEAD || ops_get_u32(p + 36) != 0)
		return -EBADMSG;
	memset(&q, 0, sizeof(q));
	q.max_records = ops_get_u32(p + 4);
	q.epoch = ops_get_u64(p + 8);
	q.from = ops_get_u64(p + 16);
	q.acked = ops_get_u64(p + 24);
	q.max_bytes = ops_get_u32(p + 32);
	if (copy_name(p + REQUEST_HEAD, len - REQUEST_HEAD, q.consumer) != 0)
		return -EBADMSG;
	*ret = q;
	return 0;
}

void ops_replay_answer_begin(const struct ops_replay_answer *a, struct ops_strbuf *out)
{
	unsigned char head[ANSWER_HEAD] = {0};
	size_t name_len = strlen(a->stream);

	ops_put_u16(head, VERSION);
	ops_put_u16(head + 2, (uint16_t)name_len);
	ops_put_u64(head + 8, a->epoch);
	ops_put_u64(head + 16, a->first);
	ops_put_u64(head + 24, a->head);
	ops_strbuf_reset(out);
	ops_strbuf_add(out, head, sizeof(head));
	ops_strbuf_add(out, a->stream, name_len);
}

void ops_replay_answer_add(struct ops_strbuf *out, uint64_t seq, const void *record, size_t len)
{
	unsigned char head[RECORD_HEAD];

	ops_put_u64(head, seq);
	ops_put_u32(head + 8, (uint32_t)len);
	ops_strbuf_add(out, head, sizeof(head));
	if (len > 0)
		ops_strbuf_add(out, record, len);
}

void ops_replay_answer_finish(struct ops_strbuf *out, uint64_t upto, uint32_t count)
{
	ops_put_u32(out->data + COUNT_AT, count);
	ops_put_u64(out->data + UPTO_AT, upto);
}

int ops_replay_answer_decode(const void *data, size_t len, struct ops_replay_answer *ret,
	struct ops_replay_records *ret_records)
{
	const unsigned char *p = data;
	struct ops_replay_answer a;

	if (len < ANSWER_HEAD || ops_get_u16(p) != VERSION || ops_get_u64(p + 40) != 0)
		return -EBADMSG;
	size_t name_len = ops_get_u16(p + 2);
	if (name_len > len - ANSWER_HEAD)
		return -EBADMSG;
	memset(&a, 0, sizeof(a));
	a.count = ops_get_u32(p + COUNT_AT);
	a.epoch = ops_get_u64(p + 8);
	a.first = ops_get_u64(p + 16);
	a.head = ops_get_u64(p + 24);
	a.upto = ops_get_u64(p + UPTO_AT);
	/* head + 1 and first - 1 are computed with; nobody counts to 2^63. */
	if (copy_name(p + ANSWER_HEAD, name_len, a.stream) != 0 || a.first == 0 ||
		a.head > INT64_MAX || a.first > a.head + 1 || a.upto > a.head)
		return -EBADMSG;
	*ret = a;
	*ret_records = (struct ops_replay_records){p + ANSWER_HEAD + name_len, p + len, 0, a.count};
	return 0;
}

int ops_replay_next(struct ops_replay_records *r, struct ops_replay_record *ret)
{
	size_t have = (size_t)(r->end - r->at);

	if (r->left == 0)
		return have == 0 ? 1 : -EBADMSG;
	if (have < RECORD_HEAD)
		return -EBADMSG;
	uint64_t seq = ops_get_u64(r->at);
	size_t len = ops_get_u32(r->at + 8);
	if (len > have - RECORD_HEAD || seq <= r->last || seq > INT64_MAX)
		return -EBADMSG;
	*ret = (struct ops_replay_record){seq, (const char *)r->at + RECORD_HEAD, len};
	r->at += RECORD_HEAD + len;
	r->last = seq;
	r->left--;
	return 0;
}
