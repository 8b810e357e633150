/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer's hand on its input: characters in, tokens and errors out. */
#include "common/promql/lexer.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/text.h"

uint32_t ops_promql_lex_peek(const struct ops_promql_lexer *l, size_t *ret_width)
{
	*ret_width = 0;
	if (l->pos >= l->len) {
		return OPS_PROMQL_RUNE_END;
	}
	unsigned char c = (unsigned char)l->input[l->pos];
	*ret_width = 1;
	if (c < 0x80) {
		return c;
	}
	uint32_t code = 0;
	size_t width = ops_utf8_decode(l->input + l->pos, l->len - l->pos, &code);
	if (width == 0) {
		return OPS_PROMQL_RUNE_BAD;
	}
	*ret_width = width;
	return code;
}

uint32_t ops_promql_lex_next(struct ops_promql_lexer *l)
{
	size_t width = 0;
	uint32_t code = ops_promql_lex_peek(l, &width);
	l->pos += (uint32_t)width;
	return code;
}

bool ops_promql_lex_at(const struct ops_promql_lexer *l, char c)
{
	return l->pos < l->len && l->input[l->pos] == c;
}

void ops_promql_lex_emit(
	struct ops_promql_lexer *l, enum ops_promql_token_type type, struct ops_promql_token *ret)
{
	*ret = (struct ops_promql_token){.type = type, .start = l->start, .end = l->pos};
	l->start = l->pos;
}

void ops_promql_lex_error(
	struct ops_promql_lexer *l, struct ops_promql_token *ret, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*ret = (struct ops_promql_token){.type = TOK_ERROR,
		.start = l->start,
		.end = l->len,
		.error = ops_arena_strdup(l->arena, text)};
	l->mode = OPS_PROMQL_LEX_DONE;
}

void ops_promql_lex_skip_spaces(struct ops_promql_lexer *l)
{
	while (l->pos < l->len && ops_promql_is_space((unsigned char)l->input[l->pos])) {
		l->pos++;
	}
	l->start = l->pos;
}
