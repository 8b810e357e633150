/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changing part of a sample line, shared by the full parser and by the path that only compares
 * what stands before it: both must read the same numbers, so there is one reader.
 *
 * Numbers: Go's ParseFloat without hexadecimal and underscores, as Prometheus' scraper reads them.
 * Up to 15 digits with a point are one exact division (Clinger 1990) and done here; the rest is
 * ops_parse_double's. Every NaN becomes the one quiet NaN, so that no target can send the pattern
 * that means "stale".
 *
 * OpenMetrics separates by exactly one space and counts seconds; the text format separates by
 * blanks and counts milliseconds.
 */
#include "common/exposition/exposition.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"
#include "common/exposition/plain_number.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

static const double powers[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* True when the token is [0-9]+(.[0-9]+)? of at most 15 digits; the usual case. */
static bool plain_number(const char **at, const char *end, double *ret)
{
	const char *c = *at;
	uint64_t digits = 0;
	while (c < end && digit(*c)) {
		digits = digits * 10 + (uint64_t)(*c++ - '0');
	}
	size_t whole = (size_t)(c - *at), fraction = 0;
	if (c < end && *c == '.') {
		const char *point = c++;
		while (c < end && c - point <= 15 && digit(*c)) {
			digits = digits * 10 + (uint64_t)(*c++ - '0');
		}
		fraction = (size_t)(c - point) - 1;
	}
	if (whole == 0 || whole + fraction > 15 || c == end || (*c != '\n' && *c != ' ')) {
		return false;
	}
	*ret = (double)digits / powers[fraction];
	*at = c;
	return true;
}

static int parse_float(const char *s, size_t len, double *ret)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '_' || s[i] == 'x' || s[i] == 'X' || s[i] == 'p' || s[i] == 'P') {
			return -EINVAL;
		}
	}
	double v;
	int r = ops_parse_double(s, len, &v);
	if (r == 0) {
		*ret = isnan(v) ? (double)NAN : v;
	}
	return r;
}

static const char *token_end(enum ops_exposition_format format, const char *at, const char *end)
{
	while (at < end && *at != '\n' && *at != ' ' &&
		(format == OPS_EXPOSITION_OPENMETRICS || *at != '\t')) {
		at++;
	}
	return at;
}

/* ---- the pieces ---- */

struct tail_reader {
	enum ops_exposition_format format;
	const char *at, *end;
	const char *what;
};

static int bad(struct tail_reader *r, const char *what)
{
	r->what = what;
	return -EINVAL;
}

static int read_number(struct tail_reader *r, double *ret)
{
	if (ops_plain_number(r->at, r->end, ret, &r->at) || plain_number(&r->at, r->end, ret)) {
		return 0;
	}
	const char *stop = token_end(r->format, r->at, r->end);
	if (stop == r->at) {
		return bad(r, "expected a number");
	}
	if (parse_float(r->at, (size_t)(stop - r->at), ret) != 0) {
		return bad(r, "not a number");
	}
	r->at = stop;
	return 0;
}

static int read_seconds(struct tail_reader *r, int64_t *ret_ms)
{
	double seconds = 0;
	const char *start = r->at;
	int code = read_number(r, &seconds);
	if (code != 0) {
		return code;
	}
	double ms = rint(seconds * 1000);
	if (!(ms > -9.2e18 && ms < 9.2e18)) {
		r->at = start;
		return bad(r, "not a timestamp");
	}
	*ret_ms = (int64_t)ms;
	return 0;
}

static int read_milliseconds(struct tail_reader *r, int64_t *ret_ms)
{
	const char *stop = r->at + (r->at < r->end && *r->at == '-' ? 1 : 0);
	while (stop < r->end && digit(*stop)) {
		stop++;
	}
	if (ops_parse_i64(r->at, (size_t)(stop - r->at), ret_ms) != 0) {
		return bad(r, "expected a timestamp in milliseconds or the end of the line");
	}
	r->at = stop;
	return 0;
}

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && digit(c));
}

static const char *quoted_end(const char *at, const char *end)
{
	for (at++; at < end && *at != '"' && *at != '\n'; at++) {
		if (*at == '\\' && at + 1 < end && at[1] != '\n') {
			at++;
		}
	}
	return at < end && *at == '"' ? at + 1 : NULL;
}

/* One name="value" of an exemplar. */
static int skip_exemplar_label(struct tail_reader *r)
{
	const char *c = r->at;
	if (c < r->end && *c == '"') {
		c = quoted_end(c, r->end);
	} else {
		while (c < r->end && name_char(*c, c == r->at)) {
			c++;
		}
	}
	if (c == NULL || c == r->at) {
		return bad(r, "expected a label name in the exemplar");
	}
	r->at = c;
	if (c == r->end || *c != '=') {
		return bad(r, "expected '=' after the exemplar's label name");
	}
	r->at = ++c;
	const char *stop = c < r->end && *c == '"' ? quoted_end(c, r->end) : NULL;
	if (stop == NULL || !ops_utf8_valid(c + 1, (size_t)(stop - c) - 2)) {
		return bad(r, "expected a label value in double quotes in the exemplar");
	}
	r->at = stop;
	return 0;
}

/* " # {labels} value [timestamp]"; at stands behind the brace. */
static int skip_exemplar(struct tail_reader *r)
{
	while (r->at < r->end && *r->at != '}') {
		int code = skip_exemplar_label(r);
		if (code != 0) {
			return code;
		}
		if (r->at < r->end && *r->at == ',') {
			r->at++;
			r->at += r->at < r->end && *r->at == ' ';
		} else if (r->at == r->end || *r->at != '}') {
			return bad(r, "expected ',' or '}' in the exemplar");
		}
	}
	if (r->end - r->at < 2 || r->at[1] != ' ') {
		return bad(r, "expected a value after the exemplar's labels");
	}
	r->at += 2;
	double value;
	int code = read_number(r, &value);
	if (code == 0 && r->at < r->end && *r->at == ' ') {
		int64_t ms;
		r->at++;
		code = read_seconds(r, &ms);
	}
	return code;
}

static int exemplar_rest(struct tail_reader *r, struct ops_sample_tail *ret)
{
	if (r->end - r->at < 4 || memcmp(r->at, " # {", 4) != 0) {
		return 0;
	}
	const char *from = r->at + 3;
	r->at += 4;
	int code = skip_exemplar(r);
	ret->exemplar = (struct ops_exposition_text){from, (size_t)(r->at - from)};
	return code;
}

static int openmetrics_rest(struct tail_reader *r, struct ops_sample_tail *ret)
{
	if (r->at < r->end && *r->at == ' ' && r->end - r->at > 1 && r->at[1] != '#') {
		r->at++;
		int code = read_seconds(r, &ret->time_ms);
		if (code != 0) {
			return code;
		}
		ret->has_time = true;
	}
	return exemplar_rest(r, ret);
}

/* What ops_protobuf_read writes: milliseconds and exemplars. */
static int proto_rest(struct tail_reader *r, struct ops_sample_tail *ret)
{
	if (r->end - r->at > 1 && *r->at == ' ' && r->at[1] != '#') {
		r->at++;
		int code = read_milliseconds(r, &ret->time_ms);
		if (code != 0) {
			return code;
		}
		ret->has_time = true;
	}
	return exemplar_rest(r, ret);
}

static int text_rest(struct tail_reader *r, struct ops_sample_tail *ret)
{
	while (r->at < r->end && blank(*r->at)) {
		r->at++;
	}
	if (r->at < r->end && *r->at != '\n') {
		int code = read_milliseconds(r, &ret->time_ms);
		if (code != 0) {
			return code;
		}
		ret->has_time = true;
	}
	while (r->at < r->end && blank(*r->at)) {
		r->at++;
	}
	return 0;
}

int ops_exposition_tail(enum ops_exposition_format format, const char *at, const char *end,
	struct ops_sample_tail *ret, const char **ret_next, const char **ret_what)
{
	struct tail_reader r = {.format = format, .at = at, .end = end};
	ret->has_time = false;
	ret->exemplar.len = 0;
	int code = read_number(&r, &ret->value);
	if (code == 0 && (r.at == end || *r.at != '\n')) {
		code = format == OPS_EXPOSITION_OPENMETRICS ? openmetrics_rest(&r, ret)
		       : format == OPS_EXPOSITION_PROTO	    ? proto_rest(&r, ret)
							    : text_rest(&r, ret);
	}
	if (code == 0 && r.at < end && *r.at != '\n') {
		code = bad(&r, "expected the end of the line");
	}
	*ret_what = r.what;
	*ret_next = code == 0 && r.at < end ? r.at + 1 : r.at;
	return code;
}
