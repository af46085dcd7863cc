"""The rules of the audit: what each objects to, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from shaketable.checks.audit import audit_findings, chosen, survival
from shaketable.model.audit import (
    RULES,
    AuditedEngine,
    AuditedService,
    AuditedTopology,
    AuditFinding,
    AuditRule,
    Place,
    Setting,
)

HERE = Place("compose.yaml", 3, 5)
THERE = Place("more.yaml", 7, 9)


def at(value: Any, place: Place = HERE) -> Setting[Any]:
    """A setting in a file."""
    return Setting(value, place)


FLAWLESS = AuditedService("web", at("always"), at(True), at(True), at("checked"), (at("nginx:1.25"),))
ENGINE = AuditedEngine("host-3", at(True), at("26.1"), at(True))


def found(**changes: Any) -> list[AuditFinding]:
    """What is found in a topology of one service that is flawless but for these changes."""
    return list(audit_findings(AuditedTopology((replace(FLAWLESS, **changes),), (ENGINE,))))


def found_of_engine(**changes: Any) -> list[AuditFinding]:
    """What is found in a topology of one nested host that is flawless but for these changes."""
    return list(audit_findings(AuditedTopology((FLAWLESS,), (replace(ENGINE, **changes),))))


def test_what_is_flawless_has_no_finding() -> None:
    """An audit that always finds something would be of no use."""
    assert found() == []
    assert set(RULES) == set(get_args(AuditRule))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"restart": at("")}, "no restart policy: it stays Exited"),
        ({"restart": at("no")}, "the restart policy no: it stays Exited"),
        ({"restart": at("on-failure")}, "if it ends well when stopped (exit 0)"),
        ({"restart": at(""), "live_restore": True}, "live-restore carries it through a restart of the engine, but not"),
        ({"restart": at("on-failure"), "live_restore": True}, "but if it ends well it stays Exited"),
        ({"restart": at("unless-stopped")}, ""),
        ({"restart": at("always")}, ""),
        ({"restart": at("on-failure"), "stop_signal": "SIGKILL"}, ""),
        ({"restart": at("no"), "job": True}, ""),
    ],
)
def test_restart_policy(changes: dict[str, Any], words: str) -> None:
    """Whatever need not come back after a restart of the engine is found; a job's end is not to be undone."""
    findings = found(**changes)
    assert [f.rule for f in findings] == (["restart-policy"] if words else [])
    assert all(words in f.sentence for f in findings)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("nginx", "no tag"),
        ("registry.example.org:5000/team/web", "no tag"),
        ("nginx:latest", "tag moves"),
        ("registry.example.org:5000/team/web:latest", "tag moves"),
        ("nginx:1.25", ""),
        ("registry.example.org:5000/team/web:2", ""),
        ("nginx@sha256:0123", ""),
        ("nginx:latest@sha256:0123", ""),
        ("nginx:$VERSION", ""),
    ],
)
def test_pinned_versions(image: str, words: str) -> None:
    """A port of a registry is no tag, a digest is as good as a tag, and what a variable holds is not guessed."""
    findings = found(images=(at("fine:1"), at(image, THERE)))
    assert [(f.rule, f.at) for f in findings] == ([("pinned-versions", THERE)] if words else [])
    assert all(f"runs {image}, " in f.text and words in f.text for f in findings)
    built = found(images=(at(image),), built=True)
    assert all(f"is built from {image}, " in f.text for f in built)
    assert len(built) == len(findings)


@pytest.mark.parametrize(
    ("memory", "pids", "words", "place"),
    [
        (False, True, "no limit of memory", HERE),
        (True, False, "no limit of processes", THERE),
        (False, False, "no limit of memory or of processes", HERE),
    ],
)
def test_limits(memory: bool, pids: bool, words: str, place: Place) -> None:
    """One finding names every limit that is missing, at the first one's place."""
    (finding,) = found(memory=at(memory), pids=at(pids, THERE))
    assert (finding.rule, finding.text.removeprefix("has "), finding.at) == ("limits", words, place)


def test_limits_are_mended_in_their_own_form() -> None:
    """Compose refuses `pids_limit` beside limits of `deploy`, so what to write is what it takes."""
    (plain,), (deployed,) = found(pids=at(False)), found(pids=at(False), deployed=True)
    assert plain.mend.startswith("pids_limit: 200, ")
    assert deployed.mend.startswith("pids: 200 in deploy.resources.limits, ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"health": at("")}, "no health check in the compose file"),
        ({"health": at(""), "built": True}, "has no health check"),
        ({"health": at("disabled")}, "turned off"),
        ({"health": at(""), "job": True}, ""),
    ],
)
def test_health_check(changes: dict[str, Any], words: str) -> None:
    """A service without one is found; whether an image from outside has one is not claimed."""
    findings = found(**changes)
    assert [f.rule for f in findings] == (["health-check"] if words else [])
    assert all(words in f.text for f in findings)


@pytest.mark.parametrize(
    ("changes", "rule", "mend"),
    [
        (
            {"live_restore": at(False)},
            "live-restore",
            "daemon: {live-restore: true} under its name in x-shaketable.nested",
        ),
        ({"hold": at(False)}, "held-packages", "hold: true under"),
        ({"version": at("")}, "pinned-versions", 'engine: "26.1" under'),
        ({"version": at("latest")}, "pinned-versions", 'engine: "26.1" under'),
    ],
)
def test_nested_engines(changes: dict[str, Any], rule: str, mend: str) -> None:
    """A nested host's engine has live-restore, a version, and packages that are held."""
    (finding,) = found_of_engine(**changes)
    assert (finding.rule, finding.service, finding.at) == (rule, "host-3", HERE)
    assert finding.mend.startswith(mend)


def test_of_the_own_engine_only_live_restore_is_asked() -> None:
    """Its version and packages are not the topology's business."""
    (finding,) = audit_findings(AuditedTopology((FLAWLESS,), (AuditedEngine("the engine", at(False)),)))
    assert finding.sentence.startswith("the engine has no live-restore")
    assert "x-shaketable" not in finding.mend


def test_findings_are_in_the_order_of_rules_and_files() -> None:
    """A report reads the same whatever order things were read in."""
    services = tuple(
        replace(FLAWLESS, name=name, restart=at("no"), pids=at(False), health=at("")) for name in ("b", "a")
    )
    findings = audit_findings(AuditedTopology(services, (replace(ENGINE, live_restore=at(False)),)))
    assert [(f.rule, f.service) for f in findings] == [
        ("restart-policy", "b"),
        ("restart-policy", "a"),
        ("live-restore", "host-3"),
        ("limits", "b"),
        ("limits", "a"),
        ("health-check", "b"),
        ("health-check", "a"),
    ]
    assert {f.rule for f in chosen(findings, ("limits", "health-check"), ("limits",))} == {"health-check"}
    assert chosen(findings, (), ()) == findings


def test_survival() -> None:
    """Who stays down is told by what happens to the engine; live-restore carries everybody through all of it."""
    policies = ("", "no", "on-failure", "unless-stopped", "always")
    services = [replace(FLAWLESS, name=policy or "none", restart=at(policy)) for policy in policies]
    job = replace(FLAWLESS, name="job", restart=at("no"), job=True)
    kept = replace(FLAWLESS, name="kept", restart=at("no"), live_restore=True)
    stays = survival(AuditedTopology((*services, job, kept)))
    assert stays.restarted == ("none", "no")
    assert stays.restarted_perhaps == ("on-failure",)
    assert stays.killed == ("unless-stopped",)
