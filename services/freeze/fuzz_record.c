/* SPDX-License-Identifier: Apache-2.0 */
/* A freeze request is outside input: whatever is accepted prints and reads back as the same record.
 */
#include "services/freeze/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_error err;
	json_t *doc = NULL;
	if (ops_json_parse((const char *)data, size, 65536, &doc, &err) != 0) {
		return 0;
	}
	struct frz_record *r = NULL, *again = NULL;
	if (frz_record_from_json(doc, &r, &err) == 0) {
		json_t *out = frz_record_to_json(r);
		ops_assert(frz_record_from_json(out, &again, &err) == 0);
		json_decref(out);
		frz_record_free(again);
		frz_record_free(r);
	}
	json_decref(doc);
	return 0;
}
