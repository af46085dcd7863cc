# PostgreSQL and MariaDB as Debian has them, small, with a table each; `database.sh` starts one of them.
FROM debian:bookworm-slim
RUN apt-get -q update \
 && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends postgresql-15 mariadb-server mariadb-client \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 /var/lib/mysql/*
COPY database.sh /database.sh
RUN sh /database.sh postgresql init && sh /database.sh mariadb init
STOPSIGNAL SIGTERM
