/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes are found by a hash of their bytes. Two that differ and have the same hash are not shared,
 * which costs memory and nothing else. The table lives as long as there is a shape in it.
 */
#include "services/collector/shape.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/map.h"

struct col_shape {
	uint64_t hash;
	size_t refs, nlines;
	struct col_line *lines;
	struct ops_strbuf prefixes;
	bool listed; /* others may find it */
};

static struct ops_map *shapes; /* hash -> listed shape */

static bool same(const struct col_shape *s, const struct col_line *lines, size_t nlines,
	const struct ops_strbuf *prefixes)
{
	return s->nlines == nlines && s->prefixes.len == prefixes->len &&
	       (nlines == 0 || memcmp(s->lines, lines, nlines * sizeof(*lines)) == 0) &&
	       memcmp(ops_strbuf_text(&s->prefixes), ops_strbuf_text(prefixes), prefixes->len) == 0;
}

static void shrink(struct col_shape *s)
{
	s->prefixes.data = ops_xrealloc(s->prefixes.data, s->prefixes.len + 1, 1);
	s->prefixes.data[s->prefixes.len] = '\0';
	s->prefixes.cap = s->prefixes.len + 1;
	if (s->nlines > 0) {
		s->lines = ops_xrealloc(s->lines, s->nlines, sizeof(*s->lines));
	}
}

struct col_shape *col_shape_share(
	struct col_line **lines, size_t nlines, struct ops_strbuf *prefixes)
{
	uint64_t hash = ops_hash64(ops_strbuf_text(prefixes), prefixes->len, nlines);
	if (nlines > 0) {
		hash = ops_hash64(*lines, nlines * sizeof(**lines), hash);
	}
	if (shapes == NULL) {
		shapes = ops_map_new();
	}
	struct col_shape *known = ops_map_get(shapes, &hash, sizeof(hash)), *s = known;
	if (known != NULL && same(known, *lines, nlines, prefixes)) {
		free(*lines);
		ops_strbuf_done(prefixes);
	} else {
		s = ops_xcalloc(1, sizeof(*s));
		s->hash = hash;
		s->nlines = nlines;
		s->lines = *lines;
		s->prefixes = *prefixes;
		shrink(s);
		s->listed = known == NULL;
		if (s->listed) {
			(void)ops_map_put(shapes, &hash, sizeof(hash), s);
		}
	}
	s->refs++;
	*lines = s->lines;
	*prefixes = s->prefixes;
	return s;
}

void col_shape_unref(struct col_shape *s)
{
	if (s == NULL || --s->refs > 0) {
		return;
	}
	if (s->listed) {
		(void)ops_map_remove(shapes, &s->hash, sizeof(s->hash));
	}
	free(s->lines);
	ops_strbuf_done(&s->prefixes);
	free(s);
	if (ops_map_count(shapes) == 0) {
		ops_map_free(shapes, NULL);
		shapes = NULL;
	}
}
