/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rows of schema "alerts", by way of the outbox: durable here first, in PostgreSQL when it is
 * there. */
#include "common/msg/msg.h"
#include "common/pg/outbox.h"
#include "services/alertmanager/playbook.h"
#include "services/alertmanager/send.h"
#include "services/alertmanager/silence.h"

extern const struct ops_outbox_statement alm_history_statements[];

struct alm_transition { /* of a bus message, or made for an alert that came by HTTP */
	const char *id; /* UUID; the same for a message that is replayed */
	const char *source;
	int64_t at_ms;
	const struct ops_alert *alert;
};
/* -errno: the row is not durable. */
int alm_history_transition(struct ops_outbox *o, const struct alm_transition *t) OPS_MUST_CHECK;
/* Of an alert that came by HTTP: the row's id follows from the alert, so that writing it again adds
 * nothing. */
void alm_history_posted(struct ops_outbox *o, const struct alm_alert *a, bool resolved);
void alm_history_notification(struct ops_outbox *o, const char *id, const struct alm_outcome *out);
void alm_history_run(struct ops_outbox *o, const struct alm_run *run);
void alm_history_line(struct ops_outbox *o, const char *run_id, unsigned number, const char *stream,
	const char *line);
void alm_history_note(struct ops_outbox *o, const char *id, const char *fingerprint,
	const char *author, const char *action);
void alm_history_silence(struct ops_outbox *o, const struct alm_silence *s);
