/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as matchers in each grammar; what is accepted must print and read back as the same
 * list. */
#include "common/model/matcher.h"

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Both grammars read what is printed, but for control characters and names that only the newer one
 * knows. */
static void check_printed(const struct ops_matchers *ms)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_matchers again;
	struct ops_error err;
	ops_matchers_init(&again);
	ops_matchers_print(ms, &text);
	const struct ops_matchers_source src = {text.data, text.len, OPS_MATCHER_UTF8};
	if (text.len < 64 * 1024) {
		ops_assert(ops_matchers_parse_as(&again, &src, &err) == 0);
		ops_assert(ops_matchers_equal(ms, &again));
	}
	ops_strbuf_done(&text);
	ops_matchers_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum ops_matcher_syntax all[] = {
		OPS_MATCHER_FALLBACK, OPS_MATCHER_CLASSIC, OPS_MATCHER_UTF8};
	struct ops_labels *ls = ops_labels_of("foo", "bar", "a b", "c", NULL);
	for (size_t i = 0; i < OPS_LENGTH(all) * 2; i++) {
		const struct ops_matchers_source src = {(const char *)data, size, all[i / 2]};
		struct ops_matchers ms;
		struct ops_error err = {0};
		ops_matchers_init(&ms);
		int r = i % 2 == 0 ? ops_matchers_parse_as(&ms, &src, &err)
				   : ops_matcher_parse_as(&ms, &src, &err);
		if (r == 0) {
			ops_assert(i % 2 == 0 || ms.n == 1);
			(void)ops_matchers_match(&ms, ls);
			check_printed(&ms);
		} else {
			ops_assert(ms.n == 0 && err.message[0] != '\0' && err.column > 0);
		}
		ops_matchers_done(&ms);
	}
	ops_labels_unref(ls);
	return 0;
}
