/* SPDX-License-Identifier: Apache-2.0 */
/* Strict on purpose: a misspelt key would silently drop labels or targets. */
#include "services/collector/discovery/groups_json.h"

#include <errno.h>
#include <string.h>

static int bad(size_t i, struct ops_error *err, const char *what)
{
	return ops_error_set(err, -EINVAL, "target group %zu: %s", i + 1, what);
}

static int group_labels(
	const json_t *labels, size_t i, struct ops_labels_builder *to, struct ops_error *err)
{
	const char *name;
	const json_t *value;
	void *at;
	if (labels == NULL || json_is_null(labels)) {
		return 0;
	}
	if (!json_is_object(labels)) {
		return bad(i, err, "labels must be an object");
	}
	/* The iterator does not change the object, but its signature takes one that may be. */
	json_t *object = (json_t *)(uintptr_t)labels;
	for (at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
		name = json_object_iter_key(at);
		value = json_object_iter_value(at);
		if (!json_is_string(value)) {
			return bad(i, err, "a label's value must be a string");
		}
		if (!ops_label_name_valid(name, strlen(name))) {
			return bad(i, err, "a label has no name");
		}
		ops_labels_builder_set(to, name, json_string_value(value));
	}
	return 0;
}

static int add_targets(const json_t *targets, size_t i, const struct ops_labels *base,
	struct col_group *to, struct ops_error *err)
{
	if (targets == NULL || json_is_null(targets)) {
		return 0;
	}
	if (!json_is_array(targets)) {
		return bad(i, err, "targets must be a list");
	}
	for (size_t k = 0; k < json_array_size(targets); k++) {
		const char *address = json_string_value(json_array_get(targets, k));
		if (address == NULL) {
			return bad(i, err, "a target must be a string");
		}
		struct ops_labels_builder b;
		ops_labels_builder_from(&b, base);
		ops_labels_builder_set(&b, "__address__", address);
		col_group_add(to, &b);
	}
	return 0;
}

static int one_group(
	const json_t *group, size_t i, const char *url, struct col_group *to, struct ops_error *err)
{
	static const char *const known[] = {"targets", "labels", NULL};
	struct ops_labels_builder b;
	struct ops_error why;
	if (!json_is_object(group)) {
		return bad(i, err, "it must be an object");
	}
	if (ops_json_only(group, known, &why) != 0) {
		return bad(i, err, why.message);
	}
	ops_labels_builder_init(&b);
	int r = group_labels(json_object_get(group, "labels"), i, &b, err);
	if (url != NULL) {
		ops_labels_builder_set(&b, "__meta_url", url);
	}
	struct ops_labels *base = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	if (r == 0) {
		r = add_targets(json_object_get(group, "targets"), i, base, to, err);
	}
	ops_labels_unref(base);
	return r;
}

int col_groups_from_json(
	const json_t *list, const char *url, struct col_group *to, struct ops_error *err)
{
	if (!json_is_array(list)) {
		return ops_error_set(err, -EINVAL, "expected a list of target groups");
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = one_group(json_array_get(list, i), i, url, to, err);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}
