/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parser for two dialects, because they differ only in white space, in which comments mean
 * something, and in the end mark. It takes what Prometheus' scraper takes (not more strict checks
 * of whole families: a value that OpenMetrics forbids is the reader's to judge, and checks of
 * values would have to be repeated on every scrape). Differences to that scraper: a line break
 * inside quotes is refused, a bare name must be followed by a blank or a brace, and a NUL byte in a
 * label value, which our label sets cannot hold, becomes U+FFFD.
 *
 * Sources: the Prometheus documentation "Exposition formats"; OpenMetrics 1.0 text format.
 */
#include "common/exposition/exposition.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/text.h"
#include "common/exposition/parser_internal.h"

#define FAIL OPS_EXPOSITION_FAIL

static bool is_openmetrics(const struct ops_exposition *p)
{
	return p->format == OPS_EXPOSITION_OPENMETRICS;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

void ops_exposition_init(struct ops_exposition *p)
{
	*p = (struct ops_exposition){.begin = NULL};
}

void ops_exposition_done(struct ops_exposition *p)
{
	free(p->fixups);
	ops_strbuf_done(&p->scratch);
	ops_strbuf_done(&p->help);
	ops_exposition_init(p);
}

void ops_exposition_start(
	struct ops_exposition *p, enum ops_exposition_format format, const char *data, size_t len)
{
	p->format = format;
	p->begin = p->at = p->line_begin = data;
	p->end = data + len;
	p->line = 0;
	p->ended = false;
	p->pattern.n = 0;
	p->names_serial++;
}

static void skip_blanks(struct ops_exposition *p)
{
	if (is_openmetrics(p)) {
		return;
	}
	while (p->at < p->end && is_blank(*p->at)) {
		p->at++;
	}
}

static bool at_char(const struct ops_exposition *p, char c)
{
	return p->at < p->end && *p->at == c;
}

/* kind: IN_LABEL or IN_METRIC. */
static int read_name(struct ops_exposition *p, unsigned kind, struct ops_exposition_text *ret)
{
	const char *from = p->at, *c = from, *end = p->end;
	if (c < end && (ops_exposition_classes[(unsigned char)*c] & DIGIT) == 0) {
		while (c < end && (ops_exposition_classes[(unsigned char)*c] & kind) != 0) {
			c++;
		}
	}
	p->at = c;
	*ret = (struct ops_exposition_text){from, (size_t)(c - from)};
	return ret->len > 0 ? 0 : -ENOENT;
}

/* ---- labels ---- */

static int take_metric_name(
	struct ops_exposition *p, const struct ops_quoted *q, struct ops_error *err)
{
	if (p->name.data != NULL) {
		return FAIL(p, q->from, "the metric name is given twice");
	}
	if (q->from == q->to) {
		return FAIL(p, q->from, "the metric name is empty");
	}
	ops_quoted_keep(p, q, &p->name.data, &p->name.len);
	return 0;
}

static int read_label_value(
	struct ops_exposition *p, struct ops_label *label, struct ops_error *err)
{
	if (!at_char(p, '=')) {
		return FAIL(p, p->at, "expected '=' after the label name");
	}
	p->at++;
	skip_blanks(p);
	if (!at_char(p, '"')) {
		return FAIL(p, p->at, "expected a label value in double quotes");
	}
	struct ops_quoted q;
	int r = ops_quoted_scan(p, &q, "the label value", err);
	if (r != 0) {
		return r;
	}
	size_t len;
	ops_quoted_keep(p, &q, &label->value, &len);
	if (len > UINT32_MAX / 2) {
		return FAIL(p, q.from, "the label value is too long");
	}
	label->value_len = (uint32_t)len;
	return 0;
}

/* One name="value", or a quoted metric name. */
static int read_label(struct ops_exposition *p, struct ops_error *err)
{
	if (p->nlabels == OPS_EXPOSITION_LABELS_MAX) {
		return FAIL(p, p->at, "more than %d labels", OPS_EXPOSITION_LABELS_MAX);
	}
	struct ops_label *label = &p->labels[p->nlabels];
	struct ops_exposition_text name;
	if (at_char(p, '"')) {
		struct ops_quoted q;
		int r = ops_quoted_scan(p, &q, "the name", err);
		if (r != 0) {
			return r;
		}
		skip_blanks(p);
		if (at_char(p, ',') || at_char(p, '}')) {
			return take_metric_name(p, &q, err);
		}
		if (q.from == q.to) {
			return FAIL(p, q.from, "the label name is empty");
		}
		ops_quoted_keep(p, &q, &label->name, &name.len);
	} else if (read_name(p, IN_LABEL, &name) == 0) {
		label->name = name.data;
	} else {
		return FAIL(p, p->at, "expected a label name");
	}
	label->name_len = (uint32_t)OPS_MIN(name.len, (size_t)UINT32_MAX / 2);
	skip_blanks(p);
	int r = read_label_value(p, label, err);
	p->nlabels += r == 0;
	return r;
}

/* at stands behind the opening brace. */
static int read_labels(struct ops_exposition *p, struct ops_error *err)
{
	skip_blanks(p);
	while (!at_char(p, '}')) {
		int r = read_label(p, err);
		if (r != 0) {
			return r;
		}
		skip_blanks(p);
		if (at_char(p, ',')) {
			p->at++;
			if (is_openmetrics(p) && at_char(p, ' ')) {
				p->at++;
			}
			skip_blanks(p);
		} else if (is_openmetrics(p) && !at_char(p, '}')) {
			return FAIL(p, p->at, "expected ',' or '}' after the label value");
		}
	}
	p->at++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct ops_label *x = a, *y = b;
	if (x->name[0] != y->name[0]) { /* no name is empty */
		return (unsigned char)x->name[0] < (unsigned char)y->name[0] ? -1 : 1;
	}
	int c = memcmp(x->name, y->name, OPS_MIN(x->name_len, y->name_len));
	return c != 0 ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static void sort_labels(struct ops_label *labels, size_t n)
{
	if (n > 16) {
		qsort(labels, n, sizeof(*labels), compare_names);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct ops_label moving = labels[i];
		size_t j = i;
		for (; j > 0 && compare_names(&labels[j - 1], &moving) > 0; j--) {
			labels[j] = labels[j - 1];
		}
		labels[j] = moving;
	}
}

static bool names_metric(const struct ops_label *l)
{
	return l->name_len == sizeof(OPS_LABEL_NAME) - 1 &&
	       memcmp(l->name, OPS_LABEL_NAME, l->name_len) == 0;
}

static int check_labels(struct ops_exposition *p, struct ops_error *err)
{
	if (p->name.data == NULL) {
		return FAIL(p, p->line_begin, "the line has no metric name");
	}
	sort_labels(p->labels, p->nlabels);
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		bool twice = i > 0 && compare_names(l, l - 1) == 0;
		if (twice || names_metric(l)) {
			return FAIL(p, p->line_begin, "label \"%.*s\" is given twice",
				(int)OPS_MIN(l->name_len, 100U), l->name);
		}
	}
	return 0;
}

/* ---- samples ---- */

static int read_series(struct ops_exposition *p, struct ops_error *err)
{
	p->name = (struct ops_exposition_text){NULL, 0};
	bool bare = *p->at != '{';
	if (bare && read_name(p, IN_METRIC, &p->name) != 0) {
		return FAIL(p, p->at, "expected a metric name or a comment");
	}
	if (bare && ops_exposition_repeats(p)) {
		skip_blanks(p); /* more of them than in the line before */
		p->series_end = p->at;
		return 0;
	}
	const char *from = p->at;
	p->nlabels = p->nfixups = 0;
	p->pattern.n = 0;
	ops_strbuf_reset(&p->scratch);
	bool plain = bare;
	bool separated = at_char(p, ' ') || (!is_openmetrics(p) && at_char(p, '\t'));
	skip_blanks(p);
	if (at_char(p, '{')) {
		p->at++;
		int r = read_labels(p, err);
		plain = plain && p->nfixups == 0;
		ops_quoted_settle(p);
		if (r != 0) {
			return r;
		}
		separated = at_char(p, ' ') || !is_openmetrics(p);
	}
	if (!separated) {
		return FAIL(p, p->at, "expected a value after the metric");
	}
	skip_blanks(p);
	p->at += is_openmetrics(p) ? 1 : 0;
	p->series_end = p->at;
	int r = check_labels(p, err);
	if (r == 0) {
		ops_exposition_learn(p, from, plain);
	}
	return r;
}

static int read_sample(struct ops_exposition *p, struct ops_error *err)
{
	int r = read_series(p, err);
	if (r != 0) {
		return r;
	}
	const char *what = NULL;
	r = ops_exposition_tail(p->format, p->at, p->end, &p->tail, &p->at, &what);
	return r != 0 ? FAIL(p, p->at, "%s", what) : OPS_ENTRY_SAMPLE;
}

/* ---- comments and metadata ---- */

static const struct type_name {
	const char *text;
	enum ops_series_type type;
	bool in_text, in_openmetrics, in_expfmt;
} type_names[] = {
	{"counter", OPS_T_COUNTER, true, true, true},
	{"gauge", OPS_T_GAUGE, true, true, true},
	{"histogram", OPS_T_HISTOGRAM, true, true, true},
	{"summary", OPS_T_SUMMARY, true, true, true},
	{"untyped", OPS_T_UNKNOWN, true, false, true},
	{"unknown", OPS_T_UNKNOWN, false, true, false},
	{"gaugehistogram", OPS_T_GAUGEHISTOGRAM, false, true, false},
	{"gauge_histogram", OPS_T_GAUGEHISTOGRAM, false, false, true},
	{"info", OPS_T_INFO, false, true, false},
	{"stateset", OPS_T_STATESET, false, true, false},
};

static bool is_type(
	const struct ops_exposition *p, const struct type_name *t, struct ops_exposition_text text)
{
	if (strlen(t->text) != text.len) {
		return false;
	}
	switch (p->format) {
	case OPS_EXPOSITION_TEXT:
		return t->in_text && memcmp(t->text, text.data, text.len) == 0;
	case OPS_EXPOSITION_OPENMETRICS:
		return t->in_openmetrics && memcmp(t->text, text.data, text.len) == 0;
	case OPS_EXPOSITION_PROTO:
		return (t->in_text || t->in_openmetrics) &&
		       memcmp(t->text, text.data, text.len) == 0;
	case OPS_EXPOSITION_EXPFMT: /* takes the constants of its model in any case */
		return t->in_expfmt && strncasecmp(t->text, text.data, text.len) == 0;
	}
	return false;
}

static int take_type(
	struct ops_exposition *p, struct ops_exposition_text text, struct ops_error *err)
{
	for (size_t i = 0; i < OPS_LENGTH(type_names); i++) {
		if (is_type(p, &type_names[i], text)) {
			p->type = type_names[i].type;
			return OPS_ENTRY_TYPE;
		}
	}
	int r = FAIL(p, text.data, "unknown metric type \"%.*s\"", (int)OPS_MIN(text.len, 40U),
		text.data);
	ops_error_hint(err, is_openmetrics(p)
				    ? "counter, gauge, histogram, gaugehistogram, summary, "
				      "info, stateset or unknown"
				    : "counter, gauge, histogram, summary or untyped");
	return r;
}

static int take_help(
	struct ops_exposition *p, struct ops_exposition_text text, struct ops_error *err)
{
	if (!ops_utf8_valid(text.data, text.len)) {
		return FAIL(p, text.data, "the help text is not valid UTF-8");
	}
	if (p->format == OPS_EXPOSITION_EXPFMT &&
		!ops_quoted_escapes_known(text.data, text.data + text.len, false)) {
		return FAIL(p, text.data, "the help text has an unknown escape");
	}
	ops_strbuf_reset(&p->help);
	ops_quoted_unescape(&p->help, text.data, text.data + text.len, is_openmetrics(p));
	p->text = (struct ops_exposition_text){ops_strbuf_text(&p->help), p->help.len};
	return OPS_ENTRY_HELP;
}

static int take_unit(
	struct ops_exposition *p, struct ops_exposition_text text, struct ops_error *err)
{
	const struct ops_exposition_text *name = &p->name;
	bool suffix = text.len == 0 ||
		      (name->len > text.len && name->data[name->len - text.len - 1] == '_' &&
			      memcmp(name->data + name->len - text.len, text.data, text.len) == 0);
	if (!suffix) {
		return FAIL(p, text.data, "unit \"%.*s\" is not the end of the metric's name",
			(int)OPS_MIN(text.len, 100U), text.data);
	}
	p->text = text;
	return OPS_ENTRY_UNIT;
}

static int read_family_name(struct ops_exposition *p, struct ops_error *err)
{
	p->name = (struct ops_exposition_text){NULL, 0};
	p->nfixups = 0;
	ops_strbuf_reset(&p->scratch);
	if (at_char(p, '"')) {
		struct ops_quoted q;
		int r = ops_quoted_scan(p, &q, "the metric name", err);
		if (r == 0) {
			r = take_metric_name(p, &q, err);
		}
		ops_quoted_settle(p);
		return r;
	}
	return read_name(p, IN_METRIC, &p->name) == 0 ? 0
						      : FAIL(p, p->at, "expected a metric name");
}

static struct ops_exposition_text trim(struct ops_exposition_text text)
{
	while (text.len > 0 && is_blank(text.data[0])) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.data[text.len - 1])) {
		text.len--;
	}
	return text;
}

static int read_metadata(struct ops_exposition *p, enum ops_exposition_entry kind,
	const char *line_end, struct ops_error *err)
{
	int r = read_family_name(p, err);
	if (r != 0) {
		return r;
	}
	struct ops_exposition_text text = {p->at, 0};
	if (p->at < line_end) {
		bool separated = *p->at == ' ' || (!is_openmetrics(p) && *p->at == '\t');
		if (!separated) {
			return FAIL(p, p->at, "expected a blank after the metric name");
		}
		text.data++;
		text.len = (size_t)(line_end - text.data);
	} else if (is_openmetrics(p)) {
		return FAIL(p, p->at, "expected text after the metric name");
	}
	if (p->format == OPS_EXPOSITION_EXPFMT && trim(text).len == 0) {
		return OPS_ENTRY_COMMENT; /* the name alone says nothing */
	}
	if (kind == OPS_ENTRY_HELP) {
		return take_help(p, text, err);
	}
	if (kind == OPS_ENTRY_UNIT) {
		return take_unit(p, text, err);
	}
	return take_type(p, is_openmetrics(p) ? text : trim(text), err);
}

static bool keyword(struct ops_exposition *p, const char *line_end, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(line_end - p->at) <= len || memcmp(p->at, word, len) != 0) {
		return false;
	}
	char next = p->at[len];
	if (next != ' ' && (is_openmetrics(p) || next != '\t')) {
		return false;
	}
	p->at += len + 1;
	skip_blanks(p);
	return is_openmetrics(p) || p->at < line_end; /* "# HELP " alone is a comment */
}

static int read_eof(struct ops_exposition *p, const char *line_end, struct ops_error *err)
{
	const char *rest = line_end < p->end ? line_end + 1 : line_end;
	if (line_end - p->at != 3 || rest != p->end) {
		return FAIL(p, p->at, "there is data after # EOF");
	}
	p->ended = true;
	p->at = p->end;
	return OPS_ENTRY_END;
}

static int read_comment(struct ops_exposition *p, const char *line_end, struct ops_error *err)
{
	static const struct {
		const char *word;
		enum ops_exposition_entry kind;
		bool openmetrics_only;
	} words[] = {{"HELP", OPS_ENTRY_HELP, false}, {"TYPE", OPS_ENTRY_TYPE, false},
		{"UNIT", OPS_ENTRY_UNIT, true}};
	p->at++;
	if (is_openmetrics(p)) {
		if (!at_char(p, ' ')) {
			return FAIL(p, p->line_begin, "expected \"# \" or a metric name");
		}
		p->at++;
		if (line_end - p->at >= 3 && memcmp(p->at, "EOF", 3) == 0) {
			return read_eof(p, line_end, err);
		}
	}
	bool blank = is_openmetrics(p) || at_char(p, ' ') || at_char(p, '\t');
	skip_blanks(p);
	for (size_t i = 0; blank && i < OPS_LENGTH(words); i++) {
		if (words[i].openmetrics_only && !is_openmetrics(p)) {
			continue;
		}
		if (keyword(p, line_end, words[i].word)) {
			return read_metadata(p, words[i].kind, line_end, err);
		}
	}
	return is_openmetrics(p) ? FAIL(p, p->line_begin, "expected HELP, TYPE, UNIT or EOF")
				 : OPS_ENTRY_COMMENT;
}

static const char *find_line_end(const struct ops_exposition *p)
{
	const char *nl = memchr(p->at, '\n', (size_t)(p->end - p->at));
	return nl != NULL ? nl : p->end;
}

int ops_exposition_next(struct ops_exposition *p, struct ops_error *err)
{
	while (p->at < p->end) {
		p->line++;
		p->line_begin = p->at;
		skip_blanks(p);
		if (at_char(p, '#')) {
			const char *line_end = find_line_end(p);
			int r = read_comment(p, line_end, err);
			if (r > 0) {
				p->at = line_end < p->end ? line_end + 1 : line_end;
			}
			return r;
		}
		if (p->at < p->end && *p->at != '\n') {
			return read_sample(p, err);
		}
		if (is_openmetrics(p)) {
			return FAIL(p, p->at, "a blank line");
		}
		p->at += p->at < p->end;
	}
	if (is_openmetrics(p) && !p->ended) {
		p->line++;
		p->line_begin = p->at;
		return FAIL(p, p->at, "the document does not end with # EOF");
	}
	return OPS_ENTRY_END;
}
