"""healthy.py [PORT [PATH]]: whether this container's service answers well, as the exit code."""

import socket
import sys

port, path = [*sys.argv[1:], *("8080", "/health")[len(sys.argv) - 1 :]]
with socket.create_connection(("127.0.0.1", int(port)), 2) as connection:
    connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    sys.exit(b" 200 " not in connection.recv(200))
