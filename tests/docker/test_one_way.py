"""A connectivity matrix, seen from every host's own viewpoint, shows a one-way partition one-way, and proves heal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hold_fault import begin

from shaketable.faults import CATALOGUE
from shaketable.run.conform import CanarySite, canary

pytestmark = pytest.mark.usefixtures("engine")


def lost(site: CanarySite) -> set[str]:
    """Every pair of hosts between which nothing passes, as `a>b`."""
    hosts = {name: site.resolve(name) for name in site.hosts}
    ends: Mapping[str, Any] = {name: target.end for name, target in hosts.items()}
    look = {"see": "datagrams", "ends": ends, "pairs": [list(p) for p in itertools.permutations(hosts, 2)], "count": 4}
    reading = site.keeper.witness().look({"matrix": look})["matrix"]
    return {name for name, row in reading["pairs"].items() if row["received"] == 0}


def test_one_way_is_seen_one_way() -> None:
    """Nothing is lost before; then exactly what goes from the one peer to the target; and after heal nothing again."""
    assert CATALOGUE["partition"].example == {"peers": ["peer-1"], "direction": "in"}
    with canary(lambda _: None) as site:
        for name in site.hosts:
            site.resolve(name)
        assert lost(site) == set()
        injection = begin(site, "partition")
        assert lost(site) == {"peer-1>server"}
        record = injection.heal()
        assert record is not None
        assert record.clean
        assert lost(site) == set()
