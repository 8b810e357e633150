/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advice on names and types, the same that "promtool check metrics" gives: it follows the
 * Prometheus documentation, "Metric and label naming" and "Writing exporters".
 */
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/exposition/check_internal.h"

struct linter {
	const struct ops_exposition_check *c;
	const struct ops_check_family *f;
};

static void tell(const struct linter *l, const char *problem)
{
	l->c->on_lint(l->c->arg, l->f->name, problem);
}

/* Whether the name has the word behind an underscore, up to the next or the end. */
static bool has_word(const char *name, const char *word)
{
	size_t len = strlen(word);
	for (const char *s = strchr(name, '_'); s != NULL; s = strchr(s + 1, '_')) {
		if (strncmp(s + 1, word, len) == 0 && (s[1 + len] == '_' || s[1 + len] == '\0')) {
			return true;
		}
	}
	return false;
}

static void lint_help(const struct linter *l)
{
	if (!l->f->has_help) {
		tell(l, "no help text");
	}
}

/* ---- units ---- */

static const char *const prefixes[] = {"pico", "nano", "micro", "milli", "centi", "deci", "deca",
	"hecto", "kilo", "kibi", "mega", "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi"};

static const char *base_unit(const char *word, size_t len)
{
	static const struct {
		const char *unit, *base;
	} units[] = {{"amperes", NULL}, {"bytes", NULL}, {"celsius", NULL}, {"grams", NULL},
		{"joules", NULL}, {"kelvin", NULL}, {"meters", NULL}, {"metres", NULL},
		{"seconds", NULL}, {"volts", NULL}, {"hertz", NULL}, {"minutes", "seconds"},
		{"hours", "seconds"}, {"days", "seconds"}, {"kelvins", "kelvin"},
		{"fahrenheit", "celsius"}, {"rankine", "celsius"}, {"inches", "meters"},
		{"yards", "meters"}, {"miles", "meters"}, {"bits", "bytes"}, {"calories", "joules"},
		{"pounds", "grams"}, {"ounces", "grams"}};
	for (size_t i = 0; i < OPS_LENGTH(units); i++) {
		if (strlen(units[i].unit) == len && memcmp(units[i].unit, word, len) == 0) {
			return units[i].base != NULL ? units[i].base : units[i].unit;
		}
	}
	return NULL;
}

/* The base unit of a word like "milliseconds" or "hours"; NULL when it is none, or the base itself.
 */
static const char *better_unit(const char *word, size_t len)
{
	const char *base = base_unit(word, len);
	if (base != NULL) {
		return strlen(base) == len && memcmp(base, word, len) == 0 ? NULL : base;
	}
	for (size_t i = 0; i < OPS_LENGTH(prefixes); i++) {
		size_t n = strlen(prefixes[i]);
		if (len > n && memcmp(word, prefixes[i], n) == 0) {
			base = base_unit(word + n, len - n);
			if (base != NULL) {
				return base;
			}
		}
	}
	return NULL;
}

static void lint_unit(const struct linter *l)
{
	char text[160];
	for (const char *s = l->f->name; *s != '\0';) {
		size_t n = strcspn(s, "_");
		const char *base = better_unit(s, n);
		if (base != NULL) {
			snprintf(text, sizeof(text), "use base unit \"%s\" instead of \"%.*s\"",
				base, (int)OPS_MIN(n, (size_t)60), s);
			tell(l, text);
			return;
		}
		s += n + (s[n] != '\0');
	}
}

static void lint_unit_abbreviation(const struct linter *l)
{
	static const char *const words[] = {
		"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"};
	for (size_t i = 0; i < OPS_LENGTH(words); i++) {
		if (has_word(l->f->name, words[i])) {
			tell(l, "metric names should not contain abbreviated units");
			return;
		}
	}
}

/* ---- types ---- */

static void lint_counter(const struct linter *l)
{
	bool total = ops_str_ends(l->f->name, "_total");
	bool counter = l->f->type == OPS_T_COUNTER;
	if (!l->f->has_type || l->f->type == OPS_T_UNKNOWN) {
		return; /* whatever it is */
	}
	if (counter && !total) {
		tell(l, "counter metrics should have \"_total\" suffix");
	} else if (!counter && total) {
		tell(l, "non-counter metrics should not have \"_total\" suffix");
	}
}

static void lint_reserved(const struct linter *l)
{
	const struct ops_check_family *f = l->f;
	bool histogram = f->type == OPS_T_HISTOGRAM || f->type == OPS_T_GAUGEHISTOGRAM;
	bool summary = f->type == OPS_T_SUMMARY;
	if (!f->has_type || f->type == OPS_T_UNKNOWN) {
		return;
	}
	if (!histogram && ops_str_ends(f->name, "_bucket")) {
		tell(l, "non-histogram metrics should not have \"_bucket\" suffix");
	}
	if (!histogram && !summary && ops_str_ends(f->name, "_count")) {
		tell(l, "non-histogram and non-summary metrics should not have \"_count\" suffix");
	}
	if (!histogram && !summary && ops_str_ends(f->name, "_sum")) {
		tell(l, "non-histogram and non-summary metrics should not have \"_sum\" suffix");
	}
	if (!histogram && f->le) {
		tell(l, "non-histogram metrics should not have \"le\" label");
	}
	if (!summary && f->quantile) {
		tell(l, "non-summary metrics should not have \"quantile\" label");
	}
}

static void lint_type_in_name(const struct linter *l)
{
	static const char *const types[] = {
		"counter", "gauge", "summary", "histogram", "gauge_histogram"};
	char text[80];
	OPS_CLEANUP(ops_freep) char *lower = ops_xstrdup(l->f->name);
	for (char *s = lower; *s != '\0'; s++) {
		*s = *s >= 'A' && *s <= 'Z' ? (char)(*s | 0x20) : *s;
	}
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		if (has_word(lower, types[i])) {
			snprintf(text, sizeof(text), "metric name should not include type '%s'",
				types[i]);
			tell(l, text);
		}
	}
}

/* ---- names ---- */

static bool is_camel(const char *s)
{
	for (; s[0] != '\0' && s[1] != '\0'; s++) {
		if (s[0] >= 'a' && s[0] <= 'z' && s[1] >= 'A' && s[1] <= 'Z') {
			return true;
		}
	}
	return false;
}

static void lint_name(const struct linter *l)
{
	if (strchr(l->f->name, ':') != NULL) {
		tell(l, "metric names should not contain ':'");
	}
	if (is_camel(l->f->name)) {
		tell(l, "metric names should be written in 'snake_case' not 'camelCase'");
	}
	if (l->f->camel_label) {
		tell(l, "label names should be written in 'snake_case' not 'camelCase'");
	}
}

void ops_exposition_lint(
	const struct ops_exposition_check *c, const struct ops_family_judge *families)
{
	for (const struct ops_check_family *f = families->first; f != NULL; f = f->next) {
		const struct linter l = {c, f};
		if (!f->has_samples) {
			continue;
		}
		lint_help(&l);
		lint_unit(&l);
		lint_counter(&l);
		lint_reserved(&l);
		lint_type_in_name(&l);
		lint_name(&l);
		lint_unit_abbreviation(&l);
		if (f->duplicate) {
			tell(&l, "metric not unique");
		}
	}
}
