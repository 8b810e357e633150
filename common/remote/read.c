/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote read's messages (prompb/remote.proto). A frame of the streamed form is: length as a
 * varint, CRC32C of the message big-endian, the message (ChunkedReadResponse).
 */
#include "common/remote/read.h"

#include <errno.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/text.h"
#include "common/remote/types.h"

enum {
	TYPE_SAMPLES = 0,
	TYPE_CHUNKS = 1
};

static int malformed(struct ops_error *err, const char *what)
{
	return ops_error_set(
		err, -EBADMSG, "could not decode a remote read: %s is malformed", what);
}

static const char *text_of(struct ops_arena *a, const struct ops_proto_field *f)
{
	const char *s = (const char *)f->data;

	if (f->len > OPS_REMOTE_MAX_TEXT || memchr(s, '\0', f->len) != NULL ||
		!ops_utf8_valid(s, f->len))
		return NULL;
	return ops_arena_strndup(a, s, f->len);
}

static int decode_matcher(struct ops_arena *a, const struct ops_proto_field *f,
	struct ops_matchers *ms, struct ops_error *err)
{
	const char *texts[2] = {"", ""};
	uint64_t op = OPS_MATCH_EQ;
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		if (part.number > 3)
			continue;
		if (part.wire != (part.number == 1 ? OPS_PROTO_VARINT : OPS_PROTO_LEN))
			return malformed(err, "a matcher");
		if (part.number == 1)
			op = part.value;
		else if ((texts[part.number - 2] = text_of(a, &part)) == NULL)
			return malformed(err, "the text of a matcher");
	}
	if (rc < 0 || op > OPS_MATCH_NRE || texts[0][0] == '\0')
		return malformed(err, "a matcher");
	return ops_matchers_add(ms, (enum ops_match_op)op, texts[0], texts[1], err);
}

static int hint_part(
	struct ops_arena *a, const struct ops_proto_field *part, struct ops_remote_hints *h)
{
	int64_t *numbers[] = {
		[1] = &h->step_ms, [3] = &h->start_ms, [4] = &h->end_ms, [7] = &h->range_ms};

	if (part->number == 2) {
		h->func = part->wire == OPS_PROTO_LEN ? text_of(a, part) : NULL;
		return h->func != NULL ? 0 : -EBADMSG;
	}
	if (part->number >= OPS_LENGTH(numbers) || numbers[part->number] == NULL)
		return 0;
	*numbers[part->number] = (int64_t)part->value;
	return part->wire == OPS_PROTO_VARINT ? 0 : -EBADMSG;
}

static int decode_hints(struct ops_arena *a, const struct ops_proto_field *f,
	struct ops_remote_hints *h, struct ops_error *err)
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0)
		if ((rc = hint_part(a, &part, h)) < 0)
			break;
	return rc < 0 ? malformed(err, "a hint") : 0;
}

static int query_part(struct ops_arena *a, const struct ops_proto_field *part,
	struct ops_remote_query *q, struct ops_error *err)
{
	bool number = part->number <= 2;

	if (part->number > 4)
		return 0;
	if (part->wire != (number ? OPS_PROTO_VARINT : OPS_PROTO_LEN))
		return malformed(err, "a query");
	if (number) {
		*(part->number == 1 ? &q->start_ms : &q->end_ms) = (int64_t)part->value;
		return 0;
	}
	if (part->number == 4)
		return decode_hints(a, part, &q->hints, err);
	if (q->matchers.n == OPS_REMOTE_MAX_MATCHERS)
		return malformed(err, "a query with too many matchers");
	return decode_matcher(a, part, &q->matchers, err);
}

static int decode_query(struct ops_arena *a, const struct ops_proto_field *f,
	struct ops_remote_query *q, struct ops_error *err)
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	q->hints.func = "";
	ops_matchers_init(&q->matchers);
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0)
		if ((rc = query_part(a, &part, q, err)) < 0)
			return rc;
	return rc < 0 ? malformed(err, "a query") : 0;
}

/* The first type that we know decides. */
static int decode_types(const struct ops_proto_field *f, bool *decided, struct ops_remote_read *ret)
{
	struct ops_proto_reader r;
	uint64_t type;
	int rc;

	if (f->wire != OPS_PROTO_VARINT && f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_elements(&r, f);
	while ((rc = ops_proto_next_varint(&r, &type)) > 0) {
		if (*decided || type > TYPE_CHUNKS)
			continue;
		*decided = true;
		ret->chunks = type == TYPE_CHUNKS;
	}
	return rc;
}

/* So that the array has its size before the queries are decoded. */
static int count_queries(const void *data, size_t len, struct ops_error *err, size_t *ret)
{
	struct ops_proto_reader r;
	struct ops_proto_field f;
	int rc;

	*ret = 0;
	ops_proto_read(&r, data, len);
	while ((rc = ops_proto_next(&r, &f)) > 0)
		*ret += f.number == 1;
	if (rc < 0)
		return malformed(err, "the message");
	if (*ret > OPS_REMOTE_MAX_QUERIES)
		return malformed(err, "a message with so many queries");
	return 0;
}

static int decode_part(struct ops_arena *a, const struct ops_proto_field *f, bool *decided,
	struct ops_remote_read *ret, struct ops_error *err)
{
	if (f->number == 2)
		return decode_types(f, decided, ret) < 0 ? malformed(err, "a response type") : 0;
	if (f->number != 1)
		return 0;
	if (f->wire != OPS_PROTO_LEN)
		return malformed(err, "a query");
	return decode_query(a, f, &ret->queries[ret->n++], err);
}

int ops_remote_read_decode(const void *data, size_t len, struct ops_arena *a,
	struct ops_remote_read *ret, struct ops_error *err)
{
	struct ops_remote_read found = {0};
	struct ops_proto_reader r;
	struct ops_proto_field f;
	bool decided = false;
	size_t n;
	int rc = count_queries(data, len, err, &n);

	if (rc < 0)
		return rc;
	found.queries = ops_arena_array(a, struct ops_remote_query, n);
	ops_proto_read(&r, data, len);
	while ((rc = ops_proto_next(&r, &f)) > 0) {
		rc = decode_part(a, &f, &decided, &found, err);
		if (rc < 0)
			break;
	}
	if (rc < 0)
		ops_remote_read_done(&found);
	else
		*ret = found;
	return rc;
}

void ops_remote_read_done(struct ops_remote_read *r)
{
	for (size_t i = 0; i < r->n; i++)
		ops_matchers_done(&r->queries[i].matchers);
	r->n = 0;
}

size_t ops_remote_result_begin(struct ops_strbuf *b)
{
	return ops_proto_begin(b, 1);
}

void ops_remote_result_series(struct ops_strbuf *b, const struct ops_remote_series *s)
{
	ops_remote_put_series(b, 1, s);
}

void ops_remote_result_end(struct ops_strbuf *b, size_t mark)
{
	ops_proto_end(b, mark);
}

static void put_chunk(struct ops_strbuf *b, const struct ops_remote_chunk *c)
{
	size_t mark = ops_proto_begin(b, 2);

	ops_proto_put_varint(b, 1, (uint64_t)c->min_ms);
	ops_proto_put_varint(b, 2, (uint64_t)c->max_ms);
	ops_proto_put_varint(b, 3, c->encoding);
	ops_proto_put_bytes(b, 4, c->data, c->len);
	ops_proto_end(b, mark);
}

void ops_remote_frame(struct ops_strbuf *b, const struct ops_labels *labels,
	const struct ops_remote_chunk *chunks, size_t n, size_t query)
{
	struct ops_strbuf message = OPS_STRBUF_INIT;
	size_t mark = ops_proto_begin(&message, 1);

	ops_remote_put_labels(&message, 1, labels->items, labels->n);
	for (size_t i = 0; i < n; i++)
		put_chunk(&message, &chunks[i]);
	ops_proto_end(&message, mark);
	if (query != 0)
		ops_proto_put_varint(&message, 2, query);
	uint32_t crc = htobe32(ops_crc32c(0, message.data, message.len));
	ops_proto_put_raw(b, message.len);
	ops_strbuf_add(b, &crc, sizeof(crc));
	ops_strbuf_add(b, message.data, message.len);
	ops_strbuf_done(&message);
}
