/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The judges: each sees every entry of a document once. Private to common/exposition. */
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/exposition/check.h"
#include "common/exposition/exposition.h"

/* Refuses at byte `where` of the current entry's line. */
int ops_check_refuse(const struct ops_exposition *p, const char *where, struct ops_error *err,
	const char *fmt, ...) OPS_PRINTF(4, 5);
/* The label's value, or NULL. */
const struct ops_label *ops_check_label(const struct ops_exposition *p, const char *name);
bool ops_check_number(const struct ops_label *l, double *ret);

/* ---- strict OpenMetrics: families one after the other ---- */

struct ops_om_judge {
	struct ops_arena arena;	     /* names */
	struct ops_map *names;	     /* every name a family has taken */
	struct ops_map *groups;	     /* label groups of the family */
	struct ops_strbuf group, id; /* of the sample before; scratch */
	struct ops_strbuf series;    /* scratch */
	const char *family;	     /* NULL: none yet */
	size_t family_len;
	enum ops_series_type type;
	bool has_type, has_help, has_unit, unit_given, has_samples, has_group, has_time;
	int64_t time_ms;
	struct ops_om_histogram {
		bool open, has_bucket, has_count, has_sum, has_gsum, negative_bound, negative_gsum;
		double bound, value, count;
	} h;
};

void ops_om_judge_init(struct ops_om_judge *j);
void ops_om_judge_done(struct ops_om_judge *j);
int ops_om_judge_entry(struct ops_om_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err) OPS_MUST_CHECK;
int ops_om_judge_end(struct ops_om_judge *j, const struct ops_exposition *p,
	struct ops_error *err) OPS_MUST_CHECK;

/* ---- families by name, for expfmt and for lint ---- */

struct ops_check_family {
	const char *name;
	enum ops_series_type type;
	bool has_type, has_help, has_samples, duplicate;
	bool le, quantile; /* some sample has the label */
	bool camel_label;
	struct ops_check_family *next; /* in order of appearance */
};

struct ops_family_judge {
	struct ops_arena arena;
	struct ops_map *by_name;
	struct ops_map *series; /* seen, for duplicates; NULL: not wanted */
	struct ops_check_family *first, **end;
	struct ops_strbuf id; /* scratch */
	bool strict, legacy_names;
};

void ops_family_judge_init(struct ops_family_judge *j);
void ops_family_judge_done(struct ops_family_judge *j);
/* Refuses only when j->strict. */
int ops_family_judge_entry(struct ops_family_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err) OPS_MUST_CHECK;

/* Tells on_lint what promtool would tell. */
void ops_exposition_lint(
	const struct ops_exposition_check *c, const struct ops_family_judge *families);
