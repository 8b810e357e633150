/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The syntax tree of a PromQL expression. Every node, list and string lives in the arena that the
 * parser was given and dies with it; the tree is not changed after the parse. Positions are byte
 * offsets into the parsed text, end exclusive.
 */
#include "common/base/def.h"
#include "common/model/matcher.h"
#include "common/promql/functions.h"

#define OPS_PROMQL_MAX_HEIGHT 1000

enum ops_promql_kind {
	OPS_PROMQL_NUMBER,
	OPS_PROMQL_STRING,
	OPS_PROMQL_VECTOR_SELECTOR,
	OPS_PROMQL_MATRIX_SELECTOR,
	OPS_PROMQL_SUBQUERY,
	OPS_PROMQL_UNARY,
	OPS_PROMQL_BINARY,
	OPS_PROMQL_AGGREGATE,
	OPS_PROMQL_CALL,
	OPS_PROMQL_PAREN,
	OPS_PROMQL_DURATION, /* only below range, step and offset, never in the tree proper */
};

/* Text with its length: a string literal may hold NUL bytes. text[len] is '\0' besides. */
struct ops_promql_string {
	const char *text;
	size_t len;
};

struct ops_promql_strings {
	struct ops_promql_string *items;
	size_t n;
};

/* X(ID, text). The binary operators, then those that only durations have. */
#define OPS_PROMQL_OPS(X)                                                                          \
	X(ADD, "+")                                                                                \
	X(SUB, "-")                                                                                \
	X(MUL, "*")                                                                                \
	X(DIV, "/")                                                                                \
	X(MOD, "%")                                                                                \
	X(POW, "^")                                                                                \
	X(ATAN2, "atan2")                                                                          \
	X(EQL, "==")                                                                               \
	X(NEQ, "!=")                                                                               \
	X(LTE, "<=")                                                                               \
	X(LSS, "<")                                                                                \
	X(GTE, ">=")                                                                               \
	X(GTR, ">")                                                                                \
	X(TRIM_UPPER, "</")                                                                        \
	X(TRIM_LOWER, ">/")                                                                        \
	X(AND, "and")                                                                              \
	X(OR, "or")                                                                                \
	X(UNLESS, "unless")                                                                        \
	X(STEP, "step")                                                                            \
	X(RANGE, "range")                                                                          \
	X(MIN_OF, "min_of")                                                                        \
	X(MAX_OF, "max_of")

enum ops_promql_op {
#define OPS_PROMQL_OP_ENUM(id, text) OPS_PROMQL_OP_##id,
	OPS_PROMQL_OPS(OPS_PROMQL_OP_ENUM)
#undef OPS_PROMQL_OP_ENUM
	OPS_PROMQL_OP_COUNT
};

/* X(ID, text, takes a parameter, experimental) */
#define OPS_PROMQL_AGGREGATES(X)                                                                   \
	X(AVG, "avg", false, false)                                                                \
	X(BOTTOMK, "bottomk", true, false)                                                         \
	X(COUNT, "count", false, false)                                                            \
	X(COUNT_VALUES, "count_values", true, false)                                               \
	X(GROUP, "group", false, false)                                                            \
	X(MAX, "max", false, false)                                                                \
	X(MIN, "min", false, false)                                                                \
	X(QUANTILE, "quantile", true, false)                                                       \
	X(STDDEV, "stddev", false, false)                                                          \
	X(STDVAR, "stdvar", false, false)                                                          \
	X(SUM, "sum", false, false)                                                                \
	X(TOPK, "topk", true, false)                                                               \
	X(LIMITK, "limitk", true, true)                                                            \
	X(LIMIT_RATIO, "limit_ratio", true, true)

enum ops_promql_aggr {
#define OPS_PROMQL_AGGR_ENUM(id, text, param, experimental) OPS_PROMQL_AGGR_##id,
	OPS_PROMQL_AGGREGATES(OPS_PROMQL_AGGR_ENUM)
#undef OPS_PROMQL_AGGR_ENUM
	OPS_PROMQL_AGGR_COUNT_
};

struct ops_promql_matcher {
	enum ops_match_op op;
	bool matches_empty; /* a series without the label matches */
	struct ops_promql_string name, value;
};

enum ops_promql_at {
	OPS_PROMQL_AT_NONE,
	OPS_PROMQL_AT_TIMESTAMP, /* @ 1609746000 */
	OPS_PROMQL_AT_START,	 /* @ start() */
	OPS_PROMQL_AT_END,	 /* @ end() */
};

/*
 * offset and @. offset_expr is set instead of offset_ms when the offset is a duration expression
 * (kind DURATION), which only the evaluator can compute (step(), range()).
 */
struct ops_promql_shift {
	int64_t offset_ms; /* positive looks back */
	const struct ops_promql_expr *offset_expr;
	enum ops_promql_at at;
	int64_t at_ms;
};

struct ops_promql_vector_selector {
	struct ops_promql_string name; /* metric name outside braces; len 0: none */
	/* In the order written; a name outside braces is the last one, as __name__ = "name". */
	struct ops_promql_matcher *matchers;
	size_t nmatchers;
	struct ops_promql_shift shift;
	bool anchored, smoothed;
	bool may_match_all; /* second argument of info(): no non-empty matcher needed */
};

struct ops_promql_matrix_selector {
	struct ops_promql_expr *vector; /* a VECTOR_SELECTOR; holds shift, anchored, smoothed */
	int64_t range_ms;
	const struct ops_promql_expr *range_expr; /* set instead of range_ms, see shift */
};

struct ops_promql_subquery {
	struct ops_promql_expr *expr;
	int64_t range_ms, step_ms; /* step_ms 0 without step_expr: the default interval */
	const struct ops_promql_expr *range_expr, *step_expr;
	struct ops_promql_shift shift;
};

enum ops_promql_card {
	OPS_PROMQL_ONE_TO_ONE,
	OPS_PROMQL_MANY_TO_ONE, /* group_left */
	OPS_PROMQL_ONE_TO_MANY, /* group_right */
	OPS_PROMQL_MANY_TO_MANY /* set operators */
};

struct ops_promql_matching {
	enum ops_promql_card card;
	bool on; /* else ignoring */
	struct ops_promql_strings labels, include;
	bool has_fill_left, has_fill_right;
	double fill_left, fill_right;
};

struct ops_promql_binary {
	enum ops_promql_op op;
	struct ops_promql_expr *lhs, *rhs;
	struct ops_promql_matching *matching; /* NULL unless both sides are instant vectors */
	bool return_bool;
};

struct ops_promql_aggregate {
	enum ops_promql_aggr op;
	struct ops_promql_expr *expr, *param; /* param NULL where op takes none */
	struct ops_promql_strings grouping;
	bool without;
};

struct ops_promql_call {
	const struct ops_promql_function *function;
	struct ops_promql_expr **args;
	size_t nargs;
};

/* lhs NULL: unary + or -. Both NULL: step() or range(). Operands are NUMBER (seconds) or DURATION.
 */
struct ops_promql_duration {
	enum ops_promql_op op;
	const struct ops_promql_expr *lhs, *rhs;
	bool wrapped; /* written in parentheses */
};

struct ops_promql_expr {
	enum ops_promql_kind kind;
	enum ops_promql_value_type type;
	/* Post-order number from 0: children are smaller, so root->id + 1 counts the nodes. */
	uint32_t id;
	uint32_t start, end;
	uint16_t height; /* of the tree below, at most OPS_PROMQL_MAX_HEIGHT: walks may recurse */
	union {
		struct {
			double value;
			bool is_duration; /* written as 5m: prints so */
		} number;
		struct ops_promql_string string;
		struct ops_promql_vector_selector vector;
		struct ops_promql_matrix_selector matrix;
		struct ops_promql_subquery subquery;
		struct {
			enum ops_promql_op op; /* ADD or SUB */
			struct ops_promql_expr *expr;
		} unary;
		struct ops_promql_binary binary;
		struct ops_promql_aggregate aggregate;
		struct ops_promql_call call;
		struct ops_promql_expr *paren;
		struct ops_promql_duration duration;
	};
};

const char *ops_promql_op_text(enum ops_promql_op op);
const char *ops_promql_aggr_text(enum ops_promql_aggr op);
bool ops_promql_aggr_has_param(enum ops_promql_aggr op);
bool ops_promql_aggr_is_experimental(enum ops_promql_aggr op);
bool ops_promql_op_is_comparison(enum ops_promql_op op); /* == != <= < >= > */
bool ops_promql_op_is_set(enum ops_promql_op op);	 /* and or unless */

/* Strips parentheses. */
const struct ops_promql_expr *ops_promql_unparen(const struct ops_promql_expr *e);
/*
 * Children in evaluation order (aggregate: param, expr; call: arguments; duration expressions are
 * not children). Returns NULL past the last: for (size_t i = 0; (c = ops_promql_child(e, i)); i++).
 */
struct ops_promql_expr *ops_promql_child(const struct ops_promql_expr *e, size_t i);
