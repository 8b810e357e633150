/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depth first: a node that matches asks its children; only when none of them takes the alert it
 * takes it itself. An absent label has the value "", so matchers on labels that an alert lacks are
 * well defined.
 */
#include "services/alertmanager/route.h"

#include <string.h>

struct hits {
	const struct alm_route **items;
	size_t n, max;
};

static bool walk(const struct alm_route *r, const struct ops_labels *labels, struct hits *out)
{
	size_t before = out->n;

	if (!ops_matchers_match(&r->matchers, labels))
		return false;
	for (size_t i = 0; i < r->nchildren; i++) {
		if (walk(&r->children[i], labels, out) && !r->children[i].continues)
			break;
	}
	if (out->n == before && out->n < out->max)
		out->items[out->n++] = r;
	return true;
}

size_t alm_route_match(const struct alm_route *root, const struct ops_labels *labels,
	const struct alm_route **ret, size_t max)
{
	struct hits out = {ret, 0, max};
	(void)walk(root, labels, &out);
	return out.n;
}

struct ops_labels *alm_route_group_labels(
	const struct alm_route *r, const struct ops_labels *labels)
{
	struct ops_labels_builder b;

	if (r->group_by_all)
		ops_labels_builder_from(&b, labels);
	else
		ops_labels_builder_init(&b);
	for (size_t i = 0; !r->group_by_all && i < r->ngroup_by; i++)
		ops_labels_builder_set(&b, r->group_by[i], ops_labels_get(labels, r->group_by[i]));
	struct ops_labels *group = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return group;
}

const char *alm_route_muted_by(const struct alm_route *r, int64_t now_ms)
{
	for (size_t i = 0; i < r->nmute; i++) {
		if (alm_intervals_contain(r->mute[i], now_ms))
			return r->mute[i]->name;
	}
	for (size_t i = 0; i < r->nactive; i++) {
		if (alm_intervals_contain(r->active[i], now_ms))
			return NULL;
	}
	return r->nactive > 0 ? r->active[0]->name : NULL;
}
