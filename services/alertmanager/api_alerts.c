/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v2/alerts and /api/v2/alerts/groups in Alertmanager's shapes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "services/alertmanager/api.h"
#include "services/alertmanager/ingest.h"
#include "services/alertmanager/route.h"

enum {
	FILTERS_MAX = 64,
	ALERTS_PER_POST = 50000
};

/* ---- selection ---- */

static int read_flag(struct ops_http_req *req, const char *name, bool *ret)
{
	const char *text = ops_http_param(req, name);

	*ret = true;
	if (text == NULL || ops_str_eq(text, "true") || ops_str_eq(text, "1"))
		return 0;
	*ret = false;
	return ops_str_eq(text, "false") || ops_str_eq(text, "0") ? 0 : -EINVAL;
}

static int read_matchers(struct ops_http_req *req, struct alm_filter *f, struct ops_error *err)
{
	const char *texts[FILTERS_MAX];
	size_t n = ops_http_params(req, "filter", texts, FILTERS_MAX);

	for (size_t i = 0; i < n; i++) {
		int rc = ops_matchers_parse(&f->matchers, texts[i], strlen(texts[i]), err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int alm_filter_read(struct ops_http_req *req, struct alm_filter *ret)
{
	struct ops_error err = {0};
	const char *receiver = ops_http_param(req, "receiver");

	*ret = (struct alm_filter){0};
	ops_matchers_init(&ret->matchers);
	int rc = read_matchers(req, ret, &err);
	if (rc == 0 && receiver != NULL && receiver[0] != '\0')
		rc = ops_regex_new(receiver, strlen(receiver), &ret->receiver, &err);
	if (rc == 0 && (read_flag(req, "active", &ret->active) != 0 ||
			       read_flag(req, "silenced", &ret->silenced) != 0 ||
			       read_flag(req, "inhibited", &ret->inhibited) != 0 ||
			       read_flag(req, "unprocessed", &ret->unprocessed) != 0 ||
			       read_flag(req, "muted", &ret->muted) != 0))
		rc = ops_error_set(&err, -EINVAL,
			"active, silenced, inhibited, unprocessed and muted are true or false");
	if (rc != 0) {
		alm_filter_done(ret);
		alm_api_error(req, 400, err.message);
	}
	return rc;
}

void alm_filter_done(struct alm_filter *f)
{
	ops_matchers_done(&f->matchers);
	ops_regex_free(f->receiver);
}

bool alm_filter_receiver(const struct alm_filter *f, const char *name)
{
	return f->receiver == NULL || ops_regex_match(f->receiver, name, strlen(name));
}

/* ---- gettableAlert ---- */

static json_t *status_json(const struct alm_suppression *why, const char *muted_by)
{
	json_t *status = json_object(), *silenced = json_array(), *inhibited = json_array(),
	       *muted = json_array();
	char text[17];

	for (size_t i = 0; i < why->nsilences; i++)
		json_array_append_new(silenced, json_string(why->silences[i]));
	if (why->inhibited) {
		snprintf(text, sizeof text, "%016llx", (unsigned long long)why->inhibited_by);
		json_array_append_new(inhibited, json_string(text));
	}
	if (muted_by != NULL)
		json_array_append_new(muted, json_string(muted_by));
	bool suppressed = why->nsilences > 0 || why->inhibited || muted_by != NULL;
	ops_json_set(status, "inhibitedBy", inhibited);
	ops_json_set(status, "mutedBy", muted);
	ops_json_set(status, "silencedBy", silenced);
	ops_json_set_string(status, "state", suppressed ? "suppressed" : "active");
	return status;
}

static bool passes(const struct alm_filter *f, const struct alm_alert *a,
	const struct alm_suppression *why, const char *muted_by)
{
	bool suppressed = why->nsilences > 0 || why->inhibited || muted_by != NULL;

	if (alm_alert_resolved(a, ops_now_ms()) || !ops_matchers_match(&f->matchers, a->labels))
		return false;
	return (f->active || suppressed) && (f->silenced || why->nsilences == 0) &&
	       (f->inhibited || !why->inhibited) && (f->muted || muted_by == NULL);
}

/* An open end is shown as if its source repeated itself now: clients want a time there. */
static int64_t shown_end(const struct alm *s, const struct alm_alert *a)
{
	if (a->ends_at_ms != 0)
		return a->ends_at_ms;
	return ops_now_ms() + alm_dispatch_config_now(s->dispatch)->global.resolve_timeout_ms;
}

json_t *alm_api_alert(struct alm *s, const struct alm_filter *f, const struct alm_alert *a,
	json_t *receivers, const char *muted_by)
{
	struct alm_suppression why;

	alm_suppression(s->dispatch, a, &why);
	if (!passes(f, a, &why, muted_by)) {
		json_decref(receivers);
		return NULL;
	}
	json_t *j = json_object();
	ops_json_set(j, "annotations", alm_labels_to_json(a->annotations));
	ops_json_set_time(j, "endsAt", shown_end(s, a));
	ops_json_set_string(j, "fingerprint", a->id);
	ops_json_set(j, "receivers", receivers);
	ops_json_set_time(j, "startsAt", a->starts_at_ms);
	ops_json_set(j, "status", status_json(&why, muted_by));
	ops_json_set_time(j, "updatedAt", a->updated_at_ms);
	ops_json_set_string(j, "generatorURL", a->generator_url != NULL ? a->generator_url : "");
	ops_json_set(j, "labels", alm_labels_to_json(a->labels));
	return j;
}

static json_t *receiver_json(const char *name)
{
	json_t *r = json_object();
	ops_json_set_string(r, "name", name);
	return r;
}

/* NULL when none of its receivers is wanted. */
static json_t *receivers_of(struct alm *s, const struct alm_filter *f, const struct alm_alert *a,
	const char **ret_muted_by)
{
	const struct alm_route *routes[ALM_ROUTES_MAX];
	size_t n = alm_route_match(
		alm_dispatch_config_now(s->dispatch)->route, a->labels, routes, ALM_ROUTES_MAX);
	json_t *list = json_array();
	bool wanted = false;
	size_t muted = 0;

	for (size_t i = 0; i < n; i++) {
		const char *by = alm_route_muted_by(routes[i], ops_now_ms());
		wanted = wanted || alm_filter_receiver(f, routes[i]->receiver->name);
		json_array_append_new(list, receiver_json(routes[i]->receiver->name));
		muted += by != NULL;
		*ret_muted_by = by;
	}
	if (muted < n) /* somebody is told */
		*ret_muted_by = NULL;
	if (!wanted) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* ---- doors ---- */

static int by_fingerprint(const void *x, const void *y)
{
	const struct alm_alert *const *a = x, *const *b = y;
	return strcmp((*a)->id, (*b)->id);
}

void alm_api_get_alerts(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	struct alm_filter f;
	const struct alm_alert *a;
	size_t n = 0;

	if (alm_filter_read(req, &f) != 0)
		return;
	const struct alm_alert **all OPS_CLEANUP(ops_freep) =
		ops_xcalloc(alm_alerts_count(s->alerts) + 1, sizeof all[0]);
	for (size_t at = 0; (a = alm_alerts_next(s->alerts, &at)) != NULL;)
		all[n++] = a;
	qsort(all, n, sizeof all[0], by_fingerprint);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		const char *muted_by = NULL;
		json_t *receivers = receivers_of(s, &f, all[i], &muted_by);
		json_t *j = receivers != NULL ? alm_api_alert(s, &f, all[i], receivers, muted_by)
					      : NULL;
		if (j != NULL)
			json_array_append_new(list, j);
	}
	alm_filter_done(&f);
	ops_http_reply_json(req, 200, list);
}

void alm_api_post_alerts(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	struct ops_error first = {0};
	OPS_JSON_AUTO *body = NULL;
	int worst = 0;

	if (ops_http_json(req, &body) != 0)
		return;
	if (!json_is_array(body) || json_array_size(body) > ALERTS_PER_POST) {
		alm_api_error(req, 400, "the body must be an array of alerts");
		return;
	}
	for (size_t i = 0; i < json_array_size(body); i++) {
		struct ops_error err = {0};
		int rc = alm_ingest_posted(s, json_array_get(body, i), &err);
		if (rc != 0 && worst == 0)
			first = err;
		worst = worst == 0 || rc != -EINVAL ? OPS_MIN(worst, rc) : worst;
	}
	int rc = alm_alerts_sync(s->alerts);
	if (rc != 0)
		alm_api_error(req, 503, "the alerts could not be made durable");
	else if (worst != 0)
		alm_api_error(req, worst == -EINVAL ? 400 : 503, first.message);
	else
		ops_http_reply(req, 200, "application/json", "", 0);
}

static json_t *group_json(struct alm *s, const struct alm_filter *f, const struct alm_group *g)
{
	json_t *alerts = json_array();

	for (size_t i = 0; i < g->n; i++) {
		json_t *receivers = json_array();
		json_array_append_new(receivers, receiver_json(g->route->receiver->name));
		json_t *j = alm_api_alert(s, f, g->alerts[i], receivers, g->muted_by);
		if (j != NULL)
			json_array_append_new(alerts, j);
	}
	if (json_array_size(alerts) == 0) {
		json_decref(alerts);
		return NULL;
	}
	json_t *j = json_object();
	ops_json_set(j, "alerts", alerts);
	ops_json_set(j, "labels", alm_labels_to_json(g->labels));
	ops_json_set(j, "receiver", receiver_json(g->route->receiver->name));
	return j;
}

static int by_labels(const void *x, const void *y)
{
	const struct alm_group *const *a = x, *const *b = y;
	int c = ops_labels_compare((*a)->labels, (*b)->labels);
	return c != 0 ? c : strcmp((*a)->route->receiver->name, (*b)->route->receiver->name);
}

void alm_api_get_groups(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	struct alm_filter f;
	const struct alm_group *g;
	size_t n = 0;

	if (alm_filter_read(req, &f) != 0)
		return;
	const struct alm_group **all OPS_CLEANUP(ops_freep) =
		ops_xcalloc(alm_dispatch_groups(s->dispatch) + 1, sizeof all[0]);
	for (size_t at = 0; (g = alm_dispatch_next(s->dispatch, &at)) != NULL;)
		all[n++] = g;
	qsort(all, n, sizeof all[0], by_labels);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		bool wanted = alm_filter_receiver(&f, all[i]->route->receiver->name);
		json_t *j = wanted ? group_json(s, &f, all[i]) : NULL;
		if (j != NULL)
			json_array_append_new(list, j);
	}
	alm_filter_done(&f);
	ops_http_reply_json(req, 200, list);
}
