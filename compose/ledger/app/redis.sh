#!/bin/sh
# redis.sh APPENDFSYNC: Redis with an append-only file on /data.
set -eu
install -d -o redis -g redis /data/redis
# What was being written when the power went may be torn; whoever runs a Redis cuts that off.
if [ -f /data/redis/appendonlydir/appendonly.aof.manifest ]; then
    echo y | setpriv --reuid redis --regid redis --init-groups \
        redis-check-aof --fix /data/redis/appendonlydir/appendonly.aof.manifest
fi
exec setpriv --reuid redis --regid redis --init-groups redis-server \
    --bind '* -::*' --protected-mode no --dir /data/redis --save '' --appendonly yes --appendfsync "$1"
