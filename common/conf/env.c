/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small subset of shell expansion that compose files use too. Nothing nests, and what is
 * inserted is never read again: a secret that holds "${" stays as it is.
 */
#include "common/conf/env.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"

static bool name_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
		return true;
	return !first && c >= '0' && c <= '9';
}

static int problem(struct ops_strbuf *out, int code, const char *what, const char *ref, size_t len,
	const char **ret_what)
{
	ops_strbuf_reset(out);
	ops_strbuf_adds(out, what);
	ops_strbuf_add(out, ref, len);
	*ret_what = ops_strbuf_text(out);
	return code;
}

/* ref = "NAME" or "NAME:-default", what stands between the braces. */
static int expand_one(const char *ref, size_t len, struct ops_strbuf *out, const char **ret_what)
{
	size_t name_len = 0;
	while (name_len < len && name_char(ref[name_len], name_len == 0))
		name_len++;
	bool fallback = len - name_len >= 2 && memcmp(ref + name_len, ":-", 2) == 0;
	if (name_len == 0 || (name_len < len && !fallback))
		return problem(out, -EINVAL,
			"not a reference to an environment variable: ", ref - 2, len + 3, ret_what);
	OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(ref, name_len);
	const char *value = getenv(name);
	if (value != NULL && (value[0] != '\0' || !fallback))
		ops_strbuf_adds(out, value);
	else if (fallback)
		ops_strbuf_add(out, ref + name_len + 2, len - name_len - 2);
	else
		return problem(
			out, -ENOENT, "environment variable is not set: ", ref, len, ret_what);
	return 0;
}

/* Whether ref ("NAME" or "NAME:-default") can be replaced by something. */
static bool resolvable(const char *ref, size_t len)
{
	size_t name_len = 0;
	while (name_len < len && name_char(ref[name_len], name_len == 0))
		name_len++;
	if (name_len == 0)
		return false;
	if (name_len < len)
		return len - name_len >= 2 && memcmp(ref + name_len, ":-", 2) == 0;
	OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(ref, name_len);
	return getenv(name) != NULL;
}

int ops_conf_env_expand(const char *text, size_t len, bool keep_unset, struct ops_strbuf *out,
	const char **ret_what)
{
	const char *at = text, *end = text + len;
	while (at < end) {
		size_t left = (size_t)(end - at);
		if (left >= 3 && memcmp(at, "$${", 3) == 0) {
			ops_strbuf_adds(out, "${");
			at += 3;
			continue;
		}
		bool group = left >= 3 && at[2] >= '0' &&
			     at[2] <= '9'; /* ${1} of a regular expression */
		if (left < 2 || memcmp(at, "${", 2) != 0 || group) {
			ops_strbuf_addc(out, *at++);
			continue;
		}
		const char *close = memchr(at, '}', left);
		if (keep_unset &&
			(close == NULL || !resolvable(at + 2, (size_t)(close - at - 2)))) {
			ops_strbuf_add(out, at, 2);
			at += 2;
			continue;
		}
		if (close == NULL)
			return problem(out, -EINVAL, "closing brace is missing after ", at, left,
				ret_what);
		int r = expand_one(at + 2, (size_t)(close - at - 2), out, ret_what);
		if (r != 0)
			return r;
		at = close + 1;
	}
	return 0;
}
