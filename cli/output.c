/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people, JSON for scripts. Control characters in cells are replaced: labels come from
 * outside. */
#include "cli/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"

static void add_cell(struct ctl_table *t, const char *text)
{
	size_t used = t->rows;
	OPS_GROW(t->cells, used, t->cap);
	char *copy = ops_xstrdup(text);
	for (char *c = copy; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			*c = ' ';
		}
	}
	t->cells[t->rows++] = copy;
}

void ctl_table_init(struct ctl_table *t, const char *first, ...)
{
	memset(t, 0, sizeof(*t));
	va_list ap;
	va_start(ap, first);
	for (const char *name = first; name != NULL; name = va_arg(ap, const char *)) {
		add_cell(t, name);
		t->columns++;
	}
	va_end(ap);
}

void ctl_table_add(struct ctl_table *t, const char *cell)
{
	add_cell(t, cell == NULL || cell[0] == '\0' ? "-" : cell);
}

/* Code points, not bytes: good enough for what people name things. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s != '\0'; s++) {
		n += ((unsigned char)*s & 0xc0) != 0x80;
	}
	return n;
}

static size_t column_width(const struct ctl_table *t, size_t column)
{
	size_t max = 0;
	for (size_t i = column; i < t->rows; i += t->columns) {
		size_t w = width(t->cells[i]);
		max = OPS_MAX(max, w);
	}
	return max;
}

void ctl_table_done(struct ctl_table *t)
{
	for (size_t i = 0; i < t->rows; i++) {
		free(t->cells[i]);
	}
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void ctl_table_print(struct ctl_table *t, const struct ctl *c)
{
	for (size_t i = 0; i < t->rows; i++) {
		size_t column = i % t->columns;
		bool last = column + 1 == t->columns;
		if (c->color && i == 0) {
			fputs("\033[1m", stdout);
		}
		fputs(t->cells[i], stdout);
		if (!last) {
			size_t pad = column_width(t, column) - width(t->cells[i]) + 2;
			printf("%*s", (int)pad, "");
		} else {
			fputs(c->color && i + 1 == t->columns ? "\033[0m\n" : "\n", stdout);
		}
	}
	ctl_table_done(t);
}

void ctl_print_json(const json_t *j)
{
	OPS_CLEANUP(ops_freep)
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
	puts(text != NULL ? text : "null");
}

const char *ctl_text(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));
	return text != NULL ? text : "";
}

void ctl_relative_time(const char *text, char *buf, size_t size)
{
	int64_t at;
	if (ops_time_parse(text, strlen(text), &at) != 0 || at <= 0) {
		snprintf(buf, size, "%s", text);
		return;
	}
	int64_t ms = ops_now_ms() - at;
	char duration[64];
	int64_t rounded = (ms < 0 ? -ms : ms) / 1000 * 1000;
	ops_duration_format(rounded, duration, sizeof(duration));
	snprintf(buf, size, ms < 0 ? "in %s" : "%s ago", duration);
}
