/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a target exposes, worked out once: which series its lines are, and the bytes before each
 * value, so that the next body with the same series is read by comparing those bytes and reading
 * the numbers. The order of columns is the order of lines; behind them stand the target's report
 * series (up, ...).
 */
#include "common/base/arena.h"
#include "common/model/labels.h"
#include "common/msg/samples.h"
#include "common/exposition/exposition.h"

enum col_report { /* columns behind those of the exposition */
	COL_REPORT_UP,
	COL_REPORT_DURATION,
	COL_REPORT_SCRAPED,
	COL_REPORT_POST_RELABEL,
	COL_REPORT_ADDED,
	COL_REPORT_TIMEOUT, /* this and what follows: extra_scrape_metrics */
	COL_REPORT_SAMPLE_LIMIT,
	COL_REPORT_BODY_BYTES,
	COL_REPORTS
};

struct ops_relabel;
struct col_classics;
struct col_limits;
struct col_shape;

struct col_series_rules {	   /* of a target; everything is borrowed */
	struct ops_labels *labels; /* the target's */
	const char *instance;	   /* names the target's layouts, with the job label */
	/* NULL behind those that there are: all, those before COL_REPORT_TIMEOUT, or none */
	struct ops_labels *reports[COL_REPORTS];
	bool honor_labels, honor_timestamps, legacy_names;
	bool convert_classic, keep_classic; /* to native histograms; the lines stay series, too */
	const struct ops_relabel *relabel;  /* may be NULL */
	const struct col_limits *limits;
};

struct col_exemplar_text {
	uint32_t column;
	struct ops_exposition_text text; /* in the body */
};

struct col_values { /* one row; hidden columns follow the n of the row */
	double *values;
	int64_t *times_ms; /* 0 = scrape time */
	size_t n, cap;
	bool has_times;			     /* some times_ms is set */
	struct col_exemplar_text *exemplars; /* while the body is there; bounded */
	size_t nexemplars, cap_exemplars;
};

/* The bytes up to the value, comments before the line included: some of those of the line before,
 * then own ones. */
struct col_line {
	uint32_t own_len;
	uint32_t shared_len;
	/* UINT32_MAX: dropped by relabelling, or a duplicate; of the row's size and more: hidden, a
	 * part of a histogram that is converted */
	uint32_t column;
};

struct col_layout {
	struct ops_layout
		wire; /* id is set when it is first encoded; without series while packed */
	char *packed; /* the message, once it was sent; NULL: not packed */
	size_t packed_len;
	uint64_t *hashes;	     /* of the series, packed or not */
	struct ops_layout *unpacked; /* owner of the series while they are back */
	enum ops_exposition_format format;
	size_t nlines;		       /* samples in the exposition */
	size_t nseries;		       /* of them kept; the reports follow */
	size_t nduplicates;	       /* lines that name a series again */
	size_t nconverted;	       /* lines that are no series of their own */
	struct col_classics *classics; /* histograms to convert; NULL: none */
	struct col_line *lines;
	struct ops_strbuf prefixes; /* own bytes of all lines, then what follows the last one */
	struct col_shape *shape;    /* owner of both; NULL: not shared yet */
	struct ops_arena arena;	    /* families and names */
	uint64_t sent_at;	    /* publisher's byte count when it was last sent; 0 = never */
};

/*
 * The whole way: validate, label, relabel, apply limits. -EINVAL malformed, -E2BIG a limit is
 * exceeded; err has line and column where there is one. *values gets one row.
 */
int col_layout_parse(const struct col_series_rules *rules, enum ops_exposition_format format,
	struct ops_exposition_text body, struct col_values *values, struct col_layout **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* The short way. False: the body has other series (or is malformed) and must be parsed. */
bool col_layout_read(const struct col_layout *l, const struct col_series_rules *rules,
	enum ops_exposition_format format, struct ops_exposition_text body,
	struct col_values *values);
/* The reports alone. */
struct col_layout *col_layout_reports(const struct col_series_rules *rules);
void col_layout_free(struct col_layout *l); /* NULL is fine */

/* Series of l that before (may be NULL) does not have, reports left out. (succession.c) */
size_t col_layout_added(const struct col_layout *l, const struct col_layout *before);
/* What a row takes to read, hidden columns included. */
size_t col_layout_columns(const struct col_layout *l);
/*
 * Turns last, a row of l, into its final row: series that next (NULL: none) has take its values,
 * the others become stale; with their own timestamps only when track_timestamps is set, else
 * they repeat their last sample, which nobody stores twice.
 */
void col_layout_retire(const struct col_layout *l, struct col_values *last,
	const struct col_layout *next, const struct col_values *next_values, bool track_timestamps);

/*
 * A layout that was sent needs its series only when another one takes its place. keep_message takes
 * a copy of the encoded l->wire; pack then frees the series and shares the lines with layouts that
 * have the same ones, unpack brings the series back. Both do nothing when there is nothing to do.
 */
void col_layout_keep_message(struct col_layout *l, const void *message, size_t len);
void col_layout_pack(struct col_layout *l);
void col_layout_unpack(struct col_layout *l);

void col_values_done(struct col_values *v);
void col_values_reserve(struct col_values *v, size_t n);
int64_t col_values_time(const struct col_values *v, size_t column); /* 0: scrape time */
void col_values_set_time(struct col_values *v, size_t column, int64_t time_ms);

/* Labels of the report series for a target with these labels; extra: all of them. */
void col_reports_build(struct ops_labels *target, bool extra, struct ops_labels *ret[COL_REPORTS]);
