/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as a record of a queue, with and without a header of either version that is right. */
#include "services/detector/remote/journal.h"

#include <string.h>

#include "common/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *arg, const struct det_journal_entry *e)
{
	const uint8_t **end = arg;
	struct ops_labels *labels = det_journal_labels(e->labels, e->labels_len);

	ops_assert(e->layout_id == 0 || e->blob_len % 8 == 0);
	ops_assert(e->blob == NULL || e->blob + e->blob_len <= *end);
	ops_labels_unref(labels);
	labels = det_journal_labels(e->exemplar_labels, e->exemplar_labels_len);
	ops_labels_unref(labels);
}

static void read_record(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct det_journal_header header;

	if (det_journal_header(data, size, &header) == 0)
		ops_assert(size >= 16);
	if (det_journal_read(data, size, look, &end) == 0)
		ops_assert(size >= 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	char header[32] = {0};

	read_record(data, size);
	for (uint32_t version = 1; version <= 2; version++) {
		ops_put_u32(header + 12, version);
		ops_strbuf_reset(&b);
		ops_strbuf_add(&b, header, version == 1 ? 16 : 32);
		ops_strbuf_add(&b, data, size);
		read_record((const uint8_t *)b.data, b.len);
	}
	ops_strbuf_done(&b);
	return 0;
}
