/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tokens of PromQL and of the series notation: private to common/promql. A token is a slice of the
 * input; nothing is copied and nothing allocated except the text of an error.
 */
#include "common/promql/ast.h"

struct ops_arena;
struct ops_strbuf;

/* X(ID, text): text NULL where it differs from token to token. */
#define OPS_PROMQL_PLAIN_TOKENS(X)                                                                 \
	X(EOF, NULL)                                                                               \
	X(ERROR, NULL)                                                                             \
	X(IDENTIFIER, NULL)                                                                        \
	X(METRIC_IDENTIFIER, NULL)                                                                 \
	X(NUMBER, NULL)                                                                            \
	X(DURATION, NULL)                                                                          \
	X(STRING, NULL)                                                                            \
	X(EQL, "=")                                                                                \
	X(BLANK, "_")                                                                              \
	X(COLON, ":")                                                                              \
	X(COMMA, ",")                                                                              \
	X(LEFT_BRACE, "{")                                                                         \
	X(RIGHT_BRACE, "}")                                                                        \
	X(LEFT_BRACKET, "[")                                                                       \
	X(RIGHT_BRACKET, "]")                                                                      \
	X(LEFT_PAREN, "(")                                                                         \
	X(RIGHT_PAREN, ")")                                                                        \
	X(OPEN_HIST, "{{")                                                                         \
	X(CLOSE_HIST, "}}")                                                                        \
	X(SPACE, " ")                                                                              \
	X(TIMES, "x")                                                                              \
	X(START, "start")                                                                          \
	X(END, "end")

#define OPS_PROMQL_OP_TOKENS(X)                                                                    \
	X(EQL_REGEX, "=~")                                                                         \
	X(NEQ_REGEX, "!~")                                                                         \
	X(AT, "@")

#define OPS_PROMQL_KEYWORDS(X)                                                                     \
	X(BOOL, "bool")                                                                            \
	X(BY, "by")                                                                                \
	X(GROUP_LEFT, "group_left")                                                                \
	X(GROUP_RIGHT, "group_right")                                                              \
	X(FILL, "fill")                                                                            \
	X(FILL_LEFT, "fill_left")                                                                  \
	X(FILL_RIGHT, "fill_right")                                                                \
	X(IGNORING, "ignoring")                                                                    \
	X(OFFSET, "offset")                                                                        \
	X(SMOOTHED, "smoothed")                                                                    \
	X(ANCHORED, "anchored")                                                                    \
	X(ON, "on")                                                                                \
	X(WITHOUT, "without")

/* Keys of a histogram literal; in the order that series_histogram.c tells them apart by. */
#define OPS_PROMQL_HIST_KEYS(X)                                                                    \
	X(SUM, "sum")                                                                              \
	X(COUNT, "count")                                                                          \
	X(SCHEMA, "schema")                                                                        \
	X(OFFSET, "offset")                                                                        \
	X(N_OFFSET, "n_offset")                                                                    \
	X(BUCKETS, "buckets")                                                                      \
	X(N_BUCKETS, "n_buckets")                                                                  \
	X(Z_BUCKET, "z_bucket")                                                                    \
	X(Z_BUCKET_W, "z_bucket_w")                                                                \
	X(CUSTOM_VALUES, "custom_values")                                                          \
	X(COUNTER_RESET_HINT, "counter_reset_hint")

/* In the order of enum ops_promql_reset_hint. */
#define OPS_PROMQL_RESET_HINTS(X)                                                                  \
	X(UNKNOWN, "unknown")                                                                      \
	X(RESET, "reset")                                                                          \
	X(NOT_RESET, "not_reset")                                                                  \
	X(GAUGE, "gauge")

enum ops_promql_token_type {
#define OPS_PROMQL_TOKEN(id, text) TOK_##id,
	OPS_PROMQL_PLAIN_TOKENS(OPS_PROMQL_TOKEN)
	OPS_PROMQL_OP_TOKENS(OPS_PROMQL_TOKEN) OPS_PROMQL_KEYWORDS(OPS_PROMQL_TOKEN)
#undef OPS_PROMQL_TOKEN
#define OPS_PROMQL_TOKEN(id, text) TOK_OP_##id,
		OPS_PROMQL_OPS(OPS_PROMQL_TOKEN)
#undef OPS_PROMQL_TOKEN
#define OPS_PROMQL_TOKEN(id, text, param, experimental) TOK_AGGR_##id,
			OPS_PROMQL_AGGREGATES(OPS_PROMQL_TOKEN)
#undef OPS_PROMQL_TOKEN
#define OPS_PROMQL_TOKEN(id, text) TOK_HIST_##id,
				OPS_PROMQL_HIST_KEYS(OPS_PROMQL_TOKEN)
#undef OPS_PROMQL_TOKEN
#define OPS_PROMQL_TOKEN(id, text) TOK_HINT_##id,
					OPS_PROMQL_RESET_HINTS(OPS_PROMQL_TOKEN)
#undef OPS_PROMQL_TOKEN
};

struct ops_promql_token {
	enum ops_promql_token_type type;
	uint32_t start, end;
	const char *error; /* TOK_ERROR only; its range reaches to the end of the input */
};

static inline bool ops_promql_token_is_aggr(enum ops_promql_token_type t)
{
	return t >= TOK_AGGR_AVG && t <= TOK_AGGR_LIMIT_RATIO;
}

/* May stand as a metric name outside braces. */
bool ops_promql_token_is_metric(enum ops_promql_token_type t);
/* May stand as a label name in by (...), on (...). */
bool ops_promql_token_is_label(enum ops_promql_token_type t);
/* The keyword of that text in any case, TOK_NUMBER for inf and nan, or TOK_IDENTIFIER. */
enum ops_promql_token_type ops_promql_keyword(const char *s, size_t len);
/* Key of a histogram literal, value of counter_reset_hint, or TOK_IDENTIFIER. */
enum ops_promql_token_type ops_promql_histogram_word(const char *s, size_t len);
/* How an error message names it: identifier "foo", <op:+>, <by>, end of input. */
const char *ops_promql_token_text(
	struct ops_arena *a, const struct ops_promql_token *t, const char *input);
/* One code point in single quotes, as Go's %q. */
const char *ops_promql_rune_text(struct ops_arena *a, uint32_t code);
/* A string in double quotes, as Go's %q. */
const char *ops_promql_text_quoted(struct ops_arena *a, const char *s, size_t len);
