-- SPDX-License-Identifier: Apache-2.0
-- The audit log. `body` is the record in canonical JSON (RFC 8785); every other column follows from it:
--   leaf  = sha256(0x00 || body)                 the leaf of the RFC 6962 Merkle tree
--   chain = sha256(chain of seq - 1 || leaf)     32 zero bytes before seq 1
-- The role that writes can insert and read, nothing else; the triggers stop owners and slips of the hand.
-- A superuser can still rewrite everything: that is what the signed checkpoints are for.

SET LOCAL ROLE ops_owner;

CREATE TABLE audit.records (
	seq bigint PRIMARY KEY CHECK (seq > 0), -- without gaps; two writers collide here
	id uuid NOT NULL UNIQUE,
	at timestamptz NOT NULL,
	body text NOT NULL,
	leaf bytea NOT NULL CHECK (length(leaf) = 32),
	chain bytea NOT NULL CHECK (length(chain) = 32)
);
CREATE INDEX ON audit.records (at);
CREATE INDEX ON audit.records (((body::jsonb) ->> 'alert')) WHERE (body::jsonb) ->> 'alert' IS NOT NULL;
CREATE INDEX ON audit.records (((body::jsonb) ->> 'object'));
CREATE INDEX ON audit.records (((body::jsonb) ->> 'actor'));

CREATE TABLE audit.checkpoints (
	size bigint PRIMARY KEY CHECK (size > 0),
	at timestamptz NOT NULL,
	root bytea NOT NULL CHECK (length(root) = 32),
	note text NOT NULL -- C2SP signed note
);

CREATE FUNCTION audit.deny() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% on %.% is not allowed: the audit log only grows', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
		USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER deny_change BEFORE UPDATE OR DELETE ON audit.records
	FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny_truncate BEFORE TRUNCATE ON audit.records
	FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny_change BEFORE UPDATE OR DELETE ON audit.checkpoints
	FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
CREATE TRIGGER deny_truncate BEFORE TRUNCATE ON audit.checkpoints
	FOR EACH STATEMENT EXECUTE FUNCTION audit.deny();
-- Also in a session that poses as a replica.
ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_change;
ALTER TABLE audit.records ENABLE ALWAYS TRIGGER deny_truncate;
ALTER TABLE audit.checkpoints ENABLE ALWAYS TRIGGER deny_change;
ALTER TABLE audit.checkpoints ENABLE ALWAYS TRIGGER deny_truncate;

-- What an auditor reads.
CREATE VIEW audit.entries AS
SELECT r.seq, r.at, r.id, j.body ->> 'actor' AS actor, j.body ->> 'actor_type' AS actor_type,
	j.body ->> 'action' AS action, j.body ->> 'object' AS object, j.body -> 'before' AS before,
	j.body -> 'after' AS after, j.body ->> 'reason' AS reason, j.body ->> 'outcome' AS outcome,
	j.body ->> 'alert' AS alert, j.body ->> 'service' AS service, j.body ->> 'source_addr' AS source_addr,
	j.body ->> 'trace_id' AS trace_id
FROM audit.records r CROSS JOIN LATERAL (SELECT r.body::jsonb AS body) j;

-- Empty while the chain holds, by the database's own arithmetic. It cannot see a log cut off at the end.
CREATE VIEW audit.broken AS
SELECT c.seq, c.what
FROM (
	SELECT seq,
		CASE
		WHEN seq <> coalesce(lag(seq) OVER w, 0) + 1 THEN 'records before it are missing'
		WHEN leaf <> sha256('\x00'::bytea || convert_to(body, 'UTF8')) THEN 'body does not match its leaf'
		WHEN chain <> sha256(coalesce(lag(chain) OVER w, decode(repeat('00', 32), 'hex')) || leaf)
			THEN 'chain does not follow from the record before'
		END AS what
	FROM audit.records
	WINDOW w AS (ORDER BY seq)
) c
WHERE c.what IS NOT NULL;

COMMENT ON TABLE audit.records IS 'append-only, hash-chained; body is canonical JSON (RFC 8785)';
COMMENT ON TABLE audit.checkpoints IS 'signed tree heads; keep copies of the notes outside this database';
COMMENT ON VIEW audit.broken IS 'first signs of tampering, by SQL alone; opsctl audit verify proves the whole';

GRANT SELECT, INSERT ON audit.records, audit.checkpoints TO ops_auditlog;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO ops_reader;
