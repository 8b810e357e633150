/* SPDX-License-Identifier: Apache-2.0 */
/*
 * printf with Go's verbs: %v %s %q %d %t %f %e %g %x %X %o %b %c %U %T %% with flags, width and
 * precision (also *). What does not fit is written into the text as Go does: %!d(string=x),
 * %!v(MISSING), EXTRA. The C library formats one bounded number at a time; templates cannot reach
 * it with a format of theirs.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/internal.h"

struct spec {
	bool minus, plus, zero, space, sharp;
	int width, precision; /* -1 = not given */
	char verb;
};

static const char *type_name(const struct ops_tmpl_value *v)
{
	switch (v->kind) {
	case OPS_TMPL_NIL:
		return "<nil>";
	case OPS_TMPL_BOOL:
		return "bool";
	case OPS_TMPL_INT:
		return "int";
	case OPS_TMPL_FLOAT:
		return "float64";
	case OPS_TMPL_STRING:
		return "string";
	case OPS_TMPL_TIME:
		return "time.Time";
	case OPS_TMPL_LIST:
		return "[]interface {}";
	case OPS_TMPL_MAP:
		return "map[string]interface {}";
	}
	return "?";
}

static void pad(const struct spec *sp, const char *s, size_t len, struct ops_strbuf *out)
{
	size_t chars = 0;
	for (size_t i = 0; i < len; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	size_t fill = sp->width > 0 && (size_t)sp->width > chars ? (size_t)sp->width - chars : 0;
	for (size_t i = 0; i < fill && !sp->minus; i++)
		ops_strbuf_addc(out, ' ');
	ops_strbuf_add(out, s, len);
	for (size_t i = 0; i < fill && sp->minus; i++)
		ops_strbuf_addc(out, ' ');
}

static void put_quoted(const char *s, size_t len, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			ops_strbuf_printf(out, "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			ops_strbuf_adds(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
		else if (c < 0x20 || c == 0x7f)
			ops_strbuf_printf(out, "\\x%02x", c);
		else
			ops_strbuf_addc(out, (char)c);
	}
	ops_strbuf_addc(out, '"');
}

static void bad_verb(const struct spec *sp, const struct ops_tmpl_value *v, struct ops_strbuf *out)
{
	ops_strbuf_printf(out, "%%!%c(", sp->verb);
	if (v->kind == OPS_TMPL_NIL) {
		ops_strbuf_adds(out, "<nil>)");
		return;
	}
	ops_strbuf_printf(out, "%s=", type_name(v));
	ops_tmpl_print(v, out);
	ops_strbuf_addc(out, ')');
}

/* Sign and zero padding apply to numbers only. */
static void put_number(
	const struct spec *sp, bool negative, const char *digits, struct ops_strbuf *out)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	const char *sign = negative ? "-" : sp->plus ? "+" : sp->space ? " " : "";
	size_t have = strlen(sign) + strlen(digits);

	ops_strbuf_adds(&b, sign);
	for (; sp->zero && !sp->minus && sp->width > 0 && have < (size_t)sp->width; have++)
		ops_strbuf_addc(&b, '0');
	ops_strbuf_adds(&b, digits);
	pad(sp, ops_strbuf_text(&b), b.len, out);
}

static void put_int(const struct spec *sp, int64_t v, struct ops_strbuf *out)
{
	char buf[72], *at = buf + sizeof buf - 1;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	unsigned base = sp->verb == 'x' || sp->verb == 'X' ? 16
			: sp->verb == 'o'		   ? 8
			: sp->verb == 'b'		   ? 2
							   : 10;
	const char *set = sp->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";

	*at = '\0';
	do {
		*--at = set[u % base];
		u /= base;
	} while (u != 0);
	put_number(sp, v < 0, at, out);
}

static void put_float(const struct spec *sp, double v, struct ops_strbuf *out)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	double abs = fabs(v);
	int precision = sp->precision;

	if (isnan(v) || isinf(v)) {
		pad(sp, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf", isnan(v) ? 3 : 4, out);
		return;
	}
	if ((sp->verb == 'v' || sp->verb == 'g' || sp->verb == 'G') && precision < 0)
		tmpl_print_float(abs, &b);
	else if (sp->verb == 'e')
		ops_strbuf_printf(&b, "%.*e", precision < 0 ? 6 : precision, abs);
	else if (sp->verb == 'E')
		ops_strbuf_printf(&b, "%.*E", precision < 0 ? 6 : precision, abs);
	else if (sp->verb == 'f' || sp->verb == 'F')
		ops_strbuf_printf(&b, "%.*f", precision < 0 ? 6 : precision, abs);
	else
		ops_strbuf_printf(&b, "%.*g", precision, abs);
	put_number(sp, signbit(v), ops_strbuf_text(&b), out);
}

static void put_hex(const struct spec *sp, const char *s, size_t len, struct ops_strbuf *out)
{
	for (size_t i = 0; i < len; i++)
		ops_strbuf_printf(out, sp->verb == 'X' ? "%02X" : "%02x", (unsigned char)s[i]);
}

static void put_string(const struct spec *sp, const char *s, size_t len, struct ops_strbuf *out)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	size_t keep = 0;
	int chars = 0;

	while (keep < len && (sp->precision < 0 || chars < sp->precision)) {
		keep++;
		while (keep < len && ((unsigned char)s[keep] & 0xc0) == 0x80)
			keep++;
		chars++;
	}
	if (sp->verb == 'q')
		put_quoted(s, keep, &b);
	else if (sp->verb == 'x' || sp->verb == 'X')
		put_hex(sp, s, keep, &b);
	else
		ops_strbuf_add(&b, s, keep);
	pad(sp, ops_strbuf_text(&b), b.len, out);
}

static void put_rune(const struct spec *sp, int64_t v, struct ops_strbuf *out)
{
	char utf8[8] = "";
	if (sp->verb == 'U') {
		ops_strbuf_printf(out, "U+%04llX", (unsigned long long)v);
		return;
	}
	size_t n = v >= 0 && v <= 0x10ffff ? ops_utf8_encode((uint32_t)v, utf8) : 0;
	if (sp->verb == 'q')
		ops_strbuf_printf(out, "'%.*s'", (int)n, utf8);
	else
		pad(sp, utf8, n, out);
}

static void put_value(
	const struct spec *sp, const struct ops_tmpl_value *v, struct ops_strbuf *out);

static void put_each(const struct spec *sp, const struct ops_tmpl_list *l, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ' ');
		put_value(sp, &l->items[i], out);
	}
	ops_strbuf_addc(out, ']');
}

static void put_any(const struct spec *sp, const struct ops_tmpl_value *v, struct ops_strbuf *out)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	if (v->kind == OPS_TMPL_NIL)
		ops_strbuf_adds(&b, "<nil>");
	else
		ops_tmpl_print(v, &b);
	pad(sp, ops_strbuf_text(&b), b.len, out);
}

static void put_value(const struct spec *sp, const struct ops_tmpl_value *v, struct ops_strbuf *out)
{
	char verb = sp->verb;
	if (verb == 'T')
		pad(sp, type_name(v), strlen(type_name(v)), out);
	else if (v->kind == OPS_TMPL_INT && strchr("vdxXob", verb) != NULL)
		put_int(sp, v->u.i64, out);
	else if (v->kind == OPS_TMPL_INT && strchr("cqU", verb) != NULL)
		put_rune(sp, v->u.i64, out);
	else if (v->kind == OPS_TMPL_FLOAT && strchr("vfFgGeE", verb) != NULL)
		put_float(sp, v->u.f64, out);
	else if (v->kind == OPS_TMPL_STRING && strchr("vsqxX", verb) != NULL)
		put_string(sp, v->u.str.s, v->u.str.len, out);
	else if (v->kind == OPS_TMPL_LIST && verb != 'v')
		put_each(sp, v->u.list, out);
	else if (verb == 'v' || (verb == 't' && v->kind == OPS_TMPL_BOOL) ||
		 (verb == 's' && (v->kind == OPS_TMPL_TIME || v->kind == OPS_TMPL_MAP)))
		put_any(sp, v, out);
	else
		bad_verb(sp, v, out);
}

struct cursor {
	const struct ops_tmpl_value *args;
	size_t n, at;
};

static const char *read_count(const char *s, struct cursor *cur, int *ret)
{
	if (*s == '*') {
		const struct ops_tmpl_value *v = cur->at < cur->n ? &cur->args[cur->at++] : NULL;
		*ret = v != NULL && v->kind == OPS_TMPL_INT
			       ? (int)OPS_MIN(OPS_MAX(v->u.i64, 0), 1000)
			       : 0;
		return s + 1;
	}
	for (; *s >= '0' && *s <= '9'; s++)
		*ret = OPS_MIN(OPS_MAX(*ret, 0) * 10 + (*s - '0'), 1000);
	return s;
}

static const char *read_spec(const char *s, struct cursor *cur, struct spec *sp)
{
	*sp = (struct spec){.width = -1, .precision = -1};
	for (;; s++) {
		if (*s == '-')
			sp->minus = true;
		else if (*s == '+')
			sp->plus = true;
		else if (*s == '0')
			sp->zero = true;
		else if (*s == ' ')
			sp->space = true;
		else if (*s == '#')
			sp->sharp = true;
		else
			break;
	}
	s = read_count(s, cur, &sp->width);
	if (*s == '.') {
		sp->precision = 0;
		s = read_count(s + 1, cur, &sp->precision);
	}
	sp->verb = *s;
	return *s != '\0' ? s + 1 : s;
}

int tmpl_fn_printf(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct cursor cur = {args, n, 1};
	struct spec sp;

	if (args[0].kind != OPS_TMPL_STRING)
		return ops_tmpl_fail(call, "printf needs a format first");
	for (const char *s = args[0].u.str.s; *s != '\0';) {
		if (*s != '%') {
			ops_strbuf_addc(&b, *s++);
			continue;
		}
		s = read_spec(s + 1, &cur, &sp);
		if (sp.verb == '%')
			ops_strbuf_addc(&b, '%');
		else if (sp.verb == '\0')
			ops_strbuf_adds(&b, "%!(NOVERB)");
		else if (cur.at >= n)
			ops_strbuf_printf(&b, "%%!%c(MISSING)", sp.verb);
		else
			put_value(&sp, &args[cur.at++], &b);
	}
	for (size_t i = cur.at; i < n; i++) {
		ops_strbuf_printf(&b, i == cur.at ? "%%!(EXTRA %s=" : ", %s=", type_name(&args[i]));
		ops_tmpl_print(&args[i], &b);
	}
	if (cur.at < n)
		ops_strbuf_addc(&b, ')');
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}
