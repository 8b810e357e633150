-- SPDX-License-Identifier: Apache-2.0
-- History of ops-freeze: the records, what happened to them, and what the gate refused.

-- "freeze" is a keyword of SQL: the schema is always written in quotes.
SET LOCAL ROLE ops_owner;

CREATE TABLE "freeze".freezes (
	id uuid PRIMARY KEY,
	scope text NOT NULL,
	reason text NOT NULL,
	actor text NOT NULL,
	source text NOT NULL, -- manual, alert, calendar, out-of-band
	alert text,	      -- fingerprint
	from_at timestamptz NOT NULL,
	until_at timestamptz, -- null: open end
	cleared_at timestamptz,
	cleared_by text,
	clear_reason text
);
CREATE INDEX ON "freeze".freezes (scope, from_at);
CREATE INDEX ON "freeze".freezes (alert) WHERE alert IS NOT NULL;

CREATE TABLE "freeze".decisions (
	id uuid PRIMARY KEY,
	at timestamptz NOT NULL,
	scope text NOT NULL,
	action text,
	decision text NOT NULL, -- open, frozen
	actor text,
	source_addr text,
	freezes uuid[],
	reason text
);
CREATE INDEX ON "freeze".decisions (scope, at);
CREATE INDEX ON "freeze".decisions (at);

CREATE TABLE "freeze".events (
	id uuid PRIMARY KEY,
	at timestamptz NOT NULL,
	scope text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('set', 'clear', 'expire', 'out_of_band', 'restore')),
	freeze_id uuid,
	actor text,
	reason text,
	alert text
);
CREATE INDEX ON "freeze".events (freeze_id);
CREATE INDEX ON "freeze".events (alert) WHERE alert IS NOT NULL;
CREATE INDEX ON "freeze".events (at);

GRANT SELECT, INSERT, UPDATE ON "freeze".freezes TO ops_freeze;
GRANT SELECT, INSERT ON "freeze".decisions, "freeze".events TO ops_freeze;
GRANT SELECT ON ALL TABLES IN SCHEMA "freeze" TO ops_reader;
