/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "series@st items" in a load block: each sample's start timestamp, as an offset to the sample's
 * time. An item is a duration with a sign, `_` for none, axN for N more of it, a-bxN and a+bxN for
 * N more that each lie b further.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/promql_script.h"

struct item {
	bool none;
	int64_t offset_ms, step_ms;
	uint64_t more;
};

/* A duration with or without a sign: how much of the text it takes; 0: it is none. */
static size_t take_offset(const char *text, int64_t *ret_ms)
{
	size_t sign = *text == '-' || *text == '+', len = strcspn(text + sign, "x+- \t");
	if (len == 1 && text[sign] == '0') {
		*ret_ms = 0;
	} else if (ops_duration_parse(text + sign, len, ret_ms) != 0) {
		return 0;
	}
	*ret_ms = *text == '-' ? -*ret_ms : *ret_ms;
	return sign + len;
}

static bool parse_item(const char *text, size_t len, struct item *ret)
{
	char copy[64];
	*ret = (struct item){.none = *text == '_'};
	if (len >= sizeof(copy)) {
		return false;
	}
	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	const char *at = copy;
	if (ret->none) {
		at++;
	} else {
		size_t taken = take_offset(at, &ret->offset_ms);
		at += taken;
		if (taken == 0) {
			return false;
		}
		at += *at == '-' || *at == '+' ? take_offset(at, &ret->step_ms) : 0;
	}
	if (*at == 'x') {
		bool good = ops_parse_u64(at + 1, strlen(at + 1), &ret->more) == 0;
		ret->more -= good && ret->none && ret->more > 0; /* _x3 is three of them */
		return good && ret->more < 100000;
	}
	return *at == '\0';
}

static struct ops_labels *labels_of(struct ops_arena *arena, const char *line, size_t len)
{
	const char *text = ops_arena_printf(arena, "%.*s _", (int)len, line);
	struct ops_promql_source src = {text, strlen(text), NULL};
	struct ops_promql_series series;
	if (ops_promql_series_parse(arena, &src, &series, NULL) != 0) {
		return NULL;
	}
	return script_labels(&series);
}

bool script_store_starts(
	struct det_store *store, struct ops_arena *arena, const char *line, int64_t step_ms)
{
	const char *mark = strstr(line, "@st");
	struct ops_labels *labels =
		mark != NULL ? labels_of(arena, line, (size_t)(mark - line)) : NULL;
	if (labels == NULL) {
		return false;
	}
	int64_t t = 0;
	const char *at = mark + strlen("@st");
	for (at += strspn(at, " \t"); *at != '\0'; at += strspn(at, " \t")) {
		size_t len = strcspn(at, " \t");
		struct item item;
		if (!parse_item(at, len, &item)) {
			printf("%s: start timestamp not understood\n", at);
			break;
		}
		for (uint64_t i = 0; i <= item.more; i++, t += step_ms) {
			int64_t start = t + item.offset_ms + (int64_t)i * item.step_ms;
			if (!item.none && det_store_append_start(store, labels, t, start) < 0) {
				printf("%s: a start timestamp was refused\n", line);
			}
		}
		at += len;
	}
	ops_labels_unref(labels);
	return true;
}
