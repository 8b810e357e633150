/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: the first byte says whether the rest is packed, OpenMetrics, and how long the pieces are.
 * However a text is cut, as many samples come out of it.
 */
#include "services/detector/api/import.h"

static size_t import(const char *data, size_t size, unsigned how, size_t piece, int *ret_rc)
{
	struct det_store *store =
		det_store_new(&(struct det_store_options){.retention_ms = INT64_C(3600000)});
	struct det_import im;
	int rc = 0;
	det_import_init(&im, store);
	im.packed = (how & 1) != 0;
	im.format = (how & 2) != 0 ? OPS_EXPOSITION_OPENMETRICS : OPS_EXPOSITION_TEXT;
	im.time_ms = 1000;
	for (size_t at = 0; rc == 0 && at < size; at += piece) {
		rc = det_import_take(&im, data + at, OPS_MIN(piece, size - at));
	}
	*ret_rc = rc == 0 ? det_import_finish(&im) : rc;
	size_t n = im.stored + im.refused;
	det_import_done(&im);
	det_store_free(store);
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
