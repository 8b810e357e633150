/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One alert as this service sees it: identified by its labels, firing until ends_at. */
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/model/labels.h"

struct alm_alert {
	uint64_t fingerprint;
	char id[17]; /* fingerprint as text */
	struct ops_labels *labels, *annotations;
	int64_t starts_at_ms;
	int64_t ends_at_ms; /* 0 = open end: its source says when it is over */
	int64_t updated_at_ms;
	bool timeout;  /* ends_at was set by resolve_timeout, not by the sender */
	bool posted;   /* came by HTTP: this service writes its transitions */
	bool end_told; /* the transition to resolved is written; not kept over a restart, the row's
			  id is the same */
	bool has_value;
	double value;
	char *generator_url, *playbook, *expr; /* owned; may be NULL */
	char traceparent[56];
	unsigned groups; /* aggregation groups that hold it */
};

struct alm_alert *alm_alert_new(
	struct ops_labels *labels_taken, struct ops_labels *annotations_taken);
void alm_alert_free(struct alm_alert *a);				    /* NULL is fine */
struct alm_alert *alm_alert_copy(const struct alm_alert *a) OPS_MUST_CHECK; /* groups = 0 */
bool alm_alert_resolved(const struct alm_alert *a, int64_t now_ms);
/* What `fresh` (newer, same labels) makes of `a`; fresh is consumed, a keeps its identity. */
void alm_alert_merge(struct alm_alert *a, struct alm_alert *fresh, int64_t now_ms);
json_t *alm_alert_to_json(const struct alm_alert *a) OPS_MUST_CHECK; /* for the state directory */
int alm_alert_from_json(const json_t *j, struct alm_alert **ret) OPS_MUST_CHECK;
/* {"a":"b"} to a label set; names valid, values texts. NULL object gives the empty set. */
int alm_labels_from_json(
	const json_t *obj, struct ops_labels **ret, struct ops_error *err) OPS_MUST_CHECK;
json_t *alm_labels_to_json(const struct ops_labels *ls) OPS_MUST_CHECK; /* NULL gives {} */
/* Names of the rule's playbook: the field, else the annotation; NULL = none. */
const char *alm_alert_playbook(const struct alm_alert *a);
