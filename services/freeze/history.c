/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of schema "freeze". Every statement may run twice: rows are keyed by the event's UUID. */
#include "services/freeze/service.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"

const struct ops_outbox_statement frz_statements[] = {
	{"freeze",
		"INSERT INTO \"freeze\".freezes (id, scope, reason, actor, source, alert, from_at, "
		"until_at,"
		" cleared_at, cleared_by, clear_reason) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)"
		" ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, until_at = "
		"excluded.until_at,"
		" cleared_at = excluded.cleared_at, cleared_by = excluded.cleared_by,"
		" clear_reason = excluded.clear_reason",
		11},
	{"event",
		"INSERT INTO \"freeze\".events (id, at, scope, kind, freeze_id, actor, reason, "
		"alert)"
		" VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT (id) DO NOTHING",
		8},
	{"decision",
		"INSERT INTO \"freeze\".decisions (id, at, scope, action, decision, actor, "
		"source_addr, freezes,"
		" reason) VALUES ($1,$2,$3,$4,$5,$6,$7,$8::uuid[],$9) ON CONFLICT (id) DO NOTHING",
		9},
	{NULL, NULL, 0},
};

static const char *time_or_null(int64_t ms, char *buf, size_t size)
{
	return ms == 0 ? NULL : ops_time_format(ms, buf, size);
}

static void put(struct ops_outbox *o, const char *statement, const char *const *params, int n)
{
	int rc = ops_outbox_put(o, statement, params, n);
	if (rc != 0) {
		log_error("could not spool a row of history", F_STR("statement", statement),
			F_ERR(rc));
	}
}

void frz_history_event(struct ops_outbox *o, const struct frz_event *e)
{
	const struct frz_record *r = e->record;
	char at[32], from[32], until[32], cleared[32];
	const char *freeze[] = {r->id, r->scope, r->reason, r->actor, frz_source_text(r->source),
		r->alert, ops_time_format(r->from_ms, from, sizeof(from)),
		time_or_null(r->until_ms, until, sizeof(until)),
		time_or_null(r->cleared_ms, cleared, sizeof(cleared)), r->cleared_by,
		r->clear_reason};
	put(o, "freeze", freeze, (int)OPS_LENGTH(freeze));
	const char *event[] = {e->id, ops_time_format(e->at_ms, at, sizeof(at)), r->scope,
		frz_event_text(e->kind), r->id, e->actor, e->reason, r->alert};
	put(o, "event", event, (int)OPS_LENGTH(event));
}

void frz_history_decision(struct ops_outbox *o, const struct frz_request *req, enum frz_decision d,
	const struct frz_caller *by, const struct frz_record *const *matches, size_t n)
{
	char id[37], at[32];
	ops_uuid4(id);
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf ids = OPS_STRBUF_INIT;
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_printf(&ids, "%s%s", i == 0 ? "{" : ",", matches[i]->id);
	}
	ops_strbuf_adds(&ids, n == 0 ? "{}" : "}");
	const char *row[] = {id, ops_time_format(ops_now_ms(), at, sizeof(at)), req->scope,
		frz_action_text(req->action), d == FRZ_FROZEN ? "frozen" : "open", by->actor,
		by->source_addr, ids.data, n > 0 ? matches[0]->reason : NULL};
	put(o, "decision", row, (int)OPS_LENGTH(row));
}
