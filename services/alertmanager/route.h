/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Walks the routing tree and computes group labels. Pure functions over a configuration snapshot.
 */
#include "services/alertmanager/config.h"

enum {
	ALM_ROUTES_MAX = 256
};

/*
 * The routes that take an alert with these labels, in tree order: the deepest match of each branch,
 * siblings after a match only when it says continue. Returns the count (at least 1: the root), at
 * most max.
 */
size_t alm_route_match(const struct alm_route *root, const struct ops_labels *labels,
	const struct alm_route **ret, size_t max);
/* The labels that the route groups by, of these labels; absent ones are left out. Owned. */
struct ops_labels *alm_route_group_labels(
	const struct alm_route *r, const struct ops_labels *labels) OPS_MUST_CHECK;
/* Name of the time interval that mutes the route now (a mute interval it is in, or its active one
 * it is outside of), else NULL. */
const char *alm_route_muted_by(const struct alm_route *r, int64_t now_ms);
