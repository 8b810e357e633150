/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JSON document: what is accepted must print as text that parses to an equal value.
 */
#include "common/json/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_members(const json_t *o)
{
	static const char *const allowed[] = {"a", "time", NULL};
	struct ops_error err;
	const char *s = NULL;
	int64_t i = 0;
	double d = 0;
	bool b = false;
	json_t *j = NULL;

	int r = ops_json_only(o, allowed, &err);
	ops_assert(r <= 0);
	r = ops_json_get_time(o, "time", &i, &err);
	ops_assert(r <= 1);
	bool found = ops_json_get_string(o, "a", &s, &err) == 0;
	found |= ops_json_get_i64(o, "a", &i, &err) == 0;
	found |= ops_json_get_double(o, "a", &d, &err) == 0;
	found |= ops_json_get_bool(o, "a", &b, &err) == 0;
	found |= ops_json_get_object(o, "a", &j, &err) == 0;
	found |= ops_json_get_array(o, "a", &j, &err) == 0;
	/* Every non-null value has one getter that takes it. */
	ops_assert(found == (json_is_object(o) && json_object_get(o, "a") != NULL &&
				    !json_is_null(json_object_get(o, "a"))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_error err;
	json_t *j = NULL, *again = NULL;

	int r = ops_json_parse((const char *)data, size, 1 << 16, &j, &err);
	if (r != 0) {
		ops_assert(strnlen(err.message, sizeof(err.message)) > 0);
		return 0;
	}
	try_members(j);
	char *text = ops_json_text(j);
	r = ops_json_parse(text, strlen(text), SIZE_MAX, &again, &err);
	ops_assert(r == 0 && json_equal(j, again));
	json_decref(again);
	json_decref(j);
	free(text);
	return 0;
}
