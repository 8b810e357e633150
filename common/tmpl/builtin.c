/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of Go's text/template itself. Comparisons take numbers of either kind (Go refuses to
 * compare 1 with 1.0; nobody writes that on purpose), everything else only like with like.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/internal.h"

int tmpl_fn_and(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call;
	for (size_t i = 0; i < n; i++) {
		*ret = args[i];
		if (!ops_tmpl_truth(ret))
			break;
	}
	return 0;
}

int tmpl_fn_or(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call;
	for (size_t i = 0; i < n; i++) {
		*ret = args[i];
		if (ops_tmpl_truth(ret))
			break;
	}
	return 0;
}

static int fn_not(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call, (void)n;
	*ret = ops_tmpl_bool(!ops_tmpl_truth(&args[0]));
	return 0;
}

static bool is_number(const struct ops_tmpl_value *v)
{
	return v->kind == OPS_TMPL_INT || v->kind == OPS_TMPL_FLOAT;
}

/* -1, 0, 1; 2 = unordered (NaN). */
static int compare_numbers(const struct ops_tmpl_value *a, const struct ops_tmpl_value *b)
{
	if (a->kind == OPS_TMPL_INT && b->kind == OPS_TMPL_INT)
		return (a->u.i64 > b->u.i64) - (a->u.i64 < b->u.i64);
	double x = a->kind == OPS_TMPL_INT ? (double)a->u.i64 : a->u.f64;
	double y = b->kind == OPS_TMPL_INT ? (double)b->u.i64 : b->u.f64;
	return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static int compare_strings(const struct ops_tmpl_value *a, const struct ops_tmpl_value *b)
{
	size_t n = OPS_MIN(a->u.str.len, b->u.str.len);
	int c = memcmp(a->u.str.s, b->u.str.s, n);
	if (c == 0)
		c = (a->u.str.len > b->u.str.len) - (a->u.str.len < b->u.str.len);
	return c < 0 ? -1 : c > 0;
}

static int equal(struct ops_tmpl_call *call, const struct ops_tmpl_value *a,
	const struct ops_tmpl_value *b, bool *ret)
{
	if (a->kind == OPS_TMPL_NIL || b->kind == OPS_TMPL_NIL)
		*ret = a->kind == b->kind;
	else if (is_number(a) && is_number(b))
		*ret = compare_numbers(a, b) == 0;
	else if (a->kind != b->kind)
		return ops_tmpl_fail(call, "incompatible types for comparison");
	else if (a->kind == OPS_TMPL_STRING)
		*ret = compare_strings(a, b) == 0;
	else if (a->kind == OPS_TMPL_BOOL)
		*ret = a->u.boolean == b->u.boolean;
	else if (a->kind == OPS_TMPL_TIME)
		*ret = a->u.time.ms == b->u.time.ms;
	else
		return ops_tmpl_fail(call, "lists and maps cannot be compared");
	return 0;
}

static int fn_eq(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	bool same = false;
	for (size_t i = 1; i < n && !same; i++) {
		int rc = equal(call, &args[0], &args[i], &same);
		if (rc != 0)
			return rc;
	}
	*ret = ops_tmpl_bool(same);
	return 0;
}

static int fn_ne(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	bool same = false;
	(void)n;
	int rc = equal(call, &args[0], &args[1], &same);
	*ret = ops_tmpl_bool(!same);
	return rc;
}

static int ordered(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, int *ret)
{
	if (is_number(&args[0]) && is_number(&args[1]))
		*ret = compare_numbers(&args[0], &args[1]);
	else if (args[0].kind == OPS_TMPL_STRING && args[1].kind == OPS_TMPL_STRING)
		*ret = compare_strings(&args[0], &args[1]);
	else
		return ops_tmpl_fail(call, "incompatible types for comparison");
	return 0;
}

#define ORDER_FUNCTION(name, condition)                                                            \
	static int name(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,   \
		struct ops_tmpl_value *ret)                                                        \
	{                                                                                          \
		int c = 2;                                                                         \
		(void)n;                                                                           \
		int rc = ordered(call, args, &c);                                                  \
		*ret = ops_tmpl_bool(condition);                                                   \
		return rc;                                                                         \
	}
ORDER_FUNCTION(fn_lt, c == -1)
ORDER_FUNCTION(fn_le, c == -1 || c == 0)
ORDER_FUNCTION(fn_gt, c == 1)
ORDER_FUNCTION(fn_ge, c == 1 || c == 0)

static int fn_len(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	if (args[0].kind == OPS_TMPL_STRING)
		*ret = ops_tmpl_int((int64_t)args[0].u.str.len);
	else if (args[0].kind == OPS_TMPL_LIST)
		*ret = ops_tmpl_int((int64_t)args[0].u.list->n);
	else if (args[0].kind == OPS_TMPL_MAP)
		*ret = ops_tmpl_int((int64_t)args[0].u.map->n);
	else
		return ops_tmpl_fail(call, "len needs a string, list or map");
	return 0;
}

int tmpl_index(struct ops_tmpl_call *call, const struct ops_tmpl_value *of,
	const struct ops_tmpl_value *key, struct ops_tmpl_value *ret)
{
	if (of->kind == OPS_TMPL_MAP && key->kind == OPS_TMPL_STRING) {
		const struct ops_tmpl_value *v = ops_tmpl_map_get(of->u.map, key->u.str.s);
		*ret = v != NULL ? *v : of->u.map->strings ? ops_tmpl_string("") : ops_tmpl_nil();
		return 0;
	}
	if (key->kind != OPS_TMPL_INT)
		return ops_tmpl_fail(call, "index needs a number for a list, a string for a map");
	size_t n = of->kind == OPS_TMPL_LIST	 ? of->u.list->n
		   : of->kind == OPS_TMPL_STRING ? of->u.str.len
						 : 0;
	if (key->u.i64 < 0 || (uint64_t)key->u.i64 >= n)
		return ops_tmpl_fail(call, "index out of range: %lld", (long long)key->u.i64);
	if (of->kind == OPS_TMPL_LIST)
		*ret = of->u.list->items[key->u.i64];
	else
		*ret = ops_tmpl_int((unsigned char)of->u.str.s[key->u.i64]);
	return 0;
}

static int fn_index(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	*ret = args[0];
	for (size_t i = 1; i < n; i++) {
		struct ops_tmpl_value of = *ret;
		int rc = tmpl_index(call, &of, &args[i], ret);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int fn_slice(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	bool text = args[0].kind == OPS_TMPL_STRING;
	if (!text && args[0].kind != OPS_TMPL_LIST)
		return ops_tmpl_fail(call, "slice needs a string or list");
	int64_t len = (int64_t)(text ? args[0].u.str.len : args[0].u.list->n), from = 0, to = len;
	if ((n > 1 && args[1].kind != OPS_TMPL_INT) || (n > 2 && args[2].kind != OPS_TMPL_INT))
		return ops_tmpl_fail(call, "slice needs numbers");
	if (n > 1)
		from = args[1].u.i64;
	if (n > 2)
		to = args[2].u.i64;
	if (from < 0 || to > len || from > to)
		return ops_tmpl_fail(call, "slice out of range");
	if (text) {
		*ret = ops_tmpl_stringn(
			ops_tmpl_arena(call), args[0].u.str.s + from, (size_t)(to - from));
		return 0;
	}
	*ret = ops_tmpl_list(ops_tmpl_arena(call));
	for (int64_t i = from; i < to; i++)
		ops_tmpl_list_add(ops_tmpl_arena(call), ret->u.list, args[0].u.list->items[i]);
	return 0;
}

/* fmt.Sprint: a blank between operands when neither is a string; Sprintln: always, and a newline.
 */
static void sprint(const struct ops_tmpl_value *args, size_t n, bool line, struct ops_strbuf *out)
{
	for (size_t i = 0; i < n; i++) {
		bool texts = i > 0 && (args[i].kind == OPS_TMPL_STRING ||
					      args[i - 1].kind == OPS_TMPL_STRING);
		if (i > 0 && (line || !texts))
			ops_strbuf_addc(out, ' ');
		ops_tmpl_print(&args[i], out);
	}
	if (line)
		ops_strbuf_addc(out, '\n');
}

static int fn_print(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	sprint(args, n, false, &b);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

static int fn_println(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	sprint(args, n, true, &b);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

void tmpl_escape_html(const char *s, size_t len, struct ops_strbuf *out)
{
	for (size_t i = 0; i < len; i++) {
		switch (s[i]) {
		case '<':
			ops_strbuf_adds(out, "&lt;");
			break;
		case '>':
			ops_strbuf_adds(out, "&gt;");
			break;
		case '&':
			ops_strbuf_adds(out, "&amp;");
			break;
		case '"':
			ops_strbuf_adds(out, "&#34;");
			break;
		case '\'':
			ops_strbuf_adds(out, "&#39;");
			break;
		default:
			ops_strbuf_addc(out, s[i]);
		}
	}
}

/* As in a form: a blank is a plus. */
static void escape_url(const char *s, size_t len, struct ops_strbuf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == ' ')
			ops_strbuf_addc(out, '+');
		else
			ops_strbuf_add_url(out, s + i, 1);
	}
}

static void escape_js(const char *s, size_t len, struct ops_strbuf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '\n' || c == '\r' || c == '\t')
			ops_strbuf_adds(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
		else if (c == '\\' || c == '\'' || c == '"')
			ops_strbuf_printf(out, "\\%c", c);
		else if (c < 0x20 || strchr("<>&=", c) != NULL)
			ops_strbuf_printf(out, "\\u%04X", c);
		else
			ops_strbuf_addc(out, (char)c);
	}
}

static int escape_with(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	void (*escape)(const char *, size_t, struct ops_strbuf *), struct ops_tmpl_value *ret)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	sprint(args, n, false, &text);
	escape(ops_strbuf_text(&text), text.len, &out);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&out), out.len);
	return 0;
}

static int fn_html(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	return escape_with(call, args, n, tmpl_escape_html, ret);
}

static int fn_js(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	return escape_with(call, args, n, escape_js, ret);
}

static int fn_urlquery(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	return escape_with(call, args, n, escape_url, ret);
}

const struct ops_tmpl_func tmpl_builtins[] = {
	{"and", tmpl_fn_and, 1, -1},
	{"or", tmpl_fn_or, 1, -1},
	{"not", fn_not, 1, 1},
	{"eq", fn_eq, 2, -1},
	{"ne", fn_ne, 2, 2},
	{"lt", fn_lt, 2, 2},
	{"le", fn_le, 2, 2},
	{"gt", fn_gt, 2, 2},
	{"ge", fn_ge, 2, 2},
	{"len", fn_len, 1, 1},
	{"index", fn_index, 1, -1},
	{"slice", fn_slice, 1, 3},
	{"print", fn_print, 0, -1},
	{"println", fn_println, 0, -1},
	{"printf", tmpl_fn_printf, 1, -1},
	{"html", fn_html, 1, -1},
	{"js", fn_js, 1, -1},
	{"urlquery", fn_urlquery, 1, -1},
	{NULL, NULL, 0, 0},
};
