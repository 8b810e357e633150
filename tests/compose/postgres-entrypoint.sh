#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the cluster, the user and the database on the first start; then is the server.
set -eu
: "${POSTGRES_PASSWORD_FILE:?}"
user=${POSTGRES_USER:-postgres}
db=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb -D "$PGDATA" -U "$user" -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --pwfile="$POSTGRES_PASSWORD_FILE"
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	# Nobody outside reaches the half-made server.
	pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
	[ "$db" = postgres ] || psql -X -v ON_ERROR_STOP=1 -U "$user" -d postgres -c "create database \"$db\""
	pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@" -c listen_addresses='*'
