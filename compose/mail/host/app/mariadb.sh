#!/bin/sh
# mariadb.sh init: make the databases. mariadb.sh: serve them.
set -eu
defaults=/etc/shared-server/mariadb.cnf numbers=/run/numbers.sql data=/var/lib/shared-server
if [ "${1:-}" = init ]; then
    install -d -o mysql -g mysql -m 0700 $data
    mariadb-install-db --defaults-file=$defaults --skip-test-db --auth-root-authentication-method=normal >/dev/null
    mariadbd --defaults-file=$defaults --bootstrap </etc/shared-server/mariadb.sql
    exit
fi
# Numbers of mails go on from the time of day, so that a server that was made anew gives none a second time.
for tenant in tenant_a tenant_b tenant_c; do
    echo "ALTER TABLE $tenant.mails AUTO_INCREMENT = $(date +%s)000;"
done >$numbers
exec mariadbd --defaults-file=$defaults --init-file=$numbers
