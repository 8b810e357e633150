/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The durable truth of the service: a journal of what happened to freeze records. An event is
 * committed when it is fsynced here; the set in memory, the flag files, the bus and the rows in
 * PostgreSQL are all derived from it, and derived again after a crash.
 */
#include "common/base/error.h"
#include "services/freeze/record.h"

enum frz_event_kind {
	FRZ_SET,
	FRZ_CLEAR,
	FRZ_EXPIRE,
	FRZ_OOB,
	FRZ_RESTORE
};
const char *frz_event_text(enum frz_event_kind k); /* set, clear, expire, out_of_band, restore */

struct frz_event {
	enum frz_event_kind kind;
	char id[37]; /* UUID of the event: filled in by frz_journal_commit when empty */
	int64_t at_ms;
	struct frz_record *record;  /* the record after the event; borrowed */
	const char *actor, *reason; /* who did this to it, and why */
};

struct frz_journal; /* opaque */

/* Folds what is on disk into set. on_event is called for every event whose history was not
 * confirmed yet. */
int frz_journal_open(const char *dir, struct frz_set *set,
	void (*on_event)(void *arg, const struct frz_event *e), void *arg, struct frz_journal **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void frz_journal_close(struct frz_journal *j);
/* Durable when it returns 0; on failure nothing happened. */
int frz_journal_commit(struct frz_journal *j, struct frz_event *e) OPS_MUST_CHECK;
/* All events so far have their rows in the outbox (synced): they need not be told again. */
int frz_journal_confirm(struct frz_journal *j, const struct frz_set *set) OPS_MUST_CHECK;
