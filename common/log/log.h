/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Structured log: one JSON object per line on stderr with timestamp, level, service, message and
 * typed fields. Called by the places that decide (services, common/run), never by other libraries.
 *
 *	log_warn("could not scrape target", F_STR("target", url), F_INT("status", code));
 *
 * The message is constant text. Each call site is limited to 10 lines a second; what was held back
 * is reported as `suppressed` on its next line. No secret and no personal data in a field.
 * Level: error = someone must act; warn = we coped, look; info = life cycle and state changes.
 * trace_id is added when ops_log_set_trace() set one for the current loop turn.
 */
#include "common/base/def.h"

enum ops_log_level {
	OPS_LOG_DEBUG,
	OPS_LOG_INFO,
	OPS_LOG_WARN,
	OPS_LOG_ERROR
};

enum ops_log_kind {
	OPS_LOG_F_STR,
	OPS_LOG_F_INT,
	OPS_LOG_F_UINT,
	OPS_LOG_F_DOUBLE,
	OPS_LOG_F_BOOL
};

struct ops_log_field {
	const char *key;
	enum ops_log_kind kind;
	union {
		const char *str; /* NULL prints null */
		int64_t i64;
		uint64_t u64;
		double f64;
		bool boolean;
	} value;
};

#define F_STR(k, v) ((struct ops_log_field){(k), OPS_LOG_F_STR, {.str = (v)}})
#define F_INT(k, v) ((struct ops_log_field){(k), OPS_LOG_F_INT, {.i64 = (int64_t)(v)}})
#define F_UINT(k, v) ((struct ops_log_field){(k), OPS_LOG_F_UINT, {.u64 = (uint64_t)(v)}})
#define F_DOUBLE(k, v) ((struct ops_log_field){(k), OPS_LOG_F_DOUBLE, {.f64 = (v)}})
#define F_BOOL(k, v) ((struct ops_log_field){(k), OPS_LOG_F_BOOL, {.boolean = (v)}})
/* errno-style code, positive or negative, as text in field "error". */
#define F_ERR(code) F_STR("error", ops_log_errno(code))

struct ops_log_site { /* one per call site, static */
	int64_t window_ms;
	uint32_t lines, suppressed;
};

void ops_log_init(const char *service, enum ops_log_level level);
void ops_log_set_level(enum ops_log_level level);
int ops_log_level_parse(const char *text, enum ops_log_level *ret) OPS_MUST_CHECK; /* -EINVAL */
void ops_log_set_trace(const char *trace_id); /* copied; NULL clears */
const char *ops_log_errno(int code);
void ops_log_write(struct ops_log_site *site, enum ops_log_level level, const char *message,
	const struct ops_log_field *fields, size_t n);
/* Lines written and suppressed since start, by level: for the metrics. */
uint64_t ops_log_count(enum ops_log_level level);
uint64_t ops_log_suppressed(void);

#define OPS_LOG(level, message, ...)                                                               \
	do {                                                                                       \
		static struct ops_log_site ops_log_site_;                                          \
		const struct ops_log_field ops_log_fields_[] = {                                   \
			{NULL, OPS_LOG_F_STR, {NULL}}, ##__VA_ARGS__};                             \
		ops_log_write(&ops_log_site_, (level), "" message, ops_log_fields_ + 1,            \
			OPS_LENGTH(ops_log_fields_) - 1);                                          \
	} while (0)

#define log_debug(message, ...) OPS_LOG(OPS_LOG_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...) OPS_LOG(OPS_LOG_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...) OPS_LOG(OPS_LOG_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) OPS_LOG(OPS_LOG_ERROR, message, ##__VA_ARGS__)
