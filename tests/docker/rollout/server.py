"""Three pods behind one address: `/canary` is the page of the pod canary. A pod goes bad six seconds after its release.

A pod has the release while the file `/dev/shm/new-<pod>` is there.
"""

import http.server
import json
import signal
import sys
import time
from pathlib import Path

PODS = ("canary", "pod-17", "pod-18")
GOES_BAD = 6.0


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for every pod."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The list of the pods, or the page of one."""
        pod = self.path[1:]
        try:
            bad = time.time() - Path(f"/dev/shm/new-{pod}").stat().st_mtime > GOES_BAD
        except FileNotFoundError:
            bad = False
        body = json.dumps({"pods": PODS}).encode() if pod == "pods" else b"ok"
        self.send_response(503 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
server.daemon_threads = True
server.serve_forever()
