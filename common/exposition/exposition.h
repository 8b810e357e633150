/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pull parser for Prometheus' text format 0.0.4 and OpenMetrics 1.0 text. One entry per call;
 * nothing is kept between documents but buffers. What an entry points to is borrowed: from the
 * document or from the parser until the next call. Exemplars are checked and borrowed as text.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/model/labels.h"
#include "common/msg/samples.h"

enum ops_exposition_format {
	OPS_EXPOSITION_TEXT,
	OPS_EXPOSITION_OPENMETRICS,
	OPS_EXPOSITION_EXPFMT, /* the text format as promtool and Pushgateway read it: stricter */
	OPS_EXPOSITION_PROTO   /* the text that ops_protobuf_read makes: with exemplars */
};

enum ops_exposition_entry { /* positive outcomes of ops_exposition_next */
	OPS_ENTRY_END = 0,
	OPS_ENTRY_SAMPLE,
	OPS_ENTRY_HELP,
	OPS_ENTRY_TYPE,
	OPS_ENTRY_UNIT,
	OPS_ENTRY_COMMENT
};

struct ops_exposition_text { /* not NUL-terminated */
	const char *data;
	size_t len;
};

/* What follows the label set of a sample line. */
struct ops_sample_tail {
	double value;
	int64_t time_ms;
	bool has_time;
	struct ops_exposition_text
		exemplar; /* from its brace to the end of the line; len 0: none */
};

enum {
	OPS_EXPOSITION_LABELS_MAX =
		256 /* label pairs in one sample line, whatever the limits say */
};

/* A sample line's text between its label values (repeat.c). */
struct ops_exposition_pattern {
	const char *from; /* behind the metric name */
	size_t n;	  /* 0: there is none */
	struct ops_exposition_place {
		uint16_t before, value_len; /* bytes since the value before; of the value */
		uint16_t name;		    /* bytes from the label's name to its value */
		uint16_t label;		    /* index, as sorted */
	} places[32];
	uint16_t behind; /* from the last value to the number */
};

struct ops_exposition {
	enum ops_exposition_format format;
	const char *begin, *at, *end;
	const char *line_begin;
	int line;
	bool ended; /* # EOF was read */

	/* the current entry */
	struct ops_exposition_text name; /* metric name; of metadata the family's */
	struct ops_exposition_text text; /* HELP text, unescaped, or UNIT */
	enum ops_series_type type;
	struct ops_label labels[OPS_EXPOSITION_LABELS_MAX]; /* as written, without __name__ */
	size_t nlabels;
	uint64_t names_serial; /* unchanged: the labels have the names of the sample line before */
	const char
		*series_end; /* where the value may begin: everything before it names the series */
	struct ops_sample_tail tail;

	struct ops_exposition_fixup {
		const char **slot;
		size_t offset;
	} * fixups; /* texts of the line that lie in scratch */
	size_t nfixups, cap_fixups;
	struct ops_strbuf scratch, help;
	struct ops_exposition_pattern pattern;
};

/* data must stay until the last call; it need not be NUL-terminated. */
void ops_exposition_init(struct ops_exposition *p);
void ops_exposition_done(struct ops_exposition *p);
void ops_exposition_start(
	struct ops_exposition *p, enum ops_exposition_format format, const char *data, size_t len);
/* An enum ops_exposition_entry, or -EINVAL with err (line and column set). */
int ops_exposition_next(struct ops_exposition *p, struct ops_error *err) OPS_MUST_CHECK;

/*
 * Reads value, timestamp and exemplar from at up to and over the end of the line: the part of a
 * sample line that changes from scrape to scrape. *ret_next is the first byte of the next line.
 * -EINVAL: *ret_next is where it went wrong and *ret_what says how (constant text).
 */
int ops_exposition_tail(enum ops_exposition_format format, const char *at, const char *end,
	struct ops_sample_tail *ret, const char **ret_next, const char **ret_what) OPS_MUST_CHECK;

/* Whether this Content-Type is that of families in protobuf, each behind its length. */
bool ops_exposition_is_protobuf(const char *content_type);
/*
 * By Content-Type. fallback: -1, or the format to take when the type is missing or unknown.
 * -EINVAL with err when there is none.
 */
int ops_exposition_format_of(const char *content_type, int fallback,
	enum ops_exposition_format *ret, struct ops_error *err) OPS_MUST_CHECK;
