/* SPDX-License-Identifier: Apache-2.0 */
/* A segment file as opening reads it: any bytes, of which the good records must be re-readable. */
#include "common/base/def.h"
#include "common/spool/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_segment_scan scan = {0};

	if (ops_segment_scan(data, size, &scan) != 0)
		return 0;
	ops_assert(scan.good_bytes >= OPS_SEGMENT_HEADER_BYTES && scan.good_bytes <= size);
	ops_assert(scan.next >= scan.first && scan.last_seen + 1 >= scan.next);
	uint64_t records = scan.next - scan.first;
	ops_assert(scan.nindex == (records + OPS_SEGMENT_INDEX_STEP - 1) / OPS_SEGMENT_INDEX_STEP);
	for (size_t i = 0; i < scan.nindex; i++)
		ops_assert(scan.index[i] < scan.good_bytes);
	free(scan.index);
	return 0;
}
