/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match and reReplaceAll search anywhere in the text, while common/model/regex is anchored for
 * label matchers; so the engine is called here directly, with the same dialect check and limits.
 * Patterns are literals of templates: compiled per call, as notifications are few.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/model/regex.h"
#include "common/tmpl/internal.h"

struct search {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static void search_done(struct search *s)
{
	pcre2_match_context_free(s->limits);
	pcre2_match_data_free(s->data);
	pcre2_code_free(s->code);
}

static int search_init(
	struct ops_tmpl_call *call, const char *pattern, size_t len, struct search *s)
{
	struct ops_error err;
	int code = 0;
	PCRE2_SIZE at = 0;

	if (ops_regex_check(pattern, len, &err) != 0)
		return ops_tmpl_fail(call, "%s", err.message);
	s->code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF, &code, &at, NULL);
	if (s->code == NULL)
		return ops_tmpl_fail(
			call, "regular expression is malformed at column %zu", (size_t)at + 1);
	s->data = pcre2_match_data_create_from_pattern(s->code, NULL);
	s->limits = pcre2_match_context_create(NULL);
	ops_assert(s->data != NULL && s->limits != NULL);
	(void)pcre2_set_match_limit(s->limits, 1000000);
	(void)pcre2_set_heap_limit(s->limits, 8192);
	return 0;
}

static int all_strings(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (args[i].kind != OPS_TMPL_STRING)
			return ops_tmpl_fail(call, "wrong type for value; expected a string");
	}
	return 0;
}

int tmpl_fn_match(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct search s OPS_CLEANUP(search_done) = {0};
	int rc = all_strings(call, args, n);
	if (rc == 0)
		rc = search_init(call, args[0].u.str.s, args[0].u.str.len, &s);
	if (rc != 0)
		return rc;
	int hits = pcre2_match(
		s.code, (PCRE2_SPTR)args[1].u.str.s, args[1].u.str.len, 0, 0, s.data, s.limits);
	*ret = ops_tmpl_bool(hits > 0);
	return 0;
}

static void add_group(
	const struct search *s, const char *text, size_t group, struct ops_strbuf *out)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
	if (group < pcre2_get_ovector_count(s->data) && at[2 * group] != PCRE2_UNSET)
		ops_strbuf_add(out, text + at[2 * group], at[2 * group + 1] - at[2 * group]);
}

/* Name after '$': digits, or the longest run of word characters, or in braces. */
static size_t read_reference(const char *s, const char **ret_name, size_t *ret_len)
{
	bool brace = s[0] == '{';
	const char *name = s + brace;
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	if (n == 0 || (brace && name[n] != '}'))
		return 0;
	*ret_name = name;
	*ret_len = n;
	return n + (brace ? 2 : 0);
}

static void add_reference(const struct search *s, const char *text, const char *name, size_t len,
	struct ops_strbuf *out)
{
	char buf[64];
	size_t group = 0, i = 0;

	for (; i < len && name[i] >= '0' && name[i] <= '9' && group < 10000; i++)
		group = group * 10 + (size_t)(name[i] - '0');
	if (i < len) {
		if (len >= sizeof buf)
			return;
		memcpy(buf, name, len);
		buf[len] = '\0';
		int number = pcre2_substring_number_from_name(s->code, (PCRE2_SPTR)buf);
		if (number <= 0)
			return;
		group = (size_t)number;
	}
	add_group(s, text, group, out);
}

static void add_replacement(
	const struct search *s, const char *text, const char *with, struct ops_strbuf *out)
{
	for (const char *p = with; *p != '\0';) {
		const char *name = NULL;
		size_t len = 0, used = p[0] == '$' ? read_reference(p + 1, &name, &len) : 0;
		if (used > 0) {
			add_reference(s, text, name, len, out);
			p += used + 1;
			continue;
		}
		ops_strbuf_addc(out, *p);
		p += p[0] == '$' && p[1] == '$' ? 2 : 1;
	}
}

int tmpl_fn_replace(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct search s OPS_CLEANUP(search_done) = {0};
	struct ops_strbuf out OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	int rc = all_strings(call, args, n);
	if (rc == 0)
		rc = search_init(call, args[0].u.str.s, args[0].u.str.len, &s);
	if (rc != 0)
		return rc;
	const char *text = args[2].u.str.s;
	size_t len = args[2].u.str.len, at = 0;
	while (at <= len && out.len < TMPL_MAX_TEXT) {
		if (pcre2_match(s.code, (PCRE2_SPTR)text, len, at, 0, s.data, s.limits) <= 0)
			break;
		const PCRE2_SIZE *hit = pcre2_get_ovector_pointer(s.data);
		ops_strbuf_add(&out, text + at, hit[0] - at);
		add_replacement(&s, text, args[1].u.str.s, &out);
		at = hit[1];
		if (hit[0] == hit[1]) { /* an empty match: go on behind the next character */
			size_t step = at < len;
			while (at + step < len && ((unsigned char)text[at + step] & 0xc0) == 0x80)
				step++;
			ops_strbuf_add(&out, text + at, step);
			at += step != 0 ? step : 1;
		}
	}
	if (at < len)
		ops_strbuf_add(&out, text + at, len - at);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&out), out.len);
	return 0;
}
