#!/bin/sh
# postgresql.sh init FILE: make the database from a file of SQL. postgresql.sh [SQL]: serve it, after this one statement.
set -eu
bin=/usr/lib/postgresql/15/bin data=/var/lib/postgresql/inbox
as="setpriv --reuid postgres --regid postgres --init-groups"
single() { $as $bin/postgres --single -j -D $data "$1" >/dev/null; }
if [ "${1:-}" = init ]; then
    install -d -o postgres -g postgres -m 0700 $data
    $as $bin/initdb -D $data -A trust -E UTF8 --no-instructions --no-sync --wal-segsize=4 >/dev/null
    echo 'host all all all trust' >> $data/pg_hba.conf
    echo 'CREATE DATABASE inbox' | single postgres
    single inbox < "$2"
    exit
fi
rm -f $data/postmaster.pid # nobody else can be at work in this container
[ -z "${1:-}" ] || echo "$1" | single inbox
exec $as $bin/postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=32MB \
    -c max_connections=80 -c max_wal_size=64MB -c min_wal_size=16MB
