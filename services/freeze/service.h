/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ops-freeze put together: the set of records and everything that is derived from it. All changes
 * go through frz_change(), in one order: audit record, journal, set, history, flag file, bus.
 */
#include "common/base/map.h"
#include "common/bus/bus.h"
#include "common/pg/outbox.h"
#include "common/run/run.h"
#include "services/freeze/flags.h"
#include "services/freeze/journal.h"
#include "services/freeze/record.h"

struct frz_config {
	struct ops_daemon_config daemon;
	const char *alerts_url, *alerts_replay_url;
	const char *freeze_listen, *freeze_replay_listen, *freeze_replay_advertise;
	const char *flag_dir, *legacy_flag_file;
	const char *out_of_band; /* restore or thaw */
	int64_t automatic_ttl_ms;
};

struct frz_service {
	struct ops_daemon *daemon;
	const struct frz_config *config;
	struct frz_set set;
	struct ops_map
		*told;	   /* scopes whose state stands outside (flag file, bus); values unused */
	int64_t looked_ms; /* until when the passing of time was looked at */
	struct frz_journal *journal;
	struct frz_flags *flags;
	struct ops_outbox *outbox;
	struct ops_pub *pub;
	struct ops_sub *alerts;
	struct ops_timer *expiry;
};

extern const struct ops_service frz_service_table;

struct frz_caller { /* who asks for a change; pointers borrowed */
	const char *actor, *actor_type, *source_addr, *trace_id;
};

struct frz_deed { /* what happens to a record, by whom and why; borrowed */
	enum frz_event_kind kind;
	const struct frz_caller *by;
	const char *reason;
};

/* ---- change.c ---- */

/*
 * Makes `next` (taken) the record of its id. On failure nothing changed, except that an audit
 * record of the attempt may stand.
 */
int frz_change(struct frz_service *s, struct frz_record *next, const struct frz_deed *deed,
	struct ops_error *err) OPS_MUST_CHECK;
/* Clears every active record of exactly this scope; *ret_n says how many. */
int frz_clear_scope(struct frz_service *s, const char *scope, const struct frz_deed *deed,
	size_t *ret_n, struct ops_error *err) OPS_MUST_CHECK;
int frz_clear_one(struct frz_service *s, const struct frz_record *r, const struct frz_deed *deed,
	struct ops_error *err) OPS_MUST_CHECK;
/* A change up to its rows; what stands outside is not told yet. Takes next. */
int frz_commit_change(
	struct frz_service *s, struct frz_record *next, const struct frz_deed *deed) OPS_MUST_CHECK;
/* Rows are synced before the journal calls them told; a failure leaves them to the next start. */
void frz_confirm_history(struct frz_service *s);
/* A freeze that was set for later begins: nobody calls, but flag file and bus must say so. */
void frz_publish_begun(struct frz_service *s, int64_t now);
struct frz_record *frz_record_copy(const struct frz_record *r);

/* history.c: rows for PostgreSQL */
extern const struct ops_outbox_statement frz_statements[];
void frz_history_event(struct ops_outbox *o, const struct frz_event *e);
void frz_history_decision(struct ops_outbox *o, const struct frz_request *req, enum frz_decision d,
	const struct frz_caller *by, const struct frz_record *const *matches, size_t n);

/* publish.c: what stands outside for a scope and those below it: flag file and bus */
void frz_publish_scope(struct frz_service *s, const char *scope);

/* api.c */
void frz_api_register(struct frz_service *s, struct ops_http_server *http);
