/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a block, and any bytes as values: what was encoded comes back, nothing reads too
 * far. */
#include "services/detector/store/block.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	double values[DET_BLOCK_ROWS], back[DET_BLOCK_ROWS];
	uint8_t coded[DET_BLOCK_MAX_BYTES(DET_BLOCK_ROWS)];
	for (size_t n = 1; n <= DET_BLOCK_ROWS; n += 17) {
		if (det_block_decode(data, size, n, values) == 0 && n == 1) {
			(void)values[0];
		}
	}
	size_t n = OPS_MIN(size / sizeof(double), (size_t)DET_BLOCK_ROWS);
	memcpy(values, data, n * sizeof(double));
	size_t len = det_block_encode(values, n, coded);
	ops_assert(det_block_decode(coded, len, n, back) == 0);
	ops_assert(memcmp(values, back, n * sizeof(double)) == 0);
	return 0;
}
