/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Relabelling: lists of rules that rewrite a label set or drop its owner, as Prometheus defines
 * them. Used for targets (relabel_configs) and for series (metric_relabel_configs). A list belongs
 * to the configuration's arena; only its regular expressions need ops_relabel_done().
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/model/labels.h"

enum ops_relabel_action {
	OPS_RELABEL_REPLACE,
	OPS_RELABEL_KEEP,
	OPS_RELABEL_DROP,
	OPS_RELABEL_KEEPEQUAL,
	OPS_RELABEL_DROPEQUAL,
	OPS_RELABEL_HASHMOD,
	OPS_RELABEL_LABELMAP,
	OPS_RELABEL_LABELDROP,
	OPS_RELABEL_LABELKEEP,
	OPS_RELABEL_LOWERCASE,
	OPS_RELABEL_UPPERCASE
};

struct ops_regex;

struct ops_relabel_rule {
	enum ops_relabel_action action;
	const char *const *source_labels;
	size_t nsource;
	const char *separator, *target_label, *replacement;
	struct ops_regex *regex;
	uint64_t modulus;
};

struct ops_relabel {
	struct ops_relabel_rule *rules;
	size_t n;
};

/*
 * Decodes a list of rules; node may be NULL or null (no rules). legacy_names: label names must be
 * ASCII. On failure nothing is left to release.
 */
int ops_relabel_load(struct ops_arena *a, const struct ops_conf_node *node, bool legacy_names,
	struct ops_relabel *ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_relabel_done(struct ops_relabel *r);
/* Rewrites labels; false: drop. */
bool ops_relabel_apply(const struct ops_relabel *r, struct ops_labels_builder *labels);
/* Whether text may stand as a target_label with references to groups, under ASCII names. */
bool ops_relabel_target_legacy(const char *text);
