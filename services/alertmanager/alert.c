/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging follows Alertmanager: overlapping reports of the same labels are one alert that started
 * at the earliest start; an explicit end beats one guessed from resolve_timeout. A report that does
 * not overlap (it fired, ended, and fires again) replaces the old one.
 */
#include "services/alertmanager/alert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/msg/msg.h"

struct alm_alert *alm_alert_new(struct ops_labels *labels, struct ops_labels *annotations)
{
	struct alm_alert *a = ops_xcalloc(1, sizeof *a);

	a->labels = labels;
	a->annotations = annotations;
	a->fingerprint = ops_labels_fingerprint(labels);
	ops_fingerprint_text(a->fingerprint, a->id);
	return a;
}

void alm_alert_free(struct alm_alert *a)
{
	if (a == NULL)
		return;
	ops_labels_unref(a->labels);
	ops_labels_unref(a->annotations);
	free(a->generator_url);
	free(a->playbook);
	free(a->expr);
	free(a);
}

struct alm_alert *alm_alert_copy(const struct alm_alert *a)
{
	struct alm_alert *c = ops_xmalloc(sizeof *c);

	*c = *a;
	c->groups = 0;
	c->labels = ops_labels_ref(a->labels);
	c->annotations = a->annotations != NULL ? ops_labels_ref(a->annotations) : NULL;
	c->generator_url = ops_xstrdup(a->generator_url);
	c->playbook = ops_xstrdup(a->playbook);
	c->expr = ops_xstrdup(a->expr);
	return c;
}

bool alm_alert_resolved(const struct alm_alert *a, int64_t now_ms)
{
	return a->ends_at_ms != 0 && a->ends_at_ms <= now_ms;
}

static int64_t end_of(const struct alm_alert *a)
{
	return a->ends_at_ms != 0 ? a->ends_at_ms : INT64_MAX;
}

static bool overlap(const struct alm_alert *old, const struct alm_alert *fresh)
{
	int64_t end = end_of(fresh), old_end = end_of(old);
	return (end > old->starts_at_ms && end <= old_end) ||
	       (fresh->starts_at_ms >= old->starts_at_ms && fresh->starts_at_ms <= old_end);
}

/* Ends of overlapping reports: the latest explicit one rules. */
static int64_t merged_end(
	const struct alm_alert *old, const struct alm_alert *fresh, int64_t now_ms, bool *timeout)
{
	bool fresh_over = alm_alert_resolved(fresh, now_ms);
	bool old_later = end_of(old) > end_of(fresh);

	if (fresh_over && old_later && !(alm_alert_resolved(old, now_ms)))
		return fresh->ends_at_ms;
	if (old_later && (fresh_over || !old->timeout)) {
		*timeout = old->timeout;
		return old->ends_at_ms;
	}
	return fresh->ends_at_ms;
}

void alm_alert_merge(struct alm_alert *a, struct alm_alert *fresh, int64_t now_ms)
{
	unsigned groups = a->groups;
	struct alm_alert old = *a;

	if (overlap(a, fresh)) {
		fresh->ends_at_ms = merged_end(a, fresh, now_ms, &fresh->timeout);
		fresh->starts_at_ms = OPS_MIN(a->starts_at_ms, fresh->starts_at_ms);
	}
	*a = *fresh;
	a->groups = groups;
	*fresh = old;
	alm_alert_free(fresh);
}

json_t *alm_labels_to_json(const struct ops_labels *ls)
{
	json_t *obj = json_object();
	for (uint32_t i = 0; ls != NULL && i < ls->n; i++)
		ops_json_set_string(obj, ls->items[i].name, ls->items[i].value);
	return obj;
}

int alm_labels_from_json(const json_t *obj, struct ops_labels **ret, struct ops_error *err)
{
	struct ops_labels_builder b;
	const char *name;
	json_t *value;
	int rc = 0;

	if (obj != NULL && !json_is_object(obj))
		return ops_error_set(
			err, -EINVAL, "labels and annotations must be objects of texts");
	ops_labels_builder_init(&b);
	json_object_foreach((json_t *)(uintptr_t)obj, name, value)
	{
		if (!json_is_string(value))
			rc = ops_error_set(
				err, -EINVAL, "value of label \"%.64s\" must be text", name);
		else if (!ops_label_name_valid(name, strlen(name)))
			rc = ops_error_set(err, -EINVAL, "invalid label name \"%.64s\"", name);
		if (rc != 0)
			break;
		ops_labels_builder_set(&b, name, json_string_value(value));
	}
	if (rc == 0)
		*ret = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return rc;
}

json_t *alm_alert_to_json(const struct alm_alert *a)
{
	json_t *j = json_object();

	ops_json_set(j, "labels", alm_labels_to_json(a->labels));
	ops_json_set(j, "annotations", alm_labels_to_json(a->annotations));
	ops_json_set_i64(j, "starts", a->starts_at_ms);
	ops_json_set_i64(j, "ends", a->ends_at_ms);
	ops_json_set_i64(j, "updated", a->updated_at_ms);
	ops_json_set_bool(j, "timeout", a->timeout);
	ops_json_set_bool(j, "posted", a->posted);
	if (a->has_value) {
		char buf[40];
		snprintf(buf, sizeof buf, "%a", a->value); /* NaN and infinities too */
		ops_json_set_string(j, "value", buf);
	}
	if (a->generator_url != NULL)
		ops_json_set_string(j, "generator_url", a->generator_url);
	if (a->playbook != NULL)
		ops_json_set_string(j, "playbook", a->playbook);
	if (a->expr != NULL)
		ops_json_set_string(j, "expr", a->expr);
	if (a->traceparent[0] != '\0')
		ops_json_set_string(j, "traceparent", a->traceparent);
	return j;
}

static void read_texts(const json_t *j, struct alm_alert *a)
{
	const char *generator = NULL, *playbook = NULL, *expr = NULL, *trace = NULL, *value = NULL;

	(void)!ops_json_get_string(j, "generator_url", &generator, NULL);
	(void)!ops_json_get_string(j, "playbook", &playbook, NULL);
	(void)!ops_json_get_string(j, "expr", &expr, NULL);
	(void)!ops_json_get_string(j, "traceparent", &trace, NULL);
	a->generator_url = ops_xstrdup(generator);
	a->playbook = ops_xstrdup(playbook);
	a->expr = ops_xstrdup(expr);
	if (trace != NULL && strlen(trace) < sizeof a->traceparent)
		memcpy(a->traceparent, trace, strlen(trace) + 1);
	if (ops_json_get_string(j, "value", &value, NULL) == 0)
		a->has_value = ops_parse_double(value, strlen(value), &a->value) == 0;
}

int alm_alert_from_json(const json_t *j, struct alm_alert **ret)
{
	struct ops_labels *labels = NULL, *annotations = NULL;
	json_t *obj = NULL;
	int64_t starts = 0, ends = 0, updated = 0;

	if (ops_json_get_object(j, "labels", &obj, NULL) != 0 ||
		alm_labels_from_json(obj, &labels, NULL) != 0)
		return -EINVAL;
	obj = NULL;
	if (ops_json_get_object(j, "annotations", &obj, NULL) < 0 ||
		alm_labels_from_json(obj, &annotations, NULL) != 0 ||
		ops_json_get_i64(j, "starts", &starts, NULL) != 0 ||
		ops_json_get_i64(j, "ends", &ends, NULL) != 0 ||
		ops_json_get_i64(j, "updated", &updated, NULL) != 0 || labels->n == 0) {
		ops_labels_unref(labels);
		ops_labels_unref(annotations);
		return -EINVAL;
	}
	struct alm_alert *a = alm_alert_new(labels, annotations);
	a->starts_at_ms = starts;
	a->ends_at_ms = ends;
	a->updated_at_ms = updated;
	(void)!ops_json_get_bool(j, "timeout", &a->timeout, NULL);
	(void)!ops_json_get_bool(j, "posted", &a->posted, NULL);
	read_texts(j, a);
	*ret = a;
	return 0;
}

const char *alm_alert_playbook(const struct alm_alert *a)
{
	const char *name = a->playbook;
	if ((name == NULL || name[0] == '\0') && a->annotations != NULL)
		name = ops_labels_get(a->annotations, "playbook");
	return name != NULL && name[0] != '\0' ? name : NULL;
}
