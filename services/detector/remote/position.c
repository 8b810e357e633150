/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up to which record a queue is delivered, across restarts: {u64 epoch of the spool, u64 position,
 * u64 samples and u64 exemplars until then, u32 CRC32C, u32 zero}, in place, unsynced; the spool's
 * own mark follows, synced. A file of before exemplars lacks their number, which was 0.
 */
#include <errno.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/log/log.h"
#include "services/detector/remote/queue_internal.h"

enum {
	ACK_MS = 1000,
	CRC_AT = 32,
	OLD_CRC_AT = 24,
	POSITION_BYTES = 40,
	OLD_POSITION_BYTES = 32
};

void det_position_write(const struct det_queue *q)
{
	char bytes[POSITION_BYTES] = {0};

	ops_put_u64(bytes, ops_spool_epoch(q->spool));
	ops_put_u64(bytes + 8, q->position);
	ops_put_u64(bytes + 16, q->read_until.samples - (q->nitems - q->nexemplars));
	ops_put_u64(bytes + 24, q->read_until.exemplars - q->nexemplars);
	ops_put_u32(bytes + CRC_AT, ops_crc32c(0, bytes, CRC_AT));
	if (pwrite(q->position_fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		log_warn("could not note the position of a remote write: a restart may send "
			 "samples twice",
			F_STR("remote_name", q->name), F_ERR(-errno));
}

void det_position_acknowledge(struct det_queue *q, bool now)
{
	if (!now && ops_mono_ms() - q->acked_ms < ACK_MS)
		return;
	q->acked_ms = ops_mono_ms();
	if (q->position > ops_spool_acked(q->spool)) {
		int rc = ops_spool_ack(q->spool, q->position);
		if (rc != 0)
			log_warn("could not trim the queue of a remote write",
				F_STR("remote_name", q->name), F_ERR(rc));
	}
}

static int note_taken(uint64_t number, const void *data, size_t len, void *arg)
{
	struct det_queue *q = arg;
	struct det_journal_header h;

	(void)number;
	if (det_journal_header(data, len, &h) == 0)
		q->taken = (struct det_journal_counts){
			h.before.samples + h.nsamples, h.before.exemplars + h.nexemplars};
	return 0;
}

static bool load(const struct det_queue *q, char bytes[POSITION_BYTES])
{
	ssize_t n = pread(q->position_fd, bytes, POSITION_BYTES, 0);
	size_t crc_at = n == POSITION_BYTES ? CRC_AT : OLD_CRC_AT;

	if ((n != POSITION_BYTES && n != OLD_POSITION_BYTES) ||
		ops_get_u32(bytes + crc_at) != ops_crc32c(0, bytes, crc_at))
		return false;
	if (n == OLD_POSITION_BYTES)
		ops_put_u64(bytes + 24, 0);
	return ops_get_u64(bytes) == ops_spool_epoch(q->spool);
}

/* Where the last process stopped, and how many samples there were until then. */
void det_position_read(struct det_queue *q)
{
	char bytes[POSITION_BYTES] = {0};
	uint64_t newest = ops_spool_next(q->spool) - 1;

	q->position = ops_spool_acked(q->spool);
	if (load(q, bytes)) {
		/* With the power the spool may have lost its newest records. */
		q->position = OPS_MAX(q->position, OPS_MIN(ops_get_u64(bytes + 8), newest));
		q->read_until = (struct det_journal_counts){
			ops_get_u64(bytes + 16), ops_get_u64(bytes + 24)};
	}
	q->taken = q->read_until;
	if (newest > q->position && ops_spool_read(q->spool, newest, 1, note_taken, q) != 0)
		log_warn("could not read the newest record of a queue",
			F_STR("remote_name", q->name));
	q->read_next = q->position + 1;
}
