-- SPDX-License-Identifier: Apache-2.0
-- Roles and schemas. One role per process, none of them owns what it writes; passwords are set elsewhere.
-- Roles belong to the cluster, not to the database: what is there already is kept.

DO $$
DECLARE
	role_name text;
BEGIN
	FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_alertmanager', 'ops_freeze', 'ops_auditlog', 'ops_reader'] LOOP
		IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
			BEGIN
				EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role_name);
			EXCEPTION WHEN duplicate_object OR unique_violation THEN
				NULL; -- another database of this cluster is being migrated at the same moment
			END;
		END IF;
	END LOOP;
	-- The migrating user hands everything to ops_owner, for which it must be a member.
	IF NOT pg_has_role(current_user, 'ops_owner', 'MEMBER') THEN
		EXECUTE format('GRANT ops_owner TO %I', current_user);
	END IF;
	EXECUTE format('GRANT CREATE ON DATABASE %I TO ops_owner', current_database());
END
$$;

CREATE SCHEMA IF NOT EXISTS ops;
CREATE SCHEMA alerts;
CREATE SCHEMA "freeze";
CREATE SCHEMA audit;
ALTER SCHEMA ops OWNER TO ops_owner;
ALTER TABLE IF EXISTS ops.schema_migrations OWNER TO ops_owner; -- so that ops_owner can go on from here
ALTER SCHEMA alerts OWNER TO ops_owner;
ALTER SCHEMA "freeze" OWNER TO ops_owner;
ALTER SCHEMA audit OWNER TO ops_owner;

COMMENT ON SCHEMA ops IS 'what joins the parts: the timeline of an incident, applied migrations';
COMMENT ON SCHEMA alerts IS 'history of ops-alertmanager';
COMMENT ON SCHEMA "freeze" IS 'history of ops-freeze';
COMMENT ON SCHEMA audit IS 'the hash-chained log of ops-auditlog';

GRANT USAGE ON SCHEMA alerts TO ops_alertmanager, ops_reader;
GRANT USAGE ON SCHEMA "freeze" TO ops_freeze, ops_reader;
GRANT USAGE ON SCHEMA audit TO ops_auditlog, ops_reader;
GRANT USAGE ON SCHEMA ops TO ops_reader, ops_alertmanager, ops_freeze, ops_auditlog;
