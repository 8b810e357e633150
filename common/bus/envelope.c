/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two kinds have different first bytes, so that an answer cannot be sent back as a request.
 * Bytes 4 to 7 are zero: a frame of a PUB socket, which the same key signs, begins with a topic,
 * and a topic has no NUL byte; neither can pass for the other.
 */
#include "common/bus/envelope.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"

static const char kinds[][8] = {
	[OPS_ENVELOPE_REQUEST] = "OPQ1\0\0\0",
	[OPS_ENVELOPE_ANSWER] = "OPA1\0\0\0",
};

void ops_envelope_seal(enum ops_envelope_kind kind, const struct ops_envelope *e,
	const struct ops_bus_key *key, struct ops_strbuf *out)
{
	unsigned char word[8], mac[OPS_BUS_MAC_BYTES];

	ops_strbuf_reserve(out, OPS_ENVELOPE_HEAD_BYTES + e->len + OPS_ENVELOPE_TAIL_BYTES);
	ops_strbuf_add(out, kinds[kind], 8);
	ops_put_u64(word, e->nonce);
	ops_strbuf_add(out, word, 8);
	if (e->len > 0)
		ops_strbuf_add(out, e->data, e->len);
	ops_put_u32(word, ops_crc32c(0, out->data, out->len));
	ops_strbuf_add(out, word, 4);
	ops_bus_mac(key, out->data, out->len, mac);
	ops_strbuf_add(out, mac, sizeof(mac));
}

int ops_envelope_open(enum ops_envelope_kind kind, const void *bytes, size_t len,
	const struct ops_bus_key *key, struct ops_envelope *ret)
{
	const unsigned char *p = bytes;

	if (len < OPS_ENVELOPE_HEAD_BYTES + OPS_ENVELOPE_TAIL_BYTES ||
		memcmp(p, kinds[kind], 8) != 0)
		return -EBADMSG;
	size_t body = len - OPS_ENVELOPE_TAIL_BYTES;
	if (ops_crc32c(0, p, body) != ops_get_u32(p + body) ||
		!ops_bus_mac_ok(key, p, body + 4, p + body + 4))
		return -EBADMSG;
	ret->nonce = ops_get_u64(p + 8);
	ret->data = p + OPS_ENVELOPE_HEAD_BYTES;
	ret->len = body - OPS_ENVELOPE_HEAD_BYTES;
	return 0;
}
