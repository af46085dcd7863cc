#!/bin/sh
# postgresql.sh FSYNC: PostgreSQL on /data, made on the first start.
set -eu
bin=/usr/lib/postgresql/15/bin
if [ ! -f /data/pg/ready ]; then
    rm -rf /data/pg
    install -d -o postgres -g postgres -m 0700 /data/pg
    setpriv --reuid postgres --regid postgres --init-groups "$bin/initdb" -D /data/pg -A trust -E UTF8 --no-instructions >/dev/null
    echo 'host all all all trust' >> /data/pg/pg_hba.conf
    echo 'CREATE TABLE ledger (id bigserial PRIMARY KEY, entry text NOT NULL)' |
        setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" --single -j -D /data/pg postgres >/dev/null
    touch /data/pg/ready
    sync -f /data/pg
fi
rm -f /data/pg/postmaster.pid  # nobody else can be at work in this container
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D /data/pg \
    -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=32MB -c max_connections=40 \
    -c wal_keep_size=0 -c max_wal_size=64MB -c min_wal_size=32MB -c fsync="$1" -c synchronous_commit=on
