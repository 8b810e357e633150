/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of a record: u64 samples before, u32 samples in it, u32 version = 2, u64 exemplars before,
 * u32 exemplars in it, u32 zero, then fields of the protobuf wire format (our own reader and
 * writer, bounded):
 *   1 row       {1 layout id fixed64, 2 time, 3 doubles}
 *   2 sample    {1 labels, 2 time, 4 value fixed64}
 *   3 histogram {1 labels, 2 time, 3 ops_histogram_encode()}
 *   4 exemplar  {1 labels of the series, 2 time, 4 value fixed64, 5 labels of the exemplar}
 * labels: {1 name, 2 value, 1 name, 2 value, ...} in the order of the set.
 *
 * Version 1, which queues of before exemplars hold, ends its head after the version.
 *
 * "Samples before" counts what was ever appended to this queue. The difference between two records
 * that are read one after the other says how many samples fell out between them, whoever dropped
 * the segment, and it survives a restart.
 *
 * A row costs eight bytes a sample and no label: most samples come in rows.
 */
#include "services/detector/remote/journal.h"

#include <errno.h>
#include <string.h>

#include "common/proto/proto.h"

enum {
	HEADER_1_BYTES = 16,
	HEADER_BYTES = 32,
	VERSION = 2,
	F_ROW = 1,
	F_SAMPLE = 2,
	F_HISTOGRAM = 3,
	F_EXEMPLAR = 4,
	MAX_LABELS = 512
};

void det_journal_done(struct det_journal *j)
{
	ops_strbuf_done(&j->bytes);
}

void det_journal_reset(struct det_journal *j)
{
	ops_strbuf_reset(&j->bytes);
	j->nsamples = j->nexemplars = 0;
}

static void begin(struct det_journal *j)
{
	static const char zeros[HEADER_BYTES];

	if (j->bytes.len == 0)
		ops_strbuf_add(&j->bytes, zeros, sizeof(zeros));
}

static double as_double(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

void det_journal_row(struct det_journal *j, const struct det_store_row *row, size_t nstored)
{
	begin(j);
	size_t mark = ops_proto_begin(&j->bytes, F_ROW);
	ops_proto_put_double(&j->bytes, 1, as_double(row->layout_id));
	ops_proto_put_varint(&j->bytes, 2, (uint64_t)row->time_ms);
	size_t values = ops_proto_begin(&j->bytes, 3);
	ops_strbuf_reserve(&j->bytes, row->n * sizeof(double));
	for (size_t i = 0; i < row->n; i++)
		ops_proto_put_raw_double(&j->bytes, row->values[i]);
	ops_proto_end(&j->bytes, values);
	ops_proto_end(&j->bytes, mark);
	j->nsamples += (uint32_t)nstored;
}

void det_journal_put_labels(struct ops_strbuf *b, const struct ops_labels *labels)
{
	for (uint32_t i = 0; labels != NULL && i < labels->n; i++) {
		const struct ops_label *l = &labels->items[i];
		ops_proto_put_bytes(b, 1, l->name, l->name_len);
		ops_proto_put_bytes(b, 2, l->value, l->value_len);
	}
}

static size_t begin_single(
	struct det_journal *j, uint32_t number, const struct ops_labels *labels, int64_t time_ms)
{
	begin(j);
	size_t mark = ops_proto_begin(&j->bytes, number);
	size_t inner = ops_proto_begin(&j->bytes, 1);
	det_journal_put_labels(&j->bytes, labels);
	ops_proto_end(&j->bytes, inner);
	ops_proto_put_varint(&j->bytes, 2, (uint64_t)time_ms);
	return mark;
}

void det_journal_sample(
	struct det_journal *j, const struct ops_labels *labels, int64_t time_ms, double value)
{
	size_t mark = begin_single(j, F_SAMPLE, labels, time_ms);

	ops_proto_put_double(&j->bytes, 4, value);
	ops_proto_end(&j->bytes, mark);
	j->nsamples++;
}

void det_journal_histogram(struct det_journal *j, const struct ops_labels *labels, int64_t time_ms,
	const struct ops_histogram *h)
{
	size_t mark = begin_single(j, F_HISTOGRAM, labels, time_ms);
	size_t blob = ops_proto_begin(&j->bytes, 3);

	ops_histogram_encode(h, &j->bytes);
	ops_proto_end(&j->bytes, blob);
	ops_proto_end(&j->bytes, mark);
	j->nsamples++;
}

void det_journal_exemplar(struct det_journal *j, const struct ops_exemplar *e)
{
	size_t mark = begin_single(j, F_EXEMPLAR, e->series, e->time_ms);

	ops_proto_put_double(&j->bytes, 4, e->value);
	size_t inner = ops_proto_begin(&j->bytes, 5);
	det_journal_put_labels(&j->bytes, e->labels);
	ops_proto_end(&j->bytes, inner);
	ops_proto_end(&j->bytes, mark);
	j->nexemplars++;
}

const char *det_journal_record(
	struct det_journal *j, const struct det_journal_counts *before, size_t *ret_len)
{
	begin(j);
	ops_put_u64(j->bytes.data, before->samples);
	ops_put_u32(j->bytes.data + 8, j->nsamples);
	ops_put_u32(j->bytes.data + 12, VERSION);
	ops_put_u64(j->bytes.data + 16, before->exemplars);
	ops_put_u32(j->bytes.data + 24, j->nexemplars);
	ops_put_u32(j->bytes.data + 28, 0);
	*ret_len = j->bytes.len;
	return j->bytes.data;
}

/* ---- reading -------------------------------------------------------------------------------- */

int det_journal_header(const void *data, size_t len, struct det_journal_header *ret)
{
	const uint8_t *p = data;

	*ret = (struct det_journal_header){.bytes = HEADER_1_BYTES};
	if (len < HEADER_1_BYTES)
		return -EBADMSG;
	uint32_t version = ops_get_u32(p + 12);
	if (version != 1 && (version != VERSION || len < HEADER_BYTES))
		return -EBADMSG;
	ret->before.samples = ops_get_u64(p);
	ret->nsamples = ops_get_u32(p + 8);
	if (version == VERSION) {
		ret->before.exemplars = ops_get_u64(p + 16);
		ret->nexemplars = ops_get_u32(p + 24);
		ret->bytes = HEADER_BYTES;
	}
	return 0;
}

struct entry {
	struct det_journal_entry e;
	bool row;
};

static int read_part(void *arg, const struct ops_proto_field *f)
{
	static const enum ops_proto_wire wires[] = {OPS_PROTO_LEN, OPS_PROTO_LEN, OPS_PROTO_VARINT,
		OPS_PROTO_LEN, OPS_PROTO_FIXED64, OPS_PROTO_LEN};
	struct entry *to = arg;
	struct det_journal_entry *e = &to->e;

	if (f->number >= OPS_LENGTH(wires))
		return 0;
	if (f->wire != (to->row && f->number == 1 ? OPS_PROTO_FIXED64 : wires[f->number]))
		return -EBADMSG;
	if (f->number == 1 && to->row) {
		e->layout_id = f->value;
	} else if (f->number == 1) {
		e->labels = f->data;
		e->labels_len = f->len;
	} else if (f->number == 2) {
		e->time_ms = (int64_t)f->value;
	} else if (f->number == 3) {
		e->blob = f->data;
		e->blob_len = f->len;
	} else if (f->number == 5) {
		e->exemplar_labels = f->data;
		e->exemplar_labels_len = f->len;
	} else {
		e->value = ops_proto_double(f);
	}
	return 0;
}

static bool whole(uint32_t number, const struct det_journal_entry *e)
{
	if (number == F_ROW)
		return e->layout_id != 0 && e->blob_len % 8 == 0;
	return e->labels_len > 0 && (number != F_HISTOGRAM || e->blob != NULL);
}

struct reading {
	void (*fn)(void *arg, const struct det_journal_entry *e);
	void *arg;
};

static int read_entry(void *arg, const struct ops_proto_field *f)
{
	const struct reading *r = arg;
	struct entry to = {.row = f->number == F_ROW};

	if (f->number > F_EXEMPLAR)
		return 0;
	to.e.exemplar = f->number == F_EXEMPLAR;
	if (ops_proto_each(f, read_part, &to) < 0 || !whole(f->number, &to.e))
		return -EBADMSG;
	r->fn(r->arg, &to.e);
	return 0;
}

int det_journal_read(const void *data, size_t len,
	void (*fn)(void *arg, const struct det_journal_entry *e), void *arg)
{
	struct det_journal_header h;
	struct reading r = {fn, arg};
	int rc = det_journal_header(data, len, &h);

	if (rc < 0)
		return rc;
	const struct ops_proto_field entries =
		ops_proto_whole((const uint8_t *)data + h.bytes, len - h.bytes);
	return ops_proto_each(&entries, read_entry, &r);
}

struct ops_labels *det_journal_labels(const uint8_t *data, size_t len)
{
	struct ops_label labels[MAX_LABELS];
	size_t n = 0;
	struct ops_proto_reader r;
	struct ops_proto_field name, value;

	ops_proto_read(&r, data, len);
	while (ops_proto_next(&r, &name) > 0) {
		if (n == MAX_LABELS || ops_proto_next(&r, &value) <= 0 || name.number != 1 ||
			value.number != 2 || name.wire != OPS_PROTO_LEN ||
			value.wire != OPS_PROTO_LEN || name.len > UINT32_MAX ||
			value.len > UINT32_MAX)
			return NULL;
		labels[n++] = (struct ops_label){.name = (const char *)name.data,
			.value = (const char *)value.data,
			.name_len = (uint32_t)name.len,
			.value_len = (uint32_t)value.len};
	}
	return n > 0 && r.at == r.end ? ops_labels_from_sorted(labels, n) : NULL;
}
