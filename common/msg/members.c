/* SPDX-License-Identifier: Apache-2.0 */
/* The live collectors: one announces itself, the detector tells all of them. */
#include "common/msg/samples.h"

#include <errno.h>

#include "common/msg/fields.h"

enum {
	MAX_MEMBERS = 10000
};

void ops_member_done(struct ops_member *m)
{
	free(m->instance);
	free(m->replay_url);
	free(m->url);
	*m = (struct ops_member){0};
}

json_t *ops_member_to_json(const struct ops_member *m)
{
	json_t *j = json_object();
	ops_json_set_string(j, "instance", m->instance);
	ops_json_set_string(j, "replay_url", m->replay_url);
	if (m->url != NULL && m->url[0] != '\0')
		ops_json_set_string(j, "url", m->url);
	ops_json_set_i64(j, "started_ms", m->started_ms);
	return j;
}

int ops_member_from_json(const json_t *data, struct ops_member *ret, struct ops_error *err)
{
	struct ops_member m = {0};
	const struct ops_msg_text texts[] = {
		{"instance", 1, 256, &m.instance},
		{"replay_url", 1, 512, &m.replay_url},
		{"url", 0, 512, &m.url},
		{NULL, 0, 0, NULL},
	};
	if (!json_is_object(data))
		return ops_error_set(err, -EINVAL, "a member must be a JSON object");
	int r = ops_msg_texts(data, texts, err);
	if (r == 0)
		r = ops_json_get_i64(data, "started_ms", &m.started_ms, err);
	if (r == 1)
		r = ops_error_set(err, -EINVAL, "member \"started_ms\" is missing");
	if (r == 0)
		*ret = m;
	else
		ops_member_done(&m);
	return r;
}

void ops_members_done(struct ops_members *ms)
{
	for (size_t i = 0; i < ms->n; i++)
		ops_member_done(&ms->items[i]);
	free(ms->items);
	*ms = (struct ops_members){0};
}

json_t *ops_members_to_json(const struct ops_members *ms)
{
	json_t *j = json_object(), *list = json_array();
	for (size_t i = 0; i < ms->n; i++)
		ops_assert(json_array_append_new(list, ops_member_to_json(&ms->items[i])) == 0);
	ops_json_set(j, "members", list);
	return j;
}

int ops_members_from_json(const json_t *data, struct ops_members *ret, struct ops_error *err)
{
	json_t *list = NULL;
	int r = ops_json_get_array(data, "members", &list, err);
	if (r != 0)
		return r == 1 ? ops_error_set(err, -EINVAL, "member \"members\" is missing") : r;
	size_t n = json_array_size(list);
	if (n > MAX_MEMBERS)
		return ops_error_set(err, -EINVAL, "more than %d members", MAX_MEMBERS);
	struct ops_members ms = {0};
	for (size_t i = 0; r == 0 && i < n; i++) {
		OPS_GROW(ms.items, ms.n, ms.cap);
		r = ops_member_from_json(json_array_get(list, i), &ms.items[ms.n], err);
		ms.n += r == 0;
	}
	if (r == 0)
		*ret = ms;
	else
		ops_members_done(&ms);
	return r;
}
