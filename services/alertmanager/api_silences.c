/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v2/silences and /api/v2/silence/{id}. A silence is audited before it takes effect. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/alertmanager/api.h"
#include "services/alertmanager/history.h"

/* Filters on a silence are matched against its own matchers: name="value" finds silences of that
 * label. */
static bool selected(const struct alm_filter *f, const struct alm_silence *s)
{
	struct ops_labels_builder b;

	if (f->matchers.n == 0)
		return true;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < s->matchers.n; i++)
		ops_labels_builder_set(&b, s->matchers.items[i].name, s->matchers.items[i].value);
	struct ops_labels *ls = ops_labels_builder_build(&b);
	bool hit = ops_matchers_match(&f->matchers, ls);
	ops_labels_unref(ls);
	ops_labels_builder_done(&b);
	return hit;
}

/* Active first by end, then pending by start, then expired, the latest first. */
static int by_urgency(const void *x, const void *y)
{
	const struct alm_silence *const *a = x, *const *b = y;
	static const int rank[] = {
		[ALM_SILENCE_ACTIVE] = 0, [ALM_SILENCE_PENDING] = 1, [ALM_SILENCE_EXPIRED] = 2};
	int64_t now_ms = ops_now_ms();
	enum alm_silence_state sa = alm_silence_state(*a, now_ms),
			       sb = alm_silence_state(*b, now_ms);
	int64_t ka = sa == ALM_SILENCE_PENDING ? (*a)->starts_at_ms : (*a)->ends_at_ms;
	int64_t kb = sb == ALM_SILENCE_PENDING ? (*b)->starts_at_ms : (*b)->ends_at_ms;

	if (rank[sa] != rank[sb])
		return rank[sa] - rank[sb];
	int c = (ka > kb) - (ka < kb);
	return sa == ALM_SILENCE_EXPIRED ? -c : c;
}

void alm_api_get_silences(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	struct alm_filter f;
	const struct alm_silence **all = NULL;
	const struct alm_silence *silence;
	size_t n = 0, cap = 0;

	if (alm_filter_read(req, &f) != 0)
		return;
	for (size_t at = 0; (silence = alm_silences_next(s->silences, &at)) != NULL;) {
		if (!selected(&f, silence))
			continue;
		OPS_GROW(all, n, cap);
		all[n++] = silence;
	}
	if (n > 1)
		qsort(all, n, sizeof all[0], by_urgency);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, alm_silence_to_json(all[i], ops_now_ms()));
	free(all);
	alm_filter_done(&f);
	ops_http_reply_json(req, 200, list);
}

void alm_api_post_silences(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	struct alm_silence *silence = NULL;
	const struct alm_silence *stored = NULL;
	struct ops_error err = {0};
	OPS_JSON_AUTO *body = NULL;

	if (ops_http_json(req, &body) != 0)
		return;
	int rc = alm_silence_from_json(body, &silence, &err);
	if (rc == 0 && silence->created_by[0] == '\0' && ops_http_authenticated(req)) {
		free(silence->created_by);
		silence->created_by = ops_xstrdup(ops_http_principal(req));
	}
	if (rc == 0)
		rc = alm_silence_validate(silence, &err);
	if (rc != 0) {
		alm_silence_free(silence);
		alm_api_error(req, 400, err.message);
		return;
	}
	if (!alm_api_audit(s, req, "silence.set", "silence", json_incref(body), NULL)) {
		alm_silence_free(silence);
		return;
	}
	rc = alm_silences_set(s->silences, silence, &stored, &err);
	if (rc != 0) {
		alm_api_error(req,
			rc == ALM_SILENCES_UNKNOWN ? 404
			: rc == -EINVAL		   ? 400
						   : 503,
			rc == ALM_SILENCES_UNKNOWN ? "silence not found" : err.message);
		return;
	}
	alm_history_silence(s->outbox, stored);
	json_t *reply = json_object();
	ops_json_set_string(reply, "silenceID", stored->id);
	ops_http_reply_json(req, 200, reply);
}

void alm_api_get_silence(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	const struct alm_silence *silence =
		alm_silences_get(s->silences, ops_http_segment(req, "id"));

	if (silence == NULL)
		alm_api_error(req, 404, "silence not found");
	else
		ops_http_reply_json(req, 200, alm_silence_to_json(silence, ops_now_ms()));
}

void alm_api_delete_silence(struct ops_http_req *req, void *arg)
{
	struct alm *s = arg;
	const char *id = ops_http_segment(req, "id");
	const struct alm_silence *silence = alm_silences_get(s->silences, id);

	if (silence == NULL) {
		alm_api_error(req, 404, "silence not found");
		return;
	}
	char *object OPS_CLEANUP(ops_freep) = ops_xasprintf("silence/%s", silence->id);
	if (!alm_api_audit(s, req, "silence.expire", object, NULL, NULL))
		return;
	int rc = alm_silences_expire(s->silences, id, &silence);
	if (rc == -EALREADY) {
		alm_api_error(req, 500, "silence is already expired");
		return;
	}
	if (rc != 0) {
		alm_api_error(req, 503, "the change could not be made durable");
		return;
	}
	alm_history_silence(s->outbox, silence);
	ops_http_reply(req, 200, "application/json", "", 0);
}
