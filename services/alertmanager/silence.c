/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An active silence may only change its end; its start and its matchers are history that someone
 * may have relied on. Matchers that would all match the empty string would silence everything and
 * are refused.
 */
#include "services/alertmanager/silence.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"

struct alm_silence *alm_silence_new(void)
{
	struct alm_silence *s = ops_xcalloc(1, sizeof *s);
	ops_matchers_init(&s->matchers);
	return s;
}

void alm_silence_free(struct alm_silence *s)
{
	if (s == NULL)
		return;
	ops_matchers_done(&s->matchers);
	free(s->created_by);
	free(s->comment);
	free(s);
}

enum alm_silence_state alm_silence_state(const struct alm_silence *s, int64_t now_ms)
{
	if (now_ms < s->starts_at_ms)
		return ALM_SILENCE_PENDING;
	return now_ms < s->ends_at_ms ? ALM_SILENCE_ACTIVE : ALM_SILENCE_EXPIRED;
}

const char *alm_silence_state_text(enum alm_silence_state state)
{
	static const char *const text[] = {"pending", "active", "expired"};
	return text[state];
}

int alm_silence_validate(const struct alm_silence *s, struct ops_error *err)
{
	bool all_match_empty = true;

	if (s->matchers.n == 0)
		return ops_error_set(err, -EINVAL, "at least one matcher is required");
	for (size_t i = 0; i < s->matchers.n; i++) {
		const struct ops_matcher *m = &s->matchers.items[i];
		if (!ops_label_name_valid(m->name, strlen(m->name)))
			return ops_error_set(err, -EINVAL, "invalid label name \"%.64s\"", m->name);
		if (!ops_utf8_valid(m->value, strlen(m->value)))
			return ops_error_set(err, -EINVAL, "the value of a matcher is not UTF-8");
		all_match_empty = all_match_empty && ops_matcher_match_value(m, "");
	}
	if (all_match_empty)
		return ops_error_set(
			err, -EINVAL, "at least one matcher must not match the empty string");
	if (s->starts_at_ms == 0 || s->ends_at_ms == 0)
		return ops_error_set(err, -EINVAL, "start and end of a silence are required");
	if (s->ends_at_ms < s->starts_at_ms)
		return ops_error_set(err, -EINVAL, "end time must not be before start time");
	return 0;
}

bool alm_silence_can_update(
	const struct alm_silence *old, const struct alm_silence *fresh, int64_t now_ms)
{
	if (!ops_matchers_equal(&old->matchers, &fresh->matchers))
		return false;
	switch (alm_silence_state(old, now_ms)) {
	case ALM_SILENCE_ACTIVE:
		return fresh->starts_at_ms / 1000 == old->starts_at_ms / 1000 &&
		       fresh->ends_at_ms >= now_ms;
	case ALM_SILENCE_PENDING:
		return fresh->starts_at_ms >= now_ms;
	case ALM_SILENCE_EXPIRED:
		break;
	}
	return false;
}

json_t *alm_silence_matchers_json(const struct alm_silence *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->matchers.n; i++) {
		const struct ops_matcher *m = &s->matchers.items[i];
		json_t *j = json_object();
		ops_json_set_bool(j, "isEqual", m->op == OPS_MATCH_EQ || m->op == OPS_MATCH_RE);
		ops_json_set_bool(j, "isRegex", m->op == OPS_MATCH_RE || m->op == OPS_MATCH_NRE);
		ops_json_set_string(j, "name", m->name);
		ops_json_set_string(j, "value", m->value);
		json_array_append_new(list, j);
	}
	return list;
}

json_t *alm_silence_to_json(const struct alm_silence *s, int64_t now_ms)
{
	json_t *j = json_object(), *status = json_object();

	ops_json_set_string(j, "id", s->id);
	ops_json_set_string(status, "state", alm_silence_state_text(alm_silence_state(s, now_ms)));
	ops_json_set(j, "status", status);
	ops_json_set_time(j, "updatedAt", s->updated_at_ms);
	ops_json_set_string(j, "comment", s->comment != NULL ? s->comment : "");
	ops_json_set_string(j, "createdBy", s->created_by != NULL ? s->created_by : "");
	ops_json_set_time(j, "endsAt", s->ends_at_ms);
	ops_json_set(j, "matchers", alm_silence_matchers_json(s));
	ops_json_set_time(j, "startsAt", s->starts_at_ms);
	return j;
}

static int read_matcher(const json_t *j, struct alm_silence *s, struct ops_error *err)
{
	static const enum ops_match_op ops[] = {
		OPS_MATCH_NE, OPS_MATCH_EQ, OPS_MATCH_NRE, OPS_MATCH_RE};
	const char *name = NULL, *value = NULL;
	bool regex = false, equal = true;

	if (!json_is_object(j) || ops_json_get_string(j, "name", &name, err) != 0 ||
		ops_json_get_string(j, "value", &value, err) != 0 ||
		ops_json_get_bool(j, "isRegex", &regex, err) < 0 ||
		ops_json_get_bool(j, "isEqual", &equal, err) < 0)
		return ops_error_set(err, -EINVAL,
			"a matcher needs name and value as texts, isRegex and isEqual as bools");
	return ops_matchers_add(
		&s->matchers, ops[(regex ? 2 : 0) + (equal ? 1 : 0)], name, value, err);
}

static int read_matchers(const json_t *j, struct alm_silence *s, struct ops_error *err)
{
	json_t *list = NULL;

	if (ops_json_get_array(j, "matchers", &list, err) != 0)
		return ops_error_set(err, -EINVAL, "matchers is required");
	if (json_array_size(list) > 100)
		return ops_error_set(err, -EINVAL, "a silence has at most 100 matchers");
	for (size_t i = 0; i < json_array_size(list); i++) {
		int rc = read_matcher(json_array_get(list, i), s, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int read_silence(const json_t *j, struct alm_silence *s, struct ops_error *err)
{
	const char *id = NULL, *author = NULL, *comment = NULL;
	int64_t revision = 0;

	if (!json_is_object(j))
		return ops_error_set(err, -EINVAL, "a silence must be an object");
	if (ops_json_get_string(j, "id", &id, err) < 0 ||
		ops_json_get_string(j, "createdBy", &author, err) < 0 ||
		ops_json_get_string(j, "comment", &comment, err) < 0 ||
		ops_json_get_i64(j, "revision", &revision, err) < 0)
		return -EINVAL;
	if (ops_json_get_time(j, "startsAt", &s->starts_at_ms, err) != 0 ||
		ops_json_get_time(j, "endsAt", &s->ends_at_ms, err) != 0)
		return ops_error_set(
			err, -EINVAL, "startsAt and endsAt are required as RFC 3339 times");
	if (ops_json_get_time(j, "updatedAt", &s->updated_at_ms, err) < 0)
		return -EINVAL;
	if (id != NULL && strlen(id) >= sizeof s->id)
		return ops_error_set(err, -EINVAL, "id is not a UUID");
	if (id != NULL)
		memcpy(s->id, id, strlen(id) + 1);
	s->revision = (unsigned)OPS_MIN(OPS_MAX(revision, 0), 1000000);
	s->created_by = ops_xstrdup(author != NULL ? author : "");
	s->comment = ops_xstrdup(comment != NULL ? comment : "");
	return read_matchers(j, s, err);
}

int alm_silence_from_json(const json_t *j, struct alm_silence **ret, struct ops_error *err)
{
	struct alm_silence *s = alm_silence_new();
	int rc = read_silence(j, s, err);

	if (rc != 0) {
		alm_silence_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}
