"""Faults with other parameters than their example's, each proven by the same routine; and what the canary itself says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import docker
import pytest
from hold_fault import begin

from shaketable.faults import CATALOGUE
from shaketable.run.conform import CanarySite, canary, conform

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(scope="module")
def site() -> Iterator[CanarySite]:
    """One canary for all."""
    with canary(lambda _: None) as site:
        site.keeper.witness()  # so that every tool is there before the first test
        yield site


VARIANTS: list[tuple[str, str, Mapping[str, Any]]] = [
    ("partition", "server", {}),
    ("partition", "server", {"peers": ["peer-2"], "direction": "out"}),
    ("partition", "server", {"peers": ["peer-1"], "port": 8000}),
    ("slow", "server", {"delay": "20 ms", "jitter": "5 ms", "direction": "both"}),
    ("slow", "pair", {"delay": "50 ms", "direction": "in"}),
    ("jam", "pair", {"direction": "in"}),
    ("lossy", "server", {"share": "60 %", "direction": "out"}),
    ("throttled", "server", {"rate": "8 Mbit/s", "direction": "both"}),
    ("throttled", "pair", {"rate": "256 kbit/s", "direction": "in"}),
    ("reject", "pair", {}),
    ("reset", "server", {"port": 8000}),
    ("connection-limit", "server", {"connections": 0, "port": 8000}),
    ("http", "server", {"port": 8000, "mode": "hang"}),
    ("http", "server", {"port": 8000, "mode": "slow", "delay": "200 ms"}),
    ("http", "server", {"port": 8000, "mode": "error", "status": 500, "share": "50 %", "path": "/time"}),
    ("dns", "server", {"mode": "slow", "delay": "300 ms"}),
    ("dns", "pair", {"mode": "stale", "name": "peer-1", "address": "192.0.2.7"}),
    ("dns", "server", {"mode": "gone", "name": "peer-2"}),
    ("kill", "pair", {}),
    ("power-off", "pair", {}),
    ("reboot", "pair", {"off": "200 ms"}),
    ("oom", "pair", {}),
    ("hog", "server", {"share": "80 %"}),
    ("spin", "pair", {"workers": 2}),
    ("fork", "server", {"processes": 20}),
    ("fds", "postgresql", {"spare": 3}),
    ("limits", "pair", {"cpus": 0.5}),
    ("disk-full", "server", {"leave": "1 MiB"}),
    ("clock", "pair", {"offset": "90 s", "direction": "behind"}),
    ("clock", "postgresql", {"offset": "2 d"}),
    ("db-lock", "postgresql", {"database": "canary", "table": "demo", "where": "id = 1"}),
    ("db-lock", "mariadb", {"database": "canary", "table": "demo", "where": "id = 1"}),
    ("db-lock", "postgresql", {"advisory": "4711"}),
    ("db-lock", "mariadb", {"advisory": "migration"}),
    *(
        (kind, server, {"database": "canary", "table": "demo", **given})
        for server in ("postgresql", "mariadb")
        for kind, given in (
            ("db-idle-transaction", {}),
            ("db-idle-transaction", {"where": "id = 1"}),
            ("db-deadlocks", {"one": "id = 2", "other": "id = 1", "every": "50ms"}),
            ("db-deadlocks", {"pairs": 3, "every": "100ms"}),
        )
    ),
    ("db-connections", "postgresql", {"count": 5}),
    ("db-connections", "mariadb", {"count": 5}),
]


@pytest.mark.parametrize(("kind", "role", "given"), VARIANTS, ids=[f"{k}-{r}-{'-'.join(g)}" for k, r, g in VARIANTS])
def test_other_parameters_conform_too(kind: str, role: str, given: Mapping[str, Any], site: CanarySite) -> None:
    """Effective as asked for, bystanders untouched, clean afterwards, whatever the parameters."""
    found = conform(site, CATALOGUE[kind], given, role)
    assert found.ok, [found.unfit, *found.problems]


def ask(site: CanarySite, command: str, by: str = "peer-1") -> str:
    """What a command prints in a container of the canary."""
    client = docker.from_env()
    try:
        return str(client.containers.get(site.instances.ids[by]).exec_run(["sh", "-c", command]).output.decode())
    finally:
        client.close()


def skew(site: CanarySite) -> float:
    """How far the server's clock is from its peer's, seconds: its own application says so."""
    said = ask(
        site,
        "python3 -S -c 'import time, urllib.request as u; "
        'print(float(u.urlopen("http://server:8000/time").read()) - time.time())\'',
    )
    return float(said)


def test_an_application_tells_the_wrong_time(site: CanarySite) -> None:
    """A peer is told a time an hour ahead by the server's own code, and the true one after heal; processes live on."""
    assert abs(skew(site)) < 1
    before = site.resolve("server").members[0].start
    injection = begin(site, "clock")
    assert abs(skew(site) - 3600) < 1
    record = injection.heal()
    assert record is not None
    assert record.clean
    assert abs(skew(site)) < 1
    assert site.resolve("server").members[0].start == before


def test_a_disk_without_power_keeps_what_was_synced(site: CanarySite) -> None:
    """Of two files, written just before, the one that was synced is there afterwards and the other one is not."""
    ask(site, "rm -f /data/*; echo kept > /data/synced && sync /data/synced && sync -f /data", by="server")
    injection = begin_with(site, "power-off", "echo lost > /data/unsynced; echo more >> /data/synced")
    record = injection.heal()
    assert record is not None
    assert record.clean
    site.read()
    assert ask(site, "cat /data/synced; ls /data/unsynced 2>&1", by="server").splitlines()[0] == "kept"
    assert "No such file" in ask(site, "ls /data/unsynced", by="server")


def begin_with(site: CanarySite, kind: str, last: str) -> Any:
    """Inject a fault right after a command in the server."""
    assert ask(site, f"{last}; cat /data/synced /data/unsynced", by="server").split() == ["kept", "more", "lost"]
    return begin(site, kind)


def test_a_server_may_end_our_session_by_itself(site: CanarySite) -> None:
    """A defence of the system's own, as a time limit, is no failure of the fault: it was witnessed, and a note says the rest."""
    injection = begin(site, "db-idle-transaction", "postgresql")
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'shaketable:%'"
    ask(site, f'setpriv --reuid postgres --regid postgres --init-groups psql -X -d canary -c "{end}"', by="postgresql")
    record = injection.heal()
    assert record is not None
    assert record.clean
    assert record.effective
    assert any("ended by itself" in note for note in record.notes)
