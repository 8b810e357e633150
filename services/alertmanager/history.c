/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every statement may run twice. A transition is keyed by the id of its CloudEvent, so a replayed
 * stream adds nothing; the rest is keyed by ids made once and written to a journal or to the outbox
 * with them.
 */
#include "services/alertmanager/history.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric lost = OPS_COUNTER("ops_alertmanager_history_lost_total",
	"Rows of history that could not be spooled.", "statement");

const struct ops_outbox_statement alm_history_statements[] = {
	{"transition",
		"INSERT INTO alerts.transitions (id, at, fingerprint, status, alertname, severity, "
		"labels, annotations,"
		" value, expr, active_at, starts_at, ends_at, playbook, source, trace_id)"
		" VALUES ($1,$2,$3,$4,$5,$6,$7::jsonb,$8::jsonb,$9,$10,$11,$12,$13,$14,$15,$16) ON "
		"CONFLICT (id) DO NOTHING",
		16},
	{"notification",
		"INSERT INTO alerts.notifications (id, at, fingerprints, receiver, integration, "
		"reason, outcome, code,"
		" attempts, error, duration_ms, group_key)"
		" VALUES ($1,$2,$3::text[],$4,$5,$6,$7,$8,$9,$10,$11,$12) ON CONFLICT (id) DO "
		"NOTHING",
		12},
	{"run",
		"INSERT INTO alerts.playbook_runs (id, fingerprint, playbook, started_at, "
		"finished_at, exit_code, signal,"
		" timed_out, outcome) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT (id) DO "
		"UPDATE SET"
		" finished_at = excluded.finished_at, exit_code = excluded.exit_code, signal = "
		"excluded.signal,"
		" timed_out = excluded.timed_out, outcome = excluded.outcome"
		" WHERE playbook_runs.finished_at IS NULL",
		9},
	{"line",
		"INSERT INTO alerts.playbook_lines (run_id, line_no, at, stream, line) VALUES "
		"($1,$2,$3,$4,$5)"
		" ON CONFLICT (run_id, line_no) DO NOTHING",
		5},
	{"note",
		"INSERT INTO alerts.notes (id, at, fingerprint, author, action) VALUES "
		"($1,$2,$3,$4,$5)"
		" ON CONFLICT (id) DO NOTHING",
		5},
	{"silence",
		"INSERT INTO alerts.silences (id, revision, at, matchers, starts_at, ends_at, "
		"created_by, comment)"
		" VALUES ($1,$2,$3,$4::jsonb,$5,$6,$7,$8) ON CONFLICT (id, revision) DO NOTHING",
		8},
	{NULL, NULL, 0},
};

static int put(struct ops_outbox *o, const char *statement, const char *const *params, int n)
{
	int rc = ops_outbox_put(o, statement, params, n);
	if (rc != 0) {
		ops_metric_add(&lost, 1, statement);
		log_error("could not spool a row of history", F_STR("statement", statement),
			F_ERR(rc));
	}
	return rc;
}

static const char *time_or_null(int64_t ms, char *buf, size_t size)
{
	return ms == 0 ? NULL : ops_time_format(ms, buf, size);
}

static const char *trace_id(const char *traceparent, char ret[33])
{
	if (strlen(traceparent) < 35)
		return NULL;
	memcpy(ret, traceparent + 3, 32);
	ret[32] = '\0';
	return ret;
}

int alm_history_transition(struct ops_outbox *o, const struct alm_transition *t)
{
	const struct ops_alert *a = t->alert;
	struct ops_strbuf labels OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf annotations OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char fingerprint[17], at[40], active[40], starts[40], ends[40], value[40], trace[33];
	const char *name = ops_labels_get(a->labels, "alertname");

	ops_labels_json(a->labels, &labels);
	if (a->annotations != NULL)
		ops_labels_json(a->annotations, &annotations);
	ops_fingerprint_text(a->fingerprint, fingerprint);
	ops_format_double(a->value, value);
	const char *row[] = {t->id, ops_time_format(t->at_ms, at, sizeof at), fingerprint,
		ops_alert_status_text(a->status), name != NULL ? name : "",
		ops_labels_get(a->labels, "severity"), ops_strbuf_text(&labels),
		annotations.len > 0 ? ops_strbuf_text(&annotations) : NULL, value, a->expr,
		time_or_null(a->active_at_ms, active, sizeof active),
		time_or_null(a->starts_at_ms, starts, sizeof starts),
		time_or_null(a->ends_at_ms, ends, sizeof ends), a->playbook, t->source,
		trace_id(a->traceparent, trace)};
	return put(o, "transition", row, (int)OPS_LENGTH(row));
}

/* A UUID (version 8) of what the transition is: alert, start, which way. */
static void derived_id(const struct alm_alert *a, bool resolved, char ret[37])
{
	unsigned char d[SHA256_DIGEST_LENGTH];
	char hex[33], text[96];
	int n = snprintf(text, sizeof text, "%s/%lld/%s", a->id, (long long)a->starts_at_ms,
		resolved ? "resolved" : "firing");

	SHA256((const unsigned char *)text, (size_t)n, d);
	d[6] = (unsigned char)((d[6] & 0x0f) | 0x80);
	d[8] = (unsigned char)((d[8] & 0x3f) | 0x80);
	ops_hex_encode(d, 16, hex);
	snprintf(ret, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void alm_history_posted(struct ops_outbox *o, const struct alm_alert *a, bool resolved)
{
	struct ops_strbuf labels OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf annotations OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char id[37], at[40], starts[40], ends[40];
	const char *name = ops_labels_get(a->labels, "alertname");

	derived_id(a, resolved, id);
	ops_labels_json(a->labels, &labels);
	if (a->annotations != NULL)
		ops_labels_json(a->annotations, &annotations);
	const char *row[] = {id,
		ops_time_format(resolved ? a->ends_at_ms : a->updated_at_ms, at, sizeof at), a->id,
		resolved ? "resolved" : "firing", name != NULL ? name : "",
		ops_labels_get(a->labels, "severity"), ops_strbuf_text(&labels),
		annotations.len > 0 ? ops_strbuf_text(&annotations) : NULL, NULL, NULL, NULL,
		ops_time_format(a->starts_at_ms, starts, sizeof starts),
		resolved ? ops_time_format(a->ends_at_ms, ends, sizeof ends) : NULL,
		alm_alert_playbook(a), "api", NULL};
	(void)put(o, "transition", row, (int)OPS_LENGTH(row));
}

/* {a,b}: fingerprints are hexadecimal, nothing needs quotes. */
static void fingerprint_array(const struct alm_notification *n, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '{');
	for (size_t i = 0; i < n->n; i++)
		ops_strbuf_printf(out, "%s%s", i > 0 ? "," : "", n->alerts[i]->id);
	ops_strbuf_addc(out, '}');
}

void alm_history_notification(struct ops_outbox *o, const char *id, const struct alm_outcome *out)
{
	const struct alm_notification *n = out->notification;
	struct ops_strbuf fingerprints OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char at[40], code[16], attempts[16], duration[24];

	fingerprint_array(n, &fingerprints);
	snprintf(code, sizeof code, "%d", out->code);
	snprintf(attempts, sizeof attempts, "%u", out->attempts);
	snprintf(duration, sizeof duration, "%lld", (long long)out->duration_ms);
	const char *row[] = {id, ops_time_format(ops_now_ms(), at, sizeof at),
		ops_strbuf_text(&fingerprints), n->receiver->name, n->integration->name, n->reason,
		out->sent ? "sent" : "failed", out->code != 0 ? code : NULL, attempts,
		out->sent ? NULL : out->error, duration, n->group_key};
	(void)put(o, "notification", row, (int)OPS_LENGTH(row));
}

void alm_history_run(struct ops_outbox *o, const struct alm_run *run)
{
	char started[40], finished[40], exit_code[16], signo[16];
	bool over = run->finished_ms != 0;

	snprintf(exit_code, sizeof exit_code, "%d", run->exit_code);
	snprintf(signo, sizeof signo, "%d", run->signal);
	const char *row[] = {run->id, run->fingerprint, run->playbook,
		ops_time_format(run->started_ms, started, sizeof started),
		time_or_null(run->finished_ms, finished, sizeof finished),
		over && run->exit_code >= 0 ? exit_code : NULL,
		over && run->signal > 0 ? signo : NULL,
		over ? (run->timed_out ? "true" : "false") : NULL, run->outcome};
	(void)put(o, "run", row, (int)OPS_LENGTH(row));
}

void alm_history_line(struct ops_outbox *o, const char *run_id, unsigned number, const char *stream,
	const char *line)
{
	char no[16], at[40];

	snprintf(no, sizeof no, "%u", number);
	const char *row[] = {
		run_id, no, ops_time_format(ops_now_ms(), at, sizeof at), stream, line};
	(void)put(o, "line", row, (int)OPS_LENGTH(row));
}

void alm_history_note(struct ops_outbox *o, const char *id, const char *fingerprint,
	const char *author, const char *action)
{
	char at[40];
	const char *row[] = {
		id, ops_time_format(ops_now_ms(), at, sizeof at), fingerprint, author, action};
	(void)put(o, "note", row, (int)OPS_LENGTH(row));
}

void alm_history_silence(struct ops_outbox *o, const struct alm_silence *s)
{
	OPS_JSON_AUTO *matchers = alm_silence_matchers_json(s);
	char *text OPS_CLEANUP(ops_freep) = ops_json_text(matchers);
	char revision[16], at[40], starts[40], ends[40];

	snprintf(revision, sizeof revision, "%u", s->revision);
	const char *row[] = {s->id, revision, ops_time_format(s->updated_at_ms, at, sizeof at),
		text, ops_time_format(s->starts_at_ms, starts, sizeof starts),
		ops_time_format(s->ends_at_ms, ends, sizeof ends), s->created_by, s->comment};
	(void)put(o, "silence", row, (int)OPS_LENGTH(row));
}
