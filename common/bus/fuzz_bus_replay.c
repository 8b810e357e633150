/* SPDX-License-Identifier: Apache-2.0 */
/* A replay request, a replay answer, a checkpoint file and an envelope, from the same bytes. */
#include "common/bus/envelope.h"
#include "common/bus/position.h"
#include "common/bus/replay.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_replay_request q;
	struct ops_replay_answer a;
	struct ops_replay_records records;
	struct ops_replay_record rec;
	struct ops_envelope e;
	uint64_t generation = 0, epoch = 0, next = 0;

	if (ops_replay_request_decode(data, size, &q) == 0)
		ops_assert(ops_name_valid(q.consumer, strlen(q.consumer)));
	if (ops_replay_answer_decode(data, size, &a, &records) == 0) {
		uint64_t last = 0;
		while (ops_replay_next(&records, &rec) == 0) {
			ops_assert(rec.seq > last);
			last = rec.seq;
			ops_assert((const uint8_t *)rec.data + rec.len <= data + size);
		}
	}
	if (ops_envelope_open(OPS_ENVELOPE_ANSWER, data, size, NULL, &e) == 0)
		ops_assert(e.len < size);
	if (ops_position_decode(data, size, &generation, &epoch, &next))
		ops_assert(next > 0);
	return 0;
}
