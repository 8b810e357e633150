/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What sequencer.c (who may write, what is there) and append.c (writing a batch) share. */
#include "services/auditlog/auditlog.h"

#define AUD_SEQUENCER_MAGIC 0x73657175u

struct aud_batch; /* append.c */

struct aud_sequencer {
	uint32_t magic;
	struct aud *aud;
	struct ops_pg *pg;
	enum aud_state state;
	struct ops_timer *timer;    /* standby, retry */
	struct ops_audit_head head; /* committed and checked */
	struct aud_batch *batch;
	char problem[320];
	unsigned failures;
	bool busy; /* one statement at a time */
	bool closed;
};

void aud_sequencer_enter(struct aud_sequencer *q, enum aud_state state);
bool aud_sequencer_exec(struct aud_sequencer *q, const struct ops_pg_statement *s,
	void (*fn)(void *arg, const struct ops_pg_result *r));
bool aud_sequencer_failed(
	struct aud_sequencer *q, const char *stage, const struct ops_pg_result *r);
void aud_sequencer_refused(
	struct aud_sequencer *q, const char *stage, const struct ops_pg_result *r);

struct aud_batch *aud_batch_new(void);
void aud_batch_free(struct aud_batch *b);
void aud_batch_reset(struct aud_batch *b);
