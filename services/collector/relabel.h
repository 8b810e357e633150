/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Relabelling: lists of rules that rewrite a label set or drop its owner, as Prometheus defines
 * them. Used for targets (relabel_configs) and for series (metric_relabel_configs). A list belongs
 * to the configuration's arena; only its regular expressions need col_relabel_done().
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/model/labels.h"

enum col_relabel_action {
	COL_RELABEL_REPLACE,
	COL_RELABEL_KEEP,
	COL_RELABEL_DROP,
	COL_RELABEL_KEEPEQUAL,
	COL_RELABEL_DROPEQUAL,
	COL_RELABEL_HASHMOD,
	COL_RELABEL_LABELMAP,
	COL_RELABEL_LABELDROP,
	COL_RELABEL_LABELKEEP,
	COL_RELABEL_LOWERCASE,
	COL_RELABEL_UPPERCASE
};

struct ops_regex;

struct col_relabel_rule {
	enum col_relabel_action action;
	const char *const *source_labels;
	size_t nsource;
	const char *separator, *target_label, *replacement;
	struct ops_regex *regex;
	uint64_t modulus;
};

struct col_relabel {
	struct col_relabel_rule *rules;
	size_t n;
};

/*
 * Decodes a list of rules; node may be NULL or null (no rules). legacy_names: label names must be
 * ASCII. On failure nothing is left to release.
 */
int col_relabel_load(struct ops_arena *a, const struct ops_conf_node *node, bool legacy_names,
	struct col_relabel *ret, struct ops_error *err) OPS_MUST_CHECK;
void col_relabel_done(struct col_relabel *r);
/* Rewrites labels; false: drop. */
bool col_relabel_apply(const struct col_relabel *r, struct ops_labels_builder *labels);
/* Whether text may stand as a target_label with references to groups, under ASCII names. */
bool col_relabel_target_legacy(const char *text);
