/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pull parser for Prometheus' text format 0.0.4 and OpenMetrics 1.0 text. One entry per call;
 * nothing is kept between documents but buffers. What an entry points to is borrowed: from the
 * document or from the parser until the next call. Exemplars are checked and dropped.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/model/labels.h"
#include "common/msg/samples.h"

enum col_format {
	COL_FORMAT_TEXT,
	COL_FORMAT_OPENMETRICS
};

enum col_entry { /* positive outcomes of col_exposition_next */
	COL_ENTRY_END = 0,
	COL_ENTRY_SAMPLE,
	COL_ENTRY_HELP,
	COL_ENTRY_TYPE,
	COL_ENTRY_UNIT,
	COL_ENTRY_COMMENT
};

struct col_text { /* not NUL-terminated */
	const char *data;
	size_t len;
};

/* What follows the label set of a sample line. */
struct col_tail {
	double value;
	int64_t time_ms;
	bool has_time;
};

enum {
	COL_LABELS_MAX = 256 /* label pairs in one sample line, whatever the limits say */
};

struct col_exposition {
	enum col_format format;
	const char *begin, *at, *end;
	const char *line_begin;
	int line;
	bool ended; /* # EOF was read */

	/* the current entry */
	struct col_text name; /* metric name; of metadata the family's */
	struct col_text text; /* HELP text, unescaped, or UNIT */
	enum ops_series_type type;
	struct ops_label labels[COL_LABELS_MAX]; /* as written, without __name__ */
	size_t nlabels;
	const char
		*series_end; /* where the value may begin: everything before it names the series */
	struct col_tail tail;

	struct col_fixup {
		const char **slot;
		size_t offset;
	} * fixups; /* texts of the line that lie in scratch */
	size_t nfixups, cap_fixups;
	struct ops_strbuf scratch, help;
};

/* data must stay until the last call; it need not be NUL-terminated. */
void col_exposition_init(struct col_exposition *p);
void col_exposition_done(struct col_exposition *p);
void col_exposition_start(
	struct col_exposition *p, enum col_format format, const char *data, size_t len);
/* An enum col_entry, or -EINVAL with err (line and column set). */
int col_exposition_next(struct col_exposition *p, struct ops_error *err) OPS_MUST_CHECK;

/*
 * Reads value, timestamp and exemplar from at up to and over the end of the line: the part of a
 * sample line that changes from scrape to scrape. *ret_next is the first byte of the next line.
 * -EINVAL: *ret_next is where it went wrong and *ret_what says how (constant text).
 */
int col_tail_parse(enum col_format format, const char *at, const char *end, struct col_tail *ret,
	const char **ret_next, const char **ret_what) OPS_MUST_CHECK;
