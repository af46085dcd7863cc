#!/bin/sh
# database.sh postgresql|mariadb [init]: make a database, or start it with two clerks beside it who want the same row, so
# that there is always one who blocks the other.
set -eu
which=$1
tables="CREATE TABLE demo (id int PRIMARY KEY, n int); INSERT INTO demo VALUES (1, 0), (2, 0);
CREATE TABLE clerks (id int PRIMARY KEY, n int); INSERT INTO clerks VALUES (1, 0);"
pg=/usr/lib/postgresql/15/bin

postgresql() {
    exec setpriv --reuid postgres --regid postgres --init-groups "$pg/postgres" -D /var/lib/postgresql/canary \
        -c listen_addresses='*' -c shared_buffers=16MB -c max_connections=20 -c autovacuum=off -c max_wal_senders=0 \
        -c max_worker_processes=0 -c max_logical_replication_workers=0 -c authentication_timeout=600 -c fsync=off \
        "$@"
}

mariadb_server() {
    exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \
        --bind-address=0.0.0.0 --max-connections=20 --max-connect-errors=1000000 --connect-timeout=3600 \
        --innodb-buffer-pool-size=16M --innodb-log-file-size=4M --innodb-lock-wait-timeout=86400 \
        --innodb-flush-log-at-trx-commit=0 --thread-cache-size=0 --skip-name-resolve "$@"
}

if [ "${2:-}" = init ]; then
    if [ "$which" = postgresql ]; then
        install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/canary
        run="setpriv --reuid postgres --regid postgres --init-groups"
        $run $pg/initdb -D /var/lib/postgresql/canary -A trust -E UTF8 --no-instructions --no-sync >/dev/null
        echo 'CREATE DATABASE canary' | $run $pg/postgres --single -j -D /var/lib/postgresql/canary postgres >/dev/null
        echo "$tables" | $run $pg/postgres --single -j -D /var/lib/postgresql/canary canary >/dev/null
    else
        install -d -o mysql -g mysql /run/mysqld /var/lib/mysql
        mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --auth-root-authentication-method=normal \
            --skip-test-db >/dev/null
        echo "CREATE DATABASE canary; USE canary; $tables" | sed 's/; */;\n/g' > /tmp/tables.sql
        (mariadb_server --bootstrap < /tmp/tables.sql)
    fi
    exit 0
fi

clerk() {
    while :; do
        if [ "$which" = postgresql ]; then
            setpriv --reuid postgres --regid postgres --init-groups "$pg/psql" -X -q -d canary -c \
                'BEGIN; UPDATE clerks SET n = n + 1; SELECT pg_sleep(86400)' >/dev/null 2>&1 || true
        else
            mariadb --no-defaults --socket=/run/mysqld/mysqld.sock -u root canary -e \
                'START TRANSACTION; UPDATE clerks SET n = n + 1; SELECT SLEEP(86400)' >/dev/null 2>&1 || true
        fi
        sleep 0.2
    done
}

install -d -o postgres -g postgres /run/postgresql
install -d -o mysql -g mysql /run/mysqld
clerk & clerk &
if [ "$which" = postgresql ]; then postgresql; else mariadb_server; fi
