/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as hex, base64, UTF-8 and as text to be cleaned. */
#include "common/base/text.h"

#include <string.h>

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_base64(const char *s, size_t len)
{
	void *bytes = NULL;
	size_t n = 0;

	if (ops_base64_decode(s, len, &bytes, &n) != 0)
		return;
	/* One spelling per value: encoding gives the same text back. */
	char *again = ops_base64_encode(bytes, n);
	ops_assert(strlen(again) == len && memcmp(again, s, len) == 0);
	free(again);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	struct ops_strbuf b = OPS_STRBUF_INIT;

	try_base64(s, size);
	void *bytes = ops_xmalloc(size / 2 + 1);
	int r = ops_hex_decode(s, size, bytes);
	ops_assert(r <= 0);
	free(bytes);

	ops_strbuf_add_utf8(&b, s, size);
	ops_assert(ops_utf8_valid(ops_strbuf_text(&b), b.len));
	ops_assert(!ops_utf8_valid(s, size) ||
		   (b.len == size && memcmp(ops_strbuf_text(&b), s, size) == 0));
	ops_strbuf_reset(&b);
	ops_strbuf_add_json(&b, s, size);
	ops_assert(b.len >= 2 && ops_utf8_valid(b.data, b.len));
	ops_strbuf_done(&b);
	return 0;
}
