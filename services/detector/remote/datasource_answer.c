/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer of /api/v1/query in the shape that Prometheus documents. It comes from another program:
 * its size is bounded by the HTTP client, its depth by the JSON parser, and what does not have the
 * shape is refused as a whole.
 */
#include <errno.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "services/detector/remote/datasource.h"

enum {
	LABELS_MAX = 1024
};

static int odd(struct ops_error *err, const char *what)
{
	return ops_error_set(err, -EINVAL, "the datasource's answer has %s", what);
}

/* [seconds, "value"] */
static int read_point(const json_t *pair, struct det_point *ret)
{
	const json_t *t = json_array_get(pair, 0), *v = json_array_get(pair, 1);

	if (json_array_size(pair) != 2 || !json_is_number(t) || !json_is_string(v) ||
		ops_parse_double(json_string_value(v), json_string_length(v), &ret->v) == -EINVAL)
		return -EINVAL;
	double seconds = json_number_value(t);
	if (!(seconds > -1e12 && seconds < 1e12))
		return -EINVAL;
	ret->t = (int64_t)(seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
	return 0;
}

static int by_name(const void *x, const void *y)
{
	const struct ops_label *a = x, *b = y;

	return strcmp(a->name, b->name);
}

static int read_labels(json_t *metric, struct ops_arena *a, struct det_result_series *ret)
{
	size_t n = json_object_size(metric);
	const char *name;
	json_t *value;

	if (!json_is_object(metric) || n > LABELS_MAX)
		return -EINVAL;
	struct ops_label *labels = ops_arena_array(a, struct ops_label, n + 1);
	json_object_foreach(metric, name, value)
	{
		const char *text = json_string_value(value);
		if (text == NULL || name[0] == '\0' || strlen(text) != json_string_length(value))
			return -EINVAL;
		if (text[0] == '\0')
			continue;
		struct ops_label *l = &labels[ret->nlabels++];
		l->name = ops_arena_strdup(a, name);
		l->name_len = (uint32_t)strlen(name);
		l->value = ops_arena_strdup(a, text);
		l->value_len = (uint32_t)strlen(text);
	}
	qsort(labels, ret->nlabels, sizeof(labels[0]), by_name);
	ret->labels = labels;
	return 0;
}

static int read_vector(
	json_t *list, struct ops_arena *a, struct det_result *ret, struct ops_error *err)
{
	size_t i;
	json_t *item;

	ret->type = OPS_PROMQL_INSTANT;
	ret->series = ops_arena_array(a, struct det_result_series, json_array_size(list) + 1);
	json_array_foreach(list, i, item)
	{
		struct det_result_series *s = &ret->series[ret->n++];
		s->points = ops_arena_new(a, struct det_point);
		s->npoints = 1;
		if (json_object_get(item, "histogram") != NULL)
			return odd(
				err, "a native histogram, which rules cannot take from there yet");
		if (read_labels(json_object_get(item, "metric"), a, s) < 0 ||
			read_point(json_object_get(item, "value"), s->points) < 0)
			return odd(err, "an element that is not {metric, value}");
	}
	return 0;
}

static int read_scalar(
	const json_t *pair, struct ops_arena *a, struct det_result *ret, struct ops_error *err)
{
	ret->type = OPS_PROMQL_SCALAR;
	ret->series = ops_arena_new(a, struct det_result_series);
	ret->series->points = ops_arena_new(a, struct det_point);
	ret->series->npoints = 1;
	ret->n = 1;
	return read_point(pair, ret->series->points) < 0 ? odd(err, "a scalar that is none") : 0;
}

static int read_answer(
	json_t *root, struct ops_arena *a, struct det_result *ret, struct ops_error *err)
{
	const char *status = json_string_value(json_object_get(root, "status"));
	const char *why = json_string_value(json_object_get(root, "error"));
	const json_t *data = json_object_get(root, "data");
	const char *type = json_string_value(json_object_get(data, "resultType"));
	json_t *result = json_object_get(data, "result");

	if (ops_str_eq(status, "error"))
		return ops_error_set(
			err, -EINVAL, "the datasource says: %s", why != NULL ? why : "error");
	if (!ops_str_eq(status, "success") || !json_is_array(result))
		return odd(err, "no result");
	if (ops_str_eq(type, "vector"))
		return read_vector(result, a, ret, err);
	if (ops_str_eq(type, "scalar"))
		return read_scalar(result, a, ret, err);
	return ops_error_set(err, -EINVAL,
		"a rule's expression must give a vector or a scalar, the "
		"datasource gave a %s",
		type != NULL ? type : "thing without a type");
}

int det_datasource_decode(const char *body, size_t len, struct ops_arena *a, struct det_result *ret,
	struct ops_error *err)
{
	OPS_JSON_AUTO *root = NULL;
	struct det_result found = {0};
	int rc = ops_json_parse(body, len, len, &root, err);

	if (rc != 0) {
		ops_error_prefix(err, "could not read the datasource's answer");
		return -EINVAL;
	}
	rc = read_answer(root, a, &found, err);
	if (rc == 0)
		*ret = found;
	return rc;
}
