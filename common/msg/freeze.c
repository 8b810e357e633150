/* SPDX-License-Identifier: Apache-2.0 */
/* What the freeze service says about one scope. Open scopes carry no reason; frozen ones must say
 * who and why. */
#include "common/msg/msg.h"

#include <errno.h>

#include "common/msg/fields.h"

static const char *const sources[] = {"manual", "alert", "calendar", "out-of-band", NULL};

void ops_freeze_state_done(struct ops_freeze_state *s)
{
	free(s->scope);
	free(s->reason);
	free(s->actor);
	free(s->source);
	free(s->freeze_id);
	free(s->alert);
	*s = (struct ops_freeze_state){0};
}

json_t *ops_freeze_state_to_json(const struct ops_freeze_state *s)
{
	json_t *j = json_object();
	ops_json_set_string(j, "scope", s->scope);
	ops_json_set_bool(j, "frozen", s->frozen);
	ops_msg_put(j, "reason", s->reason);
	ops_msg_put(j, "actor", s->actor);
	ops_msg_put(j, "source", s->source);
	ops_msg_put(j, "freeze_id", s->freeze_id);
	ops_msg_put(j, "alert", s->alert);
	ops_msg_put_time(j, "since", s->since_ms);
	ops_msg_put_time(j, "until", s->until_ms);
	return j;
}

static int check(const struct ops_freeze_state *s, struct ops_error *err)
{
	uint64_t fingerprint;
	if (s->frozen && (s->reason == NULL || s->actor == NULL || s->source == NULL ||
				 s->freeze_id == NULL))
		return ops_error_set(
			err, -EINVAL, "a freeze needs reason, actor, source and freeze_id");
	if (s->freeze_id != NULL && !ops_msg_uuid(s->freeze_id))
		return ops_error_set(err, -EINVAL, "member \"freeze_id\" is no UUID");
	if (s->alert != NULL && ops_fingerprint_parse(s->alert, &fingerprint) != 0)
		return ops_error_set(err, -EINVAL, "member \"alert\" is not 16 hex digits");
	return s->source != NULL ? ops_msg_one_of("source", s->source, sources, err) : 0;
}

static int read_state(const json_t *data, struct ops_freeze_state *s, struct ops_error *err)
{
	const struct ops_msg_text texts[] = {
		{"scope", 1, 256, &s->scope},
		{"reason", 0, 4096, &s->reason},
		{"actor", 0, 256, &s->actor},
		{"source", 0, 32, &s->source},
		{"freeze_id", 0, 36, &s->freeze_id},
		{"alert", 0, 16, &s->alert},
		{NULL, 0, 0, NULL},
	};
	int r = ops_json_get_bool(data, "frozen", &s->frozen, err);
	if (r == 1)
		return ops_error_set(err, -EINVAL, "member \"frozen\" is missing");
	r = r != 0 ? r : ops_msg_texts(data, texts, err);
	r = r != 0 ? r : ops_msg_time(data, "since", &s->since_ms, err);
	r = r != 0 ? r : ops_msg_time(data, "until", &s->until_ms, err);
	return r != 0 ? r : check(s, err);
}

int ops_freeze_state_from_json(
	const json_t *data, struct ops_freeze_state *ret, struct ops_error *err)
{
	if (!json_is_object(data))
		return ops_error_set(err, -EINVAL, "a freeze state must be a JSON object");
	struct ops_freeze_state s = {0};
	int r = read_state(data, &s, err);
	if (r == 0)
		*ret = s;
	else
		ops_freeze_state_done(&s);
	return r;
}
