/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding): a message is a row of
 * (tag, value); a tag is field number << 3 | wire type. That is all of it that a reader of three
 * message families needs, so there is no code generator and no run-time library here.
 *
 * Invariants: at <= end; every length is compared with what is left before the cursor moves, so
 * no arithmetic on a peer's number can pass the end. Nesting costs no stack: a nested message is
 * another reader over a part of the slice, and the caller's own code bounds its depth. A varint
 * has at most ten bytes, and the tenth holds one bit only.
 *
 * Writing a nested message needs its length before its content. One byte is kept for it, and the
 * content is moved when that is not enough: cheaper than a first pass over everything, as nearly
 * all messages here are shorter than 128 bytes.
 */
#include "common/proto/proto.h"

#include <errno.h>

#include "common/base/strbuf.h"

enum {
	WIRE_GROUP_BEGIN = 3,
	WIRE_GROUP_END = 4,
	MAX_GROUPS = 32,
	MAX_VARINT_BYTES = 10
};

void ops_proto_read(struct ops_proto_reader *r, const void *data, size_t len)
{
	static const uint8_t nothing[1];

	r->at = len > 0 ? data : nothing;
	r->end = r->at + len;
}

static int read_varint(struct ops_proto_reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < MAX_VARINT_BYTES && r->at + i < r->end; i++) {
		uint8_t byte = r->at[i];
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte >= 0x80)
			continue;
		if (i == MAX_VARINT_BYTES - 1 && byte > 1)
			return -EBADMSG;
		r->at += i + 1;
		*ret = v;
		return 0;
	}
	return -EBADMSG;
}

static int read_tag(struct ops_proto_reader *r, uint32_t *ret_number, unsigned *ret_wire)
{
	uint64_t tag;

	if (read_varint(r, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > OPS_PROTO_MAX_FIELD)
		return -EBADMSG;
	*ret_number = (uint32_t)(tag >> 3);
	*ret_wire = (unsigned)(tag & 7);
	return 0;
}

static int take(struct ops_proto_reader *r, uint64_t len, struct ops_proto_field *ret)
{
	if (len > (size_t)(r->end - r->at))
		return -EBADMSG;
	ret->data = r->at;
	ret->len = (size_t)len;
	r->at += len;
	return 0;
}

static int read_value(struct ops_proto_reader *r, unsigned wire, struct ops_proto_field *ret)
{
	const uint8_t *begin = r->at;
	uint64_t v = 0;

	switch (wire) {
	case OPS_PROTO_VARINT:
		if (read_varint(r, &v) < 0)
			return -EBADMSG;
		ret->data = begin;
		ret->len = (size_t)(r->at - begin);
		break;
	case OPS_PROTO_FIXED64:
		if (take(r, 8, ret) < 0)
			return -EBADMSG;
		v = ops_get_u64(begin);
		break;
	case OPS_PROTO_FIXED32:
		if (take(r, 4, ret) < 0)
			return -EBADMSG;
		v = ops_get_u32(begin);
		break;
	case OPS_PROTO_LEN:
		if (read_varint(r, &v) < 0 || take(r, v, ret) < 0)
			return -EBADMSG;
		v = 0;
		break;
	default:
		return -EBADMSG;
	}
	ret->wire = (enum ops_proto_wire)wire;
	ret->value = v;
	return 0;
}

/* Behind a group's begin tag: to behind the end tag that belongs to it. */
static int skip_group(struct ops_proto_reader *r, uint32_t number)
{
	uint32_t open[MAX_GROUPS] = {number};
	unsigned depth = 1, wire;
	struct ops_proto_field f;

	while (depth > 0) {
		if (read_tag(r, &number, &wire) < 0)
			return -EBADMSG;
		if (wire == WIRE_GROUP_BEGIN) {
			if (depth == MAX_GROUPS)
				return -EBADMSG;
			open[depth++] = number;
		} else if (wire == WIRE_GROUP_END) {
			if (open[--depth] != number)
				return -EBADMSG;
		} else if (read_value(r, wire, &f) < 0) {
			return -EBADMSG;
		}
	}
	return 0;
}

int ops_proto_next(struct ops_proto_reader *r, struct ops_proto_field *ret)
{
	unsigned wire;

	while (r->at < r->end) {
		if (read_tag(r, &ret->number, &wire) < 0)
			return -EBADMSG;
		if (wire != WIRE_GROUP_BEGIN)
			return read_value(r, wire, ret) < 0 ? -EBADMSG : 1;
		if (skip_group(r, ret->number) < 0)
			return -EBADMSG;
	}
	return 0;
}

int ops_proto_each(const struct ops_proto_field *f,
	int (*fn)(void *arg, const struct ops_proto_field *part), void *arg)
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		rc = fn(arg, &part);
		if (rc != 0)
			return rc;
	}
	return rc;
}

void ops_proto_elements(struct ops_proto_reader *r, const struct ops_proto_field *f)
{
	ops_proto_read(r, f->data, f->len);
}

int ops_proto_next_varint(struct ops_proto_reader *r, uint64_t *ret)
{
	if (r->at == r->end)
		return 0;
	return read_varint(r, ret) < 0 ? -EBADMSG : 1;
}

int ops_proto_next_double(struct ops_proto_reader *r, double *ret)
{
	if (r->at == r->end)
		return 0;
	if (r->end - r->at < 8)
		return -EBADMSG;
	uint64_t bits = ops_get_u64(r->at);
	memcpy(ret, &bits, sizeof(*ret));
	r->at += 8;
	return 1;
}

static size_t encode_varint(uint64_t v, uint8_t out[MAX_VARINT_BYTES])
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

void ops_proto_put_raw(struct ops_strbuf *b, uint64_t v)
{
	uint8_t bytes[MAX_VARINT_BYTES];

	ops_strbuf_add(b, bytes, encode_varint(v, bytes));
}

static void put_tag(struct ops_strbuf *b, uint32_t number, enum ops_proto_wire wire)
{
	ops_assert(number >= 1 && number <= OPS_PROTO_MAX_FIELD);
	ops_proto_put_raw(b, (uint64_t)number << 3 | wire);
}

void ops_proto_put_varint(struct ops_strbuf *b, uint32_t number, uint64_t v)
{
	put_tag(b, number, OPS_PROTO_VARINT);
	ops_proto_put_raw(b, v);
}

void ops_proto_put_sint(struct ops_strbuf *b, uint32_t number, int64_t v)
{
	ops_proto_put_varint(b, number, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void ops_proto_put_raw_double(struct ops_strbuf *b, double v)
{
	uint8_t bytes[8];
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	ops_put_u64(bytes, bits);
	ops_strbuf_add(b, bytes, sizeof(bytes));
}

void ops_proto_put_double(struct ops_strbuf *b, uint32_t number, double v)
{
	put_tag(b, number, OPS_PROTO_FIXED64);
	ops_proto_put_raw_double(b, v);
}

void ops_proto_put_bytes(struct ops_strbuf *b, uint32_t number, const void *data, size_t len)
{
	put_tag(b, number, OPS_PROTO_LEN);
	ops_proto_put_raw(b, len);
	ops_strbuf_add(b, data, len);
}

size_t ops_proto_begin(struct ops_strbuf *b, uint32_t number)
{
	put_tag(b, number, OPS_PROTO_LEN);
	ops_strbuf_addc(b, 0);
	return b->len;
}

void ops_proto_end(struct ops_strbuf *b, size_t mark)
{
	uint8_t bytes[MAX_VARINT_BYTES];
	size_t len = b->len - mark, n = encode_varint(len, bytes);

	ops_assert(mark > 0 && mark <= b->len);
	if (n > 1) {
		ops_strbuf_add(b, bytes, n - 1); /* room */
		memmove(b->data + mark + n - 1, b->data + mark, len);
	}
	memcpy(b->data + mark - 1, bytes, n);
}
