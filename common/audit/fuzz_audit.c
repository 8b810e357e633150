/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical text comes back as itself; notes, keys and checkpoints of any bytes are parsed without
 * harm. */
#include <string.h>

#include "common/audit/canon.h"
#include "common/audit/note.h"
#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void canonical(const char *text, size_t len)
{
	OPS_JSON_AUTO *j = NULL;
	OPS_JSON_AUTO *again = NULL;
	struct ops_strbuf once = OPS_STRBUF_INIT, twice = OPS_STRBUF_INIT;
	struct ops_error err;

	if (ops_json_parse(text, len, 1 << 20, &j, &err) == 0 &&
		ops_canon_json(j, &once, &err) == 0) {
		ops_assert(ops_canon_parse(once.data, once.len, 1 << 20, &again, &err) == 0);
		ops_assert(ops_canon_json(again, &twice, &err) == 0);
		ops_assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	}
	ops_strbuf_done(&once);
	ops_strbuf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] =
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	OPS_CLEANUP(ops_freep) char *text = ops_xstrndup((const char *)data, size);
	struct ops_note_verifier known, parsed;
	struct ops_checkpoint c;
	struct ops_error err;

	canonical((const char *)data, size);
	ops_assert(ops_note_verifier_parse(key, &known, &err) == 0);
	(void)!ops_checkpoint_open(text, &known, &c, &err);
	(void)!ops_checkpoint_parse((const char *)data, size, &c, &err);
	(void)!ops_note_verifier_parse(text, &parsed, &err);
	return 0;
}
