/* SPDX-License-Identifier: Apache-2.0 */
/* What the layouts say about metric families. The last one to say something wins. */
#include <string.h>

#include "services/detector/store/state.h"

static const char *put_text(char **at, const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;
	char *to = *at;
	memcpy(to, s != NULL ? s : "", len);
	to[len] = '\0';
	*at += len + 1;
	return to;
}

static void describe(struct det_store *s, const struct ops_layout_family *f)
{
	size_t help = f->help != NULL ? strlen(f->help) : 0;
	size_t unit = f->unit != NULL ? strlen(f->unit) : 0;
	struct det_metadata *m = ops_xcalloc(1, sizeof(*m) + strlen(f->name) + help + unit + 3);
	char *text = (char *)(m + 1);
	m->name = put_text(&text, f->name);
	m->help = put_text(&text, f->help);
	m->unit = put_text(&text, f->unit);
	m->type = f->type;
	struct det_metadata *old = ops_map_puts(s->metadata, f->name, m);
	bool news = old == NULL || old->type != m->type || strcmp(old->help, m->help) != 0 ||
		    strcmp(old->unit, m->unit) != 0;
	if (news) {
		det_define_family(s, m);
	}
	if (old != NULL) {
		det_store_grave(s, free, old);
	}
}

void det_store_learn(struct det_store *s, const struct ops_layout *layout)
{
	for (size_t i = 0; i < layout->nfamilies; i++) {
		describe(s, &layout->families[i]);
	}
}

void det_store_describe(struct det_store *s, const struct ops_layout_family *family)
{
	det_write_lock(s);
	describe(s, family);
	det_write_unlock(s);
}

const struct det_metadata *det_store_metadata(struct det_store *s, const char *family)
{
	det_read_lock(s);
	const struct det_metadata *m = ops_map_gets(s->metadata, family);
	det_read_unlock(s);
	return m;
}

static int compare_metadata(const void *a, const void *b)
{
	return strcmp((*(const struct det_metadata *const *)a)->name,
		(*(const struct det_metadata *const *)b)->name);
}

void det_store_metadata_all(struct det_store *s, struct ops_arena *arena,
	const struct det_metadata *const **ret, size_t *ret_n)
{
	det_read_lock(s);
	const struct det_metadata **list =
		ops_arena_array(arena, const struct det_metadata *, ops_map_count(s->metadata) + 1);
	size_t n = 0;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->metadata, &at, &e);) {
		list[n++] = e.value;
	}
	det_read_unlock(s);
	qsort(list, n, sizeof(list[0]), compare_metadata);
	*ret = list;
	*ret_n = n;
}
