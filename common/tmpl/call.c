/* SPDX-License-Identifier: Apache-2.0 */
/* What a template's functions see of the execution that calls them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/tmpl/internal.h"

struct ops_arena *ops_tmpl_arena(struct ops_tmpl_call *call)
{
	return call->env->arena;
}

void *ops_tmpl_user(struct ops_tmpl_call *call)
{
	return call->env->user;
}

int ops_tmpl_fail(struct ops_tmpl_call *call, const char *fmt, ...)
{
	char message[400];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	return ops_error_set_at(
		call->err, -EINVAL, call->file, call->line, call->column, "%s", message);
}
