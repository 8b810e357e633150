/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: bytes that a classic name may not have become underscores, and several underscores one;
 * the unit (UCUM) follows where the name does not say it already; `_total` ends a counter, `_ratio`
 * a gauge of unit 1. Source: OpenTelemetry specification,
 * compatibility/prometheus_and_openmetrics.md, "Metric Metadata".
 */
#include <string.h>

#include "services/collector/receive/otlp_series.h"

static const char *const units[][2] = {{"d", "days"}, {"h", "hours"}, {"min", "minutes"},
	{"s", "seconds"}, {"ms", "milliseconds"}, {"us", "microseconds"}, {"ns", "nanoseconds"},
	{"By", "bytes"}, {"KiBy", "kibibytes"}, {"MiBy", "mebibytes"}, {"GiBy", "gibibytes"},
	{"TiBy", "tibibytes"}, {"KBy", "kilobytes"}, {"MBy", "megabytes"}, {"GBy", "gigabytes"},
	{"TBy", "terabytes"}, {"m", "meters"}, {"V", "volts"}, {"A", "amperes"}, {"J", "joules"},
	{"W", "watts"}, {"g", "grams"}, {"Cel", "celsius"}, {"Hz", "hertz"}, {"1", ""},
	{"%", "percent"}};
static const char *const per_units[][2] = {{"s", "second"}, {"m", "minute"}, {"h", "hour"},
	{"d", "day"}, {"w", "week"}, {"mo", "month"}, {"y", "year"}};

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == ':';
}

/* text with runs of other bytes as one underscore, none at the ends. */
static void put_clean(struct ops_strbuf *out, const char *text, size_t len)
{
	bool gap = false;
	size_t begin = out->len;
	for (size_t i = 0; i < len; i++) {
		if (!letter(text[i])) {
			gap = true;
			continue;
		}
		if (gap && out->len > begin) {
			ops_strbuf_addc(out, '_');
		}
		gap = false;
		ops_strbuf_addc(out, text[i]);
	}
}

static bool has_word(const char *name, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = name; (p = strstr(p, word)) != NULL; p++) {
		if ((p == name || p[-1] == '_') && (p[n] == '\0' || p[n] == '_')) {
			return true;
		}
	}
	return false;
}

static void put_unit(struct ops_strbuf *out, const char *unit, size_t len,
	const char *const (*known)[2], size_t nknown, const char *before)
{
	struct ops_strbuf word = OPS_STRBUF_INIT;
	if (memchr(unit, '{', len) == NULL) {
		const char *found = NULL;
		for (size_t i = 0; i < nknown && found == NULL; i++) {
			if (strlen(known[i][0]) == len && memcmp(known[i][0], unit, len) == 0) {
				found = known[i][1];
			}
		}
		if (found != NULL) {
			ops_strbuf_adds(&word, found);
		} else {
			put_clean(&word, unit, len);
		}
	}
	if (word.len > 0 && !has_word(ops_strbuf_text(out), word.data)) {
		ops_strbuf_adds(out, before);
		ops_strbuf_adds(out, word.data);
	}
	ops_strbuf_done(&word);
}

static void drop_suffix(struct ops_strbuf *out, const char *suffix)
{
	size_t n = strlen(suffix);
	if (out->len > n && memcmp(out->data + out->len - n, suffix, n) == 0) {
		out->len -= n;
		out->data[out->len] = '\0';
	}
}

void col_otlp_name(const struct col_otlp_metric *m, struct ops_strbuf *out)
{
	const char *slash = strchr(m->unit, '/');
	size_t main_len = slash != NULL ? (size_t)(slash - m->unit) : strlen(m->unit);
	bool counter = m->kind == COL_OTLP_SUM && m->monotonic;
	bool ratio = m->kind == COL_OTLP_GAUGE && strcmp(m->unit, "1") == 0;
	if (m->name[0] >= '0' && m->name[0] <= '9') {
		ops_strbuf_addc(out, '_');
	}
	put_clean(out, m->name, strlen(m->name));
	if (counter) {
		drop_suffix(out, "_total");
	}
	put_unit(out, m->unit, main_len, units, OPS_LENGTH(units), "_");
	if (slash != NULL) {
		put_unit(out, slash + 1, strlen(slash + 1), per_units, OPS_LENGTH(per_units),
			"_per_");
	}
	if (counter) {
		ops_strbuf_adds(out, "_total");
	} else if (ratio && !has_word(ops_strbuf_text(out), "ratio")) {
		ops_strbuf_adds(out, "_ratio");
	}
}
