/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to record a change. Unlike the other messages it refuses members that it does not know:
 * what is asked to be recorded must not be dropped in silence. Time is in microseconds because that
 * is what PostgreSQL keeps; a finer time would not survive the way into the table and back.
 */
#include "common/msg/msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/msg/fields.h"

#define MAX_STATE ((size_t)64 * 1024)

static const char *const actor_types[] = {"user", "service", "playbook", "system", NULL};
static const char *const outcomes[] = {"success", "refused", "failed", NULL};

void ops_change_init(struct ops_change *c)
{
	*c = (struct ops_change){0};
	ops_uuid4(c->id);
	c->time_us = ops_now_us();
}

void ops_change_done(struct ops_change *c)
{
	free(c->actor);
	free(c->actor_type);
	free(c->action);
	free(c->object);
	json_decref(c->before);
	json_decref(c->after);
	free(c->reason);
	free(c->source_addr);
	free(c->trace_id);
	free(c->alert);
	free(c->outcome);
	free(c->service);
	*c = (struct ops_change){0};
}

json_t *ops_change_to_json(const struct ops_change *c)
{
	json_t *j = json_object();
	ops_json_set_string(j, "id", c->id);
	ops_json_set_i64(j, "time_us", c->time_us);
	ops_msg_put(j, "actor", c->actor);
	ops_msg_put(j, "actor_type", c->actor_type);
	ops_msg_put(j, "action", c->action);
	ops_msg_put(j, "object", c->object);
	if (c->before != NULL)
		ops_json_set(j, "before", json_incref(c->before));
	if (c->after != NULL)
		ops_json_set(j, "after", json_incref(c->after));
	ops_msg_put(j, "reason", c->reason);
	ops_msg_put(j, "source_addr", c->source_addr);
	ops_msg_put(j, "trace_id", c->trace_id);
	ops_msg_put(j, "alert", c->alert);
	ops_msg_put(j, "outcome", c->outcome);
	ops_msg_put(j, "service", c->service);
	return j;
}

/* ---- reading ---- */

static int read_id(const json_t *data, struct ops_change *c, struct ops_error *err)
{
	const char *id = NULL;
	int r = ops_json_get_string(data, "id", &id, err);
	if (r < 0)
		return r;
	if (r == 0 && !ops_msg_uuid(id))
		return ops_error_set(err, -EINVAL, "member \"id\" is no UUID");
	if (r == 0)
		snprintf(c->id, sizeof(c->id), "%s", id);
	r = ops_json_get_i64(data, "time_us", &c->time_us, err);
	if (r < 0)
		return r;
	/* What a timestamptz can hold, roughly: years 1 to 9999. */
	if (c->time_us < -62135596800000000LL || c->time_us > 253402300799999999LL)
		return ops_error_set(err, -ERANGE, "member \"time_us\" is out of range");
	return 0;
}

static int read_state(const json_t *data, const char *key, json_t **ret, struct ops_error *err)
{
	json_t *j = json_object_get(data, key);
	if (j == NULL || json_is_null(j))
		return 0;
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(j);
	if (strlen(text) > MAX_STATE)
		return ops_error_set(
			err, -EINVAL, "member \"%s\" is longer than %zu bytes", key, MAX_STATE);
	*ret = json_deep_copy(j);
	ops_assert(*ret != NULL);
	return 0;
}

static int check(struct ops_change *c, struct ops_error *err)
{
	uint64_t fingerprint;
	if (c->actor_type == NULL)
		c->actor_type = ops_xstrdup("user");
	int r = ops_msg_one_of("actor_type", c->actor_type, actor_types, err);
	if (r == 0 && c->outcome != NULL)
		r = ops_msg_one_of("outcome", c->outcome, outcomes, err);
	if (r == 0 && c->alert != NULL && ops_fingerprint_parse(c->alert, &fingerprint) != 0)
		r = ops_error_set(err, -EINVAL, "member \"alert\" is not 16 hex digits");
	return r;
}

static int read_change(const json_t *data, struct ops_change *c, struct ops_error *err)
{
	static const char *const known[] = {"id", "time_us", "actor", "actor_type", "action",
		"object", "before", "after", "reason", "source_addr", "trace_id", "alert",
		"outcome", "service", NULL};
	const struct ops_msg_text texts[] = {
		{"actor", 1, 256, &c->actor},
		{"actor_type", 0, 32, &c->actor_type},
		{"action", 1, 256, &c->action},
		{"object", 1, 256, &c->object},
		{"reason", 0, 4096, &c->reason},
		{"source_addr", 0, 256, &c->source_addr},
		{"trace_id", 0, 64, &c->trace_id},
		{"alert", 0, 16, &c->alert},
		{"outcome", 0, 32, &c->outcome},
		{"service", 0, 64, &c->service},
		{NULL, 0, 0, NULL},
	};
	int r = ops_json_only(data, known, err);
	r = r != 0 ? r : read_id(data, c, err);
	r = r != 0 ? r : ops_msg_texts(data, texts, err);
	r = r != 0 ? r : read_state(data, "before", &c->before, err);
	r = r != 0 ? r : read_state(data, "after", &c->after, err);
	return r != 0 ? r : check(c, err);
}

int ops_change_from_json(const json_t *data, struct ops_change *ret, struct ops_error *err)
{
	if (!json_is_object(data))
		return ops_error_set(err, -EINVAL, "a change must be a JSON object");
	struct ops_change c;
	ops_change_init(&c);
	int r = read_change(data, &c, err);
	if (r == 0)
		*ret = c;
	else
		ops_change_done(&c);
	return r;
}
