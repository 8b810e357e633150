/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets and parsed texts: who owns which arena. Named templates live as long as the set; a replaced
 * definition stays in the arena until then, which is bounded by the size of the files loaded.
 */
#include "common/tmpl/tmpl.h"

#include "common/tmpl/internal.h"

struct ops_tmpl_set *ops_tmpl_set_new(const struct ops_tmpl_config *cfg)
{
	struct ops_tmpl_set *set = ops_xcalloc(1, sizeof *set);
	ops_arena_init(&set->arena);
	if (cfg != NULL)
		set->cfg = *cfg;
	set->named = ops_map_new();
	return set;
}

void ops_tmpl_set_free(struct ops_tmpl_set *set)
{
	if (set == NULL)
		return;
	ops_map_free(set->named, NULL);
	ops_arena_done(&set->arena);
	free(set);
}

bool ops_tmpl_set_has(const struct ops_tmpl_set *set, const char *name)
{
	return ops_map_gets(set->named, name) != NULL;
}

int ops_tmpl_set_add(struct ops_tmpl_set *set, const char *name, const char *text, size_t len,
	struct ops_error *err)
{
	struct tmpl_node *nodes = NULL;
	return tmpl_parse_text(set, &set->arena, name, text, len, &nodes, err);
}

int ops_tmpl_parse(struct ops_tmpl_set *set, const char *name, const char *text, size_t len,
	struct ops_tmpl **ret, struct ops_error *err)
{
	struct ops_tmpl *t = ops_xcalloc(1, sizeof *t);

	ops_arena_init(&t->arena);
	t->set = set;
	t->body.file = ops_arena_strdup(&t->arena, name);
	int rc = tmpl_parse_text(set, &t->arena, name, text, len, &t->body.nodes, err);
	if (rc != 0) {
		ops_tmpl_free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void ops_tmpl_free(struct ops_tmpl *t)
{
	if (t == NULL)
		return;
	ops_arena_done(&t->arena);
	free(t);
}
