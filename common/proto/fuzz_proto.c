/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes as a message, and each LEN field once more as a message, to a depth. What is read and
 * written again must read the same.
 */
#include "common/proto/proto.h"

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_again(struct ops_strbuf *b, const struct ops_proto_field *f)
{
	if (f->wire == OPS_PROTO_VARINT) {
		ops_proto_put_varint(b, f->number, f->value);
	} else if (f->wire == OPS_PROTO_FIXED64) {
		ops_proto_put_double(b, f->number, ops_proto_double(f));
	} else if (f->wire == OPS_PROTO_LEN) {
		size_t mark = ops_proto_begin(b, f->number);
		ops_strbuf_add(b, f->data, f->len);
		ops_proto_end(b, mark);
	}
}

static void check_again(const struct ops_strbuf *b, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	struct ops_proto_field again;

	if (f->wire == OPS_PROTO_FIXED32)
		return;
	ops_proto_read(&r, b->data, b->len);
	ops_assert(ops_proto_next(&r, &again) == 1);
	ops_assert(again.number == f->number && again.wire == f->wire && again.value == f->value);
	if (f->wire == OPS_PROTO_LEN)
		ops_assert(again.len == f->len && memcmp(again.data, f->data, f->len) == 0);
	ops_assert(ops_proto_next(&r, &again) == 0);
}

static void read_elements(const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	uint64_t v;
	double d;

	ops_proto_elements(&r, f);
	while (ops_proto_next_varint(&r, &v) > 0)
		ops_assert(r.at <= r.end);
	ops_proto_elements(&r, f);
	while (ops_proto_next_double(&r, &d) > 0)
		ops_assert(r.at <= r.end);
}

static void walk(const uint8_t *data, size_t size, int depth)
{
	struct ops_proto_reader r;
	struct ops_proto_field f;

	ops_proto_read(&r, data, size);
	while (ops_proto_next(&r, &f) > 0) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		put_again(&b, &f);
		check_again(&b, &f);
		ops_strbuf_done(&b);
		read_elements(&f);
		if (f.wire == OPS_PROTO_LEN && depth > 0)
			walk(f.data, f.len, depth - 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	walk(data, size, 4);
	return 0;
}
