/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First line: a pattern; the rest: what to match. Whatever the reader accepts must compile or be
 * refused with a message, and the way without the engine must agree with the engine.
 */
#include "common/model/regex.h"

#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(
	const struct ops_regex *re, const char *pattern, size_t len, const char *s, size_t n)
{
	struct ops_strbuf slow_pattern = OPS_STRBUF_INIT;
	ops_strbuf_adds(&slow_pattern, "(?:\\b|)(?:");
	ops_strbuf_add(&slow_pattern, pattern, len);
	ops_strbuf_adds(&slow_pattern, ")");
	struct ops_regex *slow = NULL;
	struct ops_error err;
	if (ops_regex_new(slow_pattern.data, slow_pattern.len, &slow, &err) == 0) {
		uint64_t limits = ops_regex_limit_total();
		bool a = ops_regex_match(re, s, n), b = ops_regex_match(slow, s, n);
		ops_assert(a == b || ops_regex_limit_total() != limits);
	}
	ops_regex_free(slow);
	ops_strbuf_done(&slow_pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
	size_t len = newline != NULL ? (size_t)(newline - text) : size;
	const char *subject = newline != NULL ? newline + 1 : "";
	size_t subject_len = newline != NULL ? size - len - 1 : 0;
	struct ops_regex *re = NULL;
	struct ops_error err = {0};
	if (ops_regex_new(text, len, &re, &err) != 0) {
		ops_assert(err.message[0] != '\0' && err.column > 0);
		return 0;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	if (ops_regex_expand(re, subject, subject_len, "$0 ${1} $name", &out) == 0)
		ops_assert(out.len >= subject_len);
	ops_strbuf_done(&out);
	/* \Q without \E would swallow the closing parenthesis. */
	bool quoted = memmem(text, len, "\\Q", 2) != NULL;
	if (!quoted && ops_utf8_valid(subject, subject_len) && subject_len < 4096)
		compare(re, text, len, subject, subject_len);
	ops_regex_free(re);
	return 0;
}
