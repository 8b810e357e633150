/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After damage the reader looks for the next place where a whole record with a right checksum
 * begins. A wrong one passes by chance once in four thousand million tries, and tries are few: the
 * type must be one that exists and the length must fit, and be no longer than SEARCH_MAX, which
 * bounds what one try costs. What a record means without the ones before is its reader's business
 * (chains of rows say so themselves).
 */
#include "services/detector/store/logfile.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"

#define RECORD_HEADER 8u
#define TYPES 15u
#define SEARCH_MAX ((uint32_t)256 << 10)

static const char magic[8] = {'O', 'P', 'S', 'T', 'S', 'D', 'B', '1'};

void det_log_header(enum det_log_kind kind, struct ops_strbuf *out)
{
	uint8_t head[DET_LOG_HEADER] = {0};
	memcpy(head, magic, sizeof(magic));
	ops_put_u32(head + 8, (uint32_t)kind);
	ops_put_u32(head + 12, ops_crc32c(0, head, 12));
	ops_strbuf_add(out, head, sizeof(head));
}

size_t det_log_begin(struct ops_strbuf *out, uint8_t type)
{
	static const char room[RECORD_HEADER];
	size_t begun = out->len;
	ops_strbuf_add(out, room, sizeof(room));
	ops_strbuf_addc(out, (char)type);
	return begun;
}

void det_log_end(struct ops_strbuf *out, size_t begun)
{
	char *record = out->data + begun;
	size_t len = out->len - begun - RECORD_HEADER;
	ops_assert(len <= DET_LOG_RECORD_MAX);
	ops_put_u32(record, (uint32_t)len);
	ops_put_u32(record + 4, ops_crc32c(0, record + RECORD_HEADER, len));
}

bool det_log_open(struct det_log_reader *r, enum det_log_kind kind, const void *data, size_t len)
{
	*r = (struct det_log_reader){.data = data, .len = len, .at = DET_LOG_HEADER};
	const uint8_t *head = data;
	if (len >= DET_LOG_HEADER && memcmp(head, magic, sizeof(magic)) == 0 &&
		ops_get_u32(head + 8) == (uint32_t)kind &&
		ops_get_u32(head + 12) == ops_crc32c(0, head, 12)) {
		return true;
	}
	r->at = len;
	r->lost_bytes = len;
	r->lost_places = len != 0;
	return false;
}

/* Payload length of the record at `at`, 0 when none is there. */
static uint32_t record_at(const struct det_log_reader *r, size_t at, uint32_t longest)
{
	if (r->len - at < RECORD_HEADER + 1) {
		return 0;
	}
	const uint8_t *p = r->data + at;
	uint32_t len = ops_get_u32(p);
	bool fits = len != 0 && len <= longest && len <= r->len - at - RECORD_HEADER;
	bool known = fits && p[RECORD_HEADER] != 0 && p[RECORD_HEADER] <= TYPES;
	return known && ops_crc32c(0, p + RECORD_HEADER, len) == ops_get_u32(p + 4) ? len : 0;
}

bool det_log_next(
	struct det_log_reader *r, uint8_t *ret_type, const uint8_t **ret_payload, size_t *ret_len)
{
	size_t at = r->at;
	uint32_t len = at < r->len ? record_at(r, at, DET_LOG_RECORD_MAX) : 0;
	while (len == 0 && at < r->len) {
		at++;
		len = at < r->len ? record_at(r, at, SEARCH_MAX) : 0;
	}
	if (at != r->at) {
		r->lost_bytes += at - r->at;
		r->lost_places++;
	}
	r->at = at;
	if (len == 0) {
		return false;
	}
	const uint8_t *payload = r->data + at + RECORD_HEADER;
	*ret_type = payload[0];
	*ret_payload = payload + 1;
	*ret_len = len - 1;
	r->at = at + RECORD_HEADER + len;
	return true;
}
