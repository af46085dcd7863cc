"""web.py postgresql|mariadb: GET anything lists the orders, each request in a session of its own."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def rows():
    """Ask the database."""
    if sys.argv[1] == "postgresql":
        import psycopg2  # noqa: PLC0415

        session = psycopg2.connect(host="db", user="postgres", dbname="postgres")
    else:
        import pymysql  # noqa: PLC0415

        session = pymysql.connect(host="db", user="shop", database="shop")
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT id, what FROM orders ORDER BY id")
            return cursor.fetchall()
    finally:
        session.close()


class Web(BaseHTTPRequestHandler):
    """One page."""

    def do_GET(self):
        """List the orders; 503 when the database does not say them."""
        try:
            status, said = 200, rows()
        except Exception as error:
            status, said = 503, str(error)
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 8080), Web).serve_forever()
