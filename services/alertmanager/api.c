/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of doors, status and receivers, and our own lists of runs and notifications. Who may do
 * what: reading needs a viewer; alerts, silences and notes an operator.
 */
#include "services/alertmanager/api.h"

#include <string.h>

#include "ops_version.h"

static void get_status(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	json_t *j = json_object(), *cluster = json_object(), *version = json_object(),
	       *config = json_object();
	char *text OPS_CLEANUP(ops_freep) = alm_config_masked(alm_dispatch_config_now(s->dispatch));

	ops_json_set_string(cluster, "name", "");
	ops_json_set(cluster, "peers", json_array());
	ops_json_set_string(cluster, "status", "disabled");
	ops_json_set_string(version, "branch", "");
	ops_json_set_string(version, "buildDate", "");
	ops_json_set_string(version, "buildUser", "");
	ops_json_set_string(version, "goVersion", "");
	ops_json_set_string(version, "revision", OPS_REVISION);
	ops_json_set_string(version, "version", OPS_VERSION);
	ops_json_set_string(config, "original", text);
	ops_json_set(j, "cluster", cluster);
	ops_json_set(j, "versionInfo", version);
	ops_json_set(j, "config", config);
	ops_json_set_time(j, "uptime", s->started_ms);
	ops_http_reply_json(req, 200, j);
}

static void get_receivers(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	const struct alm_config *cfg = alm_dispatch_config_now(s->dispatch);
	json_t *list = json_array();

	for (size_t i = 0; i < cfg->nreceivers; i++) {
		json_t *r = json_object();
		ops_json_set_string(r, "name", cfg->receivers[i].name);
		json_array_append_new(list, r);
	}
	ops_http_reply_json(req, 200, list);
}

static bool wanted(const char *filter, const char *list)
{
	return filter == NULL || filter[0] == '\0' || strstr(list, filter) != NULL;
}

static void get_runs(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	const char *alert = ops_http_param(req, "alert");
	json_t *list = json_array();
	const struct alm_run *run;

	for (size_t i = 0; (run = alm_playbooks_run(s->playbooks, i)) != NULL; i++) {
		if (wanted(alert, run->fingerprint))
			json_array_append_new(list, alm_run_to_json(run));
	}
	ops_http_reply_json(req, 200, list);
}

static json_t *notified_json(const struct alm_notified *n)
{
	json_t *j = json_object(), *fingerprints = json_array();

	for (const char *p = n->fingerprints; *p != '\0';) {
		size_t len = strcspn(p, ",");
		json_array_append_new(fingerprints, json_stringn(p, len));
		p += len + (p[len] == ',');
	}
	ops_json_set_string(j, "id", n->id);
	ops_json_set_time(j, "at", n->at_ms);
	ops_json_set_string(j, "receiver", n->receiver);
	ops_json_set_string(j, "integration", n->integration);
	ops_json_set_string(j, "reason", n->reason);
	ops_json_set_string(j, "outcome", n->sent ? "sent" : "failed");
	ops_json_set_i64(j, "code", n->code);
	ops_json_set_i64(j, "attempts", n->attempts);
	ops_json_set_string(j, "error", n->error);
	ops_json_set_i64(j, "durationMs", n->duration_ms);
	ops_json_set_string(j, "groupKey", n->group_key);
	ops_json_set(j, "fingerprints", fingerprints);
	return j;
}

static void get_notifications(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	const char *alert = ops_http_param(req, "alert");
	json_t *list = json_array();
	size_t first = s->nnotified > ALM_NOTIFIED_KEPT ? s->nnotified - ALM_NOTIFIED_KEPT : 0;

	for (size_t i = first; i < s->nnotified; i++) {
		const struct alm_notified *n = &s->notified[i % ALM_NOTIFIED_KEPT];
		if (wanted(alert, n->fingerprints))
			json_array_append_new(list, notified_json(n));
	}
	ops_http_reply_json(req, 200, list);
}

void alm_notified_clear(struct alm_notified *n)
{
	free(n->receiver);
	free(n->integration);
	free(n->reason);
	free(n->error);
	free(n->group_key);
	free(n->fingerprints);
	*n = (struct alm_notified){0};
}

void alm_api_routes(struct alm *s)
{
	static const struct {
		unsigned methods;
		const char *pattern;
		enum ops_role least;
		void (*fn)(struct ops_http_req *req, void *arg);
	} doors[] = {
		{OPS_GET, "/api/v2/status", OPS_ROLE_VIEWER, get_status},
		{OPS_GET, "/api/v2/receivers", OPS_ROLE_VIEWER, get_receivers},
		{OPS_GET, "/api/v2/alerts", OPS_ROLE_VIEWER, alm_api_get_alerts},
		{OPS_POST, "/api/v2/alerts", OPS_ROLE_OPERATOR, alm_api_post_alerts},
		{OPS_GET, "/api/v2/alerts/groups", OPS_ROLE_VIEWER, alm_api_get_groups},
		{OPS_GET, "/api/v2/silences", OPS_ROLE_VIEWER, alm_api_get_silences},
		{OPS_POST, "/api/v2/silences", OPS_ROLE_OPERATOR, alm_api_post_silences},
		{OPS_GET, "/api/v2/silence/{id}", OPS_ROLE_VIEWER, alm_api_get_silence},
		{OPS_DELETE, "/api/v2/silence/{id}", OPS_ROLE_OPERATOR, alm_api_delete_silence},
		{OPS_POST, "/api/note", OPS_ROLE_OPERATOR, alm_api_post_note},
		{OPS_GET, "/api/v1/playbooks", OPS_ROLE_VIEWER, get_runs},
		{OPS_GET, "/api/v1/notifications", OPS_ROLE_VIEWER, get_notifications},
	};
	struct ops_http_server *http = ops_daemon_http(s->daemon);

	for (size_t i = 0; i < OPS_LENGTH(doors); i++)
		ops_http_route(
			http, doors[i].methods, doors[i].pattern, doors[i].least, doors[i].fn, s);
}
