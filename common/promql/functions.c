/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The function table. The X-macro list is sorted by name, so that a name is found by bisection;
 * a unit test keeps it sorted. Types are written as letters in the list and unfolded here at
 * compile time.
 */
#include "common/promql/functions.h"

#include <string.h>

#define TYPE(c)                                                                                    \
	((c) == 'i'	     ? OPS_PROMQL_INSTANT                                                  \
		: (c) == 'r' ? OPS_PROMQL_RANGE                                                    \
		: (c) == 's' ? OPS_PROMQL_SCALAR                                                   \
		: (c) == 't' ? OPS_PROMQL_STRING_VALUE                                             \
			     : OPS_PROMQL_NONE)
/* The letter at i, '\0' past the end. */
#define LETTER(args, i) ((i) < sizeof(args) ? (args)[(i) < sizeof(args) ? (i) : 0] : '\0')
#define FUNCTION(id_, name_, args_, variadic_, returns_, experimental_)                            \
	{.id = OPS_PROMQL_FN_##id_,                                                                \
		.name = #name_,                                                                    \
		.nargs = sizeof(args_) - 1,                                                        \
		.args = {TYPE(LETTER(args_, 0)), TYPE(LETTER(args_, 1)), TYPE(LETTER(args_, 2)),   \
			TYPE(LETTER(args_, 3)), TYPE(LETTER(args_, 4))},                           \
		.variadic = (variadic_),                                                           \
		.returns = TYPE(returns_),                                                         \
		.experimental = (experimental_)},

static const struct ops_promql_function functions[] = {OPS_PROMQL_FUNCTIONS(FUNCTION)};

static int compare(const char *name, const char *s, size_t len)
{
	int order = strncmp(name, s, len);
	return order != 0 ? order : name[len] != '\0';
}

const struct ops_promql_function *ops_promql_function_find(const char *name, size_t len)
{
	size_t low = 0, high = OPS_LENGTH(functions);
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = compare(functions[middle].name, name, len);
		if (order == 0) {
			return &functions[middle];
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return NULL;
}

const struct ops_promql_function *ops_promql_function_at(enum ops_promql_function_id id)
{
	ops_assert((size_t)id < OPS_LENGTH(functions));
	return &functions[id];
}

const char *ops_promql_value_type_name(enum ops_promql_value_type type)
{
	static const char *const names[] = {"none", "scalar", "string", "vector", "matrix"};
	ops_assert((size_t)type < OPS_LENGTH(names));
	return names[type];
}

const char *ops_promql_value_type_text(enum ops_promql_value_type type)
{
	if (type == OPS_PROMQL_INSTANT) {
		return "instant vector";
	}
	return type == OPS_PROMQL_RANGE ? "range vector" : ops_promql_value_type_name(type);
}
