/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is built in memory and leaves in one write(2), so that lines of several processes on one
 * pipe do not mix. Errors of that write are ignored: there is no other place to complain to.
 * The limit is kept per call site and not per message, because a flood comes from one place; a
 * fixed one-second window is enough, and the count of what was held back keeps the line honest.
 * Text of a peer is cut at 4 KiB a field.
 */
#include "common/log/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"

enum {
	LINES_PER_WINDOW = 10,
	WINDOW_MS = 1000,
	FIELD_LIMIT_BYTES = 4096,
	LEVELS = 4
};

static const char *const level_names[LEVELS] = {"debug", "info", "warn", "error"};

static struct {
	char service[64], trace_id[64];
	enum ops_log_level level;
	uint64_t lines[LEVELS], suppressed;
} state = {.service = "ops", .level = OPS_LOG_INFO};

void ops_log_init(const char *service, enum ops_log_level level)
{
	snprintf(state.service, sizeof(state.service), "%s", service);
	state.level = level;
}

void ops_log_set_level(enum ops_log_level level)
{
	state.level = level;
}

int ops_log_level_parse(const char *text, enum ops_log_level *ret)
{
	for (int i = 0; i < LEVELS; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum ops_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void ops_log_set_trace(const char *trace_id)
{
	snprintf(state.trace_id, sizeof(state.trace_id), "%s", trace_id != NULL ? trace_id : "");
}

const char *ops_log_errno(int code)
{
	const char *text = strerrordesc_np(code < 0 ? -code : code);

	return text != NULL ? text : "unknown error";
}

/* False when the site has used up its window. */
static bool admit(struct ops_log_site *site)
{
	int64_t now = ops_now_ms();

	if (now < site->window_ms || now - site->window_ms >= WINDOW_MS) {
		site->window_ms = now;
		site->lines = 0;
	}
	if (site->lines >= LINES_PER_WINDOW) {
		site->suppressed++;
		state.suppressed++;
		return false;
	}
	site->lines++;
	return true;
}

static void add_text(struct ops_strbuf *line, const char *text)
{
	if (text == NULL)
		ops_strbuf_adds(line, "null");
	else
		ops_strbuf_add_json(line, text, OPS_MIN(strlen(text), (size_t)FIELD_LIMIT_BYTES));
}

static void add_key(struct ops_strbuf *line, const char *key)
{
	ops_strbuf_addc(line, ',');
	add_text(line, key);
	ops_strbuf_addc(line, ':');
}

static void add_double(struct ops_strbuf *line, double v)
{
	bool number = v - v == 0; /* JSON has neither NaN nor infinities */

	if (!number)
		ops_strbuf_addc(line, '"');
	ops_strbuf_add_double(line, v);
	if (!number)
		ops_strbuf_addc(line, '"');
}

static void add_field(struct ops_strbuf *line, const struct ops_log_field *f)
{
	add_key(line, f->key);
	switch (f->kind) {
	case OPS_LOG_F_STR:
		add_text(line, f->value.str);
		break;
	case OPS_LOG_F_INT:
		ops_strbuf_printf(line, "%lld", (long long)f->value.i64);
		break;
	case OPS_LOG_F_UINT:
		ops_strbuf_printf(line, "%llu", (unsigned long long)f->value.u64);
		break;
	case OPS_LOG_F_DOUBLE:
		add_double(line, f->value.f64);
		break;
	case OPS_LOG_F_BOOL:
		ops_strbuf_adds(line, f->value.boolean ? "true" : "false");
		break;
	}
}

void ops_log_write(struct ops_log_site *site, enum ops_log_level level, const char *message,
	const struct ops_log_field *fields, size_t n)
{
	struct ops_strbuf line = OPS_STRBUF_INIT;
	char when[40];

	if (level < state.level || !admit(site))
		return;
	state.lines[level]++;
	ops_strbuf_printf(&line, "{\"timestamp\":\"%s\",\"level\":\"%s\"",
		ops_time_format(ops_now_ms(), when, sizeof(when)), level_names[level]);
	add_key(&line, "service");
	add_text(&line, state.service);
	add_key(&line, "message");
	add_text(&line, message);
	for (size_t i = 0; i < n; i++)
		add_field(&line, &fields[i]);
	if (state.trace_id[0] != '\0') {
		add_key(&line, "trace_id");
		add_text(&line, state.trace_id);
	}
	if (site->suppressed > 0)
		ops_strbuf_printf(&line, ",\"suppressed\":%u", site->suppressed);
	site->suppressed = 0;
	ops_strbuf_adds(&line, "}\n");
	int ignored = ops_write_all(STDERR_FILENO, line.data, line.len);
	(void)ignored;
	ops_strbuf_done(&line);
}

uint64_t ops_log_count(enum ops_log_level level)
{
	return state.lines[level];
}

uint64_t ops_log_suppressed(void)
{
	return state.suppressed;
}
