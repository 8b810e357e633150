/* SPDX-License-Identifier: Apache-2.0 */
/* A frame from the wire, and a heartbeat inside it. Also sealed with a right trailer, to get past
 * the checksum. */
#include "common/base/strbuf.h"
#include "common/bus/frame.h"
#include "common/bus/heartbeat.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_frame(char *bytes, size_t len)
{
	struct ops_frame f;
	struct ops_heartbeat h;

	if (ops_frame_open(bytes, len, NULL, &f) != 0)
		return;
	ops_assert(strlen(f.topic) >= 1 && f.payload[f.len] == '\0');
	if (ops_heartbeat_decode(f.payload, f.len, &h) == 0)
		ops_assert(h.first >= 1 && h.first <= h.head + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;

	ops_strbuf_add(&b, data, size);
	open_frame(b.data, b.len);
	ops_strbuf_reset(&b);
	ops_strbuf_add(&b, data, size);
	ops_frame_seal(&b, 1, 0, NULL);
	open_frame(b.data, b.len);
	ops_strbuf_done(&b);
	return 0;
}
