/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Scanner of PromQL and the series notation: private to common/promql. Embedded by value; the
 * input must outlive it, error texts go to the arena.
 */
#include "common/base/arena.h"
#include "common/promql/token.h"

/* What the next character is read as. */
enum ops_promql_lex_mode {
	OPS_PROMQL_LEX_EXPR,	 /* ordinary text; inside {} when brace_open */
	OPS_PROMQL_LEX_DURATION, /* after [, before the first number */
	OPS_PROMQL_LEX_VALUES,	 /* the points of a series */
	OPS_PROMQL_LEX_HISTOGRAM,
	OPS_PROMQL_LEX_BUCKETS, /* inside [] of a histogram */
	OPS_PROMQL_LEX_DONE,	/* after an error or the end: only EOF follows */
};

struct ops_promql_lexer {
	struct ops_arena *arena;
	const char *input;
	uint32_t len, pos;
	uint32_t start; /* of the token being read */
	enum ops_promql_lex_mode mode;
	int paren_depth;
	bool brace_open, bracket_open, got_colon, got_duration;
	bool series, in_histogram;
};

/* text is at most OPS_PROMQL_MAX_BYTES long. */
void ops_promql_lexer_init(struct ops_promql_lexer *l, struct ops_arena *arena, const char *text,
	size_t len, bool series);
/* The next token; comments are skipped. After TOK_ERROR only TOK_EOF follows. */
void ops_promql_lex(struct ops_promql_lexer *l, struct ops_promql_token *ret);

/* lexer_scan.c, for the other three. */
#define OPS_PROMQL_RUNE_END UINT32_MAX
#define OPS_PROMQL_RUNE_BAD 0xfffdu /* malformed UTF-8, or U+FFFD itself */
uint32_t ops_promql_lex_peek(const struct ops_promql_lexer *l, size_t *ret_width);
uint32_t ops_promql_lex_next(struct ops_promql_lexer *l);
bool ops_promql_lex_at(const struct ops_promql_lexer *l, char c);
void ops_promql_lex_emit(
	struct ops_promql_lexer *l, enum ops_promql_token_type type, struct ops_promql_token *ret);
void ops_promql_lex_error(struct ops_promql_lexer *l, struct ops_promql_token *ret, const char *fmt,
	...) OPS_PRINTF(3, 4);
void ops_promql_lex_skip_spaces(struct ops_promql_lexer *l);
/* Reads a number as far as it goes; false: what was read is none. */
bool ops_promql_lex_number(struct ops_promql_lexer *l);
void ops_promql_lex_word(struct ops_promql_lexer *l, struct ops_promql_token *ret);
/* The opening quote (", ' or `) has been read. */
void ops_promql_lex_string(struct ops_promql_lexer *l, char quote, struct ops_promql_token *ret);
/* Modes VALUES, HISTOGRAM and BUCKETS. */
void ops_promql_lex_series(struct ops_promql_lexer *l, struct ops_promql_token *ret);

static inline bool ops_promql_is_space(uint32_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool ops_promql_is_digit(uint32_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool ops_promql_is_alpha(uint32_t c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ops_promql_is_alnum(uint32_t c)
{
	return ops_promql_is_alpha(c) || ops_promql_is_digit(c);
}
