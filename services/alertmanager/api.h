/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* HTTP doors: Alertmanager's /api/v2, notes, and what this service remembers of notifications and
 * runs. */
#include "services/alertmanager/alm.h"

void alm_api_routes(struct alm *s);
void alm_drain_check(struct alm *s); /* service.c: tells the daemon when nothing is under way */
void alm_notified_clear(struct alm_notified *n);

/* ---- shared by api_*.c ---- */
/* Errors of API v2 are a JSON string, as amtool expects them. */
void alm_api_error(struct ops_http_req *req, int code, const char *message);
/* Audit record of what the caller is about to do; false: replied 503, do nothing. */
bool alm_api_audit(struct alm *s, struct ops_http_req *req, const char *action, const char *object,
	json_t *after_taken, const char *alert);

/* The selection that GET alerts and GET alerts/groups share. */
struct alm_filter {
	struct ops_matchers matchers;
	struct ops_regex *receiver; /* NULL = any */
	bool active, silenced, inhibited, unprocessed, muted;
};
int alm_filter_read(
	struct ops_http_req *req, struct alm_filter *ret); /* on failure it has replied */
void alm_filter_done(struct alm_filter *f);
bool alm_filter_receiver(const struct alm_filter *f, const char *name);
/* gettableAlert, or NULL when the filter leaves it out. receivers: names, borrowed; muted_by may be
 * NULL. */
json_t *alm_api_alert(struct alm *s, const struct alm_filter *f, const struct alm_alert *a,
	json_t *receivers_taken, const char *muted_by);

void alm_api_get_alerts(struct ops_http_req *req, void *arg);
void alm_api_post_alerts(struct ops_http_req *req, void *arg);
void alm_api_get_groups(struct ops_http_req *req, void *arg);
void alm_api_get_silences(struct ops_http_req *req, void *arg);
void alm_api_post_silences(struct ops_http_req *req, void *arg);
void alm_api_get_silence(struct ops_http_req *req, void *arg);
void alm_api_delete_silence(struct ops_http_req *req, void *arg);
void alm_api_post_note(struct ops_http_req *req, void *arg);
