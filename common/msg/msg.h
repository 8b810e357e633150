/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The message catalogue: encode, decode and validate what travels on the bus. Events are
 * CloudEvents 1.0 in JSON (one line); samples are binary (layout, batch; see msg/samples.h).
 * Decoders bound and check everything and never keep pointers into the input.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/model/labels.h"

struct ops_strbuf;

/* CloudEvents envelope. data is taken. Types: "ops.alert", "ops.notification", "ops.playbook",
 * "ops.freeze", "ops.members", "ops.note". */
struct ops_event {
	const char *source; /* "ops-detector" */
	const char *type;
	const char *subject;	 /* fingerprint, scope ...; may be NULL */
	const char *traceparent; /* may be NULL */
	const char *id;		 /* NULL = a new UUID */
	int64_t time_ms;	 /* 0 = now */
	json_t *data;
};
/* One line of JSON without the newline. */
void ops_event_encode(const struct ops_event *e, struct ops_strbuf *out);
/* Validates the envelope and the type; strings borrow from *ret_doc, which the caller decrefs. */
int ops_event_decode(const char *payload, size_t len, struct ops_event *ret, json_t **ret_doc,
	struct ops_error *err) OPS_MUST_CHECK;

/* 00-<trace id>-<parent id>-<flags> of W3C Trace Context. */
bool ops_traceparent_valid(const char *s);

/* ---- alert transition, data of "ops.alert" ---- */
enum ops_alert_status {
	OPS_ALERT_PENDING,
	OPS_ALERT_FIRING,
	OPS_ALERT_RESOLVED
};
const char *ops_alert_status_text(
	enum ops_alert_status s); /* pending, firing, resolved; inactive never travels */

struct ops_alert {
	enum ops_alert_status status;
	struct ops_labels *labels;	/* owned; with alertname */
	struct ops_labels *annotations; /* owned; may be NULL */
	uint64_t fingerprint;		/* of labels */
	int64_t active_at_ms;		/* first breach */
	int64_t starts_at_ms;		/* firing since; 0 while pending */
	int64_t ends_at_ms;		/* resolved at; 0 otherwise */
	double value;
	char *expr, *generator_url, *playbook,
		*rule;	      /* owned; may be NULL. rule = "file;group;name" */
	char traceparent[56]; /* "" = none */
};
void ops_alert_init(struct ops_alert *a);
void ops_alert_done(struct ops_alert *a);
json_t *ops_alert_to_json(const struct ops_alert *a) OPS_MUST_CHECK;
/*
 * Members: status, fingerprint, labels, annotations, active_at, starts_at, ends_at (RFC 3339; left
 * out when 0), value (number, or "NaN" "+Inf" "-Inf"), expr, generator_url, playbook, rule,
 * traceparent. Recomputes and checks the fingerprint. Firing needs starts_at, resolved needs
 * ends_at.
 */
int ops_alert_from_json(
	const json_t *data, struct ops_alert *ret, struct ops_error *err) OPS_MUST_CHECK;
/* "alerts/<status>/<severity>/<alertname>"; severity "none" when absent; bytes other than
 * [A-Za-z0-9_.:-] become '_'. */
void ops_alert_topic(const struct ops_alert *a, struct ops_strbuf *out);
void ops_fingerprint_text(uint64_t fp, char ret_text[17]); /* 16 hex digits */
int ops_fingerprint_parse(const char *s, uint64_t *ret) OPS_MUST_CHECK;

/* ---- freeze state of one scope, data of "ops.freeze" ---- */
struct ops_freeze_state {
	char *scope;
	bool frozen;
	char *reason, *actor,
		*source; /* source: manual, alert, calendar, out-of-band; may be NULL when open */
	char *freeze_id; /* UUID of the deciding record; NULL when open */
	char *alert;	 /* fingerprint text; may be NULL */
	int64_t since_ms, until_ms; /* until 0 = open end */
};
/* Members: scope, frozen, reason, actor, source, freeze_id, alert, since, until; what is not set is
 * left out. */
void ops_freeze_state_done(struct ops_freeze_state *s);
json_t *ops_freeze_state_to_json(const struct ops_freeze_state *s) OPS_MUST_CHECK;
int ops_freeze_state_from_json(
	const json_t *data, struct ops_freeze_state *ret, struct ops_error *err) OPS_MUST_CHECK;

/* ---- change: the audit record as it is requested ---- */
struct ops_change {
	char id[37];		  /* UUID, idempotency key; made by ops_change_init */
	int64_t time_us;	  /* wall clock, microseconds */
	char *actor, *actor_type; /* actor_type: user, service, playbook, system */
	char *action;		  /* "freeze.set" */
	char *object;		  /* "freeze/claims" */
	json_t *before, *after;	  /* owned; may be NULL */
	char *reason, *source_addr, *trace_id, *alert,
		*outcome; /* may be NULL; outcome: success, refused, failed */
	char *service;
};
void ops_change_init(struct ops_change *c);
void ops_change_done(struct ops_change *c);
json_t *ops_change_to_json(const struct ops_change *c) OPS_MUST_CHECK;
/*
 * Members as the fields; unknown ones are refused. Without id and time_us they are made now;
 * actor_type is "user" when absent. Bounds: actor, action, object 1..256 bytes, reason <= 4096,
 * before/after <= 64 KiB as text.
 */
int ops_change_from_json(
	const json_t *data, struct ops_change *ret, struct ops_error *err) OPS_MUST_CHECK;
