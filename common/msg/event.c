/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope. It is CloudEvents 1.0 so that an outside subscriber needs no document of ours to
 * tell who says what about which thing; attributes that we do not know (extensions) are let
 * through. What is read back is checked to the letter: a message on the bus is input from outside.
 */
#include "common/msg/msg.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	MAX_BYTES = 1024 * 1024,
	MAX_ATTRIBUTE = 1024
};

static const char *const types[] = {
	"ops.alert",
	"ops.notification",
	"ops.playbook",
	"ops.freeze",
	"ops.members",
	"ops.note",
};

static bool known_type(const char *type)
{
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		if (strcmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

void ops_event_encode(const struct ops_event *e, struct ops_strbuf *out)
{
	char id[37];
	ops_assert(known_type(e->type) && e->source != NULL && json_is_object(e->data));
	json_t *j = json_object();
	ops_json_set_string(j, "specversion", "1.0");
	if (e->id == NULL)
		ops_uuid4(id);
	ops_json_set_string(j, "id", e->id != NULL ? e->id : id);
	ops_json_set_string(j, "source", e->source);
	ops_json_set_string(j, "type", e->type);
	ops_json_set_time(j, "time", e->time_ms != 0 ? e->time_ms : ops_now_ms());
	if (e->subject != NULL)
		ops_json_set_string(j, "subject", e->subject);
	if (e->traceparent != NULL && e->traceparent[0] != '\0')
		ops_json_set_string(j, "traceparent", e->traceparent);
	ops_json_set_string(j, "datacontenttype", "application/json");
	ops_json_set(j, "data", e->data);
	ops_json_dump(j, out);
	json_decref(j);
}

/* W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not all zero. */
bool ops_traceparent_valid(const char *s)
{
	static const char shape[] = "00-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff";
	bool trace = false, parent = false;
	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (shape[i] == '-' || shape[i] == '0') {
			if (s[i] != shape[i])
				return false;
			continue;
		}
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
		trace = trace || (shape[i] == 't' && s[i] != '0');
		parent = parent || (shape[i] == 'p' && s[i] != '0');
	}
	return s[sizeof(shape) - 1] == '\0' && trace && parent;
}

static int attribute(
	const json_t *doc, const char *key, bool required, const char **ret, struct ops_error *err)
{
	const char *text = NULL;
	int r = ops_json_get_string(doc, key, &text, err);
	if (r == 1 && !required)
		return 0;
	if (r == 1)
		return ops_error_set(err, -EINVAL, "attribute \"%s\" is missing", key);
	if (r != 0)
		return r;
	size_t len = strlen(text);
	if (len == 0 || len > MAX_ATTRIBUTE)
		return ops_error_set(err, -EINVAL, "attribute \"%s\" must have 1 to %d bytes", key,
			MAX_ATTRIBUTE);
	*ret = text;
	return 0;
}

static int check_kind(const char *version, const struct ops_event *e, struct ops_error *err)
{
	if (strcmp(version, "1.0") != 0)
		return ops_error_set(err, -EINVAL, "specversion \"%.32s\" is not 1.0", version);
	if (!known_type(e->type))
		return ops_error_set(err, -EINVAL, "unknown event type \"%.64s\"", e->type);
	if (e->traceparent != NULL && !ops_traceparent_valid(e->traceparent))
		return ops_error_set(err, -EINVAL, "attribute \"traceparent\" is malformed");
	return 0;
}

static int decode(const json_t *doc, struct ops_event *e, struct ops_error *err)
{
	const char *version = NULL;
	if (!json_is_object(doc))
		return ops_error_set(err, -EINVAL, "an event must be a JSON object");
	int r = attribute(doc, "specversion", true, &version, err);
	r = r != 0 ? r : attribute(doc, "id", true, &e->id, err);
	r = r != 0 ? r : attribute(doc, "source", true, &e->source, err);
	r = r != 0 ? r : attribute(doc, "type", true, &e->type, err);
	r = r != 0 ? r : attribute(doc, "subject", false, &e->subject, err);
	r = r != 0 ? r : attribute(doc, "traceparent", false, &e->traceparent, err);
	r = r != 0 ? r : check_kind(version, e, err);
	if (r != 0)
		return r;
	r = ops_json_get_time(doc, "time", &e->time_ms, err);
	if (r == 0)
		r = ops_json_get_object(doc, "data", &e->data, err);
	return r == 1 ? ops_error_set(err, -EINVAL, "attribute \"time\" or \"data\" is missing")
		      : r;
}

int ops_event_decode(const char *payload, size_t len, struct ops_event *ret, json_t **ret_doc,
	struct ops_error *err)
{
	json_t *doc = NULL;
	int r = ops_json_parse(payload, len, MAX_BYTES, &doc, err);
	if (r != 0)
		return r;
	struct ops_event e = {0};
	r = decode(doc, &e, err);
	if (r != 0) {
		json_decref(doc);
		return r;
	}
	*ret = e;
	*ret_doc = doc;
	return 0;
}
