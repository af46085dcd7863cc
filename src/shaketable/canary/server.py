"""A small HTTP server: `/` says ok, `/time` the wall clock. It keeps connections open and ends on SIGTERM."""

import http.server
import signal
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say ok, or the time."""
        body = str(time.time()).encode() if self.path == "/time" else b"ok"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """One that lets nobody wait at the door: a backlog of 5, as Python has it, drops who comes with five others."""

    request_queue_size = 128


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = Server(("", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.serve_forever()
