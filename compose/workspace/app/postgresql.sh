#!/bin/sh
# postgresql.sh init NAME FILE: make the database NAME from a file of SQL, in a cluster of its own.
# postgresql.sh NAME [OPTION...]: serve it, after the statements in START_SQL, if there are any.
set -eu
bin=/usr/lib/postgresql/15/bin
as="setpriv --reuid postgres --regid postgres --init-groups"
if [ "$1" = init ]; then
    name=$2 data=/var/lib/postgresql/$2
    install -d -o postgres -g postgres -m 0700 "$data"
    $as $bin/initdb -D "$data" -A trust -E UTF8 --no-instructions --no-sync --wal-segsize=4 >/dev/null
    printf 'host all all all trust\nhost replication all all trust\n' >> "$data/pg_hba.conf"
    echo "CREATE DATABASE $name" | $as $bin/postgres --single -j -D "$data" postgres >/dev/null
    $as $bin/postgres --single -j -D "$data" "$name" < "$3" >/dev/null
    exit
fi
name=$1 data=/var/lib/postgresql/$1
shift
rm -f "$data/postmaster.pid" # nobody else can be at work in this container
install -d -o postgres -g postgres /var/run/postgresql
[ -z "${START_SQL:-}" ] || echo "$START_SQL" | $as $bin/postgres --single -j -D "$data" "$name" >/dev/null
exec $as $bin/postgres -D "$data" -c listen_addresses='*' -c shared_buffers=16MB -c max_wal_size=64MB \
    -c min_wal_size=16MB -c deadlock_timeout=1s -c autovacuum=off -c jit=off "$@"
