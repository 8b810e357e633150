/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides are sorted, so merging is one walk and one allocation for the set. Only when a label
 * was renamed is the result sorted again. Where each label goes depends on names alone: lines whose
 * labels have the names of the line before are not compared with the target's again.
 */
#include "services/collector/label_merge.h"

#include <string.h>

void col_merge_init(struct col_merge *m, const struct col_series_rules *rules)
{
	m->cap = (size_t)OPS_EXPOSITION_LABELS_MAX + 1 + rules->labels->n;
	m->exposed = ops_xcalloc(m->cap, sizeof(*m->exposed));
	m->merged = ops_xcalloc(m->cap, sizeof(*m->merged));
	m->places = ops_xcalloc(m->cap, sizeof(*m->places));
	m->serial = 0;
	ops_arena_init(&m->names);
}

void col_merge_done(struct col_merge *m)
{
	free(m->exposed);
	free(m->merged);
	free(m->places);
	ops_arena_done(&m->names);
}

/* Names are never empty, and their first bytes mostly differ: a call is saved. */
static inline int compare(const struct ops_label *a, const struct ops_label *b)
{
	if (a->name[0] != b->name[0]) {
		return (unsigned char)a->name[0] < (unsigned char)b->name[0] ? -1 : 1;
	}
	int c = memcmp(a->name, b->name, OPS_MIN(a->name_len, b->name_len));
	return c != 0 ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

static int compare_void(const void *a, const void *b)
{
	return compare(a, b);
}

/* The exposed labels with __name__ in its place. */
static size_t expose(struct col_merge *m, const struct ops_exposition *p)
{
	const struct ops_label name = {.name = OPS_LABEL_NAME,
		.value = p->name.data,
		.name_len = sizeof(OPS_LABEL_NAME) - 1,
		.value_len = (uint32_t)p->name.len};
	size_t n = 0;
	bool placed = false;
	for (size_t i = 0; i < p->nlabels; i++) {
		if (!placed && compare(&name, &p->labels[i]) < 0) {
			m->exposed[n++] = name;
			placed = true;
		}
		m->exposed[n++] = p->labels[i];
	}
	if (!placed) {
		m->exposed[n++] = name;
	}
	return n;
}

static bool has_name(const struct ops_label *items, size_t n, const struct ops_label *wanted)
{
	for (size_t i = 0; i < n; i++) {
		if (compare(&items[i], wanted) == 0) {
			return true;
		}
	}
	return false;
}

static void rename_label(struct col_merge *m, const struct col_series_rules *rules,
	struct ops_label *label, const size_t counts[2])
{
	do {
		char *name = ops_arena_printf(
			&m->names, "exported_%.*s", (int)label->name_len, label->name);
		label->name = name;
		label->name_len = (uint32_t)strlen(name);
	} while (has_name(rules->labels->items, rules->labels->n, label) ||
		 has_name(m->exposed, counts[0], label) || has_name(m->merged, counts[1], label));
}

/* The set of the line before with other values. */
static struct ops_labels *build_again(struct col_merge *m, const struct ops_exposition *p)
{
	const uint32_t *place = m->places;
	for (size_t i = 0; i < p->nlabels; i++) {
		struct ops_label *to = &m->merged[*place++];
		to->value = p->labels[i].value;
		to->value_len = p->labels[i].value_len;
	}
	m->merged[*place].value = p->name.data;
	m->merged[*place].value_len = (uint32_t)p->name.len;
	return ops_labels_from_sorted(m->merged, m->n);
}

/* Where the labels went, then the name; names are kept, since the line's may be gone. */
static void remember(struct col_merge *m, const struct ops_exposition *p)
{
	size_t i = 0;
	for (uint32_t j = 0; j < m->n; j++) {
		const struct ops_label *l = &m->merged[j];
		if (i < p->nlabels && l->name == p->labels[i].name) {
			m->places[i++] = j;
		} else if (l->value == p->name.data) {
			m->places[p->nlabels] = j;
		}
	}
	m->serial = p->names_serial;
}

struct ops_labels *col_merge_build(
	struct col_merge *m, const struct ops_exposition *p, const struct col_series_rules *rules)
{
	if (m->serial == p->names_serial) {
		return build_again(m, p);
	}
	size_t nexposed = expose(m, p), n = 0, i = 0, j = 0;
	const struct ops_labels *target = rules->labels;
	bool met = false, renamed = false;
	while (i < nexposed || j < target->n) {
		int c = i == nexposed ? 1 : j == target->n ? -1 : 0;
		if (c == 0) {
			c = compare(&m->exposed[i], &target->items[j]);
		}
		if (c < 0) {
			m->merged[n++] = m->exposed[i++];
			continue;
		}
		if (c > 0) {
			m->merged[n++] = target->items[j++];
			continue;
		}
		met = true;
		if (!rules->honor_labels) {
			m->merged[n++] = target->items[j];
		}
		if (rules->honor_labels || m->exposed[i].value_len > 0) {
			m->merged[n++] = m->exposed[i];
		}
		if (!rules->honor_labels && m->exposed[i].value_len > 0) {
			const size_t counts[2] = {nexposed, n - 1};
			rename_label(m, rules, &m->merged[n - 1], counts);
			renamed = true;
		}
		i++;
		j++;
	}
	if (renamed) {
		qsort(m->merged, n, sizeof(*m->merged), compare_void);
	}
	m->n = n;
	m->serial = 0;
	struct ops_labels *ls = ops_labels_from_sorted(m->merged, n);
	if (!met && p->pattern.n > 0) {
		remember(m, p);
	}
	ops_arena_reset(&m->names);
	return ls;
}
