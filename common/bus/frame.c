/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trailer is text of fixed length at the end, not a binary header at the front, so that a
 * stranger with nngcat can filter by topic and read the JSON, and so that we find it without
 * parsing the payload. The checksum comes before the MAC: a stack without a key still notices
 * damage, and a damaged frame is told from a forged one.
 */
#include "common/bus/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

static const char mark[] = "\n#ops1 ";

enum { /* offsets in the trailer */
	EPOCH_AT = 7,
	SEQ_AT = EPOCH_AT + 17,
	CRC_AT = SEQ_AT + 17,
	MAC_AT = CRC_AT + 9,
	END_AT = MAC_AT + 32
};

_Static_assert(END_AT + 1 == OPS_FRAME_TRAILER_BYTES, "the trailer's fields fill it");

bool ops_topic_valid(const char *topic, size_t len)
{
	if (len == 0 || len > OPS_TOPIC_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)topic[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

void ops_frame_seal(
	struct ops_strbuf *frame, uint64_t epoch, uint64_t seq, const struct ops_bus_key *key)
{
	unsigned char mac[OPS_BUS_MAC_BYTES];
	char hex[2 * OPS_BUS_MAC_BYTES + 1];

	ops_strbuf_printf(frame, "%s%016" PRIx64 " %016" PRIx64 " ", mark, epoch, seq);
	ops_strbuf_printf(frame, "%08" PRIx32 " ", ops_crc32c(0, frame->data, frame->len));
	ops_bus_mac(key, frame->data, frame->len, mac);
	ops_hex_encode(mac, sizeof(mac), hex);
	ops_strbuf_add(frame, hex, 2 * sizeof(mac));
	ops_strbuf_addc(frame, '\n');
}

struct trailer {
	uint64_t epoch, seq, crc;
	unsigned char mac[OPS_BUS_MAC_BYTES];
};

static bool parse_trailer(const char *p, struct trailer *ret)
{
	return memcmp(p, mark, sizeof(mark) - 1) == 0 && p[SEQ_AT - 1] == ' ' &&
	       p[CRC_AT - 1] == ' ' && p[MAC_AT - 1] == ' ' && p[END_AT] == '\n' &&
	       ops_parse_hex_u64(p + EPOCH_AT, 16, &ret->epoch) == 0 &&
	       ops_parse_hex_u64(p + SEQ_AT, 16, &ret->seq) == 0 &&
	       ops_parse_hex_u64(p + CRC_AT, 8, &ret->crc) == 0 &&
	       ops_hex_decode(p + MAC_AT, 2 * OPS_BUS_MAC_BYTES, ret->mac) == 0;
}

int ops_frame_split(char *data, size_t len, struct ops_frame *ret)
{
	char *end = len > 0 ? memchr(data, '\n', OPS_MIN(len, OPS_TOPIC_MAX_BYTES + 1)) : NULL;

	if (end == NULL || !ops_topic_valid(data, (size_t)(end - data)))
		return -EBADMSG;
	*end = '\0';
	ret->topic = data;
	ret->payload = end + 1;
	ret->len = len - (size_t)(end + 1 - data);
	return 0;
}

int ops_frame_open(char *data, size_t len, const struct ops_bus_key *key, struct ops_frame *ret)
{
	struct trailer t = {0};

	if (len < OPS_FRAME_TRAILER_BYTES)
		return OPS_FRAME_MALFORMED;
	size_t body = len - OPS_FRAME_TRAILER_BYTES;
	if (!parse_trailer(data + body, &t))
		return OPS_FRAME_MALFORMED;
	if (ops_crc32c(0, data, body + CRC_AT) != t.crc)
		return OPS_FRAME_BAD_CRC;
	if (!ops_bus_mac_ok(key, data, body + MAC_AT, t.mac))
		return OPS_FRAME_BAD_MAC;
	if (ops_frame_split(data, body, ret) != 0)
		return OPS_FRAME_MALFORMED;
	data[body] = '\0'; /* the trailer's first byte */
	ret->epoch = t.epoch;
	ret->seq = t.seq;
	return 0;
}
