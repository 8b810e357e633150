/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which grammar a text is in cannot be seen from it, and some texts mean different things in the
 * two. As Alertmanager does by default since 0.27: the classic reading where there is one (that is
 * what existing files were written for), the newer one otherwise.
 */
#include "common/model/matcher.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/model/matcher_syntax.h"

enum {
	MAX_TEXT = 64 * 1024
};

static int parse_utf8_one(const struct ops_matcher_text *t)
{
	size_t before = t->out->n;
	int r = ops_matchers_parse_utf8(t);
	if (r == 0 && t->out->n != before + 1)
		r = ops_matcher_refuse(t, 0, "expected exactly one matcher");
	return r;
}

/* Tries the readers in order; the first one's error is reported. */
static int try_both(const struct ops_matcher_text *t, int (*first)(const struct ops_matcher_text *),
	int (*second)(const struct ops_matcher_text *))
{
	size_t before = t->out->n;
	int r = first(t);
	if (r == 0)
		return 0;
	ops_matchers_truncate(t->out, before);
	struct ops_matcher_text quiet = *t;
	quiet.err = NULL;
	if (second != NULL && second(&quiet) == 0)
		return 0;
	ops_matchers_truncate(t->out, before);
	return r;
}

static int parse_text(const struct ops_matcher_text *t, enum ops_matcher_syntax syntax, bool one)
{
	int (*classic)(const struct ops_matcher_text *) =
		one ? ops_matcher_parse_classic : ops_matchers_parse_classic;
	int (*utf8)(const struct ops_matcher_text *) =
		one ? parse_utf8_one : ops_matchers_parse_utf8;
	if (syntax == OPS_MATCHER_CLASSIC)
		return try_both(t, classic, NULL);
	if (syntax == OPS_MATCHER_UTF8)
		return try_both(t, utf8, NULL);
	bool braces = t->len > 0 && (t->text[0] == '{' || t->text[t->len - 1] == '}');
	if (one && braces)
		return ops_matcher_refuse(t, 0, "a single matcher has no braces");
	return try_both(t, classic, utf8);
}

static int parse(struct ops_matchers *ms, const struct ops_matchers_source *src, bool one,
	struct ops_error *err)
{
	if (src->len > MAX_TEXT)
		return ops_error_set_at(
			err, -EINVAL, NULL, 1, 1, "matchers are longer than %d bytes", MAX_TEXT);
	if (!ops_utf8_valid(src->text, src->len) || memchr(src->text, '\0', src->len) != NULL)
		return ops_error_set_at(err, -EINVAL, NULL, 1, 1, "matchers are not valid UTF-8");
	OPS_CLEANUP(ops_freep) char *text = ops_xstrndup(src->text, src->len);
	unsigned flags = ms->regex_flags;
	ms->regex_flags |= OPS_REGEX_NO_DOT_NEWLINE;
	struct ops_matcher_text t = {.text = text, .len = src->len, .out = ms, .err = err};
	int r = parse_text(&t, src->syntax, one);
	ms->regex_flags = flags;
	return r;
}

int ops_matchers_parse_as(
	struct ops_matchers *ms, const struct ops_matchers_source *src, struct ops_error *err)
{
	return parse(ms, src, false, err);
}

int ops_matcher_parse_as(
	struct ops_matchers *ms, const struct ops_matchers_source *src, struct ops_error *err)
{
	return parse(ms, src, true, err);
}

int ops_matchers_parse(struct ops_matchers *ms, const char *text, size_t len, struct ops_error *err)
{
	return parse(
		ms, &(struct ops_matchers_source){text, len, OPS_MATCHER_FALLBACK}, false, err);
}
