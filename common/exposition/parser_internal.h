/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the parser share. Private to common/exposition. */
#include "common/exposition/exposition.h"

#define OPS_EXPOSITION_FAIL(p, where, ...)                                                         \
	ops_error_set_at(                                                                          \
		(err), -EINVAL, "", (p)->line, (int)((where) - (p)->line_begin) + 1, __VA_ARGS__)

/* What a byte may be part of; the parser spends most of its time asking this. */
enum {
	IN_LABEL = 1,
	IN_METRIC = 2,
	DIGIT = 4,
	ENDS_QUOTED = 8 /* stops the scan of a quoted text: quote, escape, line break, NUL */
};

extern const unsigned char ops_exposition_classes[256];

/* What a scan of one quoted text found. */
struct ops_quoted {
	const char *from, *to;
	bool plain; /* nothing to unescape */
};

/* p->at stands on the opening quote and is moved behind the closing one. */
int ops_quoted_scan(struct ops_exposition *p, struct ops_quoted *ret, const char *wanted,
	struct ops_error *err) OPS_MUST_CHECK;
/* Sets *slot and *len; a text that needs unescaping is set later, by ops_quoted_settle(). */
void ops_quoted_keep(
	struct ops_exposition *p, const struct ops_quoted *q, const char **slot, size_t *len);
void ops_quoted_settle(struct ops_exposition *p);
/* Appends; NUL becomes U+FFFD. quotes: \" is an escape too. */
void ops_quoted_unescape(struct ops_strbuf *out, const char *from, const char *to, bool quotes);
/* Whether all escapes mean something. */
bool ops_quoted_escapes_known(const char *from, const char *to, bool quotes);

/*
 * at stands behind the metric name. True: the labels, series_end and at are set, since the line is
 * like the pattern. False: labels are undefined, the rest is as before.
 */
bool ops_exposition_repeats(struct ops_exposition *p);
/* Makes a pattern of the line; from: behind its name. plain: nothing in it was unescaped. */
void ops_exposition_learn(struct ops_exposition *p, const char *from, bool plain);
