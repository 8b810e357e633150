/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and how errors name them. Keywords are looked up case-insensitively by length and text in
 * one small table: a query has a dozen words, so a scan over 40 entries that mostly fail on the
 * length byte is cheaper than hashing.
 */
#include "common/promql/token.h"

#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/promql/parse.h"

struct word {
	const char *text;
	uint8_t len;
	enum ops_promql_token_type type;
};

#define WORD(id, text) {text, sizeof(text) - 1, TOK_##id},
#define AGGR_WORD(id, text, param, experimental) {text, sizeof(text) - 1, TOK_AGGR_##id},
#define HIST_WORD(id, text) {text, sizeof(text) - 1, TOK_HIST_##id},
#define HINT_WORD(id, text) {text, sizeof(text) - 1, TOK_HINT_##id},

static const struct word keywords[] = {
	OPS_PROMQL_KEYWORDS(WORD) OPS_PROMQL_AGGREGATES(AGGR_WORD){"and", 3, TOK_OP_AND},
	{"or", 2, TOK_OP_OR},
	{"unless", 6, TOK_OP_UNLESS},
	{"atan2", 5, TOK_OP_ATAN2},
	{"start", 5, TOK_START},
	{"end", 3, TOK_END},
	{"step", 4, TOK_OP_STEP},
	{"range", 5, TOK_OP_RANGE},
	{"max_of", 6, TOK_OP_MAX_OF},
	{"min_of", 6, TOK_OP_MIN_OF},
	{"inf", 3, TOK_NUMBER},
	{"nan", 3, TOK_NUMBER},
};

static const struct word histogram_words[] = {
	OPS_PROMQL_HIST_KEYS(HIST_WORD) OPS_PROMQL_RESET_HINTS(HINT_WORD)};

/* word is lower case ASCII, so folding bit 5 of the input's letters is enough. */
static bool word_equals(const struct word *w, const char *s)
{
	for (size_t i = 0; i < w->len; i++) {
		char c = s[i];
		if (c >= 'A' && c <= 'Z') {
			c = (char)(c | 0x20);
		}
		if (c != w->text[i]) {
			return false;
		}
	}
	return true;
}

static enum ops_promql_token_type find_word(
	const struct word *words, size_t n, const char *s, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i].len == len && word_equals(&words[i], s)) {
			return words[i].type;
		}
	}
	return TOK_IDENTIFIER;
}

enum ops_promql_token_type ops_promql_keyword(const char *s, size_t len)
{
	return find_word(keywords, OPS_LENGTH(keywords), s, len);
}

enum ops_promql_token_type ops_promql_histogram_word(const char *s, size_t len)
{
	return find_word(histogram_words, OPS_LENGTH(histogram_words), s, len);
}

static bool is_keyword(enum ops_promql_token_type t)
{
	return t >= TOK_BOOL && t <= TOK_WITHOUT;
}

static bool is_preprocessor(enum ops_promql_token_type t)
{
	return t == TOK_START || t == TOK_END || (t >= TOK_OP_STEP && t <= TOK_OP_MAX_OF);
}

static bool is_name(enum ops_promql_token_type t)
{
	return t == TOK_IDENTIFIER || t == TOK_METRIC_IDENTIFIER || ops_promql_token_is_aggr(t) ||
	       is_preprocessor(t) || (t >= TOK_OP_AND && t <= TOK_OP_UNLESS);
}

bool ops_promql_token_is_metric(enum ops_promql_token_type t)
{
	if (is_keyword(t)) {
		return t != TOK_BOOL && t != TOK_ON && t != TOK_IGNORING && t != TOK_GROUP_LEFT &&
		       t != TOK_GROUP_RIGHT;
	}
	return is_name(t);
}

bool ops_promql_token_is_label(enum ops_promql_token_type t)
{
	return is_name(t) || t == TOK_OP_ATAN2 || (is_keyword(t) && t != TOK_WITHOUT);
}

static bool is_operator(enum ops_promql_token_type t)
{
	return (t >= TOK_OP_ADD && t <= TOK_OP_UNLESS) || t == TOK_EQL_REGEX ||
	       t == TOK_NEQ_REGEX || t == TOK_AT;
}

static const char *noun(enum ops_promql_token_type t)
{
	static const struct {
		enum ops_promql_token_type type;
		const char *text;
	} nouns[] = {
		{TOK_IDENTIFIER, "identifier "},
		{TOK_METRIC_IDENTIFIER, "metric identifier "},
		{TOK_STRING, "string "},
		{TOK_NUMBER, "number "},
		{TOK_DURATION, "duration "},
	};
	for (size_t i = 0; i < OPS_LENGTH(nouns); i++) {
		if (nouns[i].type == t) {
			return nouns[i].text;
		}
	}
	return "";
}

const char *ops_promql_text_quoted(struct ops_arena *a, const char *s, size_t len)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_promql_string text = {s, len};
	ops_promql_quote(&text, &b);
	const char *quoted = ops_arena_strdup(a, b.data);
	ops_strbuf_done(&b);
	return quoted;
}

/* Bytes of the first n code points of s. */
static size_t prefix_bytes(const char *s, size_t len, int n)
{
	size_t at = 0;
	for (int i = 0; i < n && at < len; i++) {
		uint32_t code = 0;
		size_t width = ops_utf8_decode(s + at, len - at, &code);
		at += width != 0 ? width : 1;
	}
	return at;
}

const char *ops_promql_token_text(
	struct ops_arena *a, const struct ops_promql_token *t, const char *input)
{
	const char *s = input + t->start;
	size_t len = t->end - t->start;
	int width = len > INT16_MAX ? INT16_MAX : (int)len;
	if (t->type == TOK_EOF) {
		return "end of input";
	}
	if (is_keyword(t->type)) {
		return ops_arena_printf(a, "<%.*s>", width, s);
	}
	if (is_operator(t->type)) {
		return ops_arena_printf(a, "<op:%.*s>", width, s);
	}
	if (ops_promql_token_is_aggr(t->type)) {
		return ops_arena_printf(a, "<aggr:%.*s>", width, s);
	}
	bool name = t->type == TOK_IDENTIFIER || t->type == TOK_METRIC_IDENTIFIER;
	size_t shown = len > 10 && !name ? prefix_bytes(s, len, 10) : prefix_bytes(s, len, 128);
	return ops_arena_printf(a, "%s%s%s", noun(t->type), ops_promql_text_quoted(a, s, shown),
		len > 10 && !name ? "..." : "");
}

const char *ops_promql_rune_text(struct ops_arena *a, uint32_t code)
{
	char utf8[5] = "";
	if (code == '\'') {
		return "'\\''";
	}
	if (code == '"') {
		return "'\"'";
	}
	if (code == 0xfffd) { /* also stands for the end of the text */
		return "'\xef\xbf\xbd'";
	}
	size_t len = ops_utf8_encode(code, utf8);
	const char *quoted = ops_promql_text_quoted(a, utf8, len);
	return ops_arena_printf(a, "'%.*s'", (int)strlen(quoted) - 2, quoted + 1);
}
