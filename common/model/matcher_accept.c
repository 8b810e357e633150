/* SPDX-License-Identifier: Apache-2.0 */
/* Where both readers end: a matcher that was read is added, or the text is refused with its column.
 */
#include "common/model/matcher_syntax.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_MATCHERS = 1000
};

int ops_matcher_refuse(const struct ops_matcher_text *t, size_t at, const char *message)
{
	ops_error_set_at(t->err, -EINVAL, NULL, 1, (int)at + 1, "%s", message);
	ops_error_hint(t->err, "in the matchers: %.160s", t->text);
	return -EINVAL;
}

int ops_matcher_accept(const struct ops_matcher_text *t, size_t at, enum ops_match_op op,
	const struct ops_matcher_part *name, const struct ops_matcher_part *value)
{
	if (memchr(name->text, '\0', name->len) != NULL ||
		memchr(value->text, '\0', value->len) != NULL)
		return ops_matcher_refuse(t, at, "a NUL byte is not allowed");
	if (t->out->n >= MAX_MATCHERS)
		return ops_matcher_refuse(t, at, "too many matchers");
	OPS_CLEANUP(ops_freep) char *n = ops_xstrndup(name->text, name->len);
	OPS_CLEANUP(ops_freep) char *v = ops_xstrndup(value->text, value->len);
	struct ops_error err = {0};
	int r = ops_matchers_add(t->out, op, n, v, &err);
	return r != 0 ? ops_matcher_refuse(t, at, err.message) : 0;
}
