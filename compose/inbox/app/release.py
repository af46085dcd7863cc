#!/usr/bin/python3
"""release VERSION: make this the app's current version, as the service's manifest says it to every app.

release: say which one it is. LIBRARY is the client library that 2.0 was built with.
"""

import os
import sys

import redis

LIBRARIES = {"1.9": "1.9", "2.0": os.environ.get("LIBRARY", "2.0.1")}

client = redis.Redis(host="redis", decode_responses=True, socket_timeout=2.0)
if len(sys.argv) > 1:
    app = sys.argv[1]
    if app not in LIBRARIES:
        sys.exit(f"there is no version {app}; there are {', '.join(LIBRARIES)}")
    client.hset("release", mapping={"app": app, "library": LIBRARIES[app]})
print("app {} with library {}".format(*(value or "1.9" for value in client.hmget("release", "app", "library"))))
