/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executor: walks the tree with a stack of variables. A template is data from a configuration file
 * that somebody else may write, and labels are data from anywhere: so steps, output and call depth
 * are bounded, and nothing here can loop for ever (range works on finite lists only).
 *
 * Go resolves a field on a map or struct, and a method on any of our typed values; the last field
 * of a chain may take arguments when it is a method. Missing map keys are the zero value
 * (missingkey=zero), as both Prometheus and Alertmanager set it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/internal.h"

static void var_set(struct ops_tmpl_call *c, const char *name, struct ops_tmpl_value v)
{
	OPS_GROW(c->vars, c->nvars, c->cap_vars);
	c->vars[c->nvars++] = (struct tmpl_var){name, v};
}

static struct tmpl_var *var_find(struct ops_tmpl_call *c, const char *name)
{
	for (size_t i = c->nvars; i > 0; i--) {
		if (strcmp(c->vars[i - 1].name, name) == 0)
			return &c->vars[i - 1];
	}
	return NULL;
}

static const struct ops_tmpl_func *find_method(const struct ops_tmpl_value *v, const char *name)
{
	const struct ops_tmpl_func *m = NULL;
	if (v->kind == OPS_TMPL_LIST)
		m = v->u.list->methods;
	else if (v->kind == OPS_TMPL_MAP)
		m = v->u.map->methods;
	else if (v->kind == OPS_TMPL_TIME)
		m = tmpl_time_methods;
	for (; m != NULL && m->name != NULL; m++) {
		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

static int check_arity(struct ops_tmpl_call *c, const struct ops_tmpl_func *f, size_t n)
{
	if ((int)n >= f->min_args && (f->max_args < 0 || (int)n <= f->max_args))
		return 0;
	return ops_tmpl_fail(c, "wrong number of arguments for %s: %zu given, %d wanted", f->name,
		n, f->min_args);
}

/* args[0] is the receiver. */
static int call_method(struct ops_tmpl_call *c, const struct ops_tmpl_func *m,
	const struct ops_tmpl_value *args, size_t n, struct ops_tmpl_value *ret)
{
	int rc = check_arity(c, m, n - 1);
	return rc == 0 ? m->fn(c, args, n, ret) : rc;
}

static int map_field(struct ops_tmpl_call *c, const struct ops_tmpl_map *m, const char *name,
	struct ops_tmpl_value *ret)
{
	const struct ops_tmpl_value *v = ops_tmpl_map_get(m, name);
	if (v != NULL)
		*ret = *v;
	else if (m->strict)
		return ops_tmpl_fail(c, "there is no field %s here", name);
	else
		*ret = m->strings ? ops_tmpl_string("") : ops_tmpl_nil();
	return 0;
}

/* One step of a chain; args (with args[0] free for the receiver) only for the last one. */
static int apply_field(struct ops_tmpl_call *c, const struct ops_tmpl_value *of, const char *name,
	struct ops_tmpl_value *args, size_t nargs, struct ops_tmpl_value *ret)
{
	const struct ops_tmpl_func *m = find_method(of, name);

	if (m != NULL) {
		struct ops_tmpl_value self = *of;
		if (args == NULL)
			return call_method(c, m, &self, 1, ret);
		args[0] = self;
		return call_method(c, m, args, nargs + 1, ret);
	}
	if (nargs > 0)
		return ops_tmpl_fail(c, "%s is not a method but has arguments", name);
	if (of->kind == OPS_TMPL_MAP)
		return map_field(c, of->u.map, name, ret);
	if (of->kind == OPS_TMPL_NIL) {
		*ret = ops_tmpl_nil();
		return 0;
	}
	return ops_tmpl_fail(c, "cannot take field %s of this value", name);
}

static int eval_pipe(struct ops_tmpl_call *c, const struct tmpl_pipe *pipe,
	const struct ops_tmpl_value *dot, struct ops_tmpl_value *ret);

static int eval_chain(struct ops_tmpl_call *c, const struct tmpl_operand *o,
	struct ops_tmpl_value *args, size_t nargs, struct ops_tmpl_value *value)
{
	for (size_t i = 0; i < o->nchain; i++) {
		bool last = i + 1 == o->nchain;
		struct ops_tmpl_value of = *value;
		int rc = apply_field(
			c, &of, o->chain[i], last ? args : NULL, last ? nargs : 0, value);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* args[1..nargs] are the arguments when o is the head of a command, else args is NULL. */
static int eval_operand(struct ops_tmpl_call *c, const struct tmpl_operand *o,
	const struct ops_tmpl_value *dot, struct ops_tmpl_value *args, size_t nargs,
	struct ops_tmpl_value *ret)
{
	struct tmpl_var *v;
	int rc = 0;

	if (c->steps++ > (c->env->max_steps != 0 ? c->env->max_steps : 1000000))
		return ops_tmpl_fail(c, "template takes too many steps");
	c->line = o->line;
	c->column = o->column;
	switch (o->type) {
	case TMPL_O_CONST:
		*ret = o->value;
		break;
	case TMPL_O_DOT:
	case TMPL_O_FIELD:
		*ret = *dot;
		break;
	case TMPL_O_VAR:
		v = var_find(c, o->name);
		*ret = v != NULL ? v->value : c->root;
		break;
	case TMPL_O_PIPE:
		rc = eval_pipe(c, o->pipe, dot, ret);
		break;
	case TMPL_O_FUNC:
		rc = check_arity(c, o->func, nargs);
		return rc == 0 ? o->func->fn(c, args != NULL ? args + 1 : NULL, nargs, ret) : rc;
	}
	if (rc == 0)
		rc = eval_chain(c, o, args, nargs, ret);
	if (rc == 0 && nargs > 0 && o->nchain == 0)
		rc = ops_tmpl_fail(c, "a value that is not a function has arguments");
	return rc;
}

/* and/or stop at the first argument that decides. */
static int eval_lazy(struct ops_tmpl_call *c, const struct tmpl_command *cmd,
	const struct ops_tmpl_value *dot, const struct ops_tmpl_value *final,
	struct ops_tmpl_value *ret)
{
	bool stop_on = cmd->operands[0].func->fn == tmpl_fn_or;

	if (cmd->n == 1 && final == NULL)
		return ops_tmpl_fail(c, "%s needs an argument", cmd->operands[0].func->name);
	for (size_t i = 1; i < cmd->n; i++) {
		int rc = eval_operand(c, &cmd->operands[i], dot, NULL, 0, ret);
		if (rc != 0)
			return rc;
		if (ops_tmpl_truth(ret) == stop_on)
			return 0;
	}
	if (final != NULL)
		*ret = *final;
	return 0;
}

static int eval_command(struct ops_tmpl_call *c, const struct tmpl_command *cmd,
	const struct ops_tmpl_value *dot, const struct ops_tmpl_value *final,
	struct ops_tmpl_value *ret)
{
	struct ops_tmpl_value args[TMPL_MAX_OPERANDS + 2];
	const struct tmpl_operand *head = &cmd->operands[0];
	size_t n = 0;

	if (head->type == TMPL_O_FUNC &&
		(head->func->fn == tmpl_fn_and || head->func->fn == tmpl_fn_or))
		return eval_lazy(c, cmd, dot, final, ret);
	for (size_t i = 1; i < cmd->n; i++) {
		int rc = eval_operand(c, &cmd->operands[i], dot, NULL, 0, &args[++n]);
		if (rc != 0)
			return rc;
	}
	if (final != NULL)
		args[++n] = *final;
	return eval_operand(c, head, dot, args, n, ret);
}

static int eval_pipe(struct ops_tmpl_call *c, const struct tmpl_pipe *pipe,
	const struct ops_tmpl_value *dot, struct ops_tmpl_value *ret)
{
	struct ops_tmpl_value value = ops_tmpl_nil(), previous;

	if (++c->depth > 4 * TMPL_MAX_NESTING)
		return ops_tmpl_fail(c, "nested too deeply");
	for (size_t i = 0; i < pipe->n; i++) {
		previous = value;
		int rc = eval_command(c, &pipe->commands[i], dot, i > 0 ? &previous : NULL, &value);
		if (rc != 0)
			return rc;
	}
	c->depth--;
	*ret = value;
	return 0;
}

static void bind_var(
	struct ops_tmpl_call *c, const struct tmpl_pipe *pipe, size_t at, struct ops_tmpl_value v)
{
	struct tmpl_var *known = pipe->assign ? var_find(c, pipe->vars[at]) : NULL;
	if (known != NULL)
		known->value = v;
	else
		var_set(c, pipe->vars[at], v);
}

static int write_out(struct ops_tmpl_call *c, const char *s, size_t len)
{
	size_t limit = c->env->max_output_bytes != 0 ? c->env->max_output_bytes : 1U << 20;
	if (len > limit || c->out->len > limit - len)
		return ops_tmpl_fail(c, "output is longer than %zu bytes", limit);
	ops_strbuf_add(c->out, s, len);
	return 0;
}

/* Is the end of s inside of a quoted attribute value, behind a '?': <a href="/search?{{ here }}">.
 */
static bool in_url_query(const char *s, size_t len)
{
	size_t at = len;

	while (at > 0 && s[at - 1] != '"' && s[at - 1] != '<' && s[at - 1] != '>')
		at--;
	return at > 1 && s[at - 1] == '"' && s[at - 2] == '=' &&
	       memchr(s + at, '?', len - at) != NULL;
}

static void escape_query(const char *s, size_t len, struct ops_strbuf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)s[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || (ch != '\0' && strchr("-._~", ch) != NULL);
		if (plain)
			ops_strbuf_addc(out, (char)ch);
		else
			ops_strbuf_printf(out, "%%%02x", ch);
	}
}

static int print_value(struct ops_tmpl_call *c, const struct ops_tmpl_value *v)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf escaped OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	if (v->kind == OPS_TMPL_STRING && (!c->env->html || v->safe))
		return write_out(c, v->u.str.s, v->u.str.len);
	if (v->kind != OPS_TMPL_NIL ||
		!c->env->html) /* html/template prints nothing for no value */
		ops_tmpl_print(v, &text);
	if (!c->env->html)
		return write_out(c, ops_strbuf_text(&text), text.len);
	if (in_url_query(ops_strbuf_text(c->out), c->out->len))
		escape_query(ops_strbuf_text(&text), text.len, &escaped);
	else
		tmpl_escape_html(ops_strbuf_text(&text), text.len, &escaped);
	return write_out(c, ops_strbuf_text(&escaped), escaped.len);
}

static int exec_nodes(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot);

static int exec_action(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	struct ops_tmpl_value v;
	int rc = eval_pipe(c, n->pipe, dot, &v);
	if (rc != 0)
		return rc;
	if (n->pipe->nvars > 0) {
		bind_var(c, n->pipe, 0, v);
		return 0;
	}
	return print_value(c, &v);
}

static int exec_if(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	struct ops_tmpl_value v;
	size_t scope = c->nvars;
	int rc = eval_pipe(c, n->pipe, dot, &v);
	if (rc != 0)
		return rc;
	if (n->pipe->nvars > 0)
		bind_var(c, n->pipe, 0, v);
	if (ops_tmpl_truth(&v))
		rc = exec_nodes(c, n->body, n->type == TMPL_N_WITH ? &v : dot);
	else
		rc = exec_nodes(c, n->otherwise, dot);
	c->nvars = OPS_MIN(scope, c->nvars);
	return rc;
}

static int range_step(struct ops_tmpl_call *c, const struct tmpl_node *n, struct ops_tmpl_value key,
	const struct ops_tmpl_value *item, bool *ret_stop)
{
	size_t scope = c->nvars;

	if (n->pipe->nvars == 1)
		bind_var(c, n->pipe, 0, *item);
	if (n->pipe->nvars == 2) {
		bind_var(c, n->pipe, 0, key);
		bind_var(c, n->pipe, 1, *item);
	}
	int rc = exec_nodes(c, n->body, item);
	c->nvars = scope;
	*ret_stop = c->flow == TMPL_FLOW_BREAK;
	c->flow = TMPL_FLOW_ON;
	return rc;
}

static int range_list(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_list *l)
{
	bool stop = false;
	for (size_t i = 0; i < l->n && !stop; i++) {
		int rc = range_step(c, n, ops_tmpl_int((int64_t)i), &l->items[i], &stop);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int range_map(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_map *m)
{
	const size_t *order = tmpl_sorted_keys(c->env->arena, m);
	bool stop = false;
	for (size_t i = 0; i < m->n && !stop; i++) {
		size_t at = order[i];
		int rc = range_step(c, n, ops_tmpl_string(m->keys[at]), &m->values[at], &stop);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int range_int(struct ops_tmpl_call *c, const struct tmpl_node *n, int64_t count)
{
	bool stop = false;
	for (int64_t i = 0; i < count && !stop; i++) {
		struct ops_tmpl_value v = ops_tmpl_int(i);
		if (c->steps++ > 1000000)
			return ops_tmpl_fail(c, "template takes too many steps");
		int rc = range_step(c, n, v, &v, &stop);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int exec_range(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	struct ops_tmpl_value v;
	int rc = eval_pipe(c, n->pipe, dot, &v);
	if (rc != 0)
		return rc;
	if (v.kind != OPS_TMPL_NIL && !ops_tmpl_truth(&v) && v.kind != OPS_TMPL_LIST &&
		v.kind != OPS_TMPL_MAP && v.kind != OPS_TMPL_INT)
		return ops_tmpl_fail(c, "range cannot iterate over this value");
	if (!ops_tmpl_truth(&v))
		return exec_nodes(c, n->otherwise, dot);
	if (v.kind == OPS_TMPL_LIST)
		return range_list(c, n, v.u.list);
	if (v.kind == OPS_TMPL_MAP)
		return range_map(c, n, v.u.map);
	if (v.kind == OPS_TMPL_INT)
		return range_int(c, n, v.u.i64);
	return ops_tmpl_fail(c, "range cannot iterate over this value");
}

static int exec_body(
	struct ops_tmpl_call *c, const struct tmpl_body *body, const struct ops_tmpl_value *dot)
{
	const char *file = c->file;
	struct ops_tmpl_value root = c->root;
	size_t scope = c->nvars;
	int depth = c->depth;

	/* Only the caller's initial variables are visible inside: they sit at the bottom of the
	 * stack. */
	if ((c->depth += 8) > 8 * TMPL_MAX_CALLS)
		return ops_tmpl_fail(c, "templates call each other too deeply");
	c->file = body->file;
	c->root = *dot;
	int rc = exec_nodes(c, body->nodes, dot);
	if (rc != 0)
		return rc;
	c->nvars = scope;
	c->root = root;
	c->file = file;
	c->depth = depth;
	return 0;
}

static int exec_call(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	struct ops_tmpl_value arg = ops_tmpl_nil();
	const struct tmpl_body *body = ops_map_gets(c->set->named, n->text);
	(void)dot;

	c->line = n->line;
	c->column = n->column;
	if (body == NULL)
		return ops_tmpl_fail(c, "template \"%s\" is not defined", n->text);
	int rc = n->pipe != NULL ? eval_pipe(c, n->pipe, dot, &arg) : 0;
	return rc == 0 ? exec_body(c, body, &arg) : rc;
}

static int exec_node(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	switch (n->type) {
	case TMPL_N_TEXT:
		return write_out(c, n->text, n->len);
	case TMPL_N_ACTION:
		return exec_action(c, n, dot);
	case TMPL_N_IF:
	case TMPL_N_WITH:
		return exec_if(c, n, dot);
	case TMPL_N_RANGE:
		return exec_range(c, n, dot);
	case TMPL_N_CALL:
		return exec_call(c, n, dot);
	case TMPL_N_BREAK:
		c->flow = TMPL_FLOW_BREAK;
		return 0;
	case TMPL_N_CONTINUE:
		c->flow = TMPL_FLOW_CONTINUE;
		return 0;
	}
	return -EINVAL;
}

static int exec_nodes(
	struct ops_tmpl_call *c, const struct tmpl_node *n, const struct ops_tmpl_value *dot)
{
	int rc = 0;
	for (; n != NULL && rc == 0 && c->flow == TMPL_FLOW_ON; n = n->next) {
		c->line = n->line;
		c->column = n->column;
		rc = exec_node(c, n, dot);
	}
	return rc;
}

int ops_tmpl_call_named(struct ops_tmpl_call *call, const char *name,
	const struct ops_tmpl_value *dot, struct ops_strbuf *out)
{
	const struct tmpl_body *body = ops_map_gets(call->set->named, name);
	struct ops_strbuf *saved = call->out;

	if (body == NULL)
		return ops_tmpl_fail(call, "template \"%s\" is not defined", name);
	call->out = out;
	int rc = exec_body(call, body, dot);
	call->out = saved;
	return rc;
}

int ops_tmpl_exec(const struct ops_tmpl *t, const struct ops_tmpl_env *env, struct ops_strbuf *out,
	struct ops_error *err)
{
	struct ops_tmpl_call c = {.set = t->set,
		.env = env,
		.out = out,
		.err = err,
		.file = t->body.file,
		.root = env->dot};
	size_t i = 0;

	for (const char *const *v = t->set->cfg.vars; v != NULL && *v != NULL; v++, i++)
		var_set(&c, *v, env->vars[i]);
	int rc = exec_nodes(&c, t->body.nodes, &env->dot);
	free(c.vars);
	return rc;
}

int ops_tmpl_expand(struct ops_tmpl_set *set, const char *name, const char *text,
	const struct ops_tmpl_env *env, struct ops_strbuf *out, struct ops_error *err)
{
	struct ops_tmpl *t = NULL;

	if (strstr(text, "{{") == NULL) { /* most are plain */
		ops_strbuf_adds(out, text);
		return 0;
	}
	int rc = ops_tmpl_parse(set, name, text, strlen(text), &t, err);
	if (rc == 0)
		rc = ops_tmpl_exec(t, env, out, err);
	ops_tmpl_free(t);
	return rc;
}
