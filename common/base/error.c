/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors by value: they travel through callbacks and struct copies without an owner, at the price
 * of a bound on the text. Text that does not fit is cut, never refused: half a message beats none.
 */
#include "common/base/error.h"

#include <stdio.h>
#include <string.h>

static void set_text(char *buf, size_t size, const char *fmt, va_list ap) OPS_PRINTF(3, 0);

static void set_text(char *buf, size_t size, const char *fmt, va_list ap)
{
	if (vsnprintf(buf, size, fmt, ap) < 0)
		buf[0] = '\0';
}

int(ops_error_set)(struct ops_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	/* The arguments may point into err itself (re-wording an earlier message). */
	char message[sizeof(err->message)];
	va_start(ap, fmt);
	set_text(message, sizeof(message), fmt, ap);
	va_end(ap);
	err->file[0] = '\0';
	err->hint[0] = '\0';
	err->line = 0;
	err->column = 0;
	memcpy(err->message, message, sizeof(message));
	return code;
}

int(ops_error_set_at)(struct ops_error *err, int code, const char *file, int line, int column,
	const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	char message[sizeof(err->message)], path[sizeof(err->file)];
	va_start(ap, fmt);
	set_text(message, sizeof(message), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s", file != NULL ? file : "");
	memcpy(err->file, path, sizeof(path));
	memcpy(err->message, message, sizeof(message));
	err->hint[0] = '\0';
	err->line = line;
	err->column = column;
	return code;
}

void ops_error_hint(struct ops_error *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	set_text(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

void ops_error_prefix(struct ops_error *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return;
	char text[sizeof(err->message)];
	va_start(ap, fmt);
	set_text(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t len = strlen(text);
	snprintf(text + len, sizeof(text) - len, ": %s", err->message);
	memcpy(err->message, text, sizeof(text));
}

char *ops_error_text(const struct ops_error *err, char *buf, size_t size)
{
	char place[sizeof(err->file) + 32] = "";

	if (err->line > 0 && err->column > 0)
		snprintf(place, sizeof(place), "%s%s%d:%d: ", err->file, err->file[0] ? ":" : "",
			err->line, err->column);
	else if (err->line > 0)
		snprintf(place, sizeof(place), "%s%s%d: ", err->file, err->file[0] ? ":" : "",
			err->line);
	else if (err->file[0] != '\0')
		snprintf(place, sizeof(place), "%s: ", err->file);

	const char *open = err->hint[0] != '\0' ? " (" : "",
		   *close = err->hint[0] != '\0' ? ")" : "";
	snprintf(buf, size, "%s%s%s%s%s", place, err->message, open, err->hint, close);
	return buf;
}
