/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that cannot be read will not get better by repeating it: counted, logged, acknowledged.
 * One that cannot be stored (disk full) is refused, so that the bus brings it again.
 *
 * Pending alerts are history only: nobody is told. A resolved one that never fired (starts_at 0)
 * closes that history.
 */
#include "services/alertmanager/ingest.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/history.h"

static struct ops_metric received = OPS_COUNTER("alertmanager_alerts_received_total",
	"The total number of received alerts.", "status", "version");
static struct ops_metric invalid = OPS_COUNTER("alertmanager_alerts_invalid_total",
	"The total number of received alerts that were invalid.", "version");

/* 0001-01-01T00:00:00Z: how programs in Go write "no time". */
#define GO_ZERO_MS (-62135596800000LL)

enum {
	LABELS_MAX = 256,
	LABELS_BYTES_MAX = 65536,
	ALERTS_MAX = 200000
};

static struct alm_alert *alert_of(const struct ops_alert *a)
{
	struct alm_alert *x = alm_alert_new(ops_labels_ref(a->labels),
		a->annotations != NULL ? ops_labels_ref(a->annotations) : NULL);

	x->starts_at_ms = a->starts_at_ms;
	x->ends_at_ms = a->status == OPS_ALERT_RESOLVED ? a->ends_at_ms : 0;
	x->updated_at_ms = ops_now_ms();
	x->has_value = true;
	x->value = a->value;
	x->generator_url = ops_xstrdup(a->generator_url);
	x->playbook = ops_xstrdup(a->playbook);
	x->expr = ops_xstrdup(a->expr);
	memcpy(x->traceparent, a->traceparent, sizeof x->traceparent);
	return x;
}

static int store(struct alm *s, const struct ops_event *e, const struct ops_alert *a)
{
	const struct alm_transition t = {
		.id = e->id, .source = e->source, .at_ms = e->time_ms, .alert = a};
	int rc = alm_history_transition(s->outbox, &t);

	if (rc == 0)
		rc = ops_outbox_sync(s->outbox);
	if (rc != 0 || a->status == OPS_ALERT_PENDING || a->starts_at_ms == 0)
		return rc;
	rc = alm_alerts_put(s->alerts, alert_of(a));
	return rc == 0 ? alm_alerts_sync(s->alerts) : rc;
}

static int decode_and_store(struct alm *s, const struct ops_bus_message *m, struct ops_error *err)
{
	OPS_JSON_AUTO *doc = NULL;
	struct ops_event e;
	struct ops_alert a;
	int stored = 0;

	int rc = ops_event_decode(m->payload, m->len, &e, &doc, err);
	if (rc != 0 || !ops_str_eq(e.type, "ops.alert"))
		return rc;
	ops_alert_init(&a);
	rc = ops_alert_from_json(e.data, &a, err);
	if (rc == 0) {
		stored = store(s, &e, &a);
		ops_metric_add(&received, 1, ops_alert_status_text(a.status), "bus");
	}
	ops_alert_done(&a);
	return rc != 0 ? -EINVAL : stored;
}

int alm_ingest_message(void *arg, const struct ops_bus_message *m)
{
	struct ops_error err = {0};

	if (m->seq == 0)
		return 0;
	int rc = decode_and_store(arg, m, &err);
	if (rc == -EINVAL || rc == -EMSGSIZE) {
		ops_metric_add(&invalid, 1, "bus");
		log_warn("refused a message of the alert stream", F_STR("topic", m->topic),
			F_STR("error", err.message));
		return 0;
	}
	if (rc != 0)
		log_error("could not store an alert; it will come again", F_STR("topic", m->topic),
			F_ERR(rc));
	return rc;
}

/* ---- POST ---- */

static int read_times(const json_t *posted, int64_t resolve_timeout_ms, struct alm_alert *a,
	struct ops_error *err)
{
	int64_t now_ms = ops_now_ms(), zero = GO_ZERO_MS;

	if (ops_json_get_time(posted, "startsAt", &a->starts_at_ms, err) < 0 ||
		ops_json_get_time(posted, "endsAt", &a->ends_at_ms, err) < 0)
		return -EINVAL;
	if (a->starts_at_ms == zero)
		a->starts_at_ms = 0;
	if (a->ends_at_ms == zero)
		a->ends_at_ms = 0;
	if (a->starts_at_ms == 0)
		a->starts_at_ms = a->ends_at_ms != 0 ? a->ends_at_ms : now_ms;
	if (a->ends_at_ms == 0) {
		a->timeout = true;
		a->ends_at_ms = now_ms + resolve_timeout_ms;
	}
	if (a->ends_at_ms < a->starts_at_ms)
		return ops_error_set(err, -EINVAL, "start time must be before end time");
	a->updated_at_ms = now_ms;
	return 0;
}

static bool too_large(const struct ops_labels *ls)
{
	size_t bytes = 0;
	for (uint32_t i = 0; ls != NULL && i < ls->n; i++)
		bytes += ls->items[i].name_len + ls->items[i].value_len;
	return ls != NULL && (ls->n > LABELS_MAX || bytes > LABELS_BYTES_MAX);
}

static int read_posted(
	struct alm *s, const json_t *posted, struct alm_alert **ret, struct ops_error *err)
{
	struct ops_labels *labels = NULL, *annotations = NULL;
	const char *generator = NULL;
	json_t *obj = NULL;

	if (!json_is_object(posted))
		return ops_error_set(err, -EINVAL, "an alert must be an object");
	if (ops_json_get_object(posted, "labels", &obj, err) != 0)
		return ops_error_set(err, -EINVAL, "labels is required");
	int rc = alm_labels_from_json(obj, &labels, err);
	obj = NULL;
	if (rc == 0 && ops_json_get_object(posted, "annotations", &obj, err) < 0)
		rc = -EINVAL;
	if (rc == 0 && obj != NULL)
		rc = alm_labels_from_json(obj, &annotations, err);
	if (rc == 0 && labels->n == 0)
		rc = ops_error_set(err, -EINVAL, "at least one label pair is required");
	if (rc == 0 && (too_large(labels) || too_large(annotations)))
		rc = ops_error_set(err, -EINVAL,
			"an alert has at most %d labels and annotations each, of %d bytes",
			LABELS_MAX, LABELS_BYTES_MAX);
	if (rc == 0 && ops_json_get_string(posted, "generatorURL", &generator, err) < 0)
		rc = -EINVAL;
	if (rc != 0) {
		ops_labels_unref(labels);
		ops_labels_unref(annotations);
		return rc;
	}
	struct alm_alert *a = alm_alert_new(labels, annotations);
	a->generator_url = ops_xstrdup(generator);
	a->posted = true;
	rc = read_times(
		posted, alm_dispatch_config_now(s->dispatch)->global.resolve_timeout_ms, a, err);
	if (rc != 0) {
		alm_alert_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

int alm_ingest_posted(struct alm *s, const json_t *posted, struct ops_error *err)
{
	struct alm_alert *a = NULL;
	int rc = read_posted(s, posted, &a, err);

	if (rc != 0) {
		ops_metric_add(&invalid, 1, "v2");
		return rc;
	}
	if (alm_alerts_count(s->alerts) >= ALERTS_MAX &&
		alm_alerts_get(s->alerts, a->fingerprint) == NULL) {
		alm_alert_free(a);
		ops_metric_add(&invalid, 1, "v2");
		return ops_error_set(
			err, -ENOSPC, "%d alerts are known already, no more are taken", ALERTS_MAX);
	}
	ops_metric_add(
		&received, 1, alm_alert_resolved(a, ops_now_ms()) ? "resolved" : "firing", "v2");
	rc = alm_alerts_put(s->alerts, a);
	return rc == 0 ? 0
		       : ops_error_set(err, rc, "the alert could not be stored: %s", strerror(-rc));
}
