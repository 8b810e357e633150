/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMetrics 1.0 beyond its grammar: families do not interleave and do not share names, metadata
 * precedes samples and comes once, the label groups of a family stand together with their times in
 * order, and values are such as the family's type allows. A histogram's group must have a +Inf
 * bucket that equals its count, ascending bounds and counts, and sum and count together.
 *
 * Source: the OpenMetrics specification 1.0, sections "MetricFamily", "Metric types", "Exemplars".
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/exposition/check_internal.h"

enum {
	EXEMPLAR_CHARS_MAX = 128
};

void ops_om_judge_init(struct ops_om_judge *j)
{
	*j = (struct ops_om_judge){.names = ops_map_new(), .groups = ops_map_new()};
	ops_arena_init(&j->arena);
}

void ops_om_judge_done(struct ops_om_judge *j)
{
	ops_map_free(j->names, NULL);
	ops_map_free(j->groups, NULL);
	ops_strbuf_done(&j->group);
	ops_strbuf_done(&j->id);
	ops_strbuf_done(&j->series);
	ops_arena_done(&j->arena);
}

static const char *const *suffixes_of(enum ops_series_type type)
{
	static const char *const plain[] = {"", NULL};
	static const char *const table[][5] = {
		[OPS_T_COUNTER] = {"_total", "_created", NULL},
		[OPS_T_SUMMARY] = {"", "_count", "_sum", "_created", NULL},
		[OPS_T_HISTOGRAM] = {"_count", "_sum", "_bucket", "_created", NULL},
		[OPS_T_GAUGEHISTOGRAM] = {"_gcount", "_gsum", "_bucket", NULL},
		[OPS_T_INFO] = {"_info", NULL},
	};
	return (size_t)type < OPS_LENGTH(table) && table[type][0] != NULL ? table[type] : plain;
}

/* What the sample's name has behind the family's; NULL when it is not of the family. */
static const char *suffix_in_family(const struct ops_om_judge *j, struct ops_exposition_text name)
{
	if (j->family == NULL || name.len < j->family_len ||
		memcmp(name.data, j->family, j->family_len) != 0) {
		return NULL;
	}
	for (const char *const *s = suffixes_of(j->type); *s != NULL; s++) {
		if (name.len - j->family_len == strlen(*s) &&
			memcmp(name.data + j->family_len, *s, strlen(*s)) == 0) {
			return *s;
		}
	}
	return NULL;
}

/* ---- histograms ---- */

static int close_histogram(
	struct ops_om_judge *j, const struct ops_exposition *p, struct ops_error *err)
{
	const struct ops_om_histogram h = j->h;
	j->h = (struct ops_om_histogram){.open = false};
	if (!h.open) {
		return 0;
	}
	const char *what = NULL;
	if (!h.has_bucket || !isinf(h.bound) || h.bound < 0) {
		what = "has no +Inf bucket";
	} else if (h.has_count && h.count != h.value) {
		what = "has a count that is not that of its +Inf bucket";
	} else if ((h.has_sum || h.has_gsum) && !h.has_count) {
		what = "has a sum but no count";
	} else if (h.has_count && !h.has_sum && !h.has_gsum) {
		what = "has a count but no sum";
	} else if (h.negative_bound && h.has_sum) {
		what = "has a sum although a bound is negative";
	} else if (!h.negative_bound && h.negative_gsum) {
		what = "has a negative sum although no bound is negative";
	}
	return what == NULL ? 0
			    : ops_check_refuse(p, p->line_begin, err, "histogram \"%.100s\" %s",
				      j->family, what);
}

static int add_bucket(struct ops_om_histogram *h, const struct ops_exposition *p, double bound,
	struct ops_error *err)
{
	if (h->has_bucket && bound <= h->bound) {
		return ops_check_refuse(p, p->line_begin, err, "buckets out of order");
	}
	if (p->tail.value < h->value) {
		return ops_check_refuse(
			p, p->line_begin, err, "a bucket counts less than the one before it");
	}
	h->has_bucket = true;
	h->negative_bound |= bound < 0;
	h->bound = bound;
	h->value = p->tail.value;
	return 0;
}

static int add_to_histogram(struct ops_om_judge *j, const struct ops_exposition *p,
	const char *suffix, struct ops_error *err)
{
	struct ops_om_histogram *h = &j->h;
	double bound = 0;
	h->open = true;
	if (strcmp(suffix, "_bucket") == 0) {
		bool known = ops_check_number(ops_check_label(p, "le"), &bound);
		return known ? add_bucket(h, p, bound, err) : 0;
	}
	if (strcmp(suffix, "_count") == 0 || strcmp(suffix, "_gcount") == 0) {
		h->has_count = true;
		h->count = p->tail.value;
	} else if (strcmp(suffix, "_sum") == 0) {
		h->has_sum = true;
	} else if (strcmp(suffix, "_gsum") == 0) {
		h->has_gsum = true;
		h->negative_gsum = p->tail.value < 0;
	}
	return 0;
}

/* ---- families ---- */

static bool is_histogram(const struct ops_om_judge *j)
{
	return j->type == OPS_T_HISTOGRAM || j->type == OPS_T_GAUGEHISTOGRAM;
}

static int take_name(struct ops_om_judge *j, const struct ops_exposition *p, const char *suffix,
	struct ops_error *err)
{
	ops_strbuf_reset(&j->id);
	ops_strbuf_add(&j->id, j->family, j->family_len);
	ops_strbuf_adds(&j->id, suffix);
	if (ops_map_put(j->names, j->id.data, j->id.len, j) != NULL) {
		return ops_check_refuse(p, p->line_begin, err,
			"\"%.200s\" is the name of two metric families", j->id.data);
	}
	return 0;
}

/* The family is over. */
static int close_family(
	struct ops_om_judge *j, const struct ops_exposition *p, struct ops_error *err)
{
	if (j->family == NULL) {
		return 0;
	}
	if (j->unit_given && (j->type == OPS_T_INFO || j->type == OPS_T_STATESET)) {
		return ops_check_refuse(p, p->line_begin, err, "%s \"%.100s\" cannot have a unit",
			ops_series_type_text(j->type), j->family);
	}
	int r = close_histogram(j, p, err);
	bool whole = false;
	for (const char *const *s = suffixes_of(j->type); r == 0 && *s != NULL; s++) {
		whole |= (*s)[0] == '\0';
		r = take_name(j, p, *s, err);
	}
	return r != 0 || whole ? r : take_name(j, p, "", err);
}

static int open_family(
	struct ops_om_judge *j, const struct ops_exposition *p, struct ops_error *err)
{
	int r = close_family(j, p, err);
	if (r == 0 && ops_map_get(j->names, p->name.data, p->name.len) != NULL) {
		r = ops_check_refuse(p, p->line_begin, err,
			"\"%.*s\" is the name of two metric families",
			(int)OPS_MIN(p->name.len, (size_t)200), p->name.data);
	}
	ops_map_free(j->groups, NULL);
	j->groups = ops_map_new();
	j->family = ops_arena_strndup(&j->arena, p->name.data, p->name.len);
	j->family_len = p->name.len;
	j->type = OPS_T_UNKNOWN;
	j->has_type = j->has_help = j->has_unit = j->unit_given = false;
	j->has_samples = j->has_group = false;
	return r;
}

static int on_metadata(struct ops_om_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err)
{
	bool same = j->family != NULL && p->name.len == j->family_len &&
		    memcmp(p->name.data, j->family, j->family_len) == 0;
	if (same && j->has_samples) {
		return ops_check_refuse(p, p->line_begin, err,
			"metadata behind the samples of \"%.100s\"", j->family);
	}
	int r = same ? 0 : open_family(j, p, err);
	bool *seen = kind == OPS_ENTRY_TYPE   ? &j->has_type
		     : kind == OPS_ENTRY_HELP ? &j->has_help
					      : &j->has_unit;
	if (r == 0 && *seen) {
		return ops_check_refuse(p, p->line_begin, err,
			"second line of this kind for \"%.100s\"", j->family);
	}
	*seen = true;
	if (kind == OPS_ENTRY_TYPE) {
		j->type = p->type;
	}
	j->unit_given |= kind == OPS_ENTRY_UNIT && p->text.len > 0;
	return r;
}

/* ---- samples ---- */

static int check_labels(const struct ops_om_judge *j, const struct ops_exposition *p,
	const char *suffix, struct ops_error *err)
{
	double v = 0;
	if (j->type == OPS_T_STATESET && ops_check_label(p, j->family) == NULL) {
		return ops_check_refuse(
			p, p->line_begin, err, "a stateset needs the label \"%.100s\"", j->family);
	}
	if (is_histogram(j) && strcmp(suffix, "_bucket") == 0) {
		const struct ops_label *le = ops_check_label(p, "le");
		bool good = le != NULL && ops_check_number(le, &v) && !isnan(v) &&
			    (!isinf(v) || v < 0 ||
				    (le->value_len == 4 && memcmp(le->value, "+Inf", 4) == 0));
		if (!good) {
			return ops_check_refuse(p, p->line_begin, err,
				"a bucket needs the label \"le\" with a number or +Inf");
		}
	}
	if (j->type == OPS_T_SUMMARY && suffix[0] == '\0') {
		const struct ops_label *q = ops_check_label(p, "quantile");
		if (q == NULL || !ops_check_number(q, &v) || !(v >= 0 && v <= 1)) {
			return ops_check_refuse(p, p->line_begin, err,
				"a summary's sample needs the label \"quantile\" from 0 to 1");
		}
	}
	return 0;
}

static bool one_of(const char *suffix, const char *list)
{
	const char *at = suffix[0] != '\0' ? strstr(list, suffix) : NULL;
	return at != NULL && (at[strlen(suffix)] == ' ' || at[strlen(suffix)] == '\0');
}

static int check_value(const struct ops_om_judge *j, const struct ops_exposition *p,
	const char *suffix, struct ops_error *err)
{
	double v = p->tail.value;
	const char *what = NULL;
	if (j->type == OPS_T_STATESET && v != 0 && v != 1) {
		what = "a stateset's value is 0 or 1";
	} else if (j->type == OPS_T_INFO && v != 1) {
		what = "an info's value is 1";
	} else if (j->type == OPS_T_SUMMARY && suffix[0] == '\0' && v < 0) {
		what = "a quantile's value cannot be negative";
	} else if (isnan(v) && one_of(suffix, "_total _sum _count _bucket _gcount _gsum")) {
		what = "what counts cannot be NaN";
	} else if (v < 0 && one_of(suffix, "_total _sum _count _bucket _gcount")) {
		what = "what counts cannot be negative";
	}
	return what == NULL ? 0 : ops_check_refuse(p, p->series_end, err, "%s", what);
}

/* Characters of the names and values of an exemplar's labels; escapes count as what they mean. */
static size_t exemplar_chars(struct ops_exposition_text e)
{
	size_t n = 0;
	bool quoted = false;
	for (size_t i = 0; i < e.len; i++) {
		unsigned char c = (unsigned char)e.data[i];
		if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && c == '}') {
			break;
		} else if (quoted ? (c & 0xc0) != 0x80 : strchr("{,= ", c) == NULL) {
			i += quoted && c == '\\';
			n++;
		}
	}
	return n;
}

static int check_exemplar(const struct ops_om_judge *j, const struct ops_exposition *p,
	const char *suffix, struct ops_error *err)
{
	struct ops_exposition_text e = p->tail.exemplar;
	if (e.len == 0) {
		return 0;
	}
	bool allowed = (is_histogram(j) && strcmp(suffix, "_bucket") == 0) ||
		       (j->type == OPS_T_COUNTER && strcmp(suffix, "_total") == 0);
	if (!allowed) {
		return ops_check_refuse(
			p, e.data, err, "only buckets and counters can have exemplars");
	}
	return exemplar_chars(e) <= EXEMPLAR_CHARS_MAX
		       ? 0
		       : ops_check_refuse(p, e.data, err,
				 "the exemplar has more than %d characters", EXEMPLAR_CHARS_MAX);
}

/* The labels without the one that only tells the points of a metric apart. */
static void name_group(struct ops_om_judge *j, const struct ops_exposition *p, const char *suffix,
	struct ops_strbuf *out)
{
	const char *without = "";
	ops_strbuf_reset(out);
	ops_strbuf_addc(out, 'g');
	if (j->type == OPS_T_INFO) {
		return; /* each is its own group, none can be told from another */
	}
	if (is_histogram(j) && strcmp(suffix, "_bucket") == 0) {
		without = "le";
	} else if (j->type == OPS_T_SUMMARY && suffix[0] == '\0') {
		without = "quantile";
	} else if (j->type == OPS_T_STATESET) {
		without = j->family;
	}
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		if (l->name_len == strlen(without) && memcmp(l->name, without, l->name_len) == 0) {
			continue;
		}
		ops_strbuf_add(out, l->name, l->name_len);
		ops_strbuf_addc(out, '\0');
		ops_strbuf_add(out, l->value, l->value_len);
		ops_strbuf_addc(out, '\0');
	}
}

static int check_group(struct ops_om_judge *j, const struct ops_exposition *p, const char *suffix,
	struct ops_error *err)
{
	bool had = j->has_group;
	name_group(j, p, suffix, &j->series);
	bool same = had && j->series.len == j->group.len &&
		    memcmp(j->series.data, j->group.data, j->group.len) == 0;
	if (had && !same && ops_map_get(j->groups, j->series.data, j->series.len) != NULL) {
		return ops_check_refuse(p, p->line_begin, err,
			"the samples of one label set do not stand together");
	}
	if (same && p->tail.has_time != j->has_time) {
		return ops_check_refuse(
			p, p->line_begin, err, "timestamps must be on all samples or on none");
	}
	if (same && j->has_time && j->time_ms > p->tail.time_ms && j->type != OPS_T_INFO) {
		return ops_check_refuse(
			p, p->line_begin, err, "the timestamp is before the last one");
	}
	bool new_point = !same || (j->has_time && j->time_ms != p->tail.time_ms);
	int r = is_histogram(j) && new_point ? close_histogram(j, p, err) : 0;
	struct ops_strbuf swap = j->group;
	j->group = j->series;
	j->series = swap;
	j->has_group = true;
	j->has_time = p->tail.has_time;
	j->time_ms = p->tail.time_ms;
	(void)ops_map_put(j->groups, j->group.data, j->group.len, j);
	return r;
}

static int check_syntax(const struct ops_exposition *p, struct ops_error *err)
{
	const char *c = p->series_end - 1;
	if (c - p->line_begin >= 3 && c[-1] == '}' && c[-2] == ',') {
		return ops_check_refuse(p, c - 2, err, "a comma behind the last label");
	}
	return 0;
}

static int on_sample(struct ops_om_judge *j, const struct ops_exposition *p, struct ops_error *err)
{
	const char *suffix = suffix_in_family(j, p->name);
	int r = check_syntax(p, err);
	if (r == 0 && suffix == NULL) {
		r = open_family(j, p, err);
		suffix = "";
	}
	j->has_samples = true;
	r = r != 0 ? r : check_labels(j, p, suffix, err);
	r = r != 0 ? r : check_group(j, p, suffix, err);
	r = r != 0 ? r : check_value(j, p, suffix, err);
	r = r != 0 ? r : check_exemplar(j, p, suffix, err);
	return r == 0 && is_histogram(j) ? add_to_histogram(j, p, suffix, err) : r;
}

int ops_om_judge_entry(struct ops_om_judge *j, const struct ops_exposition *p,
	enum ops_exposition_entry kind, struct ops_error *err)
{
	if (kind == OPS_ENTRY_SAMPLE) {
		return on_sample(j, p, err);
	}
	return kind == OPS_ENTRY_COMMENT ? 0 : on_metadata(j, p, kind, err);
}

int ops_om_judge_end(struct ops_om_judge *j, const struct ops_exposition *p, struct ops_error *err)
{
	return close_family(j, p, err);
}
