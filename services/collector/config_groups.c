/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a job's targets come from: static_configs, and one list for each way of finding them.
 */
#include "services/collector/config_job.h"

#include <errno.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/text.h"
#include "services/collector/discovery/sd.h"

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
		r = ops_conf_string_list(a, w.targets, "targets", &targets, err);
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

/* What is a URL in a static group is a mistake that is better found now than at every scrape. */
static int check_addresses(const struct ops_conf_node *node, const struct col_static_group *group,
	struct ops_error *err)
{
	for (size_t i = 0; i < group->ntargets; i++) {
		if (strchr(group->targets[i], '/') != NULL) {
			int r = ops_conf_error(ops_conf_get(node, "targets")->items[i], err,
				"\"%s\" is not a host name with an optional port",
				group->targets[i]);
			ops_error_hint(err, "scheme and metrics_path are keys of the job");
			return r;
		}
	}
	return 0;
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
		if (ops_conf_is_null(node->items[i])) {
			return ops_conf_error(
				node->items[i], err, "an entry of static_configs is empty");
		}
		int r = col_group_load(a, node->items[i], &groups[i], err);
		if (r != 0) {
			return r;
		}
		job->ngroups++;
		r = check_addresses(node->items[i], &groups[i], err);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

/* ---- ways of finding targets ---- */

static size_t count_sds(const struct ops_conf_node *const *lists)
{
	size_t n = 0;
	for (size_t i = 0; col_sd_classes[i] != NULL; i++) {
		n += lists[i] != NULL ? lists[i]->n : 0;
	}
	return n;
}

static int load_sd(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_conf_warnings *w, struct col_sd_setting *ret, struct ops_error *err)
{
	const struct col_sd_class *class = ret->class;
	char *settings = ops_arena_alloc(a, class->settings_bytes);
	int r = ops_conf_decode(a, node, class->keys, settings, w, err);
	if (r == 0 && class->http_at != 0) {
		r = ops_http_options_finish(a, node, (void *)(settings + class->http_at), w, err);
	}
	if (r == 0 && class->finish != NULL) {
		r = class->finish(a, node, settings, err);
	}
	ret->settings = settings;
	return r;
}

int col_job_load_sds(struct ops_arena *a, const struct ops_conf_node *const *lists,
	struct ops_conf_warnings *w, struct col_job *job, struct ops_error *err)
{
	struct col_sd_setting *sds = ops_arena_array(a, struct col_sd_setting, count_sds(lists));
	job->sds = sds;
	for (size_t i = 0; col_sd_classes[i] != NULL; i++) {
		const struct ops_conf_node *list = lists[i];
		if (ops_conf_is_null(list)) {
			continue;
		}
		if (list->type != OPS_CONF_SEQUENCE) {
			return ops_conf_error(
				list, err, "%s_sd_configs must be a list", col_sd_classes[i]->name);
		}
		for (size_t k = 0; k < list->n; k++) {
			struct col_sd_setting *s = &sds[job->nsds];
			s->class = col_sd_classes[i];
			/* the same relative path in a file elsewhere is another one */
			s->hash = ops_conf_hash(
				list->items[k], ops_hash64(list->file, strlen(list->file), 0));
			int r = load_sd(a, list->items[k], w, s, err);
			if (r != 0) {
				return r;
			}
			job->nsds++;
		}
	}
	return 0;
}
