/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families collected by name wherever they stand in the document, as the parser behind Pushgateway
 * and promtool builds them. With strict it refuses what that one refuses: a second HELP or TYPE, a
 * TYPE behind samples, escapes that mean nothing, reserved labels, bounds that are no numbers,
 * negative counts.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/exposition/check_internal.h"

void ops_family_judge_init(struct ops_family_judge *j)
{
	*j = (struct ops_family_judge){.by_name = ops_map_new(), .series = ops_map_new()};
	j->end = &j->first;
	ops_arena_init(&j->arena);
}

void ops_family_judge_done(struct ops_family_judge *j)
{
	ops_map_free(j->by_name, NULL);
	ops_map_free(j->series, NULL);
	ops_strbuf_done(&j->id);
	ops_arena_done(&j->arena);
}

static bool suffix_fits(enum ops_series_type type, const char *suffix, size_t len)
{
	static const struct {
		enum ops_series_type type;
		const char *suffix;
	} table[] = {{OPS_T_SUMMARY, "_sum"}, {OPS_T_SUMMARY, "_count"}, {OPS_T_HISTOGRAM, "_sum"},
		{OPS_T_HISTOGRAM, "_count"}, {OPS_T_HISTOGRAM, "_bucket"},
		{OPS_T_GAUGEHISTOGRAM, "_sum"}, {OPS_T_GAUGEHISTOGRAM, "_count"},
		{OPS_T_GAUGEHISTOGRAM, "_bucket"}, {OPS_T_GAUGEHISTOGRAM, "_gsum"},
		{OPS_T_GAUGEHISTOGRAM, "_gcount"}, {OPS_T_COUNTER, "_created"},
		{OPS_T_SUMMARY, "_created"}, {OPS_T_HISTOGRAM, "_created"}};
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		if (table[i].type == type && strlen(table[i].suffix) == len &&
			memcmp(table[i].suffix, suffix, len) == 0) {
			return true;
		}
	}
	return false;
}

static struct ops_check_family *family_of(
	struct ops_family_judge *j, struct ops_exposition_text name)
{
	struct ops_check_family *f = ops_map_get(j->by_name, name.data, name.len);
	for (size_t base = name.len; f == NULL && base > 1; base--) {
		if (name.data[base - 1] != '_') {
			continue;
		}
		f = ops_map_get(j->by_name, name.data, base - 1);
		if (f == NULL || !suffix_fits(f->type, name.data + base - 1, name.len - base + 1)) {
			f = NULL;
			break;
		}
	}
	if (f == NULL) {
		f = ops_arena_array(&j->arena, struct ops_check_family, 1);
		*f = (struct ops_check_family){
			.name = ops_arena_strndup(&j->arena, name.data, name.len)};
		(void)ops_map_put(j->by_name, name.data, name.len, f);
		*j->end = f;
		j->end = &f->next;
	}
	return f;
}

static int on_metadata(struct ops_family_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err)
{
	struct ops_check_family *f = family_of(j, p->name);
	if (kind == OPS_ENTRY_HELP) {
		bool again = f->has_help;
		f->has_help = true;
		return again && j->strict ? ops_check_refuse(p, p->line_begin, err,
						    "second HELP line for \"%.100s\"", f->name)
					  : 0;
	}
	if (kind == OPS_ENTRY_TYPE) {
		if (j->strict && (f->has_type || f->has_samples)) {
			return ops_check_refuse(p, p->line_begin, err, "%s for \"%.100s\"",
				f->has_type ? "second TYPE line" : "TYPE behind the samples",
				f->name);
		}
		f->type = p->type;
		f->has_type = true;
	}
	return 0;
}

/* ---- samples ---- */

static bool is_camel(const char *s, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (s[i - 1] >= 'a' && s[i - 1] <= 'z' && s[i] >= 'A' && s[i] <= 'Z') {
			return true;
		}
	}
	return false;
}

/* le and quantile belong to the family's structure, not to its labels. */
static bool structural(
	const struct ops_check_family *f, const struct ops_exposition *p, const struct ops_label *l)
{
	bool bucket = f->type == OPS_T_HISTOGRAM || f->type == OPS_T_GAUGEHISTOGRAM;
	(void)p;
	return (bucket && l->name_len == 2 && memcmp(l->name, "le", 2) == 0) ||
	       (f->type == OPS_T_SUMMARY && l->name_len == 8 &&
		       memcmp(l->name, "quantile", 8) == 0);
}

static void note_labels(
	struct ops_family_judge *j, struct ops_check_family *f, const struct ops_exposition *p)
{
	ops_strbuf_reset(&j->id);
	ops_strbuf_add(&j->id, p->name.data, p->name.len);
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		ops_strbuf_addc(&j->id, '\0');
		ops_strbuf_add(&j->id, l->name, l->name_len);
		ops_strbuf_addc(&j->id, '\0');
		ops_strbuf_add(&j->id, l->value, l->value_len);
		if (structural(f, p, l)) {
			continue;
		}
		f->le |= l->name_len == 2 && memcmp(l->name, "le", 2) == 0;
		f->quantile |= l->name_len == 8 && memcmp(l->name, "quantile", 8) == 0;
		f->camel_label |= is_camel(l->name, l->name_len);
	}
	f->duplicate |= ops_map_put(j->series, j->id.data, j->id.len, f) != NULL;
	f->has_samples = true;
}

static int check_bound(
	const struct ops_check_family *f, const struct ops_exposition *p, struct ops_error *err)
{
	for (size_t i = 0; i < p->nlabels; i++) {
		double v;
		if (structural(f, p, &p->labels[i]) && !ops_check_number(&p->labels[i], &v)) {
			return ops_check_refuse(p, p->line_begin, err,
				"the label \"%.*s\" needs a number", (int)p->labels[i].name_len,
				p->labels[i].name);
		}
	}
	return 0;
}

static bool ends_with(struct ops_exposition_text name, const char *suffix)
{
	size_t len = strlen(suffix);
	return name.len > len && memcmp(name.data + name.len - len, suffix, len) == 0;
}

static int check_counts(
	const struct ops_check_family *f, const struct ops_exposition *p, struct ops_error *err)
{
	bool histogram = f->type == OPS_T_HISTOGRAM || f->type == OPS_T_GAUGEHISTOGRAM;
	bool counts = ends_with(p->name, "_count") || ends_with(p->name, "_bucket");
	if (!histogram || !counts || !(p->tail.value < 0)) {
		return 0;
	}
	return ops_check_refuse(
		p, p->series_end, err, "histogram \"%.100s\" counts below zero", f->name);
}

static int check_names(const struct ops_exposition *p, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(p->name.data, p->name.len);
	if (!ops_metric_name_classic(name, p->name.len)) {
		return ops_check_refuse(p, p->line_begin, err,
			"\"%.100s\" is not a metric name of the legacy scheme", name);
	}
	for (size_t i = 0; i < p->nlabels; i++) {
		if (!ops_label_name_classic(p->labels[i].name, p->labels[i].name_len)) {
			return ops_check_refuse(p, p->line_begin, err,
				"\"%.*s\" is not a label name of the legacy scheme",
				(int)OPS_MIN(p->labels[i].name_len, 100U), p->labels[i].name);
		}
	}
	return 0;
}

int ops_family_judge_entry(struct ops_family_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err)
{
	int r = 0;
	if (kind == OPS_ENTRY_COMMENT) {
		return 0;
	}
	if (kind != OPS_ENTRY_SAMPLE) {
		return on_metadata(j, p, kind, err);
	}
	struct ops_check_family *f = family_of(j, p->name);
	note_labels(j, f, p);
	if (j->strict) {
		r = check_bound(f, p, err);
		r = r != 0 ? r : check_counts(f, p, err);
		r = r == 0 && j->legacy_names ? check_names(p, err) : r;
	}
	return r;
}
