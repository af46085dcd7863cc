"""Announces this host and those of its services that are up in the registry, for as long as it lives.

Everything is bound to one lease of a second: when this machine dies, the registry forgets it by itself. A back office
that sees a service die takes its entry off at once; so an entry is only *created* after the service has answered, and
everything else writes to entries that still exist.
"""

from __future__ import annotations

import _thread
import json
import os
import select
import signal
import sys
import time

from etcd import Etcd, EtcdError, LeaseLost
from health import LocalService, ask_all
from httpd import Server

LEASE = 1
KEEP_ALIVE_EVERY = 1 / 3
ANNOUNCE_EVERY = 1.0
LOOK_EVERY = 0.1
LOAD_STEP = 3
"""A load is published when it has moved this far: the registry need not know of every invoice."""
HEALTH_PORT = 8000
SERVICES = {"catalog": 8001, "orders": 8002, "customers": 8003, "billing": 8004}


class Registrar:
    """Keeps the registry's entries of one host as the host is."""

    def __init__(self, host: str, registry: Etcd) -> None:
        self._host = host
        self._registry = registry
        self._services = [LocalService(name, port) for name, port in SERVICES.items()]
        self._lease = ""
        self._listed: dict[str, str] = {}
        """What the registry has of us, as far as we know."""
        self._loads: dict[str, int] = {}
        self._keep_alive_due = self._announce_due = 0.0

    def status(self) -> str:
        """What `GET /health` answers."""
        return json.dumps({"host": self._host, "lease": self._lease, "up": [s.name for s in self._services if s.up]})

    def look(self) -> None:
        """Ask the services how they are and let the registry know. To be called every LOOK_EVERY seconds."""
        ask_all(self._services)
        try:
            self._keep_lease()
            entries = self._entries()
            self._leave([key for key in self._listed if key not in entries])
            self._enter({key: value for key, value in entries.items() if key not in self._listed})
            self._update({key: value for key, value in entries.items() if self._listed[key] != value})
            if time.monotonic() >= self._announce_due:
                self._announce()
        except LeaseLost as error:
            log(f"{error}; announcing everything again")
            self._lease, self._listed = "", {}
        except EtcdError as error:
            log(str(error))

    def goodbye(self) -> None:
        """Leave the registry politely."""
        try:
            self._leave(list(self._listed))
            if self._lease:
                self._registry.revoke(self._lease)
        except EtcdError as error:
            log(f"left without a goodbye: {error}")

    def _keep_lease(self) -> None:
        now = time.monotonic()
        if not self._lease:
            self._lease = self._registry.grant(LEASE)
        elif now >= self._keep_alive_due:
            self._registry.keep_alive(self._lease)
        else:
            return
        self._keep_alive_due = now + KEEP_ALIVE_EVERY

    def _entries(self) -> dict[str, str]:
        """What the registry should have of us, by key."""
        entries = {f"/servers/{self._host}": json.dumps({"address": f"{self._registry.own_ip}:{HEALTH_PORT}"})}
        for service in self._services:
            if service.up:
                entry: dict[str, object] = {"address": f"{self._registry.own_ip}:{service.port}"}
                if service.load is not None:
                    entry["load"] = self._published(service.name, service.load)
                entries[f"/services/{service.name}/{self._host}"] = json.dumps(entry)
        return entries

    def _published(self, service: str, load: int) -> int:
        """The load to publish: the one published before until it has moved by LOAD_STEP."""
        if abs(load - self._loads.get(service, -LOAD_STEP)) >= LOAD_STEP:
            self._loads[service] = load
        return self._loads[service]

    def _enter(self, entries: dict[str, str]) -> None:
        """Create entries. Their services have just answered, after whoever took them off the list did so."""
        for key, value in entries.items():
            self._registry.put(key, value, self._lease)
            self._listed[key] = value
            log(f"{key} entered the list")

    def _update(self, entries: dict[str, str]) -> None:
        """Write changed values, where nobody has taken the entry off the list meanwhile."""
        for key, value in entries.items():
            if self._registry.put_if_listed(key, value, self._lease):
                self._listed[key] = value
            else:
                self._missing(key)

    def _announce(self) -> None:
        """Write everything again, so that a registry that has lost or mixed up something is right again soon."""
        for key in self._registry.put_all_if_listed(self._listed, self._lease) if self._listed else ():
            self._missing(key)
        self._announce_due = time.monotonic() + ANNOUNCE_EVERY

    def _missing(self, key: str) -> None:
        """Forget an entry that somebody took off the list; it is created again once the service has answered."""
        del self._listed[key]
        log(f"{key} was taken off the list")

    def _leave(self, keys: list[str]) -> None:
        if keys:
            self._registry.delete(keys)
        for key in keys:
            del self._listed[key]
            log(f"{key} left the list")


def log(message: str) -> None:
    """Tell whoever reads the container's log."""
    print(message, file=sys.stderr, flush=True)


def main(host: str) -> None:
    """Announce `host` until SIGTERM."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGTERM, lambda *_: None)
    registrar = Registrar(host, Etcd("registry", 2379, timeout=0.3))
    server = Server(HEALTH_PORT, lambda path: registrar.status() if path == "/health" else None)
    _thread.start_new_thread(server.run, ())
    while True:
        began = time.monotonic()
        registrar.look()
        if select.select([wake], [], [], max(0.0, began + LOOK_EVERY - time.monotonic()))[0]:
            break
    registrar.goodbye()


if __name__ == "__main__":
    main(sys.argv[1])
