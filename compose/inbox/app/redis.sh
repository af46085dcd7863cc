#!/bin/sh
# Redis as the queues need it: what is in it outlives its process.
set -eu
install -d -o redis -g redis /var/lib/redis/inbox
exec setpriv --reuid redis --regid redis --init-groups redis-server --bind '* -::*' --protected-mode no \
    --dir /var/lib/redis/inbox --save '' --appendonly yes --appendfsync everysec
