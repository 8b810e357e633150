/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of strings while an expression is read. A set that grows too large becomes unknown and stays
 * so. */
#include "common/model/regex_syntax.h"

#include <string.h>

void ops_regex_set_add(struct ops_arena *a, struct ops_regex_set *s, const char *text, size_t len)
{
	if (!s->known)
		return;
	if (memchr(text, '\0', len) != NULL) {
		s->known = false;
		return;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap != 0 ? s->cap * 2 : 1;
		const char **items = ops_arena_array(a, const char *, cap);
		if (s->n != 0)
			memcpy(items, s->items, s->n * sizeof(*items));
		s->items = items;
		s->cap = cap;
	}
	s->items[s->n++] = ops_arena_strndup(a, text, len);
	s->bytes += len + 1;
}

void ops_regex_set_one(struct ops_arena *a, struct ops_regex_set *s, const char *text, size_t len)
{
	*s = (struct ops_regex_set){.known = true};
	ops_regex_set_add(a, s, text, len);
}

void ops_regex_set_union(
	struct ops_arena *a, struct ops_regex_set *to, const struct ops_regex_set *with)
{
	to->known = to->known && with->known;
	for (size_t i = 0; to->known && i < with->n; i++)
		ops_regex_set_add(a, to, with->items[i], strlen(with->items[i]));
}

void ops_regex_set_product(
	struct ops_arena *a, struct ops_regex_set *to, const struct ops_regex_set *by)
{
	if (!to->known || !by->known) {
		to->known = false;
		return;
	}
	if (by->n == 1 && by->items[0][0] == '\0')
		return;
	bool single = to->n == 1 && to->items[0][0] == '\0';
	if (single) {
		*to = *by;
		to->cap = to->n; /* the array is shared: the next addition copies it */
		return;
	}
	bool fits = to->n * by->n <= OPS_REGEX_PRODUCT_ITEMS &&
		    to->n * by->bytes + by->n * to->bytes <= OPS_REGEX_PRODUCT_BYTES;
	struct ops_regex_set out = {.known = fits};
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (size_t i = 0; fits && i < to->n; i++) {
		for (size_t j = 0; j < by->n; j++) {
			ops_strbuf_reset(&text);
			ops_strbuf_adds(&text, to->items[i]);
			ops_strbuf_adds(&text, by->items[j]);
			ops_regex_set_add(a, &out, ops_strbuf_text(&text), text.len);
		}
	}
	ops_strbuf_done(&text);
	*to = out;
}
