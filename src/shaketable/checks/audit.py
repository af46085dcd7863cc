"""What an expert would object to in a topology's configuration: one small rule each, from what the files say.

What a restart policy does when the engine ends was measured on engines 20.10 and 26.1, without live-restore:

| policy | stopped, restarted or upgraded | killed and started again |
|---|---|---|
| none, `no` | stays Exited | stays Exited |
| `on-failure` | stays Exited if the program ended well when it was stopped (exit 0), else comes back | the same |
| `unless-stopped` | comes back | stays Exited: the new engine ends what the old one left, as if by hand |
| `always` | comes back | comes back |

With live-restore containers run on through all of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from shaketable.checks.findings import finding
from shaketable.model.audit import (
    RULES,
    AuditedEngine,
    AuditedService,
    AuditedTopology,
    AuditFinding,
    AuditRule,
    Survival,
)
from shaketable.model.claims import Audit
from shaketable.model.history import TrialHistory
from shaketable.model.result import Finding

_ENDS_BADLY = {"SIGKILL", "KILL", "9"}
"""Signals that no program can answer with a clean end."""
_WORD = re.compile(r"(?P<name>[^@]*?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>.+))?")
_MOVING = "latest"
_OURS = "under its name in x-shaketable.nested"


def audit_findings(topology: AuditedTopology) -> tuple[AuditFinding, ...]:
    """Everything that any rule objects to, rule by rule, in the order of the files' services."""
    found = [finding for service in topology.services for rule in _OF_SERVICES for finding in rule(service)]
    found += [finding for engine in topology.engines for rule in _OF_ENGINES for finding in rule(engine)]
    order = list(RULES)
    return tuple(sorted(found, key=lambda finding: order.index(finding.rule)))


def survival(topology: AuditedTopology) -> Survival:
    """Which services stay down after the engine's restart, and which after its end by a kill."""
    bare = [service for service in topology.services if not service.live_restore and not service.job]
    return Survival(
        restarted=tuple(s.name for s in bare if _never(s)),
        restarted_perhaps=tuple(s.name for s in bare if _unless_it_ends_well(s)),
        killed=tuple(s.name for s in bare if s.restart.value == "unless-stopped"),
    )


def _never(service: AuditedService) -> bool:
    return service.restart.value in {"", "no"}


def _unless_it_ends_well(service: AuditedService) -> bool:
    return service.restart.value == "on-failure" and service.stop_signal.upper() not in _ENDS_BADLY


def restart_policy(service: AuditedService) -> Iterator[AuditFinding]:
    """A service that is meant to stay has a policy that brings it back however it ended; a job needs none."""
    if service.job or not (_never(service) or _unless_it_ends_well(service)):
        return
    has = f"has the restart policy {service.restart.value}" if service.restart.value else "has no restart policy"
    if _never(service) and service.live_restore:
        text = f"{has}: live-restore carries it through a restart of the engine, but not of the machine"
    elif _never(service):
        text = f"{has}: it stays Exited when its engine restarts or is upgraded"
    elif service.live_restore:
        text = f"{has}: live-restore carries it through a restart of the engine, but if it ends well it stays Exited"
    else:
        text = f"{has}: it stays Exited when its engine restarts or is upgraded if it ends well when stopped (exit 0)"
    mend = "restart: always (unless-stopped comes back too, but not after its engine was killed)"
    yield AuditFinding("restart-policy", service.name, service.restart.at, text, mend)


def live_restore(engine: AuditedEngine) -> Iterator[AuditFinding]:
    """An engine leaves its containers running when it stops."""
    if engine.live_restore.value:
        return
    has = "has an engine without" if engine.nested else "has no"
    text = f"{has} live-restore: its containers stop whenever it does, for an upgrade too"
    daemon = '"live-restore": true in /etc/docker/daemon.json'
    mend = f"daemon: {{live-restore: true}} {_OURS}; on the machine: {daemon}"
    yield AuditFinding("live-restore", engine.name, engine.live_restore.at, text, mend if engine.nested else daemon)


def held_packages(engine: AuditedEngine) -> Iterator[AuditFinding]:
    """An engine is upgraded by somebody, not by itself at night."""
    if engine.hold is None or engine.hold.value:
        return
    text = "has an engine that may be upgraded by itself: its packages are not held"
    mend = f"hold: true {_OURS}; on the machine: apt-mark hold docker.io containerd"
    yield AuditFinding("held-packages", engine.name, engine.hold.at, text, mend)


def pinned_images(service: AuditedService) -> Iterator[AuditFinding]:
    """An image from outside has a tag that says a version, or a digest."""
    does = "is built from" if service.built else "runs"
    for image in service.images:
        if state := _unpinned(image.value):
            text = f"{does} {image.value}, {state}: it is another one after the next pull"
            name = image.value.removesuffix(f":{_MOVING}")
            yield AuditFinding("pinned-versions", service.name, image.at, text, f"{name}:VERSION, or {name}@sha256:...")


def _unpinned(image: str) -> str:
    """Say why an image is not pinned; empty if it is, or if it is named by a variable."""
    parts = _WORD.fullmatch(image)
    if not parts or parts["digest"] or "$" in image:
        return ""
    if parts["tag"] is None:
        return "which has no tag"
    return "whose tag moves" if parts["tag"] == _MOVING else ""


def pinned_engine(engine: AuditedEngine) -> Iterator[AuditFinding]:
    """A nested host says which version its engine is."""
    if engine.version is None or engine.version.value not in {"", _MOVING}:
        return
    text = "does not say which version its engine is"
    mend = f'engine: "26.1" {_OURS}'
    yield AuditFinding("pinned-versions", engine.name, engine.version.at, text, mend)


def limits(service: AuditedService) -> Iterator[AuditFinding]:
    """A service can use up neither its machine's memory nor its processes."""
    forms = ("memory: 256M", "pids: 200") if service.deployed else ("mem_limit: 256m", "pids_limit: 200")
    missing = [
        (what, form, setting.at)
        for what, form, setting in zip(("memory", "processes"), forms, (service.memory, service.pids), strict=True)
        if not setting.value
    ]
    if missing:
        text = f"has no limit of {' or of '.join(what for what, _, _ in missing)}"
        place = " in deploy.resources.limits" if service.deployed else ""
        mend = f"{' and '.join(form for _, form, _ in missing)}{place}, or what it needs at its worst and some more"
        yield AuditFinding("limits", service.name, missing[0][2], text, mend)


def health_check(service: AuditedService) -> Iterator[AuditFinding]:
    """A service that is meant to stay says how to see that it is well; a job says it by its end."""
    if service.job or service.health.value == "checked":
        return
    if service.health.value == "disabled":
        text = "has its health check turned off"
    elif service.images and not service.built:
        text = "has no health check in the compose file (its image's, if it has one, is not looked at)"
    else:
        text = "has no health check"
    mend = "healthcheck: {test: [CMD, a command that fails when it is not well], interval: 10s}"
    yield AuditFinding("health-check", service.name, service.health.at, text, mend)


_OF_SERVICES: tuple[Callable[[AuditedService], Iterator[AuditFinding]], ...] = (
    restart_policy,
    pinned_images,
    limits,
    health_check,
)
_OF_ENGINES: tuple[Callable[[AuditedEngine], Iterator[AuditFinding]], ...] = (
    live_restore,
    held_packages,
    pinned_engine,
)


def audited(e: Audit, history: TrialHistory) -> Finding:
    """Nothing that the expectation's rules object to was found before any fault."""
    if history.audit is None:
        return finding(e, "unknown", "the configuration was not audited when this was recorded", unit="findings")
    found = chosen(history.audit, e.rules, e.without)
    rules = [rule for rule in e.rules or RULES if rule not in e.without]
    because = f"nothing to object to by {' and '.join(rules)}" if e.rules or e.without else "nothing to object to"
    if found:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        because = f"{found[0].sentence} ({found[0].at}){more}"
    return finding(e, "fail" if found else "pass", because, float(len(found)), 0.0, unit="findings")


def chosen(
    findings: tuple[AuditFinding, ...], rules: tuple[AuditRule, ...], without: tuple[AuditRule, ...]
) -> tuple[AuditFinding, ...]:
    """Those of these rules, of all if there are none, except of the rules in `without`."""
    return tuple(f for f in findings if (not rules or f.rule in rules) and f.rule not in without)
