#!/bin/sh
# prometheus.sh RULES...: Prometheus with these files of rules (hosts, service) of /etc/prometheus/inbox.
set -eu
mkdir -p /tmp/prometheus/rules
for rules in "$@"; do ln -sf "/etc/prometheus/inbox/$rules.yml" /tmp/prometheus/rules/; done
exec prometheus --config.file=/etc/prometheus/inbox/prometheus.yml --storage.tsdb.path=/tmp/prometheus/data \
    --storage.tsdb.retention.time=2h --log.level=warn
