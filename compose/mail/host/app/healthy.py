"""healthy.py [PORT|mariadb]: whether this container's service answers well, as the exit code."""

import socket
import sys

what = sys.argv[1] if len(sys.argv) > 1 else "8080"
port, question = (3306, b"") if what == "mariadb" else (int(what), b"GET /health HTTP/1.0\r\n\r\n")
with socket.create_connection(("127.0.0.1", port), 2) as connection:
    connection.sendall(question)
    answer = connection.recv(200)
    # MariaDB greets first: the fifth byte is the protocol's version, or 255 for an error.
    sys.exit(answer[4:5] != b"\x0a" if what == "mariadb" else b" 200 " not in answer)
