/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /ops/change takes whatever JSON a dashboard or a script has, because a paper trail that is
 * picky about its form is not written. Members with a meaning (id, action, object, reason, outcome,
 * before, after, alert as a fingerprint) are used as such when they have the right type; everything
 * else is kept, word for word, under `after`. Without an object the first member that usually names
 * one is taken.
 *
 * Who did it: X-User, else the authenticated name. When a service is logged in and speaks for a
 * user, the service stands in `service`, so neither hides the other.
 */
#include "services/auditlog/auditlog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

static const char *const naming[] = {
	"dashboard", "alert", "rule", "service", "file", "name", "title", NULL};

/* The text of member key, which is then not kept under `after`; NULL: leave the member alone. */
static char *take_text(json_t *rest, const char *key)
{
	const char *text = json_string_value(json_object_get(rest, key));
	char *taken = text != NULL && text[0] != '\0' ? ops_xstrdup(text) : NULL;

	if (taken != NULL)
		json_object_del(rest, key);
	return taken;
}

static char *name_object(const json_t *rest)
{
	for (size_t i = 0; naming[i] != NULL; i++) {
		const char *text = json_string_value(json_object_get(rest, naming[i]));
		if (text != NULL && text[0] != '\0' && strlen(text) <= 200)
			return ops_xasprintf("%s/%s", naming[i], text);
	}
	return ops_xstrdup("unspecified");
}

static bool is_fingerprint(const json_t *value)
{
	const char *text = json_string_value(value);
	uint64_t fingerprint;

	return text != NULL && strlen(text) == 16 && ops_fingerprint_parse(text, &fingerprint) == 0;
}

static json_t *take_value(json_t *rest, const char *key)
{
	json_t *value = json_object_get(rest, key);

	if (value != NULL)
		json_incref(value);
	json_object_del(rest, key);
	return value;
}

static int take_id(json_t *rest, struct ops_change *c, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *id = take_text(rest, "id");

	if (id == NULL)
		return 0;
	if (strlen(id) != 36) {
		ops_error_set(err, -EINVAL, "member \"id\" is not a UUID");
		ops_error_hint(err,
			"the id makes a repeated request harmless; leave it out to have one made");
		return -EINVAL;
	}
	memcpy(c->id, id, sizeof(c->id));
	return 0;
}

static void take_members(json_t *rest, struct ops_change *c)
{
	c->action = take_text(rest, "action");
	c->object = take_text(rest, "object");
	c->reason = take_text(rest, "reason");
	c->outcome = take_text(rest, "outcome");
	c->before = take_value(rest, "before");
	if (is_fingerprint(json_object_get(rest, "alert")))
		c->alert = take_text(rest, "alert");
	if (c->object == NULL)
		c->object = name_object(rest);
	json_t *after = take_value(rest, "after");
	if (json_object_size(rest) == 0) {
		c->after = after;
		return;
	}
	if (after != NULL)
		ops_json_set(rest, "after", after);
	c->after = json_incref(rest);
}

int aud_change_from_body(const json_t *body, const struct aud_caller *by, struct ops_change *ret,
	struct ops_error *err)
{
	OPS_JSON_AUTO *rest = NULL;
	struct ops_change c;
	int code = 0;

	ops_change_init(&c);
	if (json_is_object(body)) {
		rest = json_copy((json_t *)(uintptr_t)body); /* jansson only reads it */
		code = take_id(rest, &c, err);
		take_members(rest, &c);
	} else {
		c.after = json_incref((json_t *)(uintptr_t)body);
		c.object = ops_xstrdup("unspecified");
	}
	if (c.action == NULL)
		c.action = ops_xstrdup("change");
	if (c.outcome == NULL)
		c.outcome = ops_xstrdup("success");
	bool named = by->user != NULL && by->user[0] != '\0';
	c.actor = ops_xstrdup(named ? by->user : by->service);
	if (ops_str_eq(c.actor, "http")) {
		free(c.actor);
		c.actor = ops_xstrdup("anonymous");
	}
	c.actor_type = ops_xstrdup(named ? "user" : "service");
	c.service = ops_xstrdup(by->service);
	c.source_addr = ops_xstrdup(by->source_addr);
	c.trace_id = ops_xstrdup(by->trace_id);
	if (code < 0)
		ops_change_done(&c);
	else
		*ret = c;
	return code;
}
