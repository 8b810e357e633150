/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a job's targets come from: static_configs, and file_sd_configs with the files' own form,
 * which is that of static_configs.
 */
#include "services/collector/config_job.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"

int col_config_strings(struct ops_arena *a, const struct ops_conf_node *node, const char *what,
	struct ops_conf_strings *ret, struct ops_error *err)
{
	*ret = (struct ops_conf_strings){NULL, 0};
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(node, err, "%s must be a list", what);
	}
	ret->items = ops_arena_array(a, const char *, node->n);
	for (size_t i = 0; i < node->n; i++) {
		int r = ops_conf_string(node->items[i], what, &ret->items[i], err);
		if (r != 0) {
			return r;
		}
		ret->n++;
	}
	return 0;
}

static int group_labels(
	const struct ops_conf_node *node, struct ops_labels **ret, struct ops_error *err)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	int r = 0;
	if (!ops_conf_is_null(node) && node->type != OPS_CONF_MAPPING) {
		r = ops_conf_error(node, err, "labels must be a mapping");
	}
	for (size_t i = 0; r == 0 && node != NULL && i < node->n; i++) {
		const struct ops_conf_node *name = node->keys[i], *value = node->items[i];
		const char *text = NULL;
		r = ops_conf_string(value, name->text, &text, err);
		if (r == 0 && (!ops_label_name_valid(name->text, name->len) ||
				      !ops_utf8_valid(text, strlen(text)))) {
			r = ops_conf_error(name, err, "\"%s\" is not a label name", name->text);
		}
		if (r == 0) {
			ops_labels_builder_set(&b, name->text, text);
		}
	}
	if (r == 0) {
		*ret = ops_labels_builder_build(&b);
	}
	ops_labels_builder_done(&b);
	return r;
}

int col_group_load(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_static_group *ret, struct ops_error *err)
{
	struct written_group {
		const struct ops_conf_node *targets, *labels;
	} w = {NULL, NULL};
	static const struct ops_conf_key group_keys[] = {
		{.name = "targets",
			.kind = OPS_CONF_K_NODE,
			.offset = offsetof(struct written_group, targets)},
		{.name = "labels",
			.kind = OPS_CONF_K_NODE,
			.offset = offsetof(struct written_group, labels)},
		OPS_CONF_END,
	};
	struct ops_conf_strings targets = {NULL, 0};
	int r = ops_conf_decode(a, node, group_keys, &w, NULL, err);
	if (r == 0) {
		r = col_config_strings(a, w.targets, "targets", &targets, err);
	}
	if (r == 0) {
		r = group_labels(w.labels, &ret->labels, err);
	}
	if (r == 0) {
		ret->targets = targets.items;
		ret->ntargets = targets.n;
	}
	return r;
}

int col_job_load_statics(struct ops_arena *a, const struct ops_conf_node *node, struct col_job *job,
	struct ops_error *err)
{
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(node, err, "static_configs must be a list");
	}
	struct col_static_group *groups = ops_arena_array(a, struct col_static_group, node->n);
	job->groups = groups;
	for (size_t i = 0; i < node->n; i++) {
		int r = col_group_load(a, node->items[i], &groups[i], err);
		if (r != 0) {
			return r;
		}
		job->ngroups++;
	}
	return 0;
}

static int load_file_sd(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_file_sd *ret, struct ops_error *err)
{
	struct written_file_sd {
		struct ops_conf_strings files;
		int64_t refresh_ms;
	} w = {{NULL, 0}, 0};
	static const struct ops_conf_key file_sd_keys[] = {
		{.name = "files",
			.kind = OPS_CONF_K_PATHS,
			.offset = offsetof(struct written_file_sd, files),
			.flags = OPS_CONF_REQUIRED},
		{.name = "refresh_interval",
			.kind = OPS_CONF_K_DURATION,
			.offset = offsetof(struct written_file_sd, refresh_ms),
			.fallback = "5m"},
		OPS_CONF_END,
	};
	int r = ops_conf_decode(a, node, file_sd_keys, &w, NULL, err);
	for (size_t i = 0; r == 0 && i < w.files.n; i++) {
		const char *f = w.files.items[i];
		if (!ops_str_ends(f, ".yml") && !ops_str_ends(f, ".yaml") &&
			!ops_str_ends(f, ".json")) {
			r = ops_conf_error(ops_conf_get(node, "files"), err,
				"\"%s\" does not end in .yml, .yaml or .json", f);
		}
	}
	if (r == 0) {
		*ret = (struct col_file_sd){w.files.items, w.files.n, w.refresh_ms};
	}
	return r;
}

int col_job_load_file_sds(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_job *job, struct ops_error *err)
{
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(node, err, "file_sd_configs must be a list");
	}
	struct col_file_sd *sds = ops_arena_array(a, struct col_file_sd, node->n);
	job->file_sds = sds;
	for (size_t i = 0; i < node->n; i++) {
		int r = load_file_sd(a, node->items[i], &sds[i], err);
		if (r != 0) {
			return r;
		}
		job->nfile_sds++;
	}
	return 0;
}
