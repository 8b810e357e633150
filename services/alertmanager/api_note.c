/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /api/note {"alert": fingerprint, "action": "...", "author": "..."}: what a person or a
 * playbook did about an alert, for its history. The alert need not be known here any more. Author
 * is the authenticated caller where there is one; a text in the body is only believed without.
 */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/api.h"
#include "services/alertmanager/events.h"
#include "services/alertmanager/history.h"

enum {
	ACTION_MAX = 4096,
	AUTHOR_MAX = 256
};

struct note {
	const char *alert, *action, *author;
};

static int read_note(const json_t *body, struct note *n, struct ops_error *err)
{
	static const char *const known[] = {"alert", "action", "author", NULL};
	uint64_t fingerprint;

	if (!json_is_object(body))
		return ops_error_set(
			err, -EINVAL, "the body must be an object with alert and action");
	if (ops_json_only(body, known, err) != 0 ||
		ops_json_get_string(body, "author", &n->author, err) < 0)
		return -EINVAL;
	if (ops_json_get_string(body, "alert", &n->alert, err) != 0 ||
		ops_fingerprint_parse(n->alert, &fingerprint) != 0) {
		ops_error_set(err, -EINVAL, "alert must be the fingerprint of an alert");
		ops_error_hint(err, "16 hexadecimal digits, as in GET /api/v2/alerts");
		return -EINVAL;
	}
	if (ops_json_get_string(body, "action", &n->action, err) != 0 || n->action[0] == '\0')
		return ops_error_set(err, -EINVAL, "action is required: what was done");
	if (strlen(n->action) > ACTION_MAX || (n->author != NULL && strlen(n->author) > AUTHOR_MAX))
		return ops_error_set(err, -EINVAL, "action is limited to %d bytes, author to %d",
			ACTION_MAX, AUTHOR_MAX);
	return 0;
}

void alm_api_post_note(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	OPS_JSON_AUTO *body = NULL;
	struct ops_error err = {0};
	struct note n = {0};
	char id[37];

	if (ops_http_json(req, &body) != 0)
		return;
	if (read_note(body, &n, &err) != 0) {
		ops_http_reply_error(req, 400, &err);
		return;
	}
	if (ops_http_authenticated(req) || n.author == NULL || n.author[0] == '\0')
		n.author = ops_http_principal(req);
	char *object OPS_CLEANUP(ops_freep) = ops_xasprintf("alert/%s", n.alert);
	if (!alm_api_audit(s, req, "alert.note", object, json_incref(body), n.alert))
		return;
	ops_uuid4(id);
	alm_history_note(s->outbox, id, n.alert, n.author, n.action);
	if (ops_outbox_sync(s->outbox) != 0) {
		alm_api_error(req, 503, "the note could not be made durable");
		return;
	}
	alm_event_note(s, id, n.alert, n.author, n.action);
	json_t *reply = json_object();
	ops_json_set_bool(reply, "noted", true);
	ops_json_set_string(reply, "id", id);
	ops_http_reply_json(req, 200, reply);
}
