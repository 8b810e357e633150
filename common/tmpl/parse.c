/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recursive descent from tokens to the tree, after the grammar in the documentation of Go's
 * text/template. Functions are bound here, so an unknown one is an error when a file is loaded and
 * not when the alert fires; so is an undefined variable (the parser keeps the scopes). Nesting is
 * bounded because each level is a C stack frame.
 */
#include "common/tmpl/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

struct parser {
	struct tmpl_lexer lx;
	struct tmpl_token tok; /* look-ahead */
	struct ops_tmpl_set *set;
	struct ops_arena *arena;
	const char **vars;
	size_t nvars, cap_vars;
	int depth;
	int loops;
	bool nested_define;
};

static int next(struct parser *p)
{
	return tmpl_lex(&p->lx, &p->tok);
}

static int fail_at(struct parser *p, const struct tmpl_token *t, const char *fmt, ...)
	OPS_PRINTF(3, 4);

static int fail_at(struct parser *p, const struct tmpl_token *t, const char *fmt, ...)
{
	char message[256];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	return ops_error_set_at(p->lx.err, -EINVAL, p->lx.name, t->line, t->column, "%s", message);
}

static bool tok_is(const struct parser *p, const char *word)
{
	return p->tok.type == TMPL_T_IDENT && strcmp(p->tok.text, word) == 0;
}

static int expect_close(struct parser *p, const char *what)
{
	if (p->tok.type != TMPL_T_CLOSE)
		return fail_at(p, &p->tok, "unexpected token in %s, expected \"}}\"", what);
	return next(p);
}

static bool var_known(const struct parser *p, const char *name)
{
	if (name[0] == '\0')
		return true; /* "$", the dot that execution started with */
	for (size_t i = p->nvars; i > 0; i--) {
		if (strcmp(p->vars[i - 1], name) == 0)
			return true;
	}
	return false;
}

static void var_push(struct parser *p, const char *name)
{
	OPS_GROW(p->vars, p->nvars, p->cap_vars);
	p->vars[p->nvars++] = name;
}

static int parse_pipe(struct parser *p, enum tmpl_token_type end, struct tmpl_pipe **ret);

static int parse_chain(struct parser *p, struct tmpl_operand *o, const char *first)
{
	const char *names[16];
	size_t n = 0;

	if (first != NULL)
		names[n++] = first;
	while (p->tok.type == TMPL_T_FIELD && p->tok.glued) {
		if (n == OPS_LENGTH(names))
			return fail_at(p, &p->tok, "too many fields in a row at .%s", p->tok.text);
		names[n++] = p->tok.text;
		int rc = next(p);
		if (rc != 0)
			return rc;
	}
	if (n > 0) {
		o->chain = ops_arena_dup(p->arena, names, n * sizeof names[0]);
		o->nchain = n;
	}
	return 0;
}

static int parse_paren(struct parser *p, struct tmpl_operand *o)
{
	if (++p->depth > TMPL_MAX_NESTING)
		return fail_at(p, &p->tok, "nested too deeply");
	int rc = next(p);
	if (rc == 0)
		rc = parse_pipe(p, TMPL_T_RPAREN, &o->pipe);
	if (rc != 0)
		return rc;
	p->depth--;
	o->type = TMPL_O_PIPE;
	return next(p);
}

static const struct ops_tmpl_func *find_in(
	const struct ops_tmpl_func *f, const char *name, size_t len)
{
	for (; f != NULL && f->name != NULL; f++) {
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return f;
	}
	return NULL;
}

static const struct ops_tmpl_func *find_func(
	const struct ops_tmpl_set *set, const char *name, size_t len)
{
	const struct ops_tmpl_func *f = find_in(set->cfg.funcs, name, len);
	if (f == NULL)
		f = find_in(ops_tmpl_common_funcs, name, len);
	return f != NULL ? f : find_in(tmpl_builtins, name, len);
}

static int parse_ident(struct parser *p, struct tmpl_operand *o)
{
	const struct tmpl_token t = p->tok;

	o->type = TMPL_O_CONST;
	if (tok_is(p, "true") || tok_is(p, "false")) {
		o->value = ops_tmpl_bool(t.text[0] == 't');
	} else if (tok_is(p, "nil")) {
		o->value = ops_tmpl_nil();
	} else {
		o->type = TMPL_O_FUNC;
		o->func = find_func(p->set, t.text, t.len);
		if (o->func == NULL)
			return fail_at(p, &t, "function \"%s\" is not defined", t.text);
	}
	return next(p);
}

static int parse_operand(struct parser *p, struct tmpl_operand *o)
{
	const struct tmpl_token t = p->tok;
	int rc = 0;

	*o = (struct tmpl_operand){.type = TMPL_O_CONST, .line = t.line, .column = t.column};
	switch (t.type) {
	case TMPL_T_NUMBER:
		o->value = t.number;
		return next(p);
	case TMPL_T_STRING:
		o->value = ops_tmpl_stringn(p->arena, t.text, t.len);
		return next(p);
	case TMPL_T_DOT:
		o->type = TMPL_O_DOT;
		return next(p);
	case TMPL_T_FIELD:
		o->type = TMPL_O_FIELD;
		rc = next(p);
		return rc == 0 ? parse_chain(p, o, t.text) : rc;
	case TMPL_T_VAR:
		o->type = TMPL_O_VAR;
		o->name = t.text;
		if (!var_known(p, t.text))
			return fail_at(p, &t, "undefined variable \"$%s\"", t.text);
		rc = next(p);
		return rc == 0 ? parse_chain(p, o, NULL) : rc;
	case TMPL_T_LPAREN:
		rc = parse_paren(p, o);
		return rc == 0 ? parse_chain(p, o, NULL) : rc;
	case TMPL_T_IDENT:
		return parse_ident(p, o);
	case TMPL_T_TEXT:
	case TMPL_T_OPEN:
	case TMPL_T_CLOSE:
	case TMPL_T_PIPE:
	case TMPL_T_RPAREN:
	case TMPL_T_DECLARE:
	case TMPL_T_ASSIGN:
	case TMPL_T_COMMA:
	case TMPL_T_END:
		break;
	}
	return fail_at(p, &t, "unexpected token where a value is expected");
}

static int parse_command(struct parser *p, enum tmpl_token_type end, struct tmpl_command *ret)
{
	struct tmpl_operand ops[TMPL_MAX_OPERANDS];
	size_t n = 0;

	while (p->tok.type != TMPL_T_PIPE && p->tok.type != end) {
		if (n == OPS_LENGTH(ops))
			return fail_at(p, &p->tok, "too many arguments");
		int rc = parse_operand(p, &ops[n]);
		if (rc != 0)
			return rc;
		n++;
	}
	if (n == 0)
		return fail_at(p, &p->tok, "missing value for command");
	ret->operands = ops_arena_dup(p->arena, ops, n * sizeof ops[0]);
	ret->n = n;
	return 0;
}

/*
 * "$x :=", "$x =" or "$k, $v :=" at the start of a pipeline. The lexer cannot be rewound over more
 * than a state copy, which is cheap: everything it owns is in the struct.
 */
static int parse_declaration(struct parser *p, struct tmpl_pipe *pipe)
{
	struct tmpl_lexer saved = p->lx;
	struct tmpl_token first = p->tok;

	if (p->tok.type != TMPL_T_VAR)
		return 0;
	pipe->vars[0] = p->tok.text;
	pipe->nvars = 1;
	int rc = next(p);
	if (rc == 0 && p->tok.type == TMPL_T_COMMA) {
		rc = next(p);
		if (rc == 0 && p->tok.type != TMPL_T_VAR)
			return fail_at(p, &p->tok, "expected a variable after the comma");
		pipe->vars[1] = p->tok.text;
		pipe->nvars = 2;
		if (rc == 0)
			rc = next(p);
	}
	if (rc != 0)
		return rc;
	if (p->tok.type == TMPL_T_DECLARE || p->tok.type == TMPL_T_ASSIGN) {
		pipe->assign = p->tok.type == TMPL_T_ASSIGN;
		return next(p);
	}
	if (pipe->nvars == 2)
		return fail_at(p, &p->tok, "expected := after two variables");
	pipe->nvars = 0;
	p->lx = saved;
	p->tok = first;
	return 0;
}

static int parse_pipe(struct parser *p, enum tmpl_token_type end, struct tmpl_pipe **ret)
{
	struct tmpl_pipe *pipe = ops_arena_new(p->arena, struct tmpl_pipe);
	struct tmpl_command cmds[16];

	pipe->line = p->tok.line;
	pipe->column = p->tok.column;
	int rc = parse_declaration(p, pipe);
	while (rc == 0) {
		if (pipe->n == OPS_LENGTH(cmds))
			return fail_at(p, &p->tok, "pipeline has too many stages");
		rc = parse_command(p, end, &cmds[pipe->n]);
		if (rc != 0)
			return rc;
		pipe->n++;
		if (p->tok.type == end)
			break;
		rc = next(p); /* the '|' */
	}
	if (rc != 0)
		return rc;
	pipe->commands = ops_arena_dup(p->arena, cmds, pipe->n * sizeof cmds[0]);
	for (size_t i = 0; i < pipe->nvars; i++) {
		if (!pipe->assign)
			var_push(p, pipe->vars[i]);
		else if (!var_known(p, pipe->vars[i]))
			return fail_at(p, &p->tok, "undefined variable \"$%s\"", pipe->vars[i]);
	}
	*ret = pipe;
	return 0;
}

enum stop {
	STOP_EOF,
	STOP_END,
	STOP_ELSE
};

static int parse_list(struct parser *p, struct tmpl_node **ret, enum stop *ret_stop);

static struct tmpl_node *node_new(struct parser *p, enum tmpl_node_type type)
{
	struct tmpl_node *n = ops_arena_new(p->arena, struct tmpl_node);
	n->type = type;
	n->line = p->tok.line;
	n->column = p->tok.column;
	return n;
}

static int parse_branch(struct parser *p, enum tmpl_node_type type, struct tmpl_node **ret);

/* After "{{else": "if"/"with" chains into one nested branch that shares the end. */
static int parse_else(struct parser *p, struct tmpl_node *n, size_t scope)
{
	enum stop stop = STOP_EOF;
	const struct tmpl_token at = p->tok;
	int rc;

	p->nvars = scope;
	if (tok_is(p, "if") || (tok_is(p, "with") && n->type == TMPL_N_WITH)) {
		enum tmpl_node_type type = tok_is(p, "if") ? TMPL_N_IF : TMPL_N_WITH;
		rc = next(p);
		return rc == 0 ? parse_branch(p, type, &n->otherwise) : rc;
	}
	rc = expect_close(p, "else");
	if (rc == 0)
		rc = parse_list(p, &n->otherwise, &stop);
	if (rc == 0 && stop != STOP_END)
		return fail_at(p, &at, "else is not closed by {{end}}");
	return rc;
}

/* After the keyword. Consumes through the closing "{{end}}". */
static int parse_branch(struct parser *p, enum tmpl_node_type type, struct tmpl_node **ret)
{
	struct tmpl_node *n = node_new(p, type);
	enum stop stop = STOP_EOF;
	size_t outer = p->nvars;

	if (++p->depth > TMPL_MAX_NESTING)
		return fail_at(p, &p->tok, "nested too deeply");
	int rc = parse_pipe(p, TMPL_T_CLOSE, &n->pipe);
	if (rc == 0)
		rc = next(p);
	if (rc != 0)
		return rc;
	size_t scope = p->nvars;
	p->loops += type == TMPL_N_RANGE;
	rc = parse_list(p, &n->body, &stop);
	p->loops -= type == TMPL_N_RANGE;
	if (rc == 0 && stop == STOP_ELSE)
		rc = parse_else(p, n, scope);
	else if (rc == 0 && stop == STOP_EOF)
		rc = ops_error_set_at(p->lx.err, -EINVAL, p->lx.name, n->line, n->column,
			"block is not closed by {{end}}");
	p->nvars = outer;
	p->depth--;
	if (rc == 0)
		*ret = n;
	return rc;
}

static int parse_name(struct parser *p, const char *what, const char **ret)
{
	if (p->tok.type != TMPL_T_STRING)
		return fail_at(p, &p->tok, "%s needs a name in quotes", what);
	*ret = p->tok.text;
	return next(p);
}

static int parse_call(struct parser *p, struct tmpl_node **ret)
{
	struct tmpl_node *n = node_new(p, TMPL_N_CALL);
	int rc = parse_name(p, "template", &n->text);
	if (rc == 0 && p->tok.type != TMPL_T_CLOSE)
		rc = parse_pipe(p, TMPL_T_CLOSE, &n->pipe);
	*ret = n;
	return rc == 0 ? expect_close(p, "template") : rc;
}

/* The body of {{define}} and {{block}} sees only the initial variables. */
static int parse_definition(struct parser *p, const char *name)
{
	struct tmpl_body *body = ops_arena_new(&p->set->arena, struct tmpl_body);
	const struct tmpl_token at = p->tok;
	enum stop stop = STOP_EOF;
	size_t outer = p->nvars, base = 0;
	int loops = p->loops;
	struct ops_arena *arena = p->arena;

	for (const char *const *v = p->set->cfg.vars; v != NULL && *v != NULL; v++)
		base++;
	size_t nhidden = outer - base;
	const char **copy = ops_arena_array(arena, const char *, nhidden + 1);
	if (nhidden > 0)
		memcpy(copy, &p->vars[base], nhidden * sizeof copy[0]);
	p->nvars = base;
	p->loops = 0;
	p->arena = &p->set->arena;
	p->lx.arena = &p->set->arena;
	int rc = parse_list(p, &body->nodes, &stop);
	p->arena = arena;
	p->lx.arena = arena;
	p->loops = loops;
	p->nvars = base;
	for (size_t i = base; i < outer; i++)
		var_push(p, copy[i - base]);
	if (rc == 0 && stop != STOP_END)
		return fail_at(p, &at, "definition of \"%s\" is not closed by {{end}}", name);
	if (rc != 0)
		return rc;
	body->file = ops_arena_strdup(&p->set->arena, p->lx.name);
	(void)ops_map_puts(p->set->named, name, body);
	return 0;
}

static int parse_define(struct parser *p)
{
	const char *name = NULL;
	if (p->depth > 0 || p->nested_define)
		return fail_at(p, &p->tok, "define must not stand inside of another block");
	int rc = parse_name(p, "define", &name);
	if (rc == 0)
		rc = expect_close(p, "define");
	p->nested_define = true;
	if (rc == 0)
		rc = parse_definition(p, name);
	p->nested_define = false;
	return rc;
}

static int parse_block(struct parser *p, struct tmpl_node **ret)
{
	struct tmpl_node *n = node_new(p, TMPL_N_CALL);
	int rc = parse_name(p, "block", &n->text);
	if (rc == 0)
		rc = parse_pipe(p, TMPL_T_CLOSE, &n->pipe);
	if (rc == 0)
		rc = next(p);
	*ret = n;
	return rc == 0 ? parse_definition(p, n->text) : rc;
}

static int parse_jump(struct parser *p, enum tmpl_node_type type, struct tmpl_node **ret)
{
	if (p->loops == 0)
		return fail_at(p, &p->tok, "%s stands outside of range",
			type == TMPL_N_BREAK ? "break" : "continue");
	*ret = node_new(p, type);
	return expect_close(p, "break or continue");
}

static int parse_action(struct parser *p, struct tmpl_node **ret)
{
	*ret = node_new(p, TMPL_N_ACTION);
	int rc = parse_pipe(p, TMPL_T_CLOSE, &(*ret)->pipe);
	return rc == 0 ? next(p) : rc;
}

/* After "{{". *ret stays NULL for a definition. */
static int parse_keyword(struct parser *p, struct tmpl_node **ret)
{
	static const struct {
		const char *word;
		enum tmpl_node_type type;
	} branches[] = {{"if", TMPL_N_IF}, {"range", TMPL_N_RANGE}, {"with", TMPL_N_WITH}};
	int rc;

	for (size_t i = 0; i < OPS_LENGTH(branches); i++) {
		if (tok_is(p, branches[i].word)) {
			rc = next(p);
			return rc == 0 ? parse_branch(p, branches[i].type, ret) : rc;
		}
	}
	bool call = tok_is(p, "template"), define = tok_is(p, "define"), block = tok_is(p, "block");
	bool brk = tok_is(p, "break"), cont = tok_is(p, "continue");
	if (!call && !define && !block && !brk && !cont)
		return parse_action(p, ret);
	rc = next(p);
	if (rc != 0)
		return rc;
	if (call)
		return parse_call(p, ret);
	if (define)
		return parse_define(p);
	if (block)
		return parse_block(p, ret);
	return parse_jump(p, brk ? TMPL_N_BREAK : TMPL_N_CONTINUE, ret);
}

static int parse_text_node(struct parser *p, struct tmpl_node **ret)
{
	if (p->tok.len > 0) {
		*ret = node_new(p, TMPL_N_TEXT);
		(*ret)->text = ops_arena_strndup(p->arena, p->tok.text, p->tok.len);
		(*ret)->len = p->tok.len;
	}
	return next(p);
}

static int parse_list(struct parser *p, struct tmpl_node **ret, enum stop *ret_stop)
{
	struct tmpl_node **tail = ret;
	int rc = 0;

	*ret_stop = STOP_EOF;
	while (rc == 0 && p->tok.type != TMPL_T_END) {
		struct tmpl_node *n = NULL;
		if (p->tok.type == TMPL_T_TEXT) {
			rc = parse_text_node(p, &n);
		} else {
			rc = next(p); /* the "{{" */
			if (rc == 0 && tok_is(p, "end")) {
				*ret_stop = STOP_END;
				rc = next(p);
				return rc == 0 ? expect_close(p, "end") : rc;
			}
			if (rc == 0 && tok_is(p, "else")) {
				*ret_stop = STOP_ELSE;
				return next(p);
			}
			if (rc == 0)
				rc = parse_keyword(p, &n);
		}
		if (n != NULL) {
			*tail = n;
			tail = &n->next;
		}
	}
	return rc;
}

int tmpl_parse_text(struct ops_tmpl_set *set, struct ops_arena *a, const char *name,
	const char *text, size_t len, struct tmpl_node **ret, struct ops_error *err)
{
	struct parser p = {
		.lx = {.arena = a, .name = name, .text = text, .len = len, .line = 1, .err = err},
		.set = set,
		.arena = a,
	};
	enum stop stop = STOP_EOF;

	if (len > TMPL_MAX_TEXT)
		return ops_error_set_at(err, -EINVAL, name, 0, 0, "template is longer than 1 MiB");
	for (const char *const *v = set->cfg.vars; v != NULL && *v != NULL; v++)
		var_push(&p, *v);
	int rc = next(&p);
	struct tmpl_node *nodes = NULL;
	if (rc == 0)
		rc = parse_list(&p, &nodes, &stop);
	if (rc == 0 && stop != STOP_EOF)
		rc = fail_at(&p, &p.tok, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
	free(p.vars);
	if (rc == 0)
		*ret = nodes;
	return rc;
}
