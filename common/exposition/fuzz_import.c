/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: the first byte says whether the rest is packed, OpenMetrics, and how long the pieces are.
 * However a text is cut, as many samples come out of it.
 */
#include "common/exposition/import.h"

static int on_sample(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	size_t *n = arg;
	(*n)++;
	ops_assert(ops_labels_get(labels, OPS_LABEL_NAME) != NULL);
	return time_ms < 0 || value < 0;
}

static size_t import(const char *data, size_t size, unsigned how, size_t piece, int *ret_rc)
{
	size_t heard = 0;
	const struct ops_import_sink sink = {.on_sample = on_sample, .arg = &heard};
	struct ops_import im;
	int rc = 0;
	ops_import_init(&im, &sink);
	im.max_bytes = 1 << 20;
	im.packed = (how & 1) != 0;
	im.format = (how & 2) != 0 ? OPS_EXPOSITION_OPENMETRICS : OPS_EXPOSITION_TEXT;
	im.time_ms = 1000;
	for (size_t at = 0; rc == 0 && at < size; at += piece) {
		rc = ops_import_take(&im, data + at, OPS_MIN(piece, size - at));
	}
	*ret_rc = rc == 0 ? ops_import_finish(&im) : rc;
	size_t n = im.taken + im.refused;
	ops_import_done(&im);
	ops_assert(n == heard);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int whole, pieces;
	if (size < 2 || size > 65536) {
		return 0;
	}
	const char *text = (const char *)data + 1;
	size_t n = import(text, size - 1, data[0], size, &whole);
	size_t m = import(text, size - 1, data[0], (data[0] >> 2) + 1u, &pieces);
	if ((data[0] & 1) == 0) {
		ops_assert((whole == 0) == (pieces == 0));
		ops_assert(whole != 0 || n == m);
	}
	return 0;
}
