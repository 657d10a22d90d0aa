#!/bin/bash
# Initialises a database as the public image does, then serves it.
set -euo pipefail
data=/var/lib/postgresql/data/files
if [ ! -e "$data/PG_VERSION" ]; then
    initdb -D "$data" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --no-locale
    printf 'host all all all scram-sha-256\n' >> "$data/pg_hba.conf"
    pg_ctl -D "$data" -w -o "-c listen_addresses= -k /var/run/postgresql" start
    PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")" createdb -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D "$data" -w stop
fi
exec postgres -D "$data" -c listen_addresses='*' -k /var/run/postgresql
