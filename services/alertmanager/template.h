/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Notification templates: the set with the default templates, Alertmanager's data model (.Receiver,
 * .Status, .Alerts, .GroupLabels, .CommonLabels, .CommonAnnotations, .ExternalURL) as template
 * values.
 */
#include "common/base/error.h"
#include "common/tmpl/tmpl.h"

struct alm_notification;
struct ops_labels;

struct ops_tmpl_set *alm_template_set_new(void); /* with the default templates */
/* The data of a notification; borrows its strings. */
struct ops_tmpl_value alm_template_data(struct ops_arena *a, const struct alm_notification *n);
/* A label set as a KV: map of strings with SortedPairs, Names, Values, Remove. NULL gives an empty
 * one. */
struct ops_tmpl_value alm_template_kv(struct ops_arena *a, const struct ops_labels *ls);

/*
 * Expands texts of one notification. The first error is kept and later calls return "": the caller
 * builds its whole payload and asks once.
 */
enum {
	ALM_ROUTE_LABELS_DEPTH = 8
};
struct alm_expander {
	struct ops_arena *arena;
	struct ops_tmpl_set *set;
	struct ops_tmpl_value data;
	struct ops_error err;
	bool failed;
	const char *route_labels[ALM_ROUTE_LABELS_DEPTH]; /* being expanded: a cycle is an error */
	size_t depth;
};
void alm_expander_init(struct alm_expander *x, struct ops_arena *a, struct ops_tmpl_set *set,
	const struct alm_notification *n);
/* Methods of the list of alerts: Firing, Resolved. */
extern const struct ops_tmpl_func alm_template_alerts_methods[];
const char *alm_expand(struct alm_expander *x, const char *text); /* in the arena; NULL gives "" */
const char *alm_expand_html(struct alm_expander *x, const char *text);
