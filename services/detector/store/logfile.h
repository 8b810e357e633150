/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Files of checked records: the write-ahead log and the definitions. A file is a header of
 * DET_LOG_HEADER bytes, then records: u32 length, u32 CRC32C of the payload, payload, whose first
 * byte is its type. Pure functions on the caller's memory; any thread.
 */
#include "common/base/def.h"
#include "common/base/strbuf.h"

#define DET_LOG_HEADER 16u
#define DET_LOG_RECORD_MAX ((uint32_t)64 << 20)

enum det_log_kind {
	DET_LOG_SERIES = 1,
	DET_LOG_WAL = 2,
	DET_LOG_TOMBSTONES = 3
};

void det_log_header(enum det_log_kind kind, struct ops_strbuf *out);
/* Opens a record in out; the payload is appended between the two. */
size_t det_log_begin(struct ops_strbuf *out, uint8_t type) OPS_MUST_CHECK;
void det_log_end(struct ops_strbuf *out, size_t begun);

struct det_log_reader {
	const uint8_t *data;
	size_t len, at;
	uint64_t lost_bytes, lost_places; /* that no record could be read from */
};
/* False: it is no such file, all of it is lost. */
bool det_log_open(struct det_log_reader *r, enum det_log_kind kind, const void *data, size_t len);
/* The next whole record; what is damaged before it is skipped and counted. False at the end. */
bool det_log_next(
	struct det_log_reader *r, uint8_t *ret_type, const uint8_t **ret_payload, size_t *ret_len);
