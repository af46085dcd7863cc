"""Reaching the engine of a nested host: a local socket, each connection of which is carried into its container.

The client and compose take an address; here it is a Unix socket of ours, and behind each connection stands an exec of
the docker command's own `system dial-stdio` in the container, so the same way leads to an engine on another machine.
Nothing is ever sent to the container's network address.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import docker
import requests
import tenacity
from docker.errors import DockerException

from shaketable.adapters.docker_engine import DockerEngine
from shaketable.model.errors import EngineError

_HEADER: Final = struct.Struct(">BxxxL")
_DIAL: Final = ["docker", "system", "dial-stdio"]
_STDOUT: Final = 1
_READY_LIMIT: Final = 60.0
_ANSWER_LIMIT: Final = 1
_WORK_LIMIT: Final = 120
_PREFIX: Final = "shaketable-engine-"


def sweep() -> None:
    """Remove the folders of harnesses that were killed: their sockets lead nowhere."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and len(pid) < 10 and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


class Tunnel:
    """Listens until it is closed. `address` is for DOCKER_HOST."""

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        self._client, self._container = client, container
        sweep()
        self._folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        path = f"{self._folder}/engine.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(32)
        self.address = f"unix://{path}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, name=f"tunnel-{container[:12]}", daemon=True).start()

    def close(self) -> None:
        """End every connection and the socket."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in list(self._open):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, from its beginning to its end; whoever made it sees it close when the other side fails."""
        far: socket.socket | None = None
        try:
            api = self._client.api
            execution = api.exec_create(self._container, _DIAL, stdin=True, stdout=True, stderr=True)
            stream: Any = api.exec_start(execution["Id"], socket=True)
            far = cast("socket.socket", getattr(stream, "_sock", stream))
            far.settimeout(None)
            with self._lock:
                if self._closed:
                    return
                self._open |= {near, far}
            threading.Thread(target=_pour, args=(near, far), daemon=True).start()
            _unwrap(far, near)
        except (OSError, DockerException, requests.RequestException):
            pass  # the connection's own end says it: what listens inside is gone, or was never there
        finally:
            with self._lock:
                self._open -= {near, *([far] if far is not None else [])}
            for end in (near, far):
                if end is not None:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)  # a close alone is not heard while another thread still reads
                    with contextlib.suppress(OSError):
                        end.close()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _unwrap(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what the exec prints; the engine puts each piece of it in a frame."""
    with source.makefile("rb") as stream:
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            kind, size = _HEADER.unpack(header)
            data = stream.read(size)
            if kind == _STDOUT:
                sink.sendall(data)


@contextlib.contextmanager
def tunnel(client: docker.DockerClient, container: str) -> Iterator[str]:
    """Give the address of a container's engine for a block of work."""
    way = Tunnel(client, container)
    try:
        yield way.address
    finally:
        way.close()


def await_engine(address: str, what: str) -> docker.DockerClient:
    """Give a client of the engine at this address once it answers. Raises EngineError."""

    def connect() -> docker.DockerClient:
        # An engine that is just coming up takes connections that it never answers: ask anew rather than wait.
        docker.DockerClient(base_url=address, version="auto", timeout=_ANSWER_LIMIT).close()
        return docker.DockerClient(base_url=address, version="auto", timeout=_WORK_LIMIT)

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Exception),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(_READY_LIMIT),
        reraise=True,
    )
    try:
        return again(connect)
    except Exception as error:
        raise EngineError(f"{what} did not answer within {_READY_LIMIT:.0f} s: {error}") from error


class NestedEngines:
    """Tunnels and clients for the nested hosts of one topology, opened when first asked for."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._tunnels: dict[str, tuple[str, Tunnel]] = {}
        self._engines: dict[str, DockerEngine] = {}
        self._lock = threading.Lock()

    def keep(self, containers: Mapping[str, str]) -> None:
        """Container id of each nested host; what is new is reached by a tunnel from now on."""
        with self._lock:
            if self._client is None and containers:
                self._client = docker.from_env(timeout=60, max_pool_size=32)
            for host, container in containers.items():
                old = self._tunnels.get(host)
                if old is not None and old[0] == container:
                    continue
                if old is not None:
                    old[1].close()
                    if (engine := self._engines.pop(host, None)) is not None:
                        engine.close()
                assert self._client is not None, "there are containers"
                self._tunnels[host] = (container, Tunnel(self._client, container))

    def address(self, host: str) -> str:
        """Where a nested host's engine answers, for compose. Raises EngineError when it does not answer in time."""
        address = self._tunnels[host][1].address
        await_engine(address, f"the engine of {host}").close()
        return address

    def engine(self, host: str) -> DockerEngine:
        """A connection to a nested host's engine. Raises EngineError when it does not answer in time."""
        if host not in self._engines:
            address = self._tunnels[host][1].address
            await_engine(address, f"the engine of {host}").close()
            with self._lock:
                self._engines.setdefault(host, DockerEngine(address))
        return self._engines[host]

    def close(self) -> None:
        """Close everything; harmless again."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            for _, way in self._tunnels.values():
                way.close()
            self._engines.clear()
            self._tunnels.clear()
            if self._client is not None:
                self._client.close()
                self._client = None
