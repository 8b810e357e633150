/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The wire format of Protocol Buffers, read and written field by field: no schema, no generated
 * code. The reader goes over a slice that the caller keeps, allocates nothing, and never looks
 * beyond it; what it returns points into the slice. The writer appends to a buffer. Any thread.
 */
#include "common/base/bytes.h"

struct ops_strbuf;

enum ops_proto_wire {
	OPS_PROTO_VARINT = 0,
	OPS_PROTO_FIXED64 = 1,
	OPS_PROTO_LEN = 2, /* string, bytes, message, packed scalars */
	OPS_PROTO_FIXED32 = 5
};

#define OPS_PROTO_MAX_FIELD 536870911u /* 2^29 - 1 */

struct ops_proto_reader {
	const uint8_t *at, *end;
};

struct ops_proto_field {
	uint32_t number; /* 1..OPS_PROTO_MAX_FIELD */
	enum ops_proto_wire wire;
	uint64_t value;	     /* of a varint, fixed64 or fixed32; 0 for LEN */
	const uint8_t *data; /* LEN: its content; else the bytes of the value itself */
	size_t len;
};

/* data may be NULL when len is 0. */
void ops_proto_read(struct ops_proto_reader *r, const void *data, size_t len);
/*
 * 1 = *ret is the next field; 0 = the end; -EBADMSG = cut off, number 0, overlong varint or an
 * unknown wire type. Groups (deprecated, in none of our messages) are skipped, nested 32 deep at
 * most.
 */
int ops_proto_next(struct ops_proto_reader *r, struct ops_proto_field *ret) OPS_MUST_CHECK;

/* The whole of a message as the field that would hold it, for ops_proto_each. */
static inline struct ops_proto_field ops_proto_whole(const void *data, size_t len)
{
	return (struct ops_proto_field){.wire = OPS_PROTO_LEN, .data = data, .len = len};
}
/*
 * A nested message: fn gets its fields one by one, and ends the walk with anything but 0, which is
 * then the result. -EBADMSG: f is not of the wire type LEN, or its content is malformed.
 */
int ops_proto_each(const struct ops_proto_field *f,
	int (*fn)(void *arg, const struct ops_proto_field *part), void *arg) OPS_MUST_CHECK;

/*
 * Repeated scalars may come packed or one by one: either way a reader over the field's data gives
 * the elements of this occurrence. 1 = an element, 0 = the end, -EBADMSG.
 */
void ops_proto_elements(struct ops_proto_reader *r, const struct ops_proto_field *f);
int ops_proto_next_varint(struct ops_proto_reader *r, uint64_t *ret) OPS_MUST_CHECK;
int ops_proto_next_double(struct ops_proto_reader *r, double *ret) OPS_MUST_CHECK;

/* A field's value in the types of a .proto; the caller has checked the wire type. */
static inline int64_t ops_proto_zigzag(uint64_t v) /* sint32, sint64 */
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline double ops_proto_double(const struct ops_proto_field *f)
{
	double v;

	memcpy(&v, &f->value, sizeof(v));
	return v;
}

/* Fields of the value zero are written as well: leave them out where the .proto says so. */
void ops_proto_put_varint(struct ops_strbuf *b, uint32_t number, uint64_t v);
void ops_proto_put_sint(struct ops_strbuf *b, uint32_t number, int64_t v);
void ops_proto_put_double(struct ops_strbuf *b, uint32_t number, double v);
void ops_proto_put_bytes(struct ops_strbuf *b, uint32_t number, const void *data, size_t len);
/* Without a tag: an element of a packed field, or a length of our own. */
void ops_proto_put_raw(struct ops_strbuf *b, uint64_t v);
void ops_proto_put_raw_double(struct ops_strbuf *b, double v);
/*
 * A nested message or a packed field: what is appended between the two is its content. They nest
 * like brackets.
 */
size_t ops_proto_begin(struct ops_strbuf *b, uint32_t number) OPS_MUST_CHECK;
void ops_proto_end(struct ops_strbuf *b, size_t mark);
