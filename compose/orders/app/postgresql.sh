#!/bin/sh
# postgresql.sh IDLE DEADLOCK: PostgreSQL with a table of orders; how long a transaction may be idle, and a deadlock unseen.
set -eu
bin=/usr/lib/postgresql/15/bin
data=/var/lib/postgresql/orders
if [ ! -f "$data/ready" ]; then
    rm -rf "$data"
    install -d -o postgres -g postgres -m 0700 "$data"
    setpriv --reuid postgres --regid postgres --init-groups "$bin/initdb" -D "$data" -A trust -E UTF8 --no-instructions --no-sync >/dev/null
    echo 'host all all all trust' >> "$data/pg_hba.conf"
    echo "CREATE TABLE orders (id int PRIMARY KEY, asked int NOT NULL);
        INSERT INTO orders SELECT n, 0 FROM generate_series(1, 20) AS n" |
        tr '\n' ' ' | setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" --single -j -D "$data" postgres >/dev/null
    touch "$data/ready"
fi
rm -f "$data/postmaster.pid"  # nobody else can be at work in this container
install -d -o postgres -g postgres /run/postgresql
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D "$data" \
    -c listen_addresses='*' -c shared_buffers=32MB -c max_connections=40 -c fsync=off -c wal_keep_size=0 \
    -c idle_in_transaction_session_timeout="$1" -c deadlock_timeout="$2"
