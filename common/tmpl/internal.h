/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this module share: tokens, the tree, the set. Everything parsed lives in one
 * arena. */
#include "common/base/map.h"
#include "common/tmpl/tmpl.h"

enum {
	TMPL_MAX_TEXT = 1 << 20,
	TMPL_MAX_NESTING = 64,	/* of blocks and parentheses in one text */
	TMPL_MAX_CALLS = 32,	/* templates calling templates */
	TMPL_MAX_OPERANDS = 64, /* of one command */
};

enum tmpl_token_type {
	TMPL_T_TEXT,
	TMPL_T_OPEN,
	TMPL_T_CLOSE,
	TMPL_T_IDENT,
	TMPL_T_FIELD,
	TMPL_T_DOT,
	TMPL_T_VAR,
	TMPL_T_NUMBER,
	TMPL_T_STRING,
	TMPL_T_PIPE,
	TMPL_T_LPAREN,
	TMPL_T_RPAREN,
	TMPL_T_DECLARE,
	TMPL_T_ASSIGN,
	TMPL_T_COMMA,
	TMPL_T_END,
};

struct tmpl_token {
	enum tmpl_token_type type;
	bool glued; /* no blank before it: .A.B is a chain, .A .B are two operands */
	int line, column;
	const char *text; /* decoded for strings, without '.' and '$' for fields and variables */
	size_t len;
	struct ops_tmpl_value number; /* TMPL_T_NUMBER and character constants */
};

struct tmpl_lexer {
	struct ops_arena *arena;
	const char *name, *text;
	size_t len, at;
	int line;
	size_t line_start;
	bool inside;	/* between {{ and }} */
	bool trim_next; /* the last action ended with -}} */
	struct ops_error *err;
};

/* -EINVAL with err. TEXT tokens may be empty. */
int tmpl_lex(struct tmpl_lexer *lx, struct tmpl_token *ret) OPS_MUST_CHECK;

enum tmpl_node_type {
	TMPL_N_TEXT,
	TMPL_N_ACTION,
	TMPL_N_IF,
	TMPL_N_RANGE,
	TMPL_N_WITH,
	TMPL_N_CALL,
	TMPL_N_BREAK,
	TMPL_N_CONTINUE,
};

enum tmpl_operand_type {
	TMPL_O_CONST,
	TMPL_O_DOT,
	TMPL_O_FIELD,
	TMPL_O_VAR,
	TMPL_O_FUNC,
	TMPL_O_PIPE
};

struct tmpl_operand {
	enum tmpl_operand_type type;
	int line, column;
	struct ops_tmpl_value value; /* CONST */
	const char *name;	     /* VAR */
	const struct ops_tmpl_func *func;
	struct tmpl_pipe *pipe;
	const char **chain; /* fields applied after it */
	size_t nchain;
};

struct tmpl_command {
	struct tmpl_operand *operands;
	size_t n;
};

struct tmpl_pipe {
	int line, column;
	const char *vars[2]; /* declared or assigned */
	size_t nvars;
	bool assign; /* = instead of := */
	struct tmpl_command *commands;
	size_t n;
};

struct tmpl_node {
	enum tmpl_node_type type;
	int line, column;
	const char *text; /* TEXT, or the name of a CALL */
	size_t len;
	struct tmpl_pipe *pipe;
	struct tmpl_node *body, *otherwise, *next;
};

struct tmpl_body { /* a named template */
	const char *file;
	struct tmpl_node *nodes;
};

struct ops_tmpl_set {
	struct ops_arena arena;
	struct ops_tmpl_config cfg;
	struct ops_map *named; /* struct tmpl_body, in the arena */
};

struct ops_tmpl {
	struct ops_tmpl_set *set;
	struct ops_arena arena;
	struct tmpl_body body;
};

/* Parses text; its defines go to set->named (when define is allowed), its own nodes to ret. */
int tmpl_parse_text(struct ops_tmpl_set *set, struct ops_arena *a, const char *name,
	const char *text, size_t len, struct tmpl_node **ret, struct ops_error *err) OPS_MUST_CHECK;

extern const struct ops_tmpl_func tmpl_builtins[];
extern const struct ops_tmpl_func tmpl_time_methods[];
int64_t tmpl_floor_div(int64_t a, int64_t b);
/* The executor evaluates the arguments of these one by one and stops early. */
int tmpl_fn_and(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);
int tmpl_fn_or(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);
int tmpl_fn_printf(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);
int tmpl_fn_match(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);
int tmpl_fn_replace(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);
/* Field of a map, or element of a list by number: 0, or tmpl_fail. */
int tmpl_index(struct ops_tmpl_call *call, const struct ops_tmpl_value *of,
	const struct ops_tmpl_value *key, struct ops_tmpl_value *ret);
void tmpl_escape_html(const char *s, size_t len, struct ops_strbuf *out);
/* Go's %v of a float. */
void tmpl_print_float(double v, struct ops_strbuf *out);
/* Keys of m in byte order, in the arena. */
const size_t *tmpl_sorted_keys(struct ops_arena *a, const struct ops_tmpl_map *m);

/* ---- one execution: exec.c runs it, functions see it through tmpl.h ---- */

struct tmpl_var {
	const char *name;
	struct ops_tmpl_value value;
};

struct ops_tmpl_call {
	struct ops_tmpl_set *set;
	const struct ops_tmpl_env *env;
	struct ops_strbuf *out;
	struct ops_error *err;
	const char *file;
	int line, column; /* of the operand being evaluated: where a function fails */
	struct tmpl_var *vars;
	size_t nvars, cap_vars;
	struct ops_tmpl_value root; /* $ */
	unsigned steps;
	int depth;
	enum {
		TMPL_FLOW_ON,
		TMPL_FLOW_BREAK,
		TMPL_FLOW_CONTINUE
	} flow;
};
