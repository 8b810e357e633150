-- SPDX-License-Identifier: Apache-2.0
-- History of ops-alertmanager. Every id is made by the sender, so that a repeated row is recognised.

SET LOCAL ROLE ops_owner;

CREATE TABLE alerts.transitions (
	id uuid PRIMARY KEY, -- of the CloudEvents envelope
	at timestamptz NOT NULL,
	fingerprint text NOT NULL,
	status text NOT NULL CHECK (status IN ('pending', 'firing', 'resolved')),
	alertname text NOT NULL,
	severity text,
	labels jsonb NOT NULL,
	annotations jsonb,
	value double precision,
	expr text,
	active_at timestamptz,
	starts_at timestamptz,
	ends_at timestamptz,
	playbook text,
	source text,
	trace_id text
);
CREATE INDEX ON alerts.transitions (fingerprint, at);
CREATE INDEX ON alerts.transitions (at);

CREATE TABLE alerts.notifications (
	id uuid PRIMARY KEY,
	at timestamptz NOT NULL,
	fingerprints text[] NOT NULL,
	receiver text NOT NULL,
	integration text,
	reason text,
	outcome text NOT NULL,
	code integer,
	attempts integer,
	error text,
	duration_ms bigint,
	group_key text
);
CREATE INDEX ON alerts.notifications USING gin (fingerprints);
CREATE INDEX ON alerts.notifications (at);

CREATE TABLE alerts.playbook_runs (
	id uuid PRIMARY KEY,
	fingerprint text,
	playbook text NOT NULL,
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	exit_code integer,
	signal integer,
	timed_out boolean,
	outcome text
);
CREATE INDEX ON alerts.playbook_runs (fingerprint, started_at);

CREATE TABLE alerts.playbook_lines (
	run_id uuid NOT NULL, -- no foreign key: a line may arrive before its run
	line_no integer NOT NULL,
	at timestamptz NOT NULL,
	stream text NOT NULL,
	line text NOT NULL,
	PRIMARY KEY (run_id, line_no)
);

CREATE TABLE alerts.notes (
	id uuid PRIMARY KEY,
	at timestamptz NOT NULL,
	fingerprint text,
	author text,
	action text NOT NULL
);
CREATE INDEX ON alerts.notes (fingerprint, at);

CREATE TABLE alerts.silences (
	id uuid NOT NULL,
	revision integer NOT NULL,
	at timestamptz NOT NULL,
	matchers jsonb NOT NULL,
	starts_at timestamptz NOT NULL,
	ends_at timestamptz NOT NULL,
	created_by text NOT NULL,
	comment text,
	PRIMARY KEY (id, revision)
);

COMMENT ON TABLE alerts.transitions IS 'every pending, firing and resolved, in the words of the detector';
COMMENT ON TABLE alerts.silences IS 'one row for every revision of a silence; the highest is in force';

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA alerts TO ops_alertmanager;
GRANT SELECT ON ALL TABLES IN SCHEMA alerts TO ops_reader;
