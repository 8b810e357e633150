/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An alert's transition. The fingerprint travels for people and filters, but whoever receives it
 * computes it again: it is the id that joins an incident, so it may not be a claim. Times that are
 * not set are left out; a value that JSON has no number for (NaN, infinities) is a text.
 */
#include "common/msg/msg.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/msg/fields.h"

static const char *const status_words[] = {"pending", "firing", "resolved", NULL};

const char *ops_alert_status_text(enum ops_alert_status s)
{
	return status_words[s];
}

void ops_fingerprint_text(uint64_t fp, char ret_text[17])
{
	snprintf(ret_text, 17, "%016" PRIx64, fp);
}

int ops_fingerprint_parse(const char *s, uint64_t *ret)
{
	return strlen(s) == 16 ? ops_parse_hex_u64(s, 16, ret) : -EINVAL;
}

void ops_alert_init(struct ops_alert *a)
{
	*a = (struct ops_alert){0};
}

void ops_alert_done(struct ops_alert *a)
{
	ops_labels_unref(a->labels);
	ops_labels_unref(a->annotations);
	free(a->expr);
	free(a->generator_url);
	free(a->playbook);
	free(a->rule);
	ops_alert_init(a);
}

static json_t *value_to_json(double v)
{
	if (isfinite(v))
		return json_real(v);
	return json_string(isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
}

json_t *ops_alert_to_json(const struct ops_alert *a)
{
	char fingerprint[17];
	json_t *j = json_object();
	ops_fingerprint_text(ops_labels_fingerprint(a->labels), fingerprint);
	ops_json_set_string(j, "status", ops_alert_status_text(a->status));
	ops_json_set_string(j, "fingerprint", fingerprint);
	ops_json_set(j, "labels", ops_msg_labels_json(a->labels));
	ops_json_set(j, "annotations", ops_msg_labels_json(a->annotations));
	ops_msg_put_time(j, "active_at", a->active_at_ms);
	ops_msg_put_time(j, "starts_at", a->starts_at_ms);
	ops_msg_put_time(j, "ends_at", a->ends_at_ms);
	ops_json_set(j, "value", value_to_json(a->value));
	ops_msg_put(j, "expr", a->expr);
	ops_msg_put(j, "generator_url", a->generator_url);
	ops_msg_put(j, "playbook", a->playbook);
	ops_msg_put(j, "rule", a->rule);
	ops_msg_put(j, "traceparent", a->traceparent);
	return j;
}

/* ---- reading ---- */

static int read_status(const json_t *data, struct ops_alert *a, struct ops_error *err)
{
	const char *text = NULL;
	int r = ops_json_get_string(data, "status", &text, err);
	if (r == 1)
		return ops_error_set(err, -EINVAL, "member \"status\" is missing");
	if (r == 0)
		r = ops_msg_one_of("status", text, status_words, err);
	if (r != 0)
		return r;
	for (size_t i = 0; status_words[i] != NULL; i++) {
		if (strcmp(status_words[i], text) == 0)
			a->status = (enum ops_alert_status)i;
	}
	return 0;
}

static int read_labels(const json_t *data, struct ops_alert *a, struct ops_error *err)
{
	int r = ops_msg_labels(data, "labels", &a->labels, err);
	if (r == 1 || (r == 0 && ops_labels_get(a->labels, "alertname") == NULL))
		return ops_error_set(err, -EINVAL, "label \"alertname\" is missing");
	if (r != 0)
		return r;
	a->fingerprint = ops_labels_fingerprint(a->labels);
	r = ops_msg_labels(data, "annotations", &a->annotations, err);
	return r < 0 ? r : 0;
}

static int check_fingerprint(const json_t *data, const struct ops_alert *a, struct ops_error *err)
{
	const char *text = NULL;
	uint64_t claimed = 0;
	int r = ops_json_get_string(data, "fingerprint", &text, err);
	if (r != 0)
		return r == 1 ? 0 : r;
	if (ops_fingerprint_parse(text, &claimed) != 0)
		return ops_error_set(err, -EINVAL, "member \"fingerprint\" is not 16 hex digits");
	if (claimed != a->fingerprint)
		return ops_error_set(err, -EINVAL,
			"fingerprint %s is not that of the labels (%016" PRIx64 ")", text,
			a->fingerprint);
	return 0;
}

static int read_times(const json_t *data, struct ops_alert *a, struct ops_error *err)
{
	int r = ops_msg_time(data, "active_at", &a->active_at_ms, err);
	r = r != 0 ? r : ops_msg_time(data, "starts_at", &a->starts_at_ms, err);
	r = r != 0 ? r : ops_msg_time(data, "ends_at", &a->ends_at_ms, err);
	if (r != 0)
		return r;
	if (a->status == OPS_ALERT_FIRING && a->starts_at_ms == 0)
		return ops_error_set(err, -EINVAL, "a firing alert needs \"starts_at\"");
	if (a->status == OPS_ALERT_RESOLVED && a->ends_at_ms == 0)
		return ops_error_set(err, -EINVAL, "a resolved alert needs \"ends_at\"");
	return 0;
}

static int read_value(const json_t *data, double *ret, struct ops_error *err)
{
	const json_t *j = json_object_get(data, "value");
	if (json_is_string(j)) {
		if (ops_parse_double(json_string_value(j), json_string_length(j), ret) != 0)
			return ops_error_set(err, -EINVAL, "member \"value\" is no number");
		return 0;
	}
	int r = ops_json_get_double(data, "value", ret, err);
	return r == 1 ? 0 : r;
}

static int read_trace(const json_t *data, struct ops_alert *a, struct ops_error *err)
{
	const char *text = NULL;
	int r = ops_json_get_string(data, "traceparent", &text, err);
	if (r != 0)
		return r == 1 ? 0 : r;
	if (!ops_traceparent_valid(text))
		return ops_error_set(err, -EINVAL, "member \"traceparent\" is malformed");
	snprintf(a->traceparent, sizeof(a->traceparent), "%s", text);
	return 0;
}

static int read_alert(const json_t *data, struct ops_alert *a, struct ops_error *err)
{
	const struct ops_msg_text texts[] = {
		{"expr", 0, 64 * 1024, &a->expr},
		{"generator_url", 0, 4096, &a->generator_url},
		{"playbook", 0, 256, &a->playbook},
		{"rule", 0, 2048, &a->rule},
		{NULL, 0, 0, NULL},
	};
	int r = read_status(data, a, err);
	r = r != 0 ? r : read_labels(data, a, err);
	r = r != 0 ? r : check_fingerprint(data, a, err);
	r = r != 0 ? r : read_times(data, a, err);
	r = r != 0 ? r : read_value(data, &a->value, err);
	r = r != 0 ? r : read_trace(data, a, err);
	return r != 0 ? r : ops_msg_texts(data, texts, err);
}

int ops_alert_from_json(const json_t *data, struct ops_alert *ret, struct ops_error *err)
{
	if (!json_is_object(data))
		return ops_error_set(err, -EINVAL, "an alert must be a JSON object");
	struct ops_alert a;
	ops_alert_init(&a);
	int r = read_alert(data, &a, err);
	if (r == 0)
		*ret = a;
	else
		ops_alert_done(&a);
	return r;
}

/* ---- topic ---- */

static void add_word(struct ops_strbuf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		bool plain = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
			     (*s >= 'A' && *s <= 'Z') || strchr("_.:-", *s) != NULL;
		ops_strbuf_addc(out, plain ? *s : '_');
	}
}

void ops_alert_topic(const struct ops_alert *a, struct ops_strbuf *out)
{
	const char *severity = ops_labels_get(a->labels, "severity");
	const char *name = ops_labels_get(a->labels, "alertname");
	ops_strbuf_printf(out, "alerts/%s/", ops_alert_status_text(a->status));
	add_word(out, severity != NULL ? severity : "none");
	ops_strbuf_addc(out, '/');
	add_word(out, name != NULL ? name : "");
}
