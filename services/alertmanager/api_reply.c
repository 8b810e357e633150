/* SPDX-License-Identifier: Apache-2.0 */
/* What every door of the API answers with, and the audit record without which none acts. */
#include "services/alertmanager/api.h"

void alm_api_error(struct ops_http_req *req, int code, const char *message)
{
	ops_http_reply_json(req, code, json_string(message));
}

bool alm_api_audit(struct alm *s, struct ops_http_req *req, const char *action, const char *object,
	json_t *after, const char *alert)
{
	const struct ops_audit_entry e = {.actor = ops_http_principal(req),
		.actor_type = "user",
		.action = action,
		.object = object,
		.source_addr = ops_http_remote(req),
		.trace_id = ops_http_trace_id(req),
		.alert = alert,
		.outcome = "success",
		.after = after};
	if (ops_audit_log(ops_daemon_audit(s->daemon), &e) == 0)
		return true;
	alm_api_error(
		req, 503, "the audit record could not be made durable, so nothing was changed");
	return false;
}
