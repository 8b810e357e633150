-- SPDX-License-Identifier: Apache-2.0
-- ops.timeline: everything about one incident, in order of time:
--   SELECT at, kind, actor, what FROM ops.timeline WHERE incident = '<fingerprint>' ORDER BY at;
-- `incident` is the alert's fingerprint, null for what belongs to none. A row that concerns several
-- alerts appears once under each.

SET LOCAL ROLE ops_owner;

-- A deploy after the thaw closes the story: the first one that went through in the scope of an alert's
-- freeze (or below it) within a day of its end. Gate decisions and audit records (action deploy..., the
-- scope as segments of the object or as after.scope) both count as a deploy.
CREATE VIEW ops.freeze_ends AS
SELECT f.id, f.scope, f.alert, f.from_at, coalesce(f.cleared_at, f.until_at) AS ended_at
FROM "freeze".freezes f
WHERE f.alert IS NOT NULL AND coalesce(f.cleared_at, f.until_at) <= now();

CREATE VIEW ops.deploys_after AS
SELECT e.alert, first_gate.id AS decision_id, first_record.seq AS audit_seq
FROM ops.freeze_ends e
LEFT JOIN LATERAL (
	SELECT d.id FROM "freeze".decisions d
	WHERE d.decision = 'open' AND coalesce(d.action, 'deploy') = 'deploy'
		AND (e.scope = '*' OR d.scope = e.scope OR starts_with(d.scope, e.scope || '/'))
		AND d.at >= e.ended_at AND d.at < e.ended_at + interval '1 day'
	ORDER BY d.at LIMIT 1
) first_gate ON true
LEFT JOIN LATERAL (
	SELECT a.seq FROM audit.entries a
	WHERE (a.action = 'deploy' OR a.action LIKE 'deploy.%') AND coalesce(a.outcome, 'success') = 'success'
		AND (e.scope = '*' OR a.after ->> 'scope' = e.scope
			OR position('/' || e.scope || '/' IN '/' || a.object || '/') > 0)
		AND a.at >= e.ended_at AND a.at < e.ended_at + interval '1 day'
	ORDER BY a.at LIMIT 1
) first_record ON true;

CREATE FUNCTION ops.audit_text(action text, object text, outcome text, reason text) RETURNS text
	LANGUAGE sql IMMUTABLE AS $$
	SELECT format('%s %s%s%s', action, object,
		CASE WHEN outcome IS NULL OR outcome = 'success' THEN '' ELSE ' (' || outcome || ')' END,
		CASE WHEN reason IS NULL OR reason = '' THEN '' ELSE ': ' || reason END)
$$;

CREATE FUNCTION ops.audit_detail(a audit.entries) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_build_object('seq', a.seq, 'id', a.id, 'action', a.action, 'object', a.object, 'service', a.service,
		'before', a.before, 'after', a.after, 'outcome', a.outcome)
$$;

CREATE VIEW ops.timeline (at, incident, kind, actor, what, detail) AS
SELECT t.at, t.fingerprint, 'alert', t.source,
	format('%s is %s%s%s', t.alertname,
		CASE WHEN t.status = 'resolved' AND t.starts_at IS NULL THEN 'back to normal before it fired' ELSE t.status END,
		CASE WHEN t.severity IS NULL OR t.severity = '' THEN '' ELSE ' (' || t.severity || ')' END,
		CASE WHEN t.value IS NULL OR t.status = 'resolved' THEN '' ELSE ', value ' || t.value::text END),
	jsonb_build_object('id', t.id, 'status', t.status, 'labels', t.labels, 'annotations', t.annotations,
		'expr', t.expr, 'value', t.value, 'playbook', t.playbook, 'trace_id', t.trace_id)
FROM alerts.transitions t

UNION ALL
SELECT n.at, f.fingerprint, 'notification', 'ops-alertmanager',
	format('%s %s%s%s', CASE WHEN n.outcome = 'sent' THEN 'notified' ELSE 'could not notify' END, n.receiver,
		CASE WHEN n.integration IS NULL THEN '' ELSE ' by ' || n.integration END,
		CASE WHEN n.error IS NULL OR n.error = '' THEN '' ELSE ': ' || n.error END),
	jsonb_build_object('id', n.id, 'receiver', n.receiver, 'integration', n.integration, 'outcome', n.outcome,
		'reason', n.reason, 'attempts', n.attempts, 'code', n.code, 'duration_ms', n.duration_ms)
FROM alerts.notifications n CROSS JOIN LATERAL unnest(n.fingerprints) AS f (fingerprint)

UNION ALL
SELECT r.started_at, r.fingerprint, 'playbook', 'ops-alertmanager', format('playbook %s started', r.playbook),
	jsonb_build_object('run_id', r.id, 'playbook', r.playbook)
FROM alerts.playbook_runs r

UNION ALL
SELECT l.at, r.fingerprint, 'playbook.line', r.playbook, l.line,
	jsonb_build_object('run_id', l.run_id, 'line_no', l.line_no, 'stream', l.stream)
FROM alerts.playbook_lines l JOIN alerts.playbook_runs r ON r.id = l.run_id

UNION ALL
SELECT r.finished_at, r.fingerprint, 'playbook', 'ops-alertmanager',
	format('playbook %s %s', r.playbook,
		CASE
		WHEN r.timed_out THEN 'was stopped: it took too long'
		WHEN r.signal IS NOT NULL AND r.signal <> 0 THEN 'was ended by signal ' || r.signal
		WHEN r.exit_code = 0 THEN 'finished'
		WHEN r.exit_code IS NOT NULL THEN 'failed with exit status ' || r.exit_code
		ELSE coalesce(r.outcome, 'ended')
		END),
	jsonb_build_object('run_id', r.id, 'playbook', r.playbook, 'exit_code', r.exit_code, 'signal', r.signal,
		'timed_out', r.timed_out, 'outcome', r.outcome)
FROM alerts.playbook_runs r WHERE r.finished_at IS NOT NULL

UNION ALL
SELECT n.at, n.fingerprint, 'note', n.author, n.action, jsonb_build_object('id', n.id)
FROM alerts.notes n

UNION ALL
SELECT s.at, NULL, 'silence', s.created_by,
	format('silence until %s: %s', to_char(s.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), s.comment),
	jsonb_build_object('id', s.id, 'revision', s.revision, 'matchers', s.matchers)
FROM alerts.silences s

UNION ALL
SELECT e.at, coalesce(nullif(e.alert, ''), f.alert), 'freeze', e.actor,
	CASE e.kind
		WHEN 'set' THEN format('deploys to %s are frozen: %s', e.scope, coalesce(e.reason, f.reason))
		WHEN 'clear' THEN format('freeze of %s is thawed: %s', e.scope, coalesce(e.reason, f.clear_reason))
		WHEN 'expire' THEN format('freeze of %s ended: its time is up', e.scope)
		WHEN 'out_of_band' THEN format('flag file of %s was changed by hand', e.scope)
		ELSE format('flag file of %s is restored', e.scope)
	END,
	jsonb_build_object('id', e.id, 'scope', e.scope, 'kind', e.kind, 'freeze_id', e.freeze_id, 'reason', e.reason)
FROM "freeze".events e LEFT JOIN "freeze".freezes f ON f.id = e.freeze_id

UNION ALL
SELECT d.at, i.alert, 'gate', d.actor,
	format('%s to %s refused: %s', coalesce(d.action, 'deploy'), d.scope, coalesce(nullif(d.reason, ''), 'frozen')),
	jsonb_build_object('id', d.id, 'scope', d.scope, 'action', d.action, 'decision', d.decision,
		'freezes', d.freezes, 'source_addr', d.source_addr)
FROM "freeze".decisions d
LEFT JOIN LATERAL (
	SELECT DISTINCT f.alert FROM "freeze".freezes f WHERE f.id = ANY (d.freezes) AND f.alert IS NOT NULL
) i ON true
WHERE d.decision <> 'open'

UNION ALL
SELECT d.at, p.alert, 'gate', d.actor, format('%s to %s may go ahead', coalesce(d.action, 'deploy'), d.scope),
	jsonb_build_object('id', d.id, 'scope', d.scope, 'action', d.action, 'decision', d.decision,
		'source_addr', d.source_addr)
FROM "freeze".decisions d LEFT JOIN ops.deploys_after p ON p.decision_id = d.id
WHERE d.decision = 'open'

-- Three branches, so that the index on the alert of a record serves a question about one incident.
UNION ALL
SELECT a.at, a.alert, 'audit', a.actor, ops.audit_text(a.action, a.object, a.outcome, a.reason), ops.audit_detail(a)
FROM audit.entries a WHERE a.alert IS NOT NULL

UNION ALL
SELECT a.at, p.alert, 'audit', a.actor, ops.audit_text(a.action, a.object, a.outcome, a.reason), ops.audit_detail(a)
FROM ops.deploys_after p JOIN audit.entries a ON a.seq = p.audit_seq
WHERE a.alert IS NULL

UNION ALL
SELECT a.at, NULL, 'audit', a.actor, ops.audit_text(a.action, a.object, a.outcome, a.reason), ops.audit_detail(a)
FROM audit.entries a
WHERE a.alert IS NULL AND NOT EXISTS (SELECT 1 FROM ops.deploys_after p WHERE p.audit_seq = a.seq);

COMMENT ON VIEW ops.timeline IS 'one incident (fingerprint) through collect, detect, act, govern, prove, in order of time';

GRANT SELECT ON ops.timeline TO ops_reader;
