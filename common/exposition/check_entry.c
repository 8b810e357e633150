/* SPDX-License-Identifier: Apache-2.0 */
/* What every judge does with the entry before it: refuse it with its place, look a label up, read a
 * bound. */
#include "common/exposition/check_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/number.h"

int ops_check_refuse(const struct ops_exposition *p, const char *where, struct ops_error *err,
	const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return ops_error_set_at(
		err, -EINVAL, "", p->line, (int)(where - p->line_begin) + 1, "%s", text);
}

const struct ops_label *ops_check_label(const struct ops_exposition *p, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		if (l->name_len == len && memcmp(l->name, name, len) == 0) {
			return l;
		}
	}
	return NULL;
}

bool ops_check_number(const struct ops_label *l, double *ret)
{
	for (size_t i = 0; i < l->value_len; i++) {
		if (strchr("_xXpP", l->value[i]) != NULL) {
			return false;
		}
	}
	return ops_parse_double(l->value, l->value_len, ret) == 0;
}
