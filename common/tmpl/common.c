/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that Prometheus' rule templates and Alertmanager's notification templates share. Case
 * conversion is for ASCII: label values and severities are, and a locale must not change a message.
 */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/internal.h"

#define FN(name)                                                                                   \
	static int name(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,   \
		struct ops_tmpl_value *ret)

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static char *copy_text(struct ops_tmpl_call *call, const struct ops_tmpl_value *v, size_t *ret_len)
{
	const char *s = ops_tmpl_text(ops_tmpl_arena(call), v, ret_len);
	return ops_arena_strndup(ops_tmpl_arena(call), s, *ret_len);
}

static struct ops_tmpl_value text_value(const char *s, size_t len)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_STRING, .u.str = {s, len}};
}

FN(fn_upper)
{
	size_t len = 0;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	for (size_t i = 0; i < len; i++)
		s[i] = upper(s[i]);
	*ret = text_value(s, len);
	return 0;
}

FN(fn_lower)
{
	size_t len = 0;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	for (size_t i = 0; i < len; i++)
		s[i] = lower(s[i]);
	*ret = text_value(s, len);
	return 0;
}

FN(fn_title)
{
	size_t len = 0;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	for (size_t i = 0; i < len; i++) {
		bool inside = i > 0 && (is_alpha(s[i - 1]) || s[i - 1] == '\'' || s[i - 1] == '_' ||
					       (s[i - 1] >= '0' && s[i - 1] <= '9'));
		s[i] = inside ? lower(s[i]) : upper(s[i]);
	}
	*ret = text_value(s, len);
	return 0;
}

FN(fn_trim_space)
{
	size_t len = 0;
	(void)n;
	const char *s = copy_text(call, &args[0], &len);
	while (len > 0 && strchr(" \t\r\n\v\f", s[len - 1]) != NULL)
		len--;
	size_t skip = strspn(s, " \t\r\n\v\f");
	skip = OPS_MIN(skip, len);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), s + skip, len - skip);
	return 0;
}

FN(fn_join)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)n;
	if (args[0].kind != OPS_TMPL_STRING || args[1].kind != OPS_TMPL_LIST)
		return ops_tmpl_fail(call, "join needs a separator and a list");
	for (size_t i = 0; i < args[1].u.list->n; i++) {
		if (i > 0)
			ops_strbuf_add(&b, args[0].u.str.s, args[0].u.str.len);
		ops_tmpl_print(&args[1].u.list->items[i], &b);
	}
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

FN(fn_list)
{
	*ret = ops_tmpl_list(ops_tmpl_arena(call));
	for (size_t i = 0; i < n; i++)
		ops_tmpl_list_add(ops_tmpl_arena(call), ret->u.list, args[i]);
	return 0;
}

FN(fn_append)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	if (args[0].kind != OPS_TMPL_LIST && args[0].kind != OPS_TMPL_NIL)
		return ops_tmpl_fail(call, "append needs a list first");
	*ret = ops_tmpl_list(a);
	for (size_t i = 0; args[0].kind == OPS_TMPL_LIST && i < args[0].u.list->n; i++)
		ops_tmpl_list_add(a, ret->u.list, args[0].u.list->items[i]);
	for (size_t i = 1; i < n; i++)
		ops_tmpl_list_add(a, ret->u.list, args[i]);
	return 0;
}

FN(fn_string_slice)
{
	for (size_t i = 0; i < n; i++) {
		if (args[i].kind != OPS_TMPL_STRING)
			return ops_tmpl_fail(call, "stringSlice takes strings");
	}
	return fn_list(call, args, n, ret);
}

FN(fn_dict)
{
	struct ops_arena *a = ops_tmpl_arena(call);
	if (n % 2 != 0)
		return ops_tmpl_fail(call, "dict needs pairs of key and value");
	*ret = ops_tmpl_map(a);
	for (size_t i = 0; i < n; i += 2) {
		if (args[i].kind != OPS_TMPL_STRING)
			return ops_tmpl_fail(call, "dict keys must be strings");
		ops_tmpl_map_set(a, ret->u.map, args[i].u.str.s, args[i + 1]);
	}
	return 0;
}

FN(fn_safe)
{
	size_t len = 0;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	*ret = text_value(s, len);
	ret->safe = true;
	return 0;
}

FN(fn_to_json)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)n;
	ops_tmpl_json(&args[0], &b);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

FN(fn_date)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)n;
	if (args[0].kind != OPS_TMPL_STRING || args[1].kind != OPS_TMPL_TIME)
		return ops_tmpl_fail(call, "date needs a layout and a time");
	ops_tmpl_time_format(&args[1].u.time, args[0].u.str.s, &b);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

FN(fn_to_date)
{
	(void)n;
	if (args[0].kind != OPS_TMPL_STRING || args[1].kind != OPS_TMPL_STRING)
		return ops_tmpl_fail(call, "toDate needs a layout and a text");
	*ret = ops_tmpl_time(OPS_TMPL_TIME_ZERO);
	if (ops_tmpl_time_parse(args[0].u.str.s, args[1].u.str.s, &ret->u.time) != 0)
		*ret = ops_tmpl_time(OPS_TMPL_TIME_ZERO);
	return 0;
}

FN(fn_must_to_date)
{
	(void)n;
	if (args[0].kind != OPS_TMPL_STRING || args[1].kind != OPS_TMPL_STRING)
		return ops_tmpl_fail(call, "mustToDate needs a layout and a text");
	*ret = ops_tmpl_time(OPS_TMPL_TIME_ZERO);
	if (ops_tmpl_time_parse(args[0].u.str.s, args[1].u.str.s, &ret->u.time) != 0)
		return ops_tmpl_fail(call, "mustToDate cannot read \"%.60s\"", args[1].u.str.s);
	return 0;
}

FN(fn_now)
{
	(void)call, (void)args, (void)n;
	*ret = ops_tmpl_time(ops_now_ms());
	return 0;
}

static void swap_alphabet(char *s, bool to_url)
{
	const char *from = to_url ? "+/" : "-_", *to = to_url ? "-_" : "+/";
	for (; *s != '\0'; s++) {
		const char *hit = strchr(from, *s);
		if (hit != NULL)
			*s = to[hit - from];
	}
}

/* Both use the URL-safe alphabet of RFC 4648. */
FN(fn_base64encode)
{
	size_t len = 0;
	(void)n;
	const char *s = ops_tmpl_text(ops_tmpl_arena(call), &args[0], &len);
	char *text OPS_CLEANUP(ops_freep) = ops_base64_encode(s, len);
	swap_alphabet(text, true);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), text, strlen(text));
	return 0;
}

FN(fn_base64decode)
{
	size_t len = 0, out_len = 0;
	void *data OPS_CLEANUP(ops_freep) = NULL;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	swap_alphabet(s, false);
	if (ops_base64_decode(s, len, &data, &out_len) != 0)
		return ops_tmpl_fail(call, "base64decode: input is not base64");
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), data, out_len);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

FN(fn_url_unescape)
{
	size_t len = 0, out = 0;
	(void)n;
	char *s = copy_text(call, &args[0], &len);
	for (size_t i = 0; i < len; i++) {
		char c = s[i] == '+' ? ' ' : s[i];
		if (s[i] == '%') {
			int hi = i + 2 < len ? hex_digit(s[i + 1]) : -1;
			int lo = hi >= 0 ? hex_digit(s[i + 2]) : -1;
			if (lo < 0)
				return ops_tmpl_fail(call, "urlUnescape: malformed escape");
			c = (char)(unsigned char)(hi * 16 + lo);
			i += 2;
		}
		s[out++] = c;
	}
	s[out] = '\0';
	*ret = text_value(s, out);
	return 0;
}

const struct ops_tmpl_func ops_tmpl_common_funcs[] = {
	{"toUpper", fn_upper, 1, 1},
	{"toLower", fn_lower, 1, 1},
	{"title", fn_title, 1, 1},
	{"trimSpace", fn_trim_space, 1, 1},
	{"join", fn_join, 2, 2},
	{"match", tmpl_fn_match, 2, 2},
	{"reReplaceAll", tmpl_fn_replace, 3, 3},
	{"stringSlice", fn_string_slice, 0, -1},
	{"safeHtml", fn_safe, 1, 1},
	{"safeUrl", fn_safe, 1, 1},
	{"toJson", fn_to_json, 1, 1},
	{"list", fn_list, 0, -1},
	{"append", fn_append, 1, -1},
	{"dict", fn_dict, 0, -1},
	{"date", fn_date, 2, 2},
	{"toDate", fn_to_date, 2, 2},
	{"mustToDate", fn_must_to_date, 2, 2},
	{"now", fn_now, 0, 0},
	{"base64encode", fn_base64encode, 1, 1},
	{"base64decode", fn_base64decode, 1, 1},
	{"urlUnescape", fn_url_unescape, 1, 1},
	{NULL, NULL, 0, 0},
};
